//! How the operations of a call end, each on its own.

use super::*;

#[tokio::test(start_paused = true)]
async fn who_fails_is_tried_again_alone() {
    let first = AtomicUsize::new(0);
    let settings = one_at_a_time().retry(RetryPolicy::fixed(1, Duration::ZERO));
    let (queue, calls) = queue(settings, of_five(), move |it, _| {
        let is_first = first.fetch_add(1, Ordering::SeqCst) == 0;
        async move {
            Ok(it
                .into_iter()
                .map(|number| match number {
                    1 if is_first => Err(HandlerError::new("once")),
                    3 => Err(HandlerError::permanent("never")),
                    number => Ok(number),
                })
                .collect())
        }
    });
    queue.pause();
    let mut handles = submit(&queue, 0..5).await.into_iter();
    queue.resume();
    let mut next = || handles.next().unwrap().completion();
    assert_eq!(next().await.attempts, 1);
    let retried = next().await;
    assert_eq!((retried.result, retried.attempts), (Ok(1), 2));
    assert_eq!(next().await.result, Ok(2));
    assert_eq!(
        next().await.result,
        Err(OperationError::Failed {
            error: HandlerError::permanent("never"),
            attempts: 1
        })
    );
    assert_eq!(next().await.result, Ok(4));
    assert_eq!(calls.take(), [vec![0, 1, 2, 3, 4], vec![1]]);
    let status = queue.status();
    assert_eq!((status.completed, status.failed, status.retried), (4, 1, 1));
}

#[tokio::test(start_paused = true)]
async fn one_error_for_all_is_everybodys_and_all_are_tried_again_together() {
    let first = AtomicUsize::new(0);
    let settings = one_at_a_time().retry(RetryPolicy::fixed(1, Duration::from_secs(1)));
    let (queue, calls) = queue(settings, of_five(), move |it, _| {
        let is_first = first.fetch_add(1, Ordering::SeqCst) == 0;
        async move {
            if is_first {
                return Err(HandlerError::new("no connection"));
            }
            echo(it)
        }
    });
    queue.pause();
    let handles = submit(&queue, 0..3).await;
    queue.resume();
    settle().await;
    let status = queue.status();
    assert_eq!((status.waiting_for_retry, status.running), (3, 0));
    assert_eq!(all(handles).await, [0, 1, 2]);
    let mut calls = calls.take();
    calls[1].sort_unstable();
    assert_eq!(calls, [[0, 1, 2], [0, 1, 2]]);
}

/// Counts futures that were dropped before they were over.
struct Bomb(Arc<AtomicUsize>);

impl Drop for Bomb {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[tokio::test(start_paused = true)]
async fn who_is_cancelled_ends_at_once_and_the_others_go_on() {
    // Whoever it is: the one that carries the call on, and one that does not.
    for cancelled in 0..3 {
        let gate = Arc::new(Notify::new());
        let opened = Arc::clone(&gate);
        let (queue, calls) = queue(one_at_a_time(), of_five(), move |it, cx| {
            let gate = Arc::clone(&opened);
            async move {
                gate.notified().await;
                let gone: Vec<_> = cx.attempts().iter().map(|it| it.is_cancelled()).collect();
                assert_eq!(gone.iter().filter(|it| **it).count(), 1);
                assert!(gone[cancelled]);
                echo(it)
            }
        });
        queue.pause();
        let mut handles = submit(&queue, 0..3).await;
        queue.resume();
        settle().await;
        assert_eq!(calls.take(), [vec![0, 1, 2]]);
        let handle = handles.remove(cancelled);
        assert!(handle.cancel());
        assert_eq!(
            handle.await,
            Err(OperationError::Cancelled {
                reason: CancelReason::Asked,
                attempts: 1
            })
        );
        let status = queue.status();
        assert_eq!((status.running, status.sharing_a_slot), (2, 1));
        gate.notify_one();
        all(handles).await;
        let status = queue.status();
        assert_eq!((status.completed, status.cancelled), (2, 1));
        assert_eq!((status.running, status.sharing_a_slot), (0, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn when_all_have_left_the_call_is_dropped_and_its_slot_is_free() {
    let dropped = Arc::new(AtomicUsize::new(0));
    let bombs = Arc::clone(&dropped);
    let (queue, _) = queue(one_at_a_time(), of_five(), move |it, _| {
        let bomb = (!it.contains(&9)).then(|| Bomb(Arc::clone(&bombs)));
        async move {
            if bomb.is_some() {
                pending::<()>().await;
            }
            echo(it)
        }
    });
    queue.pause();
    let mut handles = submit(&queue, 0..3).await;
    queue.resume();
    settle().await;
    let last = submit(&queue, [9]).await;
    settle().await;
    assert_eq!(queue.status().pending, 1);
    while let Some(handle) = handles.pop() {
        assert_eq!(dropped.load(Ordering::SeqCst), 0);
        handle.cancel();
        assert!(handle.await.is_err());
    }
    assert_eq!(dropped.load(Ordering::SeqCst), 1);
    assert_eq!(all(last).await, [9]);
}

#[tokio::test(start_paused = true)]
async fn each_has_its_own_timeout_and_deadline() {
    let settings = one_at_a_time().retry(RetryPolicy::none()).timeout(None);
    let (queue, calls) = queue(settings, of_five(), |it, _| async {
        sleep(Duration::from_secs(10)).await;
        echo(it)
    });
    queue.pause();
    let plain = queue.submit(Item(0)).submit().await.unwrap();
    let timeout = queue.submit(Item(1)).timeout(Duration::from_secs(2));
    let timeout = timeout.submit().await.unwrap();
    let deadline = queue.submit(Item(2)).deadline_in(Duration::from_secs(4));
    let deadline = deadline.submit().await.unwrap();
    queue.resume();
    let start = Instant::now();
    assert!(matches!(
        timeout.await,
        Err(OperationError::TimedOut { attempts: 1, .. })
    ));
    assert_eq!(start.elapsed().as_secs(), 2);
    assert!(matches!(
        deadline.await,
        Err(OperationError::DeadlineExceeded { attempts: 1 })
    ));
    assert_eq!(start.elapsed().as_secs(), 4);
    assert_eq!(plain.await, Ok(0));
    assert_eq!(start.elapsed().as_secs(), 10);
    assert_eq!(calls.take(), [vec![0, 1, 2]]);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_takes_too_long_is_dropped_and_all_are_tried_again() {
    let first = AtomicUsize::new(0);
    let dropped = Arc::new(AtomicUsize::new(0));
    let bombs = Arc::clone(&dropped);
    let settings = one_at_a_time()
        .timeout(Duration::from_secs(1))
        .retry(RetryPolicy::fixed(1, Duration::ZERO));
    let (queue, calls) = queue(settings, of_five(), move |it, _| {
        let is_first = first.fetch_add(1, Ordering::SeqCst) == 0;
        let bomb = is_first.then(|| Bomb(Arc::clone(&bombs)));
        async move {
            if is_first {
                pending::<()>().await;
            }
            drop(bomb);
            echo(it)
        }
    });
    queue.pause();
    let handles = submit(&queue, 0..4).await;
    queue.resume();
    assert_eq!(all(handles).await, [0, 1, 2, 3]);
    assert_eq!(dropped.load(Ordering::SeqCst), 1);
    let mut calls = calls.take().into_iter();
    assert_eq!(calls.next().unwrap(), [0, 1, 2, 3]);
    let mut again: Vec<_> = calls.flatten().collect();
    again.sort_unstable();
    assert_eq!(again, [0, 1, 2, 3]);
    assert_eq!(queue.status().attempts_timed_out, 4);
}

#[tokio::test(start_paused = true)]
async fn a_panic_fails_every_one_with_its_message() {
    for is_early in [true, false] {
        let (queue, _) = queue(one_at_a_time(), of_five(), move |it, _| {
            assert!(!is_early || it.contains(&9), "no table");
            async move {
                tokio::task::yield_now().await;
                assert!(it.contains(&9), "no table");
                echo(it)
            }
        });
        queue.pause();
        let handles = submit(&queue, 0..3).await;
        queue.resume();
        for handle in handles {
            assert_eq!(
                handle.await,
                Err(OperationError::Panicked {
                    message: "no table".to_owned(),
                    attempts: 1
                })
            );
        }
        assert_eq!(queue.status().panicked, 3);
        assert_eq!(all(submit(&queue, [9]).await).await, [9]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_wrong_number_of_results_is_an_error_for_all_that_says_so() {
    for returned in [0, 2, 4] {
        let (queue, calls) = queue(one_at_a_time(), of_five(), move |_, _| async move {
            Ok((0..returned).map(Ok).collect())
        });
        queue.pause();
        let handles = submit(&queue, 0..3).await;
        queue.resume();
        for handle in handles {
            let message = format!(
                "the batch handler of operation `item/1` returned {returned} results for 3 operations"
            );
            assert_eq!(
                handle.await,
                Err(OperationError::Failed {
                    error: HandlerError::permanent(message),
                    attempts: 1
                })
            );
        }
        assert_eq!(calls.take().len(), 1);
    }
}

/// The handler's future was woken, and the operation that was to poll it is cancelled in that very moment: another has to.
#[tokio::test(start_paused = true)]
async fn a_wake_is_not_lost_with_the_one_that_was_to_carry_on() {
    for cancelled in 0..3 {
        let gate = Arc::new(Notify::new());
        let opened = Arc::clone(&gate);
        let (queue, _) = queue(one_at_a_time(), of_five(), move |it, _| {
            let gate = Arc::clone(&opened);
            async move {
                gate.notified().await;
                echo(it)
            }
        });
        queue.pause();
        let mut handles = submit(&queue, 0..3).await;
        queue.resume();
        settle().await;
        gate.notify_one();
        handles.remove(cancelled).cancel();
        all(handles).await;
        assert_eq!(queue.status().completed, 2);
    }
}
