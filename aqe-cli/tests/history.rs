//! What `aqe run` leaves of a real suite, and what `aqe history` says of it.

#![expect(clippy::unwrap_used, reason = "helpers of tests may fail the test")]

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use aqe_core::memory::{MemoryConfig, Store};
use serde_json::Value;
use tempfile::TempDir;

mod support;
use support::{Ran, aqe};

const MANIFEST: &str =
    "[package]\nname = \"suite\"\nversion = \"0.1.0\"\nedition = \"2024\"\n[workspace]\n";

const TESTS: &str = r#"
#[cfg(test)]
fn state() -> std::path::PathBuf { std::env::var_os("STATE").unwrap().into() }
#[test] fn passes() {}
#[test] fn fails() { panic!("always") }
/// Comes to what a file says.
#[test] fn turns() { assert!(state().join("turned").exists()) }
/// Passes when it is tried again.
#[test] fn shaky() {
    let tried = state().join(format!("tried-{}", std::env::var("ROUND").unwrap()));
    assert!(std::fs::create_dir(tried).is_err(), "not yet");
}
#[test] #[ignore = "hangs"] fn hangs() { loop { std::thread::park() } }
"#;

/// A project of its own for each test, since each has a history of its own.
struct Project(TempDir);

impl Project {
    fn new() -> Self {
        let project = Self(tempfile::tempdir().unwrap());
        // The search for settings ends here.
        fs::create_dir(project.path(".git")).unwrap();
        fs::create_dir(project.path("src")).unwrap();
        fs::create_dir(project.path("state")).unwrap();
        fs::write(project.path("Cargo.toml"), MANIFEST).unwrap();
        fs::write(project.path("src/lib.rs"), TESTS).unwrap();
        project
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn history(&self) -> PathBuf {
        self.path("target/aqe/history")
    }

    fn command(&self, words: &str) -> Command {
        let mut command = aqe(self.0.path());
        command
            .env_remove("CARGO_TARGET_DIR")
            .env("CARGO_NET_OFFLINE", "true")
            .env("STATE", self.path("state"))
            .env("ROUND", "0")
            .args(words.split_whitespace());
        command
    }

    fn run(&self, words: &str) -> Ran {
        self.command(words).output().unwrap().into()
    }

    /// The events of `aqe run` with these words.
    fn events(&self, words: &str, round: usize) -> Vec<Value> {
        let mut command = self.command(&format!("run --json {words}"));
        let ran: Ran = command
            .env("ROUND", round.to_string())
            .output()
            .unwrap()
            .into();
        assert!(ran.code < 2, "{}", ran.stderr);
        let lines = ran.stdout.lines();
        lines
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    /// What `aqe history --json` says.
    fn document(&self, words: &str) -> Value {
        let ran = self.run(&format!("history --json {words}"));
        assert_eq!((ran.code, &*ran.stderr), (0, ""), "{words}");
        serde_json::from_str(&ran.stdout).unwrap()
    }

    /// A run that hangs, and the events until its test `passes` has passed.
    fn hanging(&self) -> (Child, String) {
        let mut command = self.command("run --json --include-ignored --jobs 2 passes hangs");
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.as_mut().unwrap()).lines();
        let mut run = None;
        for line in lines {
            let event: Value = serde_json::from_str(&line.unwrap()).unwrap();
            match event["event"].as_str().unwrap() {
                "run-started" => run = event["run"].as_str().map(str::to_owned),
                "test-finished" => {
                    assert_eq!(event["test"], "passes");
                    return (child, run.unwrap());
                }
                _ => {}
            }
        }
        panic!("the run has ended")
    }

    /// Runs a quick test until the history knows a run, which it takes up from its journal when it is two seconds old.
    fn run_until_known(&self, run: &str) -> Value {
        for _ in 0..200 {
            self.events("passes", 9);
            let document = self.document("");
            let found = document["runs"]
                .as_array()
                .unwrap()
                .iter()
                .find(|it| it["run"] == *run);
            if let Some(found) = found {
                return found.clone();
            }
        }
        panic!("{run} does not come")
    }
}

/// The tests of a document by name.
fn tests(document: &Value) -> BTreeMap<&str, &Value> {
    let tests = document["tests"].as_array().unwrap().iter();
    tests
        .map(|test| (test["test"].as_str().unwrap(), test))
        .collect()
}

fn names(document: &Value) -> Vec<&str> {
    tests(document).into_keys().collect()
}

fn executions(test: &Value) -> &Vec<Value> {
    test["executions"].as_array().unwrap()
}

#[test]
fn every_figure_follows_from_executions_and_these_from_what_the_runs_said() {
    let project = Project::new();
    let mut said = BTreeMap::<String, Vec<(Value, Value, Value)>>::new();
    for round in 0..5 {
        if round == 2 {
            fs::write(project.path("state/turned"), "").unwrap();
        }
        let isolation = ["", "--isolation batch"][round % 2];
        let events = project.events(&format!("--retries 1 {isolation}"), round);
        let run = &events
            .iter()
            .find(|event| event["event"] == "run-started")
            .unwrap()["run"];
        for event in events
            .iter()
            .filter(|event| event["event"] == "test-finished")
        {
            let status = &event["verdict"]["status"];
            if status != "ignored" {
                let told = (run.clone(), status.clone(), event["duration_us"].clone());
                let test = event["test"].as_str().unwrap().to_owned();
                said.entry(test).or_default().push(told);
            }
        }
    }
    let document = project.document("");
    assert_eq!(names(&document), ["fails", "passes", "shaky", "turns"]);
    assert_eq!(document["runs"].as_array().unwrap().len(), 5);
    for (name, test) in tests(&document) {
        let kept = executions(test).iter().map(|one| {
            let part = |name: &str| one[name].clone();
            (part("run"), part("outcome"), part("duration_us"))
        });
        assert_eq!(kept.collect::<Vec<_>>(), said[name], "{name}");
        let (mut passes, mut flakes, mut durations) = (0, 0, Vec::new());
        let mut before: Option<&Value> = None;
        let is_pass = |one: &Value| one["outcome"] == "passed" || one["outcome"] == "flaky";
        for one in executions(test) {
            passes += u64::from(is_pass(one));
            let changed = before.is_some_and(|before| {
                before["build"] == one["build"] && is_pass(before) != is_pass(one)
            });
            flakes += u64::from(one["outcome"] == "flaky" || changed);
            durations.push(one["duration_us"].as_u64().unwrap());
            before = Some(one);
        }
        durations.sort_unstable();
        assert_eq!(test["runs"], 5, "{name}");
        assert_eq!(test["passes"], passes, "{name}");
        assert_eq!(test["failures"], 5 - passes, "{name}");
        assert_eq!(test["flakes"], flakes, "{name}");
        assert_eq!(test["median_us"], durations[2], "{name}");
    }
    let tests = tests(&document);
    let figures = |name: &str| {
        let part = |part: &str| tests[name][part].as_u64().unwrap();
        (part("passes"), part("failures"), part("flakes"))
    };
    assert_eq!(figures("passes"), (5, 0, 0));
    assert_eq!(figures("fails"), (0, 5, 0));
    assert_eq!(figures("turns"), (3, 2, 1));
    // In a batch, the first time that it is tried is no attempt.
    let (passes, failures, flakes) = figures("shaky");
    assert!(
        (passes, failures) == (5, 0) && (3..=5).contains(&flakes),
        "{flakes}"
    );
    assert_eq!(executions(tests["shaky"])[0]["attempts"], 2);
    assert_eq!(executions(tests["shaky"])[0]["flake"], "retried");
    assert_eq!(executions(tests["turns"])[2]["flake"], "changed");
    // Nothing is left of the file in which earlier versions kept durations.
    assert!(!project.path("target/aqe/test-history.json").exists());
}

#[test]
fn the_table_has_a_line_for_each_test_that_was_asked_for() {
    let project = Project::new();
    for round in 0..2 {
        project.events("", round);
        fs::write(project.path("state/turned"), "").unwrap();
    }
    let ran = project.run("history");
    assert_eq!((ran.code, &*ran.stderr), (0, ""));
    let lines: Vec<&str> = ran.stdout.lines().collect();
    assert_eq!(lines.len(), 6, "{}", ran.stdout);
    assert!(lines[0].starts_with("Runs  Passed  Failed  Flaky"));
    let fields =
        |line: &str| -> Vec<String> { line.split_whitespace().map(str::to_owned).collect() };
    let line = |name: &str| {
        let found = lines.iter().map(|line| fields(line));
        found
            .into_iter()
            .find(|fields| fields.last().unwrap() == name)
            .unwrap()
    };
    assert_eq!(line("fails")[..4], ["2", "0", "2", "0"]);
    assert_eq!(line("fails")[5..], ["FF", "suite", "fails"]);
    assert_eq!(line("turns")[..4], ["2", "1", "1", "1"]);
    assert_eq!(line("turns")[5..], ["F+", "suite", "turns"]);
    assert!(
        lines[5].starts_with("4 tests with 8 executions in the last "),
        "{}",
        lines[5]
    );

    let shown = |words: &str| -> Vec<String> {
        let ran = project.run(&format!("history {words}"));
        let lines = ran.stdout.lines().skip(1);
        let mut lines: Vec<_> = lines
            .map(|line| fields(line).last().unwrap().clone())
            .collect();
        lines.pop();
        lines
    };
    assert_eq!(shown("--flaky"), ["turns"]);
    assert_eq!(shown("s"), ["fails", "passes", "shaky", "turns"]);
    assert_eq!(shown("pass shak"), ["passes", "shaky"]);
    assert_eq!(shown("--exact pass turns"), ["turns"]);
    let verbose = project.run("history --verbose turns --exact").stdout;
    assert!(verbose.contains(", same binary as before"), "{verbose}");
    assert_eq!(verbose.matches(" ago ").count(), 2, "{verbose}");

    let ran = project.run("history --flaky passes");
    assert_eq!((ran.code, &*ran.stdout), (4, ""));
    assert!(
        ran.stderr
            .contains("no flaky test named passes among the 4"),
        "{}",
        ran.stderr
    );
}

#[test]
fn a_verdict_that_changes_with_the_binary_is_no_flake() {
    let project = Project::new();
    project.events("turns", 0);
    fs::write(project.path("state/turned"), "").unwrap();
    fs::write(
        project.path("src/lib.rs"),
        format!("{TESTS}\n#[test] fn another() {{}}\n"),
    )
    .unwrap();
    project.events("turns", 1);
    let document = project.document("turns");
    let test = tests(&document)["turns"];
    assert_eq!(
        (&test["runs"], &test["failures"], &test["flakes"]),
        (&2.into(), &1.into(), &0.into())
    );
    let builds: Vec<_> = executions(test).iter().map(|one| &one["build"]).collect();
    assert_ne!(builds[0], builds[1]);
}

#[test]
fn a_run_that_was_killed_keeps_what_it_said() {
    let project = Project::new();
    let (mut child, run) = project.hanging();
    child.kill().unwrap();
    child.wait().unwrap();
    let known = project.run_until_known(&run);
    assert_eq!(
        (&known["tests"], &known["finished"]),
        (&1.into(), &false.into())
    );
    let document = project.document("");
    let test = tests(&document)["passes"];
    let of_run = |one: &&Value| one["run"] == *run;
    let kept: Vec<_> = executions(test).iter().filter(of_run).collect();
    assert_eq!(kept.len(), 1);
    assert_eq!(kept[0]["outcome"], "passed");
    assert!(!tests(&document).contains_key("hangs"));
}

#[cfg(unix)]
#[test]
fn runs_beside_each_other_are_all_kept_and_the_history_can_be_read_meanwhile() {
    let project = Project::new();
    let (mut child, first) = project.hanging();
    let second = project.events("passes", 0)[0]["run"].clone();
    let document = project.document("");
    assert_eq!(tests(&document)["passes"]["runs"], 1);
    let process = child.id().cast_signed();
    // SAFETY: `kill` takes numbers and touches no memory of ours.
    assert_eq!(unsafe { libc::kill(process, libc::SIGINT) }, 0);
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let document = project.document("");
    let runs = document["runs"].as_array().unwrap();
    let known = runs
        .iter()
        .map(|it| (it["run"].as_str().unwrap(), &it["finished"]));
    let yes = Value::from(true);
    assert_eq!(
        known.collect::<Vec<_>>(),
        [(&*first, &yes), (second.as_str().unwrap(), &yes)]
    );
    assert_eq!(names(&document), ["passes"]);
}

#[test]
fn a_run_that_cannot_have_the_history_says_so_once_and_is_added_by_a_later_one() {
    let project = Project::new();
    project.events("passes", 0);
    let store = Store::open(project.history(), MemoryConfig::default()).unwrap();
    let ran = project.run("run passes --json");
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let told = ran.stderr.matches("the history has not got this run yet");
    assert_eq!(told.count(), 1, "{}", ran.stderr);
    let holder = format!("process {}", std::process::id());
    assert!(ran.stderr.contains(&holder), "{}", ran.stderr);
    let started: Value = serde_json::from_str(ran.stdout.lines().next().unwrap()).unwrap();

    let ran = project.run("history");
    assert_eq!((ran.code, &*ran.stdout), (5, ""));
    assert!(ran.stderr.contains(&holder), "{}", ran.stderr);
    drop(store);
    let known = project.run_until_known(started["run"].as_str().unwrap());
    assert_eq!(
        (&known["tests"], &known["finished"]),
        (&1.into(), &true.into())
    );
}

#[test]
fn a_damaged_store_is_set_aside_and_no_run_fails_of_it() {
    let project = Project::new();
    let first = project.events("passes", 0)[0]["run"].clone();
    fs::write(project.history().join("store"), "no store").unwrap();
    let ran = project.run("history");
    assert_eq!((ran.code, &*ran.stdout), (5, ""));
    assert!(
        ran.stderr
            .contains("hint: the next `aqe run` sets the history aside"),
        "{}",
        ran.stderr
    );
    let ran = project.run("run passes");
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert_eq!(
        ran.stderr.matches("begins anew").count(),
        1,
        "{}",
        ran.stderr
    );
    assert!(project.path("target/aqe/history.damaged/store").exists());
    let ran = project.run("run passes");
    assert!(
        ran.code == 0 && !ran.stderr.contains("begins anew"),
        "{}",
        ran.stderr
    );
    // What was lost with it is in the journal.
    let known = project.run_until_known(first.as_str().unwrap());
    assert_eq!(
        (&known["tests"], &known["finished"]),
        (&1.into(), &true.into())
    );
}

#[test]
fn a_folder_that_cannot_be_used_fails_no_run() {
    let project = Project::new();
    fs::create_dir_all(project.path("target/aqe")).unwrap();
    fs::write(project.history(), "a file").unwrap();
    let ran = project.run("run passes");
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(
        ran.stderr
            .contains("warning: the history has not got this run yet"),
        "{}",
        ran.stderr
    );
    assert_eq!(fs::read(project.history()).unwrap(), b"a file");
}

#[test]
fn without_a_history_it_says_what_makes_one() {
    let project = Project::new();
    let ran = project.run("history");
    assert_eq!((ran.code, &*ran.stdout), (4, ""));
    assert!(
        ran.stderr.contains("error: there is no store in "),
        "{}",
        ran.stderr
    );
    assert!(
        ran.stderr.contains("hint: `aqe run` begins one"),
        "{}",
        ran.stderr
    );
    assert!(!project.path("target/aqe").exists());
    project.events("passes", 0);
    let ran = project.run("history nobody");
    assert_eq!((ran.code, &*ran.stdout), (4, ""));
    assert!(
        ran.stderr.contains("no test named nobody among the 1"),
        "{}",
        ran.stderr
    );
    // From elsewhere, by name.
    let elsewhere = tempfile::tempdir().unwrap();
    for words in [
        format!(
            "history --manifest-path {}",
            project.path("Cargo.toml").display()
        ),
        format!("history --folder {}", project.history().display()),
    ] {
        let mut command = aqe(elsewhere.path());
        command
            .env_remove("CARGO_TARGET_DIR")
            .args(words.split_whitespace());
        let ran: Ran = command.output().unwrap().into();
        assert_eq!(ran.code, 0, "{words}: {}", ran.stderr);
        assert!(ran.stdout.contains("suite passes"), "{}", ran.stdout);
    }
}

#[test]
fn what_is_older_than_the_retention_is_not_shown() {
    let project = Project::new();
    project.events("passes", 0);
    let ran = project.run("history --set memory.retentionPeriod=1s");
    // A second has passed, or has not.
    if ran.code == 0 {
        project.events("passes fails", 1);
    }
    let shown = |words: &str| project.run(&format!("history {words}")).code;
    for _ in 0..10_000 {
        if shown("--set memory.retentionPeriod=1s") == 4 {
            assert_eq!(shown(""), 0);
            return;
        }
    }
    panic!("what is older is still shown")
}
