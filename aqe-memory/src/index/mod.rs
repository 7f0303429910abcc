//! From a key to the place of its entry.
//!
//! The keys themselves lie with their entries; the index has a slot of eight bytes for each, in hash tables behind
//! reader-writer locks. A slot keeps enough of the hash for its table to grow without a look at the key, which may be
//! on disk.
//!
//! **Invariant:** a slot names an entry that is there. Whoever takes an entry away takes its slot away first, under the
//! write lock of its shard; whoever reads an entry found its slot under the read lock and holds it until it has
//! pinned or copied what it needs.

mod pages;
mod slot;

use std::hash::{BuildHasher, Hasher};
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam_utils::CachePadded;
use foldhash::fast::FixedState;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use parking_lot::{RwLock, RwLockReadGuard, RwLockWriteGuard};

use self::pages::Pages;
use self::slot::TAG_BITS;
pub(crate) use self::slot::{MOST_BYTES_IN_SEGMENT, MOST_SEGMENTS, Place, Slot, UNIT};

/// The slots of all entries.
#[derive(Debug)]
pub(crate) struct Index {
    shards: Box<[CachePadded<RwLock<Shard>>]>,
    /// Hashes are keyed, so that nobody can choose keys that meet in one place.
    hasher: FixedState,
    /// How far to shift a hash for the number of its shard.
    shift: u32,
    /// Bytes of all tables.
    bytes: CachePadded<AtomicU64>,
}

/// What the index knows of a key: the shard and the tag.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KeyHash {
    pub(crate) whole: u64,
    pub(crate) shard: u32,
    pub(crate) tag: u32,
}

impl Index {
    /// An index of `1 << bits` shards, whose hashes are keyed by `seed`.
    pub(crate) fn new(bits: u32, seed: u64) -> Self {
        debug_assert!((1..=16).contains(&bits));
        Self {
            shards: (0..1u32 << bits).map(|_| CachePadded::default()).collect(),
            hasher: FixedState::with_seed(seed),
            shift: 64 - bits,
            bytes: CachePadded::default(),
        }
    }

    /// The hash of a key of a namespace.
    #[inline]
    pub(crate) fn hash(&self, namespace: u16, key: &[u8]) -> KeyHash {
        let mut hasher = self.hasher.build_hasher();
        hasher.write_u16(namespace);
        hasher.write(key);
        let hash = hasher.finish();
        KeyHash {
            whole: hash,
            shard: (hash >> self.shift) as u32,
            tag: hash as u32 & ((1 << TAG_BITS) - 1),
        }
    }

    /// What is known of the hash of a slot's key, from the slot and the number of its shard: enough to find the slot again.
    pub(crate) fn hash_of(&self, shard: u32, slot: Slot) -> KeyHash {
        KeyHash {
            whole: 0,
            shard,
            tag: slot.tag(),
        }
    }

    /// Another hash of a key, keyed otherwise.
    pub(crate) fn other_hash(&self, namespace: u16, key: &[u8]) -> u64 {
        let mut hasher = FixedState::with_seed(!self.hash(namespace, b"").whole).build_hasher();
        hasher.write(key);
        hasher.finish()
    }

    /// What hashing a certain text gives: the same for two indexes whose slots mean the same.
    pub(crate) fn hashing(&self) -> u64 {
        self.hash(7, b"how this index hashes").whole
    }

    #[inline]
    pub(crate) fn read(&self, hash: KeyHash) -> RwLockReadGuard<'_, Shard> {
        self.shards[hash.shard as usize].read()
    }

    #[inline]
    pub(crate) fn write(&self, hash: KeyHash) -> RwLockWriteGuard<'_, Shard> {
        self.shards[hash.shard as usize].write()
    }

    /// All shards, one after the other.
    pub(crate) fn shards(&self) -> impl Iterator<Item = &RwLock<Shard>> {
        self.shards.iter().map(|shard| &**shard)
    }

    /// Puts a slot where `current` says that the key's entry is now, or adds it. Gives the slot that was there.
    pub(crate) fn publish(
        &self,
        shard: &mut Shard,
        slot: Slot,
        current: impl FnMut(Slot) -> bool,
    ) -> Option<Slot> {
        let before = shard.table.allocation_size();
        let replaced = shard.publish(slot, current);
        self.account(before, shard.table.allocation_size());
        replaced
    }

    /// Adds the slots of keys that have none.
    pub(crate) fn fill(&self, shard: usize, slots: impl ExactSizeIterator<Item = Slot>) {
        let mut shard = self.shards[shard].write();
        let before = shard.table.allocation_size();
        shard.moved += 1;
        shard.table.reserve(slots.len(), hash_of);
        for slot in slots {
            shard.publish(slot, |_| false);
        }
        self.account(before, shard.table.allocation_size());
    }

    /// Gives back what empty places of a shard take, when they are most of it.
    pub(crate) fn shrink(&self, shard: &mut Shard) {
        if shard.table.len() * 4 < shard.table.capacity() {
            let before = shard.table.allocation_size();
            shard.moved += 1;
            shard.table.shrink_to(shard.table.len() * 2, hash_of);
            self.account(before, shard.table.allocation_size());
        }
    }

    /// Bytes that the tables take.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    fn account(&self, before: usize, after: usize) {
        // A table changes its size seldom, so this line is seldom written. Relaxed: a sum, read for decisions of degree.
        if before != after {
            let change = (after as u64).wrapping_sub(before as u64);
            self.bytes.fetch_add(change, Ordering::Relaxed);
        }
    }
}

/// One table of slots.
#[derive(Debug, Default)]
pub(crate) struct Shard {
    table: HashTable<AtomicU64, Pages>,
    /// How often slots may have changed places.
    moved: u64,
}

impl Shard {
    /// The slot of the entry of which `is_it` says yes, among those with the tag.
    #[inline]
    pub(crate) fn find(
        &self,
        hash: KeyHash,
        mut is_it: impl FnMut(Slot) -> bool,
    ) -> Option<SlotRef<'_>> {
        let found = self.table.find(spread(hash.tag), |slot| {
            let slot = Slot::from_bits(slot.load(Ordering::Relaxed));
            slot.tag() == hash.tag && is_it(slot)
        });
        found.map(SlotRef)
    }

    /// Takes a slot out. Gives what was in it.
    pub(crate) fn remove(
        &mut self,
        hash: KeyHash,
        mut is_it: impl FnMut(Slot) -> bool,
    ) -> Option<Slot> {
        let found = self.table.find_entry(spread(hash.tag), |slot| {
            let slot = Slot::from_bits(slot.load(Ordering::Relaxed));
            slot.tag() == hash.tag && is_it(slot)
        });
        let (slot, _) = found.ok()?.remove();
        Some(Slot::from_bits(slot.into_inner()))
    }

    /// Puts `slot` in the place of another. Says whether that was there.
    pub(crate) fn replace(
        &mut self,
        hash: KeyHash,
        is_it: impl FnMut(Slot) -> bool,
        slot: Slot,
    ) -> bool {
        let found = self.find(hash, is_it);
        if let Some(found) = &found {
            found.0.store(slot.bits(), Ordering::Relaxed);
        }
        found.is_some()
    }

    /// Keeps the slots of which `keep` says yes.
    pub(crate) fn retain(&mut self, mut keep: impl FnMut(Slot) -> bool) {
        self.table
            .retain(|slot| keep(Slot::from_bits(slot.load(Ordering::Relaxed))));
    }

    /// How many slots there are.
    pub(crate) fn len(&self) -> usize {
        self.table.len()
    }

    /// All slots.
    pub(crate) fn slots(&self) -> impl Iterator<Item = Slot> {
        let load = |slot: &AtomicU64| Slot::from_bits(slot.load(Ordering::Relaxed));
        self.table.iter().map(load)
    }

    /// How many places for slots there are, taken or not.
    pub(crate) fn places(&self) -> usize {
        self.table.num_buckets()
    }

    /// Slots keep their places for as long as this is the same.
    pub(crate) fn moved(&self) -> u64 {
        self.moved
    }

    /// The slots in some of the places.
    pub(crate) fn slots_at(&self, places: Range<usize>) -> impl Iterator<Item = Slot> {
        let slots = places.filter_map(|place| self.table.get_bucket(place));
        slots.map(|slot| Slot::from_bits(slot.load(Ordering::Relaxed)))
    }

    fn publish(&mut self, slot: Slot, mut current: impl FnMut(Slot) -> bool) -> Option<Slot> {
        let is_it = |other: &AtomicU64| {
            let other = Slot::from_bits(other.load(Ordering::Relaxed));
            other.tag() == slot.tag() && current(other)
        };
        // A table that has no room left grows, or tidies up in place.
        self.moved += u64::from(self.table.len() == self.table.capacity());
        match self.table.entry(spread(slot.tag()), is_it, hash_of) {
            Entry::Occupied(mut entry) => {
                let before = std::mem::replace(entry.get_mut(), AtomicU64::new(slot.bits()));
                Some(Slot::from_bits(before.into_inner()))
            }
            Entry::Vacant(entry) => {
                entry.insert(AtomicU64::new(slot.bits()));
                None
            }
        }
    }
}

/// A slot in its table, for as long as its shard is locked for reading.
pub(crate) struct SlotRef<'a>(&'a AtomicU64);

impl SlotRef<'_> {
    #[inline]
    pub(crate) fn get(&self) -> Slot {
        Slot::from_bits(self.0.load(Ordering::Relaxed))
    }

    /// Notes a read of the entry.
    #[inline]
    pub(crate) fn touch(&self, frequency: u8) {
        // Under the read lock only frequencies change. Two readers may write at once, and one step is lost then: it is an
        // estimate. What is popular is at its limit, so that its line is not written any more.
        let slot = self.get();
        if slot.frequency() != frequency {
            self.0
                .store(slot.with_frequency(frequency).bits(), Ordering::Relaxed);
        }
    }
}

/// A tag spread over the bits by which the table chooses a place (the low ones) and tells neighbours apart (the high
/// ones): Fibonacci hashing (Knuth, The Art of Computer Programming, volume 3, section 6.4).
#[inline]
fn spread(tag: u32) -> u64 {
    let product = u64::from(tag).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    product ^ (product >> 32)
}

fn hash_of(slot: &AtomicU64) -> u64 {
    spread(Slot::from_bits(slot.load(Ordering::Relaxed)).tag())
}
