//! Retries whose number and delay are not the policy's alone.

use std::time::Duration;

use aqe_queue::{AsyncOperationQueue, OperationError, QueueConfig, RetryBudget, RetryPolicy};
use tokio::time::Instant;

const MS: Duration = Duration::from_millis(1);

#[tokio::test(start_paused = true)]
async fn error_decides_the_delay_within_the_cap() {
    let queue = AsyncOperationQueue::new(QueueConfig::default()).unwrap();
    let began = Instant::now();
    let policy = RetryPolicy::exponential(3, 10 * MS, 500 * MS);
    // The first error asks for 200 ms, the second for more than the cap, the third for nothing.
    let handle = queue
        .operation(|cx| async move { Err::<(), u32>(cx.attempt()) })
        .retry(policy)
        .retry_after(|attempt| match attempt {
            1 => Some(200 * MS),
            2 => Some(Duration::MAX),
            _ => None,
        })
        .submit()
        .await
        .unwrap();
    assert_eq!(handle.await.unwrap_err().attempts(), 4);
    let expected = (200 + 500 + 40) * MS;
    let took = began.elapsed();
    assert!((expected..expected + 10 * MS).contains(&took), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn without_a_cap_an_error_keeps_its_operation_for_an_hour_at_most() {
    let queue = AsyncOperationQueue::new(QueueConfig::default()).unwrap();
    let began = Instant::now();
    let handle = queue
        .operation(|_| async { Err::<(), _>(()) })
        .retry(RetryPolicy::fixed(1, MS))
        .retry_after(|()| Some(Duration::MAX))
        .submit()
        .await
        .unwrap();
    assert_eq!(handle.await.unwrap_err().attempts(), 2);
    let took = began.elapsed();
    let hour = RetryPolicy::LONGEST_ASKED;
    assert!((hour..hour + 10 * MS).contains(&took), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn panic_in_the_hook_fails_the_operation_alone() {
    let queue = AsyncOperationQueue::new(QueueConfig::default()).unwrap();
    let handle = queue
        .operation(|_| async { Err::<(), _>(()) })
        .retry_after(|()| panic!("no number"))
        .submit()
        .await
        .unwrap();
    let error = handle.await.unwrap_err();
    assert!(matches!(&error, OperationError::Panicked { message, .. } if message == "no number"));
    assert_eq!(queue.run(async { 1 }).await, Ok(1));
}

#[tokio::test(start_paused = true)]
async fn retries_of_all_operations_stay_within_the_budget() {
    let budget = RetryBudget::default()
        .percent(10)
        .min_per_second(0)
        .burst(5);
    let config = QueueConfig::default()
        .retry(RetryPolicy::fixed(1, Duration::ZERO))
        .retry_budget(budget);
    let queue = AsyncOperationQueue::new(config).unwrap();
    let fail = || async {
        let operation = queue.operation(|cx| async move { Err::<(), _>(cx.attempt()) });
        operation.submit().await.unwrap().await.unwrap_err()
    };
    let mut attempts = Vec::new();
    for _ in 0..20 {
        let error = fail().await;
        // An operation that finds the budget empty ends with its own last error.
        assert!(
            matches!(error, OperationError::Failed { error, attempts } if error == attempts),
            "{error:?}"
        );
        attempts.push(error.attempts());
    }
    assert_eq!(
        attempts.iter().filter(|attempts| **attempts == 2).count(),
        5
    );
    assert_eq!(attempts[..5], [2; 5]);
    let status = queue.status();
    assert_eq!((status.retried, status.retries_refused), (5, 15));

    for _ in 0..10 {
        queue.run(async {}).await.unwrap();
    }
    assert_eq!(fail().await.attempts(), 2);
    assert_eq!(fail().await.attempts(), 1);
}

#[tokio::test(start_paused = true)]
async fn timeouts_draw_on_the_budget_too() {
    let config = QueueConfig::default()
        .timeout(10 * MS)
        .retry(RetryPolicy::fixed(100, Duration::ZERO))
        .retry_budget(RetryBudget::default().min_per_second(0).burst(3));
    let queue = AsyncOperationQueue::new(config).unwrap();
    let handle = queue
        .operation(|_| std::future::pending::<Result<(), ()>>())
        .submit()
        .await
        .unwrap();
    let error = handle.await.unwrap_err();
    assert!(matches!(
        error,
        OperationError::TimedOut { attempts: 4, .. }
    ));
    assert_eq!(queue.status().retries_refused, 1);
}
