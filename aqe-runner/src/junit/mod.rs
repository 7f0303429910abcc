//! A JUnit XML report, the form that CI systems read.
//!
//! [`JunitReport`] is fed the records of a journal, live or read back, and written when the run is over: one `testsuite`
//! per test binary, one `testcase` per test. What a test came to is told as Maven's Surefire does it, which most readers
//! follow:
//!
//! * a test that passed after failures is a success with a `flakyFailure` for each earlier attempt;
//! * a test that failed is a `failure` for its first attempt and a `rerunFailure` for each later one; a timeout is a
//!   failure of type `timeout`, and a test that could not be run an `error`;
//! * ignored and cancelled tests are `skipped`.
//!
//! Output goes with attempts that did not pass, as text: terminal sequences and characters that XML cannot hold are
//! taken out. All output of a report together is bounded, see [`JunitReport::MAX_OUTPUT_BYTES`].

mod report;
mod text;

pub use report::{JunitError, JunitReport};
