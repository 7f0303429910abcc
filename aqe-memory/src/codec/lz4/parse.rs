//! Of all ways to write a stretch as sequences, the shortest.
//!
//! A sequence costs a token, its literals, two bytes of distance, and bytes of length where the token has no room.
//! Since a distance costs the same whatever it is, only the longest match at each position matters. The costs are
//! found from the end to the beginning, once over all positions (dynamic programming as for Lempel-Ziv with a fixed
//! code: Storer and Szymanski, "Data Compression via Textual Substitution", 1982), with two shortcuts that keep it
//! linear:
//!
//! - A match that is cut short is worth trying only where what follows needs the bytes. What follows is a match as well, and
//!   one that has lost bytes at its beginning is still a match with the same distance, as long as four are left. So besides the
//!   whole length only the three next shorter ones count, and the longest that saves a byte of length.
//! - A run of literals costs its length and one byte more from the fifteenth on, so the best end of a run is the least of a
//!   window of fifteen positions, or the best of those beyond; each is kept up to date on the way.

use super::MIN_MATCH;
use super::chains::Match;

/// Runs and matches of this many bytes more than the least take a first byte of length.
const NIBBLE: usize = 15;

/// What each position of a stretch holds; kept from one stretch to the next.
#[derive(Debug, Default)]
pub(super) struct Parser {
    /// The longest match at each position, of length 0 where there is none; then the chosen length.
    lengths: Vec<u16>,
    distances: Vec<u16>,
    /// The cost from each position to the end, if a sequence begins there.
    costs: Vec<u32>,
    /// The cost from each position to the end, if a match begins there, plus the position: how two ends of literals
    /// compare, as every literal costs one byte.
    ends: Vec<u32>,
    /// Where the literals of a sequence end that begins here.
    literals_end: Vec<u16>,
}

/// As `ends` says that no match begins at a position: so much that no real cost comes near, and no sum overflows.
const NEVER: u32 = u32::MAX / 2;

impl Parser {
    /// The longest stretch: its positions fit in 16 bits.
    pub(super) const LONGEST: usize = 16 << 10;

    /// What a parser comes to hold.
    #[cfg(any(test, feature = "internals"))]
    pub(super) const MEMORY: usize = Self::LONGEST * (3 * size_of::<u16>() + 2 * size_of::<u32>());

    pub(super) fn clear(&mut self) {
        self.lengths.clear();
        self.distances.clear();
    }

    /// Adds the next position with its longest match.
    #[inline]
    pub(super) fn push(&mut self, found: Match) {
        self.lengths.push(found.length as u16);
        self.distances.push(found.distance as u16);
    }

    /// Chooses; afterwards [`next`](Self::next) tells.
    #[inline]
    pub(super) fn choose(&mut self) {
        let end = self.lengths.len();
        self.costs.resize(end + 1, 0);
        self.ends.resize(end + 1, 0);
        self.literals_end.resize(end + 1, 0);
        // Slices of one known length, so that the loop below checks fewer bounds.
        let lengths = &mut self.lengths[..end];
        let costs = &mut self.costs[..=end];
        let ends = &mut self.ends[..=end];
        let literals_end = &mut self.literals_end[..=end];
        // The last sequence has no match; its literals end with the stretch.
        costs[end] = 1;
        ends[end] = end as u32;
        literals_end[end] = end as u16;
        let mut near = end;
        let mut far = None;
        for at in (0..end).rev() {
            let longest = usize::from(lengths[at]);
            ends[at] = NEVER;
            if longest >= MIN_MATCH {
                let (cost, length) = cheapest(longest, &costs[at..]);
                ends[at] = cost + at as u32;
                lengths[at] = length as u16;
            }
            near = nearest(ends, at, near);
            let mut best = (ends[near] - at as u32 + 1, near);
            if at + NIBBLE <= end {
                let (cost, start) = farther(ends, at, far);
                far = Some(start);
                if cost < best.0 {
                    best = (cost, start);
                }
            }
            costs[at] = best.0;
            literals_end[at] = best.1 as u16;
        }
    }

    /// The sequence that begins at `at`: where its literals end, and its match unless it is the last.
    pub(super) fn next(&self, at: usize) -> (usize, Option<Match>) {
        let start = usize::from(self.literals_end[at]);
        let found = (start < self.lengths.len()).then(|| Match {
            length: usize::from(self.lengths[start]),
            distance: usize::from(self.distances[start]),
        });
        (start, found)
    }
}

/// What a match costs together with what follows it, and at which length that is least; `costs` are those from where it
/// begins.
#[inline(always)]
fn cheapest(longest: usize, costs: &[u32]) -> (u32, usize) {
    let costs = &costs[..=longest];
    if longest < MIN_MATCH + NIBBLE {
        let shortest = longest.saturating_sub(3).max(MIN_MATCH);
        let mut best = (costs[longest], longest);
        for length in (shortest..longest).rev() {
            if costs[length] < best.0 {
                best = (costs[length], length);
            }
        }
        return (best.0 + 2, best.1);
    }
    let cost = |length: usize| 2 + length_bytes(length - MIN_MATCH) + costs[length];
    let mut best = (cost(longest), longest);
    let beyond = longest - MIN_MATCH - NIBBLE;
    let cheaper = MIN_MATCH + NIBBLE - 1 + beyond / 255 * 255;
    for length in [longest - 1, longest - 2, longest - 3, cheaper] {
        let cost = cost(length);
        if cost < best.0 {
            best = (cost, length);
        }
    }
    best
}

/// The best end of literals in the window that ends 14 positions after `at`, given that of the window before.
#[inline(always)]
fn nearest(ends: &[u32], at: usize, last: usize) -> usize {
    if last < at + NIBBLE {
        return if ends[at] <= ends[last] { at } else { last };
    }
    let mut best = at;
    for start in at..at + NIBBLE {
        if ends[start] < ends[best] {
            best = start;
        }
    }
    best
}

/// The best end of literals beyond that window, given that of the position before; and the cost. Which of two is
/// better can change by one byte in 255, which is not looked for.
#[inline(always)]
fn farther(ends: &[u32], at: usize, last: Option<usize>) -> (u32, usize) {
    let cost = |start: usize| {
        let literals = start - at;
        // The token, and the bytes of length.
        ends[start] - at as u32 + 1 + length_bytes(literals)
    };
    let entering = at + NIBBLE;
    let entering = (cost(entering), entering);
    match last.map(|last| (cost(last), last)) {
        Some(last) if last.0 < entering.0 => last,
        _ => entering,
    }
}

/// The bytes that a length takes outside its token.
#[inline(always)]
fn length_bytes(length: usize) -> u32 {
    if length < NIBBLE {
        0
    } else {
        1 + ((length - NIBBLE) / 255) as u32
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The cost of what the parser chose, counted sequence by sequence.
    fn cost_of_choice(parser: &Parser) -> u32 {
        let (mut at, mut cost) = (0, 0);
        loop {
            let (start, found) = parser.next(at);
            cost += 1 + (start - at) as u32 + length_bytes(start - at);
            let Some(found) = found else {
                return cost;
            };
            cost += 2 + length_bytes(found.length - MIN_MATCH);
            at = start + found.length;
        }
    }

    /// The least cost there is, by trying every end of literals and every length.
    fn least_cost(lengths: &[usize]) -> u32 {
        let end = lengths.len();
        let mut least = vec![u32::MAX; end + 1];
        for at in (0..=end).rev() {
            least[at] = 1 + (end - at) as u32 + length_bytes(end - at);
            for start in at..end {
                for length in MIN_MATCH..=lengths[start] {
                    let head = 3 + (start - at) as u32 + length_bytes(start - at);
                    let cost = head + length_bytes(length - MIN_MATCH) + least[start + length];
                    least[at] = least[at].min(cost);
                }
            }
        }
        least[0]
    }

    /// Matches as text has them: one that is found at a position goes on at the next.
    fn lengths() -> impl Strategy<Value = Vec<usize>> {
        let found = (
            0..30_usize,
            prop_oneof![4 => Just(0_usize), 4 => 4..12_usize, 2 => 12..40_usize, 1 => 250..300_usize],
        );
        (proptest::collection::vec(found, 0..12), 0..300_usize).prop_map(|(found, literals)| {
            let end = found.iter().map(|(gap, _)| gap).sum::<usize>() + literals;
            let mut lengths = vec![0; end];
            let mut at = 0;
            for (gap, length) in found {
                at += gap;
                for offset in 0..length {
                    let left = (length - offset).min(end - (at + offset).min(end));
                    if left >= MIN_MATCH {
                        lengths[at + offset] = lengths[at + offset].max(left);
                    }
                }
            }
            lengths
        })
    }

    proptest! {
        // Trying everything takes its time.
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn no_choice_of_sequences_is_shorter(lengths in lengths()) {
            let mut parser = Parser::default();
            for &length in &lengths {
                parser.push(Match { length, distance: 1 });
            }
            parser.choose();
            let (chosen, least) = (cost_of_choice(&parser), least_cost(&lengths));
            // A byte in 255 literals is what the shortcut for long runs may cost.
            let allowed = lengths.len() as u32 / 255;
            prop_assert!(chosen <= least + allowed, "{chosen} > {least}");
            prop_assert_eq!(chosen, parser.costs[0]);
        }
    }

    #[test]
    fn a_match_is_cut_short_for_a_better_one() {
        // Six bytes match at 0, thirty at 5: five and thirty leave no literal between them and cost two sequences.
        let mut parser = Parser::default();
        for at in 0..40 {
            let length = match at {
                0 => 6,
                5 => 30,
                _ => 0,
            };
            parser.push(Match {
                length,
                distance: 9,
            });
        }
        parser.choose();
        assert_eq!(
            parser.next(0),
            (
                0,
                Some(Match {
                    length: 5,
                    distance: 9
                })
            )
        );
        assert_eq!(
            parser.next(5),
            (
                5,
                Some(Match {
                    length: 30,
                    distance: 9
                })
            )
        );
        assert_eq!(parser.next(35), (40, None));
    }
}
