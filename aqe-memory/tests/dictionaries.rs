//! Values that resemble one another become small together, and stay readable: later, in other processes, under new keys.

#![allow(
    clippy::unwrap_used,
    reason = "a panic fails the test, helpers included"
)]

use std::fs;
use std::path::Path;

use aqe_memory::{ManualClock, MemoryConfig, Store};

fn config() -> MemoryConfig {
    MemoryConfig::default()
        .max_size(64 << 20)
        .cache_size(512 << 10)
        .time_to_live(None)
}

fn open(folder: &Path, config: MemoryConfig) -> Store {
    Store::open_with_clock(folder, config, &ManualClock::new()).unwrap()
}

fn mix(number: u64) -> u64 {
    number.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32
}

fn value(number: u64) -> Vec<u8> {
    let steps = (0..6).map(|step| {
        let (id, took) = (mix(number * 8 + step), mix(number + step * 77) % 5000);
        format!(r#"{{"step": "open page {step}", "id": "{id:08x}", "duration_ms": {took}, "status": "passed"}}"#)
    });
    let steps: Vec<_> = steps.collect();
    format!(
        r#"{{"test": "checkout::basket_{number}", "retries": 0, "steps": [{}]}}"#,
        steps.join(", ")
    )
    .into_bytes()
}

fn fill(store: &Store, numbers: std::ops::Range<u64>) {
    for number in numbers {
        store.put(&number.to_le_bytes(), &value(number)).unwrap();
    }
}

fn check(store: &Store, numbers: std::ops::Range<u64>) {
    assert_eq!(store.damage(), []);
    for number in numbers {
        assert_eq!(
            *store.get(&number.to_le_bytes()).unwrap(),
            *value(number),
            "{number}"
        );
    }
    assert_eq!(store.stats().unreadable, 0);
}

fn dictionaries(folder: &Path) -> usize {
    let names = fs::read_dir(folder)
        .unwrap()
        .map(|file| file.unwrap().path());
    names
        .filter(|path| path.extension().is_some_and(|it| it == "dict"))
        .count()
}

#[test]
fn values_become_smaller_once_there_is_a_dictionary() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), config());
    fill(&store, 0..3000);
    let without = store.stats().disk_bytes;
    assert_eq!(dictionaries(folder.path()), 0);
    store.cleanup();
    assert_eq!(dictionaries(folder.path()), 1);
    fill(&store, 3000..6000);
    let with = store.stats().disk_bytes - without;
    assert!(
        with * 3 < without * 2,
        "{with} bytes with a dictionary, {without} without"
    );
    check(&store, 0..6000);
    drop(store);
    let store = open(folder.path(), config());
    check(&store, 0..6000);
    fill(&store, 6000..7000);
    assert!(
        store.stats().disk_bytes < without + with * 3 / 2,
        "the dictionary is used again"
    );
}

#[test]
fn in_memory_as_well() {
    let config = config().max_size(16 << 20);
    let store = Store::with_clock(config, &ManualClock::new()).unwrap();
    // From here on, one entry is compressed for each that comes.
    fill(&store, 0..8000);
    let begin = store.stats().compressed_bytes;
    assert!(begin > 0);
    fill(&store, 8000..11_000);
    let without = store.stats().compressed_bytes - begin;
    store.cleanup();
    fill(&store, 11_000..14_000);
    let with = store.stats().compressed_bytes - begin - without;
    assert!(
        with * 4 < without * 3,
        "{with} bytes with a dictionary, {without} without"
    );
    check(&store, 0..14_000);
}

#[cfg(feature = "encryption")]
#[test]
fn a_dictionary_is_sealed_and_survives_new_keys() {
    use aqe_memory::crypt::{MasterKey, MasterKeys};

    let key = || MasterKey::from_bytes(&std::array::from_fn(|at| at as u8 ^ 0x5A)).unwrap();
    let sealed = || config().keys(MasterKeys::new(key()));
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), sealed());
    fill(&store, 0..3000);
    store.cleanup();
    fill(&store, 3000..4000);
    store.rotate_keys().unwrap();
    store.cleanup();
    check(&store, 0..4000);
    drop(store);

    assert_eq!(dictionaries(folder.path()), 1);
    for file in fs::read_dir(folder.path()).unwrap() {
        let bytes = fs::read(file.unwrap().path()).unwrap();
        assert!(!bytes.windows(9).any(|window| window == b"open page"));
    }
    let store = open(folder.path(), sealed());
    check(&store, 0..4000);
    fill(&store, 4000..4100);
    check(&store, 4000..4100);
}
