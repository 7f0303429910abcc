//! Memory for tables.
//!
//! A table that has grown and shrunk again leaves the heap with a hole that the heap keeps: after a million entries were
//! over, a tenth of what they took was still the process's. So the memory of a larger table is mapped, and goes back to the
//! system with the table.

use std::alloc::Layout;
use std::ptr::NonNull;

use allocator_api2::alloc::{AllocError, Allocator, Global};

/// Where tables have their memory from.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pages;

/// Smaller tables are on the heap: a mapping of a few pages costs more than it gives back.
const FROM: usize = 16 << 10;

// SAFETY: what is allocated stays where it is until it is deallocated, whichever copy of the allocator is asked; a block's layout
// says by which of the two it was allocated.
unsafe impl Allocator for Pages {
    fn allocate(&self, layout: Layout) -> Result<NonNull<[u8]>, AllocError> {
        match layout.size() < FROM {
            true => Global.allocate(layout),
            false => map(layout),
        }
    }

    unsafe fn deallocate(&self, block: NonNull<u8>, layout: Layout) {
        // SAFETY: as the caller promises, the block was allocated for this layout, and so by the same of the two.
        unsafe {
            match layout.size() < FROM {
                true => Global.deallocate(block, layout),
                false => unmap(block, layout),
            }
        }
    }
}

#[cfg(unix)]
fn map(layout: Layout) -> Result<NonNull<[u8]>, AllocError> {
    use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous};

    // Mappings begin at pages.
    if layout.align() > crate::segment::PAGE as usize {
        return Err(AllocError);
    }
    let rights = ProtFlags::READ | ProtFlags::WRITE;
    // SAFETY: a new mapping, at an address of the system's choice.
    let mapped = unsafe {
        mmap_anonymous(
            std::ptr::null_mut(),
            layout.size(),
            rights,
            MapFlags::PRIVATE,
        )
    };
    let block = mapped.map_err(|_| AllocError)?;
    let block = NonNull::new(block.cast()).ok_or(AllocError)?;
    Ok(NonNull::slice_from_raw_parts(block, layout.size()))
}

/// # Safety
///
/// The block was [mapped](map) for this layout, and nobody uses it any more.
#[cfg(unix)]
unsafe fn unmap(block: NonNull<u8>, layout: Layout) {
    // SAFETY: as the caller promises. It fails only for what is no mapping.
    let _ = unsafe { rustix::mm::munmap(block.as_ptr().cast(), layout.size()) };
}

/// Elsewhere the heap has to do.
#[cfg(not(unix))]
fn map(layout: Layout) -> Result<NonNull<[u8]>, AllocError> {
    Global.allocate(layout)
}

/// # Safety
///
/// The block was [mapped](map) for this layout, and nobody uses it any more.
#[cfg(not(unix))]
unsafe fn unmap(block: NonNull<u8>, layout: Layout) {
    // SAFETY: as the caller promises.
    unsafe { Global.deallocate(block, layout) }
}

#[cfg(test)]
mod tests {
    use hashbrown::HashTable;

    use super::*;

    #[test]
    fn a_table_keeps_what_it_has_while_it_grows_and_shrinks() {
        let mut table: HashTable<u64, Pages> = HashTable::new_in(Pages);
        let hash = |number: &u64| number.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        for number in 0..50_000 {
            table.insert_unique(hash(&number), number, hash);
        }
        assert!(table.allocation_size() > FROM, "it was mapped");
        table.retain(|number| *number % 1000 == 7);
        table.shrink_to(0, hash);
        assert!(table.allocation_size() < FROM, "it is on the heap again");
        for number in 0..50_000 {
            let found = table.find(hash(&number), |other| *other == number);
            assert_eq!(found.is_some(), number % 1000 == 7);
        }
    }
}
