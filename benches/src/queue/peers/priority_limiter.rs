//! The `Limiter` of `async-priority-limiter`.

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::sync::Arc;

use async_priority_limiter::{BoxFuture, Limiter};

use crate::queue::contender::{Contender, LEVELS, Level, Submitter};

type Shared = Arc<Limiter<String, Level, u64>>;

/// A finished product and not a recipe: a heap behind a lock, workers of its own, and limits by key (unused here).
///
/// It answers a submission only once the operation is in its heap, so every submission is a round trip to its task.
pub struct AsyncPriorityLimiter(Shared);

/// A producer with a share of the limiter.
pub struct Producer {
    limiter: Shared,
    results: VecDeque<BoxFuture<u64>>,
}

impl Contender for AsyncPriorityLimiter {
    type Submitter = Producer;

    fn start(concurrency: usize, _capacity: usize) -> Self {
        Self(Arc::new(Limiter::new::<String>(concurrency)))
    }

    fn submitter(&self) -> Producer {
        Producer {
            limiter: Arc::clone(&self.0),
            results: VecDeque::new(),
        }
    }
}

impl Submitter for Producer {
    async fn submit<M, F>(&mut self, level: Level, make: M)
    where
        M: Fn() -> F + Send + Sync + 'static,
        F: Future<Output = u64> + Send + 'static,
    {
        // It gives out the greatest first.
        let result = self.limiter.queue(make(), LEVELS - level).await;
        self.results.push_back(result);
    }

    async fn next(&mut self) -> Option<u64> {
        // It panics when the operation is lost, which fails the sample as well as `None` does.
        Some(self.results.pop_front()?.await)
    }
}

// Its own `Debug` asks it of the operation; a boxed future has none.
impl fmt::Debug for AsyncPriorityLimiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsyncPriorityLimiter")
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Producer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Producer").finish_non_exhaustive()
    }
}
