//! One tier's segments, from the oldest to those that are being filled.

use std::collections::VecDeque;

use super::bucket::Bucket;

/// A first-in-first-out queue of segments, by number.
#[derive(Debug, Default)]
pub(super) struct Queue {
    /// All that are not the victim, the oldest first.
    order: VecDeque<u32>,
    /// Those that can be filled further, at most one for each bucket, the oldest first.
    open: VecDeque<(Bucket, u32)>,
    /// The one whose entries are being looked through, and how far that has come.
    pub(super) victim: Option<Victim>,
    /// Bytes of memory that all of them take.
    pub(super) bytes: u64,
}

/// A segment that is being looked through, and how far that has come.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Victim {
    pub(crate) number: u32,
    pub(crate) offset: u32,
}

/// More segments of a tier than this are not filled at the same time: the oldest is closed then, filled or not.
const MOST_OPEN: usize = 256;

impl Queue {
    /// The open segment of a bucket.
    pub(super) fn open(&self, bucket: Bucket) -> Option<u32> {
        // The newest are at the end, and are asked for most.
        let found = self.open.iter().rev().find(|(other, _)| *other == bucket);
        found.map(|(_, number)| *number)
    }

    /// Adds a segment that is open for a bucket, in place of the one that was.
    pub(super) fn add(&mut self, number: u32, bucket: Bucket) {
        self.open.retain(|(other, _)| *other != bucket);
        if self.open.len() == MOST_OPEN {
            self.open.pop_front();
        }
        self.open.push_back((bucket, number));
        self.order.push_back(number);
    }

    /// Adds a segment that is full.
    pub(super) fn add_closed(&mut self, number: u32) {
        self.order.push_back(number);
    }

    /// Takes out the oldest segment of which `may_go` says yes.
    pub(super) fn oldest(&mut self, may_go: impl Fn(u32) -> bool) -> Option<u32> {
        let at = self.order.iter().position(|number| may_go(*number))?;
        let number = self.order.remove(at)?;
        self.close(number);
        Some(number)
    }

    /// How many segments are older than this one.
    pub(super) fn position(&self, number: u32) -> usize {
        let at = self.order.iter().position(|other| *other == number);
        at.unwrap_or(0)
    }

    /// Puts a segment back that was [taken](Self::take) out, behind as many as were older.
    pub(super) fn restore(&mut self, number: u32, at: usize) {
        self.order.insert(at.min(self.order.len()), number);
    }

    /// Takes out a segment that nobody is looking through.
    pub(super) fn take_waiting(&mut self, number: u32) {
        self.order.retain(|other| *other != number);
        self.close(number);
    }

    /// All segments that nobody is looking through.
    pub(super) fn waiting(&self) -> impl Iterator<Item = u32> {
        self.order.iter().copied()
    }

    /// Takes out every segment of which `which` says yes, the victim too, with the offset up to which it has been dealt with.
    pub(super) fn take(&mut self, which: impl Fn(u32) -> bool) -> Vec<Victim> {
        let mut taken = Vec::new();
        if let Some(victim) = self.victim.take_if(|victim| which(victim.number)) {
            taken.push(victim);
        }
        self.order.retain(|&number| {
            let goes = which(number);
            if goes {
                taken.push(Victim { number, offset: 0 });
            }
            !goes
        });
        for victim in &taken {
            self.close(victim.number);
        }
        taken
    }

    /// All segments.
    pub(super) fn numbers(&self) -> impl Iterator<Item = u32> {
        let victim = self.victim.map(|victim| victim.number);
        victim.into_iter().chain(self.order.iter().copied())
    }

    /// Whether a segment is being filled.
    pub(super) fn is_open(&self, number: u32) -> bool {
        self.open.iter().any(|(_, other)| *other == number)
    }

    /// Ends the filling of all segments.
    pub(super) fn close_all(&mut self) {
        self.open.clear();
    }

    /// Ends the filling of a segment.
    pub(super) fn close(&mut self, number: u32) {
        self.open.retain(|(_, other)| *other != number);
    }
}
