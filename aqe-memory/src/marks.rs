//! Which tags were invalidated, and when.
//!
//! Invalidating a tag touches no entry. It leaves a mark with a version of its own, and an entry that has the tag and an older
//! version is void from then on: no read gives it. What is void is cleared away afterwards, in slices. A mark is dropped when
//! no older entry with its tag can be there any more.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use parking_lot::{RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::clock::Millis;
use crate::error::PutError;
use crate::segment::extras::{Extras, tags};
use crate::sip::sip;

/// The marks of a store.
#[derive(Debug)]
pub(crate) struct Marks {
    /// Of the hashes of tags.
    key: [u64; 2],
    most: usize,
    /// How many there are. Written with the lock of the table.
    count: AtomicUsize,
    table: RwLock<Arc<Table>>,
    /// Whether there may be void entries that nobody has cleared away yet.
    due: AtomicBool,
    /// Held for reading by whoever puts an entry with tags into memory, from before it has a version until it is there.
    putting: RwLock<()>,
}

/// By namespace and hash of the tag.
#[derive(Clone, Debug, Default)]
pub(crate) struct Table(HashMap<(u16, u64), Mark>);

/// When a tag was invalidated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    /// Entries of older versions are void.
    pub(crate) version: u64,
    /// No entry that was there then ends later.
    pub(crate) until: Millis,
    /// Records that were there then are in files of lower numbers.
    pub(crate) file: u64,
}

/// The longest tag, in bytes.
pub(crate) const MOST_TAG: usize = 255;
/// A store that is large enough remembers so many marks.
const MOST: usize = 1 << 16;
/// What a mark takes, with the room that a table leaves.
const MARK_BYTES: usize = 2 * size_of::<((u16, u64), Mark)>();

impl Marks {
    /// No marks yet, for a store of this many bytes.
    pub(crate) fn new(seed: u64, total: u64) -> Self {
        let most = usize::try_from(total / 32).unwrap_or(usize::MAX) / MARK_BYTES;
        Self {
            key: [seed, seed.rotate_left(32) ^ 0x7461_6773],
            most: most.min(MOST),
            count: AtomicUsize::new(0),
            table: RwLock::default(),
            due: AtomicBool::new(false),
            putting: RwLock::new(()),
        }
    }

    /// The hash of a tag, by which entries and marks know it.
    pub(crate) fn hash(&self, tag: &str) -> Result<u64, PutError> {
        match tag.len() > MOST_TAG {
            true => Err(PutError::TagTooLong {
                len: tag.len(),
                most: MOST_TAG,
            }),
            false => Ok(sip(self.key, tag.as_bytes())),
        }
    }

    /// Says that an entry is put into memory for as long as the result is there, which matters if it has tags.
    pub(crate) fn put_begins(&self, extras: &Extras<'_>) -> Option<RwLockReadGuard<'_, ()>> {
        (!extras.tags.is_empty()).then(|| self.putting.read())
    }

    /// Waits until no entry with tags is being put into memory, and keeps others from beginning.
    pub(crate) fn wait_for_puts(&self) -> RwLockWriteGuard<'_, ()> {
        self.putting.write()
    }

    /// Whether one of the tags was invalidated after an entry of this version was put.
    #[inline]
    pub(crate) fn is_void(&self, namespace: u16, version: u64, tags: &[u8]) -> bool {
        // Relaxed: whoever knows that a tag was invalidated knows the count too.
        !tags.is_empty()
            && self.count.load(Ordering::Relaxed) > 0
            && self.table.read().is_void(namespace, version, tags)
    }

    /// All marks that there are now.
    pub(crate) fn table(&self) -> Arc<Table> {
        Arc::clone(&self.table.read())
    }

    /// Makes sure that there is room for the mark of a tag.
    pub(crate) fn check_room(&self, namespace: u16, tag: u64) -> Result<(), PutError> {
        let table = self.table.read();
        match table.0.len() < self.most || table.0.contains_key(&(namespace, tag)) {
            true => Ok(()),
            false => Err(PutError::TooManyMarks { most: self.most }),
        }
    }

    /// Leaves a mark, unless there is a newer one.
    pub(crate) fn set(&self, namespace: u16, tag: u64, mark: Mark) {
        self.change(|table| {
            let place = table.0.entry((namespace, tag)).or_insert(mark);
            if place.version < mark.version {
                *place = mark;
            }
        });
        // Relaxed: the one who clears away is woken later, by way of a lock.
        self.due.store(true, Ordering::Relaxed);
    }

    /// Whether a mark is the newest of its tag.
    pub(crate) fn is_current(&self, namespace: u16, tag: u64, version: u64) -> bool {
        let table = self.table.read();
        let mark = table.0.get(&(namespace, tag));
        mark.is_some_and(|mark| mark.version == version)
    }

    /// Drops marks.
    pub(crate) fn drop_if(&self, goes: impl Fn(&Mark) -> bool) {
        if self.table.read().0.values().any(&goes) {
            self.change(|table| table.0.retain(|_, mark| !goes(mark)));
        }
    }

    /// Whether there may be something to clear away that was void before the call.
    pub(crate) fn take_due(&self) -> bool {
        self.due.swap(false, Ordering::Relaxed)
    }

    /// Whether there may be something to clear away.
    pub(crate) fn is_due(&self) -> bool {
        self.due.load(Ordering::Relaxed)
    }

    /// Whether there are any.
    pub(crate) fn are_any(&self) -> bool {
        self.count.load(Ordering::Relaxed) > 0
    }

    /// Bytes that they take.
    pub(crate) fn bytes(&self) -> u64 {
        (self.count.load(Ordering::Relaxed) * MARK_BYTES) as u64
    }

    fn change(&self, change: impl FnOnce(&mut Table)) {
        let mut table = self.table.write();
        // A snapshot that is being read keeps the marks that it has.
        change(Arc::make_mut(&mut table));
        self.count.store(table.0.len(), Ordering::Relaxed);
    }
}

impl Table {
    /// Whether one of the tags was invalidated after an entry of this version was put.
    pub(crate) fn is_void(&self, namespace: u16, version: u64, of_entry: &[u8]) -> bool {
        tags(of_entry).any(|tag| {
            let mark = self.0.get(&(namespace, tag));
            mark.is_some_and(|mark| version < mark.version)
        })
    }

    /// All marks with their namespaces and tags.
    pub(crate) fn all(&self) -> impl Iterator<Item = (u16, u64, Mark)> {
        let all = self.0.iter();
        all.map(|(&(namespace, tag), &mark)| (namespace, tag, mark))
    }
}
