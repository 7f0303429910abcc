//! Where named operations wait when they may run in another process.
//!
//! A [`Backend`] is what a remote engine implements: it takes jobs in batches, leases them to workers by priority,
//! and keeps their outcomes. [`InProcess`] is the one in this crate; [`Wire`] wraps any other and turns every payload
//! and output into bytes, which shows in a test what would break between processes. [`serve`] runs a backend's jobs in
//! an [`AsyncOperationQueue`](crate::AsyncOperationQueue), with the handlers of its registry. Submitters use
//! [`BackendExt`].
//!
//! Closures never come here: they run in the process that made them.
//!
//! ```
//! use std::sync::Arc;
//! use aqe_queue::backend::{BackendExt, InProcess, JobOptions, serve};
//! use aqe_queue::{AsyncOperationQueue, Operation, QueueConfig, Registry};
//!
//! #[derive(serde::Serialize, serde::Deserialize)]
//! struct Square(u64);
//! impl Operation for Square {
//!     const NAME: &'static str = "square/1";
//!     type Output = u64;
//! }
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut registry = Registry::new();
//! registry.register(|square: Arc<Square>, _| async move { Ok(square.0 * square.0) })?;
//! let queue = AsyncOperationQueue::builder(QueueConfig::default()).registry(registry).build()?;
//! let backend = Arc::new(InProcess::default());
//! let job = backend.send(Square(12), JobOptions::default()).await?;
//! tokio::select! {
//!     output = job.outcome() => assert_eq!(output?, 144),
//!     _ = serve(&queue, Arc::clone(&backend) as _) => unreachable!("the backend was not closed"),
//! }
//! # Ok(()) }
//! ```

mod in_process;
mod serve;
mod table;
mod wire;

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

pub use self::in_process::{InProcess, InProcessConfig};
pub use self::serve::{ServeReport, serve};
pub use self::wire::Wire;
use crate::named::{BoxFuture, CodecError, HandlerError, Operation, Output, Payload};
use crate::priority::Priority;
use crate::retry::RetryPolicy;

/// Keeps jobs until workers have done them.
///
/// The contract, which the functions in `conformance` (feature `conformance`) check:
///
/// - **Batches.** Every method that takes a list answers with a list of the same length and order. Each entry
///   succeeds or fails alone; a batch is not a transaction.
/// - **Acknowledgement.** An accepted job survives what [`Guarantees::durability`] says. A refused one is handed back and
///   leaves no trace. A submission whose future was dropped may or may not have been accepted.
/// - **Order.** [`lease`](Self::lease) gives more urgent jobs first, and jobs of one level in the order in which
///   they were accepted, on their first delivery. A backend may protect jobs that have waited long.
/// - **Leases.** A leased job is given to nobody else until its lease is settled or runs out; then the lease is void, and
///   settling it is an error that changes nothing. A job may therefore be *started* more than once, but only one
///   outcome is kept: the first.
/// - **Attempts.** Each lease of a job counts as an attempt. A job whose lease runs out in its last attempt ends
///   as [`Outcome::Lost`].
/// - **Outcomes** are kept for [`Guarantees::keeps_outcomes`]. A backend that keeps values, not bytes, gives each
///   once.
/// - **Closing** stops admission; jobs already accepted are still leased. When none is left, `lease` says
///   [`LeaseError::Closed`].
/// - **Clones and drops.** An implementation that can be cloned shares everything between its clones. Dropping the last
///   one loses what is not durable. A wrapper passes on everything it does not change, guarantees included.
pub trait Backend: Send + Sync + 'static {
    /// Takes jobs.
    fn submit(&self, jobs: Vec<Job>) -> BoxFuture<'_, Vec<Result<Receipt, Refused>>>;

    /// Waits until at least one job may start, and gives as many as there are, within the credits. With no credits the
    /// answer is an empty list, at once. If the future is dropped, no job has been leased.
    fn lease(&self, want: Credits) -> BoxFuture<'_, Result<Vec<Leased>, LeaseError>>;

    /// Says what came of leases.
    fn settle(
        &self,
        verdicts: Vec<(LeaseId, Settle)>,
    ) -> BoxFuture<'_, Vec<Result<(), SettleError>>>;

    /// Waits for the end of a job. If the future is dropped, the outcome is still there.
    fn outcome(&self, id: JobId) -> BoxFuture<'_, Result<Outcome, OutcomeError>>;

    /// Stops admission.
    fn close(&self) -> BoxFuture<'_, ()>;

    /// Says what may be relied upon.
    fn guarantees(&self) -> Guarantees;
}

/// A named operation with what a backend has to know about it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Job {
    /// The operation.
    pub payload: Payload,
    /// How it is to be treated.
    pub options: JobOptions,
}

impl Job {
    /// Makes a job of an operation.
    #[must_use]
    pub fn new<O: Operation>(operation: O, options: JobOptions) -> Self {
        Self {
            payload: Payload::new(operation),
            options,
        }
    }
}

/// How a job is to be treated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct JobOptions {
    /// How urgent it is.
    pub priority: Priority,
    /// How long one attempt may take; 30 s by default.
    pub timeout: Option<Duration>,
    /// How often and after which delays it is tried again; three times after a second by default.
    pub retry: RetryPolicy,
}

impl Default for JobOptions {
    fn default() -> Self {
        Self {
            priority: Priority::default(),
            timeout: Some(Duration::from_secs(30)),
            retry: RetryPolicy::fixed(3, Duration::from_secs(1)),
        }
    }
}

impl JobOptions {
    /// Sets [`priority`](Self::priority).
    #[must_use]
    pub const fn priority(mut self, priority: Priority) -> Self {
        self.priority = priority;
        self
    }

    /// Sets [`timeout`](Self::timeout).
    #[must_use]
    pub fn timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.timeout = timeout.into();
        self
    }

    /// Sets [`retry`](Self::retry).
    #[must_use]
    pub const fn retry(mut self, policy: RetryPolicy) -> Self {
        self.retry = policy;
        self
    }
}

/// Names a job within its backend.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobId(Arc<str>);

/// Names one lease of one job.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LeaseId(Arc<str>);

macro_rules! names {
    ($($name:ident),*) => {$(
        impl $name {
            /// Wraps a backend's own name.
            #[must_use]
            pub fn new(name: impl Into<Arc<str>>) -> Self {
                Self(name.into())
            }

            /// Returns the backend's own name.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )*};
}

names!(JobId, LeaseId);

/// The acknowledgement of a job.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Receipt {
    /// The job's name.
    pub id: JobId,
    /// What it survives.
    pub durability: Durability,
}

impl Receipt {
    /// Makes a receipt.
    #[must_use]
    pub const fn new(id: JobId, durability: Durability) -> Self {
        Self { id, durability }
    }
}

/// What an acknowledged job survives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Durability {
    /// Nothing: it is in this process's memory.
    Memory,
    /// The end of any one process.
    ProcessKill,
    /// A power cut.
    PowerLoss,
}

/// What may be relied upon.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Guarantees {
    /// What an acknowledged job survives.
    pub durability: Durability,
    /// How long a lease lasts unless it is extended.
    pub lease: Duration,
    /// How long an outcome can be asked for after the end.
    pub keeps_outcomes: Duration,
    /// How many priority levels are told apart.
    pub levels: u8,
    /// Whether payloads and outputs travel as bytes.
    pub encodes: bool,
}

impl Guarantees {
    /// States guarantees.
    #[must_use]
    pub const fn new(
        durability: Durability,
        lease: Duration,
        keeps_outcomes: Duration,
        levels: u8,
    ) -> Self {
        Self {
            durability,
            lease,
            keeps_outcomes,
            levels,
            encodes: false,
        }
    }
}

/// How many jobs a worker wants.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Credits {
    /// In all.
    pub total: usize,
    /// Of each level at most, from the most urgent; levels that are not listed have no limit of their own.
    pub levels: Vec<usize>,
}

impl Credits {
    /// Wants up to `total` jobs, the most urgent there are.
    #[must_use]
    pub const fn total(total: usize) -> Self {
        Self {
            total,
            levels: Vec::new(),
        }
    }

    /// Limits the jobs of each level.
    #[must_use]
    pub fn levels(mut self, levels: impl Into<Vec<usize>>) -> Self {
        self.levels = levels.into();
        self
    }

    /// Returns how many jobs of `level` are wanted.
    #[must_use]
    pub fn of_level(&self, level: u8) -> usize {
        self.levels
            .get(usize::from(level))
            .copied()
            .unwrap_or(self.total)
            .min(self.total)
    }

    /// Spends one credit of `level`.
    pub fn spend(&mut self, level: u8) {
        self.total = self.total.saturating_sub(1);
        if let Some(credit) = self.levels.get_mut(usize::from(level)) {
            *credit = credit.saturating_sub(1);
        }
    }
}

/// A job that this worker may do, and nobody else while the lease lasts.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Leased {
    /// The lease.
    pub lease: LeaseId,
    /// The job's name.
    pub id: JobId,
    /// The operation.
    pub payload: Payload,
    /// How it is to be treated.
    pub options: JobOptions,
    /// The job's level; 0 is the most urgent.
    pub level: u8,
    /// The number of this attempt; 1 is the first.
    pub attempt: u32,
}

impl Leased {
    /// Makes a lease.
    #[must_use]
    pub fn new(lease: LeaseId, id: JobId, job: Job, level: u8, attempt: u32) -> Self {
        Self {
            lease,
            id,
            payload: job.payload,
            options: job.options,
            level,
            attempt,
        }
    }

    /// Returns whether no attempt is left after this one.
    #[must_use]
    pub const fn is_last_attempt(&self) -> bool {
        self.attempt > self.options.retry.attempts
    }
}

/// What came of a lease.
#[derive(Debug)]
#[non_exhaustive]
pub enum Settle {
    /// The job is done.
    Done(Output),
    /// The attempt failed and another is to be made after the delay.
    Retry {
        /// The delay.
        after: Duration,
    },
    /// The job has failed for good.
    Dead {
        /// Why.
        error: HandlerError,
    },
    /// The work goes on: the lease lasts for its full time from now.
    Extend,
}

/// How a job ended.
#[derive(Debug)]
#[non_exhaustive]
pub enum Outcome {
    /// It was done.
    Done {
        /// What it gave.
        output: Output,
        /// Attempts that were started.
        attempts: u32,
    },
    /// It failed.
    Dead {
        /// Why.
        error: HandlerError,
        /// Attempts that were started.
        attempts: u32,
    },
    /// The worker of its last attempt was never heard of again.
    Lost {
        /// Attempts that were started.
        attempts: u32,
    },
}

/// A job that was not accepted, handed back.
#[derive(Debug, thiserror::Error)]
#[error("job `{}` was not accepted: {reason}", .job.payload.name())]
#[non_exhaustive]
pub struct Refused {
    /// The job, on the heap so that the happy path carries little.
    pub job: Box<Job>,
    /// Why.
    #[source]
    pub reason: RefusedBecause,
}

impl Refused {
    /// Refuses a job.
    #[must_use]
    pub fn new(job: Job, reason: RefusedBecause) -> Self {
        Self {
            job: Box::new(job),
            reason,
        }
    }
}

/// Why a job was not accepted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RefusedBecause {
    /// As many jobs wait as the backend may hold.
    #[error("the backend is full")]
    Full,
    /// The backend has been closed.
    #[error("the backend is closed")]
    Closed,
    /// The backend has fewer levels.
    #[error("priority level {level} does not exist: the backend has levels 0 to {}", .levels.saturating_sub(1))]
    NoSuchLevel {
        /// The level that was asked for.
        level: u8,
        /// How many there are.
        levels: u8,
    },
    /// The payload could not be turned into bytes.
    #[error("its payload cannot be sent")]
    Codec(#[source] CodecError),
    /// The backend cannot be reached.
    #[error("the backend is not available: {0}")]
    Unavailable(String),
}

/// Why no job was leased.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LeaseError {
    /// The backend has been closed and no job is left that could still need a worker.
    #[error("the backend is closed and empty")]
    Closed,
    /// The backend cannot be reached.
    #[error("the backend is not available: {0}")]
    Unavailable(String),
}

/// Why a verdict was not taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SettleError {
    /// The lease ran out or was settled before. The job is somebody else's now, or over.
    #[error("lease {0} is not valid any more")]
    Void(LeaseId),
    /// The output could not be turned into bytes. The job has failed for good.
    #[error("the output cannot be sent")]
    Codec(#[source] CodecError),
    /// The backend cannot be reached. The lease may run out.
    #[error("the backend is not available: {0}")]
    Unavailable(String),
}

/// Why there is no outcome.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OutcomeError {
    /// There is no such job, or its outcome is not kept any more.
    #[error("job {0} is not known, or its outcome is not kept any more")]
    Unknown(JobId),
    /// The backend cannot be reached.
    #[error("the backend is not available: {0}")]
    Unavailable(String),
}

/// What submitters use.
pub trait BackendExt: Backend {
    /// Submits one operation and returns a handle for its output.
    ///
    /// # Errors
    ///
    /// [`Refused`], with the job in it.
    fn send<O: Operation>(
        self: &Arc<Self>,
        operation: O,
        options: JobOptions,
    ) -> impl Future<Output = Result<JobHandle<O, Self>, Refused>> + Send {
        let backend = Arc::clone(self);
        async move {
            let job = Job::new(operation, options);
            let spare = job.clone();
            match backend.submit(vec![job]).await.pop() {
                Some(answer) => answer.map(|receipt| JobHandle {
                    backend,
                    receipt,
                    operation: PhantomData,
                }),
                None => {
                    let reason = RefusedBecause::Unavailable("it gave no answer".to_owned());
                    Err(Refused::new(spare, reason))
                }
            }
        }
    }
}

impl<B: Backend + ?Sized> BackendExt for B {}

/// The job of one operation. Dropping it does nothing: the job is the backend's.
pub struct JobHandle<O, B: ?Sized> {
    backend: Arc<B>,
    receipt: Receipt,
    operation: PhantomData<fn() -> O>,
}

impl<O: Operation, B: Backend + ?Sized> JobHandle<O, B> {
    /// Returns the acknowledgement.
    #[must_use]
    pub const fn receipt(&self) -> &Receipt {
        &self.receipt
    }

    /// Waits for the job's end and returns its output.
    ///
    /// # Errors
    ///
    /// [`JobError`], if the job failed or its outcome cannot be had.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped the outcome stays with the backend; [`Backend::outcome`] gives it.
    pub async fn outcome(self) -> Result<O::Output, JobError> {
        match self
            .backend
            .outcome(self.receipt.id.clone())
            .await
            .map_err(JobError::Outcome)?
        {
            Outcome::Done { output, .. } => output.into_output::<O>().map_err(JobError::Codec),
            Outcome::Dead { error, attempts } => Err(JobError::Failed { error, attempts }),
            Outcome::Lost { attempts } => Err(JobError::Lost { attempts }),
        }
    }
}

impl<O, B: ?Sized> fmt::Debug for JobHandle<O, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JobHandle")
            .field("receipt", &self.receipt)
            .finish_non_exhaustive()
    }
}

/// Why a job gave no output.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JobError {
    /// Its handler failed.
    #[error("failed after {attempts} attempt(s)")]
    Failed {
        /// What the handler said.
        #[source]
        error: HandlerError,
        /// Attempts that were started.
        attempts: u32,
    },
    /// The worker of its last attempt was never heard of again.
    #[error("lost with its worker after {attempts} attempt(s)")]
    Lost {
        /// Attempts that were started.
        attempts: u32,
    },
    /// Its output cannot be read.
    #[error("its output cannot be read")]
    Codec(#[source] CodecError),
    /// Its outcome cannot be had.
    #[error("its outcome cannot be had")]
    Outcome(#[source] OutcomeError),
}

macro_rules! forward {
    ($($pointer:ident),*) => {$(
        impl<B: Backend + ?Sized> Backend for $pointer<B> {
            fn submit(&self, jobs: Vec<Job>) -> BoxFuture<'_, Vec<Result<Receipt, Refused>>> {
                (**self).submit(jobs)
            }

            fn lease(&self, want: Credits) -> BoxFuture<'_, Result<Vec<Leased>, LeaseError>> {
                (**self).lease(want)
            }

            fn settle(&self, verdicts: Vec<(LeaseId, Settle)>) -> BoxFuture<'_, Vec<Result<(), SettleError>>> {
                (**self).settle(verdicts)
            }

            fn outcome(&self, id: JobId) -> BoxFuture<'_, Result<Outcome, OutcomeError>> {
                (**self).outcome(id)
            }

            fn close(&self) -> BoxFuture<'_, ()> {
                (**self).close()
            }

            fn guarantees(&self) -> Guarantees {
                (**self).guarantees()
            }
        }
    )*};
}

forward!(Arc, Box);
