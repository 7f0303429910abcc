//! Manifests and packages with which cargo can do nothing.

use std::process::Command;

use tempfile::TempDir;

use crate::project::{Project, Running};
use crate::support::{Ran, aqe};

fn run(folder: &TempDir, manifest: &str) -> Ran {
    let mut command: Command = aqe(folder.path());
    command
        .env_remove("CARGO_TARGET_DIR")
        .args(["run", "--offline", "--manifest-path", manifest]);
    Running::start(command).end()
}

#[test]
fn what_does_not_build_is_told_by_cargo_and_has_its_exit_code() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    std::fs::create_dir_all(folder.path().join("torn")).unwrap();
    write("torn/Cargo.toml", "[package\nname = ");
    Project::at(
        folder.path().join("wrong"),
        "",
        &[(
            "src/lib.rs",
            "#[test] fn wrong() { let x: u32 = \"text\"; }\n",
        )],
    );
    for (manifest, said) in [
        ("gone/Cargo.toml", "gone/Cargo.toml` does not exist"),
        ("torn/Cargo.toml", "torn/Cargo.toml:1:9"),
        ("wrong/Cargo.toml", "mismatched types"),
    ] {
        let ran = run(&folder, manifest);
        assert_eq!(ran.code, 3, "{manifest}: {}", ran.stderr);
        assert_eq!(ran.stderr.matches(said).count(), 1, "{}", ran.stderr);
        assert_eq!(ran.stdout, "", "{manifest}");
    }
}
