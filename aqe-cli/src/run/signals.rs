//! Signals during a run.
//!
//! The first Ctrl-C, hang-up or termination request ends the run in order, the second one kills what is left, and the
//! third one ends this program even if it waits for somebody to read what it writes. Ctrl-Z holds the tests, gives the
//! terminal back and stops this process; when it continues, so do they.

use crate::output;
use crate::report::LiveHandle;

#[cfg(unix)]
pub(super) use self::unix::{obey, receive};

#[cfg(not(unix))]
pub(super) use self::other::{obey, receive};

/// Says that the run ends: until the tests have ended, nothing else shows that the signal was heard.
///
/// On a thread of its own, since nobody may be reading; without a thread it is not said.
fn say(live: Option<LiveHandle>) {
    const MESSAGE: &str = "interrupted; ending what runs (once more to kill it)\n";
    let _ = std::thread::Builder::new().spawn(move || match live {
        Some(live) => live.say(MESSAGE),
        None => output::complain(MESSAGE),
    });
}

#[cfg(unix)]
mod unix {
    use std::sync::mpsc;
    use std::thread;
    use std::time::Duration;

    use aqe_runner::run::RunControl;

    use super::say;
    use crate::report::{LiveHandle, Size};
    use crate::signals::{self, Signals};

    /// Takes the signals over. Needs a tokio runtime.
    pub(in crate::run) fn receive() -> Signals {
        let [interrupt, terminate, hang_up] = signals::ENDING;
        signals::receive(&[interrupt, terminate, hang_up, libc::SIGTSTP, libc::SIGWINCH])
    }

    /// Passes signals on to the run for as long as the future is polled.
    pub(in crate::run) async fn obey(
        mut signals: Signals,
        control: RunControl,
        live: Option<LiveHandle>,
    ) {
        let mut heard = 0;
        loop {
            match signals::next(&mut signals).await {
                libc::SIGTSTP => pause(&control, live.as_ref()).await,
                libc::SIGWINCH => {
                    if let Some(live) = &live {
                        live.resize(Size::of_terminal());
                    }
                }
                number => {
                    heard += 1;
                    control.stop(number);
                    match heard {
                        1 => say(live.clone()),
                        2 => {}
                        _ => end(number, live.as_ref()),
                    }
                }
            }
        }
    }

    /// Holds everything until somebody continues this process.
    async fn pause(control: &RunControl, live: Option<&LiveHandle>) {
        control.suspend().await;
        if let Some(live) = live {
            live.suspend();
        }
        // SIGTSTP has a handler here, and a handler would swallow it; SIGSTOP stops all threads before this returns.
        // SAFETY: `raise` takes a number and touches no memory of ours.
        unsafe { libc::raise(libc::SIGSTOP) };
        control.resume();
        if let Some(live) = live {
            live.resume(Size::of_terminal());
        }
    }

    /// Ends this process as the signal would have without us. The tests have been killed, and verdicts are on disk.
    fn end(number: i32, live: Option<&LiveHandle>) {
        /// Long for a terminal that takes anything at all.
        const MOMENT: Duration = Duration::from_millis(500);

        if let Some(live) = live.cloned() {
            let (given_back, told) = mpsc::channel();
            // Without a thread the cursor stays hidden.
            let _ = thread::Builder::new().spawn(move || {
                live.suspend();
                given_back.send(())
            });
            let _ = told.recv_timeout(MOMENT);
        }
        signals::end(number);
    }
}

#[cfg(not(unix))]
mod other {
    use aqe_runner::run::RunControl;

    use super::say;
    use crate::report::LiveHandle;
    use crate::signals::{self, Signals};

    /// Nothing is taken over before somebody waits for it.
    pub(in crate::run) fn receive() -> Signals {
        signals::receive(&signals::ENDING)
    }

    /// Passes Ctrl-C on to the run for as long as the future is polled.
    pub(in crate::run) async fn obey(
        mut signals: Signals,
        control: RunControl,
        live: Option<LiveHandle>,
    ) {
        let mut heard = 0;
        loop {
            let number = signals::next(&mut signals).await;
            heard += 1;
            control.stop(number);
            match heard {
                1 => say(live.clone()),
                2 => {}
                _ => signals::end(number),
            }
        }
    }
}
