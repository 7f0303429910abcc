//! The error of the whole crate.

use crate::config::{ConfigError, EditError};

/// Anything that can go wrong in setting aqe up, with one variant per family.
///
/// Functions return the error of their own family where there is only one; this one is for those that touch several,
/// and for programs that pass everything on. What happens to a single operation is not in it: those errors carry the
/// operation or its own error along, and are generic.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A configuration could not be loaded.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A configuration file could not be edited.
    #[error(transparent)]
    Edit(#[from] EditError),
    /// A batch processor could not be built.
    #[cfg(feature = "batch")]
    #[error(transparent)]
    Batch(#[from] aqe_batch::ConfigError),
    /// A memory store could not be built.
    #[cfg(feature = "memory")]
    #[error(transparent)]
    Memory(#[from] aqe_memory::ConfigError),
    /// A memory store in a folder could not be opened.
    #[cfg(feature = "memory")]
    #[error(transparent)]
    OpenMemory(#[from] aqe_memory::OpenError),
    /// A queue could not be built.
    #[cfg(feature = "queue")]
    #[error(transparent)]
    Queue(#[from] aqe_queue::ConfigError),
    /// A session could not be served or reached.
    #[cfg(feature = "session")]
    #[error(transparent)]
    Session(#[from] crate::session::SessionError),
    /// A state folder is not used.
    #[cfg(feature = "session")]
    #[error(transparent)]
    State(#[from] crate::state::StateError),
    /// A handler of a named operation could not be registered.
    #[cfg(feature = "queue")]
    #[error(transparent)]
    Register(#[from] aqe_queue::named::RegisterError),
}
