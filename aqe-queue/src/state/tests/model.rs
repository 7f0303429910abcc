//! Any sequence of calls beside the simple thing.

use super::keyed::{end_at, push_keyed};
use super::*;

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
        // What a rate has to be remembered for is forgotten later.
        let known = state.keys.as_ref().map_or(0, |keys| keys.known());
        prop_assert!(rate || known == 0, "{} keys are still known", known);
        over.sort_unstable();
        prop_assert_eq!(over, (0..items.len()).collect::<Vec<_>>());
        let count = starts.len();
        starts.sort_unstable();
        starts.dedup();
        prop_assert_eq!(starts.len(), count);
    }
}
