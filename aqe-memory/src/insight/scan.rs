//! A look at every entry, a few at a time.

use crate::clock::Millis;
use crate::index::Slot;
use crate::segment::packed::{self, Form, Packed};
use crate::segment::{Kind, Segment};
use crate::shared::{Shared, kept_of, with_scratch};
use crate::store::Core;

/// How many entries are looked at under the lock of their shard: some microseconds in memory, some milliseconds on a
/// disk that has to be waited for.
pub(super) const SLICE: usize = 64;

/// What is seen of an entry.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen<'a> {
    pub(crate) namespace: u16,
    pub(crate) key: &'a [u8],
    pub(crate) version: u64,
    pub(crate) deadline: Millis,
    /// Whether one of its tags was invalidated.
    pub(crate) is_void: bool,
    pub(crate) kind: Kind,
    /// When the segment was begun in which it lies.
    pub(crate) epoch: Millis,
    /// Bytes that it takes where it is, with its key.
    pub(crate) size: u64,
    /// Bytes of its value as it was put.
    pub(crate) value: u64,
    /// The same as it is stored.
    pub(crate) stored: u64,
    /// The dictionary that its value needs; zero for none.
    pub(crate) dictionary: u32,
}

impl Seen<'_> {
    /// Whether no read gives it any more.
    pub(crate) fn is_over(&self, now: Millis) -> bool {
        self.is_void || self.deadline <= now
    }
}

impl Core {
    /// Looks at every entry, those included that are over. One that is moved, put or removed meanwhile may be left out, and none
    /// is shown twice.
    pub(crate) fn scan(&self, mut each: impl FnMut(&Seen<'_>)) {
        for (number, shard) in (0..).zip(self.shared.index.shards()) {
            let mut slots: Vec<Slot> = shard.read().slots().collect();
            // Neighbours in a segment one after the other: a file is read from front to back.
            slots.sort_unstable_by_key(|slot| (slot.place().segment, slot.place().offset));
            for slots in slots.chunks(SLICE) {
                let shard = shard.read();
                for slot in slots {
                    let hash = self.shared.index.hash_of(number, *slot);
                    // What is not there any more was moved or is gone.
                    let found = shard.find(hash, |other| other.place() == slot.place());
                    if let Some(found) = found {
                        self.shared.show(found.get(), &mut each);
                    }
                }
            }
        }
    }
}

impl Shared {
    /// Shows the entry of a slot. The caller holds the lock of its shard. Nothing where the disk cannot be read.
    fn show(&self, slot: Slot, each: &mut impl FnMut(&Seen<'_>)) {
        let place = slot.place();
        // SAFETY: the slot was found under the shard's lock, which is held.
        let segment = unsafe { self.directory.get(place.segment) };
        match segment.kind {
            Kind::Raw => {
                // SAFETY: as above; the record was written before its slot was there.
                let record = unsafe { segment.raw(place.offset) };
                let value = record.value().len() as u64;
                each(&Seen {
                    namespace: record.namespace(),
                    key: record.key(),
                    version: record.version(),
                    deadline: record.lifetime().deadline(segment.epoch),
                    is_void: self.is_void(record),
                    kind: Kind::Raw,
                    epoch: segment.epoch,
                    size: record.size().into(),
                    value,
                    stored: value,
                    dictionary: 0,
                });
            }
            Kind::Packed if segment.opener.is_none() => {
                // SAFETY: as above.
                let bytes = unsafe { segment.packed(place.offset) };
                self.show_packed(segment, bytes, bytes.len(), each);
            }
            Kind::Packed | Kind::Cold => with_scratch(|bytes| {
                if self.fetch(segment, place.offset, bytes).is_some() {
                    let sealed = segment.opener.is_some();
                    let size = packed::finished_len(bytes.len(), sealed);
                    self.show_packed(segment, bytes, size, each);
                }
            }),
        }
    }

    fn show_packed(
        &self,
        segment: &Segment,
        bytes: &[u8],
        size: usize,
        each: &mut impl FnMut(&Seen<'_>),
    ) {
        let Some(record) = Packed::read(bytes) else {
            return;
        };
        let stored = record.stored.len() as u64;
        let (value, dictionary) = match record.form {
            Form::Encoded(form) => (form.raw_len() as u64, form.dictionary()),
            Form::Plain | Form::Gone | Form::Mark => (stored, 0),
        };
        each(&Seen {
            namespace: record.namespace,
            key: record.key,
            version: kept_of(record.version),
            deadline: record.lifetime.deadline(segment.epoch),
            is_void: self
                .marks
                .is_void(record.namespace, record.version, record.extras.tags),
            kind: segment.kind,
            epoch: segment.epoch,
            size: packed::space(size),
            value,
            stored,
            dictionary,
        });
    }
}
