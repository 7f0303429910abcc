//! Why a launcher or a launch can fail.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use super::config::Backend;

/// Why [`Launcher::start`](super::Launcher::start) failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The launcher's thread could not be created.
    #[error("cannot create the launcher's thread (see `ulimit -u`)")]
    Thread(#[source] io::Error),
    /// The event loop, or `/dev/null`, could not be opened.
    #[error("cannot set up the launcher's event loop")]
    EventLoop(#[source] io::Error),
    /// The kernel refused to let this process adopt orphans.
    #[error("cannot adopt orphaned processes")]
    Subreaper(#[source] io::Error),
    /// The backend, or adopting orphans with it, does not exist on this platform.
    #[error(
        "the launcher backend {backend:?}{} does not exist on this platform; leave the choice to Backend::Auto",
        if *subreaper { " with subreaper" } else { "" }
    )]
    Unsupported {
        /// The backend asked for.
        backend: Backend,
        /// Whether [`LauncherConfig::subreaper`](super::LauncherConfig::subreaper) was asked for, which needs Linux and
        /// one of its own backends.
        subreaper: bool,
    },
}

/// Why a [`Program`](super::Program) could not be prepared.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProgramError {
    /// A string that the system takes as zero-terminated contains a zero byte.
    #[error("the {what} contains a zero byte, which no program can be given")]
    Nul {
        /// Which string: "program path", "argument", "environment entry", "working directory".
        what: &'static str,
    },
    /// No system has such a variable.
    #[error("environment variable name {name:?} is empty or contains `=`")]
    VariableName {
        /// The name.
        name: OsString,
    },
    /// A relative path could not be made absolute.
    #[error("cannot make {} absolute", path.display())]
    Relative {
        /// The path as given.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// Why a launch produced no [`Finished`](super::Finished): the program never ran.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LaunchError {
    /// The system refused to execute the program.
    #[error("cannot execute {}", path.display())]
    Exec {
        /// The program's path.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The working directory could not be entered.
    #[error("cannot start {} in working directory {}", path.display(), directory.display())]
    WorkingDirectory {
        /// The program's path.
        path: PathBuf,
        /// The directory.
        directory: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// An argument or environment entry of this launch contains a zero byte.
    #[error(transparent)]
    Program(#[from] ProgramError),
    /// A limit of the system is reached, and no process of this launcher is left whose end would help.
    #[error("cannot start {}: out of {resource}; {advice}", path.display())]
    Exhausted {
        /// The program's path.
        path: PathBuf,
        /// What ran out.
        resource: Resource,
        /// The limit's name, its present value and what to do.
        advice: String,
        /// The system's own words.
        #[source]
        source: io::Error,
    },
    /// Another call that prepares a process failed.
    #[error("cannot start {}: {call} failed", path.display())]
    System {
        /// The program's path.
        path: PathBuf,
        /// The system call.
        call: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The launch was stopped before its process was started.
    #[error("the launch was stopped before its process was started")]
    Stopped,
    /// The launcher's thread has ended, or the result was already taken.
    #[error("the launcher has ended")]
    Closed,
}

/// A resource of the system that can run out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Resource {
    /// Descriptors of this process.
    OpenFiles,
    /// Descriptors of the whole system.
    SystemFiles,
    /// Processes and threads of this user, or of the container.
    Processes,
    /// Memory.
    Memory,
}

impl std::fmt::Display for Resource {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::OpenFiles => "open files",
            Self::SystemFiles => "open files of the whole system",
            Self::Processes => "processes",
            Self::Memory => "memory",
        })
    }
}

/// Why a process was not created, as far as the supervisor must tell cases apart.
#[derive(Debug)]
pub(super) enum Refusal {
    /// A limit is reached: worth another try when a process of ours has ended.
    Starved(Resource, io::Error),
    /// The program's file is open for writing (`ETXTBSY`): usually a moment between another thread's fork and exec.
    Busy(io::Error),
    /// The system refused the program itself.
    Exec(io::Error),
    /// The system refused the working directory.
    WorkingDirectory(io::Error),
    /// Another call failed.
    System(&'static str, io::Error),
}

impl Refusal {
    /// Sorts the error of a call that prepares a process.
    pub(super) fn from_call(call: &'static str, error: io::Error) -> Self {
        match resource_of(&error) {
            Some(resource) => Self::Starved(resource, error),
            None => Self::System(call, error),
        }
    }

    /// Sorts the error of a call that does not say which of its steps failed.
    pub(super) fn from_spawn(error: io::Error, directory: Option<&Path>) -> Self {
        match directory {
            Some(directory) if !directory.is_dir() => Self::WorkingDirectory(error),
            _ => Self::from_exec(error),
        }
    }

    /// Sorts the error of executing the program.
    pub(super) fn from_exec(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::ExecutableFileBusy {
            return Self::Busy(error);
        }
        match resource_of(&error) {
            Some(resource) => Self::Starved(resource, error),
            None => Self::Exec(error),
        }
    }
}

#[cfg(unix)]
fn resource_of(error: &io::Error) -> Option<Resource> {
    match error.raw_os_error()? {
        libc::EMFILE => Some(Resource::OpenFiles),
        libc::ENFILE => Some(Resource::SystemFiles),
        libc::EAGAIN => Some(Resource::Processes),
        libc::ENOMEM => Some(Resource::Memory),
        _ => None,
    }
}

#[cfg(not(unix))]
fn resource_of(error: &io::Error) -> Option<Resource> {
    (error.kind() == io::ErrorKind::OutOfMemory).then_some(Resource::Memory)
}

impl Resource {
    /// Names the limit, its present value where it can be read, and what to do.
    pub(super) fn advice(self) -> String {
        match self {
            Self::OpenFiles => format!(
                "`ulimit -n` is {}: raise it or run fewer tests at once (three descriptors per running test)",
                limit_of_open_files()
            ),
            Self::SystemFiles => "raise `sysctl fs.file-max` or run fewer tests at once".to_owned(),
            Self::Processes => format!(
                "`ulimit -u` is {}, and a container may have a lower `pids.max`: raise them or run fewer tests at once",
                limit_of_processes()
            ),
            Self::Memory => {
                "run fewer tests at once or give the machine or container more memory".to_owned()
            }
        }
    }
}

#[cfg(unix)]
fn limit_of_open_files() -> String {
    soft_limit(libc::RLIMIT_NOFILE as _)
}

#[cfg(any(
    target_os = "linux",
    target_os = "android",
    target_vendor = "apple",
    target_os = "freebsd"
))]
fn limit_of_processes() -> String {
    soft_limit(libc::RLIMIT_NPROC as _)
}

#[cfg(not(any(
    target_os = "linux",
    target_os = "android",
    target_vendor = "apple",
    target_os = "freebsd"
)))]
fn limit_of_processes() -> String {
    "unknown".to_owned()
}

#[cfg(not(unix))]
fn limit_of_open_files() -> String {
    "unknown".to_owned()
}

#[cfg(unix)]
fn soft_limit(resource: u32) -> String {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: `limit` is writable and of the type that the call fills.
    if unsafe { libc::getrlimit(resource as _, &raw mut limit) } != 0 {
        return "unknown".to_owned();
    }
    if limit.rlim_cur == libc::RLIM_INFINITY {
        "unlimited".to_owned()
    } else {
        limit.rlim_cur.to_string()
    }
}
