//! Laying one layer of values upon another.
//!
//! A stronger layer replaces single values, never whole sections. Beside each value stand its origin and, in a file, its
//! place, so that two values that contradict one another can be reported where they were written.

use std::path::Path;

use bytesize::ByteSize;

use super::document::Settings;
use super::env::{self, NotText};
use super::model::{Config, MemorySettings};
use super::problem::excerpt;
use super::schema::{self, Key};
use super::setting::{Raw, Refusal, Setting as _};
use super::{Origin, Position, Preset, Problem, ProblemKind, Problems, Source};

/// Values as far as the layers were laid, each with its origin and, in a file, its place.
pub(super) struct Stack {
    pub(super) config: Config,
    /// By the index of the key.
    pub(super) origins: Vec<Origin>,
    /// By the index of the key.
    places: Vec<Option<Position>>,
}

impl Default for Stack {
    fn default() -> Self {
        let keys = schema::keys().len();
        Self {
            config: Config::default(),
            origins: vec![Origin::Default; keys],
            places: vec![None; keys],
        }
    }
}

impl Stack {
    fn set(
        &mut self,
        key: &Key,
        raw: Raw<'_>,
        origin: Origin,
        at: Option<Position>,
    ) -> Result<(), Refusal> {
        key.read_into(&mut self.config, raw)?;
        self.origins[key.index()] = origin;
        self.places[key.index()] = at;
        Ok(())
    }

    pub(super) fn preset(&mut self, preset: Preset) {
        for (path, text) in preset.settings() {
            let raw = Raw {
                text: &text,
                quoted: false,
            };
            let origin = Origin::Preset {
                name: preset.name(),
            };
            let set = schema::key(path).map(|key| self.set(key, raw, origin, None));
            debug_assert_eq!(set, Some(Ok(())), "{path} of {preset}");
        }
    }

    pub(super) fn file(&mut self, settings: &Settings, file: &Path) {
        for assignment in &settings.base {
            let origin = Origin::File {
                file: file.to_owned(),
                line: assignment.at.line,
            };
            // `document::read` has read the same text into another configuration already.
            let set = self.set(
                assignment.key,
                assignment.raw(),
                origin,
                Some(assignment.at),
            );
            debug_assert_eq!(set, Ok(()));
        }
    }

    /// Lays a profile; `false` if there is none of this name.
    pub(super) fn profile(&mut self, settings: &Settings, name: &str, file: &Path) -> bool {
        let Some(profile) = settings
            .profiles
            .iter()
            .find(|profile| profile.name == name)
        else {
            return false;
        };
        for assignment in &profile.assignments {
            let origin = Origin::Profile {
                name: name.to_owned(),
                file: file.to_owned(),
                line: assignment.at.line,
            };
            let set = self.set(
                assignment.key,
                assignment.raw(),
                origin,
                Some(assignment.at),
            );
            debug_assert_eq!(set, Ok(()));
        }
        true
    }

    pub(super) fn env(
        &mut self,
        assignment: Result<env::FromEnv, NotText>,
        problems: &mut Problems,
    ) {
        let assignment = match assignment {
            Ok(assignment) => assignment,
            Err(variable) => return problems.push(not_text(variable)),
        };
        let raw = Raw {
            text: &assignment.text,
            quoted: false,
        };
        let var = assignment.variable;
        let set =
            schema::key(assignment.key).map(|key| self.set(key, raw, Origin::Env { var }, None));
        if let Some(Err(refusal)) = set {
            let source = Source::Env(var.to_owned());
            // A variable that sets several keys has one value, and that is wrong once.
            if !problems.iter().any(|problem| problem.source == source) {
                problems.push(refused(refusal, source, assignment.key));
            }
        }
    }

    pub(super) fn flag(&mut self, path: &str, value: &str, problems: &mut Problems) {
        match read_flag(path, value) {
            Ok(key) => {
                let raw = Raw {
                    text: value.trim(),
                    quoted: false,
                };
                let set = self.set(key, raw, Origin::Flag, None);
                debug_assert_eq!(set, Ok(()));
            }
            Err(wrong) => problems.extend(wrong),
        }
    }

    /// Lets values that nobody set give way to values that somebody did.
    pub(super) fn settle(&mut self) {
        let memory = &mut self.config.memory;
        let default = MemorySettings::default();
        if self.origins[index("memory.cacheSize")] == Origin::Default
            && memory.max_size < default.max_size
        {
            memory.cache_size = ByteSize::b(memory.max_size.as_u64() / 4);
        }
    }

    /// Values that are right each by itself and wrong together.
    pub(super) fn conflicts(&self) -> Problems {
        let mut problems = Problems::default();
        let Config {
            memory, monitoring, ..
        } = &self.config;
        if memory.cache_size > memory.max_size {
            problems.push(self.conflict(
                ["memory.cacheSize", "memory.maxSize"],
                "is larger than",
                &[memory.cache_size.render(), memory.max_size.render()],
                "the cache is part of the store; lower memory.cacheSize or raise memory.maxSize",
            ));
        }
        if monitoring.interval > monitoring.retention {
            problems.push(self.conflict(
                ["monitoring.interval", "monitoring.retention"],
                "is longer than",
                &[monitoring.interval.render(), monitoring.retention.render()],
                "every sample would be dropped before the next; lower monitoring.interval or raise monitoring.retention",
            ));
        }
        self.mail_conflicts(&mut problems);
        problems
    }

    /// What a mail server needs besides itself.
    fn mail_conflicts(&self, problems: &mut Problems) {
        let email = &self.config.monitoring.alerting.email;
        let mut needs = |keys, values: [String; 2], help| {
            problems.push(self.conflict(keys, "is of no use without", &values, help));
        };
        let server = "monitoring.alerting.email.server";
        if email.server.is_some() && email.from.is_none() {
            needs(
                [server, "monitoring.alerting.email.from"],
                [email.server.render(), email.from.render()],
                "set monitoring.alerting.email.from to the address that messages come from",
            );
        }
        if email.server.is_some() && email.to.is_empty() {
            needs(
                [server, "monitoring.alerting.email.to"],
                [email.server.render(), email.to.render()],
                "set monitoring.alerting.email.to to the addresses of those who get messages",
            );
        }
        if email.user.is_some() && email.password.is_none() {
            needs(
                [
                    "monitoring.alerting.email.user",
                    "monitoring.alerting.email.password",
                ],
                [email.user.render(), email.password.render()],
                "set monitoring.alerting.email.password to env:NAME or file:PATH",
            );
        }
    }

    /// Blames the first key, unless only the second was set by anybody.
    fn conflict(
        &self,
        keys: [&'static str; 2],
        relation: &str,
        values: &[String; 2],
        help: &str,
    ) -> Problem {
        let [first, second] = keys;
        let blamed = if self.origins[index(first)] == Origin::Default {
            second
        } else {
            first
        };
        let other = if blamed == first { second } else { first };
        let source = match &self.origins[index(blamed)] {
            Origin::Profile { file, .. } | Origin::File { file, .. } => Source::File(file.clone()),
            Origin::Env { var } => Source::Env((*var).to_owned()),
            Origin::Flag | Origin::Preset { .. } | Origin::Default => Source::Flag,
        };
        Problem {
            kind: ProblemKind::Conflict,
            source,
            position: self.places[index(blamed)],
            key: Some(blamed.to_owned()),
            reason: format!(
                "{first} ({}) {relation} {second} ({}); {other} comes from: {}",
                values[0],
                values[1],
                self.origins[index(other)]
            ),
            help: Some(help.to_owned()),
        }
    }
}

/// The place of a key that is written in this crate.
fn index(path: &str) -> usize {
    let key = schema::key(path);
    debug_assert!(key.is_some(), "{path} is not in the table");
    key.map_or(0, Key::index)
}

/// The key that a flag or an edit means, if it takes this value.
pub(super) fn read_flag(path: &str, value: &str) -> Result<&'static Key, Problems> {
    let Some(key) = schema::key(path).or_else(|| schema::shorthand(path)) else {
        let (reason, help) = if schema::is_section(path) {
            let known: Vec<&str> = schema::children(path).take(1).collect();
            (
                "is a section",
                format!("name one of its keys, such as `{path}.{}`", known.join("")),
            )
        } else {
            ("no such key", schema::help_for_unknown(path))
        };
        return Err(Problems::from(Problem {
            kind: ProblemKind::UnknownKey,
            source: Source::Flag,
            position: None,
            key: Some(excerpt(path)),
            reason: reason.to_owned(),
            help: Some(help),
        }));
    };
    let raw = Raw {
        text: value.trim(),
        quoted: false,
    };
    match key.read_into(&mut Config::default(), raw) {
        Ok(()) => Ok(key),
        Err(refusal) => Err(refused(refusal, Source::Flag, key.path()).into()),
    }
}

fn refused(refusal: Refusal, source: Source, path: &str) -> Problem {
    Problem {
        kind: refusal.kind,
        source,
        position: None,
        key: Some(path.to_owned()),
        reason: refusal.reason,
        help: refusal.help,
    }
}

/// The problem of a variable that is not text.
pub(super) fn not_text(NotText(variable): NotText) -> Problem {
    Problem {
        kind: ProblemKind::Syntax,
        source: Source::Env(variable.to_owned()),
        position: None,
        key: None,
        reason: "the value is not UTF-8".to_owned(),
        help: None,
    }
}
