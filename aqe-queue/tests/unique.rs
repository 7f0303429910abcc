//! Operations that run once for all who want their result.

#![expect(clippy::unwrap_used, reason = "helpers of tests may fail the test")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use aqe_queue::{
    AsyncOperationQueue, CancelReason, OnDrop, OperationError, QueueConfig, SharedHandle,
    SubmitError,
};
use tokio::time::sleep;

const MS: Duration = Duration::from_millis(1);

/// Counts its runs and returns their number after 10 ms.
async fn build(
    queue: &AsyncOperationQueue,
    runs: &Arc<AtomicUsize>,
    on_drop: OnDrop,
) -> SharedHandle<usize, ()> {
    let runs = Arc::clone(runs);
    let operation = queue.future(async move {
        let run = runs.fetch_add(1, Ordering::SeqCst) + 1;
        sleep(10 * MS).await;
        Ok(run)
    });
    let operation = operation.on_drop(on_drop).unique("build");
    operation.submit().await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn queued_or_running_operation_is_joined_and_an_ended_one_is_not() {
    let queue = AsyncOperationQueue::new(QueueConfig::default()).unwrap();
    let runs = Arc::default();
    let first = build(&queue, &runs, OnDrop::Cancel).await;
    let queued = build(&queue, &runs, OnDrop::Cancel).await;
    sleep(5 * MS).await;
    let running = build(&queue, &runs, OnDrop::Cancel).await;
    assert!(!first.has_joined() && queued.has_joined() && running.has_joined());
    assert_eq!((queued.id(), running.id()), (first.id(), first.id()));
    let clone = first.clone();
    let results = tokio::join!(first, queued, running, clone.clone());
    assert_eq!(results, (Ok(1), Ok(1), Ok(1), Ok(1)));
    // A handle that was not asked yet still has the result, though a new operation has the name.
    let next = build(&queue, &runs, OnDrop::Cancel).await;
    assert!(!next.has_joined());
    assert_eq!((next.await, clone.await), (Ok(2), Ok(1)));
    assert_eq!(queue.status().submitted, 2);
}

#[tokio::test(start_paused = true)]
async fn name_is_free_when_nobody_waited_for_the_end() {
    let queue = AsyncOperationQueue::new(QueueConfig::default()).unwrap();
    let runs = Arc::default();
    let kept = build(&queue, &runs, OnDrop::Cancel).await;
    let dropped = build(&queue, &runs, OnDrop::Cancel).await;
    drop(dropped);
    queue.idle().await;
    assert!(kept.is_finished());
    assert_eq!(build(&queue, &runs, OnDrop::Cancel).await.await, Ok(2));
    assert_eq!(kept.await, Ok(1));
}

#[tokio::test(start_paused = true)]
async fn last_handle_does_what_the_policy_says() {
    let queue = AsyncOperationQueue::new(QueueConfig::default()).unwrap();
    let runs = Arc::default();
    let first = build(&queue, &runs, OnDrop::Cancel).await;
    let second = build(&queue, &runs, OnDrop::Cancel).await;
    sleep(5 * MS).await;
    drop(first);
    assert_eq!(second.await, Ok(1));

    drop(build(&queue, &runs, OnDrop::Cancel).await);
    queue.idle().await;
    assert_eq!(queue.status().cancelled, 1);

    // One that runs on without a handle is joined still.
    let detached = build(&queue, &runs, OnDrop::Detach).await;
    sleep(5 * MS).await;
    drop(detached);
    let joined = build(&queue, &runs, OnDrop::Detach).await;
    assert!(joined.has_joined());
    assert_eq!(joined.await, Ok(2));
}

#[tokio::test(start_paused = true)]
async fn cancelling_is_for_all_and_other_types_are_other_operations() {
    let queue = AsyncOperationQueue::new(QueueConfig::default()).unwrap();
    let runs = Arc::default();
    let first = build(&queue, &runs, OnDrop::Cancel).await;
    let second = build(&queue, &runs, OnDrop::Cancel).await;
    let other = queue.future(async { Ok::<_, u8>("text") }).unique("build");
    let other = other.submit().await.unwrap();
    assert!(!other.has_joined());
    assert!(second.cancel());
    for handle in [first, second] {
        let error = handle.await.unwrap_err();
        assert!(matches!(
            error,
            OperationError::Cancelled {
                reason: CancelReason::Asked,
                ..
            }
        ));
    }
    assert_eq!(other.await, Ok("text"));
}

#[tokio::test(start_paused = true)]
async fn submissions_that_wait_for_room_join_one_another() {
    let config = QueueConfig::default().capacity(1).max_concurrent(1);
    let queue = AsyncOperationQueue::new(config).unwrap();
    queue.pause();
    let filler = queue
        .future(async { Ok::<_, ()>(()) })
        .submit()
        .await
        .unwrap();
    let runs = Arc::default();
    let submit = |wait| {
        let (queue, runs) = (queue.clone(), Arc::clone(&runs));
        tokio::spawn(async move {
            let handle = build(&queue, &runs, OnDrop::Cancel).await;
            if wait { handle.await } else { Ok(0) }
        })
    };
    let gives_up = submit(true);
    sleep(MS).await;
    let others = [submit(true), submit(true)];
    sleep(MS).await;
    let refused = queue.future(async { Ok::<usize, ()>(0) }).unique("build");
    assert!(matches!(refused.try_submit(), Err(SubmitError::Full(_))));
    // The one that was to submit it gives up: another does it in its place.
    gives_up.abort();
    sleep(MS).await;
    queue.resume();
    for other in others {
        assert_eq!(other.await.unwrap(), Ok(1));
    }
    filler.await.unwrap();
    assert_eq!(queue.status().submitted, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_runs_at_a_time_on_many_threads() {
    let queue = AsyncOperationQueue::new(QueueConfig::default()).unwrap();
    let running = Arc::new(AtomicUsize::new(0));
    let tasks: Vec<_> = (0..4)
        .map(|_| {
            let (queue, running) = (queue.clone(), Arc::clone(&running));
            tokio::spawn(async move {
                for round in 0..2_000usize {
                    let running = Arc::clone(&running);
                    let operation = queue.future(async move {
                        assert_eq!(running.fetch_add(1, Ordering::SeqCst), 0);
                        if round % 2 == 0 {
                            tokio::task::yield_now().await;
                        }
                        running.fetch_sub(1, Ordering::SeqCst);
                        Ok::<_, ()>(round)
                    });
                    // Never cancelled: that would leave the test's own count behind.
                    let unique = operation.on_drop(OnDrop::Detach).unique("one");
                    let handle = unique.submit().await.unwrap();
                    if round % 5 != 0 {
                        handle.await.unwrap();
                    }
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    queue.idle().await;
    assert_eq!(queue.status().panicked, 0);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_kept_of_what_has_ended() {
    let queue = AsyncOperationQueue::new(QueueConfig::default()).unwrap();
    let value = Arc::new(());
    for on_drop in [OnDrop::Cancel, OnDrop::Detach] {
        let result = Arc::clone(&value);
        let operation = queue.future(async move {
            sleep(MS).await;
            Ok::<_, ()>(result)
        });
        let handle = operation.on_drop(on_drop).unique("value").submit();
        let handle = handle.await.unwrap();
        if on_drop == OnDrop::Cancel {
            assert!(handle.clone().await.is_ok());
        }
        sleep(MS / 2).await;
        drop(handle);
        queue.idle().await;
        assert_eq!(Arc::strong_count(&value), 1, "{on_drop:?}");
    }
}
