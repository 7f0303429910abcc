//! Which bucket a value falls into, and what a set of buckets says about quantiles.
//!
//! Log-linear, as in Tene's HdrHistogram: 128 buckets of equal width for each doubling. Values below 256 have a bucket
//! each; above, a bucket's width is at most 1/128 of its lower bound, so its middle is at most 1/257, or 0.4 %, away
//! from any value in it.

/// Buckets per doubling, as a power of two.
const PRECISION: u32 = 7;

/// Buckets of one octave.
pub(crate) const PER_OCTAVE: usize = 1 << PRECISION;

/// The first octave counts 0 to 127; each further one is a doubling, up to 2^64.
pub(crate) const OCTAVES: usize = 64 - PRECISION as usize + 1;

/// The place of a value's bucket: its octave, and which of it.
#[inline]
pub(crate) fn place(value: u64) -> (usize, usize) {
    // All values below 256 are shifted by nothing, and the upper half of them is the octave above the first.
    let top = (value | PER_OCTAVE as u64).leading_zeros() ^ 63;
    let shift = top - PRECISION;
    let bucket = (value >> shift) as usize;
    (shift as usize + bucket / PER_OCTAVE, bucket % PER_OCTAVE)
}

/// The smallest and the largest value of a bucket.
fn bounds(index: u16) -> (u64, u64) {
    let (octave, bucket) = (
        usize::from(index) / PER_OCTAVE,
        usize::from(index) % PER_OCTAVE,
    );
    if octave == 0 {
        return (bucket as u64, bucket as u64);
    }
    let shift = octave - 1;
    let lower = ((PER_OCTAVE + bucket) as u64) << shift;
    (lower, lower + ((1_u64 << shift) - 1))
}

/// What a histogram had recorded at a moment: the buckets that are not empty, and the sum.
///
/// Snapshots of several histograms or of several moments can be [merged](Self::merge) without losing precision, which
/// quantiles cannot. A quantile read from one is at most 0.4 % away from the true one; values below 256 are exact.
///
/// ```
/// use aqe_monitor::registry::HistogramSnapshot;
///
/// let mut one: HistogramSnapshot = (1..=100).collect();
/// let other: HistogramSnapshot = [40_000].into_iter().collect();
/// one.merge(&other);
/// assert_eq!((one.count(), one.sum()), (101, 45_050));
/// assert_eq!(one.quantile(0.5), Some(51));
/// assert!(one.quantile(1.0).unwrap().abs_diff(40_000) < 160);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HistogramSnapshot {
    /// Index and count, by rising index, none empty.
    buckets: Vec<(u16, u64)>,
    count: u64,
    sum: u64,
}

/// A bucket of a [`HistogramSnapshot`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Bucket {
    /// The number of the bucket: the same in every histogram of every process, for storing.
    pub index: u16,
    /// The smallest value that falls into it.
    pub lower: u64,
    /// The largest value that falls into it.
    pub upper: u64,
    /// How many values did.
    pub count: u64,
}

impl HistogramSnapshot {
    /// One with these buckets (index and count), as [`buckets`](Self::buckets) gave them, and this sum of all values.
    ///
    /// Buckets may come in any order and twice; `None` if there is no bucket with one of the indices.
    #[must_use]
    pub fn from_buckets(buckets: impl IntoIterator<Item = (u16, u64)>, sum: u64) -> Option<Self> {
        let mut buckets: Vec<(u16, u64)> = buckets.into_iter().collect();
        if buckets
            .iter()
            .any(|&(index, _)| usize::from(index) >= OCTAVES * PER_OCTAVE)
        {
            return None;
        }
        buckets.sort_unstable_by_key(|&(index, _)| index);
        buckets.dedup_by(|next, kept| {
            let same = next.0 == kept.0;
            if same {
                kept.1 = kept.1.saturating_add(next.1);
            }
            same
        });
        buckets.retain(|&(_, count)| count > 0);
        let count = buckets
            .iter()
            .fold(0_u64, |all, &(_, count)| all.saturating_add(count));
        Some(Self {
            buckets,
            count,
            sum,
        })
    }

    /// The buckets that are not empty, from the smallest values up.
    pub fn buckets(&self) -> impl ExactSizeIterator<Item = Bucket> + '_ {
        self.buckets.iter().map(|&(index, count)| {
            let (lower, upper) = bounds(index);
            Bucket {
                index,
                lower,
                upper,
                count,
            }
        })
    }

    /// How many values were recorded.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The sum of all values, exact as long as it is below 2^64; beyond that it wraps.
    #[must_use]
    pub fn sum(&self) -> u64 {
        self.sum
    }

    /// The mean of all values; `None` of none.
    #[must_use]
    pub fn mean(&self) -> Option<f64> {
        (self.count > 0).then(|| self.sum as f64 / self.count as f64)
    }

    /// The value that `q` (0–1) of all values do not exceed; `None` of none.
    ///
    /// That is the value of rank ⌈`q` × count⌉, as the middle of its bucket. A `q` outside of 0–1 counts as the nearer of
    /// the two, one that is no number as 0.
    #[must_use]
    pub fn quantile(&self, q: f64) -> Option<u64> {
        let rank =
            ((q.clamp(0.0, 1.0) * self.count as f64).ceil() as u64).clamp(1, self.count.max(1));
        let mut seen = 0_u64;
        for bucket in self.buckets() {
            seen = seen.saturating_add(bucket.count);
            if seen >= rank {
                return Some(bucket.lower + (bucket.upper - bucket.lower) / 2);
            }
        }
        None
    }

    /// How many values were at most `bound`; those in the bucket of `bound` count with it.
    ///
    /// Exact if `bound` is the upper end of a bucket.
    #[must_use]
    pub fn count_up_to(&self, bound: u64) -> u64 {
        let last = index(bound);
        let within = self.buckets.iter().take_while(|&&(index, _)| index <= last);
        within.fold(0, |all, &(_, count)| all.saturating_add(count))
    }

    /// The upper end of the bucket that `value` falls into: the next bound from `value` up that can be counted exactly.
    #[must_use]
    pub fn bound(value: u64) -> u64 {
        bounds(index(value)).1
    }

    /// Adds what another has recorded.
    pub fn merge(&mut self, other: &Self) {
        let both = self.buckets.iter().chain(&other.buckets).copied();
        if let Some(merged) = Self::from_buckets(both, self.sum.wrapping_add(other.sum)) {
            *self = merged;
        }
    }

    /// What was recorded since `earlier`, a snapshot of the same histogram.
    ///
    /// Buckets that have fewer values now than then, as after a restart, count as empty.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let before = |index: u16| {
            let found = earlier
                .buckets
                .binary_search_by_key(&index, |&(index, _)| index);
            found.map_or(0, |at| earlier.buckets[at].1)
        };
        let grown = self
            .buckets
            .iter()
            .map(|&(index, count)| (index, count.saturating_sub(before(index))));
        Self::from_buckets(grown, self.sum.wrapping_sub(earlier.sum)).unwrap_or_default()
    }
}

impl FromIterator<u64> for HistogramSnapshot {
    fn from_iter<I: IntoIterator<Item = u64>>(values: I) -> Self {
        let mut dense = Dense::default();
        for value in values {
            let (octave, bucket) = place(value);
            dense.add(octave, bucket, 1);
            dense.sum = dense.sum.wrapping_add(value);
        }
        dense.snapshot()
    }
}

fn index(value: u64) -> u16 {
    let (octave, bucket) = place(value);
    (octave * PER_OCTAVE + bucket) as u16
}

/// Counts in full width, by octaves that come on first use.
#[derive(Clone, Debug)]
pub(crate) struct Dense {
    octaves: [Option<Box<[u64; PER_OCTAVE]>>; OCTAVES],
    pub(crate) sum: u64,
}

impl Default for Dense {
    fn default() -> Self {
        Self {
            octaves: [const { None }; OCTAVES],
            sum: 0,
        }
    }
}

impl Dense {
    pub(crate) fn octave(&mut self, octave: usize) -> &mut [u64; PER_OCTAVE] {
        self.octaves[octave].get_or_insert_with(|| Box::new([0; PER_OCTAVE]))
    }

    pub(crate) fn add(&mut self, octave: usize, bucket: usize, n: u64) {
        let count = &mut self.octave(octave)[bucket];
        *count = count.saturating_add(n);
    }

    pub(crate) fn snapshot(&self) -> HistogramSnapshot {
        let mut buckets = Vec::new();
        let mut total = 0_u64;
        for (octave, counts) in self.octaves.iter().enumerate() {
            for (bucket, &count) in counts.iter().flat_map(|counts| counts.iter().enumerate()) {
                if count > 0 {
                    buckets.push(((octave * PER_OCTAVE + bucket) as u16, count));
                    total = total.saturating_add(count);
                }
            }
        }
        HistogramSnapshot {
            buckets,
            count: total,
            sum: self.sum,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn buckets_follow_one_another_without_a_gap() {
        let mut next = 0_u64;
        let last = (OCTAVES * PER_OCTAVE - 1) as u16;
        for index in 0..=last {
            let (lower, upper) = bounds(index);
            assert_eq!(lower, next, "{index}");
            assert!(upper >= lower, "{index}");
            next = upper.wrapping_add(1);
        }
        assert_eq!(next, 0, "the last bucket ends at 2^64");
    }

    proptest! {
        #[test]
        fn a_value_lies_in_its_bucket_and_near_its_middle(value in any::<u64>(), shift in 0_u32..64) {
            let value = value >> shift;
            let (lower, upper) = bounds(index(value));
            prop_assert!((lower..=upper).contains(&value));
            let middle = lower + (upper - lower) / 2;
            prop_assert!(middle.abs_diff(value) as f64 <= value as f64 / 256.0);
            if value < 256 {
                prop_assert_eq!(lower, upper);
            }
        }

        #[test]
        fn merging_is_recording_both(one in values(), other in values()) {
            let mut merged: HistogramSnapshot = one.iter().copied().collect();
            let then = merged.clone();
            let added: HistogramSnapshot = other.iter().copied().collect();
            merged.merge(&added);
            let together: HistogramSnapshot = one.iter().chain(&other).copied().collect();
            prop_assert_eq!(&merged, &together);
            prop_assert_eq!(merged.since(&then), added);
        }

        #[test]
        fn buckets_rebuild_what_they_came_from(values in values()) {
            let snapshot: HistogramSnapshot = values.into_iter().collect();
            let buckets: Vec<_> = snapshot.buckets().map(|bucket| (bucket.index, bucket.count)).collect();
            prop_assert_eq!(HistogramSnapshot::from_buckets(buckets, snapshot.sum()), Some(snapshot));
        }

        #[test]
        fn any_bucket_list_is_taken_or_refused(buckets in proptest::collection::vec(any::<(u16, u64)>(), 0..20), q in any::<f64>()) {
            let known = buckets.iter().all(|&(index, _)| usize::from(index) < OCTAVES * PER_OCTAVE);
            let snapshot = HistogramSnapshot::from_buckets(buckets, 0);
            prop_assert_eq!(snapshot.is_some(), known);
            if let Some(snapshot) = snapshot {
                prop_assert_eq!(snapshot.quantile(q).is_some(), snapshot.count() > 0);
            }
        }
    }

    fn values() -> impl Strategy<Value = Vec<u64>> {
        proptest::collection::vec(
            (any::<u64>(), 0_u32..64).prop_map(|(value, shift)| value >> shift),
            0..200,
        )
    }

    #[test]
    fn an_empty_histogram_has_no_quantile() {
        let empty = HistogramSnapshot::default();
        assert_eq!(
            (
                empty.quantile(0.5),
                empty.mean(),
                empty.count_up_to(u64::MAX)
            ),
            (None, None, 0)
        );
    }

    #[test]
    fn counting_up_to_a_bound_is_exact_at_bounds() {
        let values: Vec<u64> = (0..100_000).step_by(7).collect();
        let snapshot: HistogramSnapshot = values.iter().copied().collect();
        for near in [0, 5, 300, 1_000, 65_000] {
            let bound = HistogramSnapshot::bound(near);
            let exact = values.iter().filter(|&&value| value <= bound).count() as u64;
            assert_eq!(snapshot.count_up_to(bound), exact);
            assert!(bound >= near && bound as f64 <= near as f64 * 1.008);
        }
    }
}
