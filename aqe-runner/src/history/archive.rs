//! The store that holds the history: opening it, adding a run, folding runs together, reading.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use aqe_core::config::MemorySettings;
use aqe_core::memory::typed::TypedError;
use aqe_core::memory::{MemoryConfig, OpenError, Store, Typed};
use serde::{Deserialize, Serialize};

use super::block::{self, Block, Executions};
use super::{PlanPart, TestHistory, plan};
use crate::journal::RunId;
use crate::model::{BinaryId, TestId, TestName, UnixMillis};

/// The history of a project's tests, in a folder. One process at a time has it open.
///
/// # Examples
///
/// ```no_run
/// use aqe_core::config::MemorySettings;
/// use aqe_runner::history::Archive;
///
/// let archive = Archive::open("target/aqe/history".as_ref(), &MemorySettings::default())?;
/// archive.each(|_| true, |history| println!("{}: {} flaky", history.test, history.flaky()));
/// # Ok::<(), aqe_runner::history::HistoryError>(())
/// ```
#[derive(Debug)]
pub struct Archive {
    blocks: Typed<Block>,
    runs: Typed<KeptRun>,
    plan: Typed<PlanPart>,
    state: Typed<State>,
    store: Store,
    retention: Duration,
}

/// What is kept of a run besides its executions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct KeptRun {
    /// How many tests came to something.
    pub tests: u64,
    /// Whether it came to its end, whatever that was; not if it was killed.
    pub finished: bool,
    /// Entries of the archive when it had been added.
    pub entries: u64,
    /// Bytes of the archive's files then.
    pub disk_bytes: u64,
}

/// What the archive knows of itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct State {
    /// Runs that were added since blocks were folded together.
    unfolded: u32,
    /// Damaged places of which somebody was told.
    told: u64,
}

/// Why the history is not there, or not complete.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HistoryError {
    /// The store does not open.
    #[error("cannot open the history of tests")]
    Open(#[from] OpenError),
    /// A damaged store cannot be put out of the way.
    #[error("cannot set the damaged history of tests aside, which is in {}", .folder.display())]
    SetAside {
        /// Where it is.
        folder: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The store does not take something.
    #[error("cannot write to the history of tests")]
    Write(#[source] Box<dyn Error + Send + Sync>),
}

impl HistoryError {
    /// Whether it is for another process only, which has the archive open.
    #[must_use]
    pub fn is_locked(&self) -> bool {
        matches!(self, Self::Open(OpenError::Locked { .. }))
    }
}

impl From<TypedError> for HistoryError {
    fn from(error: TypedError) -> Self {
        Self::Write(Box::new(error))
    }
}

impl Archive {
    /// The most executions of a test that are told of.
    pub const MAX_EXECUTIONS: usize = 50;

    /// Where the archive is in a folder for journals, lists and history.
    #[must_use]
    pub fn folder_in(state: &Path) -> PathBuf {
        state.join("history")
    }

    /// Opens the archive in this folder, or begins one there. Of the settings, retention and compression count; its sizes
    /// are the archive's own.
    ///
    /// A run that begins or ends has it for some milliseconds. So the call waits for a moment, a fifth of a second, while
    /// another process has it.
    ///
    /// # Errors
    ///
    /// [`HistoryError::Open`]; [`HistoryError::Write`] when a new one cannot be begun.
    pub fn open(folder: &Path, settings: &MemorySettings) -> Result<Self, HistoryError> {
        let store = open_patiently(folder, &config(settings))?;
        let namespace = |name| {
            let namespace = store.namespace(name);
            namespace.map_err(|error| HistoryError::Write(Box::new(error)))
        };
        Ok(Self {
            blocks: namespace("executions")?.typed().version(block::VERSION),
            runs: namespace("runs")?.typed(),
            plan: namespace("plan")?.typed().version(plan::VERSION),
            state: namespace("state")?.typed(),
            retention: settings.retention_period,
            store,
        })
    }

    /// [`open`](Self::open), but an archive that is so damaged that it does not open is set aside and begun anew. Gives
    /// also what somebody should be told, once, of damage and what became of it.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open), and [`HistoryError::SetAside`].
    pub(crate) fn open_or_renew(
        folder: &Path,
        settings: &MemorySettings,
    ) -> Result<(Self, Option<String>), HistoryError> {
        match Self::open(folder, settings) {
            Ok(archive) => {
                let notice = archive.damage_not_told();
                Ok((archive, notice))
            }
            Err(HistoryError::Open(OpenError::Damaged { path, what })) => {
                let aside = set_aside(folder)?;
                let notice = format!(
                    "the history of tests was damaged ({what}, in {}) and begins anew; what was there is in {}",
                    path.display(),
                    aside.display()
                );
                Ok((Self::open(folder, settings)?, Some(notice)))
            }
            Err(error) => Err(error),
        }
    }

    /// Says that parts of the store are damaged, if that was not said before.
    fn damage_not_told(&self) -> Option<String> {
        let damage = self.store.damage();
        let first = damage.first()?;
        let state = self.state();
        let found = damage.len() as u64;
        if found <= state.told {
            return None;
        }
        // What cannot be written is said again.
        let _ = self.state.put(
            STATE,
            &State {
                told: found,
                ..state
            },
        );
        Some(format!(
            "a part of the history of tests is damaged and left out ({}, in {}); `aqe memory diagnose` says more",
            first.what,
            first.path.display()
        ))
    }

    /// The store itself, for whoever wants to look after it.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.store
    }

    pub(crate) fn plan(&self) -> &Typed<PlanPart> {
        &self.plan
    }

    pub(crate) fn retention(&self) -> Duration {
        self.retention
    }

    /// Whether a run was added.
    pub(super) fn knows(&self, run: RunId) -> bool {
        self.runs.namespace().contains(&run_key(run))
    }

    /// Adds what the tests of a run came to. A run that is added twice is there once.
    pub(crate) fn add(
        &self,
        run: RunId,
        executions: BTreeMap<BinaryId, Executions>,
        finished: bool,
    ) -> Result<(), HistoryError> {
        let Some(left) = self.left(run.started()) else {
            return Ok(());
        };
        let tests: usize = executions.values().map(BTreeMap::len).sum();
        for (binary, executions) in executions {
            for (part, block) in Block::of(executions).iter().enumerate() {
                let key = block_key(&binary, run, Kind::Run, part);
                self.blocks.put_for(key, block, left)?;
            }
        }
        // Last: what has come so far of a run that is not known is added again, from its journal.
        let stats = self.store.stats();
        let kept = KeptRun {
            tests: tests as u64,
            finished,
            entries: stats.entries,
            disk_bytes: stats.disk_bytes,
        };
        self.runs.put_for(run_key(run), &kept, left)?;
        let state = self.state();
        let unfolded = state.unfolded.saturating_add(1);
        self.state.put(STATE, &State { unfolded, ..state })?;
        Ok(())
    }

    /// Folds the blocks of each binary together, if many have gathered.
    pub(crate) fn fold_if_due(&self) -> Result<(), HistoryError> {
        if self.state().unfolded >= MAX_UNFOLDED {
            self.fold()?;
        }
        Ok(())
    }

    fn fold(&self) -> Result<(), HistoryError> {
        for (binary, keys) in self.keys() {
            self.fold_binary(&binary, &keys)?;
        }
        let mut runs = self.runs.namespace().keys(b"", None, usize::MAX);
        runs.truncate(runs.len().saturating_sub(MAX_RUNS));
        for run in runs {
            self.runs.remove(run)?;
        }
        let state = self.state();
        self.state.put(
            STATE,
            &State {
                unfolded: 0,
                ..state
            },
        )?;
        Ok(())
    }

    fn fold_binary(&self, binary: &BinaryId, keys: &[Box<[u8]>]) -> Result<(), HistoryError> {
        if keys.len() < 2 {
            return Ok(());
        }
        let (executions, read) = self.gather(keys, |_| true);
        let newest = executions
            .values()
            .filter_map(|all| all.last())
            .max_by_key(|one| one.run);
        let mut written = Vec::new();
        if let Some(newest) = newest.copied()
            && let Some(left) = self.left(newest.started)
        {
            for (part, block) in Block::of(executions).iter().enumerate() {
                let key = block_key(binary, newest.run, Kind::Fold, part);
                self.blocks.put_for(&key, block, left)?;
                written.push(key);
            }
        }
        // Only now: whenever this is cut short, each execution is there at least once.
        for key in read
            .into_iter()
            .filter(|key| !written.iter().any(|kept| kept == key))
        {
            self.blocks.remove(key)?;
        }
        Ok(())
    }

    /// Reads the history of each test that is `wanted`, ordered by binary and name.
    pub fn each(&self, wanted: impl Fn(&TestId) -> bool, mut take: impl FnMut(TestHistory)) {
        for (binary, keys) in self.keys() {
            let id = |name: &TestName| TestId {
                binary: binary.clone(),
                name: name.clone(),
            };
            let (executions, _) = self.gather(&keys, |name| wanted(&id(name)));
            for (name, executions) in executions {
                let test = id(&name);
                take(TestHistory { test, executions });
            }
        }
    }

    /// The runs that were added and are not over, the oldest first.
    #[must_use]
    pub fn runs(&self) -> Vec<(RunId, KeptRun)> {
        let entries = self.runs.entries(b"").filter_map(Result::ok);
        let runs = entries.filter_map(|(key, run)| {
            let bits = u128::from_be_bytes(key[..].try_into().ok()?);
            Some((RunId::from_u128(bits)?, run))
        });
        runs.collect()
    }

    /// The keys of blocks by binary, and those of a binary in the order of runs.
    fn keys(&self) -> BTreeMap<BinaryId, Vec<Box<[u8]>>> {
        let mut all = BTreeMap::<BinaryId, Vec<_>>::new();
        for key in self.blocks.namespace().keys(b"", None, usize::MAX) {
            let name = key.split(|byte| *byte == 0).next().unwrap_or_default();
            let Ok(name) = std::str::from_utf8(name) else {
                continue;
            };
            all.entry(name.into()).or_default().push(key);
        }
        all
    }

    /// What the blocks of a binary hold together, and which blocks these are: one of another version is left alone.
    fn gather<'a>(
        &self,
        keys: &'a [Box<[u8]>],
        wanted: impl Fn(&TestName) -> bool,
    ) -> (Executions, Vec<&'a [u8]>) {
        let since = self.since();
        let (mut all, mut read) = (Executions::new(), Vec::new());
        let settle = |all: &mut Executions| {
            let most = (MAX_GATHERED / all.len().max(1)).clamp(1, Self::MAX_EXECUTIONS);
            all.retain(|name, executions| {
                block::settle(executions, since, most);
                !executions.is_empty() && wanted(name)
            });
        };
        for keys in keys.chunks(MAX_UNFOLDED as usize) {
            for key in keys {
                if let Ok(Some(block)) = self.blocks.get(key) {
                    block.add_to(&mut all);
                    read.push(&**key);
                }
            }
            // So that no more than twice of what is kept is in memory.
            settle(&mut all);
        }
        (all, read)
    }

    fn state(&self) -> State {
        let state = self.state.get(STATE);
        state.ok().flatten().unwrap_or_default()
    }

    /// What began before this is over.
    fn since(&self) -> UnixMillis {
        let retention = u64::try_from(self.retention.as_millis()).unwrap_or(u64::MAX);
        UnixMillis(UnixMillis::now().0.saturating_sub(retention))
    }

    /// How long what began then is still to be kept; `None` if it is over.
    fn left(&self, began: UnixMillis) -> Option<Duration> {
        let age = Duration::from_millis(UnixMillis::now().0.saturating_sub(began.0));
        self.retention
            .checked_sub(age)
            .filter(|left| !left.is_zero())
    }
}

fn open_patiently(folder: &Path, config: &MemoryConfig) -> Result<Store, OpenError> {
    let begin = Instant::now();
    loop {
        match Store::open(folder, config.clone()) {
            Err(OpenError::Locked { .. }) if begin.elapsed() < PATIENCE => thread::sleep(PAUSE),
            other => return other,
        }
    }
}

/// The settings of the archive's store.
fn config(settings: &MemorySettings) -> MemoryConfig {
    MemoryConfig::from(settings)
        .max_size(MAX_MEMORY)
        .cache_size(None)
        .max_disk_size(MAX_DISK)
        // It is open for moments only, and what is idle then are the tests.
        .recompress(false)
}

/// Renames a folder that cannot be used, in place of one that was set aside before.
fn set_aside(folder: &Path) -> Result<PathBuf, HistoryError> {
    let aside = folder.with_extension("damaged");
    let removed = match fs::remove_dir_all(&aside) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        other => other,
    };
    let renamed = removed.and_then(|()| fs::rename(folder, &aside));
    renamed.map_err(|source| HistoryError::SetAside {
        folder: folder.to_owned(),
        source,
    })?;
    Ok(aside)
}

/// What kind of block a key is of.
#[derive(Clone, Copy)]
enum Kind {
    Run = 0,
    Fold = 1,
}

/// The binary, a zero, the (newest) run, the kind and the part: blocks of a binary sort by run.
fn block_key(binary: &BinaryId, run: RunId, kind: Kind, part: usize) -> Vec<u8> {
    let mut key = Vec::with_capacity(binary.as_str().len() + 22);
    key.extend_from_slice(binary.as_str().as_bytes());
    key.push(0);
    key.extend_from_slice(&run_key(run));
    key.push(kind as u8);
    // A listing has 64 MiB at most, which is a few thousand parts.
    key.extend_from_slice(&(part as u32).to_be_bytes());
    key
}

/// Runs sort by their start.
fn run_key(run: RunId) -> [u8; 16] {
    run.as_u128().to_be_bytes()
}

const PATIENCE: Duration = Duration::from_millis(200);
const PAUSE: Duration = Duration::from_millis(5);
const STATE: &[u8] = b"state";
/// Blocks of a test and binary are folded together once so many runs were added: reading a history takes as many reads at
/// most, and what folding takes is shared by as many runs.
const MAX_UNFOLDED: u32 = 32;
/// Runs whose names are kept. Their executions are kept by test.
const MAX_RUNS: usize = 2_000;
/// Executions of one binary that are in memory together, at about 64 bytes each: with more than 20,000 tests, fewer of each.
const MAX_GATHERED: usize = 1_000_000;
/// Enough for blocks of 1 MiB, which are a sixteenth of it at most.
const MAX_MEMORY: u64 = 16 << 20;
/// A thousand times what a thousand tests need.
const MAX_DISK: u64 = 1 << 30;

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::history::{Execution, Outcome, Tally};
    use crate::journal::{Record, RunsFolder};
    use crate::model::{Attempt, AttemptResult, Failure, Verdict};

    const MINUTE: u64 = 60_000;

    fn open(state: &Path) -> Archive {
        Archive::open(&Archive::folder_in(state), &MemorySettings::default()).unwrap()
    }

    /// A run that began so many minutes ago.
    fn run(minutes: u64) -> RunId {
        let started = UnixMillis(UnixMillis::now().0 - minutes * MINUTE);
        RunId::from_parts(started, minutes.into())
    }

    fn execution(run: RunId, outcome: Outcome) -> Execution {
        Execution {
            run,
            started: UnixMillis(run.started().0 + 5),
            duration: Duration::from_micros(run.as_u128() as u64 % 1_000_000),
            outcome,
            attempts: 1,
            build: Some(7),
        }
    }

    fn add(archive: &Archive, run: RunId, tests: &[(&str, &str, Outcome)]) {
        let mut executions = BTreeMap::<BinaryId, Executions>::new();
        for &(binary, name, outcome) in tests {
            let binary = executions.entry(binary.into()).or_default();
            binary.insert(name.into(), vec![execution(run, outcome)]);
        }
        archive.add(run, executions, true).unwrap();
    }

    fn all(archive: &Archive) -> Vec<TestHistory> {
        let mut found = Vec::new();
        archive.each(|_| true, |history| found.push(history));
        found
    }

    #[test]
    fn each_test_has_the_executions_of_all_runs_also_after_reopening() {
        let folder = tempfile::tempdir().unwrap();
        let (first, second) = (run(20), run(10));
        let archive = open(folder.path());
        let both = [
            ("p", "a", Outcome::Passed),
            ("p", "b", Outcome::Failed),
            ("q::r", "a", Outcome::TimedOut),
        ];
        add(&archive, first, &both);
        add(&archive, second, &[("p", "a", Outcome::Flaky)]);
        drop(archive);
        let archive = open(folder.path());
        let test = |binary, name, executions: &[(RunId, Outcome)]| TestHistory {
            test: TestId::new(binary, name),
            executions: executions
                .iter()
                .map(|&(run, outcome)| execution(run, outcome))
                .collect(),
        };
        let a = test(
            "p",
            "a",
            &[(first, Outcome::Passed), (second, Outcome::Flaky)],
        );
        let b = test("p", "b", &[(first, Outcome::Failed)]);
        let c = test("q::r", "a", &[(first, Outcome::TimedOut)]);
        assert_eq!(all(&archive), [a.clone(), b, c]);
        let mut found = Vec::new();
        archive.each(
            |test| test.binary.as_str() == "p" && test.name.as_str() == "a",
            |history| found.push(history),
        );
        assert_eq!(found, [a]);
        let runs = archive.runs();
        let counts = runs.iter().map(|(run, kept)| (*run, kept.tests));
        assert_eq!(counts.collect::<Vec<_>>(), [(first, 3), (second, 1)]);
    }

    #[test]
    fn folding_keeps_the_newest_executions_and_nothing_else_changes() {
        let folder = tempfile::tempdir().unwrap();
        let archive = open(folder.path());
        let blocks = || archive.blocks.namespace().keys(b"", None, usize::MAX).len();
        let mut folds = 0;
        let mut runs: Vec<RunId> = (100..170).rev().map(run).collect();
        for (number, &run) in runs.iter().enumerate() {
            let outcome = match number % 3 {
                0 => Outcome::Failed,
                _ => Outcome::Passed,
            };
            add(
                &archive,
                run,
                &[("p", "often", outcome), ("q", "often", outcome)],
            );
            if number == 1 {
                add(&archive, run, &[("p", "once", Outcome::Passed)]);
            }
            let before = all(&archive);
            let gathered = blocks();
            archive.fold_if_due().unwrap();
            assert_eq!(all(&archive), before, "{number}");
            if blocks() < gathered {
                assert!(gathered > 60 && blocks() == 2, "{gathered}, {}", blocks());
                folds += 1;
            }
        }
        assert_eq!(folds, 2);
        let found = all(&archive);
        let names: Vec<_> = found
            .iter()
            .map(|history| history.test.to_string())
            .collect();
        assert_eq!(names, ["p often", "p once", "q often"]);
        let newest = runs.split_off(runs.len() - Archive::MAX_EXECUTIONS);
        let kept = found[0].executions.iter().map(|one| one.run);
        assert_eq!(kept.collect::<Vec<_>>(), newest);
        drop(archive);
        assert_eq!(all(&open(folder.path())), found);
    }

    /// As when the process was killed before what had been folded was removed.
    #[test]
    fn folding_that_was_cut_short_counts_nothing_twice() {
        let folder = tempfile::tempdir().unwrap();
        let archive = open(folder.path());
        for minutes in [30, 20, 10] {
            add(&archive, run(minutes), &[("p", "a", Outcome::Passed)]);
        }
        let before = all(&archive);
        let blocks = archive.blocks.namespace();
        let old: Vec<_> = blocks
            .entries(b"")
            .map(|(key, value)| (key, value.to_vec()))
            .collect();
        archive.fold().unwrap();
        for (key, value) in &old[1..] {
            blocks.put(key, value).unwrap();
        }
        assert_eq!(all(&archive), before);
        archive.fold().unwrap();
        assert_eq!(all(&archive), before);
        assert_eq!(blocks.keys(b"", None, 10).len(), 1);
    }

    #[test]
    fn what_is_older_than_the_retention_is_over() {
        let folder = tempfile::tempdir().unwrap();
        let archive = open(folder.path());
        add(
            &archive,
            run(90),
            &[("p", "a", Outcome::Failed), ("p", "old", Outcome::Failed)],
        );
        add(&archive, run(30), &[("p", "a", Outcome::Passed)]);
        drop(archive);
        let mut hour = MemorySettings::default();
        hour.retention_period = Duration::from_secs(3600);
        let archive = Archive::open(&Archive::folder_in(folder.path()), &hour).unwrap();
        let kept = |archive: &Archive| -> Vec<(String, usize)> {
            let all = all(archive).into_iter();
            all.map(|it| (it.test.to_string(), it.executions.len()))
                .collect()
        };
        assert_eq!(kept(&archive), [("p a".to_owned(), 1)]);
        // What is over when it comes is not taken.
        add(&archive, run(61), &[("p", "late", Outcome::Passed)]);
        archive.fold().unwrap();
        assert_eq!(kept(&archive), [("p a".to_owned(), 1)]);
    }

    #[test]
    fn one_process_at_a_time_has_it() {
        let folder = tempfile::tempdir().unwrap();
        let archive = open(folder.path());
        let place = Archive::folder_in(folder.path());
        let error = Archive::open(&place, &MemorySettings::default()).unwrap_err();
        assert!(error.is_locked(), "{error}");
        drop(archive);
        open(folder.path());
    }

    #[test]
    fn a_store_that_does_not_open_is_set_aside_and_told_of_once() {
        let folder = tempfile::tempdir().unwrap();
        let place = Archive::folder_in(folder.path());
        let settings = MemorySettings::default();
        for round in 0..2 {
            let archive = open(folder.path());
            add(&archive, run(5), &[("p", "a", Outcome::Passed)]);
            drop(archive);
            fs::write(place.join("store"), "not what it was").unwrap();
            let (archive, notice) = Archive::open_or_renew(&place, &settings).unwrap();
            let notice = notice.unwrap();
            assert!(notice.contains("history.damaged"), "{round}: {notice}");
            assert!(all(&archive).is_empty());
            drop(archive);
            let (_, notice) = Archive::open_or_renew(&place, &settings).unwrap();
            assert_eq!(notice, None);
        }
        let aside = folder.path().join("history.damaged");
        assert_eq!(fs::read(aside.join("store")).unwrap(), b"not what it was");
    }

    #[test]
    fn a_damaged_part_is_left_out_and_told_of_once() {
        let folder = tempfile::tempdir().unwrap();
        let place = Archive::folder_in(folder.path());
        let archive = open(folder.path());
        add(&archive, run(5), &[("p", "a", Outcome::Passed)]);
        add(&archive, run(4), &[("p", "a", Outcome::Passed)]);
        drop(archive);
        // The first byte behind the header of the file with most records.
        let files = fs::read_dir(&place)
            .unwrap()
            .map(|file| file.unwrap().path());
        let records = files.filter(|path| path.extension().is_some_and(|it| it == "seg"));
        let largest = records
            .max_by_key(|path| fs::metadata(path).unwrap().len())
            .unwrap();
        let mut bytes = fs::read(&largest).unwrap();
        bytes[128 + 30] ^= 0xff;
        fs::write(&largest, bytes).unwrap();
        let settings = MemorySettings::default();
        let (archive, notice) = Archive::open_or_renew(&place, &settings).unwrap();
        assert!(notice.is_some_and(|notice| notice.contains("aqe memory diagnose")));
        drop(archive);
        let (archive, notice) = Archive::open_or_renew(&place, &settings).unwrap();
        assert_eq!(notice, None);
        add(&archive, run(3), &[("p", "b", Outcome::Passed)]);
        assert!(
            all(&archive)
                .iter()
                .any(|history| history.test.name.as_str() == "b")
        );
    }

    #[test]
    fn runs_that_could_not_add_themselves_are_added_from_their_journals() {
        let folder = tempfile::tempdir().unwrap();
        let archive = open(folder.path());
        let runs = RunsFolder::new(folder.path().join("runs"));
        let write = |id: RunId| {
            let mut journal = runs.create(id).unwrap().create_journal().unwrap();
            let test = TestId::new("p", "a");
            let failed = AttemptResult::Failed(Failure::ExitedEarly);
            let attempt = Attempt::new(1, failed).started(UnixMillis(id.started().0 + 9));
            for record in [
                Record::run_started(id, Vec::new(), Some(2)),
                Record::AttemptFinished {
                    test: test.clone(),
                    attempt,
                },
                Record::Verdict {
                    test,
                    verdict: Verdict::Failed(Failure::ExitedEarly),
                    duration: Duration::from_millis(3),
                },
            ] {
                journal.push(&record).unwrap();
            }
            journal.flush().unwrap();
            journal
        };
        let (killed, live, known, young) = (run(40), run(30), run(20), RunId::new());
        drop((write(killed), write(known), write(young)));
        let writer = write(live);
        add(&archive, known, &[("p", "a", Outcome::Passed)]);
        assert_eq!(archive.import(&runs).unwrap(), 1);
        assert_eq!(archive.import(&runs).unwrap(), 0);
        let expected = Execution {
            started: UnixMillis(killed.started().0 + 9),
            duration: Duration::from_millis(3),
            build: None,
            ..execution(killed, Outcome::Failed)
        };
        let found = all(&archive);
        assert_eq!(
            found[0].executions,
            [expected, execution(known, Outcome::Passed)]
        );
        let kept = archive.runs();
        let finished = kept.iter().map(|(run, kept)| (*run, kept.finished));
        assert_eq!(
            finished.collect::<Vec<_>>(),
            [(killed, false), (known, true)]
        );
        drop(writer);
        assert_eq!(archive.import(&runs).unwrap(), 1);
    }

    #[test]
    fn a_tally_is_added_with_its_builds() {
        let folder = tempfile::tempdir().unwrap();
        let archive = open(folder.path());
        let id = run(3);
        let mut tally = Tally::default();
        tally.add(&Record::Verdict {
            test: TestId::new("p", "a"),
            verdict: Verdict::Passed,
            duration: Duration::from_millis(1),
        });
        let builds = HashMap::from([("p".into(), 9)]);
        archive
            .add(id, tally.executions(id, &builds), true)
            .unwrap();
        assert_eq!(all(&archive)[0].executions[0].build, Some(9));
    }
}
