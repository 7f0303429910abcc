//! The call of the batch processor, and signals while it works.
//!
//! The first Ctrl-C, hang-up or termination request lets the files that are being read come to their end, and the
//! second one ends this program. Either way what is done is kept, because each result is kept when it is there.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::thread;

use aqe_core::batch::files::{FileError, FilesError, FilesReport};
use aqe_core::batch::{CancelToken, FileOperation, FileOptions, Stopped};
use aqe_core::{BatchConfig, BatchProcessor};
use serde_json::Value;
use tokio::sync::oneshot;

use super::bar::View;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::signals;

/// No signal has the number 0.
const NONE: i32 = 0;

/// How the files were processed.
#[derive(Debug)]
pub(super) struct Driven {
    pub(super) report: FilesReport,
    /// Why it ended before the last file.
    pub(super) stopped: Option<Stopped>,
    /// The signal that ended it.
    pub(super) signal: Option<i32>,
}

/// What is done, with what, and who sees it.
pub(super) struct Drive<'a> {
    pub(super) settings: BatchConfig,
    pub(super) operation: &'a FileOperation,
    pub(super) options: &'a FileOptions,
    pub(super) view: View,
}

impl Drive<'_> {
    /// Processes the files; `take` gets each result with the place of its file, on any thread.
    pub(super) fn run(
        self,
        files: &[PathBuf],
        take: impl Fn(usize, Value) -> Result<(), FileError> + Sync,
    ) -> Result<Driven, Failure> {
        let processor =
            BatchProcessor::new(self.settings).map_err(|error| Failure::of(Exit::Usage, &error))?;
        let token = CancelToken::new();
        let signal = Arc::new(AtomicI32::new(NONE));
        // Dropped at the end, which ends the thread.
        let _obeying =
            obey(token.clone(), Arc::clone(&signal), self.view.clone()).map_err(|error| {
                let what = format!("cannot create the thread that receives signals: {error}");
                Failure::new(Exit::Environment, what)
            })?;
        let view = self.view.clone();
        let job = processor
            .job(self.operation.name())
            .cancel(&token)
            .progress(move |progress| view.tell(progress));
        let (report, stopped) =
            match job.process_files_each(files, self.operation, self.options, take) {
                Ok(report) => (report, None),
                Err(FilesError::Stopped { stopped, report }) => (*report, Some(stopped)),
                Err(error) => return Err(refused(&error)),
            };
        // A signal that came after the last file has ended nothing.
        let signal = match (&stopped, signal.load(Ordering::Acquire)) {
            (None, _) | (_, NONE) => None,
            (Some(_), number) => Some(number),
        };
        Ok(Driven {
            report,
            stopped,
            signal,
        })
    }
}

fn refused(error: &FilesError) -> Failure {
    Failure::of(Exit::Environment, error)
        .hint("--cache-dir names another folder, and --no-cache needs none")
}

/// Obeys signals until the result is dropped.
fn obey(
    token: CancelToken,
    signal: Arc<AtomicI32>,
    view: View,
) -> std::io::Result<oneshot::Sender<()>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()?;
    // Before anything is started: a signal from here on is not lost, however late it is looked at first.
    let mut received = {
        let _inside = runtime.enter();
        signals::receive(&signals::ENDING)
    };
    let (ending, ended) = oneshot::channel();
    let obeying = async move {
        let number = signals::next(&mut received).await;
        // Release: who sees that the run is cancelled sees by which signal.
        signal.store(number, Ordering::Release);
        token.cancel();
        say(view);
        signals::end(signals::next(&mut received).await);
    };
    let body = move || {
        runtime.block_on(async {
            tokio::select! {
                () = obeying => {}
                _ = ended => {}
            }
        });
    };
    thread::Builder::new()
        .name("aqe-signals".to_owned())
        .spawn(body)?;
    Ok(ending)
}

/// Says that the run ends. On a thread of its own, since nobody may be reading; without a thread it is not said.
fn say(view: View) {
    const MESSAGE: &str =
        "interrupted; finishing the files that are being read (once more to end at once)\n";
    let _ = thread::Builder::new().spawn(move || view.say(MESSAGE));
}

/// The name of a file as reports and messages have it.
pub(super) fn name(file: &Path) -> String {
    file.to_string_lossy().into_owned()
}
