//! The messages of `cargo test --message-format json`, read line by line.

use std::borrow::Cow;
use std::io::{self, BufRead, BufReader, Read};

use serde::Deserialize;

/// A message that says something about test binaries.
#[derive(Debug)]
pub(super) enum Message<'a> {
    /// A target was built, or found fresh.
    Artifact(Artifact<'a>),
    /// A package's build script ran, or its result was found fresh.
    BuildScript(BuildScript<'a>),
    /// The build is over.
    Finished { success: bool },
}

#[derive(Debug, Deserialize)]
pub(super) struct Artifact<'a> {
    #[serde(borrow)]
    pub(super) package_id: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) target: Target<'a>,
    pub(super) profile: Profile,
    #[serde(borrow, default)]
    pub(super) filenames: Vec<Cow<'a, str>>,
    #[serde(borrow)]
    pub(super) executable: Option<Cow<'a, str>>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Target<'a> {
    #[serde(borrow)]
    pub(super) kind: Vec<Cow<'a, str>>,
    #[serde(borrow)]
    pub(super) name: Cow<'a, str>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
pub(super) struct Profile {
    pub(super) test: bool,
}

#[derive(Debug, Deserialize)]
pub(super) struct BuildScript<'a> {
    #[serde(borrow)]
    pub(super) package_id: Cow<'a, str>,
    #[serde(borrow, default)]
    pub(super) linked_paths: Vec<Cow<'a, str>>,
    #[serde(default)]
    pub(super) env: Vec<(String, String)>,
    #[serde(borrow, default)]
    pub(super) out_dir: Cow<'a, str>,
}

/// Why the messages could not be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum MessageError {
    #[error("cannot read cargo's messages")]
    Io(#[from] io::Error),
    #[error("a message of cargo is longer than {MAX_LINE_BYTES} bytes")]
    TooLong,
    #[error("a message of cargo has an unexpected form")]
    Malformed(#[source] serde_json::Error),
}

/// Calls `on_message` for every message of interest, holding one line at a time.
///
/// Lines that are not JSON objects come from programs that cargo runs and are passed over, as are kinds of messages
/// that are not known. A known kind with an unknown shape is an error, since skipping it could lose a test.
pub(super) fn read(
    input: impl Read,
    mut on_message: impl FnMut(Message<'_>),
) -> Result<(), MessageError> {
    let mut input = BufReader::with_capacity(16 * 1024, input);
    let mut line = Vec::new();
    loop {
        line.clear();
        let read = (&mut input)
            .take(MAX_LINE_BYTES as u64)
            .read_until(b'\n', &mut line)?;
        if read == 0 {
            return Ok(());
        }
        if read == MAX_LINE_BYTES && line.last() != Some(&b'\n') {
            return Err(MessageError::TooLong);
        }
        if let Some(message) = parse(&line)? {
            on_message(message);
        }
    }
}

fn parse(line: &[u8]) -> Result<Option<Message<'_>>, MessageError> {
    #[derive(Deserialize)]
    struct Kind<'a> {
        #[serde(borrow)]
        reason: Cow<'a, str>,
    }
    #[derive(Deserialize)]
    struct Finished {
        success: bool,
    }
    if line.first() != Some(&b'{') {
        return Ok(None);
    }
    // Two passes over the line: the first only finds the kind, so that the shape of other kinds does not matter.
    let Ok(kind) = serde_json::from_slice::<Kind<'_>>(line) else {
        return Ok(None);
    };
    let message = match kind.reason.as_ref() {
        "compiler-artifact" => serde_json::from_slice(line).map(Message::Artifact),
        "build-script-executed" => serde_json::from_slice(line).map(Message::BuildScript),
        "build-finished" => {
            serde_json::from_slice(line).map(|Finished { success }| Message::Finished { success })
        }
        _ => return Ok(None),
    };
    message.map(Some).map_err(MessageError::Malformed)
}

/// Far above what an artifact with thousands of features takes.
const MAX_LINE_BYTES: usize = 16 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ARTIFACT: &str = r#"{"reason":"compiler-artifact","package_id":"path+file:///w/a#my-pkg@1.0.0","manifest_path":"/w/a/Cargo.toml","target":{"kind":["test"],"crate_types":["bin"],"name":"it","src_path":"/w/a/tests/it.rs","edition":"2021","doc":false,"doctest":false,"test":true},"profile":{"opt_level":"0","debuginfo":2,"debug_assertions":true,"overflow_checks":true,"test":true},"features":["default"],"filenames":["/w/target/debug/deps/it-1"],"executable":"/w/target/debug/deps/it-1","fresh":true}"#;
    const SCRIPT: &str = r#"{"reason":"build-script-executed","package_id":"p","linked_libs":[],"linked_paths":["native=/n","/o"],"cfgs":[],"env":[["A","b \" c"]],"out_dir":"/o"}"#;

    fn kinds(text: &str) -> Result<Vec<String>, MessageError> {
        let mut kinds = Vec::new();
        read(text.as_bytes(), |message| {
            kinds.push(match message {
                Message::Artifact(artifact) => {
                    format!("{} {}", artifact.target.name, artifact.profile.test)
                }
                Message::BuildScript(script) => {
                    format!("{:?} {:?}", script.linked_paths, script.env)
                }
                Message::Finished { success } => format!("finished {success}"),
            });
        })?;
        Ok(kinds)
    }

    #[test]
    fn messages_of_interest_are_read_and_all_else_passed_over() {
        let text = format!(
            "warning: not json\n{{ not json either\n{{\"reason\":\"compiler-message\",\"message\":{{}}}}\n{{\"reason\":\"new\"}}\n{SCRIPT}\n{ARTIFACT}\n\n{{\"reason\":\"build-finished\",\"success\":true}}"
        );
        assert_eq!(
            kinds(&text).unwrap(),
            [
                r#"["native=/n", "/o"] [("A", "b \" c")]"#,
                "it true",
                "finished true"
            ]
        );
    }

    #[test]
    fn a_known_kind_of_another_shape_is_an_error() {
        let error = kinds(r#"{"reason":"compiler-artifact","package_id":7}"#).unwrap_err();
        assert!(matches!(error, MessageError::Malformed(_)));
    }

    #[test]
    fn an_endless_line_is_an_error_in_bounded_memory() {
        let endless = io::repeat(b'x').take(3 * MAX_LINE_BYTES as u64);
        assert!(matches!(read(endless, |_| {}), Err(MessageError::TooLong)));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), at in 0usize..600) {
            let _ = read(bytes.as_slice(), |_| {});
            let mut damaged = ARTIFACT.as_bytes().to_vec();
            let at = at.min(damaged.len());
            damaged.splice(at..at, bytes);
            let _ = read(damaged.as_slice(), |_| {});
        }
    }
}
