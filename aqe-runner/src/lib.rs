//! Finds a project's tests, runs them in parallel and says what they came to.
//!
//! This is the library under `aqe run`. It is not a test framework (tests are written for the harness that they have)
//! and not a build tool (cargo builds). Most applications use it through the `aqe` program.
//!
//! # From a workspace to a report
//!
//! ```no_run
//! use aqe_runner::cargo::{Selection, find_test_binaries};
//! use aqe_runner::run::{Event, Reporter, RunOptions, Runner};
//!
//! /// Prints what failed, and why.
//! struct Failures;
//!
//! impl Reporter for Failures {
//!     fn event(&mut self, event: &Event) {
//!         if let Event::TestFinished { test, verdict, .. } = event
//!             && verdict.is_failure()
//!         {
//!             println!("{test}: {verdict}");
//!         }
//!     }
//! }
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let workspace = find_test_binaries(&std::env::current_dir()?, &Selection::default())?;
//! let mut options = RunOptions::default();
//! options.settings.retries = 1;
//! let report = Runner::new(options)?.run(&workspace, Box::new(Failures)).await?;
//! println!("{} of {} passed", report.counts.passes(), report.selected);
//! # Ok(())
//! # }
//! ```
//!
//! # Words
//!
//! * A *test binary* is a program with a harness in it: the unit tests of a library, one integration test, and so on.
//!   Its *id* is stable over rebuilds: `package`, `package::target` or `package::kind/target`.
//! * A *test* is a name that the harness lists. One *attempt* is one run of it. Its *verdict* is what its attempts come
//!   to; a test that passed at a later attempt is *flaky*.
//! * With *process* isolation every attempt has a process of its own. With *batch* isolation a process runs many tests,
//!   and whatever did not certainly pass is run again alone before it has a verdict.
//!
//! # Modules
//!
//! | module | answers |
//! |---|---|
//! | [`run`] | a whole run: plan, execution through the queue, events, report |
//! | [`cargo`] | which test binaries a workspace has, and how cargo would start each |
//! | [`list`] | which tests a binary has, and whether that is known from before |
//! | [`libtest`] | what a harness' output says, and how far it can be believed |
//! | [`launcher`] | how a process is started, captured, ended in time and told of |
//! | [`model`] | attempts, verdicts, and the output that is kept of them |
//! | [`history`] | what became of each test, run after run |
//! | [`journal`] | verdicts on disk as they come, and old runs cleared away |
//! | [`junit`] | a JUnit report from the journal's records |
//!
//! Only [`launcher`] starts tests; [`cargo`] starts cargo and the compiler, the others do no more than read and write the
//! files that they are named after.
//!
//! # Limits
//!
//! Test names up to 32 KiB, a million tests per binary, 64 MiB per listing, 512 KiB per journal record, 16 MiB of output
//! per JUnit report. What is larger is refused with a message or cut and marked, never taken in part without a word.

mod cache_file;
pub mod cargo;
mod elf;
#[cfg(fuzzing)]
pub mod fuzzing;
pub mod history;
pub mod journal;
pub mod junit;
pub mod launcher;
pub mod libtest;
pub mod list;
pub mod model;
pub mod run;
