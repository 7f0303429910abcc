//! Numbers as reports write them.

use super::collector::Failure;

/// A count of executions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Count {
    Executed(u64),
    /// Below zero, which counters that race can come to.
    Negative,
}

/// Digits and nothing else; `None` for anything else and for what 64 bits do not hold.
pub(crate) fn digits(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0_u64, |number, byte| {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        number.checked_mul(10)?.checked_add(u64::from(digit))
    })
}

/// A line number. 0 is one: some tools write it for code that stands nowhere.
pub(crate) fn line(text: &[u8]) -> Result<u32, Failure> {
    digits(text)
        .and_then(|line| u32::try_from(line).ok())
        .ok_or_else(|| wrong(text, "a line number up to 4294967295"))
}

pub(crate) fn count(text: &[u8]) -> Result<Count, Failure> {
    if let Some(count) = digits(text) {
        return Ok(Count::Executed(count));
    }
    match text.strip_prefix(b"-") {
        Some(rest) if !rest.is_empty() && rest.iter().all(u8::is_ascii_digit) => {
            Ok(Count::Negative)
        }
        _ => Err(wrong(text, "a count up to 18446744073709551615")),
    }
}

pub(crate) fn wrong(text: &[u8], expected: &str) -> Failure {
    Failure::Malformed(format!("{} is not {expected}", shown(text)))
}

/// The first characters of what may be anything, of any length.
pub(crate) fn shown(text: &[u8]) -> String {
    let start = &text[..text.len().min(200)];
    let escaped: String = String::from_utf8_lossy(start)
        .escape_debug()
        .take(60)
        .collect();
    let more = if start.len() < text.len() { "…" } else { "" };
    format!("\"{escaped}{more}\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_end_where_64_bits_end() {
        assert_eq!(digits(b"18446744073709551615"), Some(u64::MAX));
        assert_eq!(digits(b"007"), Some(7));
        for text in [
            "",
            "18446744073709551616",
            "1 ",
            "+1",
            "-1",
            "0x1",
            "1.0",
            "٣",
        ] {
            assert_eq!(digits(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn counts_may_be_negative_and_lines_may_not() {
        assert_eq!(count(b"12").unwrap(), Count::Executed(12));
        assert_eq!(count(b"-12").unwrap(), Count::Negative);
        for text in ["-", "--1", "=====", "1e6", "18446744073709551616"] {
            assert!(count(text.as_bytes()).is_err(), "{text}");
        }
        assert!(line(b"4294967296").is_err());
        assert!(line(b"-1").is_err());
    }

    #[test]
    fn what_is_shown_is_short() {
        assert!(shown(&[b'\n'; 1_000_000]).len() < 100);
    }
}
