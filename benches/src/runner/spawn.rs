//! What does it cost to start a process, take its output and wait for it, two at a time? Wall microseconds each.
//!
//! Once with `true`, where exec and dynamic linking are the floor for everyone, and once with a program that does
//! nothing at all, where it is the launchers' own cost; see [`smallest`].

use std::future::Future;
use std::io::Read;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Instant;

use aqe_runner::launcher::{Launch, Launcher, LauncherConfig, Program};
use tokio::runtime::Builder;
use xtask::{Failure, Result};

use super::{Part, smallest};
use crate::measure::Reading;
use crate::report::AQE;
use crate::rounds::Scale;

pub(super) const PART: Part = Part {
    workloads,
    contenders,
    sample,
};

const TRUE: &str = "spawn-two-at-a-time";
const SMALLEST: &str = "spawn-smallest-two-at-a-time";

/// Processes per sample, half of them on each side.
const PROCESSES: u64 = 2000;

/// How many are under way at a time.
const WIDTH: u64 = 2;

/// Launches that wait inside our launcher for one of the two to end, as `LauncherConfig::max_running` advises.
const AHEAD: u64 = 1;

/// Our launcher with nothing ahead: the next launch is asked for when the caller has heard of an end, as everyone
/// else here does it.
const AQE_TWO: &str = "aqe-nothing-ahead";

const TOKIO: &str = "tokio-command-output";
const THREADS: &str = "posix-spawn-two-threads";

fn workloads() -> Vec<&'static str> {
    let mut workloads = vec![TRUE];
    workloads.extend(smallest::IS_KNOWN.then_some(SMALLEST));
    workloads
}

fn contenders() -> Vec<&'static str> {
    vec![AQE, AQE_TWO, TOKIO, THREADS]
}

fn sample(workload: &str, contender: &str, scale: Scale) -> Result<Vec<Reading>> {
    let (program, processes) = match workload {
        // Five times as many of what takes a fifth of the time.
        SMALLEST => (smallest::program()?, 5 * PROCESSES),
        _ => (path_of_true()?, PROCESSES),
    };
    let processes = scale.of(processes);
    let start = Instant::now();
    match contender {
        AQE => with_launcher(&program, processes, WIDTH + AHEAD)?,
        AQE_TWO => with_launcher(&program, processes, WIDTH)?,
        TOKIO => with_tokio(&program, processes)?,
        THREADS => with_threads(&program, processes)?,
        other => return Err(Failure::new(format!("there is no launcher `{other}`"))),
    }
    let micros = start.elapsed().as_secs_f64() * 1e6;
    Ok(vec![Reading::new(
        "wall",
        "us/process",
        micros / processes as f64,
    )])
}

/// The full path of `true`: a search through `PATH` would be measured too.
///
/// # Errors
///
/// When it is not where it usually is.
pub fn path_of_true() -> Result<PathBuf> {
    ["/bin/true", "/usr/bin/true"]
        .into_iter()
        .map(PathBuf::from)
        .find(|path| path.exists())
        .ok_or_else(|| Failure::new("there is no program `true` on this machine"))
}

/// The launcher under `aqe run`, asked by `callers` tasks on two workers and never running more than two processes.
fn with_launcher(program: &Path, processes: u64, callers: u64) -> Result<()> {
    let program = Program::builder(program)
        .build()
        .map_err(|error| Failure::new(format!("cannot prepare a program: {error}")))?;
    let config = LauncherConfig::default().max_running(NonZeroUsize::new(WIDTH as usize));
    let launcher = Launcher::start(&config)
        .map_err(|error| Failure::new(format!("cannot start a launcher: {error}")))?;
    let left = Arc::new(AtomicU64::new(processes));
    on_two_workers(callers, || {
        let (program, launcher, left) = (Arc::clone(&program), launcher.clone(), Arc::clone(&left));
        async move {
            while take(&left) {
                let finished = launcher.launch(Launch::new(&program)).await;
                let finished = finished.map_err(|error| Failure::new(format!("{error}")))?;
                if !finished.success() {
                    return Err(Failure::new(format!("a process ended with {finished:?}")));
                }
            }
            Ok(())
        }
    })
}

/// Takes one from what is left, if anything is.
fn take(left: &AtomicU64) -> bool {
    // Relaxed: the number guards nothing but itself.
    left.try_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
        left.checked_sub(1)
    })
    .is_ok()
}

/// `Command::output` from two tasks on two workers: what an asynchronous runner does.
fn with_tokio(program: &Path, processes: u64) -> Result<()> {
    on_two_workers(WIDTH, || {
        let program = program.to_owned();
        async move {
            for _ in 0..processes / WIDTH {
                let output = tokio::process::Command::new(&program)
                    .stdin(Stdio::null())
                    .output()
                    .await;
                ended_well(output.map(|output| output.status))?;
            }
            Ok(())
        }
    })
}

/// Runs so many tasks on a runtime with two workers, to their ends.
fn on_two_workers<F>(tasks: u64, task: impl Fn() -> F) -> Result<()>
where
    F: Future<Output = Result<()>> + Send + 'static,
{
    let runtime = Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| Failure::new(format!("cannot start a runtime: {error}")))?;
    let tasks: Vec<_> = (0..tasks).map(|_| runtime.spawn(task())).collect();
    tasks.into_iter().try_for_each(|task| {
        runtime
            .block_on(task)
            .map_err(|error| Failure::new(format!("a side panicked: {error}")))?
    })
}

/// Two plain threads, each with one process and one pipe for both streams. The standard library uses
/// posix_spawn where nothing but files and arguments has to be set up, as here.
fn with_threads(program: &Path, processes: u64) -> Result<()> {
    let side = || -> Result<()> {
        let mut output = Vec::new();
        for _ in 0..processes / WIDTH {
            ended_well(one_process(program, &mut output))?;
        }
        Ok(())
    };
    thread::scope(|scope| {
        let sides: Vec<_> = (0..WIDTH).map(|_| scope.spawn(side)).collect();
        sides
            .into_iter()
            .try_for_each(|side| side.join().map_err(|_| Failure::new("a side panicked"))?)
    })
}

fn one_process(program: &Path, output: &mut Vec<u8>) -> std::io::Result<std::process::ExitStatus> {
    let (mut reader, writer) = std::io::pipe()?;
    let mut command = Command::new(program);
    command
        .stdin(Stdio::null())
        .stdout(writer.try_clone()?)
        .stderr(writer);
    let mut child = command.spawn()?;
    // Our own copies of the writing end: with them open, the end of the output would never come.
    drop(command);
    output.clear();
    reader.read_to_end(output)?;
    child.wait()
}

fn ended_well(status: std::io::Result<std::process::ExitStatus>) -> Result<()> {
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(Failure::new(format!("a process ended with {status}"))),
        Err(error) => Err(Failure::new(format!("a process could not be run: {error}"))),
    }
}
