//! One durable checkpoint after the other: a hundred items with eight bytes of result each, on disk when it returns.

use std::fs::File;
use std::io::{Seek, SeekFrom, Write};

use aqe_batch::log::{CheckpointLog, Entry as LogEntry, JobIdentity};
use redb::{Database, TableDefinition};
use xtask::Result;

use super::{Entry, entry, failed, folder};
use crate::measure::{Reading, Stretch};
use crate::rounds::Scale;

pub(super) const ENTRIES: &[Entry] = &[
    entry("aqe", aqe),
    entry("pre-written-fdatasync", pre_written),
    entry("redb", redb),
    entry("sqlite-wal-full", sqlite),
];

/// Items of one checkpoint.
const ITEMS: u64 = 100;

fn checkpoints(scale: Scale) -> u64 {
    scale.of(2_000)
}

fn bytes(nth: u64) -> Vec<u8> {
    (nth * ITEMS..(nth + 1) * ITEMS)
        .flat_map(u64::to_le_bytes)
        .collect()
}

fn aqe(scale: Scale) -> Result<Vec<Reading>> {
    let folder = folder()?;
    let job = JobIdentity::new("bench");
    let path = folder.path().join("log");
    let log = CheckpointLog::open(&path, &job, |_, _| Ok(())).map_err(failed)?;
    log.sync().map_err(failed)?;
    let mut entry = LogEntry::new();
    let stretch = Stretch::start();
    for nth in 0..checkpoints(scale) {
        for item in nth * ITEMS..(nth + 1) * ITEMS {
            let write = |out: &mut Vec<u8>| {
                out.extend_from_slice(&item.to_le_bytes());
                Ok(())
            };
            entry.result(item, write).map_err(failed)?;
        }
        log.append(&mut entry).map_err(failed)?;
        log.sync().map_err(failed)?;
    }
    Ok(stretch.per_operation(checkpoints(scale)))
}

fn pre_written(scale: Scale) -> Result<Vec<Reading>> {
    let folder = folder()?;
    let mut file = File::create(folder.path().join("log")).map_err(failed)?;
    let zeros = vec![0; 1 << 20];
    for _ in 0..4 {
        file.write_all(&zeros).map_err(failed)?;
    }
    file.sync_all().map_err(failed)?;
    file.seek(SeekFrom::Start(0)).map_err(failed)?;
    let stretch = Stretch::start();
    for nth in 0..checkpoints(scale) {
        file.write_all(&bytes(nth)).map_err(failed)?;
        file.sync_data().map_err(failed)?;
    }
    Ok(stretch.per_operation(checkpoints(scale)))
}

fn redb(scale: Scale) -> Result<Vec<Reading>> {
    const TABLE: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("state");
    let folder = folder()?;
    let database = Database::create(folder.path().join("log")).map_err(failed)?;
    let stretch = Stretch::start();
    for nth in 0..checkpoints(scale) {
        let transaction = database.begin_write().map_err(failed)?;
        {
            let mut table = transaction.open_table(TABLE).map_err(failed)?;
            table.insert(nth, bytes(nth).as_slice()).map_err(failed)?;
        }
        transaction.commit().map_err(failed)?;
    }
    Ok(stretch.per_operation(checkpoints(scale)))
}

fn sqlite(scale: Scale) -> Result<Vec<Reading>> {
    let folder = folder()?;
    let database = rusqlite::Connection::open(folder.path().join("log")).map_err(failed)?;
    database
        .execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; \
             CREATE TABLE state (nth INTEGER PRIMARY KEY, bytes BLOB)",
        )
        .map_err(failed)?;
    let mut insert = database
        .prepare("INSERT INTO state VALUES (?1, ?2)")
        .map_err(failed)?;
    let stretch = Stretch::start();
    for nth in 0..checkpoints(scale) {
        insert.execute((nth as i64, bytes(nth))).map_err(failed)?;
    }
    Ok(stretch.per_operation(checkpoints(scale)))
}
