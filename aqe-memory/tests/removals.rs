//! A listener is told what is gone, why, and in order.

#![expect(clippy::unwrap_used, reason = "helpers of tests may fail the test")]

use std::collections::HashMap;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Barrier, Mutex, OnceLock};
use std::time::Duration;

use aqe_memory::{Cause, ManualClock, MemoryConfig, Removal, Store};

const PATIENCE: Duration = Duration::from_secs(30);

fn listened(config: MemoryConfig, clock: &ManualClock) -> (Store, Receiver<Removal>) {
    let (sender, receiver) = channel();
    let listener = move |removal: &Removal| sender.send(removal.clone()).unwrap_or_default();
    let builder = Store::builder().config(config).clock(clock);
    (builder.listener(listener).build().unwrap(), receiver)
}

fn next(receiver: &Receiver<Removal>) -> (String, Vec<u8>, Cause) {
    let removal = receiver.recv_timeout(PATIENCE).unwrap();
    assert_eq!(removal.missed, 0);
    (
        removal.namespace.to_string(),
        removal.key.to_vec(),
        removal.cause,
    )
}

#[test]
fn every_cause_is_told_with_name_and_key() {
    let clock = ManualClock::new();
    let (store, removals) = listened(MemoryConfig::default(), &clock);
    let runs = store.namespace("runs").unwrap();
    runs.put(b"1", &[1; 100]).unwrap();
    runs.put(b"1", &[2; 100]).unwrap();
    let first = removals.recv_timeout(PATIENCE).unwrap();
    assert_eq!((&*first.namespace, &*first.key), ("runs", &b"1"[..]));
    assert_eq!(first.cause, Cause::Replaced);
    assert!((101..200).contains(&first.size), "{first:?}");
    assert_eq!(first.to_string(), "`1` of `runs` replaced");
    runs.remove(b"1").unwrap();
    assert_eq!(
        next(&removals),
        ("runs".to_owned(), b"1".to_vec(), Cause::Removed)
    );
    // Three ways of being found to be over.
    for key in [b"swept", b"taken", b"again"] {
        store
            .put_for(key, b"value", Duration::from_secs(1))
            .unwrap();
    }
    clock.advance(Duration::from_secs(1));
    assert!(!store.remove(b"taken").unwrap());
    assert_eq!(
        next(&removals),
        (String::new(), b"taken".to_vec(), Cause::Expired)
    );
    store.put(b"again", b"value").unwrap();
    assert_eq!(
        next(&removals),
        (String::new(), b"again".to_vec(), Cause::Expired)
    );
    clock.advance(Duration::from_secs(1));
    store.cleanup();
    assert_eq!(
        next(&removals),
        (String::new(), b"swept".to_vec(), Cause::Expired)
    );
    let version = store.put(b"key", b"value").unwrap();
    assert!(store.compare_and_remove(b"key", version).unwrap());
    assert_eq!(
        next(&removals),
        (String::new(), b"key".to_vec(), Cause::Removed)
    );
    assert!(!store.compare_and_remove(b"key", version).unwrap());
    drop((store, runs));
    assert!(
        removals.recv().is_err(),
        "what is there at the end is not told"
    );
}

#[test]
fn a_store_in_a_folder_tells_the_same() {
    let clock = ManualClock::new();
    let folder = tempfile::tempdir().unwrap();
    let (sender, removals) = channel();
    let builder = Store::builder().clock(&clock);
    let builder = builder.listener(move |removal| sender.send(removal.clone()).unwrap_or_default());
    let store = builder.open(folder.path()).unwrap();
    let runs = store.namespace("runs").unwrap();
    runs.put(b"1", &[1; 100]).unwrap();
    runs.put(b"1", &[2; 100]).unwrap();
    assert_eq!(
        next(&removals),
        ("runs".to_owned(), b"1".to_vec(), Cause::Replaced)
    );
    let (_, version) = runs.get_versioned(b"1").unwrap();
    assert!(runs.compare_and_remove(b"1", version).unwrap());
    assert_eq!(
        next(&removals),
        ("runs".to_owned(), b"1".to_vec(), Cause::Removed)
    );
    assert!(!runs.compare_and_remove(b"1", version).unwrap());
    store
        .put_for(b"swept", b"value", Duration::from_secs(1))
        .unwrap();
    clock.advance(Duration::from_secs(2));
    store.cleanup();
    assert_eq!(
        next(&removals),
        (String::new(), b"swept".to_vec(), Cause::Expired)
    );
}

/// What was put and not told is there; what was told was put, and is gone.
#[test]
fn what_was_evicted_and_what_is_there_are_all_that_was_put() {
    evict(
        MemoryConfig::default()
            .max_size(2 << 20)
            .cache_size(2 << 20),
    );
    evict(
        MemoryConfig::default()
            .max_size(2 << 20)
            .cache_size(512 << 10),
    );
}

fn evict(config: MemoryConfig) {
    const ENTRIES: u32 = 20_000;
    let clock = ManualClock::new();
    let (store, removals) = listened(config, &clock);
    let mut gone = HashMap::new();
    for number in 0..ENTRIES {
        // Noise, which no codec makes smaller.
        let noise = |at: u32| {
            (number.wrapping_mul(2_654_435_761).wrapping_add(at) ^ at).wrapping_mul(2_246_822_519)
        };
        let value: Vec<u8> = (0..50).flat_map(|at| noise(at).to_le_bytes()).collect();
        store.put(&number.to_le_bytes(), &value).unwrap();
        // Slowly enough for all of them to be told.
        while store.stats().evicted > gone.len() as u64 {
            let (_, key, cause) = next(&removals);
            assert_eq!(gone.insert(key, cause), None, "told once");
        }
    }
    assert!(gone.len() > 1000, "{}", gone.len());
    assert!(gone.values().all(|cause| *cause == Cause::Evicted));
    for number in 0..ENTRIES {
        let key = number.to_le_bytes();
        assert_ne!(gone.contains_key(&key[..]), store.contains(&key));
    }
}

#[test]
fn the_removals_of_a_key_are_in_order_with_many_threads() {
    const ROUNDS: u32 = 5000;
    let last: Arc<Mutex<HashMap<Vec<u8>, u64>>> = Arc::default();
    let told = Arc::clone(&last);
    let store = Store::builder().listener(move |removal| {
        // The size of each value of a thread's key says which one it is.
        let mut told = told.lock().unwrap();
        let before = told.insert(removal.key.to_vec(), removal.size);
        assert!(before < Some(removal.size), "{before:?} before {removal:?}");
    });
    let store = store.build().unwrap();
    std::thread::scope(|scope| {
        for thread in 0..3u8 {
            let store = &store;
            scope.spawn(move || {
                for round in 1..=ROUNDS {
                    store.put(&[thread], &vec![0; round as usize * 4]).unwrap();
                }
            });
        }
    });
    let stats = store.stats();
    drop(store);
    assert_eq!((stats.removals_missed, stats.listener_panics), (0, 0));
    let last = last.lock().unwrap();
    assert_eq!(last.len(), 3);
    assert!(last.values().all(|size| *size > u64::from(ROUNDS - 1) * 4));
}

#[test]
fn a_listener_that_panics_is_called_again() {
    let (sender, told) = channel();
    let store = Store::builder().listener(move |removal| {
        sender.send(removal.cause).unwrap_or_default();
        assert_eq!(
            removal.cause,
            Cause::Removed,
            "this is what it is not made for"
        );
    });
    let store = store.build().unwrap();
    store.put(b"key", b"1").unwrap();
    store.put(b"key", b"2").unwrap();
    store.remove(b"key").unwrap();
    assert_eq!(told.recv_timeout(PATIENCE), Ok(Cause::Replaced));
    assert_eq!(told.recv_timeout(PATIENCE), Ok(Cause::Removed));
    assert_eq!(store.stats().listener_panics, 1);
    assert_eq!(
        store.put(b"key", b"3").map(|_| ()),
        Ok(()),
        "and the store goes on"
    );
}

#[test]
fn a_listener_may_use_the_store() {
    let (sender, told) = channel();
    let handle: Arc<OnceLock<Store>> = Arc::default();
    let inside = Arc::clone(&handle);
    let store = Store::builder().listener(move |removal| {
        if let Some(store) = inside.get() {
            // Its own removals come back to it.
            let kept = store.put(&[&b"was/"[..], &removal.key].concat(), b"");
            store.cleanup();
            sender.send(kept.is_ok()).unwrap_or_default();
        }
    });
    let store = store.build().unwrap();
    handle.set(store.clone()).unwrap();
    store.put(b"key", b"1").unwrap();
    store.remove(b"key").unwrap();
    assert_eq!(told.recv_timeout(PATIENCE), Ok(true));
    assert!(store.contains(b"was/key"));
}

#[test]
fn who_puts_does_not_wait_for_a_slow_listener_and_it_is_told_what_it_missed() {
    const PUTS: u64 = 30_000;
    let gate = Arc::new(Barrier::new(2));
    let inside = Arc::clone(&gate);
    let (sender, told) = channel();
    let config = MemoryConfig::default()
        .max_size(4 << 20)
        .cache_size(1 << 20);
    let store = Store::builder().config(config).listener(move |removal| {
        if removal.key.starts_with(b"first") {
            inside.wait();
            inside.wait();
        }
        sender.send(removal.clone()).unwrap_or_default();
    });
    let store = store.build().unwrap();
    store.put(b"first", b"").unwrap();
    store.remove(b"first").unwrap();
    gate.wait();
    // The listener is held; these calls come to their end nevertheless.
    for _ in 0..=PUTS {
        store.put(b"key", b"").unwrap();
    }
    let missed = store.stats().removals_missed;
    assert!(missed > 0);
    gate.wait();
    while told.recv_timeout(PATIENCE).unwrap().key[..] == b"first"[..] {}
    let mut count = 1;
    // There is room again: the next one says how many there were not room for.
    let said = loop {
        store.put(b"key", b"").unwrap();
        let removal = told.recv_timeout(PATIENCE).unwrap();
        count += 1;
        if removal.missed > 0 {
            break removal.missed;
        }
        assert!(count < 10 * PUTS);
    };
    assert!(said >= missed, "{said} of {missed}");
}

/// Many more than the listener's queue has room for.
#[test]
fn what_expires_waits_for_the_listener_and_all_of_it_is_told() {
    const ENTRIES: u32 = 20_000;
    let clock = ManualClock::new();
    let config = MemoryConfig::default()
        .max_size(8 << 20)
        .cache_size(8 << 20);
    let (store, removals) = listened(config, &clock);
    for number in 0..ENTRIES {
        store
            .put_for(&number.to_le_bytes(), b"value", Duration::from_secs(1))
            .unwrap();
    }
    clock.advance(Duration::from_secs(3));
    store.cleanup();
    let stats = store.stats();
    assert_eq!((stats.expired, stats.removals_missed), (ENTRIES.into(), 0));
    drop(store);
    let mut told: Vec<_> = removals.iter().map(|removal| removal.key).collect();
    told.sort_unstable();
    told.dedup();
    assert_eq!(told.len(), ENTRIES as usize);
}
