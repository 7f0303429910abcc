//! What people who use other queues complain about, each as a test of this one.
//!
//! The left column is the complaint, with the threads in which it stands (`owner/repository#number`); the right one the
//! tests, in this file or in that of the name. `COMPARE.md` lists what does not apply to this queue.
//!
//! | Complaint | Test |
//! | --- | --- |
//! | a timeout ends the wait and not the work, or loses the slot (sindresorhus/p-queue#101, natesilva/p-ratelimit#25, PrefectHQ/prefect#14787) | `old_faults`: `timed_out_body_is_dropped_before_its_slot_is_used_again`; `no_slot_is_lost_to_timeouts` |
//! | what ignores its cancellation runs for ever (riverqueue/river#1258, #1264) | `operation_that_ignores_its_signal_ends_all_the_same` |
//! | one limit for all cuts what is known to take longer (riverqueue/river#1125) | `own_timeout_counts_and_not_the_queues` |
//! | what was aborted uses up the rate (sindresorhus/p-queue#219) | `cancelled_operation_uses_none_of_its_keys_rate` |
//! | aborting what runs and what waits together hangs (sindresorhus/p-queue#168) | `cancelling_what_runs_and_what_waits_together_leaves_a_working_queue` |
//! | what is aborted while queued never settles, or cannot be removed (sindresorhus/p-queue#241, #227) | `operations`: `cancelling_works_wherever_the_operation_is` |
//! | stopping ignores its deadline, spends it again for each part, or starts more meanwhile (riverqueue/river#78, #1239, oban-bg/oban#856) | `grace_is_spent_once_and_nothing_starts_meanwhile` |
//! | no word on what was killed (oban-bg/oban#1076) | `control`: `drain_within_a_grace_names_what_it_cut` |
//! | a paused queue takes all that comes (sindresorhus/p-queue#253, #87) | `paused_queue_is_bounded`; `control`: `pause_of_admission_keeps_newcomers_out_and_lets_the_rest_go_on` |
//! | a set of tasks cannot be fed and joined from two places (tokio-rs/tokio#6547) | `queue_is_fed_and_joined_from_different_tasks` |
//! | the lowest priority starves, and nobody sees it (vllm-project/vllm#20608, kcenon/thread_system#380, gastownhall/gascity#5629) | `old_faults`: `the_lowest_level_is_not_starved`; `waiting_too_long_can_be_seen_level_by_level` |
//! | slow operations of low priority hold all slots (sidekiq/sidekiq#1773, kagkarlsson/db-scheduler#704) | `scheduling`: `reserved_slots_stay_empty_for_what_is_urgent` |
//! | no limit for each group (taskforcesh/bullmq#1322, #1510, #2269, #909, egeominotti/bunqueue#44) | `keys`: `operations_of_one_key_run_one_after_another_and_hold_up_nobody`, `rate_of_a_key_is_kept` |
//! | a stream's operations stand still while its consumer is busy (rust-lang/futures-rs#2387, #2961) | `operations_of_a_stream_go_on_while_its_consumer_is_busy` |
//! | and then the consumer waits for what one of them holds (rust-lang/wg-async#131) | `consumer_may_wait_for_what_an_operation_of_its_stream_holds` |
//! | load is shed with places free, when the task's budget is spent (apollographql/router#9034) | `free_place_is_found_when_the_tasks_budget_is_spent` |
//! | readiness that is kept deadlocks the others (ZcashFoundation/zebra#1593) | `service`: `readiness_is_a_place_that_is_given_back` |
//! | a limit that rejects where one wants to wait (tower-rs/tower#793) | `operations`: `full_queue_hands_the_operation_back_or_waits_in_turn` |
//! | a permit is held for longer than the work (linkerd/linkerd2-proxy#751) | `slot_is_free_although_nobody_takes_the_result` |
//! | an adaptive limit collapses, drifts, is slow to grow or to recover (Netflix/concurrency-limits#35, #134, #155, #174, platinummonkey/go-concurrency-limits#117, vectordotdev/vector#3255, resilience4j/resilience4j#201) | `limit.rs`: `settles_within_a_tenth_of_the_best_fixed_limit`, `does_not_drift_up_under_overload`, `failures_shrink_it_and_it_recovers`, `grows_only_when_it_is_used` |
//! | a limit that is shared loses updates (joshrotenberg/tower-resilience#368) | it changes under the queue's lock; `limit.rs` |
//! | retries without jitter, budget, delays that the error asks for, or errors that are final (gojek/heimdall#21, vercel/fetch-retry#9, temporalio/temporal#2496, joshrotenberg/tower-resilience#178, #411) | `retries`, `operations`: `jitter_repeats_with_its_seed_and_stays_below_the_full_delay`, `predicate_says_which_errors_are_worth_a_retry` |
//! | no way to join what runs already, or its names are kept for ever (rq/rq#204, graphile/worker#67, taskforcesh/bullmq#3206) | `unique`: `queued_or_running_operation_is_joined_and_an_ended_one_is_not`, `nothing_is_kept_of_what_has_ended` |
//! | "idle" comes too early, or not at all (sindresorhus/p-queue#91, #237, #109) | `control`: `idle_waits_for_retries_too`; `idle_is_heard_by_all_who_wait_and_kept_for_nobody` |
//! | a failure does not show when all is over (sindresorhus/p-queue#29) | `drained_queue_tells_of_its_failures` |
//! | code that blocks looks like a failure (taskforcesh/bullmq#3078, #3056, OptimalBits/bull#308) | `threads`: `blocked_worker_does_not_hold_up_the_others`; `dedicated`: `blocked_worker_is_noticed_while_it_is_blocked` |
//! | a job that panics never answers, or takes a worker along (rust-threadpool/rust-threadpool#13, alitto/pond#23, rayon-rs/rayon#37, svix/diom#730) | `operations`: `panic_fails_alone_and_frees_its_slot` |
//! | an abort is told as a panic (oxidecomputer/omicron#9567) | `cancelled_operation_is_not_told_as_one_that_panicked` |

#![expect(clippy::unwrap_used, reason = "helpers of tests may fail the test")]

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use aqe_queue::{
    AsyncOperationQueue, CancelReason, KeyLimits, KeyRate, OperationError, Priority, QueueConfig,
    RetryPolicy, SubmitError,
};
use tokio::time::{Instant, sleep};

const MS: Duration = Duration::from_millis(1);

fn queue(config: QueueConfig) -> AsyncOperationQueue {
    AsyncOperationQueue::new(config.retry(RetryPolicy::none())).unwrap()
}

async fn after(millis: u32) -> Result<u32, ()> {
    sleep(millis * MS).await;
    Ok(millis)
}

#[tokio::test(start_paused = true)]
async fn no_slot_is_lost_to_timeouts() {
    let queue = queue(QueueConfig::default().max_concurrent(3).timeout(5 * MS));
    let mut late = Vec::new();
    for _ in 0..1_000 {
        late.push(
            queue
                .future(pending::<Result<(), ()>>())
                .submit()
                .await
                .unwrap(),
        );
    }
    for handle in late {
        assert!(matches!(handle.await, Err(OperationError::TimedOut { .. })));
    }
    assert_eq!(queue.status().running, 0);
    // All three at once, or it would take longer.
    let began = Instant::now();
    let mut slow = Vec::new();
    for _ in 0..3 {
        slow.push(
            queue
                .future(after(1_000))
                .timeout(None)
                .submit()
                .await
                .unwrap(),
        );
    }
    for handle in slow {
        handle.await.unwrap();
    }
    assert!(began.elapsed() < 1_002 * MS, "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn operation_that_ignores_its_signal_ends_all_the_same() {
    let queue = queue(QueueConfig::default());
    let deaf = || {
        queue.operation(|cx| async move {
            let _signal = cx.signal();
            loop {
                sleep(MS).await;
            }
            #[expect(unreachable_code, reason = "it says what the operation would give")]
            Ok::<(), ()>(())
        })
    };
    let late = deaf().timeout(50 * MS).submit().await.unwrap();
    assert!(matches!(late.await, Err(OperationError::TimedOut { .. })));
    let asked = deaf().timeout(None).submit().await.unwrap();
    sleep(10 * MS).await;
    assert!(asked.cancel());
    assert!(matches!(asked.await, Err(OperationError::Cancelled { .. })));
    let cut = deaf().timeout(None).submit().await.unwrap();
    sleep(MS).await;
    let report = queue.shutdown(100 * MS).await;
    assert_eq!((report.cut, report.elapsed), (vec![cut.id()], 100 * MS));
}

#[tokio::test(start_paused = true)]
async fn own_timeout_counts_and_not_the_queues() {
    let queue = queue(QueueConfig::default().timeout(10 * MS));
    let long = queue
        .future(after(500))
        .timeout(1_000 * MS)
        .submit()
        .await
        .unwrap();
    let longest = queue
        .future(after(900))
        .timeout(None)
        .submit()
        .await
        .unwrap();
    let usual = queue.future(after(500)).submit().await.unwrap();
    assert!(matches!(usual.await, Err(OperationError::TimedOut { .. })));
    assert_eq!((long.await, longest.await), (Ok(500), Ok(900)));
}

#[tokio::test(start_paused = true)]
async fn cancelled_operation_uses_none_of_its_keys_rate() {
    let rate = KeyRate::new(1, Duration::from_secs(1));
    let queue = queue(QueueConfig::default().keys(KeyLimits::default().rate(rate)));
    let (began, submit) = (Instant::now(), || {
        queue
            .future(async { Ok::<_, ()>(Instant::now()) })
            .key("host")
            .try_submit()
            .unwrap()
    });
    let first = submit();
    let given_up: Vec<_> = (0..50).map(|_| submit()).collect();
    let last = submit();
    assert_eq!(first.await.unwrap(), began);
    for handle in given_up {
        assert!(handle.cancel());
    }
    let started = last.await.unwrap() - began;
    assert!(
        started >= 1_000 * MS && started <= 1_002 * MS,
        "{started:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn cancelling_what_runs_and_what_waits_together_leaves_a_working_queue() {
    let queue = queue(QueueConfig::default().max_concurrent(1));
    let runs = queue.future(after(1_000)).submit().await.unwrap();
    let waits = queue.future(after(1_000)).submit().await.unwrap();
    sleep(MS).await;
    assert!(runs.cancel() && waits.cancel());
    let (runs, waits) = tokio::join!(runs, waits);
    for (result, began) in [(runs, 1), (waits, 0)] {
        let (reason, attempts) = (CancelReason::Asked, began);
        assert_eq!(result, Err(OperationError::Cancelled { reason, attempts }));
    }
    assert_eq!(queue.run(async { 1 }).await, Ok(1));
    queue.idle().await;
}

#[tokio::test(start_paused = true)]
async fn grace_is_spent_once_and_nothing_starts_meanwhile() {
    let builder = AsyncOperationQueue::builder(QueueConfig::default().max_concurrent(8));
    let queue = builder.workers(4).build().unwrap();
    let starts = Arc::new(AtomicUsize::new(0));
    let mut handles = Vec::new();
    for number in 0..20 {
        let starts = Arc::clone(&starts);
        let operation = queue.operation(move |_| {
            starts.fetch_add(1, Ordering::SeqCst);
            // Half of them end while the others are waited for, and so would leave room for more.
            after(if number % 2 == 0 { 500 } else { 100_000 })
        });
        let level = Priority::Level(number % 5);
        handles.push(
            operation
                .timeout(None)
                .priority(level)
                .submit()
                .await
                .unwrap(),
        );
    }
    sleep(MS).await;
    assert_eq!(starts.load(Ordering::SeqCst), 8);
    let report = queue.shutdown(Duration::from_secs(3)).await;
    assert_eq!(report.elapsed, Duration::from_secs(3));
    assert_eq!(starts.load(Ordering::SeqCst), 8);
    assert_eq!(report.finished as usize + report.cut.len(), 20);
    assert!(report.finished > 0);
}

#[tokio::test(start_paused = true)]
async fn paused_queue_is_bounded() {
    let queue = queue(QueueConfig::default().capacity(10));
    queue.pause();
    let accepted: Vec<_> = std::iter::from_fn(|| queue.future(after(1)).try_submit().ok())
        .take(100)
        .collect();
    assert_eq!(accepted.len(), 10);
    let refused = queue.future(after(1)).try_submit();
    assert!(matches!(refused, Err(SubmitError::Full(_))));
    queue.resume();
    queue.idle().await;
    assert_eq!(queue.status().completed, 10);
}

#[tokio::test(start_paused = true)]
async fn queue_is_fed_and_joined_from_different_tasks() {
    let queue = queue(QueueConfig::default().max_concurrent(4).capacity(4));
    let (sender, mut receiver) = tokio::sync::mpsc::channel(100);
    let feeder = {
        let queue = queue.clone();
        tokio::spawn(async move {
            for millis in 0..100 {
                let handle = queue.future(after(millis % 7)).submit().await.unwrap();
                sender.send(handle).await.unwrap();
            }
        })
    };
    let mut sum = 0;
    while let Some(handle) = receiver.recv().await {
        sum += handle.await.unwrap();
    }
    feeder.await.unwrap();
    assert_eq!(sum, (0..100).map(|millis| millis % 7).sum::<u32>());
}

#[tokio::test(start_paused = true)]
async fn waiting_too_long_can_be_seen_level_by_level() {
    let queue = queue(QueueConfig::default().max_concurrent(1).ageing(None));
    let mut handles = Vec::new();
    for (priority, at) in [
        (Priority::Critical, 0),
        (Priority::Background, 0),
        (Priority::High, 10),
    ] {
        sleep(at * MS).await;
        handles.push(
            queue
                .future(after(100))
                .priority(priority)
                .submit()
                .await
                .unwrap(),
        );
    }
    sleep(20 * MS).await;
    let status = queue.status();
    let waits: Vec<_> = status
        .levels
        .iter()
        .map(|level| level.oldest_wait)
        .collect();
    assert_eq!(waits, [None, Some(20 * MS), None, None, Some(30 * MS)]);
    assert_eq!(status.oldest_wait, Some(30 * MS));
}

#[tokio::test(start_paused = true)]
async fn operations_of_a_stream_go_on_while_its_consumer_is_busy() {
    let queue = queue(QueueConfig::default().max_concurrent(2).timeout(30 * MS));
    let ended = Arc::new(AtomicUsize::new(0));
    let operations = (0..10).map(|_| {
        let ended = Arc::clone(&ended);
        async move {
            for _ in 0..10 {
                sleep(MS).await;
            }
            ended.fetch_add(1, Ordering::SeqCst);
            Ok::<_, ()>(())
        }
    });
    let mut results = queue.run_all(operations);
    assert_eq!(results.next().await, Some(Ok(())));
    // Busy for far longer than the others may take. None of them is late, because none waits for the consumer.
    sleep(Duration::from_secs(5)).await;
    assert_eq!(ended.load(Ordering::SeqCst), 10);
    for _ in 1..10 {
        assert_eq!(results.next().await, Some(Ok(())));
    }
    assert_eq!(results.next().await, None);
}

#[tokio::test(start_paused = true)]
async fn consumer_may_wait_for_what_an_operation_of_its_stream_holds() {
    let queue = queue(QueueConfig::default().max_concurrent(4));
    let lock = Arc::new(tokio::sync::Mutex::new(0));
    let operations = (0..8).map(|number| {
        let lock = Arc::clone(&lock);
        async move {
            let mut held = lock.lock().await;
            sleep(5 * MS).await;
            *held += number;
            Ok::<_, ()>(())
        }
    });
    let mut results = queue.run_all(operations);
    while let Some(result) = results.next().await {
        assert_eq!(result, Ok(()));
        // In a stream that is polled by its consumer the next operation has the lock by now, and can never give it back.
        drop(lock.lock().await);
    }
    assert_eq!(*lock.lock().await, 28);
}

#[tokio::test(start_paused = true)]
async fn free_place_is_found_when_the_tasks_budget_is_spent() {
    let queue = queue(QueueConfig::default().capacity(2));
    let submitted = tokio::spawn(async move {
        // Until tokio says that this task has had its share, and everything of tokio's pretends not to be ready.
        while tokio::task::coop::has_budget_remaining() {
            std::future::poll_fn(|cx| {
                let budget = tokio::task::coop::poll_proceed(cx);
                budget.map(|budget| budget.made_progress())
            })
            .await;
        }
        let mut submit = Box::pin(queue.future(after(1)).submit());
        let first = std::future::poll_fn(|cx| Poll::Ready(submit.as_mut().poll(cx))).await;
        let second = queue.future(after(1)).try_submit();
        (first.is_ready(), second.is_ok())
    });
    assert_eq!(submitted.await.unwrap(), (true, true));
}

#[tokio::test(start_paused = true)]
async fn slot_is_free_although_nobody_takes_the_result() {
    let queue = queue(QueueConfig::default().max_concurrent(1));
    let first = queue.future(after(10)).submit().await.unwrap();
    let second = queue.future(after(10)).submit().await.unwrap();
    assert_eq!(second.await, Ok(10));
    assert!(first.is_finished());
    assert_eq!(first.await, Ok(10));
}

#[tokio::test(start_paused = true)]
async fn idle_is_heard_by_all_who_wait_and_kept_for_nobody() {
    let queue = queue(QueueConfig::default().max_concurrent(1));
    queue.future(after(10)).submit().await.unwrap().detach();
    let waiters: Vec<_> = (0..3)
        .map(|_| {
            let queue = queue.clone();
            tokio::spawn(async move { queue.idle().await })
        })
        .collect();
    // One that gives up.
    assert!(tokio::time::timeout(MS, queue.idle()).await.is_err());
    assert!(waiters.iter().all(|waiter| !waiter.is_finished()));
    for waiter in waiters {
        waiter.await.unwrap();
    }
    // And it is no event that must not be missed: it is said to whoever asks.
    queue.idle().await;
}

#[tokio::test(start_paused = true)]
async fn drained_queue_tells_of_its_failures() {
    let queue = queue(QueueConfig::default());
    for number in 0..4 {
        let operation = queue.future(async move { if number == 2 { Err(()) } else { Ok(()) } });
        operation.submit().await.unwrap().detach();
    }
    queue.drain().await;
    assert_eq!((queue.status().completed, queue.status().failed), (3, 1));
}

#[tokio::test(start_paused = true)]
async fn cancelled_operation_is_not_told_as_one_that_panicked() {
    struct Loud;
    impl Drop for Loud {
        fn drop(&mut self) {
            panic!("in the destructor of what was cancelled");
        }
    }

    let queue = queue(QueueConfig::default());
    let operation = queue.future(async {
        let _loud = Loud;
        pending::<Result<(), ()>>().await
    });
    let handle = operation.submit().await.unwrap();
    sleep(MS).await;
    assert!(handle.cancel());
    let (reason, attempts) = (CancelReason::Asked, 1);
    assert_eq!(
        handle.await,
        Err(OperationError::Cancelled { reason, attempts })
    );
    assert_eq!((queue.status().cancelled, queue.status().panicked), (1, 0));
}
