//! foyer's cache in memory, which knows no deadlines, with S3-FIFO: of its policies the one whose hits lock the least.

use foyer_memory::{Cache as Inner, CacheBuilder, S3FifoConfig};
use xtask::Result;

use super::{Cache, Key, Shared};

/// In the eight shards that it has by default.
pub(in super::super) struct Foyer(Inner<Key, Shared>);

impl Cache for Foyer {
    fn with_room(entries: usize) -> Result<Self> {
        let cache = CacheBuilder::new(entries)
            .with_eviction_config(S3FifoConfig::default())
            .build();
        Ok(Self(cache))
    }

    #[inline]
    fn put(&self, key: &[u8], value: &[u8]) {
        self.0.insert(key.into(), value.into());
    }

    #[inline]
    fn get(&self, key: &[u8]) -> Option<u8> {
        self.0.get(key)?.value().last().copied()
    }
}
