//! Features that meet: keys and levels, shedding and keys, streams and limits.

#![expect(clippy::unwrap_used, reason = "helpers of tests may fail the test")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use aqe_queue::config::Overflow;
use aqe_queue::{
    AsyncOperationQueue, CancelReason, ErrorLimit, ErrorThreshold, KeyLimits, OperationError,
    OperationHandle, Priority, QueueConfig, RetryPolicy, Scheduling, SubmitError, ThresholdAction,
};
use futures_util::StreamExt;
use parking_lot::Mutex;
use tokio::time::sleep;

const MS: Duration = Duration::from_millis(1);

type Log = Arc<Mutex<Vec<&'static str>>>;

fn queue(config: QueueConfig) -> AsyncOperationQueue {
    AsyncOperationQueue::new(config).unwrap()
}

/// Logs its start and takes 10 ms.
fn work(name: &'static str, log: &Log) -> impl Future<Output = Result<&'static str, ()>> + use<> {
    let log = Arc::clone(log);
    async move {
        log.lock().push(name);
        sleep(10 * MS).await;
        Ok(name)
    }
}

/// Submits at a level, with a key unless that is empty.
fn submit(
    queue: &AsyncOperationQueue,
    (name, level, key): (&'static str, u8, &str),
    log: &Log,
) -> OperationHandle<&'static str, ()> {
    let mut operation = queue
        .future(work(name, log))
        .priority(Priority::Level(level));
    if !key.is_empty() {
        operation = operation.key(key);
    }
    operation.weight(10).try_submit().unwrap()
}

#[tokio::test(start_paused = true)]
async fn operation_that_waits_for_its_key_can_change_its_urgency() {
    let queue = queue(QueueConfig::default());
    let log = Log::default();
    let handles = ["a1", "a2", "a3", "a4"].map(|name| submit(&queue, (name, 2, "a"), &log));
    sleep(5 * MS).await;
    assert_eq!(queue.status().held, 3);
    assert_eq!(handles[3].set_priority(Priority::Critical), Ok(true));
    assert_eq!(
        queue.set_priority(handles[1].id(), Priority::Background),
        Ok(true)
    );
    assert_eq!(handles[0].set_priority(Priority::Low), Ok(false));
    let status = queue.status();
    let depths: Vec<_> = status.levels.iter().map(|level| level.pending).collect();
    assert_eq!((depths, status.pending), (vec![1, 0, 1, 0, 1], 3));
    for handle in handles {
        handle.await.unwrap();
    }
    assert_eq!(*log.lock(), ["a1", "a4", "a3", "a2"]);
    queue.idle().await;
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_its_key_is_shed_as_what_waits_in_its_level() {
    let queue = queue(
        QueueConfig::default()
            .capacity(3)
            .capacity_bytes(40)
            .overflow(Overflow::ShedLowest),
    );
    let log = Log::default();
    let running = submit(&queue, ("a1", 2, "a"), &log);
    let first = submit(&queue, ("a2", 3, "a"), &log);
    let second = submit(&queue, ("a3", 4, "a"), &log);
    sleep(5 * MS).await;
    let status = queue.status();
    assert_eq!((status.held, status.bytes), (2, 30));

    // The bytes of those that wait aside count, and are given back: 20 are needed, and 10 are free.
    let urgent = queue
        .future(work("urgent", &log))
        .priority(Priority::Critical);
    let urgent = urgent.weight(20).try_submit().unwrap();
    assert!(matches!(
        second.await,
        Err(OperationError::Shed { attempts: 0 })
    ));
    let status = queue.status();
    assert_eq!((status.shed, status.held, status.bytes), (1, 1, 40));
    // What runs is not shed, and what is as urgent is not either.
    let too_much = queue
        .future(work("", &log))
        .priority(Priority::Low)
        .weight(1);
    assert!(matches!(too_much.try_submit(), Err(SubmitError::Full(_))));
    assert_eq!(
        (running.await, first.await, urgent.await),
        (Ok("a1"), Ok("a2"), Ok("urgent"))
    );
    assert_eq!(queue.status().bytes, 0);
    queue.idle().await;
}

#[tokio::test(start_paused = true)]
async fn nothing_is_shed_for_an_operation_whose_key_is_one_too_many() {
    let config = QueueConfig::default().keys(KeyLimits::default().max_keys(1));
    let queue = queue(
        config
            .capacity(1)
            .max_concurrent(1)
            .overflow(Overflow::ShedLowest),
    );
    let log = Log::default();
    let running = submit(&queue, ("running", 2, "a"), &log);
    sleep(5 * MS).await;
    let waiting = submit(&queue, ("waiting", 4, ""), &log);
    let urgent = || {
        queue
            .future(work("urgent", &log))
            .priority(Priority::Critical)
    };
    let refused = urgent().key("b").try_submit();
    assert!(matches!(refused, Err(SubmitError::TooManyKeys(_))));
    let refused = urgent().key("b").submit().await;
    assert!(matches!(refused, Err(SubmitError::TooManyKeys(_))));
    assert_eq!(queue.status().shed, 0);
    // A key that is known may push it out.
    let urgent = urgent().key("a").try_submit().unwrap();
    assert!(matches!(waiting.await, Err(OperationError::Shed { .. })));
    assert_eq!((running.await, urgent.await), (Ok("running"), Ok("urgent")));
}

#[tokio::test(start_paused = true)]
async fn key_that_is_refused_gives_its_bytes_back() {
    let config = QueueConfig::default().keys(KeyLimits::default().max_keys(1));
    let queue = queue(config.capacity_bytes(10));
    // With somebody who listens, bytes are reserved before the key is looked at.
    let _events = queue.subscribe();
    let log = Log::default();
    let first = queue.future(work("a", &log)).key("a").try_submit().unwrap();
    for _ in 0..3 {
        let refused = queue
            .future(work("b", &log))
            .key("b")
            .weight(10)
            .try_submit();
        assert!(matches!(refused, Err(SubmitError::TooManyKeys(_))));
    }
    let fits = queue.future(work("c", &log)).weight(10).try_submit();
    assert_eq!((first.await, fits.unwrap().await), (Ok("a"), Ok("c")));
}

#[tokio::test(start_paused = true)]
async fn operation_that_becomes_urgent_may_use_a_reserved_slot_and_gives_it_back() {
    let config = QueueConfig::default()
        .max_concurrent(2)
        .reserve(Priority::Critical, 1);
    let queue = queue(config);
    let log = Log::default();
    let handles = ["one", "two", "three"].map(|name| submit(&queue, (name, 2, ""), &log));
    sleep(5 * MS).await;
    assert_eq!(*log.lock(), ["one"]);
    assert_eq!(handles[2].set_priority(Priority::Critical), Ok(true));
    sleep(MS).await;
    assert_eq!(*log.lock(), ["one", "three"]);
    // Its slot was the reserved one, and is again: "two" gets that of "one", and nobody else the other.
    let last = submit(&queue, ("four", 2, ""), &log);
    sleep(12 * MS).await;
    assert_eq!(queue.status().running, 1);
    assert_eq!(*log.lock(), ["one", "three", "two"]);
    for handle in handles.into_iter().chain([last]) {
        handle.await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn queue_in_order_of_arrival_refuses_to_reorder_and_has_nobody_to_shed() {
    let queue = queue(
        QueueConfig::default()
            .scheduling(Scheduling::Fifo)
            .max_concurrent(1)
            .capacity(2)
            .overflow(Overflow::ShedLowest),
    );
    let log = Log::default();
    queue.pause();
    let handles =
        [("one", 4), ("two", 0)].map(|(name, level)| submit(&queue, (name, level, ""), &log));
    assert_eq!(handles[1].set_priority(Priority::Critical), Ok(false));
    assert_eq!(
        queue.set_priority(handles[0].id(), Priority::Background),
        Ok(false)
    );
    assert!(handles[0].set_priority(Priority::Level(9)).is_err());
    let urgent = queue
        .future(work("urgent", &log))
        .priority(Priority::Critical);
    assert!(matches!(urgent.try_submit(), Err(SubmitError::Full(_))));
    queue.resume();
    for handle in handles {
        handle.await.unwrap();
    }
    assert_eq!(*log.lock(), ["one", "two"]);
}

#[tokio::test(start_paused = true)]
async fn stream_keeps_to_the_limits_of_its_keys() {
    let queue = queue(QueueConfig::default().max_concurrent(8));
    let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let operations = (0..60_usize).map(|number| {
        let (running, most) = (Arc::clone(&running), Arc::clone(&most));
        let operation = queue.future(async move {
            most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            sleep(MS).await;
            running.fetch_sub(1, Ordering::SeqCst);
            Ok::<_, ()>(number)
        });
        operation.key(if number % 2 == 0 { "even" } else { "odd" })
    });
    let results: Vec<_> = queue.run_all(operations).ordered().collect().await;
    assert_eq!(results, (0..60).map(Ok).collect::<Vec<_>>());
    assert_eq!(most.load(Ordering::SeqCst), 2);
}

#[tokio::test(start_paused = true)]
async fn work_goes_on_while_admission_is_paused_keys_and_retries_included() {
    let queue = queue(QueueConfig::default());
    let log = Log::default();
    let first = submit(&queue, ("a1", 2, "a"), &log);
    let second = queue
        .operation(|cx| async move { if cx.attempt() == 1 { Err(()) } else { Ok(2) } })
        .retry(RetryPolicy::fixed(1, MS))
        .key("a")
        .try_submit()
        .unwrap();
    queue.pause_admission();
    let refused = queue.future(work("b", &log)).key("b").try_submit();
    assert!(matches!(refused, Err(SubmitError::Paused(_))));
    assert_eq!((first.await, second.await), (Ok("a1"), Ok(2)));
}

#[tokio::test(start_paused = true)]
async fn threshold_and_shedding_say_who_they_were() {
    let threshold = ErrorThreshold::new(ErrorLimit::Count(1)).action(ThresholdAction::Abort);
    let queue = queue(
        QueueConfig::default()
            .max_concurrent(1)
            .capacity(3)
            .overflow(Overflow::ShedLowest)
            .error_threshold(threshold),
    );
    let log = Log::default();
    let fails = queue.future(async {
        sleep(10 * MS).await;
        Err::<(), ()>(())
    });
    let fails = fails.submit().await.unwrap();
    sleep(5 * MS).await;
    let shared = queue
        .future(work("shed", &log))
        .priority(Priority::Background)
        .unique("name");
    let shared = shared.submit().await.unwrap();
    let joined = shared.clone();
    let stopped = [1, 2, 3].map(|_| submit(&queue, ("stopped", 2, "a"), &log));
    // Everybody who shares the operation learns of it, and it is no failure that counts.
    assert!(matches!(shared.await, Err(OperationError::Shed { .. })));
    assert!(matches!(joined.await, Err(OperationError::Shed { .. })));
    assert!(matches!(fails.await, Err(OperationError::Failed { .. })));
    let submit = queue.future(work("next", &log)).submit();
    for handle in stopped {
        let reason = CancelReason::Threshold;
        assert_eq!(
            handle.await,
            Err(OperationError::Cancelled {
                reason,
                attempts: 0
            })
        );
    }
    assert_eq!(queue.status().bytes, 0);
    submit.await.unwrap().await.unwrap();
}
