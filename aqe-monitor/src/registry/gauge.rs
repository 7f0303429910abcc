//! Gauges: values that are set, or that go up and down.

use std::sync::Arc;

use super::counter::{Tallies, Tally, Totals};
use super::sync::atomic::Ordering::Relaxed;
use super::sync::atomic::{AtomicBool, AtomicU64};

/// A value that goes up and down.
///
/// Some gauges are [set](Self::set), which is one store that all threads share; others go [up](Self::add) and
/// [down](Self::sub), which each thread does in a cell of its own, as a [`Counter`](super::Counter) does: the cheap way
/// to know how many of something there are when they come and go in many threads. A gauge may be used both ways: its
/// value is what was last set, plus what came and went since.
///
/// A set that one thread makes while another makes the *first* `add` of this gauge may count that `add` twice or not at
/// all, until the next set.
///
/// ```
/// use aqe_monitor::registry::Registry;
///
/// let registry = Registry::new();
/// let running = registry.gauge("operations_running")?;
/// running.set(2.5);
/// running.increment();
/// running.sub(2);
/// assert_eq!(running.value(), 1.5);
/// # Ok::<_, aqe_monitor::registry::RegisterError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Gauge {
    /// What was added and subtracted, as a signed number, since the beginning.
    moved: Tally,
    core: Option<Arc<Core>>,
}

#[derive(Debug)]
struct Core {
    /// The bits of the last value set, less what had been `moved` by then. Written by anyone who sets.
    base: AtomicU64,
    /// Whether anyone ever added. While nobody has, setting need not look at `moved`. Never false again.
    moves: AtomicBool,
}

impl Gauge {
    pub(crate) fn new(tallies: &Tallies) -> Self {
        let core = Core {
            base: AtomicU64::new(0.0_f64.to_bits()),
            moves: AtomicBool::new(false),
        };
        Self {
            moved: tallies.take(),
            core: Some(Arc::new(core)),
        }
    }

    /// Sets the value. Whatever was added before counts no more.
    #[inline]
    pub fn set(&self, value: f64) {
        let Some(core) = &self.core else { return };
        if !core.moves.load(Relaxed) {
            core.base.store(value.to_bits(), Relaxed);
        }
        // Looked at again, for a thread may have added first in between.
        if core.moves.load(Relaxed) {
            self.settle(core, value);
        }
    }

    #[cold]
    fn settle(&self, core: &Core, value: f64) {
        let base = value - as_moved(self.moved.total());
        core.base.store(base.to_bits(), Relaxed);
    }

    /// Adds one.
    #[inline]
    pub fn increment(&self) {
        self.add(1);
    }

    /// Subtracts one.
    #[inline]
    pub fn decrement(&self) {
        self.add(-1);
    }

    /// Adds `n`, which may be negative.
    #[inline]
    pub fn add(&self, n: i64) {
        let Some(core) = &self.core else { return };
        // Stored once and only read from then on, so that the line stays in every processor's cache.
        if !core.moves.load(Relaxed) {
            core.moves.store(true, Relaxed);
        }
        self.moved.add(n.cast_unsigned());
    }

    /// Subtracts `n`.
    #[inline]
    pub fn sub(&self, n: i64) {
        self.add(n.wrapping_neg());
    }

    /// Adds a number that need not be whole. A shared locked operation, dearer than [`add`](Self::add).
    pub fn add_fraction(&self, by: f64) {
        let Some(core) = &self.core else { return };
        let added = |base: u64| Some((f64::from_bits(base) + by).to_bits());
        // It never gives up: `added` always has an answer.
        let _ = core.base.fetch_update(Relaxed, Relaxed, added);
    }

    /// The value now; 0 before anything was set or added.
    #[must_use]
    pub fn value(&self) -> f64 {
        self.value_by(self.moved.total())
    }

    pub(crate) fn read(&self, totals: &mut Totals) -> f64 {
        self.value_by(totals.of(&self.moved))
    }

    fn value_by(&self, moved: u64) -> f64 {
        let Some(core) = &self.core else { return 0.0 };
        f64::from_bits(core.base.load(Relaxed)) + as_moved(moved)
    }
}

fn as_moved(total: u64) -> f64 {
    total.cast_signed() as f64
}
