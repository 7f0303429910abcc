//! `aqe performance --queue-analysis`: how the runs used their slots.

use std::time::Duration;

use serde::Serialize;

use super::metric::human;
use super::runs::{self, Done};
use super::trends::selection;
use super::{Opened, colors, print_json};
use crate::args::PerformanceCommon;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output;
use crate::report::columns::Columns;
use crate::report::style::Colors;
use crate::report::text::one_line;

/// Runs that are listed.
const LISTED: usize = 20;

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Document {
    file: String,
    selection: String,
    runs: Vec<Slots>,
}

#[derive(Debug, Serialize)]
struct Slots {
    run: u64,
    started: String,
    version: String,
    tests: f64,
    slots: u32,
    wall_seconds: f64,
    tests_per_second: f64,
    mean_test_seconds: f64,
    longest_test_seconds: f64,
    /// `tests_per_second × mean_test_seconds`: Little's law.
    mean_running: f64,
    /// `mean_running ÷ slots`.
    slots_used: f64,
    /// No order of the tests is quicker with so many slots: `max(longest, tests × mean ÷ slots)`.
    least_wall_seconds: f64,
}

/// Prints how the slots were used.
pub(super) fn run(
    opened: &Opened,
    period: Duration,
    common: &PerformanceCommon,
) -> Result<Exit, Failure> {
    let runs = runs::of_period(opened, period)?;
    let document = Document {
        file: opened.path.to_string_lossy().into_owned(),
        selection: runs.last().map_or("", |one| selection(&one.run)).to_owned(),
        runs: runs.iter().map(Slots::of).collect(),
    };
    match common.json {
        true => print_json(&document)?,
        false => output::print(&document.text(colors(common)))?,
    }
    Ok(Exit::Success)
}

impl Slots {
    fn of(done: &Done) -> Self {
        let slots = f64::from(done.jobs);
        Self {
            run: done.run.id.number(),
            started: done.run.started.to_string(),
            version: done.run.version.clone(),
            tests: done.tests,
            slots: done.jobs,
            wall_seconds: done.wall,
            tests_per_second: done.per_second(),
            mean_test_seconds: done.mean(),
            longest_test_seconds: done.longest,
            mean_running: done.running(),
            slots_used: done.running() / slots,
            least_wall_seconds: done.longest.max(done.test_seconds / slots),
        }
    }
}

impl Document {
    fn text(&self, colors: Colors) -> String {
        let mut table = Columns::new([
            "Run",
            "Tests",
            "Slots",
            "Time",
            "Tests/s",
            "Mean",
            "Longest",
            "At once",
            "Slots used",
            "Least time",
            "Version",
        ]);
        for one in &self.runs[self.runs.len().saturating_sub(LISTED)..] {
            table.row([
                one.run.to_string(),
                format!("{:.0}", one.tests),
                one.slots.to_string(),
                human(one.wall_seconds),
                format!("{:.1}", one.tests_per_second),
                human(one.mean_test_seconds),
                human(one.longest_test_seconds),
                format!("{:.2}", one.mean_running),
                format!("{:.0}%", one.slots_used * 100.0),
                human(one.least_wall_seconds),
                one_line(&one.version),
            ]);
        }
        let of = match &*self.selection {
            "" => "all tests".to_owned(),
            selection => one_line(selection),
        };
        format!(
            "Runs of {of}\n\n{}\n\
             At once is the mean number of tests that ran: tests a second times the mean time of a test (Little's law).\n\
             Least time: no order of these tests is quicker with so many slots; the longest test alone takes as long, or all\n\
             slots are full all the time.\n",
            table.text(colors)
        )
    }
}
