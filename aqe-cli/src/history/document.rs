//! What `--json` prints.

use std::path::Path;

use aqe_runner::history::{Execution, Flake, KeptRun, TestHistory};
use aqe_runner::journal::RunId;
use aqe_runner::model::{TestId, UnixMillis};
use serde::Serialize;

use crate::exit::Exit;
use crate::failure::Failure;

/// Tests with all their executions, from which every figure beside them follows.
#[derive(Debug, Serialize)]
pub(super) struct Document<'a> {
    folder: String,
    runs: Vec<Run>,
    tests: Vec<Test<'a>>,
}

#[derive(Debug, Serialize)]
struct Run {
    run: RunId,
    started: UnixMillis,
    /// Tests that came to something.
    tests: u64,
    /// Whether it came to its end; not if it was killed.
    finished: bool,
}

#[derive(Debug, Serialize)]
struct Test<'a> {
    #[serde(flatten)]
    test: &'a TestId,
    runs: usize,
    passes: usize,
    failures: usize,
    flakes: usize,
    median_us: u64,
    /// The oldest first.
    executions: Vec<One<'a>>,
}

#[derive(Debug, Serialize)]
struct One<'a> {
    #[serde(flatten)]
    execution: &'a Execution,
    #[serde(skip_serializing_if = "Option::is_none")]
    flake: Option<Flake>,
}

pub(super) fn of<'a>(
    folder: &Path,
    runs: &[(RunId, KeptRun)],
    tests: &'a [TestHistory],
) -> Document<'a> {
    let runs = runs.iter().map(|(run, kept)| Run {
        run: *run,
        started: run.started(),
        tests: kept.tests,
        finished: kept.finished,
    });
    Document {
        folder: folder.to_string_lossy().into_owned(),
        runs: runs.collect(),
        tests: tests.iter().map(Test::of).collect(),
    }
}

impl Document<'_> {
    pub(super) fn text(&self) -> Result<String, Failure> {
        let text = serde_json::to_string_pretty(self)
            .map_err(|error| Failure::of(Exit::Environment, &error))?;
        Ok(text + "\n")
    }
}

impl<'a> Test<'a> {
    fn of(history: &'a TestHistory) -> Self {
        let executions = history.executions.iter().zip(history.flakes());
        Self {
            test: &history.test,
            runs: history.executions.len(),
            passes: history.passes(),
            failures: history.failures(),
            flakes: history.flaky(),
            median_us: u64::try_from(history.median().as_micros()).unwrap_or(u64::MAX),
            executions: executions
                .map(|(execution, flake)| One { execution, flake })
                .collect(),
        }
    }
}
