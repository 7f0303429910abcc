//! Area `verdicts`: does every runner come to the same verdict on every test?
//!
//! Speed is worth nothing without this. The verdicts of `cargo test` are the measure; the number shown for each
//! other runner is that of tests on which it differs, so 0 is the only good one.

use std::collections::BTreeMap;
use std::fmt;
use std::io::Read;
use std::process::Stdio;

use serde_json::Value;
use xtask::suites::{Locks, Suite};
use xtask::workspace::Workspace;
use xtask::{Failure, Result, generated};

use crate::cli::Request;
use crate::report::{Row, Score};
use crate::runner::{self, Tool};

/// The name of this area.
pub const AREA: &str = "verdicts";

/// What a runner says of a test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It ran and passed.
    Passed,
    /// It ran and failed.
    Failed,
    /// It was not run, as it asked for.
    Ignored,
}

/// A test, named by the target that it is in and by its path inside.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct TestName {
    /// The target's kind and name, as cargo gives them: `lib bytes`, `test test_buf`.
    pub target: String,
    /// The test's path: `inner::passes`.
    pub test: String,
}

impl fmt::Display for TestName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.target, self.test)
    }
}

/// What a runner says of a whole suite.
pub type Verdicts = BTreeMap<TestName, Verdict>;

/// Compares all runners that are installed with `cargo test`, suite by suite.
///
/// # Errors
///
/// When a suite or a runner does not work, or when aqe differs on any test.
pub fn compare(request: &Request) -> Result<Vec<Row>> {
    runner::prepare()?;
    let mut rows = Vec::new();
    let mut wrong = Vec::new();
    for suite in suites()? {
        let expected = of(Tool::CargoTest, &suite)?;
        let mut scores = Vec::new();
        for tool in Tool::installed() {
            if tool == Tool::CargoTest || !request.wants(&suite.name, tool.name()) {
                continue;
            }
            let differences = differences(&expected, &of(tool, &suite)?);
            for difference in &differences {
                eprintln!("{} with {}: {difference}", suite.name, tool.name());
            }
            if tool.is_ours() {
                wrong.extend(differences.clone());
            }
            scores.push(score(tool.name(), differences.len()));
        }
        if !scores.is_empty() {
            rows.push(Row {
                workload: format!("{} ({} tests)", suite.name, expected.len()),
                metric: "verdicts-unlike-cargo-test".to_owned(),
                unit: "tests".to_owned(),
                scores,
            });
        }
    }
    match wrong.len() {
        0 => Ok(rows),
        count => Err(Failure::new(format!(
            "aqe differs from cargo test on {count} tests"
        ))),
    }
}

fn score(contender: &str, differences: usize) -> Score {
    let value = differences as f64;
    Score {
        contender: contender.to_owned(),
        median: value,
        min: value,
        max: value,
    }
}

/// The real suites, and the generated one that has every verdict.
fn suites() -> Result<Vec<Suite>> {
    let workspace = Workspace::load()?;
    let mut suites = xtask::suites::prepare(&workspace, Locks::Obey)?;
    let generated = generated::prepare(&workspace)?;
    suites.extend(generated.into_iter().filter(|suite| suite.name == "mixed"));
    Ok(suites)
}

/// One sentence for each test on which two runners do not agree.
#[must_use]
pub fn differences(expected: &Verdicts, found: &Verdicts) -> Vec<String> {
    let mut sentences = Vec::new();
    for (name, verdict) in expected {
        match found.get(name) {
            Some(other) if other == verdict => {}
            Some(other) => sentences.push(format!("{name} is {other:?}, expected {verdict:?}")),
            None => sentences.push(format!("{name} is missing, expected {verdict:?}")),
        }
    }
    for (name, verdict) in found {
        if !expected.contains_key(name) {
            sentences.push(format!("{name} is {verdict:?}, expected no such test"));
        }
    }
    sentences
}

/// Runs a suite with a runner and reads its verdicts.
///
/// # Errors
///
/// When the runner cannot be started or its output not be understood. Failing tests are no error.
pub fn of(tool: Tool, suite: &Suite) -> Result<Verdicts> {
    match tool {
        Tool::AqeProcess | Tool::AqeBatch => runner::aqe_verdicts(tool, suite),
        Tool::Nextest | Tool::NextestOneSpawn => nextest(tool, suite),
        Tool::CargoTest => cargo_test(suite),
    }
}

/// The command's standard output, or both streams in one as they come when `both`.
pub(crate) fn output(mut command: std::process::Command, both: bool) -> Result<String> {
    let cannot =
        |what: &str, error: std::io::Error| Failure::new(format!("cannot {what}: {error}"));
    let (mut reader, writer) = std::io::pipe().map_err(|error| cannot("make a pipe", error))?;
    if both {
        let copy = writer
            .try_clone()
            .map_err(|error| cannot("copy a pipe", error))?;
        command.stderr(copy);
    }
    command.stdout(writer).stdin(Stdio::null());
    let mut child = command
        .spawn()
        .map_err(|error| cannot(&format!("start {command:?}"), error))?;
    // The command holds the writing end; the output only ends when all copies are gone.
    drop(command);
    let mut bytes = Vec::new();
    reader
        .read_to_end(&mut bytes)
        .map_err(|error| cannot("read a runner's output", error))?;
    child
        .wait()
        .map_err(|error| cannot("wait for a runner", error))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Asks every binary's own harness, through cargo.
fn cargo_test(suite: &Suite) -> Result<Verdicts> {
    let mut command = Tool::CargoTest.command(suite, 2, &[])?;
    command.env("CARGO_TERM_COLOR", "never");
    read_libtest(&output(command, true)?, suite)
}

/// Reads what cargo and libtest print: a line that names the binary, then its tests.
fn read_libtest(text: &str, suite: &Suite) -> Result<Verdicts> {
    let mut verdicts = Verdicts::new();
    let mut target = None;
    let mut announced = 0_usize;
    for line in text.lines() {
        if let Some(running) = line.trim_start().strip_prefix("Running ") {
            target = target_of(running, suite);
        } else if let Some(count) = announcement(line) {
            announced += count;
        } else if let (Some(target), Some((test, verdict))) = (&target, libtest_line(line)) {
            let name = TestName {
                target: target.clone(),
                test: test.to_owned(),
            };
            // The first one counts: a captured output that looks like a verdict is shown after all of them.
            verdicts.entry(name).or_insert(verdict);
        }
    }
    if verdicts.len() == announced && announced > 0 {
        return Ok(verdicts);
    }
    Err(Failure::new(format!(
        "cargo test announced {announced} tests of {} and {} verdicts could be read",
        suite.name,
        verdicts.len()
    )))
}

fn announcement(line: &str) -> Option<usize> {
    let words: Vec<&str> = line.split(' ').collect();
    match words.as_slice() {
        ["running", count, "test" | "tests"] => count.parse().ok(),
        _ => None,
    }
}

/// `unittests src/lib.rs (target/debug/deps/bytes-0123456789abcdef)` to the target that was built there.
fn target_of(running: &str, suite: &Suite) -> Option<String> {
    let (_, path) = running.rsplit_once('(')?;
    let file = path.trim_end_matches(')').rsplit(['/', '\\']).next()?;
    suite
        .binaries
        .iter()
        .find(|binary| binary.path.file_name().is_some_and(|name| name == file))
        .map(|binary| format!("{} {}", kind_of(&binary.kind), binary.target))
}

/// Libraries have many kinds (`rlib`, `proc-macro`); of a package's targets, one at most is a library.
pub(crate) fn kind_of(kind: &str) -> &str {
    match kind {
        "test" | "bin" | "example" | "bench" => kind,
        _ => "lib",
    }
}

/// `test inner::passes - should panic ... ignored, for now` to its name and verdict.
fn libtest_line(line: &str) -> Option<(&str, Verdict)> {
    let (name, word) = line.strip_prefix("test ")?.rsplit_once(" ... ")?;
    let verdict = match word {
        "ok" => Verdict::Passed,
        "FAILED" => Verdict::Failed,
        word if word.starts_with("ignored") => Verdict::Ignored,
        _ => return None,
    };
    let marks = [" - should panic", " - compile fail", " - compile"];
    let name = marks
        .iter()
        .find_map(|mark| name.strip_suffix(mark))
        .unwrap_or(name);
    Some((name, verdict))
}

/// Asks nextest for its events in libtest's form.
fn nextest(tool: Tool, suite: &Suite) -> Result<Verdicts> {
    let mut command = tool.command(suite, 2, &[])?;
    command
        .args(["--message-format", "libtest-json"])
        .env("NEXTEST_EXPERIMENTAL_LIBTEST_JSON", "1");
    let verdicts = read_nextest(&output(command, false)?, suite)?;
    if verdicts.is_empty() {
        return Err(Failure::new(format!(
            "nextest reported no test of {}",
            suite.name
        )));
    }
    Ok(verdicts)
}

fn read_nextest(text: &str, suite: &Suite) -> Result<Verdicts> {
    let mut verdicts = Verdicts::new();
    for line in text.lines().filter(|line| line.starts_with('{')) {
        let event: Value = serde_json::from_str(line)?;
        if event["type"] != "test" {
            continue;
        }
        let verdict = match event["event"].as_str() {
            Some("ok") => Verdict::Passed,
            Some("failed") => Verdict::Failed,
            Some("ignored") => Verdict::Ignored,
            _ => continue,
        };
        let name = event["name"]
            .as_str()
            .and_then(|name| nextest_name(name, suite));
        let Some(name) = name else {
            return Err(Failure::new(format!(
                "nextest reports an unknown test: {line}"
            )));
        };
        verdicts.insert(name, verdict);
    }
    Ok(verdicts)
}

/// `bytes::test_buf$inner::passes` to the target that has such a name.
fn nextest_name(name: &str, suite: &Suite) -> Option<TestName> {
    let (binary, test) = name.split_once('$')?;
    let target = binary.rsplit("::").next()?;
    let underscored = |name: &str| name.replace('-', "_");
    suite
        .binaries
        .iter()
        .find(|known| underscored(&known.target) == underscored(target))
        .map(|known| TestName {
            target: format!("{} {}", kind_of(&known.kind), known.target),
            test: test.to_owned(),
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;
    use xtask::suites::Binary;

    fn suite() -> Suite {
        let binary = |kind: &str, target: &str, file: &str| Binary {
            path: PathBuf::from(format!("/t/deps/{file}")),
            kind: kind.to_owned(),
            target: target.to_owned(),
        };
        Suite {
            name: "s".to_owned(),
            dir: PathBuf::from("/t"),
            binaries: vec![
                binary("lib", "a-b", "a_b-01"),
                binary("test", "it", "it-02"),
            ],
        }
    }

    fn verdicts(list: &[(&str, &str, Verdict)]) -> Verdicts {
        list.iter()
            .map(|&(target, test, verdict)| {
                let name = TestName {
                    target: target.to_owned(),
                    test: test.to_owned(),
                };
                (name, verdict)
            })
            .collect()
    }

    fn expected() -> Verdicts {
        verdicts(&[
            ("lib a-b", "m::x", Verdict::Passed),
            ("lib a-b", "y", Verdict::Ignored),
            ("test it", "z", Verdict::Failed),
        ])
    }

    #[test]
    fn libtest_is_read_binary_by_binary() {
        let text = "     Running unittests src/lib.rs (target/debug/deps/a_b-01)\n\
                    \nrunning 2 tests\n\
                    test m::x - should panic ... ok\n\
                    test y ... ignored, for now\n\
                    \ntest result: ok. 1 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out\n\
                    \x20    Running tests/it.rs (target/debug/deps/it-02)\n\
                    running 1 test\n\
                    test z ... FAILED\n\
                    failures:\n---- z stdout ----\ntest z ... ok\n";
        assert_eq!(read_libtest(text, &suite()), Ok(expected()));
    }

    #[test]
    fn a_verdict_that_cannot_be_read_is_noticed() {
        let text = "     Running unittests src/lib.rs (target/debug/deps/a_b-01)\nrunning 2 tests\ntest y ... ok\n";
        assert!(read_libtest(text, &suite()).is_err());
    }

    #[test]
    fn nextest_is_read_event_by_event() {
        let text = concat!(
            r#"{"type":"suite","event":"started","test_count":3}"#,
            "\n",
            r#"{"type":"test","event":"started","name":"a-b::a_b$m::x"}"#,
            "\n",
            r#"{"type":"test","event":"ok","name":"a-b::a_b$m::x"}"#,
            "\n",
            r#"{"type":"test","event":"ignored","name":"a-b::a_b$y"}"#,
            "\n",
            r#"{"type":"test","event":"failed","name":"a-b::it$z"}"#,
            "\n",
        );
        assert_eq!(read_nextest(text, &suite()), Ok(expected()));
    }

    #[test]
    fn every_kind_of_difference_is_told() {
        let mut found = expected();
        assert!(differences(&expected(), &found).is_empty());
        let extra = verdicts(&[
            ("test it", "new", Verdict::Passed),
            ("test it", "z", Verdict::Passed),
        ]);
        found.extend(extra);
        found.remove(
            &verdicts(&[("lib a-b", "y", Verdict::Passed)])
                .into_keys()
                .next()
                .unwrap(),
        );
        let told = differences(&expected(), &found).join("\n");
        assert!(told.contains("y is missing"), "{told}");
        assert!(told.contains("z is Passed, expected Failed"), "{told}");
        assert!(
            told.contains("new is Passed, expected no such test"),
            "{told}"
        );
    }
}
