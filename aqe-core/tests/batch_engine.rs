//! What a program relies on when its runs are those of an engine: the configuration is the one they work by, and the end
//! of the engine is their end, in good order. Time is paused.

#![cfg(all(feature = "batch", feature = "queue"))]
#![allow(
    clippy::unwrap_used,
    reason = "a panic fails the test, helpers included"
)]

use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::task::Poll;
use std::time::Duration;

use aqe_core::batch::{ConfigError, Stopped};
use aqe_core::{Checkpoint, Config, Engine, Error, SubmitError};
use tokio::time::{Instant, sleep};

const SECOND: Duration = Duration::from_secs(1);
const GRACE: Duration = Duration::from_secs(60);

fn engine(text: &str) -> Engine {
    let config = Config::parse(text, "qe.config.yaml").unwrap();
    let builder = Engine::builder().config(config);
    builder
        .batch(|batch| batch.memory_threshold(None))
        .build()
        .unwrap()
}

#[tokio::test(start_paused = true)]
async fn section_batch_of_the_file_is_what_runs_work_by() {
    let engine = engine("batch: {chunkSize: 3, concurrency: 2, errorThreshold: 1}\n");
    let start = Instant::now();
    let wait = |item: u64, _| async move {
        sleep(SECOND).await;
        if item % 10 == 9 { Err(item) } else { Ok(()) }
    };
    let error = engine.batch().job("six at once").run_each(0..60, wait);
    let error = error.await.unwrap_err();
    assert!(matches!(
        error.stopped(),
        Stopped::TooManyErrors { threshold: 1 }
    ));
    // Items 9 and 19 are in the second and in the fourth round of six.
    assert_eq!(start.elapsed(), 4 * SECOND);
    assert_eq!(error.report().progress.done, 24);
}

#[tokio::test]
async fn settings_that_cannot_work_are_told_when_the_engine_is_built() {
    let builder = Engine::builder().batch(|batch| batch.concurrency(0));
    let error = builder.build().unwrap_err();
    let Error::Batch(ConfigError::OutOfRange { field, .. }) = error else {
        panic!("{error}");
    };
    assert_eq!(field, "concurrency");
    // The later change has the last word.
    let builder = Engine::builder().batch(|batch| batch.chunk_size(0));
    let engine = builder.batch(|batch| batch.chunk_size(9)).build().unwrap();
    assert_eq!(engine.batch().config().chunk_size, 9);
}

#[tokio::test(start_paused = true)]
async fn a_run_that_ends_within_the_grace_is_whole_and_the_queue_serves_it_until_then() {
    let engine = engine("queue: {maxConcurrent: 2}\nbatch: {chunkSize: 10, concurrency: 1}\n");
    let operation = engine.through_queue().operation(|item: u64, _| async move {
        sleep(SECOND).await;
        Ok::<_, ()>(item)
    });
    let run = tokio::spawn(engine.batch().job("whole").run(0..100, operation));
    sleep(SECOND / 2).await;
    // Somebody has paused it, which would hold up the run for ever.
    engine.queue().pause();
    let start = Instant::now();
    let report = engine.shutdown(GRACE).await;
    assert!(report.cut.is_empty());
    assert_eq!(report.elapsed, start.elapsed());
    assert_eq!(start.elapsed(), 50 * SECOND - SECOND / 2);
    assert_eq!(run.await.unwrap().unwrap().results.len(), 100);
    let refused = engine.queue().future(async { Ok::<_, ()>(()) }).submit();
    assert!(matches!(refused.await, Err(SubmitError::Closed(_))));
}

#[tokio::test(start_paused = true)]
async fn a_run_that_does_not_end_within_the_grace_is_ended_and_goes_on_later() {
    let folder = tempfile::tempdir().unwrap();
    let text = "queue: {maxConcurrent: 2}\nbatch: {chunkSize: 10, concurrency: 1, checkpointInterval: 1000}\n";
    let started = Arc::new(AtomicU64::new(0));
    let run = |engine: &Engine| {
        let started = Arc::clone(&started);
        let operation = engine.through_queue().operation(move |item: u64, _| {
            started.fetch_add(1, Ordering::Relaxed);
            async move {
                sleep(SECOND).await;
                Ok::<_, ()>(item + 1)
            }
        });
        let checkpoint = Checkpoint::file(folder.path().join("run.log"));
        let job = engine.batch().job("long").checkpoint(checkpoint);
        tokio::spawn(job.run(0..1_000, operation))
    };
    let first = engine(text);
    let running = run(&first);
    // An operation of somebody else's has the same grace.
    let other = first.queue().future(async {
        sleep(30 * SECOND).await;
        Ok::<_, ()>(())
    });
    let other = other.submit().await.unwrap();
    sleep(SECOND / 2).await;
    let start = Instant::now();
    let report = first.shutdown(GRACE).await;
    assert_eq!(start.elapsed(), GRACE);
    assert!(
        report.cut.is_empty(),
        "what the run had queued went with it"
    );
    other.await.unwrap();
    let error = running.await.unwrap().unwrap_err();
    assert!(matches!(error.stopped(), Stopped::ShutDown), "{error}");
    let report = error.into_report();
    assert!(report.failed.is_empty());
    // One at a time for half a minute, then two.
    let done = report.progress.done;
    assert!((88..=92).contains(&done), "{done}");

    let second = engine(text);
    let report = run(&second).await.unwrap().unwrap();
    assert_eq!(report.progress.restored, done);
    assert!(report.is_complete() && report.results.iter().all(|(item, it)| *it == item + 1));
    // What was done was recorded, though the interval had not come; what ran when it was ended is all that ran twice.
    assert!(started.load(Ordering::Relaxed) <= 1_000 + 2);
}

/// On threads an item cannot be interrupted: the shutdown waits for it, and no other starts.
#[tokio::test]
async fn runs_on_threads_end_with_the_items_that_run() {
    let engine = engine("batch: {chunkSize: 1, concurrency: 1}\n");
    let (entered, enter) = mpsc::channel();
    let (leave, left) = mpsc::channel::<()>();
    let left = Mutex::new(left);
    let batch = engine.batch().clone();
    let run = std::thread::spawn(move || {
        batch.job("threads").for_each(0..100_u64, |item| {
            if *item == 3 {
                entered.send(()).unwrap();
                // Until the engine is shutting down.
                left.lock().unwrap().recv().unwrap_err();
            }
            Ok::<_, ()>(())
        })
    });
    enter.recv().unwrap();
    assert_eq!(engine.batch().running(), 1);
    // Its first poll ends the run; there is no grace.
    let mut shutdown = pin!(engine.shutdown(Duration::ZERO));
    assert!(poll_fn(|cx| Poll::Ready(shutdown.as_mut().poll(cx).is_pending())).await);
    assert!(engine.batch().is_closed());
    drop(leave);
    shutdown.await;
    assert_eq!(engine.batch().running(), 0);
    let error = run.join().unwrap().unwrap_err();
    assert!(matches!(error.stopped(), Stopped::ShutDown), "{error}");
    assert_eq!(error.report().progress.done, 4);
}
