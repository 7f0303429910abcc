//! What is done beside the calls of users: clearing away, dictionaries, figures.

use crate::clock::Millis;
use crate::stats::StoreStats;
use crate::store::Core;

/// The right to remove segments of files.
#[derive(Debug)]
pub(crate) struct Upkeep;

impl Core {
    /// Clears away what is over.
    pub(crate) fn sweep(&self) {
        let upkeep = self.upkeep.lock();
        let now = self.clock.now();
        let doomed = self.tiers.lock().take_expired(&self.shared, now);
        let any = !doomed.is_empty();
        for segment in doomed {
            // A sliding entry may live longer than the segment in which it is.
            let cleared = self
                .shared
                .clear(&segment, now, false, |namespace, key, place| {
                    let mut tiers = self.tiers.lock();
                    tiers.put_over(&self.shared, (namespace, key), place, now)
                });
            self.tiers.lock().reuse(&cleared);
        }
        let any = match self.clear_void(&upkeep, now) {
            true => {
                self.free_dead(&upkeep, now);
                true
            }
            false => any,
        };
        self.compact(&upkeep, now);
        self.make_dictionaries();
        #[cfg(feature = "encryption")]
        self.forget_keys(&upkeep);
        // A snapshot that cannot be written makes opening the store slower, no more; what the disk refuses, puts hear of.
        let _ = self.snapshot(&upkeep);
        if any {
            for shard in self.shared.index.shards() {
                self.shared.index.shrink(&mut shard.write());
            }
        }
    }

    /// Makes dictionaries for namespaces of which enough values were seen.
    fn make_dictionaries(&self) {
        self.shared.dictionaries.weigh();
        for made in self.shared.dictionaries.make() {
            // Before any record needs it. One that cannot be written is not used: it is made again.
            let kept = self.folder.as_ref().map(|folder| {
                let vault = self.shared.vault.as_ref();
                folder.keep_dictionary(made.namespace, &made.dictionary, vault)
            });
            if kept.is_none_or(|kept| kept.is_ok()) {
                self.shared.dictionaries.install(made);
            }
        }
    }

    /// The time at which the next entries will be over, or at once if there are void ones.
    pub(crate) fn next_expiry(&self) -> Option<Millis> {
        let tiers = self.tiers.lock();
        // Under the lock, under which tags are invalidated.
        match self.shared.marks.is_due() {
            true => Some(0),
            false => tiers.next_expiry(&self.shared),
        }
    }

    pub(crate) fn now(&self) -> Millis {
        self.clock.now()
    }

    pub(crate) fn stats(&self) -> StoreStats {
        let mut stats = StoreStats::default();
        let shards = self.shared.index.shards();
        stats.entries = shards.map(|shard| shard.read().len() as u64).sum();
        let tiers = self.tiers.lock();
        (stats.uncompressed_bytes, stats.compressed_bytes) = tiers.bytes();
        stats.disk_bytes = tiers.disk.as_ref().map_or(0, |disk| disk.bytes());
        stats.resident_bytes = tiers.held(&self.shared);
        drop(tiers);
        stats.index_bytes = self.shared.index.bytes();
        self.shared.counts.fill(&mut stats);
        if let Some(removals) = &self.shared.removals {
            removals.fill(&mut stats);
        }
        stats
    }
}
