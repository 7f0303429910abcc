//! One operation: its timeouts, deadlines, retries, cancellation, panics and events.

#![expect(clippy::unwrap_used, reason = "helpers of tests may fail the test")]

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use aqe_queue::{
    AsyncOperationQueue, CancelReason, EndedAs, Event, Observed, OnDrop, OperationError,
    OperationId, Priority, QueueConfig, QueueObserver, RetryPolicy, SubmitError,
};
use parking_lot::Mutex;
use tokio::time::{Instant, sleep, timeout};

fn queue(config: QueueConfig) -> AsyncOperationQueue {
    AsyncOperationQueue::new(config).unwrap()
}

/// Polls a future once.
fn poll_once<F: Future + Unpin>(future: &mut F) -> std::task::Poll<F::Output> {
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    std::pin::Pin::new(future).poll(&mut cx)
}

/// Says when it is dropped.
struct Token(Arc<AtomicUsize>);

impl Drop for Token {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[tokio::test(start_paused = true)]
async fn retry_delays_are_as_configured_and_use_no_timer_when_zero() {
    let queue = queue(QueueConfig::default());
    let times = Arc::new(Mutex::new(Vec::new()));
    let began = Instant::now();
    let log = Arc::clone(&times);
    let operation = queue.operation(move |_| {
        log.lock().push(began.elapsed().as_millis());
        async { Err::<(), _>(()) }
    });
    let policy =
        RetryPolicy::exponential(3, Duration::from_millis(100), Duration::from_millis(250));
    let result = operation.retry(policy).submit().await.unwrap().await;
    assert_eq!(
        result,
        Err(OperationError::Failed {
            error: (),
            attempts: 4
        })
    );
    let times = times.lock().clone();
    for (found, expected) in times.iter().zip([0, 100, 300, 550]) {
        assert!((expected..expected + 5).contains(found), "{times:?}");
    }
    let began = Instant::now();
    let operation =
        queue.operation(|cx| async move { if cx.attempt() < 50 { Err(()) } else { Ok(()) } });
    operation
        .retry(RetryPolicy::fixed(100, Duration::ZERO))
        .submit()
        .await
        .unwrap()
        .await
        .unwrap();
    assert_eq!(began.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn waiting_retry_holds_no_slot() {
    let queue = queue(QueueConfig::default().max_concurrent(1));
    let retrying =
        queue.operation(|cx| async move { if cx.attempt() == 1 { Err(()) } else { Ok(()) } });
    let retrying = retrying
        .retry(RetryPolicy::fixed(1, Duration::from_secs(60)))
        .submit()
        .await
        .unwrap();
    let began = Instant::now();
    assert_eq!(queue.run(async { 1 }).await, Ok(1));
    assert!(began.elapsed() < Duration::from_secs(1));
    retrying.await.unwrap();
    assert!(began.elapsed() >= Duration::from_secs(60));
}

#[tokio::test(start_paused = true)]
async fn predicate_says_which_errors_are_worth_a_retry() {
    let queue = queue(QueueConfig::default().retry(RetryPolicy::fixed(5, Duration::ZERO)));
    let operation = queue
        .operation(|cx| async move { Err::<(), _>(cx.attempt()) })
        .retry_if(|error| *error < 3);
    let result = operation.submit().await.unwrap().await;
    assert_eq!(
        result,
        Err(OperationError::Failed {
            error: 3,
            attempts: 3
        })
    );
}

#[tokio::test(start_paused = true)]
async fn jitter_repeats_with_its_seed_and_stays_below_the_full_delay() {
    async fn total(seed: u64) -> Duration {
        let policy = RetryPolicy::fixed(10, Duration::from_secs(1)).full_jitter();
        let queue = queue(QueueConfig::default().retry(policy).seed(seed));
        let began = Instant::now();
        let handle = queue
            .operation(|_| async { Err::<(), _>(()) })
            .submit()
            .await
            .unwrap();
        assert_eq!(handle.await.unwrap_err().attempts(), 11);
        began.elapsed()
    }
    let (first, again, other) = (total(1).await, total(1).await, total(2).await);
    assert_eq!(first, again);
    assert_ne!(first, other);
    assert!(
        first > Duration::from_secs(1) && first < Duration::from_secs(10),
        "{first:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn future_is_run_once_whatever_the_policy() {
    let queue = queue(QueueConfig::default().retry(RetryPolicy::fixed(5, Duration::ZERO)));
    let result = queue
        .future(async { Err::<(), _>("no") })
        .submit()
        .await
        .unwrap()
        .await;
    assert_eq!(
        result,
        Err(OperationError::Failed {
            error: "no",
            attempts: 1
        })
    );
}

#[tokio::test(start_paused = true)]
async fn timeouts_of_many_lengths_come_in_their_order() {
    let queue = queue(
        QueueConfig::default()
            .max_concurrent(100)
            .retry(RetryPolicy::none()),
    );
    let began = Instant::now();
    let mut handles = Vec::new();
    for number in 0..100u64 {
        // 37 has no factor in common with 100: every length comes once, and not in order.
        let ms = 10 + number * 37 % 100;
        let operation = queue
            .future(pending::<Result<(), ()>>())
            .timeout(Duration::from_millis(ms));
        handles.push((ms, operation.submit().await.unwrap()));
    }
    handles.sort_unstable_by_key(|(ms, _)| *ms);
    for (ms, handle) in handles {
        let timed_out = handle.await;
        assert_eq!(
            timed_out,
            Err(OperationError::TimedOut {
                timeout: Duration::from_millis(ms),
                attempts: 1
            })
        );
        let took = began.elapsed().as_millis() as u64;
        assert!((ms..ms + 3).contains(&took), "{ms} ms took {took} ms");
    }
    assert_eq!(queue.status().timed_out, 100);
}

#[tokio::test(start_paused = true)]
async fn operation_that_keeps_waking_itself_still_times_out() {
    let queue = queue(QueueConfig::default().retry(RetryPolicy::none()));
    let restless = queue.future(async {
        loop {
            // Lets time pass, a little at a time, without ever being idle for long.
            sleep(Duration::from_millis(1)).await;
        }
        #[expect(unreachable_code, reason = "it gives the block its type")]
        Ok::<(), ()>(())
    });
    let result = restless
        .timeout(Duration::from_millis(20))
        .submit()
        .await
        .unwrap()
        .await;
    assert!(matches!(result, Err(OperationError::TimedOut { .. })));
}

#[tokio::test(start_paused = true)]
async fn deadline_ends_an_operation_wherever_it_is() {
    let queue = queue(
        QueueConfig::default()
            .max_concurrent(1)
            .retry(RetryPolicy::fixed(9, Duration::from_secs(60))),
    );
    let second = Duration::from_secs(1);
    let running = queue
        .future(pending::<Result<(), ()>>())
        .deadline_in(second)
        .submit()
        .await
        .unwrap();
    let waiting = queue
        .future(async { Ok::<_, ()>(()) })
        .deadline_in(second / 2)
        .submit()
        .await
        .unwrap();
    let began = Instant::now();
    assert_eq!(
        waiting.await,
        Err(OperationError::DeadlineExceeded { attempts: 0 })
    );
    assert_eq!(began.elapsed().as_millis(), 500);
    assert_eq!(
        running.await,
        Err(OperationError::DeadlineExceeded { attempts: 1 })
    );
    let retrying = queue
        .operation(|_| async { Err::<(), _>(()) })
        .deadline_in(second * 3)
        .submit()
        .await
        .unwrap();
    assert_eq!(
        retrying.await,
        Err(OperationError::DeadlineExceeded { attempts: 1 })
    );
    assert_eq!(began.elapsed().as_millis(), 4_000);
    // One that was met is forgotten.
    let met = queue
        .future(async { Ok::<_, ()>(7) })
        .deadline_in(second)
        .submit()
        .await
        .unwrap();
    assert_eq!(met.await, Ok(7));
    assert_eq!(
        (queue.status().deadline_exceeded, queue.status().running),
        (3, 0)
    );
}

#[tokio::test(start_paused = true)]
async fn deadline_in_the_past_starts_nothing() {
    let queue = queue(QueueConfig::default());
    let ran = Arc::new(AtomicUsize::new(0));
    let token = Token(Arc::clone(&ran));
    let operation = queue.future(async move {
        std::mem::forget(token);
        Ok::<_, ()>(())
    });
    let handle = operation
        .deadline(Instant::now().into_std())
        .submit()
        .await
        .unwrap();
    assert_eq!(
        handle.await,
        Err(OperationError::DeadlineExceeded { attempts: 0 })
    );
    assert_eq!(
        ran.load(Ordering::SeqCst),
        1,
        "the body was run, not dropped"
    );
}

#[tokio::test(start_paused = true)]
async fn cancelling_works_wherever_the_operation_is() {
    let queue = queue(QueueConfig::default().max_concurrent(1));
    let dropped = Arc::new(AtomicUsize::new(0));
    let stuck = |attempts| {
        let token = Token(Arc::clone(&dropped));
        let operation = queue.operation(move |_| {
            let _held = &token;
            async move {
                if attempts {
                    Err(())
                } else {
                    pending::<Result<(), ()>>().await
                }
            }
        });
        operation.retry(RetryPolicy::fixed(1, Duration::from_secs(60)))
    };
    let asked = |attempts| {
        Err(OperationError::Cancelled {
            reason: CancelReason::Asked,
            attempts,
        })
    };

    let delayed = stuck(true).submit().await.unwrap();
    sleep(Duration::from_millis(1)).await;
    let running = stuck(false).submit().await.unwrap();
    let queued = stuck(false).submit().await.unwrap();
    sleep(Duration::from_millis(1)).await;
    let status = queue.status();
    assert_eq!(
        (status.waiting_for_retry, status.running, status.pending),
        (1, 1, 1)
    );

    assert!(queued.cancel());
    assert!(!queued.cancel());
    assert_eq!(
        (dropped.load(Ordering::SeqCst), queue.status().pending),
        (1, 0)
    );
    assert_eq!(queued.await, asked(0));
    assert!(delayed.canceller().cancel());
    assert_eq!(
        (
            dropped.load(Ordering::SeqCst),
            queue.status().waiting_for_retry
        ),
        (2, 0)
    );
    assert_eq!(delayed.await, asked(1));
    assert!(queue.cancel(running.id()));
    assert!(!queue.cancel(running.id()));
    assert_eq!(running.await, asked(1));
    assert_eq!(
        (dropped.load(Ordering::SeqCst), queue.status().running),
        (3, 0)
    );
    // The slot is free again, and a finished operation cannot be cancelled.
    let done = queue
        .operation(|_| async { Ok::<_, ()>(1) })
        .submit()
        .await
        .unwrap();
    queue.idle().await;
    assert!(!done.cancel());
    assert_eq!(done.await, Ok(1));
}

#[tokio::test(start_paused = true)]
async fn dropping_a_handle_does_what_its_policy_says() {
    for (policy, cancels_running, cancels_queued) in [
        (OnDrop::Cancel, true, true),
        (OnDrop::CancelIfQueued, false, true),
        (OnDrop::Detach, false, false),
    ] {
        let queue = queue(QueueConfig::default().max_concurrent(1).on_drop(policy));
        let second = || async {
            sleep(Duration::from_secs(1)).await;
            Ok::<_, ()>(())
        };
        let running = queue.future(second()).submit().await.unwrap();
        let queued = queue.future(second()).submit().await.unwrap();
        tokio::task::yield_now().await;
        drop((running, queued));
        queue.idle().await;
        let status = queue.status();
        let cancelled = u64::from(cancels_running) + u64::from(cancels_queued);
        assert_eq!(
            (status.cancelled, status.completed),
            (cancelled, 2 - cancelled),
            "{policy:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn dropping_a_run_cancels_it() {
    let queue = queue(QueueConfig::default());
    assert!(
        timeout(Duration::from_millis(5), queue.run(pending::<()>()))
            .await
            .is_err()
    );
    queue.idle().await;
    assert_eq!(queue.status().cancelled, 1);
}

#[tokio::test(start_paused = true)]
async fn panic_fails_alone_and_frees_its_slot() {
    let queue = queue(QueueConfig::default().max_concurrent(1));
    let panicking = queue.operation(|cx| async move {
        if cx.attempt() == 1 {
            sleep(Duration::from_millis(1)).await;
            panic!("number {}", 7);
        }
        Ok::<(), ()>(())
    });
    let result = panicking.submit().await.unwrap().await;
    assert_eq!(
        result,
        Err(OperationError::Panicked {
            message: "number 7".to_owned(),
            attempts: 1
        })
    );
    let in_factory =
        queue.operation(|_| -> std::future::Ready<Result<(), ()>> { panic!("in the factory") });
    let result = in_factory.submit().await.unwrap().await;
    assert_eq!(
        result,
        Err(OperationError::Panicked {
            message: "in the factory".to_owned(),
            attempts: 1
        })
    );
    let in_predicate = queue
        .operation(|_| async { Err::<(), _>(()) })
        .retry_if(|()| panic!("in the predicate"));
    let result = in_predicate.submit().await.unwrap().await;
    assert_eq!(
        result,
        Err(OperationError::Panicked {
            message: "in the predicate".to_owned(),
            attempts: 1
        })
    );
    assert_eq!(queue.run(async { 1 }).await, Ok(1));
    assert_eq!((queue.status().panicked, queue.status().retried), (3, 0));
}

#[tokio::test(start_paused = true)]
async fn full_queue_hands_the_operation_back_or_waits_in_turn() {
    let queue = queue(QueueConfig::default().max_concurrent(1).capacity(2));
    let second = |number: u32| async move {
        sleep(Duration::from_secs(1)).await;
        Ok::<_, ()>(number)
    };
    let mut handles = vec![queue.future(second(0)).try_submit().unwrap()];
    tokio::task::yield_now().await;
    handles.push(queue.future(second(1)).try_submit().unwrap());
    handles.push(queue.future(second(2)).try_submit().unwrap());
    let Err(SubmitError::Full(third)) = queue.future(second(3)).try_submit() else {
        panic!("there is no room")
    };

    // Those who wait come in one after another, and those who only try do not pass them.
    let mut waiting = [
        queue.future(third).submit(),
        queue.future(second(4)).submit(),
    ];
    for submit in &mut waiting {
        assert!(poll_once(submit).is_pending());
    }
    sleep(Duration::from_millis(1_001)).await;
    assert!(matches!(
        queue.future(second(9)).try_submit(),
        Err(SubmitError::Full(_))
    ));
    let [third, fourth] = waiting;
    handles.push(third.await.unwrap());
    handles.push(fourth.await.unwrap());
    for (number, handle) in handles.into_iter().enumerate() {
        assert_eq!(handle.await, Ok(number as u32));
    }
}

#[tokio::test(start_paused = true)]
async fn submitter_that_gives_up_leaves_its_turn_to_the_next() {
    let queue = queue(QueueConfig::default().max_concurrent(1).capacity(1));
    queue.pause();
    let quick = || async { Ok::<_, ()>(()) };
    let blocking = queue.future(quick()).try_submit().unwrap();
    let mut first = queue.future(quick()).submit();
    let mut second = queue.future(quick()).submit();
    assert!(poll_once(&mut first).is_pending());
    assert!(poll_once(&mut second).is_pending());
    assert!(blocking.cancel());
    // The first has been given the place and goes away with it.
    drop(first);
    let second = second.await.unwrap();
    queue.resume();
    second.await.unwrap();
    assert_eq!(queue.status().submitted, 2);
}

#[tokio::test(start_paused = true)]
async fn waiting_submitter_hears_that_the_queue_has_closed() {
    let queue = queue(QueueConfig::default().max_concurrent(1).capacity(1));
    queue.pause();
    let _queued = queue
        .future(async { Ok::<_, ()>(()) })
        .try_submit()
        .unwrap();
    let waiting = queue.future(async { Ok::<_, ()>(()) }).submit();
    let (submitted, _) = tokio::join!(waiting, queue.shutdown(Duration::ZERO));
    assert!(matches!(submitted, Err(SubmitError::Closed(_))));
}

#[tokio::test(start_paused = true)]
async fn level_that_does_not_exist_is_refused() {
    let queue = queue(QueueConfig::default().priority_levels(2));
    let refused = queue
        .future(async { Ok::<_, ()>(()) })
        .priority(Priority::Level(2))
        .try_submit();
    assert!(matches!(
        refused,
        Err(SubmitError::NoSuchLevel {
            level: 2,
            levels: 2,
            ..
        })
    ));
    let named = queue
        .future(async { Ok::<_, ()>(()) })
        .priority(Priority::Background)
        .try_submit();
    named.unwrap().await.unwrap();
}

/// With free slots the newcomer is taken besides; without, what was taken goes back.
#[tokio::test(start_paused = true)]
async fn urgent_newcomer_is_next_whatever_a_worker_has_taken() {
    for slots in [1, 2, 5, 64] {
        let queue = queue(QueueConfig::default().max_concurrent(slots).batch_size(64));
        let order = Arc::new(Mutex::new(Vec::new()));
        let mut handles = Vec::new();
        for number in 0..40 {
            let (inner, order) = (queue.clone(), Arc::clone(&order));
            let operation = queue.future(async move {
                order.lock().push(number);
                if number % 3 == 2 {
                    let order = Arc::clone(&order);
                    let urgent = async move {
                        order.lock().push(100 + number);
                        Ok::<_, ()>(())
                    };
                    inner
                        .future(urgent)
                        .priority(Priority::High)
                        .try_submit()
                        .unwrap()
                        .detach();
                }
                Ok::<_, ()>(())
            });
            handles.push(operation.try_submit().unwrap());
        }
        queue.idle().await;
        let expected: Vec<_> = (0..40)
            .flat_map(|number| {
                if number % 3 == 2 {
                    vec![number, 100 + number]
                } else {
                    vec![number]
                }
            })
            .collect();
        assert_eq!(*order.lock(), expected, "{slots} slots");
    }
}

#[tokio::test(start_paused = true)]
async fn events_tell_the_life_of_an_operation_in_order() {
    let queue = queue(QueueConfig::default().retry(RetryPolicy::fixed(1, Duration::from_secs(1))));
    let mut events = queue.subscribe();
    let handle = queue
        .operation(|cx| async move {
            if cx.attempt() == 1 {
                pending().await
            } else {
                Ok::<_, ()>(())
            }
        })
        .timeout(Duration::from_secs(5))
        .priority(Priority::High)
        .submit()
        .await
        .unwrap();
    let id = handle.id();
    handle.await.unwrap();
    queue.pause();
    queue.resume();
    queue.resize(3).unwrap();
    queue.clear();
    queue.drain().await;
    let mut seen = Vec::new();
    while let Some(Observed::Event(event)) = events.next().await {
        seen.push(event);
    }
    let expected = [
        Event::Submitted { id, level: 1 },
        Event::Started { id, attempt: 1 },
        Event::TimedOut { id, attempt: 1 },
        Event::Retrying {
            id,
            attempt: 1,
            delay: Duration::from_secs(1),
        },
        Event::Started { id, attempt: 2 },
        Event::Ended {
            id,
            how: EndedAs::Completed,
            attempts: 2,
        },
        Event::Paused,
        Event::Resumed,
        Event::Resized { max_concurrent: 3 },
        Event::Cleared { operations: 0 },
        Event::Drained,
    ];
    assert_eq!(seen, expected);
    assert_eq!(queue.subscribe().next().await, None);
}

#[tokio::test(start_paused = true)]
async fn slow_subscriber_loses_events_and_slows_nothing() {
    let queue = queue(QueueConfig::default().event_capacity(4));
    let mut events = queue.subscribe();
    for _ in 0..100 {
        queue.run(async {}).await.unwrap();
    }
    assert!(matches!(events.try_next(), Some(Observed::Missed(missed)) if missed >= 290));
    assert!(matches!(events.try_next(), Some(Observed::Event(_))));
}

#[derive(Default)]
struct Witness {
    started: AtomicUsize,
    ended: AtomicUsize,
    drained: AtomicUsize,
}

impl QueueObserver for Witness {
    fn on_started(&self, _: OperationId, _: u32) {
        self.started.fetch_add(1, Ordering::SeqCst);
    }

    fn on_ended(&self, _: OperationId, _: EndedAs, _: u32) {
        self.ended.fetch_add(1, Ordering::SeqCst);
        panic!("a defective observer");
    }

    fn on_drained(&self) {
        self.drained.fetch_add(1, Ordering::SeqCst);
    }
}

#[tokio::test(start_paused = true)]
async fn observer_is_called_in_place_and_cannot_break_the_queue() {
    let witness = Arc::new(Witness::default());
    let builder = AsyncOperationQueue::builder(QueueConfig::default());
    let queue = builder
        .observer(Arc::clone(&witness) as Arc<dyn QueueObserver>)
        .build()
        .unwrap();
    for _ in 0..3 {
        queue.run(async {}).await.unwrap();
    }
    queue.drain().await;
    let counts = [&witness.started, &witness.ended, &witness.drained]
        .map(|count| count.load(Ordering::SeqCst));
    assert_eq!(counts, [3, 3, 1]);
}

#[tokio::test(start_paused = true)]
async fn signal_reaches_what_an_attempt_started_elsewhere() {
    let queue = queue(QueueConfig::default());
    let (sender, mut ends) = tokio::sync::mpsc::unbounded_channel();
    let operation = queue.operation(move |cx| {
        let (signal, sender, attempt) = (cx.signal(), sender.clone(), cx.attempt());
        tokio::spawn(async move {
            signal.cancelled().await;
            sender.send(attempt).unwrap();
        });
        async move {
            if cx.attempt() == 1 {
                pending().await
            } else {
                Err::<(), _>(())
            }
        }
    });
    let operation = operation
        .timeout(Duration::from_secs(1))
        .retry(RetryPolicy::fixed(1, Duration::ZERO));
    let result = operation.submit().await.unwrap().await;
    assert_eq!(
        result,
        Err(OperationError::Failed {
            error: (),
            attempts: 2
        })
    );
    assert_eq!((ends.recv().await, ends.recv().await), (Some(1), Some(2)));

    // It never fires for an attempt that succeeded.
    let (sender, ends) = tokio::sync::oneshot::channel();
    let mut sender = Some(sender);
    let operation = queue.operation(move |cx| {
        let _ = sender.take().unwrap().send(cx.signal());
        async { Ok::<_, ()>(()) }
    });
    operation.submit().await.unwrap().await.unwrap();
    assert!(!ends.await.unwrap().is_cancelled());
}
