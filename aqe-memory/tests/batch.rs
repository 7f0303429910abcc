//! Batches and iteration agree with calls one by one.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use aqe_memory::{ManualClock, MemoryConfig, PutError, Store};
use proptest::prelude::*;

fn small() -> MemoryConfig {
    MemoryConfig::default()
        .max_size(16 << 20)
        .cache_size(1 << 20)
}

fn entries() -> impl Strategy<Value = Vec<(u16, usize)>> {
    proptest::collection::vec(
        (
            0u16..500,
            prop_oneof![9 => 0usize..100, 1 => 0usize..40_000],
        ),
        0..300,
    )
}

fn key(number: u16) -> [u8; 2] {
    number.to_be_bytes()
}

fn value(number: u16, size: usize, at: usize) -> Vec<u8> {
    let seed = [number as u8, at as u8, (at >> 8) as u8];
    seed.iter().copied().cycle().take(size).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn batches_agree_with_a_map(batches in proptest::collection::vec(entries(), 1..4), wanted in proptest::collection::vec(0u16..600, 0..200)) {
        let store = Store::new(small()).unwrap();
        let mut map = BTreeMap::new();
        for batch in &batches {
            let batch: Vec<_> = batch.iter().enumerate().map(|(at, &(number, size))| (key(number), value(number, size, at))).collect();
            prop_assert_eq!(store.put_many(batch.iter().map(|(key, value)| (key, value))), Ok(batch.len()));
            map.extend(batch);
        }
        let wanted: Vec<_> = wanted.into_iter().map(key).collect();
        for _ in 0..3 {
            // Again: what is read often moves to the uncompressed tier.
            let found = store.get_many(&wanted);
            prop_assert_eq!(found.len(), wanted.len());
            for (key, found) in wanted.iter().zip(&found) {
                prop_assert_eq!(found.as_deref(), map.get(key).map(|value| &value[..]));
            }
        }
        let hits = wanted.iter().filter(|key| map.contains_key(*key)).count() as u64 * 3;
        let stats = store.stats();
        prop_assert_eq!((stats.hits, stats.misses), (hits, wanted.len() as u64 * 3 - hits));
        let all: Vec<_> = store.entries(b"").map(|(key, value)| (key.to_vec(), value.to_vec())).collect();
        let expected: Vec<_> = map.iter().map(|(key, value)| (key.to_vec(), value.clone())).collect();
        prop_assert!(all == expected, "{} of {}", all.len(), expected.len());
        let some: Vec<_> = store.entries(&[1]).map(|(key, _)| key.to_vec()).collect();
        let expected: Vec<_> = map.keys().filter(|key| key[0] == 1).map(|key| key.to_vec()).collect();
        prop_assert_eq!(some, expected);
        prop_assert_eq!(store.stats().hits, hits, "to iterate is not to read");
    }
}

#[test]
fn a_batch_stops_at_what_cannot_be_put_and_says_how_many_were() {
    let store = Store::new(small()).unwrap();
    let large = vec![0; 1 << 20];
    let entries = (0..100u32).map(|number| match number {
        77 => (number.to_le_bytes(), &large[..]),
        _ => (number.to_le_bytes(), &b"value"[..]),
    });
    let error = store.put_many(entries).unwrap_err();
    assert_eq!(error.put, 77);
    assert!(matches!(error.source, PutError::ValueTooLarge { .. }));
    let keys: Vec<_> = (0..100u32).map(u32::to_le_bytes).collect();
    let found = store.get_many(&keys);
    assert!(found[..77].iter().all(Option::is_some) && found[77..].iter().all(Option::is_none));
    assert_eq!(
        error.to_string(),
        "the first 77 entries were put, the next was not"
    );
}

#[test]
fn a_batch_has_a_lifetime_and_keeps_to_the_bound() {
    let clock = ManualClock::new();
    let config = MemoryConfig::default()
        .max_size(4 << 20)
        .cache_size(1 << 20);
    let store = Store::with_clock(config, &clock).unwrap();
    let entries = (0..100_000u32).map(|number| (number.to_le_bytes(), [number as u8; 300]));
    let put = store.put_many_for(entries, Duration::from_secs(2));
    assert_eq!(put, Ok(100_000));
    let stats = store.stats();
    assert!(
        stats.evicted > 0 && stats.resident_bytes <= 4 << 20,
        "{stats:?}"
    );
    let last = 99_999u32.to_le_bytes();
    clock.advance(Duration::from_millis(1999));
    assert!(store.get_many(&[last])[0].is_some());
    clock.advance(Duration::from_millis(1));
    assert!(store.get_many(&[last])[0].is_none());
    assert_eq!(store.entries(b"").count(), 0);
}

#[test]
fn a_folder_keeps_what_a_batch_put() {
    let folder = tempfile::tempdir().unwrap();
    let keys: Vec<_> = (0..500u32).map(u32::to_be_bytes).collect();
    let large = vec![0; 1 << 20];
    {
        let store = Store::open(folder.path(), small()).unwrap();
        assert_eq!(store.put_many(keys.iter().map(|key| (key, key))), Ok(500));
        let error = store
            .put_many([(b"a", &b"1"[..]), (b"b", &large), (b"c", b"3")])
            .unwrap_err();
        assert_eq!(error.put, 1);
    }
    let store = Store::open(folder.path(), small()).unwrap();
    let found = store.get_many(&keys);
    assert!(
        keys.iter()
            .zip(&found)
            .all(|(key, value)| value.as_deref() == Some(&key[..]))
    );
    assert_eq!(store.entries(b"").count(), 501);
}

/// More than the first few pages, while others come and go.
#[test]
fn iteration_gives_what_is_there_all_the_time_once_and_in_order() {
    let store = Store::new(MemoryConfig::default()).unwrap();
    let stays: Vec<_> = (0..5000u32)
        .map(|number| [b"key/", &number.to_be_bytes()[..]].concat())
        .collect();
    store.put_many(stays.iter().map(|key| (key, key))).unwrap();
    let (begun, done) = (AtomicBool::new(false), AtomicBool::new(false));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for number in (0..u32::MAX).map(|number| number % 10_000) {
                let key = [b"key/", &number.to_be_bytes()[..], b"+"].concat();
                store.put(&key, &key).unwrap();
                store
                    .put(
                        &stays[number as usize % 5000],
                        &stays[number as usize % 5000],
                    )
                    .unwrap();
                store.remove(&key).unwrap();
                begun.store(true, Ordering::Relaxed);
                if done.load(Ordering::Relaxed) {
                    break;
                }
            }
        });
        while !begun.load(Ordering::Relaxed) {
            std::thread::yield_now();
        }
        for _ in 0..5 {
            let mut last = Vec::new();
            let mut count = 0;
            for (key, value) in store.entries(b"key/") {
                assert!(*key > *last, "in order");
                assert_eq!(*key, *value);
                count += usize::from(!key.ends_with(b"+") || key.len() == 8);
                last = key.to_vec();
            }
            assert_eq!(count, stays.len());
        }
        done.store(true, Ordering::Relaxed);
    });
}
