//! `aqe alerts`: rules, drills, silences, and what happened. What is decided and sent is the library's; here it is only
//! asked for and printed.

mod drill;
mod history;
mod list;
mod place;
mod rules;
mod silence;

use std::time::{Duration, SystemTime};

use aqe_core::alerts::{AlertError, AlertLog, Alerter, Severity, StoreError, SystemClock};
use aqe_core::{AlertAction, AlertOrders, AlertSecrets};
use serde::Serialize;

use self::place::Place;
use crate::args::{ActionArg, AlertsCommand, SeverityArg};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::history::Age;
use crate::output;
use crate::report::style::Human;

pub(crate) use self::place::{create_state_folder, setup_of};

/// Runs one of the commands.
pub(crate) fn run(command: &AlertsCommand) -> Result<Exit, Failure> {
    match command {
        AlertsCommand::List { common } => list::run(&Place::find(&common.config)?, common),
        AlertsCommand::Add {
            metric,
            threshold,
            action,
            hold,
            resolve,
            severity,
            common,
        } => {
            let wanted = rules::Wanted {
                metric: *metric,
                threshold,
                resolve: resolve.as_deref(),
                actions: actions(action),
                hold: *hold,
                severity: (*severity).into(),
            };
            rules::add(&Place::find(&common.config)?, &wanted, common)
        }
        AlertsCommand::Remove { id, common } => {
            rules::remove(&Place::find(&common.config)?, id, common)
        }
        AlertsCommand::Silence {
            end: Some(number),
            common,
            ..
        } => silence::end(&Place::find(&common.config)?, *number, common),
        AlertsCommand::Silence {
            metric,
            rule,
            length,
            reason,
            common,
            ..
        } => {
            let which = rules::Which::of(*metric, rule.as_deref());
            let length = length.unwrap_or_default();
            silence::begin(&Place::find(&common.config)?, which, length, reason, common)
        }
        AlertsCommand::Test {
            metric,
            rule,
            simulate_threshold,
            action,
            common,
        } => {
            let wanted = drill::Wanted {
                about: rules::Which::of(*metric, rule.as_deref()),
                with_value: *simulate_threshold,
                actions: actions(action),
            };
            drill::run(&Place::find(&common.config)?, &wanted, common)
        }
        AlertsCommand::History { period, common } => {
            history::run(&Place::find(&common.config)?, *period, common)
        }
    }
}

/// An alerter that delivers to nobody by itself, with the secrets of these receivers. It looks at the time once, when it
/// is dropped: what is due then waits in the outbox, for all receivers. `None` while another program has the store.
fn open_unless_in_use(place: &Place, secrets: &[AlertAction]) -> Result<Option<Alerter>, Failure> {
    match open(place, secrets)? {
        Ok(alerter) => Ok(Some(alerter)),
        Err(AlertError::Store(StoreError::InUse { .. })) => Ok(None),
        Err(error) => Err(refused(&error)),
    }
}

fn open(place: &Place, secrets: &[AlertAction]) -> Result<Result<Alerter, AlertError>, Failure> {
    let config = place
        .setup
        .alerter(AlertSecrets::Of(secrets))
        .map_err(|error| Failure::of(Exit::Usage, &error))?;
    create_state_folder(&place.state)?;
    let opened = Alerter::manual(config, SystemClock::default());
    if let Ok(alerter) = &opened {
        // What somebody wanted of a run that has ended before it heard of it.
        let taken = orders(place).obey(alerter, SystemTime::now());
        taken.map_err(|error| Failure::of(Exit::Environment, &error))?;
    }
    Ok(opened)
}

fn orders(place: &Place) -> AlertOrders {
    AlertOrders::beside(&place.setup.store())
}

/// What is stored, for looking; `None` if nothing is.
fn log(place: &Place) -> Result<Option<AlertLog>, Failure> {
    let store = place.setup.store();
    if !store.is_file() {
        return Ok(None);
    }
    match AlertLog::open(store) {
        Ok(log) => Ok(Some(log)),
        // A run creates it at this moment.
        Err(StoreError::Empty { .. }) => Ok(None),
        Err(error) => Err(broken(&error)),
    }
}

/// An alerter's refusal, as the user sees it.
fn refused(error: &AlertError) -> Failure {
    match error {
        AlertError::Store(error) => broken(error),
        error => Failure::of(Exit::Usage, error),
    }
}

/// A store that cannot be used, as the user sees it.
fn broken(error: &StoreError) -> Failure {
    let failure = Failure::of(Exit::Environment, error);
    match error {
        StoreError::InUse { .. } => {
            failure.hint("a run that goes on has it; try again when it has ended")
        }
        _ => failure,
    }
}

fn actions(arguments: &[ActionArg]) -> Vec<AlertAction> {
    let action = |argument: &ActionArg| match argument {
        ActionArg::Email => AlertAction::Email,
        ActionArg::Slack => AlertAction::Slack,
        ActionArg::Webhook => AlertAction::Webhook,
    };
    let mut actions: Vec<_> = arguments.iter().map(action).collect();
    actions.sort_unstable();
    actions.dedup();
    actions
}

impl From<SeverityArg> for Severity {
    fn from(argument: SeverityArg) -> Self {
        match argument {
            SeverityArg::Info => Self::Info,
            SeverityArg::Warning => Self::Warning,
            SeverityArg::Critical => Self::Critical,
        }
    }
}

/// Names of actions with commas between, or what none of them means.
fn joined(actions: &[AlertAction], none: &str) -> String {
    match actions {
        [] => none.to_owned(),
        actions => {
            let words: Vec<_> = actions.iter().map(|action| action.as_str()).collect();
            words.join(", ")
        }
    }
}

/// A time as people write it: `30s`, `2h00m`, and `500ms` of what has parts of seconds.
fn length(time: Duration) -> String {
    match time.subsec_nanos() {
        0 => Age(time).to_string(),
        _ => Human(time).to_string(),
    }
}

/// Prints a value as JSON on lines of its own.
fn print_json(value: &impl Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(value)
        .map_err(|error| Failure::of(Exit::Environment, &error))?;
    output::print(&(text + "\n"))
}
