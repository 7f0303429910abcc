//! Which process needs a look next.

use std::collections::BTreeSet;
use std::time::Instant;

/// One deadline per slot, the earliest first.
///
/// Deadlines are removed exactly instead of being left to expire: at a thousand tests a second, a 60 s timeout each
/// would otherwise keep 60,000 dead entries.
#[derive(Debug, Default)]
pub(super) struct Deadlines {
    ordered: BTreeSet<(Instant, usize)>,
    of_slot: Vec<Option<Instant>>,
}

impl Deadlines {
    /// Replaces the deadline of a slot.
    pub(super) fn set(&mut self, slot: usize, deadline: Option<Instant>) {
        if slot >= self.of_slot.len() {
            self.of_slot.resize(slot + 1, None);
        }
        let old = std::mem::replace(&mut self.of_slot[slot], deadline);
        if old == deadline {
            return;
        }
        if let Some(old) = old {
            self.ordered.remove(&(old, slot));
        }
        if let Some(deadline) = deadline {
            self.ordered.insert((deadline, slot));
        }
    }

    /// Returns the earliest deadline.
    pub(super) fn next(&self) -> Option<Instant> {
        self.ordered.first().map(|(deadline, _)| *deadline)
    }

    /// Removes a slot whose deadline is not after `now`, the earliest first.
    pub(super) fn pop_due(&mut self, now: Instant) -> Option<usize> {
        let (_, slot) = *self
            .ordered
            .first()
            .filter(|(deadline, _)| *deadline <= now)?;
        self.set(slot, None);
        Some(slot)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn due_slots_come_earliest_first_and_once() {
        let start = Instant::now();
        let at = |milliseconds| start + Duration::from_millis(milliseconds);
        let mut deadlines = Deadlines::default();
        deadlines.set(2, Some(at(30)));
        deadlines.set(0, Some(at(10)));
        deadlines.set(1, Some(at(20)));
        deadlines.set(3, Some(at(40)));
        deadlines.set(0, Some(at(25)));
        deadlines.set(3, None);
        assert_eq!(deadlines.next(), Some(at(20)));
        assert_eq!(deadlines.pop_due(at(19)), None);
        assert_eq!(deadlines.pop_due(at(25)), Some(1));
        assert_eq!(deadlines.pop_due(at(25)), Some(0));
        assert_eq!(deadlines.pop_due(at(25)), None);
        assert_eq!(deadlines.pop_due(at(99)), Some(2));
        assert_eq!((deadlines.next(), deadlines.pop_due(at(99))), (None, None));
    }

    #[test]
    fn two_slots_may_share_an_instant() {
        let now = Instant::now();
        let mut deadlines = Deadlines::default();
        deadlines.set(0, Some(now));
        deadlines.set(1, Some(now));
        deadlines.set(0, None);
        assert_eq!(deadlines.pop_due(now), Some(1));
        assert_eq!(deadlines.pop_due(now), None);
    }
}
