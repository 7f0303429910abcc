//! What an attempt knows about itself.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

use crate::cell::OpRef;
use crate::handle::OperationId;

/// Handed to an operation's closure at the start of each attempt.
///
/// ```
/// # use aqe_queue::AttemptContext;
/// async fn fetch(cx: AttemptContext) -> Result<u32, String> {
///     if cx.attempt() == 1 { Err("try again".to_owned()) } else { Ok(cx.attempt()) }
/// }
/// ```
#[derive(Clone)]
pub struct AttemptContext {
    op: OpRef,
    attempt: u32,
}

impl AttemptContext {
    pub(crate) fn new(op: OpRef, attempt: u32) -> Self {
        Self { op, attempt }
    }

    pub(crate) const fn op(&self) -> &OpRef {
        &self.op
    }

    /// Returns the number of this attempt: 1 for the first.
    #[must_use]
    pub const fn attempt(&self) -> u32 {
        self.attempt
    }

    /// Returns the operation's id.
    #[must_use]
    pub fn id(&self) -> OperationId {
        OperationId::new(self.op.header().id())
    }

    /// Returns whether this attempt should come to an end: it was cancelled or timed out, another has been started,
    /// or the queue is shutting down and waits for it.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        let header = self.op.header();
        header.attempts() != self.attempt || header.is_ending() || self.op.home().is_stopping()
    }

    /// Returns the attempt's cancellation signal, for work that the attempt started elsewhere.
    ///
    /// A cancelled or timed-out attempt is itself dropped, without being asked; the signal is for the threads, tasks
    /// and processes that would outlive it, and for ending in good order while
    /// [`shutdown`](crate::AsyncOperationQueue::shutdown) waits.
    #[must_use]
    pub fn signal(&self) -> CancelSignal {
        if self.is_cancelled() {
            return CancelSignal::fired();
        }
        self.op.home().signal(&self.op)
    }

    /// Waits until [`is_cancelled`](Self::is_cancelled).
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost if this future is dropped.
    pub async fn cancelled(&self) {
        self.signal().cancelled().await;
    }
}

impl fmt::Debug for AttemptContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AttemptContext")
            .field("id", &self.id())
            .field("attempt", &self.attempt)
            .finish()
    }
}

/// Fires when an attempt ends without success or is asked to end. It never fires for one that succeeds.
#[derive(Clone, Debug)]
pub struct CancelSignal {
    inner: Arc<Signal>,
}

#[derive(Debug)]
struct Signal {
    /// Set once, before the waiters are notified.
    fired: AtomicBool,
    waiters: Notify,
}

impl CancelSignal {
    pub(crate) fn new() -> Self {
        Self {
            inner: Arc::new(Signal {
                fired: AtomicBool::new(false),
                waiters: Notify::new(),
            }),
        }
    }

    pub(crate) fn fired() -> Self {
        let signal = Self::new();
        signal.fire();
        signal
    }

    pub(crate) fn fire(&self) {
        // Release: what led to the cancellation is visible to whoever sees the flag.
        self.inner.fired.store(true, Ordering::Release);
        self.inner.waiters.notify_waiters();
    }

    /// Returns whether the signal has fired.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.inner.fired.load(Ordering::Acquire)
    }

    /// Waits until the signal fires.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost if this future is dropped.
    pub async fn cancelled(&self) {
        // Made before the flag is read: it is woken by every `fire` from here on.
        let notified = self.inner.waiters.notified();
        if !self.is_cancelled() {
            notified.await;
        }
    }
}
