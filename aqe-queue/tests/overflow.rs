//! What happens when there is no room, by count and by bytes.

#![expect(clippy::unwrap_used, reason = "helpers of tests may fail the test")]

use std::time::Duration;

use aqe_queue::config::Overflow;
use aqe_queue::{
    AsyncOperationQueue, EndedAs, Event, Observed, OperationError, OperationHandle, Priority,
    QueueConfig, RetryPolicy, SubmitError,
};
use futures_util::StreamExt;
use tokio::time::{sleep, timeout};

fn queue(config: QueueConfig) -> AsyncOperationQueue {
    AsyncOperationQueue::new(config).unwrap()
}

async fn second(number: u8) -> Result<u8, ()> {
    sleep(Duration::from_secs(1)).await;
    Ok(number)
}

/// Submits at a level.
fn at(queue: &AsyncOperationQueue, level: u8, number: u8) -> OperationHandle<u8, ()> {
    let operation = queue.future(second(number));
    operation
        .priority(Priority::Level(level))
        .try_submit()
        .unwrap()
}

#[tokio::test(start_paused = true)]
async fn bytes_are_counted_until_the_operation_ends() {
    let queue = queue(QueueConfig::default().capacity_bytes(100));
    let heavy = queue.future(second(1)).weight(60).submit().await.unwrap();
    let too_much = queue.future(second(2)).weight(41).try_submit();
    assert!(matches!(too_much, Err(SubmitError::Full(_))));
    let fits = queue.future(second(3)).weight(40).try_submit().unwrap();
    assert_eq!(queue.status().bytes, 100);
    // What weighs nothing is bounded by number only.
    at(&queue, 2, 4).await.unwrap();
    assert_eq!((heavy.await, fits.await), (Ok(1), Ok(3)));
    assert_eq!(queue.status().bytes, 0);
    let error = queue
        .future(second(5))
        .weight(101)
        .submit()
        .await
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "operation of 101 bytes will never fit into a queue of 100 bytes"
    );
}

#[tokio::test(start_paused = true)]
async fn every_way_to_end_gives_the_bytes_back() {
    let queue = queue(
        QueueConfig::default()
            .capacity_bytes(1_000)
            .max_concurrent(1),
    );
    let submit = || queue.future(second(0)).weight(100).try_submit().unwrap();
    let (running, cancelled, cleared) = (submit(), submit(), submit());
    sleep(Duration::from_millis(1)).await;
    assert_eq!(queue.status().bytes, 300);
    assert!(cancelled.cancel());
    assert_eq!(queue.status().bytes, 200);
    queue.clear();
    assert_eq!(queue.status().bytes, 100);
    drop(cleared);
    running.cancel();
    running.await.unwrap_err();
    let panics = queue.future(async {
        if true {
            panic!("boom")
        } else {
            Ok::<u8, ()>(0)
        }
    });
    panics.weight(7).submit().await.unwrap().await.unwrap_err();
    let late = queue
        .future(second(0))
        .weight(9)
        .timeout(Duration::from_millis(1));
    late.submit().await.unwrap().await.unwrap_err();
    assert_eq!(queue.status().bytes, 0);
}

#[tokio::test(start_paused = true)]
async fn submitters_wait_for_bytes_in_their_turn() {
    let queue = queue(QueueConfig::default().capacity_bytes(100));
    let first = queue.future(second(1)).weight(80).submit().await.unwrap();
    let mut heavy = Box::pin(queue.future(second(2)).weight(90).submit());
    assert!(timeout(Duration::from_millis(1), &mut heavy).await.is_err());
    // A light one, and one of no weight, do not pass the heavy one by.
    let mut light = Box::pin(queue.future(second(3)).weight(10).submit());
    assert!(timeout(Duration::from_millis(1), &mut light).await.is_err());
    assert!(matches!(
        queue.future(second(4)).try_submit(),
        Err(SubmitError::Full(_))
    ));
    first.await.unwrap();
    let heavy = heavy.await.unwrap();
    let light = light.await.unwrap();
    assert_eq!(queue.status().bytes, 100);
    assert_eq!((heavy.await, light.await), (Ok(2), Ok(3)));

    // One that gives up its promise gives up its bytes.
    let full = queue.future(second(5)).weight(100).submit().await.unwrap();
    let mut waiting = Box::pin(queue.future(second(6)).weight(50).submit());
    assert!(
        timeout(Duration::from_millis(1), &mut waiting)
            .await
            .is_err()
    );
    full.await.unwrap();
    drop(waiting);
    queue
        .future(second(7))
        .weight(100)
        .try_submit()
        .unwrap()
        .await
        .unwrap();
}

#[tokio::test(start_paused = true)]
async fn rejecting_queue_hands_back_at_once() {
    let queue = queue(
        QueueConfig::default()
            .capacity(1)
            .overflow(Overflow::Reject),
    );
    queue.pause();
    let waiting = at(&queue, 2, 1);
    let refused = queue.future(second(2)).submit().await;
    assert!(matches!(refused, Err(SubmitError::Full(_))));
    let run = queue.run(async {}).await;
    assert!(matches!(run, Err(OperationError::Refused { .. })));
    queue.resume();
    // A stream waits even so.
    assert_eq!(queue.run_all((0..9).map(second)).count().await, 9);
    assert_eq!(waiting.await, Ok(1));
}

#[tokio::test(start_paused = true)]
async fn urgent_operation_takes_the_place_of_the_least_urgent_and_newest() {
    for listens in [false, true] {
        let config = QueueConfig::default().capacity(3).max_concurrent(1);
        let queue = queue(config.overflow(Overflow::ShedLowest));
        let mut events = listens.then(|| queue.subscribe());
        let running = at(&queue, 4, 0);
        sleep(Duration::from_millis(1)).await;
        let (old, new, low) = (at(&queue, 4, 1), at(&queue, 4, 2), at(&queue, 3, 3));
        let urgent = at(&queue, 0, 4);
        assert_eq!(new.await, Err(OperationError::Shed { attempts: 0 }));
        let next = queue
            .future(second(5))
            .priority(Priority::High)
            .submit()
            .await
            .unwrap();
        assert_eq!(old.await, Err(OperationError::Shed { attempts: 0 }));
        // Nothing is below its own level: it is refused, and nothing is lost.
        let refused = queue
            .future(second(6))
            .priority(Priority::Level(3))
            .try_submit();
        assert!(matches!(refused, Err(SubmitError::Full(_))));
        assert_eq!(
            (running.await, urgent.await, next.await, low.await),
            (Ok(0), Ok(4), Ok(5), Ok(3))
        );
        let status = queue.status();
        assert_eq!((status.shed, status.completed, status.submitted), (2, 4, 6));
        queue.idle().await;
        let mut shed = 0;
        while let Some(Observed::Event(event)) = events.as_mut().and_then(|it| it.try_next()) {
            shed += usize::from(matches!(
                event,
                Event::Ended {
                    how: EndedAs::Shed,
                    ..
                }
            ));
        }
        assert_eq!(shed, if listens { 2 } else { 0 });
    }
}

#[tokio::test(start_paused = true)]
async fn urgent_newcomer_passes_those_who_wait_by_shedding() {
    let config = QueueConfig::default()
        .capacity(2)
        .overflow(Overflow::ShedLowest);
    let queue = queue(config);
    queue.pause();
    let (_first, second_low) = (at(&queue, 4, 1), at(&queue, 4, 2));
    let mut waiting = Box::pin(
        queue
            .future(second(3))
            .priority(Priority::Background)
            .submit(),
    );
    assert!(
        timeout(Duration::from_millis(1), &mut waiting)
            .await
            .is_err()
    );
    let urgent = queue
        .future(second(4))
        .priority(Priority::Critical)
        .submit()
        .await
        .unwrap();
    assert_eq!(second_low.await, Err(OperationError::Shed { attempts: 0 }));
    queue.resume();
    assert_eq!(urgent.await, Ok(4));
    assert_eq!(waiting.await.unwrap().await, Ok(3));
}

/// Found by the model. Retries are never refused, so they can fill a queue beyond its capacity. Then one victim made no
/// room: it was shed, and the operation for which it had to go was refused all the same.
#[tokio::test(start_paused = true)]
async fn nobody_is_shed_in_vain_when_retries_have_overfilled_the_queue() {
    let config = QueueConfig::default().capacity(2).max_concurrent(3);
    let queue = queue(config.overflow(Overflow::ShedLowest));
    let mut low = Vec::new();
    for _ in 0..3 {
        let failing = queue.operation(|_| async {
            sleep(Duration::from_millis(10)).await;
            Err::<u8, ()>(())
        });
        let failing = failing.retry(RetryPolicy::fixed(1, Duration::ZERO));
        low.push(failing.priority(Priority::Level(4)).submit().await.unwrap());
        sleep(Duration::from_millis(1)).await;
    }
    low.extend([at(&queue, 3, 1), at(&queue, 3, 2)]);
    queue.pause();
    sleep(Duration::from_millis(20)).await;
    assert_eq!(queue.status().pending, 5);
    // All of level 4 would not make a place for one of level 3, so none of them goes for it.
    let refused = queue.future(second(3)).priority(Priority::Level(3));
    assert!(matches!(refused.try_submit(), Err(SubmitError::Full(_))));
    assert_eq!(queue.status().shed, 0);
    // For one of level 0 as many go as it takes.
    let urgent = at(&queue, 0, 4);
    let status = queue.status();
    assert_eq!((status.shed, status.pending), (4, 2));
    queue.resume();
    assert_eq!(urgent.await, Ok(4));
}

/// Producers that shed one another's operations, move them between levels and cancel them, on several threads. Every
/// operation ends once, and no byte is left over.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn nothing_is_lost_between_shedding_moving_and_cancelling() {
    const EACH: u8 = 250;
    let config = QueueConfig::default().capacity(16).capacity_bytes(200);
    let queue = queue(config.max_concurrent(3).overflow(Overflow::ShedLowest));
    let producers: Vec<_> = (0..4_u8)
        .map(|producer| {
            let queue = queue.clone();
            tokio::spawn(async move {
                let mut handles = Vec::new();
                for number in 0..EACH {
                    let operation = queue.future(async move {
                        if number % 3 == 0 {
                            tokio::task::yield_now().await;
                        }
                        Ok::<_, ()>(number)
                    });
                    let level = number.wrapping_mul(7).wrapping_add(producer) % 5;
                    let operation = operation.priority(Priority::Level(level));
                    let handle = operation.weight(u64::from(number % 40)).submit().await;
                    handles.push(handle.unwrap());
                    let earlier = &handles[usize::from(number / 2)];
                    earlier.set_priority(Priority::Level(number % 5)).unwrap();
                    if number % 11 == 0 {
                        handles[usize::from(number)].cancel();
                    }
                }
                let mut ends = [0_u64; 3];
                for handle in handles {
                    match handle.await {
                        Ok(_) => ends[0] += 1,
                        Err(OperationError::Shed { attempts: 0 }) => ends[1] += 1,
                        Err(OperationError::Cancelled { .. }) => ends[2] += 1,
                        Err(error) => panic!("{error}"),
                    }
                }
                ends
            })
        })
        .collect();
    let mut ends = [0; 3];
    for producer in producers {
        for (sum, count) in ends.iter_mut().zip(producer.await.unwrap()) {
            *sum += count;
        }
    }
    queue.idle().await;
    let status = queue.status();
    assert_eq!(ends, [status.completed, status.shed, status.cancelled]);
    assert_eq!(ends.iter().sum::<u64>(), 4 * u64::from(EACH));
    assert_eq!((status.pending, status.running, status.bytes), (0, 0, 0));
    // All room is there again.
    queue
        .future(second(1))
        .weight(200)
        .try_submit()
        .unwrap()
        .cancel();
}
