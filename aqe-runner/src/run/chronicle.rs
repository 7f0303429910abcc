//! The archive of the history around a run: read beside the listing, written at the end.
//!
//! While tests run it is closed. They may need every file that this process can have open, and others can read the
//! history meanwhile.
//!
//! **Invariant:** whatever happens to the archive, the run goes on. What this run came to is in its journal then, from
//! where the next run adds it.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::thread::{self, JoinHandle};

use aqe_core::config::MemorySettings;

use super::history::History;
use crate::history::{Archive, HistoryError};
use crate::journal::{RunId, RunsFolder};
use crate::model::BinaryId;

/// Knows where the archive is, and what it said.
#[derive(Debug)]
pub(super) struct Chronicle {
    folder: PathBuf,
    settings: MemorySettings,
    /// Whether what the archive knows of the order of tests is known; if not, it is not to be replaced.
    is_loaded: bool,
}

/// The archive is being read.
#[derive(Debug)]
pub(super) struct Opening {
    chronicle: Chronicle,
    thread: std::io::Result<JoinHandle<Result<Loaded, HistoryError>>>,
}

/// What the archive said.
struct Loaded {
    history: History,
    notice: Option<String>,
}

impl Opening {
    /// Begins to read the archive in this folder for journals, lists and history.
    pub(super) fn begin(state: &Path, settings: &MemorySettings) -> Self {
        let folder = Archive::folder_in(state);
        let work = {
            let (state, folder, settings) = (state.to_owned(), folder.clone(), settings.clone());
            move || load(&state, &folder, &settings)
        };
        Self {
            chronicle: Chronicle {
                folder,
                settings: settings.clone(),
                is_loaded: false,
            },
            thread: thread::Builder::new()
                .name("aqe-history".to_owned())
                .spawn(work),
        }
    }

    /// What is known of the tests; nothing, if the archive cannot be read, which the end of the run tells.
    pub(super) fn finish(self, warnings: &mut Vec<String>) -> (Chronicle, History) {
        let mut chronicle = self.chronicle;
        let loaded = self.thread.ok().and_then(|thread| thread.join().ok());
        let Some(Ok(Loaded { history, notice })) = loaded else {
            return (chronicle, History::default());
        };
        chronicle.is_loaded = true;
        warnings.extend(notice);
        (chronicle, history)
    }
}

impl Chronicle {
    /// Adds what the run came to.
    pub(super) fn end(
        &self,
        run: RunId,
        history: &mut History,
        builds: &HashMap<BinaryId, u32>,
    ) -> Result<(), HistoryError> {
        let archive = Archive::open(&self.folder, &self.settings)?;
        archive.add(run, history.take_tally().executions(run, builds), true)?;
        if self.is_loaded {
            history.save(&archive)?;
        }
        archive.fold_if_due()
    }
}

fn load(state: &Path, folder: &Path, settings: &MemorySettings) -> Result<Loaded, HistoryError> {
    let (archive, notice) = Archive::open_or_renew(folder, settings)?;
    let history = History::load(&archive, state);
    archive.import(&RunsFolder::new(state.join("runs")))?;
    Ok(Loaded { history, notice })
}
