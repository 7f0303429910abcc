//! `cargo xtask suites`: pinned sources of real test suites that nobody here wrote.
//!
//! A runner that is only ever tried on its authors' tests is judged by its authors. These three are small
//! enough for CI and differ in what matters: few slow tests in one binary, some in many binaries, and very
//! many fast ones. Cargo itself downloads them, checked against committed lock files, so that a verdict or a
//! time can be compared between two machines and two years.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::process::Command;
use crate::workspace::Workspace;
use crate::{Failure, Result};

/// A crate whose tests serve as a suite.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pin {
    /// The crate's name.
    pub name: &'static str,
    /// The exact version.
    pub version: &'static str,
    /// How many tests a default run executes, doctests aside.
    pub tests: usize,
    /// How many test binaries it has.
    pub binaries: usize,
}

/// The suites, with the counts that show the sources and the features are the expected ones.
pub const PINS: &[Pin] = &[
    Pin {
        name: "regex-syntax",
        version: "0.8.12",
        tests: 149,
        binaries: 1,
    },
    // Its library sets `test = false`, so a default run leaves out the six tests inside it: 450 tests in
    // 14 binaries are what `--lib --tests` selects.
    Pin {
        name: "itertools",
        version: "0.15.0",
        tests: 444,
        binaries: 13,
    },
    Pin {
        name: "bytes",
        version: "1.12.2",
        tests: 1080,
        binaries: 14,
    },
];

/// A suite on disk: a workspace of its own whose tests are built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suite {
    /// The name that results are shown under.
    pub name: String,
    /// The folder of its manifest.
    pub dir: PathBuf,
    /// Its test binaries, sorted by path.
    pub binaries: Vec<Binary>,
}

/// One test binary of a suite.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Binary {
    /// The executable.
    pub path: PathBuf,
    /// What cargo calls its target's kind: `lib`, `test`, `bin`.
    pub kind: String,
    /// The name of its target.
    pub target: String,
}

impl Suite {
    /// A cargo command, or another that calls cargo, set up so that it finds the suite built.
    ///
    /// With another target folder, or with the flags of an outer run (a sanitizer's, say), cargo would build
    /// it again.
    #[must_use]
    pub fn command(&self, command: Command) -> Command {
        command
            .dir(&self.dir)
            .env(
                "CARGO_TARGET_DIR",
                self.dir.join("target").display().to_string(),
            )
            .env_remove("RUSTFLAGS")
            .env_remove("CARGO_ENCODED_RUSTFLAGS")
    }
}

/// What to do about the committed lock files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Locks {
    /// Build exactly what they say.
    Obey,
    /// Resolve anew and write them, after a version in [`PINS`] has changed.
    Rewrite,
}

/// Brings every suite to the target folder and builds its tests; what is already there is kept.
///
/// # Errors
///
/// When cargo cannot download or build a suite, or when its tests are not as many as they should be.
pub fn prepare(workspace: &Workspace, locks: Locks) -> Result<Vec<Suite>> {
    let shelf = Shelf::open(workspace)?;
    let sources = shelf.download(locks)?;
    PINS.iter()
        .map(|pin| {
            let suite = shelf.place(pin, &sources, locks)?;
            pin.check(&suite)?;
            Ok(suite)
        })
        .collect()
}

/// The folder that holds all suites, real and generated.
#[must_use]
pub fn folder(workspace: &Workspace) -> PathBuf {
    workspace.target().join("aqe-suites")
}

/// The folder of suites, held against a second run at the same time.
#[derive(Debug)]
pub(crate) struct Shelf {
    dir: PathBuf,
    locks: PathBuf,
    /// Released when the shelf is dropped; two tests may ask for the suites at once.
    _held: File,
}

impl Shelf {
    pub(crate) fn open(workspace: &Workspace) -> Result<Self> {
        let dir = folder(workspace);
        create_dir(&dir)?;
        let path = dir.join(".held");
        let held = File::create(&path).map_err(|error| Failure::io("create", &path, &error))?;
        held.lock()
            .map_err(|error| Failure::io("lock", &path, &error))?;
        Ok(Self {
            dir,
            locks: workspace.root().join("xtask/suites"),
            _held: held,
        })
    }

    /// A folder on the shelf, made when it is missing.
    pub(crate) fn folder(&self, name: &str) -> Result<PathBuf> {
        let dir = self.dir.join(name);
        create_dir(&dir)?;
        Ok(dir)
    }

    /// Lets cargo download the pinned crates by depending on them, and says where their sources are.
    fn download(&self, locks: Locks) -> Result<Value> {
        let dir = self.folder("download")?;
        write_if_changed(&dir.join("Cargo.toml"), &download_manifest())?;
        write_if_changed(&dir.join("lib.rs"), "")?;
        self.lock("download", &dir, locks, || {
            let text = Command::cargo("metadata --format-version 1")
                .words(locks.flag())
                .dir(&dir)
                .read()?;
            Ok(serde_json::from_str(&text)?)
        })
    }

    /// Copies one crate out of cargo's sources, makes it a workspace, and builds its tests.
    fn place(&self, pin: &Pin, sources: &Value, locks: Locks) -> Result<Suite> {
        let id = pin.id();
        let dir = self.folder(&id)?;
        let manifest = dir.join("Cargo.toml");
        if !manifest.exists() {
            copy_tree(&pin.source(sources)?, &dir)?;
            // Last, and as its own workspace: a copy that was cut short has no such manifest and is made
            // again, and cargo does not take the suite for a stray member of the workspace above it.
            let original = dir.join("Cargo.toml.published");
            let text = read(&original)?;
            write_if_changed(&manifest, &format!("{text}\n[workspace]\n"))?;
        }
        self.lock(&id, &dir, locks, || build(pin.name, &dir, locks.flag()))
    }

    /// Runs `work` in a folder whose `Cargo.lock` is the committed one, or keeps the one it makes.
    fn lock<T>(
        &self,
        id: &str,
        dir: &Path,
        locks: Locks,
        work: impl FnOnce() -> Result<T>,
    ) -> Result<T> {
        let committed = self.locks.join(format!("{id}.lock"));
        let used = dir.join("Cargo.lock");
        match locks {
            Locks::Obey => {
                write_if_changed(&used, &read(&committed)?)?;
                work()
            }
            Locks::Rewrite => {
                let done = work()?;
                write_if_changed(&committed, &read(&used)?)?;
                Ok(done)
            }
        }
    }
}

impl Locks {
    fn flag(self) -> &'static str {
        match self {
            Self::Obey => "--locked",
            Self::Rewrite => "",
        }
    }
}

impl Pin {
    /// Name and version, as in the name of its folder.
    #[must_use]
    pub fn id(&self) -> String {
        format!("{}-{}", self.name, self.version)
    }

    /// The folder that cargo unpacked this crate into.
    fn source(&self, metadata: &Value) -> Result<PathBuf> {
        let packages = metadata["packages"].as_array();
        packages
            .into_iter()
            .flatten()
            .find(|package| package["name"] == self.name && package["version"] == self.version)
            .and_then(|package| Path::new(package["manifest_path"].as_str()?).parent())
            .map(Path::to_owned)
            .ok_or_else(|| Failure::new(format!("cargo did not download {}", self.id())))
    }

    /// Compares the counts: another number means other sources, features or a broken listing.
    fn check(&self, suite: &Suite) -> Result<()> {
        let tests = suite
            .binaries
            .iter()
            .map(|binary| Ok(default_run(&binary.path, &suite.dir)?.len()))
            .sum::<Result<usize>>()?;
        if (tests, suite.binaries.len()) == (self.tests, self.binaries) {
            return Ok(());
        }
        Err(Failure::new(format!(
            "{} has {tests} tests in {} binaries, expected {} in {}: remove {} and try again",
            self.id(),
            suite.binaries.len(),
            self.tests,
            self.binaries,
            suite.dir.display(),
        )))
    }
}

/// Builds the tests of the package in `dir` into its own target folder.
pub(crate) fn build(name: &str, dir: &Path, flag: &str) -> Result<Suite> {
    let mut suite = Suite {
        name: name.to_owned(),
        dir: dir.to_owned(),
        binaries: Vec::new(),
    };
    let messages = suite
        .command(Command::cargo(
            "test --quiet --no-run --tests --message-format json-render-diagnostics",
        ))
        .words(flag)
        .read()?;
    suite.binaries = test_binaries(&messages)?;
    Ok(suite)
}

fn test_binaries(messages: &str) -> Result<Vec<Binary>> {
    let mut binaries = BTreeSet::new();
    for line in messages.lines().filter(|line| line.starts_with('{')) {
        let message: Value = serde_json::from_str(line)?;
        if message["profile"]["test"] == true
            && let Some(path) = message["executable"].as_str()
        {
            let target = &message["target"];
            binaries.insert(Binary {
                path: PathBuf::from(path),
                kind: target["kind"][0].as_str().unwrap_or_default().to_owned(),
                target: target["name"].as_str().unwrap_or_default().to_owned(),
            });
        }
    }
    Ok(binaries.into_iter().collect())
}

/// The names of the tests that a libtest binary runs when asked for nothing in particular.
///
/// # Errors
///
/// When the binary cannot list its tests.
pub fn default_run(binary: &Path, dir: &Path) -> Result<BTreeSet<String>> {
    let list = |more: &str| -> Result<BTreeSet<String>> {
        let text = Command::new(binary.display().to_string())
            .words("--list --format terse")
            .words(more)
            .dir(dir)
            .read()?;
        Ok(text
            .lines()
            .filter_map(|line| line.strip_suffix(": test"))
            .map(ToOwned::to_owned)
            .collect())
    };
    let ignored = list("--ignored")?;
    Ok(list("")?.difference(&ignored).cloned().collect())
}

fn download_manifest() -> String {
    let mut text = "[package]\nname = \"download\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\n\
                    [lib]\npath = \"lib.rs\"\n\n[workspace]\n\n[dependencies]\n"
        .to_owned();
    for pin in PINS {
        text += &format!("{} = \"={}\"\n", pin.name, pin.version);
    }
    text
}

/// Copies a folder of published sources; the manifest gets another name until the copy is complete.
fn copy_tree(from: &Path, to: &Path) -> Result<()> {
    create_dir(to)?;
    let entries = fs::read_dir(from).map_err(|error| Failure::io("read", from, &error))?;
    for entry in entries {
        let entry = entry.map_err(|error| Failure::io("read", from, &error))?;
        let source = entry.path();
        let name = entry.file_name();
        if source.is_dir() {
            copy_tree(&source, &to.join(name))?;
            continue;
        }
        let name = match name.to_str() {
            Some("Cargo.toml") => "Cargo.toml.published".into(),
            // Ours is the committed one.
            Some("Cargo.lock") => continue,
            _ => name,
        };
        fs::copy(&source, to.join(name)).map_err(|error| Failure::io("copy", &source, &error))?;
    }
    Ok(())
}

fn create_dir(path: &Path) -> Result<()> {
    fs::create_dir_all(path).map_err(|error| Failure::io("create", path, &error))
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).map_err(|error| Failure::io("read", path, &error))
}

/// Leaves a file alone that already says so: its time stamp is what cargo decides by.
pub(crate) fn write_if_changed(path: &Path, text: &str) -> Result<()> {
    if fs::read_to_string(path).is_ok_and(|old| old == text) {
        return Ok(());
    }
    fs::write(path, text).map_err(|error| Failure::io("write", path, &error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manifest_that_downloads_pins_exact_versions() {
        let manifest = download_manifest();
        for pin in PINS {
            let line = format!("{} = \"={}\"", pin.name, pin.version);
            assert!(manifest.lines().any(|l| l == line), "{line}");
        }
    }

    #[test]
    fn only_executables_of_test_targets_are_binaries() {
        let messages = [
            r#"{"target":{"kind":["test"],"name":"b"},"profile":{"test":true},"executable":"/t/b"}"#,
            r#"{"target":{"kind":["lib"],"name":"a"},"profile":{"test":true},"executable":"/t/a"}"#,
            r#"{"reason":"compiler-artifact","profile":{"test":false},"executable":"/t/bin"}"#,
            r#"{"reason":"compiler-artifact","profile":{"test":true},"executable":null}"#,
            "",
            r#"{"reason":"build-finished","success":true}"#,
        ];
        let binaries = test_binaries(&messages.join("\n")).unwrap();
        let found: Vec<_> = binaries
            .iter()
            .map(|binary| {
                (
                    binary.path.to_str(),
                    binary.kind.as_str(),
                    binary.target.as_str(),
                )
            })
            .collect();
        assert_eq!(
            found,
            [(Some("/t/a"), "lib", "a"), (Some("/t/b"), "test", "b")]
        );
    }

    #[test]
    fn a_cut_short_copy_has_no_manifest() {
        let from = tempfile::tempdir().unwrap();
        let to = tempfile::tempdir().unwrap();
        fs::create_dir(from.path().join("src")).unwrap();
        for name in ["Cargo.toml", "Cargo.lock", "src/lib.rs"] {
            fs::write(from.path().join(name), name).unwrap();
        }
        copy_tree(from.path(), to.path()).unwrap();
        assert!(!to.path().join("Cargo.toml").exists());
        assert!(!to.path().join("Cargo.lock").exists());
        assert!(to.path().join("Cargo.toml.published").exists());
        assert!(to.path().join("src/lib.rs").exists());
    }
}
