//! What is allocated, and by whom.

mod counts;
mod sites;

use std::alloc::{GlobalAlloc, Layout, System};

pub use self::counts::{AllocationTotals, allocation_totals, thread_allocation_totals};
pub use self::sites::{AllocationOptions, AllocationProfiler};

/// A global allocator that counts what another one does.
///
/// ```
/// use std::alloc::System;
/// use aqe_monitor::profile::{TrackingAllocator, allocation_totals, thread_allocation_totals};
///
/// #[global_allocator]
/// static ALLOCATOR: TrackingAllocator = TrackingAllocator::new(System);
///
/// let before = thread_allocation_totals();
/// let text = String::from("seven b");
/// let after = thread_allocation_totals();
/// assert_eq!(after.allocated_bytes - before.allocated_bytes, 7);
/// assert_eq!(after.allocated_blocks - before.allocated_blocks, 1);
/// drop(text);
///
/// let totals = allocation_totals();
/// assert!(totals.peak_bytes >= totals.live_bytes());
/// ```
///
/// Counting costs some nanoseconds per call: each of the first 256 threads adds to counters of its own; later ones share
/// some, which costs about twenty. By whom memory is allocated is looked at only while an [`AllocationProfiler`] runs.
/// The counts belong to the process: were there two allocators of this type, they would count together.
#[derive(Clone, Copy, Debug, Default)]
pub struct TrackingAllocator<A = System> {
    inner: A,
}

impl<A> TrackingAllocator<A> {
    /// Counts what `inner` does.
    pub const fn new(inner: A) -> Self {
        Self { inner }
    }
}

// SAFETY: every call is handed to `inner` as it came, and its result handed back. What is done beside it allocates
// nothing through this allocator, unwinds nowhere, and touches only statics and thread-locals without destructors.
unsafe impl<A: GlobalAlloc> GlobalAlloc for TrackingAllocator<A> {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise.
        let block = unsafe { self.inner.alloc(layout) };
        allocated(block, layout.size());
        block
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise.
        let block = unsafe { self.inner.alloc_zeroed(layout) };
        allocated(block, layout.size());
        block
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { self.inner.dealloc(block, layout) };
        counts::freed(layout.size());
    }

    /// Counts as a block freed and a block allocated.
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller's promise.
        let moved = unsafe { self.inner.realloc(block, layout, size) };
        if !moved.is_null() {
            // In this order live bytes never seem fewer than none.
            allocated(moved, size);
            counts::freed(layout.size());
        }
        moved
    }
}

fn allocated(block: *mut u8, size: usize) {
    if !block.is_null() {
        counts::allocated(size);
        sites::allocated(size);
    }
}
