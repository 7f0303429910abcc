//! A run whose items are operations of a queue.
//!
//! A batch processor knows which items are done, in which order they come and how far it is. A queue knows what is urgent,
//! how often a host may be called, and when something that failed is to be tried again. [`ThroughQueue`] gives a run both:
//! it turns the operation of an item into one that submits it to the queue and waits for its end.
//!
//! What it keeps:
//!
//! - An item is one operation, and has one result. Retries are the queue's.
//! - An operation never outlives its item: whatever drops the item (a cancelled run, a dropped future) cancels the operation.
//! - What concerns more than one item (the queue is closed, was cleared, or has passed a threshold) stops the run, and is
//!   not counted against item after item.

use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aqe_batch::{ItemContext, Rest};
use aqe_queue::config::Overflow;
use aqe_queue::{
    AsyncOperationQueue, AttemptContext, CancelReason, OnDrop, OperationError, Priority,
    RetryPolicy, SubmitError,
};

/// Makes the items of a run operations of a queue: priority, timeout, retries with backoff, limits per key and thresholds
/// are the queue's, and chunks, checkpoint, order, progress and error threshold are the run's.
///
/// Set what differs from the queue's settings, then hand the [operation](Self::operation) to
/// [`run`](aqe_batch::Job::run), [`run_each`](aqe_batch::Job::run_each) or [`stream`](aqe_batch::Job::stream).
///
/// ```
/// use std::time::Duration;
/// use aqe_core::{Config, Engine, Priority, RetryPolicy};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let engine = Engine::new(Config::default())?;
/// let fetch = engine
///     .through_queue()
///     .priority(Priority::Low)
///     .retry(RetryPolicy::exponential(3, Duration::from_secs(1), Duration::from_secs(60)))
///     .operation(|page: u64, cx| async move {
///         // Every seventh page answers at the third attempt, three seconds later.
///         if page % 7 == 0 && cx.attempt() < 3 { Err("503") } else { Ok(page * 100) }
///     });
/// let report = engine.batch().job("pages").run(0..70, fetch).await?;
/// assert_eq!(report.results.get(14), Some(&1_400));
/// assert_eq!((report.progress.done, report.progress.retried), (70, 20));
/// # Ok(()) }
/// ```
///
/// # Which settings of the run matter
///
/// The run offers its queue as many items at once as it has in flight: `batch.chunkSize` × `batch.concurrency`. That should
/// be at least `queue.maxConcurrent`. An item that waits for its next attempt does not count to them, up to as many again.
/// One that waits for its first attempt does: a queue is not filled with a run's items, and others' operations need not
/// stand in line behind all of them.
///
/// The run's own [retries](aqe_batch::BatchConfig::retry), none by default, would repeat the whole operation, with all of
/// its attempts.
///
/// # What an item comes to
///
/// | In the queue | In the run |
/// | --- | --- |
/// | the operation succeeds, at whichever attempt | the item is done |
/// | it fails for good, times out or panics | the item has failed, with an [`OperationError`] that says after how many attempts |
/// | it alone is cancelled, by its id | the item has failed, with [`OperationError::Cancelled`] |
/// | the queue is full, or paused by somebody or a threshold | the item waits; nothing is lost |
/// | it is shed for something more urgent | the item waits for room again, and its attempts are counted anew |
/// | the queue is full and [rejects](Overflow::Reject), or will never take it | the item has failed, with [`OperationError::Refused`] |
/// | the queue is closed or cleared, or a threshold aborts | the run [stops](aqe_batch::Stopped::ByItem); the items that this cost have failed, with [`OperationError::Cancelled`], and are done by the next run |
#[must_use = "it does nothing until `operation`"]
pub struct ThroughQueue<I, E> {
    terms: Terms<I, E>,
}

struct Terms<I, E> {
    queue: AsyncOperationQueue,
    priority: Of<I, Priority>,
    key: Option<Of<I, Arc<str>>>,
    weight: Option<Of<I, u64>>,
    timeout: Option<Option<Duration>>,
    deadline_in: Option<Duration>,
    retry: Option<RetryPolicy>,
    retry_if: Option<Of<E, bool>>,
    retry_after: Option<Of<E, Option<Duration>>>,
}

/// What is asked about an item or an error.
type Of<A, T> = Arc<dyn Fn(&A) -> T + Send + Sync>;

/// The future of one item: its result, or why the queue has none.
pub type QueuedItem<T, E> =
    Pin<Box<dyn Future<Output = Result<T, OperationError<E>>> + Send + 'static>>;

impl<I, E> ThroughQueue<I, E> {
    /// Sends items through `queue`, as [`Engine::through_queue`](crate::Engine::through_queue) does through that of an
    /// engine.
    pub fn new(queue: &AsyncOperationQueue) -> Self {
        Self {
            terms: Terms {
                queue: queue.clone(),
                priority: Arc::new(|_| Priority::default()),
                key: None,
                weight: None,
                timeout: None,
                deadline_in: None,
                retry: None,
                retry_if: None,
                retry_after: None,
            },
        }
    }

    /// Sets the urgency of all items; [`Priority::Medium`] otherwise.
    pub fn priority(self, priority: Priority) -> Self {
        self.priority_of(move |_| priority)
    }

    /// Sets the urgency of each item.
    pub fn priority_of(
        mut self,
        priority: impl Fn(&I) -> Priority + Send + Sync + 'static,
    ) -> Self {
        self.terms.priority = Arc::new(priority);
        self
    }

    /// Sets what an item shares with others, such as the host it calls; see
    /// [`Submission::key`](aqe_queue::Submission::key).
    pub fn key<K: Into<Arc<str>>>(mut self, key: impl Fn(&I) -> K + Send + Sync + 'static) -> Self {
        self.terms.key = Some(Arc::new(move |item| key(item).into()));
        self
    }

    /// Says how many bytes an item stands for; see [`Submission::weight`](aqe_queue::Submission::weight).
    pub fn weight(mut self, bytes: impl Fn(&I) -> u64 + Send + Sync + 'static) -> Self {
        self.terms.weight = Some(Arc::new(bytes));
        self
    }

    /// Sets how long one attempt may take; `None` for as long as it likes.
    pub fn timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.terms.timeout = Some(timeout.into());
        self
    }

    /// Sets how long an item may take from its submission on, all attempts and the delays between them included.
    pub const fn deadline_in(mut self, duration: Duration) -> Self {
        self.terms.deadline_in = Some(duration);
        self
    }

    /// Sets how often and after which delays failed and timed-out attempts are repeated.
    pub const fn retry(mut self, policy: RetryPolicy) -> Self {
        self.terms.retry = Some(policy);
        self
    }

    /// Sets which errors are worth another attempt; otherwise all of them are.
    pub fn retry_if(mut self, is_worth_it: impl Fn(&E) -> bool + Send + Sync + 'static) -> Self {
        self.terms.retry_if = Some(Arc::new(is_worth_it));
        self
    }

    /// Lets the error decide the delay before the next attempt; see
    /// [`Submission::retry_after`](aqe_queue::Submission::retry_after).
    pub fn retry_after(
        mut self,
        delay: impl Fn(&E) -> Option<Duration> + Send + Sync + 'static,
    ) -> Self {
        self.terms.retry_after = Some(Arc::new(delay));
        self
    }

    /// Makes `operation`, which is called once for each attempt, the operation of a run.
    ///
    /// Items are cloned for every attempt; put large ones into an [`Arc`]. The queue stays
    /// open at least as long as the run has this.
    ///
    /// # Cancel safety
    ///
    /// Dropping an item's future cancels its operation, queued or running.
    pub fn operation<F, Fut, T>(
        self,
        operation: F,
    ) -> impl Fn(I, ItemContext) -> QueuedItem<T, E> + Send + Sync + 'static
    where
        I: Clone + Send + 'static,
        F: Fn(I, QueuedContext) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<T, E>> + Send + 'static,
        T: Send + 'static,
        E: Send + 'static,
    {
        let shared = Arc::new((self.terms, operation));
        move |item, context| {
            let shared = Arc::clone(&shared);
            Box::pin(async move {
                let seat = Arc::new(Seat {
                    context,
                    rest: Mutex::new(None),
                });
                let result = through(&shared, item, &seat).await;
                if let Err(error) = &result {
                    stop_if_shared(error, &seat.context);
                }
                result
            })
        }
    }
}

impl<I, E> fmt::Debug for ThroughQueue<I, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ThroughQueue")
            .field("queue", &self.terms.queue)
            .field("timeout", &self.terms.timeout)
            .field("deadline_in", &self.terms.deadline_in)
            .field("retry", &self.terms.retry)
            .finish_non_exhaustive()
    }
}

/// Submits an item until the queue has done with it.
async fn through<I, E, F, Fut, T>(
    shared: &Arc<(Terms<I, E>, F)>,
    item: I,
    seat: &Arc<Seat>,
) -> Result<T, OperationError<E>>
where
    I: Clone + Send + 'static,
    F: Fn(I, QueuedContext) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<T, E>> + Send + 'static,
    T: Send + 'static,
    E: Send + 'static,
{
    // Only a queue that sheds gives an item back after it has taken it.
    if shared.0.queue.config().overflow != Overflow::ShedLowest {
        return once(shared, item, seat).await;
    }
    loop {
        match once(shared, item.clone(), seat).await {
            Err(OperationError::Shed { .. }) => drop(seat.rest().take()),
            result => return result,
        }
    }
}

async fn once<I, E, F, Fut, T>(
    shared: &Arc<(Terms<I, E>, F)>,
    item: I,
    seat: &Arc<Seat>,
) -> Result<T, OperationError<E>>
where
    I: Clone + Send + 'static,
    F: Fn(I, QueuedContext) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<T, E>> + Send + 'static,
    T: Send + 'static,
    E: Send + 'static,
{
    let terms = &shared.0;
    let (priority, key) = ((terms.priority)(&item), terms.key.as_ref());
    let (key, weight) = (key.map(|key| key(&item)), terms.weight.as_ref());
    let weight = weight.map(|weight| weight(&item));
    let (with, seat) = (Arc::clone(shared), Arc::clone(seat));
    let attempt = move |attempt: AttemptContext| {
        let turn = Turn::begin(&seat, attempt.attempt());
        let context = QueuedContext {
            item: seat.context.clone(),
            attempt,
        };
        let future = (with.1)(item.clone(), context);
        async move {
            let result = future.await;
            turn.end(result.is_ok());
            result
        }
    };
    let mut submission = terms
        .queue
        .operation(attempt)
        .priority(priority)
        // Nobody is left to have the result when the item is dropped.
        .on_drop(OnDrop::Cancel);
    if let Some(policy) = terms.retry {
        submission = submission.retry(policy);
    }
    if let Some(key) = key {
        submission = submission.key(key);
    }
    if let Some(weight) = weight {
        submission = submission.weight(weight);
    }
    if let Some(timeout) = terms.timeout {
        submission = submission.timeout(timeout);
    }
    if let Some(duration) = terms.deadline_in {
        submission = submission.deadline_in(duration);
    }
    if let Some(is_worth_it) = terms.retry_if.clone() {
        submission = submission.retry_if(move |error| is_worth_it(error));
    }
    if let Some(delay) = terms.retry_after.clone() {
        submission = submission.retry_after(move |error| delay(error));
    }
    match submission.submit().await {
        Ok(handle) => handle.await,
        Err(SubmitError::Closed(_)) => Err(OperationError::Cancelled {
            reason: CancelReason::Shutdown,
            attempts: 0,
        }),
        Err(error) => Err(OperationError::Refused {
            reason: error.to_string(),
        }),
    }
}

/// Stops the run if what happened to one item will happen to the next as well.
fn stop_if_shared<E>(error: &OperationError<E>, context: &ItemContext) {
    let OperationError::Cancelled { reason, .. } = error else {
        return;
    };
    match reason {
        CancelReason::Shutdown | CancelReason::Cleared | CancelReason::Threshold => {
            context.stop_run(reason.to_string());
        }
        // It concerned this one only, or is a reason that this version does not know.
        _ => {}
    }
}

/// The place of an item in its run, which rests between two attempts.
struct Seat {
    context: ItemContext,
    /// There while no attempt runs after the first.
    rest: Mutex<Option<Rest>>,
}

impl Seat {
    fn rest(&self) -> MutexGuard<'_, Option<Rest>> {
        // Nothing that can panic happens under it.
        self.rest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One attempt. When it ends without success, or is dropped, the item rests: what it waits for is its next attempt or, for
/// a moment, that somebody tells it of its end.
struct Turn {
    seat: Option<Arc<Seat>>,
}

impl Turn {
    fn begin(seat: &Arc<Seat>, attempt: u32) -> Self {
        drop(seat.rest().take());
        if attempt > 1 {
            seat.context.count_retry();
        }
        Self {
            seat: Some(Arc::clone(seat)),
        }
    }

    fn end(mut self, is_success: bool) {
        if is_success {
            self.seat = None;
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some(seat) = &self.seat {
            let rest = seat.context.rest();
            *seat.rest() = Some(rest);
        }
    }
}

/// What an attempt at an item learns about itself and about the run around it.
#[derive(Clone)]
pub struct QueuedContext {
    item: ItemContext,
    attempt: AttemptContext,
}

impl QueuedContext {
    /// The number of the attempt: 1 for the first.
    #[must_use]
    pub const fn attempt(&self) -> u32 {
        self.attempt.attempt()
    }

    /// The item in its run: its number, bytes for the progress, the end of the run. [`ItemContext::attempt`] counts what the
    /// run makes, which is 1 unless it retries by itself.
    #[must_use]
    pub const fn item(&self) -> &ItemContext {
        &self.item
    }

    /// The operation in its queue: its id, and the signal that it is to end.
    #[must_use]
    pub const fn operation(&self) -> &AttemptContext {
        &self.attempt
    }
}

impl fmt::Debug for QueuedContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QueuedContext")
            .field("item", &self.item)
            .field("attempt", &self.attempt)
            .finish()
    }
}
