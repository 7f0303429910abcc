//! Whatever call of a log to its system fails, alone or with all that follow: what was handed over is kept, the error says
//! what happened, and the next run comes to what it would have come to.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::system::faults::{arm, calls, disarm};
use super::writer::COMPACT_FROM;
use super::*;
use crate::codec::Raw;
use crate::{BatchConfig, BatchError, BatchProcessor, BatchReport, Checkpoint, Stopped};

const ITEMS: u64 = 200;
const INTERVAL: usize = 10;
const CHUNK: usize = 3;
const CHUNKS: usize = 2;

/// Which calls fail when the n-th does.
const LASTING: [fn(u64) -> Range<u64>; 2] = [|nth| nth..nth + 1, |nth| nth..u64::MAX];

type Ran = Result<BatchReport<String, ()>, BatchError<String, ()>>;

/// One run on threads or as tasks, and how many items it has started.
fn run(as_tasks: bool, checkpoint: Checkpoint) -> (Ran, u64) {
    let config = BatchConfig::default()
        .chunk_size(CHUNK)
        .concurrency(CHUNKS)
        .checkpoint_interval(INTERVAL)
        .memory_threshold(None);
    let job = BatchProcessor::new(config).unwrap().job("faults");
    let job = job.checkpoint_with(checkpoint, Raw);
    let started = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&started);
    let operate = move |item: u64| {
        count.fetch_add(1, Ordering::Relaxed);
        Ok::<_, ()>(format!("result of {item}"))
    };
    let ran = if as_tasks {
        tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap()
            .block_on(job.run(0..ITEMS, move |item, _| {
                let result = operate(item);
                async { result }
            }))
    } else {
        job.map(0..ITEMS, |item| operate(*item))
    };
    let started = started.load(Ordering::Relaxed);
    (ran, started)
}

fn is_whole(report: &BatchReport<String, ()>) -> bool {
    let right = |(item, text): (u64, &String)| *text == format!("result of {item}");
    report.is_complete() && report.results.len() as u64 == ITEMS && report.results.iter().all(right)
}

/// Lets the n-th call of a run fail, and begins the run again; whether there was an n-th call.
fn fail(nth: u64, lasting: fn(u64) -> Range<u64>, as_tasks: bool) -> bool {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.log");
    arm(&path, lasting(nth));
    let (ran, started) = run(as_tasks, Checkpoint::file(&path));
    let was_hit = disarm(&path) > nth;
    let done = match ran {
        // Not every call is needed: zeros ahead of the records are a help.
        Ok(report) => {
            assert!(is_whole(&report));
            started
        }
        Err(error) => {
            assert!(was_hit, "{error}");
            let text = error.to_string();
            assert!(text.contains("run.log"), "{text}");
            let (stopped, report) = error.into_parts();
            let Stopped::Checkpoint(CheckpointError::Io { source, .. }) = stopped else {
                panic!("{stopped:?}");
            };
            assert_eq!(source.kind(), io::ErrorKind::StorageFull, "{text}");
            report.progress.done
        }
    };
    assert!(!folder.path().join("run.log.new").exists());

    let (again, started) = run(as_tasks, Checkpoint::file(&path));
    let again = again.unwrap();
    assert!(is_whole(&again), "{nth}");
    let restored = again.progress.restored;
    assert_eq!(started, ITEMS - restored);
    let lost = done.saturating_sub(restored);
    assert!(lost <= (INTERVAL + CHUNK * CHUNKS) as u64, "{nth}: {lost}");
    was_hit
}

#[test]
fn a_run_survives_the_failure_of_every_call() {
    for as_tasks in [false, true] {
        for lasting in LASTING {
            let mut nth = 0;
            while fail(nth, lasting, as_tasks) {
                nth += 1;
            }
            // Opening, a record for each interval, syncs: the loop has gone through all of them.
            assert!(nth > 25, "{nth}");
        }
    }
}

#[test]
fn a_log_that_cannot_be_removed_at_the_end_says_so_and_is_still_right() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.log");
    let checkpoint = || Checkpoint::file(&path).remove_when_complete();
    run(false, Checkpoint::file(&path)).0.unwrap();
    // Which call the removal is depends on who is first to sync, so each is tried, and all again if none was it.
    let mut told = 0;
    for nth in (0..12).cycle().take(600) {
        arm(&path, nth..nth + 1);
        let (ran, _) = run(false, checkpoint());
        disarm(&path);
        if ran.is_err_and(|error| error.to_string().contains("cannot remove")) {
            told += 1;
            assert!(path.exists());
            let (ran, started) = run(false, checkpoint());
            assert!(is_whole(&ran.unwrap()) && started == 0 && !path.exists());
        }
        run(false, Checkpoint::file(&path)).0.unwrap();
        if told == 2 {
            return;
        }
    }
    panic!("no removal has failed");
}

/// A log of which nearly everything could be left out, a few results included.
fn bloated() -> Vec<u8> {
    let mut bytes = JobIdentity::new("bloated").identity().encode();
    for item in 0..25_000_u64 {
        let mut contents = Vec::new();
        let place = (bytes.len() as u64, bytes.len() as u64);
        contents::write_ranges(std::slice::from_ref(&(item..item + 1)), &mut contents);
        frame::Frame::write(frame::Kind::Done, item, place, &contents, &mut bytes);
    }
    bytes
}

fn open(path: &Path) -> Result<(CheckpointLog, BTreeMap<u64, Vec<u8>>), CheckpointError> {
    let mut results = BTreeMap::new();
    let log = CheckpointLog::open(path, &JobIdentity::new("bloated"), |item, bytes| {
        results.insert(item, bytes.to_vec());
        Ok(())
    })?;
    Ok((log, results))
}

#[test]
fn a_log_that_cannot_be_written_again_goes_on_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.log");
    let bytes = bloated();
    for lasting in LASTING {
        for nth in 0.. {
            fs::write(&path, &bytes).unwrap();
            arm(&path, lasting(nth));
            let mut entry = Entry::new();
            entry.done(30_000);
            let appended = open(&path).and_then(|(log, _)| {
                assert_eq!(log.done(), 25_000);
                log.append(&mut entry)?;
                log.sync()
            });
            let was_hit = disarm(&path) > nth;
            if let Err(error) = &appended {
                let full = matches!(error, CheckpointError::Io { source, .. }
                    if source.kind() == io::ErrorKind::StorageFull);
                assert!(
                    full || matches!(error, CheckpointError::Broken { .. }),
                    "{error}"
                );
            }
            let (log, _) = open(&path).unwrap();
            assert_eq!(log.done() - u64::from(log.is_done(30_000)), 25_000, "{nth}");
            assert!(appended.is_err() || log.is_done(30_000), "{nth}");
            drop(log);
            assert!(
                fs::metadata(&path).unwrap().len() < 500_000,
                "compacted at last"
            );
            if !was_hit {
                assert!(nth > 10, "{nth}");
                break;
            }
        }
    }
}

/// How long a log with so many records of single items is.
fn length(items: u64) -> u64 {
    let record = {
        let (mut contents, mut bytes) = (Vec::new(), Vec::new());
        contents::write_ranges(std::slice::from_ref(&(1_000..1_001)), &mut contents);
        frame::Frame::write(frame::Kind::Done, 0, (0, 0), &contents, &mut bytes);
        bytes.len()
    };
    header::HEADER_LEN as u64 + items * record as u64
}

/// Which file has the name: another one after a compaction.
#[cfg(unix)]
fn file(path: &Path) -> u64 {
    std::os::unix::fs::MetadataExt::ino(&fs::metadata(path).unwrap())
}

/// A regression: the name of a new log had been given to it and could not be made durable, which was taken for "the old log
/// is still in its place". Everything that was appended from then on went to a file without a name.
#[cfg(unix)]
#[test]
fn what_is_appended_after_a_compaction_that_failed_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let mut failures = 0;
    for nth in 0.. {
        let path = folder.path().join(format!("{nth}.log"));
        let (log, _) = open(&path).unwrap();
        let first = file(&path);
        let is_compact = || file(&path) != first;
        let mut entry = Entry::new();
        // Every other item, so that each is a range of its own, until the log is about to be written again.
        let mut next = 0;
        let mut append = |log: &CheckpointLog| {
            entry.done(next * 2);
            next += 1;
            log.append(&mut entry).map(|()| next)
        };
        let mut taken = 0;
        while length(taken) < COMPACT_FROM - 300 {
            taken = append(&log).unwrap();
        }
        log.sync().unwrap();
        assert!(!is_compact(), "too early");
        arm(&path, nth..nth + 1);
        // Over the threshold. The log's thread compacts as soon as it has synced.
        let last = taken + 10;
        while let Ok(items) = append(&log)
            && items < last
        {
            taken = items;
        }
        while calls(&path) <= nth && !is_compact() {
            std::thread::yield_now();
        }
        while let Ok(items) = append(&log)
            && items < last + 10
        {
            taken = items;
        }
        failures += u64::from(log.sync().is_err());
        drop(log);
        let was_hit = disarm(&path) > nth;
        let (log, _) = open(&path).unwrap();
        let missing = (0..taken).find(|item| !log.is_done(item * 2));
        assert_eq!(missing, None, "call {nth}");
        if !was_hit {
            break;
        }
    }
    assert!(failures > 0);
}
