//! All rules tried at once, each on a cache in miniature.

use super::keys::Keys;
use super::referee::Referee;
use super::rule::{self, RULES, Rule};
use super::samples::{Sample, name};
use super::trial::Trial;

/// Keys numbered at most. More would follow the store more closely, for more memory: with half of them the mean hit ratio of
/// `compare hits` is 0.1 points lower, with four times as many 0.1 higher.
const KEYS_MOST: usize = 4_096;

/// Fewer say nothing.
const KEYS_LEAST: usize = 128;

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
}

impl Trials {
    pub(super) fn new(capacity: u64) -> Self {
        let each = (size_of::<super::keys::Key>() + 2 * RULES) as u64;
        let affordable = usize::try_from(capacity / SHARE / each).unwrap_or(KEYS_MOST);
        let keys = affordable.clamp(KEYS_LEAST, KEYS_MOST);
        Self {
            // Rounded down, since the bound is to hold.
            keys: Keys::new(1 << keys.ilog2()),
            trials: std::array::from_fn(|index| Trial::new(&rule::ALL[index], index)),
            referee: Referee::default(),
            shift: SHIFT_LEAST,
        }
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
        if entries > self.keys.room() / KEYS_PER_ENTRY {
            self.thin();
        }
    }

    /// Samples half of the keys from now on.
    fn thin(&mut self) {
        if self.shift == SHIFT_MOST {
            return;
        }
        self.shift += 1;
        let mask = self.mask();
        for trial in &mut self.trials {
            trial.retain(&mut self.keys, |name| name & mask == 0);
        }
        self.keys.retain(|name| name & mask == 0);
    }
}
