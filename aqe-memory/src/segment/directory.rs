//! From the number of a segment to the segment.

use std::ptr::{self, NonNull};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicPtr, Ordering};

use super::Segment;
use crate::index::MOST_SEGMENTS;

/// All segments of a store by number. Grows by chunks, which stay where they are, so that readers need no lock.
#[derive(Debug)]
pub(crate) struct Directory {
    chunks: Box<[OnceLock<Chunk>]>,
}

type Chunk = Box<[AtomicPtr<Segment>]>;

const CHUNK: u32 = 1 << 12;

impl Directory {
    pub(crate) fn new() -> Self {
        let chunks = (0..MOST_SEGMENTS / CHUNK).map(|_| OnceLock::new());
        Self {
            chunks: chunks.collect(),
        }
    }

    /// Enters a segment under its number, which no segment has.
    pub(crate) fn enter(&self, segment: Box<Segment>) -> NonNull<Segment> {
        let number = segment.number;
        let segment = NonNull::from(Box::leak(segment));
        // Release: who finds the segment finds it whole.
        self.cell(number).store(segment.as_ptr(), Ordering::Release);
        segment
    }

    /// Puts a segment in the place of the one with the same number, which is given back: the caller frees it when nobody can
    /// be using it any more.
    pub(crate) fn replace(&self, segment: Box<Segment>) -> Option<Replaced> {
        let number = segment.number;
        let segment = Box::leak(segment);
        // Release and acquire: who finds the new segment finds it whole, and the old one was entered whole.
        let before = self.cell(number).swap(segment, Ordering::AcqRel);
        NonNull::new(before).map(Replaced)
    }

    /// Takes a segment out, and gives it if no value reads from it. Otherwise it is freed when the last such value is dropped.
    ///
    /// # Safety
    ///
    /// No slot names the segment, all its records are [orphaned](Segment::orphan), and the caller is the only one to take it
    /// out.
    pub(crate) unsafe fn remove(&self, number: u32) -> Option<Box<Segment>> {
        let segment = self.cell(number).swap(ptr::null_mut(), Ordering::AcqRel);
        let segment = NonNull::new(segment)?;
        // SAFETY: the hold of the store is what is taken away, and this happens once.
        unsafe { Segment::let_go(segment) }
    }

    /// The segment of a number.
    ///
    /// # Safety
    ///
    /// The segment was entered, and is not removed while the result is used: the caller holds the lock of a shard in which it
    /// found a slot with this number, or it is the only one who may remove the segment.
    #[inline]
    pub(crate) unsafe fn get(&self, number: u32) -> &Segment {
        let segment = self.cell(number).load(Ordering::Acquire);
        // SAFETY: as the caller promises.
        unsafe { &*segment }
    }

    #[inline]
    fn cell(&self, number: u32) -> &AtomicPtr<Segment> {
        let chunk = self.chunks[(number / CHUNK) as usize].get_or_init(|| {
            (0..CHUNK)
                .map(|_| AtomicPtr::new(ptr::null_mut()))
                .collect()
        });
        &chunk[(number % CHUNK) as usize]
    }
}

/// A segment that is not in the directory any more.
#[derive(Debug)]
#[must_use]
pub(crate) struct Replaced(NonNull<Segment>);

impl Replaced {
    /// Frees the segment.
    ///
    /// # Safety
    ///
    /// Nobody uses it: since it was replaced, the lock of every shard was free once, and no thread has it elsewhere from.
    pub(crate) unsafe fn free(self) {
        // SAFETY: as the caller promises. Values do not read from compressed segments.
        drop(unsafe { Segment::let_go(self.0) });
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let chunks = self.chunks.iter().filter_map(OnceLock::get);
        for segment in chunks.flat_map(|chunk| chunk.iter()) {
            let segment = segment.load(Ordering::Acquire);
            if let Some(segment) = NonNull::new(segment) {
                // SAFETY: the store is gone, so nobody pins anything new, and every segment that is left has the store's
                // hold. Its records are orphaned first, so that values outlive the store.
                unsafe {
                    Segment::orphan_all(segment.as_ref());
                    drop(Segment::let_go(segment));
                }
            }
        }
    }
}
