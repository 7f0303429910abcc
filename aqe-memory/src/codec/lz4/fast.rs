//! The encoder for values on their way in: one look at each position, and the first match is taken.
//!
//! Three tables are asked: the dictionary's with a hash of the next eight bytes, which finds long matches only; a
//! small one of the value itself, which is filled on the way, and the dictionary's other one, both with a hash of
//! five. Asking for the long match first is what a dictionary makes cheap, as its tables need no filling: with it
//! fewer and longer sequences are written, which saves more time than the third look costs.
//!
//! The value's own table is never cleared. Its entries are positions in a stream that all values of an encoder
//! make up, with a gap of more than the format's reach between two of them, so that what an earlier value left is
//! simply too far away.

use super::writer::BlockWriter;
use super::{
    LAST_LITERALS, LAST_MATCH_START, MAX_DISTANCE, SHORTEST, common, common_before, read_u32,
    read_u64,
};
use crate::codec::dictionary::Dictionary;

/// 4,096 positions, 16 KiB: a third of a first-level cache, and two entries for each position of a value of 2 KiB.
const LOCAL_BITS: u32 = 12;

/// 16,384 positions, 64 KiB for each table: of a dictionary as large as can be a position in four, and the ones that
/// are left are those nearest to the value, where the trainer puts what is most useful. Twice as many find 1 % more
/// and miss a cache more often.
const DICTIONARY_BITS: u32 = 14;

/// One position more is skipped for each 32 misses in a row. With 64, as the library in C has it, values alone become
/// 2 % smaller and take 20 % longer; with a dictionary the difference is a tenth of that.
const SKIP_BITS: u32 = 5;

/// Spreads the bits of a few bytes over a word, most of all to its top: 2 to the 64th, divided by the golden ratio.
const MULTIPLIER: u64 = 0x9E37_79B9_7F4A_7C15;

/// The hash of the lowest five of eight bytes; its top bits choose a slot.
#[inline(always)]
fn short_hash(bytes: u64) -> u64 {
    (bytes << 24).wrapping_mul(MULTIPLIER)
}

/// The hash of all eight.
#[inline(always)]
fn long_hash(bytes: u64) -> u64 {
    bytes.wrapping_mul(MULTIPLIER)
}

/// Where five bytes last stood, for all values that one encoder sees.
#[derive(Debug)]
pub(in crate::codec) struct LocalTable {
    slots: Box<[u32; 1 << LOCAL_BITS]>,
    /// Where the next value begins in the stream of all values.
    next: u32,
}

impl LocalTable {
    /// What it holds, in bytes.
    #[cfg(any(test, feature = "internals"))]
    pub(in crate::codec) const MEMORY: usize = size_of::<u32>() << LOCAL_BITS;

    pub(in crate::codec) fn new() -> Self {
        Self {
            slots: Box::new([0; 1 << LOCAL_BITS]),
            next: FIRST,
        }
    }

    /// Where a value of this length begins.
    fn begin(&mut self, length: usize) -> u32 {
        // Values are far shorter than the range of positions.
        let room = (length + MAX_DISTANCE + 1) as u32;
        let (begin, next) = match self.next.checked_add(room) {
            Some(next) => (self.next, next),
            None => {
                self.slots.fill(0);
                (FIRST, FIRST + room)
            }
        };
        self.next = next;
        begin
    }

    /// Remembers a position by its hash, and says how far before it the last one was.
    #[inline(always)]
    fn replace(&mut self, hash: u64, here: u32) -> usize {
        let slot = &mut self.slots[(hash >> (64 - LOCAL_BITS)) as usize];
        let distance = here.wrapping_sub(*slot);
        *slot = here;
        distance as usize
    }
}

/// Farther from zero, which an empty slot holds, than any match can reach.
const FIRST: u32 = MAX_DISTANCE as u32 + 1;

/// Where five and eight bytes stand in a dictionary; built once, then shared.
#[derive(Debug)]
pub(in crate::codec) struct DictionaryTable {
    short: Slots,
    long: Slots,
}

impl DictionaryTable {
    /// What it holds, in bytes.
    pub(in crate::codec) const MEMORY: usize = (2 * size_of::<u32>()) << DICTIONARY_BITS;

    pub(in crate::codec) fn new(dictionary: &[u8]) -> Self {
        let mut table = Self {
            short: Slots::new(),
            long: Slots::new(),
        };
        // In order, so that of two equal strings the one nearer to the value stays, which is in reach for longer.
        for position in 0..dictionary.len().saturating_sub(7) {
            let bytes = read_u64(dictionary, position);
            table.short.insert(short_hash(bytes), position);
            table.long.insert(long_hash(bytes), position);
        }
        table
    }
}

/// Positions by hash: a tag in the upper half, so that a miss is seen without a look at the dictionary, the position
/// in the lower.
#[derive(Debug)]
struct Slots(Box<[u32; 1 << DICTIONARY_BITS]>);

impl Slots {
    fn new() -> Self {
        // An empty slot looks like one for the first position, which a comparison of the bytes then refutes.
        Self(Box::new([0; 1 << DICTIONARY_BITS]))
    }

    fn insert(&mut self, hash: u64, position: usize) {
        self.0[(hash >> (64 - DICTIONARY_BITS)) as usize] = Self::tag(hash) | position as u32;
    }

    /// A position at which the hashed bytes may stand.
    #[inline(always)]
    fn find(&self, hash: u64) -> Option<usize> {
        let slot = self.0[(hash >> (64 - DICTIONARY_BITS)) as usize];
        (slot & 0xFFFF_0000 == Self::tag(hash)).then_some(slot as usize & 0xFFFF)
    }

    /// Bits of the hash that are no part of the index.
    #[inline(always)]
    fn tag(hash: u64) -> u32 {
        (hash >> 24) as u32 & 0xFFFF_0000
    }
}

/// Writes `input` as a block into `output` and says how long it became; `None` when it does not fit.
pub(in crate::codec) fn encode(
    input: &[u8],
    dictionary: Option<&Dictionary>,
    table: &mut LocalTable,
    output: &mut [u8],
) -> Option<usize> {
    if input.len() < SHORTEST {
        return BlockWriter::new(output).finish(input, 0);
    }
    let begin = table.begin(input.len());
    // Two copies of the loop, one of which knows that there is no dictionary.
    match dictionary {
        Some(dictionary) if dictionary.bytes().len() >= size_of::<u64>() => {
            let known = Known {
                bytes: dictionary.bytes(),
                table: dictionary.fast(),
            };
            Value {
                input,
                begin,
                known: Some(known),
            }
            .encode(table, output)
        }
        _ => Value {
            input,
            begin,
            known: None,
        }
        .encode(table, output),
    }
}

/// A dictionary of at least eight bytes.
#[derive(Clone, Copy)]
struct Known<'a> {
    bytes: &'a [u8],
    table: &'a DictionaryTable,
}

/// A value that is being encoded.
#[derive(Clone, Copy)]
struct Value<'a> {
    input: &'a [u8],
    /// Where it begins in the stream of all values.
    begin: u32,
    known: Option<Known<'a>>,
}

/// A match, grown in both directions.
struct Found {
    start: usize,
    distance: usize,
    length: usize,
}

impl Value<'_> {
    #[inline(always)]
    fn encode(self, table: &mut LocalTable, output: &mut [u8]) -> Option<usize> {
        let input = self.input;
        let last_start = input.len() - LAST_MATCH_START;
        let mut writer = BlockWriter::new(output);
        let (mut anchor, mut at) = (0, 0);
        while let Some(found) = self.next(table, anchor, at) {
            // Matches are sought no farther away than two bytes can say.
            writer.sequence(
                input,
                anchor,
                found.start,
                found.distance as u16,
                found.length,
            )?;
            at = found.start + found.length;
            anchor = at;
            // A position within the match is remembered too: what follows a field often follows it again.
            let inside = at - 2;
            if inside <= last_start {
                table.replace(
                    short_hash(read_u64(input, inside)),
                    self.begin + inside as u32,
                );
            }
        }
        writer.finish(input, anchor)
    }

    /// The next match from the position `at` on.
    ///
    /// Not inlined, so that all registers are there for the loop over positions where nothing matches.
    #[inline(never)]
    fn next(self, table: &mut LocalTable, anchor: usize, mut at: usize) -> Option<Found> {
        let last_start = self.input.len() - LAST_MATCH_START;
        let mut misses = 1_usize << SKIP_BITS;
        while at <= last_start {
            let found = self.find(table, anchor, at);
            if found.is_some() {
                return found;
            }
            at += misses >> SKIP_BITS;
            misses += 1;
        }
        None
    }

    /// A match for the position `at`, which may begin earlier, but not before `anchor`.
    #[inline(always)]
    fn find(self, table: &mut LocalTable, anchor: usize, at: usize) -> Option<Found> {
        let bytes = read_u64(self.input, at);
        let hash = short_hash(bytes);
        let distance = table.replace(hash, self.begin + at as u32);
        if let Some(known) = self.known
            && let Some(source) = known.table.long.find(long_hash(bytes))
            && read_u64(known.bytes, source) == bytes
            && let Some(found) = self.in_dictionary(known, anchor, at, source)
        {
            return Some(found);
        }
        if distance <= MAX_DISTANCE && read_u32(self.input, at - distance) == bytes as u32 {
            return Some(self.in_itself(anchor, at, distance));
        }
        if let Some(known) = self.known
            && let Some(source) = known.table.short.find(hash)
            && read_u32(known.bytes, source) == bytes as u32
        {
            return self.in_dictionary(known, anchor, at, source);
        }
        None
    }

    /// Grows a match of at least four bytes with what stands `distance` bytes before.
    #[inline(always)]
    fn in_itself(self, anchor: usize, at: usize, distance: usize) -> Found {
        let (input, source) = (self.input, at - distance);
        let matchable = &input[..input.len() - LAST_LITERALS];
        let back = common_before(&input[anchor..at], &input[..source]);
        let forward = common(&matchable[at + 4..], &matchable[source + 4..]);
        Found {
            start: at - back,
            distance,
            length: back + 4 + forward,
        }
    }

    /// Grows a match of at least four bytes with what stands at `source` in the dictionary, if that is in reach.
    #[inline(always)]
    fn in_dictionary(
        self,
        known: Known<'_>,
        anchor: usize,
        at: usize,
        source: usize,
    ) -> Option<Found> {
        let distance = known.bytes.len() - source + at;
        if distance > MAX_DISTANCE {
            return None;
        }
        let input = self.input;
        let matchable = &input[..input.len() - LAST_LITERALS];
        let back = common_before(&input[anchor..at], &known.bytes[..source]);
        let forward = common(&matchable[at + 4..], &known.bytes[source + 4..]);
        Some(Found {
            start: at - back,
            distance,
            length: back + 4 + forward,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_begin_anew_before_they_overflow() {
        let value = b"abcdefghijklmnop_abcdefghijklmnop_abcdefghijklmnop".as_slice();
        let mut table = LocalTable::new();
        let mut output = [0; 60];
        let first = encode(value, None, &mut table, &mut output);
        let expected = (first, output);
        // Room for this value, but not for the gap behind it; and the table knows its text at places that are now
        // ahead.
        table.next = u32::MAX - 60_000;
        table.slots.fill(u32::MAX - 60_000);
        let mut output = [0; 60];
        assert_eq!(
            (encode(value, None, &mut table, &mut output), output),
            expected
        );
        assert!(table.next < 1 << 20);
        // Nor does it depend on them whether a later value finds a match.
        let written = FIRST..FIRST + value.len() as u32;
        let known = |slot: &u32| *slot == 0 || written.contains(slot);
        assert!(table.slots.iter().all(known));
    }

    #[test]
    fn a_block_that_does_not_fit_is_given_up_wherever_it_ends() {
        let value = [
            b"a run of some letters, ".repeat(3),
            vec![b'x'; 700],
            (0..=255).collect(),
        ]
        .concat();
        let mut output = vec![0; value.len()];
        let length = encode(&value, None, &mut LocalTable::new(), &mut output).unwrap();
        // The writer asks for a byte or two more than a sequence may need.
        for room in 0..length {
            assert_eq!(
                encode(&value, None, &mut LocalTable::new(), &mut output[..room]),
                None,
                "{room} of {length}"
            );
        }
        assert_eq!(
            encode(
                &value,
                None,
                &mut LocalTable::new(),
                &mut output[..length + 2]
            ),
            Some(length)
        );
    }
}
