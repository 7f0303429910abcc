//! Runs with all that they came to.

use std::collections::BTreeMap;
use std::time::Duration;

use aqe_core::monitor::history::{Run, Timestamp};

use super::trends::selection;
use super::{Opened, RUN, failure};
use crate::exit::Exit;
use crate::failure::Failure;

/// What is asked for of each run; a run that has not all of them has not ended well, or had no tests.
const RESULTS: [&str; 6] = [
    "wall_seconds",
    "tests",
    "failed",
    "test_seconds",
    "longest_seconds",
    "cores",
];

/// A run that has ended, and had tests.
#[derive(Debug, Clone)]
pub(super) struct Done {
    pub(super) run: Run,
    pub(super) wall: f64,
    pub(super) tests: f64,
    pub(super) failed: f64,
    /// Of all tests together.
    pub(super) test_seconds: f64,
    pub(super) longest: f64,
    pub(super) cores: f64,
    /// Of the tests' processes; unknown on some systems.
    pub(super) cpu_seconds: Option<f64>,
    /// Tests that could run at once.
    pub(super) jobs: u32,
}

impl Done {
    /// Tests that ran at once, mean: by Little's law, which is exact over a whole run.
    pub(super) fn running(&self) -> f64 {
        self.test_seconds / self.wall
    }

    pub(super) fn per_second(&self) -> f64 {
        self.tests / self.wall
    }

    pub(super) fn mean(&self) -> f64 {
        self.test_seconds / self.tests
    }
}

/// Runs of the period that were of the same tests as the newest, by time; never none.
pub(super) fn of_period(opened: &Opened, period: Duration) -> Result<Vec<Done>, Failure> {
    let since = Timestamp::now().before(period);
    let mut values: BTreeMap<u64, BTreeMap<&str, f64>> = BTreeMap::new();
    let mut runs = BTreeMap::new();
    for name in RESULTS.into_iter().chain(["cpu_seconds"]) {
        let results = opened.reader.results(RUN, None, name);
        for one in results.map_err(|error| failure(&error))? {
            if one.run.started >= since && one.run.ended.is_some() {
                let id = one.run.id.number();
                values.entry(id).or_default().insert(name, one.value);
                runs.insert(id, one.run);
            }
        }
    }
    let mut done: Vec<Done> = runs
        .into_iter()
        .filter_map(|(id, run)| of(run, values.get(&id)?))
        .collect();
    let wanted = done.last().map(|one| selection(&one.run).to_owned());
    done.retain(|one| Some(selection(&one.run)) == wanted.as_deref());
    match done.is_empty() {
        false => Ok(done),
        true => Err(Failure::new(
            Exit::NoTests,
            format!("no run in this period is in {}", opened.path.display()),
        )
        .hint("--period says how far back to look; `aqe run` adds a run")),
    }
}

fn of(run: Run, values: &BTreeMap<&str, f64>) -> Option<Done> {
    let value = |name| values.get(name).copied();
    let positive = |name| value(name).filter(|it| *it > 0.0);
    let jobs = run.labels.iter().find(|(name, _)| name == "jobs")?;
    let jobs = jobs.1.parse().ok()?;
    Some(Done {
        wall: positive("wall_seconds")?,
        tests: positive("tests")?,
        failed: value("failed")?,
        test_seconds: positive("test_seconds")?,
        longest: value("longest_seconds")?,
        cores: positive("cores")?,
        cpu_seconds: value("cpu_seconds"),
        jobs,
        run,
    })
}
