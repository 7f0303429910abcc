//! Passwords, keys and addresses that are as good as passwords.

use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};

/// A text that is never printed: not by `Debug`, not in errors, and not in the store.
///
/// The address of a Slack webhook is one too: who knows it can post. Secrets cannot be
/// compared: a comparison that ends at the first difference tells how much was right.
///
/// # Examples
///
/// ```
/// use aqe_monitor::alerts::Secret;
///
/// let secret = Secret::new("hunter2");
/// assert_eq!(format!("{secret:?}"), "Secret(..)");
/// ```
#[derive(Clone)]
pub struct Secret(String);

/// A secret that cannot be had. It names the place and never what is there.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SecretError {
    /// The environment has no such variable, or it is not text.
    #[error("the environment variable {0} is not set, or is not text")]
    Env(String),
    /// The file cannot be read.
    #[error("the secret in {path} cannot be read")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Nothing is there, or too much.
    #[error("the secret in {0} is empty or has more than {max} bytes", max = Secret::MAX_BYTES)]
    Length(String),
}

impl Secret {
    /// Bytes at most of a secret that is read from a file or the environment.
    pub const MAX_BYTES: usize = 64 * 1024;

    /// Wraps a text.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Takes the value of an environment variable.
    ///
    /// # Errors
    ///
    /// When it is not set, empty, or not text.
    pub fn from_env(name: &str) -> Result<Self, SecretError> {
        let text = std::env::var(name).map_err(|_| SecretError::Env(name.to_owned()))?;
        Self::bounded(text, || name.to_owned())
    }

    /// Takes the content of a file without the line break at its end.
    ///
    /// # Errors
    ///
    /// When it cannot be read, is empty, too long, or not text.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, SecretError> {
        let path = path.as_ref();
        let failed = |source| SecretError::File {
            path: path.to_owned(),
            source,
        };
        let file = std::fs::File::open(path).map_err(failed)?;
        let mut text = String::new();
        file.take(Self::MAX_BYTES as u64 + 1)
            .read_to_string(&mut text)
            .map_err(failed)?;
        let text = text.trim_end_matches(['\r', '\n']).to_owned();
        Self::bounded(text, || path.display().to_string())
    }

    fn bounded(text: String, place: impl Fn() -> String) -> Result<Self, SecretError> {
        if text.is_empty() || text.len() > Self::MAX_BYTES {
            return Err(SecretError::Length(place()));
        }
        Ok(Self(text))
    }

    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_gives_its_text_and_errors_name_the_place_only() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        std::fs::write(&path, "pass word\r\n").unwrap();
        assert_eq!(Secret::from_file(&path).unwrap().expose(), "pass word");
        std::fs::write(&path, "\n").unwrap();
        let empty = Secret::from_file(&path).unwrap_err();
        assert!(matches!(empty, SecretError::Length(_)));
        std::fs::write(&path, "s".repeat(Secret::MAX_BYTES + 1)).unwrap();
        let long = Secret::from_file(&path).unwrap_err().to_string();
        assert!(!long.contains("ssss"), "{long}");
        assert!(Secret::from_file(folder.path().join("none")).is_err());
        assert!(Secret::from_env("AQE_NO_SUCH_VARIABLE").is_err());
    }
}
