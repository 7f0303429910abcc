//! An analysis for reading: figures and gaps, without the counts that they follow from.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::model::package;
use super::warning::Warnings;
use super::{Analysis, BranchLine, FileCoverage, LineRange, ReportInfo, Totals};

/// So many files, and so many warnings, are named when a summary is displayed.
const SHOWN: usize = 10;

/// So many gaps of a file are named when a summary is displayed.
const SHOWN_GAPS: usize = 8;

/// Figures and gaps of a run, its packages and its files.
///
/// As JSON:
///
/// ```json
/// {
///   "totals": { "files": 1,
///               "lines": { "covered": 3, "total": 4, "percent": 75.0 },
///               "branches": { "covered": 0, "total": 0, "percent": null },
///               "functions": { "covered": 0, "total": 0, "percent": null } },
///   "packages": [ { "name": "src", "totals": { … } } ],
///   "files": [ { "path": "src/lib.rs", "package": "src", "totals": { … },
///                "uncovered_lines": [ { "first": 7, "last": 9, "lines": 1 } ],
///                "partial_branches": [ { "line": 5, "outcomes": { … } } ],
///                "uncovered_functions": [ { "name": "f", "line": 7 } ] } ],
///   "reports": [ { "name": "lcov.info", "format": "lcov", "totals": { … } } ],
///   "warnings": { "kept": [ { "report": "lcov.info", "position": { "line": 3 }, "kind": "line-zero" } ], "more": 0 }
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Summary {
    /// The run.
    pub totals: Totals,
    /// The packages, ascending by name.
    pub packages: Vec<PackageSummary>,
    /// The files, ascending by path.
    pub files: Vec<FileSummary>,
    /// The reports that were read.
    pub reports: Vec<ReportInfo>,
    /// What somebody should know about them.
    pub warnings: Warnings,
}

/// A package and its figures.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PackageSummary {
    /// The report's name for it, else the folder.
    pub name: String,
    /// Its figures.
    pub totals: Totals,
}

/// A file, its figures and its gaps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct FileSummary {
    /// Its path.
    pub path: String,
    /// Its package.
    pub package: String,
    /// Its figures.
    pub totals: Totals,
    /// Lines that were not executed, as ranges.
    pub uncovered_lines: Vec<LineRange>,
    /// Lines whose branches did not go every way they can, in lines that were executed.
    pub partial_branches: Vec<BranchLine>,
    /// Functions that were not called.
    pub uncovered_functions: Vec<UncoveredFunction>,
}

/// A function that was not called.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct UncoveredFunction {
    /// Its name.
    pub name: String,
    /// The line in which it begins, where that is known.
    pub line: Option<u32>,
}

impl Summary {
    /// Sums an analysis up.
    #[must_use]
    pub fn of(analysis: &Analysis) -> Self {
        let coverage = &analysis.coverage;
        let packages = coverage.packages().into_iter();
        let package = |(name, totals): (&str, Totals)| PackageSummary {
            name: name.to_owned(),
            totals,
        };
        Self {
            totals: coverage.totals(),
            packages: packages.map(package).collect(),
            files: coverage
                .files()
                .map(|(path, file)| FileSummary::of(path, file))
                .collect(),
            reports: analysis.reports.clone(),
            warnings: analysis.warnings.clone(),
        }
    }
}

impl FileSummary {
    fn of(path: &str, file: &FileCoverage) -> Self {
        let partial = |branch: &BranchLine| {
            branch.outcomes.uncovered() > 0 && file.lines.hits(branch.line).unwrap_or(1) > 0
        };
        let uncalled = file.functions.named().filter(|function| function.hits == 0);
        Self {
            path: path.to_owned(),
            package: package(path, file).to_owned(),
            totals: file.totals(),
            uncovered_lines: file.lines.uncovered(),
            partial_branches: file.branches.lines().filter(partial).collect(),
            uncovered_functions: uncalled
                .map(|function| UncoveredFunction {
                    name: function.name.to_string(),
                    line: function.line,
                })
                .collect(),
        }
    }
}

/// The figures, the ten files with the most uncovered lines, and ten warnings:
///
/// ```text
/// lines 75.0 % (3 of 4), branches none, functions none in 1 file
///   src/lib.rs: lines 75.0 % (3 of 4), not covered: 7-9
/// ```
impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let s = if self.totals.files == 1 { "" } else { "s" };
        write!(f, "{} in {} file{s}", self.totals, self.totals.files)?;
        let mut worst: Vec<&FileSummary> = self.files.iter().collect();
        worst.retain(|file| file.totals.lines.uncovered() > 0);
        worst.sort_by_key(|file| std::cmp::Reverse(file.totals.lines.uncovered()));
        for file in worst.iter().take(SHOWN) {
            write!(f, "\n  {file}")?;
        }
        if worst.len() > SHOWN {
            write!(
                f,
                "\n  and {} more files with uncovered lines",
                worst.len() - SHOWN
            )?;
        }
        let kept = self.warnings.kept();
        let more = kept.len().saturating_sub(SHOWN) as u64 + self.warnings.more();
        for warning in kept.take(SHOWN) {
            write!(f, "\nwarning: {warning}")?;
        }
        if more > 0 {
            write!(f, "\nand {more} more warnings")?;
        }
        Ok(())
    }
}

impl fmt::Display for FileSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: lines {}", self.path, self.totals.lines)?;
        let gaps = &self.uncovered_lines;
        for (index, gap) in gaps.iter().take(SHOWN_GAPS).enumerate() {
            let before = if index == 0 { ", not covered: " } else { ", " };
            write!(f, "{before}{gap}")?;
        }
        if gaps.len() > SHOWN_GAPS {
            write!(f, " and {} more", gaps.len() - SHOWN_GAPS)?;
        }
        Ok(())
    }
}
