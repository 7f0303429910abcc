//! A harness made with libtest-mimic: what it lists, what it prints, and what is made of it.
//!
//! This program is such a harness itself. Called by its own test it has everything in its names and results that such
//! harnesses have; otherwise that test is all it runs.

#![expect(
    clippy::unwrap_used,
    reason = "in a test, a failure of a step is the failure of the test"
)]

use std::time::Duration;

use aqe_runner::libtest::{BatchEnd, Completion, completion};
use aqe_runner::list::{CaseKind, FileIdentity, ListCache, is_libtest_binary, list_with};
use aqe_runner::model::Exit;
use libtest_mimic::{Arguments, Failed, Measurement, Trial};

mod support;
use support::harness::{PASS, as_test_binary, batch, judge, names, run};
use support::list_call;

/// Under this name this program is the fixture.
const FIXTURE: &str = "mimic-fixture";

fn main() {
    let own = std::env::current_exe().unwrap();
    if own.file_stem().is_some_and(|name| name == FIXTURE) {
        return fixture();
    }
    let test = Trial::test("libtest_mimic_is_listed_judged_and_not_remembered", || {
        libtest_mimic_is_listed_judged_and_not_remembered();
        Ok(())
    });
    libtest_mimic::run(&Arguments::from_args(), vec![test]).exit();
}

fn fixture() {
    let trials = vec![
        Trial::test("passes", || Ok(())),
        Trial::test("cases/größe: 1.txt", || Ok(())).with_kind("ui"),
        Trial::test("prints", || {
            println!("text of the test");
            Ok(())
        }),
        Trial::test("fails", || Err(Failed::from("expected failure"))),
        Trial::test("ignored", || Ok(())).with_ignored_flag(true),
        Trial::bench("measured", |_| {
            Ok(Some(Measurement {
                avg: 10,
                variance: 1,
            }))
        }),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

fn libtest_mimic_is_listed_judged_and_not_remembered() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder
        .path()
        .join(format!("{FIXTURE}{}", std::env::consts::EXE_SUFFIX));
    std::fs::copy(std::env::current_exe().unwrap(), &path).unwrap();
    let binary = as_test_binary(path);
    let listing = list_with(&binary, |call| list_call(&binary, call)).unwrap();
    assert_eq!(
        names(&listing),
        [
            "passes",
            "[ui] cases/größe: 1.txt",
            "prints",
            "fails",
            "ignored",
            "measured"
        ]
    );
    assert!(listing.tests[4].ignored && !listing.tests[3].ignored);
    assert_eq!(listing.tests[5].kind, CaseKind::Benchmark);
    assert!(listing.accepts_test_threads);

    // It runs one test by name, `[kind]` in front or not.
    for (name, passes) in [
        ("passes", true),
        ("[ui] cases/größe: 1.txt", true),
        ("prints", true),
        ("fails", false),
    ] {
        let output = run(&binary, &["--exact", name, "--test-threads=1"]);
        assert_eq!(output.status.success(), passes, "{name}");
        assert_eq!(
            completion(Exit::from(output.status), &output.stdout, &output.stdout),
            Completion::Completed
        );
        let verdicts = judge(
            &[name],
            &output.stdout,
            BatchEnd::Exited(Exit::from(output.status)),
        );
        assert_eq!(
            verdicts == [PASS],
            passes,
            "{name}: {}",
            String::from_utf8_lossy(&output.stdout)
        );
    }
    // It refuses more than one name; a batch of it costs one process and passes nobody.
    let verdicts = batch(&binary, &["passes", "prints"], &[]);
    assert!(!verdicts.contains(&PASS), "{verdicts:?}");

    assert_ne!(is_libtest_binary(&binary.path), Some(true));
    let mut cache = ListCache::load(folder.path());
    let later = std::time::SystemTime::now() + Duration::from_secs(60);
    assert!(!cache.remember_at(FileIdentity::of(&binary.path).unwrap(), &listing, later));
}
