//! Where a project keeps its alerts, and what its configuration says of them.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use aqe_core::AlertSetup;
use aqe_core::config::{Config, Loaded};

use crate::args::ConfigSource;
use crate::config::{loader, refused, working_folder};
use crate::exit::Exit;
use crate::failure::Failure;

/// A project's alerts.
pub(super) struct Place {
    /// The state folder, which may not be there yet.
    pub(super) state: PathBuf,
    pub(super) setup: AlertSetup,
}

impl Place {
    pub(super) fn find(source: &ConfigSource) -> Result<Self, Failure> {
        let here = working_folder()?;
        let loaded = loader(source, here.clone()).load();
        let loaded = loaded.map_err(|error| refused(&error))?;
        let file = loaded.file().map(Path::to_owned);
        let state = state_folder(&here);
        let setup = setup_of(&Loaded::into_config(loaded), file.as_deref(), &state)?;
        Ok(Self { state, setup })
    }
}

/// What a configuration, with its file if it has one, and a state folder say of alerts.
pub(crate) fn setup_of(
    config: &Config,
    file: Option<&Path>,
    state: &Path,
) -> Result<AlertSetup, Failure> {
    let setup = AlertSetup::new(config, state);
    let setup = setup.map_err(|error| Failure::of(Exit::Environment, &error))?;
    Ok(match file.and_then(Path::parent) {
        Some(folder) => setup.secrets_below(folder),
        None => setup,
    })
}

/// The state folder of the project that a folder is in: the nearest `.aqe` upwards, else a new one at the root of the
/// project. The search ends at the root of the repository; what is above it belongs to somebody else.
pub(crate) fn state_folder(here: &Path) -> PathBuf {
    let parents = || here.ancestors().take(MAX_PARENTS);
    let repository = parents().find(|parent| parent.join(".git").exists());
    let inside = || {
        parents().take_while(move |parent| repository.is_none_or(|root| parent.starts_with(root)))
    };
    let workspace = inside().filter(|parent| is_workspace(parent)).last();
    let package = || inside().find(|parent| parent.join("Cargo.toml").is_file());
    let root = workspace.or_else(package).or(repository).unwrap_or(here);
    let boundary = repository.unwrap_or(root);
    let mut below = inside().take_while(|parent| parent.starts_with(boundary));
    let nearest = below.find(|parent| parent.join(NAME).is_dir());
    nearest.unwrap_or(root).join(NAME)
}

const NAME: &str = ".aqe";

/// More parents than any path has that a system accepts.
const MAX_PARENTS: usize = 256;

fn is_workspace(folder: &Path) -> bool {
    let manifest = fs::read_to_string(folder.join("Cargo.toml"));
    manifest.is_ok_and(|text| {
        text.lines()
            .any(|line| line.starts_with("[workspace]") || line.starts_with("[workspace."))
    })
}

/// Creates the state folder if it is not there, for this user alone, with a file by which git passes it over.
pub(crate) fn create_state_folder(state: &Path) -> Result<(), Failure> {
    create(state).map_err(|error| {
        let text = format!("cannot create {}: {error}", state.display());
        Failure::new(Exit::Environment, text)
    })
}

fn create(state: &Path) -> io::Result<()> {
    match private().create(state) {
        // A link could lead anywhere.
        Err(error)
            if error.kind() == io::ErrorKind::AlreadyExists
                && state.symlink_metadata()?.is_dir() => {}
        other => other?,
    }
    let ignored = OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(state.join(".gitignore"))
        .and_then(|mut file| file.write_all(b"*\n"));
    match ignored {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    }
}

/// Makes folders that are this user's alone.
fn private() -> fs::DirBuilder {
    #[cfg_attr(not(unix), expect(unused_mut, reason = "only Unix has a mode to set"))]
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_folder_counts_and_else_the_root_of_the_project() {
        let root = tempfile::tempdir().unwrap();
        let path = |name: &str| root.path().join(name);
        for folder in ["a/.git", "a/w/m/src", "b"] {
            fs::create_dir_all(path(folder)).unwrap();
        }
        assert_eq!(state_folder(&path("b")), path("b/.aqe"));
        assert_eq!(state_folder(&path("a/w/m")), path("a/.aqe"));
        fs::write(path("a/w/Cargo.toml"), "[workspace]\n").unwrap();
        fs::write(path("a/w/m/Cargo.toml"), "[package]\n").unwrap();
        assert_eq!(state_folder(&path("a/w/m/src")), path("a/w/.aqe"));
        // Above the repository nothing is looked for.
        fs::create_dir(path(".aqe")).unwrap();
        assert_eq!(state_folder(&path("a/w/m/src")), path("a/w/.aqe"));
        fs::create_dir(path("a/w/m/.aqe")).unwrap();
        assert_eq!(state_folder(&path("a/w/m/src")), path("a/w/m/.aqe"));
    }

    #[test]
    #[cfg(unix)]
    fn the_folder_is_this_users_alone_and_no_link() {
        use std::os::unix::fs::{PermissionsExt as _, symlink};

        let root = tempfile::tempdir().unwrap();
        let state = root.path().join(NAME);
        create_state_folder(&state).unwrap();
        create_state_folder(&state).unwrap();
        assert_eq!(
            state.metadata().unwrap().permissions().mode() & 0o777,
            0o700
        );
        assert_eq!(fs::read_to_string(state.join(".gitignore")).unwrap(), "*\n");
        let link = root.path().join("link");
        symlink(&state, &link).unwrap();
        assert!(create_state_folder(&link).is_err());
    }
}
