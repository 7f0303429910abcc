//! What goes, and when: what is old, and what there is no room for.

use std::collections::HashSet;

use rusqlite::{Connection, params};

use super::schema::{HOUR_BITS, hour_key, key};
use super::series::SeriesId;
use super::tick;

/// Drops blocks of which nothing is as new as `samples`, and rollups by minute before `minutes`, both in milliseconds.
pub(super) fn drop_older(
    database: &Connection,
    samples: i64,
    minutes: i64,
) -> rusqlite::Result<()> {
    let change = database.unchecked_transaction()?;
    let old: Vec<i64> = change
        .prepare_cached("SELECT id FROM block WHERE last_at < ?1")?
        .query_map([samples], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    for block in old {
        drop_block(&change, block)?;
    }
    change.execute(
        "DELETE FROM minute WHERE key < ?1",
        [key(minutes / 60_000, 0)],
    )?;
    change.commit()
}

/// Drops rollups by hour that are older, of all series: reads all of them, so it is done once a day.
pub(super) fn drop_older_hours(database: &Connection, samples: i64) -> rusqlite::Result<()> {
    let mask = (1_i64 << HOUR_BITS) - 1;
    database.execute(
        "DELETE FROM hour WHERE key & ?1 < ?2",
        [mask, samples / 3_600_000],
    )?;
    database.execute("DELETE FROM clock_step WHERE at < ?1", [samples])?;
    Ok(())
}

fn drop_block(database: &Connection, block: i64) -> rusqlite::Result<()> {
    let range = [key(block, 0), key(block + 1, 0)];
    database
        .prepare_cached("DELETE FROM chunk WHERE key >= ?1 AND key < ?2")?
        .execute(range)?;
    database
        .prepare_cached("DELETE FROM block WHERE id = ?1")?
        .execute([block])?;
    Ok(())
}

/// Drops blocks, the oldest first, until an eighth of the room is free: for the next block, and for ticks until then.
pub(super) fn keep_below(database: &Connection, max_bytes: u64) -> rusqlite::Result<()> {
    let limit = max_bytes - max_bytes / 8;
    // Each turn drops something, so it ends.
    while used(database)? > limit {
        if drop_oldest(database)? == 0 {
            break;
        }
    }
    Ok(())
}

/// Bytes of pages with something in them.
fn used(database: &Connection) -> rusqlite::Result<u64> {
    let pragma = |name| database.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let pages = pragma("page_count")? - pragma("freelist_count")?;
    Ok((pages * pragma("page_size")?).cast_unsigned())
}

/// Whether what did not fit, fits no more into the bound of the file; otherwise it is the disk that is full, and dropping something would cost
/// history without giving room.
pub(super) fn is_at_limit(database: &Connection, needed: u64) -> rusqlite::Result<bool> {
    let pragma = |name| database.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let free = pragma("max_page_count")? - pragma("page_count")? + pragma("freelist_count")?;
    let page = pragma("page_size")?.cast_unsigned();
    // Beside values, pages of the trees above them.
    Ok(free.max(0).cast_unsigned() < needed / page.max(1) + 64)
}

/// Drops the oldest sixteenth of all blocks; if there are none, all rollups by minute, then the older half of those by hour. Says how
/// many rows that were.
pub(super) fn drop_oldest(database: &Connection) -> rusqlite::Result<usize> {
    let change = database.unchecked_transaction()?;
    let oldest: Vec<i64> = change
        .prepare_cached(
            "SELECT id FROM block ORDER BY id LIMIT (SELECT (count(*) + 15) / 16 FROM block)",
        )?
        .query_map([], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    let mut dropped = oldest.len();
    for block in oldest {
        drop_block(&change, block)?;
    }
    if dropped == 0 {
        dropped = change.execute("DELETE FROM minute", [])?;
    }
    if dropped == 0 {
        let mask = (1_i64 << HOUR_BITS) - 1;
        dropped = change.execute(
            "DELETE FROM hour WHERE key & ?1 <= (SELECT (min(key & ?1) + max(key & ?1)) / 2 FROM hour)",
            [mask],
        )?;
    }
    change.commit()?;
    Ok(dropped)
}

/// Forgets those of these series that have no samples any more, with their rollups. Says which.
pub(super) fn forget_series(
    database: &Connection,
    candidates: &[SeriesId],
) -> rusqlite::Result<HashSet<SeriesId>> {
    let change = database.unchecked_transaction()?;
    let waiting = series_of_ticks(&change)?;
    let mut gone = HashSet::new();
    {
        let mut forget = change.prepare_cached(
            "DELETE FROM series_table WHERE id = ?1
             AND last_block < coalesce((SELECT min(id) FROM block), ?2)",
        )?;
        for &series in candidates.iter().filter(|series| !waiting.contains(series)) {
            if forget.execute(params![series.0, i64::MAX])? > 0 {
                let range = [hour_key(series.0, 0), hour_key(series.0 + 1, 0)];
                change
                    .prepare_cached("DELETE FROM hour WHERE key >= ?1 AND key < ?2")?
                    .execute(range)?;
                gone.insert(series);
            }
        }
    }
    change.commit()?;
    Ok(gone)
}

/// Series in ticks that are not sealed.
fn series_of_ticks(database: &Connection) -> rusqlite::Result<HashSet<SeriesId>> {
    let mut series = HashSet::new();
    let mut ticks = database.prepare_cached("SELECT body FROM tick")?;
    let mut rows = ticks.query([])?;
    while let Some(row) = rows.next()? {
        // What cannot be read is not sealed either.
        if let Ok(body) = row.get_ref(0)?.as_str() {
            let _ = tick::read_body(body, |id, _| {
                series.insert(id);
            });
        }
    }
    Ok(series)
}
