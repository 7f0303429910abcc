//! What is said, before anybody decides how: the same facts for e-mail, Slack and webhooks.

use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use super::alert::{News, Phase};
use super::labels::Labels;
use super::rule::{Rule, Severity};

/// One message about one group of alerts. Its JSON is the body of a webhook.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Notification {
    /// Counts from 1 in each store; with the store's name it is part of the idempotency key.
    pub sequence: u64,
    /// Wall-clock time, milliseconds since 1970.
    pub at_ms: u64,
    /// Whether this is a drill: sent by hand to see it arrive. Nothing is wrong.
    pub drill: bool,
    /// The worst of the alerts.
    pub severity: Severity,
    /// What the alerts have in common, if they are grouped by labels.
    pub group: Labels,
    /// The alerts, at most [`Self::MAX_ENTRIES`].
    pub alerts: Vec<Entry>,
    /// Alerts of the group that did not fit.
    pub more: usize,
    /// Who gets it; empty for everyone. Nothing that a receiver has to know, and not needed once the message is in the
    /// outbox.
    #[serde(skip)]
    pub(crate) receivers: Vec<String>,
}

/// One alert in a message.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Entry {
    /// The rule's name.
    pub rule: String,
    /// The metric.
    pub metric: String,
    /// The labels of the series.
    pub labels: Labels,
    /// Why it is in this message.
    pub news: News,
    /// Where it stands.
    pub phase: Phase,
    /// How bad it is.
    pub severity: Severity,
    /// The last value in the metric's unit, if there was one.
    pub value: Option<f64>,
    /// The level that was crossed; `None` when the rule waits for absence.
    pub threshold: Option<f64>,
    /// Seconds since the alert was last switched on or off.
    pub for_seconds: u64,
    /// How often it has fired in all.
    pub fired_total: u64,
    /// What the rule says a reader should know.
    pub advice: String,
}

impl Notification {
    /// Alerts that one message lists at most; a longer one would be refused by Slack.
    pub const MAX_ENTRIES: usize = 20;

    /// A message that says of itself that it is a drill.
    pub(crate) fn drill(sequence: u64, at: SystemTime) -> Self {
        Self {
            sequence,
            at_ms: unix_ms(at),
            drill: true,
            severity: Severity::Info,
            group: Labels::default(),
            more: 0,
            alerts: vec![Entry {
                rule: "drill".to_owned(),
                metric: "drill".to_owned(),
                labels: Labels::default(),
                news: News::Firing,
                phase: Phase::Firing,
                severity: Severity::Info,
                value: None,
                threshold: None,
                for_seconds: 0,
                fired_total: 0,
                advice: DRILL.to_owned(),
            }],
            receivers: Vec::new(),
        }
    }

    /// A drill that looks as if `rule` had fired, with a value just beyond its threshold.
    pub(crate) fn drill_of(rule: &Rule, sequence: u64, at: SystemTime) -> Self {
        let mut drill = Self::drill(sequence, at);
        drill.severity = rule.severity;
        for entry in &mut drill.alerts {
            entry.rule.clone_from(&rule.name);
            entry.metric.clone_from(&rule.metric);
            entry.labels = rule.labels.clone();
            entry.severity = rule.severity;
            entry.threshold = rule.condition.threshold();
            entry.value = rule.condition.value_beyond();
            entry.advice = match rule.advice.as_str() {
                "" => DRILL.to_owned(),
                advice => format!("{DRILL} If it were real: {advice}"),
            };
        }
        drill
    }

    /// Whether the receiver of this name gets it.
    pub(crate) fn is_for(&self, receiver: &str) -> bool {
        self.receivers.is_empty() || self.receivers.iter().any(|name| name == receiver)
    }

    /// One line that says what it is about, without line breaks.
    #[must_use]
    pub fn title(&self) -> String {
        let drill = if self.drill { "[DRILL] " } else { "" };
        let count = self.alerts.len() + self.more;
        let Some(first) = self.alerts.first() else {
            return format!("{drill}no alerts");
        };
        let others = match count {
            1 => String::new(),
            n => format!(" and {} more", n - 1),
        };
        let severity = self.severity.as_str();
        let text = format!(
            "{drill}{} ({severity}): {}{}{others}",
            first.news.as_str(),
            first.rule,
            Brief(&first.labels),
        );
        // A label may hold anything, and a title ends up in mail headers and terminals.
        text.chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .collect()
    }

    /// One sentence for each alert.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let mut lines: Vec<String> = self.alerts.iter().map(Entry::line).collect();
        if self.more > 0 {
            lines.push(format!("… and {} more.", self.more));
        }
        lines
    }
}

/// What every drill says of itself.
const DRILL: &str = "This is a drill: somebody wanted to see that alerts arrive. Nothing is wrong.";

impl News {
    /// The word in messages.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Firing => "firing",
            Self::Resolved => "resolved",
            Self::Repeat => "still firing",
            Self::Flapping => "flapping",
        }
    }
}

impl Entry {
    fn line(&self) -> String {
        let value = match (self.value, self.threshold) {
            (Some(value), Some(level)) => {
                format!(": {} = {value:.2} (threshold {level})", self.metric)
            }
            (Some(value), None) => format!(": {} = {value:.2}", self.metric),
            (None, _) => format!(": {}", self.metric),
        };
        let no_data = match self.phase {
            Phase::NoData => ", no values since",
            _ => "",
        };
        let lasting = match self.news {
            News::Repeat => format!(", for {} s", self.for_seconds),
            News::Flapping => format!(", {} times so far", self.fired_total),
            News::Firing | News::Resolved => String::new(),
        };
        let advice = match (self.news, self.advice.as_str()) {
            (News::Resolved, _) | (_, "") => String::new(),
            (_, advice) => format!(". {advice}"),
        };
        let labels = Brief(&self.labels);
        format!(
            "{} {}{labels}{value}{lasting}{no_data}{advice}",
            self.news.as_str(),
            self.rule
        )
    }
}

/// Labels for people: nothing at all if there are none.
struct Brief<'a>(&'a Labels);

impl std::fmt::Display for Brief<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0.iter().next().is_none() {
            return Ok(());
        }
        write!(f, " {}", self.0)
    }
}

/// Milliseconds since 1970; a clock before that counts as zero.
pub(crate) fn unix_ms(at: SystemTime) -> u64 {
    let since = at
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or(Duration::ZERO);
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drill_says_so_first() {
        let drill = Notification::drill(7, SystemTime::UNIX_EPOCH);
        assert!(drill.title().starts_with("[DRILL] "), "{}", drill.title());
        assert!(drill.lines()[0].contains("Nothing is wrong"));
    }

    #[test]
    fn a_drill_of_a_rule_has_its_level_and_a_value_beyond_it() {
        let rules = [
            Rule::above("high", "m", 85.0),
            Rule::below("low", "m", 10.0),
            Rule::above("zero", "m", 0.0),
        ];
        for rule in rules {
            let rule = rule.severity(Severity::Critical).advice("Look.");
            let drill = Notification::drill_of(&rule, 7, SystemTime::UNIX_EPOCH);
            let title = format!("[DRILL] firing (critical): {}", rule.name);
            assert_eq!(drill.title(), title);
            let entry = &drill.alerts[0];
            assert_eq!(entry.threshold, rule.condition.threshold());
            let value = entry.value.unwrap();
            assert_eq!(
                rule.condition.read(value),
                crate::alerts::rule::Reading::Breach
            );
            assert!(entry.advice.contains("Nothing is wrong") && entry.advice.ends_with("Look."));
        }
    }

    #[test]
    fn a_title_is_one_line_whatever_the_labels_hold() {
        let mut note = Notification::drill(1, SystemTime::UNIX_EPOCH);
        note.alerts[0].rule = "a\r\nBcc: everyone@example.org".to_owned();
        assert!(!note.title().contains(['\r', '\n']));
    }
}
