//! JSON of `llvm-cov export`, versions 2 and 3, and of tools that write the same, such as `cargo llvm-cov --json`.
//!
//! The report is one line of any length. Of each file the segments, branches and summary are taken as they come and
//! nothing is kept of the rest; the list of functions, which is most of the text, is read past.
//!
//! Lines follow from segments ([`super::segments`]). Outcomes of branches are told apart by where their expression
//! stands and add up over the instances of a generic function. A branch that the compiler has decided is listed here
//! like one that was never come to, with counts of zero, and left out of the LCOV export; so this format can have more
//! outcomes than that one, and the same ones covered. Functions are counted as the summary of the file counts them, in
//! which all instances are one.

mod file;
mod rows;

use std::cell::RefCell;
use std::io::{BufRead, BufReader};

use serde::de::{DeserializeSeed, Error, MapAccess, SeqAccess};
use serde_json::error::Category;

use self::file::File;
use super::collector::{Collector, Failure};
use super::gauge::{Gauge, Gauged};
use super::json::{Elements, List, Members, Object, skip};
use super::number::shown;
use crate::coverage::{Exceeded, Position};

/// What the root says that it is.
const TYPE: &str = "llvm.coverage.json.export";

/// serde_json asks for single bytes, so there is a buffer between it and the gauge.
const BUFFER: usize = 16 * 1024;

/// Reads a report into `collector`.
pub(crate) fn read(
    input: impl BufRead,
    collector: &mut Collector,
) -> Result<(), (Position, Failure)> {
    let limit = collector.limits().token;
    let context = Context {
        gauge: Gauge::new(limit),
        collector: RefCell::new(collector),
        failure: RefCell::new(None),
    };
    let gauge = &context.gauge;
    let input = BufReader::with_capacity(BUFFER, Gauged::new(input, gauge));
    let mut json = serde_json::Deserializer::from_reader(input);
    let root = context.object("the report", Root::new(&context));
    let read = root.deserialize(&mut json).and_then(|root| {
        json.end()?;
        Ok(root)
    });
    let error = match read {
        Ok(root) => {
            return root
                .check()
                .map_err(|failure| (Position::line(gauge.line()), failure));
        }
        Err(error) => error,
    };
    let position = Position {
        line: error.line() as u64,
        column: Some(error.column() as u64),
    };
    let failure = match context.failure.take() {
        Some(failure) => failure,
        None if gauge.exceeded() => Failure::Exceeded(Exceeded::Token(limit)),
        None => refused(error),
    };
    Err((position, failure))
}

/// What all parts of the reader share.
struct Context<'c> {
    gauge: Gauge,
    /// Borrowed only within [`Context::collect`], which nothing that it calls comes back to.
    collector: RefCell<&'c mut Collector>,
    /// Why the reader gave up, where the parser has no words for it.
    failure: RefCell<Option<Failure>>,
}

impl Context<'_> {
    const fn object<T>(&self, what: &'static str, members: T) -> Object<'_, T> {
        let gauge = &self.gauge;
        Object {
            gauge,
            what,
            members,
        }
    }

    const fn list<T>(&self, what: &'static str, elements: T) -> List<'_, T> {
        let gauge = &self.gauge;
        List {
            gauge,
            what,
            elements,
        }
    }

    /// Lets the collector have something, and ends the parse when it refuses.
    fn collect<T, E: Error>(
        &self,
        give: impl FnOnce(&mut Collector) -> Result<T, Failure>,
    ) -> Result<T, E> {
        give(&mut self.collector.borrow_mut()).map_err(|failure| {
            self.failure.replace(Some(failure));
            E::custom("")
        })
    }
}

/// `{"data": […], "type": "…", "version": "…"}`, in any order: llvm-cov writes the type last.
struct Root<'x> {
    context: &'x Context<'x>,
    data: bool,
    kind: Option<Box<str>>,
    version: Option<Box<str>>,
}

impl<'x> Root<'x> {
    const fn new(context: &'x Context<'x>) -> Self {
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

impl<'de> Members<'de> for Root<'_> {
    fn member<A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<(), A::Error> {
        let context = self.context;
        match key {
            "data" => {
                self.data = true;
                map.next_value_seed(context.list("data", Exports { context }))?;
            }
            "type" => self.kind = Some(map.next_value()?),
            "version" => self.version = Some(map.next_value()?),
            _ => skip(&context.gauge, map)?,
        }
        Ok(())
    }
}

/// One export for each program that llvm-cov was given.
struct Exports<'x> {
    context: &'x Context<'x>,
}

impl<'de> Elements<'de> for Exports<'_> {
    fn element<A: SeqAccess<'de>>(&mut self, list: &mut A) -> Result<bool, A::Error> {
        let context = self.context;
        let export = context.object("an export", Export { context });
        Ok(list.next_element_seed(export)?.is_some())
    }
}

/// `{"files": […], "functions": […], "totals": {…}}`
struct Export<'x> {
    context: &'x Context<'x>,
}

impl<'de> Members<'de> for Export<'_> {
    fn member<A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<(), A::Error> {
        let context = self.context;
        match key {
            "files" => {
                map.next_value_seed(context.list("files", Files { context }))?;
            }
            _ => skip(&context.gauge, map)?,
        }
        Ok(())
    }
}

struct Files<'x> {
    context: &'x Context<'x>,
}

impl<'de> Elements<'de> for Files<'_> {
    fn element<A: SeqAccess<'de>>(&mut self, list: &mut A) -> Result<bool, A::Error> {
        let file = self.context.object("a file", File::new(self.context));
        let Some(file) = list.next_element_seed(file)? else {
            return Ok(false);
        };
        file.settle()?;
        Ok(true)
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
