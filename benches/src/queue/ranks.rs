//! In which order operations of different levels finish.

use std::sync::atomic::{AtomicU64, Ordering};

use super::contender::{LEVELS, Level};
use crate::measure::Reading;

/// Spreads the operations over the levels without any pattern in time: Knuth's multiplicative hashing.
pub(super) fn level_of(number: u64) -> Level {
    let hash = number.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
    (hash % u64::from(LEVELS)) as Level
}

/// When operations of each level finished.
#[derive(Debug, Default)]
pub(super) struct Ranks {
    /// Operations finished so far. Relaxed everywhere: the results order the reads after all writes.
    finished: AtomicU64,
    levels: [LevelRanks; LEVELS as usize],
}

#[derive(Debug, Default)]
struct LevelRanks {
    sum: AtomicU64,
    count: AtomicU64,
}

impl Ranks {
    /// Notes that an operation of `level` is the next to finish.
    pub(super) fn finished(&self, level: Level) {
        let rank = self.finished.fetch_add(1, Ordering::Relaxed);
        let level = &self.levels[usize::from(level)];
        level.sum.fetch_add(rank, Ordering::Relaxed);
        level.count.fetch_add(1, Ordering::Relaxed);
    }

    /// The mean place of the top level from the start and of the bottom level from the end, as shares of all
    /// operations: 0.1 is perfect order with five equal levels, 0.5 is none.
    pub(super) fn readings(&self, operations: u64) -> [Reading; 2] {
        let mean = |level: &LevelRanks| {
            let sum = level.sum.load(Ordering::Relaxed) as f64;
            sum / level.count.load(Ordering::Relaxed).max(1) as f64 / operations as f64
        };
        let [top, .., bottom] = &self.levels;
        [
            Reading::new("rank-top", "share", mean(top)),
            Reading::new("rank-bottom-from-end", "share", 1.0 - mean(bottom)),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_of_equal_size() {
        let mut counts = [0_u32; LEVELS as usize];
        for number in 0..200_000 {
            counts[usize::from(level_of(number))] += 1;
        }
        assert!(
            counts
                .iter()
                .all(|&count| (39_000..41_000).contains(&count)),
            "{counts:?}"
        );
    }

    #[test]
    fn perfect_order_has_its_ranks_at_a_tenth() {
        let ranks = Ranks::default();
        for level in 0..LEVELS {
            (0..1000).for_each(|_| ranks.finished(level));
        }
        for reading in ranks.readings(5000) {
            assert!((reading.value - 0.1).abs() < 0.001, "{reading:?}");
        }
    }
}
