//! How long does a person wait for a whole suite, build done? Wall seconds.
//!
//! Real suites and `trivial` run two at a time, `sleepy` ten (its ideal is 4.5 s), `skewed` four (2.0 s).

use std::time::Instant;

use xtask::suites::{PINS, Suite};
use xtask::workspace::Workspace;
use xtask::{Failure, Result};

use super::Part;
use super::tool::{self, Tool};
use crate::measure::Reading;
use crate::report::{AQE, Row, Score};
use crate::rounds::Scale;

pub(super) const PART: Part = Part {
    workloads,
    contenders: || Tool::installed().into_iter().map(Tool::name).collect(),
    sample,
};

/// Generated suites, with how many tests run at a time.
const GENERATED: &[(&str, usize)] = &[("trivial", 2), ("sleepy", 10), ("skewed", 4)];

/// How many tests of a real suite run at a time.
const JOBS: usize = 2;

fn workloads() -> Vec<&'static str> {
    let pinned = PINS.iter().map(|pin| pin.name);
    pinned
        .chain(GENERATED.iter().map(|(name, _)| *name))
        .collect()
}

fn sample(workload: &str, contender: &str, _scale: Scale) -> Result<Vec<Reading>> {
    let jobs = GENERATED
        .iter()
        .find(|(name, _)| *name == workload)
        .map_or(JOBS, |(_, jobs)| *jobs);
    let tool = Tool::named(contender)
        .ok_or_else(|| Failure::new(format!("there is no test runner `{contender}`")))?;
    let suite = suite(workload)?;
    let mut command = tool.command(&suite, jobs, &[])?;
    let start = Instant::now();
    tool::run(&mut command)?;
    let seconds = start.elapsed().as_secs_f64();
    Ok(vec![Reading::new("wall", "s", seconds)])
}

/// A suite that has been prepared, by its name.
pub(super) fn suite(name: &str) -> Result<Suite> {
    let workspace = Workspace::load()?;
    let folder = PINS
        .iter()
        .find(|pin| pin.name == name)
        .map_or_else(|| name.to_owned(), xtask::suites::Pin::id);
    let dir = xtask::suites::folder(&workspace).join(folder);
    if !dir.join("Cargo.toml").exists() {
        return Err(Failure::new(format!(
            "{} is not there: run `cargo xtask suites` and `cargo xtask generated`",
            dir.display()
        )));
    }
    Ok(Suite {
        name: name.to_owned(),
        dir,
        binaries: Vec::new(),
    })
}

/// Gives each mode of aqe a row of its own beside the same peers, and adds the geometric means over the
/// real suites: the ratio of two means is the mean of the ratios.
pub(super) fn with_modes_and_means(rows: Vec<Row>) -> Vec<Row> {
    let mut rows: Vec<Row> = rows.into_iter().flat_map(split_modes).collect();
    for mode in ["process", "batch"] {
        let workloads: Vec<String> = PINS
            .iter()
            .map(|pin| format!("{} {mode}", pin.name))
            .collect();
        let of_mode: Vec<&Row> = rows
            .iter()
            .filter(|row| workloads.contains(&row.workload))
            .collect();
        if of_mode.len() == PINS.len() {
            rows.extend(geometric_mean(&format!("geometric-mean {mode}"), &of_mode));
        }
    }
    rows
}

fn split_modes(row: Row) -> Vec<Row> {
    if !workloads().contains(&row.workload.as_str()) {
        return vec![row];
    }
    let batch = Tool::AqeBatch.name();
    let with = |mode: &str, other: &str| Row {
        workload: format!("{} {mode}", row.workload),
        scores: row
            .scores
            .iter()
            .filter(|score| score.contender != other)
            .map(|score| match score.contender == batch {
                true => Score {
                    contender: AQE.to_owned(),
                    ..score.clone()
                },
                false => score.clone(),
            })
            .collect(),
        ..row.clone()
    };
    vec![with("process", batch), with("batch", AQE)]
}

/// One row whose scores are the geometric means over `rows`, for whoever took part in all of them.
fn geometric_mean(workload: &str, rows: &[&Row]) -> Option<Row> {
    let first = rows.first()?;
    let mean = |values: Option<Vec<f64>>| {
        let logs: f64 = values?.iter().map(|value| value.ln()).sum();
        Some((logs / rows.len() as f64).exp())
    };
    let scores = first.scores.iter().filter_map(|score| {
        let each = |field: fn(&Score) -> f64| {
            mean(
                rows.iter()
                    .map(|row| {
                        row.scores
                            .iter()
                            .find(|s| s.contender == score.contender)
                            .map(field)
                    })
                    .collect(),
            )
        };
        Some(Score {
            contender: score.contender.clone(),
            median: each(|s| s.median)?,
            min: each(|s| s.min)?,
            max: each(|s| s.max)?,
        })
    });
    Some(Row {
        workload: workload.to_owned(),
        metric: first.metric.clone(),
        unit: first.unit.clone(),
        scores: scores.collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(workload: &str, scores: &[(&str, f64)]) -> Row {
        let score = |&(contender, value): &(&str, f64)| Score {
            contender: contender.to_owned(),
            median: value,
            min: value,
            max: value,
        };
        Row {
            workload: workload.to_owned(),
            metric: "wall".to_owned(),
            unit: "s".to_owned(),
            scores: scores.iter().map(score).collect(),
        }
    }

    #[test]
    fn each_mode_has_its_row_and_its_mean() {
        let rows = PINS
            .iter()
            .zip([1.0, 2.0, 4.0])
            .map(|(pin, s)| {
                row(
                    pin.name,
                    &[("aqe", s), ("aqe-batch", s / 2.0), ("nextest", 2.0 * s)],
                )
            })
            .collect();
        let rows = with_modes_and_means(rows);
        assert_eq!(rows.len(), 8);
        let find = |workload: &str| rows.iter().find(|row| row.workload == workload).unwrap();
        assert_eq!(find("bytes process").aqe(), Some(4.0));
        assert_eq!(find("bytes batch").aqe(), Some(2.0));
        assert_eq!(find("bytes batch").scores.len(), 2);
        let mean = find("geometric-mean process");
        assert!((mean.aqe().unwrap() - 2.0).abs() < 1e-9, "{mean:?}");
        assert!((mean.median_of("nextest").unwrap() - 4.0).abs() < 1e-9);
        assert!((find("geometric-mean batch").aqe().unwrap() - 1.0).abs() < 1e-9);
    }

    #[test]
    fn a_mean_needs_every_suite() {
        let rows = with_modes_and_means(vec![
            row("bytes", &[("aqe", 1.0)]),
            row("spawn", &[("aqe", 1.0)]),
        ]);
        let names: Vec<_> = rows.iter().map(|row| row.workload.as_str()).collect();
        assert_eq!(names, ["bytes process", "bytes batch", "spawn"]);
    }
}
