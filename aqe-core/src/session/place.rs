//! Where a session is: the record that says so, and the socket beside it or, if its path is too long, elsewhere.
//!
//! Whoever holds the lock on a record owns it. The system takes the lock away when a process dies in whatever way, so
//! that what a killed program has left is told from what a live one needs, also when its number is used again.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::state::StateFolder;

/// What is written about a session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    /// The version of the protocol.
    pub(super) aqe: u64,
    pub(super) pid: u32,
    /// When it began, by the wall clock.
    pub(super) started_ms: u64,
    /// The socket: a name in the state folder, or an absolute path.
    pub(super) socket: PathBuf,
}

/// Bytes of a record at most; it takes a few hundred.
const MAX_RECORD_BYTES: u64 = 16 * 1024;

/// Entries of a state folder that are looked at. There are a dozen.
const MAX_ENTRIES: usize = 10_000;

impl Record {
    /// Reads what is there. Nothing, or half of it, is there while a session begins.
    pub(super) fn read(file: &mut impl Read) -> Option<Self> {
        let mut text = Vec::new();
        file.take(MAX_RECORD_BYTES).read_to_end(&mut text).ok()?;
        serde_json::from_slice(&text).ok()
    }

    pub(super) fn socket_in(&self, folder: &StateFolder) -> PathBuf {
        folder.path().join(&self.socket)
    }
}

/// The records of all sessions, the live and the dead.
pub(super) fn records(folder: &StateFolder) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder.path())?.take(MAX_ENTRIES) {
        let name = entry?.file_name();
        let is_record = name
            .to_str()
            .and_then(|name| name.strip_prefix("session"))
            .and_then(|name| name.strip_suffix(".json"))
            .is_some_and(|middle| middle.is_empty() || middle.starts_with('-'));
        if is_record {
            found.push(folder.path().join(name));
        }
    }
    found.sort();
    Ok(found)
}

/// Reads a record by its path.
pub(super) fn read(path: &Path) -> Option<Record> {
    // A pipe of that name would wait for a writer.
    if !path.symlink_metadata().ok()?.is_file() {
        return None;
    }
    Record::read(&mut File::open(path).ok()?)
}

#[cfg(unix)]
pub(super) use self::unix::Place;

#[cfg(unix)]
mod unix {
    use std::collections::hash_map::RandomState;
    use std::ffi::OsStr;
    use std::fs::{self, File, OpenOptions, Permissions, TryLockError};
    use std::hash::BuildHasher as _;
    use std::io::{self, Seek as _, Write as _};
    use std::os::unix::fs::{
        FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _,
    };
    use std::os::unix::net::{SocketAddr, UnixListener};
    use std::path::{Path, PathBuf};
    use std::process;

    use super::{Record, records};
    use crate::session::{SessionError, VERSION};
    use crate::state::{StateFolder, builder};

    /// Sessions of one project that can be alive at once.
    const MAX_SESSIONS: usize = 64;

    /// The socket's name where it has a folder of its own.
    const SOCKET: &str = "session.sock";

    /// How the names of such folders begin.
    const PREFIX: &str = "aqe-session-";

    /// How often a record that vanishes while it is taken is taken again.
    const TRIES: usize = 16;

    /// A session's files; when it is dropped they are removed.
    #[derive(Debug)]
    pub(in crate::session) struct Place {
        folder: StateFolder,
        path: PathBuf,
        record: Record,
        /// Locked for as long as the session lives.
        _held: File,
    }

    impl Place {
        /// Takes a place in the folder, removes what dead sessions have left, and listens.
        pub(in crate::session) fn take(
            folder: &StateFolder,
            started_ms: u64,
        ) -> Result<(Self, UnixListener), SessionError> {
            clear(folder)?;
            let (name, path, mut held) = claim(folder)?;
            // From here on the record is ours, whatever fails.
            let (listener, socket) = match listen(folder, &name) {
                Ok(listening) => listening,
                Err(error) => {
                    let _ = fs::remove_file(&path);
                    return Err(error);
                }
            };
            let record = Record {
                aqe: VERSION,
                pid: process::id(),
                started_ms,
                socket,
            };
            let written = write(&mut held, &record);
            let place = Self {
                folder: folder.clone(),
                path,
                record,
                _held: held,
            };
            match written {
                Ok(()) => Ok((place, listener)),
                Err(source) => Err(failed("write", &place.path, source)),
            }
        }
    }

    impl Drop for Place {
        fn drop(&mut self) {
            remove_socket(&self.record, &self.folder);
            // Last, and while it is locked: without a record nobody would look for the socket.
            let _ = fs::remove_file(&self.path);
        }
    }

    fn write(held: &mut File, record: &Record) -> io::Result<()> {
        let mut text = serde_json::to_vec(record)?;
        text.push(b'\n');
        held.set_len(0)?;
        held.rewind()?;
        held.write_all(&text)
    }

    /// Takes the first record that no live session has.
    fn claim(folder: &StateFolder) -> Result<(String, PathBuf, File), SessionError> {
        let pid = process::id();
        for number in 0..MAX_SESSIONS {
            let name = match number {
                0 => "session".to_owned(),
                1 => format!("session-{pid}"),
                more => format!("session-{pid}-{more}"),
            };
            let path = folder.path().join(format!("{name}.json"));
            let mut options = OpenOptions::new();
            options.read(true).write(true).create(true).mode(0o600);
            match lock(&options, &path) {
                Ok(Some(mut held)) => {
                    // One that was killed since the folder was cleared.
                    if let Some(old) = Record::read(&mut held) {
                        remove_socket(&old, folder);
                    }
                    return Ok((name, path, held));
                }
                Ok(None) => {}
                Err(source) => return Err(failed("lock", &path, source)),
            }
        }
        Err(SessionError::TooMany {
            count: MAX_SESSIONS,
        })
    }

    /// Locks the file at this path, unless somebody else has it.
    fn lock(options: &OpenOptions, path: &Path) -> io::Result<Option<File>> {
        for _ in 0..TRIES {
            let file = options.open(path)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Ok(None),
                Err(TryLockError::Error(error)) => return Err(error),
            }
            // Between the two calls its owner may have removed it; the lock is then on a file that nobody finds.
            let ours = file.metadata()?;
            match path.symlink_metadata() {
                Ok(there) if (there.dev(), there.ino()) == (ours.dev(), ours.ino()) => {
                    return Ok(Some(file));
                }
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    /// Removes what sessions have left that were killed.
    fn clear(folder: &StateFolder) -> Result<(), SessionError> {
        let paths = records(folder).map_err(|source| failed("read", folder.path(), source))?;
        let mut options = OpenOptions::new();
        options.read(true).write(true);
        for path in paths {
            // What cannot be removed is in nobody's way.
            if let Ok(Some(mut held)) = lock(&options, &path) {
                if let Some(record) = Record::read(&mut held) {
                    remove_socket(&record, folder);
                }
                let _ = fs::remove_file(&path);
            }
        }
        Ok(())
    }

    /// Removes a socket and, where it has one of its own, its folder. The record may say anything, so nothing else goes.
    fn remove_socket(record: &Record, folder: &StateFolder) {
        let path = record.socket_in(folder);
        let is_socket = path
            .symlink_metadata()
            .is_ok_and(|metadata| metadata.file_type().is_socket());
        if !is_socket {
            return;
        }
        let parent = path.parent().filter(|parent| *parent != folder.path());
        match parent {
            None => {
                let _ = fs::remove_file(&path);
            }
            Some(own) if is_own_folder(own) && path.file_name() == Some(OsStr::new(SOCKET)) => {
                let _ = fs::remove_file(&path);
                let _ = fs::remove_dir(own);
            }
            Some(_) => {}
        }
    }

    fn is_own_folder(path: &Path) -> bool {
        let name = path.file_name().and_then(OsStr::to_str);
        name.is_some_and(|name| name.starts_with(PREFIX))
            && StateFolder::at(path).is_there().unwrap_or(false)
    }

    /// Listens in the state folder or, if that has too long a path, in a new folder that is ours alone.
    fn listen(folder: &StateFolder, name: &str) -> Result<(UnixListener, PathBuf), SessionError> {
        let socket = PathBuf::from(format!("{name}.sock"));
        let inside = folder.path().join(&socket);
        if SocketAddr::from_pathname(&inside).is_ok() {
            // It has the name of a record that is ours, so nobody else listens on it.
            match fs::remove_file(&inside) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(failed("remove", &inside, error));
                }
                _ => {}
            }
            return Ok((bind(&inside)?, socket));
        }
        let run_time = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
        let run_time = run_time
            .filter(|path| path.is_absolute() && StateFolder::at(path).is_there().unwrap_or(false));
        for above in run_time.into_iter().chain([std::env::temp_dir()]) {
            let chance = RandomState::new().hash_one(process::id());
            let own = above.join(format!("{PREFIX}{chance:016x}"));
            let socket = own.join(SOCKET);
            if SocketAddr::from_pathname(&socket).is_err() || socket.to_str().is_none() {
                continue;
            }
            // One that is there already is somebody else's, and refused.
            builder()
                .create(&own)
                .map_err(|source| failed("create", &own, source))?;
            return match bind(&socket) {
                Ok(listener) => Ok((listener, socket)),
                Err(error) => {
                    let _ = fs::remove_dir(&own);
                    Err(error)
                }
            };
        }
        Err(SessionError::TooLong {
            path: folder.path().to_owned(),
        })
    }

    fn bind(path: &Path) -> Result<UnixListener, SessionError> {
        let listener =
            UnixListener::bind(path).map_err(|source| failed("listen at", path, source))?;
        let protect = || {
            fs::set_permissions(path, Permissions::from_mode(0o600))?;
            listener.set_nonblocking(true)
        };
        protect().map_err(|source| {
            let _ = fs::remove_file(path);
            failed("protect", path, source)
        })?;
        Ok(listener)
    }

    fn failed(action: &'static str, path: &Path, source: io::Error) -> SessionError {
        SessionError::Io {
            action,
            path: path.to_owned(),
            source,
        }
    }
}
