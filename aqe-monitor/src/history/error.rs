//! What can go wrong with a history.

use std::path::PathBuf;

use rusqlite::ErrorCode;

/// Why a history cannot be opened, written or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HistoryError {
    /// Another writer has it open. There is one at a time; readers there may be any number of.
    #[error("history {} is being written by {holder}: read it instead, or end that one first", path.display())]
    InUse {
        /// Where the history is.
        path: PathBuf,
        /// Who writes it, as it has said itself.
        holder: String,
    },
    /// A later version of this library has made it; it is left as it is.
    #[error(
        "history {} has format {found}, this version knows formats up to {known}: use a newer version, or another file",
        path.display()
    )]
    Newer {
        /// Where the history is.
        path: PathBuf,
        /// Its format.
        found: i64,
        /// The newest that this version knows.
        known: i64,
    },
    /// It is a database, but of another program; it is left as it is.
    #[error("{} is a database of another program: choose another file for the history", path.display())]
    Foreign {
        /// Where it is.
        path: PathBuf,
    },
    /// There is none to read.
    #[error("there is no history at {}", path.display())]
    Missing {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// It is damaged. A writer sets such a file aside and begins another; a reader can only say so.
    #[error("history {} is damaged: {what}; its next writer sets it aside and begins a new one", path.display())]
    Damaged {
        /// Where it is.
        path: PathBuf,
        /// What has been found.
        what: String,
    },
    /// There is no room left, on the disk or within `max_bytes`. What was there is still there; the next tick tries again.
    #[error("no room left for history {}: free space on its disk, or raise its `max_bytes`", path.display())]
    Full {
        /// Where it is.
        path: PathBuf,
    },
    /// The write-ahead log cannot be taken over because somebody has been reading for long, and has grown to its bound.
    #[error(
        "the log beside history {} has grown to {bytes} bytes because a program keeps reading: end its transaction",
        path.display()
    )]
    LogTooLong {
        /// Where the history is.
        path: PathBuf,
        /// Size of the log.
        bytes: u64,
    },
    /// A limit that the caller can keep.
    #[error("{what}: at most {limit}, not {found}")]
    TooMuch {
        /// Of what.
        what: &'static str,
        /// How much there may be.
        limit: u64,
        /// How much there was.
        found: u64,
    },
    /// A setting that cannot work.
    #[error("{setting} {problem}")]
    Setting {
        /// Its name.
        setting: &'static str,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A series is there with another kind.
    #[error(
        "series {name} is a {is}, and cannot be a {asked} too: give the other a name of its own"
    )]
    OtherKind {
        /// Name of the series.
        name: String,
        /// Its kind.
        is: &'static str,
        /// The kind that was asked for.
        asked: &'static str,
    },
    /// Something without a name.
    #[error("{what} has no name")]
    NoName {
        /// What has none.
        what: &'static str,
    },
    /// There is no such series or run.
    #[error("there is no {what} with number {number} in this history")]
    Unknown {
        /// A series or a run.
        what: &'static str,
        /// Its number.
        number: u64,
    },
    /// Histograms whose buckets do not have the same bounds.
    #[error("histograms of precision {0} and {1} cannot be merged: their buckets differ")]
    Precision(u8, u8),
    /// A file or folder cannot be used.
    #[error("cannot {what} {}", path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// SQLite refuses for another reason.
    #[error("history {} cannot be used", path.display())]
    Sqlite {
        /// Where it is.
        path: PathBuf,
        /// What it says.
        #[source]
        source: rusqlite::Error,
    },
}

/// What an error of SQLite calls for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// The file is not what it should be.
    Damage,
    /// No room.
    Full,
    Other,
}

pub(super) fn cause(error: &rusqlite::Error) -> Cause {
    match error {
        rusqlite::Error::SqliteFailure(failure, _) => match failure.code {
            ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => Cause::Damage,
            // What our tables hold is shorter than the limit, whatever happens: a longer value was not written by us.
            ErrorCode::TooBig => Cause::Damage,
            ErrorCode::DiskFull => Cause::Full,
            _ => Cause::Other,
        },
        // The schema is ours, so a value of another type, a missing column and text that is not UTF-8 are damage too.
        rusqlite::Error::InvalidColumnType(..)
        | rusqlite::Error::FromSqlConversionFailure(..)
        | rusqlite::Error::IntegralValueOutOfRange(..)
        | rusqlite::Error::Utf8Error(..)
        | rusqlite::Error::QueryReturnedNoRows
        | rusqlite::Error::SqlInputError { .. } => Cause::Damage,
        _ => Cause::Other,
    }
}

impl HistoryError {
    /// The error for what SQLite says about this file.
    pub(super) fn of(path: &std::path::Path, source: rusqlite::Error) -> Self {
        let path = path.to_owned();
        match cause(&source) {
            Cause::Damage => Self::Damaged {
                path,
                what: source.to_string(),
            },
            Cause::Full => Self::Full { path },
            Cause::Other => Self::Sqlite { path, source },
        }
    }

    pub(super) fn io(what: &'static str, path: &std::path::Path, source: std::io::Error) -> Self {
        Self::Io {
            what,
            path: path.to_owned(),
            source,
        }
    }

    /// Whether it says that the file is damaged.
    #[must_use]
    pub fn is_damage(&self) -> bool {
        matches!(self, Self::Damaged { .. })
    }
}
