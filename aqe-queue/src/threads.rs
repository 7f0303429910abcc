//! Threads of a queue's own, and what is noticed about those that poll its operations.
//!
//! A dedicated thread runs one worker within the runtime in which the queue was built: operations use that runtime's
//! timers, sockets and `spawn` as they would anywhere, but only the queue's threads poll them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use tokio::runtime::Handle;

use crate::config::ConfigError;
use crate::events::Event;
use crate::handle::OperationId;
use crate::shared::Shared;
use crate::worker::QueueWorker;

/// What is noticed about the threads.
#[derive(Default)]
pub(crate) struct Notices {
    warned: AtomicBool,
    /// Polls that took longer than allowed. Relaxed, as its neighbour: numbers and nothing else.
    blocked: AtomicU64,
    not_pinned: AtomicUsize,
}

impl Notices {
    pub(crate) fn blocked(&self) -> u64 {
        self.blocked.load(Ordering::Relaxed)
    }

    pub(crate) fn not_pinned(&self) -> usize {
        self.not_pinned.load(Ordering::Relaxed)
    }
}

impl Shared {
    /// Counts a poll that has blocked its worker, and warns if it is the first.
    pub(crate) fn notice_blocked(&self, worker: usize, id: u64, lasted: Duration) {
        self.notices.blocked.fetch_add(1, Ordering::Relaxed);
        if !self.notices.warned.swap(true, Ordering::Relaxed) {
            self.emit(Event::Blocked {
                worker,
                id: OperationId::new(id),
                lasted,
            });
        }
    }
}

/// Runs each of `workers` on a thread of its own, pinned to one of `cpus` in turn if there are any.
pub(crate) fn start(
    shared: &Arc<Shared>,
    runtime: &Handle,
    workers: Vec<QueueWorker>,
    cpus: &[usize],
) -> Result<(), ConfigError> {
    let (sender, pinned) = mpsc::channel();
    for (index, worker) in workers.into_iter().enumerate() {
        let cpu = (!cpus.is_empty()).then(|| cpus[index % cpus.len()]);
        let (runtime, sender) = (runtime.clone(), sender.clone());
        let run = move || {
            if let Some(cpu) = cpu
                && let Err(reason) = pin(cpu)
            {
                // Fails only if the builder has given up.
                let _ = sender.send((index, cpu, reason));
            }
            // The builder waits until all threads have let go of it.
            drop(sender);
            runtime.block_on(worker);
        };
        let spawned = std::thread::Builder::new()
            .name(format!("aqe-queue-{index}"))
            .spawn(run);
        if let Err(error) = spawned {
            return Err(ConfigError::NoThread { kind: error.kind() });
        }
    }
    drop(sender);
    for (worker, cpu, reason) in pinned {
        shared.notices.not_pinned.fetch_add(1, Ordering::Relaxed);
        shared.emit(Event::NotPinned {
            worker,
            cpu,
            reason,
        });
    }
    Ok(())
}

/// Returns the CPUs on which this process may run. Where the system does not tell, it is as many numbers from 0 as it is
/// said to have: a thread that cannot be bound to one of them says so.
pub(crate) fn available() -> Vec<usize> {
    let count = std::thread::available_parallelism().map_or(1, usize::from);
    affinity().unwrap_or_else(|| (0..count).collect())
}

#[cfg(target_os = "linux")]
fn affinity() -> Option<Vec<usize>> {
    use rustix::thread::{CpuSet, sched_getaffinity};

    let set = sched_getaffinity(None).ok()?;
    let cpus: Vec<_> = (0..CpuSet::MAX_CPU)
        .filter(|cpu| set.is_set(*cpu))
        .collect();
    (!cpus.is_empty()).then_some(cpus)
}

#[cfg(not(target_os = "linux"))]
const fn affinity() -> Option<Vec<usize>> {
    None
}

/// Binds the calling thread to one CPU.
#[cfg(target_os = "linux")]
fn pin(cpu: usize) -> Result<(), String> {
    use rustix::thread::{CpuSet, sched_setaffinity};

    if cpu >= CpuSet::MAX_CPU {
        return Err(format!("CPU numbers end at {}", CpuSet::MAX_CPU - 1));
    }
    let mut set = CpuSet::new();
    set.set(cpu);
    sched_setaffinity(None, &set).map_err(|error| std::io::Error::from(error).to_string())
}

/// Other systems have no call for it that this crate knows.
#[cfg(not(target_os = "linux"))]
fn pin(_: usize) -> Result<(), String> {
    Err("not available on this system".to_owned())
}
