//! Memory for operations, many at a time.
//!
//! To allocate and free each operation by itself costs as much as everything else that the queue does with it, and
//! operations of different levels that come one after the other would lie side by side although they run far apart. So
//! a handle of the queue has for each level a block, in which it lays its operations in their order; the block is freed
//! when the last of them is gone. That keeps up to [`LARGEST`] bytes for one operation that outlives its neighbours. The
//! first block holds one operation and each further one twice as much: a handle that submits once pays for one.

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::marker::PhantomData;
use std::ptr::NonNull;
use std::sync::Arc;

use super::Home;
use crate::sync::UnsafeCell;
use crate::sync::atomic::{AtomicBool, AtomicUsize, Ordering, fence};

/// What every block begins with.
pub(super) struct Block {
    /// Operations that are not gone, plus [`OPEN`] and less those that have been laid while more may be.
    live: AtomicUsize,
    layout: Layout,
    home: Arc<dyn Home>,
}

/// More than any block has operations.
const OPEN: usize = 1 << 30;

/// The size of a full block: a page, less what an allocator adds.
const LARGEST: usize = 4_096 - 32;

/// Operations that are larger than this share of a block, or must be aligned to more than a block is, lie alone.
const LARGEST_SHARED: usize = LARGEST / 8;
const ALIGN: usize = 16;

/// With `--cfg aqe_single`, which the sanitizer's tests are built with, every operation lies alone: in a block that
/// others keep alive, no tool sees that one is used after its end.
const MAY_SHARE: bool = !cfg!(aqe_single);

/// Where the operations of one handle of a queue are laid.
pub(crate) struct Nursery<H> {
    home: Arc<H>,
    /// Somebody uses `open`. Nobody waits for that, so this is all the lock there is, and half as dear as one.
    busy: AtomicBool,
    /// The open block of each level that has had one.
    open: UnsafeCell<Vec<Option<Open>>>,
}

/// A block to which operations are being added.
struct Open {
    block: NonNull<Block>,
    /// Bytes in use, from the start of the block.
    used: usize,
    laid: usize,
}

// SAFETY: an open block is reached by whoever has set `busy`; what lies in it is reached by others, who have nothing to
// do with the fields here. The home is `Send` and `Sync`.
unsafe impl<H: Home> Send for Nursery<H> {}
// SAFETY: as above.
unsafe impl<H: Home> Sync for Nursery<H> {}

/// Memory for one operation.
pub(super) struct Place<H> {
    pub(super) at: NonNull<u8>,
    /// From the start of its block, in bytes.
    pub(super) offset: u32,
    /// The block's home is an `H`.
    _home: PhantomData<Arc<H>>,
}

#[cfg(test)]
impl<H> Place<H> {
    /// Returns the block in which it is.
    pub(super) fn block(&self) -> NonNull<Block> {
        // SAFETY: it begins so many bytes after its block.
        unsafe { self.at.sub(self.offset as usize) }.cast()
    }
}

impl<H: Home> Nursery<H> {
    pub(crate) fn new(home: Arc<H>) -> Self {
        Self {
            home,
            busy: AtomicBool::new(false),
            open: UnsafeCell::new(Vec::new()),
        }
    }

    /// Finds memory for one operation, which its block counts from now on.
    pub(super) fn place(&self, level: u8, layout: Layout) -> Place<H> {
        let shared = layout.size() <= LARGEST_SHARED && layout.align() <= ALIGN && MAY_SHARE;
        // Whoever would have to wait for another thread is better off alone.
        if shared && !self.busy.swap(true, Ordering::Acquire) {
            let place = self.open.with_mut(|open| {
                // SAFETY: this thread has set `busy`.
                self.place_among(unsafe { &mut *open }, level, layout)
            });
            self.busy.store(false, Ordering::Release);
            return place;
        }
        let mut alone = self.open_block(offset_of_first(layout) + layout.size(), layout);
        let place = alone.lay(layout);
        alone.close();
        place
    }

    fn place_among(&self, open: &mut Vec<Option<Open>>, level: u8, layout: Layout) -> Place<H> {
        let level = usize::from(level);
        if open.len() <= level {
            open.resize_with(level + 1, || None);
        }
        let needed = offset_of_first(layout) + layout.size();
        let open = open[level].get_or_insert_with(|| self.open_block(needed, layout));
        if !open.has_room(layout) && !open.begin_again() {
            let size = (open.size() * 2).clamp(needed, LARGEST.max(needed));
            std::mem::replace(open, self.open_block(size, layout)).close();
        }
        if !open.has_room(layout) {
            // It was emptied, but is one of the first and too small for this operation.
            std::mem::replace(open, self.open_block(needed, layout)).close();
        }
        open.lay(layout)
    }

    fn open_block(&self, size: usize, first: Layout) -> Open {
        let align = ALIGN.max(first.align());
        let Ok(layout) = Layout::from_size_align(size, align) else {
            unreachable!("an operation has no layout");
        };
        // SAFETY: the size is not zero: there is room for a `Block` in it.
        let Some(block) = NonNull::new(unsafe { alloc(layout) }) else {
            handle_alloc_error(layout)
        };
        let block = block.cast::<Block>();
        let head = Block {
            live: AtomicUsize::new(OPEN),
            layout,
            home: Arc::<H>::clone(&self.home),
        };
        // SAFETY: it has just been allocated, with room for the head and aligned for it.
        unsafe { block.write(head) };
        Open {
            block,
            used: size_of::<Block>(),
            laid: 0,
        }
    }
}

impl<H> Drop for Nursery<H> {
    fn drop(&mut self) {
        let open = self.open.with_mut(|open| {
            // SAFETY: nobody else has the nursery any more.
            std::mem::take(unsafe { &mut *open })
        });
        open.into_iter().flatten().for_each(Open::close);
    }
}

const fn offset_of_first(layout: Layout) -> usize {
    align_up(size_of::<Block>(), layout)
}

/// Alignments are powers of two, which the standard library's function for all numbers does not know: it divides.
const fn align_up(offset: usize, layout: Layout) -> usize {
    (offset + layout.align() - 1) & !(layout.align() - 1)
}

impl Open {
    fn size(&self) -> usize {
        // SAFETY: an open block is not freed before it is closed.
        unsafe { self.block.as_ref() }.layout.size()
    }

    fn has_room(&self, layout: Layout) -> bool {
        align_up(self.used, layout) + layout.size() <= self.size()
    }

    fn lay<H>(&mut self, layout: Layout) -> Place<H> {
        let offset = align_up(self.used, layout);
        assert!(offset + layout.size() <= self.size(), "the block is full");
        self.used = offset + layout.size();
        self.laid += 1;
        Place {
            // SAFETY: checked above to lie within the block.
            at: unsafe { self.block.cast::<u8>().add(offset) },
            offset: u32::try_from(offset).unwrap_or_else(|_| unreachable!("a block of 4 GiB")),
            _home: PhantomData,
        }
    }

    /// Empties the block if everything in it is gone. A queue in which little waits lives in the same few blocks.
    fn begin_again(&mut self) -> bool {
        // SAFETY: an open block is not freed before it is closed.
        let live = &unsafe { self.block.as_ref() }.live;
        // Acquire: those who let go of what lay here have finished with it.
        let is_empty = live.load(Ordering::Acquire) == OPEN - self.laid;
        if is_empty {
            live.store(OPEN, Ordering::Relaxed);
            self.laid = 0;
            self.used = size_of::<Block>();
        }
        is_empty
    }

    /// Leaves the block to what is in it.
    fn close(self) {
        // SAFETY: nobody else closes it, and what has been laid is counted.
        unsafe { Block::release(self.block, OPEN - self.laid) }
    }
}

impl Block {
    /// Counts operations out, and frees the block when there is none left.
    ///
    /// # Safety
    ///
    /// Each operation is counted out once, after its end, and nothing of the block is used by the caller afterwards.
    pub(super) unsafe fn release(block: NonNull<Self>, count: usize) {
        // SAFETY: what is counted out has kept the block until now.
        let live = &unsafe { block.as_ref() }.live;
        if live.fetch_sub(count, Ordering::Release) != count {
            return;
        }
        // What others did with their operations happens before the block goes.
        fence(Ordering::Acquire);
        // SAFETY: nobody is left who could reach the block; it was allocated with this layout.
        unsafe {
            let Self { layout, home, .. } = block.read();
            dealloc(block.cast().as_ptr(), layout);
            drop(home);
        }
    }

    pub(super) fn home(&self) -> &dyn Home {
        &*self.home
    }
}

#[cfg(test)]
mod tests;
