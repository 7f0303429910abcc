//! The peers, each as its users would write it.

mod bare_streams;
mod channel_buffer_unordered;
mod joinset;
mod pool;
mod priority_limiter;
mod tower_buffer;

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::pin::Pin;

use tokio::sync::oneshot;

pub use bare_streams::{BareBufferUnordered, BareBuffered, FuturesBuffered};
pub use channel_buffer_unordered::ChannelBufferUnordered;
pub use joinset::SemaphoreJoinSet;
pub use priority_limiter::AsyncPriorityLimiter;
pub use tower_buffer::TowerBuffer;

/// A worker pool on `async-channel`.
pub type AsyncChannelPool = pool::Pool<pool::AsyncChannel>;
/// A worker pool on `flume`.
pub type FlumePool = pool::Pool<pool::Flume>;
/// A worker pool on `kanal`.
pub type KanalPool = pool::Pool<pool::Kanal>;
/// A worker pool on `async-priority-channel`; the one with priorities.
pub type AsyncPriorityChannelPool = pool::Pool<pool::AsyncPriorityChannel>;

/// An operation as a pool holds it: boxed, since a channel carries one type.
type Boxed = Pin<Box<dyn Future<Output = u64> + Send>>;

/// An operation on its way to a worker, with where its result goes.
pub struct Job {
    operation: Boxed,
    reply: oneshot::Sender<u64>,
}

// A future has nothing to show; the channels' `Debug` asks for this.
impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Job").finish_non_exhaustive()
    }
}

impl Job {
    async fn run(self) {
        let value = self.operation.await;
        // Whoever dropped the handle does not want the value.
        let _ = self.reply.send(value);
    }
}

/// The handles of a producer, oldest first.
#[derive(Debug, Default)]
pub(super) struct Handles(VecDeque<oneshot::Receiver<u64>>);

impl Handles {
    /// Makes the job of an operation and keeps its handle.
    fn job<F: Future<Output = u64> + Send + 'static>(&mut self, operation: F) -> Job {
        let (reply, handle) = oneshot::channel();
        self.0.push_back(handle);
        Job {
            operation: Box::pin(operation),
            reply,
        }
    }

    async fn next(&mut self) -> Option<u64> {
        self.0.pop_front()?.await.ok()
    }
}
