//! What one write to the archive holds: the executions of some tests of one binary.
//!
//! A run writes a block with one execution of each test. Blocks that were folded together are a block with several. Both
//! have the same form, and the same execution may be in two of them for a moment, which does no harm.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Execution, Outcome};
use crate::journal::RunId;
use crate::model::{TestName, UnixMillis};

/// A version of [`Block`]'s form: another one for each change of it, so that none is taken for what it is not.
pub(super) const VERSION: u8 = 1;

/// Executions of tests of one binary.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Block {
    /// The runs, which cells name by their place here.
    runs: Vec<(u128, Option<u32>)>,
    rows: Vec<(TestName, Vec<Cell>)>,
}

/// One execution: about ten bytes.
#[derive(Debug, Serialize, Deserialize)]
struct Cell {
    run: u32,
    /// Milliseconds from the run's start, which its name tells.
    after: u64,
    duration_us: u64,
    outcome: Outcome,
    attempts: u32,
}

/// Executions by test.
pub(super) type Executions = BTreeMap<TestName, Vec<Execution>>;

impl Block {
    /// Blocks with all of these, each of a size that the store takes.
    pub(super) fn of(executions: Executions) -> Vec<Self> {
        let rows = executions.into_iter();
        let parts = parted(rows, |(name, cells)| name.as_str().len() + 16 * cells.len());
        parts.into_iter().map(Self::of_part).collect()
    }

    fn of_part(part: Vec<(TestName, Vec<Execution>)>) -> Self {
        let mut places = BTreeMap::new();
        let mut block = Self::default();
        for (name, executions) in part {
            let cells = executions.iter().map(|one| {
                let run = (one.run.as_u128(), one.build);
                let place = *places.entry(run).or_insert_with(|| {
                    block.runs.push(run);
                    block.runs.len() as u32 - 1
                });
                Cell {
                    run: place,
                    after: one.started.0.saturating_sub(one.run.started().0),
                    duration_us: u64::try_from(one.duration.as_micros()).unwrap_or(u64::MAX),
                    outcome: one.outcome,
                    attempts: one.attempts,
                }
            });
            let cells = cells.collect();
            block.rows.push((name, cells));
        }
        block
    }

    /// Adds what is in it.
    pub(super) fn add_to(self, executions: &mut Executions) {
        let Self { runs, rows } = self;
        for (name, cells) in rows {
            let known = executions.entry(name).or_default();
            known.extend(cells.into_iter().filter_map(|cell| {
                let &(run, build) = runs.get(cell.run as usize)?;
                let run = RunId::from_u128(run)?;
                Some(Execution {
                    run,
                    started: UnixMillis(run.started().0.saturating_add(cell.after)),
                    duration: Duration::from_micros(cell.duration_us),
                    outcome: cell.outcome,
                    attempts: cell.attempts,
                    build,
                })
            }));
        }
    }
}

/// Puts executions of one test in order, each once, and keeps the newest `most` of those that began at `since` or later.
pub(super) fn settle(executions: &mut Vec<Execution>, since: UnixMillis, most: usize) {
    executions.retain(|one| one.started >= since);
    executions.sort_by_key(|one| (one.started, one.run));
    executions.dedup_by_key(|one| one.run);
    executions.drain(..executions.len().saturating_sub(most));
}

/// Parts rows so that each part has about [`PART_BYTES`] at most.
pub(crate) fn parted<T>(
    rows: impl IntoIterator<Item = T>,
    bytes: impl Fn(&T) -> usize,
) -> Vec<Vec<T>> {
    let (mut parts, mut left) = (Vec::<Vec<T>>::new(), 0);
    for row in rows {
        let needed = bytes(&row);
        match parts.last_mut() {
            Some(part) if needed <= left => part.push(row),
            _ => {
                parts.push(vec![row]);
                left = PART_BYTES;
            }
        }
        left = left.saturating_sub(needed);
    }
    parts
}

/// A quarter of the largest value that the archive's store takes: a test's name has 32 KiB at most.
const PART_BYTES: usize = 256 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn execution(run: u64, started: u64) -> Execution {
        Execution {
            run: RunId::from_parts(UnixMillis(run), run.into()),
            started: UnixMillis(started),
            duration: Duration::from_micros(run * 7),
            outcome: Outcome::Failed,
            attempts: 3,
            build: (run > 5).then_some(run as u32),
        }
    }

    #[test]
    fn what_goes_in_comes_out_and_large_binaries_are_parted() {
        let mut executions = Executions::new();
        for number in 0..3_000 {
            let name = TestName::from(format!("{number}{}", "x".repeat(100)));
            executions.insert(
                name,
                vec![execution(4, 9), execution(number + 10, number + 12)],
            );
        }
        let blocks = Block::of(executions.clone());
        assert!(blocks.len() > 1, "{} blocks", blocks.len());
        let mut back = Executions::new();
        for block in blocks {
            block.add_to(&mut back);
        }
        assert_eq!(back, executions);
    }

    #[test]
    fn executions_that_are_there_twice_count_once_and_old_ones_go() {
        let mut executions = [(3, 30), (1, 10), (2, 20), (3, 30), (4, 40)]
            .map(|(run, started)| execution(run, started))
            .to_vec();
        settle(&mut executions, UnixMillis(20), 3);
        let kept = [execution(2, 20), execution(3, 30), execution(4, 40)];
        assert_eq!(executions, kept);
        settle(&mut executions, UnixMillis(20), 2);
        assert_eq!(executions, kept[1..]);
        settle(&mut executions, UnixMillis(31), 2);
        assert_eq!(executions, [execution(4, 40)]);
    }

    #[test]
    fn a_part_is_as_large_as_it_may_be() {
        let sizes = [PART_BYTES, 1, PART_BYTES - 1, 1, PART_BYTES * 2, 5];
        let parts = parted(sizes, |&size| size);
        let expected: [&[usize]; 5] = [
            &[PART_BYTES],
            &[1, PART_BYTES - 1],
            &[1],
            &[PART_BYTES * 2],
            &[5],
        ];
        assert_eq!(parts, expected);
    }
}
