//! Nothing of one machine in a file that everyone gets.
//!
//! A path of somebody's disk or the address of somebody's registry mirror works for one person and tells
//! the world about their machine. Both slip in through pasted output, so CI looks at every file git tracks.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::process::Command;
use crate::workspace::Workspace;
use crate::{Failure, Result};

/// Folders that every Unix system has at its root: naming them gives nothing away.
const STANDARD_ROOTS: &[&str] = &[
    "bin", "boot", "dev", "etc", "lib", "lib32", "lib64", "libx32", "media", "mnt", "opt", "proc",
    "run", "sbin", "srv", "sys", "tmp", "usr", "var",
];

/// Folders whose children are people's own.
const PERSONAL_ROOTS: &[&str] = &["home", "root", "Users"];

/// The only source that a lock file may name.
const INDEX: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// Name endings that only exist inside somebody's network.
const PRIVATE_ENDINGS: &[&str] = &[".internal", ".local", ".lan", ".corp", ".intranet", ".svc"];

/// Checks every file that git tracks.
///
/// # Errors
///
/// With one line per finding, or when git cannot list the files.
pub fn check(workspace: &Workspace) -> Result<()> {
    let machine = Machine::here(workspace);
    let mut findings = Vec::new();
    let mut files = 0;
    for file in tracked(workspace.root())? {
        // A file that is not text has no lines to read; one that was deleted but not yet committed is gone.
        let Ok(text) = fs::read_to_string(workspace.root().join(&file)) else {
            continue;
        };
        files += 1;
        for (index, line) in text.lines().enumerate() {
            if let Some(what) = machine.finding(&file, line) {
                findings.push(format!("{}:{}: {what}", file.display(), index + 1));
            }
        }
    }
    if findings.is_empty() {
        println!("{files} tracked text files name no folder and no registry of one machine");
        return Ok(());
    }
    Err(Failure::new(findings.join("\n")))
}

fn tracked(root: &Path) -> Result<Vec<PathBuf>> {
    let list = Command::new("git").words("ls-files -z").dir(root).read()?;
    Ok(list
        .split('\0')
        .filter(|name| !name.is_empty())
        .map(PathBuf::from)
        .collect())
}

/// What marks this machine.
#[derive(Debug)]
struct Machine {
    /// Folders above the workspace, the target folder and the home folders, two names deep at least.
    own: BTreeSet<String>,
    /// Folders at the root of the file system that no standard knows.
    odd_roots: BTreeSet<String>,
}

impl Machine {
    fn here(workspace: &Workspace) -> Self {
        let homes = ["HOME", "CARGO_HOME"]
            .into_iter()
            .filter_map(std::env::var_os)
            .map(PathBuf::from);
        let own = [workspace.root(), workspace.target()]
            .into_iter()
            .map(Path::to_owned)
            .chain(homes)
            .flat_map(|path| deep_ancestors(&path))
            .collect();
        let entries = fs::read_dir("/").into_iter().flatten().flatten();
        let odd_roots = entries
            .filter(|entry| entry.path().is_dir())
            .filter_map(|entry| entry.file_name().into_string().ok())
            .filter(|name| !STANDARD_ROOTS.contains(&name.as_str()))
            .collect();
        Self { own, odd_roots }
    }

    fn finding(&self, file: &Path, line: &str) -> Option<String> {
        if let Some(path) = absolute_paths(line).find(|path| self.is_own(path)) {
            return Some(format!("names `{path}`, a folder of one machine"));
        }
        if let Some(host) = hosts(line).find(|host| is_private(host)) {
            return Some(format!("names `{host}`, a host of one network"));
        }
        other_source(file, line)
            .map(|source| format!("takes crates from `{source}`, not from crates.io"))
    }

    fn is_own(&self, path: &str) -> bool {
        let mut names = path.split('/').skip(1).filter(|name| !name.is_empty());
        let (Some(first), Some(_)) = (names.next(), names.next()) else {
            return false;
        };
        if PERSONAL_ROOTS.contains(&first) || self.odd_roots.contains(first) {
            return true;
        }
        self.own.iter().any(|own| {
            path.strip_prefix(own.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        })
    }
}

/// `path` and the folders above it that have at least two names: `/tmp/x` yes, `/tmp` no.
fn deep_ancestors(path: &Path) -> Vec<String> {
    path.ancestors()
        .filter(|folder| folder.components().count() > 2)
        .map(|folder| folder.display().to_string())
        .collect()
}

/// The absolute Unix paths in a line: a slash at its start or after something that cannot be part of a path.
fn absolute_paths(line: &str) -> impl Iterator<Item = &str> {
    let opens = |before: Option<char>| {
        before.is_none_or(|c| c.is_whitespace() || "\"'`([{<=:,;|>!".contains(c))
    };
    line.match_indices('/')
        .filter(move |(at, _)| opens(line[..*at].chars().next_back()))
        .map(|(at, _)| {
            let rest = &line[at..];
            let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || "._-/+@".contains(c)));
            &rest[..end.unwrap_or(rest.len())]
        })
}

/// The host, with user and port, of every web address in a line.
fn hosts(line: &str) -> impl Iterator<Item = &str> {
    line.match_indices("://").map(|(at, mark)| {
        let rest = &line[at + mark.len()..];
        let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || ".-_:@%".contains(c)));
        &rest[..end.unwrap_or(rest.len())]
    })
}

/// Whether a host only means something inside one network: a private name or address, or one with a
/// user's name in front. Loopback and the addresses reserved for documentation are everyone's.
fn is_private(host: &str) -> bool {
    if host.contains('@') {
        return true;
    }
    let name = host
        .split(':')
        .next()
        .unwrap_or_default()
        .trim_end_matches('.');
    let numbers: Vec<&str> = name.split('.').collect();
    if numbers.len() == 4 && numbers.iter().all(|n| n.parse::<u8>().is_ok()) {
        let public = ["127.", "0.", "192.0.2.", "198.51.100.", "203.0.113."];
        return !public.iter().any(|range| name.starts_with(range));
    }
    PRIVATE_ENDINGS.iter().any(|ending| name.ends_with(ending))
}

/// A source of crates other than the public index, in the files where cargo would obey it.
fn other_source(file: &Path, line: &str) -> Option<String> {
    let line = line.trim();
    let name = file.file_name()?.to_str()?;
    if name.ends_with(".lock") {
        let source = line.strip_prefix("source = ")?.trim_matches('"');
        return (source != INDEX).then(|| source.to_owned());
    }
    if file
        .parent()
        .is_some_and(|folder| folder.ends_with(".cargo"))
    {
        let redirects = ["[source", "[registries", "[registry", "replace-with"];
        return redirects
            .iter()
            .any(|start| line.starts_with(start))
            .then(|| line.to_owned());
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine() -> Machine {
        Machine {
            own: deep_ancestors(Path::new("/tmp/lab/tree"))
                .into_iter()
                .collect(),
            odd_roots: BTreeSet::from(["lab".to_owned()]),
        }
    }

    // Test lines are put together from parts: this file is checked like every other.
    fn finding(file: &str, parts: &[&str]) -> Option<String> {
        machine().finding(Path::new(file), &parts.concat())
    }

    #[test]
    fn paths_of_one_machine_are_found() {
        for parts in [
            ["see `/", "home/ann/aqe`"],
            ["cd /", "root/aqe"],
            ["path=\"/", "lab/main/Cargo.toml\""],
            ["(/tmp/", "lab/other)"],
        ] {
            assert!(finding("README.md", &parts).is_some(), "{parts:?}");
        }
    }

    #[test]
    fn paths_of_every_machine_are_not() {
        for line in [
            "/usr/bin/env bash",
            "/proc/self/status and /tmp/some-file",
            "crates/lab/main",
            "https://docs.rs/lab/main",
            "either/or, 1 /2, /lab",
            "/tmp/labour",
        ] {
            assert_eq!(finding("README.md", &[line]), None, "{line}");
        }
    }

    #[test]
    fn hosts_of_one_network_are_found() {
        assert!(finding("a.toml", &["http:/", "/mirror.internal:8080/index"]).is_some());
        assert!(finding("a.toml", &["http:/", "/10.1.2.3/index"]).is_some());
        assert!(finding("a.toml", &["https:/", "/ann@example.com/"]).is_some());
        assert_eq!(
            finding(
                "a.toml",
                &["http://127.0.0.1:3000/ http://localhost/ https://docs.rs"]
            ),
            None
        );
        assert_eq!(finding("a.toml", &["http://192.0.2.7/hook"]), None);
    }

    #[test]
    fn crates_come_from_the_public_index_only() {
        let lock = |source: &str| finding("Cargo.lock", &["source = \"", source, "\""]);
        assert_eq!(lock(INDEX), None);
        assert!(lock("git+https://github.com/a/b#1").is_some());
        assert!(finding(".cargo/config.toml", &["[source.crates-io]"]).is_some());
        assert_eq!(finding(".cargo/config.toml", &["[alias]"]), None);
    }
}
