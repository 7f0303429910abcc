//! One look at processors, memory and the own process; microseconds.

use std::hint::black_box;
use std::time::Instant;

use aqe_monitor::sampler::{Parts, System};
use sysinfo::{ProcessRefreshKind, ProcessesToUpdate};
use xtask::{Failure, Result};

use super::{Entry, entry, failed};
use crate::measure::{Reading, Stretch};
use crate::rounds::Scale;

pub(super) const ENTRIES: &[Entry] = &[
    entry("aqe", |scale| aqe(scale, Parts::basic())),
    entry("aqe-all-parts", |scale| aqe(scale, Parts::default())),
    entry("sysinfo", sysinfo),
];

fn looks(scale: Scale) -> u64 {
    scale.of(2_000)
}

fn microseconds(readings: Vec<Reading>) -> Vec<Reading> {
    let wall = readings
        .into_iter()
        .filter(|reading| reading.metric == "wall");
    wall.map(|wall| Reading::new("wall", "us", wall.value / 1e3))
        .collect()
}

fn aqe(scale: Scale, parts: Parts) -> Result<Vec<Reading>> {
    let mut system = System::new(parts);
    let mut sample = system.sample(Instant::now());
    let stretch = Stretch::start();
    for _ in 0..looks(scale) {
        sample = black_box(system.sample(Instant::now()));
    }
    let readings = stretch.per_operation(looks(scale));
    let known = sample
        .process
        .resident_bytes
        .zip(sample.machine.memory_bytes);
    known.ok_or_else(|| Failure::new("this system does not say how much memory there is"))?;
    Ok(microseconds(readings))
}

/// What it needs least for the same: nothing of other processes, no disks and no list of processors.
fn sysinfo(scale: Scale) -> Result<Vec<Reading>> {
    let own = sysinfo::get_current_pid().map_err(failed)?;
    let mut system = sysinfo::System::new().map_err(failed)?;
    let wanted = ProcessRefreshKind::nothing()
        .with_cpu()
        .with_memory()
        .without_tasks();
    let mut look = || {
        system.refresh_cpu_usage();
        system.refresh_memory();
        system.refresh_processes_specifics(ProcessesToUpdate::Some(&[own]), false, wanted);
        black_box((system.global_cpu_usage(), system.available_memory()));
        system.process(own).map(sysinfo::Process::memory)
    };
    look();
    let stretch = Stretch::start();
    let mut memory = None;
    for _ in 0..looks(scale) {
        memory = look();
    }
    let readings = stretch.per_operation(looks(scale));
    memory.ok_or_else(|| Failure::new("the own process is not there"))?;
    Ok(microseconds(readings))
}
