//! Two runs compared.
//!
//! Lines are compared by their number. That is exact between two runs of the same source. When the source has changed,
//! code has moved, and a line's number says little; then the sets of executable lines differ, and the comparison of the
//! file says so. It cannot see an edit that moves no executable line.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::model::RangeBuilder;
use super::{Coverage, FileCoverage, LineRange, Totals};

/// What has changed from one run to another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Difference {
    /// The figures of the earlier run.
    pub before: Totals,
    /// The figures of the later run.
    pub after: Totals,
    /// Files of both runs in which something has changed, ascending by path.
    pub changed: Vec<FileDifference>,
    /// Files that only the later run knows.
    pub added: Vec<FileTotals>,
    /// Files that only the earlier run knows.
    pub removed: Vec<FileTotals>,
}

/// A file that only one of the runs knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct FileTotals {
    /// Its path.
    pub path: String,
    /// Its figures.
    pub totals: Totals,
}

/// What has changed in a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct FileDifference {
    /// Its path.
    pub path: String,
    /// Its figures in the earlier run.
    pub before: Totals,
    /// Its figures in the later run.
    pub after: Totals,
    /// Whether other lines are executable than before: the source has changed, and line numbers may not match.
    pub source_changed: bool,
    /// Lines that were executed and are not any more.
    pub newly_uncovered: Vec<LineRange>,
    /// Lines that were not executed and are now.
    pub newly_covered: Vec<LineRange>,
    /// Lines that were not there before and are not executed.
    pub new_and_uncovered: Vec<LineRange>,
}

impl Difference {
    /// Compares two runs.
    #[must_use]
    pub fn between(before: &Coverage, after: &Coverage) -> Self {
        let mut difference = Self {
            before: before.totals(),
            after: after.totals(),
            changed: Vec::new(),
            added: only_in(after, before),
            removed: only_in(before, after),
        };
        for (path, new) in after.files() {
            let old = before.file(path);
            difference
                .changed
                .extend(old.and_then(|old| FileDifference::between(path, old, new)));
        }
        difference
    }

    /// Whether the runs cover the same lines, branches and functions of the same files.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.changed.is_empty() && self.added.is_empty() && self.removed.is_empty()
    }
}

fn only_in(one: &Coverage, other: &Coverage) -> Vec<FileTotals> {
    let files = one.files().filter(|(path, _)| other.file(path).is_none());
    let totals = |(path, file): (&str, &FileCoverage)| FileTotals {
        path: path.to_owned(),
        totals: file.totals(),
    };
    files.map(totals).collect()
}

impl FileDifference {
    /// `None` when nothing has changed but how often.
    fn between(path: &str, before: &FileCoverage, after: &FileCoverage) -> Option<Self> {
        let (before_totals, after_totals) = (before.totals(), after.totals());
        let mut source_changed = false;
        let mut ranges = Ranges::default();
        for stretch in before.lines.overlay(&after.lines) {
            source_changed |= stretch.left.is_none() || stretch.right.is_none();
            // Where the later run has no line, there is nothing to look at, and nothing that ends a range.
            if let Some(now) = stretch.right {
                ranges.take(stretch.first, stretch.last, stretch.left, now);
            }
        }
        let difference = Self {
            path: path.to_owned(),
            before: before_totals,
            after: after_totals,
            source_changed,
            newly_uncovered: ranges.newly_uncovered.finish(),
            newly_covered: ranges.newly_covered.finish(),
            new_and_uncovered: ranges.new_and_uncovered.finish(),
        };
        let lines = [
            &difference.newly_uncovered,
            &difference.newly_covered,
            &difference.new_and_uncovered,
        ];
        let changed = source_changed
            || before_totals != after_totals
            || lines.iter().any(|ranges| !ranges.is_empty());
        changed.then_some(difference)
    }
}

#[derive(Default)]
struct Ranges {
    newly_uncovered: RangeBuilder,
    newly_covered: RangeBuilder,
    new_and_uncovered: RangeBuilder,
}

impl Ranges {
    /// Lines that were executed `then` times, or did not exist, and are executed `now` times.
    fn take(&mut self, first: u32, last: u32, then: Option<u64>, now: u64) {
        for (range, meant) in [
            (
                &mut self.newly_uncovered,
                matches!(then, Some(1..)) && now == 0,
            ),
            (&mut self.newly_covered, then == Some(0) && now > 0),
            (&mut self.new_and_uncovered, then.is_none() && now == 0),
        ] {
            if meant {
                range.meant(first, last);
            } else {
                range.interrupt();
            }
        }
    }
}

/// The figures before and after, and the files with their lines:
///
/// ```text
/// before: lines 75.0 % (3 of 4), branches none, functions none in 1 file(s)
/// after: lines 50.0 % (2 of 4), branches none, functions none in 1 file(s)
///   src/lib.rs: newly uncovered: 3-4
/// ```
impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "before: {} in {} file(s)",
            self.before, self.before.files
        )?;
        write!(f, "after: {} in {} file(s)", self.after, self.after.files)?;
        for file in self.changed.iter().take(SHOWN) {
            write!(f, "\n  {file}")?;
        }
        if self.changed.len() > SHOWN {
            write!(f, "\n  and {} more files", self.changed.len() - SHOWN)?;
        }
        for (files, word) in [(&self.added, "added"), (&self.removed, "removed")] {
            for file in files.iter().take(SHOWN) {
                write!(f, "\n  {}: {word}, lines {}", file.path, file.totals.lines)?;
            }
            if files.len() > SHOWN {
                write!(f, "\n  and {} more files {word}", files.len() - SHOWN)?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for FileDifference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.path)?;
        let mut comma = "";
        for (ranges, what) in [
            (&self.newly_uncovered, "newly uncovered"),
            (&self.new_and_uncovered, "new and uncovered"),
            (&self.newly_covered, "newly covered"),
        ] {
            if ranges.is_empty() {
                continue;
            }
            let lines: Vec<String> = ranges.iter().take(SHOWN).map(ToString::to_string).collect();
            write!(f, "{comma} {what}: {}", lines.join(", "))?;
            if ranges.len() > SHOWN {
                write!(f, " and {} more", ranges.len() - SHOWN)?;
            }
            comma = ";";
        }
        if comma.is_empty() {
            write!(
                f,
                " lines {} before, {} after",
                self.before.lines, self.after.lines
            )?;
        }
        if self.source_changed {
            f.write_str(" (the source has changed)")?;
        }
        Ok(())
    }
}

/// So many files, and ranges of a file, are named when a difference is displayed.
const SHOWN: usize = 10;

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;

    use super::*;
    use crate::coverage::{AnalyzeOptions, read};

    fn run(files: &[(&str, &[(u32, u64)])]) -> Coverage {
        let mut text = String::new();
        for (path, lines) in files {
            text.push_str(&format!("SF:{path}\n"));
            for (line, hits) in *lines {
                text.push_str(&format!("DA:{line},{hits}\n"));
            }
            text.push_str("end_of_record\n");
        }
        let analysis = read(text.as_bytes(), "test", &AnalyzeOptions::default());
        analysis.unwrap().coverage
    }

    fn ranges(ranges: &[LineRange]) -> Vec<String> {
        ranges.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn how_often_is_no_difference() {
        let before = run(&[("a", &[(1, 1), (2, 0)])]);
        let after = run(&[("a", &[(1, 9), (2, 0)])]);
        assert!(Difference::between(&before, &after).is_empty());
    }

    #[test]
    fn each_line_is_told_of_in_one_list() {
        let before = run(&[
            ("a", &[(1, 1), (2, 1), (4, 1), (5, 0), (6, 1), (9, 1)]),
            ("gone", &[(1, 1)]),
        ]);
        let after = run(&[
            ("a", &[(1, 1), (2, 0), (4, 0), (5, 3), (6, 0), (7, 0)]),
            ("new", &[(1, 0)]),
        ]);
        let difference = Difference::between(&before, &after);
        let [file] = &difference.changed[..] else {
            panic!("one file has changed: {difference:?}");
        };
        assert_eq!(ranges(&file.newly_uncovered), ["2-4", "6"]);
        assert_eq!(ranges(&file.newly_covered), ["5"]);
        assert_eq!(ranges(&file.new_and_uncovered), ["7"]);
        assert!(file.source_changed);
        assert_eq!(difference.added[0].path, "new");
        assert_eq!(difference.removed[0].path, "gone");
        let text = difference.to_string();
        assert!(text.contains("a: newly uncovered: 2-4, 6; new and uncovered: 7; newly covered: 5 (the source has changed)"), "{text}");
    }

    /// What ranges say of each executable line, and that no range is longer or shorter than it should be.
    fn is(
        ranges: &[LineRange],
        meant: &BTreeSet<u32>,
        executable: &BTreeMap<u32, u64>,
    ) -> Result<(), TestCaseError> {
        let mut told = BTreeSet::new();
        let mut before = None;
        for range in ranges {
            let within: Vec<u32> = executable
                .range(range.first..=range.last)
                .map(|(line, _)| *line)
                .collect();
            prop_assert_eq!(within.first(), Some(&range.first));
            prop_assert_eq!(within.last(), Some(&range.last));
            prop_assert_eq!(within.len() as u64, range.lines);
            if let Some(before) = before {
                let between = executable.range(before + 1..range.first);
                prop_assert!(between.count() > 0, "two ranges that could be one");
            }
            before = Some(range.last);
            told.extend(within);
        }
        prop_assert_eq!(&told, meant);
        Ok(())
    }

    fn lines() -> impl Strategy<Value = BTreeMap<u32, u64>> {
        proptest::collection::btree_map(1..30_u32, 0..3_u64, 0..25)
    }

    proptest! {
        #[test]
        fn every_line_is_told_of_as_it_changed(before in lines(), after in lines()) {
            let listed = |lines: &BTreeMap<u32, u64>| lines.iter().map(|(line, hits)| (*line, *hits)).collect::<Vec<_>>();
            let difference = Difference::between(&run(&[("a", &listed(&before))]), &run(&[("a", &listed(&after))]));
            let meant = |is: fn(Option<u64>, u64) -> bool| -> BTreeSet<u32> {
                let lines = after.iter().filter(|(line, now)| is(before.get(line).copied(), **now));
                lines.map(|(line, _)| *line).collect()
            };
            let uncovered = meant(|then, now| then.is_some_and(|then| then > 0) && now == 0);
            let covered = meant(|then, now| then == Some(0) && now > 0);
            let new = meant(|then, now| then.is_none() && now == 0);
            let moved = !before.keys().eq(after.keys());
            match &difference.changed[..] {
                [] => prop_assert!(uncovered.is_empty() && covered.is_empty() && new.is_empty() && !moved),
                [file] => {
                    is(&file.newly_uncovered, &uncovered, &after)?;
                    is(&file.newly_covered, &covered, &after)?;
                    is(&file.new_and_uncovered, &new, &after)?;
                    prop_assert_eq!(file.source_changed, moved);
                }
                more => prop_assert!(false, "one file, and {} differences", more.len()),
            }
        }
    }
}
