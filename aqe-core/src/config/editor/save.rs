//! Replacing a file so that nobody ever meets half of it.
//!
//! The new text goes to a file beside the old one, to the disk, and under the old name in one step. A crash leaves the
//! old text or the new one, and at worst a stray temporary file.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::super::{EditError, discover};

/// Attempts to find a name for the temporary file that nobody uses.
const MAX_NAMES: u32 = 100;

/// Replaces the text of a file that must still hold `expected`, or must not exist if that is `None`.
pub(super) fn replace(path: &Path, expected: Option<&str>, text: &str) -> Result<(), EditError> {
    // A link stays a link: what it points to is replaced.
    let target = match fs::canonicalize(path) {
        Ok(target) => target,
        Err(error) if error.kind() == io::ErrorKind::NotFound => path.to_owned(),
        Err(source) => return Err(failed(path, "find", source)),
    };
    let (temporary, file) =
        create_beside(&target).map_err(|source| failed(&target, "create a file beside", source))?;
    let result = write(&file, &target, text)
        .map_err(|source| failed(&temporary, "write", source))
        // As late as possible: the shorter the time until the rename, the less likely is a change in between.
        .and_then(|()| check_unchanged(&target, expected))
        .and_then(|()| {
            fs::rename(&temporary, &target).map_err(|source| failed(&target, "replace", source))
        });
    if result.is_err() {
        // The error that is returned matters more than one of the clean-up.
        let _ = fs::remove_file(&temporary);
        return result;
    }
    sync_folder(&target);
    Ok(())
}

fn failed(path: &Path, action: &'static str, source: io::Error) -> EditError {
    EditError::Io {
        path: path.to_owned(),
        action,
        source,
    }
}

/// Creates a new file in the same folder, because a rename cannot cross file systems.
fn create_beside(target: &Path) -> io::Result<(PathBuf, File)> {
    let name = target
        .file_name()
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "the path has no file name"))?;
    for attempt in 0..MAX_NAMES {
        let mut temporary = OsString::from(".");
        temporary.push(name);
        temporary.push(format!(".{}.{attempt}.tmp", std::process::id()));
        let temporary = target.with_file_name(temporary);
        match OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&temporary)
        {
            Ok(file) => return Ok((temporary, file)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::Error::new(
        io::ErrorKind::AlreadyExists,
        "all names for a temporary file are taken",
    ))
}

fn write(mut file: &File, target: &Path, text: &str) -> io::Result<()> {
    match fs::metadata(target) {
        // Replacing needs no permission on the file itself, but whoever took that away meant it.
        Ok(old) if old.permissions().readonly() => {
            return Err(io::Error::new(
                io::ErrorKind::PermissionDenied,
                "the file is read-only",
            ));
        }
        Ok(old) => take_over_owner_and_mode(file, &old)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

#[cfg(unix)]
fn take_over_owner_and_mode(file: &File, old: &fs::Metadata) -> io::Result<()> {
    use std::os::unix::fs::{MetadataExt, fchown};

    let new = file.metadata()?;
    if (new.uid(), new.gid()) != (old.uid(), old.gid()) {
        // Only an administrator can give a file away; for everybody else the file becomes theirs, as with any editor
        // that saves in one step.
        let _ = fchown(file, Some(old.uid()), Some(old.gid()));
    }
    file.set_permissions(old.permissions())
}

#[cfg(not(unix))]
fn take_over_owner_and_mode(file: &File, old: &fs::Metadata) -> io::Result<()> {
    file.set_permissions(old.permissions())
}

fn check_unchanged(target: &Path, expected: Option<&str>) -> Result<(), EditError> {
    let changed = match (discover::read(target), expected) {
        (Ok(found), Some(expected)) => found != expected.as_bytes(),
        (Ok(_), None) => true,
        (Err(_), expected) => expected.is_some(),
    };
    if changed {
        return Err(EditError::ChangedMeanwhile {
            path: target.to_owned(),
        });
    }
    Ok(())
}

/// Puts the rename itself on disk. Some network file systems cannot do that for a folder; by then the file is replaced,
/// and an error would say that it is not.
#[cfg(unix)]
fn sync_folder(target: &Path) {
    let folder = target
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    let _ =
        File::open(folder.unwrap_or_else(|| Path::new("."))).and_then(|folder| folder.sync_all());
}

/// Elsewhere a folder cannot be opened as a file; the system's own journal has to do.
#[cfg(not(unix))]
fn sync_folder(_target: &Path) {}
