//! How batch isolation cuts a suite into processes while it runs.
//!
//! A process costs its start (one to two milliseconds) and brings one thread of work, so few, long processes
//! are wanted; but the last one to end decides the wall time, so the last ones must be short. The source hands out
//! chunks by guided self-scheduling (Polychronopoulos and Kuck, "Guided Self-Scheduling", 1987): each chunk is a
//! fixed share of what remains, so chunks shrink towards the end. What it adds:
//!
//! - a chunk is never so small that the process's start outweighs its work, judged by the time that the binary's
//!   finished tests took in this very run;
//! - a binary's tests are dealt in a scattered order, since slow tests often stand side by side in one module.

use std::time::Duration;

/// Several tests of one binary that run in one process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Chunk {
    /// Index of the binary.
    pub(crate) binary: usize,
    /// Indices into that binary's list of selected tests, ascending.
    pub(crate) tests: Vec<usize>,
}

/// Deals the selected tests of every binary, each exactly once.
#[derive(Debug)]
pub(crate) struct ChunkSource {
    binaries: Vec<Binary>,
    jobs: usize,
    remaining: usize,
}

#[derive(Debug)]
struct Binary {
    /// Undealt tests in scattered order; dealt from the end.
    undealt: Vec<u32>,
    lengths: Vec<usize>,
    finished: u32,
    spent: Duration,
}

impl ChunkSource {
    /// Prepares the tests of each binary, given by the lengths of their names, for `jobs` processes side by side.
    pub(crate) fn new(lengths: impl IntoIterator<Item = Vec<usize>>, jobs: usize) -> Self {
        let binaries: Vec<Binary> = lengths
            .into_iter()
            .map(|lengths| Binary {
                undealt: scattered(lengths.len()),
                lengths,
                finished: 0,
                spent: Duration::ZERO,
            })
            .collect();
        let remaining = binaries.iter().map(|binary| binary.undealt.len()).sum();
        Self {
            binaries,
            jobs: jobs.max(1),
            remaining,
        }
    }

    /// Deals the next chunk, from the binary with most tests left, or `None` when all are dealt.
    pub(crate) fn next_chunk(&mut self) -> Option<Chunk> {
        let (index, _) = self
            .binaries
            .iter()
            .enumerate()
            .max_by_key(|(_, binary)| binary.undealt.len())?;
        let worth_a_start = self.tests_worth_a_start(index);
        let share = self.remaining.div_ceil(CHUNKS_PER_SLOT * self.jobs);
        // Not so few that the start costs more than it spreads, and not so many that another slot would go without.
        let fair = self.remaining.div_ceil(self.jobs);
        let binary = &mut self.binaries[index];
        let left = binary.undealt.len();
        let size = if left <= worth_a_start {
            left
        } else {
            share.max(worth_a_start.min(fair)).min(left)
        };
        let size = size.min(MAX_CHUNK);
        let size = binary.fitting(size);
        if size == 0 {
            return None;
        }
        let mut tests: Vec<usize> = binary
            .undealt
            .drain(left - size..)
            .map(|test| test as usize)
            .collect();
        tests.sort_unstable();
        self.remaining -= size;
        Some(Chunk {
            binary: index,
            tests,
        })
    }

    /// Records that a test of this binary took `spent`.
    pub(crate) fn record(&mut self, binary: usize, spent: Duration) {
        let binary = &mut self.binaries[binary];
        binary.finished += 1;
        binary.spent += spent;
    }

    /// How many tests of this binary are expected to take as long as `MIN_WORK`.
    fn tests_worth_a_start(&self, index: usize) -> usize {
        let own = &self.binaries[index];
        let (finished, spent) = if own.finished > 0 {
            (own.finished, own.spent)
        } else {
            self.binaries.iter().fold((0, Duration::ZERO), |(n, t), b| {
                (n + b.finished, t + b.spent)
            })
        };
        if finished == 0 {
            return 1;
        }
        let mean = spent.as_nanos() / u128::from(finished);
        usize::try_from(MIN_WORK.as_nanos() / mean.max(1))
            .unwrap_or(MAX_CHUNK)
            .min(MAX_CHUNK)
    }
}

impl Binary {
    /// How many of the next `size` tests have names that fit one command line; at least one of them.
    fn fitting(&self, size: usize) -> usize {
        let mut room = MAX_NAME_BYTES;
        let next = self.undealt.iter().rev().take(size);
        let fitting = next.take_while(|&&test| {
            let left = room.checked_sub(self.lengths[test as usize] + 1);
            room = left.unwrap_or(0);
            left.is_some()
        });
        fitting.count().max(size.min(1))
    }
}

/// The numbers below `count` in an order in which neighbours are far apart, the same in every run.
fn scattered(count: usize) -> Vec<u32> {
    let mut order: Vec<u32> = (0..u32::try_from(count).unwrap_or(u32::MAX)).collect();
    // Multiplying by 2^32 divided by the golden ratio spreads consecutive numbers evenly (Knuth, TAOCP 3, 6.4).
    order.sort_unstable_by_key(|&index| index.wrapping_mul(0x9E37_79B9));
    order
}

/// Shares per slot: the first chunk of a slot is half of what the slot would get, and so on with what remains.
const CHUNKS_PER_SLOT: usize = 2;
/// Bounds libtest's own matching, which compares every test with every name.
const MAX_CHUNK: usize = 512;
/// Bounds a command line: Linux takes a quarter of the stack's limit, 2 MiB by default, for arguments and environment.
const MAX_NAME_BYTES: usize = 128 * 1024;
/// A process should work at least about twice as long as it takes to start.
const MIN_WORK: Duration = Duration::from_millis(4);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sizes(source: &mut ChunkSource) -> Vec<usize> {
        std::iter::from_fn(|| source.next_chunk())
            .map(|chunk| chunk.tests.len())
            .collect()
    }

    #[test]
    fn chunks_shrink_towards_the_end() {
        let sizes = sizes(&mut ChunkSource::new([vec![8; 100]], 10));
        assert_eq!(sizes[0], 5);
        assert!(sizes.windows(2).all(|pair| pair[0] >= pair[1]), "{sizes:?}");
        assert_eq!(*sizes.last().unwrap(), 1);
    }

    #[test]
    fn quick_tests_are_not_dealt_in_small_change() {
        let mut source = ChunkSource::new([vec![8; 1000]], 2);
        let first = source.next_chunk().unwrap();
        for _ in &first.tests {
            source.record(0, Duration::from_micros(25));
        }
        assert_eq!(first.tests.len(), 250);
        assert_eq!(sizes(&mut source), [188, 160, 160, 121, 121]);
    }

    #[test]
    fn slow_tests_are_dealt_one_by_one_at_the_end() {
        let mut source = ChunkSource::new([vec![8; 12]], 4);
        source.record(0, Duration::from_millis(450));
        assert_eq!(sizes(&mut source), [2, 2, 1, 1, 1, 1, 1, 1, 1, 1]);
    }

    #[test]
    fn neighbours_go_to_different_chunks() {
        let chunk = ChunkSource::new([vec![8; 300]], 2).next_chunk().unwrap();
        assert!(
            chunk.tests.windows(2).all(|pair| pair[1] - pair[0] > 1),
            "{:?}",
            chunk.tests
        );
    }

    proptest! {
        #[test]
        fn every_test_is_dealt_exactly_once(
            counts in prop::collection::vec(0_usize..2000, 0..20),
            jobs in 1_usize..64,
            micros in 1_u64..1_000_000,
            length in 1_usize..40_000,
        ) {
            let mut seen: Vec<Vec<u8>> = counts.iter().map(|&count| vec![0; count]).collect();
            let lengths = counts.into_iter().map(|count| vec![length; count]);
            let mut source = ChunkSource::new(lengths, jobs);
            while let Some(chunk) = source.next_chunk() {
                prop_assert!(!chunk.tests.is_empty() && chunk.tests.len() <= MAX_CHUNK);
                prop_assert!(chunk.tests.len() * length <= MAX_NAME_BYTES);
                for test in chunk.tests {
                    seen[chunk.binary][test] += 1;
                    source.record(chunk.binary, Duration::from_micros(micros));
                }
            }
            prop_assert!(seen.iter().flatten().all(|&times| times == 1));
        }
    }
}
