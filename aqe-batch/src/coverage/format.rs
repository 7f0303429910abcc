//! Which format a report is in.
//!
//! The three begin so differently that the first bytes decide. File names decide nothing: `coverage.xml` is Clover in
//! one project and Cobertura in the next, and `lcov.info` is a habit.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The formats that can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Format {
    /// Tracefiles of LCOV 1 and 2, usually `lcov.info`.
    Lcov,
    /// XML of Cobertura, usually `cobertura.xml` or `coverage.xml`.
    Cobertura,
    /// JSON of `llvm-cov export`, versions 2 and 3.
    LlvmJson,
}

/// `lcov`, `cobertura`, `llvm-json`.
impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Lcov => "lcov",
            Self::Cobertura => "cobertura",
            Self::LlvmJson => "llvm-json",
        })
    }
}

/// No format has that name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no coverage format is called `{0}`: write lcov, cobertura or llvm-json")]
pub struct UnknownFormatName(String);

impl FromStr for Format {
    type Err = UnknownFormatName;

    fn from_str(name: &str) -> Result<Self, UnknownFormatName> {
        [Self::Lcov, Self::Cobertura, Self::LlvmJson]
            .into_iter()
            .find(|format| format.to_string() == name)
            .ok_or_else(|| UnknownFormatName(name.to_owned()))
    }
}

/// So many bytes are looked at.
pub(crate) const LOOKED_AT: usize = 512;

/// What UTF-8 files of some systems begin with.
pub(crate) const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// Tells the format of a report by its first bytes, or says what it begins with instead.
///
/// `start` is the first [`LOOKED_AT`] bytes, or all that there are.
pub(crate) fn detect(start: &[u8]) -> Result<Format, String> {
    let text = start.strip_prefix(BYTE_ORDER_MARK).unwrap_or(start);
    let text = text.trim_ascii_start();
    match text {
        [] => Err(if start.len() < LOOKED_AT {
            "there is nothing in it"
        } else {
            "it begins with nothing but blanks"
        }
        .to_owned()),
        [b'<', ..] => Ok(Format::Cobertura),
        [b'{', ..] => Ok(Format::LlvmJson),
        [0x1F, 0x8B, ..] => Err("it is compressed with gzip: unpack it first".to_owned()),
        [0xFE, 0xFF, ..] | [0xFF, 0xFE, ..] => {
            Err("it is UTF-16: convert it to UTF-8 first".to_owned())
        }
        _ => lcov(text),
    }
}

/// A comment, `end_of_record`, or a keyword of LCOV and a colon. Readers skip keywords that they do not know, and still
/// a log that begins with "ERROR:" is no report.
fn lcov(text: &[u8]) -> Result<Format, String> {
    let line = text.split(|&byte| byte == b'\n').next().unwrap_or_default();
    let line = line.trim_ascii_end();
    let colon = line.iter().position(|&byte| byte == b':');
    let keyword = colon.map(|colon| &line[..colon]).unwrap_or_default();
    if line.starts_with(b"#") || line == b"end_of_record" || KEYWORDS.contains(&keyword) {
        return Ok(Format::Lcov);
    }
    let shown: String = String::from_utf8_lossy(line)
        .escape_debug()
        .take(40)
        .collect();
    Err(format!(
        "it begins with \"{shown}\", which no known format does"
    ))
}

/// What lines of LCOV begin with, the likely ones first.
const KEYWORDS: [&[u8]; 19] = [
    b"TN", b"SF", b"KF", b"VER", b"FN", b"FNDA", b"FNL", b"FNA", b"FNF", b"FNH", b"BRDA", b"BRF",
    b"BRH", b"MCDC", b"MCF", b"MCH", b"DA", b"LF", b"LH",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_bytes_decide() {
        for (start, format) in [
            ("TN:\nSF:a\n", Format::Lcov),
            ("SF:/a/b.rs", Format::Lcov),
            ("\n\n# made by hand\r\nTN:\r\n", Format::Lcov),
            ("\u{feff}TN:", Format::Lcov),
            ("end_of_record\n", Format::Lcov),
            ("<?xml version=\"1.0\" ?>", Format::Cobertura),
            ("\u{feff}  <coverage>", Format::Cobertura),
            ("{\"data\":[", Format::LlvmJson),
        ] {
            assert_eq!(detect(start.as_bytes()), Ok(format), "{start}");
        }
    }

    #[test]
    fn what_is_none_of_them_is_told_of() {
        for (start, said) in [
            (&b""[..], "there is nothing in it"),
            (b" \n", "there is nothing in it"),
            (&[b' '; LOOKED_AT], "it begins with nothing but blanks"),
            (
                b"\x1f\x8b\x08",
                "it is compressed with gzip: unpack it first",
            ),
            (b"\xff\xfeT\0", "it is UTF-16: convert it to UTF-8 first"),
            (
                b"mode: set\nx",
                "it begins with \"mode: set\", which no known format does",
            ),
            (
                b"ERROR: no data\n",
                "it begins with \"ERROR: no data\", which no known format does",
            ),
            (
                b"\0\x01",
                "it begins with \"\\0\\u{1}\", which no known format does",
            ),
        ] {
            assert_eq!(detect(start), Err(said.to_owned()));
        }
    }

    #[test]
    fn names_are_read_as_they_are_written() {
        for format in [Format::Lcov, Format::Cobertura, Format::LlvmJson] {
            assert_eq!(format.to_string().parse(), Ok(format));
        }
        let error = "jacoco".parse::<Format>().unwrap_err();
        assert!(error.to_string().contains("write lcov"), "{error}");
    }
}
