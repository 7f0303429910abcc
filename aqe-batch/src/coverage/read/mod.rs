//! Reading one report of any size.

mod cobertura;
mod collector;
mod gauge;
mod json;
mod lcov;
mod llvm_json;
mod number;
mod segments;
mod text_lines;

use std::io::{BufRead, Cursor, ErrorKind, Read};

use self::collector::Collector;
use super::format::{self, BYTE_ORDER_MARK, LOOKED_AT};
use super::{Analysis, AnalyzeOptions, CoverageError, Format, ReportInfo, paths};

/// Reads one report as a stream.
///
/// `report` is its name, for errors and for the list of reports. Memory depends on what the report says and not on how
/// long its text is; see [`Limits`](super::Limits). Where the input is cut into buffers makes no difference. Whoever
/// wants to see progress or to stop in the middle wraps the input.
///
/// # Errors
///
/// When the input cannot be read, is in no known format, is not what its format says, ends early, or needs more than
/// the limits allow. Nothing of a report is used then.
///
/// # Examples
///
/// ```
/// use aqe_batch::coverage::{AnalyzeOptions, read};
///
/// let report = "SF:src/lib.rs\nDA:1,4\nDA:2,0\nDA:5,0\nDA:6,4\nend_of_record\n";
/// let analysis = read(report.as_bytes(), "lcov.info", &AnalyzeOptions::default())?;
/// let file = analysis.coverage.file("src/lib.rs").unwrap();
/// assert_eq!(file.lines.tally().percent(), Some(50.0));
/// let gaps: Vec<String> = file.lines.uncovered().iter().map(|gap| gap.to_string()).collect();
/// assert_eq!(gaps, ["2-5"]);
/// # Ok::<(), aqe_batch::coverage::CoverageError>(())
/// ```
pub fn read(
    mut input: impl BufRead,
    report: &str,
    options: &AnalyzeOptions,
) -> Result<Analysis, CoverageError> {
    let start = start_of(&mut input).map_err(|error| CoverageError::Io {
        report: report.into(),
        error,
    })?;
    let found = format::detect(&start);
    let format =
        options
            .format
            .map_or(found, Ok)
            .map_err(|found| CoverageError::UnknownFormat {
                report: report.into(),
                found,
            })?;
    let mut start = Cursor::new(start);
    if start.get_ref().starts_with(BYTE_ORDER_MARK) {
        start.set_position(BYTE_ORDER_MARK.len() as u64);
    }
    let input = start.chain(input);
    let mut collector = Collector::new(report, options.limits);
    let root = match format {
        Format::Lcov => lcov::read(input, &mut collector).map(|()| None),
        Format::Cobertura => cobertura::read(input, &mut collector),
        Format::LlvmJson => llvm_json::read(input, &mut collector).map(|()| None),
    };
    let root = root.map_err(|(position, failure)| failure.at(report, format, position))?;
    let (coverage, warnings) = collector.finish();
    let coverage = coverage.renamed(|path| match &root {
        Some(root) => options.paths.apply(&paths::joined(root, path)),
        None => options.paths.apply(path),
    });
    let info = ReportInfo {
        name: report.into(),
        format,
        totals: coverage.totals(),
    };
    Ok(Analysis {
        coverage,
        reports: vec![info],
        warnings,
    })
}

/// The first bytes, as many as the format is told by, however small the pieces are that they come in.
fn start_of(input: &mut impl Read) -> std::io::Result<Vec<u8>> {
    let mut start = vec![0; LOOKED_AT];
    let mut length = 0;
    while length < start.len() {
        match input.read(&mut start[length..]) {
            Ok(0) => break,
            Ok(more) => length += more,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    start.truncate(length);
    Ok(start)
}
