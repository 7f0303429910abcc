//! Does a chunk size that is found by measuring come near the best one that stays?
//!
//! The same load with each of several sizes, and with one that follows the throughput, its search included. Loads are those
//! for which small, large and medium chunks are right. What has too few items in flight would take minutes for all of the
//! items, so small sizes have fewer to do; times are those of an item.

use std::hint::black_box;
use std::time::Duration;

use aqe_batch::{BatchConfig, BatchProcessor};
use tokio::time::sleep;
use xtask::{Failure, Result};

use super::{Entry, entry, failed};
use crate::measure::{Reading, Stretch};
use crate::rounds::Scale;

/// The size that says: follow the throughput.
const FOLLOW: usize = 0;

/// The bounds within which it does so: the smallest and the largest of the others.
const LEAST: usize = 1;
const MOST: usize = 1_600;

/// Nothing but computing, four microseconds or a little more an item.
pub(super) const COMPUTES: &[Entry] = &[
    entry("aqe", computes::<FOLLOW>),
    entry("fixed-1", computes::<1>),
    entry("fixed-5", computes::<5>),
    entry("fixed-25", computes::<25>),
    entry("fixed-100", computes::<100>),
    entry("fixed-400", computes::<400>),
    entry("fixed-1600", computes::<1_600>),
];

/// Nothing but waiting for a millisecond.
pub(super) const WAITS: &[Entry] = &[
    entry("aqe", waits::<FOLLOW>),
    entry("fixed-1", waits::<1>),
    entry("fixed-5", waits::<5>),
    entry("fixed-25", waits::<25>),
    entry("fixed-100", waits::<100>),
    entry("fixed-400", waits::<400>),
    entry("fixed-1600", waits::<1_600>),
];

/// Waiting for a millisecond, and then twenty microseconds of computing.
pub(super) const MIXED: &[Entry] = &[
    entry("aqe", mixed::<FOLLOW>),
    entry("fixed-1", mixed::<1>),
    entry("fixed-5", mixed::<5>),
    entry("fixed-25", mixed::<25>),
    entry("fixed-100", mixed::<100>),
    entry("fixed-400", mixed::<400>),
    entry("fixed-1600", mixed::<1_600>),
];

fn processor(size: usize) -> Result<BatchProcessor> {
    let config = match size {
        // It begins at the size that a batch processor has by default.
        FOLLOW => BatchConfig::default().adaptive(LEAST, MOST),
        size => BatchConfig::default().chunk_size(size),
    };
    BatchProcessor::new(config).map_err(failed)
}

fn compute(item: u64, steps: u64) -> u64 {
    (0..steps).fold(item, |sum, n| {
        super::hash::hash(&[black_box(sum), n, 0, 0, 0, 0, 0, 0])
    })
}

fn computes<const SIZE: usize>(scale: Scale) -> Result<Vec<Reading>> {
    let (count, processor) = (scale.of(1_500_000), processor(SIZE)?);
    let stretch = Stretch::start();
    let operation = |item: &u64| {
        black_box(compute(*item, 400));
        Ok::<_, Failure>(())
    };
    let report = processor.job("computes").for_each(0..count, operation);
    let done = report.map_err(failed)?.progress.done;
    Ok(stretch.per_operation(done))
}

fn waits<const SIZE: usize>(scale: Scale) -> Result<Vec<Reading>> {
    on_the_runtime::<SIZE>(scale.of(6_000_000), 400, 0)
}

fn mixed<const SIZE: usize>(scale: Scale) -> Result<Vec<Reading>> {
    on_the_runtime::<SIZE>(scale.of(500_000), 100, 2_000)
}

/// Sizes below `enough` have so many fewer items.
fn on_the_runtime<const SIZE: usize>(
    items: u64,
    enough: usize,
    steps: u64,
) -> Result<Vec<Reading>> {
    let share = if SIZE == FOLLOW {
        enough
    } else {
        SIZE.min(enough)
    };
    let count = (items * share as u64 / enough as u64).max(1);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(failed)?;
    let job = processor(SIZE)?.job("waits");
    let operation = move |item: u64, _| async move {
        sleep(Duration::from_millis(1)).await;
        black_box(compute(item, steps));
        Ok::<_, Failure>(())
    };
    let stretch = Stretch::start();
    let run = runtime.spawn(job.run_each(0..count, operation));
    let report = runtime.block_on(run).map_err(failed)?.map_err(failed)?;
    if report.progress.done != count {
        return Err(Failure::new("an item was lost"));
    }
    Ok(stretch.per_operation(count))
}
