//! What the launcher does to the process that embeds it: each scenario changes or exhausts something process-wide, and so
//! runs in a process of its own.

#![cfg(target_os = "linux")]
#![expect(
    clippy::unwrap_used,
    reason = "in a test, a failure of a step is the failure of the test"
)]

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read as _};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use aqe_runner::launcher::{
    Backend, Exit, Launch, LaunchError, Launcher, LauncherConfig, Program, Resource, Running,
    StartError, StopMode,
};

const BACKENDS: [Backend; 3] = [Backend::Clone, Backend::PosixSpawn, Backend::Threads];
/// Longer than any scenario takes; what waits so long has failed.
const LONG: Duration = Duration::from_secs(60);

/// Runs a scenario in a new process.
fn in_new_process(scenario: &str) {
    let output = command(scenario).output().unwrap();
    assert!(
        output.status.success(),
        "{}\n{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
}

fn command(scenario: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([
        "in_a_new_process",
        "--exact",
        "--nocapture",
        "--test-threads=1",
    ]);
    command.env(SCENARIO, scenario);
    command
}

/// Names the scenario to a new process.
const SCENARIO: &str = "AQE_TEST_SCENARIO";

/// The way into a new process: the other tests run it, with a scenario to play. Without one it has nothing to do.
#[test]
fn in_a_new_process() {
    let Ok(scenario) = std::env::var(SCENARIO) else {
        return;
    };
    match scenario.as_str() {
        "nothing_is_left" => nothing_is_left(),
        "descriptors_run_out" => descriptors_run_out(),
        "processes_run_out" => processes_run_out(),
        "daemons" => daemons(),
        "clone3_is_forbidden" => clone3_is_forbidden(),
        "pidfds_are_forbidden" => pidfds_are_forbidden(),
        "runner" => runner(),
        "enlarged_pipe" => enlarged_pipe(),
        _ => panic!("no scenario {scenario}"),
    }
}

#[test]
fn nothing_is_left_when_the_launcher_is_gone() {
    in_new_process("nothing_is_left");
}

#[test]
fn launches_wait_for_descriptors() {
    in_new_process("descriptors_run_out");
}

#[test]
fn launches_wait_for_processes() {
    in_new_process("processes_run_out");
}

#[test]
fn daemons_are_found_killed_and_reaped() {
    in_new_process("daemons");
}

#[test]
fn without_clone3_processes_are_spawned() {
    in_new_process("clone3_is_forbidden");
}

#[test]
fn without_pidfds_threads_take_over() {
    in_new_process("pidfds_are_forbidden");
}

#[test]
fn killing_the_runner_kills_running_tests() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = make_pipe(folder.path());
    let mut runner = command("runner")
        .env("PIPE", &pipe)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let mut reader = BufReader::new(File::open(&pipe).unwrap());
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    assert_eq!(line, "ready\n");
    runner.kill().unwrap();
    runner.wait().unwrap();
    // The end of the pipe: the process that held it is gone.
    reader.read_to_end(&mut Vec::new()).unwrap();
}

#[test]
fn output_left_in_an_enlarged_pipe_is_read_to_the_end() {
    for backend in BACKENDS {
        let program = Program::builder(std::env::current_exe().unwrap())
            .args(["in_a_new_process", "--exact", "--nocapture"])
            .env(SCENARIO, "enlarged_pipe")
            .build()
            .unwrap();
        let launcher = start(&LauncherConfig::default().backend(backend));
        let finished = launcher.launch(Launch::new(&program)).wait().unwrap();
        assert_eq!(finished.exit, Exit::Code(0));
        assert!(
            finished.stdout.total_bytes() >= 500_000,
            "{:?}",
            finished.stdout
        );
    }
}

#[test]
fn a_backend_that_cannot_adopt_orphans_says_so() {
    let config = LauncherConfig::default()
        .backend(Backend::Threads)
        .subreaper(true);
    let error = Launcher::start(&config).unwrap_err();
    assert!(matches!(
        error,
        StartError::Unsupported {
            subreaper: true,
            ..
        }
    ));
    assert_eq!(
        error.to_string(),
        "the launcher backend Threads with subreaper does not exist on this platform; \
         leave the choice to Backend::Auto"
    );
}

fn make_pipe(folder: &Path) -> PathBuf {
    let path = folder.join("pipe");
    assert!(
        Command::new("mkfifo")
            .arg(&path)
            .status()
            .unwrap()
            .success()
    );
    path
}

fn start(config: &LauncherConfig) -> Launcher {
    Launcher::start(config).unwrap()
}

fn shell(script: &str) -> Launch {
    let program = Program::builder("/bin/sh")
        .args(["-c", script, "sh"])
        .build()
        .unwrap();
    Launch::new(&program).timeout(LONG)
}

fn open_descriptors() -> usize {
    fs::read_dir("/proc/self/fd").unwrap().count()
}

/// Whether this process has children, zombies included.
fn has_children() -> bool {
    let mut info = std::mem::MaybeUninit::<libc::siginfo_t>::zeroed();
    // SAFETY: `info` is writable memory of the type that the call fills.
    let result = unsafe {
        libc::waitid(
            libc::P_ALL,
            0,
            info.as_mut_ptr(),
            libc::WEXITED | libc::WNOHANG | libc::WNOWAIT,
        )
    };
    result == 0
}

/// Waits, without sleeping, for something that another thread is about to do.
#[track_caller]
fn eventually(condition: impl Fn() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < LONG, "waited for a minute");
        std::thread::yield_now();
    }
}

/// Sets a limit of this process, in a way that can be changed again.
fn limit(resource: libc::__rlimit_resource_t, value: u64) {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: `limit` is a valid structure of the type that the calls fill and read.
    unsafe {
        assert_eq!(libc::getrlimit(resource, &raw mut limit), 0);
        limit.rlim_cur = value;
        assert_eq!(libc::setrlimit(resource, &raw const limit), 0);
    }
}

/// Makes the kernel refuse one system call to this process and its children, as a container may.
fn forbid(call: libc::c_long, code: i32) {
    /// Where the number of the call is in the data that a filter sees.
    const NUMBER: u32 = 0;
    let step = |code: u32, k: u32, jump_false: u8| libc::sock_filter {
        code: u16::try_from(code).unwrap(),
        jt: 0,
        jf: jump_false,
        k,
    };
    let mut filter = [
        step(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, NUMBER, 0),
        step(
            libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K,
            u32::try_from(call).unwrap(),
            1,
        ),
        step(
            libc::BPF_RET | libc::BPF_K,
            libc::SECCOMP_RET_ERRNO | code.unsigned_abs(),
            0,
        ),
        step(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ALLOW, 0),
    ];
    let program = libc::sock_fprog {
        len: 4,
        filter: filter.as_mut_ptr(),
    };
    // SAFETY: `program` describes `filter`, which outlives the calls.
    unsafe {
        assert_eq!(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
        // For all threads: the harness has started this one.
        let flags = libc::SECCOMP_FILTER_FLAG_TSYNC;
        let result = libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            flags,
            &raw const program,
        );
        assert_eq!(result, 0);
    }
}

fn nothing_is_left() {
    let threads = || fs::read_dir("/proc/self/task").unwrap().count();
    // Opens what is opened once per process.
    drop(
        start(&LauncherConfig::default())
            .launch(shell("exit 0"))
            .wait(),
    );
    for backend in BACKENDS {
        let (descriptors_before, threads_before) = (open_descriptors(), threads());
        let launcher = start(&LauncherConfig::default().backend(backend));
        let running: Vec<Running> = [
            "exit 0",
            "exec >&- 2>&-; exit 1",
            "sleep 1000 & exit 0",
            "sleep 1000 >/dev/null 2>&1 & exit 0",
            "head -c 1000000 /dev/zero",
            "kill -KILL 0",
            "trap '' TERM; sleep 1000",
            "sleep 1000",
        ]
        .iter()
        .flat_map(|script| (0..5).map(|_| shell(script)))
        .map(|launch| {
            launcher.launch(
                launch
                    .timeout(Duration::from_millis(500))
                    .grace(Duration::ZERO),
            )
        })
        .collect();
        let missing = Program::builder("/nonexistent").build().unwrap();
        assert!(launcher.launch(Launch::new(&missing)).wait().is_err());
        // Dropped while it runs.
        drop(launcher.launch(shell("sleep 1000")));
        drop(launcher);
        for running in running {
            running.wait().unwrap();
        }
        eventually(|| !has_children());
        eventually(|| threads() <= threads_before);
        eventually(|| open_descriptors() <= descriptors_before);
    }
}

fn descriptors_run_out() {
    for backend in [Backend::Clone, Backend::PosixSpawn] {
        let config = LauncherConfig::default()
            .backend(backend)
            .threads(NonZeroUsize::new(2));
        let launcher = start(&config);
        // The highest number in use decides, since new ones fill the gaps first.
        let spare = File::open("/dev/null").unwrap();
        limit(
            libc::RLIMIT_NOFILE,
            std::os::fd::AsRawFd::as_raw_fd(&spare) as u64 + 20,
        );
        let running: Vec<_> = (0..50)
            .map(|_| launcher.launch(shell("echo text")))
            .collect();
        for running in running {
            let finished = running.wait().unwrap();
            assert_eq!(finished.stdout.in_memory(), Some(&b"text\n"[..]));
        }
        let mut fill = Vec::new();
        while let Ok(file) = File::open("/dev/null") {
            fill.push(file);
        }
        let error = launcher.launch(shell("exit 0")).wait().unwrap_err();
        drop(fill);
        assert!(matches!(
            error,
            LaunchError::Exhausted {
                resource: Resource::OpenFiles,
                ..
            }
        ));
        let text = error.to_string();
        assert!(
            text.starts_with("cannot start /bin/sh: out of open files; `ulimit -n` is "),
            "{text}"
        );
        assert!(launcher.launch(shell("exit 0")).wait().unwrap().success());
        drop((launcher, spare));
        eventually(|| !has_children());
    }
}

fn processes_run_out() {
    // A user that nobody else is; the superuser has no such limit.
    const NOBODY_ELSE: libc::uid_t = 64_321;
    // SAFETY: passes an integer.
    if unsafe { libc::setuid(NOBODY_ELSE) } != 0 {
        eprintln!("not the superuser: the limit of this user would count its other processes");
        return;
    }
    let launcher = start(&LauncherConfig::default().threads(NonZeroUsize::new(2)));
    eventually(|| fs::read_dir("/proc/self/task").unwrap().count() >= 4);
    let threads = fs::read_dir("/proc/self/task").unwrap().count() as u64;
    limit(libc::RLIMIT_NPROC, threads + 2);
    let running: Vec<_> = (0..50).map(|_| launcher.launch(shell("exit 3"))).collect();
    for running in running {
        assert_eq!(running.wait().unwrap().exit, Exit::Code(3));
    }
    limit(libc::RLIMIT_NPROC, 1);
    let error = launcher.launch(shell("exit 0")).wait().unwrap_err();
    assert!(matches!(
        error,
        LaunchError::Exhausted {
            resource: Resource::Processes,
            ..
        }
    ));
    assert!(error.to_string().contains("`ulimit -u` is 1, "), "{error}");
    // A leak checker, where there is one, starts a process at the end.
    limit(libc::RLIMIT_NPROC, threads + 10);
}

fn daemons() {
    let folder = tempfile::tempdir().unwrap();
    let (ours, theirs) = (folder.path().join("ours"), folder.path().join("theirs"));
    fs::create_dir_all(&ours).unwrap();
    fs::create_dir_all(&theirs).unwrap();
    let (pipe, gate) = (make_pipe(&ours), make_pipe(&theirs));
    // A child of the embedding program, in a session of its own as a daemon would be.
    let mut own: Child = Command::new("setsid")
        .arg("cat")
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    for backend in [Backend::Clone, Backend::PosixSpawn] {
        let launcher = start(&LauncherConfig::default().backend(backend).subreaper(true));
        // A daemon with a child, in another session, holding nothing of ours but the pipe.
        let daemon = "(setsid sh -c 'exec 3>\"$1\" >/dev/null 2>&1; sleep 1000 & echo up >&3; wait' sh \"$1\" &) ; \
                      read line <\"$2\"; exit 0";
        let running = launcher.launch(shell(daemon).arg(&pipe).arg(&gate));
        let mut reader = File::open(&pipe).unwrap();
        // From here on the daemon's child is there too.
        let mut up = [0; 3];
        reader.read_exact(&mut up).unwrap();
        // The end of another launch does not touch the daemon of one that runs.
        let other = launcher.launch(shell("exit 0")).wait().unwrap();
        assert!(other.leaked.is_none());
        fs::write(&gate, "go\n").unwrap();
        let finished = running.wait().unwrap();
        assert_eq!(finished.exit, Exit::Code(0));
        assert!(
            finished
                .leaked
                .is_some_and(|leak| leak.orphans == 2 && !leak.output_held),
            "{finished:?}"
        );
        reader.read_to_end(&mut Vec::new()).unwrap();

        // What stays in the group is found as well.
        let finished = launcher
            .launch(shell("sleep 1000 >/dev/null 2>&1 & exit 0"))
            .wait()
            .unwrap();
        assert!(
            finished.leaked.is_some_and(|leak| leak.orphans == 1),
            "{finished:?}"
        );
        // Whoever has ended by itself is none.
        let finished = launcher.launch(shell("true & exit 0")).wait().unwrap();
        assert!(finished.leaked.is_none_or(|leak| leak.orphans <= 1));
    }
    assert!(
        own.try_wait().unwrap().is_none(),
        "the program's own child was killed"
    );
    drop(own.stdin.take());
    assert!(own.wait().unwrap().success());
    eventually(|| !has_children());
}

fn clone3_is_forbidden() {
    forbid(libc::SYS_clone3, libc::ENOSYS);
    let launcher = start(&LauncherConfig::default());
    for _ in 0..3 {
        let finished = launcher.launch(shell("echo text; exit 5")).wait().unwrap();
        assert_eq!(finished.exit, Exit::Code(5));
        assert_eq!(finished.stdout.in_memory(), Some(&b"text\n"[..]));
    }
}

fn pidfds_are_forbidden() {
    forbid(libc::SYS_pidfd_open, libc::EPERM);
    assert!(Launcher::start(&LauncherConfig::default().backend(Backend::Clone)).is_err());
    let launcher = start(&LauncherConfig::default());
    let finished = launcher.launch(shell("echo text; exit 5")).wait().unwrap();
    assert_eq!(finished.exit, Exit::Code(5));
    let running = launcher.launch(shell("sleep 1000"));
    running.stop(StopMode::Now);
    let stopped = running.wait();
    assert!(stopped.is_err() || stopped.is_ok_and(|finished| finished.stopped));
}

fn runner() {
    let launcher = start(&LauncherConfig::default().backend(Backend::Clone));
    let pipe = std::env::var_os("PIPE").unwrap();
    // `exec`: only leaders go with the runner, not their children.
    let launch = shell("exec 3>\"$1\"; echo ready >&3; exec sleep 1000").arg(pipe);
    launcher.launch(launch.timeout(None)).wait().unwrap();
}

fn enlarged_pipe() {
    let text = [b'x'; 500_000];
    // SAFETY: changes a property of our standard output, then writes memory that lives as long as the calls.
    unsafe {
        assert!(libc::fcntl(1, libc::F_SETPIPE_SZ, 1 << 20) >= 1 << 20);
        assert_eq!(libc::write(1, text.as_ptr().cast(), text.len()), 500_000);
        // Before anybody has looked at the pipe.
        libc::_exit(0);
    }
}
