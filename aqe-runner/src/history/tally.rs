//! From a journal's records, as they come or as they are read, to executions.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::time::Duration;

use super::block::Executions;
use super::{Execution, Outcome};
use crate::journal::{Record, RunId};
use crate::list::FileIdentity;
use crate::model::{BinaryId, TestId, UnixMillis, Verdict};

/// What the tests of one run have come to so far.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Of tests without a verdict: when the first attempt began, and how many have ended.
    under_way: HashMap<TestId, (UnixMillis, u32)>,
    ended: Vec<(TestId, Ended)>,
}

#[derive(Debug)]
struct Ended {
    started: UnixMillis,
    attempts: u32,
    duration: Duration,
    outcome: Outcome,
}

impl Tally {
    /// Takes in what the journal says.
    pub(crate) fn add(&mut self, record: &Record) {
        match record {
            Record::AttemptFinished { test, attempt } => {
                let first = (attempt.started, 0);
                let (_, attempts) = self.under_way.entry(test.clone()).or_insert(first);
                *attempts += 1;
            }
            Record::Verdict {
                test,
                verdict,
                duration,
            } => self.end(test, verdict, *duration),
            _ => {}
        }
    }

    fn end(&mut self, test: &TestId, verdict: &Verdict, duration: Duration) {
        let begun = self.under_way.remove(test);
        let Some(outcome) = Outcome::of(verdict) else {
            return;
        };
        let (started, attempts) = begun.unwrap_or_else(|| (UnixMillis::now(), 1));
        let ended = Ended {
            started,
            attempts,
            duration,
            outcome,
        };
        self.ended.push((test.clone(), ended));
    }

    /// The executions of this run by binary, with the builds that are known.
    pub(crate) fn executions(
        self,
        run: RunId,
        builds: &HashMap<BinaryId, u32>,
    ) -> BTreeMap<BinaryId, Executions> {
        let mut all = BTreeMap::<BinaryId, Executions>::new();
        for (test, ended) in self.ended {
            let execution = Execution {
                run,
                started: ended.started,
                duration: ended.duration,
                outcome: ended.outcome,
                attempts: ended.attempts,
                build: builds.get(&test.binary).copied(),
            };
            let binary = all.entry(test.binary).or_default();
            // A verdict that is there twice, in a run that was resumed, is the later one.
            binary.insert(test.name, vec![execution]);
        }
        all
    }
}

/// A fingerprint of a binary's file, from what the file system tells without reading it.
pub(crate) fn fingerprint(path: &Path) -> Option<u32> {
    let identity = FileIdentity::of(path).ok()?;
    let text = serde_json::to_vec(&identity).ok()?;
    Some(crc32fast::hash(&text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Attempt, AttemptResult, Failure};

    fn attempt(test: &TestId, number: u32, started: u64, result: AttemptResult) -> Record {
        Record::AttemptFinished {
            test: test.clone(),
            attempt: Attempt::new(number, result).started(UnixMillis(started)),
        }
    }

    fn verdict(test: &TestId, verdict: Verdict, millis: u64) -> Record {
        Record::Verdict {
            test: test.clone(),
            verdict,
            duration: Duration::from_millis(millis),
        }
    }

    #[test]
    fn attempts_become_one_execution_and_what_says_nothing_none() {
        let [shaky, stopped, left_out] =
            ["shaky", "stopped", "left_out"].map(|name| TestId::new("p", name));
        let failed = AttemptResult::Failed(Failure::ExitCode { code: 101 });
        let mut tally = Tally::default();
        for record in [
            attempt(&shaky, 1, 1_005, failed),
            attempt(&stopped, 1, 1_006, AttemptResult::Cancelled),
            attempt(&shaky, 2, 1_009, AttemptResult::Passed),
            verdict(&shaky, Verdict::Flaky { attempts: 2 }, 8),
            verdict(&stopped, Verdict::Cancelled, 2),
            verdict(&left_out, Verdict::Ignored { reason: None }, 0),
        ] {
            tally.add(&record);
        }
        let run = RunId::from_parts(UnixMillis(1_000), 7);
        let builds = HashMap::from([(BinaryId::from("p"), 42)]);
        let executions = tally.executions(run, &builds);
        let expected = Execution {
            run,
            started: UnixMillis(1_005),
            duration: Duration::from_millis(8),
            outcome: Outcome::Flaky,
            attempts: 2,
            build: Some(42),
        };
        let of_binary = Executions::from([(shaky.name, vec![expected])]);
        assert_eq!(executions, BTreeMap::from([(shaky.binary, of_binary)]));
    }

    #[test]
    fn another_build_has_another_fingerprint() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("binary");
        std::fs::write(&path, "one").unwrap();
        let one = fingerprint(&path);
        assert!(one.is_some() && one == fingerprint(&path));
        std::fs::write(&path, "other").unwrap();
        assert_ne!(one, fingerprint(&path));
        assert_eq!(fingerprint(&folder.path().join("gone")), None);
    }
}
