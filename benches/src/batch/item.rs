//! A million futures that are ready at once, item by item: no chunks of the user's making.

use aqe_batch::{BatchConfig, BatchProcessor};
use futures_util::{StreamExt, stream};
use tokio::task::JoinSet;
use xtask::{Failure, Result};

use super::{Entry, entry, failed};
use crate::measure::{Reading, Stretch};
use crate::rounds::Scale;

pub(super) const ENTRIES: &[Entry] = &[
    entry("aqe", aqe),
    entry("aqe-no-results", aqe_no_results),
    entry("buffer-unordered", buffer_unordered),
    entry("tokio-joinset", joinset),
];

const CHUNK: usize = 25;
const CHUNKS: usize = 2;

async fn operate(item: u64) -> u64 {
    super::hash::hash(&[item; 8])
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(failed)
}

fn checked(readings: Vec<Reading>, count: u64, results: &[u64]) -> Result<Vec<Reading>> {
    let expected = (0..count).map(|item| super::hash::hash(&[item; 8]));
    if expected.eq(results.iter().copied()) {
        return Ok(readings);
    }
    Err(Failure::new("the results are not those of a serial run"))
}

fn processor() -> Result<BatchProcessor> {
    let config = BatchConfig::default().chunk_size(CHUNK).concurrency(CHUNKS);
    BatchProcessor::new(config).map_err(failed)
}

fn aqe(scale: Scale) -> Result<Vec<Reading>> {
    let count = scale.of(1_000_000);
    let (runtime, processor) = (runtime()?, processor()?);
    let stretch = Stretch::start();
    let operation = |item, _| async move { Ok::<_, Failure>(operate(item).await) };
    let run = runtime.spawn(processor.job("items").run(0..count, operation));
    let report = runtime.block_on(run).map_err(failed)?.map_err(failed)?;
    let readings = stretch.per_operation(count);
    checked(readings, count, report.results.as_slice())
}

fn aqe_no_results(scale: Scale) -> Result<Vec<Reading>> {
    let count = scale.of(1_000_000);
    let (runtime, processor) = (runtime()?, processor()?);
    let stretch = Stretch::start();
    let operation = |item, _| async move {
        std::hint::black_box(operate(item).await);
        Ok::<_, Failure>(())
    };
    let run = runtime.spawn(processor.job("items").run_each(0..count, operation));
    let report = runtime.block_on(run).map_err(failed)?.map_err(failed)?;
    if report.progress.done != count {
        return Err(Failure::new("an item was lost"));
    }
    Ok(stretch.per_operation(count))
}

fn buffer_unordered(scale: Scale) -> Result<Vec<Reading>> {
    let count = scale.of(1_000_000);
    let runtime = runtime()?;
    let stretch = Stretch::start();
    let run = runtime.spawn(async move {
        let mut results = vec![0; count as usize];
        let items = stream::iter(0..count).map(|item| async move { (item, operate(item).await) });
        let mut items = std::pin::pin!(items.buffer_unordered(CHUNK * CHUNKS));
        while let Some((item, result)) = items.next().await {
            results[item as usize] = result;
        }
        results
    });
    let results = runtime.block_on(run).map_err(failed)?;
    let readings = stretch.per_operation(count);
    checked(readings, count, &results)
}

fn joinset(scale: Scale) -> Result<Vec<Reading>> {
    let count = scale.of(1_000_000);
    let runtime = runtime()?;
    let stretch = Stretch::start();
    let run = runtime.spawn(async move {
        let mut results = vec![0; count as usize];
        let mut set = JoinSet::new();
        for item in 0..count {
            if set.len() >= CHUNK * CHUNKS
                && let Some(Ok((item, result))) = set.join_next().await
            {
                let at: u64 = item;
                results[at as usize] = result;
            }
            set.spawn(async move { (item, operate(item).await) });
        }
        while let Some(Ok((item, result))) = set.join_next().await {
            results[item as usize] = result;
        }
        results
    });
    let results = runtime.block_on(run).map_err(failed)?;
    let readings = stretch.per_operation(count);
    checked(readings, count, &results)
}
