//! The store, in memory.

use aqe_memory::{MemoryConfig, Store};
use xtask::Result;

use super::{Cache, TIME_TO_LIVE};
use crate::workloads::failed;

/// What an entry of 28 + 100 bytes takes of the hot tier with all that belongs to it.
const BYTES: u64 = 168;

/// All of the memory for entries as they are.
pub(in super::super) struct Aqe(Store);

impl Cache for Aqe {
    fn with_room(entries: usize) -> Result<Self> {
        let bytes = room(entries);
        let config = MemoryConfig::default().max_size(bytes).cache_size(bytes);
        Ok(Self(Store::new(config).map_err(failed)?))
    }

    #[inline]
    fn put(&self, key: &[u8], value: &[u8]) {
        put(&self.0, key, value);
    }

    #[inline]
    fn get(&self, key: &[u8]) -> Option<u8> {
        self.0.get(key)?.last().copied()
    }
}

/// A quarter of the memory for entries as they are, the rest for compressed ones, as by default: what leaves the hot tier is made
/// smaller first.
pub(in super::super) struct AqeCompressing(Store);

impl Cache for AqeCompressing {
    fn with_room(entries: usize) -> Result<Self> {
        let config = MemoryConfig::default().max_size(room(entries));
        Ok(Self(Store::new(config).map_err(failed)?))
    }

    #[inline]
    fn put(&self, key: &[u8], value: &[u8]) {
        put(&self.0, key, value);
    }

    #[inline]
    fn get(&self, key: &[u8]) -> Option<u8> {
        self.0.get(key)?.last().copied()
    }
}

/// The bytes for so many entries, but no less than the least that a store takes, which matters in quick samples.
fn room(entries: usize) -> u64 {
    (entries as u64 * BYTES).max(1_000_000)
}

#[inline]
fn put(store: &Store, key: &[u8], value: &[u8]) {
    let put = store.put_for(key, value, TIME_TO_LIVE);
    // What is not there is missed by whoever reads it.
    debug_assert!(put.is_ok(), "{put:?}");
}
