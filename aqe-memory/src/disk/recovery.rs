//! From the files of a folder to what its entries are.
//!
//! Every record has a version, and of each key the record of the highest version counts; the order of files and the
//! order of records in them mean nothing. A record that is damaged is left out and reported.

use std::collections::BTreeSet;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::error::DiskError;
use super::file::{self, Header};
use super::files::Files;
use super::superblock::Superblock;
use super::system;
use crate::seal::Opener;
use crate::segment::packed::{self, Packed};

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
    let entries = system::call(|| fs::read_dir(folder)).map_err(read)?;
    let mut numbers = BTreeSet::new();
    for entry in entries {
        let entry = entry.map_err(DiskError::of("list", folder))?;
        numbers.extend(file::number(Path::new(&entry.file_name())));
    }
    Ok(numbers)
}

/// Reads the header of a file; `None` if it is no segment of this store, which goes to `damage`.
pub(crate) fn header(
    files: &Files,
    superblock: &Superblock,
    number: u64,
    damage: &mut Vec<Damage>,
) -> Result<Option<Header>, DiskError> {
    let path = file::path(&files.folder, number);
    let mut bytes = [0; file::HEADER as usize];
    let read = files
        .get(number)
        .and_then(|file| file::read_at(&file, &mut bytes, 0));
    read.map_err(DiskError::of("read", &path))?;
    let header = Header::decode(&bytes)
        .filter(|header| header.store == superblock.id && header.file == number);
    // A file without a byte is one whose creation did not come to its end.
    if header.is_none() && bytes.iter().any(|byte| *byte != 0) {
        damage.push(Damage {
            path,
            bytes: 0..file::HEADER,
            what: "not the file of a segment of this store",
        });
    }
    Ok(header)
}

/// Reads a file's records behind `from`. What is there that is no record goes to `damage`. Gives where the next record could
/// be written.
pub(crate) fn scan(
    files: &Files,
    (number, seed): (u64, u32),
    opener: Option<&Opener>,
    from: u32,
    damage: &mut Vec<Damage>,
    mut each: impl FnMut(FoundRecord<'_>),
) -> Result<u32, DiskError> {
    let path = file::path(&files.folder, number);
    let read = files.get(number).and_then(|file| read_from(&file, from));
    let bytes = read.map_err(DiskError::of("read", &path))?;
    let (mut record, mut forged) = (Vec::new(), Vec::new());
    let scanned = file::scan(&bytes, seed, 0, |found| {
        let size = packed::space(found.record.len()) as u32;
        let offset = from + found.offset;
        record.clear();
        record.extend_from_slice(found.record);
        let opened = packed::unseal(&mut record, opener, offset);
        match opened.and_then(|()| Packed::read(&record)) {
            Some(packed) => each(FoundRecord {
                packed,
                offset,
                size,
            }),
            None => forged.push(offset..offset + size),
        }
    });
    damage.extend(forged.into_iter().map(|bytes: Range<u32>| Damage {
        path: path.clone(),
        bytes: file::HEADER + u64::from(bytes.start)..file::HEADER + u64::from(bytes.end),
        what: "not what was sealed there",
    }));
    let begin = file::HEADER + u64::from(from);
    damage.extend(scanned.damaged.iter().map(|bytes| Damage {
        path: path.clone(),
        bytes: begin + u64::from(bytes.start)..begin + u64::from(bytes.end),
        what: "no record whose checksum fits",
    }));
    // What was never acknowledged looks like what was damaged. Nothing is known of it but that it is there.
    if scanned.torn {
        damage.push(Damage {
            path,
            bytes: begin + u64::from(scanned.end)..begin + bytes.len() as u64,
            what: "no record at its end: a write that did not come to its end, or damage",
        });
    }
    Ok(from + scanned.end)
}

fn read_from(file: &fs::File, from: u32) -> std::io::Result<Vec<u8>> {
    let begin = file::HEADER as usize + from as usize;
    let mut bytes = vec![0; file::length(file)?.saturating_sub(begin)];
    let read = file::read_at(file, &mut bytes, begin as u64)?;
    bytes.truncate(read);
    Ok(bytes)
}
