//! The files of a log: the log itself, the lock beside it, and the one that takes its place.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::error::CheckpointError;

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
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(beside(log, ".lock"))
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

/// Puts a file with the contents that `write` writes in the place of `path`, in one step that a crash cannot halve.
pub(crate) fn replace(
    path: &Path,
    write: impl FnOnce(&mut File) -> Result<(), CheckpointError>,
) -> Result<File, CheckpointError> {
    let new = beside(path, ".new");
    let written = write_new(&new, write).and_then(|file| {
        fs::rename(&new, path).map_err(CheckpointError::io("put in place a"))?;
        sync_folder(path).map_err(CheckpointError::io("put in place a"))?;
        Ok(file)
    });
    if written.is_err() {
        // It may not even be there. What counts is the error that was.
        drop(fs::remove_file(&new));
    }
    written
}

fn write_new(
    new: &Path,
    write: impl FnOnce(&mut File) -> Result<(), CheckpointError>,
) -> Result<File, CheckpointError> {
    let mut file = OpenOptions::new()
        .create(true)
        .truncate(true)
        .read(true)
        .write(true)
        .open(new)
        .map_err(CheckpointError::io("create"))?;
    write(&mut file)?;
    file.sync_all().map_err(CheckpointError::io("sync"))?;
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
