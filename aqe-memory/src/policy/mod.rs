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
#[cfg(test)]
mod model;
mod referee;
mod rule;
mod samples;
mod trial;
mod trials;

use chance::Chance;
use ghosts::Ghosts;
use trials::Trials;

#[cfg(feature = "internals")]
pub use samples::SAMPLES;
pub use samples::{Sample, Samples};

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
#[derive(Debug)]
pub struct Policy {
    capacity: u64,
    trials: Trials,
    ghosts: Ghosts,
    chance: Chance,
    /// The mean weight of what was let go, fading; 0 before anything was.
    weight: f64,
    /// How many entries were let go, to see to the room for ghosts now and then only.
    turns: u32,
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
            turns: 0,
        }
    }

    /// The capacity that it goes by.
    #[must_use]
    pub fn capacity(&self) -> u64 {
        self.capacity
    }

    /// Goes by another capacity from now on, as far as it affords with all that was learnt.
    pub fn resize(&mut self, capacity: u64) {
        self.capacity = capacity;
        self.trials.resize(capacity);
    }

    /// Forgets what was let go, and gives the memory of that back.
    pub fn forget(&mut self) {
        self.ghosts = Ghosts::default();
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

    /// Bytes that the policy occupies: at most 8 for each entry that fits and a thirty-second of the capacity, for what was let
    /// go; and for the trials a hundredth of the capacity, but no less than 20 KiB and no more than 300 KiB.
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
        // The mean moves slowly, and a division for every entry is felt.
        self.turns = self.turns.wrapping_add(1);
        if self.turns % 64 != 1 {
            return;
        }
        let wanted = (self.capacity as f64 / self.weight * GHOSTS_PER_ENTRY) as u64;
        let most = self.capacity / GHOSTS_SHARE / size_of::<u32>() as u64;
        let wanted = usize::try_from(wanted.min(most)).unwrap_or(usize::MAX);
        let room = self.ghosts.room();
        if wanted > room.saturating_mul(2) || wanted < room / 2 {
            self.ghosts.resize(wanted);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{HashMap, VecDeque};

    use proptest::prelude::*;

    use super::model::{Model, hash};
    use super::rule::{ALL, RULES};
    use super::*;

    /// The least store around a policy: segments of some bytes, retired as a whole.
    struct Store {
        policy: Policy,
        queues: [VecDeque<Segment>; 2],
        /// Where a key's entry is current: the segment's number and the frequency.
        index: HashMap<u64, (u64, u8)>,
        segment: u64,
        begun: u64,
    }

    struct Segment {
        number: u64,
        entries: Vec<(u64, u64)>,
        weight: u64,
    }

    impl Store {
        fn new(policy: Policy, segment: u64) -> Self {
            Self {
                policy,
                queues: Default::default(),
                index: HashMap::new(),
                segment,
                begun: 0,
            }
        }

        fn weight(&self, queue: Queue) -> u64 {
            self.queues[queue as usize]
                .iter()
                .map(|segment| segment.weight)
                .sum()
        }

        fn append(&mut self, key: u64, weight: u64, queue: Queue, frequency: u8) {
            let segments = &mut self.queues[queue as usize];
            if segments
                .back()
                .is_none_or(|open| open.weight + weight > self.segment)
            {
                self.begun += 1;
                segments.push_back(Segment {
                    number: self.begun,
                    entries: Vec::new(),
                    weight: 0,
                });
            }
            let open = segments.back_mut().unwrap();
            open.entries.push((key, weight));
            open.weight += weight;
            self.index.insert(key, (open.number, frequency));
        }

        /// Retires one segment; says how many of its entries were let go.
        fn retire(&mut self) -> usize {
            let oldest = |queue: &VecDeque<Segment>| queue.front().map(|segment| segment.number);
            let usage = Usage {
                recent: self.weight(Queue::Recent),
                main: self.weight(Queue::Main),
                recent_is_older: oldest(&self.queues[0]) < oldest(&self.queues[1]),
            };
            let from = self.policy.victim(usage);
            let segment = self.queues[from as usize]
                .pop_front()
                .expect("a queue with a segment is named");
            let mut let_go = 0;
            for (key, weight) in segment.entries {
                let (_, frequency) = self.index[&key];
                match self.policy.retire(from, hash(key), frequency, weight) {
                    Fate::Keep { queue, frequency } => self.append(key, weight, queue, frequency),
                    Fate::LetGo => {
                        self.index.remove(&key);
                        let_go += 1;
                    }
                }
            }
            let_go
        }

        fn read(&mut self, key: u64, weight: u64, samples: &Samples) -> bool {
            let held = self.index.get_mut(&key);
            let hit_it = held.is_some();
            if samples.wants(hash(key)) {
                samples.note(Sample {
                    hash: hash(key),
                    weight,
                    hit: hit_it,
                });
            }
            if let Some((_, frequency)) = held {
                *frequency = hit(*frequency);
                return true;
            }
            if weight > self.policy.capacity {
                return false;
            }
            let queue = self.policy.enter(hash(key));
            while self.weight(Queue::Recent) + self.weight(Queue::Main) + weight
                > self.policy.capacity
            {
                self.policy.learn(samples);
                self.retire();
            }
            self.append(key, weight, queue, 0);
            false
        }
    }

    #[test]
    fn what_was_read_stays_and_what_was_not_is_let_go() {
        let mut policy = Policy::new(1 << 20);
        assert_eq!(policy.enter(0x9e37_79b9_7f4a_7c15), Queue::Recent);
        let usage = Usage {
            recent: 1 << 20,
            main: 0,
            recent_is_older: true,
        };
        let queue = policy.victim(usage);
        let read = policy.retire(queue, 0x9e37_79b9_7f4a_7c15, hit(0), 100);
        assert!(matches!(read, Fate::Keep { .. }));
        let not_read = policy.retire(queue, 0x6a09_e667_f3bc_c908, 0, 100);
        assert_eq!(not_read, Fate::LetGo);
    }

    fn following(rule: usize, capacity: u64) -> Policy {
        let mut policy = Policy::new(capacity);
        policy.trials.follow_only(rule);
        policy
    }

    proptest! {
        /// With one entry a segment, and so few keys that no bucket of ghosts overflows, the store holds what the model of the
        /// rule holds.
        #[test]
        fn entry_by_entry_the_policy_is_the_model_of_its_rule(
            rule in 0..RULES,
            reads in proptest::collection::vec(0u64..16, 1..400),
        ) {
            const CAPACITY: u64 = 20_000;
            let samples = Samples::default();
            // Nothing is sampled: the rule stays.
            samples.set_mask(u64::MAX);
            let mut store = Store::new(following(rule, CAPACITY), 1);
            let mut model = Model::new(&ALL[rule], CAPACITY);
            for key in reads {
                prop_assert_eq!(store.read(key, 2_000, &samples), model.read(key, 2_000));
                samples.set_mask(u64::MAX);
            }
        }

        /// Whatever the segments, weights and rules: there is room for what comes, and memory has its bound.
        #[test]
        fn segments_of_any_size_give_room(
            capacity in 1_000u64..100_000,
            segments in 1u64..100,
            reads in proptest::collection::vec((0u64..200, 1u64..3_000), 1..500),
        ) {
            let samples = Samples::default();
            let mut store = Store::new(Policy::new(capacity), capacity / segments);
            let mut weights = HashMap::new();
            for (key, weight) in reads {
                let weight = *weights.entry(key).or_insert(weight);
                store.read(key, weight, &samples);
                prop_assert!(store.weight(Queue::Recent) + store.weight(Queue::Main) <= capacity);
                prop_assert!(store.policy.memory() as u64 <= 20 * 1_024 + capacity / 24);
            }
        }

        /// Without a hit everything is let go of soon, even if the rule changes in between.
        #[test]
        fn nothing_stays_without_hits(rules in proptest::collection::vec(0..RULES, 4), frequency in 0..=FREQUENCY_MAX, main: bool) {
            let mut queue = if main { Queue::Main } else { Queue::Recent };
            let mut frequency = frequency;
            let mut stayed = 0;
            for rule in rules {
                match following(rule, 1_000).retire(queue, 1, frequency, 1) {
                    Fate::Keep { queue: next, frequency: left } => {
                        (queue, frequency) = (next, left);
                        stayed += 1;
                    }
                    Fate::LetGo => break,
                }
            }
            prop_assert!(stayed < 4);
        }
    }

    #[test]
    fn the_victim_is_a_queue_that_has_something() {
        for rule in 0..RULES {
            let policy = following(rule, 1_000);
            for (recent, main, expected) in [
                (0, 1, Queue::Main),
                (1, 0, Queue::Recent),
                (0, 0, Queue::Recent),
            ] {
                let usage = Usage {
                    recent,
                    main,
                    recent_is_older: recent == 0,
                };
                assert_eq!(policy.victim(usage), expected, "rule {rule}");
            }
        }
    }

    #[test]
    fn one_clock_takes_the_older_segment() {
        let policy = Policy::new(1_000);
        for (recent_is_older, expected) in [(true, Queue::Recent), (false, Queue::Main)] {
            let usage = Usage {
                recent: 10,
                main: 900,
                recent_is_older,
            };
            assert_eq!(policy.victim(usage), expected);
        }
    }

    #[test]
    fn memory_stays_within_its_bound_for_any_capacity_and_weight() {
        for (capacity, weight) in [
            (1 << 16, 50),
            (1 << 20, 50),
            (1 << 24, 100),
            (1 << 26, 2_000),
        ] {
            let mut policy = Policy::new(capacity);
            let samples = Samples::default();
            for key in 0..200_000 {
                samples.note(Sample {
                    hash: hash(key),
                    weight,
                    hit: false,
                });
                if key % 100 == 0 {
                    policy.learn(&samples);
                }
                policy.retire(Queue::Recent, hash(key), 0, weight);
            }
            let ghosts = (capacity / 32).min(capacity / weight * 8) + 64;
            let trials = (capacity / 100).clamp(20 << 10, 300 << 10);
            assert!(
                policy.memory() as u64 <= ghosts + trials,
                "{capacity}: {}",
                policy.memory()
            );
        }
    }

    #[test]
    fn a_hit_counts_to_three() {
        assert_eq!([0, 1, 2, 3, 200].map(hit), [1, 2, 3, 3, 3]);
    }
}
