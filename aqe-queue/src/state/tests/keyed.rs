//! Operations with keys: what is held aside, and how it returns.

use super::*;

pub(super) fn push_keyed(
    state: &mut State<Item>,
    number: usize,
    key: &str,
    level: u8,
    now: Instant,
) -> Item {
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

pub(super) fn end_at(state: &mut State<Item>, number: usize, level: u8, now: Instant) {
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
fn newcomer_does_not_overtake_in_the_moment_in_which_the_rate_allows_a_start() {
    let rate = crate::KeyRate::new(10, Duration::from_secs(1));
    let limits = KeyLimits::default().max_concurrent(9).rate(rate);
    let (mut state, start) = state(&QueueConfig::default().keys(limits));
    push_keyed(&mut state, 0, "a", 2, start);
    push_keyed(&mut state, 1, "a", 2, start);
    assert_eq!(take(&mut state, start, 9), [0]);
    // A worker comes before the alarm is looked at.
    let due = start + Duration::from_millis(100);
    push_keyed(&mut state, 2, "a", 2, due);
    assert_eq!(take(&mut state, due, 9), [1]);
    assert_eq!(state.status(due).held, 1);
}

/// Found by the model: two retries that came back together were held, and went back in the order of their numbers.
#[test]
fn retries_that_come_back_together_keep_their_order_when_they_are_held() {
    let (mut state, start) = state(&QueueConfig::default());
    let items: Vec<_> = (0..2)
        .map(|number| push_keyed(&mut state, number, "a", 2, start))
        .collect();
    let delay = Duration::from_millis(1);
    for number in [0, 1] {
        assert_eq!(take(&mut state, start, 1), [number]);
        // The first has the longer delay.
        let item = items[number].clone().wait(true);
        state.retry(item, 2, delay * (2 - number as u32), start);
    }
    let later = start + Duration::from_secs(1);
    push_keyed(&mut state, 2, "a", 2, start);
    assert_eq!(take(&mut state, later, 1), [2]);
    state.tick(later, |_| ());
    assert!(take(&mut state, later, 9).is_empty());
    for (ended, next) in [(2, 1), (1, 0)] {
        end_at(&mut state, ended, 2, later);
        assert_eq!(take(&mut state, later, 9), [next]);
    }
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
