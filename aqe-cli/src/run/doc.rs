//! `aqe run --doc`: documentation tests, which only cargo and rustdoc can run.

use std::ffi::OsString;
use std::path::Path;
use std::process::Command;

use aqe_runner::model::Exit as Ended;

use super::settings::{load, selection};
use crate::args::{ColorArg, RunArgs};
use crate::exit::Exit;
use crate::failure::Failure;

/// How [`Selection::test_arguments`](aqe_runner::cargo::Selection::test_arguments) begins, which is not for us.
const BUILD_ONLY: [&str; 4] = [
    "test",
    "--no-run",
    "--message-format",
    "json-render-diagnostics",
];

/// Runs `cargo test --doc`; its output is what people see.
pub(super) fn run(arguments: &RunArgs, folder: &Path) -> Result<Exit, Failure> {
    // Only to refuse the same wrong settings as any other run does.
    let config = load(arguments, folder)?.into_config();
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(&cargo)
        .current_dir(folder)
        .args(words(arguments, config.run.fail_fast))
        .status()
        .map_err(|error| {
            Failure::new(
                Exit::Environment,
                format!("cannot run {}: {error}", cargo.to_string_lossy()),
            )
            .hint("install cargo, or name it in the variable CARGO")
        })?;
    Ok(match Ended::from(status) {
        Ended::Code(0) => Exit::Success,
        // Cargo ends with one code for a build that failed and for a test that failed.
        Ended::Code(_) => Exit::TestsFailed,
        Ended::Signal { signal, .. } => Exit::Interrupted { signal },
    })
}

fn words(arguments: &RunArgs, fail_fast: bool) -> Vec<OsString> {
    let mut words: Vec<OsString> = vec!["test".into(), "--doc".into()];
    if !fail_fast {
        words.push("--no-fail-fast".into());
    }
    match arguments.color {
        ColorArg::Auto => {}
        ColorArg::Always => words.extend(["--color".into(), "always".into()]),
        ColorArg::Never => words.extend(["--color".into(), "never".into()]),
    }
    let build = selection(&arguments.build).test_arguments();
    words.extend(build.into_iter().skip(BUILD_ONLY.len()));
    words.push("--".into());
    let mut flag = |name: &str, is_set: bool| {
        if is_set {
            words.push(name.into());
        }
    };
    flag("--exact", arguments.exact);
    flag("--ignored", arguments.ignored);
    flag("--include-ignored", arguments.include_ignored);
    flag("--nocapture", arguments.no_capture);
    for name in &arguments.skip {
        words.extend(["--skip".into(), name.into()]);
    }
    words.extend(arguments.names.iter().map(Into::into));
    words
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{Cli, Command};
    use aqe_runner::cargo::Selection;
    use clap::Parser;

    #[test]
    fn what_is_left_out_is_what_makes_it_a_build() {
        assert_eq!(Selection::default().test_arguments(), BUILD_ONLY);
    }

    #[test]
    fn filters_are_passed_through() {
        let line = "aqe run --doc -p a --release --color never a::b --skip c --include-ignored";
        let Command::Run(arguments) = Cli::try_parse_from(line.split(' ')).unwrap().command else {
            panic!("not `run`")
        };
        let expected = "test --doc --no-fail-fast --color never --package a --release -- --include-ignored --skip c a::b";
        assert_eq!(
            words(&arguments, false),
            expected.split(' ').collect::<Vec<_>>()
        );
    }
}
