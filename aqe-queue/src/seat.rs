//! What one worker has in hand, where its siblings can reach it.
//!
//! A worker that is stuck in an operation's poll must not take others with it, so everything it has taken but is not
//! polling at this moment lies here, under a lock that is free most of the time.

#[cfg(all(loom, test))]
mod loom_tests;

use std::collections::VecDeque;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::body::Ending;
use crate::cell::{self, OpRef, Owned, Stop};
use crate::error::CancelReason;
use crate::state::{Slots, Taken, Tick};
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicU64, Ordering};

/// Aligned to two cache lines, the unit in which neighbouring lines are fetched, so that workers do not slow one
/// another down.
#[repr(align(128))]
pub(crate) struct Seat {
    pub(crate) local: Mutex<Local>,
}

pub(crate) struct Local {
    /// Taken from the queue and not begun.
    pub(crate) fresh: VecDeque<Taken<Owned>>,
    /// Woken.
    pub(crate) ready: VecDeque<OpRef>,
    /// Over, and not yet accounted for.
    pub(crate) done: Vec<Done>,
    /// Begun, and waiting to be woken, or in a ready list.
    pub(crate) slots: Slots<OpRef>,
    /// Operations polled so far, by which the keeper sees that the worker moves.
    pub(crate) polls: u64,
    /// The number of the operation that is being polled, or 0.
    pub(crate) current: u64,
    /// Operations that begin to wait are to be stopped: the queue is being shut down.
    pub(crate) aborting: bool,
    /// The worker has been dropped.
    pub(crate) gone: bool,
    /// The worker sleeps and `waker` wakes it.
    parked: bool,
    waker: Option<Waker>,
}

/// An attempt that is over.
pub(crate) struct Done {
    pub(crate) owned: Owned,
    /// When it began to wait to be woken, if it did.
    pub(crate) since: Option<Tick>,
    pub(crate) next: Next,
}

/// What follows an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    End(Ending),
    Retry(Duration),
}

impl Done {
    pub(crate) fn is_completed(&self) -> bool {
        self.next == Next::End(Ending::Completed)
    }

    /// Ends an operation that was asked to end, or must.
    pub(crate) fn stopped(mut owned: Owned, since: Option<Tick>) -> Self {
        let stop = owned.stop().unwrap_or(Stop::Cancel(CancelReason::Shutdown));
        owned.conclude(stop);
        Self {
            owned,
            since,
            next: Next::End(stop.ending()),
        }
    }
}

impl Seat {
    pub(crate) fn new() -> Self {
        Self {
            local: Mutex::new(Local {
                fresh: VecDeque::new(),
                ready: VecDeque::new(),
                done: Vec::new(),
                slots: Slots::new(),
                polls: 0,
                current: 0,
                aborting: false,
                gone: false,
                parked: true,
                waker: None,
            }),
        }
    }

    /// Wakes the worker if it sleeps.
    pub(crate) fn unpark(&self) {
        let waker = self.local.lock().unpark();
        // Woken without the lock: the worker's first act is to take it.
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl Local {
    /// Returns what has begun here and is not over.
    pub(crate) fn running(&self) -> Vec<OpRef> {
        let mut running = Vec::with_capacity(self.slots.len());
        self.slots.each(|op| running.push(op.clone()));
        running
    }

    /// Searches what has been taken and is not being polled for the first time.
    pub(crate) fn find(&self, is_it: impl Fn(&OpRef) -> bool) -> Option<OpRef> {
        let fresh = self
            .fresh
            .iter()
            .map(|taken| taken.claimed.op())
            .find(|op| is_it(op))
            .cloned();
        fresh.or_else(|| self.running().into_iter().find(|op| is_it(op)))
    }

    /// Leaves the waker to use when the worker is asleep.
    pub(crate) fn attach(&mut self, waker: &Waker) {
        self.parked = false;
        if !self
            .waker
            .as_ref()
            .is_some_and(|known| known.will_wake(waker))
        {
            self.waker = Some(waker.clone());
        }
    }

    /// Whether there is something to poll or to account for.
    pub(crate) fn has_work(&self) -> bool {
        !self.fresh.is_empty() || !self.ready.is_empty() || !self.done.is_empty()
    }

    /// Puts the worker to sleep.
    pub(crate) const fn park(&mut self) {
        self.parked = true;
    }

    /// Schedules the attempts that are over their time. Returns whether there are any.
    pub(crate) fn expire(&mut self, now: Tick) -> bool {
        if self.gone {
            // Nobody would take them from the ready list; whoever drops the worker is about to cancel them.
            return false;
        }
        let Self { slots, ready, .. } = self;
        let before = ready.len();
        slots.expire(now, |op| {
            if cell::mark_over_time(op) {
                ready.push_back(op.clone());
            }
        });
        ready.len() > before
    }

    pub(crate) const fn is_parked(&self) -> bool {
        self.parked
    }

    /// Ends the worker's sleep. Returns the waker to use, if it slept.
    #[must_use]
    pub(crate) fn unpark(&mut self) -> Option<Waker> {
        if std::mem::replace(&mut self.parked, false) {
            self.waker.take()
        } else {
            None
        }
    }
}

/// Wakes one task. A ring that nobody waits for yet is kept.
pub(crate) struct Bell {
    state: Mutex<(bool, Option<Waker>)>,
}

impl Bell {
    pub(crate) fn new() -> Self {
        Self {
            state: Mutex::new((false, None)),
        }
    }

    pub(crate) fn ring(&self) {
        let waker = {
            let mut state = self.state.lock();
            state.0 = true;
            state.1.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Waits for a ring and ends it.
    pub(crate) fn poll(&self, cx: &Context<'_>) -> Poll<()> {
        let mut state = self.state.lock();
        if std::mem::replace(&mut state.0, false) {
            return Poll::Ready(());
        }
        state.1 = Some(cx.waker().clone());
        Poll::Pending
    }
}

/// The time for which the keeper is set.
///
/// Whoever adds an earlier time rings for the keeper. Both sides look under the lock of the table in question: the
/// keeper first raises the alarm's time to infinity and then searches the tables, so an entry is either found by
/// the search or compared with a time that is not earlier than the search's result.
pub(crate) struct Alarm(AtomicU64);

impl Alarm {
    pub(crate) fn new() -> Self {
        Self(AtomicU64::new(Tick::MAX))
    }

    /// Relaxed: the tables' locks order it, see above.
    pub(crate) fn set(&self, due: Tick) {
        self.0.store(due, Ordering::Relaxed);
    }

    /// Returns whether the keeper is to be rung for because of `due`. Call it with the table locked, and then ring: a
    /// time that was lowered without a ring would hide later ones.
    pub(crate) fn lower(&self, due: Tick) -> bool {
        let early = due < self.0.load(Ordering::Relaxed);
        if early {
            self.set(due);
        }
        early
    }
}
