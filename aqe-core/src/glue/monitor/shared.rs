//! What the monitor's thread and its handles share.

use std::collections::VecDeque;
use std::error::Error;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use aqe_monitor::registry::{Counter, Registry};
use aqe_monitor::sampler::Clock;

use super::MonitorTick;

/// How many different problems are remembered.
const MAX_PROBLEMS: usize = 32;

/// Bytes of a problem's text.
const MAX_TEXT: usize = 1_000;

/// How many parts are looked at. Each takes microseconds, and a program has some ten.
const MAX_PARTS: usize = 1_000;

/// Orders about runs that wait for the thread, or for the history to open.
#[cfg(feature = "monitor-history")]
const MAX_ORDERS: usize = 1_000;

/// Passes on what a part of the engine has counted; `false` when it is over and need not be asked again.
pub(super) type Part = Box<dyn FnMut() -> bool + Send>;

/// Something that went wrong in a monitor.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MonitorProblem {
    /// What, with its causes.
    pub what: String,
    /// How often.
    pub times: u64,
    /// When it was so last.
    pub last: SystemTime,
}

pub(super) struct Shared {
    pub(super) registry: Registry,
    pub(super) clock: Arc<dyn Clock>,
    /// Ends the thread's waiting. Set after the orders were changed, and cleared by the thread before it takes them, so
    /// that none is left lying.
    pub(super) roused: AtomicBool,
    orders: Mutex<Orders>,
    /// Notified when `Orders::answered` or `Orders::is_over` has changed.
    news: Condvar,
    latest: Mutex<Option<Arc<MonitorTick>>>,
    problems: Mutex<Problems>,
    problems_total: Counter,
}

/// What handles want of the thread, and how far it is.
#[derive(Default)]
struct Orders {
    stop: bool,
    /// Ticks that were asked for, and how many of these requests have been answered.
    asked: u64,
    answered: u64,
    is_over: bool,
    /// Parts that the thread does not have yet, by names for messages.
    parts: Vec<(String, Part)>,
    /// How many parts were ever added.
    parts_added: usize,
    #[cfg(feature = "monitor-history")]
    runs: VecDeque<super::runs::Order>,
    #[cfg(feature = "monitor-history")]
    next_run: u64,
}

/// What the thread takes.
pub(super) struct Taken {
    pub(super) stop: bool,
    /// The newest request of a tick, if there is one that has no answer yet.
    pub(super) asked: Option<u64>,
    pub(super) parts: Vec<(String, Part)>,
}

#[derive(Default)]
struct Problems {
    count: u64,
    recent: VecDeque<MonitorProblem>,
}

impl Shared {
    pub(super) fn new(registry: Registry, clock: Arc<dyn Clock>) -> Self {
        let total = registry.counter("aqe_monitor_problems_total");
        let (problems_total, clash) = match total {
            Ok(counter) => (counter, None),
            Err(error) => (Counter::default(), Some(error)),
        };
        let shared = Self {
            registry,
            clock,
            roused: AtomicBool::new(false),
            orders: Mutex::default(),
            news: Condvar::new(),
            latest: Mutex::default(),
            problems: Mutex::default(),
            problems_total,
        };
        if let Some(error) = clash {
            shared.problem(&error);
        }
        shared
    }

    /// Tells the thread to take its last tick.
    pub(super) fn end(&self) {
        lock(&self.orders).stop = true;
        self.rouse();
    }

    pub(super) fn wait_for_end(&self) {
        let mut orders = lock(&self.orders);
        while !orders.is_over {
            orders = self.wait(orders);
        }
    }

    /// Has a tick taken and waits for it; `false` if there are no more.
    pub(super) fn tick_now(&self) -> bool {
        let mut orders = lock(&self.orders);
        orders.asked += 1;
        let mine = orders.asked;
        drop(orders);
        self.rouse();
        orders = lock(&self.orders);
        while orders.answered < mine && !orders.is_over {
            orders = self.wait(orders);
        }
        orders.answered >= mine
    }

    fn wait<'g>(&self, orders: MutexGuard<'g, Orders>) -> MutexGuard<'g, Orders> {
        self.news
            .wait(orders)
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a part of the engine. A part that a name was given to twice is asked twice, to the same end.
    pub(super) fn add_part(&self, name: &str, part: Part) {
        let mut orders = lock(&self.orders);
        if orders.parts_added == MAX_PARTS {
            drop(orders);
            self.problem_text(&format!(
                "`{name}` is not looked at: a monitor looks at {MAX_PARTS} parts at most"
            ));
            return;
        }
        orders.parts_added += 1;
        orders.parts.push((name.to_owned(), part));
    }

    #[cfg(feature = "monitor-history")]
    pub(super) fn next_run(&self) -> u64 {
        let mut orders = lock(&self.orders);
        orders.next_run += 1;
        orders.next_run
    }

    #[cfg(feature = "monitor-history")]
    pub(super) fn order(&self, order: super::runs::Order) {
        let mut orders = lock(&self.orders);
        if orders.is_over {
            return;
        }
        if orders.runs.len() == MAX_ORDERS {
            drop(orders);
            self.problem_text(
                "what was said of runs comes too fast for the history, or the history cannot be opened",
            );
            return;
        }
        orders.runs.push_back(order);
        drop(orders);
        self.rouse();
    }

    /// Gives the orders about runs to somebody who has an open history.
    #[cfg(feature = "monitor-history")]
    pub(super) fn take_orders_of_runs(&self) -> VecDeque<super::runs::Order> {
        std::mem::take(&mut lock(&self.orders).runs)
    }

    pub(super) fn take(&self) -> Taken {
        self.roused.store(false, Ordering::Release);
        let mut orders = lock(&self.orders);
        Taken {
            stop: orders.stop,
            asked: (orders.asked > orders.answered).then_some(orders.asked),
            parts: std::mem::take(&mut orders.parts),
        }
    }

    /// All requests up to this one have their tick.
    pub(super) fn answer(&self, asked: u64) {
        lock(&self.orders).answered = asked;
        self.news.notify_all();
    }

    /// There are no more ticks.
    pub(super) fn over(&self) {
        let mut orders = lock(&self.orders);
        orders.is_over = true;
        // Parts hold handles of queues and stores.
        orders.parts.clear();
        drop(orders);
        self.news.notify_all();
    }

    fn rouse(&self) {
        self.roused.store(true, Ordering::Release);
        self.clock.wake();
    }

    pub(super) fn latest(&self) -> Option<Arc<MonitorTick>> {
        lock(&self.latest).clone()
    }

    pub(super) fn show(&self, tick: MonitorTick) {
        *lock(&self.latest) = Some(Arc::new(tick));
    }

    pub(super) fn problems(&self) -> Vec<MonitorProblem> {
        lock(&self.problems).recent.iter().cloned().collect()
    }

    pub(super) fn problem_count(&self) -> u64 {
        lock(&self.problems).count
    }

    pub(super) fn problem(&self, error: &dyn Error) {
        let mut text = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause.filter(|_| text.len() < MAX_TEXT) {
            text = format!("{text}: {error}");
            cause = error.source();
        }
        self.problem_text(&text);
    }

    pub(super) fn problem_text(&self, what: &str) {
        let what = &what[..what.floor_char_boundary(MAX_TEXT)];
        self.problems_total.increment();
        let last = self.clock.wall();
        let mut problems = lock(&self.problems);
        problems.count += 1;
        let recent = &mut problems.recent;
        let before = recent.iter().position(|problem| problem.what == what);
        let before = before.and_then(|at| recent.remove(at));
        if recent.len() == MAX_PROBLEMS {
            recent.pop_front();
        }
        recent.push_back(MonitorProblem {
            what: what.to_owned(),
            times: before.map_or(1, |problem| problem.times + 1),
            last,
        });
    }
}

/// Nothing that is done under these locks can panic halfway, so what they protect is whole whoever panicked.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("registry", &self.registry)
            .field("clock", &self.clock)
            .field("problems", &self.problem_count())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use aqe_monitor::sampler::ManualClock;

    use super::*;

    #[test]
    fn problems_are_bounded_and_those_that_recur_are_counted() {
        let shared = Shared::new(Registry::new(), Arc::new(ManualClock::new()));
        for number in 0..100 {
            shared.problem_text(&format!("number {number}"));
            shared.problem_text("always the same");
        }
        shared.problem_text(&"é".repeat(10_000));
        let problems = shared.problems();
        assert_eq!(problems.len(), MAX_PROBLEMS);
        assert_eq!(shared.problem_count(), 201);
        assert_eq!(problems[MAX_PROBLEMS - 1].what.len(), MAX_TEXT);
        let same = &problems[MAX_PROBLEMS - 2];
        assert_eq!((&*same.what, same.times), ("always the same", 100));
        let text = shared.registry.to_openmetrics();
        assert!(text.contains("aqe_monitor_problems_total 201\n"), "{text}");
    }
}
