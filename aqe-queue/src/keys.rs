//! What operations of one key may do together.
//!
//! A key names what several operations share: a host, an account, a file. [`Submission::key`](crate::Submission::key)
//! gives an operation one; [`KeyLimits`] hold for every key on its own.

use std::time::Duration;

use crate::config::ConfigError;

/// How many operations of one key run at once, and how often one may start.
///
/// An operation whose key is at its limit waits aside, and those behind it in its level pass it. When the key is free
/// again it goes back to its place: before everything of its level that came later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeyLimits {
    /// How many operations of one key run at once. 1 by default.
    pub max_concurrent: usize,
    /// How often an attempt with one key may start. As often as it likes, by default.
    pub rate: Option<KeyRate>,
    /// How many keys are known at once: those with an operation in the queue and, with a rate, those that have started
    /// one lately. 10,000 by default, about 3 MB. One more is
    /// [refused](crate::SubmitError::TooManyKeys).
    pub max_keys: usize,
}

/// So many starts in so much time.
///
/// This is the generic cell rate algorithm of ITU-T I.371 (annex A), which describes the same as a leaky bucket does and
/// keeps but one time for each key. Starts are spread evenly, `per ÷ starts` apart, and `burst` of them may come at once
/// after a calm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeyRate {
    /// Starts in each `per`. At least 1.
    pub starts: u32,
    /// The time for so many starts.
    pub per: Duration,
    /// How many may start at once after a calm. At least 1, which is the default.
    pub burst: u32,
}

impl Default for KeyLimits {
    fn default() -> Self {
        Self {
            max_concurrent: 1,
            rate: None,
            max_keys: 10_000,
        }
    }
}

impl KeyLimits {
    /// Sets [`max_concurrent`](Self::max_concurrent).
    #[must_use]
    pub const fn max_concurrent(mut self, operations: usize) -> Self {
        self.max_concurrent = operations;
        self
    }

    /// Sets [`rate`](Self::rate).
    #[must_use]
    pub fn rate(mut self, rate: impl Into<Option<KeyRate>>) -> Self {
        self.rate = rate.into();
        self
    }

    /// Sets [`max_keys`](Self::max_keys).
    #[must_use]
    pub const fn max_keys(mut self, keys: usize) -> Self {
        self.max_keys = keys;
        self
    }

    pub(crate) const fn validate(&self) -> Result<(), ConfigError> {
        let (starts, burst) = match self.rate {
            Some(rate) => {
                if rate.per.is_zero() {
                    return Err(ConfigError::ZeroDuration {
                        field: "keys.rate.per",
                    });
                }
                (rate.starts as usize, rate.burst as usize)
            }
            None => (1, 1),
        };
        let fields = [
            ("keys.max_concurrent", self.max_concurrent),
            ("keys.max_keys", self.max_keys),
            ("keys.rate.starts", starts),
            ("keys.rate.burst", burst),
        ];
        let mut index = 0;
        while index < fields.len() {
            let (field, value) = fields[index];
            if value == 0 {
                return Err(ConfigError::OutOfRange {
                    field,
                    value,
                    from: 1,
                    to: usize::MAX,
                });
            }
            index += 1;
        }
        Ok(())
    }
}

impl KeyRate {
    /// Allows `starts` in each `per`, evenly spread.
    #[must_use]
    pub const fn new(starts: u32, per: Duration) -> Self {
        Self {
            starts,
            per,
            burst: 1,
        }
    }

    /// Sets [`burst`](Self::burst).
    #[must_use]
    pub const fn burst(mut self, starts: u32) -> Self {
        self.burst = starts;
        self
    }
}
