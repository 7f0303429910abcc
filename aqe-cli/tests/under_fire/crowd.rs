//! A project for runs that are short of something, or not alone.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use aqe_runner::journal::{Entry, JournalReader, Record};
use tempfile::TempDir;

use crate::project::{Project, Running, events, verdicts};

const LIBRARY: &str = r#"
macro_rules! quick { ($($name:ident)*) => { $(#[test] fn $name() {})* } }
quick! {
    a00 a01 a02 a03 a04 a05 a06 a07 a08 a09 a10 a11 a12 a13 a14 a15 a16 a17 a18 a19
    b00 b01 b02 b03 b04 b05 b06 b07 b08 b09 b10 b11 b12 b13 b14 b15 b16 b17 b18 b19
    c00 c01 c02 c03 c04 c05 c06 c07 c08 c09 c10 c11 c12 c13 c14 c15 c16 c17 c18 c19
}
#[test] fn fails() { panic!("as it should") }
#[test] fn fails_loudly() {
    println!("its first line");
    for number in 0..20_000 { println!("line {number} of many"); }
    println!("its last line");
    panic!("as it should");
}
"#;

/// Writes so many bytes, given in `FLOOD`, to each stream, numbered so that a gap would be seen.
const FLOOD: &str = r#"
use std::io::Write;
#[test] fn floods() {
    let bytes: usize = std::env::var("FLOOD").unwrap().parse().unwrap();
    let block: Vec<u8> = (0..4096).flat_map(|number| format!("{number:015}\n").into_bytes()).collect();
    let (mut out, mut err) = (std::io::stdout().lock(), std::io::stderr().lock());
    for _ in 0..bytes / block.len() {
        out.write_all(&block).unwrap();
        err.write_all(&block).unwrap();
    }
    panic!("after the flood");
}
"#;

/// Runs until somebody writes to the pipe in `STATE`.
const WAITS: &str = r#"
use std::io::Read;
#[test] fn waits() {
    let pipe = std::path::Path::new(&std::env::var_os("STATE").unwrap()).join("pipe");
    let mut byte = [0];
    std::fs::File::open(pipe).unwrap().read_exact(&mut byte).unwrap();
}
"#;

/// What quick tests, a failing one and a loud one make of a run.
pub(crate) const EVERYTHING: &str = "--skip floods --skip waits";
pub(crate) const TESTS: usize = 62;

pub(crate) fn crowd(name: &str) -> Project {
    let files = [
        ("src/lib.rs", LIBRARY),
        ("tests/flood.rs", FLOOD),
        ("tests/waits.rs", WAITS),
    ];
    Project::new(name, "", &files)
}

pub(crate) static CROWD: LazyLock<Project> = LazyLock::new(|| crowd("crowd"));

/// A pipe that a test waits on.
pub(crate) struct Gate {
    folder: TempDir,
    pipe: File,
}

impl Gate {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&path).status();
        assert!(made.unwrap().success());
        // Linux opens both ends at once, and so waits for nobody.
        let pipe = OpenOptions::new()
            .read(true)
            .write(true)
            .open(path)
            .unwrap();
        Self { folder, pipe }
    }

    pub(crate) fn state(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn open(&mut self) {
        self.pipe.write_all(b"x").unwrap();
    }
}

/// The most memory that a process had so far, in bytes.
fn peak(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.unwrap().trim().trim_end_matches(" kB");
    kib.parse::<u64>().unwrap() * 1024
}

const MIB: u64 = 1024 * 1024;

#[test]
fn a_flood_of_output_is_on_disk_and_not_in_memory_or_on_the_screen() {
    let mut gate = Gate::new();
    for isolation in ["process", "batch"] {
        let words = format!("floods waits --jobs 2 --json --isolation {isolation}");
        let mut command = CROWD.command(&words);
        command
            .env("STATE", gate.state())
            .env("FLOOD", (100 * MIB).to_string());
        let mut running = Running::start(command);
        let attempt = running.until("\"event\":\"attempt-finished\"");
        running.until("\"event\":\"test-finished\"");
        // The other test still runs, and so does the program.
        let peak = peak(running.child.id());
        gate.open();
        let ran = running.end();
        assert_eq!(ran.code, 1, "{}", ran.stderr);
        assert!(peak < 64 * MIB, "{isolation}: {peak} bytes");
        assert!(ran.stdout.len() < 1024 * 1024, "{}", ran.stdout.len());
        let attempt = &events(&attempt)[0];
        assert_eq!(attempt["test"], "floods");
        for stream in ["stdout", "stderr"] {
            let stream = &attempt["attempt"]["output"][stream];
            let total = stream["total_bytes"].as_u64().unwrap();
            assert!(total >= 100 * MIB, "{isolation}: {total}");
            let file = Path::new(stream["file"].as_str().unwrap());
            assert_eq!(file.metadata().unwrap().len(), total);
            std::fs::remove_file(file).unwrap();
        }
    }
}

/// The file has an end too, and what is not in it must not be promised.
#[test]
fn what_does_not_fit_in_the_file_either_is_said_to_be_left_out() {
    let mut command = CROWD.command("floods");
    command.env("FLOOD", (257 * MIB).to_string());
    let ran = Running::start(command).end();
    assert_eq!(ran.code, 1, "{}", ran.stderr);
    let notes: Vec<&str> = ran
        .stdout
        .lines()
        .filter(|line| line.contains("bytes are not shown"))
        .collect();
    assert_eq!(notes.len(), 2, "{}", ran.stdout);
    for note in notes {
        let (said, path) = note
            .split_once(" are in ")
            .unwrap_or_else(|| panic!("{note}"));
        assert!(said.ends_with("; the first 268435456 bytes"), "{note}");
        let path = PathBuf::from(path.trim_end_matches(" ..."));
        assert_eq!(path.metadata().unwrap().len(), 256 * MIB);
        std::fs::remove_file(path).unwrap();
    }
}

#[test]
fn two_runs_of_one_project_at_the_same_time_do_not_meet() {
    let mut gates = [Gate::new(), Gate::new()];
    let mut runs: Vec<Running> = gates
        .iter()
        .map(|gate| {
            let mut command = CROWD.command("--skip floods --json");
            command.env("STATE", gate.state());
            Running::start(command)
        })
        .collect();
    // Both are in the middle of it before either may end.
    for run in &mut runs {
        loop {
            let line = run.until("\"event\":\"attempt-started\"");
            if line.contains("\"waits\"") {
                break;
            }
        }
    }
    gates.iter_mut().for_each(Gate::open);
    let mut journals = Vec::new();
    for run in runs {
        let ran = run.end();
        assert_eq!(ran.code, 1, "{}", ran.stderr);
        let events = events(&ran.stdout);
        assert_eq!(verdicts(&events).len(), TESTS + 1);
        assert!(
            events.iter().all(|event| event["event"] != "warning"),
            "{}",
            ran.stdout
        );
        let journal = PathBuf::from(events[0]["journal"].as_str().unwrap());
        let mut reader = JournalReader::open(&journal).unwrap();
        let records: Vec<Entry> = reader.by_ref().map(Result::unwrap).collect();
        assert!(reader.report().is_whole(), "{:?}", reader.report());
        let is_verdict = |entry: &&Entry| matches!(entry, Entry::Record(Record::Verdict { .. }));
        assert_eq!(records.iter().filter(is_verdict).count(), TESTS + 1);
        assert!(matches!(
            records.last(),
            Some(Entry::Record(Record::RunFinished { .. }))
        ));
        journals.push(journal);
    }
    assert_ne!(journals[0], journals[1]);
}
