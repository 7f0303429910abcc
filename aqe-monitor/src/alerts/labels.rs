//! The labels of a series: who it is about. They arrive from outside, so they have bounds.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

/// Pairs of name and value, sorted by name, each name once.
///
/// # Examples
///
/// ```
/// use aqe_monitor::alerts::Labels;
///
/// let labels = Labels::new([("queue", "main"), ("host", "a")])?;
/// assert_eq!(labels.value("queue"), Some("main"));
/// assert_eq!(labels.to_string(), "{host=\"a\", queue=\"main\"}");
/// # Ok::<(), aqe_monitor::alerts::LabelsError>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(
    try_from = "BTreeMap<String, String>",
    into = "BTreeMap<String, String>"
)]
pub struct Labels(Vec<(String, String)>);

/// Labels that are refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LabelsError {
    /// More pairs than [`Labels::MAX_PAIRS`].
    #[error("{0} labels where at most {max} are kept", max = Labels::MAX_PAIRS)]
    TooMany(usize),
    /// A name or value longer than [`Labels::MAX_BYTES`].
    #[error("a label name or value of {0} bytes where at most {max} are kept", max = Labels::MAX_BYTES)]
    TooLong(usize),
    /// The same name twice.
    #[error("label {0:?} is given twice")]
    Twice(String),
}

impl Labels {
    /// Pairs that one set holds at most.
    pub const MAX_PAIRS: usize = 16;
    /// Bytes of a name or value at most.
    pub const MAX_BYTES: usize = 256;

    /// Sorts `pairs` into a set.
    ///
    /// # Errors
    ///
    /// When there are too many, one is too long, or a name comes twice.
    pub fn new<N, V>(pairs: impl IntoIterator<Item = (N, V)>) -> Result<Self, LabelsError>
    where
        N: Into<String>,
        V: Into<String>,
    {
        let mut kept: Vec<(String, String)> = Vec::new();
        for (name, value) in pairs {
            let (name, value) = (name.into(), value.into());
            let longest = name.len().max(value.len());
            if longest > Self::MAX_BYTES {
                return Err(LabelsError::TooLong(longest));
            }
            if kept.len() == Self::MAX_PAIRS {
                return Err(LabelsError::TooMany(kept.len() + 1));
            }
            kept.push((name, value));
        }
        kept.sort();
        if let Some(twice) = kept.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            return Err(LabelsError::Twice(twice[0].0.clone()));
        }
        Ok(Self(kept))
    }

    /// The value of the label `name`.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<&str> {
        self.iter().find(|(n, _)| *n == name).map(|(_, v)| v)
    }

    /// All pairs in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(n, v)| (n.as_str(), v.as_str()))
    }

    /// Whether every pair of `filter` is among these.
    #[must_use]
    pub fn contains(&self, filter: &Self) -> bool {
        filter.iter().all(|(n, v)| self.value(n) == Some(v))
    }

    /// Those pairs whose names are in `names`.
    #[must_use]
    pub(crate) fn only(&self, names: &[String]) -> Self {
        let kept = self.0.iter().filter(|(n, _)| names.contains(n));
        Self(kept.cloned().collect())
    }
}

impl TryFrom<BTreeMap<String, String>> for Labels {
    type Error = LabelsError;

    fn try_from(pairs: BTreeMap<String, String>) -> Result<Self, LabelsError> {
        Self::new(pairs)
    }
}

impl From<Labels> for BTreeMap<String, String> {
    fn from(labels: Labels) -> Self {
        labels.0.into_iter().collect()
    }
}

impl fmt::Display for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{")?;
        for (index, (name, value)) in self.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(f, "{comma}{name}={value:?}")?;
        }
        f.write_str("}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_much_is_refused() {
        let many = (0..17).map(|n| (format!("n{n}"), ""));
        assert_eq!(Labels::new(many), Err(LabelsError::TooMany(17)));
        let long = "x".repeat(257);
        assert_eq!(Labels::new([("a", &long)]), Err(LabelsError::TooLong(257)));
        let twice = Labels::new([("a", "1"), ("a", "2")]);
        assert_eq!(twice, Err(LabelsError::Twice("a".to_owned())));
    }

    #[test]
    fn hostile_text_survives_the_way_through_json() {
        let labels = Labels::new([("a\"\n", "\u{0}=cmd|' /C calc'!A0"), ("", "é")]).unwrap();
        let json = serde_json::to_string(&labels).unwrap();
        assert_eq!(serde_json::from_str::<Labels>(&json).unwrap(), labels);
    }
}
