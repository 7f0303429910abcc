//! Where the history of measurements is: in the project's state folder, for its owner only.

use std::fs::OpenOptions;
use std::io;
use std::path::PathBuf;

use aqe_core::state::{StateError, StateFolder};

/// The file of a project's history, whose folder is made if there is none.
///
/// Folder and file are made for their owner only, for labels and versions may say what others need not know. A file that is
/// there already is left as it is.
pub(super) fn file_in(state: &StateFolder) -> Result<PathBuf, StateError> {
    state.create()?;
    let path = state.monitor_db();
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    // SQLite gives its other files the mode of this one.
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(&path) {
        Err(source) if source.kind() != io::ErrorKind::AlreadyExists => Err(StateError::Io {
            action: "create",
            path,
            source,
        }),
        _ => Ok(path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn the_file_is_made_once_for_its_owner() {
        let root = tempfile::tempdir().unwrap();
        let state = StateFolder::at(root.path().join(".aqe"));
        let file = file_in(&state).unwrap();
        assert_eq!(file, root.path().join(".aqe/monitor.db"));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = fs::metadata(&file).unwrap().permissions().mode() & 0o777;
            assert_eq!(mode, 0o600);
        }
        // What is in it stays.
        fs::write(&file, "kept").unwrap();
        assert_eq!(file_in(&state).unwrap(), file);
        assert_eq!(fs::read_to_string(&file).unwrap(), "kept");
    }

    #[test]
    fn a_file_where_the_folder_belongs_is_an_error() {
        let root = tempfile::tempdir().unwrap();
        let state = StateFolder::at(root.path().join(".aqe"));
        fs::write(state.path(), "").unwrap();
        assert!(file_in(&state).is_err());
    }
}
