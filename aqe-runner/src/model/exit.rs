//! How a process ended.

use std::fmt;
use std::process::ExitStatus;

use serde::{Deserialize, Serialize};

/// How a process ended: by itself with a code, or killed by a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Exit {
    /// It returned this code; 0 is success. On Windows this is also where an abort shows.
    Code(i32),
    /// A signal ended it.
    Signal {
        /// The signal's number on this platform.
        signal: i32,
        /// Whether the system says it wrote a core file.
        core_dumped: bool,
    },
}

impl Exit {
    /// Whether the process ended by itself with code 0.
    #[must_use]
    pub fn is_success(self) -> bool {
        self == Self::Code(0)
    }

    /// What is to be said of the process: `ended with exit code 3`, `was killed by SIGABRT`.
    pub(crate) fn predicate(self) -> String {
        match self {
            Self::Code(_) => format!("ended with {self}"),
            Self::Signal { .. } => format!("was {self}"),
        }
    }
}

impl From<ExitStatus> for Exit {
    fn from(status: ExitStatus) -> Self {
        #[cfg(unix)]
        {
            use std::os::unix::process::ExitStatusExt;
            if let Some(signal) = status.signal() {
                return Self::Signal {
                    signal,
                    core_dumped: status.core_dumped(),
                };
            }
        }
        // A status that carries neither code nor signal is a stopped or continued child, which `wait` without
        // `WUNTRACED` never reports. Should one appear, it must not read as success.
        Self::Code(status.code().unwrap_or(-1))
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit code {code}"),
            Self::Signal {
                signal,
                core_dumped,
            } => {
                match signal_name(*signal) {
                    Some(name) => write!(f, "killed by {name}")?,
                    None => write!(f, "killed by signal {signal}")?,
                }
                f.write_str(if *core_dumped { " (core dumped)" } else { "" })
            }
        }
    }
}

/// The name of a signal that ends processes in practice; rarer ones are shown by number.
#[cfg(unix)]
pub(crate) fn signal_name(signal: i32) -> Option<&'static str> {
    Some(match signal {
        libc::SIGHUP => "SIGHUP",
        libc::SIGINT => "SIGINT",
        libc::SIGQUIT => "SIGQUIT",
        libc::SIGILL => "SIGILL",
        libc::SIGTRAP => "SIGTRAP",
        libc::SIGABRT => "SIGABRT",
        libc::SIGBUS => "SIGBUS",
        libc::SIGFPE => "SIGFPE",
        libc::SIGKILL => "SIGKILL",
        libc::SIGUSR1 => "SIGUSR1",
        libc::SIGSEGV => "SIGSEGV",
        libc::SIGUSR2 => "SIGUSR2",
        libc::SIGPIPE => "SIGPIPE",
        libc::SIGALRM => "SIGALRM",
        libc::SIGTERM => "SIGTERM",
        libc::SIGXCPU => "SIGXCPU",
        libc::SIGXFSZ => "SIGXFSZ",
        libc::SIGSYS => "SIGSYS",
        _ => return None,
    })
}

/// Platforms without signals never construct [`Exit::Signal`]; one read from another machine's journal has no name here.
#[cfg(not(unix))]
pub(crate) fn signal_name(_signal: i32) -> Option<&'static str> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_code_zero_is_success() {
        assert!(Exit::Code(0).is_success());
        assert!(!Exit::Code(101).is_success());
        assert!(
            !Exit::Signal {
                signal: 0,
                core_dumped: false
            }
            .is_success()
        );
    }

    #[cfg(unix)]
    #[test]
    fn wait_statuses_are_read_as_the_kernel_writes_them() {
        use std::os::unix::process::ExitStatusExt;
        let read = |raw| Exit::from(ExitStatus::from_raw(raw));
        assert_eq!(read(0), Exit::Code(0));
        assert_eq!(read(101 << 8), Exit::Code(101));
        assert_eq!(
            read(libc::SIGKILL),
            Exit::Signal {
                signal: libc::SIGKILL,
                core_dumped: false
            }
        );
        assert_eq!(
            read(libc::SIGSEGV | 0x80),
            Exit::Signal {
                signal: libc::SIGSEGV,
                core_dumped: true
            }
        );
        assert!(!read(0x7f).is_success(), "a stopped child is not a success");
    }

    #[cfg(unix)]
    #[test]
    fn a_signal_is_shown_by_name_and_an_unknown_one_by_number() {
        let shown = |signal, core_dumped| {
            Exit::Signal {
                signal,
                core_dumped,
            }
            .to_string()
        };
        assert_eq!(
            shown(libc::SIGSEGV, true),
            "killed by SIGSEGV (core dumped)"
        );
        assert_eq!(shown(63, false), "killed by signal 63");
    }
}
