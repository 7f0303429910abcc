//! Shows a run to people and to programs.
//!
//! [`Plain`] prints a line per test, for pipes and CI; [`Live`] prints problems only, above a status block that it
//! redraws; [`Json`] prints events for programs. The first two say the same things in the same words: the scribe turns
//! events into text, and keeps what the summary at the end needs.

mod board;
pub(crate) mod columns;
mod json;
mod ledger;
mod live;
mod plain;
mod rerun;
mod screen;
mod scribe;
pub(crate) mod style;
mod summary;
pub(crate) mod text;

#[cfg(test)]
mod tests;

use std::path::PathBuf;

use aqe_runner::run::RunStarted;

pub(crate) use self::json::Json;
pub(crate) use self::live::{Live, LiveHandle, Results};
pub(crate) use self::plain::Plain;
pub(crate) use self::rerun::Rerun;
pub(crate) use self::screen::{Screen, Size};
use self::style::Colors;

/// How a run is shown.
#[derive(Debug, Clone)]
pub(crate) struct Look {
    /// Whether results have colours.
    pub(crate) colors: Colors,
    /// Whether tests without problems, ignored ones included, have lines in every view.
    pub(crate) verbose: bool,
    /// Attempts that a test has at most.
    pub(crate) max_attempts: u32,
    /// How to run one test again.
    pub(crate) rerun: Rerun,
}

/// What a run is about to do, as far as people are told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) tests: u64,
    pub(crate) binaries: u64,
    pub(crate) ignored: u64,
    pub(crate) filtered_out: u64,
    pub(crate) jobs: usize,
    pub(crate) isolation: String,
    pub(crate) journal: Option<PathBuf>,
}

impl From<&RunStarted> for Plan {
    fn from(started: &RunStarted) -> Self {
        Self {
            tests: started.tests,
            binaries: started.binaries,
            ignored: started.ignored,
            filtered_out: started.filtered_out,
            jobs: started.jobs,
            isolation: started.isolation.to_owned(),
            journal: started.journal.clone(),
        }
    }
}

/// What a view has to say: results, and messages about the run itself.
#[derive(Debug, Default)]
pub(crate) struct Said {
    pub(crate) results: String,
    pub(crate) messages: String,
}
