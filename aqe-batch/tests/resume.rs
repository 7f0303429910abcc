//! Runs that end before their time and are begun again: by cancellation, by errors, by `kill -9`.

#![allow(
    clippy::unwrap_used,
    reason = "a panic fails the test, helpers included"
)]

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};

use aqe_batch::codec::Raw;
use aqe_batch::{
    BatchConfig, BatchProcessor, CancelToken, Checkpoint, CheckpointError, Decision, Stopped,
};

const INTERVAL: usize = 50;
const ITEMS: u64 = 3_000;

/// Tells the helper what to do: the log, the diary, and the form of the run.
const HELPER: &str = "RESUME_HELPER";

fn config() -> BatchConfig {
    BatchConfig::default()
        .chunk_size(7)
        .concurrency(3)
        .checkpoint_interval(INTERVAL)
        .memory_threshold(None)
        .error_threshold(None)
}

fn processor() -> BatchProcessor {
    BatchProcessor::new(config()).unwrap()
}

/// How the helper runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Threads,
    Iterator,
    Tasks,
}

/// What becomes of an item: most succeed, some are skipped, some fail each time.
fn operate(item: u64) -> Result<String, u64> {
    match item % 101 {
        100 | 50 => Err(item),
        // A little work of uneven length, so that chunks end out of order.
        n => Ok(format!(
            "{item}:{}",
            (0..n * 20).fold(item, |sum, n| sum.wrapping_mul(31).wrapping_add(n))
        )),
    }
}

fn decide(error: &u64, _: u32) -> Decision {
    if error % 101 == 50 {
        Decision::Skip
    } else {
        Decision::Fail
    }
}

/// Results by item, the items that failed, and how many were skipped.
type Came = (BTreeMap<u64, String>, Vec<u64>, u64);

/// One run to its end. Each item that starts is written into the diary first.
fn run(form: Form, log: &Path, diary: &Path) -> Came {
    let diary = fs::File::options()
        .append(true)
        .create(true)
        .open(diary)
        .unwrap();
    // One short write that appends: it is whole, or it is not there.
    let note = move |item: u64| (&diary).write_all(format!("{item}\n").as_bytes()).unwrap();
    let job = processor()
        .job("resume")
        .on_error(decide)
        .checkpoint_with(Checkpoint::file(log), Raw);
    let report = match form {
        Form::Threads => {
            let items: Vec<u64> = (0..ITEMS).collect();
            job.map_slice(&items, |item| {
                note(*item);
                operate(*item)
            })
        }
        Form::Iterator => job.map(0..ITEMS, |item| {
            note(*item);
            operate(*item)
        }),
        Form::Tasks => {
            let operation = move |item: u64, _| {
                note(item);
                async move {
                    if item.is_multiple_of(3) {
                        tokio::task::yield_now().await;
                    }
                    operate(item)
                }
            };
            tokio::runtime::Builder::new_multi_thread()
                .worker_threads(2)
                .enable_time()
                .build()
                .unwrap()
                .block_on(job.run(0..ITEMS, operation))
        }
    };
    let report = report.unwrap();
    assert_eq!(report.progress.done, ITEMS);
    let results = report
        .results
        .iter()
        .map(|(item, text)| (item, text.clone()));
    let failed = report.failed.iter().map(|failed| failed.item).collect();
    (results.collect(), failed, report.progress.skipped)
}

/// What a run to its end comes to, computed without one.
fn expected() -> Came {
    let results = (0..ITEMS).filter_map(|item| Some((item, operate(item).ok()?)));
    let failed = (0..ITEMS).filter(|item| item % 101 == 100);
    let skipped = (0..ITEMS).filter(|item| item % 101 == 50).count();
    (results.collect(), failed.collect(), skipped as u64)
}

fn lines(diary: &Path) -> Vec<u64> {
    let text = fs::read_to_string(diary).unwrap_or_default();
    text.lines().map(|line| line.parse().unwrap()).collect()
}

/// The process that is killed: runs to its end if nobody does.
fn help() -> bool {
    let Some(order) = std::env::var_os(HELPER) else {
        return false;
    };
    let order = order.into_string().unwrap();
    let mut words = order.split('|');
    let form = match words.next() {
        Some("Threads") => Form::Threads,
        Some("Iterator") => Form::Iterator,
        _ => Form::Tasks,
    };
    let [log, diary] = [words.next(), words.next()].map(|it| PathBuf::from(it.unwrap()));
    run(form, &log, &diary);
    true
}

#[test]
fn killed_at_any_moment_it_resumes_and_comes_to_the_same() {
    if help() {
        return;
    }
    let seed =
        std::env::var("AQE_SEED").map_or_else(|_| fastrand::u64(..), |it| it.parse().unwrap());
    println!("AQE_SEED={seed}");
    let mut chance = fastrand::Rng::with_seed(seed);
    let expected = expected();
    let folder = tempfile::tempdir().unwrap();
    let mut kills = 0;
    let mut round = 0;
    while kills < 210 {
        round += 1;
        let form = [Form::Threads, Form::Iterator, Form::Tasks][round % 3];
        let log = folder.path().join(format!("{round}.log"));
        let diary = folder.path().join(format!("{round}.diary"));
        let mut interruptions = 0;
        // Killed once or several times, each time when it has started some more items.
        while interruptions == 0 || chance.bool() {
            let until = lines(&diary).len() + chance.usize(0..1_200);
            interruptions += 1;
            kills += usize::from(kill_when(form, &log, &diary, until));
        }
        let came = run(form, &log, &diary);
        assert_eq!(came, expected, "{form:?} {log:?}");
        // Again: nothing but what failed is started.
        let before = lines(&diary).len();
        assert_eq!(run(form, &log, &diary), expected);
        let again = &lines(&diary)[before..];
        assert!(again.iter().all(|item| item % 101 == 100), "{again:?}");

        let repeated = lines(&diary)
            .iter()
            .filter(|item| *item % 101 != 100)
            .count() as u64
            - (ITEMS - expected.1.len() as u64);
        // What was finished and not handed over, and what ran: all that may be in flight.
        let bound = INTERVAL as u64 + 7 * 3;
        assert!(
            repeated <= bound * interruptions,
            "{repeated} after {interruptions}"
        );
    }
}

/// Starts a helper and kills it when the diary has so many lines; whether it was alive until then.
fn kill_when(form: Form, log: &Path, diary: &Path, until: usize) -> bool {
    let order = format!("{form:?}|{}|{}", log.display(), diary.display());
    let mut helper = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "killed_at_any_moment_it_resumes_and_comes_to_the_same",
        ])
        .env(HELPER, order)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let length = || fs::metadata(diary).map_or(0, |it| it.len());
    // A line has four or five bytes, mostly.
    let alive = loop {
        if helper.try_wait().unwrap().is_some() {
            break false;
        }
        if length() >= until as u64 * 5 {
            break true;
        }
        std::thread::yield_now();
    };
    helper.kill().unwrap();
    helper.wait().unwrap();
    alive
}

#[test]
fn a_cancelled_run_goes_on_where_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.log");
    let items: Vec<u64> = (0..1_000).collect();
    let started = AtomicU64::new(0);
    let mut restored = 0;
    let mut rounds = 0;
    let report = loop {
        rounds += 1;
        let token = CancelToken::new();
        let limit = started.load(Ordering::SeqCst) + 130;
        let job = processor()
            .job("cancel")
            .checkpoint(Checkpoint::file(&path));
        let result = job.cancel(&token).map_slice(&items, |item| {
            if started.fetch_add(1, Ordering::SeqCst) + 1 == limit {
                token.cancel();
            }
            Ok::<_, ()>(*item * 2)
        });
        match result {
            Ok(report) => break report,
            Err(error) => {
                assert!(matches!(error.stopped(), Stopped::Cancelled));
                let progress = error.report().progress;
                assert_eq!(progress.restored, restored);
                assert_eq!(error.report().results.len() as u64, progress.done);
                restored = progress.done;
            }
        }
    };
    assert!(rounds > 5);
    // Nothing was started twice: what was finished when it was cancelled is in the log.
    assert_eq!(started.load(Ordering::SeqCst), 1_000);
    assert!(
        report
            .results
            .iter()
            .all(|(item, value)| *value == item * 2)
    );
    assert_eq!(report.results.len(), 1_000);
}

#[test]
fn what_failed_is_tried_again_by_the_next_run_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.log");
    let run = |broken: bool| {
        let started = AtomicU64::new(0);
        let job = processor().job("again").checkpoint(Checkpoint::file(&path));
        let report = job.map(0..500_u64, |item| {
            started.fetch_add(1, Ordering::SeqCst);
            if broken && item % 100 == 7 {
                Err(*item)
            } else {
                Ok(item + 1)
            }
        });
        (report.unwrap(), started.into_inner())
    };
    let (report, started) = run(true);
    assert_eq!((report.failed.len(), started), (5, 500));
    let (report, started) = run(false);
    assert_eq!((report.failed.len(), started), (0, 5));
    assert!(report.is_complete() && report.results.len() == 500);
}

#[test]
fn slices_in_place_are_as_if_nothing_had_happened() {
    let folder = tempfile::tempdir().unwrap();
    let update = |items: &mut [u64], token: &CancelToken, at: u64| {
        let job = processor()
            .job("update")
            .checkpoint_with(Checkpoint::file(folder.path().join("update.log")), Raw);
        job.cancel(token).update_slice(items, |item| {
            if *item == at {
                token.cancel();
            }
            *item += 1_000_000;
            Ok::<_, ()>(())
        })
    };
    let into = |places: &mut [u64], token: &CancelToken, at: u64| {
        let items: Vec<u64> = (0..2_000).collect();
        let job = processor()
            .job("into")
            .checkpoint_with(Checkpoint::file(folder.path().join("into.log")), Raw);
        job.cancel(token).map_slice_into(&items, places, |item| {
            if *item == at {
                token.cancel();
            }
            Ok::<_, ()>(*item + 1_000_000)
        })
    };
    let fresh = || -> Vec<u64> { (0..2_000).collect() };
    let (mut items, mut places) = (fresh(), vec![0; 2_000]);
    update(&mut items, &CancelToken::new(), 777).unwrap_err();
    into(&mut places, &CancelToken::new(), 777).unwrap_err();
    // As after a crash: what was in memory is gone.
    let (mut items, mut places) = (fresh(), vec![0; 2_000]);
    update(&mut items, &CancelToken::new(), u64::MAX).unwrap();
    into(&mut places, &CancelToken::new(), u64::MAX).unwrap();
    assert_eq!(items, places);
    assert!(items.iter().zip(1_000_000..).all(|(item, n)| *item == n));
}

#[tokio::test]
async fn the_stream_of_a_resumed_run_is_that_of_a_whole_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.log");
    let operation = |item: u64, _| async move { operate(item) };
    let job = || {
        let job = processor().job("stream").on_error(decide);
        job.checkpoint(Checkpoint::file(&path))
    };
    let mut stream = job().stream(0..1_000_u64, operation).await.unwrap();
    for _ in 0..400 {
        assert!(!stream.next().await.unwrap().is_restored);
    }
    drop(stream);
    // The tasks of the dropped run are dropped by the runtime, some time.
    let mut stream = loop {
        match job().stream(0..1_000_u64, operation).await {
            Ok(stream) => break stream.ordered(),
            Err(error) => {
                let Stopped::Checkpoint(CheckpointError::Locked { .. }) = error.stopped() else {
                    panic!("{error}");
                };
                tokio::task::yield_now().await;
            }
        }
    };
    let (mut results, mut restored, mut last) = (BTreeMap::new(), 0, None);
    while let Some(outcome) = stream.next().await {
        assert!(last < Some(outcome.item));
        last = Some(outcome.item);
        restored += u64::from(outcome.is_restored);
        if let Ok(text) = outcome.result {
            results.insert(outcome.item, text);
        }
    }
    let progress = stream.finish().await.unwrap().progress;
    let expected = (0..1_000).filter_map(|item| Some((item, operate(item).ok()?)));
    assert_eq!(results, expected.collect());
    assert!(restored > 300 && restored <= progress.restored);
    assert_eq!((progress.done, progress.skipped), (1_000, 10));
}

#[test]
fn another_job_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let checkpoint = || Checkpoint::file(folder.path().join("run.log"));
    let items = [1_u64, 2, 3];
    let ok = |item: &u64| Ok::<_, ()>(*item);
    processor()
        .job("a")
        .checkpoint(checkpoint())
        .map_slice(&items, ok)
        .unwrap();
    let refused = [
        processor()
            .job("b")
            .checkpoint(checkpoint())
            .map_slice(&items, ok),
        processor()
            .job("a")
            .depends_on("v2")
            .checkpoint(checkpoint())
            .map_slice(&items, ok),
        processor()
            .job("a")
            .checkpoint(checkpoint())
            .map_slice(&items[..2], ok),
        processor()
            .job("a")
            .checkpoint_with(checkpoint(), Raw)
            .map_slice(&items, ok),
        // One that has another kind of source, and does not say how many items there are.
        processor().job("a").checkpoint(checkpoint()).map(items, ok),
    ];
    for error in refused.map(Result::unwrap_err) {
        let other = matches!(
            error.stopped(),
            Stopped::Checkpoint(CheckpointError::OtherJob { .. })
        );
        assert!(other && error.to_string().contains("`a`"), "{error}");
    }
    // Begun anew it is the other's.
    let anew = processor().job("b").checkpoint(checkpoint().restart());
    assert_eq!(anew.map_slice(&items, ok).unwrap().progress.restored, 0);
}

#[test]
fn a_source_that_became_shorter_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let run = |items: u64| {
        let checkpoint = Checkpoint::file(folder.path().join("run.log"));
        let job = processor().job("shorter").checkpoint(checkpoint);
        job.for_each(0..items, |_| Ok::<_, ()>(()))
    };
    run(100).unwrap();
    // More at the end are more to do.
    assert_eq!(run(150).unwrap().progress.restored, 100);
    let error = run(120).unwrap_err();
    let changed = matches!(
        error.stopped(),
        Stopped::Checkpoint(CheckpointError::SourceChanged { .. })
    );
    assert!(changed, "{error}");
}

#[test]
fn a_complete_run_can_remove_its_log() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.log");
    let run = |broken: bool| {
        let checkpoint = Checkpoint::file(&path).remove_when_complete();
        let job = processor().job("remove").checkpoint(checkpoint);
        let fail = move |item: &u64| {
            if broken && *item == 5 {
                Err(())
            } else {
                Ok(())
            }
        };
        job.for_each(0..10_u64, fail).unwrap()
    };
    run(true);
    assert!(path.exists());
    assert_eq!(run(false).progress.restored, 9);
    assert!(!path.exists());
}

#[test]
fn a_result_that_cannot_be_kept_ends_the_run() {
    let folder = tempfile::tempdir().unwrap();
    let checkpoint = Checkpoint::file(folder.path().join("run.log"));
    let huge = aqe_batch::log::MAX_RESULT_BYTES + 1;
    let job = processor().job("huge").checkpoint_with(checkpoint, Raw);
    let error = job.map(0..1_000_usize, |item| {
        Ok::<_, ()>(vec![0_u8; if *item == 500 { huge } else { 1 }])
    });
    let error = error.unwrap_err();
    let large = CheckpointError::ResultTooLarge {
        item: 500,
        bytes: huge,
        limit: huge - 1,
    };
    assert_eq!(error.to_string(), format!("checkpoint failed: {large}"));
    assert!(error.report().results.len() >= 500);
}

#[test]
fn a_disk_that_is_waited_for_after_each_item_holds_nobody_up_for_good() {
    let folder = tempfile::tempdir().unwrap();
    let checkpoint = || Checkpoint::file(folder.path().join("run.log")).sync_lag(1);
    let job = |config| BatchProcessor::new(config).unwrap().job("lag");
    let config = config().checkpoint_interval(1);
    let on_threads = job(config.clone()).checkpoint(checkpoint());
    let report = on_threads
        .for_each(0..300_u64, |_| Ok::<_, ()>(()))
        .unwrap();
    assert_eq!((report.progress.done, report.progress.restored), (300, 0));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_time()
        .build();
    let as_tasks = job(config).checkpoint(checkpoint());
    let run = as_tasks.run_each(0..600_u64, |_, _| async { Ok::<_, ()>(()) });
    let report = runtime.unwrap().block_on(run).unwrap();
    assert_eq!((report.progress.done, report.progress.restored), (600, 300));
}
