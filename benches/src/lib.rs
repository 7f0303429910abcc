//! Questions about speed, and answers that name what they were compared with.
//!
//! `cargo run --release -p aqe-benches -- AREA` compares aqe with what people use today. A sample is one
//! fresh process with a time limit (some peers hang), rounds are interleaved so that a busy minute of the
//! machine hits everyone, and what is reported is the median. Compare ratios inside one run, never numbers of
//! two runs.
//!
//! - [`batch`]: many items in chunks, on threads and as tasks, and what a durable checkpoint costs.
//! - [`memory`]: entries in caches and stores, which reads of a cache find theirs, and how small values become.
//! - [`monitor`]: counting, recording, finding a series, writing them all, and a look at the system.
//! - [`monitor_history`]: what two hundred series take on disk, to commit, and to draw.
//! - [`queue`]: operations through queues and worker pools.
//! - [`runner`]: test suites through test runners, and what one process costs.
//! - [`verdicts`]: whether all runners come to the same verdicts; no speed.
//! - [`rounds`], [`report`], [`bars`], [`measure`], [`allocations`]: how samples are taken, summed up, shown and judged.
//!
//! The Criterion benches beside this crate (`cargo bench -p aqe-benches`) ask narrower questions, each with the obvious
//! alternative beside it, all in one process: good for seeing what a change did, not for claims.

pub mod allocations;
pub mod bars;
pub mod batch;
pub mod cli;
pub mod measure;
pub mod memory;
pub mod monitor;
pub mod monitor_history;
pub mod queue;
pub mod report;
pub mod rounds;
pub mod runner;
pub mod verdicts;
mod workloads;
