//! One line of libtest's pretty format, read without its neighbours.

use std::borrow::Cow;

/// What a harness printed for one test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome<'a> {
    /// `ok`.
    Ok,
    /// `FAILED`.
    Failed,
    /// `ignored`, with the reason after the comma if there is one.
    Ignored(Option<&'a str>),
    /// `bench: …`: a benchmark that was measured.
    Measured,
}

/// The counts of a `test result:` line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Whether the line said `ok` rather than `FAILED`.
    pub ok: bool,
    /// Tests that passed.
    pub passed: u64,
    /// Tests that failed.
    pub failed: u64,
    /// Tests that were not run because their author marked them so.
    pub ignored: u64,
    /// Benchmarks that were measured.
    pub measured: u64,
    /// Tests that the filter left out.
    pub filtered_out: u64,
}

/// A line by its shape alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Line<'a> {
    Blank,
    /// `running 3 tests`
    Running(u64),
    /// `test NAME ... OUTCOME`
    Verdict {
        name: &'a str,
        outcome: Outcome<'a>,
    },
    /// A print without a line end, then `test NAME ... OUTCOME`.
    Embedded {
        name: &'a str,
        outcome: Outcome<'a>,
    },
    /// `test NAME ... ` and then something else: one thread, and the test printed before its result.
    Begun {
        name: &'a str,
    },
    /// An outcome by itself: the end of a [`Line::Begun`].
    Result(Outcome<'a>),
    /// `test NAME has been running for over 60 seconds`
    Slow,
    /// `failures:` or `successes:`: from here to the summary, the harness replays what tests printed.
    Replay,
    Summary(Summary),
    Foreign,
}

impl<'a> Line<'a> {
    /// Reads a line without its line end and without colours.
    pub(super) fn read(line: &'a str) -> Self {
        let line = line.trim_end_matches('\r');
        if line.is_empty() {
            return Self::Blank;
        }
        if let Some(rest) = line.strip_prefix("test ") {
            return test_line(rest);
        }
        if let Some(count) = running(line) {
            return Self::Running(count);
        }
        if line == "failures:" || line == "successes:" {
            return Self::Replay;
        }
        if let Some(outcome) = outcome(line) {
            return Self::Result(outcome);
        }
        // The right-most one: what stands before it is a test's own output and can be anything.
        if let Some((_, rest)) = line.rsplit_once("test ")
            && let Some((name, outcome)) = verdict(rest)
        {
            return Self::Embedded { name, outcome };
        }
        Self::Foreign
    }
}

/// The part of a line after `test `.
fn test_line(rest: &str) -> Line<'_> {
    if let Some(summary) = rest.strip_prefix("result: ").and_then(summary) {
        return Line::Summary(summary);
    }
    if let Some((name, outcome)) = verdict(rest) {
        return Line::Verdict { name, outcome };
    }
    if let Some((_, seconds)) = rest.rsplit_once(" has been running for over ")
        && seconds
            .strip_suffix(" seconds")
            .is_some_and(|count| count.parse::<u64>().is_ok())
    {
        return Line::Slow;
    }
    match rest.split_once(SEPARATOR) {
        Some((name, _)) => Line::Begun {
            name: name.trim_matches(' '),
        },
        None => Line::Foreign,
    }
}

/// Splits `NAME ... OUTCOME`.
///
/// A name or a reason may itself contain the separator. When more than one split makes sense the line is refused,
/// since only the harness knows which was meant.
fn verdict(rest: &str) -> Option<(&str, Outcome<'_>)> {
    let mut found = None;
    for (at, _) in rest.match_indices(SEPARATOR) {
        if let Some(outcome) = outcome(&rest[at + SEPARATOR.len()..]) {
            if found.is_some() {
                return None;
            }
            found = Some((rest[..at].trim_matches(' '), outcome));
        }
    }
    found.filter(|(name, _)| !name.is_empty())
}

/// Reads what stands after the separator.
fn outcome(text: &str) -> Option<Outcome<'_>> {
    let text = without_report_time(text);
    match text {
        "ok" => Some(Outcome::Ok),
        "FAILED" | "FAILED (time limit exceeded)" => Some(Outcome::Failed),
        "ignored" => Some(Outcome::Ignored(None)),
        _ => match text.strip_prefix("ignored, ") {
            Some(reason) => Some(Outcome::Ignored(Some(reason))),
            None => text.starts_with("bench: ").then_some(Outcome::Measured),
        },
    }
}

/// Drops the ` <0.003s>` that `--report-time` adds.
fn without_report_time(text: &str) -> &str {
    let Some((before, time)) = text.rsplit_once(" <") else {
        return text;
    };
    let digits = time.strip_suffix("s>").unwrap_or_default();
    let is_time = !digits.is_empty()
        && digits
            .bytes()
            .all(|byte| byte.is_ascii_digit() || byte == b'.');
    if is_time { before } else { text }
}

/// Reads `running 3 tests`.
pub(super) fn running(line: &str) -> Option<u64> {
    let rest = line.strip_prefix("running ")?;
    rest.strip_suffix(" tests")
        .or_else(|| rest.strip_suffix(" test"))?
        .parse()
        .ok()
}

/// Reads `ok. 3 passed; 0 failed; …`, the part after `test result: `.
pub(super) fn summary(text: &str) -> Option<Summary> {
    let (word, counts) = text.split_once(". ")?;
    let mut summary = Summary {
        ok: match word {
            "ok" => true,
            "FAILED" => false,
            _ => return None,
        },
        ..Summary::default()
    };
    let mut known = 0;
    for count in counts.split("; ") {
        let Some((number, label)) = count.split_once(' ') else {
            continue;
        };
        let place = match label.trim_end() {
            "passed" => &mut summary.passed,
            "failed" => &mut summary.failed,
            "ignored" => &mut summary.ignored,
            "measured" => &mut summary.measured,
            "filtered out" => &mut summary.filtered_out,
            // `finished in 0.01s`, and whatever a later harness adds.
            _ => continue,
        };
        *place = number.parse().ok()?;
        known += 1;
    }
    // Passed and failed at the least: a summary without them says nothing.
    (known >= 2).then_some(summary)
}

/// Removes terminal escape sequences: `ESC [ … final`, `ESC ( x` (which libtest's colour reset contains) and other
/// two-byte ones.
pub(super) fn without_escapes(line: &str) -> Cow<'_, str> {
    const ESCAPE: char = '\u{1b}';
    if !line.contains(ESCAPE) {
        return Cow::Borrowed(line);
    }
    let mut plain = String::with_capacity(line.len());
    let mut rest = line.chars();
    while let Some(char) = rest.next() {
        if char != ESCAPE {
            plain.push(char);
            continue;
        }
        match rest.next() {
            Some('[') => {
                rest.find(|char| ('\u{40}'..='\u{7e}').contains(char));
            }
            Some('(' | ')') => {
                rest.next();
            }
            _ => {}
        }
    }
    Cow::Owned(plain)
}

/// What libtest and its imitations print between a name and its outcome.
const SEPARATOR: &str = " ... ";

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict_line<'a>(name: &'a str, outcome: Outcome<'a>) -> Line<'a> {
        Line::Verdict { name, outcome }
    }

    #[test]
    fn lines_of_libtest_and_its_imitations() {
        let table = [
            ("", Line::Blank),
            ("\r", Line::Blank),
            ("running 0 tests", Line::Running(0)),
            ("running 1 test", Line::Running(1)),
            ("running 12 tests\r", Line::Running(12)),
            ("running late tests", Line::Foreign),
            ("test a::b ... ok", verdict_line("a::b", Outcome::Ok)),
            ("test a::b ... ok\r", verdict_line("a::b", Outcome::Ok)),
            (
                "test a::b ... ok <0.001s>",
                verdict_line("a::b", Outcome::Ok),
            ),
            ("test a ... FAILED", verdict_line("a", Outcome::Failed)),
            (
                "test a ... FAILED (time limit exceeded) <3.1s>",
                verdict_line("a", Outcome::Failed),
            ),
            (
                "test a ... ignored",
                verdict_line("a", Outcome::Ignored(None)),
            ),
            (
                "test a ... ignored, too slow",
                verdict_line("a", Outcome::Ignored(Some("too slow"))),
            ),
            (
                "test a ... bench:       1,234 ns/iter (+/- 56)",
                verdict_line("a", Outcome::Measured),
            ),
            (
                "test a - should panic ... ok",
                verdict_line("a - should panic", Outcome::Ok),
            ),
            (
                "test [ui]   deep/größe.rs   ... ok",
                verdict_line("[ui]   deep/größe.rs", Outcome::Ok),
            ),
            (
                "test with spaces: and colons ... ok",
                verdict_line("with spaces: and colons", Outcome::Ok),
            ),
            (
                "test dots ... in ... names ... ok",
                verdict_line("dots ... in ... names", Outcome::Ok),
            ),
            // The reason could be `x ... ok` or the name could be `a ... ignored, x`: refused.
            ("test a ... ignored, x ... ok", Line::Begun { name: "a" }),
            ("test a ... hello", Line::Begun { name: "a" }),
            ("test a ... ", Line::Begun { name: "a" }),
            ("test a ... okay", Line::Begun { name: "a" }),
            ("test  ... ok", Line::Begun { name: "" }),
            ("test a has been running for over 60 seconds", Line::Slow),
            ("test a has been running", Line::Foreign),
            ("ok", Line::Result(Outcome::Ok)),
            ("FAILED", Line::Result(Outcome::Failed)),
            (
                "some outputtest a::b ... ok",
                Line::Embedded {
                    name: "a::b",
                    outcome: Outcome::Ok,
                },
            ),
            ("some output", Line::Foreign),
            ("failures:", Line::Replay),
            ("successes:", Line::Replay),
        ];
        for (line, expected) in table {
            assert_eq!(Line::read(line), expected, "{line:?}");
        }
    }

    #[test]
    fn summaries_of_old_and_new_harnesses() {
        let full = Summary {
            ok: true,
            passed: 3,
            failed: 0,
            ignored: 1,
            measured: 2,
            filtered_out: 9,
        };
        let table = [
            (
                "test result: ok. 3 passed; 0 failed; 1 ignored; 2 measured; 9 filtered out; finished in 0.00s",
                Some(full),
            ),
            (
                "test result: ok. 3 passed; 0 failed; 1 ignored; 2 measured; 9 filtered out",
                Some(full),
            ),
            (
                "test result: FAILED. 1 passed; 2 failed",
                Some(Summary {
                    passed: 1,
                    failed: 2,
                    ..Summary::default()
                }),
            ),
            ("test result: great. 1 passed; 2 failed", None),
            ("test result: ok. x passed; 2 failed", None),
            (
                "test result: ok. 99999999999999999999999 passed; 2 failed",
                None,
            ),
            ("test result: ok. ", None),
        ];
        for (line, expected) in table {
            match (Line::read(line), expected) {
                (Line::Summary(found), Some(expected)) => assert_eq!(found, expected, "{line:?}"),
                (Line::Foreign, None) => {}
                (found, _) => panic!("{line:?} was read as {found:?}"),
            }
        }
    }

    #[test]
    fn colours_are_removed() {
        assert_eq!(
            without_escapes("test good ... \u{1b}[32mok\u{1b}(B\u{1b}[m"),
            "test good ... ok"
        );
        assert_eq!(without_escapes("plain"), "plain");
        assert_eq!(without_escapes("cut \u{1b}"), "cut ");
        assert_eq!(without_escapes("cut \u{1b}[1;3"), "cut ");
    }
}
