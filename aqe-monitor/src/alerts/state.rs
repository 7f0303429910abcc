//! All alerts of all rules: values go in, transitions and notifications come out. No clock, no I/O.
//!
//! What receivers should be told is not an event that could get lost but a difference: between where an alert
//! stands and what was last told of it. A silence, a group that spoke a moment ago or a restart delay a message;
//! they cannot swallow it.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use super::alert::{Alert, Flap, News, Phase};
use super::labels::Labels;
use super::notification::{Entry, Notification, unix_ms};
use super::rule::{Condition, Rule, RuleError, Severity};
use super::silence::{Silence, SilenceError};

/// A moment, twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Now {
    /// On the alerter's own clock, which goes on across restarts and never back: all waiting is measured with it.
    pub(crate) clock: Duration,
    /// On the wall: only written into messages and records, so that its steps change nothing.
    pub(crate) wall: SystemTime,
}

impl Now {
    /// Puts both together.
    pub(crate) fn new(clock: Duration, wall: SystemTime) -> Self {
        Self { clock, wall }
    }
}

/// A value of a series.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Observation {
    /// The metric's name.
    pub metric: String,
    /// The labels of the series.
    pub labels: Labels,
    /// The value in the metric's unit.
    pub value: f64,
    /// Events behind the value: requests behind an error rate, say.
    pub events: u64,
}

impl Observation {
    /// A value without labels that any number of events may stand behind.
    #[must_use]
    pub fn new(metric: impl Into<String>, value: f64) -> Self {
        Self {
            metric: metric.into(),
            labels: Labels::default(),
            value,
            events: u64::MAX,
        }
    }

    /// Sets the labels of the series.
    #[must_use]
    pub fn labels(mut self, labels: Labels) -> Self {
        self.labels = labels;
        self
    }

    /// Sets how many events stand behind the value.
    #[must_use]
    pub fn events(mut self, events: u64) -> Self {
        self.events = events;
        self
    }
}

/// Bounds and times of all alerts.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// After a message about a group, changes in it are gathered for so long.
    pub group_interval: Duration,
    /// When an alert flaps.
    pub flap: Flap,
    /// Alerts that are kept at most; values of further series are counted and dropped. About 1 KiB each.
    pub max_alerts: usize,
}

impl Default for Limits {
    /// One minute; four firings within an hour; 10,000 alerts, about 10 MiB at worst.
    fn default() -> Self {
        Self {
            group_interval: Duration::from_secs(60),
            flap: Flap::default(),
            max_alerts: 10_000,
        }
    }
}

impl Limits {
    /// Sets for how long changes in a group are gathered.
    #[must_use]
    pub fn group_interval(mut self, interval: Duration) -> Self {
        self.group_interval = interval;
        self
    }

    /// Sets when an alert flaps.
    #[must_use]
    pub fn flap(mut self, flap: Flap) -> Self {
        self.flap = flap;
        self
    }

    /// Sets how many alerts are kept.
    #[must_use]
    pub fn max_alerts(mut self, alerts: usize) -> Self {
        self.max_alerts = alerts;
        self
    }
}

/// Which alert: a series under a rule.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub struct AlertKey {
    /// The rule's name.
    pub rule: String,
    /// The labels of the series.
    pub labels: Labels,
}

/// A step of an alert from one phase to another.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Transition {
    /// Which alert.
    pub key: AlertKey,
    /// From where.
    pub from: Phase,
    /// To where.
    pub to: Phase,
    /// The last value.
    pub value: Option<f64>,
    /// Wall-clock time, milliseconds since 1970.
    pub at_ms: u64,
}

/// Where an alert stands.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct AlertStatus {
    /// Which alert.
    pub key: AlertKey,
    /// How bad it is.
    pub severity: Severity,
    /// The phase.
    pub phase: Phase,
    /// Whether it fires, or fired when values stopped coming.
    pub on: bool,
    /// For how long it has been in this phase.
    pub since: Duration,
    /// The last value.
    pub value: Option<f64>,
    /// How often it has fired in all.
    pub fired_total: u64,
    /// How often it has fired within the flap window; counts to one more than the limit.
    pub fired_recently: usize,
    /// Whether it comes and goes so often that single messages stopped.
    pub flapping: bool,
    /// Whether a silence covers it.
    pub silenced: bool,
}

/// What a step of the [`Machine`] wants done, all of it or nothing.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Effects {
    pub(crate) transitions: Vec<Transition>,
    pub(crate) notifications: Vec<Notification>,
    /// Alerts to be stored; `None` is to be removed.
    pub(crate) alerts: BTreeMap<AlertKey, Option<Alert>>,
    /// All silences, if they changed.
    pub(crate) silences: Option<Vec<Silence>>,
    /// Transitions that were dropped because the store could not take them for long.
    pub(crate) dropped: u64,
}

impl Effects {
    /// Transitions that wait for a store at most.
    const MAX_WAITING: usize = 10_000;

    pub(crate) fn is_empty(&self) -> bool {
        self.transitions.is_empty()
            && self.notifications.is_empty()
            && self.alerts.is_empty()
            && self.silences.is_none()
    }

    /// Puts what came later on top of what could not be stored yet.
    pub(crate) fn absorb(&mut self, later: Self) {
        self.alerts.extend(later.alerts);
        self.silences = later.silences.or_else(|| self.silences.take());
        self.transitions.extend(later.transitions);
        self.notifications.extend(later.notifications);
        for excess in [
            trim(&mut self.transitions, Self::MAX_WAITING),
            trim(&mut self.notifications, Self::MAX_WAITING),
        ] {
            self.dropped += excess;
        }
        self.dropped += later.dropped;
    }
}

fn trim<T>(list: &mut Vec<T>, max: usize) -> u64 {
    let excess = list.len().saturating_sub(max);
    list.drain(..excess);
    excess as u64
}

/// The alerts of a set of rules.
#[derive(Debug)]
pub(crate) struct Machine {
    rules: Vec<Rule>,
    limits: Limits,
    alerts: BTreeMap<AlertKey, Alert>,
    silences: Vec<Silence>,
    next_silence: u64,
    /// The number of the next notification.
    next_sequence: u64,
    /// When each group spoke last; forgotten after the interval.
    spoke: HashMap<GroupKey, Duration>,
    effects: Effects,
    /// The latest time seen: it does not go back.
    last: Duration,
    /// Values dropped because there were too many alerts.
    overflow: u64,
}

/// What came from a store.
#[derive(Debug, Default)]
pub(crate) struct Restored {
    pub(crate) alerts: BTreeMap<AlertKey, Alert>,
    pub(crate) silences: Vec<Silence>,
    pub(crate) next_sequence: u64,
    pub(crate) clock: Duration,
}

/// Which message an alert belongs to: the rule's own, or the one of its labels.
type GroupKey = (Option<String>, Labels, Vec<String>);

impl Machine {
    pub(crate) fn new(
        rules: Vec<Rule>,
        limits: Limits,
        restored: Restored,
    ) -> Result<Self, RuleError> {
        Rule::check_all(&rules)?;
        let mut machine = Self {
            next_silence: restored
                .silences
                .iter()
                .map(|s| s.id.saturating_add(1))
                .max()
                .unwrap_or(1),
            alerts: restored.alerts,
            silences: restored.silences,
            next_sequence: restored.next_sequence.max(1),
            spoke: HashMap::new(),
            effects: Effects::default(),
            last: restored.clock,
            overflow: 0,
            rules,
            limits,
        };
        machine.adopt();
        Ok(machine)
    }

    pub(crate) fn rules(&self) -> &[Rule] {
        &self.rules
    }

    pub(crate) fn overflow(&self) -> u64 {
        self.overflow
    }

    /// Takes a value.
    pub(crate) fn observe(&mut self, now: Now, observation: &Observation) {
        let clock = self.advance(now);
        for index in 0..self.rules.len() {
            let rule = &self.rules[index];
            if !rule.watches(&observation.metric, &observation.labels) {
                continue;
            }
            let labels = match rule.condition {
                // Such a rule is about one series, whoever feeds it.
                Condition::Absent => rule.labels.clone(),
                _ => observation.labels.clone(),
            };
            let key = AlertKey {
                rule: rule.name.clone(),
                labels,
            };
            if !self.alerts.contains_key(&key) && self.alerts.len() >= self.limits.max_alerts {
                self.overflow += 1;
                continue;
            }
            let (value, events, flap) = (observation.value, observation.events, self.limits.flap);
            self.step(index, key, now, |rule, alert| {
                alert.value(rule, flap, clock, value, events);
            });
        }
    }

    /// Lets time pass: what is due is in the effects afterwards.
    pub(crate) fn tick(&mut self, now: Now) {
        let clock = self.advance(now);
        let flap = self.limits.flap;
        let keys: Vec<AlertKey> = self.alerts.keys().cloned().collect();
        let index: HashMap<String, usize> = self
            .rules
            .iter()
            .enumerate()
            .map(|(index, rule)| (rule.name.clone(), index))
            .collect();
        for key in keys {
            let Some(&rule) = index.get(&key.rule) else {
                continue;
            };
            if self.alerts[&key].forgettable(&self.rules[rule], clock) {
                self.alerts.remove(&key);
                self.effects.alerts.insert(key, None);
                continue;
            }
            self.step(rule, key, now, |rule, alert| {
                alert.silence_until(rule, flap, clock);
                alert.calm(flap, clock);
            });
        }
        self.expire_silences(clock);
        self.speak(now, &index);
    }

    /// Hands over what is to be stored since the last call.
    pub(crate) fn take_effects(&mut self) -> Effects {
        std::mem::take(&mut self.effects)
    }

    /// Gives a number for a message sent by hand.
    pub(crate) fn number(&mut self) -> u64 {
        let number = self.next_sequence;
        self.next_sequence += 1;
        number
    }

    /// Adds a silence and returns its number.
    pub(crate) fn silence(&mut self, now: Now, silence: Silence) -> Result<u64, SilenceError> {
        let clock = self.advance(now);
        silence.check()?;
        self.expire_silences(clock);
        if self.silences.len() >= Silence::MAX {
            return Err(SilenceError::TooMany);
        }
        let id = self.next_silence;
        self.next_silence = self.next_silence.saturating_add(1);
        self.silences.push(silence.begin(id, clock));
        self.effects.silences = Some(self.silences.clone());
        Ok(id)
    }

    /// Ends a silence early; `false` if there is none of that number.
    pub(crate) fn unsilence(&mut self, id: u64) -> bool {
        let before = self.silences.len();
        self.silences.retain(|silence| silence.id != id);
        let found = self.silences.len() < before;
        if found {
            self.effects.silences = Some(self.silences.clone());
        }
        found
    }

    pub(crate) fn silences(&self) -> &[Silence] {
        &self.silences
    }

    /// Drops an alert without a word; `false` if there is none.
    pub(crate) fn forget(&mut self, key: &AlertKey) -> bool {
        let found = self.alerts.remove(key).is_some();
        if found {
            self.effects.alerts.insert(key.clone(), None);
            // A rule that waits for absence begins again.
            self.adopt();
        }
        found
    }

    pub(crate) fn status(&self) -> Vec<AlertStatus> {
        let rule = |key: &AlertKey| self.rules.iter().find(|rule| rule.name == key.rule);
        self.alerts
            .iter()
            .filter_map(|(key, alert)| {
                let rule = rule(key)?;
                Some(AlertStatus {
                    key: key.clone(),
                    severity: rule.severity,
                    phase: alert.phase,
                    on: alert.on,
                    since: self.last.saturating_sub(alert.since),
                    value: alert.value,
                    fired_total: alert.fired_total,
                    fired_recently: alert.recent_firings(),
                    flapping: alert.flapping,
                    silenced: self.silenced(rule, key),
                })
            })
            .collect()
    }

    fn advance(&mut self, now: Now) -> Duration {
        self.last = self.last.max(now.clock);
        self.last
    }

    /// Drops alerts of rules that are gone, starts those that wait for absence, and restarts hold times.
    fn adopt(&mut self) {
        let now = self.last;
        for rule in &self.rules {
            let key = AlertKey {
                rule: rule.name.clone(),
                labels: rule.labels.clone(),
            };
            if rule.condition == Condition::Absent {
                self.alerts.entry(key).or_insert_with(|| Alert::new(now));
            }
        }
        let gone: Vec<AlertKey> = self
            .alerts
            .keys()
            .filter(|key| !self.rules.iter().any(|rule| rule.name == key.rule))
            .cloned()
            .collect();
        for key in gone {
            self.alerts.remove(&key);
            self.effects.alerts.insert(key, None);
        }
    }

    /// Resumes after a restart at `now`.
    pub(crate) fn resume(&mut self, now: Duration) {
        self.last = self.last.max(now);
        for alert in self.alerts.values_mut() {
            alert.resume(self.last);
        }
    }

    fn step(
        &mut self,
        rule: usize,
        key: AlertKey,
        now: Now,
        change: impl FnOnce(&Rule, &mut Alert),
    ) {
        let clock = self.last;
        let alert = self
            .alerts
            .entry(key.clone())
            .or_insert_with(|| Alert::new(clock));
        let before = (alert.phase, alert.on, alert.flapping);
        change(&self.rules[rule], alert);
        // Two phases at once are possible without a hold time; the record shows the first and the last.
        if before == (alert.phase, alert.on, alert.flapping) {
            return;
        }
        if before.0 != alert.phase {
            self.effects.transitions.push(Transition {
                key: key.clone(),
                from: before.0,
                to: alert.phase,
                value: alert.value,
                at_ms: unix_ms(now.wall),
            });
        }
        self.effects.alerts.insert(key, Some(alert.clone()));
    }

    fn expire_silences(&mut self, clock: Duration) {
        let before = self.silences.len();
        self.silences.retain(|silence| silence.until > clock);
        if self.silences.len() < before {
            self.effects.silences = Some(self.silences.clone());
        }
    }

    fn silenced(&self, rule: &Rule, key: &AlertKey) -> bool {
        self.silences
            .iter()
            .any(|silence| silence.covers(rule, &key.labels))
    }

    fn speak(&mut self, now: Now, index: &HashMap<String, usize>) {
        let clock = self.last;
        let interval = self.limits.group_interval;
        self.spoke
            .retain(|_, last| clock.saturating_sub(*last) < interval);
        let mut groups: BTreeMap<GroupKey, Vec<(AlertKey, News)>> = BTreeMap::new();
        for (key, alert) in &self.alerts {
            let Some(&rule) = index.get(&key.rule) else {
                continue;
            };
            let rule = &self.rules[rule];
            let Some(news) = alert.news(rule, clock) else {
                continue;
            };
            if self.silenced(rule, key) {
                continue;
            }
            let group = match rule.group_by.as_slice() {
                [] => (
                    Some(rule.name.clone()),
                    Labels::default(),
                    rule.receivers.clone(),
                ),
                // Rules that tell others are in another group: a message goes to the same people as a whole.
                names => (None, key.labels.only(names), rule.receivers.clone()),
            };
            if !self.spoke.contains_key(&group) {
                groups.entry(group).or_default().push((key.clone(), news));
            }
        }
        for (group, members) in groups {
            self.notify(now, group, members, index);
        }
    }

    fn notify(
        &mut self,
        now: Now,
        group: GroupKey,
        members: Vec<(AlertKey, News)>,
        index: &HashMap<String, usize>,
    ) {
        let clock = self.last;
        let mut severity = Severity::Info;
        let mut entries = Vec::new();
        let total = members.len();
        for (key, news) in members {
            let Some(&rule) = index.get(&key.rule) else {
                continue;
            };
            let rule = &self.rules[rule];
            let Some(alert) = self.alerts.get_mut(&key) else {
                continue;
            };
            severity = severity.max(rule.severity);
            if entries.len() < Notification::MAX_ENTRIES {
                entries.push(Entry {
                    rule: rule.name.clone(),
                    metric: rule.metric.clone(),
                    labels: key.labels.clone(),
                    news,
                    phase: alert.phase,
                    severity: rule.severity,
                    value: alert.value,
                    threshold: rule.condition.threshold(),
                    for_seconds: clock.saturating_sub(alert.switched).as_secs(),
                    fired_total: alert.fired_total,
                    advice: rule.advice.clone(),
                });
            }
            alert.told(news, clock);
            self.effects.alerts.insert(key, Some(alert.clone()));
        }
        let sequence = self.number();
        self.effects.notifications.push(Notification {
            sequence,
            at_ms: unix_ms(now.wall),
            drill: false,
            severity,
            more: total - entries.len(),
            alerts: entries,
            group: group.1.clone(),
            receivers: group.2.clone(),
        });
        self.spoke.insert(group, clock);
    }
}

#[cfg(test)]
#[path = "state_tests.rs"]
mod tests;
