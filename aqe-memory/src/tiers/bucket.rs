//! Which entries share a segment: those that end at about the same time.
//!
//! A segment is given back as a whole, so what it holds should end together (Yang, Yue and Vinayak, "Segcache: a
//! memory-efficient and scalable in-memory key-value cache for small objects", NSDI 2021). Unlike there, a bucket only
//! chooses the neighbours: each entry keeps its own deadline, to the millisecond.

use crate::clock::Millis;

/// Entries that end within this stretch of time. A hundredth of their lifetime wide, more or less.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Bucket {
    width: u32,
    number: u64,
}

/// The narrowest buckets: 128 ms. What is narrower gives memory back little sooner and takes many more segments.
const NARROWEST: u32 = 7;

impl Bucket {
    pub(crate) fn of(deadline: Millis, now: Millis) -> Self {
        if deadline == Millis::MAX {
            let width = u32::MAX;
            return Self { width, number: 0 };
        }
        let lifetime = deadline.saturating_sub(now).max(1);
        let width = lifetime.ilog2().saturating_sub(6).max(NARROWEST);
        let number = deadline >> width;
        Self { width, number }
    }

    /// The latest deadline that falls into it.
    pub(crate) fn end(self) -> Millis {
        match self.width {
            u32::MAX => Millis::MAX,
            width => ((self.number + 1) << width) - 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_that_end_together_share_a_bucket() {
        let now = 1_600_000_000_000;
        let second = 1000;
        assert_eq!(Bucket::of(now + 4 * second, now).width, 7);
        assert_eq!(Bucket::of(now + 3600 * second, now).width, 15);
        assert_eq!(
            Bucket::of(now - 1, now).width,
            7,
            "what is over has a bucket too"
        );
        // Over a second, entries of four seconds each fall into eight or nine buckets.
        let mut buckets: Vec<_> = (now..now + second)
            .map(|now| Bucket::of(now + 4 * second, now))
            .collect();
        buckets.dedup();
        assert!((8..=9).contains(&buckets.len()), "{}", buckets.len());
        let never = Bucket::of(Millis::MAX, now);
        assert_eq!(never, Bucket::of(Millis::MAX, now + second));
        assert!(buckets.iter().all(|bucket| *bucket != never));
        assert!(
            buckets
                .iter()
                .all(|bucket| (now + 4 * second..now + 6 * second).contains(&bucket.end()))
        );
        assert_eq!(never.end(), Millis::MAX);
    }
}
