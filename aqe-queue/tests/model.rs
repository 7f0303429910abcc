//! Any sequence of calls of the public interface, beside the simple thing: a list that is sorted anew for each start.
//!
//! Operations wait until they are told how to end, and after each call everybody has the time to do what there is to
//! do. So the list says exactly which operations have begun, in which order, and how each has ended.

#![expect(clippy::unwrap_used, reason = "helpers of tests may fail the test")]

use std::sync::Arc;
use std::time::Duration;

use aqe_queue::{
    AsyncOperationQueue, CancelReason, OperationError, OperationHandle, Priority, QueueConfig,
    RetryPolicy, SubmitError,
};
use futures_util::FutureExt;
use parking_lot::Mutex;
use proptest::prelude::*;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::time::sleep;

#[derive(Clone, Debug)]
enum Step {
    Submit(u8),
    /// Tells the n-th running operation to succeed, or its attempt to fail.
    End(usize, bool),
    Cancel(usize),
    Move(usize, u8),
    Pause,
    Resume,
    PauseAdmission,
    ResumeAdmission,
    Resize(usize),
    Clear,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0u8..3).prop_map(Step::Submit),
        6 => (any::<usize>(), any::<bool>()).prop_map(|(which, well)| Step::End(which, well)),
        3 => any::<usize>().prop_map(Step::Cancel),
        3 => (any::<usize>(), 0u8..3).prop_map(|(which, level)| Step::Move(which, level)),
        1 => Just(Step::Pause),
        3 => Just(Step::Resume),
        1 => Just(Step::PauseAdmission),
        2 => Just(Step::ResumeAdmission),
        1 => (1..=MOST).prop_map(Step::Resize),
        1 => Just(Step::Clear),
    ]
}

const CAPACITY: usize = 6;
const LIMIT: usize = 2;
const MOST: usize = 4;

#[derive(Clone, Debug, PartialEq)]
enum Place {
    /// When it came into its level.
    Waits(u64),
    Runs,
    Over(Result<(), OperationError<()>>),
}

#[derive(Debug)]
struct One {
    level: u8,
    attempts: u32,
    place: Place,
}

struct Model {
    all: Vec<One>,
    arrivals: u64,
    limit: usize,
    paused: bool,
    shut: bool,
    /// Which operation began, and which attempt of it, in order.
    began: Vec<(usize, u32)>,
}

impl Model {
    fn arrive(&mut self) -> Place {
        self.arrivals += 1;
        Place::Waits(self.arrivals)
    }

    fn running(&self) -> Vec<usize> {
        let numbers = 0..self.all.len();
        numbers
            .filter(|number| self.all[*number].place == Place::Runs)
            .collect()
    }

    fn waiting(&self) -> usize {
        self.all
            .iter()
            .filter(|one| matches!(one.place, Place::Waits(_)))
            .count()
    }

    fn start(&mut self) {
        while !self.paused && self.running().len() < self.limit {
            let next = self
                .all
                .iter()
                .enumerate()
                .filter_map(|(number, one)| match one.place {
                    Place::Waits(arrival) => Some((one.level, arrival, number)),
                    _ => None,
                });
            let Some((_, _, number)) = next.min() else {
                break;
            };
            let one = &mut self.all[number];
            one.attempts += 1;
            one.place = Place::Runs;
            self.began.push((number, one.attempts));
        }
    }

    fn end(&mut self, number: usize, well: bool) {
        let attempts = self.all[number].attempts;
        self.all[number].place = match (well, attempts) {
            (true, _) => Place::Over(Ok(())),
            // One retry, at once.
            (false, 1) => self.arrive(),
            (false, _) => Place::Over(Err(OperationError::Failed {
                error: (),
                attempts,
            })),
        };
    }

    fn cancel(&mut self, number: usize, reason: CancelReason) -> bool {
        let one = &mut self.all[number];
        let is_over = matches!(one.place, Place::Over(_));
        if !is_over {
            let attempts = one.attempts;
            one.place = Place::Over(Err(OperationError::Cancelled { reason, attempts }));
        }
        !is_over
    }
}

/// What the test holds of an operation.
struct Held {
    handle: OperationHandle<(), ()>,
    tell: UnboundedSender<bool>,
}

type Log = Arc<Mutex<Vec<(usize, u32)>>>;

/// Submits an operation whose attempts wait to be told how to end.
fn submit(
    queue: &AsyncOperationQueue,
    number: usize,
    level: u8,
    log: &Log,
) -> Result<Held, SubmitError<()>> {
    let (tell, told) = unbounded_channel();
    let (told, log) = (Arc::new(tokio::sync::Mutex::new(told)), Arc::clone(log));
    let operation = queue.operation(move |cx| {
        log.lock().push((number, cx.attempt()));
        let told = Arc::clone(&told);
        async move {
            match told.lock().await.recv().await {
                Some(true) => Ok(()),
                _ => Err(()),
            }
        }
    });
    let submitted = operation.priority(Priority::Level(level)).try_submit();
    let handle = submitted.map_err(|error| error.map(drop))?;
    Ok(Held { handle, tell })
}

async fn play(steps: Vec<Step>) -> Result<(), TestCaseError> {
    let config = QueueConfig::default()
        .max_concurrent(LIMIT)
        .priority_levels(3)
        .capacity(CAPACITY)
        .timeout(None)
        .ageing(None)
        .retry(RetryPolicy::fixed(1, Duration::ZERO));
    let queue = AsyncOperationQueue::new(config).unwrap();
    let (log, mut held) = (Log::default(), Vec::<Held>::new());
    let mut model = Model {
        all: Vec::new(),
        arrivals: 0,
        limit: LIMIT,
        paused: false,
        shut: false,
        began: Vec::new(),
    };
    for step in steps {
        match step {
            Step::Submit(level) => match submit(&queue, held.len(), level, &log) {
                Ok(one) => {
                    // Retries are never refused, and a submitter need not have seen those that came just now.
                    prop_assert!(!model.shut && model.waiting() < CAPACITY + MOST);
                    held.push(one);
                    let place = model.arrive();
                    model.all.push(One {
                        level,
                        attempts: 0,
                        place,
                    });
                }
                Err(SubmitError::Paused(())) => prop_assert!(model.shut),
                Err(SubmitError::Full(())) => {
                    prop_assert!(!model.shut && model.waiting() >= CAPACITY)
                }
                Err(other) => prop_assert!(false, "{:?}", other),
            },
            Step::End(which, well) => {
                let running = model.running();
                if !running.is_empty() {
                    let number = running[which % running.len()];
                    held[number].tell.send(well).unwrap();
                    model.end(number, well);
                }
            }
            Step::Cancel(which) if !held.is_empty() => {
                let number = which % held.len();
                let cancelled = model.cancel(number, CancelReason::Asked);
                // By handle and by number in turn: they are the same.
                let said = if number % 2 == 0 {
                    held[number].handle.cancel()
                } else {
                    queue.cancel(held[number].handle.id())
                };
                prop_assert_eq!(said, cancelled);
            }
            Step::Move(which, level) if !held.is_empty() => {
                let number = which % held.len();
                let waits = matches!(model.all[number].place, Place::Waits(_));
                let said = held[number].handle.set_priority(Priority::Level(level));
                prop_assert_eq!(said, Ok(waits));
                if waits && model.all[number].level != level {
                    model.all[number].level = level;
                    model.all[number].place = model.arrive();
                }
            }
            Step::Pause => {
                queue.pause();
                model.paused = true;
            }
            Step::Resume => {
                queue.resume();
                model.paused = false;
            }
            Step::PauseAdmission => {
                queue.pause_admission();
                model.shut = true;
            }
            Step::ResumeAdmission => {
                queue.resume_admission();
                model.shut = false;
            }
            Step::Resize(limit) => {
                queue.resize(limit).unwrap();
                model.limit = limit;
            }
            Step::Clear => {
                prop_assert_eq!(queue.clear(), model.waiting());
                for number in 0..held.len() {
                    if matches!(model.all[number].place, Place::Waits(_)) {
                        model.cancel(number, CancelReason::Cleared);
                    }
                }
            }
            Step::Cancel(_) | Step::Move(..) => {}
        }
        model.start();
        // Time for everybody to do what there is to do.
        sleep(Duration::from_millis(1)).await;
        prop_assert_eq!(&*log.lock(), &model.began);
        let status = queue.status();
        prop_assert_eq!(
            (status.pending, status.running),
            (model.waiting(), model.running().len())
        );
        prop_assert_eq!(
            (status.is_paused, status.is_admission_paused),
            (model.paused, model.shut)
        );
    }
    // Whatever is left succeeds, and the queue comes to its end.
    for one in &held {
        one.tell.send(true).ok();
    }
    let left = model.waiting() + model.running().len();
    let report = queue.drain().await;
    prop_assert_eq!((report.finished, report.cut.len()), (left as u64, 0));
    for (mut one, expected) in held.into_iter().zip(model.all) {
        let result = (&mut one.handle).now_or_never();
        let expected = match expected.place {
            Place::Over(result) => result,
            _ => Ok(()),
        };
        prop_assert_eq!(result, Some(expected));
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_sequence_of_calls_agrees_with_a_sorted_list(steps in prop::collection::vec(step(), 1..80)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        // A queue that hangs is found, too: nothing here takes an hour of a clock that is paused.
        let played = runtime.block_on(async { tokio::time::timeout(Duration::from_secs(3_600), play(steps)).await });
        prop_assert!(played.is_ok(), "it has not come to its end");
        played.unwrap()?;
    }
}
