//! SQLite with a write-ahead log: `synchronous` says whether a commit is with the system or on the disk.

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rusqlite::{Connection, OptionalExtension};
use xtask::Result;

use super::{Durability, Engine};
use crate::workloads::failed;

/// One connection, which threads take turns with: several would only wait for one another's commits.
pub(in super::super) struct Sqlite(Mutex<Connection>);

impl Sqlite {
    fn connection(&self) -> MutexGuard<'_, Connection> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const INSERT: &str = "INSERT OR REPLACE INTO entries VALUES (?1, ?2)";

impl Engine for Sqlite {
    type Bytes = Vec<u8>;

    fn open(folder: &Path, durability: Durability) -> Result<Self> {
        let connection = Connection::open(folder.join("database")).map_err(failed)?;
        let synchronous = match durability {
            Durability::Written => "NORMAL",
            Durability::Synced => "FULL",
        };
        connection
            .execute_batch(&format!(
                "PRAGMA journal_mode = WAL; PRAGMA synchronous = {synchronous}; \
                 CREATE TABLE IF NOT EXISTS entries (key BLOB PRIMARY KEY, value BLOB NOT NULL)"
            ))
            .map_err(failed)?;
        Ok(Self(Mutex::new(connection)))
    }

    fn put(&self, key: &[u8], value: &[u8]) -> Result<()> {
        let connection = self.connection();
        let mut insert = connection.prepare_cached(INSERT).map_err(failed)?;
        insert.execute((key, value)).map_err(failed)?;
        Ok(())
    }

    fn put_all<'a>(&self, entries: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> Result<()> {
        let mut connection = self.connection();
        let transaction = connection.transaction().map_err(failed)?;
        {
            let mut insert = transaction.prepare_cached(INSERT).map_err(failed)?;
            for (key, value) in entries {
                insert.execute((key, value)).map_err(failed)?;
            }
        }
        transaction.commit().map_err(failed)
    }

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        let connection = self.connection();
        let mut select = connection
            .prepare_cached("SELECT value FROM entries WHERE key = ?1")
            .map_err(failed)?;
        select
            .query_row([key], |row| row.get(0))
            .optional()
            .map_err(failed)
    }
}
