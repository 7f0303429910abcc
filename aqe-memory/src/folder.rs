//! A store in a folder: opening it, and what it takes for a put to outlive the process.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use parking_lot::Mutex;

use crate::clock::{Clock, ManualClock, Millis};
use crate::codec::Dictionary;
use crate::config::MemoryConfig;
use crate::disk::error::{DiskError, OpenError};
use crate::disk::files::Files;
use crate::disk::recovery::{self, Damage, FoundRecord};
use crate::disk::snapshot::{self, Known, Snapshot};
use crate::disk::superblock::Superblock;
use crate::disk::sync::Syncs;
use crate::disk::tip::Tip;
use crate::disk::{self, Disk, OnDisk, WriteLock, dictionary, file};
#[cfg(feature = "encryption")]
use crate::error::RotateError;
use crate::error::{CompareError, PutError};
use crate::index::{Index, KeyHash, Place, Slot};
use crate::marks::Mark;
use crate::namespace::Namespace;
use crate::options::Terms;
use crate::removal::Hooks;
use crate::seal::{Vault, What};
use crate::segment::extras::Extras;
use crate::segment::packed::{Form, Packed};
use crate::segment::{Lifetime, Segment};
use crate::shared::{Shared, View, kept_of, with_scratch};
use crate::stats::Cause;
use crate::store::{Core, Store, Version};
use crate::tiers::{Goal, NoPlace};
use crate::upkeep::Upkeep;
use crate::writing::Expected;

/// What a store knows of its folder.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    superblock: Mutex<Superblock>,
    files: Arc<Files>,
    /// Where readers in other processes hear what is new.
    tip: Arc<Tip>,
    syncs: Syncs,
    damage: Vec<Damage>,
    /// For as long as the store is there, nobody else writes.
    _lock: WriteLock,
}

impl Folder {
    /// The key of the index's hashes.
    pub(crate) fn seed(&self) -> u64 {
        self.superblock.lock().seed
    }

    /// Namespaces by name.
    pub(crate) fn names(&self) -> HashMap<String, u16> {
        let superblock = self.superblock.lock();
        let names = superblock.names.iter();
        names
            .map(|(name, number)| (name.clone(), *number))
            .collect()
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// What could not be used when the folder was opened.
    pub(crate) fn damage(&self) -> &[Damage] {
        &self.damage
    }

    /// Why nothing is known to be on the disk any more, if that is so.
    pub(crate) fn sync_failure(&self) -> Option<DiskError> {
        self.syncs.failure()
    }

    pub(crate) fn files(&self) -> Arc<Files> {
        Arc::clone(&self.files)
    }

    /// Makes a namespace known to whoever opens the folder.
    pub(crate) fn add_name(&self, name: &str, number: u16) -> Result<(), DiskError> {
        self.change(|superblock| {
            superblock.names.insert(name.to_owned(), number);
        })
    }

    /// Writes a dictionary that records need, sealed with the newest key.
    pub(crate) fn keep_dictionary(
        &self,
        namespace: u16,
        dictionary: &Dictionary,
        vault: Option<&Vault>,
    ) -> Result<(), DiskError> {
        let store = self.superblock.lock().id;
        dictionary::save(&self.path, store, (namespace, dictionary), vault)
    }

    /// Changes what the folder says of itself.
    fn change(&self, change: impl FnOnce(&mut Superblock)) -> Result<(), DiskError> {
        let mut superblock = self.superblock.lock();
        let mut changed = superblock.clone();
        change(&mut changed);
        changed.save(&self.path)?;
        *superblock = changed;
        self.tip.renamed();
        Ok(())
    }
}

impl Store {
    /// Opens the store in a folder, or begins one there. What is put is written to the folder before the call returns, and
    /// is there when the process was ended in whatever way; see [`flush`](Namespace::flush) for the end of the machine.
    ///
    /// One process at a time writes to a folder; others read what it puts with a [`Reader`](crate::Reader).
    ///
    /// # Errors
    ///
    /// An [`OpenError`]. Nothing in the folder was changed then, unless the system refused something halfway through
    /// beginning a store.
    pub fn open(folder: impl AsRef<Path>, config: MemoryConfig) -> Result<Self, OpenError> {
        Self::open_at(folder.as_ref(), config, Clock::system(), Hooks::default())
    }

    /// Like [`open`](Self::open), with time as for [`with_clock`](Self::with_clock).
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub fn open_with_clock(
        folder: impl AsRef<Path>,
        config: MemoryConfig,
        clock: &ManualClock,
    ) -> Result<Self, OpenError> {
        Self::open_at(folder.as_ref(), config, clock.clock(), Hooks::default())
    }

    pub(crate) fn open_at(
        path: &Path,
        config: MemoryConfig,
        clock: Clock,
        hooks: Hooks,
    ) -> Result<Self, OpenError> {
        config.sizes()?;
        disk::create_folder(path)?;
        let lock = WriteLock::take(path)?;
        let found = Superblock::load(path)?;
        let mut superblock = found.clone().unwrap_or_else(Superblock::new);
        let vault = vault(path, &config, &mut superblock)?;
        if found.as_ref() != Some(&superblock) {
            superblock.save(path)?;
        }
        let files = Arc::new(Files::new(path.to_owned(), true));
        let tip = Arc::new(Tip::take(path, superblock.id)?);
        let most_bytes = config.max_disk_size;
        let folder = Folder {
            path: path.to_owned(),
            superblock: Mutex::new(superblock.clone()),
            files: Arc::clone(&files),
            tip: Arc::clone(&tip),
            syncs: Syncs::default(),
            damage: Vec::new(),
            _lock: lock,
        };
        Self::build(config, clock, hooks, Some(folder), vault, |core| {
            recover(core, &superblock, (files, tip), most_bytes)
        })
    }

    /// Makes a new key for what is sealed from now on, and wraps all keys of the store by the master key that is current with
    /// its provider. Readers go on. What older keys sealed is sealed anew in the background, and an older key is forgotten
    /// when nothing needs it any more. A store without a folder seals nothing anew: its keys end with it.
    ///
    /// # Errors
    ///
    /// [`RotateError`]; the keys are as they were then.
    #[cfg(feature = "encryption")]
    pub fn rotate_keys(&self) -> Result<(), RotateError> {
        let core = self.core();
        let (Some(vault), Some(keys)) = (&core.shared.vault, &core.config.keys) else {
            return Err(RotateError::NotSealed);
        };
        vault.rotate(&*keys.0, |keys| core.keep_keys(keys))??;
        core.tiers.lock().close_packed();
        core.alarm.set(core.clock.now());
        Ok(())
    }

    /// Wraps the store's keys by the master key that is current with its provider, and leaves what they seal as it is. That is
    /// quick; [`rotate_keys`](Self::rotate_keys) is for when somebody else may have had the old master key.
    ///
    /// # Errors
    ///
    /// As [`rotate_keys`](Self::rotate_keys).
    #[cfg(feature = "encryption")]
    pub fn rewrap_keys(&self) -> Result<(), RotateError> {
        let core = self.core();
        let (Some(vault), Some(keys)) = (&core.shared.vault, &core.config.keys) else {
            return Err(RotateError::NotSealed);
        };
        vault.rewrap(&*keys.0, |keys| core.keep_keys(keys))??;
        Ok(())
    }

    /// What of the folder could not be used when it was opened. It is left as it is, and never given for a value.
    #[must_use]
    pub fn damage(&self) -> &[Damage] {
        let folder = self.core().folder.as_ref();
        folder.map_or(&[], |folder| &folder.damage)
    }
}

/// The keys of a folder, or new ones for one that has none.
#[cfg(feature = "encryption")]
fn vault(
    folder: &Path,
    config: &MemoryConfig,
    superblock: &mut Superblock,
) -> Result<Option<Vault>, OpenError> {
    let wrong = |source| OpenError::Keys {
        folder: folder.to_owned(),
        source,
    };
    match (&config.keys, superblock.keys.is_empty()) {
        (None, true) => Ok(None),
        (None, false) => Err(OpenError::KeyMissing {
            folder: folder.to_owned(),
        }),
        (Some(keys), false) => Vault::open(&superblock.keys, &*keys.0)
            .map(Some)
            .map_err(wrong),
        (Some(keys), true) => {
            let vault = Vault::create(superblock.id, &*keys.0).map_err(wrong)?;
            superblock.keys = vault.to_bytes();
            Ok(Some(vault))
        }
    }
}

#[cfg(not(feature = "encryption"))]
fn vault(
    folder: &Path,
    _: &MemoryConfig,
    superblock: &mut Superblock,
) -> Result<Option<Vault>, OpenError> {
    match superblock.keys.is_empty() {
        true => Ok(None),
        false => Err(OpenError::KeyMissing {
            folder: folder.to_owned(),
        }),
    }
}

/// Finds out what the entries are: from the last snapshot and from the records that were written since, or from all records.
fn recover(
    core: &mut Core,
    superblock: &Superblock,
    (files, tip): (Arc<Files>, Arc<Tip>),
    most_bytes: u64,
) -> Result<(), OpenError> {
    let now = core.clock.now();
    let (shared, tiers) = (&core.shared, core.tiers.get_mut());
    let snapshot = Snapshot::load(&files.folder).filter(|snapshot| {
        snapshot.store == superblock.id
            && snapshot.hashing == shared.index.hashing()
            && snapshot.shards.len() == shared.index.shards().count()
    });
    let known: HashMap<u64, (u32, &Known)> = snapshot
        .iter()
        .flat_map(|snapshot| (0..).zip(&snapshot.files))
        .map(|(at, known)| (known.file, (at, known)))
        .collect();
    let mut damage = Vec::new();
    for made in dictionary::load_all(
        &files.folder,
        superblock.id,
        shared.vault.as_ref(),
        &mut damage,
    )? {
        shared.dictionaries.install(made);
    }
    // By their place in the snapshot, the segments of files that are there, and how far the snapshot knows them.
    let mut segments = vec![None; known.len()];
    let mut candidates = Vec::new();
    let mut marks = Vec::new();
    // No number is given twice, also that of a file that is gone: a snapshot may know it still, or a reader.
    let last_known = known.keys().max();
    let mut next_file = last_known.map_or(0, |last| last + 1).max(tip.next_file());
    let mut bytes = 0;
    for number in recovery::numbers(&files.folder)? {
        next_file = next_file.max(number + 1);
        let known = known.get(&number);
        let mut has_tags = known.is_some_and(|(_, known)| known.has_tags);
        let (from, dead, times, seed, key) = match known {
            Some((_, known)) => {
                let times = (known.epoch, known.end);
                (known.used, known.dead, times, known.seed, known.key)
            }
            None => match recovery::header(&files, superblock, number, &mut damage)? {
                Some(header) => {
                    let times = (header.epoch, header.end);
                    (0, 0, times, header.seed(), header.key)
                }
                None => continue,
            },
        };
        let opener = key.and_then(|key| {
            shared
                .vault
                .as_ref()?
                .opener(What::Segment, number, &key)
                .ok()
        });
        if key.is_some() && opener.is_none() {
            damage.push(Damage {
                path: file::path(&files.folder, number),
                bytes: 0..file::HEADER,
                what: "sealed with a key that the store does not have",
            });
            continue;
        }
        let begin = candidates.len();
        let used = recovery::scan(
            &files,
            (number, seed),
            opener.as_ref(),
            from,
            &mut damage,
            |found| {
                has_tags |= !found.packed.extras.tags.is_empty();
                match found.packed.mark() {
                    Some((tag, file)) => {
                        let mark = Mark {
                            version: found.packed.version,
                            until: times.1,
                            file,
                        };
                        marks.push((found.packed.namespace, tag, mark));
                    }
                    None => candidates.push(Candidate::new(&shared.index, &found, times.0, now)),
                }
            },
        )?;
        if used == 0
            && !damage
                .iter()
                .any(|damage| damage.path == file::path(&files.folder, number))
        {
            // Nothing was ever written to it, or that did not come to its end.
            files
                .remove(number)
                .map_err(DiskError::of("remove a file of", &files.folder))?;
            continue;
        }
        bytes += file::HEADER + u64::from(used);
        let on_disk = OnDisk { file: number, seed };
        // The latest that a deadline can be, and not the latest that there is: a record may stay beyond its own deadline, for
        // the sake of older ones of its key.
        let (end, resident) = (times.1, &shared.resident);
        // Of what a snapshot knows, the versions are not known.
        let versions = candidates[begin..].iter().map(|found| found.version);
        let lowest = if from > 0 { Some(0) } else { versions.min() };
        let adopted = tiers.adopt(shared, |number| {
            let on_disk = (on_disk, opener);
            let segment = Segment::cold(number, used, times, end, dead, on_disk, resident);
            segment.note_version(lowest.unwrap_or(0));
            segment
        });
        let Some(segment) = adopted else { break };
        if has_tags {
            // SAFETY: it was adopted just now, and nothing is removed yet.
            unsafe { shared.directory.get(segment) }.note_tags();
        }
        if let Some((at, known)) = known {
            segments[*at as usize] = Some((segment, known.used));
        }
        for candidate in &mut candidates[begin..] {
            candidate.place.segment = segment;
        }
    }
    let mut versions = 0;
    if let Some(snapshot) = &snapshot {
        versions = snapshot.version;
        for (shard, slots) in snapshot.shards.iter().enumerate() {
            let slots = slots.iter().filter_map(|slot| {
                let Place { segment, offset } = slot.place();
                let (segment, used) = (*segments.get(segment as usize)?)?;
                let place = Place { segment, offset };
                (offset < used).then(|| Slot::new(slot.tag(), place, 0))
            });
            shared
                .index
                .fill(shard, slots.collect::<Vec<_>>().into_iter());
        }
    }
    // Before any entry is looked at.
    for (namespace, tag, mark) in snapshot.iter().flat_map(|it| &it.marks).chain(&marks) {
        versions = versions.max(mark.version + 1);
        shared.marks.set(*namespace, *tag, *mark);
    }
    candidates.sort_unstable_by_key(|candidate| {
        let Candidate { hash, key, .. } = candidate;
        (hash.shard, *key, candidate.version, candidate.rank())
    });
    for of_key in candidates.chunk_by(|one, other| one.key == other.key) {
        let Some((newest, older)) = of_key.split_last() else {
            continue;
        };
        versions = versions.max(newest.version + 1);
        for dead in older {
            shared.add_dead(dead.place, dead.size);
        }
        newest.settle(shared, snapshot.is_some());
    }
    *core.versions.get_mut() = versions;
    tip.opened(next_file);
    tiers.disk = Some(Disk::new(
        (files, tip),
        superblock.id,
        next_file,
        bytes,
        most_bytes,
    ));
    if let Some(folder) = &mut core.folder {
        folder.damage = damage;
    }
    Ok(())
}

/// A record of which recovery knows the key by its hash.
#[derive(Debug)]
struct Candidate {
    hash: KeyHash,
    /// Two hashes of namespace and key under different keys: two that share both are not to be met with.
    key: (u64, u64),
    version: u64,
    size: u32,
    place: Place,
    deadline: Millis,
    is_gone: bool,
    is_over: bool,
}

impl Candidate {
    fn new(index: &Index, found: &FoundRecord<'_>, epoch: Millis, now: Millis) -> Self {
        let packed = &found.packed;
        let hash = index.hash(packed.namespace, packed.key);
        let other = index.other_hash(packed.namespace, packed.key);
        Self {
            hash,
            key: (hash.whole, other),
            version: packed.version,
            size: found.size,
            place: Place {
                segment: 0,
                offset: found.offset,
            },
            is_gone: packed.form == Form::Gone,
            deadline: packed.lifetime.deadline(epoch),
            is_over: packed.lifetime.deadline(epoch) <= now,
        }
    }

    /// Which of two records of one version counts. A sliding entry that was read has several, and the one that ends last is
    /// true; what compaction says of an earlier one that is over is not.
    fn rank(&self) -> (bool, Millis) {
        (!self.is_gone, self.deadline)
    }

    /// Enters the newest record of a key into the index, unless what is there is newer.
    fn settle(&self, shared: &Shared, may_be_there: bool) {
        let slot = Slot::new(self.hash.tag, self.place, 0);
        let own = shared.view(slot, |view| {
            let is_void = shared.is_view_void(&view);
            (view.namespace, Box::<[u8]>::from(view.key), is_void)
        });
        let Some((namespace, key, is_void)) = own else {
            return;
        };
        let is_entry = |slot| {
            let is_it = |view: View<'_>| view.namespace == namespace && *view.key == *key;
            may_be_there && shared.view(slot, is_it).unwrap_or(false)
        };
        let mut shard = shared.index.write(self.hash);
        let there = shard.find(self.hash, is_entry).map(|slot| slot.get());
        let order = (kept_of(self.version), self.rank());
        let known =
            there.and_then(|slot| shared.view(slot, |view| (view.version, (true, view.deadline))));
        if known.is_some_and(|known| known > order) {
            shared.add_dead(self.place, self.size);
            return;
        }
        if let Some(there) = there {
            shard.remove(self.hash, |slot| slot == there);
            shared.bury(there.place());
        }
        match (self.is_gone, self.is_over || is_void) {
            (true, _) => {}
            (false, true) => shared.add_dead(self.place, self.size),
            (false, false) => {
                shared.index.publish(&mut shard, slot, |_| false);
            }
        }
    }
}

/// An entry that a put or a removal finds.
struct Current {
    /// Its version, if its time is not over.
    version: Option<Version>,
    /// Why it is gone when it is replaced.
    cause: Cause,
    /// Where its compressed form is.
    home: Place,
    /// Until when its record may be on disk.
    stays: Millis,
}

/// What is done to the folder happens under the lock of the tiers from beginning to end: versions rise with the order of
/// records, and whoever replaces an entry knows until when the old one's record may be on disk.
impl Core {
    pub(crate) fn put_logged(
        &self,
        namespace: u16,
        key: &[u8],
        value: &[u8],
        terms: &Terms<'_>,
        expected: Expected,
    ) -> Result<Version, CompareError> {
        let (deadline, now) = (terms.deadline, terms.now);
        with_scratch(|record| {
            let is_due = self.shared.encode(namespace, value, |form, stored| {
                let packed = Packed {
                    namespace,
                    key,
                    // Both are set when the record has its place.
                    lifetime: Lifetime::until(deadline, now),
                    version: 0,
                    form,
                    extras: terms.extras,
                    stored,
                };
                packed.write(record);
            });
            if is_due {
                self.alarm.set(now);
            }
            let hash = self.shared.index.hash(namespace, key);
            let name = (namespace, key);
            let mut put = || self.log_entry(hash, name, record, (deadline, now), expected);
            match put() {
                Err(CompareError::Put(PutError::DiskFull)) => {
                    self.compact(&self.upkeep.lock(), Goal::MostlyDead, now);
                    put()
                }
                put => put,
            }
        })
    }

    fn log_entry(
        &self,
        hash: KeyHash,
        (namespace, key): (u16, &[u8]),
        record: &mut Vec<u8>,
        (deadline, now): (Millis, Millis),
        expected: Expected,
    ) -> Result<Version, CompareError> {
        let mut tiers = self.tiers.lock();
        let current = self
            .current(hash, namespace, key, now)
            .map_err(PutError::Disk)?;
        expected.check(|| current.as_ref()?.version)?;
        let stays = current.as_ref().map_or(0, |current| current.stays);
        // Relaxed: written under the lock only.
        let version = self.versions.load(Ordering::Relaxed);
        let reserved = tiers
            .log(&self.shared, record, version, (deadline, stays), now)
            .map_err(PutError::from)?;
        self.versions.store(version + 1, Ordering::Relaxed);
        let slot = Slot::new(hash.tag, reserved.place, 0);
        let cause = current
            .as_ref()
            .map_or(Cause::Expired, |current| current.cause);
        let home = current.map(|current| current.home);
        let mut shard = self.shared.index.write(hash);
        let is_current = |slot| home.is_some_and(|home| self.shared.belongs(slot, home));
        let replaced = self.shared.index.publish(&mut shard, slot, is_current);
        if replaced.is_none() || cause == Cause::Expired {
            self.shared.was_absent(namespace, key);
        }
        if let Some(replaced) = replaced {
            self.shared.gone(namespace, key, replaced.place(), cause);
            self.shared.bury(replaced.place());
        }
        drop(shard);
        reserved.segment.published();
        let is_due = tiers.is_snapshot_due();
        drop(tiers);
        self.shared.counts.puts(1);
        self.alarm.set(if is_due { now } else { deadline });
        Ok(Version(kept_of(version)))
    }

    pub(crate) fn remove_logged(
        &self,
        namespace: u16,
        key: &[u8],
        expected: Option<Version>,
        now: Millis,
    ) -> Result<bool, PutError> {
        let hash = self.shared.index.hash(namespace, key);
        let mut tiers = self.tiers.lock();
        let current = self
            .current(hash, namespace, key, now)
            .map_err(PutError::Disk)?;
        let is_expected = |current: &Current| {
            current.version.is_some() && (expected.is_none() || current.version == expected)
        };
        let Some(current) = current.filter(is_expected) else {
            return Ok(false);
        };
        let gone = Packed {
            namespace,
            key,
            lifetime: Lifetime::until(current.stays, now),
            version: 0,
            form: Form::Gone,
            extras: Extras::default(),
            stored: &[],
        };
        let version = self.versions.load(Ordering::Relaxed);
        with_scratch(|record| {
            gone.write(record);
            let times = (current.stays, current.stays);
            let reserved = tiers.log(&self.shared, record, version, times, now)?;
            reserved.segment.published();
            Ok(())
        })
        .map_err(|error: NoPlace| PutError::from(error))?;
        self.versions.store(version + 1, Ordering::Relaxed);
        let mut shard = self.shared.index.write(hash);
        let removed = shard.remove(hash, |slot| self.shared.belongs(slot, current.home));
        if let Some(slot) = removed {
            self.shared
                .gone(namespace, key, slot.place(), Cause::Removed);
            self.shared.bury(slot.place());
        }
        Ok(removed.is_some())
    }

    /// The entry of a key. A record that the system does not give now is not taken for none: what is put without knowing of an
    /// entry would be a second one of its key, and which of them is read would be a matter of chance.
    fn current(
        &self,
        hash: KeyHash,
        namespace: u16,
        key: &[u8],
        now: Millis,
    ) -> Result<Option<Current>, DiskError> {
        let mut refused = None;
        let mut entry = None;
        let shard = self.shared.index.read(hash);
        let found = shard.find(hash, |slot| {
            let seen = self.shared.try_view(slot, |view| {
                let is_it = view.namespace == namespace && view.key == key;
                let cause = self.cause_of(&view, now, Cause::Replaced);
                is_it.then_some((Version(view.version), cause))
            });
            match seen {
                Ok(seen) => {
                    entry = seen.flatten();
                    entry.is_some()
                }
                Err(error) => {
                    refused = Some(error);
                    false
                }
            }
        });
        if let (None, Some(error), Some(folder)) = (&found, refused, &self.folder) {
            return Err(DiskError::of("read a file of", &folder.path)(error));
        }
        let home = found.and_then(|found| self.shared.home(found.get()));
        let entry = home.zip(entry).map(|(home, (version, cause))| Current {
            version: (cause == Cause::Replaced).then_some(version),
            cause,
            home,
            stays: self.shared.end_of(home),
        });
        Ok(entry)
    }

    /// Forgets keys that no segment needs. The caller holds the upkeep, so that no segment is made unknown meanwhile.
    #[cfg(feature = "encryption")]
    pub(crate) fn forget_keys(&self, _upkeep: &Upkeep) {
        let (Some(vault), Some(keys)) = (&self.shared.vault, &self.config.keys) else {
            return;
        };
        if let Some(folder) = &self.folder
            && vault.has_older()
        {
            for (namespace, dictionary) in self.shared.dictionaries.all() {
                if folder
                    .keep_dictionary(namespace, &dictionary, Some(vault))
                    .is_err()
                {
                    return;
                }
            }
            // The lock keeps out whoever makes a segment. What fails is tried again with the next sweep.
            let tiers = self.tiers.lock();
            let used = tiers.openers(&self.shared);
            let _ = vault.forget(&used, &*keys.0, |keys| self.keep_keys(keys));
        }
    }

    #[cfg(feature = "encryption")]
    fn keep_keys(&self, keys: Vec<u8>) -> Result<(), DiskError> {
        let Some(folder) = &self.folder else {
            return Ok(());
        };
        folder.change(|superblock| superblock.keys = keys)
    }

    /// Waits until all records of versions below `version` are on the disk.
    fn wait_synced(&self, version: u64) -> Result<(), DiskError> {
        let Some(folder) = &self.folder else {
            return Ok(());
        };
        folder.syncs.wait(version, &folder.path, || {
            let mut tiers = self.tiers.lock();
            tiers.take_dirty(self.versions.load(Ordering::Relaxed))
        })
    }

    pub(crate) fn flush(&self) -> Result<(), DiskError> {
        self.wait_synced(self.versions.load(Ordering::Relaxed))
    }

    /// Writes a snapshot, if enough was written since the last one. The caller holds the upkeep.
    pub(crate) fn snapshot(&self, _upkeep: &Upkeep) -> Result<(), DiskError> {
        let Some(folder) = &self.folder else {
            return Ok(());
        };
        let (version, known, table) = {
            let mut tiers = self.tiers.lock();
            if !tiers.is_snapshot_due() {
                return Ok(());
            }
            (
                self.versions.load(Ordering::Relaxed),
                tiers.snapshot_begins(&self.shared),
                self.shared.marks.table(),
            )
        };
        // From here on, what is written is found behind what is known of its file, or in a file that is not known. No segment
        // goes and none gets the number of another while the upkeep is held.
        let mut places = HashMap::new();
        for (at, (number, known)) in known.iter().enumerate() {
            places.insert(*number, (at as u32, known.used));
        }
        let slot = |slot: Slot| {
            let home = self.shared.home(slot)?;
            let (at, used) = places.get(&home.segment)?;
            let place = Place {
                segment: *at,
                offset: home.offset,
            };
            (home.offset < *used).then(|| Slot::new(slot.tag(), place, 0))
        };
        let shards = self.shared.index.shards();
        let shards = shards.map(|shard| shard.read().slots().filter_map(slot).collect());
        let snapshot = Snapshot {
            store: folder.superblock.lock().id,
            hashing: self.shared.index.hashing(),
            version,
            shards: shards.collect(),
            files: known.into_iter().map(|(_, known)| known).collect(),
            marks: table.all().collect(),
        };
        snapshot.write(&folder.path)?;
        self.flush()?;
        snapshot::publish(&folder.path)
    }
}

impl Namespace {
    /// Waits until everything that was put or removed before the call is on the disk, so that it survives the end of the
    /// machine. Calls at the same time share the work. Without a folder there is nothing to wait for.
    ///
    /// # Errors
    ///
    /// [`DiskError`] when the system cannot write. It may have lost then what it had taken before, and says so once only:
    /// every later call fails too, until the store is opened again.
    pub fn flush(&self) -> Result<(), DiskError> {
        self.core().flush()
    }
}
