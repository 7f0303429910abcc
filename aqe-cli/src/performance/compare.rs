//! `aqe performance compare`: whether one version's runs take longer than another's.

use std::fmt::Write;

use aqe_core::monitor::compare::{
    CompareConfig, CompareError, Comparison, Verdict, compare_unpaired,
};
use aqe_core::monitor::history::RunResult;
use serde::Serialize;

use super::metric::{change, human};
use super::trends::selection;
use super::{Opened, RUN, colors, failure, print_json};
use crate::args::{MetricArg, PerformanceCommon};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output;
use crate::report::style::{Colors, counted};
use crate::report::text::one_line;

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Document {
    file: String,
    metric: &'static str,
    unit: &'static str,
    selection: String,
    baseline: Side,
    current: Side,
    /// `None` if there are too few runs.
    comparison: Option<Numbers>,
    verdict: &'static str,
}

#[derive(Debug, Serialize)]
struct Side {
    version: String,
    runs: Vec<u64>,
    median: f64,
}

#[derive(Debug, Serialize)]
struct Numbers {
    /// Current ÷ baseline, of the medians.
    ratio: f64,
    /// The interval in which the true ratio lies with `confidence`.
    low: f64,
    high: f64,
    confidence: f64,
    p_value: f64,
}

/// Prints the comparison.
pub(super) fn run(
    opened: &Opened,
    (baseline, current): (&str, &str),
    metric: MetricArg,
    common: &PerformanceCommon,
) -> Result<Exit, Failure> {
    let current = results_of(opened, current, metric)?;
    // The versions are compared on the tests that the newest run of the current one was of.
    let wanted = current.last().map(|one| selection(&one.run).to_owned());
    let wanted = wanted.unwrap_or_default();
    let same = |results: Vec<RunResult>| -> Vec<RunResult> {
        let results = results.into_iter();
        results
            .filter(|one| selection(&one.run) == wanted)
            .collect()
    };
    let (baseline, current) = (same(results_of(opened, baseline, metric)?), same(current));
    if baseline.is_empty() {
        return Err(Failure::new(
            Exit::NoTests,
            "no run of the baseline was of the tests that the current version's newest run was of",
        )
        .hint("run both versions with the same arguments"));
    }
    let values = |results: &[RunResult]| results.iter().map(|one| one.value).collect::<Vec<_>>();
    let config = CompareConfig::default();
    let comparison = match compare_unpaired(&values(&baseline), &values(&current), &config) {
        Ok(comparison) => Some(comparison),
        Err(CompareError::TooFew { .. }) => None,
        Err(error) => return Err(Failure::of(Exit::Environment, &error)),
    };
    let document = Document {
        file: opened.path.to_string_lossy().into_owned(),
        metric: metric.result(),
        unit: "seconds",
        selection: wanted,
        baseline: Side::of(&baseline),
        current: Side::of(&current),
        verdict: verdict(comparison.as_ref()),
        comparison: comparison.map(Numbers::of),
    };
    match common.json {
        true => print_json(&document)?,
        false => output::print(&document.text(metric, colors(common)))?,
    }
    Ok(Exit::Success)
}

fn results_of(
    opened: &Opened,
    version: &str,
    metric: MetricArg,
) -> Result<Vec<RunResult>, Failure> {
    let results = opened.reader.results(RUN, Some(version), metric.result());
    let mut results = results.map_err(|error| failure(&error))?;
    results.retain(|one| one.run.ended.is_some() && one.value > 0.0);
    match results.is_empty() {
        false => Ok(results),
        true => Err(Failure::new(
            Exit::NoTests,
            format!(
                "no run of version {} has {}",
                one_line(version),
                metric.result()
            ),
        )
        .hint("`aqe performance trends` lists runs with their versions")),
    }
}

fn verdict(comparison: Option<&Comparison>) -> &'static str {
    match comparison.map(|it| it.verdict) {
        Some(Verdict::Higher) => "slower",
        Some(Verdict::Lower) => "faster",
        Some(Verdict::Same) => "same",
        Some(_) => "unclear",
        None => "too few runs",
    }
}

impl Side {
    fn of(results: &[RunResult]) -> Self {
        let mut values: Vec<f64> = results.iter().map(|one| one.value).collect();
        values.sort_by(f64::total_cmp);
        let middle = values.len() / 2;
        let median = match values.len() % 2 {
            1 => values[middle],
            _ => f64::midpoint(values[middle - 1], values[middle]),
        };
        Self {
            version: results
                .first()
                .map_or_else(String::new, |one| one.run.version.clone()),
            runs: results.iter().map(|one| one.run.id.number()).collect(),
            median,
        }
    }
}

impl Numbers {
    fn of(comparison: Comparison) -> Self {
        Self {
            ratio: comparison.ratio,
            low: comparison.low,
            high: comparison.high,
            confidence: comparison.confidence,
            p_value: comparison.p_value,
        }
    }
}

impl Document {
    fn text(&self, metric: MetricArg, colors: Colors) -> String {
        let mut text = format!("{}\n\n", metric.title());
        for (name, side) in [("Baseline", &self.baseline), ("Current", &self.current)] {
            // Writing to a string cannot fail.
            let _ = writeln!(
                text,
                "{} {:>8}  median of {} of {}",
                colors.strong(format!("{name:<8}")),
                human(side.median),
                counted(side.runs.len() as u64, "run"),
                one_line(&side.version),
            );
        }
        text.push('\n');
        let Some(numbers) = &self.comparison else {
            text.push_str("too few runs to say more: at least 8 of each version are needed\n");
            return text;
        };
        let verdict = match self.verdict {
            "slower" => colors.bad("slower").to_string(),
            "faster" => colors.good("faster").to_string(),
            other => other.to_owned(),
        };
        let _ = writeln!(
            text,
            "{verdict}: {}, {:.0}% sure that it is from {} to {} (p = {:.4})",
            change(numbers.ratio),
            numbers.confidence * 100.0,
            change(numbers.low),
            change(numbers.high),
            numbers.p_value,
        );
        text.push_str(
            "The runs were made at different times: a change of the machine between them looks the same.\n",
        );
        text
    }
}
