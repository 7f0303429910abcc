//! A snapshot is what a namespace held at one moment, whatever is called before it was read.

#![allow(
    clippy::unwrap_used,
    reason = "a panic fails the test, helpers included"
)]

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use aqe_memory::{
    Compression, EntryOptions, ManualClock, MemoryConfig, Snapshot, SnapshotError, Store,
};
use proptest::prelude::*;
use tempfile::TempDir;

/// Value, deadline, and tag if it is not zero.
type Entries = BTreeMap<Vec<u8>, (Vec<u8>, u64, u8)>;

#[derive(Clone, Debug)]
enum Call {
    Put {
        key: u8,
        size: usize,
        millis: u64,
        tag: u8,
    },
    Invalidate {
        tag: u8,
    },
    Remove {
        key: u8,
    },
    Get {
        key: u8,
    },
    Advance {
        millis: u64,
    },
    Cleanup,
    Begin {
        prefix: Option<u8>,
    },
    Next {
        at: usize,
        steps: usize,
    },
}

fn call() -> impl Strategy<Value = Call> {
    let key = || any::<u8>();
    prop_oneof![
        8 => (key(), prop_oneof![6 => 0usize..200, 1 => 5000usize..20_000], prop_oneof![1u64..300, Just(1 << 40)], 0u8..3)
            .prop_map(|(key, size, millis, tag)| Call::Put { key, size, millis, tag }),
        1 => (1u8..3).prop_map(|tag| Call::Invalidate { tag }),
        2 => key().prop_map(|key| Call::Remove { key }),
        2 => key().prop_map(|key| Call::Get { key }),
        1 => (0u64..200).prop_map(|millis| Call::Advance { millis }),
        1 => Just(Call::Cleanup),
        1 => proptest::option::of(0u8..4).prop_map(|prefix| Call::Begin { prefix }),
        4 => (0usize..4, 0usize..40).prop_map(|(at, steps)| Call::Next { at, steps }),
    ]
}

/// A snapshot beside what it has to give still.
struct Pair {
    snapshot: Snapshot,
    expected: Entries,
}

struct Run {
    store: Store,
    clock: ManualClock,
    /// What was put, unless the store may evict: then it is asked.
    entries: Entries,
    may_forget: bool,
    pairs: Vec<Pair>,
    now: u64,
    count: u64,
}

impl Run {
    fn call(&mut self, call: &Call) -> Result<(), TestCaseError> {
        match *call {
            Call::Put {
                key,
                size,
                millis,
                tag,
            } => {
                self.count += 1;
                let mut value = self.count.to_le_bytes().to_vec();
                value.resize(8 + size, key);
                let key = name(key);
                let tags = (tag > 0).then(|| tag.to_string());
                let options = EntryOptions::default().tags(tags);
                let options = options.time_to_live(Duration::from_millis(millis));
                self.store.put_with(&key, &value, &options).unwrap();
                self.entries.insert(key, (value, self.now + millis, tag));
            }
            Call::Invalidate { tag } => {
                self.store.invalidate_tag(&tag.to_string()).unwrap();
                self.entries.retain(|_, (_, _, other)| *other != tag);
            }
            Call::Remove { key } => {
                self.store.remove(&name(key)).unwrap();
                self.entries.remove(&name(key));
            }
            Call::Get { key } => drop(self.store.get(&name(key))),
            Call::Advance { millis } => {
                self.clock.advance(Duration::from_millis(millis));
                self.now += millis;
            }
            Call::Cleanup => self.store.cleanup(),
            Call::Begin { prefix } => {
                let prefix: Vec<u8> = prefix.into_iter().collect();
                self.forget_evicted();
                // Either all that may be had is there, or it is not for want of room.
                match self.store.snapshot(&prefix) {
                    Ok(snapshot) => {
                        let expected = self.entries.clone().into_iter();
                        let expected = expected.filter(|(key, _)| key.starts_with(&prefix));
                        let expected = expected.collect();
                        self.pairs.push(Pair { snapshot, expected });
                    }
                    Err(error) => {
                        let is_it = matches!(error, SnapshotError::NoRoom { .. });
                        prop_assert!(is_it && self.pairs.len() == 8, "{error}");
                    }
                }
            }
            Call::Next { at, steps } => {
                for _ in 0..steps {
                    self.step(at)?;
                }
            }
        }
        Ok(())
    }

    /// Forgets what the store has evicted.
    fn forget_evicted(&mut self) {
        let store = &self.store;
        if self.may_forget {
            self.entries.retain(|key, _| store.contains(key));
        }
    }

    /// The next entry of a snapshot is the first one left whose time is not over.
    fn step(&mut self, at: usize) -> Result<(), TestCaseError> {
        if self.pairs.is_empty() {
            return Ok(());
        }
        let at = at % self.pairs.len();
        let pair = &mut self.pairs[at];
        let now = self.now;
        pair.expected.retain(|_, (_, deadline, _)| *deadline > now);
        match pair.snapshot.next() {
            Some(Ok((key, value))) => {
                let (expected, (as_put, ..)) = pair.expected.pop_first().unwrap();
                prop_assert_eq!(&*key, &*expected);
                prop_assert_eq!(&*value, &*as_put);
                return Ok(());
            }
            Some(Err(error)) => {
                let is_it = matches!(error, SnapshotError::TooOld { .. });
                prop_assert!(is_it && self.may_forget, "{error}");
            }
            None => prop_assert!(pair.expected.is_empty(), "an entry is missing"),
        }
        prop_assert!(pair.snapshot.next().is_none());
        self.pairs.swap_remove(at);
        Ok(())
    }
}

fn name(key: u8) -> Vec<u8> {
    vec![key % 4; usize::from(key) + 1]
}

fn run(
    config: MemoryConfig,
    folder: Option<&TempDir>,
    may_forget: bool,
    calls: &[Call],
) -> Result<(), TestCaseError> {
    let clock = ManualClock::new();
    let store = match folder {
        Some(folder) => Store::open_with_clock(folder.path(), config, &clock),
        None => Ok(Store::with_clock(config, &clock).unwrap()),
    };
    let mut run = Run {
        store: store.unwrap(),
        clock,
        entries: Entries::new(),
        may_forget,
        pairs: Vec::new(),
        now: 0,
        count: 0,
    };
    for call in calls {
        run.call(call)?;
    }
    while !run.pairs.is_empty() {
        run.step(0)?;
    }
    Ok(())
}

fn calls() -> impl Strategy<Value = Vec<Call>> {
    proptest::collection::vec(call(), 1..500)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn it_is_that_of_its_moment(calls in calls()) {
        run(MemoryConfig::default(), None, false, &calls)?;
    }

    #[test]
    fn it_is_that_of_its_moment_when_compressed(calls in calls()) {
        let config = MemoryConfig::default().max_size(64 << 20).cache_size(512 << 10);
        run(config, None, false, &calls)?;
    }

    #[test]
    fn it_is_that_of_its_moment_or_too_old_when_entries_are_evicted(calls in calls()) {
        let config = MemoryConfig::default().max_size(1_000_000).cache_size(0);
        run(config.compression(Compression::None), None, true, &calls)?;
    }

    #[test]
    fn it_is_that_of_its_moment_in_a_folder(calls in calls()) {
        let folder = tempfile::tempdir().unwrap();
        let config = MemoryConfig::default().max_size(64 << 20).cache_size(512 << 10);
        run(config, Some(&folder), false, &calls)?;
    }
}

/// Beyond what it may save a snapshot ends with an error, and gives back what it had saved.
#[test]
fn it_is_too_old_when_too_much_has_changed() {
    let store = Store::new(MemoryConfig::default().compression(Compression::None)).unwrap();
    for number in 0..100u8 {
        store.put(&[number], &[1; 1000]).unwrap();
    }
    let before = store.stats().resident_bytes;
    let mut snapshot = store.snapshot_within(b"", 50_000).unwrap();
    assert_eq!(&*snapshot.next().unwrap().unwrap().0, &[0]);
    for number in 0..30u8 {
        store.put(&[number], &[2; 1000]).unwrap();
    }
    let saved = store.stats().resident_bytes - before;
    assert!((29_000..80_000).contains(&saved), "{saved} bytes");
    assert_eq!(&*snapshot.next().unwrap().unwrap().1, &[1; 1000]);
    for number in 30..60u8 {
        store.remove(&[number]).unwrap();
    }
    let error = snapshot.next().unwrap().unwrap_err();
    assert_eq!(error, SnapshotError::TooOld { most_bytes: 50_000 });
    assert!(snapshot.next().is_none());
    assert!(store.stats().resident_bytes - before < 40_000);
}

/// What has to give way is saved as well.
#[test]
fn it_has_what_was_evicted_since() {
    let config = MemoryConfig::default().max_size(1 << 20).cache_size(0);
    let store = Store::new(config.compression(Compression::None)).unwrap();
    let fill = |name: &str, count: u32| {
        for number in 0..count {
            let key = format!("{name} {number:05}");
            store.put(key.as_bytes(), &[7; 500]).unwrap();
        }
    };
    fill("other", 4000);
    fill("wanted", 100);
    let is_there = |number: &u32| store.contains(format!("wanted {number:05}").as_bytes());
    assert_eq!((0..100).filter(is_there).count(), 100);
    let snapshot = store.snapshot_within(b"wanted", 200_000).unwrap();
    fill("another", 8000);
    assert_eq!((0..100).filter(is_there).count(), 0);
    let entries = snapshot.collect::<Result<Vec<_>, _>>().unwrap();
    assert_eq!(entries.len(), 100);
    assert!(entries.iter().all(|(_, value)| **value == [7; 500]));
}

#[test]
fn all_snapshots_together_have_a_bound() {
    let store = Store::new(MemoryConfig::default().max_size(32 << 20)).unwrap();
    let snapshots: Vec<_> = (0..8).map(|_| store.snapshot(b"").unwrap()).collect();
    let refused = store.snapshot(b"").unwrap_err();
    let expected = SnapshotError::NoRoom {
        asked: 1 << 20,
        left: 0,
    };
    assert_eq!(refused, expected);
    drop(snapshots);
    assert!(store.snapshot(b"").is_ok());
}

/// Keys are put one after the other in rounds: at any moment, an earlier key is as far as a later one, or one round ahead.
#[test]
fn it_is_of_one_moment_while_others_put() {
    const KEYS: u32 = 64;
    let config = MemoryConfig::default()
        .max_size(32 << 20)
        .cache_size(512 << 10);
    let folder = tempfile::tempdir().unwrap();
    for store in [
        Store::new(config.clone()).unwrap(),
        Store::open(folder.path(), config).unwrap(),
    ] {
        let put = |round: u32| {
            for key in 0..KEYS {
                let value = [round.to_be_bytes(), [7; 4]].concat();
                store.put(&key.to_be_bytes(), &value).unwrap();
            }
        };
        put(0);
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                (1..)
                    .take_while(|_| !stop.load(Ordering::Relaxed))
                    .for_each(put);
            });
            for _ in 0..300 {
                let snapshot = store.snapshot_within(b"", 1 << 20).unwrap();
                let rounds = snapshot.map(|entry| entry.unwrap().1[..4].to_vec());
                let rounds: Vec<_> = rounds.collect();
                assert_eq!(rounds.len(), KEYS as usize);
                assert!(rounds.is_sorted_by(|one, other| one >= other));
                let [first, last] = [&rounds[0], &rounds[rounds.len() - 1]]
                    .map(|round| u32::from_be_bytes(round[..].try_into().unwrap()));
                assert!(
                    first - last <= 1,
                    "{first} and {last} are not of one moment"
                );
            }
            stop.store(true, Ordering::Relaxed);
        });
    }
}
