//! The ways to manage two queues among which the policy chooses.

use super::{FREQUENCY_MAX, Fate, Queue};

/// How entries move between the queues, and which queue gives way.
///
/// All rules speak of the same two queues, so the policy can change from one to another at any time without moving an
/// entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rule {
    /// The part of the capacity that the recent queue may have before it gives way, in thousandths. At 1,000 the queues
    /// are one: whichever has the oldest segment gives way.
    pub(super) share: u64,
    /// How often an entry of the recent queue must have been read to be kept; above [`FREQUENCY_MAX`] none is.
    pub(super) keep_from: u8,
    /// How many turns in the main queue reads can earn.
    pub(super) turns: u8,
    /// For how much that has been let go since an entry is remembered, in sixteenths of the capacity.
    pub(super) memory: u8,
    /// One in so many remembered entries enters the main queue at once.
    pub(super) admits: u32,
}

/// How many rules there are.
pub(super) const RULES: usize = 8;

/// Where the policy starts: [`Rule::together`], since what fits is held by it as by no other.
pub(super) const FIRST: usize = 0;

/// The rules, found by trying many on the loads of `compare hits`: what each contributes stands beside it.
pub(super) const ALL: [Rule; RULES] = [
    // One clock over everything, which is within a point of least-recently-used on every load: for recency.
    Rule {
        turns: 1,
        memory: 0,
        ..split(1_000)
    },
    // S3-FIFO (Yang et al., SOSP '23): nine tenths for what was read again.
    split(100),
    // Demotion as quick as it can be: for steep popularity and for scans.
    split(10),
    // Between them: correlated reads that lie further apart than S3-FIFO's small queue reaches.
    split(300),
    split(600),
    // First in, first out: for keys that are read a few times soon and then never. Reads earn nothing.
    Rule {
        keep_from: FREQUENCY_MAX + 1,
        ..split(900)
    },
    // The main queue is hardly ever entered, so that a part of a loop larger than the cache survives in it until the loop
    // comes round (the idea of BIP: Qureshi et al., "Adaptive insertion policies", ISCA '07).
    Rule {
        memory: 32,
        admits: 4,
        ..split(10)
    },
    Rule {
        memory: 32,
        admits: 16,
        ..split(10)
    },
];

const fn split(share: u64) -> Rule {
    Rule {
        share,
        keep_from: 1,
        turns: FREQUENCY_MAX,
        memory: 16,
        admits: 1,
    }
}

impl Rule {
    /// Whether the queues are one.
    pub(super) fn together(&self) -> bool {
        self.share == 1_000
    }

    /// Whether a recent queue of so many bytes has had its share.
    pub(super) fn exceeds_share(&self, recent: u64, capacity: u64) -> bool {
        let allowed = u128::from(capacity) * u128::from(self.share) / 1_000;
        u128::from(recent) >= allowed.max(1)
    }

    /// What becomes of the oldest entry of a queue.
    pub(super) fn fate(&self, from: Queue, frequency: u8) -> Fate {
        // In one clock what is kept stays where entries come in: a second open segment would be room for nothing.
        let queue = if self.together() {
            Queue::Recent
        } else {
            Queue::Main
        };
        match from {
            Queue::Recent if frequency >= self.keep_from => Fate::Keep {
                queue,
                frequency: 0,
            },
            Queue::Main if frequency > 0 => Fate::Keep {
                queue,
                frequency: frequency.min(self.turns) - 1,
            },
            Queue::Recent | Queue::Main => Fate::LetGo,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_rule_is_the_one_clock() {
        assert!(ALL[FIRST].together());
        assert_eq!(ALL.iter().filter(|rule| rule.together()).count(), 1);
    }

    #[test]
    fn fates_by_rule() {
        let keep = |queue, frequency| Fate::Keep { queue, frequency };
        let (clock, s3, fifo) = (&ALL[0], &ALL[1], &ALL[5]);
        for (rule, from, frequency, fate) in [
            (clock, Queue::Recent, 0, Fate::LetGo),
            (clock, Queue::Recent, 3, keep(Queue::Recent, 0)),
            (clock, Queue::Main, 3, keep(Queue::Recent, 0)),
            (s3, Queue::Recent, 0, Fate::LetGo),
            (s3, Queue::Recent, 1, keep(Queue::Main, 0)),
            (s3, Queue::Main, 0, Fate::LetGo),
            (s3, Queue::Main, 3, keep(Queue::Main, 2)),
            (fifo, Queue::Recent, 3, Fate::LetGo),
            (fifo, Queue::Main, 1, keep(Queue::Main, 0)),
        ] {
            assert_eq!(
                rule.fate(from, frequency),
                fate,
                "{rule:?} {from:?} {frequency}"
            );
        }
    }

    #[test]
    fn a_share_is_exceeded_when_it_is_reached() {
        let s3 = &ALL[1];
        assert!(!s3.exceeds_share(99, 1_000));
        assert!(s3.exceeds_share(100, 1_000));
        assert!(!s3.exceeds_share(0, 0), "nothing is no share");
        assert!(s3.exceeds_share(u64::MAX / 10 + 1, u64::MAX), "no overflow");
    }
}
