//! What all samples have in common: the runtime, the check of the results, and the queue form.
//!
//! Every operation returns its own number. A sample whose results do not add up is an error, not a fast run.

use std::future::Future;
use std::sync::Arc;

use tokio::runtime::Builder;
use xtask::{Failure, Result};

use super::contender::{Contender, StreamForm};
use super::operations::{compute, noop, sleep, yield_once, yield_twice};
use super::patterns;
use super::ranks::Ranks;
use super::workload::{Body, Pattern, Workload};
use crate::measure::{Reading, Stretch};
use crate::rounds::Scale;

/// Every sample has two threads: what a small CI machine gives.
pub(super) const WORKERS: usize = 2;

/// Takes one sample of a queue: times from the first submission to the last result, or the memory of a backlog.
pub(super) fn of_queue<C: Contender>(workload: &Workload, scale: Scale) -> Result<Vec<Reading>> {
    let workload = workload.scaled(scale);
    on_a_worker(async move { queue::<C>(&workload).await })
}

/// Takes one sample of a stream: times from the first operation to the last result.
pub(super) fn of_stream<S: StreamForm>(workload: &Workload, scale: Scale) -> Result<Vec<Reading>> {
    let workload = workload.scaled(scale);
    on_a_worker(async move { stream::<S>(&workload).await })
}

/// Runs a sample as an application's own code would run: the thread that blocks is no third processor.
pub(super) fn on_a_worker<F>(sample: F) -> Result<Vec<Reading>>
where
    F: Future<Output = Result<Vec<Reading>>> + Send + 'static,
{
    let runtime = Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .enable_all()
        .build()
        .map_err(|error| Failure::new(format!("cannot start a runtime: {error}")))?;
    let readings = runtime
        .block_on(runtime.spawn(sample))
        .map_err(|error| Failure::new(format!("the sample panicked: {error}")))?;
    // Contenders' workers wait for ever; they are dropped, not joined.
    runtime.shutdown_background();
    readings
}

/// Whether every operation gave its number, once: numbers count from 0.
pub(super) fn check(sum: Option<u64>, operations: u64) -> Result<()> {
    let expected = operations * operations.saturating_sub(1) / 2;
    match sum {
        Some(sum) if sum == expected => Ok(()),
        Some(sum) => Err(Failure::new(format!(
            "the results add up to {sum}, not to {expected}"
        ))),
        None => Err(Failure::new("the queue lost an operation")),
    }
}

/// Room for so many operations and for those that hold a gate shut.
pub(super) fn capacity(operations: u64) -> usize {
    usize::try_from(operations).unwrap_or(usize::MAX - 1024) + 1024
}

async fn queue<C: Contender>(workload: &Workload) -> Result<Vec<Reading>> {
    let operations = workload.operations;
    let slots = workload.concurrency;
    let queue = C::start(slots, capacity(operations));
    let mut submitter = queue.submitter();
    let ranks = Arc::new(Ranks::default());
    let mut extra = Vec::new();
    let stretch = Stretch::start();
    let sum = match workload.pattern {
        Pattern::SubmitAll(body) => patterns::submit_all(&mut submitter, 0..operations, body).await,
        Pattern::Window(width) => patterns::window(&mut submitter, operations, width).await,
        Pattern::Priorities => {
            patterns::priorities(&mut submitter, operations, slots, &ranks).await
        }
        Pattern::Retries(body) => patterns::retries(&mut submitter, operations, body).await,
        Pattern::Producers(producers) => {
            patterns::many_producers(&queue, operations, producers).await
        }
        Pattern::Pending => patterns::pending(&mut submitter, operations, slots, &mut extra).await,
        Pattern::Stream(..) | Pattern::OwnCost(_) => return Err(no_such_form(workload)),
    };
    let mut readings = stretch.per_operation(operations);
    check(sum, operations)?;
    match workload.pattern {
        Pattern::Priorities => readings.extend(ranks.readings(operations)),
        // How long it takes is the business of the other workloads.
        Pattern::Pending => readings = extra,
        _ => {}
    }
    Ok(readings)
}

async fn stream<S: StreamForm>(workload: &Workload) -> Result<Vec<Reading>> {
    let operations = workload.operations;
    let (Pattern::Stream(body, _) | Pattern::SubmitAll(body)) = workload.pattern else {
        return Err(no_such_form(workload));
    };
    let stream = S::start(workload.concurrency);
    let numbers = 0..operations;
    let stretch = Stretch::start();
    // A match outside of the stream: the operations of one workload are all of one type.
    let sum = match body {
        Body::Noop => stream.sum(numbers.map(noop)).await,
        Body::YieldOnce => stream.sum(numbers.map(yield_once)).await,
        Body::YieldTwice => stream.sum(numbers.map(yield_twice)).await,
        Body::Sleep => stream.sum(numbers.map(sleep)).await,
        Body::Compute => stream.sum(numbers.map(compute)).await,
    };
    let readings = stretch.per_operation(operations);
    check(sum, operations)?;
    Ok(readings)
}

pub(super) fn no_such_form(workload: &Workload) -> Failure {
    Failure::new(format!("`{}` is not for this contender", workload.name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::contender::{Failed, Level, Plain, Submitter};
    use crate::queue::{KanalPool, WORKLOADS, own_cost};

    /// A pool that loses one operation of each producer: the twelfth, which no workload needs for its gate.
    struct Lossy(KanalPool);

    struct LossyProducer {
        inner: <KanalPool as Contender>::Submitter,
        submitted: u32,
    }

    impl Contender for Lossy {
        type Submitter = LossyProducer;

        fn start(concurrency: usize, capacity: usize) -> Self {
            Self(KanalPool::start(concurrency, capacity))
        }

        fn submitter(&self) -> LossyProducer {
            LossyProducer {
                inner: self.0.submitter(),
                submitted: 0,
            }
        }
    }

    impl Submitter for LossyProducer {
        async fn submit<M, F>(&mut self, level: Level, make: M)
        where
            M: Fn() -> F + Send + Sync + 'static,
            F: Future<Output = u64> + Send + 'static,
        {
            self.submitted += 1;
            if self.submitted != 12 {
                self.inner.submit(level, make).await;
            }
        }

        async fn next(&mut self) -> Option<u64> {
            self.inner.next().await
        }
    }

    impl Plain for Lossy {
        fn start_plain(concurrency: usize, capacity: usize) -> Self {
            Self::start(concurrency, capacity)
        }

        async fn submit_plain<M, F>(submitter: &mut LossyProducer, make: M)
        where
            M: Fn(u32) -> F + Clone + Send + Sync + 'static,
            F: Future<Output = std::result::Result<u64, Failed>> + Send + 'static,
        {
            submitter.submit_retrying(make).await;
        }
    }

    /// A stream that ends before its last operation.
    struct Hasty;

    impl StreamForm for Hasty {
        fn start(_concurrency: usize) -> Self {
            Self
        }

        async fn sum<I, F>(&self, operations: I) -> Option<u64>
        where
            I: Iterator<Item = F> + Send + 'static,
            F: Future<Output = u64> + Send + 'static,
        {
            let mut sum = 0;
            for operation in operations.take(99) {
                sum += operation.await;
            }
            Some(sum)
        }
    }

    #[test]
    fn a_contender_that_loses_operations_has_no_sample_in_any_workload() {
        for workload in WORKLOADS {
            let small = workload.at(100);
            let outcome = match workload.pattern {
                Pattern::Stream(..) => of_stream::<Hasty>(&small, Scale::Full),
                Pattern::OwnCost(_) => own_cost::of::<Lossy>(&small, Scale::Full),
                _ => of_queue::<Lossy>(&small, Scale::Full),
            };
            assert!(outcome.is_err(), "{}: {outcome:?}", workload.name);
        }
    }

    #[test]
    fn a_lost_or_wrong_result_fails_the_sample() {
        assert!(check(Some(6), 4).is_ok());
        assert!(check(Some(5), 4).is_err());
        assert!(check(None, 4).is_err());
    }
}
