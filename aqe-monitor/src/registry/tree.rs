//! The histogram cells of one thread: narrow counts, in octaves that come on first use.

use std::array;

use super::buckets::{Dense, OCTAVES, PER_OCTAVE, place};
use super::slot::Slot;
use super::sync::atomic::Ordering::Relaxed;
use super::sync::atomic::{AtomicU32, AtomicU64};

pub(crate) type Octave = [AtomicU32; PER_OCTAVE];

/// What one thread recorded in one histogram. Only that thread writes it, but for [`Self::reset`].
pub(crate) struct Tree {
    octaves: [Slot<Octave>; OCTAVES],
    sum: AtomicU64,
}

/// Why a value was not counted; [`Tree::make_room`] cures both.
pub(crate) struct NoRoom;

impl Tree {
    pub(crate) fn new() -> Self {
        Self {
            octaves: array::from_fn(|_| Slot::new()),
            sum: AtomicU64::new(0),
        }
    }

    /// Counts a value. Called by the owner only.
    #[inline]
    pub(crate) fn record(&self, value: u64) -> Result<(), NoRoom> {
        let (octave, bucket) = place(value);
        let cells = self.octaves[octave].get().ok_or(NoRoom)?;
        let count = cells[bucket].load(Relaxed);
        if count == u32::MAX {
            return Err(NoRoom);
        }
        cells[bucket].store(count + 1, Relaxed);
        self.sum
            .store(self.sum.load(Relaxed).wrapping_add(value), Relaxed);
        Ok(())
    }

    /// Makes room for one more of `value`, moving a full cell's count to `wide`. Called by the owner only.
    ///
    /// Readers hold the lock around `wide` too, so that they see the count in one place or in the other.
    pub(crate) fn make_room(&self, value: u64, wide: &mut Dense) {
        let (octave, bucket) = place(value);
        let cells = || array::from_fn(|_| AtomicU32::new(0));
        let cell = &self.octaves[octave].get_or_leak(cells)[bucket];
        if cell.load(Relaxed) == u32::MAX {
            wide.add(octave, bucket, u64::from(u32::MAX));
            cell.store(0, Relaxed);
        }
    }

    /// Adds all counts to `wide`.
    pub(crate) fn add_to(&self, wide: &mut Dense) {
        for (octave, cells) in self.octaves.iter().enumerate() {
            let Some(cells) = cells.get() else { continue };
            for (count, cell) in wide.octave(octave).iter_mut().zip(cells.iter()) {
                *count = count.saturating_add(u64::from(cell.load(Relaxed)));
            }
        }
        wide.sum = wide.sum.wrapping_add(self.sum.load(Relaxed));
    }

    /// Forgets all counts; the memory stays. Only when nobody can write.
    pub(crate) fn reset(&self) {
        for cells in self.octaves.iter().filter_map(Slot::get) {
            cells.iter().for_each(|cell| cell.store(0, Relaxed));
        }
        self.sum.store(0, Relaxed);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_full_cell_moves_its_count_and_goes_on() {
        let (tree, mut wide) = (Tree::new(), Dense::default());
        tree.make_room(1_000, &mut wide);
        let (octave, bucket) = place(1_000);
        let cells = tree.octaves[octave].get().unwrap();
        cells[bucket].store(u32::MAX - 1, Relaxed);
        assert!(tree.record(1_000).is_ok() && tree.record(1_000).is_err());
        tree.make_room(1_000, &mut wide);
        assert!(tree.record(1_000).is_ok());
        tree.add_to(&mut wide);
        assert_eq!(wide.snapshot().count(), 1 << 32);
    }

    #[test]
    fn only_octaves_that_were_written_take_memory() {
        let tree = Tree::new();
        tree.make_room(1_000, &mut Dense::default());
        tree.make_room(1_001, &mut Dense::default());
        assert_eq!(
            tree.octaves
                .iter()
                .filter(|octave| octave.get().is_some())
                .count(),
            1
        );
    }
}
