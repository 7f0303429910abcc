//! From chunks of bytes to events.

use super::line::{Line, Outcome, Summary, without_escapes};

/// The longest line that is looked at. Longer ones are skipped as a whole and reported as [`Event::Foreign`].
pub const MAX_LINE_BYTES: usize = 64 * 1024;

/// Something a harness said, or something else in its stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event<'a> {
    /// `running N tests`.
    Started {
        /// How many tests the harness is about to run.
        count: u64,
    },
    /// A test's outcome.
    Verdict {
        /// The name as printed, without the blanks that align it. It may carry a suffix such as ` - should panic`
        /// or a `[kind]` in front; [`BatchJudge`](super::BatchJudge) knows how to look it up.
        name: &'a str,
        /// The outcome.
        outcome: Outcome<'a>,
    },
    /// `test result: …`.
    Summary(Summary),
    /// Something that no harness prints: a test's own output, or a harness line garbled by it.
    Foreign,
}

/// Reads the output of a libtest process, or of one that prints like it, as it comes.
///
/// Holds at most one line of [`MAX_LINE_BYTES`]. Handles both shapes of the pretty format (several threads: name and
/// outcome in one line; one thread: the name first, the outcome after whatever the test printed), CR LF, colours,
/// bytes that are not UTF-8, and prints without a line end in front of a harness line.
///
/// # Examples
///
/// ```
/// use aqe_runner::libtest::{Event, OutputParser};
///
/// let mut parser = OutputParser::new();
/// let mut names = Vec::new();
/// for chunk in [&b"running 1 test\ntest par"[..], &b"ser::empty ... ok\n"[..]] {
///     parser.feed(chunk, &mut |event| {
///         if let Event::Verdict { name, .. } = event {
///             names.push(name.to_owned());
///         }
///     });
/// }
/// assert_eq!(names, ["parser::empty"]);
/// ```
#[derive(Debug, Default)]
pub struct OutputParser {
    /// The line that has no end yet.
    partial: Vec<u8>,
    /// Set once `partial` passed its bound: bytes are dropped until the line ends.
    skipping: bool,
    /// With one thread: the test whose name was printed and whose outcome was not.
    begun: Option<String>,
    /// Whether the harness replays captured output, in which nothing is believed but the summary.
    replaying: bool,
}

impl OutputParser {
    /// A parser at the start of a stream.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next bytes and calls `on_event` for each event that they complete.
    pub fn feed(&mut self, mut chunk: &[u8], on_event: &mut dyn FnMut(Event<'_>)) {
        while let Some(end) = chunk.iter().position(|&byte| byte == b'\n') {
            let (line, rest) = (&chunk[..end], &chunk[end + 1..]);
            chunk = rest;
            if self.partial.is_empty() && !self.skipping {
                self.line(line, on_event);
                continue;
            }
            self.extend_partial(line);
            // Taken out so that the line can be borrowed while `self` changes, and put back to keep its allocation.
            let mut partial = std::mem::take(&mut self.partial);
            if std::mem::take(&mut self.skipping) {
                on_event(Event::Foreign);
            } else {
                self.line(&partial, on_event);
            }
            partial.clear();
            self.partial = partial;
        }
        self.extend_partial(chunk);
    }

    /// The test that a one-threaded harness has begun and not yet finished, if the stream shows one.
    ///
    /// After a timeout this is the test that hung.
    #[must_use]
    pub fn running(&self) -> Option<&str> {
        if let Some(name) = &self.begun {
            return Some(name);
        }
        match Line::read(std::str::from_utf8(&self.partial).ok()?) {
            Line::Begun { name } => Some(name),
            _ => None,
        }
    }

    fn extend_partial(&mut self, bytes: &[u8]) {
        if self.skipping {
            return;
        }
        if self.partial.len() + bytes.len() > MAX_LINE_BYTES {
            self.skipping = true;
            self.partial.clear();
        } else {
            self.partial.extend_from_slice(bytes);
        }
    }

    /// Reads one whole line.
    fn line(&mut self, line: &[u8], on_event: &mut dyn FnMut(Event<'_>)) {
        let Some(line) = std::str::from_utf8(line)
            .ok()
            .filter(|line| line.len() <= MAX_LINE_BYTES)
        else {
            return on_event(Event::Foreign);
        };
        let line = without_escapes(line);
        let line = Line::read(&line);
        if self.replaying {
            // Captured output may contain anything, also the summary of a harness that a test ran, so more than one
            // summary can come out of here; the last one is the process' own.
            if let Line::Summary(summary) = line {
                on_event(Event::Summary(summary));
            }
            return;
        }
        match line {
            Line::Blank | Line::Slow => {}
            Line::Running(count) => on_event(Event::Started { count }),
            Line::Summary(summary) => on_event(Event::Summary(summary)),
            Line::Replay => self.replaying = true,
            Line::Verdict { name, outcome } => {
                // A name that was begun and never ended means that a line in between was lost.
                if self.begun.take().is_some() {
                    on_event(Event::Foreign);
                }
                on_event(Event::Verdict { name, outcome });
            }
            Line::Embedded { name, outcome } => {
                on_event(Event::Foreign);
                on_event(Event::Verdict { name, outcome });
            }
            Line::Begun { name } => {
                on_event(Event::Foreign);
                self.begun = Some(name.to_owned());
            }
            Line::Result(outcome) => {
                on_event(Event::Foreign);
                if let Some(name) = self.begun.take() {
                    on_event(Event::Verdict {
                        name: &name,
                        outcome,
                    });
                }
            }
            Line::Foreign => on_event(Event::Foreign),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Events as text, with runs of foreign lines folded, so that a test reads like the stream.
    fn events_of_chunks<'a>(chunks: impl IntoIterator<Item = &'a [u8]>) -> Vec<String> {
        let mut parser = OutputParser::new();
        let mut events: Vec<String> = Vec::new();
        for chunk in chunks {
            parser.feed(chunk, &mut |event| {
                let text = match event {
                    Event::Started { count } => format!("started {count}"),
                    Event::Verdict { name, outcome } => format!("{name} = {outcome:?}"),
                    Event::Summary(summary) => {
                        format!("{} passed, {} failed", summary.passed, summary.failed)
                    }
                    Event::Foreign => "foreign".to_owned(),
                };
                events.push(text);
            });
            assert!(parser.partial.len() <= MAX_LINE_BYTES);
        }
        events
    }

    fn events(stream: &[u8]) -> Vec<String> {
        events_of_chunks([stream])
    }

    const THREADED: &str = "\nrunning 3 tests\ntest a ... ok\ntest b - should panic ... ok\ntest c ... FAILED\n\nfailures:\n\n---- c stdout ----\ntest a ... FAILED\nrunning 9 tests\n\nfailures:\n    c\n\ntest result: FAILED. 2 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.15s\n\n";

    #[test]
    fn several_threads() {
        assert_eq!(
            events(THREADED.as_bytes()),
            [
                "started 3",
                "a = Ok",
                "b - should panic = Ok",
                "c = Failed",
                "2 passed, 1 failed"
            ]
        );
    }

    #[test]
    fn one_thread_with_output_between_name_and_outcome() {
        let stream = b"running 2 tests\ntest a ... hello\nworld\nok\ntest b ... ok\n";
        assert_eq!(
            events(stream),
            [
                "started 2",
                "foreign",
                "foreign",
                "foreign",
                "a = Ok",
                "b = Ok"
            ]
        );
    }

    #[test]
    fn a_print_without_a_line_end_hides_neither_the_verdict_nor_itself() {
        assert_eq!(
            events(b"running 1 test\nxyztest raw ... ok\n"),
            ["started 1", "foreign", "raw = Ok"]
        );
    }

    #[test]
    fn carriage_returns_and_colours() {
        let stream = b"running 1 test\r\ntest a ... \x1b[32mok\x1b(B\x1b[m\r\n\r\ntest result: \x1b[32mok\x1b[0m. 1 passed; 0 failed\r\n";
        assert_eq!(
            events(stream),
            ["started 1", "a = Ok", "1 passed, 0 failed"]
        );
    }

    #[test]
    fn bytes_that_are_not_utf8_spoil_their_own_line_only() {
        assert_eq!(
            events(b"test a\xff ... ok\ntest b ... ok\n"),
            ["foreign", "b = Ok"]
        );
    }

    #[test]
    fn a_line_without_end_is_not_an_event() {
        assert_eq!(events(b"test a ... ok\ntest b ... ok"), ["a = Ok"]);
    }

    #[test]
    fn an_endless_line_is_skipped_in_bounded_memory() {
        let long = vec![b'x'; MAX_LINE_BYTES];
        // What comes after the bound is still the same line, whatever it looks like.
        let stream = [
            &b"test a ... ok\n"[..],
            &long,
            &long,
            &long,
            b"test x ... ok\ntest b ... ok\n",
        ];
        assert_eq!(events_of_chunks(stream), ["a = Ok", "foreign", "b = Ok"]);
    }

    #[test]
    fn the_running_test_is_known_before_its_outcome() {
        let mut parser = OutputParser::new();
        parser.feed(
            b"running 2 tests\ntest a ... ok\ntest slow::one ... ",
            &mut |_| {},
        );
        assert_eq!(parser.running(), Some("slow::one"));
        parser.feed(b"printed\nmore", &mut |_| {});
        assert_eq!(parser.running(), Some("slow::one"));
        parser.feed(b"\nok\n", &mut |_| {});
        assert_eq!(parser.running(), None);
    }

    proptest! {
        /// Where the chunks are cut makes no difference.
        #[test]
        fn chunks_may_be_cut_anywhere(cuts in proptest::collection::vec(0usize..400, 0..20), noise in proptest::collection::vec(any::<u8>(), 0..40)) {
            let mut stream = noise;
            stream.push(b'\n');
            stream.extend_from_slice(THREADED.as_bytes());
            let whole = events(&stream);
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(stream.len())).collect();
            cuts.extend([0, stream.len()]);
            cuts.sort_unstable();
            let parts = cuts.windows(2).map(|pair| &stream[pair[0]..pair[1]]);
            prop_assert_eq!(events_of_chunks(parts), whole);
        }

        #[test]
        fn no_bytes_make_it_panic(stream in proptest::collection::vec(prop_oneof![any::<u8>(), Just(b'\n'), Just(0x1b), Just(b'.'), Just(b' ')], 0..500)) {
            let _ = events(&stream);
            let _ = events(&[b"test ", &stream[..], b" ... ok\n"].concat());
        }
    }
}
