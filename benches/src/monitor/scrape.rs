//! Ten thousand counters with two labels, written as text into a buffer that is used again; microseconds a scrape.

use std::hint::black_box;
use std::time::Instant;

use super::{Answer, Entry, entry, exactly, failed};
use crate::measure::Reading;
use crate::rounds::Scale;
use aqe_monitor::registry::{Limits, Registry};
use fastmetrics::encoder::{EncodeLabelSet as FastEncode, LabelSetEncoder as FastEncoder};
use fastmetrics::format::text::{self, TextProfile};
use fastmetrics::raw::LabelSetSchema;
use lasso::ThreadedRodeo;
use measured::text::BufferedTextEncoder;
use measured::{CounterVec, LabelGroup, MetricGroup};
use metrics_exporter_prometheus::PrometheusBuilder;
use prometheus_client::encoding::EncodeLabelSet;

pub(super) const ENTRIES: &[Entry] = &[
    entry("aqe", aqe),
    entry("measured", measured),
    entry("fastmetrics", fastmetrics),
    entry("prometheus-client", prometheus_client),
    entry("metrics-exporter", metrics_exporter),
];

pub(super) const SERIES: usize = 10_000;

/// The labels of the n-th series.
pub(super) fn labels(n: usize) -> (String, String) {
    (
        ["GET", "PUT"][n % 2].to_owned(),
        format!("/api/v1/things/{n}"),
    )
}

/// The middle of several scrapes, each into `text`; checks that all series are there.
fn scrapes(scale: Scale, text: impl Fn(&mut String) -> Answer<()>) -> Answer<Vec<Reading>> {
    let mut buffer = String::new();
    let mut times = Vec::new();
    for _ in 0..=scale.of(200) {
        buffer.clear();
        let start = Instant::now();
        text(&mut buffer)?;
        times.push(start.elapsed());
        black_box(&buffer);
    }
    let series = buffer
        .lines()
        .filter(|line| line.contains("/things/"))
        .count();
    exactly(series as u64, SERIES as u64)?;
    times.sort_unstable();
    let middle = times[times.len() / 2].as_secs_f64() * 1e6;
    Ok(vec![Reading::new("wall", "us", middle)])
}

fn aqe(scale: Scale) -> Answer<Vec<Reading>> {
    let registry = Registry::with_limits(Limits::default().max_series(SERIES));
    let requests = registry.counters("requests").map_err(failed)?;
    for n in 0..SERIES {
        let (method, path) = labels(n);
        requests
            .with(&[("method", method), ("path", path)])
            .add(n as u64);
    }
    scrapes(scale, |text| {
        registry.encode(text);
        Ok(())
    })
}

#[derive(Clone, Copy, Debug, PartialEq, LabelGroup)]
#[label(set = MeasuredSet)]
struct MeasuredLabels<'a> {
    #[label(dynamic_with = ThreadedRodeo)]
    method: &'a str,
    #[label(dynamic_with = ThreadedRodeo)]
    path: &'a str,
}

#[derive(MetricGroup)]
struct Measured {
    requests: CounterVec<MeasuredSet>,
}

fn measured(scale: Scale) -> Answer<Vec<Reading>> {
    let metrics = Measured {
        requests: CounterVec::with_label_set(MeasuredSet {
            method: ThreadedRodeo::new(),
            path: ThreadedRodeo::new(),
        }),
    };
    for n in 0..SERIES {
        let (method, path) = labels(n);
        let labels = MeasuredLabels {
            method: &method,
            path: &path,
        };
        metrics.requests.inc_by(labels, n as u64);
    }
    // It writes bytes into a buffer of its own, and hands them out; what a caller does with them is not measured.
    let encoder = std::cell::RefCell::new(BufferedTextEncoder::new());
    let mut times = Vec::new();
    let mut bytes = Default::default();
    for _ in 0..=scale.of(200) {
        let start = Instant::now();
        let mut encoder = encoder.borrow_mut();
        metrics.collect_group_into(&mut *encoder).map_err(failed)?;
        bytes = encoder.finish();
        times.push(start.elapsed());
        black_box(&bytes);
    }
    let text = String::from_utf8_lossy(&bytes);
    let series = text
        .lines()
        .filter(|line| line.contains("/things/"))
        .count();
    exactly(series as u64, SERIES as u64)?;
    times.sort_unstable();
    let middle = times[times.len() / 2].as_secs_f64() * 1e6;
    Ok(vec![Reading::new("wall", "us", middle)])
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Labels {
    pub(super) method: String,
    pub(super) path: String,
}

impl Labels {
    pub(super) fn of(n: usize) -> Self {
        let (method, path) = labels(n);
        Self { method, path }
    }
}

impl LabelSetSchema for Labels {
    fn names() -> Option<&'static [&'static str]> {
        Some(&["method", "path"])
    }
}

impl FastEncode for Labels {
    fn encode(&self, encoder: &mut dyn FastEncoder) -> fastmetrics::error::Result<()> {
        encoder.encode(&("method", self.method.as_str()))?;
        encoder.encode(&("path", self.path.as_str()))
    }
}

fn fastmetrics(scale: Scale) -> Answer<Vec<Reading>> {
    use fastmetrics::metrics::{counter::Counter, family::Family};

    let requests = Family::<Labels, Counter>::default();
    let mut registry = fastmetrics::registry::Registry::default();
    registry
        .register("requests", "", requests.clone())
        .map_err(failed)?;
    for n in 0..SERIES {
        requests.with_or_new(&Labels::of(n), |counter| counter.inc_by(n as u64));
    }
    scrapes(scale, |buffer| {
        text::encode(buffer, &registry, TextProfile::default()).map_err(failed)
    })
}

fn prometheus_client(scale: Scale) -> Answer<Vec<Reading>> {
    use prometheus_client::metrics::{counter::Counter, family::Family};

    let requests = Family::<Labels, Counter>::default();
    let mut registry = prometheus_client::registry::Registry::default();
    registry.register("requests", "", requests.clone());
    for n in 0..SERIES {
        requests.get_or_create(&Labels::of(n)).inc_by(n as u64);
    }
    scrapes(scale, |text| {
        prometheus_client::encoding::text::encode(text, &registry).map_err(failed)
    })
}

fn metrics_exporter(scale: Scale) -> Answer<Vec<Reading>> {
    let recorder = PrometheusBuilder::new().build_recorder();
    metrics::with_local_recorder(&recorder, || {
        for n in 0..SERIES {
            let (method, path) = labels(n);
            metrics::counter!("requests", "method" => method, "path" => path).increment(n as u64);
        }
    });
    let handle = recorder.handle();
    scrapes(scale, |text| {
        // It has no way to use a buffer again.
        *text = handle.render();
        Ok(())
    })
}
