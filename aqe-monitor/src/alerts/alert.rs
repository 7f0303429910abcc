//! One alert: what the values of one series, and their absence, do to it. No clock, no I/O.
//!
//! An alert is *on* from the moment it fires until it is resolved. Values that stop coming do not resolve it: it
//! goes to [`Phase::NoData`] and stays on.

use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::rule::{Condition, Reading, Rule};

/// Where an alert stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Phase {
    /// Nothing is wrong.
    Inactive,
    /// The condition holds, but not for long enough.
    Pending,
    /// The condition has held for the hold time.
    Firing,
    /// The value is good again, but not for long enough.
    Recovering,
    /// No value has come for a while. Whether the alert is on stays as it was.
    NoData,
}

impl Phase {
    /// The word in messages and in the store.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Inactive => "inactive",
            Self::Pending => "pending",
            Self::Firing => "firing",
            Self::Recovering => "recovering",
            Self::NoData => "no_data",
        }
    }
}

/// What receivers know of an alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Told {
    Nothing,
    Firing,
    Flapping,
}

/// Why an alert is in a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum News {
    /// It began to fire.
    Firing,
    /// It is over.
    Resolved,
    /// It still fires, and the repeat interval has passed.
    Repeat,
    /// It comes and goes so often that single messages stop until it holds still.
    Flapping,
}

/// When an alert that comes and goes is told as such instead of each time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Flap {
    /// An alert that fires more often than this within `window` flaps.
    pub limit: u8,
    /// The span in which firings are counted, and for which it must hold still to stop flapping.
    pub window: Duration,
}

impl Default for Flap {
    /// More than three times within an hour.
    fn default() -> Self {
        Self {
            limit: 3,
            window: Duration::from_secs(3600),
        }
    }
}

impl Flap {
    /// Sets both.
    #[must_use]
    pub fn new(limit: u8, window: Duration) -> Self {
        Self { limit, window }
    }
}

/// What is known of one series under one rule. Times are on the alerter's own clock.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Alert {
    pub(crate) phase: Phase,
    pub(crate) on: bool,
    /// When the phase began.
    pub(crate) since: Duration,
    /// When the alert was last switched on or off.
    pub(crate) switched: Duration,
    /// When the last value came.
    pub(crate) seen: Duration,
    pub(crate) value: Option<f64>,
    pub(crate) told: Told,
    pub(crate) told_at: Duration,
    /// The last times of firing, at most the flap limit and one.
    firings: VecDeque<Duration>,
    pub(crate) fired_total: u64,
    pub(crate) flapping: bool,
}

impl Alert {
    pub(crate) fn new(now: Duration) -> Self {
        Self {
            phase: Phase::Inactive,
            on: false,
            since: now,
            switched: now,
            seen: now,
            value: None,
            told: Told::Nothing,
            told_at: Duration::ZERO,
            firings: VecDeque::new(),
            fired_total: 0,
            flapping: false,
        }
    }

    /// Takes a value.
    pub(crate) fn value(
        &mut self,
        rule: &Rule,
        flap: Flap,
        now: Duration,
        value: f64,
        events: u64,
    ) {
        self.seen = now;
        if value.is_finite() {
            self.value = Some(value);
        }
        // Not a number compares with nothing, and few events prove nothing. That they came is all that a rule
        // about absence asks for.
        let silent = value.is_nan() || events < rule.min_events;
        if silent && rule.condition != Condition::Absent {
            self.too_little(now);
            return;
        }
        let reading = rule.condition.read(value);
        if self.phase == Phase::NoData {
            let back = if self.on {
                Phase::Firing
            } else {
                Phase::Inactive
            };
            self.go(back, now);
        }
        match (self.phase, reading) {
            (Phase::Inactive, Reading::Breach) => self.go(Phase::Pending, now),
            (Phase::Pending, Reading::Between | Reading::Clear) => self.go(Phase::Inactive, now),
            (Phase::Firing, Reading::Clear) => self.go(Phase::Recovering, now),
            (Phase::Recovering, Reading::Breach | Reading::Between) => self.go(Phase::Firing, now),
            _ => {}
        }
        self.ripen(rule, flap, now);
    }

    /// Takes note that no value came until `now`.
    pub(crate) fn silence_until(&mut self, rule: &Rule, flap: Flap, now: Duration) {
        let quiet = now.saturating_sub(self.seen);
        if rule.condition == Condition::Absent {
            match self.phase {
                // Half of the time is normal between two values; more is worth showing as pending.
                _ if quiet < rule.hold / 2 => {}
                Phase::Inactive | Phase::NoData if !self.on => {
                    self.go(Phase::Pending, self.seen);
                }
                // The value that started the recovery was the last for longer than may be.
                Phase::Recovering if quiet >= rule.hold => self.go(Phase::Firing, now),
                _ => {}
            }
            if self.phase == Phase::Pending {
                self.ripen(rule, flap, now);
            }
        } else if !rule.stale_after.is_zero()
            && quiet >= rule.stale_after
            && self.phase != Phase::NoData
        {
            self.go(Phase::NoData, now);
        }
    }

    /// Ends flapping when the alert has held still.
    pub(crate) fn calm(&mut self, flap: Flap, now: Duration) {
        let since = |time: Duration| now.saturating_sub(time);
        if self.flapping && since(self.switched) >= flap.window {
            self.flapping = false;
        }
        while self
            .firings
            .front()
            .is_some_and(|time| since(*time) >= flap.window)
        {
            self.firings.pop_front();
        }
    }

    /// What receivers should be told now.
    pub(crate) fn news(&self, rule: &Rule, now: Duration) -> Option<News> {
        let again = !rule.repeat.is_zero() && now.saturating_sub(self.told_at) >= rule.repeat;
        match (self.flapping, self.on, self.told) {
            (true, _, Told::Flapping) => again.then_some(News::Flapping),
            (true, ..) => Some(News::Flapping),
            (false, true, Told::Firing) => again.then_some(News::Repeat),
            (false, true, _) => Some(News::Firing),
            (false, false, Told::Nothing) => None,
            (false, false, _) => Some(News::Resolved),
        }
    }

    /// Notes that receivers were told.
    pub(crate) fn told(&mut self, news: News, now: Duration) {
        self.told_at = now;
        self.told = match news {
            News::Firing | News::Repeat => Told::Firing,
            News::Resolved => Told::Nothing,
            News::Flapping => Told::Flapping,
        };
    }

    /// Restarts what was being timed while nobody looked: a hold time is one of values seen without a break.
    pub(crate) fn resume(&mut self, now: Duration) {
        if matches!(self.phase, Phase::Pending | Phase::Recovering) {
            self.since = now;
        }
        self.seen = now;
    }

    /// Whether nothing would be lost without it.
    pub(crate) fn forgettable(&self, rule: &Rule, now: Duration) -> bool {
        self.phase == Phase::NoData
            && !self.on
            && !self.flapping
            && self.told == Told::Nothing
            && now.saturating_sub(self.seen) >= rule.stale_after.saturating_mul(2)
    }

    /// Firings within the window, up to one more than the limit.
    pub(crate) fn recent_firings(&self) -> usize {
        self.firings.len()
    }

    /// A value that says neither: what waits for a first proof waits anew, all else stays.
    fn too_little(&mut self, now: Duration) {
        match self.phase {
            Phase::Pending => self.go(Phase::Inactive, now),
            Phase::Recovering => self.go(Phase::Firing, now),
            Phase::NoData => {
                let back = if self.on {
                    Phase::Firing
                } else {
                    Phase::Inactive
                };
                self.go(back, now);
            }
            Phase::Inactive | Phase::Firing => {}
        }
    }

    fn ripen(&mut self, rule: &Rule, flap: Flap, now: Duration) {
        let held = now.saturating_sub(self.since);
        match self.phase {
            Phase::Pending if held >= rule.hold => {
                self.go(Phase::Firing, now);
                self.on = true;
                self.switched = now;
                self.fired_total = self.fired_total.saturating_add(1);
                self.firings.push_back(now);
                self.calm(flap, now);
                while self.firings.len() > usize::from(flap.limit) + 1 {
                    self.firings.pop_front();
                }
                self.flapping |= self.firings.len() > usize::from(flap.limit);
            }
            Phase::Recovering if held >= rule.recover => {
                self.go(Phase::Inactive, now);
                self.on = false;
                self.switched = now;
            }
            _ => {}
        }
    }

    fn go(&mut self, phase: Phase, now: Duration) {
        self.phase = phase;
        self.since = now;
    }
}
