//! Who comes into one call, and that a call has one slot.

use super::*;

#[tokio::test(start_paused = true)]
async fn who_waits_is_taken_along_even_where_one_runs_at_a_time() {
    let (queue, calls) = queue(one_at_a_time(), of_five(), |it, _| async { echo(it) });
    queue.pause();
    let handles = submit(&queue, 0..12).await;
    assert_eq!(queue.status().pending, 12);
    queue.resume();
    assert_eq!(all(handles).await, (0..12).collect::<Vec<_>>());
    assert_eq!(
        calls.take(),
        [vec![0, 1, 2, 3, 4], vec![5, 6, 7, 8, 9], vec![10, 11]]
    );
    let status = queue.status();
    assert_eq!((status.completed, status.running), (12, 0));
}

#[tokio::test(start_paused = true)]
async fn a_burst_comes_together_though_every_one_has_a_slot() {
    let (queue, calls) = queue(config(), of_five(), |it, _| async { echo(it) });
    let handles = submit(&queue, 0..4).await;
    all(handles).await;
    assert_eq!(calls.take(), [vec![0, 1, 2, 3]]);
}

#[tokio::test(start_paused = true)]
async fn without_a_size_of_its_own_a_call_has_the_queues_batch_size() {
    let settings = one_at_a_time().batch_size(3);
    let (queue, calls) = queue(settings, BatchOptions::default(), |it, _| async {
        echo(it)
    });
    queue.pause();
    let handles = submit(&queue, 0..4).await;
    queue.resume();
    all(handles).await;
    assert_eq!(calls.take(), [vec![0, 1, 2], vec![3]]);
}

#[tokio::test(start_paused = true)]
async fn the_most_urgent_are_taken_along_first() {
    let options = BatchOptions::default().max_size(3);
    let (queue, calls) = queue(one_at_a_time(), options, |it, _| async { echo(it) });
    queue.pause();
    let mut handles = Vec::new();
    for (number, priority) in [
        (0, Priority::Background),
        (1, Priority::Low),
        (2, Priority::Medium),
        (3, Priority::Critical),
        (4, Priority::Medium),
        (5, Priority::High),
    ] {
        let item = queue.submit(Item(number)).priority(priority);
        handles.push(item.submit().await.unwrap());
    }
    // Moved while it waits: it counts where it is now.
    assert_eq!(handles[0].set_priority(Priority::High), Ok(true));
    queue.resume();
    all(handles).await;
    assert_eq!(calls.take(), [vec![3, 5, 0], vec![2, 4, 1]]);
}

#[tokio::test(start_paused = true)]
async fn one_call_has_one_slot() {
    let settings = config().max_concurrent(2);
    let (queue, calls) = queue(settings, of_five(), |it, _| async {
        sleep(Duration::from_secs(10)).await;
        echo(it)
    });
    queue.pause();
    let handles = submit(&queue, 0..5).await;
    let begun = Arc::new(AtomicUsize::new(0));
    let mut others = Vec::new();
    for _ in 0..2 {
        let begun = Arc::clone(&begun);
        let other = queue.future(async move {
            begun.fetch_add(1, Ordering::SeqCst);
            sleep(Duration::from_secs(10)).await;
            Ok::<_, ()>(())
        });
        others.push(other.submit().await.unwrap());
    }
    queue.resume();
    settle().await;
    let status = queue.status();
    assert_eq!(
        (status.running, status.sharing_a_slot, status.pending),
        (6, 4, 1)
    );
    assert_eq!((calls.take().len(), begun.load(Ordering::SeqCst)), (1, 1));
    let start = Instant::now();
    all(handles).await;
    for other in others {
        other.await.unwrap();
    }
    // The second of the others began when a slot was free, and not before.
    assert_eq!(start.elapsed().as_secs(), 20);
    let status = queue.status();
    assert_eq!((status.running, status.sharing_a_slot), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_call_lingers_for_more_and_no_longer_than_it_is_full() {
    const LINGER: Duration = Duration::from_millis(50);
    for slots in [1, 10] {
        let settings = config().max_concurrent(slots);
        let options = BatchOptions::default().max_size(3).linger(LINGER);
        let (queue, calls) = queue(settings, options, |it, _| async { echo(it) });
        let start = Instant::now();
        let mut handles = submit(&queue, [0]).await;
        advance(Duration::from_millis(20)).await;
        handles.extend(submit(&queue, [1]).await);
        settle().await;
        assert!(calls.take().is_empty());
        // The third fills it.
        advance(Duration::from_millis(10)).await;
        handles.extend(submit(&queue, [2]).await);
        all(handles).await;
        assert_eq!(start.elapsed(), Duration::from_millis(30), "{slots} slots");
        assert_eq!(calls.take(), [vec![0, 1, 2]]);
        // Another is not filled.
        let start = Instant::now();
        let mut handles = submit(&queue, [3]).await;
        advance(Duration::from_millis(20)).await;
        handles.extend(submit(&queue, [4]).await);
        all(handles).await;
        assert_eq!(calls.take(), [vec![3, 4]], "{slots} slots");
        let elapsed = start.elapsed();
        assert!(elapsed >= LINGER && elapsed < LINGER * 2, "{elapsed:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn who_lingered_and_left_does_not_cut_the_linger_of_the_next() {
    const LINGER: Duration = Duration::from_millis(50);
    let options = BatchOptions::default().max_size(3).linger(LINGER);
    let (queue, calls) = queue(config(), options, |it, _| async { echo(it) });
    let gone = submit(&queue, [0]).await.pop().unwrap();
    advance(Duration::from_millis(40)).await;
    settle().await;
    gone.cancel();
    assert!(gone.await.is_err());
    let start = Instant::now();
    let mut handles = submit(&queue, [1]).await;
    advance(Duration::from_millis(30)).await;
    handles.extend(submit(&queue, [2]).await);
    all(handles).await;
    assert_eq!(calls.take(), [vec![1, 2]]);
    assert!(start.elapsed() >= LINGER);
}

#[tokio::test(start_paused = true)]
async fn a_paused_queue_takes_nothing_along() {
    let options = of_five().linger(Duration::from_millis(50));
    let (queue, calls) = queue(one_at_a_time(), options, |it, _| async { echo(it) });
    let first = submit(&queue, [0]).await;
    settle().await;
    queue.pause();
    let rest = submit(&queue, 1..4).await;
    assert_eq!(all(first).await, [0]);
    assert_eq!(calls.take(), [vec![0]]);
    assert_eq!(queue.status().pending, 3);
    queue.resume();
    all(rest).await;
    assert_eq!(calls.take(), [vec![1, 2, 3]]);
}

#[tokio::test(start_paused = true)]
async fn cleared_and_cancelled_ones_are_not_taken_along() {
    let (queue, calls) = queue(one_at_a_time(), of_five(), |it, _| async {
        sleep(Duration::from_secs(1)).await;
        echo(it)
    });
    let first = submit(&queue, [0]).await;
    settle().await;
    let cleared = submit(&queue, 1..4).await;
    assert_eq!(queue.clear(), 3);
    for handle in cleared {
        assert!(matches!(
            handle.await,
            Err(OperationError::Cancelled {
                reason: CancelReason::Cleared,
                attempts: 0
            })
        ));
    }
    let rest = submit(&queue, 4..8).await;
    rest[1].cancel();
    all(first).await;
    let mut ended = Vec::new();
    for handle in rest {
        ended.push(handle.await.is_ok());
    }
    assert_eq!(ended, [true, false, true, true]);
    assert_eq!(calls.take(), [vec![0], vec![4, 6, 7]]);
}

#[tokio::test(start_paused = true)]
async fn one_registry_serves_two_queues_apart() {
    let (calls, mut registry) = (Calls::default(), Registry::new());
    let noted = calls.clone();
    registry
        .register_batch(of_five(), move |items: Vec<Arc<Item>>, _| {
            let numbers = noted.note(&items);
            async { echo(numbers) }
        })
        .unwrap();
    let build = || AsyncOperationQueue::builder(one_at_a_time()).registry(registry.clone());
    let (left, right) = (build().build().unwrap(), build().build().unwrap());
    let mut handles = submit(&left, 0..2).await;
    handles.extend(submit(&right, 2..4).await);
    all(handles).await;
    let mut calls = calls.take();
    calls.sort_unstable();
    assert_eq!(calls, [[0, 1], [2, 3]]);
}

#[test]
fn a_kind_has_one_handler_and_its_calls_have_room() {
    let mut registry = Registry::new();
    let mut register = |size| {
        let options = BatchOptions::default().max_size(size);
        let registered = registry.register_batch(options, |items: Vec<Arc<Item>>, _| async move {
            echo(items.iter().map(|it| it.0).collect())
        });
        registered.map(drop).map_err(|error| error.to_string())
    };
    assert_eq!(
        register(0).unwrap_err(),
        "operation `item/1` cannot have calls of no operations; leave `max_size` out, or let it be 1 or more"
    );
    assert_eq!(register(1), Ok(()));
    assert_eq!(
        register(1).unwrap_err(),
        "operation `item/1` has a handler already"
    );
}
