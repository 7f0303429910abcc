//! How the history has grown from run to run: a program that has just opened a store has no samples of its own, but each
//! run has left one.

use std::fmt::Write;

use aqe_core::memory::Trends;
use aqe_runner::history::KeptRun;
use aqe_runner::journal::RunId;
use serde::Serialize;

use crate::report::columns::{Columns, bytes};
use crate::report::style::{Colors, Human};

/// Samples that are printed; all of them are counted.
const SHOWN: usize = 12;
const HOUR_MS: f64 = 3_600_000.0;

/// Samples, and the straight line through them.
#[derive(Debug, Serialize)]
pub(super) struct Growth {
    /// What a sample was taken at.
    taken: &'static str,
    /// How the rates follow from the samples.
    method: &'static str,
    samples: Vec<Sample>,
    rates: Option<Rates>,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
struct Sample {
    at_ms: u64,
    entries: u64,
    disk_bytes: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
struct Rates {
    over_ms: u64,
    entries_per_hour: f64,
    disk_bytes_per_hour: f64,
}

impl Growth {
    /// From the runs of a history, or, if there are none, from what the store has sampled since it was opened.
    pub(super) fn of(runs: &[(RunId, KeptRun)], trends: &Trends) -> Self {
        let of_runs = || {
            let samples = runs.iter().map(|(run, kept)| Sample {
                at_ms: run.started().0,
                entries: kept.entries,
                disk_bytes: kept.disk_bytes,
            });
            samples.collect()
        };
        let since_opening = || {
            let samples = trends.samples.iter().map(|sample| Sample {
                at_ms: sample.at_ms,
                entries: sample.entries,
                disk_bytes: sample.disk_bytes,
            });
            samples.collect()
        };
        let (taken, samples): (_, Vec<Sample>) = match runs {
            [] => ("since the store was opened", since_opening()),
            _ => ("at the end of each run", of_runs()),
        };
        Self {
            taken,
            method: "slope of the straight line with the least squares",
            rates: Rates::of(&samples),
            samples,
        }
    }

    pub(super) fn text(&self, colors: Colors) -> String {
        let mut text = String::new();
        let title = format!("Trends, sampled {}", self.taken);
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{}", colors.strong(title));
        let Some(rates) = self.rates else {
            text.push_str("too few samples to say how it changes\n");
            return text;
        };
        let _ = writeln!(
            text,
            "{:+.1} entries and {} on disk an hour, over {} ({})",
            rates.entries_per_hour,
            signed_bytes(rates.disk_bytes_per_hour),
            Human(std::time::Duration::from_millis(rates.over_ms)),
            self.method
        );
        let mut columns = Columns::new(["Entries", "On disk", "Before now"]);
        let last = self.samples.last().map_or(0, |sample| sample.at_ms);
        for sample in &self.samples[self.samples.len().saturating_sub(SHOWN)..] {
            let before = std::time::Duration::from_millis(last.saturating_sub(sample.at_ms));
            columns.row([
                sample.entries.to_string(),
                bytes(sample.disk_bytes),
                Human(before).to_string(),
            ]);
        }
        text + &columns.text(colors)
    }
}

impl Rates {
    fn of(samples: &[Sample]) -> Option<Self> {
        let (first, last) = (samples.first()?, samples.last()?);
        let over_ms = last.at_ms.saturating_sub(first.at_ms);
        if over_ms == 0 {
            return None;
        }
        let slope = |gauge: fn(&Sample) -> u64| slope(samples, first.at_ms, gauge) * HOUR_MS;
        Some(Self {
            over_ms,
            entries_per_hour: slope(|sample| sample.entries),
            disk_bytes_per_hour: slope(|sample| sample.disk_bytes),
        })
    }
}

/// The slope of the straight line with the least squares, for each millisecond.
fn slope(samples: &[Sample], begin: u64, gauge: fn(&Sample) -> u64) -> f64 {
    let count = samples.len() as f64;
    let time = |sample: &Sample| sample.at_ms.saturating_sub(begin) as f64;
    let mean_time = samples.iter().map(time).sum::<f64>() / count;
    let mean = samples.iter().map(|one| gauge(one) as f64).sum::<f64>() / count;
    let (mut shared, mut square) = (0.0, 0.0);
    for sample in samples {
        let off = time(sample) - mean_time;
        shared += off * (gauge(sample) as f64 - mean);
        square += off * off;
    }
    if square == 0.0 { 0.0 } else { shared / square }
}

fn signed_bytes(value: f64) -> String {
    let sign = if value < 0.0 { '-' } else { '+' };
    // Far below what a float cannot count any more.
    format!("{sign}{}", bytes(value.abs() as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slope_is_that_of_the_samples() {
        let sample = |minute: u64, entries, disk_bytes| Sample {
            at_ms: 1_000_000 + minute * 60_000,
            entries,
            disk_bytes,
        };
        let samples: Vec<Sample> = (0..10)
            .map(|it| sample(it, it * 3, 9_000 - it * 100))
            .collect();
        let rates = Rates::of(&samples).unwrap();
        assert_eq!(rates.over_ms, 540_000);
        assert!((rates.entries_per_hour - 180.0).abs() < 1e-6, "{rates:?}");
        assert!(
            (rates.disk_bytes_per_hour + 6_000.0).abs() < 1e-6,
            "{rates:?}"
        );
        assert_eq!(signed_bytes(rates.disk_bytes_per_hour), "-5.9 KiB");
        assert_eq!(Rates::of(&samples[..1]), None);
    }
}
