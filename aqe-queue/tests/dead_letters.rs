//! What a queue tells of operations that failed for good.

#![expect(clippy::unwrap_used, reason = "helpers of tests may fail the test")]

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use aqe_queue::dead_letters::{DeadLetter, DeadLetterBox, DeadLetters, Failure};
use aqe_queue::{AsyncOperationQueue, EndedAs, OperationError, QueueConfig, RetryPolicy};
use tokio::time::sleep;

const MS: Duration = Duration::from_millis(1);

fn queue(dead: Arc<DeadLetterBox>) -> AsyncOperationQueue {
    let config = QueueConfig::default().timeout(20 * MS);
    let builder = AsyncOperationQueue::builder(config);
    builder.dead_letters(dead).build().unwrap()
}

fn failures(letter: &DeadLetter) -> Vec<(u32, String, u128)> {
    let attempts = letter.history.iter();
    attempts
        .map(|it| (it.number, it.failure.to_string(), it.duration.as_millis()))
        .collect()
}

#[tokio::test(start_paused = true)]
async fn letter_tells_of_every_attempt() {
    let dead = Arc::new(DeadLetterBox::new(10));
    let queue = queue(Arc::clone(&dead));
    let began = tokio::time::Instant::now().into_std();
    let handle = queue.operation(|cx| async move {
        match cx.attempt() {
            1 => Err::<(), _>("busy"),
            2 => std::future::pending().await,
            _ => {
                sleep(5 * MS).await;
                Err("gone")
            }
        }
    });
    let handle = handle.retry(RetryPolicy::fixed(2, 100 * MS));
    let handle = handle.submit().await.unwrap();
    let id = handle.id();
    assert_eq!(
        handle.await,
        Err(OperationError::Failed {
            error: "gone",
            attempts: 3
        })
    );
    let letters = dead.take();
    let [letter] = &letters[..] else {
        panic!("{letters:?}")
    };
    assert_eq!(
        (letter.id, letter.level, letter.how),
        (id, 2, EndedAs::Failed)
    );
    assert_eq!((letter.attempts, letter.omitted), (3, 0));
    let failures = failures(letter);
    assert_eq!(failures[0], (1, "busy".to_owned(), 0));
    assert_eq!((failures[1].0, &*failures[1].1), (2, "timed out"));
    assert!((20..23).contains(&failures[1].2), "{failures:?}");
    assert_eq!((failures[2].0, &*failures[2].1), (3, "gone"));
    assert!((5..7).contains(&failures[2].2), "{failures:?}");
    let third = letter.history[2].started.duration_since(began);
    assert!((220 * MS..227 * MS).contains(&third), "{third:?}");
}

#[tokio::test(start_paused = true)]
async fn every_way_to_fail_is_told_and_no_other() {
    let dead = Arc::new(DeadLetterBox::new(10));
    let queue = queue(Arc::clone(&dead));
    let none = RetryPolicy::none;
    let once_more =
        queue.operation(|cx| async move { if cx.attempt() == 1 { Err(7) } else { Ok(()) } });
    let once_more = once_more.retry(RetryPolicy::fixed(1, Duration::ZERO));
    once_more.submit().await.unwrap().await.unwrap();
    let cancelled = queue.operation(|_| std::future::pending::<Result<(), ()>>());
    let cancelled = cancelled.submit().await.unwrap();
    sleep(MS).await;
    cancelled.cancel();
    assert!(cancelled.await.is_err());
    assert!(dead.is_empty());

    let late = queue.operation(|_| std::future::pending::<Result<(), ()>>());
    let late = late
        .deadline_in(10 * MS)
        .retry(none())
        .submit()
        .await
        .unwrap();
    assert!(late.await.is_err());
    let slow = queue.operation(|_| std::future::pending::<Result<(), ()>>());
    assert!(slow.retry(none()).submit().await.unwrap().await.is_err());
    let panics = queue.operation(|_| async { if true { panic!("oh") } else { Ok::<_, ()>(()) } });
    assert!(panics.submit().await.unwrap().await.is_err());
    // Its type has no text here, so its name has to do.
    let fails = queue
        .operation(|_| async { Err::<(), u32>(7) })
        .retry(none());
    assert!(fails.submit().await.unwrap().await.is_err());
    queue.pause();
    let waits = queue.future(async { Ok::<_, ()>(()) }).deadline_in(MS);
    assert!(waits.submit().await.unwrap().await.is_err());

    let told: Vec<_> = dead
        .take()
        .iter()
        .map(|letter| {
            (
                letter.how,
                letter.history.first().map(|it| it.failure.clone()),
            )
        })
        .collect();
    let expected = [
        (EndedAs::DeadlineExceeded, Some(Failure::DeadlineExceeded)),
        (EndedAs::TimedOut, Some(Failure::TimedOut)),
        (EndedAs::Panicked, Some(Failure::Panicked("oh".to_owned()))),
        (EndedAs::Failed, Some(Failure::Error("u32".to_owned()))),
        (EndedAs::DeadlineExceeded, None),
    ];
    assert_eq!(told, expected);
}

/// Knows one type of error, and panics when it is given a letter.
struct Clumsy;

impl DeadLetters for Clumsy {
    fn bury(&self, letter: DeadLetter) {
        panic!("{letter:?}")
    }

    fn describe(&self, _: &(dyn Any + Send)) -> Option<String> {
        panic!("what is that?")
    }
}

#[tokio::test(start_paused = true)]
async fn sink_that_panics_breaks_nothing() {
    let builder = AsyncOperationQueue::builder(QueueConfig::default());
    let queue = builder.dead_letters(Arc::new(Clumsy)).build().unwrap();
    for _ in 0..20 {
        let handle = queue.operation(|_| async { Err::<(), _>("busy") });
        let handle = handle.retry(RetryPolicy::fixed(2, Duration::ZERO));
        let error = handle.submit().await.unwrap().await.unwrap_err();
        assert!(matches!(error, OperationError::Failed { attempts: 3, .. }));
    }
    assert_eq!(queue.run(async { 1 }).await, Ok(1));
}
