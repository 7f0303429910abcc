//! Runs on the runtime: results, order, backpressure, errors, retries, panics, cancellation, drops, progress.

#![allow(
    clippy::unwrap_used,
    reason = "a panic fails the test, helpers included"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use aqe_batch::{
    BatchConfig, BatchProcessor, CancelToken, Decision, ItemError, RetryPolicy, Stopped,
    from_stream,
};
use futures_util::StreamExt;
use proptest::prelude::*;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep};

fn processor(config: BatchConfig) -> BatchProcessor {
    BatchProcessor::new(config.memory_threshold(None)).unwrap()
}

fn paused() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap()
}

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whatever the schedule, each item ends as it would have in a loop, and each outcome comes once.
    #[test]
    fn any_schedule_agrees_with_a_loop(
        pauses in prop::collection::vec(0_u64..4, 0..300),
        chunk in 1_usize..30, concurrency in 1_usize..6, form in 0..4, retries in 0_u32..2,
    ) {
        paused().block_on(async move {
            let config = BatchConfig::default().chunk_size(chunk).concurrency(concurrency).error_threshold(None)
                .retry(RetryPolicy::fixed(retries, ms(7)));
            let count = pauses.len() as u64;
            let expected: Vec<Result<u64, u64>> = (0..count)
                .map(|item| if item % 11 == 10 && retries == 0 { Err(item) } else { Ok(item * 3) })
                .collect();
            let operation = move |item: u64, cx: aqe_batch::ItemContext| {
                assert_eq!(item, cx.item());
                let pause = pauses[item as usize];
                async move {
                    if pause == 1 {
                        tokio::task::yield_now().await;
                    } else if pause > 1 {
                        sleep(ms(pause)).await;
                    }
                    if item % 11 == 10 && cx.attempt() == 1 { Err(item) } else { Ok(item * 3) }
                }
            };
            let job = processor(config).job("schedule");
            let mut found: Vec<Option<Result<u64, u64>>> = vec![None; count as usize];
            let mut put = |item: u64, result| assert_eq!(found[item as usize].replace(result), None);
            let unwrap = |error| match error {
                ItemError::Failed { error, .. } => error,
                other => panic!("{other:?}"),
            };
            match form {
                0 | 1 => {
                    let report = if form == 0 {
                        job.run(0..count, operation).await.unwrap()
                    } else {
                        let items = futures_util::stream::iter(0..count).then(|item| async move {
                            if item % 5 == 0 { sleep(ms(1)).await }
                            item
                        });
                        job.run(from_stream(items), operation).await.unwrap()
                    };
                    for failed in report.failed { put(failed.item, Err(unwrap(failed.error))) }
                    for (item, value) in report.results.iter() { put(item, Ok(*value)) }
                    assert_eq!(report.progress.done, count);
                    assert_eq!(report.progress.total, Some(count));
                }
                _ => {
                    let mut stream = job.stream(0..count, operation).await.unwrap();
                    if form == 3 { stream = stream.ordered() }
                    let mut next = 0;
                    while let Some(outcome) = stream.next().await {
                        if form == 3 { assert_eq!(outcome.item, next) }
                        next += 1;
                        put(outcome.item, outcome.result.map_err(unwrap));
                    }
                    assert_eq!(stream.finish().await.unwrap().progress.done, count);
                }
            }
            assert_eq!(found.into_iter().collect::<Option<Vec<_>>>().unwrap(), expected);
        });
    }
}

#[tokio::test(start_paused = true)]
async fn items_of_the_chunks_in_flight_run_side_by_side() {
    let config = BatchConfig::default().chunk_size(20).concurrency(5);
    let began = Instant::now();
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let counting = (Arc::clone(&now), Arc::clone(&most));
    let report = processor(config)
        .job("side by side")
        .run_each(0..1_000, move |_, _| {
            let (now, most) = counting.clone();
            async move {
                most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                sleep(ms(100)).await;
                now.fetch_sub(1, Ordering::SeqCst);
                Ok::<_, ()>(())
            }
        });
    report.await.unwrap();
    assert_eq!(most.load(Ordering::SeqCst), 100);
    assert_eq!(began.elapsed(), ms(1_000));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn items_run_on_several_threads() {
    // Two items that wait for each other, without yielding: only two threads can do that.
    let barrier = Arc::new(std::sync::Barrier::new(2));
    let config = BatchConfig::default().chunk_size(1).concurrency(2);
    let report = processor(config)
        .job("threads")
        .run_each(0..2, move |_, _| {
            let barrier = Arc::clone(&barrier);
            async move {
                barrier.wait();
                Ok::<_, ()>(())
            }
        });
    assert_eq!(report.await.unwrap().progress.done, 2);
}

#[tokio::test]
async fn no_item_starts_after_the_error_that_is_one_too_many() {
    for threshold in [0, 1, 5, 40] {
        let started = Arc::new(AtomicU64::new(0));
        let counting = Arc::clone(&started);
        let config = BatchConfig::default().error_threshold(threshold);
        let error = processor(config)
            .job("fail")
            .run(0_u64.., move |item, _| {
                counting.fetch_add(1, Ordering::SeqCst);
                async move { Err::<(), _>(item) }
            })
            .await
            .unwrap_err();
        assert_eq!(started.load(Ordering::SeqCst), threshold + 1);
        let items: Vec<u64> = error.report().failed.iter().map(|it| it.item).collect();
        assert_eq!(items, (0..=threshold).collect::<Vec<_>>());
    }
}

#[tokio::test(start_paused = true)]
async fn what_runs_when_there_are_too_many_errors_comes_to_its_end() {
    let config = BatchConfig::default()
        .error_threshold(0)
        .chunk_size(4)
        .concurrency(1);
    let operation = |item: u64, _| async move {
        sleep(ms(10 * (4 - item % 4))).await;
        if item == 3 { Err(item) } else { Ok(item) }
    };
    let error = processor(config)
        .job("late")
        .run(0..100, operation)
        .await
        .unwrap_err();
    // Item 3 ends first; 0, 1 and 2 were running.
    assert_eq!(error.report().results.as_slice(), [0, 1, 2]);
    assert_eq!(error.report().progress.done, 4);
}

#[tokio::test(start_paused = true)]
async fn retries_wait_and_end_with_the_run() {
    let config = BatchConfig::default().retry(RetryPolicy::exponential(3, ms(100), ms(1_000)));
    let began = Instant::now();
    let operation = |_: u64, cx: aqe_batch::ItemContext| async move {
        if cx.attempt() < 4 {
            Err("not yet")
        } else {
            Ok(cx.attempt())
        }
    };
    let report = processor(config.clone())
        .job("retry")
        .run(0..50, operation)
        .await
        .unwrap();
    assert_eq!(began.elapsed(), ms(100 + 200 + 400));
    assert_eq!((report.progress.retried, report.results.len()), (150, 50));

    // One item panics and is one too many; the other waits for its retry and is not kept waiting.
    let began = Instant::now();
    let operation = |item: u64, _| async move {
        sleep(ms(item * 10)).await;
        assert_eq!(item, 0, "broken");
        Err::<(), _>("later")
    };
    let error = processor(config.error_threshold(0))
        .job("retry")
        .run(0..2, operation);
    let report = error.await.unwrap_err().into_report();
    assert_eq!(began.elapsed(), ms(10));
    assert_eq!(report.failed.len(), 2);
    assert!(matches!(
        &report.failed[0].error,
        ItemError::Failed {
            error: "later",
            attempts: 1
        }
    ));
    assert!(matches!(
        &report.failed[1].error,
        ItemError::Panicked { .. }
    ));
}

#[tokio::test]
async fn items_that_panic_anywhere_fail_alone() {
    struct PanicsInDrop;
    impl Drop for PanicsInDrop {
        fn drop(&mut self) {
            panic!("in drop");
        }
    }
    fn operation(item: u64, _: aqe_batch::ItemContext) -> impl Future<Output = Result<u64, ()>> {
        assert_ne!(item % 10, 1, "before the future");
        async move {
            let _guard = (item % 10 == 2).then(|| PanicsInDrop);
            tokio::task::yield_now().await;
            assert_ne!(item % 10, 3, "in the future");
            Ok(item)
        }
    }
    let config = BatchConfig::default().error_threshold(None);
    let report = processor(config)
        .job("panic")
        .run(0..100, operation)
        .await
        .unwrap();
    assert_eq!((report.results.len(), report.failed.len()), (70, 30));
    for failed in report.failed {
        let ItemError::Panicked { message, .. } = failed.error else {
            panic!("item {}", failed.item);
        };
        let place = ["before the future", "in drop", "in the future"];
        assert!(
            message.contains(place[(failed.item % 10 - 1) as usize]),
            "{message}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn skipped_items_are_done_and_told() {
    let decide = |error: &u64, _| {
        if *error == 3 {
            Decision::Skip
        } else {
            Decision::Fail
        }
    };
    let operation = |item: u64, _| async move {
        if item % 5 == 3 {
            Err(item % 10)
        } else {
            Ok(())
        }
    };
    let config = BatchConfig::default().error_threshold(None);
    let job = processor(config).job("skip").on_error(decide);
    let mut stream = job.stream(0..20, operation).await.unwrap().ordered();
    let mut skipped = Vec::new();
    while let Some(outcome) = stream.next().await {
        if let Err(ItemError::Skipped { error: 3, .. }) = outcome.result {
            skipped.push(outcome.item);
        }
    }
    let progress = stream.finish().await.unwrap().progress;
    assert_eq!(skipped, [3, 13]);
    assert_eq!(
        (progress.done, progress.skipped, progress.failed),
        (20, 2, 2)
    );
}

#[tokio::test(start_paused = true)]
async fn a_slow_consumer_makes_new_chunks_wait() {
    let started = Arc::new(AtomicU64::new(0));
    let counting = Arc::clone(&started);
    let config = BatchConfig::default().chunk_size(10).concurrency(2);
    let operation = move |item: u64, _| {
        counting.fetch_add(1, Ordering::SeqCst);
        async move { Ok::<_, ()>(item) }
    };
    for is_ordered in [false, true] {
        started.store(0, Ordering::SeqCst);
        let job = processor(config.clone()).job("slow");
        let mut stream = job.stream(0_u64.., operation.clone()).await.unwrap();
        if is_ordered {
            stream = stream.ordered();
        }
        for taken in 0..200 {
            // Time passes only when nothing can run any more.
            sleep(ms(60_000)).await;
            let started = started.load(Ordering::SeqCst);
            // Twice what may be in flight, and the last chunk may go beyond.
            assert!(
                started >= taken && started <= taken + 50,
                "{started} at {taken}"
            );
            assert!(stream.next().await.is_some());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn cancelling_drops_what_runs_and_keeps_what_is_done() {
    let token = CancelToken::new();
    let cancelling = token.clone();
    tokio::spawn(async move {
        sleep(ms(1_500)).await;
        cancelling.cancel();
    });
    let operation = |item: u64, _| async move {
        sleep(if item < 50 { ms(1_000) } else { ms(1_000_000) }).await;
        Ok::<_, ()>(item)
    };
    let began = Instant::now();
    let job = processor(BatchConfig::default())
        .job("cancel")
        .cancel(&token);
    let (stopped, report) = job.run(0..500, operation).await.unwrap_err().into_parts();
    assert!(matches!(stopped, Stopped::Cancelled));
    assert_eq!(began.elapsed(), ms(1_500));
    assert_eq!(report.results.len(), 50);
    assert!(report.failed.is_empty());
}

#[tokio::test]
async fn dropping_a_run_drops_its_items() {
    let gate = Arc::new(Semaphore::new(0));
    let inside = Arc::new(Semaphore::new(0));
    let (waiting, entering) = (Arc::clone(&gate), Arc::clone(&inside));
    let operation = move |_: u64, _| {
        let (gate, inside) = (Arc::clone(&waiting), Arc::clone(&entering));
        async move {
            inside.add_permits(1);
            drop(gate.acquire_owned().await);
            Ok::<_, ()>(())
        }
    };
    let mut run = Box::pin(
        processor(BatchConfig::default())
            .job("drop")
            .run(0..10, operation.clone()),
    );
    tokio::select! {
        _ = &mut run => panic!("nothing can end"),
        permits = inside.acquire_many(10) => permits.unwrap().forget(),
    }
    drop(run);
    // The operation and every item had a copy.
    while Arc::strong_count(&gate) > 2 {
        tokio::task::yield_now().await;
    }

    let stream = processor(BatchConfig::default())
        .job("drop")
        .stream(0..10, operation)
        .await
        .unwrap();
    inside.acquire_many(10).await.unwrap().forget();
    drop(stream);
    while Arc::strong_count(&gate) > 1 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn progress_shows_rate_and_time_left() {
    let (job, mut progress) = processor(BatchConfig::default()).job("progress").watch();
    let operation = |item: u64, cx: aqe_batch::ItemContext| async move {
        sleep(ms(100)).await;
        cx.add_bytes(item);
        Ok::<_, ()>(())
    };
    let run = tokio::spawn(job.run_each(0..10_000, operation));
    let mut seen = 0;
    while let Some(progress) = progress.next().await {
        if progress.elapsed > ms(3_000) && !progress.is_last {
            // A hundred at a time, ten times a second.
            assert!((progress.rate - 1_000.0).abs() < 50.0, "{progress:?}");
            let left = progress.time_left.unwrap().as_secs_f64();
            let expected = (10_000 - progress.done) as f64 / 1_000.0;
            assert!((left - expected).abs() < 1.0, "{progress:?}");
            seen += 1;
        }
        if progress.is_last {
            assert_eq!(progress.bytes, 9_999 * 10_000 / 2);
        }
    }
    assert!(seen > 50, "{seen}");
    assert_eq!(run.await.unwrap().unwrap().progress.done, 10_000);
}

#[tokio::test(start_paused = true)]
async fn memory_is_waited_for() {
    let scarce = Arc::new(AtomicU64::new(1));
    let probing = Arc::clone(&scarce);
    let (job, mut progress) = BatchProcessor::new(BatchConfig::default())
        .unwrap()
        .job("memory")
        .memory_probe(move || {
            Some(if probing.load(Ordering::SeqCst) == 1 {
                0.9
            } else {
                0.1
            })
        })
        .watch();
    let operation = |_: u64, _| async move {
        sleep(ms(100)).await;
        Ok::<_, ()>(())
    };
    let run = tokio::spawn(job.run_each(0..1_000, operation));
    sleep(ms(10_000)).await;
    let waiting = progress.next().await.unwrap();
    assert!(
        waiting.waits_for_memory && waiting.memory_wait > ms(9_000),
        "{waiting:?}"
    );
    // What had been claimed before the first look has ended.
    assert_eq!(waiting.done, 100);
    scarce.store(0, Ordering::SeqCst);
    assert_eq!(run.await.unwrap().unwrap().progress.done, 1_000);
}

#[tokio::test]
#[should_panic(expected = "the source is broken")]
async fn a_source_that_panics_is_the_callers_panic() {
    let items = (0..10).inspect(|item| assert!(*item < 5, "the source is broken"));
    let operation = |_, _| async { Ok::<_, ()>(()) };
    drop(
        processor(BatchConfig::default())
            .job("source")
            .run_each(items, operation)
            .await,
    );
}

#[test]
fn without_a_runtime_there_is_an_error() {
    let run = processor(BatchConfig::default())
        .job("none")
        .run_each(0..1, |_, _| async { Ok::<_, ()>(()) });
    let mut run = std::pin::pin!(run);
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    let std::task::Poll::Ready(Err(error)) = run.as_mut().poll(&mut cx) else {
        panic!("there is nothing to wait for");
    };
    assert!(matches!(error.stopped(), Stopped::NoRuntime));
}
