//! All rules tried at once, each on a cache in miniature.

use super::keys::{Key, Keys};
use super::referee::Referee;
use super::rule::{self, RULES, Rule};
use super::samples::{Sample, name};
use super::trial::Trial;

/// Keys numbered at most. In a prototype, trials of 256, 512 and 1,024 entries came within 0.1 points of one another in the mean hit
/// ratio of the loads of `compare hits`; this allows for 512.
const KEYS_MOST: usize = 4_096;

/// Fewer say nothing.
const KEYS_LEAST: usize = 256;

/// What the trials may occupy: this part of the capacity, if that allows for [`KEYS_LEAST`].
const SHARE: u64 = 128;

/// Numbered keys for each that a trial may hold: trials hold different ones, and remember others.
const KEYS_PER_ENTRY: usize = 8;

/// At least one key in 2³ is sampled: a small cache is seen closely enough by that, and its readers hardly slowed down.
const SHIFT_LEAST: u32 = 3;

/// Never fewer than one key in 2³², which leaves 8 bits of a name to tell keys apart by.
const SHIFT_MOST: u32 = 32;

/// The rules' trials, and the referee over them ("miniature simulation": Waldspurger et al., "Cache modeling and optimization
/// using miniature simulations", ATC '17).
///
/// A trial sees one key in 2^shift and has as much of the capacity. The shift follows the number of entries that fit, so that what
/// the trials cost does not grow with the cache.
#[derive(Debug)]
pub(super) struct Trials {
    keys: Keys,
    trials: [Trial; RULES],
    referee: Referee,
    shift: u32,
    /// Samples seen since the shift was last considered.
    seen: usize,
}

impl Trials {
    pub(super) fn new(capacity: u64) -> Self {
        let keys = room(capacity);
        Self {
            keys: Keys::new(keys),
            trials: std::array::from_fn(|index| {
                Trial::new(&rule::ALL[index], index, keys / KEYS_PER_ENTRY + 1)
            }),
            referee: Referee::default(),
            shift: SHIFT_LEAST,
            seen: 0,
        }
    }

    /// Begins anew where another capacity affords trials of another size; which rule was best is not forgotten.
    pub(super) fn resize(&mut self, capacity: u64) {
        if room(capacity) != self.keys.room() {
            let referee = std::mem::take(&mut self.referee);
            *self = Self {
                referee,
                ..Self::new(capacity)
            };
        }
    }

    /// Follows a rule as long as no sample comes.
    #[cfg(test)]
    pub(super) fn follow_only(&mut self, rule: usize) {
        self.referee = Referee::following_only(rule);
    }

    /// The rule that does best now.
    pub(super) fn rule(&self) -> &'static Rule {
        &rule::ALL[self.referee.following()]
    }

    /// Keys are sampled whose hash has no bit of this.
    pub(super) fn mask(&self) -> u64 {
        (1 << self.shift) - 1
    }

    pub(super) fn memory(&self) -> usize {
        size_of::<Self>()
            + self.keys.memory()
            + self.trials.iter().map(Trial::memory).sum::<usize>()
    }

    /// Lets every rule show what it makes of a read.
    pub(super) fn see(&mut self, sample: Sample, capacity: u64) {
        let name = name(sample.hash);
        if name & self.mask() != 0 {
            return;
        }
        let Some(number) = self.keys.number(name, sample.weight) else {
            self.thin();
            return;
        };
        let share = capacity >> self.shift;
        let mut hits = [false; RULES];
        for (hit, trial) in hits.iter_mut().zip(&mut self.trials) {
            *hit = trial.read(&mut self.keys, number, share);
        }
        let entries = self.trials.iter().map(Trial::len).max().unwrap_or(0);
        self.referee.judge(hits, sample.hit, entries);
        self.seen += 1;
        let most = self.keys.room() / KEYS_PER_ENTRY;
        if entries > most {
            self.thin();
        } else if self.seen > most {
            self.seen = 0;
            // Entries have become heavier, or the capacity smaller: few of them fill the trials. They are a quarter of what
            // would thin them again, so that the two do not take turns.
            let full = self.trials.iter_mut().any(Trial::retired_any);
            if full && entries < most / 4 && self.shift > SHIFT_LEAST {
                self.shift -= 1;
            }
        }
    }

    /// Samples half of the keys from now on.
    fn thin(&mut self) {
        if self.shift == SHIFT_MOST {
            return;
        }
        self.shift += 1;
        self.seen = 0;
        let mask = self.mask();
        for trial in &mut self.trials {
            trial.retain(&mut self.keys, |name| name & mask == 0);
        }
        self.keys.retain(|name| name & mask == 0);
    }
}

/// How many keys trials for this capacity number: a power of two.
fn room(capacity: u64) -> usize {
    let each = (size_of::<Key>() + 2 * RULES) as u64;
    let affordable = usize::try_from(capacity / SHARE / each).unwrap_or(KEYS_MOST);
    // Rounded down, since the bound is to hold.
    1 << affordable.clamp(KEYS_LEAST, KEYS_MOST).ilog2()
}

#[cfg(test)]
mod tests {
    use super::super::model::hash;
    use super::*;

    fn read(trials: &mut Trials, keys: std::ops::Range<u64>, weight: u64, capacity: u64) {
        for key in keys {
            let sample = Sample {
                hash: hash(key),
                weight,
                hit: false,
            };
            trials.see(sample, capacity);
        }
    }

    fn entries(trials: &Trials) -> usize {
        trials.trials.iter().map(Trial::len).max().unwrap()
    }

    #[test]
    fn samples_are_thinned_to_what_there_is_room_for_and_widened_again() {
        const CAPACITY: u64 = 1 << 30;
        let mut trials = Trials::new(CAPACITY);
        let most = KEYS_MOST / KEYS_PER_ENTRY;
        read(&mut trials, 0..2_000_000, 1_000, CAPACITY);
        assert!(
            (most / 4..=most).contains(&entries(&trials)),
            "{}",
            entries(&trials)
        );
        let thin = trials.shift;
        assert!(thin > SHIFT_LEAST + 3, "{thin}");
        read(&mut trials, 2_000_000..30_000_000, 100_000, CAPACITY);
        assert!(
            trials.shift < thin,
            "heavier entries: {} after {thin}",
            trials.shift
        );
        assert!(
            (most / 8..=most).contains(&entries(&trials)),
            "{}",
            entries(&trials)
        );
    }

    #[test]
    fn the_best_rule_outlives_another_size() {
        let mut trials = Trials::new(1 << 20);
        trials.follow_only(3);
        trials.resize(1 << 30);
        assert_eq!(trials.rule(), &rule::ALL[3]);
        assert_eq!(trials.keys.room(), KEYS_MOST);
    }

    #[test]
    fn skewed_reads_of_much_more_than_fits_are_not_left_to_one_clock() {
        const CAPACITY: u64 = 4_000_000;
        let mut trials = Trials::new(CAPACITY);
        for step in 0..400_000u64 {
            // Half of the reads are of 2,000 keys, the others of ever new ones.
            let chance = hash(step);
            let key = if chance.is_multiple_of(2) {
                chance / 2 % 2_000
            } else {
                1_000_000 + step
            };
            read(&mut trials, key..key + 1, 1_000, CAPACITY);
        }
        assert!(!trials.rule().together());
    }
}
