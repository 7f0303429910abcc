//! Where there are no Unix sockets, nothing is served.

use super::{SessionError, Status};
use crate::state::StateFolder;

/// Clients of a session at once.
pub const MAX_CLIENTS: usize = 256;

/// Serves the status of this process in a state folder. This system has no Unix sockets, so there is none.
#[derive(Debug)]
pub enum SessionServer {}

impl SessionServer {
    /// Says that there are no sessions here.
    ///
    /// # Errors
    ///
    /// [`SessionError::Unsupported`].
    pub fn start(
        _: &StateFolder,
        _: impl FnMut() -> Status + Send + 'static,
    ) -> Result<Self, SessionError> {
        Err(SessionError::Unsupported)
    }
}
