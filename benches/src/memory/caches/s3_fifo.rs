//! S3-FIFO with the numbers of its paper (Yang et al., SOSP '23), but for one.
//!
//! The paper moves an entry on when it was read twice in the small queue; here once suffices, as in foyer, which on these loads is
//! the better of the two by one point.

use std::collections::VecDeque;

use super::Cache;

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Place {
    #[default]
    Nowhere,
    Small,
    Main,
}

#[derive(Debug, Clone, Copy, Default)]
struct Entry {
    place: Place,
    frequency: u8,
    /// When it became a ghost, by the count of ghosts; 0 if it is none.
    ghost: u32,
}

pub(super) struct S3Fifo {
    entries: Vec<Entry>,
    small: VecDeque<u32>,
    main: VecDeque<u32>,
    ghosts: u32,
    capacity: usize,
}

impl S3Fifo {
    pub(super) fn new(keys: usize, capacity: usize) -> Self {
        Self {
            entries: vec![Entry::default(); keys],
            small: VecDeque::new(),
            main: VecDeque::new(),
            ghosts: 0,
            capacity,
        }
    }

    /// Moves on or evicts the oldest of the queue whose turn it is.
    fn retire(&mut self) {
        let small = self.small.len() >= (self.capacity / 10).max(1) || self.main.is_empty();
        let queue = if small {
            &mut self.small
        } else {
            &mut self.main
        };
        let Some(key) = queue.pop_front() else {
            return;
        };
        let entry = &mut self.entries[key as usize];
        if entry.frequency > 0 {
            entry.frequency = if small { 0 } else { entry.frequency - 1 };
            entry.place = Place::Main;
            self.main.push_back(key);
            return;
        }
        entry.place = Place::Nowhere;
        if small {
            self.ghosts += 1;
            entry.ghost = self.ghosts;
        }
    }

    /// Whether it was evicted from the small queue as recently as the main queue has entries.
    fn recall(&mut self, key: u32) -> bool {
        let ghost = std::mem::take(&mut self.entries[key as usize].ghost);
        ghost > 0 && ((self.ghosts - ghost) as usize) < self.capacity - self.capacity / 10
    }
}

impl Cache for S3Fifo {
    fn read(&mut self, key: u32) -> bool {
        let entry = &mut self.entries[key as usize];
        if entry.place != Place::Nowhere {
            entry.frequency = (entry.frequency + 1).min(3);
            return true;
        }
        while self.entries() >= self.capacity {
            self.retire();
        }
        let (place, queue) = if self.recall(key) {
            (Place::Main, &mut self.main)
        } else {
            (Place::Small, &mut self.small)
        };
        queue.push_back(key);
        self.entries[key as usize].place = place;
        false
    }

    fn entries(&mut self) -> usize {
        self.small.len() + self.main.len()
    }
}
