//! Times by the number of their leading bits: each power of two is cut into 32 parts.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// Counts of times, in nanoseconds, that any thread may add to. What is read is off by at most 1/64, exact below 32.
///
/// Powers of two get their counters when the first time of that size comes: usually ten of sixty, 3 KiB in all.
#[derive(Debug)]
pub(super) struct Times {
    octaves: [OnceLock<Box<Octave>>; OCTAVES],
    total: AtomicU64,
    least: AtomicU64,
    most: AtomicU64,
}

type Octave = [AtomicU64; PARTS];

impl Times {
    pub(super) fn new() -> Self {
        Self {
            octaves: std::array::from_fn(|_| OnceLock::new()),
            total: AtomicU64::new(0),
            least: AtomicU64::new(u64::MAX),
            most: AtomicU64::new(0),
        }
    }

    /// All orderings are relaxed: each number is right by itself, and a reader may see one of them before another.
    pub(super) fn add(&self, nanoseconds: u64) {
        let (octave, part) = place(nanoseconds);
        let new = || Box::new(std::array::from_fn(|_| AtomicU64::new(0)));
        self.octaves[octave].get_or_init(new)[part].fetch_add(1, Ordering::Relaxed);
        self.total.fetch_add(nanoseconds, Ordering::Relaxed);
        // Few times are the shortest or longest so far: a look costs less than a locked instruction.
        if nanoseconds < self.least.load(Ordering::Relaxed) {
            self.least.fetch_min(nanoseconds, Ordering::Relaxed);
        }
        if nanoseconds > self.most.load(Ordering::Relaxed) {
            self.most.fetch_max(nanoseconds, Ordering::Relaxed);
        }
    }

    /// Times and how often they came, from the shortest.
    pub(super) fn counts(&self) -> Vec<(u64, u64)> {
        let octaves = self
            .octaves
            .iter()
            .enumerate()
            .filter_map(|(index, octave)| Some((index, octave.get()?)));
        let parts = octaves
            .flat_map(|(index, octave)| (0..PARTS).map(move |part| (index, part, &octave[part])));
        parts
            .map(|(octave, part, count)| (middle(octave, part), count.load(Ordering::Relaxed)))
            .filter(|&(_, count)| count > 0)
            .collect()
    }

    pub(super) fn total(&self) -> u64 {
        self.total.load(Ordering::Relaxed)
    }

    /// Shortest and longest; zeros before the first.
    pub(super) fn range(&self) -> (u64, u64) {
        let (least, most) = (
            self.least.load(Ordering::Relaxed),
            self.most.load(Ordering::Relaxed),
        );
        (least.min(most), most)
    }
}

const BITS: u32 = 5;
const PARTS: usize = 1 << BITS;
const OCTAVES: usize = 64 - BITS as usize + 1;

fn place(value: u64) -> (usize, usize) {
    let Some(shift) = (63 - (value | 1).leading_zeros()).checked_sub(BITS) else {
        return (0, value as usize);
    };
    (shift as usize + 1, (value >> shift) as usize - PARTS)
}

fn middle(octave: usize, part: usize) -> u64 {
    let Some(shift) = octave.checked_sub(1) else {
        return part as u64;
    };
    let width = 1_u64 << shift;
    ((PARTS + part) as u64) * width + width / 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_is_found_near_itself() {
        let bits =
            (0..64).flat_map(|bit| [(1_u64 << bit) - 1, 1 << bit, (1 << bit) + (1 << bit) / 3]);
        // The last value of the first part of each octave is the furthest from its middle, for its size.
        let furthest = (6..64).map(|bit| (1_u64 << bit) + (1 << (bit - BITS)) - 1);
        for value in bits
            .chain(furthest)
            .chain([u64::MAX, 31, 32, 33, 63, 64, 65])
        {
            let (octave, part) = place(value);
            assert!(octave < OCTAVES && part < PARTS, "{value}");
            let error = middle(octave, part).abs_diff(value);
            assert!(error <= value / 64, "{value} is {}", middle(octave, part));
        }
    }

    #[test]
    fn threads_add_up() {
        let times = Times::new();
        std::thread::scope(|scope| {
            for thread in 0..4_u64 {
                let times = &times;
                scope.spawn(move || (0..1000).for_each(|i| times.add(thread * 1000 + i)));
            }
        });
        assert_eq!(
            times.counts().iter().map(|&(_, count)| count).sum::<u64>(),
            4000
        );
        assert_eq!((times.total(), times.range()), (3999 * 4000 / 2, (0, 3999)));
    }
}
