//! `aqe monitor`: what a run of the project does at the moment or, when there is none, what the last one came to.

mod document;
mod last;
mod lines;
mod terminal;
mod text;
mod view;

use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::time::Duration;

use aqe_core::session::{Session, SessionError, Status};
use aqe_core::state::StateFolder;

use self::document::Part;
use crate::args::MonitorArgs;
use crate::config::working_folder;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output;
use crate::report::style::Colors;

/// Long enough for a share of the processors' time to mean something, short enough to wait for.
const GLANCE: Duration = Duration::from_millis(250);

/// Shows what was asked for.
pub(crate) fn run(arguments: &MonitorArgs) -> Result<Exit, Failure> {
    let here = working_folder()?;
    let state = StateFolder::find(&project(arguments, &here))
        .map_err(|error| Failure::of(Exit::Environment, &error))?;
    let mut sessions = Session::find(&state).map_err(|error| failure(&error))?;
    if let Some(pid) = arguments.session {
        only(pid, &mut sessions)?;
    }
    let Some(newest) = sessions.first() else {
        return last::show(arguments, &here);
    };
    if !arguments.real_time {
        return show(&sessions, arguments);
    }
    if sessions.len() > 1 {
        output::complain(&format!(
            "watching the newest of {} runs, process {}; --session chooses another\n",
            sessions.len(),
            newest.pid()
        ));
    }
    if !arguments.json && io::stdout().is_terminal() {
        terminal::run(newest, arguments)
    } else {
        lines::run(newest, arguments)
    }
}

/// Where the search for the state folder begins: as for `aqe run`.
fn project(arguments: &MonitorArgs, here: &Path) -> PathBuf {
    let manifest = arguments.manifest_path.as_ref();
    let manifest = manifest.map(|path| here.join(path));
    let folder = manifest.as_deref().and_then(Path::parent);
    folder.unwrap_or(here).to_owned()
}

/// Leaves the session of one process.
fn only(pid: u32, sessions: &mut Vec<Session>) -> Result<(), Failure> {
    let all: Vec<String> = sessions.iter().map(|one| one.pid().to_string()).collect();
    sessions.retain(|session| session.pid() == pid);
    if !sessions.is_empty() {
        return Ok(());
    }
    let hint = match &all[..] {
        [] => "no run of this project is going on".to_owned(),
        all => format!("runs of this project that go on: {}", all.join(", ")),
    };
    let what = format!("process {pid} runs no tests of this project");
    Err(Failure::new(Exit::NoRun, what).hint(hint))
}

/// Prints every session as it is now.
fn show(sessions: &[Session], arguments: &MonitorArgs) -> Result<Exit, Failure> {
    let part = Part::of(arguments);
    let mut statuses = Vec::new();
    let mut trouble = None;
    for session in sessions {
        match glance(session, part) {
            Ok(status) => statuses.push(status),
            // It has ended since it was found.
            Err(SessionError::Lost { .. }) if sessions.len() > 1 => {}
            Err(error) => trouble = Some(failure(&error)),
        }
    }
    let colors = Colors::choose(arguments.color, &io::stdout());
    let text = match arguments.json {
        true => document::sessions(&statuses, part)?,
        false => statuses
            .iter()
            .map(|status| text::of(status, part, colors))
            .collect::<Vec<_>>()
            .join("\n"),
    };
    match trouble {
        // One that is stopped does not hide the others.
        Some(trouble) if statuses.is_empty() => Err(trouble),
        Some(trouble) => {
            trouble.print();
            output::print(&text).map(|()| Exit::Success)
        }
        None => output::print(&text).map(|()| Exit::Success),
    }
}

/// Asks for the status. How busy the machine is, is a question about a stretch of time, for which it asks twice.
fn glance(session: &Session, part: Part) -> Result<Status, SessionError> {
    if part == Part::Queue {
        return session.status();
    }
    let mut seen = session.subscribe(GLANCE)?.take(2);
    let first = seen
        .next()
        .unwrap_or_else(|| Err(SessionError::Lost { pid: session.pid() }))?;
    match seen.next() {
        Some(Ok(second)) => Ok(second),
        // It has ended in the meantime.
        _ => Ok(first),
    }
}

/// A session that cannot be had, as the user sees it.
fn failure(error: &SessionError) -> Failure {
    match error {
        SessionError::Lost { .. } => Failure::of(Exit::NoRun, error),
        _ => Failure::of(Exit::Environment, error),
    }
}
