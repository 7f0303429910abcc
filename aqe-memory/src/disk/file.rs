//! A segment's file: a header, and the records as they are in memory.

use std::fs::{File, OpenOptions};
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::error::DiskError;
use super::system;
use crate::clock::Millis;
use crate::index::{MOST_BYTES_IN_SEGMENT, UNIT};
use crate::seal::KEY_REF;
use crate::segment::packed;

/// Where the records begin in a file.
pub(crate) const HEADER: u64 = 128;

const MAGIC: &[u8; 8] = b"aqe-seg\n";
const FORMAT: u32 = 1;
const EXTENSION: &str = "seg";
/// Where in a header these are.
const KEY: Range<usize> = 56..56 + KEY_REF;
const CHECKSUM: usize = HEADER as usize - 4;

/// What a file's header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    /// The store's.
    pub(crate) store: [u8; 16],
    /// The file's number, which no other file of the store ever had.
    pub(crate) file: u64,
    /// The records' deadlines count from here.
    pub(crate) epoch: Millis,
    /// No record that has its place in the file for its deadline's sake has a later one.
    pub(crate) end: Millis,
    /// What it says of the key of its records, if they are sealed.
    pub(crate) key: Option<[u8; KEY_REF]>,
}

impl Header {
    pub(crate) fn encode(&self) -> [u8; HEADER as usize] {
        let mut bytes = [0; HEADER as usize];
        bytes[..8].copy_from_slice(MAGIC);
        bytes[8..12].copy_from_slice(&FORMAT.to_le_bytes());
        bytes[12..28].copy_from_slice(&self.store);
        bytes[28..36].copy_from_slice(&self.file.to_le_bytes());
        bytes[36..44].copy_from_slice(&self.epoch.to_le_bytes());
        bytes[44..52].copy_from_slice(&self.end.to_le_bytes());
        if let Some(key) = &self.key {
            bytes[52] = 1;
            bytes[KEY].copy_from_slice(key);
        }
        let checksum = crc32fast::hash(&bytes[..CHECKSUM]);
        bytes[CHECKSUM..].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// With what the checksums of the file's records begin.
    pub(crate) fn seed(&self) -> u32 {
        // Without the header's own checksum: what ends with the checksum of all before it has the same one, whatever it is.
        crc32fast::hash(&self.encode()[..CHECKSUM])
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; HEADER as usize] = bytes.first_chunk()?;
        let number = |at: Range<usize>| bytes[at].try_into().ok().map(u64::from_le_bytes);
        let known = bytes.starts_with(MAGIC) && bytes[8..12] == FORMAT.to_le_bytes();
        let fits = bytes[CHECKSUM..] == crc32fast::hash(&bytes[..CHECKSUM]).to_le_bytes();
        (known && fits).then_some(())?;
        Some(Self {
            store: bytes[12..28].try_into().ok()?,
            file: number(28..36)?,
            epoch: number(36..44)?,
            end: number(44..52)?,
            key: match bytes[52] {
                0 => None,
                _ => Some(bytes[KEY].try_into().ok()?),
            },
        })
    }
}

/// The path of a file of this number.
pub(crate) fn path(folder: &Path, file: u64) -> PathBuf {
    folder.join(format!("{file:016x}.{EXTENSION}"))
}

/// The number of the file of this name, if it is that of a segment.
pub(crate) fn number(name: &Path) -> Option<u64> {
    if name.extension()? != EXTENSION {
        return None;
    }
    let digits = name.file_stem()?.to_str()?;
    (digits.len() == 16).then(|| u64::from_str_radix(digits, 16).ok())?
}

/// Creates the file of a new segment.
pub(crate) fn create(folder: &Path, header: &Header) -> Result<File, DiskError> {
    let path = path(folder, header.file);
    let mut options = OpenOptions::new();
    options.read(true).write(true).create_new(true);
    let created = system::call(|| options.open(&path));
    let file = created.map_err(DiskError::of("create", &path))?;
    if let Err(error) = write_at(&file, &header.encode(), 0) {
        // Without a header it is no segment.
        let _ = std::fs::remove_file(&path);
        return Err(DiskError::of("write to", &path)(error));
    }
    Ok(file)
}

/// A record that was found in a file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Found<'a> {
    /// From the first record's first byte.
    pub(crate) offset: u32,
    pub(crate) record: &'a [u8],
}

/// What is in a file behind its last record, and between its records.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Scanned {
    /// Where the next record could be written.
    pub(crate) end: u32,
    /// Bytes that are no record, with records behind them.
    pub(crate) damaged: Vec<Range<u32>>,
    /// Whether there is something behind the last record that is not zero: a record that was not written to its end.
    pub(crate) torn: bool,
}

/// Looks for the records in a file's bytes behind its header, from `from` on. Where there is none, the next one is looked
/// for: records begin at multiples of [`UNIT`] and carry a checksum, so that one which is found is one.
pub(crate) fn scan<'a>(
    bytes: &'a [u8],
    seed: u32,
    from: u32,
    mut each: impl FnMut(Found<'a>),
) -> Scanned {
    let mut scanned = Scanned {
        end: from,
        ..Scanned::default()
    };
    // Every place in damaged bytes may claim to be a long record. What is spent on such claims is bounded by a multiple of
    // the file's length, so that no file takes longer than others by more than that.
    let mut claims = bytes.len().saturating_mul(MOST_CLAIMS);
    let mut offset = from as usize;
    while let Some(rest) = bytes.get(offset..)
        && let Some(word) = rest.first_chunk()
    {
        let Some(len) = packed::whole(rest, seed) else {
            let claimed = packed::length_of(*word);
            if claimed <= rest.len() {
                let Some(left) = claims.checked_sub(claimed) else {
                    break;
                };
                claims = left;
            }
            offset += UNIT as usize;
            continue;
        };
        let (start, record) = (offset as u32, &rest[..len]);
        if start > scanned.end {
            scanned.damaged.push(scanned.end..start);
        }
        each(Found {
            offset: start,
            record,
        });
        offset += packed::space(len) as usize;
        scanned.end = offset as u32;
    }
    let behind = bytes.get(scanned.end as usize..).unwrap_or_default();
    scanned.torn = behind.iter().any(|byte| *byte != 0);
    scanned
}

/// How many times the bytes of a file are looked at in search of a record.
const MOST_CLAIMS: usize = 16;

/// The longest file of a segment: one with a single record of the greatest length.
const MOST_SEGMENT_BYTES: usize = if packed::MOST_BYTES > MOST_BYTES_IN_SEGMENT as usize {
    packed::MOST_BYTES
} else {
    MOST_BYTES_IN_SEGMENT as usize
};

/// How many bytes of a file are looked at: all, but not more than a segment's file can have.
pub(crate) fn length(file: &File) -> io::Result<usize> {
    let most = HEADER + MOST_SEGMENT_BYTES as u64;
    let len = file.metadata()?.len().min(most);
    usize::try_from(len).map_err(|_| io::ErrorKind::FileTooLarge.into())
}

/// Writes all of `bytes` at an offset.
/// Writes all of it; what fails may have written a part.
pub(crate) fn write_at(file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
    #[cfg(test)]
    if let Err(error) = system::call(|| Ok(())) {
        write_all_at(file, &bytes[..bytes.len() / 2], offset)?;
        return Err(error);
    }
    write_all_at(file, bytes, offset)
}

#[cfg(unix)]
fn write_all_at(file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::write_all_at(file, bytes, offset)
}

/// Reads up to `bytes.len()` bytes from an offset; fewer only where the file ends.
#[cfg(unix)]
pub(crate) fn read_at(file: &File, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
    fill(bytes, offset, |bytes, offset| {
        system::call(|| std::os::unix::fs::FileExt::read_at(file, bytes, offset))
    })
}

#[cfg(windows)]
fn write_all_at(file: &File, mut bytes: &[u8], mut offset: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        match std::os::windows::fs::FileExt::seek_write(file, bytes, offset) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => {
                bytes = &bytes[written..];
                offset += written as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(windows)]
pub(crate) fn read_at(file: &File, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
    fill(bytes, offset, |bytes, offset| {
        system::call(|| std::os::windows::fs::FileExt::seek_read(file, bytes, offset))
    })
}

fn fill(
    bytes: &mut [u8],
    offset: u64,
    mut read: impl FnMut(&mut [u8], u64) -> io::Result<usize>,
) -> io::Result<usize> {
    let mut filled = 0;
    while filled < bytes.len() {
        match read(&mut bytes[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(some) => filled += some,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::segment::Lifetime;
    use crate::segment::extras::Extras;
    use crate::segment::packed::{Form, Packed};

    const SEED: u32 = 99;

    fn record(number: u8) -> Vec<u8> {
        let mut record = Vec::new();
        let packed = Packed {
            namespace: 0,
            key: &[number; 5],
            lifetime: Lifetime::until(5, 0),
            version: number.into(),
            form: Form::Plain,
            extras: Extras::default(),
            stored: &[number; 30],
        };
        packed.write(&mut record);
        packed::finish(&mut record, packed.version, packed.lifetime, SEED, None);
        record
    }

    fn image(records: u8) -> Vec<u8> {
        let mut image = Vec::new();
        for number in 0..records {
            image.extend(record(number));
            image.resize(packed::space(image.len()) as usize, 0);
        }
        image
    }

    fn versions(image: &[u8]) -> (Vec<u64>, Scanned) {
        let mut versions = Vec::new();
        let scanned = scan(image, SEED, 0, |found| {
            assert_eq!(found.offset % UNIT, 0);
            versions.push(Packed::read(found.record).unwrap().version);
        });
        (versions, scanned)
    }

    #[test]
    fn a_header_comes_back_and_a_damaged_one_does_not() {
        let header = Header {
            store: [7; 16],
            file: 0x1234_5678_9abc,
            epoch: 1_600_000_000_123,
            end: Millis::MAX,
            key: Some([9; KEY_REF]),
        };
        let bytes = header.encode();
        assert_eq!(Header::decode(&bytes), Some(header));
        for at in 0..bytes.len() {
            let mut bytes = bytes;
            bytes[at] ^= 0x10;
            assert_eq!(Header::decode(&bytes), None, "byte {at}");
            assert_eq!(Header::decode(&bytes[..at]), None);
        }
    }

    /// It was the checksum of the whole header with its checksum, which is the same number for all headers.
    #[test]
    fn files_have_seeds_of_their_own() {
        let header = |file| Header {
            store: [7; 16],
            file,
            epoch: 1_600_000_000_123,
            end: Millis::MAX,
            key: None,
        };
        assert_ne!(header(1).seed(), header(2).seed());
    }

    #[test]
    fn names_are_those_of_segments_or_are_left_alone() {
        let folder = Path::new("folder");
        assert_eq!(number(&path(folder, 0xab)), Some(0xab));
        for other in [
            "store",
            "1.seg",
            "00000000000000zz.seg",
            "0000000000000001.tmp",
        ] {
            assert_eq!(number(Path::new(other)), None, "{other}");
        }
    }

    #[test]
    fn a_file_that_is_cut_keeps_all_records_before_the_cut() {
        let whole = image(5);
        let each = whole.len() / 5;
        for cut in 0..whole.len() {
            let (found, scanned) = versions(&whole[..cut]);
            // The last bytes of a record's place can be padding, which nobody misses.
            let padding = each - record(0).len();
            let most = (cut + padding) / each;
            assert_eq!(found, (0..most as u64).collect::<Vec<_>>(), "cut at {cut}");
            assert!(scanned.damaged.is_empty());
        }
    }

    #[test]
    fn a_byte_that_is_flipped_costs_its_record_alone() {
        let whole = image(5);
        let each = whole.len() / 5;
        for at in 0..whole.len() {
            let mut image = whole.clone();
            image[at] ^= 0x41;
            let hit = at / each;
            let (found, scanned) = versions(&image);
            let mut expected: Vec<_> = (0..5).collect();
            if at % each < record(0).len() {
                expected.remove(hit);
            }
            assert_eq!(found, expected, "byte {at}");
            match expected.len() {
                5 => assert_eq!(scanned.damaged, []),
                _ if hit == 4 => assert!(scanned.torn),
                _ => {
                    let damaged = (hit * each) as u32..((hit + 1) * each) as u32;
                    assert_eq!(scanned.damaged, [damaged]);
                }
            }
        }
    }
}
