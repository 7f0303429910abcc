//! One task that runs many items.
//!
//! A lane has a window of items in flight, polls them in place, and fills up as they end: there is no task, no channel
//! and no allocation for an item. Its slots are made when they are first needed and used again by item after item.
//! What is ready at its first poll never touches a waker.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Sleep;

use super::context::{ItemContext, Link, Rest};
use super::outbox::Outbox;
use super::ready::{Ready, SlotWaker};
use super::source::{Fed, Feed, Items};
use crate::checkpoint::{Keep, Keeper};
use crate::error::ItemError;
use crate::policy::{Decision, Policy, RetryPolicy};
use crate::report::{FailedItem, Gathered};
use crate::runs::Running;
use crate::switch::Switch;

/// Polls after which a lane lets other tasks of its thread run.
const BUDGET: usize = 256;

/// What the lanes of a run share.
pub(super) struct Common<S, F, P, T, E> {
    pub(super) feed: Mutex<Feed<S>>,
    pub(super) operation: F,
    pub(super) policy: P,
    pub(super) retry: RetryPolicy,
    pub(super) switch: Arc<Switch>,
    pub(super) failed: Mutex<Vec<FailedItem<E>>>,
    pub(super) sink: Sink<T, E>,
}

/// Where results go.
pub(super) enum Sink<T, E> {
    /// Nowhere.
    Drop,
    /// Into the report.
    Collect,
    /// To the consumer of a stream.
    Stream(Arc<Outbox<T, E>>),
}

pub(super) struct Lane<S: Items, F, P, Fut, T, E, K> {
    common: Arc<Common<S, F, P, T, E>>,
    link: Arc<Link>,
    ready: Arc<Ready>,
    keeper: Keeper<K>,
    /// The lane's part of the chunks that may be in flight.
    share: usize,
    slots: Vec<Slot<S::Item, Fut, E>>,
    free: Vec<usize>,
    /// Slots that were woken and are to be polled.
    woken: Vec<usize>,
    /// Items that were claimed and have not started.
    queue: VecDeque<(u64, S::Item)>,
    is_over: bool,
    results: Gathered<T>,
    /// Outcomes on their way to the consumer.
    outcomes: Vec<(u64, Result<T, ItemError<E>>)>,
    /// Last, so that what was done is with the log before the run is over.
    _running: Running,
}

struct Slot<I, Fut, E> {
    future: Pin<Box<Option<Fut>>>,
    number: u64,
    attempt: u32,
    /// The item, if it may be tried again.
    item: Option<I>,
    /// Set between two attempts: when the next begins, and what the last returned.
    pause: Option<Pause<E>>,
    waker: Waker,
    listing: Arc<SlotWaker>,
}

/// The time between two attempts of an item. Others may have its place in the window meanwhile.
struct Pause<E> {
    sleep: Pin<Box<Sleep>>,
    error: E,
    _rest: Rest,
}

impl<S, F, P, Fut, T, E, K> Lane<S, F, P, Fut, T, E, K>
where
    S: Items<Item: Clone>,
    F: Fn(S::Item, ItemContext) -> Fut,
    Fut: Future<Output = Result<T, E>>,
    P: Policy<E>,
    K: Keep<T>,
{
    pub(super) fn new(
        common: Arc<Common<S, F, P, T, E>>,
        link: Link,
        keeper: Keeper<K>,
        share: usize,
        running: Running,
    ) -> Self {
        let ready = Arc::new(Ready::default());
        let nudge = Waker::from(Arc::clone(&ready));
        common.switch.waiters().add(nudge);
        Self {
            common,
            link: Arc::new(link),
            ready,
            keeper,
            share,
            slots: Vec::new(),
            free: Vec::new(),
            woken: Vec::new(),
            queue: VecDeque::new(),
            is_over: false,
            results: Gathered::default(),
            outcomes: Vec::new(),
            _running: running,
        }
    }

    pub(super) async fn run(mut self) -> Gathered<T> {
        std::future::poll_fn(|cx| self.poll(cx)).await;
        // The futures of a cancelled run are dropped here, before anything is told of its end.
        self.slots.clear();
        self.flush();
        self.keeper.flush();
        self.results
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.ready.enter(cx.waker());
        let mut budget = BUDGET;
        loop {
            if self.common.switch.drops_running() {
                return Poll::Ready(());
            }
            self.poll_woken(&mut budget);
            self.start(&mut budget);
            if budget == 0 {
                self.flush();
                self.ready.interrupt();
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            if self.is_finished() {
                return Poll::Ready(());
            }
            self.flush();
            if self.ready.leave() {
                return Poll::Pending;
            }
        }
    }

    /// Whether another item may be in flight: a window of them, and as many again in place of those that rest. More would
    /// be without bound.
    fn has_room(&self) -> bool {
        let window = self.common.switch.chunk().saturating_mul(self.share);
        self.in_flight() < window.saturating_add(self.link.resting().min(window))
    }

    fn in_flight(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    fn is_finished(&mut self) -> bool {
        if !self.common.switch.may_start() {
            self.end_pauses();
            return self.in_flight() == 0;
        }
        self.is_over && self.queue.is_empty() && self.in_flight() == 0
    }

    fn poll_woken(&mut self, budget: &mut usize) {
        if self.woken.is_empty() {
            self.ready.take(&mut self.woken);
        }
        while *budget > 0
            && let Some(at) = self.woken.pop()
        {
            *budget -= 1;
            self.slots[at].listing.unlist();
            self.poll_slot(at);
        }
    }

    /// Starts items while there is room for them.
    fn start(&mut self, budget: &mut usize) {
        while *budget > 0 && self.has_room() && self.common.switch.may_start() {
            let Some((number, item)) = self.next_item() else {
                return;
            };
            *budget -= 1;
            let at = self.free.pop().unwrap_or_else(|| self.new_slot());
            let slot = &mut self.slots[at];
            slot.number = number;
            slot.attempt = 1;
            slot.item = (self.common.retry.attempts > 0).then(|| item.clone());
            self.attempt(at, item);
        }
    }

    fn next_item(&mut self) -> Option<(u64, S::Item)> {
        if self.queue.is_empty() && !self.is_over {
            self.claim();
        }
        self.queue.pop_front()
    }

    #[cold]
    #[inline(never)]
    fn claim(&mut self) {
        let switch = &self.common.switch;
        if switch.is_holding() || switch.awaits(|| self.keeper.lags()) {
            return;
        }
        let mut feed = self.common.feed.lock();
        if let Sink::Stream(outbox) = &self.common.sink {
            let taken = feed.taken();
            if switch.awaits(|| !outbox.has_room(taken)) {
                return;
            }
        }
        self.is_over = feed.take(switch.chunk(), &mut self.queue) == Fed::Over;
    }

    fn new_slot(&mut self) -> usize {
        let at = self.slots.len();
        let listing = Arc::new(SlotWaker {
            at,
            is_listed: AtomicBool::new(false),
            ready: Arc::clone(&self.ready),
        });
        self.slots.push(Slot {
            future: Box::pin(None),
            number: 0,
            attempt: 0,
            item: None,
            pause: None,
            waker: Waker::from(Arc::clone(&listing)),
            listing,
        });
        at
    }

    /// Begins an attempt of the item in a slot, and polls it for the first time.
    fn attempt(&mut self, at: usize, item: S::Item) {
        let slot = &mut self.slots[at];
        let context = ItemContext {
            item: slot.number,
            attempt: slot.attempt,
            link: Arc::clone(&self.link),
        };
        let begin = || (self.common.operation)(item, context);
        match catch_unwind(AssertUnwindSafe(begin)) {
            Ok(future) => {
                slot.future.set(Some(future));
                self.poll_slot(at);
            }
            Err(panic) => {
                let error = ItemError::panicked(&*panic, slot.attempt);
                self.fail(at, error);
            }
        }
    }

    fn poll_slot(&mut self, at: usize) {
        let slot = &mut self.slots[at];
        let mut cx = Context::from_waker(&slot.waker);
        if let Some(pause) = &mut slot.pause {
            if pause.sleep.as_mut().poll(&mut cx).is_ready() {
                self.retry(at);
            }
            return;
        }
        let polled = catch_unwind(AssertUnwindSafe(|| {
            let Some(future) = slot.future.as_mut().as_pin_mut() else {
                // Woken by something that the last item of the slot left behind.
                return Poll::Pending;
            };
            let polled = future.poll(&mut cx);
            if polled.is_ready() {
                // Its drop is the item's own code as well.
                slot.future.set(None);
            }
            polled
        }));
        match polled {
            Ok(Poll::Pending) => {}
            Ok(Poll::Ready(Ok(value))) => self.succeed(at, value),
            Ok(Poll::Ready(Err(error))) => self.settle(at, error),
            Err(panic) => {
                let error = ItemError::panicked(&*panic, slot.attempt);
                // A future whose drop panics is gone all the same.
                drop(catch_unwind(AssertUnwindSafe(|| slot.future.set(None))));
                self.fail(at, error);
            }
        }
    }

    fn succeed(&mut self, at: usize, value: T) {
        let number = self.slots[at].number;
        self.link.meter().succeeded(1);
        self.keeper.done(number, &value);
        match &self.common.sink {
            Sink::Drop => {}
            Sink::Collect => self.results.push(number, value),
            Sink::Stream(_) => self.outcomes.push((number, Ok(value))),
        }
        self.free(at);
    }

    /// Does with an item that failed what the policy says.
    #[cold]
    fn settle(&mut self, at: usize, error: E) {
        let attempts = self.slots[at].attempt;
        let decide = || self.common.policy.decide(&error, attempts);
        let decision = match catch_unwind(AssertUnwindSafe(decide)) {
            Ok(decision) => decision,
            Err(panic) => return self.fail(at, ItemError::panicked(&*panic, attempts)),
        };
        match decision {
            Decision::Skip if self.common.switch.take_skip() => self.skip(at, error),
            Decision::Retry
                if attempts <= self.common.retry.attempts && self.common.switch.may_start() =>
            {
                let delay = self.common.retry.delay_after(attempts, fastrand::f64());
                self.pause(at, delay, error);
            }
            _ => self.fail(at, ItemError::Failed { error, attempts }),
        }
    }

    fn pause(&mut self, at: usize, delay: Duration, error: E) {
        // A sleep of zero would still cost a turn of the timer.
        if delay.is_zero() {
            return self.retry(at);
        }
        let sleep = Box::pin(tokio::time::sleep(delay));
        self.slots[at].pause = Some(Pause {
            sleep,
            error,
            _rest: Rest::new(&self.link),
        });
        // Registers the timer.
        self.poll_slot(at);
    }

    fn retry(&mut self, at: usize) {
        let slot = &mut self.slots[at];
        slot.pause = None;
        slot.attempt += 1;
        self.link.meter().retried();
        // The item is kept from the first attempt on when there can be a second.
        if let Some(item) = slot.item.clone() {
            self.attempt(at, item);
        }
    }

    /// Items between two attempts have failed when nothing may start any more.
    fn end_pauses(&mut self) {
        for at in 0..self.slots.len() {
            let attempts = self.slots[at].attempt;
            if let Some(Pause { error, .. }) = self.slots[at].pause.take() {
                self.fail(at, ItemError::Failed { error, attempts });
            }
        }
    }

    fn skip(&mut self, at: usize, error: E) {
        let slot = &self.slots[at];
        let attempts = slot.attempt;
        self.link.meter().skipped();
        self.keeper.skipped(slot.number);
        if let Sink::Stream(_) = self.common.sink {
            let skipped = ItemError::Skipped { error, attempts };
            self.outcomes.push((slot.number, Err(skipped)));
        }
        self.free(at);
    }

    #[cold]
    fn fail(&mut self, at: usize, error: ItemError<E>) {
        let item = self.slots[at].number;
        self.link.meter().failed();
        if let Sink::Stream(_) = self.common.sink {
            self.outcomes.push((item, Err(error)));
        } else {
            // Before it is counted: whoever sees that there are too many can see them all.
            self.common.failed.lock().push(FailedItem { item, error });
        }
        self.common.switch.count_error();
        self.free(at);
    }

    fn free(&mut self, at: usize) {
        self.slots[at].item = None;
        self.free.push(at);
    }

    /// Gives the consumer what has ended.
    fn flush(&mut self) {
        if let Sink::Stream(outbox) = &self.common.sink
            && !self.outcomes.is_empty()
        {
            outbox.put(&mut self.outcomes);
        }
    }
}
