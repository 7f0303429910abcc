//! What a record says: which items, and their results.
//!
//! Items stand as ranges, each as the distance from the end of the one before and its length; results stand behind
//! them in the order of the items, each with its length. All numbers are LEB128, so a usual record takes a few bytes
//! besides the results.

use std::ops::Range;

use super::done::MAX_ITEMS;

/// The largest result that is kept, in bytes.
pub const MAX_RESULT_BYTES: usize = 16 << 20;

/// Writes items into `out`; they are ranges in order, and none touches another.
pub(crate) fn write_ranges(ranges: &[Range<u64>], out: &mut Vec<u8>) {
    write_number(ranges.len() as u64, out);
    let mut end = 0;
    for range in ranges {
        write_number(range.start - end, out);
        write_number(range.end - range.start, out);
        end = range.end;
    }
}

/// Writes a number, seven bits a byte, the lowest first.
pub(crate) fn write_number(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Reads the contents of a record. Every method returns `None` when they make no sense.
#[derive(Debug)]
pub(crate) struct Contents<'a> {
    rest: &'a [u8],
}

impl<'a> Contents<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// The items of the record.
    pub(crate) fn ranges(&mut self) -> Option<Vec<Range<u64>>> {
        let count = self.number()?;
        // Two bytes at least for each: a larger count is a lie, and nothing is allocated for it.
        if count > self.rest.len() as u64 / 2 {
            return None;
        }
        let mut ranges = Vec::with_capacity(count as usize);
        let mut end = 0_u64;
        for nth in 0..count {
            let gap = self.number()?;
            let len = self.number()?;
            let start = end.checked_add(gap)?;
            end = start.checked_add(len)?;
            if len == 0 || end > MAX_ITEMS || (nth > 0 && gap == 0) {
                return None;
            }
            ranges.push(start..end);
        }
        Some(ranges)
    }

    /// The result of the next item.
    pub(crate) fn result(&mut self) -> Option<&'a [u8]> {
        let len = usize::try_from(self.number()?).ok()?;
        let (result, rest) = self.rest.split_at_checked(len)?;
        self.rest = rest;
        Some(result)
    }

    /// Whether everything has been read.
    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    fn number(&mut self) -> Option<u64> {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let (&byte, rest) = self.rest.split_first()?;
            self.rest = rest;
            let bits = u64::from(byte & 0x7F);
            if shift == 63 && bits > 1 {
                return None;
            }
            number |= bits << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_makes_no_sense_is_refused() {
        for bytes in [
            // More ranges than bytes, a range without items, ranges that touch, a number that ends nowhere or is too large.
            &[200, 1][..],
            &[1, 5, 0],
            &[2, 0, 5, 0, 5],
            &[1, 0x80],
            &[
                1, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 2, 1,
            ],
            &[1, 0, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F],
            &[],
        ] {
            assert_eq!(Contents::new(bytes).ranges(), None, "{bytes:?}");
        }
        assert_eq!(Contents::new(&[5, 1, 2]).result(), None);
    }

    proptest! {
        #[test]
        fn ranges_are_read_as_they_were_written(
            pairs in prop::collection::vec((1_u64..1 << 40, 1_u64..1 << 40), 0..50),
        ) {
            let mut end = 0;
            let ranges: Vec<Range<u64>> = pairs
                .into_iter()
                .map(|(gap, len)| {
                    let start = end + gap;
                    end = start + len;
                    start..end
                })
                .collect();
            let mut bytes = Vec::new();
            write_ranges(&ranges, &mut bytes);
            let mut contents = Contents::new(&bytes);
            prop_assert_eq!(contents.ranges(), Some(ranges));
            prop_assert!(contents.is_empty());
        }
    }
}
