//! From a closure to an operation in the queue.

use std::borrow::Cow;
use std::fmt;
use std::future::IntoFuture;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use crate::body::{Body, Overrides};
use crate::cell::{Defaults, Direct, Fresh, OpRef};
use crate::config::Overflow;
use crate::error::SubmitError;
use crate::handle::{OnDrop, OperationHandle};
use crate::priority::Priority;
use crate::retry::RetryPolicy;
use crate::scheduling::Scheduling;
use crate::shared::{Link, NO_TERMS, Room, Shared, Terms, clock};
use crate::state::Refusal;

/// An operation on its way into a queue: set what differs from the queue's settings, then
/// [`submit`](Self::submit) it, or simply await it, which is the same.
#[must_use = "nothing is queued before `submit`, `try_submit` or `.await`"]
pub struct Submission<B: Body> {
    link: Arc<Link>,
    body: B,
    priority: Priority,
    on_drop: OnDrop,
    /// Boxed like the next, because a submission is moved several times and most have neither.
    overrides: Option<Box<Overrides<B::Error>>>,
    unknown: Option<Box<Unknown>>,
}

/// A name without a handler, and the names that have one.
struct Unknown {
    name: Cow<'static, str>,
    known: Vec<&'static str>,
}

impl<B: Body> Submission<B> {
    pub(crate) fn new(link: Arc<Link>, body: B) -> Self {
        let on_drop = link.shared.config.on_drop;
        Self {
            link,
            body,
            priority: Priority::default(),
            on_drop,
            overrides: None,
            unknown: None,
        }
    }

    pub(crate) const fn link(&self) -> &Arc<Link> {
        &self.link
    }

    pub(crate) fn into_source(self) -> B::Source {
        self.body.into_source()
    }

    /// Whether it stands for bytes.
    pub(crate) fn has_weight(&self) -> bool {
        self.overrides.as_ref().is_some_and(|it| it.weight > 0)
    }

    pub(crate) fn unknown(mut self, name: Cow<'static, str>, known: Vec<&'static str>) -> Self {
        self.unknown = Some(Box::new(Unknown { name, known }));
        self
    }

    fn overrides(&mut self) -> &mut Overrides<B::Error> {
        self.overrides.get_or_insert_with(Box::default)
    }

    /// Says that the operation is of a kind that has a batch handler.
    pub(crate) fn kind(mut self, kind: Option<u32>) -> Self {
        if kind.is_some() {
            self.overrides().rare().kind = kind;
        }
        self
    }

    /// Sets the urgency; [`Priority::Medium`] otherwise.
    pub const fn priority(mut self, priority: Priority) -> Self {
        self.priority = priority;
        self
    }

    /// Sets how long one attempt may take; `None` for as long as it likes. A timeout of zero is over at the first
    /// moment in which the operation waits for anything.
    pub fn timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.overrides().timeout = Some(timeout.into());
        self
    }

    /// Sets when the whole operation must be over, including its time in the queue and all its attempts.
    pub fn deadline(mut self, deadline: Instant) -> Self {
        self.overrides().deadline = Some(deadline);
        self
    }

    /// Sets how long the whole operation may take from now on.
    pub fn deadline_in(mut self, duration: Duration) -> Self {
        // A deadline beyond what the clock can count is none.
        self.overrides().deadline = clock().checked_add(duration);
        self
    }

    /// Sets what the operation shares with others, such as the host it calls: the queue's
    /// [`keys`](crate::QueueConfig::keys) say how many of one key run at once and how often one may start. While its key
    /// is not free the operation waits aside, and others pass it. Between two attempts it does not occupy its key.
    ///
    /// ```
    /// use aqe_queue::{AsyncOperationQueue, KeyLimits, QueueConfig};
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let config = QueueConfig::default().keys(KeyLimits::default().max_concurrent(2));
    /// let queue = AsyncOperationQueue::new(config)?;
    /// // However many slots the queue has: two at a time for one host.
    /// let fetch = queue.future(async { Ok::<_, ()>(200) }).key("example.org").submit().await?;
    /// assert_eq!(fetch.await, Ok(200));
    /// # Ok(()) }
    /// ```
    pub fn key(mut self, key: impl Into<Arc<str>>) -> Self {
        self.overrides().rare().key = Some(key.into());
        self
    }

    /// Says how many bytes the operation stands for, from now until it ends; 0 otherwise. They count towards
    /// [`QueueConfig::capacity_bytes`](crate::QueueConfig::capacity_bytes).
    pub fn weight(mut self, bytes: u64) -> Self {
        self.overrides().weight = bytes;
        self
    }

    /// Sets how often and after which delays failed and timed-out attempts are repeated.
    pub fn retry(mut self, policy: RetryPolicy) -> Self {
        self.overrides().retry = Some(policy);
        self
    }

    /// Sets which errors are worth another attempt; otherwise all of them are. Timeouts are not asked about.
    pub fn retry_if(mut self, is_worth_it: impl Fn(&B::Error) -> bool + Send + 'static) -> Self {
        self.overrides().retry_if = Some(Box::new(is_worth_it));
        self
    }

    /// Lets the error decide the delay before the next attempt, as a server does with `Retry-After`; where it returns
    /// `None` the policy decides. Whatever it asks for is bounded by the policy's cap or, where the backoff has none, by
    /// [`RetryPolicy::LONGEST_ASKED`], and no jitter is added. A panic in it fails the operation, as one in its body does.
    ///
    /// ```
    /// use std::time::Duration;
    /// use aqe_queue::{AsyncOperationQueue, QueueConfig};
    ///
    /// struct Busy { retry_after: Option<u64> }
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let queue = AsyncOperationQueue::new(QueueConfig::default())?;
    /// let fetch = queue.operation(|cx| async move {
    ///     if cx.attempt() == 1 { Err(Busy { retry_after: Some(0) }) } else { Ok(cx.attempt()) }
    /// });
    /// let handle = fetch.retry_after(|busy| busy.retry_after.map(Duration::from_secs)).submit().await?;
    /// assert!(matches!(handle.await, Ok(2)));
    /// # Ok(()) }
    /// ```
    pub fn retry_after(
        mut self,
        delay: impl Fn(&B::Error) -> Option<Duration> + Send + 'static,
    ) -> Self {
        self.overrides().rare().retry_after = Some(Box::new(delay));
        self
    }

    /// Sets what dropping the handle does.
    pub const fn on_drop(mut self, policy: OnDrop) -> Self {
        self.on_drop = policy;
        self
    }

    /// Queues the operation, if there is room.
    ///
    /// # Errors
    ///
    /// [`SubmitError::Full`], [`SubmitError::Paused`], [`SubmitError::Closed`], [`SubmitError::TooHeavy`],
    /// [`SubmitError::NoSuchLevel`] and, for operations with a key, [`SubmitError::TooManyKeys`]; for named operations,
    /// [`SubmitError::Unknown`]. All of them hand the operation back.
    pub fn try_submit(self) -> Submitted<B::Source, B::Value, B::Error> {
        let mut pending = self.check()?;
        match pending.push() {
            Ok(()) => Ok(pending.into_handle()),
            Err((refusal, op)) => Err(pending.refused(refusal, op)),
        }
    }

    /// Queues the operation, waiting for room if the queue is full, and for
    /// [`resume_admission`](crate::AsyncOperationQueue::resume_admission) if it lets nobody in. Those who wait are
    /// served in the order in which they came.
    ///
    /// # Errors
    ///
    /// As [`try_submit`](Self::try_submit), except that it is never paused, and full only if that is the queue's
    /// [`overflow`](crate::QueueConfig::overflow) policy.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped before it is ready, the operation has not been queued and is dropped with it.
    pub fn submit(self) -> Submit<B::Source, B::Value, B::Error> {
        let state = match self.check() {
            Ok(pending) => SubmitState::New(pending),
            Err(error) => SubmitState::Refused(error),
        };
        Submit {
            state,
            ticket: None,
        }
    }

    /// Checks everything but whether there is room.
    pub(crate) fn check(self) -> Checked<B> {
        if let Some(unknown) = self.unknown {
            let Unknown { name, known } = *unknown;
            return Err(SubmitError::Unknown {
                operation: self.body.into_source(),
                name,
                known,
            });
        }
        let weight = self.overrides.as_ref().map_or(0, |it| it.weight);
        if let Some(capacity) = self.link.shared.config.capacity_bytes
            && weight > capacity
        {
            return Err(SubmitError::TooHeavy {
                operation: self.body.into_source(),
                weight,
                capacity,
            });
        }
        let levels = self.link.shared.config.priority_levels;
        let Some(level) = self.priority.level(levels) else {
            // Only a number can be out of range.
            let Priority::Level(level) = self.priority else {
                unreachable!("a named priority has no level")
            };
            return Err(SubmitError::NoSuchLevel {
                operation: self.body.into_source(),
                level,
                levels,
            });
        };
        let level = match self.link.shared.config.scheduling {
            Scheduling::Fifo => 0,
            Scheduling::Priority | Scheduling::Adaptive(_) => level,
        };
        Ok(Pending {
            terms: self.overrides.as_deref().and_then(terms_of),
            fresh: Fresh::new(
                self.body,
                self.overrides,
                level,
                self.on_drop,
                &self.link.nursery,
            ),
        })
    }
}

/// What comes of submitting: a handle, or the operation again.
pub type Submitted<S, T, E> = Result<OperationHandle<T, E>, SubmitError<S>>;

/// `submission.await` is `submission.submit().await`.
impl<B: Body> IntoFuture for Submission<B> {
    type Output = Submitted<B::Source, B::Value, B::Error>;
    type IntoFuture = Submit<B::Source, B::Value, B::Error>;

    fn into_future(self) -> Self::IntoFuture {
        self.submit()
    }
}

impl<B: Body> fmt::Debug for Submission<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Submission")
            .field("priority", &self.priority)
            .field("overrides", &self.overrides)
            .field("on_drop", &self.on_drop)
            .finish_non_exhaustive()
    }
}

pub(crate) type Checked<B> = Result<
    Pending<<B as Body>::Source, <B as Body>::Value, <B as Body>::Error>,
    SubmitError<<B as Body>::Source>,
>;

fn terms_of<E>(overrides: &Overrides<E>) -> Option<Box<Terms>> {
    let terms = Terms {
        deadline: overrides.deadline,
        key: overrides.key().cloned(),
        kind: overrides.kind(),
        weight: overrides.weight,
    };
    (!terms.are_none()).then(|| Box::new(terms))
}

/// Everything has been checked but whether there is room.
pub(crate) struct Pending<S: 'static, T: 'static, E: 'static> {
    fresh: Fresh<S, T, E, Shared>,
    terms: Option<Box<Terms>>,
}

impl<S: 'static, T: 'static, E: 'static> Pending<S, T, E> {
    pub(crate) fn shared(&self) -> &Shared {
        self.fresh.home()
    }

    fn terms(&self) -> &Terms {
        self.terms.as_deref().unwrap_or(&NO_TERMS)
    }

    pub(crate) fn op(&mut self) -> OpRef {
        self.fresh.op()
    }

    /// Whether it belongs to `queue` and needs nothing but a place in a level.
    pub(crate) fn is_plain(&self, queue: &Shared) -> bool {
        self.fresh.header().is_plain() && std::ptr::eq(self.shared(), queue)
    }

    /// Queues it in a place that is reserved for it.
    pub(crate) fn push_reserved(&mut self) -> Result<(), (Refusal, OpRef)> {
        let op = self.op();
        self.shared().push_reserved(op, self.terms())
    }

    /// Queues it if there is room.
    fn push(&mut self) -> Result<(), (Refusal, OpRef)> {
        let op = self.op();
        self.shared().push(op, self.terms())
    }

    /// Whether there is no point in waiting.
    fn is_final(&self, refusal: Refusal) -> bool {
        match refusal {
            Refusal::Closed | Refusal::TooManyKeys => true,
            Refusal::Full => self.shared().config.overflow == Overflow::Reject,
            Refusal::Paused => false,
        }
    }

    /// Reserves room, or waits for it; see [`Shared::wait_for_room`].
    pub(crate) fn wait_for_room(
        &self,
        ticket: &mut Option<u64>,
        waker: &Waker,
    ) -> Result<Room, Refusal> {
        let level = self.fresh.header().level();
        self.shared()
            .wait_for_room(ticket, waker, level, self.terms())
    }

    pub(crate) fn stop_waiting_for_room(&self, ticket: u64) {
        self.shared()
            .stop_waiting_for_room(ticket, self.terms().weight);
    }

    /// Makes the first attempt here and now; for [`Visit::run`](crate::shared::Visit::run).
    pub(crate) fn run(
        self,
        id: u64,
        defaults: &Defaults,
        chance: &mut fastrand::Rng,
    ) -> Direct<T, E> {
        self.fresh.run(id, defaults, chance)
    }

    pub(crate) fn into_handle(self) -> OperationHandle<T, E> {
        OperationHandle::new(self.fresh.into_receiver())
    }

    pub(crate) fn refused(self, refusal: Refusal, op: OpRef) -> SubmitError<S> {
        drop(op);
        let Some(source) = self.fresh.into_source() else {
            unreachable!("the queue kept an operation that it refused");
        };
        match refusal {
            Refusal::Full => SubmitError::Full(source),
            Refusal::Closed => SubmitError::Closed(source),
            Refusal::TooManyKeys => SubmitError::TooManyKeys(source),
            Refusal::Paused => SubmitError::Paused(source),
        }
    }
}

/// The future of [`Submission::submit`].
///
/// # Cancel safety
///
/// Dropping it before it is ready gives up its turn and drops the operation, which has not been queued. One that has been
/// woken because there is room, and is neither polled nor dropped, keeps that room from others.
#[must_use = "nothing is queued before this is awaited"]
pub struct Submit<S: 'static, T: 'static, E: 'static> {
    state: SubmitState<S, T, E>,
    ticket: Option<u64>,
}

enum SubmitState<S: 'static, T: 'static, E: 'static> {
    Refused(SubmitError<S>),
    Queued(OperationHandle<T, E>),
    New(Pending<S, T, E>),
    Waiting(Pending<S, T, E>),
    Done,
}

impl<S: 'static, T: 'static, E: 'static> Future for Submit<S, T, E> {
    type Output = Submitted<S, T, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let mut pending = match std::mem::replace(&mut this.state, SubmitState::Done) {
            SubmitState::Refused(error) => return Poll::Ready(Err(error)),
            SubmitState::Queued(handle) => return Poll::Ready(Ok(handle)),
            SubmitState::New(mut pending) => match pending.push() {
                Ok(()) => return Poll::Ready(Ok(pending.into_handle())),
                Err((refusal, op)) if pending.is_final(refusal) => {
                    return Poll::Ready(Err(pending.refused(refusal, op)));
                }
                Err(_) => pending,
            },
            SubmitState::Waiting(pending) => pending,
            SubmitState::Done => return Poll::Pending,
        };
        let pushed = match pending.wait_for_room(&mut this.ticket, cx.waker()) {
            Ok(Room::Wait) => {
                this.state = SubmitState::Waiting(pending);
                return Poll::Pending;
            }
            Ok(Room::Reserved) => pending.push_reserved(),
            Err(refusal) => Err((refusal, pending.fresh.op())),
        };
        Poll::Ready(match pushed {
            Ok(()) => Ok(pending.into_handle()),
            Err((refusal, op)) => Err(pending.refused(refusal, op)),
        })
    }
}

impl<S: 'static, T: 'static, E: 'static> Submit<S, T, E> {
    /// A submission that has been decided already.
    pub(crate) fn decided(submitted: Submitted<S, T, E>) -> Self {
        let state = match submitted {
            Ok(handle) => SubmitState::Queued(handle),
            Err(error) => SubmitState::Refused(error),
        };
        Self {
            state,
            ticket: None,
        }
    }
}

/// The body of an operation that has not been queued is not pinned: nothing has been started.
impl<S: 'static, T: 'static, E: 'static> Unpin for Submit<S, T, E> {}

impl<S: 'static, T: 'static, E: 'static> Drop for Submit<S, T, E> {
    fn drop(&mut self) {
        if let (Some(ticket), SubmitState::Waiting(pending)) = (self.ticket, &self.state) {
            pending.stop_waiting_for_room(ticket);
        }
    }
}

impl<S: 'static, T: 'static, E: 'static> fmt::Debug for Submit<S, T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Submit")
            .field("is_waiting", &self.ticket.is_some())
            .finish_non_exhaustive()
    }
}
