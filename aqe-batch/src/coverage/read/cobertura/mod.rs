//! XML of Cobertura, as its own tool, coverage.py, gcovr, coverlet and many others write it.
//!
//! The rules that the document type leaves open:
//!
//! - A class is a part of a file, and the classes of a file add up.
//! - The lines of a class are those that stand under the class itself. Lines under its methods repeat them, and some
//!   tools put there the line of a declaration, which cannot be executed; they count where the class has none itself.
//! - A method is called as often as its most executed line.
//! - Entities other than XML's own five and characters by number are refused, and what a document type declares is not
//!   looked at: nothing expands, and nothing outside of the report is opened.

mod attributes;
mod line;

use std::io::BufRead;

use quick_xml::Reader;
use quick_xml::encoding::Decoder;
use quick_xml::events::{BytesDecl, BytesRef, BytesStart, Event};
use quick_xml::name::QName;

use self::attributes::{Attributes, refused};
use self::line::{Conditions, Line};
use super::collector::{Collector, Declared, Draft, Failure};
use super::gauge::{Gauge, Gauged};
use super::number::{self, Count, shown};
use crate::coverage::warning::{Counted, WarningKind};
use crate::coverage::{Exceeded, Position};

/// Reads a report into `collector`. Returns the folder that all relative paths start in, if there is exactly one.
pub(crate) fn read(
    input: impl BufRead,
    collector: &mut Collector,
) -> Result<Option<String>, (Position, Failure)> {
    let limits = collector.limits();
    let gauge = Gauge::new(limits.token);
    let mut xml = Reader::from_reader(Gauged::new(input, &gauge));
    xml.config_mut().expand_empty_elements = true;
    let mut document = Document {
        collector,
        line: 1,
        depth: 0,
        rooted: false,
        declared: Totals::default(),
        source: None,
        root: None,
        sources: 0,
        package: None,
        class: None,
    };
    let mut buffer = Vec::new();
    loop {
        buffer.clear();
        gauge.token();
        // An element is said to be where it begins.
        document.line = gauge.line();
        let event = xml.read_event_into(&mut buffer);
        let at = |failure| (Position::line(document.line), failure);
        let event = match event {
            Ok(Event::Eof) => break,
            Ok(event) => event,
            Err(_) if gauge.exceeded() => {
                return Err(at(Failure::Exceeded(Exceeded::Token(limits.token))));
            }
            Err(error) => return Err((Position::line(gauge.line()), refused(error))),
        };
        let decoder = xml.decoder();
        document
            .event(&event, decoder)
            .map_err(|failure| (Position::line(document.line), failure))?;
    }
    let line = gauge.line();
    document
        .finish()
        .map_err(|failure| (Position::line(line), failure))
}

struct Document<'c> {
    collector: &'c mut Collector,
    /// Where the event that is looked at begins.
    line: u64,
    depth: usize,
    /// Whether the root element has begun.
    rooted: bool,
    declared: Totals,
    /// The text of a `source` that is open.
    source: Option<String>,
    /// The first source that is not empty, and how many there are.
    root: Option<String>,
    sources: usize,
    package: Option<Box<str>>,
    class: Option<Class>,
}

/// What the root element declares.
#[derive(Debug, Default)]
struct Totals {
    lines: Declared,
    branches: Declared,
}

/// A class that is being read.
struct Class {
    name: String,
    file: String,
    draft: Draft,
    /// Lines and branches that stand under methods.
    of_methods: Draft,
    method: Option<Method>,
}

struct Method {
    name: String,
    first: Option<u32>,
    hits: u64,
}

impl Document<'_> {
    fn event(&mut self, event: &Event<'_>, decoder: Decoder) -> Result<(), Failure> {
        match event {
            Event::Start(element) => self.start(element, decoder),
            Event::End(element) => self.end(element.name()),
            Event::Text(text) => self.text(&text.decode().map_err(|error| refused(error.into()))?),
            Event::CData(text) => self.text(&text.decode().map_err(|error| refused(error.into()))?),
            Event::GeneralRef(reference) => self.reference(reference),
            Event::Decl(declaration) => declared_encoding(declaration),
            // Whatever a document type declares, nothing of it is used.
            Event::DocType(_) | Event::Comment(_) | Event::PI(_) | Event::Empty(_) | Event::Eof => {
                Ok(())
            }
        }
    }

    fn start(&mut self, element: &BytesStart<'_>, decoder: Decoder) -> Result<(), Failure> {
        let name = element.name();
        if self.depth == 0 {
            self.root(element, decoder)?;
        }
        self.depth += 1;
        let limit = self.collector.limits().depth;
        if self.depth > limit {
            return Err(Failure::Exceeded(Exceeded::Depth(limit)));
        }
        match name.as_ref() {
            b"project" if self.depth == 2 => Err(Failure::malformed(
                "this is a report of Clover: have it written as Cobertura or LCOV",
            )),
            b"source" if self.class.is_none() => {
                self.source = Some(String::new());
                Ok(())
            }
            b"package" => self.package(element, decoder),
            b"class" => self.class(element, decoder),
            b"method" => self.method(element, decoder),
            b"line" => self.executed(element, decoder),
            _ => Ok(()),
        }
    }

    fn root(&mut self, element: &BytesStart<'_>, decoder: Decoder) -> Result<(), Failure> {
        if self.rooted {
            return Err(Failure::malformed(
                "a second document begins behind the first",
            ));
        }
        self.rooted = true;
        match element.name().as_ref() {
            b"coverage" => {}
            b"report" => {
                return Err(Failure::malformed(
                    "<report> is the root of JaCoCo's XML: have it converted to Cobertura",
                ));
            }
            name => {
                return Err(Failure::Malformed(format!(
                    "the root element is {}, not coverage",
                    shown(name)
                )));
            }
        }
        let attributes = Attributes { element, decoder };
        let Totals { lines, branches } = &mut self.declared;
        attributes.each(|name, value| {
            let place = match name {
                b"lines-valid" => &mut lines.total,
                b"lines-covered" => &mut lines.covered,
                b"branches-valid" => &mut branches.total,
                b"branches-covered" => &mut branches.covered,
                _ => return Ok(()),
            };
            *place =
                Some(number::digits(value.trim().as_bytes()).ok_or_else(|| {
                    number::wrong(value.as_bytes(), "a number of lines or branches")
                })?);
            Ok(())
        })
    }

    fn package(&mut self, element: &BytesStart<'_>, decoder: Decoder) -> Result<(), Failure> {
        let mut found = None;
        Attributes { element, decoder }.each(|name, value| {
            if name == b"name" && !value.is_empty() {
                found = Some(value.into());
            }
            Ok(())
        })?;
        self.package = found;
        Ok(())
    }

    fn class(&mut self, element: &BytesStart<'_>, decoder: Decoder) -> Result<(), Failure> {
        if self.class.is_some() {
            return Err(Failure::malformed("a class inside a class"));
        }
        let (mut class, mut file) = (String::new(), None);
        Attributes { element, decoder }.each(|name, value| {
            match name {
                b"name" => value.clone_into(&mut class),
                b"filename" if !value.is_empty() => file = Some(value.to_owned()),
                _ => {}
            }
            Ok(())
        })?;
        let file =
            file.ok_or_else(|| Failure::malformed("a class without the name of its file"))?;
        self.collector.charge((class.len() + file.len()) as u64)?;
        let mut draft = Draft::default();
        draft.package.clone_from(&self.package);
        self.class = Some(Class {
            name: class,
            file,
            draft,
            of_methods: Draft::default(),
            method: None,
        });
        Ok(())
    }

    fn method(&mut self, element: &BytesStart<'_>, decoder: Decoder) -> Result<(), Failure> {
        let (mut method, mut signature) = (String::new(), String::new());
        Attributes { element, decoder }.each(|name, value| {
            match name {
                b"name" => value.clone_into(&mut method),
                b"signature" => value.clone_into(&mut signature),
                _ => {}
            }
            Ok(())
        })?;
        let Some(class) = &mut self.class else {
            return Err(Failure::malformed("a method outside of a class"));
        };
        if class.method.is_some() {
            return Err(Failure::malformed("a method inside a method"));
        }
        let dot = if class.name.is_empty() { "" } else { "." };
        class.method = Some(Method {
            name: format!("{}{dot}{method}{signature}", class.name),
            first: None,
            hits: 0,
        });
        Ok(())
    }

    fn executed(&mut self, element: &BytesStart<'_>, decoder: Decoder) -> Result<(), Failure> {
        let Line {
            number,
            hits,
            branches,
        } = Line::read(element, decoder)?;
        let hits = match hits {
            Count::Executed(hits) => hits,
            Count::Negative => {
                self.warn(WarningKind::NegativeCount);
                0
            }
        };
        if number == 0 {
            self.warn(WarningKind::LineZero);
            return Ok(());
        }
        if branches == Conditions::Uncounted {
            self.warn(WarningKind::UncountedBranch);
        }
        let Some(class) = &mut self.class else {
            return Err(Failure::malformed("a line outside of a class"));
        };
        let draft = match &mut class.method {
            None => &mut class.draft,
            Some(method) => {
                method.first = Some(method.first.map_or(number, |first| first.min(number)));
                method.hits = method.hits.max(hits);
                &mut class.of_methods
            }
        };
        if let Conditions::Counted(outcomes) = branches {
            draft.counted(self.collector, number, outcomes)?;
        }
        draft.line(self.collector, number, hits)
    }

    fn end(&mut self, name: QName<'_>) -> Result<(), Failure> {
        self.depth = self.depth.saturating_sub(1);
        match name.as_ref() {
            b"source" => self.end_of_source(),
            b"package" => self.package = None,
            b"method" => return self.end_of_method(),
            b"class" => {
                if let Some(class) = self.class.take() {
                    let file = class.draft.or_lines_of(class.of_methods).finish();
                    return self.collector.settle(&class.file, file);
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn end_of_source(&mut self) {
        let source = self.source.take().unwrap_or_default();
        let source = source.trim();
        if !source.is_empty() {
            self.sources += 1;
            self.root.get_or_insert_with(|| source.to_owned());
        }
    }

    fn end_of_method(&mut self) -> Result<(), Failure> {
        let Some(class) = &mut self.class else {
            return Ok(());
        };
        let Some(method) = class.method.take() else {
            return Ok(());
        };
        class
            .draft
            .function(self.collector, &method.name, method.first, method.hits)
    }

    fn text(&mut self, text: &str) -> Result<(), Failure> {
        if self.depth == 0 && !text.trim().is_empty() {
            return Err(Failure::Malformed(format!(
                "{} stands outside of the root element",
                shown(text.trim().as_bytes())
            )));
        }
        let limit = self.collector.limits().token;
        if let Some(source) = &mut self.source {
            // It may come in pieces, with references, comments and elements between them.
            source.push_str(text);
            if source.len() as u64 > limit.as_u64() {
                return Err(Failure::Exceeded(Exceeded::Token(limit)));
            }
        }
        Ok(())
    }

    fn reference(&mut self, reference: &BytesRef<'_>) -> Result<(), Failure> {
        let mut buffer = [0; 4];
        if let Some(character) = reference.resolve_char_ref().map_err(refused)? {
            return self.text(character.encode_utf8(&mut buffer));
        }
        let name = reference.decode().map_err(|error| refused(error.into()))?;
        match quick_xml::escape::resolve_predefined_entity(&name) {
            Some(text) => self.text(text),
            None => Err(Failure::Malformed(format!(
                "the entity {} is not one of XML's own, and others are not expanded",
                shown(name.as_bytes())
            ))),
        }
    }

    fn warn(&mut self, kind: WarningKind) {
        self.collector.warn(Some(Position::line(self.line)), kind);
    }

    fn finish(self) -> Result<Option<String>, Failure> {
        if self.depth > 0 {
            return Err(Failure::malformed(
                "the report ends before its root element does: was it written to the end?",
            ));
        }
        if !self.rooted {
            return Err(Failure::malformed("there is no element in it"));
        }
        let totals = self.collector.coverage().totals();
        let Totals { lines, branches } = self.declared;
        self.collector
            .compare(None, None, Counted::Lines, lines, totals.lines);
        self.collector
            .compare(None, None, Counted::Branches, branches, totals.branches);
        if self.sources > 1 {
            let sources = self.sources;
            self.collector
                .warn(None, WarningKind::SeveralSources { sources });
            return Ok(None);
        }
        Ok(self.root)
    }
}

fn declared_encoding(declaration: &BytesDecl<'_>) -> Result<(), Failure> {
    let Some(encoding) = declaration.encoding() else {
        return Ok(());
    };
    let encoding = encoding.map_err(|error| refused(error.into()))?;
    if [&b"utf-8"[..], b"utf8", b"us-ascii"]
        .iter()
        .any(|known| known.eq_ignore_ascii_case(&encoding))
    {
        return Ok(());
    }
    Err(Failure::Malformed(format!(
        "it is encoded as {}: convert it to UTF-8, for example with iconv",
        shown(&encoding)
    )))
}
