//! The state machine with the time by hand, and against a simple reference.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;
use crate::config::AGEING_SHARE;
use crate::error::CancelReason;
use crate::priority::Priority;

mod calls;
mod keyed;
mod model;
mod reordered;

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

    fn is_over(&self) -> bool {
        // Nobody but the timers has it any more.
        Rc::strong_count(&self.phase) == 1
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

/// Found by loom. A cancellation claims what it cancels, drops its body, and then comes to count it out. A worker that
/// met the claimed entry in between found the level occupied and nothing in it, went to sleep, and was woken by
/// its own look at the level, over and over, for as long as the body took to be dropped.
#[test]
fn nobody_looks_again_for_what_a_cancellation_has_claimed() {
    let (mut state, start) = state(&QueueConfig::default());
    let item = push(&mut state, 0, 1, start);
    let from = item.seize().unwrap();
    assert!(take(&mut state, start, 9).is_empty());
    assert!(!state.can_take());
    assert_eq!(state.occupied(), 0);
    assert_eq!(state.status(start).pending, 1);
    // What comes later is found, in this level and below, before the cancellation is done and after.
    push(&mut state, 1, 1, start);
    push(&mut state, 2, 3, start);
    assert!(state.can_take());
    assert_eq!(take(&mut state, start, 1), [1]);
    state.withdraw(from, 1, CLEARED, false);
    assert_eq!(take(&mut state, start, 9), [2]);
    assert_eq!((state.status(start).pending, state.can_take()), (0, false));
}
