//! `cargo xtask test`: every test of the workspace, then one line with the sum.

use crate::process::Command;
use crate::tally::Tally;
use crate::workspace::Workspace;
use crate::{Failure, Result, examples, tools};

/// How much of the tests to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// Everything: all features, doctests, and the examples as programs.
    Full,
    /// Unit and integration tests with default features: what one runs between two edits.
    Quick,
}

/// Runs the tests, passing cargo's output on, and returns the sum of all result lines with the outcome.
pub fn run(workspace: &Workspace, extent: Extent) -> (Tally, Result<()>) {
    if let Err(failure) = tools::for_tests() {
        // Nothing ran; a closing line without a failure would read as a success.
        let nothing = Tally {
            failed: 1,
            ..Tally::default()
        };
        return (nothing, Err(failure));
    }
    let mut tally = Tally::default();
    let mut failures = Vec::new();
    let mut note = |outcome: Result<()>| failures.extend(outcome.err().map(|f| f.to_string()));
    // The examples come first: the last thing on the screen is the result lines of the tests.
    if extent == Extent::Full {
        note(examples::run(workspace));
    }
    for command in commands(workspace, extent) {
        let (part, outcome) = command.tally();
        tally.add(part);
        note(outcome);
    }
    if !failures.is_empty() {
        // An example that failed is in no result line.
        tally.failed = tally.failed.max(1);
    }
    let outcome = match failures.as_slice() {
        [] => Ok(()),
        failures => Err(Failure::new(failures.join("\n"))),
    };
    (tally, outcome)
}

fn commands(workspace: &Workspace, extent: Extent) -> Vec<Command> {
    let base = Command::cargo("test --workspace --no-fail-fast").dir(workspace.root());
    match extent {
        Extent::Quick => vec![base.words("--lib --bins --tests")],
        Extent::Full => vec![base.words("--all-features")],
    }
}
