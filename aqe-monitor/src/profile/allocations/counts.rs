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
    for shard in &SHARDS {
        totals.freed_bytes += shard.freed_bytes.load(Ordering::Acquire);
        totals.freed_blocks += shard.freed_blocks.load(Ordering::Acquire);
    }
    for shard in &SHARDS {
        totals.allocated_bytes += shard.allocated_bytes.load(Ordering::Relaxed);
        totals.allocated_blocks += shard.allocated_blocks.load(Ordering::Relaxed);
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
        own.gained
            .set(own.gained.get().saturating_add_unsigned(size));
        own.gained.get()
    });
    let shard = shard();
    // Relaxed: no memory is read on account of these numbers.
    shard.allocated_bytes.fetch_add(size, Ordering::Relaxed);
    shard.allocated_blocks.fetch_add(1, Ordering::Relaxed);
    if gained.is_ok_and(|gained| gained >= LOOK) {
        let _ = OWN.try_with(|own| own.gained.set(0));
        // Sees to the peak.
        let _ = allocation_totals();
    }
}

pub(super) fn freed(size: usize) {
    let size = size as u64;
    let _ = OWN.try_with(|own| {
        add(&own.freed_bytes, size);
        add(&own.freed_blocks, 1);
        own.gained
            .set(own.gained.get().saturating_sub_unsigned(size).max(-LOOK));
    });
    let shard = shard();
    // Release: whoever sees the block freed sees it allocated, wherever that was.
    shard.freed_bytes.fetch_add(size, Ordering::Release);
    shard.freed_blocks.fetch_add(1, Ordering::Release);
}

fn add(cell: &Cell<u64>, more: u64) {
    cell.set(cell.get().wrapping_add(more));
}

fn shard() -> &'static Shard {
    let index = OWN.try_with(|own| {
        if own.shard.get() == 0 {
            own.shard
                .set(NEXT.fetch_add(1, Ordering::Relaxed) % SHARDS.len() + 1);
        }
        own.shard.get() - 1
    });
    // A thread whose locals are gone shares the first; additions of several threads are as exact, only slower.
    &SHARDS[index.unwrap_or_default()]
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

/// Counters of some threads. They outlive the threads, which is how ended ones keep their totals. Two lines of a cache,
/// because processors fetch lines in pairs.
#[repr(align(128))]
struct Shard {
    allocated_bytes: AtomicU64,
    allocated_blocks: AtomicU64,
    freed_bytes: AtomicU64,
    freed_blocks: AtomicU64,
}

/// As many as threads commonly run at once; with more, some share.
static SHARDS: [Shard; 64] = [const {
    Shard {
        allocated_bytes: AtomicU64::new(0),
        allocated_blocks: AtomicU64::new(0),
        freed_bytes: AtomicU64::new(0),
        freed_blocks: AtomicU64::new(0),
    }
}; 64];

static NEXT: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicU64 = AtomicU64::new(0);

/// Bytes that a thread gains before the peak is looked at: the look adds up all shards.
const LOOK: i64 = 64 << 10;
