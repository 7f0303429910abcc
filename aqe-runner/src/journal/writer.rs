//! Writing the journal.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::line::{self, EncodeError};
use super::{JournalReader, ReadError, ReadReport, Record};

/// The most bytes of records that wait for a flush. It is reached only when the disk refuses writes for a while, and
/// holds several thousand verdicts.
pub const MAX_BACKLOG_BYTES: usize = 4 * 1024 * 1024;

/// Why the journal could not be written, cut by what the caller can do about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JournalError {
    /// The disk or the quota is full. Records stay in memory; a later flush tries again.
    #[error(
        "no space left to write the journal {path}; free some space, the run goes on without it meanwhile"
    )]
    NoSpace {
        /// The journal.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The folder or file cannot be written by this user, or the file system is read-only.
    #[error(
        "the journal {path} cannot be written; check the permissions of its folder or choose another one"
    )]
    NotWritable {
        /// The journal.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another process is writing this journal.
    #[error("the journal {path} is in use by another run")]
    InUse {
        /// The journal.
        path: PathBuf,
    },
    /// Any other failure of the system.
    #[error("cannot write the journal {path}")]
    Io {
        /// The journal.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// An existing journal could not be read, so it cannot be continued.
    #[error("cannot continue the journal {path}")]
    Unreadable {
        /// The journal.
        path: PathBuf,
        /// What is wrong with it.
        source: ReadError,
    },
    /// More than [`MAX_BACKLOG_BYTES`] wait for a flush; this record was not taken. Readers of the journal count it as
    /// [missing](super::ReadReport::missing) as soon as another record follows.
    #[error("too many records wait for the journal to be written")]
    BacklogFull,
    /// The record is longer than a line may be; it was not taken. Cut its output.
    #[error("a record of {bytes} bytes is too long for the journal")]
    RecordTooLong {
        /// The length of its line.
        bytes: usize,
    },
    /// The record cannot be written as JSON; it was not taken.
    #[error("a record cannot be written as JSON")]
    Encode {
        /// What serde said.
        source: serde_json::Error,
    },
}

impl JournalError {
    fn of_io(path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                Self::NoSpace { path, source }
            }
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                Self::NotWritable { path, source }
            }
            _ => Self::Io { path, source },
        }
    }
}

/// Appends records to the journal of one run.
///
/// [`push`](Self::push) gathers, [`flush`](Self::flush) writes all that was gathered with one `write`. Flush before a
/// verdict is shown: then a run that is killed at any moment has every shown verdict on disk. The file is locked while
/// the writer lives, so that two runs never share a journal and old runs are not removed under a live one. On Windows,
/// where locks are mandatory, readers are kept out for as long.
///
/// # Examples
///
/// ```
/// use aqe_runner::journal::{JournalReader, JournalWriter, Record, RunId};
///
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("journal.jsonl");
/// let mut journal = JournalWriter::create(&path)?;
/// journal.append(&Record::run_started(RunId::new(), vec![], None))?;
/// assert_eq!(JournalReader::open(&path)?.count(), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct JournalWriter {
    path: PathBuf,
    lines: Lines<File>,
}

impl JournalWriter {
    /// Creates the journal of a new run. A file that exists already is an error, since it belongs to another run.
    ///
    /// # Errors
    ///
    /// [`JournalError::NoSpace`], [`JournalError::NotWritable`], [`JournalError::InUse`] or [`JournalError::Io`].
    pub fn create(path: impl Into<PathBuf>) -> Result<Self, JournalError> {
        let path = path.into();
        // It gets its name when it is locked: a journal without a lock is one of a run that is over.
        let mut unlocked = path.clone().into_os_string();
        unlocked.push(".new");
        let file = OpenOptions::new()
            .append(true)
            .create_new(true)
            .open(&unlocked)
            .map_err(|source| JournalError::of_io(&path, source))?;
        lock(&file, &path)?;
        // Looked for while nobody else can be where we are, since renaming replaces.
        let renamed = match path.try_exists() {
            Ok(true) => Err(io::ErrorKind::AlreadyExists.into()),
            Ok(false) => fs::rename(&unlocked, &path),
            Err(error) => Err(error),
        };
        if let Err(source) = renamed {
            let _ = fs::remove_file(&unlocked);
            return Err(JournalError::of_io(&path, source));
        }
        Ok(Self {
            path,
            lines: Lines::new(file, 0, 0),
        })
    }

    /// Continues the journal of a run that was killed: reads it, cuts a torn last line off and appends after it.
    ///
    /// `on_entry` receives what is in it, so that it is read only once.
    ///
    /// # Errors
    ///
    /// As for [`create`](Self::create), and [`JournalError::Unreadable`].
    pub fn reopen(
        path: impl Into<PathBuf>,
        mut on_entry: impl FnMut(super::Entry),
    ) -> Result<(Self, ReadReport), JournalError> {
        let path = path.into();
        let system = |source| JournalError::of_io(&path, source);
        let file = OpenOptions::new()
            .read(true)
            .append(true)
            .open(&path)
            .map_err(system)?;
        lock(&file, &path)?;
        // An old run may have been removed between opening and locking; what is locked then has no name any more.
        same_file(&file, &path).map_err(system)?;
        let mut reader = JournalReader::new(file.try_clone().map_err(system)?);
        for entry in reader.by_ref() {
            match entry {
                Ok(entry) => on_entry(entry),
                Err(source) => return Err(JournalError::Unreadable { path, source }),
            }
        }
        let report = reader.report();
        file.set_len(report.whole_bytes).map_err(system)?;
        let lines = Lines::new(file, report.whole_bytes, report.next_sequence);
        Ok((Self { path, lines }, report))
    }

    /// Gathers a record for the next flush.
    ///
    /// # Errors
    ///
    /// [`JournalError::BacklogFull`], [`JournalError::RecordTooLong`] or [`JournalError::Encode`]; the record was not
    /// taken and the others are unharmed.
    pub fn push(&mut self, record: &Record) -> Result<(), JournalError> {
        self.lines.push(record)
    }

    /// Hands all gathered records to the system with one `write`.
    ///
    /// On failure they stay gathered, whatever part of them reached the file is cut off again, and the next flush
    /// tries once more; so a run may go on after telling its user.
    ///
    /// # Errors
    ///
    /// [`JournalError::NoSpace`], [`JournalError::NotWritable`] or [`JournalError::Io`].
    pub fn flush(&mut self) -> Result<(), JournalError> {
        self.lines
            .flush()
            .map_err(|source| JournalError::of_io(&self.path, source))
    }

    /// Gathers one record and flushes.
    ///
    /// # Errors
    ///
    /// As for [`push`](Self::push) and [`flush`](Self::flush).
    pub fn append(&mut self, record: &Record) -> Result<(), JournalError> {
        self.push(record)?;
        self.flush()
    }

    /// Flushes and waits until the disk has it; for the end of a run, since this takes milliseconds.
    ///
    /// # Errors
    ///
    /// As for [`flush`](Self::flush).
    pub fn sync(&mut self) -> Result<(), JournalError> {
        self.flush()?;
        self.lines
            .sink
            .sync_data()
            .map_err(|source| JournalError::of_io(&self.path, source))
    }

    /// Bytes that wait for a flush.
    #[must_use]
    pub fn backlog_bytes(&self) -> usize {
        self.lines.buffer.len()
    }

    /// The journal's file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for JournalWriter {
    /// Flushes what is left; a failure here has nobody to be told, which is why [`JournalWriter::sync`] exists.
    fn drop(&mut self) {
        let _ = self.lines.flush();
    }
}

/// What the writer needs of a file opened for appending; a seam for injected faults.
trait Sink: Write {
    /// Cuts the file to this length.
    fn cut(&mut self, length: u64) -> io::Result<()>;
}

impl Sink for File {
    fn cut(&mut self, length: u64) -> io::Result<()> {
        self.set_len(length)
    }
}

/// Lines on their way into a sink.
#[derive(Debug)]
struct Lines<S> {
    sink: S,
    buffer: Vec<u8>,
    /// The length up to which the file holds whole lines.
    whole: u64,
    /// Whether bytes of a failed write may stand behind `whole` because they could not be cut off.
    torn: bool,
    next_sequence: u64,
}

impl<S: Sink> Lines<S> {
    fn new(sink: S, whole: u64, next_sequence: u64) -> Self {
        Self {
            sink,
            buffer: Vec::new(),
            whole,
            torn: false,
            next_sequence,
        }
    }

    fn push(&mut self, record: &Record) -> Result<(), JournalError> {
        if self.buffer.len() >= MAX_BACKLOG_BYTES {
            // Counted all the same: a reader of what is written later sees that something is missing.
            self.next_sequence += 1;
            return Err(JournalError::BacklogFull);
        }
        line::encode(&mut self.buffer, self.next_sequence, record).map_err(
            |error| match error {
                EncodeError::TooLong(bytes) => JournalError::RecordTooLong { bytes },
                EncodeError::Json(source) => JournalError::Encode { source },
            },
        )?;
        self.next_sequence += 1;
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        if self.torn {
            self.mend()?;
        }
        if let Err(error) = self.sink.write_all(&self.buffer) {
            self.torn = self.sink.cut(self.whole).is_err();
            return Err(error);
        }
        self.whole += self.buffer.len() as u64;
        self.buffer.clear();
        // One large record should not be held for the rest of the run.
        self.buffer.shrink_to(KEPT_BUFFER_BYTES);
        Ok(())
    }

    /// Gets rid of the bytes of a failed write. When they cannot be cut off, a line end makes them a damaged line of
    /// their own, which a reader skips.
    fn mend(&mut self) -> io::Result<()> {
        if self.sink.cut(self.whole).is_err() {
            self.sink.write_all(b"\n")?;
        }
        self.torn = false;
        Ok(())
    }
}

fn lock(file: &File, path: &Path) -> Result<(), JournalError> {
    match file.try_lock() {
        Err(TryLockError::WouldBlock) => Err(JournalError::InUse {
            path: path.to_owned(),
        }),
        // A file system without locks: the run's folder has a unique name, which has to do.
        Ok(()) | Err(TryLockError::Error(_)) => Ok(()),
    }
}

#[cfg(unix)]
fn same_file(file: &File, path: &Path) -> io::Result<()> {
    use std::os::unix::fs::MetadataExt;
    let (open, named) = (file.metadata()?, fs::metadata(path)?);
    if (open.dev(), open.ino()) == (named.dev(), named.ino()) {
        Ok(())
    } else {
        Err(io::ErrorKind::NotFound.into())
    }
}

/// Elsewhere an open file cannot be removed under its holder, so that the name still exists is enough.
#[cfg(not(unix))]
fn same_file(_file: &File, path: &Path) -> io::Result<()> {
    fs::metadata(path).map(drop)
}

/// The buffer that is kept between flushes: a few hundred verdicts.
const KEPT_BUFFER_BYTES: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::super::record::samples;
    use super::super::{Entry, RunId};
    use super::*;
    use proptest::prelude::*;

    fn read(bytes: &[u8]) -> (Vec<Record>, ReadReport) {
        let mut reader = JournalReader::new(bytes);
        let mut records = Vec::new();
        for entry in reader.by_ref() {
            if let Entry::Record(record) = entry.unwrap() {
                records.push(record);
            }
        }
        (records, reader.report())
    }

    #[test]
    fn what_was_appended_is_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("j");
        let mut journal = JournalWriter::create(&path).unwrap();
        for record in samples::records() {
            journal.append(&record).unwrap();
            let (records, report) = read(&fs::read(&path).unwrap());
            assert_eq!(
                records.last(),
                Some(&record),
                "visible as soon as it is flushed"
            );
            assert!(report.is_whole());
        }
        journal.sync().unwrap();
        assert_eq!(read(&fs::read(&path).unwrap()).0, samples::records());
    }

    #[test]
    fn a_flush_is_one_write_however_many_records() {
        let mut lines = Lines::new(Faulty::default(), 0, 0);
        for record in samples::records() {
            lines.push(&record).unwrap();
        }
        lines.flush().unwrap();
        lines.flush().unwrap();
        assert_eq!(lines.sink.writes, 1);
    }

    #[test]
    fn a_second_writer_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("j");
        let first = JournalWriter::create(&path).unwrap();
        assert!(matches!(
            JournalWriter::create(&path),
            Err(JournalError::Io { .. })
        ));
        // Nothing but the first one's is left.
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        assert!(matches!(
            JournalWriter::reopen(&path, |_| {}),
            Err(JournalError::InUse { .. })
        ));
        drop(first);
        assert!(JournalWriter::reopen(&path, |_| {}).is_ok());
    }

    #[test]
    fn reopening_cuts_a_torn_line_and_continues_the_sequence() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("j");
        let records = samples::records();
        let mut journal = JournalWriter::create(&path).unwrap();
        journal.append(&records[0]).unwrap();
        journal.append(&records[1]).unwrap();
        drop(journal);
        let whole = fs::read(&path).unwrap();
        fs::write(&path, &whole[..whole.len() - 3]).unwrap();

        let mut seen = Vec::new();
        let (mut journal, report) = JournalWriter::reopen(&path, |entry| seen.push(entry)).unwrap();
        assert_eq!(seen.len(), 1);
        assert!(report.torn_bytes > 0);
        journal.append(&records[2]).unwrap();
        let (found, report) = read(&fs::read(&path).unwrap());
        assert_eq!(found, [records[0].clone(), records[2].clone()]);
        assert!(report.is_whole(), "{report:?}");
    }

    #[test]
    fn the_errors_say_what_the_caller_can_do() {
        let missing = JournalWriter::create("/nonexistent/journal").unwrap_err();
        assert!(matches!(missing, JournalError::Io { .. }), "{missing}");
        #[cfg(target_os = "linux")]
        {
            let file = OpenOptions::new().append(true).open("/dev/full").unwrap();
            let mut full = JournalWriter {
                path: "/dev/full".into(),
                lines: Lines::new(file, 0, 0),
            };
            let error = full.append(&samples::records()[0]).unwrap_err();
            assert!(matches!(error, JournalError::NoSpace { .. }), "{error}");
            assert!(
                full.backlog_bytes() > 0,
                "the record is kept for a later flush"
            );
        }
        let denied = JournalError::of_io(Path::new("j"), io::ErrorKind::ReadOnlyFilesystem.into());
        assert!(matches!(denied, JournalError::NotWritable { .. }));
    }

    #[test]
    fn the_backlog_is_bounded() {
        let mut lines = Lines::new(
            Faulty {
                fail_writes: (0..1000).collect(),
                ..Faulty::default()
            },
            0,
            0,
        );
        let record = Record::run_started(RunId::new(), vec!["x".repeat(100 * 1024)], None);
        let mut taken = 0;
        while lines.push(&record).is_ok() {
            taken += 1;
            assert!(lines.flush().is_err());
            assert!(taken < 1000);
        }
        assert!(lines.buffer.len() < MAX_BACKLOG_BYTES + line::MAX_LINE_BYTES);
        lines.sink.fail_writes.clear();
        lines.flush().unwrap();
        assert_eq!(
            read(&lines.sink.bytes).0.len(),
            taken,
            "nothing that was taken is lost"
        );
        // The gap in their numbers tells readers of the one that was not taken, once another one follows it.
        lines.push(&record).unwrap();
        lines.flush().unwrap();
        assert_eq!(read(&lines.sink.bytes).1.missing, 1);
    }

    /// A file whose n-th write is torn after some bytes, and which may refuse to be cut.
    #[derive(Debug, Default)]
    struct Faulty {
        bytes: Vec<u8>,
        writes: usize,
        fail_writes: Vec<usize>,
        torn_bytes: usize,
        refuse_cuts: bool,
        failing: bool,
    }

    impl Write for Faulty {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let number = self.writes;
            self.writes += 1;
            if std::mem::take(&mut self.failing) {
                return Err(io::ErrorKind::StorageFull.into());
            }
            if !self.fail_writes.contains(&number) {
                self.bytes.extend_from_slice(bytes);
                return Ok(bytes.len());
            }
            let torn = self.torn_bytes.min(bytes.len() - 1);
            if torn == 0 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            self.failing = true;
            self.bytes.extend_from_slice(&bytes[..torn]);
            Ok(torn)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Sink for Faulty {
        fn cut(&mut self, length: u64) -> io::Result<()> {
            if self.refuse_cuts {
                return Err(io::ErrorKind::InvalidInput.into());
            }
            self.bytes.truncate(length as usize);
            Ok(())
        }
    }

    proptest! {
        /// Whichever writes fail, wherever they tear: every record arrives once and in order.
        #[test]
        fn failed_writes_lose_and_repeat_nothing(fail_writes in proptest::collection::vec(0usize..12, 0..5), torn_bytes in 0usize..300, refuse_cuts in any::<bool>()) {
            let sink = Faulty { fail_writes, torn_bytes, refuse_cuts, ..Faulty::default() };
            let mut lines = Lines::new(sink, 0, 0);
            for record in samples::records() {
                lines.push(&record).unwrap();
                let _ = lines.flush();
            }
            // Each failed flush uses up at least one of the writes that fail.
            for _ in 0..12 {
                let _ = lines.flush();
            }
            let (records, report) = read(&lines.sink.bytes);
            // Lines that could not be cut off are in the file twice; the reader takes the first.
            prop_assert!(refuse_cuts || report.is_whole(), "{:?}", report);
            prop_assert_eq!(records, samples::records());
            prop_assert_eq!(report.missing, 0);
        }
    }
}
