//! The store, compressed, and sealed or not.

use std::path::Path;
use std::sync::OnceLock;

use aqe_memory::crypt::MasterKeys;
use aqe_memory::{MemoryConfig, Store, Value};
use xtask::Result;

use super::super::stores::keys;
use super::{Durability, Engine};
use crate::workloads::failed;

/// Less than the values take, more than they do when they are compressed, up to the largest workload.
const MAX_SIZE: u64 = 256 << 20;

fn config() -> MemoryConfig {
    MemoryConfig::default().max_size(MAX_SIZE)
}

/// Compressed.
pub(in super::super) struct Aqe {
    store: Store,
    durability: Durability,
}

impl Aqe {
    fn with(folder: &Path, config: MemoryConfig, durability: Durability) -> Result<Self> {
        let store = Store::open(folder, config).map_err(failed)?;
        Ok(Self { store, durability })
    }
}

impl Engine for Aqe {
    type Bytes = Value;

    fn open(folder: &Path, durability: Durability) -> Result<Self> {
        Self::with(folder, config(), durability)
    }

    fn put(&self, key: &[u8], value: &[u8]) -> Result<()> {
        self.store.put(key, value).map_err(failed)?;
        match self.durability {
            Durability::Written => Ok(()),
            Durability::Synced => self.store.flush().map_err(failed),
        }
    }

    fn put_all<'a>(&self, entries: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> Result<()> {
        self.store.put_many(entries).map_err(failed)?;
        self.store.flush().map_err(failed)
    }

    fn get(&self, key: &[u8]) -> Result<Option<Value>> {
        Ok(self.store.get(key))
    }
}

/// Compressed and sealed.
pub(in super::super) struct AqeSealed(Aqe);

impl Engine for AqeSealed {
    type Bytes = Value;

    fn open(folder: &Path, durability: Durability) -> Result<Self> {
        // One for the whole process, which opens its folder again.
        static KEYS: OnceLock<MasterKeys> = OnceLock::new();
        let made = keys()?;
        let keys = KEYS.get_or_init(|| made).clone();
        Aqe::with(folder, config().keys(keys), durability).map(Self)
    }

    fn put(&self, key: &[u8], value: &[u8]) -> Result<()> {
        self.0.put(key, value)
    }

    fn put_all<'a>(&self, entries: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> Result<()> {
        self.0.put_all(entries)
    }

    fn get(&self, key: &[u8]) -> Result<Option<Value>> {
        self.0.get(key)
    }
}
