//! The faults of the system that this queue succeeds, each as a test.
//!
//! That system was run with the same inputs. With a limit of 1, an operation of 300 ms with a timeout of 50 ms and
//! 2 retries had 3 bodies alive at once, and the counters told of 3 successes, 1 failure and 1 timeout for one
//! operation. With a limit of 2, twenty operations that failed once were all alive at once, past the limit and past the
//! priorities. A result after two retries said that there had been none, and a setting of 0 retries meant 3.

#![expect(clippy::unwrap_used, reason = "helpers of tests may fail the test")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use aqe_queue::{
    AsyncOperationQueue, CancelReason, EndedAs, Event, Observed, OnDrop, OperationError, Priority,
    QueueConfig, RetryPolicy,
};
use parking_lot::Mutex;
use tokio::time::{Instant, sleep};

/// Counts bodies that are alive, and the most there ever were.
#[derive(Clone, Default)]
struct Alive(Arc<(AtomicUsize, AtomicUsize)>);

struct Life(Alive);

impl Alive {
    fn begin(&self) -> Life {
        let now = self.0.0.fetch_add(1, Ordering::SeqCst) + 1;
        self.0.1.fetch_max(now, Ordering::SeqCst);
        Life(self.clone())
    }

    fn now(&self) -> usize {
        self.0.0.load(Ordering::SeqCst)
    }

    fn most(&self) -> usize {
        self.0.1.load(Ordering::SeqCst)
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        self.0.0.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[tokio::test(start_paused = true)]
async fn timed_out_body_is_dropped_before_its_slot_is_used_again() {
    let queue = AsyncOperationQueue::new(QueueConfig::default().max_concurrent(1)).unwrap();
    let (alive, started) = (Alive::default(), Instant::now());
    let counted = alive.clone();
    let handle = queue
        .operation(move |_| {
            let life = counted.begin();
            async move {
                sleep(Duration::from_millis(300)).await;
                drop(life);
                Ok::<_, ()>(())
            }
        })
        .timeout(Duration::from_millis(50))
        .retry(RetryPolicy::fixed(2, Duration::ZERO))
        .submit()
        .await
        .unwrap();
    let completion = handle.completion().await;
    let timeout = Duration::from_millis(50);
    assert_eq!(
        completion.result,
        Err(OperationError::TimedOut {
            timeout,
            attempts: 3
        })
    );
    assert_eq!(completion.attempts, 3);
    assert_eq!((alive.most(), alive.now()), (1, 0));
    let took = started.elapsed();
    assert!(
        took >= Duration::from_millis(150) && took <= Duration::from_millis(156),
        "{took:?}"
    );

    let status = queue.status();
    assert_eq!(
        (
            status.submitted,
            status.completed,
            status.failed,
            status.timed_out
        ),
        (1, 0, 0, 1)
    );
    assert_eq!(
        (status.retried, status.attempts_timed_out, status.running),
        (2, 3, 0)
    );
}

#[tokio::test(start_paused = true)]
async fn retries_stay_within_the_limit_and_in_the_order_of_priority() {
    let queue = AsyncOperationQueue::new(QueueConfig::default().max_concurrent(2)).unwrap();
    queue.pause();
    let (alive, order) = (Alive::default(), Arc::new(Mutex::new(Vec::new())));
    let mut handles = Vec::new();
    for number in 0..20u32 {
        let priority = if number % 2 == 0 {
            Priority::Low
        } else {
            Priority::High
        };
        let (alive, order) = (alive.clone(), Arc::clone(&order));
        let operation = queue.operation(move |cx| {
            let life = alive.begin();
            order
                .lock()
                .push((priority == Priority::Low, cx.attempt(), number));
            async move {
                sleep(Duration::from_millis(10)).await;
                drop(life);
                if cx.attempt() == 1 {
                    Err("once")
                } else {
                    Ok(())
                }
            }
        });
        let operation = operation
            .priority(priority)
            .retry(RetryPolicy::fixed(1, Duration::ZERO));
        handles.push(operation.submit().await.unwrap());
    }
    queue.resume();
    for mut handle in handles {
        assert_eq!((&mut handle).await, Ok(()));
        assert_eq!(handle.attempts(), 2);
    }
    assert_eq!(alive.most(), 2);
    // All urgent first attempts, then their retries, and only then the others: exactly the sorted order.
    let order = Arc::into_inner(order).unwrap().into_inner();
    let mut sorted = order.clone();
    sorted.sort_unstable();
    assert_eq!(order, sorted);
    assert_eq!((queue.status().completed, queue.status().retried), (20, 20));
}

#[tokio::test(start_paused = true)]
async fn attempts_are_told_rightly_after_two_retries() {
    let queue = AsyncOperationQueue::new(QueueConfig::default()).unwrap();
    let operation = queue.operation(|cx| async move {
        if cx.attempt() < 3 {
            Err(())
        } else {
            Ok("done")
        }
    });
    let completion = operation.submit().await.unwrap().completion().await;
    assert_eq!((completion.result, completion.attempts), (Ok("done"), 3));
}

#[tokio::test(start_paused = true)]
async fn zero_retries_are_zero() {
    let queue =
        AsyncOperationQueue::new(QueueConfig::default().retry(RetryPolicy::none())).unwrap();
    let runs = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&runs);
    let operation = queue.operation(move |_| {
        counted.fetch_add(1, Ordering::SeqCst);
        async { Err::<(), _>("no") }
    });
    let result = operation.submit().await.unwrap().await;
    assert_eq!(
        result,
        Err(OperationError::Failed {
            error: "no",
            attempts: 1
        })
    );
    assert_eq!(
        (runs.load(Ordering::SeqCst), queue.status().retried),
        (1, 0)
    );
}

#[tokio::test(start_paused = true)]
async fn results_are_kept_no_longer_than_somebody_can_ask_for_them() {
    let queue = AsyncOperationQueue::new(QueueConfig::default()).unwrap();
    let result = Arc::new(());
    for policy in [OnDrop::Cancel, OnDrop::CancelIfQueued, OnDrop::Detach] {
        let value = Arc::clone(&result);
        // A deadline far away must not hold on to the result either.
        let operation = queue
            .future(async move { Ok::<_, ()>(value) })
            .deadline_in(Duration::from_secs(3600));
        let handle = operation.on_drop(policy).submit().await.unwrap();
        queue.idle().await;
        assert_eq!(Arc::strong_count(&result), 2);
        drop(handle);
        assert_eq!(Arc::strong_count(&result), 1);
    }
    let value = Arc::clone(&result);
    queue
        .future(async move { Ok::<_, ()>(value) })
        .submit()
        .await
        .unwrap()
        .detach();
    queue.idle().await;
    assert_eq!(
        (Arc::strong_count(&result), queue.status().completed),
        (1, 4)
    );
}

#[tokio::test(start_paused = true)]
async fn each_waiter_is_woken_once_however_many_there_are() {
    use std::task::{Context, Poll, Wake, Waker};

    struct Count(AtomicUsize);
    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    let queue = AsyncOperationQueue::new(QueueConfig::default()).unwrap();
    let mut waiters = Vec::new();
    for _ in 0..1_000 {
        let mut handle = queue
            .future(async { Ok::<_, ()>(()) })
            .submit()
            .await
            .unwrap();
        let count = Arc::new(Count(AtomicUsize::new(0)));
        let waker = Waker::from(Arc::clone(&count));
        let polled = std::pin::Pin::new(&mut handle).poll(&mut Context::from_waker(&waker));
        assert_eq!(polled, Poll::Pending);
        waiters.push((handle, count));
    }
    queue.idle().await;
    assert!(
        waiters
            .iter()
            .all(|(handle, count)| handle.is_finished() && count.0.load(Ordering::SeqCst) == 1)
    );
}

#[tokio::test(start_paused = true)]
async fn shutdown_names_what_it_cut_and_sends_its_last_event() {
    let queue = AsyncOperationQueue::new(QueueConfig::default().max_concurrent(1)).unwrap();
    let mut events = queue.subscribe();
    let running = queue.run_for_ever().await;
    let mut queued = Vec::new();
    for _ in 0..3 {
        queued.push(queue.run_for_ever().await);
    }
    tokio::task::yield_now().await;
    let report = queue.shutdown(Duration::from_secs(2)).await;
    let ids: Vec<_> = queued
        .iter()
        .chain([&running])
        .map(aqe_queue::OperationHandle::id)
        .collect();
    assert_eq!(report.cut, ids);
    assert_eq!(
        (report.finished, report.elapsed),
        (0, Duration::from_secs(2))
    );
    for handle in queued {
        let cancelled = OperationError::Cancelled {
            reason: CancelReason::Shutdown,
            attempts: 0,
        };
        assert_eq!(handle.await, Err(cancelled));
    }
    let cancelled = OperationError::Cancelled {
        reason: CancelReason::Shutdown,
        attempts: 1,
    };
    assert_eq!(running.await, Err(cancelled));

    let mut seen = Vec::new();
    while let Some(Observed::Event(event)) = events.next().await {
        seen.push(event);
    }
    assert_eq!(seen.last(), Some(&Event::Drained));
    let how = EndedAs::Cancelled(CancelReason::Shutdown);
    let ended = seen
        .iter()
        .filter(|event| matches!(event, Event::Ended { how: it, .. } if *it == how))
        .count();
    assert_eq!(ended, 4);
}

trait RunForEver {
    async fn run_for_ever(&self) -> aqe_queue::OperationHandle<(), ()>;
}

impl RunForEver for AsyncOperationQueue {
    async fn run_for_ever(&self) -> aqe_queue::OperationHandle<(), ()> {
        self.future(std::future::pending())
            .timeout(None)
            .submit()
            .await
            .unwrap()
    }
}

/// One start in eight is for the longest-waiting operation, once it has waited for ten seconds. So under an endless
/// flood of urgent operations of 1 s each, one at a time, a background operation starts within 10 s and 8 starts.
#[tokio::test(start_paused = true)]
async fn the_lowest_level_is_not_starved() {
    let config = QueueConfig::default()
        .max_concurrent(1)
        .ageing(Duration::from_secs(10));
    let queue = AsyncOperationQueue::new(config).unwrap();
    let began = Instant::now();
    fn flood(
        queue: &AsyncOperationQueue,
        priority: Priority,
    ) -> aqe_queue::OperationHandle<(), ()> {
        let second = async {
            sleep(Duration::from_secs(1)).await;
            Ok(())
        };
        queue
            .future(second)
            .priority(priority)
            .try_submit()
            .unwrap()
    }
    let mut urgent: std::collections::VecDeque<_> =
        (0..3).map(|_| flood(&queue, Priority::Critical)).collect();
    let mut lowest = queue.future(async move { Ok::<_, ()>(Instant::now()) });
    lowest = lowest.priority(Priority::Background);
    let mut lowest = lowest.submit().await.unwrap();
    let started = loop {
        let next = urgent.pop_front().unwrap();
        tokio::select! {
            biased;
            started = &mut lowest => break started.unwrap(),
            ended = next => ended.unwrap(),
        }
        // As one ends another comes: without protection the lowest level would never have its turn.
        urgent.push_back(flood(&queue, Priority::Critical));
        assert!(began.elapsed() < Duration::from_secs(60), "starved");
    };
    let waited = started - began;
    assert!(
        waited >= Duration::from_secs(10) && waited <= Duration::from_secs(18),
        "{waited:?}"
    );
}
