//! LZ4 blocks: our own encoders, and a decoder that is kept by others.
//!
//! A block is a run of sequences: a token, literals, a distance of two bytes and the length of a match at that
//! distance ("LZ4 Block Format Description", Yann Collet). The format is worth an encoder of our own for what the
//! ones at hand lack: a dictionary whose tables are built once and shared by all threads, and a slow encoder over
//! the same dictionary for values that are read more often than written. What they write is plain LZ4, which
//! `lz4_flex` decodes, so no unusual reader is ever needed.
//!
//! - [`fast`]: greedy, for values on their way in.
//! - [`high`]: the fewest bytes that the matches found allow, for passes in the background.
//!
//! With a dictionary, matches do not run on from its end into the value's beginning, which is so rare that it does
//! not pay.
//!
//! Both stop as soon as the block cannot be as short as it was asked to be.

mod chains;
pub(super) mod fast;
pub(super) mod high;
mod parse;
pub(super) mod suffixes;
mod writer;

/// The shortest match the format can express.
const MIN_MATCH: usize = 4;

/// The farthest a match can reach back.
const MAX_DISTANCE: usize = u16::MAX as usize;

/// The format's rule for decoders that copy in strides: the last bytes of a block are literals.
const LAST_LITERALS: usize = 5;

/// The format's rule for the same reason: the last match begins at least this many bytes before the end.
const LAST_MATCH_START: usize = 12;

/// Values that are shorter than this have no room for a match.
const SHORTEST: usize = LAST_MATCH_START + 1;

/// Four bytes as a number.
#[inline(always)]
fn read_u32(bytes: &[u8], at: usize) -> u32 {
    let mut word = [0; 4];
    word.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(word)
}

/// Eight bytes as a number, the first of them lowest.
#[inline(always)]
fn read_u64(bytes: &[u8], at: usize) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(word)
}

/// How many bytes two slices have in common from their beginnings on.
#[inline]
fn common(left: &[u8], right: &[u8]) -> usize {
    let longest = left.len().min(right.len());
    let (left, right) = (&left[..longest], &right[..longest]);
    let mut at = 0;
    while at + 8 <= longest {
        let difference = read_u64(left, at) ^ read_u64(right, at);
        if difference != 0 {
            return at + difference.trailing_zeros() as usize / 8;
        }
        at += 8;
    }
    at + left[at..]
        .iter()
        .zip(&right[at..])
        .take_while(|(left, right)| left == right)
        .count()
}

/// How many bytes two slices have in common from their ends backwards.
#[inline]
fn common_before(left: &[u8], right: &[u8]) -> usize {
    left.iter()
        .rev()
        .zip(right.iter().rev())
        .take_while(|(left, right)| left == right)
        .count()
}
