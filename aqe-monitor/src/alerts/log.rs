//! What happened, for whoever asks: another thread, or another process while the alerter runs.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rusqlite::Row;
use serde::Serialize;

use super::alert::{Alert, Phase};
use super::labels::Labels;
use super::notification::Notification;
use super::silence::Silence;
use super::state::{AlertKey, Transition};
use super::store::{Db, StoreError, away, damage, int, parse, phase};

/// Reads an alerter's file and changes nothing in it.
///
/// # Examples
///
/// ```
/// use aqe_monitor::alerts::{AlertLog, Alerter, AlerterConfig, Observation};
///
/// # let folder = tempfile::tempdir()?;
/// let path = folder.path().join("alerts.sqlite");
/// let alerter = Alerter::open(AlerterConfig::new(&path))?;
/// alerter.observe(&Observation::new("cpuUsage", 97.0));
/// alerter.tick()?;
/// let last = AlertLog::open(&path)?.transitions(1)?;
/// assert_eq!(last[0].to.as_str(), "pending");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct AlertLog {
    db: Db,
}

/// An alert as it was stored last.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct StoredAlert {
    /// Which alert.
    pub key: AlertKey,
    /// The phase.
    pub phase: Phase,
    /// Whether it fires, or fired when values stopped coming.
    pub on: bool,
    /// The value at the last change.
    pub value: Option<f64>,
    /// How often it has fired in all.
    pub fired_total: u64,
    /// Whether it comes and goes so often that single messages stopped.
    pub flapping: bool,
}

/// A silence in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ActiveSilence {
    /// The silence.
    pub silence: Silence,
    /// For how long it goes on.
    pub remaining: Duration,
}

impl ActiveSilence {
    /// `silence` when the alerter's clock says `now`; `None` when it is over.
    pub(crate) fn at(silence: Silence, now: Duration) -> Option<Self> {
        let remaining = silence
            .until
            .checked_sub(now)
            .filter(|left| !left.is_zero())?;
        Some(Self { silence, remaining })
    }
}

/// Where a message to one receiver stands.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Letter {
    /// The receiver.
    pub receiver: String,
    /// `queued`, `delivered` or `dead`.
    pub state: String,
    /// Attempts so far.
    pub attempts: u32,
    /// The message.
    pub notification: Notification,
}

/// An attempt to deliver.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Attempt {
    /// Wall-clock time, milliseconds since 1970.
    pub at_ms: u64,
    /// The number of the message.
    pub sequence: u64,
    /// The receiver.
    pub receiver: String,
    /// `delivered`, `failed` (to be tried again), `given up` (after enough attempts), `refused` (it would not work
    /// again) or `dropped` (the outbox was full).
    pub outcome: String,
    /// Why, in our words: nothing a receiver said, and no address.
    pub detail: String,
    /// What the message was about; `None` when it has been removed already.
    pub title: Option<String>,
}

impl AlertLog {
    /// Rows that one call returns at most.
    pub const MAX_ROWS: usize = 100_000;

    /// Opens the file at `path`.
    ///
    /// # Errors
    ///
    /// When there is none, nothing is in it yet, it is not an alert store, a newer program wrote it, or it cannot be
    /// read.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, StoreError> {
        let path: PathBuf = path.into();
        let db = Db::open_to_read(Path::new(&path))?;
        Ok(Self { db })
    }

    /// Alerts as they were stored last, by rule and labels.
    ///
    /// # Errors
    ///
    /// When the file cannot be read.
    pub fn alerts(&self) -> Result<Vec<StoredAlert>, StoreError> {
        self.rows(
            "SELECT rule, labels, state FROM alerts ORDER BY rule, labels LIMIT ?1",
            Self::MAX_ROWS,
            |row| {
                let alert: Alert = json(row, 2)?;
                Ok(StoredAlert {
                    key: AlertKey {
                        rule: row.get(0)?,
                        labels: json::<Labels>(row, 1)?,
                    },
                    phase: alert.phase,
                    on: alert.on,
                    value: alert.value,
                    fired_total: alert.fired_total,
                    flapping: alert.flapping,
                })
            },
        )
    }

    /// Silences that are in force at `wall`, as far as that clock can be believed.
    ///
    /// # Errors
    ///
    /// When the file cannot be read.
    pub fn silences(&self, wall: SystemTime) -> Result<Vec<ActiveSilence>, StoreError> {
        let now = away(&self.db.connection, wall).map_err(self.db.failed("read"))?;
        let all = self.rows(
            "SELECT silence FROM silences ORDER BY id LIMIT ?1",
            Self::MAX_ROWS,
            |row| json::<Silence>(row, 0),
        )?;
        let active = all
            .into_iter()
            .filter_map(|silence| ActiveSilence::at(silence, now));
        Ok(active.collect())
    }

    /// The last `limit` transitions, newest first.
    ///
    /// # Errors
    ///
    /// When the file cannot be read.
    pub fn transitions(&self, limit: usize) -> Result<Vec<Transition>, StoreError> {
        let sql = "SELECT rule, labels, from_phase, to_phase, value, at_ms FROM transitions
             ORDER BY id DESC LIMIT ?1";
        self.rows(sql, limit, |row| {
            Ok(Transition {
                key: AlertKey {
                    rule: row.get(0)?,
                    labels: json::<Labels>(row, 1)?,
                },
                from: phase_in(row, 2)?,
                to: phase_in(row, 3)?,
                value: row.get(4)?,
                at_ms: unsigned(row, 5)?,
            })
        })
    }

    /// The last `limit` attempts to deliver, newest first.
    ///
    /// # Errors
    ///
    /// When the file cannot be read.
    pub fn attempts(&self, limit: usize) -> Result<Vec<Attempt>, StoreError> {
        let sql = "SELECT a.at_ms, a.sequence, a.receiver, a.outcome, a.detail, n.body
             FROM attempts a LEFT JOIN notifications n USING (sequence) ORDER BY a.id DESC LIMIT ?1";
        self.rows(sql, limit, |row| {
            let body: Option<String> = row.get(5)?;
            let notification: Option<Notification> = body.as_deref().map(parse).transpose()?;
            Ok(Attempt {
                at_ms: unsigned(row, 0)?,
                sequence: unsigned(row, 1)?,
                receiver: row.get(2)?,
                outcome: row.get(3)?,
                detail: row.get(4)?,
                title: notification.map(|notification| notification.title()),
            })
        })
    }

    /// The last `limit` messages to each receiver, newest first, and where they stand.
    ///
    /// # Errors
    ///
    /// When the file cannot be read.
    pub fn letters(&self, limit: usize) -> Result<Vec<Letter>, StoreError> {
        let sql =
            "SELECT receiver, state, attempts, body FROM outbox JOIN notifications USING (sequence)
             ORDER BY sequence DESC, receiver LIMIT ?1";
        self.rows(sql, limit, |row| {
            Ok(Letter {
                receiver: row.get(0)?,
                state: row.get(1)?,
                attempts: row.get(2)?,
                notification: json(row, 3)?,
            })
        })
    }

    fn rows<T>(
        &self,
        sql: &str,
        limit: usize,
        read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, StoreError> {
        let limit = int(limit.min(Self::MAX_ROWS) as u64);
        let all = || -> rusqlite::Result<Vec<T>> {
            let mut statement = self.db.connection.prepare_cached(sql)?;
            statement.query_map([limit], read)?.collect()
        };
        all().map_err(self.db.failed("read"))
    }
}

fn json<T: serde::de::DeserializeOwned>(row: &Row<'_>, column: usize) -> rusqlite::Result<T> {
    parse(&row.get::<_, String>(column)?)
}

fn phase_in(row: &Row<'_>, column: usize) -> rusqlite::Result<Phase> {
    let word: String = row.get(column)?;
    phase(&word).ok_or_else(|| damage("a phase that is none"))
}

fn unsigned(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    Ok(u64::try_from(row.get::<_, i64>(column)?).unwrap_or(0))
}
