//! Artefacts that outlive the process: how fast they are taken, read, and found again, and how much disk they take.

use std::fs::File;
use std::hint::black_box;
use std::io::Write;
use std::thread;

use xtask::{Failure, Result};

use super::super::artefacts::{Kind, values};
use super::engines::{Aqe, AqeSealed, Durability, Engine, Fjall, Heed, Redb, Sqlite, disk};
use super::keys::{KEY, Keys, zipf};
use crate::measure::{Reading, Stretch};
use crate::rounds::Scale;
use crate::workloads::{Entry, entry, failed, folder};

/// Puts that return when the system has them; redb's are in the process only.
pub(super) const WRITTEN: &[Entry] = &[
    entry("aqe", written::<AqeSealed>),
    entry("aqe-not-sealed", written::<Aqe>),
    entry("sqlite-wal-normal", written::<Sqlite>),
    entry("fjall", written::<Fjall>),
    entry("redb-none", written::<Redb>),
    entry("heed-nosync", written::<Heed>),
];

/// Puts that return when the disk has them.
pub(super) const SYNCED_BY_ONE: &[Entry] = &[
    entry("aqe", synced::<AqeSealed, 1>),
    entry("aqe-not-sealed", synced::<Aqe, 1>),
    entry("append-fdatasync", bare_log),
    entry("sqlite-wal-full", synced::<Sqlite, 1>),
    entry("fjall", synced::<Fjall, 1>),
    entry("redb", synced::<Redb, 1>),
    entry("heed", synced::<Heed, 1>),
];

pub(super) const SYNCED_BY_EIGHT: &[Entry] = &[
    entry("aqe", synced::<AqeSealed, 8>),
    entry("sqlite-wal-full", synced::<Sqlite, 8>),
    entry("fjall", synced::<Fjall, 8>),
    entry("redb", synced::<Redb, 8>),
    entry("heed", synced::<Heed, 8>),
];

/// The life of a small folder: filled in bulk, read, closed and opened.
pub(super) const LIFE: &[Entry] = &[
    entry("aqe", |scale| life::<AqeSealed>(scale.of(40_000))),
    entry("aqe-not-sealed", |scale| life::<Aqe>(scale.of(40_000))),
    entry("sqlite", |scale| life::<Sqlite>(scale.of(40_000))),
    entry("fjall", |scale| life::<Fjall>(scale.of(40_000))),
    entry("redb", |scale| life::<Redb>(scale.of(40_000))),
    entry("heed", |scale| life::<Heed>(scale.of(40_000))),
];

/// The same with 1 GB of values.
pub(super) const LIFE_OF_A_GIGABYTE: &[Entry] = &[
    entry("aqe", |scale| life::<AqeSealed>(scale.of(500_000))),
    entry("sqlite", |scale| life::<Sqlite>(scale.of(500_000))),
    entry("fjall", |scale| life::<Fjall>(scale.of(500_000))),
    entry("redb", |scale| life::<Redb>(scale.of(500_000))),
    entry("heed", |scale| life::<Heed>(scale.of(500_000))),
];

/// Values of one commit.
const COMMIT: usize = 1_000;
const SEED: u64 = 4;

/// Keys and values that are there before the clock runs.
pub(super) struct Set {
    keys: Keys,
    values: Vec<Vec<u8>>,
}

impl Set {
    pub(super) fn new(count: usize) -> Self {
        Self {
            keys: Keys::new(count),
            values: values(Kind::Json, SEED, count).collect(),
        }
    }

    pub(super) fn iter(&self) -> impl ExactSizeIterator<Item = (&[u8], &[u8])> {
        self.keys.iter().zip(self.values.iter().map(Vec::as_slice))
    }

    /// Fails unless an engine has every tenth value as it is.
    fn check<E: Engine>(&self, engine: &E) -> Result<()> {
        for (key, value) in self.iter().step_by(10) {
            let found = engine.get(key)?;
            if found.as_ref().map(AsRef::as_ref) != Some(value) {
                return Err(Failure::new("a value is not as it was put"));
            }
        }
        Ok(())
    }
}

fn written<E: Engine>(scale: Scale) -> Result<Vec<Reading>> {
    let set = Set::new(scale.of(40_000) as usize);
    let folder = folder()?;
    let engine = E::open(folder.path(), Durability::Written)?;
    let stretch = Stretch::start();
    for (key, value) in set.iter() {
        engine.put(key, value)?;
    }
    let readings = stretch.per_operation(set.values.len() as u64);
    set.check(&engine)?;
    Ok(readings)
}

fn synced<E: Engine, const WRITERS: usize>(scale: Scale) -> Result<Vec<Reading>> {
    let set = Set::new(scale.of(2_000) as usize);
    let folder = folder()?;
    let engine = E::open(folder.path(), Durability::Synced)?;
    let write = |writer: usize| {
        let mut own = set.iter().skip(writer).step_by(WRITERS);
        own.try_for_each(|(key, value)| engine.put(key, value))
    };
    let stretch = Stretch::start();
    thread::scope(|scope| {
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| scope.spawn(move || write(writer)))
            .collect();
        writers.into_iter().try_for_each(|writer| {
            let end = writer.join();
            end.map_err(|_| Failure::new("a writer panicked"))?
        })
    })?;
    let readings = stretch.per_operation(set.values.len() as u64);
    set.check(&engine)?;
    Ok(readings)
}

/// What there is to be had: a value is appended to a file, which is synced. Nobody could find it again.
fn bare_log(scale: Scale) -> Result<Vec<Reading>> {
    let set = Set::new(scale.of(2_000) as usize);
    let folder = folder()?;
    let mut file = File::create(folder.path().join("log")).map_err(failed)?;
    let mut record = Vec::new();
    let stretch = Stretch::start();
    for (key, value) in set.iter() {
        record.clear();
        record.extend_from_slice(key);
        record.extend_from_slice(value);
        file.write_all(&record).map_err(failed)?;
        file.sync_data().map_err(failed)?;
    }
    Ok(stretch.per_operation(set.values.len() as u64))
}

fn life<E: Engine>(count: u64) -> Result<Vec<Reading>> {
    let count = count as usize;
    let keys = Keys::new(count);
    let folder = folder()?;
    let engine = E::open(folder.path(), Durability::Synced)?;
    let mut readings = Vec::new();
    let (raw, put) = fill(&engine, &keys)?;
    readings.push(Reading::new("bulk-put", "ns/op", put));
    readings.push(warm_reads(&engine, &keys)?);
    drop(engine);
    let stretch = Stretch::start();
    let engine = E::open(folder.path(), Durability::Synced)?;
    let found = engine.get(keys.key(count / 3))?.is_some();
    let opened = stretch.per_operation(1).into_iter().next();
    if !found {
        return Err(Failure::new("a value is not there any more"));
    }
    let millis = opened.map_or(0.0, |opened| opened.value / 1e6);
    readings.push(Reading::new("open", "ms to the first read", millis));
    drop(engine);
    let ratio = disk(folder.path())? as f64 / raw as f64;
    readings.push(Reading::new("disk", "B/raw B", ratio));
    Ok(readings)
}

/// Puts all values, a thousand in a commit, and says how many bytes they had and how long one took. Making them is not counted.
fn fill<E: Engine>(engine: &E, keys: &Keys) -> Result<(usize, f64)> {
    let count = keys.iter().len();
    let mut values = values(Kind::Json, SEED, count);
    let (mut raw, mut nanos) = (0, 0.0);
    for first in (0..count).step_by(COMMIT) {
        let commit: Vec<Vec<u8>> = values.by_ref().take(COMMIT).collect();
        raw += commit.iter().map(|value| value.len() + KEY).sum::<usize>();
        let numbers = first..first + commit.len();
        let stretch = Stretch::start();
        engine.put_all(
            numbers
                .map(|n| keys.key(n))
                .zip(commit.iter().map(Vec::as_slice)),
        )?;
        nanos += stretch.per_operation(1)[0].value;
    }
    Ok((raw, nanos / count as f64))
}

fn warm_reads<E: Engine>(engine: &E, keys: &Keys) -> Result<Reading> {
    let count = keys.iter().len();
    let numbers = zipf(count, 100_000.min(4 * count), 1);
    let mut wall = 0.0;
    // The first pass warms.
    for _ in 0..2 {
        let stretch = Stretch::start();
        for n in &numbers {
            black_box(engine.get(keys.key(*n as usize))?);
        }
        wall = stretch.per_operation(numbers.len() as u64)[0].value;
    }
    Ok(Reading::new("warm-get", "ns/op", wall))
}
