//! Signals that this program takes over from the system.
//!
//! A signal that was ignored when the program started stays ignored: that is how `nohup` and shells without job
//! control ask for it.

#[cfg(unix)]
pub(crate) use self::unix::{ENDING, Signals, end, next, receive};

#[cfg(not(unix))]
pub(crate) use self::other::{ENDING, Signals, end, next, receive};

#[cfg(unix)]
mod unix {
    use std::mem::MaybeUninit;
    use std::task::Poll;

    use tokio::signal::unix::{Signal, SignalKind, signal};

    use crate::output;

    /// The signals that end a run.
    pub(crate) const ENDING: [i32; 3] = [libc::SIGINT, libc::SIGTERM, libc::SIGHUP];

    /// Signals that are received here from now on, by number.
    pub(crate) type Signals = Vec<(i32, Signal)>;

    /// Takes signals over. Needs a tokio runtime.
    pub(crate) fn receive(numbers: &[i32]) -> Signals {
        let mut watched = Signals::new();
        for &number in numbers {
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

    /// Waits for the next of the signals.
    pub(crate) async fn next(watched: &mut Signals) -> i32 {
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

    /// Ends this process as the signal would have without us.
    pub(crate) fn end(number: i32) {
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
    /// The number that Unix gives to Ctrl-C, which exit codes are made from.
    const INTERRUPT: i32 = 2;

    /// The signals that end a run.
    pub(crate) const ENDING: [i32; 1] = [INTERRUPT];

    /// What is received here from now on; the system keeps no list.
    pub(crate) struct Signals;

    /// Nothing is taken over before somebody waits for it.
    pub(crate) fn receive(_: &[i32]) -> Signals {
        Signals
    }

    /// Waits for the next Ctrl-C.
    pub(crate) async fn next(_: &mut Signals) -> i32 {
        if tokio::signal::ctrl_c().await.is_err() {
            // It cannot be received; the system ends the program as it always does.
            std::future::pending::<()>().await;
        }
        INTERRUPT
    }

    /// Ends this process with the exit code of Ctrl-C.
    pub(crate) fn end(number: i32) {
        std::process::exit(128 + number)
    }
}
