//! Area `monitor`: what it costs to count, to record, to find a series by its labels, to measure all of a queue's
//! operation, to write all series, to keep them, and to look at the system once.
//!
//! The floor of counting is a cell that one thread owns and adds to without a locked instruction.

mod counters;
mod histograms;
mod labels;
mod operation;
mod scrape;
mod sizes;
mod system;

use std::sync::Barrier;
use std::time::Duration;

use xtask::{Failure, Result};

use crate::cli::Request;
use crate::measure::{Reading, Stretch};
use crate::rounds::{Pairing, Scale};

/// The name of this area.
pub const AREA: &str = "monitor";

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
        name: "counter-1-thread",
        entries: &counters::entries::<1>(),
    },
    Workload {
        name: "counter-2-threads",
        entries: &counters::entries::<2>(),
    },
    Workload {
        name: "gauge-set",
        entries: counters::GAUGES,
    },
    Workload {
        name: "histogram-1-thread",
        entries: &histograms::entries::<1>(),
    },
    Workload {
        name: "histogram-2-threads",
        entries: &histograms::entries::<2>(),
    },
    Workload {
        name: "labels-1-thread",
        entries: &labels::entries::<1>(),
    },
    Workload {
        name: "labels-2-threads",
        entries: &labels::entries::<2>(),
    },
    Workload {
        name: "queue-operation",
        entries: operation::ENTRIES,
    },
    Workload {
        name: "scrape-10k-series",
        entries: scrape::ENTRIES,
    },
    Workload {
        name: "counter-memory",
        entries: sizes::COUNTERS,
    },
    Workload {
        name: "histogram-memory",
        entries: sizes::HISTOGRAMS,
    },
    Workload {
        name: "system-sample",
        entries: system::ENTRIES,
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
/// When a name is unknown, or when something was counted that should not have been, or was not.
pub fn sample(workload: &str, contender: &str, scale: Scale) -> Result<Vec<Reading>> {
    let entry = WORKLOADS
        .iter()
        .find(|known| known.name == workload)
        .and_then(|known| known.entries.iter().find(|it| it.name == contender));
    let entry = entry.ok_or_else(|| {
        Failure::new(format!(
            "there is no monitor workload `{workload}` with `{contender}`"
        ))
    })?;
    (entry.sample)(scale)
}

/// [`Result`] by a name that the code which `measured` derives does not stumble over.
type Answer<T> = Result<T>;

/// Any error as a failed sample.
fn failed(error: impl std::fmt::Display) -> Failure {
    Failure::new(error.to_string())
}

/// A total that is not what it should be.
fn exactly(found: u64, expected: u64) -> Result<()> {
    if found == expected {
        return Ok(());
    }
    Err(Failure::new(format!(
        "{found} were counted, not {expected}"
    )))
}

/// Runs `work(calls)` in each of so many threads at the same time; nanoseconds for each call of a thread.
fn in_threads<const THREADS: usize>(calls: u64, work: impl Fn(u64) + Sync) -> Vec<Reading> {
    let ready = Barrier::new(THREADS + 1);
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|_| {
                scope.spawn(|| {
                    // Whatever a thread sets up at its first call is not what is asked for.
                    work(1);
                    ready.wait();
                    work(calls);
                })
            })
            .collect();
        ready.wait();
        let stretch = Stretch::start();
        for thread in threads {
            if let Err(panic) = thread.join() {
                std::panic::resume_unwind(panic);
            }
        }
        stretch.per_operation(calls)
    })
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
