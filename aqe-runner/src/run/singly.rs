//! Process isolation: every test is an operation of the queue, and every attempt a process of its own.

use std::sync::Arc;
use std::time::Duration;

use aqe_core::queue::{
    AsyncOperationQueue, OperationError, OperationHandle, Priority, RetryPolicy,
};

use super::attempt::{Trial, attempt};
use super::floor::Floor;
use super::plan::Case;
use super::{Event, RunError};
use crate::model::{AttemptResult, Failure, Verdict};

/// The attempt did not pass and its test has no verdict yet: another attempt is due.
#[derive(Debug)]
pub(super) struct TryAgain;

/// A test that is in the queue.
pub(super) struct Queued {
    trial: Arc<Trial>,
    handle: OperationHandle<(), TryAgain>,
}

/// Runs tests one process each and returns when every one of them has a verdict.
pub(super) async fn run(
    floor: &Arc<Floor>,
    queue: &AsyncOperationQueue,
    cases: &[Arc<Case>],
) -> Result<(), RunError> {
    let mut queued = Vec::with_capacity(cases.len());
    for case in cases {
        if floor.control.halted().is_some() {
            floor.settle(case.id(), Verdict::Cancelled, Duration::ZERO);
        } else {
            queued.push(submit(floor, queue, case, Priority::Medium).await?);
        }
    }
    for test in queued {
        settled(floor, test).await;
    }
    Ok(())
}

/// Puts a test in the queue, waiting for room.
pub(super) async fn submit(
    floor: &Arc<Floor>,
    queue: &AsyncOperationQueue,
    case: &Arc<Case>,
    priority: Priority,
) -> Result<Queued, RunError> {
    let trial = Trial::new(Arc::clone(case));
    let retries = floor.settings.retries;
    let operation = {
        let (floor, trial) = (Arc::clone(floor), Arc::clone(&trial));
        move |context: aqe_core::queue::AttemptContext| {
            let (floor, trial) = (Arc::clone(&floor), Arc::clone(&trial));
            async move { one_attempt(&floor, &trial, context.attempt()).await }
        }
    };
    let control = floor.control.clone();
    let handle = queue
        .operation(operation)
        .priority(priority)
        // The launcher keeps the time, from the process's start on, and ends the whole process group.
        .timeout(None)
        .retry(RetryPolicy::fixed(retries, Duration::ZERO))
        .retry_if(move |TryAgain| control.halted().is_none())
        .submit()
        .await
        .map_err(|error| RunError::Internal(format!("the queue refused a test: {error}")))?;
    Ok(Queued { trial, handle })
}

async fn one_attempt(floor: &Floor, trial: &Trial, number: u32) -> Result<(), TryAgain> {
    if floor.control.halted().is_some() {
        let (verdict, duration) = trial.verdict();
        floor.settle(trial.case.id(), verdict, duration);
        return Ok(());
    }
    let attempt = attempt(floor, &trial.case, number).await;
    let (verdict, duration) = trial.judge_with(&attempt);
    let will_retry = matches!(
        attempt.result,
        AttemptResult::Failed(_) | AttemptResult::TimedOut { .. }
    ) && number <= floor.settings.retries
        && floor.control.halted().is_none();
    floor.events.send(Event::AttemptFinished {
        test: trial.case.id(),
        attempt,
        will_retry,
    });
    if will_retry {
        return Err(TryAgain);
    }
    floor.settle(trial.case.id(), verdict, duration);
    Ok(())
}

/// Waits for a test, and settles it if the queue ended it: then it was cancelled while it waited.
pub(super) async fn settled(floor: &Floor, Queued { trial, handle }: Queued) {
    let verdict = match handle.await {
        Ok(()) => return,
        Err(OperationError::Panicked { message, .. }) => {
            Verdict::Failed(Failure::NotStarted { message })
        }
        Err(_) => trial.verdict().0,
    };
    floor.settle(trial.case.id(), verdict, trial.verdict().1);
}
