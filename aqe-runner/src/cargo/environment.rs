//! The variables that cargo gives to a test process.

use std::collections::BTreeMap;
use std::env;
use std::ffi::{OsStr, OsString};
use std::path::Path;

use super::config::ConfigVariable;
use super::{Package, Variables};

/// What a package's build script left for its programs.
#[derive(Clone, Debug, Default)]
pub(super) struct ScriptResult {
    pub(super) variables: Vec<(String, String)>,
    pub(super) out_dir: Option<std::path::PathBuf>,
}

/// The variables that all test binaries of a package share.
///
/// The order of strength is cargo's: what describes the package, then what its build script set, then the
/// configuration, which yields to variables that the process has already unless it says `force`.
pub(super) fn of_package(
    package: &Package,
    cargo: &Path,
    script: Option<&ScriptResult>,
    config: &[ConfigVariable],
    toolchain: &[(OsString, OsString)],
) -> Variables {
    let mut variables: BTreeMap<OsString, OsString> = toolchain.iter().cloned().collect();
    for variable in config {
        if variable.force || env::var_os(&variable.name).is_none() {
            variables.insert(OsString::from(&variable.name), variable.value.clone());
        }
    }
    if let Some(script) = script {
        for (name, value) in &script.variables {
            variables.insert(name.into(), value.into());
        }
        variables.extend(
            script
                .out_dir
                .as_ref()
                .map(|folder| ("OUT_DIR".into(), folder.into())),
        );
    }
    variables.insert("CARGO".into(), cargo.into());
    variables.extend(described(package).map(|(name, value)| (name.into(), value)));
    variables.into_iter().collect()
}

/// What the manifest says, as variables.
fn described(package: &Package) -> impl Iterator<Item = (&'static str, OsString)> {
    let version = Version::of(&package.version);
    let text = |value: &Option<String>| OsString::from(value.as_deref().unwrap_or_default());
    let folder = package
        .manifest_path
        .parent()
        .unwrap_or_else(|| Path::new(""));
    [
        ("CARGO_MANIFEST_DIR", folder.into()),
        ("CARGO_MANIFEST_PATH", package.manifest_path.clone().into()),
        ("CARGO_PKG_NAME", OsString::from(&package.name)),
        ("CARGO_PKG_VERSION", OsString::from(&package.version)),
        ("CARGO_PKG_VERSION_MAJOR", version.major.into()),
        ("CARGO_PKG_VERSION_MINOR", version.minor.into()),
        ("CARGO_PKG_VERSION_PATCH", version.patch.into()),
        ("CARGO_PKG_VERSION_PRE", version.pre.into()),
        ("CARGO_PKG_AUTHORS", package.authors.join(":").into()),
        ("CARGO_PKG_DESCRIPTION", text(&package.description)),
        ("CARGO_PKG_HOMEPAGE", text(&package.homepage)),
        ("CARGO_PKG_REPOSITORY", text(&package.repository)),
        ("CARGO_PKG_LICENSE", text(&package.license)),
        ("CARGO_PKG_LICENSE_FILE", text(&package.license_file)),
        ("CARGO_PKG_README", text(&package.readme)),
        ("CARGO_PKG_RUST_VERSION", text(&package.rust_version)),
    ]
    .into_iter()
}

/// The variable that names a program of the package for its integration tests and benchmarks.
pub(super) fn of_program(name: &str, path: &OsStr) -> (OsString, OsString) {
    (format!("CARGO_BIN_EXE_{name}").into(), path.to_owned())
}

/// The parts of a semantic version; the build metadata behind `+` is no variable.
#[derive(Debug, PartialEq, Eq)]
struct Version<'a> {
    major: &'a str,
    minor: &'a str,
    patch: &'a str,
    pre: &'a str,
}

impl<'a> Version<'a> {
    fn of(text: &'a str) -> Self {
        let core = text.split_once('+').map_or(text, |(core, _)| core);
        let (numbers, pre) = core.split_once('-').unwrap_or((core, ""));
        let mut numbers = numbers.split('.');
        let mut next = || numbers.next().unwrap_or_default();
        Self {
            major: next(),
            minor: next(),
            patch: next(),
            pre,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_taken_apart() {
        let parts = |text| {
            let version = Version::of(text);
            [version.major, version.minor, version.patch, version.pre].join("|")
        };
        assert_eq!(parts("1.2.3"), "1|2|3|");
        assert_eq!(parts("1.2.3-rc.1+b-5"), "1|2|3|rc.1");
        assert_eq!(parts("1.2.3+b-5"), "1|2|3|");
    }

    #[test]
    fn the_package_is_stronger_than_the_script_and_the_script_than_the_configuration() {
        let variable = |name: &str, force| ConfigVariable {
            name: name.to_owned(),
            value: "config".into(),
            force,
        };
        let config = [
            variable("CARGO_PKG_NAME", true),
            variable("FROM_SCRIPT", true),
            variable("FROM_CONFIG", false),
            variable("PATH", false),
            variable("HOME", true),
        ];
        let script = ScriptResult {
            variables: vec![
                ("FROM_SCRIPT".to_owned(), "script".to_owned()),
                ("CARGO_PKG_VERSION".to_owned(), "script".to_owned()),
            ],
            out_dir: Some("/out".into()),
        };
        let variables = of_package(
            &Package::sample(),
            Path::new("/bin/cargo"),
            Some(&script),
            &config,
            &[],
        );
        let value = |name: &str| {
            let mut found = variables.iter().filter(|(found, _)| found == name);
            let value = found.next().map(|(_, value)| value.to_str().unwrap());
            assert!(found.next().is_none(), "{name} twice");
            value
        };
        assert_eq!(value("CARGO_PKG_NAME"), Some("sample"));
        assert_eq!(value("CARGO_PKG_VERSION"), Some("1.2.3-rc.1+b5"));
        assert_eq!(value("FROM_SCRIPT"), Some("script"));
        assert_eq!(value("FROM_CONFIG"), Some("config"));
        assert_eq!(value("PATH"), None, "the process has it already");
        assert_eq!(value("HOME"), Some("config"));
        assert_eq!(value("OUT_DIR"), Some("/out"));
        assert_eq!(value("CARGO_MANIFEST_DIR"), Some("/src/sample"));
        assert_eq!(value("CARGO_PKG_AUTHORS"), Some("A <a@x>:B"));
        assert_eq!(value("CARGO_PKG_LICENSE"), Some(""));
        assert_eq!(value("CARGO_PKG_README"), Some(""));
    }
}
