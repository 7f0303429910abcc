//! A small harness from end to end: runs a list of shell commands side by side, by priority, with retries and a
//! timeout, ends in good order on Ctrl-C, and says how it went.
//!
//! ```sh
//! cargo run -q -p aqe-examples --example harness -- examples/harness.list
//! ```
//!
//! While it runs it tells on standard error what ends; then it prints, in the order of the list:
//!
//! ```text
//! ok       low: cargo metadata --format-version 1 --no-deps --offline >/dev/null
//! ok       rustc --version >/dev/null
//! flaky    test "$ATTEMPT" -ge 2 || { echo "not ready yet"; exit 7; } (attempt 2)
//! ok       critical: cargo --version >/dev/null
//! ok       background: echo "nobody is in a hurry for this"
//! 5 commands: 5 ok, 0 failed, 0 not run
//! ```
//!
//! A second argument names a `qe.config.yaml` in place of the one that is found from the working folder: section `queue`
//! says how many commands run at once, for how long, and how often they are repeated. It needs a POSIX shell. The exit
//! code is 0 when every command succeeded, 1 when one failed or was not run, 2 when there was nothing to run. A second
//! Ctrl-C does not wait.

use std::error::Error;
use std::path::PathBuf;
use std::process::{ExitCode, Stdio};
use std::time::Duration;

use aqe_core::queue::Completion;
use aqe_core::{
    AttemptContext, Engine, Loader, OperationError, OperationHandle, Priority, RetryPolicy,
};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Command;

/// How long commands that run may go on after Ctrl-C. The terminal tells them of it as well, so most end at once.
const GRACE: Duration = Duration::from_secs(5);

/// How much of each stream of a failed command is kept and shown: its end, in bytes. All of it is read, so that no
/// command waits for us.
const SHOWN: usize = 2_000;

#[tokio::main]
async fn main() -> Result<ExitCode, Box<dyn Error>> {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let Some(list) = arguments.next() else {
        eprintln!("usage: harness LIST [qe.config.yaml]");
        return Ok(ExitCode::from(2));
    };
    let text = std::fs::read_to_string(&list)
        .map_err(|error| format!("cannot read {}: {error}", list.display()))?;
    let work = parse(&text);
    if work.is_empty() {
        eprintln!("{} names no command", list.display());
        return Ok(ExitCode::from(2));
    }

    let engine = engine(arguments.next())?;
    let interrupted = tokio::spawn(stop_on_ctrl_c(engine.clone()));
    let mut handles = Vec::new();
    for item in &work {
        // Ctrl-C may close the queue while we still fill it; what was refused was not run.
        handles.push(submit(&engine, item).await);
    }
    let mut tally = Tally::default();
    for (item, handle) in work.iter().zip(handles) {
        let completion = match handle {
            Some(handle) => Some(handle.completion().await),
            None => None,
        };
        tally.count(item, completion);
    }
    interrupted.abort();
    println!("{tally}");
    Ok(tally.exit_code())
}

/// One line of the list.
struct Item {
    line: String,
    command: String,
    priority: Priority,
}

fn parse(text: &str) -> Vec<Item> {
    text.lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| {
            let (priority, command) = priority(line).unwrap_or((Priority::Medium, line));
            Item {
                line: line.to_owned(),
                command: command.to_owned(),
                priority,
            }
        })
        .collect()
}

fn priority(line: &str) -> Option<(Priority, &str)> {
    let (name, command) = line.split_once(':')?;
    let priority = match name {
        "critical" => Priority::Critical,
        "high" => Priority::High,
        "medium" => Priority::Medium,
        "low" => Priority::Low,
        "background" => Priority::Background,
        _ => return None,
    };
    Some((priority, command.trim_start()))
}

/// The configuration is that of the project, the environment and the machine, as in `aqe` itself.
fn engine(file: Option<PathBuf>) -> Result<Engine, aqe_core::Error> {
    let loader = Loader::of_process();
    let loaded = match file {
        Some(file) => loader.file(file).load()?,
        None => loader.discover(".").load()?,
    };
    Engine::builder()
        .config(loaded.into_config())
        // A command that failed is repeated soon, then less soon; the file says how often.
        .queue(|queue| {
            let first = queue.retry_delay.min(Duration::from_millis(100));
            let attempts = queue.retry_attempts;
            queue.retry(RetryPolicy::exponential(attempts, first, GRACE).full_jitter())
        })
        .build()
}

/// Waits for Ctrl-C, then cancels what has not begun and gives what runs [`GRACE`] to end.
async fn stop_on_ctrl_c(engine: Engine) {
    // Where signals cannot be received, the terminal ends the program as it always does.
    if tokio::signal::ctrl_c().await.is_err() {
        return;
    }
    eprintln!("stopping; press Ctrl-C again to stop at once");
    tokio::select! {
        _ = engine.queue().shutdown(GRACE) => {}
        _ = tokio::signal::ctrl_c() => std::process::exit(130),
    }
}

/// Why a command did not succeed.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("cannot be started: {0}")]
    Start(#[from] std::io::Error),
    #[error("{status}\n{output}")]
    Exit {
        status: std::process::ExitStatus,
        output: String,
    },
}

/// Queues a command; `None` if the queue takes nothing more.
async fn submit(engine: &Engine, item: &Item) -> Option<OperationHandle<(), Failure>> {
    let command = item.command.clone();
    let line = item.line.clone();
    let operation = engine.queue().operation(move |attempt| {
        let (command, line) = (command.clone(), line.clone());
        async move {
            let number = attempt.attempt();
            let result = run(&command, &attempt).await;
            let verdict = if result.is_ok() { "ok" } else { "failed" };
            eprintln!("{verdict:<8} {line} (attempt {number})");
            result
        }
    });
    // A shell that cannot be started now cannot be started in a second either.
    let operation = operation.retry_if(|failure| matches!(failure, Failure::Exit { .. }));
    operation.priority(item.priority).submit().await.ok()
}

async fn run(command: &str, attempt: &AttemptContext) -> Result<(), Failure> {
    let mut child = Command::new("sh")
        .args(["-c", command])
        .env("ATTEMPT", attempt.attempt().to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // A timed-out attempt is dropped, and its shell with it. What the shell started in the background lives on;
        // the launcher of `aqe-runner` ends whole process groups.
        .kill_on_drop(true)
        .spawn()?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let (stdout, stderr, status) = tokio::try_join!(tail(stdout), tail(stderr), child.wait())?;
    if status.success() {
        return Ok(());
    }
    let output = format!("{stdout}{stderr}").trim().to_owned();
    Err(Failure::Exit { status, output })
}

/// Reads a stream to its end and returns the last of it.
async fn tail(stream: Option<impl AsyncRead + Unpin>) -> std::io::Result<String> {
    let mut kept = Vec::new();
    let mut chunk = [0; 8_192];
    if let Some(mut stream) = stream {
        loop {
            let read = stream.read(&mut chunk).await?;
            if read == 0 {
                break;
            }
            kept.extend_from_slice(&chunk[..read]);
            kept.drain(..kept.len().saturating_sub(SHOWN));
        }
    }
    Ok(String::from_utf8_lossy(&kept).into_owned())
}

/// How it went, counted and printed command by command.
#[derive(Default)]
struct Tally {
    ok: usize,
    failed: usize,
    not_run: usize,
}

impl Tally {
    fn count(&mut self, item: &Item, completion: Option<Completion<(), Failure>>) {
        let Some(Completion {
            result, attempts, ..
        }) = completion
        else {
            self.not_run += 1;
            println!("not run  {}", item.line);
            return;
        };
        match result {
            Ok(()) if attempts > 1 => {
                self.ok += 1;
                println!("flaky    {} (attempt {attempts})", item.line);
            }
            Ok(()) => {
                self.ok += 1;
                println!("ok       {}", item.line);
            }
            Err(OperationError::Cancelled { attempts: 0, .. }) => {
                self.not_run += 1;
                println!("not run  {}", item.line);
            }
            Err(OperationError::Failed { error, .. }) => {
                self.failed += 1;
                println!("failed   {}: {error}", item.line);
            }
            // Timed out, cut short, or a defect of this program.
            Err(other) => {
                self.failed += 1;
                println!("failed   {}: {other}", item.line);
            }
        }
    }

    fn exit_code(&self) -> ExitCode {
        ExitCode::from(u8::from(self.failed + self.not_run > 0))
    }
}

impl std::fmt::Display for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            ok,
            failed,
            not_run,
        } = self;
        let all = ok + failed + not_run;
        write!(
            f,
            "{all} commands: {ok} ok, {failed} failed, {not_run} not run"
        )
    }
}
