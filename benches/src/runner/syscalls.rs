//! How many system calls does one trivial test cost, runner and test process together? Counts, by strace.
//!
//! `system-calls-per-test` is the difference between a run of 200 and a run of 100 tests, divided by 100: what one
//! more test costs, without cargo, listing and start-up. `system-calls-whole-run` is the run of 100, divided by
//! 100. Counts hardly depend on the load of the machine.

use std::fs;
use std::path::Path;

use xtask::process::Command as Program;
use xtask::workspace::Workspace;
use xtask::{Failure, Result, generated};

use super::Part;
use super::suites::suite;
use super::tool::{self, Tool};
use crate::measure::Reading;
use crate::rounds::Scale;

pub(super) const PART: Part = Part {
    workloads: || vec![WORKLOAD],
    contenders,
    sample,
};

const WORKLOAD: &str = "syscalls-trivial";

/// The test binary alone, once for one test: what is left when a runner costs nothing.
const BARE: &str = "bare-binary";

/// Every name is `t` and three digits, so either filter selects 100 of the 1,000 tests.
const FILTERS: [&str; 2] = ["t0", "t1"];

const TESTS: f64 = 100.0;

/// Those that start a process for each test; the others have no such cost to compare.
fn contenders() -> Vec<&'static str> {
    if !Program::new("strace").words("-V").succeeds() {
        eprintln!("strace is not installed; system calls are not counted");
        return Vec::new();
    }
    Tool::installed()
        .into_iter()
        .filter(|tool| !matches!(tool, Tool::AqeBatch | Tool::CargoTest))
        .map(Tool::name)
        .chain([BARE])
        .collect()
}

fn sample(_workload: &str, contender: &str, _scale: Scale) -> Result<Vec<Reading>> {
    let per_test = |count: f64| Reading::new("system-calls-per-test", "calls", count);
    if contender == BARE {
        return Ok(vec![per_test(bare()?)]);
    }
    let tool = Tool::named(contender)
        .ok_or_else(|| Failure::new(format!("there is no test runner `{contender}`")))?;
    let suite = suite("trivial")?;
    let count = |filters: &[&str]| count(&tool.command(&suite, 2, filters)?);
    let one_hundred = count(&FILTERS[..1])?;
    let two_hundred = count(&FILTERS)?;
    Ok(vec![
        per_test((two_hundred - one_hundred) / TESTS),
        Reading::new("system-calls-whole-run", "calls/test", one_hundred / TESTS),
    ])
}

fn bare() -> Result<f64> {
    let suites = generated::prepare(&Workspace::load()?)?;
    let binary = suites
        .iter()
        .find(|suite| suite.name == "trivial")
        .and_then(|suite| suite.binaries.first())
        .ok_or_else(|| Failure::new("the suite `trivial` has no test binary"))?;
    let mut command = std::process::Command::new(&binary.path);
    command
        .args(["t000", "--exact", "--nocapture"])
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null());
    count(&command)
}

/// Runs a command under strace with all that it starts, and returns the number of system calls.
fn count(command: &std::process::Command) -> Result<f64> {
    let table = std::env::temp_dir().join(format!("aqe-strace-{}", std::process::id()));
    let counted = tool::run(&mut traced(command, &table)).and_then(|()| {
        fs::read_to_string(&table).map_err(|error| Failure::io("read", &table, &error))
    });
    // Gone already when strace did not start; the other failure is the one to report.
    let _ = fs::remove_file(&table);
    total(&counted?)
}

/// The same command behind `strace -f -c`.
fn traced(command: &std::process::Command, table: &Path) -> std::process::Command {
    let mut traced = std::process::Command::new("strace");
    traced
        .args(["-f", "-c", "-o"])
        .arg(table)
        .arg(command.get_program())
        .args(command.get_args())
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => traced.env(name, value),
            None => traced.env_remove(name),
        };
    }
    if let Some(dir) = command.get_current_dir() {
        traced.current_dir(dir);
    }
    traced
}

/// The number of calls in the last line of strace's table: share, seconds, microseconds a call, calls, ….
fn total(table: &str) -> Result<f64> {
    table
        .lines()
        .rfind(|line| line.trim_end().ends_with(" total"))
        .and_then(|line| line.split_whitespace().nth(3)?.parse().ok())
        .ok_or_else(|| Failure::new(format!("strace printed no total but {table:?}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_total_of_the_table_is_found_with_and_without_errors() {
        let table = "% time     seconds  usecs/call     calls    errors syscall\n\
                     ------ ----------- ----------- --------- --------- ----------------\n\
                     60.00    0.000012           1        10         2 openat\n\
                     ------ ----------- ----------- --------- --------- ----------------\n\
                     100.00    0.000020           1        15         2 total\n";
        assert_eq!(total(table), Ok(15.0));
        assert_eq!(
            total("100.00    0.000020           1        15           total\n"),
            Ok(15.0)
        );
        assert!(total("nothing").is_err());
    }
}
