//! From llvm-cov's segments to lines.
//!
//! A segment says: from this line and column on, until the next segment, this is the count. Several regions can lie on
//! one line, so which of their counts is the line's needs a rule. It is that of LLVM (`LineCoverageStats` in
//! `CoverageMapping.cpp`), because any other gives other totals than `llvm-cov report`:
//!
//! - A segment *opens* on a line when it has a count, begins a region, and is no gap.
//! - The segment that reaches into a line is the last one of the lines before it.
//! - A line is executable when a segment that begins a region on it has a count; or else, unless its first segment begins
//!   a region that is skipped, when the one that reaches into it has a count.
//! - Its count is the largest of those that open on it and of the one that reaches into it.
//! - Lines between two that have segments are as the segment says that reaches into them.

use super::collector::Failure;
use crate::coverage::model::LineRun;

/// One segment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Segment {
    pub(crate) line: u32,
    pub(crate) column: u32,
    pub(crate) count: u64,
    pub(crate) has_count: bool,
    pub(crate) begins_region: bool,
    pub(crate) is_gap: bool,
}

/// Turns the segments of a file, one after the other, into runs of lines.
#[derive(Debug, Default)]
pub(crate) struct SegmentLines {
    /// The last segment before the current line.
    reaching: Option<Segment>,
    /// The last segment so far, which is on the current line.
    last: Option<Segment>,
    /// What the segments of the current line say.
    line: CurrentLine,
}

#[derive(Debug, Default)]
struct CurrentLine {
    starts_skipped: bool,
    counted_region: bool,
    /// The largest count that opens here.
    opened: Option<u64>,
}

impl SegmentLines {
    /// Takes the next segment and returns the lines that are decided by it: one with segments, and those without
    /// behind it.
    pub(crate) fn push(&mut self, segment: Segment) -> Result<[Option<LineRun>; 2], Failure> {
        let mut decided = [None, None];
        if let Some(last) = self.last {
            if (segment.line, segment.column) < (last.line, last.column) {
                return Err(Failure::Malformed(format!(
                    "the segment at {}:{} stands behind the one at {}:{}",
                    segment.line, segment.column, last.line, last.column
                )));
            }
            if segment.line > last.line {
                decided = [self.close(), between(last, segment.line)];
            }
        }
        if self.line_is_new(segment.line) {
            self.line.starts_skipped = !segment.has_count && segment.begins_region;
        }
        if segment.has_count && segment.begins_region {
            self.line.counted_region = true;
            if !segment.is_gap {
                self.line.opened = self.line.opened.max(Some(segment.count));
            }
        }
        self.last = Some(segment);
        Ok(decided)
    }

    /// The last line.
    pub(crate) fn finish(mut self) -> Option<LineRun> {
        self.close()
    }

    fn line_is_new(&self, line: u32) -> bool {
        self.last.is_none_or(|last| last.line != line)
    }

    /// Judges the current line and makes its last segment the one that reaches further.
    fn close(&mut self) -> Option<LineRun> {
        let last = self.last?;
        let line = std::mem::take(&mut self.line);
        let reaching = self.reaching.replace(last);
        let reached = reaching.is_some_and(|reaching| reaching.has_count);
        let executable = line.counted_region || (reached && !line.starts_skipped);
        let count = reaching.map(|reaching| reaching.count).max(line.opened);
        executable.then(|| run(last.line, last.line, count.unwrap_or_default()))
    }
}

/// The lines after that of `last` and before `next`.
fn between(last: Segment, next: u32) -> Option<LineRun> {
    (last.has_count && next - last.line > 1).then(|| run(last.line + 1, next - 1, last.count))
}

fn run(first: u32, last: u32, hits: u64) -> LineRun {
    LineRun::new(first, last, hits)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Line, column, count, has a count, begins a region, is a gap.
    type Written = (u32, u32, u64, bool, bool, bool);

    fn lines(segments: &[Written]) -> Vec<(u32, u32, u64)> {
        let mut lines = SegmentLines::default();
        let mut runs = Vec::new();
        for &(line, column, count, has_count, begins_region, is_gap) in segments {
            let segment = Segment {
                line,
                column,
                count,
                has_count,
                begins_region,
                is_gap,
            };
            runs.extend(lines.push(segment).unwrap().into_iter().flatten());
        }
        runs.extend(lines.finish());
        runs.into_iter()
            .map(|run| (run.first, run.last, run.hits))
            .collect()
    }

    #[test]
    fn a_function_is_its_lines() {
        let function = [(3, 1, 5, true, true, false), (7, 2, 0, false, false, false)];
        assert_eq!(lines(&function), [(3, 3, 5), (4, 6, 5), (7, 7, 5)]);
    }

    #[test]
    fn the_largest_count_on_a_line_is_the_lines() {
        let ternary = [
            (1, 1, 4, true, true, false),
            (1, 10, 0, true, true, false),
            (1, 12, 4, true, false, false),
            (2, 2, 0, false, false, false),
        ];
        assert_eq!(lines(&ternary), [(1, 1, 4), (2, 2, 4)]);
    }

    #[test]
    fn a_gap_opens_nothing_and_reaches_further() {
        let gap = [
            (1, 1, 3, true, true, false),
            (1, 8, 9, true, true, true),
            (3, 3, 4, true, true, false),
            (4, 2, 3, true, false, false),
            (5, 2, 0, false, false, false),
        ];
        assert_eq!(
            lines(&gap),
            [(1, 1, 3), (2, 2, 9), (3, 3, 9), (4, 4, 4), (5, 5, 3)]
        );
    }

    #[test]
    fn what_is_skipped_is_not_executable() {
        let skipped = [
            (1, 1, 2, true, true, false),
            (3, 1, 0, false, true, false),
            (5, 1, 2, true, false, false),
            (6, 2, 0, false, false, false),
            (9, 1, 1, true, true, false),
            (9, 5, 0, false, false, false),
        ];
        assert_eq!(
            lines(&skipped),
            [(1, 1, 2), (2, 2, 2), (6, 6, 2), (9, 9, 1)]
        );
    }

    #[test]
    fn four_billion_lines_cost_one_run() {
        let end = (u32::MAX, 1, 0, false, false, false);
        let long = lines(&[(1, 1, 1, true, true, false), end]);
        assert_eq!(
            long,
            [(1, 1, 1), (2, u32::MAX - 1, 1), (u32::MAX, u32::MAX, 1)]
        );
    }

    #[test]
    fn segments_out_of_order_are_refused() {
        let mut lines = SegmentLines::default();
        let segment = |line, column| Segment {
            line,
            column,
            ..Segment::default()
        };
        lines.push(segment(2, 5)).unwrap();
        assert!(lines.push(segment(2, 4)).is_err());
        assert!(lines.push(segment(1, 9)).is_err());
    }
}
