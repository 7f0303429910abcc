//! What a program relies on when the items of a run go through the queue: retries, timeouts and limits are the queue's,
//! results, checkpoints and the count of errors the run's, and neither outlives the other. Time is paused, so that minutes
//! pass at once and to the millisecond.

#![cfg(all(feature = "batch", feature = "queue"))]
#![allow(
    clippy::unwrap_used,
    reason = "a panic fails the test, helpers included"
)]

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aqe_core::batch::{BatchError, CancelToken, FailedItem, ItemError, Stopped};
use aqe_core::queue::config::Overflow;
use aqe_core::queue::{
    CancelReason, ErrorLimit, ErrorThreshold, KeyLimits, OnDrop, ThresholdAction,
};
use aqe_core::{
    BatchReport, Checkpoint, Config, Engine, EngineBuilder, OperationError, Priority, RetryPolicy,
};
use tokio::time::{Instant, sleep};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

type Failed = OperationError<&'static str>;

/// An engine whose queue runs `concurrent` operations and repeats none, and whose runs have `window` items in flight.
fn engine(concurrent: usize, window: usize) -> EngineBuilder {
    let text = format!(
        "queue: {{maxConcurrent: {concurrent}, retryAttempts: 0, timeout: 1h}}\n\
         batch: {{chunkSize: {window}, concurrency: 1}}\nexecution: {{scheduling: priority}}\n"
    );
    let config = Config::parse(text, "qe.config.yaml").unwrap();
    Engine::builder()
        .config(config)
        .batch(|batch| batch.memory_threshold(None))
}

/// The items that failed, with what the queue said about them.
fn failed<T>(report: &BatchReport<T, Failed>) -> Vec<(u64, Failed)> {
    let of = |failed: &FailedItem<Failed>| match &failed.error {
        // The run makes one attempt, which is the whole operation.
        ItemError::Failed { error, attempts: 1 } => (failed.item, error.clone()),
        other => panic!("{other:?}"),
    };
    report.failed.iter().map(of).collect()
}

fn shutdown_stopped<T, E>(error: &BatchError<T, E>) -> bool {
    matches!(error.stopped(), Stopped::ByItem { reason, .. } if reason.contains("shut down"))
}

#[tokio::test(start_paused = true)]
async fn retries_are_the_queues_and_each_item_has_one_result() {
    let engine = engine(10, 20).build().unwrap();
    let times = Arc::new(Mutex::new(BTreeMap::<u64, Vec<u64>>::new()));
    let (seen, start) = (Arc::clone(&times), Instant::now());
    let operation = engine
        .through_queue()
        .retry(RetryPolicy::exponential(3, SECOND, 10 * SECOND))
        .retry_if(|error| *error != "404")
        .operation(move |item: u64, cx| {
            let (seen, at) = (Arc::clone(&seen), start.elapsed().as_secs());
            seen.lock().unwrap().entry(item).or_default().push(at);
            async move {
                match item {
                    3 if cx.attempt() < 4 => Err("503"),
                    5 => Err("503"),
                    7 => Err("404"),
                    _ => Ok(item * 10 + u64::from(cx.attempt())),
                }
            }
        });
    let report = engine.batch().job("retries").run(0..10, operation);
    let report = report.await.unwrap();

    let expected = [1, 11, 21, 34, 41, 61, 81, 91];
    assert_eq!(report.results.as_slice(), expected);
    let after = |error, attempts| OperationError::Failed { error, attempts };
    assert_eq!(
        failed(&report),
        [(5, after("503", 4)), (7, after("404", 1))]
    );
    let times = times.lock().unwrap();
    assert_eq!(
        (times[&3].as_slice(), times[&7].len()),
        (&[0, 1, 3, 7][..], 1)
    );
    assert_eq!(times[&5], times[&3]);
    let progress = &report.progress;
    assert_eq!(
        (progress.done, progress.failed, progress.retried),
        (10, 2, 6)
    );
    let status = engine.queue().status();
    assert_eq!((status.completed, status.failed, status.retried), (8, 2, 6));
}

#[tokio::test(start_paused = true)]
async fn an_item_that_waits_for_its_next_attempt_lets_another_start() {
    let engine = engine(10, 4).build().unwrap();
    let start = Instant::now();
    let operation = engine
        .through_queue()
        .retry(RetryPolicy::fixed(1, MINUTE))
        .operation(|item: u64, cx| async move {
            if cx.attempt() == 1 && item < 4 {
                return Err("not yet");
            }
            sleep(SECOND).await;
            Ok(())
        });
    // The first four wait for a minute. Meanwhile the others go on, four at a time.
    let report = engine.batch().job("rest").run(0..84, operation);
    assert_eq!(report.await.unwrap().results.len(), 84);
    assert_eq!(start.elapsed(), MINUTE + SECOND);
}

#[tokio::test(start_paused = true)]
async fn attempts_that_take_too_long_are_dropped_and_said_so() {
    let engine = engine(5, 10).build().unwrap();
    let operation = engine
        .through_queue()
        .timeout(2 * SECOND)
        .retry(RetryPolicy::fixed(1, SECOND))
        .operation(|item: u64, cx| async move {
            let slow = item == 1 || item == 2 && cx.attempt() == 1;
            sleep(if slow { MINUTE } else { SECOND }).await;
            Ok::<_, &str>(cx.attempt())
        });
    let start = Instant::now();
    let report = engine.batch().job("slow").run(0..4, operation);
    let report = report.await.unwrap();
    assert_eq!(report.results.as_slice(), [1, 2, 1]);
    let timed_out = OperationError::TimedOut {
        timeout: 2 * SECOND,
        attempts: 2,
    };
    assert_eq!(failed(&report), [(1, timed_out)]);
    assert_eq!(start.elapsed(), 5 * SECOND);
    assert_eq!(engine.queue().status().attempts_timed_out, 3);

    let operation = engine
        .through_queue()
        .deadline_in(3 * SECOND)
        .retry(RetryPolicy::fixed(9, SECOND))
        .operation(|_: u64, _| async { Err::<(), _>("503") });
    let report = engine.batch().job("late").run(0..1, operation);
    let exceeded = OperationError::DeadlineExceeded { attempts: 3 };
    assert_eq!(failed(&report.await.unwrap()), [(0, exceeded)]);
}

#[tokio::test(start_paused = true)]
async fn the_error_threshold_counts_items_and_not_attempts() {
    let engine = engine(1, 1)
        .batch(|batch| batch.error_threshold(2))
        .build()
        .unwrap();
    let started = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&started);
    let operation = engine
        .through_queue()
        .retry(RetryPolicy::fixed(4, SECOND))
        .operation(move |item: u64, _| {
            count.fetch_add(1, Ordering::Relaxed);
            async move { if item < 3 { Err("503") } else { Ok(()) } }
        });
    let error = engine.batch().job("threshold").run(0..100, operation);
    let error = error.await.unwrap_err();
    let stopped = error.stopped();
    assert!(matches!(stopped, Stopped::TooManyErrors { threshold: 2 }));
    let report = error.into_report();
    assert_eq!(report.failed.len(), 3);
    // While each rests, the next one has its place; none starts after the third has failed for good.
    let others = report.results.len();
    assert_eq!(started.load(Ordering::Relaxed), 3 * 5 + others);
    assert_eq!(engine.queue().status().pending, 0);
}

#[tokio::test(start_paused = true)]
async fn a_resumed_run_comes_to_what_an_uninterrupted_one_does() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("run.log");
    let starts = Arc::new(Mutex::new(Vec::new()));
    let run = |engine: &Engine, until: Option<u64>, token: &CancelToken| {
        let (starts, token) = (Arc::clone(&starts), token.clone());
        let cancel = token.clone();
        let operation = engine
            .through_queue()
            .retry(RetryPolicy::fixed(2, SECOND))
            .operation(move |item: u64, cx| {
                starts.lock().unwrap().push((item, cx.attempt()));
                if until == Some(item) {
                    cancel.cancel();
                }
                async move {
                    sleep(SECOND * u32::try_from(item % 3).unwrap()).await;
                    if item.is_multiple_of(5) && cx.attempt() == 1 {
                        return Err("503");
                    }
                    Ok(item * 2)
                }
            });
        let checkpoint = Checkpoint::file(&log);
        let job = engine.batch().job("resume").checkpoint(checkpoint);
        job.cancel(&token).run(0..200, operation)
    };
    let mut done = 0;
    for until in [37, 90, 151] {
        let engine = engine(7, 10).build().unwrap();
        let error = run(&engine, Some(until), &CancelToken::new()).await;
        let error = error.unwrap_err();
        assert!(matches!(error.stopped(), Stopped::Cancelled), "{error}");
        assert!(error.report().progress.done > done);
        done = error.report().progress.done;
        // Whatever was in the queue for the run is cancelled with it.
        engine.queue().idle().await;
    }
    let engine = engine(7, 10).build().unwrap();
    let report = run(&engine, None, &CancelToken::new()).await.unwrap();
    assert!(report.is_complete());
    assert_eq!(report.progress.restored, done);
    let expected: Vec<u64> = (0..200).map(|item| item * 2).collect();
    assert_eq!(report.results.into_vec(), expected);
    // Nothing that had ended was started again: three interruptions repeat what was in flight, twenty at most with those
    // that rested.
    let starts = starts.lock().unwrap();
    let firsts = starts.iter().filter(|(_, attempt)| *attempt == 1).count();
    assert!((200..=200 + 3 * 20).contains(&firsts), "{firsts}");
}

#[tokio::test(start_paused = true)]
async fn cancelling_or_dropping_a_run_leaves_nothing_in_the_queue() {
    for drops in [false, true] {
        let engine = engine(3, 10).build().unwrap();
        let alive = Arc::new(());
        let held = Arc::clone(&alive);
        let operation = engine
            .through_queue()
            .retry(RetryPolicy::fixed(3, MINUTE))
            .operation(move |item: u64, _| {
                let held = Arc::clone(&held);
                async move {
                    if item == 0 {
                        return Err("503");
                    }
                    sleep(MINUTE).await;
                    drop(held);
                    Ok(())
                }
            });
        let token = CancelToken::new();
        let job = engine.batch().job("cancel").cancel(&token);
        let run = tokio::spawn(job.run(0..100, operation));
        sleep(SECOND).await;
        let status = engine.queue().status();
        // Eleven: one of them waits for its retry, so that another has its place.
        assert_eq!((status.running, status.waiting_for_retry), (3, 1));
        assert_eq!(
            status.pending + status.running + status.waiting_for_retry,
            11
        );
        if drops {
            run.abort();
            assert!(run.await.unwrap_err().is_cancelled());
        } else {
            token.cancel();
            let error = run.await.unwrap().unwrap_err();
            assert!(matches!(error.stopped(), Stopped::Cancelled));
            assert_eq!(error.report().progress.done, 0);
        }
        let start = Instant::now();
        engine.queue().idle().await;
        assert_eq!(start.elapsed(), Duration::ZERO);
        let status = engine.queue().status();
        assert_eq!((status.cancelled, status.completed), (11, 0));
        assert_eq!(Arc::strong_count(&alive), 1, "bodies and run are gone");
    }
}

#[tokio::test(start_paused = true)]
async fn a_queue_that_ends_stops_the_run_and_another_engine_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let run = |engine: &Engine| {
        let operation = engine.through_queue().operation(|item: u64, _| async move {
            sleep(SECOND).await;
            Ok::<_, &str>(item)
        });
        let checkpoint = Checkpoint::file(folder.path().join("run.log"));
        let job = engine.batch().job("ends").checkpoint(checkpoint);
        tokio::spawn(job.run(0..1_000, operation))
    };
    let first = engine(5, 10)
        .batch(|batch| batch.error_threshold(None))
        .build()
        .unwrap();
    let running = run(&first);
    sleep(10 * SECOND + SECOND / 2).await;
    first.queue().shutdown(MINUTE).await;
    let error = running.await.unwrap().unwrap_err();
    assert!(shutdown_stopped(&error), "{error}");
    let report = error.into_report();
    // Ten rounds of five, and the five that had begun and were given the time. The rest was waiting, or came too late: no
    // item was burnt on a queue that is closed.
    assert_eq!(report.results.len(), 55);
    assert!(failed(&report).iter().all(|(_, error)| matches!(
        error,
        OperationError::Cancelled {
            reason: CancelReason::Shutdown,
            attempts: 0
        }
    )));
    assert!((1..=10).contains(&report.failed.len()));

    let second = engine(5, 10).build().unwrap();
    let report = run(&second).await.unwrap().unwrap();
    assert!(report.is_complete());
    assert_eq!(report.progress.restored, 55);
    assert_eq!(second.queue().status().completed, 945);
}

#[tokio::test(start_paused = true)]
async fn a_queue_that_is_cleared_or_gives_up_stops_the_run() {
    let threshold = ErrorThreshold::new(ErrorLimit::Count(3)).action(ThresholdAction::Abort);
    for (aborts, expected) in [(false, "cleared"), (true, "threshold")] {
        let engine = engine(2, 10)
            .queue(move |queue| queue.error_threshold(threshold))
            .batch(|batch| batch.error_threshold(None))
            .build()
            .unwrap();
        let operation = engine
            .through_queue()
            .operation(move |item: u64, _| async move {
                sleep(SECOND).await;
                if aborts && item >= 4 {
                    Err("503")
                } else {
                    Ok(())
                }
            });
        let run = tokio::spawn(engine.batch().job("gives up").run(0..100, operation));
        if !aborts {
            sleep(SECOND * 5 / 2).await;
            assert_eq!(engine.queue().clear(), 8);
        }
        let error = run.await.unwrap().unwrap_err();
        let Stopped::ByItem { reason, .. } = error.stopped() else {
            panic!("{error}");
        };
        assert!(reason.contains(expected), "{reason}");
        assert!(error.report().progress.done < 30);
    }
}

#[tokio::test(start_paused = true)]
async fn an_operation_that_is_cancelled_alone_fails_its_item_alone() {
    let engine = engine(2, 10).build().unwrap();
    let ids = Arc::new(Mutex::new(BTreeMap::new()));
    let seen = Arc::clone(&ids);
    let operation = engine.through_queue().operation(move |item: u64, cx| {
        seen.lock().unwrap().insert(item, cx.operation().id());
        async move {
            sleep(SECOND).await;
            Ok::<_, &str>(item)
        }
    });
    let run = tokio::spawn(engine.batch().job("one").run(0..6, operation));
    sleep(SECOND * 3 / 2).await;
    let third = ids.lock().unwrap()[&2];
    assert!(engine.queue().cancel(third));
    let report = run.await.unwrap().unwrap();
    assert_eq!(report.results.as_slice(), [0, 1, 3, 4, 5]);
    let cancelled = OperationError::Cancelled {
        reason: CancelReason::Asked,
        attempts: 1,
    };
    assert_eq!(failed(&report), [(2, cancelled)]);
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_makes_the_run_wait_and_loses_nothing() {
    let engine = engine(2, 50)
        .queue(|queue| queue.capacity(3))
        .build()
        .unwrap();
    let most = Arc::new(AtomicUsize::new(0));
    let (deepest, queue) = (Arc::clone(&most), engine.queue().clone());
    let operation = engine.through_queue().operation(move |item: u64, _| {
        let (deepest, queue) = (Arc::clone(&deepest), queue.clone());
        async move {
            sleep(SECOND).await;
            deepest.fetch_max(queue.status().pending, Ordering::Relaxed);
            Ok::<_, &str>(item)
        }
    });
    let run = tokio::spawn(engine.batch().job("full").run(0..101, operation));
    sleep(SECOND / 2).await;
    let status = engine.queue().status();
    assert_eq!((status.running, status.pending), (2, 3));
    let report = run.await.unwrap().unwrap();
    let expected: Vec<u64> = (0..101).collect();
    assert_eq!(report.results.into_vec(), expected);
    assert_eq!(report.progress.elapsed.as_secs(), 51);
    assert_eq!(most.load(Ordering::Relaxed), 3);

    // One that is told to reject does so, and the items say it.
    let engine = engine_that(Overflow::Reject);
    let operation = engine.through_queue().operation(|_: u64, _| async {
        sleep(SECOND).await;
        Ok::<_, &str>(())
    });
    let report = engine.batch().job("reject").run(0..10, operation);
    let report = report.await.unwrap();
    let full = OperationError::Refused {
        reason: "queue is full".to_owned(),
    };
    assert!(report.failed.len() > 3);
    assert!(failed(&report).iter().all(|(_, error)| *error == full));
    assert_eq!(report.results.len() + report.failed.len(), 10);
}

fn engine_that(overflow: Overflow) -> Engine {
    engine(2, 10)
        .queue(move |queue| queue.capacity(3).overflow(overflow))
        .batch(|batch| batch.error_threshold(None))
        .build()
        .unwrap()
}

#[tokio::test(start_paused = true)]
async fn an_item_that_is_shed_comes_back() {
    let engine = engine_that(Overflow::ShedLowest);
    let operation = engine
        .through_queue()
        .priority(Priority::Background)
        .operation(|item: u64, _| async move {
            sleep(SECOND).await;
            Ok::<_, &str>(item)
        });
    let run = tokio::spawn(engine.batch().job("shed").run(0..20, operation));
    sleep(SECOND / 2).await;
    for _ in 0..5 {
        let urgent = async {
            sleep(SECOND).await;
            Ok::<_, ()>(())
        };
        let urgent = engine.queue().future(urgent).priority(Priority::Critical);
        urgent
            .on_drop(OnDrop::Detach)
            .submit()
            .await
            .unwrap()
            .detach();
    }
    let report = run.await.unwrap().unwrap();
    assert!(report.is_complete());
    let expected: Vec<u64> = (0..20).collect();
    assert_eq!(report.results.into_vec(), expected);
    assert!(engine.queue().status().shed >= 3);
}

#[tokio::test(start_paused = true)]
async fn urgency_and_keys_of_items_are_the_queues() {
    let engine = engine(4, 40)
        .queue(|queue| queue.keys(KeyLimits::default().max_concurrent(1)))
        .build()
        .unwrap();
    let order = Arc::new(Mutex::new(Vec::new()));
    let starts = Arc::clone(&order);
    let operation = engine
        .through_queue()
        .key(|item: &u64| format!("host {}", item % 2))
        .priority_of(|item| {
            if *item >= 30 {
                Priority::High
            } else {
                Priority::Low
            }
        })
        .operation(move |item, _| {
            starts.lock().unwrap().push(item);
            async move {
                sleep(SECOND).await;
                Ok::<_, &str>(item)
            }
        });
    let report = engine.batch().job("keys").run(0..40, operation);
    let report = report.await.unwrap();
    // Two hosts, one at a time each.
    assert_eq!(report.progress.elapsed.as_secs(), 20);
    let order = order.lock().unwrap();
    assert!(order[..10].iter().all(|item| *item >= 30), "{order:?}");
    // The results are in the order of the items all the same.
    assert!(report.results.as_slice().is_sorted());
}

#[tokio::test(start_paused = true)]
async fn panics_skips_and_streams_are_as_without_a_queue() {
    let engine = engine(4, 10).build().unwrap();
    let operation = engine
        .through_queue()
        .operation(|item: u64, cx| async move {
            cx.item().add_bytes(100);
            sleep(SECOND * u32::try_from(7 - item % 7).unwrap()).await;
            match item {
                11 => panic!("a defect"),
                12 => Err("left out"),
                _ => Ok(item),
            }
        });
    let job = engine.batch().job("stream").on_error(|error: &Failed, _| {
        use aqe_core::batch::Decision;
        match error {
            OperationError::Failed { .. } => Decision::Skip,
            _ => Decision::Fail,
        }
    });
    let stream = job.stream(0..20, operation).await.unwrap();
    let mut stream = stream.ordered();
    let mut items = Vec::new();
    while let Some(outcome) = stream.next().await {
        match outcome.result {
            Ok(value) => assert_eq!(value, outcome.item),
            Err(ItemError::Failed { error, .. }) => {
                let message = "a defect".to_owned();
                let attempts = 1;
                assert_eq!(error, OperationError::Panicked { message, attempts });
            }
            Err(error) => assert_eq!(error.to_string(), "skipped after 1 attempt(s)"),
        }
        items.push(outcome.item);
    }
    assert!(items.iter().copied().eq(0..20));
    let progress = stream.finish().await.unwrap().progress;
    assert_eq!(
        (progress.failed, progress.skipped, progress.bytes),
        (1, 1, 2_000)
    );
}
