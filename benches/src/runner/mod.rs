//! Area `runner`: the same suites through aqe and through the runners that people use, and what one test
//! process costs.
//!
//! Everything is built before a clock starts, but cargo is still asked by each runner as it comes: that is
//! part of what a person waits for.

mod aqe;
mod memory;
mod smallest;
mod spawn;
mod suites;
mod syscalls;
mod tool;

use std::time::Duration;

use xtask::workspace::Workspace;
use xtask::{Failure, Result, generated};

use crate::cli::Request;
use crate::measure::Reading;
use crate::report::Row;
use crate::rounds::{self, Pairing, Scale};

pub(crate) use aqe::verdicts as aqe_verdicts;
pub use smallest::program as smallest_program;
pub use spawn::path_of_true;
pub use tool::Tool;

/// The name of this area.
pub const AREA: &str = "runner";

/// The name of the part of this area that starts single processes, for those who do not want to wait for the suites.
pub const LAUNCHER: &str = "launcher";

/// The longest sample is under half a minute on two cores.
const LIMIT: Duration = Duration::from_secs(300);

/// A part of the area: pairings of its own, and how a sample of one is taken.
struct Part {
    workloads: fn() -> Vec<&'static str>,
    contenders: fn() -> Vec<&'static str>,
    sample: fn(workload: &str, contender: &str, scale: Scale) -> Result<Vec<Reading>>,
}

const PARTS: &[Part] = &[suites::PART, syscalls::PART, spawn::PART, memory::PART];

/// Prepares all that is measured, takes the samples and sums up.
///
/// # Errors
///
/// When a suite or aqe does not build, or when a sample of aqe fails.
pub fn compare(request: &Request) -> Result<Vec<Row>> {
    prepare()?;
    let rows = rounds::run(AREA, &pairings(PARTS, request), request.plan)?;
    Ok(suites::with_modes_and_means(rows))
}

/// Takes only the samples of single processes, which need nothing built.
///
/// # Errors
///
/// When a sample of aqe fails.
pub fn compare_launcher(request: &Request) -> Result<Vec<Row>> {
    rounds::run(AREA, &pairings(&[spawn::PART], request), request.plan)
}

/// Takes one sample in this process.
///
/// # Errors
///
/// When a name is unknown, or when what is measured does not do what it should.
pub fn sample(workload: &str, contender: &str, scale: Scale) -> Result<Vec<Reading>> {
    let part = PARTS
        .iter()
        .find(|part| {
            (part.workloads)().contains(&workload) && (part.contenders)().contains(&contender)
        })
        .ok_or_else(|| {
            Failure::new(format!(
                "there is no runner workload `{workload}` with `{contender}`"
            ))
        })?;
    (part.sample)(workload, contender, scale)
}

/// Builds the suites and aqe itself.
pub(crate) fn prepare() -> Result<()> {
    let workspace = Workspace::load()?;
    xtask::suites::prepare(&workspace, xtask::suites::Locks::Obey)?;
    generated::prepare(&workspace)?;
    aqe::build(&workspace)
}

fn pairings(parts: &[Part], request: &Request) -> Vec<Pairing> {
    let mut pairings = Vec::new();
    for part in parts {
        for workload in (part.workloads)() {
            for contender in (part.contenders)() {
                if request.wants(workload, contender) {
                    pairings.push(Pairing {
                        workload: workload.to_owned(),
                        contender: contender.to_owned(),
                        limit: LIMIT,
                    });
                }
            }
        }
    }
    pairings
}
