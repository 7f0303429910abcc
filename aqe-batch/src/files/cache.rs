//! Results by content, in a folder.
//!
//! Each is a file of its own with a checksum, written under another name and renamed, so that a process that is killed
//! leaves a whole one or none, and several processes can share a folder. What is damaged, by whatever, counts as not
//! there: the file is done again. Nothing is synced, as what a crash of the machine costs is some repeated work.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use parking_lot::Mutex;

const MAGIC: &[u8; 8] = b"aqekept1";

/// Magic, kind, and checksum.
const HEADER: usize = 13;

/// What an entry is kept under.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Key(pub(super) blake3::Hash);

/// What is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Cached {
    /// It was done.
    Done,
    /// It was done, with this result.
    Result(Vec<u8>),
}

#[derive(Debug)]
pub(super) struct Cache {
    folder: PathBuf,
    max_bytes: u64,
    /// Bytes written since the last time that it was trimmed.
    written: AtomicU64,
    /// Held by who trims.
    trimming: Mutex<()>,
}

/// Distinguishes the files that threads of one process write at the same time.
static NEXT: AtomicU64 = AtomicU64::new(0);

impl Cache {
    pub(super) fn open(folder: &Path, max_bytes: u64) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let cache = Self {
            folder: folder.to_owned(),
            max_bytes,
            written: AtomicU64::new(0),
            trimming: Mutex::new(()),
        };
        cache.trim();
        Ok(cache)
    }

    /// Whether a file of this key was done.
    pub(super) fn has(&self, key: &Key) -> bool {
        self.take(key).is_some()
    }

    /// What is kept under a key. What is damaged is removed.
    pub(super) fn take(&self, key: &Key) -> Option<Cached> {
        let path = self.path(key);
        let mut bytes = Vec::new();
        let file = File::open(&path).ok()?;
        (&file).take(self.max_bytes).read_to_end(&mut bytes).ok()?;
        let entry = decode(&bytes);
        if entry.is_none() {
            drop(fs::remove_file(&path));
            return None;
        }
        // It was used now. Where that cannot be noted, it goes earlier than it might.
        drop(file.set_modified(SystemTime::now()));
        entry
    }

    /// Keeps something, and says whether it did: what would take more than an eighth of the room is not kept.
    pub(super) fn put(&self, key: &Key, entry: &Cached) -> io::Result<bool> {
        let bytes = encode(entry);
        if bytes.len() as u64 > self.max_bytes / 8 {
            return Ok(false);
        }
        let path = self.path(key);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let nth = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("{}.{nth}.new", std::process::id());
        let new = self.folder.join(name);
        let written = File::create(&new)
            .and_then(|mut file| file.write_all(&bytes))
            .and_then(|()| fs::rename(&new, &path));
        if written.is_err() {
            drop(fs::remove_file(&new));
        }
        let before = self
            .written
            .fetch_add(bytes.len() as u64, Ordering::Relaxed);
        if before + bytes.len() as u64 >= self.max_bytes / 8 {
            self.trim();
        }
        written.map(|()| true)
    }

    /// Removes what was not used for longest, until what is left fits.
    pub(super) fn trim(&self) {
        let Some(_trimming) = self.trimming.try_lock() else {
            return;
        };
        self.written.store(0, Ordering::Relaxed);
        let mut entries = self.entries();
        let mut bytes: u64 = entries.iter().map(|(_, len, _)| len).sum();
        if bytes <= self.max_bytes {
            return;
        }
        entries.sort_by_key(|(used, _, _)| *used);
        // A little more than needed, so that it is not needed again at once.
        let target = self.max_bytes - self.max_bytes / 8;
        for (_, len, path) in entries {
            if bytes <= target {
                break;
            }
            if fs::remove_file(path).is_ok() {
                bytes -= len;
            }
        }
    }

    /// When each was used, its size, and where it is.
    fn entries(&self) -> Vec<(SystemTime, u64, PathBuf)> {
        let list = |folder: &Path| fs::read_dir(folder).into_iter().flatten().flatten();
        let mut entries = Vec::new();
        for first in list(&self.folder) {
            let path = first.path();
            let inner = list(&path).map(|it| it.path());
            // What a killed process has left half written goes as any other.
            for path in inner.chain((!path.is_dir()).then(|| path.clone())) {
                if let Ok(metadata) = fs::metadata(&path)
                    && is_ours(&path)
                    && metadata.is_file()
                {
                    let used = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
                    entries.push((used, metadata.len(), path));
                }
            }
        }
        entries
    }

    fn path(&self, key: &Key) -> PathBuf {
        let name = key.0.to_hex();
        let (folder, name) = name.split_at(2);
        self.folder.join(folder).join(format!("{name}.kept"))
    }
}

/// Whether a file has a name that this gives. The folder may have been somebody's before, and what else is in it stays.
fn is_ours(path: &Path) -> bool {
    let name = path.file_name().and_then(|it| it.to_str());
    match name.and_then(|it| it.rsplit_once('.')) {
        Some((hash, "kept")) => {
            hash.len() == 2 * blake3::OUT_LEN - 2 && hash.bytes().all(|it| it.is_ascii_hexdigit())
        }
        Some((numbers, "new")) => numbers.split('.').all(|it| it.parse::<u64>().is_ok()),
        _ => false,
    }
}

fn encode(entry: &Cached) -> Vec<u8> {
    let (kind, payload) = match entry {
        Cached::Done => (0, &[][..]),
        Cached::Result(bytes) => (1, bytes.as_slice()),
    };
    let mut bytes = Vec::with_capacity(HEADER + payload.len());
    bytes.extend_from_slice(MAGIC);
    bytes.push(kind);
    bytes.extend_from_slice(&checksum(kind, payload).to_le_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

fn decode(bytes: &[u8]) -> Option<Cached> {
    let (header, payload) = bytes.split_at_checked(HEADER)?;
    let kind = header[8];
    if !header.starts_with(MAGIC) || header[9..] != checksum(kind, payload).to_le_bytes() {
        return None;
    }
    match kind {
        0 if payload.is_empty() => Some(Cached::Done),
        1 => Some(Cached::Result(payload.to_vec())),
        _ => None,
    }
}

fn checksum(kind: u8, payload: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&[kind]);
    hasher.update(payload);
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn key(n: u64) -> Key {
        Key(blake3::hash(&n.to_le_bytes()))
    }

    #[test]
    fn what_was_kept_is_found_and_what_is_damaged_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(folder.path(), 1 << 20).unwrap();
        let result = Cached::Result(b"{\"lines\":7}".to_vec());
        cache.put(&key(1), &result).unwrap();
        cache.put(&key(2), &Cached::Done).unwrap();
        assert_eq!(cache.take(&key(1)), Some(result.clone()));
        assert_eq!(cache.take(&key(2)), Some(Cached::Done));
        assert_eq!(cache.take(&key(3)), None);

        let path = cache.path(&key(1));
        let whole = fs::read(&path).unwrap();
        for at in 0..whole.len() {
            let mut flipped = whole.clone();
            flipped[at] ^= 4;
            fs::write(&path, flipped).unwrap();
            assert_eq!(cache.take(&key(1)), None, "flipped at {at}");
            assert!(!path.exists());
            fs::write(&path, &whole[..at]).unwrap();
            assert_eq!(cache.take(&key(1)), None, "cut at {at}");
        }
        fs::write(&path, &whole).unwrap();
        assert_eq!(cache.take(&key(1)), Some(result));
    }

    #[test]
    fn the_folder_does_not_outgrow_its_bound() {
        let folder = tempfile::tempdir().unwrap();
        let most = 10_000;
        let cache = Cache::open(folder.path(), most).unwrap();
        let others = ["notes.txt", "notes.new", "1.2.new.txt", "ab/all.kept"];
        let others = others.map(|name| folder.path().join(name));
        fs::create_dir(folder.path().join("ab")).unwrap();
        for other in &others {
            fs::write(other, vec![0; 20_000]).unwrap();
        }
        let size = |cache: &Cache| cache.entries().iter().map(|it| it.1).sum::<u64>();
        let result = Cached::Result(vec![7; 500 - HEADER]);
        for n in 0..200 {
            cache.put(&key(n), &result).unwrap();
            let long_ago = SystemTime::UNIX_EPOCH + Duration::from_secs(n);
            let file = File::options().write(true).open(cache.path(&key(n)));
            file.unwrap().set_modified(long_ago).unwrap();
            // One is used again and again.
            assert!(n < 3 || cache.has(&key(3)), "{n}");
            assert!(size(&cache) <= most + most / 8);
        }
        assert!(cache.has(&key(199)) && !cache.has(&key(4)));
        // What is not ours stays, and what a killed process has left does not.
        let left = folder.path().join("123.4.new");
        fs::write(&left, vec![0; 20_000]).unwrap();
        cache.trim();
        assert!(!left.exists());
        assert!(others.iter().all(|other| other.exists()));
        // What would push out everything else is not kept.
        let huge = Cached::Result(vec![0; 2_000]);
        cache.put(&key(999), &huge).unwrap();
        assert!(!cache.has(&key(999)));
        let trimmed = Cache::open(folder.path(), 1_000).unwrap();
        assert!(size(&trimmed) <= 1_000);
    }
}
