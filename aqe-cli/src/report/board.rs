//! The status block: what a run is doing right now.

use std::collections::HashMap;
use std::time::Duration;

use aqe_runner::model::{BinaryId, TestId, TestName, Verdict};
use aqe_runner::run::Event;

use super::Plan;
use super::screen::{Size, fit, shown_width};
use super::style::Colors;
use super::text::one_line;

/// Running tests that are shown at most.
const MAX_SHOWN: usize = 8;

/// Cells of the bar.
const BAR: usize = 24;

/// Before this, and before this many tests, an estimate would be a guess.
const FIRST_ESTIMATE: (Duration, u64) = (Duration::from_millis(500), 3);

/// The state of a run. All times are counted from the same moment.
#[derive(Debug, Default)]
pub(crate) struct Board {
    plan: Plan,
    begun: Duration,
    finished: u64,
    failed: u64,
    flaky: u64,
    /// One entry per process that runs a single test, so no more than there are jobs.
    alone: HashMap<TestId, Duration>,
    batches: HashMap<u64, Batch>,
}

/// How far a run is.
#[derive(Debug)]
pub(crate) struct Progress {
    /// Since the first test could start.
    pub(crate) elapsed: Duration,
    pub(crate) done: u64,
    /// Tests a second.
    pub(crate) rate: Option<f64>,
    pub(crate) left: Option<Duration>,
    /// What runs and for how long, longest first.
    pub(crate) running: Vec<(Duration, String)>,
}

#[derive(Debug)]
struct Batch {
    binary: BinaryId,
    tests: u64,
    /// Tests that its harness has spoken of; none has a verdict yet.
    spoken: u64,
    running: Option<TestName>,
    since: Duration,
}

impl Board {
    pub(crate) fn begin(&mut self, plan: Plan, now: Duration) {
        self.plan = plan;
        self.begun = now;
    }

    pub(crate) fn event(&mut self, event: &Event, now: Duration) {
        match event {
            Event::AttemptStarted { test, .. } => {
                self.alone.insert(test.clone(), now);
            }
            Event::AttemptFinished { test, .. } => {
                self.alone.remove(test);
            }
            Event::BatchStarted {
                batch,
                binary,
                tests,
            } => {
                let batch_state = Batch {
                    binary: binary.clone(),
                    tests: *tests as u64,
                    spoken: 0,
                    running: None,
                    since: now,
                };
                self.batches.insert(*batch, batch_state);
            }
            Event::BatchProgress {
                batch,
                tests,
                running,
            } => {
                if let Some(batch) = self.batches.get_mut(batch) {
                    batch.spoken = batch.spoken.saturating_add(*tests).min(batch.tests);
                    batch.running.clone_from(running);
                    batch.since = now;
                }
            }
            Event::BatchFinished { batch, .. } => {
                self.batches.remove(batch);
            }
            Event::TestFinished { test, verdict, .. } => self.finish(test, verdict),
            _ => {}
        }
    }

    fn finish(&mut self, test: &TestId, verdict: &Verdict) {
        self.alone.remove(test);
        // Ignored tests are no part of the plan's number.
        if matches!(verdict, Verdict::Ignored { .. }) {
            return;
        }
        self.finished += 1;
        self.failed += u64::from(verdict.is_failure());
        self.flaky += u64::from(matches!(verdict, Verdict::Flaky { .. }));
    }

    /// The figures of the block.
    pub(crate) fn progress(&self, now: Duration) -> Progress {
        let elapsed = now.saturating_sub(self.begun);
        let done = self.done();
        let running = self.running().into_iter();
        Progress {
            elapsed,
            done,
            rate: rate(done, elapsed),
            left: self.time_left(elapsed),
            running: running
                .map(|(since, what)| (now.saturating_sub(since), what))
                .collect(),
        }
    }

    /// The lines of the block, none wider than the terminal less one cell: a character in the last cell would leave
    /// the cursor in a place that terminals do not agree on.
    pub(super) fn lines(&self, now: Duration, size: Size, colors: Colors) -> Vec<String> {
        if self.plan.tests == 0 {
            return Vec::new();
        }
        let cells = size.width.saturating_sub(1);
        let mut lines = vec![self.headline(now, cells, colors)];
        // The block must not be higher than the terminal: what has scrolled out cannot be taken away.
        let room = MAX_SHOWN.min(size.height.saturating_sub(3));
        let mut running = self.running();
        let hidden = running.len().saturating_sub(room);
        running.truncate(room);
        for (since, what) in running {
            let line = format!("{:>8}  {what}", age(now.saturating_sub(since)));
            lines.push(fit(&line, cells));
        }
        if hidden > 0 && room > 0 {
            lines.push(fit(&format!("{:>8}  and {hidden} more", ""), cells));
        }
        lines
    }

    fn headline(&self, now: Duration, cells: usize, colors: Colors) -> String {
        let (done, total) = (self.done(), self.plan.tests);
        let mut text = format!("{done}/{total}");
        let elapsed = now.saturating_sub(self.begun);
        if let Some(rate) = rate(done, elapsed) {
            text.push_str(&format!("  {}/s", short(rate)));
        }
        if let Some(left) = self.time_left(elapsed) {
            text.push_str(&format!("  {} left", age(left)));
        }
        let mut counts = Vec::new();
        if self.failed > 0 {
            counts.push((format!("{} failed", self.failed), true));
        }
        if self.flaky > 0 {
            counts.push((format!("{} flaky", self.flaky), false));
        }
        let bar = bar(done, total);
        let mut line = if cells >= bar.len() + text.len() + 28 {
            format!("{bar} {text}")
        } else {
            text
        };
        line = fit(&line, cells);
        for (count, is_bad) in counts {
            let used = shown_width(&line);
            let count = fit(&count, cells.saturating_sub(used + 2));
            if count.is_empty() {
                break;
            }
            let count = if is_bad {
                colors.bad(count)
            } else {
                colors.odd(count)
            };
            line.push_str(&format!("  {count}"));
        }
        line
    }

    /// Tests with a verdict, and those that the harnesses of running batches have spoken of: at the end of a batch the
    /// ones that have to run again alone are taken back.
    fn done(&self) -> u64 {
        let spoken: u64 = self.batches.values().map(|batch| batch.spoken).sum();
        (self.finished + spoken).min(self.plan.tests)
    }

    /// The time that the tests that are left take if they cost on average what the finished ones did: what is left times
    /// elapsed by done. It errs when the slow ones come last; then at least it grows no faster than the clock. Once
    /// nothing waits any more, the tests that still run are shown with their ages, and there is no estimate.
    fn time_left(&self, elapsed: Duration) -> Option<Duration> {
        let done = self.done();
        let left = self.plan.tests.saturating_sub(done);
        let is_last = left <= self.alone.len() as u64;
        if elapsed < FIRST_ESTIMATE.0 || done < FIRST_ESTIMATE.1 || is_last {
            return None;
        }
        Duration::try_from_secs_f64(elapsed.as_secs_f64() * left as f64 / done as f64).ok()
    }

    /// What runs, longest first.
    fn running(&self) -> Vec<(Duration, String)> {
        let alone = self.alone.iter().map(|(test, since)| {
            (
                *since,
                format!(
                    "{} {}",
                    one_line(test.binary.as_str()),
                    one_line(test.name.as_str())
                ),
            )
        });
        let batches = self.batches.values().map(|batch| {
            let name = batch
                .running
                .as_ref()
                .map_or_else(String::new, |name| one_line(name.as_str()));
            let binary = one_line(batch.binary.as_str());
            (
                batch.since,
                format!("{binary} [{}/{}] {name}", batch.spoken, batch.tests),
            )
        });
        let mut running: Vec<_> = alone.chain(batches).collect();
        running.sort();
        running
    }
}

fn rate(done: u64, elapsed: Duration) -> Option<f64> {
    let is_known = elapsed >= FIRST_ESTIMATE.0 && done >= FIRST_ESTIMATE.1;
    is_known.then(|| done as f64 / elapsed.as_secs_f64())
}

pub(crate) fn short(rate: f64) -> String {
    if rate < 10.0 {
        format!("{rate:.1}")
    } else {
        format!("{rate:.0}")
    }
}

/// A time that changes while somebody looks: no finer than a tenth of a second.
pub(crate) fn age(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..10 => format!("{:.1}s", time.as_millis() as f64 / 1000.0),
        10..60 => format!("{seconds}s"),
        60..3600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        _ => format!("{}h{:02}m", seconds / 3600, seconds / 60 % 60),
    }
}

fn bar(done: u64, total: u64) -> String {
    let full = (done.min(total) * BAR as u64)
        .checked_div(total)
        .unwrap_or_default();
    let full = usize::try_from(full).unwrap_or(BAR);
    let tip = if full < BAR { ">" } else { "" };
    format!("[{:BAR$}]", format!("{}{tip}", "=".repeat(full)))
}
