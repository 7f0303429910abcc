//! Those who read.

use std::ops::Range;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, Transaction};

use super::chunk::Values;
use super::error::HistoryError;
use super::file;
use super::range::Point;
use super::rows::{BlockRow, Found, Header, RollupRow, TickRow};
use super::schema::{HOUR_BITS, hour_key, key};
use super::seal::by_period;
use super::series::{SeriesId, SeriesInfo};
use super::tick::{Lookup, Value};
use super::time::Timestamp;
use super::writer::read_series;

/// Reads a history, while somebody writes it or not. Any number of readers do, in any process; each has one for itself.
///
/// Every call sees the history as it was at one moment, and blocks its thread for as long as the disk takes.
#[derive(Debug)]
pub struct HistoryReader {
    pub(super) path: PathBuf,
    pub(super) database: Connection,
}

/// A single value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample {
    /// When it was.
    pub at: Timestamp,
    /// What it was; of a histogram, how many values were observed.
    pub value: f64,
}

/// Single values, and what could not be read.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Samples {
    /// By time; those of the same time as they were written.
    pub samples: Vec<Sample>,
    /// How many rows of the file were damaged: a tick each, or the values of a block.
    pub damaged: u64,
    /// There are more; these are the earliest of those that were written first.
    pub is_cut: bool,
}

/// How long one rollup is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Resolution {
    /// Sixty seconds, beginning with a full minute in UTC.
    Minute,
    /// Sixty minutes, beginning with a full hour in UTC.
    Hour,
}

impl Resolution {
    pub(super) fn millis(self) -> i64 {
        match self {
            Self::Minute => 60_000,
            Self::Hour => 3_600_000,
        }
    }
}

/// Part of a series, as it comes by.
pub(super) enum Piece<'a> {
    /// A chunk of which nobody wanted the values.
    Header(&'a Header),
    /// Values, with a time each; times do not go back within a piece.
    Values(&'a [i64], &'a Values),
}

impl HistoryReader {
    /// Opens the history in this file.
    ///
    /// If a writer sets the file aside later, this reader stays with it: programs that read for days open the history again now and then.
    /// Reading needs the right to write into the folder while nobody writes the history, since SQLite makes its log there.
    ///
    /// # Errors
    ///
    /// [`Missing`](HistoryError::Missing), [`Damaged`](HistoryError::Damaged), [`Newer`](HistoryError::Newer),
    /// [`Foreign`](HistoryError::Foreign), and what SQLite says.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, HistoryError> {
        let path = file::real_path(path.as_ref());
        let database = file::open_to_read(&path)?;
        Ok(Self { path, database })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// All series, by number; those whose rows are damaged are left out.
    ///
    /// # Errors
    ///
    /// What SQLite says.
    pub fn series(&self) -> Result<Vec<SeriesInfo>, HistoryError> {
        self.guard(|database| Ok(read_series(database)?.into_iter().flatten().collect()))
    }

    /// The series with this name, whatever their labels.
    ///
    /// # Errors
    ///
    /// What SQLite says.
    pub fn series_named(&self, name: &str) -> Result<Vec<SeriesInfo>, HistoryError> {
        let mut series = self.series()?;
        series.retain(|info| info.key.name() == name);
        Ok(series)
    }

    /// Single values of a range of time, at most so many.
    ///
    /// # Errors
    ///
    /// What SQLite says.
    pub fn samples(
        &self,
        series: SeriesId,
        range: Range<Timestamp>,
        limit: usize,
    ) -> Result<Samples, HistoryError> {
        let mut answer = Samples::default();
        answer.damaged = self.visit(
            series,
            &range,
            |_| true,
            |piece| {
                if let Piece::Values(times, values) = piece {
                    let numbers = numbers(values);
                    for (&at, value) in times.iter().zip(numbers) {
                        if answer.samples.len() >= limit {
                            answer.is_cut = true;
                            return;
                        }
                        let at = Timestamp::from_millis(at);
                        if range.contains(&at) {
                            answer.samples.push(Sample { at, value });
                        }
                    }
                }
            },
        )?;
        answer.samples.sort_by_key(|sample| sample.at);
        Ok(answer)
    }

    /// The value that was written last, if there is any.
    ///
    /// # Errors
    ///
    /// What SQLite says.
    pub fn latest(&self, series: SeriesId) -> Result<Option<Sample>, HistoryError> {
        self.guard(|database| {
            let view = database.unchecked_transaction()?;
            match latest_tick(&view, series)? {
                Some(sample) => Ok(Some(sample)),
                None => latest_chunk(&view, series),
            }
        })
    }

    /// Rollups of a series, by time: of each minute or hour that begins in the range, up to the last tick. Minutes are kept for two
    /// days; [`points`](Self::points) makes them of any time.
    ///
    /// # Errors
    ///
    /// What SQLite says.
    pub fn rollups(
        &self,
        series: SeriesId,
        range: Range<Timestamp>,
        resolution: Resolution,
    ) -> Result<(Vec<Point>, u64), HistoryError> {
        let (rows, damaged) = self.rollup_rows(series, &range, resolution)?;
        let millis = resolution.millis();
        let point = |(period, row): (i64, RollupRow)| Point {
            start: Timestamp::from_millis(period * millis),
            summary: row.summary,
        };
        Ok((rows.into_iter().map(point).collect(), damaged))
    }

    /// Number and contents of each period that begins in the range, and how many rows were damaged.
    pub(super) fn rollup_rows(
        &self,
        series: SeriesId,
        range: &Range<Timestamp>,
        resolution: Resolution,
    ) -> Result<(Vec<(i64, RollupRow)>, u64), HistoryError> {
        let millis = resolution.millis();
        let up = |time: Timestamp| (time.as_millis() + millis - 1) / millis;
        let (from, to) = (up(range.start), up(range.end));
        self.guard(|database| {
            let view = database.unchecked_transaction()?;
            let (mut rows, mut damaged) = match resolution {
                Resolution::Minute => sealed_minutes(&view, series, from, to)?,
                Resolution::Hour => sealed_hours(&view, series, from, to)?,
            };
            let whole = Timestamp::from_millis(from * millis)..Timestamp::from_millis(to * millis);
            damaged += visit_ticks(&view, series, &whole, &mut |piece| {
                let Piece::Values(times, values) = piece else {
                    return;
                };
                for (period, later) in by_period(times, values, millis) {
                    // Ticks come after what is sealed, and mostly belong to the end.
                    match rows.binary_search_by_key(&period, |&(period, _)| period) {
                        Ok(at) => rows[at].1.add(&later),
                        Err(at) => rows.insert(at, (period, later)),
                    }
                }
            })?;
            Ok((rows, damaged))
        })
    }

    /// Shows all of a series that may be in the range: sealed blocks in the order in which they were written, then ticks. Chunks
    /// whose header is enough are not decoded. Says how many rows were damaged.
    pub(super) fn visit(
        &self,
        series: SeriesId,
        range: &Range<Timestamp>,
        wanted: impl Fn(&Header) -> bool,
        mut each: impl FnMut(Piece<'_>),
    ) -> Result<u64, HistoryError> {
        self.guard(|database| {
            let view = database.unchecked_transaction()?;
            let damaged = visit_blocks(&view, series, range, wanted, &mut each)?;
            Ok(damaged + visit_ticks(&view, series, range, &mut each)?)
        })
    }

    pub(super) fn guard<T>(
        &self,
        call: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, HistoryError> {
        call(&self.database).map_err(|source| HistoryError::of(&self.path, source))
    }
}

/// Values as numbers; of a histogram, how many were observed.
pub(super) fn numbers(values: &Values) -> Box<dyn Iterator<Item = f64> + '_> {
    match values {
        Values::Numbers(values) => Box::new(values.iter().copied()),
        Values::Buckets(values) => Box::new(values.iter().map(|buckets| buckets.count() as f64)),
    }
}

fn visit_blocks(
    view: &Transaction<'_>,
    series: SeriesId,
    range: &Range<Timestamp>,
    wanted: impl Fn(&Header) -> bool,
    each: &mut impl FnMut(Piece<'_>),
) -> rusqlite::Result<u64> {
    let mut blocks = view.prepare_cached(
        "SELECT id, last_seq, n, first_at, last_at, crc, times FROM block
         WHERE last_at >= ?1 AND first_at < ?2 ORDER BY id",
    )?;
    let mut rows = blocks.query([range.start.as_millis(), range.end.as_millis()])?;
    let (mut damaged, mut times) = (0, Vec::new());
    while let Some(row) = rows.next()? {
        let Some(block) = BlockRow::read(row)? else {
            damaged += 1;
            continue;
        };
        let key = key(block.id, series.0);
        match Header::find(view, key, block.times.len(), &wanted)? {
            Found::Nothing => {}
            Found::Damaged => damaged += 1,
            Found::Header(header) => each(Piece::Header(&header)),
            Found::Chunk(chunk) => match &chunk.ticks {
                None => each(Piece::Values(&block.times, &chunk.values)),
                Some(ticks) => {
                    times.clear();
                    // Its map has no more ticks than the block.
                    times.extend(ticks.iter().map(|&tick| block.times[tick as usize]));
                    each(Piece::Values(&times, &chunk.values));
                }
            },
        }
    }
    Ok(damaged)
}

fn visit_ticks(
    view: &Transaction<'_>,
    series: SeriesId,
    range: &Range<Timestamp>,
    each: &mut impl FnMut(Piece<'_>),
) -> rusqlite::Result<u64> {
    let mut ticks = view.prepare_cached(
        "SELECT seq, at, crc, body FROM tick WHERE at >= ?1 AND at < ?2 ORDER BY seq",
    )?;
    let mut rows = ticks.query([range.start.as_millis(), range.end.as_millis()])?;
    let lookup = Lookup::new(series);
    let mut damaged = 0;
    let (mut times, mut values) = (Vec::new(), Values::Numbers(Vec::new()));
    while let Some(row) = rows.next()? {
        let Some(tick) = TickRow::read(row)? else {
            damaged += 1;
            continue;
        };
        let Some(value) = lookup.find(tick.body) else {
            continue;
        };
        if times.last().is_some_and(|&last| tick.at < last) {
            each(Piece::Values(&times, &values));
            times.clear();
            values = Values::Numbers(Vec::new());
        }
        match (&mut values, value) {
            (Values::Numbers(values), Value::Number(value)) => values.push(value),
            (Values::Buckets(values), Value::Buckets(value)) => values.push(value),
            (values, Value::Buckets(value)) if values.len() == 0 => {
                *values = Values::Buckets(vec![value]);
            }
            _ => {
                damaged += 1;
                continue;
            }
        }
        times.push(tick.at);
    }
    each(Piece::Values(&times, &values));
    Ok(damaged)
}

fn latest_tick(view: &Transaction<'_>, series: SeriesId) -> rusqlite::Result<Option<Sample>> {
    let mut ticks = view.prepare_cached("SELECT seq, at, crc, body FROM tick ORDER BY seq DESC")?;
    let mut rows = ticks.query([])?;
    let lookup = Lookup::new(series);
    while let Some(row) = rows.next()? {
        let Some(tick) = TickRow::read(row)? else {
            continue;
        };
        let value = match lookup.find(tick.body) {
            Some(Value::Number(value)) => value,
            Some(Value::Buckets(buckets)) => buckets.count() as f64,
            None => continue,
        };
        let at = Timestamp::from_millis(tick.at);
        return Ok(Some(Sample { at, value }));
    }
    Ok(None)
}

fn latest_chunk(view: &Transaction<'_>, series: SeriesId) -> rusqlite::Result<Option<Sample>> {
    let mut blocks = view.prepare_cached("SELECT id FROM block ORDER BY id DESC")?;
    let mut rows = blocks.query([])?;
    while let Some(row) = rows.next()? {
        let key = key(row.get(0)?, series.0);
        if let Found::Header(header) = Header::find(view, key, 0, |_| false)? {
            let at = Timestamp::from_millis(header.last_at);
            let value = header.summary.last;
            return Ok(Some(Sample { at, value }));
        }
    }
    Ok(None)
}

type Rows = (Vec<(i64, RollupRow)>, u64);

/// Keys are by time first, so each minute is looked up. Where there is nothing, the row that is found instead says where the next
/// minute is: no more look-ups than there are minutes, whatever the range and whatever a damaged key claims.
fn sealed_minutes(
    view: &Transaction<'_>,
    series: SeriesId,
    from: i64,
    to: i64,
) -> rusqlite::Result<Rows> {
    let bits = super::schema::SERIES_BITS;
    let mut find = view.prepare_cached(
        "SELECT key, n, min, max, sum, last, crc, buckets FROM minute WHERE key >= ?1 ORDER BY key LIMIT 1",
    )?;
    let mut found = (Vec::new(), 0);
    let mut minute = from;
    while minute < to {
        let wanted = key(minute, series.0);
        let mut rows = find.query([wanted])?;
        let Some(row) = rows.next()? else { break };
        let next: i64 = row.get(0)?;
        if next != wanted {
            let later = next >> bits;
            let has_passed = next & ((1 << bits) - 1) > i64::from(series.0);
            minute = (later + i64::from(has_passed)).max(minute + 1);
            continue;
        }
        match RollupRow::read(row)? {
            Some((_, rollup)) => found.0.push((minute, rollup)),
            None => found.1 += 1,
        }
        minute += 1;
    }
    Ok(found)
}

fn sealed_hours(
    view: &Transaction<'_>,
    series: SeriesId,
    from: i64,
    to: i64,
) -> rusqlite::Result<Rows> {
    let mut find = view.prepare_cached(
        "SELECT key, n, min, max, sum, last, crc, buckets FROM hour WHERE key >= ?1 AND key < ?2 ORDER BY key",
    )?;
    let mut rows = find.query([hour_key(series.0, from), hour_key(series.0, to)])?;
    let mut found = (Vec::new(), 0);
    while let Some(row) = rows.next()? {
        match RollupRow::read(row)? {
            Some((key, rollup)) => found.0.push((key & ((1 << HOUR_BITS) - 1), rollup)),
            None => found.1 += 1,
        }
    }
    Ok(found)
}
