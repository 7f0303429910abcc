//! How operations end: of themselves, by cancellation, with the queue, or with a worker.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use super::{Core, Shared, clock};
use crate::body::Ending;
use crate::cell::{self, Home, Nursery, OpRef, Owned, Stop, Waited};
use crate::context::CancelSignal;
use crate::dead_letters::DeadLetters;
use crate::error::CancelReason;
use crate::events::Event;
use crate::handle::OperationId;
use crate::scheduling::Scheduling;
use crate::seat::{Done, Next};
use crate::state::{Tick, Waiting};

impl Shared {
    /// Accounts for attempts that are over, makes outcomes visible, and leaves `done` empty. `act` runs under the same
    /// lock, after the accounts. `mean` is the run time, in nanoseconds, of those that ended on their first poll.
    pub(crate) fn settle<R>(
        &self,
        done: &mut Vec<Done>,
        mean: u64,
        now: Instant,
        act: impl FnOnce(&mut Core) -> R,
    ) -> R {
        let is_retry = |done: &Done| matches!(done.next, Next::Retry(_));
        let retries: Vec<Done> = if done.iter().any(is_retry) {
            done.extract_if(.., |done| is_retry(done)).collect()
        } else {
            Vec::new()
        };
        let ended = done.len();
        if ended > 0 {
            // Raised before the accounts, so that nobody finds the queue quiet while outcomes are still hidden.
            self.publishing.fetch_add(ended, Ordering::AcqRel);
        }
        if let Some(budget) = &self.defaults.budget {
            let completed = done.iter().filter(|done| done.is_completed()).count();
            budget.deposit(completed as u64);
        }
        let mut leftovers = Leftovers::default();
        let (result, news) = self.with_core(|core| {
            let tick = core.state.ticks(now);
            let (alike, mut quick) = (core.state.settles_alike(), 0);
            for done in done.iter() {
                let Next::End(ending) = done.next else {
                    continue;
                };
                let header = done.owned.header();
                if alike && ending == Ending::Completed && done.since.is_none() && header.is_plain()
                {
                    quick += 1;
                    continue;
                }
                let ran = done.since.map_or(mean, |since| tick.saturating_sub(since));
                if header.is_batched() {
                    core.state.leave_call(header.id(), header.level());
                    leftovers.left.push(header.id());
                }
                core.state
                    .settle(ending, header.level(), header.has_deadline(), ran);
                if header.is_keyed() {
                    core.state.settle_key(header.id(), tick);
                }
                if let Some(id) = header.weighted() {
                    core.state.unload(id);
                }
                core.note_cut(header.id(), ending);
            }
            if quick > 0 {
                core.state.settle_alike(quick, mean);
            }
            if ended > 0 {
                core.state.finished(ended as u64, now);
            }
            for retry in retries {
                core.requeue(retry, now, &mut leftovers);
            }
            (act(core), core.state.take_news())
        });
        let is_told = self.hooks.are_used();
        for done in done.drain(..) {
            match done.next {
                Next::End(ending) if is_told => self.publish(done.owned, ending),
                Next::End(ending) => done.owned.publish(ending),
                Next::Retry(_) => {}
            }
        }
        self.published(ended);
        if !leftovers.is_empty() {
            self.finish_leftovers(leftovers, now);
        }
        if let Some(news) = news {
            self.tell(news);
        }
        result
    }

    fn finish_leftovers(&self, leftovers: Leftovers, now: Instant) {
        for id in leftovers.signals {
            self.end_attempts_signal(id, true);
        }
        for id in leftovers.left {
            self.batches.ended(id);
        }
        let mut done: Vec<Done> = leftovers
            .stopped
            .into_iter()
            .map(|(owned, since)| Done::stopped(owned, since))
            .collect();
        if !done.is_empty() {
            self.settle(&mut done, 0, now, |_| ());
        }
    }

    /// Tells an event to whoever listens.
    pub(crate) fn emit(&self, event: Event) {
        if self.hooks.are_used() {
            self.hooks.emit(event);
        }
    }

    pub(super) fn publish(&self, owned: Owned, ending: Ending) {
        let header = owned.header();
        let (id, attempts) = (OperationId::new(header.id()), header.attempts());
        self.emit(Event::Ended {
            id,
            how: ending.into(),
            attempts,
        });
        owned.publish(ending);
    }

    pub(super) fn published(&self, outcomes: usize) {
        if outcomes == 0 {
            return;
        }
        // The last to publish looks whether all is quiet now; `may_be_quiet` spares it the lock when it cannot be.
        // It was written before the count that this call brings to zero was raised, or by somebody who raised it too.
        if self.publishing.fetch_sub(outcomes, Ordering::AcqRel) == outcomes
            && self.may_be_quiet.load(Ordering::Relaxed)
        {
            self.with_core(|_| ());
        }
    }

    /// Cancels everything that waits. Returns how many operations that were.
    pub(crate) fn clear(&self, reason: CancelReason) -> usize {
        let ending = Ending::Cancelled(reason);
        let mut seized = Vec::new();
        self.publishing.fetch_add(1, Ordering::AcqRel);
        let count = self.with_core(|core| {
            let Core { state, cut, .. } = core;
            state.clear(ending, |op, _| {
                let Some(owned) = cell::seize(op) else {
                    return false;
                };
                if reason == CancelReason::Shutdown {
                    cut.push(OperationId::new(op.header().id()));
                }
                seized.push(owned);
                true
            })
        });
        for mut owned in seized {
            owned.conclude(Stop::Cancel(reason));
            self.publish(owned, ending);
        }
        self.published(1);
        count
    }

    /// Moves one operation by its number. A search, as `cancel`.
    pub(crate) fn set_level(&self, id: OperationId, level: u8) -> bool {
        self.with_core(|core| {
            let op = core
                .state
                .find_waiting(|op: &OpRef| op.header().id() == id.get());
            op.is_some_and(|op| self.relocate(core, &op, level))
        })
    }

    /// In a queue that goes by arrival there is one level for all, whatever was asked for.
    fn relocate(&self, core: &mut Core, op: &OpRef, level: u8) -> bool {
        self.config.scheduling != Scheduling::Fifo && core.state.set_level(op, level)
    }

    /// Cancels one operation by its number. A search: use a handle or a canceller where there is one.
    pub(crate) fn cancel(&self, id: OperationId) -> bool {
        let is_it = |op: &OpRef| op.header().id() == id.get();
        let mut found = self.with_core(|core| core.state.find_waiting(is_it));
        for seat in &self.seats {
            found = found.or_else(|| seat.local.lock().find(is_it));
        }
        found.is_some_and(|op| cell::stop(&op, Stop::Cancel(CancelReason::Asked), false))
    }

    /// Stops admitting, or begins again. Returns whether that was new.
    pub(crate) fn admit_newcomers(&self, admit: bool) -> bool {
        // With the inbox locked: nothing arrives once its room has been taken away.
        self.with_door(|core, _| {
            if admit {
                core.state.admit()
            } else {
                core.state.shut()
            }
        })
    }

    /// Accepts nothing more. With `end`, retries are not made any more either.
    pub(crate) fn close(&self, end: bool) {
        // With the inbox locked: nothing arrives once its room has been taken away.
        self.with_door(|core, _| {
            core.state.close();
            core.ending |= end;
        });
    }

    /// Tells running operations that they should come to an end.
    pub(crate) fn ask_to_stop(&self) {
        // Release: pairs with the acquire of whoever sees the flag.
        self.stopping.store(true, Ordering::Release);
        let signals: Vec<CancelSignal> = self.signals.lock().values().cloned().collect();
        signals.iter().for_each(CancelSignal::fire);
    }

    /// Cancels everything that runs, as soon as its present poll is over.
    pub(crate) fn abort(&self) {
        for seat in &self.seats {
            let (fresh, running) = {
                let mut local = seat.local.lock();
                local.aborting = true;
                (std::mem::take(&mut local.fresh), local.running())
            };
            for op in running {
                cell::stop(&op, Stop::Cancel(CancelReason::Shutdown), false);
            }
            let mut done = fresh
                .into_iter()
                .map(|taken| Done::stopped(taken.claimed, None))
                .collect();
            self.settle(&mut done, 0, clock(), |_| ());
        }
    }

    /// The last handle of the queue is gone: what waits is cancelled, what runs goes on.
    pub(crate) fn disown(&self) {
        self.close(true);
        self.clear(CancelReason::Shutdown);
    }

    /// A worker has been dropped, and with it the thread that would have polled what it holds.
    pub(crate) fn abandon(&self, worker: usize) {
        let is_last = self.with_core(|core| {
            core.workers = core.workers.saturating_sub(1);
            core.alive &= !(1 << worker);
            core.wake(worker);
            core.workers == 0
        });
        let (mut done, fresh, ready, running) = {
            let mut local = self.seats[worker].local.lock();
            local.gone = true;
            let (done, fresh) = (
                std::mem::take(&mut local.done),
                std::mem::take(&mut local.fresh),
            );
            (
                done,
                fresh,
                std::mem::take(&mut local.ready),
                local.running(),
            )
        };
        done.extend(
            fresh
                .into_iter()
                .map(|taken| Done::stopped(taken.claimed, None)),
        );
        self.settle(&mut done, 0, clock(), |_| ());
        for op in ready {
            self.end_orphan(op);
        }
        for op in running {
            cell::stop(&op, Stop::Cancel(CancelReason::Shutdown), false);
        }
        if is_last {
            self.disown();
        }
    }

    /// Ends an operation whose worker is gone.
    fn end_orphan(&self, op: OpRef) {
        let Some(owned) = Owned::resume(op) else {
            return;
        };
        let since = self.leave_home(&owned);
        self.settle(&mut vec![Done::stopped(owned, since)], 0, clock(), |_| ());
    }

    /// Takes an operation out of the table of the worker that holds it. Returns since when it was there.
    pub(crate) fn leave_home(&self, owned: &Owned) -> Option<Tick> {
        let (seat, slot) = owned.header().home()?;
        let removed = self.seats[seat].local.lock().slots.remove(slot);
        owned.header().leave_home();
        removed.map(|slot| slot.since)
    }
}

impl Core {
    /// Queues the next attempt of an operation, unless it is to end instead.
    fn requeue(&mut self, retry: Done, now: Instant, leftovers: &mut Leftovers) {
        let Next::Retry(delay) = retry.next else {
            return;
        };
        if self.ending {
            leftovers.stopped.push((retry.owned, retry.since));
            return;
        }
        let (level, id) = (retry.owned.header().level(), retry.owned.header().id());
        match retry.owned.requeue(!delay.is_zero()) {
            Ok((op, had_signal)) => {
                if op.header().is_batched() {
                    self.state.leave_call(id, level);
                }
                if had_signal.0 {
                    leftovers.signals.push(id);
                }
                self.state.retry(op, level, delay, now);
            }
            Err(owned) => leftovers.stopped.push((owned, retry.since)),
        }
    }
}

/// What came up under the lock and is to be done without it.
#[derive(Default)]
struct Leftovers {
    /// Operations that were to be tried again and are to end instead, and since when they ran.
    stopped: Vec<(Owned, Option<Tick>)>,
    /// Operations whose attempt's signal is to be fired.
    signals: Vec<u64>,
    /// Operations of kinds with a batch handler that have ended.
    left: Vec<u64>,
}

impl Leftovers {
    fn is_empty(&self) -> bool {
        self.stopped.is_empty() && self.signals.is_empty() && self.left.is_empty()
    }
}

/// One per handle of the queue, so that handles on different threads do not fight for one reference count.
pub(crate) struct Link {
    pub(crate) shared: Arc<Shared>,
    /// Where the operations of this handle lie.
    pub(crate) nursery: Nursery<Shared>,
}

impl Link {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self {
            nursery: Nursery::new(Arc::clone(&shared)),
            shared,
        }
    }
}

impl Home for Shared {
    fn schedule(&self, op: OpRef) {
        let seat = &self.seats[op.header().seat()];
        let waker = {
            let mut local = seat.local.lock();
            if local.gone {
                drop(local);
                return self.end_orphan(op);
            }
            local.ready.push_back(op);
            local.unpark()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn withdrawn(&self, op: Owned, from: Waited, ending: Ending) {
        let shared = self;
        shared.publishing.fetch_add(1, Ordering::AcqRel);
        shared.with_core(|core| {
            let header = op.header();
            let (level, has_deadline) = (header.level(), header.has_deadline());
            if header.is_keyed() {
                let now = shared.epoch.tick(clock());
                let who = (header.id(), now);
                core.state
                    .withdraw_keyed(who, from, level, ending, has_deadline);
            } else {
                core.state.withdraw(from, level, ending, has_deadline);
            }
            if let Some(id) = header.weighted() {
                core.state.unload(id);
            }
            core.note_cut(header.id(), ending);
        });
        shared.publish(op, ending);
        shared.published(1);
    }

    fn set_level(&self, op: &OpRef, level: u8) -> bool {
        self.with_core(|core| self.relocate(core, op, level))
    }

    fn levels(&self) -> u8 {
        self.config.priority_levels
    }

    fn signal(&self, op: &OpRef) -> CancelSignal {
        let header = op.header();
        let mut signals = self.signals.lock();
        // Under the lock: whoever ends the attempt and finds the mark waits for the signal to be in the table.
        if !header.keep_signal() {
            return CancelSignal::fired();
        }
        signals
            .entry(header.id())
            .or_insert_with(CancelSignal::new)
            .clone()
    }

    fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    fn end_signal(&self, id: u64, fire: bool) {
        self.end_attempts_signal(id, fire);
    }

    fn dead_letters(&self) -> Option<&dyn DeadLetters> {
        self.dead_letters.as_deref()
    }

    fn shared(&self) -> Option<&Shared> {
        Some(self)
    }
}

impl Shared {
    fn end_attempts_signal(&self, id: u64, fire: bool) {
        let signal = self.signals.lock().remove(&id);
        if let Some(signal) = signal
            && fire
        {
            signal.fire();
        }
    }
}

/// What the state machine needs to know of an operation.
impl Waiting for OpRef {
    type Claimed = Owned;

    fn claim(self) -> Option<Owned> {
        Owned::claim(self)
    }

    fn is_waiting(&self) -> bool {
        self.header().is_waiting()
    }

    fn waits(&self) -> Option<Waited> {
        self.header().waits()
    }

    fn is(&self, other: &Self) -> bool {
        Self::ptr_eq(self, other)
    }

    fn level(&self) -> u8 {
        self.header().level()
    }

    fn set_level(&self, level: u8) {
        self.header().set_level(level);
    }

    fn place(&self) -> u32 {
        self.header().place()
    }

    fn set_place(&self, place: u32) {
        self.header().set_place(place);
    }

    fn end_delay(&self) -> bool {
        cell::end_delay(self)
    }

    fn is_keyed(&self) -> bool {
        self.header().is_keyed()
    }

    fn number(&self) -> u64 {
        self.header().id()
    }

    fn weighted(&self) -> Option<u64> {
        self.header().weighted()
    }

    fn has_deadline(&self) -> bool {
        self.header().has_deadline()
    }

    fn is_over(&self) -> bool {
        self.header().is_done()
    }
}
