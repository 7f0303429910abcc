//! Finds a chunk size by measuring.
//!
//! Throughput over chunk size is a hill with a flat top: larger chunks bring more items in flight, or less overhead for
//! each, until they bring nothing more, and at last they cost (memory, chunks that end late). [`Sizer`] climbs it on a scale
//! of doublings, as a pattern search does (Hooke and Jeeves, "Direct search solution of numerical and statistical
//! problems", 1961). It measures a size for an epoch, then the one next to it, and goes on in a direction while that brings
//! at least [`GAIN`]. Of sizes that are as good as the best it takes the smallest. From time to time it looks whether
//! its neighbours have become better. It reads no clock.

use std::time::Duration;

/// What the next size must bring to be worth it: less is noise, or memory for nothing.
const GAIN: f64 = 0.05;

/// A size is measured for so long at least.
const EPOCH: Duration = Duration::from_millis(50);

/// And until every chunk in flight has turned over so many times: what was begun at the old size does not count.
const TURNS: u64 = 2;

/// Epochs for which a size is kept before its neighbours are looked at again.
const REST: u32 = 40;

/// Follows the throughput with the chunk size.
#[derive(Debug)]
pub(crate) struct Sizer {
    least: usize,
    most: usize,
    concurrency: u64,
    size: usize,
    phase: Phase,
    /// When the present epoch began, and how many items had ended then.
    began: (Duration, u64),
    /// Whether the items that were in flight at the last change have ended.
    is_settled: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Phase {
    /// Measures the size where it stands, as a mark for others.
    Mark,
    /// Has gone to larger sizes from one with this throughput.
    Up { from: usize, mark: f64 },
    /// Has gone to smaller sizes from one with this throughput.
    Down { from: usize, mark: f64 },
    /// Stays for so many epochs.
    Rest { left: u32 },
}

impl Sizer {
    pub(crate) fn new(start: usize, least: usize, most: usize, concurrency: usize) -> Self {
        Self {
            least,
            most,
            concurrency: concurrency as u64,
            size: start.clamp(least, most),
            phase: Phase::Mark,
            began: (Duration::ZERO, 0),
            is_settled: true,
        }
    }

    /// Takes how many items had ended at `now`, and returns the size that chunks are to have.
    pub(crate) fn observe(&mut self, now: Duration, ended: u64) -> usize {
        let (began, before) = self.began;
        let in_flight = self.size as u64 * self.concurrency;
        if !self.is_settled {
            if ended - before >= in_flight {
                self.is_settled = true;
                self.began = (now, ended);
            }
            return self.size;
        }
        let (time, items) = (now.saturating_sub(began), ended - before);
        if time < EPOCH || items < in_flight * TURNS {
            return self.size;
        }
        let throughput = items as f64 / time.as_secs_f64();
        self.step(throughput);
        self.began = (now, ended);
        self.size
    }

    fn step(&mut self, throughput: f64) {
        match self.phase {
            Phase::Mark if self.size < self.most => self.up(throughput),
            Phase::Mark => self.down(throughput),
            Phase::Up { mark, .. } if throughput > mark * (1.0 + GAIN) => {
                if self.size < self.most {
                    self.up(throughput);
                } else {
                    self.rest();
                }
            }
            // Larger brings nothing: back, and one look at smaller ones from there.
            Phase::Up { from, mark } => {
                self.go(from);
                self.down(mark);
            }
            // As good as the larger one: the smaller is better. What counts is the best mark, so that many small losses
            // do not add up to a large one.
            Phase::Down { mark, .. } if throughput >= mark * (1.0 - GAIN / 2.0) => {
                self.down(mark.max(throughput));
            }
            Phase::Down { from, .. } => {
                self.go(from);
                self.rest();
            }
            Phase::Rest { left: 0 } => {
                self.phase = Phase::Mark;
                self.step(throughput);
            }
            Phase::Rest { left } => self.phase = Phase::Rest { left: left - 1 },
        }
    }

    fn up(&mut self, mark: f64) {
        let from = self.size;
        self.go((from * 2).min(self.most));
        self.phase = Phase::Up { from, mark };
    }

    fn down(&mut self, mark: f64) {
        let from = self.size;
        if from == self.least {
            return self.rest();
        }
        self.go((from / 2).max(self.least));
        self.phase = Phase::Down { from, mark };
    }

    fn rest(&mut self) {
        self.phase = Phase::Rest { left: REST };
    }

    fn go(&mut self, size: usize) {
        self.size = size;
        self.is_settled = false;
    }
}
