//! A million entries end at the same time: when is their memory back, was any gone too early, and who had to wait?
//!
//! Memory counts as back when the process holds 1 % of what they took, or less, beyond what an empty store takes, and nobody has
//! asked the allocator to give anything back. What has not happened ten seconds after the last deadline counts as ten seconds, and in
//! quick samples one.

use std::hint::black_box;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use fastrand::Rng;
use xtask::Result;

use super::keys::Keys;
use super::ram::resident;
use super::stores::{Aqe, AqeHotOnly, Moka, Quick, Raw, Store};
use crate::measure::Reading;
use crate::rounds::Scale;
use crate::workloads::{Entry, entry};

const ENTRIES: u64 = 1_000_000;
/// Entries that stay, which the busy thread reads and puts besides.
const STAYING: usize = 1_000;
const VALUE: [u8; 100] = [b'v'; 100];
/// What a process takes and gives up besides, in bytes: matters where few entries are measured.
const NOISE: f64 = 1e6;

/// For how long entries live: longer than it takes to put them.
fn time_to_live(scale: Scale) -> Duration {
    match scale {
        Scale::Full => Duration::from_secs(4),
        Scale::Quick => Duration::from_millis(500),
    }
}

/// For how long memory is waited for.
fn patience(scale: Scale) -> Duration {
    match scale {
        Scale::Full => Duration::from_secs(10),
        Scale::Quick => Duration::from_secs(1),
    }
}

pub(super) const BUSY: &[Entry] = &[
    entry("aqe", |scale| busy::<AqeHotOnly>(scale, Lives::Shortly)),
    entry("aqe-compressing", |scale| {
        busy::<Aqe>(scale, Lives::Shortly)
    }),
    entry("aqe-no-ttl", |scale| busy::<AqeHotOnly>(scale, Lives::Long)),
    entry("moka", |scale| busy::<Moka<Raw>>(scale, Lives::Shortly)),
    entry("quick_cache-ttl", |scale| {
        busy::<Quick<Raw>>(scale, Lives::Shortly)
    }),
];

pub(super) const IDLE: &[Entry] = &[
    entry("aqe", idle::<AqeHotOnly>),
    entry("aqe-compressing", idle::<Aqe>),
    entry("moka", idle::<Moka<Raw>>),
    entry("quick_cache-ttl", idle::<Quick<Raw>>),
];

/// For how long entries live.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Lives {
    /// Until they end during the sample.
    Shortly,
    /// Far beyond it.
    Long,
}

/// A store full of entries that are about to end.
struct Full<S> {
    store: S,
    /// Those that end, then those that stay.
    keys: Keys,
    ending: usize,
    before: f64,
    held: f64,
    /// No entry ends earlier than this, since the first one was put after it had begun.
    first: Instant,
    /// Every entry has ended then.
    last: Instant,
    patience: Duration,
}

impl<S: Store> Full<S> {
    fn new(scale: Scale, lives: Lives) -> Result<Self> {
        let shortly = time_to_live(scale);
        let time_to_live = (lives == Lives::Shortly).then_some(shortly);
        let ending = scale.of(ENTRIES) as usize;
        let keys = Keys::new(ending + STAYING);
        let store = S::within((ending * 256) as u64 + (16 << 20))?;
        let before = resident()?;
        let begun = Instant::now();
        for key in keys.iter().take(ending) {
            store.put(key, &VALUE, time_to_live);
        }
        let last = Instant::now() + shortly;
        Ok(Self {
            held: resident()? - before,
            store,
            keys,
            ending,
            before,
            first: begun + shortly,
            last,
            patience: patience(scale),
        })
    }

    /// Waits until the memory is back. Says in milliseconds how long that was after the last deadline, 0 if it was before, and
    /// how much was left.
    fn memory_back(&self) -> Result<[Reading; 2]> {
        let enough = (self.held / 100.0).max(NOISE);
        let (left, late) = loop {
            let left = resident()? - self.before;
            let late = Instant::now().saturating_duration_since(self.last);
            if left <= enough || late >= self.patience {
                break (left, late);
            }
            thread::sleep(Duration::from_millis(5));
        };
        let millis = late.as_secs_f64() * 1e3;
        let percent = left.max(0.0) * 100.0 / self.held;
        Ok([
            Reading::new("memory-back", "ms after", millis),
            Reading::new("memory-left", "%", percent),
        ])
    }
}

/// Nobody calls the store.
fn idle<S: Store>(scale: Scale) -> Result<Vec<Reading>> {
    let full = Full::<S>::new(scale, Lives::Shortly)?;
    Ok(full.memory_back()?.into())
}

/// A thread calls it all the time.
fn busy<S: Store>(scale: Scale, lives: Lives) -> Result<Vec<Reading>> {
    let full = Full::<S>::new(scale, lives)?;
    let is_over = AtomicBool::new(false);
    let (back, calls) = thread::scope(|scope| {
        let caller = scope.spawn(|| call(&full, &is_over));
        let back = match lives {
            Lives::Shortly => full.memory_back().map(Some),
            Lives::Long => {
                thread::sleep(full.last.saturating_duration_since(Instant::now()));
                thread::sleep(Duration::from_secs(1));
                Ok(None)
            }
        };
        is_over.store(true, Ordering::Relaxed);
        (back, caller.join())
    });
    let mut readings: Vec<Reading> = back?.into_iter().flatten().collect();
    readings.extend(calls.into_iter().flat_map(Calls::into_readings));
    Ok(readings)
}

/// What the calls of a thread came to.
struct Calls {
    times: Times,
    early: u64,
}

impl Calls {
    fn into_readings(self) -> [Reading; 3] {
        let micros = |nanos: u64| nanos as f64 / 1e3;
        [
            Reading::new("early", "entries", self.early as f64),
            Reading::new("worst-call", "us", micros(self.times.worst)),
            Reading::new("p99.99-call", "us", micros(self.times.quantile(0.9999))),
        ]
    }
}

/// How long calls took, in little memory: what is remembered beside the worst is rounded down by a sixteenth at most.
struct Times {
    /// Sixteen for each power of two.
    counts: Vec<u64>,
    worst: u64,
}

impl Times {
    fn new() -> Self {
        Self {
            counts: vec![0; 64 * 16],
            worst: 0,
        }
    }

    fn add(&mut self, nanos: u64) {
        let nanos = nanos.max(16);
        let power = nanos.ilog2();
        let sixteenth = (nanos >> (power - 4)) & 15;
        self.counts[power as usize * 16 + sixteenth as usize] += 1;
        self.worst = self.worst.max(nanos);
    }

    /// What this share of all was not longer than.
    fn quantile(&self, share: f64) -> u64 {
        let all: u64 = self.counts.iter().sum();
        let mut left = (all as f64 * share) as u64;
        for (at, count) in self.counts.iter().enumerate() {
            if *count > left {
                let (power, sixteenth) = (at / 16, at as u64 % 16);
                return (16 + sixteenth) << power.saturating_sub(4);
            }
            left -= count;
        }
        self.worst
    }
}

/// A call each two microseconds, one of a hundred puts something that stays.
fn call<S: Store>(full: &Full<S>, is_over: &AtomicBool) -> Calls {
    let mut rng = Rng::with_seed(2);
    let mut calls = Calls {
        times: Times::new(),
        early: 0,
    };
    let mut begun = Instant::now();
    while !is_over.load(Ordering::Relaxed) {
        if rng.u32(..100) == 0 {
            let key = full.keys.key(full.ending + rng.usize(..STAYING));
            full.store.put(key, &VALUE, None);
        } else {
            let found =
                black_box(full.store.get(full.keys.key(rng.usize(..full.ending)))).is_some();
            // Nothing was due when the call had ended, and the clock is only read again then.
            if !found && Instant::now() < full.first {
                calls.early += 1;
            }
        }
        let ended = Instant::now();
        calls
            .times
            .add(ended.duration_since(begun).as_nanos() as u64);
        begun = ended;
        while begun.duration_since(ended) < Duration::from_micros(2) {
            std::hint::spin_loop();
            begun = Instant::now();
        }
    }
    calls
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_right_to_a_sixteenth() {
        let mut times = Times::new();
        (1..=100_000).for_each(|nanos| times.add(nanos));
        for share in [0.1, 0.5, 0.99] {
            let exact = 100_000.0 * share;
            let found = times.quantile(share) as f64;
            assert!((0.93 * exact..=exact + 1.0).contains(&found), "{found}");
        }
        assert_eq!(times.worst, 100_000);
    }
}
