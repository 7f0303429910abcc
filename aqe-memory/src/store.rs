//! The store: what users hold.

use std::collections::BinaryHeap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use crate::builder::StoreBuilder;
use crate::clock::{Clock, ManualClock, Millis, to_millis};
use crate::config::{ConfigError, MemoryConfig};
use crate::dictionaries::Dictionaries;
use crate::disk::superblock::{MOST_NAME, random};
use crate::error::{CompareError, NamespaceError, PutError};
use crate::folder::Folder;
use crate::index::{Index, KeyHash, Shard, Slot};
use crate::load::Loads;
use crate::names::Names;
use crate::policy::{self, Sample, Samples};
use crate::removal::{Listen, Listener, Removals};
use crate::seal::Vault;
use crate::segment::packed::{self, Packed};
use crate::segment::raw::{self, Content};
use crate::segment::{Directory, Kind, Lifetime, Resident};
use crate::shared::{Shared, View, kept_of, with_scratch};
use crate::stats::{Cause, Counts, StoreStats};
use crate::striped::Reads;
use crate::sweeper::{Alarm, Sweeper};
use crate::tiers::{Reserved, Tiers};
use crate::value::Value;

/// A store of entries that expire. Clones share it; it ends with the last one.
///
/// All calls are quick and none waits for anything but short locks, so that they may be made from async code. What is put
/// here goes into the namespace without a name; [`namespace`](Self::namespace) gives others.
#[derive(Clone)]
pub struct Store {
    default: Namespace,
}

/// Entries of their own, with keys of their own, in the memory of one store.
#[derive(Clone)]
pub struct Namespace {
    /// Before the core: the thread has ended, and holds the core no longer, when the last handle lets go of it.
    sweeper: Option<Arc<Sweeper>>,
    pub(crate) core: Arc<Core>,
    pub(crate) number: u16,
}

/// What every value that is put gets anew, and what tells it from others of its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Version(pub(crate) u64);

impl Version {
    /// The version of this number, for those who implement a [store](crate::backend) themselves.
    #[must_use]
    pub const fn from_number(number: u64) -> Self {
        Self(number)
    }

    /// Its number. A later one is not necessarily greater.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.0
    }
}

/// What all handles share.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) config: MemoryConfig,
    most_value: usize,
    pub(crate) clock: Clock,
    pub(crate) versions: AtomicU64,
    pub(crate) tiers: Mutex<Tiers>,
    pub(crate) shared: Shared,
    pub(crate) names: Arc<Names>,
    pub(crate) reads: Reads,
    pub(crate) loads: Loads<Value>,
    /// Where everything is kept besides.
    pub(crate) folder: Option<Folder>,
    pub(crate) alarm: Arc<Alarm>,
    /// Held by whoever removes segments of files, or wants none to be removed. Before the lock of the tiers.
    pub(crate) upkeep: Mutex<Upkeep>,
    /// Ends with the store, after it has told what is gone.
    _listener: Option<Listener>,
}

/// The right to remove segments of files.
#[derive(Debug)]
pub(crate) struct Upkeep;

type Key = Box<[u8]>;

/// The most bytes that a key has.
pub(crate) const MOST_KEY: usize = u16::MAX as usize;
/// Removals on their way to the listener take no more than this, and in a small store a sixteenth of its size.
const MOST_WAITING: usize = 4 << 20;

impl Store {
    /// A store in memory.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] says which setting cannot be.
    pub fn new(config: MemoryConfig) -> Result<Self, ConfigError> {
        Self::build_in_memory(config, Clock::system(), None)
    }

    /// A store with more than settings.
    ///
    /// ```
    /// use aqe_memory::{MemoryConfig, Store};
    ///
    /// let config = MemoryConfig::default().max_size(64 << 20).cache_size(16 << 20);
    /// let store = Store::builder()
    ///     .config(config)
    ///     .listener(|removal| println!("{removal}"))
    ///     .build()?;
    /// store.put(b"run/1", b"passed")?;
    /// store.remove(b"run/1")?; // Prints "`run/1` removed".
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn builder() -> StoreBuilder {
        StoreBuilder::default()
    }

    /// A store in memory for which time passes when the clock is moved. Memory of what is over comes back when
    /// [`cleanup`](Self::cleanup) is called, or when there is need of it.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub fn with_clock(config: MemoryConfig, clock: &ManualClock) -> Result<Self, ConfigError> {
        Self::build_in_memory(config, clock.clock(), None)
    }

    pub(crate) fn build_in_memory(
        config: MemoryConfig,
        clock: Clock,
        listen: Option<Box<Listen>>,
    ) -> Result<Self, ConfigError> {
        #[cfg(feature = "encryption")]
        let vault = {
            let mut id = [0; 16];
            id[..8].copy_from_slice(&random().to_le_bytes());
            let vault = config.keys.as_ref().map(|keys| Vault::create(id, &*keys.0));
            vault.transpose().map_err(|error| ConfigError::Keys {
                reason: error.to_string(),
            })?
        };
        #[cfg(not(feature = "encryption"))]
        let vault = None;
        Self::build(config, clock, listen, None, vault, |_| Ok(()))
    }

    pub(crate) fn build<E: From<ConfigError>>(
        config: MemoryConfig,
        clock: Clock,
        listen: Option<Box<Listen>>,
        folder: Option<Folder>,
        vault: Option<Vault>,
        prepare: impl FnOnce(&mut Core) -> Result<(), E>,
    ) -> Result<Self, E> {
        let sizes = config.sizes()?;
        // Enough shards for threads to meet seldom; few enough for a small store not to be made of them. In a
        // folder always the same, since snapshots are by shard.
        let shards = match folder {
            Some(_) => 8,
            None => (sizes.total >> 20).next_power_of_two().ilog2().clamp(3, 8),
        };
        let runs = clock.runs();
        let names = folder.as_ref().map(Folder::names).unwrap_or_default();
        let names = Arc::new(Names::new(names));
        // What waits to be told is no part of the store's entries, so it is kept small beside them.
        let waiting = usize::try_from(sizes.total / 16).unwrap_or(usize::MAX);
        let removals = listen
            .is_some()
            .then(|| Removals::new(waiting.min(MOST_WAITING)));
        let listener = match (listen, &removals) {
            (Some(listen), Some(removals)) => {
                let started = Listener::start(removals, &names, listen);
                Some(started.map_err(|error| ConfigError::NoThread {
                    reason: error.to_string(),
                })?)
            }
            _ => None,
        };
        let most_value = usize::try_from(sizes.cache / 4).unwrap_or(usize::MAX);
        let mut core = Core {
            most_value: most_value.min(packed::MOST_BYTES - packed::overhead(MOST_KEY)),
            clock,
            versions: AtomicU64::new(0),
            tiers: Mutex::new(Tiers::new(sizes, None)),
            shared: Shared {
                index: Index::new(shards, folder.as_ref().map_or_else(random, Folder::seed)),
                directory: Directory::new(),
                resident: Arc::new(Resident::default()),
                counts: Counts::default(),
                samples: Samples::default(),
                dictionaries: Dictionaries::new(sizes.total),
                method: config.compression.method(),
                files: folder.as_ref().map(Folder::files),
                vault,
                removals,
            },
            names,
            reads: Reads::new(),
            loads: Loads::default(),
            folder,
            alarm: Arc::default(),
            upkeep: Mutex::new(Upkeep),
            _listener: listener,
            config,
        };
        prepare(&mut core)?;
        let core = Arc::new(core);
        Ok(Self {
            default: Namespace {
                sweeper: runs.then(|| Arc::new(Sweeper::start(&core))),
                core,
                number: 0,
            },
        })
    }

    /// The namespace of this name, which is there from the first time that it is asked for. The empty name is that of the
    /// namespace that the store itself is.
    ///
    /// # Errors
    ///
    /// [`NamespaceError`] when there are 65,536, when the name is longer than 255 bytes, or when a new name cannot be
    /// written to the store's folder.
    pub fn namespace(&self, name: &str) -> Result<Namespace, NamespaceError> {
        if name.len() > MOST_NAME {
            return Err(NamespaceError::TooLong {
                len: name.len(),
                most: MOST_NAME,
            });
        }
        let core = &self.default.core;
        let number = core.names.number(name, |number| match &core.folder {
            Some(folder) => folder.add_name(name, number),
            None => Ok(()),
        })?;
        Ok(self.numbered(number))
    }

    /// The namespace of a number, which it has.
    pub(crate) fn numbered(&self, number: u16) -> Namespace {
        Namespace {
            sweeper: self.default.sweeper.clone(),
            core: Arc::clone(&self.default.core),
            number,
        }
    }

    /// The names of all namespaces that were ever asked for, in order. The first is the empty one.
    #[must_use]
    pub fn namespaces(&self) -> Vec<Arc<str>> {
        self.default.core.names.all()
    }

    pub(crate) fn core(&self) -> &Arc<Core> {
        &self.default.core
    }

    /// Gives the memory of everything that is over back to the system. A store does this by itself when the time comes.
    pub fn cleanup(&self) {
        self.default.core.sweep();
    }

    /// What the store holds and has done.
    #[must_use]
    pub fn stats(&self) -> StoreStats {
        self.default.core.stats()
    }

    /// The settings.
    #[must_use]
    pub fn config(&self) -> &MemoryConfig {
        &self.default.core.config
    }
}

impl std::ops::Deref for Store {
    type Target = Namespace;

    fn deref(&self) -> &Namespace {
        &self.default
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Store").field(&self.stats()).finish()
    }
}

impl fmt::Debug for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Namespace").field(&self.name()).finish()
    }
}

impl Namespace {
    pub(crate) fn core(&self) -> &Core {
        &self.core
    }

    /// Its name; empty for the namespace that the store itself is.
    #[must_use]
    pub fn name(&self) -> Arc<str> {
        self.core.names.name(self.number)
    }

    /// The value of a key, if there is one and its time is not over.
    #[inline]
    #[must_use]
    pub fn get(&self, key: &[u8]) -> Option<Value> {
        self.core.read(self.number, key).map(|(value, _)| value)
    }

    /// The value of a key and its version, for [`compare_and_set`](Self::compare_and_set).
    #[must_use]
    pub fn get_versioned(&self, key: &[u8]) -> Option<(Value, Version)> {
        self.core.read(self.number, key)
    }

    /// Puts a value, in place of what the key had, for the store's
    /// [time to live](MemoryConfig::time_to_live).
    ///
    /// # Errors
    ///
    /// [`PutError`]; what the key had is still there then.
    pub fn put(&self, key: &[u8], value: &[u8]) -> Result<Version, PutError> {
        let lifetime = self.core.config.time_to_live;
        self.core
            .put(self.number, key, value, lifetime, Expected::Anything)
            .map_err(into_put_error)
    }

    /// Puts a value for as long as `time_to_live`, to the millisecond, beyond 24 days to the second.
    ///
    /// # Errors
    ///
    /// As [`put`](Self::put).
    pub fn put_for(
        &self,
        key: &[u8],
        value: &[u8],
        time_to_live: Duration,
    ) -> Result<Version, PutError> {
        self.core
            .put(
                self.number,
                key,
                value,
                Some(time_to_live),
                Expected::Anything,
            )
            .map_err(into_put_error)
    }

    /// Puts a value if the key's entry has this version still, or, with `None`, if the key has none.
    ///
    /// # Errors
    ///
    /// [`CompareError::Changed`] with the version that is there; or that the value cannot be put.
    pub fn compare_and_set(
        &self,
        key: &[u8],
        expected: Option<Version>,
        value: &[u8],
    ) -> Result<Version, CompareError> {
        let lifetime = self.core.config.time_to_live;
        let expected = Expected::Version(expected);
        self.core.put(self.number, key, value, lifetime, expected)
    }

    /// [`compare_and_set`](Self::compare_and_set) for as long as `time_to_live`.
    ///
    /// # Errors
    ///
    /// As [`compare_and_set`](Self::compare_and_set).
    pub fn compare_and_set_for(
        &self,
        key: &[u8],
        expected: Option<Version>,
        value: &[u8],
        time_to_live: Duration,
    ) -> Result<Version, CompareError> {
        let expected = Expected::Version(expected);
        self.core
            .put(self.number, key, value, Some(time_to_live), expected)
    }

    /// Removes a key's entry. Says whether there was one.
    ///
    /// # Errors
    ///
    /// [`PutError::Disk`] and [`PutError::DiskFull`], if the store has a folder and that it is gone cannot be written there; the
    /// entry is still there then.
    pub fn remove(&self, key: &[u8]) -> Result<bool, PutError> {
        self.core.remove(self.number, key, None)
    }

    /// Removes a key's entry if it has this version still. Says whether it had.
    ///
    /// # Errors
    ///
    /// As [`remove`](Self::remove).
    pub fn compare_and_remove(&self, key: &[u8], expected: Version) -> Result<bool, PutError> {
        self.core.remove(self.number, key, Some(expected))
    }

    /// Whether a key has an entry. It does not count as a read of it.
    #[must_use]
    pub fn contains(&self, key: &[u8]) -> bool {
        self.core.look(self.number, key).is_some()
    }

    /// The keys that begin with `prefix` and are greater than `after`, in order, `most` at most.
    ///
    /// A key that has an entry from the beginning of the call to its end is among them. The call looks at every key of the
    /// store, and locks out those who put for a part of the keys at a time.
    #[must_use]
    pub fn keys(&self, prefix: &[u8], after: Option<&[u8]>, most: usize) -> Vec<Box<[u8]>> {
        self.core.keys(self.number, prefix, after, most)
    }
}

pub(crate) fn into_put_error(error: CompareError) -> PutError {
    match error {
        CompareError::Put(error) => error,
        CompareError::Changed { .. } => unreachable!("nothing was expected of the entry"),
    }
}

/// What has to be there for a value to be put.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Expected {
    Anything,
    /// An entry of this version, or none.
    Version(Option<Version>),
}

impl Expected {
    pub(crate) fn check(
        self,
        current: impl FnOnce() -> Option<Version>,
    ) -> Result<(), CompareError> {
        let Self::Version(expected) = self else {
            return Ok(());
        };
        let current = current();
        match current == expected {
            true => Ok(()),
            false => Err(CompareError::Changed { current }),
        }
    }
}

/// Whether looking at an entry says that it is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Look {
    /// It does: the entry is kept longer.
    Read,
    /// It does not, as when all entries are looked at in turn.
    Peek,
}

/// An entry that was found under a shard's lock.
pub(crate) enum Found {
    /// The value is what it is, with the lock or without.
    Raw(Value, Version),
    /// Its record is to be [copied](Core::copy) under the lock, and [unpacked](Core::unpack) without it.
    Compressed(Compressed),
}

/// What is known of a compressed entry beside its record.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Compressed {
    hash: KeyHash,
    slot: Slot,
    epoch: Millis,
    now: Millis,
    look: Look,
}

/// A record that lies where it belongs, and is still to be published.
pub(crate) struct Written<'a> {
    reserved: Reserved<'a>,
    namespace: u16,
    key: &'a [u8],
    value_len: usize,
    pub(crate) hash: KeyHash,
    version: Version,
}

impl Core {
    /// Reads, and counts that.
    #[inline]
    fn read(&self, namespace: u16, key: &[u8]) -> Option<(Value, Version)> {
        let found = self.find(namespace, key, Look::Read);
        match &found {
            Some(_) => self.reads.hit(),
            None => self.reads.miss(),
        }
        found
    }

    #[inline]
    pub(crate) fn find(&self, namespace: u16, key: &[u8], look: Look) -> Option<(Value, Version)> {
        let now = self.clock.now();
        let hash = self.shared.index.hash(namespace, key);
        let shard = self.shared.index.read(hash);
        match self.find_in(&shard, hash, namespace, key, now, look)? {
            Found::Raw(value, version) => Some((value, version)),
            Found::Compressed(compressed) => with_scratch(|record| {
                self.copy(&compressed, record)?;
                drop(shard);
                self.unpack(&compressed, record)
            }),
        }
    }

    /// Finds the entry of a key, whose shard is locked.
    #[inline]
    pub(crate) fn find_in(
        &self,
        shard: &Shard,
        hash: KeyHash,
        namespace: u16,
        key: &[u8],
        now: Millis,
        look: Look,
    ) -> Option<Found> {
        let found = shard.find(hash, |slot| self.is_entry(slot, namespace, key))?;
        let slot = found.get();
        let place = slot.place();
        // SAFETY: the slot was found under the shard's lock, which is held.
        let segment = unsafe { self.shared.directory.get(place.segment) };
        let one = match segment.kind {
            Kind::Raw => {
                // SAFETY: as above; the record was written before its slot was there.
                let record = unsafe { segment.raw(place.offset) };
                if record.lifetime().deadline(segment.epoch) <= now {
                    return None;
                }
                if look == Look::Read && self.shared.samples.wants(hash.whole) {
                    self.note(hash, record.size().into(), true);
                }
                let version = Version(record.version());
                let value = match record.pin() {
                    Some(pinned) => Value::pinned(pinned),
                    None => Value::owned(record.value()),
                };
                Found::Raw(value, version)
            }
            Kind::Packed | Kind::Cold => Found::Compressed(Compressed {
                hash,
                slot,
                epoch: segment.epoch,
                now,
                look,
            }),
        };
        if look == Look::Read {
            found.touch(policy::hit(slot.frequency()));
        }
        Some(one)
    }

    /// Copies the record of an entry that was found under the lock of its shard, which is held still.
    pub(crate) fn copy(&self, compressed: &Compressed, record: &mut Vec<u8>) -> Option<()> {
        let place = compressed.slot.place();
        // SAFETY: the slot was found under the shard's lock, which is held.
        let segment = unsafe { self.shared.directory.get(place.segment) };
        self.shared.fetch(segment, place.offset, record)
    }

    /// The value of a copied record. An entry that is read often is uncompressed from then on.
    pub(crate) fn unpack(
        &self,
        compressed: &Compressed,
        record: &[u8],
    ) -> Option<(Value, Version)> {
        let Compressed {
            hash, slot, now, ..
        } = *compressed;
        let record = Packed::read(record)?;
        let deadline = record.lifetime.deadline(compressed.epoch);
        if deadline <= now {
            return None;
        }
        let value = self.shared.decode(&record)?;
        if compressed.look == Look::Read && slot.frequency() > 0 {
            self.promote(hash, slot, &record, &value, deadline, now);
        }
        Some((Value::owned(value), Version(kept_of(record.version))))
    }

    /// Notes a read of an uncompressed entry, or that there is a new one, for the policy.
    #[cold]
    fn note(&self, hash: KeyHash, weight: u64, hit: bool) {
        let sample = Sample {
            hash: hash.whole,
            weight,
            hit,
        };
        // Whoever has the lock may be waiting for the shard that is locked here, so that it is not waited for.
        if self.shared.samples.note(sample)
            && let Some(mut tiers) = self.tiers.try_lock()
        {
            tiers.learn(&self.shared);
        }
    }

    /// Makes an entry uncompressed again, unless somebody has the lock.
    fn promote(
        &self,
        hash: KeyHash,
        slot: Slot,
        record: &Packed<'_>,
        value: &[u8],
        deadline: Millis,
        now: Millis,
    ) {
        let was = slot.place();
        // What is in a file stays there, and is what the entry is again when there is no room for it.
        let backing = self.folder.as_ref().map(|_| was);
        let size = raw::size(record.key.len(), value.len(), backing.is_some());
        let Some(mut tiers) = self.tiers.try_lock() else {
            return;
        };
        let Ok(reserved) = tiers.place(&self.shared, hash, size, deadline, now) else {
            return;
        };
        drop(tiers);
        let content = Content {
            namespace: record.namespace,
            key: record.key,
            value,
            lifetime: Lifetime::until(deadline, reserved.segment.epoch),
            version: kept_of(record.version),
            backing,
        };
        // SAFETY: the place was reserved for a record of this size, just now.
        unsafe { reserved.segment.write_raw(reserved.place.offset, &content) };
        if self.shared.samples.wants(hash.whole) {
            self.note(hash, size, false);
        }
        let moved = Slot::new(hash.tag, reserved.place, 0);
        let mut shard = self.shared.index.write(hash);
        match (
            shard.replace(hash, |other| other.place() == was, moved),
            backing,
        ) {
            (true, Some(_)) => {}
            (true, None) => self.shared.bury(was),
            // Its copy, if it has one, is not buried with it: that was done, or it is the entry.
            (false, _) => self.shared.bury_alone(reserved.place),
        }
        drop(shard);
        reserved.segment.published();
    }

    pub(crate) fn put(
        &self,
        namespace: u16,
        key: &[u8],
        value: &[u8],
        time_to_live: Option<Duration>,
        expected: Expected,
    ) -> Result<Version, CompareError> {
        self.check(key, value)?;
        let now = self.clock.now();
        let deadline = deadline(now, time_to_live);
        if self.folder.is_some() {
            return self.put_logged(namespace, key, value, (deadline, now), expected);
        }
        let hash = self.shared.index.hash(namespace, key);
        let size = raw::size(key.len(), value.len(), false);
        let (reserved, is_due) = {
            let mut tiers = self.tiers.lock();
            let reserved = tiers.place(&self.shared, hash, size, deadline, now);
            (reserved, std::mem::take(&mut tiers.wants_training))
        };
        let reserved = reserved.map_err(PutError::from)?;
        // SAFETY: the place was reserved for a record of this size, just now.
        let written = unsafe { self.write(reserved, hash, (namespace, key), value, deadline) };
        let mut shard = self.shared.index.write(written.hash);
        let put = self.publish(&mut shard, &written, expected, now);
        drop(shard);
        self.published(&written);
        if put.is_ok() {
            self.shared.counts.put();
            self.alarm.set(if is_due { now } else { deadline });
        }
        put.map(|()| written.version)
    }

    /// Writes a record.
    ///
    /// # Safety
    ///
    /// The place was reserved for a record of this key and value, and nothing was written there yet.
    pub(crate) unsafe fn write<'a>(
        &self,
        reserved: Reserved<'a>,
        hash: KeyHash,
        (namespace, key): (u16, &'a [u8]),
        value: &[u8],
        deadline: Millis,
    ) -> Written<'a> {
        // Relaxed: a number that nobody else gets, no more.
        let version = kept_of(self.versions.fetch_add(1, Ordering::Relaxed));
        let content = Content {
            namespace,
            key,
            value,
            lifetime: Lifetime::until(deadline, reserved.segment.epoch),
            version,
            backing: None,
        };
        // SAFETY: as the caller promises.
        unsafe { reserved.segment.write_raw(reserved.place.offset, &content) };
        Written {
            reserved,
            namespace,
            key,
            value_len: value.len(),
            hash,
            version: Version(version),
        }
    }

    /// Gives a record its slot, or gives it up if the entry is not as expected.
    pub(crate) fn publish(
        &self,
        shard: &mut Shard,
        written: &Written<'_>,
        expected: Expected,
        now: Millis,
    ) -> Result<(), CompareError> {
        let (namespace, key, hash) = (written.namespace, written.key, written.hash);
        let place = written.reserved.place;
        let is_entry = |slot| self.is_entry(slot, namespace, key);
        let checked = expected.check(|| {
            let found = shard.find(hash, is_entry)?;
            self.see(found.get(), now)
        });
        if checked.is_err() {
            self.shared.bury(place);
            return checked;
        }
        let slot = Slot::new(hash.tag, place, 0);
        match self.shared.index.publish(shard, slot, is_entry) {
            Some(replaced) => {
                let cause = match self.see(replaced, now) {
                    Some(_) => Cause::Replaced,
                    None => Cause::Expired,
                };
                self.shared.gone(namespace, key, replaced.place(), cause);
                self.shared.bury(replaced.place());
            }
            None if self.shared.samples.wants(hash.whole) => {
                let size = raw::size(key.len(), written.value_len, false);
                self.note(hash, size, false);
            }
            None => {}
        }
        Ok(())
    }

    /// Says that a record has its slot, or never gets one. The shard is not locked any more.
    pub(crate) fn published(&self, written: &Written<'_>) {
        written.reserved.segment.published();
    }

    pub(crate) fn check(&self, key: &[u8], value: &[u8]) -> Result<(), PutError> {
        if key.len() > MOST_KEY {
            return Err(PutError::KeyTooLong {
                len: key.len(),
                most: MOST_KEY,
            });
        }
        if value.len() > self.most_value {
            return Err(PutError::ValueTooLarge {
                len: value.len(),
                most: self.most_value,
            });
        }
        Ok(())
    }

    /// Removes the entry of a key, if there is one; of this version, if one is given.
    fn remove(
        &self,
        namespace: u16,
        key: &[u8],
        expected: Option<Version>,
    ) -> Result<bool, PutError> {
        // First, so that what is being loaded now is not put after the removal.
        self.loads.invalidate(namespace, key);
        let now = self.clock.now();
        if self.folder.is_some() {
            return self.remove_logged(namespace, key, expected, now);
        }
        let hash = self.shared.index.hash(namespace, key);
        let mut shard = self.shared.index.write(hash);
        let is_expected = |slot| expected.is_none() || self.see(slot, now) == expected;
        let removed = shard.remove(hash, |slot| {
            self.is_entry(slot, namespace, key) && is_expected(slot)
        });
        let Some(slot) = removed else {
            return Ok(false);
        };
        let was_there = self.see(slot, now).is_some();
        let cause = match was_there {
            true => Cause::Removed,
            false => Cause::Expired,
        };
        self.shared.gone(namespace, key, slot.place(), cause);
        self.shared.bury(slot.place());
        Ok(was_there)
    }

    fn look(&self, namespace: u16, key: &[u8]) -> Option<Version> {
        let hash = self.shared.index.hash(namespace, key);
        let shard = self.shared.index.read(hash);
        let found = shard.find(hash, |slot| self.is_entry(slot, namespace, key))?;
        self.see(found.get(), self.clock.now())
    }

    pub(crate) fn keys(
        &self,
        namespace: u16,
        prefix: &[u8],
        after: Option<&[u8]>,
        most: usize,
    ) -> Vec<Box<[u8]>> {
        let now = self.clock.now();
        // The greatest of those found is on top, and goes when there are too many.
        let mut found: BinaryHeap<Key> = BinaryHeap::new();
        for shard in self.shared.index.shards() {
            let shard = shard.read();
            for slot in shard.slots() {
                self.shared.view(
                    slot,
                    |View {
                         namespace: other,
                         key,
                         deadline,
                         ..
                     }| {
                        let fits = other == namespace
                            && deadline > now
                            && key.starts_with(prefix)
                            && after.is_none_or(|after| key > after)
                            && (found.len() < most
                                || found.peek().is_some_and(|last: &Key| key < &**last));
                        if fits {
                            found.push(Box::from(key));
                            if found.len() > most {
                                found.pop();
                            }
                        }
                    },
                );
            }
        }
        found.into_sorted_vec()
    }

    /// Whether a slot's entry is the key's. The caller holds the lock of the key's shard.
    #[inline]
    pub(crate) fn is_entry(&self, slot: Slot, namespace: u16, key: &[u8]) -> bool {
        let is_it = |view: View<'_>| view.namespace == namespace && view.key == key;
        self.shared.view(slot, is_it).unwrap_or(false)
    }

    /// Version of a slot's entry, if its time is not over. The caller holds the lock of its shard.
    pub(crate) fn see(&self, slot: Slot, now: Millis) -> Option<Version> {
        let seen = self.shared.view(slot, |view| (view.version, view.deadline));
        seen.filter(|(_, deadline)| *deadline > now)
            .map(|(version, _)| Version(version))
    }

    /// Clears away what is over.
    pub(crate) fn sweep(&self) {
        let upkeep = self.upkeep.lock();
        let now = self.clock.now();
        let doomed = self.tiers.lock().take_expired(&self.shared, now);
        let any = !doomed.is_empty();
        for segment in doomed {
            let cleared = self.shared.clear(&segment);
            self.tiers.lock().reuse(&cleared);
        }
        self.compact(&upkeep, now);
        self.make_dictionaries();
        #[cfg(feature = "encryption")]
        self.forget_keys(&upkeep);
        // A snapshot that cannot be written makes opening the store slower, no more; what the disk refuses, puts hear of.
        let _ = self.snapshot(&upkeep);
        if any {
            for shard in self.shared.index.shards() {
                self.shared.index.shrink(&mut shard.write());
            }
        }
    }

    /// Makes dictionaries for namespaces of which enough values were seen.
    fn make_dictionaries(&self) {
        self.shared.dictionaries.weigh();
        for made in self.shared.dictionaries.make() {
            // Before any record needs it. One that cannot be written is not used: it is made again.
            let kept = self.folder.as_ref().map(|folder| {
                let vault = self.shared.vault.as_ref();
                folder.keep_dictionary(made.namespace, &made.dictionary, vault)
            });
            if kept.is_none_or(|kept| kept.is_ok()) {
                self.shared.dictionaries.install(made);
            }
        }
    }

    /// The time at which the next entries will be over.
    pub(crate) fn next_expiry(&self) -> Option<Millis> {
        self.tiers.lock().next_expiry(&self.shared)
    }

    pub(crate) fn now(&self) -> Millis {
        self.clock.now()
    }

    fn stats(&self) -> StoreStats {
        let mut stats = StoreStats::default();
        let shards = self.shared.index.shards();
        stats.entries = shards.map(|shard| shard.read().len() as u64).sum();
        let tiers = self.tiers.lock();
        (stats.uncompressed_bytes, stats.compressed_bytes) = tiers.bytes();
        stats.disk_bytes = tiers.disk.as_ref().map_or(0, |disk| disk.bytes());
        stats.resident_bytes = tiers.held(&self.shared);
        drop(tiers);
        stats.index_bytes = self.shared.index.bytes();
        (stats.hits, stats.misses) = self.reads.sums();
        self.shared.counts.fill(&mut stats);
        if let Some(removals) = &self.shared.removals {
            removals.fill(&mut stats);
        }
        stats
    }
}

/// When an entry that is put now ends.
pub(crate) fn deadline(now: Millis, time_to_live: Option<Duration>) -> Millis {
    match time_to_live {
        Some(time_to_live) => now.saturating_add(to_millis(time_to_live)),
        None => Millis::MAX,
    }
}
