//! Which functions were called.
//!
//! As with branches there are two sorts of statement: names with counts (LCOV, Cobertura), and a bare "3 of 4"
//! (llvm-cov's summary of a file). Both are kept, and the larger one holds.

use serde::{Deserialize, Serialize};

use super::Tally;

/// A function that a report names.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Function {
    /// The name as the report has it, mangled or not; for Cobertura `Class.method(signature)`.
    pub name: Box<str>,
    /// The line in which it begins, where that is known.
    pub line: Option<u32>,
    /// How often it was called. A format that does not say counts its most executed line instead.
    pub hits: u64,
}

/// The functions of a file.
///
/// Formats refer to a function by its name, so functions of one name in one file are one here.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Listed", into = "Listed")]
pub struct Functions {
    /// Ascending by name, each once.
    named: Vec<Function>,
    counted: Tally,
}

impl Functions {
    /// The functions that reports name, ascending by name.
    pub fn named(&self) -> impl ExactSizeIterator<Item = &Function> {
        self.named.iter()
    }

    /// How many were called of how many.
    #[must_use]
    pub fn tally(&self) -> Tally {
        let mut tally = Tally::default();
        for function in &self.named {
            tally.count(function.hits > 0);
        }
        tally.max(self.counted)
    }

    /// Adds what `other` says: calls of a function with the same name add up; of bare counts the larger one holds.
    pub fn merge(&mut self, other: Self) {
        self.counted = self.counted.max(other.counted);
        if !other.named.is_empty() {
            let mut named = std::mem::take(&mut self.named);
            named.extend(other.named);
            *self = Self::of(named, self.counted);
        }
    }

    /// Sorts and joins what a report lists.
    pub(crate) fn of(mut named: Vec<Function>, counted: Tally) -> Self {
        named.sort_by(|one, other| one.name.cmp(&other.name));
        named.dedup_by(|later, kept| {
            let same = later.name == kept.name;
            if same {
                kept.hits = kept.hits.saturating_add(later.hits);
                kept.line = match (kept.line, later.line) {
                    (Some(one), Some(other)) => Some(one.min(other)),
                    (one, other) => one.or(other),
                };
            }
            same
        });
        named.shrink_to_fit();
        Self { named, counted }
    }

    /// What this takes of the heap, in bytes.
    pub(crate) fn heap_bytes(&self) -> u64 {
        self.named.iter().map(Function::bytes).sum()
    }
}

impl Function {
    pub(crate) const fn bytes(&self) -> u64 {
        (size_of::<Self>() + self.name.len()) as u64
    }
}

/// How functions are written down. Whatever order they are read back in, they are put in order.
#[derive(Clone, Serialize, Deserialize)]
struct Listed {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    named: Vec<Function>,
    #[serde(default)]
    counted: Tally,
}

impl From<Listed> for Functions {
    fn from(listed: Listed) -> Self {
        Self::of(listed.named, listed.counted)
    }
}

impl From<Functions> for Listed {
    fn from(functions: Functions) -> Self {
        let Functions { named, counted } = functions;
        Self { named, counted }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn function(name: &str, line: Option<u32>, hits: u64) -> Function {
        Function {
            name: name.into(),
            line,
            hits,
        }
    }

    #[test]
    fn a_declaration_and_a_count_are_one_function() {
        let listed = vec![
            function("b", Some(7), 0),
            function("a", Some(1), 0),
            function("b", None, 3),
        ];
        let functions = Functions::of(listed, Tally::default());
        let named: Vec<_> = functions.named().cloned().collect();
        assert_eq!(
            named,
            [function("a", Some(1), 0), function("b", Some(7), 3)]
        );
        assert_eq!(functions.tally(), Tally::new(1, 2));
    }

    #[test]
    fn names_and_bare_counts_are_not_added_to_one_another() {
        let mut functions = Functions::of(vec![function("a", None, 1)], Tally::default());
        functions.merge(Functions::of(vec![], Tally::new(1, 2)));
        functions.merge(Functions::of(vec![], Tally::new(2, 2)));
        assert_eq!(functions.tally(), Tally::new(2, 2));
    }
}
