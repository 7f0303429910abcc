//! OTLP, which collectors of OpenTelemetry take in.
//!
//! The messages are those of `opentelemetry-proto`. The exporter of `opentelemetry-otlp` cannot be used: it takes what the
//! metrics of `opentelemetry_sdk` have gathered and nothing else, and those are what a registry is there to spare.

use std::time::{SystemTime, UNIX_EPOCH};

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value};
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Gauge, Histogram, HistogramDataPoint, Metric, NumberDataPoint,
    ResourceMetrics, ScopeMetrics, Sum, metric, number_data_point,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message;

use super::buckets::HistogramSnapshot;
use super::counter::Totals;
use super::family::{Core, Series};
use super::labels;
use super::metric::Unit;
use super::set::{AnyFamily, OVERFLOWS, Registry};
use super::snapshot::{OVERFLOWS_HELP, overflowing};

/// Writes what a registry has measured as OTLP, in protobuf.
///
/// What [`encode`](Self::encode) gives is the body of a `POST` to a collector's [`PATH`](Self::PATH), of the type
/// [`CONTENT_TYPE`](Self::CONTENT_TYPE). Sending it is left to the HTTP client that a program has anyway. Totals are
/// cumulative: nothing is lost if one of them does not arrive and the next one does, so there is nothing to retry.
///
/// Counters stop at 2^63 - 1, which is all that the format has room for. Histograms have the
/// [bounds](super::Metric::bounds) that the text has.
///
/// ```
/// use std::time::SystemTime;
/// use aqe_monitor::registry::{OtlpEncoder, Registry};
///
/// let registry = Registry::new();
/// let encoder = OtlpEncoder::new([("service.name", "shop")], SystemTime::now());
/// registry.counter("orders_total")?.increment();
/// let body = encoder.encode(&registry, SystemTime::now());
/// assert!(!body.is_empty());
/// # Ok::<_, aqe_monitor::registry::RegisterError>(())
/// ```
#[derive(Clone, Debug)]
pub struct OtlpEncoder {
    resource: Resource,
    since: u64,
}

impl OtlpEncoder {
    /// The content type of what is encoded.
    pub const CONTENT_TYPE: &str = "application/x-protobuf";

    /// Where a collector takes it in; its port is usually 4318.
    pub const PATH: &str = "/v1/metrics";

    /// One that says of all metrics that they are of this resource (`service.name` at least), and that counting began at
    /// `since`. That must not change as long as the program runs: a later time tells collectors that it began anew.
    pub fn new<K: Into<String>, V: Into<String>>(
        resource: impl IntoIterator<Item = (K, V)>,
        since: SystemTime,
    ) -> Self {
        let attributes = resource.into_iter();
        Self {
            resource: Resource {
                attributes: attributes
                    .map(|(key, value)| attribute(key.into(), value.into()))
                    .collect(),
                ..Resource::default()
            },
            since: nanoseconds(since),
        }
    }

    /// All values of `registry` as they are `now`.
    ///
    /// Nobody who counts waits for this.
    #[must_use]
    pub fn encode(&self, registry: &Registry, now: SystemTime) -> Vec<u8> {
        let mut writer = Writer {
            since: self.since,
            now: nanoseconds(now),
            totals: Totals::default(),
        };
        let families = registry.families();
        let mut metrics: Vec<Metric> = families
            .iter()
            .map(|family| writer.metric(family))
            .collect();
        metrics.extend(writer.overflows(&families));
        let request = ExportMetricsServiceRequest {
            resource_metrics: vec![ResourceMetrics {
                resource: Some(self.resource.clone()),
                scope_metrics: vec![ScopeMetrics {
                    scope: Some(InstrumentationScope {
                        name: env!("CARGO_PKG_NAME").to_owned(),
                        version: env!("CARGO_PKG_VERSION").to_owned(),
                        ..InstrumentationScope::default()
                    }),
                    metrics,
                    ..ScopeMetrics::default()
                }],
                ..ResourceMetrics::default()
            }],
        };
        request.encode_to_vec()
    }
}

struct Writer {
    since: u64,
    now: u64,
    totals: Totals,
}

impl Writer {
    fn metric(&mut self, family: &AnyFamily) -> Metric {
        let about = family.metric();
        let data = match family {
            AnyFamily::Counter(core) => sum(core
                .series()
                .map(|series| {
                    let total = self.totals.of(&series.instrument.0);
                    self.number(of(series), integer(total))
                })
                .collect()),
            AnyFamily::Gauge(core) => {
                let points = core.series().map(|series| {
                    let value = series.instrument.read(&mut self.totals);
                    self.number(of(series), number_data_point::Value::AsDouble(value))
                });
                metric::Data::Gauge(Gauge {
                    data_points: points.collect(),
                })
            }
            AnyFamily::Histogram(core) => metric::Data::Histogram(Histogram {
                data_points: self.histograms(core),
                aggregation_temporality: AggregationTemporality::Cumulative.into(),
            }),
        };
        Metric {
            name: about.name.to_string(),
            description: about.help.to_string(),
            unit: ucum(about.unit).to_owned(),
            data: Some(data),
            ..Metric::default()
        }
    }

    fn histograms(&self, core: &Core<super::Histogram>) -> Vec<HistogramDataPoint> {
        let bounds = core.metric.shown_bounds();
        let shown = |value: u64| value as f64 / core.metric.steps() as f64;
        let explicit_bounds: Vec<f64> = bounds.iter().copied().map(shown).collect();
        let point = |series: &Series<super::Histogram>| {
            let snapshot = series.instrument.snapshot();
            HistogramDataPoint {
                attributes: of(series),
                start_time_unix_nano: self.since,
                time_unix_nano: self.now,
                count: snapshot.count(),
                sum: Some(shown(snapshot.sum())),
                bucket_counts: between(&snapshot, &bounds),
                explicit_bounds: explicit_bounds.clone(),
                ..HistogramDataPoint::default()
            }
        };
        core.series().map(point).collect()
    }

    fn number(
        &self,
        attributes: Vec<KeyValue>,
        value: number_data_point::Value,
    ) -> NumberDataPoint {
        NumberDataPoint {
            attributes,
            start_time_unix_nano: self.since,
            time_unix_nano: self.now,
            value: Some(value),
            ..NumberDataPoint::default()
        }
    }

    /// The metric of overflows, if there were any.
    fn overflows(&self, families: &[AnyFamily]) -> Option<Metric> {
        let points: Vec<_> = overflowing(families)
            .map(|(name, turned_away)| {
                let attributes = vec![attribute("metric".to_owned(), name.to_owned())];
                self.number(attributes, integer(turned_away))
            })
            .collect();
        (!points.is_empty()).then(|| Metric {
            name: OVERFLOWS.to_owned(),
            description: OVERFLOWS_HELP.to_owned(),
            data: Some(sum(points)),
            ..Metric::default()
        })
    }
}

/// How many values lie up to each bound and above the one before it, and how many beyond the last.
fn between(snapshot: &HistogramSnapshot, bounds: &[u64]) -> Vec<u64> {
    let mut counts = vec![0_u64; bounds.len() + 1];
    for bucket in snapshot.buckets() {
        // Bounds are ends of buckets: each bucket lies on one side of each.
        let count = &mut counts[bounds.partition_point(|&bound| bound < bucket.upper)];
        *count = count.saturating_add(bucket.count);
    }
    counts
}

fn sum(data_points: Vec<NumberDataPoint>) -> metric::Data {
    metric::Data::Sum(Sum {
        data_points,
        aggregation_temporality: AggregationTemporality::Cumulative.into(),
        is_monotonic: true,
    })
}

fn integer(total: u64) -> number_data_point::Value {
    number_data_point::Value::AsInt(i64::try_from(total).unwrap_or(i64::MAX))
}

fn of<I>(series: &Series<I>) -> Vec<KeyValue> {
    let labels = labels::parse(&series.labels.text).into_iter();
    labels.map(|(name, value)| attribute(name, value)).collect()
}

fn attribute(key: String, value: String) -> KeyValue {
    KeyValue {
        key,
        value: Some(AnyValue {
            value: Some(any_value::Value::StringValue(value)),
        }),
        ..KeyValue::default()
    }
}

/// The unit as OpenTelemetry calls it, by the Unified Code for Units of Measure.
fn ucum(unit: Unit) -> &'static str {
    match unit {
        Unit::None => "",
        Unit::Seconds => "s",
        Unit::Bytes => "By",
        Unit::Ratio => "1",
    }
}

/// Since 1970; 0 before that, and what fits after the year 2554.
fn nanoseconds(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::registry::{Limits, Metric as About};

    /// What a collector reads.
    fn decoded(registry: &Registry) -> Vec<Metric> {
        let at = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);
        let encoder = OtlpEncoder::new([("service.name", "tests")], at(1));
        let body = encoder.encode(registry, at(2));
        let mut request = ExportMetricsServiceRequest::decode(&*body).unwrap();
        let mut resource = request.resource_metrics.remove(0);
        let attributes = resource.resource.unwrap().attributes;
        let service = attribute("service.name".to_owned(), "tests".to_owned());
        assert_eq!(attributes, [service]);
        resource.scope_metrics.remove(0).metrics
    }

    #[test]
    fn what_was_measured_is_what_is_read() {
        let registry = Registry::with_limits(Limits::default().max_series(1));
        let orders = registry.counters(About::new("orders_total").help("All."));
        let orders = orders.unwrap();
        orders.with(&[("kind", "a\"\n")]).add(3);
        orders.with(&[("kind", "one too many")]).add(2);
        registry.gauge("level").unwrap().set(-1.5);
        let metrics = decoded(&registry);
        let names: Vec<_> = metrics.iter().map(|metric| &*metric.name).collect();
        assert_eq!(names, ["orders", "level", "aqe_monitor_overflows"]);
        assert_eq!(metrics[0].description, "All.");
        let Some(metric::Data::Sum(sum)) = &metrics[0].data else {
            panic!("{metrics:?}")
        };
        assert!(sum.is_monotonic);
        let cumulative: i32 = AggregationTemporality::Cumulative.into();
        assert_eq!(sum.aggregation_temporality, cumulative);
        let [point, overflow] = &*sum.data_points else {
            panic!("{sum:?}")
        };
        let kind = attribute("kind".to_owned(), "a\"\n".to_owned());
        assert_eq!(point.attributes, [kind]);
        assert_eq!(point.value, Some(number_data_point::Value::AsInt(3)));
        assert_eq!(
            (point.start_time_unix_nano, point.time_unix_nano),
            (1_000_000_000, 2_000_000_000)
        );
        assert_eq!(overflow.value, Some(number_data_point::Value::AsInt(2)));
        let Some(metric::Data::Gauge(gauge)) = &metrics[1].data else {
            panic!("{metrics:?}")
        };
        let value = gauge.data_points[0].value;
        assert_eq!(value, Some(number_data_point::Value::AsDouble(-1.5)));
    }

    #[test]
    fn buckets_have_the_values_between_their_bounds() {
        let registry = Registry::new();
        let took = About::new("took_seconds").unit(Unit::Seconds);
        let took = registry.histogram(took.bounds([1_023, 1_000_000])).unwrap();
        for value in [0, 1_023, 1_024, 900_000, 5_000_000_000] {
            took.record(value);
        }
        let metrics = decoded(&registry);
        assert_eq!(metrics[0].unit, "s");
        let Some(metric::Data::Histogram(histogram)) = &metrics[0].data else {
            panic!("{metrics:?}")
        };
        let point = &histogram.data_points[0];
        assert_eq!(point.bucket_counts, [2, 2, 1]);
        assert_eq!(point.explicit_bounds[0], 1_023e-9);
        assert_eq!((point.count, point.sum), (5, Some(5.000_902_047)));
    }

    #[test]
    fn a_total_that_does_not_fit_stops() {
        let registry = Registry::new();
        registry.counter("huge").unwrap().add(u64::MAX);
        let metrics = decoded(&registry);
        let Some(metric::Data::Sum(sum)) = &metrics[0].data else {
            panic!("{metrics:?}")
        };
        let value = sum.data_points[0].value;
        assert_eq!(value, Some(number_data_point::Value::AsInt(i64::MAX)));
    }
}
