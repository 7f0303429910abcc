//! The workloads: what is submitted, in which pattern, and how the results are checked.
//!
//! Every operation returns its own number. A sample whose results do not add up is an error, not a fast run.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use xtask::{Failure, Result};

use super::contender::{Contender, Failed, LEVELS, Level, Submitter};
use super::operations::{YieldOnce, four_microseconds};
use crate::measure::{Reading, Stretch};
use crate::rounds::Scale;

/// The runtime of every sample has two workers: what a small CI machine gives.
const WORKERS: usize = 2;

/// Operations at once unless the workload says otherwise: the queue's own default.
const CONCURRENCY: usize = 10;

/// One pattern of work at one size.
#[derive(Debug, Clone)]
pub struct Workload {
    /// Its name, with the number of operations in it.
    pub name: &'static str,
    operations: u64,
    concurrency: usize,
    pattern: Pattern,
}

#[derive(Debug, Clone, Copy)]
enum Pattern {
    /// Submit everything, then wait for everything.
    SubmitAll(Body),
    /// Never more than so many submitted and not yet waited for.
    Window(usize),
    /// Everything is queued at five levels before anything may start; ranks are measured.
    Priorities,
    /// Each attempt has a timeout, and one operation in a hundred fails once.
    Retries,
    /// So many producers at once, each submitting all and then waiting for all.
    Producers(u64),
}

#[derive(Debug, Clone, Copy)]
enum Body {
    /// Ready at once.
    Noop,
    /// Pending twice.
    YieldTwice,
    /// A timer of one millisecond.
    Sleep,
    /// Four microseconds of processor time.
    Compute,
}

/// Every workload of the area.
pub const WORKLOADS: &[Workload] = &[
    workload(
        "noop-1M-submit-all",
        1_000_000,
        CONCURRENCY,
        Pattern::SubmitAll(Body::Noop),
    ),
    workload(
        "noop-1M-window-1024",
        1_000_000,
        CONCURRENCY,
        Pattern::Window(1024),
    ),
    workload(
        "yield2-100k",
        100_000,
        CONCURRENCY,
        Pattern::SubmitAll(Body::YieldTwice),
    ),
    workload(
        "five-priorities-200k",
        200_000,
        CONCURRENCY,
        Pattern::Priorities,
    ),
    workload("retry1pct-200k", 200_000, CONCURRENCY, Pattern::Retries),
    workload(
        "eight-producers-1M",
        1_000_000,
        CONCURRENCY,
        Pattern::Producers(8),
    ),
    workload(
        "sleep1ms-10k-c100",
        10_000,
        100,
        Pattern::SubmitAll(Body::Sleep),
    ),
    workload(
        "cpu-4us-100k",
        100_000,
        CONCURRENCY,
        Pattern::SubmitAll(Body::Compute),
    ),
];

const fn workload(
    name: &'static str,
    operations: u64,
    concurrency: usize,
    pattern: Pattern,
) -> Workload {
    Workload {
        name,
        operations,
        concurrency,
        pattern,
    }
}

impl Workload {
    /// The same pattern with another number of operations.
    #[must_use]
    pub fn at(&self, operations: u64) -> Self {
        Self {
            operations,
            ..self.clone()
        }
    }
}

/// Takes one sample of a contender: times from the first submission to the last result.
pub(super) fn sample<C: Contender>(workload: &Workload, scale: Scale) -> Result<Vec<Reading>> {
    let workload = workload.at(scale.of(workload.operations));
    let runtime = runtime()?;
    // On a worker, as an application's own code would be: the thread that blocks is no third processor.
    let driver = runtime.spawn(async move { drive::<C>(&workload).await });
    let readings = runtime
        .block_on(driver)
        .map_err(|error| Failure::new(format!("the sample panicked: {error}")))?;
    // Contenders' workers wait for ever; they are dropped, not joined.
    runtime.shutdown_background();
    readings
}

fn runtime() -> Result<Runtime> {
    Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .enable_all()
        .build()
        .map_err(|error| Failure::new(format!("cannot start a runtime: {error}")))
}

async fn drive<C: Contender>(workload: &Workload) -> Result<Vec<Reading>> {
    let operations = workload.operations;
    // Room for everything and for the operations that hold the gate shut.
    let capacity = usize::try_from(operations).unwrap_or(usize::MAX - 1024) + 1024;
    let queue = C::start(workload.concurrency, capacity);
    let mut submitter = queue.submitter();
    let ranks = Arc::new(Ranks::default());
    let stretch = Stretch::start();
    let sum = match workload.pattern {
        Pattern::SubmitAll(body) => submit_all(&mut submitter, 0..operations, body).await,
        Pattern::Window(width) => window(&mut submitter, operations, width).await,
        Pattern::Priorities => {
            let width = workload.concurrency;
            priorities(&mut submitter, operations, width, &ranks).await
        }
        Pattern::Retries => retries(&mut submitter, operations).await,
        Pattern::Producers(producers) => many_producers(&queue, operations, producers).await,
    };
    let mut readings = stretch.per_operation(operations);
    check(sum, operations)?;
    if matches!(workload.pattern, Pattern::Priorities) {
        readings.extend(ranks.readings(operations));
    }
    Ok(readings)
}

fn check(sum: Option<u64>, operations: u64) -> Result<()> {
    let expected = operations * operations.saturating_sub(1) / 2;
    match sum {
        Some(sum) if sum == expected => Ok(()),
        Some(sum) => Err(Failure::new(format!(
            "the results add up to {sum}, not to {expected}"
        ))),
        None => Err(Failure::new("the queue lost an operation")),
    }
}

async fn submit_all<S: Submitter>(
    queue: &mut S,
    numbers: std::ops::Range<u64>,
    body: Body,
) -> Option<u64> {
    // A match outside the loop: the operations of one workload are all of one type.
    match body {
        Body::Noop => submit_each(queue, numbers, |n| async move { n }).await,
        Body::YieldTwice => {
            submit_each(queue, numbers, |n| async move {
                YieldOnce::default().await;
                YieldOnce::default().await;
                n
            })
            .await
        }
        Body::Sleep => {
            submit_each(queue, numbers, |n| async move {
                tokio::time::sleep(Duration::from_millis(1)).await;
                n
            })
            .await
        }
        Body::Compute => submit_each(queue, numbers, |n| async move { four_microseconds(n) }).await,
    }
}

async fn submit_each<S, M, F>(queue: &mut S, numbers: std::ops::Range<u64>, body: M) -> Option<u64>
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
async fn collect<S: Submitter>(queue: &mut S, count: u64) -> Option<u64> {
    let mut sum = 0;
    for _ in 0..count {
        sum += queue.next().await?;
    }
    Some(sum)
}

async fn window<S: Submitter>(queue: &mut S, operations: u64, width: usize) -> Option<u64> {
    let mut sum = 0;
    let width = width as u64;
    for number in 0..operations {
        if number >= width {
            sum += queue.next().await?;
        }
        queue.submit(0, move || async move { number }).await;
    }
    Some(sum + collect(queue, operations.min(width)).await?)
}

async fn retries<S: Submitter>(queue: &mut S, operations: u64) -> Option<u64> {
    for number in 0..operations {
        queue
            .submit_retrying(move |attempt| async move {
                if attempt == 0 && number % 100 == 0 {
                    return Err(Failed);
                }
                Ok(number)
            })
            .await;
    }
    collect(queue, operations).await
}

async fn many_producers<C: Contender>(queue: &C, operations: u64, producers: u64) -> Option<u64> {
    let mut tasks = JoinSet::new();
    for producer in 0..producers {
        let mut submitter = queue.submitter();
        let numbers = operations * producer / producers..operations * (producer + 1) / producers;
        tasks.spawn(async move { submit_all(&mut submitter, numbers, Body::Noop).await });
    }
    let mut sum = 0;
    while let Some(part) = tasks.join_next().await {
        sum += part.ok()??;
    }
    Some(sum)
}

/// Fills every slot with an operation that waits, queues everything behind, and opens the gate.
///
/// Without the gate a fast queue would run operations as they come and no order would be visible.
async fn priorities<S: Submitter>(
    queue: &mut S,
    operations: u64,
    slots: usize,
    ranks: &Arc<Ranks>,
) -> Option<u64> {
    let gate = Arc::new(Semaphore::new(0));
    let inside = Arc::new(Semaphore::new(0));
    for _ in 0..slots {
        let (gate, inside) = (Arc::clone(&gate), Arc::clone(&inside));
        queue
            .submit(0, move || {
                let (gate, inside) = (Arc::clone(&gate), Arc::clone(&inside));
                async move {
                    inside.add_permits(1);
                    // The gate is never closed, so this waits until it is opened.
                    drop(gate.acquire().await);
                    0
                }
            })
            .await;
    }
    let slots = u32::try_from(slots).ok()?;
    inside.acquire_many(slots).await.ok()?.forget();
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
    gate.add_permits(slots as usize);
    collect(queue, operations + u64::from(slots)).await
}

/// Spreads the operations over the levels without any pattern in time: Knuth's multiplicative hashing.
fn level_of(number: u64) -> Level {
    let hash = number.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
    (hash % u64::from(LEVELS)) as Level
}

/// When operations of each level finished.
#[derive(Debug, Default)]
struct Ranks {
    /// Operations finished so far. Relaxed everywhere: the results order the reads after all writes.
    finished: AtomicU64,
    levels: [LevelRanks; LEVELS as usize],
}

#[derive(Debug, Default)]
struct LevelRanks {
    sum: AtomicU64,
    count: AtomicU64,
}

impl Ranks {
    fn finished(&self, level: Level) {
        let rank = self.finished.fetch_add(1, Ordering::Relaxed);
        let level = &self.levels[usize::from(level)];
        level.sum.fetch_add(rank, Ordering::Relaxed);
        level.count.fetch_add(1, Ordering::Relaxed);
    }

    /// The mean place of the top level from the start and of the bottom level from the end, as shares of all
    /// operations: 0.1 is perfect order with five equal levels, 0.5 is none.
    fn readings(&self, operations: u64) -> [Reading; 2] {
        let mean = |level: &LevelRanks| {
            let sum = level.sum.load(Ordering::Relaxed) as f64;
            sum / level.count.load(Ordering::Relaxed).max(1) as f64 / operations as f64
        };
        let [top, .., bottom] = &self.levels;
        [
            Reading::new("rank-top", "share", mean(top)),
            Reading::new("rank-bottom-from-end", "share", 1.0 - mean(bottom)),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_of_equal_size() {
        let mut counts = [0_u32; LEVELS as usize];
        for number in 0..200_000 {
            counts[usize::from(level_of(number))] += 1;
        }
        assert!(
            counts
                .iter()
                .all(|&count| (39_000..41_000).contains(&count)),
            "{counts:?}"
        );
    }

    #[test]
    fn a_lost_or_wrong_result_fails_the_sample() {
        assert!(check(Some(6), 4).is_ok());
        assert!(check(Some(5), 4).is_err());
        assert!(check(None, 4).is_err());
    }

    #[test]
    fn perfect_order_has_its_ranks_at_a_tenth() {
        let ranks = Ranks::default();
        for level in 0..LEVELS {
            (0..1000).for_each(|_| ranks.finished(level));
        }
        for reading in ranks.readings(5000) {
            assert!((reading.value - 0.1).abs() < 0.001, "{reading:?}");
        }
    }
}
