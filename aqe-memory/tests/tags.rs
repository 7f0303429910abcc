//! Entries that are void because a tag of theirs was invalidated.

#![allow(
    clippy::unwrap_used,
    reason = "a panic fails the test, helpers included"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use aqe_memory::{Cause, EntryOptions, ManualClock, MemoryConfig, Optimize, PutError, Store};

fn tagged(tag: &str) -> EntryOptions {
    EntryOptions::default().tags([tag])
}

/// Uncompressed or not, in memory or in a folder.
fn configs() -> [MemoryConfig; 2] {
    let small = MemoryConfig::default()
        .max_size(32 << 20)
        .cache_size(256 << 10);
    [MemoryConfig::default(), small]
}

#[test]
fn memory_comes_back_without_a_call_and_the_listener_hears_why() {
    for config in configs() {
        let told = Arc::new(AtomicU64::new(0));
        let store = Store::builder()
            .config(config)
            .listener({
                let told = Arc::clone(&told);
                move |removal| {
                    assert_eq!(removal.cause, Cause::Invalidated, "{removal}");
                    told.fetch_add(1 + removal.missed, Ordering::Relaxed);
                }
            })
            .build()
            .unwrap();
        let before = store.stats().resident_bytes;
        for number in 0..10_000u32 {
            let key = number.to_le_bytes();
            let tag = if number.is_multiple_of(100) {
                "kept"
            } else {
                "gone"
            };
            store.put_with(&key, &[7; 400], &tagged(tag)).unwrap();
        }
        let full = store.stats().resident_bytes - before;
        store.invalidate_tag("gone").unwrap();
        let is_there = |number: u32| store.get(&number.to_le_bytes()).is_some();
        assert!((0..10_000).all(|number| is_there(number) == (number.is_multiple_of(100))));
        let start = Instant::now();
        let is_back = || {
            let stats = store.stats();
            let is_freed = stats.resident_bytes < before + full / 2;
            is_freed && stats.entries == 100 && told.load(Ordering::Relaxed) == 9900
        };
        while !is_back() {
            let waited = start.elapsed();
            assert!(waited < Duration::from_secs(60), "{:?}", store.stats());
            std::thread::yield_now();
        }
        assert_eq!(store.stats().invalidated, 9900);
        assert!((0..10_000).all(|number| is_there(number) == (number.is_multiple_of(100))));
    }
}

/// What is put in the place of a value has its own tags and its own time, and not those of the value.
#[test]
fn tags_are_those_of_the_last_put() {
    let clock = ManualClock::new();
    let store = Store::with_clock(MemoryConfig::default(), &clock).unwrap();
    let idle = EntryOptions::default().time_to_idle(Duration::from_secs(5));
    store.put(b"first plain", b"1").unwrap();
    store
        .put_with(b"first plain", b"2", &tagged("tag"))
        .unwrap();
    store
        .put_with(b"plain again", b"1", &tagged("tag"))
        .unwrap();
    store.put(b"plain again", b"2").unwrap();
    store.put(b"idle", b"1").unwrap();
    store.put_with(b"idle", b"2", &idle).unwrap();
    store.put_with(b"not idle", b"1", &idle).unwrap();
    store.put(b"not idle", b"2").unwrap();
    store.invalidate_tag("tag").unwrap();
    clock.advance(Duration::from_secs(5));
    assert!(store.get(b"first plain").is_none() && store.get(b"idle").is_none());
    assert_eq!(store.get(b"plain again").as_deref(), Some(&b"2"[..]));
    assert_eq!(store.get(b"not idle").as_deref(), Some(&b"2"[..]));
}

/// Also of entries that are in files only, and with records that were written anew in between.
#[test]
fn what_is_void_on_disk_is_cleared_away() {
    let folder = tempfile::tempdir().unwrap();
    let config = MemoryConfig::default()
        .max_size(2 << 20)
        .cache_size(512 << 10);
    let store = Store::open(folder.path(), config).unwrap();
    let text = |number: u32| {
        let mut random = fastrand::Rng::with_seed(number.into());
        let words = ["passed", "failed", "skipped", "flaky"];
        let line = |at| {
            format!(
                "step {at} of checkout {} after {} ms\n",
                words[random.usize(..4)],
                random.u32(..)
            )
        };
        (0..20).map(line).collect::<String>()
    };
    for number in 0..8_000u32 {
        let options = match number % 4 {
            0 => tagged("tag"),
            _ => EntryOptions::default(),
        };
        let value = text(number);
        store
            .put_with(&number.to_le_bytes(), value.as_bytes(), &options)
            .unwrap();
    }
    assert!(store.stats().disk_bytes > 2 << 20, "not all is in memory");
    let report = store.optimize(Optimize::Aggressive);
    assert!(report.values_recompressed > 1000, "{report:?}");
    store.invalidate_tag("tag").unwrap();
    store.cleanup();
    let stats = store.stats();
    assert_eq!((stats.entries, stats.invalidated), (6_000, 2_000));
    assert!((0..8_000u32).all(|number| store.contains(&number.to_le_bytes()) == (number % 4 > 0)));
}

#[test]
fn a_tag_is_that_of_its_namespace() {
    let store = Store::new(MemoryConfig::default()).unwrap();
    let other = store.namespace("other").unwrap();
    store.put_with(b"key", b"1", &tagged("tag")).unwrap();
    other.put_with(b"key", b"2", &tagged("tag")).unwrap();
    other.invalidate_tag("tag").unwrap();
    assert!(store.contains(b"key") && !other.contains(b"key"));
    assert!(!other.remove(b"key").unwrap());
    let absent = other.compare_and_set(b"key", None, b"3");
    assert!(absent.is_ok(), "void is not there: {absent:?}");
}

#[test]
fn what_is_too_much_is_refused() {
    let store = Store::new(MemoryConfig::default()).unwrap();
    let tags = |count: usize| EntryOptions::default().tags((0..count).map(|tag| tag.to_string()));
    store.put_with(b"key", b"value", &tags(16)).unwrap();
    let refused = store.put_with(b"key", b"another", &tags(17)).unwrap_err();
    let expected = PutError::TooManyTags {
        count: 17,
        most: 16,
    };
    assert_eq!(refused, expected);
    let long = "x".repeat(256);
    let expected = PutError::TagTooLong {
        len: 256,
        most: 255,
    };
    let refused = store.put_with(b"key", b"another", &tagged(&long));
    assert_eq!(refused.unwrap_err(), expected);
    assert_eq!(store.invalidate_tag(&long).unwrap_err(), expected);
    assert_eq!(store.get(b"key").as_deref(), Some(&b"value"[..]));
    store.invalidate_tag("15").unwrap();
    assert!(!store.contains(b"key"), "the last tag counts as the first");
}

/// In memory, marks are dropped once what they are about is gone; in a folder, once no file can have it.
#[test]
fn only_so_many_marks_are_remembered() {
    let config = MemoryConfig::default().max_size(1 << 20);
    let store = Store::new(config.clone()).unwrap();
    for number in 0..5000u32 {
        let tag = format!("tag {number}");
        store.put_with(b"key", b"value", &tagged(&tag)).unwrap();
        store.invalidate_tag(&tag).unwrap();
        assert!(!store.contains(b"key"));
    }

    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), config.time_to_live(None)).unwrap();
    store
        .put_with(b"for ever", b"value", &tagged("last"))
        .unwrap();
    let refused = (0..5000).find_map(|tag| store.invalidate_tag(&format!("tag {tag}")).err());
    let Some(PutError::TooManyMarks { most }) = refused else {
        panic!("{refused:?}")
    };
    assert!(most > 100, "{most}");
    assert!(store.contains(b"for ever"));
    store.invalidate_tag("tag 1").unwrap();
    assert!(store.invalidate_tag("last").is_err() && store.contains(b"for ever"));
}

fn in_a_folder(config: &MemoryConfig) {
    let folder = tempfile::tempdir().unwrap();
    let open = || Store::open(folder.path(), config.clone()).unwrap();
    let value = |number: u32, round: u8| [[round; 4], number.to_le_bytes()].concat().repeat(40);
    let put = |store: &Store, round: u8| {
        for number in 0..3000u32 {
            let tag = format!("tag {}", number % 3);
            let key = number.to_le_bytes();
            store
                .put_with(&key, &value(number, round), &tagged(&tag))
                .unwrap();
        }
    };
    let check = |store: &Store, expected: &dyn Fn(u32) -> Option<u8>| {
        for number in 0..3000u32 {
            let found = store.get(&number.to_le_bytes());
            let expected = expected(number).map(|round| value(number, round));
            assert_eq!(found.as_deref(), expected.as_deref(), "{number}");
        }
        assert_eq!(store.damage(), []);
    };
    let store = open();
    put(&store, 1);
    store.invalidate_tag("tag 0").unwrap();
    let first = |number: u32| (!number.is_multiple_of(3)).then_some(1);
    check(&store, &first);
    // As if the process had been killed.
    drop(store);
    let store = open();
    check(&store, &first);
    // Older records of the same keys stay void, also when what made them so is compacted and known to the index's snapshot.
    for round in 2..30 {
        put(&store, round);
        store.invalidate_tag("tag 1").unwrap();
        store.cleanup();
    }
    let last = |number: u32| (number % 3 != 1).then_some(29);
    check(&store, &last);
    drop(store);
    let store = open();
    check(&store, &last);
    store.invalidate_tag("tag 2").unwrap();
    drop(store);
    for _ in 0..3 {
        let store = open();
        check(&store, &|number| (number.is_multiple_of(3)).then_some(29));
        store.cleanup();
    }
}

#[test]
fn what_is_void_stays_void_in_a_folder() {
    in_a_folder(&MemoryConfig::default());
    let small = MemoryConfig::default().max_size(2 << 20);
    in_a_folder(&small.cache_size(512 << 10).time_to_live(None));
}

#[cfg(feature = "encryption")]
#[test]
fn what_is_void_stays_void_when_sealed() {
    use aqe_memory::crypt::{MasterKey, MasterKeys};

    let key = MasterKey::from_bytes(&std::array::from_fn(|at| at as u8 ^ 0xC3)).unwrap();
    let config = MemoryConfig::default()
        .max_size(2 << 20)
        .cache_size(512 << 10);
    in_a_folder(&config.keys(MasterKeys::new(key)));
}

/// Files are compacted in which there is a mark, and some in which there is something void, and not those in which there is
/// what comes back if the one or the other is lost.
#[test]
fn compaction_brings_nothing_back() {
    const KEYS: u32 = 3000;
    for tagged_first in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let config = MemoryConfig::default()
            .max_size(2 << 20)
            .cache_size(512 << 10)
            .time_to_live(None);
        let store = Store::open(folder.path(), config.clone()).unwrap();
        let value = |number: u32| {
            fastrand::Rng::with_seed(number.into())
                .u128(..)
                .to_le_bytes()
        };
        let put = |number: u32, options: &EntryOptions| {
            let value = value(number).repeat(16);
            store
                .put_with(&number.to_le_bytes(), &value, options)
                .unwrap();
        };
        let (plain, tagged) = (EntryOptions::default(), tagged("tag"));
        let is_void = |number: &u32| number.is_multiple_of(4);
        let options = |number| match tagged_first && is_void(&number) {
            true => &tagged,
            false => &plain,
        };
        (0..KEYS).for_each(|number| put(number, options(number)));
        if !tagged_first {
            (0..KEYS)
                .filter(is_void)
                .for_each(|number| put(number, &tagged));
        }
        store.invalidate_tag("tag").unwrap();
        // The file with the mark, and those after it, are mostly dead after this.
        for _ in 0..20 {
            (KEYS..KEYS + 500).for_each(|number| put(number, &plain));
        }
        let before = store.stats().disk_bytes;
        store.cleanup();
        assert!(store.stats().disk_bytes < before, "something was compacted");
        drop(store);
        // So that all records are read.
        let _ = std::fs::remove_file(folder.path().join("index"));
        let store = Store::open(folder.path(), config).unwrap();
        for number in 0..KEYS + 500 {
            let is_there = store.contains(&number.to_le_bytes());
            assert_eq!(is_there, number >= KEYS || !is_void(&number), "{number}");
        }
    }
}

/// What was put before an invalidation began is never seen after it has returned; what is put after it is.
#[test]
fn nobody_sees_what_was_put_before() {
    const KEYS: u32 = 16;
    const ROUNDS: u32 = 3000;
    let folder = tempfile::tempdir().unwrap();
    let config = MemoryConfig::default()
        .max_size(4 << 20)
        .cache_size(512 << 10);
    for store in [
        Store::new(config.clone()).unwrap(),
        Store::open(folder.path(), config).unwrap(),
    ] {
        let (put, ended) = (AtomicU32::new(0), AtomicU32::new(0));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for round in 1..=ROUNDS {
                    for key in 0..KEYS {
                        let value = [round.to_le_bytes(); 20].concat();
                        let options = tagged("tag");
                        store
                            .put_with(&key.to_le_bytes(), &value, &options)
                            .unwrap();
                    }
                    put.store(round, Ordering::Release);
                }
                ended.store(1, Ordering::Release);
            });
            while ended.load(Ordering::Acquire) == 0 {
                let before = put.load(Ordering::Acquire);
                store.invalidate_tag("tag").unwrap();
                for key in 0..KEYS {
                    if let Some(value) = store.get(&key.to_le_bytes()) {
                        let round = u32::from_le_bytes(value[..4].try_into().unwrap());
                        assert!(round > before, "{round} was put before");
                    }
                }
            }
        });
        store.put_with(b"key", b"value", &tagged("tag")).unwrap();
        assert!(store.contains(b"key"));
    }
}
