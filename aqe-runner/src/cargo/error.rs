//! Why the test binaries of a workspace could not be found.

use std::io;
use std::path::PathBuf;

use super::messages::MessageError;
use crate::model::Exit;

/// Why the test binaries of a workspace could not be found.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CargoError {
    /// Cargo itself could not be started.
    #[error("cannot run cargo ({program}); install it, or name it in the variable CARGO")]
    NotFound {
        /// What was tried.
        program: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The build failed. Cargo has told the user why; end with [`exit_code`](Self::exit_code).
    #[error("the build failed")]
    Build {
        /// How cargo ended.
        exit: Exit,
    },
    /// The build succeeded and `cargo metadata` did not.
    #[error("cargo metadata {}: {message}", exit.predicate())]
    Metadata {
        /// How cargo ended.
        exit: Exit,
        /// What it said, the first few KiB.
        message: String,
    },
    /// Cargo said something that is not understood.
    #[error("cargo's answer is not understood; is its version supported?")]
    Answer {
        /// What is wrong with it.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A configuration file of cargo cannot be used.
    #[error("cannot use cargo's configuration {place}: {message}")]
    Config {
        /// The file or argument.
        place: String,
        /// What is wrong with it.
        message: String,
    },
    /// The system refused something.
    #[error("cannot {action}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// What the system said.
        source: io::Error,
    },
}

impl CargoError {
    /// The exit code that cargo chose for a failed build, for a program that stands in for cargo; 101 otherwise, which
    /// is what cargo uses for failures of its own.
    #[must_use]
    pub fn exit_code(&self) -> i32 {
        match self {
            Self::Build {
                exit: Exit::Code(code),
            }
            | Self::Metadata {
                exit: Exit::Code(code),
                ..
            } if *code != 0 => *code,
            _ => 101,
        }
    }
}

impl From<MessageError> for CargoError {
    fn from(source: MessageError) -> Self {
        Self::Answer {
            source: Box::new(source),
        }
    }
}
