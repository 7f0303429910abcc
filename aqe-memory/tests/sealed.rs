//! Stores whose entries are sealed: who can open them, and what is on disk.
#![cfg(feature = "encryption")]
#![allow(
    clippy::unwrap_used,
    reason = "a panic fails the test, helpers included"
)]

use std::fs;
use std::path::Path;

use aqe_memory::crypt::{KeyRingError, MasterKey, MasterKeys};
use aqe_memory::{ManualClock, MemoryConfig, OpenError, RotateError, Store};

fn master(seed: u8) -> MasterKey {
    MasterKey::from_bytes(&std::array::from_fn(|at| (at as u8).wrapping_mul(7) ^ seed)).unwrap()
}

fn config() -> MemoryConfig {
    MemoryConfig::default()
        .max_size(2 << 20)
        .cache_size(512 << 10)
        .time_to_live(None)
}

fn sealed_by(seed: u8) -> MemoryConfig {
    config().keys(MasterKeys::new(master(seed)))
}

fn open(folder: &Path, config: MemoryConfig) -> Result<Store, OpenError> {
    Store::open_with_clock(folder, config, &ManualClock::new())
}

const SECRET: &[u8] = b"the launch code is 0000, the launch code is 0000, the launch code is 0000";

fn fill(store: &Store) {
    for number in 0..500 {
        store.put(key(number).as_bytes(), SECRET).unwrap();
    }
}

fn key(number: u32) -> String {
    format!("customer {number}")
}

fn check(store: &Store) {
    assert_eq!(store.damage(), []);
    for number in 0..500 {
        assert_eq!(
            store.get(key(number).as_bytes()).as_deref(),
            Some(SECRET),
            "{number}"
        );
    }
}

/// Every byte of a folder's files, one file behind the other.
fn bytes(folder: &Path) -> Vec<u8> {
    let files = fs::read_dir(folder).unwrap();
    let paths = files.map(|file| file.unwrap().path());
    // Who has the lock, and how often something was written, has nothing to do with what is in the store.
    let paths = paths.filter(|path| !path.ends_with("lock") && !path.ends_with("tip"));
    paths.flat_map(|path| fs::read(path).unwrap()).collect()
}

fn holds(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

#[test]
fn neither_keys_nor_values_are_on_disk() {
    let folder = tempfile::tempdir().unwrap();
    fill(&open(folder.path(), config()).unwrap());
    let plain = bytes(folder.path());
    assert!(holds(&plain, b"launch code") && holds(&plain, b"customer 17"));

    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), sealed_by(1)).unwrap();
    fill(&store);
    store.cleanup();
    drop(store);
    let sealed = bytes(folder.path());
    assert!(!holds(&sealed, b"launch") && !holds(&sealed, b"customer"));
    check(&open(folder.path(), sealed_by(1)).unwrap());
}

#[test]
fn a_wrong_key_is_named_and_destroys_nothing() {
    let folder = tempfile::tempdir().unwrap();
    fill(&open(folder.path(), sealed_by(1)).unwrap());
    let before = bytes(folder.path());

    let error = open(folder.path(), sealed_by(2)).unwrap_err();
    let OpenError::Keys { source, .. } = error else {
        panic!("{error}")
    };
    let KeyRingError::WrongKey { wanted, given } = source else {
        panic!("{source}")
    };
    assert_eq!((wanted, given), (master(1).id(), master(2).id()));
    let error = open(folder.path(), config()).unwrap_err();
    assert!(matches!(error, OpenError::KeyMissing { .. }), "{error}");

    assert_eq!(bytes(folder.path()), before);
    check(&open(folder.path(), sealed_by(1)).unwrap());
}

#[test]
fn new_keys_seal_everything_anew_and_old_ones_are_forgotten() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), sealed_by(1)).unwrap();
    fill(&store);
    let old = bytes(folder.path());
    drop(store);

    // The provider has both keys: it opens with the old one, and wraps with the new one.
    let both = MasterKeys::new(master(2)).with_older(master(1));
    let store = open(folder.path(), config().keys(both)).unwrap();
    store.rotate_keys().unwrap();
    check(&store);
    store.cleanup();
    check(&store);
    drop(store);

    let new = bytes(folder.path());
    // No record is what it was: of every one, 64 bytes from its middle would be found again.
    let again = old
        .chunks(64)
        .filter(|chunk| chunk.iter().any(|byte| *byte != 0));
    assert_eq!(again.filter(|chunk| holds(&new, chunk)).count(), 0);
    open(folder.path(), sealed_by(1)).unwrap_err();
    check(&open(folder.path(), sealed_by(2)).unwrap());
}

#[test]
fn what_was_not_sealed_is_sealed_when_there_is_a_key() {
    let folder = tempfile::tempdir().unwrap();
    fill(&open(folder.path(), config()).unwrap());
    let store = open(folder.path(), sealed_by(3)).unwrap();
    check(&store);
    store.cleanup();
    check(&store);
    drop(store);
    assert!(!holds(&bytes(folder.path()), b"launch"));
    check(&open(folder.path(), sealed_by(3)).unwrap());
}

#[test]
fn another_master_key_opens_what_was_wrapped_by_it() {
    let folder = tempfile::tempdir().unwrap();
    fill(&open(folder.path(), sealed_by(1)).unwrap());
    let both = MasterKeys::new(master(2)).with_older(master(1));
    open(folder.path(), config().keys(both))
        .unwrap()
        .rewrap_keys()
        .unwrap();
    check(&open(folder.path(), sealed_by(2)).unwrap());

    let plain = Store::new(config()).unwrap();
    assert!(matches!(plain.rotate_keys(), Err(RotateError::NotSealed)));
}

/// A record whose bytes are another record's, with a checksum that fits, is not given for a value.
#[test]
fn a_record_that_was_moved_is_damage() {
    const RECORD: usize = 112;
    // Nothing to compress, so that all records have the same length: 18 + 2 + 13 + 63 + 16.
    let value = |number: u32| -> Vec<u8> {
        let mix = |at: u32| (number * 64 + at).wrapping_mul(0x9E37_79B9) >> 24;
        (0..63).map(|at| mix(at) as u8).collect()
    };
    let key = |number: u32| format!("customer {number:04}").into_bytes();
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), sealed_by(1)).unwrap();
    for number in 0..40 {
        store.put(&key(number), &value(number)).unwrap();
    }
    drop(store);
    let mut files = fs::read_dir(folder.path())
        .unwrap()
        .map(|file| file.unwrap().path());
    let segment = files
        .find(|path| path.extension().is_some_and(|it| it == "seg"))
        .unwrap();
    let mut image = fs::read(&segment).unwrap();
    assert_eq!(image.len(), 128 + 40 * RECORD);
    let (front, last) = image.split_at_mut(128 + 39 * RECORD);
    front[128 + 38 * RECORD..].swap_with_slice(last);
    fs::write(&segment, &image).unwrap();

    let store = open(folder.path(), sealed_by(1)).unwrap();
    for number in 0..40 {
        let expected = (number < 38).then(|| value(number));
        assert_eq!(
            store.get(&key(number)).as_deref(),
            expected.as_deref(),
            "{number}"
        );
    }
    let damage: Vec<_> = store.damage().iter().map(|damage| damage.what).collect();
    assert_eq!(damage, ["not what was sealed there"; 2]);
}
