//! The file itself: who may write it, whether it is one of ours, and what becomes of it if it is damaged.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rusqlite::limits::Limit;
use rusqlite::{Connection, OpenFlags};

use super::config::HistoryConfig;
use super::error::HistoryError;
use super::schema::{APPLICATION, FORMAT, PAGE, TABLES, VIEWS};
use super::time::Timestamp;

/// How long a statement waits for a lock that another process has for a moment: while it closes the file, or recovers the log.
const PATIENCE: Duration = Duration::from_secs(2);

/// No value that we write is longer. What claims to be is not read into memory.
const MAX_VALUE: i32 = 32 << 20;

/// How long a writer looks for damage when it opens a file. Enough for about 200 MiB; what is not found then is found by the
/// checksums of the rows when they are read.
const CHECK_TIME: Duration = Duration::from_millis(250);

/// How many damaged files are kept beside a history.
const KEPT_ASIDE: usize = 3;

/// Pages of the log after which it is taken over into the file.
const LOG_PAGES: i64 = 1000;

/// The right to write. The system takes it back however the process ends.
#[derive(Debug)]
pub(super) struct WriterLock(#[expect(dead_code, reason = "held, not used")] File);

impl WriterLock {
    pub(super) fn take(path: &Path) -> Result<Self, HistoryError> {
        let lock = beside(path, "-writer");
        let failed = |source| HistoryError::io("lock", &lock, source);
        let mut options = OpenOptions::new();
        // The lock is not truncated before it is ours: it says who has it.
        let options = options.read(true).write(true).create(true).truncate(false);
        let mut file = options.open(&lock).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {
                file.set_len(0).map_err(failed)?;
                write!(file, "process {}", std::process::id()).map_err(failed)?;
                Ok(Self(file))
            }
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                // Where locks keep others from reading too, the name is not to be had.
                let _ = file.take(64).read_to_string(&mut holder);
                if holder.is_empty() {
                    holder.push_str("another process");
                }
                Err(HistoryError::InUse {
                    path: path.to_owned(),
                    holder,
                })
            }
            Err(TryLockError::Error(source)) => Err(failed(source)),
        }
    }
}

/// Where the file really is: whatever links lead to it, there is one name for its log, for the right to write it, and for a file set
/// aside. Without a file, its folder says; without a folder, opening says what is wrong.
pub(super) fn real_path(path: &Path) -> PathBuf {
    if let Ok(real) = path.canonicalize() {
        return real;
    }
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or_else(|| Path::new(".")).canonicalize();
    match (folder, path.file_name()) {
        (Ok(folder), Some(name)) => folder.join(name),
        _ => path.to_owned(),
    }
}

/// The path with something after its last character.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Opens the file for writing, and makes it one if it is empty or not there. Also says whether it was made.
pub(super) fn open_to_write(
    path: &Path,
    config: &HistoryConfig,
) -> Result<(Connection, bool), HistoryError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut database = connect(path, flags)?;
    let of = |source| HistoryError::of(path, source);
    // Has no effect on a file that has pages already.
    database
        .pragma_update(None, "page_size", PAGE.cast_signed())
        .map_err(of)?;
    let is_new = !is_ours(path, &database)?;
    prepare(&database, config).map_err(of)?;
    if is_new {
        make(&database).map_err(of)?;
    } else {
        check(path, &mut database)?;
    }
    Ok((database, is_new))
}

/// Opens the file for reading. Nothing of it is changed, and no writer is kept from anything.
pub(super) fn open_to_read(path: &Path) -> Result<Connection, HistoryError> {
    if !path.exists() {
        return Err(HistoryError::Missing {
            path: path.to_owned(),
        });
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let database = connect(path, flags)?;
    if !is_ours(path, &database)? {
        return Err(HistoryError::Missing {
            path: path.to_owned(),
        });
    }
    compare_tables(path, &database)?;
    Ok(database)
}

fn connect(path: &Path, flags: OpenFlags) -> Result<Connection, HistoryError> {
    let open = || {
        let database = Connection::open_with_flags(path, flags)?;
        database.busy_timeout(PATIENCE)?;
        database.set_limit(Limit::SQLITE_LIMIT_LENGTH, MAX_VALUE)?;
        database.set_prepared_statement_cache_capacity(64);
        // Views and triggers of a file that somebody else has prepared can call nothing that has effects.
        database.pragma_update(None, "trusted_schema", false)?;
        database.pragma_update(None, "cell_size_check", true)?;
        database.pragma_update(None, "cache_size", -8192)?;
        Ok(database)
    };
    open().map_err(|source| HistoryError::of(path, source))
}

/// Whether there is a history in the file; if not, it is empty. Anything else is an error.
fn is_ours(path: &Path, database: &Connection) -> Result<bool, HistoryError> {
    let read = || {
        let application: i64 =
            database.pragma_query_value(None, "application_id", |row| row.get(0))?;
        let format: i64 = database.pragma_query_value(None, "user_version", |row| row.get(0))?;
        let objects: i64 =
            database.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
        Ok((application, format, objects))
    };
    let (application, format, objects) = read().map_err(|source| HistoryError::of(path, source))?;
    if (application, format, objects) == (0, 0, 0) {
        return Ok(false);
    }
    let path = path.to_owned();
    if application != APPLICATION {
        return Err(HistoryError::Foreign { path });
    }
    if format > FORMAT {
        let (found, known) = (format, FORMAT);
        return Err(HistoryError::Newer { path, found, known });
    }
    if format < FORMAT {
        let what = format!("there has never been a format {format}");
        return Err(HistoryError::Damaged { path, what });
    }
    Ok(true)
}

fn prepare(database: &Connection, config: &HistoryConfig) -> rusqlite::Result<()> {
    // Says which mode it is now.
    database.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
    // Commits survive the end of the process, not that of the machine; the file stays whole in either case.
    database.pragma_update(None, "synchronous", "NORMAL")?;
    database.pragma_update_and_check(None, "wal_autocheckpoint", LOG_PAGES, |_| Ok(()))?;
    // After it was longer, for a reader's sake.
    database.pragma_update_and_check(None, "journal_size_limit", 16 << 20, |_| Ok(()))?;
    let page: i64 = database.pragma_query_value(None, "page_size", |row| row.get(0))?;
    let pages = i64::try_from(config.max_bytes).unwrap_or(i64::MAX) / page.max(512);
    database.pragma_update_and_check(None, "max_page_count", pages.min(0xFFFF_FFFE), |_| Ok(()))
}

fn make(database: &Connection) -> rusqlite::Result<()> {
    let change = database.unchecked_transaction()?;
    change.pragma_update(None, "application_id", APPLICATION)?;
    change.pragma_update(None, "user_version", FORMAT)?;
    change.execute_batch(TABLES)?;
    change.execute_batch(VIEWS)?;
    change.commit()?;
    // Into the file itself, so that it is known for what it is even without its log.
    database.pragma_update_and_check(None, "wal_checkpoint", "TRUNCATE", |_| Ok(()))
}

/// Looks for damage for a while.
fn check(path: &Path, database: &mut Connection) -> Result<(), HistoryError> {
    compare_tables(path, database)?;
    let of = |source| HistoryError::of(path, source);
    let until = Instant::now() + CHECK_TIME;
    database
        .progress_handler(1000, Some(move || Instant::now() > until))
        .map_err(of)?;
    let found = database.query_row("PRAGMA quick_check(1)", [], |row| row.get::<_, String>(0));
    database
        .progress_handler(0, None::<fn() -> bool>)
        .map_err(of)?;
    match found {
        Ok(found) if found == "ok" => Ok(()),
        Ok(what) => Err(HistoryError::Damaged {
            path: path.to_owned(),
            what,
        }),
        Err(rusqlite::Error::SqliteFailure(failure, _))
            if failure.code == rusqlite::ErrorCode::OperationInterrupted =>
        {
            Ok(())
        }
        Err(source) => Err(of(source)),
    }
}

/// The tables are as this format has them. Views and indices of others do no harm.
fn compare_tables(path: &Path, database: &Connection) -> Result<(), HistoryError> {
    let of = |source| HistoryError::of(path, source);
    let list = |database: &Connection| {
        let mut tables =
            database.prepare("SELECT name, sql FROM sqlite_schema WHERE type = 'table'")?;
        let tables = tables.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        tables.collect::<rusqlite::Result<BTreeMap<String, String>>>()
    };
    let expected = || {
        let database = Connection::open_in_memory()?;
        database.execute_batch(TABLES)?;
        list(&database)
    };
    let (expected, found) = (expected().map_err(of)?, list(database).map_err(of)?);
    let other = expected
        .iter()
        .find(|&(name, sql)| found.get(name) != Some(sql));
    match other {
        None => Ok(()),
        Some((name, _)) => Err(HistoryError::Damaged {
            path: path.to_owned(),
            what: format!("table {name} is not as it should be"),
        }),
    }
}

/// A damaged file that was put out of the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetAside {
    /// Where it is now. The newest three such files are kept.
    pub moved_to: PathBuf,
    /// What was wrong with it.
    pub what: String,
}

/// Renames the file and its log. Nobody may have it open in this process.
pub(super) fn set_aside(path: &Path, what: &str, now: Timestamp) -> Result<SetAside, HistoryError> {
    let stamp = now.for_a_name();
    let free = (1..).map(|count| match count {
        1 => beside(path, &format!(".damaged-{stamp}")),
        _ => beside(path, &format!(".damaged-{stamp}-{count}")),
    });
    // Ends, since there are not so many files.
    let moved_to = free
        .into_iter()
        .find(|name| !name.exists())
        .unwrap_or_default();
    // The file before its log: SQLite discards a log beside no file, and would believe a file without its log.
    fs::rename(path, &moved_to)
        .map_err(|source| HistoryError::io("set aside the damaged", path, source))?;
    let _ = fs::rename(beside(path, "-wal"), beside(&moved_to, "-wal"));
    let _ = fs::remove_file(beside(path, "-shm"));
    forget_oldest(path);
    Ok(SetAside {
        moved_to,
        what: what.to_owned(),
    })
}

/// Deletes all but the newest of the files set aside. Their names sort by time.
fn forget_oldest(path: &Path) {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        return;
    };
    let folder = if folder.as_os_str().is_empty() {
        Path::new(".")
    } else {
        folder
    };
    let prefix = format!("{}.damaged-", name.to_string_lossy());
    let mut files: Vec<PathBuf> = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name.starts_with(&prefix) && !name.ends_with("-wal")
        })
        .collect();
    files.sort();
    let surplus = files.len().saturating_sub(KEPT_ASIDE);
    for file in &files[..surplus] {
        let _ = fs::remove_file(beside(file, "-wal"));
        let _ = fs::remove_file(file);
    }
}
