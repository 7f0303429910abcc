//! `aqe monitor --real-time` on a terminal: a picture that is redrawn, on a screen of its own.
//!
//! Whatever ends it, a panic too, the terminal is as it was before: `ratatui` puts a hook in front of the one that
//! prints panics, and a value that is dropped at the end does the same.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::mpsc::{Receiver, TryRecvError, sync_channel};
use std::thread;
use std::time::Duration;

use aqe_core::session::{Session, SessionError, Status};
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};

use super::document::Part;
use super::view::{View, draw};
use super::{failure, text};
use crate::args::MonitorArgs;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output;
use crate::report::style::Colors;
use crate::signals;

/// How long a key, a signal or a status waits at most before it is noticed.
const MOMENT: Duration = Duration::from_millis(50);

/// The number of Ctrl-C, which arrives as a key here.
const INTERRUPT: i32 = 2;

/// What a session says, read by a thread of its own.
type News = Receiver<Result<Status, SessionError>>;

/// Draws until the run ends or somebody leaves, and prints what it came to.
pub(super) fn run(session: &Session, arguments: &MonitorArgs) -> Result<Exit, Failure> {
    let colors = Colors::choose(arguments.color, &io::stdout());
    let part = Part::of(arguments);
    let news = follow(session, arguments.interval)?;
    let mut view = View::new(part, colors);
    let ending = {
        let mut screen = Raised::new()?;
        watch(&mut screen.terminal, &news, &mut view)?
    };
    let last = view
        .status()
        .map(|status| text::of(status, part, colors))
        .unwrap_or_default();
    match ending {
        Ending::Left => Ok(Exit::Success),
        Ending::Signal(signal) => Ok(Exit::Interrupted { signal }),
        Ending::Over(None) => {
            output::print(&format!("{last}the run has ended\n"))?;
            Ok(Exit::Success)
        }
        Ending::Over(Some(error)) => {
            output::print(&last)?;
            Err(failure(&error))
        }
    }
}

/// Why nothing is drawn any more.
enum Ending {
    /// Somebody has seen enough.
    Left,
    Signal(i32),
    /// The session is over, in whatever way.
    Over(Option<SessionError>),
}

fn watch(terminal: &mut DefaultTerminal, news: &News, view: &mut View) -> Result<Ending, Failure> {
    let refused = |error: io::Error| {
        let what = format!("cannot use the terminal: {error}");
        Failure::new(Exit::Environment, what)
    };
    let signal = receive()?;
    let mut is_stale = true;
    loop {
        match news.try_recv() {
            Ok(Ok(status)) => {
                view.take(status);
                is_stale = true;
            }
            Ok(Err(error)) => return Ok(Ending::Over(Some(error))),
            Err(TryRecvError::Disconnected) => return Ok(Ending::Over(None)),
            Err(TryRecvError::Empty) => {}
        }
        if std::mem::take(&mut is_stale) {
            terminal.draw(|frame| draw(frame, view)).map_err(refused)?;
        }
        match signal.load(Ordering::Relaxed) {
            0 => {}
            number => return Ok(Ending::Signal(number)),
        }
        if !event::poll(MOMENT).map_err(refused)? {
            continue;
        }
        match event::read().map_err(refused)? {
            Event::Key(key) if key.kind != KeyEventKind::Release => match key.code {
                KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => {
                    return Ok(Ending::Signal(INTERRUPT));
                }
                KeyCode::Char('q' | 'Q') | KeyCode::Esc => return Ok(Ending::Left),
                _ => {}
            },
            Event::Resize(..) => is_stale = true,
            _ => {}
        }
    }
}

/// Asks for the status again and again. The channel closes when the session is over.
fn follow(session: &Session, interval: Duration) -> Result<News, Failure> {
    let subscription = session
        .subscribe(interval)
        .map_err(|error| failure(&error))?;
    // Without room: what is shown late would be old, and a session leaves out what is not taken.
    let (told, news) = sync_channel(0);
    in_thread(move || {
        for status in subscription {
            if told.send(status).is_err() {
                return;
            }
        }
    })?;
    Ok(news)
}

/// The number of the signal that has come, which is 0 before. It lives as long as the program.
fn receive() -> Result<Arc<AtomicI32>, Failure> {
    let heard = Arc::new(AtomicI32::new(0));
    let number = Arc::clone(&heard);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()
        .map_err(|error| {
            let what = format!("cannot set up the event loop: {error}");
            Failure::new(Exit::Environment, what)
        })?;
    in_thread(move || {
        runtime.block_on(async {
            let mut signals = signals::receive(&signals::ENDING);
            let signal = signals::next(&mut signals).await;
            // Nothing else is handed over with it.
            number.store(signal, Ordering::Relaxed);
        });
    })?;
    Ok(heard)
}

fn in_thread(body: impl FnOnce() + Send + 'static) -> Result<(), Failure> {
    let started = thread::Builder::new().spawn(body);
    started.map(|_| ()).map_err(|error| {
        let what = format!("cannot start a thread: {error}");
        Failure::new(Exit::Environment, what)
    })
}

/// A terminal that shows a screen of ours, until this is dropped.
struct Raised {
    terminal: DefaultTerminal,
}

impl Raised {
    fn new() -> Result<Self, Failure> {
        let terminal = ratatui::try_init().map_err(|error| {
            // Half of it may have happened.
            let _ = ratatui::try_restore();
            let what = format!("cannot use the terminal: {error}");
            Failure::new(Exit::Environment, what).hint("--json prints an object per look instead")
        })?;
        Ok(Self { terminal })
    }
}

impl Drop for Raised {
    fn drop(&mut self) {
        // Nobody is left to be told when the terminal is gone.
        let _ = self.terminal.show_cursor();
        let _ = ratatui::try_restore();
    }
}
