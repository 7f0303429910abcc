//! Files of dictionaries. Each is written before the first record needs it, and stays.

use std::fs::{self, File};
use std::io::{self, Read};
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

use super::error::DiskError;
use super::recovery::Damage;
use super::superblock::sync_folder;
use super::system;
use crate::codec::Dictionary;
use crate::dictionaries::Made;
use crate::seal::{KEY_REF, TAG, Vault, What};

const MAGIC: &[u8; 8] = b"aqe-dic\n";
const FORMAT: u32 = 1;
const EXTENSION: &str = "dict";
/// Magic, format, store, number, namespace, whether it is sealed, the key: what is bound to a sealed dictionary.
const HEADER: usize = 8 + 4 + 16 + 4 + 2 + 1 + KEY_REF;
/// What is longer is not ours.
const MOST_BYTES: usize = HEADER + Dictionary::MAX_BYTES + TAG + 4;

/// Writes a dictionary, in place of what was kept of it. It is on disk afterwards.
pub(crate) fn save(
    folder: &Path,
    store: [u8; 16],
    (namespace, dictionary): (u16, &Dictionary),
    vault: Option<&Vault>,
) -> Result<(), DiskError> {
    let id = dictionary.id().get();
    let path = path(folder, id);
    let (bytes, beside) = (
        encode(store, namespace, dictionary, vault),
        path.with_extension("new"),
    );
    let written = bytes.and_then(|bytes| system::write_file(&beside, &bytes));
    written.map_err(DiskError::of("write", &beside))?;
    system::rename(&beside, &path).map_err(DiskError::of("replace", &path))?;
    sync_folder(folder).map_err(DiskError::of("sync", folder))
}

/// Reads the dictionary of a number. `None` if there is none, or if it is damaged or sealed with a key that is not known.
pub(crate) fn load(
    folder: &Path,
    id: u32,
    store: [u8; 16],
    vault: Option<&Vault>,
) -> Result<Option<Made>, DiskError> {
    let path = path(folder, id);
    match read(&path) {
        Ok(bytes) => Ok(decode(&bytes, store, vault)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(DiskError::of("read", &path)(error)),
    }
}

/// Reads all dictionaries of a folder. One that is damaged is left out.
pub(crate) fn load_all(
    folder: &Path,
    store: [u8; 16],
    vault: Option<&Vault>,
    damage: &mut Vec<Damage>,
) -> Result<Vec<Made>, DiskError> {
    let entries = system::call(|| fs::read_dir(folder)).map_err(DiskError::of("list", folder))?;
    let mut all = Vec::new();
    for entry in entries {
        let path = entry.map_err(DiskError::of("list", folder))?.path();
        if path.extension().is_some_and(|it| it == EXTENSION) {
            let bytes = read(&path).map_err(DiskError::of("read", &path))?;
            match decode(&bytes, store, vault) {
                Some(made) => all.push(made),
                None => damage.push(Damage {
                    bytes: 0..bytes.len() as u64,
                    what: "not a dictionary of this store",
                    path,
                }),
            }
        }
    }
    Ok(all)
}

fn path(folder: &Path, id: u32) -> PathBuf {
    folder.join(format!("{id:08x}.{EXTENSION}"))
}

fn read(path: &PathBuf) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let file = system::call(|| File::open(path))?;
    file.take(MOST_BYTES as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn encode(
    store: [u8; 16],
    namespace: u16,
    dictionary: &Dictionary,
    vault: Option<&Vault>,
) -> io::Result<Vec<u8>> {
    let id = dictionary.id().get();
    let sealer = vault.map(|vault| vault.sealer(What::Dictionary, id.into()));
    let sealer = sealer.transpose()?;
    let mut bytes = MAGIC.to_vec();
    bytes.extend_from_slice(&FORMAT.to_le_bytes());
    bytes.extend_from_slice(&store);
    bytes.extend_from_slice(&id.to_le_bytes());
    bytes.extend_from_slice(&namespace.to_le_bytes());
    bytes.push(sealer.is_some().into());
    let key = sealer.as_ref().map(|sealer| sealer.key_ref());
    bytes.extend_from_slice(&key.unwrap_or([0; KEY_REF]));
    debug_assert_eq!(bytes.len(), HEADER);
    bytes.extend_from_slice(dictionary.bytes());
    if let Some(sealer) = sealer {
        let (header, body) = bytes.split_at_mut(HEADER);
        let tag = sealer.seal(0, header, body);
        bytes.extend_from_slice(&tag);
    }
    bytes.extend_from_slice(&crc32fast::hash(&bytes).to_le_bytes());
    Ok(bytes)
}

pub(super) fn decode(bytes: &[u8], store: [u8; 16], vault: Option<&Vault>) -> Option<Made> {
    let (content, checksum) = bytes.split_last_chunk()?;
    let fits = u32::from_le_bytes(*checksum) == crc32fast::hash(content);
    let (header, body) = content.split_at_checked(HEADER)?;
    let known = header.starts_with(MAGIC) && header[8..12] == FORMAT.to_le_bytes();
    if !fits || !known || header[12..28] != store {
        return None;
    }
    let id = u32::from_le_bytes(header[28..32].try_into().ok()?);
    let namespace = u16::from_le_bytes(header[32..34].try_into().ok()?);
    let mut body = body.to_vec();
    if header[34] != 0 {
        let key = header[35..].try_into().ok()?;
        let opener = vault?.opener(What::Dictionary, id.into(), key).ok()?;
        let (text, tag) = body.split_last_chunk_mut()?;
        opener.open(0, header, text, tag)?;
        body.truncate(body.len() - TAG);
    }
    Some(Made {
        namespace,
        dictionary: Dictionary::new(NonZeroU32::new(id)?, body).ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> Dictionary {
        let id = NonZeroU32::new(7).unwrap();
        Dictionary::new(id, b"what values have in common".to_vec()).unwrap()
    }

    #[test]
    fn it_comes_back() {
        let folder = tempfile::tempdir().unwrap();
        let mut damage = Vec::new();
        save(folder.path(), [1; 16], (3, &example()), None).unwrap();
        let all = load_all(folder.path(), [1; 16], None, &mut damage).unwrap();
        assert_eq!((all.len(), all[0].namespace), (1, 3));
        assert_eq!(all[0].dictionary.id(), example().id());
        assert_eq!(all[0].dictionary.bytes(), example().bytes());
        assert_eq!(damage, []);
        assert!(
            load_all(folder.path(), [2; 16], None, &mut damage)
                .unwrap()
                .is_empty()
        );
        assert_eq!(damage.len(), 1, "it is another store's");
    }

    #[test]
    fn every_cut_and_every_flip_is_seen() {
        let bytes = encode([1; 16], 3, &example(), None).unwrap();
        assert!(decode(&bytes, [1; 16], None).is_some());
        for at in 0..bytes.len() {
            assert!(decode(&bytes[..at], [1; 16], None).is_none());
            let mut flipped = bytes.clone();
            flipped[at] ^= 1;
            assert!(decode(&flipped, [1; 16], None).is_none(), "byte {at}");
        }
    }
}
