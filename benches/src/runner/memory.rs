//! How much memory does the runner itself take for 1,080 tests? Peak resident MiB of its process alone.
//!
//! [`peak_memory_of`] says why the kernel's own summary at the end of a process cannot be used. The mark is read
//! every two milliseconds while the runner lives; what it gains in its last two is missed.

use std::thread;
use std::time::Duration;

use xtask::{Failure, Result};

use super::Part;
use super::suites::suite;
use super::tool::{self, Tool};
use crate::measure::{Reading, peak_memory_of};
use crate::rounds::Scale;

pub(super) const PART: Part = Part {
    workloads: || vec![WORKLOAD],
    contenders,
    sample,
};

const WORKLOAD: &str = "memory-bytes-1080-tests";

const EVERY: Duration = Duration::from_millis(2);

/// Those that start a process for each test; `cargo test` keeps nothing of its tests.
fn contenders() -> Vec<&'static str> {
    Tool::installed()
        .into_iter()
        .filter(|tool| {
            cfg!(target_os = "linux") && !matches!(tool, Tool::AqeBatch | Tool::CargoTest)
        })
        .map(Tool::name)
        .collect()
}

fn sample(_workload: &str, contender: &str, _scale: Scale) -> Result<Vec<Reading>> {
    let tool = Tool::named(contender)
        .ok_or_else(|| Failure::new(format!("there is no test runner `{contender}`")))?;
    let mut command = tool.command(&suite("bytes")?, 2, &[])?;
    let mut child = tool::start(&mut command)?;
    let pid = child.id().to_string();
    let mut peak = None;
    let status = loop {
        // A process that has ended has no memory to speak of; the last mark stands.
        peak = peak_memory_of(&pid).or(peak);
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) => thread::sleep(EVERY),
            Err(error) => {
                return Err(Failure::new(format!(
                    "cannot wait for {command:?}: {error}"
                )));
            }
        }
    };
    match peak {
        Some(mib) if status.success() => Ok(vec![Reading::new("runner-peak-memory", "MiB", mib)]),
        Some(_) => Err(Failure::new(format!("{command:?} ended with {status}"))),
        None => Err(Failure::new(
            "the system does not tell how much memory a process had",
        )),
    }
}
