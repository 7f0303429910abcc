//! One cache in miniature, managed by one rule.

use std::collections::VecDeque;

use super::chance::Chance;
use super::keys::{Keys, Mark, Number, Place};
use super::rule::Rule;
use super::{Fate, Queue, hit};

/// What a rule makes of the sampled keys in as much of the capacity as they stand for.
#[derive(Debug)]
pub(super) struct Trial {
    rule: &'static Rule,
    /// Which of a key's marks are of this trial.
    index: usize,
    recent: Line,
    main: Line,
    /// Sixteenths of the capacity let go of, modulo 65,536: a mark that old was reused long before.
    time: u16,
    let_go: u64,
    /// Whether it had to retire an entry since this was last asked.
    retired: bool,
    chance: Chance,
}

/// A queue with the sum of its weights.
#[derive(Debug)]
struct Line {
    numbers: VecDeque<Number>,
    weight: u64,
}

impl Line {
    fn new(entries: usize) -> Self {
        Self {
            numbers: VecDeque::with_capacity(entries),
            weight: 0,
        }
    }
}

impl Trial {
    /// With room for so many entries, so that nothing is allocated later.
    pub(super) fn new(rule: &'static Rule, index: usize, entries: usize) -> Self {
        Self {
            rule,
            index,
            recent: Line::new(entries),
            main: Line::new(entries),
            time: 0,
            let_go: 0,
            retired: false,
            chance: Chance::default(),
        }
    }

    /// How many entries it holds.
    pub(super) fn len(&self) -> usize {
        self.recent.numbers.len() + self.main.numbers.len()
    }

    pub(super) fn memory(&self) -> usize {
        (self.recent.numbers.capacity() + self.main.numbers.capacity()) * size_of::<Number>()
    }

    /// Whether it had to retire an entry since the last call.
    pub(super) fn retired_any(&mut self) -> bool {
        std::mem::take(&mut self.retired)
    }

    /// Reads a key, which lets it in if it is not there; says whether it was.
    pub(super) fn read(&mut self, keys: &mut Keys, number: Number, capacity: u64) -> bool {
        let weight = keys.key(number).weight;
        let mark = &mut keys.key(number).marks[self.index];
        if mark.place.holds() {
            mark.frequency = hit(mark.frequency);
            return true;
        }
        let known = mark.place == Place::Ghost
            && self.time.wrapping_sub(mark.let_go) < u16::from(self.rule.memory);
        *mark = Mark::default();
        let admitted = known && self.chance.one_in(self.rule.admits);
        if weight > capacity {
            return false;
        }
        while self.recent.weight + self.main.weight + weight > capacity {
            self.retire(keys, capacity);
        }
        let queue = if admitted { Queue::Main } else { Queue::Recent };
        self.push(keys, number, queue, 0);
        false
    }

    /// Keeps only what is to stay, without a trace of the others.
    pub(super) fn retain(&mut self, keys: &mut Keys, stays: impl Fn(u64) -> bool) {
        for line in [&mut self.recent, &mut self.main] {
            line.numbers.retain(|number| {
                let stays = stays(keys.name(*number));
                if !stays {
                    let key = keys.key(*number);
                    line.weight -= key.weight;
                    key.marks[self.index] = Mark::default();
                }
                stays
            });
        }
    }

    /// Retires the oldest entry of the queue that gives way.
    fn retire(&mut self, keys: &mut Keys, capacity: u64) {
        // In one clock the main queue is always empty here.
        let from = if self.main.numbers.is_empty()
            || !self.recent.numbers.is_empty()
                && self.rule.exceeds_share(self.recent.weight, capacity)
        {
            Queue::Recent
        } else {
            Queue::Main
        };
        let Some(number) = self.line(from).numbers.pop_front() else {
            return;
        };
        self.retired = true;
        let weight = keys.key(number).weight;
        self.line(from).weight -= weight;
        let time = self.time;
        let mark = &mut keys.key(number).marks[self.index];
        match self.rule.fate(from, mark.frequency) {
            Fate::Keep { queue, frequency } => self.push(keys, number, queue, frequency),
            Fate::LetGo if from == Queue::Recent => {
                *mark = Mark {
                    place: Place::Ghost,
                    frequency: 0,
                    let_go: time,
                };
                self.pass(weight, capacity);
            }
            Fate::LetGo => *mark = Mark::default(),
        }
    }

    fn push(&mut self, keys: &mut Keys, number: Number, queue: Queue, frequency: u8) {
        let key = keys.key(number);
        key.marks[self.index] = Mark {
            place: match queue {
                Queue::Recent => Place::Recent,
                Queue::Main => Place::Main,
            },
            frequency,
            let_go: 0,
        };
        let weight = key.weight;
        let line = self.line(queue);
        line.numbers.push_back(number);
        line.weight += weight;
    }

    fn pass(&mut self, weight: u64, capacity: u64) {
        let sixteenth = (capacity / 16).max(1);
        self.let_go += weight;
        // An entry is no heavier than the capacity: at most some 16 sixteenths, and the cast loses nothing that counts.
        self.time = self.time.wrapping_add((self.let_go / sixteenth) as u16);
        self.let_go %= sixteenth;
    }

    fn line(&mut self, queue: Queue) -> &mut Line {
        match queue {
            Queue::Recent => &mut self.recent,
            Queue::Main => &mut self.main,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::model::{Model, hash};
    use super::super::rule::{ALL, RULES};
    use super::super::samples::name;
    use super::*;

    proptest! {
        /// Read for read, whatever the weights, a trial is the cache that its rule describes.
        #[test]
        fn a_trial_is_the_model_of_its_rule(
            rule in 0..RULES,
            capacity in 1u64..400,
            reads in proptest::collection::vec(0u64..40, 1..600),
        ) {
            let mut keys = Keys::new(64);
            let mut trial = Trial::new(&ALL[rule], rule, 64);
            let mut model = Model::new(&ALL[rule], capacity);
            for key in reads {
                // Some are heavier than the least capacities.
                let weight = 1 + key * 7 % 30;
                let number = keys.number(name(hash(key)), weight).unwrap();
                prop_assert_eq!(trial.read(&mut keys, number, capacity), model.read(key, weight));
                prop_assert_eq!(trial.len(), model.len());
                let sum = trial.recent.weight + trial.main.weight;
                prop_assert!(sum == model.weight() && sum <= capacity);
            }
        }
    }

    #[test]
    fn what_is_not_to_stay_leaves_no_trace() {
        let mut keys = Keys::new(64);
        let mut trial = Trial::new(&ALL[1], 1, 64);
        for key in 0..30u64 {
            let number = keys.number(key + 1, 10).unwrap();
            trial.read(&mut keys, number, 200);
        }
        trial.retain(&mut keys, |name| name % 2 == 0);
        assert_eq!(
            (trial.len(), trial.recent.weight + trial.main.weight),
            (10, 100)
        );
        keys.retain(|name| name % 2 == 0);
        let number = keys.number(2, 10).unwrap();
        assert_eq!(keys.name(number), 2);
    }
}
