//! When samples are due, and what goes into one.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant, SystemTime};

use super::System;
use super::readings::{Reading, Readings};
use super::sample::{Parts, SystemSample};

/// The shortest interval. A sample may take a millisecond on a busy machine.
const MIN_INTERVAL: Duration = Duration::from_millis(10);

/// A part of a program that has something to say at each tick, such as a queue.
///
/// Closures are sources.
pub trait Source: Send + 'static {
    /// Adds what there is to say. Called in the sampler's thread, which waits for it: it should not block.
    fn sample(&mut self, readings: &mut Readings);
}

impl<F: FnMut(&mut Readings) + Send + 'static> Source for F {
    fn sample(&mut self, readings: &mut Readings) {
        self(readings);
    }
}

/// What one tick found.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Tick<'t> {
    /// Counts the ticks, from 0.
    pub number: u64,
    /// When it was, on the clock that never steps.
    pub at: Instant,
    /// When it was, on the clock on the wall.
    pub wall: SystemTime,
    /// How many ticks before this one were left out because this program, or the machine, was late.
    pub skipped: u64,
    /// The system.
    pub system: SystemSample,
    /// The system and all sources, as numbers with names.
    pub readings: &'t [Reading],
    /// Sources that panicked, and are not asked again.
    pub failed_sources: &'t [String],
}

/// Takes a sample whenever one is due: the state, without clock and thread.
pub struct Sampler {
    interval: Duration,
    system: System,
    sources: Vec<(String, Box<dyn Source>)>,
    readings: Readings,
    failed: Vec<String>,
    number: u64,
    next: Option<Instant>,
}

impl fmt::Debug for Sampler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sources: Vec<_> = self.sources.iter().map(|(name, _)| name).collect();
        f.debug_struct("Sampler")
            .field("interval", &self.interval)
            .field("sources", &sources)
            .field("number", &self.number)
            .finish_non_exhaustive()
    }
}

impl Default for Sampler {
    /// One that samples every five seconds: fine enough to see what a person would, at a thousandth of a percent of a
    /// processor.
    fn default() -> Self {
        Self::new(Duration::from_secs(5))
    }
}

impl Sampler {
    /// One that samples all parts of the system every `interval`, which is at least 10 ms.
    #[must_use]
    pub fn new(interval: Duration) -> Self {
        Self::with_parts(interval, Parts::default())
    }

    /// One that samples some parts of the system only.
    #[must_use]
    pub fn with_parts(interval: Duration, parts: Parts) -> Self {
        Self {
            interval: interval.max(MIN_INTERVAL),
            system: System::new(parts),
            sources: Vec::new(),
            readings: Readings::default(),
            failed: Vec::new(),
            number: 0,
            next: None,
        }
    }

    /// Adds a part of the program, by a name for messages.
    pub fn add(&mut self, name: impl Into<String>, source: impl Source) {
        self.sources.push((name.into(), Box::new(source)));
    }

    /// How often it samples.
    #[must_use]
    pub fn interval(&self) -> Duration {
        self.interval
    }

    /// When the next sample is due: at once before the first.
    #[must_use]
    pub fn next(&self) -> Instant {
        self.next.unwrap_or_else(Instant::now)
    }

    /// Takes a sample now. The next is due one interval after this one was.
    ///
    /// After a pause of several intervals, as when a laptop slept, there is one sample and no burst of them.
    pub fn tick(&mut self, now: Instant, wall: SystemTime) -> Tick<'_> {
        let due = self.next.unwrap_or(now);
        let late = now.saturating_duration_since(due).as_nanos() / self.interval.as_nanos();
        let skipped = u64::try_from(late).unwrap_or(u64::MAX);
        // On the beat of the first tick as long as it is kept; from now on when the sum is out of range.
        let beats = u32::try_from(skipped.saturating_add(1)).ok();
        let next = beats.and_then(|beats| due.checked_add(self.interval.checked_mul(beats)?));
        self.next = next
            .or_else(|| now.checked_add(self.interval))
            .or(self.next);

        let system = self.system.sample(now);
        self.readings.clear();
        system.add_to(&mut self.readings);
        self.ask_sources();
        let number = self.number;
        self.number += 1;
        Tick {
            number,
            at: now,
            wall,
            skipped,
            system,
            readings: self.readings.as_slice(),
            failed_sources: &self.failed,
        }
    }

    fn ask_sources(&mut self) {
        let (readings, failed) = (&mut self.readings, &mut self.failed);
        self.sources.retain_mut(|(name, source)| {
            let before = readings.as_slice().len();
            // A source that panics may be in any state: it is dropped, and nothing of it is used again.
            let asked = catch_unwind(AssertUnwindSafe(|| source.sample(readings)));
            if asked.is_err() {
                readings.truncate(before);
                failed.push(std::mem::take(name));
            }
            asked.is_ok()
        });
    }
}
