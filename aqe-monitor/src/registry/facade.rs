//! The `metrics` facade: libraries that count through its macros count in a [`Registry`].

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use metrics::{
    CounterFn, GaugeFn, HistogramFn, Key, KeyName, Metadata, SetRecorderError, SharedString,
};
use parking_lot::{Mutex, RwLock};

use super::counter::Counter;
use super::gauge::Gauge;
use super::histogram::Histogram;
use super::labels::LabelSet;
use super::metric::{MAX_NAME_BYTES, Metric, Unit};
use super::set::Registry;

/// The most descriptions that are kept for metrics that are not registered yet.
const MAX_DESCRIPTIONS: usize = 10_000;

/// The most handles of each kind that are found again without asking the registry.
const MAX_HANDLES: usize = 10_000;

/// Steps of a histogram's unit: the facade records numbers with fractions, and a registry whole ones.
const STEPS: NonZeroUsize = NonZeroUsize::new(1_000_000_000).unwrap();

/// Makes what the macros of the `metrics` crate measure arrive in a [`Registry`].
///
/// The facade takes any names: characters that Prometheus does not know become underscores, as `a.b` becomes `a_b`.
/// A metric that still cannot be registered (of one name and two kinds, say) counts nothing, and [`refused`](Self::refused)
/// tells how often that happened. Descriptions count if they come before the first use.
///
/// Histograms keep nine digits after the point: values below 0.000000128 are exact to the last of them only, and those
/// above 18,000,000,000 count as that. Those described in bytes or as a count keep whole numbers, up to 2^64. What is
/// negative counts as 0, what is no number not at all.
///
/// ```
/// use aqe_monitor::registry::{MetricsRecorder, Registry};
///
/// let registry = Registry::new();
/// let recorder = MetricsRecorder::new(registry.clone());
/// metrics::with_local_recorder(&recorder, || {
///     metrics::counter!("http.requests", "method" => "GET").increment(2);
/// });
/// let text = registry.to_openmetrics();
/// assert!(text.contains("http_requests_total{method=\"GET\"} 2\n"), "{text}");
/// ```
#[derive(Debug)]
pub struct MetricsRecorder {
    registry: Registry,
    descriptions: Mutex<HashMap<String, Description>>,
    refused: AtomicU64,
    counters: Handles<metrics::Counter>,
    gauges: Handles<metrics::Gauge>,
    histograms: Handles<metrics::Histogram>,
}

/// Handles that were asked for before: the macros ask at every call.
struct Handles<H>(RwLock<HashMap<Key, H>>);

impl<H> Default for Handles<H> {
    fn default() -> Self {
        Self(RwLock::new(HashMap::new()))
    }
}

impl<H: Clone> Handles<H> {
    fn find_or(&self, key: &Key, make: impl FnOnce() -> H) -> H {
        if let Some(found) = self.0.read().get(key) {
            return found.clone();
        }
        let made = make();
        let mut handles = self.0.write();
        // Whoever makes labels up as it goes is served by the registry, which knows how to deal with that.
        if handles.len() < MAX_HANDLES {
            handles.insert(key.clone(), made.clone());
        }
        made
    }
}

impl<H> fmt::Debug for Handles<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Handles")
            .field(&self.0.read().len())
            .finish()
    }
}

#[derive(Clone, Debug)]
struct Description {
    help: String,
    unit: Option<metrics::Unit>,
}

impl MetricsRecorder {
    /// One that measures in `registry`.
    #[must_use]
    pub fn new(registry: Registry) -> Self {
        Self {
            registry,
            descriptions: Mutex::new(HashMap::new()),
            refused: AtomicU64::new(0),
            counters: Handles::default(),
            gauges: Handles::default(),
            histograms: Handles::default(),
        }
    }

    /// Makes it the recorder of the whole program.
    ///
    /// # Errors
    ///
    /// When there is one already; this one is handed back.
    #[expect(
        clippy::result_large_err,
        reason = "it is handed back, once in the life of a program"
    )]
    pub fn install(self) -> Result<(), SetRecorderError<Self>> {
        metrics::set_global_recorder(self)
    }

    /// How often a metric could not be registered. One that is asked for again usually counts once.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    fn describe(&self, name: &str, unit: Option<metrics::Unit>, help: &SharedString) {
        let mut descriptions = self.descriptions.lock();
        if descriptions.len() < MAX_DESCRIPTIONS {
            let help = help.to_string();
            descriptions.insert(known(name), Description { help, unit });
        }
    }

    fn metric(&self, key: &Key) -> (Metric, Option<metrics::Unit>) {
        let name = known(key.name());
        let description = self.descriptions.lock().get(&name).cloned();
        let (help, described) = description.map_or((String::new(), None), |it| (it.help, it.unit));
        // A registry wants the unit in the name; the facade does not.
        let unit = match described {
            Some(metrics::Unit::Seconds) if name.ends_with("_seconds") => Unit::Seconds,
            Some(metrics::Unit::Bytes) if name.ends_with("_bytes") => Unit::Bytes,
            _ => Unit::None,
        };
        (Metric::new(name).help(help).unit(unit), described)
    }

    fn histogram(&self, key: &Key) -> Option<Scaled> {
        let (metric, described) = self.metric(key);
        let whole = matches!(described, Some(metrics::Unit::Bytes | metrics::Unit::Count));
        let (metric, steps) = if whole {
            (metric, 1.0)
        } else {
            let bounds = (10..=62).step_by(4).map(|power| (1 << power) - 1);
            let metric = metric.steps_per_unit(STEPS).bounds(bounds);
            (metric, STEPS.get() as f64)
        };
        let family = self.registry.histograms(metric).ok()?;
        let histogram = family.with(&Labels(key)).clone();
        Some(Scaled { histogram, steps })
    }

    fn counted<H>(&self, handle: Option<H>) -> Option<Arc<H>> {
        if handle.is_none() {
            self.refused.fetch_add(1, Ordering::Relaxed);
        }
        handle.map(Arc::new)
    }
}

impl metrics::Recorder for MetricsRecorder {
    fn describe_counter(&self, key: KeyName, unit: Option<metrics::Unit>, help: SharedString) {
        self.describe(key.as_str(), unit, &help);
    }

    fn describe_gauge(&self, key: KeyName, unit: Option<metrics::Unit>, help: SharedString) {
        self.describe(key.as_str(), unit, &help);
    }

    fn describe_histogram(&self, key: KeyName, unit: Option<metrics::Unit>, help: SharedString) {
        self.describe(key.as_str(), unit, &help);
    }

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> metrics::Counter {
        self.counters.find_or(key, || {
            let family = self.registry.counters(self.metric(key).0).ok();
            let counter = family.map(|family| family.with(&Labels(key)).clone());
            self.counted(counter)
                .map_or_else(metrics::Counter::noop, metrics::Counter::from_arc)
        })
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> metrics::Gauge {
        self.gauges.find_or(key, || {
            let family = self.registry.gauges(self.metric(key).0).ok();
            let gauge = family.map(|family| family.with(&Labels(key)).clone());
            self.counted(gauge)
                .map_or_else(metrics::Gauge::noop, metrics::Gauge::from_arc)
        })
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> metrics::Histogram {
        self.histograms.find_or(key, || {
            let histogram = self.histogram(key);
            self.counted(histogram)
                .map_or_else(metrics::Histogram::noop, metrics::Histogram::from_arc)
        })
    }
}

/// The labels of a key of the facade.
struct Labels<'k>(&'k Key);

impl LabelSet for Labels<'_> {
    fn each(&self, mut visit: impl FnMut(&str, &str)) {
        for label in self.0.labels() {
            visit(&known_characters(label.key(), false), label.value());
        }
    }
}

/// A name that Prometheus knows too.
fn known(name: &str) -> String {
    let name = known_characters(name, true);
    let end = name.len().min(MAX_NAME_BYTES);
    // All of its characters are ASCII by now.
    if name.is_empty() {
        "_".to_owned()
    } else {
        name[..end].to_owned()
    }
}

fn known_characters(name: &str, colons: bool) -> Cow<'_, str> {
    let known = |c: char| c.is_ascii_alphanumeric() || c == '_' || (colons && c == ':');
    let digit_first = name.starts_with(|c: char| c.is_ascii_digit());
    if !digit_first && name.chars().all(known) {
        return Cow::Borrowed(name);
    }
    let prefix = if digit_first { "_" } else { "" };
    let rest = name.chars().map(|c| if known(c) { c } else { '_' });
    Cow::Owned(prefix.chars().chain(rest).collect())
}

impl CounterFn for Counter {
    fn increment(&self, value: u64) {
        self.add(value);
    }

    fn absolute(&self, value: u64) {
        self.raise_to(value);
    }
}

impl GaugeFn for Gauge {
    fn increment(&self, value: f64) {
        // Whole numbers of this size are exact in either type.
        if value.fract() == 0.0 && value.abs() < 1e15 {
            self.add(value as i64);
        } else {
            self.add_fraction(value);
        }
    }

    fn decrement(&self, value: f64) {
        GaugeFn::increment(self, -value);
    }

    fn set(&self, value: f64) {
        Self::set(self, value);
    }
}

/// A histogram that is fed with numbers that have fractions.
#[derive(Debug)]
struct Scaled {
    histogram: Histogram,
    steps: f64,
}

impl HistogramFn for Scaled {
    fn record(&self, value: f64) {
        if !value.is_nan() {
            // The conversion stops at 0 and at 2^64.
            self.histogram.record((value * self.steps).round() as u64);
        }
    }

    fn record_many(&self, value: f64, count: usize) {
        if !value.is_nan() {
            let value = (value * self.steps).round() as u64;
            self.histogram.record_many(value, count as u64);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::TestRecorder;

    fn recorded(run: impl FnOnce()) -> (TestRecorder, u64) {
        let tests = TestRecorder::new();
        let recorder = MetricsRecorder::new(tests.registry().clone());
        metrics::with_local_recorder(&recorder, run);
        (tests, recorder.refused())
    }

    #[test]
    fn macros_arrive() {
        let (tests, refused) = recorded(|| {
            metrics::describe_histogram!("took_seconds", metrics::Unit::Seconds, "How long.");
            metrics::counter!("a.b", "k" => "v").increment(2);
            metrics::counter!("a.b", "k" => "v").absolute(5);
            metrics::gauge!("level").set(1.5);
            metrics::gauge!("level").increment(2.0);
            metrics::gauge!("level").decrement(0.25);
            metrics::histogram!("took_seconds").record(0.25);
            metrics::histogram!("took_seconds").record_many(f64::NAN, 7);
            metrics::histogram!("took_seconds").record_many(-1.0, 3);
        });
        assert_eq!(refused, 0);
        tests.assert_counter("a_b", &[("k", "v")], 5);
        tests.assert_gauge("level", &(), 3.25);
        let took = tests.histogram("took_seconds", &()).unwrap();
        assert_eq!((took.count(), took.sum()), (4, 250_000_000));
        let text = tests.registry().to_openmetrics();
        assert!(
            text.contains("# UNIT took_seconds seconds\n# HELP took_seconds How long.\n"),
            "{text}"
        );
        assert!(text.contains("took_seconds_sum 0.25\n"), "{text}");
    }

    #[test]
    fn hostile_names_become_harmless_and_clashes_are_counted() {
        let (tests, refused) = recorded(|| {
            metrics::counter!("9 lives\n{}", "a\"b" => "x\ny").increment(1);
            metrics::counter!("").increment(1);
            metrics::counter!("ä".repeat(500)).increment(1);
            metrics::counter!("twice").increment(1);
            metrics::gauge!("twice").set(1.0);
        });
        assert_eq!(refused, 1);
        tests.assert_counter("_9_lives___", &[("a_b", "x\ny")], 1);
        tests.assert_counter("_", &(), 1);
        tests.assert_counter("twice", &(), 1);
    }

    #[test]
    fn handles_beyond_those_that_are_kept_count_too() {
        let (tests, refused) = recorded(|| {
            for n in 0..2 * MAX_HANDLES {
                metrics::counter!("calls", "n" => n.to_string()).increment(1);
            }
            metrics::counter!("calls", "n" => "0").increment(1);
        });
        assert_eq!(refused, 0);
        tests.assert_counter("calls", &[("n", "0")], 2);
        let limit = crate::registry::Limits::default().max_series;
        let beyond = 2 * MAX_HANDLES - limit;
        tests.assert_counter("calls", &[("overflow", "true")], beyond as u64);
    }

    #[test]
    fn what_is_described_in_bytes_keeps_whole_numbers() {
        let (tests, _) = recorded(|| {
            metrics::describe_histogram!("body", metrics::Unit::Bytes, "");
            metrics::histogram!("body").record(1e15);
        });
        assert_eq!(
            tests.histogram("body", &()).unwrap().sum(),
            1_000_000_000_000_000
        );
    }
}
