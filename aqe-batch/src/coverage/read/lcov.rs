//! Tracefiles of LCOV: lines of `KEY:values`, in records from `SF:` to `end_of_record`.
//!
//! The format is described in the manual page of geninfo, "Tracefile format", up to LCOV 2.3. Records of the same file
//! add up, whichever test they are of. Keys that are not known are skipped, because every version has brought some; a line
//! without a key is no LCOV.

use std::collections::HashMap;
use std::io::BufRead;

use super::collector::{Collector, Declared, Draft, Failure};
use super::number::{self, Count, shown};
use super::text_lines;
use crate::coverage::Position;
use crate::coverage::model::Arm;
use crate::coverage::warning::{Counted, WarningKind};

/// Reads a tracefile into `collector`.
pub(crate) fn read(
    input: impl BufRead,
    collector: &mut Collector,
) -> Result<(), (Position, Failure)> {
    let limit = collector.limits().token;
    let mut reader = Reader {
        collector,
        record: None,
        number: 0,
    };
    let lines = text_lines::each(input, limit, |number, line| reader.line(number, line))?;
    match reader.record {
        None => Ok(()),
        Some(record) => Err((
            Position::line(lines),
            Failure::Malformed(format!(
                "the report ends inside the record of {}, before end_of_record: was it written to the end?",
                shown(record.path.as_bytes())
            )),
        )),
    }
}

struct Reader<'c> {
    collector: &'c mut Collector,
    record: Option<Record>,
    /// The number of the line that is being read.
    number: u64,
}

/// What lies between `SF:` and `end_of_record`.
struct Record {
    path: Box<str>,
    draft: Draft,
    /// Functions of LCOV 2.2 and later, by the index that their aliases refer to.
    leaders: HashMap<u64, Leader>,
    lines: Declared,
    branches: Declared,
    functions: Declared,
}

/// A function that may have several names.
struct Leader {
    line: u32,
    called: bool,
}

impl Reader<'_> {
    fn line(&mut self, number: u64, line: &[u8]) -> Result<(), Failure> {
        self.number = number;
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        // Nearly every line of nearly every report.
        if let Some(values) = line.strip_prefix(b"DA:") {
            return self.executed(values);
        }
        let Some(colon) = line.iter().position(|&byte| byte == b':') else {
            return self.without_key(line.trim_ascii());
        };
        let (key, values) = (&line[..colon], &line[colon + 1..]);
        match key {
            // KF is what LCOV itself takes for the same.
            b"SF" | b"KF" => self.begin(values),
            b"FN" => self.function(values),
            b"FNDA" => self.called(values),
            b"FNL" => self.leader(values),
            b"FNA" => self.alias(values),
            b"BRDA" => self.branch(values),
            b"LF" => self.declared(values, |record| &mut record.lines.total),
            b"LH" => self.declared(values, |record| &mut record.lines.covered),
            b"BRF" => self.declared(values, |record| &mut record.branches.total),
            b"BRH" => self.declared(values, |record| &mut record.branches.covered),
            b"FNF" => self.declared(values, |record| &mut record.functions.total),
            b"FNH" => self.declared(values, |record| &mut record.functions.covered),
            [b'#', ..] => Ok(()),
            // TN and VER among them: tests add up, and sources are not looked at.
            _ if is_key(key) => Ok(()),
            _ => Err(no_lcov(line)),
        }
    }

    fn without_key(&mut self, line: &[u8]) -> Result<(), Failure> {
        match line {
            b"" | [b'#', ..] => Ok(()),
            b"end_of_record" => self.end(),
            _ => Err(no_lcov(line)),
        }
    }

    /// `SF:path`
    fn begin(&mut self, path: &[u8]) -> Result<(), Failure> {
        if let Some(open) = &self.record {
            return Err(Failure::Malformed(format!(
                "a record begins inside the record of {}: an end_of_record is missing",
                shown(open.path.as_bytes())
            )));
        }
        let path = text(path, "the path of a file")?;
        if path.is_empty() {
            return Err(Failure::malformed("SF without the path of a file"));
        }
        self.collector.charge(path.len() as u64)?;
        self.record = Some(Record {
            path: path.into(),
            draft: Draft::default(),
            leaders: HashMap::new(),
            lines: Declared::default(),
            branches: Declared::default(),
            functions: Declared::default(),
        });
        Ok(())
    }

    /// `DA:line,count[,checksum]`
    fn executed(&mut self, values: &[u8]) -> Result<(), Failure> {
        let (line, rest) = cut(values).ok_or_else(|| wrong("DA:line,count", values))?;
        let count = cut(rest).map_or(rest, |(count, _checksum)| count);
        let (line, hits) = (number::line(line)?, self.count(count)?);
        if line == 0 {
            self.warn(WarningKind::LineZero);
            return Ok(());
        }
        let (record, collector) = self.open("DA")?;
        record.draft.line(collector, line, hits)
    }

    /// `BRDA:line,[e|f][U]block,branch,taken`
    fn branch(&mut self, values: &[u8]) -> Result<(), Failure> {
        let expected = "BRDA:line,block,branch,taken";
        let (line, rest) = cut(values).ok_or_else(|| wrong(expected, values))?;
        let (block, rest) = cut(rest).ok_or_else(|| wrong(expected, values))?;
        // The branch may be an expression with commas in it.
        let comma = memchr::memrchr(b',', rest).ok_or_else(|| wrong(expected, values))?;
        let (branch, taken) = (&rest[..comma], &rest[comma + 1..]);
        let line = number::line(line)?;
        let (mark, block) = match block {
            [mark @ (b'e' | b'f'), block @ ..] => (Some(*mark), block),
            block => (None, block),
        };
        // Unreachable, or excluded by whoever wrote the report: there is nothing to cover.
        if block.starts_with(b"U") {
            return Ok(());
        }
        let taken = match taken {
            b"-" => None,
            taken => Some(self.count(taken)?),
        };
        if line == 0 {
            self.warn(WarningKind::LineZero);
            return Ok(());
        }
        let (block, arm) = arm(mark, block, branch)?;
        let (record, collector) = self.open("BRDA")?;
        record.draft.outcome(collector, line, block, arm, taken)
    }

    /// `FN:line,[last line,]name`
    fn function(&mut self, values: &[u8]) -> Result<(), Failure> {
        let (line, rest) = cut(values).ok_or_else(|| wrong("FN:line,name", values))?;
        let line = number::line(line)?;
        let name = match cut(rest) {
            Some((last, name)) if number::digits(last).is_some() => name,
            _ => rest,
        };
        let name = text(name, "the name of a function")?;
        let (record, collector) = self.open("FN")?;
        record.draft.function(collector, name, known(line), 0)
    }

    /// `FNDA:count,name`
    fn called(&mut self, values: &[u8]) -> Result<(), Failure> {
        let (count, name) = cut(values).ok_or_else(|| wrong("FNDA:count,name", values))?;
        let (hits, name) = (self.count(count)?, text(name, "the name of a function")?);
        let (record, collector) = self.open("FNDA")?;
        record.draft.called(collector, name, hits)
    }

    /// `FNL:index,line[,last line]`
    fn leader(&mut self, values: &[u8]) -> Result<(), Failure> {
        let (index, rest) = cut(values).ok_or_else(|| wrong("FNL:index,line", values))?;
        let index = number::digits(index).ok_or_else(|| wrong("FNL:index,line", values))?;
        let line = number::line(cut(rest).map_or(rest, |(line, _last)| line))?;
        let (record, collector) = self.open("FNL")?;
        collector.charge(size_of::<(u64, Leader)>() as u64)?;
        let called = false;
        record.leaders.insert(index, Leader { line, called });
        Ok(())
    }

    /// `FNA:index,count,name`
    fn alias(&mut self, values: &[u8]) -> Result<(), Failure> {
        let expected = "FNA:index,count,name";
        let (index, rest) = cut(values).ok_or_else(|| wrong(expected, values))?;
        let (count, name) = cut(rest).ok_or_else(|| wrong(expected, values))?;
        let index = number::digits(index).ok_or_else(|| wrong(expected, values))?;
        let (hits, name) = (self.count(count)?, text(name, "the name of a function")?);
        let (record, collector) = self.open("FNA")?;
        let Some(leader) = record.leaders.get_mut(&index) else {
            return Err(Failure::Malformed(format!(
                "FNA:{index} names a function that no FNL before it declares"
            )));
        };
        leader.called |= hits > 0;
        record
            .draft
            .function(collector, name, known(leader.line), hits)
    }

    fn declared(
        &mut self,
        value: &[u8],
        place: impl Fn(&mut Record) -> &mut Option<u64>,
    ) -> Result<(), Failure> {
        let value = number::digits(value.trim_ascii())
            .ok_or_else(|| number::wrong(value, "a number of lines, branches or functions"))?;
        let (record, _) = self.open("a total")?;
        *place(record) = Some(value);
        Ok(())
    }

    fn end(&mut self) -> Result<(), Failure> {
        // An end without a beginning closes nothing and loses nothing.
        let Some(record) = self.record.take() else {
            return Ok(());
        };
        let Record {
            path,
            draft,
            leaders,
            lines,
            branches,
            functions,
        } = record;
        let file = draft.finish();
        let position = Some(Position::line(self.number));
        let mut listed = file.functions.tally();
        if !leaders.is_empty() {
            // Since LCOV 2.2 the totals count functions, and the list has a line for each of their names.
            listed.total = leaders.len() as u64;
            listed.covered = leaders.values().filter(|leader| leader.called).count() as u64;
        }
        for (of, declared, listed) in [
            (Counted::Lines, lines, file.lines.tally()),
            (Counted::Branches, branches, file.branches.tally()),
            (Counted::Functions, functions, listed),
        ] {
            self.collector
                .compare(position, Some(&path), of, declared, listed);
        }
        self.collector.settle(&path, file)
    }

    fn count(&mut self, text: &[u8]) -> Result<u64, Failure> {
        match number::count(text)? {
            Count::Executed(count) => Ok(count),
            Count::Negative => {
                self.warn(WarningKind::NegativeCount);
                Ok(0)
            }
        }
    }

    fn warn(&mut self, kind: WarningKind) {
        self.collector.warn(Some(Position::line(self.number)), kind);
    }

    /// The record that `key` belongs to.
    fn open(&mut self, key: &str) -> Result<(&mut Record, &mut Collector), Failure> {
        match &mut self.record {
            Some(record) => Ok((record, self.collector)),
            None => Err(Failure::Malformed(format!(
                "{key} before the SF of a file: is the beginning of the report missing?"
            ))),
        }
    }
}

/// Splits at the first comma, which is only a few bytes away: a search by machine words does not pay here.
fn cut(values: &[u8]) -> Option<(&[u8], &[u8])> {
    let comma = values.iter().position(|&byte| byte == b',')?;
    Some((&values[..comma], &values[comma + 1..]))
}

/// Functions that stand nowhere are said to stand in line 0.
fn known(line: u32) -> Option<u32> {
    (line > 0).then_some(line)
}

/// The block and the name of an outcome. Numbers are kept as numbers where they fit.
fn arm(mark: Option<u8>, block: &[u8], branch: &[u8]) -> Result<(u32, Arm), Failure> {
    let small = |text| number::digits(text).and_then(|number| u32::try_from(number).ok());
    match (mark, small(block), small(branch)) {
        (None, Some(block), Some(branch)) => return Ok((block, Arm::Number(branch))),
        (Some(b'e'), Some(block), Some(branch)) => return Ok((block, Arm::Exception(branch))),
        _ => {}
    }
    if block.is_empty() || !block.iter().all(u8::is_ascii_digit) {
        return Err(number::wrong(block, "the number of a block"));
    }
    let mark = mark.map(char::from).map(String::from).unwrap_or_default();
    let (block, branch) = (text(block, "a block")?, text(branch, "a branch")?);
    Ok((0, Arm::Text(format!("{mark}{block},{branch}").into())))
}

fn text<'a>(bytes: &'a [u8], what: &str) -> Result<&'a str, Failure> {
    std::str::from_utf8(bytes)
        .map_err(|_| Failure::Malformed(format!("{what} is not UTF-8: {}", shown(bytes))))
}

fn is_key(key: &[u8]) -> bool {
    !key.is_empty()
        && key
            .iter()
            .all(|byte| byte.is_ascii_uppercase() || *byte == b'_')
}

fn wrong(expected: &str, values: &[u8]) -> Failure {
    let key = expected.split(':').next().unwrap_or_default();
    Failure::Malformed(format!("{key}:{} instead of {expected}", shown(values)))
}

fn no_lcov(line: &[u8]) -> Failure {
    Failure::Malformed(format!("{} is no line of LCOV", shown(line)))
}
