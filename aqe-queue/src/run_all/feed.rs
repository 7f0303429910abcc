//! From an iterator into the queue, in batches and never beyond the window.

use std::collections::VecDeque;
use std::iter::Fuse;
use std::task::{Context, Poll};

use super::{ErrorOf, IntoSubmission, ValueOf};
use crate::body::Body;
use crate::error::{CancelReason, OperationError, SubmitError};
use crate::handle::OperationHandle;
use crate::operation::Pending;
use crate::queue::AsyncOperationQueue;
use crate::shared::Room;

/// An operation that has been given to the queue, or that the queue would not have.
pub(super) enum Entry<T: 'static, E: 'static> {
    Queued(OperationHandle<T, E>),
    Refused(Option<OperationError<E>>),
}

impl<T: 'static, E: 'static> Entry<T, E> {
    pub(super) fn is_finished(&self) -> bool {
        match self {
            Self::Queued(handle) => handle.is_finished(),
            Self::Refused(_) => true,
        }
    }

    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<T, OperationError<E>>> {
        match self {
            Self::Queued(handle) => std::pin::Pin::new(handle).poll(cx),
            Self::Refused(error) => match error.take() {
                Some(error) => Poll::Ready(Err(error)),
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
type Unsent<I> = Result<
    Pending<<BodyOf<I> as Body>::Source, ValueOf<I>, ErrorOf<I>>,
    SubmitError<<BodyOf<I> as Body>::Source>,
>;

pub(super) struct Feed<I: Iterator<Item: IntoSubmission>> {
    queue: AsyncOperationQueue,
    operations: Fuse<I>,
    is_exhausted: bool,
    window: usize,
    /// Taken from the iterator and not yet accepted, in its order.
    unsent: VecDeque<Unsent<I>>,
    /// The place, in the order of those that wait for room, of the first of `unsent`.
    ticket: Option<u64>,
}

impl<I: Iterator<Item: IntoSubmission>> Feed<I> {
    pub(super) fn new(queue: AsyncOperationQueue, operations: I, window: usize) -> Self {
        Self {
            queue,
            operations: operations.fuse(),
            is_exhausted: false,
            window,
            unsent: VecDeque::new(),
            ticket: None,
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
        self.is_exhausted && self.unsent.is_empty()
    }

    pub(super) fn size_hint(&self, in_hand: usize) -> (usize, Option<usize>) {
        let (least, most) = self.operations.size_hint();
        let more = in_hand + self.unsent.len();
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
        out: &mut VecDeque<Entry<ValueOf<I>, ErrorOf<I>>>,
        cx: &Context<'_>,
    ) {
        if in_hand > self.window / 2 {
            return;
        }
        let space = self.window - in_hand;
        while !self.is_exhausted && self.unsent.len() < space {
            match self.operations.next() {
                Some(operation) => {
                    let submission = operation.into_submission(&self.queue);
                    self.unsent.push_back(submission.check());
                }
                None => self.is_exhausted = true,
            }
        }
        while !self.unsent.is_empty() {
            if self.ticket.is_none() {
                self.send_batch(out);
            }
            match self.send_one(cx) {
                Some(entry) => out.push_back(entry),
                None => return,
            }
        }
    }

    /// Gives the queue as many as it takes without more ado, under one lock.
    fn send_batch(&mut self, out: &mut VecDeque<Entry<ValueOf<I>, ErrorOf<I>>>) {
        let shared = self.queue.shared();
        let ops = self.unsent.iter().map_while(|unsent| {
            let pending = unsent.as_ref().ok()?;
            pending.is_plain(shared).then(|| pending.op())
        });
        let sent = shared.push_quickly(ops);
        out.extend(
            self.unsent
                .drain(..sent)
                .map_while(|unsent| unsent.ok().map(|it| Entry::Queued(it.into_handle()))),
        );
    }

    /// Gives the queue the first of what is left, or waits for room.
    fn send_one(&mut self, cx: &Context<'_>) -> Option<Entry<ValueOf<I>, ErrorOf<I>>> {
        let first = self.unsent.pop_front()?;
        let pending = match first {
            Ok(pending) => pending,
            Err(error) => return Some(Entry::Refused(Some(refused(error)))),
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
            Err((refusal, op)) => Entry::Refused(Some(refused(pending.refused(refusal, op)))),
        })
    }
}

impl<I: Iterator<Item: IntoSubmission>> Drop for Feed<I> {
    fn drop(&mut self) {
        if let (Some(ticket), Some(Ok(pending))) = (self.ticket, self.unsent.front()) {
            pending.stop_waiting_for_room(ticket);
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
