//! Systems that are not asked yet: every part of a sample is `None`, but for the number of processors.

use std::time::Instant;

use super::sample::{Machine, Parts, SystemSample};

/// Reads what the operating system says.
#[derive(Debug)]
pub struct System {
    parts: Parts,
}

impl System {
    /// Prepares for reading these parts.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        Self { parts }
    }

    /// Reads the system now.
    pub fn sample(&mut self, _now: Instant) -> SystemSample {
        let processors = std::thread::available_parallelism().ok().map(usize::from);
        SystemSample {
            machine: Machine {
                processors: processors.filter(|_| self.parts.machine),
                ..Machine::default()
            },
            ..SystemSample::default()
        }
    }
}
