//! Linux: `/proc` and `/sys`, through files that are opened once and read into one buffer.

mod cgroup;
mod held;
mod parse;
mod rates;

use std::path::Path;
use std::time::Instant;

use self::cgroup::{CpuTotals, Group};
use self::held::Held;
use self::parse::{BusyTimes, CpuTimes, DiskTotals, NetworkTotals, ProcessStat};
use self::rates::{Since, per_second};
use super::sample::{Cgroup, Machine, Parts, Pressure, Process, SystemSample};

/// Reads what the operating system says.
///
/// Holds some twenty files open. A file that is not there, or may not be read, leaves its part of the sample `None`.
#[derive(Debug)]
pub struct System {
    files: Files,
    group: Option<Group>,
    /// Ticks of processor time in a second.
    ticks_per_second: f64,
    page_bytes: u64,
    processors: Option<usize>,
    buffer: Vec<u8>,
    cpu: Option<CpuTimes>,
    last: Option<(Instant, Totals)>,
}

#[derive(Debug)]
struct Files {
    cpu: Held,
    load: Held,
    memory: Held,
    disks: Held,
    network: Held,
    cpu_pressure: Held,
    memory_pressure: Held,
    io_pressure: Held,
    process: Held,
    process_io: Held,
}

/// What only grows, as of the last sample.
#[derive(Clone, Copy, Debug)]
struct Totals {
    disks: Option<(DiskTotals, BusyTimes)>,
    network: Option<NetworkTotals>,
    group: CpuTotals,
    process: Option<ProcessStat>,
    process_read: Option<u64>,
    process_written: Option<u64>,
}

impl System {
    /// Opens the files for these parts.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        let own = parts
            .cgroup
            .then(|| std::fs::read("/proc/self/cgroup").ok())
            .flatten();
        let group = own.and_then(|own| Group::find(Path::new("/sys/fs/cgroup"), &own));
        let processors = std::thread::available_parallelism().ok().map(usize::from);
        Self {
            files: Files {
                cpu: Held::open(parts.machine, "/proc/stat"),
                load: Held::open(parts.machine, "/proc/loadavg"),
                memory: Held::open(parts.machine, "/proc/meminfo"),
                disks: Held::open(parts.io, "/proc/diskstats"),
                network: Held::open(parts.io, "/proc/net/dev"),
                cpu_pressure: Held::open(parts.pressure, "/proc/pressure/cpu"),
                memory_pressure: Held::open(parts.pressure, "/proc/pressure/memory"),
                io_pressure: Held::open(parts.pressure, "/proc/pressure/io"),
                process: Held::open(parts.process, "/proc/self/stat"),
                process_io: Held::open(parts.process && parts.io, "/proc/self/io"),
            },
            group,
            ticks_per_second: rustix::param::clock_ticks_per_second() as f64,
            page_bytes: rustix::param::page_size() as u64,
            processors: processors.filter(|_| parts.machine),
            buffer: Vec::new(),
            cpu: None,
            last: None,
        }
    }

    /// Reads the system now. Rates are over the time since the sample before.
    pub fn sample(&mut self, now: Instant) -> SystemSample {
        let totals = self.totals();
        let last = self.last;
        let since = last.as_ref().and_then(|(then, before)| {
            let seconds = now.saturating_duration_since(*then).as_secs_f64();
            (seconds > 0.0).then_some(Since { seconds, before })
        });
        let sample = SystemSample {
            machine: Machine {
                processors: self.processors,
                disks: since.as_ref().and_then(|since| since.disks(&totals)),
                network: since.as_ref().and_then(|since| since.network(&totals)),
                ..Machine::default()
            },
            cgroup: None,
            process: self.process(&totals, since.as_ref()),
        };
        let cgroup = self.cgroup(&totals, since.as_ref());
        // Two samples at one moment leave the earlier as what the next is compared with.
        if since.is_some() || self.last.is_none() {
            self.last = Some((now, totals));
        }
        let mut sample = SystemSample { cgroup, ..sample };
        self.machine(&mut sample.machine);
        sample
    }

    fn totals(&mut self) -> Totals {
        let (files, buffer) = (&self.files, &mut self.buffer);
        let disks = files.disks.read(buffer).and_then(parse::disks);
        let network = files.network.read(buffer).and_then(parse::network);
        let process = files.process.read(buffer).and_then(parse::process);
        let group = self.group.as_ref().map(|group| group.cpu_totals(buffer));
        let io = files.process_io.read(buffer);
        let io = |key: &[u8]| io.and_then(|io| parse::field(io, key));
        Totals {
            disks,
            network,
            group: group.unwrap_or_default(),
            process,
            process_read: io(b"read_bytes:"),
            process_written: io(b"write_bytes:"),
        }
    }

    fn machine(&mut self, machine: &mut Machine) {
        let (files, buffer) = (&self.files, &mut self.buffer);
        let cpu = files.cpu.read(buffer).and_then(parse::cpu_times);
        machine.cpu = rates::cpu(self.cpu, cpu);
        self.cpu = cpu;
        machine.load = files.load.read(buffer).and_then(parse::load);
        let memory = files
            .memory
            .read(buffer)
            .map(parse::memory)
            .unwrap_or_default();
        machine.memory_bytes = memory.total;
        machine.memory_available_bytes = memory.available;
        machine.swap_bytes = memory.swap_total;
        let swap = memory.swap_total.zip(memory.swap_free);
        machine.swap_used_bytes = swap.map(|(total, free)| total.saturating_sub(free));
        machine.pressure = Pressure {
            cpu_ratio: files.cpu_pressure.read(buffer).and_then(parse::pressure),
            memory_ratio: files.memory_pressure.read(buffer).and_then(parse::pressure),
            io_ratio: files.io_pressure.read(buffer).and_then(parse::pressure),
        };
    }

    fn cgroup(&mut self, totals: &Totals, since: Option<&Since<'_>>) -> Option<Cgroup> {
        let (group, buffer) = (self.group.as_ref()?, &mut self.buffer);
        let (memory_limit_bytes, memory_used_bytes) = group.memory(buffer);
        // Nanoseconds a second, and so how many of a thing there were on average.
        let rate = |now: Option<u64>, before: fn(&CpuTotals) -> Option<u64>| {
            let since = since?;
            per_second(before(&since.before.group)?, now?, since.seconds).map(|rate| rate / 1e9)
        };
        Some(Cgroup {
            version: group.version,
            cpu_limit: group.cpu_limit(buffer),
            cpu_used: rate(totals.group.used_ns, |group| group.used_ns),
            cpu_throttled_ratio: rate(totals.group.throttled_ns, |group| group.throttled_ns),
            memory_limit_bytes,
            memory_used_bytes,
        })
    }

    fn process(&self, totals: &Totals, since: Option<&Since<'_>>) -> Process {
        let rate = |total: fn(&Totals) -> Option<u64>| {
            let since = since?;
            per_second(total(since.before)?, total(totals)?, since.seconds)
        };
        let stat = totals.process;
        let ticks = rate(|totals| Some(totals.process?.cpu_ticks));
        Process {
            cpu_used: ticks.map(|ticks| ticks / self.ticks_per_second),
            resident_bytes: stat.map(|stat| stat.resident_pages.saturating_mul(self.page_bytes)),
            virtual_bytes: stat.map(|stat| stat.virtual_bytes),
            threads: stat.map(|stat| stat.threads),
            major_faults_per_second: rate(|totals| Some(totals.process?.major_faults)),
            read_bytes_per_second: rate(|totals| totals.process_read),
            written_bytes_per_second: rate(|totals| totals.process_written),
        }
    }
}

/// Feeds every parser with the same bytes.
#[cfg(any(test, fuzzing))]
pub(super) fn parse_anything(text: &[u8]) {
    let cpu = parse::cpu_times(text);
    rates::cpu(cpu, cpu);
    rates::cpu(Some(CpuTimes::default()), cpu);
    rates::cpu(cpu, Some(CpuTimes::default()));
    let memory = parse::memory(text);
    assert!(
        memory
            .total
            .is_none_or(|total| total >= 1_024 || total == 0)
    );
    if let Some(load) = parse::load(text) {
        assert!(load.iter().all(|load| *load >= 0.0), "{load:?}");
    }
    if let Some(pressure) = parse::pressure(text) {
        assert!(pressure >= 0.0, "{pressure}");
    }
    parse::disks(text);
    parse::network(text);
    parse::process(text);
    parse::cgroup_path(text, b"");
    parse::cgroup_path(text, b"memory");
    parse::cpu_max(text);
    parse::limit(text);
    parse::field(text, b"inactive_file ");
}
