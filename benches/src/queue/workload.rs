//! The workloads: what is run, in which pattern, and how many times.

use crate::rounds::Scale;

/// Operations at once unless the workload says otherwise: the queue's own default.
const CONCURRENCY: usize = 10;

/// One pattern of work at one size.
#[derive(Debug, Clone)]
pub struct Workload {
    /// Its name, with the number of operations in it.
    pub name: &'static str,
    pub(super) operations: u64,
    pub(super) concurrency: usize,
    pub(super) pattern: Pattern,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pattern {
    /// Submit everything, then wait for everything.
    SubmitAll(Body),
    /// Never more than so many submitted and not yet waited for.
    Window(usize),
    /// Everything is queued at five levels before anything may start; ranks are measured.
    Priorities,
    /// Each attempt has a timeout, and one operation in a hundred fails once.
    Retries(Body),
    /// So many producers at once, each submitting all and then waiting for all.
    Producers(u64),
    /// Everything is queued before anything may start; memory is measured.
    Pending,
    /// A sequence of operations becomes a stream of results; nobody holds a handle.
    Stream(Body, Order),
    /// The same operations with and without timeout and retries; the difference is measured.
    OwnCost(Body),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Body {
    /// Ready at once.
    Noop,
    /// Pending once, so that a timeout has to be kept.
    YieldOnce,
    /// Pending twice.
    YieldTwice,
    /// A timer of one millisecond.
    Sleep,
    /// Four microseconds of processor time.
    Compute,
}

/// The order of a stream's results.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// As they come.
    Ends,
    /// As the operations were given; a peer without such a form does the easier thing.
    Given,
}

impl Pattern {
    /// Whether it is for queues: operations are submitted, and each one's result is waited for.
    pub(super) fn is_for_queues(self) -> bool {
        !matches!(self, Self::Stream(..) | Self::OwnCost(_))
    }
}

/// Every workload of the area.
pub const WORKLOADS: &[Workload] = &[
    million("noop-1M-submit-all", Pattern::SubmitAll(Body::Noop)),
    million("noop-1M-window-1024", Pattern::Window(1024)),
    million("stream-1M", Pattern::Stream(Body::Noop, Order::Ends)),
    million(
        "stream-ordered-1M",
        Pattern::Stream(Body::Noop, Order::Given),
    ),
    thousands(
        "stream-yield2-100k",
        100,
        Pattern::Stream(Body::YieldTwice, Order::Ends),
    ),
    thousands("yield2-100k", 100, Pattern::SubmitAll(Body::YieldTwice)),
    thousands("five-priorities-200k", 200, Pattern::Priorities),
    thousands("retry1pct-200k", 200, Pattern::Retries(Body::Noop)),
    thousands(
        "retry1pct-yield1-200k",
        200,
        Pattern::Retries(Body::YieldOnce),
    ),
    thousands("own-cost-200k", 200, Pattern::OwnCost(Body::Noop)),
    thousands(
        "own-cost-yield1-200k",
        200,
        Pattern::OwnCost(Body::YieldOnce),
    ),
    million("eight-producers-1M", Pattern::Producers(8)),
    thousands("cpu-4us-100k", 100, Pattern::SubmitAll(Body::Compute)),
    Workload {
        concurrency: 100,
        ..thousands("sleep1ms-10k-c100", 10, Pattern::SubmitAll(Body::Sleep))
    },
    million("memory-1M-pending", Pattern::Pending),
];

const fn million(name: &'static str, pattern: Pattern) -> Workload {
    thousands(name, 1_000, pattern)
}

const fn thousands(name: &'static str, thousands: u64, pattern: Pattern) -> Workload {
    Workload {
        name,
        operations: thousands * 1_000,
        concurrency: CONCURRENCY,
        pattern,
    }
}

impl Workload {
    /// The same pattern with another number of operations.
    #[must_use]
    pub fn at(&self, operations: u64) -> Self {
        Self {
            operations,
            ..self.clone()
        }
    }

    pub(super) fn scaled(&self, scale: Scale) -> Self {
        self.at(scale.of(self.operations))
    }
}
