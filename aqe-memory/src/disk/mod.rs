//! A store's folder: one file for each segment of compressed entries, and one that says what the folder is.
//!
//! What is in a file is what is in memory, byte for byte. A record is written to its file before whoever put it hears of
//! that; from then on it survives the end of the process. What is synced survives a power cut.

pub(crate) mod dictionary;
pub(crate) mod error;
pub(crate) mod file;
pub(crate) mod files;
mod lock;
pub(crate) mod recovery;
pub(crate) mod snapshot;
pub(crate) mod superblock;
pub(crate) mod sync;
pub(crate) mod system;
pub(crate) mod tip;

use std::collections::HashMap;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

pub(crate) use self::error::DiskError;
use self::file::{HEADER, Header};
use self::files::Files;
pub(crate) use self::lock::WriteLock;
use self::snapshot::Known;
use self::sync::Dirty;
use self::tip::Tip;
use crate::clock::Millis;
use crate::seal::KEY_REF;

/// What the one who writes knows of a folder. Used under the lock of the tiers.
#[derive(Debug)]
pub(crate) struct Disk {
    pub(crate) files: Arc<Files>,
    tip: Arc<Tip>,
    store: [u8; 16],
    next_file: u64,
    /// Bytes of all files.
    bytes: u64,
    /// Bytes of records that were written since the last snapshot.
    unknown: u64,
    most_bytes: u64,
    /// Files with records that may not be on the disk yet.
    dirty: HashMap<u64, Arc<File>>,
    /// Whether there are files whose names may not be on the disk yet.
    dirty_names: bool,
    /// Files of segments that are gone, which the system refused to remove.
    pub(crate) left: Vec<Left>,
}

/// A file nothing of which is needed any more. What is in it must not be found again: until it is gone, others say of its
/// records that they are over, and snapshots know it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Left {
    pub(crate) known: Known,
    /// No record in it has a lower version.
    pub(crate) lowest_version: u64,
}

/// Where a segment's records are besides.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OnDisk {
    pub(crate) file: u64,
    /// With what the checksums of its records begin.
    pub(crate) seed: u32,
}

impl Disk {
    pub(crate) fn new(
        (files, tip): (Arc<Files>, Arc<Tip>),
        store: [u8; 16],
        next_file: u64,
        bytes: u64,
        most_bytes: u64,
    ) -> Self {
        Self {
            files,
            tip,
            store,
            next_file,
            bytes,
            unknown: 0,
            most_bytes,
            dirty: HashMap::new(),
            dirty_names: true,
            left: Vec::new(),
        }
    }

    /// The number of the file that is created next.
    pub(crate) fn next_file(&self) -> u64 {
        self.next_file
    }

    /// Creates the file of a segment.
    pub(crate) fn create(
        &mut self,
        (epoch, end): (Millis, Millis),
        key: Option<[u8; KEY_REF]>,
    ) -> Result<OnDisk, DiskError> {
        let header = Header {
            store: self.store,
            file: self.next_file,
            epoch,
            end,
            key,
        };
        let created = file::create(&self.files.folder, &header)?;
        // Only now: a number whose file could not be created is tried again.
        self.next_file += 1;
        self.tip.created(self.next_file);
        self.bytes += HEADER;
        self.dirty_names = true;
        let created = self.files.keep(header.file, created);
        self.dirty.insert(header.file, created);
        Ok(OnDisk {
            file: header.file,
            seed: header.seed(),
        })
    }

    /// Whether a record of this size fits into what the folder may take.
    pub(crate) fn has_room(&self, size: u64) -> bool {
        self.bytes + HEADER + size <= self.most_bytes
    }

    /// Writes a record at its offset behind the file's header.
    pub(crate) fn append(
        &mut self,
        on_disk: OnDisk,
        offset: u32,
        record: &[u8],
    ) -> Result<(), DiskError> {
        let path = || file::path(&self.files.folder, on_disk.file);
        let file = match self.dirty.get(&on_disk.file) {
            Some(file) => Arc::clone(file),
            None => {
                let file = self.files.get(on_disk.file);
                let file = file.map_err(|error| DiskError::of("open", &path())(error))?;
                self.dirty.insert(on_disk.file, Arc::clone(&file));
                file
            }
        };
        file::write_at(&file, record, HEADER + u64::from(offset))
            .map_err(|error| DiskError::of("write to", &path())(error))?;
        self.tip.appended(on_disk.file);
        self.bytes += record.len() as u64;
        self.unknown += record.len() as u64;
        Ok(())
    }

    /// What has to be synced for all records of versions below `version`, which are written.
    pub(crate) fn take_dirty(&mut self, version: u64) -> Dirty {
        Dirty {
            version,
            files: self.dirty.drain().map(|(_, file)| file).collect(),
            names: std::mem::take(&mut self.dirty_names),
        }
    }

    /// Forgets a file of this many bytes of records, which was removed.
    pub(crate) fn forget(&mut self, on_disk: OnDisk, bytes: u64) {
        self.tip.removed();
        self.dirty.remove(&on_disk.file);
        self.bytes = self.bytes.saturating_sub(HEADER + bytes);
    }

    /// How many bytes of records were written since this was [reset](Self::snapshot_begins).
    pub(crate) fn unknown(&self) -> u64 {
        self.unknown
    }

    /// Says that what is written so far will be in a snapshot.
    pub(crate) fn snapshot_begins(&mut self) {
        self.unknown = 0;
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }
}

/// Makes sure that a folder is there.
pub(crate) fn create_folder(folder: &Path) -> Result<(), DiskError> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    // What is in it is nobody else's business.
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    system::call(|| builder.create(folder)).map_err(DiskError::of("create", folder))
}

/// Any bytes as each of the files of a folder, for fuzzing; the first byte says which.
#[cfg(fuzzing)]
pub(crate) fn fuzz(data: &[u8]) {
    let Some((kind, data)) = data.split_first() else {
        return;
    };
    let mut dressed = data.to_vec();
    dressed.extend_from_slice(&crc32fast::hash(data).to_le_bytes());
    for bytes in [data, &dressed] {
        match kind % 4 {
            0 => {
                let _ = Header::decode(bytes);
                let mut end = 0;
                let scanned = file::scan(bytes, 7, 0, |found| {
                    assert!(found.offset >= end);
                    end = found.offset + found.record.len() as u32;
                    let _ = crate::segment::packed::Packed::read(found.record);
                });
                assert!(scanned.end >= end);
                let _ = crate::segment::packed::Packed::read(bytes);
            }
            1 => {
                if let Some(snapshot) = snapshot::Snapshot::decode(bytes) {
                    assert_eq!(snapshot.encode(), bytes);
                }
            }
            2 => {
                let _ = superblock::Superblock::decode(bytes);
            }
            _ => {
                let store = data.get(12..28).and_then(|id| id.try_into().ok());
                let _ = dictionary::decode(bytes, store.unwrap_or_default(), None);
            }
        }
    }
}
