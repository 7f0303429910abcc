//! What all parts of a store share: the index, the segments, and what is done to an entry under its shard's lock.

use std::cell::RefCell;
use std::io;
use std::sync::Arc;

use crate::clock::Millis;
use crate::codec::{Codec, Decoder, Dictionary, Encoder, Method};
use crate::dictionaries::{Dictionaries, MOST_VALUE};
use crate::disk::file::HEADER;
use crate::disk::files::Files;
use crate::disk::snapshot::Known;
use crate::disk::{Left, OnDisk, file};
use crate::index::{Index, KeyHash, Place, Shard, Slot};
use crate::marks::{Marks, Table};
use crate::policy::Samples;
use crate::removal::Removals;
use crate::seal::Vault;
use crate::segment::packed::{self, Form, Packed};
use crate::segment::raw::{Record, VERSION_BITS};
use crate::segment::{Directory, Kind, Lifetime, Resident, Segment};
use crate::snapshot::{Saved, Snapshots};
use crate::stats::{Cause, Counts};
use crate::tiers::Victim;

/// What has its own locks or needs none.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) index: Index,
    pub(crate) directory: Directory,
    pub(crate) resident: Arc<Resident>,
    pub(crate) counts: Counts,
    pub(crate) dictionaries: Dictionaries,
    /// How values are made small.
    pub(crate) method: Method,
    /// What the policy learns from.
    pub(crate) samples: Samples,
    /// The files of a store in a folder.
    pub(crate) files: Option<Arc<Files>>,
    /// The keys of a store that seals its records.
    pub(crate) vault: Option<Vault>,
    /// Not there if nobody listens.
    pub(crate) removals: Option<Arc<Removals>>,
    /// Which tags were invalidated.
    pub(crate) marks: Marks,
    /// What entries were that are gone since somebody began to read a snapshot.
    pub(crate) snapshots: Snapshots,
}

/// An entry that was found by its slot.
#[derive(Clone, Copy, Debug)]
pub(crate) struct View<'a> {
    pub(crate) namespace: u16,
    pub(crate) key: &'a [u8],
    pub(crate) version: u64,
    /// With the bits that are not shown, where there are tags.
    pub(crate) whole_version: u64,
    pub(crate) tags: &'a [u8],
    pub(crate) deadline: Millis,
}

/// A segment that is to be cleared, and how far it has been already.
#[derive(Debug)]
pub(crate) struct Doomed(pub(crate) Victim);

/// A segment that is gone.
#[derive(Debug)]
pub(crate) struct Cleared {
    pub(crate) number: u32,
    pub(crate) on_disk: Option<OnDisk>,
    pub(crate) used: u32,
    /// Its file, if that is still there, since the system refused to remove it.
    pub(crate) left: Option<Left>,
}

thread_local! {
    /// Where a thread reads and copies what it decompresses.
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}
/// A thread does not keep a longer scratch than this.
const MOST_SCRATCH: usize = 1 << 20;

/// Lends the thread's scratch.
pub(crate) fn with_scratch<R>(use_it: impl FnOnce(&mut Vec<u8>) -> R) -> R {
    // Taken and not borrowed: whoever uses it may come here again, and gets another then.
    let mut scratch = SCRATCH.take();
    let result = use_it(&mut scratch);
    if scratch.capacity() <= MOST_SCRATCH {
        SCRATCH.set(scratch);
    }
    result
}

impl Shared {
    /// Shows a slot's entry. The caller holds the lock of its shard. `None` where what is on disk cannot be read.
    #[inline]
    pub(crate) fn view<R>(&self, slot: Slot, look: impl FnOnce(View<'_>) -> R) -> Option<R> {
        self.try_view(slot, look).ok().flatten()
    }

    /// [`view`](Self::view), which tells what may be read the next time, since the system refused it now, from what is
    /// damaged.
    #[inline]
    pub(crate) fn try_view<R>(
        &self,
        slot: Slot,
        look: impl FnOnce(View<'_>) -> R,
    ) -> io::Result<Option<R>> {
        let Place { segment, offset } = slot.place();
        // SAFETY: the slot was found under the shard's lock, which is held.
        let segment = unsafe { self.directory.get(segment) };
        match segment.kind {
            Kind::Raw => {
                // SAFETY: as above; the record was written before its slot was there.
                let record = unsafe { segment.raw(offset) };
                Ok(Some(look(View::of_raw(record))))
            }
            Kind::Packed if segment.opener.is_none() => {
                // SAFETY: as above.
                let bytes = unsafe { segment.packed(offset) };
                Ok(Packed::read(bytes).map(|packed| look(View::of(&packed, segment))))
            }
            Kind::Packed | Kind::Cold => with_scratch(|scratch| {
                if !self.try_fetch(segment, offset, scratch)? {
                    return Ok(None);
                }
                Ok(Packed::read(scratch).map(|packed| look(View::of(&packed, segment))))
            }),
        }
    }

    /// Copies a compressed record and opens it. The caller holds the lock of the shard in which it found the record's slot, or
    /// is the only one who may remove the segment.
    pub(crate) fn fetch(&self, segment: &Segment, offset: u32, record: &mut Vec<u8>) -> Option<()> {
        let fetched = self.try_fetch(segment, offset, record);
        fetched.is_ok_and(|is_one| is_one).then_some(())
    }

    fn try_fetch(&self, segment: &Segment, offset: u32, record: &mut Vec<u8>) -> io::Result<bool> {
        match segment.kind {
            Kind::Cold => {
                if !self.try_load(segment, offset, record)? {
                    return Ok(false);
                }
            }
            _ => {
                record.clear();
                // SAFETY: as the caller promises; the record was written before its slot was there.
                record.extend_from_slice(unsafe { segment.packed(offset) });
            }
        }
        let opened = packed::unseal(record, segment.opener.as_ref(), offset);
        if opened.is_none() {
            self.counts.unreadable();
        }
        Ok(opened.is_some())
    }

    /// Reads a record of a cold segment from its file.
    pub(crate) fn load(&self, segment: &Segment, offset: u32, record: &mut Vec<u8>) -> Option<()> {
        let loaded = self.try_load(segment, offset, record);
        loaded.is_ok_and(|is_one| is_one).then_some(())
    }

    /// [`load`](Self::load). Says whether what is there is a record.
    fn try_load(&self, segment: &Segment, offset: u32, record: &mut Vec<u8>) -> io::Result<bool> {
        let (Some(on_disk), Some(files)) = (segment.on_disk, &self.files) else {
            return Ok(false);
        };
        let loaded = files.read_record(on_disk, offset, segment.used(), record);
        if !loaded.as_ref().is_ok_and(|is_one| *is_one) {
            self.counts.unreadable();
        }
        loaded
    }

    /// Where a slot's entry is kept. The caller holds the lock of its shard.
    pub(crate) fn kind_of(&self, slot: Slot) -> Kind {
        // SAFETY: the slot was found under the shard's lock, which is held.
        unsafe { self.directory.get(slot.place().segment) }.kind
    }

    /// The slot of the key of this hash, if its entry is at this place.
    pub(crate) fn slot_at(&self, hash: KeyHash, place: Place) -> Option<Slot> {
        let shard = self.index.read(hash);
        let slot = shard.find(hash, |slot| slot.place() == place)?;
        Some(slot.get())
    }

    /// Whether the record at a place is that of an entry, or the compressed copy of one.
    pub(crate) fn is_live(&self, hash: KeyHash, place: Place) -> bool {
        let shard = self.index.read(hash);
        shard.find(hash, |slot| self.belongs(slot, place)).is_some()
    }

    /// Whether the record at a place is the copy of an uncompressed entry.
    pub(crate) fn is_backed(&self, hash: KeyHash, place: Place) -> bool {
        let shard = self.index.read(hash);
        let is_it = |slot: Slot| slot.place() != place && self.belongs(slot, place);
        shard.find(hash, is_it).is_some()
    }

    /// Makes a slot name the compressed copy of the uncompressed entry that it names, if there is one, and if `only_if_same`
    /// and the entry is a sliding one, if both end at the same time.
    pub(crate) fn fall_back(&self, hash: KeyHash, place: Place, only_if_same: bool) -> bool {
        let mut shard = self.index.write(hash);
        // SAFETY: whoever asks is about to remove the segment, and the only one who may.
        let record = unsafe { self.directory.get(place.segment).raw(place.offset) };
        let may_go = !only_if_same || record.logged() == record.lifetime();
        let backing = record.backing().filter(|_| may_go);
        if let Some(backing) = backing {
            let slot = Slot::new(hash.tag, backing, 0);
            shard.replace(hash, |slot| slot.place() == place, slot);
        }
        backing.is_some()
    }

    /// Makes a slot, or an uncompressed entry, name another place of a record, if it still names the one that it did.
    /// Otherwise the entry was replaced or removed meanwhile, and the copy is dead.
    pub(crate) fn relocate(&self, hash: KeyHash, from: Place, to: Place, frequency: u8) {
        let mut shard = self.index.write(hash);
        let slot = Slot::new(hash.tag, to, frequency);
        self.carry_deadline(from, to);
        if shard.replace(hash, |slot| slot.place() == from, slot) {
            return;
        }
        let backed = shard.find(hash, |slot| self.belongs(slot, from));
        match backed.and_then(|slot| self.raw(slot.get().place())) {
            Some(record) => record.set_backing(to),
            // The compressed copy of an uncompressed one was buried with the entry.
            None if self.raw(to).is_some() => self.bury_alone(to),
            None => self.bury(to),
        }
    }

    /// [Relocates](Self::relocate) an uncompressed sliding entry to where it is compressed, unless it was read since its deadline
    /// was this. Says whether it has found its place.
    pub(crate) fn relocate_if(
        &self,
        hash: KeyHash,
        from: Place,
        to: Place,
        seen: Lifetime,
    ) -> bool {
        let mut shard = self.index.write(hash);
        let is_same = self
            .raw(from)
            .is_some_and(|record| record.lifetime() == seen);
        let slot = Slot::new(hash.tag, to, 0);
        let moved = is_same && shard.replace(hash, |slot| slot.place() == from, slot);
        if !moved {
            self.bury(to);
        }
        moved
    }

    /// Lets the copy of an uncompressed sliding entry end when the entry does. The caller holds the write lock of its shard.
    fn carry_deadline(&self, from: Place, to: Place) {
        let before = self.raw(from).filter(Record::is_sliding);
        if let (Some(before), Some(after)) = (before, self.raw(to)) {
            after.prolong(Lifetime::until(before.deadline(), after.epoch()));
            let logged = before.logged().deadline(before.epoch());
            after.set_logged(Lifetime::until(logged, after.epoch()));
        }
    }

    /// Takes the slot of a key away, if its entry or the compressed copy of it is at this place.
    pub(crate) fn drop_slot(
        &self,
        hash: KeyHash,
        (namespace, key): (u16, &[u8]),
        place: Place,
        cause: Cause,
    ) {
        let mut shard = self.index.write(hash);
        self.drop_slot_in(&mut shard, hash, (namespace, key), place, cause);
    }

    /// [`drop_slot`](Self::drop_slot) in the key's shard, which is locked.
    pub(crate) fn drop_slot_in(
        &self,
        shard: &mut Shard,
        hash: KeyHash,
        (namespace, key): (u16, &[u8]),
        place: Place,
        cause: Cause,
    ) {
        let removed = shard.remove(hash, |slot| self.belongs(slot, place));
        if let Some(slot) = removed {
            self.gone(namespace, key, slot.place(), cause);
            if slot.place() != place {
                self.bury(slot.place());
            }
        }
    }

    /// Counts and tells that the entry at a place is gone. The caller holds the write lock of the shard under which it took its
    /// slot away.
    pub(crate) fn gone(&self, namespace: u16, key: &[u8], place: Place, cause: Cause) {
        self.counts.removed(cause);
        if cause != Cause::Expired && self.snapshots.are_any() {
            self.snapshots
                .save(namespace, key, |table| self.saved_at(place, table));
        }
        if let Some(removals) = &self.removals {
            removals.push(namespace, key, cause, self.size_at(place));
        }
    }

    /// Whether a tag of an uncompressed entry was invalidated after the entry was put.
    pub(crate) fn is_void(&self, record: Record<'_>) -> bool {
        record.has_extras() && self.is_view_void(&View::of_raw(record))
    }

    /// Whether a tag of an entry was invalidated after the entry was put.
    pub(crate) fn is_view_void(&self, view: &View<'_>) -> bool {
        self.marks
            .is_void(view.namespace, view.whole_version, view.tags)
    }

    /// Notes that a key that is put now had no entry, or one whose time was over. The caller holds the write lock of its shard.
    pub(crate) fn was_absent(&self, namespace: u16, key: &[u8]) {
        if self.snapshots.are_any() {
            self.snapshots.save(namespace, key, |_| None);
        }
    }

    /// What the record at a place says, unless it was void before. For callers as of [`gone`](Self::gone).
    #[cold]
    fn saved_at(&self, place: Place, table: &Table) -> Option<Saved> {
        // SAFETY: whoever removes the segment needs the lock that the caller holds to take this slot away, or is the caller.
        let segment = unsafe { self.directory.get(place.segment) };
        let is_void =
            |view: &View<'_>| table.is_void(view.namespace, view.whole_version, view.tags);
        if let Some(record) = self.raw(place) {
            return (!is_void(&View::of_raw(record))).then(|| Saved {
                value: record.value().into(),
                deadline: record.deadline(),
            });
        }
        with_scratch(|bytes| {
            self.fetch(segment, place.offset, bytes)?;
            let record = Packed::read(bytes)?;
            let is_there = !is_void(&View::of(&record, segment));
            is_there.then_some(())?;
            Some(Saved {
                value: self.decode(&record)?,
                deadline: record.lifetime.deadline(segment.epoch),
            })
        })
    }

    /// Bytes of the record at a place. For callers as of [`gone`](Self::gone).
    #[cold]
    fn size_at(&self, place: Place) -> u32 {
        // SAFETY: whoever removes the segment needs the lock that the caller holds to take this slot away, or is the caller.
        let segment = unsafe { self.directory.get(place.segment) };
        match segment.kind {
            // SAFETY: the record was written before its slot was there.
            Kind::Raw => unsafe { segment.raw(place.offset) }.size(),
            // SAFETY: as above.
            Kind::Packed => packed::space(unsafe { segment.packed(place.offset) }.len()) as u32,
            Kind::Cold => with_scratch(|record| {
                let loaded = self.load(segment, place.offset, record);
                loaded.map_or(0, |()| packed::space(record.len()) as u32)
            }),
        }
    }

    /// Notes that the record at a place has no slot, and its compressed copy neither. The caller holds the write lock of the
    /// shard under which it took the slot away, or the record was never published.
    pub(crate) fn bury(&self, place: Place) {
        // SAFETY: whoever removes the segment needs the lock that the caller holds to take this slot away, or waits for the
        // record to be published.
        let segment = unsafe { self.directory.get(place.segment) };
        match segment.kind {
            Kind::Raw => {
                // SAFETY: the record was written before its slot was there.
                let record = unsafe { segment.raw(place.offset) };
                if let Some(backing) = record.backing() {
                    self.bury(backing);
                }
                self.bury_alone(place);
            }
            Kind::Packed => {
                // SAFETY: as above.
                let record = unsafe { segment.packed(place.offset) };
                segment.add_dead(packed::space(record.len()) as u32);
            }
            Kind::Cold => {
                let len = with_scratch(|record| {
                    self.load(segment, place.offset, record)
                        .map(|()| record.len())
                });
                segment.add_dead(packed::space(len.unwrap_or(0)) as u32);
            }
        }
    }

    /// Notes that the uncompressed record at a place has no slot, whatever becomes of its compressed copy. For callers as of
    /// [`bury`](Self::bury).
    pub(crate) fn bury_alone(&self, place: Place) {
        if let Some(record) = self.raw(place) {
            // SAFETY: as in `bury`.
            let segment = unsafe { self.directory.get(place.segment) };
            segment.add_dead(record.size());
            record.bury();
        }
    }

    /// Takes the entries of a segment out of the index, one by one, and gives its memory and its file back. Entries that may live
    /// longer than their segment are put elsewhere by `put_over`, which says whether there is nothing left to drop; they are the
    /// sliding ones, or with `all` all of them.
    pub(crate) fn clear(
        &self,
        doomed: &Doomed,
        now: Millis,
        all: bool,
        put_over: impl Fn(u16, &[u8], Place) -> bool,
    ) -> Cleared {
        let Victim { number, mut offset } = doomed.0;
        // SAFETY: whoever took the segment out of its queue, here the caller, is the only one to remove it.
        let segment = unsafe { self.directory.get(number) };
        let drop_slot = |view: View<'_>, is_sliding: bool, offset| {
            if let Some(removals) = &self.removals {
                removals.wait_for_room();
            }
            let place = Place {
                segment: number,
                offset,
            };
            if (all || is_sliding) && put_over(view.namespace, view.key, place) {
                return;
            }
            let cause = match view.deadline <= now {
                true => Cause::Expired,
                false if self.is_view_void(&view) => Cause::Invalidated,
                false => Cause::Evicted,
            };
            let name = (view.namespace, view.key);
            self.drop_slot(self.index.hash(name.0, name.1), name, place, cause);
        };
        match segment.kind {
            Kind::Raw => {
                while offset < segment.used() {
                    // SAFETY: records stand one behind the other, and all are written: the segment is settled.
                    let record = unsafe { segment.raw(offset) };
                    if !record.is_dead() {
                        drop_slot(View::of_raw(record), record.is_sliding(), offset);
                    }
                    segment.orphan(record);
                    offset += record.size();
                }
            }
            Kind::Packed => {
                while offset < segment.used() {
                    // SAFETY: as above.
                    let len = unsafe { segment.packed(offset) }.len();
                    with_scratch(|record| {
                        self.fetch(segment, offset, record)?;
                        let record = Packed::read(record)?;
                        let is_sliding = record.extras.sliding.is_some();
                        drop_slot(View::of(&record, segment), is_sliding, offset);
                        Some(())
                    });
                    offset += packed::space(len) as u32;
                }
            }
            Kind::Cold => {
                let bytes = self.read_records(segment).unwrap_or_default();
                let seed = segment.on_disk.map_or(0, |on_disk| on_disk.seed);
                let scanned = file::scan(&bytes, seed, 0, |found| {
                    with_scratch(|record| {
                        record.clear();
                        record.extend_from_slice(found.record);
                        packed::unseal(record, segment.opener.as_ref(), found.offset)?;
                        let record = Packed::read(record)?;
                        let is_sliding = record.extras.sliding.is_some();
                        drop_slot(View::of(&record, segment), is_sliding, found.offset);
                        Some(())
                    });
                });
                if scanned.end != segment.used() || !scanned.damaged.is_empty() {
                    // A record that cannot be read does not say which slot is its own.
                    self.forget_slots(number);
                }
            }
        }
        self.remove_segment(number)
    }

    /// All bytes of a cold segment's records.
    pub(crate) fn read_records(&self, segment: &Segment) -> Option<Vec<u8>> {
        let file = self.files.as_ref()?.get(segment.on_disk?.file).ok()?;
        let mut bytes = vec![0; segment.used() as usize];
        let read = file::read_at(&file, &mut bytes, HEADER).ok()?;
        bytes.truncate(read);
        Some(bytes)
    }

    /// Removes a segment, which has no slots any more, and its file.
    pub(crate) fn remove_segment(&self, number: u32) -> Cleared {
        // SAFETY: whoever took the segment out of its queue, here the caller, is the only one to remove it.
        let segment = unsafe { self.directory.get(number) };
        let mut cleared = Cleared {
            number,
            on_disk: segment.on_disk,
            used: segment.used(),
            left: None,
        };
        if let (Some(files), Some(on_disk)) = (&self.files, cleared.on_disk)
            && !files.is_removed(on_disk.file)
        {
            cleared.left = Some(Left {
                known: Known {
                    dead: segment.used(),
                    ..Known::of(segment, on_disk)
                },
                lowest_version: segment.lowest_version(),
            });
        }
        // SAFETY: no record has a slot any more, and all raw ones are orphaned.
        drop(unsafe { self.directory.remove(number) });
        cleared
    }

    /// Takes every slot away that names a segment.
    fn forget_slots(&self, number: u32) {
        for shard in self.index.shards() {
            shard.write().retain(|slot| slot.place().segment != number);
        }
    }

    /// Where the compressed form of a slot's entry is. The caller holds the lock of its shard.
    pub(crate) fn home(&self, slot: Slot) -> Option<Place> {
        match self.raw(slot.place()) {
            Some(record) => record.backing(),
            None => Some(slot.place()),
        }
    }

    /// Until when the file of the segment of a place may be there. The caller holds the lock of the shard of an entry whose
    /// compressed form is at the place.
    pub(crate) fn end_of(&self, place: Place) -> Millis {
        // SAFETY: whoever removes the segment takes the entry's slot away first, under the lock that is held.
        unsafe { self.directory.get(place.segment) }.end
    }

    /// Counts a record as dead that never had a slot.
    pub(crate) fn add_dead(&self, place: Place, size: u32) {
        // SAFETY: only called while a store is opened: nothing is removed yet.
        unsafe { self.directory.get(place.segment) }.add_dead(size);
    }

    /// Whether a slot names a place, or an uncompressed entry whose compressed copy is there. The caller holds the lock of its
    /// shard.
    pub(crate) fn belongs(&self, slot: Slot, place: Place) -> bool {
        slot.place() == place
            || self
                .raw(slot.place())
                .is_some_and(|record| record.backing() == Some(place))
    }

    /// The uncompressed record at the place that a slot names. The caller holds the lock of its shard.
    pub(crate) fn raw(&self, place: Place) -> Option<Record<'_>> {
        // SAFETY: the slot was found under the shard's lock, which is held.
        let segment = unsafe { self.directory.get(place.segment) };
        // SAFETY: as above; the record was written before its slot was there.
        (segment.kind == Kind::Raw).then(|| unsafe { segment.raw(place.offset) })
    }
}

thread_local! {
    static CODER: RefCell<(Encoder, Decoder)> = RefCell::new((Encoder::new(), Decoder::new()));
}

impl Shared {
    /// Makes a value small. Says whether there is something to learn from the values of its namespace.
    pub(crate) fn encode(
        &self,
        namespace: u16,
        value: &[u8],
        use_it: impl FnOnce(Form, &[u8]),
    ) -> bool {
        if self.method == Method::Store {
            use_it(Form::Plain, value);
            return false;
        }
        let dictionary = match value.len() > MOST_VALUE {
            true => None,
            false => self.dictionaries.newest(namespace),
        };
        let stored = CODER.with_borrow_mut(|(encoder, _)| {
            match encoder.encode(value, self.method, dictionary.as_deref()) {
                Ok(encoded) if encoded.form.codec() != Codec::Stored => {
                    use_it(Form::Encoded(encoded.form), encoded.bytes);
                    encoded.bytes.len()
                }
                // Longer than the codec takes, or not worth it.
                _ => {
                    use_it(Form::Plain, value);
                    value.len()
                }
            }
        });
        self.dictionaries.observe(namespace, value, stored)
    }

    /// The value of a compressed record.
    pub(crate) fn decode(&self, record: &Packed<'_>) -> Option<Box<[u8]>> {
        decode(record, |id| self.dictionaries.get(id))
    }
}

/// The value of a compressed record; `dictionary` gives what it was compressed with.
pub(crate) fn decode(
    record: &Packed<'_>,
    dictionary: impl FnOnce(u32) -> Option<Arc<Dictionary>>,
) -> Option<Box<[u8]>> {
    let form = match record.form {
        Form::Plain => return Some(record.stored.into()),
        Form::Gone | Form::Mark => return None,
        Form::Encoded(form) => form,
    };
    let dictionary = match form.dictionary() {
        0 => None,
        id => Some(dictionary(id)?),
    };
    let mut value = vec![0; form.raw_len()].into_boxed_slice();
    let decoded = CODER.with_borrow_mut(|(_, decoder)| {
        decoder.decode(form, record.stored, dictionary.as_deref(), &mut value)
    });
    decoded.ok().map(|()| value)
}

impl<'a> View<'a> {
    #[inline]
    fn of_raw(record: Record<'a>) -> Self {
        let (whole_version, tags) = match record.has_extras() {
            true => (record.whole_version(), record.extras().tags),
            false => (record.version(), &[][..]),
        };
        Self {
            namespace: record.namespace(),
            key: record.key(),
            version: record.version(),
            whole_version,
            tags,
            deadline: record.deadline(),
        }
    }

    fn of(packed: &Packed<'a>, segment: &Segment) -> Self {
        Self {
            namespace: packed.namespace,
            key: packed.key,
            version: kept_of(packed.version),
            whole_version: packed.version,
            tags: packed.extras.tags,
            deadline: packed.lifetime.deadline(segment.epoch),
        }
    }
}

/// What is kept of a version beside an uncompressed entry, and is shown.
pub(crate) fn kept_of(version: u64) -> u64 {
    version & ((1 << VERSION_BITS) - 1)
}
