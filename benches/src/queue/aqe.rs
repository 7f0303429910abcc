//! aqe's own side of the area: `AsyncOperationQueue`, reached as applications reach it, with everything on.
//!
//! Nothing is switched off to be faster: five levels with ageing, a timeout on every attempt, retries, panics caught,
//! operations that are cancelled with their handles, counters and latency quantiles.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::Future;
use std::time::Duration;

use aqe_core::queue::{
    AsyncOperationQueue, OperationHandle, Priority, QueueConfig, RetryPolicy, Submitted,
};
use futures_util::{Stream, StreamExt};

use super::contender::{
    Contender, Failed, LEVELS, Level, Plain, RETRIES, StreamForm, Submitter, TIMEOUT,
};

/// The queue of `aqe-core`, with its workers where the runtime's own are.
#[derive(Debug)]
pub struct AqeQueue(AsyncOperationQueue);

/// A producer with a handle of the queue.
#[derive(Debug)]
pub struct Producer {
    queue: AsyncOperationQueue,
    handles: VecDeque<OperationHandle<u64, Infallible>>,
    retrying: VecDeque<OperationHandle<u64, Failed>>,
}

impl Contender for AqeQueue {
    type Submitter = Producer;

    fn start(concurrency: usize, capacity: usize) -> Self {
        Self(queue(everything(concurrency).capacity(capacity)))
    }

    fn submitter(&self) -> Producer {
        Producer {
            queue: self.0.clone(),
            handles: VecDeque::new(),
            retrying: VecDeque::new(),
        }
    }
}

impl Submitter for Producer {
    async fn submit<M, F>(&mut self, level: Level, make: M)
    where
        M: Fn() -> F + Send + Sync + 'static,
        F: Future<Output = u64> + Send + 'static,
    {
        let submission = self.queue.infallible(make());
        let submitted = submission.priority(Priority::Level(level)).submit().await;
        keep(&mut self.handles, submitted);
    }

    async fn next(&mut self) -> Option<u64> {
        if let Some(handle) = self.handles.pop_front() {
            return handle.await.ok();
        }
        self.retrying.pop_front()?.await.ok()
    }

    async fn submit_retrying<M, F>(&mut self, make: M)
    where
        M: Fn(u32) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Result<u64, Failed>> + Send + 'static,
    {
        // Attempts count from 1 there and from 0 here.
        let submission = self.queue.operation(move |cx| make(cx.attempt() - 1));
        let submitted = submission.priority(Priority::Critical).submit().await;
        keep(&mut self.retrying, submitted);
    }
}

impl Plain for AqeQueue {
    fn start_plain(concurrency: usize, capacity: usize) -> Self {
        let config = everything(concurrency).capacity(capacity);
        Self(queue(config.timeout(None).retry(RetryPolicy::none())))
    }

    async fn submit_plain<M, F>(submitter: &mut Producer, make: M)
    where
        M: Fn(u32) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Result<u64, Failed>> + Send + 'static,
    {
        // The same operation: the queue's settings are the only difference.
        submitter.submit_retrying(make).await;
    }
}

/// `run_all` in the order in which operations end.
#[derive(Debug)]
pub struct AqeUnordered(AsyncOperationQueue);

/// `run_all` in the order in which operations were given.
#[derive(Debug)]
pub struct AqeOrdered(AsyncOperationQueue);

impl StreamForm for AqeUnordered {
    fn start(concurrency: usize) -> Self {
        Self(queue(everything(concurrency)))
    }

    async fn sum<I, F>(&self, operations: I) -> Option<u64>
    where
        I: Iterator<Item = F> + Send + 'static,
        F: Future<Output = u64> + Send + 'static,
    {
        let queue = self.0.clone();
        let submissions = operations.map(move |operation| queue.infallible(operation));
        add_up(self.0.run_all(submissions)).await
    }
}

impl StreamForm for AqeOrdered {
    fn start(concurrency: usize) -> Self {
        Self(queue(everything(concurrency)))
    }

    async fn sum<I, F>(&self, operations: I) -> Option<u64>
    where
        I: Iterator<Item = F> + Send + 'static,
        F: Future<Output = u64> + Send + 'static,
    {
        let queue = self.0.clone();
        let submissions = operations.map(move |operation| queue.infallible(operation));
        add_up(self.0.run_all(submissions).ordered()).await
    }
}

async fn add_up<E>(mut results: impl Stream<Item = Result<u64, E>> + Unpin) -> Option<u64> {
    let mut sum = 0;
    while let Some(result) = results.next().await {
        sum += result.ok()?;
    }
    Some(sum)
}

/// Five levels, a timeout on every attempt, and retries; what is not set here is on by default.
fn everything(concurrency: usize) -> QueueConfig {
    QueueConfig::default()
        .max_concurrent(concurrency)
        .priority_levels(LEVELS)
        .timeout(TIMEOUT)
        // Peers' loops try again at once.
        .retry(RetryPolicy::fixed(RETRIES, Duration::ZERO))
}

fn queue(config: QueueConfig) -> AsyncOperationQueue {
    // The workloads' numbers are constants, and they start contenders inside a runtime.
    AsyncOperationQueue::new(config).expect("a valid configuration and a runtime")
}

/// Keeps the handle; a queue that refuses leaves one too few, and `next` then reports the loss.
fn keep<S, E>(handles: &mut VecDeque<OperationHandle<u64, E>>, submitted: Submitted<S, u64, E>) {
    if let Ok(handle) = submitted {
        handles.push_back(handle);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn nothing_is_switched_off() {
        let queue = AqeQueue::start(2, 100);
        let mut producer = queue.submitter();
        producer.submit(4, || async { 20 }).await;
        producer
            .submit_retrying(
                |attempt| async move { if attempt == 0 { Err(Failed) } else { Ok(22) } },
            )
            .await;
        producer.submit(0, || async { panic!("alone") }).await;
        assert_eq!(producer.next().await, Some(20));
        assert_eq!(producer.next().await, None);
        assert_eq!(producer.next().await, Some(22));

        producer.submit(0, std::future::pending).await;
        producer.submit(0, std::future::pending).await;
        producer.submit(0, std::future::pending).await;
        // The third of them has no slot, so dropping its handle cancels it.
        drop(producer.handles.pop_back());

        let status = queue.0.status();
        assert_eq!((status.completed, status.retried), (2, 1));
        assert_eq!((status.panicked, status.cancelled), (1, 1));
        let config = queue.0.config();
        assert_eq!(
            (config.priority_levels, config.timeout),
            (LEVELS, Some(TIMEOUT))
        );
        assert!(config.ageing.is_some());
    }
}
