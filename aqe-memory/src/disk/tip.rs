//! How the one who writes tells those who read, in other processes, that there is something new.
//!
//! A small file holds counters, which the writer changes in memory that is mapped from it. A reader maps the same pages: two
//! loads tell it that nothing has happened since it looked. The counters say where to look and never what is there: that
//! is in the other files, so that a tip which is lost or old costs looking, and no entry.
//!
//! The file is made once and keeps its place on the disk, whoever writes: a reader that has it mapped hears of the next
//! writer too. The page cache keeps it when the writer is killed. After a power cut its counters may be old ones, and then there
//! is no reader left that has seen newer.
//!
//! **Invariant:** a counter is raised after what it tells of is in the files, and before whoever asked for that hears of it.

#[cfg_attr(not(all(unix, target_pointer_width = "64")), path = "tip/unmapped.rs")]
#[cfg_attr(all(unix, target_pointer_width = "64"), path = "tip/mapped.rs")]
mod map;

use std::path::{Path, PathBuf};

use self::map::Map;
use super::error::DiskError;

/// How often each thing has happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Records were written.
    pub(crate) records: u64,
    /// Something else has happened: any of what follows.
    pub(crate) changes: u64,
    /// The number that the next file will have.
    pub(crate) next_file: u64,
    /// Files were removed.
    pub(crate) removals: u64,
    /// What the folder says of itself was replaced: there is another namespace, or another key.
    pub(crate) superblocks: u64,
    /// Somebody began to write. What the one before has written last, it may not have told.
    pub(crate) writers: u64,
}

/// The writer's side. Where the system cannot share memory between a file and those who map it, it tells nobody.
#[derive(Debug)]
pub(crate) struct Tip(Option<Map>);

/// A reader's side.
#[derive(Debug)]
pub(crate) struct Watch(Map);

/// Of files whose numbers are the same modulo this, one that has grown stands for all.
pub(crate) const CLASSES: usize = 512;

const NAME: &str = "tip";
const MAGIC: &[u8; 8] = b"aqe-tip\n";
const FORMAT: u32 = 1;
/// Differs when the bytes of a number are read in another order than they were written in.
const ORDER: u32 = 0x0102_0304;
/// Magic, format, order of bytes, the store.
const HEADER: usize = 8 + 4 + 4 + 16;
/// Counters begin here, in numbers of eight bytes: what is read at every look shares a line.
const COUNTERS: usize = 64 / 8;
const RECORDS: usize = COUNTERS;
const CHANGES: usize = COUNTERS + 1;
const NEXT_FILE: usize = COUNTERS + 2;
const REMOVALS: usize = COUNTERS + 3;
const SUPERBLOCKS: usize = COUNTERS + 4;
const WRITERS: usize = COUNTERS + 5;
/// By class of files, what `RECORDS` became with the last record of one of them.
const GROWN: usize = 4096 / 8;
/// What `CHANGES` is when nobody tells anything here any more.
const ABANDONED: u64 = u64::MAX;

impl Tip {
    /// Opens the one of a folder, or makes it. The caller has the right to write, and says with [`opened`](Self::opened)
    /// when readers are to look.
    pub(crate) fn take(folder: &Path, store: [u8; 16]) -> Result<Self, DiskError> {
        let path = path(folder);
        map::take(&path, &header(store))
            .map(Self)
            .map_err(DiskError::of("prepare", &path))
    }

    /// One that tells nobody.
    #[cfg(test)]
    pub(crate) fn silent() -> Self {
        Self(None)
    }

    /// Says that a record was written to a file. The caller has the lock of the tiers.
    #[inline]
    pub(crate) fn appended(&self, file: u64) {
        if let Some(map) = &self.0 {
            // One thread at a time is here, so that no step is lost between load and store.
            let records = map.load(RECORDS).wrapping_add(1);
            map.store(GROWN + class(file), records);
            map.publish(RECORDS, records);
        }
    }

    /// Says that a file was created; `next` is the number after its own. The caller has the lock of the tiers.
    pub(crate) fn created(&self, next: u64) {
        self.change(|map| map.store(NEXT_FILE, next));
    }

    /// The number that the next file is to have, as the last writer has said.
    pub(crate) fn next_file(&self) -> u64 {
        self.0.as_ref().map_or(0, |map| map.load(NEXT_FILE))
    }

    /// Says that a file was removed.
    pub(crate) fn removed(&self) {
        self.change(|map| map.add(REMOVALS));
    }

    /// Says that the superblock was replaced.
    pub(crate) fn renamed(&self) {
        self.change(|map| map.add(SUPERBLOCKS));
    }

    /// Says that the folder is as its writer takes it to be from now on.
    pub(crate) fn opened(&self, next_file: u64) {
        self.change(|map| {
            map.store(NEXT_FILE, next_file);
            map.add(WRITERS);
        });
    }

    fn change(&self, what: impl FnOnce(&Map)) {
        if let Some(map) = &self.0 {
            what(map);
            map.add(CHANGES);
        }
    }
}

impl Watch {
    /// The one of a folder. `None` if nobody tells anything there.
    pub(crate) fn open(folder: &Path, store: [u8; 16]) -> Option<Self> {
        let map = map::look_at(&path(folder), &header(store))?;
        let watch = Self(map);
        (!watch.is_abandoned()).then_some(watch)
    }

    /// Whether nothing has happened since the counters were these.
    #[inline]
    pub(crate) fn is_still(&self, seen: &Counts) -> bool {
        self.0.load(RECORDS) == seen.records && self.0.acquire(CHANGES) == seen.changes
    }

    /// The counters, and with them everything that they tell of.
    pub(crate) fn counts(&self) -> Counts {
        // In this order: whoever raises `RECORDS` for the record of a new file has raised `CHANGES` for the file before, and
        // the others before that.
        let records = self.0.acquire(RECORDS);
        let changes = self.0.acquire(CHANGES);
        Counts {
            records,
            changes,
            next_file: self.0.load(NEXT_FILE),
            removals: self.0.load(REMOVALS),
            superblocks: self.0.load(SUPERBLOCKS),
            writers: self.0.load(WRITERS),
        }
    }

    /// Says which classes of files have grown since so many records were written.
    pub(crate) fn grown(&self, since: u64) -> impl Fn(u64) -> bool + use<> {
        let grown: Vec<bool> = (0..CLASSES)
            // Not `>`, for the sake of a count that has begun anew: looking once too often does no harm.
            .map(|class| {
                let last = self.0.load(GROWN + class);
                last.wrapping_sub(since) as i64 > 0
            })
            .collect();
        move |file| grown[class(file)]
    }

    /// Whether nobody tells anything here any more.
    pub(crate) fn is_abandoned(&self) -> bool {
        self.0.load(CHANGES) == ABANDONED
    }
}

fn class(file: u64) -> usize {
    file as usize % CLASSES
}

fn path(folder: &Path) -> PathBuf {
    folder.join(NAME)
}

fn header(store: [u8; 16]) -> [u8; HEADER] {
    let mut header = [0; HEADER];
    header[..8].copy_from_slice(MAGIC);
    header[8..12].copy_from_slice(&FORMAT.to_ne_bytes());
    header[12..16].copy_from_slice(&ORDER.to_ne_bytes());
    header[16..].copy_from_slice(&store);
    header
}

#[cfg(all(test, unix, target_pointer_width = "64"))]
mod tests {
    use super::*;

    #[test]
    fn a_reader_hears_what_has_happened_and_of_the_next_writer() {
        let folder = tempfile::tempdir().unwrap();
        assert!(Watch::open(folder.path(), [1; 16]).is_none());
        let tip = Tip::take(folder.path(), [1; 16]).unwrap();
        assert!(
            Watch::open(folder.path(), [2; 16]).is_none(),
            "of another store"
        );
        let watch = Watch::open(folder.path(), [1; 16]).unwrap();
        let seen = watch.counts();
        assert!(watch.is_still(&seen) && !watch.grown(seen.records)(5));
        tip.appended(5);
        assert!(!watch.is_still(&seen));
        let grown = watch.grown(seen.records);
        assert!(grown(5) && grown(5 + CLASSES as u64) && !grown(6));
        let seen = watch.counts();
        assert!(watch.is_still(&seen) && !watch.grown(seen.records)(5));

        tip.created(8);
        tip.removed();
        tip.renamed();
        drop(tip);
        let tip = Tip::take(folder.path(), [1; 16]).unwrap();
        tip.opened(9);
        let now = watch.counts();
        assert_eq!((now.next_file, now.changes), (9, seen.changes + 4));
        assert_eq!(now.removals, seen.removals + 1);
        assert_eq!(now.superblocks, seen.superblocks + 1);
        assert_eq!(now.writers, seen.writers + 1);
    }

    #[test]
    fn what_is_no_tip_is_made_one_and_not_believed() {
        let folder = tempfile::tempdir().unwrap();
        let path = path(folder.path());
        for other in [vec![], vec![7; 100], vec![7; map::BYTES]] {
            std::fs::write(&path, &other).unwrap();
            assert!(Watch::open(folder.path(), [1; 16]).is_none());
            Tip::take(folder.path(), [1; 16]).unwrap();
            assert!(Watch::open(folder.path(), [1; 16]).is_some());
        }
        Tip::silent().appended(1);
    }

    #[test]
    fn an_abandoned_tip_says_so_to_those_who_have_it_mapped() {
        let folder = tempfile::tempdir().unwrap();
        Tip::take(folder.path(), [1; 16]).unwrap();
        let watch = Watch::open(folder.path(), [1; 16]).unwrap();
        let seen = watch.counts();
        map::abandon(&path(folder.path()));
        assert!(!watch.is_still(&seen) && watch.is_abandoned());
        assert!(Watch::open(folder.path(), [1; 16]).is_none());
    }
}
