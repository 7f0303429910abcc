//! A process that the standard library created, on a platform without process groups that can be waited for.

use std::io;
use std::process::{Child, ChildStderr, ChildStdout, Command};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use parking_lot::Mutex;

use super::finished::{Exit, Usage};
use super::supervisor::{Ending, Signal};

/// Killed and reaped when dropped.
#[derive(Debug)]
pub(super) struct Leader {
    pid: u32,
    child: Arc<Mutex<Child>>,
}

impl Leader {
    pub(super) fn spawn(
        mut command: Command,
    ) -> io::Result<(Self, Option<ChildStdout>, Option<ChildStderr>)> {
        let mut child = command.spawn()?;
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        Ok((
            Self {
                pid: child.id(),
                child: Arc::new(Mutex::new(child)),
            },
            stdout,
            stderr,
        ))
    }

    pub(super) fn pid(&self) -> u32 {
        self.pid
    }

    pub(super) fn waiter(&self) -> Waiter {
        Waiter(Arc::clone(&self.child))
    }

    pub(super) fn signal(&self, signal: Signal) {
        if matches!(signal, Signal::Terminate | Signal::Kill) {
            // The only failure is that it has ended.
            let _ = self.child.lock().kill();
        }
    }

    pub(super) fn kill_leftovers(&self) {}

    pub(super) fn reap(self) -> io::Result<Ending> {
        let status = self.child.lock().wait()?;
        // Without a code something other than the process itself ended it.
        let exit = Exit::Code(status.code().unwrap_or(-1));
        Ok(Ending {
            exit,
            usage: Usage::default(),
        })
    }
}

impl Drop for Leader {
    fn drop(&mut self) {
        let mut child = self.child.lock();
        if !matches!(child.try_wait(), Ok(Some(_))) {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Waits for the end of a leader, on a thread of its own.
#[derive(Debug)]
pub(super) struct Waiter(Arc<Mutex<Child>>);

impl Waiter {
    /// Returns when the leader has ended.
    ///
    /// It looks every 5 ms: a wait that blocks would keep everybody else from killing the process.
    pub(super) fn wait(self) {
        while matches!(self.0.lock().try_wait(), Ok(None)) {
            thread::sleep(Duration::from_millis(5));
        }
    }
}

/// A pipe whose reader cannot be told to give up: it ends with the last writer.
pub(super) trait Pollable {
    /// Says that a read may be tried, which waits.
    fn poll(&self) -> bool {
        true
    }
}

impl<T> Pollable for T {}
