//! The queue as a [`tower_service::Service`], for stacks of tower's layers.
//!
//! What tower's `Buffer` and `ConcurrencyLimit` do together, with the queue's order, retries and timeouts. Readiness is
//! a place in the queue: `poll_ready` reserves it, `call` uses it, and dropping the service gives it back.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use tower_service::Service;

use crate::error::{CancelReason, OperationError, SubmitError};
use crate::handle::{OnDrop, OperationHandle};
use crate::priority::Priority;
use crate::queue::AsyncOperationQueue;
use crate::shared::{NO_TERMS, Room};

/// A service whose calls are operations of a queue; see
/// [`service`](AsyncOperationQueue::service).
pub struct QueueService<F> {
    queue: AsyncOperationQueue,
    handler: F,
    priority: Priority,
    place: Place,
}

/// Where a service stands at the queue's door.
enum Place {
    Outside,
    /// With a place among those that wait for room.
    Waiting(u64),
    Reserved,
}

impl AsyncOperationQueue {
    /// Returns a service that makes an operation of each request, by calling `handler`, and runs it in the queue at
    /// the level of [`Priority::Medium`].
    ///
    /// `poll_ready` waits for room and reserves it, whatever the queue's [`overflow`](crate::QueueConfig::overflow)
    /// policy. A clone of the service has to become ready itself. Dropping the response future cancels the operation.
    ///
    /// ```
    /// use aqe_queue::{AsyncOperationQueue, QueueConfig};
    /// use tower_service::Service;
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let queue = AsyncOperationQueue::new(QueueConfig::default())?;
    /// let mut double = queue.service(|n: u32| async move { Ok::<_, std::convert::Infallible>(2 * n) });
    /// std::future::poll_fn(|cx| Service::<u32>::poll_ready(&mut double, cx)).await?;
    /// assert_eq!(double.call(21).await?, 42);
    /// # Ok(()) }
    /// ```
    pub fn service<F>(&self, handler: F) -> QueueService<F> {
        QueueService {
            queue: self.clone(),
            handler,
            priority: Priority::default(),
            place: Place::Outside,
        }
    }
}

impl<F> QueueService<F> {
    /// Sets the urgency of all calls.
    ///
    /// # Errors
    ///
    /// [`SubmitError::NoSuchLevel`] if the queue has fewer levels than the number asked for.
    pub fn priority(mut self, priority: Priority) -> Result<Self, SubmitError<()>> {
        priority.level_in(self.queue.config().priority_levels)?;
        self.priority = priority;
        Ok(self)
    }

    fn leave(&mut self) {
        let shared = self.queue.shared();
        match std::mem::replace(&mut self.place, Place::Outside) {
            Place::Outside => {}
            Place::Waiting(ticket) => shared.stop_waiting_for_room(ticket, 0),
            Place::Reserved => shared.give_up_room(),
        }
    }
}

impl<F, Request, Fut, T, E> Service<Request> for QueueService<F>
where
    F: FnMut(Request) -> Fut,
    Fut: Future<Output = Result<T, E>> + Send + 'static,
    T: Send + 'static,
    E: Send + 'static,
{
    type Response = T;
    type Error = OperationError<E>;
    type Future = ServiceFuture<T, E>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), OperationError<E>>> {
        let mut ticket = match self.place {
            Place::Outside => None,
            Place::Waiting(ticket) => Some(ticket),
            Place::Reserved => return Poll::Ready(Ok(())),
        };
        let shared = self.queue.shared();
        // The priority has been checked; 0 is never taken.
        let level = self
            .priority
            .level(self.queue.config().priority_levels)
            .unwrap_or(0);
        let room = shared.wait_for_room(&mut ticket, cx.waker(), level, &NO_TERMS);
        self.place = match (&room, ticket) {
            (Ok(Room::Reserved), _) => Place::Reserved,
            (_, Some(ticket)) => Place::Waiting(ticket),
            (_, None) => Place::Outside,
        };
        match room {
            Ok(Room::Reserved) => Poll::Ready(Ok(())),
            Ok(Room::Wait) => Poll::Pending,
            Err(_) => Poll::Ready(Err(shut_down())),
        }
    }

    /// Without readiness the call takes its chance: if there is no room it is [`OperationError::Refused`].
    fn call(&mut self, request: Request) -> ServiceFuture<T, E> {
        let operation = (self.handler)(request);
        let submission = self
            .queue
            .future(operation)
            .priority(self.priority)
            .on_drop(OnDrop::Cancel);
        let submitted = match self.place {
            Place::Reserved => submission.check().and_then(|mut pending| {
                self.place = Place::Outside;
                match pending.push_reserved() {
                    Ok(()) => Ok(pending.into_handle()),
                    Err((refusal, op)) => Err(pending.refused(refusal, op)),
                }
            }),
            Place::Outside | Place::Waiting(_) => submission.try_submit(),
        };
        ServiceFuture {
            state: match submitted {
                Ok(handle) => State::Queued(handle),
                Err(SubmitError::Closed(_)) => State::Refused(Some(shut_down())),
                Err(error) => State::Refused(Some(OperationError::Refused {
                    reason: error.to_string(),
                })),
            },
        }
    }
}

fn shut_down<E>() -> OperationError<E> {
    OperationError::Cancelled {
        reason: CancelReason::Shutdown,
        attempts: 0,
    }
}

impl<F: Clone> Clone for QueueService<F> {
    fn clone(&self) -> Self {
        Self {
            queue: self.queue.clone(),
            handler: self.handler.clone(),
            priority: self.priority,
            place: Place::Outside,
        }
    }
}

impl<F> Drop for QueueService<F> {
    fn drop(&mut self) {
        self.leave();
    }
}

impl<F> fmt::Debug for QueueService<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QueueService")
            .field("priority", &self.priority)
            .field("is_ready", &matches!(self.place, Place::Reserved))
            .finish_non_exhaustive()
    }
}

/// The response of a [`QueueService`].
///
/// # Cancel safety
///
/// Dropping it cancels the operation, queued or running.
#[must_use = "dropping the future cancels the call"]
pub struct ServiceFuture<T: 'static, E: 'static> {
    state: State<T, E>,
}

enum State<T: 'static, E: 'static> {
    Queued(OperationHandle<T, E>),
    Refused(Option<OperationError<E>>),
}

impl<T: 'static, E: 'static> Future for ServiceFuture<T, E> {
    type Output = Result<T, OperationError<E>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.state {
            State::Queued(handle) => Pin::new(handle).poll(cx),
            State::Refused(error) => match error.take() {
                Some(error) => Poll::Ready(Err(error)),
                None => Poll::Pending,
            },
        }
    }
}

/// Nothing in it is pinned: the operation lives elsewhere.
impl<T: 'static, E: 'static> Unpin for ServiceFuture<T, E> {}

impl<T: 'static, E: 'static> fmt::Debug for ServiceFuture<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServiceFuture")
            .field("is_queued", &matches!(self.state, State::Queued(_)))
            .finish_non_exhaustive()
    }
}
