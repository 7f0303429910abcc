//! What each worker counts for itself.
//!
//! One counter for all would be a cache line that every worker fights for; each has its own, writes it without a
//! locked instruction (it is the only writer), and the reader adds them up.

use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam_utils::CachePadded;

/// The counters of one worker. Only that worker calls what is not said to be for all; relaxed, as they order nothing.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    cells: CachePadded<Cells>,
}

#[derive(Debug, Default)]
struct Cells {
    succeeded: AtomicU64,
    skipped: AtomicU64,
    failed: AtomicU64,
    retried: AtomicU64,
    bytes: AtomicU64,
}

/// The counters of all workers, or of one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) succeeded: u64,
    pub(crate) skipped: u64,
    pub(crate) failed: u64,
    pub(crate) retried: u64,
    pub(crate) bytes: u64,
}

impl Counts {
    pub(crate) fn ended(&self) -> u64 {
        self.succeeded + self.skipped + self.failed
    }

    pub(crate) fn of(meters: &[Meter]) -> Self {
        meters.iter().fold(Self::default(), |sum, meter| {
            let read = |cell: &AtomicU64| cell.load(Ordering::Relaxed);
            Self {
                succeeded: sum.succeeded + read(&meter.cells.succeeded),
                skipped: sum.skipped + read(&meter.cells.skipped),
                failed: sum.failed + read(&meter.cells.failed),
                retried: sum.retried + read(&meter.cells.retried),
                bytes: sum.bytes + read(&meter.cells.bytes),
            }
        })
    }
}

impl Meter {
    pub(crate) fn succeeded(&self, items: u64) {
        raise(&self.cells.succeeded, items);
    }

    pub(crate) fn skipped(&self) {
        raise(&self.cells.skipped, 1);
    }

    pub(crate) fn failed(&self) {
        raise(&self.cells.failed, 1);
    }

    /// Several items of a worker may call it, from other threads as well.
    pub(crate) fn retried(&self) {
        self.cells.retried.fetch_add(1, Ordering::Relaxed);
    }

    /// Several items of a worker may call it, from other threads as well.
    pub(crate) fn bytes(&self, bytes: u64) {
        self.cells.bytes.fetch_add(bytes, Ordering::Relaxed);
    }
}

fn raise(cell: &AtomicU64, by: u64) {
    cell.store(cell.load(Ordering::Relaxed) + by, Ordering::Relaxed);
}
