//! Which lines can be executed, and how often they were.
//!
//! Neighbouring lines of one block are executed equally often, so a file is a list of runs: 16 bytes for each stretch
//! of lines with the same count, whatever its length. A report that claims four billion lines in one short sentence
//! costs one run.

use serde::{Deserialize, Serialize};

use super::{LineRange, Overlay, RangeBuilder, Tally};

/// Lines `first` to `last`, every one of which can be executed and was executed `hits` times.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct LineRun {
    /// The first line, from 1.
    pub first: u32,
    /// The last line, inclusive.
    pub last: u32,
    /// How often each of them was executed.
    pub hits: u64,
}

impl LineRun {
    pub(crate) const fn new(first: u32, last: u32, hits: u64) -> Self {
        Self { first, last, hits }
    }
}

/// The executable lines of a file with their counts.
///
/// Two values are equal when they say the same of every line. Serialised as a list of `[first, last, hits]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "Vec<(u32, u32, u64)>", into = "Vec<(u32, u32, u64)>")]
pub struct LineHits {
    /// Ascending, without overlaps, and no two neighbours could be one.
    runs: Vec<LineRun>,
}

impl LineHits {
    /// How often `line` was executed; `None` when it is not executable or nothing is known of it. O(log runs).
    #[must_use]
    pub fn hits(&self, line: u32) -> Option<u64> {
        let after = self.runs.partition_point(|run| run.first <= line);
        let run = self.runs[..after].last()?;
        (line <= run.last).then_some(run.hits)
    }

    /// The runs, ascending.
    pub fn runs(&self) -> impl ExactSizeIterator<Item = LineRun> + '_ {
        self.runs.iter().copied()
    }

    /// Whether no line is executable.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// How many lines were executed of how many. O(runs).
    #[must_use]
    pub fn tally(&self) -> Tally {
        let mut tally = Tally::default();
        for run in &self.runs {
            let lines = u64::from(run.last - run.first) + 1;
            tally += Tally::new(if run.hits > 0 { lines } else { 0 }, lines);
        }
        tally
    }

    /// The gaps: stretches of executable lines that were not executed, as long as no covered line is between them.
    #[must_use]
    pub fn uncovered(&self) -> Vec<LineRange> {
        let mut ranges = RangeBuilder::default();
        for run in &self.runs {
            if run.hits == 0 {
                ranges.meant(run.first, run.last);
            } else {
                ranges.interrupt();
            }
        }
        ranges.finish()
    }

    /// Adds the counts of `other`. A line is executable when either says so.
    pub fn merge(&mut self, other: &Self) {
        if other.is_empty() {
            return;
        }
        let mut runs = Vec::new();
        for stretch in Overlay::new(&self.runs, &other.runs) {
            let hits = match (stretch.left, stretch.right) {
                (Some(left), Some(right)) => left.saturating_add(right),
                (one, other) => one.or(other).unwrap_or_default(),
            };
            push(&mut runs, stretch.first, stretch.last, hits);
        }
        runs.shrink_to_fit();
        self.runs = runs;
    }

    /// What this takes of the heap, in bytes.
    pub(crate) const fn heap_bytes(&self) -> u64 {
        (self.runs.len() * size_of::<LineRun>()) as u64
    }

    pub(crate) fn overlay<'a>(&'a self, other: &'a Self) -> Overlay<'a> {
        Overlay::new(&self.runs, &other.runs)
    }
}

/// Appends a run that begins after the last one ends.
fn push(runs: &mut Vec<LineRun>, first: u32, last: u32, hits: u64) {
    if let Some(open) = runs.last_mut()
        && open.hits == hits
        && open.last.checked_add(1) == Some(first)
    {
        open.last = last;
        return;
    }
    runs.push(LineRun { first, last, hits });
}

impl TryFrom<Vec<(u32, u32, u64)>> for LineHits {
    type Error = &'static str;

    fn try_from(list: Vec<(u32, u32, u64)>) -> Result<Self, Self::Error> {
        let mut runs: Vec<LineRun> = Vec::with_capacity(list.len());
        for (first, last, hits) in list {
            if first > last {
                return Err("a run of lines ends before it begins");
            }
            if runs.last().is_some_and(|before| before.last >= first) {
                return Err("runs of lines are not ascending");
            }
            push(&mut runs, first, last, hits);
        }
        Ok(Self { runs })
    }
}

impl From<LineHits> for Vec<(u32, u32, u64)> {
    fn from(lines: LineHits) -> Self {
        let runs = lines.runs.into_iter();
        runs.map(|run| (run.first, run.last, run.hits)).collect()
    }
}

/// Collects lines as a report lists them: mostly ascending, sometimes not, sometimes twice.
#[derive(Debug, Default)]
pub(crate) struct LineHitsBuilder {
    runs: Vec<LineRun>,
    out_of_order: bool,
}

impl LineHitsBuilder {
    /// Adds lines `first` to `last`; counts of a line that comes again are added. Says whether a run more is held.
    pub(crate) fn add(&mut self, first: u32, last: u32, hits: u64) -> bool {
        self.out_of_order |= self.runs.last().is_some_and(|before| before.last >= first);
        let before = self.runs.len();
        push(&mut self.runs, first, last, hits);
        self.runs.len() > before
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    pub(crate) fn finish(mut self) -> LineHits {
        if self.out_of_order {
            self.runs = in_order(&self.runs);
        }
        self.runs.shrink_to_fit();
        LineHits { runs: self.runs }
    }
}

/// Adds up runs that may overlap in any way: a sweep over the places where one begins or ends.
fn in_order(runs: &[LineRun]) -> Vec<LineRun> {
    let begins = runs
        .iter()
        .map(|run| (u64::from(run.first), true, run.hits));
    let ends = runs
        .iter()
        .map(|run| (u64::from(run.last) + 1, false, run.hits));
    let mut edges: Vec<_> = begins.chain(ends).collect();
    edges.sort_unstable();
    let mut result = Vec::new();
    // 128 bits hold the sum of more counts of 64 bits than there can be lines in a file.
    let (mut sum, mut open, mut from) = (0_u128, 0_u64, 0_u64);
    for (at, begins, hits) in edges {
        if open > 0
            && at > from
            && let (Ok(first), Ok(last)) = (u32::try_from(from), u32::try_from(at - 1))
        {
            push(
                &mut result,
                first,
                last,
                u64::try_from(sum).unwrap_or(u64::MAX),
            );
        }
        from = at;
        if begins {
            open += 1;
            sum += u128::from(hits);
        } else {
            open -= 1;
            sum -= u128::from(hits);
        }
    }
    result
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    use super::*;

    fn lines(listed: &[(u32, u64)]) -> LineHits {
        let mut builder = LineHitsBuilder::default();
        for &(line, hits) in listed {
            builder.add(line, line, hits);
        }
        builder.finish()
    }

    fn reference(listed: &[(u32, u64)]) -> BTreeMap<u32, u64> {
        let mut map = BTreeMap::new();
        for &(line, hits) in listed {
            let sum: &mut u64 = map.entry(line).or_default();
            *sum = sum.saturating_add(hits);
        }
        map
    }

    fn expanded(lines: &LineHits) -> BTreeMap<u32, u64> {
        let each = lines
            .runs()
            .flat_map(|run| (run.first..=run.last).map(move |line| (line, run.hits)));
        each.collect()
    }

    fn listing() -> impl Strategy<Value = Vec<(u32, u64)>> {
        let hits = prop_oneof![Just(0), Just(1), 0..5_u64, Just(u64::MAX)];
        proptest::collection::vec((1..40_u32, hits), 0..60)
    }

    #[test]
    fn gaps_bridge_what_cannot_be_executed_and_nothing_else() {
        let lines = lines(&[(1, 1), (3, 0), (4, 0), (9, 0), (10, 2), (11, 0)]);
        let gaps: Vec<_> = lines
            .uncovered()
            .into_iter()
            .map(|gap| (gap.first, gap.last, gap.lines))
            .collect();
        assert_eq!(gaps, [(3, 9, 3), (11, 11, 1)]);
    }

    #[test]
    fn the_last_line_there_can_be_is_a_line() {
        let top = u32::MAX;
        let mut lines = lines(&[(top, 1), (top - 1, 1), (top, 1)]);
        assert_eq!(expanded(&lines), BTreeMap::from([(top - 1, 1), (top, 2)]));
        lines.merge(&lines.clone());
        assert_eq!(lines.hits(top), Some(4));
    }

    #[test]
    fn runs_that_make_no_sense_are_not_read_back() {
        for json in ["[[2,1,0]]", "[[1,3,0],[3,4,1]]", "[[5,5,1],[1,1,1]]"] {
            assert!(serde_json::from_str::<LineHits>(json).is_err(), "{json}");
        }
    }

    proptest! {
        #[test]
        fn any_order_of_lines_adds_up(listed in listing()) {
            let lines = lines(&listed);
            let expected = reference(&listed);
            prop_assert_eq!(expanded(&lines), expected.clone());
            for line in 0..45 {
                prop_assert_eq!(lines.hits(line), expected.get(&line).copied());
            }
            let covered = expected.values().filter(|&&hits| hits > 0).count() as u64;
            prop_assert_eq!(lines.tally(), Tally::new(covered, expected.len() as u64));
            let uncovered: u64 = lines.uncovered().iter().map(|gap| gap.lines).sum();
            prop_assert_eq!(uncovered, lines.tally().uncovered());
            let json = serde_json::to_string(&lines).unwrap();
            prop_assert_eq!(serde_json::from_str::<LineHits>(&json).unwrap(), lines);
        }

        #[test]
        fn merging_is_listing_both(one in listing(), other in listing()) {
            let mut merged = lines(&one);
            merged.merge(&lines(&other));
            prop_assert_eq!(merged, lines(&[one, other].concat()));
        }
    }
}
