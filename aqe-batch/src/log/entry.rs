//! What is written to a log in one step: items, and the results of those that have one.

use std::ops::Range;

use super::contents::{MAX_RESULT_BYTES, write_number, write_ranges};
use super::error::CheckpointError;
use super::frame::Kind;

/// A record is closed when its contents have so many bytes, so that reading one back takes little memory.
const USUAL_CONTENTS: usize = 1 << 20;

/// Items that have ended since the last [`append`](super::CheckpointLog::append), in any order.
#[derive(Debug, Default)]
pub struct Entry {
    done: Vec<Range<u64>>,
    skipped: Vec<Range<u64>>,
    /// The item and where its result lies in `bytes`.
    results: Vec<(u64, Range<usize>)>,
    bytes: Vec<u8>,
    items: u64,
}

impl Entry {
    /// An entry without items.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            done: Vec::new(),
            skipped: Vec::new(),
            results: Vec::new(),
            bytes: Vec::new(),
            items: 0,
        }
    }

    /// How many items are in it.
    #[must_use]
    pub const fn items(&self) -> u64 {
        self.items
    }

    /// How many bytes of results are in it.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Whether no item is in it.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.items == 0
    }

    /// Adds an item that is done and has no result to keep.
    pub fn done(&mut self, item: u64) {
        push(&mut self.done, item);
        self.items += 1;
    }

    /// Adds an item that was skipped.
    pub fn skipped(&mut self, item: u64) {
        push(&mut self.skipped, item);
        self.items += 1;
    }

    /// Adds an item and its result, which `write` appends to a buffer.
    ///
    /// # Errors
    ///
    /// What `write` returns, and [`CheckpointError::ResultTooLarge`]. The item is not in the entry then.
    pub fn result(
        &mut self,
        item: u64,
        write: impl FnOnce(&mut Vec<u8>) -> Result<(), CheckpointError>,
    ) -> Result<(), CheckpointError> {
        let start = self.bytes.len();
        let written = write(&mut self.bytes).and_then(|()| {
            let bytes = self.bytes.len().saturating_sub(start);
            if bytes > MAX_RESULT_BYTES {
                return Err(CheckpointError::ResultTooLarge {
                    item,
                    bytes,
                    limit: MAX_RESULT_BYTES,
                });
            }
            Ok(())
        });
        if let Err(error) = written {
            self.bytes.truncate(start);
            return Err(error);
        }
        self.results.push((item, start..self.bytes.len()));
        self.items += 1;
        Ok(())
    }

    /// Takes everything out.
    pub(crate) fn clear(&mut self) {
        self.done.clear();
        self.skipped.clear();
        self.results.clear();
        self.bytes.clear();
        self.items = 0;
    }

    /// Brings everything into order and gives the items of each kind of record as ranges.
    pub(crate) fn settle(&mut self) {
        merge(&mut self.done);
        merge(&mut self.skipped);
        if !self.results.is_sorted_by_key(|(item, _)| *item) {
            self.results.sort_by_key(|(item, _)| *item);
        }
    }

    /// The ranges of items with neither result nor skip, and of those that were skipped. After [`settle`](Self::settle).
    pub(crate) fn plain(&self) -> [(Kind, &[Range<u64>]); 2] {
        [(Kind::Done, &self.done), (Kind::Skipped, &self.skipped)]
    }

    /// The contents of records with results, one after the other, and the items in each. After
    /// [`settle`](Self::settle).
    pub(crate) fn with_results(&self, mut record: impl FnMut(&[Range<u64>], &[u8])) {
        let (mut ranges, mut contents) = (Vec::new(), Vec::new());
        let mut rest = self.results.as_slice();
        while !rest.is_empty() {
            let mut bytes = 0;
            // The first always fits.
            let count = rest
                .iter()
                .position(|(_, result)| {
                    bytes += result.len() + 10;
                    bytes > USUAL_CONTENTS && bytes > result.len() + 10
                })
                .unwrap_or(rest.len());
            let (taken, others) = rest.split_at(count);
            ranges.clear();
            contents.clear();
            for (item, _) in taken {
                push(&mut ranges, *item);
            }
            write_ranges(&ranges, &mut contents);
            for (_, result) in taken {
                write_number(result.len() as u64, &mut contents);
                contents.extend_from_slice(&self.bytes[result.clone()]);
            }
            record(&ranges, &contents);
            rest = others;
        }
    }

    /// The ranges of all items. After [`settle`](Self::settle).
    pub(crate) fn ranges(&self) -> impl Iterator<Item = Range<u64>> + '_ {
        let results = self.results.iter().map(|(item, _)| *item..*item + 1);
        self.done
            .iter()
            .chain(&self.skipped)
            .cloned()
            .chain(results)
    }
}

fn push(ranges: &mut Vec<Range<u64>>, item: u64) {
    match ranges.last_mut() {
        Some(last) if last.end == item => last.end += 1,
        _ => ranges.push(item..item + 1),
    }
}

/// Orders ranges and joins those that touch. Ranges that overlap stay as they are: whoever records an item twice is told.
fn merge(ranges: &mut Vec<Range<u64>>) {
    if !ranges.is_sorted_by_key(|range| range.start) {
        ranges.sort_by_key(|range| range.start);
    }
    ranges.dedup_by(|next, last| {
        let touches = last.end == next.start;
        if touches {
            last.end = next.end;
        }
        touches
    });
}
