//! What a run came to.

use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

use crate::history::HistoryError;
use crate::journal::{RunCounts, RunId};
use crate::junit::JunitError;
use crate::list::ListError;

/// What a run came to.
#[derive(Debug)]
#[non_exhaustive]
pub struct RunReport {
    /// The run.
    pub run: RunId,
    /// How many tests came to what.
    pub counts: RunCounts,
    /// Tests that were to run; fewer have a result when the run was stopped.
    pub selected: u64,
    /// How long it took, from the first test's start on.
    pub duration: Duration,
    /// Why it ended before everything had run, if it did. After a signal it says so even if all tests had results by then.
    pub stopped: Option<StopReason>,
    /// Binaries whose tests could not be listed, and which were therefore not run.
    pub unlisted: Vec<ListError>,
    /// The journal, unless there is none.
    pub journal: Option<PathBuf>,
    /// Why the JUnit report that was asked for is not there.
    pub junit_error: Option<JunitError>,
    /// Why the history of tests has not got what this run came to. The next run adds it then, from the journal.
    pub history_error: Option<HistoryError>,
}

/// Why a run ended before everything had run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(tag = "reason", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum StopReason {
    /// A test failed, and the run was to end with the first failure. What was running was finished.
    FirstFailure,
    /// [`RunControl::stop`](super::RunControl::stop) was called. What was running was ended.
    Signal {
        /// The number of the signal that the caller gave as the reason.
        signal: i32,
    },
}
