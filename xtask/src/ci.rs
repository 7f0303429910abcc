//! `cargo xtask ci`: the ordered list of all that CI checks.
//!
//! A step says its name, how long it took, and the line that repeats it alone. The list stops at the
//! first failure, since most later steps would fail for the same reason; `--keep-going` runs it all.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::process::Command;
use crate::tally::Tally;
use crate::test_run::{self, Extent};
use crate::workspace::Workspace;
use crate::{Failure, Result, fuzz, hygiene, package, tools};

/// The instrumented runs are slow to build and can hang on a real bug, so they have a limit.
const INSTRUMENTED_LIMIT: Duration = Duration::from_secs(20 * 60);

/// How many operations `simulate` plays, and for how long at most. They take about a minute on two cores; a queue that
/// hangs takes for ever.
const SIMULATED_OPERATIONS: &str = "10000000";
const SIMULATION_LIMIT: Duration = Duration::from_secs(10 * 60);

/// Valgrind runs one thread at a time; without turns by the clock, one that waits in a loop would keep the others from
/// what it waits for.
const VALGRIND: &str = "valgrind --quiet --error-exitcode=99 --leak-check=full --show-leak-kinds=definite \
    --errors-for-leak-kinds=definite --fair-sched=yes";
const VALGRIND_LIMIT: Duration = Duration::from_secs(5 * 60);

/// Most crates that the default features of the facade may bring, the facade included. A library that
/// people add to their own project is judged by what it drags in.
const FACADE_CRATES: usize = 70;

/// What to do after a failed step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnFailure {
    /// Leave the remaining steps out.
    Stop,
    /// Run them all the same.
    KeepGoing,
}

/// One check of CI.
#[derive(Debug)]
pub struct Step {
    /// The word that selects it: `cargo xtask ci NAME`.
    pub name: &'static str,
    /// What it checks, in one line.
    pub about: &'static str,
    run: fn(&mut Context) -> Result<()>,
}

/// What the steps work on, and what they leave behind for the summary.
#[derive(Debug)]
struct Context {
    workspace: Workspace,
    tally: Option<Tally>,
}

/// All steps, cheapest first among those that catch most.
pub const STEPS: &[Step] = &[
    Step {
        name: "hygiene",
        about: "no tracked file names a folder or a registry of one machine",
        run: |context| hygiene::check(&context.workspace),
    },
    Step {
        name: "fmt",
        about: "formatted with rustfmt",
        run: fmt,
    },
    Step {
        name: "clippy",
        about: "no lint fires, all targets and features",
        run: clippy,
    },
    Step {
        name: "features",
        about: "every library compiles without and with its default features alone",
        run: features,
    },
    Step {
        name: "doc",
        about: "the documentation builds without a warning",
        run: doc,
    },
    Step {
        name: "weight",
        about: "the facade's default features stay light",
        run: weight,
    },
    Step {
        name: "test",
        about: "unit, integration and doc tests pass, examples run",
        run: test,
    },
    Step {
        name: "benches",
        about: "every bench runs once",
        run: benches,
    },
    Step {
        name: "package",
        about: "the crates package, and a program outside the workspace uses them",
        run: |context| package::check(&context.workspace),
    },
    Step {
        name: "simulate",
        about: "ten million operations under everything that can happen: nothing lost, doubled or over the limit",
        run: simulate,
    },
    Step {
        name: "loom",
        about: "our own atomics hold under every interleaving",
        run: loom,
    },
    Step {
        name: "asan",
        about: "our own unsafe code is clean under AddressSanitizer",
        run: asan,
    },
    Step {
        name: "valgrind",
        about: "the tests of our own unsafe code are clean under valgrind, and leak nothing",
        run: valgrind,
    },
    Step {
        name: "fuzz",
        about: "no input that a short fuzzing run makes breaks a parser",
        run: |context| fuzz::run(&context.workspace, None, fuzz::Length::Short),
    },
];

/// Runs the steps named in `only`, or all of them, and prints a summary.
///
/// # Errors
///
/// When a name is unknown or a step failed.
pub fn run(only: &[String], on_failure: OnFailure) -> Result<()> {
    let chosen = choose(only)?;
    let mut context = Context {
        workspace: Workspace::load()?,
        tally: None,
    };
    let mut report = Vec::new();
    let mut failed = Vec::new();
    for step in chosen {
        println!("\n=== {}: {}", step.name, step.about);
        println!("=== repeat with: cargo xtask ci {}", step.name);
        let start = Instant::now();
        let outcome = (step.run)(&mut context);
        let seconds = start.elapsed().as_secs_f64();
        let verdict = if outcome.is_ok() { "ok" } else { "FAILED" };
        println!("=== {} {verdict} in {seconds:.1} s", step.name);
        report.push(format!("{:<10} {verdict:<6} {seconds:>8.1} s", step.name));
        if let Err(failure) = outcome {
            eprintln!("{}: {failure}", step.name);
            failed.push(step.name);
            if on_failure == OnFailure::Stop {
                break;
            }
        }
    }
    println!("\n{}", report.join("\n"));
    if let Some(tally) = context.tally {
        println!("{}", tally.closing_line());
    }
    if failed.is_empty() {
        return Ok(());
    }
    Err(Failure::new(format!("failed: {}", failed.join(", "))))
}

fn choose(only: &[String]) -> Result<Vec<&'static Step>> {
    if only.is_empty() {
        return Ok(STEPS.iter().collect());
    }
    only.iter()
        .map(|name| {
            STEPS.iter().find(|step| step.name == name).ok_or_else(|| {
                let known: Vec<_> = STEPS.iter().map(|step| step.name).collect();
                Failure::new(format!(
                    "there is no step `{name}`; the steps are {}",
                    known.join(", ")
                ))
            })
        })
        .collect()
}

impl Context {
    fn cargo(&self, line: &str) -> Command {
        Command::cargo(line).dir(self.workspace.root())
    }

    /// A target folder of its own, so that other flags do not throw the usual build away.
    fn target(&self, name: &str) -> PathBuf {
        self.workspace.target().join(name)
    }
}

fn fmt(context: &mut Context) -> Result<()> {
    tools::ensure_component("rustfmt", "fmt")?;
    context.cargo("fmt --all -- --check").run()?;
    // A workspace of its own, which `--all` does not reach.
    let fuzz = context.cargo("fmt --manifest-path fuzz/Cargo.toml");
    fuzz.words("-- --check").run()
}

fn clippy(context: &mut Context) -> Result<()> {
    tools::ensure_component("clippy", "clippy")?;
    context
        .cargo("clippy --workspace --all-targets --all-features -- -D warnings")
        .run()
}

fn features(context: &mut Context) -> Result<()> {
    for name in context.workspace.publishable() {
        for features in ["--no-default-features", ""] {
            context
                .cargo("check --quiet")
                .words(features)
                .words("-p")
                .arg(name)
                .run()?;
        }
    }
    Ok(())
}

fn doc(context: &mut Context) -> Result<()> {
    context
        .cargo("doc --workspace --all-features --no-deps")
        .env("RUSTDOCFLAGS", "-D warnings")
        .run()
}

fn weight(context: &mut Context) -> Result<()> {
    let tree = context
        .cargo("tree -p aqe-core -e normal --prefix none")
        .read()?;
    let crates = count_crates(&tree);
    println!("aqe-core with default features is {crates} crates, itself included");
    if crates <= FACADE_CRATES {
        return Ok(());
    }
    Err(Failure::new(format!(
        "aqe-core brings {crates} crates with its default features, at most {FACADE_CRATES} are allowed: \
         put the heavy part behind a feature (`cargo tree -p aqe-core -e normal` shows who brings what)"
    )))
}

/// The number of distinct `name vVERSION` lines: cargo repeats a crate for each user of it.
fn count_crates(tree: &str) -> usize {
    let mut names: Vec<String> = tree
        .lines()
        .map(|line| {
            line.split_whitespace()
                .take(2)
                .collect::<Vec<_>>()
                .join(" ")
        })
        .filter(|name| !name.is_empty())
        .collect();
    names.sort_unstable();
    names.dedup();
    names.len()
}

fn test(context: &mut Context) -> Result<()> {
    let (tally, outcome) = test_run::run(&context.workspace, Extent::Full);
    context.tally = Some(tally);
    outcome
}

fn benches(context: &mut Context) -> Result<()> {
    // Without `--bench`, Criterion runs each bench once to see that it works and measures nothing.
    context.cargo("test --package aqe-benches --benches").run()
}

fn simulate(context: &mut Context) -> Result<()> {
    let command = context
        .cargo("test --package aqe-queue --release --test simulation")
        .env("AQE_SIMULATE_OPERATIONS", SIMULATED_OPERATIONS)
        // What the product asserts about itself is part of what is looked for. Without the optimiser's last word the
        // build takes a quarter of the time and the run hardly longer.
        .env("CARGO_PROFILE_RELEASE_DEBUG_ASSERTIONS", "true")
        .env("CARGO_PROFILE_RELEASE_LTO", "off")
        .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16")
        .env(
            "CARGO_TARGET_DIR",
            context.target("simulate").display().to_string(),
        )
        .limit(SIMULATION_LIMIT);
    instrumented(&command, "simulation")
}

fn loom(context: &mut Context) -> Result<()> {
    let command = context
        .cargo("test --package aqe-queue --package aqe-memory --package aqe-monitor --lib")
        .arg("--features")
        .arg("aqe-monitor/profile")
        .arg("loom")
        .env("RUSTFLAGS", "--cfg loom")
        // Models are run many thousand times over; debug assertions stay on.
        .env("CARGO_PROFILE_DEV_OPT_LEVEL", "2")
        // Bugs hardly ever need more than two forced switches (Musuvathi and Qadeer, "Iterative Context Bounding
        // for Systematic Testing of Multithreaded Programs", 2007); each one more multiplies the time.
        .env("LOOM_MAX_PREEMPTIONS", "3")
        .env(
            "CARGO_TARGET_DIR",
            context.target("loom").display().to_string(),
        )
        .limit(INSTRUMENTED_LIMIT);
    instrumented(&command, "model")
}

fn asan(context: &mut Context) -> Result<()> {
    let Some(triple) = tools::sanitizer_triple() else {
        println!("notice: AddressSanitizer is run on Linux with glibc only; left out here");
        return Ok(());
    };
    let command = context
        .cargo(
            "test --package aqe-queue --package aqe-memory --package aqe-monitor --package aqe-runner --lib --tests --target",
        )
        .arg(triple)
        .arg("--features")
        .arg("aqe-monitor/profile")
        // Sanitizers are not stable yet; the bootstrap variable lets the released compiler take the flag.
        .env("RUSTC_BOOTSTRAP", "1")
        // Each operation in memory of its own: the sanitizer watches allocations, not what lies within one.
        .env("RUSTFLAGS", "-Zsanitizer=address --cfg aqe_single")
        .env(
            "CARGO_TARGET_DIR",
            context.target("asan").display().to_string(),
        )
        .limit(INSTRUMENTED_LIMIT);
    instrumented(&command, "sanitized test")
}

fn valgrind(context: &mut Context) -> Result<()> {
    let Some(triple) = tools::sanitizer_triple() else {
        println!("notice: valgrind is run on Linux with glibc only; left out here");
        return Ok(());
    };
    tools::for_valgrind()?;
    let runner = format!(
        "CARGO_TARGET_{}_RUNNER",
        triple.to_uppercase().replace('-', "_")
    );
    // What the compiler's instrument does not see is read here as it is: values that were never written, and memory
    // that nobody has any more. The rest of the crate has no `unsafe`, and valgrind is slow: `scope` and `operations`
    // drive the cell through the public interface, from several threads and in all its endings.
    for tests in ["--lib cell::", "--test scope --test operations"] {
        let command = context
            .cargo("test --package aqe-queue")
            .words(tests)
            .env(&runner, VALGRIND)
            // As for the sanitizer: each operation in memory of its own.
            .env("RUSTFLAGS", "--cfg aqe_single")
            .env(
                "CARGO_TARGET_DIR",
                context.target("valgrind").display().to_string(),
            )
            .limit(VALGRIND_LIMIT);
        instrumented(&command, "watched test")?;
    }
    Ok(())
}

/// Runs tests a second time under an instrument; a run that found nothing to do is a failure.
fn instrumented(command: &Command, what: &str) -> Result<()> {
    println!("{command}");
    let (tally, outcome) = command.quiet_tally();
    outcome?;
    println!("{what}s that held: {}", tally.passed);
    if tally.passed == 0 {
        return Err(Failure::new(format!("`{command}` found no {what} to run")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_step_is_refused_with_the_known_ones() {
        let failure = choose(&["clipy".to_owned()]).unwrap_err().to_string();
        assert!(
            failure.contains("`clipy`") && failure.contains("clippy"),
            "{failure}"
        );
    }

    #[test]
    fn a_crate_that_two_others_use_counts_once() {
        let tree = "aqe-core v0.1.0 (/somewhere)\nserde v1.0.0\n\nserde v1.0.0 (*)\nserde v2.0.0\n";
        assert_eq!(count_crates(tree), 3);
    }
}
