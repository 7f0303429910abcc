//! `aqe alerts test`: a real message that says of itself that it is a drill.

use std::fmt::Write;

use aqe_core::AlertAction;
use aqe_core::alerts::{AlertError, Alerter, Rule};
use serde::Serialize;

use super::place::Place;
use super::rules::{Which, how_to_tell, named};
use super::{open, print_json, refused};
use crate::args::AlertsCommon;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output;
use crate::report::style::Colors;

/// A drill as it was asked for.
pub(super) struct Wanted<'a> {
    pub(super) about: Which<'a>,
    /// Whether the message looks as if the threshold had been crossed.
    pub(super) with_value: bool,
    /// To whom; nobody for whom the rule tells.
    pub(super) actions: Vec<AlertAction>,
}

/// What became of one message.
#[derive(Serialize)]
struct Sent {
    action: AlertAction,
    delivered: bool,
    /// Why it did not arrive; nothing that the receiver said.
    why: Option<String>,
}

/// Sends to each, waits, and says which messages arrived.
pub(super) fn run(
    place: &Place,
    wanted: &Wanted<'_>,
    common: &AlertsCommon,
) -> Result<Exit, Failure> {
    let rule = match wanted.about {
        Which::All => None,
        Which::Metric(metric) => Some(named(place, metric.name())?),
        Which::Name(name) => Some(named(place, name)?),
    };
    let to = receivers(place, wanted, rule.as_ref())?;
    let alerter = open(place, &to)?.map_err(|error| refused(&error))?;
    let rule = rule.filter(|_| wanted.with_value);
    let mut sent = Vec::new();
    for action in to {
        sent.push(send(&alerter, action, rule.as_ref())?);
    }
    if common.json {
        print_json(&sent)?;
    } else {
        output::print(&text(
            &sent,
            Colors::choose(common.color, &std::io::stdout()),
        ))?;
    }
    match sent.iter().all(|one| one.delivered) {
        true => Ok(Exit::Success),
        false => Ok(Exit::NotDelivered),
    }
}

fn send(alerter: &Alerter, action: AlertAction, rule: Option<&Rule>) -> Result<Sent, Failure> {
    let result = match rule {
        Some(rule) => alerter.test_rule(action.as_str(), rule),
        None => alerter.test(action.as_str()),
    };
    let why = match result {
        Ok(()) => None,
        Err(error @ AlertError::Undelivered { .. }) => Some(error.to_string()),
        Err(error) => return Err(refused(&error)),
    };
    Ok(Sent {
        action,
        delivered: why.is_none(),
        why,
    })
}

/// To whom the drill goes.
fn receivers(
    place: &Place,
    wanted: &Wanted<'_>,
    rule: Option<&Rule>,
) -> Result<Vec<AlertAction>, Failure> {
    let configured = place.setup.actions();
    for action in &wanted.actions {
        if !configured.contains(action) {
            let failure = Failure::new(Exit::NoAlert, format!("{action} is not configured"));
            return Err(failure.hint(format!("set {} first", action.key())));
        }
    }
    if !wanted.actions.is_empty() {
        return Ok(wanted.actions.clone());
    }
    let is_told = |action: &AlertAction| {
        rule.is_none_or(|rule| {
            let names = &rule.receivers;
            names.is_empty() || names.iter().any(|name| name == action.as_str())
        })
    };
    let told: Vec<_> = configured.into_iter().filter(is_told).collect();
    match told.is_empty() {
        true => Err(Failure::new(Exit::NoAlert, "there is nobody to send to").hint(how_to_tell())),
        false => Ok(told),
    }
}

fn text(sent: &[Sent], colors: Colors) -> String {
    let mut text = String::new();
    for one in sent {
        // Writing to a string cannot fail.
        let _ = match &one.why {
            None => writeln!(text, "{}: {}", one.action, colors.good("delivered")),
            Some(why) => writeln!(text, "{}: {}: {why}", one.action, colors.bad("failed")),
        };
    }
    text
}
