//! Attempts that have begun and wait to be woken.

use super::Tick;

/// A table of running attempts with the time at which each is over its timeout.
///
/// No timer is kept for each: `armed` is a lower bound of all their times, and the table is searched
/// only when it has passed. With equal timeouts that happens once per timeout, however many operations come and go.
pub(crate) struct Slots<T> {
    slots: Vec<Option<Slot<T>>>,
    free: Vec<usize>,
    armed: Tick,
}

pub(crate) struct Slot<T> {
    pub(crate) item: T,
    /// When the attempt began to wait.
    pub(crate) since: Tick,
    /// When it is over its time; the greatest tick if never.
    pub(crate) due: Tick,
}

impl<T> Slots<T> {
    pub(crate) const fn new() -> Self {
        Self {
            slots: Vec::new(),
            free: Vec::new(),
            armed: Tick::MAX,
        }
    }

    pub(crate) fn insert(&mut self, slot: Slot<T>) -> usize {
        self.armed = self.armed.min(slot.due);
        if let Some(index) = self.free.pop() {
            self.slots[index] = Some(slot);
            return index;
        }
        self.slots.push(Some(slot));
        self.slots.len() - 1
    }

    pub(crate) fn remove(&mut self, index: usize) -> Option<Slot<T>> {
        let slot = self.slots.get_mut(index)?.take()?;
        self.free.push(index);
        Some(slot)
    }

    /// Returns a time before which no attempt is over its time.
    pub(crate) const fn next_due(&self) -> Tick {
        self.armed
    }

    /// Hands each attempt that is over its time to `late`, once.
    pub(crate) fn expire(&mut self, now: Tick, mut late: impl FnMut(&T)) {
        if now < self.armed {
            return;
        }
        self.armed = Tick::MAX;
        for slot in self.slots.iter_mut().flatten() {
            if slot.due <= now {
                slot.due = Tick::MAX;
                late(&slot.item);
            }
            self.armed = self.armed.min(slot.due);
        }
    }

    pub(crate) fn each(&self, mut out: impl FnMut(&T)) {
        self.slots.iter().flatten().for_each(|slot| out(&slot.item));
    }

    pub(crate) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn late(slots: &mut Slots<char>, now: Tick) -> Vec<char> {
        let mut found = Vec::new();
        slots.expire(now, |item| found.push(*item));
        found
    }

    #[test]
    fn attempt_is_late_once_and_at_its_time() {
        let mut slots = Slots::new();
        slots.insert(Slot {
            item: 'a',
            since: 0,
            due: 10,
        });
        let b = slots.insert(Slot {
            item: 'b',
            since: 0,
            due: 5,
        });
        slots.insert(Slot {
            item: 'c',
            since: 0,
            due: Tick::MAX,
        });
        assert_eq!(slots.next_due(), 5);
        assert_eq!(late(&mut slots, 4), []);
        assert_eq!(late(&mut slots, 5), ['b']);
        assert_eq!(late(&mut slots, 9), []);
        assert_eq!(slots.next_due(), 10);
        assert!(slots.remove(b).is_some());
        assert!(slots.remove(b).is_none());
        assert_eq!(late(&mut slots, 10), ['a']);
        assert_eq!(slots.next_due(), Tick::MAX);
        assert_eq!(slots.len(), 2);
    }

    #[test]
    fn places_are_used_again() {
        let mut slots = Slots::new();
        for _ in 0..1000 {
            let index = slots.insert(Slot {
                item: 'a',
                since: 0,
                due: 1,
            });
            assert_eq!(index, 0);
            slots.remove(index);
        }
    }
}
