//! Doing a backend's jobs in a queue of this process.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::task::{Id, JoinSet};
use tokio::time::{MissedTickBehavior, interval};

use super::{Backend, Credits, LeaseError, LeaseId, Leased, Settle};
use crate::error::{OperationError, SubmitError};
use crate::handle::OnDrop;
use crate::named::{HandlerError, Output};
use crate::priority::Priority;
use crate::queue::AsyncOperationQueue;
use crate::retry::RetryPolicy;

/// What [`serve`] has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServeReport {
    /// Leases that ended with a job done.
    pub done: u64,
    /// Leases that ended with another attempt to be made.
    pub retried: u64,
    /// Leases that ended with a job failed for good.
    pub dead: u64,
    /// Verdicts that came too late: the lease had run out.
    pub void: u64,
}

/// Does a backend's jobs in `queue`, with the handlers of its registry, until the backend is closed and empty or
/// the queue is closed.
///
/// Each leased job has a task of the current runtime while it is under way. Never more are leased than the queue has slots,
/// so that a call of a [batch handler](crate::batching) has no more jobs than that. A job's timeout holds for each
/// attempt; its lease is extended meanwhile. A job whose name has no handler here, or whose payload cannot be read, is
/// settled as dead. What the backend cannot take at the moment is left to run out and be leased again.
///
/// # Errors
///
/// [`LeaseError::Unavailable`], if the backend cannot be reached.
///
/// # Cancel safety
///
/// If the future is dropped the jobs under way are cancelled, and leased again by somebody when their leases have run out.
pub async fn serve(
    queue: &AsyncOperationQueue,
    backend: Arc<dyn Backend>,
) -> Result<ServeReport, LeaseError> {
    let mut server = Server {
        queue,
        backend,
        running: JoinSet::new(),
        leases: HashMap::new(),
        report: ServeReport::default(),
    };
    server.run().await?;
    Ok(server.report)
}

struct Server<'q> {
    queue: &'q AsyncOperationQueue,
    backend: Arc<dyn Backend>,
    running: JoinSet<(LeaseId, Settle)>,
    leases: HashMap<Id, LeaseId>,
    report: ServeReport,
}

impl Server<'_> {
    async fn run(&mut self) -> Result<(), LeaseError> {
        // Three chances to extend a lease before it runs out.
        let period = (self.backend.guarantees().lease / 3).max(std::time::Duration::from_millis(1));
        let mut extend = interval(period);
        extend.set_missed_tick_behavior(MissedTickBehavior::Delay);
        extend.reset();
        let mut is_over = false;
        loop {
            let free = self
                .queue
                .status()
                .max_concurrent
                .saturating_sub(self.running.len());
            let wants_more = free > 0 && !is_over && !self.queue.is_closed();
            if !wants_more && self.running.is_empty() {
                return Ok(());
            }
            let backend = Arc::clone(&self.backend);
            tokio::select! {
                biased;
                Some(ended) = self.running.join_next_with_id() => self.settle(ended).await,
                _ = extend.tick() => self.extend().await,
                leased = backend.lease(Credits::total(free)), if wants_more => match leased {
                    Ok(leased) => leased.into_iter().for_each(|lease| self.start(lease)),
                    Err(LeaseError::Closed) => is_over = true,
                    Err(error) => return Err(error),
                },
            }
        }
    }

    fn start(&mut self, leased: Leased) {
        let (lease, queue) = (leased.lease.clone(), self.queue.clone());
        let task = self
            .running
            .spawn(async move { attempt(queue, leased).await });
        self.leases.insert(task.id(), lease);
    }

    /// Settles what has ended, all of it in one call.
    async fn settle(&mut self, first: Result<(Id, (LeaseId, Settle)), tokio::task::JoinError>) {
        let mut verdicts = Vec::new();
        let mut next = Some(first);
        while let Some(ended) = next {
            match ended {
                Ok((task, verdict)) => {
                    self.leases.remove(&task);
                    verdicts.push(verdict);
                }
                // The runtime is going away; the lease runs out.
                Err(error) => drop(self.leases.remove(&error.id())),
            }
            next = self.running.try_join_next_with_id();
        }
        let kinds: Vec<_> = verdicts
            .iter()
            .map(|(_, verdict)| Kind::of(verdict))
            .collect();
        let answers = self.backend.settle(verdicts).await;
        for (answer, kind) in answers.into_iter().zip(kinds) {
            let report = &mut self.report;
            *match (answer, kind) {
                (Err(_), _) => &mut report.void,
                (Ok(()), Kind::Done) => &mut report.done,
                (Ok(()), Kind::Retried) => &mut report.retried,
                (Ok(()), Kind::Dead) => &mut report.dead,
            } += 1;
        }
    }

    async fn extend(&self) {
        let verdicts: Vec<_> = self
            .leases
            .values()
            .map(|lease| (lease.clone(), Settle::Extend))
            .collect();
        if !verdicts.is_empty() {
            // A lease that is void by now is found out when it is settled.
            let _ = self.backend.settle(verdicts).await;
        }
    }
}

/// What a verdict is counted as.
#[derive(Clone, Copy)]
enum Kind {
    Done,
    Retried,
    Dead,
}

impl Kind {
    const fn of(verdict: &Settle) -> Self {
        match verdict {
            Settle::Done(_) => Self::Done,
            Settle::Retry { .. } | Settle::Extend => Self::Retried,
            Settle::Dead { .. } => Self::Dead,
        }
    }
}

/// Makes one attempt at a job.
async fn attempt(queue: AsyncOperationQueue, leased: Leased) -> (LeaseId, Settle) {
    let verdict = match run(&queue, &leased).await {
        Ok(output) => Settle::Done(output),
        Err(error) if error.is_permanent() || leased.is_last_attempt() => Settle::Dead { error },
        Err(_) => Settle::Retry {
            after: leased
                .options
                .retry
                .delay_after(leased.attempt, fastrand::f64()),
        },
    };
    (leased.lease, verdict)
}

async fn run(queue: &AsyncOperationQueue, leased: &Leased) -> Result<Output, HandlerError> {
    let levels = queue.config().priority_levels;
    let operation = queue
        .submit_payload(leased.payload.clone())
        .priority(Priority::Level(leased.level.min(levels.saturating_sub(1))))
        .timeout(leased.options.timeout)
        // Attempts are the backend's: another worker may make the next.
        .retry(RetryPolicy::none())
        .on_drop(OnDrop::Cancel);
    let handle = match operation.submit().await {
        Ok(handle) => handle,
        Err(error @ SubmitError::Unknown { .. }) => {
            return Err(HandlerError::permanent(error.to_string()));
        }
        Err(error) => return Err(HandlerError::new(error.to_string())),
    };
    handle.await.map_err(|error| match error {
        OperationError::Failed { error, .. } => error,
        error @ OperationError::Panicked { .. } => HandlerError::permanent(error.to_string()),
        error => HandlerError::new(error.to_string()),
    })
}
