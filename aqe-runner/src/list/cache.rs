//! Listings that were made before.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::{CaseKind, ListedTest, Listing};
use crate::cache_file::CacheFile;
use crate::elf;

/// Which file this is, as far as the file system tells without reading it.
///
/// The inode's change time is part of it where there is one, since `touch` and archive tools can set the modification
/// time back, and nothing can set the change time.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct FileIdentity {
    path: String,
    device: u64,
    inode: u64,
    size: u64,
    modified_ns: u64,
    changed_ns: u64,
}

impl FileIdentity {
    /// Looks at a file. Take it *before* asking the file anything that will be remembered under it.
    ///
    /// # Errors
    ///
    /// When the file cannot be looked at, or its path is not UTF-8.
    pub fn of(path: &Path) -> io::Result<Self> {
        let metadata = fs::metadata(path)?;
        let Some(text) = path.to_str() else {
            return Err(io::Error::new(
                io::ErrorKind::InvalidFilename,
                "the path is not UTF-8",
            ));
        };
        let (device, inode, changed_ns) = inode(&metadata);
        Ok(Self {
            path: text.to_owned(),
            device,
            inode,
            size: metadata.len(),
            modified_ns: nanos(metadata.modified()?),
            changed_ns,
        })
    }

    /// Whether the file is old enough that a later change would show in its times.
    ///
    /// File systems stamp files with a coarse clock, so a file that was written a moment ago could be written again
    /// without any of its times changing. Linux stamps with the clock of the timer tick, at most 10 ms; a stamp that is
    /// no multiple of that shows that the file system keeps it in full. Others keep whole seconds, or even ones.
    fn is_settled(&self, now: SystemTime) -> bool {
        let newest = self.modified_ns.max(self.changed_ns);
        let settling = if newest.is_multiple_of(10_000_000) {
            SETTLING_COARSE
        } else {
            SETTLING_FINE
        };
        nanos(now).saturating_sub(newest) > settling.as_nanos() as u64
    }
}

/// Why the cache could not be written. Nothing depends on it but the time that the next run takes.
#[derive(Debug, thiserror::Error)]
#[error("cannot write the cache of test lists {path}")]
#[non_exhaustive]
pub struct CacheError {
    /// The cache's file.
    pub path: PathBuf,
    /// What the system said.
    pub source: io::Error,
}

/// Listings of binaries that have not changed since they were listed, in one file.
///
/// Only listings that depend on the file alone are remembered: those of binaries whose `main` was made by rustc for its
/// own harness, where the tests are a table in the file. That is told by the function which only this `main` calls
/// being among the file's symbols. A harness of another kind may look for its cases when it is asked (a folder of
/// inputs, for example), so it is asked every time; so is a binary without symbols, and on platforms other than ELF
/// ones every binary.
///
/// The file is a cache in the strict sense: whatever is wrong with it, it reads as empty, and it is replaced as a whole
/// by renaming. It holds at most [`ListCache::MAX_ENTRIES`] binaries, and binaries that changed or vanished leave it
/// when it is next written.
#[derive(Debug)]
pub struct ListCache {
    folder: PathBuf,
    entries: HashMap<String, Entry>,
    changed: bool,
}

/// What is remembered of one binary.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Entry {
    identity: FileIdentity,
    /// The day it was last used, counted from 1970.
    used: u64,
    accepts_test_threads: bool,
    duplicates: Vec<String>,
    /// Name and [flags](flags).
    tests: Vec<(String, u8)>,
}

impl ListCache {
    /// The most binaries that are remembered; the ones not used for longest go first.
    pub const MAX_ENTRIES: usize = 2_000;

    /// Reads the cache of this folder; an unreadable, damaged or foreign file is an empty cache.
    #[must_use]
    pub fn load(folder: &Path) -> Self {
        let entries: Vec<Entry> = FILE.read(folder).unwrap_or_default();
        Self {
            folder: folder.to_owned(),
            entries: entries
                .into_iter()
                .map(|entry| (entry.identity.path.clone(), entry))
                .collect(),
            changed: false,
        }
    }

    /// The listing of this very file, if it is known. Then it is a [libtest binary](is_libtest_binary) as well.
    pub fn lookup(&mut self, identity: &FileIdentity) -> Option<Listing> {
        let entry = self
            .entries
            .get_mut(&identity.path)
            .filter(|entry| entry.identity == *identity)?;
        let today = day(SystemTime::now());
        // Written back once a day, not at every use.
        self.changed |= entry.used != today;
        entry.used = today;
        Some(entry.listing())
    }

    /// Remembers a listing, and says whether it did.
    ///
    /// It does not when the file's tests may change without the file (see the type), when the file changed since
    /// `identity` was taken, or when it was written so recently that another change would not show.
    pub fn remember(&mut self, identity: FileIdentity, listing: &Listing) -> bool {
        self.remember_at(identity, listing, SystemTime::now())
    }

    /// [`remember`](Self::remember) with the present time given.
    pub fn remember_at(
        &mut self,
        identity: FileIdentity,
        listing: &Listing,
        now: SystemTime,
    ) -> bool {
        let path = Path::new(&identity.path);
        if !identity.is_settled(now) || is_libtest_binary(path) != Some(true) {
            return false;
        }
        // After the file was read: what was read is what was listed.
        if FileIdentity::of(path).ok().as_ref() != Some(&identity) {
            return false;
        }
        self.entries.insert(
            identity.path.clone(),
            Entry::new(identity, day(now), listing),
        );
        self.changed = true;
        true
    }

    /// Writes the cache if there is anything new in it, without the binaries that have changed or vanished.
    ///
    /// # Errors
    ///
    /// When it cannot be written; the old one is still in place then.
    pub fn save(&mut self) -> Result<(), CacheError> {
        if !self.changed {
            return Ok(());
        }
        self.entries.retain(|path, entry| {
            FileIdentity::of(Path::new(path)).is_ok_and(|found| found == entry.identity)
        });
        let mut entries: Vec<&Entry> = self.entries.values().collect();
        entries.sort_unstable_by(|a, b| {
            b.used
                .cmp(&a.used)
                .then_with(|| a.identity.path.cmp(&b.identity.path))
        });
        entries.truncate(Self::MAX_ENTRIES);
        FILE.write(&self.folder, &entries)
            .map_err(|source| CacheError {
                path: self.folder.join(FILE.name),
                source,
            })?;
        self.changed = false;
        Ok(())
    }
}

impl Entry {
    fn new(identity: FileIdentity, used: u64, listing: &Listing) -> Self {
        Self {
            identity,
            used,
            accepts_test_threads: listing.accepts_test_threads,
            duplicates: listing
                .duplicates
                .iter()
                .map(|name| name.as_str().to_owned())
                .collect(),
            tests: listing
                .tests
                .iter()
                .map(|test| (test.name.as_str().to_owned(), flags(test)))
                .collect(),
        }
    }

    fn listing(&self) -> Listing {
        let test = |(name, flags): &(String, u8)| {
            let kind = if flags & BENCHMARK == 0 {
                CaseKind::Test
            } else {
                CaseKind::Benchmark
            };
            let mut test = ListedTest::new(name.as_str(), kind);
            test.ignored = flags & IGNORED != 0;
            test
        };
        Listing {
            tests: self.tests.iter().map(test).collect(),
            accepts_test_threads: self.accepts_test_threads,
            duplicates: self
                .duplicates
                .iter()
                .map(|name| name.as_str().into())
                .collect(),
        }
    }
}

fn flags(test: &ListedTest) -> u8 {
    let benchmark = if test.kind == CaseKind::Benchmark {
        BENCHMARK
    } else {
        0
    };
    benchmark | if test.ignored { IGNORED } else { 0 }
}

/// Whether a binary's `main` was made by rustc for its own harness, with the tests as a table in the file; `None` when
/// the file cannot tell (no symbols, or not a 64-bit ELF file).
///
/// Such a harness runs any number of tests by name in one process, which others may not.
#[must_use]
pub fn is_libtest_binary(path: &Path) -> Option<bool> {
    elf::has_static_test_main(&mut File::open(path).ok()?)
        .ok()
        .flatten()
}

#[cfg(unix)]
fn inode(metadata: &fs::Metadata) -> (u64, u64, u64) {
    use std::os::unix::fs::MetadataExt;
    let changed = metadata
        .ctime()
        .saturating_mul(1_000_000_000)
        .saturating_add(metadata.ctime_nsec());
    (
        metadata.dev(),
        metadata.ino(),
        u64::try_from(changed).unwrap_or_default(),
    )
}

/// Elsewhere, path, size and modification time have to do.
#[cfg(not(unix))]
fn inode(_metadata: &fs::Metadata) -> (u64, u64, u64) {
    (0, 0, 0)
}

fn nanos(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

fn day(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs()
        / (24 * 60 * 60)
}

const FILE: CacheFile = CacheFile {
    name: "test-lists.json",
    // Also changes when what is worth remembering changes.
    format: 1,
    // 2,000 binaries with 300 tests of 50 bytes each stay below it.
    max_bytes: 64 * 1024 * 1024,
};
const SETTLING_COARSE: Duration = Duration::from_secs(2);
const SETTLING_FINE: Duration = Duration::from_millis(100);
const BENCHMARK: u8 = 1;
const IGNORED: u8 = 2;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::list::{merge, parse_list};

    fn listing() -> Listing {
        let all = parse_list("a: test\nb: benchmark\nc: test\na: test\n".as_bytes()).unwrap();
        let mut listing = merge(all, parse_list(b"c: test\n").unwrap());
        listing.accepts_test_threads = true;
        listing
    }

    /// A copy of this test binary, which is a static libtest one, written just now.
    fn binary(folder: &Path) -> PathBuf {
        let path = folder.join("binary");
        fs::copy(std::env::current_exe().unwrap(), &path).unwrap();
        path
    }

    /// Puts an entry in without the checks of `remember`, which a file written a moment ago does not pass.
    fn with_entry(folder: &Path, path: &Path) -> (ListCache, FileIdentity) {
        let identity = FileIdentity::of(path).unwrap();
        let mut cache = ListCache::load(folder);
        let entry = Entry::new(identity.clone(), day(SystemTime::now()), &listing());
        cache.entries.insert(identity.path.clone(), entry);
        cache.changed = true;
        (cache, identity)
    }

    #[test]
    fn a_listing_comes_back_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, "x").unwrap();
        let (mut cache, identity) = with_entry(folder.path(), &path);
        cache.save().unwrap();
        assert_eq!(
            ListCache::load(folder.path()).lookup(&identity),
            Some(listing())
        );
    }

    #[test]
    fn any_change_of_the_file_is_another_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, "x").unwrap();
        let (mut cache, identity) = with_entry(folder.path(), &path);
        let changes: [fn(&mut FileIdentity); 5] = [
            |identity| identity.size += 1,
            |identity| identity.inode += 1,
            |identity| identity.device += 1,
            |identity| identity.modified_ns += 1,
            |identity| identity.changed_ns += 1,
        ];
        for change in changes {
            let mut other = identity.clone();
            change(&mut other);
            assert_eq!(cache.lookup(&other), None);
        }
        assert!(cache.lookup(&identity).is_some());
        // Replaced by renaming, as linkers do, with the same size.
        let other = folder.path().join("other");
        fs::write(&other, "y").unwrap();
        fs::rename(&other, &path).unwrap();
        assert_eq!(cache.lookup(&FileIdentity::of(&path).unwrap()), None);
    }

    #[cfg(all(
        target_os = "linux",
        target_pointer_width = "64",
        target_endian = "little"
    ))]
    #[test]
    fn only_settled_binaries_with_a_table_of_tests_are_remembered() {
        let own = std::env::current_exe().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let mut cache = ListCache::load(folder.path());
        let later = SystemTime::now() + Duration::from_secs(10);
        let identity = FileIdentity::of(&own).unwrap();
        assert!(cache.remember_at(identity.clone(), &listing(), later));
        assert_eq!(cache.lookup(&identity), Some(listing()));

        let fresh = binary(folder.path());
        assert!(
            !cache.remember(FileIdentity::of(&fresh).unwrap(), &listing()),
            "written a moment ago"
        );
        let mut other = identity;
        other.inode += 1;
        assert!(
            !cache.remember_at(other, &listing(), later),
            "not the file that is there"
        );
        let shell = FileIdentity::of(Path::new("/bin/sh")).unwrap();
        assert!(!cache.remember_at(shell, &listing(), later), "no harness");
        assert_eq!(is_libtest_binary(folder.path()), None);
    }

    #[test]
    fn settled_is_decided_by_the_newest_time_and_its_precision() {
        let table = [
            (10_000_000_000, 20_000_000_000, 22_000_000_000, false),
            (10_000_000_000, 20_000_000_000, 22_000_000_001, true),
            (20_000_000_000, 10_000_000_000, 21_000_000_000, false),
            (10_000_000_000, 20_000_000_001, 20_100_000_001, false),
            (10_000_000_000, 20_000_000_001, 20_100_000_002, true),
            // A clock that went back.
            (10_000_000_000, 20_000_000_000, 5_000_000_000, false),
        ];
        for (modified_ns, changed_ns, now, expected) in table {
            let path = String::new();
            let identity = FileIdentity {
                path,
                device: 0,
                inode: 0,
                size: 0,
                modified_ns,
                changed_ns,
            };
            assert_eq!(
                identity.is_settled(UNIX_EPOCH + Duration::from_nanos(now)),
                expected,
                "{identity:?} {now}"
            );
        }
    }

    #[test]
    fn vanished_binaries_leave_and_the_least_used_go_first() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let kept = folder.path().join("kept");
        fs::write(&path, "x").unwrap();
        fs::write(&kept, "x").unwrap();
        let (mut cache, _) = with_entry(folder.path(), &path);
        let identity = FileIdentity::of(&kept).unwrap();
        cache.entries.insert(
            identity.path.clone(),
            Entry::new(identity.clone(), 1, &listing()),
        );
        fs::remove_file(&path).unwrap();
        cache.save().unwrap();
        let mut cache = ListCache::load(folder.path());
        assert_eq!(cache.entries.len(), 1);
        assert!(
            cache.lookup(&identity).is_some() && cache.changed,
            "used again on another day"
        );
    }

    #[test]
    fn saving_is_atomic_and_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, "x").unwrap();
        let cache_folder = folder.path().join("cache");
        let (mut cache, _) = with_entry(&cache_folder, &path);
        cache.save().unwrap();
        cache.save().unwrap();
        let names: Vec<_> = fs::read_dir(&cache_folder)
            .unwrap()
            .map(|file| file.unwrap().file_name())
            .collect();
        assert_eq!(names, [FILE.name]);
        // A folder where the file should be: an error, and no temporary file left.
        let blocked = folder.path().join("blocked");
        fs::create_dir_all(blocked.join(FILE.name)).unwrap();
        let (mut cache, _) = with_entry(&blocked, &path);
        assert!(
            cache
                .save()
                .unwrap_err()
                .to_string()
                .contains("test-lists.json")
        );
        assert_eq!(fs::read_dir(&blocked).unwrap().count(), 1);
    }
}
