//! What everything that runs in a run shares.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use aqe_core::config::RunSettings;

use super::recorder::EventSender;
use super::{Event, RunControl, TestOutput};
use crate::launcher::{Capture, Launch, OutputMode, Program};
use crate::model::{TestId, Verdict};

/// The shop floor of a run: how processes are started, where events go and what the limits are.
#[derive(Debug)]
pub(super) struct Floor {
    pub(super) control: RunControl,
    pub(super) events: EventSender,
    pub(super) settings: RunSettings,
    pub(super) output: TestOutput,
    /// Where output goes that does not fit in memory; `None` when there is no such folder.
    pub(super) spill: Option<PathBuf>,
    /// Bytes of spilled output that may still be kept after their test.
    pub(super) spill_left: AtomicU64,
    pub(super) next_batch: AtomicU64,
    /// Whether tests were asked for backtraces, by this process's environment.
    pub(super) backtraces: bool,
}

impl Floor {
    /// A start of `program` with the limits of this run, all but the timeout.
    pub(super) fn launch(&self, program: &std::sync::Arc<Program>) -> Launch {
        let launch = Launch::new(program)
            .grace(self.settings.grace_period)
            .leak_timeout(self.settings.leak_timeout);
        match self.output {
            TestOutput::Inherited => launch.output(OutputMode::Inherit),
            TestOutput::Captured => launch.output(OutputMode::Capture(self.capture())),
        }
    }

    fn capture(&self) -> Capture {
        let memory = usize::try_from(self.settings.max_output.as_u64()).unwrap_or(usize::MAX);
        let capture = Capture::default().memory_limit(memory);
        match &self.spill {
            Some(folder) => capture.spill_directory(folder.clone()),
            None => capture,
        }
    }

    /// Says whether a spill file of this size may be kept.
    pub(super) fn may_keep(&self, bytes: u64) -> bool {
        // Relaxed: nothing hangs on it but the number itself.
        self.spill_left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                left.checked_sub(bytes)
            })
            .is_ok()
    }

    /// Tells the verdict of a test, and lets nothing more start when it was the first failure that should end the run.
    pub(super) fn settle(&self, test: TestId, verdict: Verdict, duration: std::time::Duration) {
        let ends_run = self.settings.fail_fast && verdict.is_failure();
        self.events.send(Event::TestFinished {
            test,
            verdict,
            duration,
        });
        if ends_run {
            self.control.start_nothing_more();
        }
    }
}
