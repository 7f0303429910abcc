//! Entries as they were put: the uncompressed tier.
//!
//! A record is a [`Header`], the key and the value. Its bytes never change once it is published, but for the three atomic
//! fields of the header.

use std::ptr::NonNull;
use std::slice;
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};

use super::pins::Pins;
use super::{Lifetime, Segment};
use crate::index::UNIT;

/// What stands before the key.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Header {
    pub(super) pins: Pins,
    key_len: u16,
    value_len: u32,
    /// See [`Lifetime`]. Atomic for entries whose every read prolongs their life.
    deadline: AtomicU32,
    namespace: u16,
    flags: AtomicU8,
    version_high: u8,
    version_low: u32,
}

const HEADER: u32 = size_of::<Header>() as u32;
const _: () = assert!(HEADER == 20 && align_of::<Header>() as u32 == UNIT);

/// Set when the entry's slot is gone.
const DEAD: u8 = 1;

/// What a record says.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Content<'a> {
    pub(crate) namespace: u16,
    pub(crate) key: &'a [u8],
    pub(crate) value: &'a [u8],
    pub(crate) lifetime: Lifetime,
    pub(crate) version: u64,
}

/// Versions have this many bits.
pub(crate) const VERSION_BITS: u32 = 40;

/// The bytes that a record of this key and value takes.
pub(crate) fn size(key: usize, value: usize) -> u64 {
    (u64::from(HEADER) + key as u64 + value as u64).next_multiple_of(u64::from(UNIT))
}

/// A record in a segment that is not unmapped while this exists.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Record<'a> {
    /// From the mapping, and good for the whole record.
    header: NonNull<Header>,
    segment: &'a Segment,
}

impl Segment {
    /// Writes a record at a place that was [reserved](Self::reserve) for it.
    ///
    /// # Safety
    ///
    /// The caller has reserved `size(key, value)` bytes at `offset` and nobody knows of the place yet.
    pub(crate) unsafe fn write_raw(&self, offset: u32, content: &Content<'_>) {
        let header = Header {
            pins: Pins::new(),
            key_len: content.key.len() as u16,
            value_len: content.value.len() as u32,
            deadline: AtomicU32::new(content.lifetime.bits()),
            namespace: content.namespace,
            flags: AtomicU8::new(0),
            version_high: (content.version >> 32) as u8,
            version_low: content.version as u32,
        };
        // SAFETY: the place is ours alone, and within the mapping; the mapping begins at a page and the offset is a
        // multiple of `UNIT`, which is the header's alignment.
        unsafe {
            let at = self.base().add(offset as usize);
            at.cast::<Header>().write(header);
            let key = at.add(HEADER as usize);
            key.copy_from_nonoverlapping(NonNull::from(content.key).cast(), content.key.len());
            let value = key.add(content.key.len());
            value.copy_from_nonoverlapping(NonNull::from(content.value).cast(), content.value.len());
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
            let start = self.header.cast::<u8>().add(HEADER as usize);
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
        u64::from(header.version_high) << 32 | u64::from(header.version_low)
    }

    pub(crate) fn size(&self) -> u32 {
        let header = self.header();
        size(usize::from(header.key_len), header.value_len as usize) as u32
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
                Segment::let_go(self.segment);
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
        let (key, value) = (header.as_ref().key_len, header.as_ref().value_len);
        let start = header.cast::<u8>().add(HEADER as usize + usize::from(key));
        slice::from_raw_parts(start.as_ptr(), value as usize)
    }
}
