//! Whether a process that ran one test got as far as its own result.

use super::line::{self, Line};
use crate::model::Exit;

/// How far a harness process got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Completion {
    /// The harness printed its result, or the exit already tells that something went wrong.
    Completed,
    /// The process ended with code 0, but its harness had announced a test and never printed a result: the test, or
    /// something it called, ended the process with `exit(0)`. Such a test has not passed.
    ExitedEarly,
    /// The output is not a libtest harness' one; the exit code is all there is.
    Unknown,
}

/// Judges a process by its exit and the two ends of its standard output.
///
/// `head` needs to reach past the `running 1 test` line, which a harness prints before any test runs, and `tail` past
/// the `test result:` line, which it prints last; a few KiB of each do. They may overlap or be the same slice.
///
/// # Examples
///
/// ```
/// use aqe_runner::libtest::{Completion, completion};
/// use aqe_runner::model::Exit;
///
/// let cut_short = b"\nrunning 1 test\n";
/// assert_eq!(completion(Exit::Code(0), cut_short, cut_short), Completion::ExitedEarly);
/// ```
#[must_use]
pub fn completion(exit: Exit, head: &[u8], tail: &[u8]) -> Completion {
    if !exit.is_success() {
        return Completion::Completed;
    }
    if plain_lines(tail).any(|line| matches!(Line::read(&line), Line::Summary(_))) {
        return Completion::Completed;
    }
    if plain_lines(head).any(|line| line::running(line.trim_end()).is_some()) {
        return Completion::ExitedEarly;
    }
    Completion::Unknown
}

fn plain_lines(bytes: &[u8]) -> impl Iterator<Item = String> + '_ {
    bytes
        .split(|&byte| byte == b'\n')
        .filter_map(|line| std::str::from_utf8(line).ok())
        .map(|line| line::without_escapes(line).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const RESULT: &str = "test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 6 filtered out; finished in 0.00s";

    #[test]
    fn by_exit_and_output() {
        let whole = format!("\nrunning 1 test\ntest a ... ok\n\n{RESULT}\n\n");
        let coloured = whole.replace("ok.", "\u{1b}[32mok\u{1b}(B\u{1b}[m.");
        let signal = Exit::Signal {
            signal: 9,
            core_dumped: false,
        };
        let table: &[(Exit, &str, Completion)] = &[
            (Exit::Code(0), &whole, Completion::Completed),
            (Exit::Code(0), &coloured, Completion::Completed),
            (
                Exit::Code(0),
                &whole.replace('\n', "\r\n"),
                Completion::Completed,
            ),
            (Exit::Code(0), "\nrunning 1 test\n", Completion::ExitedEarly),
            (
                Exit::Code(0),
                "\r\nrunning 1 test\r\n",
                Completion::ExitedEarly,
            ),
            (
                Exit::Code(0),
                "noise of a constructor\nrunning 1 test\ntest a ... half",
                Completion::ExitedEarly,
            ),
            (
                Exit::Code(0),
                "running 1 test\nI print: test result: ok\n",
                Completion::ExitedEarly,
            ),
            (Exit::Code(0), "", Completion::Unknown),
            (
                Exit::Code(0),
                "a harness of my own\nall good\n",
                Completion::Unknown,
            ),
            (Exit::Code(0), "I am running 1 test\n", Completion::Unknown),
            (Exit::Code(101), "\nrunning 1 test\n", Completion::Completed),
            (signal, "\nrunning 1 test\n", Completion::Completed),
        ];
        for (exit, output, expected) in table {
            assert_eq!(
                completion(*exit, output.as_bytes(), output.as_bytes()),
                *expected,
                "{exit} {output:?}"
            );
        }
    }

    #[test]
    fn the_ends_suffice_when_the_middle_is_gone() {
        let tail = format!("the last of 100 MB\n\n{RESULT}\n\n");
        assert_eq!(
            completion(Exit::Code(0), b"\nrunning 1 test\nmuch", tail.as_bytes()),
            Completion::Completed
        );
        assert_eq!(
            completion(Exit::Code(0), b"\nrunning 1 test\nmuch", b"cut"),
            Completion::ExitedEarly
        );
    }
}
