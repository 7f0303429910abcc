//! What a libtest process says on its standard output, and how far it can be believed.
//!
//! Three readers of the same text, none of which does I/O:
//!
//! * [`OutputParser`] turns arbitrary chunks of bytes into [`Event`]s while the process runs;
//! * [`BatchJudge`] collects the events of one process that ran many tests and says, once it ended, which of them
//!   passed for certain and which must be run again alone;
//! * [`completion`] says whether a process that ran one test got as far as its own result.
//!
//! [`own_output`] takes the harness' own words away from around a test's, and [`panic_summary`] takes the one line that a person wants first out of a panic report.
//!
//! **Invariant:** a test is never called passed unless libtest itself must have said so. Tests write to the same
//! stream, also text that looks like a harness (a test that runs a test program does), so whatever could be forged,
//! garbled or cut short is answered with "run it alone", never with a guess.

mod batch;
mod completion;
mod frame;
mod line;
mod panic;
mod stream;

pub use batch::{AloneReason, BatchEnd, BatchJudge, BatchVerdict};
pub use completion::{Completion, completion};
pub use frame::{own_output, should_panic_remark};
pub use line::{Outcome, Summary};
pub use panic::{PanicSummary, panic_summary};
pub use stream::{Event, MAX_LINE_BYTES, OutputParser};
