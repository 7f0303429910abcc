//! What can go wrong with files.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The system refused something that the store needs.
#[derive(Clone, Debug, thiserror::Error)]
#[error("cannot {action} {}", .path.display())]
pub struct DiskError {
    /// What was to be done.
    pub action: &'static str,
    /// The file or folder.
    pub path: PathBuf,
    /// What the system said.
    #[source]
    pub source: Arc<io::Error>,
}

impl DiskError {
    pub(crate) fn of(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self {
            action,
            path: path.to_owned(),
            source: Arc::new(source),
        }
    }
}

impl PartialEq for DiskError {
    fn eq(&self, other: &Self) -> bool {
        self.action == other.action
            && self.path == other.path
            && self.source.kind() == other.source.kind()
    }
}

impl Eq for DiskError {}

/// Why a store in a folder cannot be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// A setting cannot be.
    #[error(transparent)]
    Config(#[from] crate::ConfigError),
    /// Somebody writes to the store. Any number may [read](crate::Reader) it meanwhile.
    #[error("{} is being written to by {holder}; open it for reading, or end that first", .folder.display())]
    Locked {
        /// The folder.
        folder: PathBuf,
        /// Who writes, as it says itself: `process 4711`.
        holder: String,
    },
    /// The folder holds a store of a version that is not known here.
    #[error("{} has format {found}; this version reads formats up to {known}: use the one that wrote it, or a newer one", .folder.display())]
    NewerFormat {
        /// The folder.
        folder: PathBuf,
        /// The format that it has.
        found: u32,
        /// The newest that is known.
        known: u32,
    },
    /// The file that says what the folder is cannot be read. Nothing was changed.
    #[error("{} is damaged: {what}; put a copy of it back, or remove the folder to begin anew", .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: &'static str,
    },
    /// There is no store.
    #[error("there is no store in {}", .folder.display())]
    Missing {
        /// The folder.
        folder: PathBuf,
    },
    /// The system refused something.
    #[error(transparent)]
    Disk(#[from] DiskError),
}
