//! The configuration: `qe.config.yaml`, its layers, and editing it.
//!
//! A program calls [`Loader`] and gets a [`Loaded`]: a [`Config`] of typed values that were all checked, with the
//! [`Origin`] of each. A program that changes the file for its user calls [`Editor`].
//!
//! # Layers
//!
//! From strongest to weakest; the first that sets a key decides:
//!
//! 1. flags: what the caller sets with [`Loader::flag`];
//! 2. the environment: see [`Environment`] for the variables;
//! 3. the selected profile: a top-level section such as `production:` that holds sections of its own;
//! 4. the file;
//! 5. the [`Preset`] of the machine, as far as the affinity mask and the cgroup let the process have it;
//! 6. the defaults.
//!
//! # The file
//!
//! ```yaml
//! queue:
//!   maxConcurrent: 10        # a number
//!   timeout: 30000           # a duration: plain numbers are milliseconds
//!   retryDelay: "1s"         # or with units, largest first: "1h 30m"
//! memory:
//!   maxSize: "1GB"           # a size: kB, MB, GB are powers of 1000, KiB, MiB, GiB of 1024, plain numbers bytes
//!   gcThreshold: 80          # a percentage, 0 to 100
//! production:                # a profile
//!   queue:
//!     maxConcurrent: 15
//!   monitoring:
//!     alerting: true         # short for `alerting: {enabled: true}`
//! ```
//!
//! [`keys`] lists every key with its meaning. Some belong to components that do not exist yet; they are read, checked and
//! listed as [`Effect::NotYet`], so that nothing is silently ignored.
//!
//! # Bad input
//!
//! Everything that is wrong is reported at once, as [`Problems`] with file, line, column, key, reason and remedy. Unknown
//! keys, wrong types, duplicates, impossible values and contradictions are errors, in profiles that are not selected as
//! well. A file has at most 1 MiB, 64 profiles and 16 levels of nesting; YAML's aliases, anchors, tags and second documents are
//! refused.

pub(crate) mod discover;
mod document;
mod duration;
mod editor;
mod env;
mod error;
mod layers;
mod loaded;
mod machine;
mod model;
mod number;
mod percent;
mod preset;
mod problem;
mod receivers;
mod schema;
mod setting;
mod size;
mod stack;
mod suggest;
mod yaml;

use std::path::Path;
use std::time::Duration;

pub use self::discover::{FILE_NAME, find};
pub use self::editor::{Change, Editor, Scope};
pub use self::env::Environment;
pub use self::error::{ConfigError, EditError};
pub use self::layers::Loader;
pub use self::loaded::{Entry, Loaded, Origin};
pub use self::machine::Machine;
pub use self::model::{
    AlertThresholds, AlertingSettings, BatchSettings, Config, DashboardSettings, ExecutionSettings,
    Isolation, Jobs, LoadBalancing, LogLevel, LogSettings, MemorySettings, MonitoringSettings,
    OptimizationLevel, PerformanceSettings, QueueSettings, RunSettings, Scheduling,
};
pub use self::percent::Percent;
pub use self::preset::Preset;
pub use self::problem::{Position, Problem, ProblemKind, Problems, Source};
pub use self::receivers::{
    EmailSettings, HookAddress, MailAddress, MailAddresses, MailEncryption, MailServer,
    SecretPlace, SlackSettings, UserName, WebhookSettings,
};
pub use self::schema::{Effect, Key, keys};

/// Reads a duration as a file writes it: `30s`, `1h 30m`, `7days`, and plain numbers in milliseconds.
///
/// # Errors
///
/// What is wrong with the text, and what to write.
///
/// ```
/// use std::time::Duration;
/// use aqe_core::config::parse_duration;
///
/// assert_eq!(parse_duration("1h 30m"), Ok(Duration::from_secs(5_400)));
/// assert!(parse_duration("1 month").is_err());
/// ```
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    duration::parse(text).map_err(|problem| format!("`{text}` {problem}; {}", duration::HELP))
}

impl Config {
    /// Reads the text of a file by itself: no preset, no profile, no environment, no flags. Profiles are checked.
    ///
    /// `name` stands for the file in messages.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with the text.
    ///
    /// ```
    /// use aqe_core::config::Config;
    ///
    /// let problems = Config::parse("queue:\n  maxConcurent: 5\n", "qe.config.yaml").unwrap_err();
    /// assert_eq!(
    ///     problems.to_string(),
    ///     "qe.config.yaml:2:3: queue.maxConcurent: no such key; did you mean `queue.maxConcurrent`?"
    /// );
    /// ```
    pub fn parse(text: impl AsRef<[u8]>, name: impl AsRef<Path>) -> Result<Self, Problems> {
        layers::parse_base(text.as_ref(), name.as_ref())
    }
}
