//! The program's exit codes, one meaning each; `aqe --help` prints this table.

use std::process::ExitCode;

/// How the program ended, as its caller sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// What was asked for was done: every test that ran passed, every file was processed.
    Success,
    /// The run finished and at least one test failed.
    TestsFailed,
    /// At least one file could not be processed.
    FilesFailed,
    /// Less is covered than was asked for.
    TooLittleCovered,
    /// A store has lost entries.
    EntriesLost,
    /// A drill did not arrive everywhere.
    NotDelivered,
    /// The command line or the configuration is wrong; nothing was run.
    Usage,
    /// The project's tests do not build; cargo has said why.
    BuildFailed,
    /// No test matched.
    NoTests,
    /// No file matched.
    NoFiles,
    /// There is no store.
    NoStore,
    /// No run is going on, and none has left anything.
    NoRun,
    /// There is no rule or no silence of this name or number, or nobody to send to.
    NoAlert,
    /// Test binaries could not be listed, or something the run needs is missing or refused.
    Environment,
    /// A signal ended the run: Ctrl-C, a hang-up or a termination request.
    Interrupted {
        /// The signal's number.
        signal: i32,
    },
}

impl Exit {
    /// The number the shell sees; signals follow its own convention, 128 plus the signal's number.
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::TestsFailed
            | Self::FilesFailed
            | Self::TooLittleCovered
            | Self::EntriesLost
            | Self::NotDelivered => 1,
            Self::Usage => 2,
            Self::BuildFailed => 3,
            Self::NoTests | Self::NoFiles | Self::NoStore | Self::NoRun | Self::NoAlert => 4,
            Self::Environment => 5,
            Self::Interrupted { signal } => u8::try_from(128 + signal).unwrap_or(u8::MAX),
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// The table as `--help` shows it.
pub(crate) const HELP: &str = "\
Exit codes:
  0    done; every test that ran passed, every file was processed
  1    at least one test or file failed, less is covered than --fail-under asks for, a
       store has lost entries, or a drill of alerts did not arrive
  2    wrong command line or configuration; nothing was run
  3    the project's tests do not build (cargo says why)
  4    no test or no file matched, or there is no store, run, rule, silence or receiver
  5    test binaries could not be listed, or the machine refused something the run needs
  130  interrupted (Ctrl-C); 129 and 143 after a hang-up and a termination request";
