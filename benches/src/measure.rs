//! What a sample measures of itself: processor time and the most memory it ever held.

use std::fs;
use std::time::{Duration, Instant};

/// One number that a sample reports.
#[derive(Debug, Clone, PartialEq)]
pub struct Reading {
    /// What was measured.
    pub metric: String,
    /// Its unit.
    pub unit: String,
    /// The number; lower is better.
    pub value: f64,
}

impl Reading {
    /// A reading of `value` in `unit`.
    #[must_use]
    pub fn new(metric: &str, unit: &str, value: f64) -> Self {
        Self {
            metric: metric.to_owned(),
            unit: unit.to_owned(),
            value,
        }
    }
}

/// A stretch of work with its wall time and processor time.
#[derive(Debug)]
pub struct Stretch {
    wall: Instant,
    processor: Option<Duration>,
}

impl Stretch {
    /// Starts the clocks.
    #[must_use]
    pub fn start() -> Self {
        Self {
            processor: processor_time(),
            wall: Instant::now(),
        }
    }

    /// Stops the clocks and shares the times out among `operations`, in nanoseconds each.
    #[must_use]
    pub fn per_operation(self, operations: u64) -> Vec<Reading> {
        let wall = self.wall.elapsed();
        let share = |time: Duration| time.as_secs_f64() * 1e9 / operations as f64;
        let mut readings = vec![Reading::new("wall", "ns/op", share(wall))];
        if let (Some(before), Some(after)) = (self.processor, processor_time()) {
            readings.push(Reading::new(
                "cpu",
                "ns/op",
                share(after.saturating_sub(before)),
            ));
        }
        readings
    }
}

/// Processor time of all threads of this process so far.
#[cfg(unix)]
fn processor_time() -> Option<Duration> {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `time` is a valid, writable timespec for the whole call, which is all the function asks for.
    let status = unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &raw mut time) };
    if status != 0 {
        return None;
    }
    Some(Duration::new(
        u64::try_from(time.tv_sec).ok()?,
        u32::try_from(time.tv_nsec).ok()?,
    ))
}

#[cfg(not(unix))]
fn processor_time() -> Option<Duration> {
    None
}

/// The most memory that this process ever had resident, in MiB, where the system tells.
#[must_use]
pub fn own_peak_memory() -> Option<Reading> {
    let mib = peak_memory_of("self")?;
    Some(Reading::new("peak-memory", "MiB", mib))
}

/// The high-water mark of a process's resident memory, in MiB: `pid` is a number or `self`.
///
/// The kernel keeps the mark per program image and drops it when the process ends, so it has to be read while
/// the process lives. It never falls: whoever reads it every few milliseconds misses at most what the process
/// gained in its last few. (The `ru_maxrss` that `wait4` returns is of no use here: it is the largest of the
/// process *and of all children it waited for*, so a runner would be charged for cargo and for its tests.)
#[must_use]
pub fn peak_memory_of(pid: &str) -> Option<f64> {
    memory_of(pid, "VmHWM:")
}

/// A field of a process's status that is an amount of memory, in MiB.
fn memory_of(pid: &str, field: &str) -> Option<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(field))?;
    let kib: f64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kib / 1024.0)
}

/// What piles up in memory from a moment on.
#[derive(Debug)]
pub struct Backlog {
    /// Resident at that moment, in MiB.
    before: Option<f64>,
}

impl Backlog {
    /// Remembers how much is resident now.
    #[must_use]
    pub fn start() -> Self {
        Self {
            before: memory_of("self", "VmRSS:"),
        }
    }

    /// Shares the peak since then out among `operations`, in bytes each, where the system tells.
    ///
    /// The peak is that of the whole process, so this is of use in one that never held more than at the start.
    #[must_use]
    pub fn per_operation(self, operations: u64) -> Option<Reading> {
        let grown = (peak_memory_of("self")? - self.before?).max(0.0);
        let bytes = grown * f64::from(1 << 20) / operations as f64;
        Some(Reading::new("pending-memory", "B/op", bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::hint::black_box;

    #[test]
    #[cfg(target_os = "linux")]
    fn the_peak_covers_memory_that_is_already_freed() {
        let before = peak_memory_of("self").unwrap();
        drop(black_box(vec![1_u8; 64 << 20]));
        let after = peak_memory_of("self").unwrap();
        assert!(after >= before && after > 60.0, "{before} {after}");
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_backlog_is_counted_by_the_operation() {
        let backlog = Backlog::start();
        let held = black_box(vec![1_u8; 192 << 20]);
        let reading = backlog.per_operation(1 << 20).unwrap();
        drop(held);
        // Other tests of this process may have let go of what they held, but never of as much as this.
        assert!(reading.value > 64.0, "{reading:?}");
    }

    #[test]
    fn a_process_that_is_not_there_has_no_peak() {
        assert_eq!(peak_memory_of("0"), None);
    }

    #[test]
    fn work_costs_processor_time() {
        let stretch = Stretch::start();
        black_box((0..1_000_000_u64).fold(1, |a, b| black_box(a ^ b)));
        let readings = stretch.per_operation(1);
        assert!(
            readings.iter().all(|reading| reading.value > 0.0),
            "{readings:?}"
        );
    }
}
