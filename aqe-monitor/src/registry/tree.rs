//! The histogram cells of one thread: narrow counts, in octaves that come on first use.

use std::array;

use super::buckets::{Dense, PER_OCTAVE};
use super::slot::Slot;
use super::sync::atomic::Ordering::Relaxed;
use super::sync::atomic::{AtomicU32, AtomicU64};

pub(crate) struct Octave {
    counts: [AtomicU32; PER_OCTAVE],
    /// Of all values that were counted here. One sum for all octaves would be a chain: each addition would wait for the
    /// store of the one before, and that would be a third of what recording costs.
    sum: AtomicU64,
}

/// What one thread recorded in one histogram. Only that thread writes it, but for [`Self::reset`].
pub(crate) struct Tree {
    /// Values below 128 are in the sixth, all others in that of their highest bit. The places before it stay empty: 64 of
    /// them need no check whether there is such a place.
    octaves: [Slot<Octave>; PLACES],
}

const PLACES: usize = 64;
const FIRST: usize = PER_OCTAVE.ilog2() as usize - 1;

/// A cell that counts this far is emptied. As far again is left for what is counted before that.
#[cfg(test)]
pub(crate) const FULL: u32 = 1 << 31;

/// How a value was counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Recorded {
    Yes,
    /// Yes, and the cell wants to be [emptied](Tree::empty).
    Full,
    /// No: its octave has to be [opened](Tree::open) first.
    No,
}

/// The octave of a value among [`PLACES`], and its bucket there. The branch is foreseen well, as few histograms have
/// values on both sides of it, and spares the others a third of the arithmetic that [`place`] takes.
#[inline]
fn cell_of(value: u64) -> (usize, usize) {
    if value < PER_OCTAVE as u64 {
        return (FIRST, value as usize);
    }
    let top = value.leading_zeros() ^ 63;
    let shift = top - PER_OCTAVE.ilog2();
    (top as usize, (value >> shift) as usize % PER_OCTAVE)
}

impl Tree {
    pub(crate) fn new() -> Self {
        Self {
            octaves: array::from_fn(|_| Slot::new()),
        }
    }

    /// Counts a value. Called by the owner only.
    #[inline]
    pub(crate) fn record(&self, value: u64) -> Recorded {
        let (octave, bucket) = cell_of(value);
        let Some(Octave { counts, sum }) = self.octaves[octave].get() else {
            return Recorded::No;
        };
        sum.store(sum.load(Relaxed).wrapping_add(value), Relaxed);
        let count = counts[bucket].load(Relaxed).wrapping_add(1);
        counts[bucket].store(count, Relaxed);
        // The highest bit, which the addition itself tells about.
        if count.cast_signed() < 0 {
            return Recorded::Full;
        }
        Recorded::Yes
    }

    /// Makes cells for values of this size. Called by the owner only.
    pub(crate) fn open(&self, value: u64) {
        let octave = || Octave {
            counts: array::from_fn(|_| AtomicU32::new(0)),
            sum: AtomicU64::new(0),
        };
        self.octaves[cell_of(value).0].get_or_leak(octave);
    }

    /// Moves the count of this value's cell to `wide`. Called by the owner only.
    ///
    /// Readers hold the lock around `wide` too, so that they see the count in one place or in the other.
    pub(crate) fn empty(&self, value: u64, wide: &mut Dense) {
        let (octave, bucket) = cell_of(value);
        if let Some(Octave { counts, .. }) = self.octaves[octave].get() {
            let count = u64::from(counts[bucket].load(Relaxed));
            wide.add(octave - FIRST, bucket, count);
            counts[bucket].store(0, Relaxed);
        }
    }

    /// Makes a cell count so much, as if that had been recorded.
    #[cfg(test)]
    pub(crate) fn fill(&self, value: u64, count: u32) {
        let (octave, bucket) = cell_of(value);
        if let Some(Octave { counts, .. }) = self.octaves[octave].get() {
            counts[bucket].store(count, Relaxed);
        }
    }

    /// Adds all counts to `wide`.
    pub(crate) fn add_to(&self, wide: &mut Dense) {
        for (octave, cells) in self.octaves[FIRST..].iter().enumerate() {
            let Some(Octave { counts, sum }) = cells.get() else {
                continue;
            };
            for (all, count) in wide.octave(octave).iter_mut().zip(counts) {
                *all = all.saturating_add(u64::from(count.load(Relaxed)));
            }
            wide.sum = wide.sum.wrapping_add(sum.load(Relaxed));
        }
    }

    /// Forgets all counts; the memory stays. Only when nobody can write.
    pub(crate) fn reset(&self) {
        for Octave { counts, sum } in self.octaves.iter().filter_map(Slot::get) {
            counts.iter().for_each(|count| count.store(0, Relaxed));
            sum.store(0, Relaxed);
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::super::buckets::{OCTAVES, place};
    use super::*;
    use proptest::prelude::*;
    use std::sync::LazyLock;

    #[test]
    fn a_full_cell_moves_its_count_and_goes_on() {
        // Octaves are there for ever, and so is what holds them.
        static TREE: LazyLock<Tree> = LazyLock::new(Tree::new);
        let (tree, mut wide) = (&*TREE, Dense::default());
        assert_eq!(tree.record(1_000), Recorded::No);
        tree.open(1_000);
        tree.fill(1_000, FULL - 2);
        assert_eq!(tree.record(1_000), Recorded::Yes);
        assert_eq!(tree.record(1_000), Recorded::Full);
        tree.empty(1_000, &mut wide);
        assert_eq!(tree.record(1_000), Recorded::Yes);
        tree.add_to(&mut wide);
        assert_eq!(wide.snapshot().count(), u64::from(FULL) + 1);
        assert_eq!(wide.snapshot().buckets().len(), 1);
    }

    #[test]
    fn only_octaves_that_were_written_take_memory() {
        static TREE: LazyLock<Tree> = LazyLock::new(Tree::new);
        let tree = &*TREE;
        tree.open(1_000);
        tree.open(1_001);
        let open = tree.octaves.iter().filter(|octave| octave.get().is_some());
        assert_eq!(open.count(), 1);
    }

    proptest! {
        #[test]
        fn a_value_has_the_bucket_that_all_others_count_it_in(value in any::<u64>(), shift in 0_u32..64) {
            let value = value >> shift;
            let (octave, bucket) = cell_of(value);
            prop_assert_eq!((octave - FIRST, bucket), place(value));
        }
    }

    #[test]
    fn the_last_octave_is_the_last_place() {
        assert_eq!(PLACES - FIRST, OCTAVES);
    }
}
