//! How far does memory grow beyond what a store was given, under the worst that its users do?
//!
//! Two threads put, read, keep what they read for a while, replace and remove. Values have 16 bytes to 64 KiB, of sizes that
//! change from second to second so that what was freed never fits what comes; half of them are incompressible; some live
//! for milliseconds and some for a day.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use fastrand::Rng;
use xtask::Result;

use super::super::artefacts::{Kind, values};
use super::keys::Keys;
use super::ram::resident;
use super::stores::{Aqe, AqeSealed, Foyer, Lz4, Moka, Quick, Raw, Store};
use crate::measure::Reading;
use crate::rounds::{MINUTES, Scale};
use crate::workloads::{Entry, entry};

/// What a store is given.
const BUDGET: u64 = 128 << 20;
/// Different keys: with values of a few kilobytes, many times what fits.
const KEYS: usize = 200_000;
/// Values that a thread keeps for a while after it has read them.
const KEPT: usize = 8;
/// The largest value.
const LARGEST: usize = 64 << 10;
/// Bytes from which values are cut.
const POOL: usize = 4 << 20;

pub(super) const ENTRIES: &[Entry] = &[
    entry("aqe", sample::<Aqe>),
    entry("aqe-sealed", sample::<AqeSealed>),
    entry("moka", sample::<Moka<Raw>>),
    entry("moka-lz4", sample::<Moka<Lz4>>),
    entry("quick_cache", sample::<Quick<Raw>>),
    entry("foyer", sample::<Foyer>),
];

fn duration(scale: Scale) -> Duration {
    let minutes = std::env::var(MINUTES)
        .ok()
        .and_then(|text| text.parse().ok());
    match (minutes, scale) {
        (Some(minutes @ 1..), _) => Duration::from_secs(60 * minutes),
        (_, Scale::Full) => Duration::from_secs(20),
        (_, Scale::Quick) => Duration::from_secs(1),
    }
}

fn sample<S: Store>(scale: Scale) -> Result<Vec<Reading>> {
    let end = Instant::now() + duration(scale);
    let churn = Churn::new(end);
    let before = resident()?;
    let store = S::within(BUDGET)?;
    let mut most: f64 = 0.0;
    thread::scope(|scope| {
        for seed in 0..2 {
            let (store, churn) = (&store, &churn);
            scope.spawn(move || churn.run(store, seed));
        }
        while Instant::now() < end {
            thread::sleep(Duration::from_millis(5));
            most = most.max(resident()? - before);
        }
        churn.is_over.store(true, Ordering::Relaxed);
        Ok::<(), xtask::Failure>(())
    })?;
    let puts = churn.puts.load(Ordering::Relaxed).max(1);
    let refused = churn.refused.load(Ordering::Relaxed) as f64 * 100.0 / puts as f64;
    Ok(vec![
        Reading::new("worst-growth", "of max_size", most / BUDGET as f64),
        Reading::new("refused", "% of puts", refused),
    ])
}

struct Churn {
    keys: Keys,
    pools: [Vec<u8>; 2],
    end: Instant,
    is_over: AtomicBool,
    puts: AtomicU64,
    refused: AtomicU64,
}

impl Churn {
    fn new(end: Instant) -> Self {
        let mut random = vec![0; POOL];
        Rng::with_seed(1).fill(&mut random);
        let mut text: Vec<u8> = values(Kind::Json, 9, POOL / 1_900).flatten().collect();
        text.resize(POOL, b' ');
        Self {
            keys: Keys::new(KEYS),
            pools: [random, text],
            end,
            is_over: AtomicBool::new(false),
            puts: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        }
    }

    fn run<S: Store>(&self, store: &S, seed: u64) {
        let mut rng = Rng::with_seed(seed);
        let mut kept = VecDeque::with_capacity(KEPT + 1);
        while !self.is_over.load(Ordering::Relaxed) {
            // The clock is read now and then only.
            let left = self.end.saturating_duration_since(Instant::now());
            for _ in 0..64 {
                self.step(store, &mut rng, left.as_secs(), &mut kept);
            }
        }
    }

    fn step<S: Store>(&self, store: &S, rng: &mut Rng, second: u64, kept: &mut VecDeque<S::Bytes>) {
        let key = self.keys.key(rng.usize(..KEYS));
        match rng.u32(..10) {
            0..6 => {
                let len = size(rng, second);
                let pool = &self.pools[rng.usize(..2)];
                let start = rng.usize(..pool.len() - len);
                let lives = Some(Duration::from_millis(10 << rng.u32(..24)));
                self.puts.fetch_add(1, Ordering::Relaxed);
                if !store.put(key, &pool[start..start + len], lives) {
                    self.refused.fetch_add(1, Ordering::Relaxed);
                }
            }
            6..9 => {
                kept.extend(store.get(key));
                if kept.len() > KEPT {
                    kept.pop_front();
                }
            }
            _ => store.remove(key),
        }
    }
}

/// A size of a regime that lasts a second: small ones, large ones, or all of them, each power of two as often as the others.
fn size(rng: &mut Rng, second: u64) -> usize {
    let powers = match second % 3 {
        0 => 4..8,
        1 => 12..16,
        _ => 4..16,
    };
    let least = 1_usize << rng.u32(powers);
    (least + rng.usize(..least)).min(LARGEST)
}
