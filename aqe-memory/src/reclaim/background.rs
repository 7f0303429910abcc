//! What a store does for itself, beside clearing away what is over: it looks for what is over one by one, makes smaller what
//! nobody changes, and makes way when memory is short for others.
//!
//! The thread does a bounded slice of it and says when it wants to go on. All slices together take a tenth of a processor at most,
//! by the time that each took: after a slice nothing is done for nine times as long.

use std::time::Instant;

use super::expired::Where;
use super::rewriting::Rewritten;
use crate::clock::{Millis, to_millis};
use crate::config::MemoryConfig;
use crate::store::Core;
use crate::tiers::{Goal, Mark, Recompressor};

/// What the background is about. Used by one thread at a time.
#[derive(Debug)]
pub(crate) struct Background {
    collection: Collection,
    recompression: Recompression,
    /// When memory is looked at next.
    reading: Millis,
    /// Nothing that takes time is done before.
    rest: Millis,
}

/// The looks at all entries in memory.
#[derive(Debug)]
struct Collection {
    /// What comes next, if one is going on.
    step: Option<Step>,
    /// Bytes that the store took when it began.
    held: u64,
    /// When the last one ended.
    ended: Millis,
    /// How long after that it is worth another one, when memory is short.
    pause: Millis,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    /// Entries of a shard.
    Expired(u32),
    /// Segments that are mostly dead.
    Fragments,
}

/// The making smaller.
#[derive(Debug, Default)]
struct Recompression {
    /// The version that the next value was to have when that was looked at last, and since when.
    version: u64,
    since: Millis,
    /// What there was when it was begun; nothing if it was not, or has come to its end.
    mark: Option<Mark>,
    /// Version and number of dictionaries for which there is nothing more to do.
    done: Option<(u64, u32)>,
    recompressor: Option<Recompressor>,
}

/// A store to which nothing was put for so long is idle.
const IDLE: Millis = 2_000;
/// How many times longer than it works the background rests.
const REST: u32 = 9;
/// The shortest pause between two looks at all entries, and how many times longer one is after a look that was in vain.
const PAUSE: Millis = 1_000;
const LONGER: Millis = 4;
/// A look was worth it that gave back one byte of so many.
const WORTH: u64 = 100;
/// Memory is looked at this often, and this often when it is short or about to be.
const CALM: Millis = 10_000;
const TENSE: Millis = 1_000;
/// It is about to be short this many percent before it is; and as many below there is enough again for the store to grow.
const MARGIN: u8 = 5;
/// Larger segments would keep the thread for longer than what is over may wait. They are left to [`Store::optimize`](crate::Store::optimize).
const MOST_BYTES: u32 = 2 << 20;

impl Background {
    pub(crate) fn new(config: &MemoryConfig, now: Millis) -> Self {
        Self {
            collection: Collection {
                step: None,
                held: 0,
                ended: now,
                pause: PAUSE.min(to_millis(config.cleanup_interval)),
            },
            recompression: Recompression {
                since: now,
                ..Recompression::default()
            },
            reading: now,
            rest: now,
        }
    }
}

impl Core {
    /// Does what is due, and a slice of what there is time for. Gives the time at which there is more to do.
    pub(crate) fn tend(&self) -> Millis {
        self.sweep();
        let mut background = self.background.lock();
        let background = &mut *background;
        self.ease(background);
        let now = self.clock.now();
        if background.rest <= now {
            let start = Instant::now();
            let busy = self.collect(&mut background.collection, now)
                || self.recompress(&mut background.recompression, now);
            if busy {
                // By a clock that is moved by hand, nothing takes time.
                let took = match self.clock.runs() {
                    true => to_millis(start.elapsed() * REST),
                    false => 0,
                };
                background.rest = self.clock.now() + took;
            }
        }
        let collection = self.next_collection(&background.collection, now);
        let work = collection.min(self.next_recompression(&background.recompression, now));
        let sample = self.history.lock().due();
        work.max(background.rest)
            .min(background.reading)
            .min(sample)
    }

    /// Makes way for others when memory is short, and comes back when it is not.
    fn ease(&self, background: &mut Background) {
        let now = self.clock.now();
        let Some(threshold) = self.config.pressure_threshold else {
            background.reading = Millis::MAX;
            return;
        };
        if background.reading > now {
            return;
        }
        let calm = threshold.saturating_sub(MARGIN);
        let reading = self.gauge.read();
        let mut tiers = self.tiers.lock();
        let held = tiers.held(&self.shared);
        let ceiling = tiers.ceiling();
        match reading {
            Some(reading) if reading.beyond(threshold) > 0 => {
                let lower = held.saturating_sub(reading.beyond(threshold));
                if lower < ceiling && tiers.set_ceiling(lower) {
                    self.shared.counts.shrunk();
                }
            }
            Some(reading) if reading.left_to(calm) > 0 => {
                // Half of it: others come back too.
                let higher = held.saturating_add(reading.left_to(calm) / 2);
                if higher > ceiling {
                    tiers.set_ceiling(higher);
                }
            }
            Some(_) => {}
            None => {
                tiers.set_ceiling(u64::MAX);
            }
        }
        let is_tense = tiers.is_lowered() || reading.is_some_and(|it| it.beyond(calm) > 0);
        drop(tiers);
        background.reading = now + if is_tense { TENSE } else { CALM };
        // The lock is let go between two slices.
        while {
            let mut tiers = self.tiers.lock();
            tiers.give_way(&self.shared, now)
        } {}
    }

    fn collect(&self, collection: &mut Collection, now: Millis) -> bool {
        if self.next_collection(collection, now) > now {
            return false;
        }
        let step = collection.step.unwrap_or_else(|| {
            collection.held = self.tiers.lock().held(&self.shared);
            Step::Expired(0)
        });
        collection.step = match step {
            Step::Expired(shard) => {
                self.drop_expired(shard, Where::Memory, now);
                let shards = self.shared.index.shards().count() as u32;
                Some(match shard + 1 < shards {
                    true => Step::Expired(shard + 1),
                    false => Step::Fragments,
                })
            }
            Step::Fragments => self.compact_one(now).then_some(Step::Fragments),
        };
        if collection.step.is_none() {
            self.shrink_index();
            self.end_collection(collection, now);
        }
        true
    }

    fn end_collection(&self, collection: &mut Collection, now: Millis) {
        self.shared.counts.collected();
        let interval = to_millis(self.config.cleanup_interval);
        let held = self.tiers.lock().held(&self.shared);
        let was_worth_it = held + collection.held / WORTH < collection.held;
        collection.pause = match was_worth_it {
            true => PAUSE,
            false => collection.pause.saturating_mul(LONGER),
        };
        collection.pause = collection.pause.min(interval);
        collection.ended = now;
    }

    /// Writes a segment anew that is mostly dead. Says whether there was one.
    fn compact_one(&self, now: Millis) -> bool {
        if self.tiers.lock().compact_raw(&self.shared, now) {
            return true;
        }
        let upkeep = self.upkeep.lock();
        let rewritten = self.rewrite(&upkeep, Goal::MostlyDead, None, now);
        matches!(rewritten, Ok(Some(_)))
    }

    fn next_collection(&self, collection: &Collection, now: Millis) -> Millis {
        if collection.step.is_some() {
            return now;
        }
        let held = self.tiers.lock().held(&self.shared);
        let threshold = self.config.max_size / 100 * u64::from(self.config.gc_threshold);
        let pause = match held > threshold {
            true => collection.pause,
            false => to_millis(self.config.cleanup_interval),
        };
        collection.ended.saturating_add(pause)
    }

    fn recompress(&self, state: &mut Recompression, now: Millis) -> bool {
        let version = self.next_version();
        if state.version != version {
            (state.version, state.since) = (version, now);
            state.mark = None;
        }
        let Some(method) = self.config.compression.high() else {
            return false;
        };
        if self.next_recompression(state, now) > now {
            return false;
        }
        let mark = *state
            .mark
            .get_or_insert_with(|| self.tiers.lock().mark(&self.shared));
        let recompressor = state
            .recompressor
            .get_or_insert_with(|| Recompressor::new(method, false));
        let goal = Goal::Unjudged(mark, MOST_BYTES);
        let upkeep = self.upkeep.lock();
        let rewritten = self.rewrite(&upkeep, goal, Some(recompressor), now);
        drop(upkeep);
        match rewritten {
            Ok(Some(rewritten)) => {
                if rewritten == Rewritten::Moved {
                    self.shared.counts.recompressed();
                }
            }
            // What the disk refuses, puts hear of.
            Ok(None) | Err(_) => {
                state.done = Some((version, self.shared.dictionaries.made()));
                state.mark = None;
                state.recompressor = None;
                self.shared.dictionaries.release_indexes();
            }
        }
        true
    }

    fn next_recompression(&self, state: &Recompression, now: Millis) -> Millis {
        let version = self.next_version();
        let is_done = state.done == Some((version, self.shared.dictionaries.made()));
        if is_done || !self.config.recompress || self.config.compression.high().is_none() {
            return Millis::MAX;
        }
        match state.version == version {
            true => state.since + IDLE,
            false => now + IDLE,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::Duration;

    use crate::{ManualClock, MemoryConfig, MemoryReading, Store};

    /// Lets time pass, and the background do what is due, for so long.
    fn pass(store: &Store, clock: &ManualClock, millis: u64) {
        let end = store.core().clock.now() + millis;
        while store.core().clock.now() < end {
            let next = store.core().tend();
            let now = store.core().clock.now();
            let step = next.clamp(now + 1, end) - now;
            clock.advance(Duration::from_millis(step));
        }
    }

    fn text(number: u64) -> Vec<u8> {
        let words = ["passed", "failed", "skipped", "flaky"];
        let line = |at: u64| {
            let random = (number * 31 + at).wrapping_mul(0x9E37_79B9_7F4A_7C15);
            let word = words[random as usize % 4];
            format!(
                "step {at} of checkout {word} after {} ms\n",
                random % 10_000
            )
        };
        (0..25).map(line).collect::<String>().into_bytes()
    }

    fn noise(number: u64, len: u64) -> Vec<u8> {
        let words =
            (0..len / 8).map(|at| (number * 1_009 + at + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
        words.flat_map(u64::to_le_bytes).collect()
    }

    #[test]
    fn an_idle_store_becomes_smaller_by_itself_and_then_rests() {
        let clock = ManualClock::new();
        let folder = tempfile::tempdir().unwrap();
        let config = MemoryConfig::default().max_size(32 << 20);
        let store = Store::open_with_clock(folder.path(), config, &clock).unwrap();
        for number in 0..3_000u64 {
            store.put(&number.to_le_bytes(), &text(number)).unwrap();
            // Never idle meanwhile.
            if number % 100 == 0 {
                pass(&store, &clock, super::IDLE - 10);
            }
        }
        assert_eq!(store.stats().recompressed_segments, 0, "it was not idle");
        let before = store.stats().disk_bytes;
        pass(&store, &clock, 100_000);
        let stats = store.stats();
        assert!(stats.recompressed_segments > 0, "{stats:?}");
        assert!(stats.disk_bytes * 10 < before * 9, "{before} {stats:?}");
        for number in 0..3_000u64 {
            let value = store.get(&number.to_le_bytes());
            assert_eq!(value.as_deref(), Some(&*text(number)));
        }
        pass(&store, &clock, 100_000);
        assert_eq!(
            store.stats().recompressed_segments,
            stats.recompressed_segments
        );
    }

    #[test]
    fn a_store_that_is_not_to_recompress_does_not() {
        let clock = ManualClock::new();
        let config = MemoryConfig::default().max_size(8 << 20).recompress(false);
        let store = Store::with_clock(config, &clock).unwrap();
        for number in 0..5_000u64 {
            store.put(&number.to_le_bytes(), &text(number)).unwrap();
        }
        pass(&store, &clock, 100_000);
        assert_eq!(store.stats().recompressed_segments, 0);
    }

    #[test]
    fn what_is_over_among_what_is_not_goes_at_the_interval_or_when_memory_is_short() {
        for (interval, threshold, expected) in
            [(3_600, 100, false), (60, 100, true), (3_600, 20, true)]
        {
            let clock = ManualClock::new();
            let config = MemoryConfig::default()
                .max_size(16 << 20)
                .cache_size(16 << 20)
                .cleanup_interval(Duration::from_secs(interval))
                .gc_threshold(threshold);
            let store = Store::with_clock(config, &clock).unwrap();
            // Every fourth lives a little longer than its neighbours, with which it shares segments.
            for number in 0..8_000u64 {
                let life = if number % 4 == 0 { 503_000 } else { 500_000 };
                let life = Duration::from_millis(life);
                store
                    .put_for(&number.to_le_bytes(), &noise(number, 1_000), life)
                    .unwrap();
            }
            assert_eq!(store.stats().entries, 8_000);
            clock.advance(Duration::from_millis(500_500));
            pass(&store, &clock, 1_000);
            let stats = store.stats();
            let went = stats.entries == 2_000 && stats.resident_bytes < 5 << 20;
            assert_eq!(went, expected, "{interval} {threshold} {stats:?}");
            assert_eq!(stats.collections > 0, expected);
            assert!(store.get(&0u64.to_le_bytes()).is_some());
        }
    }

    #[test]
    fn looks_that_find_nothing_become_seldom() {
        let clock = ManualClock::new();
        let config = MemoryConfig::default().max_size(4 << 20).gc_threshold(1);
        let store = Store::with_clock(config, &clock).unwrap();
        for number in 0..1_000u64 {
            store
                .put(&number.to_le_bytes(), &noise(number, 1_000))
                .unwrap();
        }
        pass(&store, &clock, 3_600_000);
        let looks = store.stats().collections;
        assert!((2..=10).contains(&looks), "{looks}");
    }

    #[test]
    fn a_store_makes_way_when_memory_is_short_and_comes_back() {
        const LIMIT: u64 = 1 << 30;
        for on_disk in [false, true] {
            let clock = ManualClock::new();
            // What others take.
            let others = Arc::new(AtomicU64::new(0));
            let reading = Arc::clone(&others);
            let builder = Store::builder()
                .config(
                    MemoryConfig::default()
                        .max_size(16 << 20)
                        .cache_size(8 << 20)
                        .recompress(false),
                )
                .clock(&clock)
                .memory_gauge(move || {
                    Some(MemoryReading {
                        limit_bytes: LIMIT,
                        used_bytes: reading.load(Ordering::Relaxed),
                    })
                });
            let folder = tempfile::tempdir().unwrap();
            let store = match on_disk {
                true => builder.open(folder.path()).unwrap(),
                false => builder.build().unwrap(),
            };
            let fill = |store: &Store| {
                // Read again, so that it is uncompressed in a folder too.
                for number in (0..20_000u64).chain(0..8_000).chain(0..8_000) {
                    let key = number.to_le_bytes();
                    if store.get(&key).is_none() {
                        store.put(&key, &noise(number, 1_000)).unwrap();
                    }
                }
            };
            fill(&store);
            pass(&store, &clock, 20_000);
            let full = store.stats();
            assert_eq!((full.ceiling_bytes, full.shrunk), (16 << 20, 0));
            assert!(full.resident_bytes > 14 << 20, "{full:?}");

            // Four MiB too many.
            others.store(LIMIT / 10 * 9 + (4 << 20), Ordering::Relaxed);
            pass(&store, &clock, super::CALM);
            others.store(LIMIT / 10 * 9, Ordering::Relaxed);
            let short = store.stats();
            assert!(short.shrunk > 0, "{short:?}");
            assert!(short.resident_bytes <= short.ceiling_bytes, "{short:?}");
            assert!(
                short.ceiling_bytes <= full.resident_bytes - (3 << 20),
                "{short:?}"
            );
            let (raw, packed) = (
                full.uncompressed_bytes - short.uncompressed_bytes,
                full.compressed_bytes.saturating_sub(short.compressed_bytes),
            );
            assert!(
                raw > packed,
                "uncompressed entries go first: {full:?} {short:?}"
            );

            // There is no end to it: the store keeps an eighth, and goes on.
            others.store(LIMIT, Ordering::Relaxed);
            pass(&store, &clock, 60_000);
            let least = store.stats();
            assert_eq!(least.ceiling_bytes, 2 << 20);
            assert!(least.resident_bytes <= (2 << 20) + (1 << 20), "{least:?}");
            store.put(b"new", &noise(1, 1_000)).unwrap();
            assert!(store.get(b"new").is_some());
            assert!(store.stats().resident_bytes <= (2 << 20) + (1 << 20));
            if on_disk {
                assert_eq!(store.stats().entries, 20_001, "nothing was lost");
            }

            others.store(LIMIT / 2, Ordering::Relaxed);
            pass(&store, &clock, 20_000);
            assert_eq!(store.stats().ceiling_bytes, 16 << 20);
            fill(&store);
            let back = store.stats();
            assert!(back.uncompressed_bytes > 7 << 20, "{back:?}");
        }
    }
}
