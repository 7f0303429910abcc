//! A tower service behind `Buffer` and `ConcurrencyLimit`.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::TryFutureExt;
use tokio::task::JoinHandle;
use tower::buffer::Buffer;
use tower::limit::ConcurrencyLimit;
use tower::{Service, ServiceExt};

use super::Boxed;
use crate::queue::contender::{Contender, Level, Submitter};

type Answer = Pin<Box<dyn Future<Output = Result<u64, Infallible>> + Send>>;
type Limited = ConcurrencyLimit<Run>;
type Stack = Buffer<Boxed, <Limited as Service<Boxed>>::Future>;

/// The usual stack of a client that must not overload a server; no priorities.
///
/// The future that tower answers with only runs while someone polls it. Here operations run whether or not
/// anyone waits, so each answer is spawned, as its users do when they want the same.
pub struct TowerBuffer(Stack);

/// A producer with a clone of the service.
pub struct Producer {
    stack: Stack,
    answers: VecDeque<JoinHandle<Option<u64>>>,
}

/// The innermost service: runs the operation that it is given.
#[derive(Debug, Clone, Copy)]
pub(super) struct Run;

impl Service<Boxed> for Run {
    type Response = u64;
    type Error = Infallible;
    type Future = Answer;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, operation: Boxed) -> Answer {
        Box::pin(async move { Ok(operation.await) })
    }
}

impl Contender for TowerBuffer {
    type Submitter = Producer;

    fn start(concurrency: usize, capacity: usize) -> Self {
        Self(Buffer::new(
            ConcurrencyLimit::new(Run, concurrency),
            capacity,
        ))
    }

    fn submitter(&self) -> Producer {
        Producer {
            stack: self.0.clone(),
            answers: VecDeque::new(),
        }
    }
}

impl Submitter for Producer {
    async fn submit<M, F>(&mut self, _level: Level, make: M)
    where
        M: Fn() -> F + Send + Sync + 'static,
        F: Future<Output = u64> + Send + 'static,
    {
        let Ok(stack) = self.stack.ready().await else {
            // The worker is gone: fewer answers than submissions, which `next` reports.
            return;
        };
        let answer = stack.call(Box::pin(make()));
        self.answers
            .push_back(tokio::spawn(answer.map_ok_or_else(|_| None, Some)));
    }

    async fn next(&mut self) -> Option<u64> {
        self.answers.pop_front()?.await.ok()?
    }
}

// The service's own `Debug` asks it of the operation.
impl fmt::Debug for TowerBuffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TowerBuffer").finish_non_exhaustive()
    }
}

impl fmt::Debug for Producer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Producer").finish_non_exhaustive()
    }
}
