//! How an entry is found and read.

use std::collections::BinaryHeap;

use parking_lot::MutexGuard;

use crate::clock::Millis;
use crate::index::{KeyHash, Shard, Slot};
use crate::marks::Table;
use crate::policy::{self, Sample};
use crate::segment::packed::Packed;
use crate::segment::raw::{self, Content, Record};
use crate::segment::{Kind, Lifetime};
use crate::shared::{View, kept_of, with_scratch};
use crate::stats::Cause;
use crate::store::{Core, Version};
use crate::tiers::Tiers;
use crate::value::Value;

type Key = Box<[u8]>;

/// Whether looking at an entry says that it is wanted.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Look<'a> {
    /// It does: the entry is kept longer.
    Read,
    /// It does not, as when all entries are looked at in turn.
    Peek,
    /// It does not, and tags that were invalidated since are not.
    Before(&'a Table),
}

impl Look<'_> {
    fn is_read(self) -> bool {
        matches!(self, Self::Read)
    }
}

/// An entry that was found under a shard's lock.
pub(crate) enum Found<'a> {
    /// The value is what it is, with the lock or without.
    Raw {
        value: Value,
        version: Version,
        /// Whether its record is to be [written anew](Core::log_again), without the lock.
        is_behind: bool,
    },
    /// Its record is to be [copied](Core::copy) under the lock, and [unpacked](Core::unpack) without it.
    Compressed(Compressed<'a>),
}

/// What is known of a compressed entry beside its record.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Compressed<'a> {
    hash: KeyHash,
    slot: Slot,
    epoch: Millis,
    now: Millis,
    look: Look<'a>,
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
    pub(crate) fn find(
        &self,
        namespace: u16,
        key: &[u8],
        look: Look<'_>,
    ) -> Option<(Value, Version)> {
        let now = self.clock.now();
        let hash = self.shared.index.hash(namespace, key);
        let shard = self.shared.index.read(hash);
        match self.find_in(&shard, hash, namespace, key, now, look)? {
            Found::Raw {
                value,
                version,
                is_behind,
            } => {
                drop(shard);
                if is_behind {
                    self.log_again(namespace, key);
                }
                Some((value, version))
            }
            Found::Compressed(compressed) => with_scratch(|record| {
                self.copy(&compressed, record)?;
                drop(shard);
                self.unpack(&compressed, record)
            }),
        }
    }

    /// Finds the entry of a key, whose shard is locked.
    #[inline]
    pub(crate) fn find_in<'a>(
        &self,
        shard: &Shard,
        hash: KeyHash,
        namespace: u16,
        key: &[u8],
        now: Millis,
        look: Look<'a>,
    ) -> Option<Found<'a>> {
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
                let is_behind =
                    record.has_extras() && self.look_besides(record, namespace, now, look)?;
                if look.is_read() && self.shared.samples.wants(hash.whole) {
                    self.note(hash, record.size().into(), true);
                }
                let version = Version(record.version());
                let value = match record.pin() {
                    Some(pinned) => Value::pinned(pinned),
                    None => Value::owned(record.value()),
                };
                Found::Raw {
                    value,
                    version,
                    is_behind,
                }
            }
            Kind::Packed | Kind::Cold => Found::Compressed(Compressed {
                hash,
                slot,
                epoch: segment.epoch,
                now,
                look,
            }),
        };
        if look.is_read() {
            found.touch(policy::hit(slot.frequency()));
        }
        Some(one)
    }

    /// Heeds what a record says besides: gives nothing if its entry is void, and prolongs its life if that is read. Says
    /// whether the record in the folder is behind. The caller holds the lock of the entry's shard.
    #[cold]
    fn look_besides(
        &self,
        record: Record<'_>,
        namespace: u16,
        now: Millis,
        look: Look<'_>,
    ) -> Option<bool> {
        let extras = record.extras();
        if self.is_void(namespace, record.whole_version(), extras.tags, look) {
            return None;
        }
        let Some(sliding) = extras.sliding.filter(|_| look.is_read()) else {
            return Some(false);
        };
        let until = sliding.until(now);
        record.prolong(Lifetime::until(until, record.epoch()));
        let logged = record.logged().deadline(record.epoch());
        Some(record.backing().is_some() && sliding.is_behind(logged, until))
    }

    /// Writes the record of a sliding entry anew. What cannot be written is tried again when the entry is read again.
    #[cold]
    pub(crate) fn log_again(&self, namespace: u16, key: &[u8]) {
        let now = self.clock.now();
        let _ = self
            .tiers
            .lock()
            .log_again(&self.shared, (namespace, key), now);
    }

    fn is_void(&self, namespace: u16, version: u64, tags: &[u8], look: Look<'_>) -> bool {
        match look {
            Look::Read | Look::Peek => self.shared.marks.is_void(namespace, version, tags),
            Look::Before(table) => table.is_void(namespace, version, tags),
        }
    }

    /// Copies the record of an entry that was found under the lock of its shard, which is held still.
    pub(crate) fn copy(&self, compressed: &Compressed<'_>, record: &mut Vec<u8>) -> Option<()> {
        let place = compressed.slot.place();
        // SAFETY: the slot was found under the shard's lock, which is held.
        let segment = unsafe { self.shared.directory.get(place.segment) };
        self.shared.fetch(segment, place.offset, record)
    }

    /// The value of a copied record. An entry that is read often is uncompressed from then on.
    pub(crate) fn unpack(
        &self,
        compressed: &Compressed<'_>,
        record: &[u8],
    ) -> Option<(Value, Version)> {
        let Compressed {
            slot, now, look, ..
        } = *compressed;
        let record = Packed::read(record)?;
        let deadline = record.lifetime.deadline(compressed.epoch);
        let (namespace, version) = (record.namespace, record.version);
        if deadline <= now || self.is_void(namespace, version, record.extras.tags, look) {
            return None;
        }
        let value = self.shared.decode(&record)?;
        match record.extras.sliding {
            Some(sliding) if look.is_read() => {
                let tiers = self.tiers.lock();
                let until = sliding.until(now).max(deadline);
                let times = (deadline, until);
                if !self.promote(tiers, compressed, &record, &value, times) {
                    // Somebody else has moved it, or replaced it: what is there now has to hear that it is read.
                    return self.find(namespace, record.key, Look::Read);
                }
                if self.folder.is_some() && sliding.is_behind(deadline, until) {
                    self.log_again(namespace, record.key);
                }
            }
            // Unless somebody has the lock.
            _ if look.is_read() && slot.frequency() > 0 => {
                if let Some(tiers) = self.tiers.try_lock() {
                    let times = (deadline, deadline);
                    self.promote(tiers, compressed, &record, &value, times);
                }
            }
            _ => {}
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

    /// Makes an entry uncompressed again, which ends at the later of two times; its compressed copy at the first. Says whether it
    /// is what it was; it is left as it is if there is no room for it.
    fn promote(
        &self,
        mut tiers: MutexGuard<'_, Tiers>,
        compressed: &Compressed<'_>,
        record: &Packed<'_>,
        value: &[u8],
        (logged, deadline): (Millis, Millis),
    ) -> bool {
        let Compressed {
            hash, slot, now, ..
        } = *compressed;
        let was = slot.place();
        // What is in a file stays there, and is what the entry is again when there is no room for it.
        let backing = self.folder.as_ref().map(|_| was);
        let extras = &record.extras;
        let size = raw::size(record.key.len(), value.len(), backing.is_some(), extras);
        let Ok(reserved) = tiers.place(&self.shared, hash, size, deadline, now) else {
            return true;
        };
        drop(tiers);
        let content = Content {
            namespace: record.namespace,
            key: record.key,
            value,
            lifetime: Lifetime::until(deadline, reserved.segment.epoch),
            version: record.version,
            backing,
            extras: record.extras,
        };
        // SAFETY: the place was reserved for a record of this size, just now.
        unsafe { reserved.segment.write_raw(reserved.place.offset, &content) };
        // SAFETY: it was written just now, and nobody removes the segment before the record is published.
        let written = unsafe { reserved.segment.raw(reserved.place.offset) };
        written.set_logged(Lifetime::until(logged, reserved.segment.epoch));
        if self.shared.samples.wants(hash.whole) {
            self.note(hash, size, false);
        }
        let moved = Slot::new(hash.tag, reserved.place, 0);
        let mut shard = self.shared.index.write(hash);
        let is_moved = shard.replace(hash, |other| other.place() == was, moved);
        match (is_moved, backing) {
            (true, Some(_)) => {}
            (true, None) => self.shared.bury(was),
            // Its copy, if it has one, is not buried with it: that was done, or it is the entry.
            (false, _) => self.shared.bury_alone(reserved.place),
        }
        drop(shard);
        reserved.segment.published();
        is_moved
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
        look: Look<'_>,
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
                         whole_version,
                         tags,
                         deadline,
                         ..
                     }| {
                        let fits = other == namespace
                            && deadline > now
                            && key.starts_with(prefix)
                            && after.is_none_or(|after| key > after)
                            && (found.len() < most
                                || found.peek().is_some_and(|last: &Key| key < &**last))
                            && !self.is_void(namespace, whole_version, tags, look);
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

    /// Version of a slot's entry, if it is not over or void. The caller holds the lock of its shard.
    pub(crate) fn see(&self, slot: Slot, now: Millis) -> Option<Version> {
        let seen = self.shared.view(slot, |view| {
            let is_there = view.deadline > now && !self.shared.is_view_void(&view);
            is_there.then_some(Version(view.version))
        });
        seen.flatten()
    }

    /// Why a slot's entry is gone that is taken away for a reason. The caller holds the lock of its shard.
    pub(crate) fn cause(&self, slot: Slot, now: Millis, reason: Cause) -> Cause {
        let cause = self
            .shared
            .view(slot, |view| self.cause_of(&view, now, reason));
        cause.unwrap_or(Cause::Expired)
    }

    /// [`cause`](Self::cause) of an entry that is shown.
    pub(crate) fn cause_of(&self, view: &View<'_>, now: Millis, reason: Cause) -> Cause {
        match view.deadline > now {
            false => Cause::Expired,
            true if self.shared.is_view_void(view) => Cause::Invalidated,
            true => reason,
        }
    }
}
