//! One call of a batch handler, and the part that each of its operations has in it.
//!
//! A call goes through these stages: *open* (others may join), *gathering* (those that were taken along have not all
//! begun), *running* (the handler's future), *over*. One of its operations, the *driver*, carries it on whenever it is
//! polled itself; the others only wait to be woken. When the driver leaves, another is made driver and woken.
//!
//! Nothing of the user's runs under the call's lock: neither the handler, nor its future, nor the drop of an operation or
//! a result. Nor is a timer polled under it, which may wake the call at once. And the queue's lock is not taken under it, since
//! releasing that wakes tasks.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use futures_task::{ArcWake, waker_ref};
use parking_lot::Mutex;
use tokio::time::{Sleep, sleep};

use super::kind::Kind;
use super::{BatchContext, BatchResults};
use crate::cell::{OpRef, message_of, swallow};
use crate::context::AttemptContext;
use crate::named::{BoxFuture, HandlerError, Operation};
use crate::shared::Shared;

/// An attempt at an operation whose kind has a batch handler.
pub(crate) struct Member<O: Operation> {
    /// Its call and its place there; `None` if it came into none.
    place: Option<(Arc<Call<O>>, usize)>,
}

pub(crate) struct Call<O: Operation> {
    id: u64,
    kind: Arc<Kind<O>>,
    inner: Mutex<Inner<O>>,
}

/// A call whose type has been forgotten.
pub(crate) trait AnyCall: Send + Sync {
    /// One that was taken along has ended before it began.
    fn is_without_one(&self);

    fn into_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync>;
}

struct Inner<O: Operation> {
    stage: Stage<O::Output>,
    /// In the order in which they began; those that have left keep their place.
    seats: Vec<Seat<O>>,
    /// Whose operations the handler has, in its order.
    order: Vec<usize>,
    /// How many have not left.
    present: usize,
    /// How many were taken along and have not begun.
    expected: usize,
    /// The place of whoever carries the call on.
    driver: usize,
}

enum Stage<T> {
    /// Others may join, until this is over.
    Open(Linger),
    Gathering,
    /// `None` while the driver polls it.
    Running(Option<BoxFuture<'static, BatchResults<T>>>),
    /// Everybody's result is at their seat, unless the handler panicked.
    Over(Option<Box<str>>),
}

enum Linger {
    /// Until the driver is polled again: a worker first begins what else it has at hand.
    ForOnePoll,
    /// `None` while the driver polls it.
    Until(Option<Pin<Box<Sleep>>>),
    Over,
}

/// What one operation has in its call.
struct Seat<O: Operation> {
    /// Until the handler is called.
    operation: Option<(Arc<O>, AttemptContext)>,
    waker: Option<Waker>,
    result: Option<Result<O::Output, HandlerError>>,
    has_left: bool,
}

impl<O: Operation> Member<O> {
    /// Begins an attempt: in the call for which the operation was taken along, in the one that is open, or in a new one.
    pub(crate) fn join(kind: u32, operation: Arc<O>, cx: AttemptContext) -> Self {
        let op = cx.op().clone();
        let place = op.home().shared().and_then(|shared| {
            if let Some(call) = shared.batches.call_of(op.header().id()) {
                let call: Arc<Call<O>> = call.into_any().downcast().ok()?;
                return Some(Call::begin_expected(call, operation, cx));
            }
            let kind = shared.batches.kind::<O>(kind)?;
            let (call, seat) = Call::join_open(&kind, shared, operation, cx);
            // One that can only be alone needs no account: its slot is its own.
            if kind.max > 1 {
                shared.join_call(&op, call.id);
            }
            Some((call, seat))
        });
        Self { place }
    }
}

impl<O: Operation> Future for Member<O> {
    type Output = Result<O::Output, HandlerError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &self.place {
            Some((call, seat)) => call.poll(*seat, cx),
            // Only the queue whose registry it is has given out the kind's number.
            None => Poll::Ready(Err(HandlerError::permanent(
                "the queue does not know this kind of operation",
            ))),
        }
    }
}

impl<O: Operation> Drop for Member<O> {
    fn drop(&mut self) {
        if let Some((call, seat)) = self.place.take() {
            call.leave(seat);
        }
    }
}

impl<O: Operation> Call<O> {
    fn new(kind: &Arc<Kind<O>>, shared: &Shared) -> Arc<Self> {
        Arc::new(Self {
            id: shared.batches.next_call(),
            kind: Arc::clone(kind),
            inner: Mutex::new(Inner {
                stage: Stage::Open(Linger::Over),
                seats: Vec::new(),
                order: Vec::new(),
                present: 0,
                expected: 0,
                driver: 0,
            }),
        })
    }

    fn join_open(
        kind: &Arc<Kind<O>>,
        shared: &Shared,
        operation: Arc<O>,
        cx: AttemptContext,
    ) -> (Arc<Self>, usize) {
        let mut open = kind.open.lock();
        let call = Arc::clone(open.get_or_insert_with(|| Self::new(kind, shared)));
        let mut inner = call.inner.lock();
        let before = if inner.present == 0 {
            // New, or everybody has left before it began.
            inner.seats.clear();
            std::mem::replace(&mut inner.stage, Stage::Open(Linger::of(kind)))
        } else {
            Stage::Over(None)
        };
        let seat = inner.sit_down(operation, cx);
        let full = if inner.present >= kind.max {
            // Whoever has filled it is about to be polled, and carries it on.
            inner.driver = seat;
            inner.stage = Stage::Gathering;
            open.take()
        } else {
            None
        };
        drop(inner);
        drop(open);
        drop((before, full));
        (call, seat)
    }

    fn begin_expected(
        call: Arc<Self>,
        operation: Arc<O>,
        cx: AttemptContext,
    ) -> (Arc<Self>, usize) {
        let mut inner = call.inner.lock();
        let seat = inner.sit_down(operation, cx);
        inner.expected = inner.expected.saturating_sub(1);
        if inner.expected == 0 {
            // It is about to be polled, and carries the call on.
            inner.driver = seat;
        }
        drop(inner);
        (call, seat)
    }

    fn poll(
        self: &Arc<Self>,
        seat: usize,
        cx: &mut Context<'_>,
    ) -> Poll<Result<O::Output, HandlerError>> {
        loop {
            let mut inner = self.inner.lock();
            if let Stage::Over(panic) = &inner.stage {
                if let Some(message) = panic {
                    let message = String::from(&**message);
                    drop(inner);
                    // Not by `panic!`: its hook has seen this one already.
                    resume_unwind(Box::new(message));
                }
                return inner.seats[seat]
                    .result
                    .take()
                    .map_or(Poll::Pending, Poll::Ready);
            }
            let replaced = inner.seats[seat].attach(cx.waker());
            let step = inner.next_step(seat);
            drop(inner);
            drop(replaced);
            let goes_on = match step {
                Step::Wait => false,
                Step::Yield => {
                    cx.waker().wake_by_ref();
                    false
                }
                Step::Linger(op, sleep) => self.linger(seat, &op, sleep),
                Step::Close(op) => self.close(seat, &op),
                Step::Begin(operations, attempts) => self.begin(operations, attempts),
                Step::CarryOn(future) => self.carry_on(future),
            };
            if !goes_on {
                return Poll::Pending;
            }
        }
    }

    /// Polls the timer of an open call, and closes the call when its time is over or so many wait that it would be full. Returns
    /// whether there is something to do.
    fn linger(self: &Arc<Self>, seat: usize, op: &OpRef, mut sleep: Pin<Box<Sleep>>) -> bool {
        let polled = {
            // Not the operation's waker, which would keep the operation's memory for as long as the timer.
            let waker = waker_ref(self);
            sleep.as_mut().poll(&mut Context::from_waker(&waker))
        };
        if polled.is_ready() {
            return self.close(seat, op);
        }
        let mut inner = self.inner.lock();
        let room = self.kind.max.saturating_sub(inner.present);
        let Stage::Open(Linger::Until(place)) = &mut inner.stage else {
            // Somebody has filled it meanwhile and carries it on.
            drop(inner);
            return true;
        };
        *place = Some(sleep);
        drop(inner);
        let waiting = op
            .home()
            .shared()
            .map_or(0, |shared| shared.waiting_of_kind(self.kind.number, room));
        waiting >= room && self.close(seat, op)
    }

    /// Lets nobody join any more, and takes along who waits in the queue. Returns that there is something to do.
    fn close(self: &Arc<Self>, seat: usize, op: &OpRef) -> bool {
        self.kind.shut(self);
        let (before, room) = {
            let mut inner = self.inner.lock();
            if inner.driver != seat || !matches!(inner.stage, Stage::Open(_)) {
                // Somebody has filled it meanwhile and carries it on.
                return true;
            }
            // One more, so that it does not begin before all of them are known.
            inner.expected += 1;
            let before = std::mem::replace(&mut inner.stage, Stage::Gathering);
            (before, self.kind.max.saturating_sub(inner.present))
        };
        drop(before);
        if let Some(shared) = op.home().shared() {
            shared.take_along(op, (self.kind.number, self.id), room, |number| {
                self.inner.lock().expected += 1;
                shared.batches.expect(number, Arc::<Self>::clone(self));
            });
        }
        self.inner.lock().expected -= 1;
        true
    }

    fn begin(self: &Arc<Self>, operations: Vec<Arc<O>>, attempts: Vec<AttemptContext>) -> bool {
        let made = catch_unwind(AssertUnwindSafe(|| {
            (self.kind.handler)(operations, BatchContext::new(attempts))
        }));
        match made {
            Ok(future) => self.carry_on(future),
            Err(panic) => self.fail(message_of(panic)),
        }
    }

    /// Polls the handler's future. Returns whether it is over.
    fn carry_on(self: &Arc<Self>, mut future: BoxFuture<'static, BatchResults<O::Output>>) -> bool {
        let polled = {
            let waker = waker_ref(self);
            let mut cx = Context::from_waker(&waker);
            catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(&mut cx)))
        };
        match polled {
            Ok(Poll::Pending) => {
                // The driver is here, so the call has not been given up meanwhile.
                self.inner.lock().stage = Stage::Running(Some(future));
                false
            }
            Ok(Poll::Ready(results)) => {
                swallow(|| drop(future));
                self.finish(results)
            }
            Err(panic) => {
                swallow(|| drop(future));
                self.fail(message_of(panic))
            }
        }
    }

    /// Gives everybody their result. Returns that there is something to do.
    fn finish(&self, results: BatchResults<O::Output>) -> bool {
        let mut inner = self.inner.lock();
        let asked = inner.order.len();
        let results = match results {
            Ok(results) if results.len() != asked => Err(wrong_count::<O>(results.len(), asked)),
            results => results,
        };
        let leftovers = match results {
            Ok(results) => inner.hand_out(results.into_iter()),
            Err(error) => inner.hand_out((0..asked).map(|_| Err(error.clone()))),
        };
        let wakers = inner.end(None);
        drop(inner);
        // The results of those who have left, dropped one by one: each may panic.
        for result in leftovers {
            swallow(|| drop(result));
        }
        wakers.into_iter().for_each(Waker::wake);
        true
    }

    /// Fails everybody. Returns that there is something to do.
    fn fail(&self, message: Box<str>) -> bool {
        let wakers = self.inner.lock().end(Some(message));
        wakers.into_iter().for_each(Waker::wake);
        true
    }

    /// The operation at `seat` is over, or its attempt is.
    fn leave(self: &Arc<Self>, seat: usize) {
        let mut inner = self.inner.lock();
        let left = inner.seats[seat].leave();
        inner.present -= 1;
        let (mut given_up, mut waker) = (None, None);
        let is_left_open = inner.present == 0 && matches!(inner.stage, Stage::Open(_));
        if inner.present == 0 {
            let next = match inner.stage {
                // Another may still join, and then it begins anew.
                Stage::Open(_) => Some(Stage::Open(Linger::Over)),
                Stage::Running(_) => Some(Stage::Over(None)),
                Stage::Gathering | Stage::Over(_) => None,
            };
            given_up = next.map(|next| std::mem::replace(&mut inner.stage, next));
        } else if inner.driver == seat && !matches!(inner.stage, Stage::Over(_)) {
            waker = inner.elect();
        }
        drop(inner);
        drop(left);
        drop(given_up);
        if is_left_open {
            // The kind has it, and it has the kind. Whoever has joined meanwhile is only the last to do so.
            self.kind.shut(self);
        }
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    pub(super) fn wake_driver(&self) {
        let waker = self.inner.lock().drivers_waker();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

fn wrong_count<O: Operation>(returned: usize, asked: usize) -> HandlerError {
    HandlerError::permanent(format!(
        "the batch handler of operation `{}` returned {returned} results for {asked} operations",
        O::NAME
    ))
}

impl<O: Operation> AnyCall for Call<O> {
    fn is_without_one(&self) {
        let waker = {
            let mut inner = self.inner.lock();
            inner.expected = inner.expected.saturating_sub(1);
            if inner.expected == 0 {
                inner.drivers_waker()
            } else {
                None
            }
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn into_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync> {
        self
    }
}

/// The waker of the handler's future: it wakes the driver.
impl<O: Operation> ArcWake for Call<O> {
    fn wake_by_ref(call: &Arc<Self>) {
        call.wake_driver();
    }
}

/// What a poll is to do, without the lock.
enum Step<O: Operation> {
    Wait,
    Yield,
    Linger(OpRef, Pin<Box<Sleep>>),
    Close(OpRef),
    Begin(Vec<Arc<O>>, Vec<AttemptContext>),
    CarryOn(BoxFuture<'static, BatchResults<O::Output>>),
}

impl Linger {
    fn of<O: Operation>(kind: &Kind<O>) -> Self {
        if kind.linger.is_zero() {
            Self::ForOnePoll
        } else {
            Self::Until(Some(Box::pin(sleep(kind.linger))))
        }
    }
}

impl<O: Operation> Inner<O> {
    fn sit_down(&mut self, operation: Arc<O>, cx: AttemptContext) -> usize {
        let seat = self.seats.len();
        if self.present == 0 {
            self.driver = seat;
        }
        self.present += 1;
        self.seats.push(Seat {
            operation: Some((operation, cx)),
            waker: None,
            result: None,
            has_left: false,
        });
        seat
    }

    /// Decides what the operation at `seat`, which is being polled, is to do.
    fn next_step(&mut self, seat: usize) -> Step<O> {
        if self.driver != seat {
            return Step::Wait;
        }
        match &mut self.stage {
            Stage::Open(linger) => {
                let Some((_, attempt)) = &self.seats[seat].operation else {
                    return Step::Wait;
                };
                let op = attempt.op().clone();
                match linger {
                    Linger::ForOnePoll => {
                        *linger = Linger::Over;
                        Step::Yield
                    }
                    Linger::Until(sleep) => match sleep.take() {
                        Some(sleep) => Step::Linger(op, sleep),
                        // It is gone with a driver whose poll of it panicked.
                        None => Step::Close(op),
                    },
                    Linger::Over => Step::Close(op),
                }
            }
            Stage::Gathering if self.expected == 0 => {
                self.stage = Stage::Running(None);
                let (operations, attempts) = self.take_operations();
                Step::Begin(operations, attempts)
            }
            Stage::Running(future) => future.take().map_or(Step::Wait, Step::CarryOn),
            Stage::Gathering | Stage::Over(_) => Step::Wait,
        }
    }

    fn take_operations(&mut self) -> (Vec<Arc<O>>, Vec<AttemptContext>) {
        let (seats, order) = (&mut self.seats, &mut self.order);
        seats
            .iter_mut()
            .enumerate()
            .filter_map(|(index, seat)| {
                let operation = seat.operation.take()?;
                order.push(index);
                Some(operation)
            })
            .unzip()
    }

    /// Puts results where they belong. Returns those that nobody waits for any more.
    fn hand_out(
        &mut self,
        results: impl Iterator<Item = Result<O::Output, HandlerError>>,
    ) -> Vec<Result<O::Output, HandlerError>> {
        let mut leftovers = Vec::new();
        for (seat, result) in self.order.iter().zip(results) {
            let seat = &mut self.seats[*seat];
            if seat.has_left {
                leftovers.push(result);
            } else {
                seat.result = Some(result);
            }
        }
        leftovers
    }

    /// Returns whom to wake.
    fn end(&mut self, panic: Option<Box<str>>) -> Vec<Waker> {
        self.stage = Stage::Over(panic);
        let wakers = self.seats.iter_mut().filter_map(|seat| seat.waker.take());
        wakers.collect()
    }

    /// Has another carry the call on. Returns how to tell it; if it has not been polled yet, it is about to be.
    fn elect(&mut self) -> Option<Waker> {
        self.driver = self.seats.iter().position(|seat| !seat.has_left)?;
        self.drivers_waker()
    }

    fn drivers_waker(&self) -> Option<Waker> {
        self.seats.get(self.driver)?.waker.clone()
    }
}

impl<O: Operation> Seat<O> {
    /// Leaves the waker to use. Returns the one before.
    fn attach(&mut self, waker: &Waker) -> Option<Waker> {
        if self.waker.as_ref().is_some_and(|it| it.will_wake(waker)) {
            return None;
        }
        self.waker.replace(waker.clone())
    }

    /// Returns what is to be dropped without the lock.
    #[expect(clippy::type_complexity, reason = "it is only dropped")]
    fn leave(
        &mut self,
    ) -> (
        Option<(Arc<O>, AttemptContext)>,
        Option<Waker>,
        Option<Result<O::Output, HandlerError>>,
    ) {
        self.has_left = true;
        (self.operation.take(), self.waker.take(), self.result.take())
    }
}
