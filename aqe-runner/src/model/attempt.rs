//! One attempt at one test.

use std::fmt;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use super::{Exit, OutputExcerpt, micros};

/// A wall-clock time in whole milliseconds since 1970-01-01 UTC, for people and reports; never used to order events.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct UnixMillis(pub u64);

impl UnixMillis {
    /// Reads the wall clock. A clock set before 1970 reads as 0.
    #[must_use]
    pub fn now() -> Self {
        Self::from(SystemTime::now())
    }
}

impl From<SystemTime> for UnixMillis {
    fn from(time: SystemTime) -> Self {
        let since = time
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        Self(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }
}

/// Why an attempt failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "reason", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Failure {
    /// The process ended by itself with a code other than 0; libtest uses 101.
    ExitCode {
        /// The code.
        code: i32,
    },
    /// A signal ended the process.
    Signal {
        /// The signal's number on the machine that ran the test.
        signal: i32,
        /// Whether the system wrote a core file.
        core_dumped: bool,
    },
    /// The process ended with code 0 before its harness printed a result: the test called `exit` itself.
    ExitedEarly,
    /// The process could not be started, or its result could not be read.
    NotStarted {
        /// What the system said.
        message: String,
    },
}

impl Failure {
    /// The failure that an exit stands for; `None` for success.
    #[must_use]
    pub fn of_exit(exit: Exit) -> Option<Self> {
        match exit {
            Exit::Code(0) => None,
            Exit::Code(code) => Some(Self::ExitCode { code }),
            Exit::Signal {
                signal,
                core_dumped,
            } => Some(Self::Signal {
                signal,
                core_dumped,
            }),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ExitCode { code } => Exit::Code(*code).fmt(f),
            Self::Signal {
                signal,
                core_dumped,
            } => Exit::Signal {
                signal: *signal,
                core_dumped: *core_dumped,
            }
            .fmt(f),
            Self::ExitedEarly => {
                f.write_str("exited with code 0 before the harness reported a result")
            }
            Self::NotStarted { message } => write!(f, "could not be run: {message}"),
        }
    }
}

/// What one attempt came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum AttemptResult {
    /// The test ran to its end and passed.
    Passed,
    /// The test failed.
    Failed(Failure),
    /// The test was still running when its time was up and was killed.
    TimedOut {
        /// The timeout that was in force.
        #[serde(rename = "after_us", with = "micros")]
        after: Duration,
    },
    /// The run was stopped while the test was running; this says nothing about the test.
    Cancelled,
}

impl AttemptResult {
    /// Whether the attempt passed.
    #[must_use]
    pub fn is_pass(&self) -> bool {
        matches!(self, Self::Passed)
    }
}

/// One attempt at one test: what it came to, when, how long, and what it printed.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use aqe_runner::model::{Attempt, AttemptResult};
///
/// let attempt = Attempt::new(1, AttemptResult::Passed).lasting(Duration::from_millis(3));
/// assert!(attempt.result.is_pass());
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Attempt {
    /// Counts from 1 within one test.
    pub number: u32,
    /// What it came to.
    #[serde(flatten)]
    pub result: AttemptResult,
    /// When it started, by the wall clock.
    pub started: UnixMillis,
    /// How long it took, from spawn to the last byte and exit.
    #[serde(rename = "duration_us", with = "micros")]
    pub duration: Duration,
    /// A process that the test left behind still held its output when the test itself had ended.
    #[serde(default, skip_serializing_if = "is_false")]
    pub leaked: bool,
    /// Whether it shared its process with other tests (batch isolation).
    #[serde(default, skip_serializing_if = "is_false")]
    pub batched: bool,
    /// How many bytes its process wrote to both streams; 0 for one that shared its process.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub output_bytes: u64,
    /// Whether its harness was left to hold what the test printed, to be replayed should it fail. What a harness holds
    /// is lost when its process is killed.
    #[serde(default, skip_serializing_if = "is_false")]
    pub output_held: bool,
    /// One line that says why it failed, usually the panic message; `None` when it passed or said nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<String>,
    /// What it printed, bounded; kept for attempts that did not pass. Boxed because most attempts pass.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<Box<OutputExcerpt>>,
}

impl Attempt {
    /// An attempt that started now, took no time and printed nothing.
    #[must_use]
    pub fn new(number: u32, result: AttemptResult) -> Self {
        Self {
            number,
            result,
            started: UnixMillis::now(),
            duration: Duration::ZERO,
            leaked: false,
            batched: false,
            output_bytes: 0,
            output_held: false,
            summary: None,
            output: None,
        }
    }

    /// Sets the duration.
    #[must_use]
    pub fn lasting(mut self, duration: Duration) -> Self {
        self.duration = duration;
        self
    }

    /// Sets the start.
    #[must_use]
    pub fn started(mut self, started: UnixMillis) -> Self {
        self.started = started;
        self
    }

    /// Says whether a process was left behind.
    #[must_use]
    pub fn leaked(mut self, leaked: bool) -> Self {
        self.leaked = leaked;
        self
    }

    /// Says whether the process was shared with other tests.
    #[must_use]
    pub fn batched(mut self, batched: bool) -> Self {
        self.batched = batched;
        self
    }

    /// Sets how much its process wrote, and whether its harness held what the test itself printed.
    #[must_use]
    pub fn wrote(mut self, output_bytes: u64, output_held: bool) -> Self {
        self.output_bytes = output_bytes;
        self.output_held = output_held;
        self
    }

    /// Sets the one-line reason.
    #[must_use]
    pub fn summary(mut self, summary: Option<String>) -> Self {
        self.summary = summary;
        self
    }

    /// Sets what it printed.
    #[must_use]
    pub fn output(mut self, output: Option<OutputExcerpt>) -> Self {
        self.output = output.map(Box::new);
        self
    }
}

fn is_false(value: &bool) -> bool {
    !value
}

fn is_zero(value: &u64) -> bool {
    *value == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Excerpt, ExcerptLimit};

    #[test]
    fn every_result_survives_json() {
        let results = [
            AttemptResult::Passed,
            AttemptResult::Failed(Failure::ExitCode { code: 101 }),
            AttemptResult::Failed(Failure::Signal {
                signal: 11,
                core_dumped: true,
            }),
            AttemptResult::Failed(Failure::ExitedEarly),
            AttemptResult::Failed(Failure::NotStarted {
                message: "no such file \"x\"".to_owned(),
            }),
            AttemptResult::TimedOut {
                after: Duration::from_micros(1_500_001),
            },
            AttemptResult::Cancelled,
        ];
        for (number, result) in (1..).zip(results) {
            let attempt = Attempt::new(number, result)
                .lasting(Duration::from_micros(42))
                .leaked(number % 2 == 0)
                .batched(number % 3 == 0)
                .summary((number > 3).then(|| "why".to_owned()))
                .output((number > 4).then(|| {
                    let stdout = Excerpt::of(b"hi", ExcerptLimit::default());
                    OutputExcerpt::new(stdout, Excerpt::default())
                }));
            let json = serde_json::to_string(&attempt).unwrap();
            assert_eq!(
                serde_json::from_str::<Attempt>(&json).unwrap(),
                attempt,
                "{json}"
            );
        }
    }

    #[test]
    fn a_failed_attempt_is_one_flat_object() {
        let attempt = Attempt::new(
            2,
            AttemptResult::Failed(Failure::Signal {
                signal: 6,
                core_dumped: false,
            }),
        )
        .started(UnixMillis(7))
        .lasting(Duration::from_millis(1));
        assert_eq!(
            serde_json::to_string(&attempt).unwrap(),
            r#"{"number":2,"status":"failed","reason":"signal","signal":6,"core_dumped":false,"started":7,"duration_us":1000}"#
        );
    }

    #[test]
    fn a_clock_before_1970_reads_as_zero() {
        let before = SystemTime::UNIX_EPOCH - Duration::from_secs(5);
        assert_eq!(UnixMillis::from(before), UnixMillis(0));
    }
}
