//! What the last run came to, from what it has left on disk.

use std::fmt::Write;
use std::io;
use std::path::Path;
use std::time::Duration;

use aqe_runner::cargo::{Selection, find_target_directory};
use aqe_runner::journal::{Entry, Record, RunCounts, RunId, RunsFolder};
use aqe_runner::model::{TestId, UnixMillis, Verdict};
use serde::Serialize;
use serde_json::json;

use super::document;
use crate::args::MonitorArgs;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output;
use crate::report::style::{Colors, Human, counted};
use crate::report::text::one_line;

/// Failed tests that are named; the journal has them all.
const NAMED: usize = 8;

/// What is left of a run.
#[derive(Debug, Serialize)]
struct LastRun {
    run: RunId,
    started: UnixMillis,
    /// Tests that were to run, if the run came so far.
    planned: Option<u64>,
    counts: RunCounts,
    /// When it ended; unknown if it was killed.
    finished: Option<UnixMillis>,
    /// Some of the tests that failed.
    failures: Vec<LastFailure>,
}

#[derive(Debug, Serialize)]
struct LastFailure {
    #[serde(flatten)]
    test: TestId,
    verdict: Verdict,
}

/// Shows the last run of the project, and says how long ago that was.
pub(super) fn show(arguments: &MonitorArgs, here: &Path) -> Result<Exit, Failure> {
    let mut selection = Selection::default();
    selection.manifest_path.clone_from(&arguments.manifest_path);
    selection.target_dir.clone_from(&arguments.target_dir);
    // Where things are does not hang on what there is to download.
    selection.offline = true;
    let target = find_target_directory(here, &selection).map_err(|error| {
        Failure::of(Exit::Environment, &error)
            .hint("no run is going on here; --manifest-path names the project")
    })?;
    let runs = RunsFolder::new(target.join("aqe").join("runs"));
    let Some(last) = read(&runs)? else {
        let what = format!(
            "no run of this project is going on, and there is none in {}",
            runs.path().display()
        );
        return Err(Failure::new(Exit::NoRun, what).hint("`aqe run` begins one"));
    };
    let text = match arguments.json {
        true => document::pretty(&json!({ "sessions": [], "last": last }))?,
        false => {
            let colors = Colors::choose(arguments.color, &io::stdout());
            last.text(UnixMillis::now(), colors)
        }
    };
    output::print(&text)?;
    Ok(Exit::Success)
}

/// The newest run that has a journal.
fn read(runs: &RunsFolder) -> Result<Option<LastRun>, Failure> {
    let ids = runs
        .list()
        .map_err(|error| Failure::of(Exit::Environment, &error))?;
    for id in ids.into_iter().rev() {
        let journal = match runs.run(id).read_journal() {
            Ok(journal) => journal,
            // A run has a folder first and a journal a moment later.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => {
                let path = runs.run(id).journal_path();
                let what = format!("cannot read {}: {error}", path.display());
                return Err(Failure::new(Exit::Environment, what));
            }
        };
        let mut last = LastRun::new(id);
        for entry in journal {
            let entry = entry.map_err(|error| Failure::of(Exit::Environment, &error))?;
            if let Entry::Record(record) = entry {
                last.take(record);
            }
        }
        return Ok(Some(last));
    }
    Ok(None)
}

impl LastRun {
    fn new(run: RunId) -> Self {
        Self {
            run,
            started: run.started(),
            planned: None,
            counts: RunCounts::default(),
            finished: None,
            failures: Vec::new(),
        }
    }

    fn take(&mut self, record: Record) {
        match record {
            Record::RunStarted { tests, started, .. } => {
                self.planned = tests;
                self.started = started;
            }
            Record::Verdict { test, verdict, .. } => {
                self.counts.add(&verdict);
                if verdict.is_failure() && self.failures.len() < NAMED {
                    self.failures.push(LastFailure { test, verdict });
                }
            }
            Record::RunFinished { finished, .. } => self.finished = Some(finished),
            _ => {}
        }
    }

    fn text(&self, now: UnixMillis, colors: Colors) -> String {
        let between = |from: UnixMillis, to: UnixMillis| {
            Human(Duration::from_millis(to.0.saturating_sub(from.0)))
        };
        let counts = &self.counts;
        let ending = match self.finished {
            Some(finished) => format!("ended {} ago", between(finished, now)),
            None => format!(
                "began {} ago and has not come to its end",
                between(self.started, now)
            ),
        };
        let title = colors.strong("No run is going on");
        let mut text = format!("{title}; the last one {ending} (run {})\n", self.run);
        // Writing to a string cannot fail.
        let _ = write!(text, "  {} passed", counts.passes());
        if counts.flaky > 0 {
            let _ = write!(text, " ({} flaky)", counts.flaky);
        }
        let _ = write!(text, ", {} failed", counts.failures());
        let skipped = counts.ignored + counts.cancelled;
        if skipped > 0 {
            let _ = write!(text, ", {skipped} skipped");
        }
        match self.planned {
            Some(planned) => {
                let _ = writeln!(text, ", of {}", counted(planned, "test"));
            }
            None => text.push('\n'),
        }
        for failure in &self.failures {
            let (binary, name) = (
                one_line(failure.test.binary.as_str()),
                one_line(failure.test.name.as_str()),
            );
            let verdict = one_line(&failure.verdict.to_string());
            let _ = writeln!(
                text,
                "{:>10}  {binary} {name} ({verdict})",
                colors.bad("FAIL")
            );
        }
        let named = self.failures.len() as u64;
        if counts.failures() > named {
            let more = counts.failures() - named;
            let _ = writeln!(text, "{:>10}  and {more} more", "");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aqe_runner::model::Failure as Why;

    #[test]
    fn a_killed_run_is_told_from_one_that_has_ended() {
        let run = RunId::from_parts(UnixMillis(1_000), 0);
        let mut last = LastRun::new(run);
        let verdict = |name: &str, verdict| Record::Verdict {
            test: TestId::new("suite", name),
            verdict,
            duration: Duration::ZERO,
        };
        last.take(Record::run_started(run, Vec::new(), Some(20)));
        last.started = UnixMillis(1_000);
        last.take(verdict("a", Verdict::Flaky { attempts: 2 }));
        for _ in 0..10 {
            last.take(verdict("b", Verdict::Failed(Why::ExitedEarly)));
        }
        let now = UnixMillis(61_000);
        let text = last.text(now, Colors::Off);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines[0],
            format!(
                "No run is going on; the last one began 1m00s ago and has not come to its end (run {run})"
            )
        );
        assert_eq!(lines[1], "  1 passed (1 flaky), 10 failed, of 20 tests");
        assert!(
            lines[2].starts_with("      FAIL  suite b (failed"),
            "{text}"
        );
        assert_eq!(lines[10], "            and 2 more");
        last.take(Record::RunFinished {
            finished: UnixMillis(58_000),
            duration: Duration::ZERO,
            counts: RunCounts::default(),
        });
        assert!(
            last.text(now, Colors::Off)
                .contains("the last one ended 3.00s ago")
        );
    }
}
