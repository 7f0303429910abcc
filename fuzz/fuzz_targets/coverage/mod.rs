//! What holds of a coverage report of any format, and of any bytes taken for one.

use std::io::{BufRead, Read, Result};

use aqe_batch::coverage::{Analysis, AnalyzeOptions, Difference, Format, Summary, read};

/// Reads `data` as a report; the first two bytes are lengths of the pieces that it comes in.
pub fn check(data: &[u8], format: Format) {
    let [first, second, text @ ..] = data else {
        return;
    };
    let options = AnalyzeOptions::default().format(format);
    let whole = read(text, "report", &options).map_err(|error| error.to_string());
    let pieces = Pieces {
        rest: text,
        lengths: [*first, *second].map(|length| usize::from(length) + 1),
        piece: 0,
    };
    let cut = read(pieces, "report", &options).map_err(|error| error.to_string());
    assert_eq!(cut, whole, "where the input is cut makes a difference");
    // Told by its first bytes, it is the same report, another one, or none.
    let _ = read(text, "report", &AnalyzeOptions::default());
    if let Ok(analysis) = whole {
        adds_up(&analysis);
        is_kept(&analysis);
        merges(&analysis);
    }
}

fn adds_up(analysis: &Analysis) {
    let summary = Summary::of(analysis);
    let totals = summary.totals;
    for tally in [totals.lines, totals.branches, totals.functions] {
        assert!(tally.covered <= tally.total, "{tally}");
    }
    let files: u64 = summary
        .files
        .iter()
        .map(|file| file.totals.lines.total)
        .sum();
    let packages: u64 = summary
        .packages
        .iter()
        .map(|package| package.totals.lines.total)
        .sum();
    assert_eq!([files, packages], [totals.lines.total; 2]);
    for file in &summary.files {
        let gaps: u64 = file.uncovered_lines.iter().map(|gap| gap.lines).sum();
        assert_eq!(gaps, file.totals.lines.uncovered());
    }
    let _ = summary.to_string();
}

fn is_kept(analysis: &Analysis) {
    let json = serde_json::to_string(analysis);
    let json = json.unwrap_or_else(|error| panic!("{analysis:?}: {error}"));
    let again: Analysis =
        serde_json::from_str(&json).unwrap_or_else(|error| panic!("{json}: {error}"));
    assert_eq!(&again, analysis);
}

/// Another run of the same tests covers the same.
fn merges(analysis: &Analysis) {
    let mut twice = analysis.coverage.clone();
    twice.merge(analysis.coverage.clone());
    let difference = Difference::between(&analysis.coverage, &twice);
    assert!(difference.is_empty(), "{difference}");
}

struct Pieces<'a> {
    rest: &'a [u8],
    lengths: [usize; 2],
    /// What is left of the present piece.
    piece: usize,
}

impl BufRead for Pieces<'_> {
    fn fill_buf(&mut self) -> Result<&[u8]> {
        if self.piece == 0 {
            self.piece = self.lengths[0];
            self.lengths.reverse();
        }
        Ok(&self.rest[..self.piece.min(self.rest.len())])
    }

    fn consume(&mut self, length: usize) {
        self.rest = &self.rest[length..];
        self.piece -= length;
    }
}

impl Read for Pieces<'_> {
    fn read(&mut self, into: &mut [u8]) -> Result<usize> {
        let buffer = self.fill_buf()?;
        let length = buffer.len().min(into.len());
        into[..length].copy_from_slice(&buffer[..length]);
        self.consume(length);
        Ok(length)
    }
}
