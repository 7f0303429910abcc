//! What a program relies on when it is monitored: the engine's parts are counted as they count themselves, every tick is
//! in the history, and nothing that goes wrong there stops anything. Clocks stand still until a test moves them.

#![cfg(feature = "monitor")]
#![expect(clippy::unwrap_used, reason = "helpers of tests may fail the test")]

use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

use aqe_core::Monitor;
use aqe_core::monitor::registry::{Registry, Unit};
use aqe_core::monitor::sampler::{ManualClock, Readings};

/// What the text of a registry says of a series.
fn value_of(registry: &Registry, series: &str) -> f64 {
    let text = registry.to_openmetrics();
    let line = text.lines().find_map(|line| line.strip_prefix(series));
    let Some(value) = line else {
        panic!("no {series} in\n{text}")
    };
    value.trim().parse().unwrap()
}

#[test]
fn ticks_come_at_the_interval_and_one_more_at_the_end() {
    let clock = Arc::new(ManualClock::new());
    let (ticked, ticks) = mpsc::channel();
    let monitor = Monitor::builder()
        .interval(Duration::from_secs(5))
        .clock(Arc::clone(&clock) as _)
        .source("counter", move |_: &mut Readings| ticked.send(()).unwrap())
        .start();
    ticks.recv().unwrap();
    for _ in 0..3 {
        clock.advance(Duration::from_secs(5));
        ticks.recv().unwrap();
    }
    // What is asked for in between does not move the beat.
    clock.advance(Duration::from_secs(2));
    assert_eq!(monitor.tick().unwrap().number, 4);
    ticks.recv().unwrap();
    clock.advance(Duration::from_secs(3));
    ticks.recv().unwrap();
    monitor.stop();
    ticks.recv().unwrap();
    assert_eq!(monitor.latest().unwrap().number, 6);
    assert!(ticks.recv().is_err(), "the source is gone with the thread");
    assert!(monitor.tick().is_none());
    monitor.stop();
}

#[test]
fn ticks_that_were_missed_are_counted_and_not_made_up_for() {
    let clock = Arc::new(ManualClock::new());
    let monitor = Monitor::builder()
        .interval(Duration::from_secs(5))
        .clock(Arc::clone(&clock) as _)
        .start();
    assert!(monitor.tick().is_some());
    clock.advance(Duration::from_secs(5 * 4 + 1));
    // Taken by the thread itself or for the asking, whichever comes first: the first of them is on the beat.
    assert!(monitor.tick().is_some());
    assert_eq!(
        value_of(monitor.registry(), "aqe_monitor_ticks_skipped_total"),
        3.0
    );
    monitor.stop();
}

#[test]
fn a_source_that_panics_is_dropped_and_told_of_and_the_others_go_on() {
    let monitor = Monitor::builder()
        .clock(Arc::new(ManualClock::new()))
        .source("bad", |_: &mut Readings| panic!("on purpose"))
        .source("good", |readings: &mut Readings| {
            readings.push("good", Unit::None, 1.0);
        })
        .start();
    for _ in 0..3 {
        assert_eq!(monitor.tick().unwrap().reading("good"), Some(1.0));
    }
    monitor.stop();
    let problems = monitor.problems();
    assert_eq!((problems.len(), monitor.problem_count()), (1, 1));
    assert_eq!(
        problems[0].what,
        "source `bad` has panicked, and is not asked again"
    );
}

#[test]
fn listeners_hear_every_tick_and_one_that_panics_hears_no_more() {
    let (heard, ticks) = mpsc::channel();
    let monitor = Monitor::builder()
        .clock(Arc::new(ManualClock::new()))
        .on_tick(|tick| assert!(tick.number < 1, "wanted by this test"))
        .on_tick(move |tick| heard.send(tick.number).unwrap())
        .start();
    for _ in 0..2 {
        assert!(monitor.tick().is_some());
    }
    monitor.stop();
    let last = monitor.latest().unwrap().number;
    assert!(ticks.iter().eq(0..=last));
    let problems = monitor.problems();
    assert_eq!((problems.len(), problems[0].times), (1, 1));
    assert!(
        problems[0]
            .what
            .starts_with("a listener to ticks has panicked")
    );
}

#[test]
fn a_registry_of_ones_own_is_used_and_a_name_that_is_taken_stops_nothing() {
    let registry = Registry::new();
    // Ours is a counter.
    registry.gauge("aqe_monitor_problems").unwrap().set(7.0);
    let monitor = Monitor::builder()
        .registry(registry.clone())
        .clock(Arc::new(ManualClock::new()))
        .start();
    assert!(monitor.tick().is_some());
    assert_eq!(value_of(&registry, "aqe_monitor_problems"), 7.0);
    assert_eq!(monitor.problem_count(), 1);
    assert!(monitor.problems()[0].what.contains("clashes"));
}

#[cfg(feature = "memory")]
#[test]
fn a_store_is_shown_as_it_counts_itself() {
    use aqe_core::memory::{MemoryConfig, Store};

    let monitor = Monitor::builder()
        .clock(Arc::new(ManualClock::new()))
        .start();
    let store = Store::new(MemoryConfig::default()).unwrap();
    monitor.watch_store("cache", &store);
    store.put(b"a", b"value").unwrap();
    assert!(store.get(b"a").is_some() && store.get(b"b").is_none());
    assert!(monitor.tick().is_some());
    let registry = monitor.registry();
    for (series, value) in [
        ("aqe_memory_entries{store=\"cache\"}", 1.0),
        ("aqe_memory_puts_total{store=\"cache\"}", 1.0),
        ("aqe_memory_reads_total{found=\"yes\",store=\"cache\"}", 1.0),
        ("aqe_memory_reads_total{found=\"no\",store=\"cache\"}", 1.0),
    ] {
        assert_eq!(value_of(registry, series), value, "{series}");
    }
    assert!(value_of(registry, "aqe_memory_resident_bytes{store=\"cache\"}") > 0.0);
    monitor.stop();
}

#[cfg(all(feature = "batch", feature = "queue"))]
mod engine {
    use std::convert::Infallible;
    use std::future::pending;

    use aqe_core::queue::CancelReason;
    use aqe_core::{Config, Engine, OperationError, RetryPolicy};

    use super::*;

    const GRACE: Duration = Duration::from_secs(60);

    fn config(text: &str) -> Config {
        Config::parse(text, "qe.config.yaml").unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn the_engines_parts_are_shown_as_they_count_themselves() {
        let engine = Engine::builder()
            .config(config("monitoring: {interval: 1h}\n"))
            .monitor(|monitor| monitor.clock(Arc::new(ManualClock::new())))
            .build()
            .unwrap();
        let queue = engine.queue();
        for _ in 0..10 {
            let takes_a_while = async {
                tokio::time::sleep(Duration::from_secs(20)).await;
                Ok::<_, Infallible>(())
            };
            queue
                .future(takes_a_while)
                .submit()
                .await
                .unwrap()
                .await
                .unwrap();
        }
        let fails = queue.operation(|_| async { Err::<(), _>("always") });
        let retry = RetryPolicy::fixed(2, Duration::from_secs(1));
        let fails = fails.retry(retry).submit().await.unwrap().await;
        assert!(fails.is_err());
        let job = engine.batch().job("count");
        let job = job.progress(engine.monitor().unwrap().batch_progress("count"));
        job.run(0..7_u32, |_, _| async { Ok::<_, Infallible>(()) })
            .await
            .unwrap();
        let hangs = queue.future(pending::<Result<(), Infallible>>());
        let hangs = hangs.submit().await.unwrap();
        // Until it runs.
        tokio::time::sleep(Duration::from_millis(1)).await;

        let monitor = engine.monitor().unwrap();
        assert_eq!(monitor.interval(), Duration::from_secs(3_600));
        let registry = monitor.registry().clone();
        let look = engine.clone();
        let ticked = tokio::task::spawn_blocking(move || look.monitor().unwrap().tick().is_some());
        assert!(ticked.await.unwrap());
        for (series, value) in [
            ("aqe_queue_running{queue=\"engine\"}", 1.0),
            ("aqe_queue_submitted_total{queue=\"engine\"}", 12.0),
            ("aqe_queue_retries_total{queue=\"engine\"}", 2.0),
            (
                "aqe_queue_operations_total{outcome=\"completed\",queue=\"engine\"}",
                10.0,
            ),
            (
                "aqe_queue_operations_total{outcome=\"failed\",queue=\"engine\"}",
                1.0,
            ),
            ("aqe_queue_run_seconds_count{queue=\"engine\"}", 11.0),
            ("aqe_batch_runs{processor=\"engine\"}", 0.0),
            ("aqe_batch_items_done{job=\"count\"}", 7.0),
        ] {
            assert_eq!(value_of(&registry, series), value, "{series}");
        }
        let ran = value_of(&registry, "aqe_queue_run_seconds_sum{queue=\"engine\"}");
        assert!((ran / 200.0 - 1.0).abs() < 1.0 / 32.0, "{ran}");

        assert!(hangs.cancel());
        engine.shutdown(GRACE).await;
        // The last tick has seen the end.
        assert_eq!(
            value_of(&registry, "aqe_queue_running{queue=\"engine\"}"),
            0.0
        );
        assert_eq!(
            value_of(
                &registry,
                "aqe_queue_operations_total{outcome=\"cancelled\",queue=\"engine\"}"
            ),
            1.0
        );
        assert_eq!(engine.monitor().unwrap().problems(), []);
    }

    #[tokio::test]
    async fn without_monitoring_there_is_none() {
        let off = Engine::new(config("monitoring: {enabled: false}\n")).unwrap();
        assert!(off.monitor().is_none());
        off.shutdown(GRACE).await;
        let off = Engine::builder().without_monitor();
        let off = off
            .monitor(|_| panic!("nothing is set up"))
            .build()
            .unwrap();
        assert!(off.monitor().is_none());
    }

    /// The monitor looks at the queue, and must not keep it open.
    #[tokio::test]
    async fn the_queue_closes_with_the_engines_last_handle() {
        let (saw, seen) = mpsc::channel();
        let engine = Engine::builder()
            .monitor(|monitor| {
                monitor.source("end", move |_: &mut Readings| {
                    saw.send(()).unwrap();
                })
            })
            .build()
            .unwrap();
        let paused = engine.queue().future(pending::<Result<(), Infallible>>());
        engine.queue().pause();
        let waits = paused.submit().await.unwrap();
        drop(engine);
        // A queue that stays open would keep it waiting for ever.
        let ended = tokio::time::timeout(GRACE, waits).await.unwrap();
        assert!(matches!(
            ended,
            Err(OperationError::Cancelled {
                reason: CancelReason::Shutdown,
                ..
            })
        ));
        // The thread ends by itself, and drops its sources.
        let last = tokio::task::spawn_blocking(move || seen.iter().count());
        assert!(last.await.unwrap() > 0);
    }
}

#[cfg(feature = "monitor-history")]
mod history {
    use std::path::Path;

    use aqe_core::monitor::history::{
        Buckets, History, HistoryConfig, HistoryReader, Kind, SeriesInfo, Timestamp,
    };
    use aqe_core::monitor::registry::{HistogramSnapshot, Metric};

    use super::*;

    const ALWAYS: std::ops::Range<Timestamp> = Timestamp::MIN..Timestamp::MAX;

    fn only(reader: &HistoryReader, name: &str) -> SeriesInfo {
        let mut found = reader.series_named(name).unwrap();
        assert_eq!(found.len(), 1, "{name}");
        found.remove(0)
    }

    fn samples(path: &Path, name: &str) -> Vec<f64> {
        let reader = HistoryReader::open(path).unwrap();
        let series = only(&reader, name);
        let found = reader.samples(series.id, ALWAYS, 1_000).unwrap();
        found.samples.iter().map(|sample| sample.value).collect()
    }

    /// All that the history has of a histogram.
    fn kept(path: &Path, name: &str) -> Buckets {
        let reader = HistoryReader::open(path).unwrap();
        let series = only(&reader, name);
        assert_eq!(
            (series.kind, &*series.unit),
            (Kind::Histogram, "nanoseconds")
        );
        let found = reader.histogram(series.id, ALWAYS, 1).unwrap();
        found.points[0].buckets.clone()
    }

    /// The same buckets, as the registry has them.
    fn recorded(snapshot: &HistogramSnapshot) -> Vec<(u32, u64)> {
        let buckets = snapshot.buckets();
        buckets
            .map(|bucket| (u32::from(bucket.index), bucket.count))
            .collect()
    }

    #[test]
    fn every_tick_is_kept_as_the_registry_and_the_sources_say() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("monitor.db");
        let clock = Arc::new(ManualClock::new());
        let monitor = Monitor::builder()
            .clock(Arc::clone(&clock) as _)
            .history(&path)
            .source("pool", |readings: &mut Readings| {
                readings.push("pool_size", Unit::None, 4.0);
            })
            .start();
        let registry = monitor.registry();
        let jobs = registry.counters("jobs_total").unwrap();
        let depth = registry.gauge("depth").unwrap();
        let took = registry.histogram(Metric::new("job_seconds").unit(Unit::Seconds));
        let took = took.unwrap();
        assert!(monitor.tick().is_some());
        for round in 1..=5_u32 {
            jobs.with(&[("kind", "a\"b")]).add(u64::from(round));
            depth.set(f64::from(round));
            for _ in 0..round {
                took.record_duration(Duration::from_millis(u64::from(round) * 10));
            }
            clock.advance(Duration::from_secs(1));
            assert!(monitor.tick().is_some());
        }
        monitor.stop();
        assert_eq!(monitor.problems(), []);

        let totals = samples(&path, "jobs_total");
        assert_eq!(totals[..5], [1.0, 3.0, 6.0, 10.0, 15.0]);
        assert_eq!(samples(&path, "depth").last(), Some(&5.0));
        assert!(samples(&path, "pool_size").iter().all(|size| *size == 4.0));
        let reader = HistoryReader::open(&path).unwrap();
        let jobs = only(&reader, "jobs_total");
        assert_eq!(jobs.kind, Kind::Counter);
        assert_eq!(jobs.key.labels(), [("kind".to_owned(), "a\"b".to_owned())]);
        let kept = kept(&path, "job_seconds");
        let all = took.snapshot();
        assert_eq!(kept.counts(), recorded(&all));
        assert_eq!(kept.sum(), all.sum() as f64);
        #[cfg(target_os = "linux")]
        assert!(samples(&path, "process_resident_bytes")[0] > 0.0);
    }

    /// Two programs, one file: the second goes on without, and has it when the first has ended.
    #[test]
    fn a_history_that_is_in_use_is_taken_when_it_is_free_and_nothing_is_missing_then() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("monitor.db");
        let other = History::open(&path, HistoryConfig::default()).unwrap();
        let monitor = Monitor::builder()
            .clock(Arc::new(ManualClock::new()))
            .interval(Duration::from_secs(3_600))
            .history(&path)
            .start();
        let took = Metric::new("job_seconds").unit(Unit::Seconds);
        let took = monitor.registry().histogram(took).unwrap();
        let run = monitor.run("suite").begin();
        took.record(1_000);
        assert!(monitor.tick().is_some());
        drop(other);
        took.record(5_000);
        run.result("tests", 2.0);
        run.end();
        monitor.stop();

        let problems = monitor.problems();
        assert_eq!(problems.len(), 1, "{problems:?}");
        let process = format!("process {}", std::process::id());
        assert!(problems[0].what.contains(&process), "{problems:?}");
        assert_eq!(kept(&path, "job_seconds").count(), 2);
        let reader = HistoryReader::open(&path).unwrap();
        let results = reader.results("suite", None, "tests").unwrap();
        assert_eq!(results[0].value, 2.0);
        assert!(results[0].run.ended.is_some());
    }

    #[test]
    fn a_history_that_cannot_be_is_a_problem_and_nothing_more() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("nowhere/monitor.db");
        let monitor = Monitor::builder()
            .clock(Arc::new(ManualClock::new()))
            .history(&path)
            .start();
        assert!(monitor.tick().is_some());
        monitor.stop();
        let problems = monitor.problems();
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(problems[0].times >= 2 && problems[0].what.contains("monitor.db"));
        assert!(!path.exists());
    }

    #[test]
    fn series_beyond_the_bound_are_told_of_and_the_others_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("monitor.db");
        let monitor = Monitor::builder()
            .clock(Arc::new(ManualClock::new()))
            .parts(aqe_core::monitor::sampler::Parts::basic())
            .history(&path)
            .history_config(|config| config.max_series(100))
            .start();
        let family = monitor.registry().gauges("many").unwrap();
        for number in 0..200 {
            family.with(&[("number", number.to_string())]).set(1.0);
        }
        for _ in 0..3 {
            assert!(monitor.tick().is_some());
        }
        monitor.stop();
        let reader = HistoryReader::open(&path).unwrap();
        assert_eq!(reader.series().unwrap().len(), 100);
        // Each series that is refused is asked for once, not at each tick.
        assert!((100..200).contains(&monitor.problem_count()));
        assert_eq!(monitor.problems().len(), 1, "{:?}", monitor.problems());
    }

    #[test]
    fn a_damaged_history_is_set_aside_and_told_of() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("monitor.db");
        drop(History::open(&path, HistoryConfig::default()).unwrap());
        let mut bytes = std::fs::read(&path).unwrap();
        let last = bytes.len() - 3_000;
        bytes[200..last].fill(0xA5);
        std::fs::write(&path, bytes).unwrap();
        let monitor = Monitor::builder()
            .clock(Arc::new(ManualClock::new()))
            .history(&path)
            .start();
        monitor.stop();
        let problems = monitor.problems();
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(problems[0].what.contains(".damaged-"), "{problems:?}");
        assert!(HistoryReader::open(&path).is_ok());
    }
}
