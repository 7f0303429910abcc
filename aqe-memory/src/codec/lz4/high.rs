//! The encoder for values that are read more often than written: it looks for the longest match at every position
//! and then chooses the shortest way through them.

use std::ops::Range;

use super::chains::{LocalChains, Match};
use super::parse::Parser;
use super::suffixes::{Place, SuffixIndex};
use super::writer::BlockWriter;
use super::{LAST_LITERALS, LAST_MATCH_START, MIN_MATCH, SHORTEST};
use crate::codec::dictionary::Dictionary;

/// Comparisons at one position with earlier ones of the value. What a dictionary has is found exactly, so this counts
/// for long values: with a log of 64 KB, three times as many make it 3 % shorter and take three times as long.
const ATTEMPTS: usize = 16;

/// Where a match of this length goes on, no better one is looked for in the value.
const LONG_ENOUGH: usize = 24;

/// What the encoder keeps between values.
#[derive(Debug)]
pub(in crate::codec) struct Workspace {
    chains: LocalChains,
    parser: Parser,
}

impl Workspace {
    /// What it comes to hold, in bytes.
    #[cfg(any(test, feature = "internals"))]
    pub(in crate::codec) const MEMORY: usize = LocalChains::MEMORY + Parser::MEMORY;

    pub(in crate::codec) fn new() -> Self {
        Self {
            chains: LocalChains::new(),
            parser: Parser::default(),
        }
    }
}

/// Writes `input` as a block into `output` and says how long it became; `None` when it does not fit.
pub(in crate::codec) fn encode(
    input: &[u8],
    dictionary: Option<&Dictionary>,
    workspace: &mut Workspace,
    output: &mut [u8],
) -> Option<usize> {
    let mut writer = BlockWriter::new(output);
    if input.len() < SHORTEST {
        return writer.finish(input, 0);
    }
    let Workspace { chains, parser } = workspace;
    let index = dictionary
        .filter(|dictionary| dictionary.bytes().len() >= MIN_MATCH)
        .map(|dictionary| (dictionary.bytes(), dictionary.suffixes()));
    let mut finder = Finder {
        input,
        begin: chains.begin(input.len()),
        chains,
        known: index.as_ref().map(|(bytes, index)| (*bytes, &**index)),
    };
    let (mut anchor, mut stretch) = (0, 0);
    while stretch + LAST_MATCH_START <= input.len() {
        let end = (stretch + Parser::LONGEST).min(input.len());
        finder.find(stretch..end, parser);
        parser.choose();
        let mut from = 0;
        while let (start, Some(found)) = parser.next(from) {
            let start = stretch + start;
            // Matches are sought no farther away than two bytes can say.
            writer.sequence(input, anchor, start, found.distance as u16, found.length)?;
            anchor = start + found.length;
            from = anchor - stretch;
        }
        // Literals at the end of a stretch wait for the next one's first match.
        stretch = end;
    }
    writer.finish(input, anchor)
}

/// Looks for the longest match at every position.
struct Finder<'a> {
    input: &'a [u8],
    /// Where the value begins in the stream of all values.
    begin: u32,
    chains: &'a mut LocalChains,
    known: Option<(&'a [u8], &'a SuffixIndex)>,
}

impl Finder<'_> {
    /// Hands the longest match at each position of a stretch to the parser.
    fn find(&mut self, stretch: Range<usize>, parser: &mut Parser) {
        parser.clear();
        let last_start = self.input.len() - LAST_MATCH_START;
        let matchable = &self.input[..stretch.end.min(self.input.len() - LAST_LITERALS)];
        let (mut last, mut place) = (Match::default(), Place::default());
        for at in stretch {
            if at > last_start || at + MIN_MATCH > matchable.len() {
                parser.push(Match::default());
                continue;
            }
            // What matched at the position before matches here as well, but for its first byte.
            let mut best = Match {
                length: last.length.saturating_sub(1),
                distance: last.distance,
            };
            if let Some((bytes, index)) = self.known {
                place = index.search(bytes, &matchable[at..], place);
                if place.length > best.length {
                    best = best.or_longer(index.reach(bytes, place, at));
                }
            }
            let like = self.chains.insert(self.begin, matchable, at);
            if best.length < LONG_ENOUGH {
                best = self
                    .chains
                    .search(self.begin, matchable, at, like, best, ATTEMPTS);
            }
            if best.length < MIN_MATCH {
                best = Match::default();
            }
            parser.push(best);
            last = best;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_begin_anew_before_they_overflow() {
        let value = b"abcdefghijklmnop_abcdefghijklmnop_abcdefghijklmnop".as_slice();
        let mut workspace = Workspace::new();
        let mut output = [0; 60];
        let expected = (encode(value, None, &mut workspace, &mut output), output);
        workspace.chains.almost_overflow();
        let mut output = [0; 60];
        assert_eq!(
            (encode(value, None, &mut workspace, &mut output), output),
            expected
        );
    }
}
