//! What becomes of operations whose worker is dropped in the middle of everything.

use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;

use aqe_queue::{
    AsyncOperationQueue, CancelReason, EndedAs, OperationError, OperationId, QueueConfig,
    QueueObserver, QueueWorker, RetryPolicy,
};
use parking_lot::Mutex;

/// The task that keeps the time, to be polled by whoever has it.
#[derive(Default)]
struct Keeper(Mutex<Option<QueueWorker>>);

impl QueueObserver for Keeper {
    fn on_ended(&self, _: OperationId, _: EndedAs, _: u32) {
        // Stands for another thread, on which the keeper runs at this very moment.
        if let Some(mut keeper) = self.0.try_lock()
            && let Some(keeper) = &mut *keeper
        {
            poll(keeper);
        }
    }
}

fn poll(task: &mut QueueWorker) {
    let polled = std::pin::Pin::new(task).poll(&mut Context::from_waker(Waker::noop()));
    assert!(polled.is_pending());
}

/// Found by the simulation: while a dropped worker's operations were being cancelled one by one, the keeper found that
/// the next of them was over its time, and put it into the ready list of the worker that was gone. The
/// cancellation then left it to whoever would take it from there, which was nobody: its handle waited for ever, and so
/// did `drain`. Nothing is put into that list any more once its worker is gone.
#[tokio::test(start_paused = true)]
async fn operation_that_times_out_while_its_worker_is_dropped_ends_all_the_same() {
    let keeper = Arc::new(Keeper::default());
    let config = QueueConfig::default().retry(RetryPolicy::none());
    let builder = AsyncOperationQueue::builder(config.timeout(Duration::from_millis(10)));
    let observer = Arc::clone(&keeper) as Arc<dyn QueueObserver>;
    let (queue, mut tasks) = builder.observer(observer).pair().unwrap();
    let (mut time, mut worker) = (tasks.pop().unwrap(), tasks.pop().unwrap());
    let mut handles = Vec::new();
    for _ in 0..3 {
        let never = queue.future(std::future::pending::<Result<(), ()>>());
        handles.push(never.submit().await.unwrap());
    }
    poll(&mut time);
    // A worker returns early when it has rung for the keeper.
    while handles.iter().any(|handle| handle.attempts() == 0) {
        poll(&mut worker);
    }
    tokio::time::advance(Duration::from_millis(20)).await;
    *keeper.0.lock() = Some(time);
    drop(worker);
    for handle in handles {
        assert!(handle.is_finished());
        let (reason, attempts) = (CancelReason::Shutdown, 1);
        let cancelled = OperationError::Cancelled { reason, attempts };
        assert_eq!(handle.await, Err(cancelled));
    }
    assert_eq!(queue.status().running, 0);
    // It has the queue, which has its observer.
    let time = keeper.0.lock().take();
    drop(time);
}
