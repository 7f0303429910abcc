//! What a caller of the launcher relies on, shown with real processes on every backend.

#![cfg(target_os = "linux")]
#![expect(
    clippy::unwrap_used,
    reason = "in a test, a failure of a step is the failure of the test"
)]

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, BufReader};
use std::num::NonZeroUsize;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aqe_runner::launcher::{
    Backend, Capture, Environment, Exit, Finished, Launch, LaunchError, Launcher, LauncherConfig,
    OutputMode, Program, ProgramError, StopMode,
};

/// Runs each test once per backend.
macro_rules! on_every_backend {
    ($($test:ident)*) => {
        mod clone { $(#[test] fn $test() { super::$test(super::Backend::Clone) })* }
        mod posix_spawn { $(#[test] fn $test() { super::$test(super::Backend::PosixSpawn) })* }
        mod threads { $(#[test] fn $test() { super::$test(super::Backend::Threads) })* }
    };
}

on_every_backend! {
    exit_codes_and_signals_are_told_apart
    both_streams_are_captured_apart
    arguments_variables_and_directory_arrive
    the_process_starts_clean
    no_descriptor_of_the_launcher_arrives
    output_that_is_no_text_arrives_as_it_is
    a_full_pipe_blocks_nobody
    a_hundred_megabytes_are_spilled_counted_and_bounded
    an_unusable_spill_folder_costs_output_but_not_the_verdict
    the_tap_sees_everything_in_order
    a_panicking_tap_is_not_called_again
    a_start_is_told_when_the_process_exists
    inherited_output_is_not_captured
    a_timeout_ends_the_group_politely
    a_group_that_ignores_sigterm_is_killed_after_the_grace_time
    without_grace_a_timeout_kills_at_once
    dropping_the_future_ends_the_group
    stop_now_cuts_a_long_grace_short
    stop_all_spares_what_is_launched_later
    a_test_that_kills_its_group_hurts_nobody_else
    a_child_that_holds_the_output_is_a_leak_and_is_killed
    a_child_that_holds_nothing_is_killed_as_well
    output_within_the_leak_timeout_is_no_leak
    a_leader_that_closes_its_output_is_still_waited_for
    output_closed_long_before_the_end_is_told
    a_missing_program_is_named
    a_program_without_permission_is_named
    a_file_that_is_no_program_is_named
    a_program_that_is_busy_for_a_moment_is_tried_again
    a_program_that_stays_busy_is_an_error
    a_missing_directory_is_named
    a_zero_byte_is_refused_by_the_future
    no_more_than_max_running_run
    waiting_launches_start_in_order
    a_waiting_launch_can_be_taken_back
    suspended_time_does_not_count
    results_come_after_the_last_handle_is_gone
    a_thousand_launches_at_once
}

/// Longer than any test takes; what waits so long has failed.
const LONG: Duration = Duration::from_secs(60);

fn launcher(backend: Backend) -> Launcher {
    Launcher::start(&LauncherConfig::default().backend(backend)).unwrap()
}

fn narrow(backend: Backend, max_running: usize) -> Launcher {
    let config = LauncherConfig::default().max_running(NonZeroUsize::new(max_running));
    Launcher::start(&config.backend(backend)).unwrap()
}

/// A shell script as a launch that cannot hang the suite.
fn shell(script: &str) -> Launch {
    let program = Program::builder("/bin/sh")
        .args(["-c", script, "sh"])
        .build()
        .unwrap();
    Launch::new(&program).timeout(LONG)
}

fn run(backend: Backend, script: &str) -> Finished {
    launcher(backend).launch(shell(script)).wait().unwrap()
}

fn stdout(finished: &Finished) -> String {
    String::from_utf8(finished.stdout.read_head(usize::MAX).unwrap()).unwrap()
}

fn stderr(finished: &Finished) -> String {
    String::from_utf8(finished.stderr.read_head(usize::MAX).unwrap()).unwrap()
}

fn signal(number: i32) -> Exit {
    Exit::Signal {
        number,
        core_dumped: false,
    }
}

/// Waits for a future on this thread.
fn wait_for<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap()
        .block_on(future)
}

/// A named pipe: a process tells through it that it has come somewhere, and by its end that all who held it are gone.
struct Pipe {
    _folder: tempfile::TempDir,
    path: PathBuf,
}

impl Pipe {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pipe");
        let status = std::process::Command::new("mkfifo")
            .arg(&path)
            .status()
            .unwrap();
        assert!(status.success());
        Self {
            _folder: folder,
            path,
        }
    }

    /// A script that holds this pipe as descriptor 3.
    fn shell(&self, script: &str) -> Launch {
        shell(&format!("exec 3>\"$1\"; {script}")).arg(&self.path)
    }

    /// Waits for the process to open the pipe.
    fn reader(&self) -> BufReader<File> {
        BufReader::new(File::open(&self.path).unwrap())
    }

    /// Lets a process go on that reads this pipe; waits until it does.
    fn go(&self) {
        fs::write(&self.path, "go\n").unwrap();
    }
}

#[track_caller]
fn expect_line(reader: &mut impl io::BufRead, expected: &str) {
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    assert_eq!(line.trim_end(), expected);
}

fn wait_until_all_are_gone(mut reader: impl io::Read) {
    reader.read_to_end(&mut Vec::new()).unwrap();
}

fn exit_codes_and_signals_are_told_apart(backend: Backend) {
    let finished = run(backend, "exit 0");
    assert!(finished.success() && finished.exit == Exit::Code(0));
    assert!(finished.leaked.is_none() && !finished.stdout_closed_early && !finished.stopped);
    assert_eq!(run(backend, "exit 101").exit, Exit::Code(101));
    assert_eq!(run(backend, "kill -USR1 $$").exit, signal(libc::SIGUSR1));
    let finished = run(backend, "ulimit -c 0; kill -ABRT $$");
    assert_eq!(finished.exit, signal(libc::SIGABRT));
    assert!(!finished.success());
}

fn both_streams_are_captured_apart(backend: Backend) {
    let finished = run(backend, "echo out; echo err >&2; echo more");
    assert_eq!(stdout(&finished), "out\nmore\n");
    assert_eq!(stderr(&finished), "err\n");
    assert!(finished.wall > Duration::ZERO && finished.wall < LONG);
    assert!(finished.usage.max_rss_bytes > 0);
    let quiet = run(backend, "exit 0");
    assert!(quiet.stdout.is_empty() && quiet.stderr.is_empty());
}

fn arguments_variables_and_directory_arrive(backend: Backend) {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().canonicalize().unwrap();
    let shared = ["A", "B", "C", "D"].map(|name| (name, "shared"));
    let program = Program::builder("/bin/sh")
        .args([
            "-c",
            r#"echo "$#:$1:$2:$A:$B:$C:${D-gone}"; pwd"#,
            "sh",
            "first",
        ])
        .environment(&Environment::from_pairs(shared).unwrap())
        .env("B", "own")
        .env("C", "own")
        .env_remove("D")
        .directory(&folder)
        .build()
        .unwrap();
    let launcher = launcher(backend);
    let launch = Launch::new(&program)
        .arg("second and last")
        .env("C", "launch");
    let finished = launcher.launch(launch).wait().unwrap();
    let expected = format!(
        "2:first:second and last:shared:own:launch:gone\n{}\n",
        folder.display()
    );
    assert_eq!(stdout(&finished), expected);
    // Nothing of one launch stays in the program.
    let finished = launcher.launch(Launch::new(&program)).wait().unwrap();
    assert_eq!(
        stdout(&finished).lines().next(),
        Some("1:first::shared:own:own:gone")
    );
}

fn the_process_starts_clean(backend: Backend) {
    // Not through a shell, which may set signals right by itself.
    let status = Program::builder("/bin/cat")
        .arg("/proc/self/status")
        .build()
        .unwrap();
    let status = stdout(
        &launcher(backend)
            .launch(Launch::new(&status))
            .wait()
            .unwrap(),
    );
    let signals = |field: &str| {
        let (_, mask) = status
            .lines()
            .filter_map(|line| line.split_once('\t'))
            .find(|(name, _)| *name == field)?;
        u64::from_str_radix(mask, 16).ok()
    };
    assert_eq!(signals("SigBlk:"), Some(0));
    assert_eq!(
        signals("SigIgn:").unwrap() & 1 << (libc::SIGPIPE - 1),
        0,
        "SIGPIPE is ignored"
    );

    let script = "readlink /proc/self/fd/0; cut -d' ' -f5 /proc/$$/stat; echo $$";
    let text = stdout(&run(backend, script));
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines[0], "/dev/null");
    assert_eq!(lines[1], lines[2], "the process leads its own group");
}

fn no_descriptor_of_the_launcher_arrives(backend: Backend) {
    let launcher = launcher(backend);
    // Something runs beside it, whose pipes must not be passed on either.
    let gate = Pipe::new();
    let other = launcher.launch(shell("read line <\"$1\"").arg(&gate.path));
    let list = Program::builder("/bin/ls")
        .arg("/proc/self/fd")
        .build()
        .unwrap();
    let listed = launcher.launch(Launch::new(&list)).wait().unwrap();
    // What this process itself was given without close-on-exec is passed on to any child.
    let expected = std::process::Command::new("/bin/ls")
        .arg("/proc/self/fd")
        .output()
        .unwrap();
    assert_eq!(stdout(&listed), String::from_utf8(expected.stdout).unwrap());
    gate.go();
    assert!(other.wait().unwrap().success());
}

fn output_that_is_no_text_arrives_as_it_is(backend: Backend) {
    let argument = OsStr::from_bytes(b"\xf0\x28");
    let launch = shell(r#"printf '\377\376\000\n'; printf '%s' "$1" >&2"#).arg(argument);
    let finished = launcher(backend).launch(launch).wait().unwrap();
    assert_eq!(finished.stdout.in_memory(), Some(&b"\xff\xfe\0\n"[..]));
    assert_eq!(finished.stderr.in_memory(), Some(&b"\xf0\x28"[..]));
}

fn a_full_pipe_blocks_nobody(backend: Backend) {
    let script = "head -c 1000000 /dev/zero >&2; head -c 1000000 /dev/zero; echo end";
    let finished = run(backend, script);
    assert_eq!(finished.stdout.total_bytes(), 1_000_004);
    assert_eq!(finished.stderr.total_bytes(), 1_000_000);
    assert!(finished.success());
}

fn a_hundred_megabytes_are_spilled_counted_and_bounded(backend: Backend) {
    let folder = tempfile::tempdir().unwrap();
    let capture = Capture::default()
        .memory_limit(1_000)
        .spill_limit(10_000_000)
        .spill_directory(folder.path().to_owned());
    let launch = shell("echo begin; head -c 100000000 /dev/zero; echo the end");
    let launch = launch.output(OutputMode::Capture(capture));
    let finished = launcher(backend).launch(launch).wait().unwrap();
    let output = &finished.stdout;
    assert!(finished.success());
    assert_eq!(output.total_bytes(), 100_000_014);
    assert_eq!(
        fs::metadata(output.file().unwrap()).unwrap().len(),
        10_000_000
    );
    assert_eq!(output.read_head(6).unwrap(), b"begin\n");
    assert_eq!(output.read_tail(8).unwrap(), b"the end\n");
    assert_eq!(
        output.truncated_bytes(),
        90_000_014 - output.tail().len() as u64
    );
    drop(finished);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

fn an_unusable_spill_folder_costs_output_but_not_the_verdict(backend: Backend) {
    let capture = Capture::default()
        .memory_limit(10)
        .spill_directory(PathBuf::from("/dev/null/no"));
    let launch = shell("head -c 300000 /dev/zero; exit 3").output(OutputMode::Capture(capture));
    let finished = launcher(backend).launch(launch).wait().unwrap();
    assert_eq!(finished.exit, Exit::Code(3));
    assert_eq!(finished.stdout.total_bytes(), 300_000);
    assert_eq!(finished.stdout.in_memory().unwrap().len(), 10);
    assert!(finished.stdout.spill_error().is_some());
}

fn the_tap_sees_everything_in_order(backend: Backend) {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let tap = Arc::clone(&seen);
    let capture = Capture::default().memory_limit(100).spill_directory(None);
    let launch = shell("for i in 1 2 3 4 5; do seq 20000; echo $i >&2; done")
        .output(OutputMode::Capture(capture))
        .on_stdout(move |bytes| tap.lock().unwrap().extend_from_slice(bytes));
    let finished = launcher(backend).launch(launch).wait().unwrap();
    let expected: String = (1..=20_000).map(|number| format!("{number}\n")).collect();
    assert_eq!(
        String::from_utf8(seen.lock().unwrap().clone()).unwrap(),
        expected.repeat(5)
    );
    assert_eq!(stderr(&finished), "1\n2\n3\n4\n5\n");
    assert_eq!(finished.stdout.total_bytes(), expected.len() as u64 * 5);
    assert!(!finished.tap_panicked);
}

fn a_panicking_tap_is_not_called_again(backend: Backend) {
    let calls = Arc::new(Mutex::new(0));
    let tap = Arc::clone(&calls);
    let launcher = launcher(backend);
    let launch = shell("head -c 1000000 /dev/zero").on_stdout(move |_| {
        *tap.lock().unwrap() += 1;
        // Unlike `panic!`, this prints nothing.
        std::panic::resume_unwind(Box::new("expected"));
    });
    let finished = launcher.launch(launch).wait().unwrap();
    assert!(finished.tap_panicked && finished.success());
    assert_eq!(finished.stdout.total_bytes(), 1_000_000);
    assert_eq!(Arc::strong_count(&calls), 1, "the closure is gone");
    assert!(launcher.launch(shell("exit 0")).wait().unwrap().success());
}

fn a_start_is_told_when_the_process_exists(backend: Backend) {
    let (teller, told) = std::sync::mpsc::channel();
    let tell = |name: &'static str| {
        let teller = teller.clone();
        move || teller.send(name).unwrap()
    };
    let pipe = Pipe::new();
    let launcher = narrow(backend, 1);
    let first = launcher.launch(
        pipe.shell("echo ready >&3; sleep 1000")
            .on_start(tell("first")),
    );
    expect_line(&mut pipe.reader(), "ready");
    let waiting = launcher.launch(shell("exit 0").on_start(tell("waiting")));
    let panicking = launcher.launch(shell("exit 0").on_start(|| {
        // Unlike `panic!`, this prints nothing.
        std::panic::resume_unwind(Box::new("expected"));
    }));
    // The process may be ready before it is told of.
    assert_eq!(told.recv().unwrap(), "first");
    assert!(told.try_recv().is_err());
    first.stop(StopMode::Now);
    first.wait().unwrap();
    assert!(waiting.wait().unwrap().success() && panicking.wait().unwrap().success());
    assert!(told.try_iter().eq(["waiting"]));
}

fn inherited_output_is_not_captured(backend: Backend) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("streams");
    let launch = shell(
        r#"out=$(readlink /proc/$$/fd/1); err=$(readlink /proc/$$/fd/2); echo "$out $err" >"$1""#,
    )
    .arg(&path);
    let launch = launch.output(OutputMode::Inherit);
    let finished = launcher(backend).launch(launch).wait().unwrap();
    assert!(finished.success() && finished.stdout.is_empty() && finished.leaked.is_none());
    let ours = [1, 2].map(|fd| fs::read_link(format!("/proc/self/fd/{fd}")).unwrap());
    let expected = format!("{} {}\n", ours[0].display(), ours[1].display());
    assert_eq!(fs::read_to_string(&path).unwrap(), expected);
}

fn a_timeout_ends_the_group_politely(backend: Backend) {
    let pipe = Pipe::new();
    let launch = pipe
        .shell("trap 'echo asked; exit 9' TERM; sleep 1000 & wait")
        .timeout(Duration::from_millis(300))
        .grace(LONG);
    let running = launcher(backend).launch(launch);
    let reader = pipe.reader();
    let finished = running.wait().unwrap();
    assert_eq!(finished.exit, Exit::Code(9));
    assert_eq!(stdout(&finished), "asked\n");
    assert!(finished.timed_out && !finished.stopped && !finished.success());
    assert!(finished.wall >= Duration::from_millis(300));
    wait_until_all_are_gone(reader);
}

fn a_group_that_ignores_sigterm_is_killed_after_the_grace_time(backend: Backend) {
    let pipe = Pipe::new();
    let launch = pipe
        .shell("trap '' TERM; sleep 1000 & while :; do wait; done")
        .timeout(Duration::from_millis(200))
        .grace(Duration::from_millis(100));
    let running = launcher(backend).launch(launch);
    let reader = pipe.reader();
    let finished = running.wait().unwrap();
    assert_eq!(finished.exit, signal(libc::SIGKILL));
    assert!(finished.timed_out);
    assert!(
        finished.wall >= Duration::from_millis(300),
        "{:?}",
        finished.wall
    );
    wait_until_all_are_gone(reader);
}

fn without_grace_a_timeout_kills_at_once(backend: Backend) {
    let launch = shell("trap 'exit 9' TERM; sleep 1000 & wait")
        .timeout(Duration::from_millis(100))
        .grace(Duration::ZERO);
    let finished = launcher(backend).launch(launch).wait().unwrap();
    assert_eq!(finished.exit, signal(libc::SIGKILL));
}

fn dropping_the_future_ends_the_group(backend: Backend) {
    let pipe = Pipe::new();
    let launcher = launcher(backend);
    let script = "trap 'echo asked >&3; exit' TERM; sleep 1000 & echo ready >&3; wait";
    let running = launcher.launch(pipe.shell(script));
    let mut reader = pipe.reader();
    expect_line(&mut reader, "ready");
    drop(running);
    expect_line(&mut reader, "asked");
    wait_until_all_are_gone(reader);
}

fn stop_now_cuts_a_long_grace_short(backend: Backend) {
    let pipe = Pipe::new();
    let script = "trap 'echo asked >&3' TERM; echo ready >&3; while :; do sleep 1000 & wait; done";
    let running = launcher(backend).launch(pipe.shell(script).grace(LONG));
    let mut reader = pipe.reader();
    expect_line(&mut reader, "ready");
    running.stop(StopMode::Graceful);
    expect_line(&mut reader, "asked");
    running.stop(StopMode::Now);
    let finished = running.wait().unwrap();
    assert_eq!(finished.exit, signal(libc::SIGKILL));
    assert!(finished.stopped && !finished.timed_out && !finished.success());
    wait_until_all_are_gone(reader);
}

fn stop_all_spares_what_is_launched_later(backend: Backend) {
    let launcher = launcher(backend);
    let running: Vec<_> = (0..3)
        .map(|_| launcher.launch(shell("sleep 1000")))
        .collect();
    launcher.stop_all(StopMode::Graceful);
    let later = launcher.launch(shell("exit 4"));
    for running in running {
        match running.wait() {
            Ok(finished) => {
                assert_eq!(finished.exit, signal(libc::SIGTERM));
                assert!(finished.stopped);
            }
            Err(error) => assert!(matches!(error, LaunchError::Stopped), "{error}"),
        }
    }
    assert_eq!(later.wait().unwrap().exit, Exit::Code(4));
}

fn a_test_that_kills_its_group_hurts_nobody_else(backend: Backend) {
    let pipe = Pipe::new();
    let launcher = launcher(backend);
    let other = launcher.launch(shell("read line <\"$1\"; exit 5").arg(&pipe.path));
    let finished = launcher
        .launch(shell("echo last words; kill -KILL 0"))
        .wait()
        .unwrap();
    assert_eq!(finished.exit, signal(libc::SIGKILL));
    assert_eq!(stdout(&finished), "last words\n");
    assert!(!finished.stopped);
    pipe.go();
    assert_eq!(other.wait().unwrap().exit, Exit::Code(5));
}

fn a_child_that_holds_the_output_is_a_leak_and_is_killed(backend: Backend) {
    let (pipe, gate) = (Pipe::new(), Pipe::new());
    let script = "echo before; (trap '' TERM; echo ready >&3; sleep 1000) & read line <\"$2\"";
    let launch = pipe
        .shell(script)
        .arg(&gate.path)
        .leak_timeout(Duration::from_millis(150));
    let running = launcher(backend).launch(launch);
    let mut reader = pipe.reader();
    expect_line(&mut reader, "ready");
    gate.go();
    let finished = running.wait().unwrap();
    assert!(finished.leaked.is_some_and(|leak| leak.output_held));
    assert_eq!(finished.exit, Exit::Code(0));
    assert_eq!(stdout(&finished), "before\n");
    wait_until_all_are_gone(reader);
}

fn a_child_that_holds_nothing_is_killed_as_well(backend: Backend) {
    let pipe = Pipe::new();
    let launch = pipe.shell("(trap '' TERM; exec sleep 1000 >/dev/null 2>&1) & exit 0");
    let running = launcher(backend).launch(launch);
    let reader = pipe.reader();
    assert!(running.wait().unwrap().success());
    wait_until_all_are_gone(reader);
}

fn output_within_the_leak_timeout_is_no_leak(backend: Backend) {
    // The child writes when it sees that the leader is a zombie.
    let script = "(until grep -q ') Z ' /proc/$$/stat; do :; done; echo late) & exit 0";
    let finished = launcher(backend)
        .launch(shell(script).leak_timeout(LONG))
        .wait()
        .unwrap();
    assert!(finished.leaked.is_none() && finished.success());
    assert_eq!(stdout(&finished), "late\n");
}

fn a_leader_that_closes_its_output_is_still_waited_for(backend: Backend) {
    let gate = Pipe::new();
    let launch = shell("exec >&- 2>&-; read line <\"$1\"; exit 6").arg(&gate.path);
    let running = launcher(backend).launch(launch);
    gate.go();
    assert_eq!(running.wait().unwrap().exit, Exit::Code(6));
}

fn output_closed_long_before_the_end_is_told(backend: Backend) {
    // The flag is about time that passes in the process, so some has to.
    let finished = run(backend, "echo some; exec >&-; sleep 0.3; exit 0");
    assert!(finished.stdout_closed_early && finished.success());
    assert_eq!(stdout(&finished), "some\n");
}

fn error_of(backend: Backend, path: &Path) -> LaunchError {
    let program = Program::builder(path).build().unwrap();
    launcher(backend)
        .launch(Launch::new(&program))
        .wait()
        .unwrap_err()
}

#[track_caller]
fn assert_exec_error(error: &LaunchError, wanted: &Path, code: i32) {
    let LaunchError::Exec { path, source } = error else {
        panic!("{error:?}")
    };
    assert_eq!(
        (path.as_path(), source.raw_os_error()),
        (wanted, Some(code))
    );
    assert_eq!(
        error.to_string(),
        format!("cannot execute {}", wanted.display())
    );
}

fn a_missing_program_is_named(backend: Backend) {
    let path = Path::new("/nonexistent/program");
    assert_exec_error(&error_of(backend, path), path, libc::ENOENT);
}

fn a_program_without_permission_is_named(backend: Backend) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("program");
    fs::write(&path, "#!/bin/sh\n").unwrap();
    assert_exec_error(&error_of(backend, &path), &path, libc::EACCES);
}

fn a_file_that_is_no_program_is_named(backend: Backend) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("program");
    fs::write(&path, "\x7fELF but not really").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    assert_exec_error(&error_of(backend, &path), &path, libc::ENOEXEC);
}

/// A program of its own, so that holding it open for writing disturbs nobody.
fn busy_program(folder: &Path) -> (PathBuf, File) {
    let path = folder.join("program");
    fs::copy("/bin/true", &path).unwrap();
    let writer = File::options().append(true).open(&path).unwrap();
    (path, writer)
}

fn a_program_that_is_busy_for_a_moment_is_tried_again(backend: Backend) {
    let folder = tempfile::tempdir().unwrap();
    let (path, writer) = busy_program(folder.path());
    let program = Program::builder(&path).build().unwrap();
    let launcher = launcher(backend);
    let running = launcher.launch(Launch::new(&program));
    // By the end of a launch that was made later, the first try has been made.
    launcher.launch(shell("exit 0")).wait().unwrap();
    drop(writer);
    assert!(running.wait().unwrap().success());
}

fn a_program_that_stays_busy_is_an_error(backend: Backend) {
    let folder = tempfile::tempdir().unwrap();
    let (path, _writer) = busy_program(folder.path());
    assert_exec_error(&error_of(backend, &path), &path, libc::ETXTBSY);
}

fn a_missing_directory_is_named(backend: Backend) {
    let program = Program::builder("/bin/true")
        .directory("/nonexistent")
        .build()
        .unwrap();
    let error = launcher(backend)
        .launch(Launch::new(&program))
        .wait()
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot start /bin/true in working directory /nonexistent"
    );
    let LaunchError::WorkingDirectory { source, .. } = error else {
        panic!("{error:?}")
    };
    assert_eq!(source.kind(), io::ErrorKind::NotFound);
}

fn a_zero_byte_is_refused_by_the_future(backend: Backend) {
    let error = launcher(backend)
        .launch(shell("exit 0").arg("a\0b"))
        .wait()
        .unwrap_err();
    assert!(matches!(
        error,
        LaunchError::Program(ProgramError::Nul { what: "argument" })
    ));
}

fn no_more_than_max_running_run(backend: Backend) {
    let folder = tempfile::tempdir().unwrap();
    let launcher = narrow(backend, 2);
    // Each process counts those that are in the folder beside it.
    let script = "mkdir \"$1/$$\"; ls \"$1\" | wc -l; rmdir \"$1/$$\"";
    let running: Vec<_> = (0..40)
        .map(|_| launcher.launch(shell(script).arg(folder.path())))
        .collect();
    for running in running {
        let finished = running.wait().unwrap();
        assert!(
            matches!(stdout(&finished).trim(), "1" | "2"),
            "{finished:?}"
        );
    }
}

fn waiting_launches_start_in_order(backend: Backend) {
    // One thread, since two tell apart only to a few microseconds when each of them started something.
    let config = LauncherConfig::default()
        .backend(backend)
        .threads(NonZeroUsize::new(1));
    let launcher = Launcher::start(&config.max_running(NonZeroUsize::new(2))).unwrap();
    let running: Vec<_> = (0..40).map(|_| launcher.launch(shell("exit 0"))).collect();
    let started = running
        .into_iter()
        .map(|running| running.wait().unwrap().started);
    assert!(started.is_sorted());
}

fn a_waiting_launch_can_be_taken_back(backend: Backend) {
    let pipe = Pipe::new();
    let launcher = narrow(backend, 1);
    let first = launcher.launch(pipe.shell("echo ready >&3; sleep 1000"));
    let mut reader = pipe.reader();
    expect_line(&mut reader, "ready");
    let second = launcher.launch(shell("exit 0"));
    let third = launcher.launch(shell("exit 3"));
    drop(launcher.launch(shell("exit 0")));
    second.stop(StopMode::Graceful);
    assert!(matches!(second.wait(), Err(LaunchError::Stopped)));
    assert_eq!(third.pid(), None);
    first.stop(StopMode::Now);
    first.wait().unwrap();
    assert_eq!(third.wait().unwrap().exit, Exit::Code(3));
}

fn state_of(pid: u32) -> char {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    stat.rsplit_once(") ").unwrap().1.chars().next().unwrap()
}

fn suspended_time_does_not_count(backend: Backend) {
    let pipe = Pipe::new();
    let launcher = launcher(backend);
    let timeout = Duration::from_millis(400);
    let running = launcher.launch(
        pipe.shell("echo ready >&3; exec sleep 1000")
            .timeout(timeout),
    );
    let mut reader = pipe.reader();
    expect_line(&mut reader, "ready");
    wait_for(launcher.suspend());
    let pid = running.pid().unwrap();
    while state_of(pid) != 'T' {
        std::thread::yield_now();
    }
    let waiting = launcher.launch(shell("exit 0"));
    // Another launcher is the clock: its process takes longer than the timeout.
    let clock = run(backend, "sleep 0.6");
    assert!(clock.wall > timeout);
    assert_eq!((state_of(pid), waiting.pid()), ('T', None));
    launcher.resume();
    let finished = running.wait().unwrap();
    assert!(finished.timed_out);
    assert!(
        finished.wall >= timeout && finished.wall < timeout + clock.wall,
        "{finished:?}"
    );
    assert!(waiting.wait().unwrap().success());
}

fn results_come_after_the_last_handle_is_gone(backend: Backend) {
    let gate = Pipe::new();
    let launcher = launcher(backend);
    let running = launcher.launch(shell("read line <\"$1\"; exit 8").arg(&gate.path));
    drop(launcher);
    gate.go();
    assert_eq!(running.wait().unwrap().exit, Exit::Code(8));
}

fn a_thousand_launches_at_once(backend: Backend) {
    let count = if backend == Backend::Threads {
        100
    } else {
        1_000
    };
    let launcher = narrow(backend, 8);
    let echo = Program::builder("/bin/echo").build().unwrap();
    let running: Vec<_> = (0..count)
        .map(|i| launcher.launch(Launch::new(&echo).arg(i.to_string())))
        .collect();
    let finished = wait_for(async {
        let mut finished = Vec::new();
        for running in running {
            finished.push(running.await.unwrap());
        }
        finished
    });
    for (i, finished) in finished.iter().enumerate() {
        assert!(finished.success());
        assert_eq!(stdout(finished), format!("{i}\n"));
    }
}
