//! The test runners, and how each is told to run the same tests at the same width.

use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use xtask::suites::Suite;
use xtask::{Failure, Result};

use super::aqe;

/// A test runner in one of its modes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tool {
    /// `aqe run`: a process for each test.
    AqeProcess,
    /// `aqe run --isolation batch`.
    AqeBatch,
    /// `cargo nextest run` as it comes.
    Nextest,
    /// The same without its second exec for each test.
    NextestOneSpawn,
    /// `cargo test`, doctests aside: one process for each binary, threads inside, one binary after another.
    CargoTest,
}

/// All of them, with the names under which they are shown.
const TOOLS: &[(Tool, &str)] = &[
    (Tool::AqeProcess, crate::report::AQE),
    (Tool::AqeBatch, "aqe-batch"),
    (Tool::Nextest, "nextest"),
    (Tool::NextestOneSpawn, "nextest-1-spawn"),
    (Tool::CargoTest, "cargo-test"),
];

impl Tool {
    /// Those that are installed here; a missing one is named on standard error, once.
    #[must_use]
    pub fn installed() -> Vec<Self> {
        TOOLS
            .iter()
            .map(|&(tool, _)| tool)
            .filter(|tool| tool.is_installed())
            .collect()
    }

    /// The name under which it is shown.
    #[must_use]
    pub fn name(self) -> &'static str {
        TOOLS
            .iter()
            .find(|(tool, _)| *tool == self)
            .map_or("unknown", |(_, name)| name)
    }

    /// The tool of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        TOOLS
            .iter()
            .find(|(_, known)| *known == name)
            .map(|(tool, _)| *tool)
    }

    /// Whether it is a mode of aqe.
    #[must_use]
    pub fn is_ours(self) -> bool {
        matches!(self, Self::AqeProcess | Self::AqeBatch)
    }

    fn is_installed(self) -> bool {
        match self {
            Self::Nextest | Self::NextestOneSpawn => nextest_is_installed(),
            Self::AqeProcess | Self::AqeBatch | Self::CargoTest => true,
        }
    }

    /// The command that runs the tests of a suite whose names contain one of `filters` (all when there is
    /// none), `jobs` at a time. Its output goes nowhere.
    pub(crate) fn command(self, suite: &Suite, jobs: usize, filters: &[&str]) -> Result<Command> {
        let jobs = jobs.to_string();
        let mut command = match self {
            Self::AqeProcess => aqe::command("process", &jobs)?,
            Self::AqeBatch => aqe::command("batch", &jobs)?,
            Self::Nextest | Self::NextestOneSpawn => {
                // Not through cargo, which would only replace itself by this program.
                let mut command = Command::new("cargo-nextest");
                command.args(["nextest", "run", "--no-fail-fast", "-j", &jobs]);
                if self == Self::NextestOneSpawn {
                    command.env("NEXTEST_DOUBLE_SPAWN", "0");
                }
                command
            }
            Self::CargoTest => {
                let mut command = Command::new("cargo");
                // `--tests` is what a plain nextest run takes: every target whose tests are on.
                command.args([
                    "test",
                    "--tests",
                    "--no-fail-fast",
                    "--",
                    "--test-threads",
                    &jobs,
                ]);
                command
            }
        };
        command
            .args(filters)
            .current_dir(&suite.dir)
            .env("CARGO_TARGET_DIR", suite.dir.join("target"))
            .env_remove("RUSTFLAGS")
            .env_remove("CARGO_ENCODED_RUSTFLAGS")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        Ok(command)
    }
}

/// Starts a command, with a failure that names it.
pub(crate) fn start(command: &mut Command) -> Result<Child> {
    command
        .spawn()
        .map_err(|error| Failure::new(format!("cannot start {command:?}: {error}")))
}

/// Runs a command to its end, which must be a good one.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = start(command)?
        .wait()
        .map_err(|error| Failure::new(format!("cannot wait for {command:?}: {error}")))?;
    if status.success() {
        return Ok(());
    }
    Err(Failure::new(format!("{command:?} ended with {status}")))
}

fn nextest_is_installed() -> bool {
    static INSTALLED: OnceLock<bool> = OnceLock::new();
    *INSTALLED.get_or_init(|| {
        let installed = xtask::process::Command::new("cargo-nextest")
            .words("nextest --version")
            .succeeds();
        if !installed {
            eprintln!("cargo-nextest is not installed and left out (`cargo install cargo-nextest --locked`)");
        }
        installed
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_back_to_their_tools() {
        for &(tool, name) in TOOLS {
            assert_eq!((Tool::named(tool.name()), tool.name()), (Some(tool), name));
        }
    }
}
