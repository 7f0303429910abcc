//! Runs other programs, cargo above all: shows the command, bounds its time, reads its output.
//!
//! A chore that fails must leave the reader with a line to repeat, so a [`Command`] here knows how to
//! print itself as one would type it. Children stay in our process group: Ctrl-C at the terminal reaches
//! them all without our help.

use std::collections::VecDeque;
use std::fmt;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{self, Child, ChildStdout, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use crate::tally::{Tally, TallyReader};
use crate::{Failure, Result};

/// How much of a quiet run's output is shown when it fails.
const SHOWN_LINES: usize = 400;

/// A program to run, with all that is needed to print it as a line for a shell.
#[derive(Debug, Clone)]
pub struct Command {
    program: String,
    args: Vec<String>,
    /// `None` removes the variable from what the child inherits.
    envs: Vec<(String, Option<String>)>,
    dir: Option<PathBuf>,
    limit: Option<Duration>,
}

impl Command {
    /// A command that runs `program`, found through `PATH`.
    pub fn new(program: impl Into<String>) -> Self {
        Self {
            program: program.into(),
            args: Vec::new(),
            envs: Vec::new(),
            dir: None,
            limit: None,
        }
    }

    /// A command that runs cargo; the words of `line` are its first arguments.
    pub fn cargo(line: &str) -> Self {
        Self::new("cargo").words(line)
    }

    /// Adds the words of `line`, separated by blanks, as arguments.
    #[must_use]
    pub fn words(mut self, line: &str) -> Self {
        self.args
            .extend(line.split_whitespace().map(ToOwned::to_owned));
        self
    }

    /// Adds one argument.
    #[must_use]
    pub fn arg(mut self, arg: impl Into<String>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// Adds one argument that is a path.
    #[must_use]
    pub fn path(self, path: &Path) -> Self {
        self.arg(path.display().to_string())
    }

    /// Sets a variable of the child's environment.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl Into<String>) -> Self {
        self.envs.push((name.to_owned(), Some(value.into())));
        self
    }

    /// Removes a variable from the child's environment.
    #[must_use]
    pub fn env_remove(mut self, name: &str) -> Self {
        self.envs.push((name.to_owned(), None));
        self
    }

    /// Runs the child in `dir`.
    #[must_use]
    pub fn dir(mut self, dir: &Path) -> Self {
        self.dir = Some(dir.to_owned());
        self
    }

    /// Ends the child and all that it started when it takes longer than `limit`.
    #[must_use]
    pub fn limit(mut self, limit: Duration) -> Self {
        self.limit = Some(limit);
        self
    }

    /// Runs the command with its output shown as it comes.
    ///
    /// # Errors
    ///
    /// When the program cannot be started, ends with anything but success, or exceeds its limit.
    pub fn run(&self) -> Result<()> {
        self.supervise(&mut self.spawn(Stdio::inherit())?, |_| Ok(()))
    }

    /// Runs the command and returns what it wrote to standard output; standard error is shown.
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run), and when the output is not UTF-8.
    pub fn read(&self) -> Result<String> {
        let mut text = String::new();
        self.supervise(&mut self.spawn(Stdio::piped())?, |stdout| {
            stdout.map_or(Ok(0), |mut pipe| pipe.read_to_string(&mut text))?;
            Ok(())
        })?;
        Ok(text)
    }

    /// Whether the command can be started and succeeds; its output is thrown away.
    #[must_use]
    pub fn succeeds(&self) -> bool {
        self.prepare()
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
    }

    /// Runs a command that runs libtest binaries, passes on what they print, and counts their result lines.
    ///
    /// The tally is returned with the outcome, since a failed run has one too.
    pub fn tally(&self) -> (Tally, Result<()>) {
        self.tally_lines(|line| {
            let mut out = std::io::stdout();
            out.write_all(line)?;
            out.flush()
        })
    }

    /// The same without passing anything on; a failed run's last lines are shown, each with a mark in front.
    ///
    /// Whoever counts the result lines of a log would count those of a second run of the same tests, too.
    pub fn quiet_tally(&self) -> (Tally, Result<()>) {
        let mut last = VecDeque::with_capacity(SHOWN_LINES);
        let (tally, outcome) = self.tally_lines(|line| {
            if last.len() == SHOWN_LINES {
                last.pop_front();
            }
            last.push_back(String::from_utf8_lossy(line).trim_end().to_owned());
            Ok(())
        });
        if outcome.is_err() {
            last.iter().for_each(|line| println!("| {line}"));
        }
        (tally, outcome)
    }

    fn tally_lines(
        &self,
        mut each: impl FnMut(&[u8]) -> std::io::Result<()>,
    ) -> (Tally, Result<()>) {
        let mut reader = TallyReader::default();
        let outcome = self.spawn(Stdio::piped()).and_then(|mut child| {
            self.supervise(&mut child, |stdout| {
                let Some(pipe) = stdout else { return Ok(()) };
                for_each_line(pipe, |line| {
                    // What is not text cannot be one of the lines that count.
                    reader.line(String::from_utf8_lossy(line).trim_end());
                    each(line)
                })
            })
        });
        (reader.finish(outcome.is_ok()), outcome)
    }

    fn spawn(&self, stdout: Stdio) -> Result<Child> {
        self.prepare()
            .stdin(Stdio::null())
            .stdout(stdout)
            .spawn()
            .map_err(|error| Failure::new(format!("cannot start `{self}`: {error}")))
    }

    fn prepare(&self) -> process::Command {
        let mut command = process::Command::new(self.executable());
        command.args(&self.args);
        for (name, value) in &self.envs {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        if let Some(dir) = &self.dir {
            command.current_dir(dir);
        }
        command
    }

    /// Cargo names itself to what it runs; taking that one keeps the toolchain of the outer command.
    fn executable(&self) -> String {
        if self.program != "cargo" {
            return self.program.clone();
        }
        std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned())
    }

    /// Hands the child's standard output to `consume`, waits for the child, and judges how it ended.
    fn supervise(
        &self,
        child: &mut Child,
        consume: impl FnOnce(Option<ChildStdout>) -> std::io::Result<()>,
    ) -> Result<()> {
        let watchdog = self.limit.map(|limit| Watchdog::start(child.id(), limit));
        let consumed = consume(child.stdout.take());
        let status = child
            .wait()
            .map_err(|error| Failure::new(format!("cannot wait for `{self}`: {error}")))?;
        if watchdog.is_some_and(Watchdog::stop) {
            let limit = self.limit.unwrap_or_default().as_secs();
            return Err(Failure::new(format!(
                "`{self}` was ended after its limit of {limit} s"
            )));
        }
        consumed.map_err(|error| Failure::new(format!("cannot read from `{self}`: {error}")))?;
        self.judge(status)
    }

    fn judge(&self, status: ExitStatus) -> Result<()> {
        if status.success() {
            return Ok(());
        }
        Err(Failure::new(format!("`{self}` ended with {status}")))
    }
}

/// The command as one would type it, without the limit.
impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(dir) = &self.dir {
            write!(f, "cd {} && ", quoted(&dir.display().to_string()))?;
        }
        for (name, value) in &self.envs {
            match value {
                Some(value) => write!(f, "{name}={} ", quoted(value))?,
                None => write!(f, "{name}= ")?,
            }
        }
        write!(f, "{}", quoted(&self.program))?;
        for arg in &self.args {
            write!(f, " {}", quoted(arg))?;
        }
        Ok(())
    }
}

fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,@+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// Reads `pipe` to its end, line by line, line endings included.
fn for_each_line(
    pipe: ChildStdout,
    mut each: impl FnMut(&[u8]) -> std::io::Result<()>,
) -> std::io::Result<()> {
    let mut pipe = BufReader::new(pipe);
    let mut line = Vec::new();
    while pipe.read_until(b'\n', &mut line)? > 0 {
        each(&line)?;
        line.clear();
    }
    Ok(())
}

/// A thread that ends a process tree unless it is stopped first.
struct Watchdog {
    stop: mpsc::Sender<()>,
    /// Written by the thread before it kills, read after it has been joined.
    fired: Arc<AtomicBool>,
    thread: thread::JoinHandle<()>,
}

impl Watchdog {
    fn start(pid: u32, limit: Duration) -> Self {
        let (stop, stopped) = mpsc::channel();
        let fired = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&fired);
        let thread = thread::spawn(move || {
            if stopped.recv_timeout(limit) == Err(RecvTimeoutError::Timeout) {
                // Relaxed: the join in `stop` orders this write before the read.
                flag.store(true, Ordering::Relaxed);
                kill_tree(pid);
            }
        });
        Self {
            stop,
            fired,
            thread,
        }
    }

    /// Stops the watchdog and says whether it had fired.
    fn stop(self) -> bool {
        drop(self.stop);
        // A panicked watchdog has killed nothing, so the flag still tells the truth.
        let _ = self.thread.join();
        self.fired.load(Ordering::Relaxed)
    }
}

/// Ends `root` and its descendants. Cargo's children share our process group, so the group cannot be
/// signalled; the tree is read from `/proc` instead.
#[cfg(target_os = "linux")]
fn kill_tree(root: u32) {
    let mut doomed = vec![root];
    let mut next = 0;
    while let Some(&parent) = doomed.get(next) {
        doomed.extend(children_of(parent));
        next += 1;
    }
    for pid in doomed {
        // One that has ended by itself is no failure.
        let _ = Command::new("kill")
            .words(&format!("-KILL {pid}"))
            .succeeds();
    }
}

#[cfg(target_os = "linux")]
fn children_of(parent: u32) -> Vec<u32> {
    let Ok(tasks) = std::fs::read_dir(format!("/proc/{parent}/task")) else {
        return Vec::new();
    };
    tasks
        .flatten()
        .filter_map(|task| std::fs::read_to_string(task.path().join("children")).ok())
        .flat_map(|line| {
            line.split_whitespace()
                .filter_map(|pid| pid.parse().ok())
                .collect::<Vec<u32>>()
        })
        .collect()
}

#[cfg(not(target_os = "linux"))]
fn kill_tree(root: u32) {
    let line = if cfg!(windows) {
        Command::new("taskkill").words(&format!("/T /F /PID {root}"))
    } else {
        Command::new("kill").words(&format!("-KILL {root}"))
    };
    // One that has ended by itself is no failure.
    let _ = line.succeeds();
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    #[test]
    fn a_command_prints_as_one_would_type_it() {
        let command = Command::cargo("test -p aqe-queue")
            .env("RUSTFLAGS", "--cfg loom")
            .arg("it's");
        assert_eq!(
            command.to_string(),
            r"RUSTFLAGS='--cfg loom' cargo test -p aqe-queue 'it'\''s'"
        );
    }

    #[test]
    fn output_is_read_and_a_bad_exit_is_named() {
        let text = Command::new("sh")
            .words("-c")
            .arg("echo one; echo two")
            .read();
        assert_eq!(text.unwrap(), "one\ntwo\n");
        let failure = Command::new("sh")
            .words("-c")
            .arg("exit 3")
            .run()
            .unwrap_err();
        assert!(failure.to_string().contains("exit status: 3"), "{failure}");
    }

    #[test]
    fn a_missing_program_is_named() {
        let failure = Command::new("no-such-program-here").run().unwrap_err();
        assert!(failure.to_string().contains("no-such-program-here"));
    }

    #[test]
    fn a_quiet_run_is_counted_and_its_failure_kept() {
        let script =
            "echo 'running 1 test'; echo 'test result: ok. 1 passed; 0 failed; 0 ignored; x'";
        let (tally, outcome) = Command::new("sh").words("-c").arg(script).quiet_tally();
        assert_eq!((tally.passed, tally.failed, outcome), (1, 0, Ok(())));
        let (tally, outcome) = Command::new("sh").words("-c").arg("exit 1").quiet_tally();
        assert_eq!((tally.passed, tally.failed, outcome.is_err()), (0, 1, true));
    }

    #[test]
    fn a_command_over_its_limit_is_ended_with_its_children() {
        // The inner sleep holds the pipe open: while it lives, `read` does not return.
        let start = Instant::now();
        let failure = Command::new("sh")
            .words("-c")
            .arg("sleep 30 & wait")
            .limit(Duration::from_millis(50))
            .read()
            .unwrap_err();
        assert!(failure.to_string().contains("limit"), "{failure}");
        assert!(start.elapsed() < Duration::from_secs(20));
    }
}
