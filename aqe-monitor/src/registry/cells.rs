//! The memory that is counted in: one slab of plain cells for each thread.
//!
//! An atomic addition locks its cache line, and that lock is nearly all that a counter costs. A cell which only one
//! thread ever writes needs none: the thread loads, adds and stores. So each counter is an *index*, each thread leases
//! a [`Slab`] in which it owns the cell of every index, and a total is the sum over all slabs.
//!
//! Invariants:
//!
//! - A slab has at most one lessee, so each of its cells has at most one writer. Leases change hands under the lock of
//!   the [`Arena`], which makes what the last lessee stored visible to the next.
//! - Whatever was counted stays in its slab when the thread ends. The next lessee goes on counting from there: nothing
//!   is folded, moved or reset while someone may read, so a total is exact without any lock between writers and
//!   readers. There are as many slabs as threads that ever counted *at the same time*.
//! - Slabs and pages are never freed: a thread's pointers to them are good for ever. Both are bounded.
//! - A [`Block`] of indices is reset and leased again only when no handle to it is left, thus when nobody writes it.
//!
//! Whoever finds no slab (a thread that is just being torn down, one beyond [`MAX_SLABS`], an index beyond the last
//! page) adds to the block's shared cells with a locked addition.

use std::array;
use std::fmt;
use std::hint::black_box;
use std::sync::{Arc, LazyLock};

use super::slot::Slot;
use super::sync::Mutex;
use super::sync::atomic::AtomicU64;
use super::sync::atomic::Ordering::Relaxed;
use super::tree::Tree;

/// Cells of one page: 4 KiB of them, which a thread gets when it first writes one.
pub(crate) const PAGE_CELLS: usize = if cfg!(all(loom, test)) { 2 } else { 512 };

/// Pages of one slab. Indices beyond them are counted in shared cells.
pub(crate) const PAGES: usize = if cfg!(all(loom, test)) { 2 } else { 128 };

/// Cells that are leased together, a divisor of [`PAGE_CELLS`].
pub(crate) const BLOCK_CELLS: usize = if cfg!(all(loom, test)) { 2 } else { 32 };

/// Histograms of one shelf.
pub(crate) const SHELF_TREES: usize = if cfg!(all(loom, test)) { 2 } else { 64 };

/// Shelves of one slab. Histograms beyond them are counted under a lock.
pub(crate) const SHELVES: usize = if cfg!(all(loom, test)) { 1 } else { 64 };

/// Threads that may count without locked additions at the same time.
pub(crate) const MAX_SLABS: usize = if cfg!(all(loom, test)) { 2 } else { 1_024 };

const BLOCKS: usize = PAGES * PAGE_CELLS / BLOCK_CELLS;
const TREES: usize = SHELVES * SHELF_TREES;

/// The start of a block that has no cells in any slab. No page has this number.
const BEYOND: u32 = 1 << 31;

pub(crate) type Page = [AtomicU64; PAGE_CELLS];
pub(crate) type Shelf = [Slot<Tree>; SHELF_TREES];

/// The cells of one thread, in pages that come on first use.
pub(crate) struct Slab {
    pages: [Slot<Page>; PAGES],
    shelves: [Slot<Shelf>; SHELVES],
    /// The slab made after this one, set once under the arena's lock.
    next: Slot<Self>,
}

impl Slab {
    fn new() -> Self {
        Self {
            pages: array::from_fn(|_| Slot::new()),
            shelves: array::from_fn(|_| Slot::new()),
            next: Slot::new(),
        }
    }

    /// The page with this number, if there can be one. Called by the lessee only.
    pub(crate) fn open_page(&self, number: usize) -> Option<&'static Page> {
        let page = || array::from_fn(|_| AtomicU64::new(0));
        Some(self.pages.get(number)?.get_or_leak(page))
    }

    /// The shelf with this number, if there can be one. Called by the lessee only.
    pub(crate) fn open_shelf(&self, number: usize) -> Option<&'static Shelf> {
        let shelf = || array::from_fn(|_| Slot::new());
        Some(self.shelves.get(number)?.get_or_leak(shelf))
    }

    fn tree(&self, id: u32) -> Option<&'static Tree> {
        let shelf = self.shelves.get(id as usize / SHELF_TREES)?.get()?;
        shelf[id as usize % SHELF_TREES].get()
    }
}

/// All slabs, and which indices are free.
pub(crate) struct Arena {
    first: Slot<Slab>,
    books: Mutex<Books>,
}

#[derive(Default)]
struct Books {
    /// Slabs whose thread has ended.
    free_slabs: Vec<&'static Slab>,
    last: Option<&'static Slab>,
    slabs: usize,
    free_blocks: Vec<u32>,
    blocks: usize,
    free_trees: Vec<u32>,
    trees: usize,
}

/// The one arena of the process. Counting does not touch it, only the first time that a thread counts does.
pub(crate) static ARENA: LazyLock<Arc<Arena>> = LazyLock::new(|| Arc::new(Arena::new()));

impl Arena {
    pub(crate) fn new() -> Self {
        Self {
            first: Slot::new(),
            books: Mutex::new(Books::default()),
        }
    }

    /// A slab of which the caller is the only writer until it is released; `None` when too many are leased.
    pub(crate) fn lease_slab(&self) -> Option<&'static Slab> {
        let mut books = self.books.lock();
        if let Some(slab) = books.free_slabs.pop() {
            return Some(slab);
        }
        if books.slabs == MAX_SLABS {
            return None;
        }
        // The lock is held, so nobody else appends.
        let link = books.last.map_or(&self.first, |last| &last.next);
        let slab = link.get_or_leak(Slab::new);
        books.last = Some(slab);
        books.slabs += 1;
        Some(slab)
    }

    /// Ends a lease. The caller writes no cell of the slab from here on.
    pub(crate) fn release_slab(&self, slab: &'static Slab) {
        self.books.lock().free_slabs.push(slab);
    }

    fn slabs(&self) -> impl Iterator<Item = &'static Slab> {
        std::iter::successors(self.first.get(), |slab| slab.next.get())
    }

    /// New cells, all zero.
    pub(crate) fn lease_block(self: &Arc<Self>) -> Block {
        let mut books = self.books.lock();
        let start = books.free_blocks.pop().unwrap_or_else(|| {
            if books.blocks == BLOCKS {
                return BEYOND;
            }
            books.blocks += 1;
            u32::try_from((books.blocks - 1) * BLOCK_CELLS).unwrap_or(BEYOND)
        });
        Block {
            start,
            shared: array::from_fn(|_| AtomicU64::new(0)),
            arena: Arc::clone(self),
        }
    }

    /// A number for a histogram, whose trees are all empty; none when they are used up.
    pub(crate) fn lease_tree(self: &Arc<Self>) -> TreeLease {
        let mut books = self.books.lock();
        let id = books.free_trees.pop().or_else(|| {
            let next = u32::try_from(books.trees).ok()?;
            (books.trees < TREES).then(|| {
                books.trees += 1;
                next
            })
        });
        TreeLease {
            id: id.unwrap_or(BEYOND),
            arena: Arc::clone(self),
        }
    }
}

impl fmt::Debug for Arena {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let books = self.books.lock();
        f.debug_struct("Arena")
            .field("slabs", &books.slabs)
            .field("blocks", &books.blocks)
            .field("trees", &books.trees)
            .finish_non_exhaustive()
    }
}

/// A run of indices that belong to one registry, and the cells that threads without a slab share.
#[derive(Debug)]
pub(crate) struct Block {
    start: u32,
    /// Written with locked additions by anyone.
    shared: [AtomicU64; BLOCK_CELLS],
    arena: Arc<Arena>,
}

impl Block {
    /// The index of the cell at `offset`.
    pub(crate) fn index(&self, offset: usize) -> u32 {
        self.start + (offset % BLOCK_CELLS) as u32
    }

    /// Adds to a shared cell, for whoever has no slab.
    pub(crate) fn add_shared(&self, index: u32, n: u64) {
        self.shared[index as usize % BLOCK_CELLS].fetch_add(n, Relaxed);
    }

    /// What was counted under `index` by all threads. Sums wrap, as the cells do.
    ///
    /// Relaxed loads: each cell only says how much was counted, and orders nothing else. Whoever has joined a thread, or
    /// heard from it otherwise, sees all that it had counted.
    pub(crate) fn total(&self, index: u32) -> u64 {
        let (page, cell) = (index as usize / PAGE_CELLS, index as usize % PAGE_CELLS);
        let shared = self.shared[index as usize % BLOCK_CELLS].load(Relaxed);
        self.pages(page)
            .map(|page| page[cell].load(Relaxed))
            .fold(shared, u64::wrapping_add)
    }

    /// The totals of all cells of the block: cheaper by the cell than [`Self::total`].
    pub(crate) fn totals(&self) -> [u64; BLOCK_CELLS] {
        let start = self.start as usize;
        let mut totals = array::from_fn(|offset| self.shared[offset].load(Relaxed));
        for page in self.pages(start / PAGE_CELLS) {
            let cells = &page[start % PAGE_CELLS..][..BLOCK_CELLS];
            for (total, cell) in totals.iter_mut().zip(cells) {
                *total = total.wrapping_add(cell.load(Relaxed));
            }
        }
        totals
    }

    fn pages(&self, number: usize) -> impl Iterator<Item = &'static Page> {
        self.arena
            .slabs()
            .filter_map(move |slab| slab.pages.get(number)?.get())
    }
}

impl Drop for Block {
    /// No handle is left, so nobody writes these cells: they can be reset under their writers' noses.
    fn drop(&mut self) {
        let start = self.start as usize;
        if start >= PAGES * PAGE_CELLS {
            return;
        }
        for page in self.pages(start / PAGE_CELLS) {
            for cell in &page[start % PAGE_CELLS..][..BLOCK_CELLS] {
                cell.store(0, Relaxed);
            }
        }
        // Pushed under the lock: whoever leases the block next, and whomever they tell, sees the zeros.
        self.arena.books.lock().free_blocks.push(self.start);
    }
}

/// The number of a histogram, which is the place of its tree in every slab.
#[derive(Debug)]
pub(crate) struct TreeLease {
    id: u32,
    arena: Arc<Arena>,
}

impl TreeLease {
    pub(crate) fn id(&self) -> u32 {
        self.id
    }

    /// The trees of all threads that have recorded something.
    pub(crate) fn trees(&self) -> impl Iterator<Item = &'static Tree> {
        let id = self.id;
        self.arena.slabs().filter_map(move |slab| slab.tree(id))
    }
}

impl Drop for TreeLease {
    /// As with blocks: no handle is left, so nobody writes.
    fn drop(&mut self) {
        if self.id == BEYOND {
            return;
        }
        self.trees().for_each(Tree::reset);
        self.arena.books.lock().free_trees.push(self.id);
    }
}

/// Adds to a cell whose only writer is the calling thread.
///
/// Processors that hand a stored value to the next load of the same address without going through memory ("memory
/// renaming") do so when the address is in a register, and not when it is a base and an index. The black box has it
/// computed into one; it costs two moves, and one hot counter counts three times as fast.
#[inline]
pub(crate) fn add_owned(cell: &AtomicU64, n: u64) {
    let cell = black_box(cell);
    cell.store(cell.load(Relaxed).wrapping_add(n), Relaxed);
}
