//! Tells steps of the wall clock from time that passes.

use std::time::{Duration, Instant};

use super::time::{Moment, millis};

/// What is less is a clock that is being slewed, or a late reading.
const TOLERANCE: i64 = 2_000;

/// After a step forward of more than this, nothing is dropped for its age for a while.
const LEAP: i64 = 3_600_000;

/// How long that is: time enough for somebody to notice.
const HOLD: Duration = Duration::from_secs(86_400);

/// Watches both clocks.
#[derive(Debug, Default)]
pub(super) struct ClockWatch {
    before: Option<Moment>,
    hold_until: Option<Instant>,
    /// Until when the first moment is believed.
    believed: Option<i64>,
}

impl ClockWatch {
    /// Goes on after a history that ends with `last_at`, of which as much is kept as `retention` says.
    ///
    /// If the clock of a machine that has just started is wrong, everything seems to be old. So after a gap of more than half of what
    /// is kept, nothing is dropped for a while either; shorter ones are what programs have that run now and then.
    pub(super) fn after(last_at: Option<i64>, retention: Duration) -> Self {
        let believed = last_at.map(|at| at.saturating_add((millis(retention) / 2).max(LEAP)));
        Self {
            believed,
            ..Self::default()
        }
    }

    /// By how many milliseconds the wall clock was set since the moment before, if it was.
    pub(super) fn step(&mut self, now: Moment) -> Option<i64> {
        if let Some(believed) = self.believed.take()
            && now.wall.as_millis() > believed
        {
            self.hold_until = Some(now.steady + HOLD);
        }
        let before = self.before.replace(now)?;
        let passed = millis(now.steady.saturating_duration_since(before.steady));
        let shown = now.wall.as_millis() - before.wall.as_millis();
        let step = shown.saturating_sub(passed);
        if step > LEAP {
            self.hold_until = Some(now.steady + HOLD);
        }
        (step.abs() >= TOLERANCE).then_some(step)
    }

    /// Whether ages by the wall clock are to be believed.
    pub(super) fn is_trusted(&self, now: Moment) -> bool {
        self.hold_until.is_none_or(|until| now.steady >= until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::Timestamp;

    #[test]
    fn steps_are_what_the_steady_clock_has_not_seen() {
        let mut watch = ClockWatch::default();
        let mut now = Moment::now();
        now.wall = Timestamp::from_millis(1_700_000_000_000);
        assert_eq!(watch.step(now), None);
        now = now.after(Duration::from_secs(5));
        assert_eq!(watch.step(now), None);
        now = now.after(Duration::from_secs(5));
        now.wall = now.wall.before(Duration::from_secs(60));
        assert_eq!(watch.step(now), Some(-60_000));
        assert!(watch.is_trusted(now));

        now = now.after(Duration::from_secs(5));
        now.wall = now.wall.after(Duration::from_secs(86_400 * 365));
        assert_eq!(watch.step(now), Some(86_400_000 * 365));
        assert!(!watch.is_trusted(now));
        assert!(watch.is_trusted(now.after(HOLD)));
    }

    #[test]
    fn a_first_moment_long_after_the_last_is_not_believed_for_a_day() {
        const DAY: Duration = Duration::from_secs(86_400);
        let now = Moment::now();
        for (days, is_trusted) in [(1, true), (14, true), (16, false), (4000, false)] {
            let last = now.wall.before(days * DAY).as_millis();
            let mut watch = ClockWatch::after(Some(last), 30 * DAY);
            assert_eq!(watch.step(now), None);
            assert_eq!(watch.is_trusted(now), is_trusted, "{days} days");
            assert!(watch.is_trusted(now.after(HOLD)));
        }
        let mut watch = ClockWatch::after(None, DAY);
        assert_eq!(watch.step(now), None);
        assert!(watch.is_trusted(now));
    }
}
