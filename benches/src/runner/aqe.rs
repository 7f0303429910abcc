//! Our own side of the area: the program `aqe`, and the launcher beneath it.

use std::path::PathBuf;
use std::process::Command;

use xtask::suites::Suite;
use xtask::workspace::Workspace;
use xtask::{Failure, Result};

use super::tool::Tool;
use crate::verdicts::Verdicts;

/// Whether this tree has a runner to measure.
pub(super) const IS_HERE: bool = false;

/// Builds the program as its users do.
pub(super) fn build(workspace: &Workspace) -> Result<()> {
    xtask::process::Command::cargo("build --quiet --release --package aqe-cli")
        .dir(workspace.root())
        .run()
}

/// `aqe run` with an isolation mode and a width.
pub(super) fn command(isolation: &str, jobs: &str) -> Result<Command> {
    let mut command = Command::new(program()?);
    command.args([
        "run",
        "--no-fail-fast",
        "--isolation",
        isolation,
        "--jobs",
        jobs,
    ]);
    Ok(command)
}

fn program() -> Result<PathBuf> {
    let name = format!("aqe{}", std::env::consts::EXE_SUFFIX);
    Ok(Workspace::load()?.target().join("release").join(name))
}

/// The verdicts of `aqe run` on a suite, from its event stream.
pub(crate) fn verdicts(tool: Tool, suite: &Suite) -> Result<Verdicts> {
    Err(Failure::new(format!(
        "there is no `aqe run` to ask for {} with {}",
        suite.name,
        tool.name()
    )))
}
