//! Waiting until what was written is on the disk.
//!
//! One thread at a time syncs; whoever comes meanwhile waits for the next turn, which is for all of them together
//! (group commit).

use std::fs::File;
use std::sync::Arc;

use parking_lot::{Condvar, Mutex};

use super::error::DiskError;
use super::system;

/// Up to which version everything is on the disk.
#[derive(Debug, Default)]
pub(crate) struct Syncs {
    state: Mutex<State>,
    turn: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// Every record of a lower version is on the disk.
    synced: u64,
    busy: bool,
    /// After a failure the system may have dropped what it could not write, and says so once only: from then on nothing is
    /// known to be on the disk.
    failed: Option<DiskError>,
}

/// What has to be synced for all records of versions below `version`.
#[derive(Debug)]
pub(crate) struct Dirty {
    pub(crate) version: u64,
    pub(crate) files: Vec<Arc<File>>,
    /// Whether there are new names in the folder.
    pub(crate) names: bool,
}

impl Syncs {
    /// Waits until every record of a version below `version` is on the disk; `dirty` says what that takes.
    pub(crate) fn wait(
        &self,
        version: u64,
        folder: &std::path::Path,
        dirty: impl Fn() -> Dirty,
    ) -> Result<(), DiskError> {
        let mut state = self.state.lock();
        loop {
            if let Some(failed) = &state.failed {
                return Err(failed.clone());
            }
            if state.synced >= version {
                return Ok(());
            }
            if state.busy {
                self.turn.wait(&mut state);
                continue;
            }
            state.busy = true;
            drop(state);
            let dirty = dirty();
            let result = sync(&dirty, folder);
            state = self.state.lock();
            state.busy = false;
            match result {
                Ok(()) => state.synced = state.synced.max(dirty.version),
                Err(error) => state.failed = Some(error),
            }
            self.turn.notify_all();
        }
    }
}

impl Syncs {
    /// Why a sync failed, if one did.
    pub(crate) fn failure(&self) -> Option<DiskError> {
        self.state.lock().failed.clone()
    }
}

fn sync(dirty: &Dirty, folder: &std::path::Path) -> Result<(), DiskError> {
    for file in &dirty.files {
        system::call(|| file.sync_data()).map_err(DiskError::of("sync a file of", folder))?;
    }
    if dirty.names {
        super::superblock::sync_folder(folder).map_err(DiskError::of("sync", folder))?;
    }
    Ok(())
}
