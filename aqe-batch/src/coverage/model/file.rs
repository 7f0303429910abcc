//! One source file.

use serde::{Deserialize, Serialize};

use super::{Branches, Functions, LineHits, Totals};

/// What is known of one source file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct FileCoverage {
    /// The package that the report puts the file into, where its format has packages.
    pub package: Option<Box<str>>,
    /// Executable lines.
    pub lines: LineHits,
    /// Branches.
    #[serde(default)]
    pub branches: Branches,
    /// Functions.
    #[serde(default)]
    pub functions: Functions,
}

impl FileCoverage {
    /// The figures of this file.
    #[must_use]
    pub fn totals(&self) -> Totals {
        Totals {
            files: 1,
            lines: self.lines.tally(),
            branches: self.branches.tally(),
            functions: self.functions.tally(),
        }
    }

    /// Adds what `other` says of the same file. Where two reports put it into different packages, the one whose name
    /// sorts first holds, so that the order of merging makes no difference.
    pub fn merge(&mut self, other: Self) {
        self.package = match (self.package.take(), other.package) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
        self.lines.merge(&other.lines);
        self.branches.merge(other.branches);
        self.functions.merge(other.functions);
    }

    /// What this takes of the heap, in bytes.
    pub(crate) fn heap_bytes(&self) -> u64 {
        let package = self.package.as_ref().map_or(0, |name| name.len() as u64);
        package + self.lines.heap_bytes() + self.branches.heap_bytes() + self.functions.heap_bytes()
    }
}
