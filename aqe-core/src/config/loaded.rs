//! A configuration after loading: values with their origins.

use std::fmt;
use std::path::{Path, PathBuf};

use super::Preset;
use super::machine::Machine;
use super::model::Config;
use super::schema::{self, Effect, Key};
use super::stack::Stack;

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Origin {
    /// The caller set it, which is the command line in `aqe`.
    Flag,
    /// An environment variable.
    Env {
        /// Its name.
        var: &'static str,
    },
    /// The selected profile of the file.
    Profile {
        /// The profile.
        name: String,
        /// The file.
        file: PathBuf,
        /// The line of the value, from 1.
        line: usize,
    },
    /// The file, outside of any profile.
    File {
        /// The file.
        file: PathBuf,
        /// The line of the value, from 1.
        line: usize,
    },
    /// The preset that suits the machine.
    Preset {
        /// The preset.
        name: &'static str,
    },
    /// Nobody set it.
    Default,
}

/// `flag`, `env AQE_CACHE_SIZE`, `profile production (qe.config.yaml:12)`, `qe.config.yaml:3`, `preset high`, `default`.
impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag => f.write_str("flag"),
            Self::Env { var } => write!(f, "env {var}"),
            Self::Profile { name, file, line } => {
                write!(f, "profile {name} ({}:{line})", file.display())
            }
            Self::File { file, line } => write!(f, "{}:{line}", file.display()),
            Self::Preset { name } => write!(f, "preset {name}"),
            Self::Default => f.write_str("default"),
        }
    }
}

/// A configuration with the origin of each value.
#[derive(Debug, Clone, PartialEq)]
pub struct Loaded {
    config: Config,
    /// By the index of the key.
    origins: Vec<Origin>,
    file: Option<PathBuf>,
    profile: Option<String>,
    machine: Option<Machine>,
}

/// A key with its value and what there is to know about it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Entry<'a> {
    /// The key.
    pub key: &'static Key,
    /// The value in the form in which a file may hold it.
    pub value: String,
    /// Where the value came from.
    pub origin: &'a Origin,
    /// Whether the key changes anything yet.
    pub effect: Effect,
}

impl Loaded {
    pub(super) fn new(
        stack: Stack,
        file: Option<PathBuf>,
        profile: Option<String>,
        machine: Option<Machine>,
    ) -> Self {
        Self {
            config: stack.config,
            origins: stack.origins,
            file,
            profile,
            machine,
        }
    }

    /// The configuration.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The configuration without its origins.
    #[must_use]
    pub fn into_config(self) -> Config {
        self.config
    }

    /// Where the value of a key came from; `None` if there is no such key.
    #[must_use]
    pub fn origin_of(&self, key: &str) -> Option<&Origin> {
        self.origins.get(schema::key(key)?.index())
    }

    /// One key with its value; `None` if there is no such key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<Entry<'_>> {
        self.entry(schema::key(key)?)
    }

    /// All keys with their values, in the order of [`keys`](super::keys).
    pub fn entries(&self) -> impl Iterator<Item = Entry<'_>> {
        schema::keys().iter().filter_map(|key| self.entry(key))
    }

    /// The file that was read, if one was.
    #[must_use]
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// The profile that was selected, if one was.
    #[must_use]
    pub fn profile(&self) -> Option<&str> {
        self.profile.as_deref()
    }

    /// The machine, if one was given.
    #[must_use]
    pub fn machine(&self) -> Option<Machine> {
        self.machine
    }

    /// The preset of the machine, if a machine was given.
    #[must_use]
    pub fn preset(&self) -> Option<Preset> {
        self.machine.as_ref().map(Preset::of)
    }

    fn entry(&self, key: &'static Key) -> Option<Entry<'_>> {
        Some(Entry {
            key,
            value: key.value_in(&self.config),
            origin: self.origins.get(key.index())?,
            effect: key.effect(),
        })
    }
}
