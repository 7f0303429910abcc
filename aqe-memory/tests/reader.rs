//! A reader of a folder sees what was committed before each of its reads, whatever the writer does meanwhile.
//!
//! Here the writer is a store in the same process, so that every step is in order; in `reader_process.rs` it is another process.

#![allow(
    clippy::unwrap_used,
    reason = "a panic fails the test, helpers included"
)]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use aqe_memory::{
    Compression, Damage, EntryOptions, ManualClock, MemoryConfig, OpenError, Reader, Store,
};
use proptest::prelude::*;
use tempfile::TempDir;

/// Small files, so that they are closed, compacted and removed all the time.
fn config() -> MemoryConfig {
    MemoryConfig::default()
        .max_size(2 << 20)
        .cache_size(512 << 10)
        .time_to_live(None)
}

fn open_at(folder: &Path, clock: &ManualClock) -> Reader {
    Reader::builder().clock(clock).open(folder).unwrap()
}

fn value(number: u64, size: usize) -> Vec<u8> {
    let line = format!("value {number}, ");
    line.bytes().cycle().take(size).collect()
}

fn text(found: Option<aqe_memory::Value>) -> Option<String> {
    found.map(|found| String::from_utf8_lossy(&found).into_owned())
}

#[test]
fn what_is_put_replaced_and_removed_is_seen_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), config()).unwrap();
    store.put(b"before", b"there").unwrap();
    let reader = Reader::open(folder.path()).unwrap();
    assert_eq!(
        text(reader.get(b"before").unwrap()).as_deref(),
        Some("there")
    );
    assert_eq!(reader.get(b"after").unwrap(), None);

    let put = store.put(b"after", b"one").unwrap();
    let (found, version) = reader.get_versioned(b"after").unwrap().unwrap();
    assert_eq!((&found[..], version), (&b"one"[..], put));
    store.put(b"after", b"two").unwrap();
    assert_eq!(text(reader.get(b"after").unwrap()).as_deref(), Some("two"));
    store.remove(b"after").unwrap();
    assert_eq!(reader.get(b"after").unwrap(), None);
    assert!(!reader.contains(b"after").unwrap() && reader.contains(b"before").unwrap());
    store.put(b"after", b"three").unwrap();
    assert_eq!(
        text(reader.get(b"after").unwrap()).as_deref(),
        Some("three")
    );

    // Nothing has happened since, so nothing is looked at.
    let before = reader.stats();
    assert_eq!((before.entries, before.files), (2, 1));
    for _ in 0..100 {
        assert!(reader.contains(b"after").unwrap());
    }
    if cfg!(all(unix, target_pointer_width = "64")) {
        assert_eq!(reader.stats().refreshes, before.refreshes);
    }
    assert_eq!(reader.damage(), []);
}

#[test]
fn a_namespace_is_seen_when_it_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), config()).unwrap();
    let reader = Reader::open(folder.path()).unwrap();
    let runs = reader.namespace("runs");
    assert_eq!(runs.get(b"1").unwrap(), None);
    assert_eq!(reader.namespaces().unwrap(), ["".into()]);
    store
        .namespace("runs")
        .unwrap()
        .put(b"1", b"passed")
        .unwrap();
    assert_eq!(text(runs.get(b"1").unwrap()).as_deref(), Some("passed"));
    assert_eq!(
        reader.get(b"1").unwrap(),
        None,
        "the one without a name has its own keys"
    );
    assert_eq!(reader.namespaces().unwrap(), ["".into(), "runs".into()]);
    assert_eq!(runs.name(), "runs");
}

#[test]
fn nobody_gets_an_entry_whose_time_is_over() {
    let folder = tempfile::tempdir().unwrap();
    let clock = ManualClock::new();
    let store = Store::open_with_clock(folder.path(), config(), &clock).unwrap();
    let reader = open_at(folder.path(), &clock);
    store.put(b"key", b"for ever").unwrap();
    store
        .put_for(b"key", b"brief", Duration::from_millis(10))
        .unwrap();
    assert_eq!(text(reader.get(b"key").unwrap()).as_deref(), Some("brief"));
    clock.advance(Duration::from_millis(9));
    assert!(reader.contains(b"key").unwrap());
    clock.advance(Duration::from_millis(1));
    for _ in 0..3 {
        assert_eq!(reader.get(b"key").unwrap(), None);
        assert_eq!(open_at(folder.path(), &clock).get(b"key").unwrap(), None);
        assert!(reader.keys(b"", None, 9).unwrap().is_empty());
        store.cleanup();
        clock.advance(Duration::from_secs(3600));
    }
}

#[test]
fn keys_and_entries_come_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), config()).unwrap();
    let reader = Reader::open(folder.path()).unwrap();
    for number in (0..3000u64).rev() {
        let key = format!("run/{number:05}");
        store.put(key.as_bytes(), &value(number, 40)).unwrap();
    }
    store.put(b"suite/1", b"slow").unwrap();
    store.remove(b"run/00007").unwrap();
    let entries: Vec<_> = reader.entries(b"run/").collect::<Result<_, _>>().unwrap();
    let expected = (0..3000u64).filter(|number| *number != 7);
    let expected: Vec<_> = expected
        .map(|number| (format!("run/{number:05}").into_bytes(), value(number, 40)))
        .collect();
    let found = entries
        .iter()
        .map(|(key, value)| (key.to_vec(), value.to_vec()));
    assert!(found.eq(expected));
    let some = reader.keys(b"run/", Some(b"run/00005"), 2).unwrap();
    assert_eq!(
        some,
        [Box::from(&b"run/00006"[..]), Box::from(&b"run/00008"[..])]
    );
    assert!(reader.keys(b"run/", None, 0).unwrap().is_empty());
}

#[test]
fn a_store_that_was_big_is_opened_by_its_snapshot() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), config()).unwrap();
    for number in 0..6000u64 {
        store
            .put(&number.to_le_bytes(), &value(number, 500))
            .unwrap();
    }
    store.cleanup();
    for number in 0..100u64 {
        store.put(&number.to_le_bytes(), b"new").unwrap();
    }
    store.remove(&100u64.to_le_bytes()).unwrap();
    assert!(folder.path().join("index").exists(), "no snapshot was due");
    let reader = Reader::open(folder.path()).unwrap();
    assert!(reader.stats().records < 6000, "{:?}", reader.stats());
    for number in 0..6000u64 {
        let found = reader.get(&number.to_le_bytes()).unwrap();
        let expected = match number {
            0..100 => Some(b"new".to_vec()),
            100 => None,
            _ => Some(value(number, 500)),
        };
        assert_eq!(found.as_deref(), expected.as_deref(), "{number}");
    }
}

#[test]
fn there_has_to_be_a_store() {
    let folder = tempfile::tempdir().unwrap();
    let error = Reader::open(folder.path()).unwrap_err();
    assert!(matches!(error, OpenError::Missing { .. }), "{error}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    fs::write(folder.path().join("store"), b"something else").unwrap();
    let error = Reader::open(folder.path()).unwrap_err();
    assert!(matches!(error, OpenError::Damaged { .. }), "{error}");
}

/// Files are not read at one moment: an older copy of what was removed can come to light after the removal did.
#[test]
fn what_is_older_than_its_removal_does_not_come_back() {
    let written = tempfile::tempdir().unwrap();
    let config = config().compression(Compression::None);
    let store = Store::open(written.path(), config).unwrap();
    // In a file of its own, and in another one that says it is gone.
    store.put(b"key", &[7; 30_000]).unwrap();
    // Taken now, since the store may clear it away as soon as it is dead.
    let older = segment(written.path());
    let bytes = fs::read(&older).unwrap();
    // Large, so that its file is not written anew when the removal is not needed any more.
    store.put(b"other", &[8; 2_000]).unwrap();
    store.remove(b"key").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let copy = |path: &Path| fs::copy(path, folder.path().join(path.file_name().unwrap()));
    for file in fs::read_dir(written.path()).unwrap() {
        let path = file.unwrap().path();
        if path != older && !path.ends_with("tip") {
            copy(&path).unwrap();
        }
    }
    let reader = Reader::open(folder.path()).unwrap();
    assert!(reader.contains(b"other").unwrap() && !reader.contains(b"key").unwrap());
    fs::write(folder.path().join(older.file_name().unwrap()), bytes).unwrap();
    assert!(!reader.contains(b"key").unwrap());
    assert_eq!((reader.stats().files, reader.stats().entries), (2, 1));
}

/// With no tip to say which numbers files had, the one of a file that is gone is given again, to one with another header. A reader
/// that looks for itself tells them apart.
#[test]
fn a_file_of_the_same_number_is_told_from_the_one_before() {
    let folder = tempfile::tempdir().unwrap();
    let clock = ManualClock::new();
    let open = || Store::open_with_clock(folder.path(), config(), &clock).unwrap();
    let store = open();
    let brief = Duration::from_millis(1);
    store.put_for(b"key", b"one", brief).unwrap();
    let _ = fs::remove_file(folder.path().join("tip"));
    let reader = open_at(folder.path(), &clock);
    assert!(reader.contains(b"key").unwrap());
    let before = segment(folder.path());
    clock.advance(Duration::from_secs(1));
    store.cleanup();
    drop(store);
    let store = open();
    store.put_for(b"key", b"two", brief).unwrap();
    assert_eq!(segment(folder.path()), before);
    assert_eq!(text(reader.get(b"key").unwrap()).as_deref(), Some("two"));
}

/// Every file of a folder, with its bytes and when it was changed.
fn contents(folder: &Path) -> BTreeMap<String, (Vec<u8>, std::time::SystemTime)> {
    let files = fs::read_dir(folder).unwrap().map(|file| file.unwrap());
    let contents = files.map(|file| {
        let changed = file.metadata().unwrap().modified().unwrap();
        let bytes = fs::read(file.path()).unwrap();
        (file.file_name().into_string().unwrap(), (bytes, changed))
    });
    contents.collect()
}

/// Where the one who runs the tests may write anywhere, the folder's permissions say nothing; that nothing was changed, its
/// files do.
#[cfg(unix)]
#[test]
fn a_folder_that_may_only_be_read_is_read_and_left_alone() {
    use std::os::unix::fs::PermissionsExt;

    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), config()).unwrap();
    for number in 0..3000u64 {
        store
            .put(&number.to_le_bytes(), &value(number, 300))
            .unwrap();
    }
    drop(store);
    for file in fs::read_dir(folder.path()).unwrap() {
        fs::set_permissions(file.unwrap().path(), fs::Permissions::from_mode(0o400)).unwrap();
    }
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o500)).unwrap();
    let before = contents(folder.path());
    let reader = Reader::open(folder.path()).unwrap();
    for number in 0..3000u64 {
        let found = reader.get(&number.to_le_bytes()).unwrap();
        assert_eq!(found.as_deref(), Some(&value(number, 300)[..]));
    }
    reader.refresh().unwrap();
    assert_eq!(reader.keys(b"", None, 5000).unwrap().len(), 3000);
    drop(reader);
    assert_eq!(contents(folder.path()), before);
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700)).unwrap();
}

/// The first file of a segment in a folder.
fn segment(folder: &Path) -> std::path::PathBuf {
    let files = fs::read_dir(folder)
        .unwrap()
        .map(|file| file.unwrap().path());
    let mut files: Vec<_> = files
        .filter(|path| path.extension().is_some_and(|it| it == "seg"))
        .collect();
    files.sort();
    files.swap_remove(0)
}

#[test]
fn a_record_that_is_being_written_is_waited_for_and_damage_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), config()).unwrap();
    for number in 0..4u64 {
        store
            .put(&number.to_le_bytes(), &value(number, 300))
            .unwrap();
    }
    drop(store);
    let path = segment(folder.path());
    let whole = fs::read(&path).unwrap();
    // What is there of the last record grows, as if it was written byte by byte.
    let last = whole.len() - 40;
    fs::write(&path, &whole[..last]).unwrap();
    let reader = Reader::open(folder.path()).unwrap();
    for len in last..whole.len() {
        fs::write(&path, &whole[..len]).unwrap();
        reader.refresh().unwrap();
        assert_eq!(reader.get(&3u64.to_le_bytes()).unwrap(), None);
        assert!(reader.contains(&2u64.to_le_bytes()).unwrap());
        assert_eq!(reader.damage(), []);
    }
    fs::write(&path, &whole).unwrap();
    reader.refresh().unwrap();
    assert!(reader.contains(&3u64.to_le_bytes()).unwrap());

    let mut damaged = whole.clone();
    damaged[128 + 30] ^= 1;
    fs::write(&path, &damaged).unwrap();
    // The reader has read this record before, and finds out when it is asked for.
    assert_eq!(reader.get(&0u64.to_le_bytes()).unwrap(), None);
    assert_eq!(reader.stats().unreadable, 1);
    let reader = Reader::open(folder.path()).unwrap();
    let [
        Damage {
            path: named, bytes, ..
        },
    ] = &reader.damage()[..]
    else {
        panic!("{:?}", reader.damage())
    };
    assert_eq!((named, bytes.start), (&path, 128));
    for number in 0..4u64 {
        let is_there = reader.contains(&number.to_le_bytes()).unwrap();
        assert_eq!(is_there, number > 0, "{number}");
    }
}

#[test]
fn without_a_tip_everything_is_seen_as_well() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), config()).unwrap();
    let _ = fs::remove_file(folder.path().join("tip"));
    let reader = Reader::open(folder.path()).unwrap();
    for number in 0..500u64 {
        store
            .put(&(number % 50).to_le_bytes(), &value(number, 700))
            .unwrap();
        let found = reader.get(&(number % 50).to_le_bytes()).unwrap();
        assert_eq!(found.as_deref(), Some(&value(number, 700)[..]));
    }
    // The next writer makes another, of which the reader takes note.
    drop(store);
    let store = Store::open(folder.path(), config()).unwrap();
    store.put(b"key", b"value").unwrap();
    assert!(reader.contains(b"key").unwrap());
    // Now and then there is news between two looks: the store's own thread clears away.
    let is_quiet = || {
        let refreshes = reader.stats().refreshes;
        assert!(reader.contains(b"key").unwrap());
        reader.stats().refreshes == refreshes
    };
    if cfg!(all(unix, target_pointer_width = "64")) {
        assert!((0..1000).any(|_| is_quiet()));
    }
}

#[cfg(feature = "encryption")]
mod sealed {
    use super::*;
    use aqe_memory::crypt::{MasterKey, MasterKeys};

    fn master(seed: u8) -> MasterKey {
        MasterKey::from_bytes(&std::array::from_fn(|at| (at as u8).wrapping_mul(7) ^ seed)).unwrap()
    }

    fn open(folder: &Path, seed: u8) -> Result<Reader, OpenError> {
        Reader::builder()
            .keys(MasterKeys::new(master(seed)))
            .open(folder)
    }

    #[test]
    fn a_reader_needs_the_key_and_follows_to_new_ones() {
        let folder = tempfile::tempdir().unwrap();
        let config = config().keys(MasterKeys::new(master(1)));
        let store = Store::open(folder.path(), config).unwrap();
        let put = |from: u64, to: u64| {
            for number in from..to {
                store
                    .put(&number.to_le_bytes(), &value(number, 600))
                    .unwrap();
            }
        };
        put(0, 1000);
        let error = Reader::open(folder.path()).unwrap_err();
        assert!(matches!(error, OpenError::KeyMissing { .. }), "{error}");
        let error = open(folder.path(), 2).unwrap_err();
        assert!(matches!(error, OpenError::Keys { .. }), "{error}");

        let reader = open(folder.path(), 1).unwrap();
        let check = |reader: &Reader, to: u64| {
            for number in 0..to {
                let found = reader.get(&number.to_le_bytes()).unwrap();
                assert_eq!(found.as_deref(), Some(&value(number, 600)[..]), "{number}");
            }
            assert_eq!((reader.damage(), reader.stats().unreadable), (vec![], 0));
        };
        check(&reader, 1000);
        store.rotate_keys().unwrap();
        put(1000, 1100);
        check(&reader, 1100);
        // Everything is sealed anew, and the old key forgotten.
        store.cleanup();
        check(&reader, 1100);
        check(&open(folder.path(), 1).unwrap(), 1100);
    }

    #[test]
    fn a_store_that_is_not_sealed_is_read_with_a_key_as_well() {
        let folder = tempfile::tempdir().unwrap();
        Store::open(folder.path(), config())
            .unwrap()
            .put(b"key", b"value")
            .unwrap();
        assert!(open(folder.path(), 1).unwrap().contains(b"key").unwrap());
    }
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Put {
        key: u8,
        size: usize,
        millis: u64,
    },
    Remove {
        key: u8,
    },
    Advance {
        millis: u64,
    },
    Cleanup,
    /// The writer ends, and another begins.
    Reopen,
    Get {
        key: u8,
    },
    Keys {
        prefix: Option<u8>,
        most: usize,
    },
    /// A reader that knows nothing yet sees the same.
    Another,
    /// The writer does not say what it does: the tip is gone when the reader comes.
    LoseTip,
}

fn step() -> impl Strategy<Value = Step> {
    let key = || 0u8..60;
    let sizes = prop_oneof![8 => 12usize..200, 6 => 1000usize..5000, 1 => 20_000usize..30_000];
    let millis = prop_oneof![1u64..300, 1u64..100_000, Just(u64::MAX)];
    prop_oneof![
        12 => (key(), sizes, millis).prop_map(|(key, size, millis)| Step::Put { key, size, millis }),
        2 => key().prop_map(|key| Step::Remove { key }),
        1 => (0u64..2000).prop_map(|millis| Step::Advance { millis }),
        2 => Just(Step::Cleanup),
        1 => Just(Step::Reopen),
        12 => key().prop_map(|key| Step::Get { key }),
        1 => (proptest::option::of(0u8..6), 0usize..80).prop_map(|(prefix, most)| Step::Keys { prefix, most }),
        1 => Just(Step::Another),
        1 => Just(Step::LoseTip),
    ]
}

/// The store, its reader, and what they should hold: a value and its deadline for each key.
struct Pair {
    clock: ManualClock,
    now: u64,
    folder: TempDir,
    /// Only ever `None` between two openings.
    store: Option<Store>,
    reader: Reader,
    entries: BTreeMap<Vec<u8>, (Vec<u8>, u64)>,
    puts: u64,
}

impl Pair {
    fn new() -> Self {
        let (clock, folder) = (ManualClock::new(), tempfile::tempdir().unwrap());
        let store = Store::open_with_clock(folder.path(), config(), &clock).unwrap();
        Self {
            reader: open_at(folder.path(), &clock),
            store: Some(store),
            now: 0,
            entries: BTreeMap::new(),
            puts: 0,
            clock,
            folder,
        }
    }

    fn store(&self) -> &Store {
        self.store.as_ref().unwrap()
    }

    fn expected(&self, key: &[u8]) -> Option<&[u8]> {
        let (value, deadline) = self.entries.get(key)?;
        (*deadline > self.now).then_some(value)
    }

    fn take(&mut self, step: Step) {
        let name = |key: u8| format!("{}/{key}", key % 6).into_bytes();
        match step {
            Step::Put { key, size, millis } => {
                self.puts += 1;
                let (key, value) = (name(key), value(self.puts, size));
                match millis {
                    u64::MAX => self.store().put(&key, &value).unwrap(),
                    millis => {
                        let millis = Duration::from_millis(millis);
                        self.store().put_for(&key, &value, millis).unwrap()
                    }
                };
                self.entries
                    .insert(key, (value, self.now.saturating_add(millis)));
            }
            Step::Remove { key } => {
                self.store().remove(&name(key)).unwrap();
                self.entries.remove(&name(key));
            }
            Step::Advance { millis } => {
                self.clock.advance(Duration::from_millis(millis));
                self.now += millis;
            }
            Step::Cleanup => self.store().cleanup(),
            Step::Reopen => {
                self.store = None;
                let store = Store::open_with_clock(self.folder.path(), config(), &self.clock);
                self.store = Some(store.unwrap());
            }
            Step::Get { key } => {
                let found = self.reader.get(&name(key)).unwrap();
                self.compare(found.as_deref(), &name(key));
            }
            Step::Keys { prefix, most } => self.check_keys(prefix, most),
            Step::Another => {
                let reader = open_at(self.folder.path(), &self.clock);
                self.check(&reader);
            }
            Step::LoseTip => {
                let _ = fs::remove_file(self.folder.path().join("tip"));
                self.reader = open_at(self.folder.path(), &self.clock);
            }
        }
    }

    fn check_keys(&self, prefix: Option<u8>, most: usize) {
        let prefix = prefix.map_or(String::new(), |prefix| format!("{prefix}/"));
        let found = self.reader.keys(prefix.as_bytes(), None, most).unwrap();
        let keys = self.entries.keys();
        let expected = keys
            .filter(|key| key.starts_with(prefix.as_bytes()) && self.expected(key).is_some())
            .take(most);
        assert!(
            found
                .iter()
                .map(|key| &**key)
                .eq(expected.map(|key| &**key))
        );
    }

    fn check(&self, reader: &Reader) {
        for key in self.entries.keys() {
            let found = reader.get(key).unwrap();
            self.compare(found.as_deref(), key);
        }
        assert_eq!((reader.damage(), reader.stats().unreadable), (vec![], 0));
    }

    fn compare(&self, found: Option<&[u8]>, key: &[u8]) {
        let expected = self.expected(key);
        let is_it = found == expected;
        let [found, expected] = [found, expected].map(|value| value.map(number_of));
        let key = key.escape_ascii();
        assert!(is_it, "{key}: {found:?} instead of {expected:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn a_reader_agrees_with_a_map(steps in proptest::collection::vec(step(), 1..400)) {
        let mut pair = Pair::new();
        for step in steps {
            pair.take(step);
        }
        pair.check(&pair.reader);
        pair.check_keys(None, 1000);
    }
}

/// A store gave the number of its last file again when that was gone and the store was opened anew. The last snapshot knew
/// the number still, and how far its file had been filled: what was put into the new file was not looked at by the next
/// opening, and was lost. A reader that had read the old file took the new one for that.
#[test]
fn the_number_of_a_file_that_is_gone_is_not_given_again() {
    let folder = tempfile::tempdir().unwrap();
    let clock = ManualClock::new();
    let hour = Duration::from_secs(3600);
    let open = || Store::open_with_clock(folder.path(), config(), &clock).unwrap();
    let store = open();
    let reader = open_at(folder.path(), &clock);
    for number in 0..6000u64 {
        let value = value(number, 500);
        store.put_for(&number.to_le_bytes(), &value, hour).unwrap();
    }
    assert!(reader.contains(&1u64.to_le_bytes()).unwrap());
    store.cleanup();
    assert!(folder.path().join("index").exists(), "no snapshot was due");
    clock.advance(2 * hour);
    store.cleanup();
    drop(store);
    open().put(b"key", b"value").unwrap();
    assert!(reader.contains(b"key").unwrap());
    assert!(open().contains(b"key"));
    assert!(open_at(folder.path(), &clock).contains(b"key").unwrap());
}

/// What is void for the store is void for a reader, whether it was there before or opens the folder afterwards.
#[test]
fn a_tag_that_was_invalidated_is_so_for_readers() {
    let folder = tempfile::tempdir().unwrap();
    let clock = ManualClock::new();
    let store = Store::open_with_clock(folder.path(), config(), &clock).unwrap();
    let before = open_at(folder.path(), &clock);
    let tagged = EntryOptions::default().tags(["tag"]);
    for round in 0..3u64 {
        for number in 0..500u64 {
            let options = match number % 2 {
                0 => tagged.clone(),
                _ => EntryOptions::default(),
            };
            let key = number.to_le_bytes();
            store.put_with(&key, &value(round, 500), &options).unwrap();
        }
        assert!(before.contains(&0u64.to_le_bytes()).unwrap());
        assert_eq!(before.keys(b"", None, 1000).unwrap().len(), 500);
        store.invalidate_tag("tag").unwrap();
        for reader in [&before, &open_at(folder.path(), &clock)] {
            for number in 0..500u64 {
                let there = reader.contains(&number.to_le_bytes()).unwrap();
                assert_eq!(there, number % 2 == 1, "{number} in round {round}");
            }
            assert_eq!(reader.keys(b"", None, 1000).unwrap().len(), 250);
        }
        store.cleanup();
    }
}

/// A reader sees a life that was prolonged as far as that is written down.
#[test]
fn what_is_read_by_the_writer_lives_on_for_readers() {
    let folder = tempfile::tempdir().unwrap();
    let clock = ManualClock::new();
    let store = Store::open_with_clock(folder.path(), config(), &clock).unwrap();
    let reader = open_at(folder.path(), &clock);
    let idle = EntryOptions::default().time_to_idle(Duration::from_secs(8));
    store.put_with(b"key", b"value", &idle).unwrap();
    for _ in 0..5 {
        clock.advance(Duration::from_secs(7));
        assert!(reader.contains(b"key").unwrap());
        assert!(store.get(b"key").is_some());
        assert!(open_at(folder.path(), &clock).contains(b"key").unwrap());
    }
    clock.advance(Duration::from_secs(8));
    assert!(!reader.contains(b"key").unwrap());
    assert!(!open_at(folder.path(), &clock).contains(b"key").unwrap());
}

/// Of two records of one version, the one that ends last counts, also if it lies in the file that was begun first.
#[test]
fn the_last_deadline_counts_in_whatever_file_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let clock = ManualClock::new();
    let store = Store::open_with_clock(folder.path(), config(), &clock).unwrap();
    let seconds = Duration::from_secs;
    // Ends when the key does that is read after seven seconds, and so has begun the file in which that is written.
    store.put_for(b"other", b"value", seconds(15)).unwrap();
    let idle = EntryOptions::default().time_to_idle(seconds(8));
    store.put_with(b"key", b"value", &idle).unwrap();
    clock.advance(seconds(7));
    assert!(store.get(b"key").is_some());
    clock.advance(seconds(2));
    assert!(open_at(folder.path(), &clock).contains(b"key").unwrap());
}

/// The number of a value.
fn number_of(value: &[u8]) -> u64 {
    let digits = value.iter().skip("value ".len());
    let digits = digits.take_while(|byte| byte.is_ascii_digit());
    digits.fold(0, |number, digit| number * 10 + u64::from(digit - b'0'))
}

/// What says that an entry is gone was dropped with the oldest file of all, as if files with higher numbers had nothing older in
/// them. But a file is filled for as long as its bucket lasts, and what was removed can lie in one that was begun after it
/// and before the removal. It came back with the next opening.
#[test]
fn what_was_removed_stays_so_when_the_oldest_file_goes() {
    let folder = tempfile::tempdir().unwrap();
    let clock = ManualClock::new();
    let open = || {
        let config = config().compression(Compression::None);
        Store::open_with_clock(folder.path(), config, &clock).unwrap()
    };
    let store = open();
    let millis = Duration::from_millis;
    // So that what follows ends with a bucket of 256 ms: the clock begins at a multiple of that.
    clock.advance(millis(254));
    store.put_for(b"first", &[1; 500], millis(16_383)).unwrap();
    clock.advance(millis(1));
    for number in 0..9 {
        store.put_for(&[number], &[2; 500], millis(16_384)).unwrap();
    }
    store.put_for(b"first", b"", millis(16_384)).unwrap();
    clock.advance(millis(100));
    store.remove(&[3]).unwrap();
    drop(store);
    let store = open();
    store.cleanup();
    assert!(!folder.path().join("0000000000000000.seg").exists());
    assert!(!store.contains(&[3]) && store.contains(&[4]));
    drop(store);
    assert!(!open().contains(&[3]));
    assert!(!open_at(folder.path(), &clock).contains(&[3]).unwrap());
}
