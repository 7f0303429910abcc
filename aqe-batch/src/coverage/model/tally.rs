//! "Covered of total": the figure that everything else is made of.
//!
//! Percentages are never stored. Whoever has two tallies can add them, and nobody can add two percentages.

use std::fmt;
use std::ops::AddAssign;

use serde::ser::SerializeStruct;
use serde::{Deserialize, Serialize, Serializer};

/// How many of how many.
///
/// Serialised as `{"covered": 3, "total": 4, "percent": 75.0}`; `percent` is `null` when there is nothing to cover,
/// and is not read back.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Deserialize)]
#[non_exhaustive]
pub struct Tally {
    /// How many were executed.
    pub covered: u64,
    /// How many could have been.
    pub total: u64,
}

impl Tally {
    /// `covered` of `total`.
    #[must_use]
    pub const fn new(covered: u64, total: u64) -> Self {
        Self { covered, total }
    }

    /// The covered part in percent, 0–100; `None` when there is nothing to cover, which is neither 0 % nor 100 %.
    #[must_use]
    pub fn percent(self) -> Option<f64> {
        (self.total > 0).then(|| self.covered as f64 * 100.0 / self.total as f64)
    }

    /// How many were not executed.
    #[must_use]
    pub const fn uncovered(self) -> u64 {
        self.total.saturating_sub(self.covered)
    }

    pub(crate) const fn count(&mut self, covered: bool) {
        self.total += 1;
        self.covered += covered as u64;
    }

    /// The larger of each figure.
    pub(crate) fn max(self, other: Self) -> Self {
        Self::new(self.covered.max(other.covered), self.total.max(other.total))
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.covered = self.covered.saturating_add(other.covered);
        self.total = self.total.saturating_add(other.total);
    }
}

/// `75.0 % (3 of 4)`, or `none`.
///
/// Rounded down, so that only what is complete reads "100.0 %".
impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.total == 0 {
            return f.write_str("none");
        }
        let permille = u128::from(self.covered) * 1000 / u128::from(self.total);
        let (whole, tenth) = (permille / 10, permille % 10);
        write!(f, "{whole}.{tenth} % ({} of {})", self.covered, self.total)
    }
}

impl Serialize for Tally {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut tally = serializer.serialize_struct("Tally", 3)?;
        tally.serialize_field("covered", &self.covered)?;
        tally.serialize_field("total", &self.total)?;
        tally.serialize_field("percent", &self.percent())?;
        tally.end()
    }
}

/// The tallies of a file, a package or a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Totals {
    /// How many files this is about.
    pub files: u64,
    /// Executable lines.
    pub lines: Tally,
    /// Outcomes of branches: an `if` has two.
    pub branches: Tally,
    /// Functions that the report names or counts.
    pub functions: Tally,
}

impl AddAssign for Totals {
    fn add_assign(&mut self, other: Self) {
        self.files = self.files.saturating_add(other.files);
        self.lines += other.lines;
        self.branches += other.branches;
        self.functions += other.functions;
    }
}

/// `lines 75.0 % (3 of 4), branches none, functions 100.0 % (2 of 2)`.
impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            lines,
            branches,
            functions,
            ..
        } = self;
        write!(
            f,
            "lines {lines}, branches {branches}, functions {functions}"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_complete_reads_100_percent() {
        for (covered, total, text) in [
            (3, 4, "75.0 % (3 of 4)"),
            (9_999, 10_000, "99.9 % (9999 of 10000)"),
            (4, 4, "100.0 % (4 of 4)"),
            (0, 0, "none"),
            (
                u64::MAX,
                u64::MAX,
                "100.0 % (18446744073709551615 of 18446744073709551615)",
            ),
        ] {
            assert_eq!(Tally::new(covered, total).to_string(), text);
        }
    }

    #[test]
    fn nothing_to_cover_is_no_percentage() {
        let json = serde_json::to_string(&Tally::default()).unwrap();
        assert_eq!(json, r#"{"covered":0,"total":0,"percent":null}"#);
        let read: Tally = serde_json::from_str(r#"{"covered":1,"total":2,"percent":9}"#).unwrap();
        assert_eq!(read.percent(), Some(50.0));
    }
}
