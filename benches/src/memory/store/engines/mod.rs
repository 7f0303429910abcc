//! Stores in a folder under one trait, each with the settings that its documentation gives for what is asked of it.

mod aqe;
mod fjall;
mod heed;
mod redb;
mod sqlite;

use std::fs;
use std::path::Path;

use xtask::Result;

pub(super) use self::aqe::{Aqe, AqeSealed};
pub(super) use self::fjall::Fjall;
pub(super) use self::heed::Heed;
pub(super) use self::redb::Redb;
pub(super) use self::sqlite::Sqlite;
use crate::workloads::failed;

/// What a put has survived when it returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Durability {
    /// The end of the process, where the engine has such a thing: the system has it.
    Written,
    /// The end of the machine: the disk has it.
    Synced,
}

/// An engine with one table of bytes by bytes.
pub(super) trait Engine: Sync + Sized {
    /// What a read gives.
    type Bytes: AsRef<[u8]>;

    /// Opens what is in the folder, or begins it.
    fn open(folder: &Path, durability: Durability) -> Result<Self>;

    /// Puts a value, which has survived what was asked for when this returns.
    fn put(&self, key: &[u8], value: &[u8]) -> Result<()>;

    /// Puts values in one go, on the disk when this returns.
    fn put_all<'a>(&self, entries: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> Result<()>;

    /// The value of a key.
    fn get(&self, key: &[u8]) -> Result<Option<Self::Bytes>>;
}

/// Bytes of disk that a folder's files take.
pub(super) fn disk(folder: &Path) -> Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let metadata = entry.metadata().map_err(failed)?;
        bytes += match metadata.is_dir() {
            true => disk(&entry.path())?,
            false => taken(&metadata),
        };
    }
    Ok(bytes)
}

/// Files may be longer than what they take: heed's is as long as its map.
#[cfg(unix)]
fn taken(metadata: &fs::Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::blocks(metadata) * 512
}

#[cfg(not(unix))]
fn taken(metadata: &fs::Metadata) -> u64 {
    metadata.len()
}
