//! What the journal says.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::RunId;
use crate::model::{Attempt, TestId, UnixMillis, Verdict};

/// The version of the journal's format. It changes when an older reader would misread a newer file; new kinds of
/// records and new fields do not change it, since readers skip and count what they do not know.
pub const FORMAT_VERSION: u32 = 1;

/// One line of the journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Record {
    /// The first record: which run this is.
    RunStarted {
        /// [`FORMAT_VERSION`] of the writer.
        format: u32,
        /// The run.
        run: RunId,
        /// When it started, by the wall clock.
        started: UnixMillis,
        /// The version of the program that runs it.
        version: String,
        /// The command line, for a person.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        arguments: Vec<String>,
        /// How many tests it is about to run, if that is known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        tests: Option<u64>,
    },
    /// A test was started. Optional: it tells a resumed run what was under way, and costs a record per attempt.
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
    },
    /// A test has its final verdict.
    Verdict {
        /// The test.
        #[serde(flatten)]
        test: TestId,
        /// The verdict.
        verdict: Verdict,
        /// The time of all its attempts together.
        #[serde(rename = "duration_us", with = "crate::model::micros")]
        duration: Duration,
    },
    /// The run ended by itself. A journal without this record belongs to a run that is going on or was killed.
    RunFinished {
        /// When, by the wall clock.
        finished: UnixMillis,
        /// How long it took.
        #[serde(rename = "duration_us", with = "crate::model::micros")]
        duration: Duration,
        /// How many tests came to what.
        counts: RunCounts,
    },
}

impl Record {
    /// The first record of a run that starts now.
    #[must_use]
    pub fn run_started(run: RunId, arguments: Vec<String>, tests: Option<u64>) -> Self {
        Self::RunStarted {
            format: FORMAT_VERSION,
            run,
            started: UnixMillis::now(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            arguments,
            tests,
        }
    }
}

/// How many tests came to what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct RunCounts {
    /// Passed at the first attempt.
    pub passed: u64,
    /// Passed and left a process behind.
    pub leaked: u64,
    /// Passed after a retry.
    pub flaky: u64,
    /// Failed.
    pub failed: u64,
    /// Ran out of time.
    pub timed_out: u64,
    /// Ignored by their authors.
    pub ignored: u64,
    /// Without a result, because the run ended first.
    pub cancelled: u64,
}

impl RunCounts {
    /// Counts one more verdict.
    pub fn add(&mut self, verdict: &Verdict) {
        let place = match verdict {
            Verdict::Passed => &mut self.passed,
            Verdict::Leaked => &mut self.leaked,
            Verdict::Flaky { .. } => &mut self.flaky,
            Verdict::Failed(_) => &mut self.failed,
            Verdict::TimedOut { .. } => &mut self.timed_out,
            Verdict::Ignored { .. } => &mut self.ignored,
            Verdict::Cancelled => &mut self.cancelled,
        };
        *place += 1;
    }

    /// Tests that ran to a result of their own.
    #[must_use]
    pub fn run(&self) -> u64 {
        self.passes() + self.failures()
    }

    /// Tests that passed, at whatever attempt.
    #[must_use]
    pub fn passes(&self) -> u64 {
        self.passed + self.leaked + self.flaky
    }

    /// Tests that failed or ran out of time.
    #[must_use]
    pub fn failures(&self) -> u64 {
        self.failed + self.timed_out
    }
}

#[cfg(test)]
pub(super) mod samples {
    use super::*;
    use crate::model::{AttemptResult, Excerpt, ExcerptLimit, Failure, OutputExcerpt};

    /// One record of every kind, with awkward text in it.
    pub(in crate::journal) fn records() -> Vec<Record> {
        let test = TestId::new("pkg::it", "größe: \"x\"\\ \n");
        let failed = AttemptResult::Failed(Failure::Signal {
            signal: 11,
            core_dumped: true,
        });
        let stdout = Excerpt::of(b"\x1b[31mred\xff\n\0", ExcerptLimit::default())
            .spilled_to("output/1.stdout");
        let attempt = Attempt::new(1, failed)
            .started(UnixMillis(7))
            .lasting(Duration::from_micros(17))
            .summary(Some("it broke".to_owned()))
            .output(Some(OutputExcerpt::new(stdout, Excerpt::default())));
        let mut counts = RunCounts::default();
        counts.add(&Verdict::Flaky { attempts: 2 });
        vec![
            Record::RunStarted {
                format: FORMAT_VERSION,
                run: RunId::from_parts(UnixMillis(5), 6),
                started: UnixMillis(5),
                version: "1.2.3".to_owned(),
                arguments: vec!["run".to_owned()],
                tests: Some(1),
            },
            Record::AttemptStarted {
                test: test.clone(),
                number: 1,
            },
            Record::AttemptFinished {
                test: test.clone(),
                attempt,
            },
            Record::Verdict {
                test,
                verdict: Verdict::Failed(Failure::ExitedEarly),
                duration: Duration::from_millis(3),
            },
            Record::RunFinished {
                finished: UnixMillis(9),
                duration: Duration::from_secs(1),
                counts,
            },
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_survives_json() {
        for record in samples::records() {
            let json = serde_json::to_string(&record).unwrap();
            assert_eq!(
                serde_json::from_str::<Record>(&json).unwrap(),
                record,
                "{json}"
            );
            assert!(!json.contains('\n'), "a record is one line: {json}");
        }
    }

    #[test]
    fn a_verdict_is_small() {
        let record = Record::Verdict {
            test: TestId::new("p", "t"),
            verdict: Verdict::Passed,
            duration: Duration::from_micros(9),
        };
        assert_eq!(
            serde_json::to_string(&record).unwrap(),
            r#"{"kind":"verdict","binary":"p","test":"t","verdict":{"status":"passed"},"duration_us":9}"#
        );
    }

    #[test]
    fn unknown_fields_are_ignored_and_missing_counts_are_zero() {
        let json = r#"{"kind":"run-finished","finished":1,"duration_us":2,"counts":{"passed":3,"new":4},"later":true}"#;
        let Record::RunFinished { counts, .. } = serde_json::from_str(json).unwrap() else {
            panic!("wrong kind")
        };
        assert_eq!((counts.passed, counts.failed), (3, 0));
    }
}
