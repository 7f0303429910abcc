//! A queue that runs asynchronous operations: bounded, by priority, with retries, timeouts and typed results.
//!
//! Most applications use this through `aqe-core`, which builds a queue from a configuration file and joins it to the
//! rest. This crate is for those who want the queue alone.
//!
//! It is **not** a message broker: what is queued here is gone with the process (a [`backend`] may keep named
//! operations elsewhere). It is not a thread pool either: operations are futures, polled on a tokio runtime, and
//! work that computes for long belongs on `spawn_blocking`.
//!
//! # A complete program
//!
//! ```
//! use std::time::Duration;
//! use aqe_queue::{AsyncOperationQueue, OperationError, Priority, QueueConfig, RetryPolicy};
//!
//! #[derive(Debug, PartialEq, thiserror::Error)]
//! #[error("the server is busy")]
//! struct Busy;
//!
//! async fn fetch(page: u32, attempt: u32) -> Result<String, Busy> {
//!     // Every third page needs a second attempt.
//!     if page % 3 == 0 && attempt == 1 { Err(Busy) } else { Ok(format!("page {page}")) }
//! }
//!
//! #[tokio::main(flavor = "current_thread")]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     // At most four at once, each attempt at most two seconds, up to three attempts.
//!     let config = QueueConfig::default()
//!         .max_concurrent(4)
//!         .timeout(Duration::from_secs(2))
//!         .retry(RetryPolicy::exponential(2, Duration::from_millis(1), Duration::from_millis(20)).full_jitter());
//!     let queue = AsyncOperationQueue::new(config)?;
//!
//!     let mut handles = Vec::new();
//!     for page in 0..10 {
//!         let priority = if page == 9 { Priority::Critical } else { Priority::Medium };
//!         let operation = queue.operation(move |cx| fetch(page, cx.attempt())).priority(priority);
//!         handles.push(operation.submit().await?);
//!     }
//!     for (page, handle) in handles.into_iter().enumerate() {
//!         assert_eq!(handle.await?, format!("page {page}"));
//!     }
//!
//!     // What does not come to an end in time says so, and nothing of it is left.
//!     let stuck = queue.operation(|_| std::future::pending::<Result<(), Busy>>());
//!     let stuck = stuck.timeout(Duration::from_millis(5)).retry(RetryPolicy::none()).submit().await?;
//!     assert!(matches!(stuck.await, Err(OperationError::TimedOut { attempts: 1, .. })));
//!
//!     let report = queue.drain().await;
//!     assert!(report.cut.is_empty());
//!     let status = queue.status();
//!     assert_eq!((status.completed, status.timed_out, status.retried), (10, 1, 4));
//!     Ok(())
//! }
//! ```
//!
//! # What the words mean
//!
//! | Word | Meaning |
//! | --- | --- |
//! | operation | A closure that makes a future for each attempt ([`operation`](AsyncOperationQueue::operation)), a future that runs once ([`future`](AsyncOperationQueue::future), [`run`](AsyncOperationQueue::run)), or data with a registered handler ([`submit`](AsyncOperationQueue::submit)). Many at a time make a stream of results ([`run_all`](AsyncOperationQueue::run_all)). |
//! | level | How urgent it is: 0 is the most urgent. [`Priority`] names the first five. A more urgent operation starts before a less urgent one; within a level the first in is the first out. |
//! | ageing | After [`ageing`](QueueConfig::ageing), one start in [`AGEING_SHARE`](config::AGEING_SHARE) goes to the operation that has waited longest, so the wait of the lowest level is bounded. |
//! | attempt | One run of an operation, counted from 1. `retry_attempts` are those *after* the first. A waiting retry holds no slot; when its delay is over it queues at the end of its level. |
//! | call | What a [batch handler](batching) gets: several operations of one kind. It has one slot. |
//! | slot | The right to run. There are `max_concurrent`; an attempt that times out is dropped *before* its slot is used again and before its handle says so. |
//! | timeout | A [`Duration`](std::time::Duration) for each attempt, from the moment in which it first waits for something. |
//! | deadline | An [`Instant`](std::time::Instant) for the operation as a whole, wherever it is. |
//! | capacity | How many operations may wait, queued or between attempts. Their bytes can be bounded as well ([`capacity_bytes`](QueueConfig::capacity_bytes)). A full queue makes [`submit`](Submission::submit) wait and [`try_submit`](Submission::try_submit) hand the operation back. |
//! | weight | How many bytes an operation [stands for](Submission::weight), as far as it says so. |
//! | key | What operations [share](Submission::key), such as a host. [`KeyLimits`] say how many of one key run at once and how often one may start; what has to wait for its key is *held*, and others pass it. |
//! | unique | An operation that is [joined](Submission::unique) by whoever submits it again while it waits or runs. |
//! | reserved | Slots that only a level and more urgent ones may use ([`reserve`](QueueConfig::reserve)). |
//! | budget | How many retries all operations may make [together](RetryBudget). |
//! | shed | To drop what is least urgent and came last, so that something more urgent has room ([`Overflow`](config::Overflow)). |
//! | grace | How long [`drain_within`](AsyncOperationQueue::drain_within) and [`shutdown`](AsyncOperationQueue::shutdown) wait before they cancel what is left. |
//! | idle | Nothing queued, running or between attempts, and every outcome visible. |
//!
//! # Endings
//!
//! Every accepted operation ends exactly once, and its handle says how. When a handle is ready,
//! [`status`](AsyncOperationQueue::status) and the [`events`] have told of the end already. The counters are fields of
//! [`QueueStatus`] and add up to `submitted`, together with what is still in the queue.
//!
//! | How it ends | Its handle gives | Counted in | A [dead letter](dead_letters) |
//! | --- | --- | --- | --- |
//! | an attempt returns `Ok` | `Ok(value)` | `completed` | no |
//! | its last attempt returns `Err`: none is left, the error is not [worth](Submission::retry_if) one, or the budget is empty | [`Failed`](OperationError::Failed), with that error | `failed` | yes |
//! | its last attempt takes longer than its timeout | [`TimedOut`](OperationError::TimedOut) | `timed_out`; each attempt in `attempts_timed_out` | yes |
//! | its deadline passes, wherever it is | [`DeadlineExceeded`](OperationError::DeadlineExceeded) | `deadline_exceeded` | yes |
//! | it panics: the factory, the body, the predicate or the delay hook | [`Panicked`](OperationError::Panicked), with the message; never retried | `panicked` | yes |
//! | it is cancelled, by whom [`CancelReason`] says: on request, with its handle, by `clear`, a threshold, or the end of the queue | [`Cancelled`](OperationError::Cancelled) | `cancelled` | no |
//! | it is shed | [`Shed`](OperationError::Shed) | `shed` | no |
//! | it is never accepted | there is none: [`SubmitError`] hands the operation back. Where there is nobody to hand it to, [`Refused`](OperationError::Refused) | nowhere | no |
//!
//! What brings about such an end:
//!
//! | What happens | The operation |
//! | --- | --- |
//! | the handle is dropped | as [`OnDrop`] says: cancelled, cancelled unless it runs (the default), or left alone |
//! | [`cancel`](OperationHandle::cancel) | is dropped at once if it waits, else when its present poll is over |
//! | [`clear`](AsyncOperationQueue::clear) | is cancelled if it waits |
//! | a more urgent one finds the queue full | is dropped if that is the queue's [policy](config::Overflow), and its level is the least urgent |
//! | [`pause`](AsyncOperationQueue::pause) | runs on if it runs, and waits if it waits |
//! | [`pause_admission`](AsyncOperationQueue::pause_admission) | is not touched; new ones wait outside |
//! | [`drain`](AsyncOperationQueue::drain) | runs to its end, retries included |
//! | [`shutdown`](AsyncOperationQueue::shutdown) | is cancelled if it waits; else it is [told](AttemptContext::cancelled), has a grace time, and is dropped |
//! | the last queue handle is dropped | is cancelled if it waits, and runs on if it runs |
//! | a [worker task](QueueWorker) is dropped, as when its runtime ends | is cancelled |
//! | it panics | fails alone, with the message, and is not retried |
//!
//! # How it runs
//!
//! A few worker tasks, one for each thread of the runtime, take batches of operations and poll them in place: there is no
//! task, channel, timer or allocation for each operation, which lie in blocks of memory. A further task keeps the time
//! for all. Where nobody else may spawn, [`QueueBuilder::pair`] hands these tasks back. All time is tokio's, so a test
//! with paused time plays hours at once. With [`QueueBuilder::threads`] the workers have threads of their own, which
//! can be [pinned](QueueBuilder::pin).
//!
//! # Modules
//!
//! - [`config`]: the settings and their defaults.
//! - [`batching`]: handlers that get several operations in one call.
//! - [`named`]: operations that have a name and can travel; their registry.
//! - [`backend`]: where they wait when they may run in another process; the trait that a remote engine implements.
//! - [`dead_letters`]: what failed for good, and how.
//! - [`threshold`]: when there are too many failures, or too much memory is used.
//! - [`lanes`]: several queues, and which of them gets an operation.
//! - [`limit`]: the limit that finds itself.
//! - [`events`]: what happens, as it happens. [`stats`]: how much of it.
//! - `conformance` (feature `conformance`): the checks that every backend must pass.
//!
//! # Features
//!
//! - `conformance`: the module of that name. Off by default.
//! - `tower`: `AsyncOperationQueue::service`, the queue as a `tower_service::Service`. Off by default.
//!
//! # Limits
//!
//! - An operation that blocks its thread holds up one worker. On a multi-threaded runtime the others take over
//!   what it has in hand, within some milliseconds. On a current-thread runtime everything stands still.
//! - A poll cannot be interrupted: timeouts, cancellation and `shutdown` take effect when it returns.
//! - An operation that ends on its first poll, however late that is, has not timed out.
//! - Timeouts are as precise as tokio's timer: a millisecond.
//! - [`cancel`](AsyncOperationQueue::cancel) by id is a search; handles and [`Canceller`]s need none.
//! - At most 64 levels and 64 workers.

pub mod backend;
pub mod batching;
mod body;
mod budget;
mod cell;
pub mod config;
// Our own unit tests run the public checks too, whatever features are on.
#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
mod context;
pub mod dead_letters;
mod error;
pub mod events;
mod handle;
mod histogram;
mod keys;
pub mod lanes;
pub mod limit;
pub mod named;
mod operation;
mod priority;
mod queue;
mod retry;
mod run_all;
mod scheduling;
mod scope;
mod seat;
#[cfg(feature = "tower")]
mod service;
mod shared;
mod state;
pub mod stats;
mod sync;
mod threads;
pub mod threshold;
mod unique;
mod worker;

pub use crate::batching::{BatchContext, BatchOptions};
pub use crate::budget::RetryBudget;
pub use crate::config::{ConfigError, QueueConfig};
pub use crate::context::{AttemptContext, CancelSignal};
pub use crate::error::{CancelReason, OperationError, SubmitError};
pub use crate::events::{EndedAs, Event, EventStream, Observed, QueueObserver};
pub use crate::handle::{Canceller, Completion, OnDrop, OperationHandle, OperationId};
pub use crate::keys::{KeyLimits, KeyRate};
pub use crate::lanes::{Lane, Lanes, Placement};
pub use crate::limit::AdaptiveLimit;
pub use crate::named::{BoxFuture, HandlerError, Operation, Registry};
pub use crate::operation::{Submission, Submit, Submitted};
pub use crate::priority::Priority;
pub use crate::queue::{AsyncOperationQueue, DrainReport, QueueBuilder};
pub use crate::retry::{Backoff, Jitter, RetryPolicy};
pub use crate::run_all::{IntoSubmission, RunAll, RunAllOrdered, WINDOW_FACTOR};
pub use crate::scheduling::Scheduling;
pub use crate::scope::{Scope, ScopedHandle};
#[cfg(feature = "tower")]
pub use crate::service::{QueueService, ServiceFuture};
pub use crate::stats::{Histogram, Histograms, LevelStatus, Quantiles, QueueStatus, StatusStream};
pub use crate::threshold::{ErrorLimit, ErrorThreshold, MemoryThreshold, ThresholdAction};
pub use crate::unique::{SharedHandle, SubmitUnique, SubmittedUnique, Unique};
pub use crate::worker::QueueWorker;
