//! What goes wrong between two programs.

use std::io;
use std::path::PathBuf;

use super::Refusal;
use crate::state::StateError;

/// Why a session is not served, or not reached.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SessionError {
    /// The state folder must not be used.
    #[error(transparent)]
    State(#[from] StateError),
    /// The system refuses something.
    #[error("cannot {action} {}", .path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file, folder or socket.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// This system has no Unix sockets.
    #[error("this system has no Unix sockets, and sessions need them")]
    Unsupported,
    /// As many sessions of this project are alive as can be.
    #[error("{count} sessions of this project are alive, which is the most")]
    TooMany {
        /// How many.
        count: usize,
    },
    /// So few files may be open at once that those of a session would be missing elsewhere.
    #[error(
        "only {limit} files may be open at once, too few to serve a session beside the work; raise `ulimit -n` to {needed}"
    )]
    FewDescriptors {
        /// How many may be open.
        limit: u64,
        /// How many it takes.
        needed: u64,
    },
    /// No folder for the socket has a name that is short enough for the system.
    #[error("the path of a socket in {} is too long for the system, and so it is in XDG_RUNTIME_DIR and the folder for temporary files", .path.display())]
    TooLong {
        /// The state folder.
        path: PathBuf,
    },
    /// The other end of the socket belongs to another user.
    #[error("the session at {} belongs to another user", .path.display())]
    Foreign {
        /// The socket.
        path: PathBuf,
    },
    /// The session answered, and said no.
    #[error("the session refuses: {}", .0.message)]
    Refused(Refusal),
    /// What came back is not what a session of this version says.
    #[error("the session's answer is not understood: {what}")]
    Garbled {
        /// What is wrong with it.
        what: String,
    },
    /// The session did not answer in time. A program that is stopped, as by Ctrl-Z, does not.
    #[error("the session of process {pid} does not answer; it may be stopped")]
    Silent {
        /// Whose session it is.
        pid: u32,
    },
    /// The program has ended in the middle of it.
    #[error("the session of process {pid} has ended without a word; it may have been killed")]
    Lost {
        /// Whose session it was.
        pid: u32,
    },
}
