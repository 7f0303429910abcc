//! The index as it was at some moment, so that a store can be opened without reading all of its records.
//!
//! A snapshot says which files there were and how far each was filled, and has the slots of all entries up to there. Whoever
//! opens the store reads what is behind that in each file, and files that were not there; everything else is taken as it
//! is. A snapshot that does not fit, for whatever reason, is as good as none: all records are read then.
//!
//! **Invariant:** what a snapshot names is on the disk before the snapshot has its name.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::error::DiskError;
use super::superblock::take;
use super::system;
use crate::clock::Millis;
use crate::disk::OnDisk;
use crate::index::Slot;
use crate::marks::Mark;
use crate::seal::KEY_REF;
use crate::seal::Opener;
use crate::segment::Segment;

/// A file as a snapshot knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Known {
    pub(crate) file: u64,
    /// Where the record behind the last known one begins.
    pub(crate) used: u32,
    pub(crate) dead: u32,
    pub(crate) epoch: Millis,
    pub(crate) end: Millis,
    pub(crate) seed: u32,
    /// Whether some of its records have tags.
    pub(crate) has_tags: bool,
    /// What it says of the key of its records, if they are sealed.
    pub(crate) key: Option<[u8; KEY_REF]>,
}

impl Known {
    /// What is known of a segment's file.
    pub(crate) fn of(segment: &Segment, on_disk: OnDisk) -> Self {
        Self {
            file: on_disk.file,
            used: segment.used(),
            dead: segment.dead(),
            epoch: segment.epoch,
            end: segment.end,
            seed: on_disk.seed,
            has_tags: segment.has_tags(),
            key: segment.opener.as_ref().map(Opener::key_ref),
        }
    }
}

/// The slots of all entries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Snapshot {
    /// The store's.
    pub(crate) store: [u8; 16],
    /// What hashing a certain text gave: another program may hash otherwise, to which the slots mean nothing.
    pub(crate) hashing: u64,
    /// The version that the next record was to have.
    pub(crate) version: u64,
    pub(crate) files: Vec<Known>,
    /// Tags that were invalidated: namespace, hash, and when.
    pub(crate) marks: Vec<(u16, u64, Mark)>,
    /// For each shard, the slots: the number of a segment is the place of its file in `files`.
    pub(crate) shards: Vec<Vec<Slot>>,
}

const NAME: &str = "index";
const MAGIC: &[u8; 8] = b"aqe-idx\n";
const FORMAT: u32 = 2;
/// What is longer is not ours: a slot for each byte of every segment there can be would be longer, but not by what is
/// stored in it.
const MOST_BYTES: u64 = 8 << 30;

impl Snapshot {
    /// Reads the one of a folder. `None` if there is none that can be used.
    pub(crate) fn load(folder: &Path) -> Option<Self> {
        let file = system::call(|| File::open(folder.join(NAME))).ok()?;
        let len = file.metadata().ok()?.len();
        if len > MOST_BYTES {
            return None;
        }
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(usize::try_from(len).ok()?).ok()?;
        file.take(len).read_to_end(&mut bytes).ok()?;
        Self::decode(&bytes)
    }

    /// Writes it beside the one that is there. It takes that one's place in [`publish`].
    pub(crate) fn write(&self, folder: &Path) -> Result<(), DiskError> {
        let path = folder.join("index.new");
        system::write_file(&path, &self.encode()).map_err(DiskError::of("write", &path))
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let slots: usize = self.shards.iter().map(Vec::len).sum();
        let mut bytes = Vec::with_capacity(
            128 + self.files.len() * 80 + self.marks.len() * 34 + self.shards.len() * 4 + slots * 8,
        );
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&FORMAT.to_le_bytes());
        bytes.extend_from_slice(&self.store);
        bytes.extend_from_slice(&self.hashing.to_le_bytes());
        bytes.extend_from_slice(&self.version.to_le_bytes());
        bytes.extend_from_slice(&(self.files.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&(self.shards.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&(self.marks.len() as u32).to_le_bytes());
        for known in &self.files {
            bytes.extend_from_slice(&known.file.to_le_bytes());
            bytes.extend_from_slice(&known.used.to_le_bytes());
            bytes.extend_from_slice(&known.dead.to_le_bytes());
            bytes.extend_from_slice(&known.epoch.to_le_bytes());
            bytes.extend_from_slice(&known.end.to_le_bytes());
            bytes.extend_from_slice(&known.seed.to_le_bytes());
            bytes.push(known.has_tags.into());
            bytes.push(known.key.is_some().into());
            bytes.extend_from_slice(&known.key.unwrap_or([0; KEY_REF]));
        }
        for (namespace, tag, mark) in &self.marks {
            bytes.extend_from_slice(&namespace.to_le_bytes());
            bytes.extend_from_slice(&tag.to_le_bytes());
            bytes.extend_from_slice(&mark.version.to_le_bytes());
            bytes.extend_from_slice(&mark.until.to_le_bytes());
            bytes.extend_from_slice(&mark.file.to_le_bytes());
        }
        for shard in &self.shards {
            bytes.extend_from_slice(&(shard.len() as u32).to_le_bytes());
        }
        for slot in self.shards.iter().flatten() {
            bytes.extend_from_slice(&slot.bits().to_le_bytes());
        }
        bytes.extend_from_slice(&crc32fast::hash(&bytes).to_le_bytes());
        bytes
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let (content, checksum) = bytes.split_last_chunk()?;
        if u32::from_le_bytes(*checksum) != crc32fast::hash(content) {
            return None;
        }
        let mut rest = content.strip_prefix(MAGIC)?;
        if word(&mut rest)? != FORMAT {
            return None;
        }
        let store = *take(&mut rest)?;
        let (hashing, version) = (long(&mut rest)?, long(&mut rest)?);
        let (files, shards) = (word(&mut rest)?, word(&mut rest)?);
        let marks = word(&mut rest)?;
        let mut known = Vec::new();
        for _ in 0..files {
            known.push(Known {
                file: long(&mut rest)?,
                used: word(&mut rest)?,
                dead: word(&mut rest)?,
                epoch: long(&mut rest)?,
                end: long(&mut rest)?,
                seed: word(&mut rest)?,
                has_tags: match take(&mut rest)? {
                    [0] => false,
                    [1] => true,
                    _ => return None,
                },
                key: match (take(&mut rest)?, *take(&mut rest)?) {
                    ([0], key) if key == [0; KEY_REF] => None,
                    ([1], key) => Some(key),
                    _ => return None,
                },
            });
        }
        let mut marked = Vec::new();
        for _ in 0..marks {
            let namespace = u16::from_le_bytes(*take(&mut rest)?);
            let tag = long(&mut rest)?;
            let mark = Mark {
                version: long(&mut rest)?,
                until: long(&mut rest)?,
                file: long(&mut rest)?,
            };
            marked.push((namespace, tag, mark));
        }
        let (mut counts, mut slots) = rest.split_at_checked(shards as usize * 4)?;
        let mut decoded = Vec::new();
        for _ in 0..shards {
            let count = word(&mut counts)? as usize;
            let (shard, behind) = slots.split_at_checked(count * 8)?;
            slots = behind;
            let shard = shard.chunks_exact(8).map(|slot| {
                let bits = slot
                    .iter()
                    .rev()
                    .fold(0, |bits, byte| bits << 8 | u64::from(*byte));
                Slot::from_bits(bits)
            });
            decoded.push(shard.collect());
        }
        slots.is_empty().then_some(Self {
            store,
            hashing,
            version,
            files: known,
            marks: marked,
            shards: decoded,
        })
    }
}

/// Gives the snapshot that was written last the name under which it is found.
pub(crate) fn publish(folder: &Path) -> Result<(), DiskError> {
    let path = folder.join(NAME);
    system::rename(&folder.join("index.new"), &path).map_err(DiskError::of("replace", &path))
}

fn word(bytes: &mut &[u8]) -> Option<u32> {
    take(bytes).map(|bytes| u32::from_le_bytes(*bytes))
}

fn long(bytes: &mut &[u8]) -> Option<u64> {
    take(bytes).map(|bytes| u64::from_le_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::Place;

    fn example() -> Snapshot {
        let slot = |segment| {
            let place = Place { segment, offset: 8 };
            Slot::new(segment * 7, place, 0)
        };
        let known = |file| Known {
            file,
            used: 4096,
            dead: 7,
            epoch: 1_600_000_000_000,
            end: Millis::MAX,
            seed: 77,
            has_tags: file == 2,
            key: (file == 1).then_some([8; KEY_REF]),
        };
        Snapshot {
            store: [3; 16],
            hashing: 5,
            version: 99,
            files: (0..3).map(known).collect(),
            marks: vec![(
                7,
                8,
                Mark {
                    version: 9,
                    until: 10,
                    file: 11,
                },
            )],
            shards: vec![vec![slot(0), slot(1)], vec![], vec![slot(2)]],
        }
    }

    #[test]
    fn it_comes_back() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Snapshot::load(folder.path()), None);
        example().write(folder.path()).unwrap();
        assert_eq!(Snapshot::load(folder.path()), None, "it has no name yet");
        publish(folder.path()).unwrap();
        assert_eq!(Snapshot::load(folder.path()), Some(example()));
    }

    #[test]
    fn every_cut_and_every_flip_makes_it_useless() {
        let bytes = example().encode();
        assert_eq!(Snapshot::decode(&bytes), Some(example()));
        for at in 0..bytes.len() {
            assert_eq!(Snapshot::decode(&bytes[..at]), None, "cut at {at}");
            let mut flipped = bytes.clone();
            flipped[at] ^= 4;
            assert_eq!(Snapshot::decode(&flipped), None, "byte {at}");
        }
    }
}
