//! `aqe run` on a real project with tests that go wrong in every way.

#![expect(clippy::unwrap_used, reason = "helpers of tests may fail the test")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use serde_json::Value;
use tempfile::TempDir;

mod support;
use support::{Ran, aqe};

const MANIFEST: &str = "[workspace]\nmembers = [\"suite\", \"mute\", \"wrong\"]\ndefault-members = [\"suite\"]\nresolver = \"3\"\n";

/// Tests of one library and one integration test. What lasts for ever ends with the process.
const LIBRARY: &str = r#"
//! ```
//! assert_eq!(suite::two(), 2);
//! ```
pub fn two() -> u32 { 2 }

#[cfg(test)]
mod tests {
    #[test] fn passes() { println!("nobody sees this"); assert_eq!(super::two(), 2); }
    #[test] #[ignore = "needs a printer"] fn later() { panic!("asked for") }
}
"#;

const TESTS: &str = r#"
use std::io::Write;

#[test] fn fails() {
    println!("seen once: \u{1b}[2J\u{1b}[31mred\u{1b}[0m");
    panic!("the sum is wrong");
}
#[test] fn not_text() {
    std::io::stdout().write_all(b"bytes \xff\xfe end\n").unwrap();
    panic!("not text");
}
#[test] fn exits_early() { std::process::exit(0) }
#[test] fn aborts() { std::process::abort() }
#[test] fn hangs() { loop { std::thread::park() } }
/// Passes at the third time. With batches the first time is in one, and the second the first that counts.
#[test] fn shaky() {
    let file = std::path::Path::new(&std::env::var_os("STATE").unwrap()).join("shaky");
    let count = std::fs::read_to_string(&file).map_or(0, |text| text.len());
    std::fs::write(&file, "x".repeat(count + 1)).unwrap();
    assert!(count >= 2, "not yet");
}
/// Tells through the pipe in `STATE` that it runs, and then that it was asked to end, which it does not.
#[cfg(unix)]
#[test] fn stubborn() {
    use std::os::fd::IntoRawFd;
    use std::sync::atomic::{AtomicI32, Ordering};
    unsafe extern "C" {
        fn signal(number: i32, handler: extern "C" fn(i32)) -> usize;
        fn write(file: i32, bytes: *const u8, count: usize) -> isize;
    }
    static PIPE: AtomicI32 = AtomicI32::new(-1);
    extern "C" fn asked(_: i32) {
        unsafe { write(PIPE.load(Ordering::Relaxed), b"t".as_ptr(), 1) };
    }
    let pipe = std::path::Path::new(&std::env::var_os("STATE").unwrap()).join("pipe");
    PIPE.store(std::fs::OpenOptions::new().write(true).open(pipe).unwrap().into_raw_fd(), Ordering::Relaxed);
    unsafe {
        signal(15, asked);
        write(PIPE.load(Ordering::Relaxed), b"r".as_ptr(), 1);
    }
    loop { std::thread::park() }
}
#[cfg(unix)]
#[test] fn leaks() {
    std::process::Command::new("sleep").arg("600").spawn().unwrap();
}
"#;

/// Says nothing about its tests and ends with an error when it is asked.
const MUTE: &str = "fn main() { eprintln!(\"no display\"); std::process::exit(3) }\n";

/// The project, in cargo's own folder for such things, so that the next run of these tests finds it compiled.
static PROJECT: LazyLock<PathBuf> = LazyLock::new(|| {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("run-project");
    let write = |file: &str, text: &str| {
        let path = folder.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        // An unchanged file keeps its time, which cargo looks at.
        if fs::read_to_string(&path).is_ok_and(|old| old == text) {
            return;
        }
        fs::write(path, text).unwrap();
    };
    let package = |name: &str, more: &str, files: &[(&str, &str)]| {
        let head =
            format!("[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2024\"\n");
        write(&format!("{name}/Cargo.toml"), &(head + more));
        for (file, text) in files {
            write(&format!("{name}/{file}"), text);
        }
    };
    // The search for settings ends here.
    fs::create_dir_all(folder.join(".git")).unwrap();
    write("Cargo.toml", MANIFEST);
    // One run at a time measures a project, and these go on beside each other.
    write("qe.config.yaml", "monitoring:\n  enabled: false\n");
    package(
        "suite",
        "",
        &[("src/lib.rs", LIBRARY), ("tests/all.rs", TESTS)],
    );
    let mute = "[[test]]\nname = \"list\"\nharness = false\n";
    package(
        "mute",
        mute,
        &[
            ("src/lib.rs", "#[test] fn fine() {}\n"),
            ("tests/list.rs", MUTE),
        ],
    );
    package(
        "wrong",
        "",
        &[("src/lib.rs", "fn wrong() -> u32 { \"text\" }\n")],
    );
    folder
});

/// `aqe run` with these words, in the project; tests find the folder `state` in `STATE`.
fn command(state: &Path, words: &str) -> Command {
    let mut command = aqe(&PROJECT);
    command
        .env("CARGO_TARGET_DIR", PROJECT.join("target"))
        .env("CARGO_NET_OFFLINE", "true")
        .env("STATE", state)
        .env_remove("RUST_BACKTRACE")
        .arg("run")
        .args(words.split_whitespace());
    command
}

fn run(words: &str) -> Ran {
    let state = tempfile::tempdir().unwrap();
    command(state.path(), words).output().unwrap().into()
}

fn events(text: &str) -> Vec<Value> {
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// The status of every test that has a verdict.
fn verdicts(events: &[Value]) -> BTreeMap<String, String> {
    let finished = events
        .iter()
        .filter(|event| event["event"] == "test-finished");
    finished
        .map(|event| {
            let text = |value: &Value| value.as_str().unwrap().to_owned();
            (text(&event["test"]), text(&event["verdict"]["status"]))
        })
        .collect()
}

const EVERYTHING: &str = "--skip hangs --skip stubborn --retries 2 --timeout 60s";

fn expected() -> BTreeMap<String, String> {
    let table = [
        ("tests::passes", "passed"),
        ("tests::later", "ignored"),
        ("fails", "failed"),
        ("not_text", "failed"),
        ("exits_early", "failed"),
        ("aborts", "failed"),
        ("shaky", "flaky"),
        #[cfg(unix)]
        ("leaks", "leaked"),
    ];
    table
        .map(|(name, status)| (name.to_owned(), status.to_owned()))
        .into()
}

#[test]
fn both_isolations_judge_alike_and_report_alike() {
    for isolation in ["process", "batch"] {
        let state = tempfile::tempdir().unwrap();
        let junit = state.path().join("junit.xml");
        let mut command = command(
            state.path(),
            &format!("{EVERYTHING} --isolation {isolation} --json --junit"),
        );
        let ran = Ran::from(command.arg(&junit).output().unwrap());
        assert_eq!(ran.code, 1, "{isolation}: {}", ran.stderr);
        let events = events(&ran.stdout);
        assert_eq!(verdicts(&events), expected(), "{isolation}");
        assert_eq!(events[0]["event"], "run-started");
        assert_eq!(events[0]["isolation"], isolation);
        let last = events.last().unwrap();
        assert_eq!(last["event"], "run-finished");
        assert_eq!(
            (
                last["counts"]["failed"].as_u64(),
                last["counts"]["flaky"].as_u64()
            ),
            (Some(4), Some(1))
        );
        let journal = fs::read_to_string(events[0]["journal"].as_str().unwrap()).unwrap();
        assert_eq!(
            journal.matches("\"kind\":\"verdict\"").count(),
            expected().len(),
            "{isolation}"
        );
        let junit = fs::read_to_string(junit).unwrap();
        assert_eq!(
            junit.matches("<testcase ").count(),
            expected().len(),
            "{junit}"
        );
        assert!(junit.contains("<flakyFailure"), "{junit}");
    }
}

#[test]
fn plain_output_has_each_failure_once_and_a_summary() {
    for isolation in ["process", "batch"] {
        let ran = run(&format!("{EVERYTHING} --isolation {isolation}"));
        assert_eq!(ran.code, 1, "{}", ran.stderr);
        let count = |text: &str| ran.stdout.matches(text).count();
        let shown = || format!("{isolation}: {}", ran.stdout);
        assert!(ran.stdout.contains("suite tests::passes\n"), "{}", shown());
        assert_eq!(count("nobody sees this"), 0, "{}", shown());
        assert_eq!(count("seen once: ␛[2Jred"), 1, "{}", shown());
        assert_eq!(count("bytes \u{fffd}\u{fffd} end"), 1, "{}", shown());
        assert_eq!(
            count("exited with code 0 before the harness reported a result"),
            4,
            "{}",
            shown()
        );
        assert_eq!(count("    FLAKY suite::all shaky\n"), 1, "{}", shown());
        assert_eq!(count("aqe run --skip"), 0, "{}", shown());
        assert_eq!(
            count("aqe run -p suite --test all --exact fails\n"),
            1,
            "{}",
            shown()
        );
        assert!(
            ran.stdout.contains(" 4 failed; 1 ignored in "),
            "{}",
            shown()
        );
        assert!(
            !ran.stdout.contains('\x1b'),
            "no colours without a terminal"
        );
        assert!(
            ran.stdout.lines().last().unwrap().starts_with("journal: "),
            "{}",
            shown()
        );
    }
}

#[test]
fn the_command_that_is_told_runs_the_failed_test_again() {
    let ran = run("fails --include-ignored");
    let again = ran
        .stdout
        .lines()
        .find_map(|line| line.trim().strip_prefix("aqe run "))
        .unwrap();
    let ran = run(&format!("{again} --json"));
    assert_eq!(ran.code, 1, "{}", ran.stderr);
    assert_eq!(
        verdicts(&events(&ran.stdout)),
        BTreeMap::from([("fails".to_owned(), "failed".to_owned())])
    );
}

#[test]
fn a_test_that_hangs_is_ended_in_time() {
    for isolation in ["process", "batch"] {
        let ran = run(&format!(
            "hangs passes --timeout 700ms --isolation {isolation} --set run.gracePeriod=100ms"
        ));
        assert_eq!(ran.code, 1, "{}", ran.stderr);
        assert!(
            ran.stdout.contains("still running after 700ms, and killed"),
            "{}",
            ran.stdout
        );
        assert!(
            ran.stdout
                .contains("2 tests run: 1 passed, 1 failed (1 timed out) in "),
            "{}",
            ran.stdout
        );
    }
}

#[test]
fn fail_fast_says_how_much_was_left_out() {
    let ran = run("--fail-fast --jobs 1 fails aborts exits_early not_text");
    assert_eq!(ran.code, 1, "{}", ran.stderr);
    let left = "\n3 of 4 tests have no result: the run was to end with the first failure\n";
    assert!(ran.stdout.contains(left), "{}", ran.stdout);
    assert!(
        ran.stderr.contains("stopping after the first failure"),
        "{}",
        ran.stderr
    );
    let ran = run("--fail-fast --no-fail-fast --jobs 1 fails aborts");
    assert!(
        ran.stdout.contains("\n2 tests run: 0 passed, 2 failed in "),
        "{}",
        ran.stdout
    );
}

#[test]
fn exit_codes_are_those_of_the_help() {
    for (words, code, said) in [
        ("passes", 0, ""),
        ("--ignored", 1, ""),
        ("nowhere", 4, "error: no test to run for `nowhere`, out of "),
        (
            "--exact later",
            4,
            "for `later` (--exact compares whole names)",
        ),
        (
            "later",
            4,
            "hint: 1 test with that name, marked #[ignore]: add --include-ignored",
        ),
        ("-p wrong", 3, "mismatched types"),
        ("-p nobody", 3, "nobody"),
        (
            "-p mute",
            5,
            "cannot list the tests of mute::list: it ended with exit code 3\n  | no display\n",
        ),
        ("-p mute nowhere", 5, "the tests of 1 binary were not run"),
        (
            "passes --junit suite",
            5,
            "error: there is no JUnit report: ",
        ),
    ] {
        let ran = run(words);
        assert_eq!(ran.code, code, "{words}: {}\n{}", ran.stdout, ran.stderr);
        assert!(ran.stderr.contains(said), "{words}: {}", ran.stderr);
    }
    let ran = run("-p mute");
    assert!(
        ran.stdout.contains("mute fine\n") && ran.stdout.contains("1 passed"),
        "{}",
        ran.stdout
    );
}

#[test]
fn documentation_tests_go_through_cargo() {
    let ran = run("--doc");
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(
        ran.stdout.contains("test result: ok. 1 passed"),
        "{}",
        ran.stdout
    );
    let ran = run("--doc nowhere");
    assert!(ran.stdout.contains("1 filtered out"), "{}", ran.stdout);
}

#[test]
fn uncaptured_output_comes_through() {
    let ran = run("passes --no-capture");
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(ran.stdout.contains("nobody sees this\n"), "{}", ran.stdout);
}

#[test]
fn a_live_view_leaves_nothing_but_results() {
    let ran = run("passes fails --progress live");
    assert_eq!(ran.code, 1, "{}", ran.stderr);
    assert!(
        ran.stdout.contains("FAIL") && !ran.stdout.contains("PASS"),
        "{}",
        ran.stdout
    );
    assert!(!ran.stdout.contains('\x1b'), "{}", ran.stdout);
    // The block is on the other stream, and gone at the end.
    let shows = ran.stderr.matches("\x1b[?25h").count();
    assert_eq!(
        (ran.stderr.matches("\x1b[?25l").count(), shows),
        (1, 1),
        "{:?}",
        ran.stderr
    );
    assert!(ran.stderr.contains("/2"), "{:?}", ran.stderr);
}

#[cfg(unix)]
mod unix {
    use std::io::{BufRead, BufReader, Read};
    use std::os::fd::{FromRawFd, OwnedFd};
    use std::os::unix::process::ExitStatusExt;
    use std::process::{Child, ChildStdout, Stdio};
    use std::ptr;

    use super::*;

    /// A run that a failed assertion here must not leave behind.
    struct Running(Child);

    impl Drop for Running {
        fn drop(&mut self) {
            if self.0.try_wait().is_ok_and(|status| status.is_none()) {
                send(&self.0, libc::SIGTERM);
                let _ = self.0.wait();
            }
        }
    }

    /// A run that hangs, and whose test was started.
    fn hanging(words: &str) -> (Running, BufReader<ChildStdout>, TempDir) {
        let state = tempfile::tempdir().unwrap();
        let mut command = command(
            state.path(),
            &format!("hangs --json --set run.gracePeriod=100ms {words}"),
        );
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        while !line.contains("attempt-started") {
            line.clear();
            assert!(
                stdout.read_line(&mut line).unwrap() > 0,
                "the run ended before its test began"
            );
        }
        (Running(child), stdout, state)
    }

    fn send(child: &Child, signal: i32) {
        // SAFETY: the child was not waited for, so that its number is still its own.
        assert_eq!(unsafe { libc::kill(child.id().cast_signed(), signal) }, 0);
    }

    #[test]
    fn a_signal_ends_the_run_in_order() {
        for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
            let (mut child, stdout, _state) = hanging("");
            send(&child.0, signal);
            let rest: Vec<String> = stdout.lines().map(Result::unwrap).collect();
            let last: Value = serde_json::from_str(rest.last().unwrap()).unwrap();
            assert_eq!(last["event"], "run-finished");
            assert_eq!(last["stopped"]["reason"], "signal");
            assert_eq!(last["counts"]["cancelled"], 1);
            assert_eq!(child.0.wait().unwrap().code(), Some(128 + signal));
        }
    }

    /// With a grace period of an hour only the second signal can end this.
    #[test]
    fn a_second_signal_does_not_wait() {
        let state = tempfile::tempdir().unwrap();
        let pipe = state.path().join("pipe");
        assert!(
            Command::new("mkfifo")
                .arg(&pipe)
                .status()
                .unwrap()
                .success()
        );
        let mut command = command(state.path(), "stubborn --set run.gracePeriod=1h");
        let child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // Waits until the test has opened its end.
        let mut told = fs::File::open(&pipe).unwrap();
        for expected in *b"rt" {
            let mut byte = [0];
            told.read_exact(&mut byte).unwrap();
            assert_eq!(byte[0], expected);
            send(&child, libc::SIGINT);
        }
        let ran = Ran::from(child.wait_with_output().unwrap());
        assert_eq!(ran.code, 130, "{}", ran.stderr);
        let told = "interrupted; ending what runs (once more to kill it)";
        assert_eq!(ran.stderr.matches(told).count(), 1, "{}", ran.stderr);
        assert!(ran.stdout.contains("CANCEL"), "{}", ran.stdout);
        assert!(
            ran.stdout
                .contains("1 of 1 test has no result: the run was interrupted"),
            "{}",
            ran.stdout
        );
    }

    /// While nobody read what it wrote, the program heard no signal any more once its last test had ended, and only
    /// `kill -9` was left.
    #[test]
    fn a_third_signal_ends_a_run_that_nobody_reads() {
        let state = tempfile::tempdir().unwrap();
        let pipe = state.path().join("pipe");
        assert!(
            Command::new("mkfifo")
                .arg(&pipe)
                .status()
                .unwrap()
                .success()
        );
        let (_unread, full) = full_pipe();
        let child = command(state.path(), "stubborn --set run.gracePeriod=1h")
            .stdout(full)
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut child = Unread(child);
        let mut told = fs::File::open(&pipe).unwrap();
        for expected in *b"rt" {
            let mut byte = [0];
            told.read_exact(&mut byte).unwrap();
            assert_eq!(byte[0], expected);
            send(&child.0, libc::SIGINT);
        }
        // The test is gone, and its end of the pipe with it.
        assert_eq!(told.read(&mut [0]).unwrap(), 0);
        send(&child.0, libc::SIGINT);
        let begun = std::time::Instant::now();
        let status = loop {
            if let Some(status) = child.0.try_wait().unwrap() {
                break status;
            }
            assert!(
                begun.elapsed().as_secs() < 60,
                "the third signal was not heard"
            );
            std::thread::yield_now();
        };
        assert_eq!(status.signal(), Some(libc::SIGINT), "{status}");
    }

    /// A run that may hear nothing but this.
    struct Unread(Child);

    impl Drop for Unread {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    /// A pipe that takes not one byte more, as its two ends.
    fn full_pipe() -> (std::io::PipeReader, std::io::PipeWriter) {
        use std::io::Write as _;
        use std::os::fd::AsRawFd as _;
        let (reader, mut writer) = std::io::pipe().unwrap();
        let set_flags = |writer: &std::io::PipeWriter, flags: i32| {
            // SAFETY: sets the flags of an open descriptor; no memory is passed.
            let set = unsafe { libc::fcntl(writer.as_raw_fd(), libc::F_SETFL, flags) };
            assert_eq!(set, 0);
        };
        set_flags(&writer, libc::O_NONBLOCK);
        while writer.write(&[b' '; 4096]).is_ok() {}
        set_flags(&writer, 0);
        (reader, writer)
    }

    #[test]
    fn ctrl_z_holds_the_run_and_fg_continues_it() {
        let (mut child, stdout, _state) = hanging("");
        send(&child.0, libc::SIGTSTP);
        let mut status = 0;
        // SAFETY: the number is the child's own, and `status` is a place for an `int`.
        let waited =
            unsafe { libc::waitpid(child.0.id().cast_signed(), &raw mut status, libc::WUNTRACED) };
        assert_eq!(waited, child.0.id().cast_signed());
        assert!(libc::WIFSTOPPED(status), "it ended instead: {status}");
        send(&child.0, libc::SIGCONT);
        send(&child.0, libc::SIGINT);
        assert!(
            stdout
                .lines()
                .map(Result::unwrap)
                .last()
                .unwrap()
                .contains("run-finished")
        );
        assert_eq!(child.0.wait().unwrap().code(), Some(130));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_hang_up_that_was_ignored_stays_ignored() {
        let state = tempfile::tempdir().unwrap();
        let inner = command(state.path(), "hangs --json --set run.gracePeriod=100ms");
        let mut shell = Command::new("sh");
        shell
            .args(["-c", "trap '' HUP; exec \"$0\" \"$@\""])
            .arg(inner.get_program())
            .args(inner.get_args());
        shell.current_dir(&*PROJECT).envs(
            inner
                .get_envs()
                .filter_map(|(name, value)| Some((name, value?))),
        );
        let child = shell
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut child = Running(child);
        let mut lines = BufReader::new(child.0.stdout.take().unwrap())
            .lines()
            .map(Result::unwrap);
        assert!(lines.any(|line| line.contains("attempt-started")));
        let status = fs::read_to_string(format!("/proc/{}/status", child.0.id())).unwrap();
        let ignored = status
            .lines()
            .find_map(|line| line.strip_prefix("SigIgn:"))
            .unwrap();
        assert_eq!(
            u64::from_str_radix(ignored.trim(), 16).unwrap() & 1,
            1,
            "SIGHUP is signal 1"
        );
        send(&child.0, libc::SIGTERM);
        assert!(lines.last().unwrap().contains("run-finished"));
        assert_eq!(child.0.wait().unwrap().code(), Some(143));
    }

    /// What a terminal gets to see of a run.
    fn on_a_terminal(words: &str, ci: Option<&str>) -> (Option<i32>, String) {
        let (mut master, mut slave) = (0, 0);
        let mut size = libc::winsize {
            ws_row: 24,
            ws_col: 80,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        // SAFETY: both descriptors and the size are places of ours, and a name and settings are not asked for.
        let opened = unsafe {
            libc::openpty(
                &raw mut master,
                &raw mut slave,
                ptr::null_mut(),
                ptr::null_mut(),
                &raw mut size,
            )
        };
        assert_eq!(opened, 0);
        // SAFETY: `openpty` has just opened them for us, and nobody else owns them.
        let (master, slave) =
            unsafe { (OwnedFd::from_raw_fd(master), OwnedFd::from_raw_fd(slave)) };
        let state = tempfile::tempdir().unwrap();
        let mut command = command(state.path(), words);
        command
            .env("TERM", "xterm")
            .stdout(slave.try_clone().unwrap())
            .stderr(slave);
        if let Some(ci) = ci {
            command.env("CI", ci);
        }
        let mut child = command.spawn().unwrap();
        // The command holds the other end open, and a terminal ends when nobody does.
        drop(command);
        let mut seen = Vec::new();
        // Linux ends with an error where others end with nothing.
        let _ = fs::File::from(master).read_to_end(&mut seen);
        (
            child.wait().unwrap().code(),
            String::from_utf8_lossy(&seen).into_owned(),
        )
    }

    #[test]
    fn a_terminal_gets_the_live_view_and_a_build_server_does_not() {
        let (code, seen) = on_a_terminal("passes fails", None);
        assert_eq!(code, Some(1));
        assert!(
            seen.contains("\x1b[1;31m     FAIL\x1b[0m") && !seen.contains("PASS"),
            "{seen}"
        );
        assert!(
            seen.contains("\x1b[?25l[") && seen.trim_end().ends_with("\x1b[?25h"),
            "{seen}"
        );
        for (words, ci) in [
            ("passes fails", Some("true")),
            ("passes fails --progress plain", None),
        ] {
            let (code, seen) = on_a_terminal(words, ci);
            assert_eq!(code, Some(1));
            assert!(
                seen.contains("PASS") && !seen.contains("\x1b[?25l"),
                "{seen}"
            );
        }
        let (_, seen) = on_a_terminal("passes fails --color never", None);
        assert!(
            seen.contains("     FAIL [") && !seen.contains("\x1b[1;31m"),
            "{seen}"
        );
    }

    #[test]
    fn a_reader_that_leaves_does_not_change_the_verdict() {
        let state = tempfile::tempdir().unwrap();
        for words in ["fails passes", "fails passes --json"] {
            let (reader, writer) = std::io::pipe().unwrap();
            drop(reader);
            let status = command(state.path(), words)
                .stdout(writer)
                .stderr(Stdio::null())
                .status()
                .unwrap();
            assert_eq!((status.code(), status.signal()), (Some(1), None), "{words}");
        }
    }
}
