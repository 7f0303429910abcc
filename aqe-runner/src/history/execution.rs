//! One execution of a test, and the history of a test.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::journal::RunId;
use crate::model::{TestId, UnixMillis, Verdict, micros};

/// What an execution came to: a [`Verdict`] that says something about the test, in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Outcome {
    /// It passed at the first attempt.
    Passed,
    /// It passed, and left a process behind.
    Leaked,
    /// It passed, after at least one attempt that did not.
    Flaky,
    /// Its last attempt failed.
    Failed,
    /// Its last attempt ran out of time.
    TimedOut,
}

impl Outcome {
    /// The outcome that a verdict stands for; `None` for a test that was not run to its end.
    #[must_use]
    pub fn of(verdict: &Verdict) -> Option<Self> {
        match verdict {
            Verdict::Passed => Some(Self::Passed),
            Verdict::Leaked => Some(Self::Leaked),
            Verdict::Flaky { .. } => Some(Self::Flaky),
            Verdict::Failed(_) => Some(Self::Failed),
            Verdict::TimedOut { .. } => Some(Self::TimedOut),
            Verdict::Ignored { .. } | Verdict::Cancelled => None,
        }
    }

    /// Whether the test passed, at whatever attempt.
    #[must_use]
    pub fn is_pass(self) -> bool {
        matches!(self, Self::Passed | Self::Leaked | Self::Flaky)
    }

    /// One word, the same as a verdict's `status` in JSON.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Leaked => "leaked",
            Self::Flaky => "flaky",
            Self::Failed => "failed",
            Self::TimedOut => "timed-out",
        }
    }
}

/// One execution of a test: all its attempts in one run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Execution {
    /// In which run.
    pub run: RunId,
    /// When its first attempt began, by the wall clock.
    pub started: UnixMillis,
    /// The time of all its attempts together.
    #[serde(rename = "duration_us", with = "micros")]
    pub duration: Duration,
    /// What it came to.
    pub outcome: Outcome,
    /// How many attempts there were.
    pub attempts: u32,
    /// A fingerprint of the file of its binary. Two that are equal are of the same build, but for one in four billion;
    /// `None` if it is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub build: Option<u32>,
}

/// In what way an execution showed that its test does not always come to the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Flake {
    /// It failed, and passed when it was tried again.
    Retried,
    /// It passed where the execution before it had failed, or the other way round, and the binary was the same.
    Changed,
}

/// What is known of one test, the oldest execution first.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TestHistory {
    /// The test.
    pub test: TestId,
    /// Its executions; at least one.
    pub executions: Vec<Execution>,
}

impl TestHistory {
    /// How many executions passed, at whatever attempt.
    #[must_use]
    pub fn passes(&self) -> usize {
        let passes = self.executions.iter();
        passes.filter(|one| one.outcome.is_pass()).count()
    }

    /// How many executions failed or ran out of time.
    #[must_use]
    pub fn failures(&self) -> usize {
        self.executions.len() - self.passes()
    }

    /// For each execution, in what way it showed that the test is flaky, if it did.
    pub fn flakes(&self) -> impl Iterator<Item = Option<Flake>> {
        let before = std::iter::once(None).chain(self.executions.iter().map(Some));
        self.executions
            .iter()
            .zip(before)
            .map(|(one, before)| flake(one, before))
    }

    /// How many executions showed that the test is flaky.
    #[must_use]
    pub fn flaky(&self) -> usize {
        self.flakes().flatten().count()
    }

    /// The duration in the middle, of an even number the lower one of the two. Zero without executions.
    #[must_use]
    pub fn median(&self) -> Duration {
        let durations = self.executions.iter().map(|one| one.duration);
        let mut durations: Vec<Duration> = durations.collect();
        durations.sort_unstable();
        let middle = durations.len().saturating_sub(1) / 2;
        durations.get(middle).copied().unwrap_or_default()
    }
}

fn flake(one: &Execution, before: Option<&Execution>) -> Option<Flake> {
    if one.outcome == Outcome::Flaky {
        return Some(Flake::Retried);
    }
    let before = before.filter(|before| before.build.is_some() && before.build == one.build)?;
    (before.outcome.is_pass() != one.outcome.is_pass()).then_some(Flake::Changed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn history(executions: &[(Outcome, u64, Option<u32>)]) -> TestHistory {
        let executions = executions.iter().enumerate();
        TestHistory {
            test: TestId::new("p", "t"),
            executions: executions
                .map(|(number, &(outcome, millis, build))| Execution {
                    run: RunId::from_parts(UnixMillis(number as u64), 0),
                    started: UnixMillis(number as u64),
                    duration: Duration::from_millis(millis),
                    outcome,
                    attempts: 1,
                    build,
                })
                .collect(),
        }
    }

    #[test]
    fn a_changed_verdict_is_a_flake_only_if_the_binary_is_the_same() {
        use Outcome::{Failed, Flaky, Leaked, Passed, TimedOut};
        let (a, b) = (Some(1), Some(2));
        let table = [
            (Passed, a, None),
            (Failed, a, Some(Flake::Changed)),
            (TimedOut, a, None),
            (Passed, b, None),
            (Leaked, b, None),
            (Flaky, b, Some(Flake::Retried)),
            (Passed, None, None),
            (Failed, None, None),
            (Passed, b, None),
            (Failed, b, Some(Flake::Changed)),
            (Passed, b, Some(Flake::Changed)),
        ];
        let history = history(&table.map(|(outcome, build, _)| (outcome, 1, build)));
        let expected = table.map(|(_, _, flake)| flake);
        assert_eq!(history.flakes().collect::<Vec<_>>(), expected);
        assert_eq!(
            (history.passes(), history.failures(), history.flaky()),
            (7, 4, 4)
        );
    }

    #[test]
    fn the_median_is_one_of_the_durations() {
        for (millis, median) in [
            (&[][..], 0),
            (&[7][..], 7),
            (&[9, 1][..], 1),
            (&[9, 1, 5][..], 5),
            (&[4, 3, 2, 1][..], 2),
        ] {
            let executions: Vec<_> = millis
                .iter()
                .map(|&millis| (Outcome::Passed, millis, None))
                .collect();
            assert_eq!(
                history(&executions).median(),
                Duration::from_millis(median),
                "{millis:?}"
            );
        }
    }
}
