//! `aqe batch`: from files on a command line to an exit code.

mod bar;
mod coverage;
mod difference;
mod document;
mod drive;
mod settings;
mod table;

use std::path::PathBuf;

use aqe_core::batch::files::{FindError, find_files};

use crate::args::{BatchArgs, OperationArg};
use crate::config::working_folder;
use crate::exit::Exit;
use crate::failure::Failure;

/// Finds the files, applies the operation, and says how it went.
pub(crate) fn run(arguments: &BatchArgs) -> Result<Exit, Failure> {
    let folder = working_folder()?;
    let config = settings::load(arguments, &folder)?;
    let files = find(&arguments.files)?;
    match arguments.operation {
        OperationArg::AnalyzeCoverage => coverage::run(arguments, &config, &folder, files),
    }
}

/// The files that the patterns mean.
fn find(patterns: &[String]) -> Result<Vec<PathBuf>, Failure> {
    find_files(patterns).map_err(|error| {
        let exit = match &error {
            FindError::NoMatch { .. } => Exit::NoFiles,
            FindError::Unreadable { .. } => Exit::Environment,
            _ => Exit::Usage,
        };
        let failure = Failure::of(exit, &error);
        match &error {
            FindError::NoMatch { pattern } if PathBuf::from(pattern).is_dir() => {
                let pattern = pattern.trim_end_matches('/');
                failure.hint(format!(
                    "it is a folder; for the files in it write '{pattern}/**/*', or something narrower"
                ))
            }
            FindError::NoMatch { .. } => failure.hint(
                "patterns begin at the working folder, and ** stands for any number of folders",
            ),
            FindError::Malformed { .. } => failure
                .hint("a pattern has *, ?, [abc], and ** as a whole part of a path; quote it"),
            _ => failure,
        }
    })
}
