//! From the files of a folder to what its entries are.
//!
//! Every record has a version, and of each key the record of the highest version counts; the order of files and the
//! order of records in them mean nothing. A record that is damaged is left out and reported.

use std::collections::BTreeSet;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::error::DiskError;
use super::file::{self, Header, Scanned};
use super::files::Files;
use super::superblock::Superblock;
use crate::segment::packed::{Form, Packed};

/// A file whose records were read.
#[derive(Debug)]
pub(crate) struct Scan {
    pub(crate) header: Header,
    pub(crate) scanned: Scanned,
}

/// Bytes of a store's folder that cannot be used. They are left as they are.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Damage {
    /// The file.
    pub path: PathBuf,
    /// Which bytes of it.
    pub bytes: Range<u64>,
    /// What is wrong with them.
    pub what: &'static str,
}

/// A record that was found, and where.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FoundRecord<'a> {
    pub(crate) packed: Packed<'a>,
    pub(crate) offset: u32,
    pub(crate) size: u32,
}

/// The numbers of a folder's files of segments, the lowest first.
pub(crate) fn numbers(folder: &Path) -> Result<BTreeSet<u64>, DiskError> {
    let read = DiskError::of("list", folder);
    let entries = fs::read_dir(folder).map_err(read)?;
    let mut numbers = BTreeSet::new();
    for entry in entries {
        let entry = entry.map_err(DiskError::of("list", folder))?;
        numbers.extend(file::number(Path::new(&entry.file_name())));
    }
    Ok(numbers)
}

/// Reads a file. What it holds that is no record goes to `damage`; a file that is no segment of this store gives nothing.
pub(crate) fn scan(
    files: &Files,
    superblock: &Superblock,
    number: u64,
    damage: &mut Vec<Damage>,
    mut each: impl FnMut(&Header, FoundRecord<'_>),
) -> Result<Option<Scan>, DiskError> {
    let path = file::path(&files.folder, number);
    let read = files.get(number).and_then(|file| read_all(&file));
    let bytes = read.map_err(DiskError::of("read", &path))?;
    let len = bytes.len() as u64;
    let header = Header::decode(&bytes)
        .filter(|header| header.store == superblock.id && header.file == number);
    let Some(header) = header else {
        // A file without a byte is one whose creation did not come to its end.
        if bytes.iter().any(|byte| *byte != 0) {
            damage.push(Damage {
                path,
                bytes: 0..len,
                what: "not the file of a segment of this store",
            });
        }
        return Ok(None);
    };
    let records = &bytes[file::HEADER as usize..];
    let scanned = file::scan(records, header.seed(), 0, |found| {
        let size = crate::segment::packed::space(found.record.len()) as u32;
        if let Some(packed) = Packed::read(found.record) {
            let offset = found.offset;
            each(
                &header,
                FoundRecord {
                    packed,
                    offset,
                    size,
                },
            );
        }
    });
    damage.extend(scanned.damaged.iter().map(|bytes| Damage {
        path: path.clone(),
        bytes: file::HEADER + u64::from(bytes.start)..file::HEADER + u64::from(bytes.end),
        what: "no record whose checksum fits",
    }));
    Ok(Some(Scan { header, scanned }))
}

fn read_all(file: &fs::File) -> std::io::Result<Vec<u8>> {
    let mut bytes = vec![0; file::length(file)?];
    let read = file::read_at(file, &mut bytes, 0)?;
    bytes.truncate(read);
    Ok(bytes)
}

/// Whether a record says that its key's entry is gone.
pub(crate) fn is_gone(packed: &Packed<'_>) -> bool {
    packed.form == Form::Gone
}
