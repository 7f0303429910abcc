//! Where the readers put what they find, and what keeps it from growing without bound.

use std::io;

use crate::coverage::model::{
    Arm, BranchLine, Branches, Coverage, FileCoverage, Function, Functions, LineHitsBuilder,
    LineRun, Outcome, Tally,
};
use crate::coverage::warning::{Counted, Warning, WarningKind, Warnings};
use crate::coverage::{CoverageError, Exceeded, Format, Limits, Position};

/// Why a reader stopped; it learns the report's name and the place on its way out.
#[derive(Debug)]
pub(crate) enum Failure {
    Io(io::Error),
    /// What is wrong, and what can be done.
    Malformed(String),
    Exceeded(Exceeded),
}

impl Failure {
    pub(crate) fn malformed(problem: impl Into<String>) -> Self {
        Self::Malformed(problem.into())
    }

    pub(crate) fn at(self, report: &str, format: Format, position: Position) -> CoverageError {
        let report = report.into();
        match self {
            Self::Io(error) => CoverageError::Io { report, error },
            Self::Malformed(problem) => CoverageError::Malformed {
                report,
                format,
                position,
                problem,
            },
            Self::Exceeded(exceeded) => CoverageError::LimitExceeded {
                report,
                position,
                exceeded,
            },
        }
    }
}

/// The files of a report so far, and what they cost.
#[derive(Debug)]
pub(crate) struct Collector {
    report: Box<str>,
    limits: Limits,
    coverage: Coverage,
    warnings: Warnings,
    /// What the finished files take, in bytes.
    settled: u64,
    /// What the file that is being read takes. Joined with an earlier part of the same file it usually takes nothing
    /// more, so a report may repeat itself for as long as it likes.
    open: u64,
}

impl Collector {
    pub(crate) fn new(report: &str, limits: Limits) -> Self {
        Self {
            report: report.into(),
            limits,
            coverage: Coverage::new(),
            warnings: Warnings::default(),
            settled: 0,
            open: 0,
        }
    }

    pub(crate) const fn limits(&self) -> Limits {
        self.limits
    }

    pub(crate) fn warn(&mut self, position: Option<Position>, kind: WarningKind) {
        self.warnings.push(Warning {
            report: self.report.clone(),
            position,
            kind,
        });
    }

    /// Warns unless the report declares what it lists. What it does not declare cannot be wrong.
    pub(crate) fn compare(
        &mut self,
        position: Option<Position>,
        file: Option<&str>,
        of: Counted,
        declared: Declared,
        listed: Tally,
    ) {
        let declared = Tally::new(
            declared.covered.unwrap_or(listed.covered),
            declared.total.unwrap_or(listed.total),
        );
        if declared != listed {
            self.warn(
                position,
                WarningKind::DeclaredTotals {
                    file: file.map(Into::into),
                    of,
                    declared,
                    listed,
                },
            );
        }
    }

    /// Accounts for `bytes` more of the file that is being read.
    pub(crate) fn charge(&mut self, bytes: u64) -> Result<(), Failure> {
        self.open = self.open.saturating_add(bytes);
        self.check()
    }

    /// Puts a finished file to the others.
    pub(crate) fn settle(&mut self, path: &str, file: FileCoverage) -> Result<(), Failure> {
        let grown = self.coverage.add(path.into(), file);
        self.settled = self.settled.saturating_add(grown);
        self.open = 0;
        self.check()
    }

    fn check(&self) -> Result<(), Failure> {
        let limit = self.limits.memory;
        if self.settled.saturating_add(self.open) > limit.as_u64() {
            return Err(Failure::Exceeded(Exceeded::Memory(limit)));
        }
        Ok(())
    }

    pub(crate) const fn coverage(&self) -> &Coverage {
        &self.coverage
    }

    pub(crate) fn finish(mut self) -> (Coverage, Warnings) {
        if self.coverage.is_empty() {
            self.warn(None, WarningKind::NoFiles);
        }
        (self.coverage, self.warnings)
    }
}

/// Totals as a report declares them, each of which may be missing.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Declared {
    pub(crate) total: Option<u64>,
    pub(crate) covered: Option<u64>,
}

/// A file that is being read.
#[derive(Debug, Default)]
pub(crate) struct Draft {
    pub(crate) package: Option<Box<str>>,
    lines: LineHitsBuilder,
    outcomes: Vec<Outcome>,
    counted: Vec<BranchLine>,
    functions: Vec<Function>,
    /// The function whose calls are expected next: calls are mostly listed in the order of the functions.
    next_called: usize,
    /// Functions that are counted and not named.
    pub(crate) function_tally: Tally,
}

impl Draft {
    pub(crate) fn line(
        &mut self,
        collector: &mut Collector,
        line: u32,
        hits: u64,
    ) -> Result<(), Failure> {
        self.lines(
            collector,
            LineRun {
                first: line,
                last: line,
                hits,
            },
        )
    }

    pub(crate) fn lines(&mut self, collector: &mut Collector, run: LineRun) -> Result<(), Failure> {
        if self.lines.add(run.first, run.last, run.hits) {
            collector.charge(size_of::<LineRun>() as u64)?;
        }
        Ok(())
    }

    pub(crate) fn outcome(
        &mut self,
        collector: &mut Collector,
        line: u32,
        block: u32,
        arm: Arm,
        taken: Option<u64>,
    ) -> Result<(), Failure> {
        let outcome = Outcome {
            line,
            block,
            arm,
            taken,
        };
        collector.charge(outcome.bytes())?;
        self.outcomes.push(outcome);
        Ok(())
    }

    /// A line of whose branches only the number is known.
    pub(crate) fn counted(
        &mut self,
        collector: &mut Collector,
        line: u32,
        outcomes: Tally,
    ) -> Result<(), Failure> {
        collector.charge(size_of::<BranchLine>() as u64)?;
        self.counted.push(BranchLine { line, outcomes });
        Ok(())
    }

    pub(crate) fn function(
        &mut self,
        collector: &mut Collector,
        name: &str,
        line: Option<u32>,
        hits: u64,
    ) -> Result<(), Failure> {
        let name = name.into();
        let function = Function { name, line, hits };
        collector.charge(function.bytes())?;
        self.functions.push(function);
        Ok(())
    }

    /// Calls of a function that is declared elsewhere in the record.
    pub(crate) fn called(
        &mut self,
        collector: &mut Collector,
        name: &str,
        hits: u64,
    ) -> Result<(), Failure> {
        if let Some(expected) = self.functions.get_mut(self.next_called)
            && &*expected.name == name
        {
            expected.hits = expected.hits.saturating_add(hits);
            self.next_called += 1;
            return Ok(());
        }
        // It is joined with its declaration in the end.
        self.function(collector, name, None, hits)
    }

    /// With the lines of `other` and their branches, unless there are own ones.
    pub(crate) fn or_lines_of(mut self, other: Self) -> Self {
        if self.lines.is_empty() {
            self.lines = other.lines;
            self.counted = other.counted;
        }
        self
    }

    pub(crate) fn finish(self) -> FileCoverage {
        FileCoverage {
            package: self.package,
            lines: self.lines.finish(),
            branches: Branches::of(self.outcomes, self.counted),
            functions: Functions::of(self.functions, self.function_tally),
        }
    }
}
