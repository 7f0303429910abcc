//! Many workers and many producers at once. Nothing here depends on how fast anything is.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use aqe_queue::{
    AsyncOperationQueue, OnDrop, OperationError, Priority, QueueConfig, QueueStatus, RetryPolicy,
    SubmitError,
};

fn balance(status: &QueueStatus) -> u64 {
    let waiting = (status.pending + status.running + status.waiting_for_retry) as u64;
    let ended = status.completed + status.failed + status.timed_out + status.deadline_exceeded;
    waiting + ended + status.cancelled + status.panicked
}

/// Operations that end at once, wait, fail, panic, are cancelled, from eight producers, while the limit changes. None
/// is lost or doubled, and the limit holds.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_is_lost_doubled_or_over_the_limit() {
    const PRODUCERS: usize = 8;
    const EACH: usize = 2_000;
    let config = QueueConfig::default().max_concurrent(16).capacity(500);
    let queue =
        AsyncOperationQueue::new(config.retry(RetryPolicy::fixed(1, Duration::ZERO))).unwrap();
    let (alive, most, runs) = (
        Arc::new(AtomicUsize::new(0)),
        Arc::new(AtomicUsize::new(0)),
        Arc::new(AtomicUsize::new(0)),
    );
    struct Life(Arc<AtomicUsize>);
    impl Drop for Life {
        fn drop(&mut self) {
            self.0.fetch_sub(1, Ordering::SeqCst);
        }
    }
    let producers: Vec<_> = (0..PRODUCERS)
        .map(|producer| {
            let (queue, alive, most, runs) = (
                queue.clone(),
                Arc::clone(&alive),
                Arc::clone(&most),
                Arc::clone(&runs),
            );
            tokio::spawn(async move {
                let mut random = fastrand::Rng::with_seed(producer as u64);
                let mut ends = [0u64; 4];
                let mut handles = std::collections::VecDeque::new();
                for _ in 0..EACH {
                    let kind = random.u8(0..20);
                    let (alive, most, runs) =
                        (Arc::clone(&alive), Arc::clone(&most), Arc::clone(&runs));
                    let operation = queue.operation(move |cx| {
                        most.fetch_max(alive.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                        let life = Life(Arc::clone(&alive));
                        runs.fetch_add(1, Ordering::SeqCst);
                        async move {
                            let _life = life;
                            for _ in 0..kind % 3 {
                                tokio::task::yield_now().await;
                            }
                            match kind {
                                0 => panic!("on purpose"),
                                1 if cx.attempt() == 1 => Err("once"),
                                2 => Err("always"),
                                _ => Ok(()),
                            }
                        }
                    });
                    let handle = operation
                        .priority(Priority::Level(random.u8(0..5)))
                        .on_drop(OnDrop::Detach)
                        .submit()
                        .await
                        .unwrap();
                    if kind == 3 {
                        handle.cancel();
                    }
                    handles.push_back(handle);
                    if handles.len() > 50 {
                        count(&mut ends, handles.pop_front().unwrap().await);
                    }
                }
                for handle in handles {
                    count(&mut ends, handle.await);
                }
                ends
            })
        })
        .collect();
    let resizer = {
        let queue = queue.clone();
        tokio::spawn(async move {
            for limit in (1..=16).cycle().take(2_000) {
                queue.resize(limit).unwrap();
                let status = queue.status();
                assert_eq!(balance(&status), status.submitted, "{status:?}");
                tokio::task::yield_now().await;
            }
            queue.resize(16).unwrap();
        })
    };
    let mut ends = [0u64; 4];
    for producer in producers {
        for (sum, count) in ends.iter_mut().zip(producer.await.unwrap()) {
            *sum += count;
        }
    }
    resizer.await.unwrap();
    assert_eq!(ends.iter().sum::<u64>(), (PRODUCERS * EACH) as u64);
    let report = queue.drain().await;
    assert!(report.cut.is_empty());
    let status = queue.status();
    assert_eq!(
        [
            status.completed,
            status.failed,
            status.panicked,
            status.cancelled
        ],
        ends
    );
    assert_eq!(balance(&status), status.submitted);
    assert!(
        most.load(Ordering::SeqCst) <= 16,
        "{} were alive",
        most.load(Ordering::SeqCst)
    );
    assert_eq!(alive.load(Ordering::SeqCst), 0);
    // Every run is a first attempt of something that was not cancelled before it began, or a retry.
    let runs = runs.load(Ordering::SeqCst) as u64;
    assert!(runs <= status.submitted + status.retried && runs >= status.completed + status.failed);
}

fn count(ends: &mut [u64; 4], result: Result<(), OperationError<&str>>) {
    let index = match result {
        Ok(()) => 0,
        Err(OperationError::Failed { attempts: 2, .. }) => 1,
        Err(OperationError::Panicked { attempts: 1, .. }) => 2,
        Err(OperationError::Cancelled { .. }) => 3,
        Err(other) => panic!("{other:?}"),
    };
    ends[index] += 1;
}

/// Yields by waking itself. Tokio's own `yield_now` leaves the wake to the thread it was called on, which is the one that
/// will be blocked.
async fn yield_once() {
    let mut yielded = false;
    std::future::poll_fn(|cx| {
        if std::mem::replace(&mut yielded, true) {
            return std::task::Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        std::task::Poll::Pending
    })
    .await;
}

/// An operation that blocks its thread until others have run: with a second worker they do.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn blocked_worker_does_not_hold_up_the_others() {
    let queue = AsyncOperationQueue::new(QueueConfig::default().max_concurrent(8)).unwrap();
    for _ in 0..20 {
        let (release, gate) = std::sync::mpsc::channel::<()>();
        let blocking = queue
            .future(async move { gate.recv().map_err(drop) })
            .submit()
            .await
            .unwrap();
        // They may be in the same batch as the one that blocks, and lie in its worker's hands.
        let mut others = Vec::new();
        for number in 0..4u32 {
            let operation = queue.future(async move {
                yield_once().await;
                Ok::<_, ()>(number)
            });
            others.push(operation.submit().await.unwrap());
        }
        for (number, other) in others.into_iter().enumerate() {
            assert_eq!(other.await, Ok(number as u32));
        }
        release.send(()).unwrap();
        assert_eq!(blocking.await, Ok(()));
    }
}

/// A timeout comes although the worker that began the operation is blocked by another.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn blocked_worker_does_not_hold_up_timeouts() {
    let config = QueueConfig::default()
        .max_concurrent(8)
        .retry(RetryPolicy::none());
    let queue = AsyncOperationQueue::new(config).unwrap();
    let late = queue
        .future(std::future::pending::<Result<(), ()>>())
        .timeout(Duration::from_millis(20));
    let late = late.submit().await.unwrap();
    let (release, gate) = std::sync::mpsc::channel::<()>();
    let blocking = queue
        .future(async move { gate.recv().map_err(drop) })
        .submit()
        .await
        .unwrap();
    assert!(matches!(late.await, Err(OperationError::TimedOut { .. })));
    release.send(()).unwrap();
    blocking.await.unwrap();
}

/// Producers that use a full queue in turn all get through.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn backpressure_loses_nobody() {
    let queue =
        AsyncOperationQueue::new(QueueConfig::default().max_concurrent(2).capacity(3)).unwrap();
    let producers: Vec<_> = (0..8u64)
        .map(|_| {
            let queue = queue.clone();
            tokio::spawn(async move {
                let mut refused = 0;
                for number in 0..500 {
                    let operation = async move { Ok::<_, ()>(number) };
                    let handle = if number % 2 == 0 {
                        queue.future(operation).submit().await.unwrap()
                    } else {
                        match queue.future(operation).try_submit() {
                            Ok(handle) => handle,
                            Err(SubmitError::Full(operation)) => {
                                refused += 1;
                                queue.future(operation).submit().await.unwrap()
                            }
                            Err(other) => panic!("{other:?}"),
                        }
                    };
                    assert_eq!(handle.await, Ok(number));
                }
                refused
            })
        })
        .collect();
    for producer in producers {
        producer.await.unwrap();
    }
    assert_eq!(queue.status().completed, 4_000);
}

/// Shutting down in the middle of everything: every handle hears of an end.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_handle_hears_of_an_end() {
    for round in 0..50u64 {
        let queue = AsyncOperationQueue::new(QueueConfig::default().max_concurrent(4)).unwrap();
        let producers: Vec<_> = (0..4)
            .map(|_| {
                let queue = queue.clone();
                tokio::spawn(async move {
                    let mut handles = Vec::new();
                    loop {
                        let operation = queue.operation(|cx| async move {
                            tokio::task::yield_now().await;
                            if cx.attempt() == 1 { Err(()) } else { Ok(()) }
                        });
                        match operation
                            .retry(RetryPolicy::fixed(1, Duration::ZERO))
                            .try_submit()
                        {
                            Ok(handle) => handles.push(handle),
                            Err(SubmitError::Full(_)) => tokio::task::yield_now().await,
                            Err(_) => break,
                        }
                    }
                    let submitted = handles.len() as u64;
                    for handle in handles {
                        let _ = handle.await;
                    }
                    submitted
                })
            })
            .collect();
        tokio::time::sleep(Duration::from_micros(round * 20)).await;
        queue.shutdown(Duration::ZERO).await;
        let mut submitted = 0;
        for producer in producers {
            submitted += producer.await.unwrap();
        }
        let status = queue.status();
        assert_eq!((status.submitted, balance(&status)), (submitted, submitted));
        assert_eq!(
            status.pending + status.running + status.waiting_for_retry,
            0
        );
    }
}
