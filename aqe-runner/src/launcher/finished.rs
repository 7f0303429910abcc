//! What is known of a process when it is done.

use std::time::{Duration, Instant};

use super::output::Output;

/// A process that has ended, been reaped and had what was left of its group killed.
#[derive(Debug)]
#[non_exhaustive]
pub struct Finished {
    /// How the group's leader, the process that was started, ended.
    pub exit: Exit,
    /// What the process and its descendants wrote to standard output.
    pub stdout: Output,
    /// What the process and its descendants wrote to standard error.
    pub stderr: Output,
    /// When the process was created.
    pub started: Instant,
    /// From creation to the leader's end, less the time for which the launcher was suspended.
    pub wall: Duration,
    /// Whether the timeout passed, and the group was told to end for it.
    pub timed_out: bool,
    /// Whether a stop was asked for (by [`Running::stop`](super::Running::stop), by dropping the future, or by
    /// [`Launcher::stop_all`](super::Launcher::stop_all)) before the leader ended.
    pub stopped: bool,
    /// What outlived the leader, when anything was seen to.
    pub leaked: Option<Leak>,
    /// Processor time and memory of the leader and of the descendants that it waited for; zero where the platform does
    /// not say.
    pub usage: Usage,
    /// Whether standard output was closed by all its writers well (50 ms) before the leader ended, which means that
    /// verdicts printed later are missing from it.
    pub stdout_closed_early: bool,
    /// Whether the closure given to [`Launch::on_stdout`](super::Launch::on_stdout) panicked; it was not called again.
    pub tap_panicked: bool,
}

impl Finished {
    /// Returns whether the leader exited with code 0 and neither its timeout nor a stop request ended it.
    ///
    /// A leak does not change this: whether it is a failure is the caller's policy.
    #[must_use]
    pub fn success(&self) -> bool {
        self.exit == Exit::Code(0) && !self.timed_out && !self.stopped
    }
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Exit {
    /// It exited by itself with this code.
    Code(i32),
    /// A signal ended it.
    Signal {
        /// The number of the signal.
        number: i32,
        /// Whether the kernel says that it wrote a core file.
        core_dumped: bool,
    },
}

/// What was still there after the leader had ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Leak {
    /// Another process still held standard output or standard error open when the leak timeout was over.
    pub output_held: bool,
    /// How many processes that the test had started were still alive, in its group or outside, and were killed. Always 0
    /// unless [`LauncherConfig::subreaper`](super::LauncherConfig::subreaper) is on: what is left of the group is killed
    /// without it as well, but not seen.
    pub orphans: u32,
}

/// Resources that a process used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Usage {
    /// Processor time spent in the program.
    pub user: Duration,
    /// Processor time spent in the kernel for it.
    pub system: Duration,
    /// Peak resident memory, in bytes, of the largest process among the leader and the descendants it waited for.
    ///
    /// Never less than the resident memory of the launching process itself when it started this one: Linux charges a
    /// process with the image that its exec replaced, however it was created. Read a value at or below that as "small".
    pub max_rss_bytes: u64,
}
