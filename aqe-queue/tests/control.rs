//! Pause, resume, clear, resize, drain, shutdown, and the end of a queue.

#![expect(clippy::unwrap_used, reason = "helpers of tests may fail the test")]

use std::future::pending;
use std::time::Duration;

use aqe_queue::{
    AsyncOperationQueue, CancelReason, ConfigError, Event, Observed, OperationError,
    OperationHandle, Priority, QueueConfig, RetryPolicy, SubmitError,
};
use tokio::time::{Instant, sleep, timeout};

fn queue(config: QueueConfig) -> AsyncOperationQueue {
    AsyncOperationQueue::new(config).unwrap()
}

/// An operation that takes so many seconds.
async fn seconds(queue: &AsyncOperationQueue, seconds: u64) -> OperationHandle<u64, ()> {
    let operation = queue.operation(move |_| async move {
        sleep(Duration::from_secs(seconds)).await;
        Ok(seconds)
    });
    operation.timeout(None).submit().await.unwrap()
}

fn cancelled<T>(reason: CancelReason, attempts: u32) -> Result<T, OperationError<()>> {
    Err(OperationError::Cancelled { reason, attempts })
}

#[tokio::test(start_paused = true)]
async fn paused_queue_accepts_and_starts_nothing() {
    let queue = queue(QueueConfig::default());
    let running = seconds(&queue, 1).await;
    sleep(Duration::from_millis(1)).await;
    queue.pause();
    let mut waiting = seconds(&queue, 1).await;
    assert_eq!(running.await, Ok(1));
    assert!(
        timeout(Duration::from_secs(100), &mut waiting)
            .await
            .is_err()
    );
    let status = queue.status();
    assert_eq!(
        (status.pending, status.running, status.is_paused),
        (1, 0, true)
    );
    assert!(status.oldest_wait.unwrap() >= Duration::from_secs(100));
    queue.resume();
    assert_eq!(waiting.await, Ok(1));
}

#[tokio::test(start_paused = true)]
async fn clear_cancels_what_waits_and_each_handle_says_so() {
    let queue = queue(QueueConfig::default().max_concurrent(1));
    let running = seconds(&queue, 1).await;
    let retrying = queue
        .operation(|_| async { Err::<u64, _>(()) })
        .priority(Priority::Critical);
    let retrying = retrying
        .retry(RetryPolicy::fixed(1, Duration::from_secs(60)))
        .submit()
        .await
        .unwrap();
    let mut waiting = Vec::new();
    for _ in 0..5 {
        waiting.push(seconds(&queue, 1).await);
    }
    sleep(Duration::from_millis(10)).await;
    assert_eq!(queue.status().waiting_for_retry, 1);
    assert_eq!(queue.clear(), 6);
    for handle in waiting {
        assert_eq!(handle.await, cancelled(CancelReason::Cleared, 0));
    }
    assert_eq!(retrying.await, cancelled(CancelReason::Cleared, 1));
    assert_eq!(running.await, Ok(1));
    let status = queue.status();
    assert_eq!(
        (
            status.pending,
            status.cancelled,
            status.completed,
            status.waiting_for_retry
        ),
        (0, 6, 1, 0)
    );
    assert_eq!(queue.clear(), 0);
}

#[tokio::test(start_paused = true)]
async fn resize_takes_effect_while_running() {
    let queue = queue(QueueConfig::default().max_concurrent(1));
    let began = Instant::now();
    let mut handles = Vec::new();
    for _ in 0..8 {
        handles.push(seconds(&queue, 1).await);
    }
    sleep(Duration::from_millis(500)).await;
    assert_eq!(queue.status().running, 1);
    queue.resize(4).unwrap();
    tokio::task::yield_now().await;
    assert_eq!(queue.status().running, 4);
    queue.resize(2).unwrap();
    // Nothing is interrupted, and nothing starts before the four are below two.
    sleep(Duration::from_millis(600)).await;
    assert_eq!(queue.status().running, 3);
    sleep(Duration::from_millis(500)).await;
    assert_eq!(queue.status().running, 2);
    for handle in handles {
        handle.await.unwrap();
    }
    assert!(
        began.elapsed() < Duration::from_secs(5),
        "{:?}",
        began.elapsed()
    );
    assert!(matches!(
        queue.resize(0),
        Err(ConfigError::OutOfRange {
            field: "max_concurrent",
            ..
        })
    ));
}

#[tokio::test(start_paused = true)]
async fn idle_waits_for_retries_too() {
    let queue = queue(QueueConfig::default());
    queue.idle().await;
    let began = Instant::now();
    let failing = queue.operation(|_| async { Err::<(), _>(()) });
    let failing = failing.retry(RetryPolicy::exponential(
        2,
        Duration::from_secs(1),
        Duration::from_secs(9),
    ));
    let failing = failing.submit().await.unwrap();
    queue.idle().await;
    assert!(
        began.elapsed() >= Duration::from_secs(3),
        "{:?}",
        began.elapsed()
    );
    assert!(failing.is_finished());
}

#[tokio::test(start_paused = true)]
async fn drain_finishes_what_was_accepted_and_refuses_the_rest() {
    let queue = queue(QueueConfig::default().max_concurrent(2));
    queue.pause();
    let mut handles = Vec::new();
    for _ in 0..6 {
        handles.push(seconds(&queue, 2).await);
    }
    let (report, refused) = tokio::join!(queue.drain(), async {
        tokio::task::yield_now().await;
        queue.future(async { Ok::<_, ()>(1) }).try_submit()
    });
    assert_eq!((report.finished, report.cut.len()), (6, 0));
    assert!(report.elapsed >= Duration::from_secs(6));
    assert!(matches!(refused, Err(SubmitError::Closed(_))));
    for handle in handles {
        assert_eq!(handle.await, Ok(2));
    }
    assert!(queue.is_closed());
    assert_eq!(
        queue.run(async {}).await,
        Err(OperationError::Cancelled {
            reason: CancelReason::Shutdown,
            attempts: 0
        })
    );
}

#[tokio::test(start_paused = true)]
async fn drain_within_a_grace_names_what_it_cut() {
    let queue = queue(QueueConfig::default().max_concurrent(2));
    let short = seconds(&queue, 1).await;
    let long = seconds(&queue, 100).await;
    let mut queued = Vec::new();
    for _ in 0..2 {
        queued.push(seconds(&queue, 100).await);
    }
    let report = queue.drain_within(Duration::from_secs(10)).await;
    assert_eq!(report.finished, 1);
    // What waited is cancelled first, and then what ran.
    assert_eq!(report.cut[0], queued[1].id());
    let running: std::collections::BTreeSet<_> = report.cut[1..].iter().copied().collect();
    assert_eq!(running, [long.id(), queued[0].id()].into());
    assert!(
        report.elapsed <= Duration::from_millis(10_010),
        "{:?}",
        report.elapsed
    );
    assert_eq!(short.await, Ok(1));
    assert_eq!(long.await, cancelled(CancelReason::Shutdown, 1));
}

#[tokio::test(start_paused = true)]
async fn shutdown_lets_what_runs_end_in_good_order() {
    let queue = queue(QueueConfig::default());
    let polite = queue.operation(|cx| async move {
        cx.cancelled().await;
        assert!(cx.is_cancelled());
        sleep(Duration::from_secs(1)).await;
        Ok::<_, ()>("cleaned up")
    });
    let polite = polite.submit().await.unwrap();
    let failing = queue.operation(|cx| async move {
        cx.cancelled().await;
        Err::<(), _>("interrupted")
    });
    let failing = failing
        .retry(RetryPolicy::fixed(9, Duration::ZERO))
        .submit()
        .await
        .unwrap();
    tokio::task::yield_now().await;
    let report = queue.shutdown(Duration::from_secs(5)).await;
    assert_eq!(polite.await, Ok("cleaned up"));
    // No retry is begun once the queue is to end.
    assert_eq!(
        failing.await,
        Err(OperationError::Cancelled {
            reason: CancelReason::Shutdown,
            attempts: 1
        })
    );
    assert_eq!(
        (report.finished, report.cut.len(), report.elapsed),
        (1, 1, Duration::from_secs(1))
    );
}

#[tokio::test(start_paused = true)]
async fn shutdown_without_grace_drops_everything_at_once() {
    let queue = queue(QueueConfig::default().max_concurrent(3));
    let mut handles = Vec::new();
    for _ in 0..6 {
        handles.push(
            queue
                .future(pending::<Result<u64, ()>>())
                .timeout(None)
                .submit()
                .await
                .unwrap(),
        );
    }
    tokio::task::yield_now().await;
    let report = queue.shutdown(Duration::ZERO).await;
    assert_eq!((report.cut.len(), report.elapsed), (6, Duration::ZERO));
    // A second call has nothing left to do and does not hang.
    assert_eq!(
        queue.shutdown(Duration::ZERO).await,
        aqe_queue::DrainReport::default()
    );
    for handle in handles {
        assert!(matches!(
            handle.await,
            Err(OperationError::Cancelled {
                reason: CancelReason::Shutdown,
                ..
            })
        ));
    }
}

#[tokio::test(start_paused = true)]
async fn dropped_queue_cancels_what_waits_and_lets_run_what_runs() {
    let queue = queue(QueueConfig::default().max_concurrent(1));
    let running = seconds(&queue, 3).await;
    let waiting = seconds(&queue, 3).await;
    tokio::task::yield_now().await;
    let clone = queue.clone();
    drop(queue);
    assert!(!clone.is_closed());
    drop(clone);
    assert_eq!(waiting.await, cancelled(CancelReason::Shutdown, 0));
    assert_eq!(running.await, Ok(3));
}

#[tokio::test(start_paused = true)]
async fn dropped_workers_cancel_everything() {
    let (queue, mut workers) =
        AsyncOperationQueue::builder(QueueConfig::default().max_concurrent(1))
            .pair()
            .unwrap();
    let running = seconds(&queue, 3).await;
    let waiting = seconds(&queue, 3).await;
    for worker in &mut workers {
        assert!(timeout(Duration::ZERO, worker).await.is_err());
    }
    assert_eq!((queue.status().running, queue.status().pending), (1, 1));
    drop(workers);
    assert_eq!(running.await, cancelled(CancelReason::Shutdown, 1));
    assert_eq!(waiting.await, cancelled(CancelReason::Shutdown, 0));
    assert!(matches!(
        queue.future(async { Ok::<_, ()>(()) }).try_submit(),
        Err(SubmitError::Closed(_))
    ));
    assert_eq!(queue.drain().await.cut.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn workers_can_be_spawned_by_the_caller() {
    let (queue, workers) = AsyncOperationQueue::builder(QueueConfig::default())
        .workers(2)
        .pair()
        .unwrap();
    assert_eq!(workers.len(), 3);
    let tasks: Vec<_> = workers.into_iter().map(tokio::spawn).collect();
    assert_eq!(queue.run(async { 5 }).await, Ok(5));
    queue.drain().await;
    for task in tasks {
        task.await.unwrap();
    }
}

#[test]
fn queue_outside_a_runtime_is_an_error() {
    assert_eq!(
        AsyncOperationQueue::new(QueueConfig::default()).unwrap_err(),
        ConfigError::NoRuntime
    );
    let error = AsyncOperationQueue::builder(QueueConfig::default())
        .workers(0)
        .pair()
        .unwrap_err();
    assert!(matches!(
        error,
        ConfigError::OutOfRange {
            field: "workers",
            ..
        }
    ));
}

#[tokio::test(start_paused = true)]
async fn live_view_ends_with_the_queue() {
    let queue = queue(QueueConfig::default());
    let mut watch = queue.watch(Duration::from_secs(1));
    assert_eq!(watch.next().await.unwrap().submitted, 0);
    let handle = seconds(&queue, 3).await;
    assert_eq!(watch.next().await.unwrap().running, 1);
    queue.drain().await;
    let mut last = watch.next().await.unwrap();
    while let Some(status) = watch.next().await {
        last = status;
    }
    assert_eq!((last.completed, last.is_closed), (1, true));
    assert!(last.throughput > 0.0);
    assert!(last.run.p50 >= Duration::from_secs(3) && last.run.p50 < Duration::from_millis(3_200));
    handle.await.unwrap();
}

/// The queue holds its operations and they hold the queue, so whatever is left behind would keep all of it.
#[tokio::test(start_paused = true)]
async fn finished_queue_leaves_nothing_behind() {
    struct Silent;
    impl aqe_queue::QueueObserver for Silent {}
    let observer = std::sync::Arc::new(Silent);
    for end in 0..3 {
        let builder = AsyncOperationQueue::builder(QueueConfig::default().max_concurrent(1));
        let observers =
            std::sync::Arc::clone(&observer) as std::sync::Arc<dyn aqe_queue::QueueObserver>;
        let queue = builder.observer(observers).build().unwrap();
        let running = seconds(&queue, 1).await;
        // Cancelled one by one: their places in the queue stay until somebody comes by.
        for _ in 0..10 {
            drop(seconds(&queue, 1).await);
        }
        let retrying = queue
            .operation(|_| async { Err::<(), _>(()) })
            .priority(Priority::High);
        let retrying = retrying
            .retry(RetryPolicy::fixed(1, Duration::from_secs(900)))
            .deadline_in(Duration::from_secs(9_000));
        let retrying = retrying.submit().await.unwrap();
        sleep(Duration::from_millis(500)).await;
        drop(retrying);
        match end {
            0 => {}
            1 => drop(queue.drain().await),
            _ => drop(queue.shutdown(Duration::ZERO).await),
        }
        drop((queue, running));
        sleep(Duration::from_secs(2)).await;
        assert_eq!(std::sync::Arc::strong_count(&observer), 1, "way {end}");
    }
}

#[tokio::test(start_paused = true)]
async fn queued_operation_can_be_made_more_urgent() {
    let queue = queue(QueueConfig::default().max_concurrent(1));
    let started = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let mut handles = Vec::new();
    for number in 0..4 {
        let started = std::sync::Arc::clone(&started);
        let operation = queue.future(async move {
            started.lock().unwrap().push(number);
            sleep(Duration::from_secs(1)).await;
            Ok::<_, ()>(number)
        });
        handles.push(operation.priority(Priority::Low).submit().await.unwrap());
    }
    sleep(Duration::from_millis(1)).await;
    assert_eq!(handles[3].set_priority(Priority::Critical), Ok(true));
    assert_eq!(
        queue.set_priority(handles[2].id(), Priority::Level(1)),
        Ok(true)
    );
    assert_eq!(
        handles[0].set_priority(Priority::Critical),
        Ok(false),
        "it runs"
    );
    assert!(matches!(
        handles[1].set_priority(Priority::Level(5)),
        Err(SubmitError::NoSuchLevel {
            level: 5,
            levels: 5,
            ..
        })
    ));
    let ids: Vec<_> = handles.iter().map(|handle| handle.id()).collect();
    for handle in handles {
        handle.await.unwrap();
    }
    assert_eq!(*started.lock().unwrap(), [0, 3, 2, 1]);
    assert_eq!(
        queue.set_priority(ids[1], Priority::High),
        Ok(false),
        "it is over"
    );
}

#[tokio::test(start_paused = true)]
async fn pause_of_admission_keeps_newcomers_out_and_lets_the_rest_go_on() {
    let queue = queue(QueueConfig::default().max_concurrent(1).capacity(2));
    let mut events = queue.subscribe();
    let (running, waiting) = (seconds(&queue, 1).await, seconds(&queue, 1).await);
    queue.pause_admission();
    queue.pause_admission();
    let status = queue.status();
    assert_eq!(
        (status.is_admission_paused, status.is_paused),
        (true, false)
    );
    let refused = queue.future(async { Ok::<_, ()>(7) }).try_submit();
    assert!(matches!(refused, Err(SubmitError::Paused(_))));
    let late = queue.future(async { Ok::<_, ()>(7) }).submit();
    tokio::pin!(late);
    assert!(timeout(Duration::from_secs(9), &mut late).await.is_err());
    // There is room and nothing to do, and still nobody gets in.
    assert_eq!((running.await, waiting.await), (Ok(1), Ok(1)));
    queue.idle().await;
    assert_eq!(queue.status().submitted, 2);

    queue.pause();
    queue.resume_admission();
    let handle = late.await.unwrap();
    let status = queue.status();
    let pauses = (status.is_admission_paused, status.is_paused, status.pending);
    assert_eq!(pauses, (false, true, 1));
    queue.resume();
    assert_eq!(handle.await, Ok(7));
    let mut pauses = Vec::new();
    while let Some(Observed::Event(event)) = events.try_next() {
        match event {
            Event::Paused | Event::Resumed => pauses.push(event),
            Event::AdmissionPaused | Event::AdmissionResumed => pauses.push(event),
            _ => {}
        }
    }
    let expected = [
        Event::AdmissionPaused,
        Event::Paused,
        Event::AdmissionResumed,
        Event::Resumed,
    ];
    assert_eq!(pauses, expected);
}

#[tokio::test(start_paused = true)]
async fn paused_admission_holds_without_listeners_and_ends_with_the_queue() {
    let queue = queue(QueueConfig::default());
    // The door has room for the fast way in before the pause, and must not keep it.
    seconds(&queue, 1).await.await.unwrap();
    queue.pause_admission();
    let refused = queue.future(async { Ok::<_, ()>(7) }).try_submit();
    assert!(matches!(refused, Err(SubmitError::Paused(_))));
    let late = queue.future(async { Ok::<_, ()>(7) }).submit();
    let (late, report) = tokio::join!(late, queue.drain());
    assert!(matches!(late, Err(SubmitError::Closed(_))));
    assert!(report.cut.is_empty());
}
