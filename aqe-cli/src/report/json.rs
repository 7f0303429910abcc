//! One JSON object per event and line: for programs.

use std::io::Write;

use aqe_runner::run::{Event, Reporter};

use crate::output::{self, Patient};

/// Bytes that are gathered before they are written although more is coming.
const MAX_GATHERED: usize = 64 * 1024;

/// Prints events as JSON lines.
#[derive(Debug)]
pub(crate) struct Json<W> {
    gathered: Vec<u8>,
    stream: Patient<W>,
}

impl<W: Write + Send> Json<W> {
    pub(crate) fn new(stream: W) -> Self {
        Self {
            gathered: Vec::new(),
            stream: Patient::new(stream),
        }
    }
}

impl<W: Write + Send> Reporter for Json<W> {
    fn event(&mut self, event: &Event) {
        let start = self.gathered.len();
        if let Err(error) = serde_json::to_writer(&mut self.gathered, event) {
            // A path that is not UTF-8 has no place in JSON; the reader learns that something is missing.
            self.gathered.truncate(start);
            let message = format!("an event has no form as JSON: {error}");
            let warning = serde_json::json!({ "event": "warning", "message": message });
            self.gathered
                .extend_from_slice(warning.to_string().as_bytes());
        }
        self.gathered.push(b'\n');
        if self.gathered.len() > MAX_GATHERED {
            self.flush();
        }
    }

    fn flush(&mut self) {
        self.stream.write(&self.gathered);
        self.gathered.clear();
        if let Some(error) = self.stream.take_error() {
            output::complain(&format!(
                "warning: events are not shown any more: {error}\n"
            ));
        }
    }
}
