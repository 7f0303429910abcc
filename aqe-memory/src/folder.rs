//! A store in a folder: opening it, and what it takes for a put to outlive the process.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use parking_lot::Mutex;

use crate::clock::{Clock, ManualClock, Millis};
use crate::config::MemoryConfig;
use crate::disk::error::{DiskError, OpenError};
use crate::disk::files::Files;
use crate::disk::recovery::{self, Damage};
use crate::disk::superblock::Superblock;
use crate::disk::sync::Syncs;
use crate::disk::{self, Disk, OnDisk, WriteLock};
use crate::error::{CompareError, PutError};
use crate::index::KeyHash;
use crate::index::{Place, Slot};
use crate::removal::Listen;
use crate::segment::packed::{Form, Packed};
use crate::segment::{Lifetime, Segment};
use crate::shared::{kept_of, with_scratch};
use crate::stats::Cause;
use crate::store::{Core, Expected, Namespace, Store, Version};
use crate::tiers::{Step, compress};

/// What a store knows of its folder.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    superblock: Mutex<Superblock>,
    files: Arc<Files>,
    syncs: Syncs,
    damage: Vec<Damage>,
    /// For as long as the store is there, nobody else writes.
    _lock: WriteLock,
}

impl Folder {
    /// Namespaces by name.
    pub(crate) fn names(&self) -> HashMap<String, u16> {
        let superblock = self.superblock.lock();
        let names = superblock.names.iter();
        names
            .map(|(name, number)| (name.clone(), *number))
            .collect()
    }

    pub(crate) fn files(&self) -> Arc<Files> {
        Arc::clone(&self.files)
    }

    /// Makes a namespace known to whoever opens the folder.
    pub(crate) fn add_name(&self, name: &str, number: u16) -> Result<(), DiskError> {
        let mut superblock = self.superblock.lock();
        let mut with_name = superblock.clone();
        with_name.names.insert(name.to_owned(), number);
        with_name.save(&self.path)?;
        *superblock = with_name;
        Ok(())
    }
}

/// A record of which recovery knows the key by its hash.
struct Candidate {
    /// Two hashes of namespace and key under random keys: two keys that share both are not to be met with.
    key: (u64, u64),
    version: u64,
    size: u32,
    tag: u32,
    shard: u32,
    place: Place,
    is_gone: bool,
    is_over: bool,
}

impl Store {
    /// Opens the store in a folder, or begins one there. What is put is written to the folder before the call returns, and
    /// is there when the process was ended in whatever way; see [`flush`](Namespace::flush) for the end of the machine.
    ///
    /// One process at a time writes to a folder.
    ///
    /// # Errors
    ///
    /// An [`OpenError`]. Nothing in the folder was changed then, unless the system refused something halfway through
    /// beginning a store.
    pub fn open(folder: impl AsRef<Path>, config: MemoryConfig) -> Result<Self, OpenError> {
        Self::open_at(folder.as_ref(), config, Clock::system(), None)
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
        Self::open_at(folder.as_ref(), config, clock.clock(), None)
    }

    pub(crate) fn open_at(
        path: &Path,
        config: MemoryConfig,
        clock: Clock,
        listen: Option<Box<Listen>>,
    ) -> Result<Self, OpenError> {
        config.sizes()?;
        disk::create_folder(path)?;
        let lock = WriteLock::take(path)?;
        let superblock = match Superblock::load(path)? {
            Some(superblock) => superblock,
            None => {
                let superblock = Superblock::new();
                superblock.save(path)?;
                superblock
            }
        };
        let files = Arc::new(Files::new(path.to_owned(), true));
        let most_bytes = config.max_disk_size;
        let folder = Folder {
            path: path.to_owned(),
            superblock: Mutex::new(superblock.clone()),
            files: Arc::clone(&files),
            syncs: Syncs::default(),
            damage: Vec::new(),
            _lock: lock,
        };
        Self::build(config, clock, listen, Some(folder), |core| {
            recover(core, &superblock, files, most_bytes)
        })
    }

    /// What of the folder could not be used when it was opened. It is left as it is, and never given for a value.
    #[must_use]
    pub fn damage(&self) -> &[Damage] {
        let folder = self.core().folder.as_ref();
        folder.map_or(&[], |folder| &folder.damage)
    }
}

/// Reads all files of a folder and finds out what the entries are.
fn recover(
    core: &mut Core,
    superblock: &Superblock,
    files: Arc<Files>,
    most_bytes: u64,
) -> Result<(), OpenError> {
    let now = core.clock.now();
    let (shared, tiers) = (&core.shared, core.tiers.get_mut());
    let other_hash = foldhash::fast::RandomState::default();
    let mut candidates = Vec::new();
    let mut damage = Vec::new();
    let (mut bytes, mut next_file) = (0, 0);
    for number in recovery::numbers(&files.folder)? {
        next_file = number + 1;
        let begin = candidates.len();
        let mut count = 0u32;
        let scan = recovery::scan(&files, superblock, number, &mut damage, |header, found| {
            let packed = &found.packed;
            let hash = shared.index.hash(packed.namespace, packed.key);
            let deadline = packed.lifetime.deadline(header.epoch);
            let other =
                std::hash::BuildHasher::hash_one(&other_hash, (packed.namespace, packed.key));
            count += 1;
            candidates.push(Candidate {
                key: (hash.whole, other),
                version: packed.version,
                size: found.size,
                tag: hash.tag,
                shard: hash.shard,
                place: Place {
                    segment: 0,
                    offset: found.offset,
                },
                is_gone: recovery::is_gone(packed),
                is_over: deadline <= now,
            });
        })?;
        let Some(scan) = scan else { continue };
        let header = scan.header;
        if count == 0 && scan.scanned.damaged.is_empty() {
            // Nothing was ever written to it, or that did not come to its end.
            files
                .remove(number)
                .map_err(DiskError::of("remove a file of", &files.folder))?;
            continue;
        }
        let used = scan.scanned.end;
        bytes += disk::file::HEADER + u64::from(used);
        let times = (header.epoch, header.end);
        let on_disk = OnDisk {
            file: number,
            seed: header.seed(),
        };
        // Not the last record's deadline: a record may stay beyond its own, for the sake of older ones of its key.
        let last_deadline = header.end;
        let resident = &shared.resident;
        let adopted = tiers.adopt(shared, |number| {
            Segment::cold(number, used, times, last_deadline, 0, on_disk, resident)
        });
        let Some(segment) = adopted else { break };
        for candidate in &mut candidates[begin..] {
            candidate.place.segment = segment;
        }
    }
    candidates
        .sort_unstable_by_key(|candidate| (candidate.shard, candidate.key, candidate.version));
    let mut versions = 0;
    for of_key in candidates.chunk_by(|one, other| one.key == other.key) {
        let Some((newest, older)) = of_key.split_last() else {
            continue;
        };
        versions = versions.max(newest.version + 1);
        for dead in older {
            shared.add_dead(dead.place, dead.size);
        }
        match (newest.is_gone, newest.is_over) {
            (true, _) => {}
            (false, true) => shared.add_dead(newest.place, newest.size),
            (false, false) => {
                let slot = Slot::new(newest.tag, newest.place, 0);
                shared.index.insert(newest.shard, slot);
            }
        }
    }
    *core.versions.get_mut() = versions;
    tiers.disk = Some(Disk::new(
        files,
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

/// An entry that a put or a removal finds.
struct Current {
    /// Its version, if its time is not over.
    version: Option<Version>,
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
        (deadline, now): (Millis, Millis),
        expected: Expected,
    ) -> Result<Version, CompareError> {
        with_scratch(|block| {
            let form = compress(value, block);
            let stored = match form {
                Form::Lz4(_) => block,
                _ => value,
            };
            let packed = Packed {
                namespace,
                key,
                // Both are set when the record has its place.
                lifetime: Lifetime::until(deadline, now),
                version: 0,
                form,
                stored,
            };
            with_scratch(|record| {
                packed.write(record);
                let hash = self.shared.index.hash(namespace, key);
                let mut put = || self.log_entry(hash, &packed, record, (deadline, now), expected);
                match put() {
                    Err(CompareError::Put(PutError::DiskFull)) => {
                        self.compact(now);
                        put()
                    }
                    put => put,
                }
            })
        })
    }

    fn log_entry(
        &self,
        hash: KeyHash,
        packed: &Packed<'_>,
        record: &mut [u8],
        (deadline, now): (Millis, Millis),
        expected: Expected,
    ) -> Result<Version, CompareError> {
        let mut tiers = self.tiers.lock();
        let current = self.current(hash, packed.namespace, packed.key, now);
        expected.check(|| current.as_ref()?.version)?;
        let stays = current.as_ref().map_or(0, |current| current.stays);
        // Relaxed: written under the lock only.
        let version = self.versions.load(Ordering::Relaxed);
        let reserved = tiers
            .log(&self.shared, record, version, (deadline, stays), now)
            .map_err(PutError::from)?;
        self.versions.store(version + 1, Ordering::Relaxed);
        let slot = Slot::new(hash.tag, reserved.place, 0);
        let cause = match current.as_ref().and_then(|current| current.version) {
            Some(_) => Cause::Replaced,
            None => Cause::Expired,
        };
        let home = current.map(|current| current.home);
        let mut shard = self.shared.index.write(hash);
        let is_current = |slot| home.is_some_and(|home| self.shared.belongs(slot, home));
        if let Some(replaced) = self.shared.index.publish(&mut shard, slot, is_current) {
            let (namespace, key) = (packed.namespace, packed.key);
            self.shared.gone(namespace, key, replaced.place(), cause);
            self.shared.bury(replaced.place());
        }
        drop(shard);
        reserved.segment.published();
        drop(tiers);
        self.shared.counts.put();
        self.alarm.set(deadline);
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
        let current = self.current(hash, namespace, key, now);
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
        .map_err(|error: crate::tiers::NoPlace| PutError::from(error))?;
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

    fn current(&self, hash: KeyHash, namespace: u16, key: &[u8], now: Millis) -> Option<Current> {
        let shard = self.shared.index.read(hash);
        let slot = shard
            .find(hash, |slot| self.is_entry(slot, namespace, key))?
            .get();
        let home = self.shared.home(slot)?;
        Some(Current {
            version: self.see(slot, now),
            home,
            stays: self.shared.end_of(home),
        })
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

    fn flush(&self) -> Result<(), DiskError> {
        self.wait_synced(self.versions.load(Ordering::Relaxed))
    }

    /// Moves entries out of segments that are mostly dead, and removes their files.
    pub(crate) fn compact(&self, now: Millis) {
        while let Some(step) = {
            let mut tiers = self.tiers.lock();
            tiers.compact(&self.shared, now)
        } {
            let Step::Done(doomed) = step else { continue };
            // The copies must be on the disk before what they were copied from is not.
            if self.flush().is_err() {
                return;
            }
            let cleared = self.shared.remove_segment(doomed.0.number);
            self.tiers.lock().reuse(&cleared);
        }
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
