//! Published caches, as a user has them by their defaults, with room for so many entries.

use super::Cache;

/// moka puts reads and writes into logs and works on them later. Here its work is done after every read, so that its policy
/// sees all of them at once and no entry is counted late: the best that it can do, at a speed nobody would accept.
pub(super) struct Moka(moka::sync::Cache<u32, ()>);

impl Moka {
    pub(super) fn new(capacity: usize) -> Self {
        Self(moka::sync::Cache::new(capacity as u64))
    }
}

impl Cache for Moka {
    fn read(&mut self, key: u32) -> bool {
        let hit = self.0.get(&key).is_some();
        if !hit {
            self.0.insert(key, ());
        }
        self.0.run_pending_tasks();
        hit
    }

    fn entries(&mut self) -> usize {
        self.0.run_pending_tasks();
        self.0.entry_count() as usize
    }
}

/// quick_cache without shards, each of which would have its own small queues.
pub(super) struct Quick(quick_cache::unsync::Cache<u32, ()>);

impl Quick {
    pub(super) fn new(capacity: usize) -> Self {
        Self(quick_cache::unsync::Cache::new(capacity))
    }
}

impl Cache for Quick {
    fn read(&mut self, key: u32) -> bool {
        let hit = self.0.get(&key).is_some();
        if !hit {
            self.0.insert(key, ());
        }
        hit
    }

    fn entries(&mut self) -> usize {
        self.0.len()
    }
}

/// foyer's cache in memory with its S3-FIFO, in one shard for the same reason.
pub(super) struct Foyer(foyer_memory::Cache<u32, ()>);

impl Foyer {
    pub(super) fn new(capacity: usize) -> Self {
        let cache = foyer_memory::CacheBuilder::new(capacity)
            .with_shards(1)
            .with_eviction_config(foyer_memory::S3FifoConfig::default())
            .build();
        Self(cache)
    }
}

impl Cache for Foyer {
    fn read(&mut self, key: u32) -> bool {
        let hit = self.0.get(&key).is_some();
        if !hit {
            self.0.insert(key, ());
        }
        hit
    }

    fn entries(&mut self) -> usize {
        self.0.usage()
    }
}
