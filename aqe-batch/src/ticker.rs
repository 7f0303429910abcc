//! What happens beside the items: memory, chunk size and progress, a few times a second.
//!
//! None of it is on the path of an item. Workers read flags that the ticker sets, and it reads the counters that they
//! write. It neither sleeps nor reads a clock: its two shells do, one on a thread and one on the runtime.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crossbeam_utils::CachePadded;

use crate::adaptive::{self, Sizer};
use crate::config::{BatchConfig, Sizing};
use crate::error::Stopped;
use crate::memory::{self, Memory, Verdict, Watch};
use crate::meter::{Counts, Meter};
use crate::progress::{Pace, Progress, Publisher};
use crate::switch::Switch;

/// Is called with the progress.
type Callback = Box<dyn FnMut(&Progress) + Send>;

/// Who is told of progress.
#[derive(Default)]
pub(crate) struct Audience {
    pub(crate) callback: Option<Callback>,
    pub(crate) publisher: Option<Publisher>,
    pub(crate) probe: Option<memory::Probe>,
    pub(crate) bytes: Option<ByteCounter>,
}

impl Audience {
    /// The counter of bytes, which is made if there is none.
    pub(crate) fn bytes(&mut self) -> ByteCounter {
        self.bytes.get_or_insert_default().clone()
    }
}

/// Counts bytes that items have processed, for [`Progress::bytes`]. Clones count together.
///
/// On the runtime, items have [`ItemContext::add_bytes`](crate::ItemContext::add_bytes).
#[derive(Clone, Debug, Default)]
pub struct ByteCounter {
    bytes: Arc<CachePadded<AtomicU64>>,
}

impl ByteCounter {
    /// A counter that begins with none.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds bytes.
    pub fn add(&self, bytes: u64) {
        // Relaxed: it orders nothing.
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// How many it has counted.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }
}

impl fmt::Debug for Audience {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Audience")
            .field("callback", &self.callback.is_some())
            .field("publisher", &self.publisher.is_some())
            .finish_non_exhaustive()
    }
}

/// What an earlier run had done.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Before {
    pub(crate) done: u64,
    pub(crate) skipped: u64,
}

pub(crate) struct Ticker {
    switch: Arc<Switch>,
    meters: Arc<[Meter]>,
    audience: Audience,
    memory: Option<Memory>,
    sizer: Option<Sizer>,
    pace: Pace,
    interval: Duration,
    /// When memory is looked at next.
    look_at: Duration,
    /// When progress is told next.
    tell_at: Duration,
    before: Before,
    total: Option<u64>,
    waits: bool,
}

impl Ticker {
    pub(crate) fn new(
        config: &BatchConfig,
        switch: Arc<Switch>,
        meters: Arc<[Meter]>,
        mut audience: Audience,
        before: Before,
        total: Option<u64>,
    ) -> Self {
        let memory = config.memory_threshold.map(|percent| Memory {
            probe: audience.probe.take().unwrap_or_else(memory::probe),
            watch: Watch::new(percent, config.memory_patience),
        });
        let sizer = match config.sizing {
            Sizing::Fixed => None,
            Sizing::Adaptive { least, most } => Some(Sizer::new(
                config.chunk_size,
                least,
                most,
                config.concurrency,
            )),
        };
        Self {
            switch,
            meters,
            audience,
            memory,
            sizer,
            pace: Pace::new(),
            interval: config.progress_interval,
            look_at: Duration::ZERO,
            tell_at: config.progress_interval,
            before,
            total,
            waits: false,
        }
    }

    /// How long to wait from one tick to the next.
    pub(crate) fn every(&self) -> Duration {
        let every = self.interval.min(memory::LOOK_EVERY);
        match self.sizer {
            Some(_) => every.min(adaptive::LOOK_EVERY),
            None => every,
        }
    }

    /// Looks at everything; `now` is the time since the run began.
    pub(crate) fn tick(&mut self, now: Duration) {
        if now >= self.look_at {
            self.look_at = now + memory::LOOK_EVERY.min(self.interval);
            self.look_at_memory(now);
        }
        let counts = Counts::of(&self.meters);
        if let Some(sizer) = &mut self.sizer {
            self.switch.set_chunk(sizer.observe(now, counts.ended()));
        }
        let progress = self.progress(now, counts);
        if now >= self.tell_at {
            self.tell_at = now + self.interval;
            self.tell(progress);
        }
    }

    /// The last progress. `total` is what the source turned out to have, if it came to its end.
    pub(crate) fn finish(&mut self, now: Duration, total: Option<u64>) -> Progress {
        self.total = total.or(self.total);
        self.waits = false;
        let mut progress = self.progress(now, Counts::of(&self.meters));
        progress.is_last = true;
        self.tell(progress);
        progress
    }

    fn look_at_memory(&mut self, now: Duration) {
        let Some(memory) = &mut self.memory else {
            return;
        };
        let verdict = memory.watch.look(now, (memory.probe)());
        self.waits = verdict == Verdict::Wait;
        self.switch.hold(self.waits);
        if let Verdict::GiveUp { waited } = verdict {
            self.switch.stop(Stopped::Memory { waited });
        }
    }

    fn progress(&mut self, now: Duration, counts: Counts) -> Progress {
        let rate = self.pace.note(now, counts.ended());
        let done = self.before.done + counts.ended();
        let left = self.total.map(|total| total.saturating_sub(done));
        Progress {
            total: self.total,
            done,
            restored: self.before.done,
            failed: counts.failed,
            skipped: self.before.skipped + counts.skipped,
            retried: counts.retried,
            bytes: counts.bytes + self.audience.bytes.as_ref().map_or(0, ByteCounter::get),
            elapsed: now,
            rate,
            time_left: left.and_then(|left| Pace::time_left(left, rate)),
            waits_for_memory: self.waits,
            memory_wait: self
                .memory
                .as_ref()
                .map_or(Duration::ZERO, |memory| memory.watch.waited(now)),
            chunk_size: self.switch.chunk(),
            is_last: false,
        }
    }

    fn tell(&mut self, progress: Progress) {
        if let Some(callback) = &mut self.audience.callback {
            callback(&progress);
        }
        if let Some(publisher) = &self.audience.publisher {
            publisher.publish(progress);
        }
    }
}
