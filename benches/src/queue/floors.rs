//! The same work without any queue: what no queue can beat.

use std::ops::Range;
use std::thread;

use tokio::task::JoinSet;
use xtask::{Failure, Result};

use super::operations::{four_microseconds, sleep};
use super::sample::{WORKERS, check, on_a_worker};
use super::workload::Workload;
use crate::measure::{Reading, Stretch};
use crate::rounds::Scale;

/// Two threads of the system that share the operations out before they start.
pub(super) fn two_threads(workload: &Workload, scale: Scale) -> Result<Vec<Reading>> {
    let workload = workload.scaled(scale);
    let stretch = Stretch::start();
    let sums: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = shares(workload.operations, WORKERS)
            .map(|share| scope.spawn(move || share.map(four_microseconds).sum::<u64>()))
            .collect();
        threads.into_iter().map(|thread| thread.join()).collect()
    });
    let readings = stretch.per_operation(workload.operations);
    let sum = sums.into_iter().collect::<thread::Result<Vec<u64>>>();
    let sum = sum.map_err(|_| Failure::new("a thread panicked"))?;
    check(Some(sum.iter().sum()), workload.operations)?;
    Ok(readings)
}

/// As many tasks as operations may run at once, each with a loop over its share of the sleeps.
pub(super) fn loops(workload: &Workload, scale: Scale) -> Result<Vec<Reading>> {
    let workload = workload.scaled(scale);
    on_a_worker(async move {
        let stretch = Stretch::start();
        let mut tasks = JoinSet::new();
        for share in shares(workload.operations, workload.concurrency) {
            tasks.spawn(async move {
                let mut sum = 0;
                for number in share {
                    sum += sleep(number).await;
                }
                sum
            });
        }
        let sum: u64 = tasks.join_all().await.into_iter().sum();
        let readings = stretch.per_operation(workload.operations);
        check(Some(sum), workload.operations)?;
        Ok(readings)
    })
}

/// `operations` in as many runs of the same length as there are hands.
fn shares(operations: u64, hands: usize) -> impl Iterator<Item = Range<u64>> {
    let hands = hands as u64;
    (0..hands).map(move |hand| operations * hand / hands..operations * (hand + 1) / hands)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_leave_nothing_out() {
        let numbers: Vec<u64> = shares(1_003, 100).flatten().collect();
        assert_eq!(numbers, (0..1_003).collect::<Vec<_>>());
    }
}
