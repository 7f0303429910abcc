//! The project's own chores as a library: `cargo xtask` is a thin program over it, and the benches
//! take their test suites from it.
//!
//! Everything here runs on a fresh machine that has Rust and nothing else, so the only dependency is
//! a JSON parser for what cargo prints; all other work is done by cargo itself.
//!
//! - [`test_run`]: every test of the workspace, one closing tally.
//! - [`examples`]: the examples, checked against their headers.
//! - [`ci`]: the ordered list of all that CI checks.
//! - [`suites`] and [`generated`]: real and made-up test suites to run and to measure.
//! - [`fuzz`]: parsers under libFuzzer.
//! - [`house`]: which crate of ours may depend on which.
//! - [`hygiene`]: nothing of one machine in a file that everyone gets.
//! - [`package`]: the packaged crates, used from outside the workspace.

pub mod ci;
pub mod examples;
pub mod failure;
pub mod fuzz;
pub mod generated;
pub mod house;
pub mod hygiene;
pub mod package;
pub mod process;
pub mod suites;
pub mod tally;
pub mod test_run;
pub mod tools;
pub mod workspace;

pub use failure::{Failure, Result};
