//! What is seen while files are processed: a bar on a terminal, a line per file, or nothing.

use std::io::{self, IsTerminal};
use std::path::Path;

use aqe_core::ByteSize;
use aqe_core::batch::Progress;
use indicatif::{HumanDuration, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::args::ProgressArg;
use crate::output;
use crate::report::text::one_line;

/// Done, total, and in words what the batch processor measures; its rate and time left, and not those of the bar.
const TEMPLATE: &str = "{bar:24} {pos}/{len} files{wide_msg}";

/// What is seen on standard error. Clones are the same view.
#[derive(Debug, Clone)]
pub(super) enum View {
    Bar(ProgressBar),
    Lines,
    Nothing,
}

impl View {
    /// Decides for so many files.
    pub(super) fn choose(progress: ProgressArg, files: u64) -> Self {
        match progress {
            ProgressArg::Plain => Self::Lines,
            ProgressArg::Auto if !is_watched() => Self::Nothing,
            ProgressArg::Auto | ProgressArg::Live => Self::Bar(bar(files)),
        }
    }

    /// Shows how far the run is. The last progress takes the bar away: what comes then are results.
    pub(super) fn tell(&self, progress: &Progress) {
        let Self::Bar(bar) = self else { return };
        if progress.is_last {
            bar.finish_and_clear();
            return;
        }
        bar.set_message(in_words(progress));
        bar.set_position(progress.done);
    }

    /// Says that the result of a file is there, and kept.
    pub(super) fn done(&self, file: &Path, what: &str) {
        if let Self::Lines = self {
            output::complain(&format!("{}: {what}\n", one_line(&file.to_string_lossy())));
        }
    }

    /// Prints a message without drawing into the bar.
    pub(super) fn say(&self, message: &str) {
        match self {
            Self::Bar(bar) => bar.suspend(|| output::complain(message)),
            Self::Lines | Self::Nothing => output::complain(message),
        }
    }
}

fn bar(files: u64) -> ProgressBar {
    // Where standard error is no terminal, this draws nothing.
    let bar = ProgressBar::with_draw_target(Some(files), ProgressDrawTarget::stderr());
    match ProgressStyle::with_template(TEMPLATE) {
        Ok(style) => bar.set_style(style.progress_chars("━╸ ")),
        Err(error) => unreachable!("the template is a constant: {error}"),
    }
    bar
}

/// Whether somebody looks at standard error while the run goes on.
fn is_watched() -> bool {
    let is_set =
        |name| std::env::var_os(name).is_some_and(|value| !value.is_empty() && value != "false");
    let is_dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    io::stderr().is_terminal() && !is_set("CI") && !is_dumb
}

fn in_words(progress: &Progress) -> String {
    let mut words = String::new();
    let mut add = |text: String| {
        words.push_str(", ");
        words.push_str(&text);
    };
    if progress.bytes > 0 {
        add(ByteSize::b(progress.bytes).to_string());
    }
    if progress.rate > 0.0 {
        add(format!("{:.0}/s", progress.rate));
    }
    if let Some(left) = progress.time_left {
        add(format!("{:#} left", HumanDuration(left)));
    }
    if progress.failed > 0 {
        add(format!("{} failed", progress.failed));
    }
    if progress.waits_for_memory {
        add("waiting for memory".to_owned());
    }
    words
}
