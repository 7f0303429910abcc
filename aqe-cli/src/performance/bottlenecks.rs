//! `aqe performance --analyze-bottlenecks`: what limited the newest run, and which setting to change.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::ops::Range;
use std::time::Duration;

use aqe_core::monitor::bottlenecks::{
    Analysis, CpuFacts, Facts, Finding, LoadPoint, MemoryFacts, QueueFacts, Severity, Thresholds,
    analyze_with,
};
use aqe_core::monitor::history::Timestamp;
use serde::Serialize;

use super::metric::of_version;
use super::runs::{self, Done};
use super::{Opened, colors, failure, print_json};
use crate::args::PerformanceCommon;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output;
use crate::report::style::Colors;

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Document<'a> {
    file: String,
    run: u64,
    version: &'a str,
    facts: &'a Facts,
    #[serde(flatten)]
    analysis: &'a Analysis,
}

/// Prints what limited the newest run.
pub(super) fn run(
    opened: &Opened,
    period: Duration,
    detailed: bool,
    common: &PerformanceCommon,
) -> Result<Exit, Failure> {
    let runs = runs::of_period(opened, period)?;
    let Some((newest, others)) = runs.split_last() else {
        return Ok(Exit::Success);
    };
    let facts = facts(opened, newest, others)?;
    let analysis = analyze_with(&facts, Thresholds::default());
    let mut analysis = analysis.map_err(|error| Failure::of(Exit::Environment, &error))?;
    for finding in &mut analysis.findings {
        of_a_run(finding, newest);
    }
    if common.json {
        print_json(&Document {
            file: opened.path.to_string_lossy().into_owned(),
            run: newest.run.id.number(),
            version: &newest.run.version,
            facts: &facts,
            analysis: &analysis,
        })?;
    } else {
        output::print(&text(newest, &analysis, detailed, colors(common)))?;
    }
    Ok(Exit::Success)
}

/// Makes what was said of a queue one of a run: slots have a setting of their own, and since all tests are there from the beginning,
/// slots that are added are full as well, and the run is shorter.
fn of_a_run(finding: &mut Finding, run: &Done) {
    let Some(change) = &mut finding.change else {
        return;
    };
    if change.setting != "queue.maxConcurrent" {
        return;
    }
    "run.jobs".clone_into(&mut change.setting);
    let (Some(known), Some(predicted)) = (finding.inputs.first(), &mut finding.predicted) else {
        return;
    };
    let seconds = |name: &str, value| {
        let mut input = known.clone();
        name.clone_into(&mut input.name);
        "s".clone_into(&mut input.unit);
        input.value = value;
        input
    };
    let inputs = [
        seconds("longest_seconds", run.longest),
        seconds("test_seconds", run.test_seconds),
    ];
    finding.inputs.extend(inputs);
    "seconds of the run".clone_into(&mut predicted.metric);
    "s".clone_into(&mut predicted.unit);
    "max(longest_seconds, test_seconds / advised)".clone_into(&mut predicted.formula);
    predicted.less_is_better = true;
    if let Ok(value) = finding.recompute_prediction()
        && let Some(predicted) = &mut finding.predicted
    {
        predicted.value = value;
    }
}

/// What was measured of a run, and how other runs of the same tests went with other numbers of slots.
fn facts(opened: &Opened, run: &Done, others: &[Done]) -> Result<Facts, Failure> {
    let range = run.run.started..run.run.ended.unwrap_or(run.run.started);
    let mean = |name: &str| mean(opened, name, &range);
    let mut facts = Facts::over(run.wall);
    if let Some(busy) = mean("machine_cpu_ratio")? {
        facts.cpu = Some(CpuFacts {
            cores: run.cores,
            busy: busy * run.cores,
            waiting: 0.0,
            operation_seconds: run.cpu_seconds.unwrap_or(0.0) / run.tests,
        });
    }
    let machine = mean("machine_memory_used_ratio")?.zip(mean("machine_memory_bytes")?);
    let machine = machine.map(|(used, bytes)| (used * bytes, bytes));
    let cgroup = mean("cgroup_memory_used_bytes")?.zip(mean("cgroup_memory_limit_bytes")?);
    if let Some((used_bytes, limit_bytes)) = cgroup.or(machine) {
        facts.memory = Some(MemoryFacts {
            limit_bytes,
            used_bytes,
            stalled: mean("machine_memory_pressure_ratio")?.unwrap_or(0.0),
            out_of_memory_kills: 0,
        });
    }
    let left = mean("tests_left")?;
    let pending = left.map_or(0.0, |left| (left - run.running()).max(0.0));
    let mut queue = QueueFacts::new(run.jobs);
    queue.arrivals = run.tests as u64;
    queue.completions = run.tests as u64;
    queue.failures = run.failed as u64;
    queue.service_seconds = run.mean();
    queue.running = run.running();
    queue.pending = pending;
    // Little's law.
    queue.wait_seconds = pending / run.per_second();
    // Whoever runs tests wants them all at once: one that waits longer than it takes is one too many.
    queue.allowed_wait_seconds = run.mean();
    queue.points = points(others.iter().chain([run]));
    facts.queue = Some(queue);
    Ok(facts)
}

/// The best that was seen with each number of slots.
fn points<'a>(runs: impl Iterator<Item = &'a Done>) -> Vec<LoadPoint> {
    let mut best: BTreeMap<u32, LoadPoint> = BTreeMap::new();
    for run in runs {
        let point = LoadPoint {
            concurrency: run.running(),
            throughput: run.per_second(),
        };
        let known = best.entry(run.jobs).or_insert(point);
        if point.throughput > known.throughput {
            *known = point;
        }
    }
    best.into_values().collect()
}

/// The mean of a series over a range; `None` if it was not measured then.
fn mean(opened: &Opened, name: &str, range: &Range<Timestamp>) -> Result<Option<f64>, Failure> {
    let series = opened.reader.series_named(name);
    let series = series.map_err(|error| failure(&error))?;
    let Some(series) = series.first() else {
        return Ok(None);
    };
    let points = opened.reader.points(series.id, range.clone(), 1);
    let points = points.map_err(|error| failure(&error))?;
    Ok(points.points.first().map(|point| point.summary.mean()))
}

fn text(run: &Done, analysis: &Analysis, detailed: bool, colors: Colors) -> String {
    let mut text = format!(
        "Run {}, {}: {:.0} tests with {} slots\n",
        run.run.id.number(),
        of_version(&run.run.version, &run.run.started.to_string()),
        run.tests,
        run.jobs,
    );
    for finding in &analysis.findings {
        text.push('\n');
        push(finding, detailed, colors, &mut text);
    }
    if analysis.findings.is_empty() {
        text.push_str("\nnothing that was measured is a bottleneck\n");
    }
    if !analysis.healthy.is_empty() {
        text.push('\n');
    }
    for one in &analysis.healthy {
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "{} {}: {:.2} {}, a finding from {:.2} on",
            colors.good("well"),
            one.resource,
            one.current.value,
            one.current.unit,
            one.threshold.value
        );
    }
    for one in &analysis.insufficient {
        let _ = writeln!(
            text,
            "{} {}: {}",
            colors.odd("not known"),
            one.resource,
            one.reason
        );
    }
    text
}

fn push(finding: &Finding, detailed: bool, colors: Colors, text: &mut String) {
    let severity = match finding.severity {
        Severity::Critical => colors.bad("critical").to_string(),
        _ => colors.odd("warning").to_string(),
    };
    // Writing to a string cannot fail.
    let _ = writeln!(
        text,
        "{severity} {}: {:.2} {} (threshold {:.2}): {}",
        colors.strong(finding.resource),
        finding.current.value,
        finding.current.unit,
        finding.threshold.value,
        finding.cause
    );
    if let Some(change) = &finding.change {
        let _ = writeln!(
            text,
            "  set {} from {} to {}: aqe config set {} {}",
            change.setting, change.from, change.to, change.setting, change.to
        );
    }
    if let Some(predicted) = &finding.predicted {
        let _ = writeln!(
            text,
            "  then expect {:.3} {}",
            predicted.value, predicted.metric
        );
    }
    if detailed {
        let _ = writeln!(text, "  {}", finding.formula);
        for input in &finding.inputs {
            let _ = writeln!(text, "    {} = {} {}", input.name, input.value, input.unit);
        }
        if let Some(predicted) = &finding.predicted {
            let _ = writeln!(text, "  predicted by {}", predicted.formula);
        }
    }
}
