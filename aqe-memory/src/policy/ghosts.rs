//! What was let go not long ago: fingerprints, four bytes each.

/// Fingerprints a bucket holds: half a cache line, so that a look-up costs one miss.
const BUCKET: usize = 8;

/// Fingerprints of entries that were let go, with the time at which each was.
///
/// Time is counted in sixteenths of the capacity that were let go, since that is what rules measure memory in. A slot holds 24
/// bits of the hash and 8 of the time; an empty slot is 0. Where a bucket overflows, the oldest is forgotten first.
#[derive(Debug, Default)]
pub(super) struct Ghosts {
    slots: Vec<[u32; BUCKET]>,
    /// Counts the sixteenths; what is beyond 8 bits is of no interest, see [`Self::age`].
    time: u8,
    /// Bytes let go in this sixteenth.
    let_go: u64,
}

impl Ghosts {
    /// Has room for so many, forgetting all there were. Twice the wanted entries should be given: buckets fill unevenly, and
    /// some rules look twice as far back.
    pub(super) fn resize(&mut self, fingerprints: usize) {
        self.slots = vec![[0; BUCKET]; fingerprints.div_ceil(BUCKET)];
    }

    pub(super) fn room(&self) -> usize {
        self.slots.len() * BUCKET
    }

    pub(super) fn memory(&self) -> usize {
        self.room() * size_of::<u32>()
    }

    /// Lets time pass for what is let go, remembered or not.
    pub(super) fn pass(&mut self, weight: u64, capacity: u64) {
        let sixteenth = (capacity / 16).max(1);
        self.let_go = self.let_go.saturating_add(weight);
        // What is heavier than the whole capacity makes everything before it old, once.
        let passed = (self.let_go / sixteenth).min(u64::from(u8::MAX)) as u8;
        self.time = self.time.wrapping_add(passed);
        self.let_go %= sixteenth;
    }

    /// Remembers an entry.
    pub(super) fn remember(&mut self, hash: u64) {
        let Some(bucket) = self.bucket(hash) else {
            return;
        };
        let time = self.time;
        // A time of its own for an empty slot is not needed: any slot is as good as an empty one when it is the oldest.
        let slot = self.slots[bucket].iter_mut().max_by_key(|slot| {
            if **slot == 0 {
                u8::MAX
            } else {
                age(**slot, time)
            }
        });
        if let Some(slot) = slot {
            *slot = fingerprint(hash) << 8 | u32::from(time);
        }
    }

    /// Whether an entry was let go within the last `memory` sixteenths; it is forgotten by being asked for.
    pub(super) fn recall(&mut self, hash: u64, memory: u8) -> bool {
        let Some(bucket) = self.bucket(hash) else {
            return false;
        };
        let (time, sought) = (self.time, fingerprint(hash));
        let Some(slot) = self.slots[bucket]
            .iter_mut()
            .find(|slot| **slot >> 8 == sought)
        else {
            return false;
        };
        let known = age(*slot, time) < memory;
        *slot = 0;
        known
    }

    fn bucket(&self, hash: u64) -> Option<usize> {
        // Lemire's range reduction takes the hash's upper bits, the fingerprint is of its lower ones.
        let bucket = (u128::from(hash) * self.slots.len() as u128) >> 64;
        (!self.slots.is_empty()).then_some(bucket as usize)
    }
}

/// How long ago, in sixteenths. It wraps after 256 of them, in which time sixteen times the capacity was let go: by then
/// every bucket has been overwritten several times, so that hardly a slot is ever taken for younger than it is.
fn age(slot: u32, time: u8) -> u8 {
    time.wrapping_sub(slot as u8)
}

/// 24 bits that are never all zero, so that no slot in use looks empty.
fn fingerprint(hash: u64) -> u32 {
    (hash as u32 & 0x00ff_ffff).max(1)
}

#[cfg(test)]
mod tests {
    use super::super::model::hash;
    use super::*;

    #[test]
    fn without_room_nothing_is_remembered() {
        let mut ghosts = Ghosts::default();
        ghosts.remember(hash(1));
        assert!(!ghosts.recall(hash(1), 16));
    }

    #[test]
    fn what_is_remembered_is_recalled_once() {
        let mut ghosts = Ghosts::default();
        ghosts.resize(64);
        ghosts.remember(hash(1));
        assert!(!ghosts.recall(hash(2), 16));
        assert!(ghosts.recall(hash(1), 16));
        assert!(!ghosts.recall(hash(1), 16));
    }

    #[test]
    fn memory_ends_by_what_was_let_go_since() {
        for (let_go, known) in [(0, true), (1_599, true), (1_600, false), (5_000, false)] {
            let mut ghosts = Ghosts::default();
            ghosts.resize(64);
            ghosts.remember(hash(1));
            ghosts.pass(let_go, 1_600);
            assert_eq!(ghosts.recall(hash(1), 16), known, "{let_go}");
        }
    }

    #[test]
    fn the_oldest_of_a_bucket_is_forgotten_first() {
        let mut ghosts = Ghosts::default();
        ghosts.resize(BUCKET);
        for key in 0..=BUCKET as u64 {
            ghosts.remember(hash(key));
            ghosts.pass(100, 1_600);
        }
        assert!(!ghosts.recall(hash(0), 255));
        assert!((1..=BUCKET as u64).all(|key| ghosts.recall(hash(key), 255)));
    }

    #[test]
    fn what_is_heavier_than_the_capacity_makes_all_old() {
        let mut ghosts = Ghosts::default();
        ghosts.resize(64);
        ghosts.remember(hash(1));
        ghosts.pass(u64::MAX, 1_000);
        assert!(!ghosts.recall(hash(1), 64));
    }

    #[test]
    fn most_of_a_full_window_is_recalled() {
        let mut ghosts = Ghosts::default();
        ghosts.resize(2_000);
        for key in 0..10_000 {
            ghosts.remember(hash(key));
            ghosts.pass(1, 1_000);
        }
        let recalled = (9_100..10_000)
            .filter(|key| ghosts.recall(hash(*key), 16))
            .count();
        assert!(recalled > 850, "{recalled} of 900");
    }
}
