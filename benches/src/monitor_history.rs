//! Area `monitor-history`: two hundred series, one value of each every five seconds, kept on disk and drawn as 500 points.
//!
//! A quarter each are whole counters, percentages with two digits, whole numbers that change now and then, and random bits that
//! nothing can compress. Everybody commits each tick by itself and stays whole when the process is killed; redb, which knows
//! no other way, also waits for the disk.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use aqe_monitor::history::{
    History, HistoryConfig, HistoryReader, Kind, Moment, SeriesId, SeriesKey, Tick, Timestamp,
};
use redb::{Database, ReadableDatabase as _, TableDefinition};
use rusqlite::params;
use xtask::{Failure, Result};

use crate::cli::Request;
use crate::measure::Reading;
use crate::rounds::{Pairing, Scale};

/// The name of this area.
pub const AREA: &str = "monitor-history";

/// A month takes a minute or two.
const LIMIT: Duration = Duration::from_secs(900);

const SERIES: usize = 200;
const START: i64 = 1_700_000_000_000;
const DAY: u64 = 17_280;
const POINTS: usize = 500;

/// Workload, contender, and how to take a sample. Peers get a day: rows are as large after a month.
type Entry = (
    &'static str,
    &'static str,
    fn(Scale) -> Result<Vec<Reading>>,
);

const ENTRIES: &[Entry] = &[
    ("day", crate::report::AQE, |scale| aqe(scale.of(DAY))),
    ("day", "sqlite-rows", |scale| sqlite(scale.of(DAY))),
    ("day", "redb-rows", |scale| redb(scale.of(DAY))),
    ("month", crate::report::AQE, |scale| aqe(scale.of(30 * DAY))),
];

/// The pairings that were asked for.
#[must_use]
pub fn pairings(request: &Request) -> Vec<Pairing> {
    let wanted = ENTRIES
        .iter()
        .filter(|(workload, contender, _)| request.wants(workload, contender));
    wanted
        .map(|&(workload, contender, _)| Pairing {
            workload: workload.to_owned(),
            contender: contender.to_owned(),
            limit: LIMIT,
        })
        .collect()
}

/// Takes one sample in this process.
///
/// # Errors
///
/// When a name is unknown, or when what is drawn is not what was written.
pub fn sample(workload: &str, contender: &str, scale: Scale) -> Result<Vec<Reading>> {
    let entry = ENTRIES
        .iter()
        .find(|entry| (entry.0, entry.1) == (workload, contender));
    let Some((_, _, sample)) = entry else {
        let what = format!("there is no history workload `{workload}` with `{contender}`");
        return Err(Failure::new(what));
    };
    sample(scale)
}

/// What is measured, tick by tick.
struct Source {
    random: fastrand::Rng,
    values: Vec<f64>,
}

impl Source {
    fn new() -> Self {
        let (random, values) = (fastrand::Rng::with_seed(7), vec![0.0; SERIES]);
        Self { random, values }
    }

    fn next(&mut self) -> &[f64] {
        for (series, value) in self.values.iter_mut().enumerate() {
            *value = match series % 4 {
                0 => *value + f64::from(self.random.u32(0..50)),
                1 => {
                    let step = f64::from(self.random.i32(-100..=100)) / 100.0;
                    ((*value + step).clamp(0.0, 100.0) * 100.0).round() / 100.0
                }
                2 if self.random.u32(0..50) > 0 => *value,
                2 => f64::from(self.random.u32(0..64)),
                _ => 1e-3 * (0.5 + self.random.f64() / (1.01 - self.random.f64())),
            };
        }
        &self.values
    }

    /// When a tick is: every five seconds, and a few milliseconds late.
    fn time(&mut self, tick: u64) -> i64 {
        START + tick.cast_signed() * 5000 + self.random.i64(0..4)
    }
}

/// Writes all ticks; gives how long each took, and the sum of series 1.
fn write(ticks: u64, mut commit: impl FnMut(i64, &[f64]) -> Result<()>) -> Result<(Times, f64)> {
    let mut source = Source::new();
    let (mut times, mut sum) = (Vec::new(), 0.0);
    for tick in 0..ticks {
        let at = source.time(tick);
        let values = source.next();
        sum += values[1];
        let begin = Instant::now();
        commit(at, values)?;
        times.push(begin.elapsed());
    }
    times.sort_unstable();
    Ok((Times(times), sum))
}

/// How long each tick took, ascending.
struct Times(Vec<Duration>);

impl Times {
    fn readings(&self, folder: &Path) -> Result<Vec<Reading>> {
        let at = |share: f64| {
            let place = (share * (self.0.len() - 1) as f64) as usize;
            self.0[place].as_secs_f64() * 1e6
        };
        let mut bytes = 0;
        for file in std::fs::read_dir(folder).map_err(failed)? {
            bytes += file.map_err(failed)?.metadata().map_err(failed)?.len();
        }
        let samples = self.0.len() * SERIES;
        Ok(vec![
            Reading::new("size", "B/sample", bytes as f64 / samples as f64),
            Reading::new("commit-p50", "us", at(0.5)),
            Reading::new("commit-p99", "us", at(0.99)),
            Reading::new("commit-worst", "us", at(1.0)),
        ])
    }
}

/// The median time of drawing one series, over ten of them; `draw` gives how many samples its points stand for.
fn draw(
    ticks: u64,
    metric: &str,
    mut draw: impl FnMut(usize) -> Result<(u64, f64)>,
    sum: f64,
) -> Result<Reading> {
    let mut times = Vec::new();
    for series in (1..SERIES).step_by(SERIES / 10) {
        let begin = Instant::now();
        let (n, found) = draw(series)?;
        times.push(begin.elapsed());
        if n != ticks || (series == 1 && (found - sum).abs() > 1e-6 * sum) {
            let what =
                format!("{n} samples of {ticks} were drawn, with the sum {found}, not {sum}");
            return Err(Failure::new(what));
        }
    }
    times.sort_unstable();
    let median = times[times.len() / 2].as_secs_f64() * 1e3;
    Ok(Reading::new(metric, "ms", median))
}

fn aqe(ticks: u64) -> Result<Vec<Reading>> {
    let folder = tempfile::tempdir().map_err(failed)?;
    let path = folder.path().join("history");
    let config = HistoryConfig::default();
    let mut history = History::open(&path, config).map_err(failed)?;
    let mut ids: Vec<SeriesId> = Vec::new();
    for series in 0..SERIES {
        let key = SeriesKey::new(&format!("m{series}"), &[("host", "a")]).map_err(failed)?;
        ids.push(history.series(&key, Kind::Gauge, "").map_err(failed)?);
    }
    let (steady, mut tick) = (Instant::now(), Tick::new());
    let (times, sum) = write(ticks, |at, values| {
        tick.clear();
        for (&series, &value) in ids.iter().zip(values) {
            tick.set(series, value);
        }
        let moment = Moment {
            wall: Timestamp::from_millis(at),
            steady: steady + Duration::from_millis(at.abs_diff(START)),
        };
        history.append(moment, &mut tick).map_err(failed)?;
        Ok(())
    })?;
    drop(history);
    let mut readings = times.readings(folder.path())?;
    let reader = HistoryReader::open(&path).map_err(failed)?;
    let ever =
        Timestamp::from_millis(START)..Timestamp::from_millis(START + ticks.cast_signed() * 5000);
    type Answer =
        std::result::Result<aqe_monitor::history::Points, aqe_monitor::history::HistoryError>;
    let sum_up = |answer: Answer| {
        let points = answer.map_err(failed)?.points;
        let of = |n: u64, sum: f64| (n, sum);
        Ok(points.iter().fold(of(0, 0.0), |(n, sum), point| {
            (n + point.summary.n, sum + point.summary.sum)
        }))
    };
    let exact = |series: usize| sum_up(reader.points(ids[series], ever.clone(), POINTS));
    readings.push(draw(ticks, "draw", exact, sum)?);
    let rolled =
        |series: usize| sum_up(reader.points_from_rollups(ids[series], ever.clone(), POINTS));
    readings.push(draw(ticks, "draw-rollups", rolled, sum)?);
    Ok(readings)
}

fn sqlite(ticks: u64) -> Result<Vec<Reading>> {
    let folder = tempfile::tempdir().map_err(failed)?;
    let database = rusqlite::Connection::open(folder.path().join("rows")).map_err(failed)?;
    database
        .execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;
             CREATE TABLE sample (series INTEGER, at INTEGER, value REAL, PRIMARY KEY (series, at)) WITHOUT ROWID;",
        )
        .map_err(failed)?;
    let (times, sum) = write(ticks, |at, values| {
        let change = database.unchecked_transaction().map_err(failed)?;
        {
            let mut insert = change
                .prepare_cached("INSERT INTO sample VALUES (?1, ?2, ?3)")
                .map_err(failed)?;
            for (series, value) in values.iter().enumerate() {
                insert
                    .execute(params![series as i64, at, value])
                    .map_err(failed)?;
            }
        }
        change.commit().map_err(failed)
    })?;
    database
        .execute_batch("PRAGMA wal_checkpoint(TRUNCATE)")
        .map_err(failed)?;
    let mut readings = times.readings(folder.path())?;
    let width = ticks.cast_signed() * 5000 / POINTS as i64 + 1;
    let read = |series: usize| {
        let mut points = database
            .prepare_cached(
                "SELECT (at - ?2) / ?3, count(*), min(value), max(value), sum(value) FROM sample
                 WHERE series = ?1 GROUP BY 1",
            )
            .map_err(failed)?;
        let mut rows = points
            .query(params![series as i64, START, width])
            .map_err(failed)?;
        let (mut n, mut sum) = (0, 0.0);
        while let Some(row) = rows.next().map_err(failed)? {
            n += row.get::<_, u32>(1).map_err(failed)?;
            sum += row.get::<_, f64>(4).map_err(failed)?;
        }
        Ok((u64::from(n), sum))
    };
    readings.push(draw(ticks, "draw", read, sum)?);
    Ok(readings)
}

const ROWS: TableDefinition<'_, (u32, i64), f64> = TableDefinition::new("rows");

fn redb(ticks: u64) -> Result<Vec<Reading>> {
    let folder = tempfile::tempdir().map_err(failed)?;
    let database = Database::create(folder.path().join("rows")).map_err(failed)?;
    let (times, sum) = write(ticks, |at, values| {
        let change = database.begin_write().map_err(failed)?;
        {
            let mut rows = change.open_table(ROWS).map_err(failed)?;
            for (series, value) in (0_u32..).zip(values) {
                rows.insert((series, at), value).map_err(failed)?;
            }
        }
        change.commit().map_err(failed)
    })?;
    let mut readings = times.readings(folder.path())?;
    let width = ticks.cast_signed() * 5000 / POINTS as i64 + 1;
    let view = database.begin_read().map_err(failed)?;
    let rows = view.open_table(ROWS).map_err(failed)?;
    let read = |series: usize| {
        let series = series as u32;
        let mut points: BTreeMap<i64, (u64, f64, f64, f64)> = BTreeMap::new();
        for row in rows.range((series, 0)..(series + 1, 0)).map_err(failed)? {
            let (key, value) = row.map_err(failed)?;
            let value = value.value();
            let cell = (key.value().1 - START) / width;
            let point = points.entry(cell).or_insert((0, value, value, 0.0));
            *point = (
                point.0 + 1,
                point.1.min(value),
                point.2.max(value),
                point.3 + value,
            );
        }
        let sums = points.values().map(|point| (point.0, point.3));
        Ok(sums.fold((0, 0.0), |(n, sum), (more, other)| (n + more, sum + other)))
    };
    readings.push(draw(ticks, "draw", read, sum)?);
    Ok(readings)
}

/// Any error as a failed sample.
fn failed(error: impl std::fmt::Display) -> Failure {
    Failure::new(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_draws_what_was_written() {
        for contender in [aqe, sqlite, redb] {
            let readings = contender(100).unwrap();
            assert!(
                readings.iter().all(|reading| reading.value > 0.0),
                "{readings:?}"
            );
        }
    }
}
