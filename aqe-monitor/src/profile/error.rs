//! Why there is no profile.

/// Why a profiler could not be started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProfileError {
    /// Sampling needs Linux on x86-64 or AArch64.
    #[error("profiles by sampling need Linux on x86-64 or AArch64")]
    Unsupported,
    /// There is one timer and one table of sites in a process.
    #[error("a profile of this kind is already being taken; stop it first")]
    Running,
    /// Somebody else in this process handles `SIGPROF`.
    #[error("another profiler of this process handles SIGPROF; stop it first")]
    Taken,
    /// The program's global allocator is another one.
    #[error("the global allocator of this program is no TrackingAllocator, so nothing is counted")]
    NotTracking,
    /// A number that is out of its range.
    #[error("{name} is {value}: it must be within {least} and {most}")]
    Range {
        /// What it is.
        name: &'static str,
        /// What was given.
        value: u64,
        /// The least it can be.
        least: u64,
        /// The most it can be.
        most: u64,
    },
    /// The system refused the timer or the handler.
    #[error("the system refused to take samples")]
    System(#[source] std::io::Error),
}
