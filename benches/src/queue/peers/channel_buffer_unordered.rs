//! One task that drives `buffer_unordered` over a channel of operations.

use std::future::Future;

use futures_util::StreamExt;
use futures_util::stream::poll_fn;
use tokio::sync::mpsc;

use super::{Handles, Job};
use crate::queue::contender::{Contender, Failed, Level, Plain, Submitter};

/// All operations are polled by one task, side by side but never in parallel; no priorities.
#[derive(Debug)]
pub struct ChannelBufferUnordered(mpsc::UnboundedSender<Job>);

/// A producer of the stream.
#[derive(Debug)]
pub struct Producer {
    jobs: mpsc::UnboundedSender<Job>,
    handles: Handles,
}

impl Contender for ChannelBufferUnordered {
    type Submitter = Producer;

    fn start(concurrency: usize, _capacity: usize) -> Self {
        let (sender, mut receiver) = mpsc::unbounded_channel::<Job>();
        let jobs = poll_fn(move |context| receiver.poll_recv(context));
        tokio::spawn(
            jobs.map(Job::run)
                .buffer_unordered(concurrency)
                .for_each(|()| async {}),
        );
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
        // A stream that has ended drops the job, and with it the reply: `next` then reports the loss.
        let _ = self.jobs.send(self.handles.job(make()));
    }

    async fn next(&mut self) -> Option<u64> {
        self.handles.next().await
    }
}

impl Plain for ChannelBufferUnordered {
    fn start_plain(concurrency: usize, capacity: usize) -> Self {
        // Timeout and retries are in the operations.
        Self::start(concurrency, capacity)
    }

    async fn submit_plain<M, F>(submitter: &mut Producer, make: M)
    where
        M: Fn(u32) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Result<u64, Failed>> + Send + 'static,
    {
        let once = move || {
            let attempt = make(0);
            // A failure changes the sum, as it does after the last retry.
            async move { attempt.await.unwrap_or(0) }
        };
        submitter.submit(0, once).await;
    }
}
