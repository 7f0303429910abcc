//! What became of operations that failed for good, with the history of their attempts.
//!
//! A handle tells its owner how an operation ended. Where nobody holds handles, or somebody else is to look into
//! failures later, a queue is given a [`DeadLetters`]: it is told of every operation that failed, timed out, missed
//! its deadline or panicked, but of none that was cancelled. [`DeadLetterBox`] keeps the latest in memory.
//!
//! Without one a queue keeps no history. With one each operation costs an allocation and each attempt a clock reading.

use std::any::Any;
use std::collections::VecDeque;
use std::error::Error;
use std::fmt;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::events::EndedAs;
use crate::handle::OperationId;
use crate::named::HandlerError;

/// Takes the operations that failed for good.
///
/// It is called outside the queue's locks, by a worker, before the operation's handle knows of the end: one that
/// blocks holds up operations. A panic in it is caught and ignored.
pub trait DeadLetters: Send + Sync + 'static {
    /// Takes one.
    fn bury(&self, letter: DeadLetter);

    /// Returns the text of an error, or `None` if its type is not known here; the name of the type is used then. More
    /// than [`MAX_TEXT`] bytes are cut off. Otherwise, texts and the usual errors of `std` and of this crate are known.
    fn describe(&self, error: &(dyn Any + Send)) -> Option<String> {
        describe(error)
    }
}

/// At most this many attempts of one operation are kept: the first, and the latest after it.
pub const MAX_ATTEMPTS: usize = 16;

/// At most this many bytes are kept of the text of one error.
pub const MAX_TEXT: usize = 1_024;

/// An operation that failed for good.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DeadLetter {
    /// The operation.
    pub id: OperationId,
    /// Its level; 0 is the most urgent.
    pub level: u8,
    /// How it ended.
    pub how: EndedAs,
    /// Attempts that were started; 0 if its deadline passed in the queue.
    pub attempts: u32,
    /// The attempts that failed, in their order.
    pub history: Vec<FailedAttempt>,
    /// How many more there were, after the first of `history`: see [`MAX_ATTEMPTS`].
    pub omitted: u32,
}

/// One attempt that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FailedAttempt {
    /// 1 for the first.
    pub number: u32,
    /// What went wrong.
    pub failure: Failure,
    /// When it started, by tokio's clock.
    pub started: Instant,
    /// How long it ran.
    pub duration: Duration,
}

/// What went wrong in an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Failure {
    /// It returned an error, with this text.
    Error(String),
    /// It took too long and was dropped.
    TimedOut,
    /// It was dropped because the deadline of the operation had passed.
    DeadlineExceeded,
    /// It panicked, with this message.
    Panicked(String),
}

impl Failure {
    pub(crate) fn of<E: Send + 'static>(error: &E, sink: &dyn DeadLetters) -> Self {
        let text = sink.describe(error);
        Self::Error(text.unwrap_or_else(|| std::any::type_name::<E>().to_owned()))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Error(text) => f.write_str(text),
            Self::TimedOut => f.write_str("timed out"),
            Self::DeadlineExceeded => f.write_str("deadline passed"),
            Self::Panicked(message) => write!(f, "panicked: {message}"),
        }
    }
}

/// Keeps the latest dead letters in memory.
///
/// ```
/// use std::sync::Arc;
/// use aqe_queue::dead_letters::{DeadLetterBox, Failure};
/// use aqe_queue::{AsyncOperationQueue, QueueConfig, RetryPolicy};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let dead = Arc::new(DeadLetterBox::new(100));
/// let queue = AsyncOperationQueue::builder(QueueConfig::default()).dead_letters(dead.clone()).build()?;
/// let failing = queue.operation(|_| async { Err::<(), _>("no such page") }).retry(RetryPolicy::none());
/// failing.submit().await?.detach();
/// queue.idle().await;
/// let letters = dead.take();
/// assert_eq!(letters[0].history[0].failure, Failure::Error("no such page".to_owned()));
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct DeadLetterBox {
    capacity: usize,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    letters: VecDeque<DeadLetter>,
    lost: u64,
}

impl DeadLetterBox {
    /// Makes a box for at most `capacity` letters; with 0 it only counts.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self {
            capacity,
            kept: Mutex::default(),
        }
    }

    /// Takes out what is there, oldest first.
    #[must_use]
    pub fn take(&self) -> Vec<DeadLetter> {
        std::mem::take(&mut self.kept.lock().letters).into()
    }

    /// Returns how many letters there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.kept.lock().letters.len()
    }

    /// Returns whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns how many letters, the oldest each time, had to make room for others.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.kept.lock().lost
    }
}

impl DeadLetters for DeadLetterBox {
    fn bury(&self, letter: DeadLetter) {
        let mut kept = self.kept.lock();
        kept.letters.push_back(letter);
        if kept.letters.len() > self.capacity {
            kept.letters.pop_front();
            kept.lost += 1;
        }
    }
}

/// What is known of the attempts of one operation.
#[derive(Debug, Default)]
pub(crate) struct History {
    failed: Vec<FailedAttempt>,
    omitted: u32,
    /// When the present attempt started.
    started: Option<Instant>,
}

impl History {
    pub(crate) const fn start(&mut self, now: Instant) {
        self.started = Some(now);
    }

    /// Ends the present attempt, if there is one.
    pub(crate) fn fail(&mut self, number: u32, mut failure: Failure, now: Instant) {
        let Some(started) = self.started.take() else {
            return;
        };
        if let Failure::Error(text) | Failure::Panicked(text) = &mut failure {
            text.truncate(text.floor_char_boundary(MAX_TEXT));
        }
        if self.failed.len() == MAX_ATTEMPTS {
            self.failed.remove(1);
            self.omitted = self.omitted.saturating_add(1);
        }
        self.failed.push(FailedAttempt {
            number,
            failure,
            started,
            duration: now.saturating_duration_since(started),
        });
    }

    pub(crate) fn into_letter(
        self,
        id: OperationId,
        level: u8,
        how: EndedAs,
        attempts: u32,
    ) -> DeadLetter {
        DeadLetter {
            id,
            level,
            how,
            attempts,
            history: self.failed,
            omitted: self.omitted,
        }
    }
}

fn describe(error: &(dyn Any + Send)) -> Option<String> {
    fn shown<E: fmt::Display + 'static>(error: &(dyn Any + Send)) -> Option<String> {
        error.downcast_ref::<E>().map(E::to_string)
    }
    shown::<&'static str>(error)
        .or_else(|| shown::<String>(error))
        .or_else(|| shown::<HandlerError>(error))
        .or_else(|| shown::<std::io::Error>(error))
        .or_else(|| shown::<Box<dyn Error + Send + Sync>>(error))
        .or_else(|| shown::<Box<dyn Error + Send>>(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn history_is_bounded_and_keeps_the_first_and_the_latest() {
        let (mut history, now) = (History::default(), Instant::now());
        for number in 1..=100 {
            history.start(now);
            history.fail(number, Failure::TimedOut, now + Duration::from_millis(3));
        }
        // An end between two attempts adds none.
        history.fail(100, Failure::DeadlineExceeded, now);
        let letter = history.into_letter(OperationId::new(1), 0, EndedAs::TimedOut, 100);
        let numbers: Vec<_> = letter.history.iter().map(|it| it.number).collect();
        assert_eq!(numbers[..2], [1, 86]);
        assert_eq!((numbers.len(), letter.omitted), (MAX_ATTEMPTS, 84));
        assert_eq!(letter.history[15].duration, Duration::from_millis(3));
    }

    #[test]
    fn text_is_cut_between_characters() {
        let (mut history, now) = (History::default(), Instant::now());
        history.start(now);
        history.fail(1, Failure::Error("€".repeat(1_000)), now);
        let Failure::Error(text) = &history.failed[0].failure else {
            unreachable!()
        };
        assert_eq!(text.len(), 1_023);
    }

    #[test]
    fn usual_errors_have_a_text() {
        let error: Box<dyn Error + Send + Sync> = "boxed".into();
        assert_eq!(describe(&error).as_deref(), Some("boxed"));
        assert_eq!(describe(&"text").as_deref(), Some("text"));
        let error = std::io::Error::other("disk");
        assert_eq!(describe(&error).as_deref(), Some("disk"));
        assert_eq!(describe(&7u8), None);
    }

    #[test]
    fn full_box_loses_the_oldest_and_counts() {
        let kept = DeadLetterBox::new(2);
        for id in 0..5 {
            let history = History::default();
            kept.bury(history.into_letter(OperationId::new(id), 0, EndedAs::Failed, 1));
        }
        let ids: Vec<_> = kept.take().iter().map(|letter| letter.id.get()).collect();
        assert_eq!((ids, kept.lost(), kept.is_empty()), (vec![3, 4], 3, true));
    }
}
