//! Sealing: from ticks in rows of their own to a block of compressed chunks, and rollups beside it.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension as _};

use super::buckets::Buckets;
use super::chunk::{self, Chunk, Values};
use super::rows::{BlockRow, Header, RollupRow, Table, TickRow};
use super::schema::{hour_key, key};
use super::series::SeriesId;
use super::summary::Summary;
use super::tick::{self, Value};

const MINUTE: i64 = 60_000;
const HOUR: i64 = 3_600_000;

/// What was sealed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Sealed {
    /// How many ticks.
    pub ticks: u64,
    /// How many samples they had.
    pub samples: u64,
    /// Bytes of their chunks.
    pub bytes: u64,
    /// How many ticks were damaged, and are gone.
    pub damaged: u64,
}

/// Seals all ticks in one transaction. Minutes before `minutes_from` get no rollups.
pub(super) fn seal(database: &Connection, minutes_from: i64) -> rusqlite::Result<Sealed> {
    let change = database.unchecked_transaction()?;
    let mut sealed = Sealed::default();
    let newest: Option<i64> = change
        .query_row("SELECT max(key) FROM minute", [], |row| row.get(0))
        .optional()?
        .flatten();
    let mut writer = Writer {
        database: &change,
        minutes_from: minutes_from / MINUTE,
        newest: newest.unwrap_or(i64::MIN),
        sealed: &mut sealed,
    };
    let mut block = Gathered::default();
    let mut ticks = change.prepare_cached("SELECT seq, at, crc, body FROM tick ORDER BY seq")?;
    let mut rows = ticks.query([])?;
    while let Some(row) = rows.next()? {
        let Some(tick) = TickRow::read(row)? else {
            writer.sealed.damaged += 1;
            continue;
        };
        // Within a block, time does not go back.
        let is_back = block.times.last().is_some_and(|&last| tick.at < last);
        if is_back || block.times.len() >= super::MAX_BLOCK_TICKS as usize {
            writer.write(std::mem::take(&mut block))?;
        }
        if block.add(&tick).is_none() {
            writer.sealed.damaged += 1;
        }
    }
    drop(rows);
    drop(ticks);
    writer.write(block)?;
    change.execute("DELETE FROM tick", [])?;
    change.commit()?;
    Ok(sealed)
}

/// The ticks of a block to be, by series.
#[derive(Default)]
struct Gathered {
    first_seq: i64,
    last_seq: i64,
    times: Vec<i64>,
    columns: BTreeMap<SeriesId, Column>,
}

struct Column {
    ticks: Vec<u32>,
    values: Values,
}

impl Gathered {
    /// `None` if the text is not one; what could be read of it is kept.
    fn add(&mut self, tick: &TickRow<'_>) -> Option<()> {
        if self.times.is_empty() {
            self.first_seq = tick.seq;
        }
        self.last_seq = tick.seq;
        let at = self.times.len() as u32;
        self.times.push(tick.at);
        let room = super::MAX_BLOCK_TICKS as usize;
        tick::read_body(tick.body, |series, value| {
            let column = self.columns.entry(series).or_insert_with(|| Column {
                ticks: Vec::with_capacity(room.min(1024)),
                values: match value {
                    Value::Number(_) => Values::Numbers(Vec::new()),
                    Value::Buckets(_) => Values::Buckets(Vec::new()),
                },
            });
            match (&mut column.values, value) {
                (Values::Numbers(values), Value::Number(value)) => values.push(value),
                (Values::Buckets(values), Value::Buckets(value)) => values.push(value),
                // The kind of a series does not change; this text is not ours.
                _ => return,
            }
            column.ticks.push(at);
        })
    }
}

struct Writer<'a> {
    database: &'a Connection,
    minutes_from: i64,
    /// The largest key among the minutes before; beyond it, there is nothing to be added to.
    newest: i64,
    sealed: &'a mut Sealed,
}

impl Writer<'_> {
    fn write(&mut self, block: Gathered) -> rusqlite::Result<()> {
        if block.times.is_empty() {
            return Ok(());
        }
        let row = BlockRow {
            id: block.first_seq,
            last_seq: block.last_seq,
            times: block.times,
        };
        row.insert(self.database)?;
        self.sealed.ticks += row.times.len() as u64;
        // By key, so that they are added in order.
        let mut minutes = BTreeMap::new();
        for (series, column) in block.columns {
            self.write_column(&row, series, column, &mut minutes)?;
        }
        for (key, minute) in &minutes {
            if *key > self.newest {
                minute.insert(self.database, Table::Minute, *key)?;
            } else {
                minute.put(self.database, Table::Minute, *key)?;
            }
        }
        if let Some((&last, _)) = minutes.last_key_value() {
            self.newest = self.newest.max(last);
        }
        Ok(())
    }

    fn write_column(
        &mut self,
        block: &BlockRow,
        series: SeriesId,
        column: Column,
        minutes: &mut BTreeMap<i64, RollupRow>,
    ) -> rusqlite::Result<()> {
        self.sealed.samples += column.values.len() as u64;
        let mut seen = self
            .database
            .prepare_cached("UPDATE series_table SET last_block = ?1 WHERE id = ?2")?;
        seen.execute([block.id, i64::from(series.0)])?;

        let times: Vec<i64> = column
            .ticks
            .iter()
            .map(|&tick| block.times[tick as usize])
            .collect();
        let mut whole: Option<Summary> = None;
        let mut hours: BTreeMap<i64, RollupRow> = BTreeMap::new();
        for (minute, rollup) in by_period(&times, &column.values, MINUTE) {
            match &mut whole {
                Some(whole) => whole.add(&rollup.summary),
                None => whole = Some(rollup.summary),
            }
            let hour = minute * MINUTE / HOUR;
            add(&mut hours, hour_key(series.0, hour), rollup.clone());
            if minute >= self.minutes_from {
                add(minutes, key(minute, series.0), rollup);
            }
        }
        for (key, hour) in hours {
            hour.put(self.database, Table::Hour, key)?;
        }
        // A histogram without values has no summary, and nothing that would be missed.
        let (Some(summary), Some(&first_at), Some(&last_at)) = (whole, times.first(), times.last())
        else {
            return Ok(());
        };
        let is_whole = column.ticks.len() == block.times.len();
        let chunk = Chunk {
            ticks: (!is_whole).then_some(column.ticks),
            values: column.values,
        };
        let data = chunk::encode(&chunk, block.times.len());
        self.sealed.bytes += data.len() as u64;
        let header = Header {
            summary,
            first_at,
            last_at,
        };
        header.insert(self.database, key(block.id, series.0), &data)
    }
}

fn add(rollups: &mut BTreeMap<i64, RollupRow>, key: i64, rollup: RollupRow) {
    use std::collections::btree_map::Entry;
    match rollups.entry(key) {
        Entry::Occupied(mut before) => before.get_mut().add(&rollup),
        Entry::Vacant(free) => {
            free.insert(rollup);
        }
    }
}

/// Sums up values by periods of so many milliseconds; gives the number of each period and what was in it. Times do not go back.
pub(super) fn by_period<'a>(
    times: &'a [i64],
    values: &'a Values,
    millis: i64,
) -> impl Iterator<Item = (i64, RollupRow)> + 'a {
    let mut begin = 0;
    std::iter::from_fn(move || {
        loop {
            let period = times.get(begin)? / millis;
            let end = begin + times[begin..].partition_point(|&time| time / millis == period);
            let rollup = sum_up(values, begin..end);
            begin = end;
            if let Some(rollup) = rollup {
                return Some((period, rollup));
            }
        }
    })
}

/// What some of the values come to; `None` if there are none in it.
pub(super) fn sum_up(values: &Values, range: std::ops::Range<usize>) -> Option<RollupRow> {
    match values {
        Values::Numbers(values) => Some(RollupRow {
            summary: Summary::of_all(&values[range])?,
            buckets: None,
        }),
        Values::Buckets(values) => {
            let mut all = values[range].iter().filter_map(rollup_of);
            let first = all.next()?;
            Some(all.fold(first, |mut sum, next| {
                sum.add(&next);
                sum
            }))
        }
    }
}

/// One tick of a histogram; `None` if nothing was observed.
pub(super) fn rollup_of(buckets: &Buckets) -> Option<RollupRow> {
    let (min, max) = buckets.extremes()?;
    let n = buckets.count();
    Some(RollupRow {
        summary: Summary {
            n,
            min,
            max,
            sum: buckets.sum(),
            last: n as f64,
        },
        buckets: Some(buckets.clone()),
    })
}
