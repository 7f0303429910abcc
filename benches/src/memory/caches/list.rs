//! Least recently used.

use super::Cache;

/// A doubly linked list through arrays, the most recently read key first.
pub(super) struct Lru {
    /// By key: who stands before and after it. The last index is the ring's anchor.
    before: Vec<u32>,
    after: Vec<u32>,
    held: Vec<bool>,
    entries: usize,
    capacity: usize,
}

impl Lru {
    pub(super) fn new(keys: usize, capacity: usize) -> Self {
        let anchor = keys as u32;
        Self {
            before: vec![anchor; keys + 1],
            after: vec![anchor; keys + 1],
            held: vec![false; keys],
            entries: 0,
            capacity,
        }
    }

    fn anchor(&self) -> u32 {
        self.held.len() as u32
    }

    fn take_out(&mut self, key: u32) {
        let (before, after) = (self.before[key as usize], self.after[key as usize]);
        self.after[before as usize] = after;
        self.before[after as usize] = before;
    }

    fn put_first(&mut self, key: u32) {
        let anchor = self.anchor();
        let first = self.after[anchor as usize];
        self.before[key as usize] = anchor;
        self.after[key as usize] = first;
        self.before[first as usize] = key;
        self.after[anchor as usize] = key;
    }
}

impl Cache for Lru {
    fn read(&mut self, key: u32) -> bool {
        let hit = self.held[key as usize];
        if hit {
            self.take_out(key);
        } else {
            if self.entries == self.capacity {
                let last = self.before[self.anchor() as usize];
                self.take_out(last);
                self.held[last as usize] = false;
                self.entries -= 1;
            }
            self.held[key as usize] = true;
            self.entries += 1;
        }
        self.put_first(key);
        hit
    }

    fn entries(&mut self) -> usize {
        self.entries
    }
}
