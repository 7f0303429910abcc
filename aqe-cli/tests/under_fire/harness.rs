//! Harnesses other than libtest, and harnesses that do not answer.

use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use crate::project::{Project, events, table, verdicts};

/// Cases that are files, as such harnesses have them: names with slashes, dots and blanks, and few of libtest's flags.
const DATA: &str = r#"
use std::process::ExitCode;
const CASES: [(&str, bool); 4] =
    [("data::one.txt", true), ("data::sub/two words.txt", true), ("data::größe.txt", true), ("data::bad.txt", false)];

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let has = |flag: &str| words.iter().any(|word| word == flag);
    for word in words.iter().filter(|word| word.starts_with("--")) {
        if !["--list", "--format", "--ignored", "--exact", "--nocapture"].contains(&word.as_str()) {
            eprintln!("error: unknown option {word}");
            return ExitCode::from(2);
        }
    }
    if has("--list") {
        assert!(has("--format") && has("terse"));
        if !has("--ignored") {
            CASES.iter().for_each(|(name, _)| println!("{name}: test"));
        }
        return ExitCode::SUCCESS;
    }
    let wanted: Vec<&String> = words.iter().filter(|word| !word.starts_with("--")).collect();
    assert!(has("--exact"), "{words:?}");
    let chosen: Vec<_> = CASES.iter().filter(|(name, _)| wanted.iter().any(|word| word == name)).collect();
    println!("\nrunning {} tests", chosen.len());
    let mut failed = 0;
    for (name, good) in &chosen {
        if !good {
            failed += 1;
            eprintln!("{name}: line 3: a comma is missing");
        }
        println!("test {name} ... {}", if *good { "ok" } else { "FAILED" });
    }
    let word = if failed == 0 { "ok" } else { "FAILED" };
    println!("\ntest result: {word}. {} passed; {failed} failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s", chosen.len() - failed);
    ExitCode::from(if failed == 0 { 0 } else { 101 })
}
"#;

const MIMIC: &str = r#"
use libtest_mimic::{Arguments, Failed, Trial};
fn main() {
    let trials = vec![
        Trial::test("passes", || Ok(())),
        Trial::test("cases/größe 1.txt", || Ok(())).with_kind("ui"),
        Trial::test("fails", || Err(Failed::from("the picture differs"))),
        Trial::test("later", || Ok(())).with_ignored_flag(true),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}
"#;

const MANIFEST: &str = r#"
[dev-dependencies]
libtest-mimic = "0.8"
[[test]]
name = "mimic"
harness = false
[[test]]
name = "data"
harness = false
"#;

static OTHERS: LazyLock<Project> = LazyLock::new(|| {
    let files = [
        ("src/lib.rs", "#[test] fn healthy() {}\n"),
        ("tests/mimic.rs", MIMIC),
        ("tests/data.rs", DATA),
    ];
    let project = Project::new("harness", MANIFEST, &files);
    let lock = project.path("Cargo.lock");
    if !lock.exists() {
        // The versions that these tests were built with are there without a network; cargo drops those it does not need.
        let ours = Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.lock");
        fs::copy(ours, lock).unwrap();
    }
    project
});

#[test]
fn harnesses_of_another_make_are_run_in_both_isolations() {
    let expected = table(&[
        ("healthy", "passed"),
        ("passes", "passed"),
        ("[ui] cases/größe 1.txt", "passed"),
        ("fails", "failed"),
        ("later", "ignored"),
        ("data::one.txt", "passed"),
        ("data::sub/two words.txt", "passed"),
        ("data::größe.txt", "passed"),
        ("data::bad.txt", "failed"),
    ]);
    for isolation in ["process", "batch"] {
        let ran = OTHERS.run(&format!("--json --isolation {isolation}"));
        assert_eq!(ran.code, 1, "{}", ran.stderr);
        let events = events(&ran.stdout);
        assert_eq!(verdicts(&events), expected, "{isolation}: {}", ran.stdout);
        for said in ["the picture differs", "a comma is missing"] {
            assert!(ran.stdout.contains(said), "{isolation}: {}", ran.stdout);
        }
    }
}

#[test]
fn a_binary_that_crashes_when_it_is_listed_does_not_take_the_others_along() {
    let crash = r#"fn main() { eprintln!("no \u{1b}[31mdisplay"); std::process::abort() }"#;
    let manifest = "[[test]]\nname = \"crash\"\nharness = false\n";
    let files = [
        (
            "src/lib.rs",
            "#[test] fn healthy() {}\n#[test] fn well() {}\n",
        ),
        ("tests/crash.rs", crash),
    ];
    let project = Project::new("crash", manifest, &files);
    for isolation in ["process", "batch"] {
        let ran = project.run(&format!("--isolation {isolation}"));
        assert_eq!(ran.code, 5, "{}", ran.stderr);
        assert!(
            ran.stdout.contains("2 tests run: 2 passed, 0 failed"),
            "{}",
            ran.stdout
        );
        let told = ran
            .stderr
            .split_once("error: cannot list the tests of fire::crash: ");
        let (_, told) = told.unwrap_or_else(|| panic!("{}", ran.stderr));
        assert!(told.contains("  | no [31mdisplay\n"), "{told}");
        #[cfg(unix)]
        {
            assert!(told.starts_with("it was killed by SIGABRT"), "{told}");
            let by_hand = told
                .lines()
                .find_map(|line| line.trim().strip_prefix("try it by hand: "))
                .unwrap();
            let mut shell = std::process::Command::new("sh");
            let said = shell.args(["-c", by_hand]).output().unwrap();
            assert!(
                String::from_utf8_lossy(&said.stderr).contains("display"),
                "{by_hand}"
            );
        }
        // The others of the same project are chosen as always.
        let ran = project.run("--lib");
        assert_eq!(ran.code, 0, "{}", ran.stderr);
    }
}

/// Nobody waits a minute for a binary that does not answer when the run is to end.
#[cfg(target_os = "linux")]
#[test]
fn a_binary_that_hangs_when_it_is_listed_can_be_interrupted() {
    use crate::leash::{Leash, TUG};
    use crate::project::Running;

    let hang = format!("{TUG}\nfn main() {{ tug(b'l'); loop {{ std::thread::park() }} }}\n");
    let manifest = "[[test]]\nname = \"hang\"\nharness = false\n";
    let files = [
        ("src/lib.rs", "#[test] fn healthy() {}\n"),
        ("tests/hang.rs", &hang),
    ];
    let project = Project::new("hang", manifest, &files);
    let mut command = project.command("--set run.gracePeriod=100ms");
    let mut leash = Leash::tie(&mut command);
    let running = Running::start(command);
    assert_eq!(leash.feel(), b'l');
    // SAFETY: the child was not waited for, so that its number is still its own.
    let sent = unsafe { libc::kill(running.child.id().cast_signed(), libc::SIGINT) };
    assert_eq!(sent, 0);
    let ran = running.end();
    assert_eq!(ran.code, 130, "{}", ran.stderr);
    // A listing begins with two calls. A third one would be the start of another minute.
    assert!(
        leash.slack().len() < 2,
        "asked again after the interruption"
    );
}
