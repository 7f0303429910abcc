//! How much of the machine this process may use.
//!
//! A container with two cores and 2 GB on a machine with 64 is a small machine: what counts is what the affinity mask and
//! the cgroup leave, not what is built in.

use std::num::NonZeroUsize;
use std::path::Path;

use bytesize::ByteSize;

#[cfg_attr(target_os = "linux", path = "linux.rs")]
#[cfg_attr(not(target_os = "linux"), path = "portable.rs")]
mod system;

/// The part of a machine that a process may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Machine {
    /// Cores, after affinity mask and CPU quota; a quota of 2.5 cores counts as 3.
    pub cores: NonZeroUsize,
    /// Memory, after the cgroup's limit; `None` if the system does not say.
    pub memory: Option<ByteSize>,
}

impl Machine {
    /// A machine with these figures.
    #[must_use]
    pub fn new(cores: NonZeroUsize, memory: Option<ByteSize>) -> Self {
        Self { cores, memory }
    }

    /// The machine that this process runs on.
    ///
    /// On Linux: the cores of the affinity mask, cut by the CPU quota, and the memory, cut by the limits, of the process's
    /// cgroup and of all those above it, in versions 1 and 2. Elsewhere: the cores that the standard library reports, and
    /// no memory. Files that cannot be read count as absent; detection never fails.
    #[must_use]
    pub fn detect() -> Self {
        system::detect(Path::new("/"))
    }
}

/// The standard library's count, which knows every system's affinity mask; 1 if it knows nothing.
fn available_cores() -> NonZeroUsize {
    std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn detection_finds_no_more_cores_than_the_system_has() {
        let machine = Machine::detect();
        // The standard library rounds a quota down where we round up.
        assert!(
            machine.cores.get() <= available_cores().get() + 1,
            "{machine:?}"
        );
        assert!(cfg!(not(target_os = "linux")) || machine.memory.is_some());
    }
}
