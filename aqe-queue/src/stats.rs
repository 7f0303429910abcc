//! What a queue tells about itself.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_core::Stream;
use tokio::time::{Interval, MissedTickBehavior};

use crate::body::Ending;
pub use crate::histogram::{Histogram, Quantiles};
use crate::shared::Shared;
use crate::state::Tick;

/// A snapshot of a queue, taken at one moment under one lock, so that its numbers agree:
/// `submitted` = `pending` + `running` + `waiting_for_retry` + `completed` + `failed` + `timed_out` +
/// `deadline_exceeded` + `cancelled` + `panicked` + `shed`.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct QueueStatus {
    /// Operations that wait for a slot.
    pub pending: usize,
    /// The same, level by level; index 0 is the most urgent.
    pub levels: Vec<LevelStatus>,
    /// Those of the pending operations whose [key](crate::Submission::key) was not free when their turn came.
    pub held: usize,
    /// How long the longest-waiting pending operation has waited.
    pub oldest_wait: Option<Duration>,
    /// Operations that run. Those that a worker has taken but not yet begun are included.
    pub running: usize,
    /// Those of the running operations that use another's slot: in each call of a
    /// [batch handler](crate::Registry::register_batch) all but one.
    pub sharing_a_slot: usize,
    /// Operations between two attempts.
    pub waiting_for_retry: usize,
    /// How many operations may run at once.
    pub max_concurrent: usize,
    /// How many operations may wait.
    pub capacity: usize,
    /// Whether starting operations is paused.
    pub is_paused: bool,
    /// Whether accepting operations is paused.
    pub is_admission_paused: bool,
    /// Whether the queue accepts nothing more.
    pub is_closed: bool,
    /// Operations ever accepted.
    pub submitted: u64,
    /// Operations that returned `Ok`.
    pub completed: u64,
    /// Operations whose last attempt returned `Err`.
    pub failed: u64,
    /// Operations whose last attempt timed out.
    pub timed_out: u64,
    /// Operations whose deadline passed.
    pub deadline_exceeded: u64,
    /// Operations that were cancelled, for whatever reason.
    pub cancelled: u64,
    /// Operations that panicked.
    pub panicked: u64,
    /// Operations that were dropped from the queue to make room for more urgent ones.
    pub shed: u64,
    /// How many bytes the operations stand for that have been accepted and have not ended, as far as they
    /// [say](crate::Submission::weight).
    pub bytes: u64,
    /// Retries: attempts after the first that were scheduled.
    pub retried: u64,
    /// Retries that were not made because the [budget](crate::QueueConfig::retry_budget) was empty.
    pub retries_refused: u64,
    /// Attempts that timed out, whether they were retried or not.
    pub attempts_timed_out: u64,
    /// Operations that held a slot and ended, per second, over the last ten seconds or since the queue was made.
    pub throughput: f64,
    /// How long attempts waited for their slot.
    pub wait: Quantiles,
    /// How long attempts that ended an operation ran. One that ends on its first poll is counted with the mean
    /// of its batch: a clock reading for each would cost more than many of them take.
    pub run: Quantiles,
    /// Polls that kept a worker longer than [`blocking`](crate::QueueConfig::blocking), as far as that was noticed.
    pub blocking_polls: u64,
    /// Dedicated threads that the system did not bind to the CPU [asked for](crate::QueueBuilder::pin).
    pub not_pinned: usize,
    /// How long the queue has existed.
    pub uptime: Duration,
}

/// How long attempts waited and ran, in a form that can be merged with another queue's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Histograms {
    /// As [`QueueStatus::wait`].
    pub wait: Histogram,
    /// As [`QueueStatus::run`].
    pub run: Histogram,
}

impl Histograms {
    /// Adds what another queue has measured.
    pub fn merge(&mut self, other: &Self) {
        self.wait.merge(&other.wait);
        self.run.merge(&other.run);
    }
}

/// One level of a [`QueueStatus`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LevelStatus {
    /// Operations of this level that wait for a slot.
    pub pending: usize,
    /// How long the first of them has waited.
    pub oldest_wait: Option<Duration>,
}

/// What has happened to operations so far.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counters {
    pub(crate) submitted: u64,
    pub(crate) completed: u64,
    pub(crate) failed: u64,
    pub(crate) timed_out: u64,
    pub(crate) deadline_exceeded: u64,
    pub(crate) cancelled: u64,
    pub(crate) panicked: u64,
    pub(crate) shed: u64,
    pub(crate) retried: u64,
    pub(crate) attempts_timed_out: u64,
}

impl Counters {
    pub(crate) const fn count(&mut self, ending: Ending) {
        match ending {
            Ending::Completed => self.completed += 1,
            Ending::Failed => self.failed += 1,
            Ending::TimedOut => self.timed_out += 1,
            Ending::DeadlineExceeded => self.deadline_exceeded += 1,
            Ending::Cancelled(_) => self.cancelled += 1,
            Ending::Panicked => self.panicked += 1,
            Ending::Shed => self.shed += 1,
        }
    }

    pub(crate) const fn ended(&self) -> u64 {
        self.completed
            + self.failed
            + self.timed_out
            + self.deadline_exceeded
            + self.cancelled
            + self.panicked
            + self.shed
    }
}

/// Counts over the last ten seconds, second by second.
#[derive(Clone, Debug)]
pub(crate) struct Rate {
    seconds: [u64; WINDOW],
    /// The second that `add` or `per_second` last saw.
    last: u64,
}

const WINDOW: usize = 10;
const SECOND: u64 = 1_000_000_000;

impl Rate {
    pub(crate) const fn new() -> Self {
        Self {
            seconds: [0; WINDOW],
            last: 0,
        }
    }

    pub(crate) fn add(&mut self, now: Tick, count: u64) {
        self.forget_before(now / SECOND);
        self.seconds[(self.last % WINDOW as u64) as usize] += count;
    }

    pub(crate) fn per_second(&mut self, now: Tick) -> f64 {
        self.forget_before(now / SECOND);
        let sum: u64 = self.seconds.iter().sum();
        // The window holds the nine seconds before this one and what has passed of this one.
        let oldest = (now / SECOND).saturating_sub(WINDOW as u64 - 1) * SECOND;
        let span = now - oldest;
        if span == 0 {
            0.0
        } else {
            sum as f64 * SECOND as f64 / span as f64
        }
    }

    fn forget_before(&mut self, second: u64) {
        let passed = second.saturating_sub(self.last).min(WINDOW as u64);
        for ago in 0..passed {
            self.seconds[((second - ago) % WINDOW as u64) as usize] = 0;
        }
        self.last = self.last.max(second);
    }
}

/// A status every so often, for live views: see [`watch`](crate::AsyncOperationQueue::watch).
pub struct StatusStream {
    shared: Arc<Shared>,
    interval: Interval,
    ended: bool,
}

impl StatusStream {
    pub(crate) fn new(shared: Arc<Shared>, every: Duration) -> Self {
        // An interval of zero would panic; a millisecond is as often as the timer can tell.
        let mut interval = tokio::time::interval(every.max(Duration::from_millis(1)));
        interval.set_missed_tick_behavior(MissedTickBehavior::Skip);
        Self {
            shared,
            interval,
            ended: false,
        }
    }

    /// Waits for the next status: the first at once, then one per interval, and a last one when the queue is closed
    /// and nothing is left in it; then `None`.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost if this future is dropped.
    pub async fn next(&mut self) -> Option<QueueStatus> {
        std::future::poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }
}

impl Stream for StatusStream {
    type Item = QueueStatus;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<QueueStatus>> {
        if self.ended {
            return Poll::Ready(None);
        }
        if self.interval.poll_tick(cx).is_pending() {
            return Poll::Pending;
        }
        let status = self.shared.status();
        self.ended =
            status.is_closed && status.running + status.pending + status.waiting_for_retry == 0;
        Poll::Ready(Some(status))
    }
}

impl fmt::Debug for StatusStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StatusStream")
            .field("every", &self.interval.period())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn throughput_is_of_the_last_ten_seconds() {
        let mut rate = Rate::new();
        for second in 0..100 {
            rate.add(second * SECOND, 50);
        }
        let full = rate.per_second(100 * SECOND - 1);
        assert!((49.9..50.1).contains(&full), "{full}");
        assert_eq!(rate.per_second(200 * SECOND), 0.0);
    }

    #[test]
    fn throughput_of_a_young_queue_is_not_diluted() {
        let mut rate = Rate::new();
        rate.add(0, 30);
        assert_eq!(rate.per_second(SECOND / 2), 60.0);
        assert_eq!(Rate::new().per_second(0), 0.0);
    }
}
