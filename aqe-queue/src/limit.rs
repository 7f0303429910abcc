//! A limit on concurrency that finds itself, for [`Scheduling::Adaptive`](crate::Scheduling::Adaptive).
//!
//! The rules are those of the gradient limiter of Netflix's `concurrency-limits`, which in turn takes the idea from TCP
//! Vegas (Brakmo and Peterson, 1995): the ratio of the run time without load to the present run time says how much of
//! the limit is spent on waiting inside what operations call. Errors and timeouts add what TCP Reno does about loss:
//! additive growth, multiplicative decrease (Chiu and Jain, 1989).
//!
//! Time is cut into windows. At the end of each:
//!
//! - too many failures: the limit shrinks by a tenth;
//! - else `next = limit × gradient + √limit`, `gradient = tolerance × least ÷ mean`, kept within ½–1, and the limit
//!   moves a fifth of the way there. The root is the queue that is tolerated, and what lets a limit of 1 grow again;
//! - it only grows if half of it was in use at some moment of the window. A limit that grows in a calm means nothing
//!   when the storm comes.
//!
//! `least` is the least mean run time of the recent windows. Means, because the least of single run times falls for
//! ever where these vary. What operations call can become slower for good, and then `least` is a fiction that
//! would hold the limit down. So every [`PROBE_EVERY`] windows the limit is halved for two windows, and what
//! the second of them measures replaces it (BBR does the same, Cardwell et al., 2016, "ProbeRTT").

use std::time::Duration;

use crate::state::{Tick, nanos};

/// The settings of an adaptive limit: it moves between `min` and [`max_concurrent`](crate::QueueConfig::max_concurrent).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AdaptiveLimit {
    /// The limit does not fall below this. 1 by default.
    pub min: usize,
    /// The limit to begin with; 10 by default. One beyond `max_concurrent` means `max_concurrent`.
    pub start: usize,
    /// How long run times are gathered before the limit is looked at. 100 ms by default; a window with fewer than
    /// [`MIN_SAMPLES`] attempts is prolonged.
    pub window: Duration,
    /// How much longer than without load attempts may take, in percent of the time without load, before the limit
    /// shrinks. 150 by default; at least 100.
    pub tolerance_percent: u32,
    /// The limit shrinks if more than this many of a hundred attempts fail or time out. 10 by default.
    pub error_percent: u32,
}

/// A window is not judged on fewer attempts.
pub const MIN_SAMPLES: u32 = 20;

/// Every so many windows the run time without load is measured anew.
pub const PROBE_EVERY: u32 = 50;

impl Default for AdaptiveLimit {
    fn default() -> Self {
        Self {
            min: 1,
            start: 10,
            window: Duration::from_millis(100),
            tolerance_percent: 150,
            error_percent: 10,
        }
    }
}

impl AdaptiveLimit {
    /// Sets [`min`](Self::min).
    #[must_use]
    pub const fn min(mut self, operations: usize) -> Self {
        self.min = operations;
        self
    }

    /// Sets [`start`](Self::start).
    #[must_use]
    pub const fn start(mut self, operations: usize) -> Self {
        self.start = operations;
        self
    }

    /// Sets [`window`](Self::window).
    #[must_use]
    pub const fn window(mut self, window: Duration) -> Self {
        self.window = window;
        self
    }

    /// Sets [`tolerance_percent`](Self::tolerance_percent).
    #[must_use]
    pub const fn tolerance_percent(mut self, percent: u32) -> Self {
        self.tolerance_percent = percent;
        self
    }

    /// Sets [`error_percent`](Self::error_percent).
    #[must_use]
    pub const fn error_percent(mut self, percent: u32) -> Self {
        self.error_percent = percent;
        self
    }
}

/// One adaptive limit: attempts go in, a limit comes out.
#[derive(Debug)]
pub(crate) struct Limiter {
    settings: AdaptiveLimit,
    max: usize,
    /// With its fraction, so that small steps add up.
    limit: f64,
    window: Window,
    /// The least mean run time of the recent windows, in nanoseconds.
    least: Option<f64>,
    /// Windows since the last probe.
    since_probe: u32,
    probe: Probe,
}

#[derive(Debug)]
struct Window {
    from: Tick,
    samples: u32,
    failures: u32,
    /// Nanoseconds that the attempts that succeeded ran, all together. Failures say nothing about the time without
    /// load: many are quick, and timeouts are as long as somebody chose.
    ran: f64,
    /// The most that ran at once.
    peak: usize,
}

/// The run time without load is being measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Probe {
    No,
    /// What began under the old limit comes to its end.
    Settling,
    Measuring,
}

/// A window moves the limit this much of the way.
const STEP: f64 = 0.2;

/// What a window with too many failures leaves of the limit.
const BACKOFF: f64 = 0.9;

impl Limiter {
    pub(crate) fn new(settings: AdaptiveLimit, max: usize, now: Tick) -> Self {
        let mut limiter = Self {
            settings,
            max,
            limit: settings.start as f64,
            window: Window::new(now),
            least: None,
            since_probe: 0,
            probe: Probe::No,
        };
        limiter.clamp();
        limiter
    }

    /// Returns how many operations may run at once.
    pub(crate) fn limit(&self) -> usize {
        let limit = match self.probe {
            Probe::No => self.limit,
            Probe::Settling | Probe::Measuring => self.limit / 2.0,
        };
        (limit as usize).clamp(self.min(), self.max)
    }

    /// Changes the most that the limit can be.
    pub(crate) fn set_max(&mut self, max: usize) {
        self.max = max;
        self.clamp();
    }

    /// Takes note of an attempt that succeeded after `ran` nanoseconds, or failed, with `running` at once when it ended.
    pub(crate) fn record(&mut self, ran: Option<u64>, running: usize) {
        let window = &mut self.window;
        window.samples = window.samples.saturating_add(1);
        match ran {
            Some(ran) => window.ran += ran as f64,
            None => window.failures = window.failures.saturating_add(1),
        }
        window.peak = window.peak.max(running);
    }

    /// Judges the window if it is over, and returns the limit.
    pub(crate) fn turn(&mut self, now: Tick) -> usize {
        let is_over = now.saturating_sub(self.window.from) >= nanos(self.settings.window);
        if is_over && self.window.samples >= MIN_SAMPLES {
            let window = std::mem::replace(&mut self.window, Window::new(now));
            self.judge(&window);
            self.clamp();
        }
        self.limit()
    }

    fn judge(&mut self, window: &Window) {
        let share = u64::from(window.failures) * 100;
        if share > u64::from(window.samples) * u64::from(self.settings.error_percent) {
            self.limit *= BACKOFF;
            self.probe = Probe::No;
            return;
        }
        let succeeded = window.samples.saturating_sub(window.failures);
        if succeeded == 0 {
            return;
        }
        let mean = window.ran / f64::from(succeeded);
        match self.probe {
            Probe::No => self.follow(window, mean),
            Probe::Settling => self.probe = Probe::Measuring,
            Probe::Measuring => {
                self.least = Some(mean);
                self.probe = Probe::No;
            }
        }
    }

    fn follow(&mut self, window: &Window, mean: f64) {
        let least = self.least.map_or(mean, |least| least.min(mean));
        self.least = Some(least);
        let tolerance = f64::from(self.settings.tolerance_percent) / 100.0;
        let gradient = if mean > 0.0 {
            (tolerance * least / mean).clamp(0.5, 1.0)
        } else {
            1.0
        };
        let next = self.limit * gradient + self.limit.sqrt();
        let was_used = window.peak * 2 >= self.limit as usize;
        if next < self.limit || was_used {
            self.limit += (next - self.limit) * STEP;
        }
        self.since_probe += 1;
        // With nothing to halve there is nothing to find out.
        if self.since_probe >= PROBE_EVERY && self.limit() > self.min() {
            self.since_probe = 0;
            self.probe = Probe::Settling;
        }
    }

    fn min(&self) -> usize {
        self.settings.min.min(self.max)
    }

    fn clamp(&mut self) {
        self.limit = self.limit.clamp(self.min() as f64, self.max as f64);
    }
}

impl Window {
    const fn new(from: Tick) -> Self {
        Self {
            from,
            samples: 0,
            failures: 0,
            ran: 0.0,
            peak: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BinaryHeap;

    use super::*;

    const WINDOW: Tick = 100_000_000;
    const MS: u64 = 1_000_000;

    fn limiter(start: usize, max: usize) -> Limiter {
        Limiter::new(AdaptiveLimit::default().start(start), max, 0)
    }

    /// Plays one window of a hundred equal attempts.
    fn window(limiter: &mut Limiter, number: u64, ran: u64, failed: u32, running: usize) -> usize {
        for sample in 0..100 {
            limiter.record((sample >= failed).then_some(ran), running);
        }
        limiter.turn(number * WINDOW)
    }

    #[test]
    fn grows_only_when_it_is_used() {
        let mut limit = limiter(40, 1_000);
        for number in 1..40 {
            assert_eq!(window(&mut limit, number, MS, 0, 19), 40);
        }
        assert!(window(&mut limit, 40, MS, 0, 20) > 40);
    }

    #[test]
    fn window_is_judged_when_it_is_over_and_has_enough() {
        let mut limit = limiter(10, 1_000);
        for _ in 1..MIN_SAMPLES {
            limit.record(None, 10);
        }
        assert_eq!(limit.turn(50 * WINDOW), 10);
        limit.record(None, 10);
        assert_eq!(limit.turn(50 * WINDOW), 9);
        for _ in 0..1_000 {
            limit.record(None, 10);
            assert_eq!(limit.turn(51 * WINDOW - 1), 9);
        }
    }

    #[test]
    fn failures_shrink_it_and_it_recovers() {
        let mut limit = limiter(100, 200);
        assert_eq!(window(&mut limit, 1, MS, 11, 100), 90);
        for number in 2..200 {
            window(&mut limit, number, MS, 100, 100);
        }
        assert_eq!(limit.limit(), 1);
        let recovered = (200..400).find(|number| {
            let running = limit.limit();
            window(&mut limit, *number, MS, 10, running) >= 100
        });
        assert!(recovered.is_some(), "{limit:?}");
    }

    #[test]
    fn what_has_become_slower_for_good_does_not_hold_it_down() {
        let mut limit = limiter(50, 50);
        for number in 1..60 {
            let running = limit.limit();
            window(&mut limit, number, MS, 0, running);
        }
        // Everything takes ten times as long from now on, whatever the limit.
        let mut lowest = 50;
        for number in 60..300 {
            let running = limit.limit();
            lowest = window(&mut limit, number, 10 * MS, 0, running).min(lowest);
        }
        assert!(lowest >= 2, "{lowest}");
        assert!(limit.limit() >= 25, "{limit:?}");
    }

    #[test]
    fn bounds_are_kept_whatever_is_measured() {
        let settings = AdaptiveLimit::default().min(3).start(1_000_000);
        let mut limit = Limiter::new(settings, 64, 0);
        let mut chance = fastrand::Rng::with_seed(1);
        for number in 1..10_000 {
            let ran = if chance.bool() { chance.u64(..) } else { 0 };
            let failed = chance.u32(..=20);
            let now = window(&mut limit, number, ran, failed, 64);
            assert!((3..=64).contains(&now), "{now}");
        }
        limit.set_max(2);
        assert_eq!(limit.limit(), 2);
    }

    /// A closed queueing model: `limit` callers, a station with `servers` places and a line before it. A service takes
    /// an exponentially distributed time, and longer the longer the line is, as a station that thrashes does. So the
    /// best limit is known: as many as there are servers, and a few to keep them busy.
    struct Station {
        chance: fastrand::Rng,
        servers: usize,
        service: f64,
        now: f64,
        /// When each running service ends, negated and in whole nanoseconds, and when its caller came.
        busy: BinaryHeap<(i64, u64)>,
        line: std::collections::VecDeque<u64>,
    }

    impl Station {
        fn new(seed: u64, servers: usize, service: f64) -> Self {
            Self {
                chance: fastrand::Rng::with_seed(seed),
                servers,
                service,
                now: 0.0,
                busy: BinaryHeap::new(),
                line: std::collections::VecDeque::new(),
            }
        }

        fn in_flight(&self) -> usize {
            self.busy.len() + self.line.len()
        }

        fn serve(&mut self) {
            while self.busy.len() < self.servers
                && let Some(came) = self.line.pop_front()
            {
                let excess = self.line.len() as f64;
                let mean = self.service * (1.0 + 0.004 * excess);
                let took = -mean * (1.0 - self.chance.f64()).ln();
                self.busy.push((-((self.now + took) as i64), came));
            }
        }

        /// Fills the station up to `limit` and plays until the next service ends. Returns how long its caller was there.
        fn next(&mut self, limit: usize) -> u64 {
            while self.in_flight() < limit {
                self.line.push_back(self.now as u64);
            }
            self.serve();
            let (ends, came) = self.busy.pop().unwrap();
            self.now = -ends as f64;
            self.now as u64 - came
        }

        /// Returns completions per second over `seconds`.
        fn play(&mut self, seconds: f64, mut limit: impl FnMut(u64, Tick, usize) -> usize) -> f64 {
            let (end, mut count) = (self.now + seconds * 1e9, 0u64);
            let mut current = limit(0, self.now as Tick, 0);
            while self.now < end {
                let running = self.in_flight().max(1);
                let took = self.next(current);
                current = limit(took, self.now as Tick, running);
                count += 1;
            }
            count as f64 / seconds
        }
    }

    fn best_fixed(servers: usize, service: f64) -> f64 {
        (1..=4 * servers)
            .map(|limit| Station::new(7, servers, service).play(20.0, |_, _, _| limit))
            .fold(0.0, f64::max)
    }

    /// A limiter whose idea of "without load" is what it measures under load follows its own queue upwards.
    #[test]
    fn does_not_drift_up_under_overload() {
        let servers = 20;
        for seed in 1..=3 {
            let (mut station, mut limit) =
                (Station::new(seed, servers, 10e6), limiter(servers, 1_000));
            let mut highest = 0;
            for minute in 0..10 {
                station.play(60.0, |took, now, running| {
                    if running > 0 {
                        limit.record(Some(took), running);
                    }
                    let now = limit.turn(now);
                    highest = if minute == 0 { 0 } else { highest.max(now) };
                    now
                });
            }
            assert!(
                highest > 0 && highest <= 4 * servers,
                "seed {seed}: {highest}"
            );
        }
    }

    #[test]
    fn settles_within_a_tenth_of_the_best_fixed_limit() {
        let (before, after) = ((20, 10e6), (8, 15e6));
        let best = [best_fixed(before.0, before.1), best_fixed(after.0, after.1)];
        for (seed, start) in [(1, 1), (2, 10), (3, 200)] {
            let mut station = Station::new(seed, before.0, before.1);
            let mut limit = limiter(start, 200);
            let mut adapt = |took, now, running| {
                if running > 0 {
                    limit.record(Some(took), running);
                }
                limit.turn(now)
            };
            // Ten seconds to settle, and then a minute that counts, probes included.
            station.play(10.0, &mut adapt);
            let reached = station.play(60.0, &mut adapt) / best[0];
            assert!(reached > 0.9, "seed {seed}: {reached}");
            // More than half of the servers fail, and the others become slower.
            (station.servers, station.service) = after;
            station.play(20.0, &mut adapt);
            let reached = station.play(60.0, &mut adapt) / best[1];
            assert!(reached > 0.9, "seed {seed}, after the step: {reached}");
            // And they come back.
            (station.servers, station.service) = before;
            station.play(20.0, &mut adapt);
            let reached = station.play(60.0, &mut adapt) / best[0];
            assert!(
                reached > 0.9,
                "seed {seed}, after the second step: {reached}"
            );
        }
    }
}
