//! What a namespace held at one moment, read at leisure.
//!
//! A snapshot copies nothing when it is taken. From that moment on, whoever replaces, removes or evicts an entry that belongs to it
//! saves the old value beside it first, and whoever puts a key that had no entry notes that it had none; what is neither
//! saved nor noted is still as it was. Both happen under the lock of the key's shard, so that a reader who looks at the
//! entry first and at what was saved second cannot miss a change in between.
//!
//! What is saved is bounded. Beyond the bound a snapshot is too old: it says so, and gives nothing more.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::iter::FusedIterator;
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use parking_lot::{Mutex, RwLock};

use crate::clock::Millis;
use crate::entries::{FEWEST, GROWTH, MOST};
use crate::marks::Table;
use crate::namespace::Namespace;
use crate::reading::Look;
use crate::value::Value;

/// Gives keys and values of one moment in the order of keys: see [`Namespace::snapshot`].
pub struct Snapshot {
    namespace: Namespace,
    frozen: Arc<Frozen>,
    /// Keys that were not given yet, in order.
    keys: VecDeque<Box<[u8]>>,
    /// The greatest key that was looked for so far.
    last: Option<Box<[u8]>>,
    page: usize,
    /// Whether there are keys beyond `last`, as far as is known.
    more: bool,
}

/// Why there is no snapshot, or no more of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SnapshotError {
    /// More has changed since the snapshot was taken than it may save.
    #[error(
        "the snapshot is too old: what has changed since takes more than {most_bytes} bytes; read it sooner, or give it more"
    )]
    TooOld {
        /// What it may save.
        most_bytes: usize,
    },
    /// All snapshots that are being read may save a quarter of `max_size` together.
    #[error(
        "a snapshot that may save {asked} bytes is too much: {left} bytes are left of what all snapshots may save"
    )]
    NoRoom {
        /// What it was to have.
        asked: usize,
        /// What there is.
        left: usize,
    },
}

impl Namespace {
    /// The entries whose keys begin with `prefix`, in the order of keys, exactly as they are now: whatever is put, replaced,
    /// removed or evicted meanwhile, the iterator gives every entry that is there at the moment of the call, with the value that
    /// it has then, and no other one. An entry whose time runs out before its turn is not given.
    ///
    /// What changes before its turn is saved, up to a thirty-second of the store's `max_size`, of which it is a part. When
    /// there is more, the next item is [`SnapshotError::TooOld`] and the last one.
    ///
    /// The call locks out those who put for an instant, however many entries there are. The iterator looks for keys in pages, as
    /// [`entries`](Self::entries) does, and each page looks at every key of the store. Entries are not kept longer for
    /// having been looked at. While no snapshot is being read, none of this costs anything.
    ///
    /// ```
    /// use aqe_memory::{MemoryConfig, Store};
    ///
    /// let store = Store::new(MemoryConfig::default())?;
    /// store.put_many([("run/1", "passed"), ("run/2", "failed")])?;
    /// let before = store.snapshot(b"run/")?;
    /// store.put(b"run/1", b"flaky")?;
    /// store.remove(b"run/2")?;
    /// store.put(b"run/3", b"passed")?;
    /// let before = before.collect::<Result<Vec<_>, _>>()?;
    /// let values: Vec<_> = before.iter().map(|(_, value)| &**value).collect();
    /// assert_eq!(values, [b"passed", b"failed"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`SnapshotError::NoRoom`] when eight such snapshots are being read already.
    pub fn snapshot(&self, prefix: &[u8]) -> Result<Snapshot, SnapshotError> {
        let most = self.core.config.max_size / 32;
        self.snapshot_within(prefix, usize::try_from(most).unwrap_or(usize::MAX))
    }

    /// [`snapshot`](Self::snapshot) that may save `most_bytes`, with about a hundred for each key beside its bytes.
    ///
    /// # Errors
    ///
    /// [`SnapshotError::NoRoom`] when all snapshots that are being read might save more than a quarter of `max_size`.
    pub fn snapshot_within(
        &self,
        prefix: &[u8],
        most_bytes: usize,
    ) -> Result<Snapshot, SnapshotError> {
        let shared = &self.core.shared;
        let pool = usize::try_from(self.core.config.max_size / 4).unwrap_or(usize::MAX);
        // The moment. Nobody holds the lock of a shard while waiting for another's, but for those who come here.
        let shards: Vec<_> = shared.index.shards().map(RwLock::read).collect();
        let frozen = Arc::new(Frozen {
            namespace: self.number,
            prefix: prefix.into(),
            most_bytes,
            table: shared.marks.table(),
            state: Mutex::default(),
        });
        shared.snapshots.begin(&frozen, pool)?;
        drop(shards);
        Ok(Snapshot {
            namespace: self.clone(),
            frozen,
            keys: VecDeque::new(),
            last: None,
            page: FEWEST,
            more: true,
        })
    }
}

impl Snapshot {
    /// Finds the next keys: those that are there, and those that were.
    fn turn_page(&mut self) -> Result<(), SnapshotError> {
        let (prefix, last) = (&self.frozen.prefix, self.last.as_deref());
        let Namespace { core, number, .. } = &self.namespace;
        let look = Look::Before(&self.frozen.table);
        let there = core.keys(*number, prefix, last, self.page, look);
        self.more = there.len() == self.page;
        self.page = (self.page * GROWTH).min(MOST);
        let upto = there.last().filter(|_| self.more);
        // Second, since a key that was not found above has been saved by now.
        let state = self.frozen.state.lock();
        state.check(self.frozen.most_bytes)?;
        let from = last.map_or(Bound::Unbounded, Bound::Excluded);
        let to = upto.map_or(Bound::Unbounded, |key| Bound::Included(&**key));
        let saved = state.saved.range::<[u8], _>((from, to));
        let saved = saved.filter(|(_, was)| was.is_some());
        let mut keys: Vec<_> = saved.map(|(key, _)| key.clone()).collect();
        drop(state);
        let upto = upto.cloned();
        keys.extend(there);
        // Two sorted runs, which is what the sort is quick with.
        keys.sort();
        keys.dedup();
        self.last = upto.or_else(|| keys.last().cloned());
        self.keys = keys.into();
        Ok(())
    }

    /// The entry of a key, if it had one.
    fn give(&self, key: &[u8]) -> Result<Option<Value>, SnapshotError> {
        let Namespace { core, number, .. } = &self.namespace;
        // First, since what replaces the entry behind our back saves it before.
        let there = core.find(*number, key, Look::Before(&self.frozen.table));
        let mut state = self.frozen.state.lock();
        state.check(self.frozen.most_bytes)?;
        let before = state.bytes;
        let was = state.advance(key);
        let freed = before - state.bytes;
        drop(state);
        let snapshots = &core.shared.snapshots;
        snapshots.bytes.fetch_sub(freed as u64, Ordering::Relaxed);
        Ok(match was {
            Some(saved) => saved
                .filter(|saved| saved.deadline > core.now())
                .map(|saved| Value::owned(saved.value)),
            None => there.map(|(value, _)| value),
        })
    }

    fn end(&mut self) {
        self.keys.clear();
        self.more = false;
        self.namespace.core.shared.snapshots.end(&self.frozen);
    }
}

impl Iterator for Snapshot {
    type Item = Result<(Box<[u8]>, Value), SnapshotError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let step = match self.keys.pop_front() {
                Some(key) => self.give(&key).map(|value| value.map(|value| (key, value))),
                None if self.more => self.turn_page().map(|()| None),
                None => {
                    self.end();
                    return None;
                }
            };
            match step {
                Ok(None) => {}
                Ok(Some(entry)) => return Some(Ok(entry)),
                Err(error) => {
                    self.end();
                    return Some(Err(error));
                }
            }
        }
    }
}

impl FusedIterator for Snapshot {}

impl Drop for Snapshot {
    fn drop(&mut self) {
        self.end();
    }
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot")
            .field("namespace", &self.namespace)
            .field("prefix", &self.frozen.prefix.escape_ascii().to_string())
            .field("last", &self.last)
            .finish_non_exhaustive()
    }
}

/// The snapshots of a store that are being read.
#[derive(Debug, Default)]
pub(crate) struct Snapshots {
    /// How many there are. Written with the locks of all shards in hand when one begins.
    live: AtomicUsize,
    list: RwLock<Vec<Arc<Frozen>>>,
    /// What all of them have saved.
    bytes: AtomicU64,
}

/// What belongs to a snapshot, and what was saved of it.
#[derive(Debug)]
struct Frozen {
    namespace: u16,
    prefix: Box<[u8]>,
    most_bytes: usize,
    /// Which tags were invalidated before.
    table: Arc<Table>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Entries as they were; `None` of a key that had none. No key is here that was given.
    saved: BTreeMap<Box<[u8]>, Option<Saved>>,
    bytes: usize,
    /// Keys up to this one were given.
    given: Option<Box<[u8]>>,
    is_too_old: bool,
}

/// An entry as it was.
#[derive(Clone, Debug)]
pub(crate) struct Saved {
    pub(crate) value: Box<[u8]>,
    pub(crate) deadline: Millis,
}

/// What a saved key takes beside its bytes and its value's: its share of a node of the tree, and what an allocator adds to
/// two allocations.
const OVERHEAD: usize = 96;

impl Snapshots {
    /// Whether there are any. The caller holds the lock of the shard in which it changes something.
    #[inline]
    pub(crate) fn are_any(&self) -> bool {
        // Relaxed: whoever begins one holds the shard's lock then.
        self.live.load(Ordering::Relaxed) > 0
    }

    /// Bytes of what was saved.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Saves an entry that is about to be no more, if a snapshot wants it; `None` says that the key had none. The caller holds
    /// the write lock of the key's shard.
    #[cold]
    pub(crate) fn save(&self, namespace: u16, key: &[u8], was: impl Fn(&Table) -> Option<Saved>) {
        for frozen in &*self.list.read() {
            if frozen.namespace == namespace && key.starts_with(&frozen.prefix) {
                let change = frozen.save(key, &was);
                // Wraps round for what is less than it was.
                self.bytes.fetch_add(change as u64, Ordering::Relaxed);
            }
        }
    }

    fn begin(&self, frozen: &Arc<Frozen>, pool: usize) -> Result<(), SnapshotError> {
        let mut list = self.list.write();
        let granted: usize = list.iter().map(|frozen| frozen.most_bytes).sum();
        let left = pool - granted;
        if frozen.most_bytes > left {
            return Err(SnapshotError::NoRoom {
                asked: frozen.most_bytes,
                left,
            });
        }
        list.push(Arc::clone(frozen));
        self.live.store(list.len(), Ordering::Relaxed);
        Ok(())
    }

    fn end(&self, frozen: &Arc<Frozen>) {
        let mut list = self.list.write();
        list.retain(|other| !Arc::ptr_eq(other, frozen));
        self.live.store(list.len(), Ordering::Relaxed);
        drop(list);
        let freed = frozen.state.lock().clear();
        self.bytes.fetch_sub(freed, Ordering::Relaxed);
    }
}

impl Frozen {
    /// As [`State::save`].
    fn save(&self, key: &[u8], was: impl Fn(&Table) -> Option<Saved>) -> isize {
        let mut state = self.state.lock();
        state.save(key, || was(&self.table), self.most_bytes)
    }
}

impl State {
    fn check(&self, most_bytes: usize) -> Result<(), SnapshotError> {
        match self.is_too_old {
            true => Err(SnapshotError::TooOld { most_bytes }),
            false => Ok(()),
        }
    }

    /// Saves what a key had, unless that was done before or the key was given. Says by how much more is saved now.
    fn save(
        &mut self,
        key: &[u8],
        was: impl FnOnce() -> Option<Saved>,
        most_bytes: usize,
    ) -> isize {
        let is_given = self.given.as_deref().is_some_and(|given| key <= given);
        if self.is_too_old || is_given || self.saved.contains_key(key) {
            return 0;
        }
        let saved = was();
        let bytes = size(key, saved.as_ref());
        if self.bytes + bytes > most_bytes {
            self.is_too_old = true;
            return -(self.clear() as isize);
        }
        self.bytes += bytes;
        self.saved.insert(key.into(), saved);
        bytes as isize
    }

    /// Says that a key is given, and gives what was saved of it. What was saved of keys before it is forgotten.
    fn advance(&mut self, key: &[u8]) -> Option<Option<Saved>> {
        self.given = Some(key.into());
        let mut was = None;
        while let Some(first) = self.saved.first_entry()
            && **first.key() <= *key
        {
            let (saved_key, saved) = first.remove_entry();
            self.bytes -= size(&saved_key, saved.as_ref());
            was = (*saved_key == *key).then_some(saved);
        }
        was
    }

    fn clear(&mut self) -> u64 {
        self.saved.clear();
        std::mem::take(&mut self.bytes) as u64
    }
}

fn size(key: &[u8], saved: Option<&Saved>) -> usize {
    OVERHEAD + key.len() + saved.map_or(0, |saved| saved.value.len())
}
