//! `RUST_BACKTRACE=1`, and tests that earlier runs have seen panicking.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::project::{Project, Running, events, table, verdicts};

const LIBRARY: &str = r#"
fn note(name: &str) -> std::path::PathBuf {
    let place = std::path::Path::new(&std::env::var_os("STATE").unwrap()).join(name);
    // One line for every process that the test is run in.
    use std::io::Write;
    let mut file = std::fs::OpenOptions::new().create(true).append(true).open(&place).unwrap();
    writeln!(file, "{}", std::env::var("RUST_BACKTRACE").unwrap_or_default()).unwrap();
    place
}

#[test] #[should_panic] fn panics() { note("panics"); panic!("as it should") }
/// Earlier runs believe that it panics, and it passes only where it would get a backtrace.
#[test] fn wants_backtraces() {
    note("wants");
    println!("stack backtrace:");
    assert_eq!(std::env::var("RUST_BACKTRACE").unwrap(), "1");
}
#[test] #[should_panic(expected = "right")] fn turns() {
    let message = if note("turns").with_file_name("turned").exists() { "wrong" } else { "right" };
    panic!("{message}");
}
"#;

fn run(project: &Project, state: &Path, words: &str) -> (i32, Vec<Value>) {
    let mut command = project.command(words);
    command.env("STATE", state).env("RUST_BACKTRACE", "1");
    let ran = Running::start(command).end();
    (ran.code, events(&ran.stdout))
}

fn attempt<'a>(events: &'a [Value], test: &str) -> &'a Value {
    let mut attempts = events
        .iter()
        .filter(|event| event["event"] == "attempt-finished" && event["test"] == test);
    let attempt = &attempts.next().unwrap()["attempt"];
    assert_eq!(attempts.next(), None, "one attempt is enough");
    attempt
}

/// What the test saw of the variable, in every process of this run.
fn seen(state: &Path, name: &str) -> Vec<String> {
    let place = state.join(name);
    let text = fs::read_to_string(&place).unwrap();
    fs::remove_file(place).unwrap();
    text.lines().map(str::to_owned).collect()
}

#[test]
fn a_backtrace_that_nobody_reads_is_not_made_and_the_verdict_stays() {
    let project = Project::new("backtrace", "", &[("src/lib.rs", LIBRARY)]);
    let passed = table(&[
        ("panics", "passed"),
        ("wants_backtraces", "passed"),
        ("turns", "passed"),
    ]);
    for isolation in ["process", "batch"] {
        // Nothing is known at first.
        let _ = fs::remove_dir_all(project.state());
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path();
        let words = format!("--json --isolation {isolation}");
        let mut bytes = Vec::new();
        for turn in 0..4 {
            let (code, events) = run(&project, state, &words);
            assert_eq!((code, verdicts(&events)), (0, passed.clone()), "{turn}");
            let values = seen(state, "panics");
            let wanted = seen(state, "wants");
            seen(state, "turns");
            if isolation == "process" {
                // Once is enough to find out that it does not pass without.
                assert_eq!(wanted.len(), if turn == 1 { 2 } else { 1 }, "{turn}");
            }
            assert_eq!(wanted.last().unwrap(), "1", "the one that counts");
            if isolation == "process" {
                assert_eq!(values, [if turn == 0 { "1" } else { "0" }], "{turn}");
                let attempt = attempt(&events, "panics");
                bytes.push(attempt["output_bytes"].as_u64().unwrap());
            }
        }
        if let [first, rest @ ..] = &bytes[..] {
            // Without debug information a backtrace is a line for each of half a dozen frames.
            assert!(rest.iter().all(|count| count + 100 < *first), "{bytes:?}");
        }

        fs::write(state.join("turned"), "").unwrap();
        let (code, events) = run(&project, state, &words);
        assert_eq!(code, 1);
        let mut expected = passed.clone();
        expected.insert("turns".to_owned(), "failed".to_owned());
        assert_eq!(verdicts(&events), expected, "{isolation}");
        let attempt = attempt(&events, "turns");
        let output = attempt["output"].to_string();
        assert!(output.contains("stack backtrace:"), "{attempt}");
        assert_eq!(seen(state, "turns").last().unwrap(), "1");
    }
}
