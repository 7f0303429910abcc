//! Area `queue`: the same operations through aqe and through what people build such queues from.
//!
//! Every contender is used in its queue form: operations are submitted by one or more producers, run whether
//! or not anyone waits, and each one's result is waited for. Pools hold boxed operations and answer through a
//! one-shot channel, which is how they are written in practice.

mod aqe;
mod contender;
mod operations;
mod peers;
mod workload;

use std::time::Duration;

use xtask::{Failure, Result};

use crate::cli::Request;
use crate::measure::Reading;
use crate::report::AQE;
use crate::rounds::{Pairing, Scale};

pub use aqe::AqeQueue;
pub use contender::{Contender, Failed, Level, Submitter};
pub use peers::{
    AsyncChannelPool, AsyncPriorityChannelPool, BufferUnordered, KanalPool, SemaphoreJoinSet,
    TowerBuffer,
};
pub use workload::{WORKLOADS, Workload};

/// The name of this area.
pub const AREA: &str = "queue";

/// The longest sample is under a second when all is well; peers have been seen to hang.
const LIMIT: Duration = Duration::from_secs(60);

/// A contender's name and how to take a sample of it.
struct Entry {
    name: &'static str,
    sample: fn(&Workload, Scale) -> Result<Vec<Reading>>,
}

/// Everyone who takes part; those with priorities are marked by their ranks in `five-priorities-200k`.
const CONTENDERS: &[Entry] = &[
    Entry {
        name: AQE,
        sample: workload::sample::<AqeQueue>,
    },
    Entry {
        name: "tokio-semaphore-joinset",
        sample: workload::sample::<SemaphoreJoinSet>,
    },
    Entry {
        name: "async-channel-pool",
        sample: workload::sample::<AsyncChannelPool>,
    },
    Entry {
        name: "kanal-pool",
        sample: workload::sample::<KanalPool>,
    },
    Entry {
        name: "futures-buffer-unordered",
        sample: workload::sample::<BufferUnordered>,
    },
    Entry {
        name: "async-priority-channel-pool",
        sample: workload::sample::<AsyncPriorityChannelPool>,
    },
    Entry {
        name: "tower-buffer-limit",
        sample: workload::sample::<TowerBuffer>,
    },
];

/// The pairings that were asked for, workload by workload.
#[must_use]
pub fn pairings(request: &Request) -> Vec<Pairing> {
    let mut pairings = Vec::new();
    for workload in WORKLOADS {
        for contender in CONTENDERS {
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
/// When a name is unknown, or when the results of the operations are not what they should be.
pub fn sample(workload: &str, contender: &str, scale: Scale) -> Result<Vec<Reading>> {
    let workload = WORKLOADS
        .iter()
        .find(|known| known.name == workload)
        .ok_or_else(|| Failure::new(format!("there is no queue workload `{workload}`")))?;
    let contender = CONTENDERS
        .iter()
        .find(|known| known.name == contender)
        .ok_or_else(|| Failure::new(format!("there is no queue contender `{contender}`")))?;
    (contender.sample)(workload, scale)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_contender_does_every_workload_rightly() {
        for workload in WORKLOADS {
            for contender in CONTENDERS {
                let small = workload.at(100);
                let readings = (contender.sample)(&small, Scale::Full);
                assert!(
                    readings.is_ok(),
                    "{} {}: {readings:?}",
                    workload.name,
                    contender.name
                );
            }
        }
    }

    #[test]
    fn only_priorities_let_the_top_level_finish_first() {
        let rank = |contender: &str| {
            let readings = sample("five-priorities-200k", contender, Scale::Quick).unwrap();
            let top = readings.iter().find(|reading| reading.metric == "rank-top");
            top.unwrap().value
        };
        assert!(rank(AQE) < 0.15);
        assert!(rank("async-priority-channel-pool") < 0.15);
        assert!(rank("kanal-pool") > 0.4);
    }
}
