//! The command that runs exactly one test again.

use std::ffi::OsStr;
use std::path::Path;

use aqe_runner::model::TestId;

use crate::args::RunArgs;

/// Everything of the command line that decides what is built, so that the same binary is built again.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rerun {
    options: String,
}

impl Rerun {
    /// Keeps what decides about the build, and about settings.
    pub(crate) fn of(arguments: &RunArgs) -> Self {
        let mut words = Words::default();
        let build = &arguments.build;
        words.value(
            "--manifest-path",
            build.manifest_path.as_deref().map(Path::as_os_str),
        );
        for features in &build.features {
            words.value("--features", Some(features.as_ref()));
        }
        words.flag("--all-features", build.all_features);
        words.flag("--no-default-features", build.no_default_features);
        words.flag("--release", build.release);
        words.value(
            "--cargo-profile",
            build.cargo_profile.as_ref().map(AsRef::as_ref),
        );
        words.value("--target", build.target.as_ref().map(AsRef::as_ref));
        words.value(
            "--target-dir",
            build.target_dir.as_deref().map(Path::as_os_str),
        );
        words.flag("--locked", build.locked);
        words.flag("--offline", build.offline);
        words.flag("--frozen", build.frozen);
        for argument in &build.cargo_arg {
            words.value("--cargo-arg", Some(argument));
        }
        words.flag(
            "--include-ignored",
            arguments.ignored || arguments.include_ignored,
        );
        let config = &arguments.config;
        words.value(
            "--config",
            config.place.file.as_deref().map(Path::as_os_str),
        );
        words.value(
            "--profile",
            config.place.profile.as_ref().map(AsRef::as_ref),
        );
        for (key, value) in &config.overrides {
            words.value("--set", Some(format!("{key}={value}").as_ref()));
        }
        Self { options: words.0 }
    }

    /// The command for one test.
    pub(super) fn command(&self, test: &TestId) -> String {
        let binary = test.binary.as_str();
        let (package, target) = binary.split_once("::").unwrap_or((binary, ""));
        let mut words = Words(format!("aqe run{}", self.options));
        words.value("-p", Some(package.as_ref()));
        match target.split_once('/') {
            None if target.is_empty() => words.flag("--lib", true),
            None => words.value("--test", Some(target.as_ref())),
            Some((kind, name)) => words.value(&format!("--{kind}"), Some(name.as_ref())),
        }
        words.flag("--exact", true);
        let name = quoted(test.name.as_str());
        words.flag("--", name.starts_with('-'));
        words.flag(&name, true);
        words.0
    }
}

#[derive(Debug, Default)]
struct Words(String);

impl Words {
    fn flag(&mut self, name: &str, is_set: bool) {
        if is_set {
            self.0.push(' ');
            self.0.push_str(name);
        }
    }

    fn value(&mut self, name: &str, value: Option<&OsStr>) {
        if let Some(value) = value {
            let value = quoted(&value.to_string_lossy());
            // A value that looks like an option is only one when it stands alone.
            let joint = if value.starts_with('-') { '=' } else { ' ' };
            self.0.push_str(&format!(" {name}{joint}{value}"));
        }
    }
}

/// The text as one word of a POSIX shell.
fn quoted(text: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-./:=,+@%".contains(&byte);
    if !text.is_empty() && text.bytes().all(is_plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{Cli, Command};
    use clap::Parser;

    fn arguments(words: &[&str]) -> RunArgs {
        let words = ["aqe", "run"].iter().chain(words);
        let Command::Run(arguments) = Cli::try_parse_from(words).unwrap().command else {
            panic!("not `run`")
        };
        *arguments
    }

    #[test]
    fn the_command_names_one_binary_and_one_test() {
        let table = [
            ("store", "a::b", "aqe run -p store --lib --exact a::b"),
            (
                "store::recovery",
                "torn",
                "aqe run -p store --test recovery --exact torn",
            ),
            (
                "store::bin/fsck",
                "x",
                "aqe run -p store --bin fsck --exact x",
            ),
            ("store", "-x", "aqe run -p store --lib --exact -- -x"),
            (
                "store::bench/io",
                "it's 1 x",
                r"aqe run -p store --bench io --exact 'it'\''s 1 x'",
            ),
        ];
        for (binary, name, expected) in table {
            assert_eq!(
                Rerun::default().command(&TestId::new(binary, name)),
                expected
            );
        }
    }

    #[test]
    fn the_command_is_read_back_with_all_that_decides_about_the_build() {
        let words = [
            "--manifest-path",
            "../x/Cargo.toml",
            "-F",
            "a,b",
            "--release",
            "--cargo-arg=--verbose",
            "--ignored",
            "--set",
            "run.timeout=5s",
            "--profile",
            "ci",
            "other",
        ];
        let command = Rerun::of(&arguments(&words)).command(&TestId::new("store::it", "größe"));
        let again: Vec<&str> = command
            .split(' ')
            .skip(2)
            .map(|word| word.trim_matches('\''))
            .collect();
        let again = arguments(&again);
        let first = arguments(&words);
        assert_eq!(again.names, ["größe"]);
        assert_eq!((again.exact, again.include_ignored), (true, true));
        assert_eq!(
            (again.build.package, again.build.test),
            (vec!["store".to_owned()], vec!["it".to_owned()])
        );
        assert_eq!(again.build.manifest_path, first.build.manifest_path);
        assert_eq!(again.build.features, first.build.features);
        assert_eq!(again.build.release, first.build.release);
        assert_eq!(again.build.cargo_arg, first.build.cargo_arg);
        assert_eq!(again.config.overrides, first.config.overrides);
        assert_eq!(again.config.place.profile, first.config.place.profile);
    }
}
