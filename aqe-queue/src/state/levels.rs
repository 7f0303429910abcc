//! Operations that wait for a slot, by urgency.

use std::collections::VecDeque;
use std::ops::Range;

use super::keyed::{Keys, Place};
use super::{Tick, Waiting};
use crate::config::AGEING_SHARE;

/// One ring for each level, first in, first out.
///
/// A cancelled operation stays in its ring as a dead entry until it is met or swept, so that cancelling costs no
/// search; `live` counts the others. At most as many are dead as live in a ring, or [`SWEEP_FROM`]. An operation that
/// moves to another level leaves a hole, which counts as dead.
pub(super) struct Levels<T> {
    rings: Box<[Ring<T>]>,
    /// One bit for each level with a live entry, as far as it is known: an entry that a cancellation has claimed lives until
    /// it is counted out, but not after it was met.
    occupied: u64,
    live: usize,
    /// Nanoseconds after which a waiting operation is protected.
    ageing: Option<u64>,
    /// Starts since the last one that went to a protected operation.
    since_aged: u32,
}

struct Ring<T> {
    entries: VecDeque<Slot<T>>,
    live: usize,
    /// The place of the first entry. Places count up along the ring, and around: no ring has 2^32 entries.
    first: u32,
    /// The entries know their places. They are told when the first of them is to be taken out of the middle, and from
    /// then on as they come: a queue in which that never happens need not touch what only passes through.
    numbered: bool,
}

/// An [`Entry`], or the hole that it left.
struct Slot<T> {
    item: Option<T>,
    since: Tick,
}

/// Operations on their way into one level.
pub(crate) struct Line<T>(VecDeque<Slot<T>>);

impl<T> Line<T> {
    pub(crate) const fn new() -> Self {
        Self(VecDeque::new())
    }

    pub(crate) fn push(&mut self, item: T, since: Tick) {
        self.0.push_back(Slot {
            item: Some(item),
            since,
        });
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Gives the memory of a burst back.
    pub(crate) fn shrink(&mut self) {
        self.0.shrink_to(KEEP);
    }
}

impl<T: Waiting> Ring<T> {
    fn push_back(&mut self, Entry { item, since }: Entry<T>) {
        if self.numbered {
            item.set_place(self.place_of(self.entries.len()));
        }
        self.entries.push_back(Slot {
            item: Some(item),
            since,
        });
    }

    /// Moves a line to the end.
    fn append(&mut self, line: &mut Line<T>) {
        let before = self.entries.len();
        if before == 0 {
            std::mem::swap(&mut self.entries, &mut line.0);
        } else {
            self.entries.append(&mut line.0);
        }
        if self.numbered {
            self.number(before..self.entries.len());
        }
    }

    fn push_front(&mut self, Entry { item, since }: Entry<T>) {
        self.first = self.first.wrapping_sub(1);
        if self.numbered {
            item.set_place(self.first);
        }
        self.entries.push_front(Slot {
            item: Some(item),
            since,
        });
    }

    /// Puts an entry before those that came later.
    fn insert(&mut self, Entry { item, since }: Entry<T>) {
        let key = (since, item.number());
        let is_before = |slot: &Slot<T>| {
            let item = slot.item.as_ref();
            item.is_none_or(|item| (slot.since, item.number()) < key)
        };
        let index = self.entries.iter().take_while(|it| is_before(it)).count();
        let item = Some(item);
        self.entries.insert(index, Slot { item, since });
        // The entries before it have moved, so that the places of those after it stay.
        self.first = self.first.wrapping_sub(1);
        if self.numbered {
            self.number(0..index + 1);
        }
    }

    /// Tells entries their places.
    fn number(&self, indices: Range<usize>) {
        let start = indices.start;
        for (offset, slot) in self.entries.range(indices).enumerate() {
            if let Some(item) = &slot.item {
                item.set_place(self.place_of(start + offset));
            }
        }
    }

    /// Takes the first entry; `None` in its place if it was a hole.
    fn pop_front(&mut self) -> Option<Slot<T>> {
        let slot = self.entries.pop_front();
        self.first = self.first.wrapping_add(u32::from(slot.is_some()));
        slot
    }

    #[expect(clippy::cast_possible_truncation, reason = "places go around")]
    const fn place_of(&self, index: usize) -> u32 {
        self.first.wrapping_add(index as u32)
    }

    /// Takes an entry out of the middle. `None` if `item` is not where it says.
    fn remove(&mut self, item: &T) -> Option<Entry<T>> {
        if !std::mem::replace(&mut self.numbered, true) {
            self.number(0..self.entries.len());
        }
        let index = item.place().wrapping_sub(self.first) as usize;
        let slot = self.entries.get_mut(index)?;
        if !slot.item.as_ref().is_some_and(|it| it.is(item)) {
            return None;
        }
        let since = slot.since;
        slot.item.take().map(|item| Entry { item, since })
    }

    /// Drops what is dead at the end.
    fn trim(&mut self) {
        let is_dead = |slot: &mut Slot<T>| !slot.item.as_ref().is_some_and(T::is_waiting);
        while self.entries.pop_back_if(is_dead).is_some() {}
    }

    /// Removes dead entries if they are too many.
    fn sweep(&mut self) {
        // An entry can be dropped before the cancellation that claimed it comes to count it out.
        let dead = self.entries.len().saturating_sub(self.live);
        if dead < SWEEP_FROM || dead <= self.live {
            return;
        }
        self.entries
            .retain(|slot| slot.item.as_ref().is_some_and(T::is_waiting));
        if self.numbered {
            self.number(0..self.entries.len());
        }
    }
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
                first: 0,
                numbered: false,
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
        self.rings[usize::from(level)].push_back(entry);
        self.count_in(level);
    }

    /// Moves a line, which is not empty, to the end of a level.
    pub(super) fn append(&mut self, level: u8, line: &mut Line<T>) {
        let count = line.len();
        let ring = &mut self.rings[usize::from(level)];
        ring.append(line);
        ring.live += count;
        self.live += count;
        self.occupied |= 1 << level;
    }

    pub(super) fn push_front(&mut self, level: u8, entry: Entry<T>) {
        self.rings[usize::from(level)].push_front(entry);
        self.count_in(level);
    }

    /// Puts an operation before those that came later. Only for operations that were at the head of their level before:
    /// few are before them, so the search from the front is short.
    pub(super) fn insert(&mut self, level: u8, entry: Entry<T>) {
        self.rings[usize::from(level)].insert(entry);
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
            self.leave_empty(level);
        }
    }

    /// Nobody is to look into this level until something comes.
    fn leave_empty(&mut self, level: u8) {
        self.occupied &= !(1 << level);
        let entries = &mut self.rings[usize::from(level)].entries;
        if entries.is_empty() && entries.capacity() > KEEP {
            // A burst's memory is given back.
            *entries = VecDeque::new();
        }
    }

    /// Counts out an entry that a cancellation has claimed.
    pub(super) fn forget(&mut self, level: u8) {
        self.count_out(level);
        self.rings[usize::from(level)].sweep();
    }

    /// Moves an entry to the end of another level. `false` if it is not in one.
    pub(super) fn relocate(&mut self, item: &T, level: u8) -> bool {
        let from = item.level();
        if from == level {
            return true;
        }
        let Some(entry) = self.rings[usize::from(from)].remove(item) else {
            return false;
        };
        self.count_out(from);
        self.rings[usize::from(from)].sweep();
        item.set_level(level);
        self.push_back(level, entry);
        true
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

    /// Takes up to `most` operations of the most urgent level, one after the other; for a queue without keys and while
    /// nothing ages.
    pub(super) fn pop_many(
        &mut self,
        most: usize,
        mut out: impl FnMut(Taken<T::Claimed>),
    ) -> usize {
        let index = self.occupied.trailing_zeros() as usize;
        let Some(ring) = self.rings.get_mut(index) else {
            return 0;
        };
        // There are at most 64 levels.
        let level = index as u8;
        let mut count = 0;
        while count < most
            && let Some(Slot { item, since }) = ring.pop_front()
        {
            if let Some(claimed) = item.and_then(T::claim) {
                count += 1;
                out(Taken {
                    claimed,
                    level,
                    since,
                    aged: false,
                });
            }
        }
        ring.live -= count;
        self.live -= count;
        // No ring has as many entries as this counts.
        self.since_aged = self.since_aged.saturating_add(count as u32);
        if ring.live == 0 || ring.entries.is_empty() {
            // Nothing is left but dead entries, or a cancellation has claimed what was and has not come to count it out.
            self.leave_empty(level);
        }
        count
    }

    /// Takes the next operation of the levels in `open`. `ageing` is what [`is_ageing`](Self::is_ageing) said. What has
    /// a key that is not free goes to `keys`.
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
            let Some(entry) = self.rings[usize::from(level)].pop_front() else {
                // A cancellation has claimed the last entry, another pop has dropped it, and the cancellation has not
                // yet come to count it out. It will; until then there is nothing here, and nobody is to look again.
                self.occupied &= !(1 << level);
                continue;
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

    /// Claims an entry that has been taken out of its ring, unless a cancellation has it or its key is not free.
    fn claim(
        &mut self,
        level: u8,
        Slot { item, since }: Slot<T>,
        now: Tick,
        keys: &mut Option<Box<Keys<T>>>,
    ) -> Option<T::Claimed> {
        let entry = Entry { item: item?, since };
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
        let ring = &mut self.rings[usize::from(level)];
        while let Some(first) = ring.entries.front() {
            if first.item.as_ref().is_some_and(T::is_waiting) {
                return Some(first.since);
            }
            ring.pop_front();
        }
        None
    }

    /// Empties all levels. `seize` claims an entry, or returns `false` if a cancellation was first.
    pub(super) fn drain(&mut self, mut seize: impl FnMut(T) -> bool) -> usize {
        let mut count = 0;
        for level in 0..self.count() {
            for entry in std::mem::take(&mut self.rings[usize::from(level)].entries) {
                if entry.item.is_some_and(&mut seize) {
                    self.count_out(level);
                    count += 1;
                }
            }
        }
        count
    }

    /// Returns what waits in the levels less urgent than `level`: the least urgent first, and in each what came last.
    pub(super) fn newest_below(&self, level: u8) -> impl Iterator<Item = (Place, &T)> {
        let levels = (level + 1..self.count()).rev();
        levels.flat_map(|level| {
            let slots = self.rings[usize::from(level)].entries.iter().rev();
            slots.filter_map(move |Slot { item, since }| {
                let item = item.as_ref().filter(|item| item.is_waiting())?;
                Some(((level, *since, item.number()), item))
            })
        })
    }

    /// Takes one of [`newest_below`](Self::newest_below), unless a cancellation takes it first. `None` if it is in no
    /// level.
    pub(super) fn remove(&mut self, item: &T) -> Option<Option<T::Claimed>> {
        let level = item.level();
        let ring = &mut self.rings[usize::from(level)];
        let entry = ring.remove(item)?;
        ring.trim();
        let claimed = entry.item.claim();
        if claimed.is_some() {
            self.count_out(level);
        }
        Some(claimed)
    }

    /// Takes an operation out of turn, unless a cancellation takes it first or it is in no level.
    pub(super) fn take_out(&mut self, item: &T) -> Option<Taken<T::Claimed>> {
        let level = item.level();
        let entry = self.rings[usize::from(level)].remove(item)?;
        let claimed = entry.item.claim()?;
        self.count_out(level);
        self.rings[usize::from(level)].sweep();
        Some(Taken {
            claimed,
            level,
            since: entry.since,
            // It must not be given back: its call waits for it.
            aged: true,
        })
    }

    /// Returns how many entries and holes there are.
    #[cfg(test)]
    pub(super) fn slots(&self) -> usize {
        self.rings.iter().map(|ring| ring.entries.len()).sum()
    }

    /// Returns every entry, dead ones included, in the order of the levels.
    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.rings
            .iter()
            .flat_map(|ring| ring.entries.iter().filter_map(|entry| entry.item.as_ref()))
    }
}
