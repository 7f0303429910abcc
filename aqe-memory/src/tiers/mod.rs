//! Where entries go: which segment takes a new one, and which segment gives way.
//!
//! Three queues of segments. New entries enter `Recent` or `Main`. When memory is short, the oldest segment of one of them is
//! looked through, entry by entry: the [policy](crate::policy) says what stays uncompressed, and is copied to the end of a queue; the
//! rest is compressed into `Packed`, or dropped where there is no room for that. Whoever puts something looks through
//! about twice as many bytes, so that no put has to wait for a whole segment.
//!
//! **Invariant:** all of this happens under one lock, in which the locks of shards nest and not the other way round. A
//! segment that was taken out of its queue belongs to whoever took it.

mod bucket;
mod disk;
mod over;
mod queue;
mod rewrite;
mod room;

use std::path::Path;

pub(crate) use self::bucket::Bucket;
use self::queue::Queue;
pub(crate) use self::queue::Victim;
pub(crate) use self::rewrite::{Goal, Mark, Recompressor, Rewrite};
use crate::clock::Millis;
use crate::config::Sizes;
use crate::disk::{Disk, DiskError, OnDisk};
use crate::index::{KeyHash, MOST_SEGMENTS, Place};
use crate::policy::{self, Fate, Policy, Usage};
use crate::seal::{Sealer, What};
use crate::segment::packed::{self, Packed};
use crate::segment::raw::{Content, Record};
use crate::segment::{Kind, Lifetime, Segment, Spare};
use crate::shared::{Cleared, Doomed, Shared, with_scratch};
use crate::stats::Cause;

/// A queue of segments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tier {
    /// Entries that were put and not read again yet.
    Recent,
    /// Entries that are read.
    Main,
    /// Compressed entries.
    Packed,
}

/// The queues, and who gives way.
#[derive(Debug)]
pub(crate) struct Tiers {
    sizes: Sizes,
    /// The most bytes that the store takes for now: less than it may while memory is short for others.
    ceiling: u64,
    recent: Queue,
    main: Queue,
    packed: Queue,
    /// Which of the uncompressed entries stay.
    policy: Policy,
    /// How many segments there were.
    born: u64,
    /// Segments of which only the file is there.
    cold: Queue,
    /// The segment that is being written anew, which is in no queue.
    rewriting: Option<u32>,
    pub(crate) disk: Option<Disk>,
    /// How many segments without a file were sealed: the number of the last one.
    sealed: u64,
    numbers: Numbers,
    /// Memory of the uncompressed segment that was given up last.
    spare: Option<Spare>,
    record: Vec<u8>,
    /// Whether enough values were seen for a dictionary.
    pub(crate) wants_training: bool,
}

/// Which entries of a segment that gives way stay uncompressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Keeping {
    /// Those that were read, as the policy says.
    AsRead,
    /// All, in the queue that they are in: they are only brought together.
    All,
    /// None: memory is needed for something else.
    None,
}

/// A place for a record, which has to be written and published.
#[derive(Debug)]
pub(crate) struct Reserved<'a> {
    pub(crate) segment: &'a Segment,
    pub(crate) place: Place,
}

/// Why there is no place for a record.
#[derive(Debug)]
pub(crate) enum NoPlace {
    /// Memory could not be had from the system.
    OutOfMemory,
    /// The folder has as many bytes as it may.
    DiskFull,
    /// The system refused to write.
    Disk(DiskError),
}

impl Tiers {
    pub(crate) fn new(sizes: Sizes, disk: Option<Disk>) -> Self {
        Self {
            sizes,
            ceiling: sizes.total,
            disk,
            policy: Policy::new(sizes.cache),
            born: 0,
            cold: Queue::default(),
            rewriting: None,
            sealed: 0,
            recent: Queue::default(),
            main: Queue::default(),
            packed: Queue::default(),
            numbers: Numbers::default(),
            spare: None,
            record: Vec::new(),
            wants_training: false,
        }
    }

    /// Finds a place for the uncompressed record of a key, and makes room before.
    pub(crate) fn place<'a>(
        &mut self,
        shared: &'a Shared,
        hash: KeyHash,
        size: u64,
        deadline: Millis,
        now: Millis,
    ) -> Result<Reserved<'a>, NoPlace> {
        self.make_room(shared, size, now);
        let tier = tier_of(self.policy.enter(hash.whole));
        self.reserve(shared, tier, size, deadline, now)
    }

    /// Learns from the reads that were noted.
    pub(crate) fn learn(&mut self, shared: &Shared) {
        self.policy.learn(&shared.samples);
    }

    /// Takes out the segments whose entries are all over. The caller [clears](Shared::clear) them, without the lock.
    pub(crate) fn take_expired(&mut self, shared: &Shared, now: Millis) -> Vec<Doomed> {
        let is_over = |number| {
            // SAFETY: a segment that is in a queue is not removed.
            let segment = unsafe { shared.directory.get(number) };
            segment.is_settled() && segment.last_deadline() <= now && segment.leave(Some(now))
        };
        // While entries end there is no need of memory.
        self.spare = None;
        let mut doomed = Vec::new();
        let queues = [
            &mut self.recent,
            &mut self.main,
            &mut self.packed,
            &mut self.cold,
        ];
        for queue in queues {
            for victim in queue.take(is_over) {
                // SAFETY: as above, and now it is ours.
                queue.bytes -= unsafe { shared.directory.get(victim.number) }.resident();
                doomed.push(Doomed(victim));
            }
        }
        doomed
    }

    /// The earliest time at which a segment is over.
    pub(crate) fn next_expiry(&self, shared: &Shared) -> Option<Millis> {
        let numbers = [&self.recent, &self.main, &self.packed, &self.cold];
        let numbers = numbers.into_iter().flat_map(Queue::numbers);
        // SAFETY: a segment that is in a queue is not removed.
        let ends = numbers.map(|number| unsafe { shared.directory.get(number) }.last_deadline());
        ends.min().filter(|end| *end != Millis::MAX)
    }

    /// Says that a segment was [cleared](Shared::clear), and its number can be given again.
    pub(crate) fn reuse(&mut self, cleared: &Cleared) {
        if let (Some(disk), Some(on_disk)) = (&mut self.disk, cleared.on_disk) {
            disk.forget(on_disk, cleared.used.into());
            disk.left.extend(cleared.left);
        }
        self.numbers.give_back(cleared.number);
    }

    /// Bytes of memory of uncompressed and of compressed segments.
    pub(crate) fn bytes(&self) -> (u64, u64) {
        (self.recent.bytes + self.main.bytes, self.packed.bytes)
    }

    /// Bytes of memory that the store holds.
    pub(crate) fn held(&self, shared: &Shared) -> u64 {
        shared.resident.bytes()
            + shared.index.bytes()
            + shared.dictionaries.memory()
            + shared.snapshots.bytes()
            + shared.marks.bytes()
            + (self.policy.memory() + shared.samples.memory()) as u64
    }

    /// What uncompressed and compressed segments may take.
    fn limits(&self, shared: &Shared) -> (u64, u64) {
        // What belongs to no queue: segments that values still read from, and those that are being cleared.
        let (raw, packed) = self.bytes();
        let elsewhere = self.held(shared).saturating_sub(raw + packed);
        let left = self.ceiling.saturating_sub(elsewhere);
        // What is written to disk is in memory first: there has to be some room for that.
        let kept = match self.disk {
            Some(_) => u64::from(self.sizes.segment) * 4,
            None => 0,
        };
        let raw = left.saturating_sub(kept).min(self.cache());
        (raw, left - raw)
    }

    /// The most bytes of uncompressed entries. What the store is to do without for now, it does without there first.
    fn cache(&self) -> u64 {
        let without = self.sizes.total - self.ceiling;
        let least = (u64::from(self.sizes.segment) * 4).min(self.sizes.cache);
        self.sizes.cache.saturating_sub(without).max(least)
    }

    fn make_room(&mut self, shared: &Shared, size: u64, now: Millis) {
        let (raw_limit, _) = self.limits(shared);
        // Ahead of the need, a little for every put: room for two more segments is what is aimed at.
        if self.bytes().0 + self.ahead(size) > raw_limit {
            self.retire_raw(shared, 2 * size + 256, now);
        }
        // The bound itself. There is nothing to do here unless a single entry is large.
        let need = size + u64::from(self.sizes.segment);
        while self.bytes().0 + need > raw_limit && self.retire_raw(shared, need, now) {}
    }

    fn make_room_packed(&mut self, shared: &Shared, size: u64, now: Millis) -> bool {
        let (_, limit) = self.limits(shared);
        let ahead = self.ahead(size);
        if limit < 2 * ahead {
            return false;
        }
        if self.packed.bytes + ahead > limit {
            self.retire_packed(shared, 2 * size + 256, now);
        }
        let need = size + u64::from(self.sizes.segment);
        while self.packed.bytes + need > limit && self.retire_packed(shared, need, now) {}
        self.packed.bytes + need <= limit
    }

    fn reserve<'a>(
        &mut self,
        shared: &'a Shared,
        tier: Tier,
        size: u64,
        deadline: Millis,
        now: Millis,
    ) -> Result<Reserved<'a>, NoPlace> {
        let bucket = Bucket::of(deadline, now);
        if let Some(number) = self.queue(tier).open(bucket) {
            // SAFETY: a segment that is in a queue is not removed.
            let segment = unsafe { shared.directory.get(number) };
            if let Some(reserved) = self.reserve_in(tier, segment, size, deadline) {
                return Ok(reserved);
            }
        }
        // What is large has a segment of its own, and does not end the one that others are filling.
        let is_alone = size > u64::from(self.sizes.segment) / 4;
        let capacity = match is_alone {
            true => u32::try_from(size).map_err(|_| NoPlace::OutOfMemory)?,
            false => self.sizes.segment,
        };
        // Long lives are counted in whole seconds from here. From whole seconds on, an entry that is moved ends when it did before.
        let epoch = now - now % 1000;
        let segment = self.open_segment(shared, tier, capacity, (epoch, bucket.end()))?;
        self.queue(tier).bytes += segment.resident();
        match is_alone {
            true => self.queue(tier).add_closed(segment.number),
            false => self.queue(tier).add(segment.number, bucket),
        }
        self.reserve_in(tier, segment, size, deadline)
            .ok_or(NoPlace::OutOfMemory)
    }

    /// Makes a segment, with its file if it has one. The caller puts it into its queue.
    fn open_segment<'a>(
        &mut self,
        shared: &'a Shared,
        tier: Tier,
        capacity: u32,
        times: (Millis, Millis),
    ) -> Result<&'a Segment, NoPlace> {
        let kind = match tier {
            Tier::Recent | Tier::Main => Kind::Raw,
            Tier::Packed => Kind::Packed,
        };
        let (sealer, on_disk) = match kind {
            Kind::Raw => (None, None),
            _ => self.open_file(shared, times)?,
        };
        let number = self.numbers.take().ok_or(NoPlace::OutOfMemory)?;
        self.born += 1;
        let name = (number, self.born);
        let spare = self
            .spare
            .take_if(|spare| kind == Kind::Raw && spare.capacity() == capacity);
        let made = match spare {
            Some(spare) => Ok(Segment::in_spare(spare, name, times)),
            None => Segment::new(
                kind,
                name,
                capacity,
                times,
                on_disk,
                sealer,
                &shared.resident,
            ),
        };
        let Ok(segment) = made else {
            self.numbers.give_back(number);
            return Err(NoPlace::OutOfMemory);
        };
        let segment = shared.directory.enter(segment);
        // SAFETY: nobody removes it before it is in a queue.
        Ok(unsafe { segment.as_ref() })
    }

    /// Makes what a compressed segment has besides its memory: something to seal its records, and a file.
    fn open_file(
        &mut self,
        shared: &Shared,
        times: (Millis, Millis),
    ) -> Result<(Option<Sealer>, Option<OnDisk>), NoPlace> {
        let file = match &self.disk {
            Some(disk) => disk.next_file(),
            None => {
                self.sealed += 1;
                self.sealed
            }
        };
        let sealer = shared
            .vault
            .as_ref()
            .map(|vault| vault.sealer(What::Segment, file));
        let sealer = sealer.transpose().map_err(|error| {
            let folder = shared.files.as_ref().map(|files| &*files.folder);
            let path = folder.unwrap_or_else(|| Path::new("memory"));
            NoPlace::Disk(DiskError::of("make a key for a segment in", path)(error))
        })?;
        let key = sealer.as_ref().map(Sealer::key_ref);
        let on_disk = self.disk.as_mut().map(|disk| disk.create(times, key));
        let on_disk = on_disk.transpose().map_err(NoPlace::Disk)?;
        Ok((sealer, on_disk))
    }

    fn reserve_in<'a>(
        &mut self,
        tier: Tier,
        segment: &'a Segment,
        size: u64,
        deadline: Millis,
    ) -> Option<Reserved<'a>> {
        let before = segment.resident();
        let offset = segment.reserve(size, deadline)?;
        self.queue(tier).bytes += segment.resident() - before;
        let place = Place {
            segment: segment.number,
            offset,
        };
        Some(Reserved { segment, place })
    }

    fn queue(&mut self, tier: Tier) -> &mut Queue {
        match tier {
            Tier::Recent => &mut self.recent,
            Tier::Main => &mut self.main,
            Tier::Packed => &mut self.packed,
        }
    }

    /// Looks through about `bytes` bytes of the oldest uncompressed entries. Says whether there were any.
    fn retire_raw(&mut self, shared: &Shared, bytes: u64, now: Millis) -> bool {
        let (limit, _) = self.limits(shared);
        // The rest of the store moves the limit all the time, and mostly by little.
        if limit.abs_diff(self.policy.capacity()) > limit / 32 {
            self.policy.resize(limit);
        }
        let born = |queue: &Queue| {
            let oldest = queue.numbers().next();
            // SAFETY: a segment that is in a queue is not removed.
            oldest.map(|number| unsafe { shared.directory.get(number) }.born)
        };
        let victim = self.policy.victim(Usage {
            recent: self.recent.bytes,
            main: self.main.bytes,
            recent_is_older: born(&self.recent) <= born(&self.main),
        });
        let (first, second) = match victim {
            policy::Queue::Recent => (Tier::Recent, Tier::Main),
            policy::Queue::Main => (Tier::Main, Tier::Recent),
        };
        // The other one, should a record be on its way to its place in every segment of the first.
        self.retire(shared, first, bytes, now) || self.retire(shared, second, bytes, now)
    }

    fn retire_packed(&mut self, shared: &Shared, bytes: u64, now: Millis) -> bool {
        match self.disk {
            Some(_) => self.cool(shared),
            None => self.retire(shared, Tier::Packed, bytes, now),
        }
    }

    fn retire(&mut self, shared: &Shared, tier: Tier, bytes: u64, now: Millis) -> bool {
        let Some(victim) = self.next_victim_if(shared, tier, |_| true) else {
            return false;
        };
        self.look_through(shared, (tier, victim), bytes, Keeping::AsRead, now);
        true
    }

    /// Looks through some bytes of a segment, and gives its memory back when that was all of it.
    fn look_through(
        &mut self,
        shared: &Shared,
        (tier, mut victim): (Tier, Victim),
        bytes: u64,
        keeping: Keeping,
        now: Millis,
    ) {
        // SAFETY: the victim is out of its queue's order, so it is ours to remove, and we do so below at the earliest.
        let segment = unsafe { shared.directory.get(victim.number) };
        let until = (u64::from(victim.offset) + bytes).min(u64::from(segment.used())) as u32;
        while victim.offset < until {
            victim.offset += match tier {
                Tier::Packed => self.retire_packed_record(shared, segment, victim.offset, now),
                Tier::Recent | Tier::Main => {
                    let from = (tier, keeping);
                    self.retire_raw_record(shared, from, segment, victim.offset, now)
                }
            };
        }
        if victim.offset < segment.used() {
            self.queue(tier).victim = Some(victim);
            return;
        }
        self.queue(tier).bytes -= segment.resident();
        // SAFETY: every record was looked through: it has no slot, and is orphaned if it is a raw one.
        let removed = unsafe { shared.directory.remove(victim.number) };
        if let Some(removed) = removed.filter(|_| tier != Tier::Packed && self.spare.is_none()) {
            self.spare = (*removed).into_spare();
        }
        self.numbers.give_back(victim.number);
    }

    /// The segment that is being looked through, or the oldest one, if `may_go` says yes to it.
    fn next_victim_if(
        &mut self,
        shared: &Shared,
        tier: Tier,
        may_go: impl Fn(&Segment) -> bool,
    ) -> Option<Victim> {
        // SAFETY: a segment that is in a queue is not removed.
        let segment = |number| unsafe { shared.directory.get(number) };
        let queue = self.queue(tier);
        if queue.victim.is_some() {
            return queue
                .victim
                .take_if(|victim| may_go(segment(victim.number)));
        }
        // A record that is being published keeps its segment for the moment.
        let number =
            queue.oldest(|number| segment(number).is_settled() && may_go(segment(number)))?;
        // Nobody overwrites what is in it any more.
        segment(number).leave(None);
        Some(Victim { number, offset: 0 })
    }

    /// Finds the next place for an entry, or drops it. Gives the bytes that its record took.
    fn retire_raw_record(
        &mut self,
        shared: &Shared,
        from: (Tier, Keeping),
        segment: &Segment,
        offset: u32,
        now: Millis,
    ) -> u32 {
        let place = Place {
            segment: segment.number,
            offset,
        };
        // SAFETY: records stand one behind the other, all are written, and the segment is ours to remove.
        let record = unsafe { segment.raw(offset) };
        if !record.is_dead() {
            self.move_raw(shared, from, segment, record, place, now);
        }
        segment.orphan(record);
        record.size()
    }

    fn move_raw(
        &mut self,
        shared: &Shared,
        (from, keeping): (Tier, Keeping),
        segment: &Segment,
        record: Record<'_>,
        place: Place,
        now: Millis,
    ) {
        let name = (record.namespace(), record.key());
        let hash = shared.index.hash(name.0, name.1);
        let mut shard = shared.index.write(hash);
        let Some(slot) = shard.find(hash, |slot| slot.place() == place) else {
            return;
        };
        let frequency = slot.get().frequency();
        let deadline = record.lifetime().deadline(segment.epoch);
        let fate = match deadline <= now || shared.is_void(record) {
            true => None,
            false => Some(self.fate((from, keeping), hash, frequency, record)),
        };
        let cause = match fate {
            None if deadline > now => Some(Cause::Invalidated),
            None => Some(Cause::Expired),
            Some(Fate::LetGo) if record.backing().is_none() && !self.may_pack(shared, record) => {
                Some(Cause::Evicted)
            }
            Some(_) => None,
        };
        if let Some(cause) = cause {
            // What most entries of a full cache come to, so it is done with the one look at the index.
            shared.drop_slot_in(&mut shard, hash, name, place, cause);
            return;
        }
        drop(shard);
        let kept = match fate {
            Some(Fate::Keep { queue, frequency }) => {
                let kept = self.keep(shared, record, tier_of(queue), deadline, now);
                kept.map(|reserved| (reserved, frequency))
            }
            _ => None,
        };
        if kept.is_none() {
            if record.is_sliding() {
                self.demote_sliding(shared, segment, record, place, now);
                return;
            }
            if shared.fall_back(hash, place, false) {
                return;
            }
        }
        let moved = match kept {
            Some(kept) => Some(kept),
            None => {
                let packed = self.pack(shared, record, deadline, now);
                packed.map(|reserved| (reserved, 0))
            }
        };
        match moved {
            Some((reserved, frequency)) => {
                shared.relocate(hash, place, reserved.place, frequency);
                reserved.segment.published();
            }
            None => shared.drop_slot(hash, name, place, Cause::Evicted),
        }
    }

    /// What becomes of an uncompressed entry whose turn it is.
    fn fate(
        &mut self,
        (from, keeping): (Tier, Keeping),
        hash: KeyHash,
        frequency: u8,
        record: Record<'_>,
    ) -> Fate {
        let queue = match from {
            Tier::Main => policy::Queue::Main,
            Tier::Recent | Tier::Packed => policy::Queue::Recent,
        };
        match keeping {
            Keeping::AsRead => {
                let size = u64::from(record.size());
                self.policy.retire(queue, hash.whole, frequency, size)
            }
            Keeping::All => Fate::Keep { queue, frequency },
            Keeping::None => Fate::LetGo,
        }
    }

    /// Copies an entry to the end of a queue.
    fn keep<'a>(
        &mut self,
        shared: &'a Shared,
        record: Record<'_>,
        tier: Tier,
        deadline: Millis,
        now: Millis,
    ) -> Option<Reserved<'a>> {
        let reserved = self.reserve(shared, tier, record.size().into(), deadline, now);
        let reserved = reserved.ok()?;
        let content = Content {
            namespace: record.namespace(),
            key: record.key(),
            value: record.value(),
            lifetime: Lifetime::until(deadline, reserved.segment.epoch),
            version: record.whole_version(),
            backing: record.backing(),
            extras: record.extras(),
        };
        // SAFETY: the place was reserved for a record of this size, just now.
        unsafe {
            reserved.segment.write_raw(reserved.place.offset, &content);
        }
        Some(reserved)
    }

    /// Whether there can be room for compressed entries like this one.
    fn may_pack(&self, shared: &Shared, record: Record<'_>) -> bool {
        let (key, value) = (record.key().len(), record.value().len());
        let (_, limit) = self.limits(shared);
        packed::overhead(key) + value < packed::MOST_BYTES
            && limit >= 2 * self.ahead(record.size().into())
    }

    /// How many bytes are kept free, so that whoever puts `size` bytes need not wait for them.
    fn ahead(&self, size: u64) -> u64 {
        u64::from(self.sizes.segment) * 2 + size
    }

    /// Compresses an entry into `Packed`, if there is room.
    fn pack<'a>(
        &mut self,
        shared: &'a Shared,
        record: Record<'_>,
        deadline: Millis,
        now: Millis,
    ) -> Option<Reserved<'a>> {
        let (key, value) = (record.key(), record.value());
        if !self.may_pack(shared, record)
            || !self.make_room_packed(shared, record.size().into(), now)
        {
            return None;
        }
        let mut bytes = std::mem::take(&mut self.record);
        let is_due = shared.encode(record.namespace(), value, |form, stored| {
            let packed = Packed {
                namespace: record.namespace(),
                key,
                lifetime: record.lifetime(),
                version: record.whole_version(),
                form,
                extras: record.extras(),
                stored,
            };
            packed.write(&mut bytes);
        });
        self.wants_training |= is_due;
        let reserved =
            self.append_packed(shared, &mut bytes, record.whole_version(), deadline, now);
        self.record = bytes;
        reserved
    }

    /// Reserves a place for a packed record and writes it there.
    fn append_packed<'a>(
        &mut self,
        shared: &'a Shared,
        record: &mut Vec<u8>,
        version: u64,
        deadline: Millis,
        now: Millis,
    ) -> Option<Reserved<'a>> {
        let size = packed::space(packed::finished_len(record.len(), shared.vault.is_some()));
        let reserved = self
            .reserve(shared, Tier::Packed, size, deadline, now)
            .ok()?;
        let lifetime = Lifetime::until(deadline, reserved.segment.epoch);
        if packed::has_tags(record) {
            reserved.segment.note_tags();
        }
        let seal = reserved.segment.sealer.as_ref();
        let seal = seal.map(|sealer| (sealer, reserved.place.offset));
        packed::finish(record, version, lifetime, 0, seal);
        // SAFETY: the place was reserved for a record of this size, just now.
        unsafe { reserved.segment.write_packed(reserved.place.offset, record) };
        Some(reserved)
    }

    /// Keeps a compressed entry that was read, or drops it. Gives the bytes that its record took.
    fn retire_packed_record(
        &mut self,
        shared: &Shared,
        segment: &Segment,
        offset: u32,
        now: Millis,
    ) -> u32 {
        let place = Place {
            segment: segment.number,
            offset,
        };
        // SAFETY: records stand one behind the other, all are written, and the segment is ours to remove.
        let size = packed::space(unsafe { segment.packed(offset) }.len()) as u32;
        with_scratch(|bytes| {
            if shared.fetch(segment, offset, bytes).is_some() {
                self.move_packed(shared, segment, bytes, place, now);
            }
        });
        size
    }

    fn move_packed(
        &mut self,
        shared: &Shared,
        segment: &Segment,
        bytes: &[u8],
        place: Place,
        now: Millis,
    ) {
        let Some(record) = Packed::read(bytes) else {
            unreachable!("memory was overwritten: the record is as we wrote it");
        };
        let hash = shared.index.hash(record.namespace, record.key);
        let Some(slot) = shared.slot_at(hash, place) else {
            return;
        };
        let deadline = record.lifetime.deadline(segment.epoch);
        let tags = record.extras.tags;
        let cause = match deadline <= now {
            true => Cause::Expired,
            false if shared.marks.is_void(record.namespace, record.version, tags) => {
                Cause::Invalidated
            }
            false => Cause::Evicted,
        };
        let mut moved = None;
        if cause == Cause::Evicted && slot.frequency() > 0 {
            let mut copy = std::mem::take(&mut self.record);
            copy.clear();
            copy.extend_from_slice(bytes);
            let reserved = self.append_packed(shared, &mut copy, record.version, deadline, now);
            moved = reserved.map(|reserved| (reserved, slot.frequency() - 1));
            self.record = copy;
        }
        match &moved {
            Some((reserved, frequency)) => {
                shared.relocate(hash, place, reserved.place, *frequency);
                reserved.segment.published();
            }
            None => shared.drop_slot(hash, (record.namespace, record.key), place, cause),
        }
    }
}

fn tier_of(queue: policy::Queue) -> Tier {
    match queue {
        policy::Queue::Recent => Tier::Recent,
        policy::Queue::Main => Tier::Main,
    }
}

/// The numbers of segments that are in use and that are free.
#[derive(Debug, Default)]
struct Numbers {
    free: Vec<u32>,
    next: u32,
}

impl Numbers {
    fn take(&mut self) -> Option<u32> {
        if let Some(number) = self.free.pop() {
            return Some(number);
        }
        let number = self.next;
        (number < MOST_SEGMENTS).then(|| {
            self.next += 1;
            number
        })
    }

    fn give_back(&mut self, number: u32) {
        self.free.push(number);
    }
}
