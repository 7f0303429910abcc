//! `aqe alerts history`: alerts that came and went, and messages.

use std::time::{Duration, SystemTime};

use aqe_core::AlertMetric;
use aqe_core::alerts::{AlertLog, Attempt, StoreError, Transition};
use serde::Serialize;

use super::place::Place;
use super::{broken, log, print_json};
use crate::args::AlertsCommon;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::history::Age;
use crate::output;
use crate::report::columns::Columns;
use crate::report::style::Colors;
use crate::report::text::one_line;

/// What happened within a period, oldest first.
#[derive(Serialize)]
struct Document {
    transitions: Vec<Transition>,
    attempts: Vec<Attempt>,
}

/// Shows what happened.
pub(super) fn run(place: &Place, period: Duration, common: &AlertsCommon) -> Result<Exit, Failure> {
    let Some(log) = log(place)? else {
        let text = format!(
            "there is no history of alerts in {}",
            place.state.path().display()
        );
        let failure = Failure::new(Exit::NoStore, text);
        return Err(failure.hint("`aqe run` begins one, and so does `aqe alerts test`"));
    };
    let now = millis(SystemTime::now());
    let period = u64::try_from(period.as_millis()).unwrap_or(u64::MAX);
    let document = read(&log, now.saturating_sub(period)).map_err(|error| broken(&error))?;
    if common.json {
        print_json(&document)?;
    } else {
        let colors = Colors::choose(common.color, &std::io::stdout());
        output::print(&text(place, &document, now, colors))?;
    }
    Ok(Exit::Success)
}

fn read(log: &AlertLog, since: u64) -> Result<Document, StoreError> {
    let mut transitions = log.transitions(AlertLog::MAX_ROWS)?;
    transitions.retain(|one| one.at_ms >= since);
    transitions.reverse();
    let mut attempts = log.attempts(AlertLog::MAX_ROWS)?;
    attempts.retain(|one| one.at_ms >= since);
    attempts.reverse();
    Ok(Document {
        transitions,
        attempts,
    })
}

fn text(place: &Place, document: &Document, now: u64, colors: Colors) -> String {
    let age = |at: u64| Age(Duration::from_millis(now.saturating_sub(at))).to_string() + " ago";
    let rules = place.setup.rules();
    let value = |name: &str, value: f64| {
        let rule = rules.iter().find(|rule| rule.name == name);
        match rule.and_then(|rule| AlertMetric::of_name(&rule.metric)) {
            Some(metric) => metric.show(value),
            None => value.to_string(),
        }
    };
    let mut alerts = Columns::new(["When", "Value", "From", "To", "Alert"]);
    for one in &document.transitions {
        let word = |phase: aqe_core::alerts::Phase| phase.as_str().replace('_', " ");
        let name = &one.key.rule;
        alerts.row([
            age(one.at_ms),
            one.value
                .map_or_else(|| "-".to_owned(), |number| value(name, number)),
            word(one.from),
            word(one.to),
            one_line(name),
        ]);
    }
    let mut messages = Columns::new(["When", "To", "Outcome", "Message"]);
    for one in &document.attempts {
        let title = one.title.as_deref().unwrap_or("(removed)");
        let detail = match one.detail.as_str() {
            "" => String::new(),
            detail => format!(" – {}", one_line(detail)),
        };
        messages.row([
            age(one.at_ms),
            one_line(&one.receiver),
            one.outcome.clone(),
            format!("{}{detail}", one_line(title)),
        ]);
    }
    let tables = [alerts, messages];
    let tables = tables.iter().filter(|table| !table.is_empty());
    let tables: Vec<String> = tables.map(|table| table.text(colors)).collect();
    match tables.is_empty() {
        true => "Nothing happened in this period.\n".to_owned(),
        false => tables.join("\n"),
    }
}

fn millis(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| {
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    })
}
