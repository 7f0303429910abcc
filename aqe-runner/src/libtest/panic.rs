//! The line of a panic report that a person wants first.

use std::fmt;

/// Who panicked, where, and what it said.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PanicSummary {
    /// The thread's name, which for the test's own thread is the name of the test.
    pub thread: String,
    /// `file:line:column`.
    pub location: String,
    /// The message, its lines joined by blanks, at most [`PanicSummary::MAX_MESSAGE_CHARS`] long.
    pub message: String,
}

impl PanicSummary {
    /// Where a long message is cut: about three lines of a terminal.
    pub const MAX_MESSAGE_CHARS: usize = 240;
}

impl fmt::Display for PanicSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.message.is_empty() {
            write!(f, "panicked at {}", self.location)
        } else {
            write!(f, "{} ({})", self.message, self.location)
        }
    }
}

/// Finds the panic that made a test fail in what it printed.
///
/// Of several panics, the last one of the test's own thread is chosen, since one that it caught came before; without
/// any, the first of whichever thread. `test` is the test's name, or `None` to take the first panic of all.
///
/// Understands the formats of the standard library from before Rust 1.73 (`panicked at 'message', file:1:2`), since
/// then (`panicked at file:1:2:` and the message below) and with a thread number (`thread 'name' (123) panicked`).
///
/// # Examples
///
/// ```
/// use aqe_runner::libtest::panic_summary;
///
/// let report = b"\nthread 'parses' (77) panicked at src/lib.rs:4:9:\nassertion failed: ok\nnote: run with\n";
/// assert_eq!(panic_summary(report, Some("parses")).unwrap().to_string(), "assertion failed: ok (src/lib.rs:4:9)");
/// ```
#[must_use]
pub fn panic_summary(output: &[u8], test: Option<&str>) -> Option<PanicSummary> {
    // A panic that ends a test is near the end of what the test printed.
    let text = String::from_utf8_lossy(&output[output.len().saturating_sub(MAX_SEARCHED)..]);
    let mut first = None;
    let mut own = None;
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let Some((thread, rest)) = header(line) else {
            continue;
        };
        let summary = summary(thread, rest, lines.clone());
        if test == Some(thread) {
            own = Some(summary);
        } else if first.is_none() {
            first = Some(summary);
        }
    }
    own.or(first)
}

/// Splits `thread 'NAME' (ID) panicked at REST`.
fn header(line: &str) -> Option<(&str, &str)> {
    let (_, line) = line.split_once("thread '")?;
    let (before, rest) = line.split_once(" panicked at ")?;
    let thread = before
        .rsplit_once(" (")
        .and_then(|(thread, id)| id.strip_suffix(')').map(|id| (thread, id)))
        .filter(|(_, id)| id.bytes().all(|byte| byte.is_ascii_digit()))
        .map_or(before, |(thread, _)| thread);
    Some((thread.strip_suffix('\'')?, rest))
}

fn summary<'a>(thread: &str, rest: &str, below: impl Iterator<Item = &'a str>) -> PanicSummary {
    let (location, message) = match rest.strip_suffix(':') {
        Some(location) => (location, joined(below)),
        // The old format: the message in quotes, then the location. A message of several lines ends further down,
        // where its location is; the first line is what there is to show then.
        None => match rest.rsplit_once("', ") {
            Some((message, location)) => (
                location,
                message.strip_prefix('\'').unwrap_or(message).to_owned(),
            ),
            None => ("", rest.strip_prefix('\'').unwrap_or(rest).to_owned()),
        },
    };
    PanicSummary {
        thread: thread.to_owned(),
        location: location.to_owned(),
        message: shortened(&message),
    }
}

/// The message's lines up to the backtrace, the note or a blank line.
fn joined<'a>(below: impl Iterator<Item = &'a str>) -> String {
    let mut message = String::new();
    for line in below {
        let ends = line.trim().is_empty()
            || line.starts_with("note: ")
            || line.starts_with("stack backtrace:");
        if ends || header(line).is_some() || message.len() > 4 * PanicSummary::MAX_MESSAGE_CHARS {
            break;
        }
        if !message.is_empty() {
            message.push(' ');
        }
        message.push_str(line.trim());
    }
    message
}

/// Cuts a message and drops control characters, which would move the cursor of the terminal it is shown on.
fn shortened(message: &str) -> String {
    let mut visible = message.chars().filter(|char| !char.is_control());
    let mut short: String = visible
        .by_ref()
        .take(PanicSummary::MAX_MESSAGE_CHARS)
        .collect();
    if visible.next().is_some() {
        short.push('…');
    }
    short
}

/// How many of the last bytes are searched for panics; a bound for the copy that lossy decoding makes.
const MAX_SEARCHED: usize = 256 * 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shown(report: &str, test: Option<&str>) -> Option<String> {
        panic_summary(report.as_bytes(), test).map(|summary| summary.to_string())
    }

    #[test]
    fn every_format_of_the_standard_library() {
        let table = [
            (
                "hi err\n\nthread 'bad' (6828) panicked at a.rs:2:61:\nassertion `left == right` failed: with msg\n  left: 1\n right: 2\nstack backtrace:\n   0: x\n",
                "assertion `left == right` failed: with msg left: 1 right: 2 (a.rs:2:61)",
            ),
            (
                "thread 'bad' panicked at src/lib.rs:1:2:\nmsg\nnote: run with `RUST_BACKTRACE=1`\n",
                "msg (src/lib.rs:1:2)",
            ),
            (
                "thread 'bad' panicked at 'it broke', src/lib.rs:1:2\nnote: run\n",
                "it broke (src/lib.rs:1:2)",
            ),
            (
                "thread 'bad' panicked at C:\\a b\\lib.rs:1:2:\r\nmsg\r\n",
                "msg (C:\\a b\\lib.rs:1:2)",
            ),
            (
                "thread 'bad' panicked at a.rs:1:2:\n\n",
                "panicked at a.rs:1:2",
            ),
            (
                "no line end: thread 'bad' panicked at a.rs:1:2:\nx",
                "x (a.rs:1:2)",
            ),
        ];
        for (report, expected) in table {
            assert_eq!(
                shown(report, Some("bad")).as_deref(),
                Some(expected),
                "{report:?}"
            );
        }
        assert_eq!(shown("nothing here, thread 'x' is fine\n", None), None);
    }

    #[test]
    fn the_tests_own_last_panic_is_preferred() {
        let report = "thread 'worker' panicked at w.rs:1:1:\nhelper\n\nthread 't' panicked at t.rs:1:1:\ncaught\n\nthread 't' panicked at t.rs:2:2:\nfinal\n";
        assert_eq!(shown(report, Some("t")).unwrap(), "final (t.rs:2:2)");
        assert_eq!(shown(report, None).unwrap(), "helper (w.rs:1:1)");
        assert_eq!(shown(report, Some("other")).unwrap(), "helper (w.rs:1:1)");
    }

    #[test]
    fn a_message_is_one_short_line_without_control_characters() {
        let report = format!(
            "thread 't' panicked at t.rs:1:1:\n\u{1b}[31m{}\n",
            "é".repeat(1000)
        );
        let summary = panic_summary(report.as_bytes(), None).unwrap();
        assert_eq!(
            summary.message.chars().count(),
            PanicSummary::MAX_MESSAGE_CHARS + 1
        );
        assert!(summary.message.ends_with('…') && !summary.message.contains('\u{1b}'));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = panic_summary(&bytes, None);
            let _ = panic_summary(&[b"thread '", &bytes[..], b" panicked at ", &bytes[..], b"\n"].concat(), Some("t"));
        }
    }
}
