//! Runs that are ended in the middle.
//!
//! A run is held at a file by a pipe in the place where the kept result of that file would be: the program waits in the
//! attempt to open it until this process opens the other end, and then this process knows where it is.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::os::fd::{FromRawFd, OwnedFd};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{Place, outcomes};

/// Only what hangs takes longer.
const LIMIT: Duration = Duration::from_secs(60);

const FILES: usize = 9;

/// The file, from 0, at which the run is held.
const AT: usize = 5;

/// Different reports, each a real one with a line more.
fn place() -> Place {
    let place = Place::new();
    for number in 0..FILES {
        let text = format!("SF:{number}.c\nDA:7,{number}\nend_of_record\n");
        let text = Place::real("c/lcov.info") + &text;
        place.write(&format!("many/{number}.info"), &text);
    }
    place
}

const ALL: &str = "many/*.info --concurrency 1 --set batch.chunkSize=1";

/// The files with results, in the cache.
fn kept(place: &Place) -> Vec<PathBuf> {
    let folders = fs::read_dir(place.path(".aqe/batch-cache")).unwrap();
    let folders = folders
        .map(|it| it.unwrap().path())
        .filter(|it| it.is_dir());
    let files = folders.flat_map(|folder| fs::read_dir(folder).unwrap());
    files.map(|it| it.unwrap().path()).collect()
}

/// A run that has come to the file and waits.
struct Held {
    child: Child,
    pipe: Option<File>,
    path: PathBuf,
}

impl Held {
    fn start(place: &Place, mut command: Command) -> Self {
        let ran = place.run(&format!("many/{AT}.info"));
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        let [path] = &kept(place)[..] else {
            panic!("one result is kept");
        };
        let path = path.clone();
        fs::remove_file(&path).unwrap();
        let made = Command::new("mkfifo").arg(&path).status().unwrap();
        assert!(made.success());
        let child = command.spawn().unwrap();
        drop(command);
        let (opened, pipe) = channel();
        let other_end = path.clone();
        thread::spawn(move || opened.send(File::options().write(true).open(other_end)));
        let pipe = pipe.recv_timeout(LIMIT).expect("the run comes to the file");
        Self {
            child,
            pipe: Some(pipe.unwrap()),
            path,
        }
    }

    /// Lets the run go on: what it finds is nothing, and not what it would have kept.
    fn release(&mut self) {
        self.pipe = None;
    }

    fn signal(&self, number: i32) {
        let process = self.child.id().try_into().unwrap();
        // SAFETY: two numbers; the process has not been waited for, so its number is its own.
        assert_eq!(unsafe { libc::kill(process, number) }, 0);
    }
}

impl Drop for Held {
    /// A test that failed leaves nothing behind; of one that passed, the program has ended.
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What the run prints to standard error, as it comes.
fn lines(child: &mut Child) -> Receiver<String> {
    let stderr = child.stderr.take().unwrap();
    let (line, lines) = channel();
    thread::spawn(move || {
        for read in BufReader::new(stderr).lines() {
            let _ = line.send(read.unwrap());
        }
    });
    lines
}

/// The next line, or nothing when there are no more.
fn next(lines: &Receiver<String>) -> Option<String> {
    match lines.recv_timeout(LIMIT) {
        Ok(line) => Some(line),
        Err(RecvTimeoutError::Disconnected) => None,
        Err(RecvTimeoutError::Timeout) => panic!("it hangs"),
    }
}

/// The run again, beside one that was never interrupted; how many files it did not do again.
fn resume(place: &Place) -> usize {
    let again = place.document(ALL);
    let (cached, done) = (outcomes(&again, "cached"), outcomes(&again, "done"));
    assert_eq!(cached + done, FILES);
    let uninterrupted = place.document(&format!("{ALL} --no-cache"));
    assert_eq!(again["summary"], uninterrupted["summary"]);
    cached
}

#[test]
fn a_run_that_is_killed_does_only_what_is_left_when_it_is_started_again() {
    let place = place();
    let mut held = Held::start(&place, place.command(ALL));
    held.child.kill().unwrap();
    held.child.wait().unwrap();
    fs::remove_file(&held.path).unwrap();
    assert_eq!(kept(&place).len(), AT);
    assert_eq!(resume(&place), AT);
}

#[test]
fn ctrl_c_finishes_the_file_keeps_what_is_done_and_ends_with_130() {
    let place = place();
    let mut command = place.command(ALL);
    command
        .arg("--json")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut held = Held::start(&place, command);
    let lines = lines(&mut held.child);
    held.signal(libc::SIGINT);
    // When this is said, the run is cancelled.
    let said = next(&lines).unwrap();
    assert!(said.starts_with("interrupted; finishing"), "{said}");
    held.release();
    let mut document = String::new();
    let mut stdout = held.child.stdout.take().unwrap();
    stdout.read_to_string(&mut document).unwrap();
    assert_eq!(held.child.wait().unwrap().code(), Some(130));
    assert_eq!(
        lines.iter().collect::<Vec<_>>(),
        [format!(
            "interrupted; {} of {FILES} files were processed; the same command goes on from there",
            AT + 1
        )]
    );
    let document: Value = serde_json::from_str(&document).unwrap();
    assert_eq!(document["stopped"], "cancelled");
    assert_eq!(outcomes(&document, "not-run"), FILES - AT - 1);
    assert_eq!(resume(&place), AT + 1);
}

#[test]
fn a_second_ctrl_c_does_not_wait_for_anything() {
    let place = place();
    let mut command = place.command(ALL);
    command.stderr(Stdio::piped());
    let mut held = Held::start(&place, command);
    let lines = lines(&mut held.child);
    held.signal(libc::SIGTERM);
    next(&lines).unwrap();
    held.signal(libc::SIGINT);
    // What it may print before is not of interest; the other end of the pipe is gone when it is.
    while let Some(line) = next(&lines) {
        assert!(line.starts_with("interrupted"), "{line}");
    }
    let status = held.child.wait().unwrap();
    let signal = std::os::unix::process::ExitStatusExt::signal(&status);
    assert_eq!(signal, Some(libc::SIGINT));
    fs::remove_file(&held.path).unwrap();
    assert_eq!(resume(&place), AT);
}

fn open_terminal() -> (File, OwnedFd) {
    let (mut master, mut slave) = (0, 0);
    let mut size = libc::winsize {
        ws_row: 24,
        ws_col: 100,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    // SAFETY: both descriptors and the size are places of ours, and a name and settings are not asked for.
    let opened = unsafe {
        libc::openpty(
            &raw mut master,
            &raw mut slave,
            std::ptr::null_mut(),
            std::ptr::null_mut(),
            &raw mut size,
        )
    };
    assert_eq!(opened, 0);
    // SAFETY: `openpty` has just opened them for us, and nobody else owns them.
    unsafe { (File::from_raw_fd(master), OwnedFd::from_raw_fd(slave)) }
}

#[test]
fn a_terminal_sees_a_bar_that_is_gone_when_the_run_is_over() {
    let place = place();
    let (mut master, slave) = open_terminal();
    let mut command = place.command(ALL);
    command
        .env("TERM", "xterm")
        .stdout(Stdio::piped())
        .stderr(slave);
    let mut held = Held::start(&place, command);
    let (piece, pieces) = channel();
    thread::spawn(move || {
        let mut bytes = [0; 4096];
        // Linux ends with an error where others end with nothing.
        while let Ok(count @ 1..) = master.read(&mut bytes) {
            let _ = piece.send(bytes[..count].to_vec());
        }
    });
    let mut seen = Vec::new();
    let expected = format!(" {AT}/{FILES} files, ");
    let deadline = Instant::now() + LIMIT;
    while !String::from_utf8_lossy(&seen).contains(&expected) {
        seen.extend(pieces.recv_timeout(LIMIT).expect("the bar is drawn"));
        let text = String::from_utf8_lossy(&seen);
        assert!(Instant::now() < deadline, "no {expected:?} in {text:?}");
    }
    held.release();
    let mut table = String::new();
    let mut stdout = held.child.stdout.take().unwrap();
    stdout.read_to_string(&mut table).unwrap();
    assert!(held.child.wait().unwrap().success());
    assert!(table.contains("12 files"), "{table}");
    seen.extend(pieces.iter().flatten());
    // What comes last takes the line away.
    let seen = String::from_utf8(seen).unwrap();
    assert!(seen.ends_with("\r\x1b[2K"), "{seen:?}");
    assert!(!table.contains('\x1b'), "{table:?}");
}
