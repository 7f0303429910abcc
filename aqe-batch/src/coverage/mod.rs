//! Coverage reports in, figures and gaps out: the operation `analyze-coverage`.
//!
//! Tests of a project leave reports in whatever format their tools write: LCOV from one, Cobertura from the next, JSON
//! from `llvm-cov`. Here they become one [`Coverage`], however large they are, with figures for each file, package and
//! run, the lines that nobody has executed, and the difference to an earlier run.
//!
//! - [`read()`] reads one report as a stream, [`analyze()`] files.
//! - [`Analysis`] is for keeping: it can be merged with others in any grouping, written down and read back.
//! - [`Summary`] is for reading: figures and gaps, as JSON or as text.
//! - [`Difference`] compares two runs.
//! - [`operation()`] does it for many files, each once for its content; [`merge()`] makes one analysis of the results.
//!
//! # What is counted
//!
//! A *line* is executable when a report lists it, and covered when it was executed at least once. Of a *branch*, each
//! outcome counts: an `if` has two. Percentages are of what is listed; what a report declares as totals is compared
//! with that, and a difference is a [`Warning`]. Several reports, or several records of a file in one report, add up: a
//! line that one of them executed is covered.
//!
//! # Bad input
//!
//! A report that is cut off, garbled, of another format or larger than its [`Limits`] is an error that says where, what
//! and what to do. Nothing of such a report is used, because half a report looks like a loss of coverage.
//!
//! # Examples
//!
//! ```
//! use aqe_batch::coverage::{AnalyzeOptions, Difference, PathRules, Summary, read};
//!
//! let options = AnalyzeOptions::default().paths(PathRules::new().strip_prefix("/opt/project"));
//! let monday = "SF:/opt/project/a.c\nDA:1,1\nDA:2,1\nend_of_record\n";
//! let tuesday = "SF:./a.c\nDA:1,1\nDA:2,0\nend_of_record\n";
//! let monday = read(monday.as_bytes(), "monday.info", &options)?;
//! let tuesday = read(tuesday.as_bytes(), "tuesday.info", &options)?;
//!
//! let summary = Summary::of(&tuesday);
//! assert_eq!(summary.totals.lines.percent(), Some(50.0));
//! let difference = Difference::between(&monday.coverage, &tuesday.coverage);
//! assert_eq!(difference.changed[0].newly_uncovered[0].to_string(), "2");
//! # Ok::<(), aqe_batch::coverage::CoverageError>(())
//! ```

mod analyze;
mod difference;
mod error;
mod format;
mod limits;
mod model;
mod operation;
mod paths;
mod read;
mod summary;
mod warning;

pub use self::analyze::{
    Analysis, AnalyzeOptions, OPERATION, OPERATION_VERSION, ReportInfo, analyze, analyze_file,
};
pub use self::difference::{Difference, FileDifference, FileTotals};
pub use self::error::{CoverageError, Exceeded, Position};
pub use self::format::{Format, UnknownFormatName};
pub use self::limits::Limits;
pub use self::model::{
    BranchLine, Branches, Coverage, FileCoverage, Function, Functions, LineHits, LineRange,
    LineRun, Tally, Totals,
};
pub use self::operation::{Merge, analysis_of, merge, operation};
pub use self::paths::PathRules;
pub use self::read::read;
pub use self::summary::{FileSummary, PackageSummary, Summary, UncoveredFunction};
pub use self::warning::{Counted, MAX_WARNINGS, Warning, WarningKind, Warnings};
