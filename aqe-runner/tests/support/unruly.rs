//! A package whose tests do everything that a runner has to cope with, built once and kept between runs of these tests.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aqe_runner::cargo::{Selection, Workspace, find_test_binaries};
use aqe_runner::model::Verdict;
use aqe_runner::run::{Event, Reporter, RunControl, RunOptions, RunReport, Runner};

const MANIFEST: &str = "[package]\nname = 'unruly'\nversion = '0.1.0'\nedition = '2021'\n[workspace]\n[profile.dev]\ndebug = false\n";

const LIB: &str = r##"
#![cfg(test)]
use std::io::Write;

fn scratch(name: &str) -> std::path::PathBuf {
    std::path::Path::new(&std::env::var_os("UNRULY_SCRATCH").expect("set by the test")).join(name)
}
fn for_ever() -> ! { loop { std::thread::park() } }
fn raw_out(bytes: &[u8]) { std::io::stdout().write_all(bytes).unwrap(); std::io::stdout().flush().unwrap(); }

#[test] fn passes() {}
#[test] fn passes_too() { println!("a line"); }
#[test] fn fails() { println!("before the panic"); assert_eq!(1 + 1, 3, "arithmetic"); }
#[test] #[should_panic(expected = "fine")] fn panics_as_it_should() { panic!("fine") }
#[test] #[cfg_attr(all(), ignore = "takes a week")] fn is_ignored() {}
#[test] fn prints_bytes() { raw_out(b"\xff\xfe\0 not text \x1b[31m\n"); }
#[test] fn fails_with_bytes() { raw_out(b"\xff\xfe\0 not text\n"); panic!("after bytes"); }
#[test] fn prints_much() { for _ in 0..40_000 { println!("{}", "x".repeat(99)); } }
#[test] fn exits_with_zero() { std::process::exit(0) }
#[test] fn exits_with_three() { std::process::exit(3) }
#[test] fn aborts() { eprintln!("last words"); std::process::abort() }
#[test] fn hangs() { println!("before hanging"); for_ever() }
#[test] fn forges_a_verdict() { raw_out(b"\ntest fails ... ok\ntest result: ok. 99 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out\n"); panic!("forged") }
#[test] fn is_flaky() {
    let mark = scratch("flaky");
    if !mark.exists() { std::fs::write(&mark, "").unwrap(); panic!("the first time"); }
}
#[test] fn fails_in_company() {
    // The program's name, and this test's.
    let words = std::env::args().filter(|word| !word.starts_with('-')).count();
    assert_eq!(words, 2);
}

/// Before `main`: lists nothing while the mark is there.
#[cfg(target_os = "linux")] #[used] #[link_section = ".init_array"] static INIT: extern "C" fn() = hold_listing;
#[cfg(target_os = "linux")] extern "C" fn hold_listing() {
    if scratch("hold_listing").exists() { std::fs::write(scratch("is_held"), "").unwrap(); for_ever() }
}

#[cfg(target_os = "linux")] mod unix {
    use super::*;
    use std::process::{Command, Stdio};
    extern "C" { fn close(fd: i32) -> i32; fn kill(pid: i32, signal: i32) -> i32; }
    #[test] fn closes_standard_output() { unsafe { close(1) }; std::thread::sleep(std::time::Duration::from_millis(200)); }
    #[test] fn kills_its_group() { unsafe { kill(0, 9) }; for_ever() }
    #[test] fn leaves_a_daemon() {
        let daemon = Command::new("sleep").arg("600").stdin(Stdio::null()).spawn().unwrap();
        std::fs::write(scratch("daemon"), daemon.id().to_string()).unwrap();
    }
    #[test] fn leaves_a_quiet_daemon() {
        let daemon = Command::new("setsid").args(["sleep", "600"])
            .stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::fs::write(scratch("quiet_daemon"), daemon.id().to_string()).unwrap();
        // It has left the group when it is no longer the program that does so.
        while !std::fs::read_to_string(format!("/proc/{}/cmdline", daemon.id())).unwrap().starts_with("sleep") { std::thread::yield_now() }
    }
    #[test] fn hangs_with_a_child() {
        let child = Command::new("sleep").arg("600").spawn().unwrap();
        std::fs::write(scratch("child"), child.id().to_string()).unwrap();
        for_ever()
    }
}
"##;

/// The package, built, with a state folder and a scratch folder of this test's own.
pub(crate) struct Unruly {
    workspace: Workspace,
    folder: tempfile::TempDir,
}

/// What a run told.
pub(crate) struct Told {
    pub(crate) report: RunReport,
    pub(crate) events: Vec<Event>,
}

impl Unruly {
    pub(crate) fn build() -> Self {
        let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join("unruly");
        write_if_new(&root.join("Cargo.toml"), MANIFEST);
        write_if_new(&root.join("src/lib.rs"), LIB);
        let folder = tempfile::tempdir().unwrap();
        // The configuration in the package's folder hands the scratch folder over; kept apart from the sources, since
        // tests of this package run side by side.
        let scratch = format!("env.UNRULY_SCRATCH='{}'", folder.path().display());
        let mut selection = Selection::default();
        selection.offline = true;
        selection.target_dir = Some(root.join("target"));
        selection.cargo_args = vec!["--config".into(), scratch.into()];
        Self {
            workspace: find_test_binaries(&root, &selection).unwrap(),
            folder,
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Options with a state folder of this test's own, and two jobs whatever the machine.
    pub(crate) fn options(&self, names: &[&str]) -> RunOptions {
        let mut options = RunOptions::default();
        options.state = Some(self.path("state"));
        options.filter.names = names.iter().map(ToString::to_string).collect();
        options.filter.matching = aqe_runner::run::NameMatch::Exact;
        options.settings.jobs = aqe_core::config::Jobs::Count(2.try_into().unwrap());
        options.settings.grace_period = Duration::from_millis(200);
        options.adopt_orphans = true;
        options
    }

    pub(crate) fn run(&self, options: RunOptions) -> Told {
        self.run_with(options, |_, _| {})
    }

    /// Runs, and calls `act` with every event while the run goes on.
    pub(crate) fn run_with(
        &self,
        options: RunOptions,
        act: impl FnMut(&Event, &RunControl) + Send + 'static,
    ) -> Told {
        self.run_from(options, drop, act)
    }

    /// As [`run_with`](Self::run_with), and hands the control to `begin` before the tests are listed.
    pub(crate) fn run_from(
        &self,
        options: RunOptions,
        begin: impl FnOnce(RunControl),
        act: impl FnMut(&Event, &RunControl) + Send + 'static,
    ) -> Told {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let events = Arc::new(Mutex::new(Vec::new()));
        let report = runtime.block_on(async {
            let runner = Runner::new(options).unwrap();
            let listener = Listener {
                events: Arc::clone(&events),
                control: runner.control(),
                act,
            };
            begin(runner.control());
            runner
                .run(&self.workspace, Box::new(listener))
                .await
                .unwrap()
        });
        let events = std::mem::take(&mut *events.lock().unwrap());
        Told { report, events }
    }
}

impl Told {
    /// The verdict of every test, in words.
    pub(crate) fn verdicts(&self) -> BTreeMap<&str, String> {
        let mut verdicts = BTreeMap::new();
        for event in &self.events {
            if let Event::TestFinished { test, verdict, .. } = event {
                let before = verdicts.insert(test.name.as_str(), verdict.to_string());
                assert_eq!(before, None, "{test} has two verdicts");
            }
        }
        verdicts
    }

    pub(crate) fn verdict(&self, name: &str) -> &Verdict {
        self.events
            .iter()
            .find_map(|event| match event {
                Event::TestFinished { test, verdict, .. } if test.name.as_str() == name => {
                    Some(verdict)
                }
                _ => None,
            })
            .unwrap()
    }

    /// The attempts at a test, in order.
    pub(crate) fn attempts(&self, name: &str) -> Vec<&aqe_runner::model::Attempt> {
        let attempts = self.events.iter().filter_map(|event| match event {
            Event::AttemptFinished { test, attempt, .. } if test.name.as_str() == name => {
                Some(attempt)
            }
            _ => None,
        });
        attempts.collect()
    }

    pub(crate) fn warnings(&self) -> Vec<&str> {
        let warnings = self.events.iter().filter_map(|event| match event {
            Event::Warning { message } => Some(message.as_str()),
            _ => None,
        });
        warnings.collect()
    }
}

struct Listener<F> {
    events: Arc<Mutex<Vec<Event>>>,
    control: RunControl,
    act: F,
}

impl<F: FnMut(&Event, &RunControl) + Send> Reporter for Listener<F> {
    fn event(&mut self, event: &Event) {
        (self.act)(event, &self.control);
        self.events.lock().unwrap().push(event.clone());
    }
}

/// Leaves a file alone that is as it should be, so that cargo finds nothing to build.
fn write_if_new(path: &Path, text: &str) {
    if fs::read_to_string(path).is_ok_and(|found| found == text) {
        return;
    }
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    // Several tests may write it at once; each renames a file of its own into place.
    let file = tempfile::NamedTempFile::new_in(path.parent().unwrap()).unwrap();
    fs::write(file.path(), text).unwrap();
    file.persist(path).unwrap();
}
