//! A process that the standard library created, as the leader of its own group.

use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt as _;
use std::process::{ChildStderr, ChildStdout, Command};

use super::supervisor::{Ending, Signal};
use super::unix;

/// Killed and reaped when dropped.
#[derive(Debug)]
pub(super) struct Leader {
    pid: libc::pid_t,
    reaped: bool,
}

impl Leader {
    pub(super) fn spawn(
        mut command: Command,
    ) -> io::Result<(Self, Option<ChildStdout>, Option<ChildStderr>)> {
        let mut child = command.process_group(0).spawn()?;
        let pid = libc::pid_t::try_from(child.id()).map_err(io::Error::other)?;
        // The handle of the standard library is let go, so that nobody but `reap` ends the time in which the process id,
        // and with it the number of the group, belongs to this process.
        Ok((
            Self { pid, reaped: false },
            child.stdout.take(),
            child.stderr.take(),
        ))
    }

    pub(super) fn pid(&self) -> u32 {
        self.pid.unsigned_abs()
    }

    pub(super) fn waiter(&self) -> Waiter {
        Waiter(self.pid)
    }

    pub(super) fn signal(&self, signal: Signal) {
        let number = match signal {
            Signal::Terminate => libc::SIGTERM,
            Signal::Kill => libc::SIGKILL,
            Signal::Stop => libc::SIGSTOP,
            Signal::Continue => libc::SIGCONT,
        };
        let reached = unix::signal_group(self.pid, number);
        if !reached || signal == Signal::Kill {
            unix::signal_process(self.pid, number);
        }
    }

    pub(super) fn kill_leftovers(&self) {
        unix::signal_group(self.pid, libc::SIGKILL);
    }

    pub(super) fn reap(mut self) -> io::Result<Ending> {
        self.reaped = true;
        unix::reap(self.pid)
    }
}

impl Drop for Leader {
    fn drop(&mut self) {
        if !self.reaped {
            self.signal(Signal::Kill);
            let _ = unix::reap(self.pid);
        }
    }
}

/// Waits for the end of a leader, on a thread of its own.
#[derive(Debug)]
pub(super) struct Waiter(libc::pid_t);

impl Waiter {
    /// Returns when the leader has ended, and leaves it to be reaped.
    pub(super) fn wait(self) {
        unix::wait_for_end(self.0);
    }
}

/// A pipe whose reader can be told to give up.
pub(super) trait Pollable {
    /// Waits a while for something to read; says whether there is.
    fn poll(&self) -> bool;
}

impl<T: AsRawFd> Pollable for T {
    fn poll(&self) -> bool {
        unix::poll(self.as_raw_fd(), 250)
    }
}
