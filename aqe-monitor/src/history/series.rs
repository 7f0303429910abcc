//! What is measured: series with a name, labels, a kind and a unit. All four are data, whatever characters they have.

use std::fmt::Write as _;

use super::error::HistoryError;

/// Number of a series in its history.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SeriesId(pub(super) u32);

impl SeriesId {
    /// The number, as in column `id` of the view `series`.
    #[must_use]
    pub fn number(self) -> u32 {
        self.0
    }
}

/// What the values of a series are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// A total that only grows, but for a restart.
    Counter,
    /// A value that goes up and down.
    Gauge,
    /// Counts by bucket of what was observed since the tick before.
    Histogram,
}

impl Kind {
    /// The word for it, as in column `kind` of the view `series`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }

    pub(super) fn from_name(name: &str) -> Option<Self> {
        [Self::Counter, Self::Gauge, Self::Histogram]
            .into_iter()
            .find(|kind| kind.name() == name)
    }
}

/// Names a series.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SeriesKey {
    pub(super) name: String,
    /// Sorted by name, one of each.
    pub(super) labels: Vec<(String, String)>,
}

impl SeriesKey {
    /// Longest name of a series, of a label and of a run, in bytes.
    pub const MAX_NAME: usize = 256;
    /// Longest value of a label, in bytes.
    pub const MAX_VALUE: usize = 1024;
    /// How many labels a series or a run may have.
    pub const MAX_LABELS: usize = 32;

    /// The series of this name and these labels, in any order. Of two labels with the same name the later counts.
    ///
    /// # Errors
    ///
    /// [`HistoryError::NoName`] and [`HistoryError::TooMuch`] if a name is empty or too long, or there are too many labels.
    pub fn new(name: &str, labels: &[(&str, &str)]) -> Result<Self, HistoryError> {
        check_name("a series", name)?;
        Ok(Self {
            name: name.to_owned(),
            labels: sorted_labels(labels)?,
        })
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Name and value of each label, by name.
    #[must_use]
    pub fn labels(&self) -> &[(String, String)] {
        &self.labels
    }
}

/// A series as it is in a history.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SeriesInfo {
    /// Its number.
    pub id: SeriesId,
    /// Its name and labels.
    pub key: SeriesKey,
    /// What its values are.
    pub kind: Kind,
    /// What they are counted in, `seconds` for instance; may be empty.
    pub unit: String,
}

pub(super) fn check_name(what: &'static str, name: &str) -> Result<(), HistoryError> {
    if name.is_empty() {
        return Err(HistoryError::NoName { what });
    }
    check_length("bytes of a name", name.len(), SeriesKey::MAX_NAME)
}

pub(super) fn check_length(
    what: &'static str,
    found: usize,
    limit: usize,
) -> Result<(), HistoryError> {
    if found > limit {
        let (limit, found) = (limit as u64, found as u64);
        return Err(HistoryError::TooMuch { what, limit, found });
    }
    Ok(())
}

pub(super) fn sorted_labels(
    labels: &[(&str, &str)],
) -> Result<Vec<(String, String)>, HistoryError> {
    check_length("labels", labels.len(), SeriesKey::MAX_LABELS)?;
    let mut sorted = std::collections::BTreeMap::new();
    for (name, value) in labels {
        check_name("a label", name)?;
        check_length(
            "bytes of a label's value",
            value.len(),
            SeriesKey::MAX_VALUE,
        )?;
        sorted.insert((*name).to_owned(), (*value).to_owned());
    }
    Ok(sorted.into_iter().collect())
}

/// Labels as a JSON object, which is what the tables hold: `json_extract(labels, '$.host')` works on it.
pub(super) fn labels_to_json(labels: &[(String, String)]) -> String {
    let mut json = String::from("{");
    for (at, (name, value)) in labels.iter().enumerate() {
        if at > 0 {
            json.push(',');
        }
        push_json_string(&mut json, name);
        json.push(':');
        push_json_string(&mut json, value);
    }
    json.push('}');
    json
}

/// Writes a text as a JSON string; anything below a space, and the two separators that JavaScript takes for line ends, escaped.
pub(super) fn push_json_string(json: &mut String, text: &str) {
    json.push('"');
    for character in text.chars() {
        match character {
            '"' => json.push_str("\\\""),
            '\\' => json.push_str("\\\\"),
            '\n' => json.push_str("\\n"),
            '\r' => json.push_str("\\r"),
            '\t' => json.push_str("\\t"),
            '\0'..='\x1f' | '\x7f' | '\u{2028}' | '\u{2029}' => {
                // Writing to a string cannot fail.
                let _ = write!(json, "\\u{:04x}", u32::from(character));
            }
            _ => json.push(character),
        }
    }
    json.push('"');
}

/// Reads what [`labels_to_json`] has written, and nothing else; `None` says that it is something else.
pub(super) fn labels_from_json(json: &str) -> Option<Vec<(String, String)>> {
    let mut rest = json.strip_prefix('{')?.strip_suffix('}')?;
    let mut labels = Vec::new();
    while !rest.is_empty() {
        if !labels.is_empty() {
            rest = rest.strip_prefix(',')?;
        }
        let (name, after) = json_string(rest)?;
        let (value, after) = json_string(after.strip_prefix(':')?)?;
        labels.push((name, value));
        rest = after;
    }
    Some(labels)
}

fn json_string(text: &str) -> Option<(String, &str)> {
    let body = text.strip_prefix('"')?;
    let mut out = String::new();
    let mut characters = body.char_indices();
    loop {
        match characters.next()? {
            (at, '"') => return Some((out, &body[at + 1..])),
            (_, '\\') => out.push(match characters.next()?.1 {
                'n' => '\n',
                'r' => '\r',
                't' => '\t',
                'u' => {
                    let mut code = 0;
                    for _ in 0..4 {
                        code = code * 16 + characters.next()?.1.to_digit(16)?;
                    }
                    char::from_u32(code)?
                }
                escaped @ ('"' | '\\') => escaped,
                _ => return None,
            }),
            (_, character) => out.push(character),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn labels_survive_json(labels in prop::collection::btree_map(".{1,8}", ".{0,8}", 0..6)) {
            let labels: Vec<_> = labels.into_iter().collect();
            let json = labels_to_json(&labels);
            prop_assert_eq!(labels_from_json(&json), Some(labels));
        }

        #[test]
        fn anything_as_labels_does_no_harm(text: String) {
            let _ = labels_from_json(&text);
        }
    }

    #[test]
    fn labels_are_sorted_and_the_later_counts() {
        let key = SeriesKey::new("m", &[("b", "1"), ("a", "2"), ("b", "3")]).unwrap();
        assert_eq!(labels_to_json(key.labels()), r#"{"a":"2","b":"3"}"#);
    }

    #[test]
    fn what_is_too_long_is_refused_with_a_reason() {
        let long = "x".repeat(257);
        let error = SeriesKey::new(&long, &[]).unwrap_err().to_string();
        assert_eq!(error, "bytes of a name: at most 256, not 257");
        assert_eq!(
            SeriesKey::new("", &[]).unwrap_err().to_string(),
            "a series has no name"
        );
        assert!(SeriesKey::new("m", &[("", "v")]).is_err());
    }
}
