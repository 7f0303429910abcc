//! Runs on threads: results, errors, retries, skips, panics, cancellation, memory, progress.

#![allow(
    clippy::unwrap_used,
    reason = "a panic fails the test, helpers included"
)]

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aqe_batch::{
    BatchConfig, BatchProcessor, CancelToken, Decision, ItemError, RetryPolicy, Stopped,
};
use proptest::prelude::*;

fn processor(config: BatchConfig) -> BatchProcessor {
    BatchProcessor::new(config).unwrap()
}

fn config() -> BatchConfig {
    BatchConfig::default().memory_threshold(None)
}

/// What an item of the schedule test does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Does {
    Succeed,
    /// Fails so many times, then succeeds.
    FailFirst(u32),
    FailAlways,
    Skip,
    Panic,
}

fn does() -> impl Strategy<Value = Does> {
    prop_oneof![
        20 => Just(Does::Succeed),
        2 => (1_u32..4).prop_map(Does::FailFirst),
        1 => Just(Does::FailAlways),
        1 => Just(Does::Skip),
        1 => Just(Does::Panic),
    ]
}

/// One item and the attempts it has seen.
struct Item {
    does: Does,
    attempts: AtomicU64,
}

fn operate(item: &Item) -> Result<u64, Does> {
    let attempt = item.attempts.fetch_add(1, Ordering::Relaxed) + 1;
    match item.does {
        Does::Succeed => Ok(attempt),
        Does::FailFirst(times) if attempt > u64::from(times) => Ok(attempt),
        Does::Panic => panic!("as it should"),
        other => Err(other),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whatever the schedule, each item ends as it would have in a loop.
    #[test]
    fn any_schedule_agrees_with_a_loop(
        items in prop::collection::vec(does(), 0..400),
        chunk in 1_usize..50, concurrency in 1_usize..9, retries in 0_u32..3, form in 0..3,
    ) {
        let items: Vec<Item> = items.into_iter().map(|does| Item { does, attempts: AtomicU64::new(0) }).collect();
        let config = config().chunk_size(chunk).concurrency(concurrency).error_threshold(None)
            .retry(RetryPolicy::fixed(retries, Duration::ZERO)).skip_limit(1_000);
        let processor = processor(config);
        let job = processor.job("schedule").on_error(|error: &Does, _| match error {
            Does::Skip => Decision::Skip,
            _ => Decision::Retry,
        });
        let mut found: Vec<Option<u64>> = vec![None; items.len()];
        let (failed, progress) = match form {
            0 => {
                let report = job.map_slice(&items, operate).unwrap();
                report.results.iter().for_each(|(item, value)| found[item as usize] = Some(*value));
                (report.failed, report.progress)
            }
            1 => {
                let report = job.map(&items, |item| operate(item)).unwrap();
                report.results.iter().for_each(|(item, value)| found[item as usize] = Some(*value));
                (report.failed, report.progress)
            }
            _ => {
                let report = job.map_slice_into(&items, &mut found, |item| operate(item).map(Some)).unwrap();
                (report.failed, report.progress)
            }
        };
        let mut errors = failed.iter();
        let mut skipped = 0;
        for (number, (item, found)) in items.iter().zip(&found).enumerate() {
            let attempts = u64::from(retries) + 1;
            let (result, made) = match item.does {
                Does::Succeed => (Some(1), 1),
                Does::FailFirst(times) if u64::from(times) < attempts => (Some(u64::from(times) + 1), u64::from(times) + 1),
                Does::Skip => { skipped += 1; (None, 1) }
                Does::Panic => (None, 1),
                _ => (None, attempts),
            };
            prop_assert_eq!(*found, result);
            prop_assert_eq!(item.attempts.load(Ordering::Relaxed), made);
            if result.is_none() && item.does != Does::Skip {
                let failed = errors.next().unwrap();
                prop_assert_eq!(failed.item, number as u64);
                match &failed.error {
                    ItemError::Panicked { message, .. } => prop_assert_eq!(message, "as it should"),
                    ItemError::Failed { error, attempts } => prop_assert!(*error == item.does && u64::from(*attempts) == made),
                    other => prop_assert!(false, "{other:?}"),
                }
            }
        }
        prop_assert!(errors.next().is_none());
        prop_assert_eq!((progress.done, progress.skipped), (items.len() as u64, skipped));
        prop_assert_eq!(progress.failed, failed.len() as u64);
        prop_assert!(progress.is_last && progress.percentage() == Some(100.0));
    }
}

#[test]
fn items_are_changed_where_they_lie() {
    let mut items: Vec<u32> = (0..10_000).collect();
    let processor = processor(config().chunk_size(7));
    let double = |item: &mut u32| -> Result<(), ()> {
        *item *= 2;
        Ok(())
    };
    let report = processor.job("double").update_slice(&mut items, double);
    assert!(report.unwrap().is_complete());
    assert!(items.iter().zip(0..).all(|(item, n)| *item == n * 2));
}

#[test]
fn no_item_starts_after_the_error_that_is_one_too_many() {
    for (threshold, concurrency) in [(0, 1), (5, 1), (5, 2), (5, 8), (63, 3)] {
        let started = AtomicUsize::new(0);
        let config = config().error_threshold(threshold).concurrency(concurrency);
        let operation = |item: &u32| -> Result<(), u32> {
            started.fetch_add(1, Ordering::SeqCst);
            Err(*item)
        };
        let items: Vec<u32> = (0..100_000).collect();
        let error = processor(config).job("fail").map_slice(&items, operation);
        let (stopped, report) = error.unwrap_err().into_parts();
        assert!(matches!(stopped, Stopped::TooManyErrors { threshold: it } if it == threshold));
        // A worker that has recorded an error looks before it starts the next item; only those that were running then
        // may have failed beyond.
        let (started, limit) = (started.into_inner(), threshold as usize + 1);
        assert!(
            started >= limit && started < limit + concurrency,
            "{started}"
        );
        assert_eq!(report.failed.len(), started);
        for failed in &report.failed {
            let error = failed.item as u32;
            assert_eq!(failed.error, ItemError::Failed { error, attempts: 1 });
        }
    }
}

#[test]
fn what_was_done_before_too_many_errors_is_in_the_report() {
    let items: Vec<u64> = (0..1_000).collect();
    let config = config().concurrency(1).error_threshold(2);
    let operation = |item: &u64| {
        if item % 100 == 99 {
            Err(*item)
        } else {
            Ok(*item)
        }
    };
    let error = processor(config).job("some").map_slice(&items, operation);
    let error = error.unwrap_err();
    assert_eq!(error.to_string(), "more than 2 item(s) failed");
    let report = error.into_report();
    assert_eq!(report.results.len(), 297);
    assert!(report.results.iter().all(|(item, value)| item == *value));
    assert_eq!(report.results.get(99), None);
    assert_eq!(report.results.get(150), Some(&150));
    let failed: Vec<u64> = report.failed.iter().map(|failed| failed.item).collect();
    assert_eq!(failed, [99, 199, 299]);
    assert_eq!(report.progress.done, 300);
}

#[test]
fn skips_have_a_bound() {
    let items: Vec<u64> = (0..50).collect();
    let config = config().error_threshold(None).skip_limit(8);
    let report = processor(config)
        .job("skip")
        .on_error(|_: &u64, _| Decision::Skip)
        .map_slice(
            &items,
            |item| if item % 5 == 0 { Err(*item) } else { Ok(()) },
        )
        .unwrap();
    assert_eq!((report.progress.skipped, report.failed.len()), (8, 2));
    assert!(!report.is_complete());
}

#[test]
fn a_policy_can_give_up_early() {
    let attempts = AtomicUsize::new(0);
    let config = config().retry(RetryPolicy::fixed(5, Duration::from_secs(3_600)));
    let report = processor(config)
        .job("give up")
        .on_error(|_: &(), attempt| {
            assert_eq!(attempt, 1);
            Decision::Fail
        })
        .map_slice(&[()], |()| -> Result<(), ()> {
            attempts.fetch_add(1, Ordering::Relaxed);
            Err(())
        })
        .unwrap();
    assert_eq!((attempts.into_inner(), report.progress.retried), (1, 0));
}

#[test]
fn cancelling_ends_a_run_and_a_retry_that_waits() {
    let token = CancelToken::new();
    let items: Vec<u32> = (0..1_000).collect();
    let config = config()
        .concurrency(1)
        .retry(RetryPolicy::fixed(1, Duration::from_secs(3_600)));
    let operation = |item: &u32| {
        if *item == 40 {
            token.cancel();
            return Err("and now an hour's pause");
        }
        Ok(*item)
    };
    let job = processor(config).job("cancel").cancel(&token);
    let (stopped, report) = job.map_slice(&items, operation).unwrap_err().into_parts();
    assert!(matches!(stopped, Stopped::Cancelled));
    assert_eq!((report.results.len(), report.failed.len()), (40, 1));

    let job = processor(BatchConfig::default()).job("late").cancel(&token);
    let error = job
        .map_slice(&items, |item| Ok::<_, ()>(*item))
        .unwrap_err();
    assert_eq!(error.report().progress.done, 0);
}

#[test]
fn new_chunks_wait_for_memory_and_the_wait_is_seen() {
    let items: Vec<u32> = (0..500).collect();
    let config = BatchConfig::default()
        .memory_threshold(80.0)
        .progress_interval(Duration::from_millis(1));
    let started = Arc::new(AtomicUsize::new(0));
    let (looks, seen) = (AtomicUsize::new(0), Arc::new(Mutex::new(Vec::new())));
    let (telling, counting) = (Arc::clone(&seen), Arc::clone(&started));
    // Scarce from the first look until the third progress was told.
    let waits = Arc::clone(&seen);
    let probe = move || {
        looks.fetch_add(1, Ordering::Relaxed);
        let enough = waits.lock().unwrap().len() > 3;
        Some(if enough { 0.5 } else { 0.95 })
    };
    let first = AtomicUsize::new(0);
    let report = processor(config)
        .job("memory")
        .memory_probe(probe)
        .progress(move |progress| {
            let started = counting.load(Ordering::SeqCst);
            telling.lock().unwrap().push((*progress, started));
        })
        .map_slice(&items, |item| {
            started.fetch_add(1, Ordering::SeqCst);
            // The first item waits until the ticker has looked at the memory.
            if first.fetch_add(1, Ordering::SeqCst) == 0 {
                while seen.lock().unwrap().is_empty() {
                    std::thread::yield_now();
                }
            }
            Ok::<_, ()>(*item)
        })
        .unwrap();
    assert_eq!(report.results.len(), 500);
    assert!(report.progress.memory_wait > Duration::ZERO);
    let seen = seen.lock().unwrap();
    let waiting: Vec<_> = seen.iter().filter(|it| it.0.waits_for_memory).collect();
    assert!(!waiting.is_empty() && !seen.last().unwrap().0.waits_for_memory);
}

#[test]
fn memory_that_stays_scarce_ends_the_run() {
    let config = BatchConfig::default()
        .memory_patience(Duration::from_millis(1))
        .progress_interval(Duration::from_millis(1));
    let error = processor(config)
        .job("memory")
        .memory_probe(|| Some(0.99))
        .for_each(0_u64.., |_| Ok::<_, ()>(()))
        .unwrap_err();
    assert!(matches!(error.stopped(), Stopped::Memory { .. }), "{error}");
}

#[test]
fn progress_is_told_at_the_end_and_the_sum_is_right() {
    let last = Arc::new(Mutex::new(None));
    let told = Arc::clone(&last);
    let items: Vec<u64> = (0..5_000).collect();
    let (job, mut stream) = processor(config())
        .job("progress")
        .progress(move |progress| *told.lock().unwrap() = Some(*progress))
        .watch();
    let report = job.map_slice(&items, |item| Ok::<_, ()>(*item)).unwrap();
    let last = last.lock().unwrap().unwrap();
    assert_eq!(last, report.progress);
    assert_eq!((last.done, last.total), (5_000, Some(5_000)));
    assert_eq!(last.time_left, Some(Duration::ZERO));
    let next = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap()
        .block_on(async { (stream.next().await, stream.next().await) });
    assert_eq!(next, (Some(last), None));
}

#[test]
fn every_item_runs_once_on_however_many_threads() {
    let seen = Mutex::new(BTreeSet::new());
    let processor = processor(config().chunk_size(3).concurrency(64));
    let report = processor.job("once").for_each(0..10_000_u32, |item| {
        assert!(seen.lock().unwrap().insert(*item));
        Ok::<_, ()>(())
    });
    let report = report.unwrap();
    assert_eq!(report.progress.total, Some(10_000));
    assert_eq!(seen.into_inner().unwrap().len(), 10_000);
}

#[test]
fn slices_of_different_lengths_are_an_error() {
    let mut places = [0; 3];
    let result = processor(config())
        .job("lengths")
        .map_slice_into(&[1, 2], &mut places, |item| Ok::<i32, ()>(*item));
    let error = result.unwrap_err().to_string();
    assert_eq!(error, "there are 2 items and room for 3 results");
}
