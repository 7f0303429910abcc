//! Where runs live, and how old ones go.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{JournalError, JournalReader, JournalWriter, RunId};
use crate::model::UnixMillis;

/// The name of the journal inside a run's folder.
pub const JOURNAL_FILE: &str = "journal.jsonl";

/// The folder with one sub-folder per run.
///
/// # Examples
///
/// ```
/// use aqe_runner::journal::{RunId, RunsFolder};
///
/// let temporary = tempfile::tempdir()?;
/// let runs = RunsFolder::new(temporary.path().join("runs"));
/// let run = runs.create(RunId::new())?;
/// let journal = run.create_journal()?;
/// assert_eq!(runs.list()?, [run.id()]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunsFolder {
    root: PathBuf,
}

/// The folder of one run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunFolder {
    id: RunId,
    path: PathBuf,
}

/// What a clean-up did.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Pruned {
    /// Runs that were removed, oldest first.
    pub removed: Vec<RunId>,
    /// Runs that were old enough and are still being written.
    pub in_use: Vec<RunId>,
    /// Runs that could not be removed, and why.
    pub failed: Vec<(RunId, io::Error)>,
}

/// A folder of runs could not be used.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {path}")]
#[non_exhaustive]
pub struct FolderError {
    /// What was tried.
    pub action: &'static str,
    /// On which folder.
    pub path: PathBuf,
    /// What the system said.
    pub source: io::Error,
}

impl RunsFolder {
    /// How many runs [`prune`](Self::prune) is usually told to keep: enough to compare a day's work, and a few MiB.
    pub const DEFAULT_KEPT: usize = 20;

    /// The folder of runs at this place; nothing is created or read yet.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The folder itself.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.root
    }

    /// The folder of a run, whether or not it exists.
    #[must_use]
    pub fn run(&self, id: RunId) -> RunFolder {
        RunFolder {
            id,
            path: self.root.join(id.to_string()),
        }
    }

    /// Creates the folder of a new run, and the folders above it.
    ///
    /// # Errors
    ///
    /// When the system refuses, or the run exists already.
    pub fn create(&self, id: RunId) -> Result<RunFolder, FolderError> {
        let run = self.run(id);
        fs::create_dir_all(&self.root)
            .and_then(|()| fs::create_dir(&run.path))
            .map_err(|source| FolderError {
                action: "create the folder of the run",
                path: run.path.clone(),
                source,
            })?;
        Ok(run)
    }

    /// The runs that have a folder, oldest first. Whatever else lies around is not looked at.
    ///
    /// # Errors
    ///
    /// When the folder exists and cannot be read; one that does not exist has no runs.
    pub fn list(&self) -> Result<Vec<RunId>, FolderError> {
        let failed = |source| FolderError {
            action: "read the folder of runs",
            path: self.root.clone(),
            source,
        };
        let entries = match fs::read_dir(&self.root) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other.map_err(failed)?,
        };
        let mut runs = Vec::new();
        for entry in entries {
            let entry = entry.map_err(failed)?;
            // `file_type` does not follow links: a link is not a run, whatever its name.
            let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
            let id = entry
                .file_name()
                .to_str()
                .and_then(|name| name.parse::<RunId>().ok());
            runs.extend(id.filter(|_| is_folder));
        }
        runs.sort_unstable();
        Ok(runs)
    }

    /// Removes the oldest runs so that `keep` stay, counting those that are still being written.
    ///
    /// Only folders that are named like a run are touched, links are not followed, and a run whose journal is locked by
    /// a live writer stays.
    ///
    /// # Errors
    ///
    /// When the folder cannot be listed. A run that cannot be removed is in the result, and does not stop the others.
    pub fn prune(&self, keep: usize) -> Result<Pruned, FolderError> {
        let runs = self.list()?;
        let mut pruned = Pruned::default();
        for &id in &runs[..runs.len().saturating_sub(keep)] {
            match self.run(id).remove_unless_in_use() {
                Ok(true) => pruned.removed.push(id),
                Ok(false) => pruned.in_use.push(id),
                // Another process cleans up at the same time.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => pruned.failed.push((id, error)),
            }
        }
        Ok(pruned)
    }
}

impl RunFolder {
    /// The run.
    #[must_use]
    pub fn id(&self) -> RunId {
        self.id
    }

    /// The folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where its journal is.
    #[must_use]
    pub fn journal_path(&self) -> PathBuf {
        self.path.join(JOURNAL_FILE)
    }

    /// Creates its journal.
    ///
    /// # Errors
    ///
    /// As for [`JournalWriter::create`].
    pub fn create_journal(&self) -> Result<JournalWriter, JournalError> {
        JournalWriter::create(self.journal_path())
    }

    /// Opens its journal for reading.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn read_journal(&self) -> io::Result<JournalReader<File>> {
        JournalReader::open(self.journal_path())
    }

    /// Removes the folder and says `true`, or says `false` because its run is still going on.
    fn remove_unless_in_use(&self) -> io::Result<bool> {
        // Held while the folder goes, so that nobody continues the run meanwhile.
        let _held = match File::open(self.journal_path()) {
            Ok(journal) => match journal.try_lock() {
                Ok(()) => Some(journal),
                Err(fs::TryLockError::WouldBlock) => return Ok(false),
                Err(fs::TryLockError::Error(error)) => return Err(error),
            },
            // A run creates its folder first and its journal a moment later.
            Err(error) if error.kind() == io::ErrorKind::NotFound && self.is_young() => {
                return Ok(false);
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        fs::remove_dir_all(&self.path)?;
        Ok(true)
    }

    fn is_young(&self) -> bool {
        let age = UnixMillis::now().0.saturating_sub(self.id.started().0);
        Duration::from_millis(age) < YOUNG
    }
}

/// For how long a run without a journal is believed to be starting.
const YOUNG: Duration = Duration::from_secs(10 * 60);

#[cfg(test)]
mod tests {
    use super::*;

    fn runs_with(journals: &[u64]) -> (tempfile::TempDir, RunsFolder, Vec<RunId>) {
        let temporary = tempfile::tempdir().unwrap();
        let runs = RunsFolder::new(temporary.path().join("state/runs"));
        let ids: Vec<RunId> = journals
            .iter()
            .map(|&at| RunId::from_parts(UnixMillis(at), 0))
            .collect();
        for &id in &ids {
            drop(runs.create(id).unwrap().create_journal().unwrap());
        }
        (temporary, runs, ids)
    }

    #[test]
    fn the_newest_runs_stay() {
        let (_temporary, runs, ids) = runs_with(&[3, 1, 2, 4]);
        let pruned = runs.prune(2).unwrap();
        assert_eq!(pruned.removed, [ids[1], ids[2]]);
        assert_eq!(runs.list().unwrap(), [ids[0], ids[3]]);
        assert!(runs.prune(2).unwrap().removed.is_empty());
    }

    #[test]
    fn a_live_run_stays_whatever_its_age() {
        let (_temporary, runs, ids) = runs_with(&[2, 3]);
        let live = runs.create(RunId::from_parts(UnixMillis(1), 0)).unwrap();
        let journal = live.create_journal().unwrap();
        let pruned = runs.prune(0).unwrap();
        assert_eq!((pruned.removed, pruned.in_use), (ids, vec![live.id()]));
        drop(journal);
        assert_eq!(runs.prune(0).unwrap().removed, [live.id()]);
    }

    #[test]
    fn a_run_that_is_starting_stays_and_an_old_half_made_one_goes() {
        let (_temporary, runs, _) = runs_with(&[]);
        let young = runs.create(RunId::new()).unwrap();
        let old = runs.create(RunId::from_parts(UnixMillis(1), 0)).unwrap();
        let pruned = runs.prune(0).unwrap();
        assert_eq!(
            (pruned.removed, pruned.in_use),
            (vec![old.id()], vec![young.id()])
        );
    }

    #[cfg(unix)]
    #[test]
    fn nothing_but_run_folders_is_touched_and_links_are_not_followed() {
        let (temporary, runs, ids) = runs_with(&[1]);
        let precious = temporary.path().join("precious");
        fs::create_dir(&precious).unwrap();
        fs::write(precious.join("file"), "keep").unwrap();
        let link = runs
            .path()
            .join(RunId::from_parts(UnixMillis(0), 1).to_string());
        std::os::unix::fs::symlink(&precious, &link).unwrap();
        std::os::unix::fs::symlink(&precious, runs.run(ids[0]).path().join("link")).unwrap();
        fs::create_dir(runs.path().join("notes")).unwrap();
        fs::write(
            runs.path()
                .join(RunId::from_parts(UnixMillis(0), 2).to_string()),
            "a file",
        )
        .unwrap();

        assert_eq!(runs.prune(0).unwrap().removed, ids);
        assert!(
            precious.join("file").exists() && link.exists() && runs.path().join("notes").exists()
        );
    }

    #[test]
    fn a_missing_folder_has_no_runs_and_a_file_in_its_place_is_an_error() {
        let temporary = tempfile::tempdir().unwrap();
        assert!(
            RunsFolder::new(temporary.path().join("none"))
                .list()
                .unwrap()
                .is_empty()
        );
        let file = temporary.path().join("file");
        fs::write(&file, "").unwrap();
        let error = RunsFolder::new(&file).create(RunId::new()).unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("cannot create the folder of the run"),
            "{error}"
        );
    }
}
