//! The fuzz targets, built and run without cargo-fuzz.
//!
//! What cargo-fuzz adds to libFuzzer is a set of compiler flags and a habit of where files go. With the flags written
//! down here, CI needs no tool that has to be installed first, and the released compiler does.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use crate::process::Command;
use crate::workspace::Workspace;
use crate::{Failure, Result, tools};

/// Coverage that libFuzzer can read: a counter for each edge, and the operands of comparisons. The sanitizer sees what
/// unsafe code does, and what is never freed. `cfg(fuzzing)` opens the doors to inner parsers.
const FLAGS: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
                     -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
                     -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares \
                     -Ccodegen-units=1 -Zsanitizer=address --cfg fuzzing";

/// A short run takes this many inputs or this many seconds, whichever is over first.
const SHORT_RUNS: u32 = 20_000;
const SHORT_SECONDS: u64 = 20;

/// No input that a short run makes may take longer, in seconds, or more memory, in MB.
const INPUT_SECONDS: u32 = 10;
const MEMORY_MB: u32 = 1_024;

/// How long a run goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Length {
    /// Short and the same every time, for CI.
    Short,
    /// This long, with other inputs every time.
    For(Duration),
}

/// Builds the fuzz targets and runs `only`, or all of them, each on its seeds and on what it makes of them.
///
/// # Errors
///
/// At the first target that does not build or finds something.
pub fn run(workspace: &Workspace, only: Option<&str>, length: Length) -> Result<()> {
    let Some(triple) = tools::sanitizer_triple() else {
        println!("notice: targets are fuzzed on Linux with glibc only; left out here");
        return Ok(());
    };
    tools::for_fuzzing()?;
    let home = workspace.target().join("fuzz");
    let manifest = workspace.root().join("fuzz/Cargo.toml");
    let targets = choose(names(&manifest)?, only)?;
    build(&manifest, &home, triple)?;
    for target in targets {
        let program = home.join(triple).join("release").join(&target);
        Fuzzer {
            seeds: workspace.root().join("fuzz/seeds").join(&target),
            corpus: home.join("corpus").join(&target),
            artifacts: home.join("artifacts").join(&target),
            program,
            target,
        }
        .run(length)?;
    }
    Ok(())
}

fn names(manifest: &Path) -> Result<Vec<String>> {
    let text = Command::cargo("metadata --format-version 1 --no-deps --manifest-path")
        .path(manifest)
        .read()?;
    let metadata: Value = serde_json::from_str(&text)?;
    let targets = metadata["packages"][0]["targets"].as_array();
    let names: Vec<String> = targets
        .into_iter()
        .flatten()
        .filter(|target| target["kind"][0] == "bin")
        .filter_map(|target| Some(target["name"].as_str()?.to_owned()))
        .collect();
    if names.is_empty() {
        return Err(Failure::new(format!(
            "{} has no targets",
            manifest.display()
        )));
    }
    Ok(names)
}

fn choose(names: Vec<String>, only: Option<&str>) -> Result<Vec<String>> {
    match only {
        None => Ok(names),
        Some(name) if names.iter().any(|known| known == name) => Ok(vec![name.to_owned()]),
        Some(name) => Err(Failure::new(format!(
            "there is no fuzz target `{name}`; the targets are {}",
            names.join(", ")
        ))),
    }
}

fn build(manifest: &Path, home: &Path, triple: &str) -> Result<()> {
    Command::cargo("build --quiet --release --bins --manifest-path")
        .path(manifest)
        // Naming the target keeps the instruments out of build scripts and procedural macros.
        .words("--target")
        .arg(triple)
        // Neither passes nor sanitizers are stable; the bootstrap variable lets the released compiler take the flags.
        .env("RUSTC_BOOTSTRAP", "1")
        .env("RUSTFLAGS", FLAGS)
        .env("CARGO_TARGET_DIR", home.display().to_string())
        .run()
}

/// One target with its files.
struct Fuzzer {
    target: String,
    program: PathBuf,
    /// Inputs that we wrote, only read.
    seeds: PathBuf,
    /// Inputs that reach something new, kept from run to run.
    corpus: PathBuf,
    /// Inputs that broke something.
    artifacts: PathBuf,
}

impl Fuzzer {
    fn run(&self, length: Length) -> Result<()> {
        for dir in [&self.corpus, &self.artifacts] {
            std::fs::create_dir_all(dir).map_err(|error| Failure::io("create", dir, &error))?;
        }
        println!("fuzzing {}", self.target);
        self.command(length).run().map_err(|failure| {
            Failure::new(format!(
                "{failure}\nwhat it found is in {}; `{} FILE` repeats it",
                self.artifacts.display(),
                self.program.display()
            ))
        })
    }

    fn command(&self, length: Length) -> Command {
        let mut command = Command::new(self.program.display().to_string())
            .arg(format!("-artifact_prefix={}/", self.artifacts.display()))
            .arg(format!("-timeout={INPUT_SECONDS}"))
            .arg(format!("-rss_limit_mb={MEMORY_MB}"));
        let seconds = match length {
            Length::Short => {
                command = command
                    .arg(format!("-runs={SHORT_RUNS}"))
                    .words("-seed=1 -verbosity=0");
                SHORT_SECONDS
            }
            Length::For(time) => time.as_secs().max(1),
        };
        command
            .arg(format!("-max_total_time={seconds}"))
            .path(&self.corpus)
            .path(&self.seeds)
            // The time is the fuzzer's own affair; this is for one that hangs where it cannot see it.
            .limit(Duration::from_secs(seconds + 300))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_target_is_refused_with_the_known_ones() {
        let names = || vec!["config".to_owned(), "journal".to_owned()];
        assert_eq!(choose(names(), None), Ok(names()));
        assert_eq!(
            choose(names(), Some("journal")),
            Ok(vec!["journal".to_owned()])
        );
        let failure = choose(names(), Some("jornal")).unwrap_err().to_string();
        assert!(
            failure.contains("`jornal`") && failure.contains("config, journal"),
            "{failure}"
        );
    }

    #[test]
    fn every_target_has_seeds() {
        let workspace = Workspace::load().unwrap();
        let fuzz = workspace.root().join("fuzz");
        for name in names(&fuzz.join("Cargo.toml")).unwrap() {
            let seeds = fuzz.join("seeds").join(&name);
            let count = std::fs::read_dir(&seeds).map_or(0, Iterator::count);
            assert!(count > 0, "{} holds no seeds", seeds.display());
        }
    }
}
