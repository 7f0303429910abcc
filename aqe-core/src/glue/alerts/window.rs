//! Operations of the last minute: how many failed, and how long they took.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::watch::AlertWork;

/// Long enough that a run of slow tests has some in it, short enough that what was mended stops ringing.
const SPAN: Duration = Duration::from_secs(60);

/// Operations that are kept at most, 24 bytes each; of more, the oldest go first.
const MAX: usize = 10_000;

/// The last operations, oldest first.
#[derive(Debug, Default)]
pub(super) struct Window {
    ended: VecDeque<(Instant, Duration, bool)>,
}

impl Window {
    /// Takes note of an operation that ended at `now`.
    pub(super) fn ended(&mut self, now: Instant, took: Duration, failed: bool) {
        if self.ended.len() == MAX {
            self.ended.pop_front();
        }
        self.ended.push_back((now, took, failed));
    }

    /// What those of the last minute came to.
    pub(super) fn look(&mut self, now: Instant) -> AlertWork {
        let is_old = |(ended, ..): &(Instant, _, _)| now.saturating_duration_since(*ended) > SPAN;
        while self.ended.front().is_some_and(is_old) {
            self.ended.pop_front();
        }
        let failed = self.ended.iter().filter(|(.., failed)| *failed).count();
        let mut times: Vec<Duration> = self.ended.iter().map(|(_, took, _)| *took).collect();
        let mut work = AlertWork::new(times.len() as u64, failed as u64);
        if !times.is_empty() {
            // Of 20 times the 19th: the smallest that 95 of a hundred do not exceed.
            let rank = (times.len() * 95).div_ceil(100) - 1;
            let (_, p95, _) = times.select_nth_unstable(rank);
            work = work.execution_time_p95(*p95);
        }
        work
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn the_percentile_is_one_of_the_times() {
        for (count, p95) in [(1, 1), (19, 19), (20, 19), (100, 95)] {
            let mut window = Window::default();
            let now = Instant::now();
            for time in (1..=count).rev() {
                window.ended(now, SECOND * time, time % 10 == 0);
            }
            let expected = AlertWork::new(u64::from(count), u64::from(count / 10));
            let expected = expected.execution_time_p95(SECOND * p95);
            assert_eq!(window.look(now), expected);
        }
    }

    #[test]
    fn what_is_old_or_too_much_is_forgotten() {
        let mut window = Window::default();
        let start = Instant::now();
        window.ended(start, SECOND, true);
        window.ended(start + SPAN, 2 * SECOND, false);
        assert_eq!(window.look(start + SPAN).failed, 1);
        let later = window.look(start + SPAN + SECOND);
        assert_eq!(later, AlertWork::new(1, 0).execution_time_p95(2 * SECOND));
        assert_eq!(window.look(start + 3 * SPAN), AlertWork::new(0, 0));
        for _ in 0..=MAX {
            window.ended(start, SECOND, false);
        }
        assert_eq!(window.look(start).finished, MAX as u64);
    }
}
