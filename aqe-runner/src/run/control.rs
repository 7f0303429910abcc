//! Ending, holding and continuing a run from outside.

use tokio::sync::watch;

use super::StopReason;
use crate::launcher::{Launch, Launcher, Running, StopMode};

/// Ends, holds and continues a run; clones act on the same run.
///
/// # Examples
///
/// A good Ctrl-C, where `signals` is whatever the program receives signals with:
///
/// ```no_run
/// # async fn example(control: aqe_runner::run::RunControl, mut signals: impl AsyncFnMut() -> i32) {
/// loop {
///     // The first one asks, the second one insists.
///     control.stop(signals().await);
/// }
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct RunControl {
    halt: watch::Sender<Option<StopReason>>,
    launcher: Launcher,
}

impl RunControl {
    pub(super) fn new(launcher: Launcher) -> Self {
        Self {
            halt: watch::Sender::new(None),
            launcher,
        }
    }

    /// Ends the run because of this signal: nothing more is started, and the process groups of running tests get SIGTERM,
    /// then SIGKILL after the grace period. Called again, it kills what is left at once.
    ///
    /// Tests without a result of their own have the verdict [`Cancelled`](crate::model::Verdict::Cancelled).
    pub fn stop(&self, signal: i32) {
        let mut insists = false;
        self.halt.send_modify(|halt| {
            insists = matches!(halt, Some(StopReason::Signal { .. }));
            if !insists {
                *halt = Some(StopReason::Signal { signal });
            }
        });
        self.launcher.stop_all(if insists {
            StopMode::Now
        } else {
            StopMode::Graceful
        });
    }

    /// Holds everything that runs (SIGSTOP) and every clock; nothing more is started until [`resume`](Self::resume).
    ///
    /// # Cancel safety
    ///
    /// The request is made by the call itself; dropping the future only means not to be told when it is done.
    pub fn suspend(&self) -> impl Future<Output = ()> + Send + Unpin + 'static {
        self.launcher.suspend()
    }

    /// Continues after [`suspend`](Self::suspend).
    pub fn resume(&self) {
        self.launcher.resume();
    }

    /// Hands a launch to the launcher, and takes it back at once if the run was stopped: `stop` ends what was launched before it and
    /// knows nothing of what comes after.
    pub(super) fn launch(&self, launch: Launch) -> Running {
        let running = self.launcher.launch(launch);
        // Looked at after the launch: a stop that is not seen here has yet to end everything, this included.
        if matches!(self.halted(), Some(StopReason::Signal { .. })) {
            running.stop(StopMode::Graceful);
        }
        running
    }

    /// Lets what runs be finished and starts nothing more.
    pub(super) fn start_nothing_more(&self) {
        self.halt.send_if_modified(|halt| {
            let is_first = halt.is_none();
            if is_first {
                *halt = Some(StopReason::FirstFailure);
            }
            is_first
        });
    }

    /// Why nothing more is to be started, if that is so.
    pub(super) fn halted(&self) -> Option<StopReason> {
        *self.halt.borrow()
    }

    /// Resolves when nothing more is to be started.
    pub(super) async fn until_halted(&self) {
        // The sender is ours, so that this cannot fail.
        let _ = self.halt.subscribe().wait_for(Option::is_some).await;
    }
}
