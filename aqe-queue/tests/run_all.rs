//! Streams of results: order, window, room, ends.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use aqe_queue::{
    AsyncOperationQueue, CancelReason, OnDrop, OperationError, Priority, QueueConfig, RetryPolicy,
};
use futures_util::{Stream, StreamExt};
use tokio::time::{Instant, sleep, timeout};

fn queue(config: QueueConfig) -> AsyncOperationQueue {
    AsyncOperationQueue::new(config).expect("the settings are valid")
}

async fn after(millis: u64) -> Result<u64, ()> {
    sleep(Duration::from_millis(millis)).await;
    Ok(millis)
}

#[tokio::test(start_paused = true)]
async fn results_come_as_operations_end_or_as_they_were_given() {
    let queue = queue(QueueConfig::default());
    let times = [50, 10, 40, 20, 30];
    let unordered: Vec<_> = queue.run_all(times.map(after)).collect().await;
    assert_eq!(unordered, [10, 20, 30, 40, 50].map(Ok));
    let ordered: Vec<_> = queue.run_all(times.map(after)).ordered().collect().await;
    assert_eq!(ordered, times.map(Ok));
}

#[tokio::test(start_paused = true)]
async fn every_operation_gives_one_result_and_no_more_than_max_concurrent_run() {
    let queue = queue(QueueConfig::default().max_concurrent(3));
    let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    for window in [1, 2, 7, 5_000] {
        let operations = (0..1_000_u64).map(|number| {
            let (running, most) = (Arc::clone(&running), Arc::clone(&most));
            async move {
                most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                if number % 7 != 0 {
                    sleep(Duration::from_millis(number % 13)).await;
                }
                running.fetch_sub(1, Ordering::SeqCst);
                if number % 10 == 3 {
                    Err(number)
                } else {
                    Ok(number)
                }
            }
        });
        let mut seen = BTreeSet::new();
        let mut results = queue.run_all(operations).window(window);
        while let Some(result) = results.next().await {
            let (Ok(number) | Err(OperationError::Failed { error: number, .. })) = result else {
                panic!("{result:?}");
            };
            assert!(seen.insert(number));
        }
        assert_eq!(seen.len(), 1_000);
        assert!(results.next().await.is_none());
    }
    assert_eq!(most.load(Ordering::SeqCst), 3);
    assert_eq!(queue.status().submitted, 4_000);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_taken_before_the_stream_is_polled_nor_beyond_the_window() {
    let queue = queue(QueueConfig::default());
    let taken = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&taken);
    let mut results = queue
        .run_all((0..100).map(move |_| {
            counter.fetch_add(1, Ordering::SeqCst);
            after(1)
        }))
        .window(8);
    sleep(Duration::from_secs(1)).await;
    assert_eq!(
        (taken.load(Ordering::SeqCst), queue.status().submitted),
        (0, 0)
    );
    results.next().await.unwrap().unwrap();
    // The consumer is slow; the operations in the window run on, and no more are taken.
    sleep(Duration::from_secs(1)).await;
    assert_eq!(
        (taken.load(Ordering::SeqCst), queue.status().completed),
        (8, 8)
    );
    assert_eq!(results.size_hint(), (99, Some(99)));
    assert_eq!(results.count().await, 99);
}

#[tokio::test(start_paused = true)]
async fn submissions_keep_their_settings() {
    let queue = queue(QueueConfig::default().max_concurrent(1));
    let ended = Arc::new(std::sync::Mutex::new(Vec::new()));
    let operations = (0..6_u8).map(|number| {
        let priority = if number == 5 {
            Priority::Critical
        } else {
            Priority::Low
        };
        let ended = Arc::clone(&ended);
        let operation = queue.operation(move |cx| {
            let ended = Arc::clone(&ended);
            async move {
                if cx.attempt() < 3 {
                    return Err(());
                }
                ended.lock().unwrap().push(number);
                Ok(cx.attempt())
            }
        });
        operation
            .priority(priority)
            .retry(RetryPolicy::fixed(2, Duration::ZERO))
    });
    let results: Vec<_> = queue
        .run_all(operations.collect::<Vec<_>>())
        .collect()
        .await;
    assert_eq!(results, vec![Ok(3); 6]);
    assert_eq!(*ended.lock().unwrap(), [5, 0, 1, 2, 3, 4]);
}

#[tokio::test(start_paused = true)]
async fn endings_other_than_success_come_through_the_stream() {
    let queue = queue(
        QueueConfig::default()
            .timeout(Duration::from_secs(1))
            .retry(RetryPolicy::none()),
    );
    let make = |number: u8| {
        let operation = queue.operation(move |_| async move {
            match number {
                0 => panic!("boom"),
                1 => std::future::pending().await,
                2 => Err("no"),
                _ => Ok(number),
            }
        });
        operation.priority(if number == 3 {
            Priority::Level(9)
        } else {
            Priority::Medium
        })
    };
    let results: Vec<_> = queue.run_all((0..5).map(make)).ordered().collect().await;
    assert!(
        matches!(&results[0], Err(OperationError::Panicked { message, .. }) if message == "boom")
    );
    assert!(matches!(results[1], Err(OperationError::TimedOut { .. })));
    assert!(matches!(
        results[2],
        Err(OperationError::Failed { error: "no", .. })
    ));
    let Err(OperationError::Refused { reason }) = &results[3] else {
        panic!("{:?}", results[3]);
    };
    assert_eq!(
        reason,
        "priority level 9 does not exist: the queue has levels 0 to 4"
    );
    assert_eq!(results[4], Ok(4));
    let unordered: Vec<_> = queue.run_all((0..5).map(make)).collect().await;
    assert_eq!(unordered.len(), 5);
}

#[tokio::test(start_paused = true)]
async fn dropped_stream_cancels_by_the_policy_and_leaves_the_rest_alone() {
    for (policy, completed, cancelled) in [
        (OnDrop::Cancel, 0, 6),
        (OnDrop::CancelIfQueued, 2, 4),
        (OnDrop::Detach, 6, 0),
    ] {
        let queue = queue(QueueConfig::default().max_concurrent(2).on_drop(policy));
        let mut results = queue.run_all((0..100).map(|_| after(1_000))).window(6);
        assert!(
            timeout(Duration::from_millis(10), results.next())
                .await
                .is_err()
        );
        drop(results);
        queue.idle().await;
        let status = queue.status();
        assert_eq!(
            (status.completed, status.cancelled),
            (completed, cancelled),
            "{policy:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn stream_waits_for_room_in_its_turn_and_gives_its_turn_up() {
    let queue = queue(QueueConfig::default().capacity(4).max_concurrent(1));
    let began = Instant::now();
    let (one, other) = tokio::join!(
        queue.run_all((0..20).map(|_| after(10))).window(50).count(),
        queue.run_all((0..20).map(|_| after(10))).ordered().count(),
    );
    assert_eq!((one, other), (20, 20));
    assert!(began.elapsed() >= Duration::from_millis(400));

    // A stream that is dropped while it waits does not keep the place.
    queue.pause();
    let mut blocked = queue.run_all((0..20).map(|_| after(10))).window(20);
    assert!(
        timeout(Duration::from_secs(1), blocked.next())
            .await
            .is_err()
    );
    let waiting = queue.future(after(1)).submit();
    tokio::pin!(waiting);
    assert!(timeout(Duration::from_secs(1), &mut waiting).await.is_err());
    drop(blocked);
    let handle = waiting.await.unwrap();
    queue.resume();
    assert_eq!(handle.await, Ok(1));
}

#[tokio::test(start_paused = true)]
async fn closed_queue_ends_the_stream_with_cancellations() {
    let queue = queue(QueueConfig::default().max_concurrent(1));
    let mut results = queue.run_all((0..5).map(|_| after(1_000))).window(2);
    let first = results.next().await;
    assert_eq!(first, Some(Ok(1_000)));
    queue.shutdown(Duration::ZERO).await;
    let rest: Vec<_> = results.collect().await;
    assert_eq!(rest.len(), 4);
    for result in rest {
        let Err(OperationError::Cancelled { reason, .. }) = result else {
            panic!("{result:?}");
        };
        assert_eq!(reason, CancelReason::Shutdown);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_between_threads() {
    let queue = queue(QueueConfig::default());
    for window in [3, 64, 1_000] {
        let operations = (0..20_000_u64).map(|number| async move {
            if number % 3 == 0 {
                tokio::task::yield_now().await;
            }
            Ok::<_, ()>(number)
        });
        let mut sum = 0;
        let mut results = queue.run_all(operations).window(window);
        while let Some(result) = results.next().await {
            sum += result.unwrap();
        }
        assert_eq!(sum, 20_000 * 19_999 / 2);
    }
}

#[tokio::test(start_paused = true)]
async fn operations_of_another_queue_run_there() {
    let (here, there) = (queue(QueueConfig::default()), queue(QueueConfig::default()));
    let operations: Vec<_> = (0..10)
        .map(|number| {
            if number % 2 == 0 {
                here.future(after(number))
            } else {
                there.future(after(number))
            }
        })
        .collect();
    assert_eq!(here.run_all(operations).count().await, 10);
    assert_eq!((here.status().completed, there.status().completed), (5, 5));
}

/// An operation of a stream may run where the stream is polled, and its delays are drawn there.
#[tokio::test(start_paused = true)]
async fn jitter_of_a_stream_repeats_with_the_seed() {
    let mut took = Vec::new();
    for _ in 0..2 {
        let queue = queue(QueueConfig::default().seed(7).max_concurrent(1));
        // Not before a worker has said on which runtime operations are to run.
        queue.run(async {}).await.expect("the queue is open");
        let policy = RetryPolicy::fixed(3, Duration::from_secs(60)).full_jitter();
        let failing = (0..4).map(|_| {
            queue
                .operation(|_| async { Err::<(), _>(()) })
                .retry(policy)
        });
        let began = Instant::now();
        assert_eq!(queue.run_all(failing).count().await, 4);
        took.push(began.elapsed());
    }
    assert_eq!(took[0], took[1]);
}
