//! Running the built program the same way everywhere.

use std::path::Path;
use std::process::{Command, Output, Stdio};

/// What the program did.
#[derive(Debug)]
pub(crate) struct Ran {
    /// Its exit code; signals count as they do in a shell.
    pub(crate) code: i32,
    /// Standard output.
    pub(crate) stdout: String,
    /// Standard error.
    pub(crate) stderr: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        #[cfg(unix)]
        let signal = std::os::unix::process::ExitStatusExt::signal(&output.status);
        #[cfg(not(unix))]
        let signal = None;
        Self {
            code: signal.map_or_else(|| output.status.code().unwrap_or(-1), |signal| 128 + signal),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

/// The program in a folder, without what this process' environment would add to it.
pub(crate) fn aqe(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_aqe"));
    command.current_dir(folder).stdin(Stdio::null());
    for (name, _) in std::env::vars_os() {
        let name_text = name.to_string_lossy();
        if name_text.starts_with("AQE_")
            || ["CI", "COLUMNS", "NO_COLOR", "CARGO_TERM_COLOR"].contains(&&*name_text)
        {
            command.env_remove(&name);
        }
    }
    #[cfg(unix)]
    heed_signals(&mut command);
    command
}

/// A background job of a shell ignores SIGINT, and one under nohup SIGHUP; the program respects that, and its tests
/// should not depend on how they were started.
#[cfg(unix)]
fn heed_signals(command: &mut Command) {
    use std::os::unix::process::CommandExt as _;

    let reset = || {
        for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGTSTP] {
            // SAFETY: the default action is no handler, and the call may be made between fork and exec.
            if unsafe { libc::signal(signal, libc::SIG_DFL) } == libc::SIG_ERR {
                return Err(std::io::Error::last_os_error());
            }
        }
        Ok(())
    };
    // SAFETY: the closure makes system calls only.
    unsafe { command.pre_exec(reset) };
}
