//! `analyze-coverage` for files: each report is read once for its content, and all results become one analysis.
//!
//! Results are kept under the hash of what was read, so they must not say where it was read: the same report may lie
//! elsewhere the next time. What is kept of a report therefore has no name, and the name comes back with the path of the
//! file that has that content now.

use std::collections::BTreeMap;
use std::path::Path;

use bytesize::ByteSize;
use serde_json::Value;

use super::warning::Warnings;
use super::{
    Analysis, AnalyzeOptions, Coverage, CoverageError, Exceeded, Limits, MAX_WARNINGS, OPERATION,
    OPERATION_VERSION, Position, ReportInfo, analyze_file,
};
use crate::files::{FileError, FileOperation};

/// The operation `analyze-coverage` for [`process_files`](crate::Job::process_files): reads a report.
///
/// Its result is for [`analysis_of`], which gives back what was read. It is the [`Analysis`] without the name of the report,
/// as JSON in one text, because a tree of values would take many times the memory of what it says. The operation's
/// version names the options and [`OPERATION_VERSION`], so that a kept result is only used where reading the report again
/// would give the same.
///
/// ```
/// use aqe_batch::coverage::{self, AnalyzeOptions, Limits, Summary};
/// use aqe_batch::{BatchConfig, BatchProcessor, FileOptions};
///
/// # let folder = tempfile::tempdir()?;
/// # let cache = folder.path().join("cache");
/// # let files = ["unit.info", "end-to-end.info"].map(|name| folder.path().join(name));
/// # std::fs::write(&files[0], "SF:a.c\nDA:1,1\nDA:2,0\nend_of_record\n")?;
/// # std::fs::write(&files[1], "SF:a.c\nDA:1,0\nDA:2,3\nend_of_record\n")?;
/// let operation = coverage::operation(AnalyzeOptions::default());
/// let options = FileOptions::default().cache_results(true).cache_folder(cache);
/// let processor = BatchProcessor::new(BatchConfig::default())?;
/// let report = processor.job("coverage").process_files(&files, &operation, &options)?;
///
/// let results = report.files.iter().filter_map(|it| Some((it.path.to_str()?, it.outcome.value()?)));
/// let summary = Summary::of(&coverage::merge(results, Limits::default())?);
/// assert_eq!(summary.totals.lines.percent(), Some(100.0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use]
pub fn operation(options: AnalyzeOptions) -> FileOperation {
    let version = version(&options);
    let run = move |path: &Path| -> Result<String, FileError> {
        let mut analysis = analyze_file(path, &options)?;
        analysis.rename("");
        Ok(serde_json::to_string(&analysis)?)
    };
    FileOperation::new(OPERATION, version, run)
}

/// Everything that decides what a report is read as. The limits are part of it, as they decide whether it is read at all.
fn version(options: &AnalyzeOptions) -> String {
    let AnalyzeOptions {
        format,
        paths,
        limits,
    } = options;
    let Limits {
        token,
        memory,
        depth,
    } = limits;
    let format = format.map_or_else(|| "any".to_owned(), |format| format.to_string());
    // Quoted, so that two prefixes are not taken for one.
    let prefixes = Vec::from(paths.clone());
    let (token, memory) = (token.as_u64(), memory.as_u64());
    format!("{OPERATION_VERSION} {format} {prefixes:?} {token} {memory} {depth}")
}

/// What [`operation`] has read of the report that is called `name` now.
///
/// # Errors
///
/// [`CoverageError::NoResult`] when the value is not a result of that operation.
pub fn analysis_of(name: &str, result: &Value) -> Result<Analysis, CoverageError> {
    let text = result.as_str().unwrap_or_default();
    let mut analysis: Analysis =
        serde_json::from_str(text).map_err(|error| CoverageError::NoResult {
            report: name.into(),
            error,
        })?;
    analysis.rename(name);
    Ok(analysis)
}

/// Merges results of [`operation`], each with the present name of its report.
///
/// # Errors
///
/// As [`analysis_of`], and [`CoverageError::LimitExceeded`] when all of them together hold more than
/// [`Limits::memory`].
pub fn merge<'a>(
    results: impl IntoIterator<Item = (&'a str, &'a Value)>,
    limits: Limits,
) -> Result<Analysis, CoverageError> {
    let mut merge = Merge::new(limits);
    for (place, (name, result)) in results.into_iter().enumerate() {
        merge.add(place, analysis_of(name, result)?)?;
    }
    Ok(merge.finish())
}

/// Analyses that come in any order, merged as if they had come in that of their places.
///
/// It holds what all of them say together and not what each says, so that any number of reports about the same files take
/// little more memory than one.
#[derive(Debug, Default)]
pub struct Merge {
    limits: Limits,
    coverage: Coverage,
    /// At least what `coverage` takes of the heap.
    heap_bytes: u64,
    reports: BTreeMap<usize, Vec<ReportInfo>>,
    /// By place, only those that may be among the first [`MAX_WARNINGS`] of all.
    warnings: BTreeMap<usize, Warnings>,
    /// How many of `warnings` are kept.
    kept: usize,
    /// Those of places behind all in `warnings`.
    more: Warnings,
}

impl Merge {
    /// Nothing yet. Of the limits, that of the [memory](Limits::memory) holds for all analyses together.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            ..Self::default()
        }
    }

    /// Adds an analysis; `place` is its own, and the smaller one comes first.
    ///
    /// # Errors
    ///
    /// [`CoverageError::LimitExceeded`], in the name of this analysis' report, and then this is of no use any more.
    pub fn add(&mut self, place: usize, analysis: Analysis) -> Result<(), CoverageError> {
        let name = analysis.reports.last().map(|report| report.name.clone());
        self.heap_bytes += self.coverage.merge_measured(analysis.coverage);
        self.reports
            .entry(place)
            .or_default()
            .extend(analysis.reports);
        self.add_warnings(place, analysis.warnings);
        self.within(self.limits.memory, name.as_deref().unwrap_or_default())
    }

    /// The analysis of all.
    #[must_use]
    pub fn finish(self) -> Analysis {
        let mut warnings = Warnings::default();
        for (_, part) in self.warnings {
            warnings.merge(part);
        }
        warnings.merge(self.more);
        Analysis {
            coverage: self.coverage,
            reports: self.reports.into_values().flatten().collect(),
            warnings,
        }
    }

    fn add_warnings(&mut self, place: usize, warnings: Warnings) {
        self.kept += warnings.kept().len();
        self.warnings.entry(place).or_default().merge(warnings);
        // Whatever is in front of the last part is shown before it. Once that is enough, the last part is only counted.
        while let Some(last) = self.warnings.last_entry() {
            let before = self.kept - last.get().kept().len();
            if before < MAX_WARNINGS {
                break;
            }
            self.kept = before;
            self.more.count(&last.remove());
        }
    }

    fn within(&mut self, limit: ByteSize, report: &str) -> Result<(), CoverageError> {
        if self.heap_bytes <= limit.as_u64() {
            return Ok(());
        }
        // What was added up is too much where stretches of lines have grown together since. Measuring takes as long as
        // everything that is held, and is done only here.
        self.heap_bytes = self.coverage.heap_bytes();
        if self.heap_bytes <= limit.as_u64() {
            return Ok(());
        }
        Err(CoverageError::LimitExceeded {
            report: report.into(),
            position: Position::line(1),
            exceeded: Exceeded::Memory(limit),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Format, PathRules};
    use super::*;

    #[test]
    fn the_version_tells_every_option_from_every_other() {
        let default = AnalyzeOptions::default();
        let limits = Limits::default();
        let rules = |prefixes: &[&str]| {
            let rules = prefixes.iter();
            rules.fold(PathRules::new(), |rules, prefix| rules.strip_prefix(prefix))
        };
        let paths = |prefixes: &[&str]| default.clone().paths(rules(prefixes));
        let all = [
            default.clone(),
            default.clone().format(Format::Lcov),
            default.clone().format(Format::LlvmJson),
            paths(&["/a/b"]),
            paths(&["/a/b", "/c"]),
            paths(&["/a/b\", \"/c"]),
            default.clone().limits(limits.token(ByteSize::kib(7))),
            default.clone().limits(limits.memory(ByteSize::kib(7))),
            default.clone().limits(limits.depth(7)),
        ];
        let versions: std::collections::BTreeSet<String> = all.iter().map(version).collect();
        assert_eq!(versions.len(), all.len(), "{versions:#?}");
    }

    #[test]
    fn what_is_no_result_is_refused_with_the_name_of_the_file() {
        for value in [Value::Null, "SF:a".into(), serde_json::json!({})] {
            let error = analysis_of("a.info", &value).unwrap_err();
            assert!(matches!(error, CoverageError::NoResult { .. }), "{error:?}");
            assert_eq!(error.report(), "a.info");
        }
    }
}
