//! Histograms: how values are distributed.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::buckets::{Dense, HistogramSnapshot, place};
use super::cells::{ARENA, TreeLease};
use super::local::{self, Near};
use super::sync::Mutex;
use super::tree::Recorded;

/// How values are distributed, such as latencies or sizes.
///
/// Recording takes no lock: each thread counts in cells of its own, which come when values of their size do (half a
/// kilobyte for each doubling, a kilobyte to begin with). Quantiles of a [`snapshot`](Self::snapshot) are at most 0.4 %
/// away from the true value. A snapshot taken while others record may have the sum of a value and not yet its count, or
/// the other way round.
///
/// Values are whole numbers. Those of a metric in [`Unit::Seconds`](super::Unit::Seconds) are nanoseconds, and
/// are shown as seconds.
///
/// ```
/// use std::time::Duration;
/// use aqe_monitor::registry::{Metric, Registry, Unit};
///
/// let registry = Registry::new();
/// let waits = registry.histogram(Metric::new("queue_wait_seconds").unit(Unit::Seconds))?;
/// waits.record_duration(Duration::from_millis(3));
/// waits.record(5_000_000);
/// let snapshot = waits.snapshot();
/// assert_eq!((snapshot.count(), snapshot.sum()), (2, 8_000_000));
/// # Ok::<_, aqe_monitor::registry::RegisterError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Histogram {
    /// Where a thread finds its tree at once.
    place: Near,
    core: Option<Arc<Core>>,
}

#[derive(Debug)]
struct Core {
    lease: TreeLease,
    /// What did not fit into narrow cells, and what threads recorded that had none. Readers hold the lock while they
    /// read the narrow cells too.
    wide: Mutex<Dense>,
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            place: local::FAR,
            core: None,
        }
    }
}

impl Histogram {
    pub(crate) fn new() -> Self {
        let lease = ARENA.lease_tree();
        Self {
            place: local::near(lease.id()),
            core: Some(Arc::new(Core {
                lease,
                wide: Mutex::new(Dense::default()),
            })),
        }
    }

    /// Records a value.
    #[inline]
    pub fn record(&self, value: u64) {
        let recorded = local::with_tree(self.place, |tree| tree.record(value));
        if !matches!(recorded, Some(Recorded::Yes)) {
            self.record_slowly(value, recorded);
        }
    }

    #[cold]
    #[inline(never)]
    fn record_slowly(&self, value: u64, recorded: Option<Recorded>) {
        let Some(core) = &self.core else { return };
        let Some(tree) = local::open_tree(self.place, core.lease.id()) else {
            self.record_many(value, 1);
            return;
        };
        let mut recorded = recorded.unwrap_or_else(|| tree.record(value));
        if recorded == Recorded::No {
            tree.open(value);
            recorded = tree.record(value);
        }
        if recorded == Recorded::Full {
            tree.empty(value, &mut core.wide.lock());
        }
    }

    /// Records a value `times` times, under a lock: for what was counted elsewhere.
    pub fn record_many(&self, value: u64, times: u64) {
        let Some(core) = &self.core else { return };
        let (octave, bucket) = place(value);
        let mut wide = core.wide.lock();
        wide.add(octave, bucket, times);
        wide.sum = wide.sum.wrapping_add(value.wrapping_mul(times));
    }

    /// Records a duration in nanoseconds. More than 584 years count as that.
    #[inline]
    pub fn record_duration(&self, duration: Duration) {
        self.record(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX));
    }

    /// Records the time between two moments in nanoseconds; nothing passed if they are the wrong way round.
    #[inline]
    pub fn record_between(&self, from: Instant, to: Instant) {
        self.record_duration(to.saturating_duration_since(from));
    }

    /// What all threads have recorded so far.
    #[must_use]
    pub fn snapshot(&self) -> HistogramSnapshot {
        let Some(core) = &self.core else {
            return HistogramSnapshot::default();
        };
        let wide = core.wide.lock();
        let mut all = wide.clone();
        core.lease.trees().for_each(|tree| tree.add_to(&mut all));
        drop(wide);
        all.snapshot()
    }
}
