//! What tiers do when there is a folder: a record is written before it is published, and segments that there is no room for
//! in memory stay on disk.

use super::{NoPlace, Reserved, Tier, Tiers, Victim};
use crate::clock::Millis;
use crate::disk::file;
use crate::disk::snapshot::Known;
use crate::disk::sync::Dirty;
use crate::index::Place;
use crate::seal::Opener;
use crate::segment::extras::Extras;
use crate::segment::packed::{self, Form, Packed};
use crate::segment::{Kind, Lifetime, Segment};
use crate::shared::{Doomed, Shared};
use crate::stats::Cause;

/// A segment most of which is dead, whose entries are being moved.
#[derive(Debug)]
pub(super) struct Compaction {
    pub(super) victim: Victim,
    /// Its records' bytes.
    bytes: Vec<u8>,
    /// Where each record is, the last one first.
    records: Vec<(u32, u32)>,
    seed: u32,
    end: Millis,
    /// Whether an older file is left, which may hold what a record here says is gone.
    is_oldest: bool,
}

/// How far a compaction has come.
#[derive(Debug)]
pub(crate) enum Step {
    /// There is more to do.
    More,
    /// The segment's entries are elsewhere; it can be removed once they are synced.
    Done(Doomed),
}

/// How many bytes of records can be written before the next snapshot: what is read in some ten milliseconds.
const MOST_UNKNOWN: u64 = 32 << 20;
/// How many bytes of records a compaction moves at a time, which is for how long it holds the lock.
const SLICE: usize = 64 << 10;

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
            let on_disk = segment.on_disk?;
            let known = Known {
                file: on_disk.file,
                used: segment.used(),
                dead: segment.dead(),
                epoch: segment.epoch,
                end: segment.end,
                seed: on_disk.seed,
                has_tags: segment.has_tags(),
                key: segment.opener.as_ref().map(Opener::key_ref),
            };
            Some((number, known))
        });
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

    /// Ends the filling of all compressed segments.
    #[cfg(feature = "encryption")]
    pub(crate) fn close_packed(&mut self) {
        self.packed.close_all();
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

    /// Moves a few entries of a segment that is mostly dead. `None` if there is no such segment.
    pub(crate) fn compact(&mut self, shared: &Shared, now: Millis) -> Option<Step> {
        self.disk.as_ref()?;
        let mut compaction = match self.compaction.take() {
            Some(compaction) => compaction,
            None => self.begin_compaction(shared)?,
        };
        let mut left = SLICE;
        while let Some((offset, len)) = compaction.records.pop() {
            let range = offset as usize..(offset + len) as usize;
            let moved = self.move_record(shared, &compaction, range, now);
            if moved.is_err() {
                // No room on the disk, or it fails: the segment stays as it is. What was moved is there twice, which does no
                // harm, since both copies say the same.
                self.cold.add_closed(compaction.victim.number);
                return None;
            }
            left = left.saturating_sub(len as usize);
            if left == 0 && !compaction.records.is_empty() {
                self.compaction = Some(compaction);
                return Some(Step::More);
            }
        }
        Some(Step::Done(Doomed(compaction.victim)))
    }

    fn begin_compaction(&mut self, shared: &Shared) -> Option<Compaction> {
        // SAFETY: a segment that is in a queue is not removed.
        let segment = |number| unsafe { shared.directory.get(number) };
        // What is sealed with an older key is sealed anew in the same way, however alive it is.
        let is_due = |segment: &Segment| {
            let is_mostly_dead = u64::from(segment.dead()) * 2 > u64::from(segment.used());
            let vault = shared.vault.as_ref();
            let is_outdated = vault.is_some_and(|vault| vault.is_outdated(segment.opener.as_ref()));
            segment.is_settled() && !segment.is_spared() && (is_mostly_dead || is_outdated)
        };
        // One in memory is cooled first, so that there is one way to read them.
        while let Some(number) = {
            let mut numbers = self.packed.numbers();
            numbers.find(|&number| !self.packed.is_open(number) && is_due(segment(number)))
        } {
            self.packed.raise(number);
            if !self.cool(shared) {
                break;
            }
        }
        let number = self
            .cold
            .numbers()
            .find(|&number| is_due(segment(number)))?;
        let victim = segment(number);
        debug_assert_eq!(victim.kind, Kind::Cold);
        let on_disk = victim.on_disk?;
        let bytes = shared.read_records(victim)?;
        let mut records = Vec::new();
        let scanned = file::scan(&bytes, on_disk.seed, 0, |found| {
            records.push((found.offset, found.record.len() as u32));
        });
        if scanned.end != victim.used() || !scanned.damaged.is_empty() {
            // A damaged file is kept for whoever wants to look at it, until all of it is over.
            victim.spare();
            return None;
        }
        records.reverse();
        let files = self.cold.numbers().chain(self.packed.numbers());
        let files = files.filter_map(|number| Some(segment(number).on_disk?.file));
        let is_oldest = files.min() == Some(on_disk.file);
        let victim = self.cold.take(|other| other == number).pop()?;
        Some(Compaction {
            victim,
            bytes,
            records,
            seed: on_disk.seed,
            end: segment(number).end,
            is_oldest,
        })
    }

    fn move_record(
        &mut self,
        shared: &Shared,
        compaction: &Compaction,
        range: std::ops::Range<usize>,
        now: Millis,
    ) -> Result<(), NoPlace> {
        let from = Place {
            segment: compaction.victim.number,
            offset: range.start as u32,
        };
        let mut bytes = compaction.bytes[range].to_vec();
        debug_assert_eq!(packed::whole(&bytes, compaction.seed), Some(bytes.len()));
        // SAFETY: the segment was taken out of its queue for the compaction alone.
        let segment = unsafe { shared.directory.get(from.segment) };
        packed::unseal(&mut bytes, segment.opener.as_ref(), from.offset);
        let Some(record) = Packed::read(&bytes) else {
            // Sealed with another key than the file says: it is as if it were not there.
            return Ok(());
        };
        let deadline = record.lifetime.deadline(segment.epoch);
        let (namespace, version) = (record.namespace, record.version);
        if record.form == Form::Mark {
            return self.move_mark(shared, compaction, &record, deadline, now);
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
            true => !compaction.is_oldest,
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
                compaction.end
            }
            false => {
                copy.clear();
                copy.extend_from_slice(&bytes);
                deadline
            }
        };
        let times = (deadline, compaction.end);
        let logged = self.log(shared, &mut copy, record.version, times, now);
        self.record = copy;
        let reserved = logged?;
        if !is_gone {
            shared.relocate(hash, from, reserved.place, 0);
        }
        reserved.segment.published();
        Ok(())
    }

    /// Keeps the mark of a tag for as long as it says something.
    fn move_mark(
        &mut self,
        shared: &Shared,
        compaction: &Compaction,
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
        let times = (deadline, compaction.end);
        let logged = self.log(shared, &mut copy, record.version, times, now);
        self.record = copy;
        logged?.segment.published();
        Ok(())
    }
}
