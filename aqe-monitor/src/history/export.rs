//! Everything as CSV and as JSON.
//!
//! Both are written as they are read, block by block, so that they take no memory to speak of.

use std::io::{self, Write};
use std::ops::Range;

use super::chunk::Values;
use super::error::HistoryError;
use super::reader::{HistoryReader, Piece};
use super::seal::rollup_of;
use super::series::{SeriesInfo, labels_to_json, push_json_string};
use super::tick::{push_buckets, push_number};
use super::time::Timestamp;

/// How much was exported.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Exported {
    /// Samples written.
    pub samples: u64,
    /// Rows of the file that were damaged, and are missing.
    pub damaged: u64,
}

impl HistoryReader {
    /// Writes all samples of a range of time as CSV (RFC 4180, UTF-8), series by series.
    ///
    /// Columns: `time` (RFC 3339, UTC), `name`, `labels` (a JSON object), `kind`, `unit`, `value`, `buckets`. Of a histogram, `value` is how
    /// many values were observed and `buckets` is a JSON list: precision, sum, then number and count of each bucket.
    ///
    /// A cell of text that begins with `=`, `+`, `-`, `@`, a tab or a line end gets an apostrophe before it, so that no spreadsheet takes a
    /// name for a formula.
    ///
    /// # Errors
    ///
    /// What SQLite and the writer say.
    pub fn export_csv(
        &self,
        range: Range<Timestamp>,
        out: &mut impl Write,
    ) -> Result<Exported, HistoryError> {
        let header = "time,name,labels,kind,unit,value,buckets\r\n";
        out.write_all(header.as_bytes())
            .map_err(|source| self.cannot_write(source))?;
        self.export(
            range,
            |info| {
                let mut head = String::new();
                for cell in [
                    &info.key.name,
                    &labels_to_json(&info.key.labels),
                    info.kind.name(),
                    &info.unit,
                ] {
                    push_cell(&mut head, cell);
                    head.push(',');
                }
                head
            },
            |out, head, at, value, buckets| {
                let mut line = format!("{at},{head}{value},");
                push_cell(&mut line, buckets);
                line.push_str("\r\n");
                out.write_all(line.as_bytes())
            },
            out,
        )
    }

    /// Writes all samples of a range of time as JSON lines, one object each, series by series.
    ///
    /// Members: `time` (RFC 3339, UTC), `name`, `labels`, `kind`, `unit`, `value`, and of a histogram `buckets`, as in
    /// [`export_csv`](Self::export_csv).
    ///
    /// # Errors
    ///
    /// What SQLite and the writer say.
    pub fn export_json(
        &self,
        range: Range<Timestamp>,
        out: &mut impl Write,
    ) -> Result<Exported, HistoryError> {
        self.export(
            range,
            |info| {
                let mut head = String::from("\"name\":");
                push_json_string(&mut head, &info.key.name);
                head.push_str(",\"labels\":");
                head.push_str(&labels_to_json(&info.key.labels));
                for (name, text) in [("kind", info.kind.name()), ("unit", &info.unit)] {
                    head.push_str(",\"");
                    head.push_str(name);
                    head.push_str("\":");
                    push_json_string(&mut head, text);
                }
                head
            },
            |out, head, at, value, buckets| {
                write!(out, "{{\"time\":\"{at}\",{head},\"value\":{value}")?;
                if !buckets.is_empty() {
                    write!(out, ",\"buckets\":{buckets}")?;
                }
                out.write_all(b"}\n")
            },
            out,
        )
    }

    /// Writes what `head` makes of a series, and `line` of each of its samples. A line gets the time, the value and the buckets as text.
    fn export<W: Write>(
        &self,
        range: Range<Timestamp>,
        head: impl Fn(&SeriesInfo) -> String,
        line: impl Fn(&mut W, &str, Timestamp, &str, &str) -> io::Result<()>,
        out: &mut W,
    ) -> Result<Exported, HistoryError> {
        let mut exported = Exported::default();
        let mut result = Ok(());
        let (mut value, mut buckets) = (String::new(), String::new());
        for info in self.series()? {
            let head = head(&info);
            exported.damaged += self.visit(
                info.id,
                &range,
                |_| true,
                |piece| {
                    let Piece::Values(times, values) = piece else {
                        return;
                    };
                    for (at, &time) in times.iter().enumerate() {
                        let time = Timestamp::from_millis(time);
                        if !range.contains(&time) || result.is_err() {
                            continue;
                        }
                        write_value(values, at, &mut value, &mut buckets);
                        result = line(out, &head, time, &value, &buckets);
                        exported.samples += u64::from(result.is_ok());
                    }
                },
            )?;
            if result.is_err() {
                break;
            }
        }
        match result.and_then(|()| out.flush()) {
            Ok(()) => Ok(exported),
            Err(source) => Err(self.cannot_write(source)),
        }
    }

    fn cannot_write(&self, source: io::Error) -> HistoryError {
        HistoryError::io("write what is exported from", &self.path, source)
    }
}

/// The value at a place as text, and its buckets if it is a histogram.
fn write_value(values: &Values, at: usize, value: &mut String, buckets: &mut String) {
    value.clear();
    buckets.clear();
    match values {
        Values::Numbers(values) => push_number(value, values[at]),
        Values::Buckets(values) => {
            push_number(value, values[at].count() as f64);
            if rollup_of(&values[at]).is_some() {
                push_buckets(buckets, &values[at]);
            }
        }
    }
}

/// A cell of text: quoted if it must be, and never a formula.
fn push_cell(line: &mut String, text: &str) {
    // The wide forms are taken for the others where people write them (OWASP, "CSV Injection").
    let is_formula =
        text.starts_with(['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠']);
    if !is_formula && !text.contains(['"', ',', '\r', '\n', '\'']) {
        line.push_str(text);
        return;
    }
    line.push('"');
    if is_formula {
        line.push('\'');
    }
    line.push_str(&text.replace('"', "\"\""));
    line.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_cell_is_a_formula() {
        let cases = [
            ("plain", "plain"),
            ("=1+1", "\"'=1+1\""),
            ("+1", "\"'+1\""),
            ("-1", "\"'-1\""),
            ("@sum", "\"'@sum\""),
            ("\tx", "\"'\tx\""),
            ("\rx", "\"'\rx\""),
            ("＝1", "\"'＝1\""),
            ("a\"b,c", "\"a\"\"b,c\""),
            ("", ""),
        ];
        for (text, expected) in cases {
            let mut line = String::new();
            push_cell(&mut line, text);
            assert_eq!(line, expected);
        }
    }
}
