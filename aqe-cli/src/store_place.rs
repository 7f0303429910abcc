//! Which store a command is about, and what to do when it cannot be had.

use std::path::{Path, PathBuf};

use aqe_core::config::{Loaded, MemorySettings};
use aqe_core::memory::OpenError;
use aqe_runner::cargo::{Selection, find_target_directory};
use aqe_runner::history::Archive;

use crate::args::{ConfigSource, StorePlace};
use crate::config::{loader, refused};
use crate::exit::Exit;
use crate::failure::Failure;

/// The file that every store's folder has.
const MARK: &str = "store";

/// A folder with a store in it.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) folder: PathBuf,
    pub(crate) settings: MemorySettings,
}

/// Finds the store, and reads the settings; relative paths begin at `here`.
pub(crate) fn find(
    place: &StorePlace,
    config: &ConfigSource,
    here: &Path,
) -> Result<Place, Failure> {
    let manifest = place.manifest_path.as_ref().map(|path| here.join(path));
    let project = manifest.as_deref().and_then(Path::parent).unwrap_or(here);
    let settings = loader(config, project.to_owned()).load();
    let settings = settings
        .map(Loaded::into_config)
        .map_err(|error| refused(&error))?;
    let folder = match &place.folder {
        Some(folder) => here.join(folder),
        None => of_project(place, here)?,
    };
    // Opening would begin one.
    if !folder.join(MARK).is_file() {
        return Err(no_store(&folder, place.folder.is_none()));
    }
    Ok(Place {
        folder,
        settings: settings.memory,
    })
}

/// Where `aqe run` keeps what became of the tests.
fn of_project(place: &StorePlace, here: &Path) -> Result<PathBuf, Failure> {
    let mut selection = Selection::default();
    selection.manifest_path.clone_from(&place.manifest_path);
    selection.target_dir.clone_from(&place.target_dir);
    // Where things are does not hang on what there is to download.
    selection.offline = true;
    let target = find_target_directory(here, &selection).map_err(|error| {
        Failure::of(Exit::Environment, &error)
            .hint("--manifest-path names the project, and --folder the folder of a store")
    })?;
    Ok(Archive::folder_in(&target.join("aqe")))
}

fn no_store(folder: &Path, is_of_project: bool) -> Failure {
    let failure = Failure::new(
        Exit::NoStore,
        format!("there is no store in {}", folder.display()),
    );
    match is_of_project {
        true => failure.hint("`aqe run` begins one with the project's first run"),
        false => failure
            .hint("without --folder it is the one that `aqe run` keeps of the project's tests"),
    }
}

/// Why a store was not opened, as the user sees it.
pub(crate) fn not_opened(error: &OpenError) -> Failure {
    let failure = Failure::of(Exit::Environment, error);
    match error {
        OpenError::Locked { .. } => failure.hint("one process at a time has a store open; try again when it has ended"),
        OpenError::Damaged { .. } => failure.hint(
            "the next `aqe run` sets the history aside and begins anew, with what the journals of the last runs say",
        ),
        OpenError::KeyMissing { .. } => {
            failure.hint("this program has no keys; use the one that wrote it")
        }
        _ => failure,
    }
}
