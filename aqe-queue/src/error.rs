//! What can go wrong, cut by what the caller can do about it.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

/// Why an operation was not accepted. Every variant hands the operation back.
#[derive(thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum SubmitError<T> {
    /// As many operations wait as the queue may hold. Try later, or use `submit`, which waits for room.
    #[error("queue is full")]
    Full(T),
    /// Nothing is accepted for the time being: see
    /// [`pause_admission`](crate::AsyncOperationQueue::pause_admission). Try later, or use `submit`, which waits.
    #[error("queue accepts nothing while its admission is paused")]
    Paused(T),
    /// The queue is draining or shut down and will accept nothing more.
    #[error("queue is closed")]
    Closed(T),
    /// The queue has fewer levels than the number asked for.
    #[error("priority level {level} does not exist: the queue has levels 0 to {}", .levels.saturating_sub(1))]
    NoSuchLevel {
        /// The operation, handed back.
        operation: T,
        /// The level that was asked for.
        level: u8,
        /// How many levels the queue has.
        levels: u8,
    },
    /// The queue knows as many [keys](crate::KeyLimits::max_keys) as it may, and this operation's is not one of them.
    #[error("queue knows too many keys")]
    TooManyKeys(T),
    /// The operation alone is heavier than everything that the queue may hold.
    #[error("operation of {weight} bytes will never fit into a queue of {capacity} bytes")]
    TooHeavy {
        /// The operation, handed back.
        operation: T,
        /// Its weight, in bytes.
        weight: u64,
        /// What the queue may hold, in bytes.
        capacity: u64,
    },
    /// No handler is registered for a named operation.
    #[error("no handler is registered for operation `{name}`; registered are: {}", list(.known))]
    Unknown {
        /// The operation, handed back.
        operation: T,
        /// The name that was not found.
        name: Cow<'static, str>,
        /// The names that are registered, in alphabetical order.
        known: Vec<&'static str>,
    },
}

impl<T> SubmitError<T> {
    /// Returns the operation that was not accepted.
    pub fn into_operation(self) -> T {
        match self {
            Self::Full(operation)
            | Self::Paused(operation)
            | Self::Closed(operation)
            | Self::TooManyKeys(operation)
            | Self::NoSuchLevel { operation, .. }
            | Self::TooHeavy { operation, .. }
            | Self::Unknown { operation, .. } => operation,
        }
    }

    /// Returns the same error with something else in the place of the operation, for example `()`.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> SubmitError<U> {
        match self {
            Self::Full(operation) => SubmitError::Full(change(operation)),
            Self::Paused(operation) => SubmitError::Paused(change(operation)),
            Self::Closed(operation) => SubmitError::Closed(change(operation)),
            Self::TooManyKeys(operation) => SubmitError::TooManyKeys(change(operation)),
            Self::NoSuchLevel {
                operation,
                level,
                levels,
            } => SubmitError::NoSuchLevel {
                operation: change(operation),
                level,
                levels,
            },
            Self::TooHeavy {
                operation,
                weight,
                capacity,
            } => SubmitError::TooHeavy {
                operation: change(operation),
                weight,
                capacity,
            },
            Self::Unknown {
                operation,
                name,
                known,
            } => SubmitError::Unknown {
                operation: change(operation),
                name,
                known,
            },
        }
    }
}

/// `T` need not be `Debug`: most operations are closures.
impl<T> fmt::Debug for SubmitError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full(_) => f.write_str("Full(..)"),
            Self::Paused(_) => f.write_str("Paused(..)"),
            Self::Closed(_) => f.write_str("Closed(..)"),
            Self::TooManyKeys(_) => f.write_str("TooManyKeys(..)"),
            Self::NoSuchLevel { level, levels, .. } => f
                .debug_struct("NoSuchLevel")
                .field("level", level)
                .field("levels", levels)
                .finish_non_exhaustive(),
            Self::TooHeavy {
                weight, capacity, ..
            } => f
                .debug_struct("TooHeavy")
                .field("weight", weight)
                .field("capacity", capacity)
                .finish_non_exhaustive(),
            Self::Unknown { name, known, .. } => f
                .debug_struct("Unknown")
                .field("name", name)
                .field("known", known)
                .finish_non_exhaustive(),
        }
    }
}

fn list(names: &[&str]) -> String {
    if names.is_empty() {
        "none".to_owned()
    } else {
        names.join(", ")
    }
}

/// Why an accepted operation did not succeed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OperationError<E> {
    /// The last attempt returned an error that was not to be retried, or no attempt was left.
    #[error("failed after {attempts} attempt(s)")]
    Failed {
        /// What the last attempt returned.
        #[source]
        error: E,
        /// Attempts that were started.
        attempts: u32,
    },
    /// The last attempt took longer than its timeout and was dropped.
    #[error("attempt {attempts} took longer than its timeout of {timeout:?}")]
    TimedOut {
        /// The timeout of one attempt.
        timeout: Duration,
        /// Attempts that were started.
        attempts: u32,
    },
    /// The deadline of the whole operation passed while it was waiting or running.
    #[error("deadline passed after {attempts} attempt(s)")]
    DeadlineExceeded {
        /// Attempts that were started; 0 if the deadline passed in the queue.
        attempts: u32,
    },
    /// The operation was cancelled.
    #[error("cancelled: {reason}")]
    Cancelled {
        /// Who cancelled it.
        reason: CancelReason,
        /// Attempts that were started; 0 if it was cancelled in the queue.
        attempts: u32,
    },
    /// The queue was full and the operation was dropped from it to make room for a more urgent one; see
    /// [`Overflow::ShedLowest`](crate::config::Overflow::ShedLowest).
    #[error("shed to make room for a more urgent operation")]
    Shed {
        /// Attempts that were started.
        attempts: u32,
    },
    /// The queue would not have the operation, which was never queued: for example, its level does not exist. Only
    /// [`run`](crate::AsyncOperationQueue::run) and [`run_all`](crate::AsyncOperationQueue::run_all) say so here;
    /// elsewhere it is a [`SubmitError`].
    #[error("never accepted: {reason}")]
    Refused {
        /// What the [`SubmitError`] said.
        reason: String,
    },
    /// The operation panicked. A panic is a defect, so it is never retried.
    #[error("panicked: {message}")]
    Panicked {
        /// The message of the panic, if it was text.
        message: String,
        /// Attempts that were started.
        attempts: u32,
    },
}

impl<E> OperationError<E> {
    /// Returns how many attempts were started.
    pub const fn attempts(&self) -> u32 {
        match self {
            Self::Failed { attempts, .. }
            | Self::TimedOut { attempts, .. }
            | Self::DeadlineExceeded { attempts }
            | Self::Cancelled { attempts, .. }
            | Self::Shed { attempts }
            | Self::Panicked { attempts, .. } => *attempts,
            Self::Refused { .. } => 0,
        }
    }
}

/// Who cancelled an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CancelReason {
    /// Its handle, a [`Canceller`](crate::Canceller) or [`cancel`](crate::AsyncOperationQueue::cancel).
    Asked,
    /// Its handle was dropped, and the handle's policy was not to detach.
    Dropped,
    /// [`clear`](crate::AsyncOperationQueue::clear).
    Cleared,
    /// The queue was shut down or dropped, or its workers were.
    Shutdown,
    /// A [threshold](crate::threshold) was exceeded whose action is to abort.
    Threshold,
}

impl fmt::Display for CancelReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Asked => "on request",
            Self::Dropped => "its handle was dropped",
            Self::Cleared => "the queue was cleared",
            Self::Shutdown => "the queue was shut down",
            Self::Threshold => "a threshold was exceeded",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refused_operation_comes_back() {
        assert_eq!(SubmitError::Full(7).into_operation(), 7);
        assert_eq!(
            SubmitError::NoSuchLevel {
                operation: 7,
                level: 9,
                levels: 5
            }
            .into_operation(),
            7
        );
    }

    #[test]
    fn messages_say_what_is_possible() {
        let unknown = SubmitError::Unknown {
            operation: (),
            name: "b/1".into(),
            known: vec!["a/1", "c/1"],
        };
        assert_eq!(
            unknown.to_string(),
            "no handler is registered for operation `b/1`; registered are: a/1, c/1"
        );
        let level = SubmitError::NoSuchLevel {
            operation: (),
            level: 9,
            levels: 5,
        };
        assert_eq!(
            level.to_string(),
            "priority level 9 does not exist: the queue has levels 0 to 4"
        );
    }
}
