//! Builds that do not work.

#![allow(
    clippy::unwrap_used,
    reason = "a panic fails the test, helpers included"
)]

use aqe_runner::cargo::{CargoError, Selection, find_test_binaries};
use aqe_runner::model::Exit;

mod support;
use support::Project;

fn selection(project: &Project) -> Selection {
    let mut selection = Selection::default();
    selection.offline = true;
    selection.target_dir = Some(project.target());
    selection
}

#[test]
fn code_that_does_not_compile_ends_with_cargos_code() {
    let project = Project::new(&[
        (
            "Cargo.toml",
            "[package]\nname = 'p'\nversion = '0.1.0'\nedition = '2021'\n",
        ),
        ("src/lib.rs", "this is not rust\n"),
    ]);
    let error = find_test_binaries(&project.root(), &selection(&project)).unwrap_err();
    assert!(
        matches!(
            error,
            CargoError::Build {
                exit: Exit::Code(101)
            }
        ),
        "{error}"
    );
    assert_eq!(error.exit_code(), 101);
}

#[test]
fn a_manifest_that_is_broken_or_missing_is_a_failed_build() {
    let project = Project::new(&[("Cargo.toml", "[package]\nname = \n")]);
    let error = find_test_binaries(&project.root(), &selection(&project)).unwrap_err();
    assert!(matches!(error, CargoError::Build { .. }), "{error}");

    let mut selection = selection(&project);
    selection.manifest_path = Some("missing/Cargo.toml".into());
    let error = find_test_binaries(&project.root(), &selection).unwrap_err();
    assert!(
        matches!(error, CargoError::Build { exit: Exit::Code(code) } if code != 0),
        "{error}"
    );
}

#[test]
fn a_workspace_without_tests_has_no_binaries() {
    let project = Project::new(&[
        (
            "Cargo.toml",
            "[package]\nname = 'p'\nversion = '0.1.0'\nedition = '2021'\n[lib]\ntest = false\n",
        ),
        ("src/lib.rs", ""),
    ]);
    let found = find_test_binaries(&project.root(), &selection(&project)).unwrap();
    assert!(found.binaries.is_empty());
    assert_eq!(found.target_directory, project.target());
}

#[test]
fn a_package_outside_the_workspace_is_described_too() {
    let project = Project::new(&[
        (
            "Cargo.toml",
            "[package]\nname = 'p'\nversion = '0.1.0'\nedition = '2021'\n[dependencies]\noutside = { path = '../outside' }\n",
        ),
        ("src/lib.rs", ""),
        (
            "../outside/Cargo.toml",
            "[package]\nname = 'outside'\nversion = '0.3.0'\nedition = '2021'\n",
        ),
        ("../outside/src/lib.rs", "#[test] fn t() {}\n"),
    ]);
    let mut selection = selection(&project);
    selection.packages = vec!["outside".to_owned()];
    let found = find_test_binaries(&project.root(), &selection).unwrap();
    assert_eq!(found.binaries.len(), 1);
    assert_eq!(found.binaries[0].package.version, "0.3.0");
}
