//! From a path to an open log: locked, checked, cut, compacted and with room ahead.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

use super::compact;
use super::done::MAX_ITEMS;
use super::error::CheckpointError;
use super::files::{Lock, NotReplaced, replace, write_zeros};
use super::header::{HEADER_LEN, Identity};
use super::scan::{Image, scan};
use super::system::call;
use super::writer::{FIRST_SEGMENT, Writer};

/// What must be the same for a run to be resumed: name, version, number of items, and whatever else the result depends
/// on.
#[derive(Clone, Debug)]
pub struct JobIdentity {
    name: String,
    total: Option<u64>,
    hasher: blake3::Hasher,
}

impl JobIdentity {
    /// A job of this name, which messages show.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        let identity = Self {
            name: name.into(),
            total: None,
            hasher: blake3::Hasher::new(),
        };
        let name = identity.name.clone();
        identity.part(name)
    }

    /// Adds something that the results depend on. The order counts.
    #[must_use]
    pub fn part(mut self, bytes: impl AsRef<[u8]>) -> Self {
        let bytes = bytes.as_ref();
        // With its length, so that "ab", "c" and "a", "bc" are not the same.
        self.hasher.update(&(bytes.len() as u64).to_le_bytes());
        self.hasher.update(bytes);
        self
    }

    /// Sets how many items there are, at most 2⁴⁸.
    #[must_use]
    pub fn total(mut self, items: u64) -> Self {
        self.total = Some(items.min(MAX_ITEMS));
        self
    }

    pub(crate) fn identity(&self) -> Identity {
        Identity {
            hash: *self.hasher.finalize().as_bytes(),
            total: self.total,
            name: self.name.clone(),
        }
    }
}

pub(super) fn open(
    path: &Path,
    identity: &Identity,
    result: impl FnMut(u64, &[u8]) -> Result<(), CheckpointError>,
) -> Result<(Writer, Lock), CheckpointError> {
    let lock = Lock::acquire(path)?;
    let mut options = OpenOptions::new();
    let options = options.read(true).write(true);
    let mut file = match call(path, || options.open(path)) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => create(path, identity)?,
        Err(error) => return Err(CheckpointError::io("open")(error)),
    };
    if length(path, &file)? == 0 {
        // Somebody made the name beforehand, as programs that make temporary files do.
        file = create(path, identity)?;
    }
    file.seek(SeekFrom::Start(0))
        .map_err(CheckpointError::io("read"))?;
    let mut image = scan(&file, |found| identity.accepts(found), result)?;
    if compact::is_worthwhile(&image) {
        match compact::compact(path, &file, identity, &image) {
            Ok(compacted) => (file, image) = compacted,
            // The old log is in its place and whole, and a disk without room is no reason not to read it.
            Err(NotReplaced::Kept(CheckpointError::Io { .. })) => {}
            Err(error) => return Err(error.into()),
        }
    }
    if !image.clean {
        cut(path, &file, &mut image)?;
    }
    let writer = Writer::start(path, identity, file, image)?;
    Ok((writer, lock))
}

/// Removes a log. Another file of that name is left alone.
pub(super) fn discard(path: &Path) -> Result<(), CheckpointError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(CheckpointError::io("open")(error)),
    };
    let _lock = Lock::acquire(path)?;
    let mut header = Vec::new();
    file.take(HEADER_LEN as u64)
        .read_to_end(&mut header)
        .map_err(CheckpointError::io("read"))?;
    match Identity::decode(&header) {
        Err(error @ CheckpointError::NotALog { .. }) if !header.is_empty() => Err(error),
        _ => std::fs::remove_file(path).map_err(CheckpointError::io("remove")),
    }
}

fn create(path: &Path, identity: &Identity) -> Result<File, CheckpointError> {
    let created = replace(path, |file| {
        call(path, || file.write_all(&identity.encode()))
            .and_then(|()| {
                call(path, || {
                    write_zeros(file, FIRST_SEGMENT - HEADER_LEN as u64)
                })
            })
            .map_err(CheckpointError::io("create"))
    })?;
    Ok(created)
}

/// Cuts a torn end off, for good, before anything is written in its place.
fn cut(path: &Path, file: &File, image: &mut Image) -> Result<(), CheckpointError> {
    call(path, || file.set_len(image.end))
        .and_then(|()| call(path, || file.sync_all()))
        .map_err(CheckpointError::io("cut the torn end of"))?;
    image.len = image.end;
    image.clean = true;
    Ok(())
}

fn length(path: &Path, file: &File) -> Result<u64, CheckpointError> {
    let metadata = call(path, || file.metadata()).map_err(CheckpointError::io("read"))?;
    Ok(metadata.len())
}
