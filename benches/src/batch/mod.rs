//! Area `batch`: the same items through aqe and through what people write such runs with; and what a durable
//! checkpoint costs.
//!
//! aqe runs with progress, error accounting and the memory threshold on. Its peers have none of them.

mod adaptive;
mod checkpoint;
mod hash;
mod item;
mod state;

use std::time::Duration;

use xtask::{Failure, Result};

use crate::cli::Request;
use crate::measure::Reading;
use crate::rounds::{Pairing, Scale};

/// The name of this area.
pub const AREA: &str = "batch";

/// The longest sample takes a few seconds when all is well.
const LIMIT: Duration = Duration::from_secs(120);

/// A contender's name and how to take a sample of it.
struct Entry {
    name: &'static str,
    sample: fn(Scale) -> Result<Vec<Reading>>,
}

const fn entry(name: &'static str, sample: fn(Scale) -> Result<Vec<Reading>>) -> Entry {
    Entry { name, sample }
}

/// A workload and those who do it.
struct Workload {
    name: &'static str,
    entries: &'static [Entry],
}

const WORKLOADS: &[Workload] = &[
    Workload {
        name: "hash-1M-chunk-25-c2",
        entries: &hash::entries::<25, 2>(),
    },
    Workload {
        name: "hash-1M-chunk-25-c8",
        entries: &hash::entries::<25, 8>(),
    },
    Workload {
        name: "hash-1M-chunk-1000-c2",
        entries: &hash::entries::<1_000, 2>(),
    },
    Workload {
        name: "hash-1M-chunk-1000-c8",
        entries: &hash::entries::<1_000, 8>(),
    },
    Workload {
        name: "item-by-item-1M",
        entries: item::ENTRIES,
    },
    Workload {
        name: "durable-checkpoint",
        entries: checkpoint::ENTRIES,
    },
    Workload {
        name: "items-of-2us-100k",
        entries: state::ITEMS_OF_2_US,
    },
    Workload {
        name: "resume-1M",
        entries: state::RESUME,
    },
    Workload {
        name: "sizes-computes-4us",
        entries: adaptive::COMPUTES,
    },
    Workload {
        name: "sizes-waits-1ms",
        entries: adaptive::WAITS,
    },
    Workload {
        name: "sizes-mixed",
        entries: adaptive::MIXED,
    },
    Workload {
        name: "streamed-1M",
        entries: state::STREAMED_1M,
    },
    Workload {
        name: "streamed-10M",
        entries: state::STREAMED_10M,
    },
];

/// The pairings that were asked for, workload by workload.
#[must_use]
pub fn pairings(request: &Request) -> Vec<Pairing> {
    let mut pairings = Vec::new();
    for workload in WORKLOADS {
        for contender in workload.entries {
            if request.wants(workload.name, contender.name) {
                pairings.push(Pairing {
                    workload: workload.name.to_owned(),
                    contender: contender.name.to_owned(),
                    limit: LIMIT,
                });
            }
        }
    }
    pairings
}

/// Takes one sample in this process.
///
/// # Errors
///
/// When a name is unknown, or when the results of the items are not what they should be.
pub fn sample(workload: &str, contender: &str, scale: Scale) -> Result<Vec<Reading>> {
    let entry = WORKLOADS
        .iter()
        .find(|known| known.name == workload)
        .and_then(|known| known.entries.iter().find(|it| it.name == contender));
    let entry = entry.ok_or_else(|| {
        Failure::new(format!(
            "there is no batch workload `{workload}` with `{contender}`"
        ))
    })?;
    (entry.sample)(scale)
}

/// Any error of a run as a failed sample.
fn failed(error: impl std::fmt::Display) -> Failure {
    Failure::new(error.to_string())
}

/// A folder on the disk of the program, not in the system's folder for temporary files, which may be in memory.
fn folder() -> Result<tempfile::TempDir> {
    let program = std::env::current_exe().map_err(failed)?;
    let place = program
        .parent()
        .ok_or_else(|| Failure::new("this program is in no folder"))?;
    tempfile::tempdir_in(place).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_contender_does_every_workload_rightly() {
        for workload in WORKLOADS {
            for contender in workload.entries {
                let readings = (contender.sample)(Scale::Quick);
                let place = (workload.name, contender.name);
                assert!(readings.is_ok(), "{place:?}: {readings:?}");
            }
        }
    }
}
