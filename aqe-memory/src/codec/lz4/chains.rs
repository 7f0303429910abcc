//! Every place in a value at which the next four bytes stood before, nearest first.
//!
//! Hash chains as in every slow encoder for LZ4 or deflate: a table of heads by hash, and from each position a link
//! to the one before it with the same hash. They are filled on the way and, like the table of the fast encoder, never
//! cleared: positions are those in a stream of all values, with gaps wider than a match can reach.

use super::{MAX_DISTANCE, common, read_u32};

/// 16,384 heads, 64 KiB: as many as the longest stretch has positions.
const LOCAL_BITS: u32 = 14;

/// Farther from zero, which an empty slot holds, than any match can reach.
const FIRST: u32 = MAX_DISTANCE as u32 + 1;

/// A match for some position of a value.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Match {
    pub(super) length: usize,
    pub(super) distance: usize,
}

impl Match {
    /// The longer of two; this one, if they are equally long.
    pub(super) fn or_longer(self, other: Self) -> Self {
        if other.length > self.length {
            other
        } else {
            self
        }
    }
}

/// Whether the byte that would make a match longer, and the three before it, are right: most candidates end here.
#[inline(always)]
fn could_be_longer(there: &[u8], wanted: &[u8], best: usize) -> bool {
    let from = best.saturating_sub(3);
    from + 4 <= there.len().min(wanted.len()) && read_u32(there, from) == read_u32(wanted, from)
}

/// The chains of one value after another.
#[derive(Debug)]
pub(in crate::codec) struct LocalChains {
    heads: Box<[u32; 1 << LOCAL_BITS]>,
    /// By the lower half of a position: how far before it the one before it is; zero when there is none in reach.
    previous: Box<[u16; 1 << 16]>,
    next: u32,
}

impl LocalChains {
    #[cfg(any(test, feature = "internals"))]
    pub(super) const MEMORY: usize = (size_of::<u32>() << LOCAL_BITS) + (size_of::<u16>() << 16);

    pub(super) fn new() -> Self {
        Self {
            heads: Box::new([0; 1 << LOCAL_BITS]),
            previous: Box::new([0; 1 << 16]),
            next: FIRST,
        }
    }

    /// Where a value of this length begins in the stream of all values.
    pub(super) fn begin(&mut self, length: usize) -> u32 {
        // Values are far shorter than the range of positions.
        let room = (length + MAX_DISTANCE + 1) as u32;
        let (begin, next) = match self.next.checked_add(room) {
            Some(next) => (self.next, next),
            None => {
                self.heads.fill(0);
                (FIRST, FIRST + room)
            }
        };
        self.next = next;
        begin
    }

    /// Remembers the position `at` of the value that began at `begin`, and says how far back its like is.
    #[inline]
    pub(super) fn insert(&mut self, begin: u32, input: &[u8], at: usize) -> usize {
        let here = begin + at as u32;
        let head = &mut self.heads[slot(read_u32(input, at))];
        let distance = here.wrapping_sub(*head) as usize;
        *head = here;
        let link = if distance <= MAX_DISTANCE {
            distance
        } else {
            0
        };
        self.previous[here as usize & 0xFFFF] = link as u16;
        link
    }

    /// A longer match than `best` for `input[at..]`, if there is one among the `attempts` nearest candidates, of
    /// which the first is
    /// `distance` bytes before.
    #[inline]
    pub(super) fn search(
        &self,
        begin: u32,
        input: &[u8],
        at: usize,
        mut distance: usize,
        mut best: Match,
        mut attempts: usize,
    ) -> Match {
        let wanted = &input[at..];
        let mut link = distance;
        while link != 0 && distance <= MAX_DISTANCE && attempts > 0 {
            let source = at - distance;
            let there = &input[source..];
            if could_be_longer(there, wanted, best.length) {
                let length = common(there, wanted);
                if length > best.length {
                    best = Match { length, distance };
                }
            }
            link = usize::from(self.previous[(begin as usize + source) & 0xFFFF]);
            distance += link;
            attempts -= 1;
        }
        best
    }
}

fn slot(bytes: u32) -> usize {
    (bytes.wrapping_mul(0x9E37_79B1) >> (32 - LOCAL_BITS)) as usize
}

#[cfg(test)]
impl LocalChains {
    /// As after four billion bytes: the next value has no room, and every head looks as if it were near it.
    pub(super) fn almost_overflow(&mut self) {
        self.next = u32::MAX - 60_000;
        self.heads.fill(u32::MAX - 60_000);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_left_of_the_stream_before_when_positions_begin_anew() {
        let mut chains = LocalChains::new();
        chains.almost_overflow();
        assert_eq!(chains.begin(50), FIRST);
        assert!(chains.heads.iter().all(|&head| head == 0));
    }
}
