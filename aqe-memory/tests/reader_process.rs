//! A reader sees what a process has acknowledged that is killed again and again, and what the next one does.
//!
//! A helper process puts, replaces and removes entries, and says after each call that it has returned, while a thread of it clears
//! away and compacts. These tests are not with those of `reader.rs`, where stores are closed and opened again: between fork and
//! exec, a child that is being started holds the lock of a store that its parent has just closed.

#![allow(
    clippy::unwrap_used,
    reason = "a panic fails the test, helpers included"
)]

use std::collections::BTreeMap;
use std::env;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};

use aqe_memory::{MemoryConfig, Reader, Store};

/// Small files, so that they are closed, compacted and removed all the time.
fn config() -> MemoryConfig {
    MemoryConfig::default()
        .max_size(2 << 20)
        .cache_size(512 << 10)
        .time_to_live(None)
}

/// A value that begins with its number, and does not become much smaller.
fn value(number: u64, size: usize) -> Vec<u8> {
    let mut value = format!("value {number}, ").into_bytes();
    let bytes = (value.len()..size).map(|at| mix(number + (at as u64) * 0x1_0001) as u8);
    value.extend(bytes.collect::<Vec<_>>());
    value
}

/// Tells the helper where the store is, and with which number it begins.
const HELPER: &str = "AQE_MEMORY_READER_HELPER";
const KEYS: u64 = 50;

fn mix(number: u64) -> u64 {
    let mixed = (number ^ number >> 31).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    (mixed ^ mixed >> 29).wrapping_mul(0xBF58_476D_1CE4_E5B9) >> 20
}

/// What the call of a number does: the key, and whether its entry is removed. The value begins with the number.
fn call(number: u64) -> (Vec<u8>, bool) {
    let chance = mix(number);
    let key = format!("key {}", chance % KEYS).into_bytes();
    (key, (chance >> 8).is_multiple_of(20))
}

/// The helper is at most so many calls ahead of what its parent has heard of.
const AHEAD: u64 = 8;

/// Not a test by itself: what the helper process does until it is killed. It makes a call for every line that it is told, and
/// says so when the call has returned.
#[test]
fn helper() {
    let Ok(spec) = env::var(HELPER) else { return };
    let (folder, begin) = spec.split_once('|').unwrap();
    let store = Store::open(folder, config()).unwrap();
    let done = AtomicU64::new(0);
    let mut out = std::io::stdout();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            loop {
                store.cleanup();
                // As often as there is something to clear away, and no more.
                let seen = done.load(Ordering::Relaxed);
                while done.load(Ordering::Relaxed) < seen + 50 {
                    std::thread::yield_now();
                }
            }
        });
        let told = std::io::stdin().lines();
        for (number, line) in (begin.parse::<u64>().unwrap()..).zip(told) {
            line.unwrap();
            let (key, is_removed) = call(number);
            // Now and then one of several pages, in a file of its own.
            let most = if number.is_multiple_of(8) {
                30_000
            } else {
                3000
            };
            let size = 20 + mix(number + 7) % most;
            match is_removed {
                true => assert!(store.remove(&key).is_ok()),
                false => assert!(store.put(&key, &value(number, size as usize)).is_ok()),
            }
            done.store(number, Ordering::Relaxed);
            writeln!(out, "done {number}").unwrap();
            out.flush().unwrap();
        }
    });
}

struct Helper {
    process: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
}

impl Helper {
    fn start(folder: &Path, begin: u64) -> Self {
        let mut process = Command::new(env::current_exe().unwrap())
            .args(["--exact", "helper", "--nocapture"])
            .env(HELPER, format!("{}|{begin}", folder.display()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let from = BufReader::new(process.stdout.take().unwrap());
        let to = process.stdin.take().unwrap();
        let mut helper = Self { process, to, from };
        for _ in 0..AHEAD {
            helper.go_on();
        }
        helper
    }

    /// Lets it make another call.
    fn go_on(&mut self) {
        self.to.write_all(b"\n").unwrap();
    }

    /// The number of the next call that has returned. `None` when there are no more.
    fn done(&mut self) -> Option<u64> {
        let mut line = String::new();
        while self.from.read_line(&mut line).unwrap() > 0 {
            if let Some(number) = line.strip_prefix("done ")
                && let Some(number) = number.strip_suffix('\n')
            {
                return Some(number.parse().unwrap());
            }
            line.clear();
        }
        None
    }
}

/// What was seen of a key: the number of the call that put its value.
fn number_of(value: &[u8]) -> u64 {
    let digits = value.iter().skip("value ".len());
    let digits = digits.take_while(|byte| byte.is_ascii_digit());
    digits.fold(0, |number, digit| number * 10 + u64::from(digit - b'0'))
}

/// The writer goes on while the reader reads, so a read may give more than was acknowledged when it began; never less.
#[test]
fn whatever_another_process_has_acknowledged_is_seen_also_after_it_was_killed() {
    let folder = tempfile::tempdir().unwrap();
    drop(Store::open(folder.path(), config()).unwrap());
    let reader = Reader::open(folder.path()).unwrap();
    // By key, the calls that changed it, the last one behind.
    let mut calls: BTreeMap<Vec<u8>, u64> = BTreeMap::new();
    let mut begin = 1;
    for round in 0..6 {
        let mut helper = Helper::start(folder.path(), begin);
        let lines = 300 + mix(round) % 1500;
        let mut last = begin - 1;
        for _ in 0..lines {
            let Some(number) = helper.done() else {
                panic!("the helper ended by itself")
            };
            calls.insert(call(number).0, number);
            last = number;
            check(&reader, &calls, number, &call(number).0);
            check(
                &reader,
                &calls,
                number,
                format!("key {}", mix(number + 3) % KEYS).as_bytes(),
            );
            helper.go_on();
        }
        helper.process.kill().unwrap();
        // What is in the pipe was acknowledged before.
        while let Some(number) = helper.done() {
            calls.insert(call(number).0, number);
            last = number;
        }
        helper.process.wait().unwrap();
        for reader in [&reader, &Reader::open(folder.path()).unwrap()] {
            for key in calls.keys() {
                check(reader, &calls, last, key);
            }
            assert_eq!((reader.damage(), reader.stats().unreadable), (vec![], 0));
        }
        // The call that was under way has happened or not; it is made again.
        begin = last + 1;
    }
    let first = folder.path().join("0000000000000000.seg");
    assert!(!first.exists(), "nothing was compacted");
}

/// Checks that a key is as its last call of those that were heard of has left it, or as one that was under way has.
fn check(reader: &Reader, calls: &BTreeMap<Vec<u8>, u64>, heard: u64, key: &[u8]) {
    let acknowledged = calls.get(key).copied().unwrap_or(0);
    let found = reader.get(key).unwrap();
    let is_later_removal = || {
        let mut later = heard + 1..=heard + AHEAD;
        later.any(|number| call(number) == (key.to_vec(), true))
    };
    match found {
        Some(found) => {
            let number = number_of(&found);
            let is_now = number == acknowledged || (heard + 1..=heard + AHEAD).contains(&number);
            assert!(is_now, "{number} instead of {acknowledged}");
            assert_eq!(call(number), (key.to_vec(), false));
        }
        None => assert!(
            acknowledged == 0 || call(acknowledged).1 || is_later_removal(),
            "{} is gone, put by {acknowledged}",
            key.escape_ascii()
        ),
    }
}
