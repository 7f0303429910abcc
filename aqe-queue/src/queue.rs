//! The handle that users of a queue hold.

use std::borrow::Cow;
use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::{Handle, RuntimeFlavor};

use crate::body::{Body, Once, Repeat, Sure};
use crate::config::{ConfigError, QueueConfig};
use crate::context::AttemptContext;
use crate::dead_letters::DeadLetters;
use crate::error::{CancelReason, OperationError, SubmitError};
use crate::events::{Event, EventStream, QueueObserver};
use crate::handle::{OnDrop, OperationId};
use crate::named::{Erased, HandlerError, Named, Operation, Payload, Registry};
use crate::operation::Submission;
use crate::priority::Priority;
use crate::shared::{Link, MAX_WORKERS, Shared, clock};
use crate::stats::{Histograms, QueueStatus, StatusStream};
use crate::threads;
use crate::threshold::{Memory, MemoryThreshold};
use crate::worker::QueueWorker;

/// A queue of asynchronous operations.
///
/// Clones are handles of the same queue. When the last is dropped the queue closes: what waits is cancelled with
/// [`CancelReason::Shutdown`], what runs goes on to its end, and then its tasks end. To let
/// everything finish, [`drain`](Self::drain) it.
///
/// ```
/// use aqe_queue::{AsyncOperationQueue, QueueConfig};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let queue = AsyncOperationQueue::new(QueueConfig::default().max_concurrent(4))?;
/// let sum = queue.run(async { 1 + 1 }).await?;
/// assert_eq!(sum, 2);
/// # Ok(()) }
/// ```
pub struct AsyncOperationQueue {
    link: Arc<Link>,
    owner: Arc<Owner>,
}

/// Dropped with the last handle of the queue. Operations keep the shared part alive but not this.
struct Owner {
    shared: Arc<Shared>,
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.shared.disown();
    }
}

/// Sets up a queue with more than its plain settings.
#[derive(Default)]
#[must_use = "a builder does nothing until `build` or `pair`"]
pub struct QueueBuilder {
    config: QueueConfig,
    observers: Vec<Arc<dyn QueueObserver>>,
    registry: Registry,
    dead_letters: Option<Arc<dyn DeadLetters>>,
    memory: Option<Memory>,
    workers: Option<usize>,
    threads: Option<usize>,
    cpus: Vec<usize>,
}

impl QueueBuilder {
    /// Adds an observer; see [`QueueObserver`].
    pub fn observer(mut self, observer: Arc<dyn QueueObserver>) -> Self {
        self.observers.push(observer);
        self
    }

    /// Sets the handlers of named operations.
    pub fn registry(mut self, registry: Registry) -> Self {
        self.registry = registry;
        self
    }

    /// Sets who is told of operations that failed for good; see [`dead_letters`](crate::dead_letters).
    pub fn dead_letters(mut self, sink: Arc<dyn DeadLetters>) -> Self {
        self.dead_letters = Some(sink);
        self
    }

    /// Sets how much memory may be used. `probe` returns how many bytes are, or `None` if it does not know; it is called by
    /// the task that keeps the time, so it must be quick. A panic in it counts as not knowing.
    pub fn memory_threshold(
        mut self,
        threshold: MemoryThreshold,
        probe: impl Fn() -> Option<u64> + Send + Sync + 'static,
    ) -> Self {
        self.memory = Some(Memory::new(threshold, probe));
        self
    }

    /// Sets how many tasks poll operations, 1–64; otherwise one for each worker thread of the runtime. With one,
    /// an operation that blocks its thread holds up all others.
    pub const fn workers(mut self, workers: usize) -> Self {
        self.workers = Some(workers);
        self
    }

    /// Gives the queue so many threads of its own, 1–64, which poll its operations and nothing else, in place of tasks
    /// on the runtime's threads. Operations still use the runtime, which must go on running; a current-thread runtime
    /// must be busy in `block_on` for their timers to work. The threads end with the queue.
    ///
    /// Only [`build`](Self::build) starts threads; for [`pair`](Self::pair) this is the number of workers.
    pub const fn threads(mut self, threads: usize) -> Self {
        self.threads = Some(threads);
        self
    }

    /// Binds the [`threads`](Self::threads) to these CPUs, numbered as the system does, one CPU for each thread and in
    /// turn if there are more threads. Without `threads` there will be one for each CPU.
    ///
    /// A thread that cannot be bound runs unbound, and says so: [`Event::NotPinned`], and
    /// [`QueueStatus::not_pinned`]. Only Linux can do it.
    pub fn pin(mut self, cpus: impl IntoIterator<Item = usize>) -> Self {
        self.cpus = cpus.into_iter().collect();
        if !self.cpus.is_empty() && self.threads.is_none() {
            self.threads = Some(self.cpus.len());
        }
        self
    }

    /// [Binds](Self::pin) the threads to the CPUs on which this process may run, as its affinity mask says. Without
    /// [`threads`](Self::threads) there will be one for each of them, but not more than 64.
    pub fn pin_available(self) -> Self {
        let mut cpus = threads::available();
        if self.threads.is_none() {
            cpus.truncate(MAX_WORKERS);
        }
        self.pin(cpus)
    }

    /// Builds the queue and spawns its tasks on the current tokio runtime, which must have its time enabled.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] if a setting cannot work, there is no runtime, or the system starts no thread.
    pub fn build(mut self) -> Result<AsyncOperationQueue, ConfigError> {
        let Ok(runtime) = Handle::try_current() else {
            return Err(ConfigError::NoRuntime);
        };
        if self.workers.is_none() {
            self.workers = Some(match runtime.runtime_flavor() {
                RuntimeFlavor::CurrentThread => 1,
                _ => runtime.metrics().num_workers().clamp(1, MAX_WORKERS),
            });
        }
        let (has_threads, cpus) = (self.threads.is_some(), std::mem::take(&mut self.cpus));
        let (queue, workers) = self.pair()?;
        let (dedicated, tasks): (Vec<_>, _) = workers
            .into_iter()
            .partition(|worker| has_threads && worker.is_worker());
        for task in tasks {
            runtime.spawn(task);
        }
        if has_threads {
            queue.link.shared.keep_apart();
            threads::start(&queue.link.shared, &runtime, dedicated, &cpus)?;
        }
        Ok(queue)
    }

    /// Builds the queue and hands its tasks back, for the caller to spawn; all of them are needed. One worker
    /// and the keeper of the time, unless [`workers`](Self::workers) says otherwise.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] if a setting cannot work.
    pub fn pair(self) -> Result<(AsyncOperationQueue, Vec<QueueWorker>), ConfigError> {
        self.config.validate()?;
        let workers = self.threads.or(self.workers).unwrap_or(1);
        if !(1..=MAX_WORKERS).contains(&workers) {
            return Err(ConfigError::OutOfRange {
                field: if self.threads.is_some() {
                    "threads"
                } else {
                    "workers"
                },
                value: workers,
                from: 1,
                to: MAX_WORKERS,
            });
        }
        let shared = Arc::new(Shared::new(
            self.config,
            workers,
            self.observers,
            self.registry,
            self.dead_letters,
            self.memory,
        ));
        let tasks = QueueWorker::all(&shared);
        let link = Arc::new(Link::new(Arc::clone(&shared)));
        Ok((
            AsyncOperationQueue {
                link,
                owner: Arc::new(Owner { shared }),
            },
            tasks,
        ))
    }
}

impl fmt::Debug for QueueBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QueueBuilder")
            .field("config", &self.config)
            .field("observers", &self.observers.len())
            .field("registry", &self.registry)
            .field("memory", &self.memory)
            .field("has_dead_letters", &self.dead_letters.is_some())
            .field("workers", &self.workers)
            .field("threads", &self.threads)
            .field("cpus", &self.cpus)
            .finish()
    }
}

/// What came of [`drain`](AsyncOperationQueue::drain) or [`shutdown`](AsyncOperationQueue::shutdown).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct DrainReport {
    /// Operations that ended of themselves during the call.
    pub finished: u64,
    /// Operations that were cancelled, waiting or running, in the order in which that happened.
    pub cut: Vec<OperationId>,
    /// How long it took.
    pub elapsed: Duration,
}

impl AsyncOperationQueue {
    /// Builds a queue and spawns its tasks on the current tokio runtime.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] if a setting cannot work or there is no runtime.
    pub fn new(config: QueueConfig) -> Result<Self, ConfigError> {
        Self::builder(config).build()
    }

    /// Sets up a queue with handlers, observers or tasks of the caller's own.
    pub fn builder(config: QueueConfig) -> QueueBuilder {
        QueueBuilder {
            config,
            ..QueueBuilder::default()
        }
    }

    /// Prepares an operation that can be repeated: `factory` is called once for each attempt.
    ///
    /// ```
    /// use aqe_queue::{AsyncOperationQueue, Priority, QueueConfig, RetryPolicy};
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let queue = AsyncOperationQueue::new(QueueConfig::default())?;
    /// let handle = queue
    ///     .operation(|cx| async move { if cx.attempt() < 3 { Err("not yet") } else { Ok(cx.attempt()) } })
    ///     .priority(Priority::High)
    ///     .retry(RetryPolicy::fixed(5, std::time::Duration::ZERO))
    ///     .submit()
    ///     .await?;
    /// assert_eq!(handle.await, Ok(3));
    /// # Ok(()) }
    /// ```
    pub fn operation<F, Fut, T, E>(&self, factory: F) -> Submission<Repeat<F, Fut>>
    where
        F: FnMut(AttemptContext) -> Fut + Send + 'static,
        Fut: Future<Output = Result<T, E>> + Send + 'static,
        T: Send + 'static,
        E: Send + 'static,
    {
        Submission::new(Arc::clone(&self.link), Repeat::new(factory))
    }

    /// Prepares an operation that runs once: a future cannot be repeated, whatever the retry policy says.
    pub fn future<Fut, T, E>(&self, future: Fut) -> Submission<Once<Fut>>
    where
        Fut: Future<Output = Result<T, E>> + Send + 'static,
        T: Send + 'static,
        E: Send + 'static,
    {
        Submission::new(Arc::clone(&self.link), Once::new(future))
    }

    /// Prepares an operation that runs once and has no error of its own: whatever the future returns is its value.
    pub fn infallible<Fut>(&self, future: Fut) -> Submission<Sure<Fut>>
    where
        Fut: Future<Output: Send> + Send + 'static,
    {
        Submission::new(Arc::clone(&self.link), Sure::new(future))
    }

    /// Prepares a named operation, which runs here through the handler in the queue's [`Registry`]. It is handed over
    /// as it is: nothing is serialized.
    ///
    /// A name without a handler is refused when the operation is submitted
    /// ([`SubmitError::Unknown`](crate::SubmitError::Unknown)). Errors that are
    /// [permanent](crate::HandlerError::permanent) are not retried.
    pub fn submit<O: Operation>(&self, operation: O) -> Submission<Named<O>> {
        self.submit_shared(Arc::new(operation))
    }

    /// Prepares a named operation that is shared already, such as one that was handed back.
    pub fn submit_shared<O: Operation>(&self, operation: Arc<O>) -> Submission<Named<O>> {
        let handler = self.registry().typed::<O>();
        let unknown = handler.is_none().then_some(O::NAME);
        let body = Named::new(operation, handler);
        let kind = self.registry().kind(O::NAME);
        self.named(body, kind, unknown.map(Cow::Borrowed))
    }

    /// Prepares a named operation whose type is not known here, such as one that has come from elsewhere. As a value
    /// it is handed over as it is; as bytes it is decoded for its handler.
    pub fn submit_payload(&self, payload: Payload) -> Submission<Erased> {
        let handler = self.registry().erased(payload.name());
        let kind = self.registry().kind(payload.name());
        let unknown = handler.is_none().then(|| payload.name().to_owned());
        let body = Erased::new(payload, handler);
        self.named(body, kind, unknown.map(Cow::Owned))
    }

    fn named<B: Body<Error = HandlerError>>(
        &self,
        body: B,
        kind: Option<u32>,
        unknown: Option<Cow<'static, str>>,
    ) -> Submission<B> {
        let submission = Submission::new(Arc::clone(&self.link), body).kind(kind);
        match unknown {
            None => submission,
            Some(name) => submission.unknown(name, self.registry().names().collect()),
        }
    }

    /// Runs a future in the queue and returns its value: waits for room, for a slot and for the end.
    ///
    /// # Errors
    ///
    /// [`OperationError`], but never `Failed`. If the queue is closed that is `Cancelled` by `Shutdown`; if it is full
    /// and its policy is to reject, `Refused`.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future cancels the operation, queued or running.
    pub async fn run<T: Send + 'static>(
        &self,
        future: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, OperationError<Infallible>> {
        let submission = self.infallible(future).on_drop(OnDrop::Cancel);
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

    /// Cancels an operation by its id, which is a search through all that wait and run. Returns `false` if it is not
    /// found, has ended, or is in its very first poll.
    /// [`OperationHandle::cancel`](crate::OperationHandle::cancel) and [`Canceller`](crate::Canceller) need no search.
    pub fn cancel(&self, id: OperationId) -> bool {
        self.link.shared.cancel(id)
    }

    /// Changes the urgency of a waiting operation by its id, which is a search through all that wait.
    /// [`OperationHandle::set_priority`](crate::OperationHandle::set_priority), which says what happens, needs none.
    ///
    /// # Errors
    ///
    /// [`SubmitError::NoSuchLevel`] if the queue has fewer levels than the number asked for.
    pub fn set_priority(
        &self,
        id: OperationId,
        priority: Priority,
    ) -> Result<bool, SubmitError<()>> {
        let level = priority.level_in(self.config().priority_levels)?;
        Ok(self.link.shared.set_level(id, level))
    }

    /// Starts nothing more until [`resume`](Self::resume). What runs goes on, and so does what a worker has taken
    /// already, which counts as running. Operations are still accepted.
    pub fn pause(&self) {
        let shared = &self.link.shared;
        if shared.with_core(|core| core.state.pause()) {
            shared.emit(Event::Paused);
        }
    }

    /// Starts operations again.
    pub fn resume(&self) {
        let shared = &self.link.shared;
        if shared.with_core(|core| core.state.resume()) {
            shared.emit(Event::Resumed);
        }
    }

    /// Accepts nothing more until [`resume_admission`](Self::resume_admission): `submit` waits and `try_submit` hands
    /// the operation back with [`SubmitError::Paused`](crate::SubmitError::Paused). What has been accepted goes on,
    /// retries included. A submitter whose turn had come already still gets in.
    ///
    /// This is independent of [`pause`](Self::pause), which accepts and does not start.
    pub fn pause_admission(&self) {
        let shared = &self.link.shared;
        if shared.admit_newcomers(false) {
            shared.emit(Event::AdmissionPaused);
        }
    }

    /// Accepts operations again. Those who wait to submit come first, in the order in which they came.
    pub fn resume_admission(&self) {
        let shared = &self.link.shared;
        if shared.admit_newcomers(true) {
            shared.emit(Event::AdmissionResumed);
        }
    }

    /// Cancels everything that waits for a slot or for another attempt, in one step. Their handles say
    /// [`CancelReason::Cleared`]. Returns how many operations that were.
    pub fn clear(&self) -> usize {
        let shared = &self.link.shared;
        let operations = shared.clear(CancelReason::Cleared);
        shared.emit(Event::Cleared { operations });
        operations
    }

    /// Changes how many operations may run at once. With a lower limit nothing is interrupted: what is over the limit
    /// runs to its end and nothing starts before.
    ///
    /// # Errors
    ///
    /// [`ConfigError::OutOfRange`] if the limit is 0 or absurd.
    pub fn resize(&self, max_concurrent: usize) -> Result<(), ConfigError> {
        let shared = &self.link.shared;
        shared
            .config
            .clone()
            .max_concurrent(max_concurrent)
            .validate()?;
        shared.with_core(|core| core.state.resize(max_concurrent));
        shared.emit(Event::Resized { max_concurrent });
        Ok(())
    }

    /// Waits until nothing is queued, running or waiting for a retry. Submissions are still accepted, so by the time
    /// the caller goes on there may be something again.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost if this future is dropped.
    pub async fn idle(&self) {
        self.link.shared.quiet(false).await;
    }

    /// Accepts nothing more, resumes if paused, and waits until everything accepted has ended, retries included.
    ///
    /// # Cancel safety
    ///
    /// If this future is dropped the queue stays closed and goes on with what it has.
    pub async fn drain(&self) -> DrainReport {
        let watch = Stopwatch::start(self);
        self.link.shared.close(false);
        self.resume();
        self.link.shared.quiet(true).await;
        watch.report()
    }

    /// As [`drain`](Self::drain), but no longer than `grace`: then what is left is cancelled, and the report names it.
    /// Returns within `grace` and one poll of the operations that were running.
    ///
    /// # Cancel safety
    ///
    /// If this future is dropped the queue stays closed and goes on with what it has; nothing is cut.
    pub async fn drain_within(&self, grace: Duration) -> DrainReport {
        let watch = Stopwatch::start(self);
        self.link.shared.close(false);
        self.resume();
        self.finish_within(grace).await;
        watch.report()
    }

    /// Accepts nothing more, cancels what waits, tells what runs to stop
    /// ([`AttemptContext::cancelled`]) and gives it `grace` to end in good order. What is
    /// left then is dropped. The report names everything that was cancelled.
    ///
    /// # Cancel safety
    ///
    /// If this future is dropped the queue stays closed, but running operations are no longer dropped after `grace`.
    pub async fn shutdown(&self, grace: Duration) -> DrainReport {
        let watch = Stopwatch::start(self);
        let shared = &self.link.shared;
        shared.close(true);
        shared.clear(CancelReason::Shutdown);
        shared.ask_to_stop();
        self.finish_within(grace).await;
        watch.report()
    }

    async fn finish_within(&self, grace: Duration) {
        let shared = &self.link.shared;
        let is_over = !grace.is_zero()
            && tokio::time::timeout(grace, shared.quiet(true))
                .await
                .is_ok();
        if !is_over {
            shared.close(true);
            shared.clear(CancelReason::Shutdown);
            shared.ask_to_stop();
            shared.abort();
            shared.quiet(true).await;
        }
    }

    /// Returns whether the queue accepts nothing more.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.link.shared.with_core(|core| core.state.is_closed())
    }

    /// Returns a snapshot of what the queue is doing and has done.
    #[must_use]
    pub fn status(&self) -> QueueStatus {
        self.link.shared.status()
    }

    /// Returns how long attempts have waited and run so far, as histograms that can be merged with those of other queues.
    /// They are copied under the queue's lock: 16 KB.
    #[must_use]
    pub fn histograms(&self) -> Histograms {
        self.link.shared.with_core(|core| core.state.histograms())
    }

    /// Returns a stream of snapshots, one now and one per interval, at most one per millisecond. Nothing is
    /// computed between them.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime with its time enabled.
    #[must_use]
    pub fn watch(&self, every: Duration) -> StatusStream {
        StatusStream::new(Arc::clone(&self.link.shared), every)
    }

    /// Returns a stream of what happens from now on. It never slows the queue: see [`events`](crate::events).
    #[must_use]
    pub fn subscribe(&self) -> EventStream {
        self.link.shared.hooks.subscribe()
    }

    /// Returns the settings with which the queue was built. The limit may have been
    /// [changed](Self::resize) since; [`status`](Self::status) has the present one.
    #[must_use]
    pub fn config(&self) -> &QueueConfig {
        &self.link.shared.config
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.link.shared
    }

    /// Returns the handlers of named operations.
    #[must_use]
    pub fn registry(&self) -> &Registry {
        &self.link.shared.registry
    }
}

impl Clone for AsyncOperationQueue {
    fn clone(&self) -> Self {
        let link = Arc::new(Link::new(Arc::clone(&self.link.shared)));
        Self {
            link,
            owner: Arc::clone(&self.owner),
        }
    }
}

impl fmt::Debug for AsyncOperationQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsyncOperationQueue")
            .field("config", &self.link.shared.config)
            .field("handles", &Arc::strong_count(&self.owner))
            .finish()
    }
}

/// Measures what happens during a drain.
struct Stopwatch<'q> {
    shared: &'q Shared,
    started: std::time::Instant,
    ended: u64,
}

impl<'q> Stopwatch<'q> {
    fn start(queue: &'q AsyncOperationQueue) -> Self {
        let shared = &*queue.link.shared;
        let ended = shared.with_core(|core| core.state.ended());
        Self {
            shared,
            started: clock(),
            ended,
        }
    }

    fn report(self) -> DrainReport {
        let (ended, cut) = (
            self.shared.with_core(|core| core.state.ended()),
            self.shared.take_cut(),
        );
        DrainReport {
            finished: (ended - self.ended).saturating_sub(cut.len() as u64),
            cut,
            elapsed: clock().saturating_duration_since(self.started),
        }
    }
}
