//! Ten million additions to one of 18 series, each found by the values of two labels.

use std::hint::black_box;

use aqe_monitor::registry::{Registry, Value};
use fastmetrics::encoder::{EncodeLabelSet as FastEncode, LabelSetEncoder as FastEncoder};
use fastmetrics::raw::LabelSetSchema;
use metrics_exporter_prometheus::PrometheusBuilder;
use prometheus_client::encoding::EncodeLabelSet;
use xtask::Result;

use super::{Entry, entry, exactly, failed, in_threads};
use crate::measure::Reading;
use crate::rounds::Scale;

pub(super) const fn entries<const THREADS: usize>() -> [Entry; 4] {
    [
        entry("aqe", aqe::<THREADS>),
        entry("fastmetrics", fastmetrics::<THREADS>),
        entry("prometheus-client", prometheus_client::<THREADS>),
        entry("metrics-exporter", metrics_exporter::<THREADS>),
    ]
}

const METHODS: [&str; 3] = ["GET", "PUT", "DELETE"];
const STATUSES: [&str; 6] = ["200", "201", "301", "404", "500", "503"];

/// The labels of a call: each combination in turn.
#[inline]
fn combination(call: u64) -> (&'static str, &'static str) {
    let call = call as usize;
    (METHODS[call % 3], STATUSES[call / 3 % 6])
}

fn calls(scale: Scale) -> u64 {
    scale.of(10_000_000)
}

fn all<const THREADS: usize>(scale: Scale) -> u64 {
    THREADS as u64 * (calls(scale) + 1)
}

fn aqe<const THREADS: usize>(scale: Scale) -> Result<Vec<Reading>> {
    let registry = Registry::new();
    let requests = registry.counters("requests").map_err(failed)?;
    let readings = in_threads::<THREADS>(calls(scale), |calls| {
        for call in 0..calls {
            let (method, status) = black_box(combination(call));
            requests
                .with(&[("method", method), ("status", status)])
                .increment();
        }
    });
    let series = &registry.snapshot()[0].series;
    let total = series.iter().map(|series| match series.value {
        Value::Counter(total) => total,
        _ => 0,
    });
    exactly(total.sum(), all::<THREADS>(scale))?;
    Ok(readings)
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    method: &'static str,
    status: &'static str,
}

impl LabelSetSchema for Labels {
    fn names() -> Option<&'static [&'static str]> {
        Some(&["method", "status"])
    }
}

impl FastEncode for Labels {
    fn encode(&self, encoder: &mut dyn FastEncoder) -> fastmetrics::error::Result<()> {
        encoder.encode(&("method", self.method))?;
        encoder.encode(&("status", self.status))
    }
}

fn fastmetrics<const THREADS: usize>(scale: Scale) -> Result<Vec<Reading>> {
    use fastmetrics::metrics::{counter::Counter, family::Family};

    let requests = Family::<Labels, Counter>::default();
    let readings = in_threads::<THREADS>(calls(scale), |calls| {
        for call in 0..calls {
            let (method, status) = black_box(combination(call));
            requests.with_or_new(&Labels { method, status }, |counter| counter.inc());
        }
    });
    Ok(readings)
}

fn prometheus_client<const THREADS: usize>(scale: Scale) -> Result<Vec<Reading>> {
    use prometheus_client::metrics::{counter::Counter, family::Family};

    let requests = Family::<Labels, Counter>::default();
    let readings = in_threads::<THREADS>(calls(scale), |calls| {
        for call in 0..calls {
            let (method, status) = black_box(combination(call));
            requests.get_or_create(&Labels { method, status }).inc();
        }
    });
    Ok(readings)
}

fn metrics_exporter<const THREADS: usize>(scale: Scale) -> Result<Vec<Reading>> {
    let recorder = PrometheusBuilder::new().build_recorder();
    let readings = in_threads::<THREADS>(calls(scale), |calls| {
        metrics::with_local_recorder(&recorder, || {
            for call in 0..calls {
                let (method, status) = black_box(combination(call));
                metrics::counter!("requests", "method" => method, "status" => status).increment(1);
            }
        });
    });
    Ok(readings)
}
