//! Batch handlers: who comes into one call, what that means for the slots, and that each operation stays one of its own.

#![expect(clippy::unwrap_used, reason = "helpers of tests may fail the test")]

mod beside;
mod calls;
mod members;

use std::future::pending;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aqe_queue::backend::{Backend, BackendExt, InProcess, JobOptions, Wire, serve};
use aqe_queue::batching::BatchResults;
use aqe_queue::{
    AsyncOperationQueue, BatchContext, BatchOptions, CancelReason, Canceller, EndedAs, Event,
    HandlerError, KeyLimits, Observed, OnDrop, Operation, OperationError, OperationHandle,
    OperationId, Priority, QueueConfig, QueueObserver, Registry, RetryPolicy,
};
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use tokio::time::{Instant, advance, sleep};

/// Gives its number.
#[derive(Debug, Serialize, Deserialize)]
struct Item(u32);

impl Operation for Item {
    const NAME: &'static str = "item/1";
    type Output = u32;
}

type Handle = OperationHandle<u32, HandlerError>;

/// The numbers that came together, call by call.
#[derive(Clone, Default)]
struct Calls(Arc<Mutex<Vec<Vec<u32>>>>);

impl Calls {
    fn note(&self, items: &[Arc<Item>]) -> Vec<u32> {
        let numbers: Vec<_> = items.iter().map(|item| item.0).collect();
        self.0.lock().unwrap().push(numbers.clone());
        numbers
    }

    fn take(&self) -> Vec<Vec<u32>> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

fn echo(numbers: Vec<u32>) -> BatchResults<u32> {
    Ok(numbers.into_iter().map(Ok).collect())
}

/// A queue whose items are handled by what `act` makes of their numbers.
fn queue<F, Fut>(config: QueueConfig, options: BatchOptions, act: F) -> (AsyncOperationQueue, Calls)
where
    F: Fn(Vec<u32>, BatchContext) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = BatchResults<u32>> + Send + 'static,
{
    let (calls, mut registry) = (Calls::default(), Registry::new());
    let noted = calls.clone();
    registry
        .register_batch(options, move |items: Vec<Arc<Item>>, cx| {
            act(noted.note(&items), cx)
        })
        .unwrap();
    let queue = AsyncOperationQueue::builder(config).registry(registry);
    (queue.build().unwrap(), calls)
}

fn of_five() -> BatchOptions {
    BatchOptions::default().max_size(5)
}

/// Without timeouts and retries, which would cover up a call that gets stuck.
fn config() -> QueueConfig {
    let config = QueueConfig::default().timeout(None);
    config.retry(RetryPolicy::none())
}

fn one_at_a_time() -> QueueConfig {
    config().max_concurrent(1)
}

async fn submit(
    queue: &AsyncOperationQueue,
    numbers: impl IntoIterator<Item = u32>,
) -> Vec<Handle> {
    let mut handles = Vec::new();
    for number in numbers {
        handles.push(queue.submit(Item(number)).await.unwrap());
    }
    handles
}

async fn all(handles: Vec<Handle>) -> Vec<u32> {
    let mut values = Vec::new();
    for handle in handles {
        values.push(handle.await.unwrap());
    }
    values
}

/// Lets everything happen that can without time passing.
async fn settle() {
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
}
