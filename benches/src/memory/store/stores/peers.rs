//! Caches with a codec in front, bounded by the bytes of keys and values that they hold.

use std::sync::Arc;
use std::time::{Duration, Instant};

use foyer_memory::{CacheBuilder, S3FifoConfig};
use xtask::Result;

use super::codec::{Codec, Raw};
use super::{A_DAY, Store};

type Key = Box<[u8]>;

#[derive(Clone)]
struct Timed {
    time_to_live: Duration,
    held: Arc<[u8]>,
}

struct EachItsOwn;

impl moka::Expiry<Key, Timed> for EachItsOwn {
    fn expire_after_create(&self, _: &Key, value: &Timed, _: Instant) -> Option<Duration> {
        Some(value.time_to_live)
    }

    fn expire_after_update(
        &self,
        _: &Key,
        value: &Timed,
        _: Instant,
        _: Option<Duration>,
    ) -> Option<Duration> {
        Some(value.time_to_live)
    }
}

/// moka with a time to live for each entry.
pub(in super::super) struct Moka<C> {
    cache: moka::sync::Cache<Key, Timed>,
    codec: C,
}

impl<C: Codec> Store for Moka<C> {
    type Bytes = C::Bytes;

    fn within(bytes: u64) -> Result<Self> {
        let cache = moka::sync::Cache::builder()
            .max_capacity(bytes)
            .weigher(|key: &Key, value: &Timed| (key.len() + value.held.len()) as u32)
            .expire_after(EachItsOwn)
            .build();
        Ok(Self {
            cache,
            codec: C::new()?,
        })
    }

    fn put(&self, key: &[u8], value: &[u8], time_to_live: Option<Duration>) -> bool {
        let Some(held) = self.codec.encode(key, value) else {
            return false;
        };
        let time_to_live = time_to_live.unwrap_or(A_DAY);
        self.cache.insert(key.into(), Timed { time_to_live, held });
        true
    }

    fn get(&self, key: &[u8]) -> Option<C::Bytes> {
        let found = self.cache.get(key)?;
        self.codec.decode(key, found.held)
    }

    fn has(&self, key: &[u8]) -> bool {
        self.cache.contains_key(key)
    }

    fn remove(&self, key: &[u8]) {
        self.cache.invalidate(key);
    }

    fn settle(&self) {
        self.cache.run_pending_tasks();
    }
}

/// quick_cache with deadlines that are looked at when an entry is read.
pub(in super::super) struct Quick<C> {
    cache: quick_cache::sync::Cache<Key, Due, Weighter>,
    codec: C,
}

#[derive(Clone)]
struct Due {
    deadline: Instant,
    held: Arc<[u8]>,
}

#[derive(Clone)]
struct Weighter;

impl quick_cache::Weighter<Key, Due> for Weighter {
    fn weight(&self, key: &Key, value: &Due) -> u64 {
        (key.len() + value.held.len()) as u64
    }
}

/// The size of a value as quick_cache is to expect it, which decides how many it prepares for.
const EXPECTED: u64 = 2 << 10;

impl<C: Codec> Store for Quick<C> {
    type Bytes = C::Bytes;

    fn within(bytes: u64) -> Result<Self> {
        let expected = (bytes / EXPECTED) as usize;
        Ok(Self {
            cache: quick_cache::sync::Cache::with_weighter(expected, bytes, Weighter),
            codec: C::new()?,
        })
    }

    fn put(&self, key: &[u8], value: &[u8], time_to_live: Option<Duration>) -> bool {
        let Some(held) = self.codec.encode(key, value) else {
            return false;
        };
        let deadline = Instant::now() + time_to_live.unwrap_or(A_DAY);
        self.cache.insert(key.into(), Due { deadline, held });
        true
    }

    fn get(&self, key: &[u8]) -> Option<C::Bytes> {
        let found = self.cache.get(key)?;
        if found.deadline <= Instant::now() {
            self.cache.remove(key);
            return None;
        }
        self.codec.decode(key, found.held)
    }

    fn has(&self, key: &[u8]) -> bool {
        let found = self.cache.peek(key);
        found.is_some_and(|found| found.deadline > Instant::now())
    }

    fn remove(&self, key: &[u8]) {
        self.cache.remove(key);
    }
}

/// foyer's cache in memory, which knows no deadlines.
pub(in super::super) struct Foyer(foyer_memory::Cache<Key, Arc<[u8]>>);

impl Store for Foyer {
    type Bytes = <Raw as Codec>::Bytes;

    fn within(bytes: u64) -> Result<Self> {
        let cache = CacheBuilder::new(bytes as usize)
            .with_eviction_config(S3FifoConfig::default())
            .with_weighter(|key: &Key, value: &Arc<[u8]>| key.len() + value.len())
            .build();
        Ok(Self(cache))
    }

    fn put(&self, key: &[u8], value: &[u8], _: Option<Duration>) -> bool {
        self.0.insert(key.into(), value.into());
        true
    }

    fn get(&self, key: &[u8]) -> Option<Self::Bytes> {
        Some(Arc::clone(self.0.get(key)?.value()))
    }

    fn has(&self, key: &[u8]) -> bool {
        self.0.contains(key)
    }

    fn remove(&self, key: &[u8]) {
        self.0.remove(key);
    }
}
