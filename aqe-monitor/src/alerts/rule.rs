//! What is watched, and when it is worth a message.
//!
//! A bare threshold tells somebody each time a value crosses it. A [`Rule`] has a hold time against spikes, a
//! second level for the way back against values that hover, and a least number of events against ratios of next
//! to nothing.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::deliver::receiver::Receiver;
use super::labels::Labels;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Severity {
    /// Worth knowing.
    Info,
    /// Worth a look today.
    Warning,
    /// Worth getting up for.
    Critical,
}

impl Severity {
    /// The word in messages and in the store.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

/// What makes an alert of a series of values.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Condition {
    /// The value is above `threshold`; it is over when the value is at or below `resolve`.
    Above {
        /// The level to be crossed, in the metric's unit.
        threshold: f64,
        /// The level of the way back, at most `threshold`.
        resolve: f64,
    },
    /// The value is below `threshold`; it is over when the value is at or above `resolve`.
    Below {
        /// The level to be crossed, in the metric's unit.
        threshold: f64,
        /// The level of the way back, at least `threshold`.
        resolve: f64,
    },
    /// No value has come. Such a rule is about one series: the one with the rule's own labels.
    Absent,
}

/// What a value says about a condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reading {
    /// Beyond the threshold.
    Breach,
    /// Between the threshold and the level of the way back: an alert stays, and none begins.
    Between,
    /// Beyond the level of the way back.
    Clear,
}

impl Condition {
    pub(crate) fn read(self, value: f64) -> Reading {
        let (breach, clear) = match self {
            Self::Above { threshold, resolve } => (value > threshold, value <= resolve),
            Self::Below { threshold, resolve } => (value < threshold, value >= resolve),
            // A value came, and that is all such a rule waits for.
            Self::Absent => (false, true),
        };
        match (breach, clear) {
            (true, _) => Reading::Breach,
            (false, true) => Reading::Clear,
            (false, false) => Reading::Between,
        }
    }

    /// A value for drills: a hundredth of the threshold beyond it, as far as numbers go.
    pub(crate) fn value_beyond(self) -> Option<f64> {
        let step = |threshold: f64| (threshold.abs() / 100.0).max(0.01);
        match self {
            Self::Above { threshold, .. } => Some(threshold + step(threshold)),
            Self::Below { threshold, .. } => Some(threshold - step(threshold)),
            Self::Absent => None,
        }
    }

    /// The level to be crossed; `None` for [`Self::Absent`].
    #[must_use]
    pub fn threshold(self) -> Option<f64> {
        match self {
            Self::Above { threshold, .. } | Self::Below { threshold, .. } => Some(threshold),
            Self::Absent => None,
        }
    }
}

/// One thing to watch.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use aqe_monitor::alerts::{Rule, Severity};
///
/// let rule = Rule::above("backlog", "aqe_queue_depth", 1_000.0)
///     .resolve_at(500.0)
///     .hold(Duration::from_secs(60))
///     .severity(Severity::Critical)
///     .group_by(["queue"]);
/// assert!(rule.check().is_ok());
/// ```
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Rule {
    /// Unique among the rules; part of every message.
    pub name: String,
    /// The metric that is watched.
    pub metric: String,
    /// Labels that a series must have; every series that has them gets an alert of its own.
    pub labels: Labels,
    /// What makes an alert.
    pub condition: Condition,
    /// For how long the condition holds without a break before the alert fires.
    pub hold: Duration,
    /// For how long the value stays beyond the level of the way back before the alert is resolved.
    pub recover: Duration,
    /// Fewer events than this behind a value, and the value says nothing.
    pub min_events: u64,
    /// How bad it is.
    pub severity: Severity,
    /// Labels whose values make a group: its alerts arrive in one message. Empty: all alerts of this rule.
    pub group_by: Vec<String>,
    /// How often a message is repeated while the alert fires. Zero: never.
    pub repeat: Duration,
    /// A series without a value for so long counts as without data. Zero: never.
    pub stale_after: Duration,
    /// What a reader should know or do; a sentence.
    pub advice: String,
    /// The names of those who get its messages, if they are severe enough for them. Empty: everyone.
    pub receivers: Vec<String>,
}

/// A rule that is refused.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum RuleError {
    /// No name, or one that is too long.
    #[error("a rule's name and metric have 1 to {max} bytes, and its advice at most {advice}: rule {name:?}", max = Rule::MAX_NAME, advice = Rule::MAX_ADVICE)]
    Name {
        /// The name as given, cut.
        name: String,
    },
    /// Two rules of one name.
    #[error("two rules are called {name:?}; names tell alerts apart")]
    Twice {
        /// The name.
        name: String,
    },
    /// A level that is not a number, or a way back on the wrong side.
    #[error(
        "rule {name:?}: the resolve level must be a number on the good side of the threshold, or equal to it"
    )]
    Levels {
        /// The rule's name.
        name: String,
    },
    /// A duration of more than a year.
    #[error("rule {name:?}: {what} is longer than a year")]
    TooLong {
        /// The rule's name.
        name: String,
        /// Which duration.
        what: &'static str,
    },
    /// A rule that waits for absence without a time.
    #[error("rule {name:?}: give a hold time after which missing values are an alert")]
    NoHold {
        /// The rule's name.
        name: String,
    },
    /// More rules, or more labels to group by, than are kept.
    #[error("{found} {what} where at most {max} are kept")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many there are.
        found: usize,
        /// How many there may be.
        max: usize,
    },
}

impl Rule {
    /// Bytes of a name at most.
    pub const MAX_NAME: usize = 128;
    /// Bytes of the advice at most.
    pub const MAX_ADVICE: usize = 1024;
    /// Rules of one alerter at most.
    pub const MAX_RULES: usize = 1_000;

    fn new(name: impl Into<String>, metric: impl Into<String>, condition: Condition) -> Self {
        Self {
            name: name.into(),
            metric: metric.into(),
            labels: Labels::default(),
            condition,
            hold: Duration::from_secs(30),
            recover: Duration::from_secs(30),
            min_events: 0,
            severity: Severity::Warning,
            group_by: Vec::new(),
            repeat: Duration::from_secs(4 * 3600),
            stale_after: Duration::from_secs(300),
            advice: String::new(),
            receivers: Vec::new(),
        }
    }

    /// Watches for values above `threshold`, held for 30 s, repeated every 4 h.
    #[must_use]
    pub fn above(name: impl Into<String>, metric: impl Into<String>, threshold: f64) -> Self {
        let resolve = threshold;
        Self::new(name, metric, Condition::Above { threshold, resolve })
    }

    /// Watches for values below `threshold`, held for 30 s, repeated every 4 h.
    #[must_use]
    pub fn below(name: impl Into<String>, metric: impl Into<String>, threshold: f64) -> Self {
        let resolve = threshold;
        Self::new(name, metric, Condition::Below { threshold, resolve })
    }

    /// Watches for a series that has had no value for `hold`.
    #[must_use]
    pub fn absent(name: impl Into<String>, metric: impl Into<String>, hold: Duration) -> Self {
        Self::new(name, metric, Condition::Absent)
            .hold(hold)
            .stale_after(Duration::ZERO)
    }

    /// The four rules everyone starts with: `cpuUsage`, `memoryUsage`, `executionTime` and `errorRate`.
    ///
    /// CPU and memory are in percent, held for 30 s, with a way back five points lower; `executionTime` is the
    /// 95th percentile in seconds; `errorRate` is in percent and needs 20 events, with fewer of which 5 % would be
    /// less than one.
    #[must_use]
    pub fn defaults() -> Vec<Self> {
        vec![
            Self::above("cpuUsage", "cpuUsage", 85.0)
                .resolve_at(80.0)
                .advice("Run fewer operations at once, or find what burns the CPU."),
            Self::above("memoryUsage", "memoryUsage", 80.0)
                .resolve_at(75.0)
                .advice("Give caches a lower limit, or run fewer operations at once."),
            Self::above("executionTime", "executionTime", 30.0)
                .resolve_at(27.0)
                .advice("The 95th percentile of execution times is high: look for the slowest operations."),
            Self::above("errorRate", "errorRate", 5.0)
                .resolve_at(4.0)
                .min_events(20)
                .severity(Severity::Critical)
                .advice("Look at the errors of the last minutes."),
        ]
    }

    /// Sets the level of the way back. Without effect on a rule that waits for absence.
    #[must_use]
    pub fn resolve_at(mut self, level: f64) -> Self {
        if let Condition::Above { resolve, .. } | Condition::Below { resolve, .. } =
            &mut self.condition
        {
            *resolve = level;
        }
        self
    }

    /// Sets the labels that a series must have.
    #[must_use]
    pub fn labels(mut self, labels: Labels) -> Self {
        self.labels = labels;
        self
    }

    /// Sets for how long the condition must hold.
    #[must_use]
    pub fn hold(mut self, hold: Duration) -> Self {
        self.hold = hold;
        self
    }

    /// Sets for how long the value must be good again.
    #[must_use]
    pub fn recover(mut self, recover: Duration) -> Self {
        self.recover = recover;
        self
    }

    /// Sets the least number of events behind a value.
    #[must_use]
    pub fn min_events(mut self, events: u64) -> Self {
        self.min_events = events;
        self
    }

    /// Sets how bad it is.
    #[must_use]
    pub fn severity(mut self, severity: Severity) -> Self {
        self.severity = severity;
        self
    }

    /// Sets the labels whose values make a group.
    #[must_use]
    pub fn group_by(mut self, names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.group_by = names.into_iter().map(Into::into).collect();
        self
    }

    /// Sets how often a message is repeated; zero for never.
    #[must_use]
    pub fn repeat(mut self, repeat: Duration) -> Self {
        self.repeat = repeat;
        self
    }

    /// Sets after how long without a value a series counts as without data; zero for never.
    #[must_use]
    pub fn stale_after(mut self, stale_after: Duration) -> Self {
        self.stale_after = stale_after;
        self
    }

    /// Sets the sentence that a reader should know.
    #[must_use]
    pub fn advice(mut self, advice: impl Into<String>) -> Self {
        self.advice = advice.into();
        self
    }

    /// Names those who get its messages; nobody else does.
    #[must_use]
    pub fn receivers(mut self, names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.receivers = names.into_iter().map(Into::into).collect();
        self
    }

    /// Checks this rule alone.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong with it.
    pub fn check(&self) -> Result<(), RuleError> {
        let name = || self.name.chars().take(40).collect::<String>();
        let named = |text: &str| (1..=Self::MAX_NAME).contains(&text.len());
        if !named(&self.name) || !named(&self.metric) || self.advice.len() > Self::MAX_ADVICE {
            return Err(RuleError::Name { name: name() });
        }
        let sound = match self.condition {
            Condition::Above { threshold, resolve } => {
                threshold.is_finite() && resolve.is_finite() && resolve <= threshold
            }
            Condition::Below { threshold, resolve } => {
                threshold.is_finite() && resolve.is_finite() && resolve >= threshold
            }
            Condition::Absent if self.hold.is_zero() => {
                return Err(RuleError::NoHold { name: name() });
            }
            Condition::Absent => true,
        };
        if !sound {
            return Err(RuleError::Levels { name: name() });
        }
        let durations = [
            (self.hold, "hold"),
            (self.recover, "recover"),
            (self.repeat, "repeat"),
            (self.stale_after, "stale_after"),
        ];
        if let Some((_, what)) = durations.into_iter().find(|(value, _)| *value > YEAR) {
            return Err(RuleError::TooLong { name: name(), what });
        }
        if self.group_by.len() > Labels::MAX_PAIRS {
            return Err(RuleError::TooMany {
                what: "labels to group by",
                found: self.group_by.len(),
                max: Labels::MAX_PAIRS,
            });
        }
        if self.receivers.len() > Receiver::MAX {
            return Err(RuleError::TooMany {
                what: "receivers of a rule",
                found: self.receivers.len(),
                max: Receiver::MAX,
            });
        }
        Ok(())
    }

    /// Checks rules that are to work together.
    ///
    /// # Errors
    ///
    /// What is wrong with the first bad one, or two of one name.
    pub fn check_all(rules: &[Self]) -> Result<(), RuleError> {
        if rules.len() > Self::MAX_RULES {
            return Err(RuleError::TooMany {
                what: "rules",
                found: rules.len(),
                max: Self::MAX_RULES,
            });
        }
        let mut names = std::collections::BTreeSet::new();
        for rule in rules {
            rule.check()?;
            if !names.insert(rule.name.as_str()) {
                return Err(RuleError::Twice {
                    name: rule.name.clone(),
                });
            }
        }
        Ok(())
    }

    /// Whether a series is this rule's business.
    pub(crate) fn watches(&self, metric: &str, labels: &Labels) -> bool {
        self.metric == metric && labels.contains(&self.labels)
    }
}

/// Longer times are slips of units, and sums with them could overflow.
const YEAR: Duration = Duration::from_secs(366 * 24 * 3600);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_those_of_the_contract() {
        let rules = Rule::defaults();
        Rule::check_all(&rules).unwrap();
        let levels: Vec<_> = rules
            .iter()
            .map(|rule| (rule.name.as_str(), rule.condition, rule.hold.as_secs()))
            .collect();
        let above = |threshold, resolve| Condition::Above { threshold, resolve };
        assert_eq!(levels[0], ("cpuUsage", above(85.0, 80.0), 30));
        assert_eq!(levels[1], ("memoryUsage", above(80.0, 75.0), 30));
        assert_eq!(levels[2].1.threshold(), Some(30.0));
        assert_eq!(
            (levels[3].1.threshold(), rules[3].min_events),
            (Some(5.0), 20)
        );
    }

    #[test]
    fn bad_rules_are_refused_by_what_is_wrong() {
        let good = || Rule::above("a", "m", 5.0);
        let bad = [
            Rule::above("", "m", 1.0),
            good().resolve_at(6.0),
            good().resolve_at(f64::NAN),
            Rule::below("a", "m", 5.0).resolve_at(4.0),
            Rule::above("a", "m", f64::INFINITY),
            Rule::absent("a", "m", Duration::ZERO),
            good().hold(Duration::MAX),
            good().group_by((0..17).map(|n| n.to_string())),
            good().advice("x".repeat(2000)),
        ];
        for rule in bad {
            assert!(rule.check().is_err(), "{rule:?}");
        }
        assert!(matches!(
            Rule::check_all(&[good(), good()]),
            Err(RuleError::Twice { .. })
        ));
    }

    #[test]
    fn a_value_between_the_levels_says_neither() {
        let above = Rule::above("a", "m", 85.0).resolve_at(80.0).condition;
        assert_eq!(above.read(85.0), Reading::Between);
        assert_eq!(above.read(85.1), Reading::Breach);
        assert_eq!(above.read(80.0), Reading::Clear);
        let below = Rule::below("a", "m", 10.0).resolve_at(20.0).condition;
        assert_eq!(below.read(9.0), Reading::Breach);
        assert_eq!(below.read(15.0), Reading::Between);
        assert_eq!(below.read(20.0), Reading::Clear);
    }
}
