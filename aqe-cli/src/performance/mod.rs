//! `aqe performance`: what the monitor of this project's runs has kept, and what follows from it.
//!
//! Every number is read from the monitor's file, or worked out by `aqe_monitor`; here they are only asked for and printed.

mod bottlenecks;
mod compare;
mod diagnose;
mod export;
mod metric;
mod queue;
mod runs;
mod trends;

use std::path::PathBuf;

use aqe_core::monitor::history::{HistoryError, HistoryReader};
use aqe_core::state::{StateError, StateFolder};
use serde::Serialize;

use crate::args::{PerformanceArgs, PerformanceCommand, PerformanceCommon};
use crate::config::working_folder;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output;
use crate::report::style::Colors;

/// The name that runs of `aqe run` have in the history.
const RUN: &str = "aqe run";

/// Runs one of the commands.
pub(crate) fn run(arguments: &PerformanceArgs) -> Result<Exit, Failure> {
    let common = &arguments.common;
    let period = arguments.period;
    let Some(command) = &arguments.command else {
        let opened = Opened::of(common)?;
        return match arguments.queue_analysis {
            true => queue::run(&opened, period, common),
            false => bottlenecks::run(&opened, period, arguments.detailed, common),
        };
    };
    match command {
        PerformanceCommand::Diagnose {
            operation,
            period,
            common,
        } => diagnose::run(&Opened::of(common)?, operation, *period, common),
        PerformanceCommand::Trends {
            metric,
            period,
            common,
        } => trends::run(&Opened::of(common)?, *metric, *period, common),
        PerformanceCommand::Compare {
            baseline,
            current,
            metric,
            common,
        } => compare::run(&Opened::of(common)?, (baseline, current), *metric, common),
        PerformanceCommand::Export {
            format,
            period,
            output,
            common,
        } => export::run(&Opened::of(common)?, *format, *period, output.as_deref()),
    }
}

/// The monitor's file of a project.
struct Opened {
    path: PathBuf,
    reader: HistoryReader,
}

impl Opened {
    fn of(common: &PerformanceCommon) -> Result<Self, Failure> {
        let path = match &common.file {
            Some(file) => working_folder()?.join(file),
            None => of_project()?,
        };
        match HistoryReader::open(&path) {
            Ok(reader) => Ok(Self { path, reader }),
            Err(HistoryError::Missing { .. }) => Err(Failure::new(
                Exit::NoStore,
                format!("there is no history in {}", path.display()),
            )
            .hint("`aqe run` begins one with the project's first run, unless monitoring.enabled is false")),
            Err(error) => Err(failure(&error)),
        }
    }
}

fn of_project() -> Result<PathBuf, Failure> {
    let refused = |error: &StateError| Failure::of(Exit::Environment, error);
    let state = StateFolder::find(&working_folder()?).map_err(|error| refused(&error))?;
    // One that must not be used is told here.
    state.is_there().map_err(|error| refused(&error))?;
    Ok(state.monitor_db())
}

fn failure(error: &HistoryError) -> Failure {
    Failure::of(Exit::Environment, error)
}

/// Prints a value as JSON on lines of its own.
fn print_json(value: &impl Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(value)
        .map_err(|error| Failure::of(Exit::Environment, &error))?;
    output::print(&(text + "\n"))
}

fn colors(common: &PerformanceCommon) -> Colors {
    Colors::choose(common.color, &std::io::stdout())
}
