//! Which of the listed tests a run takes.
//!
//! The rules are those people know from `cargo test`: a name filter is a substring, any one of several is enough,
//! `exact` asks for the whole name, `skip` wins over everything, and tests marked `#[ignore]` wait until they
//! are asked for.

use serde::{Deserialize, Serialize};

/// Chooses tests by name and by their `#[ignore]` mark; the default takes every test that is not ignored.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TestFilter {
    /// A test is taken when its name contains one of these; an empty list takes every name.
    pub names: Vec<String>,
    /// A test whose name contains one of these is left out, whatever else matches.
    pub skip: Vec<String>,
    /// How `names` and `skip` are compared with a test's name.
    pub matching: NameMatch,
    /// What happens to tests marked `#[ignore]`.
    pub ignored: IgnoredTests,
}

/// How a filter is compared with a test's name.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum NameMatch {
    /// The name contains the filter.
    #[default]
    Substring,
    /// The name is the filter.
    Exact,
}

/// What happens to tests marked `#[ignore]`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum IgnoredTests {
    /// They are left out and counted.
    #[default]
    Skip,
    /// They run like any other test.
    Include,
    /// Nothing else runs.
    Only,
}

impl TestFilter {
    /// Tells whether a test with this name passes the name filters, whatever its `#[ignore]` mark.
    #[must_use]
    pub fn takes_name(&self, name: &str) -> bool {
        let matches = |filter: &String| match self.matching {
            NameMatch::Substring => name.contains(filter.as_str()),
            NameMatch::Exact => name == filter,
        };
        (self.names.is_empty() || self.names.iter().any(matches)) && !self.skip.iter().any(matches)
    }

    /// Tells whether a test whose name is taken runs, given its `#[ignore]` mark.
    #[must_use]
    pub fn runs_mark(&self, marked_ignored: bool) -> bool {
        match self.ignored {
            IgnoredTests::Skip => !marked_ignored,
            IgnoredTests::Include => true,
            IgnoredTests::Only => marked_ignored,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(names: &[&str], skip: &[&str], matching: NameMatch) -> TestFilter {
        TestFilter {
            names: names.iter().map(ToString::to_string).collect(),
            skip: skip.iter().map(ToString::to_string).collect(),
            matching,
            ..TestFilter::default()
        }
    }

    #[test]
    fn names_are_substrings_unless_exact_is_asked_for() {
        let table = [
            (filter(&[], &[], NameMatch::Substring), "a::b", true),
            (filter(&["b"], &[], NameMatch::Substring), "a::b", true),
            (filter(&["c", "a"], &[], NameMatch::Substring), "a::b", true),
            (filter(&["c"], &[], NameMatch::Substring), "a::b", false),
            (filter(&["b"], &[], NameMatch::Exact), "a::b", false),
            (filter(&["a::b"], &[], NameMatch::Exact), "a::b", true),
            (filter(&["a"], &["b"], NameMatch::Substring), "a::b", false),
            (filter(&[], &["b"], NameMatch::Exact), "a::b", true),
        ];
        for (filter, name, taken) in table {
            assert_eq!(filter.takes_name(name), taken, "{filter:?} on {name}");
        }
    }

    #[test]
    fn ignored_tests_run_only_when_asked_for() {
        let table = [
            (IgnoredTests::Skip, [true, false]),
            (IgnoredTests::Include, [true, true]),
            (IgnoredTests::Only, [false, true]),
        ];
        for (ignored, expected) in table {
            let filter = TestFilter {
                ignored,
                ..TestFilter::default()
            };
            assert_eq!(
                [filter.runs_mark(false), filter.runs_mark(true)],
                expected,
                "{ignored:?}"
            );
        }
    }
}
