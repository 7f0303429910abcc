//! Programs that the checks need beyond cargo itself, and how a machine gets them.
//!
//! A missing tool must not show up as an odd failure in the middle of a test: it is looked for first,
//! installed where that is safe, and named with the line that installs it where it is not.

use crate::process::Command;
use crate::{Failure, Result};

/// Looks after the tools that tests use.
///
/// `strace` counts system calls, and its test is part of the promise, so it is installed when we are
/// root on a Debian machine. `cargo-nextest` only serves comparisons; without it those say so themselves.
///
/// # Errors
///
/// When strace is missing and cannot be installed from here.
pub fn for_tests() -> Result<()> {
    if cfg!(target_os = "linux") {
        ensure_strace()?;
    }
    if !Command::new("cargo-nextest")
        .words("nextest --version")
        .succeeds()
    {
        eprintln!(
            "notice: cargo-nextest is not installed; comparisons with it are left out \
             (`cargo install cargo-nextest --locked` brings it)"
        );
    }
    Ok(())
}

fn ensure_strace() -> Result<()> {
    let present = || Command::new("strace").words("-V").succeeds();
    if present() {
        return Ok(());
    }
    if !is_root() || !Command::new("apt-get").words("--version").succeeds() {
        return Err(Failure::new(
            "strace is not installed and a test counts system calls with it: \
             run `sudo apt-get install -y strace`, or your system's equivalent",
        ));
    }
    eprintln!("strace is not installed; installing it");
    apt_get("update")?;
    apt_get("install -y --no-install-recommends strace")?;
    if present() {
        return Ok(());
    }
    Err(Failure::new(
        "strace was installed but does not start; `strace -V` shows why",
    ))
}

fn apt_get(line: &str) -> Result<()> {
    Command::new("apt-get")
        .words(line)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .run()
}

fn is_root() -> bool {
    Command::new("id")
        .words("-u")
        .read()
        .is_ok_and(|id| id.trim() == "0")
}

/// Makes sure that a component of the toolchain, such as `clippy`, answers to `cargo SUBCOMMAND`.
///
/// # Errors
///
/// When it is missing and rustup cannot add it.
pub fn ensure_component(component: &str, subcommand: &str) -> Result<()> {
    let present = || Command::cargo(subcommand).words("--version").succeeds();
    if present() {
        return Ok(());
    }
    eprintln!("{component} is not installed; asking rustup for it");
    let added = Command::new("rustup")
        .words("component add")
        .arg(component)
        .succeeds();
    if added && present() {
        return Ok(());
    }
    Err(Failure::new(format!(
        "{component} is not installed: run `rustup component add {component}`"
    )))
}
