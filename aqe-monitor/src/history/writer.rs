//! The one who writes.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OptionalExtension as _, params};

use super::clock::ClockWatch;
use super::config::HistoryConfig;
use super::error::HistoryError;
use super::file::{self, SetAside, WriterLock, beside};
use super::retain;
use super::rows::{Crc, TickRow};
use super::schema::SERIES_BITS;
use super::seal::{Sealed, seal};
use super::series::{
    Kind, SeriesId, SeriesInfo, SeriesKey, check_length, labels_from_json, labels_to_json,
};
use super::tick::Tick;
use super::time::{Moment, Timestamp};

/// Longest text of a tick, in bytes.
const MAX_TICK: usize = 4 << 20;

/// Ticks are sealed before their texts have more bytes than this together.
const MAX_HEAD: usize = 8 << 20;

/// How long the log may become.
const MAX_LOG: u64 = 64 << 20;

/// How many steps of the clock are kept, the newest.
const MAX_STEPS: u32 = 10_000;

/// How many ticks pass between two looks at the log.
const LOG_LOOK: u64 = 64;

/// Writes a history. One at a time does; see [`HistoryReader`](super::HistoryReader) for those who read.
///
/// Every call blocks its thread for as long as the disk takes: in an asynchronous program it belongs on a thread of its own.
#[derive(Debug)]
pub struct History {
    pub(super) path: PathBuf,
    config: HistoryConfig,
    _lock: WriterLock,
    pub(super) database: Connection,
    opened: Opened,
    series: HashMap<SeriesKey, SeriesInfo>,
    /// Asked for through this handle: their numbers may be in use.
    asked: HashSet<SeriesId>,
    /// There are as many series as there may be, and none could be forgotten; so it is until a block is sealed.
    none_to_forget: bool,
    /// Until there is a new file in the place of a damaged one; `database` is none of a file then.
    broken: Option<Broken>,
    /// What has been set aside: the next tick that is written says so.
    unreported: Option<SetAside>,
    largest: u32,
    next_seq: i64,
    head: Head,
    clock: ClockWatch,
    appended: u64,
    last_hours: i64,
    /// The text of a tick, used again.
    body: String,
}

/// How far a damaged file has been replaced.
#[derive(Debug)]
enum Broken {
    /// It lies where it was, for this reason.
    Damaged(String),
    /// It is aside, and a new one could not be begun yet.
    Aside(SetAside),
}

/// Ticks that are not sealed.
#[derive(Debug, Default)]
struct Head {
    ticks: u32,
    bytes: usize,
    last_at: i64,
}

/// What there was when a history was opened.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Opened {
    /// Nothing; it has been made.
    Made,
    /// A history, which goes on.
    Found,
    /// A damaged file. It has another name now, and a new one has been made.
    SetAside(SetAside),
}

/// What became of a tick.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Appended {
    /// How many values were left out because they were not finite.
    pub dropped: u64,
    /// By how many milliseconds the wall clock was set since the tick before, if it was by two seconds or more.
    pub clock_step: Option<i64>,
    /// The ticks before have been sealed.
    pub sealed: Option<Sealed>,
    /// The file turned out to be damaged, and a new one was begun with this tick.
    pub set_aside: Option<SetAside>,
    /// The tick is in the file, but those before could not be sealed; the next one tries again.
    pub problem: Option<HistoryError>,
}

impl History {
    /// Opens the history in this file for writing, or makes one. A damaged file is set aside; ask [`opened`](Self::opened).
    ///
    /// # Errors
    ///
    /// [`InUse`](HistoryError::InUse) if somebody else writes it, [`Newer`](HistoryError::Newer) and
    /// [`Foreign`](HistoryError::Foreign) if it is not one of this version,
    /// [`Setting`](HistoryError::Setting) if the settings cannot work, and what the system and SQLite say.
    pub fn open(path: impl AsRef<Path>, config: HistoryConfig) -> Result<Self, HistoryError> {
        config.check()?;
        let path = &file::real_path(path.as_ref());
        let lock = WriterLock::take(path)?;
        let mut opened = Opened::Found;
        let (database, state) = match start(path, &config) {
            Ok((database, state, is_new)) => {
                if is_new {
                    opened = Opened::Made;
                }
                (database, state)
            }
            Err(error) if error.is_damage() => {
                let aside = file::set_aside(path, &reason(&error), Timestamp::now())?;
                opened = Opened::SetAside(aside);
                let (database, state, _) = start(path, &config)?;
                (database, state)
            }
            Err(error) => return Err(error),
        };
        let last_at = (state.next_seq > 1).then_some(state.head.last_at);
        let clock = ClockWatch::after(last_at, config.retention);
        Ok(Self {
            path: path.to_owned(),
            config,
            _lock: lock,
            database,
            opened,
            series: state.series,
            asked: HashSet::new(),
            none_to_forget: false,
            broken: None,
            unreported: None,
            largest: state.largest,
            next_seq: state.next_seq,
            clock,
            head: state.head,
            appended: 0,
            last_hours: 0,
            body: String::new(),
        })
    }

    /// What there was when it was opened.
    #[must_use]
    pub fn opened(&self) -> &Opened {
        &self.opened
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The number of this series, which is made if there is none. Keep it; asking again costs a look-up.
    ///
    /// # Errors
    ///
    /// [`OtherKind`](HistoryError::OtherKind), [`TooMuch`](HistoryError::TooMuch) beyond `max_series`, and what SQLite says.
    pub fn series(
        &mut self,
        key: &SeriesKey,
        kind: Kind,
        unit: &str,
    ) -> Result<SeriesId, HistoryError> {
        if let Some(known) = self.series.get(key) {
            if known.kind != kind {
                return Err(HistoryError::OtherKind {
                    name: key.name.clone(),
                    is: known.kind.name(),
                    asked: kind.name(),
                });
            }
            self.asked.insert(known.id);
            return Ok(known.id);
        }
        check_length("bytes of a unit", unit.len(), SeriesKey::MAX_NAME)?;
        if self.series.len() >= self.config.max_series as usize {
            if !self.none_to_forget {
                self.forget_series()?;
            }
            check_length(
                "series",
                self.series.len() + 1,
                self.config.max_series as usize,
            )?;
        }
        check_length(
            "series over all time",
            self.largest as usize + 1,
            (1 << SERIES_BITS) - 1,
        )?;
        let info = SeriesInfo {
            id: SeriesId(self.largest + 1),
            key: key.clone(),
            kind,
            unit: unit.to_owned(),
        };
        self.mend(Timestamp::now())?;
        if let Err(error) = self.guard(|database| insert_series(database, &info)) {
            if !error.is_damage() {
                return Err(error);
            }
            // The new file gets it as the old one would have.
            self.unreported = Some(self.begin_anew(&error, Timestamp::now())?);
            self.guard(|database| insert_series(database, &info))?;
        }
        self.largest += 1;
        self.asked.insert(info.id);
        let id = info.id;
        self.series.insert(info.key.clone(), info);
        Ok(id)
    }

    /// Commits what all series were at this moment. When it has returned, the end of the process loses nothing of it.
    ///
    /// Once in [`block_ticks`](HistoryConfig::block_ticks) calls, it seals those before and drops what is too old, which takes some tens
    /// of milliseconds. The tick keeps its values.
    ///
    /// # Errors
    ///
    /// The tick is not in the file: [`Unknown`](HistoryError::Unknown) for a series of another history,
    /// [`TooMuch`](HistoryError::TooMuch) for one of more than 4 MiB, [`Full`](HistoryError::Full),
    /// [`LogTooLong`](HistoryError::LogTooLong), or what SQLite says. The next call may succeed.
    pub fn append(&mut self, now: Moment, tick: &mut Tick) -> Result<Appended, HistoryError> {
        if let Some(SeriesId(number)) = tick.largest()
            && number > self.largest
        {
            let (what, number) = ("series", u64::from(number));
            return Err(HistoryError::Unknown { what, number });
        }
        let mut done = Appended {
            dropped: tick.dropped(),
            clock_step: self.clock.step(now),
            ..Appended::default()
        };
        let mut body = std::mem::take(&mut self.body);
        tick.write(&mut body);
        let result = self.append_text(now, &body, &mut done);
        self.body = body;
        result?;
        done.set_aside = self.unreported.take();
        Ok(done)
    }

    fn append_text(
        &mut self,
        now: Moment,
        body: &str,
        done: &mut Appended,
    ) -> Result<(), HistoryError> {
        check_length("bytes of a tick", body.len(), MAX_TICK)?;
        self.mend(now.wall)?;
        self.look_at_log()?;
        let result = self
            .seal_if_due(now, done)
            .and_then(|()| self.commit(now, body, done));
        match result {
            Err(error) if error.is_damage() => {
                self.unreported = Some(self.begin_anew(&error, now.wall)?);
                self.commit(now, body, done)
            }
            Err(HistoryError::Full { .. }) => {
                self.make_room(body.len() as u64)?;
                self.commit(now, body, done)
            }
            result => result,
        }
    }

    fn commit(&mut self, now: Moment, body: &str, done: &Appended) -> Result<(), HistoryError> {
        let row = TickRow {
            seq: self.next_seq,
            at: now.wall.as_millis(),
            body,
        };
        self.guard(|database| match done.clock_step {
            None => row.insert(database),
            Some(step) => {
                let change = database.unchecked_transaction()?;
                change.execute(
                    "INSERT OR REPLACE INTO clock_step (seq, at, step) VALUES (?1, ?2, ?3)",
                    params![row.seq, row.at, step],
                )?;
                change.execute(
                    "DELETE FROM clock_step WHERE seq <=
                     (SELECT seq FROM clock_step ORDER BY seq DESC LIMIT 1 OFFSET ?1)",
                    [MAX_STEPS],
                )?;
                row.insert(&change)?;
                change.commit()
            }
        })?;
        self.next_seq += 1;
        self.head.ticks += 1;
        self.head.bytes += body.len();
        self.head.last_at = row.at;
        Ok(())
    }

    fn seal_if_due(&mut self, now: Moment, done: &mut Appended) -> Result<(), HistoryError> {
        let is_back = now.wall.as_millis() < self.head.last_at;
        let is_due = self.head.ticks >= self.config.block_ticks || self.head.bytes >= MAX_HEAD;
        if self.head.ticks == 0 || !(is_due || is_back) {
            return Ok(());
        }
        match self.seal(now) {
            Ok(sealed) => done.sealed = Some(sealed),
            Err(error) if error.is_damage() => return Err(error),
            Err(error) => done.problem = Some(error),
        }
        Ok(())
    }

    /// Seals all ticks, and drops what is too old or too much, without waiting for the next tick. A process that ends need not call
    /// it.
    ///
    /// # Errors
    ///
    /// What SQLite says; ticks are as they were then.
    pub fn seal(&mut self, now: Moment) -> Result<Sealed, HistoryError> {
        let minutes_from = now.wall.before(self.config.minutes).as_millis();
        let mut sealed = self.guard(|database| seal(database, minutes_from));
        if matches!(sealed, Err(HistoryError::Full { .. })) {
            // At worst, each value is a chunk's and a minute's only one.
            self.make_room(10 * self.head.bytes as u64)?;
            sealed = self.guard(|database| seal(database, minutes_from));
        }
        let sealed = sealed?;
        self.head = Head::default();
        self.none_to_forget = false;
        self.retain(now)?;
        Ok(sealed)
    }

    /// Drops the oldest, if it is the bound of the file that so many bytes do not fit into.
    fn make_room(&self, bytes: u64) -> Result<(), HistoryError> {
        let is_at_limit = self.guard(|database| retain::is_at_limit(database, bytes))?;
        if is_at_limit && self.guard(retain::drop_oldest)? > 0 {
            return Ok(());
        }
        let path = self.path.clone();
        Err(HistoryError::Full { path })
    }

    fn retain(&mut self, now: Moment) -> Result<(), HistoryError> {
        let config = self.config.clone();
        if self.clock.is_trusted(now) {
            let samples = now.wall.before(config.retention).as_millis();
            let minutes = now.wall.before(config.minutes).as_millis();
            self.guard(|database| retain::drop_older(database, samples, minutes))?;
            let today = now.wall.as_millis() / 86_400_000;
            if today != self.last_hours {
                self.guard(|database| retain::drop_older_hours(database, samples))?;
                self.last_hours = today;
            }
        }
        self.guard(|database| retain::keep_below(database, config.max_bytes))
    }

    /// Makes room by forgetting series that have no samples any more and that nobody has asked for since the file was opened.
    fn forget_series(&mut self) -> Result<(), HistoryError> {
        let asked = &self.asked;
        let candidates: Vec<SeriesId> = self
            .series
            .values()
            .map(|info| info.id)
            .filter(|id| !asked.contains(id))
            .collect();
        let gone = self.guard(|database| retain::forget_series(database, &candidates))?;
        self.series.retain(|_, info| !gone.contains(&info.id));
        // Somebody with a hundred thousand values of a label asks as often; to look each time would take longer than all else.
        self.none_to_forget = gone.is_empty();
        Ok(())
    }

    fn look_at_log(&mut self) -> Result<(), HistoryError> {
        self.appended += 1;
        if !self.appended.is_multiple_of(LOG_LOOK) {
            return Ok(());
        }
        let log = beside(&self.path, "-wal");
        let bytes = log.metadata().map_or(0, |file| file.len());
        if bytes < MAX_LOG {
            return Ok(());
        }
        // Succeeds as soon as nobody reads what is old.
        let (busy, _, _) = self.guard(|database| {
            database.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| {
                Ok((
                    row.get::<_, i64>(0)?,
                    row.get::<_, i64>(1)?,
                    row.get::<_, i64>(2)?,
                ))
            })
        })?;
        if busy == 0 {
            return Ok(());
        }
        // Asked again at the next tick.
        self.appended -= 1;
        let path = self.path.clone();
        Err(HistoryError::LogTooLong { path, bytes })
    }

    /// Rewrites the file without the space that is free in it. Takes as much space again while it does, and seconds for a large
    /// file.
    ///
    /// # Errors
    ///
    /// What SQLite says; the file is as it was then.
    pub fn compact(&mut self) -> Result<(), HistoryError> {
        self.guard(|database| database.execute_batch("VACUUM; PRAGMA wal_checkpoint(TRUNCATE);"))
    }

    /// Sets the file aside and goes on in a new one, in which all series have the numbers that they had.
    fn begin_anew(
        &mut self,
        error: &HistoryError,
        now: Timestamp,
    ) -> Result<SetAside, HistoryError> {
        let memory =
            Connection::open_in_memory().map_err(|source| HistoryError::of(&self.path, source))?;
        // Closed before it is renamed. What closing says about a damaged file is of no interest.
        drop(std::mem::replace(&mut self.database, memory));
        self.replace(Broken::Damaged(reason(error)), now)
    }

    /// Goes on with what could not be finished.
    fn mend(&mut self, now: Timestamp) -> Result<(), HistoryError> {
        if let Some(broken) = self.broken.take() {
            self.unreported = Some(self.replace(broken, now)?);
        }
        Ok(())
    }

    /// Where it fails, because the disk is full for instance, the next tick goes on from there.
    fn replace(&mut self, broken: Broken, now: Timestamp) -> Result<SetAside, HistoryError> {
        let aside = match broken {
            Broken::Damaged(what) => match file::set_aside(&self.path, &what, now) {
                Ok(aside) => aside,
                Err(error) => {
                    self.broken = Some(Broken::Damaged(what));
                    return Err(error);
                }
            },
            Broken::Aside(aside) => aside,
        };
        match self.fill_new_file() {
            Ok(()) => Ok(aside),
            Err(error) => {
                self.broken = Some(Broken::Aside(aside));
                Err(error)
            }
        }
    }

    fn fill_new_file(&mut self) -> Result<(), HistoryError> {
        let (database, state, _) = start(&self.path, &self.config)?;
        self.database = database;
        self.head = state.head;
        self.guard(|database| {
            let change = database.unchecked_transaction()?;
            for info in self.series.values() {
                insert_series(&change, info)?;
            }
            change.commit()
        })
    }

    /// Does something with the database, and says of which file an error is.
    pub(super) fn guard<T>(
        &self,
        call: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, HistoryError> {
        call(&self.database).map_err(|source| HistoryError::of(&self.path, source))
    }

    pub(super) fn config(&self) -> &HistoryConfig {
        &self.config
    }
}

fn reason(error: &HistoryError) -> String {
    match error {
        HistoryError::Damaged { what, .. } => what.clone(),
        other => other.to_string(),
    }
}

/// What a writer knows by heart.
struct State {
    series: HashMap<SeriesKey, SeriesInfo>,
    largest: u32,
    next_seq: i64,
    head: Head,
}

fn start(path: &Path, config: &HistoryConfig) -> Result<(Connection, State, bool), HistoryError> {
    let (database, is_new) = file::open_to_write(path, config)?;
    let damaged = |what: &str| HistoryError::Damaged {
        path: path.to_owned(),
        what: what.to_owned(),
    };
    let of = |source| HistoryError::of(path, source);
    let infos = read_series(&database).map_err(of)?;
    let infos: Option<Vec<_>> = infos.into_iter().collect();
    let infos = infos.ok_or_else(|| damaged("a series is not what was written"))?;
    let largest: Option<i64> = database
        .query_row(
            "SELECT seq FROM sqlite_sequence WHERE name = 'series_table'",
            [],
            |row| row.get(0),
        )
        .optional()
        .map_err(of)?;
    let largest = u32::try_from(largest.unwrap_or(0)).unwrap_or(u32::MAX);
    let largest = infos.iter().map(|info| info.id.0).fold(largest, u32::max);
    let (last_seq, head) = read_head(&database).map_err(of)?;
    let next_seq = last_seq
        .checked_add(1)
        .filter(|&seq| seq < 1 << (62 - SERIES_BITS))
        .ok_or_else(|| damaged("a number of a tick is too large"))?;
    let state = State {
        series: infos
            .into_iter()
            .map(|info| (info.key.clone(), info))
            .collect(),
        largest,
        next_seq,
        head,
    };
    Ok((database, state, is_new))
}

fn read_head(database: &Connection) -> rusqlite::Result<(i64, Head)> {
    let (seq, ticks, bytes, last_at) = database.query_row(
        "SELECT max(coalesce((SELECT max(seq) FROM tick), 0), coalesce((SELECT max(last_seq) FROM block), 0)),
             (SELECT count(*) FROM tick), (SELECT coalesce(sum(length(body)), 0) FROM tick),
             coalesce((SELECT at FROM tick ORDER BY seq DESC LIMIT 1),
                 (SELECT last_at FROM block ORDER BY id DESC LIMIT 1), 0)",
        [],
        |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, u32>(1)?, row.get::<_, i64>(2)?, row.get(3)?))
        },
    )?;
    let head = Head {
        ticks,
        bytes: usize::try_from(bytes).unwrap_or(usize::MAX),
        last_at,
    };
    Ok((seq, head))
}

fn insert_series(database: &Connection, info: &SeriesInfo) -> rusqlite::Result<()> {
    let labels = labels_to_json(&info.key.labels);
    let mut insert = database.prepare_cached(
        "INSERT INTO series_table (id, name, labels, kind, unit, crc) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?;
    let (name, kind) = (&info.key.name, info.kind.name());
    insert.execute(params![
        info.id.0,
        name,
        labels,
        kind,
        info.unit,
        series_crc(info, &labels)
    ])?;
    Ok(())
}

fn series_crc(info: &SeriesInfo, labels: &str) -> i64 {
    [&info.key.name, labels, info.kind.name(), &info.unit]
        .into_iter()
        .fold(Crc::default().number(info.id.0.into()), |crc, text| {
            crc.bytes(text.as_bytes())
        })
        .value()
}

/// All series; `None` for one that is damaged.
pub(super) fn read_series(database: &Connection) -> rusqlite::Result<Vec<Option<SeriesInfo>>> {
    let mut list = database
        .prepare_cached("SELECT id, name, labels, kind, unit, crc FROM series_table ORDER BY id")?;
    let mut rows = list.query([])?;
    let mut infos = Vec::new();
    while let Some(row) = rows.next()? {
        let text = |column| row.get_ref(column)?.as_str().map_err(rusqlite::Error::from);
        let (name, labels, kind, unit) = (text(1)?, text(2)?, text(3)?, text(4)?);
        let number = u32::try_from(row.get::<_, i64>(0)?).ok();
        let info = || {
            Some(SeriesInfo {
                id: SeriesId(number?),
                key: SeriesKey {
                    name: name.to_owned(),
                    labels: labels_from_json(labels)?,
                },
                kind: Kind::from_name(kind)?,
                unit: unit.to_owned(),
            })
        };
        let crc: i64 = row.get(5)?;
        infos.push(info().filter(|info| series_crc(info, labels) == crc));
    }
    Ok(infos)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::HistoryReader;

    /// Damage and a full disk at once: the old file was aside, no new one could be made, and every tick from then on was refused
    /// even when there was room again.
    #[test]
    fn a_new_file_that_could_not_be_begun_is_begun_by_a_later_tick() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("h.db");
        let mut history = History::open(&path, HistoryConfig::default()).unwrap();
        let key = SeriesKey::new("depth", &[]).unwrap();
        let series = history.series(&key, Kind::Gauge, "").unwrap();
        let mut tick = Tick::new();
        tick.set(series, 1.0);
        let now = Moment::now();
        history.append(now, &mut tick).unwrap();

        let room = std::mem::replace(&mut history.config.max_bytes, 3 * 8192);
        let damage = HistoryError::Damaged {
            path: path.clone(),
            what: "for a test".to_owned(),
        };
        let error = history.begin_anew(&damage, now.wall).unwrap_err();
        assert!(matches!(error, HistoryError::Full { .. }), "{error:?}");
        for _ in 0..5 {
            assert!(history.append(now, &mut tick).is_err());
        }
        history.config.max_bytes = room;
        let done = history.append(now, &mut tick).unwrap();
        assert_eq!(done.set_aside.unwrap().what, "for a test");
        assert_eq!(history.append(now, &mut tick).unwrap().set_aside, None);

        let count = |path: &Path| {
            let reader = HistoryReader::open(path).unwrap();
            let range = Timestamp::MIN..Timestamp::MAX;
            reader.samples(series, range, 10).unwrap().samples.len()
        };
        assert_eq!(count(&path), 2);
        let files = std::fs::read_dir(folder.path()).unwrap();
        let aside: Vec<_> = files
            .map(|file| file.unwrap().path())
            .filter(|path| {
                let name = path.to_string_lossy();
                name.contains(".damaged-") && !name.ends_with("-wal") && !name.ends_with("-shm")
            })
            .collect();
        assert_eq!(aside.len(), 1, "{aside:?}");
        assert_eq!(count(&aside[0]), 1);
    }
}
