//! The text of a listing.

use std::collections::HashMap;

use super::ListFault;
use crate::model::TestName;

/// The largest listing that is read, per call.
pub const MAX_LIST_BYTES: usize = 64 * 1024 * 1024;

/// The longest name of a test. Names become arguments of processes, and Linux takes 128 KiB per argument.
pub const MAX_NAME_BYTES: usize = 32 * 1024;

/// The most tests that one binary may have.
pub const MAX_TESTS: usize = 1_000_000;

/// What a listed name is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CaseKind {
    /// A test.
    Test,
    /// A benchmark, which runs once when it is run as a test.
    Benchmark,
}

/// A test of a binary.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ListedTest {
    /// Its name.
    pub name: TestName,
    /// Whether it is a test or a benchmark.
    pub kind: CaseKind,
    /// Whether its author marked it as ignored.
    pub ignored: bool,
}

impl ListedTest {
    /// A test that is not ignored.
    #[must_use]
    pub fn new(name: impl Into<TestName>, kind: CaseKind) -> Self {
        Self {
            name: name.into(),
            kind,
            ignored: false,
        }
    }
}

/// The tests of a binary.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Listing {
    /// The tests, in the harness' order, each name once.
    pub tests: Vec<ListedTest>,
    /// Whether the harness takes `--test-threads=1`.
    pub accepts_test_threads: bool,
    /// Names that the harness listed more than once. `--exact` cannot tell such tests apart, so each of these names is
    /// run as one test; a run should say so.
    pub duplicates: Vec<TestName>,
}

/// Reads what a harness printed for `--list --format terse`: one `NAME: test` or `NAME: benchmark` per line.
///
/// A name may contain blanks, colons and any other character but a line end. Blank lines and the count that the
/// longer format prints last (`3 tests, 0 benchmarks`) are passed over.
///
/// # Errors
///
/// A [`ListFault`] that names the first line that is no listing, or the bound that was passed.
///
/// # Examples
///
/// ```
/// use aqe_runner::list::parse_list;
///
/// let tests = parse_list(b"parser::empty: test\ncases/a: b.txt: test\n").unwrap();
/// assert_eq!(tests[1].name.as_str(), "cases/a: b.txt");
/// ```
pub fn parse_list(stdout: &[u8]) -> Result<Vec<ListedTest>, ListFault> {
    if stdout.len() > MAX_LIST_BYTES {
        return Err(ListFault::OutputTooLarge {
            bytes: stdout.len(),
        });
    }
    let mut tests = Vec::new();
    for (number, line) in (1..).zip(stdout.split(|&byte| byte == b'\n')) {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let Ok(text) = std::str::from_utf8(line) else {
            return Err(ListFault::NotUtf8 {
                number,
                line: shown(&String::from_utf8_lossy(line)),
            });
        };
        if text.is_empty() || is_count(text) {
            continue;
        }
        let Some((name, kind)) = listed(text) else {
            return Err(ListFault::NotAListing {
                number,
                line: shown(text),
            });
        };
        if name.len() > MAX_NAME_BYTES {
            return Err(ListFault::NameTooLong {
                number,
                bytes: name.len(),
            });
        }
        if tests.len() == MAX_TESTS {
            return Err(ListFault::TooManyTests);
        }
        tests.push(ListedTest::new(name, kind));
    }
    Ok(tests)
}

/// Joins the list of all tests with the list of the ignored ones.
///
/// A name that is only in the second list is taken in as an ignored test, since some harnesses list the two apart.
#[must_use]
pub fn merge(all: Vec<ListedTest>, ignored: Vec<ListedTest>) -> Listing {
    let mut listing = Listing::default();
    let mut positions: HashMap<TestName, usize> = HashMap::with_capacity(all.len());
    for test in all {
        match positions.get(&test.name) {
            Some(_) if listing.duplicates.contains(&test.name) => {}
            Some(_) => listing.duplicates.push(test.name),
            None => {
                positions.insert(test.name.clone(), listing.tests.len());
                listing.tests.push(test);
            }
        }
    }
    for test in ignored {
        let position = *positions.entry(test.name.clone()).or_insert_with(|| {
            listing.tests.push(test);
            listing.tests.len() - 1
        });
        listing.tests[position].ignored = true;
    }
    listing
}

fn listed(line: &str) -> Option<(&str, CaseKind)> {
    let (name, kind) = line.rsplit_once(": ")?;
    let kind = match kind {
        "test" => CaseKind::Test,
        // libtest says the first, libtest-mimic the second.
        "benchmark" | "bench" => CaseKind::Benchmark,
        _ => return None,
    };
    (!name.is_empty()).then_some((name, kind))
}

/// Whether a line is `3 tests, 0 benchmarks`.
fn is_count(line: &str) -> bool {
    let counted = |text: &str, words: [&str; 2]| {
        let mut parts = text.splitn(2, ' ');
        parts
            .next()
            .is_some_and(|count| count.parse::<u64>().is_ok())
            && parts.next().is_some_and(|word| words.contains(&word))
    };
    line.split_once(", ").is_some_and(|(tests, benchmarks)| {
        counted(tests, ["tests", "test"]) && counted(benchmarks, ["benchmarks", "benchmark"])
    })
}

/// A line as it can be shown in a message.
fn shown(line: &str) -> String {
    let mut shown: String = line
        .chars()
        .take(120)
        .flat_map(char::escape_debug)
        .collect();
    if line.chars().nth(120).is_some() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn names(listing: &[ListedTest]) -> Vec<&str> {
        listing.iter().map(|test| test.name.as_str()).collect()
    }

    #[test]
    fn names_may_be_anything_but_a_line_end() {
        let text = "a::b: test\nwith spaces: test\ncolon: in: name: test\ngröße::ß: test\r\n[ui] case.rs: test\ntricky: test: test\nb: benchmark\nm: bench\n\n3 tests, 1 benchmark\n";
        let tests = parse_list(text.as_bytes()).unwrap();
        let expected = [
            "a::b",
            "with spaces",
            "colon: in: name",
            "größe::ß",
            "[ui] case.rs",
            "tricky: test",
            "b",
            "m",
        ];
        assert_eq!(names(&tests), expected);
        assert_eq!(tests[6].kind, CaseKind::Benchmark);
        assert_eq!(tests[7].kind, CaseKind::Benchmark);
    }

    #[test]
    fn what_is_no_listing_is_refused_with_its_line() {
        let error = parse_list(b"a: test\nHello, I am no harness\n").unwrap_err();
        assert_eq!(
            error.to_string(),
            r#"line 2 of its listing is neither a test nor a benchmark: "Hello, I am no harness""#
        );
        let error = parse_list(b"a\xff: test\n").unwrap_err();
        assert!(
            matches!(error, ListFault::NotUtf8 { number: 1, .. }),
            "{error}"
        );
        for bad in ["a: tests", "a:test", ": test", "test", "running 1 test"] {
            assert!(parse_list(bad.as_bytes()).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn absurd_sizes_are_refused() {
        let long = format!("{}: test\n", "x".repeat(MAX_NAME_BYTES + 1));
        assert!(matches!(
            parse_list(long.as_bytes()),
            Err(ListFault::NameTooLong { number: 1, .. })
        ));
        let many = "a: test\n".repeat(MAX_TESTS + 1);
        assert!(matches!(
            parse_list(many.as_bytes()),
            Err(ListFault::TooManyTests)
        ));
        let large = vec![b'\n'; MAX_LIST_BYTES + 1];
        assert!(matches!(
            parse_list(&large),
            Err(ListFault::OutputTooLarge { .. })
        ));
    }

    #[test]
    fn ignored_tests_are_marked_and_the_order_is_kept() {
        let all = parse_list(b"c: test\na: test\nb: test\n").unwrap();
        let ignored = parse_list(b"a: test\nonly_here: test\n").unwrap();
        let listing = merge(all, ignored);
        assert_eq!(names(&listing.tests), ["c", "a", "b", "only_here"]);
        let marks: Vec<bool> = listing.tests.iter().map(|test| test.ignored).collect();
        assert_eq!(marks, [false, true, false, true]);
        assert!(listing.duplicates.is_empty());
    }

    #[test]
    fn a_name_listed_thrice_is_one_test_and_one_notice() {
        let all = parse_list(b"a: test\nb: test\na: test\na: test\n").unwrap();
        let listing = merge(all, Vec::new());
        assert_eq!(names(&listing.tests), ["a", "b"]);
        assert_eq!(listing.duplicates, [TestName::from("a")]);
    }

    proptest! {
        #[test]
        fn a_listing_is_read_as_printed(tests in proptest::collection::vec(("[^\r\n]{1,20}", any::<bool>()), 0..20)) {
            let text: String = tests
                .iter()
                .map(|(name, bench)| format!("{name}: {}\n", if *bench { "benchmark" } else { "test" }))
                .collect();
            let parsed = parse_list(text.as_bytes()).unwrap();
            prop_assert_eq!(parsed.len(), tests.len());
            for (parsed, (name, bench)) in parsed.iter().zip(&tests) {
                prop_assert_eq!(parsed.name.as_str(), name);
                prop_assert_eq!(parsed.kind == CaseKind::Benchmark, *bench);
            }
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse_list(&bytes);
        }
    }
}
