//! What `--json` prints.

use aqe_core::batch::FileOutcome;
use aqe_core::batch::coverage::{Difference, OPERATION, Summary};
use aqe_core::batch::files::FileReport;
use serde::Serialize;

use super::coverage::{Outcome, why};
use super::drive::name;
use crate::exit::Exit;
use crate::failure::Failure;

/// One run of `analyze-coverage`.
#[derive(Debug, Serialize)]
pub(super) struct Document<'a> {
    operation: &'static str,
    /// Why the run ended before its last file.
    stopped: Option<String>,
    files: Vec<File>,
    baseline: Vec<File>,
    summary: Option<&'a Summary>,
    difference: Option<&'a Difference>,
}

#[derive(Debug, Serialize)]
struct File {
    path: String,
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

impl<'a> Document<'a> {
    pub(super) fn of(outcome: &'a Outcome) -> Self {
        let files = |files: &[FileReport]| files.iter().map(File::of).collect();
        Self {
            operation: OPERATION,
            stopped: outcome.stopped.as_ref().map(ToString::to_string),
            files: files(&outcome.reports),
            baseline: files(&outcome.baseline),
            summary: outcome.summary.as_ref(),
            difference: outcome.difference.as_ref(),
        }
    }

    pub(super) fn text(&self) -> Result<String, Failure> {
        let text = serde_json::to_string_pretty(self)
            .map_err(|error| Failure::of(Exit::Environment, &error))?;
        Ok(text + "\n")
    }
}

impl File {
    fn of(file: &FileReport) -> Self {
        Self {
            path: name(&file.path),
            outcome: match &file.outcome {
                FileOutcome::Done(_) => "done",
                FileOutcome::Cached(_) => "cached",
                FileOutcome::Failed(_) => "failed",
                _ => "not-run",
            },
            error: why(file),
        }
    }
}
