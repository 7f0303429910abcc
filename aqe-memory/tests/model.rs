//! Any sequence of calls agrees with a map whose entries have deadlines.

#![allow(
    clippy::unwrap_used,
    reason = "a panic fails the test, helpers included"
)]

use std::collections::BTreeMap;
use std::time::Duration;

use aqe_memory::{
    Cleanup, CompareError, EntryOptions, ManualClock, MemoryConfig, Namespace, Optimize, Store,
    Version,
};
use proptest::prelude::*;
use tempfile::TempDir;

#[derive(Clone, Debug)]
enum Call {
    Put {
        key: u8,
        size: usize,
        millis: u64,
    },
    PutWith {
        key: u8,
        size: usize,
        idle: u64,
        millis: u64,
        tags: u8,
        many: bool,
    },
    Invalidate {
        tag: u8,
    },
    CompareAndSet {
        key: u8,
        as_seen: bool,
    },
    Get {
        key: u8,
    },
    Remove {
        key: u8,
    },
    Advance {
        millis: u64,
    },
    Cleanup,
    CleanUp(Cleanup),
    Optimize(Optimize),
    Analyze,
    Reopen,
    Keys {
        prefix: Option<u8>,
        most: usize,
    },
}

fn call() -> impl Strategy<Value = Call> {
    let key = || any::<u8>();
    prop_oneof![
        18 => (key(), sizes(), prop_oneof![1u64..300, 1u64..100_000, Just(u64::MAX)])
            .prop_map(|(key, size, millis)| Call::Put { key, size, millis }),
        12 => (key(), sizes(), idles(), prop_oneof![1u64..3000, Just(u64::MAX)], 0u8..8, any::<bool>())
            .prop_map(|(key, size, idle, millis, tags, many)| Call::PutWith { key, size, idle, millis, tags, many }),
        3 => (0u8..3).prop_map(|tag| Call::Invalidate { tag }),
        6 => (key(), any::<bool>()).prop_map(|(key, as_seen)| Call::CompareAndSet { key, as_seen }),
        24 => key().prop_map(|key| Call::Get { key }),
        3 => key().prop_map(|key| Call::Remove { key }),
        3 => (0u64..2000).prop_map(|millis| Call::Advance { millis }),
        3 => Just(Call::Cleanup),
        1 => prop_oneof![Just(Cleanup::CacheOnly), Just(Cleanup::Aggressive)].prop_map(Call::CleanUp),
        1 => prop_oneof![Just(Optimize::Normal), Just(Optimize::Aggressive)].prop_map(Call::Optimize),
        1 => Just(Call::Analyze),
        3 => Just(Call::Reopen),
        3 => (proptest::option::of(0u8..4), 0usize..300).prop_map(|(prefix, most)| Call::Keys { prefix, most }),
    ]
}

/// Times to idle; the longest is none.
fn idles() -> impl Strategy<Value = u64> {
    prop_oneof![1 => Just(u64::MAX), 2 => 1u64..300, 2 => 1000u64..20_000]
}

fn sizes() -> impl Strategy<Value = usize> {
    prop_oneof![8 => 0usize..200, 3 => 1000usize..5000, 1 => 20_000usize..30_000]
}

struct Entry {
    value: Vec<u8>,
    version: Version,
    deadline: u64,
    /// From when on it may be over: a read that was not written down before the process ended.
    may_end: u64,
    /// By how much a read prolongs it, and until when at most.
    idle: Option<(u64, u64)>,
    /// One bit for each.
    tags: u8,
}

impl Entry {
    fn new(value: Vec<u8>, version: Version, deadline: u64) -> Self {
        Self {
            value,
            version,
            deadline,
            may_end: deadline,
            idle: None,
            tags: 0,
        }
    }
}

/// The store beside the map. `may_forget` says whether there is so little room that entries are evicted.
struct Pair {
    clock: ManualClock,
    /// Where the store is, if it is in a folder.
    folder: Option<TempDir>,
    /// Only ever `None` between two openings.
    store: Option<Store>,
    entries: BTreeMap<Vec<u8>, Entry>,
    now: u64,
    count: u64,
    may_forget: bool,
}

impl Pair {
    fn new(config: &MemoryConfig, folder: Option<TempDir>, may_forget: bool) -> Self {
        let clock = ManualClock::new();
        Self {
            store: Some(open(config, folder.as_ref(), &clock)),
            clock,
            folder,
            entries: BTreeMap::new(),
            now: 0,
            count: 0,
            may_forget,
        }
    }

    fn store(&self) -> &Store {
        self.store.as_ref().unwrap()
    }

    /// Half compressible, half not, and different for every put.
    fn value(&mut self, size: usize) -> Vec<u8> {
        self.count += 1;
        let mut state = self.count;
        let noise = std::iter::repeat_with(|| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (state >> 56) as u8
        });
        let noise = noise.take(size / 2);
        noise
            .chain(std::iter::repeat_n(b'a', size - size / 2))
            .collect()
    }

    fn key(key: u8) -> Vec<u8> {
        vec![key % 4; usize::from(key) + 1]
    }

    /// How many entries there are at least, if none was forgotten, and at most.
    fn counts(&self) -> (u64, u64) {
        let count = |end: fn(&Entry) -> u64| {
            let ends = self.entries.values().map(end);
            ends.filter(|end| *end > self.now).count() as u64
        };
        (count(|entry| entry.may_end), count(|entry| entry.deadline))
    }

    fn live(&self, key: &[u8]) -> Option<&Entry> {
        self.entries
            .get(key)
            .filter(|entry| entry.deadline > self.now)
    }

    /// Entries that may have ended have done so or not.
    fn settle(&mut self) {
        let (now, store) = (self.now, self.store.as_ref().unwrap());
        self.entries.retain(|key, entry| {
            entry.may_end > now || entry.deadline <= now || store.contains(key)
        });
    }

    /// An entry was found by a read.
    fn was_read(&mut self, key: &[u8]) {
        let now = self.now;
        if let Some(entry) = self.entries.get_mut(key)
            && let Some((idle, cap)) = entry.idle
        {
            entry.deadline = (now + idle).min(cap).max(entry.deadline);
            entry.may_end = entry.deadline;
        }
    }

    fn call(&mut self, call: &Call) -> Result<(), TestCaseError> {
        self.settle();
        match *call {
            Call::PutWith {
                key,
                size,
                idle,
                millis,
                tags,
                many,
            } => {
                let (key, value) = (Self::key(key), self.value(size));
                let named = (0..3).filter(|tag| tags & 1 << tag != 0);
                let mut options =
                    EntryOptions::default().tags(named.map(|tag| format!("tag {tag}")));
                if millis < u64::MAX {
                    options = options.time_to_live(Duration::from_millis(millis));
                }
                let cap = self.now.saturating_add(millis);
                let mut entry = Entry::new(value.clone(), Version::from_number(0), cap);
                if idle < u64::MAX {
                    options = options.time_to_idle(Duration::from_millis(idle));
                    entry = Entry::new(value.clone(), entry.version, cap.min(self.now + idle));
                    entry.idle = Some((idle, cap));
                }
                entry.tags = tags;
                if many {
                    self.store()
                        .put_many_with([(&key, &value)], &options)
                        .unwrap();
                    // To look is no read, but to ask for the version is.
                    let found = self.store().get_versioned(&key);
                    prop_assert!(found.is_some() || self.may_forget || idle == 0);
                    entry.version = found.map_or(entry.version, |(_, version)| version);
                } else {
                    entry.version = self.store().put_with(&key, &value, &options).unwrap();
                }
                self.entries.insert(key, entry);
            }
            Call::Invalidate { tag } => {
                self.store().invalidate_tag(&format!("tag {tag}")).unwrap();
                self.entries.retain(|_, entry| entry.tags & 1 << tag == 0);
            }
            Call::Put { key, size, millis } => {
                let (key, value) = (Self::key(key), self.value(size));
                let version = match millis {
                    u64::MAX => self.store().put(&key, &value),
                    _ => self
                        .store()
                        .put_for(&key, &value, Duration::from_millis(millis)),
                };
                let deadline = self.now.saturating_add(millis);
                let version = version.unwrap();
                self.entries
                    .insert(key, Entry::new(value, version, deadline));
            }
            Call::CompareAndSet { key, as_seen } => {
                let key = Self::key(key);
                let seen = self.store().get_versioned(&key).map(|(_, version)| version);
                if seen.is_some() {
                    self.was_read(&key);
                }
                let expected = if as_seen { seen } else { self.any_version() };
                let value = self.value(10);
                match self.store().compare_and_set(&key, expected, &value) {
                    Ok(version) => {
                        prop_assert_eq!(expected, seen);
                        let deadline = u64::MAX;
                        self.entries
                            .insert(key, Entry::new(value, version, deadline));
                    }
                    Err(CompareError::Changed { current }) => {
                        prop_assert_eq!(current, seen);
                        prop_assert_ne!(expected, seen);
                    }
                    Err(other) => return Err(TestCaseError::fail(other.to_string())),
                }
            }
            Call::Get { key } => self.check(&Self::key(key))?,
            Call::Remove { key } => {
                let key = Self::key(key);
                let was_there = self.live(&key).is_some();
                let removed = self.store().remove(&key).unwrap();
                prop_assert!(removed == was_there || self.may_forget && !removed);
                self.entries.remove(&key);
                prop_assert!(!self.store().contains(&key));
            }
            Call::Advance { millis } => {
                self.clock.advance(Duration::from_millis(millis));
                self.now += millis;
            }
            Call::Cleanup => self.store().cleanup(),
            Call::CleanUp(cleanup) => {
                let report = self.store().cleanup_with(cleanup);
                prop_assert!(report.evicted == 0 || self.may_forget, "{report:?}");
                prop_assert!(report.after.resident_bytes <= self.store().config().max_size);
            }
            Call::Optimize(optimize) => {
                let report = self.store().optimize(optimize);
                prop_assert!(report.after.entries <= report.before.entries);
                prop_assert!(report.after.entries >= self.counts().0 || self.may_forget);
                prop_assert!(report.stopped.is_none() || self.may_forget, "{report:?}");
                prop_assert!(report.record_bytes_after <= report.record_bytes_before);
            }
            Call::Analyze => {
                let analysis = self.store().analyze();
                let entries = |amounts: &mut dyn Iterator<Item = u64>| amounts.sum::<u64>();
                let tiers = entries(&mut analysis.tiers.iter().map(|of| of.amount.entries));
                let namespaces = entries(&mut analysis.namespaces.iter().map(|of| of.all.entries));
                prop_assert_eq!((tiers, namespaces), (analysis.stats.entries, tiers));
                let (least, most) = self.counts();
                let seen = analysis.stats.entries - analysis.expired_entries;
                prop_assert!(seen <= most && (seen >= least || self.may_forget));
            }
            // A store writes nothing when it is dropped: this is what is left when the process is killed.
            Call::Reopen if self.folder.is_some() => {
                let config = self.store().config().clone();
                drop(self.store.take());
                self.store = Some(open(&config, self.folder.as_ref(), &self.clock));
                prop_assert_eq!(self.store().damage(), []);
                for entry in self.entries.values_mut() {
                    let idle = entry.idle.map_or(0, |(idle, _)| idle);
                    entry.may_end = entry
                        .may_end
                        .min(entry.deadline - entry.deadline.min(idle / 8));
                }
            }
            Call::Reopen => {}
            Call::Keys { prefix, most } => self.check_keys(prefix, most)?,
        }
        let stats = self.store().stats();
        let most = self.store().config().max_size;
        prop_assert!(stats.resident_bytes <= most, "{stats:?}");
        Ok(())
    }

    fn any_version(&self) -> Option<Version> {
        self.entries.values().next().map(|entry| entry.version)
    }

    fn check(&mut self, key: &[u8]) -> Result<(), TestCaseError> {
        self.settle();
        let found = self.store().get_versioned(key);
        let is_live = self.live(key).is_some();
        if found.is_some() && is_live {
            self.was_read(key);
        }
        let expected = self.live(key);
        match (found, expected) {
            (Some((value, version)), Some(entry)) => {
                prop_assert_eq!(&value[..], &entry.value[..]);
                prop_assert_eq!(version, entry.version);
            }
            (None, None) => {}
            (None, Some(_)) => prop_assert!(self.may_forget, "an entry is lost"),
            (Some(_), None) => prop_assert!(false, "an entry is there that is over or was removed"),
        }
        Ok(())
    }

    fn check_keys(&self, prefix: Option<u8>, most: usize) -> Result<(), TestCaseError> {
        let prefix: Vec<u8> = prefix.into_iter().collect();
        let found = self.store().keys(&prefix, None, most);
        prop_assert!(found.is_sorted() && found.len() <= most);
        let expected = self.entries.keys().filter(|key| key.starts_with(&prefix));
        let expected = expected.filter(|key| self.live(key).is_some());
        if self.may_forget {
            prop_assert!(found.iter().all(|key| self.live(key).is_some()));
        } else {
            let expected: Vec<_> = expected.take(most).map(|key| &key[..]).collect();
            let found: Vec<_> = found.iter().map(|key| &key[..]).collect();
            prop_assert_eq!(found, expected);
        }
        Ok(())
    }
}

fn open(config: &MemoryConfig, folder: Option<&TempDir>, clock: &ManualClock) -> Store {
    match folder {
        Some(folder) => Store::open_with_clock(folder.path(), config.clone(), clock).unwrap(),
        None => Store::with_clock(config.clone(), clock).unwrap(),
    }
}

fn run(config: MemoryConfig, may_forget: bool, calls: Vec<Call>) -> Result<(), TestCaseError> {
    run_in(config, None, may_forget, calls)
}

fn run_in(
    config: MemoryConfig,
    folder: Option<TempDir>,
    may_forget: bool,
    calls: Vec<Call>,
) -> Result<(), TestCaseError> {
    let mut pair = Pair::new(&config.time_to_live(None), folder, may_forget);
    for call in calls {
        pair.call(&call)?;
    }
    let keys: Vec<_> = pair.entries.keys().cloned().collect();
    keys.iter().try_for_each(|key| pair.check(key))
}

fn calls(most: usize) -> impl Strategy<Value = Vec<Call>> {
    proptest::collection::vec(call(), 1..most)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn with_room_for_everything(calls in calls(400)) {
        run(MemoryConfig::default(), false, calls)?;
    }

    #[test]
    fn with_room_for_everything_when_compressed(calls in calls(400)) {
        run(MemoryConfig::default().max_size(64 << 20).cache_size(512 << 10), false, calls)?;
    }

    #[test]
    fn with_as_little_room_as_there_can_be(calls in calls(600)) {
        run(MemoryConfig::default().max_size(1_000_000).cache_size(0), true, calls)?;
    }

    #[test]
    fn with_little_room(calls in calls(600)) {
        run(MemoryConfig::default().max_size(2 << 20).cache_size(512 << 10), true, calls)?;
    }

    #[test]
    fn with_no_room_for_what_is_compressed(calls in calls(600)) {
        run(MemoryConfig::default().max_size(2 << 20).cache_size(2 << 20), true, calls)?;
    }

    #[test]
    fn in_a_folder(calls in calls(400)) {
        let folder = tempfile::tempdir().unwrap();
        run_in(MemoryConfig::default(), Some(folder), false, calls)?;
    }

    #[test]
    fn in_a_folder_with_little_memory(calls in calls(400)) {
        let folder = tempfile::tempdir().unwrap();
        let config = MemoryConfig::default().max_size(2 << 20).cache_size(512 << 10);
        run_in(config, Some(folder), false, calls)?;
    }
}

#[cfg(feature = "encryption")]
mod sealed {
    use aqe_memory::crypt::{MasterKey, MasterKeys};

    use super::*;

    fn config() -> MemoryConfig {
        let key = MasterKey::from_bytes(&std::array::from_fn(|at| at as u8 ^ 0xC3)).unwrap();
        let config = MemoryConfig::default()
            .max_size(2 << 20)
            .cache_size(512 << 10);
        config.keys(MasterKeys::new(key))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn in_memory(calls in calls(400)) {
            run(config(), true, calls)?;
        }

        #[test]
        fn in_a_folder(calls in calls(400)) {
            let folder = tempfile::tempdir().unwrap();
            run_in(config(), Some(folder), false, calls)?;
        }
    }
}

/// A namespace has keys of its own.
#[test]
fn namespaces_do_not_see_one_another() {
    let store = Store::new(MemoryConfig::default()).unwrap();
    let (runs, flakes) = (
        store.namespace("runs").unwrap(),
        store.namespace("flakes").unwrap(),
    );
    let put = |namespace: &Namespace, value: &[u8]| namespace.put(b"key", value).unwrap();
    put(&runs, b"1");
    put(&flakes, b"2");
    put(&store, b"3");
    assert_eq!(runs.get(b"key").as_deref(), Some(&b"1"[..]));
    assert_eq!(flakes.get(b"key").as_deref(), Some(&b"2"[..]));
    assert_eq!(store.get(b"key").as_deref(), Some(&b"3"[..]));
    assert_eq!(
        store.namespace("runs").unwrap().get(b"key").as_deref(),
        Some(&b"1"[..])
    );
    assert!(runs.remove(b"key").unwrap() && !runs.contains(b"key") && flakes.contains(b"key"));
}

/// A value is the same whatever happens to its entry and to its store.
#[test]
fn a_value_outlives_its_entry_and_its_store() {
    let config = MemoryConfig::default()
        .max_size(2 << 20)
        .cache_size(2 << 20);
    let store = Store::new(config).unwrap();
    store.put(b"key", &[7; 1000]).unwrap();
    let value = store.get(b"key").unwrap();
    let copies = vec![value.clone(); 40_000];
    store.put(b"key", b"another").unwrap();
    for number in 0..10_000u32 {
        store.put(&number.to_le_bytes(), &[9; 1000]).unwrap();
    }
    assert!(copies.iter().all(|copy| **copy == [7; 1000]));
    drop(store);
    assert_eq!(*value, [7; 1000]);
    drop(copies);
    assert_eq!(*value, [7; 1000]);
}
