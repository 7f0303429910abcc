//! Memory of ten thousand counters, or of a hundred histograms, that two threads write: bytes of the heap for each.

use aqe_monitor::registry::{Limits, Registry};
use xtask::Result;

use super::scrape::{Labels, SERIES, labels};
use super::{Entry, entry, failed};
use crate::measure::Reading;
use crate::rounds::Scale;

pub(super) const COUNTERS: &[Entry] = &[
    entry("aqe", aqe),
    entry("prometheus-client", prometheus_client),
    entry("fastmetrics", fastmetrics),
];

pub(super) const HISTOGRAMS: &[Entry] = &[
    entry("aqe", aqe_histograms),
    entry("hdrhistogram-sync", hdrhistogram_sync),
];

/// Bytes that the allocator has given out, with what it needs to know about them.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn allocated() -> Result<u64> {
    // SAFETY: the function takes nothing and returns a plain structure.
    let info = unsafe { libc::mallinfo2() };
    Ok((info.uordblks + info.hblkhd) as u64)
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn allocated() -> Result<u64> {
    Err(xtask::Failure::new(
        "only glibc says how much it has given out",
    ))
}

/// What `make` allocates and two threads add when they call `write` on it, for each of so many.
fn bytes_each<T: Sync>(
    count: usize,
    make: impl FnOnce() -> Result<T>,
    write: impl Fn(&T) + Sync,
) -> Result<Vec<Reading>> {
    let before = allocated()?;
    let made = make()?;
    // Both at once, so that neither takes over what the other leaves.
    let both = std::sync::Barrier::new(2);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                both.wait();
                write(&made);
                both.wait();
            });
        }
    });
    let grown = allocated()?.saturating_sub(before);
    std::hint::black_box(&made);
    Ok(vec![Reading::new("heap", "B", grown as f64 / count as f64)])
}

fn aqe(_: Scale) -> Result<Vec<Reading>> {
    let make = || {
        let registry = Registry::with_limits(Limits::default().max_series(SERIES));
        let requests = registry.counters("requests").map_err(failed)?;
        Ok((registry, requests))
    };
    bytes_each(SERIES, make, |(_, requests)| {
        for n in 0..SERIES {
            let (method, path) = labels(n);
            requests
                .with(&[("method", method), ("path", path)])
                .increment();
        }
    })
}

fn prometheus_client(_: Scale) -> Result<Vec<Reading>> {
    use prometheus_client::metrics::{counter::Counter, family::Family};

    let make = || Ok(Family::<Labels, Counter>::default());
    bytes_each(SERIES, make, |requests| {
        for n in 0..SERIES {
            requests.get_or_create(&Labels::of(n)).inc();
        }
    })
}

fn fastmetrics(_: Scale) -> Result<Vec<Reading>> {
    use fastmetrics::metrics::{counter::Counter, family::Family};

    let make = || Ok(Family::<Labels, Counter>::default());
    bytes_each(SERIES, make, |requests| {
        for n in 0..SERIES {
            requests.with_or_new(&Labels::of(n), |counter| counter.inc());
        }
    })
}

const HISTOGRAM_COUNT: usize = 100;

/// A thousand latencies over three decades.
fn latencies() -> impl Iterator<Item = u64> {
    (0..1_000).map(|n| 100_000 + n * n * 100)
}

fn aqe_histograms(_: Scale) -> Result<Vec<Reading>> {
    let make = || {
        let registry = Registry::new();
        let family = registry.histograms("latency").map_err(failed)?;
        Ok((registry, family))
    };
    bytes_each(HISTOGRAM_COUNT, make, |(_, family)| {
        for n in 0..HISTOGRAM_COUNT {
            let histogram = family.with(&[("n", n.to_string())]);
            latencies().for_each(|latency| histogram.record(latency));
        }
    })
}

fn hdrhistogram_sync(_: Scale) -> Result<Vec<Reading>> {
    let make = || {
        let histogram = |_| {
            let histogram =
                hdrhistogram::Histogram::<u64>::new_with_bounds(1, 3_600_000_000_000, 2);
            histogram.map(hdrhistogram::Histogram::into_sync)
        };
        (0..HISTOGRAM_COUNT)
            .map(histogram)
            .collect::<std::result::Result<Vec<_>, _>>()
            .map_err(failed)
    };
    let before = allocated()?;
    let histograms = make()?;
    let mut recorders = Vec::new();
    for histogram in &histograms {
        for _ in 0..2 {
            let mut recorder = histogram.recorder();
            latencies().for_each(|latency| recorder.saturating_record(latency));
            recorders.push(recorder);
        }
    }
    let grown = allocated()?.saturating_sub(before);
    std::hint::black_box((&histograms, &recorders));
    Ok(vec![Reading::new(
        "heap",
        "B",
        grown as f64 / HISTOGRAM_COUNT as f64,
    )])
}
