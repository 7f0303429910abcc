//! Our own side of the area: the program `aqe`.

use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;
use xtask::suites::Suite;
use xtask::workspace::Workspace;
use xtask::{Failure, Result};

use super::tool::Tool;
use crate::verdicts::{self, TestName, Verdict, Verdicts};

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
    let mut command = tool.command(suite, 2, &[])?;
    command.arg("--json");
    let verdicts = read(&verdicts::output(command, false)?, suite)?;
    if verdicts.is_empty() {
        return Err(Failure::new(format!(
            "aqe reported no test of {}",
            suite.name
        )));
    }
    Ok(verdicts)
}

fn read(text: &str, suite: &Suite) -> Result<Verdicts> {
    let mut verdicts = Verdicts::new();
    for line in text.lines() {
        let event: Value = serde_json::from_str(line)?;
        if event["event"] != "test-finished" {
            continue;
        }
        let unknown = || Failure::new(format!("aqe reports something unknown: {line}"));
        let verdict = match event["verdict"]["status"].as_str() {
            Some("passed" | "leaked" | "flaky") => Verdict::Passed,
            Some("failed" | "timed-out") => Verdict::Failed,
            Some("ignored") => Verdict::Ignored,
            _ => return Err(unknown()),
        };
        let target = event["binary"].as_str().and_then(|id| target_of(id, suite));
        let test = event["test"].as_str().map(str::to_owned);
        let (target, test) = target.zip(test).ok_or_else(unknown)?;
        if verdicts
            .insert(TestName { target, test }, verdict)
            .is_some()
        {
            return Err(Failure::new(format!("aqe reports a test twice: {line}")));
        }
    }
    Ok(verdicts)
}

/// `bytes` is the library of a package, `bytes::test_buf` an integration test, `bytes::bin/tool` any other target.
fn target_of(id: &str, suite: &Suite) -> Option<String> {
    let (kind, target) = match id.split_once("::") {
        None => {
            let library = suite
                .binaries
                .iter()
                .find(|binary| verdicts::kind_of(&binary.kind) == "lib")?;
            ("lib", library.target.as_str())
        }
        Some((_, rest)) => rest.split_once('/').unwrap_or(("test", rest)),
    };
    Some(format!("{kind} {target}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use xtask::suites::Binary;

    fn suite() -> Suite {
        let binary = |kind: &str, target: &str| Binary {
            path: PathBuf::from(target),
            kind: kind.to_owned(),
            target: target.to_owned(),
        };
        Suite {
            name: "s".to_owned(),
            dir: PathBuf::from("s"),
            binaries: vec![binary("rlib", "a_b"), binary("test", "it")],
        }
    }

    fn finished(binary: &str, test: &str, status: &str) -> String {
        format!(
            r#"{{"event":"test-finished","binary":"{binary}","test":"{test}","verdict":{{"status":"{status}"}},"duration_us":1}}"#
        )
    }

    #[test]
    fn events_are_read_target_by_target() {
        let text = [
            r#"{"event":"run-started","tests":3}"#.to_owned(),
            finished("a-b", "m::x", "flaky"),
            finished("a-b", "y", "ignored"),
            finished("a-b::it", "z", "timed-out"),
            finished("a-b::bin/tool", "z", "passed"),
        ];
        let read: Vec<_> = read(&text.join("\n"), &suite())
            .unwrap()
            .into_iter()
            .map(|(name, verdict)| (name.to_string(), verdict))
            .collect();
        let expected = [
            ("bin tool z", Verdict::Passed),
            ("lib a_b m::x", Verdict::Passed),
            ("lib a_b y", Verdict::Ignored),
            ("test it z", Verdict::Failed),
        ];
        assert_eq!(
            read,
            expected.map(|(name, verdict)| (name.to_owned(), verdict))
        );
    }

    #[test]
    fn a_second_verdict_or_an_unknown_one_is_noticed() {
        let twice = [
            finished("a-b", "x", "passed"),
            finished("a-b", "x", "passed"),
        ];
        assert!(read(&twice.join("\n"), &suite()).is_err());
        assert!(read(&finished("a-b", "x", "cancelled"), &suite()).is_err());
    }
}
