//! What can go wrong with an item, and with a run.

use std::any::Any;
use std::fmt;
use std::io;

use crate::log::CheckpointError;
use crate::report::BatchReport;

/// Why an item has no result.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ItemError<E> {
    /// Its last attempt returned an error.
    #[error("failed after {attempts} attempt(s)")]
    Failed {
        /// What the last attempt returned.
        #[source]
        error: E,
        /// Attempts that were made.
        attempts: u32,
    },
    /// It panicked. A panic is a defect, so it is never tried again.
    #[error("panicked: {message}")]
    Panicked {
        /// The message of the panic, if it was text.
        message: String,
        /// Attempts that were made.
        attempts: u32,
    },
    /// A policy decided to leave it out. It does not count as failed.
    #[error("skipped after {attempts} attempt(s)")]
    Skipped {
        /// What the last attempt returned.
        #[source]
        error: E,
        /// Attempts that were made.
        attempts: u32,
    },
}

impl<E> ItemError<E> {
    /// How many attempts were made.
    pub const fn attempts(&self) -> u32 {
        match self {
            Self::Failed { attempts, .. }
            | Self::Panicked { attempts, .. }
            | Self::Skipped { attempts, .. } => *attempts,
        }
    }

    pub(crate) fn panicked(payload: &(dyn Any + Send), attempts: u32) -> Self {
        let message = payload
            .downcast_ref::<&str>()
            .map(|text| (*text).to_owned())
            .or_else(|| payload.downcast_ref::<String>().cloned())
            .unwrap_or_else(|| "(no message)".to_owned());
        Self::Panicked { message, attempts }
    }
}

/// A run that did not come to its end: why, and everything that was done until then.
pub struct BatchError<T, E> {
    stopped: Stopped,
    report: Box<BatchReport<T, E>>,
}

impl<T, E> BatchError<T, E> {
    pub(crate) fn new(stopped: Stopped, report: BatchReport<T, E>) -> Self {
        Self {
            stopped,
            report: Box::new(report),
        }
    }

    /// Why the run ended.
    pub fn stopped(&self) -> &Stopped {
        &self.stopped
    }

    /// Everything that was done until then.
    pub fn report(&self) -> &BatchReport<T, E> {
        &self.report
    }

    /// Everything that was done until then.
    pub fn into_report(self) -> BatchReport<T, E> {
        *self.report
    }

    /// Why the run ended, and everything that was done until then.
    pub fn into_parts(self) -> (Stopped, BatchReport<T, E>) {
        (self.stopped, *self.report)
    }
}

/// Neither `T` nor `E` need be `Debug`.
impl<T, E> fmt::Debug for BatchError<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BatchError")
            .field("stopped", &self.stopped)
            .field("progress", &self.report.progress)
            .finish_non_exhaustive()
    }
}

impl<T, E> fmt::Display for BatchError<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.stopped, f)
    }
}

impl<T, E> std::error::Error for BatchError<T, E> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        std::error::Error::source(&self.stopped)
    }
}

/// Why a run ended before its last item.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Stopped {
    /// More items failed than [`error_threshold`](crate::BatchConfig::error_threshold) allows.
    #[error("more than {threshold} item(s) failed")]
    TooManyErrors {
        /// How many may fail.
        threshold: u64,
    },
    /// Somebody [cancelled](crate::CancelToken::cancel) it.
    #[error("cancelled")]
    Cancelled,
    /// Its processor was [shut down](crate::BatchProcessor::shutdown).
    #[error("the batch processor was shut down")]
    ShutDown,
    /// An item [asked for it](crate::ItemContext::stop_run), for a reason that concerns more than that item.
    #[error("stopped by item {item}: {reason}")]
    ByItem {
        /// The number of the item.
        item: u64,
        /// What it said.
        reason: String,
    },
    /// Memory stayed scarce for as long as new chunks wait for it.
    #[error(
        "memory stayed above its threshold for {waited:?}; raise `memory_threshold`, or make room"
    )]
    Memory {
        /// How long new chunks have waited.
        waited: std::time::Duration,
    },
    /// The checkpoint could not be opened or written.
    #[error("checkpoint failed: {0}")]
    Checkpoint(CheckpointError),
    /// Two slices that belong together are not of one length.
    #[error("there are {items} items and room for {places} results")]
    Lengths {
        /// The items.
        items: usize,
        /// The places for results.
        places: usize,
    },
    /// The system did not start a thread.
    #[error("no thread could be started")]
    Thread(#[source] io::Error),
    /// There is no tokio runtime to run on.
    #[error(
        "no tokio runtime is running here; start the run inside one, or use a form that runs on threads"
    )]
    NoRuntime,
    /// The runtime was shut down during the run.
    #[error("the runtime was shut down during the run")]
    RuntimeGone,
}
