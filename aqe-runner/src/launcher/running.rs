//! The future of one launch.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use super::dispatch::Dispatch;
use super::lifecycle::StopMode;
use super::promise::{Promised, block_on};
use super::supervisor::Outcome;

/// A launch on its way: resolves when the process has ended, has been reaped, and nothing of its group is left.
///
/// # Cancel safety
///
/// Dropping it before that stops the process as [`StopMode::Graceful`] does; it is reaped all the same, in the background.
#[derive(Debug)]
#[must_use = "dropping it stops the process"]
pub struct Running {
    promised: Promised<Outcome>,
    dispatch: Option<Arc<Dispatch>>,
    id: u64,
}

impl Running {
    pub(super) fn new(promised: Promised<Outcome>, dispatch: Arc<Dispatch>, id: u64) -> Self {
        Self {
            promised,
            dispatch: Some(dispatch),
            id,
        }
    }

    /// Returns the process id, once the process exists.
    ///
    /// The number stays here after the process has been reaped, when the system may have given it to another one: good for
    /// showing, not for signalling.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.promised.pid()
    }

    /// Asks the process's whole group to end, or takes the launch back if it has no process yet.
    ///
    /// The result still comes, with [`Finished::stopped`](super::Finished::stopped) set, or
    /// [`LaunchError::Stopped`](super::LaunchError::Stopped).
    pub fn stop(&self, mode: StopMode) {
        if let Some(dispatch) = &self.dispatch {
            self.promised.request_stop();
            dispatch.stop(self.id, mode);
        }
    }

    /// Waits on the calling thread, without a runtime.
    ///
    /// # Errors
    ///
    /// As the future: when the program never ran.
    pub fn wait(self) -> Outcome {
        block_on(self)
    }
}

impl Future for Running {
    type Output = Outcome;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let result = Pin::new(&mut self.promised).poll(context);
        if result.is_ready() {
            // Nothing is left to stop.
            self.dispatch = None;
        }
        result
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.promised.is_settled() {
            self.stop(StopMode::Graceful);
        }
    }
}
