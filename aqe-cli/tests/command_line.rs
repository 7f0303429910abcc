//! The command line as people meet it: help, completions, and what wrong words lead to.

#![expect(clippy::unwrap_used, reason = "helpers of tests may fail the test")]

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

#[path = "support/snapshot.rs"]
mod snapshot;
mod support;
use snapshot::check_snapshot;
use support::{Ran, aqe};

/// Runs the program with a line of words without spaces.
fn run_line(folder: &Path, line: &str) -> Ran {
    aqe(folder)
        .args(line.split_whitespace())
        .output()
        .unwrap()
        .into()
}

fn here() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn help_is_what_it_was() {
    for (name, line) in [
        ("aqe.txt", "--help"),
        ("run.txt", "run --help"),
        ("batch.txt", "batch --help"),
        ("history.txt", "history --help"),
        ("memory.txt", "memory --help"),
        ("memory-stats.txt", "memory stats --help"),
        ("memory-analyze.txt", "memory analyze --help"),
        ("memory-diagnose.txt", "memory diagnose --help"),
        ("memory-optimize.txt", "memory optimize --help"),
        ("memory-cleanup.txt", "memory cleanup --help"),
        ("monitor.txt", "monitor --help"),
        ("performance.txt", "performance --help"),
        ("performance-trends.txt", "performance trends --help"),
        ("performance-compare.txt", "performance compare --help"),
        ("performance-export.txt", "performance export --help"),
        ("performance-diagnose.txt", "performance diagnose --help"),
        ("alerts.txt", "alerts --help"),
        ("alerts-list.txt", "alerts list --help"),
        ("alerts-add.txt", "alerts add --help"),
        ("alerts-remove.txt", "alerts remove --help"),
        ("alerts-silence.txt", "alerts silence --help"),
        ("alerts-test.txt", "alerts test --help"),
        ("alerts-history.txt", "alerts history --help"),
        ("config.txt", "config --help"),
        ("config-get.txt", "config get --help"),
        ("config-set.txt", "config set --help"),
        ("config-list.txt", "config list --help"),
        ("config-validate.txt", "config validate --help"),
        ("config-reset.txt", "config reset --help"),
        ("completions.txt", "completions --help"),
    ] {
        let ran = run_line(here(), line);
        assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{line}");
        assert!(
            ran.stdout.lines().all(|text| text.chars().count() <= 120),
            "{line}:\n{}",
            ran.stdout
        );
        check_snapshot(name, &ran.stdout);
    }
}

#[test]
fn the_examples_in_the_help_are_accepted() {
    // What they would do needs a project; here only their words are read, which `--help` at the end makes harmless.
    let help = [
        "run --help",
        "batch --help",
        "history --help",
        "memory --help",
        "monitor --help",
        "config --help",
    ];
    let help: String = help.map(|line| run_line(here(), line).stdout).concat();
    let mut count = 0;
    for line in help.lines().filter_map(|line| line.strip_prefix("  aqe ")) {
        let words = line.split("  ").next().unwrap().split(" >").next().unwrap();
        let ran = run_line(here(), &format!("{words} --help"));
        assert_eq!(ran.code, 0, "aqe {words}: {}", ran.stderr);
        count += 1;
    }
    assert!(count >= 31, "{count} examples");
}

#[test]
fn wrong_words_end_with_2_and_say_what_is_wrong() {
    for (line, said) in [
        ("", "Usage: aqe"),
        ("rum", "unrecognized subcommand"),
        ("run --jbos 3", "--jobs"),
        ("run --isolation thread", "process, batch"),
        ("run --set run.jobs", "write KEY=VALUE"),
        ("run --ignored --include-ignored", "cannot be used with"),
        ("run --exclude a", "--workspace"),
        ("run --doc --junit x", "cannot be used with"),
        ("run --doc --lib", "cannot be used with"),
        ("run --no-capture --json", "cannot be used with"),
        ("run --json --progress live", "cannot be used with"),
        ("run --json --verbose", "cannot be used with"),
        ("run --release --cargo-profile x", "cannot be used with"),
        ("batch lcov.info", "--operation"),
        ("batch --operation analyze-coverage", "<FILE>..."),
        ("batch --operation analyse-coverage x", "analyze-coverage"),
        ("batch --operation x x", "possible values: analyze-coverage"),
        (
            "batch --operation analyze-coverage --baseline x y",
            "<FILE>...",
        ),
        (
            "batch --operation analyze-coverage x --fail-under 101",
            "a number from 0 to 100",
        ),
        (
            "batch --operation analyze-coverage x --no-cache --cache-dir y",
            "cannot be used with",
        ),
        (
            "batch --operation analyze-coverage x --max-memory much",
            "--max-memory",
        ),
        ("history --json --verbose", "cannot be used with"),
        ("history --folder x --target-dir y", "cannot be used with"),
        ("memory", "Usage: aqe memory"),
        ("memory stats --interval 3", "--real-time"),
        (
            "memory stats --real-time --interval 0",
            "a time from 100ms to 24h",
        ),
        (
            "memory cleanup --cache-only --aggressive",
            "cannot be used with",
        ),
        ("memory compress", "unrecognized subcommand"),
        ("monitor --interval 2s", "--real-time"),
        ("monitor --real-time --interval 50ms", "a time from 100ms"),
        ("monitor --real-time --interval soon", "a time from 100ms"),
        ("monitor --session x", "--session"),
        ("monitor --dashboard", "unexpected argument"),
        ("config", "Usage: aqe config"),
        ("config set run.jobs", "<VALUE>"),
        (
            "config reset run.jobs --performance-optimized",
            "cannot be used with",
        ),
        ("completions tcsh", "possible values"),
    ] {
        let ran = run_line(here(), line);
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "aqe {line}");
        assert!(ran.stderr.contains(said), "aqe {line}: {}", ran.stderr);
    }
}

#[test]
fn completions_know_every_command() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let ran = run_line(here(), &format!("completions {shell}"));
        assert_eq!(ran.code, 0, "{shell}: {}", ran.stderr);
        for word in [
            "run",
            "batch",
            "history",
            "memory",
            "analyze",
            "diagnose",
            "optimize",
            "cleanup",
            "show-trends",
            "monitor",
            "queue-status",
            "real-time",
            "alerts",
            "silence",
            "simulate-threshold",
            "config",
            "completions",
            "get",
            "set",
            "list",
            "validate",
            "reset",
            "isolation",
        ] {
            assert!(ran.stdout.contains(word), "{shell} does not know {word}");
        }
        // The two others complete no values.
        if ["bash", "zsh", "fish"].contains(&shell) {
            assert!(ran.stdout.contains("analyze-coverage"), "{shell}");
        }
        check_syntax(shell, &ran.stdout);
    }
}

/// Lets the shell read the script, where there is one.
fn check_syntax(shell: &str, script: &str) {
    if !["bash", "zsh", "fish"].contains(&shell) {
        return;
    }
    let spawned = Command::new(shell)
        .arg("-n")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut child) = spawned else {
        return;
    };
    child
        .stdin
        .take()
        .unwrap()
        .write_all(script.as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(
        output.status.success(),
        "{shell}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// `aqe config list | head -1` once was a panic in many a program.
#[cfg(unix)]
#[test]
fn a_reader_that_leaves_is_no_error() {
    for line in [
        "config list",
        "config list --json",
        "completions bash",
        "--help",
    ] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = aqe(here())
            .args(line.split(' '))
            .stdout(writer)
            .output()
            .unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{line}");
        assert_eq!(output.status.code(), Some(0), "{line}");
    }
}
