//! Entries as they were put: the uncompressed tier.
//!
//! A record is a [`Header`], the place of its compressed copy if it has one, what it says [besides](Extras), the key and the
//! value. Once it is published, what is not atomic changes only while nobody can be reading it: see [`Record::overwrite`].

use std::ptr::NonNull;
use std::slice;
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};

use super::extras::{Extras, Sliding, TAG};
use super::pins::Pins;
use super::{Lifetime, Segment};
use crate::clock::Millis;
use crate::index::{Place, UNIT};

/// What stands before the key.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Header {
    pub(super) pins: Pins,
    key_len: u16,
    /// Atomic, as the version is, for records that are [overwritten](Record::overwrite).
    value_len: AtomicU32,
    /// See [`Lifetime`]. Atomic for entries whose every read prolongs their life.
    deadline: AtomicU32,
    namespace: u16,
    flags: AtomicU8,
    version_high: AtomicU8,
    version_low: AtomicU32,
}

const HEADER: u32 = size_of::<Header>() as u32;
// An atomic of loom's is larger.
#[cfg(not(all(loom, test)))]
const _: () = assert!(HEADER == 20 && align_of::<Header>() as u32 == UNIT);

/// Set when the entry's slot is gone.
const DEAD: u8 = 1;
/// Set when the entry has a compressed copy.
const BACKED: u8 = 2;

/// Set when reads prolong the entry's life.
const SLIDING: u8 = 4;
/// The number of tags is in the bits from here on.
const TAGS_SHIFT: u32 = 3;
const _: () = assert!(super::extras::MOST_TAGS < 1 << (8 - TAGS_SHIFT));

/// Of a record that says something besides: the bits of the version for which the header has no room.
const TOP: u32 = 4;
/// Of a record of a sliding entry: the deadline that is in the folder, and how reads prolong it.
const SLIDE: u32 = 4 + Sliding::BYTES as u32;

/// The place of the compressed copy.
#[derive(Debug)]
#[repr(C)]
struct Backing {
    segment: AtomicU32,
    offset: AtomicU32,
}

const BACKING: u32 = size_of::<Backing>() as u32;
const _: () = assert!(align_of::<Backing>() as u32 == UNIT && HEADER.is_multiple_of(UNIT));

/// What a record says.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Content<'a> {
    pub(crate) namespace: u16,
    pub(crate) key: &'a [u8],
    pub(crate) value: &'a [u8],
    pub(crate) lifetime: Lifetime,
    pub(crate) version: u64,
    /// Where its compressed copy is.
    pub(crate) backing: Option<Place>,
    pub(crate) extras: Extras<'a>,
}

/// Of versions, this many bits are kept.
pub(crate) const VERSION_BITS: u32 = 40;

/// The bytes that a record takes.
pub(crate) fn size(key: usize, value: usize, is_backed: bool, extras: &Extras<'_>) -> u64 {
    size_of_flags(key, value, flags_of(is_backed, extras))
}

fn size_of_flags(key: usize, value: usize, flags: u8) -> u64 {
    (start(flags) as u64 + key as u64 + value as u64).next_multiple_of(u64::from(UNIT))
}

fn flags_of(is_backed: bool, extras: &Extras<'_>) -> u8 {
    let backed = if is_backed { BACKED } else { 0 };
    let sliding = extras.sliding.map_or(0, |_| SLIDING);
    backed | sliding | (extras.count() as u8) << TAGS_SHIFT
}

/// Where the key begins.
#[inline]
const fn start(flags: u8) -> usize {
    // Most records say nothing besides.
    if flags & !DEAD == 0 {
        return HEADER as usize;
    }
    extras_at(flags) + extras_len(flags)
}

/// Where what it says besides begins.
const fn extras_at(flags: u8) -> usize {
    match flags & BACKED {
        0 => HEADER as usize,
        _ => (HEADER + BACKING) as usize,
    }
}

const fn extras_len(flags: u8) -> usize {
    let sliding = if flags & SLIDING == 0 { 0 } else { SLIDE };
    let tags = TAG * (flags >> TAGS_SHIFT) as usize;
    match flags & !(DEAD | BACKED) {
        0 => 0,
        _ => (TOP + sliding) as usize + tags,
    }
}

/// A record in a segment that is not unmapped while this exists.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Record<'a> {
    /// From the mapping, and good for the whole record.
    header: NonNull<Header>,
    segment: &'a Segment,
}

impl Header {
    fn flags(&self) -> u8 {
        // Relaxed: but for one, these never change once the record is published, and that one is not asked for here.
        self.flags.load(Ordering::Relaxed)
    }

    /// Whether there is a place of a compressed copy behind the header.
    fn is_backed(&self) -> bool {
        self.flags() & BACKED != 0
    }

    /// Where the key begins.
    fn start(&self) -> usize {
        start(self.flags())
    }
}

impl Segment {
    /// Writes a record at a place that was [reserved](Self::reserve) for it.
    ///
    /// # Safety
    ///
    /// The caller has reserved `size(key, value, backed)` bytes at `offset` and nobody knows of the place yet.
    pub(crate) unsafe fn write_raw(&self, offset: u32, content: &Content<'_>) {
        let header = Header {
            pins: Pins::new(),
            key_len: content.key.len() as u16,
            value_len: AtomicU32::new(content.value.len() as u32),
            deadline: AtomicU32::new(content.lifetime.bits()),
            namespace: content.namespace,
            flags: AtomicU8::new(flags_of(content.backing.is_some(), &content.extras)),
            version_high: AtomicU8::new((content.version >> 32) as u8),
            version_low: AtomicU32::new(content.version as u32),
        };
        if !content.extras.tags.is_empty() {
            self.note_tags();
        }
        // SAFETY: the place is ours alone, and within the mapping; the mapping begins at a page and the offset is a
        // multiple of `UNIT`, which is the header's alignment.
        unsafe {
            let at = self.base().add(offset as usize);
            at.cast::<Header>().write(header);
            let mut key = at.add(HEADER as usize);
            if let Some(place) = content.backing {
                key.cast::<Backing>().write(Backing {
                    segment: AtomicU32::new(place.segment),
                    offset: AtomicU32::new(place.offset),
                });
                key = key.add(BACKING as usize);
            }
            if content.extras.are_any() {
                key = write_extras(key, content);
            }
            key.copy_from_nonoverlapping(NonNull::from(content.key).cast(), content.key.len());
            let value = key.add(content.key.len());
            value
                .copy_from_nonoverlapping(NonNull::from(content.value).cast(), content.value.len());
        }
    }

    /// The record at a place.
    ///
    /// # Safety
    ///
    /// A record was written there, and that happened before this call; the segment is not freed while the result is used.
    #[inline]
    pub(crate) unsafe fn raw(&self, offset: u32) -> Record<'_> {
        // SAFETY: the offset is that of a record, within the mapping.
        let header = unsafe { self.base().add(offset as usize).cast::<Header>() };
        Record {
            header,
            segment: self,
        }
    }
}

/// Writes what a record says besides. Gives where it ends.
///
/// # Safety
///
/// There is room for it at `at`, a multiple of four, that is the caller's alone.
unsafe fn write_extras(at: NonNull<u8>, content: &Content<'_>) -> NonNull<u8> {
    let top = (content.version >> VERSION_BITS) as u32;
    // SAFETY: as the caller promises.
    unsafe {
        at.cast::<u32>().write(top);
        let mut at = at.add(TOP as usize);
        if let Some(sliding) = content.extras.sliding {
            at.cast::<AtomicU32>()
                .write(AtomicU32::new(content.lifetime.bits()));
            at.add(4).cast().write(sliding.to_bytes());
            at = at.add(SLIDE as usize);
        }
        let tags = content.extras.tags;
        at.copy_from_nonoverlapping(NonNull::from(tags).cast(), tags.len());
        at.add(tags.len())
    }
}

impl<'a> Record<'a> {
    #[inline]
    pub(crate) fn header(&self) -> &'a Header {
        // SAFETY: as `Segment::raw` promises, and only shared references to headers are ever made.
        unsafe { self.header.as_ref() }
    }

    #[inline]
    pub(crate) fn key(&self) -> &'a [u8] {
        let header = self.header();
        // SAFETY: the key stands behind the header, within the record, and is never written again.
        unsafe {
            let start = self.header.cast::<u8>().add(header.start());
            slice::from_raw_parts(start.as_ptr(), usize::from(header.key_len))
        }
    }

    #[inline]
    pub(crate) fn value(&self) -> &'a [u8] {
        // SAFETY: as `Segment::raw` promises.
        unsafe { value_of(self.header) }
    }

    #[inline]
    pub(crate) fn namespace(&self) -> u16 {
        self.header().namespace
    }

    #[inline]
    pub(crate) fn lifetime(&self) -> Lifetime {
        Lifetime::from_bits(self.header().deadline.load(Ordering::Relaxed))
    }

    pub(crate) fn version(&self) -> u64 {
        let header = self.header();
        let high = header.version_high.load(Ordering::Relaxed);
        let low = header.version_low.load(Ordering::Relaxed);
        u64::from(high) << 32 | u64::from(low)
    }

    pub(crate) fn size(&self) -> u32 {
        let header = self.header();
        let key = usize::from(header.key_len);
        // Relaxed: whatever else it was or will be, the size is the same.
        let value = header.value_len.load(Ordering::Relaxed);
        size_of_flags(key, value as usize, header.flags()) as u32
    }

    /// Where the entry's compressed copy is.
    pub(crate) fn backing(&self) -> Option<Place> {
        let backing = self.backing_cell()?;
        // Relaxed: whoever reads or writes it holds the lock of the entry's shard.
        Some(Place {
            segment: backing.segment.load(Ordering::Relaxed),
            offset: backing.offset.load(Ordering::Relaxed),
        })
    }

    /// Says that the compressed copy was moved. The caller holds the write lock of the entry's shard, and the record has
    /// one.
    pub(crate) fn set_backing(&self, place: Place) {
        if let Some(backing) = self.backing_cell() {
            backing.segment.store(place.segment, Ordering::Relaxed);
            backing.offset.store(place.offset, Ordering::Relaxed);
        }
    }

    fn backing_cell(&self) -> Option<&'a Backing> {
        // SAFETY: it stands behind the header of a record that has it, and is accessed through shared references only.
        let backing = || unsafe {
            let at = self.header.cast::<u8>().add(HEADER as usize);
            at.cast::<Backing>().as_ref()
        };
        self.header().is_backed().then(backing)
    }

    /// Whether it says something besides.
    #[inline]
    pub(crate) fn has_extras(&self) -> bool {
        extras_len(self.header().flags()) > 0
    }

    /// What it says besides.
    pub(crate) fn extras(&self) -> Extras<'a> {
        let flags = self.header().flags();
        if extras_len(flags) == 0 {
            return Extras::default();
        }
        // SAFETY: it stands behind the header and the place of a copy, within the record, and is never written again, but
        // for the word that is stepped over.
        unsafe {
            let mut at = self.extras_base(flags).add(TOP as usize);
            let mut sliding = None;
            if flags & SLIDING != 0 {
                sliding = Some(Sliding::from_bytes(at.add(4).cast().read()));
                at = at.add(SLIDE as usize);
            }
            let tags = TAG * usize::from(flags >> TAGS_SHIFT);
            let tags = slice::from_raw_parts(at.as_ptr(), tags);
            Extras { sliding, tags }
        }
    }

    /// Its version, with the bits for which the header has no room, if it says something besides.
    pub(crate) fn whole_version(&self) -> u64 {
        let flags = self.header().flags();
        let top = match extras_len(flags) {
            0 => 0,
            // SAFETY: it is the first of what stands there, at a multiple of four, and is never written again.
            _ => unsafe { self.extras_base(flags).cast::<u32>().read() },
        };
        u64::from(top) << VERSION_BITS | self.version()
    }

    /// From when its times count.
    pub(crate) fn epoch(&self) -> Millis {
        self.segment.epoch
    }

    /// When it ends.
    pub(crate) fn deadline(&self) -> Millis {
        self.lifetime().deadline(self.segment.epoch)
    }

    /// Whether reads prolong its life.
    #[inline]
    pub(crate) fn is_sliding(&self) -> bool {
        self.header().flags() & SLIDING != 0
    }

    /// Moves its deadline, never to an earlier time. The caller holds the lock of the entry's shard.
    pub(crate) fn prolong(&self, lifetime: Lifetime) {
        let deadline = &self.header().deadline;
        // A deadline that is later has more bits. Relaxed: it orders nothing but itself; whoever moves the record holds the
        // shard's lock for writing.
        if deadline.load(Ordering::Relaxed) < lifetime.bits() {
            deadline.fetch_max(lifetime.bits(), Ordering::Relaxed);
        }
    }

    /// The deadline that the entry's compressed copy has, of a sliding entry.
    pub(crate) fn logged(&self) -> Lifetime {
        let logged = self.logged_cell();
        // Relaxed: as for the deadline itself.
        logged.map_or_else(
            || self.lifetime(),
            |logged| Lifetime::from_bits(logged.load(Ordering::Relaxed)),
        )
    }

    /// Says which deadline the compressed copy has. The caller holds the lock of the entry's shard.
    pub(crate) fn set_logged(&self, lifetime: Lifetime) {
        if let Some(logged) = self.logged_cell() {
            logged.store(lifetime.bits(), Ordering::Relaxed);
        }
    }

    fn logged_cell(&self) -> Option<&'a AtomicU32> {
        let flags = self.header().flags();
        // SAFETY: it stands there in a record of a sliding entry, at a multiple of four, and is accessed through shared
        // references only.
        let logged = || unsafe {
            let at = self.extras_base(flags).add(TOP as usize);
            at.cast::<AtomicU32>().as_ref()
        };
        (flags & SLIDING != 0).then(logged)
    }

    /// # Safety
    ///
    /// The record says something besides.
    unsafe fn extras_base(&self, flags: u8) -> NonNull<u8> {
        // SAFETY: it is within the record then.
        unsafe { self.header.cast::<u8>().add(extras_at(flags)) }
    }

    /// Whether its slot is gone for certain.
    pub(crate) fn is_dead(&self) -> bool {
        // Acquire: whoever sees the mark knows that the one who set it will not come back to the record.
        self.header().flags.load(Ordering::Acquire) & DEAD != 0
    }

    /// Says that its slot is gone. The caller has the lock under which it took the slot away, and does not use the record
    /// afterwards.
    pub(crate) fn bury(&self) {
        self.header().flags.fetch_or(DEAD, Ordering::Release);
    }

    /// Puts another value in the place of the one that the record has, if they take the same room and nobody reads that. The
    /// record is not `backed`, and says nothing besides.
    ///
    /// # Safety
    ///
    /// The caller has the write lock under which it found the slot, no one else reads or copies the record without that lock or a pin
    /// (see [`Segment::prolong`]), and no slice of the record's value is in use.
    pub(crate) unsafe fn overwrite(&self, value: &[u8], lifetime: Lifetime, version: u64) -> bool {
        let header = self.header();
        let key = usize::from(header.key_len);
        let size = size(key, value.len(), false, &Extras::default());
        if header.is_backed()
            || self.has_extras()
            || size != u64::from(self.size())
            || !header.pins.are_none()
        {
            return false;
        }
        header
            .value_len
            .store(value.len() as u32, Ordering::Relaxed);
        header.deadline.store(lifetime.bits(), Ordering::Relaxed);
        header
            .version_high
            .store((version >> 32) as u8, Ordering::Relaxed);
        header.version_low.store(version as u32, Ordering::Relaxed);
        // SAFETY: the value stands behind the key, there is room for this one, and nobody reads it as the caller promises.
        unsafe {
            let at = self.header.cast::<u8>().add(header.start() + key);
            at.copy_from_nonoverlapping(NonNull::from(value).cast(), value.len());
        }
        true
    }

    /// Pins the record, if it has not too many pins. The caller has the lock under which it found the slot.
    #[inline]
    pub(crate) fn pin(&self) -> Option<Pinned> {
        // Made only when it is pinned: dropping it unpins.
        self.header().pins.pin().then(|| Pinned {
            header: self.header,
            segment: NonNull::from(self.segment),
        })
    }
}

/// The value of a record that is pinned: the segment is not freed before this is dropped.
#[derive(Debug)]
pub(crate) struct Pinned {
    header: NonNull<Header>,
    segment: NonNull<Segment>,
}

// SAFETY: it reads memory that nobody writes but through atomics, and its count is atomic: it may be used, cloned and
// dropped by any thread.
unsafe impl Send for Pinned {}
// SAFETY: as above.
unsafe impl Sync for Pinned {}

impl Pinned {
    #[inline]
    pub(crate) fn bytes(&self) -> &[u8] {
        // SAFETY: the pin keeps the segment, and published bytes do not change.
        unsafe { value_of(self.header) }
    }

    /// Another pin, if there are not too many.
    pub(crate) fn again(&self) -> Option<Self> {
        // SAFETY: the pin keeps the segment.
        let header = unsafe { self.header.as_ref() };
        header.pins.pin().then(|| Self { ..*self })
    }
}

impl Drop for Pinned {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: the pin keeps the segment until it is taken away here, and an orphan keeps it until it lets go.
        unsafe {
            let last = self.header.as_ref().pins.unpin();
            if last == super::pins::Unpinned::LastOfOrphan {
                drop(Segment::let_go(self.segment));
            }
        }
    }
}

/// # Safety
///
/// The header is that of a published record, whose segment lives for as long as the result is used.
#[inline]
unsafe fn value_of<'a>(header: NonNull<Header>) -> &'a [u8] {
    // SAFETY: header, key and value stand one behind the other, within the mapping.
    unsafe {
        let (key, value) = (header.as_ref().key_len, &header.as_ref().value_len);
        // Relaxed: whoever has the lock or a pin reads what the last one who had the lock wrote.
        let value = value.load(Ordering::Relaxed);
        let start = header.as_ref().start() + usize::from(key);
        let start = header.cast::<u8>().add(start);
        slice::from_raw_parts(start.as_ptr(), value as usize)
    }
}
