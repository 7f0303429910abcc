//! Signals during a run.
//!
//! The first Ctrl-C, hang-up or termination request ends the run in order, the second one kills what is left, and the
//! third one ends this program even if it waits for somebody to read what it writes. Ctrl-Z holds the tests, gives the
//! terminal back and stops this process; when it continues, so do they.
//!
//! A signal that was ignored when the program started stays ignored: that is how `nohup` and shells without job
//! control ask for it.

use crate::output;
use crate::report::LiveHandle;

#[cfg(unix)]
pub(super) use self::unix::{Signals, obey, receive};

#[cfg(not(unix))]
pub(super) use self::other::{Signals, obey, receive};

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
    use std::mem::MaybeUninit;
    use std::sync::mpsc;
    use std::task::Poll;
    use std::thread;
    use std::time::Duration;

    use aqe_runner::run::RunControl;
    use tokio::signal::unix::{Signal, SignalKind, signal};

    use super::say;
    use crate::output;
    use crate::report::{LiveHandle, Size};

    /// The signals that end a run.
    const ENDING: [i32; 3] = [libc::SIGINT, libc::SIGTERM, libc::SIGHUP];

    /// Signals that are received here from now on, by number.
    pub(in crate::run) type Signals = Vec<(i32, Signal)>;

    /// Takes the signals over. Needs a tokio runtime.
    pub(in crate::run) fn receive() -> Signals {
        let mut watched = Signals::new();
        for number in ENDING.into_iter().chain([libc::SIGTSTP, libc::SIGWINCH]) {
            if number != libc::SIGWINCH && is_ignored(number) {
                continue;
            }
            match signal(SignalKind::from_raw(number)) {
                Ok(stream) => watched.push((number, stream)),
                Err(error) => {
                    output::complain(&format!(
                        "warning: cannot receive signal {number}: {error}\n"
                    ));
                }
            }
        }
        watched
    }

    /// Passes signals on to the run for as long as the future is polled.
    pub(in crate::run) async fn obey(
        mut signals: Signals,
        control: RunControl,
        live: Option<LiveHandle>,
    ) {
        let mut heard = 0;
        loop {
            match next(&mut signals).await {
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

    /// Waits for the next of the signals.
    async fn next(watched: &mut [(i32, Signal)]) -> i32 {
        std::future::poll_fn(|context| {
            for (number, stream) in &mut *watched {
                if let Poll::Ready(Some(())) = stream.poll_recv(context) {
                    return Poll::Ready(*number);
                }
            }
            Poll::Pending
        })
        .await
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
        // SAFETY: both calls take numbers and touch no memory of ours; no handler is left that could.
        unsafe {
            libc::signal(number, libc::SIG_DFL);
            libc::raise(number);
        }
    }

    fn is_ignored(number: i32) -> bool {
        let mut action = MaybeUninit::<libc::sigaction>::uninit();
        // SAFETY: with a null second argument the call changes nothing and writes the present action to the third, which
        // is large enough for it; it is only read when the call says that it succeeded.
        unsafe {
            libc::sigaction(number, std::ptr::null(), action.as_mut_ptr()) == 0
                && action.assume_init().sa_sigaction == libc::SIG_IGN
        }
    }
}

#[cfg(not(unix))]
mod other {
    use aqe_runner::run::RunControl;

    use super::say;
    use crate::report::LiveHandle;

    /// The number that Unix gives to Ctrl-C, which exit codes are made from.
    const INTERRUPT: i32 = 2;

    /// What is received here from now on; the system keeps no list.
    pub(in crate::run) struct Signals;

    /// Nothing is taken over before somebody waits for it.
    pub(in crate::run) fn receive() -> Signals {
        Signals
    }

    /// Passes Ctrl-C on to the run for as long as the future is polled.
    pub(in crate::run) async fn obey(_: Signals, control: RunControl, live: Option<LiveHandle>) {
        let mut heard = 0;
        while tokio::signal::ctrl_c().await.is_ok() {
            heard += 1;
            control.stop(INTERRUPT);
            match heard {
                1 => say(live.clone()),
                2 => {}
                _ => std::process::exit(128 + INTERRUPT),
            }
        }
    }
}
