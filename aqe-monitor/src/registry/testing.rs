//! A registry that tests ask what was counted.

use std::fmt::Write as _;

use super::buckets::HistogramSnapshot;
use super::labels::{self, LabelSet};
use super::set::{Limits, Registry};
use super::snapshot::Value;

/// A registry that tests ask what was counted.
///
/// ```
/// use aqe_monitor::registry::{Registry, TestRecorder};
///
/// fn instrumented(registry: &Registry) {
///     let retries = registry.counters("retries_total").unwrap();
///     retries.with(&[("reason", "timeout")]).add(2);
/// }
///
/// let recorder = TestRecorder::new();
/// instrumented(recorder.registry());
/// recorder.assert_counter("retries_total", &[("reason", "timeout")], 2);
/// assert_eq!(recorder.counter("retries_total", &[("reason", "panic")]), None);
/// ```
#[derive(Clone, Debug)]
pub struct TestRecorder {
    registry: Registry,
}

impl Default for TestRecorder {
    fn default() -> Self {
        Self::new()
    }
}

impl TestRecorder {
    /// An empty one, which nobody else counts in.
    #[must_use]
    pub fn new() -> Self {
        Self {
            registry: Registry::with_limits(Limits::default()),
        }
    }

    /// The registry to give to what is tested.
    #[must_use]
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// The total of a counter's series, if there is one with exactly these labels.
    #[must_use]
    pub fn counter<L: LabelSet + ?Sized>(&self, name: &str, labels: &L) -> Option<u64> {
        match self.find(name.strip_suffix("_total").unwrap_or(name), labels)? {
            Value::Counter(total) => Some(total),
            _ => None,
        }
    }

    /// The value of a gauge's series, if there is one with exactly these labels.
    #[must_use]
    pub fn gauge<L: LabelSet + ?Sized>(&self, name: &str, labels: &L) -> Option<f64> {
        match self.find(name, labels)? {
            Value::Gauge(value) => Some(value),
            _ => None,
        }
    }

    /// What a histogram's series has recorded, if there is one with exactly these labels.
    #[must_use]
    pub fn histogram<L: LabelSet + ?Sized>(
        &self,
        name: &str,
        labels: &L,
    ) -> Option<HistogramSnapshot> {
        match self.find(name, labels)? {
            Value::Histogram(snapshot) => Some(snapshot),
            _ => None,
        }
    }

    /// Asserts what a counter's series has counted. One that is not there has counted 0.
    ///
    /// # Panics
    ///
    /// When it has counted something else, with a list of what was counted.
    #[track_caller]
    pub fn assert_counter<L: LabelSet + ?Sized>(&self, name: &str, labels: &L, expected: u64) {
        let found = self.counter(name, labels).unwrap_or(0);
        assert!(
            found == expected,
            "counter `{name}` is {found}, not {expected}; there are:\n{}",
            self.list()
        );
    }

    /// Asserts the value of a gauge's series. One that is not there is 0.
    ///
    /// # Panics
    ///
    /// When it has another value, with a list of what was measured.
    #[track_caller]
    pub fn assert_gauge<L: LabelSet + ?Sized>(&self, name: &str, labels: &L, expected: f64) {
        let found = self.gauge(name, labels).unwrap_or(0.0);
        assert!(
            found == expected,
            "gauge `{name}` is {found}, not {expected}; there are:\n{}",
            self.list()
        );
    }

    /// Asserts how many values a histogram's series has recorded. One that is not there has recorded none.
    ///
    /// # Panics
    ///
    /// When it has recorded another number, with a list of what was measured.
    #[track_caller]
    pub fn assert_recorded<L: LabelSet + ?Sized>(&self, name: &str, labels: &L, expected: u64) {
        let found = self
            .histogram(name, labels)
            .map_or(0, |snapshot| snapshot.count());
        assert!(
            found == expected,
            "histogram `{name}` has {found} values, not {expected}; there are:\n{}",
            self.list()
        );
    }

    fn find<L: LabelSet + ?Sized>(&self, name: &str, labels: &L) -> Option<Value> {
        let wanted = labels::parse(&labels::render(labels).ok()?.text);
        let metrics = self.registry.snapshot();
        let metric = metrics.into_iter().find(|metric| metric.name == name)?;
        let series = metric
            .series
            .into_iter()
            .find(|series| series.labels == wanted)?;
        Some(series.value)
    }

    fn list(&self) -> String {
        let mut list = String::new();
        for metric in self.registry.snapshot() {
            for series in &metric.series {
                let value = match &series.value {
                    Value::Counter(total) => total.to_string(),
                    Value::Gauge(value) => value.to_string(),
                    Value::Histogram(snapshot) => format!("{} values", snapshot.count()),
                };
                // Writing to a string cannot fail.
                let _ = writeln!(list, "  {} {:?} = {value}", metric.name, series.labels);
            }
        }
        list
    }
}
