//! What earlier runs know about tests that matters for the next one.
//!
//! Three facts pay: how long a slow test takes, because the longest go first; whether a test prints so much that its
//! harness should hold the output instead of handing every line to the system; and whether it panics on its way to
//! passing, because a backtrace that nobody will read can cost a hundred times what its test does. Tests of which there
//! is nothing to say are not remembered, so the file stays small.

use std::collections::{HashMap, HashSet};
use std::io;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::cache_file::CacheFile;
use crate::list::Listing;
use crate::model::{BinaryId, TestId, TestName};

/// What is known of one test.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Past {
    /// How long its last run took.
    #[serde(rename = "duration_us", with = "crate::model::micros")]
    pub(super) duration: Duration,
    /// Whether it printed more than [`CHATTY_BYTES`] when that was last seen.
    #[serde(default, skip_serializing_if = "is_false")]
    pub(super) chatty: bool,
    /// Whether it printed a backtrace and passed when that was last seen.
    #[serde(default, skip_serializing_if = "is_false")]
    pub(super) panics: bool,
    /// Whether it printed something like a backtrace and passed, after it had not passed without backtraces.
    #[serde(default, skip_serializing_if = "is_false")]
    pub(super) needs_backtraces: bool,
}

impl Past {
    fn is_worth_keeping(self) -> bool {
        self.duration >= SLOW || self.chatty || self.panics || self.needs_backtraces
    }
}

fn is_false(value: &bool) -> bool {
    !value
}

/// What is known of all tests.
#[derive(Debug, Default)]
pub(super) struct History {
    tests: HashMap<TestId, Past>,
    changed: bool,
}

/// One test in the file.
#[derive(Serialize, Deserialize)]
struct Line(BinaryId, TestName, Past);

impl History {
    /// Reads the history of this folder; without one, or with a damaged one, nothing is known.
    pub(super) fn load(folder: &Path) -> Self {
        let lines: Vec<Line> = FILE.read(folder).unwrap_or_default();
        let tests = lines
            .into_iter()
            .map(|Line(binary, name, past)| (TestId { binary, name }, past))
            .collect();
        Self {
            tests,
            changed: false,
        }
    }

    /// What is known of a test.
    pub(super) fn of(&self, test: &TestId) -> Option<Past> {
        self.tests.get(test).copied()
    }

    /// Takes in how a test was this time.
    pub(super) fn record(&mut self, test: &TestId, past: Past) {
        let known = self.of(test);
        if !past.is_worth_keeping() {
            if known.is_some() {
                self.tests.remove(test);
                self.changed = true;
            }
        } else if known.is_none_or(|known| known.differs(past))
            && (known.is_some() || self.tests.len() < MAX_TESTS)
        {
            self.tests.insert(test.clone(), past);
            self.changed = true;
        }
    }

    /// Forgets the tests of this binary that it no longer lists.
    pub(super) fn keep_listed(&mut self, binary: &BinaryId, listing: &Listing) {
        if !self.tests.keys().any(|test| test.binary == *binary) {
            return;
        }
        let listed: HashSet<&TestName> = listing.tests.iter().map(|test| &test.name).collect();
        let before = self.tests.len();
        self.tests
            .retain(|test, _| test.binary != *binary || listed.contains(&test.name));
        self.changed |= self.tests.len() < before;
    }

    /// Writes the history if it has changed enough to matter.
    pub(super) fn save(&mut self, folder: &Path) -> io::Result<()> {
        if !self.changed {
            return Ok(());
        }
        let mut lines: Vec<Line> = self
            .tests
            .iter()
            .map(|(test, &past)| Line(test.binary.clone(), test.name.clone(), past))
            .collect();
        lines.sort_unstable_by(|a, b| (&a.0, &a.1).cmp(&(&b.0, &b.1)));
        FILE.write(folder, &lines)?;
        self.changed = false;
        Ok(())
    }
}

impl Past {
    /// Whether the order of tests or the way they are run could change: a quarter more or less does not.
    fn differs(self, other: Self) -> bool {
        let (short, long) = (
            self.duration.min(other.duration),
            self.duration.max(other.duration),
        );
        let kind = |past: Self| (past.chatty, past.panics, past.needs_backtraces);
        kind(self) != kind(other) || long > short + short / 4
    }
}

/// Starting one of these a little later than another of its kind cannot lengthen a run by more than this.
const SLOW: Duration = Duration::from_millis(10);
/// A test that prints 30 bytes at a time needs 35,000 system calls for this much; some print a hundred times as much.
pub(super) const CHATTY_BYTES: u64 = 1024 * 1024;
/// Bounds the file at about 20 MiB.
const MAX_TESTS: usize = 200_000;
const FILE: CacheFile = CacheFile {
    name: "test-history.json",
    format: 1,
    max_bytes: 64 * 1024 * 1024,
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::list::{CaseKind, ListedTest};

    fn id(name: &str) -> TestId {
        TestId::new("p", name)
    }

    fn slow(seconds: u64) -> Past {
        Past {
            duration: Duration::from_secs(seconds),
            ..Past::default()
        }
    }

    #[test]
    fn what_matters_is_remembered_and_the_rest_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let mut history = History::load(folder.path());
        let quick = Past {
            duration: Duration::from_millis(9),
            ..Past::default()
        };
        let chatty = Past {
            chatty: true,
            ..quick
        };
        let panics = Past {
            panics: true,
            ..quick
        };
        history.record(&id("slow"), slow(1));
        history.record(&id("chatty"), chatty);
        history.record(&id("panics"), panics);
        history.record(&id("quick"), quick);
        history.save(folder.path()).unwrap();
        let mut history = History::load(folder.path());
        assert_eq!(history.of(&id("slow")), Some(slow(1)));
        assert_eq!(history.of(&id("chatty")), Some(chatty));
        assert_eq!(history.of(&id("panics")), Some(panics));
        assert_eq!(history.of(&id("quick")), None);
        history.record(&id("slow"), quick);
        history.save(folder.path()).unwrap();
        assert_eq!(History::load(folder.path()).of(&id("slow")), None);
    }

    #[test]
    fn tests_that_are_gone_are_forgotten() {
        let mut history = History::default();
        for name in ["stays", "goes"] {
            history.record(&id(name), slow(1));
        }
        history.record(&TestId::new("other", "goes"), slow(1));
        let listing = Listing {
            tests: vec![ListedTest::new("stays", CaseKind::Test)],
            ..Listing::default()
        };
        history.keep_listed(&"p".into(), &listing);
        assert!(history.of(&id("stays")).is_some() && history.of(&id("goes")).is_none());
        assert!(history.of(&TestId::new("other", "goes")).is_some());
    }

    #[test]
    fn small_changes_do_not_rewrite_the_file() {
        let mut history = History::default();
        history.record(&id("a"), slow(4));
        history.changed = false;
        history.record(&id("a"), slow(5));
        assert!(!history.changed);
        history.record(&id("a"), slow(6));
        assert!(history.changed);
    }
}
