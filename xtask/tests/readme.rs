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

/// Every other block stands in an example as it is, but for how far it is indented, so that it is compiled and run.
#[test]
fn every_block_of_rust_in_the_readme_stands_in_an_example() {
    let workspace = Workspace::load().unwrap();
    let readme = fs::read_to_string(workspace.root().join("README.md")).unwrap();
    let examples: Vec<Vec<String>> = fs::read_dir(workspace.root().join("examples"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|it| it == "rs"))
        .map(|path| trimmed(&fs::read_to_string(path).unwrap()))
        .collect();
    let blocks = blocks(&readme, "rust");
    assert!(blocks.len() >= 2);
    for block in blocks {
        let lines = trimmed(&block);
        let stands_in = |example: &&Vec<String>| example.windows(lines.len()).any(|it| it == lines);
        let example = examples.iter().find(stands_in);
        assert!(example.is_some(), "stands in no example:\n{block}");
    }
    for unchecked in ["```rust,", "```ignore", "```no_run", "```compile_fail"] {
        assert!(!readme.contains(unchecked), "{unchecked}");
    }
}

/// The contents of the blocks that are marked as being in `language`.
fn blocks(text: &str, language: &str) -> Vec<String> {
    let fence = format!("```{language}\n");
    let blocks = text.split(&fence).skip(1);
    let contents = blocks.map(|rest| rest.split("```").next().unwrap_or_default().to_owned());
    contents.collect()
}

fn trimmed(text: &str) -> Vec<String> {
    text.lines().map(|line| line.trim().to_owned()).collect()
}

#[test]
fn blocks_are_told_from_other_text() {
    let text = "a\n```rust\nlet a = 1;\n```\n```sh\nls\n```\n```rust\n  b();\n```\n";
    assert_eq!(blocks(text, "rust"), ["let a = 1;\n", "  b();\n"]);
    assert_eq!(blocks(text, "yaml"), [""; 0]);
}

#[test]
fn the_two_commands_stand_in_the_readme() {
    let workspace = Workspace::load().unwrap();
    let readme = fs::read_to_string(workspace.root().join("README.md")).unwrap();
    for command in ["cargo run --release -p aqe-cli -- run", "cargo xtask test"] {
        assert!(readme.contains(command), "{command}");
    }
}
