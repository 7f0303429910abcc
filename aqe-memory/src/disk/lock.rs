//! That one process at a time writes to a folder.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::Path;

use super::error::{DiskError, OpenError};
use super::system;

/// The right to write to a folder, until it is dropped or the process ends, however it ends.
#[derive(Debug)]
pub(crate) struct WriteLock {
    _file: File,
}

impl WriteLock {
    /// Takes the right, or says who has it.
    pub(crate) fn take(folder: &Path) -> Result<Self, OpenError> {
        let path = folder.join("lock");
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let opened = system::call(|| options.open(&path));
        let mut file = opened.map_err(DiskError::of("open", &path))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                // What it says is for people; that it is locked is for certain.
                let _ = (&mut file).take(100).read_to_string(&mut holder);
                return Err(OpenError::Locked {
                    folder: folder.to_owned(),
                    holder: match holder.trim() {
                        "" => "another process".to_owned(),
                        holder => holder.to_owned(),
                    },
                });
            }
            Err(TryLockError::Error(error)) => {
                return Err(DiskError::of("lock", &path)(error).into());
            }
        }
        let said = system::call(|| file.set_len(0))
            .and_then(|()| file.rewind())
            .and_then(|()| writeln!(file, "process {}", std::process::id()));
        said.map_err(DiskError::of("write to", &path))?;
        Ok(Self { _file: file })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_writer_hears_who_the_first_is() {
        let folder = tempfile::tempdir().unwrap();
        let lock = WriteLock::take(folder.path()).unwrap();
        let error = WriteLock::take(folder.path()).unwrap_err().to_string();
        let me = format!("is being written to by process {}", std::process::id());
        assert!(error.contains(&me), "{error}");
        drop(lock);
        WriteLock::take(folder.path()).unwrap();
    }
}
