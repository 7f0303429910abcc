//! `aqe alerts silence`: telling nobody for a while.

use std::time::Duration;

use aqe_core::alerts::Silence;
use serde::Serialize;

use super::place::Place;
use super::rules::{Which, named};
use super::{open, print_json, refused};
use crate::args::AlertsCommon;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output;

/// A silence that has begun.
#[derive(Serialize)]
struct Begun {
    silence: u64,
    /// `None` for all rules.
    rule: Option<String>,
    seconds: f64,
}

/// Begins a silence: one for each rule of a metric, since a silence is about one rule or about all.
pub(super) fn begin(
    place: &Place,
    which: Which<'_>,
    length: Duration,
    reason: &str,
    common: &AlertsCommon,
) -> Result<Exit, Failure> {
    let rules: Vec<Option<String>> = match which {
        Which::All => vec![None],
        Which::Name(name) => vec![Some(named(place, name)?.name)],
        Which::Metric(metric) => {
            let rules = place.setup.rules().into_iter();
            let rules = rules.filter(|rule| rule.metric == metric.name());
            rules.map(|rule| Some(rule.name)).collect()
        }
    };
    let alerter = open(place, &[])?;
    let mut begun = Vec::new();
    for rule in rules {
        let silence = Silence::new(length).comment(reason);
        let silence = match &rule {
            Some(rule) => silence.rule(rule),
            None => silence,
        };
        let number = alerter.silence(silence).map_err(|error| refused(&error))?;
        begun.push(Begun {
            silence: number,
            rule,
            seconds: length.as_secs_f64(),
        });
    }
    if common.json {
        print_json(&begun)?;
        return Ok(Exit::Success);
    }
    for Begun { silence, rule, .. } in begun {
        let rule = rule.as_deref().unwrap_or("all rules");
        let length = super::length(length);
        output::print(&format!("silence {silence}: {rule} for {length}\n"))?;
    }
    Ok(Exit::Success)
}

/// Ends a silence early.
pub(super) fn end(place: &Place, number: u64, common: &AlertsCommon) -> Result<Exit, Failure> {
    let none = || {
        Failure::new(Exit::NoAlert, format!("there is no silence {number}"))
            .hint("`aqe alerts list` shows those in force")
    };
    // Opening would begin a store.
    if !place.setup.store().is_file() {
        return Err(none());
    }
    let alerter = open(place, &[])?;
    if !alerter.unsilence(number).map_err(|error| refused(&error))? {
        return Err(none());
    }
    if common.json {
        print_json(&serde_json::json!({ "ended": number }))?;
    } else {
        output::print(&format!("silence {number} has ended\n"))?;
    }
    Ok(Exit::Success)
}
