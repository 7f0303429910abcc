//! Everything that reports say, file by file.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use serde::{Deserialize, Serialize};

use super::{FileCoverage, Totals};
use crate::coverage::paths::directory;

/// The coverage of a run: its files, by path.
///
/// Merging is associative and commutative, so that parts of a run can be read anywhere and in any order.
///
/// Serialised as an object from path to file. That is the form for keeping and merging; the form for reading is
/// [`Summary`](crate::coverage::Summary).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Coverage {
    files: BTreeMap<Box<str>, FileCoverage>,
}

impl Coverage {
    /// Coverage of nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            files: BTreeMap::new(),
        }
    }

    /// The files, ascending by path.
    pub fn files(&self) -> impl ExactSizeIterator<Item = (&str, &FileCoverage)> {
        self.files.iter().map(|(path, file)| (&**path, file))
    }

    /// One file.
    #[must_use]
    pub fn file(&self, path: &str) -> Option<&FileCoverage> {
        self.files.get(path)
    }

    /// Whether no file is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// The figures of the run. O(everything).
    #[must_use]
    pub fn totals(&self) -> Totals {
        let mut totals = Totals::default();
        for file in self.files.values() {
            totals += file.totals();
        }
        totals
    }

    /// The figures of each package. A file without one belongs to the package of its folder, `.` at the top.
    #[must_use]
    pub fn packages(&self) -> BTreeMap<&str, Totals> {
        let mut packages: BTreeMap<&str, Totals> = BTreeMap::new();
        for (path, file) in &self.files {
            *packages.entry(package(path, file)).or_default() += file.totals();
        }
        packages
    }

    /// Adds another run, or another part of this one: counts of the same line, outcome or function add up.
    pub fn merge(&mut self, other: Self) {
        self.merge_measured(other);
    }

    /// Merges, and says by how many bytes the heap grew, at most.
    pub(crate) fn merge_measured(&mut self, other: Self) -> u64 {
        let files = other.files.into_iter();
        files.map(|(path, file)| self.add(path, file)).sum()
    }

    /// Adds a file. Says by how many bytes the heap grew.
    pub(crate) fn add(&mut self, path: Box<str>, file: FileCoverage) -> u64 {
        match self.files.entry(path) {
            Entry::Vacant(place) => {
                let bytes = entry_bytes(place.key(), &file);
                place.insert(file);
                bytes
            }
            Entry::Occupied(mut known) => {
                let before = known.get().heap_bytes();
                known.get_mut().merge(file);
                known.get().heap_bytes().saturating_sub(before)
            }
        }
    }

    /// What this takes of the heap, in bytes.
    pub(crate) fn heap_bytes(&self) -> u64 {
        let files = self.files.iter();
        files.map(|(path, file)| entry_bytes(path, file)).sum()
    }

    /// The same under other names. Files that get the same name become one.
    pub(crate) fn renamed(self, name: impl Fn(&str) -> Box<str>) -> Self {
        let mut renamed = Self::new();
        for (path, file) in self.files {
            renamed.add(name(&path), file);
        }
        renamed
    }
}

/// The package of a file: the report's own, else the folder.
pub(crate) fn package<'a>(path: &'a str, file: &'a FileCoverage) -> &'a str {
    file.package.as_deref().unwrap_or_else(|| directory(path))
}

fn entry_bytes(path: &str, file: &FileCoverage) -> u64 {
    (path.len() + size_of::<(Box<str>, FileCoverage)>()) as u64 + file.heap_bytes()
}
