//! What became of each test, run after run: an [`Archive`] in a folder of the project.
//!
//! The archive is an `aqe-core` memory store. A run adds what its tests came to in as many writes as it had binaries,
//! and nothing that is there is read or rewritten for it, so that the history costs a run next to nothing. Every so many
//! runs what has gathered is folded together: the newest [`Archive::MAX_EXECUTIONS`] of each test stay. Whatever is older
//! than the retention is over, by the store's own clock.
//!
//! | file | holds |
//! |---|---|
//! | `archive` | the store: opening, adding a run, folding, reading |
//! | `block` | what one write holds, and several of them together |
//! | `execution` | one execution, the history of a test, and what follows from it |
//! | `import` | runs that could not add themselves, from their journals |
//! | `plan` | what the order of the next run hangs on |
//! | `tally` | from a journal's records to executions |
//!
//! **Invariant:** figures are not kept anywhere. Whatever is told of a test follows from its executions.

mod archive;
mod block;
mod execution;
mod import;
mod plan;
mod tally;

pub use archive::{Archive, HistoryError, KeptRun};
pub(crate) use block::parted;
pub use execution::{Execution, Flake, Outcome, TestHistory};
pub(crate) use plan::{PastRow, PlanPart};
pub(crate) use tally::{Tally, fingerprint};
