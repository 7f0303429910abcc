//! Entries that live for as long as somebody reads them.

#![allow(
    clippy::unwrap_used,
    reason = "a panic fails the test, helpers included"
)]

use std::time::Duration;

use aqe_memory::{EntryOptions, ManualClock, MemoryConfig, Store};

const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn idle(time: u64) -> EntryOptions {
    EntryOptions::default().time_to_idle(millis(time))
}

/// Whatever counts as a read prolongs a life, and what does not, does not.
#[test]
fn reads_prolong_and_looking_does_not() {
    let clock = ManualClock::new();
    let store = Store::with_clock(MemoryConfig::default(), &clock).unwrap();
    let put = || store.put_with(b"key", b"value", &idle(1000)).unwrap();
    let reads: [fn(&Store) -> bool; 4] = [
        |store| store.get(b"key").is_some(),
        |store| store.get_versioned(b"key").is_some(),
        |store| store.get_many(&["key"])[0].is_some(),
        |store| {
            let load = || -> Result<_, std::io::Error> { Ok("another") };
            *store.get_or_insert_with(b"key", load).unwrap() == *b"value"
        },
    ];
    for read in reads {
        put();
        for _ in 0..5 {
            clock.advance(millis(999));
            assert!(read(&store));
        }
        clock.advance(millis(1000));
        assert!(!store.contains(b"key"));
    }
    let looks: [fn(&Store) -> bool; 4] = [
        |store| store.contains(b"key"),
        |store| store.keys(b"", None, 9).len() == 1,
        |store| store.entries(b"").count() == 1,
        |store| store.snapshot(b"").unwrap().count() == 1,
    ];
    for look in looks {
        put();
        clock.advance(millis(999));
        assert!(look(&store));
        clock.advance(millis(1));
        assert!(!look(&store) && store.get(b"key").is_none());
    }
}

#[test]
fn nothing_prolongs_beyond_the_time_to_live() {
    let clock = ManualClock::new();
    let store = Store::with_clock(MemoryConfig::default(), &clock).unwrap();
    let options = idle(1000).time_to_live(millis(2500));
    store.put_with(b"key", b"value", &options).unwrap();
    for _ in 0..4 {
        clock.advance(millis(600));
        assert!(store.get(b"key").is_some());
    }
    clock.advance(millis(100));
    assert!(store.get(b"key").is_none());
}

/// When the time of a segment comes, what was read is elsewhere, and the memory of the rest is back.
#[test]
fn a_segment_goes_without_those_that_were_read() {
    let clock = ManualClock::new();
    let store = Store::with_clock(MemoryConfig::default(), &clock).unwrap();
    let before = store.stats().resident_bytes;
    for number in 0..10_000u32 {
        let key = number.to_le_bytes();
        store.put_with(&key, &[7; 200], &idle(10_000)).unwrap();
    }
    let full = store.stats().resident_bytes - before;
    for _ in 0..5 {
        clock.advance(millis(9000));
        for number in 0..100u32 {
            assert!(store.get(&number.to_le_bytes()).is_some());
        }
        store.cleanup();
    }
    let stats = store.stats();
    assert_eq!((stats.entries, stats.expired), (100, 9900));
    assert!(stats.resident_bytes - before < full / 5, "{stats:?}");
    clock.advance(millis(10_200));
    store.cleanup();
    assert_eq!(store.stats().entries, 0);
}

/// After a kill, an entry ends when the last read that was written down says, which is at most an eighth of the time sooner.
#[test]
fn a_kill_costs_an_eighth_at_most_and_gives_nothing() {
    let clock = ManualClock::new();
    let folder = tempfile::tempdir().unwrap();
    let open = || Store::open_with_clock(folder.path(), MemoryConfig::default(), &clock).unwrap();
    for (read_after, lives) in [(500, 7500), (1000, 7000), (1001, 8000), (7999, 8000)] {
        let store = open();
        let version = store.put_with(b"key", b"value", &idle(8000)).unwrap();
        clock.advance(millis(read_after));
        assert!(store.get(b"key").is_some());
        // Nothing is written when a store is dropped.
        drop(store);
        clock.advance(millis(lives - 1));
        let store = open();
        assert!(store.contains(b"key"), "read after {read_after}");
        clock.advance(millis(1));
        assert!(!store.contains(b"key"), "read after {read_after}");
        drop(store);
        let again = open();
        assert!(again.get(b"key").is_none());
        assert_ne!(again.put(b"key", b"value").unwrap(), version);
        again.remove(b"key").unwrap();
    }
}

/// Of several records of one version, the one counts that was written last.
#[test]
fn the_last_record_counts() {
    let clock = ManualClock::new();
    let folder = tempfile::tempdir().unwrap();
    let open = || Store::open_with_clock(folder.path(), MemoryConfig::default(), &clock).unwrap();
    let store = open();
    let keys: Vec<_> = (0..100u32).map(u32::to_le_bytes).collect();
    for key in &keys {
        store.put_with(key, b"value", &idle(8000)).unwrap();
    }
    for _ in 0..4 {
        clock.advance(millis(2000));
        assert!(keys.iter().all(|key| store.get(key).is_some()));
    }
    drop(store);
    clock.advance(millis(7999));
    let store = open();
    assert!(keys.iter().all(|key| store.contains(key)));
    clock.advance(millis(1));
    assert!(!keys.iter().any(|key| store.contains(key)));
}

/// An entry that loses its place in memory ends when its last read says, also when that was not written down yet.
#[test]
fn the_deadline_goes_where_the_entry_goes() {
    let clock = ManualClock::new();
    let folder = tempfile::tempdir().unwrap();
    let config = MemoryConfig::default()
        .max_size(4 << 20)
        .cache_size(512 << 10);
    let stores = [
        Store::with_clock(config.clone(), &clock).unwrap(),
        Store::open_with_clock(folder.path(), config, &clock).unwrap(),
    ];
    for store in stores {
        let keys: Vec<_> = (0..1000u32).map(u32::to_le_bytes).collect();
        for key in &keys {
            store
                .put_with(key, &key.repeat(100), &idle(10_000))
                .unwrap();
        }
        for round in 0..6u32 {
            // Too little for a record to be written anew.
            clock.advance(millis(200));
            assert!(keys.iter().all(|key| store.get(key).is_some()));
            let other = |number: u32| [round.to_le_bytes(), number.to_le_bytes()].concat();
            for number in 0..3000 {
                let value = [round.to_le_bytes(); 100].concat();
                store.put(&other(number), &value).unwrap();
                // In a folder, what is read twice is what takes the place of others.
                assert!((0..2).all(|_| store.get(&other(number)).is_some()));
            }
        }
        clock.advance(millis(9999));
        store.cleanup();
        assert_eq!(keys.iter().filter(|key| store.contains(*key)).count(), 1000);
        clock.advance(millis(1));
        assert!(!keys.iter().any(|key| store.contains(key)));
    }
}

/// A version stays what it is however often the record is written anew.
#[test]
fn reading_does_not_change_the_version() {
    let clock = ManualClock::new();
    let folder = tempfile::tempdir().unwrap();
    let open = || Store::open_with_clock(folder.path(), MemoryConfig::default(), &clock).unwrap();
    let version = open().put_with(b"key", b"value", &idle(8000)).unwrap();
    for _ in 0..5 {
        let store = open();
        for _ in 0..3 {
            clock.advance(millis(5000));
            let (_, seen) = store.get_versioned(b"key").unwrap();
            assert_eq!(seen, version);
        }
    }
    let store = open();
    let seen = Some(version);
    store.compare_and_set(b"key", seen, b"another").unwrap();
    drop(store);
    assert_eq!(open().get(b"key").as_deref(), Some(&b"another"[..]));
}

/// Threads read while entries lose their place in memory, segments end and files are compacted: nothing that is read in time
/// is ever lost, and what is not read any more goes.
#[test]
fn what_is_read_in_time_stays_whatever_happens_around_it() {
    const KEYS: u32 = 2000;
    let clock = ManualClock::new();
    let config = MemoryConfig::default()
        .max_size(2 << 20)
        .cache_size(512 << 10);
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open_with_clock(folder.path(), config, &clock).unwrap();
    for number in 0..KEYS {
        let value = [number.to_le_bytes(); 100].concat();
        let key = number.to_le_bytes();
        store.put_with(&key, &value, &idle(10_000)).unwrap();
    }
    for round in 0..12u8 {
        clock.advance(millis(4500));
        std::thread::scope(|scope| {
            for thread in 0..2 {
                let (store, clock) = (&store, &clock);
                scope.spawn(move || {
                    for number in 0..KEYS {
                        let number = if thread == 0 {
                            number
                        } else {
                            KEYS - 1 - number
                        };
                        let value = store.get(&number.to_le_bytes());
                        let value = value.unwrap_or_else(|| panic!("{number} in round {round}"));
                        assert!(value.chunks(4).all(|word| word == number.to_le_bytes()));
                        if number % 20 == 0 {
                            clock.advance(millis(1));
                        }
                    }
                });
            }
            scope.spawn(|| {
                for number in 0..1000u32 {
                    let key = [&b"other"[..], &number.to_le_bytes()].concat();
                    store.put_for(&key, &[round; 500], millis(3000)).unwrap();
                    if number % 100 == 0 {
                        store.cleanup();
                    }
                }
            });
        });
    }
    assert!(store.damage().is_empty());
    clock.advance(millis(20_000));
    store.cleanup();
    let stats = store.stats();
    assert_eq!(stats.entries, 0);
    assert_eq!(stats.unreadable, 0);
}
