//! What a workload asks of a queue, in the least words that fit all of them.

use std::future::Future;
use std::time::Duration;

/// How urgent an operation is: 0 is the most urgent, 4 the least.
pub type Level = u8;

/// The number of levels, as many as aqe has.
pub(in crate::queue) const LEVELS: Level = 5;

/// Each attempt's timeout in the workload that retries; it is never reached, and has to be watched all the same.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(30);

/// Attempts after the first in that workload.
pub(crate) const RETRIES: u32 = 3;

/// An attempt that did not succeed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failed;

/// A queue under test.
pub trait Contender: Send + Sync + 'static {
    /// One producer's access to the queue.
    type Submitter: Submitter;

    /// Starts a queue that runs `concurrency` operations at once and holds `capacity` more.
    ///
    /// Runs inside the sample's runtime, before the clock starts.
    fn start(concurrency: usize, capacity: usize) -> Self;

    /// A producer of its own.
    fn submitter(&self) -> Self::Submitter;
}

/// One producer: submits operations, and waits for the results of those that it submitted.
pub trait Submitter: Send + 'static {
    /// Submits the operation that `make` makes; it runs whether or not anyone waits for it.
    fn submit<M, F>(&mut self, level: Level, make: M) -> impl Future<Output = ()> + Send
    where
        M: Fn() -> F + Send + Sync + 'static,
        F: Future<Output = u64> + Send + 'static;

    /// Waits for one of the submitted operations: the oldest one, or the first to finish.
    ///
    /// `None` when none is left, or when the queue lost one.
    fn next(&mut self) -> impl Future<Output = Option<u64>> + Send;

    /// Submits an operation whose attempts have a timeout and which is tried again, at once, when it fails.
    ///
    /// Whoever has no retries of its own gets the loop that its users write.
    fn submit_retrying<M, F>(&mut self, make: M) -> impl Future<Output = ()> + Send
    where
        M: Fn(u32) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Result<u64, Failed>> + Send + 'static,
    {
        self.submit(0, move || {
            let make = make.clone();
            async move {
                for attempt in 0..=RETRIES {
                    if let Ok(Ok(value)) = tokio::time::timeout(TIMEOUT, make(attempt)).await {
                        return value;
                    }
                }
                0
            }
        })
    }
}

/// Something that turns a sequence of operations into a sequence of results, without a handle for each.
pub trait StreamForm: Sized + Send + Sync + 'static {
    /// Prepares it for `concurrency` operations at once.
    ///
    /// Runs inside the sample's runtime, before the clock starts.
    fn start(concurrency: usize) -> Self;

    /// Runs all operations and adds up their results as they come; `None` when one was lost.
    fn sum<I, F>(&self, operations: I) -> impl Future<Output = Option<u64>> + Send
    where
        I: Iterator<Item = F> + Send + 'static,
        F: Future<Output = u64> + Send + 'static;
}

/// A queue that can also do without timeout and retries, to tell what these cost.
pub trait Plain: Contender {
    /// Starts a queue as [`Contender::start`] does, whose operations have neither timeout nor retries.
    fn start_plain(concurrency: usize, capacity: usize) -> Self;

    /// Submits to such a queue what [`Submitter::submit_retrying`] submits to the usual one.
    fn submit_plain<M, F>(
        submitter: &mut Self::Submitter,
        make: M,
    ) -> impl Future<Output = ()> + Send
    where
        M: Fn(u32) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Result<u64, Failed>> + Send + 'static;
}
