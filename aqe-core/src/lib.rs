//! An embeddable runtime for quality engineering. This is the crate to depend on.
//!
//! It gathers the components of aqe behind one name, reads the configuration that they share, and holds the little code
//! that needs two of them. It is **not** a test framework: it does not replace `#[test]`, assertions or the harness that
//! a project uses, and it runs nothing by itself. The program `aqe` and the crate `aqe-runner` find and run test suites
//! with it.
//!
//! # A complete program
//!
//! ```
//! use std::time::Duration;
//! use aqe_core::{Engine, Loader, OperationError, Priority, RetryPolicy};
//!
//! #[derive(Debug, PartialEq, thiserror::Error)]
//! #[error("port {0} is in use")]
//! struct InUse(u16);
//!
//! /// Checks one service; the one on port 8003 takes a moment to come up.
//! async fn check(port: u16, attempt: u32) -> Result<String, InUse> {
//!     if port == 8003 && attempt == 1 { Err(InUse(port)) } else { Ok(format!("{port} answers")) }
//! }
//!
//! #[tokio::main(flavor = "current_thread")]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     // What a file would say; `Loader::of_process().discover(".")` reads the real one, the environment and the machine.
//!     let text = "queue:\n  maxConcurrent: 4\n  retryAttempts: 2\n  retryDelay: 10ms\n";
//!     let loaded = Loader::new().text("qe.config.yaml", text).load()?;
//!     let engine = Engine::new(loaded.into_config())?;
//!     let queue = engine.queue();
//!
//!     // At most four run at once. The last one is urgent and overtakes those that have not begun.
//!     let mut checks = Vec::new();
//!     for port in 8001..=8008 {
//!         let priority = if port == 8008 { Priority::Critical } else { Priority::Medium };
//!         let operation = queue.operation(move |attempt| check(port, attempt.attempt()));
//!         checks.push(operation.priority(priority).submit().await?);
//!     }
//!     for (port, check) in (8001..).zip(checks) {
//!         assert_eq!(check.await?, format!("{port} answers"));
//!     }
//!
//!     // A failure keeps its type, and says how often it was tried.
//!     let busy = queue.operation(|_| async { Err::<(), _>(InUse(80)) });
//!     let busy = busy.retry(RetryPolicy::none()).submit().await?;
//!     assert_eq!(busy.await, Err(OperationError::Failed { error: InUse(80), attempts: 1 }));
//!
//!     // Lets everything finish, for ten seconds at most, and names what it had to cut.
//!     let report = engine.shutdown(Duration::from_secs(10)).await;
//!     assert!(report.cut.is_empty());
//!     let status = queue.status();
//!     assert_eq!((status.completed, status.failed, status.retried), (8, 1, 1));
//!     Ok(())
//! }
//! ```
//!
//! # What the words mean
//!
//! | word | meaning |
//! | --- | --- |
//! | run | Many items with one operation, processed by the [batch processor](batch) from the first to the report. |
//! | engine | The components, set up by one configuration and shut down together: [`Engine`]. A process may have several. |
//! | component | A part that works without the others. Each is a module here and a crate of its own. |
//! | operation | A piece of asynchronous work: a closure, a future, or named data with a registered handler. |
//! | layer | Where a value comes from: flag, environment, profile, file, preset or default. The first that has one decides. |
//!
//! # Modules
//!
//! | module | what it gives | feature |
//! | --- | --- | --- |
//! | [`alerts`] | rules over what is measured, messages that arrive; [`AlertSetup`] and [`AlertFeed`] join them to a program | `alerts` |
//! | [`config`] | `qe.config.yaml`: typed values, layers with the origin of each, presets, edits that keep comments | always there |
//! | [`batch`] | many items in chunks, on threads or as tasks: checkpoints, errors, retries, progress, files by content | `batch` |
//! | [`memory`] | a store of entries that expire: compressed, in memory or in a folder, sealed if wanted | `memory` |
//! | [`monitor`] | metrics, samples of the system, a history in a file, comparisons; a [`Monitor`] joins them to the engine | `monitor` |
//! | [`queue`] | operations with priorities, bounded concurrency, retries, timeouts, typed results; observers and status | `queue` |
//! | [`session`] | what a program does at the moment, for a second one: a local socket | `session` |
//! | [`state`] | the folder of a project in which that socket is | `session` |
//!
//! At the root stand the [`Engine`], the [`Error`] of the crate, and the names that nearly every program needs.
//!
//! # Features
//!
//! | feature | by default | what it adds |
//! | --- | --- | --- |
//! | `alerts` | no | [`alerts`]: e-mail, Slack and webhooks when a value is beyond its threshold; builds two C libraries |
//! | `batch` | yes | [`batch`]: many items in chunks, with checkpoints from which a killed run resumes |
//! | `coverage` | no | `batch::coverage`: reports of LCOV, Cobertura and llvm-cov, read as streams, merged and compared |
//! | `encryption` | no | [`memory::crypt`](memory): what leaves the uncompressed tier is sealed with AES-256-GCM; builds a C library |
//! | `memory` | yes | [`memory`]: a store of entries that expire |
//! | `monitor` | yes | [`monitor`] and the [`Monitor`]: metrics, and what the system and the engine's parts do, every few seconds |
//! | `monitor-advice` | no | `monitor::bottlenecks`: what limits a program, with the setting to change and what to expect |
//! | `monitor-history` | no | `monitor::history` and `monitor::compare`: all of that in one SQLite file, and statistics on it; builds a C library |
//! | `queue` | yes | [`queue`] and the [`Engine`]; without it the crate reads and edits configurations and needs no runtime |
//! | `session` | no | [`state`] and [`session`]: the state folder, and a running program that others can watch |
//! | `zstd` | no | [`memory`] can compress with Zstandard too; builds a C library |
//!
//! # Limits
//!
//! A configuration file has at most 1 MiB. Detection of cores counts cgroups and affinity on Linux, and what the standard
//! library reports elsewhere; the memory of a machine is known on Linux only. Operations run on tokio, and those of the
//! queue live as long as the process: see [`queue`] for its limits.

pub mod config;
#[cfg(feature = "queue")]
mod engine;
mod error;
mod glue;
#[cfg(feature = "session")]
pub mod session;
#[cfg(feature = "session")]
pub mod state;

#[cfg(feature = "batch")]
#[doc(inline)]
pub use aqe_batch as batch;
#[cfg(feature = "memory")]
#[doc(inline)]
pub use aqe_memory as memory;
#[cfg(feature = "monitor")]
#[doc(inline)]
pub use aqe_monitor as monitor;
#[cfg(feature = "alerts")]
#[doc(inline)]
pub use aqe_monitor::alerts;
#[cfg(feature = "queue")]
#[doc(inline)]
pub use aqe_queue as queue;

#[doc(inline)]
pub use self::config::{Config, ConfigError, Loader};
#[cfg(feature = "queue")]
pub use self::engine::{Engine, EngineBuilder};
pub use self::error::Error;
#[cfg(feature = "alerts")]
pub use self::glue::alerts::{
    AlertAction, AlertFeed, AlertMetric, AlertOrders, AlertOrdersError, AlertSecrets, AlertSetup,
    AlertSetupError, AlertWatch, AlertWork, NewRule, OwnRule, OwnRules, OwnRulesError,
};
#[cfg(feature = "monitor")]
pub use self::glue::monitor::{Monitor, MonitorBuilder, MonitorProblem, MonitorTick};
#[cfg(feature = "monitor-history")]
pub use self::glue::monitor::{MonitoredRun, RunBuilder};
#[cfg(all(feature = "batch", feature = "queue"))]
pub use self::glue::through_queue::{QueuedContext, QueuedItem, ThroughQueue};
#[cfg(feature = "batch")]
#[doc(inline)]
pub use aqe_batch::{BatchConfig, BatchProcessor, BatchReport, Checkpoint};
#[cfg(feature = "queue")]
#[doc(inline)]
pub use aqe_queue::{
    AsyncOperationQueue, AttemptContext, HandlerError, Operation, OperationError, OperationHandle,
    Priority, QueueConfig, QueueObserver, Registry, RetryPolicy, SubmitError,
};
/// The type of sizes in the configuration.
pub use bytesize::ByteSize;
