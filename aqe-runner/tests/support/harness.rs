//! Harness processes, run and judged as a runner does.

use std::path::PathBuf;
use std::process::Output;

use aqe_runner::cargo::{Selection, TestBinary, find_test_binaries};
use aqe_runner::libtest::{BatchEnd, BatchJudge, BatchVerdict, OutputParser};
use aqe_runner::list::Listing;
use aqe_runner::model::Exit;

use super::{Project, command};

pub(crate) const PASS: BatchVerdict = BatchVerdict::Passed;

/// A package with this library, and the binary of its tests.
pub(crate) fn built(library: &str) -> (Project, TestBinary) {
    let project = Project::new(&[
        (
            "Cargo.toml",
            "[package]\nname = 'p'\nversion = '0.1.0'\nedition = '2021'\n",
        ),
        ("src/lib.rs", library),
    ]);
    let mut selection = Selection::default();
    selection.offline = true;
    selection.target_dir = Some(project.target());
    let mut found = find_test_binaries(&project.root(), &selection).unwrap();
    (project, found.binaries.remove(0))
}

pub(crate) fn run(binary: &TestBinary, arguments: &[&str]) -> Output {
    command(binary, arguments).output().unwrap()
}

/// Runs the named tests in one process and judges them.
pub(crate) fn batch(binary: &TestBinary, names: &[&str], extra: &[&str]) -> Vec<BatchVerdict> {
    let arguments = [&["--exact"], names, extra].concat();
    let output = run(binary, &arguments);
    judge(
        names,
        &output.stdout,
        BatchEnd::Exited(Exit::from(output.status)),
    )
}

pub(crate) fn judge(names: &[&str], stdout: &[u8], end: BatchEnd) -> Vec<BatchVerdict> {
    let mut judge = BatchJudge::new(names);
    let mut parser = OutputParser::new();
    // In pieces, as a pipe gives them.
    for piece in stdout.chunks(7) {
        parser.feed(piece, &mut |event| {
            judge.event(&event);
        });
    }
    judge.finish(end)
}

pub(crate) fn names(listing: &Listing) -> Vec<&str> {
    listing
        .tests
        .iter()
        .map(|test| test.name.as_str())
        .collect()
}

/// A [`TestBinary`] for a program that cargo did not build as a test.
pub(crate) fn as_test_binary(program: PathBuf) -> TestBinary {
    let (_project, mut binary) = built("");
    binary.cwd = std::env::temp_dir();
    binary.path = program;
    binary
}
