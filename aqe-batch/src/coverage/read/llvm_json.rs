//! JSON of `llvm-cov export`, versions 2 and 3, and of tools that write the same, such as `cargo llvm-cov --json`.
//!
//! The report is one line of any length. Of each file the segments, branches and summary are taken as they come and
//! nothing is kept of the rest; the list of functions, which is most of the text, is read past.
//!
//! Lines follow from segments ([`super::segments`]). Outcomes of branches are told apart by where their expression
//! stands and add up over the instances of a generic function. Functions are counted as the summary of the file counts
//! them, in which all instances are one.

use std::cell::RefCell;
use std::io::{BufRead, BufReader};

use serde::Deserialize;
use serde::de::{DeserializeSeed, Error as _, IgnoredAny, MapAccess, SeqAccess};
use serde_json::error::Category;

use super::collector::{Collector, Declared, Draft, Failure};
use super::gauge::{Gauge, Gauged};
use super::json::{Elements, List, Members, Object, skip};
use super::number::shown;
use super::segments::{Segment, SegmentLines};
use crate::coverage::model::{Arm, Tally};
use crate::coverage::warning::Counted;
use crate::coverage::{Exceeded, Position};

/// What the root says that it is.
const TYPE: &str = "llvm.coverage.json.export";

/// serde_json asks for single bytes, so there is a buffer between it and the gauge.
const BUFFER: usize = 16 * 1024;

/// Reads a report into `collector`.
pub(crate) fn read(
    input: impl BufRead,
    collector: &mut Collector<'_>,
) -> Result<(), (Position, Failure)> {
    let limit = collector.limits().token;
    let gauge = Gauge::new(limit);
    let context = Context {
        gauge: &gauge,
        inner: RefCell::new(Inner {
            collector,
            failure: None,
        }),
    };
    let input = BufReader::with_capacity(BUFFER, Gauged::new(input, &gauge));
    let mut json = serde_json::Deserializer::from_reader(input);
    let root = context.object("the report", Root::new(&context));
    let read = root.deserialize(&mut json).and_then(|root| {
        json.end()?;
        Ok(root)
    });
    let failure = context.inner.borrow_mut().failure.take();
    match (read, failure) {
        (Ok(root), _) => root
            .check()
            .map_err(|failure| (Position::line(gauge.line()), failure)),
        (Err(error), failure) => {
            let position = Position {
                line: error.line() as u64,
                column: Some(error.column() as u64),
            };
            let failure = match failure {
                Some(failure) => failure,
                None if gauge.exceeded() => Failure::Exceeded(Exceeded::Token(limit)),
                None => refused(error),
            };
            Err((position, failure))
        }
    }
}

/// What all parts of the reader share.
struct Context<'g, 'r, 'c> {
    gauge: &'g Gauge,
    /// Borrowed only within the methods below, which do not call one another.
    inner: RefCell<Inner<'r, 'c>>,
}

struct Inner<'r, 'c> {
    collector: &'r mut Collector<'c>,
    /// Why the reader gave up, where the parser has no words for it.
    failure: Option<Failure>,
}

impl<'g, 'c> Context<'g, '_, 'c> {
    const fn object<T>(&self, what: &'static str, members: T) -> Object<'g, T> {
        let gauge = self.gauge;
        Object {
            gauge,
            what,
            members,
        }
    }

    const fn list<T>(&self, what: &'static str, elements: T) -> List<'g, T> {
        let gauge = self.gauge;
        List {
            gauge,
            what,
            elements,
        }
    }

    /// Lets the collector have something, and ends the parse when it refuses.
    fn collect<T, E: serde::de::Error>(
        &self,
        give: impl FnOnce(&mut Collector<'c>) -> Result<T, Failure>,
    ) -> Result<T, E> {
        let mut inner = self.inner.borrow_mut();
        let given = give(inner.collector);
        given.map_err(|failure| {
            inner.failure = Some(failure);
            E::custom("")
        })
    }
}

/// `{"data": […], "type": "…", "version": "…"}`, in any order: llvm-cov writes the type last.
struct Root<'x, 'g, 'r, 'c> {
    context: &'x Context<'g, 'r, 'c>,
    data: bool,
    kind: Option<Box<str>>,
    version: Option<Box<str>>,
}

impl<'x, 'g, 'r, 'c> Root<'x, 'g, 'r, 'c> {
    const fn new(context: &'x Context<'g, 'r, 'c>) -> Self {
        Self {
            context,
            data: false,
            kind: None,
            version: None,
        }
    }

    /// Whether this was a report of llvm-cov after all.
    fn check(&self) -> Result<(), Failure> {
        match self.kind.as_deref() {
            Some(TYPE) => {}
            Some(other) => {
                return Err(Failure::Malformed(format!(
                    "its type is {}, not {TYPE}",
                    shown(other.as_bytes())
                )));
            }
            None => {
                return Err(Failure::malformed(
                    "it says no type: this is JSON, but not of `llvm-cov export`",
                ));
            }
        }
        let version = self.version.as_deref().unwrap_or_default();
        if !matches!(version.split('.').next(), Some("2" | "3")) {
            return Err(Failure::Malformed(format!(
                "version {} of the format is not known; 2 and 3 are",
                shown(version.as_bytes())
            )));
        }
        if !self.data {
            return Err(Failure::malformed("there is no `data` in it"));
        }
        Ok(())
    }
}

impl<'de> Members<'de> for Root<'_, '_, '_, '_> {
    fn member<A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<(), A::Error> {
        let context = self.context;
        match key {
            "data" => {
                self.data = true;
                map.next_value_seed(context.list("data", Exports { context }))?;
            }
            "type" => self.kind = Some(map.next_value()?),
            "version" => self.version = Some(map.next_value()?),
            _ => skip(context.gauge, map)?,
        }
        Ok(())
    }
}

/// One export for each program that llvm-cov was given.
struct Exports<'x, 'g, 'r, 'c> {
    context: &'x Context<'g, 'r, 'c>,
}

impl<'de> Elements<'de> for Exports<'_, '_, '_, '_> {
    fn element<A: SeqAccess<'de>>(&mut self, list: &mut A) -> Result<bool, A::Error> {
        let context = self.context;
        let export = context.object("an export", Export { context });
        Ok(list.next_element_seed(export)?.is_some())
    }
}

/// `{"files": […], "functions": […], "totals": {…}}`
struct Export<'x, 'g, 'r, 'c> {
    context: &'x Context<'g, 'r, 'c>,
}

impl<'de> Members<'de> for Export<'_, '_, '_, '_> {
    fn member<A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<(), A::Error> {
        let context = self.context;
        match key {
            "files" => {
                map.next_value_seed(context.list("files", Files { context }))?;
            }
            _ => skip(context.gauge, map)?,
        }
        Ok(())
    }
}

struct Files<'x, 'g, 'r, 'c> {
    context: &'x Context<'g, 'r, 'c>,
}

impl<'de> Elements<'de> for Files<'_, '_, '_, '_> {
    fn element<A: SeqAccess<'de>>(&mut self, list: &mut A) -> Result<bool, A::Error> {
        let file = self.context.object("a file", File::new(self.context));
        let Some(file) = list.next_element_seed(file)? else {
            return Ok(false);
        };
        file.settle()?;
        Ok(true)
    }
}

/// `{"filename": "…", "segments": […], "branches": […], "summary": {…}}`; llvm-cov writes the name between the others.
struct File<'x, 'g, 'r, 'c> {
    context: &'x Context<'g, 'r, 'c>,
    name: Option<Box<str>>,
    draft: Draft,
    segments: bool,
    summary: Summary<'x, 'g, 'r, 'c>,
}

impl<'x, 'g, 'r, 'c> File<'x, 'g, 'r, 'c> {
    fn new(context: &'x Context<'g, 'r, 'c>) -> Self {
        Self {
            context,
            name: None,
            draft: Draft::default(),
            segments: false,
            summary: Summary::new(context),
        }
    }

    fn settle<E: serde::de::Error>(self) -> Result<(), E> {
        let Self {
            context,
            name,
            mut draft,
            segments,
            summary,
        } = self;
        let Some(name) = name else {
            return Err(E::custom("a file without its name"));
        };
        if !segments {
            return Err(E::custom(
                "a file without segments: export again without -summary-only",
            ));
        }
        if let (Some(covered), Some(total)) = (summary.functions.covered, summary.functions.total) {
            draft.function_tally = Tally::new(covered.min(total), total);
        }
        let file = draft.finish(None);
        context.collect(|collector| {
            for (of, declared, listed) in [
                (Counted::Lines, summary.lines, file.lines.tally()),
                (Counted::Branches, summary.branches, file.branches.tally()),
            ] {
                collector.compare(None, Some(&name), of, declared, listed);
            }
            collector.settle(&name, file)
        })
    }
}

impl<'de> Members<'de> for File<'_, '_, '_, '_> {
    fn member<A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<(), A::Error> {
        let context = self.context;
        match key {
            "filename" => self.name = Some(map.next_value()?),
            "segments" if self.segments => {
                return Err(A::Error::custom("two lists of segments in one file"));
            }
            "segments" => {
                self.segments = true;
                let segments = Segments {
                    context,
                    draft: &mut self.draft,
                    lines: SegmentLines::default(),
                };
                let read = map.next_value_seed(context.list("segments", segments))?;
                read.finish()?;
            }
            "branches" => {
                let draft = &mut self.draft;
                map.next_value_seed(context.list("branches", FileBranches { context, draft }))?;
            }
            "summary" => {
                let summary = Summary::new(context);
                self.summary = map.next_value_seed(context.object("a summary", summary))?;
            }
            _ => skip(context.gauge, map)?,
        }
        Ok(())
    }
}

struct Segments<'d, 'x, 'g, 'r, 'c> {
    context: &'x Context<'g, 'r, 'c>,
    draft: &'d mut Draft,
    lines: SegmentLines,
}

impl Segments<'_, '_, '_, '_, '_> {
    fn finish<E: serde::de::Error>(self) -> Result<(), E> {
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

impl<'de> Elements<'de> for Segments<'_, '_, '_, '_, '_> {
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

struct FileBranches<'d, 'x, 'g, 'r, 'c> {
    context: &'x Context<'g, 'r, 'c>,
    draft: &'d mut Draft,
}

impl<'de> Elements<'de> for FileBranches<'_, '_, '_, '_, '_> {
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

/// `{"functions": {"count": 4, "covered": 3, …}, "lines": {…}, …}`
struct Summary<'x, 'g, 'r, 'c> {
    context: &'x Context<'g, 'r, 'c>,
    functions: Declared,
    lines: Declared,
    branches: Declared,
}

impl<'x, 'g, 'r, 'c> Summary<'x, 'g, 'r, 'c> {
    fn new(context: &'x Context<'g, 'r, 'c>) -> Self {
        Self {
            context,
            functions: Declared::default(),
            lines: Declared::default(),
            branches: Declared::default(),
        }
    }
}

impl<'de> Members<'de> for Summary<'_, '_, '_, '_> {
    fn member<A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<(), A::Error> {
        let context = self.context;
        let place = match key {
            "functions" => &mut self.functions,
            "lines" => &mut self.lines,
            "branches" => &mut self.branches,
            _ => return skip(context.gauge, map),
        };
        let totals = Totals {
            gauge: context.gauge,
            declared: Declared::default(),
        };
        *place = map
            .next_value_seed(context.object("totals", totals))?
            .declared;
        Ok(())
    }
}

/// `{"count": 4, "covered": 3, …}`
struct Totals<'g> {
    gauge: &'g Gauge,
    declared: Declared,
}

impl<'de> Members<'de> for Totals<'_> {
    fn member<A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<(), A::Error> {
        match key {
            "count" => self.declared.total = Some(map.next_value()?),
            "covered" => self.declared.covered = Some(map.next_value()?),
            _ => skip(self.gauge, map)?,
        }
        Ok(())
    }
}

fn refused(error: serde_json::Error) -> Failure {
    match error.classify() {
        Category::Io => Failure::Io(error.into()),
        Category::Eof => {
            Failure::malformed("the report ends in the middle: was it written to the end?")
        }
        Category::Syntax | Category::Data => {
            // The place is told apart from the problem.
            let place = format!(" at line {} column {}", error.line(), error.column());
            let text = error.to_string();
            Failure::malformed(text.strip_suffix(&place).unwrap_or(&text))
        }
    }
}
