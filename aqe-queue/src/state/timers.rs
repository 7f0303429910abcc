//! What happens later: retries whose delay runs, and deadlines of whole operations.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use super::{Tick, Waiting};

/// A heap by time. What is cancelled stays in it as a dead entry until its time comes or too many are dead.
///
/// An operation that met its deadline is kept by the dead entry that it leaves, so there may not be more dead entries
/// than others, but for a few.
pub(super) struct Timers<T: Waiting> {
    heap: BinaryHeap<Timer<T>>,
    /// Orders entries of the same time as they came.
    next: u64,
    dead: usize,
}

/// What is to happen.
pub(super) enum Due<T: Waiting> {
    /// An operation goes back to a level.
    Retry(T),
    /// An operation is over its time as a whole.
    Deadline(T),
}

struct Timer<T: Waiting> {
    due: Tick,
    number: u64,
    what: Due<T>,
}

/// Dead entries are swept when they are more than the others, and at least this many.
const SWEEP_FROM: usize = 64;

impl<T: Waiting> Timers<T> {
    pub(super) const fn new() -> Self {
        Self {
            heap: BinaryHeap::new(),
            next: 0,
            dead: 0,
        }
    }

    pub(super) fn insert(&mut self, due: Tick, what: Due<T>) {
        self.heap.push(Timer {
            due,
            number: self.next,
            what,
        });
        self.next += 1;
    }

    pub(super) fn next_due(&self) -> Option<Tick> {
        self.heap.peek().map(|timer| timer.due)
    }

    pub(super) fn pop_due(&mut self, now: Tick) -> Option<Due<T>> {
        if self.next_due()? > now {
            return None;
        }
        let timer = self.heap.pop()?;
        if timer.is_dead() {
            self.dead = self.dead.saturating_sub(1);
        }
        Some(timer.what)
    }

    /// Counts one entry as dead.
    pub(super) fn forget(&mut self) {
        self.dead += 1;
        if self.dead >= SWEEP_FROM && self.dead > self.heap.len() / 2 {
            self.dead = 0;
            self.heap.retain(|timer| !timer.is_dead());
        }
    }

    /// Calls `keep` with each retry and removes those for which it returns `false`.
    pub(super) fn retain_retries(&mut self, mut keep: impl FnMut(&T) -> bool) {
        self.heap.retain(|timer| match &timer.what {
            Due::Retry(item) => keep(item),
            Due::Deadline(_) => true,
        });
    }

    /// Returns every retry, dead ones included, in no order.
    pub(super) fn retries(&self) -> impl Iterator<Item = &T> {
        self.heap.iter().filter_map(|timer| match &timer.what {
            Due::Retry(item) => Some(item),
            Due::Deadline(_) => None,
        })
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.heap.len()
    }
}

impl<T: Waiting> Timer<T> {
    fn is_dead(&self) -> bool {
        match &self.what {
            Due::Retry(item) => !item.is_waiting(),
            Due::Deadline(item) => item.is_over(),
        }
    }
}

impl<T: Waiting> Ord for Timer<T> {
    /// The earliest is the greatest, because the heap gives the greatest first.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.due, other.number).cmp(&(self.due, self.number))
    }
}

impl<T: Waiting> PartialOrd for Timer<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T: Waiting> PartialEq for Timer<T> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl<T: Waiting> Eq for Timer<T> {}
