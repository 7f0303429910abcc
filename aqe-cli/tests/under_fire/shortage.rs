//! No room on the disk, and too few descriptors.

use std::fs;
use std::process::Command;

use crate::crowd::{CROWD, EVERYTHING, TESTS, crowd};
use crate::project::{Project, Running, events, verdicts};
use crate::support::Ran;

/// Runs the program after these words of a shell, which limit it.
fn limited(project: &Project, limits: &str, words: &str) -> Ran {
    let inner = project.command(words);
    let mut shell = Command::new("sh");
    shell
        .args(["-c", &format!("{limits}; exec \"$0\" \"$@\"")])
        .arg(inner.get_program())
        .args(inner.get_args())
        .current_dir(inner.get_current_dir().unwrap());
    for (name, value) in inner.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    Running::start(shell).end()
}

/// Every write to a file fails, as on a full disk; pipes are not files.
const NO_ROOM: &str = "trap '' XFSZ; ulimit -f 0";

#[test]
fn without_room_for_a_single_byte_there_are_all_verdicts_and_a_warning() {
    let project = crowd("no-room");
    assert_eq!(project.run(EVERYTHING).code, 1);
    for isolation in ["process", "batch"] {
        // With this limit the loud test's output is meant for a file.
        let words = format!("{EVERYTHING} --isolation {isolation} --set run.maxOutput=64KB");
        let ran = limited(&project, NO_ROOM, &format!("{words} --json"));
        assert_eq!(ran.code, 1, "{}\n{}", ran.stdout, ran.stderr);
        let events = events(&ran.stdout);
        let verdicts = verdicts(&events);
        assert_eq!(verdicts.len(), TESTS, "{isolation}");
        let failed: Vec<_> = verdicts
            .iter()
            .filter(|(_, status)| *status != "passed")
            .collect();
        assert_eq!(failed.len(), 2, "{failed:?}");
        let warnings = events
            .iter()
            .filter(|event| event["event"] == "warning")
            .map(|event| event["message"].as_str().unwrap());
        let told = warnings
            .filter(|message| message.starts_with("verdicts are not being written to disk: "));
        assert_eq!(told.count(), 1, "{}", ran.stdout);

        let ran = limited(&project, NO_ROOM, &words);
        assert_eq!(ran.code, 1, "{}", ran.stderr);
        assert!(
            ran.stderr
                .contains("warning: verdicts are not being written to disk: "),
            "{}",
            ran.stderr
        );
        assert!(
            ran.stdout.contains("62 tests run: 60 passed, 2 failed"),
            "{}",
            ran.stdout
        );
        // Its two ends are shown, and no file is promised.
        assert_eq!(ran.stdout.matches("its first line").count(), 1);
        assert_eq!(ran.stdout.matches("its last line").count(), 1);
        let left_out = ran
            .stdout
            .lines()
            .find(|line| line.contains("bytes are not shown"));
        assert!(
            left_out.unwrap().ends_with("bytes are not shown ..."),
            "{left_out:?}"
        );
    }
}

#[test]
fn without_a_folder_for_journals_there_are_all_verdicts_and_a_warning() {
    let project = crowd("no-folder");
    assert_eq!(project.run("a00").code, 0);
    let state = project.state();
    let _ = fs::remove_dir_all(&state);
    fs::write(&state, "a file is in the way").unwrap();
    let ran = project.run("a0 fails");
    fs::remove_file(&state).unwrap();
    assert_eq!(ran.code, 1, "{}", ran.stderr);
    assert!(
        ran.stdout.contains("12 tests run: 10 passed, 2 failed"),
        "{}",
        ran.stdout
    );
    assert!(
        ran.stderr
            .contains("warning: this run is not recorded on disk: "),
        "{}",
        ran.stderr
    );
    assert!(!ran.stdout.contains("journal: "), "{}", ran.stdout);
}

#[test]
fn with_few_descriptors_launches_wait_and_every_test_has_its_verdict() {
    assert_eq!(CROWD.run(EVERYTHING).code, 1);
    for isolation in ["process", "batch"] {
        for limit in [32, 40, 64, 100] {
            let words = format!("{EVERYTHING} --jobs 50 --json --isolation {isolation}");
            let ran = limited(&CROWD, &format!("ulimit -n {limit}"), &words);
            assert_eq!(ran.code, 1, "{limit}: {}\n{}", ran.stdout, ran.stderr);
            let verdicts = verdicts(&events(&ran.stdout));
            assert_eq!(verdicts.len(), TESTS, "{limit}");
            let failed = verdicts
                .values()
                .filter(|status| *status == "failed")
                .count();
            assert_eq!(failed, 2, "{limit}: {}", ran.stdout);
        }
    }
}

/// Below what the program itself needs it cannot work, and says so.
#[test]
fn with_hardly_any_descriptor_there_is_an_error_and_no_hang() {
    assert_eq!(CROWD.run(EVERYTHING).code, 1);
    for limit in [4, 6, 8, 10, 12, 14, 16, 18] {
        let words = format!("{EVERYTHING} --jobs 50");
        let ran = limited(&CROWD, &format!("ulimit -n {limit}"), &words);
        if ran.stdout.contains("62 tests run: 60 passed, 2 failed") {
            assert_eq!(ran.code, 1, "{limit}: {}", ran.stderr);
        } else {
            assert_ne!(ran.code, 0, "{limit}");
            assert!(
                !ran.stderr.is_empty() && !ran.stderr.contains("panicked"),
                "{limit}: {}",
                ran.stderr
            );
        }
    }
}
