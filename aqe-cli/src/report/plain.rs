//! A line per test and nothing redrawn: for pipes, files and CI.

use std::io::Write;

use aqe_runner::run::{Event, Reporter};

use super::scribe::{Detail, Scribe};
use super::{Look, Said};
use crate::output::Patient;

/// Text that is gathered before it is written although more is coming.
const MAX_GATHERED: usize = 64 * 1024;

/// Prints a line per test that ran; results and messages go to a stream each.
#[derive(Debug)]
pub(crate) struct Plain<R, M> {
    scribe: Scribe,
    said: Said,
    results: Patient<R>,
    messages: Patient<M>,
}

impl<R: Write + Send, M: Write + Send> Plain<R, M> {
    pub(crate) fn new(look: Look, results: R, messages: M) -> Self {
        let detail = if look.verbose {
            Detail::All
        } else {
            Detail::Tests
        };
        Self {
            scribe: Scribe::new(look, detail),
            said: Said::default(),
            results: Patient::new(results),
            messages: Patient::new(messages),
        }
    }

    #[cfg(test)]
    pub(super) fn begin(&mut self, plan: super::Plan) {
        self.scribe.begin(plan, &mut self.said);
    }
}

impl<R: Write + Send, M: Write + Send> Reporter for Plain<R, M> {
    fn event(&mut self, event: &Event) {
        self.scribe.event(event, &mut self.said);
        // Where both streams end in one place, a message comes after the results that it came after.
        if self.said.results.len() > MAX_GATHERED || !self.said.messages.is_empty() {
            self.flush();
        }
    }

    fn flush(&mut self) {
        self.results.write(self.said.results.as_bytes());
        self.messages.write(self.said.messages.as_bytes());
        if let Some(error) = self.results.take_error() {
            let text = format!("warning: results are not shown any more: {error}\n");
            self.messages.write(text.as_bytes());
        }
        self.said.results.clear();
        self.said.messages.clear();
    }
}
