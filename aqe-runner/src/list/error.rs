//! What can go wrong when a binary is asked for its tests.

use std::io;
use std::time::Duration;

use crate::model::{BinaryId, Exit};

/// A binary could not be listed.
///
/// Shows the binary, what happened, what it wrote to standard error and how to try it by hand.
#[derive(Debug, thiserror::Error)]
#[error("cannot list the tests of {binary}: {fault}{}\n  try it by hand: {command}", indented(.stderr))]
#[non_exhaustive]
pub struct ListError {
    /// The binary.
    pub binary: BinaryId,
    /// What happened.
    pub fault: ListFault,
    /// The first lines of its standard error, without control characters.
    pub stderr: String,
    /// The call, for a shell.
    pub command: String,
}

/// What happened when a binary was asked for its tests.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ListFault {
    /// The process did not end with code 0.
    #[error("it {}", .0.predicate())]
    Exit(Exit),
    /// The process could not be started, or its output not read.
    #[error("it could not be run: {0}")]
    NotStarted(io::Error),
    /// The process did not end in time and was killed.
    #[error("it did not answer within {0:?}")]
    TimedOut(Duration),
    /// A line is not UTF-8.
    #[error("line {number} of its listing is not UTF-8: \"{line}\"")]
    NotUtf8 {
        /// Counts from 1.
        number: usize,
        /// The line, escaped and cut.
        line: String,
    },
    /// A line is not of the form `NAME: test`.
    #[error("line {number} of its listing is neither a test nor a benchmark: \"{line}\"")]
    NotAListing {
        /// Counts from 1.
        number: usize,
        /// The line, escaped and cut.
        line: String,
    },
    /// A name is longer than [`MAX_NAME_BYTES`](super::MAX_NAME_BYTES).
    #[error("line {number} of its listing has a name of {bytes} bytes")]
    NameTooLong {
        /// Counts from 1.
        number: usize,
        /// The length.
        bytes: usize,
    },
    /// There are more than [`MAX_TESTS`](super::MAX_TESTS).
    #[error("it lists more than {} tests", super::MAX_TESTS)]
    TooManyTests,
    /// The listing is larger than [`MAX_LIST_BYTES`](super::MAX_LIST_BYTES).
    #[error("its listing has {bytes} bytes")]
    OutputTooLarge {
        /// The size.
        bytes: usize,
    },
}

/// The first lines of what a process wrote, fit to be shown: cut, and without the control characters that would move
/// the cursor or colour the rest of the terminal.
pub(super) fn first_lines(stderr: &[u8]) -> String {
    let text = String::from_utf8_lossy(&stderr[..stderr.len().min(16 * 1024)]);
    let lines = text.lines().filter(|line| !line.trim().is_empty()).take(8);
    let shown = lines.map(|line| {
        line.chars()
            .filter(|char| !char.is_control())
            .take(200)
            .collect::<String>()
    });
    shown.collect::<Vec<_>>().join("\n")
}

fn indented(stderr: &str) -> String {
    stderr.lines().map(|line| format!("\n  | {line}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_has_all_that_is_needed_to_go_on() {
        let error = ListError {
            binary: BinaryId::from("store::recovery"),
            fault: ListFault::Exit(Exit::Code(3)),
            stderr: first_lines(b"\x1b[31mmissing\tfile\n\nsecond\n3\n4\n5\n6\n7\n8\n9\n"),
            command: "cd /src && /target/recovery --list".to_owned(),
        };
        assert_eq!(
            error.to_string(),
            "cannot list the tests of store::recovery: it ended with exit code 3\n  | [31mmissingfile\n  | second\n  | 3\n  | 4\n  | 5\n  | 6\n  | 7\n  | 8\n  try it by hand: cd /src && /target/recovery --list"
        );
    }
}
