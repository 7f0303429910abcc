//! What is wrong with a configuration, where, and what to do about it.
//!
//! A person fixes a file in one go, so everything that is wrong is reported at once, each thing with its place. The list
//! has a bound: a megabyte of nonsense must not become a hundred megabytes of messages.

use std::fmt;
use std::path::PathBuf;

/// One thing that is wrong with a configuration.
///
/// Displayed on one line as `place: key: reason; help`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Problem {
    /// What sort of thing is wrong.
    pub kind: ProblemKind,
    /// Where the value comes from.
    pub source: Source,
    /// Where in a file; `None` for other sources and for files as a whole.
    pub position: Option<Position>,
    /// The dotted path of the key that is affected, with the profile in front if it stands in one.
    pub key: Option<String>,
    /// What is wrong: a lower-case fragment.
    pub reason: String,
    /// What to do about it: a lower-case fragment.
    pub help: Option<String>,
}

/// The sorts of things that can be wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ProblemKind {
    /// The text is not YAML, or not UTF-8.
    Syntax,
    /// The file is larger, more deeply nested or more repetitive than allowed.
    TooLarge,
    /// The text uses a part of YAML that is refused here: aliases, tags, several documents, keys that are not words.
    Unsupported,
    /// No such key exists.
    UnknownKey,
    /// No such profile exists.
    UnknownProfile,
    /// A key stands twice in one section.
    Duplicate,
    /// The value is of another type than the key takes.
    WrongType,
    /// The value is of the right type and not allowed.
    OutOfRange,
    /// Two values contradict one another.
    Conflict,
}

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Source {
    /// A file, or a text that was given a name.
    File(PathBuf),
    /// An environment variable.
    Env(String),
    /// The caller, which is the command line in `aqe`.
    Flag,
}

/// A place in a text, as editors count it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub struct Position {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1; a tab counts as one.
    pub column: usize,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Env(variable) => write!(f, "environment variable {variable}"),
            Self::Flag => f.write_str("command line"),
        }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.source)?;
        if let Some(position) = self.position {
            write!(f, ":{position}")?;
        }
        if let Some(key) = &self.key {
            write!(f, ": {key}")?;
        }
        write!(f, ": {}", self.reason)?;
        if let Some(help) = &self.help {
            write!(f, "; {help}")?;
        }
        Ok(())
    }
}

/// Everything that is wrong with a configuration, in the order of the text.
///
/// Holds at least one problem when it is returned as an error. Displayed with one problem per line.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Problems {
    list: Vec<Problem>,
    /// Whether the list was full and something was left out or not looked at.
    cut: bool,
}

impl Problems {
    /// Problems that are kept; after that, reading stops. More than this many lines of errors are read by nobody, and
    /// finding the likely word for each wrong one in a megabyte of them takes seconds.
    pub const LIMIT: usize = 100;

    /// The problems that were kept.
    pub fn iter(&self) -> std::slice::Iter<'_, Problem> {
        self.list.iter()
    }

    /// How many problems were kept.
    #[must_use]
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    pub(crate) fn push(&mut self, problem: Problem) {
        if self.is_full() {
            return;
        }
        // The same contradiction is found in the file and again in the final values.
        if !self.list.contains(&problem) {
            self.list.push(problem);
        }
    }

    pub(crate) fn extend(&mut self, others: Self) {
        self.cut |= others.cut;
        for problem in others.list {
            self.push(problem);
        }
    }

    /// Whether there is no use in looking for more; the list says so from then on.
    pub(crate) fn is_full(&mut self) -> bool {
        self.cut |= self.list.len() >= Self::LIMIT;
        self.cut
    }

    /// Puts problems of files into the order in which a reader meets them.
    pub(crate) fn sort_by_position(&mut self) {
        self.list.sort_by_key(|problem| problem.position);
    }

    pub(crate) fn into_result<T>(self, value: T) -> Result<T, Self> {
        if self.is_empty() {
            Ok(value)
        } else {
            Err(self)
        }
    }
}

impl<'a> IntoIterator for &'a Problems {
    type Item = &'a Problem;
    type IntoIter = std::slice::Iter<'a, Problem>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl From<Problem> for Problems {
    fn from(problem: Problem) -> Self {
        Self {
            list: vec![problem],
            cut: false,
        }
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.list.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{problem}")?;
        }
        if self.cut {
            write!(f, "\nreading stopped after {} problems", self.list.len())?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

/// A piece of input for a message: at most 60 characters, on one line, with control characters made visible.
pub(crate) fn excerpt(text: &str) -> String {
    const LIMIT: usize = 60;
    let mut shown = String::new();
    for (count, symbol) in text.chars().enumerate() {
        if count == LIMIT {
            shown.push('…');
            break;
        }
        if symbol.is_control() {
            shown.extend(symbol.escape_default());
        } else {
            shown.push(symbol);
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(line: usize) -> Problem {
        Problem {
            kind: ProblemKind::OutOfRange,
            source: Source::File("qe.config.yaml".into()),
            position: Some(Position { line, column: 18 }),
            key: Some("queue.maxConcurrent".to_owned()),
            reason: "must be at least 1, not 0".to_owned(),
            help: Some("write 1 to 100000".to_owned()),
        }
    }

    #[test]
    fn a_problem_fits_one_line() {
        assert_eq!(
            problem(3).to_string(),
            "qe.config.yaml:3:18: queue.maxConcurrent: must be at least 1, not 0; write 1 to 100000"
        );
    }

    #[test]
    fn the_list_is_bounded_and_says_that_it_was_cut() {
        let mut problems = Problems::default();
        for line in 1..=Problems::LIMIT + 7 {
            problems.push(problem(line));
        }
        assert_eq!(problems.len(), Problems::LIMIT);
        assert!(
            problems
                .to_string()
                .ends_with("\nreading stopped after 100 problems")
        );
    }

    #[test]
    fn input_in_messages_is_short_and_visible() {
        assert_eq!(excerpt("a\u{1b}[31mb\n"), "a\\u{1b}[31mb\\n");
        assert_eq!(excerpt(&"x".repeat(1000)).chars().count(), 61);
    }
}
