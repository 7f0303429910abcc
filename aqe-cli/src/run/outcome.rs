//! What a run came to, for the shell and for the person in front of it.

use std::fmt::Write;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use aqe_runner::journal::RunCounts;
use aqe_runner::run::{Event, Reporter, RunReport, StopReason};

use crate::args::{ColorArg, RunArgs};
use crate::exit::Exit;
use crate::failure::{Failure, with_causes};
use crate::output;
use crate::report::Plan;
use crate::report::style::{Colors, counted};
use crate::report::text::one_line;

/// The part of a [`RunReport`] that decides about the exit code.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    counts: RunCounts,
    /// Tests that were to run.
    selected: u64,
    stopped: Option<StopReason>,
    /// Why binaries could not be listed.
    unlisted: Vec<String>,
    junit_error: Option<String>,
    history_error: Option<String>,
    /// What went wrong in measuring the run.
    unmeasured: Vec<String>,
    /// What was in the way of alerts.
    untold: Vec<String>,
}

impl Outcome {
    pub(super) fn of(report: &RunReport, unmeasured: Vec<String>, untold: Vec<String>) -> Self {
        Self {
            counts: report.counts,
            selected: report.selected,
            stopped: report.stopped,
            unlisted: report.unlisted.iter().map(ToString::to_string).collect(),
            junit_error: report.junit_error.as_ref().map(|error| with_causes(error)),
            history_error: report
                .history_error
                .as_ref()
                .map(|error| with_causes(error)),
            unmeasured,
            untold,
        }
    }
}

/// Prints what the views could not know, and chooses the exit code.
pub(super) fn conclude(
    outcome: &Outcome,
    plan: &Plan,
    arguments: &RunArgs,
) -> Result<Exit, Failure> {
    output::complain(&troubles(
        outcome,
        Colors::choose(ColorArg::Auto, &std::io::stderr()),
    ));
    match exit(outcome) {
        Exit::NoTests => Err(no_tests(plan, arguments)),
        exit => Ok(exit),
    }
}

/// The strongest reason decides: an interrupted run says nothing about the tests, a failed test outweighs what is
/// wrong with the run, and that outweighs having found nothing.
fn exit(outcome: &Outcome) -> Exit {
    match outcome.stopped {
        Some(StopReason::Signal { signal }) => Exit::Interrupted { signal },
        _ if outcome.counts.failures() > 0 => Exit::TestsFailed,
        _ if !outcome.unlisted.is_empty() || outcome.junit_error.is_some() => Exit::Environment,
        _ if outcome.selected == 0 => Exit::NoTests,
        _ => Exit::Success,
    }
}

fn troubles(outcome: &Outcome, colors: Colors) -> String {
    let mut text = String::new();
    for trouble in &outcome.unlisted {
        let _ = writeln!(text, "{} {trouble}", colors.bad("error:"));
    }
    if !outcome.unlisted.is_empty() {
        let count = match outcome.unlisted.len() {
            1 => "1 binary".to_owned(),
            count => format!("{count} binaries"),
        };
        let _ = writeln!(
            text,
            "{} the tests of {count} were not run, because they could not be listed",
            colors.bad("error:")
        );
    }
    if let Some(trouble) = &outcome.junit_error {
        let _ = writeln!(
            text,
            "{} there is no JUnit report: {trouble}",
            colors.bad("error:")
        );
    }
    // No reason to fail: nothing is lost while the journal is there.
    if let Some(trouble) = &outcome.history_error {
        let _ = writeln!(
            text,
            "{} the history has not got this run yet; the next run adds it from the journal: {trouble}",
            colors.odd("warning:")
        );
    }
    for trouble in &outcome.unmeasured {
        let _ = writeln!(text, "{} monitoring: {trouble}", colors.odd("warning:"));
    }
    for trouble in &outcome.untold {
        let _ = writeln!(text, "{} alerts: {trouble}", colors.odd("warning:"));
    }
    text
}

/// Names what left no test, and what to leave out.
fn no_tests(plan: &Plan, arguments: &RunArgs) -> Failure {
    if plan.ignored + plan.filtered_out == 0 {
        return Failure::new(Exit::NoTests, "there are no tests in what was built")
            .hint("options such as -p, --lib and --test choose what is built");
    }
    let mut wanted: Vec<String> = arguments
        .names
        .iter()
        .map(|name| format!("`{}`", one_line(name)))
        .collect();
    wanted.extend(
        arguments
            .skip
            .iter()
            .map(|name| format!("--skip `{}`", one_line(name))),
    );
    if arguments.ignored {
        wanted.push("--ignored".to_owned());
    }
    let wanted = if wanted.is_empty() {
        String::new()
    } else {
        format!(" for {}", wanted.join(" "))
    };
    let exact = if arguments.exact {
        " (--exact compares whole names)"
    } else {
        ""
    };
    let all = counted(plan.ignored + plan.filtered_out, "test");
    let failure = Failure::new(
        Exit::NoTests,
        format!("no test to run{wanted}{exact}, out of {all}"),
    );
    match (plan.ignored, arguments.ignored) {
        (0, _) => failure,
        (count, true) => failure.hint(format!(
            "{} with that name, not marked #[ignore]",
            counted(count, "test")
        )),
        (count, false) => failure.hint(format!(
            "{} with that name, marked #[ignore]: add --include-ignored",
            counted(count, "test")
        )),
    }
}

/// What the first event told, for after the run.
#[derive(Debug, Clone, Default)]
pub(super) struct Seen(Arc<OnceLock<Plan>>);

impl Seen {
    pub(super) fn plan(&self) -> Plan {
        self.0.get().cloned().unwrap_or_default()
    }
}

/// Passes everything on and notes the first event.
pub(super) struct Noting<R> {
    inner: R,
    seen: Seen,
}

impl<R> Noting<R> {
    pub(super) fn new(inner: R, seen: Seen) -> Self {
        Self { inner, seen }
    }
}

impl<R: Reporter> Reporter for Noting<R> {
    fn event(&mut self, event: &Event) {
        if let Event::RunStarted(started) = event {
            // A run begins once.
            let _ = self.seen.0.set(Plan::from(started));
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{Cli, Command};
    use aqe_runner::model::{Failure as Why, Verdict};
    use clap::Parser;

    fn counts(verdicts: &[Verdict]) -> RunCounts {
        let mut counts = RunCounts::default();
        for verdict in verdicts {
            counts.add(verdict);
        }
        counts
    }

    #[test]
    fn the_strongest_reason_decides_about_the_exit_code() {
        let passed = || {
            counts(&[
                Verdict::Passed,
                Verdict::Flaky { attempts: 2 },
                Verdict::Leaked,
            ])
        };
        let failed = || counts(&[Verdict::Passed, Verdict::Failed(Why::ExitedEarly)]);
        let timed_out = || {
            counts(&[Verdict::TimedOut {
                after: Duration::from_secs(1),
            }])
        };
        let unlisted = || vec!["cannot list".to_owned()];
        let signal = StopReason::Signal { signal: 2 };
        let run = |counts, selected| Outcome {
            counts,
            selected,
            ..Outcome::default()
        };
        let table = [
            (run(passed(), 3), Exit::Success),
            (run(failed(), 2), Exit::TestsFailed),
            (run(timed_out(), 1), Exit::TestsFailed),
            (run(RunCounts::default(), 0), Exit::NoTests),
            (
                Outcome {
                    unlisted: unlisted(),
                    ..run(passed(), 3)
                },
                Exit::Environment,
            ),
            (
                Outcome {
                    unlisted: unlisted(),
                    ..run(RunCounts::default(), 0)
                },
                Exit::Environment,
            ),
            (
                Outcome {
                    unlisted: unlisted(),
                    ..run(failed(), 2)
                },
                Exit::TestsFailed,
            ),
            (
                Outcome {
                    junit_error: Some("full".into()),
                    ..run(passed(), 3)
                },
                Exit::Environment,
            ),
            (
                Outcome {
                    history_error: Some("it is open elsewhere".into()),
                    ..run(passed(), 3)
                },
                Exit::Success,
            ),
            (
                Outcome {
                    stopped: Some(StopReason::FirstFailure),
                    ..run(failed(), 9)
                },
                Exit::TestsFailed,
            ),
            (
                Outcome {
                    stopped: Some(signal),
                    ..run(failed(), 9)
                },
                Exit::Interrupted { signal: 2 },
            ),
        ];
        for (outcome, expected) in table {
            assert_eq!(exit(&outcome), expected, "{outcome:?}");
        }
    }

    #[test]
    fn everything_that_was_not_run_is_told_in_full() {
        let outcome = Outcome {
            unlisted: vec!["cannot list a\n  | why".into(), "cannot list b".into()],
            junit_error: Some("cannot write x: no space".into()),
            history_error: Some("it is open elsewhere".into()),
            unmeasured: vec!["no room".into()],
            untold: vec!["no secret".into()],
            ..Outcome::default()
        };
        assert_eq!(
            troubles(&outcome, Colors::Off),
            "error: cannot list a\n  | why\nerror: cannot list b\n\
             error: the tests of 2 binaries were not run, because they could not be listed\n\
             error: there is no JUnit report: cannot write x: no space\n\
             warning: the history has not got this run yet; the next run adds it from the journal: it is open elsewhere\n\
             warning: monitoring: no room\nwarning: alerts: no secret\n"
        );
        assert_eq!(troubles(&Outcome::default(), Colors::On), "");
    }

    #[test]
    fn a_filter_that_matches_nothing_is_named() {
        let told = |words: &[&str], ignored, filtered_out| {
            let words = ["aqe", "run"].iter().chain(words);
            let Command::Run(arguments) = Cli::try_parse_from(words).unwrap().command else {
                panic!("not `run`")
            };
            let plan = Plan {
                ignored,
                filtered_out,
                ..Plan::default()
            };
            format!("{:?}", no_tests(&plan, &arguments))
        };
        let table: [(&[&str], u64, u64, &str); 5] = [
            (&["foo"], 0, 12, "no test to run for `foo`, out of 12 tests"),
            (
                &["foo", "--exact", "--skip", "x"],
                0,
                1,
                "no test to run for `foo` --skip `x` (--exact compares whole names), out of 1 test",
            ),
            (&[], 3, 0, "no test to run, out of 3 tests"),
            (
                &["--ignored"],
                0,
                4,
                "no test to run for --ignored, out of 4 tests",
            ),
            (&[], 0, 0, "there are no tests in what was built"),
        ];
        for (words, ignored, filtered_out, expected) in table {
            let text = told(words, ignored, filtered_out);
            assert!(text.contains(expected), "{text}");
        }
        assert!(
            told(&[], 3, 0)
                .contains("3 tests with that name, marked #[ignore]: add --include-ignored")
        );
    }
}
