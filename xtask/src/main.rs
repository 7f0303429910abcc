//! `cargo xtask CHORE`: the project's own chores.

use std::process::ExitCode;
use std::time::Duration;

use xtask::ci::{self, OnFailure};
use xtask::suites::{self, Locks};
use xtask::test_run::{self, Extent};
use xtask::workspace::Workspace;
use xtask::{Failure, Result, examples, fuzz, generated};

const USAGE: &str = "\
usage: cargo xtask CHORE

  test [--quick]                 run every test of the workspace; the last line is the sum
                                 --quick: unit and integration tests, default features
  examples                       run every example and compare it with its header (part of `test`)
  ci [--keep-going] [STEP...]    run all that CI checks, or the named steps
  ci --list                      say what the steps are
  fuzz SECONDS [TARGET]          fuzz every parser, or the one of TARGET, for so long each
  suites [--relock]              bring the real test suites to the target folder and build them
                                 --relock: resolve their dependencies anew, after changing a version
  generated                      write and build the generated test suites
";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match run(&words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("error: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn run(words: &[&str]) -> Result<()> {
    match words {
        ["test"] => test(Extent::Full),
        ["test", "--quick"] => test(Extent::Quick),
        ["examples"] => examples::run(&Workspace::load()?),
        ["ci", "--list"] => {
            list_steps();
            Ok(())
        }
        ["ci", rest @ ..] => run_ci(rest),
        ["fuzz", seconds] => fuzz(seconds, None),
        ["fuzz", seconds, target] => fuzz(seconds, Some(target)),
        ["suites"] => prepare_suites(Locks::Obey),
        ["suites", "--relock"] => prepare_suites(Locks::Rewrite),
        ["generated"] => show(&generated::prepare(&Workspace::load()?)?),
        [] | ["help" | "--help" | "-h"] => {
            print!("{USAGE}");
            Ok(())
        }
        other => Err(Failure::new(format!(
            "`{}` is no chore\n\n{USAGE}",
            other.join(" ")
        ))),
    }
}

fn test(extent: Extent) -> Result<()> {
    let (tally, outcome) = test_run::run(&Workspace::load()?, extent);
    println!("{}", tally.closing_line());
    outcome
}

fn run_ci(words: &[&str]) -> Result<()> {
    let mut on_failure = OnFailure::Stop;
    let mut steps = Vec::new();
    for word in words {
        match *word {
            "--keep-going" => on_failure = OnFailure::KeepGoing,
            flag if flag.starts_with('-') => {
                return Err(Failure::new(format!(
                    "`ci` has no flag `{flag}`\n\n{USAGE}"
                )));
            }
            step => steps.push(step.to_owned()),
        }
    }
    ci::run(&steps, on_failure)
}

fn list_steps() {
    for step in ci::STEPS {
        println!("{:<10} {}", step.name, step.about);
    }
}

fn fuzz(seconds: &str, target: Option<&str>) -> Result<()> {
    let Ok(seconds) = seconds.parse() else {
        return Err(Failure::new(format!(
            "`{seconds}` is no number of seconds\n\n{USAGE}"
        )));
    };
    let length = fuzz::Length::For(Duration::from_secs(seconds));
    fuzz::run(&Workspace::load()?, target, length)
}

fn prepare_suites(locks: Locks) -> Result<()> {
    show(&suites::prepare(&Workspace::load()?, locks)?)
}

fn show(suites: &[suites::Suite]) -> Result<()> {
    for suite in suites {
        println!("{}", suite.dir.display());
    }
    Ok(())
}
