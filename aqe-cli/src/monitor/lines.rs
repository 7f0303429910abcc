//! `aqe monitor --real-time` where nothing can be redrawn: a line each time, until the run ends.

use std::io;

use aqe_core::session::Session;

use super::document::{self, Part};
use super::{failure, text};
use crate::args::MonitorArgs;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output;

/// Prints until the session is over or nobody reads any more. Ctrl-C ends it as it ends every program.
pub(super) fn run(session: &Session, arguments: &MonitorArgs) -> Result<Exit, Failure> {
    let part = Part::of(arguments);
    let statuses = session
        .subscribe(arguments.interval)
        .map_err(|error| failure(&error))?;
    for status in statuses {
        let status = status.map_err(|error| failure(&error))?;
        let line = match arguments.json {
            true => document::line(&status, part)?,
            false => text::line(&status, part),
        };
        if !output::show(&mut io::stdout().lock(), &line)? {
            break;
        }
    }
    Ok(Exit::Success)
}
