//! How an entry is found and read.

use std::collections::BinaryHeap;

use crate::clock::Millis;
use crate::index::{KeyHash, Shard, Slot};
use crate::policy::{self, Sample};
use crate::segment::packed::Packed;
use crate::segment::raw::{self, Content};
use crate::segment::{Kind, Lifetime};
use crate::shared::{View, kept_of, with_scratch};
use crate::store::{Core, Version};
use crate::value::Value;

type Key = Box<[u8]>;

/// Whether looking at an entry says that it is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Look {
    /// It does: the entry is kept longer.
    Read,
    /// It does not, as when all entries are looked at in turn.
    Peek,
}

/// An entry that was found under a shard's lock.
pub(crate) enum Found {
    /// The value is what it is, with the lock or without.
    Raw(Value, Version),
    /// Its record is to be [copied](Core::copy) under the lock, and [unpacked](Core::unpack) without it.
    Compressed(Compressed),
}

/// What is known of a compressed entry beside its record.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Compressed {
    hash: KeyHash,
    slot: Slot,
    epoch: Millis,
    now: Millis,
    look: Look,
}

impl Core {
    /// Reads, and counts that.
    #[inline]
    pub(crate) fn read(&self, namespace: u16, key: &[u8]) -> Option<(Value, Version)> {
        let found = self.find(namespace, key, Look::Read);
        match &found {
            Some(_) => self.shared.counts.hits(1),
            None => self.shared.counts.misses(1),
        }
        found
    }

    #[inline]
    pub(crate) fn find(&self, namespace: u16, key: &[u8], look: Look) -> Option<(Value, Version)> {
        let now = self.clock.now();
        let hash = self.shared.index.hash(namespace, key);
        let shard = self.shared.index.read(hash);
        match self.find_in(&shard, hash, namespace, key, now, look)? {
            Found::Raw(value, version) => Some((value, version)),
            Found::Compressed(compressed) => with_scratch(|record| {
                self.copy(&compressed, record)?;
                drop(shard);
                self.unpack(&compressed, record)
            }),
        }
    }

    /// Finds the entry of a key, whose shard is locked.
    #[inline]
    pub(crate) fn find_in(
        &self,
        shard: &Shard,
        hash: KeyHash,
        namespace: u16,
        key: &[u8],
        now: Millis,
        look: Look,
    ) -> Option<Found> {
        let found = shard.find(hash, |slot| self.is_entry(slot, namespace, key))?;
        let slot = found.get();
        let place = slot.place();
        // SAFETY: the slot was found under the shard's lock, which is held.
        let segment = unsafe { self.shared.directory.get(place.segment) };
        let one = match segment.kind {
            Kind::Raw => {
                // SAFETY: as above; the record was written before its slot was there.
                let record = unsafe { segment.raw(place.offset) };
                if record.lifetime().deadline(segment.epoch) <= now {
                    return None;
                }
                if look == Look::Read && self.shared.samples.wants(hash.whole) {
                    self.note(hash, record.size().into(), true);
                }
                let version = Version(record.version());
                let value = match record.pin() {
                    Some(pinned) => Value::pinned(pinned),
                    None => Value::owned(record.value()),
                };
                Found::Raw(value, version)
            }
            Kind::Packed | Kind::Cold => Found::Compressed(Compressed {
                hash,
                slot,
                epoch: segment.epoch,
                now,
                look,
            }),
        };
        if look == Look::Read {
            found.touch(policy::hit(slot.frequency()));
        }
        Some(one)
    }

    /// Copies the record of an entry that was found under the lock of its shard, which is held still.
    pub(crate) fn copy(&self, compressed: &Compressed, record: &mut Vec<u8>) -> Option<()> {
        let place = compressed.slot.place();
        // SAFETY: the slot was found under the shard's lock, which is held.
        let segment = unsafe { self.shared.directory.get(place.segment) };
        self.shared.fetch(segment, place.offset, record)
    }

    /// The value of a copied record. An entry that is read often is uncompressed from then on.
    pub(crate) fn unpack(
        &self,
        compressed: &Compressed,
        record: &[u8],
    ) -> Option<(Value, Version)> {
        let Compressed {
            hash, slot, now, ..
        } = *compressed;
        let record = Packed::read(record)?;
        let deadline = record.lifetime.deadline(compressed.epoch);
        if deadline <= now {
            return None;
        }
        let value = self.shared.decode(&record)?;
        if compressed.look == Look::Read && slot.frequency() > 0 {
            self.promote(hash, slot, &record, &value, deadline, now);
        }
        Some((Value::owned(value), Version(kept_of(record.version))))
    }

    /// Notes a read of an uncompressed entry, or that there is a new one, for the policy.
    #[cold]
    pub(crate) fn note(&self, hash: KeyHash, weight: u64, hit: bool) {
        let sample = Sample {
            hash: hash.whole,
            weight,
            hit,
        };
        // Whoever has the lock may be waiting for the shard that is locked here, so that it is not waited for.
        if self.shared.samples.note(sample)
            && let Some(mut tiers) = self.tiers.try_lock()
        {
            tiers.learn(&self.shared);
        }
    }

    /// Makes an entry uncompressed again, unless somebody has the lock.
    fn promote(
        &self,
        hash: KeyHash,
        slot: Slot,
        record: &Packed<'_>,
        value: &[u8],
        deadline: Millis,
        now: Millis,
    ) {
        let was = slot.place();
        // What is in a file stays there, and is what the entry is again when there is no room for it.
        let backing = self.folder.as_ref().map(|_| was);
        let size = raw::size(record.key.len(), value.len(), backing.is_some());
        let Some(mut tiers) = self.tiers.try_lock() else {
            return;
        };
        let Ok(reserved) = tiers.place(&self.shared, hash, size, deadline, now) else {
            return;
        };
        drop(tiers);
        let content = Content {
            namespace: record.namespace,
            key: record.key,
            value,
            lifetime: Lifetime::until(deadline, reserved.segment.epoch),
            version: kept_of(record.version),
            backing,
        };
        // SAFETY: the place was reserved for a record of this size, just now.
        unsafe { reserved.segment.write_raw(reserved.place.offset, &content) };
        if self.shared.samples.wants(hash.whole) {
            self.note(hash, size, false);
        }
        let moved = Slot::new(hash.tag, reserved.place, 0);
        let mut shard = self.shared.index.write(hash);
        match (
            shard.replace(hash, |other| other.place() == was, moved),
            backing,
        ) {
            (true, Some(_)) => {}
            (true, None) => self.shared.bury(was),
            // Its copy, if it has one, is not buried with it: that was done, or it is the entry.
            (false, _) => self.shared.bury_alone(reserved.place),
        }
        drop(shard);
        reserved.segment.published();
    }

    pub(crate) fn look(&self, namespace: u16, key: &[u8]) -> Option<Version> {
        let hash = self.shared.index.hash(namespace, key);
        let shard = self.shared.index.read(hash);
        let found = shard.find(hash, |slot| self.is_entry(slot, namespace, key))?;
        self.see(found.get(), self.clock.now())
    }

    pub(crate) fn keys(
        &self,
        namespace: u16,
        prefix: &[u8],
        after: Option<&[u8]>,
        most: usize,
    ) -> Vec<Box<[u8]>> {
        let now = self.clock.now();
        // The greatest of those found is on top, and goes when there are too many.
        let mut found: BinaryHeap<Key> = BinaryHeap::new();
        for shard in self.shared.index.shards() {
            let shard = shard.read();
            for slot in shard.slots() {
                self.shared.view(
                    slot,
                    |View {
                         namespace: other,
                         key,
                         deadline,
                         ..
                     }| {
                        let fits = other == namespace
                            && deadline > now
                            && key.starts_with(prefix)
                            && after.is_none_or(|after| key > after)
                            && (found.len() < most
                                || found.peek().is_some_and(|last: &Key| key < &**last));
                        if fits {
                            found.push(Box::from(key));
                            if found.len() > most {
                                found.pop();
                            }
                        }
                    },
                );
            }
        }
        found.into_sorted_vec()
    }

    /// Whether a slot's entry is the key's. The caller holds the lock of the key's shard.
    #[inline]
    pub(crate) fn is_entry(&self, slot: Slot, namespace: u16, key: &[u8]) -> bool {
        let is_it = |view: View<'_>| view.namespace == namespace && view.key == key;
        self.shared.view(slot, is_it).unwrap_or(false)
    }

    /// Version of a slot's entry, if its time is not over. The caller holds the lock of its shard.
    pub(crate) fn see(&self, slot: Slot, now: Millis) -> Option<Version> {
        let seen = self.shared.view(slot, |view| (view.version, view.deadline));
        seen.filter(|(_, deadline)| *deadline > now)
            .map(|(version, _)| Version(version))
    }
}
