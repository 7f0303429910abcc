//! All values of a registry, for programs: a history, a dashboard, an export.

use super::buckets::HistogramSnapshot;
use super::counter::Totals;
use super::family::{Core, Instrument};
use super::labels;
use super::metric::{Kind, Unit};
use super::set::{AnyFamily, OVERFLOWS, Registry};

/// One metric with all its series.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct MetricSnapshot {
    /// The name, that of a counter without `_total`.
    pub name: String,
    /// What it says.
    pub help: String,
    /// Its unit.
    pub unit: Unit,
    /// Its kind.
    pub kind: Kind,
    /// How many steps a histogram records for each unit: 10⁹ for seconds; 1 otherwise, unless it was said otherwise.
    pub steps_per_unit: u64,
    /// The series, in the order in which they appeared.
    pub series: Vec<SeriesSnapshot>,
}

/// One series.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct SeriesSnapshot {
    /// Names and values, sorted by name.
    pub labels: Vec<(String, String)>,
    /// What was measured.
    pub value: Value,
}

/// What was measured.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Value {
    /// The total of a counter.
    Counter(u64),
    /// The value of a gauge.
    Gauge(f64),
    /// What a histogram has recorded.
    Histogram(HistogramSnapshot),
}

impl Registry {
    /// All values as they are now.
    ///
    /// Nobody who counts waits for this. Allocates for every series: to write text, [`encode`](Self::encode) is cheaper.
    #[must_use]
    pub fn snapshot(&self) -> Vec<MetricSnapshot> {
        let families = self.families();
        let mut totals = Totals::default();
        let mut metrics: Vec<MetricSnapshot> = families
            .iter()
            .map(|family| of(family, &mut totals))
            .collect();
        metrics.extend(overflows(&families));
        metrics
    }
}

fn of(family: &AnyFamily, totals: &mut Totals) -> MetricSnapshot {
    let metric = family.metric();
    MetricSnapshot {
        name: metric.name.clone().into_owned(),
        help: metric.help.clone().into_owned(),
        unit: metric.unit,
        kind: family.kind(),
        steps_per_unit: metric.steps(),
        series: match family {
            AnyFamily::Counter(core) => {
                series(core, |counter| Value::Counter(totals.of(&counter.0)))
            }
            AnyFamily::Gauge(core) => series(core, |gauge| Value::Gauge(gauge.read(totals))),
            AnyFamily::Histogram(core) => {
                series(core, |histogram| Value::Histogram(histogram.snapshot()))
            }
        },
    }
}

fn series<I: Instrument>(core: &Core<I>, mut read: impl FnMut(&I) -> Value) -> Vec<SeriesSnapshot> {
    let each = core.series().map(|series| SeriesSnapshot {
        labels: labels::parse(&series.labels.text),
        value: read(&series.instrument),
    });
    each.collect()
}

/// The metric of overflows, if there were any.
fn overflows(families: &[AnyFamily]) -> Option<MetricSnapshot> {
    let series: Vec<_> = overflowing(families)
        .map(|(name, turned_away)| SeriesSnapshot {
            labels: vec![("metric".to_owned(), name.to_owned())],
            value: Value::Counter(turned_away),
        })
        .collect();
    (!series.is_empty()).then(|| MetricSnapshot {
        name: OVERFLOWS.to_owned(),
        help: OVERFLOWS_HELP.to_owned(),
        unit: Unit::None,
        kind: Kind::Counter,
        steps_per_unit: 1,
        series,
    })
}

pub(crate) const OVERFLOWS_HELP: &str =
    "Lookups of a metric's labels that led to its series with overflow=\"true\".";

/// The metrics that turned labels away, and how often.
pub(crate) fn overflowing(families: &[AnyFamily]) -> impl Iterator<Item = (&str, u64)> {
    let each = families
        .iter()
        .map(|family| (&*family.metric().name, family.turned_away()));
    each.filter(|&(_, turned_away)| turned_away > 0)
}
