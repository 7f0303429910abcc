//! What all workers of a run look at before they start an item: may they?
//!
//! The number of errors and every other reason to stop are one word. Whoever records an error raises it, and whoever
//! starts an item reads it, so there is no moment between the error that is one too many and the stop: no item starts
//! after it was recorded, with however many workers. The word changes with errors only, so it stays in every
//! processor's cache and a look costs next to nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::task::{Wake, Waker};
use std::time::Duration;

use crossbeam_utils::CachePadded;
use parking_lot::{Condvar, Mutex};

use crate::error::Stopped;

/// Larger than any count of errors, and so than any threshold.
const STOP: u64 = 1 << 62;

/// Futures that run are to be dropped, not waited for.
const DROP: u64 = 1 << 63;

/// Whether items may start, chunks may be claimed, and who waits for either.
pub(crate) struct Switch {
    /// The count of errors, and flags above it. Raised with `AcqRel`: whoever sees the number sees the error's entry.
    word: CachePadded<AtomicU64>,
    threshold: u64,
    /// Whether new chunks wait for memory. Set by the ticker.
    is_holding: CachePadded<AtomicBool>,
    /// Items per chunk at present. Set by the ticker.
    chunk: AtomicUsize,
    skips_left: AtomicU64,
    reason: Mutex<Option<Stopped>>,
    /// The tasks of the run, if it has any.
    waiters: Arc<Waiters>,
    /// Whether somebody waits for the disk or for the consumer, who move often and need not wake anybody else.
    is_awaited: CachePadded<AtomicBool>,
    sleep: Mutex<()>,
    /// Threads that wait for the same.
    changed: Condvar,
}

impl Switch {
    pub(crate) fn new(threshold: Option<u64>, skips: u64, chunk: usize) -> Arc<Self> {
        Arc::new(Self {
            word: CachePadded::new(AtomicU64::new(0)),
            threshold: threshold.unwrap_or(STOP - 1).min(STOP - 1),
            is_holding: CachePadded::new(AtomicBool::new(false)),
            chunk: AtomicUsize::new(chunk),
            skips_left: AtomicU64::new(skips),
            reason: Mutex::new(None),
            waiters: Arc::new(Waiters::default()),
            is_awaited: CachePadded::new(AtomicBool::new(false)),
            sleep: Mutex::new(()),
            changed: Condvar::new(),
        })
    }

    /// Whether an item may start.
    #[inline]
    pub(crate) fn may_start(&self) -> bool {
        self.word.load(Ordering::Acquire) <= self.threshold
    }

    /// Whether futures that run are to be dropped.
    pub(crate) fn drops_running(&self) -> bool {
        self.word.load(Ordering::Acquire) & DROP != 0
    }

    /// Counts an error. The error itself must be where it belongs by now.
    pub(crate) fn count_error(&self) {
        let errors = self.word.fetch_add(1, Ordering::AcqRel) & (STOP - 1);
        if errors == self.threshold {
            let threshold = self.threshold;
            self.set_reason(Stopped::TooManyErrors { threshold });
            self.wake();
        }
    }

    /// Takes one of the skips that are left.
    pub(crate) fn take_skip(&self) -> bool {
        let take = |left: u64| left.checked_sub(1);
        self.skips_left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, take)
            .is_ok()
    }

    /// Ends the run; items that run come to their end.
    pub(crate) fn stop(&self, reason: Stopped) {
        self.set_reason(reason);
        self.word.fetch_or(STOP, Ordering::AcqRel);
        self.wake();
    }

    /// Ends the run as [`stop`](Self::stop) does, for a reason that somebody else gives.
    pub(crate) fn stop_without_reason(&self) {
        self.word.fetch_or(STOP, Ordering::AcqRel);
        self.wake();
    }

    /// Ends the run; futures that run are dropped.
    pub(crate) fn cancel(&self) {
        self.set_reason(Stopped::Cancelled);
        self.word.fetch_or(STOP | DROP, Ordering::AcqRel);
        self.wake();
    }

    /// Ends the run because its processor is shut down; futures that run are dropped.
    pub(crate) fn shut_down(&self) {
        self.set_reason(Stopped::ShutDown);
        self.word.fetch_or(STOP | DROP, Ordering::AcqRel);
        self.wake();
    }

    /// Ends the run at once, for a reason that is on its way by other means.
    pub(crate) fn abandon(&self) {
        self.word.fetch_or(STOP | DROP, Ordering::AcqRel);
        self.wake();
    }

    fn set_reason(&self, reason: Stopped) {
        self.reason.lock().get_or_insert(reason);
    }

    /// Why the run ended, if it did not come to its end.
    pub(crate) fn take_reason(&self) -> Option<Stopped> {
        self.reason.lock().take()
    }

    #[inline]
    pub(crate) fn is_holding(&self) -> bool {
        self.is_holding.load(Ordering::Relaxed)
    }

    pub(crate) fn hold(&self, hold: bool) {
        if self.is_holding.swap(hold, Ordering::Relaxed) && !hold {
            self.wake();
        }
    }

    #[inline]
    pub(crate) fn chunk(&self) -> usize {
        self.chunk.load(Ordering::Relaxed)
    }

    pub(crate) fn set_chunk(&self, items: usize) {
        if self.chunk.swap(items, Ordering::Relaxed) < items {
            self.wake();
        }
    }

    pub(crate) fn waiters(&self) -> &Arc<Waiters> {
        &self.waiters
    }

    /// Whether `blocked` keeps the caller from going on. If so, the next [`progressed`](Self::progressed) wakes it.
    pub(crate) fn awaits(&self, blocked: impl Fn() -> bool) -> bool {
        if !blocked() {
            return false;
        }
        // Marked before the second look: what moves in between is either seen or sees the mark. Both sides need a total
        // order for that.
        self.is_awaited.store(true, Ordering::SeqCst);
        std::sync::atomic::fence(Ordering::SeqCst);
        blocked()
    }

    /// Wakes everyone, if somebody waits for what has moved.
    pub(crate) fn progressed(&self) {
        std::sync::atomic::fence(Ordering::SeqCst);
        if self.is_awaited.swap(false, Ordering::SeqCst) {
            self.wake();
        }
    }

    /// Wakes everyone who waits, to look again.
    pub(crate) fn wake(&self) {
        self.waiters.wake_all();
        // The lock is taken so that nobody is between their look and their sleep.
        drop(self.sleep.lock());
        self.changed.notify_all();
    }

    /// Keeps a thread here while `wait` says so.
    pub(crate) fn wait_while(&self, mut wait: impl FnMut() -> bool) {
        let mut guard = self.sleep.lock();
        while wait() {
            self.changed.wait(&mut guard);
        }
    }

    /// Keeps a thread here while `wait` says so, and for this long at most; whether the time was over first.
    pub(crate) fn wait_while_for(&self, time: Duration, mut wait: impl FnMut() -> bool) -> bool {
        let mut guard = self.sleep.lock();
        let waited = self.changed.wait_while_for(&mut guard, |()| wait(), time);
        waited.timed_out()
    }
}

/// The tasks of a run. Each is here from its start, so whatever changes wakes it, and it looks again.
#[derive(Default)]
pub(crate) struct Waiters {
    wakers: Mutex<Vec<Waker>>,
}

impl Waiters {
    /// Adds a task by a waker that stays good.
    pub(crate) fn add(&self, waker: Waker) {
        self.wakers.lock().push(waker);
    }

    fn wake_all(&self) {
        // Wakers of ours: they take a lock of the task's own and wake it, and call nothing of anybody else's.
        let wakers = self.wakers.lock();
        wakers.iter().for_each(Waker::wake_by_ref);
    }
}

/// A source that is polled for one of several tasks wakes them all, as any of them may be the one to go on.
impl Wake for Waiters {
    fn wake(self: Arc<Self>) {
        self.wake_all();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.wake_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_error_more_than_allowed_stops() {
        for threshold in [0, 1, 5] {
            let switch = Switch::new(Some(threshold), 0, 1);
            for _ in 0..threshold {
                switch.count_error();
                assert!(switch.may_start());
            }
            switch.count_error();
            assert!(!switch.may_start() && !switch.drops_running());
            // Items that were running may fail as well; it changes nothing.
            switch.count_error();
            let reason = switch.take_reason();
            assert!(
                matches!(reason, Some(Stopped::TooManyErrors { threshold: it }) if it == threshold)
            );
        }
    }

    #[test]
    fn the_first_reason_is_the_one_that_is_told() {
        let switch = Switch::new(None, 2, 1);
        assert!(switch.take_skip() && switch.take_skip() && !switch.take_skip());
        switch.count_error();
        assert!(switch.may_start());
        switch.cancel();
        switch.stop(Stopped::NoRuntime);
        assert!(!switch.may_start() && switch.drops_running());
        assert!(matches!(switch.take_reason(), Some(Stopped::Cancelled)));
    }
}
