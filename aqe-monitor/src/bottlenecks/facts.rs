//! What is measured, by resource, over one window.

/// Facts of one window of time; what was not measured is `None`.
#[derive(Clone, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Facts {
    /// Length of the window, in seconds.
    pub seconds: f64,
    /// Processors.
    pub cpu: Option<CpuFacts>,
    /// Memory of the cgroup, or of the machine.
    pub memory: Option<MemoryFacts>,
    /// The operation queue.
    pub queue: Option<QueueFacts>,
    /// The disk that operations use.
    pub disk: Option<DiskFacts>,
    /// The network, and the pool of connections to what lies behind it.
    pub network: Option<NetworkFacts>,
    /// The memory store.
    pub store: Option<StoreFacts>,
}

impl Facts {
    /// No facts yet, of a window of so many seconds.
    #[must_use]
    pub fn over(seconds: f64) -> Self {
        Self {
            seconds,
            ..Self::default()
        }
    }
}

/// Processors: how many there are, how many were busy, how many more were wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct CpuFacts {
    /// Processors that may be used: of the machine, or the cgroup's quota.
    pub cores: f64,
    /// Mean number of processors busy.
    pub busy: f64,
    /// Mean number of threads that were ready and had no processor.
    pub waiting: f64,
    /// Processor seconds of one operation, mean; 0 if unknown.
    pub operation_seconds: f64,
}

/// Memory of the cgroup, or of the machine.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct MemoryFacts {
    /// The limit, in bytes.
    pub limit_bytes: f64,
    /// Bytes in use, without what the system can reclaim.
    pub used_bytes: f64,
    /// Share of the window, 0–1, in which some thread waited for memory (pressure stall information); 0 if unknown.
    pub stalled: f64,
    /// Processes the system ended for want of memory.
    pub out_of_memory_kills: u64,
}

/// The operation queue.
#[derive(Clone, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct QueueFacts {
    /// Operations submitted.
    pub arrivals: u64,
    /// Operations that ended, well or not.
    pub completions: u64,
    /// Operations among them that failed.
    pub failures: u64,
    /// Seconds that an operation holds its slot, mean, including its waits for processors, disk and connections.
    pub service_seconds: f64,
    /// Seconds that an operation would hold its slot if it were alone, mean; 0 if unknown. The sum of its processor, disk
    /// and network seconds and of its sleeps.
    pub alone_seconds: f64,
    /// Operations that may run at once.
    pub concurrency: u32,
    /// Operations that ran at once, mean.
    pub running: f64,
    /// Operations that waited for a slot, mean.
    pub pending: f64,
    /// Seconds that an operation waited for its slot, mean.
    pub wait_seconds: f64,
    /// Seconds that an operation may wait.
    pub allowed_wait_seconds: f64,
    /// Throughput seen with other numbers of running operations, from the history or from the adaptive limit.
    pub points: Vec<LoadPoint>,
}

impl QueueFacts {
    /// A queue of so many slots that has seen nothing; operations may wait 1 s.
    #[must_use]
    pub fn new(concurrency: u32) -> Self {
        Self {
            concurrency,
            allowed_wait_seconds: 1.0,
            ..Self::default()
        }
    }
}

/// How much was done with so many operations at once.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct LoadPoint {
    /// Operations that ran at once, mean.
    pub concurrency: f64,
    /// Operations that ended per second.
    pub throughput: f64,
}

/// The disk that operations use.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct DiskFacts {
    /// Requests that the device serves at once; 1 for a rotating disk.
    pub channels: f64,
    /// Mean number of channels busy.
    pub busy: f64,
    /// Mean number of requests that waited.
    pub waiting: f64,
    /// Channel seconds of one operation, mean; 0 if unknown.
    pub operation_seconds: f64,
    /// Requests that failed.
    pub errors: u64,
}

/// The network, and the pool of connections to what lies behind it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct NetworkFacts {
    /// Connections in the pool.
    pub connections: f64,
    /// Mean number of connections in use.
    pub busy: f64,
    /// Mean number of operations that waited for one.
    pub waiting: f64,
    /// Seconds that an operation holds a connection, mean; 0 if unknown.
    pub operation_seconds: f64,
    /// Requests made.
    pub requests: u64,
    /// Requests that failed or timed out.
    pub errors: u64,
}

/// The memory store.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct StoreFacts {
    /// `memory.maxSize`, in bytes.
    pub max_bytes: f64,
    /// Bytes held.
    pub used_bytes: f64,
    /// Reads that found their entry.
    pub hits: u64,
    /// Reads that did not.
    pub misses: u64,
    /// Misses of entries that had been evicted.
    pub evicted_misses: u64,
    /// Bytes of the distinct entries among them.
    pub evicted_bytes: f64,
    /// Whether entries are compressed.
    pub compressed: bool,
}

/// A fact that cannot have been measured.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{name} is {value}: it must be a finite number of at least {least}")]
#[non_exhaustive]
pub struct InvalidFact {
    /// The field, with the resource before it.
    pub name: &'static str,
    /// What it held.
    pub value: f64,
    /// The least it can be.
    pub least: f64,
}

impl Facts {
    /// Refuses what would make a formula divide by zero or print a `NaN`.
    pub(super) fn validate(&self) -> Result<(), InvalidFact> {
        let mut checks = vec![("seconds", self.seconds, SMALLEST)];
        if let Some(cpu) = &self.cpu {
            checks.extend([
                ("cpu.cores", cpu.cores, SMALLEST),
                ("cpu.busy", cpu.busy, 0.0),
            ]);
            checks.extend([
                ("cpu.waiting", cpu.waiting, 0.0),
                ("cpu.operation_seconds", cpu.operation_seconds, 0.0),
            ]);
        }
        if let Some(memory) = &self.memory {
            checks.extend([
                ("memory.limit_bytes", memory.limit_bytes, 1.0),
                ("memory.used_bytes", memory.used_bytes, 0.0),
            ]);
            checks.push(("memory.stalled", memory.stalled, 0.0));
        }
        if let Some(queue) = &self.queue {
            checks.push(("queue.concurrency", f64::from(queue.concurrency), 1.0));
            checks.extend([
                ("queue.service_seconds", queue.service_seconds, 0.0),
                ("queue.running", queue.running, 0.0),
            ]);
            checks.extend([
                ("queue.alone_seconds", queue.alone_seconds, 0.0),
                ("queue.pending", queue.pending, 0.0),
            ]);
            checks.push(("queue.wait_seconds", queue.wait_seconds, 0.0));
            checks.push((
                "queue.allowed_wait_seconds",
                queue.allowed_wait_seconds,
                SMALLEST,
            ));
            for point in &queue.points {
                checks.push(("queue.points.concurrency", point.concurrency, SMALLEST));
                checks.push(("queue.points.throughput", point.throughput, 0.0));
            }
        }
        if let Some(disk) = &self.disk {
            checks.extend([
                ("disk.channels", disk.channels, SMALLEST),
                ("disk.busy", disk.busy, 0.0),
            ]);
            checks.extend([
                ("disk.waiting", disk.waiting, 0.0),
                ("disk.operation_seconds", disk.operation_seconds, 0.0),
            ]);
        }
        if let Some(network) = &self.network {
            checks.extend([
                ("network.connections", network.connections, SMALLEST),
                ("network.busy", network.busy, 0.0),
            ]);
            checks.push(("network.waiting", network.waiting, 0.0));
            checks.push(("network.operation_seconds", network.operation_seconds, 0.0));
        }
        if let Some(store) = &self.store {
            checks.extend([
                ("store.max_bytes", store.max_bytes, 1.0),
                ("store.used_bytes", store.used_bytes, 0.0),
            ]);
            checks.push(("store.evicted_bytes", store.evicted_bytes, 0.0));
        }
        match checks
            .into_iter()
            .find(|&(_, value, least)| !value.is_finite() || value < least)
        {
            Some((name, value, least)) => Err(InvalidFact { name, value, least }),
            None => Ok(()),
        }
    }
}

/// Below a nanosecond, or a billionth of a core, nothing was measured.
const SMALLEST: f64 = 1e-9;
