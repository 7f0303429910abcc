//! Operations that wait for a slot, by urgency.

use std::collections::VecDeque;

use super::keyed::Keys;
use super::{Tick, Waiting};
use crate::config::AGEING_SHARE;

/// One ring for each level, first in, first out.
///
/// A cancelled operation stays in its ring as a dead entry until it is met or swept, so that cancelling costs no
/// search; `live` counts the others.
pub(super) struct Levels<T> {
    rings: Box<[Ring<T>]>,
    /// One bit for each level with a live entry.
    occupied: u64,
    live: usize,
    /// Nanoseconds after which a waiting operation is protected.
    ageing: Option<u64>,
    /// Starts since the last one that went to a protected operation.
    since_aged: u32,
}

struct Ring<T> {
    entries: VecDeque<Entry<T>>,
    live: usize,
}

pub(super) struct Entry<T> {
    pub(super) item: T,
    /// When it began to wait in this level.
    pub(super) since: Tick,
}

/// An operation that may start.
pub(crate) struct Taken<C> {
    pub(crate) claimed: C,
    pub(crate) level: u8,
    pub(crate) since: Tick,
    /// Chosen for its age, before more urgent ones.
    pub(crate) aged: bool,
}

/// Dead entries are swept when there are more of them than of live ones, and at least this many: the sweep is then
/// paid for by the cancellations before it, and a small queue never bothers.
const SWEEP_FROM: usize = 64;

/// How many entries an empty level keeps room for.
const KEEP: usize = 4_096;

impl<T: Waiting> Levels<T> {
    pub(super) fn new(levels: u8, ageing: Option<u64>) -> Self {
        let rings = (0..levels)
            .map(|_| Ring {
                entries: VecDeque::new(),
                live: 0,
            })
            .collect();
        Self {
            rings,
            occupied: 0,
            live: 0,
            ageing,
            since_aged: 0,
        }
    }

    pub(super) fn count(&self) -> u8 {
        // Made from a `u8` in `new`.
        u8::try_from(self.rings.len()).unwrap_or(u8::MAX)
    }

    pub(super) const fn live(&self) -> usize {
        self.live
    }

    pub(super) const fn occupied(&self) -> u64 {
        self.occupied
    }

    pub(super) fn depth(&self, level: u8) -> usize {
        self.rings[usize::from(level)].live
    }

    pub(super) fn push_back(&mut self, level: u8, entry: Entry<T>) {
        self.rings[usize::from(level)].entries.push_back(entry);
        self.count_in(level);
    }

    pub(super) fn push_front(&mut self, level: u8, entry: Entry<T>) {
        self.rings[usize::from(level)].entries.push_front(entry);
        self.count_in(level);
    }

    /// Puts an operation before those that came later. Only for operations that were at the head of their level before:
    /// few are before them, so the search from the front is short.
    pub(super) fn insert(&mut self, level: u8, entry: Entry<T>) {
        let entries = &mut self.rings[usize::from(level)].entries;
        let place = (entry.since, entry.item.number());
        let before = entries
            .iter()
            .take_while(|other| (other.since, other.item.number()) < place)
            .count();
        entries.insert(before, entry);
        self.count_in(level);
    }

    fn count_in(&mut self, level: u8) {
        self.rings[usize::from(level)].live += 1;
        self.live += 1;
        self.occupied |= 1 << level;
    }

    fn count_out(&mut self, level: u8) {
        let ring = &mut self.rings[usize::from(level)];
        ring.live -= 1;
        self.live -= 1;
        if ring.live == 0 {
            self.occupied &= !(1 << level);
            if ring.entries.is_empty() && ring.entries.capacity() > KEEP {
                // A burst's memory is given back.
                ring.entries = VecDeque::new();
            }
        }
    }

    /// Counts out an entry that a cancellation has claimed.
    pub(super) fn forget(&mut self, level: u8) {
        self.count_out(level);
        let ring = &mut self.rings[usize::from(level)];
        // An entry can be dropped before the cancellation that claimed it comes to count it out.
        let dead = ring.entries.len().saturating_sub(ring.live);
        if dead >= SWEEP_FROM && dead > ring.live {
            ring.entries.retain(|entry| entry.item.is_waiting());
        }
    }

    /// Whether something below the most urgent level has waited long enough to be protected.
    pub(super) fn is_ageing(&mut self, now: Tick, open: u64) -> bool {
        let Some(ageing) = self.ageing else {
            return false;
        };
        // Nothing can be passed over while only one level is occupied.
        let occupied = self.occupied & open;
        if occupied & occupied.wrapping_sub(1) == 0 {
            return false;
        }
        self.longest_waiting(open)
            .is_some_and(|(_, since)| now.saturating_sub(since) >= ageing)
    }

    /// Takes the next operation of the levels in `open`. `ageing` is what [`is_ageing`](Self::is_ageing) said. What has a key that is not free goes
    /// to `keys`.
    pub(super) fn pop(
        &mut self,
        now: Tick,
        open: u64,
        ageing: bool,
        keys: &mut Option<Box<Keys<T>>>,
    ) -> Option<Taken<T::Claimed>> {
        loop {
            let occupied = self.occupied & open;
            if occupied == 0 {
                return None;
            }
            let top = u8::try_from(occupied.trailing_zeros()).ok()?;
            let protected = if ageing {
                self.protected(now, open, top)
            } else {
                None
            };
            let level = protected.unwrap_or(top);
            let Some(entry) = self.rings[usize::from(level)].entries.pop_front() else {
                // A cancellation has claimed the last entry, another pop has dropped it, and the cancellation has not
                // yet come to count it out. It will; until then there is nothing here.
                return self.pop_elsewhere(level, now, open, keys);
            };
            let since = entry.since;
            if let Some(claimed) = self.claim(level, entry, now, keys) {
                self.since_aged = if protected.is_some() {
                    0
                } else {
                    self.since_aged.saturating_add(1)
                };
                return Some(Taken {
                    claimed,
                    level,
                    since,
                    aged: protected.is_some(),
                });
            }
        }
    }

    /// Takes from the levels below `level`, whose entries are all claimed by cancellations that are under way.
    fn pop_elsewhere(
        &mut self,
        level: u8,
        now: Tick,
        open: u64,
        keys: &mut Option<Box<Keys<T>>>,
    ) -> Option<Taken<T::Claimed>> {
        for level in (level + 1..self.count()).filter(|level| open & (1 << level) != 0) {
            while let Some(entry) = self.rings[usize::from(level)].entries.pop_front() {
                let since = entry.since;
                if let Some(claimed) = self.claim(level, entry, now, keys) {
                    return Some(Taken {
                        claimed,
                        level,
                        since,
                        aged: false,
                    });
                }
            }
        }
        None
    }

    /// Claims an entry that has been taken out of its ring, unless a cancellation has it or its key is not free.
    fn claim(
        &mut self,
        level: u8,
        entry: Entry<T>,
        now: Tick,
        keys: &mut Option<Box<Keys<T>>>,
    ) -> Option<T::Claimed> {
        if let Some(keys) = keys
            && entry.item.is_keyed()
        {
            return self.claim_keyed(level, entry, now, keys);
        }
        let claimed = entry.item.claim()?;
        self.count_out(level);
        Some(claimed)
    }

    fn claim_keyed(
        &mut self,
        level: u8,
        entry: Entry<T>,
        now: Tick,
        keys: &mut Keys<T>,
    ) -> Option<T::Claimed> {
        let number = entry.item.number();
        let place = (level, entry.since, number);
        let released = if !entry.item.is_waiting() {
            return None;
        } else if keys.holds(place, now) {
            self.count_out(level);
            (None, keys.hold(place, entry.item, now))
        } else {
            // A cancellation can still be first: it will count the entry out, and take its key's part.
            let claimed = entry.item.claim()?;
            self.count_out(level);
            (Some(claimed), keys.start(number, now))
        };
        self.release(released.1);
        released.0
    }

    /// Returns the level whose turn it is by age, if it is.
    fn protected(&mut self, now: Tick, open: u64, top: u8) -> Option<u8> {
        let ageing = self.ageing?;
        if self.since_aged + 1 < AGEING_SHARE {
            return None;
        }
        let (level, since) = self.longest_waiting(open)?;
        (level != top && now.saturating_sub(since) >= ageing).then_some(level)
    }

    /// Returns the level below the most urgent occupied one whose head has waited longest.
    fn longest_waiting(&mut self, open: u64) -> Option<(u8, Tick)> {
        let occupied = self.occupied & open;
        let mut rest = occupied & occupied.wrapping_sub(1);
        let mut longest: Option<(u8, Tick)> = None;
        while rest != 0 {
            let level = u8::try_from(rest.trailing_zeros()).ok()?;
            rest &= rest - 1;
            if let Some(since) = self.oldest(level)
                && longest.is_none_or(|(_, least)| since < least)
            {
                longest = Some((level, since));
            }
        }
        longest
    }

    /// Returns since when the head of a level has waited, and drops dead entries before it.
    pub(super) fn oldest(&mut self, level: u8) -> Option<Tick> {
        let entries = &mut self.rings[usize::from(level)].entries;
        while entries
            .front()
            .is_some_and(|entry| !entry.item.is_waiting())
        {
            entries.pop_front();
        }
        entries.front().map(|entry| entry.since)
    }

    /// Empties all levels. `seize` claims an entry, or returns `false` if a cancellation was first.
    pub(super) fn drain(&mut self, mut seize: impl FnMut(T) -> bool) -> usize {
        let mut count = 0;
        for level in 0..self.count() {
            for entry in std::mem::take(&mut self.rings[usize::from(level)].entries) {
                if seize(entry.item) {
                    self.count_out(level);
                    count += 1;
                }
            }
        }
        count
    }

    /// Returns every entry, dead ones included, in the order of the levels.
    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.rings
            .iter()
            .flat_map(|ring| ring.entries.iter().map(|entry| &entry.item))
    }
}
