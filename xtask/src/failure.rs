//! The one error of the chores: a sentence for the person at the terminal.
//!
//! Nobody matches on it, so it is text: what went wrong, where, and what to do.

use std::fmt;
use std::io;
use std::path::Path;

/// What a chore returns.
pub type Result<T> = std::result::Result<T, Failure>;

/// Why a chore stopped, as one message for a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure(String);

impl Failure {
    /// Makes a failure from its message: lower-case, what and where and what to do.
    pub fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }

    /// Makes a failure from an I/O error on `path`; `action` completes "cannot …".
    pub fn io(action: &str, path: &Path, error: &io::Error) -> Self {
        Self(format!("cannot {action} {}: {error}", path.display()))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Failure {}

impl From<serde_json::Error> for Failure {
    fn from(error: serde_json::Error) -> Self {
        Self(format!("cannot read what cargo printed as JSON: {error}"))
    }
}
