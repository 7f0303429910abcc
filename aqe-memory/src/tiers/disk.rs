//! What tiers do when there is a folder: a record is written before it is published, and segments that there is no room for
//! in memory stay on disk.

use super::rewrite::{Ready, Rewrite};
use super::{NoPlace, Reserved, Tier, Tiers};
use crate::clock::Millis;
use crate::disk::snapshot::Known;
use crate::disk::sync::Dirty;
use crate::index::{MOST_SEGMENTS, Place, Slot};
#[cfg(feature = "encryption")]
use crate::seal::Opener;
use crate::segment::extras::Extras;
use crate::segment::packed::{self, Form, Packed};
use crate::segment::{Lifetime, Segment};
use crate::shared::Shared;
use crate::stats::Cause;

/// How many bytes of records can be written before the next snapshot: what is read in some ten milliseconds.
const MOST_UNKNOWN: u64 = 32 << 20;
impl Tiers {
    /// Writes a record to memory and to its file.
    ///
    /// The entry ends at `deadline`; its record stays for as long as there may be older ones of its key on disk, until
    /// `stays` at least. The caller publishes the record under the same lock, or [buries](Shared::bury) it.
    pub(crate) fn log<'a>(
        &mut self,
        shared: &'a Shared,
        record: &mut Vec<u8>,
        version: u64,
        (deadline, stays): (Millis, Millis),
        now: Millis,
    ) -> Result<Reserved<'a>, NoPlace> {
        let size = packed::space(packed::finished_len(record.len(), shared.vault.is_some()));
        if self.disk.as_ref().is_some_and(|disk| !disk.has_room(size)) {
            return Err(NoPlace::DiskFull);
        }
        self.make_room_packed(shared, size, now);
        let reserved = self.reserve(shared, Tier::Packed, size, stays.max(deadline), now)?;
        let segment = reserved.segment;
        segment.note_version(version);
        let seed = segment.on_disk.map_or(0, |on_disk| on_disk.seed);
        if packed::has_tags(record) {
            segment.note_tags();
        }
        let seal = segment.sealer.as_ref();
        let seal = seal.map(|sealer| (sealer, reserved.place.offset));
        let lifetime = Lifetime::until(deadline, segment.epoch);
        packed::finish(record, version, lifetime, seed, seal);
        // SAFETY: the place was reserved for a record of this size, just now.
        unsafe { segment.write_packed(reserved.place.offset, record) };
        if let (Some(disk), Some(on_disk)) = (&mut self.disk, segment.on_disk)
            && let Err(error) = disk.append(on_disk, reserved.place.offset, record)
        {
            // What may have been written of it stays the last thing in the file.
            self.packed.close(segment.number);
            shared.bury(reserved.place);
            segment.published();
            return Err(NoPlace::Disk(error));
        }
        Ok(reserved)
    }

    /// What has to be synced for everything that is written.
    pub(crate) fn take_dirty(&mut self, version: u64) -> Dirty {
        match &mut self.disk {
            Some(disk) => disk.take_dirty(version),
            None => Dirty {
                version,
                files: Vec::new(),
                names: false,
            },
        }
    }

    /// Whether so much was written since the last snapshot that opening the store would take its time.
    pub(crate) fn is_snapshot_due(&self) -> bool {
        let most = (self.sizes.total / 16).min(MOST_UNKNOWN);
        self.disk.as_ref().is_some_and(|disk| disk.unknown() > most)
    }

    /// What there is on disk: the numbers of segments, and their files.
    pub(crate) fn snapshot_begins(&mut self, shared: &Shared) -> Vec<(u32, Known)> {
        if let Some(disk) = &mut self.disk {
            disk.snapshot_begins();
        }
        let numbers = self.packed.numbers().chain(self.cold.numbers());
        let known = numbers.filter_map(|number| {
            // SAFETY: a segment that is in a queue is not removed.
            let segment = unsafe { shared.directory.get(number) };
            Some((number, Known::of(segment, segment.on_disk?)))
        });
        let left = self.disk.iter().flat_map(|disk| &disk.left);
        // With the number of no segment, so that nothing is found in them.
        let left = left.map(|left| (MOST_SEGMENTS, left.known));
        let known = known.chain(left);
        known.collect()
    }

    /// Takes in a segment that was found on disk.
    pub(crate) fn adopt(
        &mut self,
        shared: &Shared,
        segment: impl FnOnce(u32) -> Box<Segment>,
    ) -> Option<u32> {
        let number = self.numbers.take()?;
        shared.directory.enter(segment(number));
        self.cold.add_closed(number);
        Some(number)
    }

    /// What opens the segments that there are.
    #[cfg(feature = "encryption")]
    pub(crate) fn openers(&self, shared: &Shared) -> Vec<Opener> {
        let numbers = self.packed.numbers().chain(self.cold.numbers());
        // SAFETY: a segment that is in a queue is not removed.
        let openers = numbers.map(|number| unsafe { shared.directory.get(number) }.opener.clone());
        openers.flatten().collect()
    }

    /// Gives the memory of the oldest compressed segment back. What is in it is on disk.
    pub(super) fn cool(&mut self, shared: &Shared) -> bool {
        // SAFETY: a segment that is in a queue is not removed.
        let segment = |number| unsafe { shared.directory.get(number) };
        let oldest = self.packed.oldest(|number| segment(number).is_settled());
        let Some(number) = oldest else { return false };
        let Some(cooled) = segment(number).cooled() else {
            return false;
        };
        self.packed.bytes -= segment(number).resident();
        if let Some(replaced) = shared.directory.replace(cooled) {
            // Whoever found the segment under the lock of a shard is done with it when that lock was free once.
            for shard in shared.index.shards() {
                drop(shard.write());
            }
            // SAFETY: that was the case now, and other users of segments need the lock of the tiers, which is held.
            unsafe { replaced.free() };
        }
        self.cold.add_closed(number);
        true
    }

    /// Moves a record of a segment that is written anew, unless nobody needs it any more.
    pub(super) fn move_record(
        &mut self,
        shared: &Shared,
        rewrite: &Rewrite,
        ready: &Ready,
        now: Millis,
    ) -> Result<(), NoPlace> {
        let from = Place {
            segment: rewrite.victim.number,
            offset: ready.offset,
        };
        // SAFETY: the segment was taken out of its queue for the rewriting alone.
        let segment = unsafe { shared.directory.get(from.segment) };
        let Some(record) = Packed::read(&ready.record) else {
            return Ok(());
        };
        let deadline = record.lifetime.deadline(segment.epoch);
        let (namespace, version) = (record.namespace, record.version);
        if record.form == Form::Mark {
            return self.move_mark(shared, rewrite, &record, deadline, now);
        }
        let hash = shared.index.hash(namespace, record.key);
        let is_void = shared.marks.is_void(namespace, version, record.extras.tags);
        if deadline <= now || is_void {
            let is_sliding = record.extras.sliding.is_some() && !is_void;
            // Of an entry that was read, only what is written here can be over.
            if is_sliding && shared.is_backed(hash, from) {
                match self.log_again(shared, (namespace, record.key), now) {
                    Ok(true) => return Ok(()),
                    Ok(false) => {}
                    Err(error) => return Err(error),
                }
            }
            let cause = match is_void {
                true => Cause::Invalidated,
                false => Cause::Expired,
            };
            shared.drop_slot(hash, (namespace, record.key), from, cause);
        }
        // What is over says, like what is gone, that older records of its key do not count.
        let is_gone = record.form == Form::Gone || deadline <= now || is_void;
        let stays = match is_gone {
            true => record.version > rewrite.lowest_elsewhere,
            false => shared.is_live(hash, from),
        };
        if !stays {
            return Ok(());
        }
        let mut copy = std::mem::take(&mut self.record);
        let deadline = match is_gone {
            true => {
                let gone = Packed {
                    form: Form::Gone,
                    extras: Extras::default(),
                    stored: &[],
                    ..record
                };
                gone.write(&mut copy);
                rewrite.end
            }
            false => {
                copy.clear();
                copy.extend_from_slice(&ready.record);
                deadline
            }
        };
        let logged = match self.disk {
            Some(_) => {
                let times = (deadline, rewrite.end);
                self.log(shared, &mut copy, record.version, times, now)
            }
            None => self
                .append_packed(shared, &mut copy, record.version, deadline, now)
                .ok_or(NoPlace::OutOfMemory),
        };
        self.record = copy;
        let reserved = logged?;
        if !is_gone {
            // What is on disk is read the same however often: a frequency is for what can be dropped.
            let frequency = match segment.on_disk {
                Some(_) => 0,
                None => shared.slot_at(hash, from).map_or(0, Slot::frequency),
            };
            shared.relocate(hash, from, reserved.place, frequency);
        }
        segment.add_dead(packed::space(ready.record.len()) as u32);
        reserved.segment.published();
        Ok(())
    }

    /// Keeps the mark of a tag for as long as it says something.
    fn move_mark(
        &mut self,
        shared: &Shared,
        rewrite: &Rewrite,
        record: &Packed<'_>,
        deadline: Millis,
        now: Millis,
    ) -> Result<(), NoPlace> {
        let tag = record.mark().map(|(tag, _)| tag);
        let is_current = |tag| {
            let Packed {
                namespace, version, ..
            } = *record;
            shared.marks.is_current(namespace, tag, version)
        };
        if deadline <= now || !tag.is_some_and(is_current) {
            return Ok(());
        }
        let mut copy = std::mem::take(&mut self.record);
        record.write(&mut copy);
        let times = (deadline, rewrite.end);
        let logged = self.log(shared, &mut copy, record.version, times, now);
        self.record = copy;
        logged?.segment.published();
        Ok(())
    }
}
