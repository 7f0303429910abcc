//! Entries that outlive their place: those that were read and live longer than the segment in which they are.
//!
//! The deadline of a sliding entry moves in its uncompressed record, under the lock of its shard, and nowhere else. Whoever
//! copies such a record takes the deadline along under the write lock, so that no read is lost; whoever compresses it gives
//! up when it moved meanwhile.

use super::queue::{Queue, Victim};
use super::{NoPlace, Tier, Tiers};
use crate::clock::Millis;
use crate::index::{KeyHash, Place, Slot};
use crate::segment::extras::{Extras, Sliding};
use crate::segment::packed::Packed;
use crate::segment::raw::{Content, Record};
use crate::segment::{Kind, Lifetime, Segment};
use crate::shared::{Doomed, Shared, with_scratch};
use crate::stats::Cause;
use crate::value::Value;

/// An uncompressed sliding entry and its copy in the folder.
struct Behind {
    value: Value,
    version: u64,
    deadline: Millis,
    backing: Place,
    /// Until when the copy may be on disk.
    stays: Millis,
    /// What the record says besides, in the form that it has there.
    tags: Vec<u8>,
    sliding: Option<Sliding>,
}

impl Tiers {
    /// Finds a later place for an entry whose segment, or whose copy's, the caller is about to remove, if its time is not over.
    /// Says whether there is nothing left to drop.
    pub(crate) fn put_over(
        &mut self,
        shared: &Shared,
        (namespace, key): (u16, &[u8]),
        place: Place,
        now: Millis,
    ) -> bool {
        let hash = shared.index.hash(namespace, key);
        let slot = {
            let shard = shared.index.read(hash);
            let found = shard.find(hash, |slot| shared.belongs(slot, place));
            found.map(|slot| slot.get())
        };
        let Some(slot) = slot else { return true };
        if slot.place() != place {
            // The copy's time is over, and perhaps not that of the entry.
            return matches!(self.log_again(shared, (namespace, key), now), Ok(true));
        }
        // SAFETY: the segment is the caller's alone to remove.
        let segment = unsafe { shared.directory.get(place.segment) };
        match segment.kind {
            Kind::Raw => {
                // SAFETY: as above; the record was written before its slot was there.
                let record = unsafe { segment.raw(place.offset) };
                self.put_over_raw(shared, (hash, slot), segment, record, now)
            }
            Kind::Packed => self.put_over_packed(shared, (hash, slot), segment, now),
            Kind::Cold => false,
        }
    }

    /// The latest time at which a segment ends that there is now.
    pub(crate) fn last_end(&self, shared: &Shared) -> Millis {
        let queues = [&self.recent, &self.main, &self.packed, &self.cold];
        let numbers = queues.into_iter().flat_map(Queue::numbers);
        let ends = numbers.chain(self.rewriting).map(|number| {
            // SAFETY: a segment that is in a queue, or being written anew, is not removed.
            let segment = unsafe { shared.directory.get(number) };
            segment.last_deadline().max(segment.end)
        });
        // What could not be removed is found again by whoever opens the folder without a snapshot.
        let left = self.disk.iter().flat_map(|disk| &disk.left);
        let left = left.map(|left| left.known.end);
        ends.chain(left).max().unwrap_or(0)
    }

    /// The number of the oldest file, or that of the next one if there is none.
    pub(crate) fn oldest_file(&self, shared: &Shared) -> u64 {
        let numbers = self.packed.numbers().chain(self.cold.numbers());
        let files = numbers.chain(self.rewriting).filter_map(|number| {
            // SAFETY: as above.
            let segment = unsafe { shared.directory.get(number) };
            Some(segment.on_disk?.file)
        });
        let left = self.disk.iter().flat_map(|disk| &disk.left);
        let left = left.map(|left| left.known.file);
        files.chain(left).min().unwrap_or(u64::MAX)
    }

    /// Takes out a segment in memory most of which is dead. The caller [clears](Shared::clear) it, without the lock.
    pub(crate) fn take_mostly_dead(&mut self, shared: &Shared) -> Option<Doomed> {
        // SAFETY: a segment that is in a queue is not removed.
        let segment = |number| unsafe { shared.directory.get(number) };
        let is_mostly_dead = |number: u32| {
            let segment = segment(number);
            let is_it = u64::from(segment.dead()) * 2 > u64::from(segment.used());
            segment.is_settled() && is_it
        };
        let has_disk = self.disk.is_some();
        let packed = Some(&mut self.packed).filter(|_| !has_disk);
        let queues = [&mut self.recent, &mut self.main].into_iter();
        for queue in queues.chain(packed) {
            if let Some(number) = queue.oldest(is_mostly_dead) {
                segment(number).leave(None);
                queue.bytes -= segment(number).resident();
                return Some(Doomed(Victim { number, offset: 0 }));
            }
        }
        None
    }

    fn put_over_raw(
        &mut self,
        shared: &Shared,
        (hash, slot): (KeyHash, Slot),
        segment: &Segment,
        record: Record<'_>,
        now: Millis,
    ) -> bool {
        let deadline = record.lifetime().deadline(segment.epoch);
        let extras = record.extras();
        let (namespace, key, version) = (record.namespace(), record.key(), record.whole_version());
        if deadline <= now || shared.marks.is_void(namespace, version, extras.tags) {
            return false;
        }
        let size = u64::from(record.size());
        let Ok(reserved) = self.reserve(shared, Tier::Main, size, deadline, now) else {
            return false;
        };
        let content = Content {
            namespace,
            key,
            value: record.value(),
            lifetime: Lifetime::until(deadline, reserved.segment.epoch),
            version,
            backing: record.backing(),
            extras,
        };
        // SAFETY: the place was reserved for a record of this size, just now.
        unsafe {
            reserved.segment.write_raw(reserved.place.offset, &content);
        }
        shared.relocate(hash, slot.place(), reserved.place, slot.frequency());
        reserved.segment.published();
        true
    }

    fn put_over_packed(
        &mut self,
        shared: &Shared,
        (hash, slot): (KeyHash, Slot),
        segment: &Segment,
        now: Millis,
    ) -> bool {
        // What is in a folder is moved by compaction, which knows what has to stay there.
        if self.disk.is_some() {
            return false;
        }
        let mut copy = std::mem::take(&mut self.record);
        let moved = with_scratch(|bytes| {
            shared.fetch(segment, slot.place().offset, bytes)?;
            let record = Packed::read(bytes)?;
            let deadline = record.lifetime.deadline(segment.epoch);
            let (namespace, version) = (record.namespace, record.version);
            if deadline <= now || shared.marks.is_void(namespace, version, record.extras.tags) {
                return None;
            }
            copy.clear();
            copy.extend_from_slice(bytes);
            let reserved = self.append_packed(shared, &mut copy, version, deadline, now)?;
            shared.relocate(hash, slot.place(), reserved.place, slot.frequency());
            reserved.segment.published();
            Some(())
        });
        self.record = copy;
        moved.is_some()
    }

    /// Writes the record of a sliding entry anew, with the deadline that it has come to. Says whether there is such an entry.
    pub(crate) fn log_again(
        &mut self,
        shared: &Shared,
        (namespace, key): (u16, &[u8]),
        now: Millis,
    ) -> Result<bool, NoPlace> {
        let Some(behind) = find_behind(shared, namespace, key, now) else {
            return Ok(false);
        };
        let mut bytes = std::mem::take(&mut self.record);
        shared.encode(namespace, &behind.value, |form, stored| {
            let packed = Packed {
                namespace,
                key,
                lifetime: Lifetime::until(behind.deadline, now),
                version: behind.version,
                form,
                extras: Extras {
                    sliding: behind.sliding,
                    tags: &behind.tags,
                },
                stored,
            };
            packed.write(&mut bytes);
        });
        // The same version: of two records that have it, the one that ends later counts.
        let times = (behind.deadline, behind.stays);
        let logged = self.log(shared, &mut bytes, behind.version, times, now);
        self.record = bytes;
        let reserved = logged?;
        let hash = shared.index.hash(namespace, key);
        let shard = shared.index.write(hash);
        let is_it =
            |slot: Slot| slot.place() != behind.backing && shared.belongs(slot, behind.backing);
        match shard.find(hash, is_it) {
            Some(slot) => shared.back(slot.get().place(), reserved.place, behind.deadline),
            // Replaced or removed meanwhile, or not uncompressed any more.
            None => shared.bury(reserved.place),
        }
        drop(shard);
        reserved.segment.published();
        Ok(true)
    }

    /// Gives up the uncompressed record of a sliding entry, whose segment the caller is about to remove.
    pub(super) fn demote_sliding(
        &mut self,
        shared: &Shared,
        segment: &Segment,
        record: Record<'_>,
        place: Place,
        now: Millis,
    ) {
        let (namespace, key) = (record.namespace(), record.key());
        let hash = shared.index.hash(namespace, key);
        let seen = record.lifetime();
        if record.backing().is_some() {
            let is_written =
                record.logged() == seen || self.log_again(shared, (namespace, key), now).is_ok();
            // What cannot be written has the time that was written before.
            if shared.fall_back(hash, place, is_written) {
                return;
            }
        } else {
            let deadline = seen.deadline(segment.epoch);
            let Some(reserved) = self.pack(shared, record, deadline, now) else {
                shared.drop_slot(hash, (namespace, key), place, Cause::Evicted);
                return;
            };
            let moved = shared.relocate_if(hash, place, reserved.place, seen);
            reserved.segment.published();
            if moved {
                return;
            }
        }
        // It was read meanwhile, or it is gone.
        if !self.put_over(shared, (namespace, key), place, now) {
            shared.drop_slot(hash, (namespace, key), place, Cause::Evicted);
        }
    }
}

fn find_behind(shared: &Shared, namespace: u16, key: &[u8], now: Millis) -> Option<Behind> {
    let hash = shared.index.hash(namespace, key);
    let shard = shared.index.read(hash);
    let is_it = |slot| {
        let is_it = shared.view(slot, |view| view.namespace == namespace && view.key == key);
        is_it.unwrap_or(false)
    };
    let place = shard.find(hash, is_it)?.get().place();
    let record = shared.raw(place)?;
    let deadline = record.deadline();
    let extras = record.extras();
    let is_there = deadline > now && !shared.is_void(record);
    let backing = record
        .backing()
        .filter(|_| is_there && record.is_sliding())?;
    let value = match record.pin() {
        Some(pinned) => Value::pinned(pinned),
        None => Value::owned(record.value()),
    };
    Some(Behind {
        value,
        version: record.whole_version(),
        deadline,
        backing,
        stays: shared.end_of(backing),
        tags: extras.tags.to_vec(),
        sliding: extras.sliding,
    })
}

impl Shared {
    /// Gives an uncompressed entry another copy, which ends at `deadline`. The caller holds the write lock of its shard.
    fn back(&self, place: Place, copy: Place, deadline: Millis) {
        if let Some(record) = self.raw(place)
            && let Some(before) = record.backing()
        {
            record.set_logged(Lifetime::until(deadline, record.epoch()));
            record.set_backing(copy);
            self.bury(before);
        }
    }
}
