//! How a batch processor is set up.
//!
//! [`BatchConfig`] is a plain value: read it from a file, change a field, hand it to
//! [`BatchProcessor::new`](crate::BatchProcessor::new), which checks it once. Impossible values are an error that names
//! the field; nothing is silently corrected.

use std::time::Duration;

use crate::policy::RetryPolicy;

/// The settings of a batch processor. The defaults fit items that take a millisecond or more, such as files and requests.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct BatchConfig {
    /// Items per chunk. 20 by default. On threads, workers claim so many at least; as tasks, so many items of a chunk
    /// are in flight at once.
    pub chunk_size: usize,
    /// Whether the chunk size stays as it is. It does, unless told otherwise.
    pub sizing: Sizing,
    /// Chunks in flight at once. 5 by default. On threads, no more of them run than the process may use processors.
    pub concurrency: usize,
    /// After how many items the state is handed to the system, so that the end of the process costs no more than that;
    /// it is on disk soon after. 100 by default. Has no effect without a [`Checkpoint`](crate::Checkpoint).
    pub checkpoint_interval: usize,
    /// How many percent (above 0, up to 100) of the memory of the machine or its control group may be in use before new
    /// chunks wait. 80 by default; `None` does not look.
    pub memory_threshold: Option<f64>,
    /// How long new chunks wait for memory before the run is given up. Five minutes by default.
    pub memory_patience: Duration,
    /// How many items may fail; one more aborts the run. 5 by default; `None` runs to the end whatever fails, and then
    /// all errors are kept in memory for the report.
    pub error_threshold: Option<u64>,
    /// How many times, and after which delay, a failed item is tried again. Not at all by default. On the runtime an item
    /// that waits for a retry does not count to its chunk, up to as many as may be in flight.
    pub retry: RetryPolicy,
    /// How many items a [policy](crate::Job::on_error) may skip; those beyond count as failed. 100 by default.
    pub skip_limit: u64,
    /// How often progress is told. Every 100 ms by default.
    pub progress_interval: Duration,
}

/// How the size of a chunk is found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Sizing {
    /// It is [`chunk_size`](BatchConfig::chunk_size).
    #[default]
    Fixed,
    /// It begins there and follows the measured throughput, within these bounds: small where a larger one brings
    /// nothing, as with work that computes, and large where it does, as with work that waits.
    Adaptive {
        /// The smallest size, 1 or more.
        least: usize,
        /// The largest size.
        most: usize,
    },
}

/// The largest chunk, and the most chunks at once.
const MOST: usize = 1 << 20;

/// The longest interval; results are handed over earlier where they are large.
const MOST_INTERVAL: usize = 1_000_000_000;

impl Default for BatchConfig {
    fn default() -> Self {
        Self {
            chunk_size: 20,
            sizing: Sizing::Fixed,
            concurrency: 5,
            checkpoint_interval: 100,
            memory_threshold: Some(80.0),
            memory_patience: Duration::from_secs(300),
            error_threshold: Some(5),
            retry: RetryPolicy::none(),
            skip_limit: 100,
            progress_interval: Duration::from_millis(100),
        }
    }
}

impl BatchConfig {
    /// Sets [`chunk_size`](Self::chunk_size).
    #[must_use]
    pub fn chunk_size(mut self, items: usize) -> Self {
        self.chunk_size = items;
        self
    }

    /// Sets [`sizing`](Self::sizing) to follow the measured throughput between `least` and `most` items.
    #[must_use]
    pub fn adaptive(mut self, least: usize, most: usize) -> Self {
        self.sizing = Sizing::Adaptive { least, most };
        self
    }

    /// Sets [`concurrency`](Self::concurrency).
    #[must_use]
    pub fn concurrency(mut self, chunks: usize) -> Self {
        self.concurrency = chunks;
        self
    }

    /// Sets [`checkpoint_interval`](Self::checkpoint_interval).
    #[must_use]
    pub fn checkpoint_interval(mut self, items: usize) -> Self {
        self.checkpoint_interval = items;
        self
    }

    /// Sets [`memory_threshold`](Self::memory_threshold).
    #[must_use]
    pub fn memory_threshold(mut self, percent: impl Into<Option<f64>>) -> Self {
        self.memory_threshold = percent.into();
        self
    }

    /// Sets [`memory_patience`](Self::memory_patience).
    #[must_use]
    pub fn memory_patience(mut self, wait: Duration) -> Self {
        self.memory_patience = wait;
        self
    }

    /// Sets [`error_threshold`](Self::error_threshold).
    #[must_use]
    pub fn error_threshold(mut self, errors: impl Into<Option<u64>>) -> Self {
        self.error_threshold = errors.into();
        self
    }

    /// Sets [`retry`](Self::retry).
    #[must_use]
    pub fn retry(mut self, policy: RetryPolicy) -> Self {
        self.retry = policy;
        self
    }

    /// Sets [`skip_limit`](Self::skip_limit).
    #[must_use]
    pub fn skip_limit(mut self, items: u64) -> Self {
        self.skip_limit = items;
        self
    }

    /// Sets [`progress_interval`](Self::progress_interval).
    #[must_use]
    pub fn progress_interval(mut self, interval: Duration) -> Self {
        self.progress_interval = interval;
        self
    }

    /// The smallest and the largest chunk.
    pub(crate) fn chunk_bounds(&self) -> (usize, usize) {
        match self.sizing {
            Sizing::Fixed => (self.chunk_size, self.chunk_size),
            Sizing::Adaptive { least, most } => (least, most),
        }
    }

    pub(crate) fn validate(&self) -> Result<(), ConfigError> {
        within("chunk_size", self.chunk_size, 1, MOST)?;
        within("concurrency", self.concurrency, 1, MOST)?;
        within(
            "checkpoint_interval",
            self.checkpoint_interval,
            1,
            MOST_INTERVAL,
        )?;
        let percent = self.memory_threshold.unwrap_or(100.0);
        if !(percent > 0.0 && percent <= 100.0) {
            let field = "memory_threshold";
            return Err(ConfigError::NotAPercentage { field });
        }
        if let Sizing::Adaptive { least, most } = self.sizing {
            within("sizing.least", least, 1, MOST)?;
            within("sizing.most", most, least, MOST)?;
            within("chunk_size", self.chunk_size, least, most)?;
        }
        if self.progress_interval.is_zero() {
            let field = "progress_interval";
            return Err(ConfigError::ZeroDuration { field });
        }
        Ok(())
    }
}

fn within(field: &'static str, value: usize, from: usize, to: usize) -> Result<(), ConfigError> {
    if (from..=to).contains(&value) {
        return Ok(());
    }
    Err(ConfigError::OutOfRange {
        field,
        value,
        from,
        to,
    })
}

/// Why a batch processor cannot be built.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A percentage is none, or zero, which no run could meet.
    #[error("`{field}` must be above 0 and at most 100 percent; leave it out to have none")]
    NotAPercentage {
        /// The field of [`BatchConfig`].
        field: &'static str,
    },
    /// A number is too small or too large.
    #[error("`{field}` is {value}; it must be {from} to {to}")]
    OutOfRange {
        /// The field of [`BatchConfig`].
        field: &'static str,
        /// Its value.
        value: usize,
        /// The smallest possible value.
        from: usize,
        /// The largest possible value.
        to: usize,
    },
    /// An interval of zero would do nothing but tell of progress.
    #[error("`{field}` is zero; it must be longer")]
    ZeroDuration {
        /// The field of [`BatchConfig`].
        field: &'static str,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_the_promised_ones_and_valid() {
        let config = BatchConfig::default();
        assert_eq!(
            (
                config.chunk_size,
                config.concurrency,
                config.checkpoint_interval
            ),
            (20, 5, 100)
        );
        assert_eq!(
            (config.memory_threshold, config.error_threshold),
            (Some(80.0), Some(5))
        );
        assert_eq!(config.validate(), Ok(()));
    }

    #[test]
    fn impossible_values_are_named() {
        let base = BatchConfig::default;
        for (config, field) in [
            (base().chunk_size(0), "chunk_size"),
            (base().chunk_size(usize::MAX), "chunk_size"),
            (base().concurrency(0), "concurrency"),
            (base().checkpoint_interval(0), "checkpoint_interval"),
            (base().memory_threshold(0.0), "memory_threshold"),
            (base().memory_threshold(f64::NAN), "memory_threshold"),
            (base().adaptive(0, 5), "sizing.least"),
            (base().adaptive(8, 5), "sizing.most"),
            (base().adaptive(30, 50), "chunk_size"),
            (
                base().progress_interval(Duration::ZERO),
                "progress_interval",
            ),
        ] {
            let error = config.validate().unwrap_err().to_string();
            assert!(error.starts_with(&format!("`{field}`")), "{error}");
        }
    }
}
