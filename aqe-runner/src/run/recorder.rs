//! The thread that puts verdicts on disk and then shows them.
//!
//! **Invariant:** an event that has a place in the journal is handed to the system before the reporter sees it. So
//! what a person has seen survives `kill -9` of this process.
//!
//! Events are gathered for a few milliseconds and written together: a journal write and a terminal write per batch of
//! events and not per test.

use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::event::{Event, Reporter};
use super::history::{History, Past};
use super::{RunError, StopReason};
use crate::journal::{JournalError, JournalWriter, Record, RunCounts};
use crate::junit::{JunitError, JunitReport};
use crate::model::{Attempt, Excerpt, ExcerptLimit, OutputExcerpt, TestId, UnixMillis};

/// What the thread writes to and shows on.
pub(super) struct Outlets {
    pub(super) journal: Option<JournalWriter>,
    pub(super) junit: Option<(JunitReport, PathBuf)>,
    pub(super) history: History,
    pub(super) reporter: Box<dyn Reporter>,
    /// The command line, for the journal's first record.
    pub(super) arguments: Vec<String>,
}

/// What is left when the thread has ended.
pub(super) struct Recorded {
    pub(super) counts: RunCounts,
    /// Why tests were left out, if they were.
    pub(super) stopped: Option<StopReason>,
    pub(super) history: History,
    pub(super) junit_error: Option<JunitError>,
}

/// A handle to the thread.
#[derive(Debug)]
pub(super) struct Recorder {
    events: EventSender,
    thread: JoinHandle<Recorded>,
}

/// Tells the thread what happened.
#[derive(Clone, Debug)]
pub(super) struct EventSender(SyncSender<Message>);

enum Message {
    Event(Event),
    /// What the next run wants to know of a test.
    Remember(TestId, Past),
    End(End),
}

/// How it comes that nothing more is told.
#[derive(Clone, Copy)]
enum End {
    Finished {
        duration: Duration,
        stopped: Option<StopReason>,
    },
    /// The run was dropped, or failed: what has come is all there is, and nobody says that it is whole.
    Abandoned,
}

impl EventSender {
    /// Hands an event over; waits while [`BACKLOG`] others are waiting.
    pub(super) fn send(&self, event: Event) {
        // Without its receiver the thread has panicked, which `Recorder::finish` tells.
        let _ = self.0.send(Message::Event(event));
    }

    /// Hands over what the next run wants to know of a test.
    pub(super) fn remember(&self, test: TestId, past: Past) {
        let _ = self.0.send(Message::Remember(test, past));
    }

    /// Hands over an event that is for display only, unless others are waiting already. For threads that must not wait.
    pub(super) fn show(&self, event: Event) {
        let _ = self.0.try_send(Message::Event(event));
    }
}

impl Recorder {
    pub(super) fn start(outlets: Outlets) -> Result<Self, RunError> {
        let (sender, receiver) = sync_channel(BACKLOG);
        let thread = thread::Builder::new()
            .name("aqe-recorder".to_owned())
            .spawn(move || Shell::new(outlets).run(&receiver))
            .map_err(RunError::Recorder)?;
        Ok(Self {
            events: EventSender(sender),
            thread,
        })
    }

    pub(super) fn events(&self) -> &EventSender {
        &self.events
    }

    /// Records and shows the end, and waits until all of it is done.
    pub(super) fn finish(
        self,
        duration: Duration,
        stopped: Option<StopReason>,
    ) -> Result<Recorded, RunError> {
        self.end(End::Finished { duration, stopped })
    }

    /// Records and shows what has come, and waits until that is done. There is no last record and no report.
    pub(super) fn abandon(self) {
        // The run has failed already, and tells why.
        let _ = self.end(End::Abandoned);
    }

    fn end(self, end: End) -> Result<Recorded, RunError> {
        let _ = self.events.0.send(Message::End(end));
        // It may be gathering.
        self.thread.thread().unpark();
        self.thread
            .join()
            .map_err(|_| RunError::Internal("the recording thread panicked".to_owned()))
    }
}

/// The state of the thread.
struct Shell {
    outlets: Outlets,
    counts: RunCounts,
    /// Whether the reporter was told that the journal is not being written.
    journal_failed: bool,
}

impl Shell {
    fn new(outlets: Outlets) -> Self {
        Self {
            outlets,
            counts: RunCounts::default(),
            journal_failed: false,
        }
    }

    fn run(mut self, messages: &Receiver<Message>) -> Recorded {
        let mut events = Vec::new();
        loop {
            let end = self.gather(messages, &mut events);
            self.record(&mut events);
            if let Some(end) = end {
                return self.end(end);
            }
            // Cut short by `Recorder::finish`.
            thread::park_timeout(GATHERING);
        }
    }

    /// Waits for an event and takes all that have come; says when it was the last one.
    fn gather(&mut self, messages: &Receiver<Message>, events: &mut Vec<Event>) -> Option<End> {
        let mut message = self.wait(messages);
        loop {
            match message {
                Message::Event(event) => events.push(event),
                Message::Remember(test, past) => self.outlets.history.record(&test, past),
                Message::End(end) => return Some(end),
            }
            if events.len() >= BACKLOG {
                return None;
            }
            let Ok(next) = messages.try_recv() else {
                return None;
            };
            message = next;
        }
    }

    fn wait(&mut self, messages: &Receiver<Message>) -> Message {
        loop {
            let Some(after) = self.outlets.reporter.tick_after() else {
                return messages.recv().unwrap_or(ABANDONED);
            };
            match messages.recv_timeout(after) {
                Ok(message) => return message,
                Err(RecvTimeoutError::Timeout) => self.outlets.reporter.tick(),
                Err(RecvTimeoutError::Disconnected) => return ABANDONED,
            }
        }
    }

    fn record(&mut self, events: &mut Vec<Event>) {
        let mut news = false;
        for event in events.iter() {
            if let Event::TestFinished { verdict, .. } = event {
                self.counts.add(verdict);
            }
            if let Some(record) = record_of(event, &self.outlets.arguments) {
                self.push(&record);
                self.outlets.history.add(&record);
                news = true;
                if let Some((junit, _)) = &mut self.outlets.junit {
                    junit.add(record);
                }
            }
        }
        if news && let Some(journal) = &mut self.outlets.journal {
            let flushed = journal.flush();
            self.note(flushed);
        }
        for event in events.drain(..) {
            self.outlets.reporter.event(&event);
        }
        self.outlets.reporter.flush();
    }

    fn push(&mut self, record: &Record) {
        let Some(journal) = &mut self.outlets.journal else {
            return;
        };
        if journal.backlog_bytes() >= MAX_GATHERED_BYTES {
            // On failure it is kept, and the last flush of these events tells of it.
            let _ = journal.flush();
        }
        let pushed = match journal.push(record) {
            Err(JournalError::RecordTooLong { .. }) => journal.push(&shortened(record)),
            other => other,
        };
        self.note(pushed);
    }

    /// Tells the reporter, once, that verdicts are not reaching the disk.
    fn note(&mut self, result: Result<(), JournalError>) {
        if let Err(error) = result
            && !std::mem::replace(&mut self.journal_failed, true)
        {
            let mut message = format!("verdicts are not being written to disk: {error}");
            if let Some(source) = std::error::Error::source(&error) {
                message += &format!(": {source}");
            }
            self.outlets.reporter.event(&Event::Warning { message });
        }
    }

    fn end(mut self, end: End) -> Recorded {
        let (mut junit_error, mut stopped) = (None, None);
        if let End::Finished {
            duration,
            stopped: told,
        } = end
        {
            // A failure of the last test has left nothing out.
            let left_out = self.counts.cancelled > 0;
            stopped = told.filter(|reason| left_out || *reason != StopReason::FirstFailure);
            let last = Event::RunFinished {
                finished: UnixMillis::now(),
                duration,
                counts: self.counts,
                stopped,
            };
            self.record(&mut vec![last]);
            let junit = self.outlets.junit.take();
            junit_error = junit.and_then(|(junit, path)| junit.save(&path).err());
        }
        Recorded {
            counts: self.counts,
            stopped,
            history: self.outlets.history,
            junit_error,
        }
    }
}

/// What the journal says of an event, if anything.
fn record_of(event: &Event, arguments: &[String]) -> Option<Record> {
    Some(match event {
        Event::RunStarted(started) => {
            Record::run_started(started.run, arguments.to_vec(), Some(started.tests))
        }
        Event::AttemptFinished { test, attempt, .. } => Record::AttemptFinished {
            test: test.clone(),
            attempt: attempt.clone(),
        },
        Event::TestFinished {
            test,
            verdict,
            duration,
        } => Record::Verdict {
            test: test.clone(),
            verdict: verdict.clone(),
            duration: *duration,
        },
        Event::RunFinished {
            finished,
            duration,
            counts,
            ..
        } => Record::RunFinished {
            finished: *finished,
            duration: *duration,
            counts: *counts,
        },
        _ => return None,
    })
}

/// The same record with output that fits a line of the journal whatever has to be escaped.
fn shortened(record: &Record) -> Record {
    let mut record = record.clone();
    if let Record::AttemptFinished {
        attempt: Attempt { output, .. },
        ..
    } = &mut record
        && let Some(output) = output
    {
        **output = OutputExcerpt::new(shorter(&output.stdout), shorter(&output.stderr));
    }
    record
}

fn shorter(excerpt: &Excerpt) -> Excerpt {
    let end = if excerpt.tail.is_empty() {
        &excerpt.head
    } else {
        &excerpt.tail
    };
    let mut shorter = Excerpt::from_ends(
        excerpt.head.as_bytes(),
        end.as_bytes(),
        excerpt.total_bytes,
        ExcerptLimit::default(),
    );
    shorter.file.clone_from(&excerpt.file);
    shorter.file_bytes = excerpt.file_bytes;
    shorter
}

/// The run is gone without a word, which happens when it is dropped.
const ABANDONED: Message = Message::End(End::Abandoned);
/// Events that may wait for the disk or the terminal before tests do.
const BACKLOG: usize = 4096;
/// Bytes of records that are written although more events were gathered: the journal refuses what is over its backlog.
const MAX_GATHERED_BYTES: usize = 1024 * 1024;
/// Short for a person, long for a thousand tests a second.
const GATHERING: Duration = Duration::from_millis(4);

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use parking_lot::Mutex;

    use super::*;
    use crate::journal::{Entry, JournalReader, MAX_BACKLOG_BYTES};
    use crate::model::{AttemptResult, Failure, Verdict};

    struct Listener(Arc<Mutex<Vec<Event>>>);

    impl Reporter for Listener {
        fn event(&mut self, event: &Event) {
            self.0.lock().push(event.clone());
        }
    }

    fn failure(number: usize, bytes: usize) -> Event {
        let output = Excerpt::of(
            &vec![b'x'; bytes],
            ExcerptLimit {
                head: bytes,
                tail: 0,
            },
        );
        let failed = AttemptResult::Failed(Failure::ExitedEarly);
        Event::AttemptFinished {
            test: TestId::new("p", number.to_string().as_str()),
            attempt: Attempt::new(1, failed)
                .output(Some(OutputExcerpt::new(output, Excerpt::default()))),
            will_retry: false,
        }
    }

    /// Events that were gathered while a reporter was slow were more than the journal keeps back, and those over its
    /// limit were shown and never written, on a disk with nothing wrong.
    #[test]
    fn many_failures_at_once_are_all_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let mut shell = Shell::new(Outlets {
            journal: Some(JournalWriter::create(&path).unwrap()),
            junit: None,
            history: History::default(),
            reporter: Box::new(Listener(Arc::default())),
            arguments: Vec::new(),
        });
        let count = 2 * MAX_BACKLOG_BYTES / (100 * 1024);
        shell.record(&mut (0..count).map(|test| failure(test, 100 * 1024)).collect());
        assert!(!shell.journal_failed);
        let mut journal = JournalReader::open(&path).unwrap();
        assert_eq!(journal.by_ref().count(), count);
        assert!(journal.report().is_whole());
    }

    /// A run that was dropped or failed told its reporter, and its journal, that it had finished after no time at all.
    #[test]
    fn a_run_that_is_abandoned_keeps_its_verdicts_and_is_not_called_finished() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let shown = Arc::new(Mutex::new(Vec::new()));
        let recorder = Recorder::start(Outlets {
            journal: Some(JournalWriter::create(&path).unwrap()),
            junit: Some((JunitReport::new("run"), folder.path().join("junit.xml"))),
            history: History::default(),
            reporter: Box::new(Listener(Arc::clone(&shown))),
            arguments: Vec::new(),
        })
        .unwrap();
        let verdict = Event::TestFinished {
            test: TestId::new("p", "t"),
            verdict: Verdict::Passed,
            duration: Duration::ZERO,
        };
        recorder.events().send(verdict.clone());
        recorder.abandon();
        assert_eq!(*shown.lock(), [verdict]);
        let entries: Vec<_> = JournalReader::open(&path)
            .unwrap()
            .map(Result::unwrap)
            .collect();
        assert!(matches!(
            entries[..],
            [Entry::Record(Record::Verdict { .. })]
        ));
        assert!(!folder.path().join("junit.xml").exists());
    }
}
