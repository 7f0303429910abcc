//! Errors of loading and of editing.

use std::io;
use std::path::PathBuf;

use super::Problems;

/// Why a configuration could not be loaded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// Something is wrong with the values; shows one problem per line.
    #[error(transparent)]
    Invalid(Problems),
    /// The file could not be found or read.
    #[error("cannot {action} {}", .path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What was tried, as a verb.
        action: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// A file was surely meant, and has a name that is not read.
    #[error("{} is not read; rename it to qe.config.yaml", .path.display())]
    Misnamed {
        /// The file.
        path: PathBuf,
    },
}

/// Why a file was not edited. The file is as it was, whatever the variant.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EditError {
    /// The key, the profile or the value that was asked for is wrong.
    #[error(transparent)]
    Rejected(Problems),
    /// The file has problems that the edit does not solve, or would have some with it.
    #[error("the file is not valid with this edit:\n{0}")]
    Invalid(Problems),
    /// The place is written in a form that cannot be edited without touching something else.
    #[error("{}:{line}: {reason}; {help}", .path.display())]
    Unsupported {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What stands there.
        reason: String,
        /// What to do.
        help: &'static str,
    },
    /// Somebody else changed the file since it was opened.
    #[error("{} has been changed by somebody else; open it again", .path.display())]
    ChangedMeanwhile {
        /// The file.
        path: PathBuf,
    },
    /// The file could not be read or written.
    #[error("cannot {action} {}", .path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What was tried, as a verb.
        action: &'static str,
        /// What the system said.
        source: io::Error,
    },
}
