//! The operation `analyze-coverage`: reports in, one analysis out.
//!
//! An analysis of several reports is the merge of the analyses of each, in any grouping. So a batch may read one report
//! per item, keep each item's result, and merge what it has when it is resumed.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::warning::Warnings;
use super::{Coverage, CoverageError, Format, Limits, Merge, PathRules, Totals, read};

/// The name of the operation.
pub const OPERATION: &str = "analyze-coverage";

/// The version of the operation: results of another version are not the results of this one, and are not to be taken
/// from a cache.
pub const OPERATION_VERSION: u32 = 1;

/// Reports are read in pieces of this many bytes. Larger ones are not faster.
const BUFFER: usize = 64 * 1024;

/// How reports are read. Serialised with all defaults in it, so that it can tell one job from another.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct AnalyzeOptions {
    /// The format of all reports; `None` tells it from the first bytes of each.
    pub format: Option<Format>,
    /// How paths in reports are turned into names of files.
    pub paths: PathRules,
    /// What one report may cost, and what all of them together may hold.
    pub limits: Limits,
}

impl AnalyzeOptions {
    /// Takes every report for one of `format`.
    #[must_use]
    pub const fn format(mut self, format: Format) -> Self {
        self.format = Some(format);
        self
    }

    /// Sets how paths are turned into names of files.
    #[must_use]
    pub fn paths(mut self, paths: PathRules) -> Self {
        self.paths = paths;
        self
    }

    /// Sets the limits.
    #[must_use]
    pub const fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }
}

/// What was read of some reports.
///
/// The form for keeping: it can be serialised, read back and merged. [`Summary`](super::Summary) is the form for
/// reading.
///
/// As JSON, with lines as `[first, last, hits]` and outcomes as `[line, block, arm, taken]`; whenever this changes, so does [`OPERATION_VERSION`]:
///
/// ```json
/// { "coverage": { "src/lib.rs": { "package": null,
///                                 "lines": [ [3, 5, 0], [9, 9, 2] ],
///                                 "branches": { "outcomes": [ [9, 0, { "n": 1 }, 2] ] },
///                                 "functions": { "named": [ { "name": "f", "line": 3, "hits": 0 } ],
///                                                "counted": { "covered": 0, "total": 0, "percent": null } } } },
///   "reports": [ { "name": "lcov.info", "format": "lcov", "totals": { … } } ],
///   "warnings": { "kept": [], "more": 0 } }
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Analysis {
    /// The files.
    pub coverage: Coverage,
    /// The reports, in the order in which they were merged.
    pub reports: Vec<ReportInfo>,
    /// What somebody should know about them.
    pub warnings: Warnings,
}

/// One report that was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ReportInfo {
    /// Its name.
    pub name: Box<str>,
    /// Its format.
    pub format: Format,
    /// Its own figures.
    pub totals: Totals,
}

impl Analysis {
    /// Adds what `other` read. Associative; and but for the order of the lists, commutative.
    pub fn merge(&mut self, other: Self) {
        self.coverage.merge(other.coverage);
        self.reports.extend(other.reports);
        self.warnings.merge(other.warnings);
    }

    /// Gives everything that was read the name of one report.
    pub(crate) fn rename(&mut self, report: &str) {
        for info in &mut self.reports {
            info.name = report.into();
        }
        self.warnings.rename(report);
    }
}

/// Reads one report from a file. Its name is its path.
///
/// Blocks and computes: on an async runtime this belongs on a thread for that.
///
/// # Errors
///
/// As [`read()`].
pub fn analyze_file(path: &Path, options: &AnalyzeOptions) -> Result<Analysis, CoverageError> {
    let name = path.to_string_lossy();
    let file = File::open(path).map_err(|error| CoverageError::Io {
        report: (&*name).into(),
        error,
    })?;
    read(BufReader::with_capacity(BUFFER, file), &name, options)
}

/// Reads reports from files, one after the other, and merges them.
///
/// What all of them together hold is bounded by [`Limits::memory`], and while one is read, once more by that. Blocks and
/// computes.
///
/// # Errors
///
/// With the first report that cannot be read; as [`read()`].
pub fn analyze<P: AsRef<Path>>(
    paths: impl IntoIterator<Item = P>,
    options: &AnalyzeOptions,
) -> Result<Analysis, CoverageError> {
    let mut merge = Merge::new(options.limits);
    for (place, path) in paths.into_iter().enumerate() {
        merge.add(place, analyze_file(path.as_ref(), options)?)?;
    }
    Ok(merge.finish())
}
