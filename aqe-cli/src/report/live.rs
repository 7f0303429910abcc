//! The view for a terminal: problems as they come, and below them a status block that is redrawn.

use std::io::Write;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use aqe_runner::run::{Event, Reporter};

use super::board::Board;
use super::screen::{Screen, Size};
use super::scribe::{Detail, Scribe};
use super::{Look, Plan, Said};
use crate::output::Patient;

/// Twelve frames a second: enough to look alive, and a fraction of a percent of one core.
const FRAME: Duration = Duration::from_millis(83);

/// How often ages are drawn anew while nothing happens.
const IDLE: Duration = Duration::from_millis(200);

/// Lines that are gathered for the next frame before it is drawn early.
const MAX_GATHERED: usize = 64 * 1024;

/// Where lines that stay are written.
pub(crate) enum Results {
    /// To the terminal that has the block.
    Screen,
    /// Somewhere else, as with `aqe run > file`.
    Elsewhere(Box<dyn Write + Send>),
}

/// Tells how much time has passed since some moment.
pub(crate) type Clock = Box<dyn Fn() -> Duration + Send>;

/// Draws a run on a terminal.
///
/// Whatever a frame changes is one write, so that nobody sees half of it. When the value is dropped, the block is
/// erased and the cursor is back.
pub(crate) struct Live {
    shared: LiveHandle,
}

/// Reaches a [`Live`] from outside the run: when the terminal's size changes, or is given back for a while.
#[derive(Clone)]
pub(crate) struct LiveHandle(Arc<Mutex<State>>);

struct State {
    scribe: Scribe,
    board: Board,
    screen: Screen,
    said: Said,
    terminal: Patient<Box<dyn Write + Send>>,
    results: Option<Patient<Box<dyn Write + Send>>>,
    size: Size,
    clock: Clock,
    /// When the last frame was drawn.
    drawn: Option<Duration>,
    /// Whether something happened since.
    is_stale: bool,
    is_suspended: bool,
    is_over: bool,
}

impl Live {
    pub(crate) fn new(
        look: Look,
        terminal: Box<dyn Write + Send>,
        results: Results,
        size: Size,
    ) -> Self {
        let start = Instant::now();
        Self::with_clock(
            look,
            terminal,
            results,
            size,
            Box::new(move || start.elapsed()),
        )
    }

    pub(super) fn with_clock(
        look: Look,
        terminal: Box<dyn Write + Send>,
        results: Results,
        size: Size,
        clock: Clock,
    ) -> Self {
        let detail = if look.verbose {
            Detail::All
        } else {
            Detail::Problems
        };
        let state = State {
            scribe: Scribe::new(look, detail),
            board: Board::default(),
            screen: Screen::default(),
            said: Said::default(),
            terminal: Patient::new(terminal),
            results: match results {
                Results::Screen => None,
                Results::Elsewhere(stream) => Some(Patient::new(stream)),
            },
            size,
            clock,
            drawn: None,
            is_stale: false,
            is_suspended: false,
            is_over: false,
        };
        Self {
            shared: LiveHandle(Arc::new(Mutex::new(state))),
        }
    }

    /// Another way to reach this view.
    pub(crate) fn handle(&self) -> LiveHandle {
        self.shared.clone()
    }

    #[cfg(test)]
    pub(super) fn begin(&mut self, plan: Plan) {
        self.shared.lock().begin(plan);
    }
}

impl LiveHandle {
    /// Takes the block away and gives the cursor back, until [`resume`](Self::resume).
    pub(crate) fn suspend(&self) {
        let mut state = self.lock();
        state.is_suspended = true;
        state.draw();
    }

    /// Draws the block again.
    pub(crate) fn resume(&self, size: Size) {
        let mut state = self.lock();
        state.is_suspended = false;
        state.size = size;
        state.draw();
    }

    /// Prints a message, a whole line, above the block at once.
    pub(crate) fn say(&self, message: &str) {
        let mut state = self.lock();
        state.said.messages.push_str(message);
        state.draw();
    }

    /// Takes note of the terminal's new size.
    pub(crate) fn resize(&self, size: Size) {
        let mut state = self.lock();
        state.size = size;
        state.draw();
    }

    /// A panic while the lock was held left a frame undrawn at worst; the next one draws all of it.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reporter for Live {
    fn event(&mut self, event: &Event) {
        self.shared.lock().event(event);
    }

    fn flush(&mut self) {
        let mut state = self.shared.lock();
        if state.until_next_frame().is_zero() {
            state.draw();
        }
    }

    fn tick_after(&self) -> Option<Duration> {
        let state = self.shared.lock();
        // Also while it is suspended: whoever waits for an event when it is resumed has to come back for the next frame.
        if state.is_over {
            None
        } else if state.is_stale {
            Some(state.until_next_frame())
        } else {
            Some(IDLE)
        }
    }

    fn tick(&mut self) {
        self.shared.lock().draw();
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.is_over = true;
        state.draw();
    }
}

impl State {
    fn begin(&mut self, plan: Plan) {
        self.board.begin(plan.clone(), (self.clock)());
        self.scribe.begin(plan, &mut self.said);
        self.is_stale = true;
    }

    fn event(&mut self, event: &Event) {
        if let Event::RunStarted(started) = event {
            return self.begin(Plan::from(started));
        }
        self.board.event(event, (self.clock)());
        self.scribe.event(event, &mut self.said);
        self.is_stale = true;
        self.is_over |= matches!(event, Event::RunFinished { .. });
        if self.is_over || self.said.results.len() > MAX_GATHERED {
            self.draw();
        }
    }

    fn until_next_frame(&self) -> Duration {
        let next = self.drawn.map_or(Duration::ZERO, |drawn| drawn + FRAME);
        next.saturating_sub((self.clock)())
    }

    /// Prints what was said and draws the block as it is now.
    fn draw(&mut self) {
        let now = (self.clock)();
        let block = if self.is_suspended || self.is_over {
            Vec::new()
        } else {
            self.board.lines(now, self.size, self.scribe.look().colors)
        };
        match &mut self.results {
            None => {
                // Results first: a message is about what came before it.
                self.said.results.push_str(&self.said.messages);
                let frame = self.screen.frame(&self.said.results, &block, self.size);
                self.terminal.write(frame.as_bytes());
            }
            Some(results) => {
                results.write(self.said.results.as_bytes());
                if let Some(error) = results.take_error() {
                    self.said.messages.push_str(&format!(
                        "warning: results are not shown any more: {error}\n"
                    ));
                }
                let frame = self.screen.frame(&self.said.messages, &block, self.size);
                self.terminal.write(frame.as_bytes());
            }
        }
        self.said.results.clear();
        self.said.messages.clear();
        self.drawn = Some(now);
        self.is_stale = false;
    }
}
