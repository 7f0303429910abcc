//! A pool of tasks that share the receiver of a `flume` channel.

use std::future::Future;

use super::{Handles, Job};
use crate::queue::contender::{Contender, Level, Submitter};

/// As many tasks as operations may run at once, on one multi-consumer channel; no priorities.
#[derive(Debug)]
pub struct FlumePool(flume::Sender<Job>);

/// A producer of the pool.
#[derive(Debug)]
pub struct Producer {
    jobs: flume::Sender<Job>,
    handles: Handles,
}

impl Contender for FlumePool {
    type Submitter = Producer;

    fn start(concurrency: usize, _capacity: usize) -> Self {
        let (sender, receiver) = flume::unbounded::<Job>();
        for _ in 0..concurrency {
            let receiver = receiver.clone();
            tokio::spawn(async move {
                while let Ok(job) = receiver.recv_async().await {
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
    async fn submit<M, F>(&mut self, _level: Level, make: M)
    where
        M: Fn() -> F + Send + Sync + 'static,
        F: Future<Output = u64> + Send + 'static,
    {
        let job = self.handles.job(make());
        // A closed pool drops the job, and with it the reply: `next` then reports the loss.
        let _ = self.jobs.send(job);
    }

    async fn next(&mut self) -> Option<u64> {
        self.handles.next().await
    }
}
