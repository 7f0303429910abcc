//! Counters, and the cell behind counters and gauges.

use std::sync::Arc;

use super::cells::{ARENA, BLOCK_CELLS, Block};
use super::local;
use super::sync::Mutex;

/// A number that only grows.
///
/// A clone counts the same thing. Counting takes no lock, looks nothing up and waits for nobody: each thread adds to a
/// cell of its own, and reading sums them up. Totals are exact: whoever has heard that a count was made (by joining its
/// thread, or by a message) reads it, also after the thread has ended. Beyond 2^64 they wrap.
///
/// The [default](Self::default) counts nothing, as do all counters of a registry that [does nothing](super::Registry::noop).
///
/// Not for signal handlers: one that interrupts its own thread amid an addition can lose a count.
///
/// ```
/// use aqe_monitor::registry::Registry;
///
/// let registry = Registry::new();
/// let hits = registry.counter("cache_hits_total")?;
/// let from_elsewhere = hits.clone();
/// std::thread::spawn(move || from_elsewhere.add(2)).join().unwrap();
/// hits.increment();
/// assert_eq!(hits.total(), 3);
/// # Ok::<_, aqe_monitor::registry::RegisterError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Counter(pub(crate) Tally);

impl Counter {
    /// Counts one.
    #[inline]
    pub fn increment(&self) {
        self.0.add(1);
    }

    /// Counts `n`.
    #[inline]
    pub fn add(&self, n: u64) {
        self.0.add(n);
    }

    /// What all threads have counted so far. Reads one cell for each thread that ever counted.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.total()
    }

    /// Raises the total to `n`, if it is lower: for counts that are kept elsewhere and only passed on.
    ///
    /// With several threads that do so at a time, or that also add, the total may come out higher.
    pub fn raise_to(&self, n: u64) {
        // As signed numbers, so that a total that has wrapped is not taken for a low one.
        let missing = n.wrapping_sub(self.total());
        if missing <= u64::MAX / 2 {
            self.0.add(missing);
        }
    }
}

/// A sum that threads add to, each in its own cell.
#[derive(Clone, Debug)]
pub(crate) struct Tally {
    index: u32,
    /// None of a tally that does nothing: its index is that of no cell.
    block: Option<Arc<Block>>,
}

impl Default for Tally {
    fn default() -> Self {
        Self {
            index: u32::MAX,
            block: None,
        }
    }
}

impl Tally {
    #[inline]
    pub(crate) fn add(&self, n: u64) {
        if !local::add(self.index, n) {
            self.add_slowly(n);
        }
    }

    #[cold]
    #[inline(never)]
    fn add_slowly(&self, n: u64) {
        let Some(block) = &self.block else { return };
        if !(local::open_page(self.index) && local::add(self.index, n)) {
            block.add_shared(self.index, n);
        }
    }

    pub(crate) fn total(&self) -> u64 {
        self.block
            .as_ref()
            .map_or(0, |block| block.total(self.index))
    }
}

/// Where a registry gets its tallies: block by block.
#[derive(Debug, Default)]
pub struct Tallies {
    current: Mutex<Option<(Arc<Block>, usize)>>,
}

impl Tallies {
    pub(crate) fn take(&self) -> Tally {
        let mut current = self.current.lock();
        let (block, used) = match current.take() {
            Some((block, used)) if used < BLOCK_CELLS => (block, used),
            _ => (Arc::new(ARENA.lease_block()), 0),
        };
        let tally = Tally {
            index: block.index(used),
            block: Some(Arc::clone(&block)),
        };
        *current = Some((block, used + 1));
        tally
    }
}

/// Reads many tallies in a row, whose cells mostly lie side by side.
#[derive(Debug, Default)]
pub(crate) struct Totals {
    /// The last block, by address, and its totals. The address of a dropped block is never asked for again, because
    /// those who ask hold their blocks.
    last: Option<(usize, [u64; BLOCK_CELLS])>,
}

impl Totals {
    pub(crate) fn of(&mut self, tally: &Tally) -> u64 {
        let Some(block) = &tally.block else { return 0 };
        let address = Arc::as_ptr(block).addr();
        let offset = tally.index as usize % BLOCK_CELLS;
        match &self.last {
            Some((last, totals)) if *last == address => totals[offset],
            _ => {
                let totals = block.totals();
                self.last = Some((address, totals));
                totals[offset]
            }
        }
    }
}
