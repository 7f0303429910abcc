//! Why a value was not taken.

use crate::disk::DiskError;
use crate::store::Version;
use crate::tiers::NoPlace;

/// Why a value was not put.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PutError {
    /// The key has too many bytes.
    #[error("a key of {len} bytes is longer than {most}")]
    KeyTooLong {
        /// Its length.
        len: usize,
        /// The most that a key can have.
        most: usize,
    },
    /// The value has too many bytes for the store's sizes.
    #[error(
        "a value of {len} bytes is larger than {most}, a quarter of `cache_size`; give the store more"
    )]
    ValueTooLarge {
        /// Its length.
        len: usize,
        /// The most that a value of this store can have.
        most: usize,
    },
    /// The entry has too many tags.
    #[error("{count} tags are more than {most}")]
    TooManyTags {
        /// How many it has.
        count: usize,
        /// The most that an entry can have.
        most: usize,
    },
    /// A tag has too many bytes.
    #[error("a tag of {len} bytes is longer than {most}")]
    TagTooLong {
        /// Its length.
        len: usize,
        /// The most that a tag can have.
        most: usize,
    },
    /// As many different tags were invalidated as the store remembers, and there may still be entries with each.
    #[error(
        "{most} tags were invalidated of which there may still be entries; use fewer, or shorter times to live"
    )]
    TooManyMarks {
        /// How many a store of this size remembers.
        most: usize,
    },
    /// The system gave no memory, or everything the store may take is held by values that are still being read.
    #[error("no memory for the value")]
    OutOfMemory,
    /// The store's folder has as many bytes as it [may](crate::MemoryConfig::max_disk_size).
    #[error("the store's folder is full; give it more, or shorter times to live")]
    DiskFull,
    /// The system refused to write to the store's folder, or to read there what the key has.
    #[error("the value cannot be written to disk")]
    Disk(#[source] DiskError),
}

impl From<NoPlace> for PutError {
    fn from(reason: NoPlace) -> Self {
        match reason {
            NoPlace::OutOfMemory => Self::OutOfMemory,
            NoPlace::DiskFull => Self::DiskFull,
            NoPlace::Disk(error) => Self::Disk(error),
        }
    }
}

/// Why not all of several entries were put.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the first {put} entries were put, the next was not")]
pub struct PutManyError {
    /// How many were put before the one that was not.
    pub put: usize,
    /// Why that one was not.
    pub source: PutError,
}

/// Why a value was not exchanged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CompareError {
    /// The entry is not what the caller has seen.
    #[error("the entry has changed")]
    Changed {
        /// Its version now; `None` if it is not there.
        current: Option<Version>,
    },
    /// The value cannot be put.
    #[error(transparent)]
    Put(#[from] PutError),
}

/// Why there is no namespace of a name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NamespaceError {
    /// There are as many as a store can have.
    #[error("there are {most} namespaces already; `{name}` would be one more")]
    TooMany {
        /// The name of the one that was asked for.
        name: String,
        /// How many a store can have.
        most: usize,
    },
    /// The name has too many bytes.
    #[error("a name of {len} bytes is longer than {most}")]
    TooLong {
        /// Its length.
        len: usize,
        /// The most that a name can have.
        most: usize,
    },
    /// A new name cannot be written to the store's folder.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

/// Why a store has no new keys.
#[cfg(feature = "encryption")]
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RotateError {
    /// The store seals nothing.
    #[error("the store has no keys")]
    NotSealed,
    /// The provider gave none, or one that does not fit.
    #[error(transparent)]
    Keys(#[from] crate::crypt::KeyRingError),
    /// They cannot be written to the store's folder.
    #[error(transparent)]
    Disk(#[from] DiskError),
}
