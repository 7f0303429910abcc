//! What goes into the history: at each tick the readings and what is in the registry, and the runs.

use std::borrow::Cow;
use std::collections::HashMap;
use std::path::PathBuf;

use aqe_monitor::history::{
    Buckets, History, HistoryConfig, HistoryError, Kind, Moment, Opened, RunId, SeriesId,
    SeriesKey, SetAside, Tick as HistoryTick,
};
use aqe_monitor::registry::{self, HistogramSnapshot, MetricSnapshot, Value};
use aqe_monitor::sampler::{Reading, Tick};

use super::runs::Order;
use super::shared::Shared;

/// Doublings are divided into two to the power of this many buckets, in the registry as in the history.
const PRECISION: u8 = 7;

/// Runs that have not ended. Whoever begins more and ends none of them has lost them.
const MAX_OPEN_RUNS: usize = 1_000;

/// Keeps a history, as soon as it can be opened.
pub(super) struct Keeper {
    path: PathBuf,
    config: HistoryConfig,
    open: Option<Open>,
}

struct Open {
    history: History,
    tick: HistoryTick,
    series: HashMap<String, HashMap<Labels, Known>>,
    runs: HashMap<u64, RunId>,
}

type Labels = Vec<(String, String)>;

/// A series that has been asked for.
enum Known {
    Number(SeriesId),
    /// With what the history has of it: the next tick keeps what has come since.
    Histogram(SeriesId, HistogramSnapshot),
    /// The history would not take it; asked again when a block has been sealed, which makes room.
    Refused,
}

impl Keeper {
    pub(super) fn new(path: PathBuf, config: HistoryConfig) -> Self {
        Self {
            path,
            config,
            open: None,
        }
    }

    /// Opens the history if it is not open and a tick is due: whoever else has it may have ended by then.
    pub(super) fn open_if_due(&mut self, shared: &Shared, is_due: bool) {
        if self.open.is_some() || !is_due {
            return;
        }
        match History::open(&self.path, self.config.clone()) {
            Ok(history) => {
                if let Opened::SetAside(aside) = history.opened() {
                    shared.problem_text(&set_aside(aside));
                }
                self.open = Some(Open {
                    history,
                    tick: HistoryTick::new(),
                    series: HashMap::new(),
                    runs: HashMap::new(),
                });
            }
            Err(error) => shared.problem(&error),
        }
    }

    /// Notes what was said of runs.
    pub(super) fn obey(&mut self, shared: &Shared) {
        let Some(open) = &mut self.open else { return };
        for order in shared.take_orders_of_runs() {
            if let Err(error) = open.note(order) {
                shared.problem(&error);
            }
        }
    }

    /// Keeps a tick.
    pub(super) fn keep(&mut self, shared: &Shared, tick: &Tick<'_>) {
        let Some(open) = &mut self.open else { return };
        let metrics = shared.registry.snapshot();
        open.tick.clear();
        open.add_readings(shared, tick.readings);
        for metric in &metrics {
            open.add_metric(shared, metric);
        }
        let now = Moment {
            wall: tick.wall.into(),
            steady: tick.at,
        };
        match open.history.append(now, &mut open.tick) {
            Ok(appended) => {
                if let Some(aside) = &appended.set_aside {
                    shared.problem_text(&set_aside(aside));
                }
                if let Some(error) = &appended.problem {
                    shared.problem(error);
                }
                open.is_kept(metrics);
                if appended.sealed.is_some() {
                    open.ask_again();
                }
            }
            // What histograms have recorded is kept by the next tick; counters are totals anyway.
            Err(error) => shared.problem(&error),
        }
    }
}

impl Open {
    fn note(&mut self, order: Order) -> Result<(), HistoryError> {
        match order {
            Order::Begin {
                number,
                name,
                version,
                labels,
                at,
            } => {
                if self.runs.len() == MAX_OPEN_RUNS {
                    return Err(too_many_runs());
                }
                let (version, labels) = (version.find(), borrowed(&labels));
                let id = self
                    .history
                    .begin_run(&name, &version, &labels, at.into())?;
                self.runs.insert(number, id);
                Ok(())
            }
            Order::Results { number, results } => {
                // One whose beginning was refused is known to have been.
                let Some(&id) = self.runs.get(&number) else {
                    return Ok(());
                };
                let results: Vec<_> = results
                    .iter()
                    .map(|(name, value)| (&**name, *value))
                    .collect();
                self.history.run_results(id, &results)
            }
            Order::End { number, at } => match self.runs.remove(&number) {
                Some(id) => self.history.end_run(id, at.into()),
                None => Ok(()),
            },
        }
    }

    fn add_readings(&mut self, shared: &Shared, readings: &[Reading]) {
        for reading in readings {
            let unit = reading.unit.as_str();
            let known = self.known(shared, &reading.name, &[], Kind::Gauge, unit);
            if let Known::Number(id) = *known {
                self.tick.set(id, reading.value);
            }
        }
    }

    fn add_metric(&mut self, shared: &Shared, metric: &MetricSnapshot) {
        let name = name_in_history(metric);
        let unit = unit_in_history(metric);
        for series in &metric.series {
            let labels = &series.labels;
            match &series.value {
                Value::Counter(total) => {
                    if let Known::Number(id) =
                        *self.known(shared, &name, labels, Kind::Counter, &unit)
                    {
                        self.tick.set(id, *total as f64);
                    }
                }
                Value::Gauge(value) => {
                    if let Known::Number(id) =
                        *self.known(shared, &name, labels, Kind::Gauge, &unit)
                    {
                        self.tick.set(id, *value);
                    }
                }
                Value::Histogram(all) => {
                    if let Known::Histogram(id, kept) =
                        self.known(shared, &name, labels, Kind::Histogram, &unit)
                    {
                        let id = *id;
                        let new = buckets(&all.since(kept));
                        if new.count() > 0 {
                            self.tick.histogram(id, &new);
                        }
                    }
                }
                // A kind that a later version has is kept by that version.
                _ => {}
            }
        }
    }

    /// The history has these values now.
    fn is_kept(&mut self, metrics: Vec<MetricSnapshot>) {
        for metric in metrics {
            let name = name_in_history(&metric);
            let Some(of_name) = self.series.get_mut(&*name) else {
                continue;
            };
            for series in metric.series {
                if let Value::Histogram(now) = series.value
                    && let Some(Known::Histogram(_, kept)) = of_name.get_mut(&*series.labels)
                {
                    *kept = now;
                }
            }
        }
    }

    fn ask_again(&mut self) {
        for of_name in self.series.values_mut() {
            of_name.retain(|_, known| !matches!(known, Known::Refused));
        }
    }

    fn known(
        &mut self,
        shared: &Shared,
        name: &str,
        labels: &[(String, String)],
        kind: Kind,
        unit: &str,
    ) -> &Known {
        // Looked up twice, so that what is known, which is nearly always so, allocates nothing.
        let is_known = self
            .series
            .get(name)
            .is_some_and(|of_name| of_name.contains_key(labels));
        if !is_known {
            let known = match ask(&mut self.history, name, labels, kind, unit) {
                Ok(id) if kind == Kind::Histogram => {
                    Known::Histogram(id, HistogramSnapshot::default())
                }
                Ok(id) => Known::Number(id),
                Err(error) => {
                    shared.problem(&error);
                    Known::Refused
                }
            };
            let of_name = self.series.entry(name.to_owned()).or_default();
            of_name.insert(labels.to_vec(), known);
        }
        let found = self
            .series
            .get(name)
            .and_then(|of_name| of_name.get(labels));
        found.unwrap_or(&Known::Refused)
    }
}

fn ask(
    history: &mut History,
    name: &str,
    labels: &[(String, String)],
    kind: Kind,
    unit: &str,
) -> Result<SeriesId, HistoryError> {
    let key = SeriesKey::new(name, &borrowed(labels))?;
    history.series(&key, kind, unit)
}

fn borrowed(labels: &[(String, String)]) -> Vec<(&str, &str)> {
    labels
        .iter()
        .map(|(name, value)| (&**name, &**value))
        .collect()
}

/// What the history has of a histogram of the registry: the same buckets under the same numbers.
fn buckets(snapshot: &HistogramSnapshot) -> Buckets {
    let counts = snapshot
        .buckets()
        .map(|bucket| (u32::from(bucket.index), bucket.count));
    Buckets::from_counts(PRECISION, snapshot.sum() as f64, counts)
}

/// As in the text of the registry.
fn name_in_history(metric: &MetricSnapshot) -> Cow<'_, str> {
    match metric.kind {
        registry::Kind::Counter => Cow::Owned(format!("{}_total", metric.name)),
        _ => Cow::Borrowed(&metric.name),
    }
}

/// Buckets and sums are in the steps that a histogram records.
fn unit_in_history(metric: &MetricSnapshot) -> Cow<'static, str> {
    let unit = metric.unit.as_str();
    match (metric.kind, metric.unit, metric.steps_per_unit) {
        (registry::Kind::Histogram, registry::Unit::Seconds, 1_000_000_000) => {
            Cow::Borrowed("nanoseconds")
        }
        (registry::Kind::Histogram, _, steps @ 2..) => Cow::Owned(format!("{unit}/{steps}")),
        _ => Cow::Borrowed(unit),
    }
}

fn set_aside(aside: &SetAside) -> String {
    format!(
        "the history was damaged ({}); it is at {} now, and a new one has been begun",
        aside.what,
        aside.moved_to.display()
    )
}

fn too_many_runs() -> HistoryError {
    HistoryError::TooMuch {
        what: "runs that have not ended",
        limit: MAX_OPEN_RUNS as u64,
        found: MAX_OPEN_RUNS as u64 + 1,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn buckets_of_the_registry_are_buckets_of_the_history(
            values in prop::collection::vec((any::<u64>(), 0_u32..64).prop_map(|(value, shift)| value >> shift), 1..200),
            quantile in 0.0..=1.0_f64,
        ) {
            let snapshot: HistogramSnapshot = values.iter().copied().collect();
            let mut recorded = Buckets::new(PRECISION);
            values.iter().for_each(|&value| recorded.record(value, 1));
            let carried = buckets(&snapshot);
            prop_assert_eq!(carried.counts(), recorded.counts());
            for (bucket, &(index, _)) in snapshot.buckets().zip(carried.counts()) {
                let (lower, end) = carried.bounds(index);
                prop_assert_eq!(lower, bucket.lower as f64);
                // The one ends with its largest value, the other before the first that is too large.
                prop_assert_eq!(end, bucket.upper as f64 + 1.0);
            }
            let (there, here) = (carried.quantile(quantile), snapshot.quantile(quantile));
            let (there, here) = (there.unwrap(), here.unwrap() as f64);
            prop_assert!((there - here).abs() <= 1.0 + here / 1e9, "{} {}", there, here);
        }
    }
}
