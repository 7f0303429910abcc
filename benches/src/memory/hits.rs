//! Area `hits`: how many reads find their entry, by policy, load and capacity?
//!
//! Nothing is timed, everything is counted, and the same counts come out each time: one round is all. Capacities are 1, 5 and 20
//! % of a load's keys, all entries have one weight, and a miss inserts. Rows hold misses, since lower is better in every row; the
//! table shows hits.

use std::fmt::Write as _;
use std::path::Path;

use xtask::Result;

use super::caches::{self, LRU};
use super::loads::{self, Load};
use crate::cli::Request;
use crate::report::{Row, Score};
use crate::rounds::Scale;

/// The name of this area.
pub const AREA: &str = "hits";

/// The capacities, in percent of the different keys.
const CAPACITIES: [usize; 3] = [1, 5, 20];

/// Reads every load through everybody that was asked for.
///
/// # Errors
///
/// When the folder of traces cannot be read.
pub fn compare(request: &Request) -> Result<Vec<Row>> {
    let percent = match request.plan.scale {
        Scale::Full => 100,
        Scale::Quick => 5,
    };
    let mut rows = Vec::new();
    for (name, make) in loads::RECIPES {
        if asked_for(request, name) {
            rows.extend(rows_of(request, &Load::new(name, &make(percent))));
        }
    }
    for load in traces(request.traces.as_deref())? {
        rows.extend(rows_of(request, &load));
    }
    Ok(rows)
}

fn traces(folder: Option<&Path>) -> Result<Vec<Load>> {
    folder.map_or_else(|| Ok(Vec::new()), loads::from_files)
}

/// Spares making loads of which nothing is wanted.
fn asked_for(request: &Request, load: &str) -> bool {
    CAPACITIES
        .iter()
        .any(|share| caches::names().any(|name| request.wants(&workload(load, *share), name)))
}

fn workload(load: &str, share: usize) -> String {
    format!("{load}@{share}%")
}

fn rows_of(request: &Request, load: &Load) -> Vec<Row> {
    let row = |share: usize| {
        let workload = workload(&load.name, share);
        let capacity = (load.distinct * share / 100).max(1);
        let scores: Vec<Score> = caches::names()
            .filter(|name| request.wants(&workload, name))
            .filter_map(|name| {
                let hits = caches::hits(name, load, capacity)?;
                Some(score(name, load.keys.len() - hits, load.keys.len()))
            })
            .collect();
        (!scores.is_empty()).then_some(Row {
            workload,
            metric: "misses".to_owned(),
            unit: "%".to_owned(),
            scores,
        })
    };
    CAPACITIES.iter().filter_map(|share| row(*share)).collect()
}

/// What was counted, in percent; there is only one round.
fn score(name: &str, misses: usize, reads: usize) -> Score {
    let percent = misses as f64 / reads.max(1) as f64 * 100.0;
    Score {
        contender: name.to_owned(),
        median: percent,
        min: percent,
        max: percent,
    }
}

/// The hits as one table, with the mean over all rows, the worst difference to least-recently-used in a row, and the same for the
/// means of loads.
#[must_use]
pub fn to_text(rows: &[Row]) -> String {
    let names: Vec<&str> = caches::names()
        .filter(|name| rows.iter().any(|row| row.median_of(name).is_some()))
        .collect();
    let mut text = String::new();
    push_line(
        &mut text,
        "hits in %",
        names.iter().map(|name| (*name).to_owned()),
    );
    for row in rows {
        push_line(
            &mut text,
            &row.workload,
            names.iter().map(|name| shown(hits(row, name))),
        );
    }
    let mean_of = |rows: &[&Row], name: &str| {
        let all: Option<Vec<f64>> = rows.iter().map(|row| hits(row, name)).collect();
        all.map(|all| all.iter().sum::<f64>() / all.len() as f64)
    };
    let every: Vec<&Row> = rows.iter().collect();
    push_line(
        &mut text,
        "mean",
        names.iter().map(|name| shown(mean_of(&every, name))),
    );
    let worst = |groups: &[Vec<&Row>], name: &str| {
        let over_lru = |group: &Vec<&Row>| Some(mean_of(group, name)? - mean_of(group, LRU)?);
        groups.iter().filter_map(over_lru).min_by(f64::total_cmp)
    };
    let cells: Vec<Vec<&Row>> = rows.iter().map(|row| vec![row]).collect();
    let loads: Vec<Vec<&Row>> = rows
        .chunk_by(|one, other| load_of(one) == load_of(other))
        .map(|group| group.iter().collect())
        .collect();
    for (title, groups) in [("worst row - lru", cells), ("worst load - lru", loads)] {
        push_line(
            &mut text,
            title,
            names.iter().map(|name| shown(worst(&groups, name))),
        );
    }
    text
}

fn hits(row: &Row, name: &str) -> Option<f64> {
    row.median_of(name).map(|misses| 100.0 - misses)
}

/// The load's name without the capacity.
fn load_of(row: &Row) -> &str {
    row.workload
        .rsplit_once('@')
        .map_or(row.workload.as_str(), |(load, _)| load)
}

fn shown(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.2}"))
}

fn push_line(text: &mut String, title: &str, columns: impl Iterator<Item = String>) {
    // Writing to a string cannot fail.
    let _ = write!(text, "{title:18}");
    for column in columns {
        let _ = write!(text, " {column:>11}");
    }
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(workload: &str, misses: &[(&str, f64)]) -> Row {
        let scores = misses.iter().map(|(name, percent)| Score {
            contender: (*name).to_owned(),
            median: *percent,
            min: *percent,
            max: *percent,
        });
        Row {
            workload: workload.to_owned(),
            metric: "misses".to_owned(),
            unit: "%".to_owned(),
            scores: scores.collect(),
        }
    }

    #[test]
    fn the_table_ends_with_means_and_the_worst_against_lru() {
        let rows = [
            row("a@1%", &[("lru", 60.0), ("aqe", 63.0)]),
            row("a@5%", &[("lru", 50.0), ("aqe", 45.0)]),
            row("b@1%", &[("lru", 20.0), ("aqe", 20.5)]),
        ];
        let text = to_text(&rows);
        let ends: Vec<Vec<&str>> = text
            .lines()
            .skip(4)
            .map(|line| line.split_whitespace().rev().take(2).collect())
            .collect();
        // Columns are read from the right: aqe before LRU.
        assert_eq!(
            ends,
            [
                vec!["57.17", "56.67"],
                vec!["-3.00", "0.00"],
                vec!["-0.50", "0.00"]
            ]
        );
    }

    #[test]
    fn a_pattern_chooses_load_and_contender() {
        let line = ["hits", "--quick", "--only", "zipf-1.0@5%/lru"];
        let request = Request::parse(&line.map(str::to_owned)).unwrap();
        let rows = compare(&request).unwrap();
        assert_eq!(rows.len(), 1);
        assert_eq!(rows[0].workload, "zipf-1.0@5%");
        assert!(rows[0].scores.iter().all(|score| score.contender == LRU));
    }
}
