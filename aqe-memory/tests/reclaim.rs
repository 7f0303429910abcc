//! What is given back, made smaller and told about a store, when somebody asks.

#![allow(
    clippy::unwrap_used,
    reason = "a panic fails the test, helpers included"
)]

use std::time::Duration;

use aqe_memory::{
    Cleanup, EntryTier, ManualClock, MemoryConfig, Optimize, Problem, Severity, Store,
};

/// Resembles a result of a test: what repeats from value to value, and what does not.
fn artefact(number: u64) -> Vec<u8> {
    let mut state = number;
    let mut random = move || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        state >> 40
    };
    let steps: Vec<_> = (0..12)
        .map(|step| {
            format!(
                r#"{{"step":"open the page of checkout {step}","status":"{}","duration_ms":{},"trace":"{:x}"}}"#,
                ["passed", "failed", "skipped"][random() as usize % 3],
                random() % 5000,
                random(),
            )
        })
        .collect();
    format!(
        r#"{{"test":"checkout::pays::{number}","suite":"nightly","steps":[{}]}}"#,
        steps.join(",")
    )
    .into_bytes()
}

fn key(number: u64) -> Vec<u8> {
    format!("run/{number:06}").into_bytes()
}

fn put(store: &Store, numbers: std::ops::Range<u64>) {
    for number in numbers {
        store.put(&key(number), &artefact(number)).unwrap();
    }
}

fn check(store: &Store, numbers: std::ops::Range<u64>) {
    for number in numbers {
        let value = store.get(&key(number));
        assert_eq!(value.as_deref(), Some(&*artefact(number)), "{number}");
    }
}

fn small() -> MemoryConfig {
    MemoryConfig::default()
        .max_size(32 << 20)
        .cache_size(4 << 20)
}

#[test]
fn giving_up_the_cache_keeps_every_entry_for_which_there_is_room() {
    let clock = ManualClock::new();
    let store = Store::with_clock(small(), &clock).unwrap();
    put(&store, 0..2_000);
    let report = store.cleanup_with(Cleanup::CacheOnly);
    assert_eq!(report.before.entries, 2_000);
    assert_eq!((report.after.entries, report.evicted), (2_000, 0));
    assert_eq!(store.stats().uncompressed_bytes, 0, "{report:?}");
    assert!(report.freed_memory() > 1_000_000, "{report:?}");
    check(&store, 0..2_000);
    let in_a_row = store.cleanup_with(Cleanup::CacheOnly);
    assert_eq!(in_a_row.after.entries, 2_000);
}

#[test]
fn giving_up_the_cache_of_a_folder_leaves_what_is_in_files() {
    let clock = ManualClock::new();
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open_with_clock(folder.path(), small(), &clock).unwrap();
    put(&store, 0..2_000);
    // Read twice, so that they are uncompressed.
    check(&store, 0..200);
    check(&store, 0..200);
    check(&store, 0..200);
    assert!(store.stats().uncompressed_bytes > 0);
    let report = store.cleanup_with(Cleanup::CacheOnly);
    assert_eq!(store.stats().uncompressed_bytes, 0);
    assert_eq!((report.after.entries, report.evicted), (2_000, 0));
    check(&store, 0..2_000);
}

#[test]
fn a_thorough_cleanup_frees_what_is_over_among_what_is_not_and_what_is_dead() {
    for on_disk in [false, true] {
        let clock = ManualClock::new();
        let folder = tempfile::tempdir().unwrap();
        let store = match on_disk {
            true => Store::open_with_clock(folder.path(), small(), &clock).unwrap(),
            false => Store::with_clock(small(), &clock).unwrap(),
        };
        // Buckets of an hour's life are half a minute wide: these share segments, and every second one ends a little earlier.
        let hour = Duration::from_secs(3600);
        for number in 0..4_000 {
            let life = match number % 2 {
                0 => hour,
                _ => hour + Duration::from_secs(5),
            };
            store
                .put_for(&key(number), &artefact(number), life)
                .unwrap();
        }
        // A third is dead besides.
        for number in (0..4_000).step_by(3) {
            store.remove(&key(number)).unwrap();
        }
        clock.advance(hour + Duration::from_secs(1));
        let expected: Vec<_> = (0..4_000u64)
            .filter(|number| number % 2 == 1 && number % 3 != 0)
            .collect();
        let versions: Vec<_> = expected
            .iter()
            .map(|it| store.get_versioned(&key(*it)).unwrap().1)
            .collect();
        let before = store.stats();
        let report = store.cleanup_with(Cleanup::Aggressive);
        assert_eq!(report.after.entries, expected.len() as u64, "{report:?}");
        assert!(
            report.expired > 0 && report.segments_rewritten > 0,
            "{report:?}"
        );
        assert!(
            report.after.resident_bytes < before.resident_bytes / 2,
            "{before:?} {report:?}"
        );
        if on_disk {
            assert!(report.freed_disk() > before.disk_bytes / 3, "{report:?}");
        }
        for (number, version) in expected.iter().zip(versions) {
            let (value, now) = store.get_versioned(&key(*number)).unwrap();
            assert_eq!((&*value, now), (&*artefact(*number), version));
        }
        // The rest ends when it was to end: moving it has not prolonged its life.
        clock.advance(Duration::from_secs(4) - Duration::from_millis(1));
        assert!(store.contains(&key(1)));
        clock.advance(Duration::from_millis(1));
        assert!(!store.contains(&key(1)));
    }
}

#[test]
fn optimizing_makes_records_smaller_and_changes_nothing_else() {
    for on_disk in [false, true] {
        let clock = ManualClock::new();
        let folder = tempfile::tempdir().unwrap();
        let open = || match on_disk {
            true => Store::open_with_clock(folder.path(), small(), &clock).unwrap(),
            false => Store::with_clock(small(), &clock).unwrap(),
        };
        let store = open();
        put(&store, 0..4_000);
        store.cleanup_with(Cleanup::CacheOnly);
        let seen = |store: &Store| -> Vec<_> {
            let versions = (0..4_000).map(|number| store.get_versioned(&key(number)).unwrap().1);
            versions.collect()
        };
        let versions = seen(&store);
        let report = store.optimize(Optimize::Normal);
        assert_eq!(report.stopped, None);
        assert!(
            report.segments_rewritten > 0 && report.values_recompressed > 500,
            "{report:?}"
        );
        assert!(
            report.record_bytes_after * 10 < report.record_bytes_before * 9,
            "{report:?}"
        );
        assert!(
            report.after.resident_bytes + report.after.disk_bytes
                < report.before.resident_bytes + report.before.disk_bytes,
            "{report:?}"
        );
        // Before anything is read: in memory, what is read comes back uncompressed, and is compressed in a hurry afterwards.
        let again = store.optimize(Optimize::Normal);
        assert!(
            again.segments_rewritten <= report.segments_rewritten / 10,
            "{again:?}"
        );
        check(&store, 0..4_000);
        assert_eq!(seen(&store), versions);

        let thorough = store.optimize(Optimize::Aggressive);
        assert_eq!(thorough.stopped, None);
        assert!(
            thorough.after.disk_bytes <= again.after.disk_bytes,
            "{thorough:?}"
        );
        check(&store, 0..4_000);
        let analysis = store.analyze();
        let compressed = analysis.namespaces[0].compressed;
        assert!(compressed.ratio().unwrap() > 3.0, "{compressed:?}");
        if on_disk {
            drop(store);
            let store = open();
            assert_eq!(store.damage(), []);
            check(&store, 0..4_000);
            assert_eq!(seen(&store), versions);
        }
    }
}

#[test]
fn an_analysis_adds_up() {
    let clock = ManualClock::new();
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open_with_clock(folder.path(), small(), &clock).unwrap();
    let runs = store.namespace("runs").unwrap();
    let mut value_bytes = 0;
    for number in 0..1_000 {
        let value = artefact(number);
        value_bytes += value.len() as u64;
        runs.put_for(&key(number), &value, Duration::from_secs(90))
            .unwrap();
    }
    clock.advance(Duration::from_secs(60));
    store.cleanup();
    store.put(b"one", &[7; 20_000]).unwrap();
    for number in 0..10 {
        assert!(runs.get(&key(number)).is_some());
    }
    assert!(runs.get(b"none").is_none());
    let analysis = store.analyze();
    let entries =
        |bars: &[aqe_memory::HistogramBar]| bars.iter().map(|bar| bar.entries).sum::<u64>();
    assert_eq!(analysis.stats.entries, 1_001);
    assert_eq!(
        (entries(&analysis.ages), entries(&analysis.remaining)),
        (1_001, 1_001)
    );
    let tiers = analysis
        .tiers
        .iter()
        .map(|tier| tier.amount.entries)
        .sum::<u64>();
    assert_eq!(tiers, 1_001);
    let names: Vec<_> = analysis
        .namespaces
        .iter()
        .map(|of| (&*of.name, of.all.entries, of.all.value_bytes))
        .collect();
    assert_eq!(names, [("runs", 1_000, value_bytes), ("", 1, 20_000)]);
    assert_eq!(analysis.hit_ratio, Some(10.0 / 11.0));
    // A minute old, and just put; half a minute left, and a week.
    let bar = |bars: &[aqe_memory::HistogramBar], most: u64| {
        bars.iter()
            .find(|bar| bar.up_to_ms == Some(most))
            .unwrap()
            .entries
    };
    assert_eq!(
        (bar(&analysis.ages, 60_000), bar(&analysis.ages, 1_000)),
        (1_000, 1)
    );
    assert_eq!(
        (
            bar(&analysis.remaining, 60_000),
            bar(&analysis.remaining, 7 * 86_400_000)
        ),
        (1_000, 1)
    );
    assert!(
        analysis
            .largest
            .windows(2)
            .all(|two| two[0].bytes >= two[1].bytes)
    );
    assert_eq!(analysis.largest.len(), 20);
    assert_eq!(analysis.expired_entries, 0);

    clock.advance(Duration::from_secs(30));
    let analysis = store.analyze();
    assert_eq!(analysis.expired_entries, 1_000);
    let rates = analysis.trends.rates.unwrap();
    assert_eq!(rates.over_ms, 90_000);
    assert!(
        (rates.puts_per_hour - 1_001.0 * 40.0).abs() < 1e-6,
        "{rates:?}"
    );
}

#[test]
fn a_healthy_store_has_nothing_wrong_and_sites_add_up() {
    let clock = ManualClock::new();
    let store = Store::with_clock(small(), &clock).unwrap();
    put(&store, 0..1_000);
    let diagnosis = store.diagnose();
    assert_eq!(diagnosis.findings, []);
    assert_eq!(
        diagnosis.sites.iter().map(|site| site.entries).sum::<u64>(),
        1_000
    );
    assert!(
        diagnosis
            .sites
            .iter()
            .all(|site| site.tier != EntryTier::Disk)
    );
    #[cfg(target_os = "linux")]
    assert!(diagnosis.process.unwrap().resident_bytes > store.stats().resident_bytes);
}

#[test]
fn damage_is_found_by_name() {
    let clock = ManualClock::new();
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open_with_clock(folder.path(), small(), &clock).unwrap();
    put(&store, 0..200);
    drop(store);
    let mut files: Vec<_> = std::fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|it| it == "seg"))
        .collect();
    files.sort();
    let mut bytes = std::fs::read(&files[0]).unwrap();
    bytes[300] ^= 0x55;
    std::fs::write(&files[0], bytes).unwrap();

    let store = Store::open_with_clock(folder.path(), small(), &clock).unwrap();
    let diagnosis = store.diagnose();
    let found = &diagnosis.findings[0];
    assert_eq!(
        (found.problem, found.severity),
        (Problem::Damage, Severity::Critical)
    );
    assert_eq!(
        found.place.as_deref(),
        Some(&*files[0].display().to_string())
    );
    assert!(found.value > found.threshold);
    // What is damaged is left for whoever wants to look at it.
    store.optimize(Optimize::Aggressive);
    store.cleanup_with(Cleanup::Aggressive);
    assert!(files[0].exists());
    assert_eq!(store.stats().entries, 199);
}

#[test]
fn values_that_are_held_and_churn_are_found() {
    let clock = ManualClock::new();
    let store = Store::with_clock(MemoryConfig::default().max_size(2 << 20), &clock).unwrap();
    let mut held = Vec::new();
    for number in 0..20_000u64 {
        // Nothing of it can be made smaller.
        let value: Vec<_> = (0..60)
            .flat_map(|at| {
                (number * 61 + at)
                    .wrapping_mul(0x9E37_79B9_7F4A_7C15)
                    .to_le_bytes()
            })
            .collect();
        store.put(&key(number), &value).unwrap();
        if number % 50 == 0 {
            held.extend(store.get(&key(number)));
        }
        clock.advance(Duration::from_millis(10));
    }
    let problems: Vec<_> = store
        .diagnose()
        .findings
        .iter()
        .map(|found| found.problem)
        .collect();
    assert!(problems.contains(&Problem::EvictionChurn), "{problems:?}");
    assert!(problems.contains(&Problem::HeldByReaders), "{problems:?}");
    drop(held);
    let problems: Vec<_> = store
        .diagnose()
        .findings
        .iter()
        .map(|found| found.problem)
        .collect();
    assert!(!problems.contains(&Problem::HeldByReaders), "{problems:?}");
}

#[test]
fn a_long_life_is_not_prolonged_by_moving_it_about() {
    let clock = ManualClock::new();
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open_with_clock(folder.path(), small(), &clock).unwrap();
    // Beyond 24 days, lives are counted in seconds.
    let life = Duration::from_secs(30 * 86_400);
    clock.advance(Duration::from_millis(1));
    store.put_for(b"kept", b"value", life).unwrap();
    for _ in 0..5 {
        clock.advance(Duration::from_millis(1_700));
        store.put(b"dead", b"value").unwrap();
        store.remove(b"dead").unwrap();
        store.optimize(Optimize::Aggressive);
        assert!(store.contains(b"kept"));
    }
    clock.advance(life - Duration::from_millis(5 * 1_700 + 1));
    assert!(store.contains(b"kept"), "a millisecond is left");
    // Up to the next whole second, once.
    clock.advance(Duration::from_secs(1));
    assert!(!store.contains(b"kept"));
}

#[test]
fn thresholds_that_are_none_are_refused() {
    let refused = |config: MemoryConfig| Store::new(config).unwrap_err().to_string();
    let config = MemoryConfig::default;
    assert!(refused(config().gc_threshold(0)).contains("`gc_threshold` is 0"));
    assert!(refused(config().gc_threshold(101)).contains("make it 1 to 100"));
    assert!(refused(config().pressure_threshold(101)).contains("`pressure_threshold` is 101"));
    assert!(refused(config().cleanup_interval(Duration::ZERO)).contains("`cleanup_interval`"));
    assert!(Store::new(config().pressure_threshold(None)).is_ok());
}
