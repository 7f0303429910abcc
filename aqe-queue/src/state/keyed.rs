//! Operations with a key: who of them may start, and who waits aside.
//!
//! An operation is looked at when it comes to the head of its level. If its key is at its limit it is *held*: it leaves
//! the level for the key's own list. The invariant that loses nobody: whenever a key is free and holds something, one
//! operation of it has been *released* to its level, or an alarm is set for the time at which the rate allows it. So every
//! event that can make a key free, or take away what was released, ends with [`advance`](Keys::advance).
//! To release too many does no harm: they are held again when they come to the head.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap};
use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use super::levels::{Entry, Levels};
use super::{Refusal, State, Tick, Waiting, nanos};
use crate::body::Ending;
use crate::cell::Waited;
use crate::keys::KeyLimits;
use crate::stats::LevelStatus;

pub(super) struct Keys<T> {
    limits: KeyLimits,
    /// Nanoseconds between two starts of one key, and how much earlier a start may come after a calm.
    pace: Option<(Tick, Tick)>,
    names: HashMap<Arc<str>, usize>,
    table: Vec<Option<Key<T>>>,
    free: Vec<usize>,
    /// Every keyed operation that has not ended, by its number.
    members: HashMap<u64, Member>,
    /// Who of them is held, and of which key: in the order of the levels.
    held: BTreeMap<Place, usize>,
    /// When the rate allows a key the next start. An alarm that its key does not know any more is void.
    alarms: BinaryHeap<Reverse<(Tick, usize)>>,
    /// Before this no key that is only remembered for its rate can be forgotten.
    sweep_at: Tick,
}

struct Key<T> {
    name: Arc<str>,
    members: usize,
    running: usize,
    /// The theoretical arrival time of I.371: with starts evenly spread the next would come then.
    next: Tick,
    held: BTreeMap<Place, T>,
    alarm: Option<Tick>,
}

/// Where a held operation belongs: its level, when it began to wait there, and its number.
pub(super) type Place = (u8, Tick, u64);

struct Member {
    key: usize,
    held: Option<Place>,
}

/// An operation that goes back to its level.
pub(super) struct Released<T> {
    pub(super) level: u8,
    pub(super) entry: Entry<T>,
}

impl<T> Keys<T> {
    pub(super) fn new(limits: KeyLimits) -> Self {
        let pace = limits.rate.map(|rate| {
            let pace = nanos(rate.per) / u64::from(rate.starts.max(1));
            (pace, pace.saturating_mul(u64::from(rate.burst) - 1))
        });
        Self {
            limits,
            pace,
            names: HashMap::new(),
            table: Vec::new(),
            free: Vec::new(),
            members: HashMap::new(),
            held: BTreeMap::new(),
            alarms: BinaryHeap::new(),
            sweep_at: 0,
        }
    }

    pub(super) fn held(&self) -> usize {
        self.held.len()
    }

    /// Takes note of a new operation. `false` if its key would be one too many.
    pub(super) fn enter(&mut self, number: u64, name: &Arc<str>, now: Tick) -> bool {
        let known = self.names.get(name).copied();
        let Some(key) = known.or_else(|| self.add(name, now)) else {
            return false;
        };
        if let Some(entry) = &mut self.table[key] {
            entry.members += 1;
        }
        self.members.insert(number, Member { key, held: None });
        true
    }

    fn add(&mut self, name: &Arc<str>, now: Tick) -> Option<usize> {
        if !self.has_room_for(name, now) {
            return None;
        }
        let key = self.free.pop().unwrap_or(self.table.len());
        if key == self.table.len() {
            self.table.push(None);
        }
        self.table[key] = Some(Key {
            name: Arc::clone(name),
            members: 0,
            running: 0,
            next: 0,
            held: BTreeMap::new(),
            alarm: None,
        });
        self.names.insert(Arc::clone(name), key);
        Some(key)
    }

    /// Forgets keys that were only remembered for their rate.
    fn sweep(&mut self, now: Tick) {
        if now < self.sweep_at {
            return;
        }
        self.sweep_at = Tick::MAX;
        for key in 0..self.table.len() {
            if let Some(entry) = &self.table[key]
                && entry.members == 0
            {
                self.sweep_at = self.sweep_at.min(entry.next);
                self.forget_unused(key, now);
            }
        }
    }

    /// Whether the operation at the head of its level has to wait aside.
    pub(super) fn holds(&self, place: Place, now: Tick) -> bool {
        let Some(key) = self.key_of(place.2) else {
            return false;
        };
        // Who came first starts first, also in the moment in which the key becomes free.
        let is_behind = key.held.first_key_value().is_some_and(|it| *it.0 < place);
        is_behind || key.running >= self.limits.max_concurrent || self.allowed_at(key) > now
    }

    /// Puts an operation aside.
    pub(super) fn hold(&mut self, place: Place, item: T, now: Tick) -> Option<Released<T>> {
        let member = self.members.get_mut(&place.2)?;
        member.held = Some(place);
        let key = member.key;
        self.table[key].as_mut()?.held.insert(place, item);
        self.held.insert(place, key);
        self.advance(key, now)
    }

    /// Takes note of a start.
    pub(super) fn start(&mut self, number: u64, now: Tick) -> Option<Released<T>> {
        let key = self.members.get(&number)?.key;
        let entry = self.table[key].as_mut()?;
        entry.running += 1;
        if let Some((pace, _)) = self.pace {
            entry.next = entry.next.max(now).saturating_add(pace);
        }
        self.advance(key, now)
    }

    /// Takes a start back: the operation was taken but not begun.
    pub(super) fn unstart(&mut self, number: u64, now: Tick) -> Option<Released<T>> {
        let key = self.members.get(&number)?.key;
        let entry = self.table[key].as_mut()?;
        entry.running = entry.running.saturating_sub(1);
        if let Some((pace, _)) = self.pace {
            entry.next = entry.next.saturating_sub(pace);
        }
        self.advance(key, now)
    }

    /// Takes note of the end of an attempt.
    pub(super) fn stop(&mut self, number: u64, now: Tick) -> Option<Released<T>> {
        let key = self.members.get(&number)?.key;
        let entry = self.table[key].as_mut()?;
        entry.running = entry.running.saturating_sub(1);
        self.advance(key, now)
    }

    /// Takes note of the end of an operation that ran.
    pub(super) fn finish(&mut self, number: u64, now: Tick) -> Option<Released<T>> {
        let key = self.members.get(&number)?.key;
        let entry = self.table[key].as_mut()?;
        entry.running = entry.running.saturating_sub(1);
        self.leave(number, now).1
    }

    /// Forgets an operation that has ended and does not run. Returns whether it was held.
    pub(super) fn leave(&mut self, number: u64, now: Tick) -> (bool, Option<Released<T>>) {
        let Some(member) = self.members.remove(&number) else {
            return (false, None);
        };
        let Some(entry) = &mut self.table[member.key] else {
            return (false, None);
        };
        entry.members -= 1;
        let removed = member.held.and_then(|place| {
            self.held.remove(&place);
            entry.held.remove(&place)
        });
        if entry.members == 0 {
            self.sweep_at = self.sweep_at.min(entry.next);
            self.forget_unused(member.key, now);
            return (removed.is_some(), None);
        }
        (removed.is_some(), self.advance(member.key, now))
    }

    /// Releases the first that is held if the key is free, or sets the alarm for when it will be.
    fn advance(&mut self, key: usize, now: Tick) -> Option<Released<T>> {
        let entry = self.table[key].as_ref()?;
        if entry.held.is_empty() || entry.running >= self.limits.max_concurrent {
            return None;
        }
        let due = self.allowed_at(entry);
        let entry = self.table[key].as_mut()?;
        if due > now {
            if entry.alarm.is_none_or(|alarm| alarm > due) {
                entry.alarm = Some(due);
                self.alarms.push(Reverse((due, key)));
            }
            return None;
        }
        let (place, item) = entry.held.pop_first()?;
        self.held.remove(&place);
        let (level, since, number) = place;
        if let Some(member) = self.members.get_mut(&number) {
            member.held = None;
        }
        let entry = Entry { item, since };
        Some(Released { level, entry })
    }

    pub(super) fn next_due(&self) -> Option<Tick> {
        self.alarms.peek().map(|Reverse((due, _))| *due)
    }

    /// Releases what the rate allows by now, one operation for each call.
    pub(super) fn tick(&mut self, now: Tick) -> Option<Released<T>> {
        while self.next_due().is_some_and(|due| due <= now) {
            let Some(Reverse((due, key))) = self.alarms.pop() else {
                break;
            };
            let Some(entry) = &mut self.table[key] else {
                continue;
            };
            if entry.alarm != Some(due) {
                continue;
            }
            entry.alarm = None;
            if let Some(released) = self.advance(key, now) {
                return Some(released);
            }
        }
        None
    }

    /// Removes held operations: `seize` claims one, or returns `false` if a cancellation that is under way was first and
    /// will remove it itself. The caller has each of those that are returned [leave](Self::leave).
    pub(super) fn drain(&mut self, mut seize: impl FnMut(&T) -> bool) -> Vec<u64> {
        let mut seized = Vec::new();
        for entry in self.table.iter_mut().flatten() {
            entry.held.retain(|place, item| {
                let is_seized = seize(item);
                if is_seized {
                    seized.push(place.2);
                    self.held.remove(place);
                }
                !is_seized
            });
        }
        seized
    }

    /// Takes an operation back that was held. It keeps its key.
    fn unhold(&mut self, number: u64) -> Option<Entry<T>> {
        let member = self.members.get_mut(&number)?;
        let place = member.held.take()?;
        self.held.remove(&place);
        let item = self.table[member.key].as_mut()?.held.remove(&place)?;
        let since = place.1;
        Some(Entry { item, since })
    }

    fn is_held(&self, number: u64) -> bool {
        let member = self.members.get(&number);
        member.is_some_and(|member| member.held.is_some())
    }

    /// Whether an operation of this key would be admitted.
    fn has_room_for(&mut self, name: &Arc<str>, now: Tick) -> bool {
        if self.names.contains_key(name) {
            return true;
        }
        if self.names.len() >= self.limits.max_keys {
            self.sweep(now);
        }
        self.names.len() < self.limits.max_keys
    }

    /// Returns what is held and less urgent than `level`: the least urgent first, and in each level what came last.
    fn held_below(&self, level: u8) -> impl Iterator<Item = (Place, &T)> {
        let from = Bound::Excluded((level, Tick::MAX, u64::MAX));
        let places = self.held.range((from, Bound::Unbounded)).rev();
        places.filter_map(|(place, key)| {
            let item = self.table[*key].as_ref()?.held.get(place)?;
            Some((*place, item))
        })
    }

    pub(super) fn each_held(&self) -> impl Iterator<Item = (Place, &T)> {
        let entries = self.table.iter().flatten();
        entries.flat_map(|entry| entry.held.iter().map(|(place, item)| (*place, item)))
    }

    #[cfg(test)]
    pub(super) fn known(&self) -> usize {
        self.names.len()
    }

    /// Returns when the rate allows a key its next start.
    fn allowed_at(&self, key: &Key<T>) -> Tick {
        self.pace
            .map_or(0, |(_, tolerance)| key.next.saturating_sub(tolerance))
    }

    fn key_of(&self, number: u64) -> Option<&Key<T>> {
        self.table[self.members.get(&number)?.key].as_ref()
    }

    /// Forgets a key that no operation has, unless its rate must be remembered.
    fn forget_unused(&mut self, key: usize, now: Tick) {
        let Some(entry) = &self.table[key] else {
            return;
        };
        if entry.members == 0 && entry.next <= now {
            self.names.remove(&entry.name);
            self.table[key] = None;
            self.free.push(key);
        }
    }
}

impl<T: Waiting> Levels<T> {
    /// Puts an operation that was held back to its place.
    pub(super) fn release(&mut self, released: Option<Released<T>>) {
        if let Some(Released { level, entry }) = released {
            self.insert(level, entry);
        }
    }
}

/// What happens to the keys as operations go through the queue. Only called for operations that have one.
impl<T: Waiting> State<T> {
    /// Takes note of the key of an operation that is about to be admitted.
    pub(crate) fn enter_key(
        &mut self,
        number: u64,
        name: &Arc<str>,
        now: Tick,
    ) -> Result<(), Refusal> {
        let limits = self.key_limits;
        let keys = self.keys.get_or_insert_with(|| Box::new(Keys::new(limits)));
        if keys.enter(number, name, now) {
            Ok(())
        } else {
            Err(Refusal::TooManyKeys)
        }
    }

    /// Whether an operation of this key would be admitted.
    pub(crate) fn may_enter_key(&mut self, name: &Arc<str>, now: Tick) -> Result<(), Refusal> {
        let keys = self.keys.as_mut();
        if keys.is_none_or(|keys| keys.has_room_for(name, now)) {
            Ok(())
        } else {
            Err(Refusal::TooManyKeys)
        }
    }

    /// Moves a held operation to the end of another level. There it is in the open, so that its new urgency counts
    /// even before its key is free: when it comes to the head, and its key is still not free, it is held again. `false`
    /// if it is not held.
    pub(super) fn move_held(&mut self, item: &T, level: u8) -> bool {
        let keys = self.keys.as_mut().filter(|_| item.is_keyed());
        let Some(entry) = keys.and_then(|keys| keys.unhold(item.number())) else {
            return false;
        };
        item.set_level(level);
        self.levels.push_back(level, entry);
        true
    }

    /// Takes a held operation, which keeps its key. `None` if it is not held or a cancellation was first.
    pub(super) fn remove_held(&mut self, item: &T) -> Option<T::Claimed>
    where
        T: Clone,
    {
        let keys = self.keys.as_mut().filter(|_| item.is_keyed())?;
        if !keys.is_held(item.number()) {
            return None;
        }
        // Before it is taken out: a cancellation that was first expects to find it.
        let claimed = item.clone().claim()?;
        keys.unhold(item.number());
        Some(claimed)
    }

    /// Returns what is held and less urgent than `level`, as `Levels::newest_below` does.
    pub(super) fn held_below(&self, level: u8) -> impl Iterator<Item = (Place, &T)> {
        let keys = self.keys.iter();
        keys.flat_map(move |keys| keys.held_below(level))
            .filter(|(_, item)| item.is_waiting())
    }

    /// Accounts for an operation that has been [settled](Self::settle).
    pub(crate) fn settle_key(&mut self, number: u64, now: Tick) {
        if let Some(keys) = &mut self.keys {
            let released = keys.finish(number, now);
            self.levels.release(released);
        }
    }

    /// As [`withdraw`](Self::withdraw), for an operation that may be held.
    pub(crate) fn withdraw_keyed(
        &mut self,
        (number, now): (u64, Tick),
        from: Waited,
        level: u8,
        ending: Ending,
        has_deadline: bool,
    ) {
        let mut was_held = false;
        if let Some(keys) = &mut self.keys {
            let (held, released) = keys.leave(number, now);
            was_held = held;
            self.levels.release(released);
        }
        if was_held {
            self.end(ending, has_deadline);
        } else {
            self.withdraw(from, level, ending, has_deadline);
        }
    }

    /// Counts what is held, level by level.
    pub(super) fn held_by_level(&self, now: Tick) -> Vec<LevelStatus> {
        let mut levels = vec![LevelStatus::default(); usize::from(self.levels.count())];
        for ((level, since, _), _) in self.keys.iter().flat_map(|keys| keys.each_held()) {
            let status = &mut levels[usize::from(level)];
            status.pending += 1;
            let waited = Duration::from_nanos(now.saturating_sub(since));
            status.oldest_wait = status.oldest_wait.max(Some(waited));
        }
        levels
    }

    pub(super) fn held_items(&self) -> impl Iterator<Item = &T> {
        let keys = self.keys.iter();
        keys.flat_map(|keys| keys.each_held().map(|(_, item)| item))
    }

    pub(super) fn held(&self) -> usize {
        self.keys.as_ref().map_or(0, |keys| keys.held())
    }
}
