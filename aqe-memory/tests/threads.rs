//! Many threads at once on a store that is much too small: what is read is what was put.

#![allow(
    clippy::unwrap_used,
    reason = "a panic fails the test, helpers included"
)]

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use aqe_memory::{Cleanup, MemoryConfig, Optimize, Store, Value};

/// A value says its key in every byte-quadruple, so that a mix-up shows.
fn value(key: u32, round: u32) -> Vec<u8> {
    let word = key.to_le_bytes();
    let size = 1 + (key.wrapping_mul(2_654_435_761).wrapping_add(round) >> 20) as usize % 700;
    word.iter().copied().cycle().take(size * 4).collect()
}

fn check(key: u32, value: &[u8]) {
    assert!(!value.is_empty() && value.chunks(4).all(|word| word == key.to_le_bytes()));
}

fn hammer(config: MemoryConfig) {
    hammer_store(&Store::new(config).unwrap());
}

fn hammer_store(store: &Store) {
    const THREADS: u32 = 4;
    const ROUNDS: u32 = 20_000;
    let (done, most) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..THREADS)
            .map(|thread| {
                scope.spawn(move || {
                    let mut kept: Vec<(u32, Value)> = Vec::new();
                    let mut state = thread + 1;
                    for round in 0..ROUNDS {
                        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                        let key = (state >> 16) % 3000;
                        match state % 16 {
                            0..8 => {
                                if let Some(value) = store.get(&key.to_le_bytes()) {
                                    check(key, &value);
                                    if state & 0x700 == 0 {
                                        kept.push((key, value));
                                    }
                                }
                            }
                            8 => assert!(store.remove(&key.to_le_bytes()).is_ok()),
                            9 => {
                                let life = Duration::from_millis(u64::from(state >> 8 & 0xF));
                                store
                                    .put_for(&key.to_le_bytes(), &value(key, round), life)
                                    .unwrap();
                            }
                            10 => {
                                kept.retain(|(key, value)| {
                                    check(*key, value);
                                    *key % 2 == round % 2
                                });
                                if kept.len() > 100 {
                                    kept.clear();
                                }
                            }
                            _ => assert!(store.put(&key.to_le_bytes(), &value(key, round)).is_ok()),
                        }
                    }
                    kept.iter().for_each(|(key, value)| check(*key, value));
                })
            })
            .collect();
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                store.cleanup_with(Cleanup::Aggressive);
                store.optimize(Optimize::Aggressive);
                let tiers = store.analyze().tiers;
                assert!(tiers.iter().map(|tier| tier.amount.entries).sum::<u64>() <= 3_000);
                store.optimize(Optimize::Normal);
                most.fetch_max(store.stats().resident_bytes, Ordering::Relaxed);
                let keys = store.keys(&[], None, 10);
                assert!(keys.is_sorted());
            }
        });
        for worker in workers {
            worker.join().unwrap();
        }
        done.store(true, Ordering::Relaxed);
    });
    let (most, limit) = (most.into_inner(), store.config().max_size);
    // Values that are being read keep what they read from; there are at most a few hundred.
    assert!(most <= limit + limit / 2, "{most} bytes of {limit}");
}

#[test]
fn reads_are_of_what_was_put() {
    hammer(
        MemoryConfig::default()
            .max_size(2 << 20)
            .cache_size(512 << 10),
    );
}

#[test]
fn reads_are_of_what_was_put_when_nothing_is_compressed() {
    hammer(
        MemoryConfig::default()
            .max_size(2 << 20)
            .cache_size(2 << 20),
    );
}

#[test]
fn reads_are_of_what_was_put_when_it_is_in_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let config = MemoryConfig::default()
        .max_size(2 << 20)
        .cache_size(512 << 10);
    hammer_store(&Store::open(folder.path(), config.clone()).unwrap());
    let store = Store::open(folder.path(), config).unwrap();
    assert_eq!(store.damage(), []);
    for (key, value) in store.entries(b"") {
        check(u32::from_le_bytes(key[..].try_into().unwrap()), &value);
    }
}

/// A value of a length that is always the key's, in which every eight bytes say the same.
fn beat(key: u32, round: u32) -> Vec<u8> {
    let word = u64::from(key) << 32 | u64::from(round);
    let word = word.to_le_bytes();
    word.repeat(1 + key as usize % 40)
}

/// Puts in place of others, in the same memory, while they are read, evicted, compressed and expire.
#[test]
fn what_is_put_again_and_again_is_read_whole() {
    const THREADS: u32 = 4;
    let config = MemoryConfig::default()
        .max_size(1 << 20)
        .cache_size(512 << 10);
    let store = Store::new(config).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let store = &store;
            scope.spawn(move || {
                let mut state = thread + 1;
                let mut kept: Vec<(Value, Vec<u8>)> = Vec::new();
                for round in 0..40_000 {
                    state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    // Mostly a few keys, so that threads meet, and else so many that some have to give way.
                    let key = match state >> 30 {
                        0 => (state >> 8) % 20_000,
                        _ => (state >> 8) % 16,
                    };
                    let name = key.to_le_bytes();
                    match state >> 4 & 7 {
                        0..4 => {
                            let Some(value) = store.get(&name) else {
                                continue;
                            };
                            let word = &value[..8];
                            assert_eq!(word[4..], name, "it is the key's");
                            assert!(value.chunks(8).all(|other| other == word), "it is whole");
                            if state & 0x700 == 0 {
                                kept.push((value.clone(), value.to_vec()));
                            }
                        }
                        4 => {
                            let life = Duration::from_millis(u64::from(state & 0xF));
                            store.put_for(&name, &beat(key, round), life).unwrap();
                        }
                        _ => drop(store.put(&name, &beat(key, round)).unwrap()),
                    }
                    if kept.len() > 50 {
                        let as_it_was = |(value, copy): (Value, Vec<u8>)| *value == *copy;
                        assert!(kept.drain(..).all(as_it_was), "what is held stays as it is");
                    }
                }
            });
        }
    });
    let stats = store.stats();
    assert!(stats.replaced > 10_000 && stats.evicted > 0, "{stats:?}");
}
