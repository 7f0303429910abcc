//! What is done beside the calls of users: clearing away, dictionaries, figures.

use crate::clock::Millis;
use crate::dictionaries::Made;
use crate::stats::StoreStats;
use crate::store::Core;
use crate::tiers::Goal;

/// The right to remove segments of files.
#[derive(Debug)]
pub(crate) struct Upkeep;

impl Core {
    /// Clears away what is over.
    pub(crate) fn sweep(&self) {
        let upkeep = self.upkeep.lock();
        let now = self.clock.now();
        self.remove_left();
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
        let any_void = self.clear_void(&upkeep, now);
        if any_void {
            self.free_dead(&upkeep, now);
        }
        if self.folder.is_some() {
            self.compact(&upkeep, Goal::MostlyDead, now);
        }
        self.make_dictionaries();
        #[cfg(feature = "encryption")]
        self.forget_keys(&upkeep);
        // A snapshot that cannot be written makes opening the store slower, no more; what the disk refuses, puts hear of.
        let _ = self.snapshot(&upkeep);
        if any || any_void {
            self.shrink_index();
        }
        self.sample();
    }

    /// Tries again to remove what the system refused to remove before.
    fn remove_left(&self) {
        let Some(files) = &self.shared.files else {
            return;
        };
        let left = {
            let tiers = self.tiers.lock();
            tiers.disk.as_ref().map(|disk| disk.left.clone())
        };
        // Nobody rewrites or takes a snapshot meanwhile: that is done with the upkeep in hand, as this is. Who invalidates a tag
        // looks at what is left, so that it stays there until it is known to be gone.
        let mut gone = left.unwrap_or_default();
        gone.retain(|left| files.is_removed(left.known.file));
        if gone.is_empty() {
            return;
        }
        if let Some(disk) = &mut self.tiers.lock().disk {
            let is_gone = |file| gone.iter().any(|left| left.known.file == file);
            disk.left.retain(|left| !is_gone(left.known.file));
        }
    }

    /// Gives back what empty places of the index take.
    pub(crate) fn shrink_index(&self) {
        for shard in self.shared.index.shards() {
            self.shared.index.shrink(&mut shard.write());
        }
    }

    /// Notes how the store is, if it is time to.
    pub(crate) fn sample(&self) {
        let now = self.clock.now();
        if self.history.lock().due() <= now {
            let (stats, version) = (self.stats(), self.next_version());
            self.history.lock().add(now, &stats, version);
        }
    }

    /// Makes dictionaries for namespaces of which enough values were seen.
    fn make_dictionaries(&self) {
        self.shared.dictionaries.weigh();
        for made in self.shared.dictionaries.make() {
            self.keep_and_install(made);
        }
    }

    /// Keeps a dictionary, and uses it from then on. Says whether it could be kept. The caller holds the upkeep.
    pub(crate) fn keep_and_install(&self, made: Made) -> bool {
        // Before any record needs it. One that cannot be written is not used: it is made again.
        let kept = self.folder.as_ref().map(|folder| {
            let vault = self.shared.vault.as_ref();
            folder.keep_dictionary(made.namespace, &made.dictionary, vault)
        });
        let is_kept = kept.is_none_or(|kept| kept.is_ok());
        if is_kept {
            self.shared.dictionaries.install(made);
        }
        is_kept
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
        stats.ceiling_bytes = tiers.ceiling();
        drop(tiers);
        stats.index_bytes = self.shared.index.bytes();
        self.shared.counts.fill(&mut stats);
        if let Some(removals) = &self.shared.removals {
            removals.fill(&mut stats);
        }
        stats
    }
}
