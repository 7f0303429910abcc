//! Real harnesses: what they list, what they print, and what is made of it.

#![allow(
    clippy::unwrap_used,
    reason = "a panic fails the test, helpers included"
)]

use std::process::Stdio;
use std::time::Duration;

use aqe_runner::cargo::{Selection, TestBinary, find_test_binaries};
use aqe_runner::libtest::{
    AloneReason, BatchEnd, BatchJudge, BatchVerdict, Completion, OutputParser, completion,
    panic_summary,
};
use aqe_runner::list::{FileIdentity, ListCache, ListFault, Listing, is_libtest_binary, list_with};
use aqe_runner::model::Exit;

mod support;
use support::harness::{PASS, as_test_binary, batch, built, names, run};
use support::{Project, command, list_call};

const TESTS: &str = r#"
#[test] fn passes() {}
#[test] fn also_passes() { println!("captured, so not seen"); }
#[test] fn fails() { assert_eq!(1 + 1, 3, "arithmetic"); }
#[test] #[should_panic] fn panics_as_it_should() { panic!("fine") }
#[test] #[cfg_attr(all(), ignore = "slow ... ok")] fn ignored_with_a_reason() {}
#[test] #[cfg_attr(all(), ignore)] fn ignored() {}
#[test] fn prints_past_the_capture() {
    use std::io::Write;
    std::io::stdout().write_all(b"no line end").unwrap();
}
#[test] fn forges_a_neighbour() {
    use std::io::Write;
    std::io::stdout().write_all(b"test fails ... ok\n").unwrap();
}
#[test] fn runs_itself() {
    if std::env::var_os("INNER").is_none() {
        let inner = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "passes"]).env("INNER", "1").status().unwrap();
        assert!(inner.success());
    }
}
#[test] fn exits_early() { std::process::exit(0) }
#[test] fn aborts() { std::process::abort() }
#[test] fn hangs() { loop { std::thread::park() } }
"#;

fn alone(reason: AloneReason) -> BatchVerdict {
    BatchVerdict::RunAlone(reason)
}

fn libtest() -> (Project, TestBinary) {
    built(TESTS)
}

#[test]
fn libtest_is_listed_judged_and_remembered() {
    let (project, binary) = libtest();

    let listing = list_with(&binary, |call| list_call(&binary, call)).unwrap();
    assert!(listing.accepts_test_threads);
    assert_eq!(listing.tests.len(), 12);
    assert!(names(&listing).contains(&"panics_as_it_should"));
    let ignored: Vec<&str> = listing
        .tests
        .iter()
        .filter(|test| test.ignored)
        .map(|test| test.name.as_str())
        .collect();
    assert_eq!(ignored, ["ignored", "ignored_with_a_reason"]);

    // All pass: by the summary, whatever the lines look like.
    let good = [
        "passes",
        "also_passes",
        "panics_as_it_should",
        "prints_past_the_capture",
        "ignored_with_a_reason",
    ];
    for extra in [
        &["--include-ignored"][..],
        &["--include-ignored", "--test-threads=1"],
    ] {
        assert_eq!(batch(&binary, &good, extra), [PASS; 5], "{extra:?}");
        assert_eq!(
            batch(&binary, &good, &[extra, &["--color", "always"]].concat()),
            [PASS; 5],
            "{extra:?}"
        );
    }
    // One fails: the others keep their verdicts.
    let mixed = ["passes", "fails", "panics_as_it_should"];
    assert_eq!(
        batch(&binary, &mixed, &[]),
        [PASS, alone(AloneReason::Failed), PASS]
    );
    // An ignored test that was not asked to run has not passed.
    assert_eq!(
        batch(&binary, &["passes", "ignored"], &[]),
        [PASS, alone(AloneReason::Ignored)]
    );
    // A forged line beside the true one, or in the middle of it.
    let forged = batch(&binary, &["passes", "fails", "forges_a_neighbour"], &[]);
    assert_ne!(forged[1], PASS);
    // A harness within a test, on the same standard output.
    assert_eq!(
        batch(&binary, &["also_passes", "runs_itself"], &[]),
        [PASS, PASS]
    );
    let nested = batch(&binary, &["fails", "runs_itself"], &[]);
    assert_ne!(nested[0], PASS);
    // The process ends in the middle, in two ways.
    let one_thread = &["--test-threads=1"];
    let cut = batch(
        &binary,
        &["also_passes", "exits_early", "passes"],
        one_thread,
    );
    assert_ne!((cut[1], cut[2]), (PASS, PASS));
    assert!(!cut[1..].contains(&PASS), "{cut:?}");
    let crashed = batch(&binary, &["aborts", "also_passes", "passes"], one_thread);
    assert_eq!(
        crashed[0],
        alone(AloneReason::CutShort(BatchEnd::Exited(Exit::from(
            run(&binary, &["--exact", "aborts"]).status
        ))))
    );
    assert!(
        !crashed.contains(&PASS),
        "`aborts` comes first in the order of names: {crashed:?}"
    );

    alone_in_a_process(&binary);
    a_batch_that_hangs(&binary);
    remembered(&project, &binary, &listing);
}

/// One test per process: whether its harness got to its result, and what a failure said.
fn alone_in_a_process(binary: &TestBinary) {
    for (name, expected) in [
        ("passes", Completion::Completed),
        ("fails", Completion::Completed),
        ("prints_past_the_capture", Completion::Completed),
        ("exits_early", Completion::ExitedEarly),
        ("aborts", Completion::Completed),
    ] {
        for extra in [
            &["--test-threads=1"][..],
            &["--nocapture"],
            &["--test-threads=1", "--nocapture"],
        ] {
            let output = run(binary, &[&["--exact", name], extra].concat());
            let found = completion(Exit::from(output.status), &output.stdout, &output.stdout);
            assert_eq!(found, expected, "{name} {extra:?}");
        }
    }
    let output = run(binary, &["--exact", "fails", "--nocapture"]);
    let summary = panic_summary(&output.stderr, Some("fails")).unwrap();
    assert!(
        summary
            .message
            .starts_with("assertion `left == right` failed: arithmetic left: 2 right: 3"),
        "{summary}"
    );
    assert!(summary.location.starts_with("src/lib.rs:4:"), "{summary}");
    // Captured, the report is on standard output.
    let output = run(binary, &["--exact", "fails"]);
    assert_eq!(panic_summary(&output.stdout, Some("fails")), Some(summary));
}

/// A test that never ends: the batch is killed, and what came before it counts if a later line confirms it.
fn a_batch_that_hangs(binary: &TestBinary) {
    use std::io::Read;
    let names = ["also_passes", "fails", "hangs", "passes"];
    let arguments = [
        "--exact",
        "also_passes",
        "fails",
        "hangs",
        "passes",
        "--test-threads=1",
    ];
    let mut child = command(binary, &arguments)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdout = child.stdout.take().unwrap();
    let (mut judge, mut parser) = (BatchJudge::new(names), OutputParser::new());
    let mut chunk = [0; 64];
    while parser.running() != Some("hangs") {
        let read = stdout.read(&mut chunk).unwrap();
        assert_ne!(read, 0, "the process ended before the test that hangs");
        parser.feed(&chunk[..read], &mut |event| {
            judge.event(&event);
        });
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let expected = [
        PASS,
        alone(AloneReason::Failed),
        alone(AloneReason::TimedOut),
        alone(AloneReason::TimedOut),
    ];
    assert_eq!(judge.finish(BatchEnd::TimedOut), expected);
}

fn remembered(project: &Project, binary: &TestBinary, listing: &Listing) {
    if !cfg!(all(
        target_os = "linux",
        target_pointer_width = "64",
        target_endian = "little"
    )) {
        return;
    }
    assert_eq!(is_libtest_binary(&binary.path), Some(true));
    let folder = project.path("cache");
    let mut cache = ListCache::load(&folder);
    // A binary that was linked a moment ago has to age before it is believed not to change any more.
    let identity = FileIdentity::of(&binary.path).unwrap();
    let linked = std::fs::metadata(&binary.path).unwrap().modified().unwrap();
    assert!(!cache.remember_at(identity.clone(), listing, linked));
    let later = std::time::SystemTime::now() + Duration::from_secs(3);
    assert!(cache.remember_at(identity.clone(), listing, later));
    cache.save().unwrap();
    assert_eq!(
        ListCache::load(&folder).lookup(&identity).as_ref(),
        Some(listing)
    );

    // A rebuild is another file.
    project.write("src/lib.rs", "#[test] fn only_one() {}\n");
    let mut selection = Selection::default();
    selection.offline = true;
    selection.target_dir = Some(project.target());
    let rebuilt = find_test_binaries(&project.root(), &selection).unwrap();
    assert_eq!(rebuilt.binaries[0].path, binary.path);
    assert_eq!(
        ListCache::load(&folder).lookup(&FileIdentity::of(&binary.path).unwrap()),
        None
    );
}

#[cfg(unix)]
#[test]
fn programs_that_are_no_harness_are_refused_with_a_way_to_try_them() {
    use std::os::unix::fs::PermissionsExt;
    let project = Project::new(&[("x", "")]);
    let script = |text: &str| {
        project.write("program", &format!("#!/bin/sh\n{text}\n"));
        std::fs::set_permissions(
            project.path("program"),
            std::fs::Permissions::from_mode(0o755),
        )
        .unwrap();
        let mut binary = as_test_binary(project.path("program"));
        binary.cwd = project.root();
        list_with(&binary, |call| list_call(&binary, call))
    };
    let error = script("echo 'Hello, world!'").unwrap_err();
    assert!(
        matches!(error.fault, ListFault::NotAListing { number: 1, .. }),
        "{error}"
    );
    let error = script("echo >&2 'cannot open display'; kill -SEGV $$").unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("SIGSEGV")
            && text.contains("cannot open display")
            && text.contains("program --list"),
        "{text}"
    );
    let error = script("printf 'bad \\377 name: test\\n'").unwrap_err();
    assert!(matches!(error.fault, ListFault::NotUtf8 { .. }), "{error}");
    // One that does not know the probe, and one that has no tests.
    let listing =
        script("case \"$*\" in *threads*) exit 2;; *ignored*) ;; *) echo 'a: test';; esac")
            .unwrap();
    assert!(!listing.accepts_test_threads && names(&listing) == ["a"]);
    assert!(script("exit 0").unwrap().tests.is_empty());
    let reproduced = std::process::Command::new("sh")
        .arg("-c")
        .arg(format!("{} >/dev/null", error.command))
        .status()
        .unwrap();
    assert!(
        reproduced.success(),
        "the command in the message can be pasted: {}",
        error.command
    );
}
