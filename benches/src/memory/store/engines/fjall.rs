//! fjall: every insert goes to the system by default, and `persist` takes it to the disk.

use std::path::Path;

use ::fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode, UserValue};
use xtask::Result;

use super::{Durability, Engine};
use crate::workloads::failed;

pub(in super::super) struct Fjall {
    entries: Keyspace,
    database: Database,
    durability: Durability,
}

impl Engine for Fjall {
    type Bytes = UserValue;

    fn open(folder: &Path, durability: Durability) -> Result<Self> {
        let database = Database::builder(folder).open().map_err(failed)?;
        let entries = database
            .keyspace("entries", KeyspaceCreateOptions::default)
            .map_err(failed)?;
        Ok(Self {
            entries,
            database,
            durability,
        })
    }

    fn put(&self, key: &[u8], value: &[u8]) -> Result<()> {
        self.entries.insert(key, value).map_err(failed)?;
        match self.durability {
            Durability::Written => Ok(()),
            Durability::Synced => self.database.persist(PersistMode::SyncData).map_err(failed),
        }
    }

    fn put_all<'a>(&self, entries: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> Result<()> {
        let mut batch = self
            .database
            .batch()
            .durability(Some(PersistMode::SyncData));
        for (key, value) in entries {
            batch.insert(&self.entries, key, value);
        }
        batch.commit().map_err(failed)
    }

    fn get(&self, key: &[u8]) -> Result<Option<UserValue>> {
        self.entries.get(key).map_err(failed)
    }
}
