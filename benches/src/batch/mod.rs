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

use xtask::Result;

use crate::cli::Request;
use crate::measure::Reading;
use crate::rounds::{Pairing, Scale};
use crate::workloads::{self, Entry, Workload, entry, failed, folder};

/// The name of this area.
pub const AREA: &str = "batch";

/// The longest sample takes a few seconds when all is well.
const LIMIT: Duration = Duration::from_secs(120);

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
    workloads::pairings(WORKLOADS, LIMIT, request)
}

/// Takes one sample in this process.
///
/// # Errors
///
/// When a name is unknown, or when the results of the items are not what they should be.
pub fn sample(workload: &str, contender: &str, scale: Scale) -> Result<Vec<Reading>> {
    workloads::sample(WORKLOADS, (AREA, workload, contender), scale)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_contender_does_every_workload_rightly() {
        for workload in WORKLOADS {
            workloads::tests::every_contender_does(workload);
        }
    }
}
