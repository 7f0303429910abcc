//! Stretches of lines that somebody should look at.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Lines `first` to `last`, of which `lines` are meant.
///
/// A range is as long as it can be without an executable line in it that is not meant. Comments, blank lines and
/// closing braces do not end it, because nobody writes a test for a comment; a covered line does. The first and the
/// last line are always meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub struct LineRange {
    /// The first line, from 1.
    pub first: u32,
    /// The last line, inclusive.
    pub last: u32,
    /// How many executable lines are in it; the others between `first` and `last` cannot be executed.
    pub lines: u64,
}

/// `7`, or `7-12`.
impl fmt::Display for LineRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { first, last, .. } = self;
        if first == last {
            return write!(f, "{first}");
        }
        write!(f, "{first}-{last}")
    }
}

/// Joins stretches of lines that are meant, in ascending order, until a line comes that is not.
#[derive(Debug, Default)]
pub(crate) struct RangeBuilder {
    open: Option<LineRange>,
    done: Vec<LineRange>,
}

impl RangeBuilder {
    /// Lines `first` to `last` are all executable and all meant.
    pub(crate) fn meant(&mut self, first: u32, last: u32) {
        let lines = u64::from(last - first) + 1;
        match &mut self.open {
            Some(open) => {
                open.last = last;
                open.lines += lines;
            }
            None => self.open = Some(LineRange { first, last, lines }),
        }
    }

    /// An executable line that is not meant.
    pub(crate) fn interrupt(&mut self) {
        self.done.extend(self.open.take());
    }

    pub(crate) fn finish(mut self) -> Vec<LineRange> {
        self.interrupt();
        self.done
    }
}
