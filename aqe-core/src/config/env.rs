//! Environment variables and the keys that they set.
//!
//! The environment comes in as a value, so that a test, or a server with many sessions, needs no change to the process's
//! own. A variable that is set to nothing counts as not set, which is how shells and CI systems take one away.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};

/// The variable that selects a profile.
pub(crate) const PROFILE: &str = "AQE_PROFILE";

/// How the text of a variable becomes the text of a value.
#[derive(Debug, Clone, Copy)]
enum Form {
    /// As it is.
    Plain,
    /// A number of megabytes (10^6 bytes), as in `AQE_MEMORY_LIMIT=2048`; a text with a unit is taken as it is.
    Megabytes,
    /// A truth value: `true` (or `1`) stands for `aggressive`, `false` (or `0`) for `normal`.
    PerformanceMode,
}

/// The variables, the keys that each sets, and how.
const VARIABLES: [(&str, &[&str], Form); 5] = [
    (
        "AQE_PARALLEL_WORKERS",
        &["queue.maxConcurrent", "execution.maxConcurrent", "run.jobs"],
        Form::Plain,
    ),
    ("AQE_MEMORY_LIMIT", &["memory.maxSize"], Form::Megabytes),
    ("AQE_CACHE_SIZE", &["memory.cacheSize"], Form::Megabytes),
    (
        "AQE_PERFORMANCE_MODE",
        &["performance.optimizationLevel"],
        Form::PerformanceMode,
    ),
    ("AQE_LOG_LEVEL", &["log.level"], Form::Plain),
];

/// A set of environment variables.
///
/// | variable | keys that it sets |
/// | --- | --- |
/// | `AQE_PROFILE` | none; selects the profile |
/// | `AQE_PARALLEL_WORKERS` | `queue.maxConcurrent`, `execution.maxConcurrent`, `run.jobs` |
/// | `AQE_MEMORY_LIMIT` | `memory.maxSize`, in MB (10^6 bytes) unless a unit is given |
/// | `AQE_CACHE_SIZE` | `memory.cacheSize`, in MB (10^6 bytes) unless a unit is given |
/// | `AQE_PERFORMANCE_MODE` | `performance.optimizationLevel`: `true` is `aggressive`, `false` is `normal` |
/// | `AQE_LOG_LEVEL` | `log.level` |
///
/// ```
/// use aqe_core::config::{Environment, Loader};
///
/// let environment = Environment::from_iter([("AQE_PARALLEL_WORKERS", "12")]);
/// let loaded = Loader::new().environment(environment).load()?;
/// assert_eq!(loaded.config().queue.max_concurrent.get(), 12);
/// # Ok::<(), aqe_core::config::ConfigError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Environment {
    variables: BTreeMap<String, OsString>,
}

impl Environment {
    /// The variables of this process that concern aqe.
    #[must_use]
    pub fn of_process() -> Self {
        VARIABLES
            .iter()
            .map(|(name, ..)| *name)
            .chain([PROFILE])
            .filter_map(|name| Some((name, std::env::var_os(name)?)))
            .collect()
    }

    /// A variable's value, if it is set to something.
    fn value(&self, name: &str) -> Option<&OsStr> {
        self.variables
            .get(name)
            .map(OsString::as_os_str)
            .filter(|value| !value.is_empty())
    }

    /// The profile that is selected, as text.
    pub(crate) fn profile(&self) -> Option<Result<&str, NotText>> {
        Some(self.value(PROFILE)?.to_str().ok_or(NotText(PROFILE)))
    }

    /// Key, variable and text for everything that is set.
    pub(crate) fn assignments(&self) -> impl Iterator<Item = Result<FromEnv, NotText>> {
        VARIABLES
            .iter()
            .filter_map(|(name, keys, form)| Some((*name, self.value(name)?, *keys, *form)))
            .flat_map(|(variable, value, keys, form)| {
                keys.iter().map(move |key| {
                    let text = value.to_str().ok_or(NotText(variable))?;
                    Ok(FromEnv {
                        variable,
                        key,
                        text: form.apply(text.trim()),
                    })
                })
            })
    }
}

/// A variable whose value is not UTF-8.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NotText(pub(crate) &'static str);

/// A value that a variable sets.
#[derive(Debug)]
pub(crate) struct FromEnv {
    pub(crate) variable: &'static str,
    pub(crate) key: &'static str,
    pub(crate) text: String,
}

impl<K: Into<String>, V: Into<OsString>> FromIterator<(K, V)> for Environment {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(variables: I) -> Self {
        Self {
            variables: variables
                .into_iter()
                .map(|(name, value)| (name.into(), value.into()))
                .collect(),
        }
    }
}

impl Form {
    fn apply(self, text: &str) -> String {
        let is_number = !text.is_empty()
            && text
                .bytes()
                .all(|byte| byte.is_ascii_digit() || byte == b'.');
        match (self, text) {
            (Self::Megabytes, _) if is_number => format!("{text}MB"),
            (Self::PerformanceMode, "true" | "1") => "aggressive".to_owned(),
            (Self::PerformanceMode, "false" | "0") => "normal".to_owned(),
            _ => text.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::schema;

    #[test]
    fn every_variable_sets_keys_that_exist() {
        for (variable, keys, _) in VARIABLES {
            for key in keys {
                assert!(schema::key(key).is_some(), "{variable}: {key}");
            }
        }
    }

    #[test]
    fn variables_become_values() {
        for (variable, text, expected) in [
            ("AQE_MEMORY_LIMIT", "2048", "2048MB"),
            ("AQE_MEMORY_LIMIT", "2GiB", "2GiB"),
            ("AQE_CACHE_SIZE", " 512 ", "512MB"),
            ("AQE_PERFORMANCE_MODE", "true", "aggressive"),
            ("AQE_PERFORMANCE_MODE", "0", "normal"),
            ("AQE_PERFORMANCE_MODE", "off", "off"),
            ("AQE_LOG_LEVEL", "warn", "warn"),
        ] {
            let environment = Environment::from_iter([(variable, text)]);
            let found: Vec<String> = environment
                .assignments()
                .map(|assignment| assignment.unwrap().text)
                .collect();
            assert_eq!(found, [expected], "{variable}={text}");
        }
    }

    #[test]
    fn an_empty_variable_is_not_set() {
        let environment = Environment::from_iter([("AQE_MEMORY_LIMIT", ""), ("AQE_PROFILE", "")]);
        assert_eq!(environment.assignments().count(), 0);
        assert!(environment.profile().is_none());
    }
}
