//! What a report says that cannot be right, though it can be read.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Position, Tally};

/// So many warnings are kept of an analysis; the others are counted.
pub const MAX_WARNINGS: usize = 100;

/// Something that somebody should know about a report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Warning {
    /// The name of the report.
    pub report: Box<str>,
    /// Where, if it is about one place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<Position>,
    /// What.
    #[serde(flatten)]
    pub kind: WarningKind,
}

/// The sorts of warnings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum WarningKind {
    /// The report declares other totals than it lists. What it lists is what is used.
    ///
    /// This need not be a fault: llvm-cov declares the lines of each function and lists those of the file, so that it
    /// declares a line of a closure twice.
    DeclaredTotals {
        /// The file that the totals are about, as the report calls it; `None` for the whole report.
        file: Option<Box<str>>,
        /// What is counted.
        of: Counted,
        /// What the report declares.
        declared: Tally,
        /// What it lists.
        listed: Tally,
    },
    /// A count below zero, which compilers write when counters race; it is taken as zero.
    NegativeCount,
    /// A line with the number zero, which no file has; it is left out.
    LineZero,
    /// A branch of which the report does not say how many outcomes it has; it is left out.
    UncountedBranch,
    /// Several source folders, so that nobody can tell which of them a relative path is in; paths stay as they are.
    SeveralSources {
        /// How many.
        sources: usize,
    },
    /// The report is in order and lists no file.
    NoFiles,
}

/// What totals are about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Counted {
    /// Executable lines.
    Lines,
    /// Outcomes of branches.
    Branches,
    /// Functions.
    Functions,
}

impl fmt::Display for Counted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Lines => "lines",
            Self::Branches => "branches",
            Self::Functions => "functions",
        })
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.report)?;
        if let Some(position) = self.position {
            write!(f, ":{position}")?;
        }
        write!(f, ": {}", self.kind)
    }
}

impl fmt::Display for WarningKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DeclaredTotals {
                file,
                of,
                declared,
                listed,
            } => {
                let file = file.as_deref().unwrap_or("the report");
                write!(f, "{file} declares {of} {declared} and lists {listed}")
            }
            Self::NegativeCount => f.write_str("a count below zero is taken as zero"),
            Self::LineZero => f.write_str("a line with the number 0 is left out"),
            Self::UncountedBranch => {
                f.write_str("a branch without the number of its outcomes is left out")
            }
            Self::SeveralSources { sources } => {
                write!(
                    f,
                    "{sources} source folders: relative paths stay as they are"
                )
            }
            Self::NoFiles => f.write_str("no file is listed"),
        }
    }
}

/// Warnings up to a bound.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Warnings {
    kept: Vec<Warning>,
    more: u64,
}

impl Warnings {
    /// The first [`MAX_WARNINGS`].
    pub fn kept(&self) -> impl ExactSizeIterator<Item = &Warning> {
        self.kept.iter()
    }

    /// How many more there were.
    #[must_use]
    pub const fn more(&self) -> u64 {
        self.more
    }

    pub(crate) fn push(&mut self, warning: Warning) {
        if self.kept.len() < MAX_WARNINGS {
            self.kept.push(warning);
        } else {
            self.more = self.more.saturating_add(1);
        }
    }

    /// Gives all of them the same report.
    pub(crate) fn rename(&mut self, report: &str) {
        for warning in &mut self.kept {
            warning.report = report.into();
        }
    }

    /// Counts those of `other` without keeping any.
    pub(crate) fn count(&mut self, other: &Self) {
        let all = other.more.saturating_add(other.kept.len() as u64);
        self.more = self.more.saturating_add(all);
    }

    pub(crate) fn merge(&mut self, other: Self) {
        for warning in other.kept {
            self.push(warning);
        }
        self.more = self.more.saturating_add(other.more);
    }
}
