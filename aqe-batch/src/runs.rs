//! The runs of a processor: how many there are, and their common end.
//!
//! A program that ends wants to let its runs come to their end, and to stop those that take too long without losing what
//! they have recorded. Each run is here from its first look at the checkpoint until its last worker is gone. It is not here
//! for as long as its future lives: a future that nobody polls while its program shuts down must not hold that up, and
//! what was done has been handed to the log by the workers themselves.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::error::Stopped;
use crate::switch::Switch;

/// What came of the [shutdown](crate::BatchProcessor::shutdown) of a processor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ShutdownReport {
    /// Runs that were ended before their end.
    pub cut: usize,
    /// How long it took.
    pub elapsed: Duration,
}

/// All runs of a processor and its clones.
#[derive(Default)]
pub(crate) struct Runs {
    state: Mutex<State>,
    /// Notified when a run is over.
    over: Notify,
}

#[derive(Default)]
struct State {
    is_closed: bool,
    next: u64,
    runs: BTreeMap<u64, Run>,
}

struct Run {
    switch: Weak<Switch>,
    /// Whether it has workers; before that it opens its checkpoint, and may be a future that nobody polls.
    has_workers: bool,
}

/// Keeps a run among those that are not over. Every worker has one.
#[derive(Clone)]
pub(crate) struct Running {
    entry: Arc<Entry>,
}

struct Entry {
    runs: Arc<Runs>,
    id: u64,
}

impl Runs {
    /// Adds a run, unless there are to be no more.
    pub(crate) fn begin(self: &Arc<Self>, switch: &Arc<Switch>) -> Result<Running, Stopped> {
        let mut state = self.state.lock();
        if state.is_closed {
            return Err(Stopped::ShutDown);
        }
        let id = state.next;
        state.next += 1;
        let run = Run {
            switch: Arc::downgrade(switch),
            has_workers: false,
        };
        state.runs.insert(id, run);
        let runs = Arc::clone(self);
        Ok(Running {
            entry: Arc::new(Entry { runs, id }),
        })
    }

    /// How many runs have begun and are not over.
    pub(crate) fn len(&self) -> usize {
        self.state.lock().runs.len()
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.state.lock().is_closed
    }

    /// Takes no more runs, lets those that are there come to their end, and ends those that have not after `grace`.
    pub(crate) async fn shut_down(&self, grace: Duration) -> ShutdownReport {
        let began = Instant::now();
        self.state.lock().is_closed = true;
        if !grace.is_zero() && self.len() > 0 {
            let all_over = self.until(|state| state.runs.is_empty());
            // What matters is what is left, not why the waiting ended.
            drop(tokio::time::timeout(grace, all_over).await);
        }
        let cut = self.cut();
        self.until(|state| state.runs.values().all(|run| !run.has_workers))
            .await;
        ShutdownReport {
            cut,
            elapsed: began.elapsed(),
        }
    }

    /// Ends every run that is left.
    fn cut(&self) -> usize {
        let left: Vec<_> = {
            let state = self.state.lock();
            let switches = state.runs.values();
            switches.filter_map(|run| run.switch.upgrade()).collect()
        };
        // Without the lock: this wakes tasks.
        left.iter().for_each(|switch| switch.shut_down());
        left.len()
    }

    async fn until(&self, is_so: impl Fn(&State) -> bool) {
        loop {
            // Made before the look: it is woken by every run that ends from here on.
            let over = self.over.notified();
            if is_so(&self.state.lock()) {
                return;
            }
            over.await;
        }
    }
}

impl Running {
    /// The run has workers from now on.
    pub(crate) fn has_workers(&self) {
        let Entry { runs, id } = &*self.entry;
        if let Some(run) = runs.state.lock().runs.get_mut(id) {
            run.has_workers = true;
        }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.runs.state.lock().runs.remove(&self.id);
        self.runs.over.notify_waiters();
    }
}

impl fmt::Debug for Runs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state.lock();
        f.debug_struct("Runs")
            .field("running", &state.runs.len())
            .field("is_closed", &state.is_closed)
            .finish()
    }
}
