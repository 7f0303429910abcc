//! Asks every binary for its tests, side by side, or remembers what it said.

use std::sync::Arc;
use std::time::Duration;

use aqe_core::queue::{AsyncOperationQueue, Priority};

use super::attempt::{exit_of, with_causes};
use super::plan::Runnable;
use super::{RunControl, RunError};
use crate::cargo::TestBinary;
use crate::launcher::{Capture, Launch, LaunchError, OutputMode};
use crate::list::{
    FileIdentity, ListCache, ListCall, ListError, ListJob, ListOutput, ListStep, Listing,
    MAX_LIST_BYTES, list_calls,
};

/// What the binaries said.
#[derive(Debug, Default)]
pub(super) struct Listed {
    /// In the order of the binaries.
    pub(super) listings: Vec<(Arc<Runnable>, Listing)>,
    pub(super) failed: Vec<ListError>,
}

/// Lists all binaries, each as an operation of the queue; those that `cache` knows are not asked.
pub(super) async fn list(
    queue: &AsyncOperationQueue,
    control: &RunControl,
    binaries: Vec<(TestBinary, Arc<Runnable>)>,
    cache: &mut ListCache,
) -> Result<Listed, RunError> {
    let mut asked = Vec::new();
    for (binary, runnable) in binaries {
        // Taken before the binary is asked, so that a rebuild meanwhile is not remembered as the old file.
        let identity = FileIdentity::of(&binary.path).ok();
        let known = identity
            .as_ref()
            .and_then(|identity| cache.lookup(identity));
        let handle = match known {
            Some(listing) => Answer::Known(listing),
            None => {
                let (control, runnable) = (control.clone(), Arc::clone(&runnable));
                let handle = queue
                    .future(async move { ask(&control, &runnable, &binary).await })
                    .priority(Priority::High)
                    .timeout(None)
                    .submit()
                    .await;
                Answer::Awaited(handle.map_err(|error| refused(&error))?)
            }
        };
        asked.push((runnable, identity, handle));
    }
    let mut listed = Listed::default();
    for (runnable, identity, answer) in asked {
        let listing = match answer {
            Answer::Known(listing) => Ok(listing),
            Answer::Awaited(handle) => match handle.await {
                Ok(answer) => answer.inspect(|listing| {
                    // What is remembered is of libtest, which takes the argument: a binary that answered only without it
                    // crashed the first time, and may not the next.
                    if let Some(identity) = identity
                        && listing.accepts_test_threads
                    {
                        cache.remember(identity, listing);
                    }
                }),
                Err(error) => return Err(RunError::Internal(with_causes(&error))),
            },
        };
        match listing {
            Ok(listing) => listed.listings.push((runnable, listing)),
            // A binary that was ended with the run has nothing to answer for.
            Err(_) if control.halted().is_some() => {}
            Err(error) => listed.failed.push(error),
        }
    }
    Ok(listed)
}

type Asked = aqe_core::queue::OperationHandle<Result<Listing, ListError>, std::convert::Infallible>;

enum Answer {
    Known(Listing),
    Awaited(Asked),
}

fn refused(error: &dyn std::fmt::Display) -> RunError {
    RunError::Internal(format!("the queue refused a listing: {error}"))
}

/// Makes the calls of one listing side by side.
async fn ask(
    control: &RunControl,
    runnable: &Runnable,
    binary: &TestBinary,
) -> Result<Result<Listing, ListError>, std::convert::Infallible> {
    let mut job = ListJob::new();
    let [all, ignored] = list_calls();
    let (all_said, ignored_said) = tokio::join!(
        call(control, runnable, binary, all),
        call(control, runnable, binary, ignored)
    );
    let mut said = vec![(all, all_said), (ignored, ignored_said)];
    while let Some((made, output)) = said.pop() {
        let step = match output.and_then(|output| job.complete(binary, made, &output)) {
            Ok(step) => step,
            Err(error) => return Ok(Err(error)),
        };
        match step {
            ListStep::Wait => {}
            ListStep::Call(next) => {
                let output = call(control, runnable, binary, next).await;
                said.push((next, output));
            }
            ListStep::Done(listing) => return Ok(Ok(listing)),
        }
    }
    // A job that has had all its calls answered is done.
    Ok(Ok(Listing::default()))
}

async fn call(
    control: &RunControl,
    runnable: &Runnable,
    binary: &TestBinary,
    call: ListCall,
) -> Result<ListOutput, ListError> {
    let capture = Capture::default()
        // One byte more, so that a listing that is too long is refused and not cut.
        .memory_limit(MAX_LIST_BYTES + 1)
        .spill_directory(None);
    let launch = Launch::new(&runnable.program)
        .args(call.arguments())
        .timeout(PATIENCE)
        .output(OutputMode::Capture(capture));
    let not_started = |error| ListJob::not_started(binary, call, std::io::Error::other(error));
    let finished = control.launch(launch).await.map_err(not_started)?;
    if finished.stopped {
        // How it ended is our doing: taken for an answer, it would say that the harness refuses `--test-threads`.
        return Err(not_started(LaunchError::Stopped));
    }
    let stderr = finished.stderr.read_head(16 * 1024).unwrap_or_default();
    if finished.timed_out {
        return Err(ListJob::timed_out(binary, call, PATIENCE, &stderr));
    }
    let stdout = finished
        .stdout
        .read_head(MAX_LIST_BYTES + 1)
        .map_err(|error| ListJob::not_started(binary, call, error))?;
    Ok(ListOutput::new(exit_of(finished.exit), stdout, stderr))
}

/// Listing is printing a table; a binary that takes a minute for it hangs.
const PATIENCE: Duration = Duration::from_secs(60);
