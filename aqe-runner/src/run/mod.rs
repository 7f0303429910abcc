//! Runs the tests of a workspace through the queue.
//!
//! [`Runner`] takes test binaries, lists their tests, makes a plan and executes it: every test is an operation of an
//! `aqe-core` queue and every attempt at it a process of the [`launcher`](crate::launcher), or, in batches, every
//! process an operation with many tests. What happens comes out as [`Event`]s, first into the journal, then to a
//! [`Reporter`].
//!
//! | file | holds |
//! |---|---|
//! | `runner` | the order of a run: list, plan, record, execute, report |
//! | `plan`, `history` | which tests run, the longest first |
//! | `chronicle` | the archive of the history around a run |
//! | `singly`, `attempt` | process isolation, and the judgement of one process |
//! | `batch`, `chunk` | batch isolation, and how a suite is cut into processes |
//! | `recorder` | the thread that writes the journal before anything is shown |
//!
//! **Invariant:** every test of the plan gets exactly one [`Event::TestFinished`], whatever happens to the run, unless its
//! future is dropped or it ends with a [`RunError`]; then there is no [`Event::RunFinished`] either.

mod attempt;
mod batch;
mod chronicle;
mod chunk;
mod control;
mod error;
mod event;
mod filter;
mod floor;
mod history;
mod listing;
mod options;
mod plan;
mod recorder;
mod report;
mod runner;
mod singly;

pub use control::RunControl;
pub use error::RunError;
pub use event::{Event, Reporter, RunAlone, RunStarted};
pub use filter::{IgnoredTests, NameMatch, TestFilter};
pub use options::{RunOptions, TestOutput};
pub use report::{RunReport, StopReason};
pub use runner::Runner;
