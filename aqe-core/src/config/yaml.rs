//! YAML text as a tree that knows where everything stands.
//!
//! The event parser does the grammar; this module builds the tree, keeps its bounds and refuses what a settings file has
//! no use for. Aliases are refused rather than expanded: that is what bounds memory against a few lines that expand to
//! gigabytes, and a reader sees every value where it applies.

use std::collections::HashMap;
use std::ops::Range;
use std::path::Path;

use granit_parser::{Event, Parser, ScalarStyle, ScanError, Span, StrInput, StructureStyle};

use super::problem::excerpt;
use super::{Position, Problem, ProblemKind, Problems, Source};

/// Larger files are refused; ours has a few dozen keys, so even with a thousand profiles it stays below this.
pub(crate) const MAX_BYTES: usize = 1024 * 1024;

/// Deeper nesting is refused; the deepest key of ours stands five mappings down, in a profile.
pub(crate) const MAX_DEPTH: usize = 16;

/// A value and where it stands.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) at: Position,
    /// From the first to behind the last byte of the value; empty where a value is left out.
    pub(crate) bytes: Range<usize>,
    pub(crate) content: Content,
}

/// What a value is.
#[derive(Debug)]
pub(crate) enum Content {
    /// Nothing, `~` or `null`.
    Null,
    Scalar {
        text: String,
        style: ScalarStyle,
    },
    Mapping(Mapping),
    Sequence,
    /// Something that was refused and reported already.
    Refused,
}

/// A mapping with its entries in the order of the text.
#[derive(Debug)]
pub(crate) struct Mapping {
    /// Whether it is written with braces.
    pub(crate) flow: bool,
    pub(crate) entries: Vec<Entry>,
}

/// A key with its value.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) key_at: Position,
    pub(crate) key_bytes: Range<usize>,
    pub(crate) value: Node,
}

impl Mapping {
    pub(crate) fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.key == key)
    }
}

/// A parsed text.
#[derive(Debug)]
pub(crate) struct Document {
    /// `None` if the text holds nothing but comments.
    pub(crate) root: Option<Node>,
    /// Where the comments stand.
    pub(crate) comments: Vec<Range<usize>>,
}

/// Makes text of the bytes of a file.
///
/// # Errors
///
/// The file is too large or is not UTF-8.
pub(crate) fn decode<'a>(bytes: &'a [u8], file: &Path) -> Result<&'a str, Problems> {
    let problem = |kind, position, reason: String, help: &str| {
        Problems::from(Problem {
            kind,
            source: Source::File(file.to_owned()),
            position,
            key: None,
            reason,
            help: Some(help.to_owned()),
        })
    };
    if bytes.len() > MAX_BYTES {
        return Err(problem(
            ProblemKind::TooLarge,
            None,
            "is larger than 1 MiB".to_owned(),
            "a configuration has a few dozen keys; is this the right file?",
        ));
    }
    std::str::from_utf8(bytes).map_err(|error| {
        let position = end_of(&String::from_utf8_lossy(&bytes[..error.valid_up_to()]));
        let byte = bytes[error.valid_up_to()];
        problem(
            ProblemKind::Syntax,
            Some(position),
            format!("byte 0x{byte:02x} is not UTF-8"),
            "save the file as UTF-8",
        )
    })
}

/// The place behind a text, counted as the parser counts: lines end in LF, CR LF or CR alone, and a byte order mark is
/// no character.
fn end_of(text: &str) -> Position {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let text = text.replace("\r\n", "\n");
    let (mut line, mut last) = (0, "");
    for text in text.split(['\n', '\r']) {
        (line, last) = (line + 1, text);
    }
    Position {
        line,
        column: last.chars().count() + 1,
    }
}

/// Parses a text; the document is `None` if the text is not YAML.
pub(crate) fn parse(text: &str, file: &Path) -> (Option<Document>, Problems) {
    let options = granit_parser::options! {
        emit_unresolved_aliases: true,
        // Comments are buffered while the parser looks ahead; the size of the text bounds them already.
        max_buffered_comment_events: MAX_BYTES,
    };
    let mut builder = Builder {
        events: Parser::new_from_str_with_options(text, options),
        file,
        comments: Vec::new(),
        content_end: 0,
        problems: Problems::default(),
    };
    match builder.document() {
        Ok(root) => {
            let comments = builder.comments;
            (Some(Document { root, comments }), builder.problems)
        }
        Err(problems) => (None, problems),
    }
}

struct Builder<'a> {
    events: Parser<'a, StrInput<'a>>,
    file: &'a Path,
    comments: Vec<Range<usize>>,
    /// The end of the last token that was not a comment: where a collection without closing brace ends.
    content_end: usize,
    problems: Problems,
}

impl<'a> Builder<'a> {
    fn document(&mut self) -> Result<Option<Node>, Problems> {
        let mut root = None;
        while let Some((event, span)) = self.next()? {
            match event {
                Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
                Event::DocumentStart(..) if root.is_none() => {
                    if let Some((event, span)) = self.next()? {
                        root = Some(self.node(event, &span, 0)?);
                    }
                }
                Event::DocumentStart(..) => {
                    self.refuse(
                        position(&span),
                        "a second document starts here".to_owned(),
                        "keep one document per file; profiles are sections of it",
                    );
                    // What follows is a second root; reading it as well would report every key twice.
                    return Ok(root);
                }
                _ => return Err(self.unexpected(&span).into()),
            }
        }
        Ok(root)
    }

    /// The next event that is not a comment.
    fn next(&mut self) -> Result<Option<(Event<'a>, Span)>, Problems> {
        loop {
            match self.events.next_event() {
                None => return Ok(None),
                Some(Err(error)) => return Err(self.syntax(&error).into()),
                Some(Ok((Event::Comment(..), span))) => self.comments.push(bytes(&span)),
                Some(Ok(event)) => return Ok(Some(event)),
            }
        }
    }

    fn node(&mut self, event: Event<'a>, span: &Span, depth: usize) -> Result<Node, Problems> {
        if depth > MAX_DEPTH {
            return Err(self.too_deep(position(span)).into());
        }
        let at = position(span);
        if event.tag().is_some() {
            self.refuse(
                at,
                "tags such as `!!str` are not supported".to_owned(),
                "remove the tag",
            );
        }
        if !event.is_alias() && event.anchor_id().is_some() {
            self.refuse(
                at,
                "anchors such as `&name` are not supported".to_owned(),
                "remove the anchor and repeat the value where it is needed",
            );
        }
        let mut range = bytes(span);
        let content = match event {
            Event::Scalar(text, style, ..) => {
                self.content_end = self.content_end.max(range.end);
                let null = range.is_empty() || matches!(&*text, "~" | "null" | "Null" | "NULL");
                if null && style == ScalarStyle::Plain {
                    Content::Null
                } else {
                    Content::Scalar {
                        text: text.into_owned(),
                        style,
                    }
                }
            }
            Event::MappingStart(style, ..) => {
                let flow = style == StructureStyle::Flow;
                let entries = self.entries(depth)?;
                range.end = self.content_end;
                Content::Mapping(Mapping { flow, entries })
            }
            Event::SequenceStart(..) => {
                self.items(depth)?;
                range.end = self.content_end;
                Content::Sequence
            }
            Event::Alias(_) | Event::UnresolvedAlias(_) => {
                self.content_end = range.end;
                self.refuse(
                    at,
                    "aliases such as `*name` are not supported".to_owned(),
                    "repeat the value",
                );
                Content::Refused
            }
            _ => return Err(self.unexpected(span).into()),
        };
        // A collection without braces starts where its first entry does, so the order of the ends can be trusted.
        range.end = range.end.max(range.start);
        Ok(Node {
            at,
            bytes: range,
            content,
        })
    }

    fn entries(&mut self, depth: usize) -> Result<Vec<Entry>, Problems> {
        let mut entries: Vec<Entry> = Vec::new();
        let mut lines: HashMap<String, usize> = HashMap::new();
        while let Some((event, span)) = self.next()? {
            if matches!(event, Event::MappingEnd) {
                self.content_end = self.content_end.max(end_of_brace(&span));
                break;
            }
            let key = self.node(event, &span, depth + 1)?;
            let Some((event, span)) = self.next()? else {
                break;
            };
            let value = self.node(event, &span, depth + 1)?;
            let name = match key.content {
                Content::Scalar { text, .. } => text,
                Content::Null if !key.bytes.is_empty() => "null".to_owned(),
                Content::Refused => continue,
                Content::Null | Content::Mapping(_) | Content::Sequence => {
                    self.refuse(
                        key.at,
                        "a key must be a word".to_owned(),
                        "write `name: value`",
                    );
                    continue;
                }
            };
            if let Some(first) = lines.get(&name) {
                let problem = self.problem(
                    ProblemKind::Duplicate,
                    key.at,
                    format!(
                        "`{}` stands here a second time; the first is on line {first}",
                        excerpt(&name)
                    ),
                    "keep one of them",
                );
                self.problems.push(problem);
            } else {
                lines.insert(name.clone(), key.at.line);
            }
            entries.push(Entry {
                key: name,
                key_at: key.at,
                key_bytes: key.bytes,
                value,
            });
        }
        Ok(entries)
    }

    fn items(&mut self, depth: usize) -> Result<(), Problems> {
        while let Some((event, span)) = self.next()? {
            if matches!(event, Event::SequenceEnd) {
                self.content_end = self.content_end.max(end_of_brace(&span));
                break;
            }
            self.node(event, &span, depth + 1)?;
        }
        Ok(())
    }

    fn refuse(&mut self, at: Position, reason: String, help: &str) {
        let problem = self.problem(ProblemKind::Unsupported, at, reason, help);
        self.problems.push(problem);
    }

    fn syntax(&self, error: &ScanError) -> Problem {
        let at = Position {
            line: error.marker().line(),
            column: error.marker().col() + 1,
        };
        let nested = matches!(
            error.kind(),
            granit_parser::ErrorKind::RecursionLimitExceeded
        );
        if nested {
            return self.too_deep(at);
        }
        Problem {
            kind: ProblemKind::Syntax,
            source: Source::File(self.file.to_owned()),
            position: Some(at),
            key: None,
            reason: format!("is not YAML: {}", error.info()),
            help: help_for_syntax(error.kind()).map(str::to_owned),
        }
    }

    fn too_deep(&self, at: Position) -> Problem {
        self.problem(
            ProblemKind::TooLarge,
            at,
            format!("is nested more than {MAX_DEPTH} levels deep"),
            "no key is nested that deeply; is this the right file?",
        )
    }

    fn unexpected(&self, span: &Span) -> Problem {
        Problem {
            kind: ProblemKind::Syntax,
            source: Source::File(self.file.to_owned()),
            position: Some(position(span)),
            key: None,
            reason: "is not YAML: a value was expected here".to_owned(),
            help: None,
        }
    }

    fn problem(&self, kind: ProblemKind, at: Position, reason: String, help: &str) -> Problem {
        Problem {
            kind,
            source: Source::File(self.file.to_owned()),
            position: Some(at),
            key: None,
            reason,
            help: Some(help.to_owned()),
        }
    }
}

/// The remedy for the mistakes that people make most often.
fn help_for_syntax(kind: &granit_parser::ErrorKind) -> Option<&'static str> {
    use granit_parser::ErrorKind as Kind;
    match kind {
        Kind::MappingValueNotAllowed => Some(
            "two `:` on one line, or a key that is indented below a value; quote the value or align the key",
        ),
        Kind::TabNotAllowed | Kind::TabInBlockIndentation => Some("indent with spaces"),
        Kind::UnclosedFlowCollection { .. } => Some("close it"),
        Kind::SimpleKeyExpected => Some("write `:` and a value behind the key"),
        Kind::InvalidIndentation => Some("align the keys of a section"),
        _ => None,
    }
}

/// The end of a closing brace or bracket; where none is written, the event has no width and gives 0.
fn end_of_brace(span: &Span) -> usize {
    let range = bytes(span);
    if range.is_empty() { 0 } else { range.end }
}

fn position(span: &Span) -> Position {
    Position {
        line: span.start.line(),
        column: span.start.col() + 1,
    }
}

fn bytes(span: &Span) -> Range<usize> {
    // Parsing from a `&str` gives byte offsets with every span; an empty range is harmless if that ever changes.
    span.byte_range().unwrap_or(0..0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn file() -> &'static Path {
        Path::new("qe.config.yaml")
    }

    fn only_problem(text: &str) -> String {
        let (_, problems) = parse(text, file());
        assert_eq!(problems.len(), 1, "{problems}");
        problems
            .to_string()
            .trim_start_matches("qe.config.yaml:")
            .to_owned()
    }

    #[test]
    fn entries_know_where_they_stand() {
        let text = "queue:\n  maxConcurrent: 10 # ten\n  timeout:\nmemory: {maxSize: \"1GB\", x: }\n# end\n";
        let (document, problems) = parse(text, file());
        assert!(problems.is_empty());
        let document = document.unwrap();
        let Some(Node {
            content: Content::Mapping(root),
            ..
        }) = document.root
        else {
            panic!("a mapping was expected")
        };
        let Content::Mapping(queue) = &root.entries[0].value.content else {
            panic!("a mapping was expected")
        };
        let limit = &queue.entries[0];
        assert_eq!(limit.key_at, Position { line: 2, column: 3 });
        assert_eq!(
            limit.value.at,
            Position {
                line: 2,
                column: 18
            }
        );
        assert_eq!(&text[limit.value.bytes.clone()], "10");
        assert!(matches!(queue.entries[1].value.content, Content::Null));
        let memory = &root.entries[1].value;
        assert_eq!(&text[memory.bytes.clone()], "{maxSize: \"1GB\", x: }");
        let comments: Vec<&str> = document
            .comments
            .into_iter()
            .map(|range| &text[range])
            .collect();
        assert_eq!(comments, ["# ten", "# end"]);
    }

    #[test]
    fn broken_yaml_is_answered_with_place_and_remedy() {
        for (text, expected) in [
            (
                "queue: [1, 2\n",
                "1:8: is not YAML: unclosed bracket '['; close it",
            ),
            (
                "queue: x: y\n",
                "1:9: is not YAML: mapping values are not allowed in this context; two `:` on one line, or a key that \
                 is indented below a value; quote the value or align the key",
            ),
            (
                "a: \u{0}",
                "1:4: is not YAML: unexpected character: `\\u{0}'",
            ),
        ] {
            assert_eq!(only_problem(text), expected);
        }
    }

    #[test]
    fn what_a_settings_file_has_no_use_for_is_refused_by_name() {
        for (text, expected) in [
            (
                "a: *b\n",
                "1:4: aliases such as `*name` are not supported; repeat the value",
            ),
            (
                "a: &b 1\n",
                "1:7: anchors such as `&name` are not supported; remove the anchor and repeat the value where it is needed",
            ),
            (
                "a: !!int 1\n",
                "1:10: tags such as `!!str` are not supported; remove the tag",
            ),
            ("[a]: 1\n", "1:1: a key must be a word; write `name: value`"),
            (
                "a: 1\n---\nb: 1\n",
                "2:1: a second document starts here; keep one document per file; profiles are sections of it",
            ),
            (
                "a: 1\nb: 2\na: 3\n",
                "3:1: `a` stands here a second time; the first is on line 1; keep one of them",
            ),
        ] {
            assert_eq!(only_problem(text), expected);
        }
    }

    #[test]
    fn depth_and_size_are_bounded() {
        let deep = format!("{}1{}", "{a: ".repeat(100), "}".repeat(100));
        assert!(only_problem(&deep).contains("nested more than 16 levels deep"));
        assert!(only_problem(&"[".repeat(100_000)).contains("nested more than 16 levels deep"));
        let bulky = vec![b' '; MAX_BYTES + 1];
        let problems = decode(&bulky, file()).unwrap_err();
        assert!(
            problems
                .iter()
                .all(|problem| problem.kind == ProblemKind::TooLarge)
        );
    }

    #[test]
    fn bytes_that_are_not_text_are_located() {
        for (bytes, place) in [
            (&b"a: 1\n\xc3\xa9: \xff"[..], "2:4"),
            (b"\xff", "1:1"),
            (b"\xef\xbb\xbf\xff", "1:1"),
            (b"a:\r\n\r\n\xff", "3:1"),
            (b"a:\rb\xff", "2:2"),
        ] {
            let problem = decode(bytes, file()).unwrap_err();
            assert_eq!(
                problem.to_string(),
                format!("qe.config.yaml:{place}: byte 0xff is not UTF-8; save the file as UTF-8")
            );
        }
    }

    /// A byte that is not UTF-8 is located without the parser; both have to count alike, whatever ends a line.
    #[test]
    fn places_are_counted_as_the_parser_counts_them() {
        for text in [
            "",
            "\u{feff}",
            "a: 1\n",
            "a: 1\r\n",
            "a: 1\r",
            "a: 1\r\n\rb: 2\n# é\n",
        ] {
            let (document, _) = parse(&format!("{text}key: 1\n"), file());
            let entries = document.and_then(|document| document.root);
            let Some(Node {
                content: Content::Mapping(mapping),
                ..
            }) = entries
            else {
                panic!("{text:?} is not a mapping");
            };
            let last = mapping.entries.last().unwrap();
            assert_eq!(last.key_at, end_of(text), "{text:?}");
        }
    }

    /// Each alias would multiply the text by ten; none is followed.
    #[test]
    fn aliases_that_would_expand_to_gigabytes_cost_nothing() {
        let mut text = "a0: &a0 [x]\n".to_owned();
        for level in 1..=12 {
            let before = format!("*a{}, ", level - 1).repeat(10);
            text.push_str(&format!("a{level}: &a{level} [{before}]\n"));
        }
        let (_, problems) = parse(&text, file());
        assert!(
            problems
                .iter()
                .all(|problem| problem.kind == ProblemKind::Unsupported)
        );
        assert_eq!(problems.len(), Problems::LIMIT);
    }

    proptest! {
        #[test]
        fn spans_lie_in_the_text(text in "[a-c:{}\\[\\], \n#'\"&*!|>?~-]{0,60}") {
            fn check(node: &Node, text: &str) {
                assert!(text.get(node.bytes.clone()).is_some(), "{:?} of {text:?}", node.bytes);
                if let Content::Mapping(mapping) = &node.content {
                    for entry in &mapping.entries {
                        assert!(text.get(entry.key_bytes.clone()).is_some());
                        check(&entry.value, text);
                    }
                }
            }
            if let (Some(Document { root: Some(root), .. }), _) = parse(&text, file()) {
                check(&root, &text);
            }
        }
    }
}
