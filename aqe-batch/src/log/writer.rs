//! The writing side of an open log: appends under a short lock, syncs beside it.
//!
//! An append is one write into the page cache by whoever has items; from then on the end of the process costs nothing.
//! Durability against the end of the machine is the business of the log's own thread (or of whoever calls `sync` first):
//! it notes how far the file has been written, syncs without the lock, and everything that was appended meanwhile waits
//! for the next round together. So there is at most one sync at a time, and never one for each append.

use std::fmt;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, MutexGuard};

use super::compact;
use super::contents::write_ranges;
use super::done::{DoneSet, MAX_ITEMS};
use super::entry::Entry;
use super::error::CheckpointError;
use super::files::{NotReplaced, ZEROS};
use super::frame::{Frame, Kind};
use super::header::Identity;
use super::medium::Medium;
use super::scan::Image;
use super::system;

/// A new log is filled with zeros up to here; most runs need no more.
pub(super) const FIRST_SEGMENT: u64 = 256 << 10;

/// Later segments are as long as the log so far, up to this.
const LARGEST_SEGMENT: u64 = 4 << 20;

/// A log is not compacted while it is open before it has this length. In tests it need not be made so long first.
pub(super) const COMPACT_FROM: u64 = if cfg!(test) { 1 << 20 } else { LARGEST_SEGMENT };

/// How long the log's own thread waits after a sync before the next, unless it is to hurry. A sync costs a good part of a
/// processor for as long as it takes; back to back they would be felt by work that computes.
const REST: Duration = Duration::from_millis(2);

/// A record of an entry with very many ranges is closed after so many.
const RANGES: usize = 16_384;

pub(crate) struct Writer {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    state: Mutex<State>,
    /// Tells the thread that there is something to sync, or that it is to end.
    work: Condvar,
    /// Tells those who wait for a sync that one is over.
    synced: Condvar,
    /// Items appended and not yet on disk. Written under the lock; read without it, where a late answer does no harm.
    unsynced: AtomicU64,
    /// Set once, under the lock, with `State::failed`.
    is_broken: AtomicBool,
    on_sync: Mutex<Option<Box<dyn Fn() + Send + Sync>>>,
}

struct State {
    medium: Arc<dyn Medium>,
    done: DoneSet,
    skipped: DoneSet,
    /// The number of the next record.
    sequence: u64,
    /// Where the next record goes.
    position: u64,
    /// Everything before it has been written at least once, if only with zeros.
    prewritten: u64,
    /// Everything before it is on disk.
    durable: u64,
    /// The zeros between `position` and `prewritten` are on disk as well.
    zeros_are_durable: bool,
    /// Whether zeros may still be written: not after the disk refused them, as records need the room more.
    may_prewrite: bool,
    result_bytes: u64,
    /// The log is not looked at for compaction before it has this length.
    compact_at: u64,
    /// How many times it was compacted.
    compactions: u64,
    /// Whether a thread syncs now.
    is_syncing: bool,
    /// Until when the log's thread does not sync by itself, since there was a sync just now.
    rests_until: Option<Instant>,
    /// Whether it waits for no longer than that, so that it will see by itself what is appended.
    is_resting: bool,
    /// With more items than this not yet on disk, it does not wait.
    hurries_at: u64,
    /// Items appended since the log was opened.
    appended: u64,
    failed: Option<CheckpointError>,
    is_closing: bool,
    /// Records are put together here.
    buffer: Vec<u8>,
}

impl Writer {
    pub(super) fn start(
        path: &Path,
        identity: &Identity,
        file: File,
        image: Image,
    ) -> Result<Self, CheckpointError> {
        let home = Some((path.to_owned(), identity.clone()));
        Self::over(system::medium(path, file), home, image)
            .map_err(CheckpointError::io("start the thread of"))
    }

    /// A writer over any medium; one without a home is never compacted.
    pub(super) fn over(
        medium: Arc<dyn Medium>,
        home: Option<(PathBuf, Identity)>,
        image: Image,
    ) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                medium,
                done: image.done,
                skipped: image.skipped,
                sequence: image.sequence,
                position: image.end,
                prewritten: image.len,
                // What was read may still have been in the page cache only; the first sync makes sure of it, and until
                // then no record claims it.
                durable: 0,
                zeros_are_durable: false,
                may_prewrite: true,
                result_bytes: image.result_bytes,
                compact_at: next_compaction(image.end),
                compactions: 0,
                is_syncing: false,
                rests_until: None,
                is_resting: false,
                hurries_at: u64::MAX,
                appended: 0,
                failed: None,
                is_closing: false,
                buffer: Vec::new(),
            }),
            work: Condvar::new(),
            synced: Condvar::new(),
            unsynced: AtomicU64::new(0),
            is_broken: AtomicBool::new(false),
            on_sync: Mutex::new(None),
        });
        let thread = std::thread::Builder::new()
            .name("aqe-checkpoint".to_owned())
            .spawn({
                let shared = Arc::clone(&shared);
                move || shared.run(home.as_ref())
            })?;
        Ok(Self {
            shared,
            thread: Some(thread),
        })
    }

    pub(super) fn with_done<T>(&self, look: impl FnOnce(&DoneSet, &DoneSet) -> T) -> T {
        let state = self.shared.state.lock();
        look(&state.done, &state.skipped)
    }

    pub(super) fn append(&self, entry: &mut Entry) -> Result<(), CheckpointError> {
        if entry.is_empty() {
            return Ok(());
        }
        entry.settle();
        let mut state = self.shared.state.lock();
        if self.is_broken() {
            return Err(self.shared.told(&mut state));
        }
        let appended = state.append(entry);
        let items = entry.items();
        entry.clear();
        if let Err(error) = appended {
            self.shared.fail(&mut state, error);
            return Err(self.shared.told(&mut state));
        }
        state.appended += items;
        let unsynced = self.shared.unsynced.fetch_add(items, Ordering::Relaxed) + items;
        // Waking a thread costs more than appending, so it is left alone where it would go on waiting.
        if !state.is_syncing && (!state.is_resting || unsynced > state.hurries_at) {
            self.shared.work.notify_one();
        }
        Ok(())
    }

    pub(super) fn sync(&self) -> Result<(), CheckpointError> {
        let mut state = self.shared.state.lock();
        let wanted = state.written();
        loop {
            if self.is_broken() {
                return Err(self.shared.told(&mut state));
            }
            if state.is_durable(wanted) {
                return Ok(());
            }
            if state.is_syncing {
                self.shared.synced.wait(&mut state);
            } else {
                self.shared.sync(&mut state);
            }
        }
    }

    pub(super) fn unsynced(&self) -> u64 {
        self.shared.unsynced.load(Ordering::Relaxed)
    }

    pub(super) fn hurry_at(&self, items: u64) {
        self.shared.state.lock().hurries_at = items;
    }

    pub(super) fn is_broken(&self) -> bool {
        self.shared.is_broken.load(Ordering::Relaxed)
    }

    pub(super) fn take_error(&self) -> Option<CheckpointError> {
        self.shared.state.lock().failed.take()
    }

    pub(super) fn on_sync(&self, call: Box<dyn Fn() + Send + Sync>) {
        *self.shared.on_sync.lock() = Some(call);
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.shared.state.lock().is_closing = true;
        self.shared.work.notify_one();
        if let Some(thread) = self.thread.take() {
            // It panics only if we have a defect, and this may be a panic already.
            drop(thread.join());
        }
    }
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer")
            .field("unsynced", &self.unsynced())
            .field("is_broken", &self.is_broken())
            .finish_non_exhaustive()
    }
}

impl Shared {
    /// What the log's thread does until the log is dropped.
    fn run(&self, home: Option<&(PathBuf, Identity)>) {
        let mut state = self.state.lock();
        // The first thing: room for the first records, and what was read made sure of.
        self.keep_ahead(&mut state);
        loop {
            if self.is_broken.load(Ordering::Relaxed) {
                return;
            }
            if state.durable < state.position && !state.is_syncing {
                if !self.rests(&mut state) {
                    self.sync(&mut state);
                }
            } else if let Some((path, identity)) = home.filter(|_| state.is_bloated()) {
                self.compact(&mut state, path, identity);
            } else if state.is_closing && !state.is_syncing {
                return;
            } else if state.wants_room() {
                self.keep_ahead(&mut state);
            } else if !self.rests(&mut state) {
                self.work.wait(&mut state);
            }
        }
    }

    /// Waits for the end of the rest or for a reason to hurry, unless the rest is over.
    fn rests(&self, state: &mut MutexGuard<'_, State>) -> bool {
        let until = state.rests_until.filter(|until| Instant::now() < *until);
        let Some(until) = until else { return false };
        if state.is_closing || self.unsynced.load(Ordering::Relaxed) > state.hurries_at {
            return false;
        }
        state.is_resting = true;
        self.work.wait_until(state, until);
        state.is_resting = false;
        true
    }

    /// Syncs what has been written so far. The lock is released meanwhile.
    fn sync(&self, state: &mut MutexGuard<'_, State>) {
        let medium = Arc::clone(&state.medium);
        let (position, appended, prewritten) = (state.position, state.appended, state.prewritten);
        state.is_syncing = true;
        let result = MutexGuard::unlocked(state, || medium.sync());
        state.is_syncing = false;
        match result {
            Ok(()) => {
                state.durable = position;
                state.zeros_are_durable = state.prewritten == prewritten;
                let left = state.appended - appended;
                self.unsynced.store(left, Ordering::Relaxed);
            }
            // What was not synced may be lost in the page cache without a further word: nothing can be promised any more.
            Err(error) => self.fail(state, CheckpointError::io("sync")(error)),
        }
        state.rests_until = Some(Instant::now() + REST);
        self.synced.notify_all();
        // Those who append while somebody other than the thread syncs do not wake it. Neither does whoever syncs each of its
        // appends, as long as the thread looks again by itself: two threads that wake each other cost more than the append.
        if !state.is_resting {
            self.work.notify_one();
        }
        self.after_sync(state);
    }

    fn after_sync(&self, state: &mut MutexGuard<'_, State>) {
        MutexGuard::unlocked(state, || {
            if let Some(call) = self.on_sync.lock().as_ref() {
                call();
            }
        });
    }

    /// Writes zeros ahead of the records, a little at a time, so that appends get in between.
    fn keep_ahead(&self, state: &mut MutexGuard<'_, State>) {
        let target = if state.wants_room() {
            state.prewritten + state.segment()
        } else {
            state.prewritten
        };
        while state.may_prewrite && state.prewritten < target {
            let start = state.prewritten;
            let step = (target - start).min(ZEROS.len() as u64);
            match state.medium.write_at(&ZEROS[..step as usize], start) {
                Ok(()) => {
                    state.prewritten = start + step;
                    state.zeros_are_durable = false;
                }
                Err(_) => state.may_prewrite = false,
            }
            MutexGuard::bump(state);
        }
        if !state.zeros_are_durable && !state.is_syncing {
            self.sync(state);
        }
    }

    fn compact(&self, state: &mut MutexGuard<'_, State>, path: &Path, identity: &Identity) {
        // Appends wait meanwhile. It happens once for each doubling of the log.
        match state.compact(path, identity) {
            Ok(()) => {
                self.unsynced.store(0, Ordering::Relaxed);
                self.synced.notify_all();
            }
            // The old log is still in its place and whole, so the run goes on with it.
            Err(NotReplaced::Kept(_)) => {
                state.compact_at = state.position.saturating_mul(2);
            }
            // What is appended to one of the two may be missing from the one that is found.
            Err(NotReplaced::Unsure(error)) => self.fail(state, error),
        }
    }

    fn fail(&self, state: &mut MutexGuard<'_, State>, error: CheckpointError) {
        state.failed.get_or_insert(error);
        self.is_broken.store(true, Ordering::Relaxed);
        self.synced.notify_all();
        self.work.notify_one();
        self.after_sync(state);
    }

    /// The error that broke the log, for the first who asks.
    fn told(&self, state: &mut MutexGuard<'_, State>) -> CheckpointError {
        let broken = CheckpointError::Broken { path: None };
        state.failed.take().unwrap_or(broken)
    }
}

/// What had been written at some moment.
#[derive(Clone, Copy, Debug)]
struct Written {
    position: u64,
    compactions: u64,
}

impl State {
    fn written(&self) -> Written {
        Written {
            position: self.position,
            compactions: self.compactions,
        }
    }

    /// Whether all of it is on disk. A compaction puts everything on disk, and shorter than it was: positions from before
    /// mean nothing after it, and who waited for one would wait for ever.
    fn is_durable(&self, written: Written) -> bool {
        self.compactions != written.compactions || self.durable >= written.position
    }

    /// Writes the items of a settled entry.
    fn append(&mut self, entry: &Entry) -> Result<(), CheckpointError> {
        for range in entry.ranges() {
            let len = range.end - range.start;
            let item = range.start;
            if range.end > MAX_ITEMS || self.done.insert(range) != len {
                return Err(CheckpointError::Repeated { item });
            }
        }
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.clear();
        let mut contents = Vec::new();
        for (kind, ranges) in entry.plain() {
            for part in ranges.chunks(RANGES) {
                contents.clear();
                write_ranges(part, &mut contents);
                self.frame(kind, &contents, &mut buffer);
                if kind == Kind::Skipped {
                    for range in part {
                        self.skipped.insert(range.clone());
                    }
                }
            }
        }
        entry.with_results(|_, contents| self.frame(Kind::Results, contents, &mut buffer));
        let written = self.medium.write_at(&buffer, self.position);
        let end = self.position + buffer.len() as u64;
        // A large result must not keep its memory for the rest of the run.
        if buffer.capacity() <= 4 << 20 {
            self.buffer = buffer;
        }
        written.map_err(CheckpointError::io("write"))?;
        self.position = end;
        self.prewritten = self.prewritten.max(end);
        Ok(())
    }

    fn frame(&mut self, kind: Kind, contents: &[u8], buffer: &mut Vec<u8>) {
        let before = buffer.len();
        let place = (self.position + before as u64, self.durable);
        Frame::write(kind, self.sequence, place, contents, buffer);
        self.sequence += 1;
        if kind == Kind::Results {
            self.result_bytes += (buffer.len() - before) as u64;
        }
    }

    fn segment(&self) -> u64 {
        self.prewritten.clamp(FIRST_SEGMENT, LARGEST_SEGMENT)
    }

    /// Whether less than half a segment lies ahead.
    fn wants_room(&self) -> bool {
        self.may_prewrite && self.prewritten - self.position < self.segment() / 2
    }

    fn is_bloated(&self) -> bool {
        !self.is_syncing
            && self.position >= self.compact_at
            && compact::would_spare(self.position, self.result_bytes)
    }

    fn compact(&mut self, path: &Path, identity: &Identity) -> Result<(), NotReplaced> {
        let file = system::call(path, || File::open(path))
            .map_err(|error| NotReplaced::Kept(CheckpointError::io("compact")(error)))?;
        let image = Image {
            done: self.done.clone(),
            skipped: self.skipped.clone(),
            end: self.position,
            ..Image::default()
        };
        let (file, image) = compact::compact(path, &file, identity, &image)?;
        self.medium = system::medium(path, file);
        self.sequence = image.sequence;
        self.position = image.end;
        self.durable = image.end;
        self.prewritten = image.len;
        self.zeros_are_durable = true;
        self.result_bytes = image.result_bytes;
        self.compact_at = next_compaction(image.end);
        self.compactions += 1;
        Ok(())
    }
}

/// A log that is mostly holes is as long after a compaction as before; it is looked at again when it has doubled.
fn next_compaction(len: u64) -> u64 {
    len.saturating_mul(2).max(COMPACT_FROM)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::JobIdentity;
    use crate::log::open::open;

    /// A regression: whoever waited for a sync compared where the log had ended with how much of it was on disk. When the
    /// log's own thread made it shorter in between, that was never reached, and the wait went on for ever, syncing.
    #[test]
    fn what_a_compaction_has_put_on_disk_is_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run.log");
        let identity = JobIdentity::new("test").identity();
        let (writer, _lock) = open(&path, &identity, |_, _| Ok(())).unwrap();
        let mut entry = Entry::new();
        for item in (0..100).rev() {
            entry.done(item);
            writer.append(&mut entry).unwrap();
        }
        let mut state = writer.shared.state.lock();
        let wanted = state.written();
        while state.is_syncing {
            writer.shared.synced.wait(&mut state);
        }
        state.compact(&path, &identity).unwrap();
        assert!(state.position < wanted.position, "it is shorter");
        assert!(state.is_durable(wanted));
        let now = state.written();
        assert!(state.is_durable(now));
    }
}
