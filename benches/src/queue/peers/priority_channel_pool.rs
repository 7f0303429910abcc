//! A pool of tasks that share the receiver of an `async-priority-channel`.

use std::future::Future;

use super::{Handles, Job};
use crate::queue::contender::{Contender, LEVELS, Level, Submitter};

/// As many tasks as operations may run at once, on one heap; the peer with priorities.
#[derive(Debug)]
pub struct AsyncPriorityChannelPool(async_priority_channel::Sender<Job, Level>);

/// A producer of the pool.
#[derive(Debug)]
pub struct Producer {
    jobs: async_priority_channel::Sender<Job, Level>,
    handles: Handles,
}

impl Contender for AsyncPriorityChannelPool {
    type Submitter = Producer;

    fn start(concurrency: usize, _capacity: usize) -> Self {
        let (sender, receiver) = async_priority_channel::unbounded::<Job, Level>();
        for _ in 0..concurrency {
            let receiver = receiver.clone();
            tokio::spawn(async move {
                while let Ok((job, _)) = receiver.recv().await {
                    job.run().await;
                }
            });
        }
        Self(sender)
    }

    fn submitter(&self) -> Producer {
        Producer {
            jobs: self.0.clone(),
            handles: Handles::default(),
        }
    }
}

impl Submitter for Producer {
    async fn submit<M, F>(&mut self, level: Level, make: M)
    where
        M: Fn() -> F + Send + Sync + 'static,
        F: Future<Output = u64> + Send + 'static,
    {
        let job = self.handles.job(make());
        // The heap gives out the greatest first. A closed pool drops the job, and `next` reports the loss.
        let _ = self.jobs.send(job, LEVELS - level).await;
    }

    async fn next(&mut self) -> Option<u64> {
        self.handles.next().await
    }
}
