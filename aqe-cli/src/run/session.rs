//! A run that can be watched from elsewhere: what its events say, kept for whoever asks.
//!
//! Events are counted under one lock on the reporter's own thread, which nobody else takes while nobody asks.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use aqe_core::monitor::sampler::{Parts, System};
use aqe_core::session::{Failed, Machine, Running, SessionError, SessionServer, Status};
use aqe_core::state::StateFolder;
use aqe_runner::journal::RunCounts;
use aqe_runner::model::{TestId, Verdict};
use aqe_runner::run::{Event, Reporter};

use crate::failure::with_causes;
use crate::output;
use crate::report::text::one_line;
use crate::report::{Board, Plan};

/// Between two looks at the machine; shares of shorter times are noise.
const FRESH: Duration = Duration::from_millis(90);

/// What a run has told so far, for another thread.
#[derive(Clone, Debug)]
pub(super) struct Watch(Arc<Mutex<Told>>);

#[derive(Debug)]
struct Told {
    /// From which all times of the board count.
    origin: Instant,
    board: Board,
    run: String,
    planned: u64,
    slots: usize,
    counts: RunCounts,
    failures: VecDeque<(TestId, Verdict)>,
    stopping: bool,
}

/// Passes events on, and notes them.
pub(super) struct Watched<R> {
    inner: R,
    watch: Watch,
}

/// Lets a run be watched.
pub(super) fn watched<R: Reporter>(inner: R) -> (Watched<R>, Watch) {
    let told = Told {
        origin: Instant::now(),
        board: Board::default(),
        run: String::new(),
        planned: 0,
        slots: 0,
        counts: RunCounts::default(),
        failures: VecDeque::new(),
        stopping: false,
    };
    let watch = Watch(Arc::new(Mutex::new(told)));
    let watched = Watched {
        inner,
        watch: watch.clone(),
    };
    (watched, watch)
}

/// Serves what the run tells, for as long as the result lives. A run that cannot be watched is run all the same.
pub(super) fn serve(state: &StateFolder, watch: Watch) -> Option<SessionServer> {
    let mut machine = Sampled::default();
    let status = move || {
        let machine = machine.look(Instant::now());
        let mut status = watch.lock().status(Instant::now());
        status.machine = machine;
        status
    };
    match SessionServer::start(state, status) {
        Ok(server) => Some(server),
        // It is so on every run there, and nobody can change it.
        Err(SessionError::Unsupported) => None,
        Err(error) => {
            let why = with_causes(&error);
            output::complain(&format!(
                "warning: `aqe monitor` will not see this run: {why}\n"
            ));
            None
        }
    }
}

impl Watch {
    /// A panic while the lock was held left an event half counted at worst.
    fn lock(&self) -> MutexGuard<'_, Told> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Told {
    fn event(&mut self, event: &Event, now: Instant) {
        let since = now.saturating_duration_since(self.origin);
        match event {
            Event::RunStarted(started) => {
                self.run = started.run.to_string();
                self.planned = started.tests;
                self.slots = started.jobs;
                self.board.begin(Plan::from(started), since);
                return;
            }
            Event::TestFinished { test, verdict, .. } => self.count(test, verdict),
            Event::Stopping { .. } => self.stopping = true,
            _ => {}
        }
        self.board.event(event, since);
    }

    fn count(&mut self, test: &TestId, verdict: &Verdict) {
        self.counts.add(verdict);
        if verdict.is_failure() {
            self.failures.truncate(Status::MAX_FAILURES - 1);
            self.failures.push_front((test.clone(), verdict.clone()));
        }
    }

    fn status(&self, now: Instant) -> Status {
        let mut status = Status::default();
        status.planned = self.planned;
        status.passed = self.counts.passes();
        status.flaky = self.counts.flaky;
        status.failed = self.counts.failures();
        status.skipped = self.counts.ignored + self.counts.cancelled;
        status.slots = self.slots as u64;
        status.stopping = self.stopping;
        status.failures = self.failures.iter().map(failed).collect();
        // Before the run has a name, tests are being listed.
        if self.run.is_empty() {
            return status;
        }
        status.run.clone_from(&self.run);
        let progress = self
            .board
            .progress(now.saturating_duration_since(self.origin));
        status.elapsed = progress.elapsed;
        status.done = progress.done;
        status.busy = progress.running.len() as u64;
        status.pending = status
            .planned
            .saturating_sub(status.done)
            .saturating_sub(status.busy);
        status.rate = progress.rate;
        status.left = progress.left;
        let running = progress.running.iter().take(Status::MAX_RUNNING);
        status.running = running
            .map(|(age, name)| Running::new(name, *age))
            .collect();
        status
    }
}

fn failed((test, verdict): &(TestId, Verdict)) -> Failed {
    let (binary, name) = (one_line(test.binary.as_str()), one_line(test.name.as_str()));
    Failed::new(&format!("{binary} {name}"), &one_line(&verdict.to_string()))
}

impl<R: Reporter> Reporter for Watched<R> {
    fn event(&mut self, event: &Event) {
        self.watch.lock().event(event, Instant::now());
        self.inner.event(event);
    }

    fn flush(&mut self) {
        self.inner.flush();
    }

    fn tick_after(&self) -> Option<Duration> {
        self.inner.tick_after()
    }

    fn tick(&mut self) {
        self.inner.tick();
    }
}

/// Looks at the machine, no more often than makes sense.
#[derive(Default)]
struct Sampled {
    /// What it holds open is not for a run that nobody watches.
    system: Option<System>,
    last: Option<(Instant, Machine)>,
}

impl Sampled {
    /// The machine since the look before; the first one knows no shares of time.
    fn look(&mut self, now: Instant) -> Machine {
        match self.last {
            Some((then, machine)) if now.saturating_duration_since(then) < FRESH => machine,
            _ => self.sample(now),
        }
    }

    fn sample(&mut self, now: Instant) -> Machine {
        let system = self
            .system
            .get_or_insert_with(|| System::new(Parts::basic()));
        let sample = system.sample(now);
        let mut machine = Machine::default();
        machine.cpu_ratio = sample.machine.cpu.map(|cpu| cpu.busy_ratio);
        machine.memory_ratio = sample.machine.memory_used_ratio();
        machine.memory_bytes = sample.machine.memory_bytes;
        machine.process_cpu = sample.process.cpu_used;
        machine.process_bytes = sample.process.resident_bytes;
        self.last = Some((now, machine));
        machine
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aqe_runner::model::Failure;

    fn finished(name: &str, verdict: Verdict) -> Event {
        Event::TestFinished {
            test: TestId::new("it", name),
            verdict,
            duration: Duration::ZERO,
        }
    }

    #[test]
    fn the_status_is_what_the_events_said() {
        let (_, watch) = watched(Box::new(Silent) as Box<dyn Reporter>);
        let mut told = watch.lock();
        let now = told.origin;
        assert_eq!(told.status(now), Status::default());

        let plan = Plan {
            tests: 9,
            ..Plan::default()
        };
        (told.run, told.planned, told.slots) = ("id".to_owned(), 9, 2);
        told.board.begin(plan, Duration::ZERO);
        let events = [
            Event::AttemptStarted {
                test: TestId::new("it", "a"),
                number: 1,
            },
            finished("b", Verdict::Passed),
            finished("c", Verdict::Flaky { attempts: 2 }),
            finished("d", Verdict::Failed(Failure::ExitCode { code: 101 })),
            finished(
                "e",
                Verdict::TimedOut {
                    after: Duration::from_secs(1),
                },
            ),
            finished("f", Verdict::Ignored { reason: None }),
        ];
        for event in events {
            told.event(&event, now);
        }
        let status = told.status(now + Duration::from_secs(2));
        assert_eq!(
            (status.passed, status.flaky, status.failed, status.skipped),
            (2, 1, 2, 1)
        );
        assert_eq!((status.done, status.busy, status.pending), (4, 1, 4));
        assert_eq!(status.rate, Some(2.0));
        assert_eq!(status.running[0].name, "it a");
        assert_eq!(status.running[0].age, Duration::from_secs(2));
        let failures: Vec<&str> = status.failures.iter().map(|it| &*it.name).collect();
        assert_eq!(failures, ["it e", "it d"]);
    }

    #[test]
    fn only_the_last_failures_are_kept() {
        let (_, watch) = watched(Box::new(Silent) as Box<dyn Reporter>);
        let mut told = watch.lock();
        for number in 0..100 {
            let verdict = Verdict::Failed(Failure::ExitedEarly);
            let event = finished(&number.to_string(), verdict);
            told.event(&event, Instant::now());
        }
        let status = told.status(Instant::now());
        assert_eq!(status.failures.len(), Status::MAX_FAILURES);
        assert_eq!(status.failures[0].name, "it 99");
        assert_eq!(status.failed, 100);
    }

    struct Silent;

    impl Reporter for Silent {
        fn event(&mut self, _: &Event) {}
    }
}
