//! What a queue tells about itself, and that telling it costs the queue nothing.

#![expect(clippy::unwrap_used, reason = "helpers of tests may fail the test")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use aqe_queue::{
    AsyncOperationQueue, EndedAs, Event, Histograms, Observed, OperationId, QueueConfig,
    QueueObserver, QueueStatus, RetryPolicy,
};
use futures_util::StreamExt;
use tokio::time::{Instant, sleep};

const MS: Duration = Duration::from_millis(1);

fn queue(config: QueueConfig) -> AsyncOperationQueue {
    AsyncOperationQueue::new(config.retry(RetryPolicy::none())).unwrap()
}

async fn run(queue: &AsyncOperationQueue, count: u64, each: Duration) {
    let mut handles = Vec::new();
    for _ in 0..count {
        let operation = queue.future(async move {
            sleep(each).await;
            Ok::<_, ()>(())
        });
        handles.push(operation.submit().await.unwrap());
    }
    for handle in handles {
        handle.await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn histograms_of_two_queues_are_merged() {
    let (one, other) = (
        queue(QueueConfig::default().max_concurrent(1)),
        queue(QueueConfig::default().max_concurrent(10)),
    );
    run(&one, 4, 10 * MS).await;
    run(&other, 6, 100 * MS).await;
    let mut all = Histograms::default();
    all.merge(&one.histograms());
    all.merge(&other.histograms());
    assert_eq!((all.wait.count(), all.run.count()), (10, 10));
    // One after another: the fourth waits for three times ten milliseconds. In the other queue nothing waits.
    let within = |found: Duration, expected: Duration| {
        found >= expected && found <= expected + expected / 10 + 4 * MS
    };
    assert!(within(all.wait.max(), 30 * MS), "{all:?}");
    assert!(within(all.run.quantile(0.4), 10 * MS), "{all:?}");
    assert!(within(all.run.quantile(0.5), 100 * MS), "{all:?}");
    // A status has the points of the same distribution.
    assert_eq!(one.status().run, one.histograms().run.quantiles());
    let counts: u64 = all.wait.buckets().map(|(_, count)| count).sum();
    assert_eq!(counts, 10);
}

/// The sums that must hold in every snapshot.
fn adds_up(status: &QueueStatus) -> bool {
    let ended = status.completed
        + status.failed
        + status.timed_out
        + status.deadline_exceeded
        + status.cancelled
        + status.panicked
        + status.shed;
    let inside = status.pending + status.running + status.waiting_for_retry;
    status.submitted == ended + inside as u64
}

/// Found by the simulation. An operation of a stream that ran where the stream was polled was told of as running before
/// it was counted as submitted.
#[tokio::test(start_paused = true)]
async fn snapshot_adds_up_while_a_stream_runs_its_operations_itself() {
    let queue = queue(QueueConfig::default());
    // Not before a worker has said on which runtime operations are to run.
    queue.run(async {}).await.unwrap();
    let operations = (0..200).map(|number| {
        let queue = queue.clone();
        async move {
            let first = queue.status();
            if number % 50 == 49 {
                // Handed to a worker.
                sleep(MS).await;
            }
            Ok::<_, ()>([first, queue.status()])
        }
    });
    let mut results = queue.run_all(operations);
    while let Some(result) = results.next().await {
        for status in result.unwrap() {
            assert!(adds_up(&status), "{status:?}");
            assert!(status.running >= 1, "{status:?}");
        }
        assert!(adds_up(&queue.status()));
    }
    assert_eq!(queue.status().submitted, 201);
}

/// Nothing is made for a reader between two of its looks, and one that comes late finds the present and not the past.
#[tokio::test(start_paused = true)]
async fn slow_reader_of_a_live_view_sees_the_present() {
    let queue = queue(QueueConfig::default().max_concurrent(1));
    let mut watch = queue.watch(10 * MS);
    assert_eq!(watch.next().await.unwrap().submitted, 0);
    let began = Instant::now();
    run(&queue, 100, 10 * MS).await;
    assert!(began.elapsed() < 1_200 * MS, "{:?}", began.elapsed());
    let status = watch.next().await.unwrap();
    assert_eq!((status.submitted, status.completed), (100, 100));
    // The hundred that it missed are not made up for: the next comes when its time comes.
    let began = Instant::now();
    assert!(adds_up(&watch.next().await.unwrap()));
    assert!(adds_up(&watch.next().await.unwrap()));
    assert!(began.elapsed() >= 10 * MS);
    queue.drain().await;
    // As a stream it ends with the last snapshot of a queue that is over.
    let rest: Vec<_> = watch.collect().await;
    assert!(rest.iter().all(adds_up));
    assert!(rest.last().is_some_and(|last| last.is_closed));
}

#[derive(Default)]
struct Count(AtomicU64);

impl QueueObserver for Count {
    fn on_ended(&self, _: OperationId, _: EndedAs, _: u32) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// A reader that never reads costs the queue neither time nor memory, and is told exactly how much it has lost; one
/// that keeps up, and an observer, lose nothing.
#[tokio::test(start_paused = true)]
async fn lag_of_a_slow_reader_is_its_own_and_is_counted() {
    const OPERATIONS: u64 = 1_000;
    let observer = Arc::new(Count::default());
    let builder = AsyncOperationQueue::builder(
        QueueConfig::default()
            .event_capacity(64)
            .retry(RetryPolicy::none()),
    );
    let queue = builder
        .observer(Arc::clone(&observer) as _)
        .build()
        .unwrap();
    let (mut slow, mut quick) = (queue.subscribe(), queue.subscribe());
    let reader = tokio::spawn(async move {
        let mut ended = 0;
        while let Some(observed) = quick.next().await {
            match observed {
                Observed::Event(Event::Ended { .. }) => ended += 1,
                Observed::Event(_) => {}
                other => panic!("{other:?}"),
            }
        }
        ended
    });
    let began = Instant::now();
    for _ in 0..OPERATIONS {
        queue.run(async {}).await.unwrap();
    }
    // The clock is paused: had anybody waited for a reader, it would have moved.
    assert_eq!(began.elapsed(), Duration::ZERO);
    queue.drain().await;
    assert_eq!(reader.await.unwrap(), OPERATIONS);
    assert_eq!(observer.0.load(Ordering::SeqCst), OPERATIONS);

    // Three events for each operation, and the last of all.
    let Some(Observed::Missed(missed)) = slow.next().await else {
        panic!("the loss must be told first")
    };
    let mut seen = 0;
    let mut last = None;
    while let Some(Observed::Event(event)) = slow.next().await {
        seen += 1;
        last = Some(event);
    }
    assert_eq!(missed + seen, 3 * OPERATIONS + 1);
    assert!((1..=64).contains(&seen), "{seen}");
    assert_eq!(last, Some(Event::Drained));
}
