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
    ensure_package(
        "strace",
        || Command::new("strace").words("-V").succeeds(),
        "a test counts system calls with it",
    )
}

/// Looks after what the fuzz targets are built with: libFuzzer is C++, compiled from source.
///
/// # Errors
///
/// When there is no C++ compiler and none can be installed from here.
pub fn for_fuzzing() -> Result<()> {
    let compiler = std::env::var("CXX").unwrap_or_else(|_| "c++".to_owned());
    ensure_package(
        "g++",
        || Command::new(&compiler).words("--version").succeeds(),
        "the fuzzer is compiled with it",
    )
}

/// Looks after valgrind, which watches every access to memory.
///
/// # Errors
///
/// When it is missing and cannot be installed from here.
pub fn for_valgrind() -> Result<()> {
    ensure_package(
        "valgrind",
        || Command::new("valgrind").words("--version").succeeds(),
        "the tests of our own unsafe code are run under it",
    )
}

/// Makes sure that a package of the system is there, installing it where that is safe.
fn ensure_package(package: &str, present: impl Fn() -> bool, why: &str) -> Result<()> {
    if present() {
        return Ok(());
    }
    if !is_root() || !Command::new("apt-get").words("--version").succeeds() {
        return Err(Failure::new(format!(
            "{package} is not installed and {why}: \
             run `sudo apt-get install -y {package}`, or your system's equivalent"
        )));
    }
    eprintln!("{package} is not installed; installing it");
    apt_get("update")?;
    apt_get(&format!("install -y --no-install-recommends {package}"))?;
    if present() {
        return Ok(());
    }
    Err(Failure::new(format!(
        "{package} was installed but does not start; `{package} --version` shows why"
    )))
}

/// The triple of this machine, where the compiler's sanitizers and valgrind work.
///
/// Naming it keeps the sanitizer out of build scripts and procedural macros.
#[must_use]
pub fn sanitizer_triple() -> Option<&'static str> {
    if !cfg!(all(target_os = "linux", target_env = "gnu")) {
        return None;
    }
    match std::env::consts::ARCH {
        "x86_64" => Some("x86_64-unknown-linux-gnu"),
        "aarch64" => Some("aarch64-unknown-linux-gnu"),
        _ => None,
    }
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
