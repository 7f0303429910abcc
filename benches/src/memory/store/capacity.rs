//! Artefacts of a test run: how many are there for the memory that they take, and what does it take to have one back?
//!
//! What is shown is resident memory for each byte of keys and values that are there, so that whoever drops entries gains
//! nothing by it. aqe is given less memory than the values have bytes; its peers are given as much as they want.

use std::hash::{DefaultHasher, Hasher};
use std::hint::black_box;

use xtask::{Failure, Result};

use super::super::artefacts::{Kind, values};
use super::keys::{KEY, Keys, zipf};
use super::ram::resident;
use super::stores::{
    Aqe, AqeHigh, AqeSealed, AqeSealedHigh, AqeSealedZstd, AqeZstd, Foyer, Lz4, Lz4Sealed, Moka,
    Quick, Raw, Store,
};
use crate::measure::{Reading, Stretch};
use crate::rounds::Scale;
use crate::workloads::{Entry, entry};

pub(super) const JSON: &[Entry] = &[
    entry("aqe", json::<Aqe>),
    entry("aqe-high", json::<AqeHigh>),
    entry("aqe-zstd", json::<AqeZstd>),
    entry("moka", json::<Moka<Raw>>),
    entry("quick_cache", json::<Quick<Raw>>),
    entry("foyer", json::<Foyer>),
    entry("moka-lz4", json::<Moka<Lz4>>),
    entry("quick_cache-lz4", json::<Quick<Lz4>>),
];

pub(super) const JSON_SEALED: &[Entry] = &[
    entry("aqe", json::<AqeSealed>),
    entry("aqe-high", json::<AqeSealedHigh>),
    entry("aqe-zstd", json::<AqeSealedZstd>),
    entry("moka-lz4-aes", json::<Moka<Lz4Sealed>>),
    entry("quick_cache-lz4-aes", json::<Quick<Lz4Sealed>>),
];

pub(super) const LOGS: &[Entry] = &[
    entry("aqe", logs::<Aqe>),
    entry("aqe-zstd", logs::<AqeZstd>),
    entry("moka", logs::<Moka<Raw>>),
    entry("moka-lz4", logs::<Moka<Lz4>>),
];

fn json<S: Store>(scale: Scale) -> Result<Vec<Reading>> {
    keep::<S>(Kind::Json, scale.of(200_000) as usize)
}

fn logs<S: Store>(scale: Scale) -> Result<Vec<Reading>> {
    keep::<S>(Kind::Log, scale.of(3_000) as usize)
}

const SEED: u64 = 3;

fn keep<S: Store>(kind: Kind, count: usize) -> Result<Vec<Reading>> {
    let keys = Keys::new(count);
    // Values are made twice, so that they need not be kept beside the store; and so that what making them takes is
    // resident before.
    let originals: Vec<(usize, u64)> = values(kind, SEED, count)
        .map(|value| (value.len(), hash(&value)))
        .collect();
    let sizes: Vec<usize> = originals.iter().map(|(len, _)| len + KEY).collect();
    let raw: usize = sizes.iter().sum();
    let before = resident()?;
    let store = S::within(budget::<S>(raw))?;
    for (key, value) in keys.iter().zip(values(kind, SEED, count)) {
        store.put(key, &value, None);
    }
    store.settle();
    // Resident memory for each byte that is there.
    let per_byte = |metric: &str| -> Result<Reading> {
        let grown = resident()? - before;
        let kept = keys.iter().zip(&sizes).filter(|(key, _)| store.has(key));
        let kept: usize = kept.map(|(_, size)| size).sum();
        Ok(Reading::new(metric, "B/raw B", grown / kept.max(1) as f64))
    };
    let mut readings = vec![per_byte("resident")?];
    store.optimize();
    readings.push(per_byte("resident-optimized")?);
    readings.extend(reads(&store, &keys, "once", &each_once(count)));
    readings.extend(reads(&store, &keys, "zipf", &zipf(count, 2 * count, 1)));
    check(&store, &keys, &originals)?;
    Ok(readings)
}

/// What a store may take: peers hold what they are given, however many bytes it has.
fn budget<S: Store>(raw: usize) -> u64 {
    let raw = raw as u64;
    match S::COMPRESSES_FOR_ITSELF {
        // Few values do not fill the segments that a store begins with.
        true => (raw * 2 / 5).max(4 << 20),
        false => raw * 2,
    }
}

/// Half of all numbers, in no order: hardly any was read before, so that it is compressed still where that is how it is kept.
fn each_once(count: usize) -> Vec<u32> {
    let mut numbers: Vec<u32> = (0..count as u32).collect();
    fastrand::Rng::with_seed(5).shuffle(&mut numbers);
    numbers.truncate(count / 2);
    numbers
}

fn reads<S: Store>(
    store: &S,
    keys: &Keys,
    name: &str,
    numbers: &[u32],
) -> impl Iterator<Item = Reading> {
    let stretch = Stretch::start();
    for n in numbers {
        black_box(store.get(keys.key(*n as usize)));
    }
    let readings = stretch.per_operation(numbers.len() as u64).into_iter();
    readings.map(move |reading| {
        let metric = format!("{name}-{}", reading.metric);
        Reading { metric, ..reading }
    })
}

/// Every value that is there is what it was, byte by byte.
fn check<S: Store>(store: &S, keys: &Keys, originals: &[(usize, u64)]) -> Result<()> {
    for (key, original) in keys.iter().zip(originals) {
        let Some(value) = store.get(key) else {
            continue;
        };
        let value = value.as_ref();
        if (value.len(), hash(value)) != *original {
            return Err(Failure::new("a value did not come back as it was"));
        }
    }
    Ok(())
}

fn hash(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(bytes);
    hasher.finish()
}
