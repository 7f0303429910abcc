//! Finding and reading `qe.config.yaml`.
//!
//! The search stops at the root of the project, because a file above it belongs to somebody else: a settings file in a
//! shared parent folder must not steer a program that was started below it.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::{ConfigError, yaml};

/// The name of the configuration file.
pub const FILE_NAME: &str = "qe.config.yaml";

/// The name that people give it when they forget that it is spelled out.
const MISSPELLED: &str = "qe.config.yml";

/// Entries that mark the root of a repository.
const REPOSITORY_MARKS: [&str; 4] = [".git", ".hg", ".jj", ".svn"];

/// More parents than any path has that a system accepts.
pub(crate) const MAX_PARENTS: usize = 256;

/// Finds the configuration of the project that a folder belongs to.
///
/// Looks for [`FILE_NAME`] in the folder and in its parents up to the root of the project, and returns the nearest one.
/// The root is the nearest folder upwards with a `.git`, `.hg`, `.jj` or `.svn`; without one, the outermost folder with
/// a `Cargo.toml` that declares a `[workspace]`; without that, the folder itself.
///
/// # Errors
///
/// [`ConfigError::Misnamed`] when a folder has a `qe.config.yml` and no `qe.config.yaml`, [`ConfigError::Io`] when the
/// folder cannot be made absolute.
pub fn find(folder: &Path) -> Result<Option<PathBuf>, ConfigError> {
    let folder = std::path::absolute(folder).map_err(|source| ConfigError::Io {
        path: folder.to_owned(),
        action: "find",
        source,
    })?;
    let root = project_root(&folder);
    for folder in folder.ancestors().take(MAX_PARENTS) {
        let path = folder.join(FILE_NAME);
        // Whatever bears the name counts; a folder or a dead link is reported when it is read.
        if path.symlink_metadata().is_ok() {
            return Ok(Some(path));
        }
        let misspelled = folder.join(MISSPELLED);
        if misspelled.is_file() {
            return Err(ConfigError::Misnamed { path: misspelled });
        }
        if folder == root {
            break;
        }
    }
    Ok(None)
}

fn project_root(folder: &Path) -> &Path {
    let parents = || folder.ancestors().take(MAX_PARENTS);
    repository(folder)
        .or_else(|| parents().filter(|parent| is_workspace(parent)).last())
        .unwrap_or(folder)
}

/// The root of the repository that a folder is in.
pub(crate) fn repository(folder: &Path) -> Option<&Path> {
    folder.ancestors().take(MAX_PARENTS).find(|parent| {
        REPOSITORY_MARKS
            .iter()
            .any(|mark| parent.join(mark).symlink_metadata().is_ok())
    })
}

/// Whether a folder has a Cargo manifest with a workspace table.
pub(crate) fn is_workspace(folder: &Path) -> bool {
    let path = folder.join("Cargo.toml");
    read_bounded(&path).is_ok_and(|manifest| {
        String::from_utf8_lossy(&manifest).lines().any(|line| {
            let line = line.trim();
            line.starts_with("[workspace]") || line.starts_with("[workspace.")
        })
    })
}

/// Reads a configuration file; one that is too large comes back cut, just long enough to be recognised as such.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, ConfigError> {
    read_bounded(path).map_err(|source| ConfigError::Io {
        path: path.to_owned(),
        action: "read",
        source,
    })
}

fn read_bounded(path: &Path) -> io::Result<Vec<u8>> {
    // Opening a named pipe would wait for a writer that never comes.
    if !path.metadata()?.is_file() {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "not a regular file",
        ));
    }
    let mut bytes = Vec::new();
    let limit = u64::try_from(yaml::MAX_BYTES)
        .unwrap_or(u64::MAX)
        .saturating_add(1);
    File::open(path)?.take(limit).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    /// A temporary folder with the given files; names that end in `/` are folders.
    fn tree(paths: &[&str]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for path in paths {
            let path = root.path().join(path);
            if path.to_string_lossy().ends_with('/') {
                fs::create_dir_all(&path).unwrap();
            } else {
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                let content = if path.ends_with("Cargo.toml") {
                    "[workspace]\n"
                } else {
                    ""
                };
                fs::write(&path, content).unwrap();
            }
        }
        root
    }

    #[test]
    fn the_nearest_file_up_to_the_root_is_found() {
        for (paths, from, expected) in [
            (&["qe.config.yaml"][..], "", Some("qe.config.yaml")),
            (
                &[".git/", "qe.config.yaml", "a/b/"],
                "a/b",
                Some("qe.config.yaml"),
            ),
            (
                &[".git/", "qe.config.yaml", "a/qe.config.yaml", "a/b/"],
                "a/b",
                Some("a/qe.config.yaml"),
            ),
            // Above the repository stands somebody else's file.
            (&["qe.config.yaml", "a/.git", "a/b/"], "a/b", None),
            // A workspace inside a repository does not stop the search.
            (
                &[".git/", "qe.config.yaml", "a/Cargo.toml", "a/b/"],
                "a/b",
                Some("qe.config.yaml"),
            ),
            (
                &["a/Cargo.toml", "a/qe.config.yaml", "a/b/"],
                "a/b",
                Some("a/qe.config.yaml"),
            ),
            (&["qe.config.yaml", "a/Cargo.toml", "a/b/"], "a/b", None),
            (
                &["Cargo.toml", "qe.config.yaml", "a/Cargo.toml", "a/b/"],
                "a/b",
                Some("qe.config.yaml"),
            ),
            // Without any mark, parents are not searched.
            (&["qe.config.yaml", "a/b/"], "a/b", None),
        ] {
            let root = tree(paths);
            let found = find(&root.path().join(from)).unwrap();
            assert_eq!(
                found,
                expected.map(|path| root.path().join(path)),
                "{paths:?}"
            );
        }
    }

    #[test]
    fn a_file_with_the_wrong_ending_is_not_passed_over() {
        let root = tree(&[".git/", "qe.config.yml", "a/"]);
        let error = find(&root.path().join("a")).unwrap_err();
        assert!(matches!(error, ConfigError::Misnamed { path } if path.ends_with("qe.config.yml")));
    }

    #[test]
    fn what_is_not_a_file_is_refused() {
        let root = tree(&["qe.config.yaml/"]);
        let path = root.path().join(FILE_NAME);
        assert_eq!(find(root.path()).unwrap(), Some(path.clone()));
        assert!(matches!(
            read(&path),
            Err(ConfigError::Io { action: "read", .. })
        ));
    }

    #[test]
    fn no_more_than_the_limit_is_read() {
        let root = tree(&[]);
        let path = root.path().join(FILE_NAME);
        fs::write(&path, vec![b'#'; 3 * yaml::MAX_BYTES]).unwrap();
        assert_eq!(read(&path).unwrap().len(), yaml::MAX_BYTES + 1);
    }
}
