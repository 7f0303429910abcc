//! `kill -9` of a run at many moments.

use std::collections::BTreeSet;

use aqe_runner::journal::{Entry, Record, RunId, RunsFolder};
use serde_json::Value;

use crate::leash::{Leash, TUG};
use crate::project::{Project, Running, events, verdicts};

const LIBRARY: &str = r#"
macro_rules! quick { ($($name:ident)*) => { $(#[test] fn $name() { println!("one line"); })* } }
quick! {
    a00 a01 a02 a03 a04 a05 a06 a07 a08 a09 a10 a11 a12 a13 a14 a15 a16 a17 a18 a19
    b00 b01 b02 b03 b04 b05 b06 b07 b08 b09 b10 b11 b12 b13 b14 b15 b16 b17 b18 b19
}
#[test] fn fails() { println!("{}", "a line of text\n".repeat(200)); panic!("as it should") }
"#;

/// In a binary of its own, so that it holds no other test's batch up.
const WAITS: &str = r"
#[test] fn waits_for_ever() { tug(b'w'); loop { std::thread::park() } }
";

/// The test and status of a verdict that `--json` shows.
fn of_event(line: &str) -> Option<(String, String)> {
    let event: Value = serde_json::from_str(line).unwrap();
    (event["event"] == "test-finished").then(|| {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        (text(&event["test"]), text(&event["verdict"]["status"]))
    })
}

/// The test and status of a verdict that is a line for people.
fn of_line(line: &str) -> Option<(String, String)> {
    let (label, rest) = line.trim().split_once(" [")?;
    let status = match label {
        "PASS" => "passed",
        "FAIL" => "failed",
        _ => return None,
    };
    let name = rest.rsplit_once(' ')?.1;
    Some((name.to_owned(), status.to_owned()))
}

fn recorded(runs: &RunsFolder, run: RunId) -> BTreeSet<(String, String)> {
    let mut reader = runs.run(run).read_journal().unwrap();
    let mut verdicts = BTreeSet::new();
    for entry in reader.by_ref() {
        match entry.unwrap() {
            Entry::Record(Record::Verdict { test, verdict, .. }) => {
                let status = serde_json::to_value(&verdict).unwrap();
                let status = status["status"].as_str().unwrap().to_owned();
                verdicts.insert((test.name.as_str().to_owned(), status));
            }
            Entry::Record(_) => {}
            other => panic!("{other:?}"),
        }
    }
    let report = reader.report();
    assert_eq!((report.damaged, report.missing), (0, 0), "{report:?}");
    verdicts
}

/// Kills a run after its n-th shown verdict; says whether the test that waits was running then.
fn kill_after(project: &Project, words: &str, count: usize) -> bool {
    let runs = RunsFolder::new(project.state().join("runs"));
    let before: BTreeSet<RunId> = runs.list().unwrap().into_iter().collect();
    let parse = if words.contains("--json") {
        of_event
    } else {
        of_line
    };
    let mut command = project.command(words);
    let leash = Leash::tie(&mut command);
    let mut running = Running::start(command);
    let mut shown = BTreeSet::new();
    while shown.len() < count {
        let line = running.line().expect("it ended before it was killed");
        shown.extend(parse(&line));
    }
    running.child.kill().unwrap();
    // What is still in the pipe had been shown too; the last line may be cut.
    while let Some(line) = running.line() {
        if line.ends_with('\n') {
            shown.extend(parse(&line));
        }
    }
    let ran = running.end();
    assert_eq!(ran.code, 128 + 9, "{}", ran.stderr);
    let tugs = leash.slack();

    let new: Vec<RunId> = runs
        .list()
        .unwrap()
        .into_iter()
        .filter(|run| !before.contains(run))
        .collect();
    let [run] = new[..] else {
        panic!("one run leaves one journal: {new:?}")
    };
    let recorded = recorded(&runs, run);
    let lost: Vec<_> = shown.difference(&recorded).collect();
    assert!(
        lost.is_empty(),
        "{words}, after {count}: shown and not recorded: {lost:?}"
    );
    !tugs.is_empty()
}

#[test]
fn whatever_was_shown_survives_a_kill_and_no_test_does() {
    let waits = format!("{TUG}{WAITS}");
    let files = [("src/lib.rs", LIBRARY), ("tests/waits.rs", &waits)];
    let project = Project::new("kill", "", &files);
    // Compiled and listed, so that every kill meets a run and no build.
    assert_eq!(project.run("--skip waits").code, 1);

    let mut moments = 0;
    let mut met = 0;
    for isolation in ["process", "batch"] {
        for view in ["", "--json"] {
            for count in [1, 2, 5, 11, 18, 25, 33, 41] {
                let words = format!("--jobs 4 --timeout off --isolation {isolation} {view}");
                moments += 1;
                met += u32::from(kill_after(&project, &words, count));
            }
        }
    }
    assert!(
        met > 0,
        "in none of {moments} runs did the pipe reach a test"
    );

    // None of it troubles the next run.
    let ran = project.run("--skip waits --json");
    assert_eq!((ran.code, ran.stderr.contains("warning")), (1, false));
    let verdicts = verdicts(&events(&ran.stdout));
    assert_eq!(verdicts.len(), 41);
    assert_eq!(
        verdicts
            .values()
            .filter(|status| *status == "failed")
            .count(),
        1
    );
}
