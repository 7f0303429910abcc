//! One file of a report, and its summary.

use serde::de::{Error, MapAccess};

use super::Context;
use super::rows::{FileBranches, Segments};
use crate::coverage::model::Tally;
use crate::coverage::read::collector::{Declared, Draft};
use crate::coverage::read::gauge::Gauge;
use crate::coverage::read::json::{Members, skip};
use crate::coverage::warning::Counted;

/// `{"filename": "…", "segments": […], "branches": […], "summary": {…}}`; llvm-cov writes the name between the others.
pub(super) struct File<'x> {
    context: &'x Context<'x>,
    name: Option<Box<str>>,
    draft: Draft,
    segments: bool,
    summary: Summary<'x>,
}

impl<'x> File<'x> {
    pub(super) fn new(context: &'x Context<'x>) -> Self {
        Self {
            context,
            name: None,
            draft: Draft::default(),
            segments: false,
            summary: Summary::new(context),
        }
    }

    pub(super) fn settle<E: Error>(self) -> Result<(), E> {
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
        let file = draft.finish();
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

impl<'de> Members<'de> for File<'_> {
    fn member<A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<(), A::Error> {
        let context = self.context;
        match key {
            "filename" => self.name = Some(map.next_value()?),
            "segments" if self.segments => {
                return Err(A::Error::custom("two lists of segments in one file"));
            }
            "segments" => {
                self.segments = true;
                let segments = Segments::new(context, &mut self.draft);
                let read = map.next_value_seed(context.list("segments", segments))?;
                read.finish()?;
            }
            "branches" => {
                let branches = FileBranches::new(context, &mut self.draft);
                map.next_value_seed(context.list("branches", branches))?;
            }
            "summary" => {
                let summary = Summary::new(context);
                self.summary = map.next_value_seed(context.object("a summary", summary))?;
            }
            _ => skip(&context.gauge, map)?,
        }
        Ok(())
    }
}

/// `{"functions": {"count": 4, "covered": 3, …}, "lines": {…}, …}`
struct Summary<'x> {
    context: &'x Context<'x>,
    functions: Declared,
    lines: Declared,
    branches: Declared,
}

impl<'x> Summary<'x> {
    fn new(context: &'x Context<'x>) -> Self {
        Self {
            context,
            functions: Declared::default(),
            lines: Declared::default(),
            branches: Declared::default(),
        }
    }
}

impl<'de> Members<'de> for Summary<'_> {
    fn member<A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<(), A::Error> {
        let context = self.context;
        let place = match key {
            "functions" => &mut self.functions,
            "lines" => &mut self.lines,
            "branches" => &mut self.branches,
            _ => return skip(&context.gauge, map),
        };
        let totals = Totals {
            gauge: &context.gauge,
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
