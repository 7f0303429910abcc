//! What `--json` prints.

use aqe_core::session::Status;
use serde::Serialize;
use serde_json::{Value, json};

use crate::args::MonitorArgs;
use crate::exit::Exit;
use crate::failure::Failure;

/// How much of a status is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    All,
    /// What waits, what runs, and what is done.
    Queue,
}

/// The fields of a status that are about the queue.
const QUEUE: [&str; 13] = [
    "pid",
    "run",
    "started_ms",
    "elapsed_ms",
    "stopping",
    "planned",
    "done",
    "pending",
    "slots",
    "busy",
    "running",
    "rate",
    "left_ms",
];

impl Part {
    pub(super) fn of(arguments: &MonitorArgs) -> Self {
        match arguments.queue_status {
            true => Self::Queue,
            false => Self::All,
        }
    }
}

/// All sessions, in one document.
pub(super) fn sessions(statuses: &[Status], part: Part) -> Result<String, Failure> {
    let statuses: Result<Vec<Value>, Failure> =
        statuses.iter().map(|status| value(status, part)).collect();
    pretty(&json!({ "sessions": statuses? }))
}

/// One status, on a line.
pub(super) fn line(status: &Status, part: Part) -> Result<String, Failure> {
    Ok(format!("{}\n", value(status, part)?))
}

fn value(status: &Status, part: Part) -> Result<Value, Failure> {
    let mut value = serde_json::to_value(status).map_err(|error| unwritten(&error))?;
    if let (Part::Queue, Value::Object(fields)) = (part, &mut value) {
        fields.retain(|name, _| QUEUE.contains(&name.as_str()));
    }
    Ok(value)
}

/// A value as JSON on lines of its own.
pub(super) fn pretty(value: &impl Serialize) -> Result<String, Failure> {
    let text = serde_json::to_string_pretty(value).map_err(|error| unwritten(&error))?;
    Ok(text + "\n")
}

fn unwritten(error: &serde_json::Error) -> Failure {
    Failure::of(Exit::Environment, error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_of_the_queue_is_one_of_the_status() {
        let all = value(&Status::default(), Part::All).unwrap();
        let queue = value(&Status::default(), Part::Queue).unwrap();
        assert_eq!(queue.as_object().unwrap().len(), QUEUE.len());
        assert!(all.as_object().unwrap().len() > QUEUE.len());
        assert_eq!(all["pending"], queue["pending"]);
        assert_eq!(queue.get("machine"), None);
    }
}
