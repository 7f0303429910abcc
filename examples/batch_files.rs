//! Counts the words of many files, shows how far it is, and begins where it ended when it is started again.
//!
//! ```sh
//! cargo run -q -p aqe-examples --example batch_files -- LICENSE-MIT LICENSE-*
//! ```
//!
//! It prints a line for each file and the sum:
//!
//! ```text
//!     1413  LICENSE-APACHE
//!      170  LICENSE-MIT
//!     1583  words in 2 files
//! ```
//!
//! The arguments are files and patterns. A terminal shows a bar while it works; Ctrl-C ends the run after the files that
//! are being read. What was done is kept by content in a folder for temporary files, so the next run reads only what is
//! left or has changed. Section `batch` of a `qe.config.yaml`, found from the working folder, says how many files are
//! read at once and how many may fail. The exit code is 0 when every file was counted.

use std::collections::HashSet;
use std::error::Error;
use std::process::ExitCode;

use aqe_core::Loader;
use aqe_core::batch::files::FilesError;
use aqe_core::batch::{
    BatchConfig, BatchProcessor, CancelToken, FileOperation, FileOptions, FileOutcome, FilesReport,
    Progress, find_files,
};
use indicatif::style::TemplateError;
use indicatif::{HumanBytes, ProgressBar, ProgressStyle};

#[tokio::main]
async fn main() -> Result<ExitCode, Box<dyn Error>> {
    let patterns: Vec<String> = std::env::args().skip(1).collect();
    if patterns.is_empty() {
        eprintln!("usage: batch_files FILE_OR_PATTERN...");
        return Ok(ExitCode::from(2));
    }
    let files = find_files(&patterns)?;
    let loaded = Loader::of_process().discover(".").load()?;
    let processor = BatchProcessor::new(BatchConfig::from(&loaded.config().batch))?;

    let bar = bar(files.len())?;
    let token = CancelToken::new();
    tokio::spawn(cancel_on_ctrl_c(token.clone()));
    // Files are read and counted on threads of the processor's own; this task only waits for them.
    let run = tokio::task::spawn_blocking(move || {
        let options = FileOptions::default()
            .cache_results(true)
            .cache_folder(std::env::temp_dir().join("aqe-batch-files"));
        let job = processor.job("count words").cancel(&token);
        let job = job.progress(move |progress| show(&bar, progress));
        job.process_files(&files, &count_words(), &options)
    });
    match run.await? {
        Ok(report) => Ok(print(&report)),
        Err(FilesError::Stopped { stopped, report }) => {
            print(&report);
            eprintln!("{stopped}; start again to go on");
            Ok(ExitCode::FAILURE)
        }
        Err(error) => Err(error.into()),
    }
}

/// What is done with each file. A version that counts otherwise gets another number, and then everything is counted again.
fn count_words() -> FileOperation {
    FileOperation::new("count-words", "1", |path| {
        let bytes = std::fs::read(path)?;
        let words = bytes.split(u8::is_ascii_whitespace);
        Ok::<_, std::io::Error>(words.filter(|word| !word.is_empty()).count())
    })
}

async fn cancel_on_ctrl_c(token: CancelToken) {
    // Where signals cannot be received, the terminal ends the program as it always does; then, too, what was done is kept.
    if tokio::signal::ctrl_c().await.is_ok() {
        token.cancel();
    }
}

/// A bar on standard error, which is not drawn where that is no terminal.
fn bar(files: usize) -> Result<ProgressBar, TemplateError> {
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} files, {wide_msg}")?;
    Ok(ProgressBar::new(files as u64).with_style(style))
}

/// Draws what the processor has measured. It calls this ten times a second, and once more at the end.
fn show(bar: &ProgressBar, progress: &Progress) {
    if progress.is_last {
        bar.finish_and_clear();
        return;
    }
    let left = progress
        .time_left
        .map_or_else(String::new, |left| format!(", {left:.0?} left"));
    let waits = if progress.waits_for_memory {
        ", waiting for memory"
    } else {
        ""
    };
    let read = HumanBytes(progress.bytes);
    bar.set_message(format!("{read}, {:.0}/s{left}{waits}", progress.rate));
    bar.set_position(progress.done);
}

/// Prints what there is; whether it is everything.
fn print(report: &FilesReport) -> ExitCode {
    let mut counted = HashSet::new();
    let mut sum = 0;
    for file in &report.files {
        match &file.outcome {
            FileOutcome::Failed(error) => eprintln!("{}: {error}", file.path.display()),
            FileOutcome::NotRun => {}
            outcome => {
                let words = outcome
                    .value()
                    .and_then(|value| value.as_u64())
                    .unwrap_or(0);
                println!("{words:8}  {}", file.path.display());
                counted.insert(&file.path);
                sum += words;
            }
        }
    }
    println!("{sum:8}  words in {} files", counted.len());
    ExitCode::from(u8::from(counted.len() < report.files.len()))
}
