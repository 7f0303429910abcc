//! What a thread knows of its slab.
//!
//! [`LOCAL`] needs no destructor, so reading it is one instruction: the compiler adds no check whether it is still alive.
//! The lease ends in [`ENDING`], which has one; what a thread counts after that goes to shared cells.

use std::cell::Cell;

use super::cells::{ARENA, PAGE_CELLS, PAGES, Page, SHELF_TREES, Slab, add_owned};
use super::tree::Tree;

thread_local! {
    static LOCAL: Local = const { Local::new() };
    static ENDING: Ending = const { Ending };
}

struct Local {
    lease: Cell<Lease>,
    /// The pages opened so far. Empty without a lease.
    pages: [Cell<Option<&'static Page>>; PAGES],
    /// The trees opened so far, by their place: histograms with higher numbers are looked up in the slab, and so cost a
    /// call. The last place is always empty. Empty without a lease.
    trees: [Cell<Option<&'static Tree>>; FAR as usize + 1],
}

/// The place of a tree in [`Local`], or [`FAR`]. Any byte is a place, so that none need be checked.
pub(crate) type Near = u8;

/// Where nothing ever is.
pub(crate) const FAR: Near = Near::MAX;

/// The place of the histogram with this number.
pub(crate) fn near(id: u32) -> Near {
    Near::try_from(id).unwrap_or(FAR)
}

#[derive(Clone, Copy)]
enum Lease {
    /// The thread has not counted yet.
    None,
    Slab(&'static Slab),
    /// The thread is at its end, or was one too many.
    Refused,
}

impl Local {
    const fn new() -> Self {
        Self {
            lease: Cell::new(Lease::None),
            pages: [const { Cell::new(None) }; PAGES],
            trees: [const { Cell::new(None) }; FAR as usize + 1],
        }
    }

    fn slab(&self) -> Option<&'static Slab> {
        if let Lease::None = self.lease.get() {
            // A destructor that cannot be registered any more would leave the slab leased for ever.
            let ends = ENDING.try_with(|_| ()).is_ok();
            let slab = if ends { ARENA.lease_slab() } else { None };
            self.lease.set(slab.map_or(Lease::Refused, Lease::Slab));
        }
        match self.lease.get() {
            Lease::Slab(slab) => Some(slab),
            Lease::None | Lease::Refused => None,
        }
    }

    fn release(&self) {
        self.pages.iter().for_each(|page| page.set(None));
        self.trees.iter().for_each(|tree| tree.set(None));
        if let Lease::Slab(slab) = self.lease.replace(Lease::Refused) {
            ARENA.release_slab(slab);
        }
    }
}

struct Ending;

impl Drop for Ending {
    fn drop(&mut self) {
        LOCAL.with(Local::release);
    }
}

/// Adds to this thread's cell; false when the page is not open, and nothing was added.
#[inline]
pub(crate) fn add(index: u32, n: u64) -> bool {
    LOCAL.with(|local| {
        let index = index as usize;
        let Some(page) = local.pages.get(index / PAGE_CELLS) else {
            return false;
        };
        let Some(page) = page.get() else { return false };
        add_owned(&page[index % PAGE_CELLS], n);
        true
    })
}

/// Opens the page of a cell, so that [`add`] will find it; false when this thread cannot have it.
pub(crate) fn open_page(index: u32) -> bool {
    LOCAL.with(|local| {
        let number = index as usize / PAGE_CELLS;
        let (Some(place), Some(slab)) = (local.pages.get(number), local.slab()) else {
            return false;
        };
        place.set(slab.open_page(number));
        place.get().is_some()
    })
}

/// This thread's tree of a histogram, if it has been opened and is near.
#[inline]
pub(crate) fn with_tree<R>(place: Near, record: impl FnOnce(&'static Tree) -> R) -> Option<R> {
    LOCAL.with(|local| local.trees[usize::from(place)].get().map(record))
}

/// This thread's tree of a histogram, opened if it was not, near or far; none when it cannot have one.
pub(crate) fn open_tree(place: Near, id: u32) -> Option<&'static Tree> {
    LOCAL.with(|local| {
        let id = id as usize;
        let shelf = local.slab()?.open_shelf(id / SHELF_TREES)?;
        let tree = shelf[id % SHELF_TREES].get_or_leak(Tree::new);
        if place != FAR {
            local.trees[usize::from(place)].set(Some(tree));
        }
        Some(tree)
    })
}
