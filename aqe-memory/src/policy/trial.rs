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
    chance: Chance,
}

/// A queue with the sum of its weights.
#[derive(Debug, Default)]
struct Line {
    numbers: VecDeque<Number>,
    weight: u64,
}

impl Trial {
    pub(super) fn new(rule: &'static Rule, index: usize) -> Self {
        Self {
            rule,
            index,
            recent: Line::default(),
            main: Line::default(),
            time: 0,
            let_go: 0,
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
        let line = self.line(from);
        let Some(number) = line.numbers.pop_front() else {
            return;
        };
        let weight = keys.key(number).weight;
        line.weight -= weight;
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
