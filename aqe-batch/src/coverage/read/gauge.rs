//! How far a parser has read since it last had something to show.
//!
//! The parsers of XML and JSON hold a tag, a text or a value as a whole, however long it is, and have no limit of their
//! own. So what they read from counts, and refuses to give more once a single token has taken more than is allowed.

use std::cell::Cell;
use std::io::{self, BufRead, Read};

use bytesize::ByteSize;

/// The count, shared by the input and whoever sees the tokens.
#[derive(Debug)]
pub(crate) struct Gauge {
    limit: u64,
    /// Bytes given out since the last token.
    given: Cell<u64>,
    exceeded: Cell<bool>,
    /// Line feeds given out, ever.
    line_feeds: Cell<u64>,
}

impl Gauge {
    pub(crate) const fn new(limit: ByteSize) -> Self {
        Self {
            limit: limit.as_u64(),
            given: Cell::new(0),
            exceeded: Cell::new(false),
            line_feeds: Cell::new(0),
        }
    }

    /// A token has been seen: the next one may be as long again.
    pub(crate) fn token(&self) {
        self.given.set(0);
    }

    /// Whether a token was refused for its length.
    pub(crate) const fn exceeded(&self) -> bool {
        self.exceeded.get()
    }

    /// The line that has been come to, from 1.
    pub(crate) const fn line(&self) -> u64 {
        self.line_feeds.get() + 1
    }

    fn give(&self, bytes: &[u8]) {
        self.given.set(self.given.get() + bytes.len() as u64);
        let line_feeds = memchr::memchr_iter(b'\n', bytes).count() as u64;
        self.line_feeds.set(self.line_feeds.get() + line_feeds);
    }

    /// How much of `available` may still be given, at least one byte.
    fn allowance(&self, available: usize) -> io::Result<usize> {
        let left = self.limit.saturating_sub(self.given.get());
        if left == 0 && available > 0 {
            self.exceeded.set(true);
            return Err(io::Error::other("a token is too long"));
        }
        Ok(usize::try_from(left).map_or(available, |left| available.min(left)))
    }
}

/// An input that the gauge measures.
#[derive(Debug)]
pub(crate) struct Gauged<'g, R> {
    input: R,
    gauge: &'g Gauge,
}

impl<'g, R: BufRead> Gauged<'g, R> {
    pub(crate) const fn new(input: R, gauge: &'g Gauge) -> Self {
        Self { input, gauge }
    }
}

impl<R: BufRead> BufRead for Gauged<'_, R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        let buffer = self.input.fill_buf()?;
        let allowance = self.gauge.allowance(buffer.len())?;
        Ok(&buffer[..allowance])
    }

    fn consume(&mut self, length: usize) {
        // Filled a moment ago, so this reads nothing; an error would have been met there.
        if let Ok(buffer) = self.input.fill_buf() {
            self.gauge.give(&buffer[..length.min(buffer.len())]);
        }
        self.input.consume(length);
    }
}

impl<R: BufRead> Read for Gauged<'_, R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let buffer = self.fill_buf()?;
        let length = buffer.len().min(into.len());
        into[..length].copy_from_slice(&buffer[..length]);
        self.consume(length);
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_has_a_limit_and_the_text_has_none() {
        let gauge = Gauge::new(ByteSize::b(4));
        let mut input = Gauged::new(&b"ab\ncdefghi"[..], &gauge);
        let mut three = [0; 3];
        for _ in 0..2 {
            input.read_exact(&mut three).unwrap();
            gauge.token();
        }
        assert_eq!(gauge.line(), 2);
        let mut rest = Vec::new();
        input.read_to_end(&mut rest).unwrap();
        assert_eq!(rest, b"fghi");
        assert!(!gauge.exceeded());
    }

    #[test]
    fn a_token_over_the_limit_is_refused_at_the_limit() {
        let gauge = Gauge::new(ByteSize::b(4));
        let mut rest = Vec::new();
        let error = Gauged::new(&b"abcde"[..], &gauge).read_to_end(&mut rest);
        assert!(error.is_err());
        assert!(gauge.exceeded());
        assert_eq!(rest, b"abcd");
    }
}
