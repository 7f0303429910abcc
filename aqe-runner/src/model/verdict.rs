//! What a test came to, once all its attempts are over.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Attempt, AttemptResult, Failure, micros};

/// The final word on a test.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Verdict {
    /// It passed at the first attempt.
    Passed,
    /// It passed, and left a process behind that held its output open.
    Leaked,
    /// It passed, after at least one attempt that did not.
    Flaky {
        /// How many attempts there were, the last of which passed; at least 2.
        attempts: u32,
    },
    /// Its last attempt failed.
    Failed(Failure),
    /// Its last attempt ran out of time.
    TimedOut {
        /// The timeout that was in force.
        #[serde(rename = "after_us", with = "micros")]
        after: Duration,
    },
    /// Its author marked it so, and nobody asked for it.
    Ignored {
        /// The author's reason, where the harness tells it.
        #[serde(
            default,
            rename = "ignore_reason",
            skip_serializing_if = "Option::is_none"
        )]
        reason: Option<String>,
    },
    /// The run ended before the test had a result of its own.
    Cancelled,
}

impl Verdict {
    /// Judges a test by its attempts, in the order they were made.
    ///
    /// The last attempt decides; earlier ones that did not pass turn a pass into [`Verdict::Flaky`]. An attempt that was
    /// cancelled says nothing, so a test whose last attempt was cancelled is [`Verdict::Cancelled`] and never failed
    /// or passed by what came before. No attempts at all is [`Verdict::Cancelled`] too.
    ///
    /// # Examples
    ///
    /// ```
    /// use aqe_runner::model::{Attempt, AttemptResult, Failure, Verdict};
    ///
    /// let failed = Attempt::new(1, AttemptResult::Failed(Failure::ExitCode { code: 101 }));
    /// let passed = Attempt::new(2, AttemptResult::Passed);
    /// assert_eq!(Verdict::of(&[failed, passed]), Verdict::Flaky { attempts: 2 });
    /// ```
    #[must_use]
    pub fn of(attempts: &[Attempt]) -> Self {
        let Some((last, earlier)) = attempts.split_last() else {
            return Self::Cancelled;
        };
        match &last.result {
            AttemptResult::Passed if earlier.iter().any(|attempt| !attempt.result.is_pass()) => {
                Self::Flaky {
                    attempts: u32::try_from(attempts.len()).unwrap_or(u32::MAX),
                }
            }
            AttemptResult::Passed if last.leaked => Self::Leaked,
            AttemptResult::Passed => Self::Passed,
            AttemptResult::Failed(failure) => Self::Failed(failure.clone()),
            AttemptResult::TimedOut { after } => Self::TimedOut { after: *after },
            AttemptResult::Cancelled => Self::Cancelled,
        }
    }

    /// Whether the test ran and passed, at whatever attempt.
    #[must_use]
    pub fn is_pass(&self) -> bool {
        matches!(self, Self::Passed | Self::Leaked | Self::Flaky { .. })
    }

    /// Whether the test ran and did not pass.
    #[must_use]
    pub fn is_failure(&self) -> bool {
        matches!(self, Self::Failed(_) | Self::TimedOut { .. })
    }

    /// One word, the same as the `status` in JSON.
    #[must_use]
    pub fn label(&self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Leaked => "leaked",
            Self::Flaky { .. } => "flaky",
            Self::Failed(_) => "failed",
            Self::TimedOut { .. } => "timed-out",
            Self::Ignored { .. } => "ignored",
            Self::Cancelled => "cancelled",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Passed => f.write_str("passed"),
            Self::Leaked => f.write_str("passed, left a process behind"),
            Self::Flaky { attempts } => write!(f, "passed at attempt {attempts}"),
            Self::Failed(failure) => write!(f, "failed: {failure}"),
            Self::TimedOut { after } => write!(f, "timed out after {after:?}"),
            Self::Ignored {
                reason: Some(reason),
            } => write!(f, "ignored: {reason}"),
            Self::Ignored { reason: None } => f.write_str("ignored"),
            Self::Cancelled => f.write_str("cancelled"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempts(results: &[AttemptResult]) -> Vec<Attempt> {
        (1..)
            .zip(results)
            .map(|(number, result)| Attempt::new(number, result.clone()))
            .collect()
    }

    #[test]
    fn the_last_attempt_decides_and_earlier_failures_make_a_pass_flaky() {
        let pass = AttemptResult::Passed;
        let fail = AttemptResult::Failed(Failure::ExitCode { code: 101 });
        let slow = AttemptResult::TimedOut {
            after: Duration::from_secs(1),
        };
        let stop = AttemptResult::Cancelled;
        let failed = Verdict::Failed(Failure::ExitCode { code: 101 });
        let timed_out = Verdict::TimedOut {
            after: Duration::from_secs(1),
        };
        let table: &[(&[AttemptResult], Verdict)] = &[
            (&[], Verdict::Cancelled),
            (std::slice::from_ref(&pass), Verdict::Passed),
            (&[pass.clone(), pass.clone()], Verdict::Passed),
            (
                &[fail.clone(), pass.clone()],
                Verdict::Flaky { attempts: 2 },
            ),
            (
                &[slow.clone(), fail.clone(), pass.clone()],
                Verdict::Flaky { attempts: 3 },
            ),
            (&[fail.clone(), slow.clone()], timed_out),
            (&[slow, fail.clone()], failed.clone()),
            (&[pass.clone(), fail.clone()], failed),
            (&[fail, stop], Verdict::Cancelled),
        ];
        for (results, expected) in table {
            assert_eq!(&Verdict::of(&attempts(results)), expected, "{results:?}");
        }
    }

    #[test]
    fn a_pass_that_left_a_process_behind_says_so() {
        let attempt = Attempt::new(1, AttemptResult::Passed).leaked(true);
        assert_eq!(Verdict::of(&[attempt]), Verdict::Leaked);
    }

    #[test]
    fn the_label_is_the_status_in_json() {
        let verdicts = [
            Verdict::Passed,
            Verdict::Leaked,
            Verdict::Flaky { attempts: 2 },
            Verdict::Failed(Failure::ExitedEarly),
            Verdict::TimedOut {
                after: Duration::from_secs(1),
            },
            Verdict::Ignored {
                reason: Some("slow".to_owned()),
            },
            Verdict::Ignored { reason: None },
            Verdict::Cancelled,
        ];
        for verdict in verdicts {
            let json = serde_json::to_string(&verdict).unwrap();
            assert!(
                json.starts_with(&format!(r#"{{"status":"{}""#, verdict.label())),
                "{json}"
            );
            assert_eq!(serde_json::from_str::<Verdict>(&json).unwrap(), verdict);
            assert!(!(verdict.is_pass() && verdict.is_failure()));
        }
    }
}
