//! Where time and memory go: by operation always, by function on demand.
//!
//! - [`Operations`] measures named operations by phase, at the cost of some additions, and is meant to be always on.
//! - [`CpuProfiler`] looks some hundred times per second of processor time where the program is.
//! - [`TrackingAllocator`] counts what is allocated, and looks now and then by whom.
//!
//! The last two give a [`Profile`], which becomes a flame graph, a file for `pprof`, lines for other tools, or JSON.
//!
//! ```no_run
//! use std::time::Duration;
//! use aqe_monitor::profile::{CpuOptions, CpuProfiler};
//!
//! let profile = CpuProfiler::record(CpuOptions::default(), Duration::from_secs(10))?;
//! for (function, nanoseconds) in profile.hottest().into_iter().take(10) {
//!     println!("{:>9.1} ms {}", nanoseconds as f64 / 1e6, function.function);
//! }
//! std::fs::write("flame.svg", profile.to_svg("ten seconds"))?;
//! std::fs::write("cpu.pprof", profile.to_pprof())?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Stacks are taken by frame pointers, because unwinding by tables takes locks that the interrupted code may hold. Build
//! with `-C force-frame-pointers=yes` for whole stacks; without, a stack has its innermost function and by chance some
//! more, and the innermost function is right all the same; [`has_frame_pointers`] says which it is. Names need symbols, and lines need debug information.

mod allocations;
mod arena;
mod cpu;
mod error;
mod flame;
mod gate;
mod operations;
mod pprof;
mod stacks;
mod symbols;
mod times;
#[cfg(all(
    target_os = "linux",
    any(target_arch = "x86_64", target_arch = "aarch64")
))]
mod walk;

pub use self::{
    allocations::{
        AllocationOptions, AllocationProfiler, AllocationTotals, TrackingAllocator,
        allocation_totals, thread_allocation_totals,
    },
    cpu::{CpuOptions, CpuProfiler},
    error::ProfileError,
    operations::{
        OperationProfile, OperationRecorder, Operations, PhaseProfile, QueuedOperation,
        RunningOperation,
    },
    stacks::{Frame, Kind, Profile, Stack},
};

/// Whether the code of this program keeps frame pointers, so that stacks are whole. It is found out by trying; parts that
/// were built otherwise, such as the C library, may differ. `false` where samples cannot be taken.
#[must_use]
pub fn has_frame_pointers() -> bool {
    #[cfg(all(
        target_os = "linux",
        any(target_arch = "x86_64", target_arch = "aarch64")
    ))]
    return walk::kept();
    #[cfg(not(all(
        target_os = "linux",
        any(target_arch = "x86_64", target_arch = "aarch64")
    )))]
    return false;
}
