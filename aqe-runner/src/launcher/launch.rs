//! One start of a program.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::error::ProgramError;
use super::program::Program;
use super::strings::Strings;

/// A closure that sees standard output as it arrives, on the launcher's own thread.
///
/// Every launch waits while it runs: parse, note, return. What it is given is cut where the reads happened to end.
pub type Tap = Box<dyn FnMut(&[u8]) + Send>;

/// A closure that is told when the process exists, on the launcher's own thread.
pub(super) type OnStart = Box<dyn FnOnce() + Send>;

/// One start of a [`Program`], to be given to [`Launcher::launch`](super::Launcher::launch).
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use aqe_runner::launcher::{Launch, Program};
///
/// let echo = Program::builder("/bin/echo").arg("hello").build()?;
/// let launch = Launch::new(&echo).arg("world").timeout(Duration::from_secs(5));
/// # let _ = launch;
/// # Ok::<(), aqe_runner::launcher::ProgramError>(())
/// ```
pub struct Launch {
    pub(super) program: Arc<Program>,
    pub(super) args: Strings,
    pub(super) env: Strings,
    pub(super) timeout: Option<Duration>,
    pub(super) grace: Duration,
    pub(super) leak_timeout: Duration,
    pub(super) output: OutputMode,
    pub(super) on_stdout: Option<Tap>,
    pub(super) on_start: Option<OnStart>,
    /// The first string that could not be taken; the launch fails with it.
    pub(super) refused: Option<ProgramError>,
}

impl Launch {
    /// Describes a start of `program` with its own arguments only, no timeout, 5 s of grace, 100 ms for leaks, and
    /// output captured as [`Capture::default`] says.
    #[must_use]
    pub fn new(program: &Arc<Program>) -> Self {
        Self {
            program: Arc::clone(program),
            args: Strings::default(),
            env: Strings::default(),
            timeout: None,
            grace: Duration::from_secs(5),
            leak_timeout: Duration::from_millis(100),
            output: OutputMode::Capture(Capture::default()),
            on_stdout: None,
            on_start: None,
            refused: None,
        }
    }

    /// Appends an argument after the program's own.
    #[must_use]
    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        let pushed = self.args.push(&[argument.as_ref()], "argument");
        self.note(pushed);
        self
    }

    /// Appends arguments after the program's own.
    #[must_use]
    pub fn args<A: AsRef<OsStr>>(self, arguments: impl IntoIterator<Item = A>) -> Self {
        arguments.into_iter().fold(self, Self::arg)
    }

    /// Sets a variable for this start only; meant for a few, since each is compared with every variable of the program.
    #[must_use]
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        let set = self.env.set(name.as_ref(), value.as_ref());
        self.note(set);
        self
    }

    /// Ends the whole group this long after its start: SIGTERM, then SIGKILL after the grace time.
    #[must_use]
    pub fn timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.timeout = timeout.into();
        self
    }

    /// Sets how long the group has between SIGTERM and SIGKILL; zero kills at once.
    #[must_use]
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// Sets how long output may stay open after the leader's end before that is a leak.
    #[must_use]
    pub fn leak_timeout(mut self, leak_timeout: Duration) -> Self {
        self.leak_timeout = leak_timeout;
        self
    }

    /// Sets where output goes.
    #[must_use]
    pub fn output(mut self, output: OutputMode) -> Self {
        self.output = output;
        self
    }

    /// Shows standard output to `tap` as it arrives; never called with [`OutputMode::Inherit`].
    ///
    /// A quiet process is looked at within 2 ms of what it writes, so that a line at a time does not cost a wake-up each.
    /// A panic in `tap` is caught, noted in [`Finished::tap_panicked`](super::Finished::tap_panicked), and ends the
    /// calls.
    #[must_use]
    pub fn on_stdout(mut self, tap: impl FnMut(&[u8]) + Send + 'static) -> Self {
        self.on_stdout = Some(Box::new(tap));
        self
    }

    /// Calls `tell` once, when the process has been created, which may be long after [`launch`](super::Launcher::launch).
    ///
    /// Every launch waits while it runs. A panic in it is caught and goes no further.
    #[must_use]
    pub fn on_start(mut self, tell: impl FnOnce() + Send + 'static) -> Self {
        self.on_start = Some(Box::new(tell));
        self
    }

    /// Returns the program.
    #[must_use]
    pub fn program(&self) -> &Arc<Program> {
        &self.program
    }

    fn note(&mut self, taken: Result<(), ProgramError>) {
        if let Err(error) = taken {
            self.refused.get_or_insert(error);
        }
    }
}

impl std::fmt::Debug for Launch {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Launch")
            .field("program", &self.program.path())
            .field("args", &self.args.iter().collect::<Vec<_>>())
            .field("timeout", &self.timeout)
            .field("grace", &self.grace)
            .field("leak_timeout", &self.leak_timeout)
            .field("output", &self.output)
            .field("on_stdout", &self.on_stdout.is_some())
            .finish_non_exhaustive()
    }
}

/// Where a process's standard output and standard error go. Standard input is always `/dev/null`.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum OutputMode {
    /// Into memory, and past a bound into a file.
    Capture(Capture),
    /// To the launching process's own streams; nothing is captured, and held output cannot be told as a leak.
    Inherit,
}

/// How much captured output is kept, and where; every bound is per stream.
#[derive(Clone, Debug)]
pub struct Capture {
    pub(super) memory_limit: usize,
    pub(super) spill_limit: u64,
    pub(super) spill_directory: SpillDirectory,
}

/// Where spill files go.
#[derive(Clone, Debug)]
pub(super) enum SpillDirectory {
    Nowhere,
    /// The system's temporary folder, looked up only when something spills.
    Temporary,
    At(Arc<Path>),
}

impl Default for Capture {
    /// Fits test suites: 256 KiB in memory, then up to 256 MiB in a file of the system's temporary folder.
    fn default() -> Self {
        Self {
            memory_limit: 256 * 1_024,
            spill_limit: 256 * 1_024 * 1_024,
            spill_directory: SpillDirectory::Temporary,
        }
    }
}

impl Capture {
    /// Sets how many bytes are kept in memory.
    #[must_use]
    pub fn memory_limit(mut self, bytes: usize) -> Self {
        self.memory_limit = bytes;
        self
    }

    /// Sets how many bytes a spill file may hold; what comes after is counted and dropped, save its last 16 KiB.
    #[must_use]
    pub fn spill_limit(mut self, bytes: u64) -> Self {
        self.spill_limit = bytes;
        self
    }

    /// Sets the folder for spill files, which must exist; `None` drops what does not fit in memory.
    #[must_use]
    pub fn spill_directory(mut self, directory: impl Into<Option<PathBuf>>) -> Self {
        self.spill_directory = directory
            .into()
            .map_or(SpillDirectory::Nowhere, |directory| {
                SpillDirectory::At(directory.into())
            });
        self
    }
}
