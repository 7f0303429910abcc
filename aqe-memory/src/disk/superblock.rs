//! The file that says what a folder is: the store's identity, and the names of its namespaces.
//!
//! It is small and is replaced as a whole: written beside the old one, synced, and renamed.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use super::error::{DiskError, OpenError};
use super::system;

/// What the file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Superblock {
    pub(crate) id: [u8; 16],
    /// The key of the index's hashes.
    pub(crate) seed: u64,
    /// The store's keys, wrapped. Empty if nothing is sealed.
    pub(crate) keys: Vec<u8>,
    /// Namespaces by name.
    pub(crate) names: BTreeMap<String, u16>,
}

/// The newest format of folders that is known.
pub(crate) const FORMAT: u32 = 1;

const NAME: &str = "store";
const MAGIC: &[u8; 8] = b"aqe-mem\n";
/// No file of ours is longer: every namespace there can be, with a name of 255 bytes.
const MOST_BYTES: u64 = 20 << 20;
/// The longest name of a namespace, in bytes.
pub(crate) const MOST_NAME: usize = 255;

impl Superblock {
    /// A new store's.
    pub(crate) fn new() -> Self {
        let mut id = [0; 16];
        id[..8].copy_from_slice(&random().to_le_bytes());
        id[8..].copy_from_slice(&random().to_le_bytes());
        Self {
            id,
            seed: random(),
            keys: Vec::new(),
            names: BTreeMap::new(),
        }
    }

    /// Reads the one of a folder; `None` if there is none.
    pub(crate) fn load(folder: &Path) -> Result<Option<Self>, OpenError> {
        let path = folder.join(NAME);
        let file = match system::call(|| File::open(&path)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(DiskError::of("open", &path)(error).into()),
        };
        let mut bytes = Vec::new();
        file.take(MOST_BYTES)
            .read_to_end(&mut bytes)
            .map_err(DiskError::of("read", &path))?;
        match Self::decode(&bytes) {
            Ok(superblock) => Ok(Some(superblock)),
            Err(Defect::Newer(found)) => Err(OpenError::NewerFormat {
                folder: folder.to_owned(),
                found,
                known: FORMAT,
            }),
            Err(Defect::Damaged(what)) => Err(OpenError::Damaged { path, what }),
        }
    }

    /// Writes it into a folder, in place of the one that is there. It is on disk afterwards.
    pub(crate) fn save(&self, folder: &Path) -> Result<(), DiskError> {
        let (path, beside) = (folder.join(NAME), folder.join("store.new"));
        system::write_file(&beside, &self.encode()).map_err(DiskError::of("write", &beside))?;
        system::rename(&beside, &path).map_err(DiskError::of("replace", &path))?;
        sync_folder(folder).map_err(DiskError::of("sync", folder))
    }

    fn encode(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&FORMAT.to_le_bytes());
        bytes.extend_from_slice(&self.id);
        bytes.extend_from_slice(&self.seed.to_le_bytes());
        bytes.extend_from_slice(&(self.keys.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&self.keys);
        bytes.extend_from_slice(&(self.names.len() as u32).to_le_bytes());
        for (name, number) in &self.names {
            bytes.extend_from_slice(&number.to_le_bytes());
            bytes.push(name.len() as u8);
            bytes.extend_from_slice(name.as_bytes());
        }
        bytes.extend_from_slice(&crc32fast::hash(&bytes).to_le_bytes());
        bytes
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, Defect> {
        let cut = Defect::Damaged("it is cut short");
        let mut rest = bytes
            .strip_prefix(MAGIC)
            .ok_or(Defect::Damaged("it is not the file of a store"))?;
        // The format comes before the checksum: of a newer one, only this much is known.
        let format = u32::from_le_bytes(*take(&mut rest).ok_or(cut)?);
        if format > FORMAT {
            return Err(Defect::Newer(format));
        }
        let (content, checksum) = bytes.split_last_chunk().ok_or(cut)?;
        if u32::from_le_bytes(*checksum) != crc32fast::hash(content) {
            return Err(Defect::Damaged("its checksum does not fit"));
        }
        let id = *take(&mut rest).ok_or(cut)?;
        let seed = u64::from_le_bytes(*take(&mut rest).ok_or(cut)?);
        let keys = u32::from_le_bytes(*take(&mut rest).ok_or(cut)?);
        let (keys, behind) = rest.split_at_checked(keys as usize).ok_or(cut)?;
        rest = behind;
        let count = u32::from_le_bytes(*take(&mut rest).ok_or(cut)?);
        let mut names = BTreeMap::new();
        for _ in 0..count {
            let number = u16::from_le_bytes(*take(&mut rest).ok_or(cut)?);
            let [len] = *take(&mut rest).ok_or(cut)?;
            let (name, after) = rest.split_at_checked(len.into()).ok_or(cut)?;
            rest = after;
            let name = str::from_utf8(name).map_err(|_| Defect::Damaged("a name is not text"))?;
            names.insert(name.to_owned(), number);
        }
        let keys = keys.to_vec();
        Ok(Self {
            id,
            seed,
            keys,
            names,
        })
    }
}

/// A number that nobody can foresee, for keys of hashes and for identities.
pub(crate) fn random() -> u64 {
    use std::hash::{BuildHasher, Hasher, RandomState};
    // The standard library keys its own hashes at random.
    RandomState::new().build_hasher().finish()
}

/// What is wrong with the bytes of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Defect {
    Damaged(&'static str),
    Newer(u32),
}

/// Takes so many bytes off the front.
pub(super) fn take<'a, const N: usize>(bytes: &mut &'a [u8]) -> Option<&'a [u8; N]> {
    let (taken, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(taken)
}

/// Makes the names of a folder's files durable.
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    // Elsewhere than on Unix a folder cannot be opened as a file, and names are durable when the system sees fit.
    if cfg!(unix) {
        system::call(|| File::open(folder)?.sync_all())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> Superblock {
        let mut superblock = Superblock::new();
        superblock.keys = vec![1, 2, 3];
        superblock.names.insert("runs".to_owned(), 1);
        superblock.names.insert("flakes".to_owned(), 2);
        superblock
    }

    #[test]
    fn it_comes_back() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Superblock::load(folder.path()).unwrap(), None);
        let superblock = example();
        superblock.save(folder.path()).unwrap();
        assert_eq!(Superblock::load(folder.path()).unwrap(), Some(superblock));
        assert_ne!(Superblock::new().id, Superblock::new().id);
    }

    #[test]
    fn every_cut_and_every_flip_is_seen() {
        let bytes = example().encode();
        for cut in 0..bytes.len() {
            assert!(Superblock::decode(&bytes[..cut]).is_err(), "cut at {cut}");
        }
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut bytes = bytes.clone();
                bytes[at] ^= 1 << bit;
                assert!(
                    Superblock::decode(&bytes).is_err(),
                    "bit {bit} of byte {at}"
                );
            }
        }
    }

    #[test]
    fn a_newer_format_is_named() {
        let mut bytes = example().encode();
        bytes[8] = 7;
        assert_eq!(Superblock::decode(&bytes), Err(Defect::Newer(7)));
    }
}
