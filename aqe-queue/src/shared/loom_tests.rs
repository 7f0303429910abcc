//! All interleavings of a whole queue: one worker, and somebody who uses it.
//!
//! Locks and atomics of the queue are loom's here, and time stands still. The queue's tasks run in a thread each, as
//! loom sees it: a task that sleeps and is not woken when it should be is a deadlock, which loom reports.
//!
//! Run with `cargo xtask ci loom`.

use loom::thread::{self, JoinHandle};
use tokio::runtime::{Builder, Runtime};

use crate::config::{Overflow, QueueConfig};
use crate::error::OperationError;
use crate::queue::AsyncOperationQueue;
use crate::sync::block_on;
use crate::worker::QueueWorker;

/// How many switches are forced, at most. A whole queue has so many places for them that a third takes minutes.
const SWITCHES: usize = 2;

/// Explores `act` with a clock that stands still.
fn explore(act: impl Fn() + Send + Sync + 'static) {
    let runtime: Runtime = Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(SWITCHES);
    model.check(move || {
        let _clock = runtime.enter();
        act();
    });
}

/// Makes a queue whose worker is asleep already, or not polled yet, and runs its worker in a thread. Its keeper never
/// runs: nothing is ever due.
fn start(config: QueueConfig) -> (AsyncOperationQueue, JoinHandle<()>) {
    let (queue, worker) = make(config);
    (queue, thread::spawn(move || block_on(worker)))
}

fn make(config: QueueConfig) -> (AsyncOperationQueue, QueueWorker) {
    let config = config.timeout(None).ageing(None).seed(1);
    let (queue, tasks) = AsyncOperationQueue::builder(config).pair().unwrap();
    // The worker comes first.
    let worker = tasks.into_iter().next().unwrap();
    (queue, worker)
}

#[test]
fn loom_submission_reaches_the_worker_and_its_result_the_handle() {
    explore(|| {
        let (queue, worker) = start(QueueConfig::default());
        let handle = queue.future(async { Ok::<_, ()>(7) }).try_submit().unwrap();
        assert_eq!(block_on(handle), Ok(7));
        drop(queue);
        worker.join().unwrap();
    });
}

/// Who is told that the queue is idle finds every outcome visible.
#[test]
fn loom_idle_queue_has_published_everything() {
    explore(|| {
        let (queue, worker) = start(QueueConfig::default());
        let handle = queue.future(async { Ok::<_, ()>(7) }).try_submit().unwrap();
        block_on(queue.idle());
        assert!(handle.is_finished());
        drop((queue, handle));
        worker.join().unwrap();
    });
}

/// The same for a cancellation that meets the start: the operation ends once, one way or the other.
#[test]
fn loom_cancelled_operation_ends_once() {
    explore(|| {
        let (queue, worker) = start(QueueConfig::default());
        let handle = queue.future(async { Ok::<_, ()>(7) }).try_submit().unwrap();
        let cancelled = handle.cancel();
        match block_on(handle) {
            Ok(7) => {}
            Err(OperationError::Cancelled { .. }) => assert!(cancelled),
            other => panic!("{other:?}"),
        }
        block_on(queue.drain());
        let status = queue.status();
        assert_eq!(
            (status.completed + status.cancelled, status.submitted),
            (1, 1)
        );
        worker.join().unwrap();
    });
}

/// Somebody who waits for room gets it when there is some.
#[test]
fn loom_submitter_hears_of_room() {
    explore(|| {
        let (queue, worker) = start(QueueConfig::default().capacity(1));
        let first = queue.future(async { Ok::<_, ()>(1) }).try_submit().unwrap();
        let second = block_on(queue.future(async { Ok::<_, ()>(2) }).submit()).unwrap();
        assert_eq!((block_on(first), block_on(second)), (Ok(1), Ok(2)));
        drop(queue);
        worker.join().unwrap();
    });
}

/// Two submit an operation of the same name: it runs as often as it was accepted, and both get a result. The worker and
/// one of the two share a thread: with three threads it would take many minutes.
#[test]
fn loom_unique_operation_is_heard_by_all_who_joined() {
    explore(|| {
        let (queue, worker) = make(QueueConfig::default().overflow(Overflow::Reject));
        let submit = |queue: &AsyncOperationQueue, value: u8| {
            queue
                .future(async move { Ok::<_, ()>(value) })
                .unique("name")
                .submit()
        };
        let other = {
            let submit = submit(&queue, 1);
            thread::spawn(move || {
                block_on(async {
                    // Refused if the queue is being drained by now.
                    let handle = submit.await.ok()?;
                    Some(handle.await.unwrap())
                })
            })
        };
        let own = async {
            let handle = submit(&queue, 2).await.unwrap();
            let heard = (handle.has_joined(), handle.await.unwrap());
            queue.drain().await;
            heard
        };
        let (heard, ()) = block_on(futures_util::future::join(own, worker));
        let other = other.join().unwrap();
        assert!(matches!(heard, (_, 2) | (true, 1)), "{heard:?}");
        let runs = queue.status().completed;
        match other {
            None => assert_eq!(runs, 1),
            Some(value) if value == heard.1 => assert_eq!(runs, 1),
            Some(value) => assert_eq!((value, runs), (1, 2)),
        }
    });
}
