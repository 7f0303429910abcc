//! What the submitter of an operation holds.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use crate::cell::{self, OpRef, Receiver, Stop};
use crate::error::{CancelReason, OperationError, SubmitError};
use crate::priority::Priority;

/// Names an operation within its queue. Ids count upwards in the order of submission.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OperationId(u64);

impl OperationId {
    pub(crate) const fn new(id: u64) -> Self {
        Self(id)
    }

    /// Returns the number behind the id.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for OperationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What dropping a handle does to an operation that has not ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum OnDrop {
    /// Cancels it, running or not.
    Cancel = 0,
    /// Cancels it if no attempt is running; a running attempt goes on, and its result is dropped.
    #[default]
    CancelIfQueued = 1,
    /// Leaves it alone; its result is dropped.
    Detach = 2,
}

/// The future of an operation's result.
///
/// Awaiting it gives the value or an [`OperationError`]. Any number of handles can be awaited together; each costs its
/// operation one waker. Dropping it does what its [`OnDrop`] policy says.
///
/// # Cancel safety
///
/// `(&mut handle).await` can be dropped and begun again without losing anything; dropping the handle itself
/// ends the operation as its policy says.
#[must_use = "dropping the handle cancels the operation, unless its policy is to detach"]
pub struct OperationHandle<T: 'static, E: 'static> {
    receiver: Receiver<T, E>,
}

/// How an operation ended, with what is known about it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Completion<T, E> {
    /// The operation.
    pub id: OperationId,
    /// Its value, or why there is none.
    pub result: Result<T, OperationError<E>>,
    /// Attempts that were started: 1 for an operation that succeeded at once, 0 for one that never began.
    pub attempts: u32,
}

impl<T: 'static, E: 'static> OperationHandle<T, E> {
    pub(crate) const fn new(receiver: Receiver<T, E>) -> Self {
        Self { receiver }
    }

    /// Returns the operation's id.
    #[must_use]
    pub fn id(&self) -> OperationId {
        OperationId::new(self.receiver.header().id())
    }

    /// Returns how many attempts have been started so far; after the end, how many it took.
    #[must_use]
    pub fn attempts(&self) -> u32 {
        self.receiver.header().attempts()
    }

    /// Returns whether the operation has ended.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.receiver.header().is_done()
    }

    /// Cancels the operation. What waits is dropped at once; what runs is dropped as soon as its worker gets to it,
    /// which is after the present poll. Returns `false` if it has ended or is being cancelled already.
    ///
    /// The handle then gives [`OperationError::Cancelled`], unless the operation finished in that very moment.
    pub fn cancel(&self) -> bool {
        cell::stop(
            &self.receiver.op(),
            Stop::Cancel(CancelReason::Asked),
            false,
        )
    }

    /// Returns something that can cancel the operation from elsewhere. It keeps the operation's memory, and with it what the
    /// queue consists of, but neither its body nor its result.
    #[must_use]
    pub fn canceller(&self) -> Canceller {
        Canceller {
            op: self.receiver.op(),
        }
    }

    /// Changes the operation's urgency, in constant time however long the queue is.
    ///
    /// One that is queued goes to the end of its new level, with the time it has waited; one between two attempts goes
    /// there when its delay is over. Returns `false`, and changes nothing, if the operation runs, has been taken by a
    /// worker, or is over. The level that it has already changes nothing either, and is `true`.
    ///
    /// One that waits aside for its [key](crate::Submission::key) is moved as well; among those that wait for the same key
    /// in the same level, the one that has waited longest is first. A queue whose
    /// [`Scheduling`](crate::Scheduling) is [`Fifo`](crate::Scheduling::Fifo) has one level for all and always
    /// returns `false`.
    ///
    /// # Errors
    ///
    /// [`SubmitError::NoSuchLevel`] if the queue has fewer levels than the number asked for.
    pub fn set_priority(&self, priority: Priority) -> Result<bool, SubmitError<()>> {
        let op = self.receiver.op();
        let level = priority.level_in(op.home().levels())?;
        Ok(op.home().set_level(&op, level))
    }

    /// Changes what dropping the handle does.
    pub fn set_on_drop(&mut self, policy: OnDrop) {
        self.receiver.header().set_on_drop(policy);
    }

    /// Lets the operation run to its end without a handle.
    pub fn detach(mut self) {
        self.set_on_drop(OnDrop::Detach);
    }

    /// Returns what is to be stopped when the handle is dropped, and whether only if it waits.
    pub(crate) fn end_on_drop(&self) -> Option<(OpRef, bool)> {
        let header = self.receiver.header();
        if header.is_taken() || header.is_done() {
            return None;
        }
        let only_waiting = match header.on_drop() {
            OnDrop::Detach => return None,
            OnDrop::CancelIfQueued => true,
            OnDrop::Cancel => false,
        };
        Some((self.receiver.op(), only_waiting))
    }

    /// Waits for the end and returns everything that is known about it.
    ///
    /// # Cancel safety
    ///
    /// Dropping this future drops the handle.
    pub async fn completion(mut self) -> Completion<T, E> {
        let result = (&mut self).await;
        Completion {
            id: self.id(),
            result,
            attempts: self.attempts(),
        }
    }
}

impl<T: 'static, E: 'static> Future for OperationHandle<T, E> {
    type Output = Result<T, OperationError<E>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Poll::Ready(outcome) = self.receiver.poll(cx) else {
            return Poll::Pending;
        };
        Poll::Ready(outcome.into_result(self.attempts()))
    }
}

/// Nothing in a handle is pinned: the operation lives elsewhere.
impl<T: 'static, E: 'static> Unpin for OperationHandle<T, E> {}

impl<T: 'static, E: 'static> Drop for OperationHandle<T, E> {
    fn drop(&mut self) {
        if let Some((op, only_waiting)) = self.end_on_drop() {
            cell::stop(&op, Stop::Cancel(CancelReason::Dropped), only_waiting);
        }
    }
}

impl<T: 'static, E: 'static> fmt::Debug for OperationHandle<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OperationHandle")
            .field("id", &self.id())
            .field("attempts", &self.attempts())
            .field("is_finished", &self.is_finished())
            .finish_non_exhaustive()
    }
}

/// Cancels one operation; see [`OperationHandle::canceller`].
#[derive(Clone)]
pub struct Canceller {
    op: OpRef,
}

impl Canceller {
    /// Returns the operation's id.
    #[must_use]
    pub fn id(&self) -> OperationId {
        OperationId::new(self.op.header().id())
    }

    /// Cancels the operation, as [`OperationHandle::cancel`] does.
    pub fn cancel(&self) -> bool {
        cell::stop(&self.op, Stop::Cancel(CancelReason::Asked), false)
    }
}

impl fmt::Debug for Canceller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Canceller").field(&self.id().get()).finish()
    }
}

/// Handles go between threads.
const _: fn() = || {
    fn is_send_and_sync<X: Send + Sync>() {}
    is_send_and_sync::<Canceller>();
    is_send_and_sync::<Arc<OperationHandle<(), ()>>>();
};
