//! `aqe alerts add` and `remove`, and finding rules by what people type.

use std::time::Duration;

use aqe_core::alerts::{Rule, Severity};
use aqe_core::{AlertAction, AlertMetric, NewRule, OwnRule, OwnRules, OwnRulesError};
use serde::Serialize;

use super::place::Place;
use super::{create_state_folder, joined, length, print_json};
use crate::args::AlertsCommon;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output;
use crate::report::text::one_line;

/// A rule as it was asked for.
pub(super) struct Wanted<'a> {
    pub(super) metric: AlertMetric,
    pub(super) threshold: &'a str,
    pub(super) resolve: Option<&'a str>,
    pub(super) actions: Vec<AlertAction>,
    pub(super) hold: Duration,
    pub(super) severity: Severity,
}

/// Adds a rule.
pub(super) fn add(
    place: &Place,
    wanted: &Wanted<'_>,
    common: &AlertsCommon,
) -> Result<Exit, Failure> {
    let level = |option, text| {
        let level = wanted.metric.read_level(text);
        level.map_err(|why| Failure::new(Exit::Usage, format!("{option}: {why}")))
    };
    let threshold = level("--threshold", wanted.threshold)?;
    let mut rule = NewRule::above(wanted.metric, threshold)
        .hold(wanted.hold)
        .severity(wanted.severity)
        .actions(wanted.actions.iter().copied());
    if let Some(text) = wanted.resolve {
        rule = rule.resolve(level("--resolve", text)?);
    }
    create_state_folder(&place.state)?;
    let added = OwnRules::add(place.state.path(), rule).map_err(|error| not_changed(&error))?;
    if common.json {
        print_json(&Document::of(&added))?;
    } else {
        let told = joined(&added.actions, "all that are configured");
        output::print(&format!(
            "{}: {} above {} for {}, until at or below {} ({}); tells {told}\n",
            added.id,
            added.metric,
            added.metric.show(added.threshold),
            length(added.hold()),
            added.metric.show(added.resolve),
            added.severity.as_str(),
        ))?;
    }
    warn_of_nobody(place, &added.actions);
    Ok(Exit::Success)
}

/// A rule that tells nobody is kept: the receiver may be configured later, and on another machine.
fn warn_of_nobody(place: &Place, actions: &[AlertAction]) {
    let configured = place.setup.actions();
    if actions.is_empty() && configured.is_empty() {
        output::complain(&format!("warning: nobody is told yet; {}\n", how_to_tell()));
    }
    for action in actions.iter().filter(|action| !configured.contains(action)) {
        let key = action.key();
        output::complain(&format!(
            "warning: {action} is not configured: {key} is off\n"
        ));
    }
}

/// What to do when nobody is told.
pub(super) fn how_to_tell() -> String {
    let keys = AlertAction::ALL.map(AlertAction::key);
    format!("one of these keys says whom to tell: {}", keys.join(", "))
}

/// Removes a rule that was added.
pub(super) fn remove(place: &Place, id: &str, common: &AlertsCommon) -> Result<Exit, Failure> {
    if let Some(metric) = AlertMetric::of_name(id) {
        let text = format!("{metric} is a default rule, which cannot be removed");
        return Err(Failure::new(Exit::Usage, text).hint(format!(
            "`aqe config set {} …` changes its threshold",
            metric.threshold_key()
        )));
    }
    let removed = match place.state.path().is_dir() {
        true => OwnRules::remove(place.state.path(), id).map_err(|error| not_changed(&error))?,
        false => None,
    };
    let Some(removed) = removed else {
        return Err(unknown(place, id));
    };
    if common.json {
        print_json(&Document::of(&removed))?;
    } else {
        output::print(&format!("{} is removed\n", removed.id))?;
    }
    Ok(Exit::Success)
}

/// Which rules a command is about.
#[derive(Debug, Clone, Copy)]
pub(super) enum Which<'a> {
    All,
    Metric(AlertMetric),
    Name(&'a str),
}

impl<'a> Which<'a> {
    pub(super) fn of(metric: Option<AlertMetric>, name: Option<&'a str>) -> Self {
        match (metric, name) {
            (Some(metric), _) => Self::Metric(metric),
            // The default rules have the names of their metrics, and both ways to write them.
            (None, Some(name)) => Self::Name(match AlertMetric::of_name(name) {
                Some(metric) => metric.name(),
                None => name,
            }),
            (None, None) => Self::All,
        }
    }
}

/// The rule that a name means.
pub(super) fn named(place: &Place, name: &str) -> Result<Rule, Failure> {
    let mut rules = place.setup.rules().into_iter();
    let found = rules.find(|rule| rule.name == name);
    found.ok_or_else(|| unknown(place, name))
}

fn unknown(place: &Place, name: &str) -> Failure {
    let rules = place.setup.rules();
    let known: Vec<_> = rules.iter().map(|rule| rule.name.as_str()).collect();
    let text = format!("there is no rule `{}`", one_line(name));
    Failure::new(Exit::NoAlert, text).hint(format!("the rules are {}", known.join(", ")))
}

fn not_changed(error: &OwnRulesError) -> Failure {
    match error {
        OwnRulesError::Refused(_) => Failure::of(Exit::Usage, error),
        _ => Failure::of(Exit::Environment, error),
    }
}

/// An own rule as JSON; levels are percent, or seconds of times.
#[derive(Serialize)]
struct Document<'a> {
    rule: &'a str,
    metric: &'static str,
    threshold: f64,
    resolve: f64,
    hold_seconds: f64,
    severity: Severity,
    actions: &'a [AlertAction],
}

impl<'a> Document<'a> {
    fn of(rule: &'a OwnRule) -> Self {
        Self {
            rule: &rule.id,
            metric: rule.metric.typed_name(),
            threshold: rule.threshold,
            resolve: rule.resolve,
            hold_seconds: rule.hold().as_secs_f64(),
            severity: rule.severity,
            actions: &rule.actions,
        }
    }
}
