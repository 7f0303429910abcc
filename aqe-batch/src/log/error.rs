//! What can go wrong with a checkpoint, and what to do about it.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use crate::codec::CodecError;

/// Why a checkpoint log could not be opened, read or written.
///
/// Nothing that the log holds is destroyed by any of these.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CheckpointError {
    /// The system refused: no permission, no such folder, a full disk.
    #[error("cannot {doing} checkpoint log{}", place(.path.as_deref()))]
    Io {
        /// The file, if it is known.
        path: Option<PathBuf>,
        /// What was attempted.
        doing: &'static str,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The file is something else.
    #[error("not a checkpoint log{}; choose another path, or remove the file if it is not needed", place(.path.as_deref()))]
    NotALog {
        /// The file, if it is known.
        path: Option<PathBuf>,
    },
    /// The log was written by another version of this crate.
    #[error(
        "checkpoint log{} has format {found}, and this program knows format {known}; finish the run with the program that \
         began it, or remove the file to start over", place(.path.as_deref())
    )]
    Version {
        /// The file, if it is known.
        path: Option<PathBuf>,
        /// The format of the file.
        found: u32,
        /// The format that this program reads and writes.
        known: u32,
    },
    /// The log belongs to a job with another name, version, number of items or kind of results.
    #[error(
        "checkpoint log{} belongs to {found}, and this is {expected}; choose another path, or remove the file to start over",
        place(.path.as_deref())
    )]
    OtherJob {
        /// The file, if it is known.
        path: Option<PathBuf>,
        /// The job of the file.
        found: String,
        /// The job that was to be run.
        expected: String,
    },
    /// Bytes that had been safely on disk are not what was written. A torn end is no damage: it is cut off.
    #[error(
        "checkpoint log{} is damaged at byte {offset} ({what}) and there are records after it; restore it from a copy, or \
         remove the file to start over", place(.path.as_deref())
    )]
    Damaged {
        /// The file, if it is known.
        path: Option<PathBuf>,
        /// Where the damage begins, in bytes from the start of the file.
        offset: u64,
        /// What is wrong there.
        what: Damage,
    },
    /// Another process, or another run in this one, has the log open.
    #[error("checkpoint log{} is in use by another run; wait for it to end, or choose another path", place(.path.as_deref()))]
    Locked {
        /// The file, if it is known.
        path: Option<PathBuf>,
    },
    /// The result of an item is too large to be kept.
    #[error(
        "result of item {item} has {bytes} bytes, and a checkpoint keeps at most {limit}; keep it elsewhere and return its name"
    )]
    ResultTooLarge {
        /// The number of the item.
        item: u64,
        /// The size of its encoded result.
        bytes: usize,
        /// The largest size.
        limit: usize,
    },
    /// The result of an item could not be encoded, or a kept one not be decoded.
    #[error("result of item {item} cannot be kept")]
    Codec {
        /// The number of the item.
        item: u64,
        /// What the codec said.
        #[source]
        source: CodecError,
    },
    /// An item was recorded that is done. It is a defect of whoever recorded it.
    #[error("item {item} was recorded twice")]
    Repeated {
        /// The number of the item.
        item: u64,
    },
    /// The log takes nothing more after an error, which has been told.
    #[error("checkpoint log{} takes nothing more after an earlier error", place(.path.as_deref()))]
    Broken {
        /// The file, if it is known.
        path: Option<PathBuf>,
    },
    /// There are fewer items than the log knows to be done: the source is not the one with which the run began.
    #[error("checkpoint log{} knows of item {item}, and the source ended after {items}; it must give the same items in the same order", place(.path.as_deref()))]
    SourceChanged {
        /// The file, if it is known.
        path: Option<PathBuf>,
        /// An item that is done and was not given.
        item: u64,
        /// How many items the source gave.
        items: u64,
    },
}

/// What is wrong with a damaged log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Damage {
    /// The first block.
    Header,
    /// A record whose checksum does not hold, or that is not there.
    Record,
    /// A record that is as it was written and makes no sense.
    Contents,
    /// A record that says of an item that it is done which was done before.
    Repetition,
    /// A record that is missing from the sequence.
    Sequence,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Header => "the header",
            Self::Record => "a record with a wrong checksum",
            Self::Contents => "a record that cannot be read",
            Self::Repetition => "a record that repeats items",
            Self::Sequence => "a record is missing",
        })
    }
}

impl CheckpointError {
    /// Says of which file it is.
    pub(crate) fn at(mut self, file: &Path) -> Self {
        match &mut self {
            Self::Io { path, .. }
            | Self::NotALog { path }
            | Self::Version { path, .. }
            | Self::OtherJob { path, .. }
            | Self::Damaged { path, .. }
            | Self::Locked { path }
            | Self::Broken { path }
            | Self::SourceChanged { path, .. } => *path = Some(file.to_owned()),
            Self::ResultTooLarge { .. } | Self::Codec { .. } | Self::Repeated { .. } => {}
        }
        self
    }

    pub(crate) fn io(doing: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io {
            path: None,
            doing,
            source,
        }
    }
}

fn place(path: Option<&Path>) -> String {
    path.map_or_else(String::new, |path| format!(" {}", path.display()))
}
