//! Finds a chunk size by measuring.
//!
//! Throughput over chunk size is a hill with a flat top: larger chunks bring more items in flight, or less overhead for
//! each, until they bring nothing more, and at last they cost (memory, chunks that end late). [`Sizer`] climbs it on a scale
//! of doublings, as a pattern search does (Hooke and Jeeves, "Direct search solution of numerical and statistical
//! problems", 1961). It measures a size for an epoch, then the one next to it, and goes on in a direction while that brings
//! at least [`GAIN`]. As long as twice the size brings nearly twice the throughput it takes two doublings at once: what is
//! far too small costs more than what is somewhat too large. Of sizes that are as good as the best it takes the smallest. From
//! time to time it looks whether its neighbours have become better.
//!
//! Other programs take processors away and give them back, so what was measured a moment ago may not hold any more. A size is
//! only given up as no better after the one before it has been measured once more, and is compared with the mean of both.
//! It reads no clock.

use std::time::Duration;

/// What the next size must bring to be worth it: less is noise, or memory for nothing.
const GAIN: f64 = 0.05;

/// A step with this gain shows that far more items could be in flight.
const LARGE_GAIN: f64 = 0.5;

/// The step after such a gain, and every other.
const LONG: usize = 4;
const SHORT: usize = 2;

/// A size is measured for so long at least.
const EPOCH: Duration = Duration::from_millis(30);

/// How often the throughput is looked at: often enough that the end of an epoch is not waited for.
pub(crate) const LOOK_EVERY: Duration = Duration::from_millis(10);

/// And until every chunk in flight has turned over so many times: what was begun at the old size does not count.
const TURNS: u64 = 2;

/// Epochs for which a size is kept before its neighbours are looked at again.
const REST: u32 = 66;

/// Follows the throughput with the chunk size.
#[derive(Debug)]
pub(crate) struct Sizer {
    least: usize,
    most: usize,
    concurrency: u64,
    size: usize,
    phase: Phase,
    /// When the present epoch began, and how many items had ended then.
    began: (Duration, u64),
    /// Whether the items that were in flight at the last change have ended.
    is_settled: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Phase {
    /// Measures the size where it stands, as a mark for others.
    Mark,
    /// Has gone to a size so many times as large, from one with this throughput.
    Up { from: usize, mark: f64, step: usize },
    /// Has come back from a larger size that seemed to bring nothing, to see whether that was so.
    Back { tried: usize, mark: f64, got: f64 },
    /// Has gone to smaller sizes from one with this throughput.
    Down { from: usize, mark: f64 },
    /// Stays for so many epochs.
    Rest { left: u32 },
}

impl Sizer {
    pub(crate) fn new(start: usize, least: usize, most: usize, concurrency: usize) -> Self {
        Self {
            least,
            most,
            concurrency: concurrency as u64,
            size: start.clamp(least, most),
            phase: Phase::Mark,
            began: (Duration::ZERO, 0),
            is_settled: true,
        }
    }

    /// Takes how many items had ended at `now`, and returns the size that chunks are to have.
    pub(crate) fn observe(&mut self, now: Duration, ended: u64) -> usize {
        let (began, before) = self.began;
        let in_flight = self.size as u64 * self.concurrency;
        if !self.is_settled {
            if ended - before >= in_flight {
                self.is_settled = true;
                self.began = (now, ended);
            }
            return self.size;
        }
        let (time, items) = (now.saturating_sub(began), ended - before);
        if time < EPOCH || items < in_flight * TURNS {
            return self.size;
        }
        let throughput = items as f64 / time.as_secs_f64();
        self.step(throughput);
        self.began = (now, ended);
        self.size
    }

    fn step(&mut self, throughput: f64) {
        match self.phase {
            Phase::Mark if self.size == self.most => self.down(throughput),
            Phase::Mark => self.up(throughput, SHORT),
            Phase::Up { mark, .. } if throughput > mark * (1.0 + LARGE_GAIN) => {
                self.up(throughput, LONG);
            }
            Phase::Up { mark, .. } if throughput > mark * (1.0 + GAIN) => {
                self.up(throughput, SHORT);
            }
            // Too far, perhaps.
            Phase::Up { from, mark, step } if step > SHORT => {
                self.go(from);
                self.up(mark, SHORT);
            }
            Phase::Up { from, mark, .. } => {
                let (tried, got) = (self.size, throughput);
                self.go(from);
                self.phase = Phase::Back { tried, mark, got };
            }
            Phase::Back { tried, mark, got } if got > mean(mark, throughput) * (1.0 + GAIN) => {
                self.go(tried);
                self.up(got, SHORT);
            }
            // Larger brings nothing: one look at smaller ones.
            Phase::Back { mark, .. } => self.down(mean(mark, throughput)),
            // As good as the larger one: the smaller is better. What counts is the best mark, so that many small losses
            // do not add up to a large one.
            Phase::Down { mark, .. } if throughput >= mark * (1.0 - GAIN / 2.0) => {
                self.down(mark.max(throughput));
            }
            Phase::Down { from, .. } => {
                self.go(from);
                self.rest();
            }
            Phase::Rest { left: 0 } => {
                self.phase = Phase::Mark;
                self.step(throughput);
            }
            Phase::Rest { left } => self.phase = Phase::Rest { left: left - 1 },
        }
    }

    fn up(&mut self, mark: f64, step: usize) {
        let from = self.size;
        if from == self.most {
            return self.rest();
        }
        self.go((from * step).min(self.most));
        self.phase = Phase::Up { from, mark, step };
    }

    fn down(&mut self, mark: f64) {
        let from = self.size;
        if from == self.least {
            return self.rest();
        }
        self.go((from / 2).max(self.least));
        self.phase = Phase::Down { from, mark };
    }

    fn rest(&mut self) {
        self.phase = Phase::Rest { left: REST };
    }

    fn go(&mut self, size: usize) {
        self.size = size;
        self.is_settled = false;
    }
}

fn mean(one: f64, other: f64) -> f64 {
    f64::midpoint(one, other)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A machine on which work takes virtual time: how many items end per second when chunks have this size.
    struct Load {
        /// Processor time of an item and of a chunk, in seconds, on so many processors.
        compute: f64,
        per_chunk: f64,
        processors: f64,
        /// How long an item waits, and how many the other side serves at once before they stand in line there.
        wait: f64,
        served: f64,
        /// What each item in flight costs all others: caches and memory.
        crowding: f64,
    }

    const CONCURRENCY: usize = 5;
    const LEAST: usize = 1;
    const MOST: usize = 1 << 12;

    impl Load {
        fn throughput(&self, chunk: usize) -> f64 {
            let in_flight = (chunk * CONCURRENCY) as f64;
            let cost = self.compute + self.per_chunk / chunk as f64;
            let cost = cost * (1.0 + self.crowding * in_flight);
            // The least of what the processors give, what those in flight can bring (Little's law), and what the other side
            // serves.
            let waiting = if self.wait > 0.0 {
                in_flight.min(self.served) / (self.wait + cost)
            } else {
                f64::INFINITY
            };
            (self.processors / cost).min(waiting)
        }

        /// How long so many items take when the size follows the throughput, in seconds, and the size at the end.
        fn run(&self, items: f64, noise: u64) -> (f64, usize) {
            let mut chance = fastrand::Rng::with_seed(noise);
            let mut sizer = Sizer::new(20, LEAST, MOST, CONCURRENCY);
            let (mut now, mut ended, mut size) = (0.0, 0.0, 20);
            while ended < items {
                // One tick. Measurements of real machines scatter.
                let scatter = 1.0 + (chance.f64() - 0.5) * 0.02;
                ended += self.throughput(size) * 0.05 * scatter;
                now += 0.05;
                size = sizer.observe(Duration::from_secs_f64(now), ended as u64);
            }
            (now, size)
        }

        fn best(&self) -> (f64, usize) {
            let sizes = (0..=12).map(|power| 1 << power);
            let measured = sizes.map(|size| (self.throughput(size), size));
            measured.fold(
                (0.0, 0),
                |best, next| if next.0 > best.0 { next } else { best },
            )
        }
    }

    const COMPUTES: Load = Load {
        compute: 100e-6,
        per_chunk: 20e-6,
        processors: 4.0,
        wait: 0.0,
        served: 0.0,
        crowding: 1e-3,
    };
    const WAITS: Load = Load {
        compute: 5e-6,
        per_chunk: 20e-6,
        processors: 4.0,
        wait: 50e-3,
        served: 2_000.0,
        crowding: 1e-6,
    };
    const MIXED: Load = Load {
        compute: 200e-6,
        per_chunk: 50e-6,
        processors: 4.0,
        wait: 10e-3,
        served: 10_000.0,
        crowding: 1e-5,
    };

    #[test]
    fn every_load_comes_within_a_tenth_of_the_best_fixed_size() {
        for (name, load) in [("computes", COMPUTES), ("waits", WAITS), ("mixed", MIXED)] {
            let (best, size) = load.best();
            for noise in 0..20 {
                // Two minutes at the best size: the search is part of the time.
                let items = best * 120.0;
                let (time, last) = load.run(items, noise);
                assert!(
                    time < 120.0 * 1.1,
                    "{name}: {time} s, {last} instead of {size}"
                );
                // And it stays there.
                assert!(
                    load.throughput(last) > best * 0.9,
                    "{name}: ends at {last}, not {size}"
                );
            }
        }
    }

    /// Items of two minutes in which another program takes half of the processors now and then, at a size that stays or,
    /// with `None`, follows the throughput.
    fn beside_others(load: &Load, size: Option<usize>, seed: u64) -> f64 {
        let mut chance = fastrand::Rng::with_seed(seed);
        let mut sizer = Sizer::new(20, LEAST, MOST, CONCURRENCY);
        let (mut now, mut ended, mut halved) = (0.0, 0.0, false);
        let mut present = size.unwrap_or(20);
        while now < 120.0 {
            // For 0.75 seconds at a time, on average.
            halved ^= chance.f64() < 0.05 / 0.75;
            let processors = load.processors / if halved { 2.0 } else { 1.0 };
            ended += Load {
                processors,
                ..*load
            }
            .throughput(present)
                * 0.05;
            now += 0.05;
            let followed = sizer.observe(Duration::from_secs_f64(now), ended as u64);
            present = size.unwrap_or(followed);
        }
        ended
    }

    #[test]
    fn beside_other_programs_it_stays_near_the_best_fixed_size() {
        for (name, load) in [("computes", COMPUTES), ("waits", WAITS), ("mixed", MIXED)] {
            let share = (0..20).map(|seed| {
                let sizes = (0..=12).map(|power| beside_others(&load, Some(1 << power), seed));
                beside_others(&load, None, seed) / sizes.fold(0.0, f64::max)
            });
            let share = share.sum::<f64>() / 20.0;
            // What is right changes too often to be found each time; to do without the second look costs up to 0.04 of it.
            assert!(share > 0.87, "{name}: {share} of what the best size does");
        }
    }

    #[test]
    fn chunks_are_small_for_work_that_computes_and_large_for_work_that_waits() {
        let last = |load: &Load| load.run(load.best().0 * 60.0, 7).1;
        let (computes, waits) = (last(&COMPUTES), last(&WAITS));
        assert!(computes <= 16 && waits >= 256, "{computes} {waits}");
        // A load that changes is followed.
        let mut sizer = Sizer::new(20, LEAST, MOST, CONCURRENCY);
        let (mut now, mut ended, mut size) = (0.0, 0.0, 20);
        for (load, expected) in [
            (&WAITS, 256..=MOST),
            (&COMPUTES, 1..=16),
            (&WAITS, 256..=MOST),
        ] {
            for _ in 0..2_000 {
                ended += load.throughput(size) * 0.05;
                now += 0.05;
                size = sizer.observe(Duration::from_secs_f64(now), ended as u64);
            }
            assert!(expected.contains(&size), "{size}");
        }
    }

    #[test]
    fn the_bounds_hold_and_a_run_that_stands_still_changes_nothing() {
        let mut sizer = Sizer::new(20, 10, 40, 1);
        for step in 0..10_000_u64 {
            let size = sizer.observe(Duration::from_millis(step * 10), step * step);
            assert!((10..=40).contains(&size));
        }
        // What has ended since the last look may still finish an epoch.
        let ended = 9_999 * 9_999;
        let size = sizer.observe(Duration::from_secs(1_000), ended);
        for step in 1..100_u64 {
            let now = Duration::from_secs(1_000 + step);
            assert_eq!(sizer.observe(now, ended), size);
        }
    }
}
