//! The engine: a configuration, and the components that work as it says.
//!
//! A program that has read its configuration wants one thing to hold and to shut down, not one per component. An
//! [`Engine`] is that thing. It has no state of its own and no global one: two engines in one process do not know of
//! each other.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

#[cfg(feature = "batch")]
use aqe_batch::{BatchConfig, BatchProcessor};
use aqe_queue::{
    AsyncOperationQueue, DrainReport, Lanes, Placement, QueueConfig, QueueObserver, Registry,
};

#[cfg(feature = "batch")]
use crate::ThroughQueue;
use crate::{Config, Error};
#[cfg(feature = "monitor")]
use crate::{Monitor, MonitorBuilder};

/// The components of aqe, set up by one [`Config`] and shut down together.
///
/// Clones are handles of the same engine and cost one reference count. When the last handle is dropped, so is the
/// engine's hold on its queue. If nobody else [holds it](Self::queue), the queue closes: what waits is cancelled, what runs goes
/// on to its end for as long as the runtime lives. To let everything finish, call [`shutdown`](Self::shutdown).
///
/// ```
/// use std::time::Duration;
/// use aqe_core::{Config, Engine};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let engine = Engine::new(Config::default())?;
/// assert_eq!(engine.queue().run(async { 6 * 7 }).await?, 42);
/// engine.shutdown(Duration::from_secs(10)).await;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Engine {
    inner: Arc<Inner>,
}

struct Inner {
    config: Config,
    /// Before the queue, so that it is told to end first.
    #[cfg(feature = "monitor")]
    monitor: Option<Monitor>,
    queue: AsyncOperationQueue,
    #[cfg(feature = "batch")]
    batch: BatchProcessor,
}

impl Engine {
    /// Builds an engine that works as `config` says, on the current tokio runtime, which must have its time enabled.
    ///
    /// # Errors
    ///
    /// As [`EngineBuilder::build`].
    pub fn new(config: Config) -> Result<Self, Error> {
        Self::builder().config(config).build()
    }

    /// Sets up an engine with handlers, observers or settings that a file cannot express.
    pub fn builder() -> EngineBuilder {
        EngineBuilder::default()
    }

    /// The configuration with which the engine was built. What [`EngineBuilder::queue`] changed is not in it: see
    /// [`AsyncOperationQueue::config`].
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.inner.config
    }

    /// The queue. A clone of it keeps the queue open even when every handle of the engine is gone.
    #[must_use]
    pub fn queue(&self) -> &AsyncOperationQueue {
        &self.inner.queue
    }

    /// The batch processor, which works as section `batch` of the configuration says.
    ///
    /// Its runs on the runtime may [go through the queue](Self::through_queue). [`shutdown`](Self::shutdown) ends them; to
    /// drop the engine does nothing to them.
    ///
    /// ```
    /// use aqe_core::{Config, Engine};
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let engine = Engine::new(Config::parse("batch:\n  chunkSize: 50\n", "qe.config.yaml")?)?;
    /// let double = |item: u64, _| async move { Ok::<_, std::convert::Infallible>(item * 2) };
    /// let report = engine.batch().job("double").run(0..1_000, double).await?;
    /// assert_eq!(report.results.get(21), Some(&42));
    /// # Ok(()) }
    /// ```
    #[cfg(feature = "batch")]
    #[must_use]
    pub fn batch(&self) -> &BatchProcessor {
        &self.inner.batch
    }

    /// The monitor, unless the configuration says `monitoring.enabled: false` or the builder
    /// [`without_monitor`](EngineBuilder::without_monitor).
    ///
    /// It looks at the queue and at the batch processor every `monitoring.interval`, and ends with the engine. A program
    /// counts what it does itself in the monitor's registry.
    ///
    /// ```
    /// use std::time::Duration;
    /// use aqe_core::Engine;
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let engine = Engine::builder().build()?;
    /// engine.queue().run(async { 6 * 7 }).await?;
    /// engine.shutdown(Duration::from_secs(10)).await;
    ///
    /// let monitor = engine.monitor().ok_or("switched off")?;
    /// let text = monitor.registry().to_openmetrics();
    /// assert!(text.contains("aqe_queue_operations_total{outcome=\"completed\",queue=\"engine\"} 1\n"));
    /// # Ok(()) }
    /// ```
    #[cfg(feature = "monitor")]
    #[must_use]
    pub fn monitor(&self) -> Option<&Monitor> {
        self.inner.monitor.as_ref()
    }

    /// Prepares an operation for the items of a run, each of which becomes an operation of the engine's queue; see
    /// [`ThroughQueue`].
    #[cfg(feature = "batch")]
    pub fn through_queue<I, E>(&self) -> ThroughQueue<I, E> {
        ThroughQueue::new(&self.inner.queue)
    }

    /// Makes lanes, without any yet, that place operations as `execution.loadBalancing` says. Each lane that is added is a
    /// queue of the program's own making: one for each device, say.
    ///
    /// They belong to the program, which [drains](Lanes::drain_within) them: [`shutdown`](Self::shutdown) does not know of
    /// them.
    ///
    /// ```
    /// use aqe_core::queue::{AsyncOperationQueue, QueueConfig};
    /// use aqe_core::{Config, Engine};
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let config = Config::parse("execution:\n  loadBalancing: least-loaded\n", "qe.config.yaml")?;
    /// let engine = Engine::new(config)?;
    /// let lanes = engine.lanes();
    /// for device in ["phone", "tablet"] {
    ///     let settings = QueueConfig::from(engine.config()).max_concurrent(1);
    ///     lanes.add(device, AsyncOperationQueue::new(settings)?)?;
    /// }
    /// let test = lanes.submit(|lane| {
    ///     let device = lane.name().to_owned();
    ///     lane.queue().future(async move { Ok::<_, ()>(format!("passed on the {device}")) })
    /// })?;
    /// assert!(test.await?.await.is_ok_and(|verdict| verdict.starts_with("passed on the ")));
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn lanes(&self) -> Lanes {
        Lanes::new(Placement::from(self.inner.config.execution.load_balancing))
    }

    /// Ends in good order: accepts nothing more, lets everything that was accepted run to its end, retries included,
    /// and cancels what is left after `grace`. The report names what was cut.
    ///
    /// Runs of the [batch processor](Self::batch) come first, because they may go through the queue: as long as there are
    /// any, no other begins and the queue stays open. Those that are not over after `grace` are ended as a cancellation
    /// ends them, and say [`Stopped::ShutDown`](crate::batch::Stopped::ShutDown). Nothing that they have recorded is lost:
    /// started again, a run with a checkpoint repeats nothing that had ended. Items on threads cannot be interrupted, and
    /// are waited for. The operations of the queue run meanwhile, and have what is left of `grace` when it closes; the
    /// report counts what has finished from then on.
    ///
    /// A paused queue is resumed for this. To cancel at once what has not begun, call
    /// [`AsyncOperationQueue::shutdown`] on the [`queue`](Self::queue). The monitor ends last, so that its last tick has all of
    /// this; it is waited for, beyond `grace` if its disk takes long. Calling it again, or from several places, is harmless: each call
    /// waits until nothing is left, no longer than its own `grace`.
    ///
    /// # Cancel safety
    ///
    /// If this future is dropped the engine goes on with what it has; nothing is cut. It begins no run any more, and the
    /// queue accepts nothing unless there are runs.
    pub async fn shutdown(&self, grace: Duration) -> DrainReport {
        let Inner { queue, .. } = &*self.inner;
        #[cfg(feature = "batch")]
        let waited = {
            // A run that goes through a paused queue would never end.
            queue.resume();
            self.inner.batch.shutdown(grace).await.elapsed
        };
        #[cfg(not(feature = "batch"))]
        let waited = Duration::ZERO;
        let mut report = queue.drain_within(grace.saturating_sub(waited)).await;
        report.elapsed += waited;
        #[cfg(feature = "monitor")]
        self.stop_monitor().await;
        report
    }

    /// Waits for the monitor's end where waiting holds up nobody.
    #[cfg(feature = "monitor")]
    async fn stop_monitor(&self) {
        if self.inner.monitor.is_none() {
            return;
        }
        let inner = Arc::clone(&self.inner);
        let stop = move || inner.monitor.as_ref().map(Monitor::stop);
        // An error says that the runtime ends, and then nobody waits for anything.
        let _ = tokio::task::spawn_blocking(stop).await;
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine")
            .field("queue", &self.inner.queue)
            .finish_non_exhaustive()
    }
}

/// Sets up an [`Engine`]; [`Engine::builder`] starts with the default [`Config`] and nothing else.
///
/// ```
/// use aqe_core::{Engine, HandlerError, Loader, Operation, Registry};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize)]
/// struct Square(u32);
///
/// impl Operation for Square {
///     const NAME: &'static str = "square/1";
///     type Output = u32;
/// }
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mut registry = Registry::new();
/// registry.register(|square: std::sync::Arc<Square>, _| async move {
///     square.0.checked_mul(square.0).ok_or_else(|| HandlerError::permanent("too large"))
/// })?;
/// let loaded = Loader::new().text("qe.config.yaml", "queue:\n  maxConcurrent: 4\n").load()?;
/// let engine = Engine::builder()
///     .config(loaded.into_config())
///     .registry(registry)
///     .queue(|queue| queue.capacity(1_000))
///     .build()?;
/// assert_eq!(engine.queue().submit(Square(12)).await?.await?, 144);
/// # Ok(()) }
/// ```
#[derive(Default)]
#[must_use = "a builder does nothing until `build`"]
pub struct EngineBuilder {
    config: Config,
    observers: Vec<Arc<dyn QueueObserver>>,
    registry: Registry,
    /// Applied in order to what the configuration says.
    adjustments: Vec<Adjustment<QueueConfig>>,
    #[cfg(feature = "batch")]
    batch_adjustments: Vec<Adjustment<BatchConfig>>,
    workers: Option<usize>,
    threads: Option<usize>,
    #[cfg(feature = "monitor")]
    without_monitor: bool,
    #[cfg(feature = "monitor")]
    monitor_adjustments: Vec<Adjustment<MonitorBuilder>>,
}

type Adjustment<C> = Box<dyn FnOnce(C) -> C + Send>;

impl EngineBuilder {
    /// Sets the configuration, from [`Loaded::into_config`](crate::config::Loaded::into_config) or made by hand.
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// Changes the queue's settings after the configuration has had its say, such as its capacity or the jitter of its
    /// retries, which no file sets. Several changes are applied in the order of the calls.
    pub fn queue(
        mut self,
        change: impl FnOnce(QueueConfig) -> QueueConfig + Send + 'static,
    ) -> Self {
        self.adjustments.push(Box::new(change));
        self
    }

    /// Changes the batch processor's settings after the configuration has had its say, such as its retries or the bounds
    /// of its chunks, which no file sets. Several changes are applied in the order of the calls.
    ///
    /// ```
    /// use aqe_core::{Config, Engine};
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let config = Config::parse("batch:\n  concurrency: 2\n", "qe.config.yaml")?;
    /// let engine = Engine::builder().config(config).batch(|batch| batch.adaptive(1, 500)).build()?;
    /// assert_eq!(engine.batch().config().concurrency, 2);
    /// # Ok(()) }
    /// ```
    #[cfg(feature = "batch")]
    pub fn batch(
        mut self,
        change: impl FnOnce(BatchConfig) -> BatchConfig + Send + 'static,
    ) -> Self {
        self.batch_adjustments.push(Box::new(change));
        self
    }

    /// Sets the handlers of named operations.
    pub fn registry(mut self, registry: Registry) -> Self {
        self.registry = registry;
        self
    }

    /// Adds an observer of the queue; see [`QueueObserver`].
    pub fn observer(mut self, observer: Arc<dyn QueueObserver>) -> Self {
        self.observers.push(observer);
        self
    }

    /// Sets how many tasks poll operations, 1–64; otherwise one for each worker thread of the runtime.
    pub const fn workers(mut self, workers: usize) -> Self {
        self.workers = Some(workers);
        self
    }

    /// Gives the queue so many threads of its own, 1–64, as [`QueueBuilder::threads`](aqe_queue::QueueBuilder::threads)
    /// does. Unless the configuration says `execution.affinity: false` each is bound to one of the CPUs on which this
    /// process may run. One that the system does not let be bound runs all the same, and says so:
    /// [`QueueStatus::not_pinned`](aqe_queue::QueueStatus::not_pinned), and an event.
    pub const fn threads(mut self, threads: usize) -> Self {
        self.threads = Some(threads);
        self
    }

    /// Starts no monitor, whatever the configuration says.
    #[cfg(feature = "monitor")]
    pub const fn without_monitor(mut self) -> Self {
        self.without_monitor = true;
        self
    }

    /// Changes the monitor's settings after the configuration has had its say, such as its registry or its sources, which
    /// no file sets. Several changes are applied in the order of the calls, and none if there is to be no monitor.
    ///
    /// ```
    /// use aqe_core::monitor::registry::Registry;
    /// use aqe_core::Engine;
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let registry = Registry::new();
    /// let shared = registry.clone();
    /// let engine = Engine::builder().monitor(|monitor| monitor.registry(shared)).build()?;
    /// registry.counter("logins_total")?.increment();
    /// # let _ = engine;
    /// # Ok(()) }
    /// ```
    #[cfg(feature = "monitor")]
    pub fn monitor(
        mut self,
        change: impl FnOnce(MonitorBuilder) -> MonitorBuilder + Send + 'static,
    ) -> Self {
        self.monitor_adjustments.push(Box::new(change));
        self
    }

    /// Has the monitor keep every tick in this file, for `monitoring.retention`; see [`MonitorBuilder::history`].
    #[cfg(feature = "monitor-history")]
    pub fn monitor_history(self, path: impl Into<std::path::PathBuf>) -> Self {
        let path = path.into();
        self.monitor(|monitor| monitor.history(path))
    }

    /// Builds the engine and spawns the tasks of its components on the current tokio runtime, which must have its time
    /// enabled. Everything is checked here, once.
    ///
    /// # Errors
    ///
    /// [`Error::Queue`] if a setting of the queue cannot work, there is no runtime, or the system starts no thread, and
    /// [`Error::Batch`](crate::Error) if a setting of the batch processor cannot work. Nothing has been spawned then.
    pub fn build(self) -> Result<Engine, Error> {
        // First, as it spawns nothing.
        #[cfg(feature = "batch")]
        let batch = BatchProcessor::new(adjusted(
            BatchConfig::from(&self.config.batch),
            self.batch_adjustments,
        ))?;
        let settings = adjusted(QueueConfig::from(&self.config), self.adjustments);
        let mut queue = AsyncOperationQueue::builder(settings).registry(self.registry);
        for observer in self.observers {
            queue = queue.observer(observer);
        }
        if let Some(workers) = self.workers {
            queue = queue.workers(workers);
        }
        if let Some(threads) = self.threads {
            queue = queue.threads(threads);
            if self.config.execution.affinity {
                queue = queue.pin_available();
            }
        }
        let queue = queue.build()?;
        #[cfg(feature = "monitor")]
        let monitor = (self.config.monitoring.enabled && !self.without_monitor).then(|| {
            let settings = Monitor::builder().config(&self.config);
            adjusted(settings, self.monitor_adjustments).start()
        });
        let inner = Arc::new(Inner {
            config: self.config,
            #[cfg(feature = "monitor")]
            monitor,
            queue,
            #[cfg(feature = "batch")]
            batch,
        });
        #[cfg(feature = "monitor")]
        inner.let_monitor_look();
        Ok(Engine { inner })
    }
}

#[cfg(feature = "monitor")]
impl Inner {
    /// Shows the monitor the engine's parts. It holds none of them, so that the queue closes with the engine's last handle.
    fn let_monitor_look(self: &Arc<Self>) {
        let Some(monitor) = &self.monitor else { return };
        let engine = Arc::downgrade(self);
        monitor.watch_queue_by("engine", move || {
            engine.upgrade().map(|inner| inner.queue.clone())
        });
        #[cfg(feature = "batch")]
        monitor.watch_batches("engine", &self.batch);
    }
}

fn adjusted<C>(settings: C, changes: Vec<Adjustment<C>>) -> C {
    changes
        .into_iter()
        .fold(settings, |settings, change| change(settings))
}

impl fmt::Debug for EngineBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EngineBuilder")
            .field("config", &self.config)
            .field("observers", &self.observers.len())
            .field("registry", &self.registry)
            .field("adjustments", &self.adjustments.len())
            .field("workers", &self.workers)
            .field("threads", &self.threads)
            .finish()
    }
}

/// A program keeps its engine in state that threads share.
const _: fn() = || {
    fn is_send_and_sync<X: Send + Sync + 'static>() {}
    is_send_and_sync::<Engine>();
};
