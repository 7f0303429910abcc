//! What a run gives back.

use std::fmt;
use std::ops::Range;

use crate::error::ItemError;
use crate::progress::Progress;

/// What became of the items of a run.
pub struct BatchReport<T, E> {
    /// The results, in the order of the items.
    pub results: Results<T>,
    /// The items that failed, in their order, and why.
    pub failed: Vec<FailedItem<E>>,
    /// The last progress: how many items there were, how many are done, were skipped and so on.
    pub progress: Progress,
}

impl<T, E> BatchReport<T, E> {
    /// Whether every item has a result.
    pub fn is_complete(&self) -> bool {
        self.failed.is_empty() && self.progress.skipped == 0
    }
}

impl<T, E> Default for BatchReport<T, E> {
    fn default() -> Self {
        Self {
            results: Results::default(),
            failed: Vec::new(),
            progress: Progress::default(),
        }
    }
}

/// Neither `T` nor `E` need be `Debug`.
impl<T, E> fmt::Debug for BatchReport<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BatchReport")
            .field("results", &self.results.len())
            .field("failed", &self.failed.len())
            .field("progress", &self.progress)
            .finish_non_exhaustive()
    }
}

/// An item that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FailedItem<E> {
    /// Its number: the first item has 0.
    pub item: u64,
    /// Why it failed.
    pub error: ItemError<E>,
}

/// Results by item: dense where items have one, and without a place for those that have none.
#[derive(Clone)]
pub struct Results<T> {
    values: Vec<T>,
    /// Stretches of items that all have a result, in order.
    stretches: Vec<Stretch>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Stretch {
    items: Range<u64>,
    /// The place of the first of them in `values`.
    at: usize,
}

impl<T> Results<T> {
    /// How many items have a result.
    #[must_use]
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether no item has a result.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// The result of an item, if it has one.
    #[must_use]
    pub fn get(&self, item: u64) -> Option<&T> {
        let after = self.stretches.partition_point(|it| it.items.end <= item);
        let stretch = self.stretches.get(after)?;
        let distance = item.checked_sub(stretch.items.start)?;
        self.values
            .get(stretch.at + usize::try_from(distance).ok()?)
    }

    /// Each item that has a result, with it, in the order of the items.
    pub fn iter(&self) -> impl Iterator<Item = (u64, &T)> {
        let items = self.stretches.iter().flat_map(|it| it.items.clone());
        items.zip(&self.values)
    }

    /// The results in the order of the items. Without gaps: an item that has none leaves no trace.
    #[must_use]
    pub fn into_vec(self) -> Vec<T> {
        self.values
    }

    /// The results in the order of the items, as [`into_vec`](Self::into_vec).
    #[must_use]
    pub fn as_slice(&self) -> &[T] {
        &self.values
    }

    /// Puts runs of results, each of the items from its number on, into one order.
    pub(crate) fn of_runs(mut runs: Vec<(u64, Vec<T>)>) -> Self {
        runs.retain(|(_, values)| !values.is_empty());
        runs.sort_by_key(|(first, _)| *first);
        let mut results = Self::default();
        let len = runs.iter().map(|(_, values)| values.len()).sum::<usize>();
        for (first, mut values) in runs {
            results.stretch(first, values.len() as u64);
            if results.values.is_empty() {
                results.values = values;
                results.values.reserve_exact(len - results.values.len());
            } else {
                results.values.append(&mut values);
            }
        }
        results
    }

    /// Puts what workers have gathered into one order.
    pub(crate) fn of_parts(mut parts: Vec<Gathered<T>>) -> Self {
        parts.retain(|part| !part.values.is_empty());
        if parts.iter().all(Gathered::is_in_order) {
            return Self::merge(parts);
        }
        let mut items = Vec::with_capacity(parts.iter().map(|part| part.values.len()).sum());
        for part in parts {
            let numbers = part
                .stretches
                .into_iter()
                .flat_map(|(first, len)| first..first + len);
            items.extend(numbers.zip(part.values));
        }
        // Stable sorting finds the runs that are in order already, and most are.
        items.sort_by_key(|(item, _)| *item);
        let mut results = Self::default();
        results.values.reserve_exact(items.len());
        for (item, value) in items {
            results.stretch(item, 1);
            results.values.push(value);
        }
        results
    }

    /// Merges parts that are in order, a stretch at a time.
    fn merge(parts: Vec<Gathered<T>>) -> Self {
        let mut results = Self::default();
        let len = parts.iter().map(|part| part.values.len()).sum();
        results.values.reserve_exact(len);
        let mut parts: Vec<_> = parts
            .into_iter()
            .map(|part| {
                (
                    part.stretches.into_iter().peekable(),
                    part.values.into_iter(),
                )
            })
            .collect();
        // One part for each worker, so the one with the lowest item is soon found.
        while let Some((stretches, values)) = parts
            .iter_mut()
            .filter_map(|(stretches, values)| {
                let first = stretches.peek()?.0;
                Some((first, (stretches, values)))
            })
            .min_by_key(|(first, _)| *first)
            .map(|(_, part)| part)
        {
            let Some((first, len)) = stretches.next() else {
                break;
            };
            results.stretch(first, len);
            // As many as there are in memory.
            results.values.extend(values.by_ref().take(len as usize));
        }
        results
    }

    fn stretch(&mut self, first: u64, len: u64) {
        match self.stretches.last_mut() {
            Some(last) if last.items.end == first => last.items.end += len,
            _ => self.stretches.push(Stretch {
                items: first..first + len,
                at: self.values.len(),
            }),
        }
    }
}

/// What one worker has gathered, in the order in which it came.
#[derive(Debug)]
pub(crate) struct Gathered<T> {
    values: Vec<T>,
    /// The first item of a run of values, and how many there are.
    stretches: Vec<(u64, u64)>,
}

impl<T> Gathered<T> {
    #[inline]
    pub(crate) fn push(&mut self, item: u64, value: T) {
        self.values.push(value);
        match self.stretches.last_mut() {
            Some((first, len)) if *first + *len == item => *len += 1,
            _ => self.stretches.push((item, 1)),
        }
    }

    fn is_in_order(&self) -> bool {
        self.stretches.is_sorted_by_key(|(first, _)| *first)
    }
}

impl<T> Default for Gathered<T> {
    fn default() -> Self {
        Self {
            values: Vec::new(),
            stretches: Vec::new(),
        }
    }
}

impl<T> Extend<(u64, T)> for Gathered<T> {
    fn extend<I: IntoIterator<Item = (u64, T)>>(&mut self, items: I) {
        items
            .into_iter()
            .for_each(|(item, value)| self.push(item, value));
    }
}

impl<T> Default for Results<T> {
    fn default() -> Self {
        Self {
            values: Vec::new(),
            stretches: Vec::new(),
        }
    }
}

impl<T: PartialEq> PartialEq for Results<T> {
    fn eq(&self, other: &Self) -> bool {
        self.stretches == other.stretches && self.values == other.values
    }
}

impl<T: fmt::Debug> fmt::Debug for Results<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_in_order_and_found_by_item() {
        let runs = vec![
            (7, vec!['h', 'i']),
            (0, vec!['a', 'b']),
            (2, vec!['c']),
            (5, vec![]),
        ];
        let results = Results::of_runs(runs);
        for parts in [
            vec![vec![(8, 'i'), (0, 'a'), (1, 'b'), (7, 'h'), (2, 'c')]],
            vec![
                vec![(2, 'c'), (8, 'i')],
                vec![],
                vec![(0, 'a'), (1, 'b'), (7, 'h')],
            ],
        ] {
            let gathered = parts.into_iter().map(|items| {
                let mut part = Gathered::default();
                part.extend(items);
                part
            });
            assert_eq!(results, Results::of_parts(gathered.collect()));
        }
        let found: Vec<_> = (0..10).map(|item| results.get(item).copied()).collect();
        let (a, b, c, h, i) = (Some('a'), Some('b'), Some('c'), Some('h'), Some('i'));
        assert_eq!(found, [a, b, c, None, None, None, None, h, i, None]);
        assert_eq!(results.iter().map(|(item, _)| item).sum::<u64>(), 18);
        assert_eq!(results.into_vec(), ['a', 'b', 'c', 'h', 'i']);
    }
}
