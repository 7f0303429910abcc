//! What an operation consists of: a future, or a factory that makes one for each attempt.

use std::convert::Infallible;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use pin_project_lite::pin_project;

use crate::context::AttemptContext;
use crate::dead_letters::History;
use crate::error::{CancelReason, OperationError};
use crate::retry::RetryPolicy;

/// The user's part of an operation: a closure, a future, or a named operation with its handler.
///
/// It stays where it was put until it is dropped, so futures in it are pinned in place. The module is private, so
/// nobody else can implement this, and it can change.
pub trait Body: Send + 'static {
    /// What the operation gives when it succeeds.
    type Value: Send + 'static;
    /// What it gives when it fails.
    type Error: Send + 'static;
    /// What the user handed over, and gets back if it is refused.
    type Source;

    /// Whether another attempt can be made after [`stop`](Self::stop).
    const REPEATS: bool;

    /// Whether another attempt may go better. The predicate of an operation is asked as well.
    fn is_worth_retrying(_error: &Self::Error) -> bool {
        true
    }

    /// Begins an attempt. The context is only made if somebody wants it: it costs a reference count.
    fn start(self: Pin<&mut Self>, context: impl FnOnce() -> AttemptContext);

    /// Carries the attempt on.
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<Self::Value, Self::Error>>;

    /// Drops the attempt and keeps what the next one needs.
    fn stop(self: Pin<&mut Self>);

    /// Takes the body apart before it was ever started.
    fn into_source(self) -> Self::Source;
}

pin_project! {
    /// An operation that can be repeated.
    #[derive(Debug)]
    pub struct Repeat<F, Fut> {
        factory: F,
        #[pin]
        attempt: Option<Fut>,
    }
}

impl<F, Fut> Repeat<F, Fut> {
    pub(crate) const fn new(factory: F) -> Self {
        Self {
            factory,
            attempt: None,
        }
    }
}

impl<F, Fut, T, E> Body for Repeat<F, Fut>
where
    F: FnMut(AttemptContext) -> Fut + Send + 'static,
    Fut: Future<Output = Result<T, E>> + Send + 'static,
    T: Send + 'static,
    E: Send + 'static,
{
    type Value = T;
    type Error = E;
    type Source = F;

    const REPEATS: bool = true;

    fn start(self: Pin<&mut Self>, context: impl FnOnce() -> AttemptContext) {
        let mut this = self.project();
        let attempt = (this.factory)(context());
        this.attempt.set(Some(attempt));
    }

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<T, E>> {
        match self.project().attempt.as_pin_mut() {
            Some(attempt) => attempt.poll(cx),
            // Only polled between `start` and `stop`.
            None => Poll::Pending,
        }
    }

    fn stop(self: Pin<&mut Self>) {
        self.project().attempt.set(None);
    }

    fn into_source(self) -> F {
        self.factory
    }
}

pin_project! {
    /// A future that runs once.
    #[derive(Debug)]
    pub struct Once<Fut> {
        #[pin]
        future: Fut,
    }
}

impl<Fut> Once<Fut> {
    pub(crate) const fn new(future: Fut) -> Self {
        Self { future }
    }
}

impl<Fut, T, E> Body for Once<Fut>
where
    Fut: Future<Output = Result<T, E>> + Send + 'static,
    T: Send + 'static,
    E: Send + 'static,
{
    type Value = T;
    type Error = E;
    type Source = Fut;

    const REPEATS: bool = false;

    fn start(self: Pin<&mut Self>, _: impl FnOnce() -> AttemptContext) {}

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<T, E>> {
        self.project().future.poll(cx)
    }

    fn stop(self: Pin<&mut Self>) {}

    fn into_source(self) -> Fut {
        self.future
    }
}

pin_project! {
    /// A future that runs once and cannot fail.
    #[derive(Debug)]
    pub struct Sure<Fut> {
        #[pin]
        future: Fut,
    }
}

impl<Fut> Sure<Fut> {
    pub(crate) const fn new(future: Fut) -> Self {
        Self { future }
    }
}

impl<Fut> Body for Sure<Fut>
where
    Fut: Future<Output: Send> + Send + 'static,
{
    type Value = Fut::Output;
    type Error = Infallible;
    type Source = Fut;

    const REPEATS: bool = false;

    fn start(self: Pin<&mut Self>, _: impl FnOnce() -> AttemptContext) {}

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<Fut::Output, Infallible>> {
        self.project().future.poll(cx).map(Ok)
    }

    fn stop(self: Pin<&mut Self>) {}

    fn into_source(self) -> Fut {
        self.future
    }
}

/// What one operation asks for that differs from the queue's settings.
pub(crate) struct Overrides<E> {
    /// `Some(None)` switches the timeout off.
    pub(crate) timeout: Option<Option<Duration>>,
    pub(crate) deadline: Option<Instant>,
    /// In bytes.
    pub(crate) weight: u64,
    pub(crate) retry: Option<RetryPolicy>,
    pub(crate) retry_if: Option<Predicate<E>>,
    /// Boxed, because a submission is moved several times and few have any of this.
    pub(crate) rare: Option<Box<Rare<E>>>,
}

/// What few operations ask for.
pub(crate) struct Rare<E> {
    pub(crate) key: Option<Arc<str>>,
    /// The number of its kind, if that has a batch handler.
    pub(crate) kind: Option<u32>,
    pub(crate) retry_after: Option<RetryAfter<E>>,
    /// The attempts so far, if the queue has a sink for dead letters.
    pub(crate) history: History,
}

impl<E> Default for Rare<E> {
    fn default() -> Self {
        Self {
            key: None,
            kind: None,
            retry_after: None,
            history: History::default(),
        }
    }
}

/// Says whether an error is worth another attempt.
pub(crate) type Predicate<E> = Box<dyn Fn(&E) -> bool + Send>;

/// Says how long an error asks to be left alone.
pub(crate) type RetryAfter<E> = Box<dyn Fn(&E) -> Option<Duration> + Send>;

impl<E> Overrides<E> {
    pub(crate) fn rare(&mut self) -> &mut Rare<E> {
        self.rare.get_or_insert_with(Box::default)
    }

    pub(crate) fn key(&self) -> Option<&Arc<str>> {
        self.rare.as_ref()?.key.as_ref()
    }

    pub(crate) fn kind(&self) -> Option<u32> {
        self.rare.as_ref()?.kind
    }
}

impl<E> Default for Overrides<E> {
    fn default() -> Self {
        Self {
            timeout: None,
            deadline: None,
            weight: 0,
            retry: None,
            retry_if: None,
            rare: None,
        }
    }
}

impl<E> fmt::Debug for Overrides<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Overrides")
            .field("timeout", &self.timeout)
            .field("deadline", &self.deadline)
            .field("retry", &self.retry)
            .finish_non_exhaustive()
    }
}

/// How an operation ended, with its value.
#[derive(Debug)]
pub(crate) enum Outcome<T, E> {
    Completed(T),
    Failed(E),
    TimedOut(Duration),
    DeadlineExceeded,
    Cancelled(CancelReason),
    Panicked(Box<str>),
    Shed,
}

impl<T, E> Outcome<T, E> {
    /// Tells the user.
    pub(crate) fn into_result(self, attempts: u32) -> Result<T, OperationError<E>> {
        Err(match self {
            Self::Completed(value) => return Ok(value),
            Self::Failed(error) => OperationError::Failed { error, attempts },
            Self::TimedOut(timeout) => OperationError::TimedOut { timeout, attempts },
            Self::DeadlineExceeded => OperationError::DeadlineExceeded { attempts },
            Self::Cancelled(reason) => OperationError::Cancelled { reason, attempts },
            Self::Shed => OperationError::Shed { attempts },
            Self::Panicked(message) => OperationError::Panicked {
                message: message.into(),
                attempts,
            },
        })
    }
}

/// How an operation ended, for the accounts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    Completed,
    Failed,
    TimedOut,
    DeadlineExceeded,
    Cancelled(CancelReason),
    Panicked,
    Shed,
}
