//! `aqe performance diagnose`: how long an operation takes, in all its spread.

use std::fmt::Write;
use std::time::Duration;

use aqe_core::monitor::history::{Buckets, Kind, SeriesInfo, Timestamp};
use serde::Serialize;

use super::metric::human;
use super::{Opened, colors, failure, print_json};
use crate::args::PerformanceCommon;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output;
use crate::report::style::Colors;
use crate::report::text::one_line;

/// The operation of `aqe run`, as people call it, and its series.
const TESTS: (&str, &str) = ("test-execution", "test_duration_seconds");
const QUANTILES: [f64; 5] = [0.5, 0.9, 0.95, 0.99, 1.0];
/// Widest bar, in cells.
const WIDEST: f64 = 40.0;

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Document {
    file: String,
    operation: String,
    series: String,
    count: u64,
    mean_seconds: f64,
    quantiles: Vec<Quantile>,
    /// By powers of two.
    buckets: Vec<Bucket>,
}

#[derive(Debug, Serialize)]
struct Quantile {
    quantile: f64,
    seconds: f64,
}

#[derive(Debug, Serialize)]
struct Bucket {
    /// Seconds, included and not.
    from: f64,
    to: f64,
    count: u64,
}

/// Prints how long the operation takes.
pub(super) fn run(
    opened: &Opened,
    operation: &str,
    period: Duration,
    common: &PerformanceCommon,
) -> Result<Exit, Failure> {
    let series = find(opened, operation)?;
    let now = Timestamp::now();
    let range = now.before(period)..now.after(Duration::from_secs(1));
    let found = opened.reader.histogram(series.id, range, 1);
    let found = found.map_err(|error| failure(&error))?;
    let buckets = found.points.into_iter().next().map(|point| point.buckets);
    let Some(buckets) = buckets.filter(|buckets| buckets.count() > 0) else {
        return Err(Failure::new(
            Exit::NoTests,
            format!("{operation} was not measured in this period"),
        )
        .hint("--period says how far back to look"));
    };
    let document = Document::of(opened, operation, &series, &buckets);
    match common.json {
        true => print_json(&document)?,
        false => output::print(&document.text(colors(common)))?,
    }
    Ok(Exit::Success)
}

fn find(opened: &Opened, operation: &str) -> Result<SeriesInfo, Failure> {
    let series = opened.reader.series().map_err(|error| failure(&error))?;
    let mut histograms: Vec<SeriesInfo> = series;
    histograms.retain(|one| one.kind == Kind::Histogram && one.unit == "nanoseconds");
    let wanted = match operation == TESTS.0 {
        true => TESTS.1,
        false => operation,
    };
    let at = histograms.iter().position(|one| one.key.name() == wanted);
    let Some(at) = at else {
        let mut names: Vec<String> = histograms
            .iter()
            .map(|one| match one.key.name() == TESTS.1 {
                true => TESTS.0.to_owned(),
                false => one_line(one.key.name()),
            })
            .collect();
        names.dedup();
        return Err(Failure::new(
            Exit::NoTests,
            format!(
                "{} is not measured in {}",
                one_line(operation),
                opened.path.display()
            ),
        )
        .hint(format!("these are: {}", names.join(", "))));
    };
    Ok(histograms.swap_remove(at))
}

/// Nanoseconds as the registry has them.
fn seconds(nanos: f64) -> f64 {
    nanos / 1e9
}

impl Document {
    fn of(opened: &Opened, operation: &str, series: &SeriesInfo, all: &Buckets) -> Self {
        let mut buckets: Vec<Bucket> = Vec::new();
        for &(bucket, count) in all.counts() {
            let (from, _) = all.bounds(bucket);
            // Nothing takes less than a nanosecond.
            let from = 2f64.powi(from.max(1.0).log2().floor() as i32);
            match buckets.last_mut() {
                Some(last) if last.from == seconds(from) => last.count += count,
                _ => buckets.push(Bucket {
                    from: seconds(from),
                    to: seconds(from * 2.0),
                    count,
                }),
            }
        }
        let quantile = |quantile| {
            let nanos = all.quantile(quantile)?;
            let seconds = seconds(nanos);
            Some(Quantile { quantile, seconds })
        };
        Self {
            file: opened.path.to_string_lossy().into_owned(),
            operation: operation.to_owned(),
            series: series.key.name().to_owned(),
            count: all.count(),
            mean_seconds: seconds(all.sum() / all.count() as f64),
            quantiles: QUANTILES.into_iter().filter_map(quantile).collect(),
            buckets,
        }
    }

    fn text(&self, colors: Colors) -> String {
        let mut text = format!(
            "{}: {} times, {} in the mean\n",
            colors.strong(one_line(&self.operation)),
            self.count,
            human(self.mean_seconds)
        );
        for one in &self.quantiles {
            let name = match one.quantile < 1.0 {
                true => format!("{:.0}% below", one.quantile * 100.0),
                false => "longest".to_owned(),
            };
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{name:>9} {:>8}", human(one.seconds));
        }
        text.push('\n');
        let most = self.buckets.iter().map(|one| one.count).max().unwrap_or(1);
        for one in &self.buckets {
            let cells = (one.count as f64 / most as f64 * WIDEST).ceil() as usize;
            let _ = writeln!(
                text,
                "{:>8} to {:>8} {:>8}  {}",
                human(one.from),
                human(one.to),
                one.count,
                "#".repeat(cells)
            );
        }
        text
    }
}
