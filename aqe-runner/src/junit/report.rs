//! From journal records to the document.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono::{DateTime, FixedOffset};
use quick_junit::{
    NonSuccessKind, Property, Report, TestCase, TestCaseStatus, TestRerun, TestSuite,
};

use super::text::clean;
use crate::journal::Record;
use crate::model::{
    Attempt, AttemptResult, BinaryId, Excerpt, Failure, TestId, UnixMillis, Verdict,
};

/// A report that could not be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write the JUnit report {path}")]
#[non_exhaustive]
pub struct JunitError {
    /// The file that was to be written.
    pub path: PathBuf,
    /// What the system said.
    pub source: io::Error,
}

/// A report that grows with a run.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use aqe_runner::journal::Record;
/// use aqe_runner::junit::JunitReport;
/// use aqe_runner::model::{TestId, Verdict};
///
/// let mut report = JunitReport::new("my project");
/// report.add(Record::Verdict {
///     test: TestId::new("store", "opens"),
///     verdict: Verdict::Passed,
///     duration: Duration::from_millis(2),
/// });
/// let mut xml = Vec::new();
/// report.write_to(&mut xml)?;
/// assert!(String::from_utf8(xml).unwrap().contains(r#"<testcase name="opens" classname="store" time="0.002"/>"#));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct JunitReport {
    report: Report,
    suites: BTreeMap<BinaryId, TestSuite>,
    /// Attempts of tests that have no verdict yet.
    open: HashMap<TestId, Vec<Attempt>>,
    /// Bytes of output that may still go in.
    output_left: usize,
}

impl JunitReport {
    /// How many bytes of tests' output one report holds. What comes later is left out, and says so.
    pub const MAX_OUTPUT_BYTES: usize = 16 * 1024 * 1024;

    /// An empty report of this name.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self {
            report: Report::new(clean(name)),
            suites: BTreeMap::new(),
            open: HashMap::new(),
            output_left: Self::MAX_OUTPUT_BYTES,
        }
    }

    /// Takes the next record of the journal. Records that say nothing about results are passed over.
    pub fn add(&mut self, record: Record) {
        match record {
            Record::RunStarted { run, started, .. } => {
                self.report.set_uuid(uuid::Uuid::from_u128(run.as_u128()));
                self.report.timestamp = timestamp(started);
            }
            Record::AttemptFinished { test, attempt } => {
                self.open.entry(test).or_default().push(attempt)
            }
            Record::Verdict {
                test,
                verdict,
                duration,
            } => {
                let attempts = self.open.remove(&test).unwrap_or_default();
                self.add_case(&test, &verdict, &attempts, duration);
            }
            Record::RunFinished { duration, .. } => {
                self.report.set_time(duration);
            }
            Record::AttemptStarted { .. } => {}
        }
    }

    /// Writes the document. Tests that have attempts and no verdict, which a killed run leaves, are `skipped`.
    ///
    /// # Errors
    ///
    /// What the writer says.
    pub fn write_to(mut self, writer: impl Write) -> io::Result<()> {
        let mut open: Vec<_> = std::mem::take(&mut self.open).into_iter().collect();
        open.sort_by(|(a, _), (b, _)| a.cmp(b));
        for (test, attempts) in open {
            let duration = attempts.iter().map(|attempt| attempt.duration).sum();
            self.add_case(&test, &Verdict::Cancelled, &attempts, duration);
        }
        for (_, mut suite) in self.suites {
            // Tests of a suite run side by side, so this is what they took together, not how long they took.
            suite.time = Some(suite.test_cases.iter().filter_map(|case| case.time).sum());
            suite.timestamp = suite
                .test_cases
                .iter()
                .filter_map(|case| case.timestamp)
                .min();
            self.report.add_test_suite(suite);
        }
        self.report.serialize(writer).map_err(io::Error::other)
    }

    /// Writes the document to a file, which is replaced as a whole. Folders in its path are created.
    ///
    /// # Errors
    ///
    /// When the file cannot be written; an old one is still in place then.
    pub fn save(self, path: &Path) -> Result<(), JunitError> {
        let failed = |source| JunitError {
            path: path.to_owned(),
            source,
        };
        let folder = path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty());
        if let Some(folder) = folder {
            fs::create_dir_all(folder).map_err(failed)?;
        }
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{}.tmp", std::process::id()));
        let temporary = path.with_file_name(name);
        let written = File::create(&temporary).and_then(|file| {
            let mut file = BufWriter::new(file);
            self.write_to(&mut file)?;
            file.flush()?;
            fs::rename(&temporary, path)
        });
        written.map_err(|source| {
            let _ = fs::remove_file(&temporary);
            failed(source)
        })
    }

    fn add_case(
        &mut self,
        test: &TestId,
        verdict: &Verdict,
        attempts: &[Attempt],
        duration: Duration,
    ) {
        let (shown, status) = self.status(verdict, attempts);
        let mut case = TestCase::new(clean(test.name.as_str()), status);
        case.set_classname(clean(test.binary.as_str()));
        case.set_time(shown.map_or(duration, |attempt| attempt.duration));
        case.timestamp = shown.and_then(|attempt| timestamp(attempt.started));
        if attempts.iter().any(|attempt| attempt.leaked) {
            case.add_property(Property::new("leaked", "true"));
        }
        if let Some(attempt) = shown.filter(|_| !verdict.is_pass()) {
            let (stdout, stderr) = self.output(attempt);
            case.system_out = stdout.map(Into::into);
            case.system_err = stderr.map(Into::into);
        }
        let suite = self.suites.entry(test.binary.clone());
        suite
            .or_insert_with(|| TestSuite::new(clean(test.binary.as_str())))
            .add_test_case(case);
    }

    /// The status of a test, and the attempt that it describes: the first of a failure, the last of anything else.
    fn status<'a>(
        &mut self,
        verdict: &Verdict,
        attempts: &'a [Attempt],
    ) -> (Option<&'a Attempt>, TestCaseStatus) {
        let last = attempts.last();
        match verdict {
            Verdict::Passed | Verdict::Leaked | Verdict::Flaky { .. } => {
                let mut status = TestCaseStatus::success();
                let earlier = attempts
                    .split_last()
                    .map_or(&[][..], |(_, earlier)| earlier);
                for attempt in earlier {
                    status.add_rerun(self.rerun(attempt));
                }
                (last, status)
            }
            Verdict::Failed(_) | Verdict::TimedOut { .. } => {
                let Some((first, later)) = attempts.split_first() else {
                    return (None, failure_without_attempts(verdict));
                };
                let description = Description::of(&first.result);
                let mut status = TestCaseStatus::non_success(description.kind);
                status
                    .set_type(description.class)
                    .set_message(description.message(first));
                for attempt in later {
                    status.add_rerun(self.rerun(attempt));
                }
                (Some(first), status)
            }
            Verdict::Ignored { reason } => {
                let mut status = TestCaseStatus::skipped();
                status
                    .set_type("ignored")
                    .set_message(clean(reason.as_deref().unwrap_or("ignored")));
                (None, status)
            }
            Verdict::Cancelled => {
                let mut status = TestCaseStatus::skipped();
                status
                    .set_type("cancelled")
                    .set_message("the run ended before this test had a result");
                (last, status)
            }
        }
    }

    fn rerun(&mut self, attempt: &Attempt) -> TestRerun {
        let description = Description::of(&attempt.result);
        let mut rerun = TestRerun::new(description.kind);
        rerun
            .set_type(description.class)
            .set_message(description.message(attempt))
            .set_time(attempt.duration);
        rerun.timestamp = timestamp(attempt.started);
        let (stdout, stderr) = self.output(attempt);
        rerun.system_out = stdout.map(Into::into);
        rerun.system_err = stderr.map(Into::into);
        rerun
    }

    /// What an attempt printed, as far as the report has room.
    fn output(&mut self, attempt: &Attempt) -> (Option<String>, Option<String>) {
        let Some(output) = &attempt.output else {
            return (None, None);
        };
        let mut text = |excerpt: &Excerpt| {
            if excerpt.is_empty() {
                return None;
            }
            let text = clean(&excerpt.to_text());
            let Some(left) = self.output_left.checked_sub(text.len()) else {
                return Some("[left out: this report has reached its limit of output]".to_owned());
            };
            self.output_left = left;
            Some(text)
        };
        (text(&output.stdout), text(&output.stderr))
    }
}

/// How an attempt that did not pass is described.
struct Description {
    kind: NonSuccessKind,
    class: &'static str,
    text: String,
}

impl Description {
    fn of(result: &AttemptResult) -> Self {
        let (kind, class, text) = match result {
            AttemptResult::Failed(failure @ Failure::NotStarted { .. }) => {
                (NonSuccessKind::Error, "not-started", failure.to_string())
            }
            AttemptResult::Failed(failure) => (
                NonSuccessKind::Failure,
                class_of(failure),
                failure.to_string(),
            ),
            AttemptResult::TimedOut { after } => (
                NonSuccessKind::Failure,
                "timeout",
                format!("timed out after {after:?}"),
            ),
            AttemptResult::Cancelled => {
                (NonSuccessKind::Error, "cancelled", "cancelled".to_owned())
            }
            // A pass among the attempts of a test that failed in the end.
            AttemptResult::Passed => (
                NonSuccessKind::Failure,
                "passed",
                "passed at this attempt".to_owned(),
            ),
        };
        Self { kind, class, text }
    }

    fn message(&self, attempt: &Attempt) -> String {
        clean(attempt.summary.as_deref().unwrap_or(&self.text))
    }
}

fn class_of(failure: &Failure) -> &'static str {
    match failure {
        Failure::ExitCode { .. } => "failure",
        Failure::Signal { .. } => "signal",
        Failure::ExitedEarly => "exited-early",
        Failure::NotStarted { .. } => "not-started",
    }
}

/// A journal whose attempts were lost still has the verdict.
fn failure_without_attempts(verdict: &Verdict) -> TestCaseStatus {
    let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
    status
        .set_type(verdict.label())
        .set_message(clean(&verdict.to_string()));
    status
}

/// The time for the document; `None` for one that no calendar holds.
fn timestamp(time: UnixMillis) -> Option<DateTime<FixedOffset>> {
    let millis = i64::try_from(time.0).ok()?;
    DateTime::from_timestamp_millis(millis).map(|utc| utc.fixed_offset())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::{RunCounts, RunId};
    use crate::model::{ExcerptLimit, OutputExcerpt};

    fn attempt(number: u32, result: AttemptResult) -> Attempt {
        Attempt::new(number, result)
            .started(UnixMillis(1_700_000_000_000))
            .lasting(Duration::from_millis(1500))
    }

    fn failed(number: u32, stderr: &str) -> Attempt {
        let stderr = Excerpt::of(stderr.as_bytes(), ExcerptLimit::default());
        attempt(
            number,
            AttemptResult::Failed(Failure::ExitCode { code: 101 }),
        )
        .summary(Some(
            "assertion failed: <a> & \"b\" (src/lib.rs:1:2)".to_owned(),
        ))
        .output(Some(OutputExcerpt::new(Excerpt::default(), stderr)))
    }

    fn add(report: &mut JunitReport, name: &str, attempts: Vec<Attempt>, verdict: Option<Verdict>) {
        let test = TestId::new("store::it", name);
        let verdict = verdict.unwrap_or_else(|| Verdict::of(&attempts));
        for attempt in attempts {
            report.add(Record::AttemptFinished {
                test: test.clone(),
                attempt,
            });
        }
        report.add(Record::Verdict {
            test,
            verdict,
            duration: Duration::from_secs(3),
        });
    }

    fn written(report: JunitReport) -> String {
        let mut xml = Vec::new();
        report.write_to(&mut xml).unwrap();
        String::from_utf8(xml).unwrap()
    }

    #[test]
    fn every_verdict_has_its_place() {
        let mut report = JunitReport::new("project");
        report.add(Record::run_started(
            RunId::from_parts(UnixMillis(0), 0),
            vec![],
            None,
        ));
        add(
            &mut report,
            "passes",
            vec![attempt(1, AttemptResult::Passed)],
            None,
        );
        add(
            &mut report,
            "leaks",
            vec![attempt(1, AttemptResult::Passed).leaked(true)],
            None,
        );
        add(
            &mut report,
            "flaky",
            vec![failed(1, "first\n"), attempt(2, AttemptResult::Passed)],
            None,
        );
        add(
            &mut report,
            "fails",
            vec![failed(1, "one"), failed(2, "two")],
            None,
        );
        add(
            &mut report,
            "slow",
            vec![attempt(
                1,
                AttemptResult::TimedOut {
                    after: Duration::from_secs(1),
                },
            )],
            None,
        );
        let gone = AttemptResult::Failed(Failure::NotStarted {
            message: "no such file".to_owned(),
        });
        add(&mut report, "gone", vec![attempt(1, gone)], None);
        add(
            &mut report,
            "ignored",
            vec![],
            Some(Verdict::Ignored {
                reason: Some("too slow".to_owned()),
            }),
        );
        add(&mut report, "cancelled", vec![], None);
        add(
            &mut report,
            "lost",
            vec![],
            Some(Verdict::Failed(Failure::ExitedEarly)),
        );
        report.add(Record::AttemptFinished {
            test: TestId::new("store::it", "open"),
            attempt: failed(1, "x"),
        });
        report.add(Record::RunFinished {
            finished: UnixMillis(5),
            duration: Duration::from_secs(7),
            counts: RunCounts::default(),
        });
        let xml = written(report);
        let parts = [
            r#"<testsuites name="project" tests="10" skipped="3" failures="3" errors="1" uuid="00000000-0000-7000-8000-000000000000""#,
            r#"time="7.000">"#,
            r#"<testsuite name="store::it" tests="10" skipped="3" errors="1" failures="3" timestamp="2023-11-14T22:13:20.000+00:00""#,
            r#"<testcase name="passes" classname="store::it" timestamp="2023-11-14T22:13:20.000+00:00" time="1.500"/>"#,
            r#"<property name="leaked" value="true"/>"#,
            r#"<flakyFailure timestamp="2023-11-14T22:13:20.000+00:00" time="1.500" message="assertion failed: &lt;a&gt; &amp; &quot;b&quot; (src/lib.rs:1:2)" type="failure">"#,
            "<system-err>first\n</system-err>",
            r#"<failure message="assertion failed:"#,
            r#"<rerunFailure timestamp="#,
            "<system-err>one</system-err>",
            "<system-err>two</system-err>",
            r#"<failure message="timed out after 1s" type="timeout"/>"#,
            r#"<error message="could not be run: no such file" type="not-started"/>"#,
            r#"<skipped message="too slow" type="ignored"/>"#,
            r#"<skipped message="the run ended before this test had a result" type="cancelled"/>"#,
            r#"<failure message="failed: exited with code 0 before the harness reported a result" type="failed"/>"#,
        ];
        for part in parts {
            assert!(xml.contains(part), "{part}\nis not in\n{xml}");
        }
        assert!(
            xml.find("<system-err>one").unwrap() > xml.find("<rerunFailure").unwrap(),
            "the first attempt is the case's own"
        );
    }

    #[test]
    fn what_xml_cannot_hold_is_taken_out_everywhere() {
        let mut report = JunitReport::new("na\0me");
        let attempt = failed(1, "\u{1b}[31mred\u{1b}[0m\u{0}\u{ffff}\ttab ]]> <&")
            .summary(Some("bell\u{7} \u{1b}]0;title\u{7}rung".to_owned()));
        add(&mut report, "t\u{1}\u{fffe}", vec![attempt], None);
        let xml = written(report);
        assert!(
            xml.contains("red\u{fffd}    tab ]]&gt; &lt;&amp;</system-err>"),
            "{xml}"
        );
        assert!(
            xml.contains(r#"message="bell rung""#) && xml.contains("name=\"t\u{fffd}\""),
            "{xml}"
        );
        assert!(!xml.chars().any(|char| char.is_control() && char != '\n'));
        // Another reader takes it.
        Report::deserialize_from_str(&xml).unwrap();
    }

    #[test]
    fn output_is_bounded_over_the_whole_report() {
        let mut report = JunitReport::new("p");
        report.output_left = 10;
        add(&mut report, "a", vec![failed(1, "12345678")], None);
        add(&mut report, "b", vec![failed(1, "12345678")], None);
        let xml = written(report);
        assert_eq!(xml.matches("12345678").count(), 1);
        assert_eq!(xml.matches("left out").count(), 1);
    }

    #[test]
    fn saving_replaces_the_file_and_leaves_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/er/junit.xml");
        JunitReport::new("one").save(&path).unwrap();
        JunitReport::new("two").save(&path).unwrap();
        assert!(fs::read_to_string(&path).unwrap().contains("two"));
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
        let error = JunitReport::new("x").save(folder.path()).unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("cannot write the JUnit report")
        );
        assert_eq!(
            fs::read_dir(folder.path().parent().unwrap())
                .unwrap()
                .flatten()
                .filter(|file| {
                    file.file_name()
                        .to_string_lossy()
                        .contains(&format!("{}.tmp", std::process::id()))
                })
                .count(),
            0
        );
    }

    #[test]
    fn times_outside_the_calendar_are_left_out() {
        assert_eq!(timestamp(UnixMillis(u64::MAX)), None);
        assert!(timestamp(UnixMillis(0)).is_some());
    }
}
