//! The network and the pool of connections: a limit that a setting moves.

use super::super::draft::{Draft, Expected};
use super::super::facts::NetworkFacts;
use super::super::finding::{Analysis, Resource, Severity};
use super::{FAILED, Outcome, SHARE, Window, short};

pub(super) fn judge(window: &Window<'_>, analysis: &mut Analysis) {
    let Some(network) = &window.facts.network else {
        return;
    };
    let share = network.busy / network.connections;
    let limit = window.limits.connections;
    if share >= limit {
        Outcome::Found(Box::new(full(network, window).done())).file(analysis);
    } else {
        Outcome::well(Resource::Network, share, limit, SHARE).file(analysis);
    }
    errors(network, window)
        .into_iter()
        .for_each(|outcome| outcome.file(analysis));
}

fn full(network: &NetworkFacts, window: &Window<'_>) -> Draft {
    let swamped = network.waiting >= network.connections;
    let severity = if swamped || window.falls_behind() {
        Severity::Critical
    } else {
        Severity::Warning
    };
    let share = network.busy / network.connections;
    let mut draft = Draft::new(Resource::Network, severity)
        .measured(share, window.limits.connections, SHARE)
        .input("connections", network.connections, "connections")
        .input("connections_busy", network.busy, "connections")
        .input("operations_waiting", network.waiting, "operations")
        .input("target_utilisation", window.limits.target, SHARE);
    draft.because(&format!(
        "{} of {} connections are in use and {} operations wait for one",
        short(network.busy),
        short(network.connections),
        short(network.waiting),
    ));
    advise(network, window, &mut draft);
    draft
}

fn advise(network: &NetworkFacts, window: &Window<'_>, draft: &mut Draft) {
    let wanted = wanted(network, window, draft);
    let formula = format!("ceil({wanted} / target_utilisation)");
    match draft.value(&formula) {
        Some(advised) if advised > network.connections => {}
        _ => {
            return draft.because(
                "the load fits into them, so they are held for longer than requests take",
            );
        }
    }
    let from = network.connections.to_string();
    draft.set("execution.connectionPool", &from, &formula, "");
    draft.predict(Expected {
        metric: "share of the connections in use",
        unit: SHARE,
        formula: &format!("{wanted} / advised"),
        tolerance: 0.15,
        less_is_better: true,
    });
}

/// Connections that the load keeps busy, by Little's law: its rate, which the slots bound, times the time that one is held.
fn wanted(network: &NetworkFacts, window: &Window<'_>, draft: &mut Draft) -> String {
    let Some(queue) = window.queue().filter(|_| network.operation_seconds > 0.0) else {
        // Whoever waits would hold one: also Little's law, with the pool and its line as one system.
        return "(connections_busy + operations_waiting)".to_owned();
    };
    draft.add("arrivals", queue.arrivals as f64, "operations");
    draft.add("window_seconds", window.facts.seconds, "s");
    draft.add("connection_seconds", network.operation_seconds, "s");
    if queue.alone_seconds <= 0.0 {
        return "arrivals / window_seconds * connection_seconds".to_owned();
    }
    draft.add("concurrency", f64::from(queue.concurrency), "slots");
    draft.add("alone_seconds", queue.alone_seconds, "s");
    "min(arrivals / window_seconds, concurrency / alone_seconds) * connection_seconds".to_owned()
}

fn errors(network: &NetworkFacts, window: &Window<'_>) -> Option<Outcome> {
    if network.requests == 0 {
        return None;
    }
    if network.requests < window.limits.operations {
        let reason = format!(
            "{} requests in the window; {} are needed for a share of failures",
            network.requests, window.limits.operations
        );
        return Some(Outcome::unknown(Resource::Network, reason));
    }
    let share = network.errors as f64 / network.requests as f64;
    let limit = window.limits.errors;
    if share < limit {
        return Some(Outcome::well(Resource::Network, share, limit, FAILED));
    }
    let severity = if share >= 4.0 * limit {
        Severity::Critical
    } else {
        Severity::Warning
    };
    let mut draft = Draft::new(Resource::Network, severity)
        .measured(share, limit, FAILED)
        .input("errors", network.errors as f64, "requests")
        .input("requests", network.requests as f64, "requests");
    draft.needs("errors / requests");
    draft.because(&format!(
        "{} of {} requests failed or timed out; neither slots nor connections mend what is at the other end",
        network.errors, network.requests,
    ));
    Some(Outcome::Found(Box::new(draft.done())))
}
