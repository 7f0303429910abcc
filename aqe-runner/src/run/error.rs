//! Why a run could not begin.

use crate::launcher::{ProgramError, StartError};

/// Why a run could not begin, or could not be completed.
///
/// Failing tests are no error: [`RunReport`](super::RunReport) counts them.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// The launcher could not be started.
    #[error(transparent)]
    Launcher(#[from] StartError),
    /// A test binary cannot be started at all, because its path or a variable holds what no process can be given.
    #[error(transparent)]
    Program(#[from] ProgramError),
    /// The engine refused the configuration.
    #[error("cannot set up the queue")]
    Engine(#[from] aqe_core::Error),
    /// The thread that writes the journal and reports could not be started.
    #[error("cannot create the thread that records verdicts (see `ulimit -u`)")]
    Recorder(#[source] std::io::Error),
    /// The queue lost an operation, which is a defect of aqe.
    #[error("internal error: {0}; please report it")]
    Internal(String),
}
