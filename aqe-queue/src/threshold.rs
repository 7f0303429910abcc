//! Limits beyond which a queue stops starting operations, or gives up what waits.
//!
//! An [`ErrorThreshold`] looks at operations that ended within a window of time; a [`MemoryThreshold`] at what a function
//! of the caller's returns, such as the memory of the process or of its control group. Both tell of it as
//! [`Event::ThresholdExceeded`](crate::Event::ThresholdExceeded). A queue that is being drained is told of, but not paused:
//! it must come to its end.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use parking_lot::Mutex;

use crate::config::ConfigError;
use crate::state::{Tick, nanos};

/// What happens when a threshold is exceeded. What runs goes on in either case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ThresholdAction {
    /// Nothing more is started, as by [`pause`](crate::AsyncOperationQueue::pause).
    #[default]
    Pause,
    /// What waits is cancelled, as by [`clear`](crate::AsyncOperationQueue::clear) but with
    /// [`CancelReason::Threshold`](crate::CancelReason::Threshold); what is submitted later runs.
    Abort,
}

/// Which threshold was exceeded, and by what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Exceeded {
    /// Too many operations failed within the window.
    Errors {
        /// Operations that failed.
        failed: u64,
        /// Operations that ended, failed ones included.
        of: u64,
    },
    /// Too much memory is used.
    Memory {
        /// Bytes that are used.
        used: u64,
        /// Bytes that may be.
        limit: u64,
    },
}

/// How many operations may fail.
///
/// Counted are operations that failed, timed out, missed their deadline or panicked, not their single attempts; those
/// that were cancelled are not counted at all. In the moment in which the last tolerated failure is accounted for the
/// queue starts nothing more, whatever the concurrency; what runs by then can add to the failures. After it has acted
/// it counts from zero. A pause lasts until [`resume`](crate::AsyncOperationQueue::resume).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ErrorThreshold {
    /// How many failures are too many.
    pub limit: ErrorLimit,
    /// Over how much time. It moves on in ten steps. A minute, unless set.
    pub window: Duration,
    /// What happens then. A pause, unless set.
    pub action: ThresholdAction,
}

/// How many failures are too many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorLimit {
    /// This many, at least 1.
    Count(u64),
    /// This many of a hundred that ended, 1–100, once at least `of` have.
    Percent {
        /// Failures per hundred.
        percent: u32,
        /// A share of fewer operations means nothing.
        of: u64,
    },
}

impl ErrorThreshold {
    /// Makes a threshold over a minute that pauses.
    #[must_use]
    pub const fn new(limit: ErrorLimit) -> Self {
        Self {
            limit,
            window: Duration::from_secs(60),
            action: ThresholdAction::Pause,
        }
    }

    /// Sets [`window`](Self::window).
    #[must_use]
    pub const fn window(mut self, window: Duration) -> Self {
        self.window = window;
        self
    }

    /// Sets [`action`](Self::action).
    #[must_use]
    pub const fn action(mut self, action: ThresholdAction) -> Self {
        self.action = action;
        self
    }

    pub(crate) const fn validate(&self) -> Result<(), ConfigError> {
        let (value, to) = match self.limit {
            ErrorLimit::Count(count) => (count as usize, usize::MAX),
            ErrorLimit::Percent { percent, .. } => (percent as usize, 100),
        };
        if value < 1 || value > to {
            return Err(ConfigError::OutOfRange {
                field: "error_threshold.limit",
                value,
                from: 1,
                to,
            });
        }
        if self.window.is_zero() {
            return Err(ConfigError::ZeroDuration {
                field: "error_threshold.window",
            });
        }
        Ok(())
    }
}

/// How much memory may be used.
///
/// A pause ends by itself when the use has fallen to `resume_at`, unless somebody else paused the queue as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MemoryThreshold {
    /// More bytes than this are too many.
    pub limit: u64,
    /// At this many bytes it is over. Nine tenths of the limit, unless set.
    pub resume_at: u64,
    /// How often the memory is looked at; every 100 ms, unless set, and at most every millisecond.
    pub every: Duration,
    /// What happens then. A pause, unless set.
    pub action: ThresholdAction,
}

impl MemoryThreshold {
    /// Makes a threshold that pauses beyond `limit` bytes.
    #[must_use]
    pub const fn new(limit: u64) -> Self {
        Self {
            limit,
            resume_at: limit - limit / 10,
            every: Duration::from_millis(100),
            action: ThresholdAction::Pause,
        }
    }

    /// Sets [`resume_at`](Self::resume_at).
    #[must_use]
    pub const fn resume_at(mut self, bytes: u64) -> Self {
        self.resume_at = bytes;
        self
    }

    /// Sets [`every`](Self::every).
    #[must_use]
    pub const fn every(mut self, every: Duration) -> Self {
        self.every = every;
        self
    }

    /// Sets [`action`](Self::action).
    #[must_use]
    pub const fn action(mut self, action: ThresholdAction) -> Self {
        self.action = action;
        self
    }
}

/// Failures and ends in the window, a tenth of it in each slot.
#[derive(Debug)]
pub(crate) struct ErrorWindow {
    settings: ErrorThreshold,
    slots: [Ends; SLOTS],
    /// The tenth of a window, counted from the start of the queue, that was last written to.
    last: u64,
    /// Since the time was last told.
    latest: Ends,
}

#[derive(Clone, Copy, Debug, Default)]
struct Ends {
    failed: u64,
    all: u64,
}

const SLOTS: usize = 10;

impl ErrorWindow {
    pub(crate) fn new(settings: ErrorThreshold) -> Self {
        Self {
            settings,
            slots: [Ends::default(); SLOTS],
            last: 0,
            latest: Ends::default(),
        }
    }

    pub(crate) const fn record(&mut self, failed: bool) {
        self.latest.all += 1;
        if failed {
            self.latest.failed += 1;
        }
    }

    /// Says whether the threshold is exceeded, and then begins anew.
    pub(crate) fn turn(&mut self, now: Tick) -> Option<(Exceeded, ThresholdAction)> {
        let slot = now / (nanos(self.settings.window) / SLOTS as u64).max(1);
        let passed = slot.saturating_sub(self.last).min(SLOTS as u64);
        for ago in 0..passed {
            self.slots[((slot - ago) % SLOTS as u64) as usize] = Ends::default();
        }
        self.last = self.last.max(slot);
        let latest = std::mem::take(&mut self.latest);
        let current = &mut self.slots[(self.last % SLOTS as u64) as usize];
        current.failed += latest.failed;
        current.all += latest.all;

        let failed = self.slots.iter().map(|slot| slot.failed).sum::<u64>();
        let of = self.slots.iter().map(|slot| slot.all).sum::<u64>();
        let is_exceeded = match self.settings.limit {
            ErrorLimit::Count(count) => failed >= count,
            ErrorLimit::Percent { percent, of: least } => {
                of >= least.max(1) && failed * 100 >= of * u64::from(percent)
            }
        };
        is_exceeded.then(|| {
            self.slots = [Ends::default(); SLOTS];
            (Exceeded::Errors { failed, of }, self.settings.action)
        })
    }
}

/// A memory threshold with its probe, in the hands of the keeper of the time.
pub(crate) struct Memory {
    pub(crate) settings: MemoryThreshold,
    probe: Box<dyn Fn() -> Option<u64> + Send + Sync>,
    watch: Mutex<MemoryWatch>,
}

impl Memory {
    pub(crate) fn new(
        settings: MemoryThreshold,
        probe: impl Fn() -> Option<u64> + Send + Sync + 'static,
    ) -> Self {
        Self {
            settings,
            probe: Box::new(probe),
            watch: Mutex::new(MemoryWatch::new(settings)),
        }
    }

    /// Looks at the memory if it is time, and returns what that means, and when to look next.
    pub(crate) fn look(&self, now: Tick) -> (Option<Change>, Tick) {
        let next = self.watch.lock().next;
        if now < next {
            return (None, next);
        }
        // The user's code: not under the lock, and its panic costs no more than this one look.
        let used = catch_unwind(AssertUnwindSafe(|| (self.probe)()));
        let used = used.unwrap_or_else(|payload| {
            crate::cell::discard(payload);
            None
        });
        let mut watch = self.watch.lock();
        let change = used.and_then(|used| watch.judge(used));
        watch.next = now.saturating_add(nanos(self.settings.every).max(MILLISECOND));
        (change, watch.next)
    }

    /// Takes note of whether the pause is this threshold's own.
    pub(crate) fn set_paused(&self, paused: bool) -> bool {
        std::mem::replace(&mut self.watch.lock().paused, paused)
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Memory").field(&self.settings).finish()
    }
}

const MILLISECOND: u64 = 1_000_000;

#[derive(Debug)]
struct MemoryWatch {
    settings: MemoryThreshold,
    next: Tick,
    is_exceeded: bool,
    paused: bool,
}

/// What a look at the memory has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    Exceeded(u64),
    Over,
}

impl MemoryWatch {
    const fn new(settings: MemoryThreshold) -> Self {
        Self {
            settings,
            next: 0,
            is_exceeded: false,
            paused: false,
        }
    }

    const fn judge(&mut self, used: u64) -> Option<Change> {
        if !self.is_exceeded && used > self.settings.limit {
            self.is_exceeded = true;
            return Some(Change::Exceeded(used));
        }
        if self.is_exceeded && used <= self.settings.resume_at {
            self.is_exceeded = false;
            return Some(Change::Over);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Tick = 1_000_000_000;

    fn window(limit: ErrorLimit) -> ErrorWindow {
        ErrorWindow::new(ErrorThreshold::new(limit).window(Duration::from_secs(10)))
    }

    fn play(window: &mut ErrorWindow, failed: u64, of: u64, now: Tick) -> bool {
        (0..of).for_each(|number| window.record(number < failed));
        window.turn(now).is_some()
    }

    #[test]
    fn count_is_of_the_window() {
        let mut window = window(ErrorLimit::Count(3));
        assert!(!play(&mut window, 2, 2, 0));
        assert!(!play(&mut window, 0, 1_000, 5 * SECOND));
        // The first two are still in it, to its last nanosecond, and then no more.
        assert!(!play(&mut window, 0, 0, 10 * SECOND - 1));
        assert!(!play(&mut window, 2, 2, 10 * SECOND));
        assert!(play(&mut window, 1, 1, 11 * SECOND));
        // It begins anew.
        assert!(!play(&mut window, 2, 2, 11 * SECOND));
        assert!(play(&mut window, 1, 1, 11 * SECOND));
        assert!(!play(&mut window, 2, 2, u64::MAX));
    }

    #[test]
    fn share_needs_enough_operations() {
        let limit = ErrorLimit::Percent {
            percent: 50,
            of: 10,
        };
        let mut window = window(limit);
        assert!(!play(&mut window, 9, 9, 0));
        assert!(!play(&mut window, 0, 10, 1));
        // Nine of nineteen, ten of twenty.
        assert!(play(&mut window, 1, 1, 2));
    }

    #[test]
    fn memory_has_two_marks() {
        let mut watch = MemoryWatch::new(MemoryThreshold::new(1_000));
        let changes =
            [1_000, 1_001, 2_000, 950, 901, 900, 950, 1_001].map(|used| watch.judge(used));
        let expected = [
            None,
            Some(Change::Exceeded(1_001)),
            None,
            None,
            None,
            Some(Change::Over),
            None,
            Some(Change::Exceeded(1_001)),
        ];
        assert_eq!(changes, expected);
    }
}
