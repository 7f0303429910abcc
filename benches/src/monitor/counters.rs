//! A hundred million additions of one, through a handle that was got before.

use std::hint::black_box;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicU64, Ordering};

use aqe_monitor::registry::Registry;
use metrics_exporter_prometheus::PrometheusBuilder;
use xtask::Result;

use super::{Entry, entry, exactly, failed, in_threads};
use crate::measure::Reading;
use crate::rounds::Scale;

pub(super) const fn entries<const THREADS: usize>() -> [Entry; 6] {
    [
        entry("aqe", aqe::<THREADS>),
        entry("owned-cell", owned_cell::<THREADS>),
        entry("fetch-add", fetch_add::<THREADS>),
        entry("prometheus-client", prometheus_client::<THREADS>),
        entry("fastmetrics", fastmetrics::<THREADS>),
        entry("metrics-exporter", metrics_exporter::<THREADS>),
    ]
}

pub(super) const GAUGES: &[Entry] = &[
    entry("aqe", aqe_gauge),
    entry("relaxed-store", relaxed_store),
    entry("prometheus-client", prometheus_client_gauge),
];

fn calls(scale: Scale) -> u64 {
    scale.of(100_000_000)
}

/// All calls of all threads, with the first of each.
fn all<const THREADS: usize>(scale: Scale) -> u64 {
    THREADS as u64 * (calls(scale) + 1)
}

fn aqe<const THREADS: usize>(scale: Scale) -> Result<Vec<Reading>> {
    let counter = Registry::new().counter("calls").map_err(failed)?;
    let readings = in_threads::<THREADS>(calls(scale), |calls| {
        let counter = counter.clone();
        for _ in 0..calls {
            black_box(&counter).increment();
        }
    });
    exactly(counter.total(), all::<THREADS>(scale))?;
    Ok(readings)
}

/// The floor: a cell that only its thread writes.
fn owned_cell<const THREADS: usize>(scale: Scale) -> Result<Vec<Reading>> {
    let total = AtomicU64::new(0);
    let readings = in_threads::<THREADS>(calls(scale), |calls| {
        let cell = Box::new(AtomicU64::new(0));
        for _ in 0..calls {
            let cell = black_box(&cell);
            cell.store(cell.load(Relaxed) + 1, Relaxed);
        }
        total.fetch_add(cell.load(Relaxed), Ordering::AcqRel);
    });
    exactly(total.into_inner(), all::<THREADS>(scale))?;
    Ok(readings)
}

fn fetch_add<const THREADS: usize>(scale: Scale) -> Result<Vec<Reading>> {
    let total = AtomicU64::new(0);
    let readings = in_threads::<THREADS>(calls(scale), |calls| {
        for _ in 0..calls {
            black_box(&total).fetch_add(1, Relaxed);
        }
    });
    exactly(total.into_inner(), all::<THREADS>(scale))?;
    Ok(readings)
}

fn prometheus_client<const THREADS: usize>(scale: Scale) -> Result<Vec<Reading>> {
    let counter: prometheus_client::metrics::counter::Counter = Default::default();
    let readings = in_threads::<THREADS>(calls(scale), |calls| {
        let counter = counter.clone();
        for _ in 0..calls {
            black_box(&counter).inc();
        }
    });
    exactly(counter.get(), all::<THREADS>(scale))?;
    Ok(readings)
}

fn fastmetrics<const THREADS: usize>(scale: Scale) -> Result<Vec<Reading>> {
    let counter: fastmetrics::metrics::counter::Counter = Default::default();
    let readings = in_threads::<THREADS>(calls(scale), |calls| {
        let counter = counter.clone();
        for _ in 0..calls {
            black_box(&counter).inc();
        }
    });
    exactly(counter.total(), all::<THREADS>(scale))?;
    Ok(readings)
}

fn metrics_exporter<const THREADS: usize>(scale: Scale) -> Result<Vec<Reading>> {
    let recorder = PrometheusBuilder::new().build_recorder();
    let counter = metrics::with_local_recorder(&recorder, || metrics::counter!("calls"));
    let readings = in_threads::<THREADS>(calls(scale), |calls| {
        let counter = counter.clone();
        for _ in 0..calls {
            black_box(&counter).increment(1);
        }
    });
    let text = recorder.handle().render();
    let total = text.lines().find_map(|line| line.strip_prefix("calls "));
    let total = total.and_then(|total| total.parse().ok());
    exactly(total.unwrap_or(0), all::<THREADS>(scale))?;
    Ok(readings)
}

fn aqe_gauge(scale: Scale) -> Result<Vec<Reading>> {
    let gauge = Registry::new().gauge("level").map_err(failed)?;
    Ok(in_threads::<1>(calls(scale), |calls| {
        for level in 0..calls {
            black_box(&gauge).set(level as f64);
        }
    }))
}

fn relaxed_store(scale: Scale) -> Result<Vec<Reading>> {
    let gauge = AtomicU64::new(0);
    Ok(in_threads::<1>(calls(scale), |calls| {
        for level in 0..calls {
            black_box(&gauge).store((level as f64).to_bits(), Relaxed);
        }
    }))
}

fn prometheus_client_gauge(scale: Scale) -> Result<Vec<Reading>> {
    let gauge = prometheus_client::metrics::gauge::Gauge::<f64, AtomicU64>::default();
    Ok(in_threads::<1>(calls(scale), |calls| {
        for level in 0..calls {
            black_box(&gauge).set(level as f64);
        }
    }))
}
