//! What a view remembers of the tests that are over.

use std::collections::HashMap;

use aqe_runner::model::{Attempt, AttemptResult, Failure, TestId, Verdict};

use super::Plan;
use super::style::Human;
use super::text::short_line;

/// Tests of each kind that a summary names; of the others it tells the number. The journal has them all.
pub(super) const MAX_NAMED: usize = 1000;

/// Characters of a one-line reason.
const MAX_REASON: usize = 300;

/// A test that the summary names.
#[derive(Debug)]
pub(super) struct Noted {
    pub(super) test: TestId,
    pub(super) label: &'static str,
    pub(super) reason: String,
}

/// The first [`MAX_NAMED`] tests of a kind.
#[derive(Debug, Default)]
pub(super) struct Notes {
    pub(super) named: Vec<Noted>,
    pub(super) unnamed: u64,
}

impl Notes {
    fn add(&mut self, note: impl FnOnce() -> Noted) {
        if self.named.len() < MAX_NAMED {
            self.named.push(note());
        } else {
            self.unnamed += 1;
        }
    }
}

/// What is remembered. Memory: names and reasons of at most 3 × [`MAX_NAMED`] tests, and the last attempt of those whose
/// verdict is about to come.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    pub(super) plan: Plan,
    pub(super) failures: Notes,
    pub(super) flaky: Notes,
    pub(super) leaks: Notes,
    /// Why the last attempt that did not pass did not; for tests that are tried again.
    reasons: HashMap<TestId, String>,
    /// Attempts after which no other comes, until the verdict has come.
    last: HashMap<TestId, Attempt>,
}

impl Ledger {
    /// Takes an attempt.
    pub(super) fn attempt(&mut self, test: &TestId, attempt: &Attempt, will_retry: bool) {
        if will_retry {
            self.reasons
                .insert(test.clone(), reason_of_attempt(attempt));
        } else if !attempt.result.is_pass() {
            self.last.insert(test.clone(), attempt.clone());
        }
    }

    /// Takes a verdict, and hands back the attempt that decided it when that did not pass.
    pub(super) fn verdict(&mut self, test: &TestId, verdict: &Verdict) -> Option<Attempt> {
        let last = self.last.remove(test);
        let earlier = self.reasons.remove(test);
        let note = |label, reason| Noted {
            test: test.clone(),
            label,
            reason,
        };
        match verdict {
            Verdict::Failed(_) => self
                .failures
                .add(|| note("FAIL", reason(verdict, last.as_ref()))),
            Verdict::TimedOut { .. } => self
                .failures
                .add(|| note("TIMEOUT", reason(verdict, last.as_ref()))),
            Verdict::Flaky { attempts } => self.flaky.add(|| {
                let before =
                    earlier.map_or_else(String::new, |reason| format!("; before: {reason}"));
                note("FLAKY", format!("passed at attempt {attempts}{before}"))
            }),
            Verdict::Leaked => self.leaks.add(|| {
                note(
                    "LEAK",
                    "passed, and left a process behind that held its output open".to_owned(),
                )
            }),
            _ => {}
        }
        last
    }
}

/// Why a test has the verdict that it has, on one line.
pub(super) fn reason(verdict: &Verdict, last: Option<&Attempt>) -> String {
    match verdict {
        Verdict::Failed(failure) => {
            reason_of_failure(failure, last.and_then(|attempt| attempt.summary.as_deref()))
        }
        Verdict::TimedOut { after } => format!("still running after {}, and killed", Human(*after)),
        other => other.to_string(),
    }
}

/// Why an attempt did not pass, on one line.
pub(super) fn reason_of_attempt(attempt: &Attempt) -> String {
    match &attempt.result {
        AttemptResult::Failed(failure) => reason_of_failure(failure, attempt.summary.as_deref()),
        AttemptResult::TimedOut { after } => {
            format!("still running after {}, and killed", Human(*after))
        }
        AttemptResult::Cancelled => "ended with the run".to_owned(),
        _ => String::new(),
    }
}

fn reason_of_failure(failure: &Failure, summary: Option<&str>) -> String {
    match (failure, summary) {
        // The panic message says more than the code that every panic ends with.
        (Failure::ExitCode { .. }, Some(summary)) => short_line(summary, MAX_REASON),
        (failure, Some(summary)) => short_line(&format!("{failure}: {summary}"), MAX_REASON),
        (failure, None) => short_line(&failure.to_string(), MAX_REASON),
    }
}
