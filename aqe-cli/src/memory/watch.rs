//! `aqe memory stats --real-time`: the figures again and again, until somebody has seen enough.
//!
//! The store is opened for each look and closed again, so that a run that begins meanwhile can have it. While somebody
//! else has it, that is what is shown.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::json;

use super::stats::Document;
use super::{Found, colors, failure};
use crate::args::MemoryCommon;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output;
use crate::report::columns;
use crate::report::style::Colors;
use crate::report::{Screen, Size};
use crate::signals;

/// Shows the figures until a signal comes.
pub(super) fn run(
    found: &Found,
    interval: Duration,
    common: &MemoryCommon,
) -> Result<Exit, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| {
            let what = format!("cannot set up the event loop: {error}");
            Failure::new(Exit::Environment, what)
        })?;
    runtime.block_on(watch(found, interval, common))
}

async fn watch(found: &Found, interval: Duration, common: &MemoryCommon) -> Result<Exit, Failure> {
    let mut signals = signals::receive(&signals::ENDING);
    let mut view = View::choose(common);
    loop {
        if !view.show(&look(found)?)? {
            return Ok(Exit::Success);
        }
        tokio::select! {
            number = signals::next(&mut signals) => {
                view.end();
                return Ok(Exit::Interrupted { signal: number });
            }
            () = tokio::time::sleep(interval) => {}
        }
    }
}

/// What one look has found.
enum Look {
    Figures(Box<Document>),
    /// Somebody else has the store open.
    Elsewhere(String),
}

fn look(found: &Found) -> Result<Look, Failure> {
    match found.open() {
        Ok(opened) => Ok(Look::Figures(Box::new(Document::of(&opened)))),
        Err(error) if error.is_locked() => {
            let cause = std::error::Error::source(&error);
            Ok(Look::Elsewhere(
                cause.map_or_else(|| error.to_string(), ToString::to_string),
            ))
        }
        Err(error) => Err(failure(&error)),
    }
}

enum View {
    /// A block that is redrawn.
    Block(Screen, Colors),
    /// A line each time.
    Lines,
    /// A JSON object each time.
    Json,
}

impl View {
    fn choose(common: &MemoryCommon) -> Self {
        if common.json {
            Self::Json
        } else if io::stdout().is_terminal() {
            Self::Block(Screen::default(), colors(common))
        } else {
            Self::Lines
        }
    }

    /// Shows what was found. Says whether somebody still reads it.
    fn show(&mut self, look: &Look) -> Result<bool, Failure> {
        let text = match (&mut *self, look) {
            (Self::Block(screen, colors), Look::Figures(document)) => {
                let text = document.text(*colors);
                block(screen, &text)
            }
            (Self::Block(screen, _), Look::Elsewhere(why)) => block(screen, why),
            (Self::Lines, Look::Figures(document)) => {
                let stats = document.stats();
                format!(
                    "{} entries, {} on disk, {} in memory\n",
                    stats.entries,
                    columns::bytes(stats.disk_bytes),
                    columns::bytes(stats.resident_bytes)
                )
            }
            (Self::Lines, Look::Elsewhere(why)) => format!("{why}\n"),
            (Self::Json, Look::Figures(document)) => {
                format!("{}\n", json!({ "at_ms": now(), "figures": document }))
            }
            (Self::Json, Look::Elsewhere(why)) => {
                format!("{}\n", json!({ "at_ms": now(), "elsewhere": why }))
            }
        };
        let mut stdout = io::stdout().lock();
        let written = stdout.write_all(text.as_bytes());
        match written.and_then(|()| stdout.flush()) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
            Err(error) => {
                let what = format!("cannot write to standard output: {error}");
                Err(Failure::new(Exit::Environment, what))
            }
        }
    }

    /// Gives the cursor back, and leaves what was drawn last.
    fn end(&self) {
        if let Self::Block(..) = self {
            // Nobody is left to be told when this cannot be written.
            let _ = output::print("\x1b[?25h\n");
        }
    }
}

/// The bytes that draw these lines in place of those that were drawn before.
fn block(screen: &mut Screen, text: &str) -> String {
    let size = Size::of_terminal();
    let lines = text.lines().take(size.height.saturating_sub(1));
    let lines: Vec<String> = lines.map(str::to_owned).collect();
    screen.frame("", &lines, size)
}

/// Milliseconds since the Unix epoch.
fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    })
}
