//! Which items are done, when chunks end in any order.
//!
//! A counter would be enough if items ended in order; with several chunks in flight, and with items that failed and
//! are to be tried again, it is wrong (it either loses items or repeats them). [`DoneSet`] keeps whole blocks of items
//! as ranges and only blocks with holes as bitmaps, so a run in order is one range, and the worst case is one bit for
//! each item. The idea is that of Roaring bitmaps (Chambi, Lemire, Kaser, Godin, "Better bitmap performance with Roaring
//! bitmaps", 2016), with one kind of container less.

use std::collections::BTreeMap;
use std::ops::Range;

/// Items in a block.
const BLOCK: u64 = 4_096;
const WORDS: usize = 64;

/// Items beyond this number cannot be told apart; no source has as many.
pub(crate) const MAX_ITEMS: u64 = 1 << 48;

/// A set of item numbers, small for the sets that batches make.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct DoneSet {
    /// Ranges of blocks that are in it as a whole: first block, and the block after the last. They neither overlap nor
    /// touch.
    full: BTreeMap<u64, u64>,
    /// Blocks with at least one item in it and one that is not.
    partial: BTreeMap<u64, Box<Block>>,
    len: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Block {
    words: [u64; WORDS],
    count: u64,
}

impl DoneSet {
    /// How many items are in it.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// Adds items and returns how many of them are new.
    ///
    /// `items` must end at [`MAX_ITEMS`] or before.
    pub(crate) fn insert(&mut self, items: Range<u64>) -> u64 {
        if items.is_empty() {
            return 0;
        }
        let (first, last) = (items.start / BLOCK, (items.end - 1) / BLOCK);
        let mut added = 0;
        let mut whole = first..last + 1;
        if !items.start.is_multiple_of(BLOCK) || (first == last && items.end - items.start < BLOCK)
        {
            let end = items.end.min((first + 1) * BLOCK);
            added += self.insert_within(first, items.start % BLOCK..end - first * BLOCK);
            whole.start += 1;
        }
        if first < last && !items.end.is_multiple_of(BLOCK) {
            added += self.insert_within(last, 0..items.end - last * BLOCK);
            whole.end -= 1;
        }
        if whole.start < whole.end {
            added += self.insert_whole(whole);
        }
        self.len += added;
        added
    }

    /// Whether an item is in it.
    pub(crate) fn contains(&self, item: u64) -> bool {
        let block = item / BLOCK;
        self.end_of_full(block).is_some()
            || self
                .partial
                .get(&block)
                .is_some_and(|it| it.next_set(item % BLOCK) == Some(item % BLOCK))
    }

    /// The first item at `from` or after it that is not in the set.
    pub(crate) fn next_missing(&self, mut from: u64) -> u64 {
        loop {
            let block = from / BLOCK;
            if let Some(end) = self.end_of_full(block) {
                from = end * BLOCK;
                continue;
            }
            let Some(partial) = self.partial.get(&block) else {
                return from;
            };
            match partial.next_clear(from % BLOCK) {
                Some(item) => return block * BLOCK + item,
                None => from = (block + 1) * BLOCK,
            }
        }
    }

    /// The first item at `from` or after it that is in the set.
    pub(crate) fn next_done(&self, from: u64) -> Option<u64> {
        let block = from / BLOCK;
        if self.end_of_full(block).is_some() {
            return Some(from);
        }
        let here = self
            .partial
            .get(&block)
            .and_then(|it| it.next_set(from % BLOCK));
        if let Some(item) = here {
            return Some(block * BLOCK + item);
        }
        let full = self.full.range(block + 1..).next().map(|(&at, _)| at);
        let partial = self.partial.range(block + 1..).next();
        match (full, partial) {
            (Some(full), Some((&at, _))) if full < at => Some(full * BLOCK),
            (_, Some((&at, block))) => Some(at * BLOCK + block.next_set(0).unwrap_or_default()),
            (Some(full), None) => Some(full * BLOCK),
            (None, None) => None,
        }
    }

    /// The next items at `from` or after it that are not in the set and lie before `end`.
    pub(crate) fn next_gap(&self, from: u64, end: u64) -> Option<Range<u64>> {
        let start = self.next_missing(from);
        let stop = self.next_done(start).unwrap_or(end).min(end);
        (start < stop).then_some(start..stop)
    }

    /// The set as ranges in order, none of which touches another.
    pub(crate) fn ranges(&self) -> impl Iterator<Item = Range<u64>> + '_ {
        let mut from = 0;
        std::iter::from_fn(move || {
            let start = self.next_done(from)?;
            let end = self.next_missing(start);
            from = end;
            Some(start..end)
        })
    }

    fn end_of_full(&self, block: u64) -> Option<u64> {
        let (_, &end) = self.full.range(..=block).next_back()?;
        (block < end).then_some(end)
    }

    fn insert_within(&mut self, block: u64, items: Range<u64>) -> u64 {
        if self.end_of_full(block).is_some() {
            return 0;
        }
        let partial = self.partial.entry(block).or_insert_with(|| {
            Box::new(Block {
                words: [0; WORDS],
                count: 0,
            })
        });
        let added = partial.set(items);
        if partial.count == BLOCK {
            self.partial.remove(&block);
            self.join_full(block..block + 1);
        }
        added
    }

    fn insert_whole(&mut self, blocks: Range<u64>) -> u64 {
        let mut known = 0;
        let covered: Vec<u64> = self
            .partial
            .range(blocks.clone())
            .map(|(&at, _)| at)
            .collect();
        for at in covered {
            known += self.partial.remove(&at).map_or(0, |block| block.count);
        }
        known += self.join_full(blocks.clone()) * BLOCK;
        (blocks.end - blocks.start) * BLOCK - known
    }

    /// Adds whole blocks to the ranges and returns how many of them were there already.
    fn join_full(&mut self, blocks: Range<u64>) -> u64 {
        let (mut start, mut end) = (blocks.start, blocks.end);
        let mut known = 0;
        // From the back: the last range that begins before or at the end may overlap or touch, then the one before it.
        while let Some((&at, &to)) = self.full.range(..=end).next_back() {
            if to < start {
                break;
            }
            known += to.min(blocks.end).saturating_sub(at.max(blocks.start));
            self.full.remove(&at);
            start = start.min(at);
            end = end.max(to);
        }
        self.full.insert(start, end);
        known
    }
}

impl Block {
    fn set(&mut self, items: Range<u64>) -> u64 {
        let mut added = 0;
        let mut at = items.start;
        while at < items.end {
            let word = (at / 64) as usize;
            let end = items.end.min((at / 64 + 1) * 64);
            let bits = mask(at % 64, end - at);
            added += u64::from((bits & !self.words[word]).count_ones());
            self.words[word] |= bits;
            at = end;
        }
        self.count += added;
        added
    }

    fn next_set(&self, from: u64) -> Option<u64> {
        self.next(from, |word| word)
    }

    fn next_clear(&self, from: u64) -> Option<u64> {
        self.next(from, |word| !word)
    }

    /// The first bit at `from` or after it in what `view` makes of the words.
    fn next(&self, from: u64, view: impl Fn(u64) -> u64) -> Option<u64> {
        let first = from / 64;
        for at in first..WORDS as u64 {
            let mut word = view(self.words[at as usize]);
            if at == first {
                word &= u64::MAX << (from % 64);
            }
            if word != 0 {
                return Some(at * 64 + u64::from(word.trailing_zeros()));
            }
        }
        None
    }
}

/// `count` bits (1–64) from bit `from` on.
fn mask(from: u64, count: u64) -> u64 {
    (u64::MAX >> (64 - count)) << from
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_run_in_order_is_one_range() {
        let mut set = DoneSet::default();
        for at in 0..10_000 {
            assert_eq!(set.insert(at * 25..at * 25 + 25), 25);
        }
        assert_eq!(set.len(), 250_000);
        assert_eq!((set.full.len(), set.partial.len()), (1, 1));
        assert!(set.ranges().eq(std::iter::once(0..250_000)));
    }

    #[test]
    fn what_is_absurdly_large_takes_no_memory() {
        let mut set = DoneSet::default();
        assert_eq!(set.insert(1..MAX_ITEMS), MAX_ITEMS - 1);
        assert_eq!((set.full.len(), set.partial.len()), (1, 1));
        assert_eq!(set.next_missing(1), MAX_ITEMS);
        assert_eq!(set.insert(0..MAX_ITEMS), 1);
        assert_eq!(set.len(), MAX_ITEMS);
    }

    proptest! {
        #[test]
        fn agrees_with_a_set_of_numbers(
            ranges in prop::collection::vec((0_u64..30_000, 0_u64..9_000), 0..20),
            probe in 0_u64..40_000,
        ) {
            let (mut set, mut model) = (DoneSet::default(), BTreeSet::new());
            for (start, len) in ranges {
                let new = (start..start + len).filter(|&item| model.insert(item)).count() as u64;
                prop_assert_eq!(set.insert(start..start + len), new);
            }
            prop_assert_eq!(set.len(), model.len() as u64);
            prop_assert_eq!(set.contains(probe), model.contains(&probe));
            prop_assert_eq!(set.next_done(probe), model.range(probe..).next().copied());
            let missing = (probe..).find(|item| !model.contains(item)).unwrap();
            prop_assert_eq!(set.next_missing(probe), missing);
            let listed: BTreeSet<u64> = set.ranges().flatten().collect();
            prop_assert_eq!(&listed, &model);
            let ranges: Vec<_> = set.ranges().collect();
            prop_assert!(ranges.windows(2).all(|pair| pair[0].end < pair[1].start));
            let mut gaps = BTreeSet::new();
            let mut from = 0;
            while let Some(gap) = set.next_gap(from, 40_000) {
                from = gap.end;
                gaps.extend(gap);
            }
            prop_assert!((0..40_000).all(|item| gaps.contains(&item) != model.contains(&item)));
        }
    }
}
