//! What is to be run, and how.

use std::path::PathBuf;

use aqe_core::config::{MemorySettings, RunSettings};

use super::TestFilter;

/// Everything that a run is told beside the tests that there are.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct RunOptions {
    /// Which of the listed tests run.
    pub filter: TestFilter,
    /// Width, retries, limits and isolation, as section `run` of the configuration has them.
    pub settings: RunSettings,
    /// Where output of tests goes.
    pub output: TestOutput,
    /// The folder for journals, lists and history; `None` for `aqe` in cargo's target folder.
    ///
    /// When it cannot be written to, the run goes on without and says so.
    pub state: Option<PathBuf>,
    /// How long the history of tests is kept, and whether it is compressed, as section `memory` of the configuration has it.
    pub memory: MemorySettings,
    /// Whether processes that a test leaves outside its group (daemons) are found, killed and reported as a leak. Linux
    /// only, off by default: it makes this whole process adopt orphans (`PR_SET_CHILD_SUBREAPER`), which stays on after
    /// the run. Where it cannot be had the run goes on without.
    pub adopt_orphans: bool,
    /// The command line that the journal remembers, for people.
    pub arguments: Vec<String>,
    /// A JUnit report to write at the end.
    pub junit: Option<PathBuf>,
}

/// Where output of tests goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TestOutput {
    /// It is captured, bounded, and shown of tests that fail.
    #[default]
    Captured,
    /// Straight to this process's own streams. One test runs at a time, each in its own process.
    Inherited,
}
