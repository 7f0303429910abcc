//! What a run tells while it goes on.

use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

use super::StopReason;
use crate::journal::{RunCounts, RunId};
use crate::libtest;
use crate::model::{Attempt, BinaryId, TestId, TestName, UnixMillis, Verdict, micros};

/// Something that happened in a run, in the order in which it happened.
///
/// Whatever has a place in the journal is there before a [`Reporter`] sees it. As JSON each event is one object with the
/// kind in `event`; later versions may add kinds and fields, and change none.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Event {
    /// Everything is listed, and tests are about to start.
    RunStarted(RunStarted),
    /// The run goes on, but not as it should.
    Warning {
        /// What is wrong and what to do about it.
        message: String,
    },
    /// A process for one test was started.
    AttemptStarted {
        /// The test.
        #[serde(flatten)]
        test: TestId,
        /// The attempt, counted from 1.
        number: u32,
    },
    /// An attempt ended.
    AttemptFinished {
        /// The test.
        #[serde(flatten)]
        test: TestId,
        /// The attempt.
        attempt: Attempt,
        /// Whether another one follows.
        will_retry: bool,
    },
    /// A process for several tests was started (batch isolation).
    BatchStarted {
        /// Tells batches of this run apart.
        batch: u64,
        /// The binary.
        binary: BinaryId,
        /// How many tests it was asked to run.
        tests: usize,
    },
    /// The harness of a batch spoke of some of its tests. For display only: nothing is certain before the batch ends.
    BatchProgress {
        /// Which batch.
        batch: u64,
        /// How many tests have been spoken of since the last of these events.
        tests: u64,
        /// The test that is running now, if the harness says so.
        #[serde(skip_serializing_if = "Option::is_none")]
        running: Option<TestName>,
    },
    /// A batch ended. The verdicts of the tests that passed for certain follow; the others are run again, each alone.
    BatchFinished {
        /// Which batch.
        batch: u64,
        /// How long it took.
        #[serde(rename = "duration_us", with = "micros")]
        duration: Duration,
        /// Tests that have to run again alone.
        alone: Vec<RunAlone>,
    },
    /// A test has its final verdict.
    TestFinished {
        /// The test.
        #[serde(flatten)]
        test: TestId,
        /// The verdict.
        verdict: Verdict,
        /// The time of all its attempts together.
        #[serde(rename = "duration_us", with = "micros")]
        duration: Duration,
    },
    /// The run was told to stop; what runs is being ended or finished, and nothing more starts.
    Stopping {
        /// Why.
        reason: StopReason,
    },
    /// The last event.
    RunFinished {
        /// When, by the wall clock.
        finished: UnixMillis,
        /// How long it took, from the first test's start on.
        #[serde(rename = "duration_us", with = "micros")]
        duration: Duration,
        /// How many tests came to what.
        counts: RunCounts,
        /// Why it was told to end before everything had run, if it was.
        #[serde(skip_serializing_if = "Option::is_none")]
        stopped: Option<StopReason>,
    },
}

/// What a run is about to do.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct RunStarted {
    /// The run.
    pub run: RunId,
    /// When it started, by the wall clock.
    pub started: UnixMillis,
    /// Tests that will run.
    pub tests: u64,
    /// Binaries that have at least one of them.
    pub binaries: u64,
    /// Tests whose names are taken and which are not run because of their `#[ignore]` mark. Each has a verdict.
    pub ignored: u64,
    /// Tests that the name filters leave out.
    pub filtered_out: u64,
    /// How many processes run at the same time.
    pub jobs: usize,
    /// How tests are kept apart.
    pub isolation: &'static str,
    /// The journal, unless there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub journal: Option<PathBuf>,
}

/// A test of a batch that has no verdict yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct RunAlone {
    /// The test.
    pub test: TestName,
    /// Why the batch is not believed.
    pub reason: &'static str,
}

impl RunAlone {
    pub(super) fn new(test: TestName, reason: libtest::AloneReason) -> Self {
        use libtest::AloneReason as Reason;
        let reason = match reason {
            Reason::Failed => "failed",
            Reason::Ignored => "ignored",
            Reason::TimedOut => "timed-out",
            Reason::CutShort(_) => "cut-short",
            Reason::Missing => "missing",
            Reason::Contradicted => "contradicted",
            Reason::Untrusted => "untrusted",
        };
        Self { test, reason }
    }
}

/// Shows a run to somebody.
///
/// Called on one thread of its own, so that a slow terminal delays nothing but the display, until the run is so far
/// ahead that its bounded channel is full.
pub trait Reporter: Send {
    /// Takes the next event. What it stands for is on disk already.
    fn event(&mut self, event: &Event);

    /// All events that have come so far were taken: a good moment to write out what was gathered.
    fn flush(&mut self) {}

    /// When to call [`tick`](Self::tick) if nothing happens before; `None` for never.
    fn tick_after(&self) -> Option<Duration> {
        None
    }

    /// The time of [`tick_after`](Self::tick_after) has passed without an event.
    fn tick(&mut self) {}
}

impl<R: Reporter + ?Sized> Reporter for Box<R> {
    fn event(&mut self, event: &Event) {
        (**self).event(event);
    }

    fn flush(&mut self) {
        (**self).flush();
    }

    fn tick_after(&self) -> Option<Duration> {
        (**self).tick_after()
    }

    fn tick(&mut self) {
        (**self).tick();
    }
}
