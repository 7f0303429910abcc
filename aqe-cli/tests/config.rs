//! `aqe config` on real files.

#![expect(clippy::unwrap_used, reason = "helpers of tests may fail the test")]

use std::fs;
use std::path::Path;

use serde_json::Value;
use tempfile::TempDir;

mod support;
use support::{Ran, aqe};

/// Runs the program with a line of words without spaces.
fn run_line(folder: &Path, line: &str) -> Ran {
    aqe(folder)
        .args(line.split_whitespace())
        .output()
        .unwrap()
        .into()
}

const FILE: &str = "qe.config.yaml";

/// A folder that is a project of its own, so that no file above it is found.
fn project(config: Option<&str>) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join(".git")).unwrap();
    if let Some(text) = config {
        fs::write(folder.path().join(FILE), text).unwrap();
    }
    folder
}

fn text(folder: &Path) -> String {
    fs::read_to_string(folder.join(FILE)).unwrap()
}

#[test]
fn get_prints_the_value_and_nothing_else() {
    let folder = project(Some(
        "queue:\n  timeout: 45s\nci:\n  run:\n    retries: 2\n",
    ));
    let get = |words: &str| run_line(folder.path(), &format!("config get {words}"));
    for (words, expected) in [
        ("queue.timeout", "45s\n"),
        ("run.retries", "0\n"),
        ("run.retries --profile ci", "2\n"),
        ("run.retries --set run.retries=5", "5\n"),
        ("run.timeout", "10m\n"),
    ] {
        let ran = get(words);
        assert_eq!(
            (ran.code, ran.stdout.as_str(), ran.stderr.as_str()),
            (0, expected, ""),
            "{words}"
        );
    }
    let json: Value = serde_json::from_str(&get("queue.timeout --json").stdout).unwrap();
    assert_eq!(json["value"], "45s");
    assert_eq!(
        (
            json["origin"]["layer"].as_str(),
            json["origin"]["line"].as_u64()
        ),
        (Some("file"), Some(2))
    );
    assert_eq!(json["in_effect"], true);
}

#[test]
fn a_wrong_key_gets_the_right_one() {
    let folder = project(None);
    for line in [
        "config get queue.timout",
        "config set queue.timout 3s",
        "config reset queue.timout",
    ] {
        let ran = run_line(folder.path(), line);
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{line}");
        assert!(
            ran.stderr.starts_with("error: ") && ran.stderr.contains("queue.timeout"),
            "{line}: {}",
            ran.stderr
        );
    }
    assert!(!folder.path().join(FILE).exists(), "nothing was created");
}

#[test]
fn a_section_is_no_key_unless_it_can_be_switched_on() {
    let folder = project(None);
    for line in [
        "config get queue",
        "config set queue 3",
        "config reset queue",
    ] {
        let ran = run_line(folder.path(), line);
        assert_eq!(ran.code, 2, "{line}");
        assert!(
            ran.stderr.starts_with(
                "error: queue is a section, and no key\nhint: its keys: queue.maxConcurrent, "
            ),
            "{}",
            ran.stderr
        );
    }
    assert_eq!(
        run_line(folder.path(), "config set monitoring.alerting false").code,
        0
    );
    assert_eq!(
        run_line(folder.path(), "config get monitoring.alerting").stdout,
        "false\n"
    );
    assert!(
        run_line(folder.path(), "config get queu")
            .stderr
            .contains("did you mean `queue`?")
    );
}

#[test]
fn list_shows_where_every_value_comes_from() {
    let folder = project(Some("queue:\n  timeout: 45s\n"));
    let mut command = aqe(folder.path());
    let output = command
        .args(["config", "list", "--set", "run.jobs=3"])
        .env("AQE_LOG_LEVEL", "debug")
        .output();
    let table = String::from_utf8(output.unwrap().stdout).unwrap();
    let line = |key: &str| {
        let found = table.lines().find(|line| line.starts_with(key)).unwrap();
        found
            .split_whitespace()
            .map(str::to_owned)
            .collect::<Vec<_>>()
            .join(" ")
    };
    assert_eq!(line("run.jobs"), "run.jobs 3 flag");
    assert_eq!(line("queue.timeout"), "queue.timeout 45s qe.config.yaml:2");
    assert_eq!(line("run.retries"), "run.retries 0 default");
    assert_eq!(line("log.level"), "log.level * debug env AQE_LOG_LEVEL");
    assert!(line("queue.maxConcurrent").contains(" preset "));
    assert!(table.contains("\n* read and checked, and not yet in effect"));

    let json: Vec<Value> =
        serde_json::from_str(&run_line(folder.path(), "config list --json").stdout).unwrap();
    assert_eq!(json.len(), aqe_core::config::keys().len());
    let level = json
        .iter()
        .find(|entry| entry["key"] == "log.level")
        .unwrap();
    assert_eq!(level["in_effect"], false);
    assert!(level["not_in_effect_because"].is_string());
}

#[test]
fn set_creates_the_file_and_keeps_what_is_there() {
    let folder = project(None);
    let ran = run_line(folder.path(), "config set run.timeout 90s");
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(
        ran.stdout.starts_with("run.timeout: not set -> 90s in "),
        "{}",
        ran.stdout
    );
    assert_eq!(text(folder.path()), "run:\n  timeout: \"90s\"\n");

    fs::write(
        folder.path().join(FILE),
        "# ours\nrun:\n  timeout: 90s # patience\n\n  jobs: 4\n",
    )
    .unwrap();
    assert_eq!(run_line(folder.path(), "config set run.timeout 2m").code, 0);
    assert_eq!(
        run_line(folder.path(), "config set --profile ci run.retries 2").code,
        0
    );
    assert_eq!(
        text(folder.path()),
        "# ours\nrun:\n  timeout: 2m # patience\n\n  jobs: 4\nci:\n  run:\n    retries: 2\n"
    );
    let ran = run_line(folder.path(), "config set run.timeout 2m");
    assert!(
        ran.stdout.starts_with("run.timeout: stays 2m in "),
        "{}",
        ran.stdout
    );
}

#[test]
fn set_refuses_what_the_key_does_not_take() {
    let folder = project(Some("run:\n  jobs: 4\n"));
    for (key, value) in [
        ("run.jobs", "0"),
        ("run.jobs", "-3"),
        ("run.timeout", "soon"),
        ("run.isolation", "thread"),
    ] {
        let ran = run_line(folder.path(), &format!("config set {key} {value}"));
        assert_eq!(ran.code, 2, "{key} {value}");
        assert!(ran.stderr.contains(key), "{}", ran.stderr);
    }
    assert_eq!(text(folder.path()), "run:\n  jobs: 4\n");
}

#[test]
fn set_says_when_something_else_counts() {
    let folder = project(None);
    let output = aqe(folder.path())
        .args(["config", "set", "run.jobs", "4"])
        .env("AQE_PARALLEL_WORKERS", "9")
        .output();
    let stderr = String::from_utf8(output.unwrap().stderr).unwrap();
    assert_eq!(
        stderr,
        "note: run.jobs is 9 because of env AQE_PARALLEL_WORKERS\n"
    );
    let ran = run_line(folder.path(), "config set log.level debug");
    assert!(
        ran.stderr
            .starts_with("note: log.level is not yet in effect: "),
        "{}",
        ran.stderr
    );
}

#[test]
fn validate_reports_every_problem_with_its_place() {
    let folder = project(Some("queue:\n  maxConcurent: 5\nrun:\n  jobs: none\n"));
    let ran = run_line(folder.path(), "config validate");
    assert_eq!(ran.code, 2);
    assert!(
        ran.stdout
            .contains("qe.config.yaml:2:3: queue.maxConcurent: no such key; did you mean"),
        "{}",
        ran.stdout
    );
    assert!(
        ran.stdout.contains("qe.config.yaml:4:9: run.jobs: "),
        "{}",
        ran.stdout
    );
    assert!(ran.stdout.ends_with("\n2 problems\n"), "{}", ran.stdout);

    let ran = run_line(folder.path(), "config validate --json");
    let json: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!((ran.code, json["valid"].as_bool()), (2, Some(false)));
    assert_eq!(
        (
            json["problems"][0]["line"].as_u64(),
            json["problems"][0]["column"].as_u64()
        ),
        (Some(2), Some(3))
    );

    for (config, said) in [
        (Some("run:\n  jobs: 3\n"), "no problems"),
        (None, "the defaults apply"),
    ] {
        let ran = run_line(project(config).path(), "config validate");
        assert_eq!(ran.code, 0);
        assert!(ran.stdout.contains(said), "{}", ran.stdout);
    }
}

#[test]
fn reset_takes_one_key_away() {
    let folder = project(Some("run:\n  jobs: 4 # four\n  retries: 1\n"));
    let ran = run_line(folder.path(), "config reset run.jobs");
    assert!(
        ran.stdout.starts_with("run.jobs: 4 -> not set in "),
        "{}",
        ran.stdout
    );
    assert_eq!(text(folder.path()), "run:\n  retries: 1\n");
    let ran = run_line(folder.path(), "config reset run.jobs");
    assert_eq!(ran.code, 0);
    assert!(
        ran.stdout.starts_with("run.jobs: stays not set in "),
        "{}",
        ran.stdout
    );
}

#[test]
fn reset_keeps_the_old_file() {
    let old = "run:\n  jobs: 4\n";
    let folder = project(Some(old));
    for backup in ["qe.config.yaml.bak", "qe.config.yaml.bak.2"] {
        fs::write(folder.path().join(FILE), old).unwrap();
        let ran = run_line(folder.path(), "config reset --performance-optimized");
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        assert!(ran.stdout.contains(backup), "{}", ran.stdout);
        assert_eq!(fs::read_to_string(folder.path().join(backup)).unwrap(), old);
    }
    let now = text(folder.path());
    assert!(
        now.contains("maxConcurrent: ") && now.contains("batchSize: ") && !now.contains("jobs: 4"),
        "{now}"
    );
    assert_eq!(run_line(folder.path(), "config validate").code, 0);

    assert_eq!(run_line(folder.path(), "config reset").code, 0);
    assert!(
        text(folder.path())
            .lines()
            .all(|line| line.starts_with('#'))
    );
    let ran = run_line(project(None).path(), "config reset");
    assert!(ran.stdout.starts_with("nothing to reset"), "{}", ran.stdout);
}

#[test]
fn reset_of_a_profile_leaves_the_base() {
    let folder = project(Some("run:\n  jobs: 4\nci:\n  run:\n    retries: 2\n"));
    let ran = run_line(folder.path(), "config reset --profile ci");
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(ran.stdout.contains("qe.config.yaml.bak"), "{}", ran.stdout);
    let json: Value =
        serde_json::from_str(&run_line(folder.path(), "config get run.jobs --json").stdout)
            .unwrap();
    assert_eq!(
        (json["value"].as_str(), json["origin"]["layer"].as_str()),
        (Some("4"), Some("file"))
    );
    assert!(
        !text(folder.path()).contains("retries"),
        "{}",
        text(folder.path())
    );
}

#[cfg(unix)]
#[test]
fn a_backup_that_cannot_be_kept_means_no_reset() {
    use std::os::unix::fs::PermissionsExt;
    let old = "run:\n  jobs: 4\n";
    let folder = project(Some(old));
    for number in 1..=100 {
        let name = if number == 1 {
            "qe.config.yaml.bak".to_owned()
        } else {
            format!("qe.config.yaml.bak.{number}")
        };
        fs::write(folder.path().join(name), "mine").unwrap();
    }
    let ran = run_line(folder.path(), "config reset");
    assert_eq!(ran.code, 5, "{}", ran.stdout);
    assert!(
        ran.stderr.contains("nothing was reset") && ran.stderr.contains("hint: "),
        "{}",
        ran.stderr
    );
    assert_eq!(text(folder.path()), old);
    // A read-only file is somebody's decision.
    let file = folder.path().join(FILE);
    fs::set_permissions(&file, fs::Permissions::from_mode(0o444)).unwrap();
    let ran = run_line(folder.path(), "config set run.jobs 5");
    assert_eq!(ran.code, 5, "{}", ran.stdout);
    assert!(
        ran.stderr.contains("caused by: the file is read-only"),
        "{}",
        ran.stderr
    );
    assert_eq!(text(folder.path()), old);
}

#[test]
fn a_run_with_a_wrong_configuration_builds_nothing() {
    let folder = project(Some("run:\n  jobs: 0\n"));
    for (line, said) in [
        ("run", "qe.config.yaml:2:9: run.jobs: "),
        (
            "run --set run.jobs=1 --timeout soon",
            "command line: run.timeout: ",
        ),
        ("run --set run.job=1", "did you mean `run.jobs`?"),
        ("run --config missing.yaml", "cannot read missing.yaml"),
        ("run --profile nightly", "run.jobs"),
        ("run --doc", "run.jobs"),
    ] {
        let ran = run_line(folder.path(), line);
        assert_eq!(
            (ran.code, ran.stdout.as_str()),
            (2, ""),
            "{line}: {}",
            ran.stderr
        );
        assert!(ran.stderr.contains(said), "{line}: {}", ran.stderr);
    }
    assert!(!folder.path().join("target").exists());
}

#[test]
fn a_project_that_does_not_build_has_its_own_code_and_cargos_words() {
    let folder = project(None);
    let ran = run_line(folder.path(), "run --offline");
    assert_eq!((ran.code, ran.stdout.as_str()), (3, ""), "{}", ran.stderr);
    assert!(
        ran.stderr.contains("Cargo.toml") && !ran.stderr.contains("error: the build failed"),
        "{}",
        ran.stderr
    );
}
