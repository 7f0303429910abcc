//! Rules that a project adds to the default ones: a JSON file in the state folder.
//!
//! A whole file is written and then takes the name of the old one, so that a reader sees one or the other. Who changes it
//! holds a lock meanwhile, so that of two that change it at the same moment neither undoes the other.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use aqe_monitor::alerts::{Rule, Severity};
use serde::{Deserialize, Serialize};

use super::metric::AlertMetric;

/// The way a message goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum AlertAction {
    /// E-mail through the server of `monitoring.alerting.email`.
    Email,
    /// A message in Slack, through `monitoring.alerting.slack`.
    Slack,
    /// JSON to the address of `monitoring.alerting.webhook`.
    Webhook,
}

impl AlertAction {
    /// All of them, in the order in which they are shown.
    pub const ALL: [Self; 3] = [Self::Email, Self::Slack, Self::Webhook];

    /// Its word, which is the receiver's name as well.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Email => "email",
            Self::Slack => "slack",
            Self::Webhook => "webhook",
        }
    }

    /// The key of the configuration that switches it on.
    #[must_use]
    pub const fn key(self) -> &'static str {
        match self {
            Self::Email => "monitoring.alerting.email.server",
            Self::Slack => "monitoring.alerting.slack.webhook",
            Self::Webhook => "monitoring.alerting.webhook.url",
        }
    }
}

impl fmt::Display for AlertAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A rule that a project added.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[non_exhaustive]
pub struct OwnRule {
    /// Its name, unique among the rules.
    pub id: String,
    /// What it watches.
    pub metric: AlertMetric,
    /// Values above this are an alert; percent, or seconds of times.
    pub threshold: f64,
    /// Values at or below this end it.
    pub resolve: f64,
    /// For how long values are above before it is told, in milliseconds.
    pub hold_ms: u64,
    /// How bad it is.
    pub severity: Severity,
    /// The ways its messages go; empty for all that are configured.
    pub actions: Vec<AlertAction>,
}

impl OwnRule {
    /// For how long values are above before it is told.
    #[must_use]
    pub const fn hold(&self) -> Duration {
        Duration::from_millis(self.hold_ms)
    }

    /// The rule as an alerter takes it.
    #[must_use]
    pub fn rule(&self) -> Rule {
        Rule::above(&self.id, self.metric.name(), self.threshold)
            .resolve_at(self.resolve)
            .hold(self.hold())
            .min_events(self.metric.min_events())
            .severity(self.severity)
            .receivers(self.actions.iter().map(|action| action.as_str()))
    }

    fn check(&self) -> Result<(), String> {
        if AlertMetric::of_name(&self.id).is_some() {
            return Err(format!("`{}` is the name of a default rule", self.id));
        }
        let is_sound = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        if !self.id.bytes().all(is_sound) {
            return Err("a rule's name has letters, digits, `-`, `_` and `.` only".to_owned());
        }
        self.metric.check_level(self.threshold)?;
        if self.resolve < 0.0 {
            return Err("the resolve level is below zero, where no value comes".to_owned());
        }
        self.rule().check().map_err(|error| error.to_string())
    }
}

/// A rule to be added.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct NewRule {
    /// What it watches.
    pub metric: AlertMetric,
    /// Values above this are an alert.
    pub threshold: f64,
    /// Values at or below this end it; `None` for [`AlertMetric::way_back`].
    pub resolve: Option<f64>,
    /// For how long values are above before it is told.
    pub hold: Duration,
    /// How bad it is.
    pub severity: Severity,
    /// The ways its messages go; empty for all that are configured.
    pub actions: Vec<AlertAction>,
}

impl NewRule {
    /// Values above `threshold` for 30 s are a warning, which goes all ways.
    #[must_use]
    pub fn above(metric: AlertMetric, threshold: f64) -> Self {
        Self {
            metric,
            threshold,
            resolve: None,
            hold: Duration::from_secs(30),
            severity: Severity::Warning,
            actions: Vec::new(),
        }
    }

    /// Sets the level of the way back.
    #[must_use]
    pub fn resolve(mut self, level: f64) -> Self {
        self.resolve = Some(level);
        self
    }

    /// Sets for how long values are above before it is told.
    #[must_use]
    pub fn hold(mut self, hold: Duration) -> Self {
        self.hold = hold;
        self
    }

    /// Sets how bad it is.
    #[must_use]
    pub fn severity(mut self, severity: Severity) -> Self {
        self.severity = severity;
        self
    }

    /// Sets the ways its messages go.
    #[must_use]
    pub fn actions(mut self, actions: impl IntoIterator<Item = AlertAction>) -> Self {
        self.actions = actions.into_iter().collect();
        self.actions.sort_unstable();
        self.actions.dedup();
        self
    }
}

/// Why own rules cannot be read or changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OwnRulesError {
    /// The system refuses.
    #[error("cannot {action} {}", .path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is not what this program writes.
    #[error("the rules in {} cannot be read: {what}; correct the file, or move it away to begin without rules of your own", .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// A rule that is not added, and why.
    #[error("{0}")]
    Refused(String),
}

/// The rules that a project added.
///
/// # Examples
///
/// ```
/// use aqe_core::{AlertAction, AlertMetric, NewRule, OwnRules};
///
/// let folder = tempfile::tempdir()?;
/// let rule = NewRule::above(AlertMetric::CpuUsage, 70.0).actions([AlertAction::Slack]);
/// let added = OwnRules::add(folder.path(), rule)?;
/// assert_eq!((&*added.id, added.resolve), ("cpu-usage-1", 65.0));
/// assert_eq!(OwnRules::read(folder.path())?.list(), [added]);
/// assert!(OwnRules::remove(folder.path(), "cpu-usage-1")?.is_some());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OwnRules {
    format: u32,
    rules: Vec<OwnRule>,
}

impl OwnRules {
    /// Rules of one project at most.
    pub const MAX: usize = 200;

    /// Where the rules of a state folder are.
    #[must_use]
    pub fn path_in(folder: &Path) -> PathBuf {
        folder.join("alert-rules.json")
    }

    /// Reads the rules of a state folder; none if there is no file.
    ///
    /// # Errors
    ///
    /// When the file cannot be read, or is damaged.
    pub fn read(folder: &Path) -> Result<Self, OwnRulesError> {
        let path = Self::path_in(folder);
        let bytes = match bounded(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::empty()),
            other => other.map_err(failed("read", &path))?,
        };
        Self::parse(&bytes).map_err(|what| OwnRulesError::Damaged { path, what })
    }

    /// The rules, in the order in which they were added.
    #[must_use]
    pub fn list(&self) -> &[OwnRule] {
        &self.rules
    }

    /// Adds a rule to those of a state folder, which must exist, and names it: the metric and the first free number.
    ///
    /// # Errors
    ///
    /// When the rule is refused, there are [`Self::MAX`], or the file cannot be read or written.
    pub fn add(folder: &Path, new: NewRule) -> Result<OwnRule, OwnRulesError> {
        Self::change(folder, |rules| {
            if rules.rules.len() == Self::MAX {
                let text = format!("there are {} rules already; remove some first", Self::MAX);
                return Err(OwnRulesError::Refused(text));
            }
            let rule = OwnRule {
                id: rules.free_id(new.metric),
                metric: new.metric,
                threshold: new.threshold,
                resolve: new
                    .resolve
                    .unwrap_or_else(|| new.metric.way_back(new.threshold)),
                hold_ms: u64::try_from(new.hold.as_millis()).unwrap_or(u64::MAX),
                severity: new.severity,
                actions: new.actions,
            };
            rule.check().map_err(OwnRulesError::Refused)?;
            rules.rules.push(rule.clone());
            Ok((rule, true))
        })
    }

    /// Removes a rule and gives it back; `None` if there is none of this name.
    ///
    /// # Errors
    ///
    /// When the file cannot be read or written.
    pub fn remove(folder: &Path, id: &str) -> Result<Option<OwnRule>, OwnRulesError> {
        Self::change(folder, |rules| {
            let found = rules.rules.iter().position(|rule| rule.id == id);
            let removed = found.map(|at| rules.rules.remove(at));
            let has_changed = removed.is_some();
            Ok((removed, has_changed))
        })
    }

    /// Reads, changes, and writes if `change` says so, while nobody else does.
    fn change<R>(
        folder: &Path,
        change: impl FnOnce(&mut Self) -> Result<(R, bool), OwnRulesError>,
    ) -> Result<R, OwnRulesError> {
        let lock = folder.join("alert-rules.lock");
        let held = own(OpenOptions::new().write(true).create(true).truncate(false))
            .open(&lock)
            .and_then(|file| file.lock().map(|()| file))
            .map_err(failed("lock", &lock))?;
        let mut rules = Self::read(folder)?;
        let (result, has_changed) = change(&mut rules)?;
        if has_changed {
            rules.write(folder)?;
        }
        drop(held);
        Ok(result)
    }

    fn write(&self, folder: &Path) -> Result<(), OwnRulesError> {
        let path = Self::path_in(folder);
        let new = folder.join("alert-rules.json.new");
        let write = || {
            let mut text = serde_json::to_string_pretty(self).map_err(io::Error::from)?;
            text.push('\n');
            let mut file =
                own(OpenOptions::new().write(true).create(true).truncate(true)).open(&new)?;
            file.write_all(text.as_bytes())?;
            // Else a loss of power could leave the name with nothing behind it.
            file.sync_all()?;
            fs::rename(&new, &path)
        };
        write().map_err(failed("write", &path))
    }

    fn empty() -> Self {
        Self {
            format: FORMAT,
            rules: Vec::new(),
        }
    }

    fn parse(bytes: &[u8]) -> Result<Self, String> {
        if bytes.len() > MAX_BYTES {
            return Err(format!("it has more than {MAX_BYTES} bytes"));
        }
        let rules: Self = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        if rules.format != FORMAT {
            return Err(format!(
                "it has format {}, and this program knows {FORMAT}",
                rules.format
            ));
        }
        if rules.rules.len() > Self::MAX {
            return Err(format!("it has more than {} rules", Self::MAX));
        }
        let mut names = std::collections::BTreeSet::new();
        for rule in &rules.rules {
            rule.check()?;
            if !names.insert(rule.id.as_str()) {
                return Err(format!("two rules are called `{}`", rule.id));
            }
        }
        Ok(rules)
    }

    /// One of the first `MAX + 1` numbers is free.
    fn free_id(&self, metric: AlertMetric) -> String {
        let mut number = 1_u32;
        loop {
            let id = format!("{}-{number}", metric.typed_name());
            if !self.rules.iter().any(|rule| rule.id == id) {
                return id;
            }
            number += 1;
        }
    }
}

const FORMAT: u32 = 1;
/// Twice what the most and longest rules take.
const MAX_BYTES: usize = 256 * 1024;

fn bounded(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?
        .take(MAX_BYTES as u64 + 1)
        .read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// New files are this user's alone.
fn own(options: &mut OpenOptions) -> &mut OpenOptions {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    options
}

fn failed<'a>(
    action: &'static str,
    path: &'a Path,
) -> impl FnOnce(io::Error) -> OwnRulesError + use<'a> {
    move |source| OwnRulesError::Io {
        action,
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use AlertMetric::{CpuUsage, ErrorRate, ExecutionTime};

    fn folder() -> tempfile::TempDir {
        tempfile::tempdir().unwrap()
    }

    #[test]
    fn rules_are_kept_numbered_and_removed() {
        let folder = folder();
        let add = |new| OwnRules::add(folder.path(), new).unwrap().id;
        assert_eq!(add(NewRule::above(CpuUsage, 70.0)), "cpu-usage-1");
        assert_eq!(add(NewRule::above(CpuUsage, 90.0)), "cpu-usage-2");
        let slow = NewRule::above(ExecutionTime, 2.5)
            .resolve(1.0)
            .hold(Duration::from_millis(1500))
            .severity(Severity::Critical)
            .actions([AlertAction::Webhook, AlertAction::Email, AlertAction::Email]);
        assert_eq!(add(slow), "execution-time-1");
        let removed = OwnRules::remove(folder.path(), "cpu-usage-1").unwrap();
        assert_eq!(removed.unwrap().threshold, 70.0);
        assert_eq!(
            OwnRules::remove(folder.path(), "cpu-usage-1").unwrap(),
            None
        );
        let rules = OwnRules::read(folder.path()).unwrap();
        let names: Vec<_> = rules.list().iter().map(|rule| &*rule.id).collect();
        assert_eq!(names, ["cpu-usage-2", "execution-time-1"]);
        let rule = rules.list()[1].rule();
        assert_eq!(rule.receivers, ["email", "webhook"]);
        assert_eq!(rule.hold, Duration::from_millis(1500));
        assert_eq!(rule.condition.threshold(), Some(2.5));
        // A number that is free is given again.
        assert_eq!(add(NewRule::above(CpuUsage, 60.0)), "cpu-usage-1");
    }

    #[test]
    fn rules_that_could_not_work_are_refused_and_change_nothing() {
        let folder = folder();
        let bad = [
            NewRule::above(CpuUsage, 101.0),
            NewRule::above(CpuUsage, f64::NAN),
            NewRule::above(ErrorRate, 5.0).resolve(6.0),
            NewRule::above(ErrorRate, 5.0).resolve(-1.0),
            NewRule::above(ErrorRate, 5.0).resolve(f64::NAN),
            NewRule::above(ExecutionTime, 0.0),
            NewRule::above(CpuUsage, 5.0).hold(Duration::MAX),
        ];
        for new in bad {
            let refused = OwnRules::add(folder.path(), new.clone());
            assert!(matches!(refused, Err(OwnRulesError::Refused(_))), "{new:?}");
        }
        assert!(!OwnRules::path_in(folder.path()).exists());
    }

    #[test]
    fn a_damaged_file_is_named_and_left_alone() {
        let folder = folder();
        OwnRules::add(folder.path(), NewRule::above(CpuUsage, 70.0)).unwrap();
        let path = OwnRules::path_in(folder.path());
        let good = fs::read_to_string(&path).unwrap();
        let twice = good.replacen(
            "\"rules\": [",
            &format!("\"rules\": [{},", rule_of(&good)),
            1,
        );
        let bad = [
            String::new(),
            good[..good.len() / 2].to_owned(),
            good.replace("\"format\": 1", "\"format\": 2"),
            good.replace("70.0", "170.0"),
            good.replace("cpu-usage-1", "cpuUsage"),
            good.replace("cpu-usage-1", "a b"),
            good.replace("\"holdMs\"", "\"hold\""),
            twice,
            " ".repeat(MAX_BYTES + 1),
        ];
        for text in bad {
            assert_ne!(text, good);
            fs::write(&path, &text).unwrap();
            let read = OwnRules::read(folder.path());
            let shown: String = text.chars().take(60).collect();
            assert!(
                matches!(read, Err(OwnRulesError::Damaged { .. })),
                "{shown}"
            );
            let added = OwnRules::add(folder.path(), NewRule::above(CpuUsage, 70.0));
            assert!(added.is_err(), "{shown}");
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
    }

    /// The only rule of a file, as text.
    fn rule_of(text: &str) -> String {
        let value: serde_json::Value = serde_json::from_str(text).unwrap();
        value["rules"][0].to_string()
    }

    #[test]
    fn there_is_a_most() {
        let folder = folder();
        let rules = OwnRules {
            format: FORMAT,
            rules: (0..OwnRules::MAX)
                .map(|number| OwnRule {
                    id: format!("{}{number}", "x".repeat(120)),
                    metric: CpuUsage,
                    threshold: 99.999_999_999_9,
                    resolve: 99.999_999_999_9,
                    hold_ms: 366 * 86_400_000,
                    severity: Severity::Critical,
                    actions: AlertAction::ALL.to_vec(),
                })
                .collect(),
        };
        rules.write(folder.path()).unwrap();
        // The largest file that is written is one that is read.
        assert_eq!(OwnRules::read(folder.path()).unwrap(), rules);
        let one_more = OwnRules::add(folder.path(), NewRule::above(CpuUsage, 70.0));
        assert!(matches!(one_more, Err(OwnRulesError::Refused(_))));
    }

    #[test]
    fn of_those_who_add_at_the_same_time_none_is_lost() {
        let folder = folder();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..5 {
                        OwnRules::add(folder.path(), NewRule::above(CpuUsage, 70.0)).unwrap();
                    }
                });
            }
        });
        assert_eq!(OwnRules::read(folder.path()).unwrap().list().len(), 20);
    }
}
