//! `aqe alerts silence`: telling nobody for a while.

use std::time::{Duration, SystemTime};

use aqe_core::AlertOrdersError;
use aqe_core::alerts::{Alerter, Silence};
use serde::Serialize;

use super::place::Place;
use super::rules::{Which, named};
use super::{broken, log, open_unless_in_use, orders, print_json, refused};
use crate::args::AlertsCommon;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output;

/// A silence that has begun.
#[derive(Serialize)]
struct Begun {
    /// Its number; `None` if a run that goes on begins it.
    silence: Option<u64>,
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
    let alerter = open_unless_in_use(place, &[])?;
    let rules: Vec<Option<String>> = match which {
        Which::All => vec![None],
        Which::Name(name) => vec![Some(named(place, name)?.name)],
        Which::Metric(metric) => {
            let rules = place.setup.rules().into_iter();
            let rules = rules.filter(|rule| rule.metric == metric.name());
            rules.map(|rule| Some(rule.name)).collect()
        }
    };
    let begin = |rule: Option<String>| -> Result<Begun, Failure> {
        let silence = match &alerter {
            Some(alerter) => Some(start(alerter, rule.as_deref(), length, reason)?),
            None => {
                let now = SystemTime::now();
                let given = orders(place).silence(rule.as_deref(), length, reason, now);
                given.map_err(|error| not_ordered(&error))?;
                None
            }
        };
        Ok(Begun {
            silence,
            rule,
            seconds: length.as_secs_f64(),
        })
    };
    let begun = rules.into_iter().map(begin);
    let begun: Vec<Begun> = begun.collect::<Result<_, _>>()?;
    if common.json {
        print_json(&begun)?;
        return Ok(Exit::Success);
    }
    for Begun { silence, rule, .. } in begun {
        let rule = rule.as_deref().unwrap_or("all rules");
        let length = super::length(length);
        let text = match silence {
            Some(number) => format!("silence {number}: {rule} for {length}\n"),
            None => format!("silence: {rule} for {length}, {LATER}\n"),
        };
        output::print(&text)?;
    }
    Ok(Exit::Success)
}

/// When what was ordered of a run that goes on happens.
const LATER: &str = "from the next look of the run that goes on (monitoring.interval)";

fn start(
    alerter: &Alerter,
    rule: Option<&str>,
    length: Duration,
    reason: &str,
) -> Result<u64, Failure> {
    let silence = Silence::new(length).comment(reason);
    let silence = match rule {
        Some(rule) => silence.rule(rule),
        None => silence,
    };
    alerter.silence(silence).map_err(|error| refused(&error))
}

fn not_ordered(error: &AlertOrdersError) -> Failure {
    match error {
        AlertOrdersError::Silence => Failure::of(Exit::Usage, error),
        _ => Failure::of(Exit::Environment, error),
    }
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
    let later = match open_unless_in_use(place, &[])? {
        Some(alerter) => {
            if !alerter.unsilence(number).map_err(|error| refused(&error))? {
                return Err(none());
            }
            false
        }
        None => {
            let log = log(place)?.ok_or_else(none)?;
            let all = log.silences(SystemTime::now());
            let all = all.map_err(|error| broken(&error))?;
            if !all.iter().any(|one| one.silence.id == number) {
                return Err(none());
            }
            let given = orders(place).end_silence(number);
            given.map_err(|error| not_ordered(&error))?;
            true
        }
    };
    if common.json {
        print_json(&serde_json::json!({ "ended": number, "later": later }))?;
    } else if later {
        output::print(&format!("silence {number} ends {LATER}\n"))?;
    } else {
        output::print(&format!("silence {number} has ended\n"))?;
    }
    Ok(Exit::Success)
}
