//! Operations that share something: keys, their limits and rates.

#![expect(clippy::unwrap_used, reason = "helpers of tests may fail the test")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use aqe_queue::{
    AsyncOperationQueue, CancelReason, KeyLimits, KeyRate, OperationError, OperationHandle,
    Priority, QueueConfig, RetryPolicy, SubmitError,
};
use parking_lot::Mutex;
use tokio::time::{Instant, sleep};

const MS: Duration = Duration::from_millis(1);

/// Logs starts and takes 10 ms.
async fn log(
    queue: &AsyncOperationQueue,
    key: &str,
    name: &'static str,
    names: &Arc<Mutex<Vec<&'static str>>>,
) -> OperationHandle<(), ()> {
    let names = Arc::clone(names);
    let operation = queue.future(async move {
        names.lock().push(name);
        sleep(10 * MS).await;
        Ok(())
    });
    operation.key(key).submit().await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn operations_of_one_key_run_one_after_another_and_hold_up_nobody() {
    let queue = AsyncOperationQueue::new(QueueConfig::default()).unwrap();
    let names = Arc::default();
    let began = Instant::now();
    let mut handles = Vec::new();
    for (key, name) in [
        ("a", "a1"),
        ("a", "a2"),
        ("a", "a3"),
        ("b", "b1"),
        ("c", "c1"),
    ] {
        handles.push(log(&queue, key, name, &names).await);
    }
    sleep(5 * MS).await;
    assert_eq!(*names.lock(), ["a1", "b1", "c1"]);
    let status = queue.status();
    assert_eq!((status.running, status.pending, status.held), (3, 2, 2));
    for handle in handles {
        handle.await.unwrap();
    }
    assert_eq!(*names.lock(), ["a1", "b1", "c1", "a2", "a3"]);
    assert!((30 * MS..40 * MS).contains(&began.elapsed()));
    queue.idle().await;
}

#[tokio::test(start_paused = true)]
async fn retry_between_attempts_does_not_occupy_its_key() {
    let queue = AsyncOperationQueue::new(QueueConfig::default()).unwrap();
    let first = queue
        .operation(|cx| async move { if cx.attempt() == 1 { Err(()) } else { Ok(()) } })
        .retry(RetryPolicy::fixed(1, Duration::from_secs(60)))
        .key("a");
    let first = first.submit().await.unwrap();
    let began = Instant::now();
    let second = log(&queue, "a", "second", &Arc::default()).await;
    second.await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(1));
    first.await.unwrap();
    assert!(began.elapsed() >= Duration::from_secs(60));
}

#[tokio::test(start_paused = true)]
async fn rate_of_a_key_is_kept() {
    let rate = KeyRate::new(10, Duration::from_secs(1)).burst(2);
    let limits = KeyLimits::default().max_concurrent(100).rate(rate);
    let queue = AsyncOperationQueue::new(QueueConfig::default().keys(limits)).unwrap();
    let began = Instant::now();
    let starts = Arc::new(Mutex::new(Vec::new()));
    let mut handles = Vec::new();
    for _ in 0..6 {
        let starts = Arc::clone(&starts);
        let operation = queue.future(async move {
            starts.lock().push(began.elapsed().as_millis());
            Ok::<_, ()>(())
        });
        handles.push(operation.key("a").submit().await.unwrap());
    }
    for handle in handles {
        handle.await.unwrap();
    }
    for (start, expected) in starts.lock().iter().zip([0, 0, 100, 200, 300, 400]) {
        assert!((expected..expected + 3).contains(start), "{starts:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn held_operation_can_be_cancelled_cleared_and_overdue() {
    let queue = AsyncOperationQueue::new(QueueConfig::default()).unwrap();
    let names = Arc::default();
    let running = log(&queue, "a", "running", &names).await;
    let cancelled = log(&queue, "a", "cancelled", &names).await;
    let late = queue.future(async { Ok::<_, ()>(()) }).key("a");
    let late = late.deadline_in(3 * MS).submit().await.unwrap();
    let searched = log(&queue, "a", "searched", &names).await;
    let cleared = log(&queue, "a", "cleared", &names).await;
    sleep(MS).await;
    assert_eq!(queue.status().held, 4);
    assert!(cancelled.cancel());
    assert!(matches!(
        cancelled.await,
        Err(OperationError::Cancelled {
            reason: CancelReason::Asked,
            attempts: 0
        })
    ));
    assert!(queue.cancel(searched.id()));
    drop(searched);
    assert!(matches!(
        late.await,
        Err(OperationError::DeadlineExceeded { attempts: 0 })
    ));
    assert_eq!(queue.clear(), 1);
    assert!(cleared.await.is_err());
    running.await.unwrap();
    queue.idle().await;
    assert_eq!(*names.lock(), ["running"]);
    let last = log(&queue, "a", "last", &names).await;
    last.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn one_key_too_many_is_handed_back() {
    let limits = KeyLimits::default().max_keys(1);
    let queue = AsyncOperationQueue::new(QueueConfig::default().keys(limits)).unwrap();
    let first = log(&queue, "a", "a", &Arc::default()).await;
    let refused = queue
        .future(async { Ok::<_, ()>(7) })
        .key("b")
        .submit()
        .await;
    let Err(SubmitError::TooManyKeys(operation)) = refused else {
        panic!("{refused:?}")
    };
    first.await.unwrap();
    let again = queue.future(operation).key("b").submit().await.unwrap();
    assert_eq!(again.await, Ok(7));
}

#[tokio::test(start_paused = true)]
async fn drain_finishes_what_is_held_and_shutdown_names_it() {
    for drains in [true, false] {
        let queue = AsyncOperationQueue::new(QueueConfig::default()).unwrap();
        let names = Arc::default();
        for name in ["1", "2", "3"] {
            log(&queue, "a", name, &names).await.detach();
        }
        sleep(MS).await;
        let report = if drains {
            queue.drain().await
        } else {
            queue.shutdown(Duration::from_secs(1)).await
        };
        let expected = if drains { (3, 0, 3) } else { (1, 2, 1) };
        assert_eq!(
            (report.finished, report.cut.len(), names.lock().len()),
            expected
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn limit_of_each_key_holds_on_many_threads() {
    let limits = KeyLimits::default().max_concurrent(2);
    let config = QueueConfig::default().max_concurrent(16).keys(limits);
    let queue = AsyncOperationQueue::new(config).unwrap();
    let running: Arc<[AtomicUsize; 4]> = Arc::default();
    let mut chance = fastrand::Rng::with_seed(3);
    let mut handles = Vec::new();
    for number in 0..20_000usize {
        let (running, key) = (Arc::clone(&running), chance.usize(..4));
        let operation = queue.operation(move |cx| {
            let running = Arc::clone(&running);
            async move {
                assert!(running[key].fetch_add(1, Ordering::SeqCst) < 2);
                if number % 3 == 0 {
                    tokio::task::yield_now().await;
                }
                running[key].fetch_sub(1, Ordering::SeqCst);
                if number % 7 == 0 && cx.attempt() == 1 {
                    Err(())
                } else {
                    Ok(())
                }
            }
        });
        let operation = operation
            .retry(RetryPolicy::fixed(1, Duration::ZERO))
            .priority(Priority::Level(chance.u8(..5)))
            .key(["a", "b", "c", "d"][key]);
        let handle = operation.submit().await.unwrap();
        // A cancelled running operation would leave the test's own count behind, so only waiting ones are dropped.
        if number % 11 != 0 {
            handles.push(handle);
        }
    }
    for handle in handles {
        handle.await.unwrap();
    }
    queue.idle().await;
    let status = queue.status();
    assert_eq!((status.pending, status.held, status.panicked), (0, 0, 0));
}
