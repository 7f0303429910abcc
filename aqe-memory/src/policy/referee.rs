//! Watches how the rules do and says which one is to be followed.

use super::rule::{FIRST, RULES};

/// How much better a rule must be to be followed instead: a tenth of a point. Changes are cheap, but some of them lose
/// what the old rule had gathered.
const MARGIN: f64 = 0.001;

/// What is added for the one clock: a third of a point, for where all rules are alike nearly everything fits, and then it is the
/// one that loses nothing when the load changes.
const BONUS: f64 = 0.003;

/// Scores look back over so many times the entries of a trial: fast enough for phases of a few fillings of the cache, and slow
/// enough for the noise of hundreds of entries.
const MEMORY: f64 = 10.0;

/// How much slower than scores fade what was learnt of a rule that is not followed now, so that it gets another chance.
const GRUDGE: f64 = 10.0;

/// Scores of the rules.
///
/// A score is a rule's hit ratio in its trial, fading. Miniatures err: they hold a sample, entry by entry, where the store retires
/// whole segments of everything. So what the store reaches while it follows a rule is compared with what that rule's
/// trial reached, and the difference is remembered for it.
#[derive(Debug)]
pub(super) struct Referee {
    ratios: [f64; RULES],
    errors: [f64; RULES],
    following: usize,
    /// Samples so far, as far as they count.
    seen: f64,
    /// Samples since another rule was followed.
    since: f64,
    /// Samples until rules are compared again.
    pause: usize,
}

impl Default for Referee {
    fn default() -> Self {
        Self {
            ratios: [0.0; RULES],
            errors: [0.0; RULES],
            following: FIRST,
            seen: 0.0,
            since: 0.0,
            pause: 0,
        }
    }
}

impl Referee {
    /// Starts with another rule, and has seen nothing that speaks against it.
    #[cfg(test)]
    pub(super) fn following_only(rule: usize) -> Self {
        Self {
            following: rule,
            ..Self::default()
        }
    }

    /// The rule to follow.
    pub(super) fn following(&self) -> usize {
        self.following
    }

    /// Takes in what came of one sample: which trials had the key, and whether the store had it. `entries` is how many a trial
    /// holds.
    pub(super) fn judge(&mut self, trials: [bool; RULES], store: bool, entries: usize) {
        let entries = entries.max(32) as f64;
        let horizon = MEMORY * entries;
        self.seen = (self.seen + 1.0).min(horizon);
        self.since += 1.0;
        for (ratio, hit) in self.ratios.iter_mut().zip(trials) {
            *ratio += (as_number(hit) - *ratio) / self.seen;
        }
        let following = self.following;
        for (rule, error) in self.errors.iter_mut().enumerate() {
            if rule != following {
                *error -= *error / (horizon * GRUDGE);
            } else if self.since > entries {
                // Before, what the store held was gathered under another rule.
                *error += (as_number(store) - as_number(trials[rule]) - *error) / horizon;
            }
        }
        self.pause = self.pause.saturating_sub(1);
        if self.pause == 0 {
            self.pause = (entries / 4.0) as usize;
            self.choose();
        }
    }

    fn choose(&mut self) {
        let mut best = self.following;
        for rule in 0..RULES {
            if self.value(rule) > self.value(best) {
                best = rule;
            }
        }
        if self.value(best) > self.value(self.following) + MARGIN {
            self.following = best;
            self.since = 0.0;
        }
    }

    fn value(&self, rule: usize) -> f64 {
        let bonus = if rule == FIRST { BONUS } else { 0.0 };
        self.ratios[rule] + self.errors[rule] + bonus
    }
}

fn as_number(hit: bool) -> f64 {
    f64::from(u8::from(hit))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds `samples` in which each rule's trial hits every n-th one, and the store every `store`-th.
    fn feed(referee: &mut Referee, samples: usize, every: [usize; RULES], store: usize) {
        for sample in 0..samples {
            let trials = every.map(|every| sample % every == 0);
            referee.judge(trials, sample % store == 0, 100);
        }
    }

    #[test]
    fn rules_that_are_alike_leave_the_first() {
        let mut referee = Referee::default();
        feed(&mut referee, 5_000, [2; RULES], 2);
        assert_eq!(referee.following(), FIRST);
    }

    #[test]
    fn the_best_is_followed_and_left_when_another_is_better() {
        let mut referee = Referee::default();
        let mut every = [4; RULES];
        every[3] = 2;
        feed(&mut referee, 2_000, every, 2);
        assert_eq!(referee.following(), 3);
        every = [4; RULES];
        every[6] = 2;
        feed(&mut referee, 2_000, every, 4);
        assert_eq!(referee.following(), 6);
    }

    #[test]
    fn a_rule_that_does_worse_than_its_trial_is_given_up() {
        let mut referee = Referee::default();
        let mut every = [4; RULES];
        every[3] = 2;
        feed(&mut referee, 500, every, 2);
        assert_eq!(referee.following(), 3);
        feed(&mut referee, 3_000, every, 10);
        assert_ne!(referee.following(), 3);
    }
}
