//! Why a report could not be read.

use std::fmt;
use std::io;

use bytesize::ByteSize;
use serde::{Deserialize, Serialize};

use super::Format;

/// Why a report could not be read. Nothing of it is used then: half of a report looks like a loss of coverage.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CoverageError {
    /// The system refused.
    #[error("cannot read {report}")]
    Io {
        /// The name of the report.
        report: Box<str>,
        /// What the system said.
        #[source]
        error: io::Error,
    },
    /// The first bytes belong to no format that is known.
    #[error(
        "{report}: {found}; give LCOV, Cobertura XML or the JSON of `llvm-cov export`, or name its format"
    )]
    UnknownFormat {
        /// The name of the report.
        report: Box<str>,
        /// What it begins with.
        found: String,
    },
    /// The text is not what its format says, or it ends too early.
    #[error("{report}:{position}: {problem} (read as {format})")]
    Malformed {
        /// The name of the report.
        report: Box<str>,
        /// What it was read as.
        format: Format,
        /// Where.
        position: Position,
        /// What is wrong, and what can be done.
        problem: String,
    },
    /// What was kept of the report is not a result of [`operation`](super::operation()).
    #[error("what is kept of {report} is no coverage; read it again without what is kept")]
    NoResult {
        /// The name of the report.
        report: Box<str>,
        /// What is wrong with it.
        #[source]
        error: serde_json::Error,
    },
    /// The report costs more than [`Limits`](super::Limits) allows.
    #[error("{report}:{position}: {exceeded}; raise that limit if the report is to be trusted")]
    LimitExceeded {
        /// The name of the report.
        report: Box<str>,
        /// Where.
        position: Position,
        /// Which limit, and how large it is.
        exceeded: Exceeded,
    },
}

impl CoverageError {
    /// The name of the report that could not be read.
    #[must_use]
    pub fn report(&self) -> &str {
        match self {
            Self::Io { report, .. }
            | Self::UnknownFormat { report, .. }
            | Self::Malformed { report, .. }
            | Self::NoResult { report, .. }
            | Self::LimitExceeded { report, .. } => report,
        }
    }
}

/// A limit that was exceeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Exceeded {
    /// [`Limits::token`](super::Limits::token).
    Token(ByteSize),
    /// [`Limits::memory`](super::Limits::memory).
    Memory(ByteSize),
    /// [`Limits::depth`](super::Limits::depth).
    Depth(usize),
}

impl fmt::Display for Exceeded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Token(limit) => write!(f, "a line, tag or value is longer than {limit}"),
            Self::Memory(limit) => {
                write!(f, "holding what the report says takes more than {limit}")
            }
            Self::Depth(limit) => write!(f, "elements are nested more than {limit} deep"),
        }
    }
}

/// A place in a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Position {
    /// The line, from 1.
    pub line: u64,
    /// The column in bytes, from 1, where lines alone would not help: llvm-cov writes one line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<u64>,
}

impl Position {
    pub(crate) const fn line(line: u64) -> Self {
        Self { line, column: None }
    }
}

/// `12`, or `1:48123`, as compilers write it.
impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.column {
            Some(column) => write!(f, "{}:{column}", self.line),
            None => write!(f, "{}", self.line),
        }
    }
}
