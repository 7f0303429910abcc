//! Runs, as a program tells of them. The monitor's thread notes them in the history.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::SystemTime;

use super::shared::Shared;

/// What is noted about a run when it begins; see [`Monitor::run`](super::Monitor::run).
#[derive(Debug)]
#[must_use = "a run is noted by `begin`"]
pub struct RunBuilder {
    shared: Arc<Shared>,
    name: String,
    version: Version,
    labels: Vec<(String, String)>,
}

impl RunBuilder {
    pub(super) fn new(shared: Arc<Shared>, name: String) -> Self {
        Self {
            shared,
            name,
            version: Version::Known(String::new()),
            labels: Vec::new(),
        }
    }

    /// Says in which version it runs: a tag or a commit, of at most 256 bytes. None by default.
    pub fn version(mut self, version: impl Into<String>) -> Self {
        self.version = Version::Known(version.into());
        self
    }

    /// Has the version found out in the monitor's thread, because it takes a while: by asking git, for instance. Ticks, and
    /// the end of the monitor, wait for it.
    pub fn version_by(mut self, find: impl FnOnce() -> String + Send + 'static) -> Self {
        self.version = Version::Found(Box::new(find));
        self
    }

    /// Adds a label; at most 32.
    pub fn label(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.labels.push((name.into(), value.into()));
        self
    }

    /// Notes that it begins now. Does not wait for the history: what it cannot take is a
    /// [problem](super::Monitor::problems).
    pub fn begin(self) -> MonitoredRun {
        let number = self.shared.next_run();
        self.shared.order(Order::Begin {
            number,
            name: self.name,
            version: self.version,
            labels: self.labels,
            at: self.shared.clock.wall(),
        });
        MonitoredRun {
            shared: self.shared,
            number,
        }
    }
}

/// A run that has begun. Dropped without its [`end`](Self::end), it looks as one whose process was killed: it has not
/// ended.
#[derive(Debug)]
pub struct MonitoredRun {
    shared: Arc<Shared>,
    /// Tells runs of this monitor apart.
    number: u64,
}

impl MonitoredRun {
    /// Notes a number that it came to, so far or in the end. A name that it has already gets another value; one that is
    /// not finite is left out.
    pub fn result(&self, name: impl Into<String>, value: f64) {
        self.results([(name.into(), value)]);
    }

    /// Notes several numbers at once, in one write.
    pub fn results(&self, results: impl IntoIterator<Item = (impl Into<String>, f64)>) {
        let results = results.into_iter();
        let results = results.map(|(name, value)| (name.into(), value)).collect();
        let number = self.number;
        self.shared.order(Order::Results { number, results });
    }

    /// Notes that it ends now.
    pub fn end(self) {
        let number = self.number;
        let at = self.shared.clock.wall();
        self.shared.order(Order::End { number, at });
    }
}

/// A version, or how to come by it.
pub(super) enum Version {
    Known(String),
    Found(Box<dyn FnOnce() -> String + Send>),
}

impl Version {
    /// The version; none if finding it panics.
    pub(super) fn find(self) -> String {
        match self {
            Self::Known(version) => version,
            // What a closure that panicked has left is dropped with it.
            Self::Found(find) => catch_unwind(AssertUnwindSafe(find)).unwrap_or_default(),
        }
    }
}

impl fmt::Debug for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Known(version) => version.fmt(f),
            Self::Found(_) => f.write_str("to be found"),
        }
    }
}

/// What the thread is to note.
#[derive(Debug)]
pub(super) enum Order {
    Begin {
        number: u64,
        name: String,
        version: Version,
        labels: Vec<(String, String)>,
        at: SystemTime,
    },
    Results {
        number: u64,
        results: Vec<(String, f64)>,
    },
    End {
        number: u64,
        at: SystemTime,
    },
}
