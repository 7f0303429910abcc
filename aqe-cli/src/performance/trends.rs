//! `aqe performance trends`: what runs came to, one after the other, and where that changed for good.

use std::collections::HashSet;
use std::fmt::Write;
use std::time::Duration;

use aqe_core::monitor::compare::{ChangeConfig, ChangePoint, CompareError, change_points};
use aqe_core::monitor::history::{Run, RunResult, Timestamp};
use serde::Serialize;

use super::metric::{change, human, of_version};
use super::{Opened, RUN, colors, failure, print_json};
use crate::args::{MetricArg, PerformanceCommon};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output;
use crate::report::columns::Columns;
use crate::report::style::{Colors, counted};
use crate::report::text::one_line;

/// Runs that are listed; all are searched for changes.
const LISTED: usize = 20;

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Document {
    file: String,
    metric: &'static str,
    unit: &'static str,
    /// Which tests the runs were of, as the command line said.
    selection: String,
    /// Runs of the period that were of other tests.
    other_runs: usize,
    runs: Vec<One>,
    changes: Vec<Changed>,
}

#[derive(Debug, Serialize)]
struct One {
    run: u64,
    started: String,
    version: String,
    value: f64,
}

#[derive(Debug, Serialize)]
struct Changed {
    /// The first run of the new level.
    run: u64,
    started: String,
    version: String,
    before: f64,
    after: f64,
    ratio: f64,
    /// In spreads of the measurements around.
    effect: f64,
    p_value: f64,
}

/// Prints the runs and the changes.
pub(super) fn run(
    opened: &Opened,
    metric: MetricArg,
    period: Duration,
    common: &PerformanceCommon,
) -> Result<Exit, Failure> {
    let results = opened.reader.results(RUN, None, metric.result());
    let mut results = results.map_err(|error| failure(&error))?;
    let since = Timestamp::now().before(period);
    results.retain(|one| one.run.started >= since && one.run.ended.is_some());
    let document = Document::of(opened, metric, results)
        .map_err(|error| Failure::of(Exit::Environment, &error))?;
    if document.runs.is_empty() {
        return Err(Failure::new(
            Exit::NoTests,
            format!(
                "no run in this period has {} in {}",
                metric.result(),
                document.file
            ),
        )
        .hint("--period says how far back to look"));
    }
    match common.json {
        true => print_json(&document)?,
        false => output::print(&document.text(metric, colors(common)))?,
    }
    Ok(Exit::Success)
}

/// Which tests a run was of.
pub(super) fn selection(run: &Run) -> &str {
    let label = run.labels.iter().find(|(name, _)| name == "selection");
    label.map_or("", |(_, value)| value)
}

impl Document {
    fn of(
        opened: &Opened,
        metric: MetricArg,
        mut results: Vec<RunResult>,
    ) -> Result<Self, CompareError> {
        // Runs of other tests have other times.
        let wanted = results.last().map(|one| selection(&one.run).to_owned());
        let wanted = wanted.unwrap_or_default();
        let all = results.len();
        results.retain(|one| selection(&one.run) == wanted && one.value > 0.0);
        let values: Vec<f64> = results.iter().map(|one| one.value).collect();
        let changes = change_points(&values, &ChangeConfig::default())?;
        Ok(Self {
            file: opened.path.to_string_lossy().into_owned(),
            metric: metric.result(),
            unit: "seconds",
            selection: wanted,
            other_runs: all - results.len(),
            changes: changes
                .iter()
                .map(|one| Changed::of(one, &results))
                .collect(),
            runs: results.iter().map(One::of).collect(),
        })
    }

    fn text(&self, metric: MetricArg, colors: Colors) -> String {
        let begins: HashSet<u64> = self.changes.iter().map(|one| one.run).collect();
        let mut table = Columns::new(["Run", "Time", "", "Version and date"]);
        for one in &self.runs[self.runs.len().saturating_sub(LISTED)..] {
            let mark = if begins.contains(&one.run) {
                "changed"
            } else {
                ""
            };
            table.row([
                one.run.to_string(),
                human(one.value),
                mark.to_owned(),
                of_version(&one.version, &one.started),
            ]);
        }
        let mut text = format!(
            "{}, of {}",
            metric.title(),
            counted(self.runs.len() as u64, "run")
        );
        // Writing to a string cannot fail.
        let _ = match &*self.selection {
            "" => write!(text, " of all tests"),
            selection => write!(text, " of {}", one_line(selection)),
        };
        if self.other_runs > 0 {
            let _ = write!(text, " ({} of other tests left out)", self.other_runs);
        }
        text.push_str("\n\n");
        text.push_str(&table.text(colors));
        text.push('\n');
        for one in &self.changes {
            let told = change(one.ratio);
            let told = match one.ratio > 1.0 {
                true => colors.bad(told).to_string(),
                false => colors.good(told).to_string(),
            };
            let _ = writeln!(
                text,
                "{told} since run {}, {}: {} before, {} after (effect {:.1} spreads, p = {:.4})",
                one.run,
                of_version(&one.version, &one.started),
                human(one.before),
                human(one.after),
                one.effect,
                one.p_value,
            );
        }
        if self.changes.is_empty() {
            let least = 2 * ChangeConfig::default().min_segment;
            let _ = match self.runs.len() < least {
                true => writeln!(
                    text,
                    "too few runs to see a change: at least {least} are needed"
                ),
                false => writeln!(text, "no change of the level"),
            };
        }
        text
    }
}

impl One {
    fn of(result: &RunResult) -> Self {
        Self {
            run: result.run.id.number(),
            started: result.run.started.to_string(),
            version: result.run.version.clone(),
            value: result.value,
        }
    }
}

impl Changed {
    fn of(point: &ChangePoint, results: &[RunResult]) -> Self {
        let One {
            run,
            started,
            version,
            ..
        } = One::of(&results[point.at]);
        Self {
            run,
            started,
            version,
            before: point.before,
            after: point.after,
            ratio: point.ratio,
            effect: point.effect,
            p_value: point.p_value,
        }
    }
}
