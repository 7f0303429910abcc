//! Whole runs of a package whose tests do everything that a runner has to cope with.

#![expect(
    clippy::unwrap_used,
    reason = "in a test, a failure of a step is the failure of the test"
)]

use std::collections::BTreeMap;
use std::time::Duration;

use aqe_core::config::Isolation;
use aqe_runner::journal::{Entry, JournalReader, Record};
use aqe_runner::model::Verdict;
use aqe_runner::run::{Event, IgnoredTests, NameMatch, RunOptions, StopReason};

#[path = "support/unruly.rs"]
mod unruly;
use unruly::{Told, Unruly};

/// Long beside what a test here does, and short enough to wait for.
const TIMEOUT: Duration = Duration::from_secs(3);

fn everything(unruly: &Unruly, isolation: Isolation) -> Told {
    let mut options = unruly.options(&[]);
    options.settings.isolation = isolation;
    options.settings.timeout = Some(TIMEOUT);
    options.settings.retries = 1;
    unruly.run(options)
}

/// What every test of the package comes to with one retry.
fn expected() -> BTreeMap<&'static str, &'static str> {
    let mut expected = BTreeMap::from([
        ("aborts", "failed: killed by SIGABRT"),
        ("exits_with_three", "failed: exit code 3"),
        (
            "exits_with_zero",
            "failed: exited with code 0 before the harness reported a result",
        ),
        ("fails", "failed: exit code 101"),
        ("fails_in_company", "passed"),
        ("fails_with_bytes", "failed: exit code 101"),
        ("forges_a_verdict", "failed: exit code 101"),
        ("hangs", "timed out after 3s"),
        ("is_flaky", "passed at attempt 2"),
        ("is_ignored", "ignored"),
        ("panics_as_it_should", "passed"),
        ("passes", "passed"),
        ("passes_too", "passed"),
        ("prints_bytes", "passed"),
        ("prints_much", "passed"),
    ]);
    if cfg!(target_os = "linux") {
        expected.extend([
            ("unix::closes_standard_output", "passed"),
            ("unix::hangs_with_a_child", "timed out after 3s"),
            ("unix::kills_its_group", "failed: killed by SIGKILL"),
            ("unix::leaves_a_daemon", "passed, left a process behind"),
            (
                "unix::leaves_a_quiet_daemon",
                "passed, left a process behind",
            ),
        ]);
    }
    expected
}

#[test]
fn every_test_is_judged_rightly_in_a_process_of_its_own() {
    let unruly = Unruly::build();
    let told = everything(&unruly, Isolation::Process);
    let verdicts = told.verdicts();
    let verdicts: BTreeMap<_, _> = verdicts.iter().map(|(k, v)| (*k, v.as_str())).collect();
    assert_eq!(verdicts, expected());
    assert_eq!(told.report.counts.flaky, 1);
    assert!(told.report.stopped.is_none() && told.report.unlisted.is_empty());

    // What a person needs is with the attempt, once for each.
    let hung = told.attempts("hangs");
    assert_eq!(hung.len(), 2);
    let output = hung[0].output.as_ref().unwrap();
    assert!(output.stdout.head.contains("before hanging"));
    let failed = told.attempts("fails")[0];
    assert!(
        failed.summary.as_ref().unwrap().contains("arithmetic"),
        "{failed:?}"
    );
    let bytes = told.attempts("fails_with_bytes")[0];
    let output = bytes.output.as_ref().unwrap();
    assert!(output.stdout.head.contains("\u{fffd}\u{fffd}\0 not text"));
    let passed = told.attempts("prints_much");
    assert!(passed[0].output.is_none() && passed[0].output_bytes >= 4_000_000);

    #[cfg(target_os = "linux")]
    for file in ["daemon", "quiet_daemon", "child"] {
        assert_gone(&unruly, file);
    }
}

#[test]
fn every_test_is_judged_rightly_in_batches() {
    let unruly = Unruly::build();
    let told = everything(&unruly, Isolation::Batch);
    let mut verdicts = told.verdicts();
    let mut expected = expected();
    // Which of a batch's tests left it behind, nobody can tell; that one of them did is said.
    for leaked in ["unix::leaves_a_daemon", "unix::leaves_a_quiet_daemon"] {
        if verdicts
            .get(leaked)
            .is_some_and(|verdict| verdict == "passed")
        {
            assert!(
                told.warnings()
                    .iter()
                    .any(|text| text.contains("left a process behind"))
            );
            verdicts.remove(leaked);
            expected.remove(leaked);
        }
    }
    // Run alone after its batch it may be the second time.
    assert!(verdicts.remove("is_flaky").unwrap().starts_with("passed"));
    expected.remove("is_flaky");
    let verdicts: BTreeMap<_, _> = verdicts.iter().map(|(k, v)| (*k, v.as_str())).collect();
    assert_eq!(verdicts, expected);
    let batched = told
        .events
        .iter()
        .filter(|event| matches!(event, Event::BatchFinished { .. }))
        .count();
    assert!(batched > 0, "nothing was run in batches");
}

/// Says whether the process whose id a test wrote down is no more: it was killed before its test had a verdict, and its
/// new parent reaps it in a moment.
#[cfg(target_os = "linux")]
fn assert_gone(unruly: &Unruly, file: &str) {
    let pid = std::fs::read_to_string(unruly.path(file)).unwrap();
    let until = std::time::Instant::now() + Duration::from_secs(30);
    loop {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let state = stat
            .rsplit(") ")
            .next()
            .and_then(|rest| rest.chars().next());
        if matches!(state, None | Some('Z' | 'X')) {
            return;
        }
        assert!(
            std::time::Instant::now() < until,
            "{file} {pid} is still there"
        );
        std::thread::yield_now();
    }
}

#[test]
fn the_journal_says_what_was_told() {
    let unruly = Unruly::build();
    let told = unruly.run(unruly.options(&["passes", "fails", "is_ignored"]));
    let journal = told.report.journal.as_ref().unwrap();
    let mut recorded = BTreeMap::new();
    let mut finished = None;
    for entry in JournalReader::open(journal).unwrap() {
        match entry.unwrap() {
            Entry::Record(Record::Verdict { test, verdict, .. }) => {
                recorded.insert(test.name.as_str().to_owned(), verdict.to_string());
            }
            Entry::Record(Record::RunFinished { counts, .. }) => finished = Some(counts),
            _ => {}
        }
    }
    let told_verdicts: BTreeMap<_, _> = told
        .verdicts()
        .into_iter()
        .map(|(name, verdict)| (name.to_owned(), verdict))
        .collect();
    assert_eq!(recorded, told_verdicts);
    assert_eq!(finished, Some(told.report.counts));
}

#[test]
fn the_first_failure_ends_the_run_when_it_should() {
    let unruly = Unruly::build();
    let mut options = unruly.options(&[]);
    options.filter.matching = NameMatch::Substring;
    options.filter.names = vec!["fails".to_owned(), "passes".to_owned(), "prints".to_owned()];
    options.settings.fail_fast = true;
    options.settings.jobs = aqe_core::config::Jobs::Count(1.try_into().unwrap());
    let told = unruly.run(options);
    assert_eq!(told.report.stopped, Some(StopReason::FirstFailure));
    assert_eq!(told.report.counts.failed, 1);
    assert!(
        told.report.counts.cancelled >= 3,
        "{:?}",
        told.report.counts
    );
    assert_eq!(told.verdicts().len() as u64, told.report.selected);
}

#[test]
fn a_stop_ends_what_hangs_and_starts_nothing_more() {
    let unruly = Unruly::build();
    for isolation in [Isolation::Process, Isolation::Batch] {
        let mut options = unruly.options(&["hangs", "passes", "passes_too"]);
        options.settings.isolation = isolation;
        options.settings.timeout = None;
        options.settings.jobs = aqe_core::config::Jobs::Count(1.try_into().unwrap());
        let told = unruly.run_with(options, |event, control| {
            let hangs = match event {
                Event::AttemptStarted { test, .. } => test.name.as_str() == "hangs",
                Event::BatchStarted { .. } => true,
                _ => false,
            };
            if hangs {
                control.stop(15);
            }
        });
        assert_eq!(told.verdict("hangs"), &Verdict::Cancelled, "{isolation:?}");
        assert_eq!(told.report.stopped, Some(StopReason::Signal { signal: 15 }));
        assert_eq!(told.verdicts().len(), 3);
    }
}

/// A binary that was killed while it was being listed was taken for one that refuses `--test-threads`: it was asked once
/// more after the stop, and from then on the cache of listings kept it out of batches.
#[cfg(target_os = "linux")]
#[test]
fn a_stop_while_listing_asks_nothing_more_and_remembers_nothing() {
    let unruly = Unruly::build();
    let options = || {
        let mut options = unruly.options(&["passes", "passes_too"]);
        options.settings.isolation = Isolation::Batch;
        options.settings.jobs = aqe_core::config::Jobs::Count(1.try_into().unwrap());
        options
    };
    std::fs::write(unruly.path("hold_listing"), "").unwrap();
    let is_held = unruly.path("is_held");
    let stop = |control: aqe_runner::run::RunControl| {
        std::thread::spawn(move || {
            while !is_held.exists() {
                std::thread::yield_now();
            }
            control.stop(2);
        });
    };
    let begun = std::time::Instant::now();
    let told = unruly.run_from(options(), stop, |_, _| {});
    // One that is asked again is given a minute.
    assert!(begun.elapsed() < Duration::from_secs(50));
    assert_eq!(told.report.stopped, Some(StopReason::Signal { signal: 2 }));
    assert_eq!((told.report.selected, told.report.unlisted.len()), (0, 0));

    std::fs::remove_file(unruly.path("hold_listing")).unwrap();
    let told = unruly.run(options());
    assert_eq!(told.report.counts.passed, 2);
    assert!(
        told.events
            .iter()
            .any(|event| matches!(event, Event::BatchFinished { .. })),
        "the binary is no longer run in batches"
    );
}

#[test]
fn a_second_stop_does_not_wait_for_the_grace_period() {
    let unruly = Unruly::build();
    let mut options = unruly.options(&["hangs"]);
    options.settings.timeout = None;
    // It would be a minute too long.
    options.settings.grace_period = Duration::from_secs(600);
    let told = unruly.run_with(options, |event, control| {
        if matches!(event, Event::AttemptStarted { .. }) {
            control.stop(2);
            control.stop(2);
        }
    });
    assert_eq!(told.verdict("hangs"), &Verdict::Cancelled);
}

#[test]
fn a_state_folder_that_cannot_be_used_is_said_and_changes_no_verdict() {
    let unruly = Unruly::build();
    let mut options = unruly.options(&["passes", "fails", "prints_much"]);
    // A file where the folder should be: not even a privileged user can write below it.
    std::fs::write(unruly.path("file"), "").unwrap();
    options.state = Some(unruly.path("file"));
    let told = unruly.run(options);
    assert_eq!(told.report.counts.passed, 2);
    assert_eq!(told.report.counts.failed, 1);
    assert!(told.report.journal.is_none());
    assert!(
        told.warnings()
            .iter()
            .any(|text| text.contains("not recorded on disk")),
        "{:?}",
        told.warnings()
    );
}

#[test]
fn ignored_tests_run_when_asked_for() {
    let unruly = Unruly::build();
    for isolation in [Isolation::Process, Isolation::Batch] {
        let mut options = unruly.options(&["is_ignored", "passes"]);
        options.settings.isolation = isolation;
        options.filter.ignored = IgnoredTests::Include;
        let told = unruly.run(options);
        assert_eq!(told.report.counts.passed, 2, "{isolation:?}");
        let mut options = unruly.options(&["is_ignored", "passes"]);
        options.settings.isolation = isolation;
        options.filter.ignored = IgnoredTests::Only;
        let told = unruly.run(options);
        assert_eq!(told.verdicts().len(), 1, "{isolation:?}");
        assert_eq!(told.verdict("is_ignored"), &Verdict::Passed);
    }
}

#[test]
fn no_test_is_an_empty_run() {
    let unruly = Unruly::build();
    let told = unruly.run(unruly.options(&["no such test"]));
    assert_eq!((told.report.selected, told.report.counts.run()), (0, 0));
    assert!(matches!(told.events.first(), Some(Event::RunStarted(started)) if started.tests == 0));
    assert!(matches!(
        told.events.last(),
        Some(Event::RunFinished { .. })
    ));
}

#[test]
fn what_prints_much_is_left_to_its_harness_the_next_time() {
    let unruly = Unruly::build();
    let options = || unruly.options(&["prints_much"]);
    let first = unruly.run(options());
    assert!(!first.attempts("prints_much")[0].output_held);
    for round in 0..2 {
        let next = unruly.run(options());
        let attempt = next.attempts("prints_much")[0];
        assert!(
            attempt.output_held && attempt.output_bytes < 1000,
            "{round}"
        );
    }
}

#[test]
fn what_took_long_goes_first_the_next_time() {
    let unruly = Unruly::build();
    let options = || -> RunOptions {
        let mut options =
            unruly.options(&["passes", "prints_bytes", "unix::closes_standard_output"]);
        options.settings.jobs = aqe_core::config::Jobs::Count(1.try_into().unwrap());
        options
    };
    if cfg!(target_os = "linux") {
        unruly.run(options());
        let next = unruly.run(options());
        let first = next.events.iter().find_map(|event| match event {
            Event::AttemptFinished { test, .. } => Some(test.name.as_str()),
            _ => None,
        });
        assert_eq!(first, Some("unix::closes_standard_output"));
    }
}
