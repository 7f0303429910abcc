//! How fast a run is, and when it will be over.
//!
//! The rate is what ended within a window of time divided by that time, not a mean over the whole run and not smoothed
//! exponentially: it can be explained in a sentence, and a change of pace is fully seen after one window.

use std::collections::VecDeque;
use std::time::Duration;

/// The window over which the rate is taken.
const WINDOW: Duration = Duration::from_secs(30);

/// States that are kept of a window.
const STATES: u32 = 60;

/// How many items had ended at which times, as far as the window needs it.
#[derive(Debug)]
pub(crate) struct Pace {
    /// The time and the count, the oldest first. The first is at the window's start or before it.
    states: VecDeque<(Duration, u64)>,
}

impl Pace {
    pub(crate) fn new() -> Self {
        Self {
            states: VecDeque::from([(Duration::ZERO, 0)]),
        }
    }

    /// Notes that `ended` items had ended at `now`, and returns the rate in items per second.
    pub(crate) fn note(&mut self, now: Duration, ended: u64) -> f64 {
        let start = now.saturating_sub(WINDOW);
        while self.states.get(1).is_some_and(|(time, _)| *time <= start) {
            self.states.pop_front();
        }
        let rate = self.states.front().map_or(0.0, |(time, before)| {
            let seconds = now.saturating_sub(*time).as_secs_f64();
            if seconds > 0.0 {
                ended.saturating_sub(*before) as f64 / seconds
            } else {
                0.0
            }
        });
        let last = self.states.back().map_or(Duration::ZERO, |(time, _)| *time);
        if now.saturating_sub(last) >= WINDOW / STATES {
            self.states.push_back((now, ended));
        }
        rate
    }

    /// How long `left` items take at this rate.
    pub(crate) fn time_left(left: u64, rate: f64) -> Option<Duration> {
        if left == 0 {
            return Some(Duration::ZERO);
        }
        if rate <= 0.0 {
            return None;
        }
        Duration::try_from_secs_f64(left as f64 / rate).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn a_steady_run_has_its_rate_from_the_start() {
        let mut pace = Pace::new();
        for step in 1..2_000 {
            let rate = pace.note(ms(step * 100), step * 50);
            assert!((rate - 500.0).abs() < 1e-6, "{rate}");
            assert!(pace.states.len() <= STATES as usize + 2);
        }
        assert_eq!(Pace::time_left(1_000, 500.0), Some(Duration::from_secs(2)));
    }

    #[test]
    fn after_a_window_only_the_new_pace_counts() {
        let mut pace = Pace::new();
        for step in 0..600 {
            pace.note(ms(step * 100), step * 100);
        }
        let mut rate = 0.0;
        for step in 600..911 {
            rate = pace.note(ms(step * 100), 60_000 + (step - 600));
        }
        assert!((rate - 10.0).abs() < 1.0, "{rate}");
    }

    #[test]
    fn what_does_not_move_has_no_end() {
        let mut pace = Pace::new();
        assert_eq!(pace.note(ms(0), 0).to_bits(), 0.0_f64.to_bits());
        let rate = pace.note(ms(500), 0);
        assert_eq!(Pace::time_left(5, rate), None);
        assert_eq!(Pace::time_left(0, rate), Some(Duration::ZERO));
    }
}
