//! What `aqe performance` says of real runs, and of histories that are made up so that the answer is known.

#![expect(clippy::unwrap_used, reason = "helpers of tests may fail the test")]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use aqe_core::monitor::history::{
    History, HistoryConfig, Kind, Moment, SeriesKey, Tick, Timestamp,
};
use serde_json::Value;
use tempfile::TempDir;

mod support;
use support::{Ran, aqe};

struct Project(TempDir);

impl Project {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        // The search for a project ends here.
        fs::create_dir(folder.path().join(".git")).unwrap();
        fs::create_dir(folder.path().join(".aqe")).unwrap();
        Self(folder)
    }

    fn file(&self) -> PathBuf {
        self.0.path().join(".aqe/monitor.db")
    }

    fn run(&self, words: &str) -> Ran {
        let mut command = aqe(self.0.path());
        command
            .env_remove("CARGO_TARGET_DIR")
            .env("CARGO_NET_OFFLINE", "true")
            .args(words.split_whitespace());
        command.output().unwrap().into()
    }

    fn text(&self, words: &str) -> String {
        let ran = self.run(&format!("performance {words}"));
        assert_eq!((ran.code, &*ran.stderr), (0, ""), "{words}");
        ran.stdout
    }

    fn json(&self, words: &str) -> Value {
        serde_json::from_str(&self.text(&format!("{words} --json"))).unwrap()
    }
}

/// A run as `aqe run` would note it.
struct Noted {
    version: &'static str,
    selection: &'static str,
    jobs: u32,
    wall: f64,
}

/// Writes runs, each a minute after the one before, up to now.
fn write(path: &Path, runs: &[Noted]) {
    let mut history = History::open(path, HistoryConfig::default()).unwrap();
    let now = Timestamp::now();
    for (at, one) in runs.iter().enumerate() {
        let minutes = u32::try_from(runs.len() - at).unwrap();
        let started = now.before(Duration::from_secs(60) * minutes);
        let labels = [
            ("jobs", &*one.jobs.to_string()),
            ("selection", one.selection),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
        let labels: Vec<(&str, &str)> = labels.iter().map(|(n, v)| (&**n, &**v)).collect();
        let run = history
            .begin_run("aqe run", one.version, &labels, started)
            .unwrap();
        let results = [
            ("wall_seconds", one.wall),
            ("tests", 200.0),
            ("failed", 0.0),
            ("test_seconds", one.wall * f64::from(one.jobs) * 0.99),
            ("longest_seconds", one.wall / 10.0),
            ("cores", 4.0),
        ];
        history.run_results(run, &results).unwrap();
        let wall = Duration::from_secs_f64(one.wall);
        history.end_run(run, started.after(wall)).unwrap();
    }
}

/// Adds a run of twenty seconds, and what was measured while it went on.
fn measure(path: &Path, values: &[(&str, f64)]) {
    write(path, &[noted("v1", 20.0)]);
    let mut history = History::open(path, HistoryConfig::default()).unwrap();
    // A little after the run began.
    let began = Timestamp::now().before(Duration::from_secs(59));
    let steady = Instant::now();
    for second in [1, 6, 11, 16].map(Duration::from_secs) {
        let mut tick = Tick::new();
        for (name, value) in values {
            let key = SeriesKey::new(name, &[]).unwrap();
            tick.set(history.series(&key, Kind::Gauge, "").unwrap(), *value);
        }
        let moment = Moment {
            wall: began.after(second),
            steady: steady + second,
        };
        history.append(moment, &mut tick).unwrap();
    }
}

/// Some percent up and down, without a trend.
fn noise(at: usize) -> f64 {
    1.0 + [0.0, 0.02, -0.01, 0.01, -0.02, 0.03, -0.03][at * 3 % 7]
}

fn noted(version: &'static str, wall: f64) -> Noted {
    Noted {
        version,
        selection: "",
        jobs: 2,
        wall,
    }
}

#[test]
fn a_change_for_good_is_told_with_the_run_where_it_began() {
    let project = Project::new();
    let mut runs: Vec<_> = (0..40)
        .map(|at| match at < 25 {
            true => noted("v1", 20.0 * noise(at)),
            false => noted("v2", 25.0 * noise(at)),
        })
        .collect();
    // Other tests have other times.
    runs.insert(
        30,
        Noted {
            selection: "parser::",
            ..noted("v2", 1.0)
        },
    );
    write(&project.file(), &runs);
    let document = project.json("trends --metric execution-time --period 30days");
    let changes = document["changes"].as_array().unwrap();
    assert_eq!(changes.len(), 1, "{document}");
    assert_eq!(
        (
            &changes[0]["run"],
            &changes[0]["version"],
            &document["other_runs"]
        ),
        (&26.into(), &"v2".into(), &1.into())
    );
    let ratio = changes[0]["ratio"].as_f64().unwrap();
    assert!((1.2..1.3).contains(&ratio), "{ratio}");
    let text = project.text("trends");
    assert!(text.contains("% since run 26, v2 "), "{text}");

    // Of the last ten minutes alone, nothing has changed.
    let document = project.json("trends --period 10m");
    assert_eq!(document["changes"].as_array().unwrap().len(), 0);
    assert_eq!(document["runs"].as_array().unwrap().len(), 9);
}

#[test]
fn versions_are_compared_and_too_few_runs_say_so() {
    let project = Project::new();
    let runs =
        |count, version, wall: f64| (0..count).map(move |at| noted(version, wall * noise(at)));
    let all: Vec<_> = runs(12, "v1", 10.0)
        .chain(runs(12, "v2", 13.0))
        .chain(runs(3, "v3", 10.0))
        .collect();
    write(&project.file(), &all);
    let document = project.json("compare --baseline v1 --current v2");
    assert_eq!(document["verdict"], "slower", "{document}");
    let ratio = document["comparison"]["ratio"].as_f64().unwrap();
    assert!((1.27..1.33).contains(&ratio), "{ratio}");
    assert_eq!(document["baseline"]["runs"].as_array().unwrap().len(), 12);
    assert_eq!(
        project.json("compare --baseline v2 --current v1")["verdict"],
        "faster"
    );

    let document = project.json("compare --baseline v1 --current v3");
    assert_eq!(
        (&document["verdict"], &document["comparison"]),
        (&"too few runs".into(), &Value::Null)
    );
    let ran = project.run("performance compare --baseline v1 --current v4");
    assert_eq!(ran.code, 4);
    assert!(
        ran.stderr.contains("no run of version v4"),
        "{}",
        ran.stderr
    );
}

#[test]
fn slots_are_analysed_by_littles_law_and_more_are_advised_where_they_help() {
    let project = Project::new();
    write(&project.file(), &[noted("v1", 20.0)]);
    let document = project.json("--queue-analysis --period 1h");
    let run = &document["runs"][0];
    let number = |name: &str| run[name].as_f64().unwrap();
    let product = number("tests_per_second") * number("mean_test_seconds");
    assert!((product - number("mean_running")).abs() < 1e-9);
    assert!((number("slots_used") - 0.99).abs() < 1e-9);
    assert!((number("least_wall_seconds") - 19.8).abs() < 1e-9);
    assert!(project.text("--queue-analysis").contains("99%"));

    // No backlog was measured, so nothing is advised.
    let document = project.json("--analyze-bottlenecks");
    assert_eq!(document["findings"].as_array().unwrap().len(), 0);

    // A hundred tests in line, and processors that are idle most of the time.
    let measured = [("tests_left", 100.0), ("machine_cpu_ratio", 0.4)];
    measure(&project.file(), &measured);
    let document = project.json("--analyze-bottlenecks");
    let finding = &document["findings"][0];
    assert_eq!(finding["resource"], "queue", "{document}");
    let change = &finding["change"];
    assert_eq!(
        [&change["setting"], &change["from"], &change["to"]],
        ["run.jobs", "2", "3"]
    );
    let text = project.text("--analyze-bottlenecks --detailed");
    assert!(text.contains("aqe config set run.jobs 3"), "{text}");
    assert!(text.contains("arrivals = 200"), "{text}");

    // The longest test takes two seconds, and three slots share what two had.
    let predicted = &finding["predicted"];
    assert_eq!(predicted["metric"], "seconds of the run");
    assert!((predicted["value"].as_f64().unwrap() - 39.6 / 3.0).abs() < 1e-9);

    // With busy processors more slots would help nobody.
    let project = Project::new();
    let measured = [("tests_left", 100.0), ("machine_cpu_ratio", 1.0)];
    measure(&project.file(), &measured);
    let document = project.json("--analyze-bottlenecks");
    assert_eq!(document["findings"][0]["resource"], "cpu", "{document}");
}

#[test]
fn what_is_exported_can_be_read_and_no_file_is_overwritten() {
    let project = Project::new();
    write(&project.file(), &[noted("v1", 20.0)]);
    let csv = project.text("export --format csv --period 90days");
    assert!(csv.starts_with("time,"), "{csv}");
    let path = project.0.path().join("out.json");
    let words = format!(
        "performance export --format json --output {}",
        path.display()
    );
    assert_eq!(project.run(&words).code, 0);
    fs::write(&path, "mine").unwrap();
    let ran = project.run(&words);
    assert_eq!(
        (ran.code, fs::read_to_string(&path).unwrap().as_str()),
        (5, "mine")
    );
}

#[test]
fn without_a_history_it_says_what_makes_one() {
    let project = Project::new();
    for words in [
        "trends",
        "--queue-analysis",
        "diagnose --operation test-execution",
    ] {
        let ran = project.run(&format!("performance {words}"));
        assert_eq!((ran.code, &*ran.stdout), (4, ""));
        assert!(
            ran.stderr.contains("hint: `aqe run` begins one"),
            "{}",
            ran.stderr
        );
    }
}

#[test]
fn a_real_run_can_be_looked_at_from_all_sides() {
    let project = Project::new();
    let path = |name: &str| project.0.path().join(name);
    fs::create_dir(path("src")).unwrap();
    let manifest =
        "[package]\nname = \"suite\"\nversion = \"0.1.0\"\nedition = \"2024\"\n[workspace]\n";
    fs::write(path("Cargo.toml"), manifest).unwrap();
    let tests: String = (0..6)
        .map(|at| format!("#[test] fn t{at}() {{}}\n"))
        .collect();
    fs::write(path("src/lib.rs"), tests).unwrap();
    let ran = project.run("run --jobs 2");
    assert_eq!(ran.code, 0, "{}", ran.stderr);

    let document = project.json("trends");
    assert_eq!(document["runs"].as_array().unwrap().len(), 1);
    let document = project.json("--queue-analysis");
    assert_eq!(
        (&document["runs"][0]["tests"], &document["runs"][0]["slots"]),
        (&6.0.into(), &2.into())
    );
    let document = project.json("diagnose --operation test-execution");
    assert_eq!(document["count"], 6, "{document}");
    let counts = document["buckets"].as_array().unwrap().iter();
    assert_eq!(
        counts.map(|it| it["count"].as_u64().unwrap()).sum::<u64>(),
        6
    );
    // Six tests in a moment tell nothing of bottlenecks, and that is said.
    let document = project.json("--analyze-bottlenecks --detailed");
    assert!(
        !document["insufficient"].as_array().unwrap().is_empty(),
        "{document}"
    );
    let ran = project.run("performance diagnose --operation lunch");
    assert_eq!(ran.code, 4);
    assert!(
        ran.stderr.contains("these are: test-execution"),
        "{}",
        ran.stderr
    );
}
