//! Twenty million latencies, lognormal about a millisecond, into one histogram.

use std::hint::black_box;
use std::sync::Mutex;

use aqe_monitor::registry::Registry;
use xtask::Result;

use super::{Entry, entry, exactly, failed, in_threads};
use crate::measure::Reading;
use crate::rounds::Scale;

pub(super) const fn entries<const THREADS: usize>() -> [Entry; 4] {
    [
        entry("aqe", aqe::<THREADS>),
        entry("hdrhistogram-sync", hdrhistogram_sync::<THREADS>),
        entry("prometheus-client", prometheus_client::<THREADS>),
        entry("fastmetrics", fastmetrics::<THREADS>),
    ]
}

/// More than the branch predictor learns by heart, and few enough to stay in the cache.
const VALUES: usize = 1 << 14;

fn calls(scale: Scale) -> u64 {
    scale.of(20_000_000)
}

fn all<const THREADS: usize>(scale: Scale) -> u64 {
    THREADS as u64 * (calls(scale) + 1)
}

/// Latencies in nanoseconds.
fn latencies() -> Vec<u64> {
    let mut chance = fastrand::Rng::with_seed(7);
    let mut normal = || {
        // Box and Muller, 1958.
        let (one, other) = (1.0 - chance.f64(), chance.f64());
        (-2.0 * one.ln()).sqrt() * (std::f64::consts::TAU * other).cos()
    };
    (0..VALUES).map(|_| (1e6 * normal().exp()) as u64).collect()
}

fn aqe<const THREADS: usize>(scale: Scale) -> Result<Vec<Reading>> {
    let histogram = Registry::new().histogram("latency").map_err(failed)?;
    let latencies = latencies();
    let readings = in_threads::<THREADS>(calls(scale), |calls| {
        let histogram = histogram.clone();
        for call in 0..calls as usize {
            black_box(&histogram).record(latencies[call % VALUES]);
        }
    });
    exactly(histogram.snapshot().count(), all::<THREADS>(scale))?;
    Ok(readings)
}

/// With a reader that refreshes at the end only, which is the least that it needs.
fn hdrhistogram_sync<const THREADS: usize>(scale: Scale) -> Result<Vec<Reading>> {
    let histogram = hdrhistogram::Histogram::<u64>::new_with_bounds(1, 3_600_000_000_000, 2);
    let mut histogram = histogram.map_err(failed)?.into_sync();
    let recorders = [histogram.recorder(), histogram.recorder()].map(Mutex::new);
    let next = std::sync::atomic::AtomicUsize::new(0);
    let latencies = latencies();
    let readings = in_threads::<THREADS>(calls(scale), |calls| {
        // Each thread works twice: a first call, and all others.
        let turn = next.fetch_add(1, std::sync::atomic::Ordering::AcqRel);
        let Ok(mut recorder) = recorders[turn % THREADS].lock() else {
            return;
        };
        for call in 0..calls as usize {
            black_box(&mut *recorder).saturating_record(latencies[call % VALUES]);
        }
    });
    drop(recorders);
    histogram.refresh();
    exactly(histogram.len(), all::<THREADS>(scale))?;
    Ok(readings)
}

/// Bounds of twelve buckets, in seconds.
pub(super) const BOUNDS: [f64; 12] = [
    0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5,
];

fn prometheus_client<const THREADS: usize>(scale: Scale) -> Result<Vec<Reading>> {
    let histogram = prometheus_client::metrics::histogram::Histogram::new(BOUNDS);
    let seconds: Vec<f64> = latencies().into_iter().map(|ns| ns as f64 / 1e9).collect();
    let readings = in_threads::<THREADS>(calls(scale), |calls| {
        let histogram = histogram.clone();
        for call in 0..calls as usize {
            black_box(&histogram).observe(seconds[call % VALUES]);
        }
    });
    Ok(readings)
}

fn fastmetrics<const THREADS: usize>(scale: Scale) -> Result<Vec<Reading>> {
    let histogram = fastmetrics::metrics::histogram::Histogram::new(BOUNDS);
    let seconds: Vec<f64> = latencies().into_iter().map(|ns| ns as f64 / 1e9).collect();
    let readings = in_threads::<THREADS>(calls(scale), |calls| {
        let histogram = histogram.clone();
        for call in 0..calls as usize {
            black_box(&histogram).observe(seconds[call % VALUES]);
        }
    });
    Ok(readings)
}
