//! How far a run is.
//!
//! A run tells of it at every [`progress_interval`](crate::BatchConfig::progress_interval) and once more at its end, to a
//! [callback](crate::Job::progress) or as a [stream](crate::Job::watch) that has the latest state whenever it is asked.

mod pace;

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures_core::Stream;
use parking_lot::Mutex;

pub(crate) use self::pace::Pace;

/// How far a run is.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Progress {
    /// How many items there are, if the source says so. At the end of a run it is known in any case.
    pub total: Option<u64>,
    /// Items that have ended: with a result, skipped or failed; those of earlier runs included.
    pub done: u64,
    /// Those of them that an earlier run had done, as the checkpoint says.
    pub restored: u64,
    /// Those that failed, in this run.
    pub failed: u64,
    /// Those that were skipped, in this run or an earlier one.
    pub skipped: u64,
    /// Attempts after the first that were made, in this run.
    pub retried: u64,
    /// Bytes that items have [told of](crate::ItemContext::add_bytes), in this run.
    pub bytes: u64,
    /// How long this run has taken.
    pub elapsed: Duration,
    /// Items per second over the last 30 seconds, or over the run if it is shorter. Restored items do not count.
    pub rate: f64,
    /// The items that are left divided by [`rate`](Self::rate); `None` while either is unknown, or nothing moves.
    pub time_left: Option<Duration>,
    /// Whether new chunks wait because too much memory is in use.
    pub waits_for_memory: bool,
    /// How long they have waited in all.
    pub memory_wait: Duration,
    /// Items per chunk at present.
    pub chunk_size: usize,
    /// Whether this is the last progress of the run.
    pub is_last: bool,
}

impl Progress {
    /// Items that have ended of a hundred, 0–100; `None` if their number is not known.
    #[must_use]
    pub fn percentage(&self) -> Option<f64> {
        let total = self.total?;
        if total == 0 {
            return Some(100.0);
        }
        Some(self.done.min(total) as f64 * 100.0 / total as f64)
    }
}

/// The progress of a run as a stream. It gives the latest state, so a slow reader misses some and never falls behind;
/// the last item has [`is_last`](Progress::is_last). It ends early if the run is dropped.
#[derive(Debug)]
#[must_use = "a stream does nothing unless it is polled"]
pub struct ProgressStream {
    shared: Arc<Mutex<Latest>>,
}

/// The run's end of the stream.
#[derive(Debug)]
pub(crate) struct Publisher {
    shared: Arc<Mutex<Latest>>,
}

#[derive(Debug, Default)]
struct Latest {
    /// What the reader has not seen yet.
    progress: Option<Progress>,
    reader: Option<Waker>,
    is_over: bool,
}

pub(crate) fn channel() -> (Publisher, ProgressStream) {
    let shared = Arc::new(Mutex::new(Latest::default()));
    let publisher = Publisher {
        shared: Arc::clone(&shared),
    };
    (publisher, ProgressStream { shared })
}

impl Publisher {
    pub(crate) fn publish(&self, progress: Progress) {
        let reader = {
            let mut latest = self.shared.lock();
            latest.progress = Some(progress);
            latest.reader.take()
        };
        // Without the lock: a waker may do anything.
        if let Some(reader) = reader {
            reader.wake();
        }
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        let reader = {
            let mut latest = self.shared.lock();
            latest.is_over = true;
            latest.reader.take()
        };
        if let Some(reader) = reader {
            reader.wake();
        }
    }
}

impl ProgressStream {
    /// Waits for a state that has not been seen; `None` after the last.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost if this future is dropped.
    pub async fn next(&mut self) -> Option<Progress> {
        std::future::poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }
}

impl Stream for ProgressStream {
    type Item = Progress;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Progress>> {
        let mut latest = self.shared.lock();
        match latest.progress.take() {
            Some(progress) => Poll::Ready(Some(progress)),
            None if latest.is_over => Poll::Ready(None),
            None => {
                latest.reader = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentage_of_nothing_is_all() {
        let of = |total, done| {
            let progress = Progress {
                total,
                done,
                ..Progress::default()
            };
            progress.percentage()
        };
        assert_eq!(of(None, 5), None);
        assert_eq!(of(Some(0), 0), Some(100.0));
        assert_eq!(of(Some(8), 2), Some(25.0));
    }
}
