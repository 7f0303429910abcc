//! What one look at the system says.

use super::readings::Readings;
use crate::registry::Unit;

/// What one look at the system says. What the system does not tell is `None`.
///
/// Rates are over the time since the sample before, so those of the first sample are `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct SystemSample {
    /// The whole machine.
    pub machine: Machine,
    /// The control group that this process is in.
    pub cgroup: Option<Cgroup>,
    /// This process.
    pub process: Process,
}

/// Which parts of a [`SystemSample`] are read. Each costs some microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Parts {
    /// Processors and memory of the machine, and its load.
    pub machine: bool,
    /// Disks and network of the machine.
    pub io: bool,
    /// How long work waits for processors, memory and I/O.
    pub pressure: bool,
    /// The control group.
    pub cgroup: bool,
    /// This process.
    pub process: bool,
}

impl Default for Parts {
    /// All of them.
    fn default() -> Self {
        Self {
            machine: true,
            io: true,
            pressure: true,
            cgroup: true,
            process: true,
        }
    }
}

impl Parts {
    /// Processors and memory of the machine, and this process.
    #[must_use]
    pub fn basic() -> Self {
        Self {
            io: false,
            pressure: false,
            cgroup: false,
            ..Self::default()
        }
    }
}

/// The whole machine.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Machine {
    /// How many processors there are for this process.
    pub processors: Option<usize>,
    /// Where the processors' time went.
    pub cpu: Option<Cpu>,
    /// Tasks that ran or waited for a processor or a disk: mean over about 1, 5 and 15 minutes.
    pub load: Option<[f64; 3]>,
    /// Memory, in bytes.
    pub memory_bytes: Option<u64>,
    /// Memory that programs can have without swapping, in bytes.
    pub memory_available_bytes: Option<u64>,
    /// Space for swapping, in bytes.
    pub swap_bytes: Option<u64>,
    /// Of that, in use.
    pub swap_used_bytes: Option<u64>,
    /// All disks.
    pub disks: Option<Disks>,
    /// All network interfaces.
    pub network: Option<Network>,
    /// How long work waits.
    pub pressure: Pressure,
}

impl Machine {
    /// The share of memory that is in use, 0–1.
    #[must_use]
    pub fn memory_used_ratio(&self) -> Option<f64> {
        let (total, available) = (self.memory_bytes?, self.memory_available_bytes?);
        (total > 0).then(|| 1.0 - (available as f64 / total as f64).min(1.0))
    }
}

/// Where the processors' time went, as shares of all of it, 0–1.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Cpu {
    /// Anything but idling and waiting for I/O.
    pub busy_ratio: f64,
    /// In programs.
    pub user_ratio: f64,
    /// In the kernel, with interrupts.
    pub system_ratio: f64,
    /// Idle while some task waited for I/O.
    pub io_wait_ratio: f64,
    /// Taken by other guests of a virtual machine's host.
    pub stolen_ratio: f64,
}

/// Rates of all disks together. Partitions, and devices that lie upon others, are not counted twice.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Disks {
    /// Bytes read a second.
    pub read_bytes_per_second: f64,
    /// Bytes written a second.
    pub written_bytes_per_second: f64,
    /// Reads and writes a second.
    pub operations_per_second: f64,
    /// The share of time in which the busiest disk had something to do, 0–1.
    pub busiest_ratio: f64,
}

/// Rates of all network interfaces together, without loopback and interfaces that only exist within the machine.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Network {
    /// Bytes received a second.
    pub received_bytes_per_second: f64,
    /// Bytes sent a second.
    pub sent_bytes_per_second: f64,
    /// Packets a second that were lost or damaged, in both directions.
    pub errors_per_second: f64,
}

/// The share of the last ten seconds in which some task had to wait for a resource, 0–1: Linux's pressure stall
/// information.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Pressure {
    /// For a processor.
    pub cpu_ratio: Option<f64>,
    /// For memory.
    pub memory_ratio: Option<f64>,
    /// For I/O.
    pub io_ratio: Option<f64>,
}

/// The version of control groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CgroupVersion {
    /// One tree for each controller.
    V1,
    /// One tree for all.
    V2,
}

/// The control group that this process is in. A limit is the tightest of the group's own and those of the groups above.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Cgroup {
    /// The version.
    pub version: CgroupVersion,
    /// The most processors that the group may use, of which there may be a fraction; `None` without a limit.
    pub cpu_limit: Option<f64>,
    /// How many processors it used.
    pub cpu_used: Option<f64>,
    /// The share of time in which the group was stopped for having used up its processors, 0–1 for a group that uses one
    /// thread, more for several.
    pub cpu_throttled_ratio: Option<f64>,
    /// The most memory that the group may use, in bytes; `None` without a limit.
    pub memory_limit_bytes: Option<u64>,
    /// How much it uses, in bytes, without file pages that can go at once.
    pub memory_used_bytes: Option<u64>,
}

/// This process.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Process {
    /// How many processors it used.
    pub cpu_used: Option<f64>,
    /// Memory that it has, in bytes.
    pub resident_bytes: Option<u64>,
    /// Address space that it has, in bytes.
    pub virtual_bytes: Option<u64>,
    /// Threads.
    pub threads: Option<u64>,
    /// Faults a second that needed a disk.
    pub major_faults_per_second: Option<f64>,
    /// Bytes a second that it made disks read.
    pub read_bytes_per_second: Option<f64>,
    /// Bytes a second that it made disks write.
    pub written_bytes_per_second: Option<f64>,
}

impl SystemSample {
    /// Adds all that is known as readings with names such as `machine_cpu_ratio`.
    pub fn add_to(&self, readings: &mut Readings) {
        let mut push = |name: &'static str, unit, value: Option<f64>| {
            if let Some(value) = value {
                readings.push(name, unit, value);
            }
        };
        let bytes = |bytes: Option<u64>| bytes.map(|bytes| bytes as f64);
        let Machine {
            cpu,
            disks,
            network,
            pressure,
            ..
        } = self.machine;
        push(
            "machine_cpu_ratio",
            Unit::Ratio,
            cpu.map(|cpu| cpu.busy_ratio),
        );
        push(
            "machine_cpu_user_ratio",
            Unit::Ratio,
            cpu.map(|cpu| cpu.user_ratio),
        );
        push(
            "machine_cpu_system_ratio",
            Unit::Ratio,
            cpu.map(|cpu| cpu.system_ratio),
        );
        push(
            "machine_cpu_io_wait_ratio",
            Unit::Ratio,
            cpu.map(|cpu| cpu.io_wait_ratio),
        );
        push(
            "machine_cpu_stolen_ratio",
            Unit::Ratio,
            cpu.map(|cpu| cpu.stolen_ratio),
        );
        let load = self.machine.load;
        push("machine_load_1m", Unit::None, load.map(|load| load[0]));
        push("machine_load_5m", Unit::None, load.map(|load| load[1]));
        push("machine_load_15m", Unit::None, load.map(|load| load[2]));
        push(
            "machine_memory_bytes",
            Unit::Bytes,
            bytes(self.machine.memory_bytes),
        );
        push(
            "machine_memory_available_bytes",
            Unit::Bytes,
            bytes(self.machine.memory_available_bytes),
        );
        push(
            "machine_memory_used_ratio",
            Unit::Ratio,
            self.machine.memory_used_ratio(),
        );
        push(
            "machine_swap_used_bytes",
            Unit::Bytes,
            bytes(self.machine.swap_used_bytes),
        );
        push(
            "machine_disk_read_bytes_per_second",
            Unit::None,
            disks.map(|disks| disks.read_bytes_per_second),
        );
        push(
            "machine_disk_written_bytes_per_second",
            Unit::None,
            disks.map(|disks| disks.written_bytes_per_second),
        );
        push(
            "machine_disk_operations_per_second",
            Unit::None,
            disks.map(|disks| disks.operations_per_second),
        );
        push(
            "machine_disk_busiest_ratio",
            Unit::Ratio,
            disks.map(|disks| disks.busiest_ratio),
        );
        push(
            "machine_network_received_bytes_per_second",
            Unit::None,
            network.map(|net| net.received_bytes_per_second),
        );
        push(
            "machine_network_sent_bytes_per_second",
            Unit::None,
            network.map(|net| net.sent_bytes_per_second),
        );
        push(
            "machine_network_errors_per_second",
            Unit::None,
            network.map(|net| net.errors_per_second),
        );
        push(
            "machine_cpu_pressure_ratio",
            Unit::Ratio,
            pressure.cpu_ratio,
        );
        push(
            "machine_memory_pressure_ratio",
            Unit::Ratio,
            pressure.memory_ratio,
        );
        push("machine_io_pressure_ratio", Unit::Ratio, pressure.io_ratio);
        if let Some(cgroup) = &self.cgroup {
            push("cgroup_cpu_limit", Unit::None, cgroup.cpu_limit);
            push("cgroup_cpu_used", Unit::None, cgroup.cpu_used);
            push(
                "cgroup_cpu_throttled_ratio",
                Unit::Ratio,
                cgroup.cpu_throttled_ratio,
            );
            push(
                "cgroup_memory_limit_bytes",
                Unit::Bytes,
                bytes(cgroup.memory_limit_bytes),
            );
            push(
                "cgroup_memory_used_bytes",
                Unit::Bytes,
                bytes(cgroup.memory_used_bytes),
            );
        }
        let process = &self.process;
        push("process_cpu_used", Unit::None, process.cpu_used);
        push(
            "process_resident_bytes",
            Unit::Bytes,
            bytes(process.resident_bytes),
        );
        push(
            "process_virtual_bytes",
            Unit::Bytes,
            bytes(process.virtual_bytes),
        );
        push("process_threads", Unit::None, bytes(process.threads));
        push(
            "process_major_faults_per_second",
            Unit::None,
            process.major_faults_per_second,
        );
        push(
            "process_read_bytes_per_second",
            Unit::None,
            process.read_bytes_per_second,
        );
        push(
            "process_written_bytes_per_second",
            Unit::None,
            process.written_bytes_per_second,
        );
    }
}
