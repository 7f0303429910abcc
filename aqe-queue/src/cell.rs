//! An operation in memory: its body, then its outcome, and the waker of whoever waits for it.
//!
//! A word of state says who may touch what. The *run right* (exclusive access to the stage) is held by at most one
//! [`Owned`]: it is won by the compare-and-swap that leaves a waiting phase and given up by the one that enters it
//! again. After [`Owned::publish`] the right belongs to the one [`Receiver`], or to the publisher if that is gone. The
//! waker's slot is the receiver's while `WAITER` is clear, and the publisher's from the moment it saw `WAITER` set and the
//! phase not yet done.
//!
//! Apart from one lifetime in `scope`, all `unsafe` of the crate is in this folder; loom explores the hand-overs (see the
//! tests).

mod block;
mod counted;
mod fresh;
mod header;
#[cfg(all(loom, test))]
mod loom_tests;
#[cfg(all(test, not(loom)))]
mod tests;

use std::any::Any;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::ptr;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

pub(crate) use self::block::Nursery;
use self::counted::At;
pub(crate) use self::counted::Counted;
pub(crate) use self::fresh::{Direct, Fresh};
use self::header::{
    ABANDONED, DELAYED, DONE, IDLE, NOTIFIED, PHASE, QUEUED, RUNNING, SCHEDULED, SIGNAL, STOP,
    TIMEOUT, WAITER,
};
pub(crate) use self::header::{Header, Stop, Waited};
use crate::body::{Body, Ending, Outcome, Overrides};
use crate::budget::Budget;
use crate::context::{AttemptContext, CancelSignal};
use crate::dead_letters::{DeadLetters, Failure, History};
use crate::handle::OperationId;
use crate::retry::RetryPolicy;
use crate::shared::Shared;
use crate::sync::UnsafeCell;
use crate::sync::atomic::Ordering;

/// An operation without any right to touch its stage.
pub(crate) type OpRef = Counted<dyn Run>;

/// The queue, as an operation sees it.
pub(crate) trait Home: Send + Sync + 'static {
    /// Puts a woken operation into the ready list of the worker that holds it.
    fn schedule(&self, op: OpRef);
    /// Accounts for a waiting operation that has been cancelled, and publishes its outcome.
    fn withdrawn(&self, op: Owned, from: Waited, ending: Ending);
    /// Moves a waiting operation to another level. `false` if it does not wait, or there is no such level.
    fn set_level(&self, op: &OpRef, level: u8) -> bool;
    /// Returns how many levels there are.
    fn levels(&self) -> u8;
    /// Returns the cancellation signal of the operation's present attempt.
    fn signal(&self, op: &OpRef) -> CancelSignal;
    /// Whether all running operations have been asked to end.
    fn is_stopping(&self) -> bool;
    /// Forgets a signal, firing it first if the attempt did not succeed.
    fn end_signal(&self, id: u64, fire: bool);
    /// Returns who is to be told of operations that failed for good.
    fn dead_letters(&self) -> Option<&dyn DeadLetters> {
        None
    }
    /// Returns the queue itself, if it is one.
    fn shared(&self) -> Option<&Shared> {
        None
    }
}

/// The settings that hold where an operation says nothing else.
#[derive(Clone, Debug)]
pub(crate) struct Defaults {
    pub(crate) timeout: Option<Duration>,
    pub(crate) retry: RetryPolicy,
    pub(crate) budget: Option<Arc<Budget>>,
    /// Whether the home has a sink for dead letters.
    pub(crate) keeps_history: bool,
}

/// What came of polling an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Pending,
    Ended(Ending),
    /// The attempt has been dropped; the next may start after the delay.
    Retry(Duration),
}

/// An operation whose types have been forgotten.
///
/// Where a function is told where the operation lies, it is where `self` is.
pub(crate) trait Run: Send + Sync + 'static {
    /// Carries the attempt on, or starts it.
    ///
    /// # Safety
    ///
    /// The caller holds the run right.
    unsafe fn poll(
        &self,
        at: At,
        start: bool,
        defaults: &Defaults,
        chance: &mut fastrand::Rng,
    ) -> Step;

    /// Drops the attempt because it took too long, and says what is next.
    ///
    /// # Safety
    ///
    /// The caller holds the run right.
    unsafe fn time_out(&self, at: At, defaults: &Defaults, chance: &mut fastrand::Rng) -> Step;

    /// Drops the body and leaves an outcome in its place.
    ///
    /// # Safety
    ///
    /// The caller holds the run right.
    unsafe fn conclude(&self, at: At, stop: Stop);

    /// Returns how long one attempt may take.
    ///
    /// # Safety
    ///
    /// The caller holds the run right.
    unsafe fn timeout(&self, defaults: &Defaults) -> Option<Duration>;

    /// Empties the waker's slot.
    ///
    /// # Safety
    ///
    /// The caller made the phase `DONE` and saw `WAITER` in the state it replaced.
    unsafe fn take_waiter(&self) -> Option<Waker>;

    /// Drops the outcome.
    ///
    /// # Safety
    ///
    /// The caller made the phase `DONE` and saw `ABANDONED` in the state it replaced.
    unsafe fn forget_outcome(&self);
}

/// An operation whose result types are known.
pub(crate) trait Join<T, E>: Run {
    /// Takes the outcome, or leaves a waker.
    ///
    /// # Safety
    ///
    /// The caller is the operation's one receiver, and has not been given the outcome before.
    unsafe fn poll_outcome(&self, cx: &mut Context<'_>) -> Poll<Outcome<T, E>>;

    /// Drops the waker that `poll_outcome` left, and the outcome if there is one: nobody will ask for it.
    ///
    /// # Safety
    ///
    /// The caller is the operation's one receiver, has not been given the outcome, and calls nothing of this trait again.
    unsafe fn let_go(&self);
}

/// An operation together with the run right.
pub(crate) struct Owned(OpRef);

impl Owned {
    /// Takes an operation out of its level. `None` if a cancellation was first.
    pub(crate) fn claim(op: OpRef) -> Option<Self> {
        let claimed = op
            .header()
            .update(|state| (state & PHASE == QUEUED).then_some(state | RUNNING));
        claimed.ok()?;
        // It is in no level any more and not yet with a worker.
        op.header().leave_home();
        Some(Self(op))
    }

    /// Takes a woken operation out of a ready list.
    pub(crate) fn resume(op: OpRef) -> Option<Self> {
        let resumed = op
            .header()
            .update(|state| (state & PHASE == SCHEDULED).then_some((state & !PHASE) | RUNNING));
        resumed.is_ok().then_some(Self(op))
    }

    pub(crate) fn header(&self) -> &Header {
        self.0.header()
    }

    pub(crate) const fn op(&self) -> &OpRef {
        &self.0
    }

    /// Why the operation is to end now, if it is.
    pub(crate) fn stop(&self) -> Option<Stop> {
        Stop::from_bits(self.header().state.load(Ordering::Acquire))
    }

    pub(crate) fn is_over_time(&self) -> bool {
        self.header().state.load(Ordering::Acquire) & TIMEOUT != 0
    }

    pub(crate) fn poll(
        self,
        start: bool,
        defaults: &Defaults,
        chance: &mut fastrand::Rng,
    ) -> (Self, Step) {
        if start {
            let header = self.header();
            header
                .attempts
                .store(header.attempts().saturating_add(1), Ordering::Relaxed);
        }
        // SAFETY: `self` is the run right.
        let step = unsafe { self.0.poll(self.0.at(), start, defaults, chance) };
        (self, step)
    }

    pub(crate) fn time_out(&mut self, defaults: &Defaults, chance: &mut fastrand::Rng) -> Step {
        // SAFETY: `self` is the run right.
        unsafe { self.0.time_out(self.0.at(), defaults, chance) }
    }

    /// Drops the body and records why.
    pub(crate) fn conclude(&mut self, stop: Stop) {
        // SAFETY: `self` is the run right.
        unsafe { self.0.conclude(self.0.at(), stop) }
    }

    pub(crate) fn timeout(&self, defaults: &Defaults) -> Option<Duration> {
        // SAFETY: `self` is the run right.
        unsafe { self.0.timeout(defaults) }
    }

    /// Whether the operation was woken during its poll, mostly by itself, and by nobody to end it. It is then taken as
    /// woken, for the caller to poll it again. Never in a call of a batch handler, which wakes itself to let others
    /// join it first.
    pub(crate) fn has_woken_itself(&self) -> bool {
        if self.header().is_batched() {
            return false;
        }
        let taken = self.header().update(|state| {
            let is_woken = state & PHASE == NOTIFIED && state & (STOP | TIMEOUT) == 0;
            is_woken.then_some((state & !PHASE) | RUNNING)
        });
        taken.is_ok()
    }

    /// Lets the operation wait to be woken. Returns it if it is to be scheduled at once, because it was woken, or
    /// asked to end, while it ran.
    pub(crate) fn park(self) -> Option<OpRef> {
        let parked = self.header().update(|state| {
            let due = state & PHASE == NOTIFIED || state & (STOP | TIMEOUT) != 0;
            Some((state & !PHASE) | if due { SCHEDULED } else { IDLE })
        });
        let before = parked.unwrap_or_else(|state| state);
        (before & PHASE == NOTIFIED || before & (STOP | TIMEOUT) != 0).then_some(self.0)
    }

    /// Puts the operation back among those that wait for an attempt, or returns it if it has been asked to end.
    ///
    /// The caller ends the attempt's signal, if there is one, once it holds no lock: that wakes tasks.
    pub(crate) fn requeue(self, delayed: bool) -> Result<(OpRef, HadSignal), Self> {
        let phase = if delayed { DELAYED } else { QUEUED };
        let requeued = self.header().update(|state| {
            (state & STOP == 0).then_some((state & !(PHASE | TIMEOUT | SIGNAL)) | phase)
        });
        match requeued {
            Ok(before) => Ok((self.0, HadSignal(before & SIGNAL != 0))),
            Err(_) => Err(self),
        }
    }

    /// Makes the outcome visible and wakes whoever waits for it.
    pub(crate) fn publish(self, ending: Ending) {
        let header = self.header();
        let before = header.state.fetch_or(DONE, Ordering::AcqRel);
        if before & SIGNAL != 0 {
            let (home, id) = (self.0.home(), header.id());
            // Wakers are the user's code: a panic in one must not keep the others from hearing of their ends.
            swallow(|| home.end_signal(id, ending != Ending::Completed));
        }
        if before & WAITER != 0 {
            // SAFETY: this call made the phase `DONE`, and `WAITER` was set.
            if let Some(waiter) = unsafe { self.0.take_waiter() } {
                swallow(|| waiter.wake());
            }
        }
        // What is dropped here is user code.
        swallow(|| {
            if before & ABANDONED != 0 {
                // SAFETY: this call made the phase `DONE`, and `ABANDONED` was set.
                unsafe { self.0.forget_outcome() }
            }
            drop(self);
        });
    }
}

/// Whether the home keeps a signal for the attempt that has just ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HadSignal(pub(crate) bool);

/// Moves an operation whose delay is over from "between attempts" to "queued". `false` if it was cancelled meanwhile.
pub(crate) fn end_delay(op: &OpRef) -> bool {
    op.header()
        .update(|state| (state & PHASE == DELAYED).then_some((state & !PHASE) | QUEUED))
        .is_ok()
}

/// Asks an operation to end. Returns whether this call is the one that will end it.
///
/// A waiting operation is dropped here and now. One that waits to be woken is scheduled, so that the worker that
/// has it drops it; one that is being polled is dropped when the poll returns.
pub(crate) fn stop(op: &OpRef, stop: Stop, only_waiting: bool) -> bool {
    let stopped = op.header().update(|state| {
        if state & PHASE == DONE || state & STOP != 0 {
            return None;
        }
        let marked = (state & !PHASE) | stop.bits();
        match state & PHASE {
            QUEUED | DELAYED => Some(marked | RUNNING),
            _ if only_waiting => None,
            IDLE => Some(marked | SCHEDULED),
            phase => Some(marked | phase),
        }
    });
    let Ok(before) = stopped else { return false };
    let from = match before & PHASE {
        QUEUED => Waited::InLevel,
        DELAYED => Waited::BetweenAttempts,
        phase => {
            if phase == IDLE {
                op.home().schedule(op.clone());
            }
            return true;
        }
    };
    let mut owned = Owned(op.clone());
    owned.conclude(stop);
    op.home().withdrawn(owned, from, stop.ending());
    true
}

/// Takes a waiting operation from all others, for the caller to conclude, account for and publish.
pub(crate) fn seize(op: &OpRef) -> Option<Owned> {
    let seized = op.header().update(|state| {
        matches!(state & PHASE, QUEUED | DELAYED).then_some((state & !PHASE) | RUNNING)
    });
    seized.is_ok().then(|| Owned(op.clone()))
}

/// Marks the present attempt as over its time. Returns whether the caller is to schedule the operation.
pub(crate) fn mark_over_time(op: &OpRef) -> bool {
    let marked = op.header().update(|state| match state & PHASE {
        IDLE => Some((state & !PHASE) | SCHEDULED | TIMEOUT),
        RUNNING | NOTIFIED | SCHEDULED => Some(state | TIMEOUT),
        _ => None,
    });
    marked.is_ok_and(|before| before & PHASE == IDLE)
}

/// The one place where the outcome of an operation can be taken.
pub(crate) struct Receiver<T: 'static, E: 'static> {
    op: Counted<dyn Join<T, E>>,
}

impl<T: 'static, E: 'static> Receiver<T, E> {
    pub(crate) fn header(&self) -> &Header {
        self.op.header()
    }

    pub(crate) fn op(&self) -> OpRef {
        self.op.erased()
    }

    /// Takes the outcome, or leaves a waker. Pending for ever once the outcome has been taken.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Outcome<T, E>> {
        if self.header().is_taken() {
            return Poll::Pending;
        }
        // SAFETY: receivers are made once per operation and cannot be cloned, and this one, which alone writes the
        // mark, has not been given the outcome.
        let polled = unsafe { self.op.poll_outcome(cx) };
        if polled.is_ready() {
            self.header().set_taken();
        }
        polled
    }

    /// Takes the outcome if there is one.
    fn take(&mut self) -> Option<Outcome<T, E>> {
        match self.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(outcome) => Some(outcome),
            Poll::Pending => None,
        }
    }
}

impl<T: 'static, E: 'static> Drop for Receiver<T, E> {
    fn drop(&mut self) {
        if !self.op.header().is_taken() {
            // SAFETY: receivers are made once per operation and cannot be cloned.
            unsafe { self.op.let_go() }
        }
    }
}

enum Stage<B: Body> {
    Live {
        body: B,
        overrides: Option<Box<Overrides<B::Error>>>,
    },
    Over(Outcome<B::Value, B::Error>),
    Taken,
}

/// One operation.
#[repr(C)]
pub(crate) struct OpCell<B: Body> {
    /// First: see [`Counted`].
    header: Header,
    waiter: UnsafeCell<Option<Waker>>,
    stage: UnsafeCell<Stage<B>>,
}

// SAFETY: the stage is reached through a shared reference by the one holder of the run right or, once done, by the one
// receiver; the waker's slot as described at the top of this file. Both may be on any thread, hence the bounds:
// `Body` is `Send` and so are its value and error; the predicate in the overrides is `Send`.
unsafe impl<B: Body> Sync for OpCell<B> {}

impl<B: Body> OpCell<B> {
    /// Replaces the body by an outcome. The body is dropped in place, as a pinned value must be; if that panics, the
    /// panic ends here, since the outcome is known already and the worker has other operations to run.
    ///
    /// # Safety
    ///
    /// The caller holds the run right.
    unsafe fn end(&self, outcome: Outcome<B::Value, B::Error>) {
        self.stage.with_mut(|stage| {
            // SAFETY: with the run right nobody else reaches the stage. It is dropped once and written again before
            // anybody can see it: neither statement between the two can unwind.
            unsafe {
                swallow(|| ptr::drop_in_place(stage));
                ptr::write(stage, Stage::Over(outcome));
            }
        });
    }

    /// Calls `act` with the body of a live operation; a panic in it becomes an error.
    ///
    /// # Safety
    ///
    /// The caller holds the run right.
    unsafe fn with_body<R>(
        &self,
        act: impl FnOnce(Pin<&mut B>, Option<&Overrides<B::Error>>) -> R,
    ) -> Result<R, Box<str>> {
        self.stage.with_mut(|stage| {
            // SAFETY: with the run right nobody else reaches the stage.
            let Stage::Live { body, overrides } = (unsafe { &mut *stage }) else {
                unreachable!("an operation without a body was given the run right");
            };
            // SAFETY: an operation never moves in its block, and its stage not while it is live: `end` drops it in place, and
            // a body is taken out only by its maker and before its first attempt.
            let body = unsafe { Pin::new_unchecked(body) };
            catch_unwind(AssertUnwindSafe(|| act(body, overrides.as_deref()))).map_err(message_of)
        })
    }

    /// Judges what an attempt returned.
    ///
    /// # Safety
    ///
    /// The caller holds the run right.
    unsafe fn judge(
        &self,
        at: At,
        result: Result<B::Value, B::Error>,
        defaults: &Defaults,
        chance: &mut fastrand::Rng,
    ) -> Step {
        let error = match result {
            Ok(value) => {
                // SAFETY: passed on to the caller.
                unsafe { self.end(Outcome::Completed(value)) };
                return Step::Ended(Ending::Completed);
            }
            Err(error) => error,
        };
        if defaults.keeps_history {
            // SAFETY: passed on to the caller.
            unsafe { self.note(at, |sink| Failure::of(&error, sink)) };
        }
        // SAFETY: passed on to the caller.
        let again = unsafe {
            self.with_body(|body, overrides| {
                let retry_if = overrides.and_then(|it| it.retry_if.as_ref());
                let worth_it = B::is_worth_retrying(&error) && retry_if.is_none_or(|it| it(&error));
                if worth_it {
                    let asked = || overrides?.rare.as_ref()?.retry_after.as_ref()?(&error);
                    self.prepare_retry(body, overrides, defaults, chance, asked)
                } else {
                    None
                }
            })
        };
        let (outcome, ending) = match again {
            Ok(Some(delay)) => {
                // The error may be the user's last reference to something that panics when dropped.
                swallow(|| drop(error));
                return Step::Retry(delay);
            }
            Ok(None) => (Outcome::Failed(error), Ending::Failed),
            Err(message) => {
                swallow(|| drop(error));
                (Outcome::Panicked(message), Ending::Panicked)
            }
        };
        if defaults.keeps_history {
            // SAFETY: passed on to the caller.
            unsafe { self.bury(at, ending) };
        }
        // SAFETY: passed on to the caller.
        unsafe { self.end(outcome) };
        Step::Ended(ending)
    }

    /// Calls `act` with the sink for dead letters and what is known of the attempts, if there is a sink. A panic of the
    /// sink's ends here.
    ///
    /// # Safety
    ///
    /// The caller holds the run right.
    unsafe fn with_history(&self, at: At, act: impl FnOnce(&dyn DeadLetters, &mut History)) {
        // SAFETY: the operation is alive while it is borrowed.
        let Some(sink) = (unsafe { at.home() }).dead_letters() else {
            return;
        };
        self.stage.with_mut(|stage| {
            // SAFETY: with the run right nobody else reaches the stage.
            if let Stage::Live { overrides, .. } = unsafe { &mut *stage } {
                let overrides = overrides.get_or_insert_with(Box::default);
                swallow(|| act(sink, &mut overrides.rare().history));
            }
        });
    }

    /// Notes why the present attempt is over.
    ///
    /// # Safety
    ///
    /// The caller holds the run right.
    unsafe fn note(&self, at: At, failure: impl FnOnce(&dyn DeadLetters) -> Failure) {
        let (number, now) = (self.header.attempts(), crate::shared::clock());
        // SAFETY: passed on to the caller.
        unsafe { self.with_history(at, |sink, history| history.fail(number, failure(sink), now)) }
    }

    /// Tells of an operation that has failed for good.
    ///
    /// # Safety
    ///
    /// The caller holds the run right.
    unsafe fn bury(&self, at: At, ending: Ending) {
        let header = &self.header;
        // SAFETY: passed on to the caller.
        unsafe {
            self.with_history(at, |sink, history| {
                let id = OperationId::new(header.id());
                let history = std::mem::take(history);
                sink.bury(history.into_letter(
                    id,
                    header.level(),
                    ending.into(),
                    header.attempts(),
                ));
            });
        }
    }

    /// Drops the attempt and returns the delay before the next, if there is to be one.
    fn prepare_retry(
        &self,
        body: Pin<&mut B>,
        overrides: Option<&Overrides<B::Error>>,
        defaults: &Defaults,
        chance: &mut fastrand::Rng,
        asked: impl FnOnce() -> Option<Duration>,
    ) -> Option<Duration> {
        let policy = overrides
            .and_then(|it| it.retry.as_ref())
            .unwrap_or(&defaults.retry);
        // `attempts` counts those after the first.
        let attempt = self.header.attempts();
        if !B::REPEATS || attempt > policy.attempts {
            return None;
        }
        let delay = match asked() {
            Some(asked) => policy.bounded(asked),
            None => policy.delay_after(attempt, chance.f64()),
        };
        // Asked last: what it pays for is sure to happen.
        if let Some(budget) = &defaults.budget
            && !budget.withdraw(crate::shared::clock())
        {
            return None;
        }
        body.stop();
        Some(delay)
    }

    /// Polls the body, and judges what it returns.
    ///
    /// # Safety
    ///
    /// The caller holds the run right.
    unsafe fn carry_on(
        &self,
        at: At,
        start: bool,
        defaults: &Defaults,
        chance: &mut fastrand::Rng,
    ) -> Step {
        if start && defaults.keeps_history {
            let now = crate::shared::clock();
            // SAFETY: passed on to the caller.
            unsafe { self.with_history(at, |_, history| history.start(now)) };
        }
        let polled = {
            // SAFETY: the caller holds a reference, and so keeps the operation, while this is polled; it is of this type.
            let waker = unsafe { at.waker::<B>() };
            let mut cx = Context::from_waker(&waker);
            // SAFETY: as above.
            let op = || unsafe { at.reference::<B>() }.erase();
            let context = || AttemptContext::new(op(), self.header.attempts());
            // SAFETY: passed on to the caller.
            unsafe {
                self.with_body(|mut body, _| {
                    if start {
                        body.as_mut().start(context);
                    }
                    body.poll(&mut cx)
                })
            }
        };
        match polled {
            Ok(Poll::Pending) => Step::Pending,
            // SAFETY: passed on to the caller.
            Ok(Poll::Ready(result)) => unsafe { self.judge(at, result, defaults, chance) },
            Err(message) => {
                if defaults.keeps_history {
                    // SAFETY: passed on to the caller.
                    unsafe {
                        self.note(at, |_| Failure::Panicked(message.clone().into()));
                        self.bury(at, Ending::Panicked);
                    }
                }
                // SAFETY: passed on to the caller.
                unsafe { self.end(Outcome::Panicked(message)) };
                Step::Ended(Ending::Panicked)
            }
        }
    }

    /// Takes what is in the stage.
    ///
    /// # Safety
    ///
    /// The stage is the caller's, and what is in it is not pinned.
    unsafe fn take_stage(&self) -> Stage<B> {
        self.stage.with_mut(|stage| {
            // SAFETY: passed on to the caller.
            std::mem::replace(unsafe { &mut *stage }, Stage::Taken)
        })
    }
}

impl<B: Body> Run for OpCell<B> {
    unsafe fn poll(
        &self,
        at: At,
        start: bool,
        defaults: &Defaults,
        chance: &mut fastrand::Rng,
    ) -> Step {
        // SAFETY: passed on to the caller.
        unsafe { self.carry_on(at, start, defaults, chance) }
    }

    unsafe fn time_out(&self, at: At, defaults: &Defaults, chance: &mut fastrand::Rng) -> Step {
        if defaults.keeps_history {
            // SAFETY: passed on to the caller.
            unsafe { self.note(at, |_| Failure::TimedOut) };
        }
        // SAFETY: passed on to the caller.
        let again = unsafe {
            self.with_body(|body, overrides| {
                let timeout = overrides
                    .and_then(|it| it.timeout)
                    .unwrap_or(defaults.timeout);
                (
                    self.prepare_retry(body, overrides, defaults, chance, || None),
                    timeout,
                )
            })
        };
        let (outcome, ending) = match again {
            Ok((Some(delay), _)) => return Step::Retry(delay),
            Ok((None, timeout)) => (
                Outcome::TimedOut(timeout.unwrap_or_default()),
                Ending::TimedOut,
            ),
            Err(message) => (Outcome::Panicked(message), Ending::Panicked),
        };
        if defaults.keeps_history {
            // SAFETY: passed on to the caller.
            unsafe { self.bury(at, ending) };
        }
        // SAFETY: passed on to the caller.
        unsafe { self.end(outcome) };
        Step::Ended(ending)
    }

    unsafe fn conclude(&self, at: At, stop: Stop) {
        // SAFETY: the operation is alive while it is borrowed.
        if stop == Stop::Deadline && unsafe { at.home() }.dead_letters().is_some() {
            // SAFETY: passed on to the caller.
            unsafe {
                self.note(at, |_| Failure::DeadlineExceeded);
                self.bury(at, Ending::DeadlineExceeded);
            }
        }
        let outcome = match stop {
            Stop::Cancel(reason) => Outcome::Cancelled(reason),
            Stop::Deadline => Outcome::DeadlineExceeded,
            Stop::Shed => Outcome::Shed,
        };
        // SAFETY: passed on to the caller.
        unsafe { self.end(outcome) }
    }

    unsafe fn timeout(&self, defaults: &Defaults) -> Option<Duration> {
        self.stage.with_mut(|stage| {
            // SAFETY: with the run right nobody else reaches the stage.
            match unsafe { &*stage } {
                Stage::Live {
                    overrides: Some(overrides),
                    ..
                } => overrides.timeout.unwrap_or(defaults.timeout),
                _ => defaults.timeout,
            }
        })
    }

    unsafe fn take_waiter(&self) -> Option<Waker> {
        // SAFETY: the slot is the publisher's, which the caller is: the receiver sees `DONE` before it would touch it.
        self.waiter.with_mut(|slot| unsafe { (*slot).take() })
    }

    unsafe fn forget_outcome(&self) {
        // SAFETY: the receiver was gone before the phase became `DONE`, so the stage is the caller's. An outcome is not
        // pinned.
        drop(unsafe { self.take_stage() });
    }
}

impl<B: Body> Join<B::Value, B::Error> for OpCell<B> {
    unsafe fn poll_outcome(&self, cx: &mut Context<'_>) -> Poll<Outcome<B::Value, B::Error>> {
        let mut state = self.header.state.load(Ordering::Acquire);
        if state & PHASE != DONE && state & WAITER != 0 {
            // Takes the slot back. If the operation is done by now its publisher may be reading the slot.
            state = self.header.state.fetch_and(!WAITER, Ordering::AcqRel);
        }
        if state & PHASE != DONE {
            self.waiter.with_mut(|slot| {
                // SAFETY: `WAITER` is clear, so the slot is the receiver's, which the caller is.
                let slot = unsafe { &mut *slot };
                if !slot
                    .as_ref()
                    .is_some_and(|waiter| waiter.will_wake(cx.waker()))
                {
                    *slot = Some(cx.waker().clone());
                }
            });
            // Release makes the waker visible to the publisher; acquire is for the outcome, if it is there.
            state = self.header.state.fetch_or(WAITER, Ordering::AcqRel);
            if state & PHASE == DONE {
                // SAFETY: the publisher found `WAITER` clear, so the slot is the receiver's for good.
                drop(self.waiter.with_mut(|slot| unsafe { (*slot).take() }));
            }
        }
        if state & PHASE != DONE {
            return Poll::Pending;
        }
        // SAFETY: the phase is `DONE`, so the stage is the receiver's. An outcome is not pinned.
        match unsafe { self.take_stage() } {
            Stage::Over(outcome) => Poll::Ready(outcome),
            Stage::Live { .. } | Stage::Taken => {
                unreachable!("a finished operation has no outcome")
            }
        }
    }

    unsafe fn let_go(&self) {
        let left = self
            .header
            .update(|state| Some((state & !WAITER) | ABANDONED));
        let before = left.unwrap_or_else(|state| state);
        if before & PHASE == DONE {
            // SAFETY: the phase is `DONE`, so the stage is the receiver's. An outcome is not pinned.
            drop(unsafe { self.take_stage() });
        } else if before & WAITER != 0 {
            // SAFETY: `WAITER` is clear again and was cleared before the end, so the slot is the receiver's.
            drop(self.waiter.with_mut(|slot| unsafe { (*slot).take() }));
        }
    }
}

/// Marks a woken operation. Returns whether the caller is to schedule it.
fn is_to_schedule(header: &Header) -> bool {
    let woken = header.update(|state| match state & PHASE {
        IDLE => Some((state & !PHASE) | SCHEDULED),
        RUNNING => Some((state & !PHASE) | NOTIFIED),
        // Wakers outlive attempts: one that comes late has nothing to wake.
        _ => None,
    });
    woken.is_ok_and(|before| before & PHASE == IDLE)
}

impl fmt::Debug for Owned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Owned").field(&self.header().id()).finish()
    }
}

/// Runs user code whose panic has nobody to go to.
pub(crate) fn swallow(act: impl FnOnce()) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(act)) {
        drop(message_of(panic));
    }
}

/// Returns the text of a panic.
pub(crate) fn message_of(panic: Box<dyn Any + Send>) -> Box<str> {
    let message = if let Some(text) = panic.downcast_ref::<&str>() {
        (*text).into()
    } else if let Some(text) = panic.downcast_ref::<String>() {
        text.as_str().into()
    } else {
        "the panic carried no text".into()
    };
    discard(panic);
    message
}

/// Drops what a panic carried. That may panic again, with something that may do so in turn: what is left after a few
/// rounds is not worth a worker, and is leaked.
pub(crate) fn discard(mut payload: Box<dyn Any + Send>) {
    for _ in 0..4 {
        match catch_unwind(AssertUnwindSafe(|| drop(payload))) {
            Ok(()) => return,
            Err(next) => payload = next,
        }
    }
    std::mem::forget(payload);
}
