//! What a second program sees of a run of a real suite, and what is left of it afterwards.
#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "helpers of tests may fail the test")]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

mod support;
#[path = "monitor/terminal.rs"]
mod terminal;
use support::{Ran, aqe};

const MANIFEST: &str =
    "[package]\nname = \"suite\"\nversion = \"0.1.0\"\nedition = \"2024\"\n[workspace]\n";

const TESTS: &str = r#"
#[test] fn passes() {}
#[test] fn fails() { panic!("always") }
#[test] #[ignore = "hangs"] fn hangs() { loop { std::thread::park() } }
#[test] #[ignore = "hangs"] fn hangs_too() { loop { std::thread::park() } }
"#;

struct Project(TempDir);

impl Project {
    fn new() -> Self {
        let project = Self(tempfile::tempdir().unwrap());
        // The search for settings and for the state folder ends here.
        fs::create_dir(project.path(".git")).unwrap();
        fs::create_dir(project.path("src")).unwrap();
        fs::write(project.path("Cargo.toml"), MANIFEST).unwrap();
        fs::write(project.path("src/lib.rs"), TESTS).unwrap();
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

    fn json(&self, words: &str) -> Value {
        let ran = self.run(words);
        assert_eq!((ran.code, &*ran.stderr), (0, ""), "{words}");
        serde_json::from_str(&ran.stdout).unwrap()
    }

    /// A run of which one test hangs, when the two others have their verdicts.
    fn hanging(&self) -> Hanging {
        let words = "run --json --include-ignored --jobs 2 --exact passes fails hangs";
        let mut child = self
            .command(words)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut events = BufReader::new(child.stdout.take().unwrap());
        let mut finished = 0;
        while finished < 2 {
            let mut line = String::new();
            assert!(
                events.read_line(&mut line).unwrap() > 0,
                "the run has ended"
            );
            let event: Value = serde_json::from_str(&line).unwrap();
            finished += usize::from(event["event"] == "test-finished");
        }
        Hanging { child, events }
    }

    /// The files of sessions.
    fn left(&self) -> Vec<String> {
        let entries = fs::read_dir(self.path(".aqe")).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.filter(|name| name.starts_with("session")).collect();
        names.sort();
        names
    }

    /// Sends a line to the session, and gives what comes back first.
    fn say(&self, line: &[u8]) -> String {
        let mut stream = UnixStream::connect(self.path(".aqe/session.sock")).unwrap();
        stream.write_all(line).unwrap();
        let mut reply = String::new();
        BufReader::new(stream).read_line(&mut reply).unwrap();
        reply
    }
}

/// A run that goes on until it is told not to.
struct Hanging {
    child: Child,
    events: BufReader<std::process::ChildStdout>,
}

impl Hanging {
    fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal, and gives the exit code when the run is over.
    fn end(&mut self, signal: i32) -> Ran {
        // SAFETY: the call takes numbers; the child is ours and was not waited for, so its number is its own.
        assert_eq!(unsafe { libc::kill(self.pid().cast_signed(), signal) }, 0);
        let mut rest = Vec::new();
        self.events.read_to_end(&mut rest).unwrap();
        let output = std::process::Output {
            status: self.child.wait().unwrap(),
            stdout: rest,
            stderr: Vec::new(),
        };
        output.into()
    }
}

impl Drop for Hanging {
    fn drop(&mut self) {
        // A test that has failed must not leave it behind; in any other it has ended.
        if self.child.try_wait().is_ok_and(|ended| ended.is_none()) {
            let _ = self.end(libc::SIGTERM);
        }
    }
}

#[test]
fn a_second_process_sees_what_runs_and_nothing_is_left_after_ctrl_c() {
    let project = Project::new();
    let mut run = project.hanging();
    let mode = |name: &str| {
        let metadata = fs::symlink_metadata(project.path(name)).unwrap();
        metadata.permissions().mode() & 0o7777
    };
    assert_eq!(
        [
            mode(".aqe"),
            mode(".aqe/session.sock"),
            mode(".aqe/session.json")
        ],
        [0o700, 0o600, 0o600]
    );
    assert_eq!(
        fs::read_to_string(project.path(".aqe/.gitignore")).unwrap(),
        "*\n"
    );

    let document = project.json("monitor --json");
    let status = &document["sessions"][0];
    assert_eq!(document["sessions"].as_array().unwrap().len(), 1);
    assert_eq!(status["pid"], run.pid());
    for (field, figure) in [
        ("planned", 3),
        ("passed", 1),
        ("failed", 1),
        ("done", 2),
        ("pending", 0),
        ("slots", 2),
        ("busy", 1),
    ] {
        assert_eq!(status[field], figure, "{field} of {status}");
    }
    assert_eq!(status["running"][0]["name"], "suite hangs");
    assert_eq!(status["failures"][0]["name"], "suite fails");
    let machine = &status["machine"];
    if cfg!(target_os = "linux") {
        assert!(machine["memory_ratio"].as_f64().unwrap() > 0.0, "{machine}");
        assert!(
            (0.0..=1.0).contains(&machine["cpu_ratio"].as_f64().unwrap()),
            "{machine}"
        );
        assert!(
            machine["process_bytes"].as_u64().unwrap() > 1 << 20,
            "{machine}"
        );
    }

    // It gets older.
    let age = || {
        let queue = project.json("monitor --queue-status --json");
        assert_eq!(queue["sessions"][0].get("machine"), None);
        queue["sessions"][0]["running"][0]["age_ms"]
            .as_u64()
            .unwrap()
    };
    let (first, second) = (age(), age());
    assert!(second > first, "{first} {second}");

    let text = project.run("monitor").stdout;
    assert!(text.contains("2 of 3 tests done"), "{text}");
    assert!(text.contains("0 pending, 1 of 2 slots busy"), "{text}");
    assert!(text.contains("1 passed, 1 failed"), "{text}");
    assert!(
        text.contains("FAIL  suite fails (failed: exit code 101)"),
        "{text}"
    );
    // From below, too, and by the path of the manifest.
    let below: Ran = project
        .command("monitor --queue-status")
        .current_dir(project.path("src"))
        .output()
        .unwrap()
        .into();
    assert!(below.stdout.contains("suite hangs"), "{below:?}");
    let manifest = project.path("Cargo.toml");
    let elsewhere: Ran = aqe("/".as_ref())
        .args(["monitor", "--manifest-path"])
        .arg(manifest)
        .output()
        .unwrap()
        .into();
    assert!(elsewhere.stdout.contains("suite hangs"), "{elsewhere:?}");

    assert_eq!(run.end(libc::SIGINT).code, 130);
    assert!(project.left().is_empty(), "{:?}", project.left());
    let last = project.json("monitor --json")["last"].clone();
    assert_eq!(
        (&last["counts"]["passed"], &last["counts"]["failed"]),
        (&1.into(), &1.into())
    );
    assert_eq!(last["failures"][0]["test"], "fails");
    assert!(last["finished"].is_u64());
    let text = project.run("monitor").stdout;
    assert!(
        text.starts_with("No run is going on; the last one ended "),
        "{text}"
    );
}

#[test]
fn what_is_no_request_harms_nothing() {
    let project = Project::new();
    let mut run = project.hanging();
    let reply = project.say(b"{\"aqe\":7,\"request\":\"status\"}\n");
    assert!(reply.contains("\"kind\":\"version\""), "{reply}");
    for garbage in [&b"\x00\xff{{{\n"[..], b"SSH-2.0-x\r\n", &[b'x'; 5000]] {
        let reply = project.say(garbage);
        assert!(reply.starts_with("{\"aqe\":1,\"error\""), "{reply}");
    }
    // A hundred at once, each with a request.
    let mut clients: Vec<UnixStream> = (0..100)
        .map(|_| UnixStream::connect(project.path(".aqe/session.sock")).unwrap())
        .collect();
    for client in &mut clients {
        client
            .write_all(b"{\"aqe\":1,\"request\":\"status\"}\n")
            .unwrap();
    }
    for client in clients {
        let mut reply = String::new();
        BufReader::new(client).read_line(&mut reply).unwrap();
        assert!(reply.contains("\"planned\":3"), "{reply}");
    }
    assert_eq!(project.json("monitor --json")["sessions"][0]["done"], 2);
    assert_eq!(run.end(libc::SIGTERM).code, 143);
}

#[test]
fn what_a_killed_run_leaves_is_passed_over_and_cleared_by_the_next() {
    let project = Project::new();
    let mut killed = project.hanging();
    killed.end(libc::SIGKILL);
    assert_eq!(project.left(), ["session.json", "session.sock"]);
    let document = project.json("monitor --json");
    assert_eq!(document["sessions"].as_array().unwrap().len(), 0);
    assert_eq!(document["last"]["counts"]["passed"], 1);
    assert!(document["last"]["finished"].is_null());
    let text = project.run("monitor --real-time").stdout;
    assert!(text.contains("has not come to its end"), "{text}");

    let mut next = project.hanging();
    let status = project.json("monitor --json")["sessions"][0].clone();
    assert_eq!(status["pid"], next.pid());
    next.end(libc::SIGINT);
    assert!(project.left().is_empty());
}

#[test]
fn several_runs_are_told_apart() {
    let project = Project::new();
    let mut first = project.hanging();
    let mut second = project.hanging();
    let pids = |document: &Value| -> Vec<u64> {
        let sessions = document["sessions"].as_array().unwrap().iter();
        sessions.map(|one| one["pid"].as_u64().unwrap()).collect()
    };
    let all = [u64::from(second.pid()), u64::from(first.pid())];
    assert_eq!(pids(&project.json("monitor --json")), all);
    let one = project.json(&format!("monitor --json --session {}", first.pid()));
    assert_eq!(pids(&one), [all[1]]);
    let none = project.run("monitor --session 1");
    assert_eq!(none.code, 4);
    assert!(
        none.stderr
            .contains("process 1 runs no tests of this project")
            && none.stderr.contains(&second.pid().to_string()),
        "{}",
        none.stderr
    );
    first.end(libc::SIGINT);
    assert_eq!(pids(&project.json("monitor --json")), all[..1]);
    second.end(libc::SIGINT);
}

#[test]
fn lines_come_until_the_run_ends() {
    let project = Project::new();
    let mut run = project.hanging();
    for (words, begin) in [
        ("monitor --real-time --interval 100ms", "2 of 3 tests done"),
        (
            "monitor --real-time --interval 0.1 --queue-status --json",
            "{\"busy\":1",
        ),
    ] {
        let mut watching = project
            .command(words)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(watching.stdout.take().unwrap()).lines();
        for _ in 0..3 {
            let line = lines.next().unwrap().unwrap();
            assert!(line.starts_with(begin), "{line}");
        }
        // A reader that has seen enough is no error.
        drop(lines);
        assert!(watching.wait().unwrap().success());
    }
    let mut watching = project
        .command("monitor --real-time --json")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(watching.stdout.take().unwrap()).lines();
    assert!(lines.next().unwrap().unwrap().contains("\"suite hangs\""));
    run.end(libc::SIGINT);
    let rest: Vec<String> = lines.map(Result::unwrap).collect();
    let last: Value = serde_json::from_str(rest.last().unwrap()).unwrap();
    assert_eq!(
        (&last["stopping"], &last["busy"]),
        (&true.into(), &0.into())
    );
    assert!(watching.wait().unwrap().success());
}

#[test]
fn without_a_run_there_is_nothing_to_show() {
    let project = Project::new();
    for words in [
        "monitor",
        "monitor --json --real-time",
        "monitor --session 5",
    ] {
        let ran = project.run(words);
        assert_eq!((ran.code, &*ran.stdout), (4, ""), "{words}: {}", ran.stderr);
    }
    // To look begins nothing.
    assert!(!project.path(".aqe").exists());
}

#[test]
fn a_run_that_cannot_be_watched_is_run_all_the_same() {
    let project = Project::new();
    fs::create_dir(project.path(".aqe")).unwrap();
    fs::set_permissions(project.path(".aqe"), fs::Permissions::from_mode(0o777)).unwrap();
    let ran = project.run("run --exact passes");
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let warnings = ran
        .stderr
        .matches("`aqe monitor` will not see this run")
        .count();
    assert_eq!(warnings, 1, "{}", ran.stderr);
    assert!(
        ran.stderr
            .contains("can be written by others (mode 777); `chmod 700`")
    );
    assert!(project.left().is_empty());
    let ran = project.run("monitor");
    assert_eq!(ran.code, 5, "{}", ran.stderr);
}
