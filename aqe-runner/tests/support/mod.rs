//! Packages written to a temporary folder, and processes run in it.

#![allow(dead_code, reason = "every test file uses another part of it")]

pub(crate) mod harness;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use aqe_runner::cargo::TestBinary;
use aqe_runner::list::{ListCall, ListOutput};
use aqe_runner::model::Exit;

/// A temporary folder with files in it, and a target folder beside them.
pub(crate) struct Project {
    folder: tempfile::TempDir,
}

impl Project {
    pub(crate) fn new(files: &[(&str, &str)]) -> Self {
        let project = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        for (path, text) in files {
            project.write(path, text);
        }
        project
    }

    pub(crate) fn write(&self, path: &str, text: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// The absolute path of a file of the project; links in the way to it are resolved, as cargo does.
    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.folder
            .path()
            .canonicalize()
            .unwrap()
            .join("project")
            .join(path)
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.path("")
    }

    /// The folder for cargo's output: given by option everywhere, since the variable that may be set for the build of
    /// these tests is not meant for what they build.
    pub(crate) fn target(&self) -> PathBuf {
        self.folder.path().canonicalize().unwrap().join("target")
    }

    /// Cargo, in the project's folder.
    pub(crate) fn cargo(&self) -> Command {
        let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        command.current_dir(self.root()).stdin(Stdio::null());
        command
    }
}

/// The binary as the runner would start it, with these arguments.
pub(crate) fn command(binary: &TestBinary, arguments: &[&str]) -> Command {
    let mut words = binary.command();
    let mut command = Command::new(words.next().unwrap());
    command
        .args(words)
        .args(arguments)
        .current_dir(&binary.cwd)
        .stdin(Stdio::null())
        .envs(binary.env());
    for name in binary.env_remove() {
        command.env_remove(name);
    }
    command
}

/// Makes one call of a listing.
pub(crate) fn list_call(binary: &TestBinary, call: ListCall) -> std::io::Result<ListOutput> {
    let arguments: Vec<&str> = call.arguments().collect();
    let output = command(binary, &arguments).output()?;
    Ok(ListOutput::new(
        Exit::from(output.status),
        output.stdout,
        output.stderr,
    ))
}

/// Variables that a test wrote down, one `NAME=VALUE` per line.
pub(crate) fn dumped(path: &Path) -> BTreeMap<String, String> {
    let text =
        fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    text.lines()
        .filter_map(|line| line.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}
