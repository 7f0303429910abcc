//! What is read, one key in some: from the reading threads to the policy, without a lock.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// How many samples lie between readers and policy; beyond that the oldest are lost, which harms nobody.
pub const SAMPLES: usize = 1_024;

/// Bits of a record that are of the hash, the others being [`HIT`] and the weight.
const HASH_BITS: u32 = 40;
const HASH: u64 = (1 << HASH_BITS) - 1;
const HIT: u64 = 1 << HASH_BITS;
const WEIGHT_SHIFT: u32 = HASH_BITS + 1;

/// The bits of a sampled key's hash that the policy goes by. Among the thousands of keys it knows at a time two share them
/// once in a hundred thousand.
pub(super) fn name(hash: u64) -> u64 {
    // 0 would be an empty slot in the ring.
    (hash & HASH).max(1)
}

/// One read of a sampled key, or the insertion of one that was not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample {
    /// The key's hash, of which 40 bits are used.
    pub hash: u64,
    /// What the entry occupies, in bytes; known to 8 bytes and up to 64 MiB.
    pub weight: u64,
    /// Whether the entry was there.
    pub hit: bool,
}

/// Where readers leave samples and the evicting side collects them.
///
/// Keys are sampled by their hash, so that of a sampled key every read is seen ("spatial sampling": Waldspurger et al.,
/// "Efficient MRC construction with SHARDS", FAST '15). [`Self::wants`] costs a load and a comparison on every hit; only one
/// key in 8 (small caches) to one in many thousands passes it.
#[derive(Debug)]
pub struct Samples {
    /// Written by the policy's owner, read by all. Relaxed everywhere: a reader that goes by the last mask leaves samples that
    /// the policy does not want, and those it drops.
    mask: AtomicU64,
    /// Where the next sample goes, modulo the length; a reader takes a place by adding one.
    next: AtomicUsize,
    /// Up to where samples were collected; only the collecting side writes it.
    collected: AtomicUsize,
    /// A record is one word, so no reader can be seen half way; relaxed suffices since a record points to nothing.
    records: Box<[AtomicU64]>,
}

impl Default for Samples {
    fn default() -> Self {
        Self {
            mask: AtomicU64::new(0),
            next: AtomicUsize::new(0),
            collected: AtomicUsize::new(0),
            records: (0..SAMPLES).map(|_| AtomicU64::new(0)).collect(),
        }
    }
}

impl Samples {
    /// Whether reads of this key are to be noted.
    #[must_use]
    #[inline]
    pub fn wants(&self, hash: u64) -> bool {
        hash & self.mask.load(Ordering::Relaxed) == 0
    }

    /// Leaves a sample, and says whether it is time for somebody to call [`Policy::learn`](super::Policy::learn): half of the
    /// room is taken.
    pub fn note(&self, sample: Sample) -> bool {
        let weight = (sample.weight / 8).min(u64::MAX >> WEIGHT_SHIFT);
        let hit = if sample.hit { HIT } else { 0 };
        let record = name(sample.hash) | hit | weight << WEIGHT_SHIFT;
        let place = self.next.fetch_add(1, Ordering::Relaxed);
        self.records[place % SAMPLES].store(record, Ordering::Relaxed);
        place.wrapping_sub(self.collected.load(Ordering::Relaxed)) >= SAMPLES / 2
    }

    pub(super) fn set_mask(&self, mask: u64) {
        self.mask.store(mask, Ordering::Relaxed);
    }

    /// Takes what was left since the last time, oldest first; two sides must not collect at once, else either gets a part.
    pub(super) fn collect(&self, mut take: impl FnMut(Sample)) {
        let next = self.next.load(Ordering::Relaxed);
        let from = self.collected.load(Ordering::Relaxed);
        let lost = next.wrapping_sub(from).saturating_sub(SAMPLES);
        for place in 0..next.wrapping_sub(from) - lost {
            let place = from.wrapping_add(lost).wrapping_add(place);
            // A reader that has its place but has not written yet leaves the record for the next round of the ring.
            let record = self.records[place % SAMPLES].swap(0, Ordering::Relaxed);
            if record != 0 {
                take(Sample {
                    hash: record & HASH,
                    weight: (record >> WEIGHT_SHIFT) * 8,
                    hit: record & HIT != 0,
                });
            }
        }
        self.collected.store(next, Ordering::Relaxed);
    }

    /// Bytes that it occupies, always the same.
    #[must_use]
    pub fn memory(&self) -> usize {
        size_of::<Self>() + size_of_val(&*self.records)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn collected(samples: &Samples) -> Vec<Sample> {
        let mut all = Vec::new();
        samples.collect(|sample| all.push(sample));
        all
    }

    fn sample(hash: u64, weight: u64, hit: bool) -> Sample {
        Sample { hash, weight, hit }
    }

    #[test]
    fn samples_come_in_order_and_once() {
        let samples = Samples::default();
        samples.note(sample(u64::MAX, 80, true));
        samples.note(sample(0, u64::MAX, false));
        let expected = [
            sample(HASH, 80, true),
            sample(1, ((1 << 23) - 1) * 8, false),
        ];
        assert_eq!(collected(&samples), expected);
        assert_eq!(collected(&samples), []);
    }

    #[test]
    fn the_oldest_are_lost() {
        let samples = Samples::default();
        let due: Vec<bool> = (1..=SAMPLES as u64 + 5)
            .map(|hash| samples.note(sample(hash, 8, true)))
            .collect();
        let told = due.iter().position(|due| *due);
        assert_eq!(told, Some(SAMPLES / 2), "a reader is told in time");
        let hashes: Vec<u64> = collected(&samples)
            .iter()
            .map(|sample| sample.hash)
            .collect();
        assert_eq!(hashes, (6..=SAMPLES as u64 + 5).collect::<Vec<_>>());
    }

    #[test]
    fn the_mask_decides_what_is_wanted() {
        let samples = Samples::default();
        assert!(samples.wants(7));
        samples.set_mask(7);
        assert!(!samples.wants(7) && samples.wants(8));
    }

    #[test]
    fn threads_lose_nothing_that_fits() {
        let samples = Samples::default();
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let samples = &samples;
                scope.spawn(move || {
                    for hash in 1..=200 {
                        samples.note(sample(thread * 1_000 + hash, 8, true));
                    }
                });
            }
        });
        let mut hashes: Vec<u64> = collected(&samples)
            .iter()
            .map(|sample| sample.hash)
            .collect();
        hashes.sort_unstable();
        let expected: Vec<u64> = (0..4)
            .flat_map(|thread| (1..=200).map(move |hash| thread * 1_000 + hash))
            .collect();
        assert_eq!(hashes, expected);
    }
}
