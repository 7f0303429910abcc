//! An observer that follows every operation of a queue through its life.

use std::time::Duration;

use aqe_queue::{EndedAs, OperationId, QueueObserver};
use parking_lot::Mutex;

use crate::verdict::Ends;

#[derive(Default)]
pub(crate) struct Auditor {
    books: Mutex<Books>,
}

#[derive(Default)]
struct Books {
    /// By number; the first is 1.
    lives: Vec<Told>,
    ends: Ends,
    announced: u64,
    drained: u32,
    faults: Vec<String>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Told {
    is_submitted: bool,
    attempts: u32,
    is_running: bool,
    ended: Option<EndedAs>,
}

impl Auditor {
    /// Notes an event; `holds` says whether it may come now.
    fn note(&self, id: OperationId, what: &str, step: impl FnOnce(&mut Told) -> bool) {
        let mut books = self.books.lock();
        let index = usize::try_from(id.get()).expect("ids count from 1");
        if books.lives.len() <= index {
            books.lives.resize(index + 1, Told::default());
        }
        let before = books.lives[index];
        if !step(&mut books.lives[index]) && books.faults.len() < 8 {
            books
                .faults
                .push(format!("operation {id} {what} after {before:?}"));
        }
    }

    /// Returns how operations ended, and how many were announced.
    pub(crate) fn ends(&self) -> (Ends, u64) {
        let books = self.books.lock();
        (books.ends, books.announced)
    }

    pub(crate) fn end_of(&self, id: OperationId) -> Option<EndedAs> {
        let index = usize::try_from(id.get()).ok()?;
        self.books.lock().lives.get(index)?.ended
    }

    /// Returns the first things that should not have been told, or not then.
    pub(crate) fn faults(&self) -> Option<String> {
        let books = self.books.lock();
        (!books.faults.is_empty()).then(|| books.faults.join("\n  "))
    }

    pub(crate) fn drained(&self) -> u32 {
        self.books.lock().drained
    }
}

impl QueueObserver for Auditor {
    fn on_submitted(&self, id: OperationId, _: u8) {
        self.books.lock().announced += 1;
        self.note(id, "was submitted", |told| {
            !std::mem::replace(&mut told.is_submitted, true)
        });
    }

    fn on_started(&self, id: OperationId, attempt: u32) {
        self.note(id, "started", |told| {
            let holds = told.is_submitted && !told.is_running && told.ended.is_none();
            told.attempts += 1;
            told.is_running = true;
            holds && told.attempts == attempt
        });
    }

    fn on_timed_out(&self, id: OperationId, attempt: u32) {
        self.note(id, "timed out", |told| {
            told.is_running && told.attempts == attempt && told.ended.is_none()
        });
    }

    fn on_retrying(&self, id: OperationId, attempt: u32, _: Duration) {
        self.note(id, "is tried again", |told| {
            let was_running = std::mem::replace(&mut told.is_running, false);
            was_running && told.attempts == attempt && told.ended.is_none()
        });
    }

    fn on_ended(&self, id: OperationId, how: EndedAs, attempts: u32) {
        self.books.lock().ends.count(how);
        self.note(id, "ended", |told| {
            let is_first = told.ended.replace(how).is_none();
            told.is_running = false;
            is_first && told.is_submitted && told.attempts == attempts
        });
    }

    fn on_drained(&self) {
        self.books.lock().drained += 1;
    }
}
