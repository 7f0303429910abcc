//! `aqe memory`: looking into a store, and looking after it. What is found out and done is the library's; here it is
//! only asked for and printed.

mod analyze;
mod diagnose;
mod reclaim;
mod sampled;
mod stats;
mod watch;

use std::path::PathBuf;

use aqe_core::memory::{Cleanup, MemoryConfig, Optimize, Store};
use aqe_runner::history::{Archive, HistoryError, KeptRun};
use aqe_runner::journal::RunId;
use serde::Serialize;

use crate::args::{MemoryCommand, MemoryCommon};
use crate::config::working_folder;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output;
use crate::report::style::Colors;
use crate::store_place::{self, Place};

/// Runs one of the commands.
pub(crate) fn run(command: &MemoryCommand) -> Result<Exit, Failure> {
    match command {
        MemoryCommand::Stats {
            real_time: true,
            interval,
            common,
        } => watch::run(&find(common)?, *interval, common),
        MemoryCommand::Stats { common, .. } => stats::run(&open(common)?, common),
        MemoryCommand::Analyze {
            show_trends,
            common,
        } => analyze::run(&open(common)?, *show_trends, common),
        MemoryCommand::Diagnose {
            show_allocations,
            common,
        } => diagnose::run(&open(common)?, *show_allocations, common),
        MemoryCommand::Optimize { aggressive, common } => {
            let how = match aggressive {
                true => Optimize::Aggressive,
                false => Optimize::Normal,
            };
            reclaim::optimize(&open(common)?, how, common)
        }
        MemoryCommand::Cleanup {
            cache_only,
            aggressive,
            common,
        } => {
            let how = match (cache_only, aggressive) {
                (true, _) => Cleanup::CacheOnly,
                (_, true) => Cleanup::Aggressive,
                _ => Cleanup::Expired,
            };
            reclaim::cleanup(&open(common)?, how, common)
        }
    }
}

/// A store that is open.
struct Opened {
    folder: PathBuf,
    store: Store,
    /// The runs of the history, if that is what the store holds.
    runs: Vec<(RunId, KeptRun)>,
}

/// Which store, and whether it is the one that `aqe run` keeps.
struct Found {
    place: Place,
    is_history: bool,
}

fn find(common: &MemoryCommon) -> Result<Found, Failure> {
    Ok(Found {
        place: store_place::find(&common.store, &common.config, &working_folder()?)?,
        is_history: common.store.folder.is_none(),
    })
}

fn open(common: &MemoryCommon) -> Result<Opened, Failure> {
    find(common)?.open().map_err(|error| failure(&error))
}

impl Found {
    fn open(&self) -> Result<Opened, HistoryError> {
        let Place { folder, settings } = &self.place;
        let (store, runs) = if self.is_history {
            let archive = Archive::open(folder, settings)?;
            (archive.store().clone(), archive.runs())
        } else {
            (
                Store::open(folder, MemoryConfig::from(settings))?,
                Vec::new(),
            )
        };
        Ok(Opened {
            folder: folder.clone(),
            store,
            runs,
        })
    }
}

/// A store that does not open, as the user sees it.
fn failure(error: &HistoryError) -> Failure {
    match error {
        HistoryError::Open(error) => store_place::not_opened(error),
        error => Failure::of(Exit::Environment, error),
    }
}

/// Prints a value as JSON on lines of its own.
fn print_json(value: &impl Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(value)
        .map_err(|error| Failure::of(Exit::Environment, &error))?;
    output::print(&(text + "\n"))
}

fn colors(common: &MemoryCommon) -> Colors {
    Colors::choose(common.color, &std::io::stdout())
}
