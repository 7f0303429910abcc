//! Operations in calls: slots, order, and what becomes of those that come back.

use super::*;

const KIND: u32 = 1;

fn push_of_kind(state: &mut State<Item>, number: usize, level: u8, now: Instant) -> Item {
    let item = Item::new(number);
    item.set_level(level);
    state.enter_kind(&item, KIND);
    let since = state.epoch().tick(now);
    state.enqueue(item.clone(), level, since);
    item
}

/// Starts one that waits, and opens a call with it.
fn open(state: &mut State<Item>, call: u64, now: Instant) -> Item {
    let mut taken = Vec::new();
    state.take(now, 1, |operation| taken.push(operation.claimed));
    let item = taken.pop().unwrap();
    state.join_call(item.number(), item.level(), call);
    item
}

fn take_along(state: &mut State<Item>, call: u64, max: usize, now: Instant) -> Vec<Item> {
    let (tick, mut taken) = (state.epoch().tick(now), Vec::new());
    let count = state.take_along((KIND, call), max, tick, |operation| {
        assert!(operation.aged);
        taken.push(operation.claimed);
    });
    assert_eq!(count, taken.len());
    taken
}

fn numbers(items: &[Item]) -> Vec<usize> {
    items.iter().map(|item| item.number).collect()
}

fn end(state: &mut State<Item>, item: &Item) {
    state.leave_call(item.number(), item.level());
    state.settle(Ending::Completed, item.level(), false, 1);
    state.unload(item.number());
}

fn slots(status: &QueueStatus) -> usize {
    status.running - status.sharing_a_slot
}

#[test]
fn a_call_takes_along_the_most_urgent_of_its_kind_and_has_one_slot() {
    let (mut state, now) = state(&QueueConfig::default().max_concurrent(2));
    for (number, level) in [(0, 0), (1, 3), (2, 1), (3, 3), (4, 1)] {
        push_of_kind(&mut state, number, level, now);
    }
    let other = push(&mut state, 9, 0, now);
    let first = open(&mut state, 7, now);
    let along = take_along(&mut state, 7, 3, now);
    assert_eq!(numbers(&along), [2, 4, 1]);
    let status = state.status(now);
    assert_eq!((status.running, slots(&status), status.pending), (4, 1, 2));
    // The other slot is free for what is of no kind, and for one of this kind that opens a call of its own.
    assert_eq!(take(&mut state, now, 5), [other.number]);
    assert!(!state.has_slot());
    end(&mut state, &first);
    assert!(!state.has_slot(), "the call goes on without its first");
    for item in &along[..2] {
        end(&mut state, item);
    }
    assert!(!state.has_slot());
    end(&mut state, &along[2]);
    assert!(state.has_slot());
    assert_eq!(take(&mut state, now, 5), [3]);
    let status = state.status(now);
    assert_eq!(
        (status.running, status.sharing_a_slot, status.completed),
        (2, 0, 4)
    );
}

#[test]
fn one_that_was_started_gives_its_slot_back_when_it_joins() {
    let (mut state, now) = state(&QueueConfig::default().max_concurrent(2));
    for number in 0..2 {
        push_of_kind(&mut state, number, 2, now);
    }
    let (first, second) = (open(&mut state, 7, now), open(&mut state, 7, now));
    assert!(state.has_slot());
    assert_eq!(state.status(now).sharing_a_slot, 1);
    end(&mut state, &first);
    end(&mut state, &second);
    let status = state.status(now);
    assert_eq!((status.running, status.sharing_a_slot), (0, 0));
    assert!(state.is_idle());
}

#[test]
fn what_comes_back_is_found_again_where_it_is() {
    let (mut state, now) = state(&QueueConfig::default().max_concurrent(2));
    for number in 0..5 {
        push_of_kind(&mut state, number, 2, now);
    }
    let first = open(&mut state, 1, now);
    let along = take_along(&mut state, 1, 2, now);
    assert_eq!(numbers(&along), [1, 2]);
    // One at once, one after a delay.
    for (item, delay) in along.iter().zip([Duration::ZERO, Duration::from_secs(5)]) {
        state.leave_call(item.number(), 2);
        let item = item.clone().wait(!delay.is_zero());
        state.retry(item, 2, delay, now);
    }
    let status = state.status(now);
    assert_eq!((status.running, slots(&status)), (1, 1));
    assert_eq!((status.pending, status.waiting_for_retry), (3, 1));
    assert_eq!(state.waiting_of_kind(KIND, 9), 3);
    // Taken on its own and given back.
    let mut taken = Vec::new();
    state.take(now, 1, |it| taken.push((it.claimed, it.since)));
    let (item, since) = taken.pop().unwrap();
    assert_eq!((item.number, state.waiting_of_kind(KIND, 9)), (3, 2));
    state.give_back(item.clone().wait(false), 2, since, now);
    // Moved to another level and back.
    assert!(state.set_level(&item, 0));
    assert_eq!(state.waiting_of_kind(KIND, 9), 3);
    assert!(state.set_level(&item, 4));
    let later = now + Duration::from_secs(5);
    state.tick(later, |_| ());
    let rest = take_along(&mut state, 1, 9, later);
    assert_eq!(numbers(&rest), [4, 1, 2, 3]);
    for item in rest.iter().chain([&first]) {
        end(&mut state, item);
    }
    assert!(state.is_idle());
}

#[test]
fn what_is_gone_paused_or_has_a_key_is_not_taken_along() {
    let (mut state, now) = state(&QueueConfig::default().max_concurrent(1));
    let first = push_of_kind(&mut state, 0, 2, now);
    open(&mut state, 1, now);
    let mut keyed = Item::new(1);
    keyed.keyed = true;
    keyed.set_level(2);
    let name = "key".into();
    assert_eq!(state.enter_key(1, &name, 0), Ok(()));
    state.enter_kind(&keyed, KIND);
    state.enqueue(keyed, 2, 0);
    let cancelled = push_of_kind(&mut state, 2, 2, now);
    let from = cancelled.seize().unwrap();
    push_of_kind(&mut state, 3, 2, now);
    state.pause();
    assert_eq!(state.waiting_of_kind(KIND, 9), 0);
    assert_eq!(take_along(&mut state, 1, 9, now).len(), 0);
    state.resume();
    assert_eq!(state.waiting_of_kind(KIND, 9), 1);
    let along = take_along(&mut state, 1, 9, now);
    assert_eq!(numbers(&along), [3]);
    // The cancellation comes to count itself out.
    state.withdraw(from, 2, CLEARED, false);
    state.unload(2);
    assert_eq!(state.clear(CLEARED, |item, _| item.seize().is_some()), 1);
    end(&mut state, &along[0]);
    end(&mut state, &first);
    assert!(state.is_idle());
    // A call that is over takes nothing along.
    push_of_kind(&mut state, 4, 2, now);
    assert!(take_along(&mut state, 1, 9, now).is_empty());
}

#[test]
fn slots_of_reserved_levels_are_paid_for_by_whoever_had_the_slot() {
    let config = QueueConfig::default()
        .max_concurrent(3)
        .reserve(Priority::High, 1);
    let (mut state, now) = state(&config);
    for order in [[0, 1, 2], [2, 1, 0], [1, 0, 2], [1, 2, 0]] {
        // The call of an urgent one takes others along.
        for (number, level) in [(0, 0), (1, 4), (2, 2)] {
            push_of_kind(&mut state, number, level, now);
        }
        let first = open(&mut state, 1, now);
        let mut members = take_along(&mut state, 1, 9, now);
        members.insert(0, first);
        // So both slots that are for all are left for the lowest level.
        for number in 10..13 {
            push(&mut state, number, 4, now);
        }
        assert_eq!(take(&mut state, now, 9), [10, 11]);
        for index in order {
            end(&mut state, &members[index]);
        }
        assert!(take(&mut state, now, 9).is_empty(), "the last slot is kept");
        for _ in 0..2 {
            state.settle(Ending::Completed, 4, false, 1);
        }
        assert_eq!(take(&mut state, now, 9), [12]);
        state.settle(Ending::Completed, 4, false, 1);
        assert!(state.is_idle());
    }
}

#[test]
fn lines_do_not_grow_with_what_comes_and_goes() {
    let (mut state, now) = state(&QueueConfig::default().max_concurrent(1));
    // One that stays, at the head of its line and less urgent than the others.
    let stays = push_of_kind(&mut state, 0, 4, now);
    for number in 1..5_000 {
        // Moved back and forth it would be in its line many times.
        assert!(state.set_level(&stays, 3) && state.set_level(&stays, 4));
        let item = push_of_kind(&mut state, number, 4, now);
        let from = item.seize().unwrap();
        state.withdraw(from, 4, CLEARED, false);
        state.unload(number as u64);
    }
    assert!(state.lines() < 300, "{}", state.lines());
    assert_eq!(state.waiting_of_kind(KIND, 9), 1);
}
