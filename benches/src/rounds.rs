//! Takes samples: each in a process of its own, in interleaved rounds, with medians at the end.
//!
//! A fresh process for every sample means that no contender inherits another's heap, threads or warm caches;
//! interleaving means that a busy minute of the machine is shared by all.

use std::collections::HashMap;
use std::time::Duration;

use serde_json::{Value, json};
use xtask::process::Command;
use xtask::{Failure, Result};

use crate::measure::Reading;
use crate::report::{AQE, Row, Score};

/// The word that makes `compare` take one sample and print it: `compare sample AREA WORKLOAD CONTENDER SCALE`.
pub const SAMPLE: &str = "sample";

/// The variable that tells a sample how many minutes to go on; 0 is the usual time.
pub const MINUTES: &str = "AQE_COMPARE_MINUTES";

/// One pairing of a workload with a contender.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pairing {
    /// What is done.
    pub workload: String,
    /// Who does it.
    pub contender: String,
    /// How long one sample may take; some peers hang now and then.
    pub limit: Duration,
}

/// How often, and at which size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// Rounds over all pairings.
    pub rounds: usize,
    /// How large the workloads are.
    pub scale: Scale,
    /// For how long those go on that go on for a while, where that is not the usual time.
    pub minutes: Option<usize>,
}

/// The size of a workload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scale {
    /// What the workload's name says.
    Full,
    /// A twentieth of it: shows that everything works, and no more.
    Quick,
}

impl Scale {
    /// The word that stands for it on the command line of a sample.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Quick => "quick",
        }
    }

    /// Reads the word back.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Full, Self::Quick]
            .into_iter()
            .find(|scale| scale.word() == word)
    }

    /// `operations` at this scale.
    #[must_use]
    pub fn of(self, operations: u64) -> u64 {
        match self {
            Self::Full => operations,
            Self::Quick => operations / 20,
        }
    }
}

/// Runs every pairing once per round and sums up.
///
/// A peer that fails or hangs is reported on standard error and judged by its other rounds, or left out when
/// it has none.
///
/// # Errors
///
/// When this program cannot find itself, or when a sample of aqe fails.
pub fn run(area: &str, pairings: &[Pairing], plan: Plan) -> Result<Vec<Row>> {
    let program = std::env::current_exe().map_err(|error| {
        Failure::new(format!("cannot find this program to run it again: {error}"))
    })?;
    let mut samples = Samples::default();
    for round in 1..=plan.rounds {
        for pairing in pairings {
            eprintln!(
                "round {round}/{}: {} with {}",
                plan.rounds, pairing.workload, pairing.contender
            );
            let minutes = plan.minutes.unwrap_or(0);
            let sample = Command::new(program.display().to_string())
                .arg(SAMPLE)
                .arg(area)
                .arg(&pairing.workload)
                .arg(&pairing.contender)
                .arg(plan.scale.word())
                // `cargo run` sets it for us; every process of a sample would search its folders in vain.
                .env_remove("LD_LIBRARY_PATH")
                // With it, every test that is meant to panic reads its debug information first.
                .env_remove("RUST_BACKTRACE")
                .env(MINUTES, minutes.to_string())
                .limit(pairing.limit + Duration::from_secs(60) * minutes as u32)
                .read()
                .and_then(|text| decode(&text));
            match sample {
                Ok(readings) => samples.add(pairing, readings),
                // In any of its modes: a wrong answer of ours must not end in a table.
                Err(failure) if pairing.contender.starts_with(AQE) => return Err(failure),
                Err(failure) => eprintln!("left out of this round: {failure}"),
            }
        }
    }
    Ok(samples.rows())
}

/// What a sample prints: its readings, as the last line of standard output.
#[must_use]
pub fn encode(readings: &[Reading]) -> String {
    let list: Vec<Value> = readings
        .iter()
        .map(|reading| json!([reading.metric, reading.unit, reading.value]))
        .collect();
    Value::Array(list).to_string()
}

fn decode(text: &str) -> Result<Vec<Reading>> {
    let line = text.lines().next_back().unwrap_or_default();
    let list: Vec<(String, String, f64)> = serde_json::from_str::<Value>(line)
        .ok()
        .and_then(|value| value.as_array().cloned())
        .and_then(|list| list.iter().map(reading).collect())
        .ok_or_else(|| Failure::new(format!("a sample printed no readings but {text:?}")))?;
    Ok(list
        .into_iter()
        .map(|(metric, unit, value)| Reading {
            metric,
            unit,
            value,
        })
        .collect())
}

fn reading(value: &Value) -> Option<(String, String, f64)> {
    Some((
        value[0].as_str()?.to_owned(),
        value[1].as_str()?.to_owned(),
        value[2].as_f64()?,
    ))
}

/// All readings, in the order in which their rows first appeared.
#[derive(Debug, Default)]
struct Samples {
    rows: Vec<RowKey>,
    contenders: Vec<String>,
    values: HashMap<(RowKey, String), Vec<f64>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct RowKey {
    workload: String,
    metric: String,
    unit: String,
}

impl Samples {
    fn add(&mut self, pairing: &Pairing, readings: Vec<Reading>) {
        if !self.contenders.contains(&pairing.contender) {
            self.contenders.push(pairing.contender.clone());
        }
        for reading in readings {
            let key = RowKey {
                workload: pairing.workload.clone(),
                metric: reading.metric,
                unit: reading.unit,
            };
            if !self.rows.contains(&key) {
                self.rows.push(key.clone());
            }
            self.values
                .entry((key, pairing.contender.clone()))
                .or_default()
                .push(reading.value);
        }
    }

    fn rows(&self) -> Vec<Row> {
        self.rows
            .iter()
            .map(|key| Row {
                workload: key.workload.clone(),
                metric: key.metric.clone(),
                unit: key.unit.clone(),
                scores: self.scores(key),
            })
            .collect()
    }

    fn scores(&self, key: &RowKey) -> Vec<Score> {
        self.contenders
            .iter()
            .filter_map(|contender| {
                let values = self.values.get(&(key.clone(), contender.clone()))?;
                score(contender, values)
            })
            .collect()
    }
}

fn score(contender: &str, values: &[f64]) -> Option<Score> {
    Some(Score {
        contender: contender.to_owned(),
        median: median(values)?,
        min: values.iter().copied().min_by(f64::total_cmp)?,
        max: values.iter().copied().max_by(f64::total_cmp)?,
    })
}

/// The middle of some values, or the mean of the two in the middle; `None` of none.
pub(crate) fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let upper = *sorted.get(sorted.len() / 2)?;
    if sorted.len() % 2 == 1 {
        return Some(upper);
    }
    Some(f64::midpoint(sorted[sorted.len() / 2 - 1], upper))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairing(contender: &str) -> Pairing {
        Pairing {
            workload: "w".to_owned(),
            contender: contender.to_owned(),
            limit: Duration::from_secs(1),
        }
    }

    #[test]
    fn rounds_are_summed_up_by_their_median() {
        let mut samples = Samples::default();
        for (mine, theirs) in [(1.0, 9.0), (5.0, 7.0), (2.0, 8.0)] {
            samples.add(&pairing("aqe"), vec![Reading::new("wall", "s", mine)]);
            samples.add(&pairing("peer"), vec![Reading::new("wall", "s", theirs)]);
        }
        let rows = samples.rows();
        assert_eq!(rows.len(), 1);
        assert_eq!(rows[0].aqe(), Some(2.0));
        assert_eq!(rows[0].median_of("peer"), Some(8.0));
        assert_eq!((rows[0].scores[1].min, rows[0].scores[1].max), (7.0, 9.0));
    }

    #[test]
    fn an_even_number_of_rounds_takes_the_middle_of_two() {
        assert_eq!(median(&[8.0, 1.0, 4.0, 2.0]), Some(3.0));
        assert_eq!(median(&[]), None);
    }

    #[test]
    fn readings_survive_the_way_from_the_sample() {
        let readings = vec![
            Reading::new("wall", "ns/op", 12.5),
            Reading::new("cpu", "ns/op", 3.0),
        ];
        assert_eq!(
            decode(&format!("noise\n{}\n", encode(&readings))),
            Ok(readings)
        );
        assert!(decode("noise").is_err());
        assert!(decode("[[\"wall\",\"s\"]]").is_err());
    }
}
