//! The files of a log: the log itself, the lock beside it, and the one that takes its place.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::error::CheckpointError;
use super::system::call;

/// Holds off every other run of the same log for as long as it lives, and not longer than the process.
///
/// It is a file of its own because the log is replaced when it is compacted, and a lock on a replaced file locks
/// nothing. The empty file stays behind: to remove it would let two runs lock two files of one name.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

impl Lock {
    pub(crate) fn acquire(log: &Path) -> Result<Self, CheckpointError> {
        let mut options = OpenOptions::new();
        let options = options.create(true).truncate(false).write(true);
        let file = call(log, || options.open(beside(log, ".lock")))
            .map_err(CheckpointError::io("lock"))?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file }),
            Err(TryLockError::WouldBlock) => Err(CheckpointError::Locked { path: None }),
            // Some network file systems have no locks. Then nothing can be promised, which is not to be hidden.
            Err(TryLockError::Error(source)) => Err(CheckpointError::Io {
                path: None,
                doing: "lock",
                source,
            }),
        }
    }
}

/// Why a file was not replaced, or not for certain.
#[derive(Debug)]
pub(crate) enum NotReplaced {
    /// The old file is in its place, as it was.
    Kept(CheckpointError),
    /// The new file is in its place, and the old one may be there again after the machine has stopped.
    Unsure(CheckpointError),
}

impl From<NotReplaced> for CheckpointError {
    fn from(error: NotReplaced) -> Self {
        let (NotReplaced::Kept(error) | NotReplaced::Unsure(error)) = error;
        error
    }
}

/// Puts a file with the contents that `write` writes in the place of `path`, in one step that a crash cannot halve.
pub(crate) fn replace(
    path: &Path,
    write: impl FnOnce(&mut File) -> Result<(), CheckpointError>,
) -> Result<File, NotReplaced> {
    let new = beside(path, ".new");
    let in_place = CheckpointError::io("put in place a");
    let written = write_new(path, &new, write).and_then(|file| {
        call(path, || fs::rename(&new, path)).map_err(in_place)?;
        Ok(file)
    });
    match written {
        Ok(file) => {
            let synced = call(path, || sync_folder(path));
            synced.map_err(|error| {
                NotReplaced::Unsure(CheckpointError::io("put in place a")(error))
            })?;
            Ok(file)
        }
        Err(error) => {
            // It may not even be there. What counts is the error that was.
            drop(fs::remove_file(&new));
            Err(NotReplaced::Kept(error))
        }
    }
}

fn write_new(
    path: &Path,
    new: &Path,
    write: impl FnOnce(&mut File) -> Result<(), CheckpointError>,
) -> Result<File, CheckpointError> {
    let mut options = OpenOptions::new();
    let options = options.create(true).truncate(true).read(true).write(true);
    let mut file = call(path, || options.open(new)).map_err(CheckpointError::io("create"))?;
    write(&mut file)?;
    call(path, || file.sync_all()).map_err(CheckpointError::io("sync"))?;
    Ok(file)
}

/// Writes `len` zeros at the file's position.
pub(crate) fn write_zeros(file: &mut File, mut len: u64) -> io::Result<()> {
    while len > 0 {
        let step = len.min(ZEROS.len() as u64);
        file.write_all(&ZEROS[..step as usize])?;
        len -= step;
    }
    Ok(())
}

/// As much as is written under the log's lock at once; the page cache takes it within some tens of microseconds.
pub(crate) static ZEROS: [u8; 256 << 10] = [0; 256 << 10];

/// Makes the names in a file's folder durable, where folders can be synced.
fn sync_folder(path: &Path) -> io::Result<()> {
    #[cfg(unix)]
    {
        let folder = path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty());
        File::open(folder.unwrap_or_else(|| Path::new(".")))?.sync_all()
    }
    #[cfg(not(unix))]
    {
        let _ = path;
        Ok(())
    }
}

/// `path` with an ending after its own.
pub(crate) fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}
