//! Area `queue`: the same operations through aqe and through what people build such queues from.
//!
//! Peers with a queue are used as queues: operations are submitted by one or more producers, run whether or not anyone
//! waits, and each one's result is waited for. Pools hold boxed operations and answer through a one-shot channel,
//! which is how they are written in practice. Beside them stand forms without a queue, whose names begin with `bare`
//! or a number: streams polled by their only caller, and floors, which are the same work with nothing around it.
//!
//! [`bars`] holds the ratios that aqe sets itself.

mod aqe;
pub mod bars;
mod contender;
mod floors;
mod operations;
mod own_cost;
mod patterns;
mod peers;
mod ranks;
mod sample;
mod workload;

use std::time::Duration;

use xtask::{Failure, Result};

use crate::cli::Request;
use crate::measure::Reading;
use crate::report::AQE;
use crate::rounds::{Pairing, Scale};

pub use aqe::{AqeOrdered, AqeQueue, AqeUnordered};
pub use contender::{Contender, Failed, Level, Plain, StreamForm, Submitter};
pub use peers::{
    AsyncChannelPool, AsyncPriorityChannelPool, AsyncPriorityLimiter, BareBufferUnordered,
    BareBuffered, ChannelBufferUnordered, FlumePool, FuturesBuffered, KanalPool, SemaphoreJoinSet,
    TowerBuffer,
};
pub use workload::{WORKLOADS, Workload};

use workload::{Body, Order, Pattern};

/// The name of this area.
pub const AREA: &str = "queue";

/// The longest sample takes some seconds when all is well; peers have been seen to hang.
const LIMIT: Duration = Duration::from_secs(60);

/// How a sample is taken.
type Sample = fn(&Workload, Scale) -> Result<Vec<Reading>>;

/// A contender, with what it takes part in.
struct Entry {
    name: &'static str,
    takes: fn(Pattern) -> bool,
    sample: Sample,
}

/// Everyone who takes part; those with priorities are marked by their ranks in `five-priorities-200k`.
const CONTENDERS: &[Entry] = &[
    Entry {
        name: AQE,
        takes: |_| true,
        sample: sample_aqe,
    },
    queue(
        "tokio-semaphore-joinset",
        sample::of_queue::<SemaphoreJoinSet>,
    ),
    queue("async-channel-pool", sample::of_queue::<AsyncChannelPool>),
    queue("kanal-pool", sample::of_queue::<KanalPool>),
    queue("flume-pool", sample::of_queue::<FlumePool>),
    Entry {
        name: "mpsc-to-buffer-unordered",
        takes: |pattern| pattern.is_for_queues() || matches!(pattern, Pattern::OwnCost(_)),
        sample: sample_channel_buffer_unordered,
    },
    queue(
        "async-priority-channel-pool",
        sample::of_queue::<AsyncPriorityChannelPool>,
    ),
    queue(
        "async-priority-limiter",
        sample::of_queue::<AsyncPriorityLimiter>,
    ),
    queue("tower-buffer-limit", sample::of_queue::<TowerBuffer>),
    Entry {
        name: "bare-buffer-unordered",
        takes: |pattern| matches!(pattern, Pattern::Stream(..) | Pattern::SubmitAll(_)),
        sample: sample::of_stream::<BareBufferUnordered>,
    },
    Entry {
        name: "bare-buffered",
        takes: |pattern| matches!(pattern, Pattern::Stream(_, Order::Given)),
        sample: sample::of_stream::<BareBuffered>,
    },
    Entry {
        name: "bare-futures-buffered",
        takes: |pattern| matches!(pattern, Pattern::Stream(..)),
        sample: sample::of_stream::<FuturesBuffered>,
    },
    Entry {
        name: "2-bare-threads",
        takes: |pattern| pattern == Pattern::SubmitAll(Body::Compute),
        sample: floors::two_threads,
    },
    Entry {
        name: "100-bare-loops",
        takes: |pattern| pattern == Pattern::SubmitAll(Body::Sleep),
        sample: floors::loops,
    },
];

/// A peer that is a queue and nothing else.
const fn queue(name: &'static str, sample: Sample) -> Entry {
    Entry {
        name,
        takes: Pattern::is_for_queues,
        sample,
    }
}

/// aqe does everything, each in the form that its users have for it.
fn sample_aqe(workload: &Workload, scale: Scale) -> Result<Vec<Reading>> {
    match workload.pattern {
        Pattern::Stream(_, Order::Ends) => sample::of_stream::<AqeUnordered>(workload, scale),
        Pattern::Stream(_, Order::Given) => sample::of_stream::<AqeOrdered>(workload, scale),
        Pattern::OwnCost(_) => own_cost::of::<AqeQueue>(workload, scale),
        _ => sample::of_queue::<AqeQueue>(workload, scale),
    }
}

fn sample_channel_buffer_unordered(workload: &Workload, scale: Scale) -> Result<Vec<Reading>> {
    match workload.pattern {
        Pattern::OwnCost(_) => own_cost::of::<ChannelBufferUnordered>(workload, scale),
        _ => sample::of_queue::<ChannelBufferUnordered>(workload, scale),
    }
}

/// The pairings that were asked for, workload by workload.
#[must_use]
pub fn pairings(request: &Request) -> Vec<Pairing> {
    let mut pairings = Vec::new();
    for workload in WORKLOADS {
        for contender in CONTENDERS {
            let takes_part = (contender.takes)(workload.pattern);
            if takes_part && request.wants(workload.name, contender.name) {
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
/// When a name is unknown, when the contender does not do this, or when the results of the operations are not what they should be.
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
            let all = CONTENDERS.iter();
            for contender in all.filter(|contender| (contender.takes)(workload.pattern)) {
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
    fn every_peer_has_something_to_do() {
        for contender in CONTENDERS {
            let takes_part = WORKLOADS.iter().any(|it| (contender.takes)(it.pattern));
            assert!(takes_part, "{}", contender.name);
        }
    }

    #[test]
    fn a_contender_refuses_what_has_no_such_form() {
        for (workload, contender) in [
            ("noop-1M-window-1024", "bare-futures-buffered"),
            ("stream-1M", "kanal-pool"),
            ("own-cost-200k", "flume-pool"),
        ] {
            let failure = sample(workload, contender, Scale::Quick).unwrap_err();
            assert!(failure.to_string().contains(workload), "{failure}");
        }
    }

    #[test]
    fn own_cost_is_shown_beside_what_the_operation_costs() {
        for contender in [AQE, "mpsc-to-buffer-unordered"] {
            let workload = WORKLOADS
                .iter()
                .find(|it| it.name == "own-cost-yield1-200k");
            let small = workload.unwrap().at(100);
            let entry = CONTENDERS.iter().find(|it| it.name == contender).unwrap();
            let readings = (entry.sample)(&small, Scale::Full).unwrap();
            let metrics: Vec<_> = readings.iter().map(|it| it.metric.as_str()).collect();
            assert!(metrics.contains(&"added-wall"), "{metrics:?}");
            assert!(metrics.contains(&"wall-without"), "{metrics:?}");
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
        assert!(rank("async-priority-limiter") < 0.15);
        assert!(rank("kanal-pool") > 0.4);
    }
}
