//! Narrow questions about the monitor, each beside the obvious alternative. Calls per second.

use std::hint::black_box;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use aqe_monitor::registry::{Counter, Histogram, Limits, Registry};
use aqe_monitor::sampler::{Parts, System};
use criterion::{Criterion, Throughput};

fn main() {
    let mut criterion = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .configure_from_args();
    counting(&mut criterion);
    recording(&mut criterion);
    finding(&mut criterion);
    reading(&mut criterion);
    looking(&mut criterion);
    criterion.final_summary();
}

/// What does an addition cost through a handle, through one that does nothing, and with a locked instruction?
fn counting(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("counting");
    group.throughput(Throughput::Elements(1));
    let registry = Registry::new();
    let counter = registry.counter("calls").expect("a counter");
    group.bench_function("counter", |bencher| {
        bencher.iter(|| black_box(&counter).increment())
    });
    let nothing = Counter::default();
    group.bench_function("noop", |bencher| {
        bencher.iter(|| black_box(&nothing).increment())
    });
    let shared = AtomicU64::new(0);
    group.bench_function("fetch-add", |bencher| {
        bencher.iter(|| black_box(&shared).fetch_add(1, Relaxed));
    });
    let gauge = registry.gauge("level").expect("a gauge");
    group.bench_function("gauge-set", |bencher| {
        bencher.iter(|| black_box(&gauge).set(1.5))
    });
    group.bench_function("gauge-add", |bencher| {
        let moving = registry.gauge("moving").expect("a gauge");
        bencher.iter(|| black_box(&moving).increment());
    });
    group.finish();
}

/// What does a value cost that goes into a histogram?
fn recording(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("recording");
    group.throughput(Throughput::Elements(1));
    let histogram = Registry::new().histogram("sizes").expect("a histogram");
    let mut value = 1_u64;
    let mut next = move || {
        // Any order of magnitude, without a pattern.
        value = value
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        value >> (value >> 59)
    };
    group.bench_function("histogram", |bencher| {
        bencher.iter(|| black_box(&histogram).record(next()))
    });
    let nothing = Histogram::default();
    group.bench_function("noop", |bencher| {
        bencher.iter(|| black_box(&nothing).record(next()))
    });
    group.finish();
}

/// What does it cost to find one of 1,000 series by its labels: in order, out of order, and one that is turned away?
fn finding(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("finding");
    group.throughput(Throughput::Elements(1));
    let registry = Registry::with_limits(Limits::default().max_series(1_000));
    let family = registry.counters("requests").expect("a counter");
    let paths: Vec<String> = (0..1_000).map(|n| format!("/things/{n}")).collect();
    for path in &paths {
        family
            .with(&[("method", "GET"), ("path", path)])
            .increment();
    }
    let mut call = 0;
    group.bench_function("sorted", |bencher| {
        bencher.iter(|| {
            call = (call + 7) % paths.len();
            family
                .with(&[("method", "GET"), ("path", &paths[call])])
                .increment();
        });
    });
    group.bench_function("unsorted", |bencher| {
        bencher.iter(|| {
            family
                .with(&[("path", "/things/7"), ("method", "GET")])
                .increment()
        });
    });
    group.bench_function("turned-away", |bencher| {
        bencher.iter(|| {
            family
                .with(&[("method", "GET"), ("path", "/none")])
                .increment()
        });
    });
    group.finish();
}

/// What does a scrape of 1,000 counters cost, and a snapshot of a histogram?
fn reading(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("reading");
    let registry = Registry::new();
    let family = registry.counters("requests").expect("a counter");
    for n in 0..1_000 {
        family.with(&[("path", format!("/things/{n}"))]).increment();
    }
    let mut text = String::new();
    group.bench_function("scrape-1k", |bencher| {
        bencher.iter(|| {
            text.clear();
            registry.encode(&mut text);
        });
    });
    let histogram = registry.histogram("sizes").expect("a histogram");
    (0..10_000).for_each(|n| histogram.record(n * n));
    group.bench_function("histogram-snapshot", |bencher| {
        bencher.iter(|| histogram.snapshot())
    });
    group.finish();
}

/// What does a look at the system cost?
fn looking(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("looking");
    for (name, parts) in [("basic", Parts::basic()), ("all", Parts::default())] {
        let mut system = System::new(parts);
        group.bench_function(name, |bencher| {
            bencher.iter(|| system.sample(Instant::now()))
        });
    }
    group.finish();
}
