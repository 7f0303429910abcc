//! How a producer submits and waits, pattern by pattern. Each gives the sum of the results, or `None` for a loss.

use std::future::Future;
use std::ops::Range;
use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::contender::{Contender, Failed, Submitter};
use super::operations::{compute, noop, sleep, yield_once, yield_twice};
use super::ranks::{Ranks, level_of};
use super::workload::Body;
use crate::measure::{Backlog, Reading};

pub(super) async fn submit_all<S: Submitter>(
    queue: &mut S,
    numbers: Range<u64>,
    body: Body,
) -> Option<u64> {
    // A match outside the loop: the operations of one workload are all of one type.
    match body {
        Body::Noop => submit_each(queue, numbers, noop).await,
        Body::YieldOnce => submit_each(queue, numbers, yield_once).await,
        Body::YieldTwice => submit_each(queue, numbers, yield_twice).await,
        Body::Sleep => submit_each(queue, numbers, sleep).await,
        Body::Compute => submit_each(queue, numbers, compute).await,
    }
}

async fn submit_each<S, M, F>(queue: &mut S, numbers: Range<u64>, body: M) -> Option<u64>
where
    S: Submitter,
    M: Fn(u64) -> F + Copy + Send + Sync + 'static,
    F: Future<Output = u64> + Send + 'static,
{
    for number in numbers.clone() {
        queue.submit(0, move || body(number)).await;
    }
    collect(queue, numbers.end - numbers.start).await
}

/// Waits for `count` results and adds them up.
pub(super) async fn collect<S: Submitter>(queue: &mut S, count: u64) -> Option<u64> {
    let mut sum = 0;
    for _ in 0..count {
        sum += queue.next().await?;
    }
    Some(sum)
}

pub(super) async fn window<S: Submitter>(
    queue: &mut S,
    operations: u64,
    width: usize,
) -> Option<u64> {
    let mut sum = 0;
    let width = width as u64;
    for number in 0..operations {
        if number >= width {
            sum += queue.next().await?;
        }
        queue.submit(0, move || noop(number)).await;
    }
    Some(sum + collect(queue, operations.min(width)).await?)
}

pub(super) async fn retries<S: Submitter>(
    queue: &mut S,
    operations: u64,
    body: Body,
) -> Option<u64> {
    // A match outside the loop, as in `submit_all`.
    match body {
        Body::Noop => retry_each(queue, operations, noop).await,
        Body::YieldOnce => retry_each(queue, operations, yield_once).await,
        Body::YieldTwice => retry_each(queue, operations, yield_twice).await,
        Body::Sleep => retry_each(queue, operations, sleep).await,
        Body::Compute => retry_each(queue, operations, compute).await,
    }
}

async fn retry_each<S, M, F>(queue: &mut S, operations: u64, body: M) -> Option<u64>
where
    S: Submitter,
    M: Fn(u64) -> F + Copy + Send + Sync + 'static,
    F: Future<Output = u64> + Send + 'static,
{
    for number in 0..operations {
        queue
            .submit_retrying(move |attempt| async move {
                let value = body(number).await;
                if attempt == 0 && number % 100 == 0 {
                    return Err(Failed);
                }
                Ok(value)
            })
            .await;
    }
    collect(queue, operations).await
}

pub(super) async fn many_producers<C: Contender>(
    queue: &C,
    operations: u64,
    producers: u64,
) -> Option<u64> {
    let mut tasks = JoinSet::new();
    for producer in 0..producers {
        let mut submitter = queue.submitter();
        let numbers = operations * producer / producers..operations * (producer + 1) / producers;
        tasks.spawn(async move { submit_each(&mut submitter, numbers, noop).await });
    }
    let mut sum = 0;
    while let Some(part) = tasks.join_next().await {
        sum += part.ok()??;
    }
    Some(sum)
}

/// Queues everything behind a gate, and opens it.
///
/// Without the gate a fast queue would run operations as they come and no order would be visible.
pub(super) async fn priorities<S: Submitter>(
    queue: &mut S,
    operations: u64,
    slots: usize,
    ranks: &Arc<Ranks>,
) -> Option<u64> {
    let gate = Gate::close(queue, slots).await?;
    for number in 0..operations {
        let level = level_of(number);
        let ranks = Arc::clone(ranks);
        queue
            .submit(level, move || {
                let ranks = Arc::clone(&ranks);
                async move {
                    ranks.finished(level);
                    number
                }
            })
            .await;
    }
    let held = gate.open();
    collect(queue, operations + held).await
}

/// Queues everything behind a gate, reads the memory, and opens it: what is measured has to work, too.
pub(super) async fn pending<S: Submitter>(
    queue: &mut S,
    operations: u64,
    slots: usize,
    readings: &mut Vec<Reading>,
) -> Option<u64> {
    let gate = Gate::close(queue, slots).await?;
    let backlog = Backlog::start();
    for number in 0..operations {
        queue.submit(0, move || noop(number)).await;
    }
    readings.extend(backlog.per_operation(operations));
    let held = gate.open();
    collect(queue, operations + held).await
}

/// Operations that fill every slot until they are let go.
struct Gate {
    semaphore: Arc<Semaphore>,
    slots: u32,
}

impl Gate {
    /// Fills the slots, and waits until all the operations that do it have started.
    async fn close<S: Submitter>(queue: &mut S, slots: usize) -> Option<Self> {
        let semaphore = Arc::new(Semaphore::new(0));
        let inside = Arc::new(Semaphore::new(0));
        for _ in 0..slots {
            let (semaphore, inside) = (Arc::clone(&semaphore), Arc::clone(&inside));
            queue
                .submit(0, move || {
                    let (semaphore, inside) = (Arc::clone(&semaphore), Arc::clone(&inside));
                    async move {
                        inside.add_permits(1);
                        // Never closed, so this waits until the gate is opened.
                        drop(semaphore.acquire().await);
                        0
                    }
                })
                .await;
        }
        let slots = u32::try_from(slots).ok()?;
        inside.acquire_many(slots).await.ok()?.forget();
        Some(Self { semaphore, slots })
    }

    /// Lets them go, and tells how many results of 0 there will be beside the others.
    fn open(self) -> u64 {
        self.semaphore.add_permits(self.slots as usize);
        u64::from(self.slots)
    }
}
