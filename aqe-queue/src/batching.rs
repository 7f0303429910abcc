//! Handlers that get several operations in one call.
//!
//! Some work is cheaper together than one by one: rows for one statement, requests for one round trip, test cases for one
//! start of a browser. [`Registry::register_batch`](crate::Registry::register_batch) gives a kind of operations a handler
//! that gets up to [`max_size`](BatchOptions::max_size) of them. Submitting one is what it always was, and each keeps its
//! own handle, priority, deadline, timeout, retries, cancellation, counters and events.
//!
//! # Who comes together
//!
//! An operation whose turn it is opens a call and lets others in until its [linger](BatchOptions::linger) is over, or, by
//! default, until the worker has begun whatever else it has at hand. Then it takes along those of its kind that still wait
//! in the queue: the most urgent level first, and in each level who came to it first. So a call is as full as the queue
//! allows even where one operation runs at a time, and the less urgent get in early if there is room for them.
//!
//! # What a call is for the queue
//!
//! - **One call has one slot.** `max_concurrent` bounds how many calls and other operations run at once; a call holds up to
//!   `max_size` operations. While it lingers it has its slot as well.
//!   [`QueueStatus::sharing_a_slot`](crate::QueueStatus::sharing_a_slot) tells how many run without a slot of their own.
//! - **Each operation is one operation** in every counter and event. Its attempt has begun when it is in the call, so
//!   lingering counts towards its timeout.
//! - **Whoever is cancelled, timed out or past its deadline ends at once**, when no poll of the call is under way. The
//!   others go on, and the result of the one that left is dropped. When the last has left, the handler's future is dropped.
//! - **Whoever fails is retried alone**: it queues again and comes into another call with whoever is there then.
//! - **A panic of the handler** fails every operation of the call with its message. So does, as a permanent error, a
//!   handler that returns more or fewer results than it got operations.
//! - **An operation with a [key](crate::Submission::key)** is not taken along, since its key says when it may start. When
//!   it does, it joins the call that is open, or opens one.
//! - **A paused queue** takes nothing along; a call that is open then goes on with whoever is in it.
//! - The handler's future is polled by the operations of its call in turn, one at a time. A poll that blocks is told of
//!   as one of the operation that was polling.

mod call;
mod kind;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

pub(crate) use self::call::Member;
pub(crate) use self::kind::{Batches, Kind, KindFactory};
use crate::context::AttemptContext;
use crate::named::{BoxFuture, HandlerError, Operation};

/// What a batch handler returns: a result for each operation, in their order, or one error for all.
pub type BatchResults<T> = Result<Vec<Result<T, HandlerError>>, HandlerError>;

/// A batch handler.
pub(crate) type BatchHandler<O> = Arc<
    dyn Fn(Vec<Arc<O>>, BatchContext) -> BoxFuture<'static, BatchResults<<O as Operation>::Output>>
        + Send
        + Sync,
>;

/// How many operations come together, and how long the first waits for others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct BatchOptions {
    /// How many operations a call has at most; `None`, the default, is the queue's
    /// [`batch_size`](crate::QueueConfig::batch_size).
    pub max_size: Option<usize>,
    /// How long a call that is not full waits for more, holding its slot. Zero by default: it takes who is there.
    pub linger: Duration,
}

impl BatchOptions {
    /// Sets [`max_size`](Self::max_size), which must not be 0.
    #[must_use]
    pub const fn max_size(mut self, operations: usize) -> Self {
        self.max_size = Some(operations);
        self
    }

    /// Sets [`linger`](Self::linger).
    #[must_use]
    pub const fn linger(mut self, linger: Duration) -> Self {
        self.linger = linger;
        self
    }
}

/// Handed to a batch handler with its operations.
#[derive(Clone)]
pub struct BatchContext {
    attempts: Arc<[AttemptContext]>,
}

impl BatchContext {
    pub(crate) fn new(attempts: Vec<AttemptContext>) -> Self {
        Self {
            attempts: attempts.into(),
        }
    }

    /// Returns what each attempt knows about itself, in the order of the operations. One that is
    /// [cancelled](AttemptContext::is_cancelled) has left the call: its result will be dropped.
    #[must_use]
    pub fn attempts(&self) -> &[AttemptContext] {
        &self.attempts
    }
}

impl fmt::Debug for BatchContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("BatchContext").field(&self.attempts).finish()
    }
}
