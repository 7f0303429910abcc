//! Giving memory and disk back when somebody asks for it.

use std::time::Instant;

use super::Footprint;
use super::expired::Where;
use crate::clock::Millis;
use crate::store::{Core, Store};
use crate::tiers::{Goal, Mark};

/// How much a [clean-up](Store::cleanup_with) gives back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
#[non_exhaustive]
pub enum Cleanup {
    /// Segments whose entries are all over.
    #[default]
    Expired,
    /// Those, and all uncompressed entries that were there when the call began: they are compressed as far as there is room for
    /// that, and dropped otherwise. In a folder nothing is dropped.
    CacheOnly,
    /// All of that; every entry that is over, also where its neighbours are not; and every segment that has anything dead in it is
    /// written anew, and what the index does not need is given back. The policy forgets what it knew of entries that were evicted.
    Aggressive,
}

/// What a clean-up has freed. Measured, and so what others put and removed meanwhile is in it too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct CleanupReport {
    /// What was asked for.
    pub cleanup: Cleanup,
    /// What the store took before.
    pub before: Footprint,
    /// What it takes now.
    pub after: Footprint,
    /// Entries that went because their time was over.
    pub expired: u64,
    /// Entries that went because there was no room for them when they were compressed.
    pub evicted: u64,
    /// Segments that were written anew.
    pub segments_rewritten: u64,
    /// How long it took, in milliseconds.
    pub elapsed_ms: u64,
}

impl Store {
    /// Gives memory back, and disk. Others go on meanwhile: who puts something waits for a slice of 64 KiB of entries at most, who
    /// reads does not wait.
    ///
    /// ```
    /// use aqe_memory::{Cleanup, MemoryConfig, Store};
    ///
    /// let store = Store::new(MemoryConfig::default())?;
    /// store.put(b"run/1", &[b'a'; 1_000_000])?;
    /// let report = store.cleanup_with(Cleanup::CacheOnly);
    /// assert!(report.after.resident_bytes < report.before.resident_bytes);
    /// assert_eq!(report.after.entries, 1);
    /// assert!(store.get(b"run/1").is_some()); // It was compressed.
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn cleanup_with(&self, cleanup: Cleanup) -> CleanupReport {
        self.core().clean_up(cleanup)
    }
}

impl CleanupReport {
    /// Bytes of memory that were given back.
    #[must_use]
    pub fn freed_memory(&self) -> u64 {
        let after = self.after.resident_bytes;
        self.before.resident_bytes.saturating_sub(after)
    }

    /// Bytes of files that were given back.
    #[must_use]
    pub fn freed_disk(&self) -> u64 {
        self.before.disk_bytes.saturating_sub(self.after.disk_bytes)
    }
}

impl Core {
    fn clean_up(&self, cleanup: Cleanup) -> CleanupReport {
        let (start, before) = (Instant::now(), self.stats());
        let mark = self.tiers.lock().mark(&self.shared);
        self.sweep();
        let now = self.clock.now();
        if cleanup != Cleanup::Expired {
            self.give_up_cache(mark, now);
        }
        let segments_rewritten = match cleanup {
            Cleanup::Aggressive => self.clean_thoroughly(now),
            Cleanup::Expired | Cleanup::CacheOnly => 0,
        };
        let after = self.stats();
        CleanupReport {
            cleanup,
            before: Footprint::of(&before),
            after: Footprint::of(&after),
            expired: after.expired - before.expired,
            evicted: after.evicted - before.evicted,
            segments_rewritten,
            elapsed_ms: start.elapsed().as_millis().try_into().unwrap_or(u64::MAX),
        }
    }

    fn give_up_cache(&self, mark: Mark, now: Millis) {
        // The lock is let go between two slices.
        while {
            let mut tiers = self.tiers.lock();
            tiers.demote(&self.shared, mark, now)
        } {}
    }

    fn clean_thoroughly(&self, now: Millis) -> u64 {
        for shard in (0..).take(self.shared.index.shards().count()) {
            self.drop_expired(shard, Where::Everywhere, now);
        }
        let upkeep = self.upkeep.lock();
        let mark = {
            let mut tiers = self.tiers.lock();
            tiers.close_packed();
            tiers.forget_ghosts();
            tiers.mark(&self.shared)
        };
        let rewritten = self.compact(&upkeep, Goal::AnyDead(mark), now);
        drop(upkeep);
        self.shrink_index();
        rewritten
    }
}
