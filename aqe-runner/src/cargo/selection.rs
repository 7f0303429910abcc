//! What the user wants cargo to build, in cargo's own words.

use std::ffi::{OsStr, OsString};
use std::num::NonZeroUsize;
use std::path::PathBuf;

use super::LibraryPath;

/// Which tests to build and how: the options of `cargo test` that decide what there is to run.
///
/// The default is what `cargo test` does without options.
///
/// # Examples
///
/// ```
/// use aqe_runner::cargo::Selection;
///
/// let mut selection = Selection::default();
/// selection.workspace = true;
/// selection.features = vec!["serde".to_owned()];
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Selection {
    /// `--package`: packages to test.
    pub packages: Vec<String>,
    /// `--workspace`: all packages of the workspace.
    pub workspace: bool,
    /// `--exclude`: packages to leave out of the workspace.
    pub exclude: Vec<String>,
    /// `--features`.
    pub features: Vec<String>,
    /// `--all-features`.
    pub all_features: bool,
    /// `--no-default-features`.
    pub no_default_features: bool,
    /// `--release`.
    pub release: bool,
    /// `--profile`.
    pub profile: Option<String>,
    /// `--manifest-path`.
    pub manifest_path: Option<PathBuf>,
    /// `--target`: triples to build for; the host when empty.
    pub targets: Vec<String>,
    /// `--target-dir`.
    pub target_dir: Option<PathBuf>,
    /// `--lib`.
    pub lib: bool,
    /// `--bins`.
    pub bins: bool,
    /// `--bin`.
    pub bin: Vec<String>,
    /// `--tests`.
    pub tests: bool,
    /// `--test`.
    pub test: Vec<String>,
    /// `--examples`.
    pub examples: bool,
    /// `--example`.
    pub example: Vec<String>,
    /// `--benches`.
    pub benches: bool,
    /// `--bench`.
    pub bench: Vec<String>,
    /// `--all-targets`.
    pub all_targets: bool,
    /// `--locked`.
    pub locked: bool,
    /// `--offline`.
    pub offline: bool,
    /// `--frozen`.
    pub frozen: bool,
    /// `--jobs` of the build.
    pub build_jobs: Option<NonZeroUsize>,
    /// Arguments handed to `cargo test` as they are, after the ones above.
    pub cargo_args: Vec<OsString>,
    /// Which binaries get the search path of the dynamic linker.
    pub library_path: LibraryPath,
}

impl Selection {
    /// The arguments of the build: `test --no-run` and all the options.
    #[must_use]
    pub fn test_arguments(&self) -> Vec<OsString> {
        let mut arguments = Arguments::default();
        arguments.words([
            "test",
            "--no-run",
            "--message-format",
            "json-render-diagnostics",
        ]);
        arguments.values("--package", &self.packages);
        arguments.flag("--workspace", self.workspace);
        arguments.values("--exclude", &self.exclude);
        arguments.values("--features", &self.features);
        arguments.flag("--all-features", self.all_features);
        arguments.flag("--no-default-features", self.no_default_features);
        arguments.flag("--release", self.release);
        arguments.values("--profile", &self.profile);
        arguments.values("--target", &self.targets);
        arguments.values("--target-dir", &self.target_dir);
        arguments.flag("--lib", self.lib);
        arguments.flag("--bins", self.bins);
        arguments.values("--bin", &self.bin);
        arguments.flag("--tests", self.tests);
        arguments.values("--test", &self.test);
        arguments.flag("--examples", self.examples);
        arguments.values("--example", &self.example);
        arguments.flag("--benches", self.benches);
        arguments.values("--bench", &self.bench);
        arguments.flag("--all-targets", self.all_targets);
        arguments.values("--jobs", &self.build_jobs.map(|jobs| jobs.to_string()));
        self.common(&mut arguments);
        arguments.0.extend(self.cargo_args.iter().cloned());
        arguments.0
    }

    /// The arguments of `cargo metadata`, for the packages of the workspace or for every package of the build.
    pub(super) fn metadata_arguments(&self, with_dependencies: bool) -> Vec<OsString> {
        let mut arguments = Arguments::default();
        arguments.words(["metadata", "--format-version", "1"]);
        arguments.flag("--no-deps", !with_dependencies);
        self.common(&mut arguments);
        for (option, value) in self.global_options() {
            arguments.0.extend([option.to_owned(), value.to_owned()]);
        }
        arguments.0
    }

    /// The values of `--config` among the arguments that are handed on.
    pub(super) fn config_values(&self) -> impl Iterator<Item = &OsStr> {
        self.global_options()
            .filter(|(option, _)| *option == "--config")
            .map(|(_, value)| value)
    }

    /// Options among the ones handed on that every command of cargo takes.
    fn global_options(&self) -> impl Iterator<Item = (&OsStr, &OsStr)> {
        // An option and its value are two arguments, or one when joined by `=` or, for `-Z`, by nothing.
        self.cargo_args
            .iter()
            .enumerate()
            .filter_map(|(at, argument)| {
                for option in ["--config", "-Z"] {
                    if argument == option {
                        return Some((
                            OsStr::new(option),
                            self.cargo_args.get(at + 1)?.as_os_str(),
                        ));
                    }
                    let rest = argument.to_str().and_then(|text| text.strip_prefix(option));
                    if let Some(rest) =
                        rest.filter(|_| at == 0 || self.cargo_args[at - 1] != option)
                    {
                        return Some((
                            OsStr::new(option),
                            OsStr::new(rest.strip_prefix('=').unwrap_or(rest)),
                        ));
                    }
                }
                None
            })
    }

    fn common(&self, arguments: &mut Arguments) {
        arguments.values("--manifest-path", &self.manifest_path);
        arguments.flag("--locked", self.locked);
        arguments.flag("--offline", self.offline);
        arguments.flag("--frozen", self.frozen);
    }
}

#[derive(Default)]
struct Arguments(Vec<OsString>);

impl Arguments {
    fn words<const N: usize>(&mut self, words: [&str; N]) {
        self.0.extend(words.map(OsString::from));
    }

    fn flag(&mut self, name: &str, is_set: bool) {
        if is_set {
            self.0.push(name.into());
        }
    }

    fn values<'a, V: AsRef<OsStr> + 'a>(
        &mut self,
        name: &str,
        values: impl IntoIterator<Item = &'a V>,
    ) {
        for value in values {
            self.0.extend([name.into(), value.as_ref().to_owned()]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(arguments: &[OsString]) -> Vec<&str> {
        arguments
            .iter()
            .map(|word| word.to_str().unwrap())
            .collect()
    }

    #[test]
    fn every_option_reaches_cargo() {
        let strings = |texts: &[&str]| {
            texts
                .iter()
                .map(|&text| text.to_owned())
                .collect::<Vec<_>>()
        };
        let selection = Selection {
            packages: strings(&["a", "b"]),
            workspace: true,
            exclude: strings(&["c"]),
            features: strings(&["f", "g"]),
            all_features: true,
            no_default_features: true,
            release: true,
            profile: Some("fast".to_owned()),
            manifest_path: Some("m/Cargo.toml".into()),
            targets: strings(&["t1", "t2"]),
            target_dir: Some("td".into()),
            lib: true,
            bins: true,
            bin: strings(&["b1"]),
            tests: true,
            test: strings(&["t"]),
            examples: true,
            example: strings(&["e"]),
            benches: true,
            bench: strings(&["be"]),
            all_targets: true,
            locked: true,
            offline: true,
            frozen: true,
            build_jobs: NonZeroUsize::new(3),
            cargo_args: vec![
                "--config".into(),
                "a.b=1".into(),
                "--timings".into(),
                "-Zx".into(),
                "--config=c.toml".into(),
            ],
            library_path: LibraryPath::Auto,
        };
        let expected = "test --no-run --message-format json-render-diagnostics --package a --package b --workspace --exclude c --features f --features g --all-features --no-default-features --release --profile fast --target t1 --target t2 --target-dir td --lib --bins --bin b1 --tests --test t --examples --example e --benches --bench be --all-targets --jobs 3 --manifest-path m/Cargo.toml --locked --offline --frozen --config a.b=1 --timings -Zx --config=c.toml";
        assert_eq!(words(&selection.test_arguments()).join(" "), expected);
        let expected = "metadata --format-version 1 --no-deps --manifest-path m/Cargo.toml --locked --offline --frozen --config a.b=1 -Z x --config c.toml";
        assert_eq!(
            words(&selection.metadata_arguments(false)).join(" "),
            expected
        );
        assert_eq!(
            selection.config_values().collect::<Vec<_>>(),
            ["a.b=1", "c.toml"]
        );
    }

    #[test]
    fn a_value_that_looks_like_an_option_is_a_value() {
        let selection = Selection {
            cargo_args: vec!["--config".into(), "--config=x".into(), "--config".into()],
            ..Selection::default()
        };
        assert_eq!(
            selection.config_values().collect::<Vec<_>>(),
            ["--config=x"]
        );
    }
}
