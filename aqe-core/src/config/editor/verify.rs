//! Whether an edit changed what it should and nothing else.
//!
//! Both texts are flattened to a list of values with their paths, in the order of the text and in their own spelling. The
//! lists must be equal after the edited value is taken out of both, and so must the lists of comments.

use super::super::yaml::{Content, Document, Node};
use super::splice::Splice;

/// What an edit was meant to do.
pub(super) struct Expected<'a> {
    /// The names that lead to the value.
    pub(super) path: &'a [&'a str],
    /// The value afterwards, without quotes; `None` if it is removed.
    pub(super) value: Option<&'a str>,
    pub(super) splice: &'a Splice,
}

/// A value as it is written, with the names that lead to it.
#[derive(Debug, PartialEq)]
struct Leaf<'a> {
    path: Vec<&'a str>,
    /// With quotes.
    written: &'a str,
    /// Without quotes.
    meant: Option<&'a str>,
}

/// The edited value before the change (`Some(None)` if there was none), or `None` if something else changed as well.
pub(super) fn change(
    (old, old_text): (&Document, &str),
    (new, new_text): (&Document, &str),
    expected: &Expected<'_>,
) -> Option<Option<String>> {
    let (mut old_leaves, mut new_leaves) = (leaves(old, old_text)?, leaves(new, new_text)?);
    let before = take(&mut old_leaves, expected.path)?;
    let after = take(&mut new_leaves, expected.path)?;
    let as_meant = after.as_ref().map(|(_, leaf)| leaf.meant) == expected.value.map(Some);
    // A value that was there before stays in its place.
    let in_place = match (&before, &after) {
        (Some((before, _)), Some((after, _))) => before == after,
        _ => true,
    };
    let kept = old_leaves == new_leaves && comments_kept(old, old_text, new, new_text, expected);
    if !(as_meant && in_place && kept) {
        return None;
    }
    let before = before.and_then(|(_, leaf)| leaf.meant.map(str::to_owned));
    Some(before)
}

/// Whether the comments are the same, but for those on the line of a removed value.
fn comments_kept(
    old: &Document,
    old_text: &str,
    new: &Document,
    new_text: &str,
    expected: &Expected<'_>,
) -> bool {
    let removed = &expected.splice.range;
    let mut lost = 0;
    let before = old.comments.iter().filter(|comment| {
        let gone = expected.value.is_none()
            && removed.start <= comment.start
            && comment.end <= removed.end;
        lost += usize::from(gone);
        !gone
    });
    let before: Vec<&str> = before.map(|comment| &old_text[comment.clone()]).collect();
    let after: Vec<&str> = new
        .comments
        .iter()
        .map(|comment| &new_text[comment.clone()])
        .collect();
    before == after && lost <= 1
}

/// Takes the value with this path out of the list, with its place; `None` if it stands there more than once.
fn take<'a>(leaves: &mut Vec<Leaf<'a>>, path: &[&str]) -> Option<Option<(usize, Leaf<'a>)>> {
    let mut places = leaves
        .iter()
        .enumerate()
        .filter(|(_, leaf)| leaf.path == path)
        .map(|(place, _)| place);
    let first = places.next();
    if places.next().is_some() {
        return None;
    }
    Some(first.map(|place| (place, leaves.remove(place))))
}

/// All values but empty ones; `None` if the tree does not fit the text.
fn leaves<'a>(document: &'a Document, text: &'a str) -> Option<Vec<Leaf<'a>>> {
    let mut leaves = Vec::new();
    if let Some(root) = &document.root {
        collect(root, text, &mut Vec::new(), &mut leaves)?;
    }
    Some(leaves)
}

fn collect<'a>(
    node: &'a Node,
    text: &'a str,
    path: &mut Vec<&'a str>,
    leaves: &mut Vec<Leaf<'a>>,
) -> Option<()> {
    let meant = match &node.content {
        // Sections without keys come and go with their last and first key.
        Content::Null => return Some(()),
        Content::Mapping(mapping) => {
            for entry in &mapping.entries {
                path.push(&entry.key);
                collect(&entry.value, text, path, leaves)?;
                path.pop();
            }
            return Some(());
        }
        Content::Scalar { text, .. } => Some(text.as_str()),
        Content::Sequence | Content::Refused => None,
    };
    leaves.push(Leaf {
        path: path.clone(),
        written: text.get(node.bytes.clone())?,
        meant,
    });
    Some(())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::yaml;

    /// Whether the change from one text to the other is nothing but `queue.timeout` being set to `5s`.
    fn accepted(old: &str, new: &str) -> bool {
        let parse = |text| yaml::parse(text, Path::new("f")).0.unwrap();
        let splice = Splice {
            range: 0..old.len(),
            text: new.to_owned(),
        };
        let expected = Expected {
            path: &["queue", "timeout"],
            value: Some("5s"),
            splice: &splice,
        };
        change((&parse(old), old), (&parse(new), new), &expected).is_some()
    }

    #[test]
    fn only_the_one_change_is_accepted() {
        let old = "a: 'x'\nqueue:\n  timeout: 4s # c\n  batchSize: 4\n";
        for (new, expected) in [
            ("a: 'x'\nqueue:\n  timeout: 5s # c\n  batchSize: 4\n", true),
            ("a: 'x'\n\nqueue: {timeout: 5s, batchSize: 4} # c\n", true),
            // The value is missing, another one, or stands somewhere else.
            ("a: 'x'\nqueue:\n  batchSize: 4 # c\n", false),
            ("a: 'x'\nqueue:\n  timeout: 6s # c\n  batchSize: 4\n", false),
            ("a: 'x'\nqueue:\n  batchSize: 4 # c\n  timeout: 5s\n", false),
            // Another value changed, lost its quotes, went missing, came in, or moved.
            ("a: 'x'\nqueue:\n  timeout: 5s # c\n  batchSize: 5\n", false),
            ("a: x\nqueue:\n  timeout: 5s # c\n  batchSize: 4\n", false),
            ("queue:\n  timeout: 5s # c\n  batchSize: 4\n", false),
            (
                "a: 'x'\nqueue:\n  timeout: 5s # c\n  batchSize: 4\nb: 1\n",
                false,
            ),
            ("queue:\n  timeout: 5s # c\n  batchSize: 4\na: 'x'\n", false),
            // The comment changed or went missing.
            ("a: 'x'\nqueue:\n  timeout: 5s # d\n  batchSize: 4\n", false),
            ("a: 'x'\nqueue:\n  timeout: 5s\n  batchSize: 4\n", false),
        ] {
            assert_eq!(accepted(old, new), expected, "{new}");
        }
    }
}
