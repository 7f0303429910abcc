//! Two lists of runs laid over one another.
//!
//! Merging and comparing ask the same question of every line: what does the one say, and what the other? Answering it
//! by stretches costs one step per run and not one per line, so that a run of a million equal lines costs nothing.

use super::lines::LineRun;

/// Lines `first` to `last`, of which both sides say one thing each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stretch {
    pub(crate) first: u32,
    pub(crate) last: u32,
    /// Hits on the left; `None` where no line is executable.
    pub(crate) left: Option<u64>,
    pub(crate) right: Option<u64>,
}

/// The stretches that at least one side has lines in, in ascending order.
#[derive(Debug)]
pub(crate) struct Overlay<'a> {
    left: &'a [LineRun],
    right: &'a [LineRun],
    /// The next line to speak of. One more than a line number can be, once the last one has been spoken of.
    at: u64,
}

impl<'a> Overlay<'a> {
    /// Both lists are sorted and without overlaps.
    pub(crate) const fn new(left: &'a [LineRun], right: &'a [LineRun]) -> Self {
        Self { left, right, at: 0 }
    }
}

impl Iterator for Overlay<'_> {
    type Item = Stretch;

    fn next(&mut self) -> Option<Stretch> {
        for side in [&mut self.left, &mut self.right] {
            if let [run, rest @ ..] = *side
                && u64::from(run.last) < self.at
            {
                *side = rest;
            }
        }
        let (left, right) = (self.left.first(), self.right.first());
        // A run that has been entered begins at the next line, not at its own first.
        let begin = |run: &LineRun| u64::from(run.first).max(self.at);
        let first = [left, right].into_iter().flatten().map(begin).min()?;
        let end = |run: &LineRun| match u64::from(run.first) {
            later if later > first => later - 1,
            _ => u64::from(run.last),
        };
        let last = [left, right].into_iter().flatten().map(end).min()?;
        let hits = |run: Option<&LineRun>| {
            run.filter(|run| u64::from(run.first) <= first)
                .map(|run| run.hits)
        };
        self.at = last + 1;
        Some(Stretch {
            // Both come from line numbers, or lie between two of them.
            first: u32::try_from(first).ok()?,
            last: u32::try_from(last).ok()?,
            left: hits(left),
            right: hits(right),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(first: u32, last: u32, hits: u64) -> LineRun {
        LineRun { first, last, hits }
    }

    #[test]
    fn stretches_end_where_either_side_changes() {
        let left = [run(1, 4, 1), run(9, 9, 0)];
        let right = [run(3, 6, 2), run(u32::MAX, u32::MAX, 7)];
        let stretches: Vec<_> = Overlay::new(&left, &right)
            .map(|stretch| (stretch.first, stretch.last, stretch.left, stretch.right))
            .collect();
        assert_eq!(
            stretches,
            [
                (1, 2, Some(1), None),
                (3, 4, Some(1), Some(2)),
                (5, 6, None, Some(2)),
                (9, 9, Some(0), None),
                (u32::MAX, u32::MAX, None, Some(7)),
            ]
        );
    }

    #[test]
    fn nothing_over_nothing_is_nothing() {
        assert_eq!(Overlay::new(&[], &[]).next(), None);
    }
}
