//! Pools of tasks that share the receiver of a channel: what people build first.

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;

use super::{Handles, Job};
use crate::queue::contender::{Contender, LEVELS, Level, Submitter};

/// As many tasks as operations may run at once, on one multi-consumer channel.
pub struct Pool<C: Channel> {
    jobs: C::Sender,
}

/// A producer of a pool.
pub struct Producer<C: Channel> {
    jobs: C::Sender,
    handles: Handles,
    _channel: PhantomData<fn() -> C>,
}

/// A multi-consumer channel of operations.
pub trait Channel: 'static {
    /// What producers hold.
    type Sender: Clone + Send + Sync + 'static;
    /// What the tasks of a pool share.
    type Receiver: Clone + Send + Sync + 'static;

    /// Makes a channel without a bound.
    fn open() -> (Self::Sender, Self::Receiver);

    /// Sends a job. A closed channel drops it, and with it the reply: the producer then reports the loss.
    fn send(sender: &Self::Sender, job: Job, level: Level) -> impl Future<Output = ()> + Send;

    /// Waits for a job; `None` once the channel is closed.
    fn receive(receiver: &Self::Receiver) -> impl Future<Output = Option<Job>> + Send;
}

impl<C: Channel> Contender for Pool<C> {
    type Submitter = Producer<C>;

    fn start(concurrency: usize, _capacity: usize) -> Self {
        let (jobs, receiver) = C::open();
        for _ in 0..concurrency {
            let receiver = receiver.clone();
            tokio::spawn(async move {
                while let Some(job) = C::receive(&receiver).await {
                    job.run().await;
                }
            });
        }
        Self { jobs }
    }

    fn submitter(&self) -> Producer<C> {
        Producer {
            jobs: self.jobs.clone(),
            handles: Handles::default(),
            _channel: PhantomData,
        }
    }
}

impl<C: Channel> Submitter for Producer<C> {
    async fn submit<M, F>(&mut self, level: Level, make: M)
    where
        M: Fn() -> F + Send + Sync + 'static,
        F: Future<Output = u64> + Send + 'static,
    {
        let job = self.handles.job(make());
        C::send(&self.jobs, job, level).await;
    }

    async fn next(&mut self) -> Option<u64> {
        self.handles.next().await
    }
}

impl<C: Channel> fmt::Debug for Pool<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").finish_non_exhaustive()
    }
}

impl<C: Channel> fmt::Debug for Producer<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Producer")
            .field("handles", &self.handles)
            .finish_non_exhaustive()
    }
}

/// `async-channel`; no priorities.
#[derive(Debug)]
pub struct AsyncChannel;

impl Channel for AsyncChannel {
    type Sender = async_channel::Sender<Job>;
    type Receiver = async_channel::Receiver<Job>;

    fn open() -> (Self::Sender, Self::Receiver) {
        async_channel::unbounded()
    }

    async fn send(sender: &Self::Sender, job: Job, _: Level) {
        let _ = sender.send(job).await;
    }

    async fn receive(receiver: &Self::Receiver) -> Option<Job> {
        receiver.recv().await.ok()
    }
}

/// `flume`; no priorities.
#[derive(Debug)]
pub struct Flume;

impl Channel for Flume {
    type Sender = flume::Sender<Job>;
    type Receiver = flume::Receiver<Job>;

    fn open() -> (Self::Sender, Self::Receiver) {
        flume::unbounded()
    }

    async fn send(sender: &Self::Sender, job: Job, _: Level) {
        let _ = sender.send(job);
    }

    async fn receive(receiver: &Self::Receiver) -> Option<Job> {
        receiver.recv_async().await.ok()
    }
}

/// `kanal`; no priorities.
#[derive(Debug)]
pub struct Kanal;

impl Channel for Kanal {
    type Sender = kanal::AsyncSender<Job>;
    type Receiver = kanal::AsyncReceiver<Job>;

    fn open() -> (Self::Sender, Self::Receiver) {
        kanal::unbounded_async()
    }

    async fn send(sender: &Self::Sender, job: Job, _: Level) {
        let _ = sender.send(job).await;
    }

    async fn receive(receiver: &Self::Receiver) -> Option<Job> {
        receiver.recv().await.ok()
    }
}

/// `async-priority-channel`, a heap; the pool with priorities.
#[derive(Debug)]
pub struct AsyncPriorityChannel;

impl Channel for AsyncPriorityChannel {
    type Sender = async_priority_channel::Sender<Job, Level>;
    type Receiver = async_priority_channel::Receiver<Job, Level>;

    fn open() -> (Self::Sender, Self::Receiver) {
        async_priority_channel::unbounded()
    }

    async fn send(sender: &Self::Sender, job: Job, level: Level) {
        // The heap gives out the greatest first.
        let _ = sender.send(job, LEVELS - level).await;
    }

    async fn receive(receiver: &Self::Receiver) -> Option<Job> {
        let (job, _) = receiver.recv().await.ok()?;
        Some(job)
    }
}
