//! What an operation learns about the run around it.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::error::Stopped;
use crate::meter::Meter;
use crate::switch::Switch;

/// Handed to the operation with each attempt of an item.
#[derive(Clone)]
pub struct ItemContext {
    pub(super) item: u64,
    pub(super) attempt: u32,
    pub(super) link: Arc<Link>,
}

/// What the contexts of one lane share.
pub(super) struct Link {
    pub(super) switch: Arc<Switch>,
    meters: Arc<[Meter]>,
    /// The place of the lane's own meter.
    at: usize,
    /// Items of the lane that rest. Relaxed: whoever raises it wakes the lane, which orders it.
    resting: AtomicUsize,
}

impl Link {
    pub(super) fn new(switch: &Arc<Switch>, meters: &Arc<[Meter]>, at: usize) -> Self {
        Self {
            switch: Arc::clone(switch),
            meters: Arc::clone(meters),
            at,
            resting: AtomicUsize::new(0),
        }
    }

    #[inline]
    pub(super) fn resting(&self) -> usize {
        self.resting.load(Ordering::Relaxed)
    }

    pub(super) fn meter(&self) -> &Meter {
        &self.meters[self.at]
    }
}

impl ItemContext {
    /// The number of the item: the first has 0.
    #[must_use]
    pub fn item(&self) -> u64 {
        self.item
    }

    /// The number of the attempt: the first has 1.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// Tells that so many bytes have been processed, for [`Progress::bytes`](crate::Progress::bytes).
    pub fn add_bytes(&self, bytes: u64) {
        self.link.meter().bytes(bytes);
    }

    /// Tells that the operation has tried again by itself, for [`Progress::retried`](crate::Progress::retried).
    pub fn count_retry(&self) {
        self.link.meter().retried();
    }

    /// Says that the item waits for nothing that this run could hurry, such as the delay before a retry elsewhere. While
    /// what is returned lives, the item does not count to its chunk, and another starts in its place. Up to as many items
    /// as may be in flight rest so; those beyond count.
    ///
    /// ```
    /// use std::time::Duration;
    /// use aqe_batch::{BatchConfig, BatchProcessor, ItemContext};
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// // One item at a time, and each waits for a minute that costs nobody anything.
    /// let processor = BatchProcessor::new(BatchConfig::default().chunk_size(1).concurrency(1))?;
    /// let operation = |_: u64, cx: ItemContext| async move {
    ///     let _rest = cx.rest();
    ///     Ok::<_, std::convert::Infallible>(tokio::time::sleep(Duration::from_secs(60)).await)
    /// };
    /// let report = processor.job("rest").run(0..2, operation).await?;
    /// assert_eq!(report.progress.elapsed.as_secs(), 60);
    /// # Ok(()) }
    /// ```
    #[must_use = "the item rests for as long as this lives"]
    pub fn rest(&self) -> Rest {
        let rest = Rest::new(&self.link);
        // From a thread of somebody else's the lane would not look again by itself.
        self.link.switch.wake();
        rest
    }

    /// Ends the run for a reason that concerns more than this item, such as a server that is gone: no item starts any
    /// more, and those that run come to their end, this one included. The run is told
    /// [`Stopped::ByItem`](crate::Stopped::ByItem), unless it has been stopped already.
    pub fn stop_run(&self, reason: impl Into<String>) {
        let (item, reason) = (self.item, reason.into());
        self.link.switch.stop(Stopped::ByItem { item, reason });
    }

    /// Whether the run has been stopped; a long operation may look, and end early.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        !self.link.switch.may_start()
    }
}

/// An item that rests, for as long as this lives; see [`ItemContext::rest`].
pub struct Rest {
    link: Arc<Link>,
}

impl Rest {
    pub(super) fn new(link: &Arc<Link>) -> Self {
        link.resting.fetch_add(1, Ordering::Relaxed);
        Self {
            link: Arc::clone(link),
        }
    }
}

impl Drop for Rest {
    fn drop(&mut self) {
        self.link.resting.fetch_sub(1, Ordering::Relaxed);
    }
}

impl fmt::Debug for Rest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rest").finish_non_exhaustive()
    }
}

impl fmt::Debug for ItemContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ItemContext")
            .field("item", &self.item)
            .field("attempt", &self.attempt)
            .finish_non_exhaustive()
    }
}
