//! heed, which is LMDB: a commit is on the disk, or with `NO_SYNC` with the system.

use std::path::Path;

use ::heed::types::Bytes;
use ::heed::{Database, Env, EnvFlags, EnvOpenOptions};
use xtask::Result;

use super::{Durability, Engine};
use crate::workloads::failed;

/// The most that the database can ever take: addresses, not memory.
const MAP: usize = 8 << 30;

pub(in super::super) struct Heed {
    entries: Database<Bytes, Bytes>,
    environment: Env,
}

impl Engine for Heed {
    type Bytes = Vec<u8>;

    fn open(folder: &Path, durability: Durability) -> Result<Self> {
        let mut options = EnvOpenOptions::new();
        options.map_size(MAP);
        if durability == Durability::Written {
            // SAFETY: the flag gives up what survives the end of the machine, which was not asked for.
            unsafe { options.flags(EnvFlags::NO_SYNC) };
        }
        // SAFETY: the folder is this process's own, and nobody else changes the file under its map.
        let environment = unsafe { options.open(folder) }.map_err(failed)?;
        let mut transaction = environment.write_txn().map_err(failed)?;
        let entries = environment
            .create_database(&mut transaction, None)
            .map_err(failed)?;
        transaction.commit().map_err(failed)?;
        Ok(Self {
            entries,
            environment,
        })
    }

    fn put(&self, key: &[u8], value: &[u8]) -> Result<()> {
        self.put_all(std::iter::once((key, value)))
    }

    fn put_all<'a>(&self, entries: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> Result<()> {
        let mut transaction = self.environment.write_txn().map_err(failed)?;
        for (key, value) in entries {
            self.entries
                .put(&mut transaction, key, value)
                .map_err(failed)?;
        }
        transaction.commit().map_err(failed)
    }

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        let transaction = self.environment.read_txn().map_err(failed)?;
        let found = self.entries.get(&transaction, key).map_err(failed)?;
        Ok(found.map(<[u8]>::to_vec))
    }
}
