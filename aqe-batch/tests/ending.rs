//! What an item may do to its run, and what the end of a processor does to all of its runs.

#![allow(
    clippy::unwrap_used,
    reason = "a panic fails the test, helpers included"
)]

use std::future::poll_fn;
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use aqe_batch::{BatchConfig, BatchProcessor, ItemContext, RetryPolicy, Stopped};
use tokio::time::{Instant, sleep};

/// So many chunks of so many items at once.
fn config(chunk: usize, chunks: usize) -> BatchConfig {
    BatchConfig::default()
        .chunk_size(chunk)
        .concurrency(chunks)
        .memory_threshold(None)
}

#[tokio::test(start_paused = true)]
async fn items_that_wait_for_a_retry_let_others_start_up_to_a_bound() {
    // Four may be in flight. All fail once and wait for a minute, in which four more start, and no fifth.
    let config = config(2, 2).retry(RetryPolicy::fixed(1, Duration::from_secs(60)));
    let start = Instant::now();
    let firsts = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&firsts);
    let operation = move |_: u64, cx: ItemContext| {
        if cx.attempt() == 1 {
            seen.lock().unwrap().push(start.elapsed().as_secs());
        }
        let result = if cx.attempt() == 1 {
            Err("not yet")
        } else {
            Ok(())
        };
        async move { result }
    };
    let processor = BatchProcessor::new(config).unwrap();
    let report = processor.job("rest").run(0..12, operation).await.unwrap();
    assert!(report.is_complete());
    let mut firsts = firsts.lock().unwrap().clone();
    firsts.sort_unstable();
    assert_eq!(firsts, [0, 0, 0, 0, 0, 0, 0, 0, 60, 60, 60, 60]);
    assert_eq!(report.progress.elapsed.as_secs(), 120);
}

#[tokio::test(start_paused = true)]
async fn an_item_ends_the_run_for_all() {
    let operation = |item: u64, cx: ItemContext| async move {
        if item == 30 {
            cx.stop_run("the server is gone");
            return Err("gone");
        }
        sleep(Duration::from_secs(item)).await;
        Ok(item)
    };
    let processor = BatchProcessor::new(config(20, 1)).unwrap();
    let error = processor.job("stop").run(0..1_000_u64, operation).await;
    let error = error.unwrap_err();
    assert_eq!(error.to_string(), "stopped by item 30: the server is gone");
    // Those that ran came to their end, and nothing else started.
    let report = error.into_report();
    assert_eq!((report.failed.len(), report.failed[0].item), (1, 30));
    let done: Vec<u64> = report.results.iter().map(|(item, _)| item).collect();
    assert_eq!(done.len() as u64, report.progress.done - 1);
    assert!(done.iter().all(|item| *item < 50) && done.len() >= 30);
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_lets_runs_end_within_the_grace_and_ends_the_others() {
    let processor = BatchProcessor::new(config(5, 2)).unwrap();
    let wait = |_: u64, _| async {
        sleep(Duration::from_secs(10)).await;
        Ok::<_, ()>(())
    };
    let short = tokio::spawn(processor.job("short").run_each(0..20, wait));
    let long = tokio::spawn(processor.job("long").run_each(0..1_000, wait));
    // A future that is polled once and then left alone must not hold up the end.
    let mut idle = Box::pin(processor.job("idle").run_each(0..10, wait));
    assert!(poll_fn(|cx| Poll::Ready(idle.as_mut().poll(cx).is_pending())).await);
    sleep(Duration::from_secs(5)).await;
    assert_eq!(processor.running(), 3);

    let report = processor.shutdown(Duration::from_secs(28)).await;
    assert_eq!((report.cut, report.elapsed.as_secs()), (1, 28));
    assert!(processor.is_closed() && processor.running() == 0);
    assert_eq!(short.await.unwrap().unwrap().progress.done, 20);
    assert!(idle.await.unwrap().is_complete());
    let error = long.await.unwrap().unwrap_err();
    assert!(matches!(error.stopped(), Stopped::ShutDown), "{error}");
    assert_eq!(error.report().progress.done, 30);

    let refused = processor.job("late").run_each(0..1, wait).await;
    assert!(matches!(refused.unwrap_err().stopped(), Stopped::ShutDown));
    let refused = processor.job("late").map(0..1_u64, |_| Ok::<_, ()>(()));
    assert!(matches!(refused.unwrap_err().stopped(), Stopped::ShutDown));
    let refused = processor.job("late").map_slice(&[1], |_| Ok::<_, ()>(()));
    assert!(matches!(refused.unwrap_err().stopped(), Stopped::ShutDown));
    // Again it is harmless.
    assert_eq!(processor.shutdown(Duration::from_secs(9)).await.cut, 0);
}
