//! What earlier runs know about tests that matters for the next one.
//!
//! Three facts pay: how long a slow test takes, because the longest go first; whether a test prints so much that its
//! harness should hold the output instead of handing every line to the system; and whether it panics on its way to
//! passing, because a backtrace that nobody will read can cost a hundred times what its test does. Tests of which there
//! is nothing to say are not remembered, so that it is little to read.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use crate::cache_file::CacheFile;
use crate::history::{Archive, HistoryError, PastRow, PlanPart, Tally, parted};
use crate::journal::Record;
use crate::list::Listing;
use crate::model::{BinaryId, TestId, TestName, UnixMillis};

/// What is known of one test.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub(super) struct Past {
    /// How long its last run took.
    #[serde(rename = "duration_us", with = "crate::model::micros")]
    pub(super) duration: Duration,
    /// Whether it printed more than [`CHATTY_BYTES`] when that was last seen.
    #[serde(default)]
    pub(super) chatty: bool,
    /// Whether it printed a backtrace and passed when that was last seen.
    #[serde(default)]
    pub(super) panics: bool,
    /// Whether it printed something like a backtrace and passed, after it had not passed without backtraces.
    #[serde(default)]
    pub(super) needs_backtraces: bool,
}

impl Past {
    fn is_worth_keeping(self) -> bool {
        self.duration >= SLOW || self.chatty || self.panics || self.needs_backtraces
    }
}

/// What is known of all tests, and what this run adds.
#[derive(Debug, Default)]
pub(super) struct History {
    tests: HashMap<TestId, Past>,
    /// What the archive holds of each binary.
    parts: HashMap<BinaryId, Parts>,
    /// Binaries of which the archive should hold something else.
    changed: HashSet<BinaryId>,
    /// The file of earlier versions, from which this comes.
    file: Option<PathBuf>,
    tally: Tally,
}

#[derive(Clone, Copy, Debug)]
struct Parts {
    count: u32,
    written: UnixMillis,
}

/// One test in the file of earlier versions.
#[derive(Deserialize)]
struct Line(BinaryId, TestName, Past);

impl History {
    /// Reads what the archive holds, or, if that is nothing, what an earlier version has left in `state`.
    pub(super) fn load(archive: &Archive, state: &Path) -> Self {
        let mut history = Self::default();
        for (key, part) in archive.plan().entries(b"").filter_map(Result::ok) {
            history.take(&key, part);
        }
        if history.parts.is_empty() {
            history.migrate(state);
        }
        history
    }

    fn take(&mut self, key: &[u8], part: PlanPart) {
        let Some(binary) = binary_of(key) else {
            return;
        };
        let parts = self.parts.entry(binary.clone()).or_insert(Parts {
            count: 0,
            written: part.written,
        });
        parts.count += 1;
        parts.written = parts.written.min(part.written);
        for row in part.tests {
            let past = Past::of_row(&row);
            let binary = binary.clone();
            self.tests.insert(
                TestId {
                    binary,
                    name: row.0,
                },
                past,
            );
        }
    }

    fn migrate(&mut self, state: &Path) {
        let file = state.join(FILE.name);
        let Some(lines) = FILE.read::<Vec<Line>>(state) else {
            return;
        };
        for Line(binary, name, past) in lines {
            self.changed.insert(binary.clone());
            self.tests.insert(TestId { binary, name }, past);
        }
        self.file = Some(file);
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
                self.changed.insert(test.binary.clone());
            }
        } else if known.is_none_or(|known| known.differs(past))
            && (known.is_some() || self.tests.len() < MAX_TESTS)
        {
            self.tests.insert(test.clone(), past);
            self.changed.insert(test.binary.clone());
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
        if self.tests.len() < before {
            self.changed.insert(binary.clone());
        }
    }

    /// Takes in what the journal is told.
    pub(super) fn add(&mut self, record: &Record) {
        self.tally.add(record);
    }

    /// What the tests of this run have come to; from then on it is nothing.
    pub(super) fn take_tally(&mut self) -> Tally {
        std::mem::take(&mut self.tally)
    }

    /// Writes what has changed enough to matter, and what would be over before the next run.
    pub(super) fn save(&mut self, archive: &Archive) -> Result<(), HistoryError> {
        let now = UnixMillis::now().0;
        let renewal = u64::try_from(archive.retention().as_millis() / 4).unwrap_or(u64::MAX);
        let is_old = |parts: &Parts| now.saturating_sub(parts.written.0) >= renewal;
        let old = self.parts.iter().filter(|(_, parts)| is_old(parts));
        self.changed.extend(old.map(|(binary, _)| binary.clone()));
        let mut rows = HashMap::<BinaryId, Vec<PastRow>>::new();
        for (test, past) in &self.tests {
            if self.changed.contains(&test.binary) {
                let rows = rows.entry(test.binary.clone()).or_default();
                rows.push(past.row(test.name.clone()));
            }
        }
        for binary in self.changed.drain() {
            let count = save_binary(archive, &binary, rows.remove(&binary).unwrap_or_default())?;
            let written = UnixMillis(now);
            let before = self.parts.insert(binary.clone(), Parts { count, written });
            for part in count..before.map_or(0, |parts| parts.count) {
                archive.plan().remove(key_of(&binary, part))?;
            }
        }
        if let Some(file) = self.file.take() {
            // One that stays is not read again while the archive holds anything.
            let _ = fs::remove_file(file);
        }
        Ok(())
    }
}

fn save_binary(
    archive: &Archive,
    binary: &BinaryId,
    mut rows: Vec<PastRow>,
) -> Result<u32, HistoryError> {
    rows.sort_unstable_by(|a, b| a.0.cmp(&b.0));
    let mut count = 0;
    for tests in parted(rows, |row| row.0.as_str().len() + 16) {
        let part = PlanPart {
            written: UnixMillis::now(),
            tests,
        };
        archive.plan().put(key_of(binary, count), &part)?;
        count += 1;
    }
    Ok(count)
}

/// The binary, a zero, and the part.
fn key_of(binary: &BinaryId, part: u32) -> Vec<u8> {
    [binary.as_str().as_bytes(), &[0], &part.to_be_bytes()].concat()
}

fn binary_of(key: &[u8]) -> Option<BinaryId> {
    let (name, _) = key.split_at_checked(key.len().checked_sub(5)?)?;
    std::str::from_utf8(name).ok().map(BinaryId::from)
}

impl Past {
    fn row(self, name: TestName) -> PastRow {
        let bits = [self.chatty, self.panics, self.needs_backtraces];
        let bits = (0..).zip(bits).map(|(place, bit)| u8::from(bit) << place);
        let micros = u64::try_from(self.duration.as_micros()).unwrap_or(u64::MAX);
        PastRow(name, micros, bits.sum())
    }

    fn of_row(&PastRow(_, micros, bits): &PastRow) -> Self {
        let bit = |place: u8| bits >> place & 1 == 1;
        Self {
            duration: Duration::from_micros(micros),
            chatty: bit(0),
            panics: bit(1),
            needs_backtraces: bit(2),
        }
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
/// Bounds what the archive holds of them at about 20 MiB.
const MAX_TESTS: usize = 200_000;
/// What earlier versions wrote. It is read once, and removed when the archive has what it says.
const FILE: CacheFile = CacheFile {
    name: "test-history.json",
    format: 1,
    max_bytes: 64 * 1024 * 1024,
};

#[cfg(test)]
mod tests {
    use aqe_core::config::MemorySettings;

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

    fn archive(state: &Path) -> Archive {
        Archive::open(&Archive::folder_in(state), &MemorySettings::default()).unwrap()
    }

    #[test]
    fn what_matters_is_remembered_and_the_rest_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let archive = archive(folder.path());
        let load = || History::load(&archive, folder.path());
        let mut history = load();
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
            needs_backtraces: true,
            ..quick
        };
        history.record(&id("slow"), slow(1));
        history.record(&id("chatty"), chatty);
        history.record(&id("panics"), panics);
        history.record(&id("quick"), quick);
        history.save(&archive).unwrap();
        let mut history = load();
        assert_eq!(history.of(&id("slow")), Some(slow(1)));
        assert_eq!(history.of(&id("chatty")), Some(chatty));
        assert_eq!(history.of(&id("panics")), Some(panics));
        assert_eq!(history.of(&id("quick")), None);
        history.record(&id("slow"), quick);
        history.save(&archive).unwrap();
        assert_eq!(load().of(&id("slow")), None);
    }

    #[test]
    fn parts_that_are_not_needed_any_more_are_removed() {
        let folder = tempfile::tempdir().unwrap();
        let archive = archive(folder.path());
        let mut history = History::load(&archive, folder.path());
        let name = |number| id(&format!("{number}{}", "x".repeat(30_000)));
        for number in 0..20 {
            history.record(&name(number), slow(1));
        }
        history.save(&archive).unwrap();
        let keys = || archive.plan().namespace().keys(b"", None, 100).len();
        assert!(keys() > 1);
        let mut history = History::load(&archive, folder.path());
        for number in 1..20 {
            history.record(&name(number), Past::default());
        }
        history.save(&archive).unwrap();
        assert_eq!(keys(), 1);
        let history = History::load(&archive, folder.path());
        assert_eq!(history.of(&name(0)), Some(slow(1)));
        assert_eq!(history.tests.len(), 1);
    }

    /// Written by the version before the archive.
    #[test]
    fn the_file_of_earlier_versions_is_taken_over_once() {
        let folder = tempfile::tempdir().unwrap();
        let archive = archive(folder.path());
        let lines = serde_json::json!([
            ["p", "slow", {"duration_us": 3_000_000}],
            ["p", "chatty", {"duration_us": 5, "chatty": true}],
        ]);
        FILE.write(folder.path(), &lines).unwrap();
        let mut history = History::load(&archive, folder.path());
        assert_eq!(history.of(&id("slow")), Some(slow(3)));
        history.save(&archive).unwrap();
        assert!(!folder.path().join(FILE.name).exists());
        let history = History::load(&archive, folder.path());
        assert_eq!(history.of(&id("slow")), Some(slow(3)));
        assert!(history.of(&id("chatty")).is_some_and(|past| past.chatty));
    }

    #[test]
    fn what_nobody_changes_is_written_again_before_it_is_over() {
        let folder = tempfile::tempdir().unwrap();
        let archive = archive(folder.path());
        let mut history = History::load(&archive, folder.path());
        history.record(&id("a"), slow(4));
        history.save(&archive).unwrap();
        let key = key_of(&"p".into(), 0);
        let version = || archive.plan().get_versioned(&key).unwrap().unwrap().1;
        let first = version();
        let mut history = History::load(&archive, folder.path());
        history.save(&archive).unwrap();
        assert_eq!(version(), first);
        let parts = history.parts.get_mut(&BinaryId::from("p")).unwrap();
        parts.written = UnixMillis(parts.written.0 - 2 * 24 * 3600 * 1000);
        history.save(&archive).unwrap();
        assert_ne!(version(), first);
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
    fn small_changes_are_not_written() {
        let mut history = History::default();
        history.record(&id("a"), slow(4));
        history.changed.clear();
        history.record(&id("a"), slow(5));
        assert!(history.changed.is_empty());
        history.record(&id("a"), slow(6));
        assert!(!history.changed.is_empty());
    }
}
