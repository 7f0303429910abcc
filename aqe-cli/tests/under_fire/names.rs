//! Names and paths that are more than ASCII words.

use std::fs;

use crate::project::{Project, Running, events, table, verdicts};

const LIBRARY: &str = r#"
pub mod größe {
    #[test] fn paßt() {}
    #[test] fn 試験が失敗する() { panic!("größer als {}", "null") }
}
"#;

#[test]
fn names_and_paths_beyond_ascii_are_found_run_and_told_so_that_they_run_again() {
    let name = "größe mit  Leerzeichen 'und \"mehr\" $HOME";
    let project = Project::new(name, "", &[("src/lib.rs", LIBRARY)]);
    let expected = table(&[
        ("größe::paßt", "passed"),
        ("größe::試験が失敗する", "failed"),
    ]);
    for isolation in ["process", "batch"] {
        let ran = project.run(&format!("--json --isolation {isolation}"));
        assert_eq!(ran.code, 1, "{}", ran.stderr);
        let events = events(&ran.stdout);
        assert_eq!(verdicts(&events), expected);
        let journal = events[0]["journal"].as_str().unwrap();
        assert!(journal.contains(name), "{journal}");
        assert!(fs::read_to_string(journal).unwrap().contains("größe::paßt"));
    }
    let ran = project.run("größe --exact größe::試験が失敗する");
    assert_eq!(ran.code, 1, "{}", ran.stderr);
    assert!(ran.stdout.contains("größer als null"), "{}", ran.stdout);

    #[cfg(unix)]
    {
        let again = ran
            .stdout
            .lines()
            .find(|line| line.trim().starts_with("aqe run"))
            .unwrap();
        // As a person would paste it, in the same folder.
        let mut shell = std::process::Command::new("sh");
        let program = std::path::Path::new(env!("CARGO_BIN_EXE_aqe"));
        let search = std::env::var_os("PATH").unwrap();
        let folders = std::iter::once(program.parent().unwrap().to_owned());
        let search = std::env::join_paths(folders.chain(std::env::split_paths(&search))).unwrap();
        shell
            .args(["-c", again])
            .current_dir(project.path(""))
            .env("PATH", search)
            .env("CARGO_NET_OFFLINE", "true");
        let ran = Running::start(shell).end();
        assert_eq!(ran.code, 1, "{again}: {}", ran.stderr);
        assert!(
            ran.stdout.contains("1 test run: 0 passed, 1 failed"),
            "{}",
            ran.stdout
        );
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_folder_whose_name_is_no_text_gets_an_answer() {
    use std::os::unix::ffi::OsStrExt;
    let folder = tempfile::tempdir().unwrap();
    let name = std::ffi::OsStr::from_bytes(b"not \xff text");
    let project = Project::at(folder.path().join(name), "", &[("src/lib.rs", LIBRARY)]);
    // Cargo itself cannot write such a path in its answers.
    let ran = project.run("");
    assert_eq!(ran.code, 3, "{}", ran.stderr);
    assert!(ran.stderr.contains("UTF-8"), "{}", ran.stderr);
    assert_eq!(ran.stdout, "");
}

/// The sources are somewhere decent, and what is built is not.
#[cfg(target_os = "linux")]
#[test]
fn a_target_folder_whose_name_is_no_text_gets_an_answer() {
    use std::os::unix::ffi::OsStrExt;
    let folder = tempfile::tempdir().unwrap();
    let target = folder
        .path()
        .join(std::ffi::OsStr::from_bytes(b"target-\xff"));
    let project = Project::new("plain name", "", &[("src/lib.rs", LIBRARY)]);
    let mut command = crate::support::aqe(&project.path(""));
    command
        .args(["run", "--offline", "--json", "--target-dir"])
        .arg(&target);
    let ran = Running::start(command).end();
    assert!(
        [3, 5].contains(&ran.code),
        "{}: {}\n{}",
        ran.code,
        ran.stderr,
        ran.stdout
    );
    assert!(ran.stderr.contains("UTF-8"), "{}", ran.stderr);
}

#[test]
fn an_argument_that_is_no_text_is_a_wrong_command_line() {
    #[cfg(unix)]
    {
        use std::os::unix::ffi::OsStrExt;
        let project = Project::new("plain name", "", &[("src/lib.rs", LIBRARY)]);
        let mut command = project.command("");
        command.arg(std::ffi::OsStr::from_bytes(b"\xff\xfe"));
        let ran = Running::start(command).end();
        assert_eq!(ran.code, 2, "{}", ran.stderr);
        assert!(ran.stderr.contains("UTF-8"), "{}", ran.stderr);
    }
}
