//! From an iterator into the queue, in batches and never beyond the window.
//!
//! Operations that end at once are not worth handing to a worker and back: they run here, in a slot of the queue, as long
//! as nothing else waits for one; see [`visit`](crate::shared::Shared::visit). The first that has to wait, or takes
//! long, sends those after it to the workers.

use std::collections::VecDeque;
use std::iter::Fuse;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::task::coop;

use super::{ErrorOf, IntoSubmission, ValueOf};
use crate::body::Body;
use crate::error::{CancelReason, OperationError, SubmitError};
use crate::handle::OperationHandle;
use crate::operation::{Checked, Pending};
use crate::queue::AsyncOperationQueue;
use crate::shared::{Ran, Room, clock};
use crate::state::nanos;
use crate::worker::WORTH_SHARING;

/// An operation that has been given to the queue, or that the queue would not have.
pub(super) enum Entry<T: 'static, E: 'static> {
    Queued(OperationHandle<T, E>),
    Over(Option<Result<T, OperationError<E>>>),
}

impl<T: 'static, E: 'static> Entry<T, E> {
    pub(super) fn is_finished(&self) -> bool {
        match self {
            Self::Queued(handle) => handle.is_finished(),
            Self::Over(_) => true,
        }
    }

    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<T, OperationError<E>>> {
        match self {
            Self::Queued(handle) => std::pin::Pin::new(handle).poll(cx),
            Self::Over(result) => match result.take() {
                Some(result) => Poll::Ready(result),
                None => Poll::Pending,
            },
        }
    }

    /// Takes the result of one that is finished.
    pub(super) fn take(mut self, cx: &mut Context<'_>) -> Option<Result<T, OperationError<E>>> {
        match self.poll(cx) {
            Poll::Ready(result) => Some(result),
            Poll::Pending => None,
        }
    }
}

type BodyOf<I> = <<I as Iterator>::Item as IntoSubmission>::Body;
type PendingOf<B> = Pending<<B as Body>::Source, <B as Body>::Value, <B as Body>::Error>;

pub(super) struct Feed<I: Iterator<Item: IntoSubmission>> {
    queue: AsyncOperationQueue,
    operations: Fuse<I>,
    is_exhausted: bool,
    window: usize,
    /// Taken from the iterator and nothing else.
    raw: VecDeque<I::Item>,
    /// Made into operations and not yet accepted, in their order. They come before those in `raw`.
    unsent: VecDeque<Checked<BodyOf<I>>>,
    /// The place, in the order of those that wait for room, of the first of `unsent`.
    ticket: Option<u64>,
    direct: Direct,
}

/// Where results and operations go.
pub(super) trait Sink<T, E> {
    /// Takes an operation that the queue has, or has refused.
    fn queued(&mut self, entry: Entry<T, E>);

    /// Takes the result of an operation that is over.
    fn over(&mut self, result: Result<T, OperationError<E>>);
}

impl<I: Iterator<Item: IntoSubmission>> Feed<I> {
    pub(super) fn new(queue: AsyncOperationQueue, operations: I, window: usize) -> Self {
        let direct = Direct::new(queue.config().seed);
        Self {
            queue,
            operations: operations.fuse(),
            is_exhausted: false,
            window,
            raw: VecDeque::new(),
            unsent: VecDeque::new(),
            ticket: None,
            direct,
        }
    }

    pub(super) fn set_window(&mut self, window: usize) {
        self.window = window.max(1);
    }

    pub(super) const fn window(&self) -> usize {
        self.window
    }

    /// Whether everything has been given to the queue.
    pub(super) fn is_over(&self) -> bool {
        self.is_exhausted && self.raw.is_empty() && self.unsent.is_empty()
    }

    pub(super) fn size_hint(&self, in_hand: usize) -> (usize, Option<usize>) {
        let (least, most) = self.operations.size_hint();
        let more = in_hand + self.unsent.len() + self.raw.len();
        (
            least.saturating_add(more),
            most.and_then(|most| most.checked_add(more)),
        )
    }

    /// Fills the window, once no more than half of it is in hand: so that operations go in, and results come out, many
    /// at a time. If there is no room in the queue the task is woken when there is.
    pub(super) fn run(
        &mut self,
        in_hand: usize,
        out: &mut impl Sink<ValueOf<I>, ErrorOf<I>>,
        cx: &mut Context<'_>,
    ) {
        if in_hand > self.window / 2 {
            return;
        }
        let mut space = self.window - in_hand;
        if self.unsent.is_empty() && self.direct.is_on() {
            if in_hand > 0 {
                // They are about to end, and in their way.
                return;
            }
            let Poll::Ready(budget) = coop::poll_proceed(cx) else {
                return;
            };
            budget.made_progress();
            let ran = self.run_here(space, out);
            space -= ran;
            // What they took of the task's budget: a microsecond each, at most.
            for _ in 0..ran / PER_UNIT {
                if let Poll::Ready(budget) = coop::poll_proceed(cx) {
                    budget.made_progress();
                }
            }
            if self.unsent.is_empty() && self.direct.is_on() {
                return;
            }
        }
        self.fill(space);
        while !self.unsent.is_empty() {
            if self.ticket.is_none() {
                self.send_batch(out);
            }
            match self.send_one(cx) {
                Some(entry) => out.queued(entry),
                None => return,
            }
        }
    }

    /// Takes operations from the iterator until there are so many to be sent.
    fn fill(&mut self, count: usize) {
        self.take(count.saturating_sub(self.unsent.len()));
        let (queue, raw) = (&self.queue, self.raw.drain(..));
        self.unsent
            .extend(raw.map(|operation| operation.into_submission(queue).check()));
    }

    /// Takes operations from the iterator until there are so many in `raw`.
    fn take(&mut self, count: usize) {
        while !self.is_exhausted && self.raw.len() < count {
            match self.operations.next() {
                Some(operation) => self.raw.push_back(operation),
                None => self.is_exhausted = true,
            }
        }
    }

    /// Runs up to `most` operations on this thread, if the queue lets it, and returns how many.
    fn run_here(&mut self, most: usize, out: &mut impl Sink<ValueOf<I>, ErrorOf<I>>) -> usize {
        // Before there is a slot: the iterator may take its time, and may wait for the queue.
        self.take(most.min(self.direct.batch));
        let Some(mut pending) = make_one(&mut self.raw, &mut self.unsent, &self.queue) else {
            return 0;
        };
        let shared = self.queue.shared();
        let Some(mut visit) = shared.visit(self.raw.len() + 1) else {
            self.direct.turn_off();
            self.unsent.push_back(Ok(pending));
            return 0;
        };
        let mut count = 0;
        loop {
            count += 1;
            match visit.run(pending, &mut self.direct.chance) {
                Ran::Over(result) => out.over(result),
                Ran::HandedOn(handle) => out.queued(Entry::Queued(handle)),
            }
            if count >= most || !visit.may_go_on() {
                break;
            }
            // Made one by one: the memory of one that is over is the next one's.
            let Some(next) = make_one(&mut self.raw, &mut self.unsent, &self.queue) else {
                break;
            };
            pending = next;
        }
        match visit.end() {
            Some(mean) if mean <= nanos(WORTH_SHARING) => self.direct.grow(),
            _ => self.direct.turn_off(),
        }
        count
    }

    /// Gives the queue as many as it takes without more ado, under one lock.
    fn send_batch(&mut self, out: &mut impl Sink<ValueOf<I>, ErrorOf<I>>) {
        let shared = self.queue.shared();
        let ops = self.unsent.iter_mut().map_while(|unsent| {
            let pending = unsent.as_mut().ok()?;
            pending.is_plain(shared).then(|| pending.op())
        });
        let sent = shared.push_quickly(ops);
        for pending in self.unsent.drain(..sent).flatten() {
            out.queued(Entry::Queued(pending.into_handle()));
        }
        self.direct.sent(sent);
    }

    /// Gives the queue the first of what is left, or waits for room.
    fn send_one(&mut self, cx: &Context<'_>) -> Option<Entry<ValueOf<I>, ErrorOf<I>>> {
        let first = self.unsent.pop_front()?;
        let mut pending = match first {
            Ok(pending) => pending,
            Err(error) => return Some(Entry::Over(Some(Err(refused(error))))),
        };
        let pushed = match pending.wait_for_room(&mut self.ticket, cx.waker()) {
            Ok(Room::Wait) => {
                self.unsent.push_front(Ok(pending));
                return None;
            }
            Ok(Room::Reserved) => pending.push_reserved(),
            Err(refusal) => Err((refusal, pending.op())),
        };
        Some(match pushed {
            Ok(()) => Entry::Queued(pending.into_handle()),
            Err((refusal, op)) => Entry::Over(Some(Err(refused(pending.refused(refusal, op))))),
        })
    }
}

/// Makes an operation of the next item. One that needs more than a slot goes to `unsent` instead.
fn make_one<T: IntoSubmission>(
    raw: &mut VecDeque<T>,
    unsent: &mut VecDeque<Checked<T::Body>>,
    queue: &AsyncOperationQueue,
) -> Option<PendingOf<T::Body>> {
    match raw.pop_front()?.into_submission(queue).check() {
        Ok(pending) if pending.is_plain(queue.shared()) => Some(pending),
        other => {
            unsent.push_back(other);
            None
        }
    }
}

impl<I: Iterator<Item: IntoSubmission>> Drop for Feed<I> {
    fn drop(&mut self) {
        if let (Some(ticket), Some(Ok(pending))) = (self.ticket, self.unsent.front()) {
            pending.stop_waiting_for_room(ticket);
        }
    }
}

/// Whether operations are run on this thread, and how many under one lock.
struct Direct {
    batch: usize,
    /// This many more are sent to the workers before it is tried again.
    pause: usize,
    /// The next pause.
    next_pause: usize,
    /// Since when operations go to the workers, and how many have gone.
    off: (Instant, u32),
    chance: fastrand::Rng,
}

/// So many operations use up one unit of the consumer's budget, of which tokio gives a task 128.
const PER_UNIT: usize = 16;

/// Operations that take longer than this on average, with all that is done for them, are not short.
const WORTH_TRYING: Duration = Duration::from_micros(2);

/// One lock for so many operations costs each of them next to nothing.
const LARGEST_BATCH: usize = 64;

/// Pauses double from the first to the last, so that a stream of operations that wait is hardly ever held up.
const PAUSES: (usize, usize) = (64, 65_536);

impl Direct {
    fn new(seed: Option<u64>) -> Self {
        Self {
            batch: 1,
            pause: 0,
            next_pause: PAUSES.0,
            off: (clock(), 0),
            // Draws the delays of retries, which a seed makes repeatable.
            chance: seed.map_or_else(fastrand::Rng::new, fastrand::Rng::with_seed),
        }
    }

    const fn is_on(&self) -> bool {
        self.pause == 0
    }

    fn grow(&mut self) {
        self.batch = (self.batch * 2).min(LARGEST_BATCH);
        if self.batch == LARGEST_BATCH {
            self.next_pause = PAUSES.0;
        }
    }

    fn turn_off(&mut self) {
        self.batch = 1;
        self.rest();
    }

    fn rest(&mut self) {
        self.pause = self.next_pause;
        self.next_pause = (self.next_pause * 2).min(PAUSES.1);
        self.off = (clock(), 0);
    }

    /// Counts operations that went to the workers. To try again the window must be empty, so it is done only if they come
    /// back in no time.
    fn sent(&mut self, count: usize) {
        if self.pause == 0 {
            return;
        }
        let (since, sent) = &mut self.off;
        *sent = sent.saturating_add(u32::try_from(count).unwrap_or(u32::MAX));
        self.pause = self.pause.saturating_sub(count);
        let mean = clock().saturating_duration_since(*since) / (*sent).max(1);
        if self.pause == 0 && mean > WORTH_TRYING {
            self.rest();
        }
    }
}

/// A queue that is closed cancels what comes too late; anything else is a mistake of the caller.
fn refused<S, E>(error: SubmitError<S>) -> OperationError<E> {
    match error.map(drop) {
        SubmitError::Closed(()) => OperationError::Cancelled {
            reason: CancelReason::Shutdown,
            attempts: 0,
        },
        error => OperationError::Refused {
            reason: error.to_string(),
        },
    }
}
