//! What timeout and retries cost that are present and never needed.
//!
//! Two queues stand side by side in one process, one with them and one without, and get the same operations in turn.
//! Whatever disturbs the machine disturbs both; what is reported is the difference of the two medians. It is small
//! beside what an operation takes, so on a busy machine it may come out below nothing: look at the processor time then.

use std::future::Future;

use xtask::Result;

use super::contender::{Plain, Submitter};
use super::operations::{noop, yield_once};
use super::patterns::collect;
use super::sample::{capacity, check, no_such_form, on_a_worker};
use super::workload::{Body, Pattern, Workload};
use crate::measure::{Reading, Stretch};
use crate::rounds::{self, Scale};

/// Pairs of runs in one sample, after one pair that only warms up.
const PAIRS: usize = 8;

/// Takes one sample: wall and processor time added to each operation, and the wall time without.
pub(super) fn of<C: Plain>(workload: &Workload, scale: Scale) -> Result<Vec<Reading>> {
    let workload = workload.scaled(scale);
    on_a_worker(async move {
        // A match outside the loops: the operations of one workload are all of one type.
        match workload.pattern {
            Pattern::OwnCost(Body::Noop) => difference::<C, _, _>(&workload, noop).await,
            Pattern::OwnCost(Body::YieldOnce) => difference::<C, _, _>(&workload, yield_once).await,
            _ => Err(no_such_form(&workload)),
        }
    })
}

async fn difference<C, M, F>(workload: &Workload, body: M) -> Result<Vec<Reading>>
where
    C: Plain,
    M: Fn(u64) -> F + Copy + Send + Sync + 'static,
    F: Future<Output = u64> + Send + 'static,
{
    let room = capacity(workload.operations);
    let mut with = C::start(workload.concurrency, room).submitter();
    let mut without = C::start_plain(workload.concurrency, room).submitter();
    let (mut costly, mut cheap) = (Times::default(), Times::default());
    for pair in 0..=PAIRS {
        // Who comes second finds the memory that the first has used; that is shared fairly, too.
        let turns = if pair % 2 == 0 {
            [Side::Without, Side::With]
        } else {
            [Side::With, Side::Without]
        };
        for side in turns {
            let stretch = Stretch::start();
            let (submitter, times) = match side {
                Side::With => (&mut with, &mut costly),
                Side::Without => (&mut without, &mut cheap),
            };
            for number in 0..workload.operations {
                let make = move |_| async move { Ok(body(number).await) };
                match side {
                    Side::With => submitter.submit_retrying(make).await,
                    Side::Without => C::submit_plain(submitter, make).await,
                }
            }
            let sum = collect(submitter, workload.operations).await;
            let readings = stretch.per_operation(workload.operations);
            check(sum, workload.operations)?;
            if pair > 0 {
                times.add(&readings);
            }
        }
    }
    Ok(readings(&costly, &cheap))
}

/// Whether operations have a timeout and retries.
#[derive(Debug, Clone, Copy)]
enum Side {
    With,
    Without,
}

/// The times of one side, by metric.
#[derive(Debug, Default)]
struct Times {
    wall: Vec<f64>,
    cpu: Vec<f64>,
}

impl Times {
    fn add(&mut self, readings: &[Reading]) {
        for reading in readings {
            match reading.metric.as_str() {
                "wall" => self.wall.push(reading.value),
                _ => self.cpu.push(reading.value),
            }
        }
    }
}

fn readings(with: &Times, without: &Times) -> Vec<Reading> {
    let added = |metric: &str, with: &[f64], without: &[f64]| {
        let difference = rounds::median(with)? - rounds::median(without)?;
        Some(Reading::new(metric, "ns/op", difference))
    };
    [
        added("added-wall", &with.wall, &without.wall),
        added("added-cpu", &with.cpu, &without.cpu),
        added("wall-without", &without.wall, &[0.0]),
    ]
    .into_iter()
    .flatten()
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_difference_is_that_of_the_medians() {
        let times = |wall: &[f64]| Times {
            wall: wall.to_vec(),
            cpu: Vec::new(),
        };
        let readings = readings(&times(&[90.0, 35.0, 30.0]), &times(&[20.0, 1.0, 22.0]));
        let expected = [
            Reading::new("added-wall", "ns/op", 15.0),
            Reading::new("wall-without", "ns/op", 20.0),
        ];
        assert_eq!(readings, expected);
    }
}
