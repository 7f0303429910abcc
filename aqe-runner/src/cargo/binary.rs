//! What is known about a test binary before it runs.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use super::Package;
use crate::model::BinaryId;

/// What kind of target a test binary was built from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum TargetKind {
    /// The unit tests of a library.
    Lib,
    /// The unit tests of a procedural macro.
    ProcMacro,
    /// The unit tests of a program.
    Bin,
    /// An integration test.
    Test,
    /// A benchmark, built as a test.
    Bench,
    /// An example, built as a test.
    Example,
}

impl TargetKind {
    /// Reads the `kind` list of cargo's messages. Whatever is not named there is some form of library.
    #[must_use]
    pub fn of_cargo<S: AsRef<str>>(kinds: &[S]) -> Self {
        let known = kinds.iter().find_map(|kind| match kind.as_ref() {
            "proc-macro" => Some(Self::ProcMacro),
            "bin" => Some(Self::Bin),
            "test" => Some(Self::Test),
            "bench" => Some(Self::Bench),
            "example" => Some(Self::Example),
            _ => None,
        });
        known.unwrap_or(Self::Lib)
    }

    /// The word that cargo uses.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Lib => "lib",
            Self::ProcMacro => "proc-macro",
            Self::Bin => "bin",
            Self::Test => "test",
            Self::Bench => "bench",
            Self::Example => "example",
        }
    }

    /// The name of the binary built from such a target; see [`BinaryId`].
    ///
    /// # Examples
    ///
    /// ```
    /// use aqe_runner::cargo::TargetKind;
    ///
    /// assert_eq!(TargetKind::Lib.binary_id("store", "store").as_str(), "store");
    /// assert_eq!(TargetKind::Test.binary_id("store", "recovery").as_str(), "store::recovery");
    /// assert_eq!(TargetKind::Bin.binary_id("store", "fsck").as_str(), "store::bin/fsck");
    /// ```
    #[must_use]
    pub fn binary_id(self, package: &str, target: &str) -> BinaryId {
        match self {
            // A package has one library, of either kind.
            Self::Lib | Self::ProcMacro => BinaryId::from(package),
            Self::Test => BinaryId::from(format!("{package}::{target}")),
            other => BinaryId::from(format!("{package}::{}/{target}", other.as_str())),
        }
    }
}

impl fmt::Display for TargetKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Environment variables, as they are handed to a process.
pub type Variables = Vec<(OsString, OsString)>;

/// A program that holds tests, and how cargo would start it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TestBinary {
    /// Its stable name.
    pub id: BinaryId,
    /// The package it belongs to.
    pub package: Arc<Package>,
    /// The kind of its target.
    pub kind: TargetKind,
    /// The name of its target.
    pub target: String,
    /// The file to execute.
    pub path: PathBuf,
    /// The working folder of its tests: the folder of the package's manifest.
    pub cwd: PathBuf,
    /// A program, with arguments, that cargo is configured to start test binaries with; empty when there is none. The
    /// binary's path and arguments follow.
    pub runner: Arc<[OsString]>,
    /// The `OUT_DIR` of the package's build script, if it has one.
    pub out_dir: Option<PathBuf>,
    /// Whether the dynamic linker's search path has to be set for it, and is among its variables.
    pub needs_library_path: bool,
    /// The variables that all binaries of its package share.
    pub(super) shared_env: Arc<Variables>,
    /// Its own variables.
    pub(super) own_env: Variables,
    /// A variable of this process that it does not get.
    pub(super) unset: Option<&'static str>,
}

impl TestBinary {
    /// The variables to set over those of this process, each name once.
    ///
    /// Those that cargo's configuration gives only as a default, and that this process has already, are left out.
    pub fn env(&self) -> impl Iterator<Item = (&OsStr, &OsStr)> {
        self.shared_env
            .iter()
            .chain(&self.own_env)
            .map(|(name, value)| (name.as_os_str(), value.as_os_str()))
    }

    /// The variables of this process that it does not get: the dynamic linker's search path, when all that it holds was
    /// added by the `cargo run` that started this process.
    pub fn env_remove(&self) -> impl Iterator<Item = &OsStr> {
        self.unset.iter().map(|name| OsStr::new(*name))
    }

    /// The program and the arguments that come before the harness' own: the configured runner, if any, and the binary.
    pub fn command(&self) -> impl Iterator<Item = &OsStr> {
        self.runner
            .iter()
            .map(OsString::as_os_str)
            .chain([self.path.as_os_str()])
    }

    /// A line for a person to paste into a shell, with the harness' arguments.
    #[must_use]
    pub fn shell_command<S: AsRef<str>>(&self, arguments: &[S]) -> String {
        let mut line = format!("cd {} &&", quoted(&self.cwd.to_string_lossy()));
        for word in self.command() {
            line.push(' ');
            line.push_str(&quoted(&word.to_string_lossy()));
        }
        for word in arguments {
            line.push(' ');
            line.push_str(&quoted(word.as_ref()));
        }
        line
    }
}

/// Quotes a word for a POSIX shell, where it needs it.
fn quoted(word: &str) -> String {
    let is_plain = |char: char| char.is_ascii_alphanumeric() || "-_./:=+,@%".contains(char);
    if !word.is_empty() && word.chars().all(is_plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
impl TestBinary {
    /// A binary that does not exist, for tests of what is done with one.
    pub(crate) fn sample() -> Self {
        Self {
            id: BinaryId::from("sample::it"),
            package: Arc::new(Package::sample()),
            kind: TargetKind::Test,
            target: "it".to_owned(),
            path: "/target/debug/deps/it-0123".into(),
            cwd: "/src/sample".into(),
            runner: Arc::default(),
            out_dir: None,
            needs_library_path: false,
            shared_env: Arc::default(),
            own_env: Variables::new(),
            unset: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_follow_the_kind() {
        let table: &[(&[&str], &str)] = &[
            (&["lib"], "p"),
            (&["rlib", "cdylib"], "p"),
            (&["proc-macro"], "p"),
            (&["test"], "p::t"),
            (&["bin"], "p::bin/t"),
            (&["bench"], "p::bench/t"),
            (&["example"], "p::example/t"),
            (&[], "p"),
        ];
        for (kinds, expected) in table {
            assert_eq!(
                TargetKind::of_cargo(kinds).binary_id("p", "t").as_str(),
                *expected,
                "{kinds:?}"
            );
        }
    }

    #[test]
    fn words_are_quoted_for_a_shell() {
        assert_eq!(quoted("a/b-c::d"), "a/b-c::d");
        assert_eq!(quoted("it's $HOME"), r"'it'\''s $HOME'");
        assert_eq!(quoted(""), "''");
    }
}
