//! Names and labels: what is taken, what is refused, and where the rest goes.

use std::num::NonZeroUsize;
use std::thread;

use aqe_monitor::registry::{
    LabelError, LabelSet, Limits, Metric, RegisterError, Registry, TestRecorder, Unit, Value,
};

#[test]
fn names_that_cannot_stand_in_an_exposition_are_refused() {
    let registry = Registry::new();
    for name in ["", "0a", "a b", "a\nb 1", "a{", "ä", "_total ", "a-b"] {
        let error = registry.counter(Metric::new(name)).unwrap_err();
        assert!(matches!(error, RegisterError::Name(_)), "{name:?}: {error}");
    }
    let long = registry.gauge(Metric::new("a".repeat(201))).unwrap_err();
    assert!(long.to_string().len() < 250, "{long}");
    let error = registry.gauge(Metric::new("wait").unit(Unit::Seconds));
    assert_eq!(
        error.unwrap_err().to_string(),
        "metric name `wait` does not end with its unit: call it `wait_seconds`"
    );
}

#[test]
fn series_of_two_metrics_never_have_one_name() {
    let registry = Registry::new();
    registry.counter("a").unwrap();
    registry.histogram("h").unwrap();
    for clashing in ["a_total", "a", "h_bucket", "h_count", "h_sum"] {
        let error = registry.gauge(clashing).unwrap_err();
        assert!(
            matches!(error, RegisterError::Clash { .. }),
            "{clashing}: {error}"
        );
    }
    registry.gauge("h2_sum").unwrap();
    let error = registry.histogram("h2").unwrap_err();
    assert!(matches!(error, RegisterError::Clash { other, .. } if other == "h2_sum"));
    assert!(registry.gauge("aqe_monitor_overflows_total").is_err());
    assert!(registry.counter("aqe_monitor_overflows_total").is_err());
}

#[test]
fn a_full_registry_says_so() {
    let registry = Registry::with_limits(Limits::default().max_metrics(1));
    registry.counter("one").unwrap();
    assert_eq!(
        registry.counter("two").unwrap_err().to_string(),
        "metric `two` is one too many for the registry: its limit is 1 metrics"
    );
}

#[test]
fn a_hundred_thousand_label_values_fill_one_visible_series() {
    let registry = Registry::with_limits(Limits::default().max_series(100));
    let users = registry.counters("requests_total").unwrap();
    for user in 0..100_000 {
        users.with(&[("user", format!("u{user}"))]).increment();
    }
    assert_eq!(users.len(), 100);
    assert_eq!(users.with(&[("overflow", "true")]).total(), 99_900);
    // Those that were there first are still found.
    users.with(&[("user", "u7")]).increment();
    assert_eq!(users.with(&[("user", "u7")]).total(), 2);
    let text = registry.to_openmetrics();
    assert!(
        text.contains("requests_total{overflow=\"true\"} 99900\n"),
        "{text}"
    );
    let overflows = "aqe_monitor_overflows_total{metric=\"requests\"} 99900\n";
    assert!(text.contains(overflows), "{text}");
    let full = users.try_with(&[("user", "new")]).unwrap_err();
    assert_eq!(full, LabelError::Full(100));
}

#[test]
fn a_metric_may_have_a_limit_of_its_own() {
    let registry = Registry::new();
    let limit = NonZeroUsize::new(3).unwrap();
    let gauges = registry.gauges(Metric::new("g").max_series(limit)).unwrap();
    for n in 0..5 {
        gauges.with(&[("n", n.to_string())]).set(1.0);
    }
    assert_eq!(gauges.len(), 3);
}

#[test]
fn the_order_of_labels_means_nothing() {
    let family = Registry::new().counters("ordered_total").unwrap();
    family.with(&[("b", "2"), ("a", "1")]).increment();
    family.with(&[("a", "1"), ("b", "2")]).increment();
    family.with(&[("b", "2"), ("a", "1")]).increment();
    assert_eq!(family.len(), 1);
    assert_eq!(family.with(&[("a", "1"), ("b", "2")]).total(), 3);
    // The same values under other names are another series.
    family.with(&[("a", "1"), ("c", "2")]).increment();
    assert_eq!(family.len(), 2);
}

#[test]
fn labels_that_are_not_valid_lose_no_count() {
    let family = Registry::new().counters("hostile_total").unwrap();
    family.with(&[("le", "1")]).increment();
    family.with(&[("a\"} 1\nfake", "1")]).increment();
    family.with(&[("a", "x"), ("a", "y")]).increment();
    assert_eq!(family.len(), 0);
    assert_eq!(family.with(&[("overflow", "true")]).total(), 3);
    let refused = family.try_with(&[("le", "1")]).unwrap_err();
    assert!(matches!(refused, LabelError::Name(_)));
}

#[test]
fn many_series_are_each_found_again_by_several_threads() {
    let registry = Registry::with_limits(Limits::default().max_series(20_000));
    let family = registry.counters("many_series_total").unwrap();
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for n in 0..5_000 {
                    let labels = [("n", format!("{n}")), ("q", "\"\\".repeat(n % 3))];
                    family.with(&labels).increment();
                }
            });
        }
    });
    assert_eq!(family.len(), 5_000);
    for series in &registry.snapshot()[0].series {
        assert_eq!(series.value, Value::Counter(4), "{:?}", series.labels);
    }
}

#[test]
fn labels_of_ones_own_type_lead_to_the_same_series() {
    struct Labels(u16);
    impl LabelSet for Labels {
        fn each(&self, mut visit: impl FnMut(&str, &str)) {
            visit("method", "GET");
            visit("status", if self.0 < 400 { "good" } else { "bad" });
        }
    }
    let recorder = TestRecorder::new();
    let family = recorder.registry().counters("typed_total").unwrap();
    family.with(&Labels(200)).increment();
    let labels = [("status", "good"), ("method", "GET")];
    recorder.assert_counter("typed_total", &labels, 1);
    recorder.assert_counter("typed_total", &Labels(500), 0);
}
