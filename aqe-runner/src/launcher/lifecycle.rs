//! The life of one process, as times: no system call is made here, and `now` comes in.
//!
//! ```text
//! running ──timeout or stop──▶ terminating ──grace──▶ killed
//!    │                              │                   │
//!    └──────────── the leader ends ─┴───────────────────┘
//!                        ▼
//!      draining ──output closed, or the leak timeout──▶ finished
//! ```

use std::time::{Duration, Instant};

/// How insistently a process is asked to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopMode {
    /// SIGTERM to the whole group, SIGKILL after the grace time.
    Graceful,
    /// SIGKILL to the whole group at once; also cuts a grace time short.
    Now,
}

/// What has to be done with a process now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// Ask its group to end.
    Terminate,
    /// Kill its group.
    Kill,
    /// Its leader has ended, but somebody still holds its output: kill them and finish.
    GiveUp,
    /// Look at its pipes.
    Look,
}

#[derive(Debug)]
pub(super) struct Lifecycle {
    started: Instant,
    grace: Duration,
    leak_timeout: Duration,
    timeout_at: Option<Instant>,
    kill_at: Option<Instant>,
    give_up_at: Option<Instant>,
    look_at: Option<Instant>,
    ended_at: Option<Instant>,
    stdout_closed_at: Option<Instant>,
    suspended: Duration,
    asked_to_end: bool,
    timed_out: bool,
    stopped: bool,
}

impl Lifecycle {
    /// How long a process may write before its pipes are looked at, and how long between two looks while it writes
    /// little. The wake-ups that this saves are the point: a libtest process writes a line at a time, and most tests are
    /// over before the first look. A pipe holds 64 KiB, which few tests fill in 2 ms; one that does is read without pauses.
    const LOOK_EVERY: Duration = Duration::from_millis(2);

    /// At the leader's own end its streams close a moment before it can be waited for; only a longer time is "early".
    const EARLY: Duration = Duration::from_millis(50);

    pub(super) fn new(
        now: Instant,
        timeout: Option<Duration>,
        grace: Duration,
        leak_timeout: Duration,
    ) -> Self {
        Self {
            started: now,
            grace,
            leak_timeout,
            // A sum past the end of time is no deadline at all.
            timeout_at: timeout.and_then(|timeout| now.checked_add(timeout)),
            kill_at: None,
            give_up_at: None,
            look_at: None,
            ended_at: None,
            stdout_closed_at: None,
            suspended: Duration::ZERO,
            asked_to_end: false,
            timed_out: false,
            stopped: false,
        }
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        [self.timeout_at, self.kill_at, self.give_up_at, self.look_at]
            .into_iter()
            .flatten()
            .min()
    }

    /// Returns one thing that is due, and forgets it; called until it returns `None`.
    pub(super) fn due(&mut self, now: Instant) -> Option<Due> {
        let passed = |deadline: &mut Option<Instant>| {
            deadline.take_if(|deadline| *deadline <= now).is_some()
        };
        if passed(&mut self.give_up_at) {
            return Some(Due::GiveUp);
        }
        if passed(&mut self.kill_at) {
            return Some(Due::Kill);
        }
        if passed(&mut self.timeout_at) {
            self.timed_out = true;
            return Some(self.ask_to_end(now));
        }
        passed(&mut self.look_at).then_some(Due::Look)
    }

    /// Takes a stop request; `None` when there is nothing to do for it.
    pub(super) fn stop(&mut self, mode: StopMode, now: Instant) -> Option<Due> {
        if self.ended_at.is_some() {
            return None;
        }
        self.stopped = true;
        match mode {
            StopMode::Graceful if self.asked_to_end => None,
            StopMode::Graceful => Some(self.ask_to_end(now)),
            StopMode::Now => {
                self.asked_to_end = true;
                (self.timeout_at, self.kill_at) = (None, None);
                Some(Due::Kill)
            }
        }
    }

    fn ask_to_end(&mut self, now: Instant) -> Due {
        self.asked_to_end = true;
        self.timeout_at = None;
        if self.grace.is_zero() {
            return Due::Kill;
        }
        self.kill_at = now.checked_add(self.grace);
        Due::Terminate
    }

    /// The leader has ended: what is left is to wait for its output to close.
    pub(super) fn ended(&mut self, now: Instant) {
        self.ended_at = Some(now);
        (self.timeout_at, self.kill_at) = (None, None);
        self.give_up_at = now.checked_add(self.leak_timeout);
    }

    pub(super) fn has_ended(&self) -> bool {
        self.ended_at.is_some()
    }

    pub(super) fn stdout_closed(&mut self, now: Instant) {
        self.stdout_closed_at.get_or_insert(now);
    }

    pub(super) fn look_later(&mut self, now: Instant) {
        self.look_at.get_or_insert(now + Self::LOOK_EVERY);
    }

    /// Moves every deadline by a time during which the process could not run.
    pub(super) fn was_suspended(&mut self, duration: Duration) {
        self.suspended += duration;
        for deadline in [
            &mut self.timeout_at,
            &mut self.kill_at,
            &mut self.give_up_at,
            &mut self.look_at,
        ] {
            *deadline = deadline.and_then(|deadline| deadline.checked_add(duration));
        }
    }

    pub(super) fn started(&self) -> Instant {
        self.started
    }

    /// How long the leader ran; up to `now` if it still does.
    pub(super) fn wall(&self, now: Instant) -> Duration {
        self.ended_at
            .unwrap_or(now)
            .saturating_duration_since(self.started)
            .saturating_sub(self.suspended)
    }

    pub(super) fn timed_out(&self) -> bool {
        self.timed_out
    }

    pub(super) fn stopped(&self) -> bool {
        self.stopped
    }

    pub(super) fn stdout_closed_early(&self) -> bool {
        match (self.stdout_closed_at, self.ended_at) {
            (Some(closed), Some(ended)) => ended.saturating_duration_since(closed) >= Self::EARLY,
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn life(timeout: u32, grace: u32) -> (Lifecycle, Instant) {
        let now = Instant::now();
        (
            Lifecycle::new(now, Some(MS * timeout), MS * grace, MS * 100),
            now,
        )
    }

    #[test]
    fn a_timeout_terminates_then_kills_after_the_grace_time() {
        let (mut life, start) = life(50, 20);
        assert_eq!(life.due(start + MS * 49), None);
        assert_eq!(life.due(start + MS * 50), Some(Due::Terminate));
        assert_eq!(life.due(start + MS * 50), None);
        assert_eq!(life.next_deadline(), Some(start + MS * 70));
        assert_eq!(life.due(start + MS * 70), Some(Due::Kill));
        assert_eq!(
            (life.due(start + MS * 999), life.next_deadline()),
            (None, None)
        );
        assert!(life.timed_out() && !life.stopped());
    }

    #[test]
    fn no_grace_kills_at_once() {
        let (mut life, start) = life(50, 0);
        assert_eq!(life.due(start + MS * 50), Some(Due::Kill));
        assert_eq!(life.next_deadline(), None);
    }

    #[test]
    fn the_second_insistent_stop_cuts_the_grace_time_short() {
        let (mut life, start) = life(50, 1_000);
        assert_eq!(life.stop(StopMode::Graceful, start), Some(Due::Terminate));
        assert_eq!(life.stop(StopMode::Graceful, start + MS), None);
        assert_eq!(
            life.next_deadline(),
            Some(start + MS * 1_000),
            "the timeout no longer counts"
        );
        assert_eq!(life.stop(StopMode::Now, start + MS * 2), Some(Due::Kill));
        assert_eq!(life.next_deadline(), None);
        assert!(life.stopped() && !life.timed_out());
    }

    #[test]
    fn after_the_leaders_end_only_the_leak_timeout_counts() {
        let (mut life, start) = life(50, 20);
        assert_eq!(life.due(start + MS * 50), Some(Due::Terminate));
        life.ended(start + MS * 55);
        assert_eq!(life.next_deadline(), Some(start + MS * 155));
        assert_eq!(life.stop(StopMode::Now, start + MS * 60), None);
        assert_eq!(life.due(start + MS * 155), Some(Due::GiveUp));
        assert_eq!(life.wall(start + MS * 900), MS * 55);
        assert!(life.timed_out() && !life.stopped());
    }

    #[test]
    fn suspended_time_counts_for_nothing() {
        let (mut life, start) = life(50, 20);
        life.was_suspended(MS * 1_000);
        assert_eq!(life.due(start + MS * 1_049), None);
        assert_eq!(life.due(start + MS * 1_050), Some(Due::Terminate));
        life.ended(start + MS * 1_060);
        assert_eq!(life.wall(start), MS * 60);
    }

    #[test]
    fn looks_are_spaced_and_yield_to_what_is_urgent() {
        let (mut life, start) = life(2, 20);
        life.look_later(start);
        life.look_later(start + MS);
        assert_eq!(life.due(start + MS), None);
        assert_eq!(life.due(start + MS * 2), Some(Due::Terminate));
        assert_eq!(life.due(start + MS * 2), Some(Due::Look));
        assert_eq!(life.due(start + MS * 2), None);
    }

    #[test]
    fn output_closed_at_the_end_is_not_early() {
        let (mut early, start) = life(5_000, 0);
        early.stdout_closed(start + MS);
        early.stdout_closed(start + MS * 60);
        early.ended(start + MS * 51);
        assert!(early.stdout_closed_early());
        let (mut usual, start) = life(5_000, 0);
        usual.stdout_closed(start + MS * 50);
        usual.ended(start + MS * 51);
        assert!(!usual.stdout_closed_early());
    }

    #[test]
    fn a_timeout_beyond_the_end_of_time_is_none() {
        let now = Instant::now();
        let mut life = Lifecycle::new(now, Some(Duration::MAX), Duration::MAX, Duration::MAX);
        assert_eq!(life.next_deadline(), None);
        assert_eq!(life.stop(StopMode::Graceful, now), Some(Due::Terminate));
        assert_eq!(life.next_deadline(), None);
    }
}
