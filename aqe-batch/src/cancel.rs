//! Ending runs from elsewhere.

use std::fmt;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use crate::switch::Switch;

/// Cancels the runs that have it. Clones cancel the same runs.
///
/// No item starts after [`cancel`](Self::cancel) has returned. On threads, items that run come to their end; as tasks,
/// they are dropped where they wait. What is done is in the report of the error and in the checkpoint.
#[derive(Clone, Default)]
pub struct CancelToken {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Default)]
struct Inner {
    is_cancelled: bool,
    runs: Vec<Weak<Switch>>,
}

impl CancelToken {
    /// A token that nobody has cancelled.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Cancels every run that has this token or gets it later.
    pub fn cancel(&self) {
        let runs = {
            let mut inner = self.inner.lock();
            inner.is_cancelled = true;
            std::mem::take(&mut inner.runs)
        };
        // Without the lock: this wakes tasks, and their wakers may do anything.
        for run in runs.iter().filter_map(Weak::upgrade) {
            run.cancel();
        }
    }

    /// Whether somebody has cancelled it.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.inner.lock().is_cancelled
    }

    pub(crate) fn attach(&self, run: &Arc<Switch>) {
        let mut inner = self.inner.lock();
        if inner.is_cancelled {
            drop(inner);
            run.cancel();
            return;
        }
        inner.runs.retain(|run| run.strong_count() > 0);
        inner.runs.push(Arc::downgrade(run));
    }
}

impl fmt::Debug for CancelToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CancelToken")
            .field("is_cancelled", &self.is_cancelled())
            .finish_non_exhaustive()
    }
}
