//! The house: which crate of ours may depend on which.
//!
//! Arrows point one way, from the program through the facade to the components, and components do not know
//! one another, in development or build dependencies either. The table below is the whole rule; a crate
//! that is not in it fails the check, so that a new one is placed deliberately.

use serde_json::Value;

/// Components: each stands alone, and nobody but the facade (and a bench that isolates one) uses it directly.
const COMPONENTS: &[&str] = &[
    "aqe-queue",
    "aqe-batch",
    "aqe-memory",
    "aqe-monitor",
    "aqe-agent",
];

/// The place of a crate: what of ours it may depend on.
#[derive(Debug)]
struct Place {
    name: &'static str,
    /// Whether it may depend on every component.
    components: bool,
    /// What else of ours it may depend on.
    others: &'static [&'static str],
}

const fn place(name: &'static str, components: bool, others: &'static [&'static str]) -> Place {
    Place {
        name,
        components,
        others,
    }
}

/// Every crate of the house that is not a component.
const PLACES: &[Place] = &[
    // The facade is the only crate that knows two components at once.
    place("aqe-core", true, &["aqe-cluster"]),
    // A backend depends on the components whose traits it implements, and on nothing else of ours.
    place("aqe-cluster", false, &["aqe-queue", "aqe-memory"]),
    // Libraries over the facade.
    place("aqe-runner", false, &["aqe-core"]),
    place("aqe-report", false, &["aqe-core"]),
    place("aqe-dashboard", false, &["aqe-core"]),
    // The program.
    place(
        "aqe-cli",
        false,
        &["aqe-core", "aqe-runner", "aqe-report", "aqe-dashboard"],
    ),
    // If an example cannot be written with the facade alone, the facade lacks something.
    place("aqe-examples", false, &["aqe-core"]),
    // A bench may reach a component to isolate it, and takes its suites from the chores.
    place(
        "aqe-benches",
        true,
        &["aqe-core", "aqe-runner", "aqe-xtask"],
    ),
    // Chores work on any state of the house, a broken one too.
    place("aqe-xtask", false, &[]),
];

/// Checks the output of `cargo metadata` against the table; the result lists the broken arrows, one
/// sentence each, and is empty when the house stands.
#[must_use]
pub fn broken_arrows(metadata: &Value) -> Vec<String> {
    let packages = metadata["packages"].as_array();
    packages
        .into_iter()
        .flatten()
        .filter(|package| package["source"].is_null())
        .flat_map(check_package)
        .collect()
}

fn check_package(package: &Value) -> Vec<String> {
    let name = text(package, "name");
    if !is_known(name) {
        return vec![format!(
            "{name} is not in the table of the house: place it in xtask/src/house.rs"
        )];
    }
    let dependencies = package["dependencies"].as_array();
    dependencies
        .into_iter()
        .flatten()
        .filter_map(|dependency| check_dependency(name, dependency))
        .collect()
}

fn check_dependency(name: &str, dependency: &Value) -> Option<String> {
    // A renamed dependency still carries the package's own name here.
    let on = text(dependency, "name");
    if !on.starts_with("aqe-") && !is_known(on) {
        return None;
    }
    let kind = dependency["kind"].as_str().unwrap_or("normal");
    if !is_known(on) {
        return Some(format!(
            "{name} depends ({kind}) on {on}, which is not in the table of the house"
        ));
    }
    if !is_allowed(name, on) {
        return Some(format!("{name} must not depend ({kind}) on {on}"));
    }
    if dependency["path"].is_null() {
        return Some(format!(
            "{name} takes {on} from a registry, not from the workspace"
        ));
    }
    None
}

fn is_known(name: &str) -> bool {
    COMPONENTS.contains(&name) || PLACES.iter().any(|place| place.name == name)
}

fn is_allowed(name: &str, on: &str) -> bool {
    PLACES.iter().any(|place| {
        place.name == name
            && (place.others.contains(&on) || (place.components && COMPONENTS.contains(&on)))
    })
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}
