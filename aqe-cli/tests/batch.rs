//! `aqe batch` on reports that real tools wrote.

#![expect(clippy::unwrap_used, reason = "helpers of tests may fail the test")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

#[cfg(unix)]
#[path = "batch/held.rs"]
mod held;
#[path = "support/snapshot.rs"]
mod snapshot;
mod support;

use snapshot::check_snapshot;
use support::{Ran, aqe};

/// A folder with reports of real tools: gcovr, coverage.py and llvm-cov.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        // The search for settings ends here.
        fs::create_dir(place.path(".git")).unwrap();
        for name in [
            "c/cobertura.xml",
            "c/lcov.info",
            "python/coverage.xml",
            "python/lcov.info",
            "rust/export.json",
            "rust/lcov.info",
        ] {
            place.write(name, &Self::real(name));
        }
        place
    }

    /// The text of one of them.
    fn real(name: &str) -> String {
        let fixtures = "../aqe-batch/tests/fixtures/coverage";
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(fixtures);
        fs::read_to_string(folder.join(name)).unwrap()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// `aqe batch --operation analyze-coverage` with these words.
    fn command(&self, words: &str) -> Command {
        let mut command = aqe(self.0.path());
        command
            .env_remove("CARGO_TARGET_DIR")
            .args(["batch", "--operation", "analyze-coverage"])
            .args(words.split_whitespace());
        command
    }

    fn run(&self, words: &str) -> Ran {
        self.command(words).output().unwrap().into()
    }

    /// What `--json` says.
    fn document(&self, words: &str) -> Value {
        let ran = self.run(&format!("--json {words}"));
        assert_eq!((ran.code, &*ran.stderr), (0, ""), "{words}");
        serde_json::from_str(&ran.stdout).unwrap()
    }
}

/// How many files had each outcome.
fn outcomes(document: &Value, outcome: &str) -> usize {
    let files = document["files"].as_array().unwrap();
    files.iter().filter(|it| it["outcome"] == outcome).count()
}

#[test]
fn reports_of_all_formats_become_one_table_and_one_document() {
    let place = Place::new();
    let files = "c/cobertura.xml python/*.info rust/export.json";
    let ran = place.run(files);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    check_snapshot("batch-table.txt", &ran.stdout);
    let ran = place.run(&format!("{files} --json --no-cache"));
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    check_snapshot("batch-document.json", &ran.stdout);
}

#[test]
fn two_runs_are_compared_and_what_is_lost_is_named() {
    let place = Place::new();
    let now = Place::real("python/lcov.info").replace("DA:4,1", "DA:4,0");
    place.write("now.info", &now);
    let ran = place.run("now.info --baseline python/*.info --color always");
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    check_snapshot("batch-difference.txt", &ran.stdout);

    let document = place.document("now.info --baseline python/lcov.info");
    let changed = document["difference"]["changed"].as_array().unwrap();
    assert!(!changed.is_empty());
    for file in changed {
        assert_eq!(file["newly_uncovered"][0]["first"], 4, "{file}");
    }
    assert_eq!(document["baseline"][0]["path"], "python/lcov.info");
    // As when a shell has expanded a pattern.
    let document = place.document("now.info --baseline python/lcov.info c/lcov.info");
    assert_eq!(document["files"].as_array().unwrap().len(), 1);
    assert_eq!(document["baseline"].as_array().unwrap().len(), 2);
    let same = place.run("python/lcov.info --baseline python/lcov.info");
    assert!(
        same.stdout
            .ends_with("Since the baseline: nothing has changed\n")
    );
}

#[test]
fn paths_are_those_of_the_working_folder_and_of_named_ones() {
    let place = Place::new();
    let here = place.0.path().canonicalize().unwrap();
    let report = |folder: &str| format!("SF:{folder}/src/a.c\nDA:1,1\nend_of_record\n");
    place.write("here.info", &report(here.to_str().unwrap()));
    place.write("there.info", &report("/somewhere/else"));
    let document = place.document("here.info there.info --strip-prefix /somewhere/else");
    let files = document["summary"]["files"].as_array().unwrap();
    assert_eq!(files.len(), 1);
    assert_eq!(files[0]["path"], "src/a.c");
}

#[test]
fn what_has_not_changed_is_not_read_again() {
    let place = Place::new();
    let first = place.document("c/*.info python/*.xml");
    assert_eq!(outcomes(&first, "done"), 2);
    let again = place.document("c/*.info python/*.xml");
    assert_eq!(outcomes(&again, "cached"), 2);
    assert_eq!(again["summary"], first["summary"]);
    // What is new is done, and what has another name now is told of under that.
    fs::rename(place.path("c/lcov.info"), place.path("c/moved.info")).unwrap();
    let moved = place.document("c/*.info python/*");
    assert_eq!(
        (outcomes(&moved, "cached"), outcomes(&moved, "done")),
        (2, 1)
    );
    assert_eq!(moved["summary"]["reports"][0]["name"], "c/moved.info");
    let uncached = place.document("c/*.info python/*.xml --no-cache");
    assert_eq!(outcomes(&uncached, "done"), 2);
    assert!(place.path(".aqe/batch-cache/.gitignore").exists());

    // Beside a target folder of cargo, it is in that.
    place.write("Cargo.toml", "");
    place.write("target/CACHEDIR.TAG", "");
    let elsewhere = place.document("c/*.info");
    assert_eq!(outcomes(&elsewhere, "done"), 1);
    assert!(place.path("target/aqe/batch-cache").is_dir());
}

#[test]
fn too_little_is_an_exit_code_and_a_sentence() {
    let place = Place::new();
    // 6 of 13 lines.
    let ran = place.run("c/lcov.info --fail-under 46.2");
    assert_eq!(ran.code, 1);
    assert!(ran.stdout.contains("46.1 %  6/13"), "{}", ran.stdout);
    assert_eq!(
        ran.stderr,
        "error: lines 46.1 % (6 of 13), and --fail-under asks for 46.2 %\n"
    );
    assert_eq!(place.run("c/lcov.info --fail-under 46.1").code, 0);
}

#[test]
fn a_damaged_report_is_named_with_the_place_and_the_others_are_told_of() {
    let place = Place::new();
    let cut = Place::real("c/lcov.info");
    place.write(
        "cut.info",
        cut.trim_end().strip_suffix("end_of_record").unwrap(),
    );
    place.write("cut.json", &Place::real("rust/export.json")[..4_000]);
    place.write("none.info", "");
    for progress in ["auto", "live"] {
        let words = "c/lcov.info cut.info cut.json none.info --baseline c/*.xml --progress";
        let ran = place.run(&format!("{words} {progress}"));
        assert_eq!(ran.code, 1);
        assert!(ran.stdout.contains("46.1 %  6/13"), "{}", ran.stdout);
        assert!(!ran.stdout.contains("baseline"), "{}", ran.stdout);
        let lines: Vec<&str> = ran.stderr.lines().collect();
        assert_eq!(lines.len(), 5, "{}", ran.stderr);
        // Behind the last line end, where the end of the record should be.
        let last = cut.trim_end().lines().count();
        assert!(
            lines[0].starts_with(&format!("error: cut.info:{last}: ")),
            "{}",
            lines[0]
        );
        assert!(
            lines[1].starts_with("error: cut.json:1:4000: "),
            "{}",
            lines[1]
        );
        assert!(
            lines[2].contains("none.info: there is nothing in it"),
            "{}",
            lines[2]
        );
        assert_eq!(
            lines[3],
            "error: 3 of 5 files failed; the figures are without them, and nothing is compared with the baseline"
        );
    }
    let ran = place.run("c/lcov.info cut.info --json");
    assert_eq!(ran.code, 1);
    let document: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(document["files"][1]["outcome"], "failed");
    let error = document["files"][1]["error"].as_str().unwrap();
    assert!(error.starts_with("cut.info:"), "{error}");
}

#[test]
fn more_failures_than_the_configuration_allows_end_the_run() {
    let place = Place::new();
    place.write(
        "qe.config.yaml",
        "batch: {errorThreshold: 2, concurrency: 1}\n",
    );
    for number in 0..9 {
        place.write(
            &format!("bad/{number}.info"),
            &format!("no report {number}"),
        );
    }
    let ran = place.run("bad/* c/*.info");
    assert_eq!((ran.code, &*ran.stdout), (1, ""));
    let said = "error: more than 2 files failed, so the run was ended; 0 of 10 files were processed\n\
                hint: batch.errorThreshold says how many may fail, as in --set batch.errorThreshold=100\n";
    assert!(ran.stderr.ends_with(said), "{}", ran.stderr);
    assert_eq!(ran.stderr.matches("which no known format does").count(), 3);
    let ran = place.run("bad/* c/*.info --set batch.errorThreshold=100");
    assert!(ran.stdout.contains("6/13"), "{}", ran.stderr);
    assert!(ran.stderr.ends_with(
        "error: 9 of 10 files failed; the figures are without them\n\
         hint: --report-format names the format of all reports\n"
    ));
    let ran = place.run("bad/* --json");
    let document: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(document["stopped"], "more than 2 item(s) failed");
    assert_eq!(document["summary"], Value::Null);
    assert_eq!(
        (
            outcomes(&document, "failed"),
            outcomes(&document, "not-run")
        ),
        (3, 6)
    );
}

#[test]
fn reports_that_hold_too_much_together_give_no_figures() {
    let place = Place::new();
    let report = |number: u32| format!("SF:{number}.c\nDA:1,1\nend_of_record\n");
    for number in 0..20 {
        place.write(&format!("{number:02}.info"), &report(number));
    }
    let ran = place.run("*.info --max-memory 2KiB --set batch.errorThreshold=100");
    assert_eq!((ran.code, &*ran.stdout), (1, ""));
    assert!(ran.stderr.contains("more than 2.0 KiB"), "{}", ran.stderr);
    assert!(
        ran.stderr
            .ends_with("failed; there are no figures\nhint: --max-memory sets that limit\n"),
        "{}",
        ran.stderr
    );
}

#[test]
fn what_cannot_work_is_said_before_anything_is_done() {
    let place = Place::new();
    place.write("bad.yaml", "batch:\n  chunkSize: none\n");
    for (words, code, said) in [
        (
            "'nothing/**/*.info'",
            4,
            "no file matches `'nothing/**/*.info'`",
        ),
        ("c/*.info x", 4, "no file matches `x`\nhint: patterns begin"),
        (
            "c",
            4,
            "no file matches `c`\nhint: it is a folder; for the files in it write 'c/**/*'",
        ),
        ("c/*.info --baseline y", 4, "no file matches `y`"),
        ("c/***", 2, "`c/***` is no pattern\n"),
        ("c/*.info --concurrency 0", 2, "batch.concurrency"),
        ("c/*.info --config bad.yaml", 2, "bad.yaml:2"),
        ("c/*.info --cache-dir c/lcov.info", 5, "c/lcov.info: "),
    ] {
        let ran = place.run(words);
        assert_eq!(
            (ran.code, &*ran.stdout),
            (code, ""),
            "{words}: {}",
            ran.stderr
        );
        assert!(ran.stderr.starts_with("error: "), "{words}: {}", ran.stderr);
        assert!(ran.stderr.contains(said), "{words}: {}", ran.stderr);
    }
    assert!(!place.path(".aqe").exists());
}

#[test]
fn names_in_reports_do_nothing_to_the_terminal() {
    let place = Place::new();
    place.write(
        "evil.info",
        "SF:\x1b[2Ja.c\nDA:0,1\nDA:1,1\nend_of_record\n",
    );
    let ran = place.run("evil.info");
    assert_eq!(ran.code, 0);
    assert!(ran.stdout.contains("␛[2Ja.c"), "{}", ran.stdout);
    assert!(!(ran.stdout + &ran.stderr).contains('\x1b'));
}

#[test]
fn a_line_is_printed_for_each_file_where_that_is_asked_for() {
    let place = Place::new();
    let ran = place.run("c/*.xml python/*.info --progress plain --concurrency 1");
    assert_eq!(
        ran.stderr,
        "c/cobertura.xml: done (cobertura)\npython/lcov.info: done (lcov)\n"
    );
}

#[test]
fn results_that_are_not_kept_are_told_of() {
    let place = Place::new();
    let ran = place.run("c/*.info python/*.info --cache-size 1KiB");
    assert_eq!(ran.code, 0);
    assert_eq!(
        ran.stderr,
        "warning: 2 results could not be kept; --cache-size and --cache-dir make room\n"
    );
}

#[test]
fn warnings_that_nobody_can_do_anything_about_are_counted() {
    let place = Place::new();
    place.write("zero.info", "SF:a.c\nDA:0,1\nDA:1,1\nend_of_record\n");
    let ran = place.run("rust/lcov.info zero.info");
    assert_eq!(
        ran.stderr,
        "warning: zero.info:2: a line with the number 0 is left out\n\
         warning: 2 more warnings about totals that reports declare and do not list (--verbose)\n"
    );
    let ran = place.run("rust/lcov.info zero.info --verbose");
    assert_eq!(ran.stderr.lines().count(), 3, "{}", ran.stderr);
}

/// Once, operations had names in two places.
#[test]
fn the_program_has_the_operations_of_the_library() {
    let operations = aqe_core::batch::FileOperations::built_in();
    let place = Place::new();
    let mut command = aqe(place.0.path());
    let ran: Ran = command
        .args(["batch", "--operation", "?", "x"])
        .output()
        .unwrap()
        .into();
    let names: Vec<&str> = operations.names().collect();
    let known = format!("[possible values: {}]", names.join(", "));
    assert!(ran.stderr.contains(&known), "{}", ran.stderr);
}
