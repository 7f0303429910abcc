//! Numbers with names, as sources deliver them.

use std::borrow::Cow;

use crate::registry::Unit;

/// The most readings of one tick.
const MAX_READINGS: usize = 10_000;

/// A number with a name and a unit.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Reading {
    /// Its name, such as `queue_depth`.
    pub name: Cow<'static, str>,
    /// Its unit.
    pub unit: Unit,
    /// The number.
    pub value: f64,
}

/// Where sources put their readings. Memory is used again from tick to tick.
#[derive(Debug, Default)]
pub struct Readings {
    list: Vec<Reading>,
    dropped: u64,
}

impl Readings {
    /// Adds a reading. Beyond 10,000 in one tick they are dropped, and counted.
    pub fn push(&mut self, name: impl Into<Cow<'static, str>>, unit: Unit, value: f64) {
        if self.list.len() == MAX_READINGS {
            self.dropped += 1;
            return;
        }
        let name = name.into();
        self.list.push(Reading { name, unit, value });
    }

    /// The readings so far.
    #[must_use]
    pub fn as_slice(&self) -> &[Reading] {
        &self.list
    }

    /// How many were one too many, in all ticks together.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    pub(crate) fn clear(&mut self) {
        self.list.clear();
    }

    /// Forgets what was added since there were `len`.
    pub(crate) fn truncate(&mut self, len: usize) {
        self.list.truncate(len);
    }
}
