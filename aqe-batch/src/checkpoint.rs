//! From items that end to a log from which they need not be done again.
//!
//! Each worker gathers what it has finished and appends it to the log when it has its share of the
//! [interval](crate::BatchConfig::checkpoint_interval). The shares of all workers make one interval, so the end of the
//! process never costs more finished items than that. Syncing is the log's business; workers only wait for it when it falls
//! behind by more than the [lag](Checkpoint::sync_lag).

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::codec::Codec;
use crate::error::Stopped;
use crate::log::done::DoneSet;
use crate::log::{CheckpointError, CheckpointLog, Entry, JobIdentity};
use crate::switch::Switch;

/// A worker appends earlier than at its share when it has so many bytes of results.
const MOST_BYTES: usize = 256 << 10;

/// Where the state of a run is kept, and for how long.
///
/// If the file exists, the run it belongs to is resumed: items that are done are not started again, and their results
/// come from the file. Items that failed are tried again. A run that had come to its end gives its report again and
/// starts nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    path: PathBuf,
    begin: Begin,
    end: End,
    sync_lag: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Begin {
    Resume,
    Anew,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Keep,
    Remove,
}

impl Checkpoint {
    /// Keeps the state in a log at `path`; beside it there is a file for its lock, and for moments one that takes its
    /// place.
    #[must_use]
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            begin: Begin::Resume,
            end: End::Keep,
            sync_lag: 64,
        }
    }

    /// Begins anew, whatever an earlier run has left.
    #[must_use]
    pub fn restart(mut self) -> Self {
        self.begin = Begin::Anew;
        self
    }

    /// Removes the log when every item is done and none has failed.
    #[must_use]
    pub fn remove_when_complete(mut self) -> Self {
        self.end = End::Remove;
        self
    }

    /// Sets how many [intervals](crate::BatchConfig::checkpoint_interval) of items may be in the hands of the system and
    /// not yet on disk, before workers wait for the disk. That is what the end of the machine (not of the process) may cost.
    /// 64 by default, which a disk that takes a few milliseconds for a sync does not make anybody wait for; 1 waits for
    /// every interval. At least 1.
    #[must_use]
    pub fn sync_lag(mut self, intervals: u64) -> Self {
        self.sync_lag = intervals.max(1);
        self
    }

    /// Where the log is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Opens the log; also gives the results that it keeps.
    pub(crate) fn open<T, K: Keep<T>>(
        self,
        job: &JobIdentity,
        keep: K,
        interval: usize,
        switch: &Arc<Switch>,
    ) -> Result<Reopened<T, K>, CheckpointError> {
        if self.begin == Begin::Anew {
            CheckpointLog::discard(&self.path)?;
        }
        let mut restored = Vec::new();
        let log = CheckpointLog::open(&self.path, job, |item, bytes| {
            restored.push((item, keep.restore(item, bytes)?));
            Ok(())
        })?;
        let waiting = Arc::clone(switch);
        log.on_sync(Box::new(move || waiting.progressed()));
        let lag = self.sync_lag.saturating_mul(interval as u64);
        log.hurry_at(lag / 2);
        let ledger = Ledger {
            log,
            keep,
            interval: interval as u64,
            lag,
            end: self.end,
            switch: Arc::clone(switch),
        };
        Ok((ledger, restored))
    }
}

/// An open log, and the results that it keeps.
type Reopened<T, K> = (Ledger<K>, Vec<(u64, T)>);

/// What is kept of a result.
pub(crate) trait Keep<T>: Send + Sync {
    fn keep(&self, entry: &mut Entry, item: u64, value: &T) -> Result<(), CheckpointError>;

    fn restore(&self, item: u64, bytes: &[u8]) -> Result<T, CheckpointError>;
}

/// Keeps results by a codec.
#[derive(Clone, Debug)]
pub(crate) struct ByCodec<C>(pub(crate) C);

impl<T, C: Codec<T> + Send + Sync> Keep<T> for ByCodec<C> {
    fn keep(&self, entry: &mut Entry, item: u64, value: &T) -> Result<(), CheckpointError> {
        let codec = |source| CheckpointError::Codec { item, source };
        entry.result(item, |out| self.0.encode(value, out).map_err(codec))
    }

    fn restore(&self, item: u64, bytes: &[u8]) -> Result<T, CheckpointError> {
        let codec = |source| CheckpointError::Codec { item, source };
        self.0.decode(bytes).map_err(codec)
    }
}

/// Keeps that an item is done, and nothing else.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NoResult;

impl Keep<()> for NoResult {
    fn keep(&self, entry: &mut Entry, item: u64, (): &()) -> Result<(), CheckpointError> {
        entry.done(item);
        Ok(())
    }

    fn restore(&self, _: u64, _: &[u8]) -> Result<(), CheckpointError> {
        Ok(())
    }
}

/// The open log of a run, which all of its workers share.
pub(crate) struct Ledger<K> {
    log: CheckpointLog,
    keep: K,
    interval: u64,
    lag: u64,
    end: End,
    switch: Arc<Switch>,
}

impl<K> Ledger<K> {
    /// What is done, and what of it was skipped.
    pub(crate) fn sets(&self) -> (DoneSet, DoneSet) {
        self.log.sets()
    }

    /// Whether the disk has fallen so far behind that nothing should start.
    pub(crate) fn lags(&self) -> bool {
        self.log.unsynced() > self.lag && !self.log.is_broken()
    }

    /// Syncs and closes the log.
    pub(crate) fn close(self, is_complete: bool) -> Result<(), CheckpointError> {
        let synced = self.log.sync();
        let synced = match self.log.take_error() {
            Some(error) => Err(error),
            None => synced,
        };
        if synced.is_ok() && is_complete && self.end == End::Remove {
            return self.log.remove();
        }
        synced
    }
}

impl<K> fmt::Debug for Ledger<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ledger")
            .field("log", &self.log)
            .finish_non_exhaustive()
    }
}

/// What one worker has finished and not yet appended. Dropping it appends the rest.
pub(crate) struct Keeper<K> {
    ledger: Option<Arc<Ledger<K>>>,
    entry: Entry,
    /// Items after which it appends.
    share: u64,
}

impl<K> Keeper<K> {
    /// A keeper for one of `workers`; without a ledger it does nothing.
    pub(crate) fn new(ledger: Option<&Arc<Ledger<K>>>, workers: usize) -> Self {
        let share = ledger.map_or(1, |ledger| ledger.interval / workers as u64);
        Self {
            ledger: ledger.cloned(),
            entry: Entry::new(),
            share: share.max(1),
        }
    }

    /// Notes that an item is done. What cannot be kept stops the run.
    #[inline]
    pub(crate) fn done<T>(&mut self, item: u64, value: &T)
    where
        K: Keep<T>,
    {
        if self.ledger.is_some() {
            self.note(item, value);
        }
    }

    fn note<T>(&mut self, item: u64, value: &T)
    where
        K: Keep<T>,
    {
        let Some(ledger) = &self.ledger else {
            return;
        };
        if let Err(error) = ledger.keep.keep(&mut self.entry, item, value) {
            ledger.switch.stop(Stopped::Checkpoint(error));
        }
        self.flush_if_due();
    }

    /// Notes that an item was skipped.
    pub(crate) fn skipped(&mut self, item: u64) {
        if self.ledger.is_some() {
            self.entry.skipped(item);
            self.flush_if_due();
        }
    }

    fn flush_if_due(&mut self) {
        if self.entry.items() >= self.share || self.entry.bytes() >= MOST_BYTES {
            self.flush();
        }
    }

    /// Appends what there is.
    pub(crate) fn flush(&mut self) {
        let Some(ledger) = &self.ledger else {
            return;
        };
        match ledger.log.append(&mut self.entry) {
            Ok(()) => {}
            // Somebody else has been told what broke it, and is about to say so.
            Err(CheckpointError::Broken { .. }) => ledger.switch.stop_without_reason(),
            Err(error) => ledger.switch.stop(Stopped::Checkpoint(error)),
        }
    }

    /// Whether nothing should start before the disk has caught up.
    pub(crate) fn lags(&self) -> bool {
        self.ledger.as_ref().is_some_and(|ledger| ledger.lags())
    }
}

/// A run that is dropped in the middle has finished what it has finished.
impl<K> Drop for Keeper<K> {
    fn drop(&mut self) {
        self.flush();
    }
}
