//! Turns events into the lines that stay on the screen.

use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

use aqe_runner::libtest::own_output;
use aqe_runner::model::{Attempt, AttemptResult, Excerpt, TestId, Verdict};
use aqe_runner::run::{Event, StopReason};

use super::ledger::{Ledger, reason, reason_of_attempt};
use super::style::{Human, Painted, counted};
use super::text::{one_line, push_output};
use super::{Look, Plan, Said, summary};

/// Which tests have a line of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Detail {
    /// Those with something wrong.
    Problems,
    /// All that ran.
    Tests,
    /// Ignored ones as well.
    All,
}

/// Width of the longest word in front of a test.
const LABEL: usize = 9;

/// Writes what people read, for every view alike.
#[derive(Debug)]
pub(super) struct Scribe {
    look: Look,
    detail: Detail,
    ledger: Ledger,
}

impl Scribe {
    pub(super) fn new(look: Look, detail: Detail) -> Self {
        Self {
            look,
            detail,
            ledger: Ledger::default(),
        }
    }

    pub(super) fn look(&self) -> &Look {
        &self.look
    }

    /// Takes the first event of a run.
    pub(super) fn begin(&mut self, plan: Plan, said: &mut Said) {
        if plan.tests > 0 {
            let _ = writeln!(
                said.results,
                "running {} of {}, {} at once, isolation {}",
                counted(plan.tests, "test"),
                if plan.binaries == 1 {
                    "1 binary".to_owned()
                } else {
                    format!("{} binaries", plan.binaries)
                },
                plan.jobs,
                plan.isolation,
            );
        }
        self.ledger.plan = plan;
    }

    /// Takes the next event and says what there is to say about it.
    pub(super) fn event(&mut self, event: &Event, said: &mut Said) {
        match event {
            Event::RunStarted(started) => self.begin(Plan::from(started), said),
            Event::Warning { message } => {
                let colors = self.look.colors;
                // What takes more lines, such as a binary that cannot be listed, is told in full after the run.
                let mut lines = message.lines();
                let first = one_line(lines.next().unwrap_or_default());
                let more = if lines.next().is_some() { " …" } else { "" };
                let _ = writeln!(said.messages, "{} {first}{more}", colors.odd("warning:"));
            }
            Event::AttemptFinished {
                test,
                attempt,
                will_retry,
            } => self.attempt(test, attempt, *will_retry, &mut said.results),
            Event::TestFinished {
                test,
                verdict,
                duration,
            } => self.verdict(test, verdict, *duration, &mut said.results),
            Event::Stopping {
                reason: StopReason::FirstFailure,
            } => {
                said.messages
                    .push_str("stopping after the first failure; what runs is finished\n");
            }
            // Whoever received the signal has said so at once; this event may be behind many others.
            Event::Stopping { .. } => {}
            Event::RunFinished {
                duration,
                counts,
                stopped,
                ..
            } => summary::push(
                &self.ledger,
                &self.look,
                *duration,
                counts,
                *stopped,
                &mut said.results,
            ),
            _ => {}
        }
    }

    fn attempt(&mut self, test: &TestId, attempt: &Attempt, will_retry: bool, out: &mut String) {
        self.ledger.attempt(test, attempt, will_retry);
        let colors = self.look.colors;
        if attempt.result == AttemptResult::Cancelled {
            line(out, colors.odd("CANCEL"), attempt.duration, test);
        } else if will_retry {
            let label = format!("TRY {}/{}", attempt.number, self.look.max_attempts);
            line(out, colors.odd(&label), attempt.duration, test);
            let _ = writeln!(out, "{:LABEL$} {}", "", reason_of_attempt(attempt));
        }
    }

    fn verdict(&mut self, test: &TestId, verdict: &Verdict, duration: Duration, out: &mut String) {
        let last = self.ledger.verdict(test, verdict);
        let colors = self.look.colors;
        match verdict {
            Verdict::Passed if self.detail >= Detail::Tests => {
                line(out, colors.good("PASS"), duration, test)
            }
            Verdict::Leaked => line(out, colors.odd("LEAK"), duration, test),
            Verdict::Flaky { attempts } => {
                let label = format!("FLAKY {attempts}/{}", self.look.max_attempts);
                line(out, colors.odd(&label), duration, test);
            }
            Verdict::Failed(_) => {
                line(out, colors.bad("FAIL"), duration, test);
                self.failure(test, verdict, last.as_ref(), out);
            }
            Verdict::TimedOut { .. } => {
                line(out, colors.bad("TIMEOUT"), duration, test);
                self.failure(test, verdict, last.as_ref(), out);
            }
            Verdict::Ignored { reason } if self.detail == Detail::All => {
                let why = reason
                    .as_deref()
                    .map_or_else(String::new, |reason| format!("  {}", one_line(reason)));
                let label = colors.faint("IGNORE");
                let (binary, name) = (one_line(test.binary.as_str()), one_line(test.name.as_str()));
                let _ = writeln!(out, "{label:>LABEL$} [        ] {binary} {name}{why}");
            }
            // Attempts that were cut short have their line, and tests that never started are a number at the end.
            _ => {}
        }
    }

    /// Why a test failed, and what it printed. This is the only time that its output is shown.
    fn failure(&self, test: &TestId, verdict: &Verdict, last: Option<&Attempt>, out: &mut String) {
        let _ = writeln!(out, "{:LABEL$} {}", "", reason(verdict, last));
        let Some(last) = last else {
            return;
        };
        if last.leaked {
            let _ = writeln!(
                out,
                "{:LABEL$} it left a process behind that held its output open",
                ""
            );
        }
        let Some(output) = &last.output else {
            return;
        };
        self.stream("stdout", &framed(&output.stdout, test), out);
        self.stream("stderr", &output.stderr, out);
    }

    fn stream(&self, name: &str, excerpt: &Excerpt, out: &mut String) {
        const INDENT: &str = "    ";
        if excerpt.head.is_empty() && excerpt.omitted_bytes == 0 {
            return;
        }
        let colors = self.look.colors;
        let _ = writeln!(out, "  {}", colors.faint(format_args!("--- {name} ---")));
        push_output(&excerpt.head, colors, INDENT, out);
        if excerpt.omitted_bytes > 0 {
            let place = excerpt.file.as_deref().map_or_else(String::new, |file| {
                let folder = self.ledger.plan.journal.as_deref().and_then(Path::parent);
                let path = folder.map_or_else(|| file.into(), |folder| folder.join(file));
                let part = excerpt.file_bytes.map_or_else(
                    || "all of it is".to_owned(),
                    |bytes| format!("the first {bytes} bytes are"),
                );
                format!("; {part} in {}", path.display())
            });
            let note = format!(
                "... {} bytes are not shown{place} ...",
                excerpt.omitted_bytes
            );
            let _ = writeln!(out, "{INDENT}{}", colors.faint(note));
        }
        push_output(&excerpt.tail, colors, INDENT, out);
    }
}

/// The stream without what the harness wrote around the test, if all of it is here.
fn framed(stdout: &Excerpt, test: &TestId) -> Excerpt {
    let mut excerpt = stdout.clone();
    if excerpt.omitted_bytes == 0 {
        excerpt.head = own_output(&(excerpt.head + &excerpt.tail), test.name.as_str());
        excerpt.tail = String::new();
    }
    excerpt
}

/// `    PASS [   1.2ms] store::recovery torn_tail_is_cut`.
fn line(out: &mut String, label: Painted<&str>, duration: Duration, test: &TestId) {
    let _ = writeln!(
        out,
        "{label:>LABEL$} [{:>8}] {} {}",
        Human(duration),
        one_line(test.binary.as_str()),
        one_line(test.name.as_str())
    );
}
