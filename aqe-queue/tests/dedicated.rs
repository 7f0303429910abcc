//! Threads of the queue's own, their CPUs, and warnings about polls that block.

#![expect(clippy::unwrap_used, reason = "helpers of tests may fail the test")]

use std::cell::RefCell;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use aqe_queue::{
    AsyncOperationQueue, ConfigError, OperationId, QueueBuilder, QueueConfig, QueueObserver,
};

fn builder() -> QueueBuilder {
    AsyncOperationQueue::builder(QueueConfig::default())
}

async fn thread_name(queue: &AsyncOperationQueue) -> String {
    let name = async { std::thread::current().name().unwrap_or_default().to_owned() };
    queue.run(name).await.unwrap()
}

/// Tells when its thread ends.
struct Farewell(Sender<()>);

impl Drop for Farewell {
    fn drop(&mut self) {
        let _ = self.0.send(());
    }
}

thread_local! {
    static FAREWELL: RefCell<Option<Farewell>> = const { RefCell::new(None) };
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dedicated_threads_run_operations_and_end_with_the_queue() {
    let queue = builder().threads(1).build().unwrap();
    assert_eq!(thread_name(&queue).await, "aqe-queue-0");
    let (sender, farewell) = channel();
    queue
        .run(async move {
            FAREWELL.set(Some(Farewell(sender)));
            // The runtime's timers and tasks are at hand.
            let never = std::future::pending::<()>();
            let timer = tokio::time::timeout(Duration::from_millis(1), never);
            assert!(timer.await.is_err());
            tokio::spawn(async {}).await.unwrap();
        })
        .await
        .unwrap();
    assert!(farewell.try_recv().is_err());
    drop(queue);
    tokio::task::spawn_blocking(move || farewell.recv())
        .await
        .unwrap()
        .unwrap();
}

#[tokio::test]
async fn dedicated_threads_serve_a_runtime_of_one_thread() {
    let queue = builder().threads(2).build().unwrap();
    let operation = queue.future(std::future::pending::<Result<(), ()>>());
    let handle = operation
        .timeout(Duration::from_millis(1))
        .submit()
        .await
        .unwrap();
    handle.await.unwrap_err();
    assert!(thread_name(&queue).await.starts_with("aqe-queue-"));
    assert!(queue.drain().await.cut.is_empty());
    assert!(matches!(
        builder().threads(0).build(),
        Err(ConfigError::OutOfRange {
            field: "threads",
            value: 0,
            ..
        })
    ));
}

#[derive(Default)]
struct Notes {
    not_pinned: Mutex<Vec<(usize, usize)>>,
}

impl QueueObserver for Notes {
    fn on_not_pinned(&self, worker: usize, cpu: usize, reason: &str) {
        assert!(!reason.is_empty());
        self.not_pinned.lock().unwrap().push((worker, cpu));
    }
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn threads_are_bound_where_the_system_allows_and_say_so_where_not() {
    fn allowed() -> String {
        let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
        let line = status
            .lines()
            .find(|line| line.starts_with("Cpus_allowed_list"));
        line.and_then(|line| line.split_whitespace().nth(1))
            .unwrap()
            .to_owned()
    }
    let here: usize = allowed().split(['-', ',']).next().unwrap().parse().unwrap();
    let queue = builder().pin([here]).build().unwrap();
    assert_eq!(
        queue.run(async { allowed() }).await.unwrap(),
        here.to_string()
    );
    assert_eq!(queue.status().not_pinned, 0);

    // No machine of today has all of these.
    let notes = Arc::new(Notes::default());
    let observer = Arc::clone(&notes);
    let queue = builder()
        .observer(observer)
        .threads(3)
        .pin([1_023, here, 1_000_000]);
    let queue = queue.build().unwrap();
    assert_eq!(queue.status().not_pinned, 2);
    let mut told = notes.not_pinned.lock().unwrap().clone();
    told.sort_unstable();
    assert_eq!(told, [(0, 1_023), (2, 1_000_000)]);
    assert_eq!(queue.run(async { 1 }).await.unwrap(), 1);
}

/// Lets go of a blocked poll when the warning comes.
struct Warned {
    sender: Mutex<Sender<OperationId>>,
    times: AtomicUsize,
}

impl QueueObserver for Warned {
    fn on_blocked(&self, _worker: usize, id: OperationId, lasted: Duration) {
        assert!(lasted >= Duration::from_millis(10));
        self.times.fetch_add(1, Ordering::SeqCst);
        self.sender.lock().unwrap().send(id).unwrap();
    }
}

fn warned() -> (Arc<Warned>, Receiver<OperationId>) {
    let (sender, receiver) = channel();
    let warned = Warned {
        sender: Mutex::new(sender),
        times: AtomicUsize::new(0),
    };
    (Arc::new(warned), receiver)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn blocked_worker_is_noticed_while_it_is_blocked() {
    let (observer, receiver) = warned();
    let config = QueueConfig::default().blocking(Duration::from_millis(10));
    let builder = AsyncOperationQueue::builder(config).threads(2);
    let queue = builder
        .observer(Arc::clone(&observer) as _)
        .build()
        .unwrap();
    // One that waits for ever without blocking is not the one that is named.
    let waits = queue.future(std::future::pending::<Result<(), ()>>());
    let waits = waits.submit().await.unwrap();
    let blocks = queue.future(async move { receiver.recv().map_err(drop) });
    let handle = blocks.submit().await.unwrap();
    let id = handle.id();
    assert_eq!(handle.await, Ok(id));
    assert!(!waits.is_finished());
    assert_eq!(queue.status().blocking_polls, 1);
    assert_eq!(observer.times.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn single_worker_notices_afterwards_and_warns_once() {
    let (observer, receiver) = warned();
    let config = QueueConfig::default().blocking(Duration::from_millis(10));
    let builder = AsyncOperationQueue::builder(config);
    let queue = builder
        .observer(Arc::clone(&observer) as _)
        .build()
        .unwrap();
    for _ in 0..4 {
        let busy = async {
            let began = Instant::now();
            while began.elapsed() < Duration::from_millis(11) {
                std::hint::spin_loop();
            }
        };
        queue.run(busy).await.unwrap();
    }
    // The first has the polls timed, the second is found and warned of; whoever blocks every time is found again.
    assert!(queue.status().blocking_polls >= 1);
    assert_eq!(observer.times.load(Ordering::SeqCst), 1);
    assert!(receiver.try_recv().is_ok());
    let quiet = AsyncOperationQueue::new(QueueConfig::default().blocking(None)).unwrap();
    assert_eq!(quiet.run(async { 1 }).await.unwrap(), 1);
    assert_eq!(quiet.status().blocking_polls, 0);
}
