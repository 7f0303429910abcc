//! What it costs to be able to resume, to resume, and to go through very many items.

use std::hint::black_box;

use aqe_batch::codec::Raw;
use aqe_batch::log::{CheckpointLog, Entry as LogEntry, JobIdentity};
use aqe_batch::{BatchConfig, BatchProcessor, Checkpoint};
use xtask::{Failure, Result};

use super::{Entry, entry, failed, folder};
use crate::measure::{Reading, Stretch};
use crate::rounds::Scale;

/// With a durable checkpoint each hundred items, and without one.
pub(super) const ITEMS_OF_2_US: &[Entry] = &[
    entry("aqe", |scale| items_of_2_us(scale, true)),
    entry("aqe-no-checkpoint", |scale| items_of_2_us(scale, false)),
];

pub(super) const RESUME: &[Entry] = &[entry("aqe", resume)];

pub(super) const STREAMED_1M: &[Entry] = &[entry("aqe", |scale| streamed(scale.of(1_000_000)))];

pub(super) const STREAMED_10M: &[Entry] = &[entry("aqe", |scale| streamed(scale.of(10_000_000)))];

fn processor() -> Result<BatchProcessor> {
    let config = BatchConfig::default().concurrency(2);
    BatchProcessor::new(config).map_err(failed)
}

/// Two microseconds or a little more.
fn compute(item: u64) -> u64 {
    (0..200).fold(item, |sum, n| {
        super::hash::hash(&[black_box(sum), n, 0, 0, 0, 0, 0, 0])
    })
}

fn items_of_2_us(scale: Scale, checkpointed: bool) -> Result<Vec<Reading>> {
    let items: Vec<u64> = (0..scale.of(100_000)).collect();
    let mut results = vec![0; items.len()];
    let folder = folder()?;
    let job = processor()?.job("compute");
    let operation = |item: &u64| Ok::<_, Failure>(compute(*item));
    let stretch = Stretch::start();
    let report = if checkpointed {
        let checkpoint = Checkpoint::file(folder.path().join("log"));
        job.checkpoint_with(checkpoint, Raw)
            .map_slice_into(&items, &mut results, operation)
    } else {
        job.map_slice_into(&items, &mut results, operation)
    };
    let report = report.map_err(failed)?;
    Ok(stretch.per_operation(report.progress.done))
}

/// Opens a log of a million items with a result of eight bytes each, and reads every result.
fn resume(scale: Scale) -> Result<Vec<Reading>> {
    let folder = folder()?;
    let path = folder.path().join("log");
    let items = scale.of(1_000_000);
    let job = JobIdentity::new("bench");
    let log = CheckpointLog::open(&path, &job, |_, _| Ok(())).map_err(failed)?;
    let mut entry = LogEntry::new();
    for item in 0..items {
        let write = |out: &mut Vec<u8>| {
            out.extend_from_slice(&item.to_le_bytes());
            Ok(())
        };
        entry.result(item, write).map_err(failed)?;
        if entry.items() == 100 {
            log.append(&mut entry).map_err(failed)?;
        }
    }
    drop(log);
    let mut results = Vec::new();
    let stretch = Stretch::start();
    let log = CheckpointLog::open(&path, &job, |item, bytes| {
        results.push((item, bytes.first_chunk::<8>().copied()));
        Ok(())
    });
    let log = log.map_err(failed)?;
    let readings = stretch.per_operation(1);
    if log.done() != items || results.len() as u64 != items {
        return Err(Failure::new("the log has lost an item"));
    }
    Ok(readings)
}

/// Goes through items that nobody keeps.
fn streamed(items: u64) -> Result<Vec<Reading>> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(failed)?;
    let folder = folder()?;
    let checkpoint = Checkpoint::file(folder.path().join("log"));
    let job = processor()?.job("stream").checkpoint(checkpoint);
    let operation = |item: Vec<u64>, _| async move {
        black_box(item.iter().sum::<u64>());
        Ok::<_, Failure>(())
    };
    let source = (0..items).map(|item| vec![item; 8]);
    let stretch = Stretch::start();
    let run = runtime.spawn(job.run_each(source, operation));
    let report = runtime.block_on(run).map_err(failed)?.map_err(failed)?;
    if report.progress.done != items {
        return Err(Failure::new("an item was lost"));
    }
    Ok(stretch.per_operation(items))
}
