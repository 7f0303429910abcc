//! Names of test binaries and of the tests in them.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Defines a cheaply cloned, immutable string with a meaning of its own.
macro_rules! shared_name {
    ($(#[$docs:meta])* $name:ident) => {
        $(#[$docs])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Wraps the text as it is.
            pub fn new(text: impl Into<Arc<str>>) -> Self {
                Self(text.into())
            }

            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&*self.0, f)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.into())
            }
        }

        impl From<String> for $name {
            fn from(text: String) -> Self {
                Self(text.into())
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer).map(Self::from)
            }
        }
    };
}

shared_name! {
    /// The stable name of a test binary: `package` for a library's unit tests, `package::target` for an integration
    /// test, `package::kind/target` for every other kind of target.
    ///
    /// It does not depend on the hash that cargo puts in the file name, so it survives a rebuild.
    BinaryId
}

shared_name! {
    /// The name of a test as its harness lists it, for example `parser::tests::empty_input`.
    TestName
}

/// Which test: the binary it lives in and its name there.
///
/// Cloning costs two reference counts.
///
/// # Examples
///
/// ```
/// use aqe_runner::model::TestId;
///
/// let id = TestId::new("store::recovery", "torn_tail_is_cut");
/// assert_eq!(id.to_string(), "store::recovery torn_tail_is_cut");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TestId {
    /// The binary.
    pub binary: BinaryId,
    /// The name inside the binary.
    #[serde(rename = "test")]
    pub name: TestName,
}

impl TestId {
    /// Joins a binary and a name.
    pub fn new(binary: impl Into<BinaryId>, name: impl Into<TestName>) -> Self {
        Self {
            binary: binary.into(),
            name: name.into(),
        }
    }
}

impl fmt::Display for TestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.binary, self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_id_is_two_plain_strings_in_json() {
        let id = TestId::new("p::t", "größe: x");
        let json = serde_json::to_string(&id).unwrap();
        assert_eq!(json, r#"{"binary":"p::t","test":"größe: x"}"#);
        assert_eq!(serde_json::from_str::<TestId>(&json).unwrap(), id);
    }

    #[test]
    fn names_with_escapes_survive_json() {
        let name = TestName::from("a\"b\\c\n\u{1}");
        let json = serde_json::to_string(&name).unwrap();
        assert_eq!(serde_json::from_str::<TestName>(&json).unwrap(), name);
    }
}
