//! Starts test processes, captures what they write, ends them in time and tells how they ended.
//!
//! A runner's own cost is what stands between it and the sum of its tests: here a process costs one clone and about
//! sixteen other system calls of this process, no thread, no signal handler, no second exec and no copy of this
//! process's memory.
//!
//! # What it promises
//!
//! - **Every process is reaped**, whatever the caller does with the future. When the leader (the process that was
//!   started) has ended, what is left of its process group is killed.
//! - **Output is drained** for as long as somebody writes, kept up to [`Capture`]'s bounds, and counted past them: no
//!   process ever blocks on a full pipe, and no amount of output is an error.
//! - **Timeouts and stops reach the whole group**: SIGTERM, then SIGKILL after the grace time.
//! - **`kill -9` of this process takes running leaders along** (not their children, and not with the backends
//!   [`PosixSpawn`](Backend::PosixSpawn) and [`Threads`](Backend::Threads)).
//! - **A limit of the system that is met** makes a launch wait for the end of another; only when none is left is it an
//!   error, which names the limit.
//!
//! # What it does not do
//!
//! The embedding program must neither ignore SIGCHLD nor reap children that it did not start (`waitpid(-1)`): the verdicts of
//! launches would go there.
//!
//! It does not search `PATH`, does not give processes a standard input, and sets no limit of its own on how much is
//! running or waiting unless [`LauncherConfig::max_running`] is set: a queue in front of it does that. A process that
//! leaves its group (`setsid`) and closes its output is out of reach, unless [`LauncherConfig::subreaper`] is on.
//!
//! # Examples
//!
//! ```
//! use std::time::Duration;
//! use aqe_runner::launcher::{Exit, Launch, Launcher, LauncherConfig, Program};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let launcher = Launcher::start(&LauncherConfig::default())?;
//! let shell = Program::builder("/bin/sh").arg("-c").env("GREETING", "hello").build()?;
//! let launch = Launch::new(&shell).arg("echo $GREETING; exit 3").timeout(Duration::from_secs(10));
//! // In async code: `launcher.launch(launch).await`.
//! let finished = launcher.launch(launch).wait()?;
//! assert_eq!(finished.exit, Exit::Code(3));
//! assert_eq!(finished.stdout.in_memory(), Some(&b"hello\n"[..]));
//! # Ok(())
//! # }
//! ```

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

mod config;
mod deadlines;
mod dispatch;
mod error;
#[cfg(target_os = "linux")]
mod event_loop;
mod finished;
mod launch;
#[cfg_attr(
    any(
        target_os = "linux",
        target_os = "android",
        target_os = "freebsd",
        target_os = "illumos",
        target_os = "solaris",
        target_vendor = "apple"
    ),
    path = "leader_unix.rs"
)]
#[cfg_attr(
    not(any(
        target_os = "linux",
        target_os = "android",
        target_os = "freebsd",
        target_os = "illumos",
        target_os = "solaris",
        target_vendor = "apple"
    )),
    path = "leader_other.rs"
)]
mod leader;
mod lifecycle;
#[cfg(target_os = "linux")]
mod orphans;
mod output;
mod program;
mod promise;
mod running;
#[cfg(target_os = "linux")]
mod spawn;
mod streams;
mod strings;
mod supervisor;
#[cfg(target_os = "linux")]
mod sys;
mod threads;
#[cfg(any(
    target_os = "linux",
    target_os = "android",
    target_os = "freebsd",
    target_os = "illumos",
    target_os = "solaris",
    target_vendor = "apple"
))]
mod unix;

pub use config::{Backend, LauncherConfig};
pub use error::{LaunchError, ProgramError, Resource, StartError};
pub use finished::{Exit, Finished, Leak, Usage};
pub use launch::{Capture, Launch, OutputMode, Tap};
pub use lifecycle::StopMode;
pub use output::{Output, OutputReader};
pub use program::{Environment, Program, ProgramBuilder};
pub use running::Running;

use dispatch::Dispatch;
use promise::{Promise, promise};
use supervisor::{Outcome, Pending};

/// Starts processes; a handle to the threads that watch them.
///
/// Clones share the threads, which end when the last clone is dropped and everything that was launched has finished.
#[derive(Clone, Debug)]
pub struct Launcher(Arc<Handle>);

#[derive(Debug)]
struct Handle {
    dispatch: Arc<Dispatch>,
    next_id: AtomicU64,
    #[cfg(target_os = "linux")]
    mark: Option<orphans::Mark>,
}

impl Launcher {
    /// Starts the launcher's threads.
    ///
    /// # Errors
    ///
    /// [`StartError`] when a thread or its event loop cannot be set up, or the platform lacks what `config` demands.
    pub fn start(config: &LauncherConfig) -> Result<Self, StartError> {
        let opened = config.open()?;
        Ok(Self(Arc::new(Handle {
            dispatch: opened.dispatch,
            next_id: AtomicU64::new(0),
            #[cfg(target_os = "linux")]
            mark: opened.mark,
        })))
    }

    /// Hands a launch to the launcher's threads, which start it at once unless
    /// [`max_running`](LauncherConfig::max_running) or a limit of the system is reached.
    ///
    /// Everything that can go wrong, a zero byte in an argument included, comes out of the future.
    pub fn launch(&self, mut launch: Launch) -> Running {
        // Relaxed: the number only has to be different each time.
        let id = self.0.next_id.fetch_add(1, Ordering::Relaxed);
        #[cfg(target_os = "linux")]
        if let Some(mark) = &self.0.mark {
            launch = launch.env(orphans::MARK, mark.of(id));
        }
        let (promise, promised): (Promise<Outcome>, _) = promise();
        match launch.refused.take() {
            Some(error) => promise.keep(Err(error.into())),
            None => self.0.dispatch.submit(Pending::new(id, launch, promise)),
        }
        Running::new(promised, Arc::clone(&self.0.dispatch), id)
    }

    /// Stops everything that was launched before this call; what is launched later is not affected.
    ///
    /// A first [`Graceful`](StopMode::Graceful) call and, when somebody insists, a second with
    /// [`Now`](StopMode::Now) make a good Ctrl-C.
    pub fn stop_all(&self, mode: StopMode) {
        self.0.dispatch.stop_all(mode);
    }

    /// Stops the clock: every group gets SIGSTOP, timeouts stand still, nothing is started.
    ///
    /// The future resolves when the signals have been sent, so that a program may then stop itself (Ctrl-Z). Without
    /// process groups (Windows) nothing is stopped but the starting of more.
    ///
    /// # Cancel safety
    ///
    /// The request is made by the call itself; dropping the future only means not to be told.
    pub fn suspend(&self) -> impl Future<Output = ()> + Send + Unpin + 'static {
        let (promise, promised) = promise();
        self.0.dispatch.suspend(promise);
        promised
    }

    /// Continues after [`suspend`](Self::suspend): SIGCONT to every group, timeouts moved by the time that has passed.
    pub fn resume(&self) {
        self.0.dispatch.resume();
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.dispatch.close();
    }
}
