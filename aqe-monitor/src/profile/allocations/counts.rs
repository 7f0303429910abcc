//! Counters that threads may add to inside the allocator: no locks, no memory, no destructors.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// What was allocated and freed, of the process or of a thread.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct AllocationTotals {
    /// Bytes allocated.
    pub allocated_bytes: u64,
    /// Blocks allocated.
    pub allocated_blocks: u64,
    /// Bytes freed.
    pub freed_bytes: u64,
    /// Blocks freed.
    pub freed_blocks: u64,
    /// Most bytes allocated and not yet freed at a time. Looked at when a thread has gained 64 KiB, so it may be lower
    /// than the truth by that much for each thread. 0 for a single thread, whose blocks others may free.
    pub peak_bytes: u64,
}

impl AllocationTotals {
    /// Bytes allocated and not yet freed; 0 for a thread that freed more than it allocated.
    #[must_use]
    pub fn live_bytes(&self) -> u64 {
        self.allocated_bytes.saturating_sub(self.freed_bytes)
    }

    /// Blocks allocated and not yet freed; 0 for a thread that freed more than it allocated.
    #[must_use]
    pub fn live_blocks(&self) -> u64 {
        self.allocated_blocks.saturating_sub(self.freed_blocks)
    }
}

/// Of all threads, ended ones too. Zeros if the global allocator is no
/// [`TrackingAllocator`](super::TrackingAllocator).
#[must_use]
pub fn allocation_totals() -> AllocationTotals {
    let mut totals = AllocationTotals::default();
    // What is freed is read first: a block that is allocated and freed meanwhile does not seem freed only.
    for shard in in_use() {
        totals.freed_bytes += shard.0[Counter::FreedBytes as usize].load(Ordering::Acquire);
        totals.freed_blocks += shard.0[Counter::FreedBlocks as usize].load(Ordering::Acquire);
    }
    for shard in in_use() {
        totals.allocated_bytes += shard.0[Counter::AllocatedBytes as usize].load(Ordering::Relaxed);
        totals.allocated_blocks +=
            shard.0[Counter::AllocatedBlocks as usize].load(Ordering::Relaxed);
    }
    totals.peak_bytes = PEAK
        .fetch_max(totals.live_bytes(), Ordering::Relaxed)
        .max(totals.live_bytes());
    totals
}

/// Of this thread: what it allocated and freed itself, whoever owns the blocks now. The difference of two is exact.
#[must_use]
pub fn thread_allocation_totals() -> AllocationTotals {
    let own = |own: &Own| AllocationTotals {
        allocated_bytes: own.allocated_bytes.get(),
        allocated_blocks: own.allocated_blocks.get(),
        freed_bytes: own.freed_bytes.get(),
        freed_blocks: own.freed_blocks.get(),
        peak_bytes: 0,
    };
    OWN.try_with(own).unwrap_or_default()
}

pub(super) fn allocated(size: usize) {
    let size = size as u64;
    let gained = OWN.try_with(|own| {
        add(&own.allocated_bytes, size);
        add(&own.allocated_blocks, 1);
        // Relaxed: no memory is read on account of these numbers.
        own.shard().add(
            [
                (Counter::AllocatedBytes, size),
                (Counter::AllocatedBlocks, 1),
            ],
            Ordering::Relaxed,
        );
        let gained = own.gained.get().saturating_add_unsigned(size);
        own.gained.set(if gained >= LOOK { 0 } else { gained });
        gained
    });
    match gained {
        Ok(gained) if gained >= LOOK => {
            // Sees to the peak.
            let _ = allocation_totals();
        }
        Ok(_) => {}
        Err(_) => LAST.add(
            [
                (Counter::AllocatedBytes, size),
                (Counter::AllocatedBlocks, 1),
            ],
            Ordering::Relaxed,
        ),
    }
}

pub(super) fn freed(size: usize) {
    let size = size as u64;
    // Release: whoever sees the block freed sees it allocated, wherever that was.
    let more = [(Counter::FreedBytes, size), (Counter::FreedBlocks, 1)];
    let counted = OWN.try_with(|own| {
        add(&own.freed_bytes, size);
        add(&own.freed_blocks, 1);
        own.shard().add(more, Ordering::Release);
        own.gained
            .set(own.gained.get().saturating_sub_unsigned(size).max(-LOOK));
    });
    if counted.is_err() {
        LAST.add(more, Ordering::Release);
    }
}

fn add(cell: &Cell<u64>, more: u64) {
    cell.set(cell.get().wrapping_add(more));
}

/// Of one thread. No field has a destructor, so it can be used until the thread is gone, and needs no registration, which
/// would allocate.
struct Own {
    allocated_bytes: Cell<u64>,
    allocated_blocks: Cell<u64>,
    freed_bytes: Cell<u64>,
    freed_blocks: Cell<u64>,
    /// Bytes allocated less bytes freed since the last look at the peak.
    gained: Cell<i64>,
    /// 0 until it is known, then one more than the index.
    shard: Cell<usize>,
}

thread_local! {
    static OWN: Own = const {
        Own {
            allocated_bytes: Cell::new(0),
            allocated_blocks: Cell::new(0),
            freed_bytes: Cell::new(0),
            freed_blocks: Cell::new(0),
            gained: Cell::new(0),
            shard: Cell::new(0),
        }
    };
}

impl Own {
    #[inline]
    fn shard(&self) -> Use {
        if self.shard.get() == 0 {
            self.shard
                .set(NEXT.fetch_add(1, Ordering::Relaxed).saturating_add(1));
        }
        match SHARDS.get(self.shard.get() - 1) {
            Some(shard) => Use::Alone(shard),
            None => LAST,
        }
    }
}

/// How a thread may add to a shard.
#[derive(Clone, Copy)]
enum Use {
    /// Nobody else writes to it, ever: a load and a store will do, which cost a tenth of a locked addition.
    Alone(&'static Shard),
    /// Other threads do.
    Shared(&'static Shard),
}

impl Use {
    #[inline]
    fn add(self, more: [(Counter, u64); 2], ordering: Ordering) {
        for (counter, more) in more {
            match self {
                Self::Alone(shard) => {
                    let cell = &shard.0[counter as usize];
                    cell.store(cell.load(Ordering::Relaxed).wrapping_add(more), ordering);
                }
                Self::Shared(shard) => {
                    shard.0[counter as usize].fetch_add(more, ordering);
                }
            }
        }
    }
}

#[derive(Clone, Copy)]
enum Counter {
    AllocatedBytes,
    AllocatedBlocks,
    FreedBytes,
    FreedBlocks,
}

/// Counters that outlive the threads that write them, which is how ended ones keep their totals. Two lines of a cache,
/// because processors fetch lines in pairs.
#[repr(align(128))]
struct Shard([AtomicU64; 4]);

/// One for each of the first threads of the process, which are never given to another: giving them back would need
/// destructors. 32 KiB.
static SHARDS: [Shard; 256] = [const { Shard([const { AtomicU64::new(0) }; 4]) }; 256];
/// Of all threads after them, and of those whose locals are gone.
static SHARED: Shard = Shard([const { AtomicU64::new(0) }; 4]);
const LAST: Use = Use::Shared(&SHARED);

/// Shards that somebody has written to.
fn in_use() -> impl Iterator<Item = &'static Shard> {
    // A thread that begins meanwhile is missed: it did what it did after the look.
    let threads = NEXT.load(Ordering::Relaxed);
    SHARDS.iter().take(threads).chain([&SHARED])
}

/// Threads that have allocated or freed.
static NEXT: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicU64 = AtomicU64::new(0);

/// Bytes that a thread gains before the peak is looked at: the look adds up all shards.
const LOOK: i64 = 64 << 10;
