//! Operations of kinds that have a batch handler: which run in one call, and which of those that wait a call can take
//! along.
//!
//! A call has one slot, however many operations are in it. It is the slot of whoever is in it first; another that has been
//! started on its own gives its slot back when it joins, and those that are taken out of their levels for the call never
//! have one. The slot is free again when the last operation of the call is over. So `running` goes on counting slots,
//! and `riding` counts the operations that run without.
//!
//! What waits is in its level like any other operation and can be started from there. The lines kept here only find those
//! of one kind; an entry is void if its operation is not where the line says. So nothing has to be removed from a line when
//! an operation is started, cancelled or moved, and whatever brings one back to a level adds an entry.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet, VecDeque};

use super::levels::{Levels, Taken};
use super::{State, Tick, Waiting};
use crate::cell::Waited;

pub(super) struct Calls<T: Waiting> {
    /// By the number of the kind.
    kinds: Vec<Kind<T>>,
    /// In which call an operation is, by its number.
    members: HashMap<u64, u64>,
    calls: HashMap<u64, Call>,
    /// Operations that run and have no slot of their own.
    riding: usize,
}

struct Call {
    members: usize,
    /// The level of the operation whose slot it is.
    level: u8,
}

/// One line for each level.
struct Kind<T: Waiting> {
    lines: Vec<Line<T>>,
}

struct Line<T: Waiting> {
    entries: VecDeque<T>,
    /// With so many entries the void ones are thrown out.
    sweep_at: usize,
}

/// A line is not swept before it has so many entries. Later it is swept when it has twice as many as were left the last
/// time, so that entries pay for their removal themselves.
const SWEEP_FROM: usize = 64;

impl<T: Waiting> Calls<T> {
    fn new() -> Self {
        Self {
            kinds: Vec::new(),
            members: HashMap::new(),
            calls: HashMap::new(),
            riding: 0,
        }
    }

    fn line_up(&mut self, kind: u32, item: &T) {
        let (kind, level) = (kind as usize, usize::from(item.level()));
        if self.kinds.len() <= kind {
            self.kinds
                .resize_with(kind + 1, || Kind { lines: Vec::new() });
        }
        let lines = &mut self.kinds[kind].lines;
        if lines.len() <= level {
            lines.resize_with(level + 1, Line::new);
        }
        lines[level].push(item);
    }

    /// Takes the first of a kind that waits: of the most urgent level, and there the one that came to it first.
    fn next(&mut self, kind: u32, levels: &mut Levels<T>) -> Option<(u64, Taken<T::Claimed>)> {
        let lines = &mut self.kinds.get_mut(kind as usize)?.lines;
        for (level, line) in lines.iter_mut().enumerate() {
            while let Some(entry) = line.entries.pop_front() {
                if !waits_in(&entry, level) {
                    continue;
                }
                if let Some(taken) = levels.take_out(&entry) {
                    return Some((entry.number(), taken));
                }
            }
            line.trim();
        }
        None
    }

    /// Returns how many of a kind wait, but does not count beyond `most`.
    fn count(&self, kind: u32, most: usize) -> usize {
        let Some(kind) = self.kinds.get(kind as usize) else {
            return 0;
        };
        // One that was moved away and back stands in its line twice.
        let mut seen = HashSet::new();
        for (level, line) in kind.lines.iter().enumerate() {
            for entry in &line.entries {
                if seen.len() >= most {
                    return most;
                }
                seen.extend(waits_in(entry, level).then(|| entry.number()));
            }
        }
        seen.len()
    }
}

impl<T: Waiting> Line<T> {
    const fn new() -> Self {
        Self {
            entries: VecDeque::new(),
            sweep_at: SWEEP_FROM,
        }
    }

    fn push(&mut self, item: &T) {
        if self.entries.len() >= self.sweep_at {
            self.sweep(item.level());
        }
        self.entries.push_back(item.clone());
    }

    /// Throws out void entries, and all but the first of an operation that went away and came back.
    fn sweep(&mut self, level: u8) {
        let mut seen = HashSet::new();
        self.entries
            .retain(|entry| waits_in(entry, usize::from(level)) && seen.insert(entry.number()));
        self.sweep_at = SWEEP_FROM.max(2 * self.entries.len());
    }

    /// Gives a burst's memory back.
    fn trim(&mut self) {
        if self.entries.is_empty() {
            self.entries.shrink_to(SWEEP_FROM);
        }
    }
}

fn waits_in<T: Waiting>(item: &T, level: usize) -> bool {
    usize::from(item.level()) == level && item.waits() == Some(Waited::InLevel)
}

/// What happens to calls as operations go through the queue.
impl<T: Waiting> State<T> {
    /// Takes note of the kind of an operation that is about to be admitted.
    pub(crate) fn enter_kind(&mut self, item: &T, kind: u32) {
        self.load.set_kind(item.number(), kind);
        self.calls.get_or_insert_with(|| Box::new(Calls::new()));
        self.line_up(item);
    }

    /// Lets calls find an operation that has come (back) to a level, if it is of a kind with a batch handler.
    ///
    /// One with a key is not to be found: when it may start is for its key to say. It is started on its own, and joins the
    /// call that is open then.
    pub(super) fn line_up(&mut self, item: &T) {
        if let Some(calls) = &mut self.calls
            && !item.is_keyed()
            && let Some(kind) = item.weighted().and_then(|id| self.load.kind_of(id))
        {
            calls.line_up(kind, item);
        }
    }

    /// Takes note that an operation, which has a slot, is in a call. It gives the slot back unless it is the first.
    pub(crate) fn join_call(&mut self, number: u64, level: u8, call: u64) {
        let calls = self.calls.get_or_insert_with(|| Box::new(Calls::new()));
        calls.members.insert(number, call);
        match calls.calls.entry(call) {
            Entry::Vacant(entry) => {
                entry.insert(Call { members: 1, level });
            }
            Entry::Occupied(mut entry) => {
                entry.get_mut().members += 1;
                calls.riding += 1;
                self.running -= 1;
                if let Some(rules) = &mut self.rules {
                    rules.left(level, self.limit);
                }
            }
        }
    }

    /// Takes up to `max` operations of a kind that wait, for a call that has a slot, and counts them as running. A paused
    /// queue starts nothing, not even in a call.
    pub(crate) fn take_along(
        &mut self,
        (kind, call): (u32, u64),
        max: usize,
        now: Tick,
        mut out: impl FnMut(Taken<T::Claimed>),
    ) -> usize {
        if self.paused {
            return 0;
        }
        let Some(calls) = &mut self.calls else {
            return 0;
        };
        if !calls.calls.contains_key(&call) {
            return 0;
        }
        let mut count = 0;
        while count < max
            && let Some((number, taken)) = calls.next(kind, &mut self.levels)
        {
            calls.members.insert(number, call);
            self.waits.record(now.saturating_sub(taken.since));
            count += 1;
            out(taken);
        }
        calls.riding += count;
        if let Some(call) = calls.calls.get_mut(&call) {
            call.members += count;
        }
        count
    }

    /// Returns how many operations of a kind could be taken along, but does not count beyond `most`.
    pub(crate) fn waiting_of_kind(&self, kind: u32, most: usize) -> usize {
        let calls = self.calls.as_ref().filter(|_| !self.paused);
        calls.map_or(0, |calls| calls.count(kind, most))
    }

    /// Takes an operation that is over, or at least its attempt, out of its call. To be called right before the end of the
    /// attempt is accounted for, which frees a slot: so unless it was the last of its call it is given one.
    pub(crate) fn leave_call(&mut self, number: u64, level: u8) {
        let Some(calls) = &mut self.calls else {
            return;
        };
        let Some(call) = calls.members.remove(&number) else {
            return;
        };
        let Some(entry) = calls.calls.get_mut(&call) else {
            return;
        };
        entry.members -= 1;
        let charged = if entry.members > 0 {
            calls.riding -= 1;
            self.running += 1;
            None
        } else {
            let charged = entry.level;
            calls.calls.remove(&call);
            Some(charged)
        };
        // What follows frees the slot of an operation of `level`.
        if let Some(rules) = &mut self.rules
            && charged != Some(level)
        {
            if let Some(charged) = charged {
                rules.left(charged, self.limit);
            }
            rules.started(level, self.limit);
        }
    }

    /// Returns how many entries all lines have, void ones included.
    #[cfg(test)]
    pub(super) fn lines(&self) -> usize {
        let kinds = self.calls.iter().flat_map(|calls| &calls.kinds);
        kinds
            .flat_map(|kind| &kind.lines)
            .map(|line| line.entries.len())
            .sum()
    }

    /// Operations that run and have no slot of their own.
    pub(super) fn riding(&self) -> usize {
        self.calls.as_ref().map_or(0, |calls| calls.riding)
    }
}
