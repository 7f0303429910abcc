//! Queues that stop when too much fails, or too much memory is used.

#![expect(clippy::unwrap_used, reason = "helpers of tests may fail the test")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use aqe_queue::threshold::Exceeded;
use aqe_queue::{
    AsyncOperationQueue, CancelReason, ErrorLimit, ErrorThreshold, Event, EventStream,
    MemoryThreshold, Observed, OperationError, OperationHandle, QueueConfig, RetryPolicy,
    ThresholdAction,
};
use tokio::time::sleep;

const MS: Duration = Duration::from_millis(1);

fn config(concurrency: usize, threshold: ErrorThreshold) -> QueueConfig {
    QueueConfig::default()
        .max_concurrent(concurrency)
        .retry(RetryPolicy::none())
        .error_threshold(threshold)
}

/// Submits operations that count their starts, of which every one fails.
fn fail(
    queue: &AsyncOperationQueue,
    starts: &Arc<AtomicUsize>,
    count: usize,
) -> Vec<OperationHandle<(), ()>> {
    (0..count)
        .map(|_| {
            let starts = Arc::clone(starts);
            let operation = queue.future(async move {
                starts.fetch_add(1, Ordering::SeqCst);
                sleep(MS).await;
                Err(())
            });
            operation.try_submit().unwrap()
        })
        .collect()
}

/// Returns the events that are about the queue and not about one operation.
fn about_the_queue(events: &mut EventStream) -> Vec<Event> {
    let mut found = Vec::new();
    while let Some(Observed::Event(event)) = events.try_next() {
        if !matches!(
            event,
            Event::Submitted { .. } | Event::Started { .. } | Event::Ended { .. }
        ) {
            found.push(event);
        }
    }
    found
}

#[tokio::test(start_paused = true)]
async fn nothing_starts_after_the_last_tolerated_failure() {
    let threshold = ErrorThreshold::new(ErrorLimit::Count(5));
    let queue = AsyncOperationQueue::new(config(1, threshold)).unwrap();
    let mut events = queue.subscribe();
    let starts = Arc::default();
    let handles = fail(&queue, &starts, 20);
    sleep(Duration::from_secs(10)).await;
    assert_eq!(starts.load(Ordering::SeqCst), 5);
    let status = queue.status();
    assert_eq!(
        (status.failed, status.pending, status.is_paused),
        (5, 15, true)
    );
    let exceeded = Exceeded::Errors { failed: 5, of: 5 };
    let action = ThresholdAction::Pause;
    assert_eq!(
        about_the_queue(&mut events),
        [Event::ThresholdExceeded { exceeded, action }, Event::Paused]
    );
    queue.resume();
    sleep(Duration::from_secs(10)).await;
    assert_eq!(starts.load(Ordering::SeqCst), 10);
    drop(handles);
}

#[tokio::test(start_paused = true)]
async fn abort_cancels_what_waits_and_later_operations_run() {
    let limit = ErrorLimit::Percent {
        percent: 50,
        of: 10,
    };
    let threshold = ErrorThreshold::new(limit).action(ThresholdAction::Abort);
    let queue = AsyncOperationQueue::new(config(2, threshold)).unwrap();
    let mut events = queue.subscribe();
    let starts = Arc::default();
    let mut cancelled = 0;
    for handle in fail(&queue, &starts, 30) {
        match handle.await.unwrap_err() {
            OperationError::Failed { .. } => assert_eq!(cancelled, 0),
            OperationError::Cancelled { reason, .. } => {
                assert_eq!(reason, CancelReason::Threshold);
                cancelled += 1;
            }
            error => panic!("{error}"),
        }
    }
    assert_eq!((starts.load(Ordering::SeqCst), cancelled), (10, 20));
    queue.idle().await;
    let exceeded = Exceeded::Errors { failed: 10, of: 10 };
    let action = ThresholdAction::Abort;
    assert_eq!(
        about_the_queue(&mut events),
        [
            Event::ThresholdExceeded { exceeded, action },
            Event::Cleared { operations: 20 }
        ]
    );
    assert_eq!(queue.run(async { 1 }).await, Ok(1));
}

#[tokio::test(start_paused = true)]
async fn memory_pauses_until_it_has_fallen_far_enough() {
    let used = Arc::new(AtomicU64::new(0));
    let probe = {
        let used = Arc::clone(&used);
        move || match used.load(Ordering::SeqCst) {
            u64::MAX => panic!("a probe that fails"),
            used => Some(used),
        }
    };
    let threshold = MemoryThreshold::new(1_000).every(10 * MS);
    let builder = AsyncOperationQueue::builder(QueueConfig::default());
    let queue = builder.memory_threshold(threshold, probe).build().unwrap();
    let mut events = queue.subscribe();
    assert_eq!(queue.run(async { 1 }).await, Ok(1));

    used.store(1_001, Ordering::SeqCst);
    sleep(15 * MS).await;
    let waiting = queue
        .future(async { Ok::<_, ()>(2) })
        .submit()
        .await
        .unwrap();
    used.store(901, Ordering::SeqCst);
    sleep(50 * MS).await;
    used.store(u64::MAX, Ordering::SeqCst);
    sleep(50 * MS).await;
    assert!(!waiting.is_finished());
    assert!(queue.status().is_paused);
    used.store(900, Ordering::SeqCst);
    assert_eq!(waiting.await, Ok(2));
    let exceeded = Exceeded::Memory {
        used: 1_001,
        limit: 1_000,
    };
    let action = ThresholdAction::Pause;
    let expected = [
        Event::ThresholdExceeded { exceeded, action },
        Event::Paused,
        Event::Resumed,
    ];
    assert_eq!(about_the_queue(&mut events), expected);

    // Who has paused the queue resumes it.
    queue.pause();
    used.store(2_000, Ordering::SeqCst);
    sleep(50 * MS).await;
    used.store(0, Ordering::SeqCst);
    sleep(50 * MS).await;
    assert!(queue.status().is_paused);
    queue.resume();
    let report = queue.drain().await;
    assert!(report.cut.is_empty());
}

#[tokio::test(start_paused = true)]
async fn drain_comes_to_its_end_whatever_fails() {
    let threshold = ErrorThreshold::new(ErrorLimit::Count(2));
    let queue = AsyncOperationQueue::new(config(1, threshold)).unwrap();
    let starts = Arc::default();
    let handles = fail(&queue, &starts, 10);
    let report = queue.drain().await;
    assert_eq!((report.finished, starts.load(Ordering::SeqCst)), (10, 10));
    drop(handles);
}
