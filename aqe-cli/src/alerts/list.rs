//! `aqe alerts list`: rules, where their alerts stand, and silences.

use std::time::{Duration, SystemTime};

use aqe_core::alerts::{ActiveSilence, AlertLog, Rule, Severity, StoreError, StoredAlert};
use aqe_core::{AlertAction, AlertMetric};
use serde::Serialize;

use super::place::Place;
use super::{broken, joined, length, log, print_json};
use crate::args::AlertsCommon;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output;
use crate::report::columns::Columns;
use crate::report::style::Colors;
use crate::report::text::one_line;

/// Everything there is to list.
#[derive(Serialize)]
struct Document {
    /// Whether `monitoring.alerting.enabled` says so.
    enabled: bool,
    /// The ways that are configured.
    actions: Vec<AlertAction>,
    rules: Vec<RuleRow>,
    alerts: Vec<StoredAlert>,
    silences: Vec<SilenceRow>,
}

/// A rule; levels are percent, or seconds of times.
#[derive(Serialize)]
struct RuleRow {
    rule: String,
    metric: &'static str,
    threshold: f64,
    resolve: f64,
    hold_seconds: f64,
    severity: Severity,
    /// The names of those who are told.
    actions: Vec<AlertAction>,
    /// Whether it was added with `aqe alerts add`.
    own: bool,
}

#[derive(Serialize)]
struct SilenceRow {
    silence: u64,
    /// `None` for all rules.
    rule: Option<String>,
    remaining_seconds: u64,
    reason: String,
}

/// Lists.
pub(super) fn run(place: &Place, common: &AlertsCommon) -> Result<Exit, Failure> {
    let document = document(place)?;
    if common.json {
        print_json(&document)?;
    } else {
        let colors = Colors::choose(common.color, &std::io::stdout());
        output::print(&text(&document, colors))?;
    }
    Ok(Exit::Success)
}

fn document(place: &Place) -> Result<Document, Failure> {
    let setup = &place.setup;
    let (alerts, silences) = match log(place)? {
        Some(log) => stored(&log).map_err(|error| broken(&error))?,
        None => (Vec::new(), Vec::new()),
    };
    let actions = setup.actions();
    let rules = setup.rules();
    let rows = rules.iter().filter_map(|rule| {
        let own = setup.own_rules().iter().any(|own| own.id == rule.name);
        RuleRow::of(rule, own, &actions)
    });
    Ok(Document {
        enabled: setup.is_enabled(),
        rules: rows.collect(),
        actions,
        alerts,
        silences: silences.into_iter().map(SilenceRow::of).collect(),
    })
}

fn stored(log: &AlertLog) -> Result<(Vec<StoredAlert>, Vec<ActiveSilence>), StoreError> {
    Ok((log.alerts()?, log.silences(SystemTime::now())?))
}

impl RuleRow {
    /// `None` for what is no rule of ours: all of ours have a threshold and one of four metrics.
    fn of(rule: &Rule, own: bool, configured: &[AlertAction]) -> Option<Self> {
        let metric = AlertMetric::of_name(&rule.metric)?;
        let (threshold, resolve) = levels(rule)?;
        let told = |action: &AlertAction| {
            let names = &rule.receivers;
            match names.is_empty() {
                true => configured.contains(action),
                false => names.iter().any(|name| name == action.as_str()),
            }
        };
        Some(Self {
            rule: rule.name.clone(),
            metric: metric.typed_name(),
            threshold,
            resolve,
            hold_seconds: rule.hold.as_secs_f64(),
            severity: rule.severity,
            actions: AlertAction::ALL.into_iter().filter(told).collect(),
            own,
        })
    }
}

fn levels(rule: &Rule) -> Option<(f64, f64)> {
    use aqe_core::alerts::Condition::{Above, Below};
    match rule.condition {
        Above { threshold, resolve } | Below { threshold, resolve } => Some((threshold, resolve)),
        _ => None,
    }
}

impl SilenceRow {
    fn of(active: ActiveSilence) -> Self {
        Self {
            silence: active.silence.id,
            rule: active.silence.rule,
            remaining_seconds: active.remaining.as_secs(),
            reason: active.silence.comment,
        }
    }
}

fn text(document: &Document, colors: Colors) -> String {
    let mut text = String::new();
    if !document.enabled {
        text.push_str("Alerts are off: monitoring.alerting.enabled is false.\n\n");
    }
    text.push_str(&rules(document, colors));
    let alerts = alerts(document);
    if !alerts.is_empty() {
        text.push('\n');
        text.push_str(&alerts.text(colors));
    }
    let silences = silences(document);
    if !silences.is_empty() {
        text.push('\n');
        text.push_str(&silences.text(colors));
    }
    text
}

fn rules(document: &Document, colors: Colors) -> String {
    let head = ["Above", "For", "Until", "Severity", "Tells", "Rule"];
    let mut columns = Columns::new(head);
    for row in &document.rules {
        let show = |level: f64| {
            AlertMetric::of_name(row.metric).map_or_else(String::new, |metric| metric.show(level))
        };
        columns.row([
            show(row.threshold),
            length(Duration::try_from_secs_f64(row.hold_seconds).unwrap_or_default()),
            show(row.resolve),
            row.severity.as_str().to_owned(),
            joined(&row.actions, "nobody"),
            one_line(&row.rule),
        ]);
    }
    columns.text(colors)
}

fn alerts(document: &Document) -> Columns {
    let mut columns = Columns::new(["Value", "Fired", "Phase", "Alert"]);
    for alert in &document.alerts {
        let name = &alert.key.rule;
        let rule = document.rules.iter().find(|row| row.rule == *name);
        let metric = rule.and_then(|row| AlertMetric::of_name(row.metric));
        let value = alert.value.map(|value| match metric {
            Some(metric) => metric.show(value),
            None => value.to_string(),
        });
        let flapping = if alert.flapping { ", flapping" } else { "" };
        columns.row([
            value.unwrap_or_else(|| "-".to_owned()),
            alert.fired_total.to_string(),
            format!("{}{flapping}", alert.phase.as_str().replace('_', " ")),
            one_line(name),
        ]);
    }
    columns
}

fn silences(document: &Document) -> Columns {
    let mut columns = Columns::new(["Silence", "Ends in", "Rule", "Reason"]);
    for row in &document.silences {
        columns.row([
            row.silence.to_string(),
            length(Duration::from_secs(row.remaining_seconds)),
            row.rule
                .as_deref()
                .map_or_else(|| "all".to_owned(), one_line),
            one_line(&row.reason),
        ]);
    }
    columns
}
