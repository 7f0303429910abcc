//! What cargo's configuration says about running programs: the `[env]` table and the runners of `[target]`.
//!
//! Cargo reads the same files before and refuses what is malformed, so only the two tables are looked at here, and
//! what is unknown in them is cargo's business.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::CargoError;
use super::cfg_expr;

/// The settings of all configuration files and `--config` arguments, the strongest first.
#[derive(Debug, Default)]
pub(super) struct Config {
    sources: Vec<Source>,
}

/// One file or argument.
#[derive(Debug)]
struct Source {
    /// What its relative paths are relative to.
    base: PathBuf,
    /// Whether it came from the command line, which is stronger than the environment.
    is_argument: bool,
    tables: Tables,
}

#[derive(Debug, Default, Deserialize)]
struct Tables {
    #[serde(default)]
    include: Includes,
    #[serde(default)]
    env: BTreeMap<String, Variable>,
    #[serde(default)]
    target: BTreeMap<String, Target>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Variable {
    Value(String),
    Table {
        value: String,
        #[serde(default)]
        force: bool,
        #[serde(default)]
        relative: bool,
    },
}

#[derive(Debug, Deserialize)]
struct Target {
    runner: Option<Words>,
}

/// A command: words in a list, or a string that is split at blanks.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Words {
    Text(String),
    List(Vec<String>),
}

#[derive(Debug, Default, Deserialize)]
#[serde(untagged)]
enum Includes {
    One(String),
    Many(Vec<Include>),
    #[default]
    None,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Include {
    Path(String),
    Table {
        path: String,
        #[serde(default)]
        optional: bool,
    },
}

/// A variable of the `[env]` table.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ConfigVariable {
    pub(super) name: String,
    pub(super) value: OsString,
    /// Whether it replaces one that the process has already.
    pub(super) force: bool,
}

impl Config {
    /// Reads what cargo reads when it is started in `folder` with these `--config` arguments.
    pub(super) fn load<'a>(
        folder: &Path,
        cargo_home: Option<&Path>,
        arguments: impl Iterator<Item = &'a OsStr>,
    ) -> Result<Self, CargoError> {
        let mut config = Self::default();
        // Later arguments are stronger than earlier ones.
        for argument in arguments.collect::<Vec<_>>().into_iter().rev() {
            config.add_argument(folder, argument)?;
        }
        let mut homes: Vec<PathBuf> = folder
            .ancestors()
            .map(|folder| folder.join(".cargo"))
            .collect();
        if let Some(home) = cargo_home.filter(|home| !homes.iter().any(|folder| folder == home)) {
            homes.push(home.to_owned());
        }
        for home in homes {
            // The name without extension is the older one and wins, as it does in cargo.
            let file = ["config", "config.toml"]
                .map(|name| home.join(name))
                .into_iter()
                .find(|file| file.is_file());
            if let Some(file) = file {
                config.add_file(&file, false, false, 0)?;
            }
        }
        Ok(config)
    }

    /// The `[env]` table: each name once.
    pub(super) fn variables(&self) -> Vec<ConfigVariable> {
        let mut variables = BTreeMap::new();
        for source in &self.sources {
            for (name, variable) in &source.tables.env {
                variables.entry(name.as_str()).or_insert_with(|| {
                    let (value, force, relative) = match variable {
                        Variable::Value(value) => (value, false, false),
                        Variable::Table {
                            value,
                            force,
                            relative,
                        } => (value, *force, *relative),
                    };
                    let value = if relative {
                        source.base.join(value).into()
                    } else {
                        OsString::from(value)
                    };
                    ConfigVariable {
                        name: name.to_owned(),
                        value,
                        force,
                    }
                });
            }
        }
        variables.into_values().collect()
    }

    /// The program, with arguments, that starts test binaries of this target. The command line comes before the
    /// environment and that before the files; a triple comes before a condition.
    pub(super) fn runner(
        &self,
        triple: &str,
        from_env: Option<&OsStr>,
        settings: impl FnOnce() -> Result<String, CargoError>,
    ) -> Result<Vec<OsString>, CargoError> {
        if let Some(runner) = self.runner_where(|source, key| source.is_argument && key == triple) {
            return Ok(runner);
        }
        if let Some(text) = from_env {
            return Ok(text
                .to_string_lossy()
                .split_whitespace()
                .map(OsString::from)
                .collect());
        }
        if let Some(runner) = self.runner_where(|_, key| key == triple) {
            return Ok(runner);
        }
        if self
            .runner_where(|_, key| key.starts_with("cfg("))
            .is_none()
        {
            return Ok(Vec::new());
        }
        let settings = settings()?;
        let runner = self.runner_where(|_, key| cfg_expr::holds(key, &settings) == Some(true));
        Ok(runner.unwrap_or_default())
    }

    /// Whether any file says anything about runners, so that the target's name has to be known.
    pub(super) fn has_runner(&self) -> bool {
        self.runner_where(|_, _| true).is_some()
    }

    fn runner_where(&self, wanted: impl Fn(&Source, &str) -> bool) -> Option<Vec<OsString>> {
        self.sources.iter().find_map(|source| {
            let mut targets = source
                .tables
                .target
                .iter()
                .filter(|(key, _)| wanted(source, key));
            targets
                .find_map(|(_, target)| target.runner.as_ref())
                .map(|words| command(words, &source.base))
        })
    }

    fn add_argument(&mut self, folder: &Path, argument: &OsStr) -> Result<(), CargoError> {
        let path = folder.join(argument);
        match argument.to_str() {
            Some(text) if !path.is_file() => {
                let tables = parse(text, &format!("--config {text}"))?;
                self.sources.push(Source {
                    base: folder.to_owned(),
                    is_argument: true,
                    tables,
                });
                Ok(())
            }
            _ => self.add_file(&path, true, false, 0),
        }
    }

    /// Adds a file and then what it includes, which is weaker.
    fn add_file(
        &mut self,
        path: &Path,
        is_argument: bool,
        optional: bool,
        depth: usize,
    ) -> Result<(), CargoError> {
        let place = path.display().to_string();
        let failed = |message: String| CargoError::Config {
            place: place.clone(),
            message,
        };
        if depth > MAX_INCLUDE_DEPTH || self.sources.len() > MAX_SOURCES {
            return Err(failed("too many files include one another".to_owned()));
        }
        let text = match fs::read_to_string(path) {
            Err(error) if optional && error.kind() == io::ErrorKind::NotFound => return Ok(()),
            other => other.map_err(|error| failed(error.to_string()))?,
        };
        let tables = parse(&text, &place)?;
        let folder = path.parent().unwrap_or_else(|| Path::new("/"));
        let mut included: Vec<(PathBuf, bool)> = match &tables.include {
            Includes::None => Vec::new(),
            Includes::One(path) => vec![(folder.join(path), false)],
            Includes::Many(includes) => includes
                .iter()
                .map(|include| match include {
                    Include::Path(path) => (folder.join(path), false),
                    Include::Table { path, optional } => (folder.join(path), *optional),
                })
                .collect(),
        };
        let base = folder.parent().unwrap_or(folder).to_owned();
        self.sources.push(Source {
            base,
            is_argument,
            tables,
        });
        // Of several includes, a later one is stronger.
        included.reverse();
        included
            .into_iter()
            .try_for_each(|(path, optional)| self.add_file(&path, is_argument, optional, depth + 1))
    }
}

fn parse(text: &str, place: &str) -> Result<Tables, CargoError> {
    toml::from_str(text).map_err(|error| CargoError::Config {
        place: place.to_owned(),
        message: error.to_string().trim_end().to_owned(),
    })
}

/// The words of a command. A program named with a slash is a path relative to the configuration's base.
fn command(words: &Words, base: &Path) -> Vec<OsString> {
    let mut words: Vec<OsString> = match words {
        Words::Text(text) => text.split_whitespace().map(OsString::from).collect(),
        Words::List(words) => words.iter().map(OsString::from).collect(),
    };
    if let Some(program) = words.first_mut()
        && program
            .to_string_lossy()
            .contains(['/', std::path::MAIN_SEPARATOR])
    {
        *program = base.join(&*program).into();
    }
    words
}

const MAX_INCLUDE_DEPTH: usize = 16;
const MAX_SOURCES: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    fn load(
        files: &[(&str, &str)],
        folder: &str,
        arguments: &[&str],
    ) -> Result<(tempfile::TempDir, Config), CargoError> {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let folder = root.path().join(folder);
        fs::create_dir_all(&folder).unwrap();
        let home = root.path().join("home");
        let config = Config::load(&folder, Some(&home), arguments.iter().map(OsStr::new))?;
        Ok((root, config))
    }

    fn variable(config: &Config, name: &str) -> Option<(String, bool)> {
        let found = config
            .variables()
            .into_iter()
            .find(|variable| variable.name == name);
        found.map(|variable| (variable.value.into_string().unwrap(), variable.force))
    }

    #[test]
    fn nearer_files_are_stronger_and_paths_are_relative_to_their_own_folder() {
        let (root, config) = load(
            &[
                (
                    "w/sub/.cargo/config.toml",
                    "[env]\nA = 'near'\nR = { value = 'x/y', relative = true,\n}\n",
                ),
                (
                    "w/.cargo/config.toml",
                    "[env]\nA = 'far'\nB = { value = 'b', force = true }\n[unknown]\nx = 1\n",
                ),
                ("home/config.toml", "[env]\nB = 'home'\nC = 'home'\n"),
            ],
            "w/sub",
            &["env.C='argument'", "env.D='first'", "env.D='last'"],
        )
        .unwrap();
        let expected = root.path().join("w/sub/x/y").display().to_string();
        assert_eq!(variable(&config, "A"), Some(("near".to_owned(), false)));
        assert_eq!(variable(&config, "B"), Some(("b".to_owned(), true)));
        assert_eq!(variable(&config, "C"), Some(("argument".to_owned(), false)));
        assert_eq!(variable(&config, "D"), Some(("last".to_owned(), false)));
        assert_eq!(variable(&config, "R"), Some((expected, false)));
    }

    #[test]
    fn included_files_are_weaker_than_the_including_one() {
        let (_root, config) = load(
            &[
                ("w/.cargo/config.toml", "include = ['one.toml', { path = 'none.toml', optional = true }, 'two.toml']\n[env]\nA = 'main'\n"),
                ("w/.cargo/one.toml", "[env]\nA = 'one'\nB = 'one'\nC = 'one'\n"),
                ("w/.cargo/two.toml", "[env]\nB = 'two'\n"),
            ],
            "w",
            &[],
        )
        .unwrap();
        for (name, value) in [("A", "main"), ("B", "two"), ("C", "one")] {
            assert_eq!(variable(&config, name).unwrap().0, value, "{name}");
        }
    }

    #[test]
    fn files_that_include_themselves_are_an_error() {
        let files = [("w/.cargo/config.toml", "include = 'config.toml'\n")];
        let error = load(&files, "w", &[]).unwrap_err();
        assert!(error.to_string().contains("include one another"), "{error}");
    }

    #[test]
    fn malformed_files_are_named_with_the_line() {
        let error = load(&[("w/.cargo/config.toml", "[env]\nA = \n")], "w", &[])
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("config.toml") && error.contains("line 2"),
            "{error}"
        );
        let error = load(&[], "w", &["no such thing"]).unwrap_err().to_string();
        assert!(error.contains("--config no such thing"), "{error}");
    }

    #[test]
    fn runners_by_strength() {
        let (root, config) = load(
            &[(
                "w/.cargo/config.toml",
                "[target.t1]\nrunner = 'tools/run -x'\n[target.'cfg(unix)']\nrunner = ['wrap', 'a b']\n[target.t3]\nlinker = 'l'\n",
            )],
            "w",
            &[],
        )
        .unwrap();
        let runner = |triple, env: Option<&str>, settings: &str| {
            let words = config
                .runner(triple, env.map(OsStr::new), || Ok(settings.to_owned()))
                .unwrap();
            words
                .into_iter()
                .map(|word| word.into_string().unwrap())
                .collect::<Vec<_>>()
        };
        assert_eq!(
            runner("t1", None, "unix\n"),
            [root.path().join("w/tools/run").to_str().unwrap(), "-x"]
        );
        assert_eq!(runner("t2", None, "unix\n"), ["wrap", "a b"]);
        assert_eq!(runner("t2", Some("from env"), "unix\n"), ["from", "env"]);
        assert!(runner("t2", None, "windows\n").is_empty());
        assert!(config.has_runner());
        assert!(!Config::default().has_runner());
        let (_root, config) = load(&[], "w", &["target.t.runner = 'argument'"]).unwrap();
        let words = config
            .runner("t", Some(OsStr::new("env")), || Ok(String::new()))
            .unwrap();
        assert_eq!(words, ["argument"]);
    }
}
