//! Where processor time goes: a timer of the process's processor time interrupts whoever is running, and the handler
//! notes where that is.
//!
//! Known profilers of this kind were found wanting here: their handler asks the unwinder's library for the function of
//! each address, which takes a lock that the interrupted thread may hold, and leaves out the function that was
//! interrupted. This handler makes system calls and stores numbers, nothing else; names are looked up afterwards.

// A static gate needs a constant, which those of loom's atomics are not: under loom the gate is tested by itself.
#[cfg(all(
    target_os = "linux",
    any(target_arch = "x86_64", target_arch = "aarch64"),
    not(all(loom, test))
))]
#[path = "linux.rs"]
mod system;
#[cfg(not(all(
    target_os = "linux",
    any(target_arch = "x86_64", target_arch = "aarch64"),
    not(all(loom, test))
)))]
#[path = "elsewhere.rs"]
mod system;

use std::time::Duration;

use super::error::ProfileError;
use super::stacks::Profile;

/// How often samples are taken, and for how long at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CpuOptions {
    /// Samples per second of processor time, 1–1000. The default of 99 does not beat with work that is done every so
    /// many hundredths of a second. The kernel's own timer bounds it: often at 250.
    pub frequency: u32,
    /// How long a profile is taken at most: room is made for the samples of so much time on all processors, at most
    /// 32 MiB. Samples beyond it are counted as lost. 60 s by default.
    pub longest: Duration,
}

impl Default for CpuOptions {
    fn default() -> Self {
        Self {
            frequency: 99,
            longest: Duration::from_secs(60),
        }
    }
}

impl CpuOptions {
    /// Takes so many samples per second of processor time.
    #[must_use]
    pub fn frequency(mut self, frequency: u32) -> Self {
        self.frequency = frequency;
        self
    }

    /// Makes room for so long a profile.
    #[must_use]
    pub fn longest(mut self, longest: Duration) -> Self {
        self.longest = longest;
        self
    }
}

/// A profile of processor time that is being taken. There is one at a time in a process; dropping it ends it.
///
/// While it runs, the process has a timer and a handler for `SIGPROF`. The handler stays after the end and does nothing:
/// a signal that is still on its way would end the process otherwise. A process that replaces itself (`exec`) has to
/// stop the profile before; children are not sampled and not disturbed.
#[derive(Debug)]
pub struct CpuProfiler {
    session: system::Session,
}

impl CpuProfiler {
    /// Begins to take samples.
    ///
    /// # Errors
    ///
    /// [`ProfileError::Range`] if the frequency is not within 1–1000; [`ProfileError::Running`] and
    /// [`ProfileError::Taken`] if somebody else takes a profile; [`ProfileError::System`] if the system refuses;
    /// [`ProfileError::Unsupported`] where it cannot be done.
    pub fn start(options: CpuOptions) -> Result<Self, ProfileError> {
        if !(1..=1000).contains(&options.frequency) {
            let value = u64::from(options.frequency);
            return Err(ProfileError::Range {
                name: "frequency",
                value,
                least: 1,
                most: 1000,
            });
        }
        system::Session::start(options).map(|session| Self { session })
    }

    /// Ends it, and looks up the names of what was seen, which takes a second in a large program.
    #[must_use]
    pub fn stop(self) -> Profile {
        self.session.stop()
    }

    /// Takes a profile of so long. Blocks the thread meanwhile: in async code use [`start`](Self::start), a timer of
    /// the runtime and, off the runtime's threads, [`stop`](Self::stop).
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start).
    pub fn record(options: CpuOptions, duration: Duration) -> Result<Profile, ProfileError> {
        let profiler = Self::start(options.longest(options.longest.max(duration)))?;
        std::thread::sleep(duration);
        Ok(profiler.stop())
    }
}
