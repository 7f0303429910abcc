//! What `aqe run` leaves in the project's history of measurements, asked by plain SQL as somebody with `sqlite3` would.

#![expect(clippy::unwrap_used, reason = "helpers of tests may fail the test")]

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;

use aqe_core::monitor::history::{History, HistoryConfig};
use rusqlite::{Connection, OpenFlags, Params};
use serde_json::Value;
use tempfile::TempDir;

mod support;
use support::{Ran, aqe};

const MANIFEST: &str =
    "[package]\nname = \"suite\"\nversion = \"0.1.0\"\nedition = \"2024\"\n[workspace]\n";

const TESTS: &str = r#"
#[test] fn passes() {}
#[test] fn passes_too() {}
#[test] fn fails() { panic!("always") }
/// Passes when it is tried again.
#[test] fn shaky() {
    let tried = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tried");
    assert!(std::fs::create_dir(tried).is_err(), "not yet");
}
#[test] #[ignore = "hangs"] fn hangs() { loop { std::thread::park() } }
"#;

struct Project(TempDir);

impl Project {
    fn new(config: &str) -> Self {
        let project = Self(tempfile::tempdir().unwrap());
        // The search for settings ends here.
        fs::create_dir(project.path(".git")).unwrap();
        fs::create_dir(project.path("src")).unwrap();
        fs::write(project.path("Cargo.toml"), MANIFEST).unwrap();
        fs::write(project.path("src/lib.rs"), TESTS).unwrap();
        fs::write(project.path("qe.config.yaml"), config).unwrap();
        project
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn command(&self, words: &str) -> Command {
        let mut command = aqe(self.0.path());
        command
            .env_remove("CARGO_TARGET_DIR")
            .env("CARGO_NET_OFFLINE", "true")
            .args(words.split_whitespace());
        command
    }

    fn run(&self, words: &str) -> Ran {
        self.command(words).output().unwrap().into()
    }

    /// Makes a repository of it whose only commit has a tag.
    fn commit_as(&self, tag: &str) {
        fs::remove_dir(self.path(".git")).unwrap();
        let who = [
            "-c",
            "user.name=aqe",
            "-c",
            "user.email=aqe@example.invalid",
        ];
        let steps: [&[&str]; 4] = [
            &["init", "--quiet"],
            &["add", "src"],
            &["commit", "--quiet", "--message", "all"],
            &["tag", tag],
        ];
        for step in steps {
            let mut git = Command::new("git");
            let git = git.args(who).args(step).current_dir(self.0.path());
            let git = git.env("GIT_CONFIG_GLOBAL", "/dev/null");
            assert!(git.status().unwrap().success(), "{step:?}");
        }
    }

    fn database(&self) -> Connection {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY;
        Connection::open_with_flags(self.path(".aqe/monitor.db"), flags).unwrap()
    }

    fn ask(&self, sql: &str, parameters: impl Params) -> rusqlite::Result<f64> {
        let database = self.database();
        database.query_row(sql, parameters, |row| row.get(0))
    }

    fn number(&self, sql: &str, parameters: impl Params) -> f64 {
        let answer = self.ask(sql, parameters);
        answer.unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    fn result(&self, name: &str) -> f64 {
        self.number("SELECT value FROM results WHERE name = ?1", [name])
    }

    /// A run that hangs, when its test `passes` has passed.
    fn hanging(&self) -> Child {
        let mut command =
            self.command("run --json --include-ignored --jobs 2 --exact passes hangs");
        let command = command.stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.as_mut().unwrap()).lines();
        let has_passed = lines.any(|line| {
            let event: Value = serde_json::from_str(&line.unwrap()).unwrap();
            event["event"] == "test-finished"
        });
        assert!(has_passed, "the run has ended");
        child
    }
}

#[test]
fn a_run_is_in_the_history_with_what_it_came_to() {
    let project = Project::new("");
    project.commit_as("v9.9");
    let ran = project.run("run --retries 1");
    assert_eq!(ran.code, 1, "{}", ran.stderr);
    assert!(!ran.stderr.contains("monitoring"), "{}", ran.stderr);

    let database = project.database();
    let (name, version, isolation, ended) = database
        .query_row(
            "SELECT name, version, json_extract(labels, '$.isolation'), ended >= started FROM runs",
            [],
            |row| {
                Ok((
                    row.get::<_, String>(0)?,
                    row.get::<_, String>(1)?,
                    row.get::<_, String>(2)?,
                    row.get::<_, bool>(3)?,
                ))
            },
        )
        .unwrap();
    assert_eq!((&*name, &*version, ended), ("aqe run", "v9.9", true));
    assert!(!isolation.is_empty());
    assert_eq!(
        ["tests", "failed", "flaky"].map(|name| project.result(name)),
        [4.0, 1.0, 1.0]
    );
    assert!(project.result("wall_seconds") > 0.0);
    let p50 = project.result("p50_seconds");
    assert!(p50 > 0.0 && project.result("p95_seconds") >= p50);
    #[cfg(unix)]
    assert!(project.result("cpu_seconds") > 0.0);

    let last = |name: &str, verdict: &str| {
        project.number(
            "SELECT value FROM samples_recent WHERE name = ?1
             AND ifnull(json_extract(labels, '$.verdict'), '') = ?2 ORDER BY at DESC LIMIT 1",
            [name, verdict],
        )
    };
    assert_eq!(last("tests_finished_total", "passed"), 2.0);
    assert_eq!(last("tests_finished_total", "failed"), 1.0);
    assert_eq!(last("tests_finished_total", "flaky"), 1.0);
    // The one that fails is tried again, and so is the one that passes then.
    assert_eq!(last("test_retries_total", ""), 2.0);
    assert_eq!(
        (last("tests_running", ""), last("tests_left", "")),
        (0.0, 0.0)
    );
    let kind =
        "SELECT count(*) FROM series WHERE name = 'test_duration_seconds' AND kind = 'histogram'";
    assert_eq!(project.number(kind, []), 1.0);
    #[cfg(target_os = "linux")]
    assert!(last("process_resident_bytes", "") > 0.0);

    let ignored = fs::read_to_string(project.path(".aqe/.gitignore"));
    assert_eq!(ignored.unwrap(), "*\n");
    let ran = project.run("run passes");
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert_eq!(project.number("SELECT count(*) FROM runs", []), 2.0);
    let selected = "SELECT count(*) FROM runs WHERE json_extract(labels, '$.selection') = ?1";
    assert_eq!(project.number(selected, [""]), 1.0);
    assert_eq!(project.number(selected, ["passes"]), 1.0);
}

/// What some of the tests came to would be taken for what all did.
#[cfg(unix)]
#[test]
fn an_interrupted_run_has_ended_and_come_to_nothing() {
    let project = Project::new("");
    let mut child = project.hanging();
    let process = libc::pid_t::try_from(child.id()).unwrap();
    // SAFETY: the call touches no memory, and the process is our own child, which has not been waited for.
    assert_eq!(unsafe { libc::kill(process, libc::SIGINT) }, 0);
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let ended = "SELECT count(*) FROM runs WHERE ended IS NOT NULL";
    assert_eq!(project.number(ended, []), 1.0);
    assert_eq!(project.number("SELECT count(*) FROM results", []), 0.0);
}

/// What has been committed by then is all there, and the next run goes on in the same file.
#[test]
fn a_killed_run_leaves_a_history_that_can_be_read() {
    let project = Project::new("monitoring:\n  interval: 100ms\n");
    let mut child = project.hanging();
    let passed =
        "SELECT count(*) FROM samples_recent WHERE name = 'tests_finished_total' AND value = 1
                  AND json_extract(labels, '$.verdict') = 'passed'";
    // Until there are two ticks that have seen the test pass; before the first, there is nothing to ask.
    while !project.ask(passed, []).is_ok_and(|ticks| ticks >= 2.0) {
        thread::yield_now();
    }
    child.kill().unwrap();
    child.wait().unwrap();

    assert!(project.number(passed, []) >= 2.0);
    let open = "SELECT count(*) FROM runs WHERE ended IS NULL";
    assert_eq!(project.number(open, []), 1.0);
    let ran = project.run("run --exact passes");
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(!ran.stderr.contains("monitoring"), "{}", ran.stderr);
    assert_eq!(project.number("SELECT count(*) FROM runs", []), 2.0);
    assert_eq!(project.number(open, []), 1.0);
    let check = project.database();
    let check: String = check
        .query_row("PRAGMA integrity_check", [], |row| row.get(0))
        .unwrap();
    assert_eq!(check, "ok");
}

#[test]
fn switched_off_nothing_is_made() {
    let project = Project::new("monitoring:\n  enabled: false\n");
    let ran = project.run("run passes");
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(ran.stdout.contains("passed"), "{}", ran.stdout);
    assert!(!project.path(".aqe/monitor.db").exists());
}

#[test]
fn a_history_that_cannot_be_had_is_a_warning() {
    let project = Project::new("");
    fs::write(project.path(".aqe"), "").unwrap();
    let ran = project.run("run passes");
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(
        ran.stderr
            .contains("warning: monitoring: this run is not measured"),
        "{}",
        ran.stderr
    );

    fs::remove_file(project.path(".aqe")).unwrap();
    fs::create_dir(project.path(".aqe")).unwrap();
    let other = History::open(project.path(".aqe/monitor.db"), HistoryConfig::default());
    let ran = project.run("run passes");
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let process = format!("process {}", std::process::id());
    assert!(
        ran.stderr.contains("warning: monitoring: ") && ran.stderr.contains(&process),
        "{}",
        ran.stderr
    );
    drop(other);
}
