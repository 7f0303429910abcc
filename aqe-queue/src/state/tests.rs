//! The state machine with the time by hand, and against a simple reference.

use std::cell::Cell;
use std::rc::{Rc, Weak};
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;
use crate::config::AGEING_SHARE;
use crate::error::CancelReason;
use crate::priority::Priority;

/// What the state machine holds here: a number and a phase that a cancellation can take away.
#[derive(Clone, Debug)]
struct Item {
    number: usize,
    keyed: bool,
    phase: Rc<Cell<Phase>>,
    level: Rc<Cell<u8>>,
    place: Rc<Cell<u32>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Queued,
    Delayed,
    Running,
}

impl Item {
    fn new(number: usize) -> Self {
        Self {
            number,
            keyed: false,
            phase: Rc::new(Cell::new(Phase::Queued)),
            level: Rc::default(),
            place: Rc::default(),
        }
    }

    /// Takes the item as a cancellation does. Returns where it was.
    fn seize(&self) -> Option<Waited> {
        match self.phase.replace(Phase::Running) {
            Phase::Queued => Some(Waited::InLevel),
            Phase::Delayed => Some(Waited::BetweenAttempts),
            Phase::Running => None,
        }
    }

    fn wait(self, delayed: bool) -> Self {
        self.phase.set(if delayed {
            Phase::Delayed
        } else {
            Phase::Queued
        });
        self
    }
}

impl Waiting for Item {
    type Claimed = Self;
    type Weak = (usize, bool, Weak<Cell<Phase>>);

    fn claim(self) -> Option<Self> {
        (self.phase.get() == Phase::Queued).then(|| {
            self.phase.set(Phase::Running);
            self
        })
    }

    fn is_waiting(&self) -> bool {
        self.phase.get() != Phase::Running
    }

    fn waits(&self) -> Option<Waited> {
        match self.phase.get() {
            Phase::Queued => Some(Waited::InLevel),
            Phase::Delayed => Some(Waited::BetweenAttempts),
            Phase::Running => None,
        }
    }

    fn is(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.phase, &other.phase)
    }

    fn level(&self) -> u8 {
        self.level.get()
    }

    fn set_level(&self, level: u8) {
        self.level.set(level);
    }

    fn place(&self) -> u32 {
        self.place.get()
    }

    fn set_place(&self, place: u32) {
        self.place.set(place);
    }

    fn end_delay(&self) -> bool {
        let was_delayed = self.phase.get() == Phase::Delayed;
        if was_delayed {
            self.phase.set(Phase::Queued);
        }
        was_delayed
    }

    fn is_keyed(&self) -> bool {
        self.keyed
    }

    fn number(&self) -> u64 {
        self.number as u64
    }

    fn weighted(&self) -> Option<u64> {
        Some(self.number as u64)
    }

    fn has_deadline(&self) -> bool {
        false
    }

    fn downgrade(&self) -> Self::Weak {
        (self.number, self.keyed, Rc::downgrade(&self.phase))
    }

    fn upgrade((number, keyed, phase): &Self::Weak) -> Option<Self> {
        Some(Self {
            number: *number,
            keyed: *keyed,
            phase: phase.upgrade()?,
            level: Rc::default(),
            place: Rc::default(),
        })
    }

    fn is_gone((_, _, phase): &Self::Weak) -> bool {
        phase.strong_count() == 0
    }
}

const CLEARED: Ending = Ending::Cancelled(CancelReason::Cleared);

fn state(config: &QueueConfig) -> (State<Item>, Instant) {
    let now = Instant::now();
    (State::new(config, now), now)
}

fn take(state: &mut State<Item>, now: Instant, max: usize) -> Vec<usize> {
    let mut taken = Vec::new();
    state.take(now, max, |operation| taken.push(operation.claimed.number));
    taken
}

fn push(state: &mut State<Item>, number: usize, level: u8, now: Instant) -> Item {
    let item = Item::new(number);
    item.set_level(level);
    let since = state.epoch().tick(now);
    state.enqueue(item.clone(), level, since);
    item
}

#[test]
fn shedding_takes_the_least_urgent_and_newest_and_no_more_than_it_must() {
    let config = QueueConfig::default().capacity(6).capacity_bytes(100);
    let (mut state, now) = state(&config);
    for (number, level, weight) in [(0, 1, 10), (1, 4, 20), (2, 3, 30), (3, 3, 30), (4, 4, 5)] {
        push(&mut state, number, level, now);
        state.load(number as u64, weight);
    }
    let shed = |state: &mut State<Item>, level, weight| {
        let mut shed = Vec::new();
        let tick = state.epoch().tick(now);
        state.shed(level, weight, tick, |item| shed.push(item.number));
        shed
    };
    assert_eq!(state.admissible(5), Ok(()));
    assert_eq!(state.admissible(6), Err(Refusal::Full));
    // Nothing is below the lowest level, and all below the third would not do.
    assert!(shed(&mut state, 4, 6).is_empty());
    assert!(shed(&mut state, 3, 31).is_empty());
    assert_eq!(state.queued(), 5);
    // 25 bytes are missing: the newest of the lowest level, then the other.
    assert_eq!(shed(&mut state, 3, 30), [4, 1]);
    assert_eq!(state.admissible(30), Ok(()));
    // By count: one place, whatever it weighs.
    for number in 5..8 {
        push(&mut state, number, 2, now);
    }
    assert_eq!(state.admissible(0), Err(Refusal::Full));
    assert_eq!(shed(&mut state, 1, 0), [3]);
    let status = state.status(now);
    assert_eq!((status.shed, status.bytes, status.pending), (3, 40, 5));
    assert_eq!(take(&mut state, now, 9), [0, 5, 6, 7, 2]);
}

#[test]
fn moved_operation_goes_to_the_end_of_its_new_level() {
    let (mut state, now) = state(&QueueConfig::default());
    let items: Vec<_> = (0..6)
        .map(|number| push(&mut state, number, 3, now))
        .collect();
    push(&mut state, 10, 1, now);
    assert!(state.set_level(&items[4], 1));
    assert!(state.set_level(&items[1], 0));
    assert!(state.set_level(&items[0], 4));
    assert!(state.set_level(&items[2], 3));
    assert!(!state.set_level(&items[2], 5), "there are levels 0 to 4");
    let status = state.status(now);
    let depths: Vec<_> = status.levels.iter().map(|level| level.pending).collect();
    assert_eq!((depths, status.pending), (vec![1, 2, 0, 3, 1], 7));
    assert_eq!(take(&mut state, now, 100), [1, 10, 4, 2, 3, 5, 0]);
    assert!(!state.set_level(&items[5], 0), "it runs");
    assert_eq!(state.queued(), 0);
}

#[test]
fn moving_there_and_back_keeps_nothing_and_loses_nothing() {
    let (mut state, now) = state(&QueueConfig::default().max_concurrent(200));
    let items: Vec<_> = (0..100)
        .map(|number| push(&mut state, number, 2, now))
        .collect();
    for round in 0..10_000 {
        let (item, level) = (&items[round % 7], if round % 2 == 0 { 4 } else { 2 });
        assert!(state.set_level(item, level));
        assert!(state.levels.iter().count() == 100);
        assert!(state.levels.slots() <= 2 * 100 + 128, "{round}");
    }
    // One that has moved can be cancelled like any other.
    assert!(state.set_level(&items[50], 0));
    let from = items[50].seize().unwrap();
    state.withdraw(from, items[50].level(), CLEARED, false);
    let mut taken = take(&mut state, now, 200);
    taken.sort_unstable();
    let expected: Vec<_> = (0..100).filter(|number| *number != 50).collect();
    assert_eq!(taken, expected);
    assert!(state.queued() == 0);
}

#[test]
fn level_of_a_retry_can_change_during_its_delay() {
    let (mut state, now) = state(&QueueConfig::default());
    let item = push(&mut state, 1, 4, now);
    take(&mut state, now, 1);
    let delay = Duration::from_secs(1);
    state.retry(item.clone().wait(true), 4, delay, now);
    assert!(state.set_level(&item, 0));
    push(&mut state, 2, 1, now);
    state.tick(now + delay, |_| unreachable!());
    assert_eq!(take(&mut state, now + delay, 9), [1, 2]);
}

#[test]
fn urgent_first_and_then_first_in_first_out() {
    let (mut state, now) = state(&QueueConfig::default());
    for number in 0..10 {
        push(&mut state, number, if number % 2 == 0 { 3 } else { 1 }, now);
    }
    assert_eq!(take(&mut state, now, 100), [1, 3, 5, 7, 9, 0, 2, 4, 6, 8]);
}

#[test]
fn limit_is_kept_and_can_be_changed() {
    let (mut state, now) = state(&QueueConfig::default().max_concurrent(2));
    for number in 0..6 {
        push(&mut state, number, 0, now);
    }
    assert_eq!(take(&mut state, now, 100), [0, 1]);
    assert!(take(&mut state, now, 100).is_empty());
    state.resize(1);
    state.settle(Ending::Completed, 0, false, 0);
    assert!(take(&mut state, now, 100).is_empty());
    state.settle(Ending::Completed, 0, false, 0);
    assert_eq!(take(&mut state, now, 100), [2]);
    state.resize(4);
    assert_eq!(take(&mut state, now, 2), [3, 4]);
}

#[test]
fn what_is_given_back_is_first_again() {
    let (mut state, now) = state(&QueueConfig::default());
    let items: Vec<_> = (0..3)
        .map(|number| push(&mut state, number, 2, now))
        .collect();
    assert_eq!(take(&mut state, now, 2), [0, 1]);
    for item in items[..2].iter().rev() {
        state.give_back(item.clone().wait(false), 2, 0, now);
    }
    assert_eq!(take(&mut state, now, 3), [0, 1, 2]);
}

#[test]
fn retry_waits_its_delay_and_queues_behind_its_level() {
    let (mut state, now) = state(&QueueConfig::default());
    let first = push(&mut state, 0, 1, now);
    assert_eq!(take(&mut state, now, 1), [0]);
    let delay = Duration::from_millis(100);
    state.retry(first.wait(true), 1, delay, now);
    push(&mut state, 1, 1, now);
    assert!(!state.is_idle());

    let almost = now + delay - Duration::from_nanos(1);
    state.tick(almost, |_| unreachable!());
    assert_eq!(state.status(almost).waiting_for_retry, 1);
    assert_eq!(state.next_due(), Some(state.epoch().tick(now + delay)));
    state.tick(now + delay, |_| unreachable!());
    assert_eq!(state.status(now).waiting_for_retry, 0);
    assert_eq!(take(&mut state, now + delay, 9), [1, 0]);
}

#[test]
fn deadline_comes_to_the_nanosecond_and_holds_nothing() {
    let (mut state, now) = state(&QueueConfig::default());
    let item = push(&mut state, 7, 0, now);
    let deadline = now + Duration::from_secs(1);
    state.set_deadline(&item, deadline);
    let mut expired = Vec::new();
    state.tick(deadline - Duration::from_nanos(1), |item| {
        expired.push(item.number)
    });
    assert!(expired.is_empty());
    state.tick(deadline, |item| expired.push(item.number));
    assert_eq!(expired, [7]);

    state.set_deadline(&Item::new(8), deadline);
    state.tick(deadline, |_| {
        unreachable!("an operation that is gone came back")
    });
}

#[test]
fn one_start_in_eight_is_for_the_longest_waiting() {
    let (mut state, start) = state(
        &QueueConfig::default()
            .max_concurrent(1_000_000)
            .ageing(Duration::from_secs(10)),
    );
    push(&mut state, 1, 4, start);
    push(&mut state, 2, 3, start + Duration::from_secs(1));
    let flood = |state: &mut State<Item>, now| {
        push(state, 0, 0, now);
        take(state, now, 1)[0]
    };
    let young = start + Duration::from_secs(10) - Duration::from_nanos(1);
    for _ in 0..100 {
        assert_eq!(flood(&mut state, young), 0);
    }
    let old = start + Duration::from_secs(12);
    let started: Vec<_> = (0..2 * AGEING_SHARE)
        .map(|_| flood(&mut state, old))
        .collect();
    let aged: Vec<_> = started
        .iter()
        .copied()
        .filter(|number| *number != 0)
        .collect();
    // The longest-waiting first, whatever its level, and each within one share.
    assert_eq!(aged, [1, 2]);
    assert!(started[..AGEING_SHARE as usize].contains(&1));
}

#[test]
fn without_ageing_the_order_is_strict_for_ever() {
    let (mut state, start) = state(
        &QueueConfig::default()
            .max_concurrent(1_000_000)
            .ageing(None),
    );
    push(&mut state, 1, 4, start);
    let later = start + Duration::from_secs(100 * 365 * 24 * 3600);
    for _ in 0..100 {
        push(&mut state, 0, 0, later);
        assert_eq!(take(&mut state, later, 1), [0]);
    }
}

#[test]
fn cancelled_entries_are_swept() {
    let (mut state, now) = state(&QueueConfig::default());
    push(&mut state, 0, 0, now);
    for number in 1..10_000 {
        let item = push(&mut state, number, 0, now);
        let from = item.seize().unwrap();
        state.withdraw(from, 0, CLEARED, false);
        assert!(state.levels.iter().count() < 200);
    }
    assert_eq!(state.status(now).pending, 1);
    for number in 0..10_000 {
        let item = Item::new(number);
        state.set_deadline(&item, now + Duration::from_secs(3600));
        drop(item);
        state.timers.forget();
        assert!(state.timers.len() < 200);
    }
}

#[test]
fn room_counts_what_waits_and_what_is_promised() {
    let (mut state, now) = state(&QueueConfig::default().capacity(2).max_concurrent(1));
    push(&mut state, 0, 0, now);
    assert_eq!(state.admissible(0), Ok(()));
    state.reserve(0);
    assert_eq!(state.admissible(0), Err(Refusal::Full));
    assert_eq!(take(&mut state, now, 1), [0]);
    assert_eq!(state.admissible(0), Ok(()));
    state.close();
    assert_eq!(state.admissible(0), Err(Refusal::Closed));
}

#[test]
fn reserved_slots_are_for_a_level_and_more_urgent_ones() {
    let config = QueueConfig::default()
        .max_concurrent(5)
        .ageing(None)
        .reserve(Priority::Critical, 1)
        .reserve(Priority::High, 2);
    let (mut state, now) = state(&config);
    for number in 0..4 {
        push(&mut state, number, 4, now);
    }
    assert_eq!(take(&mut state, now, 9), [0, 1]);
    assert!(!state.can_take());
    for number in 10..14 {
        push(&mut state, number, 1, now);
    }
    assert!(state.can_take());
    assert_eq!(take(&mut state, now, 9), [10, 11]);
    assert!(!state.can_take());
    push(&mut state, 20, 0, now);
    assert_eq!(take(&mut state, now, 9), [20]);
    // A slot that has become free is not for everybody.
    state.settle(Ending::Completed, 1, false, 0);
    state.settle(Ending::Completed, 0, false, 0);
    assert_eq!(take(&mut state, now, 9), [12]);
    state.settle(Ending::Completed, 4, false, 0);
    assert_eq!(take(&mut state, now, 9), [13]);
    state.settle(Ending::Completed, 1, false, 0);
    state.settle(Ending::Completed, 1, false, 0);
    assert_eq!(take(&mut state, now, 9), [2]);
    assert!(!state.can_take());
    state.resize(6);
    assert_eq!(take(&mut state, now, 9), [3]);
}

#[test]
fn ageing_does_not_open_reserved_slots() {
    let config = QueueConfig::default()
        .max_concurrent(2)
        .reserve(Priority::Critical, 1);
    let (mut state, start) = state(&config);
    push(&mut state, 0, 4, start);
    push(&mut state, 1, 4, start);
    let old = start + Duration::from_secs(3600);
    assert_eq!(take(&mut state, old, 9), [0]);
    for _ in 0..3 * AGEING_SHARE {
        push(&mut state, 2, 0, old);
        assert_eq!(take(&mut state, old, 9), [2]);
        state.settle(Ending::Completed, 0, false, 0);
    }
    state.settle(Ending::Completed, 4, false, 0);
    push(&mut state, 2, 0, old);
    assert!(take(&mut state, old, 9).contains(&1));
}

fn push_keyed(state: &mut State<Item>, number: usize, key: &str, level: u8, now: Instant) -> Item {
    let item = Item {
        keyed: true,
        ..Item::new(number)
    };
    item.set_level(level);
    let since = state.epoch().tick(now);
    state.enter_key(number as u64, &key.into(), since).unwrap();
    state.enqueue(item.clone(), level, since);
    item
}

fn end_keyed(state: &mut State<Item>, number: usize, now: Instant) {
    end_at(state, number, 0, now);
}

fn end_at(state: &mut State<Item>, number: usize, level: u8, now: Instant) {
    let tick = state.epoch().tick(now);
    state.settle(Ending::Completed, level, false, 0);
    state.settle_key(number as u64, tick);
}

#[test]
fn busy_key_lets_others_pass_and_keeps_its_order() {
    let (mut state, start) = state(&QueueConfig::default().max_concurrent(100));
    let at = |ms| start + Duration::from_millis(ms);
    for number in 0..3 {
        push_keyed(&mut state, number, "a", 2, at(number as u64));
    }
    push(&mut state, 3, 2, at(3));
    push_keyed(&mut state, 4, "b", 2, at(4));
    assert_eq!(take(&mut state, at(5), 100), [0, 3, 4]);
    let status = state.status(at(5));
    assert_eq!(
        (status.pending, status.held, status.levels[2].pending),
        (2, 2, 2)
    );
    assert_eq!(status.oldest_wait, Some(Duration::from_millis(4)));
    assert!(!state.can_take());

    // What comes while the key is free does not overtake what waits for it.
    push(&mut state, 5, 2, at(6));
    push_keyed(&mut state, 6, "a", 2, at(6));
    end_keyed(&mut state, 0, at(7));
    assert_eq!(take(&mut state, at(7), 100), [1, 5]);
    // Unless it is more urgent.
    push_keyed(&mut state, 7, "a", 0, at(8));
    end_keyed(&mut state, 1, at(9));
    assert_eq!(take(&mut state, at(9), 100), [7]);
    end_keyed(&mut state, 7, at(9));
    assert_eq!(take(&mut state, at(9), 100), [2]);
    end_keyed(&mut state, 2, at(9));
    assert_eq!(take(&mut state, at(9), 100), [6]);
}

#[test]
fn what_is_released_to_its_level_and_cancelled_does_not_keep_its_key() {
    let (mut state, now) = state(&QueueConfig::default().max_concurrent(1));
    let items: Vec<_> = (0..3)
        .map(|number| push_keyed(&mut state, number, "a", 2, now))
        .collect();
    assert_eq!(take(&mut state, now, 9), [0]);
    state.resize(9);
    assert!(take(&mut state, now, 9).is_empty());
    end_keyed(&mut state, 0, now);
    // Number 1 is in its level now, and 2 still waits aside.
    assert_eq!(state.status(now).held, 1);
    for number in [1, 2] {
        let from = items[number].seize().unwrap();
        state.withdraw_keyed((number as u64, 0), from, 2, CLEARED, false);
        assert_eq!(state.status(now).pending, 2 - number);
    }
    assert!(state.is_idle());
    assert_eq!(state.keys.as_ref().map(|keys| keys.known()), Some(0));
}

#[test]
fn held_operation_that_is_moved_counts_with_its_new_urgency() {
    let (mut state, now) = state(&QueueConfig::default().max_concurrent(100));
    let items: Vec<_> = (0..4)
        .map(|number| push_keyed(&mut state, number, "a", 2, now))
        .collect();
    push(&mut state, 9, 1, now);
    assert_eq!(take(&mut state, now, 1), [9]);
    assert_eq!(take(&mut state, now, 9), [0]);
    assert_eq!(state.status(now).held, 3);
    assert!(state.set_level(&items[3], 0));
    assert!(state.set_level(&items[1], 4));
    assert!(!state.set_level(&items[0], 4), "it runs");
    let status = state.status(now);
    let depths: Vec<_> = status.levels.iter().map(|level| level.pending).collect();
    assert_eq!((depths, status.pending), (vec![1, 0, 1, 0, 1], 3));
    // They are looked at, and put aside again.
    assert!(take(&mut state, now, 9).is_empty());
    assert_eq!(state.status(now).held, 3);
    for (ended, next) in [(0, 3), (3, 2), (2, 1)] {
        end_at(&mut state, ended, items[ended].level(), now);
        assert_eq!(take(&mut state, now, 9), [next]);
    }
    // One that is moved and cancelled before it is looked at.
    let last = push_keyed(&mut state, 4, "a", 2, now);
    assert!(take(&mut state, now, 9).is_empty());
    assert!(state.set_level(&last, 0));
    let from = last.seize().unwrap();
    state.withdraw_keyed((4, 0), from, last.level(), CLEARED, false);
    assert_eq!(state.status(now).pending, 0);
}

#[test]
fn released_operation_leaves_the_others_where_they_say_they_are() {
    let (mut state, start) = state(&QueueConfig::default().max_concurrent(2));
    let at = |ms| start + Duration::from_millis(ms);
    let first: Vec<_> = (0..2)
        .map(|number| push_keyed(&mut state, number, "a", 2, at(number as u64)))
        .collect();
    push(&mut state, 2, 2, at(2));
    assert_eq!(take(&mut state, at(3), 9), [0, 2]);
    let behind: Vec<_> = (3..6)
        .map(|number| push(&mut state, number, 2, at(number as u64)))
        .collect();
    end_keyed(&mut state, 0, at(7));
    assert_eq!(state.status(at(7)).held, 0);
    // Number 1 is before them in its level now; each is still found.
    assert!(state.set_level(&behind[1], 1));
    assert!(state.set_level(&first[1], 3));
    assert!(state.set_level(&behind[2], 0));
    state.resize(9);
    assert_eq!(take(&mut state, at(8), 9), [5, 4, 3, 1]);
}

#[test]
fn shedding_counts_what_waits_aside() {
    let config = QueueConfig::default().capacity(4).capacity_bytes(100);
    let (mut state, now) = state(&config);
    let after = |ms| now + Duration::from_millis(ms);
    for (number, level) in [(0, 3), (1, 4), (2, 3), (3, 3)] {
        push_keyed(&mut state, number, "a", level, after(number as u64));
        state.load(number as u64, 20);
    }
    push(&mut state, 4, 3, after(4));
    state.load(4, 20);
    assert_eq!(take(&mut state, after(5), 9), [0, 4]);
    push(&mut state, 5, 3, after(6));
    let shed = |state: &mut State<Item>, weight| {
        let (mut shed, tick) = (Vec::new(), state.epoch().tick(after(7)));
        state.shed(2, weight, tick, |item| shed.push(item.number));
        shed
    };
    let status = state.status(after(7));
    assert_eq!((status.held, status.pending, status.bytes), (3, 4, 100));
    // Number 5 has come last of its level and weighs nothing.
    assert_eq!(shed(&mut state, 40), [1, 5, 3]);
    let status = state.status(after(7));
    assert_eq!((status.held, status.pending, status.bytes), (1, 1, 60));
    assert_eq!(status.shed, 3);
    // What is left has its turn when the key is free.
    end_keyed(&mut state, 0, after(8));
    assert_eq!(take(&mut state, after(8), 9), [2]);
}

#[test]
fn clear_takes_what_waits_aside() {
    let (mut state, now) = state(&QueueConfig::default());
    for number in 0..5 {
        push_keyed(&mut state, number, "a", 2, now);
    }
    assert_eq!(take(&mut state, now, 9), [0]);
    let cleared = state.clear(CLEARED, |item, from| item.seize() == Some(from));
    assert_eq!((cleared, state.status(now).pending), (4, 0));
    end_keyed(&mut state, 0, now);
    assert!(state.is_idle());
    assert!(take(&mut state, now, 9).is_empty());
}

#[test]
fn rate_spaces_the_starts_of_one_key_to_the_nanosecond() {
    let rate = crate::KeyRate::new(10, Duration::from_secs(1)).burst(3);
    let limits = KeyLimits::default().max_concurrent(100).rate(rate);
    let (mut state, start) = state(&QueueConfig::default().max_concurrent(100).keys(limits));
    for number in 0..6 {
        push_keyed(&mut state, number, "a", 2, start);
    }
    push_keyed(&mut state, 6, "b", 2, start);
    assert_eq!(take(&mut state, start, 100), [0, 1, 2, 6]);
    for (number, ms) in [(3, 100), (4, 200), (5, 300)] {
        let due = start + Duration::from_millis(ms);
        assert_eq!(state.next_due(), Some(state.epoch().tick(due)));
        let almost = due - Duration::from_nanos(1);
        state.tick(almost, |_| ());
        assert!(take(&mut state, almost, 100).is_empty());
        state.tick(due, |_| ());
        assert_eq!(take(&mut state, due, 100), [number]);
    }
    assert_eq!(state.next_due(), None);
    // A start that was given back has not happened.
    let due = start + Duration::from_millis(400);
    let item = push_keyed(&mut state, 7, "a", 2, due);
    assert_eq!(take(&mut state, due, 1), [7]);
    state.give_back(item.wait(false), 2, state.epoch().tick(due), due);
    assert_eq!(take(&mut state, due, 1), [7]);
}

#[test]
fn keys_are_bounded_and_forgotten() {
    let rate = crate::KeyRate::new(1, Duration::from_secs(1));
    let limits = KeyLimits::default().max_keys(2).rate(rate);
    let (mut state, start) = state(&QueueConfig::default().keys(limits));
    for (number, key) in ["a", "b"].iter().enumerate() {
        push_keyed(&mut state, number, key, 2, start);
    }
    let late = start + Duration::from_secs(1);
    let enter = |state: &mut State<Item>, number, now| {
        let tick = state.epoch().tick(now);
        state.enter_key(number, &"c".into(), tick)
    };
    assert_eq!(enter(&mut state, 9, late), Err(Refusal::TooManyKeys));
    assert_eq!(take(&mut state, start, 9), [0, 1]);
    end_keyed(&mut state, 0, start);
    // Key "a" has no operation, but its rate must be remembered until it would not matter any more.
    let early = late - Duration::from_nanos(1);
    assert_eq!(enter(&mut state, 9, early), Err(Refusal::TooManyKeys));
    assert_eq!(enter(&mut state, 9, late), Ok(()));
}

/// What can happen to a queue.
#[derive(Clone, Debug)]
enum Step {
    Submit(u8, Option<u8>),
    Take(usize),
    /// Ends the n-th running operation.
    Complete(usize),
    Retry(usize, u64),
    Cancel(usize),
    Clear,
    Resize(usize),
    Pause,
    Resume,
    Advance(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0u8..3, prop::option::of(0u8..3)).prop_map(|(level, key)| Step::Submit(level, key)),
        4 => (1usize..6).prop_map(Step::Take),
        3 => any::<usize>().prop_map(Step::Complete),
        3 => (any::<usize>(), 0u64..30).prop_map(|(which, ms)| Step::Retry(which, ms)),
        2 => any::<usize>().prop_map(Step::Cancel),
        1 => Just(Step::Clear),
        1 => (1usize..6).prop_map(Step::Resize),
        1 => Just(Step::Pause),
        1 => Just(Step::Resume),
        3 => (0u64..40).prop_map(Step::Advance),
    ]
}

/// The simple thing: a list in the order of arrival, searched from the front.
#[derive(Default)]
struct Model {
    /// (level, arrival, number)
    waiting: Vec<(u8, u64, usize)>,
    /// (due, order, level, number)
    delayed: Vec<(u64, u64, u8, usize)>,
    running: Vec<(u8, usize)>,
    /// The key of each operation, by number.
    keys: Vec<Option<u8>>,
    arrivals: u64,
    limit: usize,
    per_key: usize,
    /// Slots that only level 0 may use, and that only levels 0 and 1 may use.
    reserved: [usize; 2],
    paused: bool,
    ended: u64,
    cancelled: u64,
}

impl Model {
    fn arrive(&mut self, level: u8, number: usize) {
        self.arrivals += 1;
        self.waiting.push((level, self.arrivals, number));
    }

    fn take(&mut self, max: usize) -> Vec<usize> {
        let mut taken = Vec::new();
        while !self.paused && taken.len() < max && self.running.len() < self.limit {
            let free = |entry: &&(u8, u64, usize)| {
                let key = self.keys[entry.2];
                let same = |running: &&(u8, usize)| self.keys[running.1] == key;
                key.is_none() || self.running.iter().filter(same).count() < self.per_key
            };
            // A level may start something if it leaves every slot alone that is reserved for a more urgent one.
            let open = |entry: &&(u8, u64, usize)| {
                (0..=entry.0).all(|level| {
                    let closed: usize = self.reserved.iter().take(usize::from(level)).sum();
                    let as_low = self.running.iter().filter(|running| running.0 >= level);
                    as_low.count() < self.limit.saturating_sub(closed).max(1)
                })
            };
            let Some(next) = self.waiting.iter().filter(free).filter(open).min().copied() else {
                break;
            };
            self.waiting.retain(|entry| *entry != next);
            self.running.push((next.0, next.2));
            taken.push(next.2);
        }
        taken
    }

    fn advance(&mut self, now: u64) {
        self.delayed.sort_unstable();
        while self.delayed.first().is_some_and(|entry| entry.0 <= now) {
            let (_, _, level, number) = self.delayed.remove(0);
            self.arrive(level, number);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_sequence_agrees_with_a_sorted_list(
        steps in prop::collection::vec(step(), 1..200),
        per_key in 1usize..3,
        reserved in (0usize..3, 0usize..2).prop_map(|(top, next)| [top, next]),
    ) {
        let keys = KeyLimits::default().max_concurrent(per_key);
        let config = QueueConfig::default().max_concurrent(4).priority_levels(3).ageing(None).keys(keys)
            .reserve(Priority::Level(0), reserved[0]).reserve(Priority::Level(1), reserved[1]);
        let (mut state, start) = state(&config);
        let mut model = Model { limit: 4, per_key, reserved, ..Model::default() };
        let mut items: Vec<Item> = Vec::new();
        let mut ms = 0;
        for step in steps {
            // No two steps at the same time: what comes back to its place goes there by its time.
            ms += 1;
            let now = start + Duration::from_millis(ms);
            match step {
                Step::Submit(level, key) => {
                    let number = items.len();
                    items.push(match key {
                        Some(key) => push_keyed(&mut state, number, &key.to_string(), level, now),
                        None => push(&mut state, number, level, now),
                    });
                    model.keys.push(key);
                    model.arrive(level, number);
                }
                Step::Take(max) => prop_assert_eq!(take(&mut state, now, max), model.take(max)),
                Step::Complete(which) if !model.running.is_empty() => {
                    let (level, number) = model.running.remove(which % model.running.len());
                    model.ended += 1;
                    end_at(&mut state, number, level, now);
                }
                Step::Retry(which, delay) if !model.running.is_empty() => {
                    let (level, number) = model.running.remove(which % model.running.len());
                    let item = items[number].clone().wait(delay > 0);
                    state.retry(item, level, Duration::from_millis(delay), now);
                    if delay == 0 {
                        model.arrive(level, number);
                    } else {
                        model.arrivals += 1;
                        model.delayed.push((ms + delay, model.arrivals, level, number));
                    }
                }
                Step::Cancel(which) if !items.is_empty() => {
                    let number = which % items.len();
                    let found = model.waiting.iter().find(|entry| entry.2 == number).map(|entry| entry.0);
                    let found = found.or_else(|| {
 let mut delayed = model.delayed.iter();
 delayed.find(|entry| entry.3 == number).map(|entry| entry.2) });
                    // What runs or has ended is not for this table to cancel.
                    if let Some(level) = found {
                        let from = items[number].seize().unwrap();
                        let who = (number as u64, state.epoch().tick(now));
                        state.withdraw_keyed(who, from, level, CLEARED, false);
                        model.waiting.retain(|entry| entry.2 != number);
                        model.delayed.retain(|entry| entry.3 != number);
                        model.cancelled += 1;
                    }
                }
                Step::Clear => {
                    let cleared = state.clear(CLEARED, |item, from| item.seize() == Some(from));
                    prop_assert_eq!(cleared, model.waiting.len() + model.delayed.len());
                    model.cancelled += cleared as u64;
                    model.waiting.clear();
                    model.delayed.clear();
                }
                Step::Resize(limit) => {
                    state.resize(limit);
                    model.limit = limit;
                }
                Step::Pause => {
                    state.pause();
                    model.paused = true;
                }
                Step::Resume => {
                    state.resume();
                    model.paused = false;
                }
                Step::Advance(by) => {
                    ms += by;
                    state.tick(start + Duration::from_millis(ms), |_| ());
                    model.advance(ms);
                }
                Step::Complete(_) | Step::Retry(..) | Step::Cancel(_) => {}
            }
            let status = state.status(start + Duration::from_millis(ms));
            prop_assert_eq!(status.pending, model.waiting.len());
            prop_assert_eq!(status.levels.iter().map(|level| level.pending).sum::<usize>(), model.waiting.len());
            prop_assert_eq!(status.running, model.running.len());
            prop_assert_eq!(status.waiting_for_retry, model.delayed.len());
            prop_assert_eq!((status.completed, status.cancelled), (model.ended, model.cancelled));
            prop_assert_eq!(status.submitted, items.len() as u64);
            let in_queue = status.pending + status.running + status.waiting_for_retry;
            prop_assert_eq!(status.submitted, in_queue as u64 + state.ended());
            prop_assert_eq!(state.is_idle(), in_queue == 0);
            prop_assert_eq!(state.next_due().is_some() || model.delayed.is_empty(), true);
        }
    }

    /// Whatever is moved, shed, cancelled or put aside: everything starts once or ends otherwise, and the counts agree.
    #[test]
    fn nothing_is_lost_or_started_twice(
        steps in prop::collection::vec((0u8..8, any::<usize>(), 0u8..3, prop::option::of(0u8..3)), 1..200),
        rate in any::<bool>(),
    ) {
        let mut keys = KeyLimits::default().max_concurrent(1);
        if rate {
            keys = keys.rate(crate::KeyRate::new(10, Duration::from_secs(1)).burst(2));
        }
        let config = QueueConfig::default().max_concurrent(3).priority_levels(3).capacity(12).capacity_bytes(120).keys(keys);
        let (mut state, start) = state(&config);
        let mut items: Vec<Item> = Vec::new();
        let (mut starts, mut over, mut running) = (Vec::new(), Vec::new(), Vec::new());
        let mut ms = 0;
        for (what, which, level, key) in steps {
            ms += 1;
            let now = start + Duration::from_millis(ms);
            let tick = state.epoch().tick(now);
            match what {
                0..=2 => {
                    let (number, weight) = (items.len(), (which % 30) as u64);
                    if state.admissible(weight) == Err(Refusal::Full) {
                        state.shed(level, weight, tick, |item| over.push(item.number));
                    }
                    if state.admissible(weight).is_ok() {
                        items.push(match key {
                            Some(key) => push_keyed(&mut state, number, &key.to_string(), level, now),
                            None => push(&mut state, number, level, now),
                        });
                        state.load(number as u64, weight);
                    }
                }
                3 => {
                    let taken = take(&mut state, now, which % 4);
                    starts.extend(taken.iter().copied());
                    running.extend(taken);
                }
                4 if !running.is_empty() => {
                    let number = running.swap_remove(which % running.len());
                    end_at(&mut state, number, items[number].level(), now);
                    state.unload(number as u64);
                    over.push(number);
                }
                5 | 6 if !items.is_empty() => {
                    let item = &items[which % items.len()];
                    prop_assert_eq!(state.set_level(item, level), item.is_waiting());
                }
                7 if !items.is_empty() => {
                    let item = &items[which % items.len()];
                    if item.is_waiting() {
                        let from = item.seize().unwrap();
                        state.withdraw_keyed((item.number(), tick), from, item.level(), CLEARED, false);
                        state.unload(item.number());
                        over.push(item.number);
                    }
                }
                _ => {}
            }
            let status = state.status(now);
            let waiting = items.iter().filter(|item| item.is_waiting()).count();
            prop_assert_eq!((status.pending, status.running), (waiting, running.len()));
            let mut depths = [0; 3];
            items.iter().filter(|item| item.is_waiting()).for_each(|item| depths[usize::from(item.level())] += 1);
            prop_assert_eq!(status.levels.iter().map(|level| level.pending).collect::<Vec<_>>(), depths.to_vec());
        }
        // What is left runs when there is time for it.
        for _ in 0..items.len() {
            ms += 1_000;
            let now = start + Duration::from_millis(ms);
            for number in running.drain(..) {
                end_at(&mut state, number, items[number].level(), now);
                state.unload(number as u64);
                over.push(number);
            }
            state.tick(now, |_| ());
            let taken = take(&mut state, now, 9);
            starts.extend(taken.iter().copied());
            running.extend(taken);
        }
        for number in running.drain(..) {
            end_at(&mut state, number, items[number].level(), start);
            state.unload(number as u64);
            over.push(number);
        }
        prop_assert!(state.is_idle());
        prop_assert_eq!(state.status(start).bytes, 0);
        over.sort_unstable();
        prop_assert_eq!(over, (0..items.len()).collect::<Vec<_>>());
        let count = starts.len();
        starts.sort_unstable();
        starts.dedup();
        prop_assert_eq!(starts.len(), count);
    }
}
