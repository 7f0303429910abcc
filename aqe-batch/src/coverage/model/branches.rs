//! Which outcomes of branches were seen.
//!
//! Reports say this in two ways. LCOV and llvm-cov name each outcome, so that those of several runs can be added up.
//! Cobertura says "1 of 2" of a line. All are kept as they came: for a line, the names of LCOV, the names of llvm-cov
//! and the count are three statements about the same branches, and the largest one holds. That makes merging
//! independent of the order in which reports come, and counts no branch twice that two formats tell of.

use serde::{Deserialize, Serialize};

use super::Tally;

/// The branches that begin in one line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub struct BranchLine {
    /// The line, from 1.
    pub line: u32,
    /// Outcomes that were seen, of outcomes that there are.
    pub outcomes: Tally,
}

/// The branches of a file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Listed", into = "Listed")]
pub struct Branches {
    /// Ascending by line and name, each once.
    outcomes: Vec<Outcome>,
    /// Ascending by line, each once.
    counted: Vec<BranchLine>,
}

impl Branches {
    /// The lines in which branches begin, ascending. O(outcomes) for all of them.
    pub fn lines(&self) -> impl Iterator<Item = BranchLine> + '_ {
        Lines {
            outcomes: &self.outcomes,
            counted: &self.counted,
        }
    }

    /// How many outcomes were seen of how many. O(outcomes).
    #[must_use]
    pub fn tally(&self) -> Tally {
        let mut tally = Tally::default();
        for line in self.lines() {
            tally += line.outcomes;
        }
        tally
    }

    /// Adds what `other` says: outcomes with the same name add up; of lines that are only counted, the larger count
    /// holds, which is the least that is certain.
    pub fn merge(&mut self, other: Self) {
        if other.outcomes.is_empty() && other.counted.is_empty() {
            return;
        }
        let Self {
            mut outcomes,
            mut counted,
        } = std::mem::take(self);
        outcomes.extend(other.outcomes);
        counted.extend(other.counted);
        *self = Self::of(outcomes, counted);
    }

    /// Sorts and joins what a report lists.
    pub(crate) fn of(mut outcomes: Vec<Outcome>, mut counted: Vec<BranchLine>) -> Self {
        // Stable sorting is quick on the two sorted halves that merging brings.
        outcomes.sort_by(|one, other| one.name().cmp(&other.name()));
        outcomes.dedup_by(|later, kept| {
            let same = later.name() == kept.name();
            if same {
                kept.taken = added(kept.taken, later.taken);
            }
            same
        });
        outcomes.shrink_to_fit();
        counted.sort_by_key(|line| line.line);
        counted.dedup_by(|later, kept| {
            let same = later.line == kept.line;
            if same {
                kept.outcomes = kept.outcomes.max(later.outcomes);
            }
            same
        });
        counted.shrink_to_fit();
        Self { outcomes, counted }
    }

    /// What this takes of the heap, in bytes.
    pub(crate) fn heap_bytes(&self) -> u64 {
        let outcomes: u64 = self.outcomes.iter().map(Outcome::bytes).sum();
        outcomes + (self.counted.len() * size_of::<BranchLine>()) as u64
    }
}

/// `None` says that the branch was never come to.
fn added(one: Option<u64>, other: Option<u64>) -> Option<u64> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.saturating_add(other)),
        (one, other) => one.or(other),
    }
}

/// One way in which a branch can go. Written down as a list, because there may be millions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Fields", into = "Fields")]
pub(crate) struct Outcome {
    pub(crate) line: u32,
    /// The block of LCOV, or the column in which an expression begins.
    pub(crate) block: u32,
    pub(crate) arm: Arm,
    /// How often; `None` when the branch was never come to.
    pub(crate) taken: Option<u64>,
}

/// Line, block, arm, how often.
type Fields = (u32, u32, Arm, Option<u64>);

impl From<Fields> for Outcome {
    fn from((line, block, arm, taken): Fields) -> Self {
        Self {
            line,
            block,
            arm,
            taken,
        }
    }
}

impl From<Outcome> for Fields {
    fn from(outcome: Outcome) -> Self {
        let Outcome {
            line,
            block,
            arm,
            taken,
        } = outcome;
        (line, block, arm, taken)
    }
}

impl Outcome {
    const fn name(&self) -> (u32, u32, &Arm) {
        (self.line, self.block, &self.arm)
    }

    pub(crate) fn bytes(&self) -> u64 {
        let text = match &self.arm {
            Arm::Text(text) => text.len(),
            Arm::Number(_) | Arm::Exception(_) | Arm::Region { .. } => 0,
        };
        (size_of::<Self>() + text) as u64
    }
}

/// What tells the outcomes of one block from one another.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Arm {
    /// LCOV, a number.
    #[serde(rename = "n")]
    Number(u32),
    /// LCOV, a number, and the way is taken by an exception.
    #[serde(rename = "e")]
    Exception(u32),
    /// LCOV, an expression, with the marks that stood before the block.
    #[serde(rename = "t")]
    Text(Box<str>),
    /// llvm-cov: where the expression ends, and whether it was true.
    #[serde(rename = "r")]
    Region {
        /// The line in which it ends.
        #[serde(rename = "l")]
        last_line: u32,
        /// The column in which it ends.
        #[serde(rename = "c")]
        last_column: u32,
        /// Whether this is the way that is taken when it holds.
        #[serde(rename = "v")]
        value: bool,
    },
}

/// How branches are written down. Whatever order they are read back in, they are put in order.
#[derive(Clone, Serialize, Deserialize)]
struct Listed {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    outcomes: Vec<Outcome>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    counted: Vec<BranchLine>,
}

impl From<Listed> for Branches {
    fn from(listed: Listed) -> Self {
        Self::of(listed.outcomes, listed.counted)
    }
}

impl From<Branches> for Listed {
    fn from(branches: Branches) -> Self {
        let Branches { outcomes, counted } = branches;
        Self { outcomes, counted }
    }
}

struct Lines<'a> {
    outcomes: &'a [Outcome],
    counted: &'a [BranchLine],
}

impl Iterator for Lines<'_> {
    type Item = BranchLine;

    fn next(&mut self) -> Option<BranchLine> {
        let named = self.outcomes.first().map(|outcome| outcome.line);
        let counted = self.counted.first().map(|counted| counted.line);
        let line = [named, counted].into_iter().flatten().min()?;
        let (mut of_lcov, mut of_llvm) = (Tally::default(), Tally::default());
        while let [outcome, rest @ ..] = self.outcomes
            && outcome.line == line
        {
            let tally = match outcome.arm {
                Arm::Region { .. } => &mut of_llvm,
                Arm::Number(_) | Arm::Exception(_) | Arm::Text(_) => &mut of_lcov,
            };
            tally.count(outcome.taken.is_some_and(|taken| taken > 0));
            self.outcomes = rest;
        }
        let mut outcomes = of_lcov.max(of_llvm);
        if let [counted, rest @ ..] = self.counted
            && counted.line == line
        {
            outcomes = outcomes.max(counted.outcomes);
            self.counted = rest;
        }
        Some(BranchLine { line, outcomes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(line: u32, arm: u32, taken: Option<u64>) -> Outcome {
        Outcome {
            line,
            block: 0,
            arm: Arm::Number(arm),
            taken,
        }
    }

    fn counted(line: u32, covered: u64, total: u64) -> BranchLine {
        let outcomes = Tally::new(covered, total);
        BranchLine { line, outcomes }
    }

    #[test]
    fn each_statement_is_joined_with_its_like_in_any_order() {
        let reports = [
            Branches::of(vec![outcome(7, 0, Some(1)), outcome(7, 1, None)], vec![]),
            Branches::of(vec![], vec![counted(7, 1, 4), counted(3, 0, 2)]),
            Branches::of(vec![outcome(7, 1, Some(2)), outcome(7, 0, Some(0))], vec![]),
        ];
        let mut results = Vec::new();
        for order in [[0, 1, 2], [2, 1, 0], [1, 0, 2]] {
            let mut merged = Branches::default();
            for report in order {
                merged.merge(reports[report].clone());
            }
            results.push(merged);
        }
        assert_eq!(results[0], results[1]);
        assert_eq!(results[0], results[2]);
        let lines: Vec<_> = results[0].lines().collect();
        assert_eq!(lines, [counted(3, 0, 2), counted(7, 2, 4)]);
    }

    #[test]
    fn never_come_to_is_kept_apart_from_never_taken() {
        let mut branches = Branches::of(vec![outcome(1, 0, None)], vec![]);
        branches.merge(Branches::of(vec![outcome(1, 0, None)], vec![]));
        assert_eq!(branches.outcomes[0].taken, None);
        branches.merge(Branches::of(vec![outcome(1, 0, Some(0))], vec![]));
        assert_eq!(branches.outcomes[0].taken, Some(0));
    }

    #[test]
    fn what_is_written_down_is_put_in_order_again() {
        let region = Arm::Region {
            last_line: 2,
            last_column: 9,
            value: true,
        };
        let mut other = outcome(2, 0, Some(1));
        other.arm = region;
        let branches = Branches::of(vec![outcome(5, 0, None), other], vec![counted(1, 1, 2)]);
        let json = serde_json::to_string(&branches).unwrap();
        assert_eq!(serde_json::from_str::<Branches>(&json).unwrap(), branches);
        let reversed = r#"{"counted":[{"line":9,"outcomes":{"covered":0,"total":2}},{"line":1,"outcomes":{"covered":0,"total":2}}]}"#;
        let branches: Branches = serde_json::from_str(reversed).unwrap();
        let lines: Vec<_> = branches.lines().map(|line| line.line).collect();
        assert_eq!(lines, [1, 9]);
    }
}
