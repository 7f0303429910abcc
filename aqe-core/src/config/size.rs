//! Sizes as `qe.config.yaml` writes them: `1GB`, `256MB`, `512MiB`, and plain numbers in bytes.
//!
//! `kB`, `MB`, `GB`, `TB`, `PB` are powers of 1000; `KiB`, `MiB`, `GiB`, `TiB`, `PiB` are powers of 1024. A bare `G` is
//! refused, because half of the tools people know read it one way and half the other.

use bytesize::ByteSize;

use super::number::{Decimal, NotANumber, split_unit};

/// Units from largest to smallest; decimal before binary, so that what was written in GB is written back in GB.
const UNITS: [(&str, u64); 10] = [
    ("PB", 1_000_000_000_000_000),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1000),
    ("PiB", 1 << 50),
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
];

/// What the accepted units are, for error messages.
pub(crate) const HELP: &str = "write a number of bytes or units such as 64kB, 256MB, 1GB, 512MiB";

/// Reads a size.
///
/// # Errors
///
/// What is wrong with the text, as a predicate: "is not a size".
pub(crate) fn parse(text: &str) -> Result<ByteSize, String> {
    let (number, name) = split_unit(text.trim());
    let decimal = Decimal::parse(number).map_err(|why| match why {
        NotANumber::Malformed => "is not a size".to_owned(),
        NotANumber::LeadingZero => "has a number that starts with 0".to_owned(),
        NotANumber::TooLong => "is larger than can be represented".to_owned(),
    })?;
    let unit = unit_of(name)?;
    let bytes = decimal.times(unit).ok_or_else(|| {
        if decimal.whole().is_some() {
            "is larger than can be represented".to_owned()
        } else {
            "is not a whole number of bytes".to_owned()
        }
    })?;
    Ok(ByteSize::b(bytes))
}

fn unit_of(name: &str) -> Result<u64, String> {
    if name.is_empty() || name.eq_ignore_ascii_case("b") {
        return Ok(1);
    }
    if let Some((_, unit)) = UNITS
        .iter()
        .find(|(known, _)| known.eq_ignore_ascii_case(name))
    {
        return Ok(*unit);
    }
    let bare = name.to_ascii_uppercase();
    match bare.as_str() {
        "K" | "M" | "G" | "T" | "P" => Err(format!(
            "has the ambiguous unit `{bare}`: {bare}B (powers of 1000) or {bare}iB (powers of 1024)"
        )),
        _ => Err(format!(
            "has the unknown unit `{}`",
            super::problem::excerpt(name)
        )),
    }
}

/// Writes a size so that [`parse`] reads the same one back: in the largest unit that divides it, decimal units first.
pub(crate) fn render(size: ByteSize) -> String {
    let bytes = size.as_u64();
    match UNITS
        .iter()
        .find(|(_, unit)| bytes != 0 && bytes.is_multiple_of(*unit))
    {
        Some((name, unit)) => format!("{}{name}", bytes / unit),
        None => bytes.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_usual_forms_are_read() {
        for (text, bytes) in [
            ("1GB", 1_000_000_000),
            ("1 gb", 1_000_000_000),
            ("256MB", 256_000_000),
            ("512MiB", 536_870_912),
            ("1.5GiB", 1_610_612_736),
            ("64kB", 64_000),
            ("64KiB", 65_536),
            ("2TB", 2_000_000_000_000),
            ("1PiB", 1 << 50),
            ("1048576", 1_048_576),
            ("17b", 17),
            ("0", 0),
        ] {
            assert_eq!(parse(text), Ok(ByteSize::b(bytes)), "{text}");
        }
    }

    #[test]
    fn other_forms_are_refused_with_a_reason() {
        for (text, reason) in [
            ("", "is not a size"),
            ("big", "is not a size"),
            ("-1GB", "is not a size"),
            ("1,5GB", "has the unknown unit `,5GB`"),
            (
                "1g",
                "has the ambiguous unit `G`: GB (powers of 1000) or GiB (powers of 1024)",
            ),
            ("1 bit", "has the unknown unit `bit`"),
            ("0.3", "is not a whole number of bytes"),
            ("007", "has a number that starts with 0"),
            ("99999PB", "is larger than can be represented"),
            ("99999999999999999999", "is larger than can be represented"),
        ] {
            assert_eq!(parse(text), Err(reason.to_owned()), "{text}");
        }
    }

    #[test]
    fn sizes_are_written_in_the_unit_people_use() {
        for (bytes, text) in [
            (1_000_000_000, "1GB"),
            (256_000_000, "256MB"),
            (1 << 29, "512MiB"),
            (65_536, "64KiB"),
            (1500, "1500"),
            (0, "0"),
        ] {
            assert_eq!(render(ByteSize::b(bytes)), text);
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(bytes in any::<u64>()) {
            prop_assert_eq!(parse(&render(ByteSize::b(bytes))), Ok(ByteSize::b(bytes)));
        }

        #[test]
        fn no_text_panics(text in ".{0,40}") {
            let _ = parse(&text);
        }
    }
}
