//! The arrows of the house, read from `cargo metadata`: a broken one fails this test.
//!
//! Each rule is also shown to bite, on metadata doctored to break it.

use serde_json::{Value, json};
use xtask::house::broken_arrows;
use xtask::workspace::Workspace;

fn metadata() -> Value {
    match Workspace::load() {
        Ok(workspace) => workspace.metadata().clone(),
        Err(failure) => panic!("{failure}"),
    }
}

/// A house of one package with one dependency of the given kind (`null` is a normal one).
fn house(name: &str, on: &str, kind: &Value) -> Value {
    json!({"packages": [{
        "name": name,
        "source": null,
        "dependencies": [{"name": on, "kind": kind, "path": "somewhere"}],
    }]})
}

fn is_broken(name: &str, on: &str) -> bool {
    !broken_arrows(&house(name, on, &Value::Null)).is_empty()
}

#[test]
fn the_house_stands() {
    let metadata = metadata();
    let members = metadata["packages"].as_array().map_or(0, Vec::len);
    assert!(members >= 7, "only {members} packages were read");
    assert_eq!(broken_arrows(&metadata), Vec::<String>::new());
}

#[test]
fn a_real_package_with_an_arrow_too_many_is_named() {
    let mut metadata = metadata();
    let packages = metadata["packages"].as_array_mut().unwrap();
    let queue = packages
        .iter_mut()
        .find(|package| package["name"] == "aqe-queue")
        .unwrap();
    let arrow = json!({"name": "aqe-core", "kind": "dev", "path": "somewhere"});
    queue["dependencies"].as_array_mut().unwrap().push(arrow);
    assert_eq!(
        broken_arrows(&metadata),
        ["aqe-queue must not depend (dev) on aqe-core"]
    );
}

#[test]
fn components_know_nobody() {
    let components = [
        "aqe-queue",
        "aqe-batch",
        "aqe-memory",
        "aqe-monitor",
        "aqe-agent",
    ];
    for name in components {
        for on in components
            .into_iter()
            .chain(["aqe-core", "aqe-runner", "aqe-cli", "aqe-xtask"])
        {
            for kind in [json!(null), json!("dev"), json!("build")] {
                let broken = broken_arrows(&house(name, on, &kind));
                assert_eq!(broken.len(), 1, "{name} -> {on} ({kind})");
            }
        }
        assert!(!is_broken(name, "tokio"));
    }
}

#[test]
fn the_facade_knows_components_and_nothing_above_it() {
    assert!(!is_broken("aqe-core", "aqe-queue"));
    assert!(!is_broken("aqe-core", "aqe-memory"));
    assert!(is_broken("aqe-core", "aqe-runner"));
    assert!(is_broken("aqe-core", "aqe-cli"));
}

#[test]
fn libraries_and_the_program_stand_on_the_facade_not_on_components() {
    for name in ["aqe-runner", "aqe-report", "aqe-dashboard", "aqe-cli"] {
        assert!(!is_broken(name, "aqe-core"), "{name}");
        assert!(is_broken(name, "aqe-queue"), "{name}");
        assert!(is_broken(name, "aqe-batch"), "{name}");
    }
    assert!(!is_broken("aqe-cli", "aqe-runner"));
    assert!(is_broken("aqe-runner", "aqe-cli"));
    assert!(is_broken("aqe-report", "aqe-runner"));
}

#[test]
fn a_backend_knows_only_the_components_it_implements() {
    assert!(!is_broken("aqe-cluster", "aqe-queue"));
    assert!(is_broken("aqe-cluster", "aqe-monitor"));
    assert!(is_broken("aqe-cluster", "aqe-core"));
}

#[test]
fn examples_use_the_facade_alone_and_benches_may_reach_a_component() {
    assert!(!is_broken("aqe-examples", "aqe-core"));
    assert!(is_broken("aqe-examples", "aqe-queue"));
    assert!(is_broken("aqe-examples", "aqe-runner"));
    assert!(!is_broken("aqe-benches", "aqe-queue"));
    assert!(is_broken("aqe-benches", "aqe-cli"));
    assert!(is_broken("aqe-xtask", "aqe-core"));
}

#[test]
fn an_unknown_crate_must_be_placed_first() {
    assert!(is_broken("aqe-attic", "serde"));
    assert!(is_broken("aqe-core", "aqe-attic"));
}

#[test]
fn a_sibling_comes_from_the_workspace() {
    let mut house = house("aqe-core", "aqe-queue", &Value::Null);
    house["packages"][0]["dependencies"][0]["path"] = Value::Null;
    assert_eq!(broken_arrows(&house).len(), 1);
}
