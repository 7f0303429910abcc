//! The queue as a tower service: readiness is a place.
#![cfg(feature = "tower")]
#![expect(clippy::unwrap_used, reason = "helpers of tests may fail the test")]

use std::future::poll_fn;
use std::time::Duration;

use aqe_queue::{
    AsyncOperationQueue, CancelReason, OperationError, Priority, QueueConfig, SubmitError,
};
use tokio::time::{sleep, timeout};
use tower_service::Service;

fn queue(config: QueueConfig) -> AsyncOperationQueue {
    AsyncOperationQueue::new(config).unwrap()
}

async fn seconds(number: u64) -> Result<u64, String> {
    sleep(Duration::from_secs(number)).await;
    if number == 13 {
        Err("unlucky".to_owned())
    } else {
        Ok(number)
    }
}

async fn ready<S: Service<u64>>(service: &mut S) -> Result<(), S::Error> {
    poll_fn(|cx| service.poll_ready(cx)).await
}

fn soon<F: Future>(
    future: F,
) -> impl Future<Output = Result<F::Output, tokio::time::error::Elapsed>> {
    timeout(Duration::from_millis(1), future)
}

#[tokio::test(start_paused = true)]
async fn calls_run_in_the_queue() {
    let queue = queue(QueueConfig::default().max_concurrent(2));
    let mut service = queue.service(seconds);
    let mut answers = Vec::new();
    for number in [1, 2, 13] {
        ready(&mut service).await.unwrap();
        answers.push(service.call(number));
    }
    let error = answers.pop().unwrap().await.unwrap_err();
    assert_eq!(
        error,
        OperationError::Failed {
            error: "unlucky".to_owned(),
            attempts: 1
        }
    );
    for (answer, expected) in answers.into_iter().zip([1, 2]) {
        assert_eq!(answer.await, Ok(expected));
    }
    assert!(matches!(
        queue.service(seconds).priority(Priority::Level(5)),
        Err(SubmitError::NoSuchLevel { level: 5, .. })
    ));
}

#[tokio::test(start_paused = true)]
async fn readiness_is_a_place_that_is_given_back() {
    let queue = queue(QueueConfig::default().capacity(1));
    queue.pause();
    let mut one = queue.service(seconds);
    let mut other = one.clone();
    ready(&mut one).await.unwrap();
    ready(&mut one).await.unwrap();
    assert!(soon(ready(&mut other)).await.is_err());
    assert!(matches!(
        queue.future(seconds(1)).try_submit(),
        Err(SubmitError::Full(_))
    ));
    // The one who waits gets the place of the one that goes.
    drop(one);
    soon(ready(&mut other)).await.unwrap().unwrap();
    let answer = other.call(1);
    // A call without readiness takes its chance, and one that gives up waiting leaves nothing behind.
    let refused = other.call(2).await;
    assert!(matches!(refused, Err(OperationError::Refused { .. })));
    assert!(soon(ready(&mut other)).await.is_err());
    drop(other);
    queue.resume();
    assert_eq!(answer.await, Ok(1));
    queue
        .future(seconds(1))
        .try_submit()
        .unwrap()
        .await
        .unwrap();
}

#[tokio::test(start_paused = true)]
async fn dropped_response_cancels_and_closed_queue_says_so() {
    let queue = queue(QueueConfig::default());
    let mut service = queue.service(seconds);
    ready(&mut service).await.unwrap();
    let answer = service.call(100);
    sleep(Duration::from_secs(1)).await;
    drop(answer);
    queue.idle().await;
    assert_eq!(queue.status().cancelled, 1);
    ready(&mut service).await.unwrap();
    queue.drain().await;
    let closed = Err(OperationError::Cancelled {
        reason: CancelReason::Shutdown,
        attempts: 0,
    });
    assert_eq!(service.call(1).await, closed);
    assert_eq!(ready(&mut service).await, closed.map(drop));
}
