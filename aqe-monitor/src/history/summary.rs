//! Many samples in a few numbers.

use super::buckets::clamp;

/// What chunk headers and rollups hold of the samples they stand for.
///
/// Of a histogram, the samples are its values: `n` is how many there were, `min` and `max` the middles of the lowest and the
/// highest bucket, and `last` how many came in the last tick.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Summary {
    /// How many samples; at least one.
    pub n: u64,
    /// The smallest.
    pub min: f64,
    /// The largest.
    pub max: f64,
    /// All added up.
    pub sum: f64,
    /// The one that was written last.
    pub last: f64,
}

impl Summary {
    /// Of one sample.
    #[must_use]
    pub fn of(value: f64) -> Self {
        Self {
            n: 1,
            min: value,
            max: value,
            sum: value,
            last: value,
        }
    }

    /// Of several, in the order in which they were written; `None` if there are none.
    #[must_use]
    pub fn of_all(values: &[f64]) -> Option<Self> {
        let (&first, rest) = values.split_first()?;
        let mut summary = Self::of(first);
        for &value in rest {
            summary.min = summary.min.min(value);
            summary.max = summary.max.max(value);
            summary.sum += value;
        }
        summary.n = values.len() as u64;
        summary.sum = clamp(summary.sum);
        summary.last = values[values.len() - 1];
        Some(summary)
    }

    /// Adds what was written later.
    pub fn add(&mut self, later: &Self) {
        self.n = self.n.saturating_add(later.n);
        self.min = self.min.min(later.min);
        self.max = self.max.max(later.max);
        self.sum = clamp(self.sum + later.sum);
        self.last = later.last;
    }

    /// The arithmetic mean.
    #[must_use]
    pub fn mean(&self) -> f64 {
        self.sum / self.n as f64
    }
}
