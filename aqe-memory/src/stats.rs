//! What a store has done, and what it holds.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::striped::{Tallies, Tally};

/// Why an entry is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Cause {
    /// Its time was over.
    Expired,
    /// There was no room.
    Evicted,
    /// Somebody removed it.
    Removed,
    /// Somebody put another value in its place.
    Replaced,
    /// Somebody [invalidated](crate::Namespace::invalidate_tag) one of its tags.
    Invalidated,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Expired => "expired",
            Self::Evicted => "evicted",
            Self::Removed => "removed",
            Self::Replaced => "replaced",
            Self::Invalidated => "invalidated",
        })
    }
}

/// Counters. Relaxed throughout: each is exact, but they are not read at one moment.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    /// What happens all the time; the rest is rare.
    often: Tallies,
    loads: AtomicU64,
    failed_loads: AtomicU64,
    unkept_loads: AtomicU64,
    unreadable: AtomicU64,
    shrunk: AtomicU64,
    collected: AtomicU64,
    recompressed: AtomicU64,
}

/// How a loader has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Load {
    /// With a value that was put.
    Kept,
    /// With a value that was not put.
    Unkept,
    /// With an error, or a panic.
    Failed,
}

impl Counts {
    pub(crate) fn unreadable(&self) {
        self.unreadable.fetch_add(1, Ordering::Relaxed);
    }

    /// The store was told to take less.
    pub(crate) fn shrunk(&self) {
        self.shrunk.fetch_add(1, Ordering::Relaxed);
    }

    /// All entries in memory were looked at.
    pub(crate) fn collected(&self) {
        self.collected.fetch_add(1, Ordering::Relaxed);
    }

    /// A segment was made smaller in the background.
    pub(crate) fn recompressed(&self) {
        self.recompressed.fetch_add(1, Ordering::Relaxed);
    }

    #[inline]
    pub(crate) fn hits(&self, by: usize) {
        self.often.add(Tally::Hit, by as u64);
    }

    #[inline]
    pub(crate) fn misses(&self, by: usize) {
        self.often.add(Tally::Miss, by as u64);
    }

    pub(crate) fn puts(&self, by: usize) {
        self.often.add(Tally::Put, by as u64);
    }

    pub(crate) fn load(&self, load: Load) {
        self.loads.fetch_add(1, Ordering::Relaxed);
        match load {
            Load::Kept => return,
            Load::Unkept => &self.unkept_loads,
            Load::Failed => &self.failed_loads,
        }
        .fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn removed(&self, cause: Cause) {
        let tally = match cause {
            Cause::Expired => Tally::Expired,
            Cause::Evicted => Tally::Evicted,
            Cause::Removed => Tally::Removed,
            Cause::Replaced => Tally::Replaced,
            Cause::Invalidated => Tally::Invalidated,
        };
        self.often.add(tally, 1);
    }

    pub(crate) fn fill(&self, stats: &mut StoreStats) {
        stats.hits = self.often.sum(Tally::Hit);
        stats.misses = self.often.sum(Tally::Miss);
        stats.puts = self.often.sum(Tally::Put);
        stats.expired = self.often.sum(Tally::Expired);
        stats.evicted = self.often.sum(Tally::Evicted);
        stats.removed = self.often.sum(Tally::Removed);
        stats.replaced = self.often.sum(Tally::Replaced);
        stats.invalidated = self.often.sum(Tally::Invalidated);
        stats.loads = self.loads.load(Ordering::Relaxed);
        stats.failed_loads = self.failed_loads.load(Ordering::Relaxed);
        stats.unkept_loads = self.unkept_loads.load(Ordering::Relaxed);
        stats.unreadable = self.unreadable.load(Ordering::Relaxed);
        stats.shrunk = self.shrunk.load(Ordering::Relaxed);
        stats.collections = self.collected.load(Ordering::Relaxed);
        stats.recompressed_segments = self.recompressed.load(Ordering::Relaxed);
    }
}

/// What a store holds, and what it has done since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct StoreStats {
    /// Entries, those included that are over and not cleared away yet.
    pub entries: u64,
    /// Bytes of memory that the store takes: pages of segments, the index, dictionaries, and what the policy remembers.
    pub resident_bytes: u64,
    /// Of these, bytes of uncompressed entries.
    pub uncompressed_bytes: u64,
    /// Of these, bytes of compressed entries.
    pub compressed_bytes: u64,
    /// Of these, bytes of the index.
    pub index_bytes: u64,
    /// Values that were put.
    pub puts: u64,
    /// Entries whose time was over.
    pub expired: u64,
    /// Entries for which there was no room.
    pub evicted: u64,
    /// Entries that were removed.
    pub removed: u64,
    /// Entries that were replaced by another value.
    pub replaced: u64,
    /// Entries that were found to have an invalidated tag, and cleared away.
    pub invalidated: u64,
    /// Reads of the folder that failed, or found damage. Such an entry is as if it were not there.
    pub unreadable: u64,
    /// Bytes of files in the folder.
    pub disk_bytes: u64,
    /// Reads that found an entry. What [iterates](crate::Namespace::entries) does not count.
    pub hits: u64,
    /// Reads that found none.
    pub misses: u64,
    /// Loaders that have ended, for [`get_or_load`](crate::Namespace::get_or_load) and its kin.
    pub loads: u64,
    /// Of these, loaders that failed or panicked.
    pub failed_loads: u64,
    /// Of these, loaders whose value was given to those who waited and not kept: it is too large, there is no memory for it, or
    /// somebody put or removed the key meanwhile.
    pub unkept_loads: u64,
    /// Removals that the [listener](crate::StoreBuilder::listener) was too slow to be told.
    pub removals_missed: u64,
    /// Calls of the listener that panicked.
    pub listener_panics: u64,
    /// The most bytes of memory that the store takes for now: [`max_size`](crate::MemoryConfig::max_size), or less while memory is
    /// short for others.
    pub ceiling_bytes: u64,
    /// How many times that was lowered.
    pub shrunk: u64,
    /// Looks of the background at all entries in memory, for what is over or dead.
    pub collections: u64,
    /// Segments that the background made smaller.
    pub recompressed_segments: u64,
}

impl StoreStats {
    /// The share of reads that found an entry, 0–1. `None` if there was no read.
    #[must_use]
    pub fn hit_ratio(&self) -> Option<f64> {
        let reads = self.hits + self.misses;
        (reads > 0).then(|| self.hits as f64 / reads as f64)
    }
}
