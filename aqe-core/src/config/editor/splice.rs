//! Which stretch of text an edit replaces, and by what.
//!
//! Works on the tree for structure and on the text for layout. Whatever it overlooks is caught by the comparison of both
//! trees afterwards, so a rule here may assume the usual layout as long as it does not assume validity.

use std::ops::Range;

use granit_parser::ScalarStyle;

use super::super::yaml::{Content, Entry, Mapping, Node};

/// A stretch of the old text and what replaces it.
#[derive(Debug)]
pub(super) struct Splice {
    pub(super) range: Range<usize>,
    pub(super) text: String,
}

impl Splice {
    fn insert(at: usize, text: String) -> Self {
        Self {
            range: at..at,
            text,
        }
    }

    pub(super) fn apply(&self, old: &str) -> String {
        let (front, back) = (&old[..self.range.start], &old[self.range.end..]);
        [front, &self.text, back].concat()
    }

    /// The line where it starts.
    pub(super) fn line(&self, old: &str) -> usize {
        1 + old[..self.range.start].matches('\n').count()
    }
}

/// A place that cannot be edited.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) line: usize,
    pub(super) reason: String,
    pub(super) help: &'static str,
}

impl Refused {
    /// The comparison of both texts found more than the one change.
    pub(super) fn entangled(line: usize) -> Self {
        Self {
            line,
            reason: "this place is written in a form in which one value cannot be changed alone"
                .to_owned(),
            help: "write it as `key: value` on a line of its own, or edit it by hand",
        }
    }

    fn not_a_section(name: &str, node: &Node) -> Self {
        let shorthand = matches!(node.content, Content::Scalar { .. });
        Self {
            line: node.at.line,
            reason: format!("`{name}` holds a value, and a key has to go below it"),
            help: if shorthand {
                "write it as a section, with the value behind `enabled:` below it"
            } else {
                "write it as a section with keys below it"
            },
        }
    }
}

/// A value to be written: text without any symbol that would need an escape.
#[derive(Debug, Clone, Copy)]
pub(super) struct Token<'a> {
    pub(super) text: &'a str,
    /// Whether the value may stand in quotes, and does where it is new.
    pub(super) quoted: bool,
}

impl Token<'_> {
    fn fresh(self) -> String {
        // Plain numbers stay plain, as the documentation writes them: `timeout: 30000`.
        let number = self.text.bytes().all(|byte| byte.is_ascii_digit());
        if self.quoted && !number {
            format!("\"{}\"", self.text)
        } else {
            self.text.to_owned()
        }
    }

    /// In the quotes of what it replaces.
    fn styled(self, style: ScalarStyle) -> String {
        match style {
            ScalarStyle::SingleQuoted if self.quoted => format!("'{}'", self.text),
            ScalarStyle::DoubleQuoted if self.quoted => format!("\"{}\"", self.text),
            _ => self.text.to_owned(),
        }
    }
}

/// The value at the end of a path.
pub(super) fn value_at<'a>(root: &'a Node, path: &[&str]) -> Option<&'a Node> {
    path.iter()
        .try_fold(root, |node, name| match &node.content {
            Content::Mapping(mapping) => Some(&mapping.entry(name)?.value),
            _ => None,
        })
}

/// Sets the value at the end of a path.
pub(super) fn set(
    text: &str,
    root: Option<&Node>,
    path: &[&str],
    token: Token<'_>,
) -> Result<Splice, Refused> {
    let layout = Layout::of(text, root);
    let Some(root) = root.filter(|root| !matches!(root.content, Content::Null)) else {
        return Ok(layout.append(path, token));
    };
    let mut node = root;
    let mut owner: Option<&Entry> = None;
    let mut in_flow = false;
    for (depth, name) in path.iter().enumerate() {
        let rest = &path[depth..];
        match (&node.content, owner) {
            (Content::Mapping(mapping), _) => {
                in_flow |= mapping.flow;
                let Some(entry) = mapping.entry(name) else {
                    return layout.insert(node, mapping, rest, token);
                };
                owner = Some(entry);
                node = &entry.value;
            }
            (Content::Null, Some(owner)) if !node.bytes.is_empty() || in_flow => {
                return Ok(layout.fill_flow(owner, rest, token));
            }
            (Content::Null, Some(owner)) => return layout.open(owner, rest, token),
            _ => {
                let name = depth.checked_sub(1).map_or("the file", |above| path[above]);
                return Err(Refused::not_a_section(name, node));
            }
        }
    }
    match (&node.content, owner) {
        (Content::Scalar { style, .. }, _)
            if !matches!(style, ScalarStyle::Literal | ScalarStyle::Folded) =>
        {
            Ok(Splice {
                range: node.bytes.clone(),
                text: token.styled(*style),
            })
        }
        (Content::Null, Some(owner)) if node.bytes.is_empty() => {
            let at = after_colon(text, owner.key_bytes.end);
            Ok(Splice::insert(at, format!(" {}", token.fresh())))
        }
        (Content::Null, _) => Ok(Splice {
            range: node.bytes.clone(),
            text: token.fresh(),
        }),
        _ => Err(Refused::entangled(node.at.line)),
    }
}

/// Removes the value at the end of a path; `None` if there is none.
pub(super) fn remove(
    text: &str,
    root: Option<&Node>,
    path: &[&str],
    comments: &[Range<usize>],
) -> Result<Option<Splice>, Refused> {
    let Some(root) = root else { return Ok(None) };
    let mut node = root;
    let mut chain: Vec<(&Mapping, &Node, usize)> = Vec::new();
    for name in path {
        let Content::Mapping(mapping) = &node.content else {
            return Ok(None);
        };
        let Some(index) = mapping.entries.iter().position(|entry| entry.key == *name) else {
            return Ok(None);
        };
        chain.push((mapping, node, index));
        node = &mapping.entries[index].value;
    }
    let Some((mut mapping, mut owner, mut index)) = chain.pop() else {
        return Ok(None);
    };
    let leaf_line = line_start(text, mapping.entries[index].key_bytes.start);
    // A section that loses its only key goes as well, but never a profile, which may be selected somewhere.
    while mapping.entries.len() == 1 && !mapping.flow {
        let Some((outer, outer_owner, outer_index)) = chain.pop() else {
            break;
        };
        let section = &outer.entries[outer_index];
        let is_profile = chain.is_empty() && path.len() > 1 && !super::schema::is_section(path[0]);
        let start = section.key_bytes.start;
        let commented = comments
            .iter()
            .any(|comment| comment.start > start && comment.start < leaf_line);
        if is_profile || commented || outer.flow {
            break;
        }
        (mapping, owner, index) = (outer, outer_owner, outer_index);
    }
    if mapping.flow {
        Ok(Some(remove_from_flow(text, owner, mapping, index)))
    } else {
        remove_lines(text, &mapping.entries[index]).map(Some)
    }
}

/// Takes out the lines of an entry, from its key to the end of its value.
fn remove_lines(text: &str, entry: &Entry) -> Result<Splice, Refused> {
    let start = line_start(text, entry.key_bytes.start);
    let alone = text[start..entry.key_bytes.start].trim().is_empty();
    if !alone {
        return Err(Refused::entangled(entry.key_at.line));
    }
    Ok(Splice {
        range: start..after_line(text, end_of(text, entry)),
        text: String::new(),
    })
}

/// Takes out an entry between braces, with one of the commas beside it.
fn remove_from_flow(text: &str, owner: &Node, mapping: &Mapping, index: usize) -> Splice {
    let entry = &mapping.entries[index];
    let range = match (index.checked_sub(1), mapping.entries.get(index + 1)) {
        (_, Some(next)) => entry.key_bytes.start..next.key_bytes.start,
        (Some(previous), None) => end_of(text, &mapping.entries[previous])..end_of(text, entry),
        (None, None) => {
            owner.bytes.start + 1..owner.bytes.end.saturating_sub(1).max(owner.bytes.start + 1)
        }
    };
    Splice {
        range,
        text: String::new(),
    }
}

/// How a text is laid out, for new lines to look like the ones that are there.
struct Layout<'a> {
    text: &'a str,
    /// Blanks per level.
    step: usize,
}

impl<'a> Layout<'a> {
    fn of(text: &'a str, root: Option<&Node>) -> Self {
        Self {
            text,
            step: root.and_then(step).unwrap_or(2),
        }
    }

    /// Puts an entry into a mapping, behind the others.
    fn insert(
        &self,
        node: &Node,
        mapping: &Mapping,
        rest: &[&str],
        token: Token<'_>,
    ) -> Result<Splice, Refused> {
        let Some(last) = mapping.entries.last() else {
            return Ok(Splice::insert(
                node.bytes.start + 1,
                flow_entry(rest, token),
            ));
        };
        let end = end_of(self.text, last);
        if mapping.flow {
            return Ok(Splice::insert(
                end,
                format!(", {}", flow_entry(rest, token)),
            ));
        }
        let indent = self.indent_of(&mapping.entries[0])?;
        Ok(self.lines_at(after_line(self.text, end), indent, rest, token))
    }

    /// Puts the first entry below a section without a value.
    fn open(&self, owner: &Entry, rest: &[&str], token: Token<'_>) -> Result<Splice, Refused> {
        let indent = format!("{}{}", self.indent_of(owner)?, " ".repeat(self.step));
        let at = after_line(self.text, owner.key_bytes.end);
        Ok(self.lines_at(at, &indent, rest, token))
    }

    /// Puts a mapping in braces where a section has no value and no line of its own.
    fn fill_flow(&self, owner: &Entry, rest: &[&str], token: Token<'_>) -> Splice {
        let text = format!("{{{}}}", flow_entry(rest, token));
        if owner.value.bytes.is_empty() {
            Splice::insert(
                after_colon(self.text, owner.key_bytes.end),
                format!(" {text}"),
            )
        } else {
            Splice {
                range: owner.value.bytes.clone(),
                text,
            }
        }
    }

    /// Puts the first entry into a file that has none.
    fn append(&self, path: &[&str], token: Token<'_>) -> Splice {
        self.lines_at(self.text.len(), "", path, token)
    }

    /// `a:`, `  b: value` as lines at the start of a line, or at the end of a text that lacks its last line break.
    fn lines_at(&self, at: usize, indent: &str, rest: &[&str], token: Token<'_>) -> Splice {
        let line_break = self.line_break(at);
        let mut text = String::new();
        if at > 0 && !self.text[..at].ends_with(['\n', '\r']) && self.text[..at] != *"\u{feff}" {
            text.push_str(line_break);
        }
        for (level, name) in rest.iter().enumerate() {
            text.push_str(indent);
            text.extend(std::iter::repeat_n(' ', level * self.step));
            text.push_str(name);
            text.push(':');
            if level + 1 == rest.len() {
                text.push(' ');
                text.push_str(&token.fresh());
            }
            text.push_str(line_break);
        }
        Splice::insert(at, text)
    }

    /// The line break of the line before, else of the first line, else a line feed.
    fn line_break(&self, at: usize) -> &'static str {
        let line_feed = self.text[..at].rfind('\n').or_else(|| self.text.find('\n'));
        match line_feed {
            Some(line_feed) if self.text[..line_feed].ends_with('\r') => "\r\n",
            _ => "\n",
        }
    }

    /// What stands in front of an entry's key, which has to be blanks.
    fn indent_of(&self, entry: &Entry) -> Result<&'a str, Refused> {
        let start = line_start(self.text, entry.key_bytes.start);
        let indent = &self.text[start..entry.key_bytes.start];
        if indent.trim().is_empty() {
            Ok(indent)
        } else {
            Err(Refused::entangled(entry.key_at.line))
        }
    }
}

/// The blanks by which the first section's keys are indented.
fn step(root: &Node) -> Option<usize> {
    let Content::Mapping(root) = &root.content else {
        return None;
    };
    root.entries
        .iter()
        .find_map(|entry| match &entry.value.content {
            Content::Mapping(inner) if !inner.flow => {
                let first = inner.entries.first()?;
                first.key_at.column.checked_sub(entry.key_at.column)
            }
            _ => None,
        })
}

/// `a: {b: value}` for the path `a.b`.
fn flow_entry(path: &[&str], token: Token<'_>) -> String {
    let mut text = path.join(": {");
    text.push_str(": ");
    text.push_str(&token.fresh());
    text.extend(std::iter::repeat_n('}', path.len().saturating_sub(1)));
    text
}

/// Behind the last symbol of an entry.
fn end_of(text: &str, entry: &Entry) -> usize {
    if entry.value.bytes.is_empty() {
        after_colon(text, entry.key_bytes.end)
    } else {
        match &entry.value.content {
            Content::Mapping(mapping) if !mapping.flow => mapping
                .entries
                .last()
                .map_or(entry.value.bytes.end, |last| {
                    end_of(text, last).max(entry.value.bytes.end)
                }),
            _ => entry.value.bytes.end,
        }
    }
}

/// Behind the colon that follows a key, or behind the key if none does.
fn after_colon(text: &str, key_end: usize) -> usize {
    let rest = &text[key_end..];
    let blanks = rest.len() - rest.trim_start_matches([' ', '\t']).len();
    if rest[blanks..].starts_with(':') {
        key_end + blanks + 1
    } else {
        key_end
    }
}

/// The start of the line that a place is on, behind a byte-order mark.
fn line_start(text: &str, at: usize) -> usize {
    match text[..at].rfind(['\n', '\r']) {
        Some(line_break) => line_break + 1,
        None if text.starts_with('\u{feff}') => '\u{feff}'.len_utf8().min(at),
        None => 0,
    }
}

/// The start of the line after the one that a place is on. A block of text ends behind its last line break already.
fn after_line(text: &str, at: usize) -> usize {
    if at > 0 && text[..at].ends_with('\n') {
        return at;
    }
    text[at..]
        .find('\n')
        .map_or(text.len(), |line_feed| at + line_feed + 1)
}
