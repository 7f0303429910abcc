//! Durations, counted by size.

use std::fmt;
use std::time::Duration;

/// Durations, counted by size; histograms of several queues, or of several moments, can be [merged](Self::merge).
///
/// It is log-linear and of fixed size (8 KB): 16 buckets for each doubling, so a quantile read from it is at most 6.25 %
/// above the true one, from a nanosecond to 584 years.
///
/// ```
/// use std::time::Duration;
/// use aqe_queue::stats::Histogram;
///
/// let (mut one, mut other) = (Histogram::default(), Histogram::default());
/// one.observe(Duration::from_millis(1));
/// other.observe(Duration::from_millis(100));
/// one.merge(&other);
/// assert_eq!((one.count(), one.max()), (2, Duration::from_millis(100)));
/// assert!(one.quantile(0.5) < Duration::from_micros(1_063));
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Histogram {
    buckets: Box<[u64; BUCKETS]>,
    count: u64,
    max: u64,
}

/// Buckets per doubling, as a power of two.
const PRECISION: u32 = 4;
const PER_DOUBLING: usize = 1 << PRECISION;
/// The first row counts 0 to 15 exactly; each further row is one doubling up to 2^64.
const BUCKETS: usize = (64 - PRECISION as usize + 1) * PER_DOUBLING;

/// Points of a distribution of durations. Zero if nothing has been measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Quantiles {
    /// How many durations were measured.
    pub count: u64,
    /// Half of them were not longer.
    pub p50: Duration,
    /// 90 in 100 were not longer.
    pub p90: Duration,
    /// 95 in 100 were not longer.
    pub p95: Duration,
    /// 99 in 100 were not longer.
    pub p99: Duration,
    /// The longest, exactly.
    pub max: Duration,
}

impl Default for Histogram {
    fn default() -> Self {
        Self::new()
    }
}

impl Histogram {
    pub(crate) fn new() -> Self {
        Self {
            buckets: Box::new([0; BUCKETS]),
            count: 0,
            max: 0,
        }
    }

    /// Counts a duration. More than 584 years count as that.
    pub fn observe(&mut self, duration: Duration) {
        self.record(crate::state::nanos(duration));
    }

    /// Adds what another has counted: the result is what one would have that had counted all of it.
    pub fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.buckets.iter_mut().zip(other.buckets.iter()) {
            *mine += theirs;
        }
        self.count += other.count;
        self.max = self.max.max(other.max);
    }

    /// Returns how many durations were counted.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// Returns the longest, exactly; zero if there is none.
    #[must_use]
    pub const fn max(&self) -> Duration {
        Duration::from_nanos(self.max)
    }

    /// Returns the buckets that are not empty, from the shortest: the longest duration that belongs to each, and how many
    /// it has counted.
    pub fn buckets(&self) -> impl Iterator<Item = (Duration, u64)> {
        let counted = self
            .buckets
            .iter()
            .enumerate()
            .filter(|(_, count)| **count > 0);
        counted.map(|(index, count)| (Duration::from_nanos(upper(index)), *count))
    }

    pub(crate) fn record(&mut self, value: u64) {
        self.record_many(value, 1);
    }

    /// Counts one value so many times.
    pub(crate) fn record_many(&mut self, value: u64, count: u64) {
        self.buckets[bucket(value)] += count;
        self.count += count;
        if count > 0 {
            self.max = self.max.max(value);
        }
    }

    /// Returns the usual points of the distribution.
    #[must_use]
    pub fn quantiles(&self) -> Quantiles {
        Quantiles {
            count: self.count,
            p50: self.quantile(0.5),
            p90: self.quantile(0.9),
            p95: self.quantile(0.95),
            p99: self.quantile(0.99),
            max: Duration::from_nanos(self.max),
        }
    }

    /// Returns the upper end of the bucket in which a quantile lies, and never more than the longest duration; zero if there
    /// is none. `at`: 0–1, 0.5 is the median.
    #[must_use]
    pub fn quantile(&self, at: f64) -> Duration {
        // Precise enough up to 2^53 measurements.
        let rank = ((self.count as f64 * at).ceil() as u64).max(1);
        let mut seen = 0;
        for (index, count) in self.buckets.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return Duration::from_nanos(upper(index).min(self.max));
            }
        }
        Duration::from_nanos(self.max)
    }
}

impl fmt::Debug for Histogram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Histogram").field(&self.quantiles()).finish()
    }
}

fn bucket(value: u64) -> usize {
    if value < PER_DOUBLING as u64 {
        return value as usize;
    }
    let exponent = value.ilog2();
    let within = (value >> (exponent - PRECISION)) as usize & (PER_DOUBLING - 1);
    (exponent - PRECISION + 1) as usize * PER_DOUBLING + within
}

/// Returns the greatest value that falls into a bucket.
fn upper(index: usize) -> u64 {
    let (row, within) = (index / PER_DOUBLING, (index % PER_DOUBLING) as u64);
    if row == 0 {
        return within;
    }
    let shift = row as u32 - 1;
    let low = (PER_DOUBLING as u64 + within) << shift;
    low + ((1 << shift) - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_lies_in_its_bucket() {
        let edges = (0..64).flat_map(|bit| {
            let power = 1u64 << bit;
            [power - 1, power, power + 1, power | (power >> 1)]
        });
        for value in edges.chain([u64::MAX]) {
            let index = bucket(value);
            assert!(index < BUCKETS, "{value}");
            assert!(value <= upper(index), "{value}");
            assert!(index == 0 || value > upper(index - 1), "{value}");
            assert!(upper(index) as f64 <= value as f64 * 1.0625, "{value}");
        }
    }

    #[test]
    fn quantiles_of_a_hundred_milliseconds() {
        let mut histogram = Histogram::default();
        for ms in 1..=100 {
            histogram.record(ms * 1_000_000);
        }
        let quantiles = histogram.quantiles();
        assert_eq!(quantiles.max, Duration::from_millis(100));
        for (found, ms) in [
            (quantiles.p50, 50.0),
            (quantiles.p90, 90.0),
            (quantiles.p99, 99.0),
        ] {
            let ratio = found.as_secs_f64() * 1000.0 / ms;
            assert!((1.0..=1.0625).contains(&ratio), "{found:?}");
        }
    }

    #[test]
    fn nothing_measured_is_zero() {
        assert_eq!(Histogram::default().quantiles(), Quantiles::default());
    }

    #[test]
    fn merged_histograms_are_one_that_has_counted_all() {
        let mut chance = fastrand::Rng::with_seed(1);
        let (mut parts, mut whole) = ([(); 3].map(|()| Histogram::default()), Histogram::default());
        for _ in 0..10_000 {
            let shift = chance.u32(0..64);
            let value = Duration::from_nanos(chance.u64(..) >> shift);
            parts[chance.usize(0..3)].observe(value);
            whole.observe(value);
        }
        let [mut merged, second, third] = parts;
        merged.merge(&second);
        merged.merge(&third);
        merged.merge(&Histogram::default());
        assert_eq!(merged, whole);
        let counts: Vec<_> = merged.buckets().collect();
        assert_eq!(counts.iter().map(|(_, count)| count).sum::<u64>(), 10_000);
        assert!(counts.is_sorted_by(|one, next| one.0 < next.0));
        assert_eq!(merged.quantile(1.0), merged.max());
        assert!(merged.quantile(f64::NAN) <= merged.quantile(0.001));
    }
}
