//! One SQLite file: where alerts stand, what waits for delivery, and what became of it.
//!
//! The state of the alerts and the outbox change in one transaction. A process that is killed leaves a file in
//! which both have happened, or neither; so no message is lost, and none is made twice. What is delivered twice,
//! because the process died between the receiver's answer and our note of it, carries the same idempotency key.
//!
//! Commits are synchronous (`FULL`): they are rare, and they shall survive a loss of power.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rusqlite::{Connection, ErrorCode, OptionalExtension, params};

use super::alert::{Alert, Phase};
use super::labels::Labels;
use super::notification::{Notification, unix_ms};
use super::silence::Silence;
use super::state::{AlertKey, Effects, Now, Restored};

/// A store that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// SQLite refuses.
    #[error("the alert store {path} failed to {action}")]
    Sqlite {
        /// The file.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// Why.
        source: rusqlite::Error,
    },
    /// The file system refuses.
    #[error("cannot {action} {path}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// Why.
        source: std::io::Error,
    },
    /// A newer program wrote it. It is left alone.
    #[error(
        "the alert store {path} has format {found}, this program knows {FORMAT}: use the newer program, or another file"
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: i64,
    },
    /// A database of something else. It is left alone.
    #[error("{path} is a database of another program; choose another file for alerts")]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// Nothing is in it yet: it is being created at this moment, or whoever did was killed.
    #[error("the alert store {path} has nothing in it yet")]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// Another process has it open: two would tell everything twice.
    #[error("the alert store {path} is in use by another process")]
    InUse {
        /// The file.
        path: PathBuf,
    },
}

/// "aqeA": so that `file` and SQLite tools can tell.
const APPLICATION: i64 = 0x6171_6541;
const FORMAT: i64 = 1;

const SCHEMA: &str = "
CREATE TABLE meta (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE alerts (
    rule TEXT NOT NULL, labels TEXT NOT NULL, phase TEXT NOT NULL, state TEXT NOT NULL,
    PRIMARY KEY (rule, labels)
) WITHOUT ROWID;
CREATE TABLE silences (id INTEGER PRIMARY KEY, silence TEXT NOT NULL);
CREATE TABLE transitions (
    id INTEGER PRIMARY KEY AUTOINCREMENT, at_ms INTEGER NOT NULL,
    rule TEXT NOT NULL, labels TEXT NOT NULL,
    from_phase TEXT NOT NULL, to_phase TEXT NOT NULL, value REAL
);
CREATE TABLE notifications (sequence INTEGER PRIMARY KEY, at_ms INTEGER NOT NULL, body TEXT NOT NULL);
CREATE TABLE outbox (
    sequence INTEGER NOT NULL, receiver TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('queued', 'delivered', 'dead')),
    attempts INTEGER NOT NULL DEFAULT 0, due_ms INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (sequence, receiver)
) WITHOUT ROWID;
CREATE INDEX outbox_queued ON outbox (receiver, sequence) WHERE state = 'queued';
CREATE TABLE attempts (
    id INTEGER PRIMARY KEY AUTOINCREMENT, at_ms INTEGER NOT NULL, sequence INTEGER NOT NULL,
    receiver TEXT NOT NULL, outcome TEXT NOT NULL, detail TEXT NOT NULL
);
";

/// How a store was found.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct Opened {
    /// A damaged file was renamed to this, and a new one begun.
    pub set_aside: Option<PathBuf>,
}

/// Who should get messages, as the store needs to know it.
#[derive(Debug, Clone)]
pub(crate) struct Address {
    pub(crate) name: String,
    pub(crate) min_severity: super::rule::Severity,
}

/// The writing end of the store.
#[derive(Debug)]
pub(crate) struct Store {
    pub(crate) db: Db,
    max_records: u64,
    max_queued: u64,
    commits: u64,
    _lock: File,
}

/// A connection with the name of its file, for errors.
#[derive(Debug)]
pub(crate) struct Db {
    pub(crate) connection: Connection,
    pub(crate) path: PathBuf,
}

impl Db {
    pub(crate) fn open(path: &Path) -> Result<Self, StoreError> {
        let failed = |source| StoreError::Sqlite {
            path: path.to_owned(),
            action: "open",
            source,
        };
        let connection = Connection::open(path).map_err(failed)?;
        connection
            .busy_timeout(Duration::from_secs(10))
            .map_err(failed)?;
        Ok(Self {
            connection,
            path: path.to_owned(),
        })
    }

    pub(crate) fn failed(
        &self,
        action: &'static str,
    ) -> impl Fn(rusqlite::Error) -> StoreError + use<> {
        let path = self.path.clone();
        move |source| StoreError::Sqlite {
            path: path.clone(),
            action,
            source,
        }
    }

    /// A connection that writes nothing, for readers of any process.
    pub(crate) fn open_to_read(path: &Path) -> Result<Self, StoreError> {
        let flags =
            rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY | rusqlite::OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let path = path.to_owned();
        let failed = |source| StoreError::Sqlite {
            path: path.clone(),
            action: "open",
            source,
        };
        let connection = Connection::open_with_flags(&path, flags).map_err(failed)?;
        connection
            .busy_timeout(Duration::from_secs(10))
            .map_err(failed)?;
        let db = Self { connection, path };
        match db.marks().map_err(db.failed("read"))? {
            (APPLICATION, FORMAT) => Ok(db),
            (APPLICATION, found) if found > FORMAT => Err(StoreError::Newer {
                path: db.path,
                found,
            }),
            (0, 0) if db.is_empty().map_err(db.failed("read"))? => {
                Err(StoreError::Empty { path: db.path })
            }
            _ => Err(StoreError::Foreign { path: db.path }),
        }
    }

    fn is_empty(&self) -> rusqlite::Result<bool> {
        let count = "SELECT count(*) FROM sqlite_master";
        let tables: i64 = self.connection.query_row(count, [], |row| row.get(0))?;
        Ok(tables == 0)
    }

    /// What the file says of itself: whose it is, and in which format.
    fn marks(&self) -> rusqlite::Result<(i64, i64)> {
        let pragma = |name: &str| {
            self.connection
                .pragma_query_value(None, name, |row| row.get(0))
        };
        Ok((pragma("application_id")?, pragma("user_version")?))
    }

    fn prepare(&self) -> Result<(), StoreError> {
        self.connection
            .execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;")
            .map_err(self.failed("set up"))?;
        self.connection.set_prepared_statement_cache_capacity(32);
        Ok(())
    }

    /// Makes every write fail, as a full disk does.
    #[cfg(test)]
    pub(crate) fn refuse_writes(&self, refuse: bool) {
        self.connection
            .pragma_update(None, "query_only", refuse)
            .unwrap();
    }

    /// The name that idempotency keys begin with; every file has its own.
    pub(crate) fn store_id(&self) -> Result<String, StoreError> {
        self.connection
            .query_row("SELECT value FROM meta WHERE name = 'store'", [], |row| {
                row.get(0)
            })
            .map_err(self.failed("read its name from"))
    }
}

impl Store {
    pub(crate) fn open(
        path: &Path,
        wall: SystemTime,
        max_records: u64,
        max_queued: u64,
    ) -> Result<(Self, Restored, Opened), StoreError> {
        let lock = lock(path)?;
        let mut opened = Opened::default();
        let (db, restored) = match open_and_read(path, wall) {
            Err(StoreError::Sqlite { source, .. }) if is_damage(&source) => {
                opened.set_aside = Some(set_aside(path, wall)?);
                open_and_read(path, wall)?
            }
            other => other?,
        };
        let store = Self {
            db,
            max_records,
            max_queued,
            commits: 0,
            _lock: lock,
        };
        Ok((store, restored, opened))
    }

    /// Another connection to the same file, for the courier.
    pub(crate) fn connect(&self) -> Result<Db, StoreError> {
        let db = Db::open(&self.db.path)?;
        db.prepare()?;
        Ok(db)
    }

    /// Stores all of `effects`, or nothing.
    pub(crate) fn commit(
        &mut self,
        now: Now,
        effects: &Effects,
        receivers: &[Address],
    ) -> Result<(), StoreError> {
        let failed = self.db.failed("write");
        self.write(now, effects, receivers).map_err(failed)?;
        self.commits += 1;
        Ok(())
    }

    /// The name that idempotency keys begin with.
    pub(crate) fn id(&self) -> Result<String, StoreError> {
        self.db.store_id()
    }

    /// Messages that wait for `receivers`.
    pub(crate) fn queued(&self, receivers: &[Address]) -> Result<u64, StoreError> {
        let count = || -> rusqlite::Result<u64> {
            let mut waiting = 0;
            for receiver in receivers {
                waiting += waiting_for(&self.db.connection, &receiver.name)?;
            }
            Ok(u64::try_from(waiting).unwrap_or(0))
        };
        count().map_err(self.db.failed("read"))
    }

    /// Gives the dead letters of `receiver` a new life.
    pub(crate) fn requeue(&self, receiver: &str) -> Result<usize, StoreError> {
        self.db
            .connection
            .execute(
                "UPDATE outbox SET state = 'queued', attempts = 0, due_ms = 0
                 WHERE receiver = ?1 AND state = 'dead'",
                [receiver],
            )
            .map_err(self.db.failed("write"))
    }

    /// Keeps a message that is sent by hand, and its number.
    pub(crate) fn keep_drill(&mut self, drill: &Notification) -> Result<(), StoreError> {
        let failed = self.db.failed("write");
        let mut keep = || {
            let tx = self.db.connection.transaction()?;
            insert(&tx, drill)?;
            tx.commit()
        };
        keep().map_err(failed)
    }

    /// Records what became of it.
    pub(crate) fn note_drill(
        &self,
        now: Now,
        sequence: u64,
        receiver: &str,
        outcome: &str,
        detail: &str,
    ) -> Result<(), StoreError> {
        let (at_ms, sequence) = (int(unix_ms(now.wall)), int(sequence));
        note_attempt(
            &self.db.connection,
            at_ms,
            sequence,
            receiver,
            outcome,
            detail,
        )
        .map_err(self.db.failed("write"))
    }

    fn write(
        &mut self,
        now: Now,
        effects: &Effects,
        receivers: &[Address],
    ) -> rusqlite::Result<()> {
        // Dropping the transaction on an error rolls it back.
        let tx = self
            .db
            .connection
            .transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
        for (key, alert) in &effects.alerts {
            write_alert(&tx, key, alert.as_ref())?;
        }
        if let Some(silences) = &effects.silences {
            tx.execute("DELETE FROM silences", [])?;
            for silence in silences {
                tx.prepare_cached("INSERT INTO silences VALUES (?1, ?2)")?
                    .execute(params![int(silence.id), json(silence)])?;
            }
        }
        for step in &effects.transitions {
            tx.prepare_cached(
                "INSERT INTO transitions (at_ms, rule, labels, from_phase, to_phase, value)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )?
            .execute(params![
                int(step.at_ms),
                step.key.rule,
                json(&step.key.labels),
                step.from.as_str(),
                step.to.as_str(),
                step.value
            ])?;
        }
        for notification in &effects.notifications {
            post(&tx, notification, receivers, self.max_queued)?;
        }
        set_meta(&tx, "clock_ms", millis(now.clock))?;
        set_meta(&tx, "wall_ms", int(unix_ms(now.wall)))?;
        // Each deletion walks the oldest records only, but now and then is often enough.
        if self.commits.is_multiple_of(64) {
            trim(&tx, int(self.max_records))?;
        }
        tx.commit()
    }
}

fn write_alert(db: &Connection, key: &AlertKey, alert: Option<&Alert>) -> rusqlite::Result<()> {
    let labels = json(&key.labels);
    match alert {
        Some(alert) => db
            .prepare_cached("INSERT OR REPLACE INTO alerts VALUES (?1, ?2, ?3, ?4)")?
            .execute(params![key.rule, labels, alert.phase.as_str(), json(alert)])?,
        None => db
            .prepare_cached("DELETE FROM alerts WHERE rule = ?1 AND labels = ?2")?
            .execute(params![key.rule, labels])?,
    };
    Ok(())
}

/// Puts a message into the outbox of each receiver that wants it.
fn post(
    db: &Connection,
    notification: &Notification,
    receivers: &[Address],
    max_queued: u64,
) -> rusqlite::Result<()> {
    let (sequence, at_ms) = (int(notification.sequence), int(notification.at_ms));
    insert(db, notification)?;
    for receiver in receivers {
        if notification.severity < receiver.min_severity || !notification.is_for(&receiver.name) {
            continue;
        }
        let waiting = waiting_for(db, &receiver.name)?;
        let full = waiting >= int(max_queued);
        let state = if full { "dead" } else { "queued" };
        db.prepare_cached("INSERT INTO outbox (sequence, receiver, state) VALUES (?1, ?2, ?3)")?
            .execute(params![sequence, receiver.name, state])?;
        if full {
            note_attempt(
                db,
                at_ms,
                sequence,
                &receiver.name,
                "dropped",
                "the outbox is full",
            )?;
        }
    }
    Ok(())
}

fn insert(db: &Connection, notification: &Notification) -> rusqlite::Result<()> {
    let (sequence, at_ms) = (int(notification.sequence), int(notification.at_ms));
    db.prepare_cached("INSERT INTO notifications VALUES (?1, ?2, ?3)")?
        .execute(params![sequence, at_ms, json(notification)])?;
    set_meta(db, "sequence", sequence)
}

fn waiting_for(db: &Connection, receiver: &str) -> rusqlite::Result<i64> {
    db.prepare_cached("SELECT count(*) FROM outbox WHERE receiver = ?1 AND state = 'queued'")?
        .query_row([receiver], |row| row.get(0))
}

/// Records what became of an attempt to deliver.
pub(crate) fn note_attempt(
    db: &Connection,
    at_ms: i64,
    sequence: i64,
    receiver: &str,
    outcome: &str,
    detail: &str,
) -> rusqlite::Result<()> {
    db.prepare_cached(
        "INSERT INTO attempts (at_ms, sequence, receiver, outcome, detail) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?
    .execute(params![at_ms, sequence, receiver, outcome, detail])?;
    Ok(())
}

/// Removes the oldest records beyond `keep` of each kind; what waits for delivery stays.
pub(crate) fn trim(db: &Connection, keep: i64) -> rusqlite::Result<()> {
    for table in ["transitions", "attempts"] {
        let sql = format!("DELETE FROM {table} WHERE id <= (SELECT max(id) FROM {table}) - ?1");
        db.prepare_cached(&sql)?.execute([keep])?;
    }
    db.prepare_cached(
        "DELETE FROM outbox WHERE state <> 'queued'
         AND sequence <= (SELECT max(sequence) FROM notifications) - ?1",
    )?
    .execute([keep])?;
    db.prepare_cached(
        "DELETE FROM notifications
         WHERE sequence <= (SELECT max(sequence) FROM notifications) - ?1
         AND NOT EXISTS (SELECT 1 FROM outbox WHERE outbox.sequence = notifications.sequence)",
    )?
    .execute([keep])?;
    Ok(())
}

fn open_and_read(path: &Path, wall: SystemTime) -> Result<(Db, Restored), StoreError> {
    // SQLite takes an empty file for a new one, and gives the files beside it the same permissions.
    private().open(path).map_err(|source| StoreError::Io {
        path: path.to_owned(),
        action: "open",
        source,
    })?;
    let mut db = Db::open(path)?;
    let failed = db.failed("read");
    let (application, found) = db.marks().map_err(&failed)?;
    let tables: i64 = db
        .connection
        .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
        .map_err(&failed)?;
    let path = path.to_owned();
    match (application, found, tables) {
        (0, 0, 0) => {
            db.prepare()?;
            create(&mut db).map_err(db.failed("create"))?;
        }
        (APPLICATION, FORMAT, _) => db.prepare()?,
        (APPLICATION, found, _) if found > FORMAT => return Err(StoreError::Newer { path, found }),
        (APPLICATION, ..) => return Err(db.failed("read")(damage("the format is not one"))),
        _ => return Err(StoreError::Foreign { path }),
    }
    let verdict: String = db
        .connection
        .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
        .map_err(&failed)?;
    if verdict != "ok" {
        return Err(failed(damage(&verdict)));
    }
    let restored = read(&db.connection, wall).map_err(&failed)?;
    Ok((db, restored))
}

fn create(db: &mut Db) -> rusqlite::Result<()> {
    let tx = db.connection.transaction()?;
    tx.execute_batch(SCHEMA)?;
    let id = format!("{:016x}{:016x}", fastrand::u64(..), fastrand::u64(..));
    tx.execute("INSERT INTO meta VALUES ('store', ?1)", [id])?;
    tx.pragma_update(None, "application_id", APPLICATION)?;
    tx.pragma_update(None, "user_version", FORMAT)?;
    tx.commit()
}

fn read(db: &Connection, wall: SystemTime) -> rusqlite::Result<Restored> {
    let mut restored = Restored::default();
    let mut alerts: BTreeMap<AlertKey, Alert> = BTreeMap::new();
    let mut rows = db.prepare("SELECT rule, labels, state FROM alerts")?;
    let mut rows = rows.query([])?;
    while let Some(row) = rows.next()? {
        let (labels, state): (String, String) = (row.get(1)?, row.get(2)?);
        let key = AlertKey {
            rule: row.get(0)?,
            labels: parse::<Labels>(&labels)?,
        };
        alerts.insert(key, parse(&state)?);
    }
    restored.alerts = alerts;
    let mut rows = db.prepare("SELECT silence FROM silences ORDER BY id")?;
    let mut rows = rows.query([])?;
    while let Some(row) = rows.next()? {
        restored
            .silences
            .push(parse::<Silence>(&row.get::<_, String>(0)?)?);
    }
    restored.next_sequence = number(db, "sequence")? + 1;
    restored.clock = away(db, wall)?;
    Ok(restored)
}

fn number(db: &Connection, name: &str) -> rusqlite::Result<u64> {
    let found: Option<i64> = db
        .query_row("SELECT value FROM meta WHERE name = ?1", [name], |row| {
            row.get(0)
        })
        .optional()?;
    Ok(u64::try_from(found.unwrap_or(0)).unwrap_or(0))
}

/// What the alerter's clock says at `wall`.
///
/// Time went on while nobody looked, as far as the wall clock can be believed: not back, and not for ages.
pub(crate) fn away(db: &Connection, wall: SystemTime) -> rusqlite::Result<Duration> {
    let away = match number(db, "wall_ms")? {
        0 => 0,
        then => unix_ms(wall).saturating_sub(then).min(MAX_AWAY_MS),
    };
    let clock = number(db, "clock_ms")?.min(MAX_CLOCK_MS);
    Ok(Duration::from_millis(clock + away))
}

/// A week: a wall clock that was far off must not end every silence there is.
const MAX_AWAY_MS: u64 = 7 * 24 * 3600 * 1000;
/// A thousand years: sums with it do not overflow.
const MAX_CLOCK_MS: u64 = 1000 * 366 * 24 * 3600 * 1000;

fn set_meta(db: &Connection, name: &str, value: i64) -> rusqlite::Result<()> {
    db.prepare_cached("INSERT OR REPLACE INTO meta VALUES (?1, ?2)")?
        .execute(params![name, value])?;
    Ok(())
}

/// Opens or creates a file that is nobody else's business: labels and comments may hold names.
fn private() -> OpenOptions {
    let mut options = File::options();
    options.create(true).truncate(false).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// One process at a time; the lock ends with the process, however it ends.
fn lock(path: &Path) -> Result<File, StoreError> {
    let path = with_suffix(path, ".lock");
    let failed = |action| {
        let path = path.clone();
        move |source| StoreError::Io {
            path,
            action,
            source,
        }
    };
    let file = private().open(&path).map_err(failed("create"))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::InUse { path }),
        Err(TryLockError::Error(source)) => Err(failed("lock")(source)),
    }
}

/// Renames a damaged file and what belongs to it, so that it can still be looked at.
fn set_aside(path: &Path, wall: SystemTime) -> Result<PathBuf, StoreError> {
    let mut to = with_suffix(path, &format!(".damaged-{}", unix_ms(wall)));
    // The clock may stand still, and nothing that was set aside is to be written over.
    for n in 1..1_000 {
        if !to.exists() {
            break;
        }
        to = with_suffix(path, &format!(".damaged-{}-{n}", unix_ms(wall)));
    }
    for suffix in ["", "-wal", "-shm"] {
        let from = with_suffix(path, suffix);
        match std::fs::rename(&from, with_suffix(&to, suffix)) {
            Err(error) if suffix.is_empty() || error.kind() != std::io::ErrorKind::NotFound => {
                return Err(StoreError::Io {
                    path: from,
                    action: "set aside",
                    source: error,
                });
            }
            _ => {}
        }
    }
    Ok(to)
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name: OsString = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn is_damage(error: &rusqlite::Error) -> bool {
    match error {
        rusqlite::Error::SqliteFailure(failure, _) => matches!(
            failure.code,
            ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase | ErrorCode::Unknown
        ),
        rusqlite::Error::FromSqlConversionFailure(..)
        | rusqlite::Error::InvalidColumnType(..)
        | rusqlite::Error::IntegralValueOutOfRange(..)
        | rusqlite::Error::QueryReturnedNoRows
        | rusqlite::Error::Utf8Error(..) => true,
        _ => false,
    }
}

pub(crate) fn damage(what: &str) -> rusqlite::Error {
    let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CORRUPT);
    rusqlite::Error::SqliteFailure(code, Some(what.to_owned()))
}

pub(crate) fn parse<T: serde::de::DeserializeOwned>(text: &str) -> rusqlite::Result<T> {
    serde_json::from_str(text).map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Text, Box::new(error))
    })
}

/// Our own types: strings, numbers and lists of them, which always have a form in JSON.
fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

/// SQLite's integers have a sign; what is larger is a bound that nothing reaches.
pub(crate) fn int(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

pub(crate) fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

/// The phase of this name.
pub(crate) fn phase(word: &str) -> Option<Phase> {
    [
        Phase::Inactive,
        Phase::Pending,
        Phase::Firing,
        Phase::Recovering,
        Phase::NoData,
    ]
    .into_iter()
    .find(|phase| phase.as_str() == word)
}
