//! A disk without room: what was recorded before is kept, the error says what happened, and when there is room again the run
//! goes on and comes to what it would have come to.
//!
//! Each scenario is a process of its own, since limits and mounts are those of processes.

#![cfg(unix)]
#![allow(
    clippy::unwrap_used,
    reason = "a panic fails the test, helpers included"
)]

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use aqe_batch::codec::Raw;
use aqe_batch::{
    BatchConfig, BatchError, BatchProcessor, BatchReport, Checkpoint, CheckpointError, Stopped,
};

const ITEMS: u64 = 20_000;
const INTERVAL: usize = 50;
const CHUNK: usize = 7;
const CHUNKS: usize = 3;

/// Tells a process of this program what to do, and where.
const ROLE: &str = "FULL_DISK_ROLE";
const FOLDER: &str = "FULL_DISK_FOLDER";

/// How a run is begun.
#[derive(Clone, Copy, Debug)]
enum Form {
    Slice,
    Iterator,
    Tasks,
}

const FORMS: [Form; 3] = [Form::Slice, Form::Iterator, Form::Tasks];

/// Results of all items make a log of two and a half mebibytes.
fn result(item: u64) -> String {
    format!("{item:0120}")
}

type Ran = Result<BatchReport<String, ()>, BatchError<String, ()>>;

/// One run, and how many items it has started.
fn run(form: Form, log: &Path) -> (Ran, u64) {
    let config = BatchConfig::default()
        .chunk_size(CHUNK)
        .concurrency(CHUNKS)
        .checkpoint_interval(INTERVAL)
        .memory_threshold(None);
    let processor = BatchProcessor::new(config).unwrap();
    let job = processor
        .job("full disk")
        .checkpoint_with(Checkpoint::file(log), Raw);
    let started = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&started);
    let operate = move |item: u64| {
        count.fetch_add(1, Ordering::Relaxed);
        Ok::<_, ()>(result(item))
    };
    let ran = match form {
        Form::Slice => {
            let items: Vec<u64> = (0..ITEMS).collect();
            job.map_slice(&items, |item| operate(*item))
        }
        Form::Iterator => job.map(0..ITEMS, |item| operate(*item)),
        Form::Tasks => tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_time()
            .build()
            .unwrap()
            .block_on(job.run(0..ITEMS, move |item, _| {
                let result = operate(item);
                async { result }
            })),
    };
    let started = started.load(Ordering::Relaxed);
    (ran, started)
}

/// Checks the error of a run that found no room, and returns what it had done.
fn stopped(ran: Ran, log: &Path) -> (u64, io::Error) {
    let (stopped, report) = ran.unwrap_err().into_parts();
    let text = stopped.to_string();
    assert!(text.contains(&log.display().to_string()), "{text}");
    assert!(text.starts_with("checkpoint failed: cannot "), "{text}");
    let Stopped::Checkpoint(CheckpointError::Io { source, .. }) = stopped else {
        panic!("{stopped:?}");
    };
    // What is in the report is right, recorded or not.
    for (item, text) in report.results.iter() {
        assert_eq!(*text, result(item));
    }
    (report.progress.done, source)
}

/// Runs to the end and compares with an uninterrupted run. `done` is what earlier runs had done, each of which may have lost
/// what was not yet handed over and what was in flight.
fn finish(form: Form, log: &Path, done: u64, interruptions: u64) {
    let (ran, started) = run(form, log);
    let report = ran.unwrap();
    assert!(report.is_complete());
    let expected: BTreeMap<u64, String> = (0..ITEMS).map(|item| (item, result(item))).collect();
    let came = report.results.iter();
    let came: BTreeMap<u64, String> = came.map(|(item, text)| (item, text.clone())).collect();
    assert!(came == expected, "{form:?}");
    assert_eq!(started, ITEMS - report.progress.restored);
    let lost = done.saturating_sub(report.progress.restored);
    let bound = (INTERVAL + CHUNK * CHUNKS) as u64 * interruptions;
    assert!(lost <= bound, "{form:?}: {lost} of {done} are lost");
}

fn role() -> Option<(String, PathBuf)> {
    let role = std::env::var(ROLE).ok()?;
    Some((role, PathBuf::from(std::env::var_os(FOLDER)?)))
}

/// Runs `test` of this program again, in a shell that has done `before` to itself, with a role.
fn again(shell: &[&str], before: &str, test: &str, role: &str, folder: &Path) -> Output {
    let mut command = Command::new(shell[0]);
    command.args(&shell[1..]);
    let script = format!("{before} exec \"$0\" \"$@\"");
    command
        .args(["-c", &script])
        .arg(std::env::current_exe().unwrap());
    command.args([test, "--exact", "--nocapture", "--test-threads=1"]);
    command.env(ROLE, role).env(FOLDER, folder);
    command.output().unwrap()
}

fn check(output: &Output) {
    let (out, err) = (&output.stdout, &output.stderr);
    let said = [out, err].map(|bytes| String::from_utf8_lossy(bytes));
    assert!(output.status.success(), "{}\n{}", said[0], said[1]);
    assert!(said[0].contains("1 passed"), "{}", said[0]);
}

/// A limit on the size of files lets a write end in the middle, and every later one fail, as a full disk does.
#[test]
fn a_log_that_may_not_grow_keeps_what_it_has_and_goes_on_when_it_may() {
    const NAME: &str = "a_log_that_may_not_grow_keeps_what_it_has_and_goes_on_when_it_may";
    if let Some((role, folder)) = role() {
        let form = FORMS[role.parse::<usize>().unwrap()];
        let log = folder.join("run.log");
        let (ran, _) = run(form, &log);
        let (done, source) = stopped(ran, &log);
        assert_eq!(source.kind(), io::ErrorKind::FileTooLarge, "{source}");
        println!("done={done}.");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    for (at, form) in FORMS.into_iter().enumerate() {
        // In blocks of 512 bytes: nothing at all, less than a new log, a new log and no more, and then some.
        for blocks in [0, 100, 512, 513, 1_500, 3_000] {
            let home = folder.path().join(format!("{at}-{blocks}"));
            fs::create_dir(&home).unwrap();
            let log = home.join("run.log");
            let limit = format!("trap '' XFSZ; ulimit -S -f {blocks};");
            let limited = again(&["sh"], &limit, NAME, &at.to_string(), &home);
            check(&limited);
            let told = String::from_utf8_lossy(&limited.stdout);
            let (_, done) = told.split_once("done=").unwrap();
            let done: u64 = done.split_once('.').unwrap().0.parse().unwrap();
            assert_eq!(done > 0, blocks >= 512, "{form:?} {blocks}: {done}");
            assert_eq!(log.exists(), blocks >= 512);
            let names = fs::read_dir(&home)
                .unwrap()
                .map(|it| it.unwrap().file_name());
            assert!(
                names
                    .filter(|name| name.to_string_lossy().ends_with(".new"))
                    .count()
                    == 0
            );
            finish(form, &log, done, 1);
        }
    }
}

/// A file system in memory that has no room for the whole log, and later has.
#[cfg(target_os = "linux")]
#[test]
fn a_file_system_that_is_full_keeps_what_it_has_and_the_run_goes_on_when_there_is_room() {
    const NAME: &str =
        "a_file_system_that_is_full_keeps_what_it_has_and_the_run_goes_on_when_there_is_room";
    if let Some((_, disk)) = role() {
        // In the namespace of this process alone.
        FORMS
            .into_iter()
            .for_each(|form| fill_and_free(form, &disk));
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let unshare = ["unshare", "--user", "--map-root-user", "--mount", "sh"];
    let mount = "mount -t tmpfs -o size=6m aqe-test \"$FULL_DISK_FOLDER\"";
    let possible = Command::new(unshare[0])
        .args(&unshare[1..])
        .args(["-c", mount])
        .env(FOLDER, folder.path())
        .output();
    match possible {
        Ok(output) if output.status.success() => {}
        refused => {
            // What the other test shows about limits holds here as well; this one needs a mount of its own.
            println!("skipped: no file system can be mounted here: {refused:?}");
            return;
        }
    }
    check(&again(
        &unshare,
        &format!("{mount} &&"),
        NAME,
        "disk",
        folder.path(),
    ));
}

#[cfg(target_os = "linux")]
fn fill_and_free(form: Form, disk: &Path) {
    let (log, ballast) = (disk.join("run.log"), disk.join("ballast"));
    // Nothing fits any more, not even a new log.
    fill(&ballast, 0);
    let (ran, started) = run(form, &log);
    let (done, source) = stopped(ran, &log);
    assert_eq!(source.kind(), io::ErrorKind::StorageFull, "{source}");
    assert_eq!((done, started, log.exists()), (0, 0, false));

    // Room for a new log and some more; twice, as the second run finds an old log and no room.
    fill(&ballast, 900 << 10);
    let (ran, _) = run(form, &log);
    let (done, source) = stopped(ran, &log);
    assert_eq!(source.kind(), io::ErrorKind::StorageFull, "{source}");
    assert!(done > 1_000 && done < ITEMS, "{done}");
    let (ran, started) = run(form, &log);
    let (again, source) = stopped(ran, &log);
    assert_eq!(source.kind(), io::ErrorKind::StorageFull, "{source}");
    let bound = (INTERVAL + CHUNK * CHUNKS) as u64;
    assert!(again + bound >= done, "{again} after {done}");
    assert!(started < ITEMS - done + bound, "{started}");

    fs::remove_file(&ballast).unwrap();
    finish(form, &log, done.max(again), 2);
    fs::remove_file(&log).unwrap();
}

/// Fills the disk but for so many bytes.
#[cfg(target_os = "linux")]
fn fill(ballast: &Path, but: u64) {
    let mut file = File::create(ballast).unwrap();
    let block = [1; 4_096];
    while file.write_all(&block).is_ok() {}
    let len = file.metadata().unwrap().len();
    file.set_len(len - but.min(len)).unwrap();
}
