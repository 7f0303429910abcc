//! Files: done once for each content, and again when they change.

#![allow(
    clippy::unwrap_used,
    reason = "a panic fails the test, helpers included"
)]

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use aqe_batch::files::FilesError;
use aqe_batch::{
    BatchConfig, BatchProcessor, FileOperation, FileOptions, FileOutcome, FilesReport, ItemError,
    Stopped, find_files,
};

/// A folder with files, and an operation that counts how often it runs.
struct Place {
    folder: tempfile::TempDir,
    ran: Arc<AtomicUsize>,
}

impl Place {
    fn new() -> Self {
        let place = Self {
            folder: tempfile::tempdir().unwrap(),
            ran: Arc::default(),
        };
        for n in 0..30 {
            place.write(n, &format!("{}\n", "line\n".repeat(n)));
        }
        place
    }

    fn write(&self, n: usize, text: &str) {
        fs::write(self.folder.path().join(format!("{n:02}.txt")), text).unwrap();
    }

    fn files(&self) -> Vec<PathBuf> {
        find_files([format!("{}/*.txt", self.folder.path().display())]).unwrap()
    }

    fn options(&self) -> FileOptions {
        FileOptions::default().cache_folder(self.folder.path().join("cache"))
    }

    fn lines(&self, version: &str) -> FileOperation {
        let ran = Arc::clone(&self.ran);
        FileOperation::new("lines", version, move |path| {
            ran.fetch_add(1, Ordering::SeqCst);
            fs::read_to_string(path).map(|text| text.lines().count())
        })
    }

    /// The report of a run, and how many files the operation was applied to.
    fn run(&self, version: &str, options: &FileOptions) -> (FilesReport, usize) {
        self.ran.store(0, Ordering::SeqCst);
        let processor = BatchProcessor::new(BatchConfig::default()).unwrap();
        let files = self.files();
        let report = processor.job("lines");
        let report = report.process_files(&files, &self.lines(version), options);
        (report.unwrap(), self.ran.load(Ordering::SeqCst))
    }
}

fn values(report: &FilesReport) -> Vec<u64> {
    let files = report.files.iter();
    files
        .map(|it| it.outcome.value().unwrap().as_u64().unwrap())
        .collect()
}

#[test]
fn a_result_is_kept_until_the_content_or_the_operation_changes() {
    let place = Place::new();
    let options = place.options().cache_results(true);
    let expected: Vec<u64> = (1..=30).collect();
    let (report, ran) = place.run("1", &options);
    assert_eq!((values(&report), ran), (expected.clone(), 30));
    let (report, ran) = place.run("1", &options);
    assert_eq!((values(&report), ran), (expected.clone(), 0));
    let cached = |it: &aqe_batch::files::FileReport| matches!(it.outcome, FileOutcome::Cached(_));
    assert!(report.files.iter().all(cached));

    // One changes, one gets what another has.
    place.write(3, "a\nb\n");
    place.write(5, &format!("{}\n", "line\n".repeat(20)));
    let (report, ran) = place.run("1", &options);
    assert_eq!((values(&report)[3], values(&report)[5], ran), (2, 21, 1));
    assert!(matches!(report.files[3].outcome, FileOutcome::Done(_)));

    // One after the other: side by side, neither of the two would find the result of the other.
    let (_, ran) = place.run("2", &options.clone().parallel(false));
    assert_eq!(ran, 29, "two files have one content");
    let (_, ran) = place.run("1", &place.options());
    assert_eq!(
        ran, 30,
        "nothing is taken from a cache that is not asked for"
    );
}

#[test]
fn what_is_done_is_skipped_and_what_changed_is_done() {
    let place = Place::new();
    let options = place.options().skip_existing(true).parallel(false);
    assert_eq!(place.run("1", &options).1, 30);
    place.write(7, "changed");
    let (report, ran) = place.run("1", &options);
    assert_eq!(ran, 1);
    for (n, file) in report.files.iter().enumerate() {
        match &file.outcome {
            FileOutcome::Done(value) => assert_eq!((n, value.as_u64()), (7, Some(1))),
            outcome => assert!(matches!(outcome, FileOutcome::Skipped)),
        }
    }
    assert_eq!(report.progress.done, 30);
}

#[test]
fn a_run_that_was_ended_goes_on_with_what_is_left() {
    let place = Place::new();
    let options = place.options().cache_results(true);
    let token = aqe_batch::CancelToken::new();
    let (stopping, ran) = (token.clone(), Arc::new(AtomicUsize::new(0)));
    let counting = Arc::clone(&ran);
    let operation = FileOperation::new("lines", "1", move |path| {
        if counting.fetch_add(1, Ordering::SeqCst) + 1 == 12 {
            stopping.cancel();
        }
        fs::read_to_string(path).map(|text| text.lines().count())
    });
    let config = BatchConfig::default().chunk_size(2);
    let job = BatchProcessor::new(config)
        .unwrap()
        .job("lines")
        .cancel(&token);
    let error = job
        .process_files(&place.files(), &operation, &options)
        .unwrap_err();
    let FilesError::Stopped {
        stopped: Stopped::Cancelled,
        report,
    } = error
    else {
        panic!("{error}");
    };
    let done = report
        .files
        .iter()
        .filter(|it| it.outcome.value().is_some())
        .count();
    let not_run = report
        .files
        .iter()
        .filter(|it| matches!(it.outcome, FileOutcome::NotRun))
        .count();
    assert_eq!((done, done + not_run), (ran.load(Ordering::SeqCst), 30));
    let (report, ran) = place.run("1", &options);
    assert_eq!((values(&report).len(), ran), (30, 30 - done));
}

#[test]
fn files_fail_alone_and_are_named() {
    let place = Place::new();
    let mut files = place.files();
    files.insert(2, place.folder.path().join("missing.txt"));
    fs::write(place.folder.path().join("00.txt"), [0xFF, 0xFE]).unwrap();
    for options in [place.options(), place.options().cache_results(true)] {
        let processor = BatchProcessor::new(BatchConfig::default()).unwrap();
        let report = processor
            .job("lines")
            .process_files(&files, &place.lines("1"), &options);
        let report = report.unwrap();
        let failed: Vec<_> = report
            .files
            .iter()
            .filter(|it| it.outcome.value().is_none())
            .collect();
        assert_eq!(failed.len(), 2);
        assert!(failed[0].path.ends_with("00.txt") && failed[1].path.ends_with("missing.txt"));
        for file in failed {
            assert!(matches!(
                &file.outcome,
                FileOutcome::Failed(ItemError::Failed { attempts: 1, .. })
            ));
        }
    }
}

#[test]
fn results_that_cannot_be_kept_are_counted_and_there_all_the_same() {
    let place = Place::new();
    let small = place.options().cache_results(true).max_cache_bytes(64);
    let (report, ran) = place.run("1", &small);
    assert_eq!((values(&report).len(), ran, report.not_kept), (30, 30, 30));

    // Each folder that the cache may want to make is a file.
    let full = place.folder.path().join("full");
    fs::create_dir(&full).unwrap();
    for first in 0..=255 {
        fs::write(full.join(format!("{first:02x}")), "").unwrap();
    }
    let full = place.options().cache_results(true).cache_folder(full);
    let (report, ran) = place.run("1", &full);
    assert_eq!((values(&report).len(), ran, report.not_kept), (30, 30, 30));
    let (report, _) = place.run("1", &place.options().cache_results(true));
    assert_eq!(report.not_kept, 0);
}

#[test]
fn bytes_are_counted_and_a_cache_that_cannot_be_is_an_error() {
    let place = Place::new();
    let (report, _) = place.run("1", &place.options().cache_results(true));
    let bytes: u64 = place
        .files()
        .iter()
        .map(|it| fs::metadata(it).unwrap().len())
        .sum();
    assert_eq!(report.progress.bytes, bytes);

    let options = FileOptions::default()
        .cache_results(true)
        .cache_folder(&place.files()[0]);
    let processor = BatchProcessor::new(BatchConfig::default()).unwrap();
    let error = processor
        .job("x")
        .process_files(&place.files(), &place.lines("1"), &options);
    let error = error.unwrap_err();
    assert!(matches!(error, FilesError::Cache { .. }) && error.to_string().contains("00.txt"));
}
