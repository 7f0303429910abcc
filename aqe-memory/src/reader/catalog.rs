//! What a reader knows of a folder: its files, how far it has read each, and where the newest record of each key is.
//!
//! The index is kept as recovery makes it: of each key the record of the highest version counts, in whatever order they are
//! found. Unlike a store's, it has slots for records that say that something is gone, for as long as their file is there:
//! files are not read at one moment, and an older copy of what was removed may come to light after the removal did.
//!
//! **Invariant:** what the counters in `seen` tell of is in the index. They are read before the files are.
//!
//! **Invariant:** a file's entries were copied, or are over, before it is removed. So a slot that names a file which is known
//! to be gone is as good as none, once everything that was written before is in the index.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use super::news::{Candidate, News, prolonged};
use super::{Keys, ReaderStats};
use crate::clock::Millis;
use crate::disk::error::{DiskError, OpenError};
use crate::disk::files::Files;
use crate::disk::recovery::{self, Damage, FoundRecord};
use crate::disk::snapshot::Snapshot;
use crate::disk::superblock::Superblock;
use crate::disk::tip::{Counts, Watch};
use crate::disk::{OnDisk, file};
use crate::index::{Index, MOST_SEGMENTS, Place, Slot};
use crate::marks::{Mark, Marks};
use crate::seal::{KEY_REF, Opener, Vault, What};
use crate::segment::packed::{self, Form, Packed};
use crate::shared::with_scratch;

/// Files, and the index of their records.
#[derive(Debug)]
pub(super) struct Catalog {
    files: Files,
    superblock: Superblock,
    keys: Keys,
    vault: Option<Vault>,
    /// Not there where nobody tells what is new.
    watch: Option<Watch>,
    seen: Counts,
    index: Index,
    /// Which tags were invalidated.
    marks: Marks,
    /// By the number that slots have for it.
    known: Vec<Option<Known>>,
    /// From the number of a file to that in slots.
    numbers: BTreeMap<u64, u32>,
    /// Numbers in slots of files that are gone: slots may still have them.
    gone: Vec<u32>,
    /// Numbers in slots that are free.
    free: Vec<u32>,
    damage: Vec<Damage>,
    refreshes: u64,
    records: u64,
}

/// A file.
#[derive(Debug)]
struct Known {
    on_disk: OnDisk,
    epoch: Millis,
    opener: Option<Opener>,
    /// Where the record behind the last one that was read begins.
    used: u32,
}

/// How much of the folder is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Extent {
    /// What the writer has told, if it tells anything.
    Told,
    /// That, and whether files are gone of which it has not told yet.
    Removed,
    Everything,
}

/// Why something could not be looked up.
#[derive(Debug)]
pub(super) enum Miss {
    /// Its file was removed: what is in it is elsewhere, or over.
    Vanished,
    Failed(DiskError),
}

/// A file's header, as far as it matters here.
#[derive(Clone, Copy, Debug)]
struct Header {
    seed: u32,
    epoch: Millis,
    key: Option<[u8; KEY_REF]>,
}

/// Shards of the index of a store in a folder, as a power of two.
const SHARDS: u32 = 8;
/// The most places of damage that are named.
const MOST_DAMAGE: usize = 1000;
/// The most files that are looked for one by one instead of in a list.
const MOST_NEW: u64 = 1000;
/// How often everything is looked at again because files went meanwhile.
const MOST_TRIES: u32 = 100;

impl Catalog {
    pub(super) fn open(folder: &Path, keys: Keys) -> Result<Self, OpenError> {
        let Some(superblock) = Superblock::load(folder)? else {
            return Err(OpenError::Missing {
                folder: folder.to_owned(),
            });
        };
        let mut catalog = Self {
            files: Files::new(folder.to_owned(), false),
            vault: vault(folder, &keys, &superblock)?,
            keys,
            watch: None,
            seen: Counts::default(),
            index: Index::new(SHARDS, superblock.seed),
            // It takes in whatever the writer has found room for.
            marks: Marks::new(superblock.seed, u64::MAX),
            superblock,
            known: Vec::new(),
            numbers: BTreeMap::new(),
            gone: Vec::new(),
            free: Vec::new(),
            damage: Vec::new(),
            refreshes: 0,
            records: 0,
        };
        // First, since whatever is removed from now on is missed by the look at everything, and not by this.
        catalog.take_snapshot()?;
        catalog.refresh(Extent::Everything)?;
        Ok(catalog)
    }

    /// Whether nothing has happened since it was refreshed.
    #[inline]
    pub(super) fn is_current(&self) -> bool {
        let watch = self.watch.as_ref();
        watch.is_some_and(|watch| watch.is_still(&self.seen))
    }

    pub(super) fn number(&self, name: &str) -> Option<u16> {
        match name {
            "" => Some(0),
            name => self.superblock.names.get(name).copied(),
        }
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.superblock.names.keys().map(String::as_str)
    }

    pub(super) fn store(&self) -> [u8; 16] {
        self.superblock.id
    }

    pub(super) fn vault(&self) -> Option<&Vault> {
        self.vault.as_ref()
    }

    pub(super) fn damage(&self) -> &[Damage] {
        &self.damage
    }

    pub(super) fn fill(&self, stats: &mut ReaderStats) {
        let is_entry = |slot: &Slot| !is_gone(*slot) && self.file(slot.place()).is_some();
        let shards = self.index.shards();
        let entries = shards.map(|shard| shard.read().slots().filter(is_entry).count() as u64);
        stats.entries = entries.sum();
        stats.files = self.numbers.len() as u64;
        let files = self.known.capacity() * size_of::<Option<Known>>();
        stats.resident_bytes = self.index.bytes() + files as u64;
        stats.refreshes = self.refreshes;
        stats.records = self.records;
    }

    /// Whether a tag of a record's entry was invalidated after the entry was put.
    pub(super) fn is_void(&self, packed: &Packed<'_>) -> bool {
        let tags = packed.extras.tags;
        self.marks.is_void(packed.namespace, packed.version, tags)
    }

    /// Copies the record of a key, if there is one, and gives what its deadline counts from. It may say that the entry is gone.
    pub(super) fn find(
        &self,
        namespace: u16,
        key: &[u8],
        record: &mut Vec<u8>,
    ) -> Result<Lookup, Miss> {
        let hash = self.index.hash(namespace, key);
        let shard = self.index.read(hash);
        let (mut miss, mut unreadable) = (None, 0);
        let found = shard.find(hash, |slot| match self.fetch(slot.place(), record) {
            Ok(true) => Packed::read(record)
                .is_some_and(|packed| packed.namespace == namespace && packed.key == key),
            Ok(false) => {
                unreadable += u64::from(self.file(slot.place()).is_some());
                false
            }
            Err(error) => {
                miss = Some(error);
                false
            }
        });
        let file = found.and_then(|slot| self.file(slot.get().place()));
        match (file, miss) {
            (Some(file), _) => Ok(Lookup {
                epoch: Some(file.epoch),
                unreadable: 0,
            }),
            (None, Some(miss)) => Err(miss),
            (None, None) => Ok(Lookup {
                epoch: None,
                unreadable,
            }),
        }
    }

    /// Gives every entry's record that `scanned` does not have behind it, one file after the other, and notes in `scanned` how
    /// far each was read.
    pub(super) fn each_entry(
        &self,
        scanned: &mut BTreeMap<u64, u32>,
        mut each: impl FnMut(&Packed<'_>, Millis),
    ) -> Result<(), Miss> {
        let mut vanished = false;
        for (&number, &at) in &self.numbers {
            let from = scanned.get(&number).copied().unwrap_or(0);
            let Some(file) = &self.known[at as usize] else {
                continue;
            };
            if from >= file.used {
                continue;
            }
            let found = self.scan(number, file, from, |found| {
                let place = Place {
                    segment: at,
                    offset: found.offset,
                };
                let packed = &found.packed;
                let is_value = !matches!(packed.form, Form::Gone | Form::Mark);
                if found.offset < file.used && is_value && !self.is_void(packed) {
                    let hash = self.index.hash(packed.namespace, packed.key);
                    let shard = self.index.read(hash);
                    if shard.find(hash, |slot| slot.place() == place).is_some() {
                        each(packed, file.epoch);
                    }
                }
            });
            match found {
                Ok(_) => {
                    scanned.insert(number, file.used);
                }
                // The others first: they are read already when what was in this one is looked for.
                Err(error) if is_missing(&error) => vanished = true,
                Err(error) => return Err(Miss::Failed(error)),
            }
        }
        match vanished {
            true => Err(Miss::Vanished),
            false => Ok(()),
        }
    }

    /// Reads what is new.
    pub(super) fn refresh(&mut self, extent: Extent) -> Result<(), DiskError> {
        self.refreshes += 1;
        let mut extent = extent;
        for _ in 0..MOST_TRIES {
            match self.read_news(extent) {
                Ok(()) => {
                    self.purge();
                    return Ok(());
                }
                Err(Miss::Failed(error)) => return Err(error),
                // What was in it may be in files that were looked at before.
                Err(Miss::Vanished) => extent = extent.max(Extent::Removed),
            }
        }
        Err(too_quick(&self.files.folder))
    }

    fn read_news(&mut self, extent: Extent) -> Result<(), Miss> {
        let is_silent = self.watch.as_ref().is_none_or(Watch::is_abandoned);
        let is_new = extent == Extent::Everything || is_silent;
        if is_new {
            self.watch = Watch::open(&self.files.folder, self.superblock.id);
        }
        // Before anything is looked at.
        let told = self.watch.as_ref().map(Watch::counts);
        // What a writer wrote last before it was killed, it may not have told: with the next one, everything is looked at.
        let since = told.filter(|told| !is_new && told.writers == self.seen.writers);
        if since.is_none_or(|told| told.superblocks != self.seen.superblocks) {
            self.reload()?;
        }
        match since {
            Some(told)
                if extent == Extent::Told
                    && told.removals == self.seen.removals
                    && told.next_file.wrapping_sub(self.seen.next_file) < MOST_NEW =>
            {
                self.add_files(self.seen.next_file..told.next_file)?;
            }
            told => self.list(told.is_none())?,
        }
        let grown = match (since, &self.watch) {
            (Some(_), Some(watch)) => Some(watch.grown(self.seen.records)),
            _ => None,
        };
        let may_have_grown = |number: &u64| grown.as_ref().is_none_or(|grown| grown(*number));
        let files: Vec<_> = self
            .numbers
            .keys()
            .copied()
            .filter(may_have_grown)
            .collect();
        for number in files {
            self.read_on(number)?;
        }
        self.seen = told.unwrap_or_default();
        Ok(())
    }

    /// Finds out which files are gone and which are new; and, if nobody can be relied on for that, which are others than they
    /// were: a writer that nobody has told of the last files may give their numbers again.
    fn list(&mut self, is_alone: bool) -> Result<(), Miss> {
        let there = recovery::numbers(&self.files.folder).map_err(Miss::Failed)?;
        let known: Vec<_> = self
            .numbers
            .iter()
            .map(|(number, at)| (*number, *at))
            .collect();
        for (number, at) in known {
            let is_there = there.contains(&number);
            if !is_there || is_alone && self.is_another(number, at)? {
                self.lose(number);
            }
        }
        self.add_files(there)
    }

    fn is_another(&self, number: u64, at: u32) -> Result<bool, Miss> {
        // The one that is open may be gone.
        self.files.forget(number);
        let header = recovery::header(&self.files, &self.superblock, number, &mut Vec::new());
        let seed = match header {
            Ok(header) => header.map(|header| header.seed()),
            Err(error) if is_missing(&error) => None,
            Err(error) => return Err(Miss::Failed(error)),
        };
        let known = self.known[at as usize].as_ref();
        Ok(known.map(|known| known.on_disk.seed) != seed)
    }

    fn add_files(&mut self, numbers: impl IntoIterator<Item = u64>) -> Result<(), Miss> {
        for number in numbers {
            if self.numbers.contains_key(&number) {
                continue;
            }
            let mut damage = Vec::new();
            let header = recovery::header(&self.files, &self.superblock, number, &mut damage);
            let header = match header {
                Ok(header) => header,
                Err(error) if is_missing(&error) => return Err(Miss::Vanished),
                Err(error) => return Err(Miss::Failed(error)),
            };
            self.note(damage);
            // One whose header is not there yet is told of when it is.
            if let Some(header) = header {
                let header = Header {
                    seed: header.seed(),
                    epoch: header.epoch,
                    key: header.key,
                };
                self.add(number, &header, 0)?;
            }
        }
        Ok(())
    }

    /// Adds a file of which records are known up to `used`. Gives its number in slots.
    fn add(&mut self, number: u64, header: &Header, used: u32) -> Result<Option<u32>, Miss> {
        let mut opener = self.opener(number, header);
        if header.key.is_some() && opener.is_none() {
            // The key may be newer than what is known of them.
            self.reload()?;
            opener = self.opener(number, header);
        }
        if header.key.is_some() && opener.is_none() {
            self.note(vec![Damage {
                path: file::path(&self.files.folder, number),
                bytes: 0..file::HEADER,
                what: "sealed with a key that the store does not have",
            }]);
            return Ok(None);
        }
        if self.free.is_empty() && self.known.len() >= MOST_SEGMENTS as usize {
            self.purge_now();
        }
        let known = Some(Known {
            on_disk: OnDisk {
                file: number,
                seed: header.seed,
            },
            epoch: header.epoch,
            opener,
            used,
        });
        let at = match self.free.pop() {
            Some(at) => {
                self.known[at as usize] = known;
                at
            }
            None if self.known.len() < MOST_SEGMENTS as usize => {
                self.known.push(known);
                self.known.len() as u32 - 1
            }
            // No writer makes so many.
            None => return Ok(None),
        };
        self.numbers.insert(number, at);
        Ok(Some(at))
    }

    fn opener(&self, number: u64, header: &Header) -> Option<Opener> {
        let vault = self.vault.as_ref()?;
        vault.opener(What::Segment, number, &header.key?).ok()
    }

    /// Forgets a file that is gone.
    fn lose(&mut self, number: u64) {
        self.files.forget(number);
        if let Some(at) = self.numbers.remove(&number) {
            self.known[at as usize] = None;
            self.gone.push(at);
        }
        let path = file::path(&self.files.folder, number);
        self.damage.retain(|damage| damage.path != path);
    }

    /// Takes slots of files that are gone out of the index, when there may be many: it takes a look at all.
    fn purge(&mut self) {
        if self.gone.len() > 16 + self.numbers.len() / 8 {
            self.purge_now();
        }
    }

    fn purge_now(&mut self) {
        let oldest = self.numbers.keys().next().copied().unwrap_or(0);
        // No record is left that they make void.
        self.marks.drop_if(|mark| mark.file <= oldest);
        for shard in self.index.shards() {
            let mut shard = shard.write();
            shard.retain(|slot| self.known[slot.place().segment as usize].is_some());
            self.index.shrink(&mut shard);
        }
        self.free.append(&mut self.gone);
    }

    /// Reads what the folder says of itself.
    fn reload(&mut self) -> Result<(), Miss> {
        let folder = &self.files.folder;
        let loaded = Superblock::load(folder).and_then(|superblock| match superblock {
            Some(superblock) if superblock.id == self.superblock.id => Ok(superblock),
            _ => Err(OpenError::Missing {
                folder: folder.clone(),
            }),
        });
        let reloaded = loaded.and_then(|superblock| {
            if superblock.keys != self.superblock.keys {
                self.vault = vault(folder, &self.keys, &superblock)?;
            }
            self.superblock = superblock;
            Ok(())
        });
        reloaded.map_err(|error| {
            Miss::Failed(match error {
                OpenError::Disk(error) => error,
                error => {
                    DiskError::of("read the store in", &self.files.folder)(io::Error::other(error))
                }
            })
        })
    }

    /// Takes the entries of the last snapshot in.
    fn take_snapshot(&mut self) -> Result<(), OpenError> {
        let fits = |snapshot: &Snapshot| {
            snapshot.store == self.superblock.id
                && snapshot.hashing == self.index.hashing()
                && snapshot.shards.len() == self.index.shards().count()
        };
        let Some(snapshot) = Snapshot::load(&self.files.folder).filter(fits) else {
            return Ok(());
        };
        let mut places = Vec::with_capacity(snapshot.files.len());
        for known in &snapshot.files {
            let header = Header {
                seed: known.seed,
                epoch: known.epoch,
                key: known.key,
            };
            let is_new = !self.numbers.contains_key(&known.file);
            let place = match is_new {
                true => self.add(known.file, &header, known.used),
                false => Ok(None),
            };
            let place = place.map_err(|miss| match miss {
                Miss::Failed(error) => OpenError::Disk(error),
                Miss::Vanished => OpenError::Disk(too_quick(&self.files.folder)),
            })?;
            places.push(place.map(|at| (at, known.used)));
        }
        for (namespace, tag, mark) in &snapshot.marks {
            self.marks.set(*namespace, *tag, *mark);
        }
        for (shard, slots) in snapshot.shards.iter().enumerate() {
            let slots = slots.iter().filter_map(|slot| {
                let Place { segment, offset } = slot.place();
                let (segment, used) = (*places.get(segment as usize)?)?;
                let place = Place { segment, offset };
                (offset < used).then(|| Slot::new(slot.tag(), place, ENTRY))
            });
            self.index
                .fill(shard, slots.collect::<Vec<_>>().into_iter());
        }
        Ok(())
    }

    /// Reads what was written to a file behind what is known of it.
    fn read_on(&mut self, number: u64) -> Result<(), Miss> {
        let Some(&at) = self.numbers.get(&number) else {
            return Ok(());
        };
        let Some(file) = &self.known[at as usize] else {
            return Ok(());
        };
        let news = match self.read_behind(number, at, file) {
            Ok(Some(news)) => news,
            Ok(None) => return Ok(()),
            Err(error) if is_missing(&error) => {
                self.lose(number);
                return Err(Miss::Vanished);
            }
            Err(error) => return Err(Miss::Failed(error)),
        };
        // Before they are settled: a record is not looked at beyond this.
        if let Some(file) = &mut self.known[at as usize] {
            file.used = news.used;
        }
        self.records += news.candidates.len() as u64;
        self.note(news.damage);
        self.settle(news.candidates).map_err(Miss::Failed)
    }

    /// The records behind what is known of a file. Nothing if it has not grown.
    fn read_behind(&self, number: u64, at: u32, file: &Known) -> Result<Option<News>, DiskError> {
        let length = self.files.get(number).and_then(|file| file::length(&file));
        let path = || file::path(&self.files.folder, number);
        let length = length.map_err(|error| DiskError::of("read", &path())(error))?;
        if length as u64 <= file::HEADER + u64::from(file.used) {
            return Ok(None);
        }
        let news = News::read(&|each| self.scan(number, file, file.used, each), &|found| {
            self.candidate(found, file, at)
        });
        news.map(Some)
    }

    /// What a record says of a key. What it says of a tag is noted.
    fn candidate(&self, found: &FoundRecord<'_>, file: &Known, at: u32) -> Option<Candidate> {
        let packed = &found.packed;
        if let Some((tag, file)) = packed.mark() {
            let mark = Mark {
                version: packed.version,
                // It goes when no older file is left.
                until: Millis::MAX,
                file,
            };
            self.marks.set(packed.namespace, tag, mark);
            return None;
        }
        Candidate::new(&self.index, found, file.epoch, at)
    }

    fn scan(
        &self,
        number: u64,
        file: &Known,
        from: u32,
        each: impl FnMut(FoundRecord<'_>),
    ) -> Result<(u32, Vec<Damage>), DiskError> {
        let mut damage = Vec::new();
        let (opener, name) = (file.opener.as_ref(), (number, file.on_disk.seed));
        let used = recovery::scan(&self.files, name, opener, from, &mut damage, each)?;
        Ok((used, damage))
    }

    /// Enters the newest of each key's records into the index, unless what is there is newer.
    fn settle(&self, mut candidates: Vec<Candidate>) -> Result<(), DiskError> {
        candidates.sort_unstable_by_key(|candidate| {
            (candidate.key, candidate.version, candidate.prolonged)
        });
        for of_key in candidates.chunk_by(|one, other| one.key == other.key) {
            let Some(newest) = of_key.last() else {
                continue;
            };
            let mut shard = self.index.write(newest.hash);
            let (mut known, mut failed) = ((0, None), None);
            let there = shard.find(newest.hash, |slot| {
                with_scratch(|record| match self.fetch(slot.place(), record) {
                    Ok(true) => Packed::read(record).is_some_and(|other| {
                        let file = self.file(slot.place());
                        let deadline = file.and_then(|file| prolonged(&other, file.epoch));
                        known = (other.version, deadline);
                        newest.is_of(&self.index, &other)
                    }),
                    // It does not count any more, or never did.
                    Ok(false) | Err(Miss::Vanished) => false,
                    Err(Miss::Failed(error)) => {
                        failed = Some(error);
                        false
                    }
                })
            });
            let there = there.map(|slot| slot.get());
            let kind = if newest.is_gone { GONE } else { ENTRY };
            let slot = Slot::new(newest.hash.tag, newest.place, kind);
            match (there, failed) {
                (Some(_), _) if known > (newest.version, newest.prolonged) => {}
                // A copy of the same version is there for the other one to go.
                (Some(there), _) => {
                    shard.replace(newest.hash, |slot| slot == there, slot);
                }
                (None, Some(error)) => return Err(error),
                (None, None) => {
                    self.index.publish(&mut shard, slot, |_| false);
                }
            }
        }
        Ok(())
    }

    /// Copies the record at a place and opens it. Says whether there is one.
    fn fetch(&self, place: Place, record: &mut Vec<u8>) -> Result<bool, Miss> {
        let Some(file) = self.file(place) else {
            return Ok(false);
        };
        let (on_disk, used) = (file.on_disk, file.used);
        match self.files.read_record(on_disk, place.offset, used, record) {
            Ok(true) => {
                let opened = packed::unseal(record, file.opener.as_ref(), place.offset);
                Ok(opened.is_some())
            }
            Ok(false) => Ok(false),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(Miss::Vanished),
            Err(error) => {
                let path = file::path(&self.files.folder, on_disk.file);
                Err(Miss::Failed(DiskError::of("read", &path)(error)))
            }
        }
    }

    fn file(&self, place: Place) -> Option<&Known> {
        self.known.get(place.segment as usize)?.as_ref()
    }

    fn note(&mut self, damage: Vec<Damage>) {
        for damage in damage {
            if self.damage.len() < MOST_DAMAGE && !self.damage.contains(&damage) {
                self.damage.push(damage);
            }
        }
    }
}

/// What [`find`](Catalog::find) has found.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lookup {
    /// From what the record's deadline counts; `None` if there is no record.
    pub(super) epoch: Option<Millis>,
    /// Records that may have been the key's and cannot be read.
    pub(super) unreadable: u64,
}

/// What slots have for a frequency here.
const ENTRY: u8 = 0;
const GONE: u8 = 1;

fn is_gone(slot: Slot) -> bool {
    slot.frequency() == GONE
}

fn is_missing(error: &DiskError) -> bool {
    error.source.kind() == io::ErrorKind::NotFound
}

/// The writer removes files again and again before they are read.
pub(super) fn too_quick(folder: &Path) -> DiskError {
    let error = io::Error::new(
        io::ErrorKind::TimedOut,
        "files are removed faster than they are read",
    );
    DiskError::of("keep up with", folder)(error)
}

#[cfg(feature = "encryption")]
fn vault(folder: &Path, keys: &Keys, superblock: &Superblock) -> Result<Option<Vault>, OpenError> {
    match (keys, superblock.keys.is_empty()) {
        (_, true) => Ok(None),
        (None, false) => Err(OpenError::KeyMissing {
            folder: folder.to_owned(),
        }),
        (Some(keys), false) => match Vault::open(&superblock.keys, &*keys.0) {
            Ok(vault) => Ok(Some(vault)),
            Err(source) => Err(OpenError::Keys {
                folder: folder.to_owned(),
                source,
            }),
        },
    }
}

#[cfg(not(feature = "encryption"))]
fn vault(folder: &Path, (): &Keys, superblock: &Superblock) -> Result<Option<Vault>, OpenError> {
    match superblock.keys.is_empty() {
        true => Ok(None),
        false => Err(OpenError::KeyMissing {
            folder: folder.to_owned(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{MemoryConfig, Store};

    /// Between two looks at the counters, the writer may have removed the file that a slot names. That says nothing of the
    /// entry: it is looked up again.
    #[test]
    #[cfg_attr(
        not(feature = "encryption"),
        expect(clippy::unit_arg, reason = "there are no keys then")
    )]
    fn an_entry_whose_file_went_is_not_taken_for_none() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), MemoryConfig::default()).unwrap();
        store.put(b"key", b"value").unwrap();
        let mut catalog = Catalog::open(folder.path(), Keys::default()).unwrap();
        let find = |catalog: &Catalog| catalog.find(0, b"key", &mut Vec::new());
        assert!(find(&catalog).unwrap().epoch.is_some());
        std::fs::remove_file(file::path(folder.path(), 0)).unwrap();
        assert!(find(&catalog).unwrap().epoch.is_some(), "it is open still");
        catalog.files.forget(0);
        assert!(matches!(find(&catalog), Err(Miss::Vanished)));
        catalog.refresh(Extent::Removed).unwrap();
        assert!(find(&catalog).unwrap().epoch.is_none());
        assert!(catalog.numbers.is_empty());
    }
}
