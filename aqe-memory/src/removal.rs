//! Telling somebody what is gone from the store, and why.
//!
//! A removal is noted where it happens, under the lock of its key's shard, so that the removals of one key are in order. A
//! thread of the store's own takes the notes and calls the listener, under no lock at all: the listener may take its time,
//! use the store, or panic. Nobody who puts or removes something ever waits for it. What waits to be told is bounded;
//! the thread that clears away what is over waits for room, as long as the listener goes on at all; for others, what finds
//! no room is counted instead of told, and [`Removal::missed`] says so.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, JoinHandle, ThreadId};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use crate::names::Names;
use crate::pressure::Gauge;
use crate::stats::{Cause, StoreStats};

/// An entry that is gone, as a [listener](crate::StoreBuilder::listener) is told.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Removal {
    /// The name of its namespace; empty for the one without a name.
    pub namespace: Arc<str>,
    /// Its key.
    pub key: Box<[u8]>,
    /// Why it is gone.
    pub cause: Cause,
    /// Bytes of memory that it took, with its key: compressed if it was.
    pub size: u64,
    /// How many removals could not be told just before this one: the listener was too slow for them.
    pub missed: u64,
}

/// What a program gives a store beside settings.
#[derive(Default)]
pub(crate) struct Hooks {
    pub(crate) listen: Option<Box<Listen>>,
    pub(crate) gauge: Option<Gauge>,
}

/// What a listener is.
pub(crate) type Listen = dyn Fn(&Removal) + Send + Sync;

/// Removals on their way to the listener.
#[derive(Debug)]
pub(crate) struct Removals {
    queue: Mutex<Queue>,
    filled: Condvar,
    taken: Condvar,
    most_bytes: usize,
    missed: AtomicU64,
    panics: AtomicU64,
}

#[derive(Debug, Default)]
struct Queue {
    notes: VecDeque<Note>,
    /// What the notes take.
    bytes: usize,
    /// Removals that found no room since the last one that did.
    missed: u64,
    /// Set when the listener did not go on for so long that nobody waits for it any more.
    stuck: bool,
    closed: bool,
    /// The thread that calls the listener.
    thread: Option<ThreadId>,
}

#[derive(Debug)]
struct Note {
    namespace: u16,
    cause: Cause,
    size: u32,
    missed: u64,
    key: Box<[u8]>,
}

/// The thread that calls the listener. It tells what is left, and ends, when this is dropped.
#[derive(Debug)]
pub(crate) struct Listener {
    removals: Arc<Removals>,
    thread: Option<JoinHandle<()>>,
}

/// How many are taken out to be told at a time.
const BATCH: usize = 256;
/// A listener that takes longer than this for a batch is not waited for.
const PATIENCE: Duration = Duration::from_secs(1);

impl Removals {
    /// Room for removals that take this many bytes, with the notes on them.
    pub(crate) fn new(most_bytes: usize) -> Arc<Self> {
        Arc::new(Self {
            queue: Mutex::default(),
            filled: Condvar::new(),
            taken: Condvar::new(),
            most_bytes,
            missed: AtomicU64::new(0),
            panics: AtomicU64::new(0),
        })
    }

    /// Notes that an entry is gone. The caller has the lock of its key's shard.
    pub(crate) fn push(&self, namespace: u16, key: &[u8], cause: Cause, size: u32) {
        let bytes = size_of::<Note>() + key.len();
        let mut queue = self.queue.lock();
        if queue.bytes + bytes > self.most_bytes {
            queue.missed += 1;
            self.missed.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let note = Note {
            namespace,
            cause,
            size,
            missed: std::mem::take(&mut queue.missed),
            key: key.into(),
        };
        queue.bytes += bytes;
        queue.notes.push_back(note);
        // Whoever finds the queue empty wakes the thread; it looks again before it sleeps.
        if queue.notes.len() == 1 {
            self.filled.notify_one();
        }
    }

    /// Waits until there is room for some more. The caller has no locks.
    pub(crate) fn wait_for_room(&self) {
        let mut queue = self.queue.lock();
        let is_full = |queue: &Queue| queue.bytes > self.most_bytes / 4 * 3;
        while is_full(&queue) && !queue.stuck && queue.thread != Some(thread::current().id()) {
            if self.taken.wait_for(&mut queue, PATIENCE).timed_out() && is_full(&queue) {
                queue.stuck = true;
            }
        }
    }

    pub(crate) fn fill(&self, stats: &mut StoreStats) {
        stats.removals_missed = self.missed.load(Ordering::Relaxed);
        stats.listener_panics = self.panics.load(Ordering::Relaxed);
    }

    /// Takes the next notes, when there are any. Gives none when there will be none.
    fn take(&self, notes: &mut Vec<Note>) {
        let mut queue = self.queue.lock();
        queue.thread = Some(thread::current().id());
        while queue.notes.is_empty() && !queue.closed {
            self.filled.wait(&mut queue);
        }
        let some = queue.notes.len().min(BATCH);
        notes.extend(queue.notes.drain(..some));
        let bytes = notes.iter().map(|note| size_of::<Note>() + note.key.len());
        queue.bytes -= bytes.sum::<usize>();
        queue.stuck = false;
        if queue.notes.is_empty() {
            // What an avalanche of removals took is given back.
            queue.notes.shrink_to(BATCH);
        }
        self.taken.notify_all();
    }

    fn tell(&self, names: &Names, listen: &Listen, note: Note) {
        let removal = Removal {
            namespace: names.name(note.namespace),
            key: note.key,
            cause: note.cause,
            size: note.size.into(),
            missed: note.missed,
        };
        // The listener shares nothing with the store that it could leave half changed. What it shares with others is its own
        // affair, and a lock of `std` would tell.
        if catch_unwind(AssertUnwindSafe(|| listen(&removal))).is_err() {
            self.panics.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Listener {
    pub(crate) fn start(
        removals: &Arc<Removals>,
        names: &Arc<Names>,
        listen: Box<Listen>,
    ) -> io::Result<Self> {
        let thread = thread::Builder::new().name("aqe-memory-listener".to_owned());
        let thread = thread.spawn({
            let (removals, names) = (Arc::clone(removals), Arc::clone(names));
            move || {
                let mut notes = Vec::with_capacity(BATCH);
                loop {
                    removals.take(&mut notes);
                    if notes.is_empty() {
                        return;
                    }
                    for note in notes.drain(..) {
                        removals.tell(&names, &*listen, note);
                    }
                }
            }
        })?;
        Ok(Self {
            removals: Arc::clone(removals),
            thread: Some(thread),
        })
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.removals.queue.lock().closed = true;
        self.removals.filled.notify_one();
        let thread = self.thread.take();
        // The listener itself can have the last handle of the store.
        let other = thread.filter(|thread| thread.thread().id() != thread::current().id());
        if let Some(thread) = other {
            // What the listener threw was caught, and the rest does not panic.
            let _ = thread.join();
        }
    }
}

impl fmt::Display for Removal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = self.key.escape_ascii();
        match &*self.namespace {
            "" => write!(f, "`{key}` {}", self.cause),
            namespace => write!(f, "`{key}` of `{namespace}` {}", self.cause),
        }
    }
}
