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
}

impl ClockWatch {
    /// By how many milliseconds the wall clock was set since the moment before, if it was.
    pub(super) fn step(&mut self, now: Moment) -> Option<i64> {
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
}
