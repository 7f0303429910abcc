//! The examples, run as their readers would run them.
//!
//! An example opens with the command that runs it and with what it prints. People believe both, so both are
//! checked: the command of the header is run, and what it prints must be what the header says.

use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::process::Command;
use crate::workspace::{Example, Package, Workspace};
use crate::{Failure, Result};

/// An example is a small program; one that runs longer than this hangs.
const LIMIT: Duration = Duration::from_secs(120);

/// Runs every program of the examples package. Targets of that kind elsewhere are fixtures of tests.
///
/// # Errors
///
/// At the first that does not end well, has no header, or prints something else.
pub fn run(workspace: &Workspace) -> Result<()> {
    let examples = workspace
        .packages()
        .filter(Package::is_examples)
        .flat_map(|package| package.examples().collect::<Vec<_>>());
    for example in examples {
        keep_word(workspace, &example)?;
    }
    Ok(())
}

fn keep_word(workspace: &Workspace, example: &Example<'_>) -> Result<()> {
    let path = Path::new(example.source);
    let source = fs::read_to_string(path).map_err(|error| Failure::io("read", path, &error))?;
    let wrong = |what: &str| Failure::new(format!("{}: {what}", path.display()));
    let header = Header::of(&source).map_err(wrong)?;
    let words: Vec<&str> = header.command.split_whitespace().collect();
    let ["cargo", "run", rest @ ..] = words.as_slice() else {
        return Err(wrong("the command in the header is not `cargo run ...`"));
    };
    if !rest
        .windows(2)
        .any(|pair| pair == ["--example", example.name])
    {
        return Err(wrong("the command in the header runs something else"));
    }
    let command = Command::cargo("run").words(&rest.join(" "));
    println!("example {}: {command}", example.name);
    // One of them panics on purpose; its backtrace would bury the rest.
    let command = command.env("RUST_BACKTRACE", "0");
    let said = command.dir(workspace.root()).limit(LIMIT).read()?;
    print!("{said}");
    if said.trim_end() == header.output {
        return Ok(());
    }
    Err(wrong(&format!(
        "the header promises\n{}\nand the program prints\n{said}",
        header.output
    )))
}

/// What the first lines of an example say about it.
#[derive(Debug, PartialEq, Eq)]
struct Header {
    command: String,
    output: String,
}

impl Header {
    fn of(source: &str) -> std::result::Result<Self, &'static str> {
        let docs: Vec<&str> = source
            .lines()
            .map_while(|line| line.strip_prefix("//!"))
            .map(|line| line.strip_prefix(' ').unwrap_or(line))
            .collect();
        let command = block(&docs, "```sh")
            .ok_or("the header has no block ```sh with the command that runs it")?;
        let output = block(&docs, "```text")
            .ok_or("the header has no block ```text with what the program prints")?;
        Ok(Self { command, output })
    }
}

/// The lines between the fence and the next one.
fn block(docs: &[&str], fence: &str) -> Option<String> {
    let mut lines = docs.iter().skip_while(|line| **line != fence).skip(1);
    let mut inside = Vec::new();
    loop {
        match *lines.next()? {
            "```" => return Some(inside.join("\n")),
            line => inside.push(line),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_gives_its_command_and_its_output() {
        let source = "//! Shows.\n//!\n//! ```sh\n//! cargo run -q --example a\n//! ```\n//!\n//! ```text\n\
                      //! one\n//!\n//!   two\n//! ```\n//!\n//! More.\n\nfn main() {}\n";
        let expected = Header {
            command: "cargo run -q --example a".to_owned(),
            output: "one\n\n  two".to_owned(),
        };
        assert_eq!(Header::of(source), Ok(expected));
    }

    #[test]
    fn a_header_that_leaves_something_out_is_refused() {
        for (source, missing) in [
            ("fn main() {}\n", "```sh"),
            ("//! ```sh\n//! cargo run\n//! ```\n", "```text"),
            (
                "//! ```sh\n//! cargo run\n//! ```\n//! ```text\n//! one\n",
                "```text",
            ),
            (
                "fn main() {}\n//! ```sh\n//! ```\n//! ```text\n//! ```\n",
                "```sh",
            ),
        ] {
            let refused = Header::of(source).unwrap_err();
            assert!(refused.contains(missing), "{source:?}: {refused}");
        }
    }
}
