//! The log from which a killed run resumes: which items are done, and their results.
//!
//! [`Job`](crate::Job) writes it by itself when it has a [`Checkpoint`](crate::Checkpoint). Use [`CheckpointLog`] directly
//! if you run your own loop and want what it promises:
//!
//! - What [`append`](CheckpointLog::append) has taken survives the end of the process, however that comes. What has been
//!   [synced](CheckpointLog::sync) survives the end of the machine.
//! - An image that was cut off or changed anywhere is either read up to a record that is whole, or refused with an error
//!   that says where. It never gives an item or a result that was not written.
//! - Two runs cannot have one log open, and a log is only resumed by the job that began it.
//!
//! # On disk
//!
//! One file: a block of header, then records of up to a mebibyte (or one result, if that is larger),
//! each with a number and checksums. The file is filled with zeros ahead of the records, so that making a record
//! durable changes no metadata of the file system. A thread of the log does this and syncs whenever something
//! was appended, with at most one sync at a time and two milliseconds between them; what is appended meanwhile goes
//! with the next one. When more than half of the file says nothing new, it is written again without that, under another
//! name, synced, and put in place.

mod compact;
mod contents;
pub(crate) mod done;
mod entry;
mod error;
#[cfg(test)]
mod fault_tests;
mod files;
mod frame;
mod header;
mod medium;
mod open;
mod scan;
mod system;
#[cfg(test)]
mod tests;
mod writer;

use std::path::{Path, PathBuf};

pub use self::contents::MAX_RESULT_BYTES;
pub use self::entry::Entry;
pub use self::error::{CheckpointError, Damage};
pub use self::open::JobIdentity;

use self::done::DoneSet;
use self::files::Lock;
use self::system::call;
use self::writer::Writer;

/// An open log. Dropping it syncs what was appended.
#[derive(Debug)]
pub struct CheckpointLog {
    path: PathBuf,
    writer: Writer,
    /// Last, so that the log is closed before another run may have it.
    _lock: Lock,
}

impl CheckpointLog {
    /// Opens the log at `path`, or begins one if there is none. `result` gets each item with a result that the log
    /// keeps, in no particular order.
    ///
    /// # Errors
    ///
    /// Every variant of [`CheckpointError`] but those about a single item, and whatever `result` returns.
    pub fn open(
        path: impl AsRef<Path>,
        job: &JobIdentity,
        result: impl FnMut(u64, &[u8]) -> Result<(), CheckpointError>,
    ) -> Result<Self, CheckpointError> {
        let path = path.as_ref();
        let (writer, lock) =
            open::open(path, &job.identity(), result).map_err(|error| error.at(path))?;
        Ok(Self {
            path: path.to_owned(),
            writer,
            _lock: lock,
        })
    }

    /// Removes the log at `path`, if there is one that nobody has open.
    ///
    /// # Errors
    ///
    /// [`CheckpointError::Locked`], [`CheckpointError::Io`], and [`CheckpointError::NotALog`] when it is something else.
    pub fn discard(path: impl AsRef<Path>) -> Result<(), CheckpointError> {
        let path = path.as_ref();
        open::discard(path).map_err(|error| error.at(path))
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How many items are done.
    #[must_use]
    pub fn done(&self) -> u64 {
        self.writer.with_done(|done, _| done.len())
    }

    /// How many items were skipped; they are done as well.
    #[must_use]
    pub fn skipped(&self) -> u64 {
        self.writer.with_done(|_, skipped| skipped.len())
    }

    /// Whether an item is done.
    #[must_use]
    pub fn is_done(&self, item: u64) -> bool {
        self.writer.with_done(|done, _| done.contains(item))
    }

    /// Hands the items of `entry` to the system and empties it. They are synced soon, by the log's own thread.
    ///
    /// # Errors
    ///
    /// [`CheckpointError::Io`] when the system does not take them, and [`CheckpointError::Repeated`] when one of them is
    /// done. After an error nothing more is taken; everything before it can be read again.
    pub fn append(&self, entry: &mut Entry) -> Result<(), CheckpointError> {
        self.writer
            .append(entry)
            .map_err(|error| error.at(&self.path))
    }

    /// Waits until everything that was appended is on disk.
    ///
    /// Where several threads wait, one of them syncs for all.
    ///
    /// # Errors
    ///
    /// [`CheckpointError::Io`], after which nothing more is taken.
    pub fn sync(&self) -> Result<(), CheckpointError> {
        self.writer.sync().map_err(|error| error.at(&self.path))
    }

    /// Closes the log and removes it.
    pub(crate) fn remove(self) -> Result<(), CheckpointError> {
        let Self {
            path,
            writer,
            _lock: lock,
        } = self;
        drop(writer);
        let removed =
            call(&path, || std::fs::remove_file(&path)).map_err(CheckpointError::io("remove"));
        drop(lock);
        removed.map_err(|error| error.at(&path))
    }

    /// A copy of the set of items that are done, and of those that were skipped.
    pub(crate) fn sets(&self) -> (DoneSet, DoneSet) {
        self.writer
            .with_done(|done, skipped| (done.clone(), skipped.clone()))
    }

    /// The items that have been appended and are not yet on disk.
    pub(crate) fn unsynced(&self) -> u64 {
        self.writer.unsynced()
    }

    /// With more items than this not yet on disk, the log's thread syncs without a rest.
    pub(crate) fn hurry_at(&self, items: u64) {
        self.writer.hurry_at(items);
    }

    /// Whether nothing more is taken.
    pub(crate) fn is_broken(&self) -> bool {
        self.writer.is_broken()
    }

    /// What broke it, once.
    pub(crate) fn take_error(&self) -> Option<CheckpointError> {
        self.writer.take_error().map(|error| error.at(&self.path))
    }

    /// Is called after every sync, from the log's own thread.
    pub(crate) fn on_sync(&self, call: Box<dyn Fn() + Send + Sync>) {
        self.writer.on_sync(call);
    }
}

/// Reads any bytes as a log, for fuzzing: the items that are done, and whether an end was cut off.
#[cfg(fuzzing)]
pub fn read_any(
    bytes: &[u8],
    mut result: impl FnMut(u64, &[u8]),
) -> Result<(u64, bool), CheckpointError> {
    let image = scan::scan(
        bytes,
        |_| Ok(()),
        |item, bytes| {
            result(item, bytes);
            Ok(())
        },
    )?;
    assert!(image.end <= image.len && image.len == bytes.len() as u64);
    assert!(image.skipped.len() <= image.done.len());
    Ok((image.done.len(), image.clean))
}

/// Any bytes as records whose checksums are right, for fuzzing.
#[cfg(fuzzing)]
pub fn dress(contents: &[&[u8]]) -> Vec<u8> {
    let mut log = JobIdentity::new("fuzz").identity().encode();
    for (sequence, contents) in contents.iter().enumerate() {
        let kind = match contents.first().map(|byte| byte % 3) {
            Some(0) => frame::Kind::Done,
            Some(1) => frame::Kind::Results,
            _ => frame::Kind::Skipped,
        };
        let contents = contents.get(1..).unwrap_or_default();
        let offset = log.len() as u64;
        frame::Frame::write(kind, sequence as u64, (offset, offset), contents, &mut log);
    }
    log
}
