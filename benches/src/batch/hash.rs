//! A million items of 64 bytes, each hashed in some ten nanoseconds: what is left is the cost of sharing them out.

use std::hint::black_box;

use aqe_batch::{BatchConfig, BatchProcessor};
use futures_util::stream::FuturesUnordered;
use futures_util::{StreamExt, stream};
use rayon::prelude::*;
use tokio::task::JoinSet;
use xtask::{Failure, Result};

use super::{Entry, entry, failed};
use crate::measure::{Reading, Stretch};
use crate::rounds::Scale;

type Item = [u64; 8];

pub(super) const fn entries<const CHUNK: usize, const WORKERS: usize>() -> [Entry; 8] {
    [
        entry("aqe", aqe::<CHUNK, WORKERS>),
        entry("aqe-collected", aqe_collected::<CHUNK, WORKERS>),
        entry("two-threads-static", two_threads),
        entry("rayon-in-place", rayon_in_place::<WORKERS>),
        entry("rayon-par-chunks", rayon_par_chunks::<CHUNK, WORKERS>),
        entry("tokio-joinset", joinset::<CHUNK, WORKERS>),
        entry("buffer-unordered", buffer_unordered::<CHUNK, WORKERS>),
        entry(
            "buffer-unordered-spawn",
            buffer_unordered_spawn::<CHUNK, WORKERS>,
        ),
    ]
}

/// Multiply and fold, word by word: each step waits for the one before.
pub(super) fn hash(item: &Item) -> u64 {
    item.iter().fold(0x9E37_79B9_7F4A_7C15, |hash: u64, word| {
        let hash = (hash ^ word).wrapping_mul(0xFF51_AFD7_ED55_8CCD);
        hash ^ (hash >> 32)
    })
}

fn items(scale: Scale) -> Vec<Item> {
    let count = scale.of(1_000_000);
    (0..count)
        .map(|n| std::array::from_fn(|word| n * 8 + word as u64))
        .collect()
}

/// Checks the results against a serial run, outside of what is measured.
fn checked(readings: Vec<Reading>, items: &[Item], results: &[u64]) -> Result<Vec<Reading>> {
    if items.iter().map(hash).eq(results.iter().copied()) {
        return Ok(readings);
    }
    Err(Failure::new("the results are not those of a serial run"))
}

fn processor(chunk: usize, workers: usize) -> Result<BatchProcessor> {
    let config = BatchConfig::default()
        .chunk_size(chunk)
        .concurrency(workers);
    BatchProcessor::new(config).map_err(failed)
}

fn aqe<const CHUNK: usize, const WORKERS: usize>(scale: Scale) -> Result<Vec<Reading>> {
    let items = items(scale);
    let mut results = vec![0; items.len()];
    let processor = processor(CHUNK, WORKERS)?;
    let stretch = Stretch::start();
    let report = processor
        .job("hash")
        .progress(|progress| _ = black_box(progress.done))
        .map_slice_into(&items, &mut results, |item| Ok::<_, Failure>(hash(item)))
        .map_err(failed)?;
    let readings = stretch.per_operation(report.progress.done);
    checked(readings, &items, &results)
}

fn aqe_collected<const CHUNK: usize, const WORKERS: usize>(scale: Scale) -> Result<Vec<Reading>> {
    let items = items(scale);
    let processor = processor(CHUNK, WORKERS)?;
    let stretch = Stretch::start();
    let report = processor
        .job("hash")
        .progress(|progress| _ = black_box(progress.done))
        .map_slice(&items, |item| Ok::<_, Failure>(hash(item)))
        .map_err(failed)?;
    let readings = stretch.per_operation(report.progress.done);
    checked(readings, &items, report.results.as_slice())
}

fn two_threads(scale: Scale) -> Result<Vec<Reading>> {
    let items = items(scale);
    let mut results = vec![0; items.len()];
    let stretch = Stretch::start();
    let (left, right) = items.split_at(items.len() / 2);
    let (to_left, to_right) = results.split_at_mut(items.len() / 2);
    let each = |items: &[Item], results: &mut [u64]| {
        for (item, result) in items.iter().zip(results) {
            *result = hash(item);
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(|| each(left, to_left));
        scope.spawn(|| each(right, to_right));
    });
    let readings = stretch.per_operation(items.len() as u64);
    checked(readings, &items, &results)
}

/// The pool is there before the clock starts, as a program's global pool is.
fn pool(workers: usize) -> Result<rayon::ThreadPool> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(workers);
    let pool = pool.build().map_err(failed)?;
    pool.broadcast(|_| ());
    Ok(pool)
}

fn rayon_in_place<const WORKERS: usize>(scale: Scale) -> Result<Vec<Reading>> {
    let items = items(scale);
    let mut results = vec![0; items.len()];
    let pool = pool(WORKERS)?;
    let stretch = Stretch::start();
    pool.install(|| {
        let places = results.par_iter_mut();
        let pairs = items.par_iter().zip(places);
        pairs.for_each(|(item, result)| *result = hash(item));
    });
    let readings = stretch.per_operation(items.len() as u64);
    checked(readings, &items, &results)
}

fn rayon_par_chunks<const CHUNK: usize, const WORKERS: usize>(
    scale: Scale,
) -> Result<Vec<Reading>> {
    let items = items(scale);
    let pool = pool(WORKERS)?;
    let stretch = Stretch::start();
    let results = pool.install(|| {
        let chunks = items.par_chunks(CHUNK);
        let hashed = chunks.map(|chunk| chunk.iter().map(hash).collect::<Vec<_>>());
        hashed.collect::<Vec<_>>().concat()
    });
    let readings = stretch.per_operation(items.len() as u64);
    checked(readings, &items, &results)
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(failed)
}

/// Tasks own their items, so they share the whole list and have a range of it.
fn chunks(
    items: &std::sync::Arc<Vec<Item>>,
    chunk: usize,
) -> impl Iterator<Item = impl Future<Output = (usize, Vec<u64>)> + Send + 'static> + Send + 'static
{
    let items = std::sync::Arc::clone(items);
    (0..items.len()).step_by(chunk).map(move |start| {
        let items = std::sync::Arc::clone(&items);
        async move {
            let end = items.len().min(start + chunk);
            (start, items[start..end].iter().map(hash).collect())
        }
    })
}

fn joinset<const CHUNK: usize, const WORKERS: usize>(scale: Scale) -> Result<Vec<Reading>> {
    let items = std::sync::Arc::new(items(scale));
    let mut results = vec![0; items.len()];
    let runtime = runtime()?;
    let tasks = chunks(&items, CHUNK);
    let count = items.len();
    let stretch = Stretch::start();
    let results = runtime.block_on(async move {
        tokio::spawn(async move {
            let mut set = JoinSet::new();
            let mut put = |(start, hashed): (usize, Vec<u64>)| {
                results[start..start + hashed.len()].copy_from_slice(&hashed);
            };
            for task in tasks {
                if set.len() >= WORKERS
                    && let Some(Ok(done)) = set.join_next().await
                {
                    put(done);
                }
                set.spawn(task);
            }
            while let Some(Ok(done)) = set.join_next().await {
                put(done);
            }
            results
        })
        .await
    });
    let readings = stretch.per_operation(count as u64);
    checked(readings, &items, &results.map_err(failed)?)
}

fn buffer_unordered<const CHUNK: usize, const WORKERS: usize>(
    scale: Scale,
) -> Result<Vec<Reading>> {
    let items = std::sync::Arc::new(items(scale));
    let mut results = vec![0; items.len()];
    let runtime = runtime()?;
    let tasks = stream::iter(chunks(&items, CHUNK)).buffer_unordered(WORKERS);
    let stretch = Stretch::start();
    let results = runtime.block_on(async move {
        tokio::spawn(async move {
            let mut tasks = std::pin::pin!(tasks);
            while let Some((start, hashed)) = tasks.next().await {
                results[start..start + hashed.len()].copy_from_slice(&hashed);
            }
            results
        })
        .await
    });
    let readings = stretch.per_operation(items.len() as u64);
    checked(readings, &items, &results.map_err(failed)?)
}

fn buffer_unordered_spawn<const CHUNK: usize, const WORKERS: usize>(
    scale: Scale,
) -> Result<Vec<Reading>> {
    let items = std::sync::Arc::new(items(scale));
    let mut results = vec![0; items.len()];
    let runtime = runtime()?;
    let tasks = chunks(&items, CHUNK);
    let stretch = Stretch::start();
    let results = runtime.block_on(async move {
        tokio::spawn(async move {
            // What `buffer_unordered` over spawned tasks does, written out: the compiler cannot prove the short form.
            let mut running = FuturesUnordered::new();
            let mut tasks = tasks.map(tokio::spawn).fuse();
            running.extend(tasks.by_ref().take(WORKERS));
            while let Some(Ok((start, hashed))) = running.next().await {
                let hashed: Vec<u64> = hashed;
                results[start..start + hashed.len()].copy_from_slice(&hashed);
                running.extend(tasks.next());
            }
            results
        })
        .await
    });
    let readings = stretch.per_operation(items.len() as u64);
    checked(readings, &items, &results.map_err(failed)?)
}
