//! Where a project keeps its alerts, and what its configuration says of them.

use std::path::Path;

use aqe_core::AlertSetup;
use aqe_core::config::{Config, Loaded};
use aqe_core::state::{StateError, StateFolder};

use crate::args::ConfigSource;
use crate::config::{loader, refused, working_folder};
use crate::exit::Exit;
use crate::failure::Failure;

/// A project's alerts.
pub(super) struct Place {
    /// The state folder, which may not be there yet.
    pub(super) state: StateFolder,
    pub(super) setup: AlertSetup,
}

impl Place {
    pub(super) fn find(source: &ConfigSource) -> Result<Self, Failure> {
        let here = working_folder()?;
        let loaded = loader(source, here.clone()).load();
        let loaded = loaded.map_err(|error| refused(&error))?;
        let file = loaded.file().map(Path::to_owned);
        let state = state_folder(&here)?;
        let setup = setup_of(&Loaded::into_config(loaded), file.as_deref(), &state)?;
        Ok(Self { state, setup })
    }
}

/// What a configuration, with its file if it has one, and a state folder say of alerts.
pub(crate) fn setup_of(
    config: &Config,
    file: Option<&Path>,
    state: &StateFolder,
) -> Result<AlertSetup, Failure> {
    let setup = AlertSetup::new(config, state.path());
    let setup = setup.map_err(|error| Failure::of(Exit::Environment, &error))?;
    Ok(match file.and_then(Path::parent) {
        Some(folder) => setup.secrets_below(folder),
        None => setup,
    })
}

/// The state folder of the project that a folder is in, whether or not it is there.
fn state_folder(here: &Path) -> Result<StateFolder, Failure> {
    let refused = |error: &StateError| Failure::of(Exit::Environment, error);
    let state = StateFolder::find(here).map_err(|error| refused(&error))?;
    // One that must not be used is told here.
    state.is_there().map_err(|error| refused(&error))?;
    Ok(state)
}

/// Creates the state folder if it is not there.
pub(crate) fn create_state_folder(state: &StateFolder) -> Result<(), Failure> {
    let created = state.create();
    created.map_err(|error| Failure::of(Exit::Environment, &error))
}
