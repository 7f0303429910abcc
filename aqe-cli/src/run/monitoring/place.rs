//! Where the history of measurements is: in the project's folder, for its owner only.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// The folder with what the program keeps of a project beside its build.
pub(super) const FOLDER: &str = ".aqe";

const FILE: &str = "monitor.db";

/// The file of a project's history, whose folder is made if there is none.
///
/// Folder and file are made for their owner only, for labels and versions may say what others need not know. What is
/// there already is left as it is.
pub(super) fn file_in(root: &Path) -> io::Result<PathBuf> {
    let folder = root.join(FOLDER);
    let file = folder.join(FILE);
    match make_folder(&folder) {
        Ok(()) => ignore(&folder)?,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(error),
    }
    // SQLite gives its other files the mode of this one.
    match create(&file) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(file),
    }
}

#[cfg(unix)]
fn make_folder(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    fs::DirBuilder::new().mode(0o700).create(path)
}

/// Elsewhere, a folder's permissions are those of the one that it is in.
#[cfg(not(unix))]
fn make_folder(path: &Path) -> io::Result<()> {
    fs::create_dir(path)
}

/// Keeps the folder out of version control, wherever the project is.
fn ignore(folder: &Path) -> io::Result<()> {
    match create(&folder.join(".gitignore")) {
        Ok(mut file) => file.write_all(b"*\n"),
        // Another run has been quicker.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

fn create(path: &Path) -> io::Result<fs::File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_is_made_once_for_its_owner_and_no_repository_takes_it_in() {
        let root = tempfile::tempdir().unwrap();
        let file = file_in(root.path()).unwrap();
        assert_eq!(file, root.path().join(".aqe/monitor.db"));
        let ignored = root.path().join(".aqe/.gitignore");
        assert_eq!(fs::read_to_string(&ignored).unwrap(), "*\n");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
            assert_eq!(mode(&root.path().join(FOLDER)), 0o700);
            assert_eq!((mode(&file), mode(&ignored)), (0o600, 0o600));
        }
        // What somebody has changed stays so.
        fs::write(&ignored, "").unwrap();
        fs::write(&file, "kept").unwrap();
        assert_eq!(file_in(root.path()).unwrap(), file);
        assert_eq!(fs::read_to_string(&ignored).unwrap(), "");
        assert_eq!(fs::read_to_string(&file).unwrap(), "kept");
    }

    #[test]
    fn a_file_where_the_folder_belongs_is_an_error() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join(FOLDER), "").unwrap();
        assert!(file_in(root.path()).is_err());
    }
}
