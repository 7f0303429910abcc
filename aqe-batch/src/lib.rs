//! Processes many items in chunks, with checkpoints from which a killed run resumes exactly.
//!
//! Most applications use this through `aqe-core`. This crate is for those who want the batch processor alone.
//!
//! It is **not** a queue: all items of a run have one operation and one source, and nobody submits more while it runs. It
//! is not a workflow engine either: a run has no steps that depend on one another.
//!
//! # A complete program
//!
//! ```
//! use aqe_batch::{BatchConfig, BatchProcessor, Checkpoint, Stopped};
//!
//! #[derive(Debug, thiserror::Error)]
//! #[error("page {0} is damaged")]
//! struct Damaged(u64);
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! # let log = folder.path().join("words.log");
//! // Up to five chunks of twenty pages at once; the sixth page that fails ends the run.
//! let processor = BatchProcessor::new(BatchConfig::default().error_threshold(5))?;
//! let count = |page: &u64| if page % 1_000 == 999 { Err(Damaged(*page)) } else { Ok(page % 7) };
//!
//! // The run ends before its time: there are too many damaged pages. `kill -9` would do as well.
//! let run = |pages: u64, count: fn(&u64) -> Result<u64, Damaged>| {
//!     processor
//!         .job("count words")
//!         .checkpoint(Checkpoint::file(&log))
//!         .progress(|progress| eprintln!("{:.0} % done", progress.percentage().unwrap_or(0.0)))
//!         .map(0..pages, count)
//! };
//! let error = run(10_000, count).unwrap_err();
//! assert!(matches!(error.stopped(), Stopped::TooManyErrors { threshold: 5 }));
//! let before = error.report().progress.done;
//!
//! // Repaired and started again, it does what is left, and its report is that of a run that was never interrupted.
//! let report = run(10_000, |page| Ok(page % 7))?;
//! assert!(report.is_complete() && report.progress.restored + 100 > before);
//! assert_eq!(report.results.get(999), Some(&5));
//! assert_eq!(report.results.len(), 10_000);
//! # Ok(()) }
//! ```
//!
//! # What the words mean
//!
//! | Word | Meaning |
//! | --- | --- |
//! | item | What an operation is applied to. Items are numbered in the order of their source, from 0. |
//! | chunk | How many items a worker claims at least ([`chunk_size`](BatchConfig::chunk_size)). On the runtime, so many items of each chunk are in flight side by side. |
//! | concurrency | How many chunks are in flight at once. On threads also the number of threads, up to that of the processors. |
//! | run | One job from its first item to its report. What one process does of it, until it ends or is ended. |
//! | done | An item that has a result or was skipped. It is not started again. A failed one is, by the next run. |
//! | checkpoint | What is done, and its results, in a [file](Checkpoint). Handed to the system each [`checkpoint_interval`](BatchConfig::checkpoint_interval) items, and synced from there. |
//!
//! # What is promised
//!
//! | If | Then |
//! | --- | --- |
//! | the process ends, however | the next run repeats at most an interval of items and those that were in flight |
//! | the machine ends | it repeats at most [`sync_lag`](Checkpoint::sync_lag) intervals and those in flight |
//! | the file was cut off or changed | it is read up to what was whole, or refused with the place; it never gives a wrong item or result |
//! | the disk is full | the run stops, says so, and everything before it is kept |
//! | more items fail than allowed | no item starts after the error that is one too many was recorded, with however many workers |
//! | an item panics | it fails alone, with the message, and is not tried again |
//! | the consumer of a [stream](Job::stream) is slow | no chunk is claimed before it has taken some |
//! | memory gets scarce | no chunk is claimed; the progress says so |
//! | the run is [cancelled](CancelToken::cancel) | no item starts any more; on the runtime those that run are dropped |
//! | the processor is [shut down](BatchProcessor::shutdown) | likewise, for runs that do not end within the grace |
//! | its future or stream is dropped | likewise, and what was finished is in the checkpoint |
//!
//! # How it runs
//!
//! On [threads](Job), workers claim runs of chunks that get shorter towards the end, and write results where they belong.
//! On the runtime, a few tasks poll all items in place: there is no task, channel or allocation for an item. Progress,
//! memory and the size of chunks are looked at beside the items. Whatever an item's path shares with others changes only
//! with errors.
//!
//! # Modules
//!
//! - [`files`]: files, done once for each content; operations by name.
//! - `coverage` (feature `coverage`): reports of LCOV, Cobertura and llvm-cov, read as streams and compared.
//! - [`codec`]: how results are kept in a checkpoint.
//! - [`log`]: the checkpoint log, for those who have a loop of their own.
//!
//! # Limits
//!
//! - At most 2⁴⁸ items in a run; a chunk, and the chunks in flight, at most 2²⁰.
//! - A result that is kept has at most 16 MiB.
//! - To resume, a source must give the same items in the same order; only their number can be checked.
//! - An item on a thread cannot be interrupted. On the runtime it can, where it waits.
//! - Runs on the runtime need its timer. With tokio's paused time they play hours at once.
//! - How much memory is in use is known on Linux only; elsewhere no chunk waits for it.

mod adaptive;
mod cancel;
mod checkpoint;
pub mod codec;
mod config;
#[cfg(feature = "coverage")]
pub mod coverage;
mod error;
pub mod files;
pub mod log;
mod memory;
mod meter;
mod policy;
mod processor;
mod progress;
mod report;
mod runs;
mod switch;
mod tasks;
mod threads;
mod ticker;

pub use crate::cancel::CancelToken;
pub use crate::checkpoint::Checkpoint;
pub use crate::codec::Codec;
pub use crate::config::{BatchConfig, ConfigError, Sizing};
pub use crate::error::{BatchError, ItemError, Stopped};
pub use crate::files::{
    FileOperation, FileOperations, FileOptions, FileOutcome, FilesReport, find_files,
};
pub use crate::log::CheckpointError;
pub use crate::policy::{ByConfig, Decision, Jitter, OnError, Policy, RetryPolicy};
pub use crate::processor::{BatchProcessor, Job};
pub use crate::progress::{Progress, ProgressStream};
pub use crate::report::{BatchReport, FailedItem, Results};
pub use crate::runs::ShutdownReport;
pub use crate::tasks::{
    BatchStream, FromStream, IntoItems, ItemContext, Items, Iterated, Outcome, Rest, from_stream,
};
pub use crate::ticker::ByteCounter;
