//! How a queue is set up.
//!
//! [`QueueConfig`] is a plain value: read it from a file, change a field, hand it to
//! [`AsyncOperationQueue::new`](crate::AsyncOperationQueue::new), which checks it once. Impossible values are an error
//! that names the field; nothing is silently corrected.

use std::time::Duration;

use crate::budget::RetryBudget;
use crate::handle::OnDrop;
use crate::keys::KeyLimits;
use crate::priority::Priority;
use crate::retry::{Backoff, Jitter, RetryPolicy};
use crate::scheduling::Scheduling;
use crate::threshold::ErrorThreshold;

/// The settings of a queue. The defaults fit tens of thousands of short operations that wait for input and output.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct QueueConfig {
    /// How many operations run at once. 10 by default; [`resize`](crate::AsyncOperationQueue::resize) changes it later.
    pub max_concurrent: usize,
    /// How many operations one turn of a worker takes from the queue under one lock; their results are accounted and
    /// published together as well. 5 by default. While operations finish at once the batch grows, up to
    /// [`BATCH_GROWTH`] times this number; it falls back when one of them waits or takes long.
    pub batch_size: usize,
    /// How long one attempt may take before it is dropped. 30 s by default; `None` means as long as it likes.
    pub timeout: Option<Duration>,
    /// Attempts after the first. 3 by default; 0 means that nothing is retried.
    pub retry_attempts: u32,
    /// The delay before the first retry. 1 s by default; zero retries at once, without a timer.
    pub retry_delay: Duration,
    /// How the delay grows. Fixed by default.
    pub retry_backoff: Backoff,
    /// How much of the delay is left to chance. None by default.
    pub retry_jitter: Jitter,
    /// How many retries all operations may make together. `None`, the default, sets no limit but each one's policy.
    pub retry_budget: Option<RetryBudget>,
    /// How many operations may fail before the queue pauses or aborts. `None`, the default, sets no limit.
    pub error_threshold: Option<ErrorThreshold>,
    /// Which operation is next. By [priority](Scheduling::Priority), unless told otherwise.
    pub scheduling: Scheduling,
    /// Slots that only operations of a level, or more urgent ones, may use. None by default; see
    /// [`reserve`](Self::reserve).
    pub reserved: Vec<(Priority, usize)>,
    /// What operations of one [key](crate::Submission::key) may do together. One at a time by default.
    pub keys: KeyLimits,
    /// How many priority levels there are, 1–64. 5 by default, which are the named ones.
    pub priority_levels: u8,
    /// After how long a waiting operation is protected against more urgent ones; `None` lets it wait for ever behind
    /// them. 10 s by default.
    ///
    /// From then on one start in [`AGEING_SHARE`] goes to the operation, below the most urgent level, that has waited
    /// longest. So an operation with `n` longer-waiting ones before it starts at the latest after `ageing` and
    /// then `AGEING_SHARE × (n + 1)` further starts, however many urgent operations arrive.
    pub ageing: Option<Duration>,
    /// How many operations may wait (queued or between two attempts). 100,000 by default: about 20 MB of
    /// small operations, and at 1 ms each and ten at a time a backlog of ten seconds. Operations lie in blocks of up to
    /// 4 KiB with those that were submitted before and after them, and a block is kept by the last of them: if only few of
    /// many stay, such as those that wait for a late retry, each may keep that much. Operations that
    /// come back for a retry are never refused, so up to `max_concurrent` more can wait for a moment.
    pub capacity: usize,
    /// How many bytes the operations may stand for that have been accepted and have not ended, running ones
    /// included, as far as they [say](crate::Submission::weight); those that do not are bounded by `capacity` alone.
    /// `None`, the default, is without bound.
    pub capacity_bytes: Option<u64>,
    /// What happens to an operation that comes when the queue is full, by count or by bytes. It waits by default.
    pub overflow: Overflow,
    /// How long one poll of an operation may keep its worker before a warning is given
    /// ([`Event::Blocked`](crate::Event::Blocked)); `None` for ever. 100 ms by default. With several workers it is
    /// noticed while the poll goes on, to within some milliseconds. With one it is noticed afterwards; if a batch as a
    /// whole took that long and no single poll is known to have, then the next one that does is. An operation that wakes
    /// itself in its poll is polled up to four times in a row, which count as one.
    pub blocking: Option<Duration>,
    /// What dropping a handle does to its operation, unless the operation says otherwise. By default the operation
    /// is cancelled while it has not started and runs to its end once it has.
    pub on_drop: OnDrop,
    /// How many events a subscriber may be behind before it loses the oldest. 1,024 by default.
    pub event_capacity: usize,
    /// The seed of the jitter; `None` takes one from the system. A fixed seed makes delays repeatable in tests.
    pub seed: Option<u64>,
}

/// What happens to an operation that comes when the queue is full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Overflow {
    /// [`submit`](crate::Submission::submit) waits for room; [`try_submit`](crate::Submission::try_submit) hands the
    /// operation back.
    #[default]
    Wait,
    /// Both hand it back. [`run_all`](crate::AsyncOperationQueue::run_all) waits even so.
    Reject,
    /// Operations of less urgent levels are dropped from the queue to make room: of the least urgent level first, and
    /// in a level those that came last. Their handles give [`OperationError::Shed`](crate::OperationError::Shed).
    /// What waits aside for its [key](crate::Submission::key) is dropped like the rest; what runs, and what waits for
    /// another attempt, is not touched. If there is not enough to drop, nothing is
    /// dropped, and it is as with `Wait`: with [`Scheduling::Fifo`] always, since there is one level for all. The
    /// newcomer passes submitters that wait, since they lose no room by it.
    ShedLowest,
}

/// How many times [`QueueConfig::batch_size`] a batch may grow to while operations finish at once.
pub const BATCH_GROWTH: usize = 8;

/// One start in this many goes to an operation that has waited longer than [`QueueConfig::ageing`].
pub const AGEING_SHARE: u32 = 8;

/// The most priority levels a queue can have: one bit each in a word.
const MAX_LEVELS: u8 = 64;

/// The largest limit and batch: numbers beyond it are typing errors, not plans.
const MAX_COUNT: usize = 1 << 24;

impl Default for QueueConfig {
    fn default() -> Self {
        Self {
            max_concurrent: 10,
            batch_size: 5,
            timeout: Some(Duration::from_secs(30)),
            retry_attempts: 3,
            retry_delay: Duration::from_secs(1),
            retry_backoff: Backoff::Fixed,
            retry_jitter: Jitter::None,
            retry_budget: None,
            error_threshold: None,
            scheduling: Scheduling::Priority,
            reserved: Vec::new(),
            keys: KeyLimits::default(),
            priority_levels: 5,
            ageing: Some(Duration::from_secs(10)),
            capacity: 100_000,
            capacity_bytes: None,
            overflow: Overflow::Wait,
            blocking: Some(Duration::from_millis(100)),
            on_drop: OnDrop::CancelIfQueued,
            event_capacity: 1_024,
            seed: None,
        }
    }
}

impl QueueConfig {
    /// Sets [`max_concurrent`](Self::max_concurrent).
    #[must_use]
    pub const fn max_concurrent(mut self, operations: usize) -> Self {
        self.max_concurrent = operations;
        self
    }

    /// Sets [`batch_size`](Self::batch_size).
    #[must_use]
    pub const fn batch_size(mut self, operations: usize) -> Self {
        self.batch_size = operations;
        self
    }

    /// Sets [`timeout`](Self::timeout).
    #[must_use]
    pub fn timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.timeout = timeout.into();
        self
    }

    /// Sets all four fields of the retry policy.
    #[must_use]
    pub const fn retry(mut self, policy: RetryPolicy) -> Self {
        self.retry_attempts = policy.attempts;
        self.retry_delay = policy.delay;
        self.retry_backoff = policy.backoff;
        self.retry_jitter = policy.jitter;
        self
    }

    /// Sets [`retry_budget`](Self::retry_budget).
    #[must_use]
    pub fn retry_budget(mut self, budget: impl Into<Option<RetryBudget>>) -> Self {
        self.retry_budget = budget.into();
        self
    }

    /// Sets [`error_threshold`](Self::error_threshold).
    #[must_use]
    pub fn error_threshold(mut self, threshold: impl Into<Option<ErrorThreshold>>) -> Self {
        self.error_threshold = threshold.into();
        self
    }

    /// Sets [`scheduling`](Self::scheduling).
    #[must_use]
    pub const fn scheduling(mut self, scheduling: Scheduling) -> Self {
        self.scheduling = scheduling;
        self
    }

    /// Keeps `slots` of the `max_concurrent` for operations of this level and more urgent ones, in addition to what is
    /// reserved for other levels. Less urgent operations do not start in them even if they stay empty. At least one
    /// slot must be left for all.
    #[must_use]
    pub fn reserve(mut self, priority: Priority, slots: usize) -> Self {
        self.reserved.push((priority, slots));
        self
    }

    /// Sets [`keys`](Self::keys).
    #[must_use]
    pub const fn keys(mut self, limits: KeyLimits) -> Self {
        self.keys = limits;
        self
    }

    /// Sets [`priority_levels`](Self::priority_levels).
    #[must_use]
    pub const fn priority_levels(mut self, levels: u8) -> Self {
        self.priority_levels = levels;
        self
    }

    /// Sets [`ageing`](Self::ageing).
    #[must_use]
    pub fn ageing(mut self, ageing: impl Into<Option<Duration>>) -> Self {
        self.ageing = ageing.into();
        self
    }

    /// Sets [`capacity`](Self::capacity).
    #[must_use]
    pub const fn capacity(mut self, operations: usize) -> Self {
        self.capacity = operations;
        self
    }

    /// Sets [`capacity_bytes`](Self::capacity_bytes).
    #[must_use]
    pub fn capacity_bytes(mut self, bytes: impl Into<Option<u64>>) -> Self {
        self.capacity_bytes = bytes.into();
        self
    }

    /// Sets [`overflow`](Self::overflow).
    #[must_use]
    pub const fn overflow(mut self, policy: Overflow) -> Self {
        self.overflow = policy;
        self
    }

    /// Sets [`blocking`](Self::blocking).
    #[must_use]
    pub fn blocking(mut self, limit: impl Into<Option<Duration>>) -> Self {
        self.blocking = limit.into();
        self
    }

    /// Sets [`on_drop`](Self::on_drop).
    #[must_use]
    pub const fn on_drop(mut self, policy: OnDrop) -> Self {
        self.on_drop = policy;
        self
    }

    /// Sets [`event_capacity`](Self::event_capacity).
    #[must_use]
    pub const fn event_capacity(mut self, events: usize) -> Self {
        self.event_capacity = events;
        self
    }

    /// Sets [`seed`](Self::seed).
    #[must_use]
    pub fn seed(mut self, seed: impl Into<Option<u64>>) -> Self {
        self.seed = seed.into();
        self
    }

    /// Returns the four retry fields as one policy.
    #[must_use]
    pub const fn retry_policy(&self) -> RetryPolicy {
        RetryPolicy {
            attempts: self.retry_attempts,
            delay: self.retry_delay,
            backoff: self.retry_backoff,
            jitter: self.retry_jitter,
        }
    }

    /// Checks every field.
    ///
    /// # Errors
    ///
    /// [`ConfigError::OutOfRange`] names the first field whose value cannot work, the value and what is possible;
    /// [`ConfigError::Conflict`] the first that another field contradicts.
    pub fn validate(&self) -> Result<(), ConfigError> {
        const fn within(
            field: &'static str,
            value: usize,
            from: usize,
            to: usize,
        ) -> Result<(), ConfigError> {
            if value < from || value > to {
                return Err(ConfigError::OutOfRange {
                    field,
                    value,
                    from,
                    to,
                });
            }
            Ok(())
        }
        let checks = [
            within("max_concurrent", self.max_concurrent, 1, MAX_COUNT),
            within("batch_size", self.batch_size, 1, MAX_COUNT),
            within(
                "priority_levels",
                self.priority_levels as usize,
                1,
                MAX_LEVELS as usize,
            ),
            within("capacity", self.capacity, 1, usize::MAX / 2),
            within("event_capacity", self.event_capacity, 1, MAX_COUNT),
            match self.retry_budget {
                Some(budget) => within("retry_budget.burst", budget.burst as usize, 1, MAX_COUNT),
                None => Ok(()),
            },
            self.scheduling.validate(self.max_concurrent),
            self.keys.validate(),
            self.error_threshold.map_or(Ok(()), |it| it.validate()),
        ];
        for check in checks {
            check?;
        }
        if let Some(0) = self.capacity_bytes {
            return within("capacity_bytes", 0, 1, usize::MAX);
        }
        if let Some(Duration::ZERO) = self.timeout {
            return Err(ConfigError::ZeroDuration { field: "timeout" });
        }
        self.validate_reserved()
    }

    fn validate_reserved(&self) -> Result<(), ConfigError> {
        let field = "reserved";
        let mut all = 0usize;
        for (priority, slots) in &self.reserved {
            if let Priority::Level(level) = priority
                && *level >= self.priority_levels
            {
                return Err(ConfigError::OutOfRange {
                    field,
                    value: usize::from(*level),
                    from: 0,
                    to: usize::from(self.priority_levels - 1),
                });
            }
            all = all.saturating_add(*slots);
        }
        if all >= self.max_concurrent && all > 0 {
            return Err(ConfigError::OutOfRange {
                field,
                value: all,
                from: 0,
                to: self.max_concurrent - 1,
            });
        }
        if all > 0 && self.scheduling == Scheduling::Fifo {
            let with = "scheduling";
            return Err(ConfigError::Conflict { field, with });
        }
        Ok(())
    }
}

/// Why a queue cannot be built.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The system did not start a thread for the queue.
    #[error("no thread could be started for the queue: {kind}")]
    NoThread {
        /// What the system said.
        kind: std::io::ErrorKind,
    },
    /// A number is too small or too large.
    #[error("`{field}` is {value}; it must be {from} to {to}")]
    OutOfRange {
        /// The field of [`QueueConfig`].
        field: &'static str,
        /// Its value.
        value: usize,
        /// The smallest possible value.
        from: usize,
        /// The largest possible value.
        to: usize,
    },
    /// A timeout of zero would fail every operation; `None` is how to have no timeout.
    #[error("`{field}` is zero, which no operation could meet; leave it out to have none")]
    ZeroDuration {
        /// The field of [`QueueConfig`].
        field: &'static str,
    },
    /// Two settings contradict each other: slots cannot be reserved for levels where everything is of one level.
    #[error("`{field}` means nothing with this `{with}`; leave one of them out")]
    Conflict {
        /// The field of [`QueueConfig`] that would have no effect.
        field: &'static str,
        /// The field that is why.
        with: &'static str,
    },
    /// There is no runtime to run the workers on.
    #[error(
        "no tokio runtime is running here; build the queue inside one, or use `pair` and spawn the workers yourself"
    )]
    NoRuntime,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_the_promised_ones_and_valid() {
        let config = QueueConfig::default();
        assert_eq!(
            (
                config.max_concurrent,
                config.batch_size,
                config.priority_levels
            ),
            (10, 5, 5)
        );
        assert_eq!(config.timeout, Some(Duration::from_secs(30)));
        assert_eq!(
            config.retry_policy(),
            RetryPolicy::fixed(3, Duration::from_secs(1))
        );
        assert_eq!(config.validate(), Ok(()));
    }

    #[test]
    fn zero_retries_stay_zero() {
        assert_eq!(
            QueueConfig::default()
                .retry(RetryPolicy::none())
                .retry_policy()
                .attempts,
            0
        );
    }

    #[test]
    fn impossible_values_are_named() {
        let base = QueueConfig::default;
        for (config, field) in [
            (base().max_concurrent(0), "max_concurrent"),
            (base().max_concurrent(usize::MAX), "max_concurrent"),
            (base().batch_size(0), "batch_size"),
            (base().reserve(Priority::High, 10), "reserved"),
            (base().reserve(Priority::Level(5), 1), "reserved"),
            (
                base()
                    .reserve(Priority::High, 1)
                    .scheduling(Scheduling::Fifo),
                "reserved",
            ),
            (base().priority_levels(0), "priority_levels"),
            (base().priority_levels(65), "priority_levels"),
            (base().capacity(0), "capacity"),
            (base().event_capacity(0), "event_capacity"),
            (base().timeout(Duration::ZERO), "timeout"),
            (
                base().retry_budget(RetryBudget::default().burst(0)),
                "retry_budget.burst",
            ),
        ] {
            let error = config.validate().unwrap_err().to_string();
            assert!(error.starts_with(&format!("`{field}`")), "{error}");
        }
    }
}
