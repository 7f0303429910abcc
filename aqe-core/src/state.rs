//! The folder in which programs keep what belongs to a project and to nobody else's eyes: `.aqe/`.
//!
//! Through it a second process finds what a first one does at the moment, and what the last ones left. It may be in a
//! repository that came from elsewhere, and on a machine with other users, so what is found is checked before it is
//! used: on Unix it must be a folder of this user that nobody else can write to.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::config::discover;

/// The name of the folder.
pub const FOLDER_NAME: &str = ".aqe";

/// The state folder of a project, whether or not it is there yet.
///
/// # Examples
///
/// ```
/// use aqe_core::state::StateFolder;
///
/// let project = tempfile::tempdir()?;
/// std::fs::create_dir_all(project.path().join("src/deep"))?;
/// std::fs::write(project.path().join("Cargo.toml"), "[workspace]\n")?;
/// let state = StateFolder::find(&project.path().join("src/deep"))?;
/// assert_eq!(state.path(), project.path().join(".aqe"));
/// assert!(!state.is_there()?);
/// state.create()?;
/// assert!(state.is_there()?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateFolder {
    path: PathBuf,
}

/// Why a state folder is not used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StateError {
    /// The system refuses something.
    #[error("cannot {action} {}", .path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Something else has the name, or a symbolic link, which may lead anywhere.
    #[error("{} is {what} and not a folder; move it away", .path.display())]
    NotAFolder {
        /// What has the name.
        path: PathBuf,
        /// What it is.
        what: &'static str,
    },
    /// It belongs to another user, who could change what is in it.
    #[error("{} belongs to user {owner}, and this program runs as user {own}; remove it, or run as its owner", .path.display())]
    Foreign {
        /// The folder.
        path: PathBuf,
        /// Whose it is.
        owner: u32,
        /// Who this process is.
        own: u32,
    },
    /// Other users can write to it.
    #[error("{} can be written by others (mode {mode:o}); `chmod 700` makes it this user's alone", .path.display())]
    Exposed {
        /// The folder.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
}

impl StateFolder {
    /// Finds the state folder of the project that a folder belongs to; nothing is created or opened.
    ///
    /// It is the nearest `.aqe` upwards. Where there is none, it will be in the root of the project: the outermost folder
    /// whose `Cargo.toml` has a `[workspace]`, else the nearest one with a `Cargo.toml`, else the root of the repository,
    /// else the folder itself. The search ends at the root of the repository, as that for `qe.config.yaml` does, and
    /// without a repository at the root of the project: what is above belongs to somebody else.
    ///
    /// # Errors
    ///
    /// [`StateError::Io`] when the folder cannot be made absolute.
    pub fn find(folder: &Path) -> Result<Self, StateError> {
        let folder = std::path::absolute(folder).map_err(|source| StateError::Io {
            action: "find",
            path: folder.to_owned(),
            source,
        })?;
        let repository = discover::repository(&folder);
        let root = root_of_project(&folder, repository);
        let boundary = repository.unwrap_or(root);
        let mut inside = folder
            .ancestors()
            .take_while(|parent| parent.starts_with(boundary));
        // Whatever bears the name counts; what it is, is judged before it is used.
        let nearest = inside.find(|parent| parent.join(FOLDER_NAME).symlink_metadata().is_ok());
        Ok(Self {
            path: nearest.unwrap_or(root).join(FOLDER_NAME),
        })
    }

    /// The state folder at this very place.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// Where it is, or would be.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The file with what was measured.
    #[must_use]
    pub fn monitor_db(&self) -> PathBuf {
        self.path.join("monitor.db")
    }

    /// The file with the states of alerts.
    #[must_use]
    pub fn alerts_db(&self) -> PathBuf {
        self.path.join("alerts.db")
    }

    /// Whether the folder is there and may be used.
    ///
    /// # Errors
    ///
    /// When something is there that must not be used.
    pub fn is_there(&self) -> Result<bool, StateError> {
        let metadata = match self.path.symlink_metadata() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            other => other.map_err(|source| self.failed("look at", source))?,
        };
        let what = match metadata.file_type() {
            kind if kind.is_dir() => return self.check(&metadata).map(|()| true),
            kind if kind.is_symlink() => "a symbolic link",
            _ => "a file",
        };
        Err(StateError::NotAFolder {
            path: self.path.clone(),
            what,
        })
    }

    /// Creates the folder if it is not there, for this user alone, with a file by which git passes it over.
    ///
    /// # Errors
    ///
    /// When the system refuses, or something is there that must not be used.
    pub fn create(&self) -> Result<(), StateError> {
        if !self.is_there()? {
            match builder().create(&self.path) {
                // Somebody was quicker, and is judged like everybody.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                other => other.map_err(|source| self.failed("create", source))?,
            }
            self.is_there()?;
        }
        self.ignore()
    }

    /// Tells git to pass over everything in the folder, unless the file is there and says something else.
    fn ignore(&self) -> Result<(), StateError> {
        let path = self.path.join(".gitignore");
        let written = OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&path)
            .and_then(|mut file| file.write_all(b"*\n"));
        match written {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(StateError::Io {
                action: "write",
                path,
                source: error,
            }),
            _ => Ok(()),
        }
    }

    #[cfg(unix)]
    fn check(&self, metadata: &fs::Metadata) -> Result<(), StateError> {
        use std::os::unix::fs::MetadataExt as _;

        /// Write permission of group and others.
        const OTHERS: u32 = 0o022;

        let (owner, own) = (metadata.uid(), rustix::process::geteuid().as_raw());
        let path = self.path.clone();
        if owner != own {
            return Err(StateError::Foreign { path, owner, own });
        }
        let mode = metadata.mode() & 0o7777;
        if mode & OTHERS != 0 {
            return Err(StateError::Exposed { path, mode });
        }
        Ok(())
    }

    /// Who may write to a folder is not asked elsewhere; there, nothing is served through it.
    #[cfg(not(unix))]
    fn check(&self, _: &fs::Metadata) -> Result<(), StateError> {
        Ok(())
    }

    fn failed(&self, action: &'static str, source: io::Error) -> StateError {
        StateError::Io {
            action,
            path: self.path.clone(),
            source,
        }
    }
}

/// Makes folders that are this user's alone.
pub(crate) fn builder() -> fs::DirBuilder {
    #[cfg_attr(not(unix), expect(unused_mut, reason = "only Unix has a mode to set"))]
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder
}

fn root_of_project<'a>(folder: &'a Path, repository: Option<&Path>) -> &'a Path {
    let inside = || {
        let parents = folder.ancestors().take(discover::MAX_PARENTS);
        parents.take_while(|parent| repository.is_none_or(|root| parent.starts_with(root)))
    };
    let workspace = inside().filter(|parent| discover::is_workspace(parent));
    let package = || inside().find(|parent| parent.join("Cargo.toml").is_file());
    let repository = || inside().last().filter(|_| repository.is_some());
    workspace
        .last()
        .or_else(package)
        .or_else(repository)
        .unwrap_or(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A temporary folder with these files and, where they end in `/`, folders.
    fn tree(paths: &[&str]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for name in paths {
            let path = root.path().join(name.trim_end_matches('/'));
            if name.ends_with('/') {
                fs::create_dir_all(&path).unwrap();
                continue;
            }
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            let is_package = name.starts_with("member");
            let text = if is_package {
                "[package]\n"
            } else {
                "[workspace]\n"
            };
            fs::write(&path, text).unwrap();
        }
        root
    }

    #[test]
    fn the_nearest_folder_counts_and_else_the_root_of_the_project() {
        for (paths, from, expected) in [
            (&["a/"][..], "a", "a/.aqe"),
            (&[".git/", "a/b/"], "a/b", ".aqe"),
            (&[".git/", ".aqe/", "a/b/"], "a/b", ".aqe"),
            (&[".git/", "a/.aqe/", "a/b/"], "a/b", "a/.aqe"),
            // What is above the repository is not ours.
            (&[".aqe/", "a/.git/", "a/b/"], "a/b", "a/.aqe"),
            (&[".aqe/", "a/b/"], "a/b", "a/b/.aqe"),
            (
                &["Cargo.toml", "member/Cargo.toml", "member/src/"],
                "member/src",
                ".aqe",
            ),
            (
                &["member/Cargo.toml", "member/src/"],
                "member/src",
                "member/.aqe",
            ),
            (&[".git/", "w/Cargo.toml", "w/x/"], "w/x", "w/.aqe"),
            // Somebody began one at the repository, above the workspace.
            (&[".git/", ".aqe/", "w/Cargo.toml", "w/x/"], "w/x", ".aqe"),
            (&["Cargo.toml", "a/.git/", "a/b/"], "a/b", "a/.aqe"),
        ] {
            let root = tree(paths);
            let found = StateFolder::find(&root.path().join(from)).unwrap();
            assert_eq!(found.path(), root.path().join(expected), "{paths:?}");
        }
    }

    #[test]
    fn a_folder_is_made_once_and_git_passes_it_over() {
        let root = tree(&[]);
        let state = StateFolder::at(root.path().join(FOLDER_NAME));
        assert!(!state.is_there().unwrap());
        for _ in 0..2 {
            state.create().unwrap();
            let ignored = fs::read_to_string(state.path().join(".gitignore")).unwrap();
            assert_eq!(ignored, "*\n");
        }
        // Who has said something else there meant it.
        fs::write(state.path().join(".gitignore"), "session*\n").unwrap();
        state.create().unwrap();
        let ignored = fs::read_to_string(state.path().join(".gitignore")).unwrap();
        assert_eq!(ignored, "session*\n");
    }

    #[test]
    fn what_is_no_folder_is_refused() {
        let root = tree(&[]);
        let state = StateFolder::at(root.path().join(FOLDER_NAME));
        fs::write(state.path(), "").unwrap();
        for error in [state.is_there().unwrap_err(), state.create().unwrap_err()] {
            assert!(
                error
                    .to_string()
                    .ends_with("is a file and not a folder; move it away")
            );
        }
    }

    #[cfg(unix)]
    #[test]
    fn only_a_folder_of_this_user_that_others_cannot_write_to_is_used() {
        use std::os::unix::fs::{PermissionsExt as _, symlink};

        let root = tree(&["elsewhere/"]);
        let state = StateFolder::at(root.path().join(FOLDER_NAME));
        state.create().unwrap();
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o7777;
        assert_eq!(mode(state.path()), 0o700);
        for (mode, is_used) in [(0o755, true), (0o770, false), (0o702, false), (0o500, true)] {
            fs::set_permissions(state.path(), fs::Permissions::from_mode(mode)).unwrap();
            match state.is_there() {
                Ok(is_there) => assert!(is_there && is_used, "{mode:o}"),
                Err(error) => assert!(
                    !is_used
                        && matches!(error, StateError::Exposed { mode: found, .. } if found == mode),
                    "{mode:o}: {error}"
                ),
            }
        }
        let link = StateFolder::at(root.path().join("link"));
        symlink(root.path().join("elsewhere"), link.path()).unwrap();
        let error = link.create().unwrap_err();
        assert!(matches!(
            error,
            StateError::NotAFolder {
                what: "a symbolic link",
                ..
            }
        ));
        // Only root can give a folder away; for everybody else there is one that is root's.
        let foreign = match rustix::process::geteuid().is_root() {
            true => {
                let path = root.path().join("elsewhere");
                std::os::unix::fs::chown(&path, Some(12_345), None).unwrap();
                StateFolder::at(path)
            }
            false => StateFolder::at("/"),
        };
        assert!(matches!(
            foreign.is_there(),
            Err(StateError::Foreign { .. })
        ));
    }
}
