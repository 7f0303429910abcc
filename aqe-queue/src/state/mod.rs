//! The queue's rules, without any input or output: nothing here sleeps, spawns, wakes or reads a clock.
//!
//! [`State`] holds what waits (by level, and between attempts), counts what runs, and says what may start. The time
//! comes in as an argument, so a test plays a day in a microsecond. What it holds is an opaque `T`: the queue puts
//! reference-counted operations in, the tests numbers.
//!
//! Invariants: `running ≤ limit`, except right after the limit was lowered; what runs is never in a level; every
//! operation admitted is in exactly one of waiting, running and ended, and the counters add up to it.

mod calls;
mod direct;
mod keyed;
mod levels;
mod load;
mod reserved;
mod rules;
mod slots;
mod timers;
mod waits;

#[cfg(test)]
mod tests;

use std::time::{Duration, Instant};

use self::calls::Calls;
use self::keyed::Keys;
use self::levels::{Entry, Levels};
pub(crate) use self::levels::{Line, Taken};
use self::load::Load;
use self::rules::Rules;
pub(crate) use self::rules::{News, Tripped};
pub(crate) use self::slots::{Slot, Slots};
use self::timers::{Due, Timers};
use self::waits::Waits;
use crate::body::Ending;
use crate::cell::Waited;
use crate::config::QueueConfig;
use crate::histogram::Histogram;
use crate::keys::KeyLimits;
use crate::stats::{Counters, Histograms, LevelStatus, QueueStatus, Rate};

/// Nanoseconds since the queue was made: half the size of an `Instant`, and 584 years of it.
pub(crate) type Tick = u64;

/// The start of a queue's ticks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Epoch(Instant);

impl Epoch {
    pub(crate) const fn new(start: Instant) -> Self {
        Self(start)
    }

    pub(crate) fn tick(self, now: Instant) -> Tick {
        nanos(now.saturating_duration_since(self.0))
    }

    pub(crate) fn instant(self, tick: Tick) -> Option<Instant> {
        self.0.checked_add(Duration::from_nanos(tick))
    }
}

pub(crate) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Something that waits and can be taken, unless a cancellation takes it first.
pub(crate) trait Waiting: Clone {
    type Claimed;

    /// Takes it out of a level.
    fn claim(self) -> Option<Self::Claimed>;

    /// Whether it is still in a level or between two attempts.
    fn is_waiting(&self) -> bool;

    /// Where it waits, if it does.
    fn waits(&self) -> Option<Waited>;

    /// Whether both are the same.
    fn is(&self, other: &Self) -> bool;

    /// The level in which it is, or in which it will be after its delay.
    fn level(&self) -> u8;

    fn set_level(&self, level: u8);

    /// What was last given to [`set_place`](Self::set_place), or anything.
    fn place(&self) -> u32;

    /// Notes where in its level it is.
    fn set_place(&self, place: u32);

    /// Moves it from "between attempts" to "in a level". `false` if a cancellation was first.
    fn end_delay(&self) -> bool;

    /// Whether it has a key.
    fn is_keyed(&self) -> bool;

    /// Returns its number, which counts upwards in the order of arrival.
    fn number(&self) -> u64;

    /// Its number, if it stands for bytes.
    fn weighted(&self) -> Option<u64>;

    /// Whether it has a deadline, that is, an entry among the timers.
    fn has_deadline(&self) -> bool;

    /// Whether it has ended.
    fn is_over(&self) -> bool;
}

/// Why an operation is not admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    Full,
    Closed,
    TooManyKeys,
    /// Admission is paused.
    Paused,
}

pub(crate) struct State<T: Waiting> {
    epoch: Epoch,
    /// What the last time was in ticks: several questions are asked of one moment, and the answer takes a while.
    last: (Instant, Tick),
    levels: Levels<T>,
    timers: Timers<T>,
    /// Operations with a key. There is none until the first comes.
    keys: Option<Box<Keys<T>>>,
    key_limits: KeyLimits,
    /// Operations of kinds with a batch handler. There is none until the first comes.
    calls: Option<Box<Calls<T>>>,
    limit: usize,
    /// Slots in use. Of the operations in one call only one has a slot: see [`calls`].
    running: usize,
    /// Of these, slots whose operation has not been counted as submitted yet; see [`take_slot`](Self::take_slot).
    visits: usize,
    /// Operations between two attempts.
    delayed: usize,
    /// When the last retry queued.
    returned: Tick,
    capacity: usize,
    /// Room promised to submitters that have not come for it yet.
    reserved: usize,
    load: Load,
    paused: bool,
    /// Nothing is admitted for the time being.
    shut: bool,
    closed: bool,
    counters: Counters,
    /// What this queue is asked for beyond the usual.
    rules: Option<Box<Rules>>,
    waits: Histogram,
    runs: Histogram,
    rate: Rate,
}

impl<T: Waiting> State<T> {
    pub(crate) fn new(config: &QueueConfig, now: Instant) -> Self {
        let rules = Rules::new(config);
        let limit = rules.as_ref().and_then(|rules| rules.first_limit());
        Self {
            epoch: Epoch::new(now),
            last: (now, 0),
            levels: Levels::new(config.priority_levels, config.ageing.map(nanos)),
            timers: Timers::new(),
            keys: None,
            key_limits: config.keys,
            calls: None,
            limit: limit.unwrap_or(config.max_concurrent),
            rules,
            running: 0,
            visits: 0,
            delayed: 0,
            returned: 0,
            capacity: config.capacity,
            reserved: 0,
            load: Load::new(config.capacity_bytes),
            paused: false,
            shut: false,
            closed: false,
            counters: Counters::default(),
            waits: Histogram::new(),
            runs: Histogram::new(),
            rate: Rate::new(),
        }
    }

    /// Returns a time in ticks.
    pub(crate) fn ticks(&mut self, now: Instant) -> Tick {
        if now != self.last.0 {
            self.last = (now, self.epoch.tick(now));
        }
        self.last.1
    }

    pub(crate) const fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Returns how many more operations may be admitted.
    pub(crate) fn room(&self) -> usize {
        self.capacity.saturating_sub(self.waiting())
    }

    /// Returns how many operations wait, or are promised a place to wait in.
    fn waiting(&self) -> usize {
        self.levels.live() + self.held() + self.delayed + self.reserved
    }

    /// Whether one more operation, of so many bytes, may be admitted.
    pub(crate) fn admissible(&self, weight: u64) -> Result<(), Refusal> {
        if self.closed {
            Err(Refusal::Closed)
        } else if self.shut {
            Err(Refusal::Paused)
        } else if !self.fits(weight) {
            Err(Refusal::Full)
        } else {
            Ok(())
        }
    }

    /// Whether there is room for one more operation of so many bytes.
    pub(crate) fn fits(&self, weight: u64) -> bool {
        self.room() > 0 && self.load.excess(weight) == 0
    }

    /// Keeps one place for a submitter that will come for it.
    pub(crate) const fn reserve(&mut self, weight: u64) {
        self.reserved += 1;
        self.load.reserve(weight);
    }

    /// Ends a reservation, used or not.
    pub(crate) const fn unreserve(&mut self, weight: u64) {
        self.reserved = self.reserved.saturating_sub(1);
        self.load.unreserve(weight);
    }

    /// Counts the bytes of an operation, until it ends.
    pub(crate) fn load(&mut self, id: u64, weight: u64) {
        self.load.add(id, weight);
    }

    /// Ends that.
    pub(crate) fn unload(&mut self, id: u64) {
        self.load.remove(id);
    }

    /// Makes room for an operation of `level` and so many bytes: takes those of less urgent levels that have come last,
    /// the least urgent first, and accounts for them. If all of them together would not do, takes none. One that waits
    /// aside for its key is worth as much as one in its level.
    pub(crate) fn shed(
        &mut self,
        level: u8,
        weight: u64,
        now: Tick,
        mut out: impl FnMut(T::Claimed),
    ) {
        let Some(victims) = self.choose_victims(level, weight) else {
            return;
        };
        let mut gone = Vec::new();
        for item in victims {
            // A cancellation that was first accounts for itself.
            let Some(claimed) = self.remove(&item) else {
                continue;
            };
            if let Some(id) = item.weighted() {
                self.load.remove(id);
            }
            if item.is_keyed() {
                gone.push(item.number());
            }
            self.end(Ending::Shed, item.has_deadline());
            out(claimed);
        }
        if let Some(keys) = &mut self.keys {
            // Afterwards: what this releases may be another of the victims.
            for number in gone {
                self.levels.release(keys.leave(number, now).1);
            }
        }
    }

    fn choose_victims(&self, level: u8, weight: u64) -> Option<Vec<T>> {
        // More than one if retries, which are never refused, have filled the queue beyond its capacity.
        let count = (self.waiting() + 1).saturating_sub(self.capacity);
        let bytes = self.load.excess(weight);
        let (mut victims, mut freed) = (Vec::new(), 0_u64);
        let mut newest = self.newest_below(level);
        while victims.len() < count || freed < bytes {
            let item = newest.next()?;
            let weight = item.weighted().map_or(0, |id| self.load.weight_of(id));
            freed = freed.saturating_add(weight);
            victims.push(item.clone());
        }
        Some(victims)
    }

    /// Returns what is less urgent than `level`, in its level or aside: the least urgent first, and in each level what
    /// came last.
    fn newest_below(&self, level: u8) -> impl Iterator<Item = &T> {
        let mut queued = self.levels.newest_below(level).peekable();
        let mut held = self.held_below(level).peekable();
        std::iter::from_fn(move || {
            let is_held_newer = held.peek().is_some_and(|(place, _)| {
                let queued = queued.peek().map(|(place, _)| place);
                queued.is_none_or(|other| place > other)
            });
            let next = if is_held_newer {
                held.next()
            } else {
                queued.next()
            };
            next.map(|(_, item)| item)
        })
    }

    /// Takes an operation out of its level, or from aside. `None` if a cancellation was first.
    fn remove(&mut self, item: &T) -> Option<T::Claimed> {
        match self.levels.remove(item) {
            Some(claimed) => claimed,
            None => self.remove_held(item),
        }
    }

    /// Admits an operation that came at `since`. The caller has seen to it that there is room.
    pub(crate) fn enqueue(&mut self, item: T, level: u8, since: Tick) {
        self.counters.submitted += 1;
        self.levels.push_back(level, Entry { item, since });
    }

    /// Admits a line that came to one level and is not empty; see [`enqueue`](Self::enqueue).
    pub(crate) fn enqueue_all(&mut self, level: u8, line: &mut Line<T>) {
        self.counters.submitted += line.len() as u64;
        self.levels.append(level, line);
    }

    /// Has `item` come back from [`tick`](Self::tick) at `deadline`, unless it is over by then.
    pub(crate) fn set_deadline(&mut self, item: &T, deadline: Instant) {
        let due = self.epoch.tick(deadline);
        self.timers.insert(due, Due::Deadline(item.clone()));
    }

    /// Whether [`take`](Self::take) would take anything, cancelled operations aside.
    pub(crate) fn can_take(&self) -> bool {
        self.has_slot() && self.levels.occupied() & self.open() != 0
    }

    /// Returns one bit for each level that may start something, as far as reserved slots go.
    fn open(&self) -> u64 {
        self.rules.as_ref().map_or(u64::MAX, |rules| rules.open())
    }

    /// Whether an operation that came now could start.
    pub(crate) const fn has_slot(&self) -> bool {
        !self.paused && self.running < self.limit
    }

    /// Takes up to `max` operations in the order in which they are to start, and counts them as running.
    pub(crate) fn take(
        &mut self,
        now: Instant,
        max: usize,
        mut out: impl FnMut(Taken<T::Claimed>),
    ) -> usize {
        if self.paused {
            return 0;
        }
        let room = self.limit.saturating_sub(self.running).min(max);
        if room == 0 || self.levels.live() == 0 {
            return 0;
        }
        let now = self.ticks(now);
        let mut open = self.open();
        let ageing = self.levels.is_ageing(now, open);
        let mut waits = Waits::new(&mut self.waits, now);
        let mut count = 0;
        if self.rules.is_none() && self.keys.is_none() && !ageing {
            // The most urgent level may have had less than there is room for.
            while count < room && self.levels.occupied() != 0 {
                count += self.levels.pop_many(room - count, |taken| {
                    waits.record(taken.since);
                    out(taken);
                });
            }
        } else {
            while count < room {
                let Some(taken) = self.levels.pop(now, open, ageing, &mut self.keys) else {
                    break;
                };
                if let Some(rules) = &mut self.rules {
                    rules.started(taken.level, self.limit);
                    open = rules.open();
                }
                waits.record(taken.since);
                count += 1;
                out(taken);
            }
        }
        waits.flush();
        self.running += count;
        count
    }

    /// Takes up to `max` operations that are more urgent than `level`.
    pub(crate) fn take_above(
        &mut self,
        level: u8,
        now: Instant,
        max: usize,
        mut out: impl FnMut(Taken<T::Claimed>),
    ) -> usize {
        let now = self.ticks(now);
        let mut count = 0;
        while count < max && self.has_slot() && self.levels.occupied() & ((1 << level) - 1) != 0 {
            let open = self.open() & ((1 << level) - 1);
            let Some(taken) = self.levels.pop(now, open, false, &mut self.keys) else {
                break;
            };
            if let Some(rules) = &mut self.rules {
                rules.started(taken.level, self.limit);
            }
            self.waits.record(now.saturating_sub(taken.since));
            self.running += 1;
            count += 1;
            out(taken);
        }
        count
    }

    /// Puts an operation that was taken but not started back to the head of its level.
    pub(crate) fn give_back(&mut self, item: T, level: u8, since: Tick, now: Instant) {
        self.running -= 1;
        if let Some(rules) = &mut self.rules {
            rules.left(level, self.limit);
        }
        let keyed = item.is_keyed().then(|| item.number());
        self.line_up(&item);
        self.levels.push_front(level, Entry { item, since });
        if let (Some(number), Some(keys)) = (keyed, &mut self.keys) {
            let released = keys.unstart(number, self.epoch.tick(now));
            self.levels.release(released);
        }
    }

    /// Accounts for an operation that ran and has ended. `ran` is in nanoseconds.
    pub(crate) fn settle(&mut self, ending: Ending, level: u8, has_deadline: bool, ran: u64) {
        if let Some(rules) = &mut self.rules {
            rules.ended(ending, ran, self.running);
            rules.left(level, self.limit);
        }
        self.running -= 1;
        self.runs.record(ran);
        self.end(ending, has_deadline);
    }

    /// Whether operations that ended are all alike but for how they ended: see [`settle_alike`](Self::settle_alike).
    pub(crate) const fn settles_alike(&self) -> bool {
        self.rules.is_none()
    }

    /// Accounts for many operations that completed and need nothing but a place in a level, as [`settle`](Self::settle)
    /// would.
    pub(crate) fn settle_alike(&mut self, completed: usize, ran: u64) {
        self.running -= completed;
        self.runs.record_many(ran, completed as u64);
        self.counters.completed += completed as u64;
    }

    /// Accounts for finished operations by time; see [`QueueStatus::throughput`].
    pub(crate) fn finished(&mut self, count: u64, now: Instant) {
        let now = self.ticks(now);
        self.rate.add(now, count);
        if let Some(rules) = &mut self.rules {
            // Before anything else can start. A queue that drains must come to its end.
            rules.judge_errors(now, || {
                !self.closed && !std::mem::replace(&mut self.paused, true)
            });
            if let Some(limit) = rules.limit(now)
                && limit != self.limit
            {
                rules.moved(self.limit, limit);
                self.limit = limit;
            }
        }
    }

    /// Puts a waiting operation at the end of another level, in constant time (logarithmic, if it waits aside for its
    /// key); one between two attempts goes there after its delay. Returns `false` if it does not wait or there is no
    /// such level.
    pub(crate) fn set_level(&mut self, item: &T, level: u8) -> bool {
        if level >= self.levels.count() {
            return false;
        }
        match item.waits() {
            Some(Waited::InLevel) => {
                let is_moved = self.levels.relocate(item, level) || self.move_held(item, level);
                if is_moved {
                    self.line_up(item);
                }
                is_moved
            }
            Some(Waited::BetweenAttempts) => {
                item.set_level(level);
                true
            }
            None => false,
        }
    }

    /// Frees the slot of an operation that is to be tried again, and queues it at the end of its level, now or after
    /// `delay`.
    pub(crate) fn retry(&mut self, item: T, level: u8, delay: Duration, now: Instant) {
        if let Some(rules) = &mut self.rules {
            rules.failed(self.running);
            rules.left(level, self.limit);
        }
        self.running -= 1;
        self.counters.retried += 1;
        let now = self.ticks(now);
        if item.is_keyed()
            && let Some(keys) = &mut self.keys
        {
            self.levels.release(keys.stop(item.number(), now));
        }
        if delay.is_zero() {
            let since = self.return_time(now);
            self.line_up(&item);
            self.levels.push_back(level, Entry { item, since });
        } else {
            self.delayed += 1;
            self.timers
                .insert(now.saturating_add(nanos(delay)), Due::Retry(item));
        }
    }

    /// Returns since when a retry that queues now waits: a nanosecond after the last, if they come together. Their numbers
    /// do not tell their order, and what is [held](keyed) must find back to its place.
    fn return_time(&mut self, now: Tick) -> Tick {
        self.returned = now.max(self.returned.saturating_add(1));
        self.returned
    }

    /// Counts an attempt that took too long.
    pub(crate) const fn count_timeout(&mut self) {
        self.counters.attempts_timed_out += 1;
    }

    /// Accounts for a waiting operation that was cancelled; the caller has claimed it.
    pub(crate) fn withdraw(&mut self, from: Waited, level: u8, ending: Ending, has_deadline: bool) {
        match from {
            Waited::InLevel => self.levels.forget(level),
            Waited::BetweenAttempts => {
                self.delayed -= 1;
                self.timers.forget();
            }
        }
        self.end(ending, has_deadline);
    }

    fn end(&mut self, ending: Ending, has_deadline: bool) {
        if has_deadline && ending != Ending::DeadlineExceeded {
            self.timers.forget();
        }
        self.counters.count(ending);
    }

    /// Returns when [`tick`](Self::tick) next has something to do.
    pub(crate) fn next_due(&self) -> Option<Tick> {
        let timers = self.timers.next_due();
        match &self.keys {
            None => timers,
            Some(keys) => [timers, keys.next_due()].into_iter().flatten().min(),
        }
    }

    /// Queues the retries whose delay is over, and hands the operations whose deadline has passed to `expired`.
    pub(crate) fn tick(&mut self, now: Instant, mut expired: impl FnMut(T)) {
        let now = self.ticks(now);
        if let Some(keys) = &mut self.keys {
            while let Some(released) = keys.tick(now) {
                self.levels.release(Some(released));
            }
        }
        while let Some(what) = self.timers.pop_due(now) {
            match what {
                Due::Retry(item) => {
                    if item.end_delay() {
                        self.delayed -= 1;
                        let (level, since) = (item.level(), self.return_time(now));
                        self.line_up(&item);
                        self.levels.push_back(level, Entry { item, since });
                    }
                }
                Due::Deadline(item) => {
                    if !item.is_over() {
                        expired(item);
                    }
                }
            }
        }
    }

    /// Removes everything that waits, most urgent first, then what is between two attempts, and accounts for it as
    /// cancelled. `seize` claims an operation, or returns `false` if another cancellation was first.
    pub(crate) fn clear(
        &mut self,
        ending: Ending,
        mut seize: impl FnMut(&T, Waited) -> bool,
    ) -> usize {
        let (counters, load, mut with_deadline) = (&mut self.counters, &mut self.load, 0);
        let mut take = |item: &T, from| {
            let seized = seize(item, from);
            if seized {
                counters.count(ending);
                if let Some(id) = item.weighted() {
                    load.remove(id);
                }
                with_deadline += usize::from(item.has_deadline());
            }
            seized
        };
        let mut gone = Vec::new();
        let queued = self.levels.drain(|item| {
            let seized = take(&item, Waited::InLevel);
            if seized && item.is_keyed() {
                gone.push(item.number());
            }
            seized
        });
        let held = self
            .keys
            .as_mut()
            .map(|keys| keys.drain(|item| take(item, Waited::InLevel)))
            .unwrap_or_default();
        let mut delayed = 0;
        self.timers.retain_retries(|item| {
            let seized = take(item, Waited::BetweenAttempts);
            delayed += usize::from(seized);
            if seized && item.is_keyed() {
                gone.push(item.number());
            }
            // What another cancellation has is a dead entry: it stays until that cancellation counts it.
            !seized
        });
        self.delayed -= delayed;
        for _ in 0..with_deadline {
            self.timers.forget();
        }
        let count = queued + held.len() + delayed;
        if let Some(keys) = &mut self.keys {
            for number in held.into_iter().chain(gone) {
                // What is still held here was not seized: a cancellation has it, and counts it out wherever it is. So
                // nothing depends on the time; the earliest only leaves more to an alarm.
                self.levels.release(keys.leave(number, 0).1);
            }
        }
        count
    }

    /// Lets go of what cancelled operations have left behind. For the end: they refer to the queue that refers to them.
    pub(crate) fn purge(&mut self) {
        self.levels.drain(|_| false);
        self.timers = Timers::new();
        self.keys = None;
        self.calls = None;
    }

    /// Searches what waits.
    pub(crate) fn find_waiting(&self, is_it: impl Fn(&T) -> bool) -> Option<T> {
        self.levels
            .iter()
            .chain(self.timers.retries())
            .chain(self.held_items())
            .find(|item| is_it(item))
            .cloned()
    }

    pub(crate) fn resize(&mut self, limit: usize) {
        self.limit = match &mut self.rules {
            Some(rules) => rules.resize(limit),
            None => limit,
        };
        if let Some(rules) = &mut self.rules {
            rules.limited(self.limit);
        }
    }

    pub(crate) const fn pause(&mut self) -> bool {
        !std::mem::replace(&mut self.paused, true)
    }

    pub(crate) const fn resume(&mut self) -> bool {
        std::mem::replace(&mut self.paused, false)
    }

    /// Returns what the rules have done since the last call. If a threshold was exceeded, the queue is paused already.
    pub(crate) fn take_news(&mut self) -> Option<News> {
        self.rules.as_mut().and_then(|rules| rules.take_news())
    }

    /// Admits nothing until [`open`](Self::open). Returns whether it did before.
    pub(crate) const fn shut(&mut self) -> bool {
        !std::mem::replace(&mut self.shut, true)
    }

    /// Admits again. Returns whether it did not before.
    pub(crate) const fn admit(&mut self) -> bool {
        std::mem::replace(&mut self.shut, false)
    }

    /// Whether newcomers are admitted, if there is room.
    pub(crate) const fn is_open(&self) -> bool {
        !self.shut && !self.closed
    }

    /// Refuses everything from now on. Returns whether it did not before.
    pub(crate) const fn close(&mut self) -> bool {
        !std::mem::replace(&mut self.closed, true)
    }

    pub(crate) const fn is_closed(&self) -> bool {
        self.closed
    }

    /// Whether nothing waits and nothing runs.
    pub(crate) fn is_idle(&self) -> bool {
        self.running == 0 && self.delayed == 0 && self.levels.live() == 0 && self.held() == 0
    }

    /// How much there is to do: operations that wait for a slot, and slots in use.
    pub(crate) fn load_now(&self) -> usize {
        self.levels.live() + self.held() + self.running
    }

    /// How many slots there are.
    pub(crate) const fn limit(&self) -> usize {
        self.limit
    }

    /// Operations in the levels.
    pub(crate) const fn queued(&self) -> usize {
        self.levels.live()
    }

    pub(crate) const fn ended(&self) -> u64 {
        self.counters.ended()
    }

    /// Returns one bit for each level in which something waits; bit 0 is the most urgent.
    pub(crate) const fn occupied(&self) -> u64 {
        self.levels.occupied()
    }

    pub(crate) fn histograms(&self) -> Histograms {
        Histograms {
            wait: self.waits.clone(),
            run: self.runs.clone(),
        }
    }

    pub(crate) fn status(&mut self, now: Instant) -> QueueStatus {
        let now = self.ticks(now);
        let held = self.held_by_level(now);
        let levels = (0..self.levels.count())
            .map(|level| LevelStatus {
                pending: self.levels.depth(level) + held[usize::from(level)].pending,
                oldest_wait: self
                    .levels
                    .oldest(level)
                    .map(|since| Duration::from_nanos(now.saturating_sub(since)))
                    .max(held[usize::from(level)].oldest_wait),
            })
            .collect::<Vec<_>>();
        QueueStatus {
            pending: self.levels.live() + self.held(),
            held: self.held(),
            oldest_wait: levels.iter().filter_map(|level| level.oldest_wait).max(),
            levels,
            running: self.running + self.riding(),
            sharing_a_slot: self.riding(),
            waiting_for_retry: self.delayed,
            max_concurrent: self.limit,
            capacity: self.capacity,
            is_paused: self.paused,
            is_admission_paused: self.shut,
            is_closed: self.closed,
            // What runs in such a slot is told of as running, so it has been submitted.
            submitted: self.counters.submitted + self.visits as u64,
            completed: self.counters.completed,
            failed: self.counters.failed,
            timed_out: self.counters.timed_out,
            deadline_exceeded: self.counters.deadline_exceeded,
            cancelled: self.counters.cancelled,
            panicked: self.counters.panicked,
            shed: self.counters.shed,
            bytes: self.load.used(),
            retried: self.counters.retried,
            // Kept where retries are decided, which is not here.
            retries_refused: 0,
            attempts_timed_out: self.counters.attempts_timed_out,
            throughput: self.rate.per_second(now),
            wait: self.waits.quantiles(),
            run: self.runs.quantiles(),
            blocking_polls: 0,
            not_pinned: 0,
            uptime: Duration::from_nanos(now),
        }
    }
}
