//! Gathering the layers of a configuration.
//!
//! From weakest to strongest: the defaults, the preset of the machine, the file, the selected profile of the file, the
//! environment, the flags. Every layer is read before anything is reported, so that one run shows everything that is
//! wrong.

use std::path::{Path, PathBuf};

use super::document::{self, Settings};
use super::env::{self, Environment};
use super::loaded::Loaded;
use super::machine::Machine;
use super::model::Config;
use super::problem::excerpt;
use super::stack::{Stack, not_text};
use super::{ConfigError, Preset, Problem, ProblemKind, Problems, Source, discover, suggest, yaml};

/// Gathers the layers of a configuration.
///
/// [`new`](Self::new) starts with nothing, so that the outcome depends on what is put in and on nothing else;
/// [`of_process`](Self::of_process) starts with the environment and the machine that a program runs in.
///
/// ```
/// use aqe_core::config::{Loader, Origin};
///
/// let loaded = Loader::new()
///     .text("qe.config.yaml", "queue:\n  timeout: 45s\nproduction:\n  queue:\n    maxConcurrent: 15\n")
///     .profile("production")
///     .flag("queue.batchSize", "8")
///     .load()?;
/// assert_eq!(loaded.config().queue.max_concurrent.get(), 15);
/// assert_eq!(loaded.origin_of("queue.batchSize"), Some(&Origin::Flag));
/// assert_eq!(loaded.origin_of("queue.retryDelay"), Some(&Origin::Default));
/// # Ok::<(), aqe_core::config::ConfigError>(())
/// ```
#[derive(Debug, Clone, Default)]
#[must_use = "a loader does nothing until `load` is called"]
pub struct Loader {
    file: Option<FileSource>,
    profile: Option<String>,
    environment: Environment,
    flags: Vec<(String, String)>,
    machine: Option<Machine>,
}

#[derive(Debug, Clone)]
enum FileSource {
    /// This file, which must exist.
    At(PathBuf),
    /// The nearest file at or above this folder, if there is one.
    Near(PathBuf),
    /// A text that is already in memory.
    Text { name: PathBuf, text: Vec<u8> },
}

impl Loader {
    /// Starts with the defaults alone.
    pub fn new() -> Self {
        Self::default()
    }

    /// Starts with the process's environment and the machine's preset.
    pub fn of_process() -> Self {
        Self::new()
            .environment(Environment::of_process())
            .machine(Machine::detect())
    }

    /// Reads this file; it must exist. Replaces an earlier choice of file.
    pub fn file(mut self, path: impl Into<PathBuf>) -> Self {
        self.file = Some(FileSource::At(path.into()));
        self
    }

    /// Reads the file that [`find`](super::find) finds from this folder, if it finds one. Replaces an earlier choice of
    /// file.
    pub fn discover(mut self, folder: impl Into<PathBuf>) -> Self {
        self.file = Some(FileSource::Near(folder.into()));
        self
    }

    /// Reads this text; `name` stands for the file in messages. Replaces an earlier choice of file.
    pub fn text(mut self, name: impl Into<PathBuf>, text: impl Into<Vec<u8>>) -> Self {
        self.file = Some(FileSource::Text {
            name: name.into(),
            text: text.into(),
        });
        self
    }

    /// Selects a profile, whatever `AQE_PROFILE` says.
    pub fn profile(mut self, name: impl Into<String>) -> Self {
        self.profile = Some(name.into());
        self
    }

    /// Takes the environment's variables from here.
    pub fn environment(mut self, environment: Environment) -> Self {
        self.environment = environment;
        self
    }

    /// Sets one key above everything else; the last of several for one key counts.
    pub fn flag(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.flags.push((key.into(), value.into()));
        self
    }

    /// Uses the preset that suits this machine in place of the defaults.
    pub fn machine(mut self, machine: Machine) -> Self {
        self.machine = Some(machine);
        self
    }

    /// Reads and checks all layers.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Invalid`] with everything that is wrong in any layer, [`ConfigError::Io`] when the file cannot be
    /// read, [`ConfigError::Misnamed`] when discovery meets a file that was surely meant.
    pub fn load(self) -> Result<Loaded, ConfigError> {
        let (file, text) = match self.file {
            None => (None, Vec::new()),
            Some(FileSource::Text { name, text }) => (Some(name), text),
            Some(FileSource::At(path)) => {
                let text = discover::read(&path)?;
                (Some(path), text)
            }
            Some(FileSource::Near(folder)) => match discover::find(&folder)? {
                Some(path) => {
                    let text = discover::read(&path)?;
                    (Some(path), text)
                }
                None => (None, Vec::new()),
            },
        };
        let name = file.clone().unwrap_or_default();
        let (settings, mut problems) = parse(&text, &name);
        let readable = problems.is_empty();

        let mut stack = Stack::default();
        if let Some(machine) = &self.machine {
            stack.preset(Preset::of(machine));
        }
        stack.file(&settings, &name);

        let mut selected = None;
        match select(self.profile, &self.environment) {
            Ok(None) => {}
            Ok(Some((profile, source))) => {
                // In a file with problems a missing profile may be one that could not be read.
                if stack.profile(&settings, &profile, &name) {
                    selected = Some(profile);
                } else if readable {
                    problems.push(unknown_profile(
                        &profile,
                        source,
                        &settings,
                        file.as_deref(),
                    ));
                }
            }
            Err(wrong) => problems.extend(wrong),
        }
        for assignment in self.environment.assignments() {
            stack.env(assignment, &mut problems);
        }
        for (key, value) in &self.flags {
            stack.flag(key, value, &mut problems);
        }
        stack.settle();
        if problems.is_empty() {
            problems.extend(stack.conflicts());
        }
        problems
            .into_result(Loaded::new(stack, file, selected, self.machine))
            .map_err(ConfigError::Invalid)
    }
}

/// Reads a file's text, and checks each profile together with the base.
pub(super) fn parse(text: &[u8], name: &Path) -> (Settings, Problems) {
    let text = match yaml::decode(text, name) {
        Ok(text) => text,
        Err(problems) => return (Settings::default(), problems),
    };
    let (settings, mut problems) = document::read(text, name);
    if problems.is_empty() {
        let overlays = settings
            .profiles
            .iter()
            .map(|profile| Some(profile.name.as_str()));
        for overlay in std::iter::once(None).chain(overlays) {
            let mut stack = Stack::default();
            stack.file(&settings, name);
            if let Some(profile) = overlay {
                stack.profile(&settings, profile, name);
            }
            stack.settle();
            problems.extend(stack.conflicts());
        }
    }
    (settings, problems)
}

/// The configuration of a text alone: no preset, no profile, no environment.
pub(super) fn parse_base(text: &[u8], name: &Path) -> Result<Config, Problems> {
    let (settings, problems) = parse(text, name);
    let mut stack = Stack::default();
    stack.file(&settings, name);
    stack.settle();
    problems.into_result(stack.config)
}

/// The profile that is selected and who selected it; the caller's choice is stronger than the environment's.
fn select(
    chosen: Option<String>,
    environment: &Environment,
) -> Result<Option<(String, Source)>, Problems> {
    if let Some(name) = chosen {
        return Ok(Some((name, Source::Flag)));
    }
    match environment.profile() {
        None => Ok(None),
        Some(Ok(name)) => Ok(Some((
            name.to_owned(),
            Source::Env(env::PROFILE.to_owned()),
        ))),
        Some(Err(variable)) => Err(not_text(variable).into()),
    }
}

fn unknown_profile(
    name: &str,
    source: Source,
    settings: &Settings,
    file: Option<&Path>,
) -> Problem {
    let known: Vec<&str> = settings
        .profiles
        .iter()
        .map(|profile| profile.name.as_str())
        .collect();
    let help = match (file, suggest::nearest(name, known.iter().copied())) {
        (None, _) => "no qe.config.yaml was read".to_owned(),
        (Some(_), Some(near)) => format!("did you mean `{}`?", excerpt(near)),
        (Some(file), None) if known.is_empty() => format!("{} has no profiles", file.display()),
        (Some(file), None) => format!(
            "profiles in {}: {}",
            file.display(),
            excerpt(&known.join(", "))
        ),
    };
    Problem {
        kind: ProblemKind::UnknownProfile,
        source,
        position: None,
        key: None,
        reason: format!("no profile is named `{}`", excerpt(name)),
        help: Some(help),
    }
}
