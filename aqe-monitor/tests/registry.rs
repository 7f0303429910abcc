//! What is counted, whatever threads do.

use std::cell::RefCell;
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Duration;

use aqe_monitor::registry::{Counter, Histogram, Metric, Registry, TestRecorder, Unit};

#[test]
fn totals_are_exact_while_threads_come_and_go() {
    let registry = Registry::new();
    let total = registry.counter("adds_total").unwrap();
    let by_kind = registry.counters("kinds_total").unwrap();
    let sizes = registry.histogram("sizes").unwrap();
    let here = registry.gauge("here").unwrap();
    for wave in 0..20_u64 {
        thread::scope(|scope| {
            for thread in 0..8_u64 {
                let (total, sizes, here, by_kind) = (&total, &sizes, &here, &by_kind);
                scope.spawn(move || {
                    let kind = ["even", "odd"][(thread % 2) as usize];
                    for n in 0..1_000 {
                        total.increment();
                        sizes.record(n * wave);
                        here.increment();
                        by_kind.with(&[("kind", kind)]).add(2);
                    }
                    here.sub(999);
                });
            }
        });
        // The scope ends before the threads' destructors have run: their slabs may still be leased.
        let so_far = (wave + 1) * 8_000;
        assert_eq!(total.total(), so_far);
        assert_eq!(sizes.snapshot().count(), so_far);
        assert_eq!(here.value(), ((wave + 1) * 8) as f64);
        assert_eq!(by_kind.with(&[("kind", "odd")]).total(), so_far);
    }
}

#[test]
fn what_a_thread_counts_in_its_last_destructor_is_not_lost() {
    struct Last(Counter, Histogram);
    impl Drop for Last {
        fn drop(&mut self) {
            self.0.increment();
            self.1.record(7);
        }
    }
    thread_local! {
        static LAST: RefCell<Option<Last>> = const { RefCell::new(None) };
    }
    let registry = Registry::new();
    let counter = registry.counter("last").unwrap();
    let histogram = registry.histogram("h").unwrap();
    // Registered before the first count and after it: one of the two destructors runs after the slab was given back.
    for count_first in [true, false] {
        let (counter, histogram) = (counter.clone(), histogram.clone());
        let count = || {
            counter.increment();
            histogram.record(7);
        };
        thread::scope(|scope| {
            let run = || {
                if count_first {
                    count();
                }
                LAST.set(Some(Last(counter.clone(), histogram.clone())));
                if !count_first {
                    count();
                }
            };
            // Joined by hand: only then its destructors have run.
            scope.spawn(run).join().unwrap();
        });
    }
    assert_eq!((counter.total(), histogram.snapshot().count()), (4, 4));
}

#[test]
fn more_threads_than_slabs_count_exactly() {
    let registry = Registry::new();
    let counter = registry.counter("many_total").unwrap();
    let histogram = registry.histogram("many_sizes").unwrap();
    let (go, wait) = mpsc::sync_channel::<()>(0);
    let wait = Arc::new(Mutex::new(wait));
    let threads: Vec<_> = (0..1_100)
        .map(|_| {
            let (counter, histogram) = (counter.clone(), histogram.clone());
            let wait = Arc::clone(&wait);
            let run = move || {
                counter.increment();
                histogram.record(1_000);
                // Held until all have counted, so that all lease at the same time.
                let _ = wait.lock().map(|wait| wait.recv());
            };
            let builder = thread::Builder::new().stack_size(64 << 10);
            builder.spawn(run).unwrap()
        })
        .collect();
    while counter.total() < 1_100 || histogram.snapshot().count() < 1_100 {
        thread::yield_now();
    }
    drop(go);
    for thread in threads {
        thread.join().unwrap();
    }
    assert_eq!(
        (counter.total(), histogram.snapshot().count()),
        (1_100, 1_100)
    );
}

#[test]
fn a_registry_that_is_gone_leaves_nothing_behind() {
    // More registries than there are histograms, and more cells than there are in all, were they not used again.
    for _ in 0..5_000 {
        let registry = Registry::new();
        let counters = registry.counters("used_again_total").unwrap();
        let histogram = registry.histogram("used_again_sizes").unwrap();
        for label in ["a", "b", "c"] {
            let counter = counters.with(&[("l", label)]);
            assert_eq!(counter.total(), 0);
            counter.add(5);
            assert_eq!(counter.total(), 5);
        }
        assert_eq!(histogram.snapshot().count(), 0);
        histogram.record(9);
        assert_eq!(histogram.snapshot().count(), 1);
    }
}

#[test]
fn cells_beyond_the_last_page_count_too() {
    let limits = aqe_monitor::registry::Limits::default().max_series(70_000);
    let registry = Registry::with_limits(limits);
    let family = registry.counters("beyond_total").unwrap();
    for n in 0..70_000 {
        family.with(&[("n", n.to_string())]).increment();
    }
    thread::scope(|scope| {
        scope
            .spawn(|| family.with(&[("n", "69999")]).add(2))
            .join()
            .unwrap();
    });
    assert_eq!(family.with(&[("n", "69999")]).total(), 3);
    assert_eq!(family.with(&[("n", "69998")]).total(), 1);
    assert_eq!(family.len(), 70_000);
}

#[test]
fn a_handle_outlives_its_registry() {
    let registry = Registry::new();
    let counter = registry.counter("outlives_total").unwrap();
    counter.increment();
    drop(registry);
    let other = Registry::new().counter("other_total").unwrap();
    other.add(100);
    counter.increment();
    assert_eq!((counter.total(), other.total()), (2, 100));
}

#[test]
fn a_gauge_is_what_was_set_and_what_came_since() {
    let gauge = Registry::new().gauge("level").unwrap();
    gauge.set(10.5);
    gauge.add(3);
    thread::scope(|scope| {
        scope.spawn(|| gauge.sub(5));
    });
    assert_eq!(gauge.value(), 8.5);
    gauge.set(-1.0);
    assert_eq!(gauge.value(), -1.0);
    gauge.add_fraction(0.25);
    gauge.decrement();
    assert_eq!(gauge.value(), -1.75);
}

#[test]
fn a_counter_is_raised_and_never_lowered() {
    let counter = Registry::new().counter("raised_total").unwrap();
    counter.raise_to(7);
    counter.raise_to(3);
    assert_eq!(counter.total(), 7);
}

#[test]
fn nothing_is_counted_where_nobody_listens() {
    let registry = Registry::default();
    assert!(registry.is_noop());
    let counter = registry.counter("x_total").unwrap();
    counter.increment();
    registry.gauge("g").unwrap().set(1.0);
    registry.histogram("h").unwrap().record(1);
    let family = registry.counters("f").unwrap();
    family.with(&[("bad name", "x")]).increment();
    assert_eq!((counter.total(), registry.snapshot().len()), (0, 0));
    assert_eq!(registry.to_openmetrics(), "# EOF\n");
    // Mistakes are found here too: not only in production.
    assert!(registry.counter("not a name").is_err());
}

#[test]
fn registering_again_finds_what_is_there() {
    let registry = Registry::new();
    registry.counter("twice_total").unwrap().increment();
    registry.counter("twice").unwrap().increment();
    assert_eq!(registry.counter("twice_total").unwrap().total(), 2);
}

#[test]
fn a_failed_assertion_lists_what_was_counted() {
    let recorder = TestRecorder::new();
    recorder.registry().counter("found_total").unwrap().add(3);
    let asked = recorder.clone();
    let wrong = thread::spawn(move || asked.assert_counter("found_total", &(), 4));
    let panic = wrong.join().unwrap_err();
    let message = panic.downcast_ref::<String>().unwrap();
    assert!(message.contains("`found_total` is 3, not 4"), "{message}");
    assert!(message.contains("found [] = 3"), "{message}");
}

#[test]
fn durations_are_shown_as_seconds() {
    let recorder = TestRecorder::new();
    let metric = Metric::new("took_seconds").unit(Unit::Seconds);
    let metric = metric
        .bounds([1_000_000, 1_000_000_000])
        .help("How \"long\"\nit took.");
    let took = recorder.registry().histogram(metric).unwrap();
    took.record_duration(Duration::from_millis(500));
    took.record_duration(Duration::from_secs(2));
    recorder.assert_recorded("took_seconds", &(), 2);
    assert_eq!(
        recorder.registry().to_openmetrics(),
        "# TYPE took_seconds histogram\n\
         # UNIT took_seconds seconds\n\
         # HELP took_seconds How \\\"long\\\"\\nit took.\n\
         took_seconds_bucket{le=\"0.001003519\"} 0\n\
         took_seconds_bucket{le=\"1.002438655\"} 1\n\
         took_seconds_bucket{le=\"+Inf\"} 2\n\
         took_seconds_sum 2.5\n\
         took_seconds_count 2\n\
         # EOF\n"
    );
}
