//! `aqe batch --operation analyze-coverage`.

use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use aqe_core::BatchConfig;
use aqe_core::batch::coverage::{
    self, Analysis, AnalyzeOptions, CoverageError, Difference, Exceeded, Limits, Merge, Summary,
    Tally, Warning, WarningKind, analysis_of,
};
use aqe_core::batch::files::{FileError, FileReport};
use aqe_core::batch::{FileOutcome, ItemError, Stopped};
use aqe_core::config::Config;
use serde_json::Value;

use super::bar::View;
use super::document::Document;
use super::drive::{Drive, Driven, name};
use super::table::Look;
use super::{difference, settings, table};
use crate::args::BatchArgs;
use crate::exit::Exit;
use crate::failure::{Failure, causes};
use crate::output;
use crate::report::Size;
use crate::report::style::{Colors, counted};
use crate::report::text::one_line;

/// So many failed files, and so many warnings, have lines of their own on standard error; the others are counted.
const SHOWN: usize = 10;

/// Everything that is told of a run.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) reports: Vec<FileReport>,
    pub(super) baseline: Vec<FileReport>,
    pub(super) stopped: Option<Stopped>,
    /// The signal that ended it.
    signal: Option<i32>,
    /// Results that the next run has to find out again.
    not_kept: u64,
    /// `None` when the run was ended: figures of a part look like a loss.
    pub(super) summary: Option<Summary>,
    /// `None` without a baseline, and when any report is missing on either side.
    pub(super) difference: Option<Difference>,
}

/// Reads the reports and the baseline, prints, and chooses the exit code.
pub(super) fn run(
    arguments: &BatchArgs,
    config: &Config,
    folder: &Path,
    reports: Vec<PathBuf>,
) -> Result<Exit, Failure> {
    let baseline = match arguments.baseline.as_slice() {
        [] => Vec::new(),
        patterns => super::find(patterns)?,
    };
    let outcome = read(arguments, config, folder, reports, baseline)?;
    print(&outcome, arguments)?;
    conclude(&outcome, arguments)
}

fn read(
    arguments: &BatchArgs,
    config: &Config,
    folder: &Path,
    mut files: Vec<PathBuf>,
    baseline: Vec<PathBuf>,
) -> Result<Outcome, Failure> {
    let count = files.len();
    let has_baseline = !baseline.is_empty();
    files.extend(baseline);
    let options: AnalyzeOptions = settings::analysis(arguments, folder);
    let runs = [Run::new(options.limits), Run::new(options.limits)];
    let view = View::choose(arguments.progress, files.len() as u64);
    let drive = Drive {
        settings: BatchConfig::from(&config.batch),
        operation: &coverage::operation(options),
        options: &settings::files(arguments, folder)?,
        view: view.clone(),
    };
    let driven = drive.run(&files, |place, result| {
        let run = &runs[usize::from(place >= count)];
        let format = run.add(place, &files[place], &result)?;
        view.done(&files[place], &format!("done ({format})"));
        Ok(())
    })?;
    let Driven {
        report,
        stopped,
        signal,
    } = driven;
    let not_kept = report.not_kept;
    let mut reports = report.files;
    let baseline = reports.split_off(count);
    let [now, before] = runs.map(Run::finish);
    let now = now.filter(|_| stopped.is_none());
    let is_whole = reports.iter().chain(&baseline).all(is_done);
    let difference = match (&now, before) {
        (Some(now), Some(before)) if has_baseline && is_whole => {
            Some(Difference::between(&before.coverage, &now.coverage))
        }
        _ => None,
    };
    Ok(Outcome {
        reports,
        baseline,
        stopped,
        signal,
        not_kept,
        summary: now.as_ref().map(Summary::of),
        difference,
    })
}

/// The reports of one run, merged as they come. `None` as soon as they hold more together than they may; of no use when
/// merging has panicked.
struct Run(Mutex<Option<Merge>>);

impl Run {
    fn new(limits: Limits) -> Self {
        Self(Mutex::new(Some(Merge::new(limits))))
    }

    /// Adds a report and says in which format it is.
    fn add(&self, place: usize, file: &Path, result: &Value) -> Result<String, FileError> {
        let analysis = analysis_of(&name(file), result)?;
        let format = analysis.reports.first().map(|it| it.format.to_string());
        // If one that was added panicked, its file has failed, and what is merged now is of no use.
        let mut run = self
            .0
            .lock()
            .map_err(|_| "an earlier report was not merged")?;
        let Some(merge) = run.as_mut() else {
            return Err("the reports before it hold more than --max-memory allows".into());
        };
        if let Err(error) = merge.add(place, analysis) {
            *run = None;
            return Err(error.into());
        }
        Ok(format.unwrap_or_default())
    }

    fn finish(self) -> Option<Analysis> {
        self.0.into_inner().ok().flatten().map(Merge::finish)
    }
}

fn is_done(file: &FileReport) -> bool {
    file.outcome.value().is_some()
}

fn print(outcome: &Outcome, arguments: &BatchArgs) -> Result<(), Failure> {
    if arguments.json {
        return output::print(&Document::of(outcome).text()?);
    }
    let Some(summary) = &outcome.summary else {
        return Ok(());
    };
    let look = Look {
        colors: Colors::choose(arguments.color, &io::stdout()),
        width: (io::stdout().is_terminal() && !arguments.verbose)
            .then(|| Size::of_terminal().width),
    };
    let mut text = table::of(summary, look);
    if let Some(difference) = &outcome.difference {
        text.push('\n');
        text.push_str(&difference::of(difference, look));
    }
    output::print(&text)?;
    output::complain(&warnings(summary, arguments.verbose));
    Ok(())
}

/// Warnings, those about declared totals last: llvm-cov declares others than it lists wherever there is a closure, and
/// nobody can do anything about it.
fn warnings(summary: &Summary, is_verbose: bool) -> String {
    let colors = stderr_colors();
    let is_of_totals =
        |warning: &&Warning| matches!(warning.kind, WarningKind::DeclaredTotals { .. });
    let (totals, others): (Vec<&Warning>, Vec<&Warning>) =
        summary.warnings.kept().partition(is_of_totals);
    let shown: Vec<&Warning> = match is_verbose {
        true => others.iter().chain(&totals).copied().collect(),
        false => others.into_iter().take(SHOWN).collect(),
    };
    let line = |warning: &&Warning| {
        let warning = one_line(&warning.to_string());
        format!("{} {warning}\n", colors.odd("warning:"))
    };
    let mut text: String = shown.iter().map(line).collect();
    let all = summary.warnings.kept().len() as u64 + summary.warnings.more();
    let hidden = all - shown.len() as u64;
    if hidden > 0 {
        let about = match totals.is_empty() {
            true => "",
            false => " about totals that reports declare and do not list",
        };
        let how = match is_verbose {
            true => "",
            false => " (--verbose)",
        };
        let hidden = counted(hidden, "more warning");
        text.push_str(&format!(
            "{} {hidden}{about}{how}\n",
            colors.odd("warning:")
        ));
    }
    text
}

/// Says what went wrong, and chooses the exit code: what ended the run outweighs files that failed, and those outweigh
/// figures that are too low.
fn conclude(outcome: &Outcome, arguments: &BatchArgs) -> Result<Exit, Failure> {
    let files = || outcome.reports.iter().chain(&outcome.baseline);
    let (total, done) = (files().count(), files().filter(|it| is_done(it)).count());
    let failed: Vec<(&Path, String)> = files()
        .filter_map(|file| Some((file.path.as_path(), why(file)?)))
        .collect();
    output::complain(&not_kept(outcome.not_kept));
    output::complain(&failures(&failed));
    let kept = if arguments.no_cache {
        "nothing is kept with --no-cache"
    } else {
        "the same command goes on from there"
    };
    let processed = format!("{done} of {} were processed", counted(total as u64, "file"));
    match (&outcome.stopped, outcome.signal) {
        (_, Some(signal)) => {
            output::complain(&format!("interrupted; {processed}; {kept}\n"));
            return Ok(Exit::Interrupted { signal });
        }
        (Some(Stopped::TooManyErrors { threshold }), None) => {
            let most = counted(*threshold, "file");
            let message = format!("more than {most} failed, so the run was ended; {processed}");
            let hint =
                "batch.errorThreshold says how many may fail, as in --set batch.errorThreshold=100";
            return Err(Failure::new(Exit::FilesFailed, message).hint(hint));
        }
        (Some(stopped), None) => {
            let failure = Failure::of(Exit::Environment, stopped);
            return Err(failure.hint(format!("{processed}; {kept}")));
        }
        (None, None) => {}
    }
    let low = too_low(outcome, arguments.fail_under);
    match (failed.len(), low) {
        (0, None) => Ok(Exit::Success),
        (0, Some(low)) => Err(Failure::new(Exit::TooLittleCovered, low)),
        (count, low) => {
            if let Some(low) = low {
                Failure::new(Exit::TooLittleCovered, low).print();
            }
            let count = format!("{count} of {} failed", counted(total as u64, "file"));
            let message = format!("{count}; {}", without(outcome, arguments));
            let failure = Failure::new(Exit::FilesFailed, message);
            Err(match files().find_map(remedy) {
                Some(remedy) => failure.hint(remedy),
                None => failure,
            })
        }
    }
}

/// The option that a file may need, for errors that speak of one without its name.
fn remedy(file: &FileReport) -> Option<&'static str> {
    let FileOutcome::Failed(ItemError::Failed { error, .. }) = &file.outcome else {
        return None;
    };
    match error.downcast_ref()? {
        CoverageError::UnknownFormat { .. } => {
            Some("--report-format names the format of all reports")
        }
        CoverageError::LimitExceeded {
            exceeded: Exceeded::Memory(_),
            ..
        } => Some("--max-memory sets that limit"),
        CoverageError::NoResult { .. } => Some("--no-cache reads all reports again"),
        _ => None,
    }
}

/// What failed files mean for what was printed.
fn without(outcome: &Outcome, arguments: &BatchArgs) -> &'static str {
    let is_compared = !arguments.baseline.is_empty();
    match outcome.summary {
        None => "there are no figures",
        Some(_) if is_compared => {
            "the figures are without them, and nothing is compared with the baseline"
        }
        Some(_) => "the figures are without them",
    }
}

/// Why the figures are lower than was asked for, if they are.
fn too_low(outcome: &Outcome, fail_under: Option<f64>) -> Option<String> {
    let least = fail_under?;
    let lines = outcome.summary.as_ref()?.totals.lines;
    is_under(lines, least).then(|| match lines.percent() {
        Some(_) => format!("lines {lines}, and --fail-under asks for {least} %"),
        None => format!("there is no line to cover, and --fail-under asks for {least} %"),
    })
}

/// Whether fewer percent are covered. Nothing to cover is not enough: a report that is empty by mistake must not pass.
fn is_under(lines: Tally, least: f64) -> bool {
    // The product is exact up to 2⁵³ lines, while a quotient of numbers that make 80 % may be a little less than 80.
    match lines.total {
        0 => least > 0.0,
        total => (lines.covered as f64) * 100.0 < least * total as f64,
    }
}

/// Why a file failed, on one line.
pub(super) fn why(file: &FileReport) -> Option<String> {
    let FileOutcome::Failed(error) = &file.outcome else {
        return None;
    };
    let (text, causes) = match error {
        // There is one attempt, and the error names the file.
        ItemError::Failed { error, .. } => (error.to_string(), causes(&**error)),
        error => (format!("{}: {error}", file.path.display()), Vec::new()),
    };
    let all = causes
        .into_iter()
        .fold(text, |text, cause| text + ": " + &cause);
    Some(one_line(&all))
}

fn not_kept(results: u64) -> String {
    if results == 0 {
        return String::new();
    }
    let results = counted(results, "result");
    let warning = stderr_colors().odd("warning:");
    format!("{warning} {results} could not be kept; --cache-size and --cache-dir make room\n")
}

fn failures(failed: &[(&Path, String)]) -> String {
    let colors = stderr_colors();
    let line = |(_, why): &(&Path, String)| format!("{} {why}\n", colors.bad("error:"));
    let mut text: String = failed.iter().take(SHOWN).map(line).collect();
    if failed.len() > SHOWN {
        let more = counted((failed.len() - SHOWN) as u64, "more file");
        text.push_str(&format!("{} {more} failed\n", colors.bad("error:")));
    }
    text
}

fn stderr_colors() -> Colors {
    Colors::choose(crate::args::ColorArg::Auto, &io::stderr())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_exactly_enough_is_enough() {
        for (covered, total, least, under) in [
            (4, 5, 80.0, false),
            (799, 1_000, 80.0, true),
            (7, 1_000, 0.7, false),
            (2, 3, 66.67, true),
            (3, 3, 100.0, false),
            (2, 3, 100.0, true),
            (0, 3, 0.0, false),
            (0, 0, 0.0, false),
            (0, 0, 0.1, true),
        ] {
            let lines = Tally::new(covered, total);
            assert_eq!(is_under(lines, least), under, "{lines} {least}");
        }
    }
}
