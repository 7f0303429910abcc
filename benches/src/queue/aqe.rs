//! aqe's own side of the area: `AsyncOperationQueue`, reached as applications reach it, with everything on.
//!
//! Nothing is switched off to be faster: five levels with ageing, a timeout on every attempt, retries, panics caught,
//! operations that are cancelled with their handles, counters and latency quantiles.

use std::collections::VecDeque;
use std::future::Future;
use std::time::Duration;

use aqe_core::queue::{
    AsyncOperationQueue, OperationHandle, Priority, QueueConfig, RetryPolicy, Submitted,
};

use super::contender::{Contender, Failed, LEVELS, Level, RETRIES, Submitter, TIMEOUT};

/// The queue of `aqe-core`, with its workers where the runtime's own are.
#[derive(Debug)]
pub struct AqeQueue(AsyncOperationQueue);

/// A producer with a handle of the queue.
#[derive(Debug)]
pub struct Producer {
    queue: AsyncOperationQueue,
    handles: VecDeque<OperationHandle<u64, Failed>>,
}

impl Contender for AqeQueue {
    type Submitter = Producer;

    fn start(concurrency: usize, capacity: usize) -> Self {
        let config = QueueConfig::default()
            .max_concurrent(concurrency)
            .capacity(capacity)
            .priority_levels(LEVELS)
            .timeout(TIMEOUT)
            // Peers' loops try again at once.
            .retry(RetryPolicy::fixed(RETRIES, Duration::ZERO));
        let queue = AsyncOperationQueue::new(config);
        // The workloads' numbers are constants, and they start contenders inside a runtime.
        Self(queue.expect("a valid configuration and a runtime"))
    }

    fn submitter(&self) -> Producer {
        Producer {
            queue: self.0.clone(),
            handles: VecDeque::new(),
        }
    }
}

impl Producer {
    fn keep<S>(&mut self, submitted: Submitted<S, u64, Failed>) {
        // A queue that refuses is a missing handle: `next` then reports the loss.
        self.handles.extend(submitted.ok());
    }
}

impl Submitter for Producer {
    async fn submit<M, F>(&mut self, level: Level, make: M)
    where
        M: Fn() -> F + Send + Sync + 'static,
        F: Future<Output = u64> + Send + 'static,
    {
        let operation = make();
        let submission = self.queue.future(async move { Ok(operation.await) });
        let submitted = submission.priority(Priority::Level(level)).submit().await;
        self.keep(submitted);
    }

    async fn next(&mut self) -> Option<u64> {
        self.handles.pop_front()?.await.ok()
    }

    async fn submit_retrying<M, F>(&mut self, make: M)
    where
        M: Fn(u32) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Result<u64, Failed>> + Send + 'static,
    {
        // Attempts count from 1 there and from 0 here.
        let submission = self.queue.operation(move |cx| make(cx.attempt() - 1));
        let submitted = submission.priority(Priority::Critical).submit().await;
        self.keep(submitted);
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
        assert_eq!(producer.next().await, Some(22));
        assert_eq!(producer.next().await, None);

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
