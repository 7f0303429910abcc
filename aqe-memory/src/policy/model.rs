//! What a rule means, written down as plainly as possible: entry by entry, in lists that are searched.

use super::chance::Chance;
use super::rule::Rule;
use super::{Fate, Queue, hit};

/// A cache under one rule.
#[derive(Debug)]
pub(super) struct Model {
    rule: &'static Rule,
    capacity: u64,
    recent: Vec<Entry>,
    main: Vec<Entry>,
    /// Keys that were let go, with the sum of all that had been let go before.
    ghosts: Vec<(u64, u64)>,
    let_go: u64,
    chance: Chance,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    key: u64,
    weight: u64,
    frequency: u8,
}

impl Model {
    pub(super) fn new(rule: &'static Rule, capacity: u64) -> Self {
        Self {
            rule,
            capacity,
            recent: Vec::new(),
            main: Vec::new(),
            ghosts: Vec::new(),
            let_go: 0,
            chance: Chance::default(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.recent.len() + self.main.len()
    }

    pub(super) fn weight(&self) -> u64 {
        weight(&self.recent) + weight(&self.main)
    }

    pub(super) fn read(&mut self, key: u64, weight: u64) -> bool {
        let mut all = self.recent.iter_mut().chain(&mut self.main);
        if let Some(entry) = all.find(|entry| entry.key == key) {
            entry.frequency = hit(entry.frequency);
            return true;
        }
        let known = self.recall(key);
        let admitted = known && self.chance.one_in(self.rule.admits);
        if weight > self.capacity {
            return false;
        }
        while self.weight() + weight > self.capacity {
            self.retire();
        }
        let queue = if admitted {
            &mut self.main
        } else {
            &mut self.recent
        };
        queue.push(Entry {
            key,
            weight,
            frequency: 0,
        });
        false
    }

    fn retire(&mut self) {
        let limit = (self.capacity * self.rule.share / 1_000).max(1);
        let recent =
            self.main.is_empty() || !self.recent.is_empty() && weight(&self.recent) >= limit;
        let (from, entry) = if recent {
            (Queue::Recent, self.recent.remove(0))
        } else {
            (Queue::Main, self.main.remove(0))
        };
        match self.rule.fate(from, entry.frequency) {
            Fate::Keep { queue, frequency } => {
                let queue = match queue {
                    Queue::Recent => &mut self.recent,
                    Queue::Main => &mut self.main,
                };
                queue.push(Entry { frequency, ..entry });
            }
            Fate::LetGo if from == Queue::Recent => {
                self.ghosts.push((entry.key, self.let_go));
                self.let_go += entry.weight;
            }
            Fate::LetGo => {}
        }
    }

    fn recall(&mut self, key: u64) -> bool {
        let Some(ghost) = self.ghosts.iter().position(|(known, _)| *known == key) else {
            return false;
        };
        let (_, then) = self.ghosts.remove(ghost);
        let sixteenth = (self.capacity / 16).max(1);
        self.let_go / sixteenth - then / sixteenth < u64::from(self.rule.memory)
    }
}

fn weight(entries: &[Entry]) -> u64 {
    entries.iter().map(|entry| entry.weight).sum()
}

/// 64 well mixed bits (SplitMix64's finalizer).
pub(super) fn hash(key: u64) -> u64 {
    let mut z = (key + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
