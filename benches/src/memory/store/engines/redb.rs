//! redb: a commit is on the disk, or with `Durability::None` in the process only, which is less than was asked for.

use std::path::Path;

use ::redb::{Database, ReadableDatabase, TableDefinition, TableError};
use xtask::Result;

use super::{Durability, Engine};
use crate::workloads::failed;

const TABLE: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("entries");

pub(in super::super) struct Redb {
    database: Database,
    durability: Durability,
}

impl Redb {
    fn commit<'a>(
        &self,
        durability: Durability,
        entries: impl Iterator<Item = (&'a [u8], &'a [u8])>,
    ) -> Result<()> {
        let mut transaction = self.database.begin_write().map_err(failed)?;
        let durability = match durability {
            Durability::Written => ::redb::Durability::None,
            Durability::Synced => ::redb::Durability::Immediate,
        };
        transaction.set_durability(durability).map_err(failed)?;
        {
            let mut table = transaction.open_table(TABLE).map_err(failed)?;
            for (key, value) in entries {
                table.insert(key, value).map_err(failed)?;
            }
        }
        transaction.commit().map_err(failed)
    }
}

impl Engine for Redb {
    type Bytes = Vec<u8>;

    fn open(folder: &Path, durability: Durability) -> Result<Self> {
        let database = Database::create(folder.join("database")).map_err(failed)?;
        Ok(Self {
            database,
            durability,
        })
    }

    fn put(&self, key: &[u8], value: &[u8]) -> Result<()> {
        self.commit(self.durability, std::iter::once((key, value)))
    }

    fn put_all<'a>(&self, entries: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> Result<()> {
        self.commit(Durability::Synced, entries)
    }

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        let transaction = self.database.begin_read().map_err(failed)?;
        let table = match transaction.open_table(TABLE) {
            Err(TableError::TableDoesNotExist(_)) => return Ok(None),
            table => table.map_err(failed)?,
        };
        let found = table.get(key).map_err(failed)?;
        Ok(found.map(|value| value.value().to_vec()))
    }
}
