//! Ending, holding and continuing a run from outside.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
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
    held: Arc<Mutex<Held>>,
}

/// How long the run has been held. Written by whoever holds and continues it.
#[derive(Debug, Default)]
struct Held {
    since: Option<Instant>,
    before: Duration,
}

impl Held {
    fn begin(&mut self, now: Instant) {
        self.since.get_or_insert(now);
    }

    fn end(&mut self, now: Instant) {
        if let Some(since) = self.since.take() {
            self.before += now.saturating_duration_since(since);
        }
    }

    /// Reads a clock that stands still while the run is held, and is never ahead of `now`.
    fn read(&self, now: Instant) -> Instant {
        let now = self.since.unwrap_or(now);
        // The run began before it was held, and the clock with it.
        now.checked_sub(self.before).unwrap_or(now)
    }
}

impl RunControl {
    pub(super) fn new(launcher: Launcher) -> Self {
        Self {
            halt: watch::Sender::new(None),
            launcher,
            held: Arc::default(),
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
        // It continues what is held.
        self.held.lock().end(Instant::now());
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
        self.held.lock().begin(Instant::now());
        self.launcher.suspend()
    }

    /// Continues after [`suspend`](Self::suspend).
    pub fn resume(&self) {
        self.launcher.resume();
        self.held.lock().end(Instant::now());
    }

    /// Reads a clock that stands still while the run is held.
    pub(super) fn now(&self) -> Instant {
        self.held.lock().read(Instant::now())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_stands_still_while_the_run_is_held() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut held = Held::default();
        assert_eq!(held.read(at(1)), at(1));
        held.begin(at(2));
        held.begin(at(3));
        assert_eq!(held.read(at(4)), at(2));
        held.end(at(7));
        held.end(at(8));
        assert_eq!(held.read(at(9)), at(4));
        held.begin(at(10));
        held.end(at(11));
        assert_eq!(held.read(at(12)), at(6));
    }
}
