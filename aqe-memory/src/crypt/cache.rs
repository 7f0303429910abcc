//! Keys of segments that were opened lately.
//!
//! A key costs about 710 bytes, and less than a microsecond to derive again. Beside a segment of 1 MiB in memory that is 0.07 %,
//! so such segments may hold theirs; of segments on disk there can be hundreds of thousands, and their keys live here.
//! What is dropped from here is wiped as soon as the last read that uses it is over.
//!
//! The cache is a table of sets with four keys each. Segments that were made one after the other lie in different
//! sets, so that a few sets do not fill up before the others. A set has its own lock, which readers share, and evicts
//! by second chance (the CLOCK algorithm): a hit writes only if the key's mark is not set already.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::RwLock;

use super::error::KeyRingError;
use super::ring::KeyRing;
use super::segment::{KeyRef, Purpose, SegmentKey};

const WAYS: usize = 4;

/// A bounded number of opened keys.
pub(crate) struct KeyCache {
    sets: Box<[RwLock<Set>]>,
}

#[derive(Default)]
struct Set {
    slots: [Option<Slot>; WAYS],
    /// The slot that is looked at first when room is needed; under the set's write lock.
    hand: usize,
}

struct Slot {
    key: Arc<SegmentKey>,
    /// Read since the hand came by. Set under the read lock, cleared under the write lock; it guards nothing, and a
    /// mark that is seen late costs a derivation at most, so `Relaxed` is enough.
    read: AtomicBool,
}

impl KeyCache {
    /// Room for at least `capacity` keys, of about 710 bytes each once they are there.
    pub(crate) fn new(capacity: usize) -> Self {
        let sets = capacity.div_ceil(WAYS).max(1);
        Self {
            sets: (0..sets).map(|_| RwLock::default()).collect(),
        }
    }

    /// How many keys there can be.
    pub(crate) fn capacity(&self) -> usize {
        self.sets.len() * WAYS
    }

    /// The key of this file, from here or derived.
    ///
    /// # Errors
    ///
    /// As [`KeyRing::opener`], if it has to be derived.
    pub(crate) fn key(
        &self,
        ring: &KeyRing,
        purpose: Purpose,
        number: u64,
        key_ref: KeyRef,
    ) -> Result<Arc<SegmentKey>, KeyRingError> {
        let set = self.set(number);
        if let Some(slot) = set.read().find(purpose, number, key_ref) {
            if !slot.read.load(Ordering::Relaxed) {
                slot.read.store(true, Ordering::Relaxed);
            }
            return Ok(Arc::clone(&slot.key));
        }
        // Derived outside the lock: two threads may do it at once, and the second finds the first one's.
        let key = Arc::new(ring.opener(purpose, number, key_ref)?);
        let (kept, evicted) = set.write().insert(key);
        // Wiping it is not done under the lock either.
        drop(evicted);
        Ok(kept)
    }

    /// Drops the keys of this file: it is gone.
    pub(crate) fn remove(&self, number: u64) {
        let removed = self
            .set(number)
            .write()
            .take_all(|key| key.number() == number);
        drop(removed);
    }

    /// Drops all keys that the ring could not derive any more. To be called once a data key has been forgotten.
    pub(crate) fn retain(&self, ring: &KeyRing) {
        let known: Vec<_> = ring.generations().collect();
        for set in &self.sets {
            let removed = set
                .write()
                .take_all(|key| known.binary_search(&key.key_ref().generation).is_err());
            drop(removed);
        }
    }

    fn set(&self, number: u64) -> &RwLock<Set> {
        &self.sets[(number % self.sets.len() as u64) as usize]
    }
}

impl std::fmt::Debug for KeyCache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeyCache")
            .field("capacity", &self.capacity())
            .finish_non_exhaustive()
    }
}

impl Set {
    fn find(&self, purpose: Purpose, number: u64, key_ref: KeyRef) -> Option<&Slot> {
        self.slots.iter().flatten().find(|slot| {
            let key = &slot.key;
            key.number() == number && key.purpose() == purpose && key.key_ref() == key_ref
        })
    }

    /// The key that is kept, which is another thread's if that was faster, and the one that had to go.
    fn insert(&mut self, key: Arc<SegmentKey>) -> (Arc<SegmentKey>, Option<Slot>) {
        if let Some(slot) = self.find(key.purpose(), key.number(), key.key_ref()) {
            return (Arc::clone(&slot.key), None);
        }
        let victim = self.victim();
        let slot = Slot {
            key: Arc::clone(&key),
            read: AtomicBool::new(false),
        };
        (key, self.slots[victim].replace(slot))
    }

    /// An empty slot, or the first from the hand on that was not read since the last round. Ends within two rounds:
    /// the first takes the marks away.
    fn victim(&mut self) -> usize {
        if let Some(empty) = self.slots.iter().position(Option::is_none) {
            return empty;
        }
        loop {
            let at = self.hand;
            self.hand = (at + 1) % WAYS;
            let read = self.slots[at]
                .as_mut()
                .is_some_and(|slot| std::mem::take(slot.read.get_mut()));
            if !read {
                return at;
            }
        }
    }

    fn take_all(&mut self, goes: impl Fn(&SegmentKey) -> bool) -> [Option<Slot>; WAYS] {
        std::array::from_fn(|at| self.slots[at].take_if(|slot| goes(&slot.key)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypt::tests::ring;

    fn kept(cache: &KeyCache) -> usize {
        cache
            .sets
            .iter()
            .map(|set| set.read().slots.iter().flatten().count())
            .sum()
    }

    fn files(ring: &KeyRing, count: u64) -> Vec<(u64, KeyRef)> {
        (0..count)
            .map(|number| {
                (
                    number,
                    ring.sealer(Purpose::Segment, number).unwrap().key_ref(),
                )
            })
            .collect()
    }

    #[test]
    fn a_key_is_derived_once_while_it_is_kept() {
        let (ring, _) = ring();
        let cache = KeyCache::new(16);
        let files = files(&ring, 16);
        let first: Vec<_> = files
            .iter()
            .map(|&(n, r)| cache.key(&ring, Purpose::Segment, n, r).unwrap())
            .collect();
        for (&(number, key_ref), key) in files.iter().zip(&first) {
            assert!(Arc::ptr_eq(
                key,
                &cache.key(&ring, Purpose::Segment, number, key_ref).unwrap()
            ));
            assert_eq!((key.number(), key.key_ref()), (number, key_ref));
        }
    }

    #[test]
    fn there_are_never_more_keys_than_room() {
        let (ring, _) = ring();
        for capacity in [0, 1, 4, 5, 8] {
            let cache = KeyCache::new(capacity);
            assert!(cache.capacity() >= capacity && cache.capacity() < capacity.max(1) + WAYS);
            for (number, key_ref) in files(&ring, 40) {
                cache.key(&ring, Purpose::Segment, number, key_ref).unwrap();
                assert!(kept(&cache) <= cache.capacity());
            }
            assert_eq!(kept(&cache), cache.capacity());
        }
    }

    #[test]
    fn a_key_that_is_read_stays_and_one_that_is_not_goes() {
        let (ring, _) = ring();
        let cache = KeyCache::new(WAYS);
        let files = files(&ring, 40);
        let get = |index: usize| {
            let (number, key_ref) = files[index];
            cache.key(&ring, Purpose::Segment, number, key_ref).unwrap()
        };
        let hot = get(0);
        for index in 1..40 {
            assert!(Arc::ptr_eq(&hot, &get(0)), "gone after {index}");
            get(index);
        }
        let cold = get(39);
        for index in 1..30 {
            get(index);
        }
        assert!(!Arc::ptr_eq(&cold, &get(39)));
    }

    #[test]
    fn purpose_and_salt_tell_keys_of_one_number_apart() {
        let (ring, _) = ring();
        let cache = KeyCache::new(16);
        let key_ref = ring.sealer(Purpose::Segment, 7).unwrap().key_ref();
        let other_ref = ring.sealer(Purpose::Segment, 7).unwrap().key_ref();
        let segment = cache.key(&ring, Purpose::Segment, 7, key_ref).unwrap();
        let dictionary = cache.key(&ring, Purpose::Dictionary, 7, key_ref).unwrap();
        let other = cache.key(&ring, Purpose::Segment, 7, other_ref).unwrap();
        assert_eq!(dictionary.purpose(), Purpose::Dictionary);
        assert_eq!(other.key_ref(), other_ref);
        assert!(!Arc::ptr_eq(&segment, &dictionary) && !Arc::ptr_eq(&segment, &other));
        cache.remove(7);
        assert_eq!(kept(&cache), 0);
    }

    #[test]
    fn keys_of_a_forgotten_generation_are_dropped() {
        let (ring, keys) = ring();
        let cache = KeyCache::new(16);
        let old = ring.sealer(Purpose::Segment, 1).unwrap();
        cache
            .key(&ring, Purpose::Segment, 1, old.key_ref())
            .unwrap();
        let ring = ring.rotate_data(&keys).unwrap();
        let new = ring.sealer(Purpose::Segment, 2).unwrap();
        cache
            .key(&ring, Purpose::Segment, 2, new.key_ref())
            .unwrap();
        cache.retain(&ring);
        assert_eq!(kept(&cache), 2);
        let ring = ring.forget(old.key_ref().generation, &keys).unwrap();
        cache.retain(&ring);
        assert_eq!(kept(&cache), 1);
        assert!(matches!(
            cache.key(&ring, Purpose::Segment, 1, old.key_ref()),
            Err(KeyRingError::UnknownGeneration {
                generation: 1,
                newest: 2
            })
        ));
    }

    #[test]
    fn threads_agree_on_one_key() {
        let (ring, _) = ring();
        let cache = KeyCache::new(4);
        let files = files(&ring, 12);
        std::thread::scope(|scope| {
            for from in 0..4 {
                let (ring, cache, files) = (&ring, &cache, &files);
                scope.spawn(move || {
                    for turn in 0..300 {
                        let (number, key_ref) = files[(from * 5 + turn * 7) % files.len()];
                        let key = cache.key(ring, Purpose::Segment, number, key_ref).unwrap();
                        assert_eq!((key.number(), key.key_ref()), (number, key_ref));
                    }
                });
            }
        });
        assert_eq!(kept(&cache), 4);
    }
}
