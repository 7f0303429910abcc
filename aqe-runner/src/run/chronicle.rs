//! The archive of the history while a run goes on: opened beside the listing, tidied beside the tests, written at the end.
//!
//! **Invariant:** whatever happens to the archive, the run goes on. What this run came to is in its journal then, from
//! where the next run adds it.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

use aqe_core::config::MemorySettings;

use super::history::History;
use crate::history::{Archive, HistoryError};
use crate::journal::{RunId, RunsFolder};
use crate::model::BinaryId;

/// The thread that has the archive.
#[derive(Debug)]
pub(super) struct Chronicle {
    folder: PathBuf,
    settings: MemorySettings,
    opened: Receiver<Opened>,
    thread: std::io::Result<JoinHandle<Result<Archive, HistoryError>>>,
}

/// What the thread says when the archive is open.
struct Opened {
    history: History,
    notice: Option<String>,
}

impl Chronicle {
    /// Begins to open the archive in this folder for journals, lists and history.
    pub(super) fn begin(state: &Path, settings: &MemorySettings) -> Self {
        let (sender, opened) = sync_channel(1);
        let folder = Archive::folder_in(state);
        let work = {
            let (state, folder, settings) = (state.to_owned(), folder.clone(), settings.clone());
            move || open(&state, &folder, &settings, &sender)
        };
        Self {
            folder,
            settings: settings.clone(),
            opened,
            thread: thread::Builder::new()
                .name("aqe-history".to_owned())
                .spawn(work),
        }
    }

    /// What is known of the tests; nothing, if the archive does not open.
    pub(super) fn history(&self, warnings: &mut Vec<String>) -> History {
        let Ok(Opened { history, notice }) = self.opened.recv() else {
            return History::default();
        };
        warnings.extend(notice);
        history
    }

    /// Adds what the run came to.
    pub(super) fn end(
        self,
        run: RunId,
        history: &mut History,
        builds: &HashMap<BinaryId, u32>,
    ) -> Result<(), HistoryError> {
        let executions = history.take_tally().executions(run, builds);
        match self.thread.map_err(HistoryError::Thread)?.join() {
            Ok(Ok(archive)) => {
                archive.add(run, executions, true)?;
                history.save(&archive)
            }
            // The other run may be over by now. What it knows of the order of tests is as good as what this one knows.
            Ok(Err(error)) if error.is_locked() => {
                Archive::open(&self.folder, &self.settings)?.add(run, executions, true)
            }
            Ok(Err(error)) => Err(error),
            Err(_) => Err(HistoryError::Panicked),
        }
    }
}

fn open(
    state: &Path,
    folder: &Path,
    settings: &MemorySettings,
    opened: &SyncSender<Opened>,
) -> Result<Archive, HistoryError> {
    let (archive, notice) = Archive::open_or_renew(folder, settings)?;
    let history = History::load(&archive, state);
    // The run may have been dropped.
    let _ = opened.send(Opened { history, notice });
    archive.import(&RunsFolder::new(state.join("runs")))?;
    archive.fold_if_due()?;
    Ok(archive)
}
