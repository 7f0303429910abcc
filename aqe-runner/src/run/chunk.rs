//! How batch isolation cuts a suite into processes while it runs.
//!
//! A process costs its start (one to two milliseconds) and brings one thread of work, so few, long processes
//! are wanted; but the last one to end decides the wall time, so the last ones must be short. The source hands out
//! chunks by guided self-scheduling (Polychronopoulos and Kuck, "Guided Self-Scheduling", 1987): each chunk is a
//! fixed share of the work that remains, so chunks shrink towards the end. What it adds:
//!
//! - work is time: what earlier runs know of slow tests, and for the others the mean of those that have finished;
//! - tests known to be slow are dealt first (see `plan`), the others in a scattered order, since slow tests often stand
//!   side by side in one module;
//! - a chunk is never so small that the process's start outweighs its work, as long as no other slot would go without.

use std::time::Duration;

/// Several tests of one binary that run in one process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Chunk {
    /// Index of the binary.
    pub(super) binary: usize,
    /// Indices into that binary's list of selected tests, ascending.
    pub(super) tests: Vec<usize>,
}

/// What matters of a test.
#[derive(Debug, Clone, Copy)]
pub(super) struct Item {
    /// The length of its name, in bytes.
    pub(super) name_bytes: usize,
    /// How long it took before, if it was slow enough to be remembered.
    pub(super) known: Option<Duration>,
}

/// Deals the selected tests of every binary, each exactly once.
#[derive(Debug)]
pub(super) struct ChunkSource {
    binaries: Vec<Binary>,
    jobs: u32,
}

#[derive(Debug)]
struct Binary {
    items: Vec<Item>,
    /// Dealt from the end: known ones first, the longest of them before the others.
    undealt: Vec<usize>,
    /// The time of the known ones among them, together, and the number of the others.
    known: Duration,
    unknown: u32,
    /// Tests that were not known before and have finished, and the time they took together.
    finished: u32,
    spent: Duration,
}

impl ChunkSource {
    /// Prepares the tests of each binary for `jobs` processes side by side.
    pub(super) fn new(binaries: impl IntoIterator<Item = Vec<Item>>, jobs: usize) -> Self {
        Self {
            binaries: binaries.into_iter().map(Binary::new).collect(),
            jobs: u32::try_from(jobs.max(1)).unwrap_or(u32::MAX),
        }
    }

    /// Deals the next chunk, or `None` when all tests are dealt.
    pub(super) fn next_chunk(&mut self) -> Option<Chunk> {
        let guess = self.guess();
        let work = |binary: &Binary| binary.work(binary.mean().unwrap_or(guess));
        let all: Duration = self.binaries.iter().map(work).sum();
        let (index, _) = self
            .binaries
            .iter()
            .enumerate()
            .filter(|(_, binary)| !binary.undealt.is_empty())
            .max_by_key(|(_, binary)| (binary.next_known(), work(binary)))?;
        let share = all / CHUNKS_PER_SLOT.saturating_mul(self.jobs);
        let wanted = share.max(WORTH_A_START.min(all / self.jobs));
        let binary = &mut self.binaries[index];
        let mean = binary.mean().unwrap_or(guess);
        let wanted = if binary.work(mean) <= WORTH_A_START {
            WORTH_A_START
        } else {
            wanted
        };
        let mut tests = binary.deal(wanted, mean);
        tests.sort_unstable();
        Some(Chunk {
            binary: index,
            tests,
        })
    }

    /// Records that a test took `spent`.
    pub(super) fn record(&mut self, binary: usize, test: usize, spent: Duration) {
        let binary = &mut self.binaries[binary];
        if binary.items[test].known.is_none() {
            binary.finished += 1;
            binary.spent += spent;
        }
    }

    /// How long a test takes of which nothing at all is known: as long as those of other binaries.
    fn guess(&self) -> Duration {
        let (finished, spent) = self
            .binaries
            .iter()
            .fold((0, Duration::ZERO), |(finished, spent), binary| {
                (finished + binary.finished, spent + binary.spent)
            });
        spent.checked_div(finished).unwrap_or(FIRST_GUESS)
    }
}

impl Binary {
    fn new(items: Vec<Item>) -> Self {
        let mut undealt: Vec<usize> = (0..items.len()).collect();
        undealt.sort_unstable_by_key(|&test| (items[test].known, scattered(test)));
        let known = items.iter().filter_map(|item| item.known).sum();
        let unknown = items.iter().filter(|item| item.known.is_none()).count();
        Self {
            items,
            undealt,
            known,
            unknown: u32::try_from(unknown).unwrap_or(u32::MAX),
            finished: 0,
            spent: Duration::ZERO,
        }
    }

    /// How long its unknown tests take, going by those that have finished.
    fn mean(&self) -> Option<Duration> {
        self.spent.checked_div(self.finished)
    }

    /// How long its undealt tests take together when unknown ones take `mean` each.
    fn work(&self, mean: Duration) -> Duration {
        self.known + mean.saturating_mul(self.unknown)
    }

    fn next_known(&self) -> Option<Duration> {
        self.undealt.last().and_then(|&test| self.items[test].known)
    }

    /// Deals tests that take about `wanted` together, at least one, and no more than a command line holds.
    fn deal(&mut self, wanted: Duration, mean: Duration) -> Vec<usize> {
        let mut tests = Vec::new();
        let (mut work, mut name_bytes) = (Duration::ZERO, 0);
        while let Some(&test) = self.undealt.last() {
            let item = self.items[test];
            work += item.known.unwrap_or(mean);
            name_bytes += item.name_bytes + 1;
            let fits = work <= wanted && name_bytes <= MAX_NAME_BYTES && tests.len() < MAX_CHUNK;
            if !fits && !tests.is_empty() {
                break;
            }
            self.undealt.pop();
            match item.known {
                Some(time) => self.known = self.known.saturating_sub(time),
                None => self.unknown -= 1,
            }
            tests.push(test);
        }
        tests
    }
}

/// A key by which neighbours are far apart, the same in every run.
///
/// Multiplying by 2^32 divided by the golden ratio spreads consecutive numbers evenly (Knuth, TAOCP 3, 6.4).
fn scattered(test: usize) -> u32 {
    (test as u32).wrapping_mul(0x9E37_79B9)
}

/// Shares per slot: the first chunk of a slot is half of what the slot would get, and so on with what remains.
const CHUNKS_PER_SLOT: u32 = 2;
/// Bounds libtest's own matching, which compares every test with every name.
const MAX_CHUNK: usize = 512;
/// Bounds a command line: Linux takes a quarter of the stack's limit, 2 MiB by default, for arguments and environment.
const MAX_NAME_BYTES: usize = 128 * 1024;
/// A process should work at least about twice as long as it takes to start.
const WORTH_A_START: Duration = Duration::from_millis(4);
/// Before anything has finished, only that tests count alike matters.
const FIRST_GUESS: Duration = Duration::from_millis(1);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const UNKNOWN: Item = Item {
        name_bytes: 8,
        known: None,
    };

    fn slow(millis: u64) -> Item {
        Item {
            known: Some(Duration::from_millis(millis)),
            ..UNKNOWN
        }
    }

    fn sizes(source: &mut ChunkSource) -> Vec<usize> {
        std::iter::from_fn(|| source.next_chunk())
            .map(|chunk| chunk.tests.len())
            .collect()
    }

    #[test]
    fn chunks_shrink_towards_the_end() {
        let sizes = sizes(&mut ChunkSource::new([vec![UNKNOWN; 1000]], 10));
        assert_eq!(sizes[0], 50);
        assert!(
            sizes
                .windows(2)
                .all(|pair| pair[0] >= pair[1] || pair[0] <= 4),
            "{sizes:?}"
        );
        assert!(*sizes.last().unwrap() <= 4);
    }

    #[test]
    fn quick_tests_are_not_dealt_in_small_change() {
        let mut source = ChunkSource::new([vec![UNKNOWN; 1000]], 2);
        let first = source.next_chunk().unwrap();
        for &test in &first.tests {
            source.record(0, test, Duration::from_micros(25));
        }
        assert_eq!(first.tests.len(), 250);
        assert_eq!(sizes(&mut source), [187, 160, 160, 121, 122]);
    }

    #[test]
    fn slow_tests_are_dealt_one_by_one_at_the_end() {
        let mut source = ChunkSource::new([vec![UNKNOWN; 12]], 4);
        source.record(0, 0, Duration::from_millis(450));
        assert_eq!(sizes(&mut source), [1; 12]);
    }

    #[test]
    fn known_slow_tests_go_first_whatever_their_binary() {
        let mut tests = vec![UNKNOWN; 20];
        tests[7] = slow(30);
        let other = vec![UNKNOWN, slow(200), slow(90)];
        let mut source = ChunkSource::new([tests, other], 2);
        let first: Vec<_> = (0..3).map(|_| source.next_chunk().unwrap()).collect();
        let expected = [(1, vec![1]), (1, vec![2]), (0, vec![7])];
        for (chunk, (binary, tests)) in first.iter().zip(expected) {
            assert_eq!((chunk.binary, &chunk.tests), (binary, &tests));
        }
    }

    #[test]
    fn neighbours_go_to_different_chunks() {
        let chunk = ChunkSource::new([vec![UNKNOWN; 300]], 2)
            .next_chunk()
            .unwrap();
        assert!(
            chunk.tests.windows(2).all(|pair| pair[1] - pair[0] > 1),
            "{:?}",
            chunk.tests
        );
    }

    fn item() -> impl Strategy<Value = Item> {
        (1_usize..40_000, prop::option::of(0_u64..3000)).prop_map(|(name_bytes, millis)| Item {
            name_bytes,
            known: millis.map(Duration::from_millis),
        })
    }

    proptest! {
        #[test]
        fn every_test_is_dealt_exactly_once(
            binaries in prop::collection::vec(prop::collection::vec(item(), 0..300), 0..8),
            jobs in 1_usize..64,
            micros in 0_u64..1_000_000,
        ) {
            let mut seen: Vec<Vec<u8>> = binaries.iter().map(|items| vec![0; items.len()]).collect();
            let mut source = ChunkSource::new(binaries.clone(), jobs);
            while let Some(chunk) = source.next_chunk() {
                prop_assert!(!chunk.tests.is_empty() && chunk.tests.len() <= MAX_CHUNK);
                let names: usize = chunk.tests.iter().map(|&test| binaries[chunk.binary][test].name_bytes).sum();
                prop_assert!(names <= MAX_NAME_BYTES);
                for test in chunk.tests {
                    seen[chunk.binary][test] += 1;
                    source.record(chunk.binary, test, Duration::from_micros(micros));
                }
            }
            prop_assert!(seen.iter().flatten().all(|&times| times == 1));
        }
    }
}
