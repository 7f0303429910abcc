//! The policy of `aqe-memory` over queues of segments, as the store drives it, without the store.

use std::collections::VecDeque;

use aqe_memory::policy::{Fate, Policy, Queue, Sample, Samples, Usage, hit};

use super::Cache;

/// Each entry counts as so many bytes, as much as the JSON result of a test has. The policy's own memory follows the
/// capacity in bytes, of which entries of one byte would leave it none.
const WEIGHT: u64 = 2_048;

struct Segment {
    /// Segments are numbered as they are begun.
    number: u64,
    keys: Vec<u32>,
}

#[derive(Default)]
struct Line {
    segments: VecDeque<Segment>,
    entries: usize,
}

#[derive(Clone, Copy, Default)]
struct Entry {
    held: bool,
    frequency: u8,
}

pub(super) struct Aqe {
    policy: Policy,
    samples: Samples,
    recent: Line,
    main: Line,
    entries: Vec<Entry>,
    /// Entries a segment has room for. The open ones occupy that much too, as they do in the store.
    width: usize,
    capacity: usize,
    begun: u64,
}

impl Aqe {
    /// In so many segments, or entry by entry.
    pub(super) fn new(keys: usize, capacity: usize, segments: Option<usize>) -> Self {
        Self {
            policy: Policy::new(capacity as u64 * WEIGHT),
            samples: Samples::default(),
            recent: Line::default(),
            main: Line::default(),
            entries: vec![Entry::default(); keys],
            width: segments.map_or(1, |segments| (capacity / segments).max(1)),
            capacity,
            begun: 0,
        }
    }

    fn line(&mut self, queue: Queue) -> &mut Line {
        match queue {
            Queue::Recent => &mut self.recent,
            Queue::Main => &mut self.main,
        }
    }

    fn append(&mut self, key: u32, queue: Queue, frequency: u8) {
        let (width, begun) = (self.width, self.begun);
        let line = self.line(queue);
        line.entries += 1;
        match line.segments.back_mut() {
            Some(open) if open.keys.len() < width => open.keys.push(key),
            _ => {
                line.segments.push_back(Segment {
                    number: begun,
                    keys: vec![key],
                });
                self.begun += 1;
            }
        }
        self.entries[key as usize] = Entry {
            held: true,
            frequency,
        };
    }

    fn retire(&mut self) {
        let oldest = |line: &Line| line.segments.front().map(|segment| segment.number);
        let usage = Usage {
            recent: self.recent.entries as u64 * WEIGHT,
            main: self.main.entries as u64 * WEIGHT,
            recent_is_older: oldest(&self.recent) < oldest(&self.main),
        };
        let from = self.policy.victim(usage);
        let line = self.line(from);
        let Some(segment) = line.segments.pop_front() else {
            return;
        };
        line.entries -= segment.keys.len();
        for key in segment.keys {
            let frequency = self.entries[key as usize].frequency;
            match self.policy.retire(from, hash(key), frequency, WEIGHT) {
                Fate::Keep { queue, frequency } => self.append(key, queue, frequency),
                Fate::LetGo => self.entries[key as usize].held = false,
            }
        }
    }

    fn room(&self) -> usize {
        (self.recent.segments.len() + self.main.segments.len()) * self.width
    }
}

impl Cache for Aqe {
    fn read(&mut self, key: u32) -> bool {
        let hash = hash(key);
        let entry = &mut self.entries[key as usize];
        let held = entry.held;
        if held {
            entry.frequency = hit(entry.frequency);
        }
        if self.samples.wants(hash) {
            let sample = Sample {
                hash,
                weight: WEIGHT,
                hit: held,
            };
            if self.samples.note(sample) {
                self.policy.learn(&self.samples);
            }
        }
        if !held {
            let queue = self.policy.enter(hash);
            self.append(key, queue, 0);
            if self.room() > self.capacity {
                self.policy.learn(&self.samples);
            }
            while self.room() > self.capacity {
                self.retire();
            }
        }
        held
    }

    fn entries(&mut self) -> usize {
        self.room()
    }
}

/// Mixes a key as a good hash function does (SplitMix64's finalizer).
fn hash(key: u32) -> u64 {
    let mut z = (u64::from(key) + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
