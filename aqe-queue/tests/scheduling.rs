//! Which operation is next, and how many run at once.

#![expect(clippy::unwrap_used, reason = "helpers of tests may fail the test")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use aqe_queue::{
    AdaptiveLimit, AsyncOperationQueue, Event, Observed, Priority, QueueConfig, QueueObserver,
    RetryPolicy, Scheduling,
};
use parking_lot::Mutex;
use tokio::time::sleep;

const MS: Duration = Duration::from_millis(1);

#[tokio::test(start_paused = true)]
async fn fifo_knows_no_urgency() {
    for (scheduling, expected) in [
        (Scheduling::Fifo, [0, 1, 2, 3, 4]),
        (Scheduling::Priority, [4, 3, 2, 1, 0]),
    ] {
        let config = QueueConfig::default()
            .max_concurrent(1)
            .scheduling(scheduling);
        let queue = AsyncOperationQueue::new(config).unwrap();
        queue.pause();
        let order = Arc::new(Mutex::new(Vec::new()));
        for number in 0..5u8 {
            let order = Arc::clone(&order);
            let operation = queue.future(async move {
                order.lock().push(number);
                Ok::<_, ()>(())
            });
            let level = Priority::Level(4 - number);
            operation.priority(level).submit().await.unwrap().detach();
        }
        queue.resume();
        queue.idle().await;
        assert_eq!(*order.lock(), expected);
    }
}

/// A service with `places` that takes 20 ms, and proportionally longer when more callers come than it has places.
#[derive(Clone)]
struct Service {
    places: usize,
    callers: Arc<AtomicUsize>,
    peak: Arc<AtomicUsize>,
}

impl Service {
    fn new(places: usize) -> Self {
        Self {
            places,
            callers: Arc::default(),
            peak: Arc::default(),
        }
    }

    async fn call(self) -> Result<(), ()> {
        let callers = self.callers.fetch_add(1, Ordering::SeqCst) + 1;
        self.peak.fetch_max(callers, Ordering::SeqCst);
        let crowd = u32::try_from(callers.max(self.places)).unwrap();
        sleep(20 * MS * crowd / u32::try_from(self.places).unwrap()).await;
        self.callers.fetch_sub(1, Ordering::SeqCst);
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn adaptive_limit_finds_the_places_of_a_service() {
    let config = QueueConfig::default()
        .max_concurrent(500)
        .scheduling(Scheduling::Adaptive(AdaptiveLimit::default()));
    let queue = AsyncOperationQueue::new(config).unwrap();
    assert_eq!(queue.status().max_concurrent, 10);
    let service = Service::new(40);
    for _ in 0..30_000 {
        let operation = queue.future(service.clone().call());
        operation.submit().await.unwrap().detach();
    }
    sleep(Duration::from_secs(6)).await;
    let status = queue.status();
    assert!(status.pending > 0, "{status:?}");
    // Never far from the 40 that it can serve: more only wait inside the service.
    let limit = status.max_concurrent;
    assert!((30..=90).contains(&limit), "{limit}");
    assert!(service.peak.load(Ordering::SeqCst) <= 120);
    // 40 each 20 ms are 2,000 a second.
    assert!(status.throughput > 1_500.0, "{}", status.throughput);
    queue.clear();
}

#[tokio::test(start_paused = true)]
async fn adaptive_limit_follows_failures_and_the_configured_maximum() {
    let config = QueueConfig::default()
        .max_concurrent(30)
        .retry(RetryPolicy::fixed(1, Duration::ZERO))
        .scheduling(Scheduling::Adaptive(
            AdaptiveLimit::default().start(30).min(2),
        ));
    let queue = AsyncOperationQueue::new(config).unwrap();
    let fails = Arc::new(AtomicUsize::new(1));
    let flood = async || {
        for _ in 0..5_000 {
            let fails = Arc::clone(&fails);
            let operation = queue.operation(move |_| {
                let fails = fails.load(Ordering::SeqCst) == 1;
                async move {
                    sleep(10 * MS).await;
                    if fails { Err(()) } else { Ok(()) }
                }
            });
            operation.submit().await.unwrap().detach();
        }
    };
    flood().await;
    sleep(Duration::from_secs(8)).await;
    assert_eq!(queue.status().max_concurrent, 2);
    queue.clear();
    queue.idle().await;

    fails.store(0, Ordering::SeqCst);
    flood().await;
    queue.idle().await;
    assert!(queue.status().max_concurrent > 8);
    queue.resize(7).unwrap();
    assert_eq!(queue.status().max_concurrent, 7);
}

#[tokio::test(start_paused = true)]
async fn reserved_slots_stay_empty_for_what_is_urgent() {
    let config = QueueConfig::default()
        .max_concurrent(3)
        .reserve(Priority::High, 1);
    let queue = AsyncOperationQueue::new(config).unwrap();
    let submit = |priority| {
        let operation = queue.future(async {
            sleep(10 * MS).await;
            Ok::<_, ()>(())
        });
        operation.priority(priority).try_submit().unwrap()
    };
    let mut handles = Vec::new();
    for _ in 0..6 {
        handles.push(submit(Priority::Low));
    }
    sleep(5 * MS).await;
    let status = queue.status();
    assert_eq!((status.running, status.pending), (2, 4));
    let began = tokio::time::Instant::now();
    submit(Priority::Critical).await.unwrap();
    assert!(began.elapsed() < 12 * MS);
    for handle in handles {
        handle.await.unwrap();
    }
    queue.idle().await;
}

/// Remembers what it was told of the limit.
#[derive(Default)]
struct Limits(Mutex<Vec<(usize, usize)>>);

impl QueueObserver for Limits {
    fn on_limit_moved(&self, from: usize, to: usize) {
        self.0.lock().push((from, to));
    }
}

#[tokio::test(start_paused = true)]
async fn moves_of_the_limit_are_told_one_after_the_other() {
    let (from, window) = (6, 100 * MS);
    let adaptive = AdaptiveLimit::default().start(from).window(window);
    let config = QueueConfig::default()
        .max_concurrent(50)
        .scheduling(Scheduling::Adaptive(adaptive));
    let told = Arc::new(Limits::default());
    let builder = AsyncOperationQueue::builder(config);
    let observer: Arc<dyn QueueObserver> = Arc::<Limits>::clone(&told);
    let queue = builder.observer(observer).build().unwrap();
    let mut events = queue.subscribe();
    let mut moves = Vec::new();
    let start = tokio::time::Instant::now();
    for _ in 0..40 {
        let wave = (0..100).map(|_| async {
            sleep(10 * MS).await;
            Ok::<_, ()>(())
        });
        let mut wave = queue.run_all(wave);
        while wave.next().await.is_some() {}
        while let Some(observed) = events.try_next() {
            if let Observed::Event(Event::LimitMoved { from, to }) = observed {
                moves.push((from, to));
            }
        }
    }
    assert!(!moves.is_empty());
    let mut at = from;
    for (from, to) in &moves {
        assert_eq!(*from, at, "{moves:?}");
        assert_ne!(from, to);
        at = *to;
    }
    assert_eq!(queue.status().max_concurrent, at);
    assert_eq!(*told.0.lock(), moves);
    let windows = start.elapsed().as_nanos() / window.as_nanos();
    assert!(moves.len() as u128 <= windows, "{moves:?} in {windows}");
    // Only what moves by itself: a new maximum has an event of its own.
    queue.resize(1).unwrap();
    queue.resize(50).unwrap();
    assert_eq!(told.0.lock().len(), moves.len());
}
