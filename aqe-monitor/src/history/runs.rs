//! Runs: what was measured from when to when, of which version, and what it came to.

use std::ops::Range;

use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::error::HistoryError;
use super::reader::HistoryReader;
use super::series::{check_length, check_name, labels_from_json, labels_to_json, sorted_labels};
use super::time::Timestamp;
use super::writer::History;

/// Number of a run in its history.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunId(pub(super) i64);

impl RunId {
    /// The number, as in column `id` of the view `runs`.
    #[must_use]
    pub fn number(self) -> u64 {
        self.0.cast_unsigned()
    }
}

/// A run as it is in a history.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Run {
    /// Its number; later ones have larger ones.
    pub id: RunId,
    /// What ran.
    pub name: String,
    /// In which version: a tag or a commit; may be empty.
    pub version: String,
    /// Name and value of each label, by name.
    pub labels: Vec<(String, String)>,
    /// When it began.
    pub started: Timestamp,
    /// When it ended. `None` if it has not, or its process has not lived to say so.
    pub ended: Option<Timestamp>,
}

/// One number that a run came to.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct RunResult {
    /// The run.
    pub run: Run,
    /// The number.
    pub value: f64,
}

/// How many results a run may have.
const MAX_RESULTS: usize = 10_000;

impl History {
    /// Notes that a run begins. Beyond [`max_runs`](super::HistoryConfig::max_runs), the oldest is forgotten; so it is if runs and their
    /// results take more than an eighth of [`max_bytes`](super::HistoryConfig::max_bytes).
    ///
    /// # Errors
    ///
    /// [`TooMuch`](HistoryError::TooMuch) and [`NoName`](HistoryError::NoName) as for series, and what SQLite says.
    pub fn begin_run(
        &mut self,
        name: &str,
        version: &str,
        labels: &[(&str, &str)],
        now: Timestamp,
    ) -> Result<RunId, HistoryError> {
        check_name("a run", name)?;
        check_length("bytes of a version", version.len(), 256)?;
        let labels = labels_to_json(&sorted_labels(labels)?);
        let kept = self.config().max_runs;
        let room = self.config().max_bytes / 8;
        self.guard(|database| {
            let change = database.unchecked_transaction()?;
            change.execute(
                "INSERT INTO run (name, version, labels, started) VALUES (?1, ?2, ?3, ?4)",
                params![name, version, labels, now.as_millis()],
            )?;
            let id = change.last_insert_rowid();
            let oldest = id - i64::from(kept);
            let oldest = oldest.max(last_beyond(&change, room)?);
            change.execute("DELETE FROM run_result WHERE run <= ?1", [oldest])?;
            change.execute("DELETE FROM run WHERE id <= ?1 AND id < ?2", [oldest, id])?;
            change.commit()?;
            Ok(RunId(id))
        })
    }

    /// Notes what a run has come to, so far or in the end. A name that it has already gets another value.
    ///
    /// # Errors
    ///
    /// [`Unknown`](HistoryError::Unknown) if there is no such run, [`TooMuch`](HistoryError::TooMuch) for more than 10,000 results or a
    /// name that is too long, and what SQLite says. Nothing is noted then. A value that is not finite is left out.
    pub fn run_results(&mut self, run: RunId, results: &[(&str, f64)]) -> Result<(), HistoryError> {
        check_length("results at once", results.len(), MAX_RESULTS)?;
        for (name, _) in results {
            check_name("a result", name)?;
        }
        self.expect_run(run)?;
        let there = self.guard(|database| {
            let change = database.unchecked_transaction()?;
            {
                let mut put = change.prepare_cached(
                    "INSERT OR REPLACE INTO run_result (run, name, value) VALUES (?1, ?2, ?3)",
                )?;
                for &(name, value) in results.iter().filter(|(_, value)| value.is_finite()) {
                    put.execute(params![run.0, name, value])?;
                }
            }
            let there: u32 = change.query_row(
                "SELECT count(*) FROM run_result WHERE run = ?1",
                [run.0],
                |row| row.get(0),
            )?;
            if there as usize <= MAX_RESULTS {
                change.commit()?;
            }
            Ok(there)
        })?;
        check_length("results of a run", there as usize, MAX_RESULTS)
    }

    /// Notes that a run has ended.
    ///
    /// # Errors
    ///
    /// [`Unknown`](HistoryError::Unknown) if there is no such run, and what SQLite says.
    pub fn end_run(&mut self, run: RunId, now: Timestamp) -> Result<(), HistoryError> {
        let changed = self.guard(|database| {
            database.execute(
                "UPDATE run SET ended = ?1 WHERE id = ?2",
                params![now.as_millis(), run.0],
            )
        })?;
        if changed == 0 {
            Err(unknown(run))
        } else {
            Ok(())
        }
    }

    fn expect_run(&self, run: RunId) -> Result<(), HistoryError> {
        let found = self.guard(|database| {
            database
                .query_row("SELECT 1 FROM run WHERE id = ?1", [run.0], |_| Ok(()))
                .optional()
        })?;
        found.ok_or_else(|| unknown(run))
    }
}

/// The newest run that does not fit into so many bytes together with those after it, or zero.
fn last_beyond(database: &Connection, room: u64) -> rusqlite::Result<i64> {
    // A row has some bytes more than its texts: numbers, and lengths.
    let mut sizes = database.prepare_cached(
        "SELECT r.id, 64 + octet_length(r.name) + octet_length(r.version) + octet_length(r.labels)
             + coalesce((SELECT sum(24 + octet_length(v.name)) FROM run_result v WHERE v.run = r.id), 0)
         FROM run r ORDER BY r.id DESC",
    )?;
    let mut rows = sizes.query([])?;
    let mut sum = 0_u64;
    while let Some(row) = rows.next()? {
        sum = sum.saturating_add(row.get::<_, i64>(1)?.cast_unsigned());
        if sum > room {
            return row.get(0);
        }
    }
    Ok(0)
}

fn unknown(run: RunId) -> HistoryError {
    HistoryError::Unknown {
        what: "run",
        number: run.number(),
    }
}

const COLUMNS: usize = 6;

impl HistoryReader {
    /// Runs that have begun in a range of time, the newest first, at most so many.
    ///
    /// # Errors
    ///
    /// What SQLite says.
    pub fn runs(&self, range: Range<Timestamp>, limit: u32) -> Result<Vec<Run>, HistoryError> {
        self.guard(|database| {
            let mut list = database.prepare_cached(
                "SELECT id, name, version, labels, started, ended FROM run
                 WHERE started >= ?1 AND started < ?2 ORDER BY id DESC LIMIT ?3",
            )?;
            let range = params![range.start.as_millis(), range.end.as_millis(), limit];
            let runs = list.query_map(range, read_run)?;
            runs.collect()
        })
    }

    /// What all runs of a name came to, the oldest first: for trends, and with a version for comparisons.
    ///
    /// # Errors
    ///
    /// What SQLite says.
    pub fn results(
        &self,
        run_name: &str,
        version: Option<&str>,
        result: &str,
    ) -> Result<Vec<RunResult>, HistoryError> {
        self.guard(|database| results(database, run_name, version, result))
    }
}

fn results(
    database: &Connection,
    run_name: &str,
    version: Option<&str>,
    result: &str,
) -> rusqlite::Result<Vec<RunResult>> {
    let mut list = database.prepare_cached(
        "SELECT r.id, r.name, r.version, r.labels, r.started, r.ended, v.value
         FROM run r JOIN run_result v ON v.run = r.id AND v.name = ?3
         WHERE r.name = ?1 AND (?2 IS NULL OR r.version = ?2) ORDER BY r.id",
    )?;
    let results = list.query_map(params![run_name, version, result], |row| {
        Ok(RunResult {
            run: read_run(row)?,
            value: row.get(COLUMNS)?,
        })
    })?;
    results.collect()
}

fn read_run(row: &Row<'_>) -> rusqlite::Result<Run> {
    let labels = row.get_ref(3)?.as_str()?;
    Ok(Run {
        id: RunId(row.get(0)?),
        name: row.get(1)?,
        version: row.get(2)?,
        // Labels that somebody else has written in another way are not shown.
        labels: labels_from_json(labels).unwrap_or_default(),
        started: Timestamp::from_millis(row.get(4)?),
        ended: row.get::<_, Option<i64>>(5)?.map(Timestamp::from_millis),
    })
}
