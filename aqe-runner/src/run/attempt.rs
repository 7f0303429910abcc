//! One attempt at one test, in a process of its own.

use std::sync::Arc;
use std::time::Duration;

use super::Event;
use super::floor::Floor;
use super::history::{CHATTY_BYTES, Past};
use super::plan::Case;
use crate::launcher::{Exit as ProcessExit, Finished, LaunchError, Output, StopMode};
use crate::libtest::{Completion, PanicSummary, completion, panic_summary, should_panic_remark};
use crate::model::{
    Attempt, AttemptResult, Excerpt, ExcerptLimit, Exit, Failure, OutputExcerpt, UnixMillis,
};

/// What a first attempt leaves out because of what earlier runs saw.
#[derive(Clone, Copy, Debug, Default)]
struct Shortcuts {
    /// A test that prints millions of lines is slowed down tenfold by handing each to the system: its harness holds them.
    held: bool,
    /// A test that panics and passes: its backtrace takes far longer than the test, and nobody reads it.
    silent: bool,
    /// A test that did not pass that way: it is not tried again, for as long as it prints what looks like a backtrace.
    needs_backtraces: bool,
}

/// Runs a test once and says what came of it.
///
/// A test that panicked when it last passed runs without backtraces. If it fails that way it is run again as if nothing
/// had been, and only that counts: the first process was no attempt.
pub(super) async fn attempt(floor: &Floor, case: &Case, number: u32) -> Attempt {
    let past = case.past.filter(|_| number == 1).unwrap_or_default();
    let shortcuts = Shortcuts {
        held: past.chatty,
        silent: past.panics && floor.backtraces,
        needs_backtraces: past.needs_backtraces,
    };
    let attempt = one_process(floor, case, number, shortcuts).await;
    if attempt.result.is_pass() || attempt.result == AttemptResult::Cancelled {
        return attempt;
    }
    if shortcuts.held || shortcuts.silent {
        // The next run is to see everything again.
        let past = Past {
            duration: past.duration,
            ..Past::default()
        };
        floor.events.remember(case.id(), past);
    }
    // A backtrace that was not printed has kept nobody from ending in time.
    if !shortcuts.silent || matches!(attempt.result, AttemptResult::TimedOut { .. }) {
        return attempt;
    }
    let shortcuts = Shortcuts {
        needs_backtraces: true,
        ..Shortcuts::default()
    };
    one_process(floor, case, number, shortcuts).await
}

async fn one_process(floor: &Floor, case: &Case, number: u32, shortcuts: Shortcuts) -> Attempt {
    let events = floor.events.clone();
    let test = case.id();
    let mut launch = floor
        .launch(&case.binary.program)
        .args(arguments(case, shortcuts.held))
        .timeout(floor.settings.timeout)
        .on_start(move || events.show(Event::AttemptStarted { test, number }));
    if shortcuts.silent {
        launch = launch.env(BACKTRACE, "0");
    }
    let started = UnixMillis::now();
    let mut running = floor.control.launch(launch);
    let finished = tokio::select! {
        finished = &mut running => finished,
        () = floor.control.until_halted() => {
            // What has not begun is not to begin.
            if running.pid().is_none() {
                running.stop(StopMode::Graceful);
            }
            running.await
        }
    };
    match finished {
        Ok(finished) => judge(floor, case, number, finished, shortcuts).started(started),
        Err(error) => not_started(number, &error).started(started),
    }
}

fn arguments(case: &Case, held: bool) -> impl Iterator<Item = &str> {
    let optional = [
        (!held, "--nocapture"),
        (case.ignored, "--ignored"),
        // Without it a libtest process asks the system how many processors there are.
        (case.accepts_test_threads, "--test-threads=1"),
    ];
    [case.name.as_str(), "--exact"].into_iter().chain(
        optional
            .into_iter()
            .filter_map(|(wanted, argument)| wanted.then_some(argument)),
    )
}

fn not_started(number: u32, error: &LaunchError) -> Attempt {
    let result = match error {
        LaunchError::Stopped => AttemptResult::Cancelled,
        other => AttemptResult::Failed(Failure::NotStarted {
            message: with_causes(other),
        }),
    };
    Attempt::new(number, result)
}

/// An error and what caused it, in one line.
pub(super) fn with_causes(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

fn judge(
    floor: &Floor,
    case: &Case,
    number: u32,
    finished: Finished,
    shortcuts: Shortcuts,
) -> Attempt {
    let result = result(&finished, floor.settings.timeout);
    let bytes = finished.stdout.total_bytes() + finished.stderr.total_bytes();
    let attempt = Attempt::new(number, result)
        .lasting(finished.wall)
        .leaked(finished.leaked.is_some())
        .wrote(bytes, shortcuts.held);
    if attempt.result.is_pass() {
        // What was held back was not counted, and what was not printed not seen.
        let panics = shortcuts.silent || has_backtrace(&finished);
        let past = Past {
            duration: finished.wall,
            chatty: shortcuts.held || bytes >= CHATTY_BYTES,
            panics: panics && !shortcuts.needs_backtraces,
            needs_backtraces: panics && shortcuts.needs_backtraces,
        };
        floor.events.remember(case.id(), past);
        return attempt;
    }
    let summary = summary(&finished, case);
    let stdout = excerpt(floor, finished.stdout);
    let stderr = excerpt(floor, finished.stderr);
    attempt
        .summary(summary)
        .output(Some(OutputExcerpt::new(stdout, stderr)))
}

fn result(finished: &Finished, timeout: Option<Duration>) -> AttemptResult {
    if finished.timed_out {
        return AttemptResult::TimedOut {
            after: timeout.unwrap_or(finished.wall),
        };
    }
    let exit = exit_of(finished.exit);
    if let Some(failure) = Failure::of_exit(exit) {
        // A process that was told to end says nothing about its test by ending.
        return if finished.stopped {
            AttemptResult::Cancelled
        } else {
            AttemptResult::Failed(failure)
        };
    }
    if exited_early(exit, finished) {
        return if finished.stopped {
            AttemptResult::Cancelled
        } else {
            AttemptResult::Failed(Failure::ExitedEarly)
        };
    }
    AttemptResult::Passed
}

/// Whether the process ended with code 0 and without the result that its harness owes.
///
/// When the test closed standard output there is nowhere to look for the result, and the exit code has to do.
fn exited_early(exit: Exit, finished: &Finished) -> bool {
    if finished.stdout_closed_early {
        return false;
    }
    let Ok(head) = finished.stdout.read_head(LOOK_FOR_START) else {
        return false;
    };
    let Ok(tail) = finished.stdout.read_tail(LOOK_FOR_RESULT) else {
        return false;
    };
    completion(exit, &head, &tail) == Completion::ExitedEarly
}

pub(super) fn exit_of(exit: ProcessExit) -> Exit {
    match exit {
        ProcessExit::Code(code) => Exit::Code(code),
        ProcessExit::Signal {
            number,
            core_dumped,
        } => Exit::Signal {
            signal: number,
            core_dumped,
        },
    }
}

/// One line that says why the test failed: its panic, wherever the harness put it, the harness' remark on a panic that
/// should have been, or the error that the test returned.
fn summary(finished: &Finished, case: &Case) -> Option<String> {
    let tail = |stream: &Output| stream.read_tail(LOOK_FOR_PANIC).unwrap_or_default();
    let (stderr, stdout) = (tail(&finished.stderr), tail(&finished.stdout));
    let text = String::from_utf8_lossy(&stdout);
    if let Some(remark) = should_panic_remark(&text) {
        return Some(remark.to_owned());
    }
    [&stderr, &stdout]
        .into_iter()
        .find_map(|stream| panic_summary(stream, Some(case.name.as_str())))
        .map(|panic| format!("{}: {}", panic.location, panic.message))
        .or_else(|| returned_error(&stderr))
}

/// `Error: …`, which the standard library prints for a test that returns one, and says nothing after it.
fn returned_error(stderr: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(stderr);
    let last = text.lines().next_back()?;
    let short: String = last.chars().take(PanicSummary::MAX_MESSAGE_CHARS).collect();
    last.starts_with("Error: ").then_some(short)
}

/// Whether a backtrace was printed, wherever the harness put it.
fn has_backtrace(finished: &Finished) -> bool {
    [&finished.stderr, &finished.stdout]
        .into_iter()
        .any(|stream| {
            !stream.is_empty()
                && stream.read_head(LOOK_FOR_PANIC).is_ok_and(|head| {
                    head.windows(BACKTRACE_BEGINS.len())
                        .any(|window| window == BACKTRACE_BEGINS)
                })
        })
}

/// Cuts a stream, and keeps the file that holds the whole of it, or its start, if it was spilled.
fn excerpt(floor: &Floor, output: Output) -> Excerpt {
    let head = output.read_head(KEPT.head + KEPT.tail).unwrap_or_default();
    let tail = output.read_tail(KEPT.tail).unwrap_or_default();
    let excerpt = Excerpt::from_ends(&head, &tail, output.total_bytes(), KEPT);
    if output.file().is_none() || !floor.may_keep(output.len()) {
        return excerpt;
    }
    let in_file = output.len() - output.tail().len() as u64;
    match output.keep_file() {
        Some(path) => excerpt
            .spilled_to(path.to_string_lossy())
            .spilled_up_to(in_file),
        None => excerpt,
    }
}

/// Reaches past what a harness prints before its test.
const LOOK_FOR_START: usize = 4 * 1024;
/// Others may write after the harness: what runs at the exit of the process, and children that it left.
const LOOK_FOR_RESULT: usize = 64 * 1024;
const LOOK_FOR_PANIC: usize = 64 * 1024;
/// The line before a backtrace of the standard library.
const BACKTRACE_BEGINS: &[u8] = b"stack backtrace:";
/// The variable by which backtraces are asked for.
pub(super) const BACKTRACE: &str = "RUST_BACKTRACE";
/// What is kept of a stream of a test that failed. The rest is in its file, or left out with a mark.
const KEPT: ExcerptLimit = ExcerptLimit {
    head: 16 * 1024,
    tail: 48 * 1024,
};

/// Shared by everyone who starts tests: the case and what its attempts have come to so far.
#[derive(Debug)]
pub(super) struct Trial {
    pub(super) case: Arc<Case>,
    /// Attempts that did not pass, without their output.
    failed: parking_lot::Mutex<Vec<Attempt>>,
}

impl Trial {
    pub(super) fn new(case: Arc<Case>) -> Arc<Self> {
        Arc::new(Self {
            case,
            failed: parking_lot::Mutex::new(Vec::new()),
        })
    }

    /// Takes an attempt in and returns the verdict on all of them so far, with their time together.
    pub(super) fn judge_with(&self, attempt: &Attempt) -> (crate::model::Verdict, Duration) {
        let mut attempts = self.failed.lock();
        let mut attempt = attempt.clone();
        attempt.output = None;
        attempts.push(attempt);
        verdict_on(&attempts)
    }

    /// The verdict on the attempts that were made, when no other one will be.
    pub(super) fn verdict(&self) -> (crate::model::Verdict, Duration) {
        verdict_on(&self.failed.lock())
    }
}

fn verdict_on(attempts: &[Attempt]) -> (crate::model::Verdict, Duration) {
    let time = attempts.iter().map(|attempt| attempt.duration).sum();
    (crate::model::Verdict::of(attempts), time)
}
