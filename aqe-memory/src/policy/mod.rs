//! Which entries the hot tier keeps, decided for segments of entries that give way as a whole.
//!
//! The store has two queues of append-only segments. New entries are appended to [`Queue::Recent`]; when room is needed, the
//! queue named by [`Policy::victim`] gives up its oldest segment, and [`Policy::retire`] says for each live entry in
//! it, oldest first, whether it is appended again and where, or let go. That is the S3-FIFO family (Yang et al., "FIFO queues
//! are all you need for cache eviction", SOSP '23): no list is reordered on a hit, which only raises a counter of two bits ([`hit`]).
//!
//! No rule of that family is best everywhere. Small recent queues win where popularity is skewed, large ones where reads cluster in
//! time, and on loops wins who hardly admits anything. So the policy tries eight rules at once, each on a cache in
//! miniature that sees a sample of the keys, and follows the one whose miniature has the most hits ([`Samples`] brings the reads
//! of sampled keys there). Rules differ only in what happens at the next retirement: changing over moves nothing.
//!
//! Invariants:
//!
//! - No clock, no I/O, no randomness that differs between runs: the same calls have the same answers.
//! - [`Policy::memory`] is bounded by the capacity that was given (see there) and does not grow with the number of hits.
//! - A hit allocates nothing and takes no lock.
//! - Everything is weighed in bytes. Nothing depends on the number of entries, which nobody knows beforehand.
//! - Retiring every segment of both queues over and over, without a hit in between, lets go of every entry after at most four rounds:
//!   an entry is kept only for hits it had.

mod chance;
mod ghosts;
mod keys;
mod referee;
mod rule;
mod samples;
mod trial;
mod trials;

use chance::Chance;
use ghosts::Ghosts;
use trials::Trials;

pub use samples::{SAMPLES, Sample, Samples};

/// The highest frequency: two bits.
pub const FREQUENCY_MAX: u8 = 3;

/// An entry's frequency after one more hit.
///
/// Two readers that raise it at once with plain loads and stores may count one hit instead of two. That is harmless.
#[must_use]
#[inline]
pub const fn hit(frequency: u8) -> u8 {
    if frequency < FREQUENCY_MAX {
        frequency + 1
    } else {
        FREQUENCY_MAX
    }
}

/// One of the two queues of segments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Queue {
    /// Where entries come in.
    Recent,
    /// Where entries stay that have shown that they are read again.
    Main,
}

/// What is to become of an entry of a retired segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It is appended to this queue, with this frequency.
    Keep {
        /// Where to.
        queue: Queue,
        /// What its counter is to say.
        frequency: u8,
    },
    /// It leaves the hot tier.
    LetGo,
}

/// What the queues occupy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Bytes appended to the recent queue's segments.
    pub recent: u64,
    /// Bytes appended to the main queue's segments.
    pub main: u64,
    /// Whether the oldest segment of the recent queue was begun before the oldest one of the main queue.
    pub recent_is_older: bool,
}

/// The state of admission and eviction; owned by the side that evicts, under its lock.
///
/// # Examples
///
/// ```
/// use aqe_memory::policy::{Fate, Policy, Queue, Usage, hit};
///
/// let mut policy = Policy::new(1 << 20);
/// assert_eq!(policy.enter(0x9e37_79b9_7f4a_7c15), Queue::Recent);
///
/// // Full: the oldest segment gives way. What was read stays, what was not is let go.
/// let usage = Usage { recent: 1 << 20, main: 0, recent_is_older: true };
/// let queue = policy.victim(usage);
/// assert!(matches!(policy.retire(queue, 0x9e37_79b9_7f4a_7c15, hit(0), 100), Fate::Keep { .. }));
/// assert_eq!(policy.retire(queue, 0x6a09_e667_f3bc_c908, 0, 100), Fate::LetGo);
/// ```
#[derive(Debug)]
pub struct Policy {
    capacity: u64,
    trials: Trials,
    ghosts: Ghosts,
    chance: Chance,
    /// The mean weight of what was let go, fading; 0 before anything was.
    weight: f64,
}

/// What the ghosts may occupy: this part of the capacity, and 8 bytes an entry.
const GHOSTS_SHARE: u64 = 32;

/// Fingerprints for each entry that fits; with 4 bytes each, 8 bytes.
const GHOSTS_PER_ENTRY: f64 = 2.0;

impl Policy {
    /// The policy for queues of `capacity` bytes together.
    #[must_use]
    pub fn new(capacity: u64) -> Self {
        Self {
            capacity,
            trials: Trials::new(capacity),
            ghosts: Ghosts::default(),
            chance: Chance::default(),
            weight: 0.0,
        }
    }

    /// Goes by another capacity from now on. What was learnt is kept.
    pub fn resize(&mut self, capacity: u64) {
        self.capacity = capacity;
    }

    /// The queue that a new entry enters; to be called once for each, when it is inserted.
    ///
    /// `hash` has 64 well mixed bits and is the same each time the key comes.
    pub fn enter(&mut self, hash: u64) -> Queue {
        let rule = self.trials.rule();
        if self.ghosts.recall(hash, rule.memory) && self.chance.one_in(rule.admits) {
            Queue::Main
        } else {
            Queue::Recent
        }
    }

    /// The queue whose oldest segment is to give way. An empty queue is never named unless both are.
    #[must_use]
    pub fn victim(&self, usage: Usage) -> Queue {
        let rule = self.trials.rule();
        let recent = if usage.recent == 0 || usage.main == 0 {
            usage.main == 0
        } else if rule.together() {
            usage.recent_is_older
        } else {
            rule.exceeds_share(usage.recent, self.capacity)
        };
        if recent { Queue::Recent } else { Queue::Main }
    }

    /// What becomes of a live entry of the segment that gives way, of `weight` bytes.
    pub fn retire(&mut self, from: Queue, hash: u64, frequency: u8, weight: u64) -> Fate {
        let fate = self.trials.rule().fate(from, frequency);
        if fate == Fate::LetGo && from == Queue::Recent {
            self.make_room_for_ghosts(weight);
            self.ghosts.remember(hash);
            self.ghosts.pass(weight, self.capacity);
        }
        fate
    }

    /// Takes in what readers noted, and tells them which keys are wanted from now on.
    pub fn learn(&mut self, samples: &Samples) {
        let (trials, capacity) = (&mut self.trials, self.capacity);
        samples.collect(|sample| trials.see(sample, capacity));
        samples.set_mask(self.trials.mask());
    }

    /// Bytes that the policy occupies: at most a fiftieth of the capacity, or 32 KiB if that is more.
    #[must_use]
    pub fn memory(&self) -> usize {
        size_of::<Self>() + self.trials.memory() + self.ghosts.memory()
    }

    /// Follows the weight of entries, and with it how many fit. Ghosts begin anew when that has changed to half or double.
    fn make_room_for_ghosts(&mut self, weight: u64) {
        const FADING: f64 = 1.0 / 256.0;
        let weight = weight.max(1) as f64;
        if self.weight == 0.0 {
            self.weight = weight;
        }
        self.weight += (weight - self.weight) * FADING;
        let wanted = (self.capacity as f64 / self.weight * GHOSTS_PER_ENTRY) as u64;
        let most = self.capacity / GHOSTS_SHARE / size_of::<u32>() as u64;
        let wanted = usize::try_from(wanted.min(most)).unwrap_or(usize::MAX);
        let room = self.ghosts.room();
        if wanted > room.saturating_mul(2) || wanted < room / 2 {
            self.ghosts.resize(wanted);
        }
    }
}
