//! A task for each operation in a tokio `JoinSet`, held back by a semaphore.

use std::future::Future;
use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::queue::contender::{Contender, Level, Submitter};

/// What most tokio programs do: spawn everything, let a semaphore decide how much runs; no priorities.
#[derive(Debug)]
pub struct SemaphoreJoinSet(Arc<Semaphore>);

/// A producer with a set of its own; the semaphore is shared.
#[derive(Debug)]
pub struct Producer {
    slots: Arc<Semaphore>,
    tasks: JoinSet<u64>,
}

impl Contender for SemaphoreJoinSet {
    type Submitter = Producer;

    fn start(concurrency: usize, _capacity: usize) -> Self {
        Self(Arc::new(Semaphore::new(concurrency)))
    }

    fn submitter(&self) -> Producer {
        Producer {
            slots: Arc::clone(&self.0),
            tasks: JoinSet::new(),
        }
    }
}

impl Submitter for Producer {
    async fn submit<M, F>(&mut self, _level: Level, make: M)
    where
        M: Fn() -> F + Send + Sync + 'static,
        F: Future<Output = u64> + Send + 'static,
    {
        let slots = Arc::clone(&self.slots);
        let operation = make();
        self.tasks.spawn(async move {
            // Never closed, so there is always a permit in the end.
            let _slot = slots.acquire().await;
            operation.await
        });
    }

    async fn next(&mut self) -> Option<u64> {
        self.tasks.join_next().await?.ok()
    }
}
