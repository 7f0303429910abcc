//! The error of the whole crate.

use crate::config::{ConfigError, EditError};

/// Anything that can go wrong in aqe, with one variant per family.
///
/// Functions return the error of their own family; this one is for programs that pass everything on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A configuration could not be loaded.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A configuration file could not be edited.
    #[error(transparent)]
    Edit(#[from] EditError),
}
