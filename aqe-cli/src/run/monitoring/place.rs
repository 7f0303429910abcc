//! Where the history of measurements is: in the project's state folder, for its owner only.

use std::fs::OpenOptions;
use std::io;
use std::path::{Path, PathBuf};

use aqe_core::state::{StateError, StateFolder};

/// The file of a project's history, whose folder is made if there is none.
///
/// The file is made for its owner only, like the folder, for labels and versions may say what others need not know. One that is
/// there is left as it is.
pub(super) fn file_in(project: &Path) -> Result<PathBuf, StateError> {
    let state = StateFolder::find(project)?;
    state.create()?;
    let path = state.monitor_db();
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    // SQLite gives its other files the mode of this one.
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(&path) {
        Err(source) if source.kind() != io::ErrorKind::AlreadyExists => {
            let action = "create";
            Err(StateError::Io {
                action,
                path,
                source,
            })
        }
        _ => Ok(path),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_file_is_made_once_for_its_owner() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("Cargo.toml"), "[workspace]\n").unwrap();
        let file = file_in(root.path()).unwrap();
        assert_eq!(file, root.path().join(".aqe/monitor.db"));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
            assert_eq!(mode(&root.path().join(".aqe")), 0o700);
            assert_eq!(mode(&file), 0o600);
        }
        // What somebody has written stays so.
        fs::write(&file, "kept").unwrap();
        assert_eq!(file_in(root.path()).unwrap(), file);
        assert_eq!(fs::read_to_string(&file).unwrap(), "kept");
    }

    #[test]
    fn a_file_where_the_folder_belongs_is_an_error() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("Cargo.toml"), "[workspace]\n").unwrap();
        fs::write(root.path().join(".aqe"), "").unwrap();
        assert!(file_in(root.path()).is_err());
    }
}
