//! Names of runs.

use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::{BuildHasher, Hasher};
use std::str::FromStr;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::model::UnixMillis;

/// The name of a run: a UUID of version 7 (RFC 9562, section 5.7), so that names sort by the time the run started.
///
/// Two runs started in the same millisecond sort in either order. 74 bits are random; they come from the seed that the
/// standard library draws for its hash maps, which is unique enough for a name and not fit for a secret.
///
/// # Examples
///
/// ```
/// use aqe_runner::journal::RunId;
///
/// let id = RunId::new();
/// assert_eq!(id.to_string().parse::<RunId>().unwrap(), id);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RunId(u128);

impl RunId {
    /// A new name, by the wall clock and fresh randomness.
    #[expect(
        clippy::new_without_default,
        reason = "two calls give two names, which a default should not"
    )]
    #[must_use]
    pub fn new() -> Self {
        Self::from_parts(UnixMillis::now(), random_u128())
    }

    /// The name for a start time and 128 bits of which 74 are used.
    #[must_use]
    pub fn from_parts(started: UnixMillis, random: u128) -> Self {
        let time = u128::from(started.0 & 0xffff_ffff_ffff) << 80;
        let version = 7 << 76;
        let variant = 0b10 << 62;
        let kept = (0xfff << 64) | 0x3fff_ffff_ffff_ffff;
        Self(time | version | variant | (random & kept))
    }

    /// When the run started, as far as its name tells.
    #[must_use]
    pub fn started(self) -> UnixMillis {
        UnixMillis((self.0 >> 80) as u64)
    }

    /// The 128 bits of the UUID.
    #[must_use]
    pub fn as_u128(self) -> u128 {
        self.0
    }

    /// The name with these bits; `None` if they are no UUID of version 7.
    #[must_use]
    pub fn from_u128(bits: u128) -> Option<Self> {
        let id = Self(bits);
        (id == Self::from_parts(id.started(), bits)).then_some(id)
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (high, low) = ((self.0 >> 64) as u64, self.0 as u64);
        write!(
            f,
            "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
            high >> 32,
            (high >> 16) & 0xffff,
            high & 0xffff,
            low >> 48,
            low & 0xffff_ffff_ffff
        )
    }
}

impl fmt::Debug for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RunId({self})")
    }
}

/// The text is not the name of a run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "not a run id: expected a lower-case UUID of version 7, such as 0198c3b2-5f00-7abc-8def-0123456789ab"
)]
#[non_exhaustive]
pub struct ParseRunIdError;

impl FromStr for RunId {
    type Err = ParseRunIdError;

    /// Accepts exactly what [`Display`](fmt::Display) prints, so that one run has one folder name.
    fn from_str(text: &str) -> Result<Self, ParseRunIdError> {
        let bytes = text.as_bytes();
        if bytes.len() != 36 {
            return Err(ParseRunIdError);
        }
        let mut value = 0u128;
        for (index, &byte) in bytes.iter().enumerate() {
            let digit = match (index, byte) {
                (8 | 13 | 18 | 23, b'-') => continue,
                (8 | 13 | 18 | 23, _) => return Err(ParseRunIdError),
                (_, b'0'..=b'9') => byte - b'0',
                (_, b'a'..=b'f') => byte - b'a' + 10,
                _ => return Err(ParseRunIdError),
            };
            value = value << 4 | u128::from(digit);
        }
        Self::from_u128(value).ok_or(ParseRunIdError)
    }
}

impl Serialize for RunId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for RunId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

fn random_u128() -> u128 {
    let state = RandomState::new();
    let half = |salt: u32| {
        let mut hasher = state.build_hasher();
        hasher.write_u32(salt);
        hasher.write_u32(std::process::id());
        // The seed of a thread's hash maps is drawn once and then counted up, so the clock tells apart two processes
        // that were given the same seed by a system without randomness.
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        hasher.write_u128(since.as_nanos());
        u128::from(hasher.finish())
    };
    half(1) << 64 | half(2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_sort_by_start() {
        let early = RunId::from_parts(UnixMillis(1_000), u128::MAX);
        let late = RunId::from_parts(UnixMillis(1_001), 0);
        assert!(early < late && early.to_string() < late.to_string());
        assert_eq!(late.started(), UnixMillis(1_001));
    }

    #[test]
    fn names_are_version_7_uuids() {
        let text = RunId::from_parts(UnixMillis(0x0123_4567_89ab), u128::MAX).to_string();
        assert_eq!(text, "01234567-89ab-7fff-bfff-ffffffffffff");
    }

    #[test]
    fn two_runs_have_two_names() {
        let names: std::collections::HashSet<RunId> = (0..1000).map(|_| RunId::new()).collect();
        assert_eq!(names.len(), 1000);
    }

    #[test]
    fn only_the_exact_form_is_a_name() {
        let good = "01234567-89ab-7fff-bfff-ffffffffffff";
        assert!(good.parse::<RunId>().is_ok());
        let bad = [
            "",
            "..",
            "01234567-89AB-7fff-bfff-ffffffffffff",
            "01234567089ab-7fff-bfff-ffffffffffff",
            "01234567-89ab-4fff-bfff-ffffffffffff",
            "01234567-89ab-7fff-3fff-ffffffffffff",
            "01234567-89ab-7fff-bfff-fffffffffffff",
            "01234567-89ab-7fff-bfff-fffffffffffé",
        ];
        for text in bad {
            assert!(text.parse::<RunId>().is_err(), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn a_name_is_read_as_printed(millis in 0u64..1 << 48, random in any::<u128>()) {
            let id = RunId::from_parts(UnixMillis(millis), random);
            prop_assert_eq!(id.to_string().parse::<RunId>().unwrap(), id);
            prop_assert_eq!(id.started().0, millis);
        }
    }
}
