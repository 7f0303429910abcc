//! What a test printed, cut to a size that a journal can keep.

use serde::{Deserialize, Serialize};

/// How much of one stream is kept: so many bytes from the front and so many from the back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExcerptLimit {
    /// Bytes kept from the start.
    pub head: usize,
    /// Bytes kept from the end.
    pub tail: usize,
}

impl Default for ExcerptLimit {
    /// 4 KiB of the start and 12 KiB of the end: the start says what was set up, the end holds the panic and most of a
    /// backtrace, and two such streams fit a journal line even when every byte has to be escaped.
    fn default() -> Self {
        Self {
            head: 4 * 1024,
            tail: 12 * 1024,
        }
    }
}

/// The start and the end of one output stream.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Excerpt {
    /// The start; all of it when nothing was cut. Bytes that are not UTF-8 are replaced by U+FFFD.
    pub head: String,
    /// The end; empty when nothing was cut.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub tail: String,
    /// How many bytes the stream had.
    pub total_bytes: u64,
    /// How many bytes are in neither `head` nor `tail`.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub omitted_bytes: u64,
    /// The file with the stream, relative to the run's folder, when it was spilled to one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// How many bytes, from the start of the stream on, are in `file`; absent when all of them are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file_bytes: Option<u64>,
}

impl Excerpt {
    /// Cuts a stream that is in memory as a whole.
    ///
    /// # Examples
    ///
    /// ```
    /// use aqe_runner::model::{Excerpt, ExcerptLimit};
    ///
    /// let excerpt = Excerpt::of(b"0123456789", ExcerptLimit { head: 2, tail: 3 });
    /// assert_eq!((excerpt.head.as_str(), excerpt.tail.as_str()), ("01", "789"));
    /// assert_eq!(excerpt.omitted_bytes, 5);
    /// ```
    #[must_use]
    pub fn of(stream: &[u8], limit: ExcerptLimit) -> Self {
        Self::from_ends(stream, stream, stream.len() as u64, limit)
    }

    /// Cuts a stream of which only the two ends are in memory.
    ///
    /// `head` holds its first bytes and `tail` its last ones; they may overlap, and each may be the whole stream.
    #[must_use]
    pub fn from_ends(head: &[u8], tail: &[u8], total_bytes: u64, limit: ExcerptLimit) -> Self {
        if head.len() as u64 >= total_bytes && head.len() <= limit.head.saturating_add(limit.tail) {
            return Self {
                head: String::from_utf8_lossy(head).into_owned(),
                total_bytes,
                ..Self::default()
            };
        }
        let head = &head[..floor_char(head, limit.head)];
        // The tail never repeats bytes that the head already shows.
        let rest = total_bytes.saturating_sub(head.len() as u64);
        let room = limit
            .tail
            .min(usize::try_from(rest).unwrap_or(usize::MAX))
            .min(tail.len());
        let tail = &tail[ceil_char(tail, tail.len() - room)..];
        Self {
            head: String::from_utf8_lossy(head).into_owned(),
            tail: String::from_utf8_lossy(tail).into_owned(),
            total_bytes,
            omitted_bytes: total_bytes.saturating_sub((head.len() + tail.len()) as u64),
            file: None,
            file_bytes: None,
        }
    }

    /// Names the file that holds the whole stream, relative to the run's folder.
    #[must_use]
    pub fn spilled_to(mut self, file: impl Into<String>) -> Self {
        self.file = Some(file.into());
        self
    }

    /// Says that the file holds only so many bytes, because it reached its limit or the disk was full.
    #[must_use]
    pub fn spilled_up_to(mut self, bytes: u64) -> Self {
        self.file_bytes = (bytes < self.total_bytes).then_some(bytes);
        self
    }

    /// Whether the stream was empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.total_bytes == 0
    }

    /// The text for a person: head, a line that says what is missing and where it is, tail.
    #[must_use]
    pub fn to_text(&self) -> String {
        if self.omitted_bytes == 0 && self.tail.is_empty() {
            return self.head.clone();
        }
        let place = match (&self.file, self.file_bytes) {
            (None, _) => String::new(),
            (Some(file), None) => format!("; the whole is in {file}"),
            (Some(file), Some(bytes)) => format!("; the first {bytes} bytes are in {file}"),
        };
        format!(
            "{}\n[... {} bytes left out{place} ...]\n{}",
            self.head, self.omitted_bytes, self.tail
        )
    }
}

/// What a test printed on both streams.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct OutputExcerpt {
    /// Standard output.
    pub stdout: Excerpt,
    /// Standard error.
    pub stderr: Excerpt,
}

impl OutputExcerpt {
    /// Joins the two streams.
    #[must_use]
    pub fn new(stdout: Excerpt, stderr: Excerpt) -> Self {
        Self { stdout, stderr }
    }
}

/// The largest cut at or below `at` that does not split a UTF-8 sequence, looking back at most 3 bytes.
fn floor_char(bytes: &[u8], at: usize) -> usize {
    if at >= bytes.len() {
        return bytes.len();
    }
    (at.saturating_sub(3)..=at)
        .rev()
        .find(|&cut| !is_continuation(bytes[cut]))
        .unwrap_or(at)
}

/// The smallest cut at or above `at` that does not split a UTF-8 sequence, looking ahead at most 3 bytes.
fn ceil_char(bytes: &[u8], at: usize) -> usize {
    let end = bytes.len().min(at.saturating_add(3));
    (at..=end)
        .find(|&cut| cut == bytes.len() || !is_continuation(bytes[cut]))
        .unwrap_or(at)
}

fn is_continuation(byte: u8) -> bool {
    byte & 0b1100_0000 == 0b1000_0000
}

fn is_zero(value: &u64) -> bool {
    *value == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_cut_never_splits_a_character() {
        let text = "aéß€𝄞".repeat(4);
        for head in 0..text.len() {
            for tail in 0..8 {
                let excerpt = Excerpt::of(text.as_bytes(), ExcerptLimit { head, tail });
                assert!(
                    !excerpt.head.contains('\u{fffd}') && !excerpt.tail.contains('\u{fffd}'),
                    "{excerpt:?}"
                );
                assert!(text.starts_with(&excerpt.head) && text.ends_with(&excerpt.tail));
            }
        }
    }

    #[test]
    fn bytes_that_are_not_text_are_kept_as_replacements() {
        let excerpt = Excerpt::of(
            b"\xff\xfeok\x80\x80\x80\x80\x80",
            ExcerptLimit { head: 3, tail: 2 },
        );
        assert!(excerpt.head.starts_with("\u{fffd}\u{fffd}"));
        assert_eq!(excerpt.total_bytes, 9);
    }

    #[test]
    fn the_text_says_how_much_is_missing_and_where_it_is() {
        let excerpt = Excerpt::of(&[b'x'; 100], ExcerptLimit { head: 1, tail: 1 })
            .spilled_to("output/7.stdout");
        assert_eq!(
            excerpt.to_text(),
            "x\n[... 98 bytes left out; the whole is in output/7.stdout ...]\nx"
        );
        let excerpt = excerpt.spilled_up_to(60);
        assert_eq!(
            excerpt.to_text(),
            "x\n[... 98 bytes left out; the first 60 bytes are in output/7.stdout ...]\nx"
        );
        assert_eq!(excerpt.spilled_up_to(100).file_bytes, None);
    }

    proptest! {
        #[test]
        fn nothing_is_lost_or_invented(stream in proptest::collection::vec(b'a'..=b'z', 0..200), head in 0usize..120, tail in 0usize..120, seen in 0usize..200) {
            let limit = ExcerptLimit { head, tail };
            let seen = seen.min(stream.len());
            for excerpt in [
                Excerpt::of(&stream, limit),
                Excerpt::from_ends(&stream[..seen], &stream[stream.len() - seen..], stream.len() as u64, limit),
            ] {
                prop_assert!(stream.starts_with(excerpt.head.as_bytes()));
                prop_assert!(stream.ends_with(excerpt.tail.as_bytes()));
                prop_assert!(excerpt.head.len() + excerpt.tail.len() <= head + tail);
                prop_assert_eq!((excerpt.head.len() + excerpt.tail.len()) as u64 + excerpt.omitted_bytes, stream.len() as u64);
            }
        }

        #[test]
        fn any_bytes_are_taken(stream in proptest::collection::vec(any::<u8>(), 0..300), head in 0usize..100, tail in 0usize..100) {
            let excerpt = Excerpt::of(&stream, ExcerptLimit { head, tail });
            prop_assert_eq!(excerpt.total_bytes, stream.len() as u64);
        }
    }
}
