//! Areas that are lists: workloads, each with those who do it.

use std::time::Duration;

use xtask::{Failure, Result};

use crate::cli::Request;
use crate::measure::Reading;
use crate::rounds::{Pairing, Scale};

/// A contender's name and how to take a sample of it.
pub(crate) struct Entry {
    /// The name in tables.
    pub(crate) name: &'static str,
    /// Does the workload once.
    pub(crate) sample: fn(Scale) -> Result<Vec<Reading>>,
}

/// An entry of a list, in a word.
pub(crate) const fn entry(name: &'static str, sample: fn(Scale) -> Result<Vec<Reading>>) -> Entry {
    Entry { name, sample }
}

/// A workload and those who do it.
pub(crate) struct Workload {
    /// The name in tables.
    pub(crate) name: &'static str,
    /// Those who do it, in the order in which they are shown.
    pub(crate) entries: &'static [Entry],
}

/// The pairings that were asked for, workload by workload.
pub(crate) fn pairings(workloads: &[Workload], limit: Duration, request: &Request) -> Vec<Pairing> {
    let mut pairings = Vec::new();
    for workload in workloads {
        for contender in workload.entries {
            if request.wants(workload.name, contender.name) {
                pairings.push(Pairing {
                    workload: workload.name.to_owned(),
                    contender: contender.name.to_owned(),
                    limit,
                });
            }
        }
    }
    pairings
}

/// Takes one sample of an area in this process.
pub(crate) fn sample(
    workloads: &[Workload],
    (area, workload, contender): (&str, &str, &str),
    scale: Scale,
) -> Result<Vec<Reading>> {
    let entry = workloads
        .iter()
        .find(|known| known.name == workload)
        .and_then(|known| known.entries.iter().find(|it| it.name == contender));
    let entry = entry.ok_or_else(|| {
        Failure::new(format!(
            "there is no {area} workload `{workload}` with `{contender}`"
        ))
    })?;
    (entry.sample)(scale)
}

/// Any error of a run as a failed sample.
pub(crate) fn failed(error: impl std::fmt::Display) -> Failure {
    Failure::new(error.to_string())
}

/// A folder on the disk of the program, not in the system's folder for temporary files, which may be in memory.
pub(crate) fn folder() -> Result<tempfile::TempDir> {
    let program = std::env::current_exe().map_err(failed)?;
    let place = program
        .parent()
        .ok_or_else(|| Failure::new("this program is in no folder"))?;
    tempfile::tempdir_in(place).map_err(failed)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Takes a small sample of everybody.
    pub(crate) fn every_contender_does(workload: &Workload) {
        for contender in workload.entries {
            let readings = (contender.sample)(Scale::Quick);
            let place = (workload.name, contender.name);
            assert!(readings.is_ok(), "{place:?}: {readings:?}");
        }
    }
}
