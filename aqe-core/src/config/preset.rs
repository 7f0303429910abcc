//! Settings that suit the size of a machine.

use std::fmt;
use std::num::NonZeroUsize;
use std::time::Duration;

use bytesize::ByteSize;

use super::machine::Machine;
use super::model::nonzero;

/// A class of machines with the queue settings that suit it.
///
/// | preset | machine | `maxConcurrent` | `batchSize` | `timeout` |
/// | --- | --- | --- | --- | --- |
/// | high | 16 cores and 32 GB, or more | 20 | 10 | 60 s |
/// | standard | 8 cores and 16 GB, or more | 10 | 5 | 30 s |
/// | constrained | everything else | 5 | 3 | 45 s |
///
/// A machine belongs to the highest class of which it has *both* figures: 32 cores with 16 GB are standard, 12 cores with
/// 64 GB are standard, 6 cores with 64 GB are constrained. Below 4 cores or 8 GB there is no further class; such a
/// machine is constrained as well. GB are powers of 1000 here, so that a machine sold with 32 GiB still counts as one
/// after its firmware and kernel have taken their share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Preset {
    /// At least 16 cores and 32 GB.
    High,
    /// At least 8 cores and 16 GB.
    Standard,
    /// Less than that.
    Constrained,
}

impl Preset {
    /// The preset for a machine.
    ///
    /// A machine whose memory is not known is judged by its cores, and is standard at most.
    #[must_use]
    pub fn of(machine: &Machine) -> Self {
        let has = |cores: usize, memory: u64| {
            machine.cores.get() >= cores
                && machine
                    .memory
                    .is_some_and(|size| size >= ByteSize::gb(memory))
        };
        if has(16, 32) {
            Self::High
        } else if has(8, 16) || (machine.cores.get() >= 8 && machine.memory.is_none()) {
            Self::Standard
        } else {
            Self::Constrained
        }
    }

    /// The name: `high`, `standard` or `constrained`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::High => "high",
            Self::Standard => "standard",
            Self::Constrained => "constrained",
        }
    }

    /// Its value of `queue.maxConcurrent`.
    #[must_use]
    pub const fn max_concurrent(self) -> NonZeroUsize {
        match self {
            Self::High => nonzero(20),
            Self::Standard => nonzero(10),
            Self::Constrained => nonzero(5),
        }
    }

    /// Its value of `queue.batchSize`.
    #[must_use]
    pub const fn batch_size(self) -> NonZeroUsize {
        match self {
            Self::High => nonzero(10),
            Self::Standard => nonzero(5),
            Self::Constrained => nonzero(3),
        }
    }

    /// Its value of `queue.timeout`. A constrained machine gets more time than a standard one because it is slower, a
    /// large one because it is given larger operations.
    #[must_use]
    pub const fn timeout(self) -> Duration {
        match self {
            Self::High => Duration::from_secs(60),
            Self::Standard => Duration::from_secs(30),
            Self::Constrained => Duration::from_secs(45),
        }
    }

    /// The keys that it sets, with their values as a file would hold them.
    pub(super) fn settings(self) -> [(&'static str, String); 3] {
        [
            ("queue.maxConcurrent", self.max_concurrent().to_string()),
            ("queue.batchSize", self.batch_size().to_string()),
            ("queue.timeout", super::duration::render(self.timeout())),
        ]
    }
}

impl fmt::Display for Preset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn machines_are_classed_by_both_figures() {
        let gib = |count: u64| Some(ByteSize::gib(count));
        // What is left of 32 GiB and 16 GiB on real machines after firmware and kernel.
        let (usable_32, usable_16) = (
            Some(ByteSize::b(33_190_000_000)),
            Some(ByteSize::b(16_500_000_000)),
        );
        for (cores, memory, expected) in [
            (16, gib(32), Preset::High),
            (16, usable_32, Preset::High),
            (16, Some(ByteSize::b(31_999_999_999)), Preset::Standard),
            (8, Some(ByteSize::b(15_999_999_999)), Preset::Constrained),
            (64, gib(256), Preset::High),
            (32, gib(16), Preset::Standard),
            (15, gib(64), Preset::Standard),
            (12, gib(24), Preset::Standard),
            (8, gib(16), Preset::Standard),
            (8, usable_16, Preset::Standard),
            (8, gib(8), Preset::Constrained),
            (7, gib(64), Preset::Constrained),
            (4, gib(8), Preset::Constrained),
            (1, Some(ByteSize::mib(512)), Preset::Constrained),
            (64, None, Preset::Standard),
            (8, None, Preset::Standard),
            (4, None, Preset::Constrained),
        ] {
            let machine = Machine::new(nonzero(cores), memory);
            assert_eq!(Preset::of(&machine), expected, "{cores} cores, {memory:?}");
        }
    }

    #[test]
    fn presets_hold_the_figures_of_the_guide() {
        let values = |preset: Preset| preset.settings().map(|(_, value)| value);
        assert_eq!(values(Preset::High), ["20", "10", "1m"]);
        assert_eq!(values(Preset::Standard), ["10", "5", "30s"]);
        assert_eq!(values(Preset::Constrained), ["5", "3", "45s"]);
    }
}
