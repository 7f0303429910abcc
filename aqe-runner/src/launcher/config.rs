//! How a launcher is set up.

use std::num::NonZeroUsize;
use std::sync::Arc;

use super::dispatch::Dispatch;
use super::error::StartError;
use super::threads;

/// Settings of a [`Launcher`](super::Launcher).
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct LauncherConfig {
    /// How many processes may run at once; `None` (the default) starts every launch as it comes.
    ///
    /// A queue that allows one or two more launches at a time than this keeps the next ones waiting here, where they are
    /// started in the same turn of the loop in which their predecessor ends, without a way through the caller's runtime.
    /// They are started in the order of [`launch`](super::Launcher::launch), and timeouts count from the start.
    pub max_running: Option<NonZeroUsize>,
    /// Adopt the orphans of tests, so that daemons that left their group are found, killed and reaped (Linux only, off by
    /// default).
    ///
    /// It is a property of the whole process (`PR_SET_CHILD_SUBREAPER`) and stays on after the launcher.
    pub subreaper: bool,
    /// How many threads start and watch processes; `None` (the default) is one per processor, eight at most, and never more
    /// than [`max_running`](Self::max_running). The backend [`Threads`](Backend::Threads) always has one that supervises.
    ///
    /// Two instead of one start 1 ms tests up to 1.4 times as fast on two processors: processes that end at the same time
    /// need not wait for each other's successors to be started.
    pub threads: Option<NonZeroUsize>,
    /// How processes are created and watched.
    pub backend: Backend,
}

impl LauncherConfig {
    /// Sets [`max_running`](Self::max_running).
    #[must_use]
    pub fn max_running(mut self, max_running: impl Into<Option<NonZeroUsize>>) -> Self {
        self.max_running = max_running.into();
        self
    }

    /// Sets [`subreaper`](Self::subreaper).
    #[must_use]
    pub fn subreaper(mut self, subreaper: bool) -> Self {
        self.subreaper = subreaper;
        self
    }

    /// Sets [`threads`](Self::threads).
    #[must_use]
    pub fn threads(mut self, threads: impl Into<Option<NonZeroUsize>>) -> Self {
        self.threads = threads.into();
        self
    }

    /// Sets [`backend`](Self::backend).
    #[must_use]
    pub fn backend(mut self, backend: Backend) -> Self {
        self.backend = backend;
        self
    }

    pub(super) fn open(&self) -> Result<Opened, StartError> {
        #[cfg(target_os = "linux")]
        if self.backend != Backend::Threads {
            return self.open_linux();
        }
        self.open_threads()
    }

    fn open_threads(&self) -> Result<Opened, StartError> {
        let possible =
            cfg!(target_os = "linux") || matches!(self.backend, Backend::Auto | Backend::Threads);
        if self.subreaper || !possible {
            return Err(StartError::Unsupported {
                backend: self.backend,
                subreaper: self.subreaper,
            });
        }
        Ok(Opened {
            dispatch: threads::start(self.limit())?,
            #[cfg(target_os = "linux")]
            mark: None,
        })
    }

    #[cfg(target_os = "linux")]
    fn open_linux(&self) -> Result<Opened, StartError> {
        use super::event_loop;
        use super::orphans::{Mark, Orphans};
        use super::spawn::Method;

        let method = if self.backend == Backend::PosixSpawn {
            Method::PosixSpawn
        } else {
            Method::Clone
        };
        let mark = self.subreaper.then(Mark::new);
        let orphans = mark
            .clone()
            .map(Orphans::adopt)
            .transpose()
            .map_err(StartError::Subreaper)?;
        match event_loop::start(method, self.loops(), self.limit(), orphans.as_ref()) {
            Ok(dispatch) => Ok(Opened { dispatch, mark }),
            // A kernel before 5.3, a filter that forbids pidfds, or descriptors run out.
            Err(StartError::EventLoop(_)) if self.backend == Backend::Auto && !self.subreaper => {
                self.open_threads()
            }
            Err(error) => Err(error),
        }
    }

    #[cfg(target_os = "linux")]
    fn loops(&self) -> usize {
        /// One thread can start and reap some ten thousand processes a second, so that eight suffice for any machine.
        const MOST: usize = 8;

        let processors = || {
            std::thread::available_parallelism()
                .map_or(1, NonZeroUsize::get)
                .min(MOST)
        };
        self.threads
            .map_or_else(processors, NonZeroUsize::get)
            .min(self.limit())
    }

    fn limit(&self) -> usize {
        self.max_running.map_or(usize::MAX, NonZeroUsize::get)
    }
}

/// A backend that runs.
pub(super) struct Opened {
    pub(super) dispatch: Arc<Dispatch>,
    /// What every launch carries so that its orphans can be told.
    #[cfg(target_os = "linux")]
    pub(super) mark: Option<super::orphans::Mark>,
}

/// How processes are created and watched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Backend {
    /// The first of the others that the system allows.
    #[default]
    Auto,
    /// Linux 5.5 on x86-64 and AArch64: `clone3` and an event loop. Where `clone3` is refused, as
    /// [`PosixSpawn`](Self::PosixSpawn).
    Clone,
    /// Linux 5.3: `posix_spawn` and an event loop. A process survives `kill -9` of this one.
    PosixSpawn,
    /// Any platform: the standard library, and three threads for each process.
    ///
    /// A process survives `kill -9` of this one. Outside Unix there are no groups: stops and timeouts kill the leader
    /// alone, at once, and [`Usage`](super::Usage) is zero.
    Threads,
}
