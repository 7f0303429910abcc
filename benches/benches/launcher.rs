//! Narrow questions about the launcher, each beside the obvious alternative. Processes or bytes per second.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use aqe_benches::runner::{path_of_true, smallest_program};
use aqe_runner::launcher::{
    Capture, Finished, Launch, Launcher, LauncherConfig, OutputMode, Program, Running,
};
use criterion::{Criterion, Throughput};

fn main() {
    let mut criterion = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .configure_from_args();
    one_at_a_time(&mut criterion);
    burst(&mut criterion);
    captured_output(&mut criterion);
    criterion.final_summary();
}

/// What does a process cost that does nothing, one at a time? The alternative does the same on the calling thread,
/// without groups, timeouts or a way to stop it.
fn one_at_a_time(criterion: &mut Criterion) {
    let path = cheapest_program();
    let mut group = criterion.benchmark_group("one-at-a-time");
    group.throughput(Throughput::Elements(1));
    let (launcher, program) = (start(1), prepare(&path));
    group.bench_function("aqe", |bencher| {
        bencher.iter(|| ended(launcher.launch(Launch::new(&program))));
    });
    group.bench_function("std-output", |bencher| bencher.iter(|| std_output(&path)));
    group.finish();
}

/// How long does a burst of 64 processes take, two at a time? The alternative is two threads with half each.
fn burst(criterion: &mut Criterion) {
    const PROCESSES: usize = 64;

    let path = cheapest_program();
    let mut group = criterion.benchmark_group("burst-two-at-a-time");
    group.throughput(Throughput::Elements(PROCESSES as u64));
    let (launcher, program) = (start(2), prepare(&path));
    group.bench_function("aqe", |bencher| {
        bencher.iter(|| {
            let launches: Vec<Running> = (0..PROCESSES)
                .map(|_| launcher.launch(Launch::new(&program)))
                .collect();
            launches
                .into_iter()
                .for_each(|running| drop(ended(running)));
        });
    });
    group.bench_function("std-output-two-threads", |bencher| {
        bencher.iter(|| {
            thread::scope(|scope| {
                for _ in 0..2 {
                    scope.spawn(|| (0..PROCESSES / 2).for_each(|_| std_output(&path)));
                }
            });
        });
    });
    group.finish();
}

/// How fast is output taken that fits in memory?
#[cfg(unix)]
fn captured_output(criterion: &mut Criterion) {
    const BYTES: usize = 8 << 20;

    let mut group = criterion.benchmark_group("captured-output");
    group.throughput(Throughput::Bytes(BYTES as u64));
    let script = format!("head -c {BYTES} /dev/zero");
    let launcher = start(1);
    let program = Program::builder("/bin/sh").arg("-c").arg(&script).build();
    let program = program.expect("a shell can be described");
    group.bench_function("aqe", |bencher| {
        bencher.iter(|| {
            let output = OutputMode::Capture(Capture::default().memory_limit(BYTES));
            let finished = ended(launcher.launch(Launch::new(&program).output(output)));
            let kept = finished.stdout.in_memory().map(<[u8]>::len);
            assert_eq!(kept, Some(BYTES));
        });
    });
    group.bench_function("std-output", |bencher| {
        bencher.iter(|| {
            let mut command = Command::new("/bin/sh");
            let output = command.args(["-c", &script]).stdin(Stdio::null()).output();
            assert_eq!(output.map(|output| output.stdout.len()).ok(), Some(BYTES));
        });
    });
    group.finish();
}

#[cfg(not(unix))]
fn captured_output(_criterion: &mut Criterion) {}

/// `true` is mostly the dynamic linker's work, which would hide the launchers'.
fn cheapest_program() -> PathBuf {
    smallest_program()
        .or_else(|_| path_of_true())
        .expect("a program that does nothing")
}

fn start(width: usize) -> Launcher {
    let config = LauncherConfig::default().max_running(NonZeroUsize::new(width));
    Launcher::start(&config).expect("a launcher can be started")
}

fn prepare(path: &Path) -> Arc<Program> {
    let program = Program::builder(path).build();
    program.expect("a program can be described")
}

fn ended(running: Running) -> Finished {
    let finished = running.wait().expect("the program can be started");
    assert!(finished.success(), "{finished:?}");
    finished
}

fn std_output(path: &Path) {
    let output = Command::new(path).stdin(Stdio::null()).output();
    let output = output.expect("the program can be started");
    assert!(output.status.success(), "{output:?}");
}
