//! The run's own series.

use aqe_core::monitor::registry::{
    Counter, Family, Gauge, Histogram, HistogramSnapshot, Metric, RegisterError, Registry, Unit,
};
use aqe_runner::model::Verdict;
use aqe_runner::run::Event;

/// What is counted of a run. All series are there from the first tick on.
pub(super) struct Series {
    running: Gauge,
    left: Gauge,
    retries: Counter,
    finished: Family<Counter>,
    durations: Histogram,
}

/// The words for verdicts, as in the program's JSON.
const VERDICTS: [&str; 7] = [
    "passed",
    "leaked",
    "flaky",
    "failed",
    "timed-out",
    "ignored",
    "cancelled",
];

fn word(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Passed => "passed",
        Verdict::Leaked => "leaked",
        Verdict::Flaky { .. } => "flaky",
        Verdict::Failed(_) => "failed",
        Verdict::TimedOut { .. } => "timed-out",
        Verdict::Ignored { .. } => "ignored",
        Verdict::Cancelled => "cancelled",
        // One that this program does not know yet.
        _ => "other",
    }
}

impl Series {
    pub(super) fn new(registry: &Registry) -> Result<Self, RegisterError> {
        let finished = Metric::new("tests_finished_total").help("Tests with a verdict.");
        let finished = registry.counters(finished)?;
        for verdict in VERDICTS {
            finished.with(&[("verdict", verdict)]);
        }
        let durations = Metric::new("test_duration_seconds")
            .help("How long all attempts at a test took together.")
            .unit(Unit::Seconds);
        let running = Metric::new("tests_running")
            .help("Tests that run; a batch, which runs one after the other, is one.");
        let left = Metric::new("tests_left").help("Tests that are to run and have no verdict.");
        let retries = Metric::new("test_retries_total").help("Attempts after the first.");
        Ok(Self {
            running: registry.gauge(running)?,
            left: registry.gauge(left)?,
            retries: registry.counter(retries)?,
            finished,
            durations: registry.histogram(durations)?,
        })
    }

    pub(super) fn count(&self, event: &Event) {
        match event {
            Event::RunStarted(started) => self.left.set(started.tests as f64),
            Event::AttemptStarted { .. } | Event::BatchStarted { .. } => self.running.increment(),
            Event::BatchFinished { .. } => self.running.decrement(),
            Event::AttemptFinished {
                attempt,
                will_retry,
                ..
            } => {
                // Those of a batch did not start by themselves.
                if !attempt.batched {
                    self.running.decrement();
                }
                self.retries.add(u64::from(*will_retry));
            }
            Event::TestFinished {
                verdict, duration, ..
            } => {
                self.finished
                    .with(&[("verdict", word(verdict))])
                    .increment();
                // The ignored ones were not to run, and do not count among those left.
                if !matches!(verdict, Verdict::Ignored { .. }) {
                    self.left.decrement();
                }
                if !matches!(verdict, Verdict::Ignored { .. } | Verdict::Cancelled) {
                    self.durations.record_duration(*duration);
                }
            }
            _ => {}
        }
    }

    pub(super) fn durations(&self) -> HistogramSnapshot {
        self.durations.snapshot()
    }
}
