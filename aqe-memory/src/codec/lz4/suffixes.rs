//! The longest match that a dictionary has, exactly, at every position of a value.
//!
//! A chain of candidates finds good matches late: in a dictionary of 64 KiB four bytes of JSON stand at hundreds of
//! places. A suffix array with ranks and common lengths (Manber and Myers, "Suffix Arrays: A New Method for On-Line
//! String Searches", 1993) finds the best: among sorted suffixes it is next to where the value's own text would
//! stand. And what matched at one position leads to the next one's place, as the dictionary's text goes on as the
//! value's does (matching statistics: Chang and Lawler, "Sublinear Approximate String Matching", 1994), so that most
//! searches are one step.

use super::chains::Match;
use super::{MAX_DISTANCE, MIN_MATCH, common, read_u32};

/// Suffixes are sorted by this many bytes, so that a dictionary of equal bytes takes no longer than another.
const SORTED: usize = 255;

/// Slots by the hash of four bytes, open addressing: at least one for each position of a dictionary.
const SLOT_BITS: u32 = 16;

/// Slots that are looked at: with as many slots as positions, hardly any string lies farther from its own.
const PROBES: usize = 8;

/// Neighbours that are looked at for one step; a limit for dictionaries that repeat themselves.
const STEPS: usize = 512;

/// No position: nothing of four bytes begins at a dictionary's last one.
const NONE: u16 = u16::MAX;

/// An index of a dictionary's suffixes.
#[derive(Debug)]
pub(in crate::codec) struct SuffixIndex {
    /// The positions, sorted by what begins there.
    order: Box<[u16]>,
    /// Where each position stands in `order`.
    rank: Box<[u16]>,
    /// How many bytes the suffix of each rank has in common with the one before it, at most [`SORTED`].
    shared: Box<[u8]>,
    /// Some position at which the four bytes begin that hash to here.
    slots: Box<[u16]>,
}

/// Where a search ended: the next one goes on from there.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Place {
    position: usize,
    pub(super) length: usize,
}

impl SuffixIndex {
    pub(in crate::codec) fn new(dictionary: &[u8]) -> Self {
        let sorted = |position: u16| {
            let from = usize::from(position);
            &dictionary[from..(from + SORTED).min(dictionary.len())]
        };
        // The caller's dictionaries have at most as many bytes as this type has numbers.
        let mut order: Vec<u16> = (0..dictionary.len())
            .map(|position| position as u16)
            .collect();
        order.sort_unstable_by(|&left, &right| {
            sorted(left).cmp(sorted(right)).then(left.cmp(&right))
        });
        let mut rank = vec![0; order.len()];
        let mut shared = vec![0; order.len()];
        for (at, &position) in order.iter().enumerate() {
            rank[usize::from(position)] = at as u16;
            if at > 0 {
                shared[at] = common(sorted(order[at - 1]), sorted(position)) as u8;
            }
        }
        Self {
            slots: slots(dictionary, &order, &shared),
            order: order.into_boxed_slice(),
            rank: rank.into_boxed_slice(),
            shared: shared.into_boxed_slice(),
        }
    }

    /// What an index of a dictionary of `length` bytes takes.
    pub(in crate::codec) fn memory(length: usize) -> usize {
        length * (2 * size_of::<u16>() + 1) + (size_of::<u16>() << SLOT_BITS)
    }

    /// The longest match of `wanted`, given the place of the match one byte before.
    #[inline]
    pub(super) fn search(&self, dictionary: &[u8], wanted: &[u8], last: Place) -> Place {
        let mut place = Place {
            position: last.position + 1,
            length: last.length.saturating_sub(1),
        };
        if place.length < MIN_MATCH {
            let Some(position) = self.some(dictionary, wanted) else {
                return Place::default();
            };
            let length = common(&dictionary[position..], wanted);
            place = Place { position, length };
        }
        self.climb(dictionary, wanted, place)
    }

    /// Some position that begins with the same four bytes.
    #[inline]
    fn some(&self, dictionary: &[u8], wanted: &[u8]) -> Option<usize> {
        let bytes = read_u32(wanted, 0);
        let slot = slot(bytes);
        for probe in 0..PROBES {
            let position = self.slots[(slot + probe) & ((1 << SLOT_BITS) - 1)];
            if position == NONE {
                return None;
            }
            if read_u32(dictionary, usize::from(position)) == bytes {
                return Some(usize::from(position));
            }
        }
        None
    }

    /// From a place to the best one: along the sorted suffixes towards where `wanted` would stand, as long as they
    /// have as much in common with it as the place has.
    #[inline]
    fn climb(&self, dictionary: &[u8], wanted: &[u8], mut place: Place) -> Place {
        let mut rank = usize::from(self.rank[place.position]);
        let mut steps = STEPS;
        while place.length < wanted.len().min(SORTED) && steps > 0 {
            let length = place.length;
            let there = dictionary.get(place.position + length);
            let towards_end = there.is_none_or(|&there| there < wanted[length]);
            // The next one that differs where `wanted` does, or nothing.
            loop {
                steps -= 1;
                let next = if towards_end {
                    rank + 1
                } else {
                    rank.wrapping_sub(1)
                };
                let between = if towards_end { next } else { rank };
                if next >= self.order.len()
                    || usize::from(self.shared[between]) < length
                    || steps == 0
                {
                    return place;
                }
                rank = next;
                if usize::from(self.shared[between]) == length {
                    break;
                }
            }
            let position = usize::from(self.order[rank]);
            match dictionary.get(position + length) {
                Some(&there) if there == wanted[length] => {
                    let more = common(&dictionary[position + length..], &wanted[length..]);
                    place = Place {
                        position,
                        length: length + more,
                    };
                }
                // Past it.
                Some(&there) if (there > wanted[length]) == towards_end => return place,
                None => return place,
                Some(_) => place.position = position,
            }
        }
        place
    }

    /// The match at a place for the value's position `at`: it may be too far away, and then a neighbour may do.
    #[inline]
    pub(super) fn reach(&self, dictionary: &[u8], place: Place, at: usize) -> Match {
        let distance = dictionary.len() - place.position + at;
        if place.length == 0 {
            return Match::default();
        }
        if distance <= MAX_DISTANCE {
            return Match {
                length: place.length,
                distance,
            };
        }
        self.nearer(dictionary, place, at)
    }

    /// The best neighbour of a place within reach.
    fn nearer(&self, dictionary: &[u8], place: Place, at: usize) -> Match {
        const NEIGHBOURS: usize = 16;
        let rank = usize::from(self.rank[place.position]);
        let mut best = Match::default();
        let mut consider = |rank: usize, length: usize| {
            let distance = dictionary.len() - usize::from(self.order[rank]) + at;
            if distance <= MAX_DISTANCE && length > best.length {
                best = Match { length, distance };
            }
        };
        let mut length = place.length;
        for next in (rank + 1..self.order.len()).take(NEIGHBOURS) {
            length = length.min(usize::from(self.shared[next]));
            consider(next, length);
        }
        let mut length = place.length;
        for next in (0..rank).rev().take(NEIGHBOURS) {
            length = length.min(usize::from(self.shared[next + 1]));
            consider(next, length);
        }
        best
    }
}

fn slot(bytes: u32) -> usize {
    (bytes.wrapping_mul(0x9E37_79B1) >> (32 - SLOT_BITS)) as usize
}

/// For every four bytes the middle one of the positions where they begin.
fn slots(dictionary: &[u8], order: &[u16], shared: &[u8]) -> Box<[u16]> {
    let mut slots = vec![NONE; 1 << SLOT_BITS];
    let mut from = 0;
    while from < order.len() {
        let until = (from + 1..order.len())
            .find(|&next| shared[next] < 4)
            .unwrap_or(order.len());
        let middle = order[from + (until - from) / 2];
        from = until;
        if usize::from(middle) + 4 > dictionary.len() {
            continue;
        }
        let slot = slot(read_u32(dictionary, usize::from(middle)));
        let free = (slot..slot + PROBES)
            .map(|at| at & ((1 << SLOT_BITS) - 1))
            .find(|&at| slots[at] == NONE);
        if let Some(free) = free {
            slots[free] = middle;
        }
    }
    slots.into_boxed_slice()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The longest match at each position, by looking everywhere.
    fn longest(dictionary: &[u8], wanted: &[u8]) -> usize {
        let lengths = (0..dictionary.len()).map(|from| common(&dictionary[from..], wanted));
        lengths
            .max()
            .filter(|&length| length >= MIN_MATCH)
            .unwrap_or(0)
    }

    fn agrees(dictionary: &[u8], value: &[u8]) {
        let index = SuffixIndex::new(dictionary);
        let mut place = Place::default();
        for at in 0..value.len().saturating_sub(MIN_MATCH - 1) {
            let wanted = &value[at..];
            place = index.search(dictionary, wanted, place);
            assert_eq!(place.length, longest(dictionary, wanted), "at {at}");
            let found = index.reach(dictionary, place, at);
            assert_eq!(found.length, place.length);
            if found.length > 0 {
                let source = dictionary.len() + at - found.distance;
                assert!(common(&dictionary[source..], wanted) >= found.length);
            }
        }
    }

    proptest! {
        #[test]
        fn it_finds_the_longest_match_at_every_position(
            dictionary in proptest::collection::vec(0..3_u8, 0..200),
            value in proptest::collection::vec(0..3_u8, 0..100),
        ) {
            agrees(&dictionary, &value);
        }

        #[test]
        fn also_in_text_of_repeated_pieces(
            pieces in proptest::collection::vec("[ab]{1,3}|status|stat|duration|rate", 0..40),
            order in proptest::collection::vec(any::<prop::sample::Index>(), 0..30),
        ) {
            let dictionary = pieces.concat();
            let value: String = order.iter().filter(|_| !pieces.is_empty()).map(|at| at.get(&pieces).as_str()).collect();
            agrees(dictionary.as_bytes(), value.as_bytes());
        }
    }

    #[test]
    fn a_dictionary_of_equal_bytes_is_no_trap() {
        let dictionary = vec![0; 1 << 16];
        let index = SuffixIndex::new(&dictionary);
        let place = index.search(&dictionary, &[0; 1_000], Place::default());
        assert!(place.length >= SORTED, "{place:?}");
    }

    #[test]
    fn what_is_out_of_reach_is_replaced_by_a_neighbour_within() {
        let mut dictionary = vec![b'.'; 1 << 16];
        dictionary[..8].copy_from_slice(b"abcdefgh");
        dictionary[60_000..60_006].copy_from_slice(b"abcdef");
        let index = SuffixIndex::new(&dictionary);
        let place = index.search(&dictionary, b"abcdefgh", Place::default());
        assert_eq!(place.length, 8);
        let found = index.reach(&dictionary, place, 1_000);
        assert_eq!(
            (found.length, found.distance),
            (6, (1 << 16) - 60_000 + 1_000)
        );
        assert_eq!(index.reach(&dictionary, place, 60_000), Match::default());
    }
}
