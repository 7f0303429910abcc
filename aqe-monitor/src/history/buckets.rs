//! Histograms as they are kept: lists of buckets that can be added up.
//!
//! Percentiles of an hour cannot be had from percentiles of its minutes, and can from the sums of their buckets. So what is kept are
//! buckets, and quantiles are worked out of them when somebody asks.
//!
//! Buckets are log-linear (as in HdrHistogram): with precision `p`, each power of two is divided into 2^`p` buckets of equal width, and
//! whole numbers below 2^(`p`+1) have one each. The middle of a bucket is at most 2^-(`p`+1) away from any of its values,
//! relative to the value: 0.4 % for precision 7.

use super::error::HistoryError;

/// How many values fell into which bucket, since the tick before or over any longer time.
///
/// Values are whole numbers of any unit, nanoseconds for instance.
///
/// ```
/// use aqe_monitor::history::Buckets;
///
/// let mut minute = Buckets::new(7);
/// for latency in 1..=1000_u64 {
///     minute.record(latency * 1000, 1);
/// }
/// let median = minute.quantile(0.5).unwrap();
/// assert!((median / 500_000.0 - 1.0).abs() < 0.005);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Buckets {
    precision: u8,
    sum: f64,
    /// Number of the bucket, how many; ascending, none of them zero.
    counts: Vec<(u32, u64)>,
}

impl Buckets {
    /// The largest precision: 256 buckets for each power of two, and so 14,592 at most.
    pub const MAX_PRECISION: u8 = 8;

    /// No values yet. A precision above [`MAX_PRECISION`](Self::MAX_PRECISION) becomes it.
    #[must_use]
    pub fn new(precision: u8) -> Self {
        Self {
            precision: precision.min(Self::MAX_PRECISION),
            sum: 0.0,
            counts: Vec::new(),
        }
    }

    /// From counts by bucket in any order, as another histogram with the same buckets has them, and the sum of its values.
    #[must_use]
    pub fn from_counts(
        precision: u8,
        sum: f64,
        counts: impl IntoIterator<Item = (u32, u64)>,
    ) -> Self {
        let mut buckets = Self::new(precision);
        buckets.sum = clamp(sum);
        let last = buckets.bucket_of(u64::MAX);
        for (bucket, count) in counts {
            buckets.add(bucket.min(last), count);
        }
        buckets
    }

    /// From counts in the order in which they are kept; `None` if they are in another, or not counts of such buckets.
    pub(super) fn from_kept(precision: u8, sum: f64, counts: Vec<(u32, u64)>) -> Option<Self> {
        let mut buckets = Self::new(precision);
        let last = buckets.bucket_of(u64::MAX);
        let is_kept = buckets.precision == precision
            && sum.is_finite()
            && counts
                .iter()
                .all(|&(bucket, count)| bucket <= last && count > 0)
            && counts.is_sorted_by(|left, right| left.0 < right.0);
        buckets.sum = sum;
        buckets.counts = counts;
        is_kept.then_some(buckets)
    }

    /// Counts a value so many times.
    pub fn record(&mut self, value: u64, times: u64) {
        self.add(self.bucket_of(value), times);
        self.sum = clamp(self.sum + value as f64 * times as f64);
    }

    fn add(&mut self, bucket: u32, count: u64) {
        if count == 0 {
            return;
        }
        match self.counts.last() {
            // Most come in order.
            Some(&(last, _)) if last >= bucket => {
                match self
                    .counts
                    .binary_search_by_key(&bucket, |&(bucket, _)| bucket)
                {
                    Ok(at) => self.counts[at].1 = self.counts[at].1.saturating_add(count),
                    Err(at) => self.counts.insert(at, (bucket, count)),
                }
            }
            _ => self.counts.push((bucket, count)),
        }
    }

    /// Adds the values of another.
    ///
    /// # Errors
    ///
    /// [`HistoryError::Precision`] if its buckets are others; nothing is added then.
    pub fn merge(&mut self, other: &Self) -> Result<(), HistoryError> {
        if self.precision != other.precision {
            return Err(HistoryError::Precision(self.precision, other.precision));
        }
        self.sum = clamp(self.sum + other.sum);
        let mine = std::mem::take(&mut self.counts);
        let mut mine = mine.into_iter().peekable();
        for &(bucket, count) in &other.counts {
            while let Some(before) = mine.next_if(|&(mine, _)| mine < bucket) {
                self.counts.push(before);
            }
            let same = mine.next_if(|&(mine, _)| mine == bucket);
            let already = same.map_or(0, |(_, count)| count);
            self.counts.push((bucket, already.saturating_add(count)));
        }
        self.counts.extend(mine);
        Ok(())
    }

    /// Each power of two is divided into two to the power of this.
    #[must_use]
    pub fn precision(&self) -> u8 {
        self.precision
    }

    /// How many values there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts
            .iter()
            .fold(0, |sum, &(_, count)| sum.saturating_add(count))
    }

    /// The sum of the values.
    #[must_use]
    pub fn sum(&self) -> f64 {
        self.sum
    }

    /// Number and count of each bucket that is not empty, ascending.
    #[must_use]
    pub fn counts(&self) -> &[(u32, u64)] {
        &self.counts
    }

    /// Smallest value that falls into this bucket, and the first that no longer does.
    #[must_use]
    pub fn bounds(&self, bucket: u32) -> (f64, f64) {
        let (precision, bucket) = (
            u32::from(self.precision),
            bucket.min(self.bucket_of(u64::MAX)),
        );
        if bucket < 2 << precision {
            return (f64::from(bucket), f64::from(bucket) + 1.0);
        }
        let shift = (bucket >> precision) - 1;
        let within = u64::from(bucket - (shift << precision));
        let width = (1_u64 << shift) as f64;
        let lower = (within << shift) as f64;
        (lower, lower + width)
    }

    fn bucket_of(&self, value: u64) -> u32 {
        let precision = u32::from(self.precision);
        if value < 2 << precision {
            // Below 2^9, so nothing is lost.
            return value as u32;
        }
        let shift = value.ilog2() - precision;
        // The quotient is below 2^(precision + 1).
        (shift << precision) + (value >> shift) as u32
    }

    /// A value that this share (0–1) of all values does not exceed, or `None` if there are none. It is the middle of a bucket.
    #[must_use]
    pub fn quantile(&self, quantile: f64) -> Option<f64> {
        let count = self.count();
        if count == 0 || quantile.is_nan() {
            return None;
        }
        let rank = (quantile.clamp(0.0, 1.0) * count as f64).ceil().max(1.0);
        let mut before = 0_u64;
        let reached = self.counts.iter().find(|&&(_, count)| {
            before = before.saturating_add(count);
            before as f64 >= rank
        });
        let &(bucket, _) = reached.or_else(|| self.counts.last())?;
        Some(self.middle(bucket))
    }

    fn middle(&self, bucket: u32) -> f64 {
        let (lower, upper) = self.bounds(bucket);
        // A bucket of one whole number is that number.
        if upper - lower <= 1.0 {
            lower
        } else {
            (lower + upper) / 2.0
        }
    }

    /// Middles of the lowest and of the highest bucket.
    pub(super) fn extremes(&self) -> Option<(f64, f64)> {
        let (&(lowest, _), &(highest, _)) = (self.counts.first()?, self.counts.last()?);
        Some((self.middle(lowest), self.middle(highest)))
    }
}

/// Sums stay finite, so that no infinity or not-a-number gets into a file.
pub(super) fn clamp(sum: f64) -> f64 {
    if sum.is_nan() {
        0.0
    } else {
        sum.clamp(f64::MIN, f64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_value_lies_within_the_bounds_of_its_bucket(value: u64, precision in 0..=8_u8) {
            let buckets = Buckets::new(precision);
            let (lower, upper) = buckets.bounds(buckets.bucket_of(value));
            prop_assert!(lower <= value as f64 && value as f64 <= upper);
            let middle = buckets.middle(buckets.bucket_of(value));
            let error = (middle - value as f64).abs() / (value as f64).max(1.0);
            prop_assert!(error <= 0.5_f64.powi(i32::from(precision) + 1) + 1e-12);
        }

        #[test]
        fn merging_is_recording_both(
            left in prop::collection::vec(0..100_000_u64, 0..50),
            right in prop::collection::vec(0..100_000_u64, 0..50),
        ) {
            let record = |values: &[u64]| {
                let mut buckets = Buckets::new(5);
                values.iter().for_each(|&value| buckets.record(value, 1));
                buckets
            };
            let mut merged = record(&left);
            merged.merge(&record(&right)).unwrap();
            prop_assert_eq!(merged, record(&[left, right].concat()));
        }
    }

    #[test]
    fn quantiles_of_nothing_are_nothing() {
        assert_eq!(Buckets::new(7).quantile(0.5), None);
    }

    #[test]
    fn other_buckets_are_not_merged() {
        let mut buckets = Buckets::new(7);
        buckets.record(3, 1);
        let before = buckets.clone();
        assert!(buckets.merge(&Buckets::new(6)).is_err());
        assert_eq!(buckets, before);
    }

    #[test]
    fn sums_and_counts_stay_finite() {
        let mut buckets = Buckets::new(7);
        for _ in 0..3 {
            buckets.record(u64::MAX, u64::MAX);
        }
        assert_eq!(buckets.count(), u64::MAX);
        assert!(buckets.sum().is_finite());
        assert!(buckets.quantile(1.0).is_some());
    }
}
