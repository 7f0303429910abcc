//! `aqe memory` on folders that the library has written.

#![expect(clippy::unwrap_used, reason = "helpers of tests may fail the test")]

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use aqe_core::memory::{MemoryConfig, Store};
use serde_json::Value;
use tempfile::TempDir;

mod support;
use support::{Ran, aqe};

/// A folder with a folder in it that has a store.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        // The search for settings ends here.
        fs::create_dir(place.0.path().join(".git")).unwrap();
        place
    }

    fn folder(&self) -> PathBuf {
        self.0.path().join("store")
    }

    fn open(&self) -> Store {
        Store::open(self.folder(), MemoryConfig::default()).unwrap()
    }

    /// Results as they are: much of each is in the others too.
    fn filled(entries: usize) -> Self {
        let place = Self::new();
        let store = place.open();
        let results = store.namespace("results").unwrap();
        for number in 0..entries {
            results.put(&key(number), &value(number)).unwrap();
        }
        store.put(b"one", b"more").unwrap();
        drop((results, store));
        place
    }

    fn command(&self, words: &str) -> Command {
        let mut command = aqe(self.0.path());
        command
            .arg("memory")
            .args(words.split_whitespace())
            .args(["--folder", "store"]);
        command
    }

    fn run(&self, words: &str) -> Ran {
        self.command(words).output().unwrap().into()
    }

    fn document(&self, words: &str) -> Value {
        let ran = self.run(&format!("{words} --json"));
        assert_eq!((ran.code, &*ran.stderr), (0, ""), "{words}");
        serde_json::from_str(&ran.stdout).unwrap()
    }

    /// Bytes of the files of segments.
    fn bytes(&self) -> u64 {
        let files = fs::read_dir(self.folder())
            .unwrap()
            .map(|file| file.unwrap());
        let files = files.filter(|file| file.path().extension().is_some_and(|it| it == "seg"));
        files.map(|file| file.metadata().unwrap().len()).sum()
    }

    /// Whether a figure is what the files take, but for how records are aligned in them.
    fn is_about(&self, figure: &Value) -> bool {
        figure.as_u64().unwrap().abs_diff(self.bytes()) * 20 < self.bytes()
    }

    /// Whether every entry of these numbers has its value.
    fn has(&self, mut numbers: impl Iterator<Item = usize>) -> bool {
        let store = self.open();
        let results = store.namespace("results").unwrap();
        numbers.all(|number| results.get(&key(number)).as_deref() == Some(&value(number)))
    }
}

fn key(number: usize) -> Vec<u8> {
    format!("result/{number:06}").into_bytes()
}

fn value(number: usize) -> Vec<u8> {
    let spread = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let text = format!(
        "{{\"test\":\"suite::case_{number}\",\"status\":\"passed\",\"duration_us\":{},\"seed\":\"{spread:016x}\",\
         \"host\":\"runner-{}\",\"attempts\":[{{\"number\":1,\"status\":\"passed\",\"output_bytes\":{}}}]}}",
        spread % 100_000,
        spread % 7,
        spread % 4_000
    );
    text.repeat(3).into_bytes()
}

#[test]
fn figures_are_those_of_the_store() {
    let place = Place::filled(500);
    let document = place.document("stats");
    assert_eq!(document["stats"]["entries"], 501);
    let namespaces = document["namespaces"].as_array().unwrap();
    let entries = |name: &str| {
        let found = namespaces.iter().find(|it| it["name"] == name);
        found.map(|found| found["entries"].as_u64().unwrap())
    };
    assert_eq!((entries("results"), entries("")), (Some(500), Some(1)));
    assert!(
        place.is_about(&document["stats"]["disk_bytes"]),
        "{document}"
    );
    assert_eq!(document["damaged_places"], 0);
    let ran = place.run("stats");
    assert_eq!((ran.code, &*ran.stderr), (0, ""));
    assert!(ran.stdout.contains("500 in results"), "{}", ran.stdout);
    assert!(ran.stdout.contains("1 in (no name)"), "{}", ran.stdout);
}

#[test]
fn an_analysis_adds_up() {
    let place = Place::filled(500);
    let document = place.document("analyze");
    let sum = |list: &str, path: &[&str]| -> u64 {
        let parts = document[list].as_array().unwrap().iter();
        let figure = |part| path.iter().fold(part, |part: &Value, name| &part[*name]);
        parts.map(|part| figure(part).as_u64().unwrap()).sum()
    };
    for (list, path) in [
        ("tiers", &["amount", "entries"][..]),
        ("namespaces", &["all", "entries"]),
        ("ages", &["entries"]),
        ("remaining", &["entries"]),
    ] {
        assert_eq!(sum(list, path), 501, "{list}");
    }
    let values: usize = (0..500).map(|number| value(number).len()).sum();
    assert_eq!(
        sum("namespaces", &["all", "value_bytes"]),
        values as u64 + 4
    );
    assert!(document.get("trends").is_none());
    let ran = place.run("analyze");
    assert_eq!((ran.code, &*ran.stderr), (0, ""));
    for part in ["Tier", "Namespace", "Largest entries", "result/000"] {
        assert!(ran.stdout.contains(part), "{part}: {}", ran.stdout);
    }
    assert!(!ran.stdout.contains("Trends"));
    let trends = &place.document("analyze --show-trends")["trends"];
    assert_eq!(trends["taken"], "since the store was opened");
    assert!(
        place
            .run("analyze --show-trends")
            .stdout
            .contains("Trends, sampled")
    );
}

#[test]
fn a_cleanup_gives_back_what_is_dead_and_keeps_the_rest() {
    let place = Place::filled(2_000);
    // Taken now: an open store clears away by itself.
    let before = place.bytes();
    let store = place.open();
    let results = store.namespace("results").unwrap();
    for number in (0..2_000).filter(|number| number % 3 > 0) {
        results.remove(&key(number)).unwrap();
    }
    drop((results, store));
    let document = place.document("cleanup --aggressive");
    assert_eq!(document["cleanup"], "aggressive");
    assert_eq!(document["after"]["entries"], 668);
    assert!(
        place.is_about(&document["after"]["disk_bytes"]),
        "{document}"
    );
    assert!(place.bytes() * 2 < before, "{} of {before}", place.bytes());
    assert!(place.has((0..2_000).step_by(3)));
    for (words, how) in [
        ("cleanup", "expired"),
        ("cleanup --cache-only", "cache-only"),
    ] {
        assert_eq!(place.document(words)["cleanup"], how);
    }
    assert!(place.has((0..2_000).step_by(3)));
    let ran = place.run("cleanup");
    assert_eq!((ran.code, &*ran.stderr), (0, ""));
    assert!(ran.stdout.starts_with("0 entries over"), "{}", ran.stdout);
}

#[test]
fn optimizing_makes_values_smaller_and_changes_none() {
    let place = Place::filled(2_000);
    let before = place.bytes();
    let document = place.document("optimize --aggressive");
    assert_eq!(document["optimize"], "aggressive");
    let figure = |name: &str| document[name].as_u64().unwrap();
    assert!(figure("values_recompressed") > 1_000, "{document}");
    assert!(
        figure("record_bytes_after") < figure("record_bytes_before"),
        "{document}"
    );
    assert!(
        place.is_about(&document["after"]["disk_bytes"]),
        "{document}"
    );
    assert!(place.bytes() < before, "{} of {before}", place.bytes());
    assert!(place.has(0..2_000));
    let ran = place.run("optimize");
    assert_eq!((ran.code, &*ran.stderr), (0, ""), "{}", ran.stdout);
    assert_eq!(place.document("optimize")["optimize"], "normal");
    assert!(place.has(0..2_000));
}

#[test]
fn damage_is_named_and_ends_with_1() {
    let place = Place::filled(50);
    let ran = place.run("diagnose");
    assert_eq!((ran.code, &*ran.stderr), (0, ""), "{}", ran.stdout);
    assert_eq!(ran.stdout, "nothing is wrong with the store\n");
    let document = place.document("diagnose");
    assert!(document["findings"].as_array().unwrap().is_empty());
    assert!(document.get("sites").is_none() && document.get("process").is_none());
    let document = place.document("diagnose --show-allocations");
    let sites = document["sites"].as_array().unwrap().iter();
    assert_eq!(
        sites
            .map(|site| site["entries"].as_u64().unwrap())
            .sum::<u64>(),
        51
    );
    assert!(
        place
            .run("diagnose --show-allocations")
            .stdout
            .contains("Namespace")
    );

    let files = fs::read_dir(place.folder())
        .unwrap()
        .map(|file| file.unwrap().path());
    let segments = files.filter(|path| path.extension().is_some_and(|it| it == "seg"));
    let largest = segments
        .max_by_key(|path| fs::metadata(path).unwrap().len())
        .unwrap();
    let mut bytes = fs::read(&largest).unwrap();
    bytes[160] ^= 0xff;
    fs::write(&largest, bytes).unwrap();
    let ran = place.run("diagnose");
    assert_eq!((ran.code, &*ran.stderr), (1, ""));
    assert!(ran.stdout.starts_with("critical: "), "{}", ran.stdout);
    let name = largest.file_name().unwrap().to_str().unwrap();
    assert!(
        ran.stdout.contains(name) && ran.stdout.contains("hint: "),
        "{}",
        ran.stdout
    );
    let ran = place.run("diagnose --json");
    let document: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(
        (ran.code, &document["findings"][0]["problem"]),
        (1, &"damage".into())
    );
    assert!(place.run("stats").stdout.contains("Damaged"));
}

#[test]
fn where_there_is_no_store_none_is_begun() {
    let place = Place::new();
    let commands = [
        "stats",
        "stats --real-time",
        "analyze",
        "diagnose",
        "optimize",
        "cleanup",
    ];
    for folder_is_there in [false, true] {
        if folder_is_there {
            fs::create_dir(place.folder()).unwrap();
        }
        for words in commands {
            let ran = place.run(words);
            assert_eq!((ran.code, &*ran.stdout), (4, ""), "{words}");
            assert!(
                ran.stderr.contains("error: there is no store in "),
                "{}",
                ran.stderr
            );
            assert!(ran.stderr.contains("hint: "), "{}", ran.stderr);
        }
    }
    assert_eq!(fs::read_dir(place.folder()).unwrap().count(), 0);
}

#[test]
fn a_store_that_is_open_elsewhere_is_left_alone() {
    let place = Place::filled(5);
    let store = place.open();
    for words in [
        "stats",
        "analyze",
        "diagnose",
        "optimize",
        "cleanup --aggressive",
    ] {
        let ran = place.run(words);
        assert_eq!((ran.code, &*ran.stdout), (5, ""), "{words}");
        let holder = format!("process {}", std::process::id());
        assert!(ran.stderr.contains(&holder), "{words}: {}", ran.stderr);
    }
    drop(store);
    assert_eq!(place.run("stats").code, 0);
}

/// Lines of a command that goes on, while this is read.
fn watched(
    place: &Place,
    words: &str,
) -> (std::process::Child, BufReader<std::process::ChildStdout>) {
    let mut command = place.command(words);
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let stdout = BufReader::new(child.stdout.take().unwrap());
    (child, stdout)
}

#[cfg(unix)]
#[test]
fn real_time_goes_on_until_it_is_interrupted() {
    let place = Place::filled(5);
    let (mut child, stdout) = watched(&place, "stats --real-time --interval 0.1 --json");
    let mut lines = stdout
        .lines()
        .map(|line| -> Value { serde_json::from_str(&line.unwrap()).unwrap() });
    assert_eq!(lines.next().unwrap()["figures"]["stats"]["entries"], 6);
    // Between two looks the store is nobody's.
    let store = loop {
        match Store::open(place.folder(), MemoryConfig::default()) {
            Ok(store) => break store,
            Err(error) => assert!(error.to_string().contains("being written to"), "{error}"),
        }
    };
    store.put(b"two", b"more").unwrap();
    let elsewhere = lines.find(|line| line.get("elsewhere").is_some()).unwrap();
    assert!(
        elsewhere["elsewhere"]
            .as_str()
            .unwrap()
            .contains("process "),
        "{elsewhere}"
    );
    drop(store);
    lines
        .find(|line| line["figures"]["stats"]["entries"] == 7)
        .unwrap();
    let process = child.id().cast_signed();
    // SAFETY: `kill` takes numbers and touches no memory of ours.
    assert_eq!(unsafe { libc::kill(process, libc::SIGINT) }, 0);
    drop(lines);
    assert_eq!(child.wait().unwrap().code(), Some(130));
}

#[test]
fn real_time_ends_when_nobody_reads() {
    let place = Place::filled(5);
    let (mut child, mut stdout) = watched(&place, "stats --real-time --interval 0.1");
    let mut line = String::new();
    stdout.read_line(&mut line).unwrap();
    assert!(
        line.starts_with("6 entries, ") && line.ends_with(" in memory\n"),
        "{line}"
    );
    drop(stdout);
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

/// A project with one test and two runs of it.
#[test]
fn without_a_folder_it_is_the_history_of_the_project() {
    let place = Place::new();
    let folder: &Path = place.0.path();
    fs::create_dir(folder.join("src")).unwrap();
    fs::write(folder.join("src/lib.rs"), "#[test] fn passes() {}\n").unwrap();
    let manifest =
        "[package]\nname = \"suite\"\nversion = \"0.1.0\"\nedition = \"2024\"\n[workspace]\n";
    fs::write(folder.join("Cargo.toml"), manifest).unwrap();
    let run = |words: &str| -> Ran {
        let mut command = aqe(folder);
        command
            .env_remove("CARGO_TARGET_DIR")
            .env("CARGO_NET_OFFLINE", "true");
        command
            .args(words.split_whitespace())
            .output()
            .unwrap()
            .into()
    };
    let ran = run("memory stats");
    assert_eq!((ran.code, &*ran.stdout), (4, ""));
    assert!(
        ran.stderr.contains("hint: `aqe run` begins one"),
        "{}",
        ran.stderr
    );
    for _ in 0..2 {
        assert_eq!(run("run").code, 0);
    }
    let document = |words: &str| -> Value {
        let ran = run(words);
        assert_eq!(ran.code, 0, "{words}: {}", ran.stderr);
        serde_json::from_str(&ran.stdout).unwrap()
    };
    let stats = document("memory stats --json");
    let namespaces = stats["namespaces"].as_array().unwrap();
    assert!(
        namespaces
            .iter()
            .any(|it| it["name"] == "executions" && it["entries"] == 2)
    );
    let trends = &document("memory analyze --show-trends --json")["trends"];
    assert_eq!(trends["taken"], "at the end of each run");
    assert_eq!(trends["samples"].as_array().unwrap().len(), 2);
    assert!(
        trends["rates"]["entries_per_hour"].as_f64().unwrap() > 0.0,
        "{trends}"
    );
    assert_eq!(run("memory cleanup --aggressive").code, 0);
    assert_eq!(document("history --json")["tests"][0]["runs"], 2);
}
