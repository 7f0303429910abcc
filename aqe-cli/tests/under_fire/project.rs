//! Small cargo projects that are kept between runs of these tests, and runs of them that cannot last for ever.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::{Ran, aqe};

/// Whatever takes longer hangs.
pub(crate) const LIMIT: Duration = Duration::from_secs(120);

/// A package in cargo's own folder for such things, so that the next run of these tests finds it compiled.
pub(crate) struct Project(PathBuf);

impl Project {
    /// A package `fire` with these files; `manifest` is what follows `[package]` in its manifest.
    pub(crate) fn new(name: &str, manifest: &str, files: &[(&str, &str)]) -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("under-fire");
        Self::at(folder.join(name), manifest, files)
    }

    /// The same, in a folder of the caller's choice.
    pub(crate) fn at(folder: PathBuf, manifest: &str, files: &[(&str, &str)]) -> Self {
        let project = Self(folder);
        // The search for settings ends here.
        fs::create_dir_all(project.path(".git")).unwrap();
        project.write("Cargo.toml", &format!("{HEAD}{manifest}"));
        for (file, text) in files {
            project.write(file, text);
        }
        project
    }

    fn write(&self, file: &str, text: &str) {
        let path = self.path(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        // An unchanged file keeps its time, which cargo looks at.
        if fs::read_to_string(&path).is_ok_and(|old| old == text) {
            return;
        }
        fs::write(path, text).unwrap();
    }

    pub(crate) fn path(&self, file: &str) -> PathBuf {
        self.0.join(file)
    }

    /// Where the program keeps journals and what it has learnt.
    pub(crate) fn state(&self) -> PathBuf {
        self.path("target/aqe")
    }

    /// `aqe run` with these words, in the project.
    pub(crate) fn command(&self, words: &str) -> Command {
        let mut command = aqe(&self.0);
        command
            .env_remove("CARGO_TARGET_DIR")
            .env("CARGO_NET_OFFLINE", "true")
            .env_remove("RUST_BACKTRACE")
            .args(["run", "--target-dir"])
            .arg(self.path("target"))
            .args(words.split_whitespace());
        command
    }

    pub(crate) fn run(&self, words: &str) -> Ran {
        Running::start(self.command(words)).end()
    }
}

const HEAD: &str = "[package]\nname = \"fire\"\nversion = \"0.1.0\"\nedition = \"2024\"\n[workspace]\n[profile.dev]\ndebug = false\n";

/// A run whose output is read as it comes, and which is killed with this value or when [`LIMIT`] has passed.
pub(crate) struct Running {
    pub(crate) child: Child,
    deadline: Instant,
    lines: Receiver<Vec<u8>>,
    stderr: Receiver<Vec<u8>>,
    stdout: Vec<u8>,
}

impl Running {
    pub(crate) fn start(mut command: Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut stderr = child.stderr.take().unwrap();
        let (line, lines) = channel();
        thread::spawn(move || {
            let mut bytes = Vec::new();
            while stdout.read_until(b'\n', &mut bytes).unwrap() > 0 {
                let _ = line.send(std::mem::take(&mut bytes));
            }
        });
        let (all, errors) = channel();
        thread::spawn(move || {
            let mut bytes = Vec::new();
            stderr.read_to_end(&mut bytes).unwrap();
            let _ = all.send(bytes);
        });
        Self {
            child,
            deadline: Instant::now() + LIMIT,
            lines,
            stderr: errors,
            stdout: Vec::new(),
        }
    }

    /// The next line of standard output, with its end unless it was cut off; `None` after the last.
    pub(crate) fn line(&mut self) -> Option<String> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        match self.lines.recv_timeout(left) {
            Ok(line) => {
                self.stdout.extend_from_slice(&line);
                Some(String::from_utf8_lossy(&line).into_owned())
            }
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => {
                panic!("it hangs: {}", String::from_utf8_lossy(&self.stdout))
            }
        }
    }

    /// Reads up to a line with this in it.
    pub(crate) fn until(&mut self, text: &str) -> String {
        loop {
            let Some(line) = self.line() else {
                panic!(
                    "no line with {text:?}: {}",
                    String::from_utf8_lossy(&self.stdout)
                )
            };
            if line.contains(text) {
                return line;
            }
        }
    }

    /// Reads the rest and waits for the end.
    pub(crate) fn end(mut self) -> Ran {
        while self.line().is_some() {}
        let left = self.deadline.saturating_duration_since(Instant::now());
        let stderr = self.stderr.recv_timeout(left).expect("it hangs");
        // Its streams are closed, which nothing but its end does.
        let status = self.child.wait().unwrap();
        std::process::Output {
            status,
            stdout: std::mem::take(&mut self.stdout),
            stderr,
        }
        .into()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // A run that has ended is not harmed: its number is its own until it was waited for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The events of a run with `--json`.
pub(crate) fn events(text: &str) -> Vec<Value> {
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect()
}

/// The status of every test that has a verdict.
pub(crate) fn verdicts(events: &[Value]) -> BTreeMap<String, String> {
    let finished = events
        .iter()
        .filter(|event| event["event"] == "test-finished");
    let mut verdicts = BTreeMap::new();
    for event in finished {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let before = verdicts.insert(text(&event["test"]), text(&event["verdict"]["status"]));
        assert_eq!(before, None, "{event} is not the first verdict");
    }
    verdicts
}

/// A table of names and statuses, as [`verdicts`] gives it.
pub(crate) fn table(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs
        .iter()
        .map(|&(name, status)| (name.to_owned(), status.to_owned()))
        .collect()
}
