//! A store whose process is killed at any moment has everything that was acknowledged, and nothing that was not put.
//!
//! Three threads of a helper process put, replace and remove entries of their own in an order that follows from a number, and
//! say after each call that it has returned. Memory and files are small, so that segments are cooled, cleared and compacted
//! all the time. After the kill, each thread's entries are as after its last call that has returned, or as after the one
//! that had not.

#![allow(
    clippy::unwrap_used,
    reason = "a panic fails the test, helpers included"
)]

use std::collections::BTreeMap;
use std::env;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use aqe_memory::{Cleanup, MemoryConfig, Optimize, Store};

/// Tells the helper where the store is, and with which number each thread begins.
const HELPER: &str = "AQE_MEMORY_KILL_HELPER";
/// How many kills, if more than usual are wanted.
const ROUNDS: &str = "AQE_MEMORY_KILL_ROUNDS";

const THREADS: u64 = 3;
const KEYS: u64 = 40;

fn config() -> MemoryConfig {
    MemoryConfig::default()
        .max_size(2 << 20)
        .cache_size(512 << 10)
}

/// What a call does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Call {
    Put,
    /// For so short a time that it is over before anybody looks, or nearly.
    PutBriefly,
    Remove,
}

fn mix(number: u64) -> u64 {
    let mixed = (number ^ number >> 31).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    (mixed ^ mixed >> 29).wrapping_mul(0xBF58_476D_1CE4_E5B9) >> 20
}

/// The call of this number of a thread, and its key.
fn call(thread: u64, number: u64) -> (Call, u64) {
    let chance = mix(number * THREADS + thread);
    let call = match chance % 10 {
        0 => Call::Remove,
        1 => Call::PutBriefly,
        _ => Call::Put,
    };
    (call, (chance >> 8) % KEYS)
}

fn key(thread: u64, key: u64) -> Vec<u8> {
    format!("thread {thread} key {key}").into_bytes()
}

fn value(thread: u64, number: u64) -> Vec<u8> {
    let size = 20 + mix(number + 7) % 3000;
    let line = format!("value {number} of thread {thread}, ");
    line.bytes().cycle().take(size as usize).collect()
}

fn make(store: &Store, thread: u64, number: u64) {
    let (call, slot) = call(thread, number);
    let (key, value) = (key(thread, slot), value(thread, number));
    match call {
        Call::Put => assert!(store.put(&key, &value).is_ok()),
        Call::PutBriefly => {
            let millis = Duration::from_millis(1 + number % 3);
            assert!(store.put_for(&key, &value, millis).is_ok());
        }
        Call::Remove => assert!(store.remove(&key).is_ok()),
    }
}

/// Not a test by itself: what the helper process does until it is killed.
#[test]
fn helper() {
    let Ok(spec) = env::var(HELPER) else { return };
    let mut parts = spec.split('|');
    let store = Store::open(parts.next().unwrap(), config()).unwrap();
    let begins: Vec<u64> = parts.map(|number| number.parse().unwrap()).collect();
    let out = std::io::stdout();
    std::thread::scope(|scope| {
        for (thread, begin) in begins.into_iter().enumerate() {
            let (store, out) = (&store, &out);
            scope.spawn(move || {
                for number in begin.. {
                    make(store, thread as u64, number);
                    // Reads bring entries back into memory, and are compared with nothing here.
                    let _ = store.get(&key(thread as u64, number % KEYS));
                    let mut out = out.lock();
                    writeln!(out, "done {thread} {number}").unwrap();
                    out.flush().unwrap();
                }
            });
        }
        scope.spawn(|| {
            loop {
                store.cleanup();
                store.optimize(Optimize::Aggressive);
                store.cleanup_with(Cleanup::Aggressive);
                store.optimize(Optimize::Normal);
            }
        });
    });
}

/// Lets a helper work until it has said `lines` times that a call has returned, and kills it. Gives the last call of each
/// thread that has.
fn work_and_kill(folder: &Path, begins: &[u64], lines: usize) -> Vec<Option<u64>> {
    let begins: Vec<_> = begins.iter().map(u64::to_string).collect();
    let mut helper = Command::new(env::current_exe().unwrap())
        .args(["--exact", "helper", "--nocapture"])
        .env(HELPER, format!("{}|{}", folder.display(), begins.join("|")))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let out = BufReader::new(helper.stdout.take().unwrap());
    let mut last = vec![None; THREADS as usize];
    let mut seen = 0;
    // What is in the pipe when the helper is killed was said before, so it counts.
    for line in out.lines() {
        let line = line.unwrap();
        let Some(done) = line.strip_prefix("done ") else {
            continue;
        };
        // A line that the kill cut short was not said.
        if let Some((thread, number)) = done.split_once(' ')
            && let (Ok(thread), Ok(number)) = (thread.parse::<usize>(), number.parse::<u64>())
        {
            last[thread] = last[thread].max(Some(number));
        }
        seen += 1;
        if seen == lines {
            helper.kill().unwrap();
        }
    }
    let status = helper.wait().unwrap();
    assert!(
        !status.success() && seen >= lines,
        "the helper ended by itself"
    );
    last
}

#[test]
fn everything_acknowledged_survives_a_kill() {
    let rounds = env::var(ROUNDS).map_or(30, |rounds| rounds.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let mut begins = vec![0; THREADS as usize];
    // By key, the call that put what is there.
    let mut known: BTreeMap<Vec<u8>, Option<u64>> = BTreeMap::new();
    for round in 0..rounds {
        let lines = 1 + mix(round + 99) % 3000;
        let last = work_and_kill(folder.path(), &begins, lines as usize);
        let store = Store::open(folder.path(), config()).unwrap();
        assert_eq!(store.damage(), []);
        for thread in 0..THREADS {
            let begin = begins[thread as usize];
            let acknowledged = last[thread as usize].map_or(begin, |last| last + 1);
            for number in begin..acknowledged {
                let (call, slot) = call(thread, number);
                known.insert(key(thread, slot), (call != Call::Remove).then_some(number));
            }
            // The call that was under way has happened, or it has not.
            let (pending, slot) = call(thread, acknowledged);
            let pending = (
                key(thread, slot),
                (pending != Call::Remove).then_some(acknowledged),
            );
            check(&store, thread, &mut known, pending);
            begins[thread as usize] = acknowledged + 1;
        }
    }
}

/// Compares a thread's entries with what is known of them, and learns whether the pending call has happened.
fn check(
    store: &Store,
    thread: u64,
    known: &mut BTreeMap<Vec<u8>, Option<u64>>,
    (pending_key, pending): (Vec<u8>, Option<u64>),
) {
    for slot in 0..KEYS {
        let key = key(thread, slot);
        let expected = known.get(&key).copied().flatten();
        let found = store.get(&key);
        let is = |number: Option<u64>| match (number, &found) {
            (None, None) => true,
            (Some(number), Some(found)) => found[..] == value(thread, number),
            (Some(number), None) => call(thread, number).0 == Call::PutBriefly,
            (None, Some(_)) => false,
        };
        if key == pending_key && is(pending) {
            known.insert(key, pending);
        } else {
            let shown = found
                .as_ref()
                .map(|found| String::from_utf8_lossy(&found[..20]).into_owned());
            assert!(
                is(expected),
                "{}: {shown:?}, expected {expected:?}",
                String::from_utf8_lossy(&key)
            );
        }
    }
}
