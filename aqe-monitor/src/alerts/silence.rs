//! Silences: for a while, certain alerts are not told. They go on in every other way.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::labels::Labels;
use super::rule::Rule;

/// Alerts that are not told for a while. What is still so when it ends is told then.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use aqe_monitor::alerts::{Labels, Silence};
///
/// let night = Silence::new(Duration::from_secs(8 * 3600))
///     .labels(Labels::new([("host", "old-server")])?)
///     .comment("being moved");
/// # Ok::<(), aqe_monitor::alerts::LabelsError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Silence {
    /// Its number; set when it begins.
    pub id: u64,
    /// Only alerts of the rule of this name; `None` for any rule.
    pub rule: Option<String>,
    /// Only alerts with these labels.
    pub labels: Labels,
    /// Its end on the alerter's own clock, so that steps of the wall clock do not move it; before it begins, its
    /// length.
    pub until: Duration,
    /// Why.
    pub comment: String,
}

/// A silence that is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SilenceError {
    /// No length, or more than a year.
    #[error("a silence lasts longer than nothing and at most a year")]
    Length,
    /// A comment or rule name that is too long.
    #[error("a silence's comment or rule name has more than {max} bytes", max = Rule::MAX_ADVICE)]
    Text,
    /// Too many silences.
    #[error("there are {max} silences already; end some first", max = Silence::MAX)]
    TooMany,
}

impl Silence {
    /// Silences at one time at most.
    pub const MAX: usize = 1_000;

    /// Covers every alert for `length`, until it is narrowed.
    #[must_use]
    pub fn new(length: Duration) -> Self {
        Self {
            id: 0,
            rule: None,
            labels: Labels::default(),
            until: length,
            comment: String::new(),
        }
    }

    /// Narrows it to one rule.
    #[must_use]
    pub fn rule(mut self, name: impl Into<String>) -> Self {
        self.rule = Some(name.into());
        self
    }

    /// Narrows it to alerts with these labels.
    #[must_use]
    pub fn labels(mut self, labels: Labels) -> Self {
        self.labels = labels;
        self
    }

    /// Says why.
    #[must_use]
    pub fn comment(mut self, comment: impl Into<String>) -> Self {
        self.comment = comment.into();
        self
    }

    pub(crate) fn check(&self) -> Result<(), SilenceError> {
        let year = Duration::from_secs(366 * 24 * 3600);
        if self.until.is_zero() || self.until > year {
            return Err(SilenceError::Length);
        }
        let texts = [
            self.comment.len(),
            self.rule.as_ref().map_or(0, String::len),
        ];
        if texts.into_iter().any(|bytes| bytes > Rule::MAX_ADVICE) {
            return Err(SilenceError::Text);
        }
        Ok(())
    }

    pub(crate) fn begin(mut self, id: u64, now: Duration) -> Self {
        self.id = id;
        self.until = self.until.saturating_add(now);
        self
    }

    pub(crate) fn covers(&self, rule: &Rule, labels: &Labels) -> bool {
        self.rule.as_ref().is_none_or(|name| *name == rule.name) && labels.contains(&self.labels)
    }
}
