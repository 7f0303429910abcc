//! Operations that run without having been queued, one after the other in one slot: see
//! [`Visit`](crate::shared::Shared::visit).

use std::time::Instant;

use super::{State, Waiting};
use crate::body::Ending;

impl<T: Waiting> State<T> {
    /// Takes a slot for operations that run one after the other without having been queued. `false` if one that was
    /// queued now would not start at once.
    pub(crate) fn take_slot(&mut self) -> bool {
        let is_free = self.admissible(0).is_ok()
            && self.has_slot()
            && self.levels.live() == 0
            && self.rules.is_none();
        if is_free {
            self.running += 1;
            self.visits += 1;
        }
        is_free
    }

    /// Whether nothing would be accepted or started at this moment, whatever it is, or more runs than may.
    pub(crate) const fn is_held_up(&self) -> bool {
        self.paused || self.shut || self.closed || self.running > self.limit
    }

    /// Accounts for operations that ran in such a slot, `mean` nanoseconds each, and have ended.
    pub(crate) fn settle_direct(&mut self, endings: &[Ending], mean: u64, now: Instant) {
        let count = endings.len() as u64;
        self.counters.submitted += count;
        self.waits.record_many(0, count);
        self.runs.record_many(mean, count);
        for ending in endings {
            self.end(*ending, false);
        }
        self.finished(count, now);
    }

    /// Gives such a slot back.
    pub(crate) const fn give_slot(&mut self) {
        self.running -= 1;
        self.visits -= 1;
    }

    /// Lets an operation that has begun in such a slot keep it.
    pub(crate) fn keep_slot(&mut self) {
        self.visits -= 1;
        self.counters.submitted += 1;
        self.waits.record(0);
    }
}
