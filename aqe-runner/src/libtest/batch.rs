//! Which tests of a shared process passed for certain.

use std::collections::HashMap;

use super::{Event, Outcome, Summary};
use crate::model::Exit;

/// How the process of a batch ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BatchEnd {
    /// It ended by itself or by a signal that the runner did not send.
    Exited(Exit),
    /// It was killed because its time was up.
    TimedOut,
    /// It could not be started, or its output could not be read to the end.
    Lost,
}

/// What a batch says about one of the tests it was asked to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BatchVerdict {
    /// It passed.
    Passed,
    /// It has no verdict until it ran in a process of its own.
    RunAlone(AloneReason),
}

/// Why a test of a batch has to be run alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AloneReason {
    /// The harness said that it failed, which may be a neighbour's fault.
    Failed,
    /// The harness said that it was ignored although it was asked for.
    Ignored,
    /// It had no outcome when the batch ran out of time.
    TimedOut,
    /// It had no outcome when the process ended before its harness was done.
    CutShort(BatchEnd),
    /// The harness finished without a word about it.
    Missing,
    /// The stream has more than one outcome for it, or its name could mean another test of the batch.
    Contradicted,
    /// The harness said that it passed, but the rest of the stream or the exit gives reason to doubt it.
    Untrusted,
}

/// Collects what the process of a batch says and judges every test once it ended.
///
/// The rules, from the easy case to the hard ones:
///
/// 1. Exit code 0, one summary that accounts for exactly the requested tests and calls all of them passed, and no
///    outcome that says otherwise: all passed, also those whose line was garbled by a print.
/// 2. A summary that accounts for exactly the requested tests, that agrees with the exit code and with the lines seen:
///    tests with an `ok` line passed, the others run alone. A forged line cannot survive this, because the harness'
///    own line for the same test is in the stream too, or its count is off.
/// 3. No summary (crash, timeout, `exit` in a test): `ok` lines count only if nothing foreign is in the stream, and
///    never the last one. In a one-threaded harness that line could be a name followed by the test's own `ok`, printed
///    just before it died; a later line of the harness proves that it was the harness' own.
/// 4. Everything else runs alone.
///
/// Out of reach is a test that writes, past the harness' capture, the exact lines that the harness would have printed
/// for its neighbours and then ends the process: two programs that write the same bytes cannot be told apart. Whoever
/// runs tests that lie has to give each a process of its own.
///
/// # Examples
///
/// ```
/// use aqe_runner::libtest::{AloneReason, BatchEnd, BatchJudge, BatchVerdict, OutputParser};
/// use aqe_runner::model::Exit;
///
/// let mut judge = BatchJudge::new(["a", "b"]);
/// let mut parser = OutputParser::new();
/// let output = b"running 2 tests\ntest a ... ok\ntest b ... FAILED\n\nfailures:\n    b\n\ntest result: FAILED. 1 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s\n";
/// parser.feed(output, &mut |event| {
///     judge.event(&event);
/// });
/// assert_eq!(
///     judge.finish(BatchEnd::Exited(Exit::Code(101))),
///     [BatchVerdict::Passed, BatchVerdict::RunAlone(AloneReason::Failed)]
/// );
/// ```
#[derive(Debug)]
pub struct BatchJudge {
    /// Position by name, for the names as requested.
    positions: HashMap<Box<str>, usize>,
    seen: Vec<Seen>,
    /// Names whose outcome line could belong to another requested name.
    ambiguous: Vec<bool>,
    /// How often the harness announced exactly the requested number of tests, and any other number.
    announced: u32,
    announced_otherwise: u32,
    last_summary: Option<Summary>,
    /// The position of the last outcome.
    last_outcome: Option<usize>,
    /// Whether the stream holds anything that is not the harness' own word on a requested test.
    foreign: bool,
}

/// The outcome lines seen for one test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    Nothing,
    Ok,
    Failed,
    Ignored,
    /// More than one line, all of them `ok`.
    OkAgain,
    /// More than one line, not all of them `ok`.
    Mixed,
}

impl BatchJudge {
    /// A judge for a process that was asked to run exactly these tests.
    pub fn new<I>(requested: I) -> Self
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        let requested: Vec<Box<str>> = requested
            .into_iter()
            .map(|name| name.as_ref().into())
            .collect();
        let mut ambiguous = vec![false; requested.len()];
        let mut positions = HashMap::with_capacity(requested.len());
        for (position, name) in requested.into_iter().enumerate() {
            if let Some(earlier) = positions.insert(name, position) {
                ambiguous[earlier] = true;
                ambiguous[position] = true;
            }
        }
        for (name, &position) in &positions {
            for other in other_forms(name).filter_map(|form| positions.get(form.as_ref())) {
                ambiguous[*other] = true;
                ambiguous[position] = true;
            }
        }
        let seen = vec![Seen::Nothing; ambiguous.len()];
        Self {
            positions,
            seen,
            ambiguous,
            announced: 0,
            announced_otherwise: 0,
            last_summary: None,
            last_outcome: None,
            foreign: false,
        }
    }

    /// Takes the next event of the process.
    ///
    /// Returns the position, in the order requested, of the test that the event is an outcome of. This is for progress
    /// displays and timing only; nothing is certain before [`finish`](Self::finish).
    pub fn event(&mut self, event: &Event<'_>) -> Option<usize> {
        match *event {
            Event::Started { count } if count == self.requested() => self.announced += 1,
            Event::Started { .. } => self.announced_otherwise += 1,
            Event::Foreign => self.foreign = true,
            Event::Summary(summary) => self.last_summary = Some(summary),
            Event::Verdict { name, outcome } => {
                let Some(position) = self.position(name) else {
                    self.foreign = true;
                    return None;
                };
                self.seen[position] = self.seen[position].and(outcome);
                self.last_outcome = Some(position);
                return Some(position);
            }
        }
        None
    }

    /// Judges every requested test, in the order requested.
    ///
    /// Every byte of the process' output has to have gone through the parser before.
    #[must_use]
    pub fn finish(self, end: BatchEnd) -> Vec<BatchVerdict> {
        let trust = self.trust(end);
        let harness_done = self.own_summary().is_some();
        let judged = self.seen.iter().enumerate().map(|(position, &seen)| {
            let certain = match trust {
                Trust::All => true,
                Trust::Lines => seen == Seen::Ok && !self.ambiguous[position],
                Trust::LinesButTheLast => {
                    seen == Seen::Ok
                        && !self.ambiguous[position]
                        && self.last_outcome != Some(position)
                }
                Trust::Nothing => false,
            };
            if certain {
                return BatchVerdict::Passed;
            }
            BatchVerdict::RunAlone(match seen {
                Seen::Nothing if end == BatchEnd::TimedOut => AloneReason::TimedOut,
                Seen::Nothing if harness_done => AloneReason::Missing,
                Seen::Nothing => AloneReason::CutShort(end),
                Seen::Failed => AloneReason::Failed,
                Seen::Ignored => AloneReason::Ignored,
                Seen::Ok if !self.ambiguous[position] => AloneReason::Untrusted,
                Seen::Ok | Seen::OkAgain | Seen::Mixed => AloneReason::Contradicted,
            })
        });
        judged.collect()
    }

    fn trust(&self, end: BatchEnd) -> Trust {
        let Some(summary) = self.own_summary() else {
            let untouched = !self.foreign
                && self.announced == 1
                && self.announced_otherwise == 0
                && self.last_summary.is_none()
                && !self
                    .seen
                    .iter()
                    .any(|seen| matches!(seen, Seen::OkAgain | Seen::Mixed));
            return if untouched {
                Trust::LinesButTheLast
            } else {
                Trust::Nothing
            };
        };
        let exit_agrees = match end {
            BatchEnd::Exited(Exit::Code(0)) => summary.ok && summary.failed == 0,
            BatchEnd::Exited(Exit::Code(HARNESS_FAILED)) => !summary.ok && summary.failed > 0,
            _ => false,
        };
        if !exit_agrees {
            return Trust::Nothing;
        }
        let all_ran = summary.passed.saturating_add(summary.measured) == self.requested();
        if summary.ok && all_ran && self.seen.iter().all(|seen| seen.allows_pass()) {
            return Trust::All;
        }
        let count = |wanted| self.seen.iter().filter(|&&seen| seen == wanted).count() as u64;
        let lines_agree = count(Seen::Ok) == summary.passed.saturating_add(summary.measured)
            && count(Seen::Failed) == summary.failed
            && count(Seen::Ignored) == summary.ignored;
        if lines_agree {
            Trust::Lines
        } else {
            Trust::Nothing
        }
    }

    /// The summary of this process: the last one, after the only announcement of this number of tests. A harness inside
    /// a test that has a summary for as many tests has announced as many.
    fn own_summary(&self) -> Option<Summary> {
        self.last_summary
            .filter(|summary| self.announced == 1 && accounted(summary) == Some(self.requested()))
    }

    fn requested(&self) -> u64 {
        self.seen.len() as u64
    }

    /// Finds the requested name that a printed one stands for.
    fn position(&self, printed: &str) -> Option<usize> {
        if let Some(&position) = self.positions.get(printed) {
            return Some(position);
        }
        other_forms(printed).find_map(|form| self.positions.get(form.as_ref()).copied())
    }
}

impl Seen {
    fn and(self, outcome: Outcome<'_>) -> Self {
        let next = match outcome {
            Outcome::Ok | Outcome::Measured => Self::Ok,
            Outcome::Failed => Self::Failed,
            Outcome::Ignored(_) => Self::Ignored,
        };
        match (self, next) {
            (Self::Nothing, next) => next,
            (Self::Ok | Self::OkAgain, Self::Ok) => Self::OkAgain,
            _ => Self::Mixed,
        }
    }

    /// Whether nothing was said against a pass.
    fn allows_pass(self) -> bool {
        matches!(self, Self::Nothing | Self::Ok | Self::OkAgain)
    }
}

/// Which `ok` lines of a stream are believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trust {
    All,
    Lines,
    LinesButTheLast,
    Nothing,
}

/// The number of tests that a summary speaks about; `None` for an absurd one.
fn accounted(summary: &Summary) -> Option<u64> {
    [summary.failed, summary.ignored, summary.measured]
        .iter()
        .try_fold(summary.passed, |sum, &count| sum.checked_add(count))
}

/// Names that a printed name may stand for besides itself: without the mark that libtest appends, and with the
/// alignment blanks between `[kind]` and name reduced to the one that the listing has.
fn other_forms(printed: &str) -> impl Iterator<Item = std::borrow::Cow<'_, str>> {
    let unmarked = MARKS
        .iter()
        .filter_map(|mark| printed.strip_suffix(mark))
        .map(std::borrow::Cow::Borrowed);
    let realigned = printed
        .strip_prefix('[')
        .and_then(|rest| rest.split_once("]  "))
        .map(|(kind, name)| {
            std::borrow::Cow::Owned(format!("[{kind}] {}", name.trim_start_matches(' ')))
        });
    unmarked.chain(realigned)
}

/// What libtest appends to the name of a test in its output but not in its listing.
const MARKS: [&str; 3] = [" - should panic", " - compile fail", " - compile"];

/// The exit code of libtest, and of its imitations, when tests failed.
const HARNESS_FAILED: i32 = 101;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::libtest::OutputParser;
    use proptest::prelude::*;

    const PASS: BatchVerdict = BatchVerdict::Passed;
    const OK: BatchEnd = BatchEnd::Exited(Exit::Code(0));
    const FAIL: BatchEnd = BatchEnd::Exited(Exit::Code(101));
    const CRASH: BatchEnd = BatchEnd::Exited(Exit::Signal {
        signal: 11,
        core_dumped: false,
    });

    fn alone(reason: AloneReason) -> BatchVerdict {
        BatchVerdict::RunAlone(reason)
    }

    fn judge(names: &[&str], stream: &str, end: BatchEnd) -> Vec<BatchVerdict> {
        let mut judge = BatchJudge::new(names);
        OutputParser::new().feed(stream.as_bytes(), &mut |event| {
            judge.event(&event);
        });
        judge.finish(end)
    }

    fn result(word: &str, passed: usize, failed: usize, ignored: usize) -> String {
        format!(
            "\ntest result: {word}. {passed} passed; {failed} failed; {ignored} ignored; 0 measured; 5 filtered out; finished in 0.00s\n\n"
        )
    }

    #[test]
    fn a_clean_pass_passes_all() {
        let stream = format!(
            "\nrunning 2 tests\ntest a ... ok\ntest b - should panic ... ok\n{}",
            result("ok", 2, 0, 0)
        );
        assert_eq!(judge(&["a", "b"], &stream, OK), [PASS, PASS]);
    }

    #[test]
    fn a_garbled_line_does_not_matter_when_the_harness_says_all_passed() {
        let stream = format!(
            "running 2 tests\nnoisetest a ... oktest b ... ok\n{}",
            result("ok", 2, 0, 0)
        );
        assert_eq!(judge(&["a", "b"], &stream, OK), [PASS, PASS]);
    }

    #[test]
    fn a_print_in_front_of_a_line_costs_nothing_beside_a_failure() {
        let stream = format!(
            "running 3 tests\nxyztest a ... ok\ntest b ... FAILED\ntest c ... ok\n\nfailures:\n    b\n{}",
            result("FAILED", 2, 1, 0)
        );
        assert_eq!(
            judge(&["a", "b", "c"], &stream, FAIL),
            [PASS, alone(AloneReason::Failed), PASS]
        );
    }

    #[test]
    fn the_exit_code_and_the_summary_have_to_agree() {
        let passed = format!(
            "running 2 tests\ntest a ... ok\ntest b ... ok\n{}",
            result("ok", 2, 0, 0)
        );
        let failed = format!(
            "running 2 tests\ntest a ... ok\ntest b ... FAILED\n{}",
            result("FAILED", 1, 1, 0)
        );
        for end in [
            FAIL,
            CRASH,
            BatchEnd::TimedOut,
            BatchEnd::Lost,
            BatchEnd::Exited(Exit::Code(1)),
        ] {
            assert_eq!(
                judge(&["a", "b"], &passed, end),
                [alone(AloneReason::Untrusted); 2],
                "{end:?}"
            );
        }
        assert_eq!(
            judge(&["a", "b"], &failed, OK),
            [alone(AloneReason::Untrusted), alone(AloneReason::Failed)]
        );
    }

    #[test]
    fn after_a_crash_only_proven_lines_count() {
        let stream = "running 4 tests\ntest a ... ok\ntest b ... FAILED\ntest c ... ok\n";
        assert_eq!(
            judge(&["a", "b", "c", "d"], stream, CRASH),
            [
                PASS,
                alone(AloneReason::Failed),
                alone(AloneReason::Untrusted),
                alone(AloneReason::CutShort(CRASH))
            ]
        );
        assert_eq!(
            judge(&["a", "b", "c", "d"], stream, BatchEnd::TimedOut)[3],
            alone(AloneReason::TimedOut)
        );
    }

    #[test]
    fn a_test_that_prints_ok_and_dies_has_not_passed() {
        // One thread: libtest printed `test b ... `, the test itself printed `ok` and a line end, and crashed.
        let stream = "running 3 tests\ntest a ... ok\ntest b ... ok\n";
        assert_eq!(
            judge(&["a", "b", "c"], stream, CRASH)[1],
            alone(AloneReason::Untrusted)
        );
    }

    #[test]
    fn after_a_crash_nothing_counts_beside_foreign_lines() {
        let lines = "test a ... ok\ntest b ... ok\ntest c ... ok\n";
        for foreign in [
            "noise\n",
            "running 1 test\n",
            "test other ... ok\n",
            "ok\n",
            "test a ... ok\n",
        ] {
            let stream = format!("running 4 tests\n{foreign}{lines}");
            assert!(
                !judge(&["a", "b", "c", "d"], &stream, CRASH).contains(&PASS),
                "{foreign:?}"
            );
        }
        let stream = format!("running 4 tests\n{lines}");
        assert_eq!(
            judge(&["a", "b", "c", "d"], &stream, CRASH)[..2],
            [PASS, PASS]
        );
        assert!(
            !judge(&["a", "b", "c", "d"], lines, CRASH).contains(&PASS),
            "never announced"
        );
    }

    #[test]
    fn a_forged_line_beside_the_real_one_is_a_contradiction() {
        let stream = format!(
            "running 2 tests\ntest b ... ok\ntest a ... ok\ntest b ... FAILED\n\nfailures:\n    b\n{}",
            result("FAILED", 1, 1, 0)
        );
        assert_eq!(
            judge(&["a", "b"], &stream, FAIL),
            [
                alone(AloneReason::Untrusted),
                alone(AloneReason::Contradicted)
            ]
        );
    }

    #[test]
    fn a_forged_line_instead_of_the_real_one_does_not_fit_the_counts() {
        let stream = format!(
            "running 2 tests\ntest b ... ok\ntest a ... ok\nxx test b ... FAILx\n{}",
            result("FAILED", 1, 1, 0)
        );
        assert!(!judge(&["a", "b"], &stream, FAIL).contains(&PASS));
    }

    #[test]
    fn a_harness_inside_a_test_does_not_count() {
        // Test `a` runs its own binary as a child that shares standard output; then the parent fails or passes.
        let child = "\nrunning 1 test\ntest child ... ok\n\ntest result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 3 filtered out; finished in 0.00s\n\n";
        let passed = format!(
            "running 2 tests\n{child}test a ... ok\ntest b ... ok\n{}",
            result("ok", 2, 0, 0)
        );
        assert_eq!(judge(&["a", "b"], &passed, OK), [PASS, PASS]);
        let cut = format!("running 2 tests\n{child}test a ... ok\ntest b ... ok\n");
        assert!(!judge(&["a", "b"], &cut, OK).contains(&PASS));
        // A child that ran as many tests as the batch: its summary could stand for the parent's, which never came.
        let child = child
            .replace("1 test", "2 tests")
            .replace("1 passed", "2 passed");
        let cut = format!("running 2 tests\n{child}");
        assert!(!judge(&["a", "b"], &cut, OK).contains(&PASS));
        let both = format!(
            "running 2 tests\n{child}test a ... ok\ntest b ... ok\n{}",
            result("ok", 2, 0, 0)
        );
        assert!(!judge(&["a", "b"], &both, OK).contains(&PASS));
    }

    #[test]
    fn exit_zero_without_a_summary_is_cut_short() {
        let stream = "running 2 tests\ntest a ... ok\n";
        assert_eq!(
            judge(&["a", "b"], stream, OK),
            [
                alone(AloneReason::Untrusted),
                alone(AloneReason::CutShort(OK))
            ]
        );
        assert_eq!(judge(&["a"], "", OK), [alone(AloneReason::CutShort(OK))]);
        assert_eq!(
            judge(&["a"], "", BatchEnd::Lost),
            [alone(AloneReason::CutShort(BatchEnd::Lost))]
        );
    }

    #[test]
    fn a_filter_that_matched_fewer_or_more_tests_passes_nobody() {
        let fewer = format!("running 1 test\ntest a ... ok\n{}", result("ok", 1, 0, 0));
        let more = format!(
            "running 3 tests\ntest a ... ok\ntest a ... ok\ntest b ... ok\n{}",
            result("ok", 3, 0, 0)
        );
        for stream in [fewer, more] {
            assert!(!judge(&["a", "b"], &stream, OK).contains(&PASS), "{stream}");
        }
    }

    #[test]
    fn an_ignored_test_has_not_passed() {
        let stream = format!(
            "running 2 tests\ntest a ... ok\ntest b ... ignored, slow\n{}",
            result("ok", 1, 0, 1)
        );
        assert_eq!(
            judge(&["a", "b"], &stream, OK),
            [PASS, alone(AloneReason::Ignored)]
        );
    }

    #[test]
    fn names_that_could_be_confused_are_run_alone() {
        let names = ["x", "x - should panic", "y"];
        let stream =
            "running 3 tests\ntest x - should panic ... ok\ntest y ... ok\ntest y2 ... ok\n";
        assert!(!judge(&names, stream, CRASH).contains(&PASS));
        let stream =
            "running 3 tests\ntest x - should panic ... ok\ntest y ... ok\ntest x ... ok\n";
        assert_eq!(
            judge(&names, stream, CRASH)[..2],
            [alone(AloneReason::Contradicted); 2]
        );
        assert_eq!(judge(&names, stream, CRASH)[2], PASS);
        // A name requested twice, of which one was run.
        let stream = "running 3 tests\ntest x ... ok\ntest y ... ok\n";
        assert!(!judge(&["x", "x", "y"], stream, CRASH).contains(&PASS));
    }

    #[test]
    fn aligned_names_with_a_kind_are_found() {
        let stream = format!(
            "\nrunning 2 tests\ntest [ui]   short    ... ok\ntest        plainname ... ok\n{}",
            result("ok", 2, 0, 0)
        );
        let mut judge = BatchJudge::new(["[ui] short", "plainname"]);
        let mut order = Vec::new();
        OutputParser::new().feed(stream.as_bytes(), &mut |event| {
            order.extend(judge.event(&event))
        });
        assert_eq!(order, [0, 1]);
        assert_eq!(judge.finish(OK), [PASS, PASS]);
    }

    #[test]
    fn captured_output_is_never_evidence() {
        let stream = format!(
            "running 2 tests\ntest a ... FAILED\ntest b ... FAILED\n\nfailures:\n\n---- a stdout ----\ntest b ... ok\n{}\nfailures:\n    a\n{}",
            result("ok", 2, 0, 0),
            result("FAILED", 0, 2, 0)
        );
        assert_eq!(
            judge(&["a", "b"], &stream, FAIL),
            [alone(AloneReason::Failed); 2]
        );
    }

    #[derive(Clone, Copy, Debug, PartialEq)]
    enum Truth {
        Passes,
        Fails,
    }

    /// Writes what a threaded libtest process prints whose tests have these outcomes, with a print of the test itself
    /// (raw bytes, maybe harness-like) in front of some of the lines.
    fn threaded_stream(truths: &[Truth], prints: &[Option<&str>]) -> String {
        let mut stream = format!("\nrunning {} tests\n", truths.len());
        for (index, truth) in truths.iter().enumerate() {
            stream.push_str(prints[index].unwrap_or_default());
            let word = if *truth == Truth::Passes {
                "ok"
            } else {
                "FAILED"
            };
            stream.push_str(&format!("test t{index} ... {word}\n"));
        }
        let failed = truths
            .iter()
            .filter(|truth| **truth == Truth::Fails)
            .count();
        if failed > 0 {
            stream.push_str("\nfailures:\n\nfailures:\n");
        }
        let word = if failed == 0 { "ok" } else { "FAILED" };
        stream.push_str(&result(word, truths.len() - failed, failed, 0));
        stream
    }

    fn truths() -> impl Strategy<Value = Vec<Truth>> {
        proptest::collection::vec(
            prop_oneof![3 => Just(Truth::Passes), 1 => Just(Truth::Fails)],
            1..8,
        )
    }

    fn prints() -> impl Strategy<Value = Vec<Option<&'static str>>> {
        let print = prop_oneof![
            Just("x"),
            Just("\n"),
            Just("ok\n"),
            Just("line\n"),
            Just("test t0 ... ok\n"),
            Just("test t1 ... FAILED\n"),
            Just("test t2 ... "),
            Just("running 1 test\n"),
            Just("failures:\n"),
            Just("test result: ok. 1 passed; 0 failed; 0 ignored\n"),
        ];
        proptest::collection::vec(proptest::option::weighted(0.3, print), 8)
    }

    proptest! {
        /// Whatever tests print, a stream that ran to its end never makes a failing test pass.
        #[test]
        fn a_failing_test_never_passes(truths in truths(), prints in prints()) {
            let names: Vec<String> = (0..truths.len()).map(|index| format!("t{index}")).collect();
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let end = if truths.contains(&Truth::Fails) { FAIL } else { OK };
            let verdicts = judge(&names, &threaded_stream(&truths, &prints), end);
            for (truth, verdict) in truths.iter().zip(&verdicts) {
                prop_assert!(*truth == Truth::Passes || *verdict != PASS, "{:?}", verdicts);
            }
            // Nor is there more work than needed in the plain case.
            if prints.iter().take(truths.len()).all(Option::is_none) {
                let passed = verdicts.iter().filter(|verdict| **verdict == PASS).count();
                prop_assert_eq!(passed, truths.iter().filter(|truth| **truth == Truth::Passes).count());
            }
        }

        /// A process that dies anywhere, its tests printing nothing raw, never makes a failing or unfinished test pass.
        #[test]
        fn a_stream_cut_anywhere_never_invents_a_pass(truths in truths(), at in 0.0f64..1.0) {
            let names: Vec<String> = (0..truths.len()).map(|index| format!("t{index}")).collect();
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let stream = threaded_stream(&truths, &[None; 8]);
            let cut = (stream.len() as f64 * at) as usize;
            for end in [OK, FAIL, CRASH, BatchEnd::TimedOut, BatchEnd::Lost] {
                let verdicts = judge(&names, &stream[..cut], end);
                for (index, verdict) in verdicts.iter().enumerate() {
                    let line = format!("test t{index} ... ok\n");
                    prop_assert!(*verdict != PASS || stream[..cut].contains(&line), "{:?}", verdicts);
                }
            }
        }
    }
}
