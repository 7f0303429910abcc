//! Area `memory`: the same entries in aqe and in what people build with today.
//!
//! - `hot` and `insert`: small entries that are read and put; what people use caches for.
//! - `capacity` and `overhead`: memory for what is kept, and what it takes to have it back.
//! - `bound`: whether a bound of memory is one.
//! - `durable`: what outlives the process; `readers`: what others who read it cost the writer.
//! - `expiry`: many entries that end at one time.

pub mod bars;
mod bound;
mod caches;
mod capacity;
mod durable;
mod engines;
mod expiry;
mod hot;
mod insert;
mod keys;
mod overhead;
mod ram;
mod readers;
mod stores;

use std::time::Duration;

use xtask::Result;

use crate::cli::Request;
use crate::measure::Reading;
use crate::rounds::{Pairing, Scale};
use crate::workloads::{self, Workload};

/// The name of this area.
pub const AREA: &str = "memory";

/// The longest sample takes half a minute when all is well.
const LIMIT: Duration = Duration::from_secs(240);

const WORKLOADS: &[Workload] = &[
    Workload {
        name: "hit-1-thread",
        entries: &hot::hits::<1>(),
    },
    Workload {
        name: "hit-2-threads",
        entries: &hot::hits::<2>(),
    },
    Workload {
        name: "mix-90-10-1-thread",
        entries: &hot::mixes::<1>(),
    },
    Workload {
        name: "mix-90-10-2-threads",
        entries: &hot::mixes::<2>(),
    },
    Workload {
        name: "hit-allocations",
        entries: hot::ALLOCATIONS,
    },
    Workload {
        name: "insert-fresh",
        entries: insert::FRESH,
    },
    Workload {
        name: "insert-at-capacity",
        entries: insert::AT_CAPACITY,
    },
    Workload {
        name: "artefacts-json",
        entries: capacity::JSON,
    },
    Workload {
        name: "artefacts-json-sealed",
        entries: capacity::JSON_SEALED,
    },
    Workload {
        name: "artefacts-logs",
        entries: capacity::LOGS,
    },
    Workload {
        name: "overhead-uncompressed",
        entries: overhead::UNCOMPRESSED,
    },
    Workload {
        name: "overhead-compressed",
        entries: overhead::COMPRESSED,
    },
    Workload {
        name: "bound",
        entries: bound::ENTRIES,
    },
    Workload {
        name: "put-written",
        entries: durable::WRITTEN,
    },
    Workload {
        name: "put-synced-1-writer",
        entries: durable::SYNCED_BY_ONE,
    },
    Workload {
        name: "put-synced-8-writers",
        entries: durable::SYNCED_BY_EIGHT,
    },
    Workload {
        name: "folder-80MB",
        entries: durable::LIFE,
    },
    Workload {
        name: "folder-1GB",
        entries: durable::LIFE_OF_A_GIGABYTE,
    },
    Workload {
        name: "put-beside-a-reader",
        entries: readers::ENTRIES,
    },
    Workload {
        name: "expiry-busy",
        entries: expiry::BUSY,
    },
    Workload {
        name: "expiry-idle",
        entries: expiry::IDLE,
    },
];

/// The pairings that were asked for, workload by workload.
#[must_use]
pub fn pairings(request: &Request) -> Vec<Pairing> {
    workloads::pairings(WORKLOADS, LIMIT, request)
}

/// Takes one sample in this process.
///
/// # Errors
///
/// When a name is unknown, or when an entry is not what was put.
pub fn sample(workload: &str, contender: &str, scale: Scale) -> Result<Vec<Reading>> {
    if let Some(folder) = readers::folder_to_read(workload) {
        return readers::read(contender, folder);
    }
    workloads::sample(WORKLOADS, (AREA, workload, contender), scale)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_contender_does_every_workload() {
        // These wait for time to pass, write more than a test should, or start the program anew, which a test is not:
        // `compare memory --quick` has them.
        let others = [
            "bound",
            "expiry-busy",
            "expiry-idle",
            "folder-1GB",
            "put-beside-a-reader",
        ];
        let quick = |workload: &&Workload| !others.contains(&workload.name);
        for workload in WORKLOADS.iter().filter(quick) {
            workloads::tests::every_contender_does(workload);
        }
    }
}
