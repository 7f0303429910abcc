//! Operations that run on the thread that brings them.
//!
//! A stream of operations that all end at their first poll would spend most of its time in handing them to a worker and
//! their results back. Where an operation that was queued now would start at once, it may as well start here: in a
//! slot like any other, counted like any other, and handed to a worker when it turns out that it has to wait. One slot
//! serves for all of them, since they run one after the other; they are accounted for together.

use std::time::Instant;

use super::{Shared, clock};
use crate::body::Ending;
use crate::cell::{self, Direct, Owned, Step, Stop};
use crate::error::CancelReason;
use crate::operation::Pending;
use crate::seat::{Done, Next};
use crate::state::{Slot, Tick, nanos};
use crate::worker::WORTH_SHARING;
use crate::{OperationError, OperationHandle};

/// The clock is read after so many operations: reading it takes half as long as the shortest of them.
const TIMED_EACH: usize = 8;

/// A slot of the queue in which the caller runs operations.
pub(crate) struct Visit<'a> {
    shared: &'a Shared,
    next_id: u64,
    began: Instant,
    endings: Vec<Ending>,
    holds_slot: bool,
}

/// What became of an operation that was run.
pub(crate) enum Ran<T: 'static, E: 'static> {
    Over(Result<T, OperationError<E>>),
    /// A worker has it. The visit is over.
    HandedOn(OperationHandle<T, E>),
}

impl Shared {
    /// Takes a slot for up to `operations` that run one after the other on the caller's thread. `None` if operations
    /// that were queued now would not start at once, if somebody listens to the events, or if this is not a
    /// thread for them.
    pub(crate) fn visit(&self, operations: usize) -> Option<Visit<'_>> {
        if self.hooks.are_used() || !self.is_at_home() {
            return None;
        }
        let next_id = self.with_door(|core, door| {
            let may = core.blocked.waiting.is_empty() && core.state.take_slot();
            may.then(|| door.assign_ids(operations))
        })?;
        Some(Visit {
            shared: self,
            next_id,
            began: clock(),
            endings: Vec::with_capacity(operations),
            holds_slot: true,
        })
    }

    /// Gives an operation that waits to be woken to a worker.
    fn hand_on(&self, owned: Owned) {
        let since = self.epoch.tick(clock());
        let due = owned
            .timeout(&self.defaults)
            .map_or(Tick::MAX, |timeout| since.saturating_add(nanos(timeout)));
        let seats = self.seats.len();
        let first = owned.header().id() as usize % seats;
        for index in (first..first + seats).map(|index| index % seats) {
            let mut local = self.seats[index].local.lock();
            if local.gone {
                continue;
            }
            let item = owned.op().clone();
            let slot = local.slots.insert(Slot { item, since, due });
            owned.header().set_home(index, slot);
            let early = self.alarm.lower(due);
            let abort = local.aborting.then(|| owned.op().clone());
            // From here on whoever wakes the operation may poll it.
            let waker = owned.park().and_then(|op| {
                local.ready.push_back(op);
                local.unpark()
            });
            drop(local);
            if let Some(waker) = waker {
                waker.wake();
            }
            if early {
                self.ring();
            }
            if let Some(op) = abort {
                cell::stop(&op, Stop::Cancel(CancelReason::Shutdown), false);
            }
            return;
        }
        // There is no worker left.
        self.settle(&mut vec![Done::stopped(owned, None)], 0, clock(), |_| ());
    }
}

impl Visit<'_> {
    /// Makes an operation's first attempt.
    pub(crate) fn run<S, T, E>(
        &mut self,
        pending: Pending<S, T, E>,
        chance: &mut fastrand::Rng,
    ) -> Ran<T, E> {
        let id = self.next_id;
        self.next_id += 1;
        match pending.run(id, &self.shared.defaults, chance) {
            Direct::Over(outcome, ending) => {
                self.endings.push(ending);
                Ran::Over(outcome.into_result(1))
            }
            Direct::Begun(owned, step, receiver) => {
                self.leave(true);
                match step {
                    Step::Retry(delay) => {
                        let next = Next::Retry(delay);
                        let since = None;
                        let mut done = vec![Done { owned, since, next }];
                        self.shared.settle(&mut done, 0, clock(), |_| ());
                    }
                    Step::Pending | Step::Ended(_) => self.shared.hand_on(owned),
                }
                Ran::HandedOn(OperationHandle::new(receiver))
            }
        }
    }

    /// Whether there is more to run here: the slot is still held, nothing waits for it, the queue goes on as before, and
    /// operations are as short as they must be. A hint: what happens elsewhere may be seen one operation late.
    pub(crate) fn may_go_on(&self) -> bool {
        let ran = self.endings.len();
        self.holds_slot
            && !self.shared.has_arrivals()
            && !self.shared.is_disturbed()
            && (!ran.is_multiple_of(TIMED_EACH) || self.is_quick(ran))
    }

    fn is_quick(&self, ran: usize) -> bool {
        nanos(clock().saturating_duration_since(self.began)) <= nanos(WORTH_SHARING) * ran as u64
    }

    /// Ends the visit. Returns how long an operation took, in nanoseconds, if there was any that ended.
    pub(crate) fn end(mut self) -> Option<u64> {
        self.leave(false)
    }

    /// Accounts for what has ended. The slot is given back, or kept by an operation that goes on.
    fn leave(&mut self, is_kept: bool) -> Option<u64> {
        if !std::mem::replace(&mut self.holds_slot, false) {
            return None;
        }
        let now = clock();
        let lasted = nanos(now.saturating_duration_since(self.began));
        let count = self.endings.len() as u64;
        // The time of one that goes on is in it as well.
        let mean = lasted / (count + u64::from(is_kept)).max(1);
        let endings = std::mem::take(&mut self.endings);
        if let Some(budget) = &self.shared.defaults.budget {
            let completed = endings.iter().filter(|it| **it == Ending::Completed);
            budget.deposit(completed.count() as u64);
        }
        self.shared.with_core(|core| {
            core.state.settle_direct(&endings, mean, now);
            if is_kept {
                core.state.keep_slot();
            } else {
                core.state.give_slot();
            }
        });
        (count > 0).then_some(mean)
    }
}

/// Also when the caller's own code panics between two operations.
impl Drop for Visit<'_> {
    fn drop(&mut self) {
        self.leave(false);
    }
}
