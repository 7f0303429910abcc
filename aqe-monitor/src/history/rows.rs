//! Rows with checksums.
//!
//! SQLite does not notice a bit that has flipped within a value. So every row has a CRC-32 over its key and its values, and what
//! does not agree is counted as damaged instead of being shown.

use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::buckets::Buckets;
use super::chunk::Chunk;
use super::summary::Summary;
use super::{chunk, tick, times};

/// A checksum over numbers and bytes.
#[derive(Clone, Default)]
pub(super) struct Crc(crc32fast::Hasher);

impl Crc {
    pub(super) fn number(mut self, number: i64) -> Self {
        self.0.update(&number.to_le_bytes());
        self
    }

    /// With its length before it, so that nothing can move from one value to the next.
    pub(super) fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.update(&(bytes.len() as u64).to_le_bytes());
        self.0.update(bytes);
        self
    }

    fn summary(self, summary: &Summary) -> Self {
        [summary.min, summary.max, summary.sum, summary.last]
            .into_iter()
            // A zero has no sign in a table.
            .fold(self.number(summary.n.cast_signed()), |crc, value| {
                crc.number((value + 0.0).to_bits().cast_signed())
            })
    }

    pub(super) fn value(self) -> i64 {
        i64::from(self.0.finalize())
    }
}

/// A tick as it waits to be sealed.
#[derive(Debug)]
pub(super) struct TickRow<'a> {
    pub(super) seq: i64,
    pub(super) at: i64,
    pub(super) body: &'a str,
}

impl<'a> TickRow<'a> {
    pub(super) fn insert(&self, database: &Connection) -> rusqlite::Result<()> {
        let mut insert = database
            .prepare_cached("INSERT INTO tick (seq, at, crc, body) VALUES (?1, ?2, ?3, ?4)")?;
        insert.execute(params![self.seq, self.at, self.crc(), self.body])?;
        Ok(())
    }

    /// Reads a row of `seq, at, crc, body`; `None` if it is damaged.
    pub(super) fn read(row: &'a Row<'_>) -> rusqlite::Result<Option<Self>> {
        let Ok(body) = row.get_ref(3)?.as_str() else {
            return Ok(None);
        };
        let tick = Self {
            seq: row.get(0)?,
            at: row.get(1)?,
            body,
        };
        let crc: i64 = row.get(2)?;
        Ok((crc == tick.crc()).then_some(tick))
    }

    fn crc(&self) -> i64 {
        Crc::default()
            .number(self.seq)
            .number(self.at)
            .bytes(self.body.as_bytes())
            .value()
    }
}

/// A block without its chunks.
#[derive(Clone, Debug)]
pub(super) struct BlockRow {
    /// Number of its first tick.
    pub(super) id: i64,
    pub(super) last_seq: i64,
    /// When each tick was, never going back. Not empty.
    pub(super) times: Vec<i64>,
}

impl BlockRow {
    pub(super) fn insert(&self, database: &Connection) -> rusqlite::Result<()> {
        let times = times::encode(&self.times);
        let (first, last) = self.ends();
        let crc = Self::crc([self.id, self.last_seq, self.n(), first, last], &times);
        let mut insert = database.prepare_cached(
            "INSERT INTO block (id, last_seq, n, first_at, last_at, crc, times)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?;
        let n = self.n();
        insert.execute(params![self.id, self.last_seq, n, first, last, crc, times])?;
        Ok(())
    }

    /// Reads a row of `id, last_seq, n, first_at, last_at, crc, times`; `None` if it is damaged.
    pub(super) fn read(row: &Row<'_>) -> rusqlite::Result<Option<Self>> {
        let mut numbers = [0_i64; 5];
        for (column, number) in numbers.iter_mut().enumerate() {
            *number = row.get(column)?;
        }
        let crc: i64 = row.get(5)?;
        let bytes = row.get_ref(6)?.as_blob().unwrap_or_default();
        let [id, last_seq, n, _, _] = numbers;
        let is_sound = crc == Self::crc(numbers, bytes)
            && (1..=i64::from(super::MAX_BLOCK_TICKS)).contains(&n);
        let times = is_sound.then(|| times::decode(bytes, n as usize)).flatten();
        Ok(times.map(|times| Self {
            id,
            last_seq,
            times,
        }))
    }

    fn n(&self) -> i64 {
        self.times.len() as i64
    }

    /// The first and the last time.
    pub(super) fn ends(&self) -> (i64, i64) {
        let (first, last) = (self.times.first(), self.times.last());
        (first.copied().unwrap_or(0), last.copied().unwrap_or(0))
    }

    fn crc(numbers: [i64; 5], times: &[u8]) -> i64 {
        numbers
            .into_iter()
            .fold(Crc::default(), Crc::number)
            .bytes(times)
            .value()
    }
}

/// What stands before the values of a chunk.
#[derive(Clone, Copy, Debug)]
pub(super) struct Header {
    pub(super) summary: Summary,
    pub(super) first_at: i64,
    pub(super) last_at: i64,
}

impl Header {
    pub(super) fn insert(
        &self,
        database: &Connection,
        key: i64,
        data: &[u8],
    ) -> rusqlite::Result<()> {
        let mut insert = database.prepare_cached(
            "INSERT INTO chunk (key, n, min, max, sum, last, first_at, last_at, crc, data)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
        )?;
        let Summary {
            n,
            min,
            max,
            sum,
            last,
        } = self.summary;
        let n = n.cast_signed();
        let (first, until) = (self.first_at, self.last_at);
        insert.execute(params![
            key,
            n,
            min,
            max,
            sum,
            last,
            first,
            until,
            self.crc(key, data),
            data
        ])?;
        Ok(())
    }

    /// The chunk of this key, if there is one: its header, and its values if `wanted` says so.
    pub(super) fn find(
        database: &Connection,
        key: i64,
        ticks: usize,
        wanted: impl FnOnce(&Self) -> bool,
    ) -> rusqlite::Result<Found> {
        let mut find = database.prepare_cached(
            "SELECT n, min, max, sum, last, first_at, last_at, crc, data FROM chunk WHERE key = ?1",
        )?;
        let mut rows = find.query([key])?;
        let Some(row) = rows.next()? else {
            return Ok(Found::Nothing);
        };
        let header = Self {
            summary: read_summary(row, 0)?,
            first_at: row.get(5)?,
            last_at: row.get(6)?,
        };
        let crc: i64 = row.get(7)?;
        let data = row.get_ref(8)?.as_blob().unwrap_or_default();
        if crc != header.crc(key, data) {
            return Ok(Found::Damaged);
        }
        if !wanted(&header) {
            return Ok(Found::Header(header));
        }
        let chunk = chunk::decode(data, ticks);
        Ok(chunk.map_or(Found::Damaged, Found::Chunk))
    }

    fn crc(&self, key: i64, data: &[u8]) -> i64 {
        Crc::default()
            .number(key)
            .summary(&self.summary)
            .number(self.first_at)
            .number(self.last_at)
            .bytes(data)
            .value()
    }
}

/// What there is under the key of a chunk.
#[derive(Debug)]
pub(super) enum Found {
    Nothing,
    Damaged,
    /// Nobody wanted the values.
    Header(Header),
    Chunk(Chunk),
}

/// `n, min, max, sum, last`, from this column on.
fn read_summary(row: &Row<'_>, column: usize) -> rusqlite::Result<Summary> {
    let n: i64 = row.get(column)?;
    Ok(Summary {
        n: n.cast_unsigned(),
        min: row.get(column + 1)?,
        max: row.get(column + 2)?,
        sum: row.get(column + 3)?,
        last: row.get(column + 4)?,
    })
}

/// One series over a minute or an hour.
#[derive(Clone, Debug)]
pub(super) struct RollupRow {
    pub(super) summary: Summary,
    /// Of a histogram.
    pub(super) buckets: Option<Buckets>,
}

/// Which of the two tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Table {
    Minute,
    Hour,
}

impl RollupRow {
    /// Adds what was written later.
    pub(super) fn add(&mut self, later: &Self) {
        self.summary.add(&later.summary);
        match (&mut self.buckets, &later.buckets) {
            (Some(mine), Some(later)) => {
                // Of other precision: what is newer counts.
                if mine.merge(later).is_err() {
                    mine.clone_from(later);
                }
            }
            (mine @ None, Some(later)) => *mine = Some(later.clone()),
            (_, None) => {}
        }
    }

    /// Adds it to what is under this key.
    pub(super) fn put(
        &self,
        database: &Connection,
        table: Table,
        key: i64,
    ) -> rusqlite::Result<()> {
        let find = match table {
            Table::Minute => {
                "SELECT key, n, min, max, sum, last, crc, buckets FROM minute WHERE key = ?1"
            }
            Table::Hour => {
                "SELECT key, n, min, max, sum, last, crc, buckets FROM hour WHERE key = ?1"
            }
        };
        let mut find = database.prepare_cached(find)?;
        let before = find.query_row([key], Self::read).optional()?;
        match before {
            // What is damaged gives way.
            Some(Some((_, mut before))) => {
                before.add(self);
                before.insert(database, table, key)
            }
            _ => self.insert(database, table, key),
        }
    }

    /// Writes it where nothing is that should be added to.
    pub(super) fn insert(
        &self,
        database: &Connection,
        table: Table,
        key: i64,
    ) -> rusqlite::Result<()> {
        let mut put = database.prepare_cached(match table {
            Table::Minute => {
                "INSERT OR REPLACE INTO minute (key, n, min, max, sum, last, crc, buckets)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)"
            }
            Table::Hour => {
                "INSERT OR REPLACE INTO hour (key, n, min, max, sum, last, crc, buckets)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)"
            }
        })?;
        let buckets = self.buckets.as_ref().map(|buckets| {
            let mut text = String::new();
            tick::push_buckets(&mut text, buckets);
            text
        });
        let crc = Self::crc(key, &self.summary, buckets.as_deref());
        let Summary {
            n,
            min,
            max,
            sum,
            last,
        } = self.summary;
        put.execute(params![
            key,
            n.cast_signed(),
            min,
            max,
            sum,
            last,
            crc,
            buckets
        ])?;
        Ok(())
    }

    /// Reads a row of `key, n, min, max, sum, last, crc, buckets`: its key, and the rest; `None` if it is damaged.
    pub(super) fn read(row: &Row<'_>) -> rusqlite::Result<Option<(i64, Self)>> {
        let key: i64 = row.get(0)?;
        let summary = read_summary(row, 1)?;
        let crc: i64 = row.get(6)?;
        let text = row.get_ref(7)?.as_str_or_null().ok().flatten();
        if crc != Self::crc(key, &summary, text) || summary.n == 0 {
            return Ok(None);
        }
        let buckets = match text.map(tick::read_buckets) {
            None => None,
            Some(Some(buckets)) => Some(buckets),
            Some(None) => return Ok(None),
        };
        Ok(Some((key, Self { summary, buckets })))
    }

    fn crc(key: i64, summary: &Summary, buckets: Option<&str>) -> i64 {
        let crc = Crc::default().number(key).summary(summary);
        crc.bytes(buckets.unwrap_or_default().as_bytes()).value()
    }
}
