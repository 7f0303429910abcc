//! What a program is doing, from start to end: a registry of metrics, a sample of the system every few seconds, and, with
//! the feature `monitor-history`, a file in which all of it is kept.
//!
//! One thread does it all, so that nothing that a program waits for waits for the system's files or for a disk. Nothing
//! that goes wrong here stops the program: it is counted, and told by [`Monitor::problems`].
//!
//! The parts of the engine keep exact counts for themselves. They are asked at each tick, which costs an operation
//! nothing; an observer would be called several times for each, to learn the same.
//!
//! | file | holds |
//! |---|---|
//! | `builder` | what is said before it starts |
//! | `shared` | what the thread and the handles share; the problems |
//! | `thread` | the loop: when a tick is due, and what belongs to one |
//! | `queue`, `batch`, `memory` | what a part of the engine says at a tick |
//! | `keep`, `runs` | the history, and the runs that are noted in it |

#[cfg(feature = "batch")]
mod batch;
mod builder;
#[cfg(feature = "monitor-history")]
mod keep;
#[cfg(feature = "memory")]
mod memory;
#[cfg(feature = "queue")]
mod queue;
#[cfg(feature = "monitor-history")]
mod runs;
mod shared;
mod thread;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aqe_monitor::registry::Registry;
use aqe_monitor::sampler::{Reading, SystemSample};

pub use self::builder::MonitorBuilder;
#[cfg(feature = "monitor-history")]
pub use self::runs::{MonitoredRun, RunBuilder};
pub use self::shared::MonitorProblem;
use self::shared::Shared;

/// A running monitor: a registry to count in, and a thread that looks at everything at an interval.
///
/// An [`Engine`](crate::Engine) has one, unless its configuration says `monitoring.enabled: false`; programs without an
/// engine start their own. When it is dropped it ends by itself, soon; [`stop`](Self::stop) waits for that.
///
/// ```
/// use aqe_core::Monitor;
/// use aqe_core::monitor::registry::{Metric, Unit};
///
/// let monitor = Monitor::builder()
///     .source("pool", |readings: &mut aqe_core::monitor::sampler::Readings| {
///         readings.push("pool_connections", Unit::None, 4.0);
///     })
///     .start();
/// let done = monitor.registry().counter(Metric::new("jobs_done_total"))?;
/// done.increment();
///
/// let tick = monitor.tick().ok_or("it has ended")?;
/// assert_eq!(tick.reading("pool_connections"), Some(4.0));
/// assert!(monitor.registry().to_openmetrics().contains("jobs_done_total 1\n"));
/// monitor.stop();
/// assert!(monitor.problems().is_empty());
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Monitor {
    shared: Arc<Shared>,
    interval: Duration,
}

impl Monitor {
    /// Sets up a monitor.
    pub fn builder() -> MonitorBuilder {
        MonitorBuilder::default()
    }

    /// The registry. What is counted in it is part of every tick, and of the history.
    #[must_use]
    pub fn registry(&self) -> &Registry {
        &self.shared.registry
    }

    /// Time between two ticks.
    #[must_use]
    pub fn interval(&self) -> Duration {
        self.interval
    }

    /// What the last tick saw of the system and of the sources; `None` before the first, which comes at once.
    #[must_use]
    pub fn latest(&self) -> Option<Arc<MonitorTick>> {
        self.shared.latest()
    }

    /// Looks at everything now, waits until that is done, and gives what was seen; `None` after the end. What the system
    /// tells as rates is over the time since the tick before.
    ///
    /// Blocks the thread for as long as the tick takes, usually below a millisecond, and as long as a disk may. Not for a
    /// source, whose tick would wait for itself.
    #[must_use = "to look at nothing, ask for nothing"]
    pub fn tick(&self) -> Option<Arc<MonitorTick>> {
        self.shared.tick_now().then(|| self.latest()).flatten()
    }

    /// Tells the monitor to end, and does not wait for that: for those who have something else to do meanwhile. What is said
    /// of runs after it may be lost. [`stop`](Self::stop) waits.
    pub fn close(&self) {
        self.shared.end();
    }

    /// Ends the monitor: takes a last tick, closes the history, and returns when that is done. Calling it again is
    /// harmless. The registry stays as it is.
    ///
    /// Blocks the thread for some milliseconds, or as long as a disk may; an asynchronous program calls it where it may
    /// block, as [`Engine::shutdown`](crate::Engine::shutdown) does.
    pub fn stop(&self) {
        self.close();
        self.shared.wait_for_end();
    }

    /// What went wrong, the latest last: at most 32 different things, each with how often it was so. All of them are
    /// counted in `aqe_monitor_problems_total` as well.
    #[must_use]
    pub fn problems(&self) -> Vec<MonitorProblem> {
        self.shared.problems()
    }

    /// How often anything went wrong.
    #[must_use]
    pub fn problem_count(&self) -> u64 {
        self.shared.problem_count()
    }

    /// Calls `look` at the beginning of each tick, until it gives `false`: for what counts by itself and is only passed on
    /// to the registry. The name is for messages. One that panics is not called again, which is a
    /// [problem](Self::problems), as is one beyond a thousand.
    ///
    /// It is called in the monitor's thread, which waits for it: it should not block.
    pub fn watch(&self, name: &str, look: impl FnMut() -> bool + Send + 'static) {
        self.shared.add_part(name, Box::new(look));
    }

    /// Looks at a queue too, until it is closed and empty, under the label `queue="name"`.
    ///
    /// The engine's own is looked at already, as `engine`. The monitor has a handle of the queue until then, so that
    /// dropping the others does not close it.
    #[cfg(feature = "queue")]
    pub fn watch_queue(&self, name: &str, queue: &aqe_queue::AsyncOperationQueue) {
        let queue = queue.clone();
        self.watch_queue_by(name, move || Some(queue.clone()));
    }

    /// Looks at a queue for as long as `find` finds it.
    #[cfg(feature = "queue")]
    pub(crate) fn watch_queue_by(
        &self,
        name: &str,
        find: impl FnMut() -> Option<aqe_queue::AsyncOperationQueue> + Send + 'static,
    ) {
        let runtime = tokio::runtime::Handle::try_current().ok();
        match queue::part(&self.shared.registry, name, find, runtime) {
            Ok(part) => self.watch(name, part),
            Err(error) => self.shared.problem(&error),
        }
    }

    /// Counts the runs of a batch processor too, under the label `processor="name"`. The engine's own is looked at
    /// already, as `engine`.
    #[cfg(feature = "batch")]
    pub fn watch_batches(&self, name: &str, processor: &aqe_batch::BatchProcessor) {
        match batch::part(&self.shared.registry, name, processor) {
            Ok(part) => self.watch(name, part),
            Err(error) => self.shared.problem(&error),
        }
    }

    /// A callback for [`Job::progress`](aqe_batch::Job::progress) that shows how far a run is, under the label
    /// `job="name"`.
    ///
    /// ```
    /// use aqe_core::{BatchConfig, BatchProcessor, Monitor};
    ///
    /// let monitor = Monitor::builder().start();
    /// let processor = BatchProcessor::new(BatchConfig::default())?;
    /// let job = processor.job("double").progress(monitor.batch_progress("double"));
    /// job.for_each(0..100_u32, |_| Ok::<_, std::convert::Infallible>(()))?;
    /// let text = monitor.registry().to_openmetrics();
    /// assert!(text.contains("aqe_batch_items_done{job=\"double\"} 100"));
    /// # monitor.stop();
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    #[cfg(feature = "batch")]
    pub fn batch_progress(
        &self,
        job: &str,
    ) -> impl FnMut(&aqe_batch::Progress) + Send + 'static + use<> {
        let gauges = batch::Gauges::new(&self.shared.registry, job);
        let gauges = gauges.map_err(|error| self.shared.problem(&error)).ok();
        move |progress| {
            if let Some(gauges) = &gauges {
                gauges.show(progress);
            }
        }
    }

    /// Looks at a memory store too, under the label `store="name"`. The monitor has a handle of the store until it ends,
    /// which keeps a store's folder open.
    #[cfg(feature = "memory")]
    pub fn watch_store(&self, name: &str, store: &aqe_memory::Store) {
        match memory::part(&self.shared.registry, name, store) {
            Ok(part) => self.watch(name, part),
            Err(error) => self.shared.problem(&error),
        }
    }

    /// Notes a run in the history: what is measured from when to when, in which version, and what it came to. Without a
    /// history, it is noted nowhere.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use aqe_core::Monitor;
    /// use aqe_core::monitor::history::HistoryReader;
    ///
    /// # let folder = tempfile::tempdir()?;
    /// let path = folder.path().join("monitor.db");
    /// let monitor = Monitor::builder().history(&path).start();
    /// let run = monitor.run("nightly").version("v1.2").label("branch", "main").begin();
    /// run.result("wall_seconds", 12.5);
    /// run.end();
    /// monitor.stop();
    ///
    /// let results = HistoryReader::open(&path)?.results("nightly", Some("v1.2"), "wall_seconds")?;
    /// assert_eq!(results[0].value, 12.5);
    /// # Ok(()) }
    /// ```
    #[cfg(feature = "monitor-history")]
    pub fn run(&self, name: impl Into<String>) -> RunBuilder {
        RunBuilder::new(Arc::clone(&self.shared), name.into())
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        // Nobody is kept waiting by a drop; whoever wants the last tick to be in the history calls `stop`.
        self.close();
    }
}

/// What one tick saw.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct MonitorTick {
    /// Counts the ticks, from 0.
    pub number: u64,
    /// When it was, on the clock on the wall.
    pub wall: SystemTime,
    /// The system.
    pub system: SystemSample,
    /// The system and all sources, as numbers with names. What is in the registry is not repeated here.
    pub readings: Vec<Reading>,
}

impl MonitorTick {
    /// The reading of this name; the first, if there are several.
    #[must_use]
    pub fn reading(&self, name: &str) -> Option<f64> {
        let found = self.readings.iter().find(|reading| reading.name == name);
        found.map(|reading| reading.value)
    }
}
