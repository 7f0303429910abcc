//! Which calls a listing takes, and what to make of their outcomes.

use std::io;
use std::time::Duration;

use super::error::first_lines;
use super::{ListError, ListFault, ListedTest, Listing, merge, parse_list};
use crate::cargo::TestBinary;
use crate::model::Exit;

/// One process to start for a listing: the binary, with these arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct ListCall {
    /// Whether it asks for the ignored tests only.
    pub ignored_only: bool,
    /// Whether it probes for `--test-threads`.
    pub probes_threads: bool,
}

impl ListCall {
    /// The arguments, in order.
    pub fn arguments(self) -> impl Iterator<Item = &'static str> {
        let probe = self.probes_threads.then_some("--test-threads=1");
        let ignored = self.ignored_only.then_some("--ignored");
        ["--list", "--format", "terse"]
            .into_iter()
            .chain(probe)
            .chain(ignored)
    }
}

/// What a process of a listing did.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ListOutput {
    /// How it ended.
    pub exit: Exit,
    /// Its whole standard output.
    pub stdout: Vec<u8>,
    /// Its standard error, or the first few KiB of it.
    pub stderr: Vec<u8>,
}

impl ListOutput {
    /// Joins the three.
    #[must_use]
    pub fn new(exit: Exit, stdout: Vec<u8>, stderr: Vec<u8>) -> Self {
        Self {
            exit,
            stdout,
            stderr,
        }
    }
}

/// The calls that every listing begins with; they do not depend on one another.
#[must_use]
pub fn list_calls() -> [ListCall; 2] {
    [false, true].map(|ignored_only| ListCall {
        ignored_only,
        probes_threads: true,
    })
}

/// What to do after a call has been completed.
#[derive(Debug)]
#[non_exhaustive]
pub enum ListStep {
    /// Nothing: another call is still out.
    Wait,
    /// Make this call too.
    Call(ListCall),
    /// The listing is complete; calls that are still out do not matter any more.
    Done(Listing),
}

/// The listing of one binary, while its calls are made by somebody else.
///
/// Make the calls of [`list_calls`], side by side or one after the other, and give each outcome to
/// [`complete`](Self::complete) until it says [`ListStep::Done`].
///
/// # Examples
///
/// ```
/// use aqe_runner::cargo::TestBinary;
/// use aqe_runner::list::{ListCall, ListError, ListJob, ListOutput, ListStep, Listing, list_calls};
///
/// fn list(binary: &TestBinary, run: impl Fn(ListCall) -> ListOutput) -> Result<Listing, ListError> {
///     let mut job = ListJob::new();
///     let mut calls = Vec::from(list_calls());
///     loop {
///         // As long as the job is not done, a call is out.
///         let call = calls.pop().expect("a job that waits has a call out");
///         match job.complete(binary, call, &run(call))? {
///             ListStep::Done(listing) => return Ok(listing),
///             ListStep::Call(call) => calls.push(call),
///             _ => {}
///         }
///     }
/// }
/// ```
#[derive(Debug, Default)]
pub struct ListJob {
    all: Option<Vec<ListedTest>>,
    ignored: Option<Vec<ListedTest>>,
    /// Set when a call without `--test-threads` was needed.
    refuses_threads: bool,
}

impl ListJob {
    /// A listing of which nothing is known.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the outcome of a call.
    ///
    /// # Errors
    ///
    /// When the binary cannot be listed. Calls that are still out do not matter any more.
    pub fn complete(
        &mut self,
        binary: &TestBinary,
        call: ListCall,
        output: &ListOutput,
    ) -> Result<ListStep, ListError> {
        let Some(tests) = answer(binary, call, output)? else {
            self.refuses_threads = true;
            return Ok(ListStep::Call(ListCall {
                probes_threads: false,
                ..call
            }));
        };
        *if call.ignored_only {
            &mut self.ignored
        } else {
            &mut self.all
        } = Some(tests);
        Ok(self.step())
    }

    /// The error for a call that could not be made at all.
    #[must_use]
    pub fn not_started(binary: &TestBinary, call: ListCall, cause: io::Error) -> ListError {
        error(binary, call, ListFault::NotStarted(cause), b"")
    }

    /// The error for a call that did not end in time and was killed.
    #[must_use]
    pub fn timed_out(
        binary: &TestBinary,
        call: ListCall,
        after: Duration,
        stderr: &[u8],
    ) -> ListError {
        error(binary, call, ListFault::TimedOut(after), stderr)
    }

    fn step(&mut self) -> ListStep {
        match (self.all.take(), self.ignored.take()) {
            (Some(all), Some(ignored)) => {
                ListStep::Done(listing(all, ignored, !self.refuses_threads))
            }
            (all, ignored) => {
                (self.all, self.ignored) = (all, ignored);
                ListStep::Wait
            }
        }
    }
}

/// Lists a binary with one process after the other.
///
/// # Errors
///
/// When `run` fails or the binary cannot be listed.
pub fn list_with(
    binary: &TestBinary,
    mut run: impl FnMut(ListCall) -> io::Result<ListOutput>,
) -> Result<Listing, ListError> {
    let mut probes_threads = true;
    let mut ask = |ignored_only| loop {
        let call = ListCall {
            ignored_only,
            probes_threads,
        };
        let output = run(call).map_err(|cause| ListJob::not_started(binary, call, cause))?;
        match answer(binary, call, &output)? {
            Some(tests) => return Ok(tests),
            // What one call found out is not asked again.
            None => probes_threads = false,
        }
    };
    let (all, ignored) = (ask(false)?, ask(true)?);
    Ok(listing(all, ignored, probes_threads))
}

/// Reads the outcome of a call; `None` when it has to be made again without the probe.
fn answer(
    binary: &TestBinary,
    call: ListCall,
    output: &ListOutput,
) -> Result<Option<Vec<ListedTest>>, ListError> {
    if output.exit.is_success() {
        let tests = parse_list(&output.stdout);
        return tests
            .map(Some)
            .map_err(|fault| error(binary, call, fault, &output.stderr));
    }
    // After a crash too: a harness may answer an argument that it does not know with a panic.
    if call.probes_threads {
        return Ok(None);
    }
    Err(error(
        binary,
        call,
        ListFault::Exit(output.exit),
        &output.stderr,
    ))
}

fn listing(all: Vec<ListedTest>, ignored: Vec<ListedTest>, accepts_test_threads: bool) -> Listing {
    Listing {
        accepts_test_threads,
        ..merge(all, ignored)
    }
}

fn error(binary: &TestBinary, call: ListCall, fault: ListFault, stderr: &[u8]) -> ListError {
    let arguments: Vec<&str> = call.arguments().collect();
    ListError {
        binary: binary.id.clone(),
        fault,
        stderr: first_lines(stderr),
        command: binary.shell_command(&arguments),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cargo::TestBinary;

    fn ok(stdout: &str) -> ListOutput {
        ListOutput::new(Exit::Code(0), stdout.into(), Vec::new())
    }

    fn refusal() -> ListOutput {
        ListOutput::new(Exit::Code(2), Vec::new(), b"unknown argument\n".to_vec())
    }

    fn names(listing: &Listing) -> Vec<(&str, bool)> {
        listing
            .tests
            .iter()
            .map(|test| (test.name.as_str(), test.ignored))
            .collect()
    }

    #[test]
    fn the_calls_in_either_order_give_one_listing() {
        let binary = TestBinary::sample();
        for order in [[0, 1], [1, 0]] {
            let mut job = ListJob::new();
            let calls = order.map(|index| list_calls()[index]);
            let reply = |call: ListCall| {
                ok(if call.ignored_only {
                    "b: test\n"
                } else {
                    "a: test\nb: test\n"
                })
            };
            assert!(matches!(
                job.complete(&binary, calls[0], &reply(calls[0])),
                Ok(ListStep::Wait)
            ));
            let Ok(ListStep::Done(listing)) = job.complete(&binary, calls[1], &reply(calls[1]))
            else {
                panic!("both calls were completed");
            };
            assert_eq!(names(&listing), [("a", false), ("b", true)]);
            assert!(listing.accepts_test_threads);
        }
    }

    #[test]
    fn a_harness_that_refuses_the_probe_is_asked_without_it() {
        let binary = TestBinary::sample();
        let mut calls = Vec::new();
        let listing = list_with(&binary, |call| {
            calls.push(call.arguments().collect::<Vec<_>>().join(" "));
            Ok(if call.probes_threads {
                refusal()
            } else {
                ok("a: test\n")
            })
        });
        assert!(!listing.unwrap().accepts_test_threads);
        let expected = [
            "--list --format terse --test-threads=1",
            "--list --format terse",
            "--list --format terse --ignored",
        ];
        assert_eq!(calls, expected);

        let mut job = ListJob::new();
        let [all, ignored] = list_calls();
        let Ok(ListStep::Call(again)) = job.complete(&binary, all, &refusal()) else {
            panic!("not asked again")
        };
        assert!(!again.probes_threads && !again.ignored_only);
        // One refusal is enough, even if the harness took the flag the other time.
        assert!(matches!(
            job.complete(&binary, ignored, &ok("")),
            Ok(ListStep::Wait)
        ));
        let Ok(ListStep::Done(listing)) = job.complete(&binary, again, &ok("a: test\n")) else {
            panic!("not done")
        };
        assert!(!listing.accepts_test_threads);
    }

    #[test]
    fn a_binary_that_cannot_be_listed_says_why() {
        let binary = TestBinary::sample();
        let error = list_with(&binary, |_| Ok(refusal())).unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains("sample::it")
                && text.contains("exit code 2")
                && text.contains("unknown argument"),
            "{text}"
        );
        assert!(text.ends_with("--list --format terse"), "{text}");
        let error = list_with(&binary, |_| Ok(ok("what?\n"))).unwrap_err();
        assert!(matches!(
            error.fault,
            ListFault::NotAListing { number: 1, .. }
        ));
        let error = list_with(&binary, |_| Err(io::ErrorKind::NotFound.into())).unwrap_err();
        assert!(matches!(error.fault, ListFault::NotStarted(_)));
    }
}
