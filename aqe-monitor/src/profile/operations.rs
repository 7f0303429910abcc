//! Named operations by phase: how long they waited, how long they ran, how often.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::RwLock;

use super::times::Times;

/// Profiles of named operations, always on.
///
/// An operation has three transitions: queued, started, ended. Whoever drives it has read a clock at each of them anyway,
/// and hands the number on: nanoseconds since any fixed moment. Recording one takes two look-ups in a table of counters
/// and some additions; a clone of the handle of a name spares the look-up of the name.
///
/// ```
/// use aqe_monitor::profile::Operations;
///
/// let operations = Operations::new();
/// let parse = operations.operation("parse");
/// for i in 0..100_u64 {
///     let waiting = parse.queued(i * 1_000);
///     let running = waiting.started(i * 1_000 + 200);
///     running.ended(i * 1_000 + 200 + 700);
/// }
///
/// let [profile] = operations.profiles().try_into().expect("one name");
/// assert_eq!((profile.name.as_str(), profile.iterations), ("parse", 100));
/// assert_eq!((profile.queued.mean, profile.running.mean), (200.0, 700.0));
/// assert!(profile.running.p99.abs_diff(700) <= 700 / 64);
/// ```
#[derive(Clone, Debug)]
pub struct Operations {
    names: Arc<RwLock<HashMap<String, OperationRecorder>>>,
    most: usize,
}

impl Operations {
    /// Knows no operation yet, and at most 1,024 by name.
    #[must_use]
    pub fn new() -> Self {
        Self::with_most_names(1024)
    }

    /// Knows at most so many by name, at about 6 KiB each; all further ones are one, [`Operations::OTHER`].
    #[must_use]
    pub fn with_most_names(most: usize) -> Self {
        Self {
            names: Arc::default(),
            most,
        }
    }

    /// The name of all operations for whose own name there is no room.
    pub const OTHER: &'static str = "(other)";

    /// The recorder of a name; names are cut after 256 bytes.
    #[must_use]
    pub fn operation(&self, name: &str) -> OperationRecorder {
        let name = &name[..name.floor_char_boundary(LONGEST_NAME)];
        if let Some(recorder) = self.names.read().get(name) {
            return recorder.clone();
        }
        let mut names = self.names.write();
        let full = names.len() >= self.most && !names.contains_key(name);
        let name = if full { Self::OTHER } else { name };
        names.entry(name.to_owned()).or_default().clone()
    }

    /// What was recorded so far, the name that ran longest in all first. Taken while others record: a profile may hold
    /// an operation's wait and not yet its run.
    #[must_use]
    pub fn profiles(&self) -> Vec<OperationProfile> {
        let names = self.names.read();
        let mut profiles: Vec<_> = names
            .iter()
            .map(|(name, recorder)| recorder.profile(name))
            .collect();
        profiles.sort_by(|a, b| {
            b.running
                .total
                .cmp(&a.running.total)
                .then_with(|| a.name.cmp(&b.name))
        });
        profiles
    }

    /// Forgets all names. Recorders that are in use go on for themselves, unseen.
    pub fn clear(&self) {
        self.names.write().clear();
    }
}

impl Default for Operations {
    fn default() -> Self {
        Self::new()
    }
}

/// Records operations of one name; clones record the same.
#[derive(Clone, Debug)]
pub struct OperationRecorder {
    counters: Arc<Counters>,
}

#[derive(Debug)]
struct Counters {
    queued: Times,
    running: Times,
    failures: AtomicU64,
}

impl Default for OperationRecorder {
    fn default() -> Self {
        let counters = Counters {
            queued: Times::new(),
            running: Times::new(),
            failures: AtomicU64::new(0),
        };
        Self {
            counters: Arc::new(counters),
        }
    }
}

impl OperationRecorder {
    /// An operation is queued at `now`, in nanoseconds.
    #[must_use = "an operation that is dropped is not recorded"]
    pub fn queued(&self, now: u64) -> QueuedOperation {
        QueuedOperation {
            recorder: self.clone(),
            at: now,
        }
    }

    /// Records how long an operation waited and ran, in nanoseconds.
    pub fn record(&self, queued: u64, running: u64) {
        self.counters.queued.add(queued);
        self.counters.running.add(running);
    }

    fn profile(&self, name: &str) -> OperationProfile {
        let running = PhaseProfile::of(&self.counters.running);
        OperationProfile {
            name: name.to_owned(),
            iterations: running.count,
            failures: self.counters.failures.load(Ordering::Relaxed),
            queued: PhaseProfile::of(&self.counters.queued),
            running,
        }
    }
}

/// An operation that waits. Dropped, it is not recorded: it was cancelled.
#[derive(Debug)]
pub struct QueuedOperation {
    recorder: OperationRecorder,
    at: u64,
}

impl QueuedOperation {
    /// It starts at `now`. A clock that went back gives a wait of 0.
    #[must_use = "an operation that is dropped is recorded as one that waited, not as one that ran"]
    pub fn started(self, now: u64) -> RunningOperation {
        self.recorder
            .counters
            .queued
            .add(now.saturating_sub(self.at));
        RunningOperation {
            recorder: self.recorder,
            at: now,
        }
    }
}

/// An operation that runs. Dropped, its run is not recorded.
#[derive(Debug)]
pub struct RunningOperation {
    recorder: OperationRecorder,
    at: u64,
}

impl RunningOperation {
    /// It ends well at `now`.
    pub fn ended(self, now: u64) {
        self.recorder
            .counters
            .running
            .add(now.saturating_sub(self.at));
    }

    /// It fails at `now`: its time counts, and so does the failure.
    pub fn failed(self, now: u64) {
        self.recorder
            .counters
            .failures
            .fetch_add(1, Ordering::Relaxed);
        self.ended(now);
    }
}

/// What was recorded of a name.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct OperationProfile {
    /// The name.
    pub name: String,
    /// Operations that ended, well or not.
    pub iterations: u64,
    /// Operations that failed.
    pub failures: u64,
    /// From queued to started.
    pub queued: PhaseProfile,
    /// From started to ended.
    pub running: PhaseProfile,
}

/// Times of a phase, in nanoseconds. Percentiles are off by at most 1/64 of themselves.
#[derive(Clone, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct PhaseProfile {
    /// Operations that went through it.
    pub count: u64,
    /// All their times together; wraps after 584 years.
    pub total: u64,
    /// Mean; 0 if there were none.
    pub mean: f64,
    /// Shortest.
    pub min: u64,
    /// Longest.
    pub max: u64,
    /// Half of them took at most this.
    pub p50: u64,
    /// Nine of ten.
    pub p90: u64,
    /// 95 of 100.
    pub p95: u64,
    /// 99 of 100.
    pub p99: u64,
}

impl PhaseProfile {
    fn of(times: &Times) -> Self {
        let counts = times.counts();
        let count: u64 = counts.iter().map(|&(_, count)| count).sum();
        if count == 0 {
            return Self::default();
        }
        let (min, max) = times.range();
        let percentile = |share: f64| {
            let rank = (share * count as f64).ceil() as u64;
            let mut seen = 0;
            let found = counts.iter().find(|&&(_, count)| {
                seen += count;
                seen >= rank
            });
            found.map_or(max, |&(time, _)| time.clamp(min, max))
        };
        let total = times.total();
        let [p50, p90, p95, p99] = [0.5, 0.9, 0.95, 0.99].map(percentile);
        Self {
            count,
            total,
            mean: total as f64 / count as f64,
            min,
            max,
            p50,
            p90,
            p95,
            p99,
        }
    }
}

/// Names are for people.
const LONGEST_NAME: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_the_sorted_times() {
        let operations = Operations::new();
        let recorder = operations.operation("a");
        let mut times: Vec<u64> = (0..1000_u64).map(|i| i * i * 37 % 1_000_003).collect();
        times
            .iter()
            .for_each(|&time| recorder.record(time / 2, time));
        times.sort_unstable();
        let profile = operations.profiles().remove(0);
        let running = &profile.running;
        assert_eq!((running.count, running.total), (1000, times.iter().sum()));
        assert_eq!((running.min, running.max), (times[0], times[999]));
        for (seen, rank) in [
            (running.p50, 500),
            (running.p90, 900),
            (running.p95, 950),
            (running.p99, 990),
        ] {
            let exact = times[rank - 1];
            assert!(seen.abs_diff(exact) <= exact / 32, "{seen} for {exact}");
        }
        assert_eq!(profile.queued.max, times[999] / 2);
    }

    #[test]
    fn operations_that_are_dropped_or_fail_are_told_apart() {
        let operations = Operations::new();
        let recorder = operations.operation("a");
        drop(recorder.queued(0));
        drop(recorder.queued(0).started(5));
        recorder.queued(0).started(5).failed(9);
        // The clock goes back.
        recorder.queued(10).started(5).ended(4);
        let profile = operations.profiles().remove(0);
        assert_eq!(
            (profile.iterations, profile.failures, profile.queued.count),
            (2, 1, 3)
        );
        assert_eq!((profile.running.min, profile.running.max), (0, 4));
    }

    #[test]
    fn names_beyond_the_bound_are_one() {
        let operations = Operations::with_most_names(2);
        for name in ["a", "b", "c", "d", "a"] {
            operations.operation(name).record(0, 1);
        }
        let mut seen: Vec<_> = operations
            .profiles()
            .into_iter()
            .map(|p| (p.name, p.iterations))
            .collect();
        seen.sort();
        let expected = [(Operations::OTHER, 2), ("a", 2), ("b", 1)];
        assert_eq!(seen, expected.map(|(name, count)| (name.to_owned(), count)));
        operations.operation(&"ü".repeat(1000)).record(0, 1);
        operations.clear();
        assert!(operations.profiles().is_empty());
        let long = "ü".repeat(1000);
        operations.operation(&long).record(0, 1);
        assert_eq!(operations.profiles()[0].name.len(), 256);
    }

    #[test]
    fn nothing_recorded_is_nothing() {
        let operations = Operations::default();
        let _ = operations.operation("idle");
        assert_eq!(operations.profiles()[0].running, PhaseProfile::default());
    }
}
