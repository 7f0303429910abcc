//! The rows of numbers that say what was executed: segments and branches.

use serde::Deserialize;
use serde::de::{Error, IgnoredAny, SeqAccess};

use super::Context;
use crate::coverage::model::Arm;
use crate::coverage::read::collector::Draft;
use crate::coverage::read::json::Elements;
use crate::coverage::read::segments::{Segment, SegmentLines};

/// The segments of a file.
pub(super) struct Segments<'d, 'x> {
    context: &'x Context<'x>,
    draft: &'d mut Draft,
    lines: SegmentLines,
}

impl<'d, 'x> Segments<'d, 'x> {
    pub(super) fn new(context: &'x Context<'x>, draft: &'d mut Draft) -> Self {
        let lines = SegmentLines::default();
        Self {
            context,
            draft,
            lines,
        }
    }

    /// The line that only the end of the list decides.
    pub(super) fn finish<E: Error>(self) -> Result<(), E> {
        let Self {
            context,
            draft,
            lines,
        } = self;
        context.collect(|collector| match lines.finish() {
            Some(run) => draft.lines(collector, run),
            None => Ok(()),
        })
    }
}

impl<'de> Elements<'de> for Segments<'_, '_> {
    fn element<A: SeqAccess<'de>>(&mut self, list: &mut A) -> Result<bool, A::Error> {
        let context = self.context;
        let row = context.list("a segment", SegmentRow::default());
        let Some(SegmentRow { at, segment }) = list.next_element_seed(row)? else {
            return Ok(false);
        };
        if at < 5 || segment.line == 0 {
            return Err(A::Error::custom(
                "a segment is a line from 1, a column, a count, and two or three truth values",
            ));
        }
        let (draft, lines) = (&mut *self.draft, &mut self.lines);
        context.collect(|collector| {
            let decided = lines.push(segment)?;
            decided
                .into_iter()
                .flatten()
                .try_for_each(|run| draft.lines(collector, run))
        })?;
        Ok(true)
    }
}

/// `[line, column, count, has count, begins region, is gap]`; the last one came with version 2.
#[derive(Default)]
struct SegmentRow {
    at: usize,
    segment: Segment,
}

impl<'de> Elements<'de> for SegmentRow {
    fn element<A: SeqAccess<'de>>(&mut self, list: &mut A) -> Result<bool, A::Error> {
        let segment = &mut self.segment;
        let more = match self.at {
            0 => set(&mut segment.line, list)?,
            1 => set(&mut segment.column, list)?,
            2 => set(&mut segment.count, list)?,
            3 => set(&mut segment.has_count, list)?,
            4 => set(&mut segment.begins_region, list)?,
            5 => set(&mut segment.is_gap, list)?,
            _ => more(list)?,
        };
        self.at += usize::from(more);
        Ok(more)
    }
}

/// The branches of a file.
pub(super) struct FileBranches<'d, 'x> {
    context: &'x Context<'x>,
    draft: &'d mut Draft,
}

impl<'d, 'x> FileBranches<'d, 'x> {
    pub(super) const fn new(context: &'x Context<'x>, draft: &'d mut Draft) -> Self {
        Self { context, draft }
    }
}

impl<'de> Elements<'de> for FileBranches<'_, '_> {
    fn element<A: SeqAccess<'de>>(&mut self, list: &mut A) -> Result<bool, A::Error> {
        let context = self.context;
        let row = context.list("a branch", BranchRow::default());
        let Some(BranchRow { at, place, counts }) = list.next_element_seed(row)? else {
            return Ok(false);
        };
        let [line, column, last_line, last_column] = place;
        if at < 6 || line == 0 {
            return Err(A::Error::custom(
                "a branch is two lines with columns and two counts",
            ));
        }
        let draft = &mut *self.draft;
        context.collect(|collector| {
            [true, false]
                .into_iter()
                .zip(counts)
                .try_for_each(|(value, taken)| {
                    let arm = Arm::Region {
                        last_line,
                        last_column,
                        value,
                    };
                    draft.outcome(collector, line, column, arm, Some(taken))
                })
        })?;
        Ok(true)
    }
}

/// `[line, column, last line, last column, count when true, count when false, …]`
#[derive(Default)]
struct BranchRow {
    at: usize,
    place: [u32; 4],
    counts: [u64; 2],
}

impl<'de> Elements<'de> for BranchRow {
    fn element<A: SeqAccess<'de>>(&mut self, list: &mut A) -> Result<bool, A::Error> {
        let more = match self.at {
            at @ 0..4 => set(&mut self.place[at], list)?,
            at @ 4..6 => set(&mut self.counts[at - 4], list)?,
            _ => more(list)?,
        };
        self.at += usize::from(more);
        Ok(more)
    }
}

/// Reads the next element of a short row into its place; false when there is none.
fn set<'de, T: Deserialize<'de>, A: SeqAccess<'de>>(
    place: &mut T,
    list: &mut A,
) -> Result<bool, A::Error> {
    let Some(element) = list.next_element()? else {
        return Ok(false);
    };
    *place = element;
    Ok(true)
}

/// Reads past the next element of a row. Nothing is shown to the gauge, so it bounds the row as a whole.
fn more<'de, A: SeqAccess<'de>>(list: &mut A) -> Result<bool, A::Error> {
    Ok(list.next_element::<IgnoredAny>()?.is_some())
}
