//! What a report may cost.

use bytesize::ByteSize;
use serde::{Deserialize, Serialize};

/// What reading one report may cost. A report that needs more is refused with the place and the limit.
///
/// The size of the text is no limit: a report of any length is read as a stream. Nothing is held but what it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Limits {
    /// The longest line of LCOV, and the longest tag, text or value of XML and JSON. Default: 1 MiB, which is room for
    /// every path and every mangled name that compilers have been seen to write.
    #[serde(with = "in_bytes")]
    pub token: ByteSize,
    /// How much of what the report says is held: 16 bytes for each stretch of neighbouring lines with the same count,
    /// 48 for each outcome of a branch, 40 and its name for each function, 200 and its path for each file. The lists of
    /// the one file that is being read may take several times that. Default: 1 GiB, which is room for some forty
    /// million lines of source.
    #[serde(with = "in_bytes")]
    pub memory: ByteSize,
    /// How deeply elements of XML may be nested. Cobertura needs 8. JSON has a fixed limit of 127. Default: 64.
    pub depth: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            token: ByteSize::mib(1),
            memory: ByteSize::gib(1),
            depth: 64,
        }
    }
}

impl Limits {
    /// Sets the longest line, tag, text or value.
    #[must_use]
    pub const fn token(mut self, limit: ByteSize) -> Self {
        self.token = limit;
        self
    }

    /// Sets how much may be held of what a report says.
    #[must_use]
    pub const fn memory(mut self, limit: ByteSize) -> Self {
        self.memory = limit;
        self
    }

    /// Sets how deeply elements of XML may be nested.
    #[must_use]
    pub const fn depth(mut self, limit: usize) -> Self {
        self.depth = limit;
        self
    }
}

/// Sizes as numbers of bytes: the text that `bytesize` writes is rounded.
mod in_bytes {
    use bytesize::ByteSize;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(size: &ByteSize, to: S) -> Result<S::Ok, S::Error> {
        size.as_u64().serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<ByteSize, D::Error> {
        u64::deserialize(from).map(ByteSize::b)
    }
}
