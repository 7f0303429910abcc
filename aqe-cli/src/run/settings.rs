//! From the command line to what the libraries are told.

use std::path::{Path, PathBuf};

use aqe_core::config::{Config, Loaded, Loader};
use aqe_runner::cargo::Selection;
use aqe_runner::run::{IgnoredTests, NameMatch, RunOptions, TestFilter, TestOutput};

use crate::args::{BuildArgs, IsolationArg, RunArgs};
use crate::config::{loader, refused};
use crate::failure::Failure;

/// Loads the configuration with the flags on top, so that a flag is checked and explained like a line of the file.
pub(super) fn load(arguments: &RunArgs, folder: &Path) -> Result<Loaded, Failure> {
    let loader = loader(&arguments.config, project_folder(&arguments.build, folder));
    let loader = flags(arguments)
        .into_iter()
        .fold(loader, |loader: Loader, (key, value)| {
            loader.flag(key, value)
        });
    loader.load().map_err(|error| refused(&error))
}

/// Where the search for the configuration and the state folder begins: at the project, wherever the program was started.
pub(super) fn project_folder(build: &BuildArgs, folder: &Path) -> PathBuf {
    build
        .manifest_path
        .as_deref()
        .and_then(|manifest| folder.join(manifest).parent().map(Path::to_owned))
        .unwrap_or_else(|| folder.to_owned())
}

/// The keys that the flags stand for.
fn flags(arguments: &RunArgs) -> Vec<(&'static str, String)> {
    let isolation = arguments.isolation.map(|isolation| match isolation {
        IsolationArg::Process => "process",
        IsolationArg::Batch => "batch",
    });
    let fail_fast = match (arguments.fail_fast, arguments.no_fail_fast) {
        (true, _) => Some("true"),
        (_, true) => Some("false"),
        _ => None,
    };
    [
        ("run.jobs", arguments.jobs.clone()),
        ("run.retries", arguments.retries.clone()),
        ("run.timeout", arguments.timeout.clone()),
        ("run.isolation", isolation.map(str::to_owned)),
        ("run.failFast", fail_fast.map(str::to_owned)),
    ]
    .into_iter()
    .filter_map(|(key, value)| Some((key, value?)))
    .collect()
}

/// What is to be run.
pub(super) fn options(arguments: &RunArgs, config: &Config) -> RunOptions {
    let mut options = RunOptions::default();
    options.adopt_orphans = true;
    options.filter = filter(arguments);
    options.settings = config.run.clone();
    options.memory = config.memory.clone();
    options.output = if arguments.no_capture {
        TestOutput::Inherited
    } else {
        TestOutput::Captured
    };
    options.arguments = std::env::args_os()
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    options.junit.clone_from(&arguments.junit);
    options
}

/// Which tests were asked for, built how: the same text for runs whose times can be compared. Empty for all tests as they are
/// usually built.
pub(super) fn chosen(arguments: &RunArgs) -> String {
    let mut selection = selection(&arguments.build);
    // Where things are, and how they are got, makes no difference to the tests.
    selection.manifest_path = None;
    selection.target_dir = None;
    (selection.locked, selection.offline, selection.frozen) = (false, false, false);
    selection.build_jobs = None;
    let usual = Selection::default().test_arguments();
    let build = selection.test_arguments().into_iter();
    let build = build.filter(|word| !usual.contains(word));
    let mut words: Vec<String> = build
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    for (flag, is_set) in [
        ("--exact", arguments.exact),
        ("--ignored", arguments.ignored),
        ("--include-ignored", arguments.include_ignored),
    ] {
        words.extend(is_set.then(|| flag.to_owned()));
    }
    for skip in &arguments.skip {
        words.extend(["--skip".to_owned(), skip.clone()]);
    }
    words.extend(arguments.names.iter().cloned());
    words.join(" ")
}

fn filter(arguments: &RunArgs) -> TestFilter {
    let mut filter = TestFilter::default();
    filter.names.clone_from(&arguments.names);
    filter.skip.clone_from(&arguments.skip);
    filter.matching = if arguments.exact {
        NameMatch::Exact
    } else {
        NameMatch::Substring
    };
    filter.ignored = match (arguments.ignored, arguments.include_ignored) {
        (true, _) => IgnoredTests::Only,
        (_, true) => IgnoredTests::Include,
        _ => IgnoredTests::Skip,
    };
    filter
}

/// What cargo is to build.
pub(super) fn selection(build: &BuildArgs) -> Selection {
    let mut selection = Selection::default();
    selection.packages.clone_from(&build.package);
    selection.workspace = build.workspace;
    selection.exclude.clone_from(&build.exclude);
    selection.features.clone_from(&build.features);
    selection.all_features = build.all_features;
    selection.no_default_features = build.no_default_features;
    selection.release = build.release;
    selection.profile.clone_from(&build.cargo_profile);
    selection.manifest_path.clone_from(&build.manifest_path);
    selection.targets = build.target.iter().cloned().collect();
    selection.target_dir.clone_from(&build.target_dir);
    selection.lib = build.lib;
    selection.bins = build.bins;
    selection.bin.clone_from(&build.bin);
    selection.tests = build.tests;
    selection.test.clone_from(&build.test);
    selection.examples = build.examples;
    selection.example.clone_from(&build.example);
    selection.benches = build.benches;
    selection.bench.clone_from(&build.bench);
    selection.all_targets = build.all_targets;
    selection.locked = build.locked;
    selection.offline = build.offline;
    selection.frozen = build.frozen;
    selection.build_jobs = build.build_jobs;
    selection.cargo_args.clone_from(&build.cargo_arg);
    selection
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{Cli, Command};
    use clap::Parser;

    fn arguments(words: &str) -> RunArgs {
        let words = ["aqe", "run"].into_iter().chain(words.split_whitespace());
        let Command::Run(arguments) = Cli::try_parse_from(words).unwrap().command else {
            panic!("not `run`")
        };
        *arguments
    }

    #[test]
    fn every_option_of_the_build_reaches_cargo_in_its_own_words() {
        // Cargo spells `--cargo-profile` and `--build-jobs` otherwise, and `--cargo-arg` is what follows it.
        let words = "--package a --workspace --exclude b --features f --all-features --no-default-features \
                     --target t --target-dir d --lib --bins --bin x --tests --test y --examples --example z \
                     --benches --bench w --all-targets --manifest-path m --locked --offline --frozen";
        let given = selection(&arguments(words).build).test_arguments();
        for word in words.split_whitespace() {
            assert!(
                given.iter().any(|argument| argument == word),
                "{word} is missing in {given:?}"
            );
        }
        let given =
            selection(&arguments("-r --build-jobs 3 --cargo-arg=-Zx --cargo-arg=--verbose").build);
        assert!(given.release);
        assert_eq!(given.build_jobs.map(std::num::NonZeroUsize::get), Some(3));
        assert_eq!(given.cargo_args, ["-Zx", "--verbose"]);
        assert_eq!(
            selection(&arguments("--cargo-profile p").build)
                .profile
                .as_deref(),
            Some("p")
        );
        assert_eq!(selection(&arguments("").build), Selection::default());
    }

    #[test]
    fn flags_are_keys_of_the_configuration() {
        let given = arguments("-j 3 --retries 2 --timeout off --isolation batch --fail-fast");
        let expected = [
            ("run.jobs", "3"),
            ("run.retries", "2"),
            ("run.timeout", "off"),
            ("run.isolation", "batch"),
            ("run.failFast", "true"),
        ];
        assert_eq!(
            flags(&given),
            expected.map(|(key, value)| (key, value.to_owned()))
        );
        assert_eq!(
            flags(&arguments("--fail-fast --no-fail-fast")),
            [("run.failFast", "false".to_owned())]
        );
        assert_eq!(
            flags(&arguments("--no-fail-fast --fail-fast")),
            [("run.failFast", "true".to_owned())]
        );
        assert!(flags(&arguments("")).is_empty());
    }

    #[test]
    fn what_was_chosen_leaves_out_what_makes_no_difference() {
        let chosen = |words: &str| chosen(&arguments(words));
        assert_eq!(chosen(""), "");
        assert_eq!(chosen("--offline --target-dir x --jobs 3 --json"), "");
        assert_eq!(
            chosen("-p one --release parser:: --skip slow --exact"),
            "--package one --release --exact --skip slow parser::"
        );
    }

    #[test]
    fn filters_are_those_of_cargo_test() {
        let config = Config::default();
        let given = options(
            &arguments("a b --exact --skip c --skip d --ignored"),
            &config,
        )
        .filter;
        assert_eq!(
            (given.names, given.skip),
            (vec!["a".into(), "b".into()], vec!["c".into(), "d".into()])
        );
        assert_eq!(
            (given.matching, given.ignored),
            (NameMatch::Exact, IgnoredTests::Only)
        );
        assert_eq!(
            options(&arguments("--include-ignored"), &config)
                .filter
                .ignored,
            IgnoredTests::Include
        );
        assert_eq!(
            options(&arguments(""), &config).filter,
            TestFilter::default()
        );
        assert_eq!(
            options(&arguments("--no-capture"), &config).output,
            TestOutput::Inherited
        );
    }

    #[test]
    fn the_configuration_is_looked_for_at_the_project() {
        let here = Path::new("/here");
        let folder = |words| project_folder(&arguments(words).build, here);
        assert_eq!(folder(""), here);
        assert_eq!(
            folder("--manifest-path there/Cargo.toml"),
            Path::new("/here/there")
        );
        assert_eq!(
            folder("--manifest-path /there/Cargo.toml"),
            Path::new("/there")
        );
    }
}
