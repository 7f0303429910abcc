//! Any sequence of calls that change the order or keep something out, beside the simple thing.
//!
//! Here every operation is without a key, so that a list that is sorted by level and arrival says exactly what
//! starts, what is shed, and what is refused.

use super::*;
use crate::threshold::{ErrorLimit, ErrorThreshold};

#[derive(Clone, Debug)]
enum Step {
    /// Comes with a level and a weight, and sheds others if that is what it takes.
    Submit(u8, u64),
    Take(usize),
    /// The n-th running operation ends well, or not.
    End(usize, bool),
    Retry(usize, u64),
    Cancel(usize),
    /// Moves the n-th operation to a level.
    Move(usize, u8),
    Shut,
    Admit,
    Pause,
    Resume,
    Resize(usize),
    Clear,
    Advance(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0u8..3, 0u64..30).prop_map(|(level, weight)| Step::Submit(level, weight)),
        4 => (1usize..5).prop_map(Step::Take),
        4 => (any::<usize>(), any::<bool>()).prop_map(|(which, well)| Step::End(which, well)),
        2 => (any::<usize>(), 0u64..30).prop_map(|(which, ms)| Step::Retry(which, ms)),
        1 => any::<usize>().prop_map(Step::Cancel),
        4 => (any::<usize>(), 0u8..4).prop_map(|(which, level)| Step::Move(which, level)),
        1 => Just(Step::Shut),
        2 => Just(Step::Admit),
        1 => Just(Step::Pause),
        3 => Just(Step::Resume),
        1 => (1usize..5).prop_map(Step::Resize),
        1 => Just(Step::Clear),
        3 => (0u64..40).prop_map(Step::Advance),
    ]
}

const CAPACITY: usize = 8;
const BYTES: u64 = 100;
const FAILURES: u64 = 4;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    /// When it came into its level.
    Waits(u64),
    /// When its delay is over, and its turn among those of that moment.
    Delayed(u64, u64),
    Runs,
    Over,
}

#[derive(Clone, Copy, Debug)]
struct One {
    level: u8,
    weight: u64,
    place: Place,
}

/// The simple thing: everything that ever came, searched from the front.
#[derive(Default)]
struct Model {
    all: Vec<One>,
    arrivals: u64,
    limit: usize,
    shut: bool,
    paused: bool,
    failures: u64,
}

impl Model {
    fn arrive(&mut self) -> u64 {
        self.arrivals += 1;
        self.arrivals
    }

    fn count(&self, is_it: impl Fn(Place) -> bool) -> usize {
        self.all.iter().filter(|one| is_it(one.place)).count()
    }

    fn running(&self) -> Vec<usize> {
        let numbers = 0..self.all.len();
        numbers
            .filter(|number| self.all[*number].place == Place::Runs)
            .collect()
    }

    fn waiting(&self) -> Vec<(u8, u64, usize)> {
        let mut waiting: Vec<_> = self
            .all
            .iter()
            .enumerate()
            .filter_map(|(number, one)| match one.place {
                Place::Waits(arrival) => Some((one.level, arrival, number)),
                _ => None,
            })
            .collect();
        waiting.sort_unstable();
        waiting
    }

    fn bytes(&self) -> u64 {
        let live = self.all.iter().filter(|one| one.place != Place::Over);
        live.map(|one| one.weight).sum()
    }

    fn fits(&self, weight: u64) -> bool {
        let waiting = self.count(|place| matches!(place, Place::Waits(_) | Place::Delayed(..)));
        waiting < CAPACITY && self.bytes() + weight <= BYTES
    }

    /// Returns who has to go for an operation of this level and weight: the least urgent and newest, no more than it
    /// takes, and nobody if all of them would not do.
    fn victims(&self, level: u8, weight: u64) -> Vec<usize> {
        let (mut left, mut victims) = (self.waiting(), Vec::new());
        let mut room = Self {
            all: self.all.clone(),
            ..Self::default()
        };
        while !room.fits(weight) {
            match left.pop() {
                Some((low, _, number)) if low > level => {
                    room.all[number].place = Place::Over;
                    victims.push(number);
                }
                _ => return Vec::new(),
            }
        }
        victims
    }

    fn take(&mut self, max: usize) -> Vec<usize> {
        let free = self.limit.saturating_sub(self.running().len());
        let room = if self.paused { 0 } else { max.min(free) };
        let taken: Vec<_> = self
            .waiting()
            .into_iter()
            .take(room)
            .map(|it| it.2)
            .collect();
        taken
            .iter()
            .for_each(|number| self.all[*number].place = Place::Runs);
        taken
    }

    fn advance(&mut self, now: u64) {
        let mut due: Vec<_> = (0..self.all.len())
            .filter_map(|number| match self.all[number].place {
                Place::Delayed(due, turn) if due <= now => Some((due, turn, number)),
                _ => None,
            })
            .collect();
        due.sort_unstable();
        for (_, _, number) in due {
            self.all[number].place = Place::Waits(self.arrive());
        }
    }
}

/// Found by the model of the public calls. A batch that ended right before dead entries left their level marked as
/// occupied, and a worker with nothing to do looked again and again.
#[test]
fn nobody_looks_again_for_dead_entries_behind_a_batch() {
    let (mut state, start) = state(&QueueConfig::default().ageing(None));
    push(&mut state, 0, 1, start);
    let from = push(&mut state, 1, 1, start).seize().unwrap();
    state.withdraw(from, 1, CLEARED, false);
    assert_eq!(take(&mut state, start, 1), [0]);
    assert_eq!((state.can_take(), state.occupied()), (false, 0));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_sequence_agrees_with_a_list_that_is_sorted_anew(steps in prop::collection::vec(step(), 1..200)) {
        let threshold = ErrorThreshold::new(ErrorLimit::Count(FAILURES)).window(Duration::from_secs(1 << 20));
        let config = QueueConfig::default().max_concurrent(3).priority_levels(3).ageing(None)
            .capacity(CAPACITY).capacity_bytes(BYTES).error_threshold(threshold);
        let (mut state, start) = state(&config);
        let mut model = Model { limit: 3, ..Model::default() };
        let mut items: Vec<Item> = Vec::new();
        let mut ms = 0;
        for step in steps {
            ms += 1;
            let now = start + Duration::from_millis(ms);
            let tick = state.epoch().tick(now);
            match step {
                Step::Submit(level, weight) => {
                    let expected = if model.shut {
                        Err(Refusal::Paused)
                    } else if model.fits(weight) {
                        Ok(())
                    } else {
                        Err(Refusal::Full)
                    };
                    prop_assert_eq!(state.admissible(weight), expected);
                    if expected == Err(Refusal::Full) {
                        let (mut shed, victims) = (Vec::new(), model.victims(level, weight));
                        state.shed(level, weight, tick, |item: Item| shed.push(item.number));
                        prop_assert_eq!(&shed, &victims);
                        victims.iter().for_each(|number| model.all[*number].place = Place::Over);
                    }
                    if state.admissible(weight).is_ok() {
                        prop_assert!(model.fits(weight));
                        let number = items.len();
                        items.push(push(&mut state, number, level, now));
                        state.load(number as u64, weight);
                        let place = Place::Waits(model.arrive());
                        model.all.push(One { level, weight, place });
                    }
                }
                Step::Take(max) => prop_assert_eq!(take(&mut state, now, max), model.take(max)),
                Step::End(which, well) => {
                    let running = model.running();
                    if !running.is_empty() {
                        let number = running[which % running.len()];
                        let ending = if well { Ending::Completed } else { Ending::Failed };
                        state.settle(ending, model.all[number].level, false, 0);
                        state.unload(number as u64);
                        state.finished(1, now);
                        model.all[number].place = Place::Over;
                        model.failures += u64::from(!well);
                        // The threshold pauses at once, tells of it once, and counts from zero.
                        let trips = model.failures == FAILURES;
                        prop_assert_eq!(state.take_news().is_some_and(|it| it.tripped.is_some()), trips);
                        if trips {
                            model.failures = 0;
                            model.paused = true;
                        }
                    }
                }
                Step::Retry(which, delay) => {
                    let running = model.running();
                    if !running.is_empty() {
                        let number = running[which % running.len()];
                        let item = items[number].clone().wait(delay > 0);
                        state.retry(item, model.all[number].level, Duration::from_millis(delay), now);
                        let turn = model.arrive();
                        model.all[number].place =
                            if delay == 0 { Place::Waits(turn) } else { Place::Delayed(ms + delay, turn) };
                    }
                }
                Step::Cancel(which) if !items.is_empty() => {
                    let number = which % items.len();
                    if matches!(model.all[number].place, Place::Waits(_) | Place::Delayed(..)) {
                        let from = items[number].seize().unwrap();
                        state.withdraw(from, model.all[number].level, CLEARED, false);
                        state.unload(number as u64);
                        model.all[number].place = Place::Over;
                    }
                }
                Step::Move(which, level) if !items.is_empty() => {
                    let number = which % items.len();
                    let place = model.all[number].place;
                    let may = level < 3 && matches!(place, Place::Waits(_) | Place::Delayed(..));
                    prop_assert_eq!(state.set_level(&items[number], level), may);
                    // The level that it has already changes nothing, and a retry goes to its new one after its delay.
                    if may && model.all[number].level != level {
                        model.all[number].level = level;
                        if matches!(place, Place::Waits(_)) {
                            model.all[number].place = Place::Waits(model.arrive());
                        }
                    }
                }
                Step::Shut => prop_assert_eq!(state.shut(), !std::mem::replace(&mut model.shut, true)),
                Step::Admit => prop_assert_eq!(state.admit(), std::mem::replace(&mut model.shut, false)),
                Step::Pause => prop_assert_eq!(state.pause(), !std::mem::replace(&mut model.paused, true)),
                Step::Resume => prop_assert_eq!(state.resume(), std::mem::replace(&mut model.paused, false)),
                Step::Resize(limit) => {
                    state.resize(limit);
                    model.limit = limit;
                }
                Step::Clear => {
                    let mut seized = Vec::new();
                    let cleared = state.clear(CLEARED, |item, from| {
                        let is_seized = item.seize() == Some(from);
                        seized.extend(is_seized.then_some(item.number));
                        is_seized
                    });
                    prop_assert_eq!(cleared, seized.len());
                    // Most urgent first, and what is between two attempts last.
                    let waiting: Vec<_> = model.waiting().into_iter().map(|it| it.2).collect();
                    prop_assert_eq!(&seized[..waiting.len()], &waiting[..]);
                    for number in seized {
                        prop_assert!(matches!(model.all[number].place, Place::Waits(_) | Place::Delayed(..)));
                        model.all[number].place = Place::Over;
                    }
                    prop_assert_eq!(model.count(|place| matches!(place, Place::Delayed(..))), 0);
                }
                Step::Advance(by) => {
                    ms += by;
                    state.tick(start + Duration::from_millis(ms), |_| ());
                    model.advance(ms);
                }
                Step::Cancel(_) | Step::Move(..) => {}
            }
            let status = state.status(start + Duration::from_millis(ms));
            let mut depths = [0; 3];
            model.waiting().iter().for_each(|it| depths[usize::from(it.0)] += 1);
            prop_assert_eq!(status.levels.iter().map(|level| level.pending).collect::<Vec<_>>(), depths.to_vec());
            prop_assert_eq!((status.running, status.bytes), (model.running().len(), model.bytes()));
            prop_assert_eq!(status.waiting_for_retry, model.count(|place| matches!(place, Place::Delayed(..))));
            prop_assert_eq!(state.ended() as usize, model.count(|place| place == Place::Over));
            prop_assert_eq!((status.is_paused, status.is_admission_paused), (model.paused, model.shut));
        }
    }
}
