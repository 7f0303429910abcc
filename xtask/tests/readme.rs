//! The README shows programs that exist and commands that work.

use std::fs;

use xtask::workspace::Workspace;

/// `cargo xtask examples` runs that example and compares what it prints with its header.
#[test]
fn the_program_of_the_readme_is_the_example_checks() {
    let workspace = Workspace::load().unwrap();
    let read = |path: &str| fs::read_to_string(workspace.root().join(path)).unwrap();
    let readme = read("README.md");
    let (_, rest) = readme.split_once("```rust\n").unwrap();
    let (shown, _) = rest.split_once("```").unwrap();
    let example = read("examples/checks.rs");
    let (_, program) = example.split_once("//! ```\n\n").unwrap();
    assert_eq!(shown, program);
}

#[test]
fn the_two_commands_stand_in_the_readme() {
    let workspace = Workspace::load().unwrap();
    let readme = fs::read_to_string(workspace.root().join("README.md")).unwrap();
    for command in ["cargo run --release -p aqe-cli -- run", "cargo xtask test"] {
        assert!(readme.contains(command), "{command}");
    }
}
