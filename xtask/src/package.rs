//! The packaged crates, used from outside: what `cargo add aqe-core` will mean.
//!
//! A workspace hides mistakes that a user of the published crates meets at once: a file left out of the
//! package, a feature that only another member turned on. So the crates are packaged, unpacked elsewhere, and
//! a small program outside the workspace is built against them and run.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::process::Command;
use crate::workspace::Workspace;
use crate::{Failure, Result};

/// The consumer does one operation; more than this is a hang.
const CONSUMER_LIMIT: Duration = Duration::from_secs(15 * 60);

/// Packages every member, then builds and runs the consumer against the packages.
///
/// # Errors
///
/// When packaging, unpacking, building or running fails.
pub fn check(workspace: &Workspace) -> Result<()> {
    forget_unpacked(workspace)?;
    package(workspace)?;
    let home = workspace.target().join("aqe-consumer");
    // Packages of another state of the tree must not linger; the consumer's own build may.
    let unpacked = fresh(&home.join("packages"))?;
    let crates = unpack(workspace, &unpacked)?;
    consume(workspace, &home, &crates)
}

/// Removes what cargo has unpacked of the members' packages in an earlier run.
///
/// Cargo verifies each package against the others in a registry of its own making, and takes a version that it has
/// unpacked once for the same for ever: a crate would be built against the state of its siblings at the first run.
fn forget_unpacked(workspace: &Workspace) -> Result<()> {
    let home = std::env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(std::env::home_dir()?.join(".cargo")));
    let Some(registries) = home.map(|home| home.join("registry/src")) else {
        return Ok(());
    };
    let Ok(registries) = fs::read_dir(&registries) else {
        // Nothing has been unpacked yet.
        return Ok(());
    };
    for registry in registries.flatten() {
        // A registry without a host is one of these; the one that other crates come from is left alone.
        if !registry.file_name().to_string_lossy().starts_with('-') {
            continue;
        }
        for package in workspace.packages() {
            let id = format!("{}-{}", package.name(), package.version());
            let folder = registry.path().join(id);
            if folder.is_dir() {
                fs::remove_dir_all(&folder).map_err(|error| {
                    Failure::new(format!("cannot remove `{}`: {error}", folder.display()))
                })?;
            }
        }
    }
    Ok(())
}

fn package(workspace: &Workspace) -> Result<()> {
    // The check is about what would be published, and people run it before they commit.
    Command::cargo("package --workspace --allow-dirty")
        .dir(workspace.root())
        .run()
}

/// Unpacks each package and returns its name with its folder.
fn unpack(workspace: &Workspace, into: &Path) -> Result<Vec<(String, PathBuf)>> {
    workspace
        .packages()
        .filter(|package| package.is_publishable())
        .map(|package| {
            let id = format!("{}-{}", package.name(), package.version());
            let archive = workspace
                .target()
                .join("package")
                .join(format!("{id}.crate"));
            Command::new("tar")
                .words("-xzf")
                .path(&archive)
                .words("-C")
                .path(into)
                .run()?;
            Ok((package.name().to_owned(), into.join(id)))
        })
        .collect()
}

/// Builds and runs the consumer, and checks that it says what it should.
fn consume(workspace: &Workspace, home: &Path, crates: &[(String, PathBuf)]) -> Result<()> {
    let template = workspace.root().join("xtask/consumer");
    let source = fresh(&home.join("src"))?;
    let manifest = read(&template.join("Cargo.toml.in"))?;
    write(&home.join("Cargo.toml"), &(manifest + &patches(crates)))?;
    write(
        &source.join("main.rs"),
        &read(&template.join("src/main.rs"))?,
    )?;
    // The same versions as ours: the check is about the packages, not about today's registry.
    write(
        &home.join("Cargo.lock"),
        &read(&workspace.root().join("Cargo.lock"))?,
    )?;
    let said = Command::cargo("run --quiet")
        .dir(home)
        .env(
            "CARGO_TARGET_DIR",
            home.join("target").display().to_string(),
        )
        .limit(CONSUMER_LIMIT)
        .read()?;
    let expected = read(&template.join("expected.txt"))?;
    if said.trim() == expected.trim() {
        println!(
            "a program outside the workspace used the packages and said: {}",
            said.trim()
        );
        return Ok(());
    }
    Err(Failure::new(format!(
        "the consumer in {} said {said:?}, expected {expected:?}",
        home.display()
    )))
}

/// Points cargo at the unpacked folders: the crates are not in the registry yet.
fn patches(crates: &[(String, PathBuf)]) -> String {
    let mut text = "\n[patch.crates-io]\n".to_owned();
    for (name, dir) in crates {
        // Debug quoting of a string is quoting that TOML reads.
        text += &format!("{name} = {{ path = {:?} }}\n", dir.display().to_string());
    }
    text
}

fn fresh(dir: &Path) -> Result<PathBuf> {
    if dir.exists() {
        fs::remove_dir_all(dir).map_err(|error| Failure::io("remove", dir, &error))?;
    }
    fs::create_dir_all(dir).map_err(|error| Failure::io("create", dir, &error))?;
    Ok(dir.to_owned())
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).map_err(|error| Failure::io("read", path, &error))
}

fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).map_err(|error| Failure::io("write", path, &error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_with_odd_characters_is_quoted() {
        let crates = [("aqe-core".to_owned(), PathBuf::from("/a \"b\"/c"))];
        let text = patches(&crates);
        assert!(
            text.ends_with("aqe-core = { path = \"/a \\\"b\\\"/c\" }\n"),
            "{text}"
        );
    }
}
