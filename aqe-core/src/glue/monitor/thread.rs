//! The monitor's thread: when a tick is due, and what belongs to one.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use aqe_monitor::registry::Counter;
use aqe_monitor::sampler::Sampler;

use super::MonitorTick;
#[cfg(feature = "monitor-history")]
use super::keep::Keeper;
use super::shared::{Part, Shared};

/// Wants to know of each tick.
pub(super) type Listener = Box<dyn FnMut(&MonitorTick) + Send>;

/// Starts the thread. Without one, the monitor is over before it began.
pub(super) fn spawn(
    shared: Arc<Shared>,
    sampler: Sampler,
    listeners: Vec<Listener>,
    #[cfg(feature = "monitor-history")] keeper: Option<Keeper>,
) {
    let end = End(Arc::clone(&shared));
    let looker = Looker {
        shared,
        beat: Beat::every(sampler.interval()),
        sampler,
        parts: Vec::new(),
        listeners,
        failed_sources: 0,
        skipped: Counter::default(),
        #[cfg(feature = "monitor-history")]
        keeper,
    };
    let shared = Arc::clone(&end.0);
    let body = move || {
        // Dropped after the looker, with all that it holds.
        let _end = end;
        looker.run();
    };
    // What the closure holds is dropped if there is no thread, which ends it.
    let started = thread::Builder::new()
        .name("aqe-monitor".to_owned())
        .spawn(body);
    if let Err(error) = started {
        shared.problem_text(&format!("cannot start the thread of the monitor: {error}"));
    }
}

/// However the thread ends, those who wait for it hear of it.
struct End(Arc<Shared>);

impl Drop for End {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0
                .problem_text("the thread of the monitor has panicked");
        }
        self.0.over();
    }
}

struct Looker {
    shared: Arc<Shared>,
    beat: Beat,
    sampler: Sampler,
    parts: Vec<(String, Part)>,
    listeners: Vec<Listener>,
    /// How many sources were known to have panicked.
    failed_sources: usize,
    skipped: Counter,
    #[cfg(feature = "monitor-history")]
    keeper: Option<Keeper>,
}

impl Looker {
    fn run(mut self) {
        match self
            .shared
            .registry
            .counter("aqe_monitor_ticks_skipped_total")
        {
            Ok(counter) => self.skipped = counter,
            Err(error) => self.shared.problem(&error),
        }
        loop {
            let taken = self.shared.take();
            self.parts.extend(taken.parts);
            let now = self.shared.clock.now();
            let is_due = self.beat.is_due(now);
            if is_due {
                self.skipped.add(self.beat.next_after(now));
            }
            #[cfg(feature = "monitor-history")]
            if let Some(keeper) = &mut self.keeper {
                keeper.open_if_due(&self.shared, is_due || taken.stop);
                keeper.obey(&self.shared);
            }
            if is_due || taken.stop || taken.asked.is_some() {
                self.tick(now);
            }
            if let Some(asked) = taken.asked {
                self.shared.answer(asked);
            }
            if taken.stop {
                return;
            }
            self.shared
                .clock
                .wait(self.beat.next(), &self.shared.roused);
        }
    }

    fn tick(&mut self, now: Instant) {
        self.ask_parts();
        let wall = self.shared.clock.wall();
        let tick = self.sampler.tick(now, wall);
        for source in &tick.failed_sources[self.failed_sources..] {
            self.shared.problem_text(&format!(
                "source `{source}` has panicked, and is not asked again"
            ));
        }
        self.failed_sources = tick.failed_sources.len();
        #[cfg(feature = "monitor-history")]
        if let Some(keeper) = &mut self.keeper {
            keeper.keep(&self.shared, &tick);
        }
        let tick = MonitorTick {
            number: tick.number,
            wall,
            system: tick.system,
            readings: tick.readings.to_vec(),
        };
        self.tell(&tick);
        self.shared.show(tick);
    }

    fn tell(&mut self, tick: &MonitorTick) {
        let shared = &self.shared;
        self.listeners.retain_mut(|listener| {
            // As with parts: one that panics may be in any state.
            let told = catch_unwind(AssertUnwindSafe(|| listener(tick)));
            if told.is_err() {
                shared.problem_text("a listener to ticks has panicked, and is not called again");
            }
            told.is_ok()
        });
    }

    fn ask_parts(&mut self) {
        let shared = &self.shared;
        self.parts.retain_mut(|(name, part)| {
            // A part that panics may be in any state: it is dropped, and nothing of it is used again.
            let asked = catch_unwind(AssertUnwindSafe(part));
            if asked.is_err() {
                shared.problem_text(&format!("`{name}` has panicked, and is not asked again"));
            }
            asked.unwrap_or(false)
        });
    }
}

/// When ticks are due: on the beat of the first, as long as it is kept. Ticks between do not move it.
struct Beat {
    interval: Duration,
    /// `None` before the first.
    due: Option<Instant>,
}

impl Beat {
    fn every(interval: Duration) -> Self {
        Self {
            interval,
            due: None,
        }
    }

    fn is_due(&self, now: Instant) -> bool {
        self.due.is_none_or(|due| due <= now)
    }

    /// The tick of now is taken; gives how many were left out before it.
    fn next_after(&mut self, now: Instant) -> u64 {
        let due = self.due.unwrap_or(now);
        let late = now.saturating_duration_since(due).as_nanos() / self.interval.as_nanos().max(1);
        let missed = u32::try_from(late).ok();
        let beats = missed.and_then(|missed| missed.checked_add(1));
        let next = beats.and_then(|beats| due.checked_add(self.interval.checked_mul(beats)?));
        // When the sum is out of range, from now on; when that is too, at once, again and again.
        self.due = next.or_else(|| now.checked_add(self.interval)).or(self.due);
        u64::try_from(late).unwrap_or(u64::MAX)
    }

    fn next(&self) -> Instant {
        self.due.unwrap_or_else(Instant::now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_beat_is_kept_and_what_was_missed_is_counted() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut beat = Beat::every(Duration::from_secs(5));
        assert!(beat.is_due(at(0)));
        assert_eq!((beat.next_after(at(0)), beat.next()), (0, at(5)));
        assert!(!beat.is_due(at(4)) && beat.is_due(at(5)));
        assert_eq!((beat.next_after(at(7)), beat.next()), (0, at(10)));
        assert_eq!((beat.next_after(at(31)), beat.next()), (4, at(35)));
    }
}
